-- The dialect "localai": datasets, fine-tuning jobs, export and models of LocalAI, after mudler/LocalAI at 82c191af
-- (2026-08-22): core/http/routes/finetuning.go, core/http/endpoints/localai/{finetune,gallery}.go, core/services/
-- finetune/service.go. Its own settings:
--   crash (false)         the fraction of its time at which a job's process dies
--   export_seconds (0.05) how long an export takes      task_seconds (0.02) until a task of deletion is known
--   robbed_seconds (0)    how long a reader that has left still takes an update with it (1 in the real backend)
--   admin (true)          false: the key is of a user that is no administrator
local backend = require "service.dialect.localai.backend"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {model = "tiny-org/tiny-chat-1"}

M.settings = {prefix = "", max_file_bytes = 15000000, crash = false, export_seconds = 0.05, task_seconds = 0.02,
  robbed_seconds = 0, admin = true}

-- ---- errors: two shapes ----

local function refuse(status, words) error({answer = {status = status, doc = {error = words}}}, 0) end

function M.error_doc(status, message) return {error = {code = status, message = message, type = ""}} end

function M.key(req)
  local given = req.header.authorization
  return given and (given:match "^Bearer (.*)$" or given)
end

function M.refuse_key()
  error({answer = {status = 401, headers = {{"www-authenticate", "Bearer"}}, doc = {error = {code = 401,
    message = "An authentication key is required", type = "invalid_request_error"}}}}, 0)
end

-- ---- datasets ----

local function hex(n)
  return (store.id("", n):gsub(".", function(c) return ("%x"):format(c:byte() % 16) end))
end

local function upload(req)
  local part = req.form and req.form:finished() and req.form:get "file"
  if not part or not part.filename then refuse(400, "file is required") end
  if part.blob.bytes > store.settings.max_file_bytes then
    reply.reject(413, "code=413, message=Request Entity Too Large")
  end
  local base = part.filename:match "[^/]*$"
  local path = ("%s/datasets/%s-%s"):format(backend.DATA, hex(8), base)
  store.files:add(path, {filename = base, blob = part.blob})
  return {path = path}
end

-- ---- jobs ----

local TYPES = {
  model = "string", backend = "string", training_type = "string", training_method = "string", dataset_source = "string",
  dataset_split = "string", resume_from_checkpoint = "string", optimizer = "string", mixed_precision = "string",
  adapter_rank = "integer", adapter_alpha = "integer", num_epochs = "integer", batch_size = "integer",
  gradient_accumulation_steps = "integer", warmup_steps = "integer", max_steps = "integer", save_steps = "integer",
  seed = "integer", adapter_dropout = "number", learning_rate = "number", weight_decay = "number",
  gradient_checkpointing = "boolean", target_modules = "array", reward_functions = "array", extra_options = "texts",
  name = "string", checkpoint_path = "string", export_format = "string", quantization_method = "string",
}

local fits = {array = json.is_array}

function fits.integer(v) return math.type(v) == "integer" and v >= -2147483648 and v <= 2147483647 end

function fits.texts(v)
  if not json.is_object(v) then return false end
  for _, text in pairs(v) do
    if type(text) ~= "string" then return false end
  end
  return true
end

-- Binds the body as Go does: unknown fields are ignored, wrong types are not
local function bind(req)
  local doc = json.decode(req.body or "")
  if not (req.header["content-type"] or ""):find("^application/json") then
    refuse(400, "Invalid request: code=415, message=Unsupported Media Type")
  elseif not json.is_object(doc) then
    refuse(400, "Invalid request: code=400, message=Syntax error")
  end
  local out = json.object()
  for name, kind in pairs(TYPES) do
    local value = json.value(doc[name])
    local good = value == nil or (fits[kind] and fits[kind](value)) or (not fits[kind] and type(value) == kind)
    if not good then refuse(400, "Invalid request: code=400, message=Unmarshal type error: field=" .. name) end
    if value ~= "" then out[name] = value end
  end
  return out
end

