-- A process that ended while an upload in parts was under way left that upload open on the
-- service: only a call that was cancelled before had it taken back.

local live = require "spec.support.live"
local service = require "spec.support.service"

describe("a process that ends during an upload in parts", function()
  it("takes the upload back", function()
    local s <close> = service.start()
    s:fault {kind = "stall", path = "/parts$", times = "always"}
    local status, output = live.child([[
      local url, key, path = ...
      local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key}))
      provider:async("upload_file", path, {filename = "t.jsonl", part_size = 1000})
      for _ = 1, 20 do finetune.step(0.01) end
    ]], s.url, s.key, live.file(live.lines(50)))
    live.clean()
    assert.equal(0, status, output)
    assert.equal(1, #s:requests {method = "POST", path = "/cancel$"})
    for _, upload in pairs(s:state().uploads) do assert.equal("cancelled", upload.status) end
  end)
end)
