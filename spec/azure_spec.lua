-- providers/azure.lua over a fake of both of Azure's APIs: which URL, which credentials, every request.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local testing = require "finetune.testing"
local whole = require "spec.support.whole"

local KEY = "az-key-0123456789abcdef"
local DATED = "2024-10-21"

local s, path

lazy_setup(function()
  s = whole.watch(service.start {dialect = "azure", job_seconds = 0.2}, "azure")
  path = live.file(live.lines(12))
end)
lazy_teardown(function()
  live.clean()
  s:stop()
end)
before_each(function() s:reset() s:clear() end)
after_each(function() s:check() end)

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, retry_delay = 0.001, poll_interval = 0.02}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("azure", settings))
end

-- The only request of list_models on a scripted transport
local function request_of(config)
  local transport, log = testing.routes {}
  config.transport = transport
  local p <close> = assert(finetune.create_provider("azure", config))
  p:list_models()
  return log.requests[1]
end

-- What a program prints in this environment and no other; `code` is in KEY's place
local function under(env, code)
  local clean = {}
  for name, value in pairs(env) do clean[name] = value end
  for _, name in ipairs {"AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "OPENAI_API_VERSION",
    "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"} do
    clean[name] = clean[name] or ""
  end
  return shell.must(("lua5.4 -e %s"):format(shell.quote([[
    package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
    package.cpath = "./lua/?.so;" .. package.cpath
    local finetune = require "finetune"
    local function show(config)
      local seen
      config = config or {}
      config.transport = function(request) seen = request return {json = {data = {}, object = "list"}} end
      local p, err = finetune.create_provider("azure", config)
      if not p then return print(err.kind, err.message) end
      local _, failed = p:list_models()
      if not seen then return print(failed.kind, failed.message) end
      local list = {}
      for name, value in pairs(seen.headers) do list[#list + 1] = name:lower() .. "=" .. value end
      table.sort(list)
      print(seen.url, table.concat(list, " "))
    end
  ]] .. code)), {cwd = shell.root, env = clean})
end

describe("azure: the endpoint", function()
  local RESOURCE, PROJECT = "https://res.openai.azure.com", "https://res.services.ai.azure.com/api/projects/p"

  for _, c in ipairs {
    {RESOURCE, nil, RESOURCE .. "/openai/v1/models"},
    {RESOURCE .. "/", nil, RESOURCE .. "/openai/v1/models"},
    {RESOURCE .. "/openai", nil, RESOURCE .. "/openai/v1/models"},
    {RESOURCE .. "/openai/v1/", nil, RESOURCE .. "/openai/v1/models"},
    {RESOURCE, "v1", RESOURCE .. "/openai/v1/models?api-version=v1"},
    {RESOURCE, "preview", RESOURCE .. "/openai/v1/models?api-version=preview"},
    {RESOURCE, DATED, RESOURCE .. "/openai/models?api-version=" .. DATED},
    {RESOURCE .. "/openai/v1", "2025-04-01-preview", RESOURCE .. "/openai/models?api-version=2025-04-01-preview"},
    {PROJECT, nil, PROJECT .. "/openai/v1/models"},
    {PROJECT .. "/openai/v1/", nil, PROJECT .. "/openai/v1/models"},
    {"https://apim.example/llm/v1", nil, "https://apim.example/llm/v1/models"},
  } do
    it(("%s with version %s"):format(c[1], tostring(c[2])), function()
      assert.equal(c[3], request_of({base_url = c[1], api_version = c[2], api_key = KEY}).url)
    end)
  end

  it("may have its version in `query`", function()
    local request = request_of {base_url = RESOURCE, query = {["api-version"] = DATED}, api_key = KEY}
    assert.equal(RESOURCE .. "/openai/models?api-version=" .. DATED, request.url)
  end)

  it("must be there, with a version that is one", function()
    local none, err = finetune.create_provider("azure", {api_key = KEY})
    assert.is_nil(none)
    assert.equal("config", err.kind)
    assert.matches("set AZURE_OPENAI_ENDPOINT", err.message)
    none, err = finetune.create_provider("azure", {api_key = KEY, base_url = RESOURCE, api_version = "2024"})
    assert.is_nil(none)
    assert.matches("api_version is '2024'", err.message)
  end)

  it("names the resource in the commands for deployments", function()
    local p <close> = provider {base_url = RESOURCE, api_key = KEY}
    local has, reason = p:supports "deploy_model"
    assert.is_false(has)
    assert.matches("az cognitiveservices account deployment create %-%-name", reason)
    local _, err = p:deploy_model "gpt-4.1.ft-1"
    assert.equal("unsupported", err.kind)
  end)
end)

describe("azure: credentials", function()
  local BASE = "https://res.openai.azure.com"

  it("are a key in api-key, or a token in Authorization, never both", function()
    local headers = request_of({base_url = BASE, api_key = KEY}).headers
    assert.equal(KEY, headers["api-key"])
    assert.is_nil(headers.authorization)
    headers = request_of({base_url = BASE, ad_token = "entra-token"}).headers
    assert.equal("Bearer entra-token", headers.authorization)
    assert.is_nil(headers["api-key"])
    headers = request_of({base_url = BASE, ad_token = "entra-token", api_key = KEY}).headers
    assert.equal("Bearer entra-token", headers.authorization)
    assert.is_nil(headers["api-key"])
  end)

  it("and endpoint and version come from the variables that Azure's users have", function()
    local env = {AZURE_OPENAI_ENDPOINT = BASE .. "/", AZURE_OPENAI_API_KEY = KEY}
    assert.matches("/openai/v1/models\t.*api%-key=az%-key%-0123456789abcdef", under(env, "show()"))
    env.OPENAI_API_VERSION = DATED
    assert.matches("/openai/models%?api%-version=2024%-10%-21\t", under(env, "show()"))
    env.AZURE_OPENAI_AD_TOKEN = "entra-env"
    local output = under(env, "show() show {api_key = 'given-key'} show {ad_token = 'given-token'}")
    assert.matches("authorization=Bearer entra%-env.*\n.*api%-key=given%-key.*\n.*Bearer given%-token", output)
    assert.is_nil(output:find(KEY, 1, true))
  end)

  it("of OpenAI's never go to Azure, and its own are named where they miss", function()
    local env = {AZURE_OPENAI_ENDPOINT = BASE, OPENAI_API_KEY = "sk-openai", OPENAI_ORG_ID = "org-1",
      OPENAI_PROJECT_ID = "proj-1"}
    local output = under(env, "show() show {api_key = 'k-12345'}")
    assert.matches("config\t.*AZURE_OPENAI_API_KEY", output)
    assert.is_nil(output:find("sk-openai", 1, true))
    assert.is_nil(output:find("org-1", 1, true))
    assert.is_nil(output:find("proj-1", 1, true))
  end)

  it("are refused in Azure's words, and are in no error", function()
    local p <close> = provider {api_key = "wrong-key-123"}
    local _, err = p:list_jobs()
    assert.equal("auth", err.kind)
    assert.equal("401", err.code)
    assert.matches("invalid subscription key", err.message)
    assert.is_nil(tostring(err):find("wrong-key-123", 1, true))
    local q <close> = provider {api_key = false, ad_token = "entra-loopback-0123456789abcdef"}
    assert(q:list_jobs())
    local seen = s:requests()[2].header
    assert.equal("Bearer entra-loopback-0123456789abcdef", seen.authorization)
    assert.is_nil(seen["api-key"])
  end)
end)

-- The requests without polls, as "METHOD target", and their bodies
local function exchanges()
  local lines, bodies = {}, {}
  for _, request in ipairs(s:requests()) do
    local line = request.method .. " " .. request.target
    if line ~= lines[#lines] then
      lines[#lines + 1] = line
      bodies[#lines] = request.body ~= "" and request.body or nil
    end
  end
  return lines, bodies
end

-- From the file to the deleted job; answers the values
local function whole_life(p)
  local file = assert(p:upload_file(path, {wait = true, filename = "train.jsonl"}))
  local job = assert(p:create_job {model = s.model, training_file = file, suffix = "My_suffix-1", seed = 7,
    hyperparameters = {n_epochs = 2, prompt_loss_weight = 0.1}, training_type = "globalstandard"})
  local messages = {}
  for event in p:follow(job, {interval = 0.02, max_interval = 0.05}) do messages[#messages + 1] = event.message end
  local done = assert(p:wait(job, {interval = 0.02}))
  local metrics = assert(p:list_metrics(job)).data
  local checkpoints = assert(p:list_checkpoints(job)).data
  assert(p:get_model(done.fine_tuned_model))
  assert(p:delete_model(done.fine_tuned_model))
  local deleted = assert(p:delete_job(job))
  assert(p:delete_file(file))
  return {file = file, job = job, done = done, messages = messages, metrics = metrics, checkpoints = checkpoints,
    deleted = deleted}
end

local function check_life(life)
  assert.equal("processed", life.file.status)
  assert.equal("pending", life.job.status)
  assert.same({}, life.job.result_files) -- null on the wire
  assert.equal("My_suffix-1", life.job.suffix)
  assert.equal("succeeded", life.done.status)
  assert.equal(0.1, life.done.hyperparameters.prompt_loss_weight)
  assert.equal("The job has successfully completed", life.messages[#life.messages])
  assert.truthy(#life.metrics > 0 and life.metrics[1].train_loss)
  assert.truthy(#life.checkpoints > 0)
  assert.same({id = life.job.id, deleted = true, raw = {}}, life.deleted) -- 204
end

describe("azure: a whole life", function()
  it("on the dated API", function()
    s:set {file_seconds = 0.1}
    local p <close> = provider {api_version = DATED}
    local life = whole_life(p)
    check_life(life)
    assert.equal("created", life.job.raw_status)
    local V = "?api-version=" .. DATED
    local job, file = "/openai/fine_tuning/jobs/" .. life.job.id, "/openai/files/" .. life.file.id
    local lines, bodies = exchanges()
    assert.same({"POST /openai/files" .. V, "GET " .. file .. V, "POST /openai/fine_tuning/jobs" .. V},
      {lines[1], lines[2], lines[3]})
    assert.same({model = s.model, training_file = life.file.id, suffix = "My_suffix-1", seed = 7,
      trainingType = "globalstandard", hyperparameters = {n_epochs = 2, prompt_loss_weight = 0.1}},
      require("dkjson").decode(bodies[3], 1, nil, nil))
    assert.same({"DELETE /openai/models/" .. life.done.fine_tuned_model .. V, "DELETE " .. job .. V,
      "DELETE " .. file .. V}, {table.unpack(lines, #lines - 2)})
    for _, request in ipairs(s:requests()) do
      assert.equal(s.key, request.header["api-key"])
      assert.is_nil(request.header.authorization)
      assert.equal(DATED, request.params["api-version"])
    end
    local part = s:requests({method = "POST", path = "/files$"})[1].parts[2]
    assert.equal("application/json", part.type)
    assert.equal("train.jsonl", part.filename)
    assert.equal(201, s:requests({method = "POST", path = "/files$"})[1].status)
  end)

  it("on v1, whose jobs are deleted through the dated one", function()
    local p <close> = provider()
    s:set {job_seconds = 0.2}
    local life = whole_life(p)
    assert.equal("validating", life.job.status)
    life.job.status = "pending"
    check_life(life)
    local _, bodies = exchanges()
    local body = require("dkjson").decode(bodies[3], 1, nil, nil)
    assert.matches("^%x+$", body.metadata.finetune_token)
    assert.same({n_epochs = 2, prompt_loss_weight = 0.1}, body.hyperparameters)
    assert.is_nil(body.method)
    local deleted = s:requests({method = "DELETE", path = "/jobs/"})[1]
    assert.equal(("/openai/fine_tuning/jobs/%s?api-version=%s"):format(life.job.id, DATED), deleted.target)
    assert.equal(204, deleted.status)
    assert.equal("/openai/v1/files", s:requests({method = "POST"})[1].target)
  end)

  it("through the example, chosen by the environment alone", function()
    local output = shell.must("exec lua5.4 examples/provider_example.lua", {cwd = shell.root, env = {
      FINE_TUNE_PROVIDER = "azure", AZURE_OPENAI_ENDPOINT = s.url, AZURE_OPENAI_API_KEY = s.key,
      AZURE_OPENAI_AD_TOKEN = "", OPENAI_API_VERSION = "", FINE_TUNE_MODEL = s.model}})
    assert.matches("the model is ft:", output)
  end)
end)

describe("azure: further requests", function()
  -- operation, arguments, "METHOD target" of its only request behind /openai/v1, body
  for _, c in ipairs {
    {"get_job", {"j/1"}, "GET /fine_tuning/jobs/j%2F1"},
    {"cancel_job", {"j"}, "POST /fine_tuning/jobs/j/cancel"},
    {"pause_job", {"j"}, "POST /fine_tuning/jobs/j/pause"},
    {"resume_job", {"j"}, "POST /fine_tuning/jobs/j/resume"},
    {"list_jobs", {{limit = 2, after = "j"}}, "GET /fine_tuning/jobs?after=j&limit=2"},
    {"list_events", {"j", {limit = 2}}, "GET /fine_tuning/jobs/j/events?limit=2"},
    {"list_checkpoints", {"j"}, "GET /fine_tuning/jobs/j/checkpoints"},
    {"list_files", {{purpose = "fine-tune"}}, "GET /files?purpose=fine-tune"},
    {"get_file", {"f"}, "GET /files/f"},
    {"download_file", {"f"}, "GET /files/f/content"},
    {"list_models", {}, "GET /models"},
    {"validate_grader", {{type = "x"}}, "POST /fine_tuning/alpha/graders/validate", '{"grader":{"type":"x"}}'},
    {"run_grader", {{type = "x"}, {model_sample = "4"}}, "POST /fine_tuning/alpha/graders/run",
      '{"grader":{"type":"x"},"model_sample":"4"}'},
  } do
    it(c[1], function()
      local p <close> = provider {max_retries = 0}
      p[c[1]](p, table.unpack(c[2]))
      local request = s:requests()[1]
      assert.equal(1, #s:requests())
      assert.equal(c[3]:gsub(" ", " /openai/v1", 1), request.method .. " " .. request.target)
      assert.equal(c[4] or "", request.body)
      assert.equal(s.key, request.header["api-key"])
    end)
  end

  it("list the models of either shape", function()
    for _, version in ipairs {"v1", DATED} do
      local p <close> = provider {api_version = version}
      local model = assert(p:list_models()).data[1]
      assert.equal("tiny-chat-1", model.id)
      assert.equal(1767225600, model.created_at)
    end
  end)

  it("lists of nothing, which are null, are empty", function()
    local p <close> = provider {api_version = DATED}
    assert.same({}, assert(p:list_jobs()).data)
    assert.same({}, assert(p:list_files()).data)
  end)
end)
