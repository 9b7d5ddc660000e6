-- checkpoints: those of one job.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local text = require "finetune.cli.text"

local M = {}

local SHOWN = {"train_loss", "valid_loss", "full_valid_loss"}

local function metrics_words(metrics)
  local words = {}
  for _, name in ipairs(SHOWN) do
    local value = type(metrics) == "table" and metrics[name]
    if type(value) == "number" then words[#words + 1] = ("%s %s"):format(name:gsub("_", " "), text.number(value)) end
  end
  return table.concat(words, ", ")
end

function M.run(ui, args)
  local provider, id = ui:split(args.id)
  local ok, list = pcall(listing.all, provider, "checkpoints", {job_id = id})
  if not ok then errors.check(nil, list, id) end
  local rows = {}
  for i, c in ipairs(list) do
    rows[i] = {c.id, c.step and text.number(c.step), text.time(c.created_at), c.model, metrics_words(c.metrics)}
  end
  ui:document {job = id, provider = provider.name, checkpoints = fields.array("checkpoint", list)}
  if #rows == 0 then return ui:note "The job has no checkpoints." end
  ui:columns({"checkpoint", ">step", "created", "model", "metrics"}, rows, 4)
end

return M
