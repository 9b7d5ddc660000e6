-- finetune under copas: a thread that waits until the core's descriptor is
-- readable while calls run, and ends with them, so that copas.loop() ends too.
--
--   require("finetune.loop.copas").start()
--   copas.addthread(function() local job = provider:get_job(id) … end)
--   copas.loop()
--
-- copas watches sockets: ours is an object with getfd(), whose receive() says
-- "timeout" once, at which copas suspends the thread until it is readable.

local copas = require "copas"
local core = require "finetune.core"
local wait = require "finetune.wait"

local M = {}

local active, restore, on_error, running

local function new_socket()
  local fd, asked = core.pollfd(), false
  return {
    getfd = function() return fd end,
    dirty = function() return false end,
    settimeout = function() return 1 end,
    receive = function()
      asked = not asked
      if asked then return nil, "timeout", "" end
      return ""
    end,
  }
end

local function step()
  local ok, err = pcall(core.step, 0)
  if ok then return end
  if not on_error then error(err, 0) end
  on_error(err)
end

local function serve(mine)
  local socket = new_socket()
  while active == mine and core.pending() > 0 do
    copas.receive(socket, 1)
    if active == mine then step() end
  end
end

local started

function started()
  if running or not active then return end
  running = true
  local mine = active
  copas.addthread(function()
    local ok, err = pcall(serve, mine)
    if active == mine then running = false end
    if not ok then
      if core.pending() > 0 then started() end -- the other calls are still to be served
      error(err, 0)
    end
  end)
end

-- What suspends a thread until copas.wakeup: its name has changed over the versions
local function pause()
  if copas.pauseforever then copas.pauseforever() else copas.sleep(-1) end
end

local function check()
  if not (copas.running and coroutine.isyieldable()) then
    wait.refuse("under copas a call cannot be waited for outside of a copas thread; "
      .. "use copas.addthread(function() … end), or provider:async and call:on_done")
  end
end

local function suspend(call)
  started()
  local co = coroutine.running()
  call:on_done(function() copas.wakeup(co) end)
  while not call:done() do pause() end
end

-- on_error(err): given what callbacks raise; without it, copas' own handler gets it
function M.start(on_error_hook)
  restore = wait.install("copas", suspend, started, check)
  active, on_error, running = {}, on_error_hook, false
  if core.pending() > 0 then started() end
end

function M.stop()
  if not active then return end
  restore()
  active = nil
end

return M
