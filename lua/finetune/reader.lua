-- reader.lua: the service's documents -> our values, as a table of fields. A service may send anything: each field is
-- taken only where it has the type that our users rely on, and is absent otherwise; `raw` always has all of it.
--
--   local to_job = finetune.reader("a job", {id = "job", status = "state", created_at = "started:time",
--     hyperparameters = "settings:table", error = function(doc) return doc.reason and {message = doc.reason} end})

local core = require "finetune.core"

local M = {}

-- A field by its dotted name: "meta.id"
local function dig(doc, path)
  for key in path:gmatch "[^.]+" do
    if type(doc) ~= "table" then return nil end
    doc = doc[key]
  end
  return doc
end

M.dig = dig

-- type -> function(value) -> value, or nil where it is not of that type
local types = {}

function types.text(value) return type(value) == "string" and value ~= "" and value or nil end
function types.number(value) return type(value) == "number" and value == value and value or nil end
function types.boolean(value) if type(value) == "boolean" then return value end end
function types.table(value) return type(value) == "table" and value or nil end
function types.time(value) return core.context.time(value) end

-- Also one that comes as text, as 64-bit numbers do in some JSON
function types.integer(value)
  if type(value) == "string" and not value:find "^%-?%d+$" then return nil end
  return (type(value) == "string" or type(value) == "number") and math.tointeger(tonumber(value)) or nil
end

M.types = types

-- "path" or "path:type" -> function(doc) -> value
local function getter(source)
  if type(source) == "function" then return source end
  local path, kind = source:match "^([^:]+):?(%a*)$"
  local check = types[kind == "" and "text" or kind or 0]
  if not path or not check then error(("reader: '%s' is no field (path or path:type)"):format(source), 3) end
  if not path:find(".", 1, true) then return function(doc) return check(doc[path]) end end
  return function(doc) return check(dig(doc, path)) end
end

-- what: "a job", for words; fields: ours -> "path", "path:type" (text, number, integer, boolean, table, time; text
-- where none is said) or function(doc, ctx, params) -> value. A document that is no object, or that has no `id` where
-- the fields have one, is an error.
-- -> function(doc, ctx, params) -> value | nil, err (kind "decode")
function M.reader(what, fields)
  if type(what) ~= "string" or type(fields) ~= "table" then error("reader: takes a name and a table of fields", 2) end
  local getters = {}
  for name, source in pairs(fields) do getters[name] = getter(source) end
  local function bad(why)
    return nil, core.error {kind = "decode", message = ("the service's answer is not %s: %s"):format(what, why)}
  end
  return function(doc, ctx, params)
    if type(doc) ~= "table" then return bad "it is not a JSON object" end
    local value = {raw = doc}
    for name, get in pairs(getters) do value[name] = get(doc, ctx, params) end
    if getters.id and value.id == nil then return bad "it has no id" end
    return value
  end
end

return M
