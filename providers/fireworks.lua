-- needs: FIREWORKS_API_KEY, FIREWORKS_ACCOUNT_ID
-- Fireworks AI: supervised, DPO and reinforcement fine-tuning of open models.
-- Endpoints, all under /v1/accounts/ACCOUNT: datasets, with :upload (up to 150 MB; above it :getUploadEndpoint, PUT to
-- a signed address, :validateUpload) and :getDownloadEndpoint; supervisedFineTuningJobs, dpoJobs,
-- reinforcementFineTuningJobs, with :cancel, :resume and :estimateCost; models, deployments, deployedModels.
-- An id is a whole name (accounts/A/dpoJobs/J) or its last part; what comes back is whole. A short job id is a
-- supervised job's; the short id of create_job's `model` is that of one of Fireworks' own models.
-- Sources (2026-11-22): api-evangelist/fireworks-ai, openapi/fireworks-ai-gateway-openapi.yml 4.259.0 (a9b2199);
-- fw-ai-external/python-sdk (8399c12): :upload, deployments; docs.fireworks.ai: limits of datasets, the signed PUT.
-- Unverified: that supervised and DPO jobs have :cancel (the description has it, the SDK has not: where it is not there
-- the job is deleted); that 150 MB are 150,000,000 bytes (setting form_limit); that validateUpload answers
-- FAILED_PRECONDITION until the file has arrived (documented for models); 60 characters of a suffix; that
-- jobProgress.percent is of the whole job and not of one epoch.

local finetune = require "finetune"
local names = require "finetune.names"
local pages = require "finetune.pages"

local mapping, pick, reader, route = finetune.mapping, finetune.pick, finetune.reader, finetune.route

local P = {
  name = "fireworks",
  description = "Fireworks AI",
  base_url = "https://api.fireworks.ai",
  env = {api_key = "FIREWORKS_API_KEY", account = "FIREWORKS_ACCOUNT_ID", base_url = "FIREWORKS_BASE_URL",
    wandb_api_key = "WANDB_API_KEY"},
  config = {"account:string", "wandb_api_key:string", "poll_interval:number",
    form_limit = 150000000}, -- bytes that :upload takes
  secrets = {"wandb_api_key"},
  needs = {"FIREWORKS_API_KEY", "FIREWORKS_ACCOUNT_ID"},
  statuses = {
    JOB_STATE_UNSPECIFIED = "pending", JOB_STATE_CREATING = "pending", JOB_STATE_PENDING = "queued",
    JOB_STATE_RE_QUEUEING = "queued", JOB_STATE_IDLE = "queued", JOB_STATE_VALIDATING = "validating",
    JOB_STATE_CREATING_INPUT_DATASET = "validating", JOB_STATE_RUNNING = "running", JOB_STATE_PAUSED = "paused",
    JOB_STATE_WRITING_RESULTS = "finalizing", JOB_STATE_COMPLETED = "succeeded", JOB_STATE_EARLY_STOPPED = "succeeded",
    JOB_STATE_FAILED = "failed", JOB_STATE_EXPIRED = "failed", JOB_STATE_CANCELLING = "cancelling",
    JOB_STATE_DELETING = "cancelling", JOB_STATE_DELETING_CLEANING_UP = "cancelling",
    JOB_STATE_CANCELLED = "cancelled", JOB_STATE_DELETED = "cancelled",
  },
  errors = {[4] = "timeout", [12] = "unsupported"}, -- codes of gRPC: DEADLINE_EXCEEDED, UNIMPLEMENTED
  -- docs.fireworks.ai, "Supervised fine-tuning" and "Direct Preference Optimization"
  -- ("OpenAI's data works with no changes"; a system message is the first; reasoning_content), "Vision": base64 only
  dataset = {formats = {"chat", "completion", "preference"}, min_examples = 3, max_examples = 3000000,
    rules = {system_place = "error", developer_role = "warning", function_role = "warning", legacy = "warning",
      alternation = "off", first_message = "off", reasoning = "off", image_link = "error"},
    source = "docs.fireworks.ai fine-tuning/fine-tuning-models, fine-tuning-vlm", checked = "2026-11-22"},
  params = {
    upload_file = "dataset_id:string format:string", download_file = "filename:string",
    create_job = "from_checkpoint:id output_model:string evaluator:id",
    list_jobs = "method:string filter:string order_by:string", list_files = "filter:string order_by:string",
    list_models = "account:string filter:string order_by:string", deploy_model = "deployment:id",
  },
}

