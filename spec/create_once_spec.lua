-- create_job over real sockets: it is sent at most once, whatever happens to the answer,
-- and libcurl's own silent repetition on a used connection counts too. What was made
-- although nobody was told is found by its token.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local JOBS = "/fine_tuning/jobs$"

local s, file

setup(function()
  s = service.start {job_seconds = 3600}
end)

teardown(function()
  live.clean()
  s:stop()
end)

before_each(function()
  s:reset()
  file = s:seed({files = 1}).files[1]
end)

local function fault(fields)
  fields.method, fields.path, fields.times = "POST", JOBS, fields.times or "always"
  s:fault(fields)
end

local function jobs()
  local n, ids = 0, s:state().jobs
  for _ in pairs(ids) do n = n + 1 end
  return n, ids
end

local function posts() return #s:requests {method = "POST", path = JOBS} end

-- A provider whose connection has been used already
local function warm(config)
  local provider = live.provider(s, config)
  assert(provider:get_file(file))
  return provider
end

local function create(provider, more)
  local params = {model = s.model, training_file = file, suffix = "once"}
  for key, value in pairs(more or {}) do params[key] = value end
  return provider:create_job(params)
end

-- ---- the ways in which an answer is lost ----

local LOST = {
  ["the connection closes in place of an answer"] = {kind = "close"},
  ["the connection is reset in place of an answer"] = {kind = "reset"},
  ["the answer breaks off"] = {kind = "close", at = "body"},
  ["the answer is reset in the middle"] = {kind = "reset", at = "body"},
  ["the answer never comes"] = {kind = "stall"},
  ["the answer is cut"] = {kind = "truncate"},
  ["the answer is a page"] = {kind = "html"},
  ["the answer is empty"] = {kind = "empty", status = 200},
  ["the answer is not HTTP"] = {kind = "raw"},
  ["the answer is not UTF-8"] = {kind = "bad_utf8"},
  ["the answer is without an end"] = {kind = "giant", framing = "length"},
  ["the answer is 500"] = {kind = "status", status = 500},
  ["the answer is 502"] = {kind = "html", status = 502},
  ["the answer is 503 with Retry-After"] = {kind = "status", status = 503, retry_after_ms = 1},
  ["the answer is 408"] = {kind = "status", status = 408},
  ["the answer is 409"] = {kind = "status", status = 409},
  ["the service wants another attempt"] = {kind = "status", status = 500, headers = {["x-should-retry"] = "true"}},
}

