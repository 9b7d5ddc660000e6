-- models, model rm: what can be tuned and asked, and what was tuned.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local text = require "finetune.cli.text"

local M = {}

-- Owned by the account, by the marks that services give: OpenAI's name of what was tuned, or not the service itself
local function is_mine(model)
  local owner = type(model.owned_by) == "string" and model.owned_by:lower() or ""
  return model.id:find "^ft:" ~= nil or model.id:find "^local:" ~= nil
    or (owner ~= "" and not owner:find "^openai" and not owner:find "^system")
end

function M.run(ui, args)
  local provider = ui:provider()
  local list, rows = {}, {}
  for _, model in ipairs(listing.all(provider, "models", {})) do
    if not args.mine or is_mine(model) then list[#list + 1] = model end
  end
  for i, m in ipairs(list) do
    rows[i] = {m.id, m.owned_by, m.created_at and text.time(m.created_at, "%Y-%m-%d"),
      m.shutdown_date and {m.shutdown_date, "yellow"} or "-"}
  end
  ui:document {models = fields.array("model", list, {provider = provider.name})}
  if #rows == 0 and not ui.json then return ui:note "There are no models." end
  ui:columns({"model", "owner", "created", "until"}, rows, 1)
end

function M.model(ui, args)
  local provider = ui:provider()
  local deleted, err = provider:delete_model(args.id)
  deleted = errors.check(deleted, err, args.id)
  ui:document(fields.document("deleted", deleted, {provider = provider.name, id = args.id, deleted = true}))
  ui:line("%s is deleted.", text.clean(args.id))
end

return M
