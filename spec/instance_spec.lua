-- The methods of an instance: arguments, iterators, waiting for a job and following it, examples from
-- functions. Over a provider written here; no network, no clock but for pauses of milliseconds.

local finetune = require "finetune"

local calls, serve, provider

-- A provider that hands every operation to serve[op](params, ctx), and notes it in `calls`
local function recorder()
  local P = {name = "recorder", params = {create_job = "training_type:string tier:string|integer"}}
  for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model", "list_jobs",
    "list_events", "list_checkpoints", "list_files", "sample", "validate_grader", "run_grader", "download_file"} do
    P[op] = function(ctx, p)
      calls[#calls + 1] = {op = op, p = p}
      if serve[op] then return serve[op](p, ctx) end
      return {id = op}
    end
  end
  return P
end

local function message_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "it did not raise")
  return tostring(err)
end

before_each(function()
  calls, serve = {}, {}
  finetune.register(recorder(), {replace = true})
  provider = assert(finetune.create_provider "recorder")
end)

after_each(function()
  provider:close()
  finetune.unregister "recorder"
end)

local function last() return calls[#calls].p end

describe("arguments", function()
  it("are one table, or the main one first", function()
    provider:get_job "j1"
    assert.equal("j1", last().job_id)
    provider:get_job {job_id = "j2", timeout = 3}
    assert.same({job_id = "j2", timeout = 3}, last())
    provider:get_job("j3", {timeout = 4})
    assert.same({job_id = "j3", timeout = 4}, last())
    provider:upload_file("a.jsonl", {purpose = "fine-tune"})
    assert.same({path = "a.jsonl", purpose = "fine-tune"}, last())
  end)

  it("take the object in place of its id", function()
    local job = {id = "job-9", status = "queued", raw = {}}
    provider:get_job(job)
    assert.equal("job-9", last().job_id)
    provider:get_job {job_id = job}
    assert.equal("job-9", last().job_id)
    provider:create_job {model = {id = "m"}, training_file = {id = "f", bytes = 3}}
    assert.same({model = "m", training_file = "f"}, last())
    provider:delete_model {id = "m", owned_by = "me"}
    assert.equal("m", last().model)
  end)

  it("are copied: the caller's tables stay as they are", function()
    local given = {model = {id = "m"}, training_file = "f"}
    provider:create_job(given)
    assert.same({model = {id = "m"}, training_file = "f"}, given)
    assert.not_equal(given, last())
  end)

  it("may be a table that is the main one itself", function()
    local grader = {type = "string_check", name = "g"}
    provider:validate_grader(grader)
    assert.same({grader = grader}, last())
    provider:validate_grader {grader = grader, timeout = 1}
    assert.same({grader = grader, timeout = 1}, last())
    provider:run_grader(grader, {model_sample = "x"})
    assert.same({grader = grader, model_sample = "x"}, last())
  end)

  it("take whole numbers in either form, and refuse others", function()
    provider:list_jobs {limit = 5.0}
    assert.equal("integer", math.type(last().limit))
    assert.matches("'limit' must be a whole number, not 5.5", message_of(provider.list_jobs, provider, {limit = 5.5}))
  end)

  it("may be nothing where nothing is needed", function()
    provider:list_models()
    assert.same({}, last())
  end)

  local function raises(pattern, ...)
    local message = message_of(...)
    assert.matches(pattern, message)
    assert.equal(0, #calls, "the operation ran")
    return message
  end

  it("raise for an unknown name, with the nearest, at the caller's line", function()
    local message = raises("create_job: unknown parameter 'trainig_file'; did you mean 'training_file'%?", function()
      provider:create_job {model = "m", trainig_file = "f"}
    end)
    assert.matches("^spec/instance_spec%.lua:%d+: ", message)
  end)

  it("raise for what is missing", function()
    raises("create_job: parameter 'model' is missing; it must be an id", provider.create_job, provider,
      {training_file = "f"})
    raises("get_job: parameter 'job_id' is missing", provider.get_job, provider)
    raises("get_job: parameter 'job_id' is missing", provider.get_job, provider, {})
    raises("get_job: parameter 'job_id' must be an id .* not nothing", provider.get_job, provider, nil, {timeout = 1})
  end)

  it("raise for what has the wrong type", function()
    raises("'job_id' must be an id .*, not an empty string", provider.get_job, provider, "")
    raises("'job_id' must be an id .*, not a table without one", provider.get_job, provider, {job_id = {id = 7}})
    raises("'job_id' must be an id .*, not 7", provider.get_job, provider, 7)
    raises("'suffix' must be a string, not a boolean", provider.create_job, provider,
      {model = "m", training_file = "f", suffix = true})
    raises("'timeout' must be more than 0", provider.get_job, provider, "j", {timeout = -1})
    raises("'timeout' must be a number", provider.get_job, provider, "j", {timeout = 0 / 0})
    raises("the second argument must be a table", provider.get_job, provider, "j", "k")
    raises("takes one table", provider.list_jobs, provider, "j")
    raises("is given twice", provider.get_job, provider, "j", {job_id = "k"})
    raises("every parameter has a name", provider.create_job, provider, {"m", "f"})
    raises("call it with a colon", provider.get_job, "j")
  end)

  it("may be a provider's own", function()
    provider:create_job {model = "m", training_file = "f", training_type = "global", tier = 2}
    assert.equal("global", last().training_type)
    assert.matches("'training_type' must be a string", message_of(provider.create_job, provider,
      {model = "m", training_file = "f", training_type = 1}))
    assert.matches("did you mean 'training_type'", message_of(provider.create_job, provider,
      {model = "m", training_file = "f", trainin_type = "x"}))
  end)

  it("are checked in the same way by async", function()
    assert.matches("^spec/instance_spec.lua:%d+: get_job: unknown parameter 'jobid'", message_of(function()
      provider:async("get_job", {jobid = "x"})
    end))
    assert.matches("unknown operation 'get_jb'; did you mean 'get_job'", message_of(provider.async, provider, "get_jb"))
    assert.equal("get_job", provider:async("get_job", "j"):await().id)
    assert.equal("get_job", provider:async("get_job", {job_id = "j"}):await().id)
  end)
end)

describe("a closed provider", function()
  it("answers with an error, and closing again is harmless", function()
    provider:close()
    provider:close()
    local value, err = provider:get_job "j"
    assert.is_nil(value)
    assert.equal("usage", err.kind)
  end)

  it("has ended its running calls", function()
    serve.get_job = function(_, ctx) ctx:sleep(60) end
    local call = provider:async("get_job", "j")
    provider:close()
    local value, err = call:await()
    assert.is_nil(value)
    assert.equal("cancelled", err.kind)
  end)

  it("is closed by <close>", function()
    local other
    do
      local scoped <close> = assert(finetune.create_provider "recorder")
      other = scoped
    end
    assert.equal("usage", (select(2, other:get_job "j")).kind)
  end)
end)

-- A list of n items in pages: serve.list_x = paged(n, size)
local function paged(n, size)
  return function(p)
    local from = tonumber(p.after) or 0
    local page = {data = {}, has_more = from + size < n}
    for i = from + 1, math.min(from + size, n) do page.data[#page.data + 1] = {id = "id-" .. i} end
    if page.has_more then page.next = tostring(from + size) end
    return page
  end
end

local function ids(iterator)
  local list = {}
  for item in iterator do list[#list + 1] = item.id end
  return table.concat(list, " ")
end

describe("the plural iterators", function()
  it("go over all pages, and end", function()
    serve.list_jobs = paged(7, 3)
    assert.equal("id-1 id-2 id-3 id-4 id-5 id-6 id-7", ids(provider:jobs {limit = 3}))
    assert.equal(3, #calls)
    assert.equal(3, calls[3].p.limit)
  end)

  it("are there for files, events, checkpoints and models", function()
    serve.list_files, serve.list_events = paged(2, 1), paged(2, 1)
    serve.list_checkpoints, serve.list_models = paged(2, 1), paged(2, 1)
    assert.equal("id-1 id-2", ids(provider:files()))
    assert.equal("id-1 id-2", ids(provider:events "j"))
    assert.equal("id-1 id-2", ids(provider:checkpoints {job_id = "j"}))
    assert.equal("id-1 id-2", ids(provider:models()))
  end)

  it("take an empty list, and empty pages between others", function()
    serve.list_jobs = function() return {data = {}, has_more = false} end
    assert.equal("", ids(provider:jobs()))
    serve.list_jobs = function(p)
      if not p.after then return {data = {}, has_more = true, next = "1"} end
      return {data = {{id = "x"}}, has_more = false}
    end
    assert.equal("x", ids(provider:jobs()))
  end)

  it("skip what the page before had", function()
    serve.list_jobs = function(p)
      if not p.after then return {data = {{id = "a"}, {id = "b"}}, has_more = true, next = "1"} end
      return {data = {{id = "b"}, {id = "c"}}, has_more = false}
    end
    assert.equal("a b c", ids(provider:jobs()))
  end)

  it("raise the error value", function()
    serve.list_jobs = function(p)
      if not p.after then return {data = {{id = "a"}}, has_more = true, next = "1"} end
      return nil, {kind = "server", message = "broken"}
    end
    local seen = {}
    local ok, err = pcall(function() for job in provider:jobs() do seen[#seen + 1] = job.id end end)
    assert.is_false(ok)
    assert.is_true(finetune.is_error(err))
    assert.equal("server", err.kind)
    assert.same({"a"}, seen)
  end)

  local function endless(next_page)
    local n = 0
    serve.list_jobs = function(p)
      n = n + 1
      assert(n < 500, "it went on")
      return next_page(n, p)
    end
    local seen = {}
    local ok, err = pcall(function() for job in provider:jobs() do seen[#seen + 1] = job.id end end)
    assert.is_false(ok)
    assert.equal("decode", err.kind)
    assert.equal("endless_list", err.code)
    return seen
  end

  it("end where the service's cursor goes round", function()
    local seen = endless(function(n) return {data = {{id = "i" .. n}}, has_more = true, next = tostring(n % 3)} end)
    assert.is_true(#seen >= 3 and #seen <= 5)
  end)

  it("end where the service repeats a page under ever new cursors", function()
    assert.same({"a"}, endless(function(n) return {data = {{id = "a"}}, has_more = true, next = tostring(n)} end))
  end)

  it("end after a row of empty pages", function()
    assert.same({}, endless(function(n) return {data = {}, has_more = true, next = tostring(n)} end))
  end)

  it("check their parameters when they are made, at the caller's line", function()
    assert.matches("^spec/instance_spec.lua:%d+: jobs: unknown parameter 'limt'", message_of(function()
      provider:jobs {limt = 3}
    end))
    assert.matches("events: parameter 'job_id' is missing", message_of(provider.events, provider))
  end)
end)

-- serve.get_job goes through these states, one a poll, and stays at the last
local function states(list)
  local n = 0
  serve.get_job = function(p)
    n = math.min(n + 1, #list)
    local state = list[n]
    if type(state) == "string" then state = {status = state} end
    if state.fail then return nil, state.fail end
    state.id = p.job_id
    return state
  end
end

describe("wait", function()
  local FAST = {interval = 0.001, max_interval = 0.002, timeout = 5}

  local function fast(more)
    local t = {}
    for key, value in pairs(FAST) do t[key] = value end
    for key, value in pairs(more or {}) do t[key] = value end
    return t
  end

  it("gives the job that succeeded", function()
    states {"queued", "running", "succeeded"}
    local job = assert(provider:wait("j", FAST))
    assert.equal("succeeded", job.status)
    assert.equal(3, #calls)
  end)

  it("takes the job, and a table of all parameters", function()
    states {"succeeded"}
    assert.equal("j", provider:wait({id = "j", status = "queued"}).id)
    assert.equal("j", provider:wait({job_id = "j", timeout = 1}).id)
  end)

  it("tells of every poll", function()
    states {"queued", "queued", "running", "succeeded"}
    local seen = {}
    assert(provider:wait("j", fast {on_progress = function(job) seen[#seen + 1] = job.status end}))
    assert.same({"queued", "queued", "running", "succeeded"}, seen)
  end)

  it("gives a failed job's own reason", function()
    states {{status = "failed", error = {code = "bad_data", message = "line 7 is empty", param = "training_file"}}}
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
    states {"failed"}
    serve.list_events = function()
      return {data = {{id = "2", level = "info", message = "bye"}, {id = "1", level = "error", message = "disk full"}},
        has_more = false}
    end
    local _, err = provider:wait("j", FAST)
    assert.matches("disk full", err.message)
  end)

  it("gives a cancelled job as one that did not succeed", function()
    states {"cancelled"}
    local job, err, last_job = provider:wait("j", FAST)
    assert.is_nil(job)
    assert.equal("job", err.kind)
    assert.matches("was cancelled", err.message)
    assert.equal("cancelled", last_job.status)
  end)

  it("leaves the job running when the time is over", function()
    states {"running"}
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
    states {"hibernating", "hibernating", "succeeded"}
    assert.equal("succeeded", provider:wait("j", FAST).status)
  end)

  it("waits out trouble that will pass", function()
    states {"running", {fail = {kind = "transport", message = "reset"}}, {fail = {kind = "server", message = "500"}},
      {fail = {kind = "rate_limit", message = "429", retry_after = 0.01}}, "succeeded"}
    assert.equal("succeeded", provider:wait("j", FAST).status)
  end)

  it("ends at trouble that will not", function()
    states {"running", {fail = {kind = "auth", message = "no"}}}
    local job, err, last_job = provider:wait("j", FAST)
    assert.is_nil(job)
    assert.equal("auth", err.kind)
    assert.equal("running", last_job.status)
  end)

  it("raises for unknown and wrong options, at the caller's line", function()
    local message = message_of(function() provider:wait("j", {timeot = 3}) end)
    assert.matches("^spec/instance_spec.lua:%d+: wait: unknown parameter 'timeot'; did you mean 'timeout'", message)
    assert.matches("'interval' must be more than 0", message_of(provider.wait, provider, "j", {interval = 0}))
    assert.matches("'on_progress' must be a function", message_of(provider.wait, provider, "j", {on_progress = 1}))
  end)

  it("leaves no timer behind", function()
    states {"succeeded"}
    provider:wait("j", FAST)
    assert.equal(0, finetune.pending())
  end)
end)

describe("follow", function()
  local FAST = {interval = 0.001, max_interval = 0.002, timeout = 5}

  local function event(n, at) return {id = n and "e" .. n, created_at = at or n, message = "m" .. (n or at)} end

  -- rounds[k]: what list_events has in the k-th round, newest first
  local function service(statuses, rounds)
    states(statuses)
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
    states {"running", "running", "succeeded"}
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
    states {"running", "succeeded"}
    serve.list_events = function() return {data = {event(1)}, has_more = true, next = "again"} end
    assert.equal("m1", messages())
  end)

  it("makes events of the job's changes where the service has none", function()
    finetune.register((function()
      local P = recorder()
      P.list_events = finetune.unsupported "this service has no events"
      return P
    end)(), {replace = true})
    provider:close()
    provider = assert(finetune.create_provider "recorder")
    states {"queued", "queued", {status = "running", progress = 0.5},
      {status = "failed", error = {message = "no disk"}}}
    local list = {}
    for e in provider:follow("j", FAST) do list[#list + 1] = ("%s/%s/%s"):format(e.level, e.type, e.message) end
    assert.same({"info/status/job is queued", "info/status/job is running", "info/progress/50 % done",
      "error/status/job is failed: no disk"}, list)
  end)

  it("raises at the deadline, and the job goes on", function()
    service({"running"}, {{event(1)}})
    local ok, err = pcall(messages, {interval = 0.001, timeout = 0.05})
    assert.is_false(ok)
    assert.equal("timeout", err.kind)
  end)

  it("waits out trouble that will pass, in either operation, and loses nothing", function()
    states {"running", {fail = {kind = "server", message = "500"}}, "running", "succeeded"}
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
    states {{fail = {kind = "not_found", message = "no such job"}}}
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

describe("prepare_data with a function", function()
  local CHAT = {messages = {{role = "user", content = "2+2?"}, {role = "assistant", content = "4"}}}

  local function giving(n, f)
    local i = 0
    return function()
      i = i + 1
      if i <= n then return f and f(i) or CHAT end
    end
  end

  it("takes its examples, tables or lines of JSON", function()
    local report = assert(provider:prepare_data(giving(3), {format = "chat"}))
    assert.equal(3, report.examples)
    assert.equal(3, report.written)
    local _, lines = report.text:gsub("\n", "")
    assert.equal(3, lines)
    local line = '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"tools":[]}'
    report = assert(provider:prepare_data {examples = giving(2, function() return line end), format_type = "chat"})
    assert.equal(line .. "\n" .. line .. "\n", report.text)
  end)

  it("gives the same report as for an array", function()
    local a = assert(provider:prepare_data({CHAT, CHAT}, {format = "chat"}))
    local b = assert(provider:prepare_data(giving(2), {format = "chat"}))
    assert.same(a, b)
  end)

  it("may wait: the function runs in the caller's coroutine", function()
    local results, errors = finetune.run(function()
      return provider:prepare_data(giving(3, function()
        finetune.sleep(0.001)
        return CHAT
      end))
    end)
    assert.same({}, errors)
    assert.equal(3, results[1].written)
  end)

  it("passes what the function raises, and leaves no file", function()
    local path = os.tmpname()
    os.remove(path)
    local message = message_of(provider.prepare_data, provider, giving(3, function(i)
      if i == 2 then error "no more rows" end
      return CHAT
    end), {output = path})
    assert.matches("no more rows", message)
    assert.is_nil((io.open(path)))
  end)

  it("says which example cannot be written as JSON", function()
    assert.matches("example 2 cannot be written as JSON", message_of(provider.prepare_data, provider,
      giving(3, function(i) return i == 2 and {f = print} or CHAT end)))
  end)

  it("reports invalid examples as data errors", function()
    local report, err = provider:prepare_data(giving(2, function(i) return i == 2 and {messages = {}} or CHAT end))
    assert.is_nil(report)
    assert.equal("data", err.kind)
    assert.equal(2, err.report.errors[1].line)
  end)

  it("takes format and format_type as one", function()
    assert.matches("one parameter", message_of(provider.prepare_data, provider, {CHAT},
      {format = "chat", format_type = "prompt"}))
  end)
end)
