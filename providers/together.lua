-- needs: TOGETHER_API_KEY
-- Together AI (https://api.together.ai/v1). Written 2026-11-22.
--   files    POST /files (302) + PUT to storage + POST /files/{id}/preprocess; POST /files/upload;
--            POST /files/multipart/initiate|complete|abort; GET /files, GET|DELETE /files/{id}, GET {id}/content
--   jobs     POST|GET /fine-tunes, GET|DELETE /fine-tunes/{id}, POST {id}/cancel, GET {id}/events|checkpoints|metrics,
--            POST /fine-tunes/estimate-price, GET /finetune/download
--   models   GET /fine-tunes/models/supported, GET /fine-tunes/models/limits; there is no DELETE of a model
--   serving  POST|GET /endpoints, DELETE /endpoints/{id}
-- Sources: togethercomputer/openapi openapi.yaml 2.0.0 (090263aa, 2026-04-28), which has neither POST /files nor
-- /files/multipart: those are as togethercomputer/together-python src/together/filemanager.py, constants.py and
-- resources/finetune.py (eba5e5f0, 2025-12-23) do them; processing_status as togethercomputer/skills
-- references/data-formats.md (644d3822, 2026-08-18) has it.
-- Unverified: how long a suffix may be (40 by together-python, 64 by others: setting suffix_limit); whether a repeated
-- `complete` is refused. The cosine scheduler's arguments fit both branches of a oneOf of the description, which a
-- strict validator refuses; they are sent as together-python sends them.

local finetune = require "finetune"

local GIB = 1 << 30

local P = {
  name = "together",
  description = "Together AI",
  base_url = "https://api.together.ai/v1",
  env = {api_key = "TOGETHER_API_KEY", base_url = "TOGETHER_BASE_URL", wandb_api_key = "WANDB_API_KEY"},
  needs = {"TOGETHER_API_KEY"},
  -- wandb_api_key is sent with jobs that ask for W&B, hf_api_token with those that name a Hugging Face repository.
  -- The latter is read from no variable: most public repositories need none, and HF_TOKEN was not set for Together.
  config = {"suffix_limit:integer", "upload_route:string", "upload_limit:integer", "upload_total:integer",
    "part_size:integer", "max_parts:integer", "poll_interval:number", "wandb_api_key:string", "hf_api_token:string"},
  secrets = {"wandb_api_key", "hf_api_token"},
  -- others come unannounced (model_downloading did: together-py#181), pass as they are, and are not the end
  statuses = {pending = "pending", queued = "queued", running = "running", compressing = "finalizing",
    uploading = "finalizing", cancel_requested = "cancelling", cancelled = "cancelled", error = "failed",
    user_error = "failed", completed = "succeeded"},
  errors = {invalid_api_key = "auth", model_not_available = "not_found"},
  -- together-python constants.py: MIN_SAMPLES, MAX_FILE_SIZE_GB (of 2^30 bytes), JSONL_REQUIRED_COLUMNS_MAP
  dataset = {formats = {"chat", "completion", "preference"}, min_examples = 1, max_bytes = 50.1 * GIB // 1 | 0},
  params = {
    create_job = "from_checkpoint:string from_hf_model:string hf_model_revision:string hf_output_repo_name:string "
      .. "training_type:string train_vision:boolean",
    estimate_cost = "validation_file:id method:string|table training_type:string from_checkpoint:string",
    list_metrics = "global_step_from:integer global_step_to:integer",
    download_file = "checkpoint:string",
    deploy_model = "hardware:string! min_replicas:integer max_replicas:integer inactive_minutes:integer "
      .. "availability_zone:string",
  },
}

local DEFAULTS = {
  suffix_limit = 40, -- characters
  -- "redirect", as Together's own libraries do, or "form": one request to the API's own host, for networks that reach
  -- no other. Neither stands in for the other: the file would be sent twice, and the reason be hidden.
  upload_route = "redirect",
  upload_limit = 5 * GIB, -- bytes of a file in one piece; more goes up in parts (MULTIPART_THRESHOLD_GB)
  upload_total = 50.1 * GIB // 1 | 0, -- bytes of a file at all (MAX_FILE_SIZE_GB)
  part_size = 250 << 20, -- bytes of a part, about (TARGET_PART_SIZE_MB)
  max_parts = 250, -- (MAX_MULTIPART_PARTS)
}
local PARTS_AT_ONCE = 4 -- (MAX_CONCURRENT_PARTS)

function P.open(config)
  for name, default in pairs(DEFAULTS) do
    local value = config[name] == nil and default or config[name]
    config[name] = value
    if math.type(value) == "integer" and value < 1 then
      return nil, finetune.error {kind = "config", message = name .. " must be at least 1"}
    end
  end
  if config.upload_route ~= "redirect" and config.upload_route ~= "form" then
    return nil, finetune.error {kind = "config", message = "upload_route must be 'redirect' or 'form'"}
  end
end

-- ---- small things ----

local function invalid(name, words) return nil, finetune.error {kind = "invalid", param = name, message = words} end

local function not_a(what)
  return nil, finetune.error {kind = "decode", message = "Together's answer is not " .. what}
end

local function text(value) return type(value) == "string" and value ~= "" and value or nil end
local function number(value) return type(value) == "number" and value or nil end
local function object(value) return type(value) == "table" and value or {} end

-- 402 is Together's "no money" (type credit_limit, without a code)
local function paid(value, err)
  if not value and err.status == 402 then err.kind = "quota" end
  return value, err
end

-- Together's lists have no pages, order or filters: all comes at once, whatever `limit` says
local function whole_list(ctx, p, path, map)
  for _, name in ipairs {"after", "order", "metadata"} do
    if p[name] ~= nil then return invalid(name, "Together's lists come whole: they take no '" .. name .. "'") end
  end
  return ctx:paginate {path = path, map = function(doc) return type(doc) == "table" and map(ctx, doc, p) or nil end}
end

local function removed(id, doc, err)
  if not doc then return nil, err end
  if object(doc).deleted == false then
    return nil, finetune.error {kind = "conflict", message = "the service answered that it did not delete it"}
  end
  return {id = id, deleted = true, raw = object(doc)}
end

-- f(ctx, doc) of an answer, or its error
local function made(f, ctx, doc, err)
  if not doc then return nil, err end
  return f(ctx, doc)
end

local function job_path(ctx, id, verb) return "/fine-tunes/" .. ctx.escape(id) .. (verb or "") end
local function file_path(ctx, id, verb) return "/files/" .. ctx.escape(id) .. (verb or "") end

-- ---- files ----

-- processing_status is newer than the boolean, and counts where it is there
local function file_status(doc)
  local word = text(doc.processing_status)
  if word == "INVALID_FORMAT" or word == "FAILED" then return "error" end
  return (word == "COMPLETED" or not word and doc.Processed == true) and "processed" or "uploaded"
end

local function to_file(ctx, doc)
  if not text(object(doc).id) then return not_a "a file" end
  return {id = doc.id, filename = text(doc.filename), bytes = number(doc.bytes), purpose = text(doc.purpose),
    status = file_status(doc), created_at = ctx.time(doc.created_at),
    error = text(object(doc.validation_report).error), raw = doc}
end

function P.get_file(ctx, p) return made(to_file, ctx, ctx:get(file_path(ctx, p.file_id))) end

function P.list_files(ctx, p)
  return whole_list(ctx, p, "/files", function(_, doc)
    local file = to_file(ctx, doc)
    return file and (p.purpose == nil or file.purpose == p.purpose) and file or nil
  end)
end

function P.delete_file(ctx, p) return removed(p.file_id, ctx:delete(file_path(ctx, p.file_id))) end

-- What is downloaded of a job: a step's weights, what the caller named, or all that training made
local function download_query(ctx, job_id, step, checkpoint)
  if step ~= "" then return {ft_id = job_id, checkpoint_step = step} end
  if checkpoint then return {ft_id = job_id, checkpoint = checkpoint} end
  local job, err = ctx:get(job_path(ctx, job_id))
  if not job then return nil, err end
  local full = object(object(job).training_type).type == "Full"
  return {ft_id = job_id, checkpoint = full and "model_output_path" or "merged"}
end

-- Of the id of a job ("ft-...") or of a checkpoint ("ft-...:STEP"): the weights, an archive
function P.download_file(ctx, p)
  local job_id, step = p.file_id:match "^(ft%-[^:]+):?(%d*)$"
  local request = {path = job_id and "/finetune/download" or file_path(ctx, p.file_id, "/content"), output = p.output,
    max_bytes = p.max_bytes, decode = p.output and "none" or "text"}
  local response, err
  if job_id then request.query, err = download_query(ctx, job_id, step, p.checkpoint) end
  if err then return nil, err end
  if p.checkpoint and not job_id then
    return invalid("checkpoint", "checkpoint belongs to the id of a job, and " .. p.file_id .. " is none")
  end
  response, err = ctx:request(request)
  if not response then return nil, err end
  return p.output and {path = p.output, bytes = response.bytes} or response.body or ""
end

-- ---- uploads ----

local TYPES = {jsonl = true, parquet = true, csv = true}

-- What Together is told of the file
local function told(p)
  local name = p.filename or p.path:match "[^/]*$"
  local kind = name:lower():match "%.(%w+)$"
  if not TYPES[kind or 0] then
    return nil, finetune.error {kind = "data", message = ("cannot upload %s: Together takes .jsonl, .parquet and .csv, "
      .. "by the name (give `filename` where it has another)"):format(p.path)}
  end
  local facts = {file_name = name, file_type = kind, purpose = p.purpose or "fine-tune"}
  for key, value in pairs(p.extra or {}) do facts[key] = value end
  return facts
end

local function upload_redirected(ctx, p, info, facts)
  local response, err = ctx:request {method = "POST", path = "/files", body = ctx.form(facts),
    headers = {["Content-Type"] = "application/x-www-form-urlencoded"}, accept = {302}, decode = "none",
    retry = "idempotent"} -- at worst an entry without a file
  if not response then return nil, err end
  local id, url = text(response.headers["x-together-file-id"]), response.headers.location
  if not id or not id:find "^[%w_-]+$" then return not_a "a place for the file: X-Together-File-Id is no id" end
  return ctx:or_undo({method = "DELETE", path = file_path(ctx, id)}, function()
    url, err = ctx:storage_url(url)
    if not url then return nil, err end
    response, err = ctx:upload {path = p.path, info = info, url = url}
    if not response then return nil, err end
    return made(to_file, ctx, ctx:post(file_path(ctx, id, "/preprocess"), nil, {retry = "idempotent"}))
  end)
end

local function upload_form(ctx, p, info, facts)
  return made(to_file, ctx, ctx:upload {path = p.path, info = info, to = "/files/upload", fields = facts,
    filename = facts.file_name, retry = "idempotent"})
end

local function send_parts(ctx, t, ids, parts)
  t.places = {}
  for i, part in ipairs(object(parts)) do
    part = object(part)
    t.places[i] = {number = part.PartNumber, url = part.URL, headers = part.Headers}
  end
  local etags, err = ctx:upload_parts(t)
  if not etags then return nil, err end
  local body = {upload_id = ids.upload_id, file_id = ids.file_id, parts = {}}
  for i, etag in ipairs(etags) do body.parts[i] = {part_number = i, etag = etag} end
  local doc
  doc, err = ctx:post("/files/multipart/complete", body, {retry = "idempotent"})
  if not doc then return nil, err end
  return to_file(ctx, object(doc).file or doc)
end

local function upload_parts(ctx, p, info, facts)
  local count, size = ctx.parts(info.size, p.part_size or ctx.config.part_size, ctx.config.max_parts)
  facts.file_size, facts.num_parts = info.size, count
  local doc, err = ctx:post("/files/multipart/initiate", facts, {retry = "idempotent"})
  if not doc then return nil, err end
  local ids = {upload_id = text(object(doc).upload_id), file_id = text(object(doc).file_id)}
  if not ids.upload_id or not ids.file_id then return not_a "an upload in parts" end
  return ctx:or_undo({method = "POST", path = "/files/multipart/abort", json = ids}, function()
    return send_parts(ctx, {path = p.path, info = info, count = count, size = size, concurrency = PARTS_AT_ONCE}, ids,
      doc.parts)
  end)
end

local function upload(ctx, p)
  local info, facts, err
  if p.expires_after then return invalid("expires_after", "Together's files do not expire") end
  facts, err = told(p)
  if not facts then return nil, err end
  info, err = ctx.file_info(p.path)
  if not info then return nil, err end
  if info.size > ctx.config.upload_total then
    return ctx.fail("data", "cannot upload %s: it has %d bytes, and Together takes %d at most", p.path, info.size,
      ctx.config.upload_total)
  end
  if p.part_size or info.size > ctx.config.upload_limit then return upload_parts(ctx, p, info, facts) end
  return (ctx.config.upload_route == "form" and upload_form or upload_redirected)(ctx, p, info, facts)
end

function P.upload_file(ctx, p)
  local file, err = paid(upload(ctx, p))
  if not file or not p.wait then return file, err end
  return ctx:wait_for_file(P.get_file, file.id, p.wait_timeout)
end

-- ---- jobs ----

local FINISHED = {completed = true, cancelled = true, error = true, user_error = true}
local SAME = {"n_epochs", "n_checkpoints", "n_evals", "batch_size", "learning_rate", "warmup_ratio", "max_grad_norm",
  "weight_decay", "packing", "max_seq_length", "train_on_inputs"}
local PLAIN = {string = true, number = true, boolean = true}

local function hyperparameters_of(doc)
  local lora, method, all = object(doc.training_type), object(doc.training_method), {}
  for _, name in ipairs(SAME) do all[name] = doc[name] end
  all.lora_rank, all.lora_alpha, all.lora_dropout = lora.lora_r, lora.lora_alpha, lora.lora_dropout
  all.lr_scheduler_type = object(doc.lr_scheduler).lr_scheduler_type
  all.beta = method.dpo_beta
  if all.train_on_inputs == nil then all.train_on_inputs = method.train_on_inputs end
  for name, value in pairs(all) do
    if not PLAIN[type(value)] then all[name] = nil end
  end
  return all
end

-- "legacy_iwarning" is a warning, "Error" an error
local function level_of(word)
  word = (text(word) or ""):lower()
  return word:find "error" and "error" or word:find "warn" and "warn" or word:find "info" and "info" or nil
end

local function to_event(ctx, doc)
  local data = {}
  for _, name in ipairs {"step", "total_steps", "token_count", "param_count", "training_offset"} do
    data[name] = number(doc[name])
  end
  for _, name in ipairs {"checkpoint_path", "model_path", "wandb_url", "hash"} do data[name] = text(doc[name]) end
  return {created_at = ctx.time(doc.created_at), level = level_of(doc.level), message = text(doc.message),
    type = text(doc.type), data = data, raw = doc} -- they have no ids
end

-- The last error among a job's events: the job itself does not say why it failed
local function reason_of(ctx, events)
  local reason
  for _, doc in ipairs(object(events)) do
    local event = to_event(ctx, object(doc))
    if event.level == "error" or (event.type or ""):lower():find "error$" then
      reason = {code = event.type, message = event.message}
    end
  end
  return reason
end

local function progress_of(doc)
  local done, all = number(doc.epochs_completed), number(doc.n_epochs)
  if doc.status == "completed" then return 1 end
  return done and all and done >= 0 and all > 0 and math.min(done / all, 1) or nil
end

local METHODS = {sft = "supervised", dpo = "dpo"}

local function to_job(ctx, doc)
  if not text(object(doc).id) then return not_a "a job" end
  local status, method = text(doc.status), METHODS[object(doc.training_method).method or 0]
  return {id = doc.id, status = status, model = text(doc.model), suffix = text(doc.suffix),
    fine_tuned_model = status == "completed" and text(doc.model_output_name) or nil, -- the name is there from the start
    created_at = ctx.time(doc.created_at), finished_at = FINISHED[status] and ctx.time(doc.updated_at) or nil,
    trained_tokens = number(doc.token_count), training_file = text(doc.training_file),
    validation_file = text(doc.validation_file), hyperparameters = hyperparameters_of(doc),
    seed = number(doc.random_seed), method = method and {type = method} or nil, progress = progress_of(doc),
    error = (status == "error" or status == "user_error") and reason_of(ctx, doc.events) or nil, raw = doc}
end

function P.get_job(ctx, p)
  local job, err = made(to_job, ctx, ctx:get(job_path(ctx, p.job_id)))
  if job and not job.error and (job.status == "error" or job.status == "user_error") then
    local doc = ctx:get(job_path(ctx, p.job_id, "/events")) -- a job without its reason is still a job
    job.error = reason_of(ctx, object(doc).data)
  end
  return job, err
end

function P.cancel_job(ctx, p)
  return made(to_job, ctx, ctx:post(job_path(ctx, p.job_id, "/cancel"), nil, {retry = "idempotent"}))
end

function P.delete_job(ctx, p) return removed(p.job_id, ctx:delete(job_path(ctx, p.job_id))) end
function P.list_jobs(ctx, p) return whole_list(ctx, p, "/fine-tunes", to_job) end

-- The newest first, as finetune's lists of events go; which way Together's go is told by their full timestamps
function P.list_events(ctx, p)
  local page, err = whole_list(ctx, p, job_path(ctx, p.job_id, "/events"), to_event)
  if not page then return nil, err end
  local list, n = page.data, #page.data
  local first, last = n > 0 and list[1].raw.created_at, n > 0 and list[n].raw.created_at
  if text(first) and text(last) and first < last then
    for i = 1, n // 2 do list[i], list[n + 1 - i] = list[n + 1 - i], list[i] end
  end
  return page
end

-- The id is what from_checkpoint and download_file take: intermediate ones are JOB:STEP, the last is the job's own
local function to_checkpoint(ctx, doc, p)
  local step, kind = math.tointeger(number(doc.step) or 0.5), text(doc.checkpoint_type) or ""
  local is_between = kind:lower():find "intermediate" ~= nil
  if is_between and not step then return nil end
  return {id = is_between and p.job_id .. ":" .. step or p.job_id, step = step, job_id = p.job_id,
    created_at = ctx.time(doc.created_at), raw = doc}
end

function P.list_checkpoints(ctx, p)
  return whole_list(ctx, p, job_path(ctx, p.job_id, "/checkpoints"), to_checkpoint)
end

function P.list_metrics(ctx, p)
  local filter = {global_step_from = p.global_step_from, global_step_to = p.global_step_to}
  for key, value in pairs(p.extra or {}) do filter[key] = value end
  local doc, err = ctx:get(job_path(ctx, p.job_id, "/metrics"), {json = next(filter) and filter or nil})
  if not doc then return nil, err end
  if type(object(doc).metrics) ~= "table" then return not_a "a list of metrics" end
  return {data = ctx.metric_rows(doc.metrics), has_more = false, raw = doc} -- training and evaluation are two objects
end

-- ---- creating jobs ----

local function ratio(path) return {path, least = 0, most = 1} end

local body_of = finetune.mapping {
  service = "Together",
  fields = {model = "model", training_file = "training_file", validation_file = "validation_file",
    suffix = "suffix", seed = {"random_seed", integer = true, least = 0}, from_checkpoint = "from_checkpoint",
    from_hf_model = "from_hf_model", hf_model_revision = "hf_model_revision",
    hf_output_repo_name = "hf_output_repo_name", train_vision = "multimodal_params.train_vision",
    training_type = {"training_type.type", values = {lora = true, full = true},
      to = function(word) return word == "full" and "Full" or "Lora" end},
    wandb_project_name = "wandb_project_name", wandb_name = "wandb_name", wandb_entity = "wandb_entity",
    wandb_base_url = "wandb_base_url", wandb_api_key = "wandb_api_key"},
  hyperparameters = {
    n_epochs = {"n_epochs", integer = true, least = 1, most = 20},
    batch_size = {"batch_size", integer = true, least = 1, values = {max = true}},
    learning_rate = {"learning_rate", above = 0},
    n_checkpoints = {"n_checkpoints", integer = true, least = 1}, n_evals = {"n_evals", integer = true, least = 0},
    warmup_ratio = ratio "warmup_ratio", max_grad_norm = {"max_grad_norm", least = 0},
    weight_decay = {"weight_decay", least = 0}, packing = {"packing", type = "boolean"},
    max_seq_length = {"max_seq_length", integer = true, least = 1},
    lora_rank = {"training_type.lora_r", integer = true, least = 1},
    lora_alpha = {"training_type.lora_alpha", integer = true, least = 1},
    lora_dropout = {"training_type.lora_dropout", least = 0, to = function(value)
      if value < 1 then return value end
      return nil, "must be below 1"
    end},
    lora_trainable_modules = {"training_type.lora_trainable_modules", type = "string"},
    lr_scheduler_type = {"lr_scheduler.lr_scheduler_type", values = {linear = true, cosine = true}},
    min_lr_ratio = ratio "lr_scheduler.lr_scheduler_args.min_lr_ratio",
    num_cycles = {"lr_scheduler.lr_scheduler_args.num_cycles", above = 0},
  },
  methods = {
    supervised = {set = {["training_method.method"] = "sft", ["training_method.train_on_inputs"] = "auto"},
      hyperparameters = {train_on_inputs = {"training_method.train_on_inputs",
        values = {auto = true, [true] = true, [false] = true}}}},
    dpo = {set = {["training_method.method"] = "dpo"}, hyperparameters = {
      beta = {"training_method.dpo_beta", above = 0}, rpo_alpha = {"training_method.rpo_alpha", least = 0},
      simpo_gamma = {"training_method.simpo_gamma", least = 0},
      dpo_reference_free = {"training_method.dpo_reference_free", type = "boolean"},
      dpo_normalize_logratios_by_length = {"training_method.dpo_normalize_logratios_by_length", type = "boolean"}}},
  },
  refuse = {
    metadata = "is not kept by Together: put what tells a job into its suffix",
    token = "has no use: Together has no field by which a lost job could be found again",
    path = "is not enough: Together estimates a file that it has; upload it, and give its id as training_file",
  },
}

-- Settings of LoRA mean LoRA; without a rank the service takes its own, and then the rest as well.
local function finish_type(body)
  local t = body.training_type
  if type(t) ~= "table" or (t.type == "Full" and next(t, next(t)) == nil) then return true end
  if t.type == "Full" then return invalid("training_type", "training_type 'full' has no lora_ settings") end
  if t.type == "Lora" and next(t, next(t)) == nil then
    body.training_type = nil -- what the service does unasked
    return true
  end
  if not t.lora_r then return invalid("hyperparameters.lora_rank", "lora_rank is needed with other lora_ settings") end
  t.type, t.lora_alpha = "Lora", t.lora_alpha or 2 * t.lora_r -- together-python's default
  return true
end

local function finish_scheduler(body)
  local s = object(body.lr_scheduler)
  local args = s.lr_scheduler_args
  if type(args) ~= "table" then return true end
  if not s.lr_scheduler_type then
    return invalid("hyperparameters.lr_scheduler_type", "lr_scheduler_type is needed: linear or cosine")
  elseif s.lr_scheduler_type == "linear" and args.num_cycles then
    return invalid("hyperparameters.num_cycles", "num_cycles belongs to the cosine scheduler")
  elseif s.lr_scheduler_type == "cosine" then -- both are required; these are the description's defaults
    args.min_lr_ratio, args.num_cycles = args.min_lr_ratio or 0, args.num_cycles or 0.5
  end
  return true
end

local function finish_preference(body)
  local m = object(body.training_method)
  if not number(m.simpo_gamma) or m.simpo_gamma == 0 then return end
  for _, name in ipairs {"dpo_reference_free", "dpo_normalize_logratios_by_length"} do -- SimPO is both of them
    if m[name] == nil then m[name] = true end
  end
end

local WANDB = {project = "wandb_project_name", name = "wandb_name", entity = "wandb_entity",
  base_url = "wandb_base_url"}

-- integrations = {{type = "wandb", wandb = {...}}} -> fields of the job, in `given`
local function put_wandb(ctx, given)
  local list = given.integrations
  given.integrations = nil
  if list == nil then return true end
  local wandb = object(list[1]).type == "wandb" and list[2] == nil and list[1].wandb
  if type(wandb) ~= "table" then
    return invalid("integrations", "Together has one integration: {type = 'wandb', wandb = {project = ...}}")
  end
  for name, value in pairs(wandb) do
    if not WANDB[name] or not text(value) then
      return invalid("integrations", ("wandb.%s is not known to Together, which takes the texts: base_url, entity, "
        .. "name, project (the key is the setting wandb_api_key)"):format(tostring(name)))
    end
    given[WANDB[name]] = value
  end
  given.wandb_api_key = ctx.config.wandb_api_key
  if given.wandb_api_key then return true end
  return ctx.fail("config", "W&B needs a key: set WANDB_API_KEY, or give wandb_api_key to create_provider")
end

local function make_body(ctx, p)
  local given = {}
  for name, value in pairs(p) do given[name] = value end
  local ok, err = put_wandb(ctx, given)
  if not ok then return nil, err end
  local limit = ctx.config.suffix_limit
  if p.suffix and (utf8.len(p.suffix) or limit + 1) > limit then
    return invalid("suffix", ("suffix must have at most %d characters (setting suffix_limit)"):format(limit))
  end
  local body
  body, err = body_of(ctx, given)
  if not body then return nil, err end
  ok, err = finish_type(body)
  if ok then ok, err = finish_scheduler(body) end
  if not ok then return nil, err end
  finish_preference(body)
  if body.from_hf_model or body.hf_output_repo_name then body.hf_api_token = ctx.config.hf_api_token end
  return body
end

function P.create_job(ctx, p)
  local body, err = make_body(ctx, p)
  if not body then return nil, err end
  local ok
  ok, err = ctx:wait_for_files(P.get_file, p)
  if not ok then return nil, err end
  return paid(ctx:create_once(p, {request = {path = "/fine-tunes", json = body},
    job = function(doc) return to_job(ctx, doc) end, list = function() return P.list_jobs(ctx, {}) end}))
end

local PRICED = {"model", "training_file", "validation_file", "n_epochs", "n_evals", "training_method", "training_type",
  "from_checkpoint"}

function P.estimate_cost(ctx, p)
  local body, err = make_body(ctx, p)
  if not body then return nil, err end
  if not p.training_file then return invalid("training_file", "training_file is needed: the price is of a file") end
  local priced = {}
  for _, name in ipairs(PRICED) do priced[name] = body[name] end
  for name in pairs(p.extra or {}) do priced[name] = body[name] end
  local doc
  doc, err = paid(ctx:post("/fine-tunes/estimate-price", priced, {retry = "idempotent"}))
  if not doc then return nil, err end
  local total = number(object(doc).estimated_total_price)
  if not total then return not_a "a price" end
  local train, eval = number(doc.estimated_train_token_count), number(doc.estimated_eval_token_count)
  return {total = total, currency = "USD", tokens = train and train + (eval or 0), train_tokens = train,
    eval_tokens = eval, limit = number(doc.user_limit), allowed = doc.allowed_to_proceed ~= false, raw = doc}
end

-- ---- models: those that can be tuned, and those that jobs have made ----

local function tuned(job)
  return job.fine_tuned_model and {id = job.fine_tuned_model, created_at = job.finished_at, raw = job.raw} or nil
end

local function base_models(ctx)
  local doc, err = ctx:get "/fine-tunes/models/supported"
  if not doc then return nil, err end
  if type(object(doc).models) ~= "table" then return not_a "a list of models" end
  local list = {}
  for _, name in ipairs(doc.models) do
    if text(name) then list[#list + 1] = {id = name, raw = {id = name}} end
  end
  return list, doc
end

function P.list_models(ctx, p)
  local jobs, err = whole_list(ctx, p, "/fine-tunes", to_job)
  if not jobs then return nil, err end
  local list, doc = base_models(ctx)
  if not list then return nil, doc end
  for _, job in ipairs(jobs.data) do list[#list + 1] = tuned(job) end
  return {data = finetune.array(list), has_more = false, raw = doc}
end

-- The job that made the model -> job | nil, err, or nil alone where none did
local function maker_of(ctx, model)
  local jobs, err = P.list_jobs(ctx, {})
  if not jobs then return nil, err end
  for _, job in ipairs(jobs.data) do
    if job.fine_tuned_model == model then return job end
  end
end

function P.get_model(ctx, p)
  local job, err = maker_of(ctx, p.model)
  if job or err then return job and tuned(job), err end
  local doc
  doc, err = ctx:get("/fine-tunes/models/limits", {query = {model_name = p.model}})
  if not doc then return nil, err end
  if not text(object(doc).model_name) then return not_a "a model" end
  return {id = p.model, raw = doc}
end

-- Together deletes no models: a tuned one goes with the job that made it
function P.delete_model(ctx, p)
  local job, err = maker_of(ctx, p.model)
  if err then return nil, err end
  if job then return removed(p.model, ctx:delete(job_path(ctx, job.id))) end
  local bases
  bases, err = base_models(ctx)
  if not bases then return nil, err end
  for _, model in ipairs(bases) do
    if model.id == p.model then return invalid("model", p.model .. " is a base model, which cannot be deleted") end
  end
  return ctx.fail("not_found", "no job has made a model '%s' (a job is deleted by delete_job)", p.model)
end

-- ---- serving ----

local function to_endpoint(_, doc)
  if not text(object(doc).id) then return not_a "an endpoint" end
  return {id = doc.id, status = text(doc.state), model = text(doc.model), name = text(doc.name), raw = doc}
end

-- A dedicated endpoint, paid by the minute until undeploy_model; requests name it by the result's `name`
function P.deploy_model(ctx, p)
  local least = p.min_replicas or 1
  local body = {model = p.model, hardware = p.hardware, display_name = p.name, inactive_timeout = p.inactive_minutes,
    availability_zone = p.availability_zone,
    autoscaling = {min_replicas = least, max_replicas = p.max_replicas or math.max(least, 1)}}
  for key, value in pairs(p.extra or {}) do body[key] = value end
  return paid(made(to_endpoint, ctx, ctx:post("/endpoints", body, {retry = "never"})))
end

-- Of a model's name: every dedicated endpoint of one's own that serves it; of an endpoint's id or name: that one
function P.undeploy_model(ctx, p)
  local page, err = ctx:paginate {path = "/endpoints", query = {type = "dedicated", mine = true},
    map = function(doc) return type(doc) == "table" and to_endpoint(ctx, doc) or nil end}
  if not page then return nil, err end
  local last
  for _, endpoint in ipairs(page.data) do
    if endpoint.model == p.model or endpoint.id == p.model or endpoint.name == p.model then
      local ok
      ok, err = ctx:delete("/endpoints/" .. ctx.escape(endpoint.id))
      if not ok then return nil, err end
      last = endpoint
    end
  end
  if not last then return ctx.fail("not_found", "no dedicated endpoint serves '%s'", p.model) end
  return {id = last.id, status = "deleted", model = last.model, name = last.name, raw = last.raw}
end

-- ---- what Together has not ----

local NO_PAUSE = "Together cannot pause a job: cancel_job it, and go on with create_job{from_checkpoint = its id}"
P.pause_job, P.resume_job = finetune.unsupported(NO_PAUSE), finetune.unsupported(NO_PAUSE)
P.validate_grader = finetune.unsupported "Together has no graders: its methods are supervised and dpo"
P.run_grader = P.validate_grader
P.sample = finetune.unsupported("deploy_model the model, then ask Together's own /chat/completions with the "
  .. "deployment's name as `model`")

return finetune.register(P)
