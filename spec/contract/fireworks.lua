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

local statuses = {}
for word in ([[UNSPECIFIED CREATING RUNNING COMPLETED FAILED CANCELLED DELETING WRITING_RESULTS VALIDATING
    DELETING_CLEANING_UP PENDING EXPIRED RE_QUEUEING CREATING_INPUT_DATASET IDLE CANCELLING EARLY_STOPPED PAUSED
    DELETED]]):gmatch "%S+" do
  statuses[#statuses + 1] = "JOB_STATE_" .. word
end

return {
  service = service,
  statuses = statuses, -- gatewayJobState
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
