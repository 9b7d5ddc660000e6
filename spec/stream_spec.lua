-- Answers that do not end, over real sockets: read_for and read_idle take what comes and
-- are done, everything else is as for any other request; and ctx:events on top of them.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"
local stream = require "spec.support.stream"

local s

before_each(function() s = stream.start() end)

after_each(function()
  s:stop()
  finetune.unregister "streamer"
end)

-- A provider whose `sample` is f(ctx)
local function provider(f, config)
  local P = {name = "streamer", sample = function(ctx) return f(ctx) end}
  for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = finetune.unsupported "not here"
  end
  finetune.register(P, {replace = true})
  local settings = {base_url = s.url, api_key = "sk-live-0123456789", retry_delay = 0.001}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("streamer", settings))
end

-- One request of this plan with these fields -> response, err
local function read(plan, fields, config)
  local p <close> = provider(function(ctx)
    local request = {path = s:path(plan), decode = "text"}
    for key, value in pairs(fields) do request[key] = value end
    return ctx:request(request)
  end, config)
  local response, err = p:sample "x"
  return response, err
end

local function events(plan, options, config)
  local p <close> = provider(function(ctx)
    local list, response = ctx:events(s:path(plan), options)
    return list and {list = list, response = response}, response
  end, config)
  local value, err = p:sample "x"
  if not value then return nil, err end
  return value.list, value.response
end

local function descriptors()
  local n, pipe = 0, assert(io.popen "ls /proc/$PPID/fd")
  for _ in pipe:lines() do n = n + 1 end
  pipe:close()
  return n
end

local function between(least, most, value)
  assert.is_true(value >= least and value <= most, ("%s is not in %s to %s"):format(value, least, most))
end

