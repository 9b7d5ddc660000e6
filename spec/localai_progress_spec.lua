-- providers/localai.lua: the progress of a job, which LocalAI tells once and to whoever listens; what becomes of jobs
-- whose end nobody heard; and faults at each step.

local core = require "finetune.core"
local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local whole = require "spec.support.whole"

local DATA = "examples/data/support.jsonl"
local failed = live.failed

local s

lazy_setup(function() s = whole.watch(service.start {dialect = "localai", job_seconds = 0.2}, "localai") end)
lazy_teardown(function() s:stop() end)
before_each(function() s:reset() end)
after_each(live.clean)
after_each(function() s:check() end)

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, retry_delay = 0.001, poll_interval = 0.02, progress_wait = 0.2,
    max_retries = 1}
  for name, value in pairs(config or {}) do settings[name] = value end
  return assert(finetune.create_provider("localai", settings))
end

local PARAMS = {training_file = "yahma/alpaca-cleaned", hyperparameters = {n_epochs = 1}}

local function create(p, more)
  local params = {model = s.model}
  for name, value in pairs(PARAMS) do params[name] = value end
  for name, value in pairs(more or {}) do params[name] = value end
  return p:create_job(params)
end

local function started(p) return assert(create(p)) end

local QUICK = {interval = 0.02, max_interval = 0.05}

local function no_key(err)
  local text = json.encode({tostring(err), err.message, err.cause and err.cause.message}) or ""
  assert.is_nil(text:find(s.key, 1, true), text)
end

local function targets()
  local out = {}
  for i, r in ipairs(s:requests()) do
    out[i] = r.method .. " " .. r.target:gsub("/api/fine%-tuning", ""):gsub("%x+%-%x+%-[%x-]+", "J")
  end
  return out
end

