-- watch.lua: many polls of one instance at the same time. Those that sleep book the same
-- moments, and at each moment one listing (list_jobs, page by page) answers them all, so
-- that N jobs cost about N/100 requests a round and not N.
--
-- Nobody leads: a listing is driven by the callbacks of its own calls, and each poll waits
-- for its end at a gate of its own, so a poll that is cancelled, forgotten or too late holds
-- nobody back. A moment (below: slot) is forgotten when it comes; one that nobody comes to
-- is swept out later. Nothing else is kept but a few numbers for each instance.
--
-- A listing is never the last word: a job's first state, its end, and now and then its
-- state in between come from get_job, and what the list does not have is asked for alone.

local core = require "finetune.core"
local polls = require "finetune.poll"
local provider = require "finetune.provider"
local wait = require "finetune.wait"

local M = {}
local FINISHED = polls.FINISHED

-- Jobs asked for in a page: twice as many as are looked for, within these bounds. 100 is the most
-- that services of OpenAI's dialect give, 20 what they give unasked.
local PAGE, SMALL_PAGE = 100, 20
local FEW = 3 -- polls at a moment: fewer cost less CPU alone than a page of 20 (measured: 3.2 times a get_job)
local CONTROL = 100 -- every so many states from listings a poll's own get_job controls them
local SPREAD = 37 -- without a common divisor with CONTROL: few polls are controlled far apart, too
local LIES = 3 -- ends that the list did not know, in a row, before it is trusted no more
local PATIENCE = 4 -- moments for which what did not help is not tried again; each time as many times more
local REFUSED = {unsupported = true, invalid = true, permission = true, auth = true, not_found = true, quota = true,
  usage = true, config = true}
local FAILURES = 2 -- listings in a row whose trouble is waited out before the jobs are asked for alone
M.LATE = 30 -- seconds that a page may take, retries and all, before it counts as such trouble
local EVENTS, EVENT_SHARE = 10, 100 -- listings of events a moment: 10, or one for every 100 followers
local PROGRESS = {"progress", "trained_tokens", "estimated_finish"}

local watches = setmetatable({}, {__mode = "k"}) -- instance -> watch

local function watch_of(self)
  local watch = watches[self]
  if not watch then
    watch = {slots = {}, n = 0, sweep_at = 16, crowded = -math.huge, lies = 0, serial = 0,
      failures = 0, rest = 0, usable = core.supports(self, "list_jobs")}
    watches[self] = watch
  end
  return watch
end

-- ---- booking a moment ----

local function sweep(watch, now)
  watch.n = 0
  for at in pairs(watch.slots) do
    if at < now then watch.slots[at] = nil else watch.n = watch.n + 1 end
  end
  watch.sweep_at = 2 * watch.n + 16
end

local function slot_at(watch, at, now)
  local slot = watch.slots[at]
  if not slot then
    if watch.n >= watch.sweep_at then sweep(watch, now) end
    slot = {at = at, n = 0, wanted = {}, left = 0, found = {}, followers = {}, gates = {}, pages = 0,
      size = SMALL_PAGE}
    watch.slots[at], watch.n = slot, watch.n + 1
  end
  return slot
end

-- Does another poll sleep, or did one a moment ago?
local function has_company(watch, poll, now)
  for at in pairs(watch.slots) do
    if at > now then
      watch.crowded = now + 3 * poll.delay
      return true
    end
  end
  return now < watch.crowded
end

-- The moment nearest to `at` that others come to as well: a multiple of the longest pause,
-- or of a half, a quarter, ... of it where this poll's pause is shorter. So each pause is
-- between half and one and a half times its length, and the long ones fall together.
local function on_grid(poll, at, soonest)
  local grid = poll.most
  while grid > poll.delay do grid = grid / 2 end
  local moment = math.floor(at / grid + 0.5) * grid
  return moment < soonest and moment + grid or moment
end

