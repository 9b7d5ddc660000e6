-- interrupt.lua: Ctrl-C, never lost. The stand-alone Lua answers SIGINT with a hook on the main thread, which raises at
-- the next call there: inside a protected call of the core that error would be swallowed. So a command runs in a
-- coroutine, where the hook is not, and it is looked for wherever the command has waited. SIGTERM and SIGHUP become
-- a SIGINT, so that they leave as little behind.

local core = require "finetune.core"

local M = {}

local main = coroutine.running() -- this file is loaded there
local caught = false

-- Raises where Ctrl-C was pressed
function M.check()
  if debug.gethook(main) == "external hook" then error("interrupted!", 0) end
end

local function watch_steps()
  local step = core.step
  function core.step(...)
    local n = step(...)
    M.check()
    return n
  end
end

-- xpcall(f, handler, ...) in such a coroutine -> the same results
function M.call(f, handler, ...)
  watch_steps()
  core.catch_ends()
  caught = true
  local body = coroutine.create(function(...)
    local result = table.pack(xpcall(f, handler, ...))
    return table.unpack(result, 1, result.n)
  end)
  local ok, done, result = coroutine.resume(body, ...)
  if not ok then error(done, 0) end
  return done, result
end

-- The exit code of what was interrupted
function M.code() return 128 + (caught and core.ended_by() or 2) end

return M
