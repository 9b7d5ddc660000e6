-- A secret of `query` stood percent-encoded in the URL of a trace; a secret that begins
-- another one left the end of that other one behind.

local finetune = require "finetune"

describe("redaction", function()
  it("knows a secret as it stands in a URL", function()
    local url
    local provider = assert(finetune.create_provider("openai", {api_key = "sk-1234", query = {api_key = "a/b+c d"},
      transport = function() return {json = {data = {}}} end, on_trace = function(t) url = t.url end}))
    assert(provider:list_models())
    assert.equal("https://api.openai.com/v1/models?api_key=[redacted]", url)
  end)

  it("takes the longest secret first", function()
    local transport = function() return {status = 400, json = {error = {message = "sk-1234 sk-12345678"}}} end
    local provider = assert(finetune.create_provider("openai", {api_key = "sk-1234", transport = transport,
      headers = {["X-Key"] = "sk-12345678"}}))
    local _, err = provider:get_job("x")
    assert.equal("[redacted] [redacted]", err.message)
  end)
end)
