-- providers/recipes/trl.lua without TRL: the folder and the configuration that it lays out,
-- whole; its progress and its result read from what TRL 1.16 printed and wrote. `make
-- test-trl` runs it with TRL.

local core = require "finetune.core"
local shell = require "spec.support.shell"

local R = dofile "providers/recipes/trl.lua"

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

describe("the recipe trl", function()
  local tmp, number

  lazy_setup(function()
    tmp, number = shell.folder(), 0
    assert(core.fs.write(tmp .. "/train.jsonl", '{"messages": []}\n'))
    assert(core.fs.write(tmp .. "/valid.jsonl", '{"messages": [1]}\n'))
  end)
  lazy_teardown(function() shell.remove(tmp) end)

  local function settings(hyperparameters, extra)
    return R.settings({}, {hyperparameters = hyperparameters, extra = extra})
  end

  local function new_job(fields)
    number = number + 1
    local dir = ("%s/job%d"):format(tmp, number)
    assert(core.fs.mkdir(dir))
    assert(core.fs.mkdir(dir .. "/out"))
    local job = {dir = dir, out = dir .. "/out", settings = {}, model = "acme/tiny", training = tmp .. "/train.jsonl",
      pause = function() end}
    for key, value in pairs(fields or {}) do job[key] = value end
    return job
  end

  local function config(fields)
    local job = new_job(fields)
    assert(R.layout(job))
    return read(job.dir .. "/config.yaml"), job
  end

  it("lays out the data and this configuration", function()
    local text, job = config {seed = 7, validation = tmp .. "/valid.jsonl", settings = assert(settings({
      n_epochs = 3, batch_size = 4, learning_rate = 1e-5, lora_r = 8, lora_alpha = 16, lora_dropout = 0.05,
      lora_target_modules = {"q_proj", "v_proj"}, max_length = 512, assistant_only_loss = true, packing = false,
    }, {bf16 = false, optim = "adamw_torch", run_name = "a: 'b' \"c\" #d", env = {A = "1"}}))}
    assert.equal([[
assistant_only_loss: true
bf16: false
dataset_name: "./data"
dataset_test_split: "validation"
disable_tqdm: true
env: {"A":"1"}
eval_strategy: "epoch"
learning_rate: 1.0e-05
logging_steps: 1
lora_alpha: 16
lora_dropout: 0.05
lora_r: 8
lora_target_modules: ["q_proj","v_proj"]
max_length: 512
model_name_or_path: "acme/tiny"
num_train_epochs: 3
optim: "adamw_torch"
output_dir: "out"
packing: false
per_device_train_batch_size: 4
report_to: "none"
run_name: "a: 'b' \"c\" #d"
save_strategy: "epoch"
seed: 7
use_peft: true
]], text)
    assert.equal('{"messages": []}\n', read(job.dir .. "/data/train.jsonl"))
    assert.equal('{"messages": [1]}\n', read(job.dir .. "/data/validation.jsonl"))
    local steps, env = R.steps(job)
    assert.same({{argv = {"trl", "sft", "--config", "config.yaml"}}}, steps)
    assert.same({HF_DATASETS_CACHE = "cache", HF_HUB_DISABLE_TELEMETRY = "1", PYTHONUNBUFFERED = "1",
      TOKENIZERS_PARALLELISM = "false"}, env)
  end)

  it("has defaults for an adapter, and others for a whole model", function()
    local head = 'dataset_name: "./data"\ndisable_tqdm: true\nlearning_rate: %s\nlogging_steps: 1\n%s'
      .. 'model_name_or_path: "acme/tiny"\noutput_dir: "out"\nreport_to: "none"\nsave_strategy: "epoch"\nuse_peft: %s\n'
    assert.equal(head:format("0.0002", "lora_alpha: 32\nlora_r: 16\n", "true"), (config()))
    assert.equal(head:format("2.0e-05", "", "false"), (config {settings = assert(settings {lora = false})}))
    local text, job = config()
    assert.is_nil(core.fs.stat(job.dir .. "/data/validation.jsonl"))
    assert.is_nil(text:find("eval_strategy", 1, true))
  end)

  it("writes no float that YAML takes for a text", function()
    for _, case in ipairs {{1e-5, "1.0e-05"}, {2.5e-7, "2.5e-07"}, {3.0, "3.0"}, {0.1, "0.1"}, {1e300, "1.0e+300"},
      {123456789.25, "123456789.25"}, {7, "7"}} do
      assert.truthy(config({settings = {x = case[1]}}):find("\nx: " .. case[2] .. "\n", 1, true), case[2])
    end
  end)

  it("cannot be made to write more lines than it means", function()
    local text = config {model = "x\noutput_dir: /", settings = {["a\nb"] = "c\nd: e", y = "\226\128\168"}}
    assert.truthy(text:find('model_name_or_path: "x\\noutput_dir: /"\n', 1, true))
    assert.truthy(text:find('"a\\nb": "c\\nd: e"\n', 1, true))
    local _, lines = text:gsub("\n", "")
    assert.equal(13, lines)
  end)

  it("refuses what TRL cannot be told, and what is the recipe's own", function()
    for _, case in ipairs {
      {{learning_rate_multiplier = 2}, nil, "learning_rate"}, {{beta = 0.1}, nil, "is not known"},
      {{batch_size = 0}, nil, "from 1"}, {{lora_r = 1.5}, nil, "whole number"}, {{use_cpu = 1}, nil, "boolean"},
      {{lora_target_modules = {}}, nil, "array of names"}, {{lora_target_modules = {1}}, nil, "array of names"},
      {{dtype = "int4"}, nil, "one of"}, {{lora = false, lora_r = 4}, nil, "no use"},
      {{lora_rank = 0}, nil, "from 1"}, {{lora_rank = 8, lora_r = 8}, nil, "are the same"},
      {nil, {output_dir = "/etc"}, "output_dir cannot be given"}, {nil, {report_to = "wandb"}, "report_to"},
    } do
      local ok, err = settings(case[1], case[2])
      assert.is_nil(ok)
      assert.equal("invalid", err.kind)
      assert.truthy(err.message:find(case[3], 1, true), err.message)
    end
    assert.equal(8, assert(settings {lora_rank = 8}).lora_r)
    assert.is_nil((R.settings({}, {seed = -5})))
    assert.same({"all-linear"}, assert(settings {lora_target_modules = "all-linear"}).lora_target_modules)
    assert.matches("supervised", select(2, R.settings({}, {method = "dpo"})).message)
  end)

  it("begins with a name, a folder or a whole local model", function()
    for _, model in ipairs {"./tiny", "../tiny", "~/tiny", ""} do
      local ok, err = R.layout(new_job {model = model})
      assert.is_nil(ok)
      assert.matches("absolute path", err.message)
    end
    local base = tmp .. "/base"
    assert(core.fs.mkdir(base))
    local ok, err = R.layout(new_job {base = {dir = base}})
    assert.is_nil(ok)
    assert.matches("adapter", err.message)
    assert(core.fs.write(base .. "/config.json", "{}"))
    assert.truthy(config({base = {dir = base}}):find(('model_name_or_path: "%s"\n'):format(base), 1, true))
  end)

  it("says what the disk said", function()
    local job = new_job()
    shell.remove(job.dir)
    assert.equal("server", select(2, R.layout(job)).kind)
    assert.equal("server", select(2, R.layout(new_job {training = tmp .. "/nothing"})).kind)
  end)

  -- as TRL 1.16 with transformers 5 printed it; earlier ones did not quote numbers
  local QUOTED = "{'loss': '6.439', 'grad_norm': '0.2672', 'learning_rate': '0.002', 'entropy': '6.384', "
    .. "'mean_token_accuracy': '0.25', 'num_tokens': '333', 'epoch': '0.006579'}\n"
  local PLAIN = "{'loss': 6.4, 'grad_norm': 0.3, 'learning_rate': 1.9e-05, 'epoch': 0.5}\n"
  local NOISE = "\rTokenizing train dataset:  65%|######   | 397/607 [00:00<00:00, 3922.80 examples/s]\n"
    .. "{'a': {'b': 1}}\n{}\n{'loss': 'nan?'}\n[1]\n\255\0\n"
  local EVAL = "{'eval_loss': '6.326', 'eval_runtime': '0.243', 'eval_mean_token_accuracy': '0.056', 'epoch': '1'}\n"
  local LAST = "{'train_runtime': '2.107', 'train_samples_per_second': '37.97', 'train_loss': '6.366', 'epoch': '1'}\n"

  it("reads progress in both styles of quoting", function()
    local job = {settings = {max_steps = 20}}
    local events = R.events(job, NOISE .. QUOTED .. PLAIN .. NOISE, nil)
    assert.same({{step = 1, total_steps = 20, epoch = 0.006579, loss = 6.439, learning_rate = 0.002, accuracy = 0.25},
      {step = 2, total_steps = 20, epoch = 0.5, loss = 6.4, learning_rate = 1.9e-05}}, events)
    local more = R.events(job, EVAL .. PLAIN .. LAST, events[2])
    assert.same({{step = 2, total_steps = 20, epoch = 1, valid_loss = 6.326, valid_accuracy = 0.056},
      {step = 3, total_steps = 20, epoch = 0.5, loss = 6.4, learning_rate = 1.9e-05},
      {step = 3, epoch = 1, message = "trained for 2 s, mean loss 6.366"}}, more)
    assert.equal(20, R.events({settings = {logging_steps = 10}}, QUOTED .. QUOTED, nil)[2].step)
  end)

  it("reads the result from the last checkpoint's trainer_state.json", function()
    local job = new_job()
    local ok, err = R.result(job)
    assert.is_nil(ok)
    assert.equal("job", err.kind)
    assert(core.fs.write(job.out .. "/adapter_model.safetensors", "x"))
    assert.same({kind = "adapter", metrics = {}}, R.result(job))
    for step, loss in pairs {[9] = 3.5, [20] = 2.5} do
      local folder = ("%s/checkpoint-%d"):format(job.out, step)
      assert(core.fs.mkdir(folder))
      assert(core.fs.write(folder .. "/trainer_state.json", core.encode {global_step = step, epoch = 2.0,
        log_history = {{loss = 9.0, step = 1}, {loss = loss, step = step}, {eval_loss = 3.0, step = step,
          eval_mean_token_accuracy = 0.5}, "x"}}))
    end
    assert(core.fs.mkdir(job.dir .. "/cache"))
    assert.same({kind = "adapter", metrics = {step = 20, epoch = 2.0, loss = 2.5, valid_loss = 3.0,
      valid_accuracy = 0.5}}, R.result(job))
    assert.is_nil(core.fs.stat(job.dir .. "/cache"))
    assert(core.fs.write(job.out .. "/checkpoint-20/trainer_state.json", '{"log_history": 7, "epoch": "x"}'))
    assert.same({}, R.result(job).metrics)
    assert(core.fs.write(job.out .. "/checkpoint-20/trainer_state.json", "garbage"))
    assert.same({}, R.result(job).metrics)
  end)

  it("samples with a program of its own, which gets the question as JSON", function()
    local messages = {{role = "user", content = "hello 'there'"}}
    local command = assert(R.sample({dir = "/m o/d"}, {messages = messages, temperature = 0.5}))
    assert.same({"python3", "-c"}, {command.argv[1], command.argv[2]})
    assert.equal("/m o/d", command.argv[4])
    assert.same({messages = messages, temperature = 0.5, max_tokens = 256}, core.decode(command.stdin))
    assert.same({prompt = "x", max_tokens = 4}, core.decode(assert(R.sample({dir = "/"}, {prompt = "x",
      max_tokens = 4})).stdin))
    assert.equal("invalid", select(2, R.sample({dir = "/"}, {prompt = "x", top_k = 4})).kind)
    assert.same({text = "a\nb"}, R.parse 'Loading weights\n\n{"text": "a\\nb"}\n')
    for _, output in ipairs {"", "garbage\n", '{"text": 1}', "[]\n"} do
      assert.equal("decode", select(2, R.parse(output)).kind)
    end
  end)
end)
