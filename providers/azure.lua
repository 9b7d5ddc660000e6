-- needs: AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY
-- Azure OpenAI in Microsoft Foundry, as of 2026-11-22: OpenAI's dialect with facts of its own. There are two APIs:
--   v1 (the default)   {endpoint}/openai/v1/...   `api_version` "v1", "preview" or none
--   dated              {endpoint}/openai/...?api-version=2024-10-21   chosen by an `api_version` that is a date
-- Settings: base_url (AZURE_OPENAI_ENDPOINT: the resource or a project of services.ai.azure.com, with or without
-- /openai or /openai/v1), api_key (AZURE_OPENAI_API_KEY, sent as api-key) or ad_token (AZURE_OPENAI_AD_TOKEN: an Entra
-- token, sent as Authorization: Bearer; of the two the one that was given as an argument, else the token),
-- api_version (OPENAI_API_VERSION), resource (the account's name, for the commands below; else the host's first label).
-- Sources: Azure/azure-rest-api-specs AzureOpenAI/authoring/stable/2024-10-21/azureopenai.json (3ecc209) for the dated
-- API; MicrosoftDocs/azure-ai-docs articles/foundry/openai/includes/fine-tuning-rest.md (021e88f) and its v1 reference;
-- az: Azure/azure-cli#28336; part without type: azure-sdk-for-net#44710; 100 MB: microsoft-foundry/fine-tuning#31.
-- The dated API keeps no metadata, so create_job has no token there; its GET /files has one page. Neither API filters
-- jobs by metadata.
-- Only the dated API describes DELETE of a job, so delete_job goes there whichever is in use.
-- Unverified: DELETE /models/{model} (the documents delete models in the portal); the part size of /uploads (OpenAI's;
-- quirks.part_limit); pause, resume and graders on a dated API. An upload in parts ends after 2 hours.

local finetune = require "finetune"

local OPENAI = "https://api.openai.com/v1" -- the base URL that a variant inherits
local DATED = "2024-10-21"                 -- the last stable version
local VARIABLES = {api_key = "AZURE_OPENAI_API_KEY", base_url = "AZURE_OPENAI_ENDPOINT",
  ad_token = "AZURE_OPENAI_AD_TOKEN", api_version = "OPENAI_API_VERSION"}

local P, super = finetune.variant("openai", {
  name = "azure",
  description = "Azure OpenAI in Microsoft Foundry",
  env = {api_key = VARIABLES.api_key, base_url = VARIABLES.base_url, ad_token = VARIABLES.ad_token,
    api_version = VARIABLES.api_version, organization = false, project = false},
  needs = {"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"},
  config = {"ad_token:string", "api_version:string", "resource:string", "poll_interval"},
  secrets = {"ad_token"},
  auth = {header = "api-key"},
  params = {create_job = "training_type:string"}, -- globalstandard, developerTier, standard, ...: as the service says
  -- FineTuningState of 2024-10-21; v1 has OpenAI's words
  statuses = {created = "pending", pending = "pending"},
  -- ErrorCode of 2024-10-21
  errors = {conflict = "conflict", invalidPayload = "invalid", forbidden = "permission", notFound = "not_found",
    unexpectedEntityState = "conflict", itemDoesAlreadyExist = "conflict", serviceUnavailable = "server",
    internalFailure = "server", quotaExceeded = "quota", jsonlValidationFailed = "data", fileImportFailed = "data",
    tooManyRequests = "rate_limit", unauthorized = "auth", contentFilter = "invalid"},
  -- fine-tuning-rest.md: chat, at least 10 examples, less than 512 MB; preference: its guide of DPO
  dataset = {formats = {"chat", "preference"}, min_examples = 10, max_bytes = 512 * 1024 * 1024},
  quirks = {
    fields = {training_type = "trainingType"},
    hyperparameters = {"prompt_loss_weight"},
    flat_hyperparameters = "supervised", -- as in every example of the documents
    suffix_limit = 40, suffix_plain = true,
    part_type = "application/json",
    metadata_filter = false,
    upload_limit = 100e6,                -- /files is unsafe above 100 to 150 MB
    upload_total = 9 * 1024 * 1024 * 1024,
  },
})

