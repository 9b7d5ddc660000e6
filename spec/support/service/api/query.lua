-- Query parameters that several routes share.
local reply = require "service.reply"

local M = {}

-- An integer within bounds, or its default.
function M.limit(req, default, max)
  local text = req.params.limit
  if text == nil then return default end
  local n = math.tointeger(tonumber(text))
  if not n or n < 1 or n > max then
    reply.reject(400, ("Invalid 'limit': '%s' is not an integer from 1 to %d."):format(text, max), "limit",
      "invalid_value")
  end
  return n
end

-- A page of a collection, or a refusal that names the cursor.
function M.page(req, collection, limit, keep, order)
  local after = req.params.after
  local page, more = collection:page(limit, after, keep, order)
  if not page then
    reply.reject(400, ("Invalid 'after': nothing here has the id '%s'."):format(after), "after", "invalid_value")
  end
  return page, more
end

return M
