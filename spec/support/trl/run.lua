-- The recipe trl with the real TRL, through the provider `local` (`make test-trl`, which makes the environment):
-- a tiny model with random weights, an adapter for it in 20 steps on the CPU; the loss falls; the adapter loads, and
-- is not without effect; a whole model is tuned, and tuned on. Ends with "N passed, N failed".

package.path = "./lua/?.lua;./lua/?/init.lua;./?.lua;" .. package.path
package.cpath = "./lua/?.so;" .. package.cpath

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local STEPS = 20
local passed, failed = 0, 0
local training, held_out -- the files
local CACHE = (os.getenv "HOME" or "") .. "/.cache/huggingface/datasets"
local had_cache = core.fs.stat(CACHE) ~= nil

local function check(title, value, ...)
  if value then passed = passed + 1 else failed = failed + 1 end
  local seen = {}
  for i = 1, select("#", ...) do seen[i] = tostring((select(i, ...))) end
  print(("%-6s  %s%s"):format(value and "ok" or "FAILED", title, seen[1] and ": " .. table.concat(seen, ", ") or ""))
  return value
end

local tmp = shell.folder()
local _ <close> = setmetatable({}, {__close = function() shell.remove(tmp) end})
local provider <close> = assert(finetune.create_provider("local", {home = tmp .. "/home"}))

local function make_base()
  shell.must(("exec python3 spec/support/trl/tiny_model.py %s/tiny examples/data/support.jsonl"):format(tmp))
  return tmp .. "/tiny"
end

local function train(model, hyperparameters, suffix)
  local all = {max_steps = STEPS, batch_size = 4, learning_rate = 0.005, use_cpu = true}
  for name, value in pairs(hyperparameters) do all[name] = value end
  local job = assert(provider:create_job {recipe = "trl", model = model, training_file = training,
    validation_file = held_out, suffix = suffix, seed = 7, hyperparameters = all})
  local done, err = provider:wait(job, {timeout = 900, max_interval = 1})
  check(suffix .. ": the job succeeds", done, done and done.fine_tuned_model or err)
  return done
end

-- The losses of training, in order
local function losses(job)
  local list, valid = {}, nil
  for _, row in ipairs(assert(provider:list_metrics(job)).data) do
    list[#list + 1] = row.train_loss
    valid = row.valid_loss or valid
  end
  return list, valid
end

local function mean(list, from, to)
  local sum = 0
  for i = from, to do sum = sum + list[i] end
  return sum / (to - from + 1)
end

local function check_losses(job, suffix)
  local list, valid = losses(job)
  if not check(suffix .. ": a loss for each step", #list == STEPS, #list) then return end
  local first, last = mean(list, 1, 5), mean(list, STEPS - 4, STEPS)
  check(suffix .. ": the loss falls", last < first - 0.01, ("%.4f -> %.4f"):format(first, last))
  check(suffix .. ": there is a loss of the validation file", valid, valid)
end

local function sample(model, suffix)
  local answer, err = provider:sample {model = model, messages = {{role = "user", content = "I was charged twice"}},
    max_tokens = 8}
  check(suffix .. ": the result loads, and writes", answer and answer.text ~= "", answer and core.encode(answer.text)
    or err)
end

-- Its folder
local function out_of(job) return provider:get_model(job.fine_tuned_model).raw.dir end

-- Does the adapter change what its base model says?
local DIFFERENCE = [[
import sys, torch
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()
ids = torch.arange(10, 40).unsqueeze(0)
with torch.no_grad():
    tuned = model(input_ids=ids).logits
    with model.disable_adapter():
        base = model(input_ids=ids).logits
print("%.6f" % (tuned - base).abs().max().item())
]]

local function check_adapter(job)
  local out = out_of(job)
  check("adapter: it is one", core.fs.stat(out .. "/adapter_model.safetensors"))
  local output = shell.must(("exec python3 -c %s %s 2>/dev/null"):format(shell.quote(DIFFERENCE), shell.quote(out)))
  local difference = tonumber(output:match "(%S+)%s*$")
  check("adapter: it makes a difference to its base", difference and difference > 1e-4, difference)
end

print("trl " .. shell.must "exec python3 -c 'import trl; print(trl.__version__)' 2>/dev/null":match "%S+%s*$")
training = assert(provider:upload_file "examples/data/support.jsonl")
held_out = assert(provider:upload_file "examples/data/support_valid.jsonl")
local base = make_base()

local adapter = train(base, {lora_r = 8, lora_alpha = 16, lora_target_modules = "all-linear"}, "adapter")
if adapter then
  check_losses(adapter, "adapter")
  check_adapter(adapter)
  sample(adapter.fine_tuned_model, "adapter")
  local more, err = provider:create_job {model = adapter.fine_tuned_model, training_file = training}
  check("adapter: to go on from it is refused with words", not more and err.message:find("adapter", 1, true), err)
end

local whole = train(base, {lora = false}, "whole")
if whole then
  check_losses(whole, "whole")
  sample(whole.fine_tuned_model, "whole")
  local again = train(whole.fine_tuned_model, {lora = false}, "again")
  if again then
    local first, last = losses(whole), losses(again)
    check("again: it begins where the other ended", again and last[1] < first[5], first[1], first[STEPS], last[1])
  end
end

check("nothing was put into the user's cache of data sets", had_cache or not core.fs.stat(CACHE))
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0, true)