local function config_error(format, ...)
  return nil, finetune.error {kind = "config", message = format:format(...)}
end

-- Was the setting an argument of create_provider, and not the environment's?
local function is_argument(config, key)
  return config[key] ~= nil and config[key] ~= os.getenv(VARIABLES[key])
end

local function choose_credentials(config)
  local by_key = is_argument(config, "api_key") and not is_argument(config, "ad_token")
  if not config.ad_token or by_key then return end
  config.api_key, config.auth = config.ad_token, {header = "Authorization", prefix = "Bearer "}
end

-- "v1" and the like stay on the v1 API; a date chooses the other -> is it a date? | nil, err
local function choose_version(config)
  local version = config.api_version or config.query["api-version"]
  if version == nil then return false end
  local is_date = tostring(version):find "^%d%d%d%d%-%d%d%-%d%d" ~= nil
  if not is_date and version ~= "v1" and version ~= "preview" and version ~= "latest" then
    return config_error("api_version is '%s'; it must be a date such as %s, \"v1\" or \"preview\"", version, DATED)
  end
  config.query["api-version"] = version
  if is_date and config.quirks.metadata == nil then config.quirks.metadata = false end
  return is_date
end

-- https://res.openai.azure.com/openai/v1/ -> https://res.openai.azure.com/openai, or .../openai/v1. A URL of
-- somebody's own that ends in /v1 (a gateway in front) is taken as it is.
local function base_of(url, is_dated)
  url = url:gsub("/+$", "")
  if url:find "/v1$" and not url:find "/openai/v1$" then return url end
  return url:gsub("/v1$", ""):gsub("/openai$", "") .. (is_dated and "/openai" or "/openai/v1")
end

function P.open(config)
  if config.base_url == OPENAI then
    return config_error "there is no endpoint: set AZURE_OPENAI_ENDPOINT, or give base_url to create_provider"
  end
  choose_credentials(config)
  local is_dated, err = choose_version(config)
  if is_dated == nil then return nil, err end
  config.resource = config.resource or config.base_url:match "^%a+://([%w-]+)%.[%w.-]*azure" or "RESOURCE"
  config.base_url = base_of(config.base_url, is_dated)
end

-- The dated API gives all files at once, and has no limit, after or order
function P.list_files(ctx, p)
  local q = {purpose = p.purpose, timeout = p.timeout, extra = p.extra}
  local version = tostring(ctx.config.query["api-version"] or "")
  return super.list_files(ctx, version:find "^%d" and q or p)
end

-- The same host; its answer is 204
function P.delete_job(ctx, p)
  local root = ctx.config.base_url:gsub("/v1$", "")
  local version = tostring(ctx.config.query["api-version"] or "")
  local answer, err = ctx:delete(root .. "/fine_tuning/jobs/" .. ctx.escape(p.job_id),
    {auth = true, query = {["api-version"] = version:find "^%d" and version or DATED}})
  if not answer then return nil, err end
  return {id = p.job_id, deleted = true, raw = type(answer) == "table" and answer or nil}
end

P.deploy_model = finetune.unsupported("deployments belong to Azure Resource Manager, which wants another token; run: "
  .. "az cognitiveservices account deployment create --name {resource} --resource-group RESOURCE_GROUP "
  .. "--deployment-name my-deployment --model-name {model} --model-version 1 --model-format OpenAI "
  .. "--sku-name Standard --sku-capacity 1")
P.undeploy_model = finetune.unsupported("deployments belong to Azure Resource Manager, which wants another token; run: "
  .. "az cognitiveservices account deployment delete --name {resource} --resource-group RESOURCE_GROUP "
  .. "--deployment-name {model}")

-- Of a deployment's name. The dated API has another path for each deployment.
function P.sample(ctx, p)
  if tostring(ctx.config.query["api-version"] or ""):find "^%d" then
    return ctx.fail("unsupported", "sample works with the v1 API: give api_version = \"v1\"")
  end
  return super.sample(ctx, p)
end

P.estimate_cost = finetune.unsupported "the service has no price list to ask; see the pricing page of Azure OpenAI"

return finetune.register(P)
