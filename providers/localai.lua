-- needs: LOCALAI_BASE_URL
-- LocalAI, a server of your own: training on your machine (its backend `trl`, on a GPU or a CPU), no account, no price.
--   export LOCALAI_BASE_URL=http://localhost:8080    (the default)   LOCALAI_API_KEY=...  where the server asks for one
-- Endpoints: /api/fine-tuning/datasets, .../jobs, .../jobs/{id} with /stop, /progress (a stream of events),
-- /checkpoints, /export, /download; /v1/models; /models/delete/{name}, /models/jobs/{uuid}. Source: mudler/LocalAI at
-- 82c191af (2026-08-22), read 2026-11-22: core/http/routes/finetuning.go, core/http/endpoints/localai/{finetune,
-- gallery}.go, core/schema/finetune.go, core/services/finetune/service.go, backend/python/trl/backend.py. LocalAI calls
-- it experimental. Where its docs differ (DELETE does not stop a job; export takes no output_path), the code counts.
--
-- * A job's status moves only while somebody reads its progress, and each event is told once, to whoever reads then.
--   So get_job, list_jobs and list_events of a running job listen for up to `progress_wait` seconds, and what this
--   instance has heard is kept in memory: another process has not got it.
-- * A file is a path on the server. The weights of a job that has succeeded are in a folder there, which is its
--   fine_tuned_model until deploy_model makes a model of them; then it is that model's name.
-- * cancel_job kills the training, whatever save_checkpoint says: only checkpoints that were saved before are there.
-- * Zeros (seed, weight_decay, warmup_steps) mean "the default" there, and are refused here.
-- Unverified: that a validation file must be a dataset of the Hugging Face Hub (trl loads it by name).

local finetune = require "finetune"
local heard = require "finetune.heard"
local reader = require "finetune.reader"
local dig, text, number = reader.dig, reader.types.text, reader.types.number

local P = {
  name = "localai", description = "LocalAI, self-hosted",
  base_url = "http://localhost:8080",
  env = {api_key = "LOCALAI_API_KEY", base_url = "LOCALAI_BASE_URL"},
  needs = {"LOCALAI_BASE_URL"},
  config = {progress_wait = 2.0, poll_interval = 5.0, "hf_token:string"}, -- hf_token: for gated models
  secrets = {"hf_token", "api_keys"},
  -- core/schema/finetune.go; "caching" is backend.proto's, of other backends
  statuses = {queued = "queued", loading_model = "running", loading_dataset = "running", caching = "running",
    training = "running", saving = "running", completed = "succeeded", failed = "failed", stopped = "cancelled"},
  -- trl's dpo wants prompt, chosen, rejected, which prepare_data does not write. 15 MB: LOCALAI_UPLOAD_LIMIT's default
  dataset = {formats = {"chat", "completion"}, max_bytes = 15000000, rules = {content_parts = "warning",
    weight_role = "warning", arguments = "warning"}, -- trl gives the messages to the model's chat template
    source = "mudler/LocalAI backend/python/trl/backend.py at 82c191af", checked = "2026-11-22"},
  params = {
    create_job = "backend:string training_type:string dataset_split:string target_modules:table from_checkpoint:id "
      .. "reward_functions:table",
    cancel_job = "save_checkpoint:boolean",
    deploy_model = "export_format:string quantization_method:string wait:boolean wait_timeout:number",
    delete_model = "wait_timeout:number",
  },
}

-- The server's LOCALAI_API_KEY may be a list; a client sends one of it, and the list is a secret. A key is optional.
function P.open(config)
  local keys = config.api_key or ""
  config.api_keys = keys ~= "" and keys or nil
  config.api_key = keys:match "[^,%s][^,]*" or false
  if config.api_keys and not config.api_key then
    return finetune.fail("config", "LOCALAI_API_KEY, or api_key, is a list without a key in it")
  end
  config.api_key = config.api_key and config.api_key:gsub("%s+$", "")
  config.base_url = config.base_url:gsub("/v1/?$", "")
end

-- Below, `assert` raises the error value that it is given, and what an operation raises is its error.

-- ---- files ----

