-- The same script for every service: nothing in it names one. The environment chooses.
--   export FINE_TUNE_PROVIDER=... FINE_TUNE_MODEL=...    and that provider's own variables (its key, its address)
--   lua5.4 examples/same_script.lua
-- FINE_TUNE_SUFFIX, where the service takes one, becomes a part of the model's name.

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua")
local finetune = require "finetune"

local function say(format, ...) print(format:format(...)) end

-- Every step works, or ends the script with the reason in one line
local function check(value, err)
  if value then return value end
  io.stderr:write(tostring(err), "\n")
  os.exit(1, true)
end

local model = check(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune")
local provider = check(finetune.get_default_provider())
say("provider  %s", provider.name)

local output = os.tmpname()
local report = check(provider:prepare_data {path = root .. "examples/data/support.jsonl", format = "chat",
  output = output})
say("prepared  %d %s examples, %d bytes", report.examples, report.format, report.bytes)

local file, refusal = provider:upload_file(output, {purpose = "fine-tune", filename = "support.jsonl"})
os.remove(output)
check(file, refusal)
say("uploaded  %s", file.id)

local job = check(provider:create_job {
  model = model,
  training_file = file,
  suffix = os.getenv "FINE_TUNE_SUFFIX",
  hyperparameters = {n_epochs = 1},
})
say("created   %s", job.id)

local function follow() -- each event once, to the end of the job
  for event in provider:follow(job) do
    if event.type ~= "metrics" then say("event     %s", event.message) end
  end
  return true
end
check(pcall(follow))

job = check(provider:wait(job)) -- it has ended: this tells how
say("status    %s", job.status)
local made = job.fine_tuned_model
if not made then -- some services give checkpoints only; the newest comes first
  local checkpoint = check(provider:list_checkpoints(job)).data[1]
  check(checkpoint, "the job has neither a model nor a checkpoint")
  made = checkpoint.model or checkpoint.id
end
say("model     %s", made)
if provider:supports "deploy_model" then say "next      deploy_model, which puts it into service here" end
provider:close()
