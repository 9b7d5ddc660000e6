-- What each thread of harness_threads.c does in a state of its own: the whole workflow against the
-- loopback service, and many requests at once. Arguments: url, key, a folder, a number.

local finetune = require "finetune"

local url, key, folder, number = ...
local p <close> = assert(finetune.create_provider("openai", {api_key = key, base_url = url, poll_interval = 0.02}))

local function examples()
  local n = 0
  return function()
    n = n + 1
    if n > 12 then return nil end
    return {messages = {{role = "user", content = "question " .. n .. " of thread " .. number},
      {role = "assistant", content = "answer"}}}
  end
end

local output = ("%s/train-%d.jsonl"):format(folder, number)
assert(p:prepare_data(examples(), {format = "chat", output = output}))
local file = assert(p:upload_file(output, {on_progress = function() end}))
local job = assert(p:create_job {model = "tiny-chat-1", training_file = file, suffix = "t" .. number})

-- Some requests, some of which are cancelled, while the job runs
local ids = {}
for i = 1, 24 do ids[i] = i end
local _, errors, first = finetune.map(ids, function(i)
  if i % 4 ~= 0 then return p:get_job(job) end
  local call = p:async("list_events", job)
  call:cancel()
  return true
end, {concurrency = 8})
if first then error(errors[first]) end

assert(p:wait(job, {interval = 0.02, max_interval = 0.05, timeout = 60}))
for event in p:follow(job, {interval = 0.02, timeout = 60}) do assert(event.message) end
assert(#assert(p:list_metrics(job)).data > 0)
assert(p:delete_file(file))
os.remove(output)
