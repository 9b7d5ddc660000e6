-- wandb.lua: create_job's integrations = {{type = "wandb", wandb = {project = "p"}}} -> a service's own fields.
-- The user's key is never in the parameters: it is the provider's setting wandb_api_key (WANDB_API_KEY).
--
--   finetune.mapping {…, wandb = {api_key = "wandb.key", project = "wandb.project", set = {["wandb.on"] = true}}}

local core = require "finetune.core"

local M = {}

local WANTED = "has one integration, {type = 'wandb', wandb = {project = ...}}"

local function invalid(spec, words)
  return nil, core.error {kind = "invalid", param = "integrations",
    message = ("integrations: %s %s"):format(spec.service, words)}
end

-- {{type = "wandb", wandb = t}} -> t, or nil
local function only(list)
  local first = type(list) == "table" and list[2] == nil and list[1]
  local t = type(first) == "table" and first.type == "wandb" and first.wandb
  return type(t) == "table" and t or nil
end

-- Names of the fields that a user may give, for words
local function known(targets)
  local names = {}
  for name in pairs(targets) do
    if name ~= "api_key" and name ~= "set" then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, ", ")
end

-- spec (of a mapping): service, wandb = {api_key = path, project = path, …, set = {path = constant}}
-- -> {path = value} | nil, err (kind "invalid"; "config" where there is no key)
function M.read(ctx, spec, list)
  local given, targets, all = only(list), spec.wandb, {}
  if not given then return invalid(spec, WANTED) end
  for name, value in pairs(given) do
    if name == "api_key" or name == "set" or not targets[name] or type(value) ~= "string" or value == "" then
      return invalid(spec, ("takes the texts %s of wandb, not wandb.%s (the key is the setting wandb_api_key)"):format(
        known(targets), tostring(name)))
    end
    all[targets[name]] = value
  end
  for path, value in pairs(targets.set or {}) do all[path] = value end
  all[targets.api_key] = ctx.config.wandb_api_key
  if all[targets.api_key] then return all end
  return nil, core.error {kind = "config",
    message = "W&B needs your key: set WANDB_API_KEY, or give wandb_api_key to create_provider"}
end

return M
