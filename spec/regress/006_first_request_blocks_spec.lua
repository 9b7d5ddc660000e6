-- Until a host had answered once, every other request to it waited (CURLOPT_PIPEWAIT): a
-- long first request, an upload say, kept all others back for as long as it took.

local live = require "spec.support.live"
local service = require "spec.support.service"

describe("the first requests to a host", function()
  it("do not keep others back while they wait for their answers", function()
    local s <close> = service.start()
    s:fault {kind = "stall", path = "ftjob%-", times = "always"}
    local provider = live.provider(s)
    local calls = {}
    for i = 1, 5 do calls[i] = provider:async("get_job", "ftjob-x") end
    local models = provider:async("list_models", {})
    live.until_true(function() return models:done() end)
    assert.truthy(models:result())
    provider:close()
    for i = 1, 5 do assert.is_true(calls[i]:done()) end
  end)
end)
