-- /models: the base models, and what the jobs that succeeded made.
local jobs = require "service.api.jobs"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

-- Made-up names: real ones are retired faster than a test suite ages.
local BASE = {
  {id = "tiny-chat-1", tunable = true},
  {id = "small-chat-1", tunable = true},
  {id = "old-chat-1", tunable = true, shutdown_date = "2027-01-14"},
  {id = "embed-1"},
}

function M.add_base(id, model)
  model.owned_by, model.base = model.owned_by or "system", true
  model.created = model.created or 1767225600
  return store.models:add(id, model)
end

-- The collection as it begins; `more` are names of further tunable models.
function M.reset(more)
  for _, model in ipairs(BASE) do
    M.add_base(model.id, {tunable = model.tunable, shutdown_date = model.shutdown_date})
  end
  for _, name in ipairs(more or {}) do M.add_base(name, {tunable = true}) end
end

-- The name of a model that can be tuned.
function M.first()
  for _, model in ipairs(store.models.list) do
    if model.tunable then return model.id end
  end
end

local function render(model)
  return {id = model.id, object = "model", created = model.created, owned_by = model.owned_by,
          shutdown_date = model.shutdown_date}
end

function M.find(id)
  jobs.advance_all()
  return store.models:get(id)
    or reply.reject(404, ("The model '%s' does not exist"):format(id), "model", "model_not_found")
end

-- Checkpoints answer by name, but only whole models are listed.
function M.list()
  jobs.advance_all()
  local data = {}
  for _, model in ipairs(store.models.list) do
    if not model.checkpoint then data[#data + 1] = render(model) end
  end
  local doc = reply.list(data)
  doc.has_more = nil
  return doc
end

function M.get(_, id) return render(M.find(id)) end

function M.delete(_, id)
  if M.find(id).base then
    reply.reject(403, "You have insufficient permissions for this operation.", nil, "insufficient_permissions")
  end
  store.models:remove(id)
  return {id = id, object = "model", deleted = true}
end

return M
