-- Redirects: followed where that is harmless; never with credentials, headers, a body or
-- the query to another host, never to less protection, and not for ever.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local s, other, id

setup(function()
  s, other = service.start(), service.start()
  id = s:seed {jobs = 1}.jobs[1]
end)

teardown(function()
  live.clean()
  s:stop()
  other:stop()
end)

before_each(function()
  s:clear()
  other:clear()
end)

local function redirect(location, status, fields)
  local fault = {kind = "redirect", location = location, status = status, times = "always", path = "ftjob%-"}
  for key, value in pairs(fields or {}) do fault[key] = value end
  s:fault(fault)
end

local SECRETS = {organization = "org-hidden-1", project = "proj-hidden-2", query = {["api-version"] = "hidden-4"},
  headers = {["api-key"] = "key-hidden-3", ["X-Private"] = "hidden-5", Cookie = "c=hidden-6"}}

-- Everything that the other host was sent, as one text
local function all_sent(requests)
  local words = {}
  for _, request in ipairs(requests) do
    words[#words + 1] = request.method .. " " .. request.target
    for _, header in ipairs(request.headers) do words[#words + 1] = header[1] .. ": " .. header[2] end
    words[#words + 1] = request.body or ""
    for _, part in ipairs(request.parts or {}) do
      words[#words + 1] = part.name .. (part.value or part.filename or "")
    end
  end
  return table.concat(words, "\n")
end

describe("a redirect within the host", function()
  for _, status in ipairs {301, 302, 303, 307, 308} do
    it("is followed by a GET, with its credentials (" .. status .. ")", function()
      redirect(("/v1/fine_tuning/jobs/%s?hop=1"):format(id), status, {times = 1})
      local found = assert(live.provider(s):get_job(id))
      assert.equal(id, found.id)
      local requests = s:requests()
      assert.equal(2, #requests)
      assert.equal("hop=1", requests[2].query)
      assert.equal("Bearer " .. s.key, requests[2].header.authorization)
    end)
  end

  it("may be relative, or to no more than a query", function()
    for _, location in ipairs {id, "./" .. id, "../jobs/" .. id, "?again=1", s.url .. "/fine_tuning/jobs/" .. id} do
      s:clear()
      redirect(location, 307, {times = 1})
      assert.equal(id, assert(live.provider(s):get_job(id)).id)
      assert.equal(2, #s:requests())
    end
  end)

  it("keeps the body of a POST that is asked to keep its method", function()
    for _, status in ipairs {307, 308} do
      s:clear()
      redirect("/v1/files?hop=1", status, {path = "/files$", times = 1})
      local content = live.lines(20)
      local file = assert(live.provider(s):upload_file(live.file(content), {filename = "t.jsonl"}))
      assert.equal(#content, file.bytes)
      assert.equal(content, (assert(live.provider(s):download_file(file))))
      local posts = s:requests {method = "POST"}
      assert.equal(2, #posts)
      assert.equal(posts[1].parts[2].sha256, posts[2].parts[2].sha256)
    end
  end)

  it("does not turn a POST into a GET", function()
    for _, status in ipairs {301, 302, 303} do
      s:clear()
      redirect("/v1/elsewhere", status, {path = "/cancel$"})
      local err = live.failed(live.provider(s):cancel_job(id))
      assert.equal("transport", err.kind)
      assert.equal("127.0.0.1: a redirect that would change the request's method was refused", err.message)
      assert.equal(1, err.attempts)
      assert.is_false(err.retryable)
      assert.equal(1, #s:requests())
    end
  end)

  it("ends after five hops", function()
    redirect(nil, 302)
    local err = live.failed(live.provider(s):get_job(id))
    assert.equal("transport", err.kind)
    assert.equal("127.0.0.1: too many redirects", err.message)
    assert.equal(1, err.attempts)
    assert.equal(6, #s:requests())
  end)

  it("counts no hop as an attempt", function()
    redirect(nil, 307, {times = 3})
    s:fault {kind = "status", status = 503, path = "ftjob%-", times = "always"}
    local err = live.failed(live.provider(s):get_job(id))
    assert.equal(503, err.status)
    assert.equal(3, err.attempts)
    assert.equal(6, #s:requests())
  end)

  it("to no URL is told", function()
    for _, location in ipairs {"http://", "http://a b/", "gopher://127.0.0.1/", "file:///etc/passwd", "javascript:1"} do
      s:clear()
      redirect(location, 302, {times = 2})
      local err = live.failed(live.provider(s):get_job(id))
      assert.equal("transport", err.kind, location)
      assert.is_true(#s:requests() <= 2)
    end
  end)
end)

describe("a redirect to another host", function()
  for _, status in ipairs {301, 302, 303, 307, 308} do
    it("takes a bare GET there, and nothing else (" .. status .. ")", function()
      redirect(other.url .. "/models?from=there", status)
      local err = live.failed(live.provider(s, SECRETS):get_job(id))
      assert.equal("auth", err.kind) -- the other host's own answer: it got no key
      local here, there = s:requests(), other:requests()
      assert.equal(1, #here)
      assert.matches("key%-hidden%-3", all_sent(here))
      assert.equal(1, #there)
      assert.equal("GET", there[1].method)
      assert.equal("/v1/models?from=there", there[1].target)
      assert.is_nil(there[1].header.authorization)
      local sent = all_sent(there)
      assert.is_nil(sent:find("hidden", 1, true), sent)
      assert.is_nil(sent:find(s.key, 1, true), sent)
      local names = {}
      for _, header in ipairs(there[1].headers) do names[#names + 1] = header[1]:lower() end
      table.sort(names)
      assert.same({"accept", "accept-encoding", "host", "user-agent"}, names)
    end)
  end

  it("by another name or port is another host", function()
    redirect(("http://localhost:%d/v1/models"):format(s.port), 307)
    live.failed(live.provider(s, SECRETS):get_job(id))
    local requests = s:requests()
    assert.equal(2, #requests)
    assert.is_nil(requests[2].header.authorization)
    assert.is_nil(all_sent {requests[2]}:find("hidden", 1, true))
  end)

  it("and back does not bring the credentials back", function()
    redirect(other.url .. "/models", 307)
    other:fault {kind = "redirect", location = s.url .. "/models", times = "always"}
    local err = live.failed(live.provider(s, SECRETS):get_job(id))
    assert.equal("auth", err.kind)
    local requests = s:requests()
    assert.equal(2, #requests)
    assert.is_nil(requests[2].header.authorization)
    assert.is_nil(requests[2].header["api-key"])
  end)

  local REFUSED = "127.0.0.1: a redirect to another host was refused: the request has a body or a side effect"

  it("is refused to what has a body or a side effect", function()
    local file = live.file(live.lines(20))
    for what, f in pairs {
      cancel_job = function(provider) return provider:cancel_job(id) end,
      delete_model = function(provider) return provider:delete_model("ft:x") end,
      delete_file = function(provider) return provider:delete_file("file-x") end,
      upload_file = function(provider) return provider:upload_file(file, {filename = "t.jsonl"}) end,
      upload_parts = function(provider) return provider:upload_file(file, {filename = "t.jsonl", part_size = 500}) end,
      create_job = function(provider)
        return provider:create_job {model = s.model, training_file = "file-x", wait_for_files = false}
      end,
    } do
      -- 303 after a creation may mean that it was made: see once_spec
      for _, status in ipairs(what == "create_job" and {302, 307, 308} or {302, 303, 307, 308}) do
        s:clear()
        redirect(other.url .. "/files", status, {path = "."})
        local err = live.failed(f(live.provider(s, SECRETS)))
        assert.equal("transport", err.kind, what)
        assert.equal(status, err.status)
        assert.equal(REFUSED, err.message, what)
        assert.equal(1, #s:requests())
      end
    end
    assert.equal(0, #other:requests())
  end)

  it("lets a download come from a store, without credentials", function()
    local stored = assert(live.provider(other):upload_file(live.file(live.lines(20)), {filename = "t.jsonl"}))
    other:set {auth = "none"}
    other:clear()
    redirect(("%s/files/%s/content?X-Amz-Signature=abc"):format(other.url, stored.id), 302, {path = "/content$"})
    local output = live.path()
    local got = assert(live.provider(s, SECRETS):download_file("file-x", {output = output}))
    assert.equal(live.lines(20), live.read(output))
    assert.equal(#live.lines(20), got.bytes)
    assert.is_nil(other:requests()[1].header.authorization)
    other:reset()
  end)
end)

describe("a redirect from https", function()
  it("to http is refused", function()
    local tls <close> = service.start {tls = "good"}
    local sealed = tls -- seeded through its control port
    local inner = sealed:seed {jobs = 1}.jobs[1]
    for _, location in ipairs {("http://127.0.0.1:%d/v1/models"):format(tls.port), s.url .. "/models"} do
      tls:clear()
      tls:fault {kind = "redirect", location = location, times = "always", status = 302}
      local err = live.failed(live.provider(tls):get_job(inner))
      assert.equal("transport", err.kind)
      assert.equal("127.0.0.1: a redirect from https to http was refused", err.message)
      assert.equal(1, #tls:requests())
    end
    assert.equal(0, #s:requests())
  end)
end)

describe("a provider in Lua", function()
  it("may take a redirect itself", function()
    local P = finetune.register({name = "hops", base = "openai", get_job = function(ctx, p)
      local answer, err = ctx:request {path = "/fine_tuning/jobs/" .. p.job_id, accept = {307}, decode = "none"}
      if not answer then return nil, err end
      return {id = p.job_id, status = "running", raw = {status = answer.status, location = answer.headers.location}}
    end}, {replace = true})
    redirect("http://elsewhere.invalid/x", 307)
    local provider = assert(finetune.create_provider("hops", {base_url = s.url, api_key = s.key}))
    local found = assert(provider:get_job(id))
    assert.same({status = 307, location = "http://elsewhere.invalid/x"}, found.raw)
    finetune.unregister(P.name)
  end)
end)
