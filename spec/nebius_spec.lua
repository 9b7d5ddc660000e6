-- providers/nebius.lua over a fake of Nebius Token Factory: its hyperparameters, its checkpoints, deploying.

local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local testing = require "finetune.testing"
local whole = require "spec.support.whole"

local s, other, path

lazy_setup(function()
  s = whole.watch(service.start {dialect = "nebius", job_seconds = 0.2}, "nebius",
    {more = {connection = true}}) -- of the specs that want no connection to be used again
  other = service.start {auth = "none"} -- another host, to which nothing of ours may go
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
  local settings = {base_url = s.url .. "/v1", api_key = s.key, retry_delay = 0.001, poll_interval = 0.02}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("nebius", settings))
end

local function upload(p) return assert(p:upload_file(path, {filename = "train.jsonl"})) end

-- A job that has succeeded
local function trained(p, params)
  params = params or {}
  params.model, params.training_file = s.model, upload(p)
  local job = assert(p:create_job(params))
  return assert(p:wait(job, {interval = 0.02}))
end

-- create_job on a service that takes everything -> the body that was sent, or nil, err; and the number of requests
local function body_of(params, config)
  local settings = {api_key = "nb-key-0123456789", retry_delay = 0.001}
  for name, value in pairs(config or {}) do settings[name] = value end
  local log
  settings.transport, log = testing.routes {
    ["POST /v1/fine_tuning/jobs"] = function() return {json = {id = "ftjob-1", status = "queued"}} end}
  params.model, params.training_file, params.wait_for_files = "m", "file-1", false
  local p <close> = assert(finetune.create_provider("nebius", settings))
  local job, err = p:create_job(params)
  if not job then return nil, err, #log.requests end
  assert.equal("https://api.tokenfactory.nebius.com/v1/fine_tuning/jobs", log.requests[1].url)
  assert.equal("Bearer nb-key-0123456789", log.requests[1].headers.authorization)
  return log.requests[1].json, nil, #log.requests
end

describe("nebius: create_job", function()
  it("sends its own names, flat, and no metadata", function()
    assert.same({model = "m", training_file = "file-1"}, body_of {})
    local body = body_of {suffix = "s", seed = 7, tags = "a", validation_file = "file-2", method = "supervised",
      from_checkpoint = {type = "hf", repo = "a/b"}, hyperparameters = {n_epochs = 3, batch_size = 8,
        learning_rate = 1e-5, warmup_ratio = 0.1, weight_decay = 0, max_grad_norm = 1, packing = false,
        max_seq_length = 8192, lora_rank = 16, lora_alpha = 32, lora_dropout = 0.05}}
    assert.same({model = "m", training_file = "file-1", validation_file = "file-2", suffix = "s", seed = 7, tags = "a",
      from_checkpoint = {type = "hf", repo = "a/b"}, hyperparameters = {n_epochs = 3, batch_size = 8,
        learning_rate = 1e-5, warmup_ratio = 0.1, weight_decay = 0, max_grad_norm = 1, packing = false,
        context_length = 8192, lora = true, lora_r = 16, lora_alpha = 32, lora_dropout = 0.05}}, body)
  end)

  it("takes its own names too, leaves \"auto\" out, and lays extra over it", function()
    assert.same({context_length = 4096, lora = true, lora_r = 8}, body_of({hyperparameters = {context_length = 4096,
      lora_r = 8, n_epochs = "auto"}}).hyperparameters)
    assert.same({lora = true}, body_of({hyperparameters = {lora = true}}).hyperparameters)
    local old = body_of {hyperparameters = {n_epochs = 2}, extra = {hyperparameters = {learning_rate_multiplier = 2e-5},
      ai_project_id = "p"}}
    assert.same({n_epochs = 2, learning_rate_multiplier = 2e-5}, old.hyperparameters)
    assert.equal("p", old.ai_project_id)
  end)

  it("passes wandb with its key", function()
    local wandb = {{type = "wandb", wandb = {project = "p", api_key = "wandb-secret"}}}
    assert.same(wandb, body_of({integrations = wandb}).integrations)
  end)

  for _, c in ipairs {
    {"a multiplier of a learning rate", {hyperparameters = {learning_rate_multiplier = 2}}, "absolute rate"},
    {"an unknown hyperparameter", {hyperparameters = {beta = 1}}, "`extra`"},
    {"half an epoch", {hyperparameters = {n_epochs = 0.5}}, "whole number from 1"},
    {"a share above 1", {hyperparameters = {warmup_ratio = 2}}, "from 0 to 1"},
    {"a rate of 0", {hyperparameters = {learning_rate = 0}}, "above 0"},
    {"a word for packing", {hyperparameters = {packing = "yes"}}, "boolean"},
    {"a rank without LoRA", {hyperparameters = {lora = false, lora_rank = 8}}, "lora_rank belongs to lora = true"},
    {"two ranks", {hyperparameters = {lora_r = 8, lora_rank = 16}}, "one of them"},
    {"two lengths", {hyperparameters = {context_length = 8, max_seq_length = 16}}, "one of them"},
    {"another method", {method = "dpo"}, "supervised"},
    {"a grader", {grader = {type = "x"}}, "reinforcement"},
    {"metadata", {metadata = {a = "b"}}, "not kept"},
    {"a token", {token = "t"}, "needs metadata"},
    {"wandb without a key", {integrations = {{type = "wandb", wandb = {project = "p"}}}}, "wandb.api_key"},
    {"a long suffix", {suffix = ("x"):rep(65)}, "1 to 64"},
  } do
    it(("refuses %s, and sends nothing"):format(c[1]), function()
      local body, err, sent = body_of(c[2])
      assert.is_nil(body)
      assert.equal("invalid", err.kind)
      assert.matches(c[3], err.message)
      assert.equal("nebius", err.provider)
      assert.equal(0, sent)
    end)
  end
end)

