-- ctx:create_once, which a provider in Lua creates jobs with: sent at most once, whatever
-- becomes of the answer; over scripts, and over real sockets.

local finetune = require "finetune"
local service = require "spec.support.service"

local BASE = "https://once.example/v1"
local PARAMS = {model = "m", training_file = "f", wait_for_files = false}

-- A provider whose create_job is one create_once; `t`: its further fields
local function register(t, base_url)
  local P = {name = "once", base_url = base_url or BASE}
  for _, op in ipairs {"upload_file", "get_job", "cancel_job", "delete_model"} do
    P[op] = function() return {id = op} end
  end
  function P.list_models(ctx) return ctx:paginate {path = "/models"} end
  function P.create_job(ctx, params)
    local full = {request = {path = "/fine_tuning/jobs", json = t.body or {model = params.model}},
      job = function(doc)
        if type(doc) ~= "table" or type(doc.id) ~= "string" then return ctx.fail("decode", "no id") end
        return {id = doc.id, status = doc.status}
      end}
    for key, value in pairs(t) do full[key] = value end
    return ctx:create_once(params, full)
  end
  finetune.register(P, {replace = true})
end

local function instance(config)
  local settings = {api_key = "once-key-123456", max_retries = 5, retry_delay = 0.001}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("once", settings))
end

-- One call over a transport that answers its POST so -> job, err, how many POSTs there were
local function create(answer, t, params)
  local posts = 0
  register(t or {})
  local provider <close> = instance {transport = function(request)
    assert(request.method == "POST")
    posts = posts + 1
    if type(answer) == "string" then return nil, answer end
    return answer
  end}
  local job, err = provider:create_job(params or PARAMS)
  return job, err, posts
end

after_each(function() finetune.unregister "once" end)

