-- The dialect "together": jobs, events, checkpoints, metrics, prices, downloads. A job's state is a function of the
-- time since its creation; nothing runs in the background.
local check = require "service.dialect.together.check"
local files = require "service.dialect.together.files"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local STATES = {{0, "pending"}, {0.1, "queued"}, {0.2, "running"}, {0.8, "compressing"}, {0.9, "uploading"},
  {1, "completed"}}
local FAILS_AT, CANCEL_TAKES = 0.6, 0.1 -- of the job's time

local function stamp(time)
  return os.date("!%Y-%m-%dT%H:%M:%S", time // 1 | 0) .. (".%03dZ"):format((time % 1) * 1000 // 1 | 0)
end

M.stamp = stamp

-- How much of the job's time has passed, and what stopped it
local function fraction(job)
  local f = (store.now() - job.created_at) / job.total + job.skew
  local stopped = job.cancelled_at and job.cancelled_at + CANCEL_TAKES
  if job.failure and f >= FAILS_AT and not (stopped and stopped <= FAILS_AT) then return FAILS_AT, "failed" end
  if stopped and f >= stopped then return stopped, "cancelled" end
  return math.min(f, 1), job.cancelled_at and "cancelling" or nil
end

local function status_of(job)
  local f, how = fraction(job)
  if how == "failed" then return job.failure.status or "error" end
  if how then return how == "cancelled" and "cancelled" or "cancel_requested" end
  local word
  for _, state in ipairs(STATES) do
    if f >= state[1] then word = state[2] end
  end
  if store.settings.unannounced and f >= 0.2 and f < 0.3 then word = "model_downloading" end
  return word
end

M.status = status_of

function M.is_final(job)
  local word = status_of(job)
  return word == "completed" or word == "cancelled" or word == "error" or word == "user_error"
end

function M.find(id)
  return store.jobs:get(id) or reply.reject(404, ("Fine-tune job %s was not found"):format(id), "id", nil)
end

-- ---- events ----

local STEPS = 10 -- of every job

local function event(job, at, kind, message, more)
  local doc = {object = "fine-tune-event", created_at = stamp(job.created_at + (at - job.skew) * job.total),
    level = "info", message = message, type = kind, param_count = 0, token_count = 0, total_steps = 0, wandb_url = "",
    step = 0, checkpoint_path = "", model_path = "", training_offset = 0, hash = ""}
  for name, value in pairs(more or {}) do doc[name] = value end
  return {at = at, doc = doc}
end

local function step_at(step) return 0.2 + 0.6 * step / STEPS end

local function is_checkpoint(job, step) return step < STEPS and step % math.max(1, STEPS // job.n_checkpoints) == 0 end

local function plan(job)
  local list = {event(job, 0, "job_pending", "Fine tune request created"),
    event(job, 0.2, "training_start", "Training started", {total_steps = STEPS, hash = "h1"})}
  for step = 1, STEPS do
    if is_checkpoint(job, step) then
      list[#list + 1] = event(job, step_at(step), "checkpoint_save", "Checkpoint saved",
        {step = step, total_steps = STEPS, checkpoint_path = ("s3://loop/%s/%d"):format(job.id, step)})
    end
  end
  for _, more in ipairs {event(job, 0.8, "training_complete", "Training completed"),
    event(job, 0.8, "model_compressing", "Compressing output model"),
    event(job, 0.9, "model_uploading", "Uploading output model"), event(job, 1, "job_complete", "Job finished",
      {model_path = "s3://loop/" .. job.id})} do
    list[#list + 1] = more
  end
  return list
end

local function events_of(job)
  local f, how = fraction(job)
  local list = json.array()
  for _, one in ipairs(plan(job)) do
    if one.at <= f then list[#list + 1] = one.doc end
  end
  if job.cancelled_at then
    list[#list + 1] = event(job, job.cancelled_at, "cancel_requested", "Cancel requested", {level = "warning"}).doc
  end
  if how == "failed" then
    list[#list + 1] = event(job, FAILS_AT, "job_error", job.failure.message, {level = "error"}).doc
  end
  return list
end

function M.events(_, id) return {data = events_of(M.find(id))} end

-- ---- the documents ----

local SAME = {"training_file", "validation_file", "packing", "max_seq_length", "model", "suffix", "n_epochs", "n_evals",
  "n_checkpoints", "learning_rate", "lr_scheduler", "warmup_ratio", "max_grad_norm", "weight_decay", "random_seed",
  "wandb_project_name", "wandb_name", "from_checkpoint", "from_hf_model", "hf_model_revision", "training_type",
  "training_method", "multimodal_params"}

local function whole(f, low, high) return math.max(0, math.min(1, (f - low) / (high - low))) end

local function render(job)
  local f, word = fraction(job), status_of(job)
  local doc = {id = job.id, status = word, created_at = stamp(job.created_at),
    updated_at = stamp(job.created_at + math.max(0, f - job.skew) * job.total), user_id = "user-loop",
    owner_address = "0xloop", total_price = 2, token_count = word == "completed" and 1200 or 0,
    model_output_name = job.output, batch_size = job.batch_size == "max" and 32 or job.batch_size,
    progress = {estimate_available = true, seconds_remaining = math.ceil((1 - f) * job.total)}}
  for _, name in ipairs(SAME) do doc[name] = job[name] end
  return doc
end

M.render = render

-- The whole form, which only GET of one job has
function M.get(_, id)
  local job = M.find(id)
  local doc = render(job)
  doc.job_id, doc.events = job.id, store.settings.events_in_job and events_of(job) or nil
  doc.epochs_completed = whole((fraction(job)), 0.2, 0.8) * job.n_epochs // 1 | 0
  doc.param_count, doc.queue_depth, doc.eval_steps = 1000, 0, 0
  doc.trainingfile_size, doc.trainingfile_numlines = 10, 1
  doc.model_output_path = "s3://loop/" .. job.id
  return doc
end

function M.list()
  local data = json.array()
  for i, job in ipairs(store.jobs.list) do data[i] = render(job) end
  return {data = data}
end

-- ---- creating and ending ----

local DEFAULTS = {n_epochs = 1, n_checkpoints = 1, n_evals = 0, batch_size = "max", learning_rate = 1e-5,
  warmup_ratio = 0, max_grad_norm = 1, weight_decay = 0, packing = true}

function M.create(req)
  local refusal = store.settings.refuse
  if refusal then reply.reject(refusal.status or 403, refusal.message, nil, refusal.code) end
  check.job(req.json)
  local job = {created_at = store.now(), total = store.settings.job_seconds, skew = 0, failure = store.settings.fail,
    training_type = {type = "Lora", lora_r = 64, lora_alpha = 128},
    training_method = {method = "sft", train_on_inputs = "auto"}}
  for name, value in pairs(DEFAULTS) do job[name] = value end
  for name, value in pairs(req.json) do job[name] = json.value(value) end
  local suffix = job.suffix and job.suffix .. "-" or ""
  job.output = ("loop/%s-%s%s"):format(job.model:match "[^/]*$", suffix, store.id("", 8))
  return render(store.jobs:add(store.id("ft-"), job))
end

function M.cancel(_, id)
  local job = M.find(id)
  if M.is_final(job) then reply.reject(400, "The job has ended and cannot be cancelled") end
  job.cancelled_at = job.cancelled_at or (fraction(job))
  return render(job)
end

function M.delete(_, id)
  M.find(id)
  store.jobs:remove(id)
  return {message = "Fine-tune job deleted"}
end

-- Puts the job's clock forwards
function M.jump(id, f)
  local job = M.find(id)
  job.skew = job.skew + math.max(0, f - (store.now() - job.created_at) / job.total - job.skew)
  return M.get(nil, id)
end

function M.price(req)
  check.price(req.json)
  local bytes, epochs = files.find(req.json.training_file).blob.bytes, json.value(req.json.n_epochs) or 1
  local full = json.value(req.json.training_type) and req.json.training_type.type == "Full"
  return {estimated_total_price = bytes * epochs / 1000 * (full and 2 or 1), allowed_to_proceed = bytes < 10000,
    user_limit = 25.5, estimated_train_token_count = bytes // 4 * epochs, estimated_eval_token_count = 0}
end

-- ---- checkpoints, metrics, weights ----

function M.checkpoints(_, id)
  local job, data = M.find(id), json.array()
  local f = fraction(job)
  local function add(step, at, kind)
    if at > f then return end
    data[#data + 1] = {step = step, created_at = stamp(job.created_at + (at - job.skew) * job.total),
      path = ("s3://loop/%s/%d"):format(id, step), checkpoint_type = kind}
  end
  for step = 1, STEPS do
    if is_checkpoint(job, step) then add(step, step_at(step), "Intermediate") end
  end
  add(STEPS, 1, "Final")
  return {data = data}
end

local function filter(req)
  local body = req.body ~= "" and json.decode(req.body) or {}
  if type(body) ~= "table" then reply.reject(400, "bad JSON body") end
  return json.value(body.global_step_from) or 0, json.value(body.global_step_to) or math.huge
end

function M.metrics(req, id)
  local job, rows = M.find(id), json.array()
  local f, from, to = fraction(job), filter(req)
  for step = 1, STEPS do
    if step_at(step) <= f and step >= from and step <= to then
      rows[#rows + 1] = {["train/global_step"] = step, ["train/epoch"] = step / STEPS * job.n_epochs,
        ["train/loss"] = 2 / step, ["train/learning_rate"] = job.learning_rate, ["train/grad_norm"] = 0.5}
      if job.n_evals > 0 and step % math.max(1, STEPS // job.n_evals) == 0 then
        rows[#rows + 1] = {["train/global_step"] = step, ["eval/loss"] = 2.5 / step}
      end
    end
  end
  return {metrics = rows}
end

local CHECKPOINTS = {Lora = {merged = true, adapter = true}, Full = {model_output_path = true}}

function M.download(req)
  local job, step = M.find(req.params.ft_id or ""), req.params.checkpoint_step
  if not step and not (CHECKPOINTS[job.training_type.type] or {})[req.params.checkpoint or 0] then
    reply.reject(400, "checkpoint is required, and must fit the training type", "checkpoint")
  elseif step and not is_checkpoint(job, math.tointeger(tonumber(step)) or 0) then
    reply.reject(404, "there is no such checkpoint", "checkpoint_step")
  elseif not step and status_of(job) ~= "completed" then
    reply.reject(400, "the job is not completed")
  end
  local name = ("/weights/%s.%s"):format(job.id, step or req.params.checkpoint)
  if store.settings.direct_download then return reply.text("weights of " .. name, "application/octet-stream") end
  return reply.answer(302, nil, {{"location", files.signed(name)}})
end

-- Of the storage
function M.weights(req, name)
  files.check_signature(req)
  return reply.text("weights of /weights/" .. name, "application/octet-stream")
end

return M
