-- needs: FIREWORKS_API_KEY, FIREWORKS_ACCOUNT_ID
-- Fireworks AI: supervised, DPO and reinforcement fine-tuning of open models.
-- Endpoints, all under /v1/accounts/ACCOUNT: datasets, with :upload (up to 150 MB; above it :getUploadEndpoint, PUT to
-- a signed address, :validateUpload) and :getDownloadEndpoint; supervisedFineTuningJobs, dpoJobs,
-- reinforcementFineTuningJobs, with :cancel, :resume and :estimateCost; models, deployments, deployedModels.
-- An id is a whole name (accounts/A/dpoJobs/J) or its last part; what comes back is whole. A short job id is a
-- supervised job's; the short id of create_job's `model` is that of one of Fireworks' own models.
-- Sources (read 2026-11-22): api-evangelist/fireworks-ai, openapi/fireworks-ai-gateway-openapi.yml 4.259.0 at a9b2199
-- (2026-06-27); fw-ai-external/python-sdk at 8399c12 (2026-07-21): :upload, deployments; docs.fireworks.ai: the limits
-- of datasets, the headers of the signed PUT.
-- Unverified: that supervised and DPO jobs have :cancel (the description has it, the SDK has not: where it is not there
-- the job is deleted); that 150 MB are 150,000,000 bytes (setting form_limit); that validateUpload answers
-- FAILED_PRECONDITION until the file has arrived (documented for models); 60 characters of a suffix; that an id which
-- is taken is refused with 409; that jobProgress.percent is of the whole job and not of one epoch.

local finetune = require "finetune"

local P = {
  name = "fireworks",
  description = "Fireworks AI",
  base_url = "https://api.fireworks.ai",
  env = {api_key = "FIREWORKS_API_KEY", account = "FIREWORKS_ACCOUNT_ID", base_url = "FIREWORKS_BASE_URL",
    wandb_api_key = "WANDB_API_KEY"},
  config = {"account:string", "wandb_api_key:string", "form_limit:integer", "poll_interval:number"},
  secrets = {"wandb_api_key"},
  needs = {"FIREWORKS_API_KEY", "FIREWORKS_ACCOUNT_ID"},
  statuses = {
    JOB_STATE_UNSPECIFIED = "pending", JOB_STATE_CREATING = "pending", JOB_STATE_PENDING = "queued",
    JOB_STATE_VALIDATING = "validating", JOB_STATE_CREATING_INPUT_DATASET = "validating",
    JOB_STATE_RE_QUEUEING = "queued", JOB_STATE_IDLE = "queued", JOB_STATE_RUNNING = "running",
    JOB_STATE_PAUSED = "paused", JOB_STATE_WRITING_RESULTS = "finalizing", JOB_STATE_COMPLETED = "succeeded",
    JOB_STATE_EARLY_STOPPED = "succeeded", JOB_STATE_FAILED = "failed", JOB_STATE_EXPIRED = "failed",
    JOB_STATE_CANCELLING = "cancelling", JOB_STATE_CANCELLED = "cancelled", JOB_STATE_DELETING = "cancelling",
    JOB_STATE_DELETING_CLEANING_UP = "cancelling", JOB_STATE_DELETED = "cancelled",
  },
  -- docs.fireworks.ai, "Supervised fine-tuning" and "Direct Preference Optimization"
  dataset = {formats = {"chat", "completion", "preference"}, min_examples = 3, max_examples = 3000000},
  params = {
    upload_file = "dataset_id:string format:string", download_file = "filename:string",
    create_job = "from_checkpoint:id output_model:string evaluator:id",
    list_jobs = "method:string filter:string order_by:string", list_files = "filter:string order_by:string",
    list_models = "account:string filter:string order_by:string", deploy_model = "deployment:id",
  },
}

