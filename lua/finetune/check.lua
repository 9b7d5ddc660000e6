-- check.lua: what a caller may pass, said once. Parses the parameter grammar of
-- finetune.h ("job_id:id! limit:integer"; a leading "-": no main parameter) and
-- turns a caller's arguments into one new, checked table. Every function here
-- answers `nil, words`; whoever was called raises them at its caller's line.

local core = require "finetune.core"

local M = {}

local function is(kind)
  return function(value) return type(value) == kind, value end
end

-- type of the grammar -> function(value) -> fits, value to pass on
local accept = {
  string = is "string", boolean = is "boolean", table = is "table",
  ["function"] = is "function", userdata = is "userdata",
}

function accept.number(value)
  return type(value) == "number" and value == value, value
end

function accept.integer(value)
  local whole = type(value) == "number" and math.tointeger(value)
  return whole ~= nil and whole ~= false, whole
end

-- an id, or the object that has it: what the last call returned can be passed on
function accept.id(value)
  if type(value) == "table" then value = value.id end
  return type(value) == "string" and value ~= "", value
end

local WORDS = {
  id = "an id (a string, or an object with a string field 'id')",
  string = "a string", boolean = "true or false", table = "a table", number = "a number",
  integer = "a whole number", ["function"] = "a function", userdata = "a dataset",
}

