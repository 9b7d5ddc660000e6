-- Sections for the harness over a real socket: libcurl's allocations fail in turn. See oom.h; env.url
-- is the server of server.h.

local finetune = require "finetune"
local S = {}

local function section(name, f) S[#S + 1] = {name = name, run = f} end

local function provider(env, more)
  local config = {api_key = "sk-harness-key", base_url = env.url, retry_delay = 0, timeout = 1,
    headers = {["X-Harness"] = "yes"}, query = {version = "2"}}
  for key, value in pairs(more or {}) do config[key] = value end
  return assert(finetune.create_provider("openai", config))
end

section("requests over one connection", function(env)
  local traces = 0
  local p <close> = provider(env, {on_trace = function() traces = traces + 1 end})
  assert(p:get_job "ftjob-1")
  assert(assert(p:get_job "zipped").id == "zip")
  assert(p:get_job "moved")
  assert(#assert(p:list_models()).data == 1)
  local job, err = p:get_job "missing"
  assert(not job and (err.kind == "not_found" or err.kind == "memory"), tostring(err))
end)

-- `sample` reads a stream that does not end
local STREAMER = {name = "streamer", sample = function(ctx, p)
  local events, response = ctx:events("/stream", {[p.model] = 0.05})
  if not events then return nil, response end
  return {n = #events, data = events[1] and events[1].data, partial = response.partial}
end}
for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model"} do
  STREAMER[op] = finetune.unsupported "not here"
end

section("an answer that goes on", function(env)
  finetune.register(STREAMER, {replace = true})
  local p <close> = assert(finetune.create_provider("streamer", {api_key = "sk-harness-key", base_url = env.url,
    retry_delay = 0, timeout = 1, max_retries = 1}))
  local idle, window = p:async("sample", "read_idle"), p:async("sample", "read_for")
  for _, call in ipairs {idle, window} do
    local got = assert(call:await())
    assert(got.partial and got.n == 1 and got.data == "1")
  end
  local cancelled = p:async("sample", "read_for")
  finetune.step(0.01)
  cancelled:cancel()
end)

section("a connection that is cut", function(env)
  local p <close> = provider(env, {max_retries = 1})
  local job, err = p:get_job "cut"
  assert(not job and (err.kind == "transport" or err.kind == "memory"), tostring(err))
end)

section("several at once", function(env)
  local p <close> = provider(env)
  local function get() return p:get_job "ftjob-1" end
  local _, errors, first = finetune.run(get, get, get)
  if first then error(errors[first]) end
end)

section("files", function(env)
  local p <close> = provider(env)
  assert(p:upload_file(env.file, {on_progress = function() end}))
  assert(p:download_file("file-1", {output = env.tmp .. "/results.csv"}))
  assert(p:download_file "file-1")
end)

section("cancelled while it is under way", function(env)
  local p = provider(env)
  local slow, other = p:async("get_job", "slow"), p:async("get_job", "slow")
  for _ = 1, 3 do finetune.step(0.01) end
  slow:cancel()
  p:close()
  local _, err = other:result()
  assert(err.kind == "cancelled" or err.kind == "memory", tostring(err))
end)

return S
