-- needs: NEBIUS_API_KEY
-- Nebius Token Factory, as of 2026-11-22: OpenAI's dialect, other hyperparameters, and models that must be deployed.
--   /v1: files, fine_tuning/jobs (create, list, get, cancel, events, checkpoints), models
--   /v0/models: deploy (POST), look at (GET) and remove (DELETE) a custom model, by its short name or as vendor/name
-- Sources: docs.tokenfactory.nebius.com, API reference 20260506 (jobs, checkpoints, custom models);
-- nebius/token-factory-cookbook post-training/fine-tuning-1/fine_tune_llama.ipynb (17181b2).
-- A project other than the default one: query = {ai_project_id = "..."}.
-- learning_rate is absolute. Its older API took an absolute rate under the name learning_rate_multiplier, which is
-- therefore refused here; who must have it gives extra = {hyperparameters = {learning_rate_multiplier = 2e-5}}.
-- Files have no status: they are ready at once. Jobs keep no metadata, so create_job has no token.
-- A checkpoint's `result_files` are its weights: download_file(id, {output = path}).
-- A base model may be served under another name than it is tuned under: then give deploy_model base_model.
-- Unverified, so left to the service: upper ends of ranges; the largest file (5 or 50 GB: quirks.upload_limit).

local finetune = require "finetune"
local reader = require "finetune.reader"
local dig, text = reader.dig, reader.types.text

local P, super = finetune.variant("openai", {
  name = "nebius", description = "Nebius Token Factory",
  base_url = "https://api.tokenfactory.nebius.com/v1",
  env = {api_key = "NEBIUS_API_KEY", base_url = "NEBIUS_BASE_URL", organization = false, project = false},
  needs = {"NEBIUS_API_KEY"},
  config = {"poll_interval"},
  params = {create_job = "from_checkpoint:table tags:string|table",
    deploy_model = "base_model:id description:string wait:boolean wait_timeout:number"},
  -- docs.tokenfactory.nebius.com post-training/datasets: the last message is an assistant's and no tool call; content
  -- is shown as a string only; no word of developer, function, functions and parts
  dataset = {formats = {"chat", "completion", "text"}, max_bytes = 50 << 30, bom = "strip",
    limits = {}, rules = {last_message = "error", last_call = "error", content_parts = "warning",
      developer_role = "warning", function_role = "warning", legacy = "warning"},
    source = "docs.tokenfactory.nebius.com post-training/datasets", checked = "2026-11-22"},
  quirks = {metadata = false, uploads = false, upload_limit = 50 << 30, suffix_limit = 64,
    max_tokens = "max_tokens", hyperparameters = true, flat_hyperparameters = "supervised",
    fields = {from_checkpoint = "from_checkpoint", tags = "tags"}},
})

-- ---- create_job ----

local function whole(path, implies) return {path, integer = true, least = 1, implies = implies} end
local LORA = {lora = true} -- must be said: without it the whole model is trained

local hyperparameters = finetune.hyperparameters {
  service = "Nebius",
  hyperparameters = {
    n_epochs = whole "n_epochs", batch_size = whole "batch_size", learning_rate = {"learning_rate", above = 0},
    warmup_ratio = {"warmup_ratio", least = 0, most = 1}, weight_decay = {"weight_decay", least = 0},
    max_grad_norm = {"max_grad_norm", least = 0}, packing = {"packing", type = "boolean"},
    context_length = whole "context_length", max_seq_length = whole "context_length", lora = {"lora", type = "boolean"},
    lora_r = whole("lora_r", LORA), lora_rank = whole("lora_r", LORA),
    lora_alpha = {"lora_alpha", above = 0, implies = LORA},
    lora_dropout = {"lora_dropout", least = 0, most = 1, implies = LORA},
  },
}

function P.create_job(ctx, p)
  local token = text(dig(p.from_checkpoint, "token"))
  if token then ctx:secret(token) end
  for _, item in ipairs(p.integrations or {}) do
    local key = text(dig(item, "wandb.api_key"))
    if key then ctx:secret(key) end
    if dig(item, "type") == "wandb" and not key then
      return ctx.fail("invalid", "integrations: Nebius needs wandb.api_key, the key with which it reports")
    end
  end
  return super.create_job(ctx, assert(hyperparameters(ctx, p))) -- what assert raises is the operation's error
end

-- ---- custom models: /v0 of the same host ----

