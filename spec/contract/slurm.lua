-- slurm: a store in a temporary folder, and a slurmrestd that answers as 22.05.8 does (v0.0.38, seen 2026-11-22; the
-- real one is in spec/slurm_spec.lua). Statuses: Slurm's job state codes, of squeue(1).

local core = require "finetune.core"
local shell = require "spec.support.shell"
local testing = require "finetune.testing"

local root = shell.folder()
local NONE = {status = 500, json = {errors = {{error_number = 2017, error = "Invalid job id specified"}}, jobs = {}}}
local EXAMPLE = '{"messages":[{"role":"user","content":"2+2?"},{"role":"assistant","content":"4"}]}\n'

local function write(path, doc)
  local text = type(doc) == "string" and doc or core.encode(doc)
  shell.must("mkdir -p " .. shell.quote(root .. "/" .. path:match "^(.*)/"))
  assert(core.fs.write(root .. "/" .. path, text))
end

-- A job's folder as create_job leaves it
local function make_job(id, number)
  shell.must("rm -rf " .. shell.quote(root .. "/jobs/" .. id))
  write("jobs/" .. id .. "/out/model", "m")
  write("jobs/" .. id .. "/spec.json", {id = id, recipe = "command", model = "command", created_at = 1790000000,
    name = "tuned-" .. id, training_file = "file-1", training_bytes = #EXAMPLE, settings = {command = {"true"}}})
  write("jobs/" .. id .. "/slurm.json", {name = "tuned-" .. id, job_id = number})
end

local function prepare(status)
  make_job("job-1", 1)
  make_job("job-2", 2)
  if status == "COMPLETED" then
    write("jobs/job-1/exit.json", {reason = "exited", code = 0, started_at = 1790000001, finished_at = 1790000002})
  end
  write("files/file-1/data.jsonl", EXAMPLE)
  write("files/file-1/file.json", {id = "file-1", filename = "a.jsonl", purpose = "fine-tune", bytes = #EXAMPLE,
    created_at = 1790000000})
  write("models/model-1/model.json", {recipe = "command", base = "command", created_at = 1790000002,
    settings = {sample_command = {"cat"}}})
end

local function job(id, name, state)
  return {job_id = id, name = name, job_state = state, state_reason = "None", start_time = 1790000001,
    end_time = 1790000002}
end

local function service(state)
  local status = state.status or "COMPLETED"
  prepare(status)
  local jobs = {job(1, "tuned-job-1", status), job(2, "tuned-job-2", "RUNNING")}
  local function of(id) return jobs[math.tointeger(tonumber(id))] end
  return (testing.routes {
    ["GET /openapi/v3"] = function() return {json = {paths = {["/slurm/v0.0.38/job/submit"] = {post = {}}}}} end,
    ["POST /slurm/v0.0.38/job/submit"] = function(request)
      jobs[#jobs + 1] = job(#jobs + 1, core.decode(request.body).job.name, "PENDING")
      return {json = {errors = {}, job_id = #jobs, step_id = "BATCH"}}
    end,
    ["GET /slurm/v0.0.38/jobs"] = function() return {json = {errors = {}, jobs = jobs}} end,
    ["GET /slurm/v0.0.38/job/{id}"] = function(_, id)
      return of(id) and {json = {errors = {}, jobs = {of(id)}}} or NONE
    end,
    ["DELETE /slurm/v0.0.38/job/{id}"] = function(_, id)
      if of(id) then of(id).job_state = "CANCELLED" end
      return of(id) and {json = {errors = {}}} or NONE
    end,
  })
end

prepare "COMPLETED"

local guard = setmetatable({}, {__gc = function() os.execute("rm -rf " .. shell.quote(root)) end})
local MODEL = "local:model-1"

local statuses = {}
for word in ("PENDING REQUEUED REQUEUE_HOLD REQUEUE_FED RESV_DEL_HOLD SPECIAL_EXIT CONFIGURING RUNNING RESIZING "
  .. "SIGNALING STAGE_OUT COMPLETING SUSPENDED STOPPED COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL PREEMPTED "
  .. "BOOT_FAIL DEADLINE OUT_OF_MEMORY REVOKED"):gmatch "%S+" do
  statuses[#statuses + 1] = word
end

return {
  guard = guard,
  service = service,
  statuses = statuses,
  unsupported = {
    pause_job = "scontrol(1): suspend is for operators", resume_job = "scontrol(1): so is resume",
    deploy_model = "nothing serves models here: sample runs one once",
    undeploy_model = "nothing serves models here",
    estimate_cost = "Slurm knows no prices",
    validate_grader = "no trainer of a recipe takes a grader",
    run_grader = "no trainer of a recipe takes a grader",
  },
  params = {
    create_job = {model = "command", training_file = "file-1", command = {"cp", "{training}", "{output}"}},
    cancel_job = {job_id = "job-2"}, get_model = {model = MODEL}, delete_model = {model = MODEL},
    sample = {model = MODEL, prompt = "4"},
  },
  config = {root = root, user = "contract", base_url = "https://contract.example"},
}
