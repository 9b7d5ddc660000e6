--[[
A server for answers that take their time, in a process of its own that dies with
this one. What it answers is what the request asks for, as JSON in the query `plan`:

  status   (200)     headers  {name = value}     wait   seconds before the head (0)
  body     array: a string is sent as a chunk, a number is a pause in seconds
  gzip     true: each chunk as a block of one gzip stream
  after    "end" (the default), "hold" (the connection stays, and says nothing more), "cut"

  local s <close> = stream.start()
  s.url "http://127.0.0.1:NNNN"    s:path(plan) -> the path to ask for
  s:log() -> {connections = how many there ever were, open = those that are,
              requests = array of {conn = its connection's number, accept = its header}}
]]
local json = require "dkjson"
local socket = require "socket"

local M = {}
local Server = {}
Server.__index = Server

-- ---- the child: `lua5.4 spec/support/stream.lua FILE`, which gets the port ----

local log = {connections = 0, open = 0, requests = {}}

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- A chunk of a gzip stream that is never compressed: a stored block of RFC 1951
local function stored(text, first)
  local head = first and "\31\139\8\0\0\0\0\0\0\3" or ""
  return head .. ("<BI2I2"):pack(0, #text, ~#text & 0xFFFF) .. text
end

-- Until the peer goes away
local function hold(conn)
  repeat until not conn:xread(-4096, "bn")
end

local function send_body(cqueues, conn, plan)
  local first = true
  for _, piece in ipairs(plan.body or {}) do
    if type(piece) == "number" then
      cqueues.sleep(piece)
    else
      if plan.gzip then piece = stored(piece, first) end
      first = false
      if not conn:xwrite(("%x\r\n%s\r\n"):format(#piece, piece), "bn") then return false end
    end
  end
  return true
end

-- -> may the connection be used again?
local function answer(cqueues, conn, plan)
  local head = {("HTTP/1.1 %d X"):format(plan.status or 200), "transfer-encoding: chunked"}
  if plan.gzip then head[#head + 1] = "content-encoding: gzip" end
  for name, value in pairs(plan.headers or {}) do head[#head + 1] = name .. ": " .. value end
  cqueues.sleep(plan.wait or 0)
  if not conn:xwrite(table.concat(head, "\r\n") .. "\r\n\r\n", "bn") then return false end
  if not send_body(cqueues, conn, plan) or plan.after == "cut" then return false end
  if plan.after == "hold" then return hold(conn) end
  return conn:xwrite("0\r\n\r\n", "bn")
end

local function read_request(conn)
  local line = conn:xread("*l", "tn")
  local target = line and line:match "^%u+ (%S+)"
  if not target then return nil end
  local request = {}
  for field in function() return conn:xread("*l", "tn") end do
    if field:match "^\r?$" then return target, request end
    request.accept = field:lower():match "^accept: *(.-)\r?$" or request.accept
  end
end

local function open(number)
  if number then return number end
  log.connections, log.open = log.connections + 1, log.open + 1
  return log.connections
end

-- A connection counts once it has asked for a plan; what else it may ask for is the log
local function serve(cqueues, conn)
  local number
  conn:onerror(function(_, _, code) return code end)
  for target, request in read_request, conn do
    local plan = json.decode(unescape(target:match "plan=(.*)$" or ""))
    if plan then
      number = open(number)
      request.conn = number
      table.insert(log.requests, request)
    end
    if not answer(cqueues, conn, plan or {body = {json.encode(log)}}) then break end
  end
  if number then log.open = log.open - 1 end
  conn:close()
end

local function main(file)
  local cqueues, sockets = require "cqueues", require "cqueues.socket"
  local loop, server = cqueues.new(), sockets.listen("127.0.0.1", 0)
  local _, _, port = server:localname()
  loop:wrap(function()
    for conn in server:clients() do
      loop:wrap(function() serve(cqueues, conn) end)
    end
  end)
  loop:wrap(function() -- the other end is the parent's
    repeat cqueues.poll {pollfd = 0, events = "r"} until not io.stdin:read(1)
    os.exit(0)
  end)
  local out <close> = assert(io.open(file, "w"))
  out:write(port, "\n")
  out:close()
  assert(loop:loop())
end

-- ---- the parent ----

function M.start()
  local file = os.tmpname()
  local pipe = assert(io.popen("exec \"$(command -v lua5.4 || command -v lua)\" spec/support/stream.lua " .. file, "w"))
  local deadline, port = socket.gettime() + 60, nil
  while not port and socket.gettime() < deadline do
    socket.sleep(0.002)
    local got <close> = assert(io.open(file))
    port = (got:read "L" or ""):match "^(%d+)\n"
  end
  os.remove(file)
  assert(port, "the stream server did not start")
  return setmetatable({pipe = pipe, port = tonumber(port), url = "http://127.0.0.1:" .. port}, Server)
end

function Server:stop()
  local pipe = self.pipe
  self.pipe = nil
  if pipe then pipe:close() end
end

Server.__close, Server.__gc = Server.stop, Server.stop

function Server.path(_, plan)
  local text = json.encode(plan):gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)
  return "/stream?plan=" .. text
end

function Server:log()
  local tcp = assert(socket.connect("127.0.0.1", self.port))
  tcp:settimeout(60)
  assert(tcp:send "GET /log HTTP/1.1\r\n\r\n")
  repeat until assert(tcp:receive "*l") == ""
  local size = tonumber(assert(tcp:receive "*l"), 16)
  local doc = assert(json.decode((assert(tcp:receive(size)))))
  tcp:close()
  return doc
end

if arg and arg[0] and arg[0]:find "support/stream%.lua$" then main(arg[1]) end

return M
