-- Waiting for a job and following it. No network, no clock but for pauses of milliseconds.

local finetune = require "finetune"
local recorder = require "spec.support.recorder"

local calls, serve, provider

local function message_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "it did not raise")
  return tostring(err)
end

before_each(function()
  provider = recorder.open()
  calls, serve = recorder.calls, recorder.serve
end)

after_each(function() recorder.close(provider) end)

describe("wait", function()
  local FAST = {interval = 0.001, max_interval = 0.002, timeout = 5}

  local function fast(more)
    local t = {}
    for key, value in pairs(FAST) do t[key] = value end
    for key, value in pairs(more or {}) do t[key] = value end
    return t
  end

  it("gives the job that succeeded", function()
    recorder.states {"queued", "running", "succeeded"}
    local job = assert(provider:wait("j", FAST))
    assert.equal("succeeded", job.status)
    assert.equal(3, #calls)
  end)

  it("takes the job, and a table of all parameters", function()
    recorder.states {"succeeded"}
    assert.equal("j", provider:wait({id = "j", status = "queued"}).id)
    assert.equal("j", provider:wait({job_id = "j", timeout = 1}).id)
  end)

  it("tells of every poll", function()
    recorder.states {"queued", "queued", "running", "succeeded"}
    local seen = {}
    assert(provider:wait("j", fast {on_progress = function(job) seen[#seen + 1] = job.status end}))
    assert.same({"queued", "queued", "running", "succeeded"}, seen)
  end)

  it("gives a failed job's own reason", function()
    recorder.states {{status = "failed",
      error = {code = "bad_data", message = "line 7 is empty", param = "training_file"}}}
    local job, err, last_job = provider:wait("j", FAST)
    assert.is_nil(job)
    assert.equal("job", err.kind)
    assert.equal("bad_data", err.code)
    assert.equal("training_file", err.param)
    assert.matches("job j failed: line 7 is empty", err.message)
    assert.equal("failed", last_job.status)
    assert.matches("^finetune: recorder wait: ", tostring(err))
  end)

  it("takes the reason from the events where the job has none", function()
    recorder.states {"failed"}
    serve.list_events = function()
      return {data = {{id = "2", level = "info", message = "bye"}, {id = "1", level = "error", message = "disk full"}},
        has_more = false}
    end
    local _, err = provider:wait("j", FAST)
    assert.matches("disk full", err.message)
  end)

  it("gives a cancelled job as one that did not succeed", function()
    recorder.states {"cancelled"}
    local job, err, last_job = provider:wait("j", FAST)
    assert.is_nil(job)
    assert.equal("job", err.kind)
    assert.matches("was cancelled", err.message)
    assert.equal("cancelled", last_job.status)
  end)

  it("leaves the job running when the time is over", function()
    recorder.states {"running"}
    local job, err, last_job = provider:wait("j", fast {timeout = 0.05})
    assert.is_nil(job)
    assert.equal("timeout", err.kind)
    assert.matches("job j was not finished after 0.05 s", err.message)
    assert.equal("running", last_job.status)
    for _, call in ipairs(calls) do assert.not_equal("cancel_job", call.op) end
  end)

  it("keeps its deadline when an answer does not come", function()
    serve.get_job = function(_, ctx) ctx:sleep(60) end
    local job, err, last_job = provider:wait("j", fast {timeout = 0.05})
    assert.is_nil(job)
    assert.equal("timeout", err.kind)
    assert.is_nil(last_job)
    assert.equal(0, finetune.pending())
  end)

  it("does not take an unknown status for the end", function()
    recorder.states {"hibernating", "hibernating", "succeeded"}
    assert.equal("succeeded", provider:wait("j", FAST).status)
  end)

  it("waits out trouble that will pass", function()
    recorder.states {"running", {fail = {kind = "transport", message = "reset"}},
      {fail = {kind = "server", message = "500"}},
      {fail = {kind = "rate_limit", message = "429", retry_after = 0.01}}, "succeeded"}
    assert.equal("succeeded", provider:wait("j", FAST).status)
  end)

  it("ends at trouble that will not", function()
    recorder.states {"running", {fail = {kind = "auth", message = "no"}}}
    local job, err, last_job = provider:wait("j", FAST)
    assert.is_nil(job)
    assert.equal("auth", err.kind)
    assert.equal("running", last_job.status)
  end)

  it("raises for unknown and wrong options, at the caller's line", function()
    local message = message_of(function() provider:wait("j", {timeot = 3}) end)
    assert.matches("^spec/job_spec.lua:%d+: wait: unknown parameter 'timeot'; did you mean 'timeout'", message)
    assert.matches("'interval' must be more than 0", message_of(provider.wait, provider, "j", {interval = 0}))
    assert.matches("'on_progress' must be a function", message_of(provider.wait, provider, "j", {on_progress = 1}))
  end)

  it("leaves no timer behind", function()
    recorder.states {"succeeded"}
    provider:wait("j", FAST)
    assert.equal(0, finetune.pending())
  end)

  it("takes endless times for very long ones, and no NaN", function()
    for _, long in ipairs {math.huge, 1e308} do
      recorder.states {"queued", "succeeded"}
      assert(provider:wait("j", {timeout = long, max_interval = long, interval = 0.001}))
    end
    recorder.states {"queued"}
    local job, err = provider:wait("j", {timeout = 0.01, interval = math.huge})
    assert.is_nil(job)
    assert.equal("timeout", err.kind)
    assert.matches("'timeout' must be a number", message_of(provider.wait, provider, "j", {timeout = 0 / 0}))
    local next_event = provider:follow("j", {timeout = 0.01, interval = 1e308})
    assert.is_false((pcall(function() repeat until not next_event() end)))
  end)
end)

describe("follow", function()
  local FAST = {interval = 0.001, max_interval = 0.002, timeout = 5}

  local function event(n, at) return {id = n and "e" .. n, created_at = at or n, message = "m" .. (n or at)} end

  -- rounds[k]: what list_events has in the k-th round, newest first
  local function service(statuses, rounds)
    recorder.states(statuses)
    local round, get = 0, serve.get_job
    serve.get_job = function(p)
      round = round + 1
      return get(p)
    end
    serve.list_events = function() return {data = rounds[math.min(round, #rounds)], has_more = false} end
  end

  local function messages(options)
    local list = {}
    for e in provider:follow("j", options or FAST) do list[#list + 1] = e.message end
    return table.concat(list, " ")
  end

  it("gives each event once, oldest first, and those that come with the end", function()
    service({"running", "running", "succeeded"},
      {{event(2), event(1)}, {event(3), event(2), event(1)}, {event(5), event(4), event(3), event(2), event(1)}})
    assert.equal("m1 m2 m3 m4 m5", messages())
  end)

  it("gives the job with each event", function()
    service({"running", "succeeded"}, {{event(1)}, {event(2), event(1)}})
    local seen = {}
    for _, job in provider:follow({id = "j"}, FAST) do seen[#seen + 1] = job.status end
    assert.same({"running", "succeeded"}, seen)
  end)

  it("takes listings that repeat and reorder", function()
    service({"running", "running", "succeeded"},
      {{event(1), event(2), event(1)}, {event(3), event(1), event(2), event(3)}, {event(2), event(4), event(1)}})
    assert.equal("m1 m2 m3 m4", messages())
  end)

  it("takes a service that lists the oldest first", function()
    service({"running", "succeeded"}, {{event(1), event(2)}, {event(1), event(2), event(3), event(4)}})
    assert.equal("m1 m2 m3 m4", messages())
  end)

  it("keeps the service's order within one second", function()
    service({"succeeded"}, {{event(3, 7), event(2, 7), event(1, 7)}})
    assert.equal("m1 m2 m3", messages())
  end)

  it("knows events without ids by what they say, and how often", function()
    local a, b = {created_at = 1, type = "x", message = "a"}, {created_at = 2, type = "x", message = "b"}
    service({"running", "running", "succeeded"}, {{a}, {b, a, a}, {b, a, a}})
    assert.equal("a a b", messages())
  end)

  it("pages back only as far as there is news, but to the end at the end", function()
    local pages = 0
    recorder.states {"running", "running", "succeeded"}
    serve.list_events = function(p)
      pages = pages + 1
      local from = tonumber(p.after) or 9
      local data = {event(from), event(from - 1), event(from - 2)}
      return {data = data, has_more = from > 3, next = from > 3 and tostring(from - 3) or nil}
    end
    assert.equal("m1 m2 m3 m4 m5 m6 m7 m8 m9", messages())
    assert.equal(3 + 1 + 3, pages)
  end)

  it("ends although the service's list does not", function()
    recorder.states {"running", "succeeded"}
    serve.list_events = function() return {data = {event(1)}, has_more = true, next = "again"} end
    assert.equal("m1", messages())
  end)

  it("makes events of the job's changes where the service has none", function()
    recorder.close(provider)
    provider = recorder.open {"list_events"}
    recorder.states {"queued", "queued", {status = "running", progress = 0.5},
      {status = "failed", error = {message = "no disk"}, progress = 0.75, trained_tokens = 9}}
    local list = {}
    for e in provider:follow("j", FAST) do list[#list + 1] = ("%s/%s/%s"):format(e.level, e.type, e.message) end
    assert.same({"info/status/job is queued", "info/status/job is running", "info/progress/50 % done",
      "info/progress/75 % done", "info/progress/9 tokens trained", "error/status/job is failed: no disk"}, list)
  end)

  it("raises at the deadline, and the job goes on", function()
    service({"running"}, {{event(1)}})
    local ok, err = pcall(messages, {interval = 0.001, timeout = 0.05})
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
  end)

  it("waits out trouble that will pass, in either operation, and loses nothing", function()
    recorder.states {"running", {fail = {kind = "server", message = "500"}}, "running", "succeeded"}
    local n = 0
    serve.list_events = function() -- the rounds: events, no job, no events, the end without events, the end
      n = n + 1
      if n == 2 or n == 3 then return nil, {kind = "transport", message = "reset"} end
      return {data = {event(n), event(1)}, has_more = false}
    end
    assert.equal("m1 m4", messages())
    assert.equal(4, n)
  end)

  it("raises an error that will not pass", function()
    recorder.states {{fail = {kind = "not_found", message = "no such job"}}}
    local ok, err = pcall(messages)
    assert.is_false(ok)
    assert.equal("not_found", err.kind)
  end)

  it("goes through coroutines of others: it is no coroutine itself", function()
    service({"running", "succeeded"}, {{event(1)}, {event(2), event(1)}})
    local next_event = provider:follow("j", FAST)
    local results = finetune.run(function()
      local list = {}
      for e in next_event do list[#list + 1] = e.message end
      return table.concat(list, " ")
    end)
    assert.equal("m1 m2", results[1])
  end)
end)
