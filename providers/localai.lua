-- needs: LOCALAI_BASE_URL
-- LocalAI, a server of your own: training on your machine (its backend `trl`, on a GPU or a CPU), no account, no price.
--   export LOCALAI_BASE_URL=http://localhost:8080    (the default)   LOCALAI_API_KEY=...  where the server asks for one
--
-- Endpoints: POST /api/fine-tuning/datasets; POST, GET /api/fine-tuning/jobs; GET, DELETE .../{id}; POST .../{id}/stop;
-- GET .../{id}/progress (events), .../checkpoints, .../download; POST .../{id}/export; GET /v1/models; POST
-- /models/delete/{name}, GET /models/jobs/{uuid}. Source: github.com/mudler/LocalAI at 82c191af (2026-08-22), read
-- 2026-11-22: core/http/routes/finetuning.go, core/http/endpoints/localai/{finetune,gallery}.go, core/schema/
-- finetune.go, core/services/finetune/service.go, backend/python/trl/backend.py. LocalAI calls it experimental. Where
-- its docs differ (DELETE does not stop a job; export takes no output_path), the code counts.
--
-- What its users must know:
-- * A job's status moves only while somebody reads its progress, and each event is told once, to whoever reads then.
--   So get_job, list_jobs and list_events of a running job listen for up to `progress_wait` seconds (2), and what this
--   instance has heard is kept in memory: another process has not got it.
-- * A file is a path on the server; there is no list of them, and no deletion. The weights of a job that has succeeded
--   are in a folder there, which is its fine_tuned_model until deploy_model makes a model of them; then it is its name.
-- * stop kills the training, whatever save_checkpoint says: only checkpoints that were saved before are there.
-- * Zeros (seed, weight_decay, warmup_steps) mean "the default" there, and are refused here.
-- Unverified: that a validation file must be a dataset of the Hugging Face Hub (trl loads it by name).

local finetune = require "finetune"
local heard = require "finetune.heard"

local JOBS, INT32 = "/api/fine-tuning/jobs", 2147483647
local SAVING = 600 -- seconds that saving the last weights may take

local P = {
  name = "localai",
  description = "LocalAI, self-hosted",
  base_url = "http://localhost:8080",
  env = {api_key = "LOCALAI_API_KEY", base_url = "LOCALAI_BASE_URL"},
  needs = {"LOCALAI_BASE_URL"},
  config = {"progress_wait:number", "poll_interval:number", "hf_token:string"}, -- hf_token: for gated models
  secrets = {"hf_token"},
  -- core/schema/finetune.go; "caching" is backend.proto's, of other backends
  statuses = {queued = "queued", loading_model = "running", loading_dataset = "running", caching = "running",
    training = "running", saving = "running", completed = "succeeded", failed = "failed", stopped = "cancelled"},
  -- trl's dpo wants prompt, chosen, rejected, which prepare_data does not write. 15 MB: LOCALAI_UPLOAD_LIMIT's default
  dataset = {formats = {"chat", "completion"}, max_bytes = 15000000},
  params = {
    create_job = "backend:string training_type:string dataset_split:string target_modules:table from_checkpoint:id "
      .. "reward_functions:table extra_options:table",
    cancel_job = "save_checkpoint:boolean",
    deploy_model = "export_format:string quantization_method:string wait:boolean wait_timeout:number",
    delete_model = "wait_timeout:number",
  },
}

-- The server's LOCALAI_API_KEY may be a list; a client sends one. A key is optional.
function P.open(config)
  if type(config.api_key) == "string" then config.api_key = config.api_key:match "^[^,]+" end
  if config.api_key == nil then config.api_key = false end
  if type(config.base_url) == "string" then config.base_url = config.base_url:gsub("/v1/?$", "") end
  local wait = config.progress_wait
  if wait and not (wait > 0 and wait <= 3600) then
    return nil, finetune.error {kind = "config", message = "progress_wait must be seconds, more than 0, at most 3600"}
  end
end

-- ---- values ----

local function text(value) return type(value) == "string" and value ~= "" and value or nil end
local function object(value) return type(value) == "table" and value or {} end
local function number(value) return type(value) == "number" and value or nil end

-- `assert` below raises the error value that it is given, and what an operation raises is its error.

