-- providers/gateway.lua: OpenAI's dialect under a URL of the user's own.

local finetune = require "finetune"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

describe("gateway", function()
  local s

  lazy_setup(function() s = service.start {job_seconds = 0.1} end)
  lazy_teardown(function() s:stop() end)

  it("is found by its name, and says what it needs without being run", function()
    for _, known in ipairs(finetune.list_providers()) do
      if known.name == "gateway" then
        return assert.same({"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY"}, known.needs)
      end
    end
    error "it is not listed"
  end)

  it("never falls back to OpenAI's own URL", function()
    local provider, err = finetune.create_provider("gateway", {api_key = "gw-secret-key"})
    assert.is_nil(provider)
    assert.equal("config", err.kind)
    assert.matches("set FINE_TUNE_GATEWAY_URL", err.message)
  end)

  it("names its own variable where the key is missing", function()
    local provider <close> = assert(finetune.create_provider("gateway", {base_url = s.url}))
    local _, err = provider:list_models()
    assert.equal("config", err.kind)
    assert.matches("FINE_TUNE_GATEWAY_KEY", err.message)
  end)

  it("sends the headers that it is given, with the key", function()
    local provider <close> = assert(finetune.create_provider("gateway",
      {base_url = s.url, api_key = s.key, headers = {["x-portkey-provider"] = "@openai-prod"}}))
    s:clear()
    assert(provider:list_models())
    local request = s:requests()[1]
    assert.equal("@openai-prod", request.header["x-portkey-provider"])
    assert.equal("Bearer " .. s.key, request.header.authorization)
  end)

  it("runs a whole job, chosen by the environment alone", function()
    local output = shell.must("exec lua5.4 examples/provider_example.lua", {cwd = shell.root, env = {
      FINE_TUNE_PROVIDER = "gateway", FINE_TUNE_GATEWAY_URL = s.url, FINE_TUNE_GATEWAY_KEY = s.key,
      FINE_TUNE_MODEL = s.model,
    }})
    assert.matches("default: gateway\n", output)
    assert.matches("the model is ft:", output)
  end)
end)
