-- Drives the library through everything that a provider offers, against its loopback
-- service, to have its requests and the service's answers checked. What differs
-- between the providers is in plans.lua; an operation that a provider offers and the
-- drive never calls is an error.
local core = require "finetune.core"

local M = {}

local LINE = "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n"
local PAIR = "{\"input\":{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]},"
  .. "\"preferred_output\":[{\"role\":\"assistant\",\"content\":\"a\"}],"
  .. "\"non_preferred_output\":[{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
local GRADER = {type = "string_check", name = "exact", input = "{{sample.output_text}}",
                reference = "{{item.answer}}", operation = "eq"}
local FAST = {interval = 0.01, max_interval = 0.05, timeout = 20}
local ELSEWHERE = {prepare_data = true, sample = true} -- no requests of fine-tuning

M.line, M.pair, M.grader = LINE, PAIR, GRADER

-- ---- a drive: the instance, and which of its operations were called ----

local Drive = {}
Drive.__index = Drive

function Drive:offers(op)
  return self.provider:supports(op) and not (self.plan.skip or {})[op]
end

-- The value of an operation, which is to succeed
function Drive:call(op, ...)
  self.called[op] = true
  local value, err = self.provider[op](self.provider, ...)
  if value == nil then error(("%s: %s"):format(op, tostring(err)), 2) end
  return value
end

-- The same, where the provider has it
function Drive:try(op, ...)
  if self:offers(op) then return self:call(op, ...) end
end

function Drive:write(name, text)
  local path = self.folder .. "/" .. name
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
  return path
end

-- ---- the parts of the drive ----

function Drive:files()
  local training = self:write("training.jsonl", LINE:rep(40))
  local file = self:call("upload_file", training, {wait = true})
  local pairs_file = self:call("upload_file", self:write("pairs.jsonl", PAIR:rep(20)), {wait = true})
  if self:offers "list_files" then
    self:call("list_files", {limit = 2})
    for _ in self.provider:files {limit = 1} do end
  end
  self:try("get_file", file)
  self:try("download_file", file)
  return {training = file, pairs = pairs_file, path = training}
end

-- A job to its end, with a pause in the middle where there are pauses
function Drive:train(params)
  local job = self:call("create_job", params)
  self.service:jump(job.id, 0.5)
  self:call("get_job", job)
  self:try("pause_job", job)
  if self:offers "pause_job" then self:call("resume_job", job) end
  self.service:jump(job.id, 1)
  if self:offers "list_events" then
    self:call("list_events", job, {limit = 2})
    for _ in self.provider:events(job, {limit = 2}) do end
  end
  for _ in self.provider:follow(job, FAST) do end
  self:try("list_checkpoints", job)
  self:try("list_metrics", job)
  return assert(self.provider:wait(job, FAST))
end

-- A job that goes on for an hour, cancelled
function Drive:cancel(params)
  self.service:set {job_seconds = 3600}
  local job = self:call("create_job", params)
  self:call("cancel_job", job)
  self.service:set {job_seconds = 0.3}
  return job
end

function Drive:graders()
  self:try("validate_grader", {grader = GRADER})
  self:try("run_grader", {grader = GRADER, model_sample = "x", item = {answer = "x"}})
end

function Drive:models(done)
  self:call "list_models"
  local model = done.fine_tuned_model or error "the job has no model"
  self:try("get_model", model)
  self:try("deploy_model", model, self.plan.deploy)
  self:try("undeploy_model", model)
  if self.plan.before_delete then self.plan.before_delete(self, done) end
  self:try("delete_model", model)
end

function Drive:jobs(files)
  local done
  for _, params in ipairs(self.plan.jobs(self.service, files)) do done = self:train(params) end
  local simple = {model = self.service.model, training_file = files.training}
  local cancelled = self:cancel(simple)
  if self:offers "list_jobs" then
    self:call("list_jobs", {limit = 2})
    for _ in self.provider:jobs {limit = 2} do end
  end
  self:try("estimate_cost", simple)
  if self.plan.after_cancel then self.plan.after_cancel(self, cancelled) end
  self:try("delete_job", cancelled)
  return done
end

function Drive:check_complete()
  for _, op in ipairs(core.ops) do
    if not ELSEWHERE[op.name] and not self.called[op.name] and self:offers(op.name) then
      error(("the drive never calls %s, which %s offers"):format(op.name, self.provider.name))
    end
  end
end

-- Everything, once and more. `folder` is for the data; raises where something fails.
function M.run(finetune, service, plan, folder)
  local provider <close> = assert(finetune.create_provider(plan.provider, plan.config(service)))
  local drive = setmetatable({finetune = finetune, service = service, plan = plan, provider = provider,
    folder = folder, called = {}}, Drive)
  local files = drive:files()
  drive:models(drive:jobs(files))
  drive:graders()
  if plan.more then plan.more(drive, files) end
  drive:try("delete_file", files.training)
  drive:check_complete()
end

return M
