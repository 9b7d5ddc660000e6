-- LocalAI: a job with a status that nobody knows could not be cancelled, an export that had not begun was a failure, a
-- list of keys that begins with a comma gave no key. And secrets in Nebius' parameters were shown in errors and traces.

local finetune = require "finetune"
local testing = require "finetune.testing"

local JOB = "/api/fine-tuning/jobs/j"

local function localai(routes, api_key)
  local transport, log = testing.routes(routes)
  local p, err = finetune.create_provider("localai", {api_key = api_key or false, transport = transport,
    poll_interval = 0.001, retry_delay = 0.001})
  return p, log, err
end

describe("localai", function()
  it("stops a job whose status is not known, and refuses one that has ended", function()
    for status, wanted in pairs {new_word = 1, training = 1, completed = 0, failed = 0, stopped = 0} do
      local stops = 0
      local p <close> = localai {
        ["GET " .. JOB] = function() return {json = {id = "j", status = status}} end,
        ["POST " .. JOB .. "/stop"] = function()
          stops = stops + 1
          return {json = {}}
        end,
      }
      local job, err = p:cancel_job "j"
      assert.equal(wanted, stops)
      if wanted == 1 then assert(job, err) else assert.equal("conflict", err.kind) end
    end
  end)

  -- deploy_model, with these export_status one after the other -> value, err, how many were looked at
  local function export(...)
    local words, looks = table.pack(...), -1 -- the first look is before the export
    local p <close> = localai {
      ["GET " .. JOB] = function()
        looks = looks + 1
        return {json = {id = "j", status = "completed", model = "m", output_dir = "/d/fine-tune/j",
          export_status = words[looks], export_message = "no disk"}}
      end,
      ["GET " .. JOB .. "/progress"] = function()
        return {headers = {["content-type"] = "text/event-stream"}, body = ""}
      end,
      ["POST " .. JOB .. "/export"] = function() return {json = {model_name = "made"}} end,
    }
    local value, err = p:deploy_model "j"
    return value, err, looks
  end

  it("waits for an export of which nothing is said yet", function()
    local model, err, looks = export(nil, "", "new_word", 7, "exporting", "completed")
    assert(model, err)
    assert.same({"made", "deployed"}, {model.id, model.status})
    assert.equal(6, looks)
    model, err = export(nil, "failed")
    assert.is_nil(model)
    assert.equal("job", err.kind)
    assert.matches("no disk", err.message)
  end)

  it("takes the first key of a list, and shows none of it", function()
    for _, list in ipairs {",second-key-0123", ",second-key-0123 ,third-key", "second-key-0123,third-key"} do
      local p <close>, log = localai({["GET /v1/models"] = function()
        return {status = 400, json = {error = "bad: " .. list}}
      end}, list)
      local none, err = p:list_models()
      assert.is_nil(none)
      assert.equal("Bearer second-key-0123", log.requests[1].headers.authorization)
      assert.is_nil(tostring(err):find("second", 1, true))
      assert.is_nil(tostring(err):find("third", 1, true))
    end
    local none, _, err = localai({}, ",,")
    assert.is_nil(none)
    assert.equal("config", err.kind)
  end)
end)

describe("nebius: create_job", function()
  it("shows no secret that came with a parameter", function()
    local seen = {}
    local p <close> = assert(finetune.create_provider("nebius", {api_key = "nb-key-0123456789",
      on_trace = function(event) seen[#seen + 1] = require("finetune.core").encode(event) end,
      transport = function(request)
        local words = require("finetune.core").encode(request.json)
        return {status = 400, headers = {["x-request-id"] = "hf-secret-token"},
          json = {error = {message = "bad: " .. words}}}
      end}))
    local none, err = p:create_job {model = "m", training_file = "f", wait_for_files = false,
      integrations = {{type = "wandb", wandb = {project = "p", api_key = "wandb-secret-key"}}},
      from_checkpoint = {type = "hf", repo = "a/b", token = "hf-secret-token"}}
    assert.is_nil(none)
    local text = tostring(err) .. (err.body and tostring(err.body) or "") .. table.concat(seen)
    assert.matches("bad: ", text)
    assert.is_nil(text:find("wandb-secret-key", 1, true))
    assert.is_nil(text:find("hf-secret-token", 1, true))
  end)
end)
