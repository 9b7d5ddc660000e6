-- providers/fireworks.lua over its loopback service: the whole life of a job, each request as it is sent, names,
-- settings, hyperparameters, refusals, cancelling, deploying, errors. Datasets: fireworks_upload_spec.lua.

local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local whole = require "spec.support.whole"

local A = "/v1/accounts/acme/"
local JOBS = "accounts/acme/supervisedFineTuningJobs/"
local BASE = "accounts/fireworks/models/tiny-chat-1"

local s, file

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, account = "acme", retry_delay = 0.001, poll_interval = 0.01}
  for name, value in pairs(config or {}) do settings[name] = value end
  return assert(finetune.create_provider("fireworks", settings))
end

setup(function() s = whole.watch(service.start {dialect = "fireworks", job_seconds = 0.2}, "fireworks") end)

teardown(function() s:stop() end)

before_each(function()
  s:reset()
  file = s:seed({files = 1}).files[1]
end)

after_each(live.clean)
after_each(function() s:check() end)

-- The requests as "METHOD target", where they carry the key and nothing else that is secret
local function lines()
  local out = {}
  for i, request in ipairs(s:requests()) do
    if request.site == "api" then assert.equal("Bearer " .. s.first_key, request.header.authorization) end
    out[i] = request.method .. " " .. request.target
  end
  return out
end

