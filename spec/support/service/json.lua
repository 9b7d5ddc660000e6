-- JSON for the service: dkjson, because it keeps `[]` and `{}` apart in both
-- directions, which a service that echoes its input has to do.
local dkjson = require "dkjson"

local M = {null = dkjson.null}

local ARRAY = {__jsontype = "array"}
local OBJECT = {__jsontype = "object"}

function M.array(t) return setmetatable(t or {}, ARRAY) end

function M.object(t) return setmetatable(t or {}, OBJECT) end

function M.is_array(t)
  local mt = type(t) == "table" and getmetatable(t)
  return mt and mt.__jsontype == "array" or false
end

function M.is_object(t)
  local mt = type(t) == "table" and getmetatable(t)
  return mt and mt.__jsontype == "object" or false
end

M.encode = dkjson.encode

-- A value, or nil and words. Text after the value is an error, as a service has it.
function M.decode(text)
  local ok, value, position, err = pcall(dkjson.decode, text, 1, M.null)
  if not ok then return nil, "nested too deeply" end
  if err then return nil, err end
  if value == nil or text:find("%S", position) then return nil, "not one JSON value" end
  return value
end

-- What came as JSON null, or not at all, is nil.
function M.value(v)
  if v == M.null then return nil end
  return v
end

-- What is nil goes out as null.
function M.or_null(v)
  if v == nil then return M.null end
  return v
end

return M
