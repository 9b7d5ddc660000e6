-- The library preload.c beside this file, compiled once a process: M.env {shift = seconds, delay = milliseconds} is
-- what stands before a command whose clock or whose locks are to be other than usual.

local shell = require "spec.support.shell"

local M = {}
local library

-- Words why it cannot be used here, or nil
function M.missing()
  if shell.must "uname" ~= "Linux\n" then return "LD_PRELOAD with these calls is Linux's" end
  local cc = os.getenv "CC" or "cc"
  if library or not shell.has(cc:match "%S+") then return not library and cc .. " is not installed" or nil end
  local folder = shell.folder()
  local status, output = shell.run(("%s -shared -fPIC -O1 -D_GNU_SOURCE -o %s/preload.so %s"):format(cc, folder,
    shell.quote(shell.root .. "/spec/support/preload/preload.c")))
  if status ~= 0 then return output end
  library = folder .. "/preload.so"
  M.guard = setmetatable({}, {__gc = function() os.execute("rm -rf " .. folder) end})
end

function M.env(t)
  return ("env LD_PRELOAD=%s FT_SHIFT=%d FT_DELAY=%d "):format(assert(library), t.shift or 0, t.delay or 0)
end

return M
