-- needs: NEBIUS_API_KEY
-- Nebius Token Factory, as of 2026-11-22: OpenAI's dialect, other hyperparameters, and models that must be deployed.
--   /v1: files, fine_tuning/jobs (create, list, get, cancel, events, checkpoints), models
--   /v0/models: deploy (POST), look at (GET) and remove (DELETE) a custom model, by its short name or as vendor/name
-- Settings: api_key (NEBIUS_API_KEY), base_url (NEBIUS_BASE_URL, a name of ours); a project other than the default one:
-- query = {ai_project_id = "..."}.
-- Sources: docs.tokenfactory.nebius.com, API reference 20260506 (jobs, checkpoints, custom models);
-- nebius/token-factory-cookbook post-training/fine-tuning-1/fine_tune_llama.ipynb (17181b2).
-- learning_rate is absolute. Its older API took an absolute rate under the name learning_rate_multiplier, which is
-- therefore refused here; who must have it gives extra = {hyperparameters = {learning_rate_multiplier = 2e-5}}.
-- Files have no status: they are ready at once. Jobs keep no metadata, so create_job has no token.
-- A checkpoint's `result_files` are its weights: download_file(id, {output = path}).
-- A base model may be served under another name than it is tuned under: then give deploy_model base_model.
-- Unverified, so left to the service: upper ends of ranges; the largest file (5 or 50 GB in its pages:
-- quirks.upload_limit).

local finetune = require "finetune"

local P, super = finetune.variant("openai", {
  name = "nebius",
  description = "Nebius Token Factory",
  base_url = "https://api.tokenfactory.nebius.com/v1",
  env = {api_key = "NEBIUS_API_KEY", base_url = "NEBIUS_BASE_URL", organization = false, project = false},
  needs = {"NEBIUS_API_KEY"},
  config = {"poll_interval"},
  params = {create_job = "from_checkpoint:table tags:string|table",
    deploy_model = "base_model:id description:string wait:boolean wait_timeout:number"},
  dataset = {formats = {"chat", "completion"}, max_bytes = 50 * 1024 * 1024 * 1024},
  quirks = {metadata = false, uploads = false, upload_limit = 50 * 1024 * 1024 * 1024, suffix_limit = 64,
    max_tokens = "max_tokens", hyperparameters = true, flat_hyperparameters = "supervised",
    fields = {from_checkpoint = "from_checkpoint", tags = "tags"}},
})

-- ---- create_job ----

local function whole(path) return {path, integer = true, least = 1} end
local function share(path) return {path, least = 0, most = 1} end

local hyperparameters = finetune.hyperparameters {
  service = "Nebius",
  hyperparameters = {
    n_epochs = whole "n_epochs", batch_size = whole "batch_size", learning_rate = {"learning_rate", above = 0},
    warmup_ratio = share "warmup_ratio", weight_decay = {"weight_decay", least = 0},
    max_grad_norm = {"max_grad_norm", least = 0}, packing = {"packing", type = "boolean"},
    context_length = whole "context_length", max_seq_length = whole "max_seq_length",
    lora = {"lora", type = "boolean"}, lora_r = whole "lora_r", lora_rank = whole "lora_rank",
    lora_alpha = {"lora_alpha", above = 0}, lora_dropout = share "lora_dropout",
  },
}

local ALIASES = {lora_rank = "lora_r", max_seq_length = "context_length"} -- ours -> theirs

local function rename(ctx, values)
  for ours, theirs in pairs(ALIASES) do
    if values[ours] ~= nil and values[theirs] ~= nil then
      return ctx.fail("invalid", "hyperparameters.%s and .%s are the same; give one of them", ours, theirs)
    end
    values[theirs], values[ours] = values[theirs] or values[ours], nil
  end
  return true
end

-- A rank means LoRA, which must be said: without `lora` the whole model is trained
local function complete_lora(ctx, values)
  if values.lora_r == nil and values.lora_alpha == nil and values.lora_dropout == nil then return true end
  if values.lora == false then
    return ctx.fail("invalid", "hyperparameters.lora is false, and lora_rank, lora_alpha and lora_dropout are LoRA's")
  end
  values.lora = true
  return true
end

local function check_integrations(ctx, list)
  for _, item in ipairs(list or {}) do
    local wandb = type(item) == "table" and item.type == "wandb" and item.wandb
    if type(wandb) == "table" and type(wandb.api_key) ~= "string" then
      return ctx.fail("invalid", "integrations: Nebius needs wandb.api_key, the key with which it reports")
    end
  end
  return true
end

function P.create_job(ctx, p)
  local new, err = hyperparameters(ctx, p)
  local ok = new
  if ok then ok, err = rename(ctx, new.hyperparameters or {}) end
  if ok then ok, err = complete_lora(ctx, new.hyperparameters or {}) end
  if ok then ok, err = check_integrations(ctx, p.integrations) end
  if not ok then return nil, err end
  return super.create_job(ctx, new)
end

-- ---- custom models: /v0 of the same host ----

-- "vendor/name" is two segments
local function model_url(ctx, name)
  local path = name and name:gsub("[^/]+", ctx.escape) or nil
  return ctx.config.base_url:gsub("/v1$", "") .. "/v0/models" .. (path and "/" .. path or "")
