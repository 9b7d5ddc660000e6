-- A trace showed the whole URL that a redirect led to, with the signature of a presigned
-- address; an error showed it where the store repeated it.

local finetune = require "finetune"

describe("the query of an address that is not the service's own", function()
  it("is in no trace and no error", function()
    local traces = {}
    local function transport(request)
      if not request.url:find "store" then
        return {status = 302, headers = {location = "https://store.example/f?sig=abcdef0123456789&x=1"}}
      end
      return {status = 403, json = {error = {message = "abcdef0123456789 has expired"}}}
    end
    local provider = assert(finetune.create_provider("openai", {api_key = "sk-1234", transport = transport,
      on_trace = function(t) traces[#traces + 1] = t end}))
    local _, err = provider:download_file("file-x")
    assert.equal("[redacted] has expired", err.message)
    assert.equal("https://store.example/f?[redacted]", traces[2].url)
  end)
end)
