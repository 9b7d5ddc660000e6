-- `user_agent` went to libcurl unchecked: a newline in it wrote further headers of the request.

local finetune = require "finetune"

describe("user_agent", function()
  it("with a newline is refused when the provider is made", function()
    for _, value in ipairs {"a\r\nX-Evil: 1", "a\nb", "a\0b"} do
      local provider, err = finetune.create_provider("openai", {api_key = "sk-1234", user_agent = value})
      assert.is_nil(provider)
      assert.equal("config", err.kind)
    end
  end)
end)
