-- openai: openai-openapi 2.3.0 (2026-08-21), schemas FineTuningJob, OpenAIFile, Upload, Model.

local finetune = require "finetune"
local testing = require "finetune.testing"

local function openai_job(state)
  return {id = "job-1", object = "fine_tuning.job", created_at = 1790000000, finished_at = 1790000100,
    model = "model-1", fine_tuned_model = "ft:model-1", organization_id = "org-1", result_files = {"file-1"},
    status = state.status or "succeeded", trained_tokens = 100, training_file = "file-1",
    hyperparameters = {n_epochs = 3}, seed = 1, error = finetune.null}
end

local function openai_file()
  return {id = "file-1", object = "file", bytes = 10, created_at = 1790000000, filename = "a.jsonl",
    purpose = "fine-tune", status = "processed"}
end

local function list(...)
  return {json = {object = "list", data = finetune.array {...}, has_more = false}}
end

local function deleted(_, id) return {json = {id = id, deleted = true}} end

local function openai_model(id) return {id = id, object = "model", created = 1790000000, owned_by = "me"} end

local function openai_service(state)
  local function job() return {json = openai_job(state)} end
  local function file() return {json = openai_file()} end
  return (testing.routes {
    ["POST /v1/files"] = file,
    ["GET /v1/files"] = function() return list(openai_file()) end,
    ["GET /v1/files/{id}"] = file,
    ["GET /v1/files/{id}/content"] = function() return {body = "step,train_loss\n1,0.5\n"} end,
    ["DELETE /v1/files/{id}"] = deleted,
    ["POST /v1/fine_tuning/jobs"] = job,
    ["GET /v1/fine_tuning/jobs"] = function() return list(openai_job(state)) end,
    ["GET /v1/fine_tuning/jobs/{id}"] = job,
    ["POST /v1/fine_tuning/jobs/{id}/cancel"] = job,
    ["POST /v1/fine_tuning/jobs/{id}/pause"] = job,
    ["POST /v1/fine_tuning/jobs/{id}/resume"] = job,
    ["GET /v1/fine_tuning/jobs/{id}/events"] = function()
      return list {id = "ev-1", object = "fine_tuning.job.event", created_at = 1790000001, level = "info",
        message = "done", type = "message"}
    end,
    ["GET /v1/fine_tuning/jobs/{id}/checkpoints"] = function()
      return list {id = "cp-1", created_at = 1790000001, step_number = 1, metrics = {step = 1, train_loss = 0.5},
        fine_tuned_model_checkpoint = "ft:model-1:ckpt-step-1", fine_tuning_job_id = "job-1"}
    end,
    ["POST /v1/fine_tuning/alpha/graders/validate"] = function() return {json = {grader = {type = "string_check"}}} end,
    ["POST /v1/fine_tuning/alpha/graders/run"] = function() return {json = {reward = 1.0, metadata = {}}} end,
    ["GET /v1/models"] = function() return list(openai_model "model-1") end,
    ["GET /v1/models/{id}"] = function(_, id) return {json = openai_model(id)} end,
    ["DELETE /v1/models/{id}"] = deleted,
    ["POST /v1/chat/completions"] = function()
      return {json = {id = "c", object = "chat.completion", choices = {{index = 0, finish_reason = "stop",
        message = {role = "assistant", content = "4"}}}}}
    end,
  })
end

return {
  service = openai_service,
  statuses = {validating_files = "validating", queued = "queued", running = "running", paused = "paused",
    succeeded = "succeeded", failed = "failed", cancelled = "cancelled", canceled = "cancelled"},
  described = {file = "openai.ft.json", at = "components schemas FineTuningJob properties status", beyond = {
    paused = "there are pause and resume, and no word for what they do",
    canceled = "as some gateways spell it",
  }},
  -- the error invalid_n_examples: "must have at least 10 examples" (openai-php/client#227). The formats
  -- are those of the methods supervised (and of the base models), dpo and reinforcement; the size depends on how the
  -- file goes up
  dataset = {formats = {"chat", "completion", "preference", "reinforcement"}, min_examples = 10},
  unsupported = { -- openai-openapi 2.3.0 has no such path
    delete_job = "no DELETE of /fine_tuning/jobs/{id}",
    deploy_model = "a fine-tuned model is served under its name at once",
    undeploy_model = "there is nothing to undo",
    estimate_cost = "no endpoint; prices are on a web page",
  },
  config = {retry_delay = 0.001, poll_interval = 0.01},
}
