-- The methods of an instance: arguments, iterators, examples from functions. No network.

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

  it("reports an example that cannot be written as JSON, as for an array", function()
    local bad = {CHAT, {f = print}, 7}
    local _, err = provider:prepare_data(bad)
    local _, same = provider:prepare_data(giving(3, function(i) return bad[i] end))
    assert.equal("data", err.kind)
    assert.equal(2, #same.report.errors)
    assert.same(err.report, same.report)
  end)

  it("answers wrong options with an error, as for an array", function()
    local _, err = provider:prepare_data({CHAT}, {format = "haiku"})
    local _, same = provider:prepare_data(giving(1), {format = "haiku"})
    assert.equal(err.kind, same.kind)
    assert.equal(err.message, same.message)
  end)

  it("reports invalid examples as data errors", function()
    local report, err = provider:prepare_data(giving(2, function(i) return i == 2 and {messages = {}} or CHAT end))
    assert.is_nil(report)
    assert.equal("data", err.kind)
    assert.equal(2, err.report.errors[1].line)
  end)

  it("gives an array to a provider that prepares by itself", function()
    local seen
    finetune.register({name = "preparing", base = "recorder", prepare_data = function(_, p)
      seen = p.examples
      return {examples = #p.examples}
    end})
    finetune.register {name = "variant", base = "preparing"}
    local other <close> = assert(finetune.create_provider "variant")
    assert.equal(3, assert(other:prepare_data(giving(3))).examples)
    assert.same(CHAT, seen[3])
    finetune.unregister "variant"
    finetune.unregister "preparing"
  end)

  it("takes format and format_type as one", function()
    assert.matches("one parameter", message_of(provider.prepare_data, provider, {CHAT},
      {format = "chat", format_type = "prompt"}))
  end)
end)
