-- The dialect "together": the bodies of POST /fine-tunes and of /estimate-price, checked as openapi.yaml 2.0.0 and the
-- limits of the model say. Every refusal is a 400 that names the field.
local files = require "service.dialect.together.files"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

M.limits = {max_num_epochs = 20, max_num_evals = 100, min_learning_rate = 1e-8, max_learning_rate = 0.01,
  max_batch_size = 64, max_batch_size_dpo = 32, min_batch_size = 8, max_rank = 64}

local function refuse(name, words) reply.reject(400, ("%s: %s"):format(name, words), name, nil) end

local function integer(least, most)
  return function(v)
    if math.type(v) ~= "integer" then return "must be an integer" end
    if v < least or v > most then return ("must be from %g to %g"):format(least, most) end
  end
end

local function number(least, most, is_open)
  return function(v)
    if type(v) ~= "number" then return "must be a number" end
    if v < least or v > most or (is_open and v == most) then return ("must be from %g to %g"):format(least, most) end
  end
end

local function text(v) if type(v) ~= "string" or v == "" then return "must be a string" end end
local function flag(v) if type(v) ~= "boolean" then return "must be a boolean" end end

local function suffix(v)
  return text(v) or (utf8.len(v) or math.huge) > store.settings.max_suffix and "is too long" or nil
end

local function batch_size(v)
  if v ~= "max" then return integer(M.limits.min_batch_size, M.limits.max_batch_size)(v) end
end

local function bool_or_auto(v) if v ~= "auto" then return flag(v) end end

-- An object of these fields; `required` are names
local function fields(known, required)
  return function(v)
    if not json.is_object(v) then return "must be an object" end
    for name, value in pairs(v) do
      local words = not known[name] and "is unknown" or known[name](value)
      if words then return ("%s %s"):format(name, words) end
    end
    for name in required:gmatch "%S+" do
      if json.value(v[name]) == nil then return name .. " is required" end
    end
  end
end

-- An object of one of several kinds, by what its field `name` says
local function kinds(name, list)
  return function(v)
    local check = json.is_object(v) and list[json.value(v[name]) or 0]
    if not check then return name .. " is unknown" end
    return check(v)
  end
end

local positive = number(0, math.huge)
local training_type = kinds("type", {
  Full = fields({type = text}, "type"),
  Lora = fields({type = text, lora_r = integer(1, M.limits.max_rank), lora_alpha = integer(1, 1 << 20),
    lora_dropout = number(0, 1, true), lora_trainable_modules = text}, "type lora_r lora_alpha"),
})
local training_method = kinds("method", {
  sft = fields({method = text, train_on_inputs = bool_or_auto}, "method train_on_inputs"),
  dpo = fields({method = text, dpo_beta = positive, rpo_alpha = positive, simpo_gamma = positive,
    dpo_reference_free = flag, dpo_normalize_logratios_by_length = flag}, "method"),
})
local ratio = number(0, 1)
local lr_scheduler = kinds("lr_scheduler_type", {
  linear = fields({lr_scheduler_type = text, lr_scheduler_args = fields({min_lr_ratio = ratio}, "")},
    "lr_scheduler_type"),
  cosine = fields({lr_scheduler_type = text,
    lr_scheduler_args = fields({min_lr_ratio = ratio, num_cycles = positive}, "min_lr_ratio num_cycles")},
    "lr_scheduler_type"),
})

local PRICED = {training_file = text, validation_file = text, model = text, from_checkpoint = text,
  n_epochs = integer(1, M.limits.max_num_epochs), n_evals = integer(0, M.limits.max_num_evals),
  training_method = training_method, training_type = training_type}
local KNOWN = {packing = flag, max_seq_length = integer(1, 1 << 20), n_checkpoints = integer(1, 100),
  batch_size = batch_size, learning_rate = number(M.limits.min_learning_rate, M.limits.max_learning_rate),
  lr_scheduler = lr_scheduler, warmup_ratio = ratio, max_grad_norm = positive, weight_decay = positive,
  random_seed = integer(0, math.maxinteger), suffix = suffix, wandb_api_key = text, wandb_base_url = text,
  wandb_project_name = text, wandb_name = text, wandb_entity = text, train_on_inputs = bool_or_auto,
  multimodal_params = fields({train_vision = flag}, ""), from_hf_model = text, hf_model_revision = text,
  hf_api_token = text, hf_output_repo_name = text}
for name, check in pairs(PRICED) do KNOWN[name] = check end

local function check_fields(body, known)
  for name, value in pairs(body) do
    if not known[name] then refuse(name, "is unknown") end
    if value ~= json.null then
      local words = known[name](value)
      if words then refuse(name, words) end
    end
  end
end

local function check_file(body, name)
  local id = json.value(body[name])
  if not id then return end
  local file = store.files:get(id)
  if not file then reply.reject(404, ("File %s was not found"):format(id), name, nil) end
  if file.purpose ~= "fine-tune" then refuse(name, "the file's purpose is not fine-tune") end
  if not files.ready(file) then refuse(name, "the file has not been processed") end
end

local function check_model(name)
  local model = store.models:get(name)
  if not model or not model.tunable then
    reply.reject(400, ("Model %s is not supported for fine-tuning"):format(name), "model")
  end
end

-- JOB, JOB:STEP, OUTPUT or OUTPUT:STEP of a job that there is
local function check_checkpoint(id)
  local base = id and (id:match "^(.*):%d+$" or id)
  for _, job in ipairs(store.jobs.list) do
    if base == nil or job.id == base or job.output == base then return end
  end
  if base then refuse("from_checkpoint", "there is no such checkpoint") end
end

local function check(body, known, required)
  for name in required:gmatch "%S+" do
    if json.value(body[name]) == nil then refuse(name, "is required") end
  end
  check_fields(body, known)
  if json.value(body.model) then check_model(body.model) end
  check_file(body, "training_file")
  check_file(body, "validation_file")
  check_checkpoint(json.value(body.from_checkpoint))
  if body.from_hf_model and body.from_checkpoint then refuse("from_hf_model", "goes not with from_checkpoint") end
  if (json.value(body.n_evals) or 0) > 0 and not json.value(body.validation_file) then
    refuse("n_evals", "needs a validation_file")
  end
end

function M.job(body) check(body, KNOWN, "training_file model") end

function M.price(body) check(body, PRICED, "training_file") end

return M
