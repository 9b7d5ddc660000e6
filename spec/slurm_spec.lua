-- providers/slurm.lua with a real Slurm on loopback: slurmctld, slurmd and slurmrestd, started here and ended here.
-- What other versions answer, and answers that are lost: slurm_api_spec.lua.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"
local slurm = require "spec.support.slurm"

local missing = slurm.missing()
if missing then
  it("slurm", function() pending("no real Slurm: " .. missing) end)
  return
end

local AGE = 5 -- seconds that this Slurm remembers a job that has ended; it looks for them about every 10 s
local FAST = {interval = 0.05, max_interval = 0.2, timeout = 60}

local cluster, folder, root, provider

local function open(more)
  local config = {root = root, base_url = cluster.url, user = "root", api_key = cluster:token(), grace = 1,
    slurm_conf = cluster.conf}
  for key, value in pairs(more or {}) do config[key] = value or nil end
  return assert(finetune.create_provider("slurm", config))
end

lazy_setup(function()
  cluster = slurm.start(AGE)
  folder = shell.folder()
  root = folder .. "/a store's %j \"root\""
  shell.must("mkdir " .. shell.quote(root))
  shell.must("chmod 755 " .. shell.quote(folder))
  provider = open()
end)
lazy_teardown(function()
  provider:close()
  cluster:stop()
  shell.remove(folder)
end)

local data = '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'

local function upload()
  local path = folder .. "/data.jsonl"
  local file = assert(io.open(path, "wb"))
  file:write(data)
  file:close()
  return assert(provider:upload_file(path))
end

-- create_job with a line of shell: $1 the training file, $2 the result's folder
local function create(script, more, by)
  local p = {model = "command", training_file = upload(), time = 5,
    command = {"sh", "-c", script, "sh", "{training}", "{output}"}}
  for key, value in pairs(more or {}) do p[key] = value end
  return (by or provider):create_job(p)
end

local function eventually(what, limit, f)
  limit = core.now() + limit
  repeat
    local value = f()
    if value then return value end
    finetune.sleep(0.1)
  until core.now() > limit
  error("it did not happen: " .. what, 2)
end

local function becomes(job, status, by)
  return eventually(status, 30, function()
    local now = assert((by or provider):get_job(job))
    return now.status == status and now
  end)
end

local function slurm_id(job)
  local file <close> = assert(io.open(("%s/jobs/%s/slurm.json"):format(root, job.id)))
  return core.decode(file:read "a").job_id
end

local function is_forgotten(id) return (cluster:run(("scontrol show job %d"):format(id))) ~= 0 end

local function jobs_of_store() return #(core.list_dir(root .. "/jobs") or {}) end

local late, unseen -- jobs that run into their time limit while the others are tested; nobody asks for the second one

