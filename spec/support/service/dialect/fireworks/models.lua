-- /v1/accounts/{a}/models, deployments, deployedModels. The account "fireworks" has models for everybody.
local check = require "service.dialect.fireworks.check"
local json = require "service.json"
local store = require "service.store"

local M = {}

local PUBLIC = "fireworks"

function M.public_name(id) return ("accounts/%s/models/%s"):format(PUBLIC, id) end

-- fields: kind, tunable, base (of an addon), job
function M.add(name, fields)
  fields.created_at = store.now()
  return store.models:add(name, fields)
end

function M.reset(more)
  M.deployments, M.deployed = store.collection(), store.collection()
  M.add(M.public_name "tiny-chat-1", {kind = "HF_BASE_MODEL", tunable = true})
  M.add(M.public_name "small-chat-1", {kind = "HF_BASE_MODEL", tunable = true})
  M.add(M.public_name "embed-1", {kind = "EMBEDDING_MODEL"})
  M.add(check.name("models", "own-base"), {kind = "HF_BASE_MODEL", tunable = true})
  for _, id in ipairs(more or {}) do M.add(M.public_name(id), {kind = "HF_BASE_MODEL", tunable = true}) end
end

local function refs_of(model)
  local out = json.array()
  for _, deployed in ipairs(M.deployed.list) do
    if deployed.model == model.id then
      out[#out + 1] = {name = deployed.id, deployment = deployed.deployment, state = "DEPLOYED"}
    end
  end
  return out
end

function M.render(model)
  return json.object {
    name = model.id, displayName = model.id:match "[^/]*$", createTime = check.time(model.created_at),
    updateTime = check.time(model.created_at), state = "READY", status = {code = "OK", message = ""},
    kind = model.kind, tunable = model.tunable or false, contextLength = 4096, fineTuningJob = model.job,
    peftDetails = model.base and {baseModel = model.base, r = 8, targetModules = json.array {"q_proj"}} or nil,
  }
end

local function find(account, id)
  if account ~= PUBLIC then check.account(account) end
  local name = ("accounts/%s/models/%s"):format(account, id)
  return store.models:get(name) or check.refuse(check.NOT_FOUND, "Model \"%s\" not found", name)
end

function M.get(req, account, id)
  check.query(req, "readMask")
  local model = find(account, id)
  local doc = M.render(model)
  doc.deployedModelRefs = refs_of(model)
  return doc
end

function M.list(req, account)
  if account ~= PUBLIC then check.account(account) end
  local prefix = ("accounts/%s/"):format(account)
  local function keep(model) return model.id:sub(1, #prefix) == prefix end
  return check.page(req, "models", store.models, M.render, keep)
end

function M.delete(_, account, id)
  check.account(account)
  local model = find(account, id)
  if #refs_of(model) > 0 then check.refuse(check.PRECONDITION, "the model is deployed") end
  store.models:remove(model.id)
  return json.object()
end

-- ---- deployments ----

local DEPLOYMENT = {baseModel = "string", displayName = "string", description = "string", minReplicaCount = "amount",
  maxReplicaCount = "amount", acceleratorType = "string", acceleratorCount = "count", enableAddons = "boolean",
  precision = "string", deploymentShape = "string"}
local DEPLOYED = {model = "string", deployment = "string", displayName = "string", description = "string",
  default = "boolean", public = "boolean", serverless = "boolean"}

local function render_deployment(deployment)
  local doc = json.object {name = deployment.id, state = "CREATING", createTime = check.time(deployment.created_at)}
  for name, value in pairs(deployment.fields) do doc[name] = value end
  return doc
end

local function known_model(name)
  return store.models:get(name or "") or check.refuse(check.NOT_FOUND, "Model \"%s\" not found", tostring(name))
end

function M.deploy(req, account)
  check.account(account)
  check.query(req, "deploymentId", "disableAutoDeploy", "validateOnly")
  local body = check.fields(req.json, DEPLOYMENT, "deployment")
  known_model(body.baseModel)
  local id = req.params.deploymentId and check.id(req.params.deploymentId, "Deployment") or store.id("d", 8):lower()
  local name = check.name("deployments", id)
  if M.deployments:get(name) then check.refuse(check.EXISTS, "Deployment \"%s\" already exists", name) end
  return render_deployment(M.deployments:add(name, {fields = body, created_at = store.now()}))
end

local function find_deployment(account, id)
  check.account(account)
  return M.deployments:get(check.name("deployments", id))
    or check.refuse(check.NOT_FOUND, "Deployment \"%s\" not found", id)
end

function M.get_deployment(_, account, id) return render_deployment(find_deployment(account, id)) end

function M.list_deployments(req, account)
  check.account(account)
  return check.page(req, "deployments", M.deployments, render_deployment)
end

function M.delete_deployment(req, account, id)
  check.query(req, "hard", "ignoreChecks")
  M.deployments:remove(find_deployment(account, id).id)
  return json.object()
end

local function render_deployed(deployed)
  return json.object {name = deployed.id, model = deployed.model, deployment = deployed.deployment, state = "DEPLOYING",
    displayName = deployed.displayName, createTime = check.time(deployed.created_at)}
end

function M.load(req, account)
  check.account(account)
  local body = check.fields(req.json, DEPLOYED, "deployed_model")
  if not (known_model(body.model).kind or ""):find "ADDON" then check.refuse(check.INVALID, "the model is no addon") end
  local deployment = M.deployments:get(body.deployment or "")
  if not deployment then check.refuse(check.NOT_FOUND, "Deployment \"%s\" not found", tostring(body.deployment)) end
  if not deployment.fields.enableAddons then check.refuse(check.PRECONDITION, "the deployment takes no addons") end
  return render_deployed(M.deployed:add(check.name("deployedModels", store.id("m", 8):lower()), {model = body.model,
    deployment = body.deployment, displayName = body.displayName, created_at = store.now()}))
end

function M.unload(_, account, id)
  check.account(account)
  local name = check.name("deployedModels", id)
  if not M.deployed:get(name) then check.refuse(check.NOT_FOUND, "DeployedModel \"%s\" not found", name) end
  M.deployed:remove(name)
  return json.object()
end

return M