local function stamp(when) return os.date("!%Y-%m-%dT%H:%M:%SZ", when // 1 | 0) end

local function render(job)
  return {id = job.id, model = job.model, backend = job.backend, model_id = job.backend .. "-finetune-" .. job.id,
    training_type = job.config.training_type or "", training_method = job.config.training_method or "",
    status = job.status, message = job.message, output_dir = job.output_dir, extra_options = job.config.extra_options,
    created_at = stamp(job.created), config = job.config, export_status = job.export_status,
    export_message = job.export_message, export_model_name = job.export_model_name}
end

-- An export that is due happens when somebody looks
local function finish_export(job)
  local export = job.export
  if not export or store.now() < export.due then return end
  job.export = nil
  if export.trouble then
    job.export_status, job.export_message = "failed", export.trouble
  else
    job.export_status, job.export_model_name, job.export_message = "completed", export.name, nil
    store.models:add(export.name, {})
  end
end

local function find(id, status)
  local job = store.jobs:get(id)
  if not job then refuse(status or 404, "job not found: " .. id) end
  finish_export(job)
  return job
end

local function uuid() return ("%s-%s-4%s-a%s-%s"):format(hex(8), hex(4), hex(3), hex(3), hex(12)) end

local function create(req)
  local doc, refusal = bind(req), store.settings.refuse
  if not doc.model then refuse(400, "model is required") end
  if not doc.dataset_source then refuse(400, "dataset_source is required") end
  if refusal then refuse(refusal.status or 500, refusal.message) end
  doc.backend = doc.backend or "trl"
  if doc.backend ~= "trl" then
    refuse(500, ("failed to load backend %s: backend not found: %s"):format(doc.backend, doc.backend))
  end
  local id, now = uuid(), store.now()
  local job = store.jobs:add(id, {model = doc.model, backend = doc.backend, config = doc, status = "queued",
    output_dir = backend.DATA .. "/" .. id, created = now, began = now, total = store.settings.job_seconds})
  job.id = id
  backend.start(job)
  return reply.answer(201, {id = id, status = "queued", message = "Fine-tuning job started"})
end

local function list()
  local out = json.array()
  for i = #store.jobs.list, 1, -1 do
    finish_export(store.jobs.list[i])
    out[#out + 1] = render(store.jobs.list[i])
  end
  return out
end

local function get(_, id) return render(find(id)) end

-- Without a look at the state: a finished job becomes a stopped one
local function stop(_, id)
  local job = find(id)
  backend.advance(job)
  job.alive, job.queue = false, {}
  job.status, job.message = "stopped", "Training stopped by user"
  return {status = "stopped", message = "Fine-tuning job stopped"}
end

local ACTIVE = {queued = true, loading_model = true, loading_dataset = true, training = true, saving = true}

local function delete(_, id)
  local job = find(id)
  if ACTIVE[job.status] then
    refuse(409, ("cannot delete job %s: currently %s (stop it first)"):format(id, job.status))
  elseif job.export_status == "exporting" then
    refuse(409, ("cannot delete job %s: export in progress"):format(id))
  end
  if job.export_model_name then store.models:remove(job.export_model_name) end
  store.jobs:remove(id)
  return {status = "deleted", message = "Fine-tuning job deleted"}
end

-- ---- progress ----

local FINAL = {completed = true, failed = true, stopped = true}

local function event_of(doc) return ("data: %s\n\n"):format(json.encode(json.object(doc))) end

local function trouble(words)
  return reply.stream(function(send) send(event_of {status = "error", message = words}) end)
end

-- The server learns of an update by handing it to a reader
local function note(job, update)
  if not FINAL[job.status] then job.status = update.status end
  job.message = update.message or job.message
end

-- Its headers go out with the first event: until then nothing is flushed
local function progress(req, id)
  local job = store.jobs:get(id)
  if not job then return trouble("job not found: " .. id) end
  if not backend.advance(job).alive then
    return trouble(("rpc error: code = NotFound desc = Job %s not found"):format(id))
  end
  local update, why = backend.next_update(job, req.conn)
  return reply.stream(function(send)
    while update do
      note(job, update)
      if not send(event_of(update)) or FINAL[update.status] then return end
      update, why = backend.next_update(job, req.conn)
    end
    if why == "killed" then
      send(event_of {status = "error", message = "rpc error: code = Unavailable desc = error reading from server: EOF"})
    end
  end)
end

local function checkpoints(_, id)
  local job, out = backend.advance(find(id)), nil
  for i, saved in ipairs(job.saved) do
    out = out or json.array()
    out[i] = {path = saved.path, step = saved.step, epoch = saved.epoch, loss = saved.loss,
      created_at = stamp(saved.created)}
  end
  return {checkpoints = json.or_null(out)}
end

-- ---- export ----

local FORMATS = {lora = true, merged_16bit = true, merged_4bit = true, gguf = true}

local function export_trouble(job, doc)
  local path, format = doc.checkpoint_path or "", doc.export_format or "lora"
  local final = path == job.output_dir
  if not final and not backend.checkpoints[path] then return "export failed: Checkpoint not found: " .. path end
  if final and not job.over then return "export failed: the adapter's files are not complete" end
  if not FORMATS[format] then return "export failed: Unsupported export format: " .. format end
  if format ~= "lora" and not doc.model then return "export failed: Base model name required for merge export" end
end

local function slug(name) return (name:gsub("[^%w-]", "-"):gsub("%-+", "-"):gsub("^%-", ""):gsub("%-$", ""):lower()) end

local function export(req, id)
  local doc, job = bind(req), find(id, 500)
  if job.export_status == "exporting" then refuse(500, "export already in progress for job " .. id) end
  local name = doc.name or ("%s-ft-%s"):format(slug(job.model), id:sub(1, 8))
  if name:find("..", 1, true) then refuse(500, "invalid model name: path is outside of the models directory") end
  if store.models:get(name) then
    refuse(500, ('model "%s" already exists, choose a different name'):format(name))
  end
  backend.advance(job)
  job.export = {due = store.now() + store.settings.export_seconds, name = name, trouble = export_trouble(job, doc)}
  job.export_status, job.export_message, job.export_model_name = "exporting", "Running model export", nil
  return reply.answer(202, {status = "exporting", model_name = name,
    message = ("Export started for model '%s'"):format(name)})
end

local function download(_, id)
  local job = find(id)
  if job.export_status ~= "completed" then
    refuse(404, ("export not completed for job %s (status: %s)"):format(id, job.export_status or ""))
  end
  return reply.stream(function(send)
    for i = 1, 4 do send(("\31\139 part %d of %s"):format(i, job.export_model_name)) end
  end, "application/gzip")
end

-- ---- models ----

local function models()
  local data = json.array()
  for _, job in ipairs(store.jobs.list) do finish_export(job) end
  for i, model in ipairs(store.models.list) do data[i] = {id = model.id, object = "model"} end
  return {object = "list", data = data}
end

local function administrator()
  if store.settings.admin then return end
  error({answer = {status = 403, doc = {error = {code = 403, message = "Admin access required",
    type = "authorization_error"}}}}, 0)
end

local tasks = {}

local function delete_model(_, name)
  administrator()
  local id = uuid()
  tasks[id] = {due = store.now() + store.settings.task_seconds, doc = {deletion = true, processed = true,
    gallery_element_name = name, message = "completed", progress = 100, file_name = "", file_size = "",
    downloaded_size = "", cancelled = false, cancellable = false}}
  if not store.models:get(name) then
    tasks[id].doc.error = ("remove /models/%s.yaml: no such file or directory"):format(name)
  elseif store.models:get(name).stuck then
    tasks[id].doc.error = "permission denied"
  else
    store.models:remove(name)
  end
  return {uuid = id, status = "http://localhost:8080/models/jobs/" .. id}
end

local function task(_, id)
  administrator()
  local known = tasks[id]
  if not known or store.now() < known.due then reply.reject(500, "could not find any status for ID") end
  return known.doc
end

M.routes = {
  {"POST", "api/fine-tuning/datasets", "form", upload},
  {"POST", "api/fine-tuning/jobs", "raw", create},
  {"GET", "api/fine-tuning/jobs", "none", list},
  {"GET", "api/fine-tuning/jobs/*", "none", get},
  {"DELETE", "api/fine-tuning/jobs/*", "none", delete},
  {"POST", "api/fine-tuning/jobs/*/stop", "none", stop},
  {"GET", "api/fine-tuning/jobs/*/progress", "none", progress},
  {"GET", "api/fine-tuning/jobs/*/checkpoints", "none", checkpoints},
  {"POST", "api/fine-tuning/jobs/*/export", "raw", export},
  {"GET", "api/fine-tuning/jobs/*/download", "none", download},
  {"GET", "v1/models", "none", models},
  {"POST", "models/delete/*", "none", delete_model},
  {"GET", "models/jobs/*", "none", task},
}

-- ---- for the control port ----

function M.reset(more)
  backend.models = {[M.model] = true}
  for _, name in ipairs(more or {}) do backend.models[name] = true end
  backend.checkpoints = {}
  store.models:add("llama-served", {})
  store.models:add("stuck-model", {stuck = true})
end

function M.add_model(id) backend.models[id] = true end

function M.jump(id, fraction)
  local job = find(id)
  job.began = math.min(job.began, store.now() - fraction * job.total)
  return render(backend.advance(job))
end

function M.state()
  local state = {files = json.object(), jobs = json.object(), models = json.array()}
  for _, file in ipairs(store.files.list) do
    state.files[file.id] = {path = file.id, filename = file.filename, bytes = file.blob.bytes}
  end
  for _, job in ipairs(store.jobs.list) do state.jobs[job.id] = render(backend.advance(job)) end
  for i, model in ipairs(models().data) do state.models[i] = model.id end
  return state
end

function M.seed(counts)
  local ids = {files = json.array(), jobs = json.array()}
  for i = 1, counts.jobs or 0 do
    local answer = create {header = {["content-type"] = "application/json"},
      body = json.encode {model = M.model, dataset_source = "yahma/alpaca-cleaned", seed = i}}
    ids.jobs[i] = answer.doc.id
    M.jump(answer.doc.id, counts.fraction or 1)
  end
  return ids
end

return M
