-- What goes wrong on the wire, case by case, with the exact outcome: the error, how
-- often it was tried, how many requests the service saw. And that the same provider
-- works afterwards.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local JOB = "/fine_tuning/jobs/ftjob" -- where the faults are

local s, id

setup(function()
  s = service.start()
  id = s:seed {jobs = 3}.jobs[1]
end)

teardown(function()
  live.clean()
  s:stop()
end)

before_each(function() s:clear() end)

-- No connection is used twice here: libcurl repeats by itself what it sent on a used one
-- that turns out to be dead, which transport_spec.lua counts.
local function cold(config)
  local settings = {headers = {Connection = "close"}}
  for key, value in pairs(config or {}) do settings[key] = value end
  return live.provider(s, settings)
end

-- One case: the fault, for ever where nothing else is said; what get_job gives then
local function outcome(fault, config)
  local copy = {path = fault.at ~= "accept" and JOB or nil, times = "always"}
  for key, value in pairs(fault) do copy[key] = value end
  s:fault(copy)
  local provider <close> = cold(config)
  return provider:get_job(id)
end

local function works(provider)
  s:clear()
  assert.equal(id, assert(provider:get_job(id)).id)
end

local function check(c)
  local value, err = outcome(c.fault, c.config)
  if c.ok then
    assert.equal(id, assert(value, err).id)
    assert.equal(c.requests or 1, #s:requests())
  else
    live.failed(value, err)
    assert.equal(c.kind, err.kind)
    assert.is_nil(err.status)
    assert.equal(c.attempts, err.attempts)
    assert.equal(c.attempts > 1, err.retryable)
    assert.matches(c.words, err.message)
    assert.equal("get_job", err.op)
    assert.equal("openai", err.provider)
    assert.equal(c.requests or c.attempts, #s:requests())
  end
  works(cold())
end

local function cases(list)
  for _, c in ipairs(list) do
    it(c[1], function() check(c) end)
  end
end

describe("a connection that", function()
  it("is refused", function()
    local provider = live.provider(service.refused_url())
    local err = live.failed(provider:get_job(id))
    assert.equal("transport", err.kind)
    assert.equal(3, err.attempts)
    assert.is_true(err.retryable)
    assert.is_false(err.sent)
    assert.matches("^127%.0%.0%.1: Failed to connect", err.message)
    assert.matches("^finetune: openai get_job: 127.* %(3 attempts%)$", tostring(err))
  end)

  it("has no host", function()
    local provider = live.provider("http://no-such-host.invalid/v1")
    local err = live.failed(provider:get_job(id))
    assert.equal("transport", err.kind)
    assert.equal(3, err.attempts)
    assert.matches("no%-such%-host%.invalid", err.message)
  end)

  cases {
    {"is reset at once", fault = {kind = "reset", at = "accept"}, kind = "transport", attempts = 3, requests = 0,
      words = "127%.0%.0%.1: "},
    {"is closed at once", fault = {kind = "close", at = "accept"}, kind = "transport", attempts = 3, requests = 0,
      words = "Empty reply"},
    {"is reset after the head of the request", fault = {kind = "reset", at = "request"}, kind = "transport",
      attempts = 3, words = "reset by peer"},
    {"is reset in place of an answer", fault = {kind = "reset"}, kind = "transport", attempts = 3,
      words = "reset by peer"},
    {"is closed in place of an answer", fault = {kind = "close"}, kind = "transport", attempts = 3,
      words = "Empty reply"},
    {"is reset after the headers", fault = {kind = "reset", at = "headers"}, kind = "transport", attempts = 3,
      words = "reset by peer"},
    {"is reset in the middle of the answer", fault = {kind = "reset", at = "body"}, kind = "transport", attempts = 3,
      words = "reset by peer"},
    {"is closed in the middle of the answer", fault = {kind = "close", at = "body"}, kind = "transport", attempts = 3,
      words = "closed with %d+ bytes remaining"},
    {"is closed in the middle of a chunk", kind = "transport", attempts = 3, words = "outstanding read data",
      fault = {kind = "raw", data = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n{}"}},
    {"is lost twice, and then not", fault = {kind = "reset", times = 2}, ok = true, requests = 3},
  }

  it("is lost is tried as often as is wanted", function()
    for _, tries in ipairs {0, 1, 4} do
      s:clear()
      local err = live.failed(outcome({kind = "reset"}, {max_retries = tries}))
      assert.equal(tries + 1, err.attempts)
      assert.equal(tries + 1, #s:requests())
    end
  end)
end)

describe("an answer that", function()
  cases {
    {"never comes", fault = {kind = "stall"}, config = {timeout = 0.5}, kind = "timeout", attempts = 3,
      words = "^127%.0%.0%.1 did not answer in time: .*%d+ milliseconds with 0 bytes"},
    {"never comes, nor an accept", fault = {kind = "stall", at = "accept"}, config = {timeout = 0.05}, kind = "timeout",
      attempts = 3, requests = 0, words = "did not answer in time"},
    {"stops in the middle", fault = {kind = "stall", at = "body"}, config = {timeout = 0.5}, kind = "timeout",
      attempts = 3, words = "did not answer in time: .*%d+ out of %d+ bytes"},
    {"drips too slowly", fault = {kind = "drip", seconds = 0.01}, config = {timeout = 0.5}, kind = "timeout",
      attempts = 3, words = "did not answer in time"},
    {"drips, but comes", fault = {kind = "drip", bytes = 64, seconds = 0.001}, ok = true},
    {"comes late, but comes", fault = {kind = "stall", seconds = 0.1}, ok = true},
    {"is cut, though well framed", fault = {kind = "truncate"}, kind = "decode", attempts = 1,
      words = "^the answer %(200, application/json%) is not JSON: .* at byte %d+"},
    {"is a page", fault = {kind = "html"}, kind = "decode", attempts = 1,
      words = "^the answer %(200, text/html%) is not JSON"},
    {"is JSON of 100 000 levels", fault = {kind = "deep"}, kind = "decode", attempts = 1, words = "nested too deep"},
    {"is not UTF-8", fault = {kind = "bad_utf8"}, kind = "decode", attempts = 1, words = "UTF%-8.* at byte 14"},
    {"is not HTTP", fault = {kind = "raw"}, kind = "transport", attempts = 1, words = "HTTP/0%.9"},
    {"has a status of five digits", fault = {kind = "raw", data = "HTTP/1.1 99999 Odd\r\n\r\n"}, kind = "transport",
      attempts = 1, words = "response code"},
    {"has chunks without a length", kind = "transport", attempts = 3, words = "chunked%-encoding",
      fault = {kind = "raw", data = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"}},
    {"says that it is gzip and is not", kind = "transport", attempts = 1, words = "content unencoding",
      fault = {kind = "raw", data = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nplain text"}},
    {"has an encoding nobody asked for", kind = "transport", attempts = 1, words = "Encoding",
      fault = {kind = "raw", data = "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\n\r\n{}"}},
    {"is gzip", fault = {kind = "gzip"}, ok = true},
    {"comes after 103 and 100", fault = {kind = "interim"}, ok = true},
  }

  it("is empty is no job", function()
    for _, status in ipairs {200, 204} do
      s:clear()
      local err = live.failed(outcome {kind = "empty", status = status})
      assert.equal("decode", err.kind)
      assert.matches("not a job", err.message)
      assert.equal(1, #s:requests())
    end
  end)
end)

describe("a Content-Length that", function()
  local function length(how) return {kind = "length", how = how} end
  cases {
    {"is there twice, alike", fault = length "same", ok = true},
    {"is there twice, and differs", fault = length "differ", kind = "transport", attempts = 3,
      words = "7 bytes remaining"},
    {"is too long", fault = length "long", kind = "transport", attempts = 3, words = "100 bytes remaining"},
    {"is too short", fault = length "short", kind = "decode", attempts = 1, words = "is not JSON"},
    {"is negative", fault = length "negative", kind = "transport", attempts = 1, words = "Content%-Length"},
    {"is a word", fault = length "words", kind = "transport", attempts = 1, words = "Content%-Length"},
    {"is more than there can be", fault = length "huge", ok = true},
    {"stands beside chunks", fault = length "both", ok = true},
  }
end)

describe("a header that", function()
  local function header(how) return {kind = "header", how = how} end
  cases {
    {"holds a NUL", fault = header "nul", kind = "transport", attempts = 1, words = "Nul byte in header"},
    {"has no colon", fault = header "nocolon", kind = "transport", attempts = 1, words = "without colon"},
    {"is folded", fault = header "fold", ok = true},
    {"holds a carriage return", fault = header "cr", ok = true},
    {"ends in a bare newline", fault = header "newline", ok = true},
    {"is not ASCII", fault = header "high", ok = true},
    {"is one of far too many", fault = header "many", kind = "decode", attempts = 1,
      words = "headers of the answer are too large"},
  }

  it("is larger than libcurl takes fails the call, not the process", function()
    local err = live.failed(outcome(header "huge"))
    assert.equal("transport", err.kind) -- not "memory": a service cannot choose that
    assert.matches("a header of the answer is too long", err.message)
    assert.equal(1, err.attempts)
    assert.equal(1, #s:requests())
    works(cold())
  end)

  it("is strange is no more than a strange request id", function()
    s:fault {kind = "header", raw = "x-request-id: req\tone two\r\n", times = "always"}
    assert(live.provider(s):get_job(id))
  end)
end)

describe("an answer without an end", function()
  -- In a process of its own: the peak of this one is everybody's.
  local CODE = [[
    local url, key, id, output = ...
    local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key, retry_delay = 0.001}))
    local before = live.peak()
    local value, err
    if output then value, err = provider:download_file(id, {output = output, max_bytes = 100000})
    else value, err = provider:get_job(id) end
    assert(value == nil)
    print(err.kind, err.attempts, err.message, live.peak() - before)
  ]]

  local function run(...)
    local status, output = live.child(CODE, s.url, s.key, ...)
    assert.equal(0, status, output)
    local kind, attempts, message, grown = output:match "^(%S+)\t(%S+)\t(.-)\t(%d+)\n"
    assert.truthy(kind, output)
    assert.equal(1, #s:requests())
    return kind, attempts, message, tonumber(grown)
  end

  local function bounded(fault)
    fault.path, fault.times = JOB, "always"
    s:fault(fault)
    local kind, attempts, message, grown = run(id)
    assert.same({"decode", "1"}, {kind, attempts})
    assert.matches("larger than max_bytes", message)
    assert.is_true(grown < 72 * 1024, ("the process grew by %d KiB"):format(grown)) -- 32 MiB, doubled once
  end

  for _, framing in ipairs {"chunked", "length", "close"} do
    it("is cut at 32 MiB (" .. framing .. ")", function() bounded {kind = "giant", framing = framing} end)
  end

  it("is cut at 32 MiB (a gzip bomb)", function() bounded {kind = "bomb"} end)

  it("is cut at max_bytes where the caller said one, and leaves no file", function()
    s:fault {kind = "giant", path = "/content$", times = "always", type = "text/csv"}
    local output = live.path()
    os.remove(output)
    local kind, attempts, message, grown = run("file-1", output)
    assert.same({"decode", "1"}, {kind, attempts})
    assert.matches("larger than max_bytes", message)
    assert.is_true(grown < 8 * 1024, ("the process grew by %d KiB"):format(grown))
    assert.is_nil(io.open(output))
  end)
end)

describe("a list", function()
  it("that never ends has an end", function()
    s:fault {kind = "endless", times = "always", path = "/fine_tuning/jobs$"}
    local provider = live.provider(s)
    local page = assert(provider:list_jobs {limit = 2})
    assert.is_true(page.has_more)
    local n = 0
    local ok, err = pcall(function()
      for _ in provider:jobs {limit = 2} do n = n + 1 end
    end)
    assert.is_false(ok)
    assert.is_true(finetune.is_error(err))
    assert.equal("decode", err.kind)
    assert.equal("endless_list", err.code)
    assert.matches("does not end", err.message)
    assert.equal(2, n) -- each once, and then the error
  end)

  it("that repeats and reorders gives every job once", function()
    s:fault {kind = "shuffle", times = "always", path = "/fine_tuning/jobs$"}
    local seen, n = {}, 0
    for job in live.provider(s):jobs {limit = 2} do seen[job.id], n = (seen[job.id] or 0) + 1, n + 1 end
    assert.equal(3, n)
    for _, times in pairs(seen) do assert.equal(1, times) end
  end)

  it("of events that repeats and reorders is followed without repeats, oldest first", function()
    local live_provider = live.provider(s)
    s:set {job_seconds = 0.3}
    local file = assert(live_provider:upload_file(live.file(live.lines(20)), {filename = "t.jsonl"}))
    local job = assert(live_provider:create_job {model = s.model, training_file = file})
    s:fault {kind = "shuffle", times = "always", path = "/events$"}
    local seen, last = {}, 0
    for event in live_provider:follow(job, {interval = 0.05}) do
      assert.is_nil(seen[event.id])
      seen[event.id] = true
      assert.is_true(event.created_at >= last)
      last = event.created_at
    end
    assert.truthy(next(seen))
  end)

  it("with a null in every field that may be null is a list", function()
    for _, all in ipairs {false, true} do
      s:clear()
      s:fault {kind = "nulls", all = all, times = "always"}
      local provider = live.provider(s)
      assert.is_true(#assert(provider:list_jobs()).data >= 3)
      local job = assert(provider:get_job(id))
      assert.equal(id, job.id)
      assert.is_nil(job.fine_tuned_model)
      assert.is_nil(job.error)
      assert(provider:list_models())
      assert(provider:list_files())
      assert(provider:list_events(id))
      assert(provider:list_checkpoints(id))
    end
  end)

  it("with a status nobody knows passes it on", function()
    s:fault {kind = "patch", set = {status = "hibernating"}, times = "always"}
    local job = assert(live.provider(s):get_job(id))
    assert.equal("hibernating", job.status)
    assert.equal("hibernating", job.raw_status)
  end)
end)
