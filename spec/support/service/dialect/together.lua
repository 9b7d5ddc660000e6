-- The dialect "together": Together AI's files, fine-tunes and endpoints (openapi.yaml 2.0.0, 2026-04-28), and a storage
-- on another host. Upload routes that the description lacks are as together-python 1.5 (2025-12-23) uses them.
local files = require "service.dialect.together.files"
local jobs = require "service.dialect.together.jobs"
local json = require "service.json"
local models = require "service.dialect.together.models"
local reply = require "service.reply"
local store = require "service.store"

local M = {
  model = "loop/tiny-chat-1",
  settings = {
    max_upload_bytes = 1 << 36, min_part_bytes = 5 << 20, max_suffix = 40,
    processing_status = false, -- true: files have the newer fields
    complete_wraps = false, -- true: the answer to `complete` is {file = ...}
    no_etag = false, -- true: parts are answered without one
    unannounced = false, -- true: jobs pass through a state that the description has not
    events_in_job = true, -- false: a job is without its events
    direct_download = false, -- true: weights come from the API's own host
  },
  storage = {routes = {
    {"PUT", "uploads/*", "raw", files.put},
    {"PUT", "parts/*/*", "raw", files.put_part},
    {"GET", "weights/*", "none", jobs.weights},
  }},
}

M.routes = {
  {"POST", "files", "raw", files.create},
  {"GET", "files", "none", files.list},
  {"POST", "files/upload", "form", files.upload},
  {"POST", "files/multipart/initiate", "json", files.initiate},
  {"POST", "files/multipart/complete", "json", files.complete},
  {"POST", "files/multipart/abort", "json", files.abort},
  {"POST", "files/*/preprocess", "none", files.preprocess},
  {"GET", "files/*/content", "none", files.content},
  {"GET", "files/*", "none", files.get},
  {"DELETE", "files/*", "none", files.delete},
  {"POST", "fine-tunes", "json", jobs.create},
  {"GET", "fine-tunes", "none", jobs.list},
  {"POST", "fine-tunes/estimate-price", "json", jobs.price},
  {"GET", "fine-tunes/models/supported", "none", models.supported},
  {"GET", "fine-tunes/models/limits", "none", models.limits},
  {"GET", "fine-tunes/*", "none", jobs.get},
  {"DELETE", "fine-tunes/*", "none", jobs.delete},
  {"POST", "fine-tunes/*/cancel", "none", jobs.cancel},
  {"GET", "fine-tunes/*/events", "none", jobs.events},
  {"GET", "fine-tunes/*/checkpoints", "none", jobs.checkpoints},
  {"GET", "fine-tunes/*/metrics", "raw", jobs.metrics},
  {"GET", "finetune/download", "none", jobs.download},
  {"POST", "chat/completions", "json", models.chat},
  {"POST", "endpoints", "json", models.create},
  {"GET", "endpoints", "none", models.list},
  {"DELETE", "endpoints/*", "none", models.delete},
}

local TYPES = {[402] = "credit_limit", [429] = "rate_limit"}

function M.error_doc(status, message, param, code)
  return {error = {message = message, type = TYPES[status] or status >= 500 and "server_error"
    or "invalid_request_error", param = json.or_null(param), code = json.or_null(code)}}
end

function M.key(req) return (req.header.authorization or ""):match "^Bearer (.+)$" end

function M.refuse_key()
  reply.reject(401, "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
    nil, "invalid_api_key")
end

function M.headers(req) return {{"x-request-id", req.id}} end

-- ---- for the control port ----

function M.reset(more)
  store.signatures, store.endpoints = {}, store.collection()
  M.add_model(M.model)
  M.add_model "loop/small-chat-1"
  models.add("loop/embed-1", false)
  for _, name in ipairs(more or {}) do M.add_model(name) end
end

function M.add_model(id) models.add(id, true) end

M.jump = jobs.jump

function M.state()
  local state = {files = json.object(), uploads = json.object(), jobs = json.object(),
    models = models.supported().models, endpoints = json.array(store.endpoints.list)}
  for _, file in ipairs(store.files.list) do state.files[file.id] = files.render(file) end
  for _, upload in ipairs(store.uploads.list) do
    state.uploads[upload.id] = {status = upload.status, file_id = upload.file.id}
  end
  for _, job in ipairs(store.jobs.list) do state.jobs[job.id] = jobs.render(job) end
  return state
end

function M.seed(counts)
  local ids = {files = json.array(), jobs = json.array()}
  for i = 1, counts.files or 0 do ids.files[i] = files.seed(("seed-%d.jsonl"):format(i), "{}\n").id end
  local training = counts.jobs and files.seed("seed.jsonl", "{}\n")
  for i = 1, counts.jobs or 0 do
    local doc = jobs.create {json = json.object {model = M.model, training_file = training.id, suffix = "seed-" .. i}}
    jobs.jump(doc.id, counts.fraction or 1)
    ids.jobs[i] = doc.id
  end
  return ids
end

return M
