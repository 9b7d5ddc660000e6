-- Run with slow_dns.so: nothing may wait for a look-up that takes half a minute. Argument: "cancel",
-- "close", "timeout" or "exit"; prints how long that took, in seconds.

local core = require "finetune.core"
local finetune = require "finetune"

local p = assert(finetune.create_provider("openai", {api_key = "key", base_url = "http://slow.example/v1",
  connect_timeout = 1, max_retries = 0}))
local call = p:async("get_job", "j")
for _ = 1, 5 do finetune.step(0.01) end
assert(not call:done(), "the look-up was not slow")

local did, began = ..., core.now()
if did == "cancel" then
  call:cancel()
elseif did == "close" then
  p:close()
elseif did == "timeout" then
  local _, err = call:await()
  assert(err.kind == "timeout" or err.kind == "transport", tostring(err))
end
print(("%.3f"):format(core.now() - began))
os.exit(0, true) -- closes the state
