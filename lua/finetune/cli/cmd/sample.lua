-- sample: one question to a model.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local text = require "finetune.cli.text"

local M = {}

local MOST = 16 * 1024 * 1024 -- bytes of a question

local function question(word)
  if word ~= "-" then return word end
  local s = io.stdin:read(MOST + 1)
  if not s or s == "" then errors.fail("usage", "standard input is empty: there is no question in it") end
  if #s > MOST then errors.fail("usage", "the question on standard input is longer than %s", text.bytes(MOST)) end
  return s
end

function M.run(ui, args)
  local provider, messages = ui:provider(), {}
  if args.system then messages[1] = {role = "system", content = args.system} end
  messages[#messages + 1] = {role = "user", content = question(args.text)}
  local answer, err = provider:sample(args.model, {messages = messages, max_tokens = args.max_tokens,
    temperature = args.temperature})
  answer = errors.check(answer, err, args.model)
  ui:document(fields.document("sample", answer, {provider = provider.name, model = args.model,
    text = answer.text or ""}))
  ui:line("%s", text.clean(answer.text or "", true))
  if answer.finish_reason == "length" then ui:note "(cut: the answer reached its longest; see --max-tokens)" end
end

return M