local to_file = finetune.reader("a dataset", {id = "path"})
function P.upload_file(ctx, p)
  local name, info = p.filename or p.path:match "[^/]*$", assert(ctx.file_info(p.path))
  if not name:find "%.jsonl?$" and not name:find "%.csv$" then -- any other is a dataset's name on the Hub for trl
    return ctx.fail("invalid", "filename '%s' must end in .jsonl, .json or .csv: LocalAI knows the format by it", name)
  elseif p.expires_after or (p.purpose and p.purpose ~= "fine-tune") then
    return ctx.fail("invalid", "LocalAI keeps files for fine-tuning only, and for ever: no purpose, no expires_after")
  elseif p.part_size then
    return ctx.invalid("part_size", "is not known to LocalAI, which takes a file in one piece")
  end
  local doc, err = ctx:upload {path = p.path, to = "/api/fine-tuning/datasets", filename = name, info = info,
    type = "application/jsonl", fields = p.extra}
  if not doc and err.status == 413 then
    err.message = err.message .. " (the server's LOCALAI_UPLOAD_LIMIT, 15 MB unless set)"
  end
  local file = assert(to_file(assert(doc, err)))
  file.filename, file.bytes, file.purpose, file.status = name, info.size, "fine-tune", "processed"
  return file
end

-- ---- the body of a job ----

-- Our name -> the request's field, and the value's range. What goes into extra_options is text there.
local function whole(field, to) return {field, integer = true, least = 1, most = 2147483647, to = to} end
local function option(name) return whole("extra_options." .. name, tostring) end
local BETA, LENGTH = {"extra_options.beta", above = 0, to = tostring}, option "max_length"
local SAMPLED = {num_generations = option "num_generations", max_completion_length = option "max_completion_length"}
local PAIRS = {beta = BETA, max_seq_length = LENGTH}
local function method(name, more) return {set = {training_method = name}, hyperparameters = more} end

local new_job, hyperparameters_of = finetune.mapping {
  service = "LocalAI",
  fields = {model = "model", training_file = "dataset_source", token = {}, seed = whole "seed", backend = "backend",
    training_type = {"training_type", values = {lora = true, loha = true, lokr = true, full = true}},
    dataset_split = "dataset_split", target_modules = "target_modules", from_checkpoint = "resume_from_checkpoint",
    reward_functions = "reward_functions", validation_file = {"extra_options.eval_dataset_source", pattern = "^[^/]",
      words = "the name of a dataset on the Hugging Face Hub, for LocalAI reads no uploaded file there. Left out, it "
        .. "holds back a tenth of the training file (extra = {extra_options = {eval_split_ratio = ...}})"}},
  hyperparameters = {
    n_epochs = whole "num_epochs", batch_size = whole "batch_size", learning_rate = {"learning_rate", above = 0},
    lora_rank = whole "adapter_rank", lora_alpha = whole "adapter_alpha",
    lora_dropout = {"adapter_dropout", least = 0, most = 1}, weight_decay = {"weight_decay", above = 0},
    warmup_steps = whole "warmup_steps", gradient_accumulation_steps = whole "gradient_accumulation_steps",
    max_steps = whole "max_steps", save_steps = whole "save_steps", eval_steps = option "eval_steps",
    optimizer = {"optimizer", type = "string"}, mixed_precision = {"mixed_precision", type = "string"},
    gradient_checkpointing = {"gradient_checkpointing", type = "boolean"}},
  methods = {
    supervised = method("sft", {max_seq_length = option "max_seq_length",
      packing = {"extra_options.packing", type = "boolean", to = tostring}}),
    dpo = method("dpo", {beta = BETA, max_seq_length = LENGTH,
      loss_type = {"extra_options.loss_type", values = {sigmoid = true, hinge = true, ipo = true}}}),
    reinforcement = method("grpo", SAMPLED), grpo = method("grpo", SAMPLED), rloo = method("rloo", SAMPLED),
    reward = method("reward", {max_seq_length = LENGTH}), kto = method("kto", PAIRS), orpo = method("orpo", PAIRS)},
  refuse = {suffix = "is not known to LocalAI, which names a model when it is exported: deploy_model {name = ...}",
    grader = "is not known to LocalAI, which scores with reward_functions = {{type = \"builtin\", name = ...}}"},
  finish = function(body, p, ctx) -- before `extra` is laid over it
    local options = body.extra_options or {}
    options.finetune_token = p.token or ctx.random_token() -- ours: the job is found by it; the backend ignores it
    options.hf_token, body.extra_options = ctx.config.hf_token, options
    if body.training_method ~= "grpo" or p.reward_functions or p.extra then return body end
    return ctx.fail("invalid", "LocalAI's grpo needs reward_functions = {{type = \"builtin\", name = ...}}")
  end,
}

