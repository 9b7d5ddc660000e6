-- What runs behind LocalAI: the process `trl`, which trains one job, and says what it does in a queue that whoever
-- listens empties (mudler/LocalAI, backend/python/trl/backend.py). As in timeline.lua nothing runs by itself: the
-- updates that are due are put into the queue when somebody looks.
local examples = require "service.api.examples"
local json = require "service.json"
local store = require "service.store"

local M = {models = {}} -- names that the Hub has
M.DATA = "/data/fine-tune"
M.HUB_DATASETS = {["yahma/alpaca-cleaned"] = 120}

local MOST_STEPS = 40
local STARTED, TRAINED = 0.25, 0.9

local function number(value, default) return value and value > 0 and value or default end

local function update(job, fields)
  local doc = {job_id = job.id, current_step = 0, total_steps = 0, current_epoch = 0, total_epochs = 0, loss = 0,
    learning_rate = 0, grad_norm = 0, eval_loss = 0, eta_seconds = 0, progress_percent = 0}
  for name, value in pairs(fields) do doc[name] = value end
  return json.object(doc)
end

local function says(job, at, fields) table.insert(job.plan, {at = at, update = update(job, fields)}) end

-- ---- what goes wrong ----

local function dpo_lines(blob)
  local n = 0
  for block in blob:blocks() do
    for line in block:gmatch "[^\n]+" do
      local doc = json.decode(line)
      if type(doc) ~= "table" or not (doc.prompt and doc.chosen and doc.rejected) then return nil end
      n = n + 1
    end
  end
  return n
end

-- -> the number of examples, or nil, words
local function count(req)
  local file = store.files:get(req.dataset_source)
  if not file then
    local n = M.HUB_DATASETS[req.dataset_source]
    return n, ("Dataset '%s' doesn't exist on the Hub or cannot be accessed."):format(req.dataset_source)
  elseif not file.filename:find "%.jsonl?$" and not file.filename:find "%.csv$" then
    return nil, ("Couldn't find any data file at %s."):format(file.id)
  elseif req.training_method == "dpo" then
    return dpo_lines(file.blob), "Key 'chosen' is missing"
  end
  local n, bad = examples.inspect(file.blob, "supervised")
  return not bad and n > 0 and n or nil, "An error occurred while generating the dataset"
end

local METHODS = {sft = true, dpo = true, grpo = true, orpo = true, kto = true, rloo = true, reward = true}

-- -> the number of examples, or nil, words, and at which fraction of its time the job fails
local function examine(req)
  local options = req.extra_options or {}
  if not M.models[req.model] then
    return nil, ("%s is not a local folder and is not a valid model identifier listed on "
      .. "'https://huggingface.co/models'"):format(req.model), 0.1
  end
  local n, words = count(req)
  if not n then return nil, words, 0.2 end
  if options.eval_dataset_source and not M.HUB_DATASETS[options.eval_dataset_source] then
    return nil, "Couldn't find any data file at " .. options.eval_dataset_source, 0.2
  elseif not METHODS[req.training_method or "sft"] then
    return nil, "Unsupported training method: " .. req.training_method, 0.24
  elseif req.training_method == "grpo" and not req.reward_functions and not options.reward_funcs then
    return nil, "GRPO requires at least one reward function.", 0.24
  elseif req.resume_from_checkpoint and not M.checkpoints[req.resume_from_checkpoint] then
    return nil, "Can't find a valid checkpoint at " .. req.resume_from_checkpoint, 0.26
  end
  if store.settings.fail then return nil, store.settings.fail.message or "out of memory", 0.6 end
  return n
end

-- ---- what goes well ----

local function steps_of(req, n)
  local each = number(req.batch_size, 2) * number(req.gradient_accumulation_steps, 4)
  local steps = math.max(1, math.ceil(n * 0.9 / each)) * number(req.num_epochs, 3)
  return math.min(number(req.max_steps, steps), MOST_STEPS)
end