describe("an answer that goes on", function()
  it("ends with what has come when read_for is over", function()
    local took, response = live.timed(function()
      return assert(read({body = {"a", 0.01, "b", 0.01, "c", 60, "d"}}, {read_for = 1.5}))
    end)
    assert.same({200, "abc", true, 3}, {response.status, response.body, response.partial, response.bytes})
    between(1.5, 50, took)
  end)

  it("ends when it has been silent for read_idle", function()
    local body = {}
    for i = 1, 20 do body[i] = i % 2 == 1 and "x" or 0.1 end
    local took, response = live.timed(function()
      return assert(read({body = body, after = "hold"}, {read_idle = 0.8, read_for = 60}))
    end)
    assert.same({("x"):rep(10), true}, {response.body, response.partial})
    between(1.7, 50, took) -- ten pauses that are shorter, and one that is not
  end)

  it("ends when it is silent, without read_for too", function()
    local took, response = live.timed(function() return assert(read({body = {"a", 60}}, {read_idle = 0.1})) end)
    assert.same({"a", true}, {response.body, response.partial})
    between(0.1, 50, took)
  end)

  it("may have said nothing: silence counts from its first byte", function()
    local took, response = live.timed(function()
      return assert(read({after = "hold"}, {read_for = 0.3, read_idle = 0.05}))
    end)
    assert.same({200, nil, true}, {response.status, response.body, response.partial})
    between(0.3, 50, took)
  end)

  it("ends at once where its headers came later than read_for", function()
    local took, response = live.timed(function()
      return assert(read({wait = 0.2, body = {60, "a"}, after = "hold"}, {read_for = 0.1}))
    end)
    assert.same({200, nil, true}, {response.status, response.body, response.partial})
    between(0.2, 50, took)
  end)

  it("may go on longer than the timeout, which is for its headers", function()
    local response = assert(read({body = {"a", 0.6, "b", 60}}, {read_for = 2, timeout = 0.5}))
    assert.same({"ab", true}, {response.body, response.partial})
  end)

  it("is bounded by the timeout where there is no read_for", function()
    local body = {}
    for i = 1, 200 do body[i] = i % 2 == 1 and "x" or 0.1 end
    local took, _, err = live.timed(function() return read({body = body}, {read_idle = 1, timeout = 1.2}) end)
    assert.same({"timeout", 1}, {err.kind, err.attempts})
    between(1.2, 9, took)
    assert.equal(1, #s:log().requests)
  end)

  it("is bounded by max_bytes", function()
    local _, err = read({body = {("x"):rep(600), ("x"):rep(600)}, after = "hold"}, {read_for = 5, max_bytes = 1000})
    assert.same({"decode", "127.0.0.1: the answer is larger than max_bytes"}, {err.kind, err.message})
  end)

  it("is decompressed as it comes", function()
    local response = assert(read({gzip = true, body = {"one ", 0.05, "two"}, after = "hold"}, {read_idle = 0.8}))
    assert.same({"one two", true}, {response.body, response.partial})
  end)

  it("is JSON only where what has come is", function()
    local response = assert(read({body = {"{\"a\":1}"}, after = "hold"}, {read_idle = 0.05, decode = "json"}))
    assert.same({a = 1}, response.json)
    assert.is_true(response.partial)
    local _, err = read({body = {"{\"a\":"}, after = "hold"}, {read_idle = 0.05, decode = "json"})
    assert.equal("decode", err.kind)
  end)

  it("may have a status that was accepted", function()
    local fields = {read_idle = 0.05, accept = {418}}
    local response = assert(read({status = 418, body = {"short"}, after = "hold"}, fields))
    assert.same({418, "short", true}, {response.status, response.body, response.partial})
  end)
end)

describe("with read_for and read_idle", function()
  it("an answer that ends is an ordinary one, and its connection is used again", function()
    local p <close> = provider(function(ctx)
      local fields = {path = s:path {body = {"a", "b"}}, decode = "text", read_for = 60, read_idle = 60}
      local first = assert(ctx:request(fields))
      assert(ctx:request {path = s:path {body = {"{}"}}})
      return first
    end)
    local took, response = live.timed(function() return assert(p:sample "x") end)
    assert.same({"ab", nil}, {response.body, response.partial})
    assert.is_true(took < 50)
    assert.equal(1, s:log().connections)
  end)

  it("an error is an error, with its words", function()
    local took, _, err = live.timed(function()
      return read({status = 404, body = {"{\"error\":", 0.1, "{\"message\":\"no such job\"}}"}},
        {read_for = 0.05, read_idle = 0.05})
    end)
    assert.same({"not_found", 404, "no such job"}, {err.kind, err.status, err.message})
    between(0.1, 50, took)
  end)

  it("an error that does not end has the timeout as its limit", function()
    local fields = {read_for = 0.05, timeout = 0.2}
    local _, err = read({status = 500, body = {"x"}, after = "hold"}, fields, {max_retries = 0})
    assert.equal("timeout", err.kind)
  end)

  it("a wait for the headers has the timeout as its limit, and is tried again", function()
    local took, _, err = live.timed(function() return read({wait = 60}, {read_for = 0.05, timeout = 0.1}) end)
    assert.same({"timeout", 3}, {err.kind, err.attempts})
    between(0.3, 50, took)
  end)

  it("what is refused or cut before the first byte is tried again", function()
    local _, err = read({status = 503, body = {"busy"}}, {read_for = 5})
    assert.same({"server", 3}, {err.kind, err.attempts})
    _, err = read({after = "cut"}, {read_for = 5})
    assert.same({"transport", 3}, {err.kind, err.attempts})
    assert.equal(6, #s:log().requests)
  end)

  it("what is cut after its first byte is not", function()
    local _, err = read({body = {"data: 1\n\n", 0.05}, after = "cut"}, {read_for = 5})
    assert.same({"transport", 1, true}, {err.kind, err.attempts, err.retryable})
    assert.equal(1, #s:log().requests)
  end)

  it("a redirect is followed", function()
    local there = s:path {body = {"there"}, after = "hold"}
    local response = assert(read({status = 307, headers = {location = there}}, {read_idle = 0.05}))
    assert.same({"there", s.url .. there, true}, {response.body, response.url, response.partial})
  end)

  it("a file as the answer's place or as the body is a mistake", function()
    local path = live.file "x"
    for _, fields in ipairs {
      {output = path, read_for = 1}, {method = "PUT", file = {path = path}, read_idle = 1},
      {multipart = {{name = "file", path = path}}, read_for = 1, read_idle = 1},
    } do
      local _, err = read({}, fields)
      assert.equal("usage", err.kind)
      assert.matches("read_for and read_idle", err.message)
    end
    live.clean()
    assert.equal(0, #s:log().requests)
  end)

  it("seconds that are none are a mistake", function()
    for _, value in ipairs {0, -1, 0 / 0, 1e7, "1", {}} do
      local _, err = read({}, {read_for = value})
      assert.equal("provider", err.kind)
      assert.matches("read_for must be", err.message)
    end
  end)
end)

describe("a partial answer", function()
  it("costs its connection: the next request has another, and no descriptor is left", function()
    local p <close> = provider(function(ctx)
      for _ = 1, 3 do
        assert(ctx:request {path = s:path {body = {"a"}, after = "hold"}, decode = "text", read_idle = 0.05}.partial)
      end
      return assert(ctx:request {path = s:path {body = {"{}"}}})
    end)
    local before = descriptors()
    assert(p:sample "x")
    assert.equal(4, s:log().connections)
    live.until_true(function() return s:log().open <= 1 end)
    live.until_true(function() return descriptors() <= before + 1 end) -- the last one, which is kept
  end)

  it("costs next to no time of the processor", function()
    local before = os.clock()
    assert(read({body = {"a", 0.4, "b", 0.4, "c", 5}}, {read_for = 1, read_idle = 0.6}))
    assert.is_true(os.clock() - before < 0.3, os.clock() - before) -- a busy loop takes 1 s
  end)

  it("of many pieces sets few timers: silence is still measured from the last", function()
    local body = {}
    for i = 1, 200 do body[i] = i % 2 == 1 and "x" or 0.002 end
    local took, response = live.timed(function()
      return assert(read({body = body, after = "hold"}, {read_idle = 0.8}))
    end)
    assert.equal(("x"):rep(100), response.body)
    assert.is_true(took > 1, took)
  end)

  it("is one of several at once", function()
    local p <close> = provider(function(ctx)
      local list = {}
      for i = 1, 3 do
        list[i] = {path = s:path {body = {"s" .. i}, after = "hold"}, decode = "text", read_for = 1, tag = i}
      end
      return ctx:all(list)
    end)
    local call = p:async("sample", "x")
    live.until_true(function() return s:log().open == 3 end)
    local list = assert(call:await())
    for i = 1, 3 do assert.same({"s" .. i, i, true}, {list[i].body, list[i].tag, list[i].partial}) end
  end)

  it("over TLS is one of several at once, too", function()
    local tls <close> = service.start {tls = "good"}
    local jobs = tls:seed {jobs = 3}.jobs
    tls:fault {kind = "stall", at = "body", bytes = 20, times = "always"}
    local p <close> = provider(function(ctx)
      local list = {}
      for i, id in ipairs(jobs) do
        list[i] = {path = "/fine_tuning/jobs/" .. id, decode = "text", read_for = 2}
      end
      return ctx:all(list)
    end, {base_url = tls.url, api_key = tls.key, ca_file = tls.ca_file})
    local list = assert(p:sample "x")
    for i = 1, 3 do assert.same({20, true}, {#list[i].body, list[i].partial}) end
    local requests = tls:requests()
    for _, request in ipairs(requests) do between(0, 1.9, request.time - requests[1].time) end
  end)

  it("is traced as an answer", function()
    local traces = {}
    local function on_trace(t) traces[#traces + 1] = t end
    assert(read({body = {"abc"}, after = "hold"}, {read_idle = 0.05}, {on_trace = on_trace}))
    assert.equal(1, #traces)
    assert.same({200, 3, nil}, {traces[1].status, traces[1].bytes_down, traces[1].error})
    assert.is_true(traces[1].elapsed >= 0.05)
  end)

  it("is cancelled in the middle, and closed with its provider", function()
    local p = provider(function(ctx)
      return ctx:request {path = s:path {body = {"a"}, after = "hold"}, decode = "text", read_for = 30}
    end)
    local first, second = p:async("sample", "x"), p:async("sample", "x")
    local log
    live.until_true(function()
      log = s:log()
      return log.open == 2
    end)
    for _ = 1, 5 do finetune.step(0.01) end
    first:cancel()
    p:close()
    for _, call in ipairs {first, second} do assert.equal("cancelled", live.failed(call:result()).kind) end
    live.until_true(function() return s:log().open == 0 end)
    assert.equal(0, finetune.pending())
  end)

  it("does not keep a host from its own work", function()
    local p <close> = provider(function(ctx)
      return ctx:request {path = s:path {body = {"a", 0.05, "b"}, after = "hold"}, decode = "text", read_for = 1}
    end)
    local call, rounds, deadline = p:async("sample", "x"), 0, core.now() + 60
    while not call:done() and core.now() < deadline do
      finetune.step(0.5)
      rounds = rounds + 1
    end
    assert.equal("ab", call:result().body)
    assert.is_true(rounds < 25, rounds)
  end)
end)

describe("ctx:events", function()
  local STREAM = {headers = {["content-type"] = "text/event-stream"}}

  local function plan(fields)
    for key, value in pairs(STREAM) do fields[key] = value end
    return fields
  end

  local function data(list)
    local out = {}
    for i, event in ipairs(list) do out[i] = event.data end
    return table.concat(out, "|")
  end

  it("leaves out the event whose end is missing in a partial answer", function()
    local list, response = events(plan {body = {"data: {\"n\":1}\n\n", 0.02, "data: two\n\ndata: thr"}, after = "hold"},
      {read_idle = 0.8, read_for = 60})
    assert.equal("{\"n\":1}|two", data(list))
    assert.same({n = 1}, list[1].json)
    assert.is_true(response.partial)
    assert.equal("text/event-stream", s:log().requests[1].accept)
    list = events(plan {body = {"data: one\n\ndata: two\n"}, after = "hold"}, {read_idle = 0.05})
    assert.equal("one", data(list))
    list = events(plan {body = {"data: one\r\n\r"}, after = "hold"}, {read_idle = 0.05})
    assert.equal("one", data(list))
  end)

  it("keeps it in a whole answer", function()
    local list, response = events(plan {body = {"data: one\n\ndata: two"}}, {read_idle = 60, read_for = 60})
    assert.equal("one|two", data(list))
    assert.is_nil(response.partial)
    list, response = events(plan {body = {"data: one\n\ndata: two"}})
    assert.equal("one|two", data(list))
    assert.equal(200, response.status)
  end)

  it("gives none where nothing has come", function()
    local list, response = events(plan {after = "hold"}, {read_for = 0.1})
    assert.same({}, list)
    assert.is_true(response.partial)
  end)

  it("gives the error of a status", function()
    local list, err = events({status = 404, body = {"{\"error\":{\"message\":\"gone\"}}"}}, {read_for = 1})
    assert.is_nil(list)
    assert.same({"not_found", "gone"}, {err.kind, err.message})
  end)

  it("works over a script, where `partial` says that the stream went on", function()
    local answer = {status = 200, body = "data: one\n\ndata: tw", delay = 0.05, partial = true}
    local function over(options)
      return events({}, options, {transport = function() return answer end})
    end
    assert.equal("one", data((over {read_for = 0.01})))
    assert.equal("one|tw", data((over {})))
    answer.partial = nil
    assert.equal("one|tw", data((over {read_for = 0.01})))
  end)
end)
