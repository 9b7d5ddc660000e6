-- listing.lua: whole lists, over all of their pages.

local errors = require "finetune.cli.errors"

local M = {}

-- All items of one of the provider's plural nouns, at most `most`; raises
function M.all(provider, noun, params, most)
  errors.need(provider, "list_" .. noun, "lists no " .. noun)
  local list = {}
  for item in provider[noun](provider, params) do
    list[#list + 1] = item
    if #list == most then break end
  end
  return list
end

return M
