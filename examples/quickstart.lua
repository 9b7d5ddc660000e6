-- The main job: check a dataset, tune a model on it, follow that to its end, and see how good it is.
--   lua5.4 examples/quickstart.lua                  on this machine: fastText, no key, no account
--   lua5.4 examples/quickstart.lua openai MODEL     on a service, with its key in the environment (README.md names
--                                                   the providers and their variables)
-- That one word, the provider's name, is all that differs. It may also be in FINE_TUNE_PROVIDER, and the service's
-- model in FINE_TUNE_MODEL.

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua")
local finetune = require "finetune"

local name = arg[1] or os.getenv "FINE_TUNE_PROVIDER" or "local"
local model = arg[2] or name ~= "local" and os.getenv "FINE_TUNE_MODEL" or nil

local function say(...) print(string.format(...)) end

-- Every step either works or ends the script with the reason.
local function check(value, err)
  if value then return value end
  io.stderr:write(tostring(err), "\n")
  os.exit(1, true)
end

-- Files that the script writes go with it, however it ends.
local written <close> = setmetatable({}, {__close = function(list)
  for _, path in ipairs(list) do os.remove(path) end
end})

local provider <close> = check(finetune.create_provider(name))
say("provider: %s", provider.name)
if name == "local" then
  model = model or "fasttext"
  say "fastText trains a text classifier, not a language model: it can answer with one of the labels"
  say "that are in its training data, and with nothing else."
end

---- 1. check ------------------------------------------------------------------------------------
say "\n1. Checking the data"
local function prepare(file, what)
  local path, output = root .. "examples/data/" .. file, os.tmpname()
  table.insert(written, output)
  local report, err = provider:prepare_data {path = path, format = "chat", output = output}
  for _, e in ipairs(not report and err.report and err.report.errors or {}) do
    io.stderr:write(("%s:%d: %s: %s\n"):format(path, e.line, e.path, e.message))
  end
  check(report, err)
  say("   %-20s %d %s examples %s: %d errors, %d warnings", file, report.examples, report.format, what,
    report.error_count, report.warning_count)
  return {path = output, filename = file}
end
local training = prepare("support.jsonl", "to train on")
local held_out = prepare("support_valid.jsonl", "in other words, held out")

---- 2. upload -----------------------------------------------------------------------------------
say "\n2. Uploading"
local function upload(data)
  local file = check(provider:upload_file(data.path, {purpose = "fine-tune", filename = data.filename}))
  say("   %-20s %d bytes, is %s", data.filename, file.bytes, file.id)
  return file
end
local training_file, held_out_file = upload(training), upload(held_out)

---- 3. tune -------------------------------------------------------------------------------------
if not model then
  say "\nWhich model? Name it in FINE_TUNE_MODEL or as the second word. The service offers:"
  for m in provider:models() do say("   %s", m.id) end
  os.exit(2, true)
end

say("\n3. Tuning %s", model)
local job = check(provider:create_job {
  model = model,
  training_file = training_file,
  validation_file = held_out_file,
})
say("   job %s", job.id)

-- Two waits at once, on one thread: one for the events, one for the end.
local pauses = {timeout = 24 * 3600, interval = 0.1, max_interval = 10} -- seconds; they grow from 0.1 to 10
local function follow()
  local steps = 0
  for event in provider:follow(job, pauses) do
    if event.type == "metrics" then steps = steps + 1 end
    if event.type ~= "metrics" or steps % 10 == 1 or (event.data or {}).valid_accuracy then
      local time = event.created_at and os.date("%H:%M:%S", event.created_at // 1) or ""
      local words = event.message or event.type or ""
      local stop = utf8.offset(words, 100)
      say("   %-8s  %-5s %s%s", time, event.level or "", words:sub(1, (stop or 0) - 1), stop and "..." or "")
    end
  end
  return true
end
local began = os.time()
local results, errors = finetune.run(follow, function() return provider:wait(job, pauses) end)
check(results[1], errors[1])
local tuned = check(results[2], errors[2]).fine_tuned_model
if not tuned then
  say "   It has no model yet: this service makes one by deploy_model, which costs money while it serves."
  os.exit(0, true)
end
local seconds = os.time() - began -- of a clock with whole seconds
say("   %s, in %s", tuned, seconds < 2 and "less than 2 s" or ("about %d s"):format(seconds))

---- 4. how good is it? --------------------------------------------------------------------------
say "\n4. Asking it what it has not seen"
local report = check(finetune.evaluate(provider, {model = tuned, path = held_out.path}))
io.write("   ", (report.text:gsub("\n(.)", "\n   %1"))) -- the same figures are in report, as numbers

---- 5. use it -----------------------------------------------------------------------------------
say "\n5. Three messages"
for _, text in ipairs {
  "Our card was charged two times in October.",
  "The app shuts itself down as soon as I open a report.",
  "Who at your company is able to read our timesheets?",
} do
  local answer = check(provider:sample {model = tuned, messages = {{role = "user", content = text}}})
  local sure = answer.probabilities and answer.probabilities[answer.text]
  say("   %-56s -> %s%s", text, answer.text, sure and (" (%.0f %% sure)"):format(sure * 100) or "")
end

if name == "local" then
  say "\nThe same on a service that takes jobs: one word differs, the provider's name. MODEL is one that it can tune."
  say "   lua5.4 examples/quickstart.lua local"
  say "   lua5.4 examples/quickstart.lua together MODEL       with TOGETHER_API_KEY in the environment"
  say "   lua5.4 examples/quickstart.lua azure MODEL          with AZURE_OPENAI_API_KEY and AZURE_OPENAI_ENDPOINT"
  say "OpenAI itself creates no jobs after 2027-01-06, and already refuses them to many accounts."
end
