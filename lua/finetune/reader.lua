-- reader.lua: the service's documents -> our values, as a table of fields. A service may send anything: each field is
-- taken only where it has the type that our users rely on, and is absent otherwise; `raw` always has all of it.
--
--   local to_job = finetune.reader("a job", {id = "job", status = "state", created_at = "started:time",
--     hyperparameters = "settings:table", error = function(doc) return doc.reason and {message = doc.reason} end})

local core = require "finetune.core"

local M = {}

-- A field by its dotted name: "meta.id", "choices.1.text"
local function dig(doc, path)
  for key in path:gmatch "[^.]+" do
    if type(doc) ~= "table" then return nil end
    local value = doc[key]
    if value == nil then value = doc[tonumber(key)] end
    doc = value
  end
  return doc
end

M.dig = dig

-- type -> function(value) -> value, or nil where it is not of that type
local types = {}

function types.text(value) return type(value) == "string" and value ~= "" and value or nil end
function types.number(value) -- that is one: neither NaN nor infinite
  return type(value) == "number" and value - value == 0 and value or nil
end
function types.boolean(value) if type(value) == "boolean" then return value end end
function types.table(value) return type(value) == "table" and value or nil end
function types.percent(value) -- 0 to 100 -> 0 to 1
  local number = tonumber(value)
  return number and math.max(0, math.min(1, number / 100))
end
function types.time(value) return core.context.time(value) end

-- Also one that comes as text, as 64-bit numbers do in some JSON
function types.integer(value)
  if type(value) == "string" and not value:find "^%-?%d+$" then return nil end
  return (type(value) == "string" or type(value) == "number") and math.tointeger(tonumber(value)) or nil
end

-- A count, where 0 says that nothing was counted yet
function types.positive(value)
  local n = types.integer(value)
  return n and n > 0 and n or nil
end

-- google.type.Money, {units = "12", nanos = 500000000} -> 12.5
function types.money(value)
  if type(value) ~= "table" or next(value) == nil then return nil end
  local units, nanos = types.integer(value.units or 0), types.integer(value.nanos or 0)
  return units and nanos and units + nanos / 1e9 or nil
end

M.types = types

-- A field that is in one of several places: the first that has it
local function any_of(paths, check)
  return function(doc)
    for path in paths:gmatch "[^|]+" do
      local value = check(dig(doc, path))
      if value ~= nil then return value end
    end
  end
end

-- "path", "path|other" or "path:type" -> function(doc) -> value; and true where it must be there ("path:type!")
local function getter(source)
  if type(source) == "function" then return source end
  local path, kind, mark = source:match "^([^:!]+):?(%a*)(!?)$"
  local check = types[kind == "" and "text" or kind or 0]
  if not path or not check then error(("reader: '%s' is no field (path or path:type)"):format(source), 3) end
  local must = mark == "!"
  if path:find("|", 1, true) then return any_of(path, check), must end
  if not path:find(".", 1, true) then return function(doc) return check(doc[path]) end, must end
  return function(doc) return check(dig(doc, path)) end, must
end

-- pick(doc, "a.b", "c:integer") -> those fields, each nil where it is not of its type, or doc is no table
function M.pick(doc, ...)
  local values, n = {}, select("#", ...)
  for i = 1, type(doc) == "table" and n or 0 do values[i] = getter((select(i, ...)))(doc) end
  return table.unpack(values, 1, n)
end

-- what: "a job", for words; fields: ours -> "path", "path:type" (one of the types above; text where none is said),
-- "path|other" (the first that is there) or function(doc, ctx, params) -> value; in the array part a path is the name.
-- An error: a document that is no object, has no `id` where the fields have one, or not what "path:type!" asks for.
-- -> function(doc, ctx, params) -> value | nil, err (kind "decode")
function M.reader(what, fields)
  if type(what) ~= "string" or type(fields) ~= "table" then error("reader: takes a name and a table of fields", 2) end
  local getters, needed = {}, {}
  for name, source in pairs(fields) do
    local must
    if type(name) == "number" then name = source:match "[^:!]*" end -- its path
    getters[name], must = getter(source)
    if must or name == "id" then needed[#needed + 1] = name end
  end
  table.sort(needed)
  local function bad(why)
    return nil, core.error {kind = "decode", message = ("the service's answer is not %s: %s"):format(what, why)}
  end
  return function(doc, ctx, params)
    if type(doc) ~= "table" then return bad "it is not a JSON object" end
    for _, name in ipairs(needed) do -- first: the functions below may rely on it
      if getters[name](doc, ctx, params) == nil then return bad("it has no " .. name) end
    end
    local value = {raw = doc}
    for name, get in pairs(getters) do value[name] = get(doc, ctx, params) end
    return value
  end
end

return M
