-- lock.lua: a folder that one process fills at a time. The lock is a folder in it, which only
-- one can make; in that stands who did, so that one that was left behind by a crash is known.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local text = require "finetune.cli.text"

local M = {}

local NAME, EEXIST = ".lock", 17
local LOOKS, PAUSE = 10, 0.1 -- at a lock without a name: its holder writes it next

local Lock = {__name = "finetune.cli.lock"}

function Lock:__close()
  core.fs.remove(self.path .. "/holder")
  core.fs.remove(self.path)
end

local function read(path)
  local file <close> = core.fs.open(path .. "/holder")
  return file and file:read "l"
end

-- When the process began, as the kernel counts: a number is given to another process after a time. nil: it has ended,
-- maybe unnoticed by its parent; or nobody says it
local function start_of(pid)
  local file <close> = io.open(("/proc/%s/stat"):format(pid), "rb")
  local rest, n = (file and file:read "a" or ""):match "^.*%)%s+(.*)$", 0
  if not rest or rest:find "^[ZX]" then return nil end
  for word in rest:gmatch "%S+" do
    n = n + 1
    if n == 20 then return word end
  end
end

-- "PID START HOST" of this process
local function name_of_ours()
  local pipe <close> = io.popen("echo $PPID; uname -n", "r")
  local pid, host = pipe:read("l", "l")
  return ("%s %s %s"):format(pid, start_of(pid) or "-", host or "-")
end

local function is_alive(pid, start)
  if start ~= "-" then return start_of(pid) == start end
  return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) == true
end

local function refuse(folder, pid, host, elsewhere)
  error(errors.new {kind = "conflict", exit = errors.FAILED,
    message = ("%s is being filled by another process, %s%s"):format(text.clean(folder), pid, elsewhere
      and " on " .. text.clean(host) or ""),
    next = elsewhere and ("wait for it; if it is gone: rm -r %s"):format(text.shell_word(folder .. "/" .. NAME))
      or "wait for it, or take another folder"}, 0)
end

-- Nobody is there any more. Of several who see that one gets it out of the way
local function clear(path, seen)
  local gone = path .. "-" .. core.random_token()
  if not core.fs.rename(path, gone) then return end
  if read(gone) ~= seen and core.fs.rename(gone, path) then return end -- another one was faster, and has a new lock
  Lock.__close {path = gone}
end

local function look_at(folder, path, ours)
  local seen = read(path)
  for _ = 1, LOOKS do
    if seen or not core.fs.stat(path) then break end
    require("finetune").sleep(PAUSE)
    seen = read(path)
  end
  local pid, start, host = (seen or ""):match "^(%d+) (%S+) (.*)$"
  local elsewhere = pid and host ~= ours:match "^%S+ %S+ (.*)$"
  if pid and (elsewhere or is_alive(pid, start)) then refuse(folder, pid, host, elsewhere) end
  clear(path, seen)
end

-- The lock of a folder that is there, to be closed; raises where another process has it
function M.take(folder)
  local path, ours = folder .. "/" .. NAME, name_of_ours()
  for _ = 1, 3 do
    local made, words, code = core.fs.mkdir(path)
    if made then
      local lock = setmetatable({path = path}, Lock)
      local ok, why = core.fs.write(path .. "/holder", ours .. "\n")
      if ok then return lock end
      Lock.__close(lock)
      errors.fail("output", "%s", text.clean(why))
    end
    if code ~= EEXIST then errors.fail("output", "%s", text.clean(words)) end
    look_at(folder, path, ours)
  end
  return errors.fail("output", "%s cannot be locked", text.clean(folder))
end

return M