local JOBS = {supervised = "supervisedFineTuningJobs", dpo = "dpoJobs", reinforcement = "reinforcementFineTuningJobs"}
local IS_JOBS = {}
for _, collection in pairs(JOBS) do IS_JOBS[collection] = true end

local FORM_LIMIT = 150000000 -- bytes that :upload takes
local BLOCK = 1 << 20 -- bytes that are looked at in one go
local FORMATS = {chat = "CHAT", completion = "COMPLETION", rl = "RL"}
local EXISTS, LANDING = 6, 9 -- codes of gRPC: ALREADY_EXISTS, FAILED_PRECONDITION
local LANDING_TIME = 120 -- seconds that the storage may take to show a file
local PAGES = 50 -- of deployments that undeploy_model looks through, 200 on each

-- ---- errors: an error value that is raised is the operation's ----

local function fail(kind, format, ...)
  error(finetune.error {kind = kind, message = format:format(...)}, 0)
end

local function invalid(param, format, ...)
  error(finetune.error {kind = "invalid", param = param, message = param .. " " .. format:format(...)}, 0)
end

local function must(value, err)
  if value == nil then error(err, 0) end
  return value, err
end

local function malformed(ctx, what) return ctx.fail("decode", "the service's answer is not %s", what) end

-- ---- names and paths ----

-- Others want the address of the inference API in FIREWORKS_BASE_URL
function P.open(config)
  config.base_url = config.base_url:gsub("/+$", ""):gsub("/inference/v1$", ""):gsub("/v1$", "")
end

local function text(value) return type(value) == "string" and value ~= "" and value or nil end

local function object(value) return type(value) == "table" and value or {} end

-- 64-bit numbers come as text
local function whole(value) return math.tointeger(tonumber(value)) end

-- "accounts/A/models/M" -> "A", "models", "M"
local function parts(name) return name:match "^accounts/([^/]+)/([^/]+)/([^/]+)$" end

-- The account that is given, or the key's
local function account_of(ctx, given)
  local account = (given or ctx.config.account or ""):gsub("^accounts/", "")
  if account:find "^%w[%w-]*$" then return account end
  fail("config", "%s: set FIREWORKS_ACCOUNT_ID, or give account to create_provider; it is the part behind accounts/ in "
    .. "the names of your models", account == "" and "there is no account" or ("'%s' is no account"):format(account))
end

-- An id, short or whole -> the whole name
local function name_of(ctx, collection, id, account)
  local owner, kind, last = parts(id)
  if (kind or id:find("/", 1, true)) and kind ~= collection or (last or id):find "^%.*$" or owner == ".." then
    fail("invalid", "'%s' is no id in %s: it is accounts/ACCOUNT/%s/ID or ID alone", id, collection, collection)
  end
  return kind and id or ("accounts/%s/%s/%s"):format(account or account_of(ctx), collection, id)
end

local function job_name(ctx, id)
  local _, collection = parts(id)
  return name_of(ctx, IS_JOBS[collection] and collection or JOBS.supervised, id)
end

local function path_of(ctx, name, verb) return "/v1/" .. name:gsub("[^/]+", ctx.escape) .. (verb or "") end

-- The path of a collection of the account
local function all_of(ctx, collection, account)
  return path_of(ctx, ("accounts/%s/%s"):format(account_of(ctx, account), collection))
end

local function get(ctx, p, name, verb) return must(ctx:get(path_of(ctx, name, verb), {query = p.extra})) end

local function post(ctx, p, name, verb)
  return must(ctx:post(path_of(ctx, name, verb), p.extra or {}, {retry = "idempotent"}))
end

local function delete(ctx, p, name)
  return {id = name, deleted = true, raw = object(must(ctx:delete(path_of(ctx, name), {query = p.extra})))}
end

-- A text as an id: lower-case letters, digits and '-', a letter first
local function slug(words, most)
  local id = words:lower():gsub("[^a-z0-9]+", "-"):gsub("^%-", "")
  if not id:find "^%a" then id = "d-" .. id end
  return (id:sub(1, most):gsub("%-$", ""))
