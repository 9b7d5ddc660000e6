-- Nebius' fine_tuning/jobs: the body that it takes, and its jobs and checkpoints.
local blob = require "service.blob"
local files = require "service.api.files"
local jobs = require "service.api.jobs"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local FIELDS = {model = true, training_file = true, validation_file = true, hyperparameters = true, method = true,
  integrations = true, seed = true, suffix = true, tags = true, from_checkpoint = true}

local function integer(least, most)
  return function(v) return math.type(v) == "integer" and v >= least and (not most or v <= most) end
end

local function number(least, most)
  return function(v) return type(v) == "number" and v >= least and (not most or v <= most) end
end

local function boolean(v) return type(v) == "boolean" end

local VALUES = {batch_size = integer(1), learning_rate = number(0), n_epochs = integer(1), warmup_ratio = number(0, 1),
  weight_decay = number(0), packing = boolean, max_grad_norm = number(0), context_length = integer(1), lora = boolean,
  lora_r = integer(1), lora_alpha = number(0), lora_dropout = number(0, 1)}

local function refuse(param, words) reply.reject(422, words, param) end

local function check_values(values, where)
  if values ~= nil and not json.is_object(values) then refuse(where, "Input should be a valid dictionary") end
  for name, value in pairs(values or {}) do
    if not VALUES[name] then refuse(where .. "." .. name, "Extra inputs are not permitted") end
    if not VALUES[name](value) then refuse(where .. "." .. name, "Input is not valid") end
  end
end

local function check_integrations(list)
  for _, item in ipairs(list or {}) do
    if item.type ~= "wandb" or not json.is_object(item.wandb) then refuse("integrations", "Input should be 'wandb'") end
    for _, name in ipairs {"project", "api_key"} do
      if type(item.wandb[name]) ~= "string" then refuse("integrations.wandb." .. name, "Field required") end
    end
  end
end

local function check_checkpoint(from)
  if from and (not json.is_object(from) or from.type ~= "hf" or type(from.repo) ~= "string") then
    refuse("from_checkpoint", "Input should be {type: hf, repo}")
  end
end

local function settings_of(body)
  local method = json.value(body.method)
  if method and method.type ~= "supervised" then refuse("method", "Input should be 'supervised'") end
  local inner = method and json.value(method.supervised)
  return json.value(body.hyperparameters) or inner and json.value(inner.hyperparameters) or json.object()
end

-- The body is checked here, then the rest (model, files, suffix, seed) as OpenAI's
function M.create(req)
  local body = req.json
  for name in pairs(body) do
    if not FIELDS[name] then refuse(name, "Extra inputs are not permitted") end
  end
  local values = settings_of(body)
  check_values(values, "hyperparameters")
  check_integrations(json.value(body.integrations))
  check_checkpoint(json.value(body.from_checkpoint))
  local doc = jobs.create {json = json.object {model = body.model, training_file = body.training_file,
    validation_file = body.validation_file, suffix = body.suffix, seed = body.seed, integrations = body.integrations,
    hyperparameters = values.n_epochs and json.object {n_epochs = values.n_epochs} or nil}}
  local job = store.jobs:get(doc.id)
  job.values, job.tags, job.from_checkpoint = values, json.value(body.tags), json.value(body.from_checkpoint)
  return M.get(nil, doc.id)
end

-- ---- documents ----

-- wandb's key is taken and never given back
local function without_keys(list)
  local out = json.array()
  for i, item in ipairs(list) do out[i] = {type = "wandb", wandb = {project = item.wandb.project}} end
  return out
end

local DEFAULTS = {batch_size = 8, learning_rate = 1e-5, n_epochs = 3, lora = false}

local function render(doc)
  local job = store.jobs:get(doc.id)
  local out = {}
  for key, value in pairs(doc) do out[key] = value end
  out.fine_tuned_model, out.metadata, out.method, out.user_provided_suffix = nil, nil, nil, nil
  out.suffix = job.suffix
  out.hyperparameters = json.object()
  for name, value in pairs(DEFAULTS) do out.hyperparameters[name] = value end
  for name, value in pairs(job.values or {}) do out.hyperparameters[name] = value end
  out.integrations = json.value(out.integrations) and without_keys(out.integrations) or json.null
  out.total_steps, out.trained_steps = 10, out.status == "succeeded" and 10 or out.status == "running" and 5 or 0
  return out
end

function M.get(_, id) return render(jobs.get(nil, id)) end

function M.cancel(_, id) return render(jobs.cancel(nil, id)) end

function M.list(req)
  local doc = jobs.list(req)
  for i, job in ipairs(doc.data) do doc.data[i] = render(job) end
  return doc
end

-- The weights of a checkpoint, as files that can be downloaded
local function weights(checkpoint)
  if not checkpoint.files then
    local content = blob.new()
    content:write("weights of " .. checkpoint.id)
    checkpoint.files = {files.add("adapter_model.safetensors", "fine-tune-results", content).id}
  end
  return json.array {table.unpack(checkpoint.files)}
end

function M.checkpoints(req, id)
  local doc = jobs.list_checkpoints(req, id)
  for i, item in ipairs(doc.data) do
    doc.data[i] = {id = item.id, object = item.object, created_at = item.created_at, step_number = item.step_number,
      fine_tuned_model_checkpoint = item.id, fine_tuning_job_id = item.fine_tuning_job_id, metrics = item.metrics,
      result_files = weights(store.jobs:get(id).checkpoints:get(item.id))}
  end
  return doc
end

return M
