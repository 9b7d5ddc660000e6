-- The body of POST /fine_tuning/jobs, checked as the real service checks it:
-- every refusal is a 400 that names the parameter.
local files = require "service.api.files"
local graders = require "service.api.graders"
local json = require "service.json"
local ranges = require "service.api.ranges"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local KNOWN = {
  model = true, training_file = true, validation_file = true, suffix = true, seed = true, metadata = true,
  method = true, hyperparameters = true, integrations = true,
}

local function refuse(param, words, code) reply.reject(400, words, param, code or "invalid_value") end

local function apply(check, value, param)
  local words, code = check(value)
  if words then refuse(param, ("Invalid '%s': %s."):format(param, words), code) end
  return value
end

-- Optional fields: nil and null are the same.
local function optional(body, name, check)
  local value = json.value(body[name])
  return value ~= nil and apply(check, value, name) or value
end

local function required(body, name)
  local value = json.value(body[name])
  if value == nil then
    refuse(name, ("Missing required parameter: '%s'."):format(name), "missing_required_parameter")
  end
  return apply(ranges.text(1, 1024), value, name)
end

local function check_unknown(body)
  for name in pairs(body) do
    if not KNOWN[name] then refuse(name, ("Unknown parameter: '%s'."):format(name), "unknown_parameter") end
  end
end

local function check_model(name)
  local model = store.models:get(name)
  if not model then refuse("model", ("The model '%s' does not exist."):format(name), "model_not_found") end
  if model.base and not model.tunable then
    refuse("model", ("Model %s is not available for fine-tuning."):format(name), "model_not_available")
  end
end

local function check_file(id, param)
  local file = store.files:get(id)
  if not file then refuse(param, ("invalid %s: %s"):format(param, id), "file_not_found") end
  if file.purpose ~= "fine-tune" then
    refuse(param, ("File '%s' has the purpose '%s'; 'fine-tune' is needed."):format(id, file.purpose),
      "invalid_file_purpose")
  end
  if not files.ready(file) then
    refuse(param, ("File '%s' is still being processed and is not ready to be used for fine-tuning."
      .. " Please try again later."):format(id), "file_not_ready")
  end
end

local function check_hyperparameters(values, kind, path)
  if not json.is_object(values) then refuse(path, ("Invalid '%s': expected an object."):format(path)) end
  for name, value in pairs(values) do
    local check, param = ranges.hyperparameters[kind][name], path .. "." .. name
    if not check then refuse(param, ("Unknown parameter: '%s'."):format(param), "unknown_parameter") end
    if value ~= json.null then apply(check, value, param) end
  end
end

local METHOD_KEYS = {type = true, supervised = true, dpo = true, reinforcement = true}

local function check_settings(method, kind)
  local settings = json.value(method[kind])
  if kind == "reinforcement" then
    local grader = settings and json.value(settings.grader)
    if not grader then
      refuse("method.reinforcement.grader", "Missing required parameter: 'method.reinforcement.grader'.",
        "missing_required_parameter")
    end
    graders.check(grader, "method.reinforcement.grader")
  end
  local values = settings and json.value(settings.hyperparameters)
  if values then check_hyperparameters(values, kind, ("method.%s.hyperparameters"):format(kind)) end
end

local function check_method(method)
  if not json.is_object(method) then refuse("method", "Invalid 'method': expected an object.", "invalid_type") end
  for name in pairs(method) do
    if not METHOD_KEYS[name] then refuse("method." .. name, "Unknown parameter.", "unknown_parameter") end
  end
  local kind = json.value(method.type)
  if not ranges.hyperparameters[kind or 0] then
    refuse("method.type", "Invalid 'method.type': supervised, dpo or reinforcement.")
  end
  check_settings(method, kind)
end

-- Returns the method of the job: as given, or supervised from the old field.
local function method_of(body)
  local method, flat = json.value(body.method), json.value(body.hyperparameters)
  if flat then check_hyperparameters(flat, "supervised", "hyperparameters") end
  if not method then return {type = "supervised", supervised = {hyperparameters = flat}} end
  check_method(method)
  return method
end

-- The body with nulls gone, or a refusal.
function M.job(body)
  check_unknown(body)
  local job = {model = required(body, "model"), training_file = required(body, "training_file")}
  job.suffix = optional(body, "suffix", ranges.text(1, 64))
  job.seed = optional(body, "seed", ranges.seed)
  job.metadata = optional(body, "metadata", ranges.metadata)
  job.integrations = optional(body, "integrations", ranges.integrations)
  job.validation_file = optional(body, "validation_file", ranges.text(1, 1024))
  job.method = method_of(body)
  check_model(job.model)
  check_file(job.training_file, "training_file")
  if job.validation_file then check_file(job.validation_file, "validation_file") end
  return job
end

return M
