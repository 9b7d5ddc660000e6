-- data_texts.lua: texts to count the tokens of, as files with a NUL behind each text.

local M = {}

local REAL_BYTES, PIECE = 20 * 1000 * 1000, 1500
local ODD_BYTES, ODD_PIECE = 2 * 1000 * 1000, 5000

-- What a system with a compiler has of documentation and source, in a fixed order; other machines, other texts
local FIND = "find -L /usr/share/doc /usr/include /usr/lib/python3 /usr/share/perl /usr/share/lua "
  .. "/usr/share/node_modules -type f -size -400k \\( -name '*.md' -o -name '*.txt' -o -name '*.rst' -o -name '*.h' "
  .. "-o -name '*.py' -o -name '*.pm' -o -name '*.lua' -o -name '*.js' -o -name 'README*' -o -name copyright \\) "
  .. "2>/dev/null | LC_ALL=C sort"

-- A text in pieces of about so many bytes, cut behind ends of lines
local function pieces(file, text)
  local at = 1
  while at <= #text do
    local _, stop = text:find("\n", at + PIECE, true)
    file:write(text:sub(at, stop or #text), "\0")
    at = (stop or #text) + 1
  end
end

-- The name of a file of real text, made where it is not there
function M.real(dir)
  local path, bytes, seen = dir .. "/real.texts", 0, {}
  local made = io.open(path, "rb")
  if made then
    made:close()
    return path
  end
  local out <close> = assert(io.open(path, "wb"))
  local list <close> = assert(io.popen(FIND))
  for name in list:lines() do
    local file = bytes < REAL_BYTES and io.open(name, "rb")
    local text = file and file:read "a" or ""
    if file then file:close() end
    if #text > 200 and not seen[text] and utf8.len(text) and not text:find("\0", 1, true) then
      seen[text] = true
      pieces(out, text)
      bytes = bytes + #text
    end
  end
  return path
end

-- ---- what makes a tokenizer slow: found in reports about others, or by thinking of their loops ----

local state = 1
local function random(n) -- splitmix64
  state = state + 0x9E3779B97F4A7C15
  local z = (state ~ state >> 30) * 0xBF58476D1CE4E5B9
  z = (z ~ z >> 27) * 0x94D049BB133111EB
  return ((z ~ z >> 31) >> 33) % n
end

local function letters(set) -- a text of characters drawn from an array
  return function()
    local list = {}
    for i = 1, ODD_PIECE do list[i] = set[random(#set) + 1] end
    return table.concat(list)
  end
end

local function split(text)
  local list = {}
  for _, c in utf8.codes(text) do list[#list + 1] = utf8.char(c) end
  return list
end

local function range(from, to)
  local list = {}
  for c = from, to do list[#list + 1] = utf8.char(c) end
  return list
end

local ODD = {
  {"one letter", letters {"a"}},
  {"two letters", letters {"a", "b"}},
  {"lower case", letters(range(97, 122))},
  {"base64", letters(split "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")},
  {"DNA", letters(split "ACGT")},
  {"capitals and small ones", letters(split "aAbBcCdDeE")},
  {"blanks", letters {" "}},
  {"blanks and tabs", letters {" ", "\t"}},
  {"line ends", letters {"\n"}},
  {"digits", letters(split "0123456789")},
  {"one sign", letters {"="}},
  {"signs", letters(split "!#$%&()*+-./:;<=>?@[]^_{|}~")},
  {"apostrophes", letters {"'", "s", "'", "r", "e", "l"}},
  {"any ASCII", letters(range(32, 126))},
  {"Cyrillic", letters(range(0x430, 0x44F))},
  {"Chinese", letters(range(0x4E00, 0x9FFF))},
  {"Hangul", letters(range(0xAC00, 0xD7A3))},
  {"Thai", letters(range(0xE01, 0xE2E))},
  {"combining marks", letters(range(0x300, 0x36F))},
  {"emoji", letters(range(0x1F300, 0x1F64F))},
}

-- -> array of {name, path}
function M.odd(dir)
  local list = {}
  for i, one in ipairs(ODD) do
    local path, bytes = ("%s/odd-%d.texts"):format(dir, i), 0
    local file <close> = assert(io.open(path, "wb"))
    while bytes < ODD_BYTES do
      local text = one[2]()
      file:write(text, "\0")
      bytes = bytes + #text
    end
    list[i] = {name = one[1], path = path}
  end
  return list
end

return M