local JOBS = {supervised = "supervisedFineTuningJobs", dpo = "dpoJobs", reinforcement = "reinforcementFineTuningJobs"}
local function things(...) return names.kind("accounts/{account}", ...) end
local DATASET, MODEL, EVALUATOR = things "datasets", things "models", things "evaluators"
local JOB = things(JOBS.supervised, JOBS.dpo, JOBS.reinforcement)
local SERVING, ADDON = things("deployments", "deployedModels"), things "deployedModels"

-- "acme" or "accounts/acme" -> "acme" | nil, words
local function account_of(given)
  local account = given:gsub("^accounts/", "")
  if account:find "^%w[%w-]*$" then return account end
  return nil, ("'%s' is no account: it is the part behind accounts/ in the names of your models"):format(account)
end

-- Others want the address of the inference API in FIREWORKS_BASE_URL
function P.open(config)
  local why
  config.base_url = config.base_url:gsub("/+$", ""):gsub("/inference/v1$", ""):gsub("/v1$", "")
  config.account, why = account_of(config.account or "")
  return nil, why and finetune.error {kind = "config", message = "FIREWORKS_ACCOUNT_ID, or account: " .. why}
end

local function object(value) return type(value) == "table" and value or {} end

-- Below, `assert` raises the error value of a step that fails, and what an operation raises is its error.

-- ---- what a job trains with: ours -> theirs ----

local OWN_ID = {most = 63, pattern = "^%l[%l%d-]*$", words = "lower-case letters, digits and '-', a letter first"}
local TRAIN = "trainingConfig." -- but with supervised jobs at the top
local function count(name, least) return {TRAIN .. name, integer = true, least = least} end
local ALPHA, DROPOUT = count("loraAlpha", 0), {TRAIN .. "loraDropout", least = 0, most = 1}
local MODULES = {TRAIN .. "loraTargetModules", type = "table"}
local VALIDATION = {"evaluationDataset", to = DATASET.whole}

local new_job, hyperparameters_of = mapping {service = "Fireworks",
  fields = {model = {to = MODEL.whole, required = true}, from_checkpoint = {to = MODEL.whole}, token = {},
    training_file = {"dataset", to = DATASET.whole, required = true}, suffix = {"displayName", most = 60},
    output_model = {TRAIN .. "outputModel", most = OWN_ID.most, pattern = OWN_ID.pattern, words = OWN_ID.words}},
  hyperparameters = {
    n_epochs = count("epochs", 1), learning_rate = {TRAIN .. "learningRate", above = 0},
    batch_size = count("batchSizeSamples", 1), -- their batchSize counts tokens
    lora_rank = count("loraRank", 0), -- 0: all weights
    warmup_steps = count("learningRateWarmupSteps", 0), max_seq_length = count("maxContextLength", 1),
    gradient_accumulation_steps = count("gradientAccumulationSteps", 1),
    weight_decay = {TRAIN .. "optimizerWeightDecay", least = 0},
  },
  methods = {
    supervised = {top = "trainingConfig", fields = {validation_file = VALIDATION},
      hyperparameters = {early_stop = {TRAIN .. "earlyStop", type = "boolean"}}},
    dpo = {set = {["lossConfig.method"] = "DPO"}, hyperparameters = {beta = {"lossConfig.dpo.beta", above = 0},
      lora_alpha = ALPHA, lora_dropout = DROPOUT, lora_target_modules = MODULES}},
    reinforcement = {
      fields = {validation_file = VALIDATION, evaluator = {"evaluator", to = EVALUATOR.whole, required = true}},
      hyperparameters = {kl_beta = {"lossConfig.klBeta", least = 0},
        lora_alpha = ALPHA, lora_dropout = DROPOUT, lora_target_modules = MODULES}},
  },
  wandb = {api_key = "wandbConfig.apiKey", project = "wandbConfig.project", entity = "wandbConfig.entity",
    set = {["wandbConfig.enabled"] = true}},
  refuse = {
    grader = "is not known to Fireworks: give `evaluator`, the name of one that was made there",
    evaluator = "belongs to the method reinforcement", early_stop = "belongs to the method supervised",
    validation_file = "is not taken by Fireworks with this method",
  },
}