-- ---- jobs ----

local JOBS = "/api/fine-tuning/jobs"
local function job_path(ctx, id, verb) return ("%s/%s%s"):format(JOBS, ctx.escape(id), verb or "") end

local read_fields = finetune.reader("a job", {
  id = "id", status = "status", model = "model", created_at = "created_at:time",
  training_file = "config.dataset_source", validation_file = "config.extra_options.eval_dataset_source",
  seed = "config.seed:integer", fine_tuned_model = "export_model_name",
  hyperparameters = function(doc) return hyperparameters_of(doc.config) end,
  method = function(doc) return text(doc.training_method) and {type = doc.training_method} end,
})

local ACTIVE = {queued = true, running = true}
local function is_active(job) return ACTIVE[P.statuses[job.status]] or false end

-- A stream that ended by itself, twice, though the job goes on for LocalAI: its last event was told to a reader that
-- had just gone, or the backend was started anew and does not know the job -> status, words
local function verdict(memory, status, words)
  local last, said = table.unpack(memory.last or {})
  local gone = last == "error" and said:find("NotFound", 1, true)
  if gone then return "failed", "LocalAI's backend no longer has this job, its process has ended: " .. said end
  if last == "error" then return status, words end
  return memory.progress == 1 and "completed" or "failed", "the training ended; LocalAI does not say how: see its log"
end

-- What LocalAI says of a job, and what this instance has heard of it
local function to_job(doc, ctx)
  local job, err = read_fields(doc)
  if not job then return nil, err end
  local memory, words = heard.of(ctx, job.id), text(doc.message)
  if is_active(job) and memory.ends > 1 then job.status, words = verdict(memory, job.status, words) end
  job.progress = job.status == "completed" and 1 or memory.progress
  if job.status == "completed" then job.fine_tuned_model = job.fine_tuned_model or text(doc.output_dir) end
  if job.status == "failed" then job.error = {message = words or "LocalAI gave no reason"} end
  return job
end

local function read_job(ctx, id, extra)
  return assert(to_job(assert(ctx:get(job_path(ctx, id), {query = extra})), ctx))
end
local known_jobs = finetune.route {"GET " .. JOBS, value = to_job, page = {items = "", optional = true, whole = true}}

function P.create_job(ctx, p)
  local body = assert(new_job(ctx, p))
  local token = dig(body, "extra_options.finetune_token")
  if not token then return ctx.fail("invalid", "extra.extra_options must be a table of names and texts") end
  local function find()
    local page, err = known_jobs(ctx, {})
    for _, job in ipairs(page and page.data or {}) do
      if dig(job.raw, "extra_options.finetune_token") == token then return job end
    end
    return nil, err
  end
  local function job(doc) -- {id, status, message}: the rest is what was asked for
    if type(doc) == "table" then doc.model, doc.config, doc.training_method = body.model, body, body.training_method end
    return to_job(doc, ctx)
  end
  local function not_made(err) -- its words in StartJob of service.go: it answers 500 to whatever went wrong
    return err.status == 500 and (err.message:find "^failed to load backend" or err.message:find "^fine%-tuning failed")
  end
  return ctx:create_once(p, {request = {path = JOBS, json = body}, job = job, token = token, again = p.token ~= nil,
    find = find, list = known_jobs, not_made = not_made})
end

-- ---- the progress of a job, which LocalAI tells once ----

local METRICS = {current_step = "step", total_steps = "total_steps", current_epoch = "epoch", loss = "train_loss",
  eval_loss = "valid_loss", learning_rate = "learning_rate", grad_norm = "grad_norm"}

-- 0 is what the backend sends for what it did not measure; its `train_loss`, the last event's, is a mean.
local function metrics_of(update)
  local data = {}
  for name, value in pairs(reader.types.table(update.extra_metrics) or {}) do
    data[name == "train_loss" and "mean_train_loss" or name] = number(value)
  end
  for theirs, ours in pairs(METRICS) do
    if update[theirs] ~= 0 then data[ours] = number(update[theirs]) end
  end
  return data
end

