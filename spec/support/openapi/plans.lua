-- What a drive (library.lua) needs to know of each provider:
--   api       the name of its description in descriptions.mjs
--   dialect, settings  of the loopback service
--   config(s)          settings of create_provider
--   jobs(s, files)     parameters of create_job for jobs that are trained to their end, one of each kind
--   deploy             further parameters of deploy_model
--   skip               operations that the provider has, and this API of its service has not
--   after_cancel(drive, job)  before a job that was cancelled is deleted
--   before_delete(drive, job) before the model that came of the job is deleted
--   more(drive, files) what else this service has: further ways to upload, mostly
--   storage            true: files go to a second host
--   file_field, time_field  the service's names of create_job's training file and of the time in its answer
--   operations         how many of its description's operations occur in all
local library = require "spec.support.openapi.library"

local M = {}

local function key_and_url(s) return {api_key = s.key, base_url = s.url} end

-- ---- openai, and a gateway that speaks its dialect ----

local function openai_jobs(s, files)
  local file = files.training
  return {
    {model = s.model, training_file = files.pairs, method = "dpo", hyperparameters = {beta = 0.1}},
    {model = s.model, training_file = file, method = "reinforcement", grader = library.grader,
     hyperparameters = {reasoning_effort = "low"}},
    {model = s.model, training_file = file, validation_file = file, suffix = "lib", seed = 7,
     metadata = {team = "a"}, hyperparameters = {n_epochs = 2},
     integrations = {{type = "wandb", wandb = {project = "p", tags = {"t"}}}}},
  }
end

local function wait_for(provider, what)
  for _ = 1, 200 do
    if what() then return end
    assert(provider:list_models())
  end
  error "it did not happen"
end

