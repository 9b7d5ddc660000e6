-- The dialect "together": the models that can be tuned, their limits, and dedicated endpoints.
local check = require "service.dialect.together.check"
local jobs = require "service.dialect.together.jobs"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local HARDWARE = {["1x_nvidia_a100_80gb_sxm"] = true, ["2x_nvidia_h100_80gb_sxm"] = true}

function M.add(id, tunable) store.models:add(id, {tunable = tunable}) end

function M.supported()
  local list = json.array()
  for _, model in ipairs(store.models.list) do
    if model.tunable then list[#list + 1] = model.id end
  end
  return {models = list}
end

function M.limits(req)
  local model, l = store.models:get(req.params.model_name or ""), check.limits
  if not model or not model.tunable then
    return reply.answer(404, {message = "Model is not available for fine-tuning"}, {})
  end
  local training = {max_batch_size = l.max_batch_size, max_batch_size_dpo = l.max_batch_size_dpo,
    min_batch_size = l.min_batch_size}
  local lora = {max_rank = l.max_rank, target_modules = json.array {"q_proj", "v_proj"}}
  for name, value in pairs(training) do lora[name] = value end
  return {model_name = model.id, full_training = training, lora_training = lora, max_num_epochs = l.max_num_epochs,
    max_num_evals = l.max_num_evals, max_learning_rate = l.max_learning_rate,
    min_learning_rate = l.min_learning_rate, supports_vision = false, supports_tools = true,
    supports_reasoning = false, merge_output_lora = true}
end

-- ---- endpoints ----

local function is_model(name)
  if store.models:get(name) then return true end
  for _, job in ipairs(store.jobs.list) do
    if job.output == name and jobs.status(job) == "completed" then return true end
  end
  return false
end

local function check_scaling(scaling)
  local least, most = json.value(scaling.min_replicas), json.value(scaling.max_replicas)
  if math.type(least) ~= "integer" or math.type(most) ~= "integer" or least < 0 or most < math.max(1, least) then
    reply.reject(400, "autoscaling needs min_replicas and max_replicas", "autoscaling")
  end
end

local KNOWN = {model = true, hardware = true, autoscaling = true, display_name = true, inactive_timeout = true,
  availability_zone = true, state = true, disable_speculative_decoding = true}

function M.create(req)
  local body = req.json
  for name in pairs(body) do
    if not KNOWN[name] then reply.reject(400, "unknown field " .. name, name) end
  end
  if not is_model(json.value(body.model) or "") then reply.reject(404, "There is no such model", "model") end
  if not HARDWARE[json.value(body.hardware) or 0] then reply.reject(400, "There is no such hardware", "hardware") end
  if not json.is_object(body.autoscaling) then reply.reject(400, "autoscaling is required", "autoscaling") end
  check_scaling(body.autoscaling)
  local id = store.id("endpoint-")
  return store.endpoints:add(id, {object = "endpoint", name = "loop/" .. id, model = body.model, type = "dedicated",
    display_name = json.value(body.display_name) or id, hardware = body.hardware, owner = "loop", state = "PENDING",
    autoscaling = body.autoscaling, created_at = jobs.stamp(store.now())})
end

-- Everybody's serverless ones unless they are filtered out
function M.list(req)
  local data = json.array()
  if req.params.type ~= "dedicated" and req.params.mine ~= "true" then
    data[1] = {object = "endpoint", id = "endpoint-shared", name = "shared", model = "loop/tiny-chat-1",
      type = "serverless", owner = "together", state = "STARTED", created_at = jobs.stamp(0)}
  end
  for _, endpoint in ipairs(store.endpoints.list) do data[#data + 1] = endpoint end
  return {object = "list", data = data}
end

function M.delete(_, id)
  if not store.endpoints:get(id) then reply.reject(404, "There is no such endpoint") end
  store.endpoints:remove(id)
  return reply.answer(204, nil, {})
end

-- What a model says: the training is only acted out, so it is always the same
function M.chat(req)
  local name = json.value(req.json.model)
  if not is_model(name) then reply.reject(404, ("Unable to access model %s"):format(tostring(name)), "model") end
  return {id = store.id("chat-"), object = "chat.completion", model = name,
    choices = json.array {{index = 0, finish_reason = "stop", message = {role = "assistant", content = "yes"}}},
    usage = {prompt_tokens = 3, completion_tokens = 1, total_tokens = 4}}
end

return M
