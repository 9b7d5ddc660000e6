-- No key is ever in anything that a person or a log may see: errors and their tostring,
-- traces, progress, what child processes print; also where the service sends the keys back
-- in messages, headers, request ids and addresses.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local KEY = "sk-SECRET-key/with+odd=chars&more"
local HEADER, COOKIE, QUERY = "SECRET-header-value", "SECRET-cookie=1", "SECRET?query value"
local TOKEN, PROXY, PRESIGNED = "SECRET-bearer-token", "SECRET-proxy-pw", "SECRETsignature0123456789"
local ALL = {KEY, HEADER, COOKIE, QUERY, TOKEN, PROXY, PRESIGNED, core.escape(KEY), core.escape(QUERY)}

local s, other, id, seen

-- Everything that a value shows, its own fields and those of its causes
local function show(value, depth)
  if type(value) == "table" and (depth or 0) < 8 then
    seen[#seen + 1] = tostring(value)
    for key, inner in pairs(value) do
      seen[#seen + 1] = tostring(key)
      show(inner, (depth or 0) + 1)
    end
  else
    seen[#seen + 1] = tostring(value)
  end
end

local function is_clean(least)
  local text = table.concat(seen, "\n")
  for _, secret in ipairs(ALL) do
    local at = text:find(secret, 1, true)
    assert.is_nil(at, at and text:sub(math.max(at - 100, 1), at + 100))
  end
  assert.is_nil(text:find("SECRET", 1, true), text:match "[^\n]*SECRET[^\n]*")
  assert.is_true(#seen >= (least or 1))
end

local function provider(config)
  local settings = {
    api_key = KEY, headers = {["X-Secret-Thing"] = HEADER, Cookie = COOKIE, ["X-Auth"] = "Bearer " .. TOKEN},
    query = {api_key = QUERY}, on_trace = show,
  }
  for key, value in pairs(config or {}) do settings[key] = value end
  return live.provider(s, settings)
end

setup(function()
  s, other = service.start {api_key = KEY}, service.start {auth = "none"}
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
  seen = {}
end)

-- Every operation that a service can answer, as one script
local function everything(p)
  local path = live.file(live.lines(500))
  local function progress(...) show {...} end
  show {p:upload_file(path, {filename = "t.jsonl", on_progress = progress})}
  show {p:upload_file(path, {filename = "t.jsonl", part_size = 10000, on_progress = progress})}
  show {p:create_job {model = s.model, training_file = "file-x", wait_for_files = false}}
  show {p:download_file("file-x", {output = live.path(), on_progress = progress})}
  for _, op in ipairs {"get_job", "cancel_job", "pause_job", "resume_job", "list_events", "list_checkpoints",
                       "get_file", "delete_file", "get_model", "delete_model"} do
    show {p[op](p, id)}
  end
  show {select(2, p:download_file(id))} -- the content is what was asked for, whatever is in it
  for _, op in ipairs {"list_jobs", "list_files", "list_models"} do show {p[op](p)} end
  show {pcall(function() for job in p:jobs() do show(job) end end)}
end

local FAULTS = {
  ["nothing"] = false,
  ["refusals that repeat the key"] = {kind = "status", status = 401, times = "always",
    message = ("Incorrect key %s (%s, %s, %s)"):format(KEY, HEADER, COOKIE, TOKEN), code = KEY},
  ["storms that repeat the key"] = {kind = "status", status = 503, times = "always", message = KEY .. HEADER .. COOKIE},
  ["pages that repeat the key"] = {kind = "html", status = 502, body = KEY, times = "always"},
  ["answers that are no JSON, but the key"] = {kind = "html", body = KEY .. QUERY, times = "always"},
  ["a key as request id"] = {kind = "status", status = 400, times = "always", headers = {["x-request-id"] = KEY}},
  ["a key as a content type"] = {kind = "raw", times = "always",
    data = ("HTTP/1.1 500 x\r\ncontent-type: %s\r\ncontent-length: 0\r\n\r\n"):format(HEADER)},
  ["a key in every field"] = {kind = "status", status = 422, times = "always",
    body = {error = {message = QUERY, code = HEADER, param = KEY, type = TOKEN}}},
  ["resets"] = {kind = "reset", times = "always"},
  ["a redirect to an address with the key"] = {kind = "redirect", times = "always",
    location = "/v1/files?leak=" .. core.escape(KEY) .. "&x=" .. HEADER},
  ["a status line with the key"] = {kind = "raw", data = "HTTP/1.1 " .. KEY .. "\r\n\r\n", times = "always"},
  ["a header without colon that is the key"] = {kind = "header", raw = KEY .. "\r\n", times = "always"},
}

describe("no secret is shown", function()
  for what, fault in pairs(FAULTS) do
    it("by any operation, its errors, traces and progress, when the service gives " .. what, function()
      if fault then s:fault(fault) end
      everything(provider())
      is_clean(50)
    end)
  end

  it("by connections that fail", function()
    everything(provider {base_url = service.refused_url(), max_retries = 0})
    everything(provider {base_url = "http://no-such-host.invalid", max_retries = 0})
    local proxy = ("http://joe:%s@127.0.0.1:%d"):format(PROXY, s.port)
    everything(provider {proxy = proxy, base_url = "https://upstream.invalid", max_retries = 0})
    local err = live.failed(provider {proxy = "ftp//joe:" .. PROXY .. "@host:x", max_retries = 0}:get_job(id))
    show(err)
    is_clean(100)
  end)

  it("of an organization and a project, where they are headers that are secret", function()
    s:fault {kind = "status", status = 400, message = "SECRET-org-1 and SECRET-proj-2", times = "always"}
    local p = provider {headers = {["X-Org-Token"] = "SECRET-org-1", ["X-Project-Key"] = "SECRET-proj-2"}}
    show {p:get_job(id)}
    is_clean(5)
  end)

  it("that begins another secret", function()
    s:fault {kind = "status", status = 400, message = "SECRET-ab SECRET-abcdef SECRET-abcd", times = "always"}
    local p = provider {api_key = "SECRET-ab", headers = {["x-key"] = "SECRET-abcdef", ["x-token"] = "SECRET-abcd"}}
    local err = live.failed(p:get_job(id))
    show(err)
    is_clean()
    assert.equal("[redacted] [redacted] [redacted]", err.message)
  end)

  it("of a presigned address, in a trace or an error", function()
    local location = ("%s/files/x/content?X-Amz-Date=20261122&X-Amz-Signature=%s"):format(other.url, PRESIGNED)
    s:fault {kind = "redirect", status = 302, location = location, path = "/content$", times = "always"}
    other:fault {kind = "status", status = 403, times = "always",
      body = {error = {message = "the signature " .. PRESIGNED .. " has expired", code = PRESIGNED}}}
    local err = live.failed(provider():download_file("file-x"))
    show(err)
    assert.equal("permission", err.kind)
    assert.equal("the signature [redacted] has expired", err.message)
    assert.equal(1, #other:requests()) -- the store itself got it, of course
    assert.matches(PRESIGNED, other:requests()[1].target, 1, true)
    is_clean(5)
    assert.truthy(table.concat(seen, "\n"):find(other.url .. "/files/x/content?[redacted]", 1, true))
  end)

  it("of an address that a provider in Lua was given", function()
    local url = ("%s/files?X-Amz-Signature=%s"):format(other.url, PRESIGNED)
    finetune.register({name = "leaky", base = "openai", get_job = function(ctx)
      local answer, err = ctx:request {method = "PUT", url = url, body = "x", retry = "idempotent"}
      if not answer then return nil, err end
      return {id = "x", status = "running", raw = answer.json}
    end}, {replace = true})
    for _, fault in ipairs {{kind = "status", status = 403, message = PRESIGNED}, {kind = "reset"}, {kind = "html"}} do
      fault.times = "always"
      other:clear()
      other:fault(fault)
      local p = assert(finetune.create_provider("leaky", {api_key = KEY, retry_delay = 0.001, on_trace = show}))
      show(live.failed(p:get_job(id)))
    end
    finetune.unregister "leaky"
    is_clean(10)
  end)

  it("by what a provider in Lua raises or fails with", function()
    for _, raise in ipairs {
      function(ctx) error("no luck with " .. ctx.config.api_key) end,
      function(ctx) error {message = "no luck with " .. ctx.config.api_key, detail = {deep = {ctx.config.api_key}}} end,
      function(ctx) return ctx.fail("invalid", "no luck with %s", ctx.config.headers["X-Secret-Thing"]) end,
      function(ctx) return nil, ctx.config.api_key end,
      function(ctx)
        return nil, {kind = "server", message = "m", code = ctx.config.api_key, cause = {message = KEY}}
      end,
    } do
      finetune.register({name = "leaky", base = "openai", get_job = raise}, {replace = true})
      local p = assert(finetune.create_provider("leaky", {api_key = KEY, headers = {["X-Secret-Thing"] = HEADER}}))
      show(live.failed(p:get_job(id)))
    end
    finetune.unregister "leaky"
    is_clean(5)
  end)

  it("by tostring of providers and calls", function()
    local p = provider()
    local call = p:async("get_job", id)
    show(p)
    show(call)
    call:cancel()
    show(call)
    p:close()
    show(p)
    assert.same({"finetune.provider: openai", "finetune.call: openai get_job (waiting)",
      "finetune.call: openai get_job (done)", "finetune.provider: openai (closed)"}, seen)
    is_clean()
  end)

  it("by settings that are refused", function()
    for key, value in pairs {
      base_url = "http://joe:SECRET-in-url@127.0.0.1/", api_key = "SECRET\nkey", user_agent = "SECRET\nagent",
      proxy = "http://joe:SECRET@h\n", headers = {["x-key"] = "SECRET\nheader"}, ca_file = "SECRET\n",
      organization = "SECRET org",
    } do
      show(live.failed(finetune.create_provider("openai", {api_key = KEY, [key] = value})))
    end
    is_clean(20)
  end)

  it("by processes, whatever ends them", function()
    local CODE = [[
      local url, key, id, how = ...
      local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key, retry_delay = 0.001,
        on_trace = function(t) for k, v in pairs(t) do print(k, v) end end}))
      print(provider)
      if how == "raise" then assert(provider:get_job "nothing")
      elseif how == "iterate" then for job in provider:jobs() do print(job.id) end
      elseif how == "unknown" then provider:get_job {job_id = "x", key = key} end
      print(provider:upload_file "/nonexistent")
      print(select(2, provider:create_job {model = "m", training_file = "f", wait_for_files = false}))
    ]]
    s:fault {kind = "status", status = 401, message = "bad key " .. KEY, times = "always"}
    for how, exit in pairs {raise = 1, iterate = 1, unknown = 1, nothing = 0} do
      local status, output = live.child(CODE, s.url, KEY, id, how)
      assert.equal(exit, status, output)
      seen[#seen + 1] = output
    end
    is_clean(4)
    assert.matches("%[redacted%]", table.concat(seen))
  end)
end)
