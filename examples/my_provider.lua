-- needs: ACME_API_KEY
-- A provider for a service of its own shape: an example to copy. Put the file
-- where FINE_TUNE_PROVIDER_PATH points, named my_provider.lua, and
--   finetune.create_provider("my_provider")
-- finds it. Every function gets `ctx`, whose methods wait without blocking
-- anybody, and the checked parameters; it returns a value, or nil and the error.

local finetune = require "finetune"

local P = {
  name = "my_provider",
  description = "Acme Tuning Cloud (an invented service)",
  base_url = "https://api.acme.example/v1",
  env = {api_key = "ACME_API_KEY", base_url = "ACME_BASE_URL"},
  needs = {"ACME_API_KEY"},
  -- the service's words -> ours; a word that is not here passes through as it is
  statuses = {WAITING = "queued", TRAINING = "running", COMPLETED = "succeeded", ABORTED = "cancelled",
    ERROR = "failed"},
  errors = {out_of_credit = "quota"},
}

local function malformed(what)
  return finetune.error {kind = "decode", message = "the service's answer is not " .. what}
end

-- Our form of the service's objects. `status` is mapped by P.statuses.
local function to_job(doc)
  if type(doc) ~= "table" or type(doc.job) ~= "string" then return nil, malformed "a job" end
  return {id = doc.job, status = doc.state, model = doc.base, fine_tuned_model = doc.result,
    created_at = doc.started, finished_at = doc.ended, training_file = doc.dataset,
    hyperparameters = doc.settings, error = doc.reason and {message = doc.reason}, raw = doc}
end

local function to_model(doc)
  return type(doc) == "table" and {id = doc.model, owned_by = doc.owner, raw = doc} or nil
end

local function job_path(ctx, p, verb)
  return "/tunings/" .. ctx.escape(p.job_id) .. (verb or "")
end

function P.upload_file(ctx, p)
  local doc, err = ctx:upload {path = p.path, to = "/datasets", filename = p.filename, type = "application/jsonl"}
  if not doc then return nil, err end
  if type(doc) ~= "table" or type(doc.dataset) ~= "string" then return nil, malformed "a dataset" end
  return {id = doc.dataset, filename = p.filename, bytes = doc.size, purpose = p.purpose, raw = doc}
end

-- create_job's parameters -> the service's body. What is not named here is refused with words, never
-- dropped; a caller's `extra` is laid over the body.
local body_of = finetune.mapping {
  service = "Acme",
  fields = {model = "base", training_file = "dataset", suffix = {"tag", most = 40, pattern = "^[%w-]+$"}},
  hyperparameters = {
    n_epochs = {"settings.rounds", integer = true, least = 1, most = 20},
    batch_size = {"settings.batch", integer = true, least = 1},
    learning_rate = {"settings.rate", above = 0},
  },
}

-- Sent at most once: a tuning costs money. A lost answer is kind "conflict", with the jobs that may be it.
function P.create_job(ctx, p)
  local body, err = body_of(ctx, p)
  if not body then return nil, err end
  return ctx:create_once(p, {request = {path = "/tunings", json = body}, job = to_job,
    list = function() return P.list_jobs(ctx, {limit = 20}) end})
end

function P.get_job(ctx, p)
  local doc, err = ctx:get(job_path(ctx, p))
  if not doc then return nil, err end
  return to_job(doc)
end

function P.cancel_job(ctx, p)
  local doc, err = ctx:post(job_path(ctx, p, "/abort"), nil, {retry = "idempotent"})
  if not doc then return nil, err end
  return to_job(doc)
end

function P.list_jobs(ctx, p)
  return ctx:paginate {path = "/tunings", items = "tunings", map = to_job, token = "page_token",
    next = "next_page_token", after = p.after, limit = p.limit}
end

function P.list_models(ctx, p)
  return ctx:paginate {path = "/models", items = "models", map = to_model, after = p.after}
end

P.delete_model = finetune.unsupported "Acme deletes a model 30 days after its last use"

return finetune.register(P)
