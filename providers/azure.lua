-- needs: AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY
-- Azure OpenAI in Microsoft Foundry, as of 2026-11-22: OpenAI's dialect with facts of its own. There are two APIs:
--   v1 (the default)   {endpoint}/openai/v1/...   `api_version` "v1", "preview" or none
--   dated              {endpoint}/openai/...?api-version=2024-10-21   chosen by an `api_version` that is a date
-- base_url is the resource or a project of services.ai.azure.com, with or without /openai or /openai/v1, or what the
-- portal shows of a deployment, {endpoint}/openai/deployments/... (then without its query); api_key goes in api-key,
-- ad_token (an Entra token) in Authorization: Bearer: of the two the one that was given as an argument, else the token.
-- `resource` is the account's name in the commands below; else it is the host's first label.
-- Its pages ask for UTF-8 with a BOM; files without one are said to be taken [unverified], and none is added.
-- Sources: Azure/azure-rest-api-specs AzureOpenAI/authoring/stable/2024-10-21/azureopenai.json (3ecc209) for the dated
-- API; MicrosoftDocs/azure-ai-docs articles/foundry/openai/includes/fine-tuning-rest.md (021e88f) and its v1 reference;
-- az: Azure/azure-cli#28336; part without type: azure-sdk-for-net#44710; 100 MB: microsoft-foundry/fine-tuning#31.
-- The dated API keeps no metadata, so create_job has no token there. Neither API filters jobs by metadata.
-- Unverified: DELETE /models/{model} (the documents delete models in the portal); the part size of /uploads (OpenAI's;
-- quirks.part_limit); pause, resume and graders on a dated API. An upload in parts ends after 2 hours.

local finetune = require "finetune"
local slice = require "finetune.paginate".slice

local OPENAI = "https://api.openai.com" -- the base URL that a variant inherits, without /v1
local DATED = "2024-10-21"                 -- the last stable version

