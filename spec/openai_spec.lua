-- The OpenAI dialect over a scripted transport: requests as they are sent, answers as
-- they are normalised, and answers that no service should give.

local finetune = require "finetune"
local testing = require "finetune.testing"

local function provider(handler, config)
  local settings = {api_key = "sk-test", retry_delay = 0.001, poll_interval = 0.01, transport = handler}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("openai", settings))
end

-- A provider whose service always answers `answer`; and the requests it got
local function answering(answer, config)
  local requests = {}
  return provider(function(request)
    requests[#requests + 1] = request
    return answer
  end, config), requests
end

local function path_of(request)
  return (testing.split(request.url))
end

local JOB = {
  object = "fine_tuning.job", id = "ftjob-1", created_at = 1790000000, model = "base-model",
  fine_tuned_model = "ft:base-model:org::1", finished_at = 1790000100, trained_tokens = 5000,
  training_file = "file-1", validation_file = "file-2", status = "succeeded", seed = 7,
  hyperparameters = {n_epochs = 3}, result_files = {"file-3"}, organization_id = "org-1",
  method = {type = "supervised", supervised = {hyperparameters = {n_epochs = 3}}},
  metadata = {team = "a"}, error = {}, user_provided_suffix = "support",
}

local function job_with(changes)
  local doc = {}
  for key, value in pairs(JOB) do doc[key] = value end
  for key, value in pairs(changes) do doc[key] = value end
  return doc
end

describe("openai requests", function()
  local cases = {
    {"get_job", {job_id = "ftjob-1"}, "GET", "/v1/fine_tuning/jobs/ftjob-1", JOB},
    {"cancel_job", {job_id = "ftjob-1"}, "POST", "/v1/fine_tuning/jobs/ftjob-1/cancel", JOB},
    {"pause_job", {job_id = "ftjob-1"}, "POST", "/v1/fine_tuning/jobs/ftjob-1/pause", JOB},
    {"resume_job", {job_id = "ftjob-1"}, "POST", "/v1/fine_tuning/jobs/ftjob-1/resume", JOB},
    {"list_jobs", {limit = 5, after = "j0"}, "GET", "/v1/fine_tuning/jobs?after=j0&limit=5", {data = {JOB}}},
    {"list_jobs", {metadata = {team = "a b"}}, "GET", "/v1/fine_tuning/jobs?metadata%5Bteam%5D=a%20b", {data = {}}},
    {"list_events", {job_id = "j", limit = 2}, "GET", "/v1/fine_tuning/jobs/j/events?limit=2", {data = {}}},
    {"list_checkpoints", {job_id = "j"}, "GET", "/v1/fine_tuning/jobs/j/checkpoints", {data = {}}},
    {"list_files", {purpose = "fine-tune", limit = 9, order = "asc", after = "f"}, "GET",
      "/v1/files?after=f&limit=9&order=asc&purpose=fine-tune", {data = {}}},
    {"list_files", {extra = {project = "p"}}, "GET", "/v1/files?project=p", {data = {}}},
    {"get_file", {file_id = "file-1"}, "GET", "/v1/files/file-1", {id = "file-1"}},
    {"delete_file", {file_id = "file-1"}, "DELETE", "/v1/files/file-1", {id = "file-1", deleted = true}},
    {"list_models", {limit = 3}, "GET", "/v1/models", {data = {}}},
    {"get_model", {model = "ft:base:org::1"}, "GET", "/v1/models/ft:base:org::1", {id = "ft:base:org::1"}},
    {"delete_model", {model = "org/base"}, "DELETE", "/v1/models/org%2Fbase", {id = "org/base", deleted = true}},
    {"validate_grader", {grader = {type = "python"}}, "POST", "/v1/fine_tuning/alpha/graders/validate", {}},
    {"run_grader", {grader = {type = "python"}, model_sample = "x", item = {a = 1}}, "POST",
      "/v1/fine_tuning/alpha/graders/run", {reward = 0.5}},
  }

  for _, case in ipairs(cases) do
    local op, params, method, target, answer = table.unpack(case)
    it(("%s sends %s %s"):format(op, method, target), function()
      local p, requests = answering {json = answer}
      assert(p[op](p, params))
      assert.equal(1, #requests)
      assert.equal(method, requests[1].method)
      assert.equal("https://api.openai.com" .. target, requests[1].url)
      assert.equal("Bearer sk-test", requests[1].headers.authorization)
    end)
  end

  it("sends graders in the body, and no body where there is nothing to say", function()
    local p, requests = answering {json = {reward = 1}}
    assert(p:run_grader({type = "python"}, {model_sample = "x", item = {a = 1}, extra = {more = true}}))
    assert.same({grader = {type = "python"}, model_sample = "x", item = {a = 1}, more = true}, requests[1].json)
    p, requests = answering {json = JOB}
    assert(p:cancel_job "ftjob-1")
    assert.is_nil(requests[1].json)
  end)

  it("keeps ids inside their path segment", function()
    for id, segment in pairs {
      ["a/../b"] = "a%2F..%2Fb", ["a\0b"] = "a%00b", ["a\r\nX: y"] = "a%0D%0AX:%20y", ["?x#y"] = "%3Fx%23y",
      ["%2e%2e"] = "%252e%252e", ["\255ü"] = "%FF%C3%BC", ["..."] = "...",
    } do
      local p, requests = answering {json = JOB}
      assert(p:get_job(id))
      assert.equal("https://api.openai.com/v1/fine_tuning/jobs/" .. segment, requests[1].url)
    end
  end)

  it("refuses ids that would be another path", function()
    local p, requests = answering {json = JOB}
    for _, id in ipairs {".", ".."} do
      local value, err = p:get_job(id)
      assert.is_nil(value)
      assert.equal("invalid", err.kind)
      assert.equal("job_id", err.param)
    end
    assert.equal(0, #requests)
  end)

  it("repeats a cancel whose answer was lost, and passes an error on", function()
    local transport, log = testing.transport {
      {"POST /v1/fine_tuning/jobs/j/cancel", fail = "reset"},
      {"POST /v1/fine_tuning/jobs/j/cancel", json = job_with {id = "j", status = "cancelled"}},
      {"GET /v1/fine_tuning/jobs/j", status = 404, headers = {["x-request-id"] = "req_1"},
        json = {error = {message = "No such job", code = "job_not_found", param = "id"}}},
    }
    local p = provider(transport)
    assert.equal("cancelled", p:cancel_job("j").status)
    local _, err = p:get_job "j"
    assert.equal("not_found", err.kind)
    assert.equal(404, err.status)
    assert.equal("job_not_found", err.code)
    assert.equal("req_1", err.request_id)
    log.done()
  end)
end)

describe("openai configuration", function()
  it("sends organization and project as headers, unless the user set those", function()
    local p, requests = answering({json = JOB}, {organization = "org-1", project = "proj-1",
      headers = {["openai-ORGANIZATION"] = "mine", ["X-More"] = "1"}})
    assert(p:get_job "j")
    assert.equal("mine", requests[1].headers["openai-organization"])
    assert.equal("proj-1", requests[1].headers["openai-project"])
    assert.equal("1", requests[1].headers["x-more"])
  end)

  it("leaves the user's tables as they are", function()
    local headers = {}
    answering({json = JOB}, {organization = "org-1", headers = headers})
    assert.same({}, headers)
  end)

  for what, config in pairs {
    ["base_url without scheme"] = {base_url = "api.example.com/v1"}, ["base_url of a file"] = {base_url = "file:///x"},
    ["base_url without host"] = {base_url = "https:///v1"}, ["base_url with a newline"] = {base_url = "https://a\r\nb"},
    ["base_url with a query"] = {base_url = "https://a/v1?x=1"}, ["base_url with a blank"] = {base_url = "https://a b"},
    ["empty base_url"] = {base_url = "http://"}, ["organization with a newline"] = {organization = "a\r\nX: y"},
    ["empty project"] = {project = ""}, ["poll_interval of 0"] = {poll_interval = 0},
  } do
    it("refuses " .. what, function()
      config.api_key = "sk-test"
      local p, err = finetune.create_provider("openai", config)
      assert.is_nil(p)
      assert.equal("config", err.kind)
    end)
  end

  it("puts paths behind any base_url, with a prefix where the service wants one", function()
    local p, requests = answering({json = JOB}, {base_url = "http://localhost:8080/openai//",
      quirks = {path_prefix = "/deployments/x"}, query = {["api-version"] = "2024-10-21"}})
    assert(p:get_job "j")
    assert.equal("http://localhost:8080/openai/deployments/x/fine_tuning/jobs/j?api-version=2024-10-21",
      requests[1].url)
  end)

  it("says what it does not offer, and why", function()
    local p = provider(function() end)
    for _, op in ipairs {"delete_job", "deploy_model", "undeploy_model", "estimate_cost"} do
      local ok, reason = p:supports(op)
      assert.is_false(ok)
      assert.is_true(#reason > 20)
    end
    local _, err = p:delete_job "j"
    assert.equal("unsupported", err.kind)
  end)
end)

describe("openai as a dialect", function()
  teardown(function() finetune.unregister "spec-azure" end)

  it("is another service by facts alone", function()
    finetune.register {name = "spec-azure", base = "openai", base_url = "https://res.example/openai/v1",
      auth = {header = "api-key", prefix = ""}, query = {["api-version"] = "1"}, statuses = {created = "pending"},
      params = {create_job = "training_type:string"},
      quirks = {fields = {training_type = "trainingType"}, wait_for_files = false, suffix_limit = 40}}
    local requests = {}
    local p = assert(finetune.create_provider("spec-azure", {api_key = "az-key", transport = function(request)
      requests[#requests + 1] = request
      return {status = 201, json = job_with {status = request.method == "POST" and "created" or "validating_files"}}
    end}))
    local job = assert(p:create_job {model = "m", training_file = "f", training_type = "globalstandard"})
    assert.equal("pending", job.status)
    assert.equal("created", job.raw_status)
    assert.equal("https://res.example/openai/v1/fine_tuning/jobs?api-version=1", requests[1].url)
    assert.equal("az-key", requests[1].headers["api-key"])
    assert.is_nil(requests[1].headers.authorization)
    assert.equal("globalstandard", requests[1].json.trainingType)
    assert.equal("validating", p:get_job(job).status)
    local _, err = p:create_job {model = "m", training_file = "f", suffix = ("x"):rep(41)}
    assert.equal("suffix", err.param)
    assert.matches("1 to 40", err.message)
  end)
end)

describe("openai values", function()
  it("normalises a job", function()
    local p = answering {json = JOB}
    local job = assert(p:get_job "ftjob-1")
    assert.same(JOB, job.raw)
    job.raw = nil
    assert.same({
      id = "ftjob-1", status = "succeeded", raw_status = "succeeded", model = "base-model", suffix = "support",
      fine_tuned_model = "ft:base-model:org::1", created_at = 1790000000, finished_at = 1790000100,
      trained_tokens = 5000, training_file = "file-1", validation_file = "file-2", hyperparameters = {n_epochs = 3},
      method = JOB.method, seed = 7, metadata = {team = "a"}, result_files = {"file-3"},
    }, job)
    assert.equal("integer", math.type(job.created_at))
  end)

  it("translates statuses, by the configuration first, and passes unknown ones", function()
    local words = {validating_files = "validating", canceled = "cancelled", queued = "queued", exploding = "exploding"}
    for word, status in pairs(words) do
      local job = assert(answering({json = job_with {status = word}}):get_job "j")
      assert.equal(status, job.status)
      assert.equal(word, job.raw_status)
    end
    local p = answering({json = job_with {status = "exploding"}}, {statuses = {exploding = "failed"}})
    assert.equal("failed", p:get_job("j").status)
    p = answering({json = job_with {status = 5}})
    assert.equal("unknown", p:get_job("j").status)
  end)

  it("finds the hyperparameters of methods for which the service does not repeat them", function()
    local doc = job_with {method = {type = "dpo", dpo = {hyperparameters = {beta = 0.1}}}}
    doc.hyperparameters = nil
    assert.same({beta = 0.1}, answering({json = doc}):get_job("j").hyperparameters)
  end)

  it("has an error only where the service gave one", function()
    assert.is_nil(answering({json = job_with {error = {}}}):get_job("j").error)
    assert.same({message = "boom"}, answering({json = job_with {error = "boom"}}):get_job("j").error)
    local told = {code = "invalid_training_file", message = "bad", param = "training_file"}
    assert.same(told, answering({json = job_with {error = told}}):get_job("j").error)
  end)

  it("takes null for every field that may be null", function()
    local null = {}
    for key in pairs(JOB) do null[key] = finetune.null end
    null.id, null.integrations, null.estimated_finish = "ftjob-1", finetune.null, finetune.null
    local job = assert(answering({json = null}):get_job "ftjob-1")
    job.raw = nil
    assert.same({id = "ftjob-1", status = "unknown", result_files = {}}, job)
  end)

  it("normalises files, events, checkpoints, models", function()
    local file = {id = "f", object = "file", bytes = 12, created_at = 1, expires_at = 2, filename = "a.jsonl",
      purpose = "fine-tune", status = "processed"}
    local got = assert(answering({json = file}):get_file "f")
    assert.same(file, got.raw)
    got.raw, file.object = nil, nil
    assert.same(file, got)

    local event = {id = "e", object = "x", created_at = 1, level = "info", message = "m",
      type = "metrics", data = {step = 1}}
    got = assert(answering({json = {data = {event}, has_more = false}}):list_events "j").data[1]
    got.raw, event.object = nil, nil
    assert.same(event, got)

    got = assert(answering({json = {data = {{id = "c", created_at = 1, fine_tuned_model_checkpoint = "m:c",
      step_number = 88, metrics = {step = 88}, fine_tuning_job_id = "j"}}}}):list_checkpoints "j").data[1]
    got.raw = nil
    assert.same({id = "c", created_at = 1, model = "m:c", step = 88, metrics = {step = 88}, job_id = "j"}, got)

    local model = {id = "m", created = 1, owned_by = "o", shutdown_date = "2027-01-14"}
    got = assert(answering({json = model}):get_model "m")
    got.raw = nil
    assert.same({id = "m", created_at = 1, owned_by = "o", shutdown_date = "2027-01-14"}, got)
  end)

  it("answers deletions, also those without a body", function()
    assert.same({id = "f", deleted = true}, answering({status = 204}):delete_file "f")
    local got = assert(answering({json = {id = "m", deleted = true}}):delete_model "m")
    assert.is_true(got.deleted)
    assert.equal("m", got.id)
    local value, err = answering({json = {id = "m", deleted = false}}):delete_model "m"
    assert.is_nil(value)
    assert.equal("conflict", err.kind)
  end)

  it("answers what a grader found", function()
    local got = assert(answering({json = {reward = 0.5, sub_rewards = {a = 1}, metadata = {errors = {}}}})
      :run_grader({type = "python"}, {model_sample = "x"}))
    assert.equal(0.5, got.reward)
    assert.same({a = 1}, got.sub_rewards)
  end)
end)

describe("openai pages", function()
  local function page_of(answer) return assert(answering({json = answer}):list_jobs()) end

  it("go on from the last id", function()
    local page = page_of {data = {JOB, job_with {id = "ftjob-2"}}, has_more = true}
    assert.is_true(page.has_more)
    assert.equal("ftjob-2", page.next)
    assert.equal(2, #page.data)
  end)

  it("end where the service says no more", function()
    for _, answer in ipairs {
      {data = {}}, {object = "list"}, {has_more = false}, -- null data, Azure's empty list, vanishes
      {data = {JOB}}, {data = {JOB}, has_more = "yes"}, {data = {JOB}, has_more = false},
    } do
      local page = page_of(answer)
      assert.is_false(page.has_more)
      assert.is_nil(page.next)
    end
  end)

  it("are an error where the answer is no list, or has more and no place to go on from", function()
    for text, words in pairs {
      ['{"error":{"message":"quota exceeded"}}'] = "no data", ['{"message":"please log in"}'] = "no data",
      ['[{"id":"ftjob-1"}]'] = "no data", ['{"data":{"id":"x"}}'] = "not an array", ['{"data":5}'] = "not an array",
      ['{"data":[],"has_more":true}'] = "no id to go on", ['{"data":[5]}'] = "not a JSON object",
      ['{"data":[null]}'] = "not a JSON object", ['{"data":[{"id":7}]}'] = "no id", ['{"data":[{"id":""}]}'] = "no id",
      ['5'] = "not a JSON object",
    } do
      local page, err = answering({body = text}):list_jobs()
      assert.is_nil(page, text)
      assert.equal("decode", err.kind, text)
      assert.matches(words, err.message)
    end
  end)

  it("use last_id for items that have no ids", function()
    local p = answering {json = {data = {{message = "m"}}, has_more = true, last_id = "e9"}}
    assert.equal("e9", p:list_events("j").next)
  end)

  it("of models are cut here, because the service has none", function()
    local models = {}
    for i = 1, 5 do models[i] = {id = "m" .. i, created = i} end
    local p, requests = answering {json = {object = "list", data = models}}
    local page = assert(p:list_models {limit = 2})
    assert.same({"m1", "m2"}, {page.data[1].id, page.data[2].id})
    assert.is_true(page.has_more)
    page = assert(p:list_models {limit = 9, after = "m4"})
    assert.equal("m5", page.data[1].id)
    assert.is_false(page.has_more)
    assert.equal(0, #p:list_models({after = "gone"}).data)
    local all = {}
    for model in p:models {limit = 2} do all[#all + 1] = model.id end
    assert.same({"m1", "m2", "m3", "m4", "m5"}, all)
    assert.is_nil(requests[1].url:find("?", 1, true))
  end)
end)

describe("openai answers that no service should give", function()
  local garbage = {"x", 7, true, {}, {1, 2}, {id = 5}, {id = {}}, {data = "x"}, {data = 7}, {id = "", data = {}}}
  local single = {get_job = "j", cancel_job = "j", get_file = "f", get_model = "m"}
  local lists = {"list_jobs", "list_files", "list_models"}

  it("are decode errors where one object was asked for", function()
    for op, id in pairs(single) do
      for _, answer in ipairs(garbage) do
        local p = answering {json = answer}
        local value, err = p[op](p, id)
        assert.is_nil(value)
        assert.equal("decode", err.kind)
      end
    end
  end)

  it("are empty pages or decode errors where a list was asked for, and never raise", function()
    for _, op in ipairs(lists) do
      for _, answer in ipairs(garbage) do
        local p = answering {json = answer}
        local page, err = p[op](p)
        if page then assert.same({}, page.data) else assert.equal("decode", err.kind) end
      end
    end
  end)

  it("never raise whatever type each field has", function()
    for key in pairs(JOB) do
      for _, value in ipairs {"x", 7, 1.5, true, {}, {1}, {id = 5}, {type = 7}, {type = "dpo", dpo = 5}} do
        local p = answering {json = job_with {[key] = value}}
        local job, err = p:get_job "j"
        assert.is_true(job ~= nil or err.kind == "decode", key)
      end
    end
  end)
end)

describe("openai downloads", function()
  it("give the content", function()
    local p, requests = answering {body = "step,train_loss\n1,0.5\n"}
    assert.equal("step,train_loss\n1,0.5\n", p:download_file "file-3")
    assert.equal("/v1/files/file-3/content", path_of(requests[1]))
    assert.equal("", (answering {status = 200}):download_file "file-3")
  end)

  it("write a file", function()
    local name = os.tmpname()
    local p = answering {body = "content"}
    assert.same({path = name, bytes = 7}, p:download_file("file-3", {output = name}))
    local file <close> = assert(io.open(name))
    assert.equal("content", file:read "a")
    os.remove(name)
  end)
end)
