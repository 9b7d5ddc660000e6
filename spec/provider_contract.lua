-- What the contract (lua/finetune/contract.lua) needs to know of each provider of this tree: spec/contract/NAME.lua
-- gives a small working service, the statuses that the real one documents, and, pinned with its source, each
-- operation that the provider may declare unsupported. spec/contract_spec.lua runs the contract for every provider
-- that is registered or can be found.

return setmetatable({}, {
  __index = function(self, name)
    local settings = require("spec.contract." .. name)
    self[name] = settings
    return settings
  end,
})