-- ---- the service's documents in our form ----

-- The status of a thing that failed -> {code = "INVALID_ARGUMENT", message = "..."}; nil where it did not
local function failure(doc, failed)
  local code, message = pick(doc, "status.code", "status.message")
  if code == "OK" then code = nil end
  return (code or failed and message) and {code = code, message = message or code} or nil
end

local to_dataset = reader("a dataset", {
  id = DATASET.id, filename = "displayName", created_at = "createTime:time",
  purpose = function() return "fine-tune" end,
  status = function(doc)
    local state = pick(doc, "state") or "unknown"
    return state == "READY" and "processed" or failure(doc) and "error" or state:lower()
  end,
  error = function(doc) return (failure(doc) or {}).message end,
})

-- The model that a job makes has the job's id where nobody gave it a name
local function output_of(doc)
  local output = pick(doc, "trainingConfig.outputModel|outputModel") or doc.name:match "[^/]+$"
  return output:find "/" and output or doc.name:match "^accounts/[^/]+/" .. "models/" .. output
end

local to_job = reader("a job", {
  id = JOB.id, status = "state", suffix = "displayName", training_file = "dataset",
  validation_file = "evaluationDataset", created_at = "createTime:time", finished_at = "completedTime:time",
  progress = "jobProgress.percent:percent", trained_tokens = "jobProgress.inputTokens:positive",
  model = "trainingConfig.baseModel|trainingConfig.warmStartFrom|baseModel|warmStartFrom",
  fine_tuned_model = function(doc) return P.statuses[doc.state] == "succeeded" and output_of(doc) or nil end,
  hyperparameters = function(doc) return hyperparameters_of {trainingConfig = doc.trainingConfig or doc} end,
  error = function(doc) return failure(doc, P.statuses[doc.state] == "failed") end,
})

local to_estimate = reader("an estimate", {total = "estimatedCost:money!", currency = "estimatedCost.currencyCode"})

local to_model = reader("a model", {id = MODEL.id, created_at = "createTime:time",
  owned_by = function(doc) return doc.name:match "/([^/]+)" end})

local to_deployment = reader("a deployment", {id = SERVING.id, status = "state", model = "model|baseModel",
  created_at = "createTime:time"})

-- ---- what is one request ----

-- The account's own things; `account` = "fireworks": those that Fireworks has for everybody
local function list(collection, value)
  return route {"GET /v1/accounts/{account}/" .. collection, value = value, to = {account = account_of},
    query = {"filter", order_by = "orderBy"}, uses = {"method", "purpose"},
    keep = function(_, _, p) return p.purpose == nil or p.purpose == "fine-tune" end,
    page = {items = collection, optional = true, token = "pageToken", next = "nextPageToken", limit_name = "pageSize"}}
end

P.list_files = list("datasets", to_dataset)
P.get_file = route {"GET /v1/{file_id}", to = {file_id = DATASET.whole}, value = to_dataset}
P.delete_file = route {"DELETE /v1/{file_id}", to = {file_id = DATASET.whole}, deleted = "file_id"}

P.get_job = route {"GET /v1/{job_id}", to = {job_id = JOB.whole}, value = to_job}
P.resume_job = route {"POST /v1/{job_id}:resume", to = {job_id = JOB.whole}, value = to_job, empty = true}
P.delete_job = route {"DELETE /v1/{job_id}", to = {job_id = JOB.whole}, deleted = "job_id"}

P.list_models = list("models", to_model)
P.get_model = route {"GET /v1/{model}", to = {model = MODEL.whole}, value = to_model}
P.delete_model = route {"DELETE /v1/{model}", to = {model = MODEL.whole}, deleted = "model"}

