-- A sweep: many jobs at once on one thread, the best one picked at the end.
--   export OPENAI_API_KEY=... FINE_TUNE_MODEL=...
--   lua5.4 examples/many_jobs.lua

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua") -- only needed in a clone
local finetune = require "finetune"

local model = assert(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune")
local provider <close> = assert(finetune.get_default_provider())

-- Both files at once: run() overlaps whatever its functions wait for.
local function upload(name)
  return function() return provider:upload_file(root .. "examples/data/" .. name, {purpose = "fine-tune"}) end
end
local files, failures = finetune.run(upload "support.jsonl", upload "support_valid.jsonl")
local training, validation = assert(files[1], failures[1]), assert(files[2], failures[2])

local settings = {}
for _, epochs in ipairs {1, 2, 3, 4} do
  for _, rate in ipairs {0.5, 1, 2} do
    settings[#settings + 1] = {n_epochs = epochs, learning_rate_multiplier = rate}
  end
end

-- At most four jobs run at a time; one that fails stops none of the others.
local results, errors = finetune.map(settings, function(s)
  local job = assert(provider:create_job {
    model = model,
    training_file = training,
    validation_file = validation,
    suffix = ("sweep-%d-%g"):format(s.n_epochs, s.learning_rate_multiplier),
    hyperparameters = s,
  })
  job = assert(provider:wait(job, {timeout = 6 * 3600}))
  local rows = assert(provider:list_metrics(job)).data
  return {model = job.fine_tuned_model, loss = rows[#rows] and rows[#rows].valid_loss}
end, {concurrency = 4})

local best
for i, s in ipairs(settings) do
  local result = results[i]
  print(("epochs %d, rate %-4g %s"):format(s.n_epochs, s.learning_rate_multiplier,
    result and ("%s  loss %s"):format(result.model, result.loss or "?") or tostring(errors[i])))
  if result and result.loss and (not best or result.loss < best.loss) then best = result end
end
print("best: " .. (best and best.model or "none"))
os.exit(best and true or 1, true)
