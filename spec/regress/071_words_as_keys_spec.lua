-- With "none" for a key, "none of 1 examples is left for training" became "[redacted] of 1 examples ...": a few letters
-- are a word, and no secret. What is as short and no word still is one.

local data = require "spec.support.dataset"
local finetune = require "finetune"

local function provider(key, transport)
  return assert(finetune.create_provider("openai", {api_key = key, transport = transport}))
end

describe("a key of a few letters", function()
  it("is left in our own words", function()
    for _, key in ipairs {"none", "left", "for", "Example", "example"} do
      local p <close> = provider(key)
      local report, err = p:prepare_data({data.GOOD}, {validation = 0.99})
      assert.is_nil(report)
      assert.equal("none of 1 examples is left for training", err.message)
    end
  end)

  it("is one to redact where it is longer, or no word", function()
    for _, key in ipairs {"abcdefgh", "k-12", "pass1", "hunter2", "sk-1234", "1234", "näme"} do
      local p <close> = provider(key, function()
        return {status = 401, json = {error = {message = "no such key: " .. key}}}
      end)
      local _, err = p:get_job "x"
      assert.equal("no such key: [redacted]", err.message)
    end
  end)
end)
