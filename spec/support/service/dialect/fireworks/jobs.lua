-- supervisedFineTuningJobs, dpoJobs and reinforcementFineTuningJobs: made, looked at, cancelled, resumed, deleted.
local check = require "service.dialect.fireworks.check"
local datasets = require "service.dialect.fireworks.datasets"
local json = require "service.json"
local models = require "service.dialect.fireworks.models"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local RATES = {learningRate = "rate", maxContextLength = "count", loraRank = "rank", epochs = "count",
  batchSize = "count", gradientAccumulationSteps = "count", learningRateWarmupSteps = "amount",
  batchSizeSamples = "count", optimizerWeightDecay = "share", outputModel = "string", baseModel = "string",
  warmStartFrom = "string", jinjaTemplate = "string"}
local WANDB = {enabled = "boolean", apiKey = "string", project = "string", entity = "string", runId = "string"}
local LOSS = {method = "string", klBeta = "number", orpo = {lambda = "number"},
  dpo = {beta = "rate", refCacheConcurrency = "count", refCacheBatchSize = "count"}}
local COMMON = {displayName = "title", dataset = "string", wandbConfig = WANDB, purpose = "string",
  awsS3Config = "object", azureBlobStorageConfig = "object"}

local function with(...)
  local all = {}
  for _, list in ipairs {...} do
    for name, kind in pairs(list) do all[name] = kind end
  end
  return all
end

local TRAINING = with(RATES, {loraAlpha = "amount", loraDropout = "share", loraTargetModules = "strings",
  trainerShardingScheme = "object"})

-- collection -> {parameter of its id, fields of its jobs, cancel: the verb is in the SDK too}
local KINDS = {
  supervisedFineTuningJobs = {"supervisedFineTuningJobId", with(RATES, COMMON, {earlyStop = "boolean",
    evaluationDataset = "string", evalAutoCarveout = "boolean", isTurbo = "boolean", nodes = "count"})},
  dpoJobs = {"dpoJobId", with(COMMON, {trainingConfig = TRAINING, lossConfig = LOSS})},
  reinforcementFineTuningJobs = {"reinforcementFineTuningJobId", with(COMMON, {trainingConfig = TRAINING,
    lossConfig = LOSS, evaluationDataset = "string", evalAutoCarveout = "boolean", evaluator = "string",
    inferenceParameters = "object", chunkSize = "count", nodeCount = "count"}), cancel = true},
}

local OVER = {JOB_STATE_COMPLETED = true, JOB_STATE_FAILED = true, JOB_STATE_CANCELLED = true}