-- Parses a parameter list, once a list.
function M.parse(text)
  local spec = {fields = {}, names = {}, required = {}}
  local nomain = text:sub(1, 1) == "-"
  for name, types, mark in text:gsub("^%-", ""):gmatch("([%w_]+):([%w|]+)(!?)") do
    local field = {name = name, types = {}, required = mark == "!"}
    for kind in types:gmatch("[^|]+") do
      field.types[#field.types + 1] = kind
      field[kind] = true
    end
    spec.fields[name] = field
    spec.names[#spec.names + 1] = name
    if field.required then spec.required[#spec.required + 1] = name end
  end
  if not nomain then spec.main = spec.fields[spec.names[1]] end
  local least = #spec.required - (spec.main and spec.main.required and 1 or 0)
  spec.alone = least == 0 and spec.main and spec.main.id and spec.main.name
  return spec
end

local COMMON = M.parse("-timeout:number extra:table").fields

local function fits(field, value)
  for _, kind in ipairs(field.types) do
    local ok, passed = accept[kind](value)
    if ok then return true, passed end
  end
  return false
end

local function got(field, value)
  if value == nil then return "nothing" end
  if value == "" then return "an empty string" end
  if type(value) == "table" and field.id then return "a table without one" end
  if type(value) == "number" then return ("%s (%s)"):format(value, math.type(value)) end
  return type(value) == "table" and "a table" or ("a %s"):format(type(value))
end

local function mistyped(what, field, value)
  local words = {}
  for i, kind in ipairs(field.types) do words[i] = WORDS[kind] or kind end
  return ("%s: parameter '%s' must be %s, not %s"):format(
    what, field.name, table.concat(words, " or "), got(field, value))
end

-- The names in several tables, each once, in order
local function keys(...)
  local list, has = {}, {}
  for i = 1, select("#", ...) do
    for name in pairs((select(i, ...)) or {}) do
      if not has[name] then list[#list + 1] = name end
      has[name] = true
    end
  end
  table.sort(list)
  return list
end

-- "unknown X 'word'; did you mean 'other'?", or the list when nothing is near
function M.unknown(what, noun, word, list)
  if type(word) ~= "string" then
    return ("%s: every %s has a name; there is a value at [%s]"):format(what, noun, tostring(word))
  end
  local near = core.nearest(word, list)
  local hint = near and ("did you mean '%s'?"):format(near) or M.there_are(list)
  return ("%s: unknown %s '%s'; %s"):format(what, noun, word, hint)
end

function M.there_are(list)
  return "there are: " .. (#list > 0 and table.concat(list, ", ") or "none")
end

local LEAST = {max_bytes = 1, part_size = 1, max_errors = 0}

-- What a number must be beside a number -> words, or nil. `noun`: parameter or setting
local function out_of_range(what, noun, values)
  for name, value in pairs(values) do
    if type(value) == "number" and name:find "timeout$" and value <= 0 then
      return ("%s: %s '%s' must be more than 0 seconds"):format(what, noun, name)
    elseif type(value) == "number" and LEAST[name] and value < LEAST[name] then
      return ("%s: %s '%s' must be at least %d"):format(what, noun, name, LEAST[name])
    end
  end
end

-- Checks a table of named parameters. `more`: the fields that the provider adds
function M.params(what, spec, given, more)
  local out = {}
  for key, value in pairs(given) do
    local field = spec.fields[key] or (more and more.fields[key]) or COMMON[key]
    if not field then
      return nil, M.unknown(what, "parameter", key, keys(spec.fields, more and more.fields, COMMON))
    end
    local ok, passed = fits(field, value)
    if not ok then return nil, mistyped(what, field, value) end
    out[key] = passed
  end
  for _, side in ipairs {spec, more} do
    for _, name in ipairs(side.required) do
      if out[name] == nil then return nil, ("%s: parameter '%s' is missing; it must be %s"):format(
        what, name, WORDS[side.fields[name].types[1]]) end
    end
  end
  local wrong = out_of_range(what, "parameter", out)
  if wrong then return nil, wrong end
  return out
end

-- Is the only argument, a table, the main parameter itself?
local function is_main(spec, given)
  local main = spec.main
  if main.id and type(given.id) == "string" then return true end
  if not main.table or given[main.name] ~= nil then return false end
  if given[1] ~= nil or next(given) == nil then return true end
  if not main.required then return false end
  for key in pairs(given) do -- such as a grader, which has fields of its own
    if spec.fields[key] or COMMON[key] then return false end
  end
  return true
end

-- (main, {rest}) or ({all}) -> one table of named parameters, not checked yet
local function combine(what, spec, first, rest)
  if first == nil and rest == nil then return {} end
  if not spec.main then
    if type(first) == "table" and rest == nil then return first end
    return nil, ("%s: takes one table of named parameters"):format(what)
  end
  if type(first) == "table" and rest == nil and not is_main(spec, first) then return first end
  if rest ~= nil and type(rest) ~= "table" then
    return nil, ("%s: the second argument must be a table of named parameters, not a %s"):format(what, type(rest))
  end
  local given = {}
  for key, value in pairs(rest or given) do given[key] = value end
  if given[spec.main.name] ~= nil then
    return nil, ("%s: parameter '%s' is given twice"):format(what, spec.main.name)
  end
  if first == nil then return nil, mistyped(what, spec.main, nil) end
  given[spec.main.name] = first
  return given
end

-- The arguments of a method -> its checked parameters. One id and nothing else is
-- what most calls are, polls above all: there is nothing to combine or look up.
function M.arguments(what, spec, first, rest, more)
  if rest == nil and spec.alone and type(first) == "string" and first ~= "" and not more then
    return {[spec.alone] = first}
  end
  local given, why = combine(what, spec, first, rest)
  if not given then return nil, why end
  return M.params(what, spec, given, more)
end

-- Settings of create_provider that every provider knows.
local CONFIG = M.parse("-api_key:string|boolean base_url:string timeout:number connect_timeout:number "
  .. "max_retries:integer retry_delay:number proxy:string ca_file:string unix_socket:string headers:table query:table "
  .. "user_agent:string on_trace:function transport:function auth:table "
  .. "statuses:table quirks:table dataset:table").fields

-- What a setting with a default may be: of its type, and more than 0 where that is; or one of several, the first of
-- which is the default
local function by_default(name, default)
  local field = {name = name, types = {math.type(default) == "integer" and "integer" or type(default)}}
  field.positive = type(default) == "number" and default > 0
  if type(default) == "table" then field.types, field.one_of = {"string"}, default end
  return field
end

-- A provider names its own settings in facts.config ("account" or "account:string"; or with a default, part_size = 250,
-- route = {"form", "raw"}), in facts.env and in facts.secrets; one without a type takes anything.
local function own_settings(facts)
  local own = {}
  for key in pairs(type(facts.env) == "table" and facts.env or {}) do own[key] = {name = key} end
  for _, list in ipairs {facts.secrets or {}, facts.config or {}} do
    for _, word in ipairs(list) do
      local name = word:match("^[^:]+")
      own[name] = word:find(":", 1, true) and M.parse("-" .. word).fields[name] or own[name] or {name = name}
    end
  end
  for name, default in pairs(facts.config or {}) do
    if type(name) == "string" then own[name] = by_default(name, default) end
  end
  return own
end

-- ---- the settings that are tables ----

local AUTH = M.parse("-header:string prefix:string").fields
local STATUSES = {"pending", "validating", "queued", "running", "paused", "finalizing", "cancelling", "succeeded",
  "failed", "cancelled"}
local IS_STATUS = {}
for _, status in ipairs(STATUSES) do IS_STATUS[status] = true end
local PLAIN = {string = true, number = true, boolean = true}

local inner = {} -- setting -> function(what, key, value) -> words, or nil

function inner.auth(what, key, value)
  local field = AUTH[key]
  if not field then return M.unknown(what, "field of the setting 'auth'", key, keys(AUTH)) end
  if not fits(field, value) then return (mistyped(what, field, value):gsub("parameter '", "setting 'auth.", 1)) end
end

local function plain(setting)
  return function(what, key, value)
    if type(key) ~= "string" then return M.unknown(what, "field of the setting '" .. setting .. "'", key, {}) end
    if not PLAIN[type(value)] then
      return ("%s: '%s' in the setting '%s' must be a string, a number, true or false, not a %s"):format(
        what, key, setting, type(value))
    end
  end
end

inner.headers, inner.query = plain "headers", plain "query"

function inner.statuses(what, key, value)
  if type(key) ~= "string" then return M.unknown(what, "field of the setting 'statuses'", key, {}) end
  if type(value) ~= "string" then
    return ("%s: '%s' in the setting 'statuses' must be one of finetune's statuses, not a %s"):format(
      what, key, type(value))
  end
  if not IS_STATUS[value] then return M.unknown(what, "status in the setting 'statuses'", value, STATUSES) end
end

local function wrong_inside(what, config)
  for setting, check in pairs(inner) do
    for key, value in pairs(config[setting] or {}) do
      local wrong = check(what, key, value)
      if wrong then return wrong end
    end
  end
end

-- What a setting with a default must be, where it is not that
local function unfit_setting(field, value)
  if field.positive and value <= 0 then return "more than 0" end
  for _, word in ipairs(field.one_of or {value}) do
    if word == value then return nil end
  end
  return "one of: " .. table.concat(field.one_of, ", ")
end

-- Checks the settings of create_provider -> a new table
function M.config(provider, facts, config)
  local what, own, out = "create_provider", own_settings(facts or {}), {}
  for key, value in pairs(config) do
    local field = CONFIG[key] or own[key]
    if not field then return nil, M.unknown(what, "setting of " .. provider, key, keys(CONFIG, own)) end
    local ok, passed = true, value
    if field.types then ok, passed = fits(field, value) end
    if not ok or (key == "api_key" and value == true) then
      return nil, (mistyped(what, field, value):gsub("parameter", "setting", 1))
    end
    local unfit = unfit_setting(field, passed)
    if unfit then return nil, ("%s: setting '%s' must be %s"):format(what, key, unfit) end
    out[key] = passed
  end
  local wrong = out_of_range(what, "setting", out) or wrong_inside(what, out)
  if wrong then return nil, wrong end
  if (out.max_retries or 0) < 0 or (out.retry_delay or 0) < 0 then
    return nil, ("%s: settings 'max_retries' and 'retry_delay' must not be negative"):format(what)
  end
  return out
end

return M