end

local function is_id(id) return #id <= 63 and id:find "^%l[%l%d-]*$" ~= nil end

local function check_id(param, id)
  if id and not is_id(id) then
    invalid(param, "must be at most 63 lower-case letters, digits and '-', a letter first; '%s' is not", id)
  end
end

local function random_id(ctx) return "ft-" .. ctx.random_token():sub(1, 16) end

-- ---- what a job trains with: ours -> theirs ----

local RATES = {
  n_epochs = {"epochs", integer = true, least = 1}, learning_rate = {"learningRate", above = 0},
  batch_size = {"batchSizeSamples", integer = true, least = 1}, -- their batchSize counts tokens
  lora_rank = {"loraRank", integer = true, least = 0}, -- 0: all weights
  warmup_steps = {"learningRateWarmupSteps", integer = true, least = 0},
  gradient_accumulation_steps = {"gradientAccumulationSteps", integer = true, least = 1},
  max_seq_length = {"maxContextLength", integer = true, least = 1},
  weight_decay = {"optimizerWeightDecay", least = 0},
}
local LORA = {lora_alpha = {"loraAlpha", integer = true, least = 0},
  lora_dropout = {"loraDropout", least = 0, most = 1}, lora_target_modules = {"loraTargetModules", type = "table"}}
local MORE = {supervised = {early_stop = {"earlyStop", type = "boolean"}}, dpo = LORA, reinforcement = LORA}

local METHODS = {supervised = {},
  dpo = {set = {["lossConfig.method"] = "DPO"}, hyperparameters = {beta = {"lossConfig.dpo.beta", above = 0}}},
  reinforcement = {hyperparameters = {kl_beta = {"lossConfig.klBeta", least = 0}}}}

local FIELDS = {supervised = {validation_file = "evaluationDataset"}, dpo = {},
  reinforcement = {validation_file = "evaluationDataset", evaluator = "evaluator"}}

-- The body of a job of that method, but for the model that it begins with
local function mapping_of(method)
  local place, rates = method == "supervised" and "" or "trainingConfig.", {}
  for _, list in ipairs {RATES, MORE[method]} do
    for name, target in pairs(list) do
      rates[name] = {place .. target[1]}
      for check, value in pairs(target) do rates[name][check] = rates[name][check] or value end
    end
  end
  local fields = {model = {}, from_checkpoint = {}, token = {}, training_file = "dataset",
    integrations = "wandbConfig", output_model = place .. "outputModel", suffix = {"displayName", most = 60}}
  for name, target in pairs(FIELDS[method]) do fields[name] = target end
  local spec = {service = "Fireworks", fields = fields, methods = METHODS, hyperparameters = rates}
  spec.refuse = {
    seed = "is not known to Fireworks", metadata = "is not known to Fireworks; its lists show the suffix",
    grader = "is not known to Fireworks: give `evaluator`, the name of one that was made there",
    evaluator = "belongs to the method reinforcement", early_stop = "belongs to the method supervised",
    validation_file = "is not taken by Fireworks with this method",
    warmup_ratio = "is not known to Fireworks, which takes warmup_steps",
  }
  return finetune.mapping(spec)
end

local BODY = {}
for method in pairs(METHODS) do BODY[method] = mapping_of(method) end

-- ---- the service's objects in our form: each -> the object, or nil and an error ----

-- The status of a thing that failed: {code = "INVALID_ARGUMENT", message = "..."}; nil where it did not
local function failure(status, failed)
  local code, message = text(status.code), text(status.message)
  if code == "OK" then code = nil end
  if not code and not (failed and message) then return nil end
  return {code = code, message = message or code}
end

-- The name's account, collection and last part; nothing where the answer has no such name
local function identity(doc) return parts(text(object(doc).name) or "") end

