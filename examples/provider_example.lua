-- The first thing to read: what a provider is, how to get one, and a whole fine-tuning.
--   export OPENAI_API_KEY=... FINE_TUNE_MODEL=...    (OPENAI_BASE_URL for a service that speaks the same dialect)
--   lua5.4 examples/provider_example.lua

dofile((arg[0]:match "^.*/" or "") .. "paths.lua") -- only needed in a clone
local finetune = require "finetune"

-- 1. Which providers are there? Those that are registered, and those that could be found by name.
for _, p in ipairs(finetune.list_providers()) do
  print(("provider %-12s %s"):format(p.name, p.loaded and "loaded" or "loaded on first use"))
end

-- 2. One by name. The second argument is its configuration; what is not given comes from the
--    provider's own environment variables (here OPENAI_API_KEY, OPENAI_BASE_URL, ...).
local by_name = assert(finetune.create_provider("openai", {max_retries = 4, timeout = 60}))
print("by name: " .. by_name.name)

-- 3. The default one: FINE_TUNE_PROVIDER names it, `openai` otherwise.
local provider = assert(finetune.get_default_provider())
print("default: " .. provider.name)

-- 4. A name that nobody has is an error value, not a raise: so is all that the world does wrong.
local none, err = finetune.create_provider "opneai"
assert(none == nil)
print(err.kind, tostring(err))

-- 5. What a provider cannot do, it says beforehand.
for _, operation in ipairs {"pause_job", "deploy_model"} do
  local can, why = provider:supports(operation)
  print(("can it %s? %s"):format(operation, can and "yes" or "no: " .. tostring(why)))
end

-- 6. The whole workflow. Examples can be tables, an iterator of tables, or the path of a JSONL file.
local LABELS = {"billing", "bug", "how-to"}
local MAIL = {
  "I was charged twice", "The timer does not stop", "How do I split an entry?", "Where is my invoice?",
  "It crashes on launch", "How do I export a year?", "My card has expired", "The report stays blank",
  "How do I lock March?", "Please refund one seat", "Search finds nothing", "How do I add a client?",
}
local examples = {}
for i, text in ipairs(MAIL) do
  examples[i] = {messages = {
    {role = "system", content = "Answer with one label: billing, bug or how-to."},
    {role = "user", content = text},
    {role = "assistant", content = LABELS[(i - 1) % 3 + 1]},
  }}
end

local path = os.tmpname()
local report = assert(provider:prepare_data(examples, {format = "chat", output = path}))
print(("prepared %d examples, %d bytes"):format(report.examples, report.bytes))

local file = assert(provider:upload_file(report.output, {purpose = "fine-tune", filename = "mail.jsonl"}))
os.remove(path)
print("uploaded " .. file.id)

local job = assert(provider:create_job {
  model = assert(os.getenv "FINE_TUNE_MODEL", "FINE_TUNE_MODEL must name a model that the service can tune"),
  training_file = file, -- wherever an id is wanted, the object that has it will do
  suffix = "mail",
  hyperparameters = {n_epochs = 2},
})
print("created " .. job.id)

for event in provider:follow(job) do print(event.level, event.message) end -- each once, to the end

local finished, failure = provider:wait(job, {timeout = 3600})
if finished then
  print("the model is " .. finished.fine_tuned_model)
else
  print("no model: " .. tostring(failure)) -- the service's own reason is in it
end

-- 7. Cleaning up.
assert(provider:delete_file(file))
provider:close()
by_name:close()
