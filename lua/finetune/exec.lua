-- exec.lua: ctx:exec, a program that an operation runs to its end without blocking
-- anybody: argv as it is (no shell), its input and output in temporary files that only
-- this user can read, and that have no name any more when it has begun: whatever is
-- killed, nothing stays. A cancelled operation, and one that is too late, kills it with
-- its group.

local core = require "finetune.core"

local context = core.context

local TIMEOUT = 600 -- seconds
local MOST = 16 * 1024 * 1024 -- bytes of output, and as many of its errors
local FIRST_PAUSE, LAST_PAUSE = 0.001, 0.05 -- seconds between two looks

-- ---- temporary files ----

-- {paths = {stdin, stdout, stderr}, stdout, stderr (open files)}
local Files = {}
Files.__index = Files

function Files:unlink()
  for name, path in pairs(self.paths) do
    os.remove(path)
    self.paths[name] = nil
  end
end

function Files:__close()
  self:unlink()
  for _, name in ipairs {"stdout", "stderr"} do
    if self[name] then self[name]:close() end
  end
end

-- A new, empty file, opened -> the file | nil, words. os.tmpname makes it, or raises.
local function add(files, name, mode)
  local ok, path = pcall(os.tmpname)
  if not ok then return nil, tostring(path) end
  files.paths[name] = path
  return io.open(path, mode)
end

-- -> true | nil, words
local function add_stdin(files, text)
  local file, words = add(files, "stdin", "wb")
  if not file then return nil, words end
  local ok, why = file:write(text)
  local closed, late = file:close()
  return ok and closed and true or nil, why or late
end

-- -> files | nil, words
local function temporary(text)
  local files, ok, words = setmetatable({paths = {}}, Files), true, nil
  for _, name in ipairs {"stdout", "stderr"} do
    if ok then
      files[name], words = add(files, name, "rb")
      ok = files[name]
    end
  end
  if ok and text then ok, words = add_stdin(files, text) end
  if ok then return files end
  files:__close()
  return nil, words
end

local function read(file, most)
  file:seek "set"
  return file:read(most) or ""
end

local function size_of(file) return file:seek "end" or 0 end

-- ---- running ----

-- Until it has ended -> true, exit status, or signal | nil, err
local function finish(ctx, child, files, t)
  local timeout, most = t.timeout or TIMEOUT, t.max_bytes or MOST
  local limit, pause = core.now() + timeout, FIRST_PAUSE
  while true do
    local code, signal = child:poll()
    local long = size_of(files.stdout) > most or size_of(files.stderr) > most
    if long then return ctx.fail("decode", "%s printed more than %d bytes", t.argv[1], most) end
    if code == false and not signal then
      return ctx.fail("config", "nobody can tell how %s ended: this process ignores SIGCHLD, or takes all its children",
        t.argv[1])
    end
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
  local paths = files.paths
  local child <close>, words = core.spawn {argv = t.argv, env = t.env, cwd = t.cwd, stdin = paths.stdin,
    stdout = paths.stdout, stderr = paths.stderr}
  files:unlink()
  if not child then return self.fail("config", "%s", words) end
  local ok, code, signal = finish(self, child, files, t)
  if not ok then return nil, code end
  local most = t.max_bytes or MOST
  return {code = code, signal = signal, stdout = read(files.stdout, most), stderr = read(files.stderr, most)}
end

return context.exec
