-- The life of a job, written down when the job is made: an array of steps
-- {at = fraction of its time, run = function(job, when)}. Nothing runs in the
-- background; whoever asks about a job first lets due steps run (jobs.advance),
-- so a paused clock, a jump and 500 jobs cost nothing.
local blob = require "service.blob"
local files = require "service.api.files"
local json = require "service.json"
local mime = require "mime"
local store = require "service.store"

local M = {}

local VALIDATED, STARTED, TRAINED = 0.1, 0.2, 0.95
local ROWS = 50 -- metric events of a job, at most

-- Adds an event; the newest is the first one listed.
function M.event(job, when, message, more)
  local id = store.id("ftevent-")
  job.events:add(id, {
    object = "fine_tuning.job.event", id = id, created_at = when // 1 | 0, level = more and more.level or "info",
    message = message, type = more and more.type or "message", data = more and more.data or json.object(),
  })
end

local function say(at, message)
  return {at = at, run = function(job, when) M.event(job, when, message) end}
end

local function fails(at, failure)
  return {at = at, run = function(job, when)
    job.status, job.finished_at = "failed", when
    job.error = {code = failure.code, message = failure.message, param = json.or_null(failure.param)}
    M.event(job, when, failure.message, {level = "error", data = {error_code = failure.code}})
  end}
end

local function opening(job)
  local message = "Validating training file: " .. job.training_file
  if job.validation_file then message = message .. " and validation file: " .. job.validation_file end
  return {say(0, "Created fine-tuning job: " .. job.id), say(0, message)}
end

-- What "auto" comes to once the service has seen the file.
local function settle(job, facts)
  local h = job.hyperparameters
  local function auto(name, value)
    if h[name] == nil or h[name] == "auto" then h[name] = value end
  end
  auto("n_epochs", 3)
  auto("batch_size", math.max(1, math.min(256, facts.examples // 50)))
  auto("learning_rate_multiplier", 1.8)
end

local function queued()
  return {at = VALIDATED, run = function(job, when)
    job.status = "queued"
    M.event(job, when, "Files validated, moving job to queued state")
  end}
end

local function started(facts)
  return {at = STARTED, run = function(job, when)
    job.status = "running"
    settle(job, facts)
    job.estimated_finish = when + (1 - STARTED) * job.total
    M.event(job, when, "Fine-tuning job started")
  end}
end

-- Losses that fall and accuracies that rise, the same in every run.
local function metrics(step, total, validated)
  local x = step / total
  local row = {
    step = step, train_loss = 0.4 + 2 * math.exp(-3 * x) + 0.05 * math.sin(step),
    train_mean_token_accuracy = 0.55 + 0.4 * x,
  }
  if validated then
    row.valid_loss = 0.5 + 2 * math.exp(-2.7 * x)
    row.valid_mean_token_accuracy = 0.52 + 0.38 * x
  end
  return row
end

local function metric_event(job, when, row, total)
  local data = {total_steps = total}
  for name, value in pairs(row) do data[name] = value end
  local message = ("Step %d/%d: training loss=%.2f"):format(row.step, total, row.train_loss)
  if row.valid_loss then message = message .. (", validation loss=%.2f"):format(row.valid_loss) end
  M.event(job, when, message, {type = "metrics", data = data})
  job.rows[#job.rows + 1] = row
end

local function checkpoint(job, when, row)
  local id, name = store.id("ftckpt_"), ("%s:ckpt-step-%d"):format(job.model_name, row.step)
  if row.valid_loss then
    row.full_valid_loss, row.full_valid_mean_token_accuracy = row.valid_loss, row.valid_mean_token_accuracy
  end
  job.checkpoints:add(id, {
    object = "fine_tuning.job.checkpoint", id = id, created_at = when // 1 | 0, fine_tuned_model_checkpoint = name,
    step_number = row.step, metrics = row, fine_tuning_job_id = job.id,
  })
  store.models:add(name, {created = when // 1 | 0, owned_by = job.organization, checkpoint = true,
                         training_file = job.training_file})
  M.event(job, when, "Checkpoint created at step " .. row.step)
end

-- The steps at which something is told: every stride-th, and each epoch's last.
local function told(total, epochs)
  local stride, list = math.max(1, math.ceil(total / ROWS)), {}
  for step = 1, total do
    local epoch_ends = step * epochs // total > (step - 1) * epochs // total
    if step % stride == 0 or epoch_ends then list[#list + 1] = {step = step, epoch_ends = epoch_ends} end
  end
  return list
end

local function number_or(value, default) return type(value) == "number" and value or default end

local function training(job, facts, plan)
  local epochs = number_or(job.hyperparameters.n_epochs, 3)
  local batch = number_or(job.hyperparameters.batch_size, math.max(1, facts.examples // 50))
  local total = math.max(epochs, math.ceil(facts.examples * epochs / batch))
  for _, mark in ipairs(told(total, epochs)) do
    local at = STARTED + (TRAINED - STARTED) * mark.step / total
    plan[#plan + 1] = {at = at, run = function(_, when)
      metric_event(job, when, metrics(mark.step, total, job.validation_file ~= nil), total)
      if mark.epoch_ends then checkpoint(job, when, metrics(mark.step, total, job.validation_file ~= nil)) end
    end}
  end
end

local function results_csv(job)
  local out = {"step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"}
  for i, row in ipairs(job.rows) do
    out[i + 1] = ("%d,%.5f,%.5f,%s,%s"):format(row.step, row.train_loss, row.train_mean_token_accuracy,
      row.valid_loss and ("%.5f"):format(row.valid_loss) or "",
      row.valid_loss and ("%.5f"):format(row.valid_mean_token_accuracy) or "")
  end
  local text = table.concat(out, "\n") .. "\n"
  return store.settings.results_base64 and mime.b64(text) or text
end

local function add_results(job)
  local content = blob.new()
  content:write(results_csv(job))
  local file = files.add("step_metrics.csv", "fine-tune-results", content)
  file.ready_at = 0
  job.result_files[1] = file.id
end

local function succeeded(facts)
  return {at = 1, run = function(job, when)
    job.status, job.finished_at, job.fine_tuned_model = "succeeded", when, job.model_name
    job.trained_tokens = facts.bytes // 4 * number_or(job.hyperparameters.n_epochs, 3)
    add_results(job)
    store.models:add(job.model_name, {created = when // 1 | 0, owned_by = job.organization,
                                      training_file = job.training_file})
    M.event(job, when, "The job has successfully completed")
  end}
end

-- `facts`: {examples, bytes, problem = {code, message, param}}.
function M.plan(job, facts, failure)
  local plan = opening(job)
  if facts.problem then
    plan[#plan + 1] = fails(VALIDATED, facts.problem)
    return plan
  end
  plan[#plan + 1] = queued()
  plan[#plan + 1] = started(facts)
  if failure then
    plan[#plan + 1] = fails(0.6, failure)
    return plan
  end
  training(job, facts, plan)
  plan[#plan + 1] = say(0.97, "New fine-tuned model created")
  plan[#plan + 1] = succeeded(facts)
  return plan
end

return M