describe("slurm, over HTTP", function()
  it("begins what will take too long", function()
    unseen = assert(create("echo so far; exec sleep 100", {time = 1}))
    late = assert(create("echo so far; exec sleep 100", {time = 1}))
    becomes(late, "running")
  end)

  it("trains fastText on a node, and the model works", function()
    if not shell.has "fasttext" then return pending "fasttext is not installed" end
    local file = assert(provider:upload_file "examples/data/support.jsonl")
    local job = assert(provider:create_job {model = "fasttext", training_file = file, suffix = "support", seed = 3,
      cpus = 2, memory = 500, time = 5, partition = "debug", metadata = {who = "me"}})
    assert.equal("queued", job.status)
    local told = {}
    for event in provider:follow(job, FAST) do told[#told + 1] = event.message end
    assert.same({"job created", "job started"}, {told[1], told[2]})
    assert.equal("job succeeded", told[#told])
    job = assert(provider:wait(job, FAST))
    assert.same({"COMPLETED", "me", 1, "local:support" .. job.id:sub(4)},
      {job.raw_status, job.metadata.who, job.progress, job.fine_tuned_model})
    local answer = assert(provider:sample(job.fine_tuned_model, {prompt = "I was charged twice this month"}))
    assert.is_true(#answer.text > 0)
    assert.equal(job.id, assert(provider:get_model(job.fine_tuned_model)).raw.job_id)
  end)

  it("takes the script that every provider takes", function()
    if not shell.has "fasttext" then return pending "fasttext is not installed" end
    local status, output = shell.run("env -u FINE_TUNE_SUFFIX lua5.4 examples/same_script.lua", {cwd = shell.root,
      env = {FINE_TUNE_PROVIDER = "slurm", FINE_TUNE_MODEL = "fasttext", FINE_TUNE_SLURM_ROOT = root, USER = "root",
        FINE_TUNE_SLURM_URL = cluster.url, SLURM_JWT = cluster:token()}})
    assert.equal(0, status, output)
    assert.matches("\nstatus    succeeded\nmodel     local:", output)
  end)

  it("tells the trainer's own failure", function()
    local job = assert(create "echo no data >&2; exit 3")
    local _, err, last = provider:wait(job, FAST)
    assert.same({"job", "exit_status", "failed"}, {err.kind, err.code, last.status})
    assert.matches("the trainer ended with exit status 3: no data", err.message)
  end)

  it("cancels a job that runs, and one that waits", function()
    local running = assert(create "trap '' TERM; sleep 100 & wait; sleep 100")
    local waiting = assert(create("true", {extra = {hold = true}}))
    becomes(running, "running")
    assert.equal("queued", assert(provider:get_job(waiting)).status)
    assert.equal("cancelled", assert(provider:cancel_job(waiting)).status)
    assert(provider:cancel_job(running))
    assert.equal("CANCELLED", becomes(running, "cancelled").raw_status)
    assert.equal("conflict", select(2, provider:cancel_job(running)).kind)
    assert.is_true(provider:delete_job(waiting).deleted)
    assert.equal("not_found", select(2, provider:get_job(waiting)).kind)
  end)

  it("tells a job that somebody else cancelled", function()
    local job = assert(create "exec sleep 100")
    becomes(job, "running")
    cluster:must(("scancel %d"):format(slurm_id(job)))
    job = becomes(job, "cancelled")
    assert.same({"CANCELLED", "cancelled"}, {job.raw_status, job.error.code})
    assert.matches("not from here", job.error.message)
  end)

  it("says what Slurm refuses, and leaves nothing behind", function()
    local before = jobs_of_store()
    local _, err = create("true", {partition = "nowhere"})
    assert.same({"invalid", "500 Invalid partition name specified"}, {err.kind, tostring(err):match "500.*$"})
    assert.equal("invalid", select(2, create("true", {gpus = -1})).kind)
    assert.equal("invalid", select(2, create("true", {partition = "a b"})).kind)
    for words, more in pairs {["it was given: gpus, time"] = {gpus = 1},
      ['Unknown key "nonsense"'] = {extra = {nonsense = 1}},
      ["memory must be a whole number (MB a node)"] = {memory = "4G"},
      ["time must be a whole number (minutes)"] = {time = "1:00:00"}} do
      _, err = create("true", more)
      assert.equal("invalid", (err or {}).kind, words)
      assert.truthy(err.message:find(words, 1, true), err.message)
    end
    assert.equal(before, jobs_of_store())
  end)

  it("tells why a job waits, in `raw` and as an event", function()
    for reason, more in pairs {PartitionConfig = {cpus = 99}, PartitionNodeLimit = {nodes = 5}} do
      local job = assert(create("true", more))
      eventually(reason, 20, function() return assert(provider:get_job(job)).raw.reason == reason end)
      local told = assert(provider:list_events(job)).data
      assert.same({"warn", "the job waits: " .. reason}, {told[1].level, told[1].message})
      assert.is_number(told[1].created_at)
      assert.equal("cancelled", assert(provider:cancel_job(job)).status)
      assert.equal("the job waits: " .. reason, assert(provider:list_events(job)).data[2].message)
    end
  end)

  it("says what it is that answers, where that is no slurmrestd", function()
    for _, url in ipairs {cluster.url .. "/elsewhere", "http://" .. cluster.url:match "//(.*)" .. "/slurm"} do
      local other <close> = open {base_url = url}
      local _, err = other:get_job(late)
      assert.equal("not_found", err.kind)
      assert.truthy(err.message:find(url .. " is no slurmrestd: its /openapi/v3", 1, true), err.message)
    end
  end)

  it("takes a token of a file, and one of scontrol, and shows none", function()
    local path, token = folder .. "/token", cluster:token()
    assert(core.fs.write(path, "SLURM_JWT=" .. token .. "\n"))
    for _, more in ipairs {{api_key = false, token_file = path}, {api_key = false}} do
      local other <close> = open(more)
      assert.equal("running", assert(other:get_job(late)).status)
    end
    local other <close> = open {api_key = "wrong-" .. token}
    local job, err = other:get_job(late)
    assert.is_nil(job)
    assert.matches("does not take the token", err.message)
    assert.is_nil(tostring(err):find(token, 1, true))
    assert(core.fs.write(path, ""))
    local empty <close> = open {api_key = false, token_file = path}
    assert.equal("config", select(2, empty:get_job(late)).kind)
    local endless <close> = open {api_key = false, token_file = "/dev/zero"}
    assert.equal("config", select(2, endless:get_job(late)).kind)
  end)

  it("is asked over a Unix socket, without a token", function()
    local job = assert(create "sleep 30")
    eventually("the socket", 10, function() return core.fs.stat(cluster.socket) end)
    local p <close> = open {base_url = false, api_key = false, unix_socket = cluster.socket}
    eventually("the job runs, by the socket", 30, function()
      local known = p:get_job(job)
      return known and known.status == "running"
    end)
    assert(provider:cancel_job(job))
  end)

  -- Whoever runs slurmrestd there is who the job is of, so all of it is done by that user
  it("takes a job over a Unix socket, without a token", function()
    local as = "setpriv --reuid=nobody --regid=nogroup --clear-groups "
    if (shell.run(as .. "test -r lua/finetune/core.so -a -x lua/finetune/finetune-run")) ~= 0 then
      return pending "another user cannot run this tree"
    end
    local mine = folder .. "/nobody's"
    shell.must(("mkdir %s; chown nobody %s"):format(shell.quote(mine), shell.quote(mine)))
    assert(core.fs.write(mine .. "/data.jsonl", data))
    assert(core.fs.write(mine .. "/submit.lua", [[
      package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
      local finetune = require "finetune"
      local p = assert(finetune.create_provider("slurm", {root = arg[1], unix_socket = arg[2], user = "nobody"}))
      local file = assert(p:upload_file(arg[1] .. "/data.jsonl"))
      local job = assert(p:create_job {model = "command", training_file = file,
        command = {"sh", "-c", 'id -un >"$2/who"', "sh", "{training}", "{output}"}})
      print(assert(p:wait(job, {interval = 0.05, max_interval = 0.2, timeout = 60})).raw_status)
      io.stdout:write(io.open(assert(p:get_model(p:get_job(job).fine_tuned_model)).raw.dir .. "/who"):read "a")]]))
    local status, said = shell.run(("%s lua5.4 %s %s %s"):format(as, shell.quote(mine .. "/submit.lua"),
      shell.quote(mine), cluster.socket))
    assert.equal("COMPLETED\nnobody\n", said)
    assert.equal(0, status)
  end)

  it("lists what there is", function()
    local page = assert(provider:list_jobs {limit = 2})
    assert.equal(2, #page.data)
    local count = 0
    for job in provider:jobs() do
      count = count + 1
      assert.is_string(job.status)
    end
    assert.equal(jobs_of_store(), count)
  end)
end)

describe("slurm, by its programs", function()
  it("does the whole way, and cancels", function()
    local by <close> = open {base_url = false, api_key = false}
    local job = assert(create([[sleep 0.5; cp "$1" "$2/model"]], {cpus = 1, memory = 50, nodes = 1}, by))
    assert.equal("queued", job.status)
    job = assert(by:wait(job, FAST))
    assert.equal("COMPLETED", job.raw_status)
    job = assert(create("exec sleep 100", {extra = {comment = "it's $(id)", hold = true}}, by))
    assert.equal("it's $(id)", cluster:must(("squeue -h -j %d -o %%k"):format(slurm_id(job))):match "^[^\n]*")
    assert.equal("queued", assert(by:get_job(job)).status)
    assert.equal("cancelled", assert(by:cancel_job(job)).status)
    local before = jobs_of_store()
    local _, err = create("true", {partition = "nowhere"}, by)
    assert.equal("invalid", err.kind)
    for _, more in ipairs {{extra = {x = {}}}, {extra = {nonsense = 1}}, {memory = 9999999}} do
      _, err = create("true", more, by)
      assert.equal("invalid", err.kind, tostring(err))
    end
    assert.equal(before, jobs_of_store())
  end)
end)

describe("slurm, when things go wrong:", function()
  it("a time limit", function()
    local job = eventually("the time limit", 150, function() -- it takes its minute, and Slurm looks twice a minute
      local now = assert(provider:get_job(late))
      return now.status == "failed" and now
    end)
    assert.same({"TIMEOUT", "timeout"}, {job.raw_status, job.error.code})
    assert.matches("it reached its time limit.*the log ends with: so far", job.error.message)
  end)

  it("a time limit that nobody saw, of a job that is forgotten", function()
    eventually("it is forgotten", 60, function() return is_forgotten(slurm_id(unseen)) end)
    local job = assert(provider:get_job(unseen))
    assert.same({"failed", "TIMEOUT", "timeout"}, {job.status, job.raw_status, job.error.code})
    assert.matches("it reached its time limit.*the log ends with: so far", job.error.message)
  end)

  it("another job is more urgent", function()
    local job, second = assert(create("exec sleep 100", {cpus = 8})), assert(create("exec sleep 100", {cpus = 8}))
    becomes(job, "running")
    local urgent = assert(create([[cp "$1" "$2/model"]], {cpus = 8, partition = "urgent"}))
    local now = becomes(job, "failed")
    assert.same({"PREEMPTED", "preempted"}, {now.raw_status, now.error.code})
    assert.matches("preempted by another job", now.error.message)
    assert.equal("succeeded", assert(provider:wait(urgent, FAST)).status)
    assert(provider:cancel_job(second))
  end)

  it("more memory than it was given", function()
    if not cluster:limits_memory() then return pending "no cgroups here that could limit memory" end
    local job = assert(create("x=1; while :; do x=$x$x; done", {memory = 40}))
    job = becomes(job, "failed")
    assert.same({"OUT_OF_MEMORY", "out_of_memory"}, {job.raw_status, job.error.code})
    assert.matches("more memory than it was given", job.error.message)
  end)

  it("a folder that the node cannot write to", function()
    local job = assert(create("true", {extra = {standard_output = root .. "/nowhere/slurm.out"}}))
    job = becomes(job, "failed")
    assert.equal("FAILED", job.raw_status)
    assert.matches("may its user write to the job's folder there", job.error.message)
  end)

  it("slurmctld dies and comes back, and what ended meanwhile has ended", function()
    local short = assert(create [[sleep 1; cp "$1" "$2/model"]])
    local long = assert(create [[sleep 4; cp "$1" "$2/model"]])
    becomes(long, "running")
    cluster:lose()
    local _, err = provider:get_job(long)
    assert.is_true(err.kind == "server" or err.kind == "timeout" or err.kind == "transport", tostring(err))
    local before = jobs_of_store()
    local refused = select(2, create "true")
    assert.is_true(refused.kind == "server" or refused.kind == "conflict", tostring(refused))
    if refused.kind == "server" then assert.equal(before, jobs_of_store()) end
    eventually("the end of the short one", 30, function()
      local job = provider:get_job(short)
      return job and job.status == "succeeded"
    end)
    cluster:again()
    assert.equal("succeeded", assert(provider:wait(long, FAST)).status)
  end)

  it("a node goes down", function()
    local job = assert(create "exec sleep 100")
    becomes(job, "running")
    cluster:must(("scontrol update NodeName=%s State=DOWN Reason=test"):format(cluster.node))
    local failed = becomes(job, "failed")
    eventually("the node is up again", 20, function() -- by itself, or asked to
      cluster:run(("scontrol update NodeName=%s State=RESUME"):format(cluster.node))
      local state = cluster:must "sinfo -h -o %t"
      return state:find "^idle" or state:find "^mix"
    end)
    assert.same({"NODE_FAIL", "node_fail"}, {failed.raw_status, failed.error.code})
    assert.matches("its node failed", failed.error.message)
  end)

  it("Slurm starts a job again", function()
    local mark = folder .. "/again"
    local job = assert(create(("[ -e %s ] || { touch %s; exec sleep 100; }; cp \"$1\" \"$2/model\""):format(mark, mark),
      {extra = {requeue = true}}))
    becomes(job, "running")
    eventually("the first run", 10, function() return core.fs.stat(mark) end)
    cluster:must(("scontrol requeue %d"):format(slurm_id(job)))
    becomes(job, "queued")
    finetune.sleep(2) -- slurmd takes no credential of the second in which it revoked the job's last one
    eventually("it need not wait two minutes", 20, function()
      return (cluster:run(("scontrol update JobId=%d StartTime=now"):format(slurm_id(job)))) == 0
    end)
    assert.equal("succeeded", assert(provider:wait(job, FAST)).status)
  end)

  it("Slurm forgets: the folder tells", function()
    local by = assert(create "echo broken; exit 4")
    local asked = assert(create "exec sleep 100")
    local killed = assert(create "exec sleep 100")
    local done = assert(create [[cp "$1" "$2/model"]])
    eventually("they run", 60, function()
      local n = 0
      for _, job in ipairs {asked, killed} do
        n = n + (core.fs.stat(("%s/jobs/%s/started.json"):format(root, job.id)) and 1 or 0)
      end
      return n == 2
    end)
    assert(core.fs.write(root .. "/jobs/" .. asked.id .. "/cancel", "")) -- as cancel_job, whose script then dies
    cluster:must(("scancel %d"):format(slurm_id(asked)))
    local holder = core.lock_holder(root .. "/jobs/" .. killed.id .. "/lock")
    assert(core.kill(holder, "KILL"))
    for _, job in ipairs {by, asked, killed, done} do
      eventually("it is forgotten", 60, function() return is_forgotten(slurm_id(job)) end)
    end
    local job = assert(provider:get_job(by))
    assert.same({"failed", "exit_status"}, {job.status, job.error.code})
    assert.matches("exit status 4: broken", job.error.message)
    assert.equal("cancelled", assert(provider:get_job(asked)).status)
    job = assert(provider:get_job(killed))
    assert.same({"failed", "forgotten"}, {job.status, job.error.code})
    assert.equal("succeeded", assert(provider:get_job(done)).status)
  end)
end)
