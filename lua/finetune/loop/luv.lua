-- finetune under luv: one uv_poll on the core's descriptor.
--
--   local loop = require "finetune.loop.luv"
--   loop.start(function(err) print("error:", err) end)
--   coroutine.wrap(function() local job = provider:get_job(id) … end)()
--   uv.run()
--
-- While calls run, the handle keeps uv.run going; without them it does not. A
-- callback or coroutine that raises is given to the hook: under luv an error
-- that gets out of a callback would end the process.

local core = require "finetune.core"
local uv = require "luv"
local wait = require "finetune.wait"

local M = {}

local handle, restore, on_error, active

local function step()
  local ok, err = pcall(core.step, 0)
  if not ok then on_error(err) end
  if core.pending() == 0 then uv.unref(handle) end
end

local function resume(co)
  local ok, err = coroutine.resume(co)
  if not ok then on_error(type(err) == "string" and debug.traceback(co, err) or err) end
end

local function check()
  if not coroutine.isyieldable() then
    wait.refuse("under luv a call cannot be waited for in the main coroutine or inside a callback; "
      .. "use coroutine.wrap(function() … end)(), or provider:async and call:on_done")
  end
end

local function suspend(call)
  uv.ref(handle)
  wait.suspend(call, resume)
end

-- on_error(err) gets what callbacks and resumed coroutines raise
function M.start(on_error_hook)
  if type(on_error_hook) ~= "function" then
    error("finetune.loop.luv: start takes a function that is given errors", 2)
  end
  restore = wait.install("luv", suspend, function() uv.ref(handle) end, check)
  on_error, active = on_error_hook, true
  handle = handle or assert(uv.new_poll(core.pollfd()))
  handle:start("r", step)
  if core.pending() == 0 then uv.unref(handle) end
end

-- Leaves the loop. Calls that run go on when something else steps the engine. The handle is
-- kept, inactive: luv 1.44 crashes in lua_close when a handle is still closing then.
function M.stop()
  if not active then return end
  active = false
  restore()
  handle:stop()
end

return M
