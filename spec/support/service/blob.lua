-- Bytes that a client sent: counted and hashed as they stream in, kept in memory
-- while small, then in an anonymous temporary file (it has no name, so nothing
-- is left behind however the service ends), and past KEEP not kept at all.
local digest = require "openssl.digest"

local MEMORY = 256 * 1024
local KEEP = 64 * 1024 * 1024
local BLOCK = 64 * 1024

local M = {}
local Blob = {__index = {}}
local methods = Blob.__index

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- `hash = false` spares the digest where only the count matters.
function M.new(options)
  local hash = not options or options.hash ~= false
  local blob = {bytes = 0, newlines = 0, pieces = {}, digest = hash and digest.new("sha256") or nil}
  return setmetatable(blob, Blob)
end

local function count_newlines(chunk)
  local n, at = 0, chunk:find("\n", 1, true)
  while at do
    n, at = n + 1, chunk:find("\n", at + 1, true)
  end
  return n
end

function methods:write(chunk)
  if #chunk == 0 then return end
  self.bytes = self.bytes + #chunk
  self.newlines = self.newlines + count_newlines(chunk)
  self.ends_line = chunk:byte(-1) == 10
  if self.digest then self.digest:update(chunk) end
  self:store(chunk)
end

function methods:store(chunk)
  if self.bytes > KEEP then
    self:drop()
  elseif self.file then
    self.file:write(chunk)
  else
    self.pieces[#self.pieces + 1] = chunk
    if self.bytes > MEMORY then self:spill() end
  end
end

function methods:spill()
  self.file = assert(io.tmpfile())
  self.file:write(table.concat(self.pieces))
  self.pieces = {}
end

-- Forgets the bytes; the count and the hash stay.
function methods:drop()
  if self.file then self.file:close() end
  self.file, self.pieces, self.lost = nil, {}, true
end

function methods:sha256()
  if self.digest then
    self.sha = hex(self.digest:final())
    self.digest = nil
  end
  return self.sha
end

-- An iterator over the content in blocks, or nil when it was not kept.
function methods:blocks()
  if self.lost then return nil end
  if self.file then
    self.file:seek("set", 0)
    return function() return self.file:read(BLOCK) end
  end
  local text = table.concat(self.pieces)
  self.pieces = {text}
  return function()
    local block = text
    text = nil
    return block ~= "" and block or nil
  end
end

function methods:text()
  local all = {}
  for block in self:blocks() or function() end do all[#all + 1] = block end
  return table.concat(all)
end

-- Lines, counting a last one that has no newline.
function methods:lines()
  if self.bytes == 0 then return 0 end
  return self.newlines + (self.ends_line and 0 or 1)
end

-- Several blobs, in order, as one: the parts of an upload.
local Joined = {__index = setmetatable({}, {__index = methods})}

function M.join(parts)
  local joined = {bytes = 0, newlines = 0, parts = parts}
  for _, part in ipairs(parts) do
    joined.bytes = joined.bytes + part.bytes
    joined.newlines = joined.newlines + part.newlines
    joined.lost = joined.lost or part.lost
    if part.bytes > 0 then joined.ends_line = part.ends_line end
  end
  return setmetatable(joined, Joined)
end

function Joined.__index:blocks()
  if self.lost then return nil end
  local i, next_block = 0, function() end
  return function()
    local block = next_block()
    while not block and i < #self.parts do
      i = i + 1
      next_block = self.parts[i]:blocks()
      block = next_block()
    end
    return block
  end
end

function Joined.__index:hash(name)
  local blocks = self:blocks()
  if not blocks then return nil end
  local sum = digest.new(name)
  for block in blocks do sum:update(block) end
  return hex(sum:final())
end

function Joined.__index:sha256()
  self.sha = self.sha or self:hash("sha256")
  return self.sha
end

function Joined.__index:md5() return self:hash("md5") end

return M
