-- azure: azureopenai.json 2024-10-21 (FineTuningState) and the v1 reference (OpenAI's words).

local finetune = require "finetune"
local openai = require "spec.contract.openai"
local testing = require "finetune.testing"

local function azure_job(state)
  return {id = "job-1", object = "fine_tuning.job", created_at = 1790000000, finished_at = 1790000100,
    model = "model-1", fine_tuned_model = "model-1.ft-1", result_files = finetune.null, error = finetune.null,
    status = state.status or "succeeded", trained_tokens = 100, training_file = "file-1",
    hyperparameters = {n_epochs = 3}, seed = 1, suffix = finetune.null}
end

-- The v1 API, but for deleting a job, which the dated one alone describes
local function service(state)
  local base = openai.service(state)
  local own = testing.routes {
    ["GET /v1/fine_tuning/jobs/{id}"] = function() return {json = azure_job(state)} end,
    ["POST /v1/fine_tuning/jobs"] = function() return {status = 201, json = azure_job(state)} end,
    ["DELETE /openai/fine_tuning/jobs/{id}"] = function() return {status = 204} end,
  }
  return function(request)
    request.url = request.url:gsub("/openai/v1/", "/v1/")
    local answer = own(request)
    return answer.status == 404 and base(request) or answer
  end
end

return {
  service = service,
  -- pending: "created and not queued", as Azure.AI.Agents.Persistent words the same state of a file
  statuses = {created = "pending", pending = "pending", running = "running", succeeded = "succeeded",
    cancelled = "cancelled", failed = "failed", validating_files = "validating", queued = "queued", paused = "paused"},
  described = {file = "azure-2024-10-21.ft.json", at = "definitions FineTuningState",
    beyond = {validating_files = "v1", queued = "v1", paused = "v1, whose jobs can be paused"}},
  -- fine-tuning-rest.md: JSONL of chats, at least 10, less than 512 MB; the guide of DPO for preference
  dataset = {formats = {"chat", "preference"}, min_examples = 10, max_bytes = 512 * 1024 * 1024},
  unsupported = {
    deploy_model = "PUT of management.azure.com, with another token (fine-tuning-rest.md)",
    undeploy_model = "DELETE of management.azure.com, with another token",
    estimate_cost = "no endpoint; prices are on a web page",
  },
  config = {retry_delay = 0.001, poll_interval = 0.01, base_url = "https://contract.example"},
}
