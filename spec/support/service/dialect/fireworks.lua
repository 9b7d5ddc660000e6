-- The dialect "fireworks": the fine-tuning part of Fireworks' gateway, 4.259.0, written from its description, and
-- :upload from its SDK. Its storage has addresses that are signed for one file. Settings of its own:
--   account          whose names it knows ("acme")           form_limit   bytes that :upload takes (150,000,000)
--   cancel_verb      false: no :cancel of supervised and DPO jobs, as in the SDK
--   landing_seconds  until validateUpload sees a file (0)    signed_range false: a signed address without a length
local datasets = require "service.dialect.fireworks.datasets"
local jobs = require "service.dialect.fireworks.jobs"
local json = require "service.json"
local models = require "service.dialect.fireworks.models"
local reply = require "service.reply"
local store = require "service.store"

local M = {model = "accounts/fireworks/models/tiny-chat-1"}

M.settings = {prefix = "", api_key = "fw_loopback0123456789abcdef", min_examples = 3, account = "acme",
  form_limit = 150000000, cancel_verb = true, landing_seconds = 0, signed_range = true}

M.routes = {}

-- Behind the account; the verbs come before the things they are for
local function route(method, path, body, handler)
  M.routes[#M.routes + 1] = {method, "v1/accounts/*/" .. path, body, handler}
end

route("POST", "datasets/*:upload", "form", datasets.upload)
route("POST", "datasets/*:getUploadEndpoint", "json", datasets.upload_endpoint)
route("POST", "datasets/*:validateUpload", "json", datasets.validate_upload)
route("GET", "datasets/*:getDownloadEndpoint", "none", datasets.download_endpoint)
route("POST", "datasets", "json", datasets.create)
route("GET", "datasets", "none", datasets.list)
route("GET", "datasets/*", "none", datasets.get)
route("DELETE", "datasets/*", "none", datasets.delete)
route("POST", "supervisedFineTuningJobs:estimateCost", "json", jobs.estimate)
for _, collection in ipairs {"supervisedFineTuningJobs", "dpoJobs", "reinforcementFineTuningJobs"} do
  route("POST", collection .. "/*:cancel", "json", jobs.cancel(collection))
  route("POST", collection .. "/*:resume", "json", jobs.resume(collection))
  route("POST", collection, "json", jobs.create(collection))
  route("GET", collection, "none", jobs.list(collection))
  route("GET", collection .. "/*", "none", jobs.get(collection))
  route("DELETE", collection .. "/*", "none", jobs.delete(collection))
end
route("GET", "models", "none", models.list)
route("GET", "models/*", "none", models.get)
route("DELETE", "models/*", "none", models.delete)
route("POST", "deployments", "json", models.deploy)
route("GET", "deployments", "none", models.list_deployments)
route("GET", "deployments/*", "none", models.get_deployment)
route("DELETE", "deployments/*", "none", models.delete_deployment)
route("POST", "deployedModels", "json", models.load)
route("DELETE", "deployedModels/*", "none", models.unload)

M.storage = {routes = {
  {"PUT", "accounts/*/datasets/*/*", "raw", datasets.put},
  {"GET", "accounts/*/datasets/*/*", "none", datasets.read},
}}

-- gRPC's code for an HTTP status, where the handler gave none
local CODES = {[400] = 3, [401] = 16, [403] = 7, [404] = 5, [405] = 12, [409] = 6, [413] = 3, [429] = 8, [499] = 1,
  [500] = 13, [501] = 12, [503] = 14, [504] = 4}

function M.error_doc(status, message, _, code)
  return {code = math.type(code) == "integer" and code or CODES[status] or 2, message = message,
    details = json.array()}
end

function M.headers(req) return {{"x-request-id", req.id}, {"server", "fireworks"}} end

function M.key(req) return (req.header.authorization or ""):match "^Bearer (.+)$" end

function M.refuse_key(_, given)
  reply.reject(401, given and ("invalid API key: " .. given) or "no API key was given", nil, 16)
end

-- ---- for the control port ----

M.reset = models.reset

function M.add_model(id) models.add(models.public_name(id), {kind = "HF_BASE_MODEL", tunable = true}) end

M.jump = jobs.jump

function M.state()
  local state = {files = json.object(), uploads = json.object(), jobs = json.object(), models = json.array(),
    deployments = json.array()}
  for _, dataset in ipairs(store.files.list) do state.files[dataset.id] = datasets.render(dataset) end
  for _, job in ipairs(store.jobs.list) do state.jobs[job.id] = jobs.render(job) end
  for i, model in ipairs(store.models.list) do state.models[i] = model.id end
  for i, deployment in ipairs(models.deployments.list) do state.deployments[i] = deployment.id end
  return state
end

local LINE = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"

-- Many small objects at once, for paging
function M.seed(counts)
  local ids = {files = json.array(), jobs = json.array()}
  for i = 1, counts.files or 0 do ids.files[i] = datasets.add("seed-" .. i, LINE:rep(20)).id end
  local training = counts.jobs and datasets.add("seed-training", LINE:rep(20)).id
  for i = 1, counts.jobs or 0 do
    local job = jobs.create("supervisedFineTuningJobs")({params = {supervisedFineTuningJobId = "seed-" .. i},
      json = json.object {baseModel = M.model, dataset = training}}, store.settings.account)
    ids.jobs[i] = job.name
    jobs.jump(job.name, counts.fraction or 1)
  end
  return ids
end

return M