local function progress(step, total, epochs, more)
  local fields = {current_step = step, total_steps = total, total_epochs = epochs, status = "training",
    current_epoch = step * epochs / total, progress_percent = 100 * step / total}
  for name, value in pairs(more) do fields[name] = value end
  return fields
end

local function loss(x) return 0.4 + 2 * math.exp(-3 * x) end

local function train(job, n)
  local req = job.config
  local epochs, total = number(req.num_epochs, 3), steps_of(req, n)
  local every = number(req.save_steps, 500)
  for step = 1, total do
    local x = step / total
    local at = STARTED + (TRAINED - STARTED) * x
    says(job, at, progress(step, total, epochs, {loss = loss(x), learning_rate = 2e-4 * (1 - x) + 1e-6, grad_norm = 0.5,
      eta_seconds = job.total * (1 - x), extra_metrics = {mean_token_accuracy = 0.5 + 0.4 * x}}))
    if step % every == 0 or step == total then
      local path = ("%s/checkpoint-%d"):format(job.output_dir, step)
      says(job, at, {current_step = step, status = "saving", message = "Checkpoint saved at step " .. step,
        checkpoint_path = path})
      job.plan[#job.plan].save = {path = path, step = step, epoch = x * epochs, loss = loss(x)}
    end
  end
  says(job, TRAINED, progress(total, total, epochs, {eval_loss = 0.5, message = "Evaluation complete at step " .. total,
    extra_metrics = {eval_runtime = 0.1}}))
  says(job, TRAINED, progress(total, total, epochs, {extra_metrics = {train_loss = 1.1, train_runtime = 2.5}}))
  says(job, 0.92, {current_step = total, total_steps = total, progress_percent = 100, status = "completed",
    message = "Training completed"})
  table.insert(job.plan, {at = 1, over = true}) -- the weights are on the disk
end

-- Writes down what will come of the job
function M.start(job)
  job.plan, job.next, job.queue, job.saved, job.alive = {}, 1, {}, {}, true
  local n, words, at = examine(job.config)
  says(job, 0.02, {status = "loading_model", message = "Loading model " .. job.model})
  if (at or 1) > 0.1 then says(job, 0.1, {status = "loading_dataset", message = "Loading dataset"}) end
  if (at or 1) > 0.25 then says(job, STARTED, {status = "training", message = "Training started"}) end
  if n then return train(job, n) end
  says(job, at, {status = "failed", message = "Training failed: " .. words})
  table.insert(job.plan, {at = at, over = true})
end

M.checkpoints = {} -- path -> job, of all jobs

local function happen(job, step, when)
  if step.save then
    step.save.created = when
    table.insert(job.saved, step.save)
    M.checkpoints[step.save.path] = job
  end
  job.over = job.over or step.over
  if not step.update then return end
  -- A reader that has gone still waits for a second, and takes the next update with it
  if job.robbed_until and when <= job.robbed_until then
    job.robbed_until = nil
  else
    table.insert(job.queue, step.update)
  end
end

function M.advance(job)
  if not job.alive then return job end
  local now = store.now()
  local elapsed = now - job.began
  if store.settings.crash and elapsed >= store.settings.crash * job.total then
    job.alive, job.queue = false, {}
    return job
  end
  local step = job.plan[job.next]
  while step and step.at * job.total <= elapsed do
    job.next = job.next + 1
    happen(job, step, job.began + step.at * job.total)
    step = job.plan[job.next]
  end
  return job
end

-- Waits for the next update of the job, while the reader at `conn` is there -> it, or nil: nothing more will come.
-- `gone`: the reader has left.
function M.next_update(job, conn)
  while M.advance(job).alive do
    if job.queue[1] then return table.remove(job.queue, 1) end
    if job.over then return nil end
    if not conn:hold(0.005) then
      job.robbed_until = store.now() + store.settings.robbed_seconds
      return nil, "gone"
    end
  end
  return nil, "killed"
end

return M