local LISTS = {}
for method, collection in pairs(JOBS) do LISTS[method] = list(collection, to_job) end

-- Of one method: supervised, unless `method` says otherwise
function P.list_jobs(ctx, p)
  local jobs = LISTS[p.method or "supervised"]
  if not jobs then return ctx.invalid("method", "must be supervised, dpo or reinforcement") end
  return jobs(ctx, p)
end

local NO_SUCH_VERB = {[404] = true, [405] = true, [501] = true}
local OVER = {succeeded = true, failed = true, cancelled = true}
local cancel = route {"POST /v1/{job_id}:cancel", to = {job_id = JOB.whole}, value = object, empty = true}

-- Where there is no :cancel the job is deleted, and what comes back is the job as it was, now cancelled
function P.cancel_job(ctx, p)
  local done, err = cancel(ctx, p)
  if not done and not NO_SUCH_VERB[err.status or 0] then return nil, err end
  local job = assert(P.get_job(ctx, {job_id = p.job_id}))
  local state = P.statuses[job.status]
  if done or OVER[state] then return job end
  if not state then
    return ctx.fail("conflict", "Fireworks cannot cancel job %s, and it was not deleted instead: what its status %s "
      .. "means is not known; delete_job deletes it", job.id, tostring(job.status))
  end
  assert(P.delete_job(ctx, {job_id = job.id}))
  job.status = "JOB_STATE_CANCELLED"
  return job
end

-- ---- datasets: the dataset, the file, the wait until it is ready ----

local EXISTS, LANDING = 6, 9 -- codes of gRPC: ALREADY_EXISTS, FAILED_PRECONDITION
local LANDING_TIME = 120 -- seconds that the storage may take to show a file
local AGAIN = {retry = "idempotent"}

local new_dataset = mapping {service = "Fireworks",
  fields = {path = {}, wait = {}, wait_timeout = {}, on_progress = {}, filename = "displayName", dataset_id = OWN_ID,
    purpose = {values = {["fine-tune"] = true}},
    format = {"format", values = {chat = true, completion = true, rl = true}, to = string.upper}}}

-- An id of our own can be taken only by this very request, when its first answer was lost: so it may be repeated
local function create_dataset(ctx, id, dataset, own)
  local doc, err = ctx:post("/v1/" .. DATASET.name(ctx), {datasetId = id, dataset = dataset},
    {retry = own and "idempotent" or "never"})
  if not doc and own and err.code == EXISTS then doc = {name = DATASET.name(ctx, id)} end
  return assert(to_dataset(assert(doc, err)))
end

-- The address in {filenameToSignedUrls = {name = address}}: that of `filename`, or the only one
local function signed_url(ctx, doc, filename)
  local urls = object(object(doc).filenameToSignedUrls)
  local only = next(urls)
  return assert(ctx:storage_url(urls[filename or 0] or (only and not next(urls, only) and urls[only])))
end

-- By way of the storage, which may need a while until it shows the file. What the address was signed for must be sent
local function put_file(ctx, file)
  local size = ("%d"):format(file.info.size)
  local doc = assert(ctx:post(file.at .. ":getUploadEndpoint", {filenameToSize = {[file.filename] = size}}, AGAIN))
  file.url, file.headers = signed_url(ctx, doc, file.filename), {["Content-Type"] = "application/octet-stream"}
  if file.url:lower():find("x-goog-content-length-range", 1, true) then
    file.headers["x-goog-content-length-range"] = size .. "," .. size
  end
  assert(ctx:upload(file))
  return assert(ctx:poll(function()
    local done, err = ctx:post(file.at .. ":validateUpload", {}, AGAIN)
    if not done and err.code == LANDING then return nil, nil, err.message end
    return done, err
  end, {timeout = LANDING_TIME, what = "the file at the storage"}))
end

local function send_file(ctx, file)
  if file.info.size > ctx.config.form_limit then return put_file(ctx, file) end
  file.to, file.type, file.retry = file.at .. ":upload", "application/jsonl", "idempotent"
  return assert(ctx:upload(file))
