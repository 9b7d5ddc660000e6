-- A header of the configuration that cannot be sent was found with the first request, as an
-- error of kind "provider"; now create_provider says so.

local finetune = require "finetune"

describe("headers of the configuration", function()
  it("that cannot be sent are refused when the provider is made", function()
    for name, value in pairs {["x-a"] = "a\r\nX-Evil: 1", ["x b"] = "1", [""] = "1", ["x:c"] = "1", ["x-d"] = true} do
      local provider, err = finetune.create_provider("openai", {api_key = "sk-1234", headers = {[name] = value}})
      assert.is_nil(provider)
      assert.equal("config", err.kind)
      assert.is_nil(err.message:find "[\r\n]")
    end
  end)
end)