-- The document, which must have that field | nil, err
local function document(ctx, what, field, doc, err)
  if not doc then return nil, err end
  if type(doc) == "table" and text(doc[field]) then return doc end
  return ctx.fail("decode", "the service's answer is not %s: it has no '%s'", what, field)
end

local function job_path(ctx, id, verb) return ("%s/%s%s"):format(JOBS, ctx.escape(id), verb or "") end

local ACTIVE = {queued = true, running = true}
local function is_active(doc) return ACTIVE[P.statuses[doc.status]] or false end

-- Our name -> the request's field, and the value's range. What goes into extra_options is text there.
local function whole(field, to) return {field, integer = true, least = 1, most = INT32, to = to} end
local function option(name) return whole("extra_options." .. name, tostring) end
local HYPERPARAMETERS = {
  n_epochs = whole "num_epochs", batch_size = whole "batch_size", learning_rate = {"learning_rate", above = 0},
  lora_rank = whole "adapter_rank", lora_alpha = whole "adapter_alpha",
  lora_dropout = {"adapter_dropout", least = 0, most = 1}, weight_decay = {"weight_decay", above = 0},
  warmup_steps = whole "warmup_steps", gradient_accumulation_steps = whole "gradient_accumulation_steps",
  max_steps = whole "max_steps", save_steps = whole "save_steps", eval_steps = option "eval_steps",
  optimizer = {"optimizer", type = "string"}, mixed_precision = {"mixed_precision", type = "string"},
  gradient_checkpointing = {"gradient_checkpointing", type = "boolean"},
}

-- The job's own hyperparameters under our names
local function hyperparameters_of(config)
  local given = {}
  for ours, target in pairs(HYPERPARAMETERS) do
    local value = config[target[1]]
    if type(value) ~= "table" then given[ours] = value end
  end
  return next(given) and given or nil
end

-- The job's status, and words of it; `memory`: what this instance has heard of the job, if anything
local function state_of(doc, memory)
  local verdict = is_active(doc) and memory and memory.verdict or doc
  return text(verdict.status), text(verdict.message)
end

local function to_job(ctx, doc, memory)
  local known, err = document(ctx, "a job", "id", doc)
  if not known then return nil, err end
  local config, status, words = object(doc.config), state_of(doc, memory)
  local model = text(doc.export_model_name) or status == "completed" and text(doc.output_dir) or nil
  return {id = doc.id, status = status, model = text(doc.model), fine_tuned_model = model,
    created_at = ctx.time(doc.created_at), training_file = text(config.dataset_source),
    validation_file = text(object(config.extra_options).eval_dataset_source),
    hyperparameters = hyperparameters_of(config), seed = math.type(config.seed) == "integer" and config.seed or nil,
    method = text(doc.training_method) and {type = doc.training_method} or nil,
    progress = status == "completed" and 1 or memory and memory.progress or nil,
    error = status == "failed" and {message = words or "LocalAI gave no reason"} or nil, raw = doc}
end

-- ---- the progress of a job ----

local METRICS = {loss = "train_loss", eval_loss = "valid_loss", learning_rate = "learning_rate",
  grad_norm = "grad_norm", current_epoch = "epoch"}

-- 0 is what the backend sends for what it did not measure; its `train_loss`, the last event's, is a mean.
-- -> data, the loss
local function metrics_of(update)
  local data = {step = math.tointeger(update.current_step), total_steps = math.tointeger(update.total_steps)}
  for name, value in pairs(object(update.extra_metrics)) do
    data[name == "train_loss" and "mean_train_loss" or name] = number(value)
  end
  for theirs, ours in pairs(METRICS) do
    if update[theirs] ~= 0 then data[ours] = number(update[theirs]) end
  end
  return data, data.train_loss or data.valid_loss or data.mean_train_loss
end

-- Keeps one event of the stream: its id is made of status and step. Status "error" is the stream's own trouble.
local function take(memory, update)
  if type(update) ~= "table" then return end
  local status, data, loss = text(update.status) or "unknown", metrics_of(update)
  local message = text(update.message) or loss and ("step %d of %d: loss %.4f"):format(
    data.step or 0, data.total_steps or 0, loss) or status
  local trouble = status == "error"
  memory.step = math.max(memory.step or 0, data.step or 0)
  memory.total = math.max(memory.total or 0, data.total_steps or 0)
  memory.progress = memory.total > 0 and math.min(memory.step / memory.total, 1) or memory.progress
  memory.last, memory.told = update, memory.told or {}
  memory.told[status] = true
  heard.add(memory, ("%s-%s"):format(status, trouble and message or data.step or 0), {message = message, data = data,
    type = loss and "metrics" or "message", level = (trouble or status == "failed") and "error" or "info",
    raw = update}, trouble)