local function to_file(ctx, doc)
  if not identity(doc) then return malformed(ctx, "a dataset") end
  local failed = failure(object(doc.status))
  local state = doc.state == "READY" and "processed" or failed and "error" or (text(doc.state) or "unknown"):lower()
  return {id = doc.name, filename = text(doc.displayName), purpose = "fine-tune", status = state,
    created_at = ctx.time(doc.createTime), error = failed and failed.message, raw = doc}
end

local function to_job(ctx, doc)
  local account, collection, id = identity(doc)
  if not IS_JOBS[collection] then return malformed(ctx, "a job") end
  local config = type(doc.trainingConfig) == "table" and doc.trainingConfig or doc
  local progress, status, settings = object(doc.jobProgress), P.statuses[doc.state], {}
  for _, list in ipairs {RATES, MORE.supervised, LORA} do
    for ours, target in pairs(list) do
      local value = config[target[1]]
      if type(value) == (target.type or "number") then settings[ours] = value end
    end
  end
  local percent, tokens = tonumber(progress.percent), whole(progress.inputTokens)
  local output = text(config.outputModel) or id -- as the service names it
  if not parts(output) then output = ("accounts/%s/models/%s"):format(account, output) end
  return {id = doc.name, status = doc.state, model = text(config.baseModel) or text(config.warmStartFrom),
    fine_tuned_model = status == "succeeded" and output or nil,
    created_at = ctx.time(doc.createTime), finished_at = ctx.time(doc.completedTime),
    training_file = text(doc.dataset), validation_file = text(doc.evaluationDataset), suffix = text(doc.displayName),
    hyperparameters = settings, trained_tokens = tokens and tokens > 0 and tokens or nil, raw = doc,
    progress = percent and math.max(0, math.min(1, percent / 100)),
    error = failure(object(doc.status), status == "failed")}
end

local function to_model(ctx, doc)
  local account = identity(doc)
  if not account then return malformed(ctx, "a model") end
  return {id = doc.name, created_at = ctx.time(doc.createTime), owned_by = account, raw = doc}
end

local function to_deployment(ctx, doc)
  if not identity(doc) then return malformed(ctx, "a deployment") end
  return {id = doc.name, status = text(doc.state), model = text(doc.model) or text(doc.baseModel),
    created_at = ctx.time(doc.createTime), raw = doc}
end

local function page(ctx, p, collection, convert)
  local query = {filter = p.filter, orderBy = p.order_by}
  for name, value in pairs(p.extra or {}) do query[name] = value end
  return ctx:paginate {path = all_of(ctx, collection, p.account), query = query, items = collection, optional = true,
    map = function(doc) return (convert(ctx, doc)) end, token = "pageToken", next = "nextPageToken",
    limit_name = "pageSize", after = p.after, limit = p.limit}
end

-- ---- datasets ----

-- The lines of a block that are not empty, and whether the last one goes on; `open`: so does the first one
local function lines_in(block, open)
  local n, from = 0, 1
  local at = block:find("\n", 1, true)
  while at do
    local blank = at == from or at == from + 1 and block:byte(from) == 13
    if open or not blank then n = n + 1 end
    open, from = false, at + 1
    at = block:find("\n", from, true)
  end
  return n, open or from <= #block
end

-- The number of examples in the file; others run between the blocks
local function count_examples(ctx, path)
  local file <close>, why = io.open(path, "rb")
  if not file then fail("data", "cannot upload: %s", why) end
  local total, open = 0, false
  for block in function() return file:read(BLOCK) end do
    local n
    n, open = lines_in(block, open)
    total = total + n
    ctx:sleep(0)
  end
  return total + (open and 1 or 0)
end

local FOREIGN = {part_size = "is not known to Fireworks, which takes a file in one piece",
  expires_after = "is not known to Fireworks: a dataset stays until delete_file",
  order = "is not known to Fireworks: give order_by, such as \"displayName desc\"",
  metadata = "is not known to Fireworks"}

