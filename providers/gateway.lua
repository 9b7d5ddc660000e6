-- needs: FINE_TUNE_GATEWAY_URL, FINE_TUNE_GATEWAY_KEY
-- Any service or gateway that speaks OpenAI's dialect under a URL of its own, with headers of its own:
--   finetune.create_provider("gateway", {base_url = "https://llm.example/v1", headers = {["x-team"] = "support"}})
-- The operations are those of `openai`; what a gateway does not have it answers with an error of its own. Where no URL
-- is given, the variables of two gateways are looked at, as pairs, so that a key goes to its own gateway only:
--   LITELLM_PROXY_API_BASE, LITELLM_PROXY_API_KEY   LiteLLM; `custom_llm_provider` ("openai", "azure", "vertex_ai")
--     goes with every request: in the body of a POST, in the form of a file, else in the query. As of 2026-10 it has
--     files, models, and jobs to create, list, get and cancel: no events, checkpoints, pause or graders.
--   PORTKEY_API_KEY   Portkey, as x-portkey-api-key. The upstream provider is named by headers (x-portkey-provider,
--     x-portkey-virtual-key, x-portkey-config); its own key, if needed, is api_key.
-- Sources: BerriAI/litellm docs/my-website/docs/fine_tuning.md (10c1411), docs.litellm.ai providers/litellm_proxy
-- (2026-10-20); portkey.ai docs api-reference/inference-api/headers and product/ai-gateway/fine-tuning (2026-11-22).

local finetune = require "finetune"

local OPENAI, PORTKEY = "https://api.openai.com/v1", "https://api.portkey.ai/v1" -- the first is what a variant inherits

local P = finetune.variant("openai", {
  name = "gateway", description = "an OpenAI-compatible base URL, with headers of your own",
  env = {api_key = "FINE_TUNE_GATEWAY_KEY", base_url = "FINE_TUNE_GATEWAY_URL", organization = false, project = false},
  needs = {"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY"},
  config = {"organization", "project", "poll_interval", "custom_llm_provider:string", "portkey_api_key:string"},
  secrets = {"portkey_api_key"},
})

local function variable(name) return os.getenv(name) ~= "" and os.getenv(name) or nil end -- empty is absent

function P.open(config)
  local header = "x-portkey-api-key" -- in the user's spelling, where he gives it
  for name in pairs(config.headers) do header = name:lower() == header and name or header end
  local portkey = config.headers[header] or config.portkey_api_key or variable "PORTKEY_API_KEY"
  if config.base_url == OPENAI then -- none was given, and the gateway's key is not for OpenAI, nor for another gateway
    if config.api_key == variable "FINE_TUNE_GATEWAY_KEY" then config.api_key = nil end
    config.base_url = variable "LITELLM_PROXY_API_BASE" or portkey and PORTKEY
    if not config.base_url then return finetune.fail("config", "set FINE_TUNE_GATEWAY_URL, or give base_url") end
    if config.base_url ~= PORTKEY and config.api_key == nil then config.api_key = variable "LITELLM_PROXY_API_KEY" end
  end
  if config.portkey_api_key or config.base_url:find "^https://api%.portkey%.ai/" then
    config.headers[header], config.portkey_api_key = portkey, config.portkey_api_key or portkey -- a secret
    if config.api_key == nil then config.api_key = false end -- Portkey may need none beside its own
  end
  if config.custom_llm_provider then config.quirks.extra = {custom_llm_provider = config.custom_llm_provider} end
end

return finetune.register(P)
