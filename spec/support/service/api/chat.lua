-- /chat/completions: what a model says. The training is only acted out, so a tuned model answers as its training
-- example that is nearest by its words, and a base model always says the same.
local blob_lines = require "service.api.examples"
local json = require "service.json"
local models = require "service.api.models"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local UNTUNED = "I have not been tuned."
local KNOWN = {model = true, messages = true, max_tokens = true, max_completion_tokens = true, temperature = true,
               seed = true}

local function refuse(param, words) reply.reject(400, words, param, "invalid_value") end

local function words_of(text)
  local set, n = {}, 0
  for word in text:lower():gmatch("[%w\128-\255]+") do
    if not set[word] then set[word], n = true, n + 1 end
  end
  return set, n
end

-- What the user said last, and what followed it
local function pair_of(messages)
  local said, answer
  for _, message in ipairs(json.is_array(messages) and messages or {}) do
    if message.role == "user" and type(message.content) == "string" then said, answer = message.content, nil end
    if message.role == "assistant" and type(message.content) == "string" then answer = message.content end
  end
  return said, answer
end

local function learned(model)
  if model.learned then return model.learned end
  model.learned = {}
  local file = store.files:get(model.training_file)
  for line in blob_lines.lines(file and file.blob) do
    local example = json.decode(line)
    local said, answer = pair_of(json.is_object(example) and example.messages)
    if said and answer then
      local words, n = words_of(said)
      table.insert(model.learned, {words = words, n = n, answer = answer})
    end
  end
  return model.learned
end

-- The answer of the example that shares the largest part of its words
local function nearest(model, said)
  local words, n = words_of(said)
  local best, most = UNTUNED, 0
  for _, example in ipairs(learned(model)) do
    local same = 0
    for word in pairs(words) do same = same + (example.words[word] and 1 or 0) end
    local score = same / math.max(1, n + example.n - same)
    if score > most then best, most = example.answer, score end
  end
  return best
end

local function check(body)
  for name in pairs(body) do
    if not KNOWN[name] then refuse(name, ("Unrecognized request argument supplied: %s"):format(name)) end
  end
  if not json.is_array(body.messages) or #body.messages == 0 then refuse("messages", "'messages' must be an array.") end
  for i, message in ipairs(body.messages) do
    if not json.is_object(message) or type(message.role) ~= "string" then
      refuse(("messages.[%d]"):format(i - 1), "A message is an object with a role.")
    end
  end
end

local function count(text) return math.max(1, #text // 4) end

function M.complete(req)
  check(req.json)
  local model = models.find(tostring(json.value(req.json.model) or ""))
  local said = pair_of(req.json.messages) or ""
  local text = model.base and UNTUNED or nearest(model, said)
  local prompt, made = count(said), count(text)
  return {
    id = store.id("chatcmpl-"), object = "chat.completion", created = store.now() // 1 | 0, model = model.id,
    choices = json.array {{index = 0, finish_reason = "stop",
                           message = {role = "assistant", content = text, refusal = json.null}}},
    usage = {prompt_tokens = prompt, completion_tokens = made, total_tokens = prompt + made},
  }
end

return M