-- What datasets and lists do not have is refused before anything is sent
local function check_params(p)
  for name, why in pairs(FOREIGN) do
    if p[name] ~= nil then invalid(name, "%s", why) end
  end
  if p.purpose and p.purpose ~= "fine-tune" then invalid("purpose", "is fine-tune with every dataset of Fireworks") end
  if p.format and not FORMATS[p.format:lower()] then invalid("format", "must be chat, completion or rl") end
  check_id("dataset_id", p.dataset_id)
end

-- The address in {filenameToSignedUrls = {name = address}}: that of `filename`, or the only one
local function signed_url(ctx, doc, filename)
  local urls = object(object(doc).filenameToSignedUrls)
  local only = next(urls)
  return must(ctx:storage_url(urls[filename or 0] or (only and not next(urls, only) and urls[only])))
end

-- The storage may need a while until it shows the file
local function validate_upload(ctx, name)
  local last
  local step = ctx.config.poll_interval
  local doc, err = ctx:poll(function()
    local answer, why = ctx:post(path_of(ctx, name, ":validateUpload"), {}, {retry = "idempotent"})
    last = why
    if answer or why.code ~= LANDING then return answer, why end
  end, {timeout = LANDING_TIME, interval = step, max_interval = step})
  return must(doc, type(last) == "table" and last.kind and last or err)
end

-- By way of the storage. What the address was signed for must be sent as it was signed
local function put_file(ctx, p, name, filename, info)
  local size = ("%d"):format(info.size)
  local doc = must(ctx:post(path_of(ctx, name, ":getUploadEndpoint"), {filenameToSize = {[filename] = size}},
    {retry = "idempotent"}))
  local url = signed_url(ctx, doc, filename)
  local headers = {["Content-Type"] = "application/octet-stream"}
  if url:lower():find("x-goog-content-length-range", 1, true) then
    headers["x-goog-content-length-range"] = size .. "," .. size
  end
  must(ctx:upload {path = p.path, url = url, headers = headers, info = info})
  validate_upload(ctx, name)
end

-- Makes the dataset -> its document. An id that we made up can be taken only by this very request, whose first answer
-- was lost: so the request may be repeated
local function new_dataset(ctx, p, name, dataset)
  local own = not p.dataset_id
  local doc, response = must(ctx:post(all_of(ctx, "datasets"), {datasetId = select(3, parts(name)), dataset = dataset},
    {retry = own and "idempotent" or "never", accept = own and {409} or nil}))
  if response.status == 409 then
    if object(doc).code == EXISTS then return {name = name} end
    fail("conflict", "the dataset was not made: %s", text(object(doc).message) or "the service answered 409")
  end
  must(to_file(ctx, doc))
  return doc
end

local function send_file(ctx, p, name, filename, info)
  if info.size > (ctx.config.form_limit or FORM_LIMIT) then return put_file(ctx, p, name, filename, info) end
  must(ctx:upload {path = p.path, to = path_of(ctx, name, ":upload"), filename = filename, info = info,
    type = "application/jsonl", retry = "idempotent"})
end

-- Three steps: the dataset, the file, the wait until it is ready. Of an upload that fails nothing is left
function P.upload_file(ctx, p)
  check_params(p)
  local info = must(ctx.file_info(p.path))
  local filename = p.filename or p.path:match "[^/]*$"
  local id = p.dataset_id or slug(filename:gsub("%.%w+$", ""), 40) .. "-" .. ctx.random_token():sub(1, 12)
  local name = name_of(ctx, "datasets", id)
  local dataset = {displayName = filename, exampleCount = ("%d"):format(count_examples(ctx, p.path)),
    userUploaded = {}, format = p.format and FORMATS[p.format:lower()]}
  for key, value in pairs(p.extra or {}) do dataset[key] = value end
  local doc = p.dataset_id and new_dataset(ctx, p, name, dataset) -- if it is refused it is not ours to delete
  doc = must(ctx:or_undo({method = "DELETE", path = path_of(ctx, name)}, function()
    local ok, made = pcall(function()
      local made = doc or new_dataset(ctx, p, name, dataset)
      send_file(ctx, p, name, filename, info)
      return made
    end)
    return ok and made or nil, made
  end))
  local file = p.wait and must(ctx:wait_for_file(P.get_file, name, p.wait_timeout)) or must(to_file(ctx, doc))
  file.bytes, file.filename = info.size, filename
  return file
