-- chat.lua: the operation `sample` of services that have OpenAI's /chat/completions beside a fine-tuning API of their
-- own shape: P.sample = finetune.chat "/chat/completions".

local core = require "finetune.core"
local reader = require "finetune.reader"

local M = {}

local KNOWN = {model = true, messages = true, prompt = true, max_tokens = true, temperature = true, extra = true,
  timeout = true}

local to_sample = reader.reader("a completion", {
  text = "choices.1.message.content", finish_reason = "choices.1.finish_reason", usage = "usage:table",
})

local function invalid(name, words)
  return nil, core.error {kind = "invalid", param = name, message = name .. " " .. words}
end

local function messages_of(params)
  if params.messages and params.prompt then return invalid("prompt", "and messages were both given: give one") end
  if params.messages then return params.messages end
  if params.prompt then return {{role = "user", content = params.prompt}} end
  return invalid("messages", "are missing: give an array of them, or a prompt")
end

-- path: where the service has it, or function(ctx, params) -> that
-- -> function(ctx, params) -> {text, finish_reason, usage, raw} | nil, err
function M.chat(path)
  return function(ctx, params)
    for name in pairs(params) do
      if not KNOWN[name] then return invalid(name, "is not known to sample here (anything else: `extra`)") end
    end
    local messages, err = messages_of(params)
    if not messages then return nil, err end
    local body = {model = params.model, messages = messages, max_tokens = params.max_tokens,
      temperature = params.temperature}
    for key, value in pairs(params.extra or {}) do body[key] = value end
    local response
    response, err = ctx:request {method = "POST", path = type(path) == "function" and path(ctx, params) or path,
      json = body, retry = "idempotent"} -- nothing is made by it
    if not response then return nil, err end
    local choices = type(response.json) == "table" and response.json.choices
    if type(choices) ~= "table" or type(choices[1]) ~= "table" or type(choices[1].message) ~= "table" then
      return ctx.fail("decode", "the service's answer is not a completion")
    end
    return to_sample(response.json)
  end
end

return M
