-- peer_cjson.lua: chat examples through lua-cjson.
--   lua peer_cjson.lua check FILE          decode, and the checks of OpenAI's cookbook, as peer_checks.py
--   lua peer_cjson.lua recode FILE OUT     decode, encode, write

local cjson = require "cjson"

local KEYS = {role = true, content = true, name = true, function_call = true, weight = true}
local ROLES = {system = true, user = true, assistant = true, ["function"] = true}
local errors = 0
local function tell() errors = errors + 1 end

local function has_unknown_key(message)
  for key in pairs(message) do
    if not KEYS[key] then return true end
  end
  return false
end

local function check(example)
  local messages = type(example) == "table" and example.messages
  if not messages or not messages[1] then return tell() end
  local assistants = 0
  for _, message in ipairs(messages) do
    local content = message.content
    if message.role == nil or content == nil then tell() end
    if has_unknown_key(message) then tell() end
    if not ROLES[message.role] then tell() end
    if ((not content or content == "") and not message.function_call) or type(content) ~= "string" then tell() end
    if message.role == "assistant" then assistants = assistants + 1 end
  end
  if assistants == 0 then tell() end
end

local out = arg[3] and assert(io.open(arg[3], "wb"))
local count = 0
for line in io.lines(arg[2]) do
  count = count + 1
  local ok, example = pcall(cjson.decode, line)
  if not ok then
    tell()
  elseif out then
    out:write(cjson.encode(example), "\n")
  else
    check(example)
  end
end
if out then assert(out:close()) end
print(count, errors)
