-- needs: FINE_TUNE_GATEWAY_URL, FINE_TUNE_GATEWAY_KEY
-- Any service or gateway that speaks OpenAI's dialect under a URL of its own, with headers of its own:
--   export FINE_TUNE_GATEWAY_URL=https://llm.example.internal/v1 FINE_TUNE_GATEWAY_KEY=...
--   finetune.create_provider("gateway", {headers = {["x-team"] = "support"}})
-- The operations, their parameters and their paths are those of the provider `openai`; what a gateway does not have it
-- answers with an error of its own. Where neither URL is given, the variables of two gateways are looked at, as pairs,
-- so that a key goes to its own gateway only:
--   LITELLM_PROXY_API_BASE, LITELLM_PROXY_API_KEY   LiteLLM; `custom_llm_provider` ("openai", "azure", "vertex_ai")
--     goes with every request: in the body of a POST, in the form of a file, else in the query. As of 2026-10 it has
--     files, models, and jobs to create, list, get and cancel: no events, checkpoints, pause or graders.
--   PORTKEY_API_KEY   Portkey, at https://api.portkey.ai/v1, as x-portkey-api-key. The upstream provider is named by
--     headers (x-portkey-provider, x-portkey-virtual-key, x-portkey-config); its own key, if needed, is api_key.
-- Sources: BerriAI/litellm docs/my-website/docs/fine_tuning.md (10c1411), docs.litellm.ai providers/litellm_proxy
-- (2026-10-20); portkey.ai docs api-reference/inference-api/headers and product/ai-gateway/fine-tuning (2026-11-22).

local finetune = require "finetune"

local OPENAI = "https://api.openai.com/v1" -- the base URL that a variant inherits
local PORTKEY = "https://api.portkey.ai/v1"

local P = finetune.variant("openai", {
  name = "gateway",
  description = "an OpenAI-compatible base URL, with headers of your own",
  env = {api_key = "FINE_TUNE_GATEWAY_KEY", base_url = "FINE_TUNE_GATEWAY_URL", organization = false, project = false},
  needs = {"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY"},
  config = {"organization", "project", "poll_interval", "custom_llm_provider:string", "portkey_api_key:string"},
  secrets = {"portkey_api_key"},
})

-- What the environment has; empty is absent
local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

local function has_header(config, wanted)
  for name in pairs(config.headers) do
    if name:lower() == wanted then return true end
  end
  return false
end

-- The key of Portkey's own service. Behind it may be another key, api_key, or none.
local function open_portkey(config)
  if not has_header(config, "x-portkey-api-key") then
    config.portkey_api_key = config.portkey_api_key or variable "PORTKEY_API_KEY"
    config.headers["x-portkey-api-key"] = config.portkey_api_key
  end
  if config.api_key == nil then config.api_key = false end
end

-- base_url where none was given: from the first gateway whose variables are set
local function find_gateway(config)
  if config.api_key == variable "FINE_TUNE_GATEWAY_KEY" then config.api_key = nil end -- it is another gateway's
  if variable "LITELLM_PROXY_API_BASE" then
    config.base_url = variable "LITELLM_PROXY_API_BASE"
    if config.api_key == nil then config.api_key = variable "LITELLM_PROXY_API_KEY" end
  elseif config.portkey_api_key or has_header(config, "x-portkey-api-key") or variable "PORTKEY_API_KEY" then
    config.base_url = PORTKEY
  end
end

-- Without a URL of its own the gateway's key would go to OpenAI.
function P.open(config)
  if config.base_url == OPENAI then find_gateway(config) end
  if config.base_url == OPENAI then
    return nil, finetune.error {kind = "config",
      message = "there is no base_url: set FINE_TUNE_GATEWAY_URL, or give base_url to create_provider"}
  end
  if config.base_url:find "^https://api%.portkey%.ai/" or config.portkey_api_key then open_portkey(config) end
  if config.custom_llm_provider then
    config.quirks.extra = {custom_llm_provider = config.custom_llm_provider}
  end
end

return finetune.register(P)