local P, super = finetune.variant("openai", {
  name = "azure", description = "Azure OpenAI in Microsoft Foundry",
  env = {api_key = "AZURE_OPENAI_API_KEY", base_url = "AZURE_OPENAI_ENDPOINT", ad_token = "AZURE_OPENAI_AD_TOKEN",
    api_version = "OPENAI_API_VERSION", organization = false, project = false},
  needs = {"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"},
  config = {"ad_token:string", "api_version:string", "resource:string", "poll_interval"},
  secrets = {"ad_token"}, auth = {header = "api-key"},
  params = {create_job = "training_type:string"}, -- globalstandard, developerTier, standard, ...: as the service says
  statuses = {created = "pending", pending = "pending"}, -- FineTuningState of 2024-10-21; v1 has OpenAI's words
  errors = {conflict = "conflict", invalidPayload = "invalid", forbidden = "permission", notFound = "not_found",
    unexpectedEntityState = "conflict", itemDoesAlreadyExist = "conflict", serviceUnavailable = "server",
    internalFailure = "server", quotaExceeded = "quota", jsonlValidationFailed = "data", fileImportFailed = "data",
    tooManyRequests = "rate_limit", unauthorized = "auth", contentFilter = "invalid"}, -- ErrorCode of 2024-10-21
  -- fine-tuning-rest.md: chat, at least 10 examples, less than 512 MB, UTF-8 with a byte order mark (files without one
  -- are taken, so its rule stays off); the guides of DPO and of vision fine-tuning: 64 images, 10 MB each, JPEG, PNG,
  -- WEBP. Two assistant messages in a row were refused as "invalid schema" (microsoft-foundry/fine-tuning#23). The
  -- other rules are OpenAI's.
  dataset = {formats = {"chat", "preference"}, min_examples = 10, max_bytes = 512 << 20, bom = "require",
    limits = {images = 64, image_bytes = 10000000, tools = 128},
    rules = {alternation = "warning", first_message = "off", system_place = "off", tool_name = "error"},
    source = "MicrosoftDocs/azure-ai-docs fine-tuning-rest.md, fine-tuning-vision", checked = "2026-11-22"},
  quirks = {fields = {training_type = "trainingType"}, hyperparameters = {"prompt_loss_weight"},
    flat_hyperparameters = "supervised", suffix_limit = 40, suffix_plain = true, part_type = "application/json",
    metadata_filter = false, upload_limit = 100e6, upload_total = 9 << 30}, -- /files is unsafe above 100 to 150 MB
})

local function is_dated(config) return tostring(config.query["api-version"]):find "^%d%d%d%d%-%d%d%-%d%d" ~= nil end

-- Was it an argument of create_provider, and not the environment's?
local function is_given(value, variable) return (value or "") ~= (os.getenv(variable) or "") end

-- The address without an ending that is that pattern, in whatever letters it is written
local function without(url, ending)
  local at = url:lower():find(ending .. "$")
  return at and url:sub(1, at - 1) or url
end

-- -> the address of the API; a gateway in front, which ends in a /v1 of its own, stays as it is
local function api_of(url, dated)
  url = without(without(url, "/openai/deployments/.*"), "/+")
  local root = without(url, "/v1")
  if root ~= url and without(root, "/openai") == root then return root .. "/v1" end
  return without(root, "/openai") .. (dated and "/openai" or "/openai/v1")
end

function P.open(config)
  if without(without(config.base_url:lower(), "/+"), "/v1") == OPENAI then
    return finetune.fail("config", "there is no endpoint: set AZURE_OPENAI_ENDPOINT or give base_url")
  end
  local by_key = is_given(config.api_key, "AZURE_OPENAI_API_KEY")
  if config.ad_token and (not by_key or is_given(config.ad_token, "AZURE_OPENAI_AD_TOKEN")) then
    config.api_key, config.auth = config.ad_token, {header = "Authorization", prefix = "Bearer "}
  end
  local version = config.api_version or config.query["api-version"]
  config.query["api-version"] = version
  local dated = is_dated(config)
  if version and not dated and not ({v1 = true, preview = true, latest = true})[version] then
    return finetune.fail("config", "api_version is '%s'; it must be a date (%s), \"v1\" or \"preview\"", version, DATED)
  end
  if dated and config.quirks.metadata == nil then config.quirks.metadata = false end
  config.resource = config.resource or config.base_url:match "^%a+://([%w-]+)%.[%w.-]*azure" or "RESOURCE"
  config.base_url = api_of(config.base_url, dated)
end

-- The dated API gives all files at once, in its own order: pages are cut here
function P.list_files(ctx, p)
  if not is_dated(ctx.config) then return super.list_files(ctx, p) end
  if p.order ~= nil then return ctx.invalid("order", "is not known to the dated API (the v1 API knows it)") end
  local page, err = super.list_files(ctx, {purpose = p.purpose, timeout = p.timeout, extra = p.extra})
  if not page then return nil, err end
  return slice(page.data, p, page.raw)
end

local delete = finetune.route {"DELETE /fine_tuning/jobs/{job_id}", deleted = "job_id",
  query = {api_version = "api-version"}, base = function(ctx) return (ctx.config.base_url:gsub("/v1$", "")) end}

function P.delete_job(ctx, p) -- only the dated API describes it, so it goes there whichever is in use (204)
  return delete(ctx, {job_id = p.job_id, extra = p.extra,
    api_version = is_dated(ctx.config) and ctx.config.query["api-version"] or DATED})
end

-- Of a deployment's name; the dated API has a path for each
local sample = finetune.chat(function(ctx, p)
  return ("/deployments/%s/chat/completions"):format(ctx.escape(p.model))
end)
function P.sample(ctx, p) return (is_dated(ctx.config) and sample or super.sample)(ctx, p) end

local AZ = "deployments belong to Azure Resource Manager, which wants another token; run: az cognitiveservices account "
  .. "deployment %s --name {resource} --resource-group RESOURCE_GROUP --deployment-name "
P.deploy_model = finetune.unsupported(AZ:format "create" .. "{name} --model-name {model} --model-version 1 "
  .. "--model-format OpenAI --sku-name Standard --sku-capacity 1")
P.undeploy_model = finetune.unsupported(AZ:format "delete" .. "{model}")
P.estimate_cost = finetune.unsupported "the service has no price list to ask; see the pricing page of Azure OpenAI"

return finetune.register(P)
