-- job.lua: following a job and waiting for it, on top of get_job, list_jobs (where many
-- are watched at once: watch.lua) and list_events.

local check = require "finetune.check"
local core = require "finetune.core"
local events = require "finetune.events"
local polls = require "finetune.poll"
local provider = require "finetune.provider"
local watch = require "finetune.watch"

local FINISHED = polls.FINISHED

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
  local poll, last = polls.new(self, "wait", p), nil
  repeat
    poll.trouble = nil
    local job, err = watch.state(self, poll)
    if err then return nil, err, last end
    if job then
      last = job
      if p.on_progress then p.on_progress(job) end
      if FINISHED[job.status] then return outcome(self, job) end
    end
  until not watch.pause(self, poll)
  return nil, polls.timed_out(self, poll, last), last
end

-- ---- follow ----

-- The new events of one round, oldest first; sets poll.job and poll.ended. nil, err at an error
local function round(self, poll, seen)
  poll.trouble = nil
  local job, err = watch.state(self, poll)
  if err then return nil, err end
  if not job then return {} end
  local before, ended = poll.job, FINISHED[job.status]
  poll.job = job
  if not poll.has_events then
    poll.ended = ended
    return events.of_status(seen, job)
  end
  if not watch.may_list_events(poll, job, before) then return {} end
  local new
  new, err = events.collect(seen, function(after)
    return polls.ask(self, poll, "list_events", {job_id = poll.id, limit = poll.page, after = after})
  end, ended)
  if not poll.trouble then
    poll.asked = core.now()
    poll.ended = ended -- only a whole listing has the last event
  end
  return new, err
end

-- An iterator over events and the job as it was then; raises the error value.
local function follow(self, p)
  local poll, seen, queue, i = polls.new(self, "follow", p), events.new(), {}, 0
  poll.page, poll.has_events = p.limit, core.supports(self, "list_events")
  local rested = true -- no pause before the first round
  return function()
    while i >= #queue do
      if poll.ended then return nil end
      if not rested and not watch.pause(self, poll) then error(polls.timed_out(self, poll, poll.job), 0) end
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
