-- /fine_tuning/jobs: create, list, get, cancel, pause, resume, events, checkpoints.
local check = require "service.api.check"
local examples = require "service.api.examples"
local json = require "service.json"
local query = require "service.api.query"
local reply = require "service.reply"
local store = require "service.store"
local timeline = require "service.api.timeline"

local M = {}

local ORGANIZATION = "org-loopback"
local FINAL = {succeeded = true, failed = true, cancelled = true}

-- Lets the steps that are due run, each at the time at which it was due.
function M.advance(job)
  if FINAL[job.status] then return job end
  local now = store.now()
  local active = job.elapsed + (job.since and now - job.since or 0)
  local step = job.plan[job.next]
  while step and step.at * job.total <= active and not FINAL[job.status] do
    job.next = job.next + 1
    step.run(job, now - (active - step.at * job.total))
    step = job.plan[job.next]
  end
  return job
end

function M.advance_all()
  for _, job in ipairs(store.jobs.list) do M.advance(job) end
end

-- Puts the job's clock to a fraction of its time, forwards only.
function M.jump(id, fraction)
  local job = M.find(id)
  job.elapsed = math.max(job.elapsed, fraction * job.total)
  if job.since then job.since = store.now() end
  return M.render(M.advance(job))
end

function M.find(id)
  local job = store.jobs:get(id)
  if not job then
    reply.reject(404, ("Could not find fine tune: %s"):format(id), "fine_tuning_job_id", "fine_tune_not_found")
  end
  if job.waits then job.waits, job.since = false, store.now() end
  return M.advance(job)
end

local function copy(t)
  local out = {}
  for k, v in pairs(t or {}) do out[k] = v end
  return out
end

-- The method as the job has it, with what "auto" came to.
local function render_method(job)
  local kind = job.method.type
  local settings = copy(json.value(job.method[kind]))
  settings.hyperparameters = json.object(copy(job.hyperparameters))
  return {type = kind, [kind] = settings}
end

local function whole(seconds) return seconds and (seconds // 1 | 0) or json.null end

function M.render(job)
  local supervised = job.method.type == "supervised"
  return {
    id = job.id, object = "fine_tuning.job", created_at = whole(job.created_at), finished_at = whole(job.finished_at),
    model = job.model, fine_tuned_model = json.or_null(job.fine_tuned_model), organization_id = ORGANIZATION,
    result_files = json.array(job.result_files), status = job.status, trained_tokens = json.or_null(job.trained_tokens),
    training_file = job.training_file, validation_file = json.or_null(job.validation_file),
    hyperparameters = json.object(supervised and copy(job.hyperparameters) or {}), method = render_method(job),
    integrations = json.or_null(job.integrations), seed = job.seed, metadata = json.or_null(job.metadata),
    estimated_finish = job.status == "running" and whole(job.estimated_finish) or json.null,
    error = json.or_null(job.error), user_provided_suffix = json.or_null(job.suffix),
  }
end

local function problem_of(file_id, method, param)
  local blob = store.files:get(file_id).blob
  local n, bad = examples.inspect(blob, method)
  local name = param == "training_file" and "Training file" or "Validation file"
  if bad then
    return {code = "invalid_file_format", param = param,
            message = ("Invalid file format. %s: line %d is not an example for this method."):format(name, bad)}, n
  elseif param == "training_file" and n < store.settings.min_examples then
    return {code = "invalid_n_examples", param = param,
            message = ("%s has %d example(s), but must have at least %d examples"):format(name, n,
              store.settings.min_examples)}, n
  end
  return nil, n
end

local function facts_of(job)
  local problem, n = problem_of(job.training_file, job.method.type, "training_file")
  if not problem and job.validation_file then
    problem = problem_of(job.validation_file, job.method.type, "validation_file")
  end
  return {examples = n, bytes = store.files:get(job.training_file).blob.bytes, problem = problem}
end

local function start(job)
  local settings = json.value(job.method[job.method.type])
  job.id = store.id("ftjob-")
  job.hyperparameters = {}
  for name, value in pairs(settings and json.value(settings.hyperparameters) or {}) do
    job.hyperparameters[name] = json.value(value)
  end
  if next(job.hyperparameters) == nil then
    job.hyperparameters = {n_epochs = "auto", batch_size = "auto", learning_rate_multiplier = "auto"}
  end
  job.organization, job.result_files, job.rows = "loopback", {}, {}
  job.events, job.checkpoints = store.collection(), store.collection()
  job.seed = job.seed or math.random(0, 2147483647)
  job.model_name = ("ft:%s:loopback:%s:%s"):format(job.model:match("^ft:([^:]+)") or job.model, job.suffix or "",
    store.id("", 8))
  job.status, job.created_at = "validating_files", store.now()
  job.elapsed, job.since, job.next, job.total = 0, job.created_at, 1, store.settings.job_seconds
  if store.settings.job_waits then job.waits, job.since = true, nil end
  job.plan = timeline.plan(job, facts_of(job), store.settings.fail)
  return store.jobs:add(job.id, job)
end

function M.create(req)
  local refusal = store.settings.refuse
  if refusal then reply.reject(refusal.status or 403, refusal.message, nil, refusal.code) end
  M.advance_all() -- a model that is about to exist may be the base
  return M.render(M.advance(start(check.job(req.json))))
end

-- metadata[k]=v keeps the jobs that have all those pairs; metadata=null those without any.
local function metadata_filter(params)
  local wanted = {}
  for name, value in pairs(params) do
    local key = name:match("^metadata%[(.*)%]$")
    if key then wanted[key] = value end
  end
  return function(job)
    local metadata = job.metadata
    if params.metadata == "null" and metadata and next(metadata) then return false end
    for key, value in pairs(wanted) do
      if not metadata or metadata[key] ~= value then return false end
    end
    return true
  end
end

function M.list(req)
  local page, more = query.page(req, store.jobs, query.limit(req, 20, 100), metadata_filter(req.params))
  local data = {}
  for i, job in ipairs(page) do data[i] = M.render(M.advance(job)) end
  return reply.list(data, more)
end

function M.get(_, id) return M.render(M.find(id)) end

local function refuse_state(job, verb)
  reply.reject(400, ("The job %s is %s and cannot be %s."):format(job.id, job.status, verb), nil, "invalid_job_state")
end

function M.cancel(_, id)
  local job = M.find(id)
  if FINAL[job.status] then refuse_state(job, "cancelled") end
  job.status, job.finished_at = "cancelled", store.now()
  timeline.event(job, job.finished_at, "The job has been cancelled")
  return M.render(job)
end

function M.pause(_, id)
  local job = M.find(id)
  if FINAL[job.status] or not job.since then refuse_state(job, "paused") end
  job.elapsed, job.since, job.before = job.elapsed + store.now() - job.since, nil, job.status
  job.status = "paused"
  timeline.event(job, store.now(), "The job has been paused")
  return M.render(job)
end

function M.resume(_, id)
  local job = M.find(id)
  if job.status ~= "paused" then refuse_state(job, "resumed") end
  job.since, job.status = store.now(), job.before
  timeline.event(job, job.since, "The job has been resumed")
  return M.render(job)
end

function M.events(req, id)
  local page, more = query.page(req, M.find(id).events, query.limit(req, 20, 100))
  return reply.list(page, more)
end

function M.list_checkpoints(req, id)
  local page, more = query.page(req, M.find(id).checkpoints, query.limit(req, 10, 100))
  return reply.list(page, more, json.null)
end

return M
