-- The kit of provider authors: ctx in the coroutine of an operation, over scripts and small services.

local core = require "finetune.core"
local finetune = require "finetune"
local testing = finetune.testing

local BASE = "https://kit.example/v1"

-- Runs f(ctx) as an operation over this transport -> its value, or nil, err
local function with(transport, f, config)
  local P = {name = "kit", base_url = BASE}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = function() return {id = op} end
  end
  P.get_job, P.sample = P.create_job, function(ctx) return f(ctx) end -- the result of `sample` may be anything
  finetune.register(P, {replace = true})
  local settings = {api_key = "kit-key-123456", transport = transport, max_retries = 0}
  for key, value in pairs(config or {}) do settings[key] = value end
  local provider <close> = assert(finetune.create_provider("kit", settings))
  local value, err = provider:sample "j"
  return value, err
end

-- The same over a script -> value, err, log
local function play(script, f, config)
  local transport, log = testing.transport(script)
  local value, err = with(transport, f, config)
  log.done()
  return value, err, log
end

after_each(function() finetune.unregister "kit" end)

describe("the verbs", function()
  it("give the decoded answer and the response", function()
    local value = play({{"GET /v1/x", json = {a = 1}, headers = {["x-h"] = "7"}}}, function(ctx)
      local doc, response = ctx:get "/x"
      return {doc = doc, status = response.status, header = response.headers["x-h"]}
    end)
    assert.same({doc = {a = 1}, status = 200, header = "7"}, value)
  end)

  it("send JSON, strings, queries and headers", function()
    local _, _, log = play({
      {"POST /v1/a", expect = {json = {n = 1}, headers = {["content-type"] = "application/json"}}, json = {}},
      {"PUT /v1/b", expect = {body = "text", query = {q = "1 2"}}, json = {}},
      {"PATCH /v1/c", expect = {headers = {["x-a"] = "b"}}, json = {}},
      {"DELETE /v1/d", status = 204},
      {"POST /v1/e", json = {}},
    }, function(ctx)
      assert(ctx:post("/a", {n = 1}))
      assert(ctx:put("/b", "text", {query = {q = "1 2"}}))
      assert(ctx:patch("/c", {}, {headers = {["x-a"] = "b"}}))
      local deleted = assert(ctx:delete "/d")
      assert(ctx:post "/e")
      return {deleted = deleted}
    end)
    assert.equal(5, #log.requests)
  end)

  it("send the credentials to the service, and to nobody else", function()
    local _, _, log = play({{json = {}}, {json = {}}, {json = {}}}, function(ctx)
      assert(ctx:get "/own")
      assert(ctx:get "https://storage.example/presigned?x=1")
      return assert(ctx:get("https://kit.example/v1/own", {auth = true}))
    end)
    assert.equal("Bearer kit-key-123456", log.requests[1].headers.authorization)
    assert.is_nil(log.requests[2].headers.authorization)
    assert.equal("https://storage.example/presigned?x=1", log.requests[2].url)
    assert.equal("Bearer kit-key-123456", log.requests[3].headers.authorization)
  end)

  it("give nil and the error", function()
    local value, err = play({{status = 404, json = {error = {message = "no x"}}}}, function(ctx)
      return ctx:get "/x"
    end)
    assert.is_nil(value)
    assert.equal("not_found", err.kind)
    assert.equal("sample", err.op)
    assert.equal("kit", err.provider)
  end)

  it("are retried by the core", function()
    local value = play({{status = 500}, {status = 503}, {json = {id = "x"}}}, function(ctx) return ctx:get "/x" end,
      {max_retries = 2, retry_delay = 0.001})
    assert.equal("x", value.id)
  end)

  it("know where they are", function()
    local value = with(nil, function(ctx)
      return {op = ctx.op, name = ctx.provider.name, base = ctx.config.base_url, escaped = ctx.escape "a/b c"}
    end)
    assert.same({op = "sample", name = "kit", base = BASE, escaped = "a%2Fb%20c"}, value)
  end)

  it("refuse to work in a coroutine of the provider's own, with words", function()
    local _, err = with(nil, function(ctx)
      return coroutine.wrap(function() return ctx:get "/x" end)()
    end)
    assert.equal("usage", err.kind)
    assert.matches("coroutine that runs the operation", err.message)
  end)
end)

describe("ctx:all", function()
  it("gives the answers in order, some at a time", function()
    local most, now = 0, 0
    local value = with(function(request)
      now = now + 1
      most = math.max(most, now)
      return {json = {n = tonumber(request.url:match "%d+$")}, delay = 0.002}
    end, function(ctx)
      local requests = {}
      for i = 1, 6 do requests[i] = {path = "/n/" .. i, tag = i} end
      local responses = assert(ctx:all(requests, 3))
      assert(requests.concurrency == nil)
      local list = {}
      for i, response in ipairs(responses) do list[i] = response.json.n * 10 + response.tag end
      return list
    end)
    assert.same({11, 22, 33, 44, 55, 66}, value)
    assert.is_true(most >= 3)
  end)

  it("gives the first error", function()
    local value, err = with(function(request)
      return request.url:find "2$" and {status = 403, json = {}} or {json = {}, delay = 0.01}
    end, function(ctx) return ctx:all {{path = "/1"}, {path = "/2"}, {path = "/3"}} end)
    assert.is_nil(value)
    assert.equal("permission", err.kind)
  end)

  it("takes no request at all", function()
    assert.same({}, (with(nil, function(ctx) return ctx:all {} end)))
  end)
end)

describe("ctx:poll", function()
  it("asks until there is a value", function()
    local value = play({{json = {state = "busy"}, times = 3}, {json = {state = "ready"}}}, function(ctx)
      return ctx:poll(function()
        local doc, err = ctx:get "/x"
        if not doc then return nil, err end
        if doc.state == "ready" then return doc end
      end, {interval = 0.001})
    end)
    assert.equal("ready", value.state)
  end)

  it("passes an error, and has a deadline", function()
    local _, err = with(nil, function(ctx) return ctx:poll(function() return ctx.fail("data", "line %d", 7) end) end)
    assert.equal("data", err.kind)
    assert.equal("line 7", err.message)
    _, err = with(nil, function(ctx)
      return ctx:poll(function() end, {interval = 0.001, timeout = 0.01, what = "the file"})
    end)
    assert.equal("timeout", err.kind)
    assert.matches("the file was not ready after 0.01 s", err.message)
  end)
end)

describe("ctx:paginate", function()
  -- page -> what a caller of list_* would do with it
  local function walk(transport, spec)
    return with(transport, function(ctx)
      local list, after, rounds = {}, nil, 0
      repeat
        local given = {after = after}
        for key, value in pairs(spec) do given[key] = value end
        local page, err = ctx:paginate(given)
        if not page then return nil, err end
        for _, item in ipairs(page.data) do list[#list + 1] = item.id end
        after, rounds = page.next, rounds + 1
        assert(page.has_more == (after ~= nil))
      until not page.has_more or rounds > 9
      return list
    end)
  end

  local function service(answer)
    local transport, log = testing.routes {["GET /v1/items"] = function(request)
      return answer(request.query)
    end}
    return transport, log
  end

  local THREE = {"a", "b", "c"}

  it("goes by the id of the last item", function()
    local transport, log = service(function(query)
      local at = query.after == "a" and 2 or query.after == "b" and 3 or 1
      return {json = {data = {{id = THREE[at]}}, has_more = at < 3}}
    end)
    assert.same(THREE, walk(transport, {path = "/items", cursor = "after", limit = 1}))
    assert.same({limit = "1", after = "b"}, log.requests[3].query)
  end)

  it("goes by page tokens, with the list anywhere", function()
    local transport = service(function(query)
      local at = tonumber(query.pageToken or 1)
      return {json = {result = {list = {{id = THREE[at]}}}, meta = {next = at < 3 and tostring(at + 1) or ""}}}
    end)
    assert.same(THREE, walk(transport, {path = "/items", token = "pageToken", next = "meta.next",
      items = "result.list"}))
  end)

  it("goes by page numbers: to the last full page, or to the number of pages", function()
    local transport, log = service(function(query)
      local at = tonumber(query.page_no)
      return {json = {data = at <= 3 and {{id = THREE[at]}} or {}, total_pages = 3}}
    end)
    assert.same(THREE, walk(transport, {path = "/items", page = "page_no", limit = 1, limit_name = "page_size"}))
    assert.equal(4, #log.requests)
    assert.same({page_no = "1", page_size = "1"}, log.requests[1].query)
    log.requests = {}
    assert.same(THREE, walk(transport, {path = "/items", page = "page_no", pages = "total_pages"}))
    assert.equal(3, #log.requests)
  end)

  it("goes by Link headers, absolute and relative, to its own host only", function()
    local links = {'<https://kit.example/v1/items?at=2>; rel="next", <https://kit.example/v1/items?at=9>; rel="last"',
      '</v1/items?at=3>; rel=next', '<https://kit.example/v1/items?at=1>; rel="first"'}
    local transport, log = service(function(query)
      local at = tonumber(query.at or 1)
      return {json = {data = {{id = THREE[at]}}}, headers = {Link = links[at]}}
    end)
    assert.same(THREE, walk(transport, {path = "/items", link = true}))
    for _, request in ipairs(log.requests) do assert.equal("Bearer kit-key-123456", request.headers.authorization) end
    links[1] = '<https://evil.example/v1/items?at=2>; rel="next"'
    local value, err = walk(transport, {path = "/items", link = true})
    assert.is_nil(value)
    assert.equal("decode", err.kind)
    assert.matches("another host", err.message)
  end)

  it("maps items, and leaves out those that map to nothing", function()
    local transport = service(function() return {json = {data = {{id = "a"}, {id = "b"}, {id = "c"}}}} end)
    assert.same({"A", "C"}, walk(transport, {path = "/items", map = function(item)
      if item.id ~= "b" then return {id = item.id:upper()} end
    end}))
  end)

  it("is one page where nothing else is said", function()
    local transport = service(function() return {json = {data = {{id = "a"}}, has_more = true}} end)
    assert.same({"a"}, walk(transport, {path = "/items"}))
  end)

  it("takes a list that is missing for an error, or for an empty one", function()
    local transport = service(function() return {json = {}} end)
    assert.equal("decode", (select(2, walk(transport, {path = "/items"}))).kind)
    assert.same({}, walk(transport, {path = "/items", optional = true}))
    transport = service(function() return {body = '{"data":null}'} end)
    assert.equal("decode", (select(2, walk(transport, {path = "/items"}))).kind)
    assert.same({}, walk(transport, {path = "/items", optional = true}))
  end)

  it("cuts pages out of a list that comes whole, in the order that is asked for", function()
    local transport, log = service(function() return {body = '[{"id":"a","n":2},{"id":"b"},{"id":"c","n":7}]'} end)
    assert.same({"a", "b", "c"}, walk(transport, {path = "/items", items = "", whole = true, limit = 2}))
    assert.equal(2, #log.requests)
    assert.same({}, log.requests[1].query)
    assert.same({"c", "a", "b"}, walk(transport, {path = "/items", items = "", whole = true, by = "n"}))
    local _, err = walk(transport, {path = "/items", items = "", whole = true, after = "z"})
    assert.equal("invalid", err and err.kind)
  end)

  it("passes errors", function()
    assert.equal("not_found", (select(2, walk(service(function() end), {path = "/nothing"}))).kind)
  end)
end)

describe("ctx:upload", function()
  local path

  before_each(function()
    path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write("0123456789")
    file:close()
  end)

  after_each(function() os.remove(path) end)

  it("sends a form", function()
    local value, _, log = play({{"POST /v1/files", json = {id = "f"}}}, function(ctx)
      return ctx:upload {path = path, to = "/files", fields = {purpose = "x", a = 1}, filename = "n.jsonl",
        type = "t/t"}
    end)
    assert.equal("f", value.id)
    local parts = log.requests[1].multipart
    assert.same({"a", "purpose", "file"}, {parts[1].name, parts[2].name, parts[3].name})
    assert.equal(path, parts[3].path)
    assert.equal("n.jsonl", parts[3].filename)
    assert.equal(10, parts[3].size)
  end)

  it("puts a file to a presigned address, without credentials", function()
    local value, _, log = play({{headers = {etag = '"e"'}}}, function(ctx)
      local response, err = ctx:upload {path = path, url = "https://storage.example/o?sig=1"}
      if not response then return nil, err end
      return {etag = response.headers.etag}
    end)
    assert.equal('"e"', value.etag)
    assert.equal("PUT", log.requests[1].method)
    assert.is_nil(log.requests[1].headers.authorization)
    assert.equal(10, log.requests[1].file.length)
  end)

  it("puts slices to many addresses", function()
    local seen = {}
    local value = with(function(request)
      seen[#seen + 1] = ("%s %d+%d"):format(request.url:match "[^/]*$", request.file.offset, request.file.length)
      return {headers = {etag = request.url:match "[^/]*$"}}
    end, function(ctx)
      local parts = {}
      for i = 1, 3 do parts[i] = {url = "https://storage.example/p" .. i} end
      local responses, err = ctx:upload {path = path, parts = parts, part_size = 4, concurrency = 1}
      if not responses then return nil, err end
      local list = {}
      for i, response in ipairs(responses) do list[i] = response.headers.etag end
      return list
    end)
    assert.same({"p1", "p2", "p3"}, value)
    assert.same({"p1 0+4", "p2 4+4", "p3 8+2"}, seen)
  end)

  it("says that there is no such file", function()
    local _, err = with(nil, function(ctx) return ctx:upload {path = "/nowhere/x", to = "/files"} end)
    assert.matches("/nowhere/x", err.message)
  end)
end)

describe("ctx:events", function()
  it("reads a stream", function()
    local value = play({{"GET /v1/progress", expect = {headers = {accept = "text/event-stream"}},
      body = "event: step\ndata: {\"n\":1}\n\ndata: done\n\n", headers = {["content-type"] = "text/event-stream"}}},
      function(ctx) return ctx:events "/progress" end)
    assert.equal(2, #value)
    assert.equal("step", value[1].event)
    assert.same({n = 1}, value[1].json)
    assert.equal("done", value[2].data)
    assert.is_nil(value[2].json)
  end)

  it("takes no answer in the time that is given for silence, and a page for no stream", function()
    local value = play({{"GET /v1/progress", fail = "timeout"}}, function(ctx)
      local list, response = ctx:events("/progress", {read_for = 1, timeout = 1, retry = "never"})
      return {n = #list, partial = response.partial}
    end)
    assert.same({n = 0, partial = true}, value)
    local _, err = play({{"GET /v1/progress", fail = "timeout"}}, function(ctx)
      return ctx:events("/progress", {retry = "never"})
    end)
    assert.equal("timeout", err.kind)
    _, err = play({{"GET /v1/progress", body = "<html>", headers = {["content-type"] = "text/html"}}},
      function(ctx) return ctx:events "/progress" end)
    assert.equal("decode", err.kind)
  end)
end)

describe("http.sse", function()
  local sse = finetune.http.sse

  local function show(events)
    local list = {}
    for i, e in ipairs(events) do
      list[i] = ("%s|%s|%s|%s"):format(e.event, e.data:gsub("\n", "/"), e.id or "", e.retry or "")
    end
    return table.concat(list, ";")
  end

  local TEXT = "\239\187\191: hi\r\ndata: a\r\ndata: b\rid: 7\nevent: x\r\n\r\n"
    .. "retry: 1500\ndata\n\ndata:  two\nid: n\0\n\ndata: last"
  local EXPECTED = "x|a/b|7|;message||7|1.5;message| two|7|1.5;message|last|7|1.5"

  it("reads what the standard says, in one piece", function() assert.equal(EXPECTED, show(sse.parse(TEXT))) end)

  it("reads it in pieces of every size", function()
    for size = 1, #TEXT do
      local parser, list = sse.new(), {}
      for at = 1, #TEXT, size do
        for _, e in ipairs(parser:feed(TEXT:sub(at, at + size - 1))) do list[#list + 1] = e end
      end
      for _, e in ipairs(parser:finish()) do list[#list + 1] = e end
      assert.equal(EXPECTED, show(list), "size " .. size)
    end
  end)

  it("gives events as soon as they are complete", function()
    local parser = sse.new()
    assert.equal(0, #parser:feed "data: a\n")
    assert.equal(1, #parser:feed "\n")
    assert.equal(0, #parser:feed "\n\n: comment\n\nevent: none\n\n")
    assert.equal(0, #parser:finish())
  end)

  it("does not keep more than an event", function()
    local parser = sse.new()
    local ok, message
    for _ = 1, 20 do
      ok, message = pcall(parser.feed, parser, ("x"):rep(1024 * 1024))
      if not ok then break end
    end
    assert.is_false(ok)
    assert.matches("larger than 8 MiB", message)
  end)
end)

describe("testing", function()
  it("says what a script expected", function()
    local transport, log = testing.transport {{"GET /v1/a", json = {}}, {"GET /v1/b", json = {}}}
    local _, err = with(transport, function(ctx) return ctx:get "/other" end)
    assert.matches("got 'GET /v1/other', the script expects 'GET /v1/a'", err.message)
    assert.matches("the script expects", select(2, pcall(log.done)))
    transport, log = testing.transport {{"GET /v1/a", json = {id = "x"}}, {"GET /v1/b", json = {}}}
    with(transport, function(ctx) return ctx:get "/a" end)
    assert.matches("request 2 of the script %(GET /v1/b%) never came", select(2, pcall(log.done)))
    transport = testing.transport {}
    _, err = with(transport, function(ctx) return ctx:get "/a" end)
    assert.matches("the script has ended", err.message)
  end)

  it("compares what is given of a request", function()
    assert.is_true(testing.covers({a = {b = 1}}, {a = {b = 1, c = 2}}, "x"))
    local ok, why = testing.covers({a = {b = 1}}, {a = {b = 2}}, "x")
    assert.is_false(ok)
    assert.equal("x.a.b is 2, expected 1", why)
    assert.is_true(testing.same({b = 1, a = {}}, {a = {}, b = 1}))
  end)

  it("has faults of the socket", function()
    for fault, kind in pairs {timeout = "timeout", connect = "transport", reset = "transport"} do
      local _, err = play({{fail = fault}}, function(ctx) return ctx:get "/x" end)
      assert.equal(kind, err.kind)
    end
  end)

  it("routes: the parts of a path, decoded; 404 for the rest", function()
    local value = with(testing.routes {
      ["GET /v1/jobs/{id}/events"] = function(_, id) return {json = {of = id}} end,
      ["GET /v1/jobs/all"] = function() return {json = {all = true}} end,
      ["GET /v1/jobs/{id}"] = function(_, id) return {json = {id = id}} end,
    }, function(ctx)
      local _, missing = ctx:get "/nothing"
      return {assert(ctx:get("/jobs/" .. ctx.escape "a/b")).id, assert(ctx:get "/jobs/x/events").of,
        assert(ctx:get "/jobs/all").all, missing.kind}
    end)
    assert.same({"a/b", "x", true, "not_found"}, value)
  end)

  it("names the pieces of an address", function()
    assert.same({"/v1/x", "a=1"}, {testing.split "https://h:1/v1/x?a=1"})
    assert.same({a = "1 2", b = ""}, testing.query "https://h/x?a=1%202&b")
  end)
end)

describe("core.null and finetune.array", function()
  it("are what JSON needs", function()
    assert.equal('{"a":[],"b":[null,1]}', core.encode {a = finetune.array {}, b = {finetune.null, 1}})
  end)
end)
