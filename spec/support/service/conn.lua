-- One connection: a cqueues socket read through a buffer of our own, so that
-- lines, counted bytes and "whatever is there" mix freely, and ended in the ways
-- in which a connection can end: in order, by a reset, or never.
local condition = require "cqueues.condition"
local cqueues = require "cqueues"
local luasocket = require "socket"

local BLOCK = 64 * 1024
local FOREVER = 3600

local M = {opened = 0, open = 0, peak = 0}
local Conn = {__index = {}}
local methods = Conn.__index

-- Everything that holds is let go by release().
local released, epoch = condition.new(), 0

function M.release()
  epoch = epoch + 1
  released:signal()
end

local function wrap(sock)
  sock:setmode("bn", "bn")
  sock:setbufsiz(BLOCK, BLOCK)
  sock:onerror(function(_, _, code) return code end)
  return setmetatable({sock = sock, buf = ""}, Conn)
end

function M.wrap(sock)
  M.opened = M.opened + 1
  M.open = M.open + 1
  M.peak = math.max(M.peak, M.open)
  local conn = wrap(sock)
  conn.number, conn.counted = M.opened, true
  return conn
end

-- A connection of the control port: not in the counts.
M.wrap_control = wrap

-- At most n bytes, as soon as there are any; nil at the end.
function methods:some(n)
  if self.buf ~= "" then
    local chunk = self.buf:sub(1, n)
    self.buf = self.buf:sub(n + 1)
    return chunk
  end
  return self.sock:xread(-math.min(n, BLOCK))
end

-- A line without its end, of at most `limit` bytes; nil and "eof" or "long".
function methods:line(limit)
  local from = 1
  while true do
    local at = self.buf:find("\n", from, true)
    if at then
      local text = self.buf:sub(1, at - 1):gsub("\r$", "")
      self.buf = self.buf:sub(at + 1)
      return text
    end
    if #self.buf > limit then return nil, "long" end
    from = #self.buf + 1
    local chunk = self.sock:xread(-BLOCK)
    if not chunk then return nil, "eof" end
    self.buf = self.buf .. chunk
  end
end

-- False when the peer is gone.
function methods:write(data)
  if self.closed then return false end
  return (self.sock:xwrite(data, "bn")) and true or false
end

function methods:close()
  if self.closed then return end
  self.closed = true
  if self.counted then M.open = M.open - 1 end
  self.sock:close()
end

-- An end that the peer reads as an end, whatever of its bytes we have not read:
-- closing at once would make the kernel answer those with a reset.
function methods:finish(seconds)
  if self.closed then return end
  local deadline = cqueues.monotime() + (seconds or 2)
  self.sock:shutdown("w")
  while cqueues.monotime() < deadline and self.sock:xread(-BLOCK, nil, deadline - cqueues.monotime()) do end
  self:close()
end

-- Closes with a reset: a linger time of zero, set through luasocket, since
-- cqueues has no such option.
function methods:reset()
  if self.closed then return end
  local borrowed = luasocket.tcp()
  borrowed:setfd(self.sock:pollfd())
  borrowed:setoption("linger", {on = true, timeout = 0})
  borrowed:setfd(-1)
  self:close()
end

-- Does nothing for a time (for ever, where none is given). True: go on. False:
-- the peer left, or everything was released. `deaf`: leave what the peer sends
-- in the kernel's buffers, so that it feels the back-pressure.
function methods:hold(seconds, deaf)
  local deadline, mine = cqueues.monotime() + (seconds or FOREVER), epoch
  local readable = {pollfd = self.sock:pollfd(), events = "r"}
  while epoch == mine do
    local left = deadline - cqueues.monotime()
    if left <= 0 then return true end
    if deaf then
      cqueues.poll(released, left)
    else
      local ready = cqueues.poll(readable, released, left)
      if ready == readable and not self:overhear() then return false end
    end
  end
  return false
end

-- Takes what came during a hold into the buffer; false at the end.
function methods:overhear()
  local chunk = self.sock:xread(-BLOCK, nil, 0)
  if not chunk then return not self.sock:eof("r") and self.sock:error("r") == nil end
  self.buf = self.buf .. chunk
  return true
end

return M
