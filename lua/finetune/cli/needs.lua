-- needs.lua: what a provider still needs, and where to get it. Values of keys are looked
-- for, never shown.

local core = require "finetune.core"
local config = require "finetune.cli.config"
local finetune = require "finetune"
local text = require "finetune.cli.text"

local M = {}

local GET = {
  openai = "https://platform.openai.com/api-keys",
  azure = "https://ai.azure.com: your resource, Keys and endpoint",
  together = "https://api.together.ai/settings/api-keys",
  fireworks = "https://app.fireworks.ai/settings/users/api-keys; the account's id is in its settings",
  nebius = "https://tokenfactory.nebius.com: API keys",
  localai = "https://localai.io: a server of your own, then LOCALAI_BASE_URL=http://localhost:8080",
  ["local"] = "nothing: it trains on this machine",
  slurm = "your cluster: FINE_TUNE_SLURM_ROOT is a folder that all of its nodes see",
  gateway = "whoever runs the gateway",
}

-- A setting may have no variable: then `name` is false
local function is_set(name)
  local value = name and os.getenv(name)
  return value and value ~= ""
end

-- The profile's settings that go to that provider
local function own_profile(name, args)
  local profile = config.profile(args.profile)
  return (profile.provider == nil or profile.provider == name) and profile or {}
end

-- Where that comes from which the variable would give: "NAME set", "api_key in the profile"; nil: from nowhere
local function source(facts, variable, profile)
  if is_set(variable) then return variable .. " set" end
  for setting, names in pairs(type(facts.env) == "table" and facts.env or {}) do
    local ours, other = false, nil
    for _, name in ipairs(type(names) == "table" and names or {names}) do
      ours = ours or name == variable
      other = other or is_set(name) and name .. " set"
    end
    if ours and profile[setting] ~= nil then return setting .. " in the profile" end
    if ours and other then return other end
  end
end

-- The variables among `needs` that are missing; and where what the others give comes from
function M.missing(name, needs, args)
  local facts, profile, list, met = core.facts(name) or {}, own_profile(name, args), {}, {}
  for _, variable in ipairs(needs) do
    local from = source(facts, variable, profile)
    if from then met[#met + 1] = from else list[#list + 1] = variable end
  end
  return list, met
end

-- The operations of an instance -> array of names; and of those that it has not: name -> reason
local function operations(provider)
  local has, lacks = core.array {}, {}
  for _, op in ipairs(core.ops) do
    local ok, reason = provider:supports(op.name)
    if ok then has[#has + 1] = op.name else lacks[op.name] = reason or "" end
  end
  return has, lacks
end

local PLACES = {base_url = "https://localhost", root = "/nowhere/finetune"}

-- What an instance cannot be made without, so that it can be asked what it can do; nothing is sent
local function stand_ins(known)
  local settings, needed = {}, {}
  for _, variable in ipairs(known.needs) do needed[variable] = true end
  local env = (core.facts(known.name) or {}).env
  for setting, names in pairs(type(env) == "table" and env or {}) do
    for _, variable in ipairs(type(names) == "table" and names or {names}) do
      if needed[variable] then settings[setting] = PLACES[setting] or "stand-in" end
    end
  end
  return settings
end

-- -> instance | nil; and words where one cannot be made as things are
local function instance(known, settings)
  local ok, provider, err = pcall(finetune.create_provider, known.name, settings)
  if ok and provider then return provider end
  local why = ok and err.message or tostring(provider):gsub("^.-create_provider: ", "")
  ok, provider = pcall(finetune.create_provider, known.name, stand_ins(known))
  return ok and provider or nil, why
end

-- An instance for what needs no settings, such as preparing data; nil where there is no provider of that name
function M.unready(name)
  for _, known in ipairs(finetune.list_providers()) do
    if known.name == name then return (instance(known)) end
  end
end

-- Everything about one provider: {name, description, default, ready, needs, missing, met, operations, lacks, get,
-- error}
function M.of(known, args, default)
  local row = {name = known.name, default = known.name == default, ready = false, needs = core.array(known.needs),
    missing = core.array {}, operations = core.array {}, lacks = {}, get = GET[known.name]}
  local P, err = finetune.get_provider(known.name)
  if not P then
    row.error = text.clean(err.message)
    return row
  end
  local facts = core.facts(known.name) or {}
  row.description = facts.description or (known.name == "openai" and "OpenAI, and what speaks its dialect") or nil
  local missing, met = M.missing(known.name, known.needs, args)
  row.missing, row.met = core.array(missing), met
  local provider <close>, why = instance(known, config.settings({profile = args.profile}, known.name))
  if provider then row.operations, row.lacks = operations(provider) end
  if why and (not provider or #row.missing == 0) then row.error = text.clean(why) end
  row.ready = #row.missing == 0 and not row.error
  return row
end

-- -> array of such rows; `name`: only that one, nil where there is none
function M.all(args, name)
  local default, list = config.names(args)[1], {}
  for _, known in ipairs(finetune.list_providers()) do
    if not name or known.name == name then list[#list + 1] = M.of(known, args, default) end
  end
  return list
end

return M