-- "vendor/name" is two segments
local function segments(name)
  for segment in (name .. "/"):gmatch "([^/]*)/" do
    if segment == "" or segment == "." or segment == ".." then return nil, "is not a name" end
  end
  return name
end

local function root(ctx) return (ctx.config.base_url:gsub("/v1$", "")) end

local function model_route(line, more)
  more[1], more.to, more.base = line, {model = segments}, root
  return finetune.route(more)
end

local to_deployment = finetune.reader("a model", {id = "name", model = "name", status = "status",
  base_model = "base_model"})
local look = model_route("GET /v0/models/{model}", {value = to_deployment})

P.get_model = model_route("GET /v0/models/{model}", {value = finetune.reader("a model", {id = "name",
  created_at = "created_at:time", owned_by = "vendor"})})
P.delete_model = model_route("DELETE /v0/models/{model}", {deleted = "model"})
P.undeploy_model = model_route("DELETE /v0/models/{model}", {value = finetune.reader("a model", {id = "name",
  model = "name", status = function() return "deleted" end})})

-- model: a job's id (its last checkpoint), "job:checkpoint", a file's id or an address -> source, job
local function source_of(ctx, model)
  local job_id, checkpoint = model:match "^(ftjob[^:/]*):?(.*)$"
  if not job_id then return model, {} end
  local job, last = assert(ctx.provider:get_job(job_id)), nil
  if checkpoint ~= "" then return model, job end
  for item in ctx.provider:checkpoints(job_id) do
    if not last or (item.step or 0) > (last.step or 0) then last = item end
  end
  if not last then assert(ctx.fail("conflict", "job %s has no checkpoint to deploy yet", job_id)) end
  return job_id .. ":" .. last.id, job
end

local UNKNOWN_LOOKS = 10 -- right after its creation the service may not know the model (404)

-- Sent once: a second one would be a second model. After a lost answer it is looked for by its name, to which the
-- service may have added something; then those that are active and have it in their names may be it.
local function create(ctx, p, body)
  for key, value in pairs(p.extra or {}) do body[key] = value end
  return ctx:create_once(p, {what = "model", job = to_deployment,
    request = {url = root(ctx) .. "/v0/models", auth = true, json = body},
    find = function()
      local model = look(ctx, {model = body.name})
      local source, job_id, checkpoint_id = finetune.pick(model and model.raw, "source", "job_id", "checkpoint_id")
      source = source or job_id and checkpoint_id and job_id .. ":" .. checkpoint_id
      return source == body.source and model or nil
    end,
    list = function()
      local page, err = super.list_models(ctx, {})
      local list = {}
      for _, model in ipairs(page and page.data or {}) do
        if model.id:find(tostring(body.name), 1, true) then list[#list + 1] = model end
      end
      return page and {data = list}, err
    end})
end

function P.deploy_model(ctx, p)
  local source, job = source_of(ctx, p.model)
  local base, name = p.base_model or job.model, p.name or job.suffix or job.id
  if not base then return ctx.fail("invalid", "base_model is needed: the model that %s was made from", p.model) end
  if not name then return ctx.fail("invalid", "name is needed: under which the model is to be served") end
  local made, looks = assert(create(ctx, p, {name = name, base_model = base, source = source,
    description = p.description})), 0
  if p.wait == false or made.status == "active" then return made end
  return ctx:poll(function()
    local model, err = look(ctx, {model = made.id})
    looks = looks + 1
    if not model then return nil, (err.kind ~= "not_found" or looks > UNKNOWN_LOOKS) and err or nil end
    if model.status == "active" then return model end
    if model.status ~= "error" and model.status ~= "deleted" then return nil end
    return ctx.fail("invalid", "the model %s could not be deployed (%s): %s", made.id, model.status,
      text(model.raw.status_reason) or "the service gave no reason")
  end, {timeout = p.wait_timeout, what = "model " .. made.id})
end

P.pause_job = finetune.unsupported "Nebius cannot pause a job; cancel it and go on from a checkpoint"
P.resume_job = P.pause_job
P.delete_job = finetune.unsupported "Nebius keeps its jobs; cancel_job ends one, delete_model removes what was deployed"
P.estimate_cost = finetune.unsupported
  "Nebius does not estimate; get_model(name).raw.fine_tune has its price per million training tokens"
P.validate_grader = finetune.unsupported "Nebius trains by examples; it has no graders"
P.run_grader = P.validate_grader

return finetune.register(P)
