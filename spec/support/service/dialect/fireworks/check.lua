-- What the gateway of Fireworks refuses in any request: names, fields that it does not know, wrong types, pages.
-- Errors are gRPC's: {code = number, message, details}.
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

-- gRPC's codes, and the HTTP status of each
M.INVALID, M.NOT_FOUND, M.EXISTS, M.PERMISSION, M.PRECONDITION, M.UNIMPLEMENTED = 3, 5, 6, 7, 9, 12
local STATUS = {[3] = 400, [5] = 404, [6] = 409, [7] = 403, [8] = 429, [9] = 400, [12] = 501}

function M.refuse(code, format, ...) reply.reject(STATUS[code], format:format(...), nil, code) end

-- The account of the path, which must be the key's own
function M.account(given)
  if given ~= store.settings.account then
    M.refuse(M.PERMISSION, "the API key has no access to account \"%s\"", given)
  end
  return given
end

function M.name(collection, id) return ("accounts/%s/%s/%s"):format(store.settings.account, collection, id) end

-- An id that the caller chose
function M.id(id, what)
  local words = type(id) ~= "string" and "is missing" or id:find "^%d" and "first character of id must not be a digit"
    or not id:find "^[a-z0-9-]+$" and "id must have only lower-case letters, digits and hyphens"
    or #id > 63 and "id is too long"
  if words then M.refuse(M.INVALID, "invalid resource: invalid %s ID: %s", what, words) end
  return id
end

-- ---- bodies ----

local function is_integer(v) return math.type(v) == "integer" and v >= -2147483648 and v <= 2147483647 end

-- type -> does the value have it
local TYPES = {
  string = function(v) return type(v) == "string" end, boolean = function(v) return type(v) == "boolean" end,
  number = function(v) return type(v) == "number" end, integer = is_integer, object = json.is_object,
  count = function(v) return is_integer(v) and v >= 1 end,
  amount = function(v) return is_integer(v) and v >= 0 end,
  rate = function(v) return type(v) == "number" and v > 0 and v < 1 end,
  share = function(v) return type(v) == "number" and v >= 0 and v <= 1 end,
  int64 = function(v) return type(v) == "string" and v:find "^%d+$" ~= nil end,
  format = function(v) return v == "CHAT" or v == "COMPLETION" or v == "RL" end,
  title = function(v) return type(v) == "string" and utf8.len(v) <= 60 end,
  rank = function(v) return v == 0 or v == 4 or v == 8 or v == 16 or v == 32 or v == 64 end,
  strings = function(v)
    for _, item in ipairs(json.is_array(v) and v or {0}) do
      if type(item) ~= "string" then return false end
    end
    return true
  end,
}

-- An object whose fields are among `fields` (name -> type, or a table of fields)
function M.fields(doc, fields, where)
  if not json.is_object(doc) then M.refuse(M.INVALID, "%s must be an object", where) end
  for name, value in pairs(doc) do
    local kind = fields[name]
    if not kind then M.refuse(M.INVALID, "proto: unknown field \"%s\" in %s", name, where) end
    if type(kind) == "table" then
      M.fields(value, kind, where .. "." .. name)
    elseif not TYPES[kind](value) then
      M.refuse(M.INVALID, "invalid value for %s field %s.%s: %s", kind, where, name, json.encode(value))
    end
  end
  return doc
end

function M.empty(req) M.fields(req.json, {}, "body") end

-- Only these parameters in the query
function M.query(req, ...)
  local known = {}
  for _, name in ipairs {...} do known[name] = true end
  for name in pairs(req.params) do
    if not known[name] then M.refuse(M.INVALID, "parsing field \"%s\": no matching path found", name) end
  end
end

-- ---- lists ----

-- {[key] = array, nextPageToken, totalSize} of what `keep` keeps, in the order of names
function M.page(req, key, collection, render, keep)
  M.query(req, "pageSize", "pageToken", "filter", "orderBy", "readMask")
  local all = {}
  for _, object in ipairs(collection.list) do
    if not keep or keep(object) then all[#all + 1] = object end
  end
  table.sort(all, function(a, b) return a.id < b.id end)
  local size = math.tointeger(tonumber(req.params.pageSize or 50))
  local from = math.tointeger(tonumber((req.params.pageToken or "page-1"):match "^page%-(%d+)$"))
  if not size or size < 0 then M.refuse(M.INVALID, "invalid page_size") end
  if not from then M.refuse(M.INVALID, "invalid page_token") end
  size = math.min(size == 0 and 50 or size, 200)
  local out = json.array()
  for i = from, math.min(#all, from + size - 1) do out[#out + 1] = render(all[i]) end
  local doc = json.object {totalSize = #all, nextPageToken = from + size <= #all and "page-" .. from + size or nil}
  if #out > 0 then doc[key] = out end -- proto3: an empty list is not there
  return doc
end

function M.time(seconds)
  return os.date("!%Y-%m-%dT%H:%M:%S", seconds // 1 | 0) .. (".%06dZ"):format(seconds % 1 * 1000000 // 1 | 0)
end

return M
