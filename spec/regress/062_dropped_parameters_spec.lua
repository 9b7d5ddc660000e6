-- `extra`, and other parameters, were dropped in silence by operations that are not one plain request. They are
-- passed on, or refused. And a table in a form was sent as "table: 0x...".

local core = require "finetune.core"
local finetune = require "finetune"
local testing = require "finetune.testing"

local EXTRA = {zz = "1"}
local path

setup(function()
  path = os.tmpname() .. ".jsonl"
  local file <close> = assert(io.open(path, "w"))
  file:write '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n'
end)
teardown(function() os.remove(path) end)

local JOB = {id = "ft-1", job_id = "ft-1", status = "completed", model = "m", model_output_name = "me/m",
  training_type = {type = "Lora"}}

local SERVICES = {
  together = {settings = {upload_route = "form"}, routes = {
    ["GET /v1/fine-tunes"] = {data = {JOB}}, ["GET /v1/fine-tunes/{id}"] = JOB,
    ["DELETE /v1/fine-tunes/{id}"] = {}, ["DELETE /v1/endpoints/{id}"] = {},
    ["GET /v1/endpoints"] = {data = {{id = "e1", model = "me/m", name = "n", state = "STARTED"}}},
    ["GET /v1/finetune/download"] = {}, ["GET /v1/files/{id}/content"] = {}}},
  localai = {settings = {progress_wait = 0.01, poll_interval = 0.001}, routes = {
    ["GET /api/fine-tuning/jobs/{id}"] = {id = "j", status = "new_word"},
    ["POST /api/fine-tuning/jobs/{id}/stop"] = {}, ["GET /api/fine-tuning/jobs/{id}/download"] = {},
    ["POST /api/fine-tuning/datasets"] = {path = "fine-tune/datasets/a.jsonl"},
    ["GET /v1/models"] = {data = {{id = "m"}}}, ["POST /models/delete/{name}"] = {uuid = "u"},
    ["GET /models/jobs/{id}"] = {processed = true}}},
}

local function open(name)
  local service, routes = SERVICES[name], {}
  for route, doc in pairs(service.routes) do routes[route] = function() return {json = doc} end end
  local transport, log = testing.routes(routes)
  local settings = {api_key = "key-0123456789abcdef", transport = transport, retry_delay = 0.001}
  for key, value in pairs(service.settings) do settings[key] = value end
  return assert(finetune.create_provider(name, settings)), log
end

-- The requests of the log that have the extra in their query or body, as "METHOD /path"
local function with_extra(log)
  local list = {}
  for _, request in ipairs(log.requests) do
    local json = type(request.json) == "table" and request.json or {}
    if request.query.zz == "1" or json.zz == "1" or ((request.multipart or {})[1] or {}).name == "zz" then
      list[#list + 1] = request.method .. " " .. request.path
    end
  end
  return list
end

-- provider, operation, its argument -> the request that has the extra; or false: it is refused
for _, c in ipairs {
  {"together", "delete_model", "me/m", "DELETE /v1/fine-tunes/ft-1"},
  {"together", "undeploy_model", "me/m", "DELETE /v1/endpoints/e1"},
  {"together", "download_file", "file-1", "GET /v1/files/file-1/content"},
  {"together", "download_file", "ft-1", "GET /v1/finetune/download"},
  {"together", "download_file", "ft-1:7", "GET /v1/finetune/download"},
  {"together", "get_model", "me/m", false},
  {"localai", "upload_file", "FILE", "POST /api/fine-tuning/datasets"},
  {"localai", "get_job", "j", "GET /api/fine-tuning/jobs/j"},
  {"localai", "list_events", "j", "GET /api/fine-tuning/jobs/j"},
  {"localai", "cancel_job", "j", "POST /api/fine-tuning/jobs/j/stop"},
  {"localai", "download_file", "j", "GET /api/fine-tuning/jobs/j/download"},
  {"localai", "get_model", "m", "GET /v1/models"},
  {"localai", "delete_model", "m", "POST /models/delete/m"},
  {"localai", "list_metrics", "j", false},
} do
  it(("extra of %s %s(%s)"):format(c[1], c[2], c[3]), function()
    local p, log = open(c[1])
    local _ <close> = p
    local value, err = p[c[2]](p, c[3] == "FILE" and path or c[3], {extra = EXTRA})
    if c[4] then
      assert(value, err)
      assert.same({c[4]}, with_extra(log))
    else
      assert.is_nil(value)
      assert.equal("invalid", err.kind)
      assert.equal("extra", err.param)
      assert.equal(0, #log.requests)
    end
  end)
end

it("a checkpoint of a checkpoint is refused by Together", function()
  local p, log = open "together"
  local _ <close> = p
  local value, err = p:download_file("ft-1:7", {checkpoint = "adapter"})
  assert.is_nil(value)
  assert.equal("checkpoint", err.param)
  assert.equal(0, #log.requests)
end)

it("parts and an end are refused by LocalAI's upload", function()
  local p, log = open "localai"
  local _ <close> = p
  for name, value in pairs {part_size = 8 << 20, expires_after = {anchor = "created_at", seconds = 3600}} do
    local none, err = p:upload_file(path, {[name] = value})
    assert.is_nil(none)
    assert.equal("invalid", err.kind)
    assert.matches(name, err.message)
  end
  assert.equal(0, #log.requests)
end)

describe("a table in a form", function()
  for _, route in ipairs {"form", "redirect"} do
    it("is refused by Together's upload: " .. route, function()
      SERVICES.together.settings.upload_route = route
      local p, log = open "together"
      local _ <close> = p
      local none, err = p:upload_file(path, {extra = {zz = {1, 2}}})
      assert.is_nil(none)
      assert.equal("invalid", err.kind)
      assert.equal("zz", err.param)
      assert.matches("must be a text, a number or a boolean, not a table", err.message)
      assert.equal(0, #log.requests)
    end)
  end

  it("is refused by ctx.form", function()
    assert.equal("a=1&b=x%20y&c=true", core.context.form {a = 1, b = "x y", c = true})
    for _, value in ipairs {{}, print, coroutine.create(print)} do
      local ok, err = pcall(core.context.form, {a = value})
      assert.is_false(ok)
      assert.equal("invalid", err.kind)
    end
  end)
end)
