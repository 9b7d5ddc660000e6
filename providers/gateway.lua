-- needs: FINE_TUNE_GATEWAY_URL, FINE_TUNE_GATEWAY_KEY
-- Any service or gateway that speaks OpenAI's dialect under a URL of its own:
--   export FINE_TUNE_GATEWAY_URL=https://llm.example.internal/v1 FINE_TUNE_GATEWAY_KEY=...
--   finetune.create_provider("gateway", {headers = {["x-team"] = "support"}})
-- The operations, their parameters and their paths are those of the provider `openai`.

local finetune = require "finetune"

local OPENAI = "https://api.openai.com/v1" -- the base URL that a variant inherits

local P = finetune.variant("openai", {
  name = "gateway",
  description = "an OpenAI-compatible base URL, with headers of your own",
  env = {api_key = "FINE_TUNE_GATEWAY_KEY", base_url = "FINE_TUNE_GATEWAY_URL"},
  needs = {"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY"},
})

-- Without a URL of its own the gateway's key would go to OpenAI.
function P.open(config)
  if config.base_url == OPENAI then
    return nil, finetune.error {kind = "config",
      message = "there is no base_url: set FINE_TUNE_GATEWAY_URL, or give base_url to create_provider"}
  end
end

return finetune.register(P)
