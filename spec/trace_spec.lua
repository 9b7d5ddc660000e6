-- on_trace: one call a request sent, with what a person wants to know of it; and what a
-- trace that raises does.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local JOB = "ftjob%-"

local s, id, traces

setup(function()
  s = service.start()
  id = s:seed {jobs = 2}.jobs[1]
end)

teardown(function()
  live.clean()
  s:stop()
end)

before_each(function()
  s:clear()
  traces = {}
end)

local function traced(config)
  local settings = {on_trace = function(t) traces[#traces + 1] = t end}
  for key, value in pairs(config or {}) do settings[key] = value end
  return live.provider(s, settings)
end

describe("on_trace", function()
  it("is told of a request, once, with its numbers", function()
    local took = live.timed(function() assert(traced():get_job(id)) end)
    assert.equal(1, #traces)
    local t = traces[1]
    assert.same({"openai", "get_job", "GET", s.url .. "/fine_tuning/jobs/" .. id, 200, 1},
      {t.provider, t.op, t.method, t.url, t.status, t.attempt})
    assert.is_true(t.elapsed >= 0 and t.elapsed <= took)
    assert.equal(0, t.bytes_up)
    assert.is_true(t.bytes_down > 100)
    assert.matches("^req_%w+$", t.request_id)
    assert.is_nil(t.error)
  end)

  it("is told of every attempt", function()
    s:fault {kind = "status", status = 503, path = JOB}
    s:fault {kind = "reset", path = JOB}
    assert(traced {headers = {Connection = "close"}}:get_job(id))
    assert.equal(3, #traces)
    assert.same({503, nil, 200}, {traces[1].status, traces[2].status, traces[3].status})
    assert.same({1, 2, 3}, {traces[1].attempt, traces[2].attempt, traces[3].attempt})
    assert.is_string(traces[2].error)
    assert.is_nil(traces[1].error)
  end)

  it("is told of every hop", function()
    s:fault {kind = "redirect", path = JOB, location = "/v1/fine_tuning/jobs/" .. id .. "?hop=1"}
    assert(traced():get_job(id))
    assert.equal(2, #traces)
    assert.equal(307, traces[1].status)
    assert.matches("%?hop=1$", traces[2].url)
  end)

  it("is told of what failed for good, with the words", function()
    local provider = live.provider(service.refused_url(), {max_retries = 1,
      on_trace = function(t) traces[#traces + 1] = t end})
    live.failed(provider:get_job(id))
    assert.equal(2, #traces)
    assert.is_nil(traces[2].status)
    assert.matches("connect", traces[2].error)
  end)

  it("counts bytes both ways", function()
    local content = live.lines(5000)
    local provider = traced()
    local file = assert(provider:upload_file(live.file(content), {filename = "t.jsonl"}))
    assert.is_true(traces[1].bytes_up >= #content and traces[1].bytes_up < #content + 2000)
    assert.equal("upload_file", traces[1].op)
    assert.equal("POST", traces[1].method)
    assert(provider:download_file(file, {output = live.path()}))
    assert.equal(#content, traces[#traces].bytes_down)
  end)

  it("is told of all the requests of an operation, and of all operations at once", function()
    local provider = traced()
    local path = live.file(live.lines(5000))
    assert(provider:upload_file(path, {filename = "t.jsonl", part_size = 100000}))
    local parts = 0
    for _, t in ipairs(traces) do
      assert.equal("upload_file", t.op)
      parts = parts + (t.url:find "/parts$" and 1 or 0)
    end
    assert.equal(#s:requests(), #traces)
    assert.equal(#s:requests {path = "/parts$"}, parts)
    traces = {}
    finetune.map({1, 2, 3, 4, 5}, function() return provider:get_job(id) end)
    assert.equal(5, #traces)
  end)

  it("is told of the request that takes an upload back", function()
    s:fault {kind = "stall", path = "/parts$", times = "always"}
    local provider = traced()
    local call = provider:async("upload_file", live.file(live.lines(2000)), {filename = "t.jsonl", part_size = 50000})
    live.until_true(function() return #s:requests {path = "/parts$"} > 0 end)
    call:cancel()
    live.until_true(function() return traces[#traces] and traces[#traces].url:find "/cancel$" ~= nil end)
    assert.equal(200, traces[#traces].status)
  end)

  it("runs outside the engine: it may use the provider", function()
    local provider, seen
    provider = live.provider(s, {on_trace = function(t)
      if t.op == "get_job" then
        provider:async("list_models", {}):on_done(function(value) seen = value end)
      end
    end})
    assert(provider:get_job(id))
    live.until_true(function() return seen ~= nil end)
    assert.truthy(seen.data)
  end)

  it("that raises tells the caller, and breaks nothing", function()
    local provider = live.provider(s, {on_trace = function() error("no trace today", 0) end})
    local ok, err = pcall(provider.get_job, provider, id)
    assert.is_false(ok)
    assert.matches("no trace today", tostring(err))
    for _ = 1, 50 do pcall(finetune.step, 0.01) end
    assert.equal(0, finetune.pending())
    assert.equal(id, assert(live.provider(s):get_job(id)).id)
  end)

  it("gives tables that are the caller's to change", function()
    local kept = {}
    local provider = live.provider(s, {on_trace = function(t)
      kept[#kept + 1] = t
      for key in pairs(t) do t[key] = nil end
    end})
    assert(provider:get_job(id))
    assert(provider:get_job(id))
    assert.not_equal(kept[1], kept[2])
  end)

  it("is a function, or refused", function()
    assert.is_false(pcall(finetune.create_provider, "openai", {api_key = "sk-1234", on_trace = "print"}))
  end)
end)

describe("without on_trace", function()
  it("nothing is printed, whatever happens", function()
    local status, output = live.child([[
      local url, key, id = ...
      local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key, retry_delay = 0.001}))
      provider:get_job(id)
      provider:get_job("nothing")
      provider:upload_file("/nonexistent")
      provider:create_job {model = "m", training_file = "f", wait_for_files = false}
      local gone = assert(finetune.create_provider("openai", {base_url = "http://127.0.0.1:1", api_key = key,
        retry_delay = 0.001}))
      gone:list_models()
      gone:async("list_models", {}):cancel()
    ]], s.url, s.key, id)
    assert.equal(0, status)
    assert.equal("", output)
  end)
end)