describe("localai: a job's progress", function()
  it("is listened to by get_job, for that is what moves the status", function()
    local p <close> = provider {progress_wait = 5} -- no longer than until the end is told
    local job = started(p)
    s:jump(job.id, 1)
    assert.equal("queued", json.decode((select(3, s:request("GET", "/api/fine-tuning/jobs/" .. job.id)))).status)
    s:clear()
    job = assert(p:get_job(job))
    assert.equal("succeeded", job.status)
    assert.same({"GET /jobs/J", "GET /jobs/J/progress", "GET /jobs/J"}, targets())
    assert.equal("text/event-stream", s:requests()[2].header.accept)
    s:clear()
    assert(p:get_job(job))
    assert.same({"GET /jobs/J"}, targets()) -- a finished one has nothing more to say
  end)

  it("may be silent: LocalAI sends not even headers then", function()
    s:set {job_seconds = 60}
    local p <close> = provider()
    local job = started(p)
    local took, again = live.timed(function() return assert(p:get_job(job)) end)
    assert.equal("queued", again.status)
    assert.is_true(took >= 0.15 and took < 50, tostring(took))
  end)

  it("becomes the job's progress, events and metrics", function()
    s:set {job_seconds = 60}
    local p <close> = provider {progress_wait = 1}
    local job = started(p)
    s:jump(job.id, 0.6)
    job = assert(p:get_job(job))
    assert.same({"running", "training"}, {job.status, job.raw_status})
    assert.is_true(job.progress > 0.2 and job.progress < 0.8)
    local page = assert(p:list_events(job))
    local newest = page.data[1]
    assert.same({"metrics", "info"}, {newest.type, newest.level})
    assert.matches("^step %d+ of 14: loss %d", newest.message)
    assert.equal(newest.data.step, newest.raw.current_step)
    assert.equal("loading_model-0", page.data[#page.data].id)
    local rows = assert(p:list_metrics(job)).data
    assert.equal(newest.data.train_loss, rows[#rows].train_loss)
    assert.is_number(rows[1].mean_token_accuracy or rows[1].train_accuracy)
  end)

  it("gives events in pages, each once, with ids that stay", function()
    local p <close> = provider {progress_wait = 5}
    local job = started(p)
    s:jump(job.id, 1)
    assert(p:get_job(job))
    local ids, n = {}, 0
    for event in p:events(job, {limit = 5}) do
      assert.is_nil(ids[event.id], event.id)
      ids[event.id], n = true, n + 1
    end
    assert.equal(#assert(p:list_events(job)).data, n)
    assert.is_true(ids["training-14"] and ids["training-14.2"] and ids["completed-14"])
    assert.equal("invalid", failed(p:list_events(job, {after = "nobody"})).kind)
  end)

  it("is not told twice: another instance has the state alone", function()
    local p <close> = provider {progress_wait = 5}
    local other <close> = provider()
    local job = started(p)
    s:jump(job.id, 1)
    assert(p:get_job(job))
    local events = assert(other:list_events(job)).data
    assert.same({1, "completed-0", "Training completed"}, {#events, events[1].id, events[1].message})
    local rows = assert(other:list_metrics(job)).data -- from the checkpoints
    assert.same({1, 14}, {#rows, rows[1].step})
  end)

  it("moves in list_jobs, all at once, in pages", function()
    s:set {job_seconds = 60}
    local p <close> = provider {progress_wait = 1}
    local jobs = {started(p), started(p), started(p)}
    for _, job in ipairs(jobs) do s:jump(job.id, 0.5) end
    local took, page = live.timed(function() return assert(p:list_jobs {limit = 2}) end)
    assert.is_true(took < 2.5, "one after the other")
    assert.same({2, true, jobs[3].id, "running"}, {#page.data, page.has_more, page.data[1].id, page.data[2].status})
    page = assert(p:list_jobs {after = page.next})
    assert.same({1, false, jobs[1].id}, {#page.data, page.has_more, page.data[1].id})
    assert.equal("invalid", failed(p:list_jobs {metadata = {a = "b"}}).kind)
  end)

  it("many are followed at once", function()
    local p <close> = provider()
    local jobs = {}
    for i = 1, 5 do jobs[i] = started(p) end
    local done = finetune.map(jobs, function(job) return p:wait(job, QUICK) end)
    for i = 1, 5 do assert.equal("succeeded", done[i].status) end
  end)
end)

describe("localai: the end of a job", function()
  it("that failed has LocalAI's words", function()
    s:set {fail = {message = "CUDA out of memory"}}
    local p <close> = provider()
    local job = started(p)
    local _, err, last = p:wait(job, QUICK)
    assert.same({"job", "failed"}, {err.kind, last.status})
    assert.equal("Training failed: CUDA out of memory", last.error.message)
    assert.matches("CUDA out of memory", err.message)
    assert.equal("error", assert(p:list_events(job)).data[1].level)
  end)

  it("that was stopped: cancel_job, with save_checkpoint", function()
    s:set {job_seconds = 60}
    local p <close> = provider()
    local job = started(p)
    assert.equal("conflict", failed(p:delete_job(job)).kind)
    s:clear()
    assert.same({"cancelled", "stopped"}, {(function(j) return j.status, j.raw_status end)(
      assert(p:cancel_job(job, {save_checkpoint = true})))})
    assert.same({"GET /jobs/J", "POST /jobs/J/stop?save_checkpoint=true", "GET /jobs/J"}, targets())
    local err = failed(p:cancel_job(job))
    assert.same({"conflict", "job " .. job.id .. " is stopped already"}, {err.kind, err.message})
    assert.equal("not_found", failed(p:cancel_job "nobody").kind)
    assert.is_true(assert(p:delete_job(job)).deleted)
  end)

  it("that nobody heard, because its last event was lost, is a failure with words", function()
    s:set {fail = {message = "no more"}, robbed_seconds = 10}
    local p <close> = provider {progress_wait = 0.04}
    local job = started(p)
    s:jump(job.id, 0.3)
    assert.equal("running", assert(p:get_job(job)).status) -- it left; the next event goes to nobody
    finetune.sleep(0.3)
    local _, err, last = p:wait(job, QUICK)
    assert.same({"job", "failed", "training"}, {err.kind, last.status, last.raw_status and last.raw.status})
    assert.matches("does not say how", last.error.message)
  end)

  it("that nobody heard, though all steps were, is a success", function()
    s:set {job_seconds = 60, robbed_seconds = 10}
    local p <close> = provider {progress_wait = 0.1}
    local job = started(p)
    s:jump(job.id, 0.91)
    assert.equal("running", assert(p:get_job(job)).status)
    s:jump(job.id, 1)
    job = assert(p:wait(job, QUICK))
    assert.same({"succeeded", "training"}, {job.status, job.raw.status})
    assert.equal("late", assert(p:deploy_model(job, {name = "late"})).id)
  end)

  it("whose process died is a failure with words, and can be stopped and deleted", function()
    s:set {crash = 0.5}
    local p <close> = provider()
    local job = started(p)
    local _, err = p:wait(job, QUICK)
    assert.equal("job", err.kind)
    assert.matches("its process has ended: rpc error: code = NotFound", err.message)
    assert.equal("cancelled", assert(p:cancel_job(job)).status)
    assert.is_true(assert(p:delete_job(job)).deleted)
  end)
end)

describe("localai: a job whose creation", function()
  it("was refused in LocalAI's words was not made", function()
    local p <close> = provider()
    local err = failed(create(p, {backend = "unknown"}))
    assert.same({"server", 500}, {err.kind, err.status})
    assert.matches("failed to load backend unknown", err.message)
    assert.equal(1, #s:requests())
  end)

  for _, fault in ipairs {{kind = "reset"}, {kind = "truncate"}, {kind = "html"}, {kind = "status", status = 502},
    {kind = "stall"}} do
    it("lost its answer is found by its token: " .. fault.kind, function()
      local p <close> = provider {timeout = fault.kind == "stall" and 0.5 or nil}
      fault.method, fault.path, fault.apply = "POST", "/jobs$", true
      s:fault(fault)
      local job = started(p)
      assert.equal(1, #s:requests {method = "POST"})
      assert.is_table(s:state().jobs[job.id])
    end)
  end

  it("is unknown is a conflict, told with what might be it", function()
    local p <close> = provider()
    local other = started(p)
    s:fault {kind = "reset", method = "POST", path = "/jobs$"}
    local err = failed(create(p))
    assert.same({"conflict", 1, other.id}, {err.kind, #err.candidates, err.candidates[1].id})
    no_key(err)
    local job = assert(create(p, {token = err.token}))
    assert.equal(job.id, assert(create(p, {token = err.token})).id)
    assert.equal(3, #s:requests {method = "POST"})
  end)
end)

describe("localai: faults", function()
  local KINDS = {
    {{kind = "status", status = 500, body = {error = "disk full"}}, "server", "disk full"},
    {{kind = "status", status = 401, body = {error = {code = 401, message = "An authentication key is required"}}},
      "auth", "authentication key"},
    {{kind = "status", status = 403, body = {error = {code = 403, message = "feature not enabled for your account"}}},
      "permission", "feature not enabled"},
    {{kind = "status", status = 404, body = {error = "job not found: x"}}, "not_found", "job not found"},
    {{kind = "reset"}, "transport"}, {{kind = "stall"}, "timeout"}, {{kind = "truncate"}, "decode"},
    {{kind = "html"}, "decode"}, {{kind = "bad_utf8"}, "decode"},
  }
  local STEPS = {
    {"POST", "/datasets$", function(p) return p:upload_file(DATA) end},
    {"GET", "/jobs/[^/]+$", function(p, job) return p:get_job(job) end},
    {"GET", "/jobs$", function(p) return p:list_jobs() end},
    {"POST", "/stop$", function(p, job) return p:cancel_job(job) end},
    {"GET", "/checkpoints$", function(p, job) return p:list_checkpoints(job) end},
    {"GET", "/v1/models$", function(p) return p:list_models() end},
    {"POST", "/models/delete/", function(p) return p:delete_model "llama-served" end},
    {"GET", "/models/jobs/", function(p) return p:delete_model "llama-served" end},
  }
  local POSTS = {["/datasets$"] = STEPS[1][3], ["/stop$"] = STEPS[4][3], ["/models/delete/"] = STEPS[7][3],
    ["/jobs$"] = function(p) return create(p) end}
  for _, step in ipairs(STEPS) do
    it(("of %s %s"):format(step[1], step[2]), function()
      local p <close> = provider {max_retries = 0}
      local hasty <close> = provider {timeout = 0.5, max_retries = 0}
      for _, case in ipairs(KINDS) do
        s:reset()
        s:set {job_seconds = 60}
        local job = started(p)
        local fault = {method = step[1], path = step[2], times = "always"}
        for key, value in pairs(case[1]) do fault[key] = value end
        local polled = step[2] == "/models/jobs/" and fault.status == 500 -- "not known yet" there
        s:fault(fault)
        if not polled then
          local err = failed(step[3](fault.kind == "stall" and hasty or p, job))
          assert.equal(case[2], err.kind, fault.kind .. ": " .. tostring(err))
          if case[3] then assert.matches(case[3], err.message) end
          no_key(err)
        end
      end
    end)
  end

  local function exported(p, how)
    local job = assert(p:wait(started(p), QUICK))
    if how then assert(p:deploy_model(job, {name = "mine"})) end
    return job
  end

  local function no_word_to(other)
    for _, r in ipairs(other:requests()) do
      assert.equal("GET", r.method)
      assert.is_nil(json.encode(r):find(s.key, 1, true))
      assert.is_nil(r.header.authorization)
    end
  end

  -- an export's steps -> its requests, how many of them go well, the operation, whether the model is there already
  local EXPORT = {
    ask = {"POST", "/export$", 0, function(p, job) return p:deploy_model(job, {name = "mine"}) end},
    poll = {"GET", "/jobs/[^/]+$", 1, function(p, job) return p:deploy_model(job, {name = "mine"}) end},
    download = {"GET", "/download$", 0, function(p, job) return p:download_file(job) end, true},
  }
  local EXPORT_FAULTS = {status = "server", reset = "transport", truncate = "decode", html = "decode"}

  for name, step in pairs(EXPORT) do
    local function meet(fault)
      local p <close> = provider {max_retries = 0}
      local job = exported(p, step[5])
      s:clear()
      fault.method, fault.path, fault.skip, fault.times = step[1], step[2], step[3], "always"
      s:fault(fault)
      local err = failed(step[4](p, job))
      no_key(err)
      assert.is_true(s:faults()[1].hits > 0)
      assert.equal(name == "download" and 0 or 1, #s:requests {path = "/export$"})
      return err
    end

    for kind, expected in pairs(EXPORT_FAULTS) do
      -- an archive is handed on as it comes: what is in it is not for the provider to judge
      if name ~= "download" or kind == "status" or kind == "reset" then
        it(("of an export, step %s: %s"):format(name, kind), function()
          local err = meet {kind = kind}
          assert.equal(expected, err.kind, tostring(err))
        end)
      end
    end

    it("of an export, step " .. name .. ": a redirect to another host gets no key", function()
      local other <close> = service.start {dialect = "localai"}
      local err = meet {kind = "redirect", status = 307, location = other.url .. "/v1/models"}
      assert.equal(step[1] == "GET" and "auth" or "transport", err.kind, tostring(err))
      assert.equal(step[1] == "GET", #other:requests() > 0)
      no_word_to(other)
    end)
  end

  it("a download that ends too early is no success", function()
    local p <close> = provider {max_retries = 0}
    local job = exported(p, true)
    s:fault {kind = "length", how = "long", path = "/download$", times = "always"}
    local out = live.path()
    os.remove(out)
    assert.equal("transport", failed(p:download_file(job, {output = out})).kind)
    assert.is_nil(io.open(out))
  end)

  for path, call in pairs(POSTS) do
    it("a redirected POST goes nowhere: " .. path, function()
      local other <close> = service.start {dialect = "localai", auth = "none"}
      s:set {job_seconds = 60}
      local p <close> = provider {max_retries = 0}
      local job = started(p)
      for _, status in ipairs {301, 302, 303, 307, 308} do
        s:fault {kind = "redirect", status = status, method = "POST", path = path, location = other.url .. "/v1/models"}
        local err = failed(call(p, job))
        assert.is_true(err.kind == "transport" or path == "/jobs$" and err.kind == "conflict", tostring(err))
        no_key(err)
        assert.equal(0, #other:requests())
      end
    end)
  end

  it("of the progress leave get_job the state, and are list_events' own", function()
    s:set {job_seconds = 60}
    for kind, expected in pairs {status = "server", reset = "transport", close = "transport"} do
      local p <close> = provider()
      local job = started(p)
      s:fault {kind = kind, path = "/progress$", times = "always"}
      assert.equal(expected, failed(p:list_events(job)).kind)
      assert.equal("queued", assert(p:get_job(job)).status)
      s:clear()
    end
  end)

  it("of the progress that are no stream do not end the job", function()
    s:set {job_seconds = 60}
    local p <close> = provider()
    local job = started(p)
    s:fault {kind = "html", path = "/progress$", times = "always"}
    for _ = 1, 4 do assert.equal("queued", assert(p:get_job(job)).status) end
  end)

  it("a redirect to another host gets no key", function()
    local other <close> = service.start {dialect = "localai"}
    local p <close> = provider()
    s:fault {kind = "redirect", path = "/v1/models$", location = other.url .. "/v1/models", times = "always"}
    no_key(failed(p:list_models()))
    for _, r in ipairs(other:requests()) do
      assert.is_nil(json.encode(r):find(s.key, 1, true))
      assert.is_nil(r.header.authorization)
    end
  end)

  it("a wrong key is told, and not shown", function()
    local p <close> = provider {api_key = "sk-wrong-0123456789"}
    local err = failed(p:upload_file(DATA))
    assert.same({"auth", 401, "An authentication key is required"}, {err.kind, err.status, err.message})
    assert.is_nil(tostring(err):find("sk-wrong", 1, true))
  end)

  it("an upload can be cancelled in its middle", function()
    local p <close> = provider()
    for _, at in ipairs {"request", "upload", "answer"} do
      s:fault {kind = "stall", at = at, path = "/datasets$", bytes = 1000}
      local call = p:async("upload_file", {path = DATA})
      live.until_true(function() return s:faults()[1].hits > 0 end)
      finetune.step(0.02)
      assert.is_true(call:cancel())
      assert.equal("cancelled", select(2, call:result()).kind)
      s:clear()
      assert.same({}, s:state().files)
    end
  end)

  it("hostile documents are no crash", function()
    local answers = {"[]", "{}", '"x"', "3", '{"id":5}',
      '{"id":"j","status":{},"config":[1],"message":{},"created_at":[]}',
      '{"id":"j","status":"completed","output_dir":7,"export_model_name":{},"config":{"num_epochs":{},"seed":"x"}}',
      '{"checkpoints":[1,{"path":{}},{"path":"/c","step":"x","loss":{},"created_at":1}]}', '[1,"x",{"id":{}},null]',
      '{"data":[1,{"id":3},{"id":"m","owned_by":{}}]}', '{"path":{},"uuid":[],"model_name":7,"error":{"message":[]}}',
      'data: 5\n\ndata: {"status":{},"current_step":"x","extra_metrics":[{}],"loss":"a","message":[]}\n\n'}
    for _, answer in ipairs(answers) do
      local p <close> = provider {transport = function()
        return {status = 200, body = answer, headers = {["content-type"] = "text/event-stream"}}
      end}
      for op, params in pairs {get_job = {job_id = "j"}, list_jobs = {}, list_checkpoints = {job_id = "j"},
        list_events = {job_id = "j"}, list_models = {}, cancel_job = {job_id = "j"}, list_metrics = {job_id = "j"},
        delete_model = {model = "m", wait_timeout = 0.05}, upload_file = {path = DATA},
        deploy_model = {model = "j", wait_timeout = 0.05}, create_job = {model = "m", training_file = "f"}} do
        local value, err = p[op](p, params)
        assert.is_true(value ~= nil or core.is_error(err) and err.kind ~= "provider", op .. ": " .. tostring(err))
      end
    end
  end)
end)