end

local function segments_ok(name)
  for segment in (name .. "/"):gmatch "([^/]*)/" do
    if segment == "" or segment == "." or segment == ".." then return false end
  end
  return true
end

-- A request about a model -> its document | nil, err
local function ask(ctx, request)
  request.auth = true
  local response, err = ctx:request(request)
  if not response then return nil, err end
  local doc = response.json
  if type(doc) == "table" and type(doc.name) == "string" and doc.name ~= "" then return doc end
  return ctx.fail("decode", "the service's answer is not a model: it has no name")
end

local function about(ctx, method, name, extra)
  if not segments_ok(name) then return ctx.fail("invalid", "model is not a name") end
  return ask(ctx, {method = method, url = model_url(ctx, name), query = extra})
end

function P.get_model(ctx, p)
  local doc, err = about(ctx, "GET", p.model, p.extra)
  if not doc then return nil, err end
  return {id = doc.name, created_at = ctx.time(doc.created_at), raw = doc,
    owned_by = type(doc.vendor) == "string" and doc.vendor or nil}
end

function P.delete_model(ctx, p)
  local doc, err = about(ctx, "DELETE", p.model, p.extra)
  if not doc then return nil, err end
  return {id = p.model, deleted = true, raw = doc}
end

function P.undeploy_model(ctx, p)
  local doc, err = about(ctx, "DELETE", p.model, p.extra)
  if not doc then return nil, err end
  return {id = doc.name, model = doc.name, status = "deleted", raw = doc}
end

-- ---- deploy_model ----

-- The checkpoint of the last step; an error of the list is raised
local function last_checkpoint(ctx, job_id)
  local last
  for item in ctx.provider:checkpoints(job_id) do
    if not last or (item.step or 0) > (last.step or 0) then last = item end
  end
  if last then return last end
  return ctx.fail("conflict", "job %s has no checkpoint to deploy yet", job_id)
end

-- model: a job's id (its last checkpoint), "job:checkpoint", a file's id or an address -> source, job | nil, err
local function source_of(ctx, model)
  local job_id, checkpoint = model:match "^(ftjob[^:/]*):?(.*)$"
  if not job_id then return model end
  local job, err = ctx.provider:get_job(job_id)
  if not job then return nil, err end
  if checkpoint == "" then
    local last
    last, err = last_checkpoint(ctx, job_id)
    if not last then return nil, err end
    checkpoint = last.id
  end
  return job_id .. ":" .. checkpoint, job
end

local function body_of(ctx, p)
  local source, job = source_of(ctx, p.model)
  if not source then return nil, job end
  job = job or {}
  local base, name = p.base_model or job.model, p.name or job.suffix or job.id
  if not base then return ctx.fail("invalid", "base_model is needed: the model that %s was made from", p.model) end
  if not name then return ctx.fail("invalid", "name is needed: under which the model is to be served") end
  return {name = name, base_model = base, source = source, description = p.description}
end

local function deployment(doc)
  return {id = doc.name, model = doc.name, status = doc.status, base_model = doc.base_model, raw = doc}
end

local UNKNOWN_LOOKS = 10 -- right after its creation the service may not know the model (404)

-- -> deployment | nil, err | nil: not yet
local function look(ctx, name, looks)
  local doc, err = about(ctx, "GET", name)
  if not doc then return nil, (err.kind ~= "not_found" or looks > UNKNOWN_LOOKS) and err or nil end
  if doc.status == "active" then return deployment(doc) end
  if doc.status ~= "error" and doc.status ~= "deleted" then return nil end
  return ctx.fail("invalid", "the model %s could not be deployed (%s): %s", name, doc.status,
    type(doc.status_reason) == "string" and doc.status_reason or "the service gave no reason")
end

-- Sent at most once: a second one would be a second model
function P.deploy_model(ctx, p)
  local body, err = body_of(ctx, p)
  if not body then return nil, err end
  for key, value in pairs(p.extra or {}) do body[key] = value end
  local doc
  doc, err = ask(ctx, {method = "POST", url = model_url(ctx), json = body, retry = "never"})
  if not doc then return nil, err end
  if p.wait == false or doc.status == "active" then return deployment(doc) end
  local most, looks = type(ctx.config.poll_interval) == "number" and ctx.config.poll_interval or 5, 0
  return ctx:poll(function()
    looks = looks + 1
    return look(ctx, doc.name, looks)
  end, {interval = math.min(1, most), max_interval = most, timeout = p.wait_timeout, what = "model " .. doc.name})
end

-- ---- what there is not ----

P.pause_job = finetune.unsupported "Nebius cannot pause a job; cancel it and go on from a checkpoint"
P.resume_job = finetune.unsupported "Nebius cannot pause a job; cancel it and go on from a checkpoint"
P.delete_job = finetune.unsupported "Nebius keeps its jobs; cancel_job ends one, delete_model removes what was deployed"
P.estimate_cost = finetune.unsupported
  "Nebius does not estimate; get_model(name).raw.fine_tune has its price per million training tokens"
P.validate_grader = finetune.unsupported "Nebius trains by examples; it has no graders"
P.run_grader = finetune.unsupported "Nebius trains by examples; it has no graders"

return finetune.register(P)
