-- Azure: addresses that users have were taken for others, and what the dated API does not know was dropped in silence.

local finetune = require "finetune"
local testing = require "finetune.testing"

local ROOT, DATED = "https://res.openai.azure.com", "2024-10-21"

-- A provider whose every request is answered so, and its log
local function provider(answer, version, base_url)
  local log = {}
  local p, err = finetune.create_provider("azure", {base_url = base_url or ROOT, api_key = "az-key-0123456789abcdef",
    api_version = version, retry_delay = 0.001, transport = function(request)
      log[#log + 1] = request
      return answer
    end})
  return p, err, log
end

describe("azure", function()
  for given, wanted in pairs {
    ["/openai/deployments/gpt-4o"] = ROOT .. "/openai/v1", ["/openai/deployments/gpt-4o/"] = ROOT .. "/openai/v1",
    ["/openai/deployments/gpt-4o/chat/completions"] = ROOT .. "/openai/v1",
    ["/OpenAI/V1"] = ROOT .. "/openai/v1", ["/OPENAI/v1/"] = ROOT .. "/openai/v1", ["/OpenAI"] = ROOT .. "/openai/v1",
    ["/llm/v1"] = ROOT .. "/llm/v1",
  } do
    it("knows the address " .. given, function()
      local p <close>, _, log = provider({json = {data = {}}}, nil, ROOT .. given)
      p:list_models()
      assert.equal(wanted .. "/models", log[1].url)
    end)
  end

  it("takes no address of OpenAI for an endpoint", function()
    for _, url in ipairs {"https://api.openai.com", "https://api.openai.com/", "https://api.openai.com/v1/",
      "https://API.openai.com/v1"} do
      local none, err = provider({}, nil, url)
      assert.is_nil(none)
      assert.equal("config", err.kind)
      assert.matches("no endpoint", err.message)
    end
  end)

  it("delete_job believes the service, refuses dots, and passes extra on", function()
    for _, version in ipairs {"v1", DATED} do
      local p <close>, _, log = provider({json = {id = "j", deleted = false}}, version)
      local none, err = p:delete_job("j", {extra = {force = "yes"}})
      assert.is_nil(none)
      assert.equal("conflict", err.kind)
      local path = testing.split(log[1].url)
      assert.equal("/openai/fine_tuning/jobs/j", path)
      assert.same({["api-version"] = DATED, force = "yes"}, testing.query(log[1].url))
      assert.truthy(log[1].headers["api-key"])
      for _, id in ipairs {".", ".."} do
        none, err = p:delete_job(id)
        assert.is_nil(none)
        assert.equal("invalid", err.kind)
      end
      assert.equal(1, #log)
    end
  end)

  it("list_files of the dated API cuts its own pages, and refuses an order", function()
    local files = {}
    for i = 1, 3 do files[i] = {id = "file-" .. i, object = "file"} end
    local p <close>, _, log = provider({json = {data = files}}, DATED)
    local page = assert(p:list_files {limit = 2})
    assert.same({2, true, "file-2"}, {#page.data, page.has_more, page.next})
    assert.equal("file-3", assert(p:list_files {limit = 2, after = page.next}).data[1].id)
    for _, request in ipairs(log) do assert.is_nil(testing.query(request.url).limit) end
    local none, err = p:list_files {order = "asc"}
    assert.is_nil(none)
    assert.same({"invalid", "order"}, {err.kind, err.param})
    assert.equal(2, #log)
    local v1 <close>, _, v1_log = provider({json = {data = {}}}, "v1")
    assert(v1:list_files {limit = 3})
    assert.equal("3", testing.query(v1_log[1].url).limit)
  end)

  it("samples with both APIs", function()
    local answer = {json = {choices = {{message = {content = "yes"}, finish_reason = "stop"}}}}
    for version, url in pairs {v1 = ROOT .. "/openai/v1/chat/completions?api-version=v1",
      [DATED] = ROOT .. "/openai/deployments/my%20model/chat/completions?api-version=" .. DATED} do
      local p <close>, _, log = provider(answer, version)
      assert.is_true(p:supports "sample")
      assert.equal("yes", assert(p:sample("my model", {prompt = "well?"})).text)
      assert.equal(url, log[1].url)
    end
  end)

  it("has the deployment's name in its command", function()
    local p <close> = provider({}, "v1")
    local _, err = p:deploy_model("ft-1", {name = "mails"})
    assert.matches("%-%-deployment%-name mails %-%-model%-name ft%-1", err.message)
  end)
end)