-- A file over the single-file limit, which is a quirk of the provider's: in parts; and one abandoned.
local function openai_uploads(drive, files)
  local s, config = drive.service, drive.plan.config(drive.service)
  config.quirks = {upload_limit = 1000}
  local provider <close> = assert(drive.finetune.create_provider(drive.plan.provider, config))
  assert(provider:upload_file(files.path, {purpose = "fine-tune", part_size = 1000}))
  s:fault {kind = "stall", path = "/parts$", times = "always"}
  local call = provider:async("upload_file", {path = files.path, purpose = "fine-tune", part_size = 1000})
  wait_for(provider, function() return #s:requests {path = "/parts$"} > 4 end)
  call:cancel()
  wait_for(provider, function() return #s:requests {path = "/uploads/[^/]+/cancel$"} > 0 end)
  s:clear()
end

local function openai_more(drive, files)
  drive:call("upload_file", files.path, {purpose = "fine-tune", filename = "é \"q\".jsonl",
    expires_after = {anchor = "created_at", seconds = 3600}})
  drive:call("list_files", {purpose = "fine-tune", limit = 2, order = "asc"})
  drive:call("list_jobs", {limit = 2, metadata = {team = "a"}})
  openai_uploads(drive, files)
end

M.openai = {api = "openai", dialect = "openai", provider = "openai", config = key_and_url, jobs = openai_jobs,
  more = openai_more, operations = 22}

M.gateway = {api = "openai", dialect = "openai", provider = "gateway", config = key_and_url, jobs = openai_jobs,
  more = openai_more, operations = 22}

-- ---- azure: the dated API and v1, which is OpenAI's with a prefix ----

local function azure_url(s) return s.url:gsub("/openai$", "") end

local function azure_job(s, files)
  local file = files.training
  return {model = s.model, training_file = file, validation_file = file, suffix = "lib-1", seed = 7,
    training_type = "globalstandard", hyperparameters = {n_epochs = 2, batch_size = 3, learning_rate_multiplier = 0.5}}
end

M.azure = {
  api = "azure", dialect = "azure", provider = "azure", operations = 13,
  config = function(s) return {api_key = s.key, base_url = azure_url(s), api_version = "2024-10-21"} end,
  jobs = function(s, files) return {azure_job(s, files)} end,
  -- the dated API has no pause and no graders; /models/{id} is not in the part of its description that is used
  skip = {pause_job = true, resume_job = true, validate_grader = true, run_grader = true, get_model = true,
          delete_model = true},
}

M["azure-v1"] = {
  api = "azure-v1", dialect = "azure", provider = "azure", operations = 23,
  config = function(s) return {ad_token = "entra-loopback-0123456789abcdef", base_url = azure_url(s)} end,
  more = openai_uploads,
  jobs = function(s, files)
    local jobs = openai_jobs(s, files)
    table.insert(jobs, 1, azure_job(s, files))
    return jobs
  end,
}

-- ---- together ----

local function together_jobs(s, files)
  local file = files.training
  return {
    {model = s.model, training_file = file, validation_file = file, suffix = "full", training_type = "full",
     hyperparameters = {n_epochs = 2, batch_size = 8, learning_rate = 1e-5, warmup_ratio = 0.1, weight_decay = 0.01,
       max_grad_norm = 1, n_checkpoints = 2, n_evals = 1, packing = true, max_seq_length = 2048,
       train_on_inputs = "auto"}},
    {model = s.model, training_file = files.pairs, method = "dpo", hyperparameters = {beta = 0.1, lora_rank = 8}},
    {model = s.model, training_file = file, validation_file = file, suffix = "lora", seed = 7,
     integrations = {{type = "wandb", wandb = {project = "p", name = "n"}}},
     hyperparameters = {lora_rank = 8, lora_alpha = 16, lora_dropout = 0.1, lr_scheduler_type = "cosine",
       batch_size = "max"}},
  }
end

-- The other two ways up: in parts, whole and abandoned; and as a form. And a model that nobody tuned
local function together_more(drive, files)
  local s = drive.service
  local config = drive.plan.config(s)
  config.upload_limit, config.part_size = 1000, 1000
  local provider <close> = assert(drive.finetune.create_provider("together", config))
  assert(provider:upload_file(files.path, {wait = true}))
  s:fault {kind = "status", status = 403, path = "^/parts/", times = "always"}
  assert(not provider:upload_file(files.path))
  s:clear()
  config.upload_limit, config.upload_route = nil, "form"
  local form <close> = assert(drive.finetune.create_provider("together", config))
  assert(form:upload_file(files.path))
  drive:call("get_model", s.model)
end

M.together = {
  api = "together", dialect = "together", provider = "together", storage = true, operations = 25,
  settings = {min_part_bytes = 1},
  config = function(s) return {api_key = s.key, base_url = s.url, wandb_api_key = "wandb-0123456789"} end,
  jobs = together_jobs, more = together_more,
  before_delete = function(drive, job) drive:call("download_file", job) end, -- the weights
  deploy = {hardware = "1x_nvidia_a100_80gb_sxm", name = "d"},
}

-- ---- fireworks ----

local function fireworks_jobs(s, files)
  local file = files.training
  return {
    {model = s.model, training_file = file, method = "reinforcement", evaluator = "exact",
     hyperparameters = {n_epochs = 1}},
    {model = s.model, training_file = files.pairs, method = "dpo", hyperparameters = {beta = 0.1, n_epochs = 1}},
    {model = s.model, training_file = file, validation_file = file, suffix = "lib",
     hyperparameters = {n_epochs = 2, learning_rate = 1e-4, lora_rank = 8}},
  }
end

-- A job is resumed once it is over: here, once it has been cancelled
local function fireworks_resume(drive, job)
  local _, err = drive.provider:wait(job, {interval = 0.01, max_interval = 0.05, timeout = 20})
  assert(err.kind == "job", tostring(err))
  drive:call("resume_job", job)
end

-- The tuned model as an addon of a deployment of its base
local function fireworks_addon(drive, job)
  local deployment = drive:call("deploy_model", job.model, {extra = {enableAddons = true}})
  drive:call("deploy_model", job.fine_tuned_model, {deployment = deployment.id})
  drive:call("undeploy_model", job.fine_tuned_model)
  drive:call("undeploy_model", deployment.id)
end

-- Large files go by signed addresses; each kind of job has a collection of its own
local function fireworks_more(drive, files)
  local s, config = drive.service, drive.plan.config(drive.service)
  config.form_limit = 1000
  local provider <close> = assert(drive.finetune.create_provider("fireworks", config))
  assert(provider:upload_file(files.path, {wait = true}))
  for _, params in ipairs(fireworks_jobs(s, files)) do
    local method = params.method or "supervised"
    params.suffix = nil
    local job = drive:cancel(params)
    fireworks_resume(drive, job)
    drive:call("list_jobs", {method = method, limit = 2})
    drive:call("delete_job", job)
  end
end

M.fireworks = {
  api = "fireworks", dialect = "fireworks", provider = "fireworks", storage = true, operations = 35,
  file_field = "dataset", time_field = "createTime",
  config = function(s) return {api_key = s.key, base_url = s.url, account = "acme"} end,
  jobs = fireworks_jobs, after_cancel = fireworks_resume, before_delete = fireworks_addon, more = fireworks_more,
}

return M
