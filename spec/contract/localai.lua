-- localai: mudler/LocalAI at 82c191af (2026-08-22), core/http/routes/finetuning.go, core/schema/finetune.go.

local testing = require "finetune.testing"

local FOLDER = "/data/fine-tune/"

local function localai_job(state, id, status)
  return {id = id, user_id = "u-1", model = "org/model-1", backend = "trl", model_id = "trl-finetune-" .. id,
    training_type = "lora", training_method = "sft", status = status or state.status or "completed",
    message = "Training completed", output_dir = FOLDER .. id, extra_options = {finetune_token = "t"},
    created_at = "2026-11-22T10:00:00Z", export_status = "completed", export_model_name = "model-1",
    config = {model = "org/model-1", backend = "trl", dataset_source = FOLDER .. "datasets/file-1.jsonl",
      num_epochs = 3, seed = 7}}
end

local PROGRESS = 'data: {"job_id":"job-1","current_step":1,"total_steps":2,"current_epoch":1,"total_epochs":2,'
  .. '"loss":0.5,"learning_rate":0.0002,"progress_percent":50,"status":"training"}\n\n'

local function localai_service(state)
  local stopped = false
  local function job(_, id)
    return {json = localai_job(state, id, id == "job-2" and (stopped and "stopped" or "training") or nil)}
  end
  local jobs, job_path = "/api/fine-tuning/jobs", "/api/fine-tuning/jobs/{id}"
  return (testing.routes {
    ["POST /v1/chat/completions"] = function()
      return {json = {choices = {{message = {role = "assistant", content = "4"}}}}}
    end,
    ["POST /api/fine-tuning/datasets"] = function() return {json = {path = FOLDER .. "datasets/file-1.jsonl"}} end,
    ["POST " .. jobs] = function()
      return {status = 201, json = {id = "job-1", status = "queued", message = "Fine-tuning job started"}}
    end,
    ["GET " .. jobs] = function() return {json = {localai_job(state, "job-1")}} end,
    ["GET " .. job_path] = job,
    ["DELETE " .. job_path] = function() return {json = {status = "deleted", message = "Fine-tuning job deleted"}} end,
    ["POST " .. job_path .. "/stop"] = function()
      stopped = true
      return {json = {status = "stopped", message = "Fine-tuning job stopped"}}
    end,
    ["GET " .. job_path .. "/progress"] = function()
      return {headers = {["content-type"] = "text/event-stream"}, body = PROGRESS}
    end,
    ["GET " .. job_path .. "/checkpoints"] = function()
      return {json = {checkpoints = {{path = FOLDER .. "job-1/checkpoint-2", step = 2, epoch = 1, loss = 0.5,
        created_at = "2026-11-22T10:01:00Z"}}}}
    end,
    ["POST " .. job_path .. "/export"] = function()
      return {status = 202, json = {status = "exporting", message = "Export started", model_name = "model-1"}}
    end,
    ["GET " .. job_path .. "/download"] = function() return {body = "\31\139 an archive"} end,
    ["GET /v1/models"] = function() return {json = {object = "list", data = {{id = "model-1", object = "model"}}}} end,
    ["POST /models/delete/{name}"] = function()
      return {json = {uuid = "task-1", status = "http://x/models/jobs/task-1"}}
    end,
    ["GET /models/jobs/{uuid}"] = function()
      return {json = {deletion = true, processed = true, message = "completed", progress = 100}}
    end,
  })
end

return {
  service = localai_service,
  statuses = {queued = "queued", loading_model = "running", loading_dataset = "running", training = "running",
    saving = "running", -- a checkpoint is told so (trl/backend.py, on_save), and the training goes on
    completed = "succeeded", failed = "failed", stopped = "cancelled",
    caching = "running"}, -- core/schema/finetune.go; the last: backend/backend.proto
  -- trl's SFTTrainer takes `messages`, and `prompt` with `completion`; LOCALAI_UPLOAD_LIMIT is 15 MB
  dataset = {formats = {"chat", "completion"}, max_bytes = 15 * 1000 * 1000},
  unsupported = { -- core/http/routes/finetuning.go has these routes and no others
    pause_job = "no such route", resume_job = "no such route: a new job resumes from a checkpoint",
    list_files = "datasets: only POST", get_file = "datasets: only POST", delete_file = "datasets: only POST",
    undeploy_model = "models are loaded when they are used",
    estimate_cost = "self-hosted: there is no price",
    validate_grader = "reward functions are checked as a job begins", run_grader = "no such route",
  },
  config = {retry_delay = 0.001, poll_interval = 0.01},
  params = {cancel_job = {job_id = "job-2"}, download_file = {file_id = "job-1"},
    deploy_model = {model = FOLDER .. "job-1"}},
}
