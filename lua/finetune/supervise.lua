-- supervise.lua: one job's directory, and the program finetune-run that runs it. Whether
-- a job runs is a test of the lock that its runner holds, never a guess from a process
-- number; how it ended is in exit.json, which the runner writes before it lets go.
--
--   lock, not there      the runner never began: the job is nobody's, and is not shown
--   exit.json            it has ended so
--   lock held            it waits for a slot; with started.json, a step of it runs
--   lock free            the runner was killed
--
-- Beside what the runner reads and writes (job.json, log, started.json, exit.json) there
-- are two marks of ours: `cancel` (somebody asked for it) and `paused`.

local core = require "finetune.core"
local store = require "finetune.store"

local M = {}
local fs = core.fs

local CORE = "finetune.core"
local START_TIME = 60 -- seconds that starting the runner may take: it only forks and takes a lock
local TAIL = 4096 -- bytes at the end of a log in which its last words are looked for
local WORDS = 400 -- bytes of them that an error repeats
local RETRY, PAUSE = 1, 0.02 -- seconds in which the next step should have begun; and between two looks
local ENOENT, ESRCH = 2, 3
local SIGNALS = {[6] = "SIGABRT", [8] = "SIGFPE", [9] = "SIGKILL: somebody killed it, or memory ran out",
  [11] = "SIGSEGV", [13] = "SIGPIPE", [15] = "SIGTERM", [25] = "SIGXFSZ"}

-- ---- starting ----

-- finetune-run is installed beside core.so; else PATH may have it
function M.runner()
  local found = package.searchpath(CORE, package.cpath)
  local beside = found and found:match "^(.*/)[^/]*$"
  beside = beside and beside .. "finetune-run"
  return beside and core.file_info(beside) and beside or "finetune-run"
end

-- Does it have a runner, or has it had one?
local function has_begun(dir) return core.lock_holder(dir .. "/lock") ~= nil end

-- Gives the directory its runner: `job` is job.json as csrc/run.c reads it. -> true | nil, err
function M.start(ctx, dir, job)
  local ok, err = store.write_json(dir .. "/job.json", job)
  if not ok then return nil, err end
  local ended, why = ctx:exec {argv = {M.runner(), "-d", dir}, timeout = START_TIME}
  if not ended then
    if why.kind == "config" then why.message = "finetune-run cannot be started: " .. why.message end
    return nil, why
  end
  if ended.code == 0 or has_begun(dir) then return true end
  return store.failed("finetune-run: " .. (ended.stderr:match "^%s*(.-)%s*$"))
end

-- ---- the state ----

local function number(value) return type(value) == "number" and value or nil end
local function text(value) return type(value) == "string" and value or nil end

-- What may be shown of bytes that anybody wrote: UTF-8, in one line, without control characters
function M.plain(words, most)
  words = words:gsub("\xC2[\x80-\x9F]", " "):gsub("[%s%c]+", " "):match "^%s*(.-)%s*$" -- U+0080 to U+009F are such
  if #words > most then words = "..." .. words:sub(-most) end
  if utf8.len(words) then return words end
  return (words:gsub("[\128-\255]", "?"))
end

-- The last line of the job's log (or another file of it) that says anything, or nil
function M.last_words(dir, name)
  local file <close> = fs.open(dir .. "/" .. (name or "log"))
  local size = file and file:seek "end"
  if not size or size == 0 or not file:seek("set", math.max(0, size - TAIL)) then return nil end
  local last
  for line in (file:read(TAIL) or ""):gmatch "[^\r\n]+" do
    if line:find "%S" then last = line end
  end
  return last and M.plain(last, WORDS)
end

local function failure(code, format, ...) return {code = code, message = format:format(...)} end

-- How exit.json's failure is told
local function reason(dir, exit)
  local step = math.tointeger(number(exit.step) or 0)
  local which = step and step > 1 and ("step %d of the job"):format(step) or "the trainer"
  if exit.reason == "not_started" then
    return failure("not_started", "%s could not be started: %s", which, text(exit.message) or "no reason was given")
  elseif exit.reason == "signal" then
    local signal = math.tointeger(number(exit.signal) or 0) or 0
    return failure("signal", "%s was ended by signal %d%s", which, signal,
      SIGNALS[signal] and (" (%s)"):format(SIGNALS[signal]) or "")
  end
  local words = M.last_words(dir)
  return failure("exit_status", "%s ended with exit status %d%s", which, math.tointeger(number(exit.code) or -1) or -1,
    words and ": " .. words or "")