describe("create_job, when", function()
  for what, fields in pairs(LOST) do
    local function lose(apply)
      local copy = {apply = apply}
      for key, value in pairs(fields) do copy[key] = value end
      fault(copy)
    end

    it(what .. ", takes the job that was made", function()
      lose(true)
      local job = assert(create(warm {timeout = 1}))
      local n, ids = jobs()
      assert.equal(1, n)
      assert.truthy(ids[job.id])
      assert.equal("once", job.suffix)
      assert.equal(1, posts())
    end)

    -- what changes an answer on its way carries the request out always
    if fields.at ~= "body" and fields.kind ~= "truncate" then
      it(what .. ", is a conflict where none was made", function()
        lose(false)
        local err = live.failed(create(warm {timeout = 1}))
        assert.equal("conflict", err.kind)
        assert.matches("not known whether the job was created", err.message)
        assert.matches("token = err%.token", err.message)
        assert.equal(32, #err.token)
        assert.same({}, err.candidates)
        assert.truthy(err.cause.message)
        assert.equal(0, (jobs()))
        assert.equal(1, posts())
      end)
    end
  end

  it("its body is lost on the way, is a conflict, and was sent once", function()
    fault {kind = "reset", at = "request"}
    assert.equal("conflict", live.failed(create(warm())).kind)
    assert.equal(1, posts())
  end)
end)

describe("create_job", function()
  it("has a connection of its own, so that libcurl cannot repeat it", function()
    local provider = warm()
    fault {kind = "close"}
    live.failed(create(provider))
    local requests = s:requests()
    local post
    for _, request in ipairs(requests) do
      if request.method == "POST" then post = request end
    end
    for _, request in ipairs(requests) do
      assert.is_true(request == post or request.n > post.n or request.conn ~= post.conn)
    end
    assert.equal(1, s:stats().complete_posts)
  end)

  it("is not sent again after 429, which made nothing", function()
    fault {kind = "status", status = 429, retry_after_ms = 1, message = "slow"}
    local err = live.failed(create(warm()))
    assert.equal("rate_limit", err.kind)
    assert.equal(1, err.attempts)
    assert.is_true(err.retryable)
    assert.equal(1, posts())
  end)

  it("is not sent where the service cannot be reached, and that is no conflict", function()
    local provider = live.provider(service.refused_url())
    local err = live.failed(create(provider, {wait_for_files = false}))
    assert.equal("transport", err.kind)
    assert.equal(3, err.attempts)
    assert.is_false(err.sent)
  end)

  it("tells both causes where the jobs cannot be listed", function()
    for _, apply in ipairs {true, false} do
      s:clear()
      fault {kind = "reset", apply = apply}
      s:fault {kind = "status", status = 500, method = "GET", path = JOBS, times = "always", message = "no list"}
      local err = live.failed(create(warm()))
      assert.equal("conflict", err.kind)
      assert.equal("transport", err.cause.kind)
      assert.equal("server", err.list_error.kind)
      assert.matches("no list", err.message)
      assert.same({}, err.candidates)
      assert.equal(1, posts())
    end
  end)

  it("names jobs without a token as candidates, and takes none of them", function()
    local body = ('{"model":"%s","training_file":"%s"}'):format(s.model, file)
    local status = s:request("POST", "/v1/fine_tuning/jobs",
      {body = body, headers = {["content-type"] = "application/json"}})
    assert.equal(200, status)
    fault {kind = "reset"}
    local err = live.failed(create(warm()))
    assert.equal("conflict", err.kind)
    assert.equal(1, #err.candidates)
    assert.equal(file, err.candidates[1].training_file)
  end)
end)

describe("20 identical calls whose answers are lost", function()
  local function storm(apply)
    local provider, list = warm(), {}
    for i = 1, 20 do list[i] = i end
    for _, applied in ipairs(apply) do fault {kind = "reset", apply = applied, times = 20 // #apply} end
    return finetune.map(list, function() return create(provider) end, {concurrency = 20})
  end

  local function count(results, errors)
    local made, conflicts, seen = 0, 0, {}
    for i = 1, 20 do
      if results[i] then
        assert.is_nil(seen[results[i].id], "two calls got one job")
        seen[results[i].id], made = true, made + 1
      else
        assert.equal("conflict", errors[i].kind)
        conflicts = conflicts + 1
      end
    end
    return made, conflicts
  end

  it("are 20 jobs where all were made", function()
    local made = count(storm {true})
    assert.equal(20, made)
    assert.equal(20, (jobs()))
    assert.equal(20, posts())
  end)

  it("are 20 conflicts where none was made", function()
    local _, conflicts = count(storm {false})
    assert.equal(20, conflicts)
    assert.equal(0, (jobs()))
    assert.equal(20, posts())
  end)

  it("are 10 jobs and 10 conflicts where half were made", function()
    local made, conflicts = count(storm {true, false})
    assert.same({10, 10}, {made, conflicts})
    assert.equal(10, (jobs()))
    assert.equal(20, posts())
  end)
end)

describe("a token", function()
  it("given again makes no second job", function()
    fault {kind = "reset", apply = true, times = 1}
    s:fault {kind = "status", status = 500, method = "GET", path = JOBS, times = 3}
    local err = live.failed(create(warm()))
    assert.equal("conflict", err.kind)
    local job = assert(create(warm(), {token = err.token}))
    assert.equal(1, (jobs()))
    assert.equal(job.id, assert(create(warm(), {token = err.token})).id)
    assert.equal(1, posts())
  end)

  it("given again makes the job where none was made", function()
    fault {kind = "reset", apply = false, times = 1}
    local err = live.failed(create(warm()))
    assert(create(warm(), {token = err.token}))
    assert.equal(1, (jobs()))
    assert.equal(2, posts())
  end)

  it("survives the process", function()
    local CODE = [[
      local url, key, model, file = ...
      local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key, retry_delay = 0.001,
        poll_interval = 0.02, timeout = 5}))
      local params = {model = model, training_file = file, token = "run-2026-11-22"}
      local job, err = provider:create_job(params)
      print(job and job.id or "nil", err and err.kind)
    ]]
    local function run()
      local status, output = live.child(CODE, s.url, s.key, s.model, file)
      assert.equal(0, status, output)
      return output:match "^(%S+)\t(%S+)"
    end
    fault {kind = "reset", apply = true, times = 1}
    s:fault {kind = "status", status = 500, method = "GET", path = JOBS, times = 3,
      skip = 1} -- the first look is his own
    assert.same({"nil", "conflict"}, {run()})
    local id, none = run()
    assert.equal("nil", none)
    local n, ids = jobs()
    assert.equal(1, n)
    assert.truthy(ids[id])
    assert.equal(1, posts())
  end)

  it("reaches the service as metadata, beside the caller's own", function()
    local job = assert(create(warm(), {token = "mine", metadata = {team = "a"}}))
    local _, ids = jobs()
    assert.equal("a", ids[job.id].metadata.team)
    assert.equal("mine", ids[job.id].metadata.finetune_token)
  end)
end)

describe("a service that creates no jobs", function()
  local KINDS = {[403] = "permission", [404] = "not_found", [410] = "not_found"}
  for status, kind in pairs(KINDS) do
    it("is told in words a person can act on (" .. status .. ")", function()
      s:set {refuse = {status = status, message = "Not here."}}
      local err = live.failed(create(warm()))
      assert.equal(kind, err.kind)
      assert.equal(status, err.status)
      assert.equal(1, err.attempts)
      assert.matches("^Not here%. %(this service does not create fine%-tuning jobs here", err.message)
      assert.matches("base_url", err.message)
      assert.equal(1, posts())
    end)
  end
end)
