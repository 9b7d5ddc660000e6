-- Under copas: the job is awaited in a copas thread, beside the script's own.
--   export OPENAI_API_KEY=... FINE_TUNE_MODEL=...
--   lua5.4 examples/with_copas.lua

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua") -- only needed in a clone
local copas = require "copas"
local finetune = require "finetune"
local loop = require "finetune.loop.copas"

local model = assert(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune")
local provider = assert(finetune.get_default_provider())

loop.start()

local done, failed = false, false
local function tune()
  local file = assert(provider:upload_file(root .. "examples/data/support.jsonl", {purpose = "fine-tune"}))
  local job = assert(provider:create_job {model = model, training_file = file, suffix = "copas"})
  print("job " .. job.id)
  job = assert(provider:wait(job))
  print("the model is " .. job.fine_tuned_model)
end
copas.addthread(function()
  local ok, err = pcall(tune)
  if not ok then io.stderr:write(tostring(err), "\n") end
  done, failed = true, not ok
end)
copas.addthread(function()
  while not done do
    print "tick"
    copas.sleep(0.25)
  end
end)

copas.loop() -- ends with its last thread
loop.stop()
os.exit(not failed, true)
