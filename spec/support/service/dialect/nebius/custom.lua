-- Nebius' /v0/models: models made of a checkpoint, served once they are validated.
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local list = store.collection()

function M.reset() list = store.collection() end

local function refuse(param, words) reply.reject(422, words, param) end

local function check_source(source)
  local job_id, checkpoint = source:match("^(ftjob%-[^:]+):(ftckpt_.+)$")
  local job = job_id and store.jobs:get(job_id)
  if not job or not job.checkpoints:get(checkpoint) then
    reply.reject(404, ("Checkpoint %s not found"):format(source))
  end
  return job_id, checkpoint
end

local function status_of(model)
  if store.now() < model.ready_at then return "validating" end
  return model.fate
end

function M.create(req)
  local body = req.json
  for _, name in ipairs {"name", "base_model", "source"} do
    if type(json.value(body[name])) ~= "string" then refuse(name, "Field required") end
  end
  if not body.name:find("^[%w_-]+$") then refuse("name", "String should match pattern") end
  local base = store.models:get(body.base_model)
  if not base or not base.tunable then reply.reject(404, ("Base model %s not found"):format(body.base_model)) end
  local job_id, checkpoint = check_source(body.source)
  local short = body.name .. "-" .. store.id("", 4)
  local model = list:add(("acme/%s-LoRa:%s"):format(body.base_model, short), {short = short, base = body.base_model,
    source = body.source, description = json.value(body.description), created = os.time(), job_id = job_id,
    checkpoint = checkpoint, ready_at = store.now() + store.settings.deploy_seconds,
    fate = store.settings.deploy_fate, hidden = store.settings.unknown_looks})
  return {name = model.id, base_model = model.base, source = model.source, created_at = model.created,
          status = "validating", description = json.or_null(model.description)}
end

local function find(vendor, name)
  local wanted = name and vendor .. "/" .. name or vendor
  for _, model in ipairs(list.list) do
    if model.id == wanted or model.short == wanted then return model end
  end
  reply.reject(404, ("Model %s not found"):format(wanted))
end

function M.get(_, vendor, name)
  local model = find(vendor, name)
  if model.hidden > 0 then
    model.hidden = model.hidden - 1
    reply.reject(404, ("Model %s not found"):format(model.id))
  end
  local status = status_of(model)
  return {type = "text2text", name = model.id, status = status, created_at = model.created, vendor = "acme",
    status_reason = status == "error" and "the adapter's rank is too large" or json.null, job_id = model.job_id,
    checkpoint_id = model.checkpoint, file_id = json.null, description = json.or_null(model.description)}
end

function M.delete(_, vendor, name)
  local model = find(vendor, name)
  list:remove(model.id)
  return {name = model.id, base_model = model.base, source = model.source, created_at = model.created,
          status = "deleted"}
end

function M.active()
  local out = {}
  for _, model in ipairs(list.list) do
    if status_of(model) == "active" then
      out[#out + 1] = {id = model.id, object = "model", created = model.created, owned_by = "acme"}
    end
  end
  return out
end

function M.state()
  local out = json.object()
  for _, model in ipairs(list.list) do out[model.id] = status_of(model) end
  return out
end

return M
