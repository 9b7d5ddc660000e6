-- providers/gateway.lua: OpenAI's dialect under a URL of the user's own, LiteLLM's and Portkey's among them.

local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local whole = require "spec.support.whole"

-- The headers that specs give
local GIVEN = {["x-portkey-provider"] = true, ["x-portkey-api-key"] = true, ["x-portkey-virtual-key"] = true,
  ["x-team"] = true}

local s, other, path

lazy_setup(function()
  s = whole.watch(service.start {job_seconds = 0.1}, "openai",
    {more = GIVEN, query = {custom_llm_provider = "^GET "}, bodied = "^POST .*/cancel$"}) -- LiteLLM reads it there
  other = service.start() -- another host, which must get no key of ours
  path = live.file(live.lines(12))
end)
lazy_teardown(function()
  live.clean()
  s:stop()
  other:stop()
end)
before_each(function() s:reset() s:clear() other:clear() end)
after_each(function() s:check() end)

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, retry_delay = 0.001, poll_interval = 0.02}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("gateway", settings))
end

describe("gateway", function()
  it("is found by its name, and says what it needs without being run", function()
    for _, known in ipairs(finetune.list_providers()) do
      if known.name == "gateway" then
        return assert.same({"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY"}, known.needs)
      end
    end
    error "it is not listed"
  end)

  it("never falls back to OpenAI's own URL", function()
    local none, err = finetune.create_provider("gateway", {api_key = "gw-secret-key"})
    assert.is_nil(none)
    assert.equal("config", err.kind)
    assert.matches("set FINE_TUNE_GATEWAY_URL", err.message)
  end)

  it("names its own variable where the key is missing", function()
    local p <close> = assert(finetune.create_provider("gateway", {base_url = s.url}))
    local _, err = p:list_models()
    assert.equal("config", err.kind)
    assert.matches("FINE_TUNE_GATEWAY_KEY", err.message)
  end)

  it("sends the headers that it is given, with the key, to every operation", function()
    local p <close> = provider {headers = {["x-portkey-provider"] = "@openai-prod", ["x-team"] = "support"}}
    local file = assert(p:upload_file(path, {filename = "t.jsonl"}))
    assert(p:create_job {model = s.model, training_file = file})
    for _, request in ipairs(s:requests()) do
      assert.equal("@openai-prod", request.header["x-portkey-provider"])
      assert.equal("support", request.header["x-team"])
      assert.equal("Bearer " .. s.key, request.header.authorization)
    end
    assert.equal(3, #s:requests())
  end)

  it("keeps keys in headers out of errors", function()
    local secrets = {["x-portkey-api-key"] = "pk-secret-1", ["x-portkey-virtual-key"] = "vk-secret-2"}
    local p <close> = provider {headers = secrets, portkey_api_key = "pk-secret-3", max_retries = 0}
    for _, words in ipairs {"pk-secret-1", "vk-secret-2", "pk-secret-3", s.key} do
      s:fault {kind = "status", status = 400, message = "bad key " .. words, code = words}
      local err = live.failed(p:list_models())
      assert.matches("bad key %[redacted%]", err.message)
      assert.is_nil(tostring(err):find(words, 1, true))
    end
  end)

  it("runs a whole job, chosen by the environment alone", function()
    local output = shell.must("exec lua5.4 examples/provider_example.lua", {cwd = shell.root, env = {
      FINE_TUNE_PROVIDER = "gateway", FINE_TUNE_GATEWAY_URL = s.url, FINE_TUNE_GATEWAY_KEY = s.key,
      FINE_TUNE_MODEL = s.model,
    }})
    assert.matches("default: gateway\n", output)
    assert.matches("the model is ft:", output)
  end)
end)

describe("gateway: a fault", function()
  local PRIVATE = {["x-portkey-api-key"] = "pk-hidden-1", ["x-team"] = "team-hidden-2"}

  -- what meets it -> method, path of the requests, the operation
  local STEPS = {
    upload = {"POST", "/files$", function(p) return p:upload_file(path, {filename = "t.jsonl"}) end},
    ready = {"GET", "/files/", function(p, job)
      return p:create_job {model = s.model, training_file = job.training_file}
    end},
    create = {"POST", "/jobs$", function(p, job)
      return p:create_job {model = s.model, training_file = job.training_file, wait_for_files = false}
    end},
    poll = {"GET", "/jobs/[^/]+$", function(p, job) return p:get_job(job) end},
    cancel = {"POST", "/cancel$", function(p, job) return p:cancel_job(job) end},
    list = {"GET", "/jobs$", function(p) return p:list_jobs() end},
  }

  -- fault -> the kind of error that it makes; a POST that may have been carried out is looked for by its token
  local FAULTS = {status = "server", reset = "transport", truncate = "decode", html = "decode"}

  local function meet(step, fault)
    local p <close> = provider {headers = PRIVATE, max_retries = 0}
    s:set {job_seconds = 60}
    local file = assert(p:upload_file(path, {filename = "t.jsonl"}))
    local job = assert(p:create_job {model = s.model, training_file = file})
    s:clear()
    fault.method, fault.path, fault.times = step[1], step[2], "always"
    s:fault(fault)
    local err = live.failed(step[3](p, job))
    for _, secret in ipairs {s.key, "hidden"} do assert.is_nil(tostring(err):find(secret, 1, true), tostring(err)) end
    assert.is_true(s:faults()[1].hits > 0)
    return err
  end

  it("that cuts the answer to a creation off is made good: the job is found by its token", function()
    local p <close> = provider {max_retries = 0}
    local file = assert(p:upload_file(path, {filename = "t.jsonl"}))
    s:fault {kind = "truncate", method = "POST", path = "/jobs$"}
    local job = assert(p:create_job {model = s.model, training_file = file})
    assert.equal(job.id, (next(s:state().jobs)))
    assert.equal(1, #s:requests {method = "POST", path = "/jobs$"})
  end)

  for name, step in pairs(STEPS) do
    for kind, expected in pairs(name == "create" and {status = "server", reset = "conflict"} or FAULTS) do
      it(("'%s' at the step %s is an error of its kind"):format(kind, name), function()
        local err = meet(step, {kind = kind})
        local fits = err.kind == expected or name == "create" and err.kind == "conflict"
        assert.is_true(fits, tostring(err))
      end)
    end

    it("that sends the step " .. name .. " to another host shows it no credential", function()
      for _, status in ipairs {302, 307} do
        local err = meet(step, {kind = "redirect", status = status, location = other.url .. "/models"})
        assert.equal(step[1] == "GET" and "auth" or "transport", err.kind, tostring(err))
        for _, request in ipairs(other:requests()) do
          assert.equal("GET", request.method)
          local sent = json.encode(request)
          for _, secret in ipairs {s.key, "hidden"} do assert.is_nil(sent:find(secret, 1, true), sent) end
          assert.is_nil(request.header.authorization)
        end
        assert.equal(step[1] == "GET", #other:requests() > 0)
        other:clear()
        s:reset()
      end
    end)
  end
end)

-- What a program prints in this environment: the URL and the headers of list_models of each setting
local function under(env, code)
  for _, name in ipairs {"FINE_TUNE_GATEWAY_URL", "FINE_TUNE_GATEWAY_KEY", "LITELLM_PROXY_API_BASE",
    "LITELLM_PROXY_API_KEY", "PORTKEY_API_KEY"} do
    env[name] = env[name] or ""
  end
  env.OPENAI_API_KEY, env.OPENAI_ORG_ID = "sk-openai", "org-1"
  return shell.must(("lua5.4 -e %s"):format(shell.quote([[
    package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
    package.cpath = "./lua/?.so;" .. package.cpath
    local finetune = require "finetune"
    local function show(config)
      config = config or {}
      config.transport = function(request)
        local list = {}
        for name, value in pairs(request.headers) do list[#list + 1] = name:lower() .. "=" .. value end
        table.sort(list)
        print(request.url, table.concat(list, " "))
        return {json = {object = "list", data = {}}}
      end
      local p, err = finetune.create_provider("gateway", config)
      if not p then return print(err.kind) end
      local page, failed = p:list_models()
      if not page then print(failed.kind) end
    end
  ]] .. code)), {cwd = shell.root, env = env})
end

describe("gateway: LiteLLM", function()
  local ENV = {LITELLM_PROXY_API_BASE = "https://litellm.example", LITELLM_PROXY_API_KEY = "sk-litellm"}

  local function env(more)
    local new = {}
    for name, value in pairs(ENV) do new[name] = value end
    for name, value in pairs(more or {}) do new[name] = value end
    return new
  end

  it("is found by its own variables, whose key goes nowhere else", function()
    assert.equal("https://litellm.example/models\taccept=application/json authorization=Bearer sk-litellm\n",
      under(env(), "show()"))
    local output = under(env {FINE_TUNE_GATEWAY_KEY = "gw-key"}, "show() show {api_key = 'given'}")
    assert.matches("sk%-litellm.*Bearer given", output)
    assert.is_nil(output:find("gw-key", 1, true))
    output = under(env {FINE_TUNE_GATEWAY_URL = "https://own.example/v1"}, "show() show {api_key = 'given'}")
    assert.matches("^config\nhttps://own.example/v1/models\t.*Bearer given", output)
    assert.is_nil(output:find("litellm", 1, true))
    assert.is_nil(output:find("org-1", 1, true))
  end)

  it("is told the provider behind it in every request, where it reads it", function()
    local p <close> = provider {custom_llm_provider = "azure"}
    local file = assert(p:upload_file(path, {filename = "t.jsonl"}))
    s:fault {kind = "status", status = 200, method = "POST", path = "/jobs$",
      body = {id = "ftjob-1", status = "queued"}}
    s:fault {kind = "status", status = 200, path = "/cancel$", body = {id = "ftjob-1", status = "cancelled"}}
    local job = assert(p:create_job {model = s.model, training_file = file})
    assert(p:cancel_job(job))
    assert(p:list_jobs {limit = 2})
    p:get_job(job)
    local seen = {}
    for i, request in ipairs(s:requests()) do
      local body = request.body and json.decode(request.body, 1, nil, nil)
      seen[i] = {request.method .. " " .. request.path, request.params.custom_llm_provider,
        type(body) == "table" and body.custom_llm_provider or nil}
      for _, part in ipairs(request.parts or {}) do
        if part.name == "custom_llm_provider" then seen[i][3] = part.value end
      end
    end
    local FILES, JOBS = "/v1/files", "/v1/fine_tuning/jobs"
    assert.same({{"POST " .. FILES, nil, "azure"}, {"GET " .. FILES .. "/" .. file.id, "azure"},
      {"POST " .. JOBS, nil, "azure"}, {"POST " .. JOBS .. "/ftjob-1/cancel", nil, "azure"},
      {"GET " .. JOBS, "azure"}, {"GET " .. JOBS .. "/ftjob-1", "azure"}}, seen)
  end)

  it("may be told otherwise by a call, and what it does not have is its own error", function()
    local p <close> = provider {custom_llm_provider = "azure"}
    p:get_job("ftjob-1", {extra = {custom_llm_provider = "openai"}})
    assert.equal("openai", s:requests()[1].params.custom_llm_provider)
    s:fault {kind = "status", status = 404, body = {detail = "Not Found"}}
    local err = live.failed(p:list_events "ftjob-1")
    assert.equal("not_found", err.kind)
    assert.equal("Not Found", err.message)
  end)
end)

describe("gateway: Portkey", function()
  it("is found by its key, which goes in its header and to its host only", function()
    local env = {PORTKEY_API_KEY = "pk-env"}
    local output = under(env, [[show {headers = {["x-portkey-provider"] = "@openai"}} show {api_key = "upstream"}
      show {base_url = "https://other.example/v1", api_key = "k-1234"}
      show {base_url = "https://api.portkey.ai/v1", headers = {["X-Portkey-Api-Key"] = "mine"}}]])
    local lines = {}
    for line in output:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.matches("^https://api.portkey.ai/v1/models\t", lines[1])
    assert.matches("x%-portkey%-api%-key=pk%-env x%-portkey%-provider=@openai", lines[1])
    assert.is_nil(lines[1]:find("authorization", 1, true))
    assert.matches("authorization=Bearer upstream.*x%-portkey%-api%-key=pk%-env", lines[2])
    assert.matches("^https://other.example/v1/models\t", lines[3])
    assert.is_nil(lines[3]:find("portkey", 1, true))
    assert.matches("x%-portkey%-api%-key=mine", lines[4])
    assert.is_nil(lines[4]:find("pk-env", 1, true))
  end)

  it("under a URL of one's own has its key as a setting", function()
    local p <close> = provider {portkey_api_key = "pk-own", api_key = s.key}
    assert(p:list_models())
    assert.equal("pk-own", s:requests()[1].header["x-portkey-api-key"])
    assert.equal("Bearer " .. s.key, s:requests()[1].header.authorization)
  end)
end)
