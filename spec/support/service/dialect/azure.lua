-- The dialect "azure": Azure OpenAI, both of its APIs over one state. /openai/v1/... takes api-version "v1", "preview"
-- or none; /openai/... takes a date, answers 201 with Location and has the objects of 2024-10-21. Settings of its own:
--   ad_token       the Entra token that is good beside the key     api_version   the only date that is served
--   nulls          false: [] where the real service has been seen to send null
local files = require "service.api.files"
local graders = require "service.api.graders"
local jobs = require "service.api.jobs"
local json = require "service.json"
local models = require "service.api.models"
local openai = require "service.dialect.openai"
local reply = require "service.reply"
local shape = require "service.dialect.azure.shape"
local store = require "service.store"
local uploads = require "service.api.uploads"

local M = {model = openai.model, storage = nil, settings = {
  prefix = "/openai", auth = "api-key", ad_token = "entra-loopback-0123456789abcdef", api_version = "2024-10-21",
  nulls = true, max_upload_bytes = 9 << 30,
}}

local GLOBAL = "global-chat-1" -- trained with a trainingType only

M.error_doc = shape.error_doc

-- ---- who and which API ----

function M.key(req)
  local token = (req.header.authorization or ""):match("^Bearer (.+)$")
  if token and token == store.settings.ad_token then return store.settings.api_key end
  return req.header["api-key"] or token
end

function M.refuse_key()
  reply.reject(401, "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
    .. "key for an active subscription and use a correct regional API endpoint for your resource.", nil, "401")
end

local V1 = {v1 = true, preview = true, latest = true}

local function check_v1(req)
  local version = req.params["api-version"]
  if version and not V1[version] then
    reply.reject(400, ("API version '%s' is not supported by the v1 API."):format(version), nil, "BadRequest")
  end
end

local function check_dated(req)
  local version = req.params["api-version"]
  if version ~= store.settings.api_version then
    reply.reject(404, version and "Resource not found" or "Missing required query parameter: api-version", nil, "404")
  end
end

-- ---- files ----

local function create_file(req)
  local part = req.form and req.form:get("file")
  if part and (part.type or "") == "" then
    reply.reject(400, "The file has no or an empty content type specified.", nil, "invalidPayload")
  end
  return files.create(req)
end

local function list_files_dated(req)
  req.params.limit, req.params.after, req.params.order = nil, nil, nil
  local doc = files.list(req)
  return {object = "list", data = doc.data}
end

-- ---- jobs ----

local DATED_FIELDS = {model = true, training_file = true, validation_file = true, hyperparameters = true, suffix = true,
  seed = true, trainingType = true}
local TRAINING = {standard = true, globalstandard = true, developertier = true}

local function check_fields(body)
  for name in pairs(body) do
    if not DATED_FIELDS[name] then
      reply.reject(400, ("The property '%s' is not allowed."):format(name), name, "invalidPayload")
    end
  end
end

local function check_suffix(suffix)
  if suffix and (type(suffix) ~= "string" or #suffix > 40 or suffix:find("[^%w_-]") or suffix == "") then
    reply.reject(400, "The suffix can have up to 40 characters (a-z, A-Z, 0-9, - and _).", "suffix", "invalidPayload")
  end
end

-- What the other services do not know is checked and taken out
local function take_training(body)
  local training = json.value(body.trainingType)
  if training and not TRAINING[tostring(training):lower()] then
    reply.reject(400, ("'%s' is not a training type."):format(tostring(training)), "trainingType", "invalidPayload")
  elseif body.model == GLOBAL and (not training or training:lower() == "standard") then
    reply.reject(400, "The specified base model does not support fine-tuning.", "model", "invalidPayload")
  end
  body.trainingType = nil
  return training
end

local function take_loss_weight(body)
  local values = json.value(body.hyperparameters)
  local weight = json.is_object(values) and json.value(values.prompt_loss_weight) or nil
  if weight and (type(weight) ~= "number" or weight < 0) then
    reply.reject(400, "prompt_loss_weight must be a number.", "prompt_loss_weight", "invalidPayload")
  end
  if weight then values.prompt_loss_weight = nil end
  return weight
end

local function create_job(req)
  check_suffix(json.value(req.json.suffix))
  local training, weight = take_training(req.json), take_loss_weight(req.json)
  local doc = jobs.create(req)
  local job = store.jobs:get(doc.id)
  job.training_type, job.prompt_loss_weight = training, weight
  return doc
end

local function create_job_dated(req)
  check_fields(req.json)
  return create_job(req)
end

local function delete_job(_, id)
  local job = jobs.find(id)
  if job.status == "running" or job.status == "queued" or job.status == "validating_files" then
    reply.reject(400, ("The job %s is still running."):format(id), nil, "unexpectedEntityState")
  end
  store.jobs:remove(id)
  return reply.answer(204)
end

-- ---- the routes of both ----

-- What a handler returned, as an answer
local function answer_of(value)
  local wrapped = reply.wrap(value)
  return wrapped == value and value or reply.answer(200, value)
end

local function v1(handler)
  return function(req, ...)
    check_v1(req)
    return shape.v1(answer_of(handler(req, ...)))
  end
end

local function dated(handler)
  return function(req, ...)
    check_dated(req)
    return shape.dated(req, answer_of(handler(req, ...)))
  end
end

M.routes = {}

local function add(api, wrap, list)
  for _, route in ipairs(list) do
    M.routes[#M.routes + 1] = {route[1], api .. route[2], route[3], wrap(route[4])}
  end
end

local COMMON = {
  {"GET", "files/*", "none", files.get},
  {"DELETE", "files/*", "none", files.delete},
  {"GET", "files/*/content", "none", files.content},
  {"POST", "uploads", "json", uploads.create},
  {"POST", "uploads/*/parts", "form", uploads.add_part},
  {"POST", "uploads/*/complete", "json", uploads.complete},
  {"POST", "uploads/*/cancel", "none", uploads.cancel},
  {"POST", "files", "form", create_file},
  {"GET", "fine_tuning/jobs", "none", jobs.list},
  {"GET", "fine_tuning/jobs/*", "none", jobs.get},
  {"POST", "fine_tuning/jobs/*/cancel", "none", jobs.cancel},
  {"GET", "fine_tuning/jobs/*/events", "none", jobs.events},
  {"GET", "fine_tuning/jobs/*/checkpoints", "none", jobs.list_checkpoints},
  {"GET", "models", "none", models.list},
  {"GET", "models/*", "none", models.get},
  {"DELETE", "models/*", "none", models.delete},
}

add("v1/", v1, COMMON)
add("v1/", v1, {
  {"GET", "files", "none", files.list},
  {"POST", "fine_tuning/jobs", "json", create_job},
  {"POST", "fine_tuning/jobs/*/pause", "none", jobs.pause},
  {"POST", "fine_tuning/jobs/*/resume", "none", jobs.resume},
  {"POST", "fine_tuning/alpha/graders/validate", "json", graders.validate},
  {"POST", "fine_tuning/alpha/graders/run", "json", graders.run},
})
add("", dated, COMMON)
add("", dated, {
  {"GET", "files", "none", list_files_dated},
  {"POST", "fine_tuning/jobs", "json", create_job_dated},
  {"DELETE", "fine_tuning/jobs/*", "none", delete_job},
})

function M.headers(req) return {{"apim-request-id", req.id}, {"x-request-id", req.id}} end

-- ---- for the control port ----

M.add_model, M.jump, M.state, M.seed = openai.add_model, openai.jump, openai.state, openai.seed

function M.reset(more)
  models.reset(more)
  models.add_base(GLOBAL, {tunable = true})
end

return M
