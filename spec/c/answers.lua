-- A service without a socket, for the scripts of spec/c: config.transport that answers every
-- request of the OpenAI dialect. The same requests always get the same answers.

local M = {}

M.JOB = {
  object = "fine_tuning.job", id = "ftjob-1", created_at = 1790000000, model = "base-model",
  fine_tuned_model = "ft:base:org::1", finished_at = 1790000100, trained_tokens = 5000,
  training_file = "file-1", validation_file = "file-2", status = "succeeded", seed = 7,
  hyperparameters = {n_epochs = 3}, result_files = {"file-3"}, metadata = {team = "a"},
  method = {type = "supervised", supervised = {hyperparameters = {n_epochs = 3}}}, error = {},
}

local FILE = {
  object = "file", id = "file-1", bytes = 120, created_at = 1790000000, filename = "train.jsonl",
  purpose = "fine-tune", status = "processed",
}

local UPLOAD = {object = "upload", id = "upload-1", status = "completed", bytes = 120, file = FILE}

local EVENTS = {
  {object = "fine_tuning.job.event", id = "e2", created_at = 1790000050, level = "info", message = "step 10",
    type = "metrics", data = {step = 10, train_loss = 0.5}},
  {object = "fine_tuning.job.event", id = "e1", created_at = 1790000010, level = "info", message = "begun"},
}

local CHECKPOINTS = {
  {object = "fine_tuning.job.checkpoint", id = "c1", created_at = 1790000060, step_number = 10,
    fine_tuned_model_checkpoint = "ft:base:org::1:step10", fine_tuning_job_id = "ftjob-1",
    metrics = {step = 10, valid_loss = 0.6}},
}

local MODELS = {
  {object = "model", id = "base-model", created = 1780000000, owned_by = "org"},
  {object = "model", id = "ft:base:org::1", created = 1790000100, owned_by = "org"},
}

local RESULTS = "step,train_loss,train_accuracy\n10,0.5,0.8\n20,0.4,0.9\n"

local function list(data, after)
  return {json = {object = "list", data = data, has_more = false, last_id = after}}
end

-- Two pages of jobs: the second is asked for with after=
local function jobs(request)
  if request.query and request.query.after then return list {M.JOB} end
  return {json = {object = "list", data = {M.JOB, M.JOB}, has_more = true}}
end

local ROUTES = {
  {"GET", "/fine_tuning/jobs$", jobs},
  {"POST", "/fine_tuning/jobs$", function() return {json = M.JOB} end},
  {"GET", "/events$", function() return list(EVENTS) end},
  {"GET", "/checkpoints$", function() return list(CHECKPOINTS) end},
  {"POST", "/graders/validate$", function(request) return {json = {grader = request.json.grader}} end},
  {"POST", "/graders/run$", function() return {json = {reward = 0.5, metadata = {}}} end},
  {"POST", "/fine_tuning/jobs/[^/]+/%a+$", function() return {json = M.JOB} end},
  {"GET", "/fine_tuning/jobs/[^/]+$", function() return {json = M.JOB} end},
  {"POST", "/files$", function() return {json = FILE} end},
  {"GET", "/files$", function() return list {FILE} end},
  {"GET", "/content$", function() return {body = RESULTS, headers = {["content-type"] = "text/csv"}} end},
  {"GET", "/files/[^/]+$", function() return {json = FILE} end},
  {"GET", "/models$", function() return list(MODELS) end},
  {"GET", "/models/[^/]+$", function() return {json = MODELS[1]} end},
  {"DELETE", "/%a+/[^/]+$", function() return {json = {id = "gone", deleted = true}} end},
  {"POST", "/parts$", function() return {json = {object = "upload.part", id = "part-1", created_at = 1}} end},
  {"POST", "/uploads", function() return {json = UPLOAD} end},
}

function M.answer(request)
  local path = request.url:match("^[^?]*")
  for _, route in ipairs(ROUTES) do
    if route[1] == request.method and path:find(route[2]) then return route[3](request) end
  end
  return {status = 404, json = {error = {message = "no route " .. request.method .. " " .. path}}}
end

-- A provider on these answers. `first` may answer before they do; `more` is further configuration
function M.provider(finetune, first, more)
  local config = {api_key = "sk-harness-key", retry_delay = 0, poll_interval = 0.001,
    transport = function(request)
      local answer, err
      if first then answer, err = first(request) end
      if answer or err then return answer, err end
      return M.answer(request)
    end}
  for key, value in pairs(more or {}) do config[key] = value end
  return assert(finetune.create_provider("openai", config))
end

return M
