-- providers/slurm.lua against answers in the shapes of several versions of slurmrestd, and against answers that are
-- lost. v0.0.38 is as seen of 22.05.8; v0.0.42 as documented (slurmrestd(8), its OpenAPI description), not seen.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"
local testing = require "finetune.testing"

local EXAMPLE = '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'
local NOW = os.time()

describe("slurm's API", function()
  local root, jobs, posted, fault

  -- The job as that version tells it
  local function told(job, version)
    if version < 40 then
      return {job_id = job.id, name = job.name, job_state = job.state, state_reason = job.reason or "None",
        start_time = NOW - 600, end_time = job.ended or NOW - 500}
    end
    local states = {job.state}
    if job.completing then states[2] = "COMPLETING" end
    return {job_id = job.id, name = job.name, job_state = states, state_reason = job.reason or "None",
      start_time = {set = true, infinite = false, number = NOW - 600},
      end_time = {set = true, infinite = false, number = job.ended or NOW - 500},
      exit_code = {status = {"ERROR"}, return_code = {set = true, infinite = false, number = 1}}}
  end

  local function service(versions)
    local newest = versions[#versions]
    local base, paths = ("/slurm/v0.0.%d/"):format(newest), {}
    for _, n in ipairs(versions) do paths[("/slurm/v0.0.%d/job/submit"):format(n)] = {post = {}} end
    paths["/slurm/v0.0.99/jobs"], paths["/openapi"] = {}, {}
    local function take(request)
      local body = core.decode(request.body)
      posted[#posted + 1] = body
      if not fault or fault.taken then
        jobs[#jobs + 1] = {id = #jobs + 1, name = body.job.name, state = "PENDING"}
      end
      if fault then return fault.answer end
      return {json = {job_id = #jobs, step_id = "batch", errors = {}}}
    end
    return (testing.routes {
      ["GET /openapi/v3"] = function() return {json = {paths = paths}} end,
      ["POST " .. base .. "job/submit"] = take,
      ["GET " .. base .. "jobs"] = function()
        if fault and fault.list then return fault.list end
        local list = core.array {}
        for i, job in ipairs(jobs) do list[i] = told(job, newest) end
        return {json = {jobs = list}}
      end,
      ["GET " .. base .. "job/{id}"] = function(_, id)
        local job = jobs[math.tointeger(tonumber(id))]
        if job and not job.gone then return {json = {jobs = {told(job, newest)}}} end
        return {status = newest < 40 and 500 or 404,
          json = {errors = {{error_number = 2017, error = "Invalid job id specified"}}}}
      end,
      ["DELETE " .. base .. "job/{id}"] = function(_, id)
        if fault then return fault.answer end
        jobs[math.tointeger(tonumber(id))].state = "CANCELLED"
        return {status = 200, body = ""}
      end,
    })
  end

  local function open(versions, more)
    local config = {root = root, user = "me", api_key = "token-0123456789", base_url = "https://slurm.example",
      transport = service(versions or {38})}
    for key, value in pairs(more or {}) do config[key] = value end
    return assert(finetune.create_provider("slurm", config))
  end

  local function params(provider, more)
    assert(core.fs.write(root .. "/data.jsonl", EXAMPLE))
    local p = {model = "command", training_file = assert(provider:upload_file(root .. "/data.jsonl")),
      command = {"cp", "{training}", "{output}"}}
    for key, value in pairs(more or {}) do p[key] = value end
    return p
  end

  local function create(provider, more) return provider:create_job(params(provider, more)) end
  local function folders() return core.list_dir(root .. "/jobs") or {} end

  local function write(job, name, doc)
    assert(core.fs.write(("%s/jobs/%s/%s"):format(root, job.id, name), core.encode(doc)))
  end

  before_each(function()
    root, jobs, posted, fault = shell.folder(), {}, {}, nil
  end)
  after_each(function() shell.remove(root) end)

  local ASKED = {partition = "gpu", account = "lab", qos = "high", gpus = 2, nodes = 1, cpus = 8, memory = 32000,
    time = 90, extra = {comment = "mine"}}

  it("is given the resources as v0.0.38 wants them", function()
    local provider <close> = open()
    local made = assert(create(provider, ASKED))
    assert.equal("queued", made.status)
    assert.equal("PENDING", assert(provider:get_job(made)).raw_status)
    local body = posted[1]
    local job = body.job
    assert.matches("^#!/bin/sh\ncd '.*/jobs/job%-.*exec '.*finetune%-run' %$again %.\n$", body.script)
    assert.same({"gpu", "lab", "high", "2", "1", 8, 32000, 90, "mine", 1}, {job.partition, job.account, job.qos,
      job.gpus, job.nodes, job.cpus_per_task, job.memory_per_node, job.time_limit, job.comment, job.tasks})
    assert.equal("me", job.environment.USER)
    assert.matches("/slurm.out$", job.standard_output)
  end)

  it("is asked in its newest version, with fields as that wants them", function()
    local provider <close> = open({40, 41, 42}, {partition = "cpu", environment = {A = "b c"}})
    assert(create(provider, ASKED))
    local body = posted[1]
    local job = body.job
    assert.is_nil(body.script)
    assert.matches("^#!/bin/sh\n", job.script)
    assert.same({"gpu", "gres/gpu:2", "A=b c"}, {job.partition, job.tres_per_job, job.environment[1]})
    assert.same({set = true, infinite = false, number = 90}, job.time_limit)
    assert.same({set = true, infinite = false, number = 32000}, job.memory_per_node)
    assert(create(provider))
    assert.equal("cpu", posted[2].job.partition)
    local older <close> = open {39}
    assert(create(older, ASKED))
    assert.matches("^#!/bin/sh\n", posted[3].script)
    assert.equal("gres:gpu:2", posted[3].job.tres_per_job)
  end)

  it("is asked in the version that the setting names", function()
    local provider <close> = open({38}, {api_version = "v0.0.38"})
    assert(create(provider))
    local other <close> = open({38}, {api_version = "v0.0.41"})
    assert.equal("not_found", select(2, create(other)).kind)
    assert.equal(1, #folders())
    assert.equal("config", select(2, finetune.create_provider("slurm", {root = root, api_version = "38"})).kind)
  end)

  for _, versions in ipairs {{38}, {40, 42}} do
    describe(("(v0.0.%d)"):format(versions[#versions]), function()
      local provider, job

      before_each(function()
        provider = open(versions)
        job = assert(create(provider))
      end)
      after_each(function() provider:close() end)

      it("keeps the reason of a bad end, also when Slurm has forgotten it", function()
        for word, words in pairs {TIMEOUT = "time limit", OUT_OF_MEMORY = "more memory", NODE_FAIL = "node failed",
          PREEMPTED = "preempted", DEADLINE = "deadline", BOOT_FAIL = "boot"} do
          job = assert(create(provider))
          jobs[#jobs].state, jobs[#jobs].reason = word, "Why"
          write(job, "exit.json", {reason = "signal", signal = 9, started_at = NOW - 600, finished_at = NOW - 500})
          assert(provider:get_job(job))
          jobs[#jobs].gone = true
          local now = assert(provider:get_job(job))
          assert.same({"failed", word, word:lower()}, {now.status, now.raw_status, now.error.code})
          assert.matches(words .. ".*%(Why%)", now.error.message)
        end
      end)

      it("waits for Slurm's word where the runner was ended by a signal", function()
        jobs[1].state, jobs[1].completing = versions[1] == 38 and "COMPLETING" or "OUT_OF_MEMORY", true
        write(job, "exit.json", {reason = "signal", signal = 9, started_at = NOW - 600, finished_at = NOW - 500})
        assert.equal("finalizing", assert(provider:get_job(job)).status)
        jobs[1].state, jobs[1].completing = "OUT_OF_MEMORY", nil
        assert.equal("out_of_memory", assert(provider:get_job(job)).error.code)
      end)

      it("does not call a job cancelled that nobody cancelled from here", function()
        jobs[1].state = "FAILED"
        write(job, "exit.json", {reason = "cancelled", signal = 15, started_at = NOW - 600, finished_at = NOW - 500})
        local now = assert(provider:get_job(job))
        assert.same({"failed", "terminated"}, {now.status, now.error.code})
      end)

      it("believes what Slurm wrote into the job's output where the job is forgotten and nobody looked", function()
        local stopped = "slurmstepd-n1: error: *** JOB 1 ON n1 CANCELLED AT 2026-11-22T10:00:00 DUE TO %s ***\n"
        for word, text in pairs {TIMEOUT = stopped:format "TIME LIMIT", PREEMPTED = stopped:format "PREEMPTION",
          OUT_OF_MEMORY = "slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=1.batch. Some of your\n",
          FAILED = "a trainer says: DUE TO TIME LIMIT, exceeded memory limit\n"} do
          for _, reason in ipairs {"cancelled", false} do
            job = assert(create(provider))
            jobs[#jobs].gone = true
            assert(core.fs.write(("%s/jobs/%s/slurm.out"):format(root, job.id), "begun\n" .. text))
            if reason then
              write(job, "exit.json", {reason = reason, signal = 15, started_at = NOW - 600, finished_at = NOW - 500})
            end
            local now = assert(provider:get_job(job))
            assert.equal(word == "FAILED" and reason and "CANCELLED" or word, now.raw_status)
            assert.equal(word == "FAILED" and (reason and "terminated" or "forgotten") or word:lower(), now.error.code)
          end
        end
      end)

      it("keeps what was seen of a job: why it waited, and how it ended", function()
        local function look(state, reason)
          jobs[1].state, jobs[1].reason = state, reason
          return assert(provider:get_job(job))
        end
        assert.is_nil(look("PENDING", "None").raw.reason)
        assert.equal("PartitionNodeLimit", look("PENDING", "PartitionNodeLimit").raw.reason)
        assert.equal("PartitionNodeLimit", look("PENDING", "PartitionNodeLimit").raw.reason)
        look("PENDING", "Resources")
        look("RUNNING", "None")
        look("COMPLETING", "TimeLimit")
        jobs[1].gone = true
        local said = {}
        for event in provider:events(job) do said[#said + 1] = event.level .. " " .. event.message end
        assert.matches("^error job failed: it reached its time limit", table.remove(said, 1))
        assert.same({"info the job waits: Resources", "warn the job waits: PartitionNodeLimit", "info job created"},
          said)
        local now = assert(provider:get_job(job))
        assert.same({"TIMEOUT", "timeout"}, {now.raw_status, now.error.code})
      end)

      it("says the same word of every job that ended alike", function()
        for _, case in ipairs {{"COMPLETED", "exited", 0, "COMPLETED"}, {"COMPLETED", "exited", 3, "FAILED"},
          {"FAILED", "exited", 3, "FAILED"}, {nil, "exited", 0, "COMPLETED"}, {nil, "exited", 3, "FAILED"}} do
          job = assert(create(provider))
          jobs[#jobs].state, jobs[#jobs].gone = case[1], case[1] == nil
          assert(core.fs.mkdir(("%s/jobs/%s/out/model"):format(root, job.id)))
          write(job, "exit.json", {reason = case[2], code = case[3], started_at = NOW - 600, finished_at = NOW - 500})
          assert.equal(case[4], assert(provider:get_job(job)).raw_status)
        end
      end)

      it("waits not for ever where the controller's clock is ahead", function()
        jobs[1].state, jobs[1].ended = "COMPLETED", NOW + 86400
        assert.equal("failed", assert(provider:get_job(job)).status)
        local other = assert(create(provider))
        jobs[2].state, jobs[2].ended = "COMPLETED", NOW + 10
        assert.equal("finalizing", assert(provider:get_job(other)).status)
      end)

      it("believes the folder where the job is forgotten", function()
        jobs[1].gone = true
        assert.same({"failed", "forgotten", "FAILED"}, {provider:get_job(job).status, provider:get_job(job).error.code,
          provider:get_job(job).raw_status})
        local other = assert(create(provider))
        jobs[2].gone = true
        write(other, "exit.json", {reason = "cancelled", signal = 15, started_at = NOW - 600, finished_at = NOW - 500})
        other = assert(provider:get_job(other))
        assert.same({"cancelled", "terminated"}, {other.status, other.error.code})
      end)

      it("does not take another's job for its own", function()
        jobs[1].name, jobs[1].state = "somebody-else", "RUNNING"
        assert.equal("forgotten", assert(provider:get_job(job)).error.code)
      end)

      it("does not remember a cancel that Slurm refused, but one that may have come", function()
        jobs[1].state = "RUNNING"
        fault = {answer = {status = 500, json = {errors = {{error = "Access/permission denied"}}}}}
        assert.is_nil((provider:cancel_job(job)))
        assert.equal("running", assert(provider:get_job(job)).status)
        fault = {answer = {fail = "timeout"}}
        assert.equal("timeout", select(2, provider:cancel_job(job)).kind)
        assert.equal("cancelling", assert(provider:get_job(job)).status)
      end)

      it("remembers that a cancel was asked for", function()
        jobs[1].state = "RUNNING"
        assert.equal("running", assert(provider:get_job(job)).status)
        assert.equal("cancelled", assert(provider:cancel_job(job)).status)
        local other = assert(create(provider))
        jobs[2].state = "RUNNING"
        write(other, "cancel", {})
        assert.equal("cancelling", assert(provider:get_job(other)).status)
        jobs[2].state = "FAILED" -- so ends a job that is cancelled while it starts
        assert.equal("cancelled", assert(provider:get_job(other)).status)
      end)
    end)
  end

  describe("whose answer to a submission is lost:", function()
    it("the job is found by its name, and not sent again", function()
      for _, answer in ipairs {{fail = "timeout"}, {fail = "reset"}, {status = 502, body = "x"}, {body = "garbage"},
        {json = {}}} do
        fault, posted = {taken = true, answer = answer}, {}
        local provider <close> = open()
        local job = assert(create(provider))
        assert.equal(1, #posted)
        assert.equal("queued", job.status)
      end
      assert.equal(5, #folders())
    end)

    it("one that is not there is a conflict, and its token sends it again in the same folder", function()
      fault = {answer = {fail = "timeout"}}
      local provider <close> = open()
      local p = params(provider)
      local _, err = provider:create_job(p)
      assert.equal("conflict", err.kind)
      assert.equal("timeout", err.cause.kind)
      assert.equal(0, #assert(provider:list_jobs()).data)
      fault = nil
      p.token = err.token
      local job = assert(provider:create_job(p))
      assert.equal(2, #posted)
      assert.equal(posted[1].job.name, posted[2].job.name)
      assert.same({job.id}, folders())
      assert.equal(job.id, assert(provider:create_job(p)).id)
      assert.equal(2, #posted)
    end)

    it("nor is it known where slurmrestd lost the controller, or a proxy slurmrestd", function()
      local provider <close> = open()
      for _, answer in ipairs {{status = 504, body = "late"}, {status = 500, json = {errors = {
        {error = "Socket timed out on send/recv operation"}}}}} do
        fault = {answer = answer}
        assert.equal("conflict", select(2, create(provider)).kind)
      end
      assert.equal(2, #folders())
    end)

    it("one that came late is found by its token, or by a list", function()
      fault = {taken = true, answer = {fail = "timeout"}, list = {fail = "timeout"}}
      local provider <close> = open()
      local p = params(provider)
      local _, err = provider:create_job(p)
      assert.equal("conflict", err.kind)
      assert.matches("could not be looked for", err.message)
      p.token, fault = err.token, nil
      assert.equal(1, #assert(provider:list_jobs()).data)
      assert.equal("queued", assert(provider:create_job(p)).status)
      assert.equal(1, #posted)
    end)

    it("one that ran before anybody looked, and is forgotten, has its folder", function()
      fault = {taken = true, answer = {fail = "timeout"}, list = {fail = "timeout"}}
      local provider <close> = open()
      assert.equal("conflict", select(2, create(provider)).kind)
      jobs, fault = {}, nil
      assert.equal(0, #assert(provider:list_jobs()).data)
      local job = {id = folders()[1]}
      write(job, "lock", {})
      write(job, "exit.json", {reason = "exited", code = 3, started_at = NOW - 600, finished_at = NOW - 500})
      assert.equal("exit_status", assert(provider:list_jobs()).data[1].error.code)
    end)

    it("one that Slurm refused leaves nothing", function()
      fault = {answer = {status = 500, json = {errors = {{error_code = 2000, error = "Invalid partition name"}}}}}
      local provider <close> = open()
      local _, err = create(provider)
      assert.equal("invalid", err.kind)
      fault.answer = {status = 500, json = {errors = {{error = "Access/permission denied"}}}}
      assert.equal("permission", select(2, create(provider)).kind)
      fault.answer.json.errors[1].error = "Unable to contact slurm controller (connect failure)"
      assert.equal("server", select(2, create(provider)).kind)
      fault.answer = {fail = "connect"}
      assert.equal("transport", select(2, create(provider)).kind)
      assert.same({}, folders())
    end)
  end)

  it("may answer anything", function()
    local provider <close> = open()
    local job = assert(create(provider))
    for _, body in ipairs {'{"jobs":{}}', '{"jobs":[1]}', '{"jobs":[{"job_id":1}]}', '{"jobs":[{"job_id":1,'
      .. '"job_state":{}}]}', '{"jobs":[{"job_id":-1,"job_state":"RUNNING"}]}', '{"jobs":3}', "[]", "x", '{"jobs":['
      .. '{"job_id":1,"job_state":[[]],"name":7}]}', '{"jobs":[{"job_id":"1","job_state":[7]}]}'} do
      local other <close> = open({38}, {transport = testing.transport {
        {json = {paths = {["/slurm/v0.0.38/job/submit"] = {}}}}, {body = body, times = 2}}})
      local now, err = other:get_job(job)
      assert.is_true(now ~= nil or err.kind == "decode", body .. " " .. tostring(err))
    end
  end)

  it("says what it could not read, where it is, and what is missing", function()
    fault = {answer = {status = 400, json = {errors = {{description = 'Unknown key "x"', source = "hsearch_r"},
      {error_code = 9001, error = "Failure during parsing"}}}}}
    local provider <close> = open()
    local _, err = create(provider, {gpus = 1})
    assert.same({"invalid", 400}, {err.kind, err.status})
    assert.equal('Unknown key "x"; Failure during parsing; it was given: gpus (does this cluster have them all?)',
      err.message)
    assert.same({}, folders())
    local other <close> = open({38}, {transport = testing.transport {{status = 404, body = "<html>", times = 9}}})
    _, err = create(other)
    assert.equal("not_found", err.kind)
    assert.matches("^https://slurm.example is no slurmrestd: its /openapi/v3 .*404.*FINE_TUNE_SLURM_URL", err.message)
    assert(core.fs.write(root .. "/submit.lua", [[
      package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
      local p = assert(require("finetune").create_provider("slurm", {root = arg[1], user = "me", slurm_conf = arg[2]}))
      local job, err = p:create_job {model = "command", training_file = assert(p:upload_file(arg[1] .. "/data.jsonl")),
        command = {"cp", "{training}", "{output}"}}
      print(err.kind, err.message)]]))
    local lua = shell.must "command -v lua5.4":match "%S+"
    shell.must(("mkdir %s/bin; ln -s $(command -v env) /bin/pwd %s/bin"):format(root, root))
    for _, conf in ipairs {"", root .. "/slurm.conf"} do -- with it, `env` runs the program
      local said = shell.must(("PATH=%s/bin %s/submit.lua %s %s"):format(root, lua .. " " .. root, root, conf))
      assert.matches("^config\tthere is no %l+ in PATH: .* FINE_TUNE_SLURM_URL %(base_url%)", said)
    end
    assert.same({}, folders())
  end)

  it("refuses a seed that the trainer cannot take, though that is not installed here", function()
    local provider <close> = open()
    local p = params(provider, {model = "org/base", recipe = "trl", seed = -5})
    p.command = nil
    local _, err = provider:create_job(p)
    assert.same({"invalid", "seed"}, {err.kind, err.param})
  end)

  it("needs settings that make sense", function()
    for words, config in pairs {["absolute path"] = {root = "x"}, ["not /"] = {root = "//"}, gpus = {gpus = -1},
      grace = {grace = -1}, ["(MB a node)"] = {memory = "4G"},
      ["(minutes)"] = {time = 0}, partition = {partition = "a b"}, environment = {environment = {["a=b"] = "c"}},
      ["absolute path, in UTF-8"] = {root = "/a\nb"}} do
      config.root = config.root or root
      local provider, err = finetune.create_provider("slurm", config)
      assert.is_nil(provider)
      assert.equal("config", err.kind)
      assert.is_truthy(err.message:find(words, 1, true), err.message)
    end
  end)
end)
