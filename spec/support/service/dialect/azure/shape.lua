-- What Azure's answers look like where they differ from OpenAI's: states, nulls, 201, Location, errors.
local dialect = require "service.dialect"
local json = require "service.json"
local store = require "service.store"

local M = {}

-- ---- errors: {error = {code, message, target, details, innererror}} ----

local BY_STATUS = {[400] = "invalidPayload", [401] = "401", [403] = "forbidden", [404] = "notFound", [405] = "405",
  [409] = "conflict", [413] = "invalidPayload", [429] = "tooManyRequests", [500] = "internalFailure",
  [503] = "serviceUnavailable"}
-- codes of OpenAI's that its own parts answer with
local RENAMED = {file_not_ready = "unexpectedEntityState", invalid_job_state = "unexpectedEntityState",
  invalid_file_format = "jsonlValidationFailed", file_not_found = "notFound"}
local OPENAIS = "^[a-z]+_[a-z_]+$" -- Azure writes them in camel case

function M.error_doc(status, message, param, code)
  code = RENAMED[code] or code
  if not code or code:find(OPENAIS) then code = BY_STATUS[status] or tostring(status) end
  return {error = {code = code, message = message, target = param, details = json.null,
    innererror = status == 400 and {code = "invalidPayload"} or nil}}
end

-- ---- objects ----

local FILE_STEPS = {{0.3, "uploaded"}, {0.6, "pending"}, {1, "running"}}
local JOB_STATES = {validating_files = "created", queued = "pending"} -- of the dated API
local LEVELS = {warn = "warning"}

-- A file that is not ready passes through the states of FileState
local function file_status(doc)
  local file = store.files:get(doc.id)
  if doc.status ~= "uploaded" or not file then return doc.status end
  local part = (store.now() - file.created_at) / math.max(1e-9, file.ready_at - file.created_at)
  for _, step in ipairs(FILE_STEPS) do
    if part < step[1] then return step[2] end
  end
  return "running"
end

local convert = {}

function convert.file(doc)
  doc.status = file_status(doc)
  return doc
end

-- Numbers, says the description of the dated API: what is not chosen yet is not there
local function chosen(hyperparameters)
  local out = json.object()
  for name, value in pairs(hyperparameters or {}) do out[name] = value ~= "auto" and value or nil end
  return out
end

convert["fine_tuning.job"] = function(doc, is_dated)
  local job = store.jobs:get(doc.id)
  doc.suffix, doc.user_provided_suffix = doc.user_provided_suffix, nil
  doc.trainingType = job and job.training_type
  if job and job.prompt_loss_weight then doc.hyperparameters.prompt_loss_weight = job.prompt_loss_weight end
  if store.settings.nulls and #doc.result_files == 0 then doc.result_files = json.null end
  if is_dated then
    doc.status = JOB_STATES[doc.status] or doc.status
    doc.organisation_id, doc.organization_id = doc.organization_id, nil
    doc.metadata, doc.method, doc.integrations = nil, nil, nil
    doc.hyperparameters = chosen(doc.hyperparameters)
  end
  return doc
end

convert["fine_tuning.job.event"] = function(doc)
  doc.level = LEVELS[doc.level] or doc.level
  return doc
end

function convert.model(doc, is_dated)
  if not is_dated then return doc end
  local model = store.models:get(doc.id)
  return {id = doc.id, object = "model", created_at = doc.created, status = "succeeded",
    lifecycle_status = "generally-available", deprecation = {fine_tune = 1798761600, inference = 1809129600},
    capabilities = {fine_tune = model and model.tunable or false, inference = true, completion = false,
      chat_completion = true, embeddings = false}}
end

local function copy(doc)
  local new = {}
  for key, value in pairs(doc) do new[key] = value end
  return new
end

local function object(doc, is_dated)
  local f = type(doc) == "table" and convert[doc.object]
  return f and f(copy(doc), is_dated) or doc
end

local function whole(doc, is_dated)
  if type(doc) ~= "table" then return doc end
  if doc.object == "upload" and doc.file then
    doc = copy(doc)
    doc.file = object(doc.file, is_dated)
  elseif doc.object == "list" then
    local data = json.array()
    for i, item in ipairs(doc.data) do data[i] = object(item, is_dated) end
    doc = copy(doc)
    doc.data = #data == 0 and store.settings.nulls and json.null or data
  end
  return object(doc, is_dated)
end

function M.v1(answer)
  answer.doc = answer.doc and whole(answer.doc, false)
  return answer
end

-- Something new is 201, and where it is
function M.dated(req, answer)
  answer.doc = answer.doc and whole(answer.doc, true)
  local created = req.method == "POST" and (req.path:find("/files$") or req.path:find("/fine_tuning/jobs$"))
  if created and answer.doc then
    answer.status = 201
    answer.headers = {{"location", ("%s%s/%s?api-version=%s"):format(dialect.api_url():gsub("/openai$", ""), req.path,
      answer.doc.id, store.settings.api_version)}}
  end
  return answer
end

return M
