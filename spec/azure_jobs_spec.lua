-- providers/azure.lua: create_job's body, what is refused by whom, uploads, and what goes wrong on the wire.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"
local testing = require "finetune.testing"
local whole = require "spec.support.whole"

local KEY = "az-key-0123456789abcdef"
local DATED = "2024-10-21"

local s, other, path

lazy_setup(function()
  s = whole.watch(service.start {dialect = "azure", job_seconds = 0.2}, "azure",
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
  local settings = {base_url = s.url, api_key = s.key, retry_delay = 0.001, poll_interval = 0.02}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("azure", settings))
end

local function upload(p, params)
  params = params or {}
  params.path, params.filename = params.path or path, "train.jsonl"
  return p:upload_file(params)
end

-- create_job on a service that takes everything -> the body that was sent, or nil, err
local function body_of(params, config)
  local sent
  local settings = {api_key = KEY, base_url = "https://res.openai.azure.com", retry_delay = 0.001, poll_interval = 0.01}
  for name, value in pairs(config or {}) do settings[name] = value end
  settings.transport = testing.routes {
    ["POST /openai/v1/fine_tuning/jobs"] = function(request)
      sent = request.json
      return {json = {id = "ftjob-1", status = "pending"}}
    end,
    ["POST /openai/fine_tuning/jobs"] = function(request)
      sent = request.json
      return {status = 201, json = {id = "ftjob-1", status = "created"}}
    end,
  }
  params.model, params.training_file, params.wait_for_files = "m", "file-1", false
  local p <close> = assert(finetune.create_provider("azure", settings))
  local job, err = p:create_job(params)
  if not job then return nil, err end
  sent.metadata = nil
  return sent
end

describe("azure: create_job", function()
  it("puts the hyperparameters of supervised training flat, those of other methods inside", function()
    local flat = {model = "m", training_file = "file-1",
      hyperparameters = {n_epochs = 2, batch_size = 4, learning_rate_multiplier = 0.1, prompt_loss_weight = 0.01}}
    assert.same(flat, body_of {hyperparameters = flat.hyperparameters})
    assert.same(flat, body_of {method = {type = "supervised", supervised = {hyperparameters = flat.hyperparameters}}})
    assert.same({model = "m", training_file = "file-1"}, body_of {method = "supervised",
      hyperparameters = {n_epochs = "auto"}})
    assert.same({type = "dpo", dpo = {hyperparameters = {beta = 0.1, n_epochs = 2}}},
      body_of({method = "dpo", hyperparameters = {beta = 0.1, n_epochs = 2}}).method)
    local grader = {type = "string_check", name = "g"}
    assert.same({type = "reinforcement", reinforcement = {grader = grader}},
      body_of({method = "reinforcement", grader = grader}).method)
  end)

  it("passes training_type as it is, and lays extra over all, objects into objects", function()
    local body = body_of {training_type = "developerTier", hyperparameters = {n_epochs = 2},
      extra = {hyperparameters = {l2 = 1}, note = {1, 2}}}
    assert.equal("developerTier", body.trainingType)
    assert.same({n_epochs = 2, l2 = 1}, body.hyperparameters)
    assert.same({1, 2}, body.note)
    assert.has_error(function() body_of {training_type = 1} end)
  end)

  for _, c in ipairs {
    {"learning_rate", {hyperparameters = {learning_rate = 1e-5}}, "absolute rate"},
    {"an unknown hyperparameter", {hyperparameters = {lora_rank = 8}}, "`extra`"},
    {"too many epochs", {hyperparameters = {n_epochs = 51}}, "1 to 50"},
    {"a long suffix", {suffix = ("x"):rep(41)}, "1 to 40 characters"},
    {"a blank in a suffix", {suffix = "a b"}, "only letters, digits"},
    {"a letter of Latin-1 in a suffix", {suffix = "\u{e4}"}, "only letters, digits"},
    {"an empty suffix", {suffix = ""}, "1 to 40 characters"},
    {"metadata on the dated API", {metadata = {a = "b"}}, "not kept", {api_version = DATED}},
    {"a token on the dated API", {token = "t"}, "needs metadata", {api_version = DATED}},
  } do
    it("refuses " .. c[1], function()
      local body, err = body_of(c[2], c[4])
      assert.is_nil(body)
      assert.equal("invalid", err.kind)
      assert.matches(c[3], err.message)
    end)
  end

  it("never asks for jobs by metadata, which Azure would ignore", function()
    for _, version in ipairs {"v1", DATED} do
      local p <close> = provider {api_version = version}
      local _, err = p:list_jobs {metadata = {team = "a"}}
      assert.equal("invalid", err.kind)
    end
    assert.equal(0, #s:requests())
  end)

  it("tells a lost answer: the v1 API knows the token, the dated one has candidates", function()
    for _, version in ipairs {"v1", DATED} do
      s:reset()
      local p <close> = provider {api_version = version}
      local file = assert(upload(p))
      s:fault {kind = "reset", method = "POST", path = "/jobs$", apply = true}
      local job, err = p:create_job {model = s.model, training_file = file}
      if version == "v1" then
        assert.truthy(assert(job, err).metadata.finetune_token)
      else
        assert.equal("conflict", err.kind)
        assert.equal(1, #err.candidates)
        assert.is_nil(err.token)
      end
      assert.equal(1, #assert(p:list_jobs()).data)
    end
  end)
end)

describe("azure: what the service says", function()
  local function refused(params, config)
    local p <close> = provider(config)
    local file = assert(upload(p))
    params.model, params.training_file = params.model or s.model, file
    return live.failed(p:create_job(params))
  end

  it("of a model that wants a training type reaches the user", function()
    local err = refused {model = "global-chat-1"}
    assert.equal("invalid", err.kind)
    assert.equal("invalidPayload", err.code)
    assert.matches("does not support fine%-tuning", err.message)
    assert.equal("invalid", refused({training_type = "cheap"}).kind)
    assert.equal("invalid", refused({model = "nobody"}).kind)
  end)

  it("of a file that is not ready, or never will be", function()
    s:set {file_seconds = 5}
    local err = refused {wait_for_files = false}
    assert.equal("conflict", err.kind)
    assert.equal("unexpectedEntityState", err.code)
    assert.equal(400, err.status)
    s:set {file_seconds = 0.1, file_fate = "error"}
    err = refused {}
    assert.equal("data", err.kind)
    assert.matches("not valid JSONL", err.message)
    assert.equal(0, #s:requests({method = "POST", path = "/jobs$", site = "nowhere"}))
  end)

  local KINDS = {conflict = "conflict", invalidPayload = "invalid", forbidden = "permission", notFound = "not_found",
    unexpectedEntityState = "conflict", itemDoesAlreadyExist = "conflict", serviceUnavailable = "server",
    internalFailure = "server", quotaExceeded = "quota", jsonlValidationFailed = "data", fileImportFailed = "data",
    tooManyRequests = "rate_limit", unauthorized = "auth", contentFilter = "invalid"}

  for code, kind in pairs(KINDS) do
    it("with the code " .. code, function()
      local p <close> = provider {max_retries = 0}
      s:fault {kind = "status", status = 400, body = {error = {code = code, message = "words", target = "model",
        details = {{code = "x", message = "inner"}}, innererror = {code = "invalidPayload"}}}}
      local err = live.failed(p:get_job "j")
      assert.equal(kind, err.kind)
      assert.equal(code, err.code)
      assert.matches("words", err.message)
      assert.equal(400, err.status)
    end)
  end

  it("of a job's state, in both vocabularies", function()
    local p <close> = provider()
    for word, ours in pairs {created = "pending", pending = "pending", queued = "queued", running = "running",
      paused = "paused", succeeded = "succeeded", failed = "failed", cancelled = "cancelled",
      validating_files = "validating", brand_new = "brand_new"} do
      s:fault {kind = "status", status = 200, body = {id = "j", status = word, result_files = {}}}
      local job = assert(p:get_job "j")
      assert.equal(ours, job.status)
      assert.equal(word, job.raw_status)
    end
  end)

  it("of a job that failed", function()
    s:set {fail = {code = "jsonlValidationFailed", message = "line 3 is bad"}}
    local p <close> = provider {api_version = DATED}
    local job = assert(p:create_job {model = s.model, training_file = assert(upload(p))})
    local done, err, last = p:wait(job, {interval = 0.02})
    assert.is_nil(done)
    assert.equal("job", err.kind)
    assert.matches("line 3 is bad", err.message)
    assert.equal("failed", last.status)
    local _, refusal = p:delete_job "ftjob-nobody"
    assert.equal("not_found", refusal.kind)
  end)
end)

describe("azure: an upload", function()
  it("above 100 MB goes in parts", function()
    local requests = {}
    local p <close> = assert(finetune.create_provider("azure", {api_key = KEY, base_url = "https://r.openai.azure.com",
      transport = function(request)
        requests[#requests + 1] = request
        return {json = {id = "upload_1", file = {id = "file-1", filename = "x", bytes = 1}}}
      end}))
    assert.equal("file-1", assert(upload(p, {path = live.sparse(100000001)})).id)
    assert.same({"/openai/v1/uploads", "/openai/v1/uploads/upload_1/parts", "/openai/v1/uploads/upload_1/parts",
      "/openai/v1/uploads/upload_1/complete"}, {testing.split(requests[1].url), (testing.split(requests[2].url)),
      (testing.split(requests[3].url)), (testing.split(requests[4].url))})
    assert.same({filename = "train.jsonl", purpose = "fine-tune", bytes = 100000001, mime_type = "text/jsonl"},
      requests[1].json)
    requests = {}
    assert(upload(p, {path = live.sparse(100000000)}))
    assert.equal("/openai/v1/files", (testing.split(requests[1].url)))
    local _, err = upload(p, {path = live.sparse((9 << 30) + 1)})
    assert.equal("data", err.kind)
  end)

  it("in parts makes the same file, with Azure's type in each", function()
    local p <close> = provider()
    local file = assert(upload(p, {part_size = 400}))
    assert.equal(live.sha256(path), s:sha256(file.id))
    for _, request in ipairs(s:requests({path = "/parts$"})) do
      assert.equal("application/json", request.parts[1].type)
    end
  end)

  it("that fails in a part is cancelled, and the error is the part's", function()
    local p <close> = provider()
    s:fault {kind = "status", status = 400, path = "/parts$", message = "no", code = "invalidPayload"}
    local err = live.failed(upload(p, {part_size = 400}))
    assert.equal("invalidPayload", err.code)
    assert.matches("/cancel$", s:requests()[#s:requests()].path)
    for _, doc in pairs(s:state().uploads) do assert.equal("cancelled", doc.status) end
  end)

  -- step -> where it stalls; the call is given up there
  for step, at in pairs {file = "/files$", create = "/uploads$", part = "/parts$", complete = "/complete$",
    poll = "/files/file%-"} do
    it("can be given up at its step " .. step, function()
      s:set {file_seconds = 5}
      local p <close> = provider()
      s:fault {kind = "stall", path = at}
      local call = p:async("upload_file", {path = path, filename = "train.jsonl", wait = true,
        part_size = (step ~= "file" and step ~= "poll") and 400 or nil})
      live.until_true(function() return #s:requests({path = at}) > 0 end)
      assert.is_true(call:cancel())
      local _, err = call:result()
      assert.equal("cancelled", err.kind)
      if step == "part" or step == "complete" then -- the upload is known: it is told, detached from the call
        live.until_true(function() return #s:requests({path = "/cancel$"}) == 1 end)
      end
    end)
  end

  it("sends nothing but its requests: no redirect takes the key elsewhere", function()
    local p <close> = provider()
    for _, status in ipairs {302, 307} do
      s:fault {kind = "redirect", status = status, method = "POST", path = "/files$", location = other.url .. "/files"}
      local err = live.failed(upload(p))
      assert.equal("transport", err.kind)
      assert.is_nil(tostring(err):find(s.key, 1, true))
    end
    assert.equal(0, #other:requests())
    s:fault {kind = "redirect", status = 307, method = "GET", path = "/files$", location = other.url .. "/files"}
    p:list_files()
    assert.equal(1, #other:requests())
    local seen = other:requests()[1].header
    assert.is_nil(seen["api-key"])
    assert.is_nil(seen.authorization)
    assert.equal(3, #s:requests({path = "/files$"}))
  end)
end)

describe("azure: a fault", function()
  local STEPS = {
    upload = {"/files$", "POST", function(p) return upload(p) end},
    poll = {"/files/", "GET", function(p, file) return p:create_job {model = s.model, training_file = file} end},
    create = {"/jobs$", "POST", function(p, file) return p:create_job {model = s.model, training_file = file} end},
    look = {"/jobs/", "GET", function(p, _, job) return p:get_job(job) end},
    cancel = {"/cancel$", "POST", function(p, _, job) return p:cancel_job(job) end},
    delete = {"/jobs/", "DELETE", function(p, _, job) return p:delete_job(job) end},
  }
  local FAULTS = { -- fault -> the kinds that may come of it; create_job may also say conflict
    status = {{kind = "status", status = 500}, server = true},
    reset = {{kind = "reset"}, transport = true},
    stall = {{kind = "stall"}, timeout = true, transport = true},
    truncate = {{kind = "truncate"}, decode = true},
    html = {{kind = "html"}, decode = true},
    nothing = {{kind = "empty", status = 200}, decode = true},
  }

  for step, what in pairs(STEPS) do
    for name, fault in pairs(FAULTS) do
      it(("'%s' at the step %s ends in an error of its kind"):format(name, step), function()
        local p <close> = provider {api_version = DATED, max_retries = 1, headers = {Connection = "close"}}
        local hasty <close> = provider {api_version = DATED, max_retries = 0, timeout = 0.3,
          headers = {Connection = "close"}}
        s:set {job_seconds = 60}
        local file = assert(upload(p))
        local job = assert(p:create_job {model = s.model, training_file = file})
        if step == "delete" then s:jump(job.id, 1) end
        if step == "delete" and name == "truncate" then return end -- a 204 has nothing to cut
        local laid = {path = what[1], method = what[2], times = "always"}
        for key, value in pairs(fault[1]) do laid[key] = value end
        s:fault(laid)
        local value, err = what[3](name == "stall" and hasty or p, file, job)
        if step == "delete" and value then return assert.is_true(value.deleted) end -- its answer may be anything
        live.failed(value, err)
        local fits = fault[err.kind] or (step == "create" and err.kind == "conflict")
        assert.truthy(fits, err.kind .. ": " .. tostring(err))
        assert.is_nil(tostring(err):find(s.key, 1, true))
        assert.equal("azure", err.provider)
        if step == "create" then assert.equal(2, #s:requests({method = "POST", path = "/jobs$"})) end
      end)
    end
  end
end)