local function join(watch, slot, poll)
  poll.slot, poll.listed = slot, false
  if poll.has_events then slot.followers[#slot.followers + 1] = poll end
  if (poll.alone or 0) > 0 then
    poll.alone = poll.alone - 1
    return
  end
  local id = poll.name or poll.id
  poll.listed, slot.n = true, slot.n + 1
  if not slot.wanted[id] then slot.left = slot.left + 1 end
  slot.wanted[id] = (slot.wanted[id] or 0) + 1
  if not poll.control then
    watch.serial = (watch.serial + SPREAD) % CONTROL
    poll.control = watch.serial
  end
end

-- Until when this poll sleeps (core.now() time), not sooner than `asked` seconds from now
local function book(self, poll, asked)
  local watch, now = watch_of(self), core.now()
  local at = now + math.max(poll.delay, asked)
  poll.slot = nil
  if at < poll.limit and has_company(watch, poll, now) then at = on_grid(poll, at, now + asked) end
  if at >= poll.limit then return poll.limit end
  join(watch, slot_at(watch, at, now), poll)
  return at
end

-- How many polls sleep that a listing could answer
local function sleepers(watch, now)
  local n = 0
  for at, slot in pairs(watch.slots) do n = n + (at > now and slot.n or 0) end
  return n
end

-- Sleeps until the next poll; false when the deadline is there
function M.pause(self, poll)
  if poll.limit <= core.now() then return false end
  wait.ready()
  local trouble = poll.trouble
  local at = book(self, poll, trouble and trouble.retry_after or 0)
  local others = poll.near and sleepers(watches[self], core.now()) or 0
  wait.complete(polls.sleep(at - core.now()))
  polls.grow(poll, others)
  return core.now() < poll.limit
end

-- ---- one listing for all of a moment ----

local function open_gates(slot, err)
  slot.ended, slot.err = true, err
  for _, gate in ipairs(slot.gates) do gate:cancel() end
  slot.gates = nil
end

-- How many pages are worth while: twice those that the jobs would fill, as if no page held fewer
-- than SMALL_PAGE, and fewer than the requests that are to be saved
local function budget(slot)
  return math.min(2 * math.ceil(slot.n / slot.size) + 1, slot.n - 1)
end

local function take_page(slot, page)
  slot.pages, slot.size = slot.pages + 1, math.max(slot.size, math.min(#page.data, PAGE))
  for _, job in ipairs(page.data) do
    local id = job.id
    if id ~= nil and slot.wanted[id] and not slot.found[id] and polls.STATUS[job.status] then
      slot.found[id], slot.left = job, slot.left - 1
    end
  end
end

local next_page

local function patience(n) return PATIENCE ^ math.min(n, 8) end

-- Trouble that should pass is waited out, but not for ever; what is only strange (a page that is no
-- JSON, say) is not tried again for a while; what the service will not do is not asked for again.
local function listing_failed(watch, slot, err)
  if REFUSED[err.kind] then
    watch.usable = false
  elseif err.kind ~= "cancelled" then -- the instance was closed
    watch.failures = watch.failures + 1
    local more = watch.failures - (polls.is_passing(err) and FAILURES or 0)
    if more >= 0 then watch.rest = patience(more) end
  end
  open_gates(slot, err)
end

local function malformed()
  return core.error {kind = "provider", op = "list_jobs", message = "a page of jobs has no data"}
end

local function page_came(self, watch, slot, page, err)
  slot.timer:cancel()
  if slot.late then err = core.error {kind = "timeout", op = "list_jobs", message = "the list of jobs did not come"} end
  local usable = type(page) == "table" and type(page.data) == "table"
  if not usable then return listing_failed(watch, slot, err or malformed()) end
  take_page(slot, page)
  local more = page.has_more and type(page.next) == "string"
  if more and slot.left > 0 and slot.pages < budget(slot) then return next_page(self, watch, slot, page.next) end
  watch.failures = 0
  open_gates(slot)
end

local function ask_page(self, slot, after)
  local limit = math.max(SMALL_PAGE, math.min(PAGE, 2 * slot.n))
  return polls.sleep(M.LATE), provider.start(self, "list_jobs", {limit = limit, after = after})
end

function next_page(self, watch, slot, after)
  local ok, timer, call = pcall(ask_page, self, slot, after)
  if not ok then return listing_failed(watch, slot, core.error {kind = "memory", message = tostring(timer)}) end
  slot.timer = timer
  timer:on_done(function(over)
    slot.late = over
    if over then call:cancel() end
  end)
  call:on_done(function(page, err) page_came(self, watch, slot, page, err) end)
end

-- Who may list events at this moment: those who have not for the longest time; nil: everybody.
-- `spare`: how many more may because their jobs have moved
local function share_events(list)
  local n = math.max(EVENTS, math.ceil(#list / EVENT_SHARE))
  if #list <= n then return nil end
  table.sort(list, function(a, b) return (a.asked or 0) < (b.asked or 0) end)
  local turns = {}
  for i = 1, n do turns[list[i]] = true end
  return {turns = turns, spare = n}
end

-- The first who comes begins it
local function begin(self, watch, slot)
  if slot.began then return end
  slot.began = core.now()
  if watch.slots[slot.at] == slot then watch.slots[slot.at], watch.n = nil, watch.n - 1 end
  slot.share = share_events(slot.followers)
  slot.lists = watch.usable and watch.rest == 0 and slot.n >= FEW
  watch.rest = math.max(0, watch.rest - 1)
  if slot.lists then next_page(self, watch, slot) end
end

local function await_listing(poll, slot)
  if slot.ended then return end
  local gate <close> = polls.sleep(poll.limit - core.now())
  slot.gates[#slot.gates + 1] = gate
  wait.await(gate)
end

-- ---- the state of a job ----

-- The service may have another name for the job than the caller (a whole one for a short one): lists have that
local function alone(self, poll)
  local job, err = polls.ask(self, poll, "get_job", {job_id = poll.id})
  if job then poll.name = job.id end
  return job, err
end

local function missed(poll)
  poll.misses = (poll.misses or 0) + 1
  poll.alone = patience(poll.misses)
end

-- Learns from what get_job says of a job that was looked for in a listing
local function compare(watch, poll, listed, job)
  local in_list, in_truth = listed and FINISHED[listed.status], FINISHED[job.status]
  if not listed or (in_list and not in_truth) then return missed(poll) end
  if in_list then watch.lies = 0 end
  if in_truth and not in_list then watch.lies = watch.lies + 1 end
  if watch.lies >= LIES then watch.usable = false end
end

local function is_due(poll)
  poll.control = poll.control - 1
  if poll.control >= 0 then return false end
  poll.control = CONTROL - 1
  return true
end

-- A table for each poll: it goes to the user
local function own(slot, job)
  if slot.wanted[job.id] == 1 then return job end
  local copy = {}
  for key, value in pairs(job) do copy[key] = value end
  return copy
end

local function from_listing(self, watch, poll, slot)
  await_listing(poll, slot)
  if core.now() >= poll.limit then return nil end
  local listed, err = slot.found[poll.name or poll.id], slot.err
  if not listed and err then
    if err.kind == "cancelled" then return nil, err end
    if not polls.is_passing(err) then return alone(self, poll) end
    poll.trouble = err
    return nil
  end
  if listed and not FINISHED[listed.status] and not is_due(poll) then return own(slot, listed) end
  local job
  job, err = alone(self, poll)
  if job then compare(watch, poll, listed, job) end
  return job, err
end

-- The state of this poll's job -> job; nil where trouble will pass (poll.trouble); nil, err
function M.state(self, poll)
  local slot, watch = poll.slot, watches[self]
  poll.slot, poll.share = nil, nil
  if not slot then return alone(self, poll) end
  wait.ready()
  begin(self, watch, slot)
  poll.share = slot.share
  local fresh = core.now() - slot.began <= math.max(poll.delay, 1) -- not where the host was busy for long
  if slot.lists and poll.listed and fresh then return from_listing(self, watch, poll, slot) end
  return alone(self, poll)
end

-- May this poll list its events now? Always where nobody shares the moment with it, or its job
-- has a new status or has ended. `before`: the job as it was
function M.may_list_events(poll, job, before)
  local share = poll.share
  if not share or share.turns[poll] then return true end
  if FINISHED[job.status] or not before or job.status ~= before.status then return true end
  for _, field in ipairs(PROGRESS) do
    if job[field] ~= before[field] and share.spare > 0 then
      share.spare = share.spare - 1
      return true
    end
  end
  return false
end

return M
