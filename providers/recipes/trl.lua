-- The recipe trl: Hugging Face's trainer of language models (supervised fine-tuning, with LoRA unless told otherwise),
-- by its command `trl sft`. Tried with TRL 1.16 (`make test-trl`).
--
--   provider:create_job {recipe = "trl", model = "Qwen/Qwen3-0.6B", training_file = file,
--     hyperparameters = {n_epochs = 1, lora_rank = 8}}
--
-- `model` is a name of the Hugging Face Hub, the absolute path of a folder, or a local model (whole, not an adapter).
-- Everything else that TRL's configuration knows is given under `extra`, by TRL's names. Whoever has no GPU gives
-- hyperparameters.use_cpu = true. `trl` and `python3` must be those of one environment: PATH decides.

local core = require "finetune.core"
local mapping = require "finetune.mapping"
local store = require "finetune.store"

-- Ours, because layout, progress and result rest on them
local FIXED = {dataset_name = "./data", output_dir = "out", report_to = "none", disable_tqdm = true}
local LORA = {lora_r = 16, lora_alpha = 32, learning_rate = 2e-4} -- the rate: what TRL's own documentation takes
local FULL = {learning_rate = 2e-5}

local R = {
  name = "trl",
  description = "Hugging Face TRL: language models, with LoRA or whole",
  programs = {"trl", "python3"},
  install = "pip install trl peft, in a virtual environment whose bin/ is in PATH",
  any_model = true,
  checkpoints = true,
  reads_only = true,
}

local function failed(kind, format, ...) return nil, core.error {kind = kind, message = format:format(...)} end

