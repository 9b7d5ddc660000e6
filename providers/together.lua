-- needs: TOGETHER_API_KEY
-- Together AI (https://api.together.ai/v1). Written 2026-11-22.
--   files    POST /files (302) + PUT to storage + POST /files/{id}/preprocess; POST /files/upload;
--            POST /files/multipart/initiate|complete|abort; GET /files, GET|DELETE /files/{id}, GET {id}/content
--   jobs     POST|GET /fine-tunes, GET|DELETE /fine-tunes/{id}, POST {id}/cancel, GET {id}/events|checkpoints|metrics,
--            POST /fine-tunes/estimate-price, GET /finetune/download
--   models   GET /fine-tunes/models/supported, GET /fine-tunes/models/limits; there is no DELETE of a model
--   serving  POST|GET /endpoints, DELETE /endpoints/{id}
-- Lists have no pages, order or filters: all comes at once, whatever `limit` says.
-- Sources: togethercomputer/openapi openapi.yaml 2.0.0 (090263aa, 2026-04-28), which has neither POST /files nor
-- /files/multipart: those are as togethercomputer/together-python src/together/filemanager.py, constants.py and
-- resources/finetune.py (eba5e5f0, 2025-12-23) do them; processing_status as togethercomputer/skills
-- references/data-formats.md (644d3822, 2026-08-18) has it.
-- Unverified: how long a suffix may be (40 by together-python, 64 by others: setting suffix_limit); whether a repeated
-- `complete` is refused. The cosine scheduler's arguments fit both branches of a oneOf of the description, which a
-- strict validator refuses; they are sent as together-python sends them.

local finetune = require "finetune"

local pick, reader, route = finetune.pick, finetune.reader, finetune.route
local MAX_BYTES = 50.1 * (1 << 30) // 1 | 0 -- of a file (together-python constants.py: MAX_FILE_SIZE_GB)

local P = {
  name = "together",
  description = "Together AI",
  base_url = "https://api.together.ai/v1",
  env = {api_key = "TOGETHER_API_KEY", base_url = "TOGETHER_BASE_URL", wandb_api_key = "WANDB_API_KEY"},
  needs = {"TOGETHER_API_KEY"},
  config = {
    "poll_interval:number", "wandb_api_key:string", -- the key is sent with jobs that ask for W&B
    "hf_api_token:string", -- sent with jobs that name a Hugging Face repository; HF_TOKEN was not set for Together
    suffix_limit = 40, -- characters
    -- "redirect", as Together's own libraries do, or "form": one request to the API's own host, for networks that
    -- reach no other. Neither stands in for the other: the file would be sent twice, and the reason be hidden.
    upload_route = {"redirect", "form"},
    upload_total = MAX_BYTES,
    upload_limit = 5 << 30, -- bytes of a file in one piece; more goes up in parts (MULTIPART_THRESHOLD_GB)
    part_size = 250 << 20, -- bytes of a part, about (TARGET_PART_SIZE_MB)
    max_parts = 250, -- (MAX_MULTIPART_PARTS)
  },
  secrets = {"wandb_api_key", "hf_api_token"},
  -- others come unannounced (model_downloading did: together-py#181), pass as they are, and are not the end
  statuses = {pending = "pending", queued = "queued", running = "running", compressing = "finalizing",
    uploading = "finalizing", cancel_requested = "cancelling", cancelled = "cancelled", error = "failed",
    user_error = "failed", completed = "succeeded"},
  errors = {invalid_api_key = "auth", model_not_available = "not_found"},
  -- together-python utils/files.py (its last full check, 2025-12) and docs.together.ai, "Data preparation": user and
  -- assistant in turn, no other columns, weights on any message, images as base64 only. What came later: tools, roles
  -- system, user, assistant and tool, `reasoning`, a weight of the example. Empty content is taken.
  dataset = {formats = {"chat", "completion", "preference", "text"}, min_examples = 1, max_bytes = MAX_BYTES,
    bom = "strip", limits = {images = 10, image_bytes = 10 << 20},
    rules = {extra_key = "error", alternation = "error", first_message = "error", system_place = "error",
      developer_role = "error", function_role = "error", legacy = "error", parallel_tool_calls = "error",
      weight_role = "off", no_weight = "warning", empty_content = "off", reasoning = "off", sample_weight = "off",
      image_link = "error"},
    source = "together-python utils/files.py (2025-12); docs.together.ai fine-tuning/data-preparation",
    checked = "2026-11-22"},
  params = {
    create_job = "from_checkpoint:string from_hf_model:string hf_model_revision:string hf_output_repo_name:string "
      .. "training_type:string train_vision:boolean",
    estimate_cost = "validation_file:id training_type:string from_checkpoint:string",
    list_metrics = "global_step_from:integer global_step_to:integer",
    download_file = "checkpoint:string",
    deploy_model = "hardware:string! min_replicas:integer max_replicas:integer inactive_minutes:integer "
      .. "availability_zone:string",
  },
}

-- ---- files ----

local to_file = reader("a file", {
  "id", "filename", "bytes:integer", "purpose", "created_at:time", error = "validation_report.error",
  status = function(doc) -- processing_status is newer than the boolean, and counts where it is there
    local word = pick(doc, "processing_status")
    if word == "INVALID_FORMAT" or word == "FAILED" then return "error" end
    return (word == "COMPLETED" or not word and doc.Processed == true) and "processed" or "uploaded"
  end,
})

P.get_file = route {"GET /files/{file_id}", value = to_file}
P.delete_file = route {"DELETE /files/{file_id}", deleted = "file_id"}
P.list_files = route {"GET /files", value = to_file, page = {}, uses = {"purpose"},
  keep = function(doc, _, p) return not p.purpose or pick(doc, "purpose") == p.purpose end}

-- Of a file; of a job (its id is "ft-..."), the weights, all that training made or what `checkpoint` names; of a
-- checkpoint ("ft-...:STEP"), that step's weights
function P.download_file(ctx, p)
  local job_id, step = p.file_id:match "^(ft%-[^:]+):?(%d*)$"
  if not job_id then
    if p.checkpoint then return ctx.invalid("checkpoint", "belongs to a job's id, and %s is none", p.file_id) end
    return ctx:download("/files/" .. ctx.escape(p.file_id) .. "/content", p, {query = p.extra})
  end
  if step ~= "" and p.checkpoint then
    return ctx.invalid("checkpoint", "does not go with %s, which is one", p.file_id)
  end
  local query = {ft_id = job_id, checkpoint = p.checkpoint}
  if step ~= "" then
    query = {ft_id = job_id, checkpoint_step = step}
  elseif not p.checkpoint then
    local job = assert(P.get_job(ctx, {job_id = job_id}))
    query.checkpoint = pick(job.raw, "training_type.type") == "Full" and "model_output_path" or "merged"
  end
  for key, value in pairs(p.extra or {}) do query[key] = value end
  return ctx:download("/finetune/download", p, {query = query})
end

-- ---- uploads ----

local TYPES = {jsonl = true, parquet = true, csv = true}

-- What Together is told of the file
local function facts_of(ctx, p)
  local name = p.filename or p.path:match "[^/]*$"
  local kind = name:lower():match "%.(%w+)$"
  if not TYPES[kind or 0] then
    return ctx.fail("data", "cannot upload %s: Together takes .jsonl, .parquet and .csv (see `filename`)", p.path)
  end
  local facts = {file_name = name, file_type = kind, purpose = p.purpose or "fine-tune"}
  for key, value in pairs(p.extra or {}) do facts[key] = value end
  return facts
end

local preprocess = route {"POST /files/{file_id}/preprocess", value = to_file}
local send = {}

function send.redirect(ctx, p, info, facts)
  local response = assert(ctx:request {method = "POST", path = "/files", body = ctx.form(facts),
    headers = {["Content-Type"] = "application/x-www-form-urlencoded"}, accept = {302}, decode = "none",
    retry = "idempotent"}) -- at worst an entry without a file
  local id, url = pick(response.headers, "x-together-file-id", "location")
  if not id or not id:find "^[%w_-]+$" then
    return ctx.fail("decode", "the service's answer is no place for the file: X-Together-File-Id is no id")
  end
  return ctx:or_undo({method = "DELETE", path = "/files/" .. id}, function()
    assert(ctx:upload {path = p.path, info = info, url = assert(ctx:storage_url(url))})
    return preprocess(ctx, {file_id = id})
  end)
end

function send.form(ctx, p, info, facts)
  return to_file(assert(ctx:upload {path = p.path, info = info, to = "/files/upload", fields = facts,
    filename = facts.file_name, retry = "idempotent"}))
end

function send.parts(ctx, p, info, facts)
  local count, size = ctx.parts(info.size, p.part_size or ctx.config.part_size, ctx.config.max_parts)
  facts.file_size, facts.num_parts = info.size, count
  local begun = assert(ctx:post("/files/multipart/initiate", facts, {retry = "idempotent"}))
  local upload_id, file_id = pick(begun, "upload_id", "file_id")
  if not upload_id or not file_id then return ctx.fail("decode", "the service's answer is no upload in parts") end
  local ids, places, parts = {upload_id = upload_id, file_id = file_id}, {}, {}
  for i, part in ipairs(pick(begun, "parts:table") or {}) do
    part = type(part) == "table" and part or {}
    places[i] = {number = part.PartNumber, url = part.URL, headers = part.Headers}
  end
  return ctx:or_undo({method = "POST", path = "/files/multipart/abort", json = ids}, function()
    local etags = assert(ctx:upload_parts {path = p.path, info = info, count = count, size = size, places = places})
    for i, etag in ipairs(etags) do parts[i] = {part_number = i, etag = etag} end
    local done = assert(ctx:post("/files/multipart/complete", {upload_id = upload_id, file_id = file_id,
      parts = parts}, {retry = "idempotent"}))
    return to_file(pick(done, "file:table") or done)
  end)
end

function P.upload_file(ctx, p)
  if p.expires_after then return ctx.invalid("expires_after", "is not known to Together, whose files do not expire") end
  local facts, info = assert(facts_of(ctx, p)), assert(ctx.file_info(p.path, ctx.config.upload_total))
  local in_parts = p.part_size or info.size > ctx.config.upload_limit
  local file = assert(send[in_parts and "parts" or ctx.config.upload_route](ctx, p, info, facts))
  if not p.wait then return file end
  return ctx:wait_for_file(P.get_file, file.id, p.wait_timeout)
end

-- ---- create_job's parameters, and the same way back ----

local function whole(path, least, most) return {path, integer = true, least = least, most = most} end

-- What no table can say
local function finish(body, _, ctx)
  local t, method, scheduler = body.training_type, body.training_method, body.lr_scheduler
  if t and t.lora_r then
    if t.type == "Full" then return ctx.invalid("training_type", "'full' has no lora_ settings") end
    t.type, t.lora_alpha = "Lora", t.lora_alpha or 2 * t.lora_r -- together-python's default
  elseif t and t.type == "Lora" then
    body.training_type = nil -- what the service does unasked, with a rank of its own
  end
  if (method.simpo_gamma or 0) > 0 then -- SimPO is both of them
    method.dpo_reference_free = method.dpo_reference_free ~= false
    method.dpo_normalize_logratios_by_length = method.dpo_normalize_logratios_by_length ~= false
  end
  local args = scheduler and scheduler.lr_scheduler_type == "cosine" and scheduler.lr_scheduler_args
  if args then -- both are required; these are the description's defaults
    args.min_lr_ratio, args.num_cycles = args.min_lr_ratio or 0, args.num_cycles or 0.5
  end
  if body.from_hf_model or body.hf_output_repo_name then body.hf_api_token = ctx.config.hf_api_token end
  return body
end

local body_of, hyperparameters_of = finetune.mapping {
  service = "Together",
  fields = {"model", "training_file", "validation_file", "from_checkpoint", "from_hf_model", "hf_model_revision",
    "hf_output_repo_name", suffix = {"suffix", most = "suffix_limit"}, seed = whole("random_seed", 0),
    train_vision = "multimodal_params.train_vision",
    training_type = {"training_type.type", values = {lora = true, full = true},
      to = function(word) return word == "full" and "Full" or "Lora" end}},
  wandb = {api_key = "wandb_api_key", project = "wandb_project_name", name = "wandb_name", entity = "wandb_entity",
    base_url = "wandb_base_url"},
  hyperparameters = {
    n_epochs = whole("n_epochs", 1, 20), learning_rate = {"learning_rate", above = 0},
    batch_size = {"batch_size", integer = true, least = 1, values = {max = true}},
    n_checkpoints = whole("n_checkpoints", 1), n_evals = whole("n_evals", 0),
    warmup_ratio = {"warmup_ratio", least = 0, most = 1}, max_grad_norm = {"max_grad_norm", least = 0},
    weight_decay = {"weight_decay", least = 0}, packing = {"packing", type = "boolean"},
    max_seq_length = whole("max_seq_length", 1),
    lora_rank = whole("training_type.lora_r", 1), -- without it the service takes all of LoRA as it likes
    lora_alpha = {"training_type.lora_alpha", integer = true, least = 1, needs = "lora_rank"},
    lora_dropout = {"training_type.lora_dropout", least = 0, below = 1, needs = "lora_rank"},
    lora_trainable_modules = {"training_type.lora_trainable_modules", type = "string", needs = "lora_rank"},
    lr_scheduler_type = {"lr_scheduler.lr_scheduler_type", values = {linear = true, cosine = true}},
    min_lr_ratio = {"lr_scheduler.lr_scheduler_args.min_lr_ratio", least = 0, most = 1, needs = "lr_scheduler_type"},
    num_cycles = {"lr_scheduler.lr_scheduler_args.num_cycles", above = 0, needs = {lr_scheduler_type = "cosine"}},
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
  finish = finish,
}

-- ---- jobs ----

local to_event = reader("an event", { -- they have no ids
  "created_at:time", "message", "type",
  level = function(doc) -- "legacy_iwarning" is a warning, "Error" an error
    local word = (pick(doc, "level") or ""):lower()
    return word:match "error" or word:match "warn" or word:match "info"
  end,
})

-- The last error among the events of a job that failed. Where the job has none, finetune's `wait` asks list_events.
local function reason_of(doc)
  local reason
  for _, item in ipairs(P.statuses[doc.status] == "failed" and pick(doc, "events:table") or {}) do
    local event = to_event(item)
    if event and event.level == "error" then reason = {code = event.type, message = event.message} end
  end
  return reason
end

local ENDED = {succeeded = true, failed = true, cancelled = true}
local METHODS = {sft = "supervised", dpo = "dpo"}

local to_job = reader("a job", {
  "id", "status", "model", "suffix", "created_at:time", "training_file", "validation_file", error = reason_of,
  seed = "random_seed:integer", trained_tokens = "token_count:integer", hyperparameters = hyperparameters_of,
  method = function(doc)
    local name = METHODS[pick(doc, "training_method.method") or 0]
    return name and {type = name}
  end,
  -- its name is there from the start
  fine_tuned_model = function(doc) return doc.status == "completed" and pick(doc, "model_output_name") or nil end,
  finished_at = function(doc) return ENDED[P.statuses[doc.status]] and pick(doc, "updated_at:time") end,
  progress = function(doc)
    local done, all = pick(doc, "epochs_completed:number", "n_epochs:number")
    if doc.status == "completed" then return 1 end
    return done and all and done >= 0 and all > 0 and math.min(done / all, 1) or nil
  end,
})

P.get_job = route {"GET /fine-tunes/{job_id}", value = to_job}
P.list_jobs = route {"GET /fine-tunes", value = to_job, page = {}}
P.cancel_job = route {"POST /fine-tunes/{job_id}/cancel", value = to_job}
P.delete_job = route {"DELETE /fine-tunes/{job_id}", deleted = "job_id"}
P.list_events = route {"GET /fine-tunes/{job_id}/events", value = to_event, page = {newest = "created_at"}}

-- The id is what from_checkpoint and download_file take: intermediate ones are JOB:STEP, the last is the job's own
P.list_checkpoints = route {"GET /fine-tunes/{job_id}/checkpoints", page = {}, value = reader("a checkpoint", {
  "step:integer", "created_at:time", job_id = function(_, _, p) return p.job_id end,
  id = function(doc, _, p)
    local kind, step = pick(doc, "checkpoint_type", "step:integer")
    if not (kind or ""):lower():find "intermediate" then return p.job_id end
    return step and p.job_id .. ":" .. step
  end,
})}

P.list_metrics = route {"GET /fine-tunes/{job_id}/metrics", body = {"global_step_from", "global_step_to"},
  value = function(doc, ctx)
    local rows = pick(doc, "metrics:table") -- training and evaluation of a step are two of them
    if not rows then return ctx.fail("decode", "the service's answer is no list of metrics") end
    return {data = ctx.metric_rows(rows), has_more = false, raw = doc}
  end}

function P.create_job(ctx, p)
  local body = assert(body_of(ctx, p))
  assert(ctx:wait_for_files(P.get_file, p))
  return ctx:create_once(p, {request = {path = "/fine-tunes", json = body}, job = to_job, list = P.list_jobs})
end

local PRICED = {"model", "training_file", "validation_file", "n_epochs", "n_evals", "training_method", "training_type",
  "from_checkpoint"}

local to_price = reader("a price", {
  total = "estimated_total_price:number!", limit = "user_limit:number", currency = function() return "USD" end,
  tokens = "estimated_train_token_count:integer", eval_tokens = "estimated_eval_token_count:integer",
  allowed = function(doc) return doc.allowed_to_proceed ~= false end,
})

function P.estimate_cost(ctx, p)
  local body, priced = assert(body_of(ctx, p)), {}
  if not p.training_file then return ctx.invalid("training_file", "is needed: the price is of a file") end
  for _, name in ipairs(PRICED) do priced[name] = body[name] end
  for name in pairs(p.extra or {}) do priced[name] = body[name] end
  return to_price(assert(ctx:post("/fine-tunes/estimate-price", priced, {retry = "idempotent"})))
end

-- ---- models: those that can be tuned, and those that jobs have made ----

local base_models = route {"GET /fine-tunes/models/supported", page = {items = "models"},
  value = function(name) return type(name) == "string" and {id = name, raw = {id = name}} or nil end}
local to_model = reader("a model", {id = "model_name"})

local function tuned(job) return {id = job.fine_tuned_model, created_at = job.finished_at, raw = job.raw} end

function P.list_models(ctx, p)
  local jobs, models = assert(P.list_jobs(ctx, p)), assert(base_models(ctx, {}))
  for _, job in ipairs(jobs.data) do
    if job.fine_tuned_model then models.data[#models.data + 1] = tuned(job) end
  end
  return models
end

-- The job that made the model, or nil
local function maker_of(ctx, model)
  for _, job in ipairs(assert(P.list_jobs(ctx, {})).data) do
    if job.fine_tuned_model == model then return job end
  end
end

function P.get_model(ctx, p)
  if p.extra and next(p.extra) then
    return ctx.invalid("extra", "has no place: Together has no request for one model")
  end
  local job = maker_of(ctx, p.model)
  if job then return tuned(job) end
  return to_model(assert(ctx:get("/fine-tunes/models/limits", {query = {model_name = p.model}})))
end

-- Together deletes no models: a tuned one goes with the job that made it
function P.delete_model(ctx, p)
  local job = maker_of(ctx, p.model)
  if not job then return ctx.fail("not_found", "no job has made '%s' (a base model cannot be deleted)", p.model) end
  return {id = p.model, deleted = true, raw = assert(P.delete_job(ctx, {job_id = job.id, extra = p.extra})).raw}
end

-- ---- serving ----

local to_endpoint = reader("an endpoint", {"id", "model", "name", "created_at:time", status = "state"})
local endpoints = route {"GET /endpoints", value = to_endpoint, page = {}, set = {type = "dedicated", mine = true}}
local delete_endpoint = route {"DELETE /endpoints/{id}", deleted = "id"}

-- A dedicated endpoint, paid by the minute until undeploy_model; requests name it by the result's `name`. Sent once:
-- after a lost answer the endpoints that serve the model may be it.
function P.deploy_model(ctx, p)
  local least, most = p.min_replicas or 1, p.max_replicas or math.max(p.min_replicas or 1, 1)
  local body = {model = p.model, hardware = p.hardware, display_name = p.name, inactive_timeout = p.inactive_minutes,
    availability_zone = p.availability_zone, autoscaling = {min_replicas = least, max_replicas = most}}
  for key, value in pairs(p.extra or {}) do body[key] = value end
  return ctx:create_once(p, {what = "deployment", job = to_endpoint, request = {path = "/endpoints", json = body},
    list = function()
      local page, err = endpoints(ctx, {})
      local list = {}
      for _, endpoint in ipairs(page and page.data or {}) do
        if endpoint.model == body.model then list[#list + 1] = endpoint end
      end
      return page and {data = list}, err
    end})
end

-- Of a model's name: every dedicated endpoint of one's own that serves it; of an endpoint's id or name: that one
function P.undeploy_model(ctx, p)
  local last
  for _, endpoint in ipairs(assert(endpoints(ctx, {})).data) do
    if endpoint.model == p.model or endpoint.id == p.model or endpoint.name == p.model then
      assert(delete_endpoint(ctx, {id = endpoint.id, extra = p.extra}))
      last = endpoint
    end
  end
  if not last then return ctx.fail("not_found", "no dedicated endpoint serves '%s'", p.model) end
  last.status = "deleted"
  return last
end

P.sample = finetune.chat "/chat/completions" -- of a deployment's name, or a model that Together serves to all

-- ---- what Together has not ----

P.pause_job = finetune.unsupported "Together has no pause: cancel_job, then create_job {from_checkpoint = the job's id}"
P.resume_job = P.pause_job
P.validate_grader = finetune.unsupported "Together has no graders: its methods are supervised and dpo"
P.run_grader = P.validate_grader

return finetune.register(P)
