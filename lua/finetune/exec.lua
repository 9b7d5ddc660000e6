-- exec.lua: ctx:exec, a program that an operation runs to its end without blocking
-- anybody: argv as it is (no shell), its input and output in temporary files that only
-- this user can read. A cancelled operation, and one that is too late, kills it with
-- its group.

local core = require "finetune.core"

local context = core.context
local fs = core.fs

local TIMEOUT = 600 -- seconds
local MOST = 16 * 1024 * 1024 -- bytes of output, and as many of its errors
local FIRST_PAUSE, LAST_PAUSE = 0.001, 0.05 -- seconds between two looks

-- ---- temporary files ----

local Files = {}
Files.__close = function(files)
  for _, path in pairs(files) do os.remove(path) end
end

-- A new, empty file -> true | nil, words. os.tmpname makes it, or raises.
local function add(files, name)
  local ok, path = pcall(os.tmpname)
  if not ok then return nil, tostring(path) end
  files[name] = path
  return true
end

-- -> true | nil, words
local function write(path, text)
  local file, words = io.open(path, "wb")
  if not file then return nil, words end
  local ok, why = file:write(text)
  local closed, late = file:close()
  return ok and closed and true or nil, why or late
end

-- -> {stdout, stderr, stdin (where there is a text)} | nil, words
local function temporary(text)
  local files = setmetatable({}, Files)
  local ok, words = add(files, "stdout")
  if ok then ok, words = add(files, "stderr") end
  if ok and text then ok, words = add(files, "stdin") end
  if ok and text then ok, words = write(files.stdin, text) end
  if ok then return files end
  Files.__close(files)
  return nil, words
end

local function read(path, most)
  local file <close> = io.open(path, "rb")
  return file and file:read(most) or ""
end

local function size_of(path)
  local found = fs.stat(path)
  return found and found.size or 0
end

-- ---- running ----

-- Until it has ended -> true, exit status, or signal | nil, err
local function finish(ctx, child, files, t)
  local timeout, most = t.timeout or TIMEOUT, t.max_bytes or MOST
  local limit, pause = core.now() + timeout, FIRST_PAUSE
  while true do
    local code, signal = child:poll()
    local long = size_of(files.stdout) > most or size_of(files.stderr) > most
    if long then return ctx.fail("decode", "%s printed more than %d bytes", t.argv[1], most) end
    if code ~= nil then return true, code or nil, signal end
    local left = limit - core.now()
    if left <= 0 then return ctx.fail("timeout", "%s did not end within %g s", t.argv[1], timeout) end
    ctx:sleep(math.min(pause, left))
    pause = math.min(pause * 1.5, LAST_PAUSE)
  end
end

-- Words of an argument vector that no program can be given, or nil
local function wrong_argv(argv)
  for i, word in ipairs(argv) do
    if type(word) ~= "string" then return ("argument %d is a %s, not a string"):format(i, type(word)) end
    if word:find("\0", 1, true) then return ("argument %d has a NUL in it"):format(i) end
  end
end

-- t: argv (array of strings), stdin (a text), cwd, env (name -> value: the whole environment; nil: this
-- process's own), timeout (600 s), max_bytes (16 MiB) of stdout and of stderr.
-- -> {code (exit status) or signal, stdout, stderr} | nil, err: kind "config" where it cannot be started,
-- "timeout", "decode" where it prints more than max_bytes
function context:exec(t)
  if type(t) ~= "table" or type(t.argv) ~= "table" or t.argv[1] == nil then
    error("ctx:exec: takes a table with argv, an array of strings", 2)
  end
  local wrong = wrong_argv(t.argv)
  if wrong then return self.fail("invalid", "%s", wrong) end
  local files <close>, why = temporary(t.stdin)
  if not files then return self.fail("server", "%s", why) end
  local child <close>, words = core.spawn {argv = t.argv, env = t.env, cwd = t.cwd, stdin = files.stdin,
    stdout = files.stdout, stderr = files.stderr}
  if not child then return self.fail("config", "%s", words) end
  local ok, code, signal = finish(self, child, files, t)
  if not ok then return nil, code end
  local most = t.max_bytes or MOST
  return {code = code, signal = signal, stdout = read(files.stdout, most), stderr = read(files.stderr, most)}
end

return context.exec
