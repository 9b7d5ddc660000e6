-- local: no service but a store in a temporary folder (lua/finetune/store.lua) and finetune-run. Statuses:
-- lua/finetune/supervise.lua. job-1 has ended, job-2 runs for real while the suite needs it.

local core = require "finetune.core"
local shell = require "spec.support.shell"

local home = shell.folder()
local RUN = shell.root .. "/lua/finetune/finetune-run"

local function write(path, doc)
  local text = type(doc) == "string" and doc or core.encode(doc)
  shell.must("mkdir -p " .. shell.quote(home .. "/" .. path:match "^(.*)/"))
  assert(core.fs.write(home .. "/" .. path, text))
end

local EXAMPLE = '{"messages":[{"role":"user","content":"2+2?"},{"role":"assistant","content":"4"}]}\n'

local function spec(id)
  return {id = id, recipe = "command", model = "command", created_at = 1790000000, name = "tuned-" .. id,
    training_file = "file-1", training_bytes = #EXAMPLE, settings = {command = {"true"}}}
end

local function ended(status)
  local doc = spec "job-1"
  doc.status, doc.started_at, doc.finished_at = status or "succeeded", 1790000001, 1790000002
  doc.exit = {reason = "exited", code = 0, wall = 1}
  if doc.status == "succeeded" then doc.fine_tuned_model = "local:model-1" end
  return doc
end

-- A job that runs until it is cancelled, or for a minute
local function run_second()
  if core.lock_holder(home .. "/jobs/job-2/lock") and not core.fs.stat(home .. "/jobs/job-2/cancel") then return end
  shell.must("rm -rf " .. shell.quote(home .. "/jobs/job-2"))
  write("jobs/job-2/spec.json", spec "job-2")
  write("jobs/job-2/job.json", {steps = {{argv = {"sleep", "60"}}}, grace = 1})
  shell.must(("mkdir %s; %s -d %s"):format(shell.quote(home .. "/jobs/job-2/out"), shell.quote(RUN),
    shell.quote(home .. "/jobs/job-2")))
  while not core.fs.stat(home .. "/jobs/job-2/started.json") do shell.run "sleep 0.01" end
end

-- What is in the folder of job-1 while it has that status. Its lock is held: it is the same file as that of job-2. No
-- process has that number.
local LIVE = {
  queued = {},
  running = {["started.json"] = {pid = 4194304, started_at = 1790000001}},
  paused = {["started.json"] = {pid = 4194304, started_at = 1790000001}, paused = ""},
  cancelling = {["started.json"] = {pid = 4194304, started_at = 1790000001}, cancel = ""},
  finalizing = {["exit.json"] = {reason = "exited", code = 0, step = 1, finished_at = 1790000002}},
}

local function make_first(status)
  local dir = home .. "/jobs/job-1"
  shell.must(("rm -rf %s; mkdir -p %s"):format(shell.quote(dir), shell.quote(dir)))
  if not LIVE[status] then return write("jobs/job-1/state.json", ended(status)) end
  local doc = spec "job-1"
  if status == "finalizing" then doc.recipe = "that-is-not-here" end -- so nobody can say yet what became of it
  write("jobs/job-1/spec.json", doc)
  shell.must(("ln %s/jobs/job-2/lock %s/lock"):format(shell.quote(home), shell.quote(dir)))
  for name, text in pairs(LIVE[status]) do write("jobs/job-1/" .. name, text) end
end

local function service(state)
  write("files/file-1/data.jsonl", EXAMPLE)
  write("files/file-1/file.json", {id = "file-1", filename = "a.jsonl", purpose = "fine-tune", bytes = #EXAMPLE,
    created_at = 1790000000})
  write("models/model-1/model.json", {recipe = "command", base = "command", created_at = 1790000002,
    settings = {sample_command = {"cat"}}})
  run_second()
  make_first(state.status)
  return function() error("local sends no request", 0) end
end

-- Whatever of it is left when the tests end
local guard = setmetatable({}, {__gc = function()
  local holder = core.lock_holder(home .. "/jobs/job-2/lock")
  if holder then core.kill(holder, "TERM") end
  os.execute("sleep 0.2; rm -rf " .. shell.quote(home))
end})

local SECOND, MODEL = {job_id = "job-2"}, "local:model-1"

return {
  guard = guard,
  service = service,
  statuses = {queued = "queued", running = "running", paused = "paused", cancelling = "cancelling",
    finalizing = "finalizing", succeeded = "succeeded", failed = "failed", cancelled = "cancelled"},
  unsupported = { -- a model of this machine is a folder, and no recipe trains with a grader
    deploy_model = "nothing serves models here: sample runs one once",
    undeploy_model = "nothing serves models here",
    validate_grader = "no trainer of a recipe takes a grader",
    run_grader = "no trainer of a recipe takes a grader",
  },
  params = {
    create_job = {model = "command", training_file = "file-1", command = {"cp", "{training}", "{output}"}},
    cancel_job = SECOND, pause_job = SECOND, resume_job = SECOND,
    get_model = {model = MODEL}, delete_model = {model = MODEL}, sample = {model = MODEL, prompt = "4"},
    estimate_cost = {model = "command", training_file = "file-1"},
  },
  config = {home = home},
}
