-- registry.lua: providers by name. The registry itself is the core's; here a name
-- that is not registered is looked for (discover.lua), and settings are checked
-- before an instance is made.

local check = require "finetune.check"
local core = require "finetune.core"
local discover = require "finetune.discover"

local M = {}

local DEFAULT = "openai"
local loading = {} -- name -> true while its file runs: two bases that name each other end here
local header = {}  -- name -> needs, from the file that it was loaded from

-- Raises at the line of whoever called the public function.
local function register(P, options, level)
  if type(P) == "table" and type(P.base) == "string" and not core.provider(P.base) then
    local base, err = M.get_provider(P.base) -- one that there is not is named by the core, with all else
    if not base and err.kind == "provider" then
      error(("register: the base of '%s': %s"):format(tostring(P.name), err.message), level)
    end
  end
  local ok, result = pcall(core.register, P, options.replace and true or false)
  if not ok then error(result, level) end
  return result
end

local OPTIONS = check.parse("-replace:boolean")

function M.register(P, options)
  if type(P) ~= "table" then
    error(("register: takes a provider's table {name = ..., create_job = function(ctx, params) ... end, ...}, not %s")
      :format(P == nil and "nothing" or "a " .. type(P)), 2)
  end
  if options ~= nil and type(options) ~= "table" then
    error("register: the second argument must be a table such as {replace = true}", 2)
  end
  local given, why = check.params("register", OPTIONS, options or {})
  if not given then error(why, 2) end
  local registered = register(P, given, 3) -- no tail call: the level counts frames
  return registered
end

function M.unregister(name)
  if type(name) ~= "string" then error("unregister: the name must be a string", 2) end
  return core.unregister(name)
end

local function failed(name, where, why)
  return nil, core.error {kind = "provider", provider = name,
    message = ("the provider '%s' could not be loaded from %s: %s"):format(name, where, tostring(why))}
end

-- After its file has run: is it registered, or may what it returned be?
local function adopt(name, where, value)
  local P = core.provider(name)
  if P then return P end
  if type(value) ~= "table" then
    return failed(name, where, "it registered nothing under this name; end the file with return finetune.register(P)")
  end
  if value.name ~= name then
    return failed(name, where, ("its table has the name '%s'"):format(tostring(value.name)))
  end
  local ok, result = pcall(register, value, {}, 0)
  if not ok then return failed(name, where, result) end
  return core.provider(name)
end

local function names()
  local list = {}
  for i, known in ipairs(M.list_providers()) do list[i] = known.name end
  return list
end

-- " (did you mean 'openai'?); there are: …"
local function advice(name)
  local list = names()
  local near = core.nearest(name, list)
  return (near and (" (did you mean '%s'?)"):format(near) or "") .. "; " .. check.there_are(list)
end

local function unknown(name)
  return nil, core.error {kind = "config", provider = name,
    message = ("there is no provider '%s'%s"):format(name, advice(name))}
end

local function load(name)
  if loading[name] then return failed(name, "its file", "it is its own base") end
  loading[name] = true
  local where, ran, value = discover.run(name)
  loading[name] = nil
  if not where then return unknown(name) end
  if not ran then return failed(name, where, value) end
  header[name] = discover.needs(where)
  return adopt(name, where, value)
end

-- The registered provider: a Lua table, or the registration of one in C
function M.get_provider(name)
  if type(name) ~= "string" then error("get_provider: the name must be a string", 2) end
  local P = core.provider(name)
  if P then return P end
  if not discover.valid(name) then
    return nil, core.error {kind = "config",
      message = ("'%s' cannot be a provider: names are letters, digits, '-' and '_'%s"):format(name, advice(name))}
  end
  return load(name)
end

-- An instance, or nil, err; mistakes in `config` raise at `level`
local function create(name, config, level)
  if type(config) ~= "table" then error("create_provider: the settings must be a table", level) end
  local P, err = M.get_provider(name)
  if not P then return nil, err end
  local checked, why = check.config(name, core.facts(name), config)
  if not checked then error(why, level) end
  return core.create(name, checked)
end

function M.create_provider(name, config)
  if type(name) ~= "string" then error("create_provider: the name must be a string", 2) end
  local instance, err = create(name, config == nil and {} or config, 3)
  return instance, err
end

function M.get_default_provider(config)
  local name = os.getenv("FINE_TUNE_PROVIDER")
  if not name or name == "" then name = DEFAULT end
  local instance, err = create(name, config == nil and {} or config, 3)
  return instance, err
end

-- The variables a registered provider needs: what it says, what its file said, its key
local function needs(name)
  local facts = core.facts(name) or {}
  if facts.needs then return table.move(facts.needs, 1, #facts.needs, 1, {}) end
  if header[name] and #header[name] > 0 then return table.move(header[name], 1, #header[name], 1, {}) end
  local key = type(facts.env) == "table" and facts.env.api_key or facts.env
  if type(key) == "table" then key = key[1] end
  return {key}
end

-- Every provider that is registered or could be: array of {name, loaded, needs}, by name
function M.list_providers()
  local list, found = {}, discover.list()
  for _, name in ipairs(core.providers()) do
    list[#list + 1] = {name = name, loaded = true, needs = needs(name)}
    found[name] = nil
  end
  for name, path in pairs(found) do
    list[#list + 1] = {name = name, loaded = false, needs = path and discover.needs(path) or {}}
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

return M
