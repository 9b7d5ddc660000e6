-- labels.lua: chat examples as a trainer of text classifiers wants them: what the user says as one line of words, and
-- the answer as its label. A recipe that holds some of them back does so by `chance`: for the same seed and text it is
-- the same, so that equal texts are on one side.

local core = require "finetune.core"
local evaluate = require "finetune.evaluate"

local M = {}

local SLICE = 200 -- examples between two pauses

local function failed(format, ...) return nil, core.error {kind = "data", message = format:format(...)} end

-- ---- texts ----

local LOWER = {}
for byte = 65, 90 do LOWER[string.char(byte)] = string.char(byte + 32) end

-- One line: lower case (of ASCII, whatever the locale is), each sign a word of its own, no control characters.
-- So no text can begin a line of its own, nor have a word that begins with __label__ or is fastText's </s>.
function M.clean(text)
  text = text:gsub("[A-Z]", LOWER):gsub("[!-/:-@[-`{-~]", " %0 ")
  return (text:gsub("[\0-\32\127]+", " "):match "^ ?(.-) ?$")
end

-- A message's text | nil, words
local function content_of(message)
  local content, parts = message.content, {}
  if type(content) == "string" then return content end
  for i, part in ipairs(type(content) == "table" and content or {}) do
    local text = type(part) == "table" and part.text
    if type(text) ~= "string" then return nil, "a user message has a part that is no text" end
    parts[i] = text
  end
  if not parts[1] then return nil, "a user message has no text" end
  return table.concat(parts, " ")
end

-- What the user says in these messages -> one line | nil, words
function M.text_of(messages)
  local said = {}
  for _, message in ipairs(messages) do
    if type(message) == "table" and message.role == "user" then
      local text, words = content_of(message)
      if not text then return nil, words end
      said[#said + 1] = text
    end
  end
  if not said[1] then return nil, "there is no user message" end
  return M.clean(table.concat(said, " "))
end

-- ---- files of labels and texts ----

-- Labels are percent-encoded: one word, from which the label can be had again
function M.unescape(word)
  return (word:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

-- A file to write: add(label, text) -> true | nil, words
function M.writer(path)
  local file, words = io.open(path, "wb")
  if not file then return nil, words end
  return setmetatable({
    add = function(label, text) return file:write("__label__", core.escape(label), " ", text, "\n") end,
    close = function() return file:close() end,
  }, {__close = function() if io.type(file) == "file" then file:close() end end})
end

-- ---- the examples of a file ----

local function read_line(line)
  local doc, words = core.decode(line)
  if doc == nil then return nil, words end
  local example, wrong = evaluate.example_of(doc)
  if not example then return nil, wrong end
  local text, why = M.text_of(example.messages)
  if not text then return nil, why end
  return text, example.expected
end

-- take(text, label) -> true | nil, words; for every example, with pauses -> true | nil, err
function M.each_example(job, path, take)
  local file <close>, words = io.open(path, "rb")
  if not file then return failed("%s", words) end
  local number = 0
  for line in file:lines() do
    number = number + 1
    local text, label = read_line(line)
    local ok, why = true, label
    if text then ok, why = take(text, label) elseif not line:find "%S" then text = "" end
    if not text or not ok then return failed("line %d of the data: %s", number, why) end
    if number % SLICE == 0 then job.pause() end
  end
  return true
end

-- ---- held out or not ----

-- Mixes 64 bits (the constants are SplitMix64's)
local function mix(x)
  x = (x ~ (x >> 30)) * 0xbf58476d1ce4e5b9
  x = (x ~ (x >> 27)) * 0x94d049bb133111eb
  return x ~ (x >> 31)
end

-- 0 <= number < 1
function M.chance(seed, text)
  local x = mix(seed + 0x9e3779b97f4a7c15)
  text = text .. ("\0"):rep(-#text % 8)
  for i = 1, #text, 8 do x = mix(x ~ string.unpack("<i8", text, i)) end
  return (x >> 11) * 2.0 ^ -53
end

return M
