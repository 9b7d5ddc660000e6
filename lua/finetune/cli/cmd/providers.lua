-- providers: what there is, what each can do, what it still needs and where to get it.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local finetune = require "finetune"
local needs = require "finetune.cli.needs"
local text = require "finetune.cli.text"

local M = {}

-- What people ask for beyond the required operations
local EXTRAS = {{"pause_job", "pause"}, {"list_checkpoints", "checkpoints"}, {"list_metrics", "metrics"},
  {"list_files", "files"}, {"sample", "sample"}, {"deploy_model", "deploy"}, {"estimate_cost", "cost"}}

local function extras(row)
  local has, list = {}, {}
  for _, op in ipairs(row.operations) do has[op] = true end
  for _, extra in ipairs(EXTRAS) do
    if has[extra[1]] then list[#list + 1] = extra[2] end
  end
  return table.concat(list, " ")
end

local function state(row)
  if row.error then return {"broken", "red"} end
  if row.ready then return {"ready", "green"} end
  return {"needs " .. table.concat(row.missing, " "), "yellow"}
end

local function list(ui, all)
  local rows = {}
  for i, row in ipairs(all) do
    rows[i] = {row.name .. (row.default and " *" or ""), row.description, state(row), extras(row)}
  end
  ui:columns({"provider", "service", "state", "can also"}, rows, 4)
  ui:note "* is used where no --provider is given. More about one: finetune providers NAME"
end

local function detail(ui, row)
  ui:line("%s  %s", ui:paint("bold", row.name), text.clean(row.description or ""))
  local function add(name, words) ui:line("  %s  %s", ui:paint("dim", text.pad(name, 8)), words) end
  if row.error then add("broken", row.error) end
  add("needs", #row.needs > 0 and table.concat(row.needs, " ") or "nothing")
  if #row.missing > 0 then add("missing", ui:paint("yellow", table.concat(row.missing, " "))) end
  if row.get then add("get it", row.get) end
  add("can", table.concat(row.operations, " "))
  local names = {}
  for name in pairs(row.lacks) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do add("cannot", text.clean(("%s: %s"):format(name, row.lacks[name]))) end
end

local function unknown(name)
  local _, err = finetune.get_provider(name)
  errors.check(nil, err)
end

function M.run(ui, args)
  local all = needs.all(args, args.name)
  if args.name and #all == 0 then unknown(args.name) end
  ui:document {providers = fields.array("provider", all)}
  if ui.json then return end
  if args.name then detail(ui, all[1]) else list(ui, all) end
end

return M
