-- The whole workflow on the provider of examples/c_provider.c; run by examples_spec.lua.

local finetune = require "finetune"

local provider = assert(finetune.create_provider "acme")
local path = os.tmpname()
local report = assert(provider:prepare_data {path = "examples/data/support.jsonl", output = path})
local file = assert(provider:upload_file(report.output, {purpose = "fine-tune"}))
os.remove(path)

local job = assert(provider:create_job {model = "tiny-chat-1", training_file = file, suffix = "c"})
local done = assert(provider:wait(job, {interval = 0.1, timeout = 30}))
assert(provider:list_models().data[1].id)
assert(provider:delete_model(done.fine_tuned_model).deleted)

local _, gone = provider:get_job "no/../such"
assert(gone.kind == "not_found", tostring(gone))
local can, why = provider:supports "pause_job"
assert(not can and why:find "cannot be paused")
print("acme tuned " .. done.fine_tuned_model)
