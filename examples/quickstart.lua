-- The main job: check a dataset, upload it, tune a model on it, follow the job to its end.
--   lua5.4 examples/quickstart.lua                 against a loopback service that it starts: no key, no money
--   lua5.4 examples/quickstart.lua --real MODEL    on a real one: FINE_TUNE_PROVIDER, and that provider's own key

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua")
local finetune = require "finetune"

local real, model = false, os.getenv "FINE_TUNE_MODEL"
for _, word in ipairs(arg) do
  if word == "--real" then real = true else model = word end
end

local function say(...) print(string.format(...)) end

-- Every step either works or ends the script with the reason.
local function check(value, err)
  if value then return value end
  io.stderr:write(tostring(err), "\n")
  os.exit(1, true)
end

local provider, service
if real then
  provider = check(finetune.get_default_provider())
  say("Provider: %s", provider.name)
else
  service = require("spec.support.service").start {job_seconds = 4}
  provider = check(finetune.create_provider("openai", {api_key = service.key, base_url = service.url}))
  say("This talks to a loopback service on this machine, %s:", service.url)
  say "the requests are real, the training is only acted out. No key is used and nothing costs money."
end
local _ <close> = setmetatable({}, {__close = function() if service then service:stop() end end})

---- 1. check ------------------------------------------------------------------------------------
say "\n1. Checking the data"
local function prepare(name)
  local path, output = root .. "examples/data/" .. name, os.tmpname()
  local report, err = provider:prepare_data {path = path, format = "chat", output = output}
  for _, e in ipairs(not report and err.report and err.report.errors or {}) do
    io.stderr:write(("%s:%d: %s: %s\n"):format(path, e.line, e.path, e.message))
  end
  check(report, err)
  say("   %-20s %d %s examples, %d errors, %d warnings, %d bytes", name, report.examples, report.format,
    report.error_count, report.warning_count, report.bytes)
  return {path = output, filename = name}
end
local training, validation = prepare "support.jsonl", prepare "support_valid.jsonl"

---- 2. upload -----------------------------------------------------------------------------------
say "\n2. Uploading"
local function upload(data)
  local shown = 0
  local file, err = provider:upload_file(data.path, {
    purpose = "fine-tune",
    filename = data.filename,
    on_progress = function(done, total)
      local percent = total > 0 and 100 * done // total or 100
      if percent >= shown + 25 or percent == 100 and shown < 100 then
        shown = percent
        say("   %-20s %3d %% of %d bytes", data.filename, percent, total)
      end
    end,
  })
  os.remove(data.path)
  check(file, err)
  say("   %-20s is %s", data.filename, file.id)
  return file
end
local training_file, validation_file = upload(training), upload(validation)

---- 3. tune -------------------------------------------------------------------------------------
if not model and real then
  say "\nWhich model? Name it in FINE_TUNE_MODEL or as an argument. The service offers:"
  for m in provider:models() do say("   %s", m.id) end
  os.exit(2, true)
end
model = model or check(provider:list_models()).data[1].id

say("\n3. Tuning %s", model)
local job = check(provider:create_job {
  model = model,
  training_file = training_file,
  validation_file = validation_file,
  suffix = "support",
  hyperparameters = {n_epochs = 3},
})
say("   job %s", job.id)

-- Two waits at once, on one thread: one for the events, one for the status.
local interval = service and 0.2 or nil -- the real ones are asked less often
local function clock(seconds) return os.date("%H:%M:%S", seconds and math.floor(seconds)) end
local function follow()
  local steps = 0
  for event in provider:follow(job, {interval = interval, max_interval = interval}) do
    if event.type == "metrics" then steps = steps + 1 end
    if event.type ~= "metrics" or steps % 10 == 1 then
      say("   %s  %-6s %s", clock(event.created_at), event.level, event.message)
    end
  end
  return true
end
local function wait()
  local status
  local function show(now)
    if now.status ~= status then say("   %s  status %s", clock(), now.status) end
    status = now.status
  end
  show(job)
  return provider:wait(job, {
    timeout = 24 * 3600, interval = interval, max_interval = interval, on_progress = show,
  })
end
local results, errors = finetune.run(follow, wait)
check(results[1], errors[1])
local done = check(results[2], errors[2])

---- 4. the result -------------------------------------------------------------------------------
say "\n4. Metrics"
local function number(x) return x and ("%10.4f"):format(x) or ("%10s"):format "-" end
local metrics = check(provider:list_metrics(done)).data
say("   %6s %10s %10s %10s", "step", "train loss", "valid loss", "accuracy")
local every = math.max(1, #metrics // 10) -- about ten lines of them
for i, row in ipairs(metrics) do
  if i % every == 0 or i == #metrics then
    say("   %6d %s %s %s", row.step, number(row.train_loss), number(row.valid_loss), number(row.train_accuracy))
  end
end

say "\n5. Your jobs"
for j in provider:jobs() do say("   %-28s %-10s %s", j.id, j.status, j.fine_tuned_model or "") end

say("\nThe tuned model is %s", done.fine_tuned_model)

---- and now ---------------------------------------------------------------------------------------
if real then return end
local known = {}
for _, p in ipairs(finetune.list_providers()) do known[p.name] = true end
say "\nNext, the same on a service that takes jobs. MODEL is one that the service can tune."
if known.azure then
  say [[
  Azure OpenAI:  export FINE_TUNE_PROVIDER=azure AZURE_OPENAI_API_KEY=...
                 export AZURE_OPENAI_ENDPOINT=https://NAME.openai.azure.com]]
else
  say [[
  Azure OpenAI:  export OPENAI_BASE_URL=https://NAME.openai.azure.com/openai/v1 OPENAI_API_KEY=...]]
end
if known.together then
  say "  Together AI:   export FINE_TUNE_PROVIDER=together TOGETHER_API_KEY=..."
else
  say "  Together AI:   has an API of its own, and needs its provider, which is not in this version yet."
end
say "  then:          lua5.4 examples/quickstart.lua --real MODEL"
say "OpenAI itself creates no jobs after 2027-01-06, and already refuses them to many accounts."
