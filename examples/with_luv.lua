-- Under luv's loop: the job is awaited in a coroutine, and the script's own timer goes on meanwhile.
--   export OPENAI_API_KEY=... FINE_TUNE_MODEL=...
--   lua5.4 examples/with_luv.lua

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua") -- only needed in a clone
local finetune = require "finetune"
local loop = require "finetune.loop.luv"
local uv = require "luv"

local model = assert(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune")
local provider = assert(finetune.get_default_provider())

local timer = uv.new_timer()
timer:start(0, 250, function() print "tick" end)

-- What goes wrong in a coroutine or a callback comes here: luv itself would end the process.
local failed = false
loop.start(function(err)
  io.stderr:write(tostring(err), "\n")
  failed = true
  timer:close()
end)

coroutine.wrap(function()
  local file = assert(provider:upload_file(root .. "examples/data/support.jsonl", {purpose = "fine-tune"}))
  local job = assert(provider:create_job {model = model, training_file = file, suffix = "luv"})
  print("job " .. job.id)
  job = assert(provider:wait(job))
  print("the model is " .. job.fine_tuned_model)
  timer:close() -- now nothing is left to do, and uv.run() returns
end)()

uv.run()
loop.stop()
os.exit(not failed, true)
