-- What providers in Lua are written with, at its edges: the verbs' answers, the four ways of
-- paging under answers that make no sense, waiting. (Files: kit_upload_spec.lua.)

local core = require "finetune.core"
local finetune = require "finetune"
local testing = finetune.testing

local BASE = "https://kit.example/v1"

-- Runs f(ctx) as an operation -> its value, or nil, err
local function with(config, f)
  local P = {name = "kit", base_url = BASE, config = {"poll_interval:number"}}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model", "get_job"} do
    P[op] = function() return {id = op} end
  end
  function P.sample(ctx) return f(ctx) end -- the result of `sample` may be anything
  finetune.register(P, {replace = true})
  local settings = {api_key = "kit-key-123456", max_retries = 0}
  for key, value in pairs(config) do settings[key] = value end
  local provider <close> = assert(finetune.create_provider("kit", settings))
  local value, err = provider:sample "m"
  return value, err
end

-- The same over a transport; requests as tests see them
local function over(answer, f)
  local log = {}
  local value, err = with({transport = function(request)
    request.query, request.path = testing.query(request.url), testing.split(request.url)
    log[#log + 1] = request
    return answer(request, #log)
  end}, f)
  return value, err, log
end

after_each(function() finetune.unregister "kit" end)

describe("a verb", function()
  -- answer -> what it gives first
  local ANSWERS = {
    {{status = 204}, true}, {{status = 200, body = ""}, true}, {{status = 200, body = "5"}, 5},
    {{status = 200, body = "\"text\""}, "text"}, {{status = 201, body = "[1,2]"}, {1, 2}},
    {{status = 202, json = {a = {b = 1}}}, {a = {b = 1}}},
  }
  for i, case in ipairs(ANSWERS) do
    it(("gives what the answer is (%d)"):format(i), function()
      for _, verb in ipairs {"get", "delete", "post", "put", "patch"} do
        local value, err = over(function() return case[1] end, function(ctx)
          local got, response = ctx[verb](ctx, "/x")
          assert(response.status == case[1].status)
          return {got = got}
        end)
        assert.is_nil(err)
        assert.same({got = case[2]}, value, verb)
      end
    end)
  end

  it("gives nil and words where the answer is no JSON, and its text where text is wanted", function()
    local function page() return {status = 200, body = "<html>", headers = {["content-type"] = "text/html"}} end
    local _, err = over(page, function(ctx) return ctx:get "/x" end)
    assert.equal("decode", err.kind)
    assert.equal("<html>", (over(page, function(ctx) return ctx:get("/x", {decode = "text"}) end)))
    assert.is_true((over(page, function(ctx) return ctx:get("/x", {decode = "none"}) end)))
  end)

  it("takes a status that is no success elsewhere, where it is told so", function()
    local function redirect() return {status = 302, headers = {location = "https://storage.example/o?sig=1"}} end
    local value = over(redirect, function(ctx)
      local _, response = ctx:post("/x", nil, {accept = {302}})
      return {response.status, response.headers.location}
    end)
    assert.same({302, "https://storage.example/o?sig=1"}, value)
    local _, err = over(redirect, function(ctx) return ctx:post "/x" end)
    assert.equal(302, err.status)
  end)

  it("leaves the caller's options and body as they are", function()
    local options, body = {query = {a = "1"}, headers = {["x-a"] = "b"}}, {n = {1}}
    over(function() return {json = {}} end, function(ctx)
      assert(ctx:post("/x", body, options))
      return assert(ctx:patch("/y", body, options))
    end)
    assert.same({query = {a = "1"}, headers = {["x-a"] = "b"}}, options)
    assert.same({n = {1}}, body)
  end)

  it("takes a path and options, and says so at the provider's line", function()
    local CALLS = {
      ["ctx:get: takes a path or a URL, a string, not nothing"] = function(ctx) local v = ctx:get() return v end,
      ["ctx:delete: takes a path or a URL, a string, not a table"] = function(ctx) local v = ctx:delete {} return v end,
      ["ctx:post: takes a path or a URL, a string %(call it with a colon%), not nothing"] =
        function(ctx) local v = ctx.post "/x" return v end,
      ["ctx:put: takes further fields of the request as its last argument, a table, not a string"] =
        function(ctx) local v = ctx:put("/x", {}, "y") return v end,
      ["ctx:paginate: takes a table, not a string"] = function(ctx) local v = ctx:paginate "/x" return v end,
      ["ctx:poll: takes a function, not a table"] = function(ctx) local v = ctx:poll {} return v end,
      ["ctx:all: takes an array of requests, not nothing"] = function(ctx) local v = ctx:all() return v end,
      ["ctx:upload: takes a table with the file's path, not a string"] =
        function(ctx) local v = ctx:upload "/x" return v end,
    }
    for words, call in pairs(CALLS) do
      local _, err = with({transport = function() return {json = {}} end}, call)
      assert.equal("provider", err.kind)
      assert.matches(words, err.message)
      assert.matches("kit_spec.lua", err.message)
    end
  end)
end)

-- ---- pages ----

describe("ctx:paginate", function()
  local function page_of(spec, answer)
    return over(type(answer) == "function" and answer or function() return answer end, function(ctx)
      local given = {path = "/items"}
      for key, value in pairs(spec) do given[key] = value end
      return ctx:paginate(given)
    end)
  end

  it("has a request whose fields are the caller's, none of which it changes", function()
    local spec = {query = {kind = "a b"}, headers = {["x-a"] = "1"}, cursor = "after", after = "it/7", limit = 5}
    local page, _, log = page_of(spec, {json = {data = {}, has_more = false}})
    assert.same({data = {}, has_more = false, raw = {data = {}, has_more = false}}, page)
    assert.same({kind = "a b", after = "it/7", limit = "5"}, log[1].query)
    assert.equal("1", log[1].headers["x-a"])
    assert.same({kind = "a b"}, spec.query)
  end)

  it("takes nothing but a list for a list", function()
    for _, body in ipairs {"", "null", "5", "\"x\"", "[]", "{}", '{"data":null}', '{"data":"x"}', '{"data":7}',
      '{"data":{"id":"x"}}', '{"data":true}', '{"other":[]}'} do
      local page, err = page_of({cursor = "after"}, {status = 200, body = body})
      assert.is_nil(page, body)
      assert.equal("decode", err.kind, body)
    end
  end)

  it("takes a list at the top, or anywhere", function()
    local function all(doc) return doc end
    assert.same({{id = "a"}}, page_of({items = all}, {body = '[{"id":"a"}]'}).data)
    assert.equal("decode", select(2, page_of({items = all}, {body = '{"error":"x"}'})).kind)
    assert.same({1, 2}, page_of({items = "a.b.c"}, {body = '{"a":{"b":{"c":[1,2]}}}'}).data)
    assert.equal("decode", select(2, page_of({items = "a.b.c"}, {body = '{"a":{"b":7}}'})).kind)
    assert.same({}, page_of({items = "a.b.c", optional = true}, {body = '{"a":{"b":7}}'}).data)
  end)

  it("leaves nulls out, and gives no null to `map`", function()
    local page = page_of({map = function(item) return {id = item.id} end}, {body = '{"data":[null,{"id":"a"},null]}'})
    assert.same({{id = "a"}}, page.data)
  end)

  it("has data that is an array for JSON, even when it is empty", function()
    assert.equal("[]", core.encode(page_of({}, {body = '{"data":[]}'}).data))
  end)

  -- spec, body -> next (nil: the end), or "bad"
  local CURSORS = {
    {{cursor = "after"}, '{"data":[{"id":"a"}],"has_more":true}', "a"},
    {{cursor = "after"}, '{"data":[{"id":7}],"has_more":true}', "7"},
    {{cursor = "after"}, '{"data":[{"id":"a"}],"has_more":false}'},
    {{cursor = "after"}, '{"data":[{"id":"a"}]}'},
    {{cursor = "after"}, '{"data":[],"has_more":true}'},
    {{cursor = "after", limit = 1}, '{"data":[{"id":"a"}]}', "a"},
    {{cursor = "after", limit = 2}, '{"data":[{"id":"a"}]}'},
    {{cursor = "after", limit = 1}, '{"data":["a"]}'},
    {{cursor = "after", id = "name", more = "page.more"}, '{"data":[{"name":"n"}],"page":{"more":true}}', "n"},
    {{cursor = "after"}, '{"data":[{"name":"a"}],"has_more":true}', "bad"},
    {{cursor = "after"}, '{"data":["a"],"has_more":true}', "bad"},
    {{cursor = "after"}, '{"data":[{"id":{}}],"has_more":true}', "bad"},
    {{cursor = "after"}, '{"data":[{"id":true}],"has_more":true}', "bad"},
    {{cursor = "after"}, '{"data":[{"id":"a"},null],"has_more":true}', "bad"},
    {{token = "t"}, '{"data":[],"next_page_token":"x"}', "x"},
    {{token = "t"}, '{"data":[],"next_page_token":""}'},
    {{token = "t"}, '{"data":[],"next_page_token":null}'},
    {{token = "t"}, '{"data":[],"next_page_token":false}'},
    {{token = "t"}, '{"data":[]}'},
    {{token = "t", next = "meta.next"}, '{"data":[],"meta":{"next":12}}', "12"},
    {{token = "t", next = "meta.next"}, '{"data":[],"meta":[]}'},
    {{token = "t"}, '{"data":[],"next_page_token":{"a":1}}', "bad"},
    {{token = "t"}, '{"data":[],"next_page_token":true}', "bad"},
    {{token = "t"}, '{"data":[],"next_page_token":1.5}', "bad"},
    {{page = "p"}, '{"data":[1]}', "2"}, {{page = "p"}, '{"data":[]}'},
    {{page = "p", after = "7"}, '{"data":[1]}', "8"}, {{page = "p", first = 0}, '{"data":[1]}', "1"},
    {{page = "p", limit = 2}, '{"data":[1]}'}, {{page = "p", limit = 2}, '{"data":[1,2]}', "2"},
    {{page = "p", pages = "n"}, '{"data":[1],"n":1}'}, {{page = "p", pages = "n"}, '{"data":[],"n":2}', "2"},
    {{page = "p", pages = "n", first = 0, after = "1"}, '{"data":[1],"n":2}'},
    {{page = "p", pages = "n", first = 0}, '{"data":[1],"n":2}', "1"},
    {{page = "p", pages = "n"}, '{"data":[1],"n":{}}', "2"}, {{page = "p", pages = "n"}, '{"data":[],"n":"x"}'},
    {{page = "p", after = "what"}, '{"data":[1]}', "2"},
  }

  it("goes on where the answer says so, ends where it does, and is an error where it makes no sense", function()
    for i, case in ipairs(CURSORS) do
      local page, err = page_of(case[1], {body = case[2]})
      local name = ("%d: %s"):format(i, case[2])
      if case[3] == "bad" then
        assert.is_nil(page, name)
        assert.equal("decode", err.kind, name)
      else
        assert.is_nil(err, name)
        assert.equal(case[3], page.next, name)
        assert.equal(case[3] ~= nil, page.has_more, name)
      end
    end
  end)

  -- Link header -> the address of the next page as it is asked for, or nil: the end, or "bad"
  local LINKS = {
    ['<https://kit.example/v1/items?at=2>; rel="next"'] = BASE .. "/items?at=2",
    ['<https://KIT.example:443/v1/items?at=2>; rel=next'] = "https://KIT.example:443/v1/items?at=2",
    ['</v1/items?at=2&b=%2F>; rel="next"'] = BASE .. "/items?at=2&b=%2F",
    ['<?at=2>; rel="next"'] = BASE .. "/items?at=2",
    ['<items/2>; rel="next"'] = BASE .. "/items/2",
    ['</v1beta/items?at=2>; rel="next"'] = "https://kit.example/v1beta/items?at=2",
    ['</v2/items>; rel="next"'] = "https://kit.example/v2/items",
    ['<//kit.example/v1/items?at=3>; rel="next"'] = BASE .. "/items?at=3",
    ['</v1/a>; rel="prev", </v1/b>; title="x"; REL="last next"'] = BASE .. "/b",
    ['</v1/a>; rel="nextish", </v1/b>; xrel="next", </v1/c>; title="rel=next"'] = false,
    ['</v1/a>; rel="prev"'] = false, ["nonsense"] = false, [""] = false, ["<>"] = false,
    ['<https://evil.example/v1/items?at=2>; rel="next"'] = "bad",
    ['<https://kit.example@evil.example/v1/items>; rel="next"'] = "bad",
    ['<https://kit.example.evil.example/>; rel="next"'] = "bad",
    ['<http://kit.example/v1/items?at=2>; rel="next"'] = "bad",
    ['<https://kit.example:8443/v1/items>; rel="next"'] = "bad",
    ['<//evil.example/v1/items>; rel="next"'] = "bad",
  }

  it("follows a Link on its own host alone, with the credentials, wherever it points", function()
    for link, expected in pairs(LINKS) do
      local value, err, log = over(function(_, n)
        return {json = {data = {}}, headers = n == 1 and {Link = link} or nil}
      end, function(ctx)
        local page = assert(ctx:paginate {path = "/items", link = true, query = {kind = "x"}, limit = 3})
        if not page.next then return {ended = not page.has_more} end
        return ctx:paginate {path = "/items", link = true, query = {kind = "x"}, limit = 3, after = page.next}
      end)
      assert.same({kind = "x", limit = "3"}, log[1].query)
      if expected == "bad" then
        assert.matches("goes to another host", err.message, 1, false)
        assert.equal(1, #log, link)
      elseif not expected then
        assert.same({ended = true}, value, link)
      else
        assert.is_nil(err, link)
        assert.equal(expected, log[2].url, link)
        assert.equal("Bearer kit-key-123456", log[2].headers.authorization, link)
      end
    end
  end)

  it("gives a Link to a list at an address of its own no credentials, as the list had none", function()
    local _, err, log = over(function(_, n)
      return {json = {data = {}}, headers = n == 1 and {Link = '<?at=2>; rel="next"'} or nil}
    end, function(ctx)
      local page = assert(ctx:paginate {url = "https://other.example/list", link = true})
      return ctx:paginate {url = "https://other.example/list", link = true, after = page.next}
    end)
    assert.is_nil(err)
    assert.equal("https://other.example/list?at=2", log[2].url)
    assert.is_nil(log[2].headers.authorization)
  end)
end)

-- ---- waiting ----

describe("ctx:poll", function()
  it("waits longer each time, up to a limit", function()
    local times = {}
    local _, err = with({}, function(ctx)
      return ctx:poll(function() times[#times + 1] = core.now() end,
        {interval = 0.02, max_interval = 0.04, timeout = 1, what = "nothing"})
    end)
    assert.equal("timeout", err.kind)
    -- 20, 30, 40, 40 ... ms, and once more at the end
    assert.is_true(#times >= 4 and #times <= 28, "polled " .. #times .. " times")
    assert.is_true(times[2] - times[1] >= 0.019 and times[3] - times[2] >= 0.029)
    assert.is_true(times[#times] - times[1] >= 0.995)
  end)

  it("takes false for a value", function()
    assert.is_false((with({}, function(ctx) return ctx:poll(function() return false end) end)))
  end)
end)

describe("ctx:wait_for_files", function()
  -- get_file that says these statuses one after another, the last one for ever; and what was asked
  local function files(statuses)
    local asked = {}
    return function(_, params)
      asked[#asked + 1] = params.file_id
      local status = statuses[math.min(#asked, #statuses)]
      if type(status) == "table" then return nil, status end
      return {id = params.file_id, status = status, error = "line 3 is no JSON"}
    end, asked
  end

  local function wait(get_file, params)
    return with({poll_interval = 0.002}, function(ctx) return ctx:wait_for_files(get_file, params) end)
  end

  it("looks until each file is ready", function()
    local get_file, asked = files {"uploaded", "pending", "processed", "uploaded", "processed"}
    assert.is_true((wait(get_file, {training_file = "a", validation_file = "b"})))
    assert.same({"a", "a", "a", "b", "b"}, asked)
  end)

  it("has nothing to wait for where there is no file, or where nobody wants it", function()
    local get_file, asked = files {"uploaded"}
    assert.is_true((wait(get_file, {})))
    assert.is_true((wait(get_file, {training_file = "a", wait_for_files = false})))
    assert.same({}, asked)
  end)

  it("ends with the service's words, with the error of the look, or with the time", function()
    local _, err = wait(files {"uploaded", "error"}, {validation_file = "v"})
    assert.equal("data", err.kind)
    assert.matches("could not process file v: line 3 is no JSON", err.message)
    local failure = core.error {kind = "not_found", message = "no such file"}
    _, err = wait(files {failure}, {training_file = "a"})
    assert.equal("not_found", err.kind)
    _, err = wait(files {"uploaded"}, {training_file = "a", file_timeout = 0.02})
    assert.equal("timeout", err.kind)
    assert.matches("file a was not ready after 0.02 s", err.message)
  end)
end)
