-- The error value: its kind by status, the shapes of a service's words, retries and
-- their delays over real sockets, tostring.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"
local testing = require "finetune.testing"

local JOB = "/fine_tuning/jobs/ftjob"

local s, id

setup(function()
  s = service.start()
  id = s:seed {jobs = 1}.jobs[1]
end)

teardown(function() s:stop() end)

before_each(function() s:clear() end)

local function status(fault, config)
  fault.kind, fault.path, fault.times = "status", JOB, fault.times or "always"
  s:fault(fault)
  return live.provider(s, config):get_job(id)
end

describe("the kind of an error", function()
  local KINDS = {
    [400] = "invalid", [401] = "auth", [402] = "quota", [403] = "permission", [404] = "not_found", [405] = "invalid",
    [408] = "timeout", [409] = "conflict", [410] = "not_found", [413] = "invalid", [418] = "invalid",
    [422] = "invalid", [429] = "rate_limit", [451] = "invalid", [500] = "server", [501] = "server",
    [502] = "server", [503] = "server", [504] = "server", [529] = "server", [599] = "server",
  }
  local AGAIN = {[408] = true, [409] = true, [429] = true}

  for code, kind in pairs(KINDS) do
    it("is " .. kind .. " for " .. code, function()
      local attempts = (AGAIN[code] or code >= 500) and 3 or 1
      local err = live.failed(status {status = code, message = "words of the service", code = "c_" .. code})
      assert.equal(kind, err.kind)
      assert.equal(code, err.status)
      assert.equal("c_" .. code, err.code)
      assert.equal("words of the service", err.message)
      assert.equal(attempts, err.attempts)
      assert.equal(attempts == 3, err.retryable)
      assert.matches("^req_%w+$", err.request_id)
      assert.equal(attempts, #s:requests())
      local tail = attempts == 3 and ", 3 attempts" or ""
      assert.equal(("finetune: openai get_job: %d c_%d: words of the service (request %s%s)"):format(
        code, code, err.request_id, tail), tostring(err))
    end)
  end

  it("is quota where the service says that there is none left", function()
    local err = live.failed(status {status = 429, code = "insufficient_quota"})
    assert.equal("quota", err.kind)
    assert.equal(429, err.status)
    assert.is_false(err.retryable) -- waiting fills no purse
    assert.equal(1, err.attempts)
  end)

  it("is not asked again where Azure says so", function()
    local err = live.failed(status {status = 429, code = "quotaExceeded"})
    assert.equal(1, err.attempts)
    assert.is_false(err.retryable)
  end)

  it("is the configuration's for its codes", function()
    local err = live.failed(status({status = 400, code = "too_hot"}, {quirks = {}}))
    assert.equal("invalid", err.kind)
    local P = finetune.register({name = "hot", base = "openai", errors = {too_hot = "server"}}, {replace = true})
    local provider = assert(finetune.create_provider("hot", {api_key = s.key, base_url = s.url}))
    assert.equal("server", live.failed(provider:get_job(id)).kind)
    finetune.unregister(P.name)
  end)

  it("is the provider's for its numbers, as gRPC has them", function()
    local P = finetune.register({name = "grpc", base = "openai", errors = {[12] = "unsupported"}}, {replace = true})
    local provider = assert(finetune.create_provider("grpc", {api_key = s.key, base_url = s.url,
      transport = function() return {status = 501, json = {code = 12, message = "no"}} end, max_retries = 0}))
    local err = live.failed(provider:get_job(id))
    assert.equal("unsupported", err.kind)
    assert.equal(12, err.code)
    finetune.unregister(P.name)
  end)

  it("is transport for a redirect that leads nowhere", function()
    for _, code in ipairs {300, 301, 302, 304, 307, 308} do
      s:clear()
      local err = live.failed(status {status = code})
      assert.equal("transport", err.kind)
      assert.equal(code, err.status)
      assert.equal(1, err.attempts)
    end
  end)

  it("has words where the service has none", function()
    s:fault {kind = "html", status = 502, path = JOB, times = "always"}
    local err = live.failed(live.provider(s):get_job(id))
    assert.equal("the service answered 502 (text/html)", err.message)
    assert.is_nil(err.code)
    assert.equal(3, err.attempts)
  end)
end)

describe("a service's own words", function()
  local function err_of(body, text)
    local transport = function() return {status = 400, json = body, body = text} end
    local provider = assert(finetune.create_provider("openai", {api_key = "sk-1234", transport = transport}))
    return live.failed(provider:get_job("x"))
  end

  it("are found in every shape that is known", function()
    for _, body in ipairs {
      {error = {message = "words", code = "c", param = "p", type = "t"}}, {error = "words", code = "c", type = "t"},
      {message = "words", code = "c", type = "t"}, {detail = "words", code = "c", type = "t"},
      {error_description = "words", code = "c", type = "t"}, {errors = {{message = "words", code = "c", type = "t"}}},
    } do
      local err = err_of(body)
      assert.equal("words", err.message)
      assert.equal("c", err.code)
      assert.equal("t", err.type)
    end
    assert.equal("p", err_of({error = {message = "m", param = "p"}}).param)
  end)

  it("are found in Azure's details and in FastAPI's list", function()
    local err = err_of {error = {code = "c", message = "m", target = "t", details = {{message = "the reason"}}}}
    assert.equal("m (the reason)", err.message)
    assert.equal("t", err.param)
    assert.equal("m", err_of({error = {message = "m", details = {{message = "m"}}}}).message)
    for _, details in ipairs {"x", 7, {}, {7}, {{}}, {{message = {}}}} do
      assert.equal("m", err_of({error = {message = "m", details = details}}).message)
    end
    err = err_of {detail = {{loc = {"body", "model"}, msg = "field required"}}}
    assert.equal("field required", err.message)
    assert.equal("model", err.param)
    assert.equal("w", err_of({detail = {{msg = "w", loc = {"body", 3}}}}).message)
  end)

  it("are left where they are not words", function()
    for _, body in ipairs {
      {error = {message = {1, 2}}}, {error = {}}, {error = true}, {errors = {}}, {detail = {{loc = {"a"}}}}, {}, {1},
      "x",
    } do
      assert.equal("the service answered 400 (no content type)", err_of(body).message)
    end
    for _, text in ipairs {"", "{", "null", "nul", "\0", "[[[", "\xff"} do
      assert.equal("the service answered 400 (no content type)", err_of(nil, text).message)
    end
  end)

  it("may be numbers", function()
    local err = err_of {error = {message = "m", code = 17}}
    assert.equal(17, err.code)
    assert.equal("finetune: openai get_job: 400 17: m", tostring(err))
  end)

  it("may hold any byte, but control characters reach no terminal", function()
    local err = err_of {error = {message = "a\0b\n%s\27[31m \u{e9}"}}
    assert.equal("a b %s [31m \u{e9}", err.message)
    assert.equal("finetune: openai get_job: 400 a b %s [31m \u{e9}", tostring(err))
  end)

  it("are cut where nobody would read on", function()
    assert.equal(("x"):rep(4096) .. "...", err_of({error = {message = ("x"):rep(200000)}}).message)
  end)
end)

describe("a storm", function()
  it("of every kind passes", function()
    for _, code in ipairs {429, 500, 503, 408, 502, 409} do
      s:fault {kind = "status", status = code, path = JOB, times = 1}
    end
    assert.equal(id, assert(live.provider(s, {max_retries = 6}):get_job(id)).id)
    assert.equal(7, #s:requests())
  end)

  it("of 429 passes over 20 calls at once, each with its own attempts", function()
    s:fault {kind = "status", status = 429, path = JOB, times = 30, retry_after_ms = 5}
    local provider = live.provider(s, {max_retries = 40})
    local list = {}
    for i = 1, 20 do list[i] = id end
    local results, errors = finetune.map(list, function(job) return provider:get_job(job) end, {concurrency = 20})
    for i = 1, 20 do assert.equal(id, assert(results[i], errors[i]).id) end
    assert.equal(50, #s:requests())
  end)

  it("that does not pass is told with what the service said last", function()
    s:fault {kind = "status", status = 500, path = JOB, times = 2}
    s:fault {kind = "status", status = 429, path = JOB, times = "always", message = "slow down", retry_after_ms = 1}
    local err = live.failed(live.provider(s):get_job(id))
    assert.equal("rate_limit", err.kind)
    assert.equal("slow down", err.message)
    assert.equal(3, err.attempts)
    assert.near(0.001, err.retry_after, 1e-9)
  end)
end)

describe("Retry-After", function()
  local function waits(fault, least, most)
    fault.times = 1
    local took, job = live.timed(function() return assert(status(fault)) end)
    assert.equal(id, job.id)
    assert.is_true(took >= least and took < most, ("it took %.3f s"):format(took))
    local requests = s:requests()
    assert.equal(2, #requests)
    assert.is_true(requests[2].time - requests[1].time >= least)
  end

  it("in milliseconds is waited for", function() waits({status = 429, retry_after_ms = 150}, 0.145, 60) end)
  it("in seconds is waited for", function() waits({status = 503, retry_after = 0.15}, 0.145, 60) end)
  it("in milliseconds goes before seconds", function()
    waits({status = 429, retry_after_ms = 100, retry_after = 100}, 0.095, 60)
  end)
  it("as a date is waited for", function() waits({status = 503, retry_after_date = 2}, 0.9, 60) end)
  it("in the past is none", function() waits({status = 503, retry_after_date = -100}, 0, 60) end)
  it("that is no time is none", function()
    for _, words in ipairs {"soon", "-5", "1e400", "nan", ""} do
      s:clear()
      waits({status = 503, headers = {["retry-after"] = words}}, 0, 4)
    end
  end)

  for what, fault in pairs {
    seconds = {status = 429, retry_after = 121}, milliseconds = {status = 429, retry_after_ms = 121000},
    ["a date"] = {status = 429, retry_after_date = 200},
  } do
    it("of more than two minutes is told, not waited for (" .. what .. ")", function()
      local took, _, err = live.timed(function() return status(fault) end)
      assert.is_true(took < 60)
      assert.equal("rate_limit", err.kind)
      assert.equal(1, err.attempts)
      assert.is_true(err.retryable)
      assert.is_true(err.retry_after >= 121 and err.retry_after <= 200)
      assert.equal(1, #s:requests())
    end)
  end
end)

describe("x-should-retry", function()
  local function word(code, value)
    return status {status = code, times = 1, headers = {["x-should-retry"] = value}}
  end

  it("makes any status worth another attempt", function()
    assert.equal(id, assert(word(400, "true")).id)
    assert.equal(2, #s:requests())
  end)

  it("ends it for any status", function()
    local err = live.failed(word(503, "false"))
    assert.equal(503, err.status)
    assert.equal(1, err.attempts)
    assert.equal(1, #s:requests())
  end)

  it("is nothing in other words, and for a success", function()
    assert.equal(400, live.failed(word(400, "yes")).status)
    local transport, log = testing.transport {
      {"GET /v1/fine_tuning/jobs/x", json = {id = "x", status = "running"}, headers = {["x-should-retry"] = "true"}},
    }
    local provider = assert(finetune.create_provider("openai", {api_key = "sk-1234", transport = transport}))
    assert.equal("x", assert(provider:get_job("x")).id)
    log.done()
  end)
end)

describe("tostring of an error", function()
  it("has what there is", function()
    for text, fields in pairs {
      ["finetune: openai get_job: 404 no_job: gone (request r, 3 attempts)"] =
        {provider = "openai", op = "get_job", status = 404, code = "no_job", message = "gone", request_id = "r",
          attempts = 3},
      ["finetune: gone"] = {message = "gone"},
      ["finetune: x: gone (2 attempts)"] = {provider = "x", message = "gone", attempts = 2},
      ["finetune: x: 500 gone"] = {provider = "x", status = 500, message = "gone", attempts = 1},
      ["finetune:"] = {},
    } do
      assert.equal(text, tostring(core.error(fields)))
    end
  end)

  it("never fails, whatever is in it", function()
    for _, field in ipairs {"kind", "op", "provider", "message", "status", "code", "request_id", "attempts"} do
      for _, value in ipairs {true, 1, 1.5, {}, print, "a\0b"} do
        assert.matches("^finetune:", tostring(core.error {message = "m", [field] = value}))
      end
    end
  end)
end)