end

-- Of an upload that fails nothing is left; but a dataset_id that is taken is not ours to delete
function P.upload_file(ctx, p)
  local new = assert(new_dataset(ctx, p))
  local sent = {path = p.path, filename = p.filename or p.path:match "[^/]*$", info = assert(ctx.file_info(p.path))}
  local id = p.dataset_id or ctx.slug((sent.filename:gsub("%.%w+$", "")), ctx.random_token())
  sent.at = "/v1/" .. DATASET.name(ctx, id)
  new.displayName, new.userUploaded = new.displayName or sent.filename, new.userUploaded or {}
  new.exampleCount = new.exampleCount or ("%d"):format(assert(ctx:count_lines(p.path)))
  local file = p.dataset_id and create_dataset(ctx, id, new)
  file = assert(ctx:or_undo({method = "DELETE", path = sent.at}, function()
    file = file or create_dataset(ctx, id, new, true)
    return send_file(ctx, sent) and file
  end))
  if p.wait then file = assert(ctx:wait_for_file(P.get_file, file.id, p.wait_timeout)) end
  file.bytes, file.filename = sent.info.size, sent.filename
  return file
end

-- filename: which one, where the dataset has several
P.download_file = route {"GET /v1/{file_id}:getDownloadEndpoint", to = {file_id = DATASET.whole},
  uses = {"filename", "output", "max_bytes", "on_progress"},
  value = function(doc, ctx, p) return ctx:download(signed_url(ctx, doc, p.filename), p) end}

-- ---- create_job ----

-- With what training begins: the service takes a baseModel or warmStartFrom. A model of the account's own is an addon,
-- which is trained on, or a base model: it says which
local function put_beginning(ctx, p, config)
  local base = p.model:find "/" and p.model or "accounts/fireworks/models/" .. p.model
  local from = p.from_checkpoint and MODEL.whole(p.from_checkpoint, p, ctx)
  local own = from or MODEL.name(ctx, base:match "[^/]*$") == base and base
  local doc = own and assert(P.get_model(ctx, {model = own})).raw or {kind = "BASE"}
  local made_from, kind = pick(doc, "peftDetails.baseModel", "kind")
  if from and from ~= base and made_from and made_from ~= base then
    assert(ctx.invalid("from_checkpoint", "%s was made from %s, not from %s", from, made_from, base))
  end
  config[(from or not kind or kind:find "ADDON") and "warmStartFrom" or "baseModel"] = own or base
end

-- The body of a job with that id; `extra`, which is in it already, has the last word
local function job_body(ctx, p, method, id)
  local body = assert(new_job(ctx, p))
  local config = method == "supervised" and body or object(body.trainingConfig)
  if config ~= body then body.trainingConfig = config end
  if p.suffix and id then config.outputModel = config.outputModel or ctx.slug(p.suffix, id) end
  if not config.baseModel and not config.warmStartFrom then put_beginning(ctx, p, config) end
  return body
end

-- Sent at most once. The job's id is ours to choose, so after a lost answer, or where the same token has taken the id
-- before, the job is looked for by it
function P.create_job(ctx, p)
  local method = type(p.method) == "table" and p.method.type or p.method or "supervised"
  local token = p.token or ctx.slug("ft", ctx.random_token())
  local id = #token <= OWN_ID.most and token:match(OWN_ID.pattern) or ctx.slug(token, token)
  local body, collection = job_body(ctx, p, method, id), JOBS[method]
  assert(ctx:wait_for_files(P.get_file, p))
  local path = "/v1/" .. JOB.name(ctx, nil, collection)
  return ctx:create_once(p, {token = token, job = to_job,
    request = {path = path, query = {[collection:sub(1, -2) .. "Id"] = id}, json = body},
    find = function()
      local job = to_job((ctx:get(path .. "/" .. id)))
      return job and job.training_file == body.dataset and job or nil
    end})
end

