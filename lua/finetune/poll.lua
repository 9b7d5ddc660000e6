-- poll.lua: one poll of one job: how often it asks, until when, and which errors it
-- waits out. Asks again after 1 s, then ever more seldom up to every 10 s, and always
-- has a deadline: one that polls for ever loses money and time. Where asking costs no
-- request (M.near) it asks again after 0.25 s, then every second, or every 2, 4, 8 s where
-- it is one of so many that they would cost more together than 20 looks a second do.

local core = require "finetune.core"
local provider = require "finetune.provider"
local wait = require "finetune.wait"

local M = {}
local start = provider.start

local DAY = 86400 -- seconds: the deadline where none is given
local FIRST, MOST, GROWTH = 1, 10, 1.5
local NEAR_FIRST, NEAR_MOST, LOOKS = 0.25, 8, 20
local LONGEST = 1e9 -- seconds: more, math.huge too, is no more than that
local PASSING = {transport = true, timeout = true, server = true, rate_limit = true}

M.STATUS = {pending = true, validating = true, queued = true, running = true, paused = true, finalizing = true,
  cancelling = true, succeeded = true, failed = true, cancelled = true}
M.FINISHED = {succeeded = true, failed = true, cancelled = true}

-- Names of providers whose jobs are on this machine -> true. In core, beside the registry: a provider's file runs once,
-- also where modules are loaded anew.
core.near = core.near or {}
M.near = core.near

-- op: "wait" or "follow"; p: its checked parameters. `limit` is core.now() time.
function M.new(self, op, p)
  local near = M.near[self.name] and not p.max_interval and not p.interval
  local most = math.min(math.max(p.max_interval or near and 1 or MOST, p.interval or 0), LONGEST)
  local poll = {op = op, id = p.job_id, timeout = math.min(p.timeout or DAY, LONGEST), near = near,
    delay = math.min(p.interval or near and NEAR_FIRST or FIRST, LONGEST), most = most}
  poll.limit = core.now() + poll.timeout
  return poll
end

function M.sleep(seconds) return core.sleep(math.min(math.max(seconds, 0), LONGEST)) end

-- The pause after the next one; n: how many polls of the instance sleep. Powers of two: all fall on common moments.
function M.grow(poll, n)
  if poll.near then
    poll.most = 1
    while poll.most * LOOKS < n and poll.most < NEAR_MOST do poll.most = poll.most * 2 end
    if poll.most > 1 then poll.delay = poll.most end -- so many do not begin with short pauses
  end
  poll.delay = math.min(poll.delay * GROWTH, poll.most)
end

function M.is_passing(err)
  return type(err) == "table" and (err.retryable or PASSING[err.kind])
end

-- The call's result, or nil, err when `limit` (core.now() time) comes first
local function within(limit, call)
  if call:done() then return call:result() end
  local timer <close> = M.sleep(limit - core.now())
  timer:on_done(function(over) -- not where the timer itself failed; of a call that is done: does nothing
    if over then call:cancel() end
  end)
  local value, err = wait.complete(call)
  return value, err
end

-- An operation of this poll. An error that will pass is `nil` alone, and in poll.trouble;
-- one that will not is `nil, err`.
function M.ask(self, poll, op, params)
  wait.ready()
  local value, err = within(poll.limit, start(self, op, params))
  if value then return value end
  if M.is_passing(err) or core.now() >= poll.limit then
    poll.trouble = err
    return nil
  end
  return nil, err
end

function M.timed_out(self, poll, last)
  return core.error {kind = "timeout", op = poll.op, provider = self.name,
    message = ("job %s was not finished after %g s (status: %s); it goes on, and can be waited for again"):format(
      poll.id, poll.timeout, last and last.status or "unknown")}
end

return M
