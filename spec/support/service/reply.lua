-- Answers as values: {status, headers, doc | text | blocks, type}. A handler
-- returns one, or a bare document, or rejects.
local json = require "service.json"

local M = {}

local TYPES = {[500] = "server_error", [502] = "server_error", [503] = "server_error", [429] = "requests"}

-- The body of an error as the API has it.
function M.error_doc(status, message, param, code, kind)
  return {error = {
    message = message or ("The service answers %d."):format(status),
    type = kind or TYPES[status] or "invalid_request_error",
    param = json.or_null(param), code = json.or_null(code),
  }}
end

-- Ends the handler with an error answer.
function M.reject(status, message, param, code)
  error({answer = {status = status, doc = M.error_doc(status, message, param, code)}}, 0)
end

local Answer = {}

function M.text(text, content_type)
  return setmetatable({status = 200, text = text, type = content_type}, Answer)
end

-- A body that is sent block by block.
function M.blocks(blocks, bytes, content_type)
  return setmetatable({status = 200, blocks = blocks, bytes = bytes, type = content_type}, Answer)
end

function M.wrap(value)
  if getmetatable(value) == Answer then return value end
  return {status = 200, doc = value}
end

function M.list(data, has_more, first_last)
  local doc = {object = "list", data = json.array(data), has_more = has_more}
  if first_last then
    doc.first_id = data[1] and data[1].id or first_last
    doc.last_id = data[1] and data[#data].id or first_last
  end
  return doc
end

return M
