-- fireworks: "Gateway REST API" 4.259.0 (api-evangelist/fireworks-ai, a9b2199, 2026-06-27), schemas gatewayDataset,
-- gatewaySupervisedFineTuningJob, gatewayModel, gatewayDeployment; :upload from fw-ai-external/python-sdk (8399c12).

local testing = require "finetune.testing"

local A = "/v1/accounts/acme"

local function job_doc(state)
  return {name = "accounts/acme/supervisedFineTuningJobs/job-1", state = state.status or "JOB_STATE_COMPLETED",
    createTime = "2026-09-21T12:53:20.5Z", completedTime = "2026-09-21T12:55:00Z",
    dataset = "accounts/acme/datasets/file-1",
    baseModel = "accounts/fireworks/models/model-1", outputModel = "accounts/acme/models/tuned-1", epochs = 2,
    jobProgress = {percent = 100, epoch = 1, inputTokens = 2100}, status = {code = "OK", message = ""}}
end

local DATASET = {name = "accounts/acme/datasets/file-1", displayName = "a.jsonl", createTime = "2026-09-21T12:00:00Z",
  state = "READY", exampleCount = "10", userUploaded = {}}
local MODEL = {name = "accounts/acme/models/model-1", kind = "HF_PEFT_ADDON", state = "READY",
  createTime = "2026-09-21T12:00:00Z", deployedModelRefs = {{name = "accounts/acme/deployedModels/d-1"}}}
local SIGNED = {["a.jsonl"] = "https://storage.example/a.jsonl?signature=s"}
local DEPLOYMENT = {name = "accounts/acme/deployments/d-1", baseModel = MODEL.name, state = "CREATING"}

local function always(json) return function() return {json = json} end end

local function service(state)
  local job = always(job_doc(state))
  return (testing.routes {
    ["POST /inference/v1/chat/completions"] = function()
      return {json = {choices = {{message = {role = "assistant", content = "4"}}}}}
    end,
    ["POST " .. A .. "/datasets"] = always(DATASET),
    ["GET " .. A .. "/datasets"] = always {datasets = {DATASET}, nextPageToken = ""},
    ["POST " .. A .. "/datasets/{id}:upload"] = always {id = "file-1", bytes = 10},
    ["GET /a.jsonl"] = function() return {body = "{}\n"} end,
    ["GET " .. A .. "/datasets/{id}"] = function(_, id)
      return {json = id:find ":getDownloadEndpoint$" and {filenameToSignedUrls = SIGNED} or DATASET}
    end,
    ["DELETE " .. A .. "/datasets/{id}"] = always {},
    ["POST " .. A .. "/supervisedFineTuningJobs"] = job,
    ["GET " .. A .. "/supervisedFineTuningJobs"] = always {supervisedFineTuningJobs = {job_doc(state)}},
    ["POST " .. A .. "/supervisedFineTuningJobs:estimateCost"] =
      always {estimatedCost = {currencyCode = "USD", units = "1", nanos = 500000000}},
    ["GET " .. A .. "/supervisedFineTuningJobs/{id}"] = job,
    ["DELETE " .. A .. "/supervisedFineTuningJobs/{id}"] = always {},
    ["POST " .. A .. "/supervisedFineTuningJobs/{id}:cancel"] = always {},
    ["POST " .. A .. "/supervisedFineTuningJobs/{id}:resume"] = job,
    ["GET " .. A .. "/models"] = always {models = {MODEL}},
    ["GET " .. A .. "/models/{id}"] = always(MODEL),
    ["DELETE " .. A .. "/models/{id}"] = always {},
    ["POST " .. A .. "/deployments"] = always(DEPLOYMENT),
    ["GET " .. A .. "/deployments"] = always {deployments = {DEPLOYMENT}},
    ["DELETE " .. A .. "/deployments/{id}"] = always {},
    ["DELETE " .. A .. "/deployedModels/{id}"] = always {},
  })
end

-- gatewayJobState, which explains PAUSED and DELETED only. What is deleted, or on its way to be, has no result; what
-- expired has none either; an early stop is the user's own `earlyStop`, and leaves a model. IDLE is taken for waiting.
local OURS = {
  pending = "UNSPECIFIED CREATING", validating = "VALIDATING CREATING_INPUT_DATASET",
  queued = "PENDING RE_QUEUEING IDLE", running = "RUNNING", paused = "PAUSED", finalizing = "WRITING_RESULTS",
  cancelling = "CANCELLING DELETING DELETING_CLEANING_UP", succeeded = "COMPLETED EARLY_STOPPED",
  failed = "FAILED EXPIRED", cancelled = "CANCELLED DELETED",
}

local statuses = {}
for ours, words in pairs(OURS) do
  for word in words:gmatch "%S+" do statuses["JOB_STATE_" .. word] = ours end
end

return {
  service = service,
  statuses = statuses,
  described = {file = "fireworks.ft.json", at = "components schemas gatewayJobState", beyond = {}},
  -- docs.fireworks.ai, "Supervised fine-tuning": 3 to 3 million examples; "Direct Preference Optimization"
  dataset = {formats = {"chat", "completion", "preference"}, min_examples = 3, max_examples = 3000000},
  unsupported = { -- the description of the API, 4.259.0
    pause_job = "jobs have :cancel and :resume and no :pause; PAUSED: \"account suspension or manual intervention\"",
    list_events = "no path; jobs have jobProgress",
    list_checkpoints = "only trainers of the training SDK have them (rlorTrainerJobs/{id}/checkpoints)",
    list_metrics = "metricsFileSignedUrl and :getMetricsFileEndpoint give a file whose form is nowhere described",
    validate_grader = "evaluators are resources of their own",
    run_grader = "evaluators are resources of their own",
  },
  config = {account = "acme", retry_delay = 0.001, poll_interval = 0.01},
}