end

local function ended(dir, exit)
  local state = {status = "failed", started_at = number(exit.started_at), finished_at = number(exit.finished_at),
    exit = exit}
  if state.started_at == 0 then state.started_at = nil end -- it never began
  if exit.reason == "cancelled" then
    state.status = "cancelled"
  elseif exit.reason == "exited" and exit.code == 0 then
    state.status = "succeeded"
  else
    state.error = reason(dir, exit)
  end
  return state
end

-- exit.json -> the state, or nil where there is none
function M.ending(dir)
  local exit, words = store.read_json(dir .. "/exit.json")
  if exit then return ended(dir, exit) end
  return words and {status = "failed", exit = {}, error = failure("damaged", "%s", words)} or nil
end

local ending = M.ending

local function lost(dir, started)
  return {status = "failed", started_at = number(started.started_at), exit = {},
    error = failure("runner_killed", "the runner of this job ended without a word: it was killed, or the machine "
      .. "went down%s", M.last_words(dir) and ("; the log ends with: " .. M.last_words(dir)) or "")}
end

local function exists(path) return fs.stat(path) ~= nil end

-- The state of a job whose runner holds the lock
function M.alive(dir)
  local started = store.read_json(dir .. "/started.json") or {}
  local status = started.pid and "running" or "queued"
  if exists(dir .. "/cancel") then
    status = "cancelling"
  elseif started.pid and exists(dir .. "/paused") then
    status = "paused"
  end
  return {status = status, started_at = number(started.started_at)}
end

-- -> {status = queued running paused cancelling succeeded failed cancelled, started_at, finished_at, exit (the runner's
-- words, of an ended job), error {code, message}}; nil: the directory has never had a runner; nil, words
function M.state(dir)
  local state = ending(dir)
  if state then return state end
  local holder, words, code = core.lock_holder(dir .. "/lock")
  if holder == nil then return nil, code ~= ENOENT and words or nil end
  if holder then return M.alive(dir) end
  -- it may have ended since the first look
  return ending(dir) or lost(dir, store.read_json(dir .. "/started.json") or {})
end

-- ---- signals ----

-- The process group of the step that runs now, while its runner holds the lock; or nil
local function group(dir)
  local started = store.read_json(dir .. "/started.json")
  local pid = started and math.tointeger(number(started.pid) or 0) or 0
  return pid > 1 and core.lock_holder(dir .. "/lock") and pid or nil
end

local function mark(dir, name)
  local ok, words = fs.write(dir .. "/" .. name, "")
  if ok then return true end
  return store.failed(words)
end

-- Asks the runner to end the job; the mark stays, so that it is known who wanted that. -> true | nil, err
function M.cancel(dir)
  local ok, err = mark(dir, "cancel")
  if not ok then return nil, err end
  local holder = core.lock_holder(dir .. "/lock")
  if holder then core.kill(holder, "TERM") end
  return true
end

-- Sends the running step that signal. Between two steps there is none for a moment: the next one is waited for.
-- -> true | nil, err (kind "conflict": nothing runs)
local function tell(dir, signal, sleep)
  local limit = core.now() + RETRY
  repeat
    local pid = group(dir)
    if not pid then break end
    local told, words, code = core.kill(-pid, signal)
    if told then return true end
    if code ~= ESRCH then return store.failed(words) end
    sleep(PAUSE)
  until core.now() > limit
  return nil, core.error {kind = "conflict", message = "no step of the job runs: only a running job can be paused"}
end

-- Stops the processes of the running step, where there is one. The mark comes first: a job that is said to be paused
-- and runs ends some day, one that is said to run and is stopped never does. sleep(seconds). -> true | nil, err
function M.pause(dir, sleep)
  if exists(dir .. "/cancel") then
    return nil, core.error {kind = "conflict", message = "the job is being cancelled"}
  end
  if not group(dir) then
    return nil, core.error {kind = "conflict", message = "the job has not begun: only a running job can be paused"}
  end
  local ok, err = mark(dir, "paused")
  if ok then ok, err = tell(dir, "STOP", sleep) end
  if not ok then fs.remove(dir .. "/paused") end
  return ok, err
end

-- -> true | nil, err
function M.resume(dir, sleep)
  if group(dir) then
    local ok, err = tell(dir, "CONT", sleep)
    if not ok and err.kind ~= "conflict" then return nil, err end
  end
  fs.remove(dir .. "/paused")
  return true
end

return M