-- What a program prints in this environment, without OpenAI's own variables but for those given
local function under(env, code)
  return shell.must(("lua5.4 -e %s"):format(shell.quote([[
    package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
    package.cpath = "./lua/?.so;" .. package.cpath
    local finetune = require "finetune"
    local seen = {}
    local p = assert(finetune.create_provider("nebius", {transport = function(request)
      seen[#seen + 1] = request.url
      for name, value in pairs(request.headers) do seen[#seen + 1] = name:lower() .. "=" .. value end
      return {json = {id = "ftjob-1", status = "queued", data = {}, object = "list"}}
    end}))
  ]] .. code .. " print(table.concat(seen, '\\n'))")), {cwd = shell.root, env = env})
end

describe("nebius: configuration", function()
  it("comes from its own variables", function()
    local env = {NEBIUS_API_KEY = "nb-env-key", NEBIUS_BASE_URL = "https://eu.example/v1", OPENAI_ORG_ID = "org-1"}
    local output = under(env, "p:list_models()")
    assert.matches("https://eu.example/v1/models\n", output)
    assert.matches("authorization=Bearer nb%-env%-key", output)
    assert.is_nil(output:find("org-1", 1, true))
  end)

  it("never takes OpenAI's key, not even where OpenAI's code makes the request", function()
    local env = {NEBIUS_API_KEY = "", NEBIUS_BASE_URL = "", OPENAI_API_KEY = "sk-openai-secret",
      OPENAI_ORG_ID = "org-1", OPENAI_PROJECT_ID = "proj-1", OPENAI_BASE_URL = "https://openai.example/v1"}
    local create = [[local _, err = p:create_job {model = "m", training_file = "f", wait_for_files = false}
      print(err and err.kind, err and err.message) p:list_models()]]
    local output = under(env, create)
    assert.matches("config\t.*NEBIUS_API_KEY", output)
    assert.is_nil(output:find("http", 1, true))
    env.NEBIUS_API_KEY = "nb-env-key"
    output = under(env, create)
    assert.matches("https://api.tokenfactory.nebius.com/v1/fine_tuning/jobs", output)
    assert.is_nil(output:find("sk-openai-secret", 1, true))
    assert.is_nil(output:find("org-1", 1, true))
    assert.is_nil(output:find("openai.example", 1, true))
  end)
end)

describe("nebius: a whole life", function()
  it("ends in a deployed model", function()
    local p <close> = provider()
    local file = upload(p)
    assert.is_nil(file.status) -- it has none, and is taken to be ready
    local job = assert(p:create_job {model = s.model, training_file = file, suffix = "mine",
      hyperparameters = {n_epochs = 2, lora_rank = 8}})
    local last
    for event in p:follow(job, {interval = 0.02, max_interval = 0.05}) do last = event.message end
    assert.equal("The job has successfully completed", last)
    local done = assert(p:wait(job, {interval = 0.02}))
    assert.equal(1, done.progress)
    assert.same({lora = true, lora_r = 8, n_epochs = 2, batch_size = 8, learning_rate = 1e-5}, done.hyperparameters)
    assert.truthy(assert(p:list_metrics(job)).data[1].train_loss)
    local checkpoints = assert(p:list_checkpoints(job)).data
    assert.equal("weights of " .. checkpoints[1].id, assert(p:download_file(checkpoints[1].result_files[1])))

    s:clear()
    local model = assert(p:deploy_model(job))
    assert.equal("active", model.status)
    assert.matches("^acme/tiny%-chat%-1%-LoRa:mine%-", model.id)
    assert.equal(model.id, model.model)
    local lines = {}
    for i, request in ipairs(s:requests()) do lines[i] = request.method .. " " .. request.target end
    local JOB = "/v1/fine_tuning/jobs/" .. job.id
    assert.same({"GET " .. JOB, "GET " .. JOB .. "/checkpoints", "POST /v0/models"}, {table.unpack(lines, 1, 3)})
    assert.same({name = "mine", base_model = s.model, source = job.id .. ":" .. checkpoints[1].id},
      json.decode(s:requests()[3].body, 1, nil, nil))
    assert.equal("GET /v0/models/" .. model.id:gsub(":", "%%3A"), (lines[4]:gsub(":", "%%3A")))
    for _, request in ipairs(s:requests()) do assert.equal("Bearer " .. s.key, request.header.authorization) end

    assert.equal(model.id, assert(p:get_model(model)).id)
    local listed = {}
    for item in p:models() do listed[item.id] = true end
    assert.is_true(listed[model.id])
    assert.equal("deleted", assert(p:undeploy_model(model)).status)
    assert.equal("not_found", live.failed(p:delete_model(model.id)).kind)
    assert(p:delete_file(file))
  end)

  it("of a job that is cancelled, listed and looked at", function()
    s:set {job_seconds = 60}
    local p <close> = provider()
    local job = assert(p:create_job {model = s.model, training_file = upload(p)})
    assert.equal("cancelled", assert(p:cancel_job(job)).status)
    assert.equal(job.id, assert(p:list_jobs {limit = 5}).data[1].id)
    local _, err = p:list_jobs {metadata = {a = "b"}}
    assert.equal("invalid", err.kind)
    for _, op in ipairs {"pause_job", "resume_job", "delete_job"} do
      assert.equal("unsupported", live.failed(p[op](p, job)).kind)
    end
  end)
end)

describe("nebius: an upload", function()
  local FAULTS = { -- fault -> the kind of error that it makes
    {{kind = "status", status = 500}, "server"}, {{kind = "status", status = 413}, "invalid"},
    {{kind = "reset"}, "transport"}, {{kind = "reset", at = "upload", bytes = 100}, "transport"},
    {{kind = "truncate"}, "decode"}, {{kind = "html"}, "decode"}, {{kind = "redirect", status = 307}, "transport"},
    {{kind = "redirect", status = 302}, "transport"},
  }
  for i, case in ipairs(FAULTS) do
    it(("that meets %s fails, and is whole the next time (%d)"):format(case[1].kind, i), function()
      local p <close> = provider {max_retries = 0}
      local fault = {method = "POST", path = "/files$", times = "always", location = other.url .. "/files"}
      if case[1].kind ~= "redirect" then fault.location = nil end
      for name, value in pairs(case[1]) do fault[name] = value end
      s:fault(fault)
      local err = live.failed(p:upload_file(path, {filename = "train.jsonl"}))
      assert.equal(case[2], err.kind, tostring(err))
      assert.equal("nebius", err.provider)
      assert.is_nil(tostring(err):find(s.key, 1, true))
      assert.is_true(s:faults()[1].hits > 0)
      assert.equal(0, #other:requests())
      s:clear()
      local file = upload(p)
      assert.equal(live.sha256(path), s:sha256(file.id))
    end)
  end
end)

describe("nebius: deploy_model", function()
  it("takes a checkpoint, a base model, a name; and need not wait", function()
    local p <close> = provider()
    local job = trained(p)
    local checkpoint = assert(p:list_checkpoints(job)).data[2]
    s:set {deploy_seconds = 60}
    local model = assert(p:deploy_model {model = job.id .. ":" .. checkpoint.id, base_model = "small-chat-1",
      name = "other", description = "words", wait = false})
    assert.equal("validating", model.status)
    assert.matches("small%-chat%-1%-LoRa:other", model.id)
    local sent = json.decode(s:requests({method = "POST", path = "/v0/models$"})[1].body, 1, nil, nil)
    assert.same({name = "other", base_model = "small-chat-1", description = "words",
      source = job.id .. ":" .. checkpoint.id}, sent)
    assert.is_true(assert(p:delete_model(model)).deleted)
  end)

  it("tells why it did not work", function()
    local p <close> = provider()
    local job = trained(p, {suffix = "mine"})
    s:set {deploy_fate = "error"}
    local err = live.failed(p:deploy_model(job))
    assert.equal("invalid", err.kind)
    assert.matches("rank is too large", err.message)
    s:set {deploy_fate = "active", deploy_seconds = 60}
    err = live.failed(p:deploy_model(job, {wait_timeout = 0.1}))
    assert.equal("timeout", err.kind)
    s:set {unknown_looks = 1000}
    assert.equal("not_found", live.failed(p:deploy_model(job)).kind)
    assert.equal("not_found", live.failed(p:deploy_model "ftjob-nobody").kind)
    assert.equal("not_found", live.failed(p:deploy_model(job, {base_model = "nobody"})).kind)
    err = live.failed(p:deploy_model "file-1")
    assert.matches("base_model is needed", err.message)
    err = live.failed(p:deploy_model("file-1", {base_model = "small-chat-1"}))
    assert.matches("name is needed", err.message)
    for _, name in ipairs {"..", "a/../b", "a//b", "/a"} do
      assert.equal("invalid", live.failed(p:get_model(name)).kind)
    end
  end)

  it("of a job without checkpoints is a conflict", function()
    s:set {job_seconds = 60}
    local p <close> = provider()
    local job = assert(p:create_job {model = s.model, training_file = upload(p)})
    assert.equal("conflict", live.failed(p:deploy_model(job)).kind)
  end)

  for step, at in pairs {job = "/jobs/ftjob[^/]*$", checkpoints = "/checkpoints$", create = "/v0/models$",
    poll = "/v0/models/"} do
    it("can fail, and be given up, at its step " .. step, function()
      -- cold: libcurl repeats by itself what it sent on a used connection that turns out to be dead
      local p <close> = provider {max_retries = 0, timeout = 1, headers = {Connection = "close"}}
      local job = trained(p, {suffix = "mine"})
      s:set {unknown_looks = 0}
      s:clear()
      for _, fault in ipairs {{kind = "status", status = 500}, {kind = "reset"}, {kind = "truncate"}, {kind = "html"},
        {kind = "stall"}} do
        fault.path = at
        s:fault(fault)
        local err = live.failed(p:deploy_model(job))
        assert.is_nil(tostring(err):find(s.key, 1, true))
        if step == "create" then -- sent once: nobody knows whether it was made
          assert.equal("conflict", err.kind)
        else
          assert.truthy(({server = true, transport = true, decode = true, timeout = true})[err.kind], tostring(err))
        end
      end
      s:clear()
      s:fault {kind = "stall", path = at}
      local q <close> = provider()
      local call = q:async("deploy_model", job)
      live.until_true(function() return #s:requests({path = at}) > 0 end)
      assert.is_true(call:cancel())
      local n = #s:requests()
      finetune.sleep(0.05)
      assert.equal(n, #s:requests())
    end)
  end

  it("sends its key to no other host", function()
    local p <close> = provider()
    local job = trained(p, {suffix = "mine"})
    s:fault {kind = "redirect", status = 307, path = "/v0/models$", location = other.url .. "/models"}
    assert.equal("transport", live.failed(p:deploy_model(job)).kind)
    assert.equal(0, #other:requests())
  end)
end)

describe("nebius: what the service says", function()
  it("in FastAPI's words reaches the user", function()
    local p <close> = provider()
    local err = live.failed(p:get_job "nobody")
    assert.equal("not_found", err.kind)
    assert.matches("Could not find", err.message)
    local q <close> = provider {api_key = "wrong-key-123"}
    err = live.failed(q:list_jobs())
    assert.equal("auth", err.kind)
    assert.equal("Could not validate credentials", err.message)
    err = live.failed(p:create_job {model = s.model, training_file = upload(p), extra = {new = 1}})
    assert.equal("invalid", err.kind)
    assert.equal(422, err.status)
  end)

  it("of a lost answer is a conflict with candidates, and one job", function()
    local p <close> = provider()
    local file = upload(p)
    s:fault {kind = "reset", method = "POST", path = "/jobs$", apply = true}
    local err = live.failed(p:create_job {model = s.model, training_file = file})
    assert.equal("conflict", err.kind)
    assert.equal("nebius", err.provider)
    assert.equal(1, #err.candidates)
    assert.equal(1, #s:requests({method = "POST", path = "/jobs$"}))
  end)

  it("is not waited for when create_job is given up", function()
    local p <close> = provider()
    local file = upload(p)
    s:clear()
    s:fault {kind = "stall", path = "/files/"}
    local call = p:async("create_job", {model = s.model, training_file = file})
    live.until_true(function() return #s:requests() > 0 end)
    assert.is_true(call:cancel())
    assert.equal("cancelled", select(2, call:result()).kind)
    s:clear() -- lets go what is stalled
    finetune.sleep(0.05)
    assert.equal(0, #s:requests())
    assert.equal(0, finetune.pending())
  end)
end)
