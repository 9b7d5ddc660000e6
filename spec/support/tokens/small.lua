-- small.lua: a vocabulary for specs: every byte, and a few words of "abcd" that are merged in an order of their own.

local M = {}

M.words = {"ab", "cd", "bc", "abc", "da", "abcd", "dd", "ddd", "dddd", "ca", "cab", "bcda", "aa", "aaaa"}
M.ranks = {}
for i, word in ipairs(M.words) do M.ranks[word] = 255 + i end

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- base64
function M.encode(s)
  local out = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local word = a << 16 | (b or 0) << 8 | (c or 0)
    for k = 18, 0, -6 do
      local d = word >> k & 63
      out[#out + 1] = DIGITS:sub(d + 1, d + 1)
    end
    if not c then out[#out] = "=" end
    if not b then out[#out - 1] = "=" end
  end
  return table.concat(out)
end

-- Lines of all single bytes
function M.bytes()
  local lines = {}
  for c = 0, 255 do lines[c + 1] = ("%s %d\n"):format(M.encode(string.char(c)), c) end
  return table.concat(lines)
end

function M.text()
  local lines = {M.bytes()}
  for _, word in ipairs(M.words) do lines[#lines + 1] = ("%s %d\n"):format(M.encode(word), M.ranks[word]) end
  return table.concat(lines)
end

-- Lines of n more tokens that nothing is merged to
function M.filler(n)
  local lines = {}
  for i = 1, n do lines[i] = ("%s %d\n"):format(M.encode(("#%07d"):format(i)), 1000 + i) end
  return table.concat(lines)
end

return M
