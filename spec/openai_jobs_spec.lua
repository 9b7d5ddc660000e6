-- create_job of the OpenAI dialect: the body, the checks before it is sent, the wait for
-- files, and above all that one call never makes two jobs.

local finetune = require "finetune"
local testing = require "finetune.testing"

local CREATE = "POST /v1/fine_tuning/jobs"
local LIST = "GET /v1/fine_tuning/jobs"
local READY = {["GET /v1/files/{id}"] = function(_, id) return {json = {id = id, status = "processed"}} end}

local function provider(transport, config)
  local settings = {api_key = "sk-test", retry_delay = 0.001, poll_interval = 0.01, transport = transport}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("openai", settings))
end

-- A service of the given routes, with files that are ready
local function service(routes, config)
  for route, handler in pairs(READY) do routes[route] = routes[route] or handler end
  local transport, log = testing.routes(routes)
  return provider(transport, config), log.requests
end

local function job_of(body, id)
  return {id = id or "ftjob-1", model = body.model, training_file = body.training_file, status = "queued",
    created_at = os.time(), metadata = body.metadata, hyperparameters = {}, object = "fine_tuning.job"}
end

local function accept(request) return {json = job_of(request.json)} end

-- Creates a job with `params` -> the body that was sent, or nil, err; and the number of requests
local function body_of(params, config)
  local p, requests = service({[CREATE] = accept}, config)
  params.model, params.training_file = params.model or "m", params.training_file or "file-1"
  if params.wait_for_files == nil then params.wait_for_files = false end
  local job, err = p:create_job(params)
  if not job then return nil, err, #requests end
  return requests[#requests].json, nil, #requests
end

local function count(requests, line)
  local n = 0
  for _, request in ipairs(requests) do
    if request.method .. " " .. request.path == line then n = n + 1 end
  end
  return n
end

describe("openai create_job sends", function()
  it("model and file, a token, and nothing that was not asked for", function()
    local body = assert(body_of {})
    assert.truthy(body.metadata.finetune_token:match("^%x+$"))
    assert.equal(32, #body.metadata.finetune_token)
    body.metadata = nil
    assert.same({model = "m", training_file = "file-1"}, body)
  end)

  it("another token each time, also over metadata of an older job", function()
    local first, second = body_of({}), body_of {metadata = {finetune_token = "old", team = "a"}}
    assert.not_equal(first.metadata.finetune_token, second.metadata.finetune_token)
    assert.not_equal("old", second.metadata.finetune_token)
    assert.equal("a", second.metadata.team)
  end)

  it("everything it was given", function()
    local wandb = {{type = "wandb", wandb = {project = "p", tags = {"a"}}}}
    local body = assert(body_of {model = {id = "base"}, training_file = {id = "f1"}, validation_file = {id = "f2"},
      suffix = "support", seed = 7, integrations = wandb, extra = {new_field = {a = 1}, seed = 8}})
    body.metadata = nil
    assert.same({model = "base", training_file = "f1", validation_file = "f2", suffix = "support", seed = 8,
      integrations = wandb, new_field = {a = 1}}, body)
  end)

  local function method_of(params, config)
    local body = assert(body_of(params, config))
    return body.method, body.hyperparameters
  end

  it("hyperparameters where the current API wants them", function()
    assert.same({type = "supervised", supervised = {hyperparameters = {n_epochs = 3, batch_size = "auto"}}},
      (method_of {hyperparameters = {n_epochs = 3, batch_size = "auto"}}))
    assert.same({type = "dpo", dpo = {hyperparameters = {beta = 0.1}}},
      (method_of {method = "dpo", hyperparameters = {beta = 0.1}}))
    assert.same({type = "supervised"}, (method_of {method = "supervised"}))
    local grader = {type = "string_check", name = "g", input = "a", reference = "b", operation = "eq"}
    assert.same({type = "reinforcement", reinforcement = {grader = grader, hyperparameters = {eval_interval = 2}}},
      (method_of {method = "reinforcement", grader = grader, hyperparameters = {eval_interval = 2}}))
    local n = method_of {hyperparameters = {n_epochs = 3.0}}
    assert.equal("integer", math.type(n.supervised.hyperparameters.n_epochs))
  end)

  it("the same from the API's own form, from the short one, and from both", function()
    local wanted = {type = "dpo", dpo = {hyperparameters = {beta = 0.1, n_epochs = 2}}}
    for _, params in ipairs {
      {method = {type = "dpo", dpo = {hyperparameters = {beta = 0.1, n_epochs = 2}}}},
      {method = {type = "dpo", hyperparameters = {beta = 0.1, n_epochs = 2}}},
      {method = {type = "dpo", dpo = {hyperparameters = {beta = 0.5}}}, hyperparameters = {beta = 0.1, n_epochs = 2}},
    } do
      assert.same(wanted, (method_of(params)))
    end
    local method = {type = "reinforcement", reinforcement = {grader = {type = "python"}, response_format = {a = 1}}}
    assert.same(method, (method_of {method = method}))
    assert.same({type = "reinforcement", reinforcement = {grader = {type = "python"}}},
      (method_of {method = {type = "reinforcement", grader = {type = "python"}}}))
  end)

  it("what a dialect wants otherwise", function()
    local method, flat = method_of({hyperparameters = {n_epochs = 3}}, {quirks = {flat_hyperparameters = true}})
    assert.is_nil(method)
    assert.same({n_epochs = 3}, flat)
    method = method_of({hyperparameters = {lora = true}}, {quirks = {hyperparameters = {"packing", "lora"}}})
    assert.same({lora = true}, method.supervised.hyperparameters)
    method = method_of({method = "sft", hyperparameters = {n_epochs = 900}}, {quirks = {hyperparameters = true}})
    assert.same({type = "sft", sft = {hyperparameters = {n_epochs = 900}}}, method)
    local body = assert(body_of({seed = 1}, {quirks = {metadata = false, fields = {seed = "randomSeed"}}}))
    assert.is_nil(body.metadata)
    assert.equal(1, body.randomSeed)
  end)

  it("no token where the user's own metadata fill all 16 pairs", function()
    local metadata = {}
    for i = 1, 16 do metadata["k" .. i] = "v" end
    assert.same(metadata, assert(body_of {metadata = metadata}).metadata)
  end)
end)

describe("openai create_job refuses, before anything is sent,", function()
  local long = ("ü"):rep(65)
  local pairs17, integrations6 = {}, {}
  for i = 1, 17 do pairs17["k" .. i] = "v" end
  for i = 1, 6 do integrations6[i] = {type = "wandb", wandb = {project = "p"}} end
  local rft = {type = "reinforcement", grader = {type = "python"}}
  local cases = {
    {"n_epochs", {n_epochs = 0}}, {"n_epochs", {n_epochs = 51}}, {"n_epochs", {n_epochs = 2.5}},
    {"n_epochs", {n_epochs = "many"}}, {"n_epochs", {n_epochs = true}}, {"n_epochs", {n_epochs = "3"}},
    {"batch_size", {batch_size = 257}}, {"batch_size", {batch_size = -1}},
    {"learning_rate_multiplier", {learning_rate_multiplier = 0}},
    {"learning_rate_multiplier", {learning_rate_multiplier = 0 / 0}},
    {"learning_rate_multiplier", {learning_rate_multiplier = math.huge}},
    {"beta", {beta = 2.1}, "dpo"}, {"beta", {beta = 0}, "dpo"}, {"beta", {beta = 0.1}},
    {"compute_multiplier", {compute_multiplier = 1e-5}, rft}, {"compute_multiplier", {compute_multiplier = 11}, rft},
    {"eval_interval", {eval_interval = 0}, rft}, {"eval_samples", {eval_samples = 0.5}, rft},
    {"reasoning_effort", {reasoning_effort = "extreme"}, rft}, {"reasoning_effort", {reasoning_effort = 1}, rft},
    {"learning_rate", {learning_rate = 1e-5}}, {"n_epoch", {n_epoch = 3}},
  }
  for i, case in ipairs(cases) do
    local name, values, method = table.unpack(case)
    it(("hyperparameter %s (%d)"):format(name, i), function()
      local body, err, sent = body_of {hyperparameters = values, method = method}
      assert.is_nil(body)
      assert.equal("invalid", err.kind)
      assert.equal("hyperparameters." .. name, err.param)
      assert.equal(0, sent)
    end)
  end

  it("in words that say what is allowed", function()
    local function message(params) return (select(2, body_of(params))).message end
    assert.matches("integer from 1 to 50", message {hyperparameters = {n_epochs = 51}})
    assert.matches("n_epochs, batch_size, learning_rate_multiplier, beta", message {method = "dpo",
      hyperparameters = {rate = 1}})
    assert.matches("learning_rate_multiplier", message {hyperparameters = {learning_rate = 1e-5}})
    assert.matches("extra", message {hyperparameters = {learning_rate = 1e-5}})
    assert.matches("1 to 64", message {suffix = ("x"):rep(65)})
  end)

  for name, params in pairs {
    ["suffix"] = {suffix = ""}, ["suffix "] = {suffix = long}, ["seed"] = {seed = -1}, ["seed "] = {seed = 2147483648},
    ["metadata"] = {metadata = {k = 5}}, ["metadata "] = {metadata = {[long] = "v"}}, ["metadata  "] = {metadata = {1}},
    ["metadata   "] = {metadata = {k = ("v"):rep(513)}}, ["metadata    "] = {metadata = pairs17},
    ["integrations"] = {integrations = integrations6},
    ["integrations "] = {integrations = {{type = "wandb"}}},
    ["integrations  "] = {integrations = {type = "wandb"}}, ["integrations   "] = {integrations = {"wandb"}},
    ["method"] = {method = "sft"}, ["method "] = {method = {hyperparameters = {}}},
    ["method  "] = {method = {type = 7}},
    ["grader"] = {method = "reinforcement"}, ["grader "] = {grader = {type = "python"}},
    ["token"] = {token = ""}, ["token "] = {token = ("x"):rep(513)},
    ["hyperparameters"] = {hyperparameters = {3}},
  } do
    it(name, function()
      local body, err, sent = body_of(params)
      assert.is_nil(body)
      assert.equal("invalid", err.kind)
      assert.equal((name:gsub(" ", "")), err.param)
      assert.equal(0, sent)
    end)
  end

  it("metadata and a token where the service keeps none", function()
    local config = {quirks = {metadata = false}}
    assert.equal("metadata", select(2, body_of({metadata = {a = "b"}}, config)).param)
    assert.equal("token", select(2, body_of({token = "t"}, config)).param)
    assert.is_table(body_of({metadata = {}}, config))
  end)

  it("but takes 64 characters, however many bytes they are", function()
    assert.equal(("ü"):rep(64), assert(body_of {suffix = ("ü"):rep(64)}).suffix)
    assert.is_table(body_of {metadata = {[("ü"):rep(64)] = ("ü"):rep(512)}})
  end)
end)

describe("openai create_job waits", function()
  it("until its files are processed", function()
    local looks = {}
    local p, requests = service {[CREATE] = accept, ["GET /v1/files/{id}"] = function(_, id)
      looks[id] = (looks[id] or 0) + 1
      return {json = {id = id, status = ({"uploaded", "pending", "processed"})[looks[id]]}}
    end}
    assert(p:create_job {model = "m", training_file = "f1", validation_file = "f2"})
    assert.same({f1 = 3, f2 = 3}, looks)
    assert.equal(CREATE, requests[#requests].method .. " " .. requests[#requests].path)
    assert.equal(7, #requests)
  end)

  it("not for a file whose status is not told, or unknown", function()
    for _, file in ipairs {{id = "f1"}, {id = "f1", status = "blessed"}} do
      local p, requests = service {[CREATE] = accept, ["GET /v1/files/{id}"] = function() return {json = file} end}
      assert(p:create_job {model = "m", training_file = "f1"})
      assert.equal(2, #requests)
    end
  end)

  it("in vain for a file that failed, is late, or is not there", function()
    local status = "error"
    local p, requests = service {[CREATE] = accept, ["GET /v1/files/{id}"] = function(_, id)
      if id == "none" then return {status = 404, json = {error = {message = "no such file"}}} end
      return {json = {id = id, status = status, status_details = "line 3 is not JSON"}}
    end}
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal("data", err.kind)
    assert.matches("line 3 is not JSON", err.message)
    assert.equal("f1", err.file.id)
    status = "uploaded"
    _, err = p:create_job {model = "m", training_file = "f1", file_timeout = 0.03}
    assert.equal("timeout", err.kind)
    assert.matches("f1", err.message)
    _, err = p:create_job {model = "m", training_file = "none"}
    assert.equal("not_found", err.kind)
    assert.equal(0, count(requests, CREATE))
  end)

  it("not at all where it is told so, by the call or by the dialect", function()
    local p, requests = service {[CREATE] = accept}
    assert(p:create_job {model = "m", training_file = "f1", wait_for_files = false})
    assert.equal(1, #requests)
    p, requests = service({[CREATE] = accept}, {quirks = {wait_for_files = false}})
    assert(p:create_job {model = "m", training_file = "s3://bucket/f1"})
    assert.equal(1, #requests)
  end)
end)

describe("openai create_job, when its answer is lost,", function()
  -- A service that makes the job and then does `lose`
  local function losing(lose, options)
    options = options or {}
    local made = {}
    return made, service({
      [CREATE] = function(request)
        if not options.refuse then
          table.insert(made, 1, job_of(request.json, "ftjob-" .. #made + 1))
          if options.forget then made[1].metadata = nil end
        end
        return lose
      end,
      [LIST] = function() return options.list or {json = {data = made, has_more = false}} end,
    }, options.config)
  end

  local lost = {
    reset = {fail = "reset"}, timeout = {fail = "timeout"}, ["500"] = {status = 500}, ["503"] = {status = 503},
    ["408"] = {status = 408}, ["409"] = {status = 409}, ["200 without JSON"] = {body = "<html>"},
    ["200 without an id"] = {json = {object = "fine_tuning.job"}}, ["200 without anything"] = {},
  }
  for what, answer in pairs(lost) do
    it("takes the job that carries its token (" .. what .. ")", function()
      local made, p, requests = losing(answer)
      local job = assert(p:create_job {model = "m", training_file = "f1"})
      assert.equal("ftjob-1", job.id)
      assert.equal(1, #made)
      assert.equal(1, count(requests, CREATE))
    end)

    it("is a conflict where no job has it (" .. what .. ")", function()
      local made, p, requests = losing(answer, {forget = true})
      local job, err = p:create_job {model = "m", training_file = "f1"}
      assert.is_nil(job)
      assert.equal("conflict", err.kind)
      assert.equal("ftjob-1", err.candidates[1].id)
      assert.equal("queued", err.candidates[1].status)
      assert.equal(32, #err.token)
      assert.is_table(err.cause)
      assert.matches("err.token", err.message)
      assert.equal(1, #made)
      assert.equal(1, count(requests, CREATE))
    end)
  end

  it("tells both causes where the jobs cannot be listed", function()
    local _, p = losing({fail = "timeout"}, {list = {status = 500, json = {error = {message = "down"}}}})
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal("conflict", err.kind)
    assert.same({}, err.candidates)
    assert.equal("timeout", err.cause.kind)
    assert.equal("server", err.list_error.kind)
    assert.matches("down", err.message)
  end)

  it("names as candidates only recent jobs of the same model and file", function()
    local list = {
      {id = "other-model", model = "x", training_file = "f1", created_at = os.time()},
      {id = "other-file", model = "m", training_file = "f2", created_at = os.time()},
      {id = "old", model = "m", training_file = "f1", created_at = os.time() - 3600},
      {id = "snapshot", model = "m-2026-01-01", training_file = "f1", created_at = os.time()},
      {id = "another-call's", model = "m", training_file = "f1", metadata = {finetune_token = "t"}},
    }
    local _, p = losing({fail = "reset"}, {list = {json = {data = list}}})
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal(1, #err.candidates)
    assert.equal("snapshot", err.candidates[1].id)
  end)

  it("has no token to look for where the dialect keeps no metadata", function()
    local _, p = losing({fail = "reset"}, {config = {quirks = {metadata = false}}})
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal("conflict", err.kind)
    assert.is_nil(err.token)
    assert.equal(1, #err.candidates)
  end)

  it("looks on further pages, and not for ever", function()
    local pages, token = 0, nil
    local p = service {
      [CREATE] = function(request)
        token = request.json.metadata.finetune_token
        return {fail = "reset"}
      end,
      [LIST] = function(request)
        pages = pages + 1
        assert(request.query.limit == "100" and request.query.after == (pages > 1 and "j" .. pages - 1 or nil))
        local metadata = {finetune_token = pages == 3 and token or "no"}
        return {json = {has_more = true, data = {{id = "j" .. pages, metadata = metadata}}}}
      end,
    }
    assert.equal("j3", assert(p:create_job {model = "m", training_file = "f1"}).id)
    local requests
    p, requests = service {
      [CREATE] = function() return {fail = "reset"} end,
      [LIST] = function() return {json = {has_more = true, data = {{id = "same"}}}} end,
    }
    assert.equal("conflict", select(2, p:create_job {model = "m", training_file = "f1"}).kind)
    assert.is_true(count(requests, LIST) <= 10)
  end)

  it("makes 20 distinct jobs of 20 identical calls", function()
    local made, p, requests = losing {fail = "reset"}
    local seen, n = {}, 0
    local list = {}
    for i = 1, 20 do list[i] = i end
    local results = finetune.map(list, function() return p:create_job {model = "m", training_file = "f1"} end)
    for i = 1, 20 do
      local job = assert(results[i])
      n, seen[job.id] = n + (seen[job.id] and 0 or 1), true
    end
    assert.equal(20, n)
    assert.equal(20, #made)
    assert.equal(20, count(requests, CREATE))
  end)

  it("can be called again with the same token, which makes one job", function()
    local made, p, requests = losing({fail = "reset"}, {list = {status = 500}})
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal("conflict", err.kind)
    local p2, requests2 = service {[LIST] = function() return {json = {data = made}} end, [CREATE] = accept}
    local job = assert(p2:create_job {model = "m", training_file = "f1", token = err.token})
    assert.equal("ftjob-1", job.id)
    assert.equal(1, count(requests, CREATE))
    assert.equal(0, count(requests2, CREATE))
  end)
end)

describe("openai create_job with the caller's token", function()
  it("makes the job where none carries it", function()
    local p, requests = service {[LIST] = function() return {json = {data = {}}} end, [CREATE] = accept}
    local job = assert(p:create_job {model = "m", training_file = "f1", token = "mine"})
    assert.equal("mine", job.metadata.finetune_token)
    assert.equal(1, count(requests, CREATE))
  end)

  it("sends nothing where the jobs cannot be listed", function()
    local p, requests = service {[LIST] = function() return {status = 403} end, [CREATE] = accept}
    local _, err = p:create_job {model = "m", training_file = "f1", token = "mine"}
    assert.equal("permission", err.kind)
    assert.equal(0, count(requests, CREATE))
  end)
end)

describe("openai create_job, when the service says no,", function()
  local function refused(answer, config)
    local p, requests = service({[CREATE] = function() return answer end}, config)
    local _, err = p:create_job {model = "m", training_file = "f1"}
    assert.equal(0, count(requests, LIST))
    assert.equal(1, count(requests, CREATE))
    return err
  end
  local function says(status, code) return {status = status, json = {error = {message = "no", code = code}}} end

  it("does not look for a job", function()
    for status, kind in pairs {[400] = "invalid", [401] = "auth", [422] = "invalid", [429] = "rate_limit"} do
      local err = refused(says(status))
      assert.equal(kind, err.kind)
      assert.equal("no", err.message)
    end
  end)

  it("adds words a person can act on", function()
    for status, kind in pairs {[403] = "permission", [404] = "not_found", [410] = "not_found"} do
      local err = refused(says(status, "c"))
      assert.equal(kind, err.kind)
      assert.equal(status, err.status)
      assert.equal("c", err.code)
      assert.matches("^no %(OpenAI", err.message)
      assert.matches("2027%-01%-06", err.message)
      assert.matches('create_provider%("together"%)', err.message)
      for _, url in ipairs {"https://tuner.example/v1", "https://api.openai.com.example/v1"} do
        err = refused(says(status, "c"), {base_url = url})
        assert.matches("does not create fine%-tuning jobs here", err.message)
        assert.is_nil(err.message:find("OpenAI", 1, true))
      end
    end
  end)

  it("lets a missing model be a missing model", function()
    assert.equal("no", refused(says(404, "model_not_found")).message)
  end)
end)
