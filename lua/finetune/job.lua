-- job.lua: following a job and waiting for it, on top of get_job and list_events.
-- Both ask again after 1 s, then ever more seldom up to every 10 s, and both have
-- a deadline: one that polls for ever loses money and time.

local check = require "finetune.check"
local core = require "finetune.core"
local events = require "finetune.events"
local provider = require "finetune.provider"
local wait = require "finetune.wait"

local M = {}
local await, start = wait.await, provider.start

local DAY = 86400 -- seconds: the deadline where none is given
local FIRST, MOST, GROWTH = 1, 10, 1.5
local LONGEST = 1e9 -- seconds: more, math.huge too, is no more than that
local FINISHED = {succeeded = true, failed = true, cancelled = true}
local PASSING = {transport = true, timeout = true, server = true, rate_limit = true}

-- ---- one poll ----

local function sleep(seconds) return core.sleep(math.min(math.max(seconds, 0), LONGEST)) end

-- The call's result, or nil, err when `limit` (core.now() time) comes first
local function within(limit, call)
  if call:done() then return call:result() end
  local timer <close> = sleep(limit - core.now())
  timer:on_done(function(over) -- not where the timer itself failed; of a call that is done: does nothing
    if over then call:cancel() end
  end)
  local value, err = await(call)
  return value, err
end

local function passing(err)
  return type(err) == "table" and (err.retryable or PASSING[err.kind])
end

local function timed_out(self, poll, last)
  return core.error {kind = "timeout", op = poll.op, provider = self.name,
    message = ("job %s was not finished after %g s (status: %s); it goes on, and can be waited for again"):format(
      poll.id, poll.timeout, last and last.status or "unknown")}
end

local function new_poll(op, p)
  local poll = {op = op, id = p.job_id, timeout = math.min(p.timeout or DAY, LONGEST),
    delay = p.interval or FIRST, most = math.max(p.max_interval or MOST, p.interval or 0)}
  poll.limit = core.now() + poll.timeout
  return poll
end

-- Sleeps until the next poll; false when the deadline is there
local function pause(poll, err)
  local left = poll.limit - core.now()
  if left <= 0 then return false end
  local asked = err and err.retry_after or 0
  wait.ready()
  await(sleep(math.min(left, math.max(poll.delay, asked))))
  poll.delay = math.min(poll.delay * GROWTH, poll.most)
  return core.now() < poll.limit
end

-- An operation of this poll. An error that will pass is `nil` alone; one that will
-- not is `nil, err`.
local function ask(self, poll, op, params)
  wait.ready()
  local value, err = within(poll.limit, start(self, op, params))
  if value then return value end
  if passing(err) or core.now() >= poll.limit then
    poll.trouble = err
    return nil
  end
  return nil, err
end

-- ---- wait ----

local function first_error(self, id)
  if not core.supports(self, "list_events") then return nil end
  local page = provider.perform(self, "list_events", {job_id = id})
  for _, event in ipairs(page and page.data or {}) do
    if event.level == "error" and event.message then return event.message end
  end
end

-- Why a job did not succeed, in the service's own words where it gave any
local function failure(self, job)
  local said = type(job.error) == "table" and job.error or {message = job.error}
  local words = said.message or (job.status == "failed" and first_error(self, job.id)) or nil
  return core.error {kind = "job", op = "wait", provider = self.name, code = said.code, param = said.param,
    message = ("job %s %s%s"):format(job.id, job.status == "failed" and "failed" or "was cancelled",
      words and ": " .. core.redact(self, tostring(words)) or "")}
end

local function outcome(self, job)
  if job.status == "succeeded" then return job end
  return nil, failure(self, job), job
end

local function wait_for(self, p)
  local poll, last = new_poll("wait", p), nil
  repeat
    poll.trouble = nil
    local job, err = ask(self, poll, "get_job", {job_id = p.job_id})
    if err then return nil, err, last end
    if job then
      last = job
      if p.on_progress then p.on_progress(job) end
      if FINISHED[job.status] then return outcome(self, job) end
    end
  until not pause(poll, poll.trouble)
  return nil, timed_out(self, poll, last), last
end

-- ---- follow ----

-- The new events of one round, oldest first; sets poll.job and poll.ended. nil, err at an error
local function round(self, poll, seen)
  poll.trouble = nil
  local job, err = ask(self, poll, "get_job", {job_id = poll.id})
  if err then return nil, err end
  if not job then return {} end
  poll.job = job
  local ended = FINISHED[job.status]
  if not poll.has_events then
    poll.ended = ended
    return events.of_status(seen, job)
  end
  local new
  new, err = events.collect(seen, function(after)
    return ask(self, poll, "list_events", {job_id = poll.id, limit = poll.page, after = after})
  end, ended)
  poll.ended = ended and not poll.trouble -- only a whole listing has the last event
  return new, err
end

-- An iterator over events and the job as it was then; raises the error value.
local function follow(self, p)
  local poll, seen, queue, i = new_poll("follow", p), events.new(), {}, 0
  poll.page, poll.has_events = p.limit, core.supports(self, "list_events")
  local rested = true -- no pause before the first round
  return function()
    while i >= #queue do
      if poll.ended then return nil end
      if not rested and not pause(poll, poll.trouble) then error(timed_out(self, poll, poll.job), 0) end
      local new, err = round(self, poll, seen)
      if not new then error(err, 0) end
      queue, i, rested = new, 0, false
    end
    i = i + 1
    local event = queue[i]
    queue[i] = false
    return event, poll.job
  end
end

-- ---- methods ----

local TIMES = "job_id:id! timeout:number interval:number max_interval:number "
local WAIT = check.parse(TIMES .. "on_progress:function")
local FOLLOW = check.parse(TIMES .. "limit:integer")

local function read(self, what, spec, first, rest)
  local not_one = provider.no_provider(self, what)
  if not_one then return nil, not_one end
  local p, why = check.arguments(what, spec, first, rest)
  if not p then return nil, why end
  for _, name in ipairs {"interval", "max_interval"} do
    if p[name] and p[name] <= 0 then
      return nil, ("%s: parameter '%s' must be more than 0 seconds"):format(what, name)
    end
  end
  return p
end

function core.methods:wait(first, rest)
  local p, why = read(self, "wait", WAIT, first, rest)
  if not p then error(why, 2) end
  return wait_for(self, p)
end

function core.methods:follow(first, rest)
  local p, why = read(self, "follow", FOLLOW, first, rest)
  if not p then error(why, 2) end
  return follow(self, p)
end

M.within = within
return M