end

-- A stream that ended by itself, twice, though the job goes on for LocalAI: its last event was lost (it was told to a
-- reader that had just gone), or the backend was started anew and does not know the job. What came of it, then?
local function note_end(memory)
  memory.ends = (memory.ends or 0) + 1
  if memory.ends < 2 then return end
  local last = memory.last or {}
  if last.status ~= "error" then
    local finished = (memory.total or 0) > 0 and memory.step >= memory.total
    memory.verdict = {status = finished and "completed" or "failed",
      message = "the training ended, and LocalAI does not say how: see its log"}
  elseif text(last.message) and last.message:find("NotFound", 1, true) then
    memory.verdict = {status = "failed",
      message = "LocalAI's backend no longer has this job, its process has ended: " .. last.message}
  end
end

-- Reads the progress for a moment -> whether anything came | nil, err. LocalAI sends no headers before the first
-- event, so that a timeout is no more than silence.
local function listen(ctx, id, memory)
  local wait = ctx.config.progress_wait or 2
  local list, answer = ctx:events(job_path(ctx, id, "/progress"), {timeout = wait, read_for = wait,
    read_idle = wait / 4, retry = "never"})
  memory.at = os.time()
  if not list and answer.kind == "timeout" then return false end
  if not list then return nil, answer end
  for _, event in ipairs(list) do take(memory, event.json) end
  local is_stream = (answer.headers["content-type"] or ""):find("text/event-stream", 1, true)
  if is_stream and not answer.partial then note_end(memory) end
  return #list > 0
end

-- ---- files ----

local ENDINGS = {json = true, jsonl = true, csv = true} -- any other name is a dataset's on the Hub for trl

function P.upload_file(ctx, p)
  local name = p.filename or p.path:match "[^/]*$"
  if not ENDINGS[name:match "%.(%w+)$"] then
    return ctx.fail("invalid", "filename '%s' must end in .jsonl, .json or .csv: LocalAI knows the format by it", name)
  elseif p.expires_after or (p.purpose and p.purpose ~= "fine-tune") then
    return ctx.fail("invalid", "LocalAI keeps files for fine-tuning only, and for ever: no purpose, no expires_after")
  end
  local info = assert(ctx.file_info(p.path))
  local doc, err = document(ctx, "a dataset", "path", ctx:upload {path = p.path, to = "/api/fine-tuning/datasets",
    filename = name, type = "application/jsonl", info = info})
  if doc then
    return {id = doc.path, filename = name, bytes = info.size, purpose = "fine-tune", status = "processed", raw = doc}
  end
  if err.status == 413 then err.message = err.message .. " (the server's LOCALAI_UPLOAD_LIMIT, 15 MB unless set)" end
  return nil, err
end

-- ---- jobs ----

local function texts(options)
  local out = {}
  for name, value in pairs(options) do
    if type(name) ~= "string" or type(value) == "table" then return nil, "must be a table of names and texts" end
    out[name] = tostring(value)
  end
  return out
end

local function hub_name(value)
  if value:sub(1, 1) ~= "/" then return value end
  return nil, "must be a dataset's name on the Hugging Face Hub: LocalAI reads no uploaded file there. Left out, it "
    .. "holds back a tenth of the training file (extra_options = {eval_split_ratio = ...})"
end

local LENGTH, BETA = option "max_length", {"extra_options.beta", above = 0, to = tostring}
local PAIRS = {beta = BETA, max_seq_length = LENGTH}
local SAMPLED = {num_generations = option "num_generations", max_completion_length = option "max_completion_length"}
local function method(name, more) return {set = {training_method = name}, hyperparameters = more} end