end

function P.get_file(ctx, p) return to_file(ctx, get(ctx, p, name_of(ctx, "datasets", p.file_id))) end

function P.delete_file(ctx, p) return delete(ctx, p, name_of(ctx, "datasets", p.file_id)) end

function P.list_files(ctx, p)
  check_params(p)
  return page(ctx, p, "datasets", to_file)
end

-- filename: which one, where the dataset has several
function P.download_file(ctx, p)
  local doc = get(ctx, p, name_of(ctx, "datasets", p.file_id), ":getDownloadEndpoint")
  local response = must(ctx:request {url = signed_url(ctx, doc, p.filename), auth = false, output = p.output,
    decode = p.output and "none" or "text", max_bytes = p.max_bytes})
  return p.output and {path = p.output, bytes = response.bytes} or response.body or ""
end

-- ---- create_job ----

-- integrations = {{type = "wandb", wandb = {project, entity}}} -> their wandbConfig
local function wandb_of(ctx, list)
  local first = object(list[1])
  if #list ~= 1 or first.type ~= "wandb" then invalid("integrations", "can be one for Fireworks, wandb") end
  local config = {enabled = true, apiKey = ctx.config.wandb_api_key}
  if not config.apiKey then
    invalid("integrations", "of wandb need your key, for Fireworks: set WANDB_API_KEY or wandb_api_key")
  end
  for name, value in pairs(object(first.wandb)) do
    if name ~= "project" and name ~= "entity" then
      invalid("integrations", "have wandb.%s, which Fireworks does not know", tostring(name))
    end
    config[name] = value
  end
  return config
end

-- FNV-1a: different texts have different endings
local function digest(words)
  local h = 0xcbf29ce484222325
  for i = 1, #words do h = (h ~ words:byte(i)) * 0x100000001b3 end
  return ("%016x"):format(h)
end

-- create_job's parameters with whole names
local function named(ctx, p, id)
  local q = {}
  for key, value in pairs(p) do q[key] = value end
  for key, collection in pairs {training_file = "datasets", validation_file = "datasets", evaluator = "evaluators"} do
    q[key] = p[key] and name_of(ctx, collection, p[key])
  end
  check_id("output_model", p.output_model)
  if p.suffix and id then q.output_model = p.output_model or slug(p.suffix, 40) .. "-" .. digest(id) end
  q.integrations = p.integrations and wandb_of(ctx, p.integrations)
  return q
end

-- With what training begins -> {baseModel | warmStartFrom = name}: the service takes one of them. A model of the
-- account's own is an addon, which is trained on, or a base model: it says which
local function beginning(ctx, p)
  local model, from = name_of(ctx, "models", p.model, "fireworks"), nil
  if p.from_checkpoint then from = name_of(ctx, "models", p.from_checkpoint) end
  if not from and parts(model) ~= account_of(ctx) then return {baseModel = model} end
  local doc = object(get(ctx, {}, from or model))
  local base, kind = text(object(doc.peftDetails).baseModel), text(doc.kind)
  if from and from ~= model and base and base ~= model then
    invalid("from_checkpoint", "%s was made from %s, not from %s", from, base, model)
  end
  if from or not kind or kind:find "ADDON" then return {warmStartFrom = from or model} end
  return {baseModel = model}
end

