-- Answers as values: {status, headers, doc | text | blocks | stream, type}. A handler
-- returns one, or a bare document, or rejects.
local json = require "service.json"

local M = {}

-- The body of an error as the dialect has it.
function M.error_doc(status, message, param, code)
  return M.shape(status, message or ("The service answers %d."):format(status), param, code)
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

-- An answer with a status and headers ({{name, value}...}) of its own; no doc: no body
function M.answer(status, doc, headers)
  return setmetatable({status = status, doc = doc, headers = headers}, Answer)
end

-- A body whose end is not known: f(send) is run while it is sent; send(text) is false when the peer is gone
function M.stream(f, content_type)
  return setmetatable({status = 200, stream = f, type = content_type or "text/event-stream"}, Answer)
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
