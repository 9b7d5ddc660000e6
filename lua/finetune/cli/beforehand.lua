-- beforehand.lua: what can be wrong with a job is found before anything is uploaded for it.

local config = require "finetune.cli.config"
local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local finetune = require "finetune"
local listing = require "finetune.cli.listing"
local text = require "finetune.cli.text"

local M = {}

-- Services whose list of models names all that they tune; of the others nobody knows it before they answer
local LISTED = {openai = true, together = true}
local FATAL = {auth = true, transport = true, timeout = true, interrupted = true} -- an upload would meet it too

-- The provider's own checks of create_job's parameters; raises
function M.parameters(ui, provider, params, validation)
  local p = {validation_file = validation}
  for name, value in pairs(params) do p[name] = value end
  local ok, err = finetune.check_job(provider.name, config.settings(ui.args, provider.name), p)
  if ok then return end
  local told = {exit = err.kind == "invalid" and errors.USAGE or nil}
  for name, value in pairs(err) do told[name] = value end
  if err.kind == "invalid" then
    told.message = text.clean(err.message):gsub(" %(anything else: `extra`%)", "") .. "; nothing was sent"
    told.next = "mend it; what the service takes beyond that goes to it as --set extra.NAME=VALUE"
  end
  error(errors.new(told), 0)
end

-- The names of the service's models; nil where it does not tell this key
local function names(provider)
  local ok, list = pcall(listing.all, provider, "models", {})
  if not ok then
    if type(list) ~= "table" or FATAL[list.kind] then error(list, 0) end
    return nil
  end
  local ids = {}
  for i, model in ipairs(list) do ids[i] = model.id end
  return ids
end

local function has(list, wanted)
  for _, name in ipairs(list) do
    if name == wanted then return true end
  end
  return #list == 0 -- who lists nothing says nothing
end

-- Raises where the service has no such model: neither its list has it, nor does it answer for the name
function M.model(ui, provider, model)
  local list = LISTED[provider.name] and names(provider)
  if not list or has(list, model) then return end
  local found, err = provider:get_model(model)
  if found or (err.kind ~= "not_found" and err.kind ~= "invalid") then return end
  local nearest = core.nearest(model, list)
  errors.advise("not_found", ("finetune%s models   (those that there are)"):format(ui:again(provider)),
    "%s has no model '%s'%s; nothing was sent", provider.name, text.clean(model),
    nearest and (" (did you mean '%s'?)"):format(text.clean(nearest)) or "")
end

return M
