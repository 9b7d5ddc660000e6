-- together: togethercomputer/openapi 2.0.0 (090263aa, 2026-04-28); POST /files, preprocess and multipart as
-- together-python 1.5 (eba5e5f0, 2025-12-23) uses them.

local finetune = require "finetune"
local testing = require "finetune.testing"

local function together_job(state)
  return {id = "job-1", status = state.status or "completed", created_at = "2026-11-22T10:20:30.500Z",
    updated_at = "2026-11-22T10:30:30Z", model = "base-1", model_output_name = "model-1", token_count = 100,
    training_file = "file-1", n_epochs = 1, n_checkpoints = 1, n_evals = 0, batch_size = 8, learning_rate = 0.00001,
    training_type = {type = "Lora", lora_r = 8, lora_alpha = 16}, random_seed = finetune.null,
    training_method = {method = "sft", train_on_inputs = "auto"},
    progress = {estimate_available = false, seconds_remaining = 0}}
end

local function together_event()
  return {object = "fine-tune-event", created_at = "2026-11-22T10:20:31Z", level = "info", message = "started",
    type = "job_start", param_count = 0, token_count = 0, total_steps = 0, wandb_url = "", step = 0,
    checkpoint_path = "", model_path = "", training_offset = 0, hash = ""}
end

local ENDPOINT = {object = "endpoint", id = "endpoint-1", name = "me/model-1-x", display_name = "m", model = "model-1",
  hardware = "1x_gpu", type = "dedicated", owner = "me", state = "PENDING", created_at = "2026-11-22T10:20:31Z",
  autoscaling = {min_replicas = 1, max_replicas = 1}}

local function list(...) return {json = {data = finetune.array {...}}} end

local function together_service(state)
  local function job() return {json = together_job(state)} end
  local function file()
    return {json = {id = "file-1", object = "file", created_at = 1790000000, filename = "a.jsonl", bytes = 10,
      purpose = "fine-tune", FileType = "jsonl", Processed = true}}
  end
  return (testing.routes {
    ["POST /v1/chat/completions"] = function()
      return {json = {choices = {{message = {role = "assistant", content = "4"}}}}}
    end,
    ["POST /v1/files"] = function()
      return {status = 302, body = "", headers = {Location = "https://storage.example/put/file-1?X-Signature=s",
        ["X-Together-File-Id"] = "file-1"}}
    end,
    ["PUT /put/file-1"] = function() return {status = 200, body = ""} end,
    ["POST /v1/files/{id}/preprocess"] = file,
    ["GET /v1/files"] = function() return list(file().json) end,
    ["GET /v1/files/{id}"] = file,
    ["GET /v1/files/{id}/content"] = function() return {body = "{}\n"} end,
    ["DELETE /v1/files/{id}"] = function(_, id) return {json = {id = id, deleted = true}} end,
    ["POST /v1/fine-tunes"] = job,
    ["GET /v1/fine-tunes"] = function() return list(job().json) end,
    ["POST /v1/fine-tunes/estimate-price"] = function()
      return {json = {estimated_total_price = 1.5, allowed_to_proceed = true, user_limit = 25,
        estimated_train_token_count = 100, estimated_eval_token_count = 0}}
    end,
    ["GET /v1/fine-tunes/{id}"] = job,
    ["DELETE /v1/fine-tunes/{id}"] = function() return {json = {message = "deleted"}} end,
    ["POST /v1/fine-tunes/{id}/cancel"] = job,
    ["GET /v1/fine-tunes/{id}/events"] = function() return list(together_event()) end,
    ["GET /v1/fine-tunes/{id}/checkpoints"] = function()
      return list {step = 1, path = "s3://x/1", created_at = "2026-11-22T10:20:31Z", checkpoint_type = "Intermediate"}
    end,
    ["GET /v1/fine-tunes/{id}/metrics"] = function()
      return {json = {metrics = {{["train/global_step"] = 1, ["train/loss"] = 0.5}}}}
    end,
    ["GET /v1/fine-tunes/models/supported"] = function() return {json = {models = {"base-1"}}} end,
    ["POST /v1/endpoints"] = function() return {json = ENDPOINT} end,
    ["GET /v1/endpoints"] = function() return list(ENDPOINT) end,
    ["DELETE /v1/endpoints/{id}"] = function() return {status = 204} end,
  })
end

return {
  service = together_service,
  -- compressing, uploading: the training is over, its result is not there yet
  statuses = {pending = "pending", queued = "queued", running = "running", compressing = "finalizing",
    uploading = "finalizing", cancel_requested = "cancelling", cancelled = "cancelled", error = "failed",
    user_error = "failed", completed = "succeeded"},
  described = {file = "together.ft.json", at = "components schemas FinetuneJobStatus",
    beyond = {user_error = "together-python types/finetune.py"}},
  -- together-python constants.py: MIN_SAMPLES, MAX_FILE_SIZE_GB = 50.1; utils/files.py: the formats
  dataset = {formats = {"chat", "completion", "preference", "text"}, min_examples = 1,
    max_bytes = math.floor(50.1 * 1024 ^ 3)},
  unsupported = { -- openapi 2.0.0 has no such path
    pause_job = "only /fine-tunes/{id}/cancel",
    resume_job = "a new job goes on from_checkpoint of another",
    validate_grader = "the training methods are sft and dpo",
    run_grader = "the training methods are sft and dpo",
  },
  params = {deploy_model = {model = "model-1", hardware = "1x_gpu"}},
  config = {retry_delay = 0.001, poll_interval = 0.01},
}
