-- models, model rm: what can be tuned and asked, and what was tuned.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local text = require "finetune.cli.text"

local M = {}

-- -> function(model): was it tuned here? Some services say so in its name; of the others the jobs know
local function of_jobs(provider)
  local made = {}
  for _, job in ipairs(provider:supports "list_jobs" and listing.all(provider, "jobs", {}) or {}) do
    made[job.fine_tuned_model or ""] = true
  end
  return function(model) return made[model.id] or model.id:find "^ft:" or model.id:find "^local:" end
end

function M.run(ui, args)
  local provider = ui:provider()
  local list, rows = {}, {}
  local is_mine = args.mine and of_jobs(provider)
  for _, model in ipairs(listing.all(provider, "models", {})) do
    if not is_mine or is_mine(model) then list[#list + 1] = model end
  end
  for i, m in ipairs(list) do
    rows[i] = {m.id, m.owned_by, m.created_at and text.time(m.created_at, "%Y-%m-%d"),
      m.shutdown_date and {m.shutdown_date, "yellow"} or "-"}
  end
  ui:document {models = fields.array("model", list, {provider = provider.name})}
  if #rows == 0 then return ui:note "There are no models." end
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
