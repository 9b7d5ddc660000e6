-- tostring of an error ended at a NUL in the service's words.

local core = require "finetune.core"

describe("tostring of an error", function()
  it("goes on after a NUL", function()
    assert.equal("finetune: x: a\0b", tostring(core.error {provider = "x", message = "a\0b"}))
  end)
end)