describe("create_once over a script", function()
  it("gives the job", function()
    local job, err, posts = create {json = {id = "j", status = "queued"}}
    assert.is_nil(err)
    assert.same({"j", "queued", 1}, {job.id, job.status, posts})
  end)

  -- answer -> the kind of the error where the service surely made nothing
  local REFUSED = {[400] = "invalid", [401] = "auth", [403] = "permission", [404] = "not_found",
    [413] = "invalid", [422] = "invalid", [429] = "rate_limit"}
  for status, kind in pairs(REFUSED) do
    it(("passes the error where the answer is a no (%d)"):format(status), function()
      local searched = false
      local function search() searched = true end
      local answer = {status = status, json = {error = {message = "no"}}}
      local job, err, posts = create(answer, {find = search, list = search})
      assert.is_nil(job)
      assert.equal(kind, err.kind)
      assert.equal(status, err.status)
      assert.is_nil(err.candidates)
      assert.same({1, false}, {posts, searched})
    end)
  end

  it("looks first where the token was given again, and sends nothing where it finds or cannot look", function()
    local answer = {json = {id = "new", status = "queued"}}
    local function again(find)
      local job, err, posts = create(answer, {again = true, find = find})
      return {job and job.id, err and err.kind, posts}
    end
    assert.same({"old", nil, 0}, again(function() return {id = "old", status = "queued"} end))
    assert.same({nil, "server", 0}, again(function(ctx) return ctx.fail("server", "down") end))
    assert.same({"new", nil, 1}, again(function() return nil end))
  end)

  it("is tried again where the service was never reached, and passes that error in the end", function()
    local job, err, attempts = create("connect", {find = function() error "no search" end})
    assert.is_nil(job)
    assert.equal("transport", err.kind)
    assert.is_false(err.sent)
    assert.equal(6, attempts)
  end)

  it("passes an error in its own request, which is not sent", function()
    for what, body in pairs {["not finite"] = {rate = 0 / 0}, ["infinite"] = {rate = math.huge}} do
      local job, err, posts = create({json = {id = "j"}}, {body = body})
      assert.is_nil(job, what)
      assert.matches("not finite", err.message)
      assert.is_nil(err.candidates)
      assert.equal(0, posts)
    end
  end)

  local LOST = {
    ["a time-out"] = "timeout", ["a reset"] = "reset",
    ["408"] = {status = 408}, ["409"] = {status = 409, json = {error = {message = "busy"}}},
    ["500"] = {status = 500}, ["501"] = {status = 501}, ["502"] = {status = 502, body = "<html>"},
    ["503"] = {status = 503, headers = {["retry-after"] = "0"}}, ["504"] = {status = 504}, ["529"] = {status = 529},
    ["a retry that is asked for"] = {status = 500, headers = {["x-should-retry"] = "true"}},
    ["200 and a page"] = {status = 200, body = "<html>{", headers = {["content-type"] = "application/json"}},
    ["200 and nothing"] = {status = 200, body = ""}, ["200 and a list"] = {json = finetune.array {}},
    ["200 and null"] = {body = "null"}, ["200 and a number"] = {body = "5"}, ["200 and a text"] = {body = "\"j\""},
    ["200 without an id"] = {json = {status = "queued"}}, ["200 and a wrong id"] = {json = {id = {}}},
    ["201 and half an object"] = {status = 201, body = "{\"id\":\"j\""}, ["202 and nothing"] = {status = 202},
    ["204"] = {status = 204}, ["200 that is not UTF-8"] = {body = "{\"id\":\"\xff\"}"},
  }
  for what, answer in pairs(LOST) do
    it("is a conflict after " .. what .. ", and was sent once", function()
      local job, err, posts = create(answer)
      assert.is_nil(job)
      assert.equal("conflict", err.kind)
      assert.matches("^it is not known whether the job was created: its answer was lost %(", err.message)
      assert.matches("0 recent jobs may be it, see err.candidates%. Look before you call", err.message)
      assert.truthy(err.cause.kind)
      assert.same({}, err.candidates)
      assert.equal(1, posts)
    end)

    it("takes the job that is surely its own after " .. what, function()
      local listed = false
      local job, err, posts = create(answer, {find = function() return {id = "found", status = "queued"} end,
        list = function() listed = true end})
      assert.is_nil(err)
      assert.same({"found", 1, false}, {job.id, posts, listed})
    end)
  end

  it("is a conflict where the provider finds no job in the answer, and says nothing", function()
    local _, err = create({json = {id = "j"}}, {job = function() return nil end})
    assert.equal("conflict", err.kind)
    assert.equal("decode", err.cause.kind)
    assert.matches("there is no job in it", err.message)
  end)

  it("gives the document and the response to the provider", function()
    local job = create({status = 201, json = {name = "x"}, headers = {Location = "/jobs/j-7"}}, {
      job = function(doc, response) return {id = response.headers.location:match "[^/]+$", status = doc.name} end})
    assert.same({"j-7", "x"}, {job.id, job.status})
  end)

  it("changes nothing of the request that it was given", function()
    local request = {path = "/p", json = {a = {b = 1}}, retry = "idempotent"}
    local _, err, posts = create({status = 503}, {request = request})
    assert.equal("conflict", err.kind)
    assert.equal(1, posts)
    assert.same({path = "/p", json = {a = {b = 1}}, retry = "idempotent"}, request)
  end)

  it("sends what it is told to send, POST where it is told nothing", function()
    for method, expected in pairs {PUT = "PUT", [false] = "POST"} do
      local sent
      register {request = {path = "/p", method = method or nil, json = {}}}
      local provider <close> = instance {transport = function(request)
        sent = request.method
        return {json = {id = "j"}}
      end}
      assert(provider:create_job(PARAMS))
      assert.equal(expected, sent)
    end
  end)

  it("passes what is wrong before anything is sent", function()
    register {}
    local provider <close> = assert(finetune.create_provider("once", {api_key = "", transport = function() end}))
    local _, err = provider:create_job(PARAMS)
    assert.equal("config", err.kind)
    assert.is_nil(err.candidates)
  end)

  it("says what it takes", function()
    register {request = false}
    local provider <close> = instance {transport = function() return {json = {}} end}
    local _, err = provider:create_job(PARAMS)
    assert.equal("provider", err.kind)
    assert.matches("create_once: takes the parameters, and a table with `request`", err.message)
  end)
end)

