-- How many requests are under way to one host, and what becomes of those that wait for a place.

local finetune = require "finetune"
local service = require "spec.support.service"

local LIMIT = 16 -- connections to a host over HTTP/1.1

describe("requests to one host", function()
  local s, provider, job

  setup(function()
    s = service.start {job_seconds = 60}
    job = s:seed {jobs = 1}.jobs[1]
  end)
  teardown(function() s:stop() end)
  before_each(function()
    s:clear()
    s:set {latency = 0}
    provider = assert(finetune.create_provider("openai", {base_url = s.url, api_key = s.key, max_retries = 0}))
  end)
  after_each(function() provider:close() end)

  local function start(n)
    local calls = {}
    for i = 1, n do calls[i] = provider:async("get_job", job) end
    return calls
  end

  it("share a bounded number of connections, and are all answered", function()
    s:set {latency = 0.05}
    local before = s:stats().connections
    for _, call in ipairs(start(4 * LIMIT)) do assert.equal(job, assert(call:await()).id) end
    assert.is_true(s:stats().connections - before <= LIMIT + 1) -- and the one that asks
  end)

  it("give their place to the next one when they are cancelled", function()
    s:fault {kind = "stall", at = "request", path = "jobs", times = LIMIT}
    local calls = start(LIMIT + 3)
    while #s:requests {path = "jobs"} < LIMIT do finetune.step(0.01) end
    assert.is_false(calls[LIMIT + 1]:done())
    for i = 1, LIMIT do calls[i]:cancel() end
    for i = LIMIT + 1, LIMIT + 3 do assert.equal(job, assert(calls[i]:await()).id) end
  end)

  it("can be cancelled while they wait for a place", function()
    s:set {latency = 0.05}
    local calls = start(LIMIT + 20)
    for i = LIMIT + 1, LIMIT + 20, 2 do assert.is_true(calls[i]:cancel()) end
    for i = LIMIT + 2, LIMIT + 20, 2 do assert.equal(job, assert(calls[i]:await()).id) end
    local _, err = calls[LIMIT + 1]:result()
    assert.equal("cancelled", err.kind)
  end)

  it("time out, too, when no place becomes free", function()
    s:fault {kind = "stall", at = "request", path = "jobs", times = "always"}
    local calls = {}
    for i = 1, LIMIT + 2 do calls[i] = provider:async("get_job", job, {timeout = 0.3}) end
    for _, call in ipairs(calls) do
      local value, err = call:await()
      assert.is_nil(value)
      assert.equal("timeout", err.kind)
    end
  end)

  it("do not wait for another host", function()
    s:fault {kind = "stall", at = "request", path = "jobs", times = LIMIT}
    start(LIMIT)
    local other = assert(finetune.create_provider("openai",
      {base_url = (s.url:gsub("127%.0%.0%.1", "localhost")), api_key = s.key}))
    while #s:requests {path = "jobs"} < LIMIT do finetune.step(0.01) end
    assert.equal(job, assert(other:get_job(job)).id)
  end)
end)
