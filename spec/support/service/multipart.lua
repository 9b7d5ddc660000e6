-- multipart/form-data, parsed as it streams: every part goes into a blob, so a
-- gigabyte passes through in blocks.
local blob = require "service.blob"

local MAX_HEAD = 16 * 1024

local M = {}
local Parser = {__index = {}}
local methods = Parser.__index

-- nil when the content type is not multipart with a boundary.
function M.new(content_type, options)
  local boundary = content_type:match("^%s*multipart/form%-data.*[;%s]boundary=\"([^\"]+)\"")
    or content_type:match("^%s*multipart/form%-data.*[;%s]boundary=([^;%s]+)")
  if not boundary then return nil end
  -- The first delimiter has no line end before it: lend it one.
  return setmetatable({buf = "\r\n", delimiter = "\r\n--" .. boundary, state = "data", parts = {},
                       options = options}, Parser)
end

local function attribute(text, name)
  return text:match("[;%s]" .. name .. "=\"([^\"]*)\"") or text:match("[;%s]" .. name .. "=([^;%s]+)")
end

local function parse_head(text)
  local part = {headers = {}}
  for line in text:gmatch("[^\r\n]+") do
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then part.headers[name:lower()] = value end
  end
  local disposition = part.headers["content-disposition"] or ""
  part.name, part.filename = attribute(disposition, "name"), attribute(disposition, "filename")
  part.type = part.headers["content-type"]
  return part
end

-- Each state takes what it can from the buffer; true when it wants another turn.
local states = {}

function states:data()
  local at = self.buf:find(self.delimiter, 1, true)
  local keep = at and at or math.max(1, #self.buf - #self.delimiter + 2)
  if self.part then self.part.blob:write(self.buf:sub(1, keep - 1)) end
  if not at then
    self.buf = self.buf:sub(keep)
    return false
  end
  self.buf, self.part, self.state = self.buf:sub(at + #self.delimiter), nil, "border"
  return true
end

function states:border()
  if #self.buf < 2 then return false end
  local two = self.buf:sub(1, 2)
  if two == "--" then
    self.state = "epilogue"
  elseif two == "\r\n" then
    self.state, self.buf = "head", self.buf:sub(3)
  else
    self.state = "broken"
  end
  return true
end

function states:head()
  local from, to = self.buf:find("\r\n\r\n", 1, true)
  if not from then
    if #self.buf > MAX_HEAD then self.state = "broken" end
    return false
  end
  self.part = parse_head(self.buf:sub(1, from - 1))
  self.part.blob = blob.new(self.options)
  self.parts[#self.parts + 1] = self.part
  self.buf, self.state = self.buf:sub(to + 1), "data"
  return true
end

function states:epilogue()
  self.buf = ""
  return false
end

states.broken = states.epilogue

function methods:write(chunk)
  self.buf = self.buf .. chunk
  while states[self.state](self) do end
end

-- True when the closing delimiter was there.
function methods:finished() return self.state == "epilogue" end

-- The part of that name, and the text of a plain field.
function methods:get(name)
  for _, part in ipairs(self.parts) do
    if part.name == name then return part end
  end
end

function methods:field(name)
  local part = self:get(name)
  return part and part.blob:text()
end

return M