-- Keeps one event: its id is made of status and step. Status "error" is the stream's own trouble.
local function take(memory, update)
  local status, data = text(dig(update, "status")) or "unknown", metrics_of(update)
  local loss = data.train_loss or data.valid_loss or data.mean_train_loss
  local message = text(update.message)
    or loss and ("step %g of %g: loss %.4f"):format(data.step or 0, data.total_steps or 0, loss) or status
  local trouble = status == "error"
  memory.last = {status, message}
  heard.add(memory, ("%s-%s"):format(status, trouble and message or data.step or 0), {message = message, data = data,
    type = loss and "metrics" or "message", level = (trouble or status == "failed") and "error" or "info",
    raw = update}, trouble)
end

-- The job, after listening to it if it runs and was not listened to in the last `pause` seconds
-- -> job, memory, the error of listening
local function listened(ctx, id, pause, extra)
  local job, memory = read_job(ctx, id, extra), heard.of(ctx, id)
  if not is_active(job) or os.time() - memory.listened < pause then return job, memory end
  if memory.busy then -- an update is told once: two who listen would share them out
    while memory.busy do ctx:sleep(0.05) end
    return read_job(ctx, id, extra), memory
  end
  memory.busy = true
  local _ <close> = setmetatable({}, {__close = function() memory.busy = nil end})
  local told, err = heard.listen(ctx, memory, job_path(ctx, id, "/progress"), ctx.config.progress_wait)
  for _, update in ipairs(told or {}) do take(memory, update) end
  return told and #told > 0 and read_job(ctx, id, extra) or job, memory, err -- listening has moved it
end

function P.get_job(ctx, p) return (listened(ctx, p.job_id, 0, p.extra)) end
-- Those that run are listened to, all at once
function P.list_jobs(ctx, p)
  local page = assert(known_jobs(ctx, p))
  local fresh = finetune.map(page.data, function(job) return is_active(job) and ctx.provider:get_job(job.id) or nil end)
  for i, job in ipairs(page.data) do page.data[i] = fresh[i] or job end
  return page
end

-- The newest first. Where this instance has not heard how the job ended, or nothing at all, its state is an event.
function P.list_events(ctx, p)
  local job, memory, err = listened(ctx, p.job_id, 2, p.extra) -- get_job may just have listened
  if err then return nil, err end
  if not memory.last or (not is_active(job) and memory.last[1] ~= job.status) then
    take(memory, {status = job.status, current_step = memory.step, message = (job.error or job.raw).message})
  end
  return heard.page(memory.events, p, job.raw, true)
end

P.list_checkpoints = finetune.route {"GET " .. JOBS .. "/{job_id}/checkpoints",
  page = {items = "checkpoints", optional = true, whole = true, by = "step"},
  value = finetune.reader("a checkpoint", {id = "path", model = "path", step = "step:integer",
    created_at = "created_at:time", job_id = function(_, _, p) return p.job_id end,
    metrics = function(doc) return {train_loss = number(doc.loss), epoch = number(doc.epoch)} end})}

local OVER = {succeeded = true, failed = true, cancelled = true}

-- LocalAI would call a finished job stopped, too; one whose status is not known may well run
function P.cancel_job(ctx, p)
  local doc, query = read_job(ctx, p.job_id).raw, {save_checkpoint = p.save_checkpoint}
  if OVER[P.statuses[doc.status]] then return ctx.fail("conflict", "job %s is %s already", p.job_id, doc.status) end
  for key, value in pairs(p.extra or {}) do query[key] = value end
  assert(ctx:post(job_path(ctx, p.job_id, "/stop"), nil, {query = query, retry = "idempotent"}))
  return read_job(ctx, p.job_id)
end

-- With its folder, and the model that was made of it
P.delete_job = finetune.route {"DELETE " .. JOBS .. "/{job_id}", deleted = "job_id"}
-- The model that deploy_model made of a job, the job's id being the file's: a compressed archive of its folder
function P.download_file(ctx, p)
  return ctx:download(job_path(ctx, p.file_id, "/download"), p, {query = p.extra})
end

-- ---- models ----

P.list_models = finetune.route {"GET /v1/models", page = {whole = true},
  value = finetune.reader("a model", {id = "id", owned_by = "owned_by"})}

