-- The dialect "nebius": Nebius Token Factory. /v1 is OpenAI's with other hyperparameters; /v0/models are the custom
-- models. Settings of its own:
--   deploy_seconds  from POST /v0/models to active (0)     deploy_fate   "active" or "error"
--   unknown_looks   how often a new model is not found (1)
local custom = require "service.dialect.nebius.custom"
local files = require "service.api.files"
local jobs = require "service.api.jobs"
local json = require "service.json"
local models = require "service.api.models"
local openai = require "service.dialect.openai"
local reply = require "service.reply"
local timeline = require "service.dialect.nebius.job"

local M = {model = openai.model, settings = {prefix = "", deploy_seconds = 0, deploy_fate = "active",
  unknown_looks = 1}}

-- FastAPI's: {detail = words}, or for 422 {detail = [{loc, msg, type}]}
function M.error_doc(status, message, param)
  if status ~= 422 then return {detail = message} end
  return {detail = json.array {{loc = json.array {"body", param}, msg = message, type = "value_error"}}}
end

M.key = openai.key

function M.refuse_key() reply.reject(401, "Could not validate credentials") end

function M.headers(req) return {{"x-request-id", req.id}} end

-- ---- files: without a status ----

local function plain_file(doc)
  local new = {}
  for key, value in pairs(doc) do new[key] = value end
  new.status, new.status_details = nil, nil
  return new
end

local function file_of(handler)
  return function(...) return plain_file(handler(...)) end
end

local function list_files(req)
  local doc = files.list(req)
  for i, file in ipairs(doc.data) do doc.data[i] = plain_file(file) end
  return doc
end

-- ---- models: the base ones and those that are deployed ----

local function list_models()
  local doc = models.list()
  local data = json.array()
  for _, model in ipairs(doc.data) do
    if not model.id:find("^ft:") then data[#data + 1] = model end
  end
  for _, model in ipairs(custom.active()) do data[#data + 1] = model end
  return {object = "list", data = data}
end

M.routes = {
  {"POST", "v1/files", "form", file_of(files.create)},
  {"GET", "v1/files", "none", list_files},
  {"GET", "v1/files/*", "none", file_of(files.get)},
  {"DELETE", "v1/files/*", "none", files.delete},
  {"GET", "v1/files/*/content", "none", files.content},
  {"POST", "v1/fine_tuning/jobs", "json", timeline.create},
  {"GET", "v1/fine_tuning/jobs", "none", timeline.list},
  {"GET", "v1/fine_tuning/jobs/*", "none", timeline.get},
  {"POST", "v1/fine_tuning/jobs/*/cancel", "none", timeline.cancel},
  {"GET", "v1/fine_tuning/jobs/*/events", "none", jobs.events},
  {"GET", "v1/fine_tuning/jobs/*/checkpoints", "none", timeline.checkpoints},
  {"GET", "v1/models", "none", list_models},
  {"POST", "v0/models", "json", custom.create},
  {"GET", "v0/models/*", "none", custom.get},
  {"GET", "v0/models/*/*", "none", custom.get},
  {"DELETE", "v0/models/*", "none", custom.delete},
  {"DELETE", "v0/models/*/*", "none", custom.delete},
}

-- ---- for the control port ----

M.add_model, M.jump, M.seed = openai.add_model, openai.jump, openai.seed

function M.reset(more)
  models.reset(more)
  custom.reset()
end

function M.state()
  local state = openai.state()
  state.custom = custom.state()
  return state
end

return M
