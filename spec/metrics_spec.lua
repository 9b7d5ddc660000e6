-- list_metrics put together from what a service has: results file, events, checkpoints.

local finetune = require "finetune"
local metrics = require "finetune.metrics"

local serve, provider

local function register(lacks)
  local P = {name = "metered"}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = function() return {id = op} end
  end
  for _, op in ipairs {"get_job", "list_events", "list_checkpoints", "download_file"} do
    P[op] = function(_, p) return serve[op](p) end
  end
  for _, op in ipairs(lacks or {}) do P[op] = finetune.unsupported("this service has no " .. op) end
  finetune.register(P, {replace = true})
  if provider then provider:close() end
  provider = assert(finetune.create_provider "metered")
end

local CSV = "step,train_loss,train_mean_token_accuracy,valid_loss,valid_mean_token_accuracy\n"
  .. "1,1.5,0.5,,\n2,1.25,0.6,1.4,0.55\n"

before_each(function()
  serve = {
    get_job = function(p) return {id = p.job_id, status = "succeeded", result_files = {"file-r"}} end,
    download_file = function() return CSV end,
    list_events = function() return {data = {}, has_more = false} end,
    list_checkpoints = function() return {data = {}, has_more = false} end,
  }
  register()
end)

after_each(function()
  provider:close()
  provider = nil
  finetune.unregister "metered"
end)

local function rows() return assert(provider:list_metrics "j").data end

describe("list_metrics", function()
  it("reads the results file under the common names", function()
    local page = assert(provider:list_metrics "j")
    assert.is_false(page.has_more)
    assert.same({{step = 1, train_loss = 1.5, train_accuracy = 0.5},
      {step = 2, train_loss = 1.25, train_accuracy = 0.6, valid_loss = 1.4, valid_accuracy = 0.55}}, page.data)
    assert.equal("integer", math.type(page.data[1].step))
  end)

  it("takes the job itself", function()
    assert.equal(2, #assert(provider:list_metrics {id = "j"}).data)
  end)

  it("adds events and checkpoints, a row a step, the file's numbers first", function()
    serve.list_events = function()
      return {data = {
        {id = "1", type = "metrics", data = {step = 3, train_loss = 1.0, learning_rate = 0.1}},
        {id = "2", type = "metrics", data = {step = 2, train_loss = 9, epoch = 1}},
        {id = "3", type = "message", message = "hello", data = {step = 9, train_loss = 1}},
        {id = "4", type = "metrics", message = "no data"},
      }, has_more = false}
    end
    serve.list_checkpoints = function()
      return {data = {{id = "c", step = 3, metrics = {full_valid_loss = 0.9, full_valid_mean_token_accuracy = 0.8}}},
        has_more = false}
    end
    local list = rows()
    assert.equal(3, #list)
    assert.same({step = 2, train_loss = 1.25, train_accuracy = 0.6, valid_loss = 1.4, valid_accuracy = 0.55,
      epoch = 1}, list[2])
    assert.same({step = 3, train_loss = 1.0, learning_rate = 0.1, full_valid_loss = 0.9,
      full_valid_accuracy = 0.8}, list[3])
  end)

  it("goes through all pages of the events", function()
    serve.list_events = function(p)
      local n = tonumber(p.after) or 10
      return {data = {{id = "e" .. n, type = "metrics", data = {step = n, train_loss = n}}}, has_more = n > 8,
        next = n > 8 and tostring(n - 1) or nil}
    end
    assert.equal(5, #rows())
  end)

  it("uses what the service has", function()
    register {"download_file", "list_events", "list_checkpoints"}
    assert.same({}, rows())
    register {"download_file", "list_checkpoints"}
    serve.list_events = function()
      return {data = {{id = "1", type = "metrics", data = {step = 1, train_loss = 2}}}, has_more = false}
    end
    assert.same({{step = 1, train_loss = 2}}, rows())
  end)

  it("does without a results file that is gone, or not there yet", function()
    serve.download_file = function() return nil, {kind = "not_found", message = "gone"} end
    assert.same({}, rows())
    serve.get_job = function(p) return {id = p.job_id, status = "running"} end
    serve.download_file = function() error "nobody asked for it" end
    assert.same({}, rows())
  end)

  it("passes every other error", function()
    serve.download_file = function() return nil, {kind = "server", message = "broken"} end
    local page, err = provider:list_metrics "j"
    assert.is_nil(page)
    assert.equal("server", err.kind)
    serve.get_job = function() return nil, {kind = "not_found", message = "no such job"} end
    assert.equal("not_found", (select(2, provider:list_metrics "j")).kind)
  end)

  it("encodes as a list even when it is empty", function()
    serve.get_job = function(p) return {id = p.job_id, status = "queued"} end
    local core = require "finetune.core"
    assert.equal("[]", core.encode(rows()))
  end)
end)

describe("a results file", function()
  local function read(text)
    local found, list = {}, {}
    metrics.add_csv(found, text)
    for _, row in pairs(found) do list[#list + 1] = row end
    table.sort(list, function(a, b) return a.step < b.step end)
    return list
  end

  it("may have any of the known names", function()
    assert.same({{step = 1, train_loss = 1, valid_loss = 2, valid_accuracy = 0.5, learning_rate = 0.1}},
      read "Step,Training Loss,validation-loss,validation_mean_token_accuracy,lr\n1,1,2,0.5,0.1\n")
  end)

  it("may be in base64", function()
    assert.same({{step = 1, train_loss = 0.5}}, read "c3RlcCx0cmFpbl9sb3NzCjEsMC41Cg==")
  end)

  it("may have a BOM, CRLF, quotes, blank lines and words", function()
    assert.same({{step = 1, train_loss = 0.5}, {step = 2, train_loss = 0.25}},
      read '\239\187\191"step","train_loss","note, long"\r\n1,0.5,"a, ""b"""\r\n\r\n2,"0.25",nan\r\n')
  end)

  it("may be empty or something else", function()
    assert.same({}, read "")
    assert.same({}, read "step,train_loss\n")
    assert.same({}, read "<html>no</html>")
    assert.same({}, read "a,b\nc")
  end)
end)
