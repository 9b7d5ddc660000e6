-- The dialect "openai": the fine-tuning part of the OpenAI API, and the seed
-- that the other OpenAI-shaped dialects begin with.
local chat = require "service.api.chat"
local files = require "service.api.files"
local graders = require "service.api.graders"
local jobs = require "service.api.jobs"
local json = require "service.json"
local models = require "service.api.models"
local store = require "service.store"
local uploads = require "service.api.uploads"

local M = {model = "tiny-chat-1", settings = {}}

M.routes = {
  {"POST", "files", "form", files.create},
  {"GET", "files", "none", files.list},
  {"GET", "files/*", "none", files.get},
  {"DELETE", "files/*", "none", files.delete},
  {"GET", "files/*/content", "none", files.content},
  {"POST", "uploads", "json", uploads.create},
  {"POST", "uploads/*/parts", "form", uploads.add_part},
  {"POST", "uploads/*/complete", "json", uploads.complete},
  {"POST", "uploads/*/cancel", "none", uploads.cancel},
  {"POST", "fine_tuning/jobs", "json", jobs.create},
  {"GET", "fine_tuning/jobs", "none", jobs.list},
  {"GET", "fine_tuning/jobs/*", "none", jobs.get},
  {"POST", "fine_tuning/jobs/*/cancel", "none", jobs.cancel},
  {"POST", "fine_tuning/jobs/*/pause", "none", jobs.pause},
  {"POST", "fine_tuning/jobs/*/resume", "none", jobs.resume},
  {"GET", "fine_tuning/jobs/*/events", "none", jobs.events},
  {"GET", "fine_tuning/jobs/*/checkpoints", "none", jobs.list_checkpoints},
  {"POST", "fine_tuning/alpha/graders/validate", "json", graders.validate},
  {"POST", "fine_tuning/alpha/graders/run", "json", graders.run},
  {"POST", "chat/completions", "json", chat.complete},
  {"GET", "models", "none", models.list},
  {"GET", "models/*", "none", models.get},
  {"DELETE", "models/*", "none", models.delete},
}

local TYPES = {[500] = "server_error", [502] = "server_error", [503] = "server_error", [429] = "requests"}

function M.error_doc(status, message, param, code, kind)
  return {error = {
    message = message, type = kind or TYPES[status] or "invalid_request_error",
    param = json.or_null(param), code = json.or_null(code),
  }}
end

function M.headers(req, milliseconds)
  return {
    {"x-request-id", req.id},
    {"openai-processing-ms", ("%d"):format(milliseconds)},
    {"openai-version", "2020-10-01"},
    {"openai-organization", "loopback"},
    {"x-ratelimit-limit-requests", "1000"},
    {"x-ratelimit-remaining-requests", "999"},
    {"x-ratelimit-reset-requests", "60ms"},
  }
end

-- The key that came with the request
function M.key(req)
  if store.settings.auth == "api-key" then return req.header["api-key"] end
  return (req.header.authorization or ""):match("^Bearer (.+)$")
end

-- ---- for the control port ----

M.reset = models.reset

function M.add_model(id) models.add_base(id, {tunable = true}) end

M.jump = jobs.jump

local function render_uploads()
  local out = json.object()
  for _, upload in ipairs(store.uploads.list) do
    local doc, n = uploads.render(upload), 0
    for _ in pairs(upload.parts) do n = n + 1 end
    doc.parts, doc.received = n, upload.received
    out[upload.id] = doc
  end
  return out
end

function M.state()
  jobs.advance_all()
  local state = {files = json.object(), uploads = render_uploads(), jobs = json.object(), models = json.array()}
  for _, file in ipairs(store.files.list) do state.files[file.id] = files.render(file) end
  for _, job in ipairs(store.jobs.list) do state.jobs[job.id] = jobs.render(job) end
  for i, model in ipairs(store.models.list) do state.models[i] = model.id end
  return state
end

local function seed_file(i, lines)
  local blob = require("service.blob").new()
  local line = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"
  blob:write(line:rep(lines or 1))
  local file = files.add(("seed-%d.jsonl"):format(i), "fine-tune", blob)
  file.ready_at = 0
  return file
end

-- Many small objects at once, for paging.
function M.seed(counts)
  local ids = {files = json.array(), jobs = json.array()}
  for i = 1, counts.files or 0 do ids.files[i] = seed_file(i).id end
  local training = counts.jobs and seed_file(0, 20)
  for i = 1, counts.jobs or 0 do
    local job = jobs.create {json = json.object {
      model = models.first(), training_file = training.id, suffix = "seed-" .. i,
      metadata = json.object {n = tostring(i)},
    }}
    jobs.jump(job.id, counts.fraction or 1)
    ids.jobs[i] = job.id
  end
  return ids
end

return M