describe("the search after a lost answer", function()
  local NOW = os.time()

  local function job(fields)
    local t = {id = "j", status = "queued", model = "m", training_file = "f", created_at = NOW}
    for key, value in pairs(fields) do t[key] = value end
    return t
  end

  -- The ids of the candidates among these jobs
  local function candidates(jobs, params)
    local _, err = create("reset", {list = function() return {data = jobs, has_more = false} end}, params)
    local ids = {}
    for i, candidate in ipairs(err.candidates) do ids[i] = candidate.id end
    return ids, err
  end

  it("lists the jobs that may be it", function()
    local ids, err = candidates {
      job {id = "same"}, job {id = "dated", model = "m-2026-01-01"}, job {id = "whole", model = "accounts/a/models/m"},
      job {id = "silent", model = false, training_file = false, created_at = false},
      job {id = "other model", model = "n"}, job {id = "other file", training_file = "g"},
      job {id = "from before", created_at = NOW - 3600}, job {id = "odd", model = {}, created_at = "today"},
      job {id = "its end", model = "xm"}, job {id = "slow clock", created_at = NOW - 200},
    }
    assert.same({"same", "dated", "whole", "silent", "odd", "slow clock"}, ids)
    assert.matches("6 recent jobs may be it", err.message)
    assert.equal("transport", err.cause.kind)
    assert.matches("1 recent job may be it", select(2, candidates {job {}}).message)
  end)

  it("says that the jobs could not be listed either", function()
    local _, err = create("timeout", {list = function(ctx) return ctx.fail("auth", "the key is gone") end})
    assert.equal("conflict", err.kind)
    assert.equal("timeout", err.cause.kind)
    assert.equal("auth", err.list_error.kind)
    assert.matches("could not be listed either %(the key is gone%)", err.message)
    assert.same({}, err.candidates)
  end)

  it("is not ended by an error of `find`", function()
    local _, err = create({status = 500}, {find = function(ctx) return ctx.fail("server", "down") end,
      list = function() return {data = {job {}}} end, token = "tok-1"})
    assert.equal("conflict", err.kind)
    assert.equal(1, #err.candidates)
    assert.equal("tok-1", err.token)
    assert.matches("create_job again with token = err.token", err.message)
  end)

  it("may send requests", function()
    local log = {}
    register {find = function(ctx)
      local page = ctx:paginate {path = "/fine_tuning/jobs"}
      return page and page.data[1]
    end}
    local provider <close> = instance {transport = function(request)
      log[#log + 1] = request.method
      if request.method == "POST" then return {status = 504} end
      return {json = {data = {{id = "j", status = "queued"}}}}
    end}
    assert.equal("j", assert(provider:create_job(PARAMS)).id)
    assert.same({"POST", "GET"}, log)
  end)
end)

-- ---- over real sockets: what reaches the service is counted there ----

describe("create_once over a socket", function()
  local s, file

  setup(function() s = service.start {job_seconds = 3600} end)

  teardown(function() s:stop() end)

  before_each(function()
    s:reset()
    file = s:seed({files = 1}).files[1]
  end)

  local JOBS = "/fine_tuning/jobs$"

  local function posts() return #s:requests {method = "POST", path = JOBS} end

  local function made()
    local n = 0
    for _ in pairs(s:state().jobs) do n = n + 1 end
    return n
  end

  -- The same over a connection that has been used: there libcurl would repeat a request by itself
  local function create_on_socket(t, config)
    t.body = {model = s.model, training_file = file, suffix = "once", metadata = {mark = "this call"}}
    register(t, s.url)
    local settings = {api_key = s.key, timeout = 1}
    for key, value in pairs(config or {}) do settings[key] = value end
    local provider <close> = instance(settings)
    assert(provider:list_models())
    return provider:create_job {model = s.model, training_file = file}
  end

  local function own_job(ctx)
    local page = ctx:paginate {path = "/fine_tuning/jobs"}
    for _, job in ipairs(page and page.data or {}) do
      if job.metadata.mark == "this call" then return job end
    end
  end

  local LOST = {
    ["closed in place of an answer"] = {kind = "close"}, ["reset in place of an answer"] = {kind = "reset"},
    ["closed in the head"] = {kind = "close", at = "headers"}, ["reset in the head"] = {kind = "reset", at = "headers"},
    ["closed in the answer"] = {kind = "close", at = "body"}, ["reset in the answer"] = {kind = "reset", at = "body"},
    ["silent"] = {kind = "stall"}, ["cut"] = {kind = "truncate"}, ["a page"] = {kind = "html"},
    ["empty"] = {kind = "empty"}, ["not HTTP"] = {kind = "raw", data = "SSH-2.0\r\n"}, ["deep"] = {kind = "deep"},
    ["not UTF-8"] = {kind = "bad_utf8"}, ["500"] = {kind = "status"}, ["408"] = {kind = "status", status = 408},
    ["409"] = {kind = "status", status = 409}, ["too long"] = {kind = "length", how = "long"},
    ["503 with Retry-After"] = {kind = "status", status = 503, retry_after_ms = 1},
  }
  local CARRIED_OUT = {headers = true, body = true, truncate = true, length = true}

  for what, fields in pairs(LOST) do
    local function fault(apply)
      local copy = {method = "POST", path = JOBS, times = "always", apply = apply}
      for key, value in pairs(fields) do copy[key] = value end
      s:fault(copy)
    end

    it(("takes what was made, when the answer is lost (%s)"):format(what), function()
      fault(true)
      local job, err = create_on_socket {find = own_job}
      assert.is_nil(err)
      assert.truthy(s:state().jobs[job.id])
      assert.same({1, 1, 1}, {posts(), made(), s:stats().complete_posts})
    end)

    if not CARRIED_OUT[fields.at] and not CARRIED_OUT[fields.kind] then
      it(("is a conflict, when it was not made (%s)"):format(what), function()
        fault(false)
        local job, err = create_on_socket {find = own_job, list = function(ctx)
          return ctx:paginate {path = "/fine_tuning/jobs"}
        end}
        assert.is_nil(job)
        assert.equal("conflict", err.kind)
        assert.same({}, err.candidates)
        assert.is_nil(err.list_error)
        assert.is_nil(tostring(err):find(s.key, 1, true))
        assert.same({1, 0}, {posts(), made()})
      end)
    end
  end

  it("is sent once when its body is lost on the way", function()
    for _, at in ipairs {"request", "upload"} do
      s:clear()
      s:fault {kind = "close", at = at, method = "POST", path = JOBS, times = "always"}
      local _, err = create_on_socket {find = own_job}
      assert.equal("conflict", err.kind)
      assert.same({1, 0}, {posts(), made()})
    end
  end)

  it("was not made by a host that redirects it: that is no conflict, and is not sent as anything else", function()
    for status, times in pairs {[301] = 1, [302] = 1, [307] = 6, [308] = 6} do -- to itself, for ever
      s:clear()
      s:fault {kind = "redirect", status = status, method = "POST", path = JOBS, times = "always"}
      local _, err = create_on_socket {find = own_job}
      assert.equal("transport", err.kind)
      assert.equal(status, err.status)
      assert.same({times, times, 0}, {posts(), #s:requests {path = JOBS}, made()})
    end
  end)

  it("may have been made where the answer is 303: done, look there", function()
    s:clear()
    s:fault {kind = "redirect", status = 303, method = "POST", path = JOBS, times = "always"}
    local _, err = create_on_socket {}
    assert.equal("conflict", err.kind)
    assert.equal(1, posts())
  end)

  it("is not sent where nobody listens, and that is no conflict", function()
    local _, err = create_on_socket({find = own_job}, nil)
    assert.is_nil(err)
    register({}, service.refused_url())
    local provider <close> = instance {api_key = s.key}
    _, err = provider:create_job(PARAMS)
    assert.equal("transport", err.kind)
    assert.is_false(err.sent)
  end)
end)