-- The body of the last request to `path` (a pattern)
local function body(path)
  local list = s:requests {method = "POST", path = path}
  local request = list[#list]
  assert.equal("application/json", request.header["content-type"])
  return json.decode(request.body)
end

local function job_of(p, more)
  local params = {model = "tiny-chat-1", training_file = file, wait_for_files = false}
  for name, value in pairs(more or {}) do params[name] = value end
  return p:create_job(params)
end

describe("fireworks", function()
  it("lives from the dataset to the deleted model", function()
    local p <close> = provider()
    s:clear()
    local path = live.file(live.lines(5))
    local dataset = assert(p:upload_file(path, {filename = "Mails 2026.jsonl", wait = true}))
    local job = assert(p:create_job {model = "tiny-chat-1", training_file = dataset, validation_file = file,
      suffix = "Mail", hyperparameters = {n_epochs = 2}})
    assert.equal("pending", job.status)
    local seen, last = {}, -1
    for event, now in p:follow(job, {interval = 0.01, max_interval = 0.02}) do
      seen[event.type] = true
      if event.data.progress then
        assert.is_true(event.data.progress > last)
        last = event.data.progress
      end
      job = now
    end
    assert.same({status = true, progress = true}, seen)
    assert.equal(1, last)
    local done = assert(p:wait(job))
    local model = done.fine_tuned_model
    assert.matches("^accounts/acme/models/mail%-%x+$", model)
    assert.equal(done.id, assert(p:get_model(model)).raw.fineTuningJob)
    assert(p:delete_job(job))
    assert(p:delete_model(model))
    assert(p:delete_file(dataset))
    local id, dataset_id, sent = job.id:match "[^/]+$", dataset.id:match "[^/]+$", lines()
    assert.matches("^mails%-2026%-%x+$", dataset_id)
    assert.same({"POST " .. A .. "datasets", "POST " .. A .. "datasets/" .. dataset_id .. ":upload",
      "GET " .. A .. "datasets/" .. dataset_id, "GET " .. A .. "datasets/" .. dataset_id,
      "GET " .. A .. "datasets/" .. file:match "[^/]+$",
      "POST " .. A .. "supervisedFineTuningJobs?supervisedFineTuningJobId=" .. id}, table.move(sent, 1, 6, 1, {}))
    for i = 7, #sent - 4 do assert.equal("GET " .. A .. "supervisedFineTuningJobs/" .. id, sent[i]) end
    assert.same({"GET /v1/" .. model, "DELETE " .. A .. "supervisedFineTuningJobs/" .. id, "DELETE /v1/" .. model,
      "DELETE " .. A .. "datasets/" .. dataset_id}, table.move(sent, #sent - 3, #sent, 1, {}))
    assert.same({dataset = dataset.id, evaluationDataset = file, baseModel = BASE, displayName = "Mail", epochs = 2,
      outputModel = model:match "[^/]+$"}, body "supervisedFineTuningJobs$")
    assert.same({}, s:stats().crashes)
  end)

  it("gives a job in the common form", function()
    local p <close> = provider()
    local job = assert(job_of(p, {suffix = "x", validation_file = file, hyperparameters = {
      n_epochs = 2, batch_size = 4, learning_rate = 0.25, lora_rank = 8}}))
    job = assert(p:wait(job, {interval = 0.01}))
    assert.same({"succeeded", "JOB_STATE_COMPLETED", BASE, file, file, "x", 1, 1000},
      {job.status, job.raw_status, job.model, job.training_file, job.validation_file, job.suffix, job.progress,
        job.trained_tokens})
    assert.same({n_epochs = 2, batch_size = 4, learning_rate = 0.25, lora_rank = 8}, job.hyperparameters)
    assert.is_true(math.abs(job.created_at - os.time()) < 60 and math.type(job.finished_at) == "integer")
    assert.equal(job.id, job.raw.name)
  end)

  it("tells why a job failed", function()
    local p <close> = provider()
    s:set {fail = {code = "RESOURCE_EXHAUSTED", message = "no more GPUs"}}
    local _, err, job = p:wait(assert(job_of(p)), {interval = 0.01})
    assert.equal("job", err.kind)
    assert.matches("no more GPUs", err.message)
    assert.same({code = "RESOURCE_EXHAUSTED", message = "no more GPUs"}, job.error)
  end)
end)

describe("fireworks settings", function()
  it("come from the environment that its users have", function()
    local code = 'local f = require "finetune" local p = assert(f.create_provider "fireworks") '
      .. 'print(assert(p:get_model("own-base")).id)'
    for _, url in ipairs {s.url, s.url .. "/v1/", s.url .. "/inference/v1"} do
      local output = shell.must("exec lua5.4 -e " .. shell.quote(code), {cwd = shell.root, env = {
        FIREWORKS_BASE_URL = url, FIREWORKS_API_KEY = s.key, FIREWORKS_ACCOUNT_ID = "accounts/acme",
        LUA_PATH = "./lua/?.lua;./lua/?/init.lua;;", LUA_CPATH = "./lua/?.so;;"}})
      assert.equal("accounts/acme/models/own-base\n", output)
    end
    for _, known in ipairs(finetune.list_providers()) do
      if known.name == "fireworks" then
        assert.same({"FIREWORKS_API_KEY", "FIREWORKS_ACCOUNT_ID"}, known.needs)
      end
    end
  end)

  it("need an account, before anything is sent", function()
    for account, words in pairs {[""] = "FIREWORKS_ACCOUNT_ID, or account: '' is no account",
                                 ["a/b"] = "'a/b' is no account", [".."] = "is no account"} do
      local err = live.failed(finetune.create_provider("fireworks", {base_url = s.url, api_key = s.key,
        account = account}))
      assert.equal("config", err.kind)
      assert.matches(words, err.message, 1, true)
    end
    assert.equal(0, #s:requests())
  end)

  it("keep the key out of errors", function()
    local p <close> = provider {api_key = "fw_wrong-0123456789"}
    local err = live.failed(p:list_jobs())
    assert.same({"auth", 16}, {err.kind, err.code})
    assert.not_matches("fw_wrong", json.encode {err.message, tostring(err)})
  end)
end)

describe("fireworks ids", function()
  it("are whole names or their last part", function()
    local p <close> = provider()
    local job = assert(job_of(p))
    for _, id in ipairs {job.id, job.id:match "[^/]+$", job} do assert.equal(job.id, assert(p:get_job(id)).id) end
    local dpo = assert(job_of(p, {method = "dpo"}))
    assert.matches("^accounts/acme/dpoJobs/ft%-%x+$", dpo.id)
    assert.equal(dpo.id, assert(p:get_job(dpo)).id)
    assert.equal(BASE, assert(p:get_model(BASE)).id)
    assert.equal("fireworks", assert(p:get_model(BASE)).owned_by)
  end)

  it("of something else are refused before anything is sent", function()
    local p <close> = provider()
    s:clear()
    for _, id in ipairs {"accounts/acme/datasets/x", "acme/x", "/", "a/b/c", "accounts/acme/dpoJobs/x/y"} do
      local err = live.failed(p:get_job(id))
      assert.same({"invalid", "job_id"}, {err.kind, err.param})
      assert.matches("is no id in %a+Jobs: it is accounts/ACCOUNT/", err.message)
    end
    for _, id in ipairs {"accounts/acme/dpoJobs/..", ".", "..", "accounts/../dpoJobs/x"} do
      local err = live.failed(p:get_job(id))
      assert.equal("invalid", err.kind)
      assert.matches("'.' and '..'", err.message, 1, true)
    end
    assert.equal("invalid", live.failed(p:delete_model(JOBS .. "x")).kind)
    assert.equal("invalid", live.failed(p:undeploy_model "accounts/../deployments/x").kind)
    assert.equal("invalid", live.failed(p:list_models {account = "../x"}).kind)
    assert.equal("invalid", live.failed(job_of(p, {training_file = BASE})).kind)
    assert.equal("invalid", live.failed(job_of(p, {model = file})).kind)
    assert.equal("invalid", live.failed(job_of(p, {from_checkpoint = file})).kind)
    assert.equal(0, #s:requests())
  end)

  it("are escaped", function()
    local p <close> = provider()
    assert.equal("not_found", live.failed(p:get_job "a b?c:d").kind)
    assert.equal(A .. "supervisedFineTuningJobs/a%20b%3Fc%3Ad", s:requests()[#s:requests()].target)
  end)
end)

describe("fireworks create_job", function()
  local RATES = {n_epochs = {2, "epochs"}, batch_size = {8, "batchSizeSamples"}, learning_rate = {0.5, "learningRate"},
    lora_rank = {0, "loraRank"}, warmup_steps = {0, "learningRateWarmupSteps"},
    max_seq_length = {64, "maxContextLength"}, gradient_accumulation_steps = {2, "gradientAccumulationSteps"},
    weight_decay = {0, "optimizerWeightDecay"}}
  local LORA = {lora_alpha = {16, "loraAlpha"}, lora_dropout = {0.5, "loraDropout"},
    lora_target_modules = {{"q_proj"}, "loraTargetModules"}}
  local MORE = {supervised = {early_stop = {true, "earlyStop"}}, dpo = LORA, reinforcement = LORA}
  local COLLECTION = {supervised = "supervisedFineTuningJobs", dpo = "dpoJobs",
    reinforcement = "reinforcementFineTuningJobs"}

  for method, collection in pairs(COLLECTION) do
    it("maps every hyperparameter of the method " .. method, function()
      local p <close> = provider()
      local given, wanted = {}, {baseModel = BASE}
      for _, list in ipairs {RATES, MORE[method]} do
        for name, pair in pairs(list) do given[name], wanted[pair[2]] = pair[1], pair[1] end
      end
      local body_wanted = method == "supervised" and wanted or {trainingConfig = wanted}
      body_wanted.dataset = file
      local more = {method = method, hyperparameters = given}
      if method == "dpo" then
        more.hyperparameters = {beta = 0.25}
        for name, value in pairs(given) do more.hyperparameters[name] = value end
        body_wanted.lossConfig = {method = "DPO", dpo = {beta = 0.25}}
      elseif method == "reinforcement" then
        more.evaluator, body_wanted.evaluator = "exact", "accounts/acme/evaluators/exact"
      end
      local job = assert(job_of(p, more))
      assert.same(body_wanted, body(collection .. "$"))
      assert.same(given, job.hyperparameters)
      assert.equal(job.id, assert(p:list_jobs {method = method}).data[1].id)
    end)
  end

  local REFUSED = {
    {"batch_size must be a whole number from 1", hyperparameters = {batch_size = 0}},
    {"n_epochs must be a whole number", hyperparameters = {n_epochs = 1.5}},
    {"learning_rate must be a number above 0", hyperparameters = {learning_rate = 0}},
    {"learning_rate_multiplier is a factor", hyperparameters = {learning_rate_multiplier = 2}},
    {"warmup_ratio is not known", hyperparameters = {warmup_ratio = 0.1}},
    {"belongs to the method supervised", method = "dpo", hyperparameters = {early_stop = true}},
    {"lora_alpha is not known to Fireworks, which takes: batch_size", hyperparameters = {lora_alpha = 2}},
    {"beta is not known", hyperparameters = {beta = 0.1}}, {"seed is not known", seed = 1},
    {"metadata is not known", metadata = {a = "b"}}, {"give `evaluator`", grader = {type = "x"}},
    {"evaluator is needed", method = "reinforcement"}, {"belongs to the method reinforcement", evaluator = "e"},
    {"not taken by Fireworks with this method", method = "dpo", validation_file = "accounts/acme/datasets/d"},
    {"'grpo' is not offered by Fireworks, which has: dpo, reinforcement, supervised", method = "grpo"},
    {"suffix must be a text of 1 to 60 characters", suffix = ("x"):rep(61)},
    {"output_model must be a text of 1 to 63 characters", output_model = "Big Model"},
    {"Fireworks has one integration", integrations = {{type = "mlflow"}}},
    {"set WANDB_API_KEY", kind = "config", integrations = {{type = "wandb", wandb = {project = "p"}}}},
    {"Fireworks takes the texts entity, project of wandb, not wandb.tags", wandb = "wk-0123456789",
      integrations = {{type = "wandb", wandb = {tags = {}}}}},
  }

  for _, case in ipairs(REFUSED) do
    it("refuses: " .. case[1], function()
      local more = {}
      for name, value in pairs(case) do
        if type(name) == "string" and name ~= "wandb" and name ~= "kind" then more[name] = value end
      end
      local p <close> = provider {wandb_api_key = case.wandb}
      s:clear()
      local err = live.failed(job_of(p, more))
      assert.equal(case.kind or "invalid", err.kind)
      assert.matches(case[1], err.message, 1, true)
      assert.equal(0, #s:requests())
    end)
  end

  it("sends the rest: suffix, output_model, wandb, extra", function()
    local p <close> = provider {wandb_api_key = "wk-0123456789"}
    assert(job_of(p, {suffix = "A b!", output_model = "mine", extra = {batchSize = 4096, purpose = "PURPOSE_PILOT"},
      integrations = {{type = "wandb", wandb = {project = "p", entity = "e"}}}}))
    assert.same({dataset = file, baseModel = BASE, displayName = "A b!", outputModel = "mine", batchSize = 4096,
      purpose = "PURPOSE_PILOT", wandbConfig = {enabled = true, apiKey = "wk-0123456789", project = "p", entity = "e"}},
      body "Jobs$")
    s:set {refuse = {status = 400, message = "bad key wk-0123456789"}}
    assert.not_matches("0123456789", tostring(live.failed(job_of(p))))
    s:set {refuse = false}
    local extra = {lossConfig = {method = "ORPO"}, trainingConfig = {jinjaTemplate = "j"}}
    assert(job_of(p, {method = "dpo", extra = extra}))
    assert.same({dataset = file, lossConfig = {method = "ORPO"},
      trainingConfig = {baseModel = BASE, jinjaTemplate = "j"}}, body "dpoJobs$")
  end)

  it("trains on from a model of the account's own", function()
    local p <close> = provider()
    local first = assert(p:wait(assert(job_of(p)), {interval = 0.01})).fine_tuned_model
    assert(job_of(p, {model = first}))
    assert.same({dataset = file, warmStartFrom = first}, body "Jobs$")
    assert(job_of(p, {from_checkpoint = first}))
    assert.same({dataset = file, warmStartFrom = first}, body "Jobs$")
    assert(job_of(p, {model = "accounts/acme/models/own-base"}))
    assert.same({dataset = file, baseModel = "accounts/acme/models/own-base"}, body "Jobs$")
    local err = live.failed(job_of(p, {model = "small-chat-1", from_checkpoint = first}))
    assert.matches("was made from " .. BASE .. ", not from accounts/fireworks/models/small", err.message, 1, true)
    assert.equal("not_found", live.failed(job_of(p, {from_checkpoint = "nobody"})).kind)
  end)

  it("waits for its datasets", function()
    local p <close> = provider()
    s:set {file_seconds = 0.1}
    local slow = assert(p:upload_file(live.file(live.lines(3))))
    assert.equal("uploading", slow.status)
    assert.equal("invalid", live.failed(job_of(p, {training_file = slow})).kind) -- FAILED_PRECONDITION
    assert(job_of(p, {training_file = slow, wait_for_files = true}))
  end)

  it("makes one job for one token, whatever happens to the answers", function()
    local p <close> = provider()
    s:fault {kind = "reset", method = "POST", path = "Jobs$", apply = true}
    local job = assert(job_of(p, {token = "order-66"}))
    assert.equal(JOBS .. "order-66", job.id)
    assert.equal(job.id, assert(job_of(p, {token = "order-66"})).id)
    assert.matches("order%-66%-%x+$", assert(job_of(p, {token = "Order 66"})).id)
    assert.matches("^" .. JOBS .. "d%-7a%-%x+$", assert(job_of(p, {token = "7a"})).id)
    local err = live.failed(job_of(p, {token = "order-66", training_file = s:seed({jobs = 1}) and
      "accounts/acme/datasets/seed-training"}))
    assert.equal("conflict", err.kind)
  end)

  it("gives the token of a job that may have been made", function()
    local p <close> = provider()
    s:fault {kind = "reset", method = "POST", path = "Jobs$"}
    local err = live.failed(job_of(p))
    assert.equal("conflict", err.kind)
    assert.equal(1, #s:requests {method = "POST", path = "Jobs$"})
    local job = assert(job_of(p, {token = err.token}))
    assert.equal(JOBS .. err.token, job.id)
    assert.equal(job.id, assert(job_of(p, {token = err.token})).id)
    assert.equal(1, #assert(p:list_jobs()).data)
  end)
end)

describe("fireworks jobs", function()
  it("are listed page by page, as the caller wants them", function()
    local p <close> = provider()
    local ids = s:seed({jobs = 5}).jobs
    s:clear()
    local found, after = {}, nil
    repeat
      local page = assert(p:list_jobs {limit = 2, after = after, filter = "x", order_by = "name"})
      for _, job in ipairs(page.data) do found[#found + 1] = job.id end
      after = page.next
    until not page.has_more
    assert.same(ids, found)
    local path = "GET " .. A .. "supervisedFineTuningJobs?filter=x&orderBy=name&pageSize=2"
    assert.same({path, path .. "&pageToken=page-3", path .. "&pageToken=page-5"}, lines())
    assert.same({}, assert(p:list_jobs {method = "dpo"}).data)
    assert.equal("invalid", live.failed(p:list_jobs {method = "sft"}).kind)
    assert.equal("invalid", live.failed(p:list_jobs {metadata = {a = "b"}}).kind)
  end)

  it("are cancelled by their verb, and resumed", function()
    local p <close> = provider()
    for _, method in ipairs {"supervised", "dpo", "reinforcement"} do
      local job = assert(job_of(p, {method = method, evaluator = method == "reinforcement" and "exact" or nil}))
      s:clear()
      assert.equal("cancelling", assert(p:cancel_job(job)).status)
      assert.same({"POST /v1/" .. job.id .. ":cancel", "GET /v1/" .. job.id}, lines())
      assert.equal("{}", s:requests()[1].body)
      local _, err, last = p:wait(job, {interval = 0.01})
      assert.same({"job", "cancelled"}, {err.kind, last.status})
      s:clear()
      assert.equal("queued", assert(p:resume_job(job)).status)
      assert.same({"POST /v1/" .. job.id .. ":resume"}, lines())
      assert.matches("cannot be resumed", live.failed(p:resume_job(job)).message)
    end
    assert.equal("not_found", live.failed(p:cancel_job "nobody").kind)
  end)

  it("are deleted to cancel them, where there is no such verb", function()
    local p <close> = provider {max_retries = 0}
    local job, over = assert(job_of(p)), s:seed({jobs = 1}).jobs[1]
    s:set {cancel_verb = false}
    s:clear()
    local cancelled = assert(p:cancel_job(job))
    assert.same({"cancelled", "JOB_STATE_CANCELLED", file}, {cancelled.status, cancelled.raw_status,
      cancelled.training_file})
    assert.same({"POST /v1/" .. job.id .. ":cancel", "GET /v1/" .. job.id, "DELETE /v1/" .. job.id}, lines())
    assert.equal("not_found", live.failed(p:get_job(job)).kind)
    assert.equal("succeeded", assert(p:cancel_job(over)).status) -- it has ended: nothing is deleted
    assert(p:get_job(over))
  end)

  it("have a price before they begin", function()
    local p <close> = provider()
    local estimate = assert(p:estimate_cost {model = "tiny-chat-1", training_file = file,
      hyperparameters = {n_epochs = 1000}})
    assert.same({dataset = file, baseModel = BASE, epochs = 1000}, body ":estimateCost$")
    assert.same({"USD", 20 * 80 / 1000}, {estimate.currency, estimate.total})
    assert.equal("invalid", live.failed(p:estimate_cost {model = "m", path = "x.jsonl"}).kind)
    assert(p:estimate_cost {model = "tiny-chat-1", training_file = file, method = "supervised"})
    local err = live.failed(p:estimate_cost {model = "tiny-chat-1", training_file = file, method = "dpo"})
    assert.same({"invalid", "method"}, {err.kind, err.param})
    assert.equal("invalid", live.failed(p:estimate_cost {training_file = file}).kind)
  end)
end)

describe("fireworks models", function()
  local p, model

  before_each(function()
    p = provider()
    model = s:seed({jobs = 1}) and "accounts/acme/models/seed-1"
    s:clear()
  end)

  after_each(function() p:close() end)

  it("are the account's own, or those of everybody", function()
    assert.equal("own-base", assert(p:list_models()).data[1].id:match "[^/]+$")
    local page = assert(p:list_models {account = "fireworks", limit = 1})
    assert.same({"accounts/fireworks/models/embed-1", "fireworks", true}, {page.data[1].id, page.data[1].owned_by,
      page.has_more})
    assert.same({"GET " .. A .. "models", "GET /v1/accounts/fireworks/models?pageSize=1"}, lines())
  end)

  it("are deployed alone, and taken off again", function()
    local deployment = assert(p:deploy_model(model, {name = "mine", extra = {maxReplicaCount = 1}}))
    assert.same({"accounts/acme/deployments/mine", "CREATING", model}, {deployment.id, deployment.status,
      deployment.model})
    assert.equal("POST " .. A .. "deployments?deploymentId=mine", lines()[1])
    assert.same({baseModel = model, maxReplicaCount = 1}, body "deployments$")
    assert.same({deployment.id}, assert(p:undeploy_model(model)).undeployed)
    assert.equal("not_found", live.failed(p:undeploy_model(model)).kind)
    assert(p:undeploy_model(assert(p:deploy_model(model))))
    assert.same({}, s:state().deployments)
    assert.equal("invalid", live.failed(p:deploy_model(model, {name = "My Deployment"})).kind)
  end)

  it("are loaded as addons onto a deployment of their base", function()
    local base = assert(p:deploy_model(BASE, {name = "base", extra = {enableAddons = true}}))
    local deployed = assert(p:deploy_model(model, {deployment = base, name = "shown"}))
    assert.same({model = model, deployment = base.id, displayName = "shown"}, body "deployedModels$")
    assert.matches("is deployed", live.failed(p:delete_model(model)).message)
    assert.same({deployed.id}, assert(p:undeploy_model(model)).undeployed)
    assert.same({base.id:match "[^/]+$"}, {s:state().deployments[1]:match "[^/]+$"})
    assert(p:delete_model(model))
  end)

  it("are deployed once, although the answer is lost", function()
    s:fault {kind = "reset", method = "POST", path = "deployments$", apply = true}
    local deployment = assert(p:deploy_model(model))
    assert.same({deployment.id}, s:state().deployments)
    s:fault {kind = "reset", method = "POST", path = "deployments$"}
    local err = live.failed(p:deploy_model(model))
    assert.equal("conflict", err.kind)
    assert.matches("if it was made all the same, it is /v1/accounts/acme/deployments/ft%-%x+", err.message)
    assert.equal(2, #s:requests {method = "POST"})
  end)
end)