local function method_of(p)
  local method = type(p.method) == "table" and p.method.type or p.method
  return METHODS[method] and method or "supervised" -- one that is unknown is refused by the mapping
end

local function job_body(ctx, p, method, id)
  local body = must(BODY[method](ctx, named(ctx, p, id)))
  if method == "reinforcement" and not body.evaluator then
    invalid("evaluator", "is missing: reinforcement needs the name of one that was made at Fireworks")
  end
  local start, config = beginning(ctx, p), body
  if method ~= "supervised" then
    config = object(body.trainingConfig)
    body.trainingConfig = config
  end
  if not config.baseModel and not config.warmStartFrom then -- `extra` has the last word
    config.baseModel, config.warmStartFrom = start.baseModel, start.warmStartFrom
  end
  return body
end

-- Sent at most once. The job's id is ours to choose, so after a lost answer, or where the same token has taken the id
-- before, the job is looked for by it
function P.create_job(ctx, p)
  local method, token = method_of(p), p.token
  local id = not token and random_id(ctx) or is_id(token) and token or slug(token, 40) .. "-" .. digest(token)
  local body = job_body(ctx, p, method, id)
  must(ctx:wait_for_files(P.get_file, p))
  local path, parameter = all_of(ctx, JOBS[method]), JOBS[method]:sub(1, -2) .. "Id"
  return ctx:create_once(p, {token = token or id, request = {path = path, query = {[parameter] = id}, json = body},
    job = function(doc) return to_job(ctx, doc) end,
    find = function()
      local job = to_job(ctx, (ctx:get(path .. "/" .. ctx.escape(id))))
      return job and job.training_file == body.dataset and job or nil
    end})
end

-- What supervised training would cost
function P.estimate_cost(ctx, p)
  if p.path or not p.training_file or not p.model then
    invalid(p.path and "path" or "training_file", "cannot be used so: give model and training_file, which was uploaded")
  end
  local body = job_body(ctx, p, "supervised")
  local doc = must(ctx:post(all_of(ctx, JOBS.supervised) .. ":estimateCost", body, {retry = "idempotent"}))
  local money = object(object(doc).estimatedCost)
  local units, nanos = whole(money.units or 0), whole(money.nanos or 0)
  if not units or not nanos or not next(money) then return malformed(ctx, "an estimate") end
  return {total = units + nanos / 1e9, currency = text(money.currencyCode), raw = doc}
end

-- ---- jobs ----

function P.get_job(ctx, p) return to_job(ctx, get(ctx, p, job_name(ctx, p.job_id))) end

-- Of one method: supervised, unless `method` says otherwise
function P.list_jobs(ctx, p)
  check_params(p)
  local collection = JOBS[p.method or "supervised"]
  if not collection then invalid("method", "must be supervised, dpo or reinforcement") end
  return page(ctx, p, collection, to_job)
end

local NO_SUCH_VERB = {[404] = true, [405] = true, [501] = true}
local OVER = {succeeded = true, failed = true, cancelled = true}

-- Where there is no :cancel the job is deleted: what comes back is then the job as it was, now cancelled, and get_job
-- finds it no more
function P.cancel_job(ctx, p)
  local name = job_name(ctx, p.job_id)
  local done, err = ctx:post(path_of(ctx, name, ":cancel"), p.extra or {}, {retry = "idempotent"})
  if not done and not NO_SUCH_VERB[err.status or 0] then return nil, err end
  local job = must(to_job(ctx, get(ctx, {}, name)))
  if done or OVER[P.statuses[job.status]] then return job end
  delete(ctx, {}, name)
  job.status = "JOB_STATE_CANCELLED"
  return job
end

function P.resume_job(ctx, p) return to_job(ctx, post(ctx, p, job_name(ctx, p.job_id), ":resume")) end

function P.delete_job(ctx, p) return delete(ctx, p, job_name(ctx, p.job_id)) end

-- ---- models ----

