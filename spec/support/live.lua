--[[
What the specs with real sockets share: providers that talk to the loopback
service, files that go when they are not needed any more, and child processes.
]]
local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"
local socket = require "socket"

local M = {}

-- A provider for the service (or at that URL), quick to try again and to look again.
function M.provider(service, config)
  local url, key = service, "sk-live-0123456789"
  if type(service) == "table" then url, key = service.url, service.key end
  local settings = {base_url = url, api_key = key, retry_delay = 0.001, poll_interval = 0.02,
    ca_file = type(service) == "table" and service.ca_file or nil}
  for name, value in pairs(config or {}) do settings[name] = value end
  return assert(finetune.create_provider("openai", settings))
end

-- The error of an operation that must fail: M.failed(provider:get_job(id))
function M.failed(value, err)
  if value ~= nil or err == nil then error("it did not fail, but gave " .. tostring(value), 2) end
  if not finetune.is_error(err) then error("not an error value: " .. tostring(err), 2) end
  return err
end

-- Steps the engine until f() is true; raises after `seconds` (60: for the slowest machine).
function M.until_true(f, seconds)
  local deadline = core.now() + (seconds or 60)
  while not f() do
    if core.now() > deadline then error("it did not happen in time", 2) end
    finetune.step(0.01)
  end
end

-- The result of f(), and how long it took.
function M.timed(f)
  local began = core.now()
  local result = table.pack(f())
  return core.now() - began, table.unpack(result, 1, result.n)
end

-- A URL whose host never answers a connection (its queue is full), and what ends that.
function M.deaf_url()
  local server = assert(socket.bind("127.0.0.1", 0, 0))
  local _, port = server:getsockname()
  local fillers = {}
  for i = 1, 4 do
    fillers[i] = socket.tcp()
    fillers[i]:settimeout(0)
    fillers[i]:connect("127.0.0.1", port)
  end
  return ("http://127.0.0.1:%d/v1"):format(port), function()
    for _, filler in ipairs(fillers) do filler:close() end
    server:close()
  end
end

-- ---- files ----

local paths = {}

function M.path()
  local path = os.tmpname()
  paths[#paths + 1] = path
  return path
end

function M.file(content)
  local path = M.path()
  local file <close> = assert(io.open(path, "wb"))
  file:write(content)
  return path
end

-- A file of that size that takes no room.
function M.sparse(size)
  local path = M.path()
  shell.must(("truncate -s %d %s"):format(size, shell.quote(path)))
  return path
end

function M.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

function M.sha256(path)
  return shell.must("sha256sum " .. shell.quote(path)):match "^%x+"
end

local LINE = '{"messages":[{"role":"user","content":"number %d"},{"role":"assistant","content":"yes"}]}\n'

-- Training data of n lines, all different.
function M.lines(n)
  local list = {}
  for i = 1, n do list[i] = LINE:format(i) end
  return table.concat(list)
end

function M.clean()
  for _, path in ipairs(paths) do os.remove(path) end
  paths = {}
end

-- ---- child processes ----

local PRELUDE = [[
package.path = "./lua/?.lua;./lua/?/init.lua;./?.lua;" .. package.path
package.cpath = "./lua/?.so;" .. package.cpath
local finetune, live = require "finetune", require "spec.support.live"
]]

-- Runs `code` in a Lua of its own (`...`: the further arguments) -> status, its output
function M.child(code, ...)
  local words = {arg and arg[-1] and arg[-1]:find "lua" and arg[-1] or "lua5.4", M.file(PRELUDE .. code)}
  for i = 1, select("#", ...) do words[#words + 1] = tostring((select(i, ...))) end
  for i, word in ipairs(words) do words[i] = shell.quote(word) end
  return shell.run(table.concat(words, " "))
end

-- What this process has read so far, from files and all else.
function M.bytes_read()
  return tonumber(M.read("/proc/self/io"):match "rchar:%s*(%d+)")
end

-- Peak resident memory of this process in KiB.
function M.peak()
  return tonumber(M.read("/proc/self/status"):match "VmHWM:%s*(%d+)")
end

return M