local mapped = finetune.mapping {
  service = "LocalAI",
  fields = {model = "model", training_file = "dataset_source", token = {}, seed = whole "seed", backend = "backend",
    validation_file = {"extra_options.eval_dataset_source", to = hub_name}, dataset_split = "dataset_split",
    training_type = {"training_type", values = {lora = true, loha = true, lokr = true, full = true}},
    target_modules = "target_modules", from_checkpoint = "resume_from_checkpoint",
    reward_functions = "reward_functions", extra_options = {"extra_options", to = texts}},
  hyperparameters = HYPERPARAMETERS,
  methods = {
    supervised = method("sft", {max_seq_length = option "max_seq_length",
      packing = {"extra_options.packing", type = "boolean", to = tostring}}),
    dpo = method("dpo", {beta = BETA, max_seq_length = LENGTH,
      loss_type = {"extra_options.loss_type", values = {sigmoid = true, hinge = true, ipo = true}}}),
    reinforcement = method("grpo", SAMPLED), grpo = method("grpo", SAMPLED), rloo = method("rloo", SAMPLED),
    reward = method("reward", {max_seq_length = LENGTH}), kto = method("kto", PAIRS), orpo = method("orpo", PAIRS)},
  refuse = {suffix = "is not known to LocalAI, which names a model when it is exported: deploy_model {name = ...}",
    metadata = "is not known to LocalAI, which keeps none", integrations = "is not known to LocalAI, which has none",
    grader = "is not known to LocalAI, which scores with reward_functions = {{type = \"builtin\", name = ...}}",
    warmup_ratio = "is not known to LocalAI, which takes warmup_steps, a number of steps"},
}

local TOKEN = "finetune_token" -- in extra_options, whose unknown names the backend leaves alone: marks a call's own job

local function body_of(ctx, p, token)
  local body = assert(mapped(ctx, p))
  if body.extra_options == nil then body.extra_options = {} end
  local options = body.extra_options
  if type(options) ~= "table" then assert(ctx.fail("invalid", "extra.extra_options must be a table")) end
  if body.training_method == "grpo" and not body.reward_functions and not options.reward_funcs then
    assert(ctx.fail("invalid", "LocalAI's grpo needs reward_functions = {{type = \"builtin\", name = ...}}"))
  end
  options[TOKEN], options.hf_token = token, options.hf_token or ctx.config.hf_token
  return body
end

local function read_job(ctx, id) return assert(document(ctx, "a job", "id", ctx:get(job_path(ctx, id)))) end