-- account = "fireworks": the models that Fireworks has for everybody
function P.list_models(ctx, p) return page(ctx, p, "models", to_model) end

function P.get_model(ctx, p) return to_model(ctx, get(ctx, p, name_of(ctx, "models", p.model))) end

function P.delete_model(ctx, p) return delete(ctx, p, name_of(ctx, "models", p.model)) end

-- A deployment is paid by the hour: it is sent once, and its id is ours, so that after a lost answer it can be found
local function new_deployment(ctx, id, body)
  check_id("name", id)
  local path = all_of(ctx, "deployments")
  local doc, err = ctx:post(path, body, {query = {deploymentId = id}, retry = "never"})
  if doc or err.sent == false or (err.status or 500) < 500 then return must(doc, err) end
  doc = ctx:get(path .. "/" .. id)
  if not doc then err.message = ("%s; if it was made all the same, it is %s"):format(err.message, path .. "/" .. id) end
  return must(doc, err)
end

-- On a deployment of its own; or, with `deployment`, as an addon on one of its base model
function P.deploy_model(ctx, p)
  local body = {baseModel = name_of(ctx, "models", p.model)}
  if p.deployment then
    body = {model = body.baseModel, deployment = name_of(ctx, "deployments", p.deployment), displayName = p.name}
  end
  for key, value in pairs(p.extra or {}) do body[key] = value end
  if not p.deployment then return to_deployment(ctx, new_deployment(ctx, p.name or random_id(ctx), body)) end
  return to_deployment(ctx, must(ctx:post(all_of(ctx, "deployedModels"), body, {retry = "never"})))
end

-- The names of what serves the model: as an addon, or as a deployment's own model
local function served_by(ctx, name)
  local names = {}
  local function add(id, wanted)
    local _, collection = parts(id or "")
    if collection == wanted then names[#names + 1] = id end
  end
  local model, after = must(to_model(ctx, get(ctx, {}, name))), nil
  for _, ref in ipairs(object(model.raw.deployedModelRefs)) do add(text(object(ref).name), "deployedModels") end
  for _ = 1, PAGES do
    local list = must(page(ctx, {after = after, limit = 200}, "deployments", to_deployment))
    for _, deployment in ipairs(list.data) do
      if deployment.model == name then add(deployment.id, "deployments") end
    end
    after = list.next
    if not after then break end
  end
  return names
end

-- model: the model, or what deploy_model gave
function P.undeploy_model(ctx, p)
  local _, collection = parts(p.model)
  local is_deployment = collection == "deployments" or collection == "deployedModels"
  local name = name_of(ctx, is_deployment and collection or "models", p.model)
  local names = is_deployment and {name} or served_by(ctx, name)
  if not names[1] then fail("not_found", "%s is not deployed", name) end
  for _, one in ipairs(names) do delete(ctx, p, one) end
  return {id = name, undeployed = finetune.array(names)}
end

-- ---- what the service does not have (sources: spec/contract/fireworks.lua) ----

P.pause_job = finetune.unsupported "Fireworks pauses a job only by itself: resume_job goes on, cancel_job ends it"
P.list_events = finetune.unsupported("Fireworks lists no events; follow(job) tells what changes in the job's status, "
  .. "progress and tokens")
P.list_checkpoints = finetune.unsupported("Fireworks shows no checkpoints of these jobs; a finished model is trained "
  .. "further by create_job {model = job.fine_tuned_model, ...}")
P.list_metrics = finetune.unsupported("the form of Fireworks' file of metrics is not documented; its address is in "
  .. "job.raw.metricsFileSignedUrl")
P.sample = finetune.unsupported("deploy_model first, then POST the model's name and the messages to "
  .. "https://api.fireworks.ai/inference/v1/chat/completions")
P.validate_grader = finetune.unsupported "Fireworks has evaluators in place of graders: they are made and tried there"
P.run_grader = P.validate_grader

return finetune.register(P)
