-- Under cqueues: the job is awaited in a coroutine of the controller, beside the script's own.
--   export OPENAI_API_KEY=... FINE_TUNE_MODEL=...
--   lua5.4 examples/with_cqueues.lua

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua") -- only needed in a clone
local cqueues = require "cqueues"
local finetune = require "finetune"
local loop = require "finetune.loop.cqueues"

local model = assert(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune")
local provider = assert(finetune.get_default_provider())

local cq = cqueues.new()
loop.start(cq)

local done = false
cq:wrap(function()
  local file = assert(provider:upload_file(root .. "examples/data/support.jsonl", {purpose = "fine-tune"}))
  local job = assert(provider:create_job {model = model, training_file = file, suffix = "cqueues"})
  print("job " .. job.id)
  job = assert(provider:wait(job))
  print("the model is " .. job.fine_tuned_model)
  done = true
end)
cq:wrap(function()
  while not done do
    print "tick"
    cqueues.sleep(0.25)
  end
end)

assert(cq:loop()) -- what a coroutine raised ends the loop
loop.stop()
