-- listing.lua: whole lists, over all of their pages.

local errors = require "finetune.cli.errors"

local M = {}

-- All items of one of the provider's plural nouns, at most `most`; raises
function M.all(provider, noun, params, most)
  local has, reason = provider:supports("list_" .. noun)
  if not has then
    errors.fail("unsupported", "%s lists no %s%s", provider.name, noun, reason and ": " .. reason or "")
  end
  local list = {}
  for item in provider[noun](provider, params) do
    list[#list + 1] = item
    if #list == most then break end
  end
  return list
end

return M
