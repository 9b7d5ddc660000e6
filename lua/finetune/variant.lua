-- variant.lua: "like openai, but …". Gives a provider table whose base is another
-- provider: operations that it does not fill are the base's (in C or in Lua),
-- its facts (base_url, env, headers, statuses, …) are the base's where it says
-- nothing. Register it as any other.

local core = require "finetune.core"
local registry = require "finetune.registry"
local wait = require "finetune.wait"

local M = {}

-- The function of the nearest Lua base that has one, or the name of the C provider below
local function inherited(name, op)
  local P = core.provider(name)
  while type(P) == "table" do
    if P[op] ~= nil then return P[op] end
    name = P.base
    P = name and core.provider(name)
  end
  return name
end

-- An instance of the C provider `name` on the variant's own, complete settings: instance -> name -> it
local below = setmetatable({}, {__mode = "k"})

-- The base's traces without what the variant has called a secret since (ctx:secret), of which the base knows nothing
local function redacted(instance, on_trace)
  return function(trace)
    for key, value in pairs(trace) do
      if type(value) == "string" then trace[key] = core.redact(instance, value) end
    end
    return on_trace(trace)
  end
end

-- The variant's settings, with `false` where the base's own variables would step in: what the
-- environment has for one service (OPENAI_API_KEY) is never sent to another.
local function settled(ctx, name)
  local config = {}
  for key in pairs((core.facts(name) or {}).env or {}) do config[key] = false end
  for key, value in pairs(ctx.config) do config[key] = value end
  if config.on_trace then config.on_trace = redacted(ctx.provider, config.on_trace) end
  return config
end

local function base_instance(ctx, name)
  local known = below[ctx.provider] or {}
  below[ctx.provider] = known
  if known[name] then return known[name] end
  local instance, err = core.create(name, settled(ctx, name))
  known[name] = instance
  return instance, err
end

-- The error of a missing key, in the words of the variant
local function missing_key(ctx)
  local env = (core.facts(ctx.provider.name) or {}).env or {}
  local variable = type(env.api_key) == "table" and env.api_key[1] or env.api_key
  return ctx.fail("config", "there is no API key: %sgive api_key to create_provider",
    variable and ("set the environment variable %s, or "):format(variable) or "")
end

local function run_in_c(ctx, name, op, params)
  if ctx.config.api_key == nil and op ~= "prepare_data" then return missing_key(ctx) end
  local instance, err = base_instance(ctx, name)
  if not instance then return nil, err end
  wait.ready()
  local call <close> = core.start(instance, op, params) -- it ends with the variant's
  local value
  value, err = wait.await(call)
  if err then err.provider = ctx.provider.name end
  return value, err
end

-- super.create_job(ctx, params): the base's operation, for a function of the variant
local function super_of(base)
  return setmetatable({}, {
    __index = function(_, op)
      return function(ctx, params)
        local found = inherited(base, op)
        if type(found) == "function" then return found(ctx, params) end
        if type(found) == "table" then return ctx.fail("unsupported", "%s does not offer %s", base, op) end
        return run_in_c(ctx, found, op, params)
      end
    end,
  })
end

-- variant(base, changes) -> provider table, super
function M.variant(base, changes)
  if type(base) ~= "string" then error("variant: the base must be the name of a provider", 2) end
  if type(changes) ~= "table" or type(changes.name) ~= "string" then
    error("variant: the second argument must be a table with a name", 2)
  end
  if changes.name == base then error(("variant: '%s' cannot be its own base"):format(base), 2) end
  local found, err = registry.get_provider(base)
  if not found then error(("variant: %s"):format(err.message), 2) end
  local P = {base = base}
  for key, value in pairs(changes) do P[key] = value end
  return P, super_of(base)
end

return M