local function modules(value)
  if type(value) == "string" then return core.array {value} end
  if type(value) ~= "table" or #value == 0 then return nil, "must be a name, or an array of names" end
  for _, name in ipairs(value) do
    if type(name) ~= "string" then return nil, "must be a name, or an array of names" end
  end
  return core.array(table.move(value, 1, #value, 1, {}))
end

local COUNT = {integer = true, least = 1, most = 1000000000}
local function count(name) return {name, integer = true, least = COUNT.least, most = COUNT.most} end
local function flag(name) return {name, type = "boolean"} end

local read = mapping.mapping {
  service = "the recipe trl",
  fields = {model = {}, recipe = {}, training_file = {}, validation_file = {}, suffix = {}, metadata = {}, token = {},
    seed = {"seed", integer = true, least = 0, most = 4294967295}},
  hyperparameters = {
    n_epochs = {"num_train_epochs", above = 0, most = 100000},
    max_steps = count "max_steps",
    batch_size = count "per_device_train_batch_size",
    gradient_accumulation_steps = count "gradient_accumulation_steps",
    learning_rate = {"learning_rate", above = 0, most = 10},
    lr_scheduler = {"lr_scheduler_type", most = 40, pattern = "^[%l_]+$", words = "TRL's lr_scheduler_type"},
    warmup_steps = {"warmup_steps", integer = true, least = 0, most = COUNT.most},
    weight_decay = {"weight_decay", least = 0, most = 10},
    max_length = count "max_length",
    packing = flag "packing",
    assistant_only_loss = flag "assistant_only_loss",
    lora = flag "use_peft",
    lora_r = count "lora_r",
    lora_rank = count "lora_r",
    lora_alpha = count "lora_alpha",
    lora_dropout = {"lora_dropout", least = 0, most = 1},
    lora_target_modules = {"lora_target_modules", to = modules},
    dtype = {"dtype", values = {auto = true, bfloat16 = true, float16 = true, float32 = true}},
    use_cpu = flag "use_cpu",
  },
}

-- -> a part of TRL's configuration
function R.settings(ctx, params)
  local settings, err = read(ctx, params)
  if not settings then return nil, err end
  for name in pairs(FIXED) do
    if settings[name] ~= nil then
      return failed("invalid", "extra.%s cannot be given: the recipe trl sets it itself", name)
    end
  end
  if settings.use_peft == false and (settings.lora_r or settings.lora_alpha or settings.lora_dropout
    or settings.lora_target_modules) then
    return failed("invalid", "hyperparameters.lora = false leaves no use for the other lora_ settings")
  end
  return settings
end

-- ---- the configuration: YAML ----

-- Strings as JSON has them, which are YAML too. A float has a point: PyYAML takes 1e-05 for a text.
local function scalar(value)
  if math.type(value) == "float" then
    local text = ("%.14g"):format(value)
    if text:find("[.n]") then return text end -- "inf" and "nan" are not let in by the settings
    local digits, rest = text:match "^(-?%d+)(.*)$"
    return digits .. ".0" .. rest
  end
  return core.encode(value)
end

-- Tables too, as JSON: their numbers are TRL's own affair
local function yaml(config)
  local names, lines = {}, {}
  for name in pairs(config) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = config[name]
    local key = name:find "^[%a_][%w_]*$" and name or core.encode(name)
    lines[i] = ("%s: %s\n"):format(key, type(value) == "table" and core.encode(value) or scalar(value))
  end
  return table.concat(lines)
end

-- The name or the folder of the model to begin with | nil, err
local function base_of(job)
  if job.base then
    if not core.fs.stat(job.base.dir .. "/config.json") then
      return failed("invalid", "the local model is an adapter, and TRL goes on only from a whole model: tune its base "
        .. "model again on all of the data, or merge the adapter first")
    end
    return job.base.dir
  end
  local model = job.model
  if type(model) ~= "string" or model == "" or model:find "^%.%.?/" or model:find "^~" then
    return failed("invalid", "model must be a name of the Hugging Face Hub or the absolute path of a folder")
  end
  return model
end

local function config_of(job)
  local model, err = base_of(job)
  if not model then return nil, err end
  local config = {model_name_or_path = model, use_peft = true, logging_steps = 1, save_strategy = "epoch"}
  for name, value in pairs(job.settings) do config[name] = value end
  for name, value in pairs(config.use_peft and LORA or FULL) do
    if config[name] == nil then config[name] = value end
  end
  for name, value in pairs(FIXED) do config[name] = value end
  config.seed = job.seed or config.seed
  if job.validation then
    config.dataset_test_split, config.eval_strategy = "validation", config.eval_strategy or "epoch"
  end
  return config
end

-- data/train.jsonl, data/validation.jsonl (the names that `datasets` looks for), config.yaml
function R.layout(job)
  local config, err = config_of(job)
  if not config then return nil, err end
  local ok, words = core.fs.mkdir(job.dir .. "/data")
  if not ok then return failed("server", "%s", words) end
  ok, err = store.link(job.training, job.dir .. "/data/train.jsonl", job.pause)
  if ok and job.validation then ok, err = store.link(job.validation, job.dir .. "/data/validation.jsonl", job.pause) end
  if not ok then return nil, err end
  local encoded, text = pcall(yaml, config)
  if not encoded then return failed("invalid", "extra: %s", text) end
  ok, words = core.fs.write(job.dir .. "/config.yaml", text)
  if not ok then return failed("server", "%s", words) end
  return true
end

-- Its copy of the training data goes to the job's folder and not to the user's; what it prints comes at once
local ENV = {HF_DATASETS_CACHE = "cache", HF_HUB_DISABLE_TELEMETRY = "1", PYTHONUNBUFFERED = "1",
  TOKENIZERS_PARALLELISM = "false"}

function R.steps()
  local env = {}
  for name, value in pairs(ENV) do env[name] = value end
  return {{argv = {"trl", "sft", "--config", "config.yaml"}}}, env
end

-- ---- progress: a Python dict a line ----

-- "{'loss': '6.4', 'epoch': 0.1}" -> {loss = 6.4, epoch = 0.1}; numbers quoted or not, as versions differ
local function numbers_of(line)
  local body, found = line:match "^{(.*)}%s*$", {}
  for key, value in (body or ""):gmatch "'([%w_]+)':%s*'?([%w.+-]+)'?" do found[key] = tonumber(value) end
  return found
end

local function steps_total(job) return math.tointeger(job.settings.max_steps) end

local function event_of(job, numbers, step)
  if numbers.loss then
    return {step = step + (math.tointeger(job.settings.logging_steps) or 1), total_steps = steps_total(job),
      epoch = numbers.epoch, loss = numbers.loss, learning_rate = numbers.learning_rate,
      accuracy = numbers.mean_token_accuracy}
  elseif numbers.eval_loss then
    return {step = step, total_steps = steps_total(job), epoch = numbers.epoch, valid_loss = numbers.eval_loss,
      valid_accuracy = numbers.eval_mean_token_accuracy}
  elseif numbers.train_runtime then
    return {step = step, epoch = numbers.epoch,
      message = ("trained for %.0f s, mean loss %.4g"):format(numbers.train_runtime, numbers.train_loss or 0)}
  end
end

function R.events(job, text, last)
  local list, step = {}, last and last.step or 0
  for line in text:gmatch "[^\r\n]+" do
    local event = line:byte() == 123 and event_of(job, numbers_of(line), step) -- "{"
    list[#list + 1] = event or nil
    step = event and event.step or step
  end
  return list
end

-- ---- the result ----

-- The state of the last checkpoint: steps, and losses as numbers, not as they were printed | {}
local function last_state(job)
  local best = -1
  for _, name in ipairs(core.list_dir(job.out) or {}) do
    best = math.max(best, math.tointeger(tonumber(name:match "^checkpoint%-(%d+)$") or -1) or -1)
  end
  return best >= 0 and store.read_json(("%s/checkpoint-%d/trainer_state.json"):format(job.out, best)) or {}
end

local function metrics_of(state)
  local metrics = {step = state.global_step, epoch = state.epoch}
  for _, row in ipairs(type(state.log_history) == "table" and state.log_history or {}) do
    if type(row) == "table" then
      metrics.loss, metrics.valid_loss = row.loss or metrics.loss, row.eval_loss or metrics.valid_loss
      metrics.valid_accuracy = row.eval_mean_token_accuracy or metrics.valid_accuracy
    end
  end
  for name, value in pairs(metrics) do
    if type(value) ~= "number" then metrics[name] = nil end
  end
  return metrics
end

local WEIGHTS = {"adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json"}

function R.result(job)
  local kind
  for _, name in ipairs(WEIGHTS) do
    if core.fs.stat(job.out .. "/" .. name) then kind = kind or name end
  end
  if not kind then return failed("job", "TRL left no weights: none of %s", table.concat(WEIGHTS, ", ")) end
  store.remove_tree(job.dir .. "/cache")
  return {kind = kind == WEIGHTS[1] and "adapter" or "model", metrics = metrics_of(last_state(job))}
end

-- ---- the model at work ----

-- Reads {messages | prompt, max_tokens, temperature}; an adapter brings its base model with it
local SCRIPT = [[
import json, os, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, p = sys.argv[1], json.load(sys.stdin)
if os.path.exists(os.path.join(folder, "adapter_config.json")):
    from peft import AutoPeftModelForCausalLM as AutoModelForCausalLM
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder).to("cuda" if torch.cuda.is_available() else "cpu").eval()
if "messages" in p:
    given = tokenizer.apply_chat_template(p["messages"], add_generation_prompt=True, tokenize=False)
    tokens = tokenizer(given, return_tensors="pt", add_special_tokens=False)
else:
    tokens = tokenizer(p["prompt"], return_tensors="pt")
tokens = {k: v.to(model.device) for k, v in tokens.items() if k in ("input_ids", "attention_mask")}
heat = p.get("temperature", 0)
how = {"do_sample": True, "temperature": heat} if heat > 0 else {"do_sample": False}
with torch.no_grad():
    out = model.generate(**tokens, max_new_tokens=p["max_tokens"], pad_token_id=tokenizer.pad_token_id, **how)
text = tokenizer.decode(out[0][tokens["input_ids"].shape[1]:], skip_special_tokens=True)
print("\n" + json.dumps({"text": text}))
]]
local MAX_TOKENS = 256

function R.sample(model, params)
  for _, name in ipairs {"top_k", "sample_command"} do
    if params[name] then return failed("invalid", "%s is not known to the recipe trl", name) end
  end
  local question = {messages = params.messages, prompt = params.prompt, temperature = params.temperature,
    max_tokens = params.max_tokens or MAX_TOKENS}
  local encoded, text = pcall(core.encode, question)
  if not encoded then return failed("invalid", "messages: %s", text) end
  return {argv = {"python3", "-c", SCRIPT, model.dir}, stdin = text}
end

-- The last line is ours; libraries may print before it
function R.parse(output)
  local doc = core.decode(output:match "([^\n]+)%s*$" or "")
  if type(doc) ~= "table" or type(doc.text) ~= "string" then
    return failed("decode", "the model's program printed no text")
  end
  return {text = doc.text}
end

return R