-- There is no address of a single model
function P.get_model(ctx, p)
  for _, model in ipairs(assert(P.list_models(ctx, {extra = p.extra})).data) do
    if model.id == p.model then return model end
  end
  return ctx.fail("not_found", "LocalAI has no model '%s' (a folder is its job's: delete_job removes it)", p.model)
end

local new_export = finetune.mapping {service = "LocalAI",
  fields = {model = {}, wait = {}, wait_timeout = {}, name = "name", quantization_method = "quantization_method",
    export_format = {"export_format", values = {lora = true, merged_16bit = true, merged_4bit = true, gguf = true}}}}
local to_export, to_task = finetune.reader("an export", {id = "model_name"}), finetune.reader("a task", {id = "uuid"})

-- A job's result or a checkpoint -> a model that LocalAI serves. `model`: a job's id, its folder (".../fine-tune/JOB")
-- or a checkpoint's (".../fine-tune/JOB/checkpoint-7"). export_format "gguf" may have a quantization_method.
function P.deploy_model(ctx, p)
  local body, id = assert(new_export(ctx, p)), p.model:match "/fine%-tune/([^/]+)" or p.model
  local job = read_job(ctx, id)
  local folder = text(job.raw.output_dir)
  if p.model == id or p.model == folder then
    if job.status ~= "completed" or not folder then
      return ctx.fail("conflict", "job %s is %s: wait for its success, or name one of its checkpoints", id, job.status)
    end
    -- "completed" is said before the last weights are saved, which may take minutes; the stream ends after
    assert(ctx:events(job_path(ctx, id, "/progress"), {timeout = 600, retry = "never"}))
  end
  body.extra_options = body.extra_options or ctx.config.hf_token and {hf_token = ctx.config.hf_token} or nil
  body.checkpoint_path, body.model = p.model == id and folder or p.model, body.model or job.model
  local made = assert(to_export(assert(ctx:post(job_path(ctx, id, "/export"), body))))
  if p.wait == false then return {id = made.id, status = "exporting", model = p.model, raw = made.raw} end
  return ctx:poll(function()
    local doc = read_job(ctx, id).raw
    if doc.export_status == "completed" then
      return {id = text(doc.export_model_name) or made.id, status = "deployed", model = p.model, raw = doc}
    elseif doc.export_status == "failed" then -- anything else, also nothing: not yet
      return ctx.fail("job", "the export of job %s failed: %s", id, text(doc.export_message) or "no reason was given")
    end
  end, {timeout = p.wait_timeout, what = "the export of job " .. id})
end

-- For administrators, where LocalAI has users. Of a model that it has not it would say that it is deleted. A task tells
-- how it went; LocalAI may know the task only a moment later, and answers 500 until then.
function P.delete_model(ctx, p)
  assert(P.get_model(ctx, {model = p.model}))
  local task = assert(to_task(assert(ctx:post("/models/delete/" .. ctx.escape(p.model), p.extra,
    {retry = "idempotent"}))))
  return ctx:poll(function()
    local state = assert(ctx:get("/models/jobs/" .. ctx.escape(task.id), {accept = {500}}))
    local words = text(dig(state, "error"))
    if words then return ctx.fail("server", "model %s could not be deleted: %s", p.model, words) end
    return dig(state, "processed") and {id = p.model, deleted = true, raw = state} or nil
  end, {timeout = p.wait_timeout, what = "the deletion of model " .. p.model})
end

P.sample = finetune.chat "/v1/chat/completions" -- of the name that deploy_model gave

for op, why in pairs {
  pause_job = "LocalAI cannot pause a job: cancel_job, then create_job with from_checkpoint",
  resume_job = "LocalAI cannot resume a job: create_job with from_checkpoint goes on from there",
  list_files = "LocalAI has no list of datasets: they are in fine-tune/datasets of its data folder",
  get_file = "LocalAI tells nothing of a dataset: its id is its path on the server",
  delete_file = "LocalAI deletes no dataset: remove the file on the server, its id is its path",
  undeploy_model = "LocalAI loads and unloads models by itself: delete_model removes one",
  estimate_cost = "LocalAI runs on a machine of your own and charges nothing",
  validate_grader = "LocalAI checks reward_functions when a job begins",
  run_grader = "LocalAI runs reward_functions only in a job",
} do P[op] = finetune.unsupported(why) end

return finetune.register(P)