local function read_jobs(ctx)
  local list, err = ctx:get(JOBS)
  if not list then return nil, err end
  if type(list) == "table" and (#list > 0 or not next(list)) then return list end
  return ctx.fail("decode", "the service's answer is not a list of jobs")
end

-- The job with that token; nil where there is none | nil, err
local function find(ctx, token)
  local list, err = read_jobs(ctx)
  for _, doc in ipairs(list or {}) do
    if object(object(doc).extra_options)[TOKEN] == token then return to_job(ctx, doc) end
  end
  return nil, err
end

-- A page of all of them, as LocalAI knows them
local function jobs_of(ctx)
  local list, err = read_jobs(ctx)
  if not list then return nil, err end
  local jobs = {}
  for _, doc in ipairs(list) do jobs[#jobs + 1] = to_job(ctx, doc) end
  return {data = jobs, has_more = false, raw = list}
end

-- Its words where no job came to be (StartJob in service.go): it answers 500 to whatever went wrong
local function not_made(err)
  local words = err.status == 500 and err.message or ""
  return words:find "^failed to load backend" or words:find "^fine%-tuning failed to start"
end

function P.create_job(ctx, p)
  local token = p.token or ctx.random_token()
  local body = body_of(ctx, p, token)
  if p.token then
    local made, why = find(ctx, token)
    if made or why then return made, why end
  end
  local function job(doc) -- id, status, message: the rest is what was asked for
    local made = {model = body.model, config = body, training_method = body.training_method}
    for name, value in pairs(object(doc)) do made[name] = value end
    return to_job(ctx, made)
  end
  return ctx:create_once(p, {request = {path = JOBS, json = body}, job = job, token = token,
    find = function() return find(ctx, token) end, not_made = not_made, list = jobs_of})
end

function P.get_job(ctx, p)
  local doc, memory = read_job(ctx, p.job_id), heard.of(ctx, p.job_id)
  if is_active(doc) and listen(ctx, p.job_id, memory) then
    doc = read_job(ctx, p.job_id) -- listening has moved it
  end
  return to_job(ctx, doc, memory)
end

-- The jobs that are not finished are listened to, all at once
local function refresh(ctx, jobs)
  local calls <close> = setmetatable({}, {__close = function(calls)
    for _, call in pairs(calls) do call:cancel() end
  end})
  for i, job in ipairs(jobs) do
    if is_active(job.raw) then calls[i] = ctx.provider:async("get_job", {job_id = job.id}) end
  end
  for i, job in ipairs(jobs) do jobs[i] = calls[i] and calls[i]:await() or job end
end

function P.list_jobs(ctx, p)
  if p.metadata then return ctx.fail("invalid", "LocalAI keeps no metadata of jobs") end
  local all = assert(jobs_of(ctx))
  local page = assert(heard.page(all.data, p, all.raw))
  refresh(ctx, page.data)
  return page
end

-- LocalAI would call a finished job stopped, too
function P.cancel_job(ctx, p)
  local status = read_job(ctx, p.job_id).status
  if not is_active {status = status} then
    return ctx.fail("conflict", "job %s is %s already", p.job_id, tostring(status))
  end
  assert(ctx:post(job_path(ctx, p.job_id, "/stop"), nil,
    {query = {save_checkpoint = p.save_checkpoint}, retry = "idempotent"}))
  return to_job(ctx, read_job(ctx, p.job_id))
end

-- With its folder, and the model that was made of it
function P.delete_job(ctx, p)
  return {id = p.job_id, deleted = true, raw = assert(ctx:delete(job_path(ctx, p.job_id)))}
end

-- The newest first. Where this instance has not heard how the job ended, or nothing at all, its state is an event.
function P.list_events(ctx, p)
  local doc, memory = read_job(ctx, p.job_id), heard.of(ctx, p.job_id)
  if is_active(doc) and os.time() - (memory.at or 0) > 1 then -- get_job may just have listened
    local any, why = listen(ctx, p.job_id, memory)
    if any == nil then return nil, why end
  end
  local status = text(doc.status) or "unknown"
  if not memory.told or (not is_active(doc) and not memory.told[status]) then
    take(memory, {status = status, current_step = memory.step, message = doc.message})
  end
  return heard.page(memory.events, p, doc, true)
end

function P.list_checkpoints(ctx, p)
  local doc, list = assert(ctx:get(job_path(ctx, p.job_id, "/checkpoints"))), {}
  for _, item in ipairs(object(object(doc).checkpoints)) do
    local path, step = text(object(item).path), math.tointeger(object(item).step) or 0
    list[#list + 1] = path and {id = path, created_at = ctx.time(item.created_at), step = step, model = path,
      job_id = p.job_id, raw = item,
      metrics = {step = step, train_loss = number(item.loss), epoch = number(item.epoch)}}
  end
  table.sort(list, function(a, b) return a.step > b.step end)
  return heard.page(list, p, doc)
end

-- The model that deploy_model made of a job, the job's id being the file's: a compressed archive of its folder
function P.download_file(ctx, p)
  local response = assert(ctx:request {path = job_path(ctx, p.file_id, "/download"), output = p.output,
    max_bytes = p.max_bytes, decode = p.output and "none" or "text"})
  return p.output and {path = p.output, bytes = response.bytes} or response.body or ""
end

-- ---- models ----

local function to_model(doc)
  return type(doc) == "table" and text(doc.id) and {id = doc.id, owned_by = text(doc.owned_by), raw = doc} or nil
end

function P.list_models(ctx, p)
  local page = assert(ctx:paginate {path = "/v1/models", map = to_model})
  return heard.page(page.data, p, page.raw)
end

-- There is no address of a single model
function P.get_model(ctx, p)
  for _, model in ipairs(P.list_models(ctx, {}).data) do
    if model.id == p.model then return model end
  end
  return ctx.fail("not_found", "LocalAI has no model '%s'", p.model)
end

local function patience(ctx, p, what)
  local most = ctx.config.poll_interval or 5
  return {interval = math.min(0.5, most), max_interval = most, timeout = p.wait_timeout, what = what}
end

-- Waits until the final weights of a job are on the disk: "completed" is said before, and the stream ends after
local function wait_saved(ctx, id, doc)
  local status = state_of(doc, heard.of(ctx, id))
  if status ~= "completed" or not text(doc.output_dir) then
    assert(ctx.fail("conflict", "job %s is %s: wait for its success, or name one of its checkpoints", id, status))
  end
  assert(ctx:events(job_path(ctx, id, "/progress"), {timeout = SAVING, retry = "never"}))
end

-- What is to be exported: "/data/fine-tune/JOB", "/data/fine-tune/JOB/checkpoint-7" or a job's id
-- -> the body of the request, the job's id
local function export_of(ctx, p)
  local id = p.model:match "/fine%-tune/([^/]+)"
  local path = id and p.model
  id = id or p.model
  local doc = read_job(ctx, id)
  if not path or path == doc.output_dir then wait_saved(ctx, id, doc) end
  local body = {checkpoint_path = path or doc.output_dir, export_format = p.export_format or "lora", name = p.name,
    quantization_method = p.quantization_method, model = text(doc.model),
    extra_options = ctx.config.hf_token and {hf_token = ctx.config.hf_token} or nil}
  for name, value in pairs(p.extra or {}) do body[name] = value end
  return body, id
end

local FORMATS = {lora = true, merged_16bit = true, merged_4bit = true, gguf = true}

-- A job's result or a checkpoint -> a model that LocalAI serves. `model`: the job, its fine_tuned_model, or a
-- checkpoint's; export_format "lora" (the default), "merged_16bit", "merged_4bit", "gguf" (with quantization_method).
function P.deploy_model(ctx, p)
  if p.export_format and not FORMATS[p.export_format] then
    return ctx.fail("invalid", "export_format must be one of: gguf, lora, merged_16bit, merged_4bit")
  end
  local body, id = export_of(ctx, p)
  local made = assert(document(ctx, "an export", "model_name", ctx:post(job_path(ctx, id, "/export"), body)))
  if p.wait == false then return {id = made.model_name, status = "exporting", model = p.model, raw = made} end
  return ctx:poll(function()
    local doc = read_job(ctx, id)
    if doc.export_status == "completed" then
      return {id = text(doc.export_model_name) or made.model_name, status = "deployed", model = p.model, raw = doc}
    elseif doc.export_status ~= "exporting" then
      return ctx.fail("job", "the export of job %s failed: %s", id, text(doc.export_message) or "no reason was given")
    end
  end, patience(ctx, p, "the export of job " .. id))
end

-- For administrators, where LocalAI has users. Of a model that it has not it would say that it is deleted. A task tells
-- how it went; LocalAI may know the task only a moment later, and answers 500 until then.
function P.delete_model(ctx, p)
  if p.model:sub(1, 1) == "/" then
    return ctx.fail("invalid", "%s is the folder of a job: delete_job removes it", p.model)
  end
  assert(P.get_model(ctx, p))
  local task = assert(document(ctx, "a task", "uuid",
    ctx:post("/models/delete/" .. ctx.escape(p.model), nil, {retry = "idempotent"})))
  return ctx:poll(function()
    local state = assert(ctx:get("/models/jobs/" .. ctx.escape(task.uuid), {accept = {500}}))
    local words = text(object(state).error)
    if words then return ctx.fail("server", "model %s could not be deleted: %s", p.model, words) end
    return object(state).processed and {id = p.model, deleted = true, raw = state} or nil
  end, patience(ctx, p, "the deletion of model " .. p.model))
end

for op, why in pairs {
  pause_job = "LocalAI cannot pause a job: cancel_job, then create_job with from_checkpoint",
  resume_job = "LocalAI cannot resume a job: create_job with from_checkpoint goes on from there",
  list_files = "LocalAI has no list of datasets: they are in fine-tune/datasets of its data folder",
  get_file = "LocalAI tells nothing of a dataset: its id is its path on the server",
  delete_file = "LocalAI deletes no dataset: remove the file on the server, its id is its path",
  undeploy_model = "LocalAI loads and unloads models by itself: delete_model removes one",
  sample = "call LocalAI's own /v1/chat/completions with the name that deploy_model gave",
  estimate_cost = "LocalAI runs on a machine of your own and charges nothing",
  validate_grader = "LocalAI checks reward_functions when a job begins",
  run_grader = "LocalAI runs reward_functions only in a job",
} do P[op] = finetune.unsupported(why) end

return finetune.register(P)
