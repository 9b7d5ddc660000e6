-- JSON made by chance, and broken by chance: the same for a seed. Half of the texts are meant to be
-- good; what is meant does not matter, since two parsers are asked.

local M = {}

local random = math.random

local function one_of(list)
  return list[random(#list)]
end

local PIECES = {"a", "word", " ", "0", "\\n", "\\\"", "\\\\", "\\/", "\\u00e9", "\\uD83D\\uDE00", "\\u0000", "é", "€",
  "😀", "\x7f", "a longer piece of text that fills a block", "\u{2028}", "\u{d7ff}", "\u{e000}", "\u{10ffff}"}
local NUMBERS = {"0", "-0", "1", "-12", "3.25", "1e5", "1E-3", "0.5e+2", "123456789", "1e300", "-0.0"}
local WORDS = {"true", "false", "null"}
local SPACES = {"", "", "", " ", "\n", "\t", "\r\n", "  "}
-- what a broken text gets: bytes and tokens in which parsers differ
local FAULTS = {"[", "]", "{", "}", ",", ":", '"', "\\", "0", "01", "-", "+", ".", "e", "0x10", "-0x1", "NaN", "nan",
  "Infinity", "-Infinity", "inf", "1e", ".5", "5.", "1e999", "\0", "\x01", "\n", "\t", "\x1f", "\x80", "\xc0\xaf",
  "\xe9", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\\u", "\\ud800", "\\udc00", "\\u12", "\\x", "\\ud83d\\u0041",
  "'", "/**/", "//", "\xef\xbb\xbf", "\xc2\xa0", "True", "tru", "\f", "\v", "1 2"}

local function str()
  local parts = {}
  for i = 1, random(0, 6) do parts[i] = one_of(PIECES) end
  return '"' .. table.concat(parts) .. '"'
end

local function sp()
  return one_of(SPACES)
end

local function value(depth)
  local kind = random(depth > 3 and 3 or 5)
  if kind == 1 then return str() end
  if kind == 2 then return one_of(NUMBERS) end
  if kind == 3 then return one_of(WORDS) end
  local parts = {}
  for i = 1, random(0, 4) do
    local item = sp() .. value(depth + 1) .. sp()
    parts[i] = kind == 4 and item or sp() .. str() .. sp() .. ":" .. item
  end
  local inside = table.concat(parts, ",")
  if inside == "" then inside = sp() end
  return kind == 4 and "[" .. inside .. "]" or "{" .. inside .. "}"
end

local function broken(text)
  for _ = 1, random(2) do
    local at, kind = random(0, #text), random(4)
    local head, tail = text:sub(1, at), text:sub(at + 1)
    if kind == 1 then text = head .. one_of(FAULTS) .. tail
    elseif kind == 2 then text = head .. tail:sub(2)
    elseif kind == 3 then text = head .. one_of(FAULTS) .. tail:sub(2)
    else text = head end
  end
  return text
end

-- count texts
function M.make(count, seed)
  math.randomseed(seed)
  local texts = {}
  for i = 1, count do
    local text = sp() .. value(random(3)) .. sp()
    texts[i] = i % 2 == 0 and text or broken(text)
  end
  return texts
end

return M
