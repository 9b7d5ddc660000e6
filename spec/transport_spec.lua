-- The transport when all is well: connections used again, what every request carries,
-- settings, proxies, times. And that nothing in an id or a setting becomes part of a
-- request that it was not meant to be.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local s, id

setup(function()
  s = service.start()
  id = s:seed {jobs = 1}.jobs[1]
end)

teardown(function()
  live.clean()
  s:stop()
end)

before_each(function() s:clear() end)

local function last(name)
  local requests = s:requests()
  return requests[#requests].header[name]
end

local function connections(requests)
  local set, n = {}, 0
  for _, request in ipairs(requests) do
    if not set[request.conn] then set[request.conn], n = true, n + 1 end
  end
  return n
end

describe("a connection", function()
  it("is used again, by every provider", function()
    local a, b = live.provider(s), live.provider(s, {api_key = s.key})
    for _ = 1, 10 do
      assert(a:get_job(id))
      assert(b:get_job(id))
    end
    assert.equal(20, #s:requests())
    assert.equal(1, connections(s:requests()))
  end)

  it("is used again after an error of the service, and after a redirect", function()
    local provider = live.provider(s, {max_retries = 0})
    assert(provider:get_job(id))
    s:fault {kind = "status", status = 500, path = "ftjob"}
    s:fault {kind = "redirect", path = "ftjob"}
    live.failed(provider:get_job(id))
    assert(provider:get_job(id))
    assert.equal(4, #s:requests())
    assert.equal(1, connections(s:requests()))
  end)

  it("is one of sixteen at most, and then the calls wait their turn", function()
    s:set {latency = 0.02}
    local provider, list = live.provider(s), {}
    assert(provider:get_job(id)) -- now it is known that the service speaks HTTP/1.1
    for i = 1, 64 do list[i] = id end
    local results = finetune.map(list, function(job) return provider:get_job(job) end, {concurrency = 64})
    s:set {latency = 0}
    assert.equal(64, #results)
    assert.is_true(connections(s:requests()) <= 17)
    assert.is_true(connections(s:requests()) > 4)
  end)

  it("that died between two requests is not noticed", function()
    local provider = live.provider(s, {max_retries = 0})
    assert(provider:get_job(id))
    s:fault {kind = "close", path = "ftjob"}
    assert.equal(id, assert(provider:get_job(id)).id) -- libcurl repeats it by itself
    assert.equal(3, #s:requests())
  end)
end)

describe("a request", function()
  it("says who sends it", function()
    assert(live.provider(s):get_job(id))
    assert.equal("finetune/" .. finetune._VERSION, last "user-agent")
    assert.equal("Bearer " .. s.key, last "authorization")
    assert.equal("application/json", last "accept")
    assert.matches("gzip", last "accept-encoding")
    assert.is_nil(last "content-type")
    assert.is_nil(last "expect")
    assert.is_nil(last "cookie")
    assert(live.provider(s, {user_agent = "mine/2 (x)"}):get_job(id))
    assert.equal("mine/2 (x)", last "user-agent")
  end)

  it("carries the headers and the query of the configuration", function()
    local provider = live.provider(s, {headers = {["X-Team"] = "a b", ["X-Empty"] = "", Accept = "text/x"},
      query = {["api-version"] = "2024-10-21", n = 3, yes = true, ["a&b"] = "c=d e/ü"}})
    assert(provider:get_job(id))
    assert.equal("a b", last "x-team")
    assert.equal("", last "x-empty")
    assert.equal("text/x", last "accept")
    local request = s:requests()[1]
    assert.equal("a%26b=c%3Dd%20e%2F%C3%BC&api-version=2024-10-21&n=3&yes=true", request.query)
    assert(provider:list_jobs {limit = 2})
    assert.matches("&limit=2", s:requests()[2].query)
  end)

  it("takes its key from where the configuration says", function()
    s:set {auth = "api-key"}
    assert(live.provider(s, {auth = {header = "api-key"}}):get_job(id))
    assert.equal(s.key, last "api-key")
    assert.is_nil(last "authorization")
    s:set {auth = "none"}
    assert(live.provider(s, {api_key = false}):get_job(id))
    assert.is_nil(last "authorization")
    s:set {auth = "bearer"}
  end)

  it("without a key is not sent", function()
    local provider = assert(finetune.create_provider("openai", {base_url = s.url, api_key = ""}))
    local err = live.failed(provider:get_job(id))
    assert.equal("config", err.kind)
    assert.matches("OPENAI_API_KEY", err.message)
    assert.equal(0, #s:requests())
  end)

  it("of no body says so", function()
    live.failed(live.provider(s):cancel_job(id)) -- it has ended already
    local request = s:requests()[1]
    assert.equal("POST", request.method)
    assert.equal("0", request.header["content-length"])
  end)
end)

describe("an id", function()
  local IDS = {
    ["a/b"] = "a%2Fb", ["a?b=c"] = "a%3Fb%3Dc", ["a#b"] = "a%23b", ["a b"] = "a%20b", ["a\0b"] = "a%00b",
    ["a\r\nX-Evil: 1\r\n\r\nGET /x HTTP/1.1"] = "a%0D%0AX-Evil%3A%201%0D%0A%0D%0AGET%20%2Fx%20HTTP%2F1.1",
    ["../../files"] = "..%2F..%2Ffiles", ["%2e%2e"] = "%252e%252e", ["ü\xff"] = "%C3%BC%FF",
    ["a;b,c@d"] = "a%3Bb%2Cc%40d",
    ["..."] = "...", ["~-_.:"] = "~-_.:", [("x"):rep(3000)] = ("x"):rep(3000),
  }

  it("stays one segment of the path, whatever is in it", function()
    local provider = live.provider(s)
    for text, encoded in pairs(IDS) do
      s:clear()
      local err = live.failed(provider:get_job(text))
      local requests = s:requests()
      assert.equal(1, #requests)
      local target = (requests[1].target:gsub("%%3A", ":"))
      assert.equal("/v1/fine_tuning/jobs/" .. encoded:gsub("%%3A", ":"), target)
      assert.is_nil(requests[1].header["x-evil"])
      assert.equal("not_found", err.kind)
    end
  end)

  it("that would be another path is refused", function()
    for _, text in ipairs {".", ".."} do
      for _, op in ipairs {"get_job", "cancel_job", "get_file", "delete_file", "delete_model", "list_events"} do
        local provider = live.provider(s)
        assert.equal("invalid", live.failed(provider[op](provider, text)).kind)
      end
    end
    assert.equal(0, #s:requests())
  end)

  it("in a body or a query stays in it", function()
    local provider, evil = live.provider(s), "a&limit=100\r\nX-Evil: 1"
    live.failed(provider:list_jobs {after = evil, limit = 1})
    assert.equal("after=a%26limit%3D100%0D%0AX-Evil%3A%201&limit=1", s:requests()[1].query)
    live.failed(provider:create_job {model = evil, training_file = evil, wait_for_files = false})
    assert.is_nil(last "x-evil")
  end)
end)

describe("a setting", function()
  it("with a newline, a NUL or a blank where none may be is refused when the provider is made", function()
    for _, case in ipairs {
      {"headers", {["x-a"] = "a\r\nX-Evil: 1"}, "'x%-a'"}, {"headers", {["x-a"] = "a\nb"}, "newline"},
      {"headers", {["x-a"] = "a\rb"}, "newline"}, {"headers", {["x-a"] = "a\0b"}, "NUL"},
      {"headers", {["x\r\nX-Evil"] = "1"}, "a name in headers"}, {"headers", {["x:y"] = "1"}, "a name in headers"},
      {"headers", {["x y"] = "1"}, "a name in headers"}, {"headers", {[""] = "1"}, "a name in headers"},
      {"headers", {["x\0y"] = "1"}, "a name in headers"},
      {"user_agent", "a\r\nX-Evil: 1", "user_agent"}, {"user_agent", "a\0b", "user_agent"},
      {"proxy", "http://a\r\nb:1", "proxy"}, {"ca_file", "a\nb", "ca_file"}, {"ca_file", "a\0b", "ca_file"},
      {"base_url", s.url .. "\r\nX-Evil: 1", "base_url"}, {"base_url", s.url .. "/a b", "base_url"},
      {"base_url", "ftp://127.0.0.1/", "base_url"}, {"base_url", "http://user:pw@127.0.0.1/", "base_url"},
      {"base_url", "http://127.0.0.1/?a=b", "base_url"}, {"base_url", "", "base_url"},
      {"base_url", "http://", "base_url"},
      {"api_key", "sk-a\nb", "api_key"}, {"api_key", "sk-a\0b", "api_key"}, {"api_key", "sk-a ", "api_key"},
      {"organization", "a\r\nb", "organization"}, {"project", "a b", "project"},
      {"connect_timeout", 1e9, "connect_timeout"}, {"max_retries", 1000, "max_retries"},
    } do
      local config = {base_url = s.url, api_key = s.key, [case[1]] = case[2]}
      local err = live.failed(finetune.create_provider("openai", config))
      assert.equal("config", err.kind)
      assert.matches(case[3], err.message)
      assert.is_nil(err.message:find "[\r\n%z]")
    end
  end)
end)

describe("a time limit", function()
  it("is the configuration's, or the call's", function()
    s:fault {kind = "stall", times = "always", path = "ftjob"}
    for _, case in ipairs {{{timeout = 0.1}, {}}, {{timeout = 30}, {timeout = 0.1}}} do
      local provider = live.provider(s, {timeout = case[1].timeout, max_retries = 0})
      local took, _, err = live.timed(function() return provider:get_job(id, {timeout = case[2].timeout}) end)
      assert.equal("timeout", err.kind)
      assert.equal(1, err.attempts)
      assert.is_true(took >= 0.095 and took < 25, took)
    end
  end)

  it("of the connection is its own", function()
    local url, release = live.deaf_url()
    local provider = live.provider(url, {connect_timeout = 0.1, max_retries = 1})
    local took, _, err = live.timed(function() return provider:get_job(id) end)
    release()
    assert.equal("timeout", err.kind)
    assert.equal(2, err.attempts)
    assert.is_false(err.sent)
    assert.is_true(took >= 0.19 and took < 9, took)
  end)
end)

describe("a proxy", function()
  -- The service is the proxy: what it is asked for shows that it was asked.
  local function through(url, config)
    local settings = {proxy = ("http://127.0.0.1:%d"):format(s.port), max_retries = 0}
    for key, value in pairs(config or {}) do settings[key] = value end
    return live.provider(url, settings)
  end

  it("gets the whole URL of an http request", function()
    live.failed(through "http://upstream.invalid/v1":get_job(id))
    local request = s:requests()[1]
    assert.equal("GET", request.method)
    assert.equal("http://upstream.invalid/v1/fine_tuning/jobs/" .. id, request.target)
    assert.equal("upstream.invalid", request.header.host)
  end)

  it("gets no more than the host of an https request", function()
    local err = live.failed(through "https://upstream.invalid/v1":get_job(id))
    assert.equal("transport", err.kind)
    assert.matches("CONNECT", err.message)
    assert.is_false(err.sent)
    local request = s:requests()[1]
    assert.equal("CONNECT", request.method)
    assert.equal("upstream.invalid:443", request.target)
    assert.is_nil(request.header.authorization)
    local _, why = through("https://upstream.invalid/v1"):create_job {model = "m", training_file = "f",
      wait_for_files = false}
    assert.equal("transport", why.kind) -- nothing was sent: no conflict
  end)

  it("gets its own credentials, which no error shows", function()
    local proxy = ("http://joe:p4ssw0rd@127.0.0.1:%d"):format(s.port)
    local err = live.failed(through("http://upstream.invalid/v1", {proxy = proxy}):get_job(id))
    assert.equal("Basic am9lOnA0c3N3MHJk", s:requests()[1].header["proxy-authorization"])
    assert.is_nil(tostring(err):find "p4ssw0rd")
  end)

  it("that is not there is a transport error", function()
    local err = live.failed(through(s.url, {proxy = (service.refused_url():gsub("/v1$", ""))}):get_job(id))
    assert.equal("transport", err.kind)
    assert.is_false(err.sent)
    assert.equal(0, #s:requests())
  end)
end)