-- ---- the clock: {fraction of the job's time, state} ----

local STEPS = {{0, "JOB_STATE_CREATING"}, {0.1, "JOB_STATE_VALIDATING"}, {0.2, "JOB_STATE_PENDING"},
  {0.3, "JOB_STATE_RUNNING"}, {0.9, "JOB_STATE_WRITING_RESULTS"}, {1, "JOB_STATE_COMPLETED"}}

local function part_of(job) return math.max(job.least or 0, (store.now() - job.begun) / job.total) end

local function finish(job, state, code, message)
  job.state, job.completed_at = state, store.now()
  job.status = {code = code or "OK", message = message or ""}
  if state == "JOB_STATE_COMPLETED" then
    models.add(job.output, {kind = "HF_PEFT_ADDON", tunable = true, base = job.base, job = job.id})
  end
  return job
end

function M.advance(job)
  if OVER[job.state] then return job end
  if job.cancelled_at then
    if store.now() >= job.cancelled_at + 0.3 then finish(job, "JOB_STATE_CANCELLED") end
    return job
  end
  local part = part_of(job)
  if job.problem and part >= 0.15 then return finish(job, "JOB_STATE_FAILED", "INVALID_ARGUMENT", job.problem) end
  local fails = store.settings.fail
  if fails and part >= 0.6 then return finish(job, "JOB_STATE_FAILED", fails.code, fails.message) end
  for _, step in ipairs(STEPS) do
    if part >= step[1] then job.state = step[2] end
  end
  if job.state == "JOB_STATE_COMPLETED" then finish(job, job.state) end
  return job
end

local function progress(job)
  local done = job.state == "JOB_STATE_COMPLETED" and 1 or math.max(0, math.min(1, (part_of(job) - 0.3) / 0.6))
  return json.object {percent = done * 100 // 1 | 0, epoch = 0, inputTokens = done * 1000 // 1 | 0}
end

function M.render(job)
  M.advance(job)
  local doc = json.object(with(job.fields))
  doc.name, doc.createTime, doc.state, doc.status = job.id, check.time(job.created_at), job.state, job.status
  doc.completedTime = job.completed_at and check.time(job.completed_at) or nil
  doc.createdBy = "user@example.com"
  if job.collection ~= "dpoJobs" then doc.jobProgress = progress(job) end
  if doc.wandbConfig then doc.wandbConfig = {enabled = true, project = doc.wandbConfig.project} end
  local settings = doc
  if job.collection == "supervisedFineTuningJobs" then
    doc.updateTime = doc.createTime
    doc.estimatedCost = {currencyCode = "USD", units = "0", nanos = 500000000}
  else
    doc.trainingConfig = json.object(with(job.fields.trainingConfig))
    settings = doc.trainingConfig
  end
  settings.outputModel = job.output
  return doc
end

-- ---- what a new job must be ----

local function dataset_of(name)
  local dataset = store.files:get(name or "")
  if not dataset then check.refuse(check.NOT_FOUND, "Dataset \"%s\" not found", tostring(name)) end
  if not datasets.ready(dataset) then check.refuse(check.PRECONDITION, "dataset %s is not READY", name) end
  return dataset
end

-- The model that training begins with, and the base of what comes of it
local function base_of(settings)
  local base, warm = settings.baseModel, settings.warmStartFrom
  if (base == nil) == (warm == nil) then
    check.refuse(check.INVALID, "exactly one of base_model and warm_start_from must be specified")
  end
  local model = store.models:get(base or warm)
  if not model then check.refuse(check.NOT_FOUND, "Model \"%s\" not found", base or warm) end
  if not model.tunable then check.refuse(check.INVALID, "model %s is not tunable", model.id) end
  if warm and not model.kind:find "ADDON" then check.refuse(check.INVALID, "%s is no PEFT addon", warm) end
  if base and model.kind:find "ADDON" then check.refuse(check.INVALID, "%s is no base model", base) end
  return model.base or model.id
end

local function check_body(req, collection)
  local body = check.fields(req.json, KINDS[collection][2], "job")
  local settings = collection == "supervisedFineTuningJobs" and body or body.trainingConfig or {}
  if settings.outputModel then check.id(settings.outputModel, "Model") end
  if body.wandbConfig and not body.wandbConfig.apiKey then check.refuse(check.INVALID, "wandb api_key is required") end
  if collection == "dpoJobs" and not (body.lossConfig or {}).method then
    check.refuse(check.INVALID, "loss method is not specified")
  elseif collection == "reinforcementFineTuningJobs" and body.evaluator ~= check.name("evaluators", "exact") then
    check.refuse(check.NOT_FOUND, "Evaluator \"%s\" not found", tostring(body.evaluator))
  end
  local dataset, base = dataset_of(body.dataset), base_of(settings)
  if body.evaluationDataset then dataset_of(body.evaluationDataset) end
  return body, settings, dataset, base
end

-- Words about a dataset that cannot be trained with
local function problem_of(dataset)
  local n, least = dataset.blob:lines(), store.settings.min_examples
  if n < least then return ("the dataset has %d examples, at least %d are needed"):format(n, least) end
  if dataset.fields.exampleCount ~= tostring(n) then return "example_count is not that of the file" end
end

function M.create(collection)
  return function(req, account)
    check.account(account)
    check.query(req, KINDS[collection][1])
    local refusal = store.settings.refuse
    if refusal then reply.reject(refusal.status or 403, refusal.message, nil, refusal.code) end
    local id = req.params[KINDS[collection][1]] or store.id("j", 12):lower()
    local name = check.name(collection, check.id(id, "Job"))
    if store.jobs:get(name) then check.refuse(check.EXISTS, "Job \"%s\" already exists", name) end
    local body, settings, dataset, base = check_body(req, collection)
    local output = check.name("models", settings.outputModel or id)
    if store.models:get(output) then check.refuse(check.EXISTS, "Model \"%s\" already exists", output) end
    local now = store.now()
    return M.render(store.jobs:add(name, {collection = collection, fields = body, base = base, created_at = now,
      begun = now, total = store.settings.job_seconds, state = "JOB_STATE_CREATING", output = output,
      status = {code = "OK", message = ""}, problem = problem_of(dataset)}))
  end
end

function M.estimate(req, account)
  check.account(account)
  local _, settings, dataset = check_body(req, "supervisedFineTuningJobs")
  local nanos = dataset.blob.bytes * (settings.epochs or 1) * 1000
  local units = ("%d"):format(nanos // 1000000000)
  return {estimatedCost = {currencyCode = "USD", units = units, nanos = nanos % 1000000000}}
end

-- ---- jobs that are there ----

local function find(collection, account, id)
  check.account(account)
  local name = check.name(collection, id)
  return M.advance(store.jobs:get(name) or check.refuse(check.NOT_FOUND, "Job \"%s\" not found", name))
end

function M.get(collection)
  return function(req, account, id)
    check.query(req, "readMask")
    return M.render(find(collection, account, id))
  end
end

function M.list(collection)
  return function(req, account)
    check.account(account)
    return check.page(req, collection, store.jobs, M.render, function(job) return job.collection == collection end)
  end
end

function M.cancel(collection)
  return function(req, account, id)
    if not store.settings.cancel_verb and not KINDS[collection].cancel then
      check.refuse(check.UNIMPLEMENTED, "Method Not Allowed")
    end
    local job = find(collection, account, id)
    check.empty(req)
    if OVER[job.state] then check.refuse(check.PRECONDITION, "the job is in state %s", job.state) end
    job.cancelled_at, job.state = store.now(), "JOB_STATE_CANCELLING"
    return json.object()
  end
end

function M.resume(collection)
  return function(req, account, id)
    local job = find(collection, account, id)
    check.empty(req)
    if job.state ~= "JOB_STATE_FAILED" and job.state ~= "JOB_STATE_CANCELLED" then
      check.refuse(check.PRECONDITION, "a job in state %s cannot be resumed", job.state)
    end
    job.state, job.status = "JOB_STATE_PENDING", {code = "OK", message = ""}
    job.begun, job.least = store.now() - 0.2 * job.total, 0.2
    job.cancelled_at, job.completed_at, job.problem = nil, nil, nil
    return M.render(job)
  end
end

function M.delete(collection)
  return function(_, account, id)
    store.jobs:remove(find(collection, account, id).id)
    return json.object()
  end
end

-- Puts the job's clock to a fraction of its time, forwards only
function M.jump(name, fraction)
  local job = store.jobs:get(name)
  job.least = math.max(job.least or 0, fraction)
  return M.render(job)
end

return M