-- What supervised training would cost: there is no such question for the other methods
function P.estimate_cost(ctx, p)
  local method = type(p.method) == "table" and p.method.type or p.method or "supervised"
  if method ~= "supervised" then return ctx.invalid("method", "must be supervised: the service prices no other") end
  local body = job_body(ctx, p, "supervised")
  return to_estimate(assert(ctx:post(("/v1/%s:estimateCost"):format(JOB.name(ctx)), body, AGAIN)))
end

-- ---- serving ----

local list_deployments = list("deployments", to_deployment)
local new_deployment = mapping {service = "Fireworks", fields = {name = {}, model = {"baseModel", to = MODEL.whole}}}
local load_addon = route {"POST /v1/accounts/{account}/deployedModels", value = to_deployment, retry = "never",
  to = {model = MODEL.whole, deployment = SERVING.whole}, body = {"model", "deployment", name = "displayName"}}
local take_off = route {"DELETE /v1/{model}", to = {model = SERVING.whole}, deleted = "model"}

-- On a deployment of its own, paid by the hour: it is sent once, and its id is ours, so that after a lost answer it can
-- be found. Or, with `deployment`, as an addon on one of its base model
function P.deploy_model(ctx, p)
  if p.deployment then return load_addon(ctx, p) end
  local body, id = assert(new_deployment(ctx, p)), p.name or ctx.slug("ft", ctx.random_token())
  local path = "/v1/" .. SERVING.name(ctx)
  local made, err = ctx:create_once(p, {what = "deployment", job = to_deployment, list = list_deployments,
    request = {path = path, query = {deploymentId = id}, json = body},
    find = function()
      local found = to_deployment((ctx:get(path .. "/" .. ctx.escape(id))))
      return found and found.model == body.baseModel and found or nil
    end})
  if err and err.cause then
    err.message = ("%s; if it was made all the same, it is %s/%s"):format(err.message, path, id)
  end
  return made, err
end

local PAGES = 50 -- of 200 deployments, that are looked through

-- The names of what serves the model: as an addon, or as a deployment's own model
local function served_by(ctx, model)
  local found = {}
  for _, ref in ipairs(object(model.raw.deployedModelRefs)) do found[#found + 1] = ADDON.id(object(ref)) end
  local n = 0
  local function fetch(after)
    n = n + 1
    if n > PAGES then return ctx.fail("decode", "the list of deployments does not end: %d pages were read", PAGES) end
    return list_deployments(ctx, {after = after, limit = 200})
  end
  for deployment in pages.items("undeploy_model", fetch) do
    if deployment.model == model.id then found[#found + 1] = deployment.id end
  end
  return found
end

-- model: the model, or what deploy_model gave
function P.undeploy_model(ctx, p)
  local model = SERVING.has(p.model) and {id = p.model} or assert(P.get_model(ctx, {model = p.model}))
  local found = model.raw and served_by(ctx, model) or {model.id}
  if not found[1] then return ctx.fail("not_found", "%s is not deployed", p.model) end
  for i, name in ipairs(found) do
    local ok, err = take_off(ctx, {model = name, extra = p.extra})
    if not ok then
      local off = table.concat(found, ", ", 1, i - 1)
      err.message = ("%s could not be taken off: %s (taken off: %s)"):format(name, err.message, i > 1 and off or "none")
      return nil, err
    end
  end
  return {id = model.id, undeployed = finetune.array(found)}
end

P.sample = finetune.chat "/inference/v1/chat/completions" -- of a model that is deployed

-- ---- what the service does not have (sources: spec/contract/fireworks.lua) ----

for op, why in pairs {
  pause_job = "Fireworks pauses a job only by itself: resume_job goes on, cancel_job ends it",
  list_events = "Fireworks lists no events; follow(job) tells what changes in the job's status, progress and tokens",
  list_checkpoints = "Fireworks shows none; create_job {model = job.fine_tuned_model, ...} trains a finished model on",
  list_metrics = "the form of Fireworks' metrics is not documented; their address is job.raw.metricsFileSignedUrl",
  validate_grader = "Fireworks has evaluators in place of graders: they are made and tried there",
  run_grader = "Fireworks has evaluators in place of graders: they are made and tried there",
} do P[op] = finetune.unsupported(why) end

return finetune.register(P)
