-- wait.lua: the only place that waits. A coroutine waits by its waiter (given by
-- finetune.run, or by the core to a provider's own coroutine), else by the
-- default one (set by a loop adapter), else the engine is stepped right here.
-- Waiters are registered, never guessed: yielding from a coroutine that is
-- somebody's iterator would hand the call to that somebody.

local core = require "finetune.core"

local M = {}
local waiters = core.waiters -- coroutine -> function(call); "default", "started", "check": see M.install

-- Raises a mistake in the use of the library.
function M.refuse(message)
  error(core.error {kind = "usage", message = message}, 0)
end

-- Raises where a wait is impossible. To be called before anything is begun that will be
-- waited for: a refused call must not have sent its request already.
function M.ready()
  if waiters[coroutine.running()] then
    if not coroutine.isyieldable() then
      M.refuse("cannot wait here: a C function (such as table.sort, string.gsub or require) is in between; "
        .. "start the call with provider:async and wait outside")
    end
  elseif waiters.default then
    if waiters.check then waiters.check() end
  elseif core.inside() then
    core.step(0) -- raises, and says why
  end
end

function M.await(call)
  if not call:done() then
    M.ready()
    local wait = waiters[coroutine.running()] or waiters.default
    if wait then
      wait(call)
    else
      while not call:done() do core.step() end
    end
  end
  return call:result()
end

core.call_methods.await = M.await

-- Waits for a call that nobody else has. Where an error ends the wait, what a callback raised say, or the coroutine is
-- closed, the call ends too: it would go on unheard. One that async has given stays: whoever has it may wait again.
function M.complete(call)
  local mine <close> = call
  return M.await(mine)
end

-- Could one wait here?
function M.possible()
  return (pcall(M.ready))
end

-- The waiter that counts here, or nil: then a plain script steps the engine
function M.waiter()
  return waiters[coroutine.running()] or waiters.default
end

-- Suspends the running coroutine until the call is done; resume(co) continues it.
-- If somebody else resumes it before (it was his iterator), he is told.
function M.suspend(call, resume)
  if call:done() then return end
  local co, waiting = coroutine.running(), true
  call:on_done(function()
    if waiting then resume(co) end
  end)
  coroutine.yield(call)
  waiting = false
  if not call:done() then
    M.refuse("a coroutine was resumed by other code while it waited for a finetune call; "
      .. "wait outside of coroutine.wrap iterators, or give the work its own finetune.run")
  end
end

-- For loop adapters. wait(call) is used by every coroutine without a waiter of its own;
-- started() is called after each operation has begun; check() raises where wait would refuse.
-- Answers the function that takes them out again.
function M.install(name, wait, started, check)
  if waiters.default then
    M.refuse(("finetune.loop.%s: a loop adapter is started already; stop() it first"):format(name))
  end
  waiters.default, waiters.started, waiters.check = wait, started, check
  return function()
    if waiters.default == wait then waiters.default, waiters.started, waiters.check = nil, nil, nil end
  end
end

-- Tells a loop adapter that there is something to watch.
function M.started()
  local hook = waiters.started
  if hook then hook() end
end

return M
