-- nebius: docs.tokenfactory.nebius.com, API reference 20260506, schemas FineTuningJob, CustomModelInfoResponse.

local finetune = require "finetune"
local testing = require "finetune.testing"

local function nebius_job(state)
  return {id = "job-1", object = "fine_tuning.job", created_at = 1790000000, finished_at = 1790000100,
    model = "model-1", organization_id = "", result_files = finetune.array {}, status = state.status or "succeeded",
    trained_tokens = 100, training_file = "file-1", hyperparameters = {n_epochs = 3, lora = true}, seed = 1,
    suffix = "mine", error = finetune.null, trained_steps = 5, total_steps = 10}
end

local FILE = {id = "file-1", object = "file", bytes = 10, created_at = 1790000000, filename = "a.jsonl",
  purpose = "fine-tune"}

local function list(...)
  return {json = {object = "list", data = finetune.array {...}, has_more = false}}
end

local function custom(status)
  return {json = {name = "model-1", base_model = "base", source = "ftjob-1:ftckpt_1", created_at = 1790000000,
    status = status}}
end

local function service(state)
  local function job() return {json = nebius_job(state)} end
  local function file() return {json = FILE} end
  return (testing.routes {
    ["POST /v1/files"] = file,
    ["GET /v1/files"] = function() return list(FILE) end,
    ["GET /v1/files/{id}"] = file,
    ["GET /v1/files/{id}/content"] = function() return {body = "weights"} end,
    ["DELETE /v1/files/{id}"] = function(_, id) return {json = {id = id, deleted = true}} end,
    ["POST /v1/fine_tuning/jobs"] = job,
    ["GET /v1/fine_tuning/jobs"] = function() return list(nebius_job(state)) end,
    ["GET /v1/fine_tuning/jobs/{id}"] = job,
    ["POST /v1/fine_tuning/jobs/{id}/cancel"] = job,
    ["GET /v1/fine_tuning/jobs/{id}/events"] = function()
      return list {id = "ev-1", created_at = 1790000001, level = "info", message = "Job is submitted"}
    end,
    ["GET /v1/fine_tuning/jobs/{id}/checkpoints"] = function()
      return list {id = "ftckpt_1", created_at = 1790000001, step_number = 1, metrics = {step = 1, train_loss = 0.5},
        fine_tuned_model_checkpoint = "c", fine_tuning_job_id = "job-1", result_files = finetune.array {"file-1"}}
    end,
    ["POST /v1/chat/completions"] = function()
      return {json = {id = "c", choices = {{index = 0, message = {role = "assistant", content = "4"}}}}}
    end,
    ["GET /v1/models"] = function() return list {id = "model-1", object = "model", created = 1, owned_by = "me"} end,
    ["POST /v0/models"] = function() return custom "validating" end,
    ["GET /v0/models/{name}"] = function() return custom "active" end,
    ["DELETE /v0/models/{name}"] = function() return custom "deleted" end,
  })
end

return {
  service = service,
  statuses = {validating_files = "validating", queued = "queued", running = "running", succeeded = "succeeded",
    failed = "failed", cancelled = "cancelled"}, -- schema FineTuningJob
  -- docs.tokenfactory.nebius.com, datasets: chat, prompt with completion, text; 50 GB (5 on an older page). The 10 are
  -- OpenAI's, whose variant it is: no page of Nebius has a least number
  dataset = {formats = {"chat", "completion", "text"}, min_examples = 10, max_bytes = 50 * 1024 ^ 3},
  params = {deploy_model = {model = "ftjob-1"}},
  unsupported = { -- the API reference has no such path
    pause_job = "no pause of /v1/fine_tuning/jobs/{job_id}",
    resume_job = "no resume of it either",
    delete_job = "no DELETE of /v1/fine_tuning/jobs/{job_id}",
    estimate_cost = "no endpoint; GET /v0/models/{name} has a price per million tokens",
    validate_grader = "no graders",
    run_grader = "no graders",
  },
  config = {retry_delay = 0.001, poll_interval = 0.01},
}
