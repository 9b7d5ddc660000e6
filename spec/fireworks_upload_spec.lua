-- providers/fireworks.lua: datasets. The three steps in both ways, the count of examples, what is refused, each step
-- with each fault, cancelled in each step, whom the key is shown to; downloads; errors.

local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local testing = require "finetune.testing"
local whole = require "spec.support.whole"

local A = "/v1/accounts/acme/"
local NAME = {filename = "t.jsonl"}

local s

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, account = "acme", retry_delay = 0.001, poll_interval = 0.01}
  for name, value in pairs(config or {}) do settings[name] = value end
  return assert(finetune.create_provider("fireworks", settings))
end

-- One that sends every file by way of the storage
local function by_storage(config)
  local settings = {form_limit = 1}
  for name, value in pairs(config or {}) do settings[name] = value end
  return provider(settings)
end

setup(function() s = whole.watch(service.start {dialect = "fireworks"}, "fireworks") end)

teardown(function() s:stop() end)

before_each(function() s:reset() end)

after_each(live.clean)
after_each(function() s:check() end)

local function lines()
  local out = {}
  for i, request in ipairs(s:requests()) do
    out[i] = request.method .. " " .. request.path:gsub("(datasets/t%-)%x+", "%1ID")
  end
  return out
end

local function datasets()
  local ids = {}
  for id in pairs(s:state().files) do ids[#ids + 1] = id end
  return ids
end

local function secret_free(err)
  assert.not_matches(s.first_key, json.encode {err.message, tostring(err)}, 1, true)
end

describe("a dataset of fireworks", function()
  it("is made, and sent in one form", function()
    local p <close> = provider()
    local path = live.file(live.lines(30000)) -- 2.4 MB
    local told
    local file = assert(p:upload_file(path, {filename = "My Data (v2).jsonl", format = "chat",
      extra = {sourceJobName = "j"}, on_progress = function(done, total) told = {done, total} end}))
    local id = file.id:match "^accounts/acme/datasets/(my%-data%-v2%-%x+)$"
    assert.same({"uploading", "My Data (v2).jsonl", #live.read(path), "fine-tune"}, {file.status, file.filename,
      file.bytes, file.purpose})
    local create, upload = table.unpack(s:requests())
    assert.same({"POST", A .. "datasets", "Bearer " .. s.key, "application/json"}, {create.method, create.target,
      create.header.authorization, create.header["content-type"]})
    assert.same({datasetId = id, dataset = {displayName = "My Data (v2).jsonl", exampleCount = "30000",
      userUploaded = {}, format = "CHAT", sourceJobName = "j"}}, json.decode(create.body))
    assert.same({"POST", A .. "datasets/" .. id .. ":upload", "Bearer " .. s.key}, {upload.method, upload.target,
      upload.header.authorization})
    assert.same({{name = "file", filename = "My Data (v2).jsonl", type = "application/jsonl", length = file.bytes,
      sha256 = live.sha256(path)}}, upload.parts)
    assert.equal(2, #s:requests())
    assert.equal(told[2], told[1])
    assert.equal("processed", assert(p:get_file(file)).status)
  end)

  it("goes to the storage where it is large, without the key", function()
    local p <close> = by_storage()
    local path = live.file(live.lines(30000))
    local size = #live.read(path)
    local file = assert(p:upload_file(path, {filename = "t é.jsonl", wait = true}))
    assert.equal("processed", file.status)
    local create, endpoint, put, validate, get = table.unpack(s:requests())
    local id = json.decode(create.body).datasetId
    assert.same({"POST", A .. "datasets/" .. id .. ":getUploadEndpoint"}, {endpoint.method, endpoint.target})
    assert.same({filenameToSize = {["t é.jsonl"] = tostring(size)}}, json.decode(endpoint.body))
    assert.same({"PUT", "storage", "/accounts/acme/datasets/" .. id .. "/t%20%C3%A9.jsonl", live.sha256(path)},
      {put.method, put.site, put.path, put.sha256})
    assert.is_nil(put.header.authorization)
    assert.same({"application/octet-stream", size .. "," .. size, tostring(size)}, {put.header["content-type"],
      put.header["x-goog-content-length-range"], put.header["content-length"]})
    assert.same({"POST", A .. "datasets/" .. id .. ":validateUpload", "{}"}, {validate.method, validate.target,
      validate.body})
    assert.same({"GET", A .. "datasets/" .. id}, {get.method, get.target})
    assert.equal(5, #s:requests())
    assert.not_matches(s.key, json.encode(put.headers), 1, true)
  end)

  it("is waited for at the storage, and sends no more than was signed", function()
    local p <close> = by_storage()
    s:set {landing_seconds = 0.05, signed_range = false}
    assert(p:upload_file(live.file(live.lines(3)), NAME))
    assert.is_true(#s:requests {path = ":validateUpload$"} > 1)
    assert.is_nil(s:requests({method = "PUT"})[1].header["x-goog-content-length-range"])
  end)

  it("counts its examples, and lets others run meanwhile", function()
    local p <close> = provider()
    local block = 1 << 20
    local CASES = {["{}\n{}\n"] = 2, ["{}\n{}"] = 2, ["{}"] = 1, ["\n\r\n{}\r\n\n\r\n{}\r\n"] = 2, ["\n"] = 0,
      [("x"):rep(block) .. "\n"] = 1, [("x"):rep(block - 1) .. "\n\n{}"] = 2, [("x"):rep(block * 3)] = 1,
      [("{}\n"):rep(block)] = block}
    for text, n in pairs(CASES) do
      s:clear()
      assert(p:upload_file(live.file(text), NAME))
      assert.equal(tostring(n), json.decode(s:requests()[1].body).dataset.exampleCount)
    end
    local call = p:async("upload_file", live.file(("{}\n"):rep(8 * block)), NAME)
    local steps = 0
    live.until_true(function()
      steps = steps + 1
      return #s:requests {path = "datasets$"} > 1 or call:done()
    end, 10)
    assert.is_true(steps > 8, steps)
    call:cancel()
  end)

  it("may have an id of the caller's, which must be new", function()
    local p <close> = provider()
    local path = live.file(live.lines(3))
    local file = assert(p:upload_file(path, {dataset_id = "mine-2"}))
    assert.equal("accounts/acme/datasets/mine-2", file.id)
    local err = live.failed(p:upload_file(path, {dataset_id = "mine-2"}))
    assert.same({"conflict", 6}, {err.kind, err.code})
    assert(p:get_file(file)) -- it was not ours to delete
    assert.matches("^accounts/acme/datasets/d%-2026%-%x+$", assert(p:upload_file(path, {filename = "2026.jsonl"})).id)
    assert.matches("^accounts/acme/datasets/d%-%x+$", assert(p:upload_file(path, {filename = "数据.jsonl"})).id)
  end)

  it("refuses what it cannot do before anything is sent", function()
    local p <close> = provider()
    local path = live.file(live.lines(3))
    for words, params in pairs {
      ["purpose must be one of: fine-tune"] = {purpose = "batch"}, ["part_size is not known"] = {part_size = 5},
      ["expires_after is not known"] = {expires_after = {seconds = 1}},
      ["format must be one of: chat"] = {format = "parquet"},
      ["dataset_id must be"] = {dataset_id = "2x"},
    } do
      local err = live.failed(p:upload_file(path, params))
      assert.same({"invalid", (next(params))}, {err.kind, err.param})
      assert.matches(words, err.message, 1, true)
    end
    for _, wrong in ipairs {"/nonexistent/x", "/tmp", live.file "", "a\0b"} do
      assert.equal("data", live.failed(p:upload_file(wrong)).kind)
    end
    assert.equal(0, #s:requests())
  end)

  it("that cannot be used is told with the service's reason", function()
    local p <close> = provider()
    s:set {file_fate = "error"}
    local err = live.failed(p:upload_file(live.file(live.lines(3)), {filename = "t.jsonl", wait = true}))
    assert.equal("data", err.kind)
    assert.matches("line 1 of the dataset is not valid JSON", err.message, 1, true)
    assert.equal("error", err.file.status)
  end)

  it("is listed, looked at, downloaded and deleted", function()
    local p <close> = provider()
    local ids = s:seed({files = 3}).files
    local page = assert(p:list_files {limit = 2, purpose = "fine-tune", filter = "f"})
    assert.same({ids[1], ids[2]}, {page.data[1].id, page.data[2].id})
    assert.same({ids[3]}, {assert(p:list_files {after = page.next, order_by = "name"}).data[1].id})
    assert.same({A .. "datasets?filter=f&pageSize=2", A .. "datasets?orderBy=name&pageToken=page-3"},
      {s:requests()[1].target, s:requests()[2].target})
    assert.equal("invalid", live.failed(p:list_files {order = "asc"}).kind)
    s:clear()
    local text, path = assert(p:download_file(ids[1])), live.path()
    assert.same({path = path, bytes = #text}, assert(p:download_file(ids[1], {output = path})))
    assert.equal(text, live.read(path))
    assert.equal("GET " .. A .. "datasets/seed-1:getDownloadEndpoint", lines()[1])
    for _, request in ipairs(s:requests {site = "storage"}) do assert.is_nil(request.header.authorization) end
    assert.is_true(assert(p:delete_file(ids[1])).deleted)
    assert.equal("not_found", live.failed(p:get_file(ids[1])).kind)
  end)
end)

-- ---- faults ----

-- step -> the path of its request, and whether the file goes by way of the storage
local STEPS = {create = {"datasets$"}, form = {":upload$"}, endpoint = {":getUploadEndpoint$", true},
  put = {"t%.jsonl$", true}, validate = {":validateUpload$", true}}
local FAULTS = {
  ["500"] = {kind = "status", times = "always"}, ["403"] = {kind = "status", status = 403, code = 7, times = "always"},
  reset = {kind = "reset", times = "always"}, late_reset = {kind = "reset", apply = true, times = "always"},
  stall = {kind = "stall", times = "always"}, html = {kind = "html", times = "always"},
  truncated = {kind = "truncate", bytes = 1, times = "always"},
  upload_reset = {kind = "reset", at = "upload", bytes = 1, times = "always"},
}
local KIND = {["500"] = "server", ["403"] = "permission", reset = "transport", late_reset = "transport",
  stall = "timeout", html = "decode", truncated = "decode", upload_reset = "transport"}
local ELSEWHERE = {form = {stall = true}, -- of files: below, they take libcurl some seconds
  put = {stall = true, html = true, truncated = true}} -- and the storage's answer has nothing to say

describe("a dataset of fireworks is not left behind", function()
  for step, where in pairs(STEPS) do
    for name, fault in pairs(FAULTS) do
      if not (ELSEWHERE[step] or {})[name] then
        it(("where the step %s meets %s"):format(step, name), function()
          local config = {max_retries = 1, timeout = name == "stall" and 0.5 or nil, form_limit = where[2] and 1 or nil}
          local p <close> = provider(config)
          local copy = {path = where[1]}
          for key, value in pairs(fault) do copy[key] = value end
          s:fault(copy)
          local err = live.failed(p:upload_file(live.file(live.lines(20)), NAME))
          assert.equal(KIND[name], err.kind)
          secret_free(err)
          assert.same({}, datasets())
          for _, request in ipairs(s:requests {site = "storage"}) do assert.is_nil(request.header.authorization) end
        end)
      end
    end
  end

  it("where the file itself stalls", function()
    local calls, providers = {}, {provider {max_retries = 0}, by_storage {max_retries = 0}}
    for i, step in ipairs {"form", "put"} do
      s:fault {kind = "stall", at = "upload", bytes = 100, path = STEPS[step][1], times = "always"}
      calls[i] = providers[i]:async("upload_file", live.file(live.lines(20)), {filename = "t.jsonl", timeout = 1})
    end
    for i, call in ipairs(calls) do
      assert.equal("timeout", live.failed(call:await()).kind)
      providers[i]:close()
    end
    assert.same({}, datasets())
  end)

  for step, where in pairs(STEPS) do
    it("where it is cancelled in the step " .. step, function()
      local p <close> = provider {form_limit = where[2] and 1 or nil}
      s:fault {kind = "stall", path = where[1], apply = true}
      local call = p:async("upload_file", live.file(live.lines(20)), NAME)
      live.until_true(function() return #s:requests {path = where[1]} == 1 end)
      assert.is_true(call:cancel())
      assert.equal("cancelled", live.failed(call:result()).kind)
      live.until_true(function() return #s:requests {method = "DELETE"} == 1 and #datasets() == 0 end)
    end)
  end

  it("but stays where only the wait for it is given up", function()
    local p <close> = provider()
    s:set {file_seconds = 60}
    local call = p:async("upload_file", live.file(live.lines(3)), {wait = true})
    live.until_true(function() return #s:requests {method = "GET"} > 0 end)
    call:cancel()
    local err = live.failed(p:upload_file(live.file(live.lines(3)), {wait = true, wait_timeout = 0.05}))
    assert.equal("timeout", err.kind)
    assert.equal(2, #datasets())
  end)
end)

describe("a dataset of fireworks is made all the same", function()
  for step, where in pairs(STEPS) do
    it("where the answer of the step " .. step .. " is lost once", function()
      local p <close> = provider {form_limit = where[2] and 1 or nil}
      s:fault {kind = "status", status = 503, path = where[1]}
      if step == "create" then s:fault {kind = "reset", path = where[1], apply = true} end
      assert(p:upload_file(live.file(live.lines(3)), {filename = "t.jsonl", wait = true}))
      assert.equal(1, #datasets())
    end)
  end

  it("but not where another conflict is told", function()
    local p <close> = provider {max_retries = 0}
    s:fault {kind = "status", status = 409, code = 10, message = "try the whole thing again", path = "datasets$"}
    local err = live.failed(p:upload_file(live.file(live.lines(3)), NAME))
    assert.equal("conflict", err.kind)
    assert.matches("try the whole thing again", err.message)
  end)
end)

describe("signed addresses of fireworks", function()
  local function scripted(urls)
    local doc = {name = "accounts/acme/datasets/d", state = "UPLOADING"}
    local transport, log = testing.routes {
      ["POST /v1/accounts/acme/datasets"] = function() return {json = doc} end,
      ["POST /v1/accounts/acme/datasets/{id}"] = function() return {json = {filenameToSignedUrls = urls}} end,
      ["GET /v1/accounts/acme/datasets/{id}"] = function() return {json = {filenameToSignedUrls = urls}} end,
      ["DELETE /v1/accounts/acme/datasets/{id}"] = function() return {json = {}} end,
      ["GET /x"] = function() return {body = "x"} end, ["GET /y"] = function() return {body = "y"} end,
    }
    return by_storage {transport = transport, base_url = "https://api.fireworks.ai"}, log.requests
  end

  it("must be addresses, and not less safe than the service", function()
    for _, urls in ipairs {{["t.jsonl"] = "http://storage.example/x"}, {["t.jsonl"] = "file:///etc/passwd"},
      {["t.jsonl"] = 5}, {a = "https://s.example/a", b = "https://s.example/b"}, {}, "x"} do
      local p <close>, requests = scripted(urls)
      local err = live.failed(p:upload_file(live.file(live.lines(3)), NAME))
      assert.equal("decode", err.kind)
      assert.same({"POST", "POST", "DELETE"}, {requests[1].method, requests[2].method, requests[3].method})
      assert.equal(3, #requests)
    end
  end)

  it("are chosen by name where there are several", function()
    local p <close>, requests = scripted {x = "https://s.example/x?sig=1", y = "https://s.example/y?sig=2"}
    assert.equal("y", assert(p:download_file("d", {filename = "y"})))
    assert.is_nil(requests[#requests].headers.authorization)
    assert.equal("decode", live.failed(p:download_file "d").kind)
  end)

  it("are not left for another host", function()
    local p <close> = by_storage {max_retries = 0}
    local other <close> = service.start()
    s:fault {kind = "redirect", path = "t%.jsonl$", location = other.url .. "/files"}
    assert.equal("transport", live.failed(p:upload_file(live.file(live.lines(3)), NAME)).kind)
    assert.equal(0, #other:requests())
    assert.same({}, datasets())
  end)
end)

describe("answers of fireworks", function()
  -- gRPC's code, the HTTP status that goes with it (google.rpc.Code), our kind
  local CODES = {{3, 400, "invalid"}, {4, 504, "timeout"}, {5, 404, "not_found"}, {6, 409, "conflict"},
    {7, 403, "permission"}, {8, 429, "rate_limit"}, {9, 400, "invalid"}, {10, 409, "conflict"}, {11, 400, "invalid"},
    {12, 501, "unsupported"}, {13, 500, "server"}, {14, 503, "server"}, {16, 401, "auth"}}

  it("that are errors reach the user, each as its own kind", function()
    local p <close> = provider {max_retries = 0}
    for _, case in ipairs(CODES) do
      s:fault {kind = "status", status = case[2], code = case[1], message = "their words"}
      local err = live.failed(p:get_job "job-1")
      assert.same({case[1], case[3], case[2]}, {err.code, err.kind, err.status})
      assert.matches("their words", err.message)
    end
  end)

  it("that refuse a creation are not taken for a lost answer", function()
    local p <close> = provider()
    s:set {refuse = {status = 403, code = 7, message = "account is suspended"}}
    local file = s:seed({files = 1}).files[1]
    local err = live.failed(p:create_job {model = "tiny-chat-1", training_file = file})
    assert.same({"permission", 7}, {err.kind, err.code})
    assert.matches("account is suspended", err.message)
  end)

  it("are read with care", function()
    local doc = {name = "accounts/acme/supervisedFineTuningJobs/job-1",
      state = {}, createTime = 5.5, completedTime = "soon", dataset = {},
      epochs = "2", baseModel = false, trainingConfig = "x", jobProgress = {percent = "250", inputTokens = "12"},
      status = {code = "OK", message = "fine"}, outputModel = {}, displayName = ""}
    local answer, route = doc, "GET " .. A .. "supervisedFineTuningJobs/{id}"
    local p <close> = provider {transport = testing.routes {[route] = function() return {json = answer} end}}
    local job = assert(p:get_job "job-1")
    assert.same({"unknown", 5, 1, 12, {}}, {job.status, job.created_at, job.progress, job.trained_tokens,
      job.hyperparameters})
    for _, field in ipairs {"model", "training_file", "finished_at", "suffix", "error", "fine_tuned_model"} do
      assert.is_nil(job[field], field)
    end
    doc.state, doc.status = "JOB_STATE_FAILED", {message = "no GPU"}
    assert.same({message = "no GPU"}, assert(p:get_job "job-1").error)
    doc.state = "JOB_STATE_EARLY_STOPPED"
    assert.equal("accounts/acme/models/job-1", assert(p:get_job "job-1").fine_tuned_model)
    for _, wrong in ipairs {{}, {name = 5}, {name = "accounts/acme/models/m"}, {name = "job-1"}} do
      answer = wrong
      assert.equal("decode", live.failed(p:get_job "job-1").kind)
    end
  end)

  it("never lead to deleting something of another kind", function()
    local model = "accounts/acme/models/m"
    local transport, log = testing.routes {
      ["GET /v1/accounts/acme/models/{id}"] = function()
        return {json = {name = model, deployedModelRefs = {{name = model}, {name = "accounts/../x/y"}, {}, 5}}}
      end,
      ["GET /v1/accounts/acme/deployments"] = function()
        return {json = {deployments = {{name = "accounts/acme/datasets/d", baseModel = model}}}}
      end,
    }
    local p <close> = provider {transport = transport}
    assert.equal("not_found", live.failed(p:undeploy_model(model)).kind)
    for _, request in ipairs(log.requests) do assert.equal("GET", request.method) end
  end)
end)
