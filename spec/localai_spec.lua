-- providers/localai.lua against its fake, over real sockets: the whole life of a job, each request whole, settings,
-- hyperparameters, files, export and models. Progress and faults: localai_progress_spec.lua.

local finetune = require "finetune"
local json = require "dkjson"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local whole = require "spec.support.whole"

local DATA = "examples/data/support.jsonl"
local failed = live.failed

local s

lazy_setup(function()
  s = whole.watch(service.start {dialect = "localai", job_seconds = 0.2, export_seconds = 0.03}, "localai")
end)
lazy_teardown(function() s:stop() end)
before_each(function() s:reset() end)
after_each(live.clean)
after_each(function() s:check() end)

local function provider(config)
  local settings = {base_url = s.url, api_key = s.key, retry_delay = 0.001, poll_interval = 0.02, progress_wait = 0.3}
  for name, value in pairs(config or {}) do settings[name] = value end
  return assert(finetune.create_provider("localai", settings))
end

local function started(p, more)
  local params = {model = s.model, training_file = "yahma/alpaca-cleaned", hyperparameters = {n_epochs = 1}}
  for name, value in pairs(more or {}) do params[name] = value end
  return assert(p:create_job(params))
end

local QUICK = {interval = 0.02, max_interval = 0.05}

local function finished(p, more)
  local job = started(p, more)
  return assert(p:wait(job, QUICK))
end

-- The body of the last request that created a job
local function body()
  local list = s:requests {method = "POST", path = "/jobs$"}
  return json.decode(list[#list].body)
end

-- A request as it was: what matters of it
local function line(r) return ("%s %s %d"):format(r.method, r.target, r.status or 0) end

local function lines(from)
  local out = {}
  for i, r in ipairs(s:requests()) do
    if i > from then out[#out + 1] = line(r) end
  end
  return out
end

describe("localai", function()
  it("runs a whole life: prepare, upload, create, follow, wait, deploy, delete", function()
    local p <close> = provider()
    local report = assert(p:prepare_data {path = DATA, output = live.path()})
    local file = assert(p:upload_file(report.output, {filename = "mail.jsonl"}))
    assert.matches("^/data/fine%-tune/datasets/%x+%-mail%.jsonl$", file.id)
    assert.same({"mail.jsonl", report.bytes, "fine-tune", "processed"},
      {file.filename, file.bytes, file.purpose, file.status})
    assert.equal(report.bytes, s:state().files[file.id].bytes)

    local job = assert(p:create_job {model = s.model, training_file = file, seed = 7, hyperparameters = {n_epochs = 1}})
    assert.same({"queued", s.model, file.id, 7}, {job.status, job.model, job.training_file, job.seed})
    assert.same({n_epochs = 1}, job.hyperparameters)
    local seen = {}
    for event in p:follow(job, QUICK) do seen[#seen + 1] = event.id end
    assert.equal("loading_model-0", seen[1])
    local steps = math.min(40, math.ceil(0.9 * report.examples / 8)) -- of the fake; a tenth is held back
    assert.equal("completed-" .. steps, seen[#seen])
    job = assert(p:wait(job, QUICK))
    assert.same({"succeeded", "completed", 1}, {job.status, job.raw_status, job.progress})
    assert.equal("/data/fine-tune/" .. job.id, job.fine_tuned_model)
    assert.is_true(math.abs(job.created_at - os.time()) < 60)

    local model = assert(p:deploy_model(job, {name = "mail"}))
    assert.same({"mail", "deployed"}, {model.id, model.status})
    assert.equal("mail", assert(p:get_model "mail").id)
    assert.equal("mail", assert(p:get_job(job)).fine_tuned_model)
    assert.is_true(assert(p:delete_model(model)).deleted)
    assert.equal("not_found", failed(p:get_model "mail").kind)
    assert.is_true(assert(p:delete_job(job)).deleted)
    assert.equal("not_found", failed(p:get_job(job)).kind)
  end)

  it("uploads a form with one part", function()
    local p <close> = provider()
    assert(p:upload_file(DATA))
    local r = s:requests()[1]
    assert.same({"POST", "/api/fine-tuning/datasets", 200}, {r.method, r.target, r.status})
    assert.equal("Bearer " .. s.key, r.header.authorization)
    assert.same({{name = "file", filename = "support.jsonl", type = "application/jsonl", length = #live.read(DATA),
      sha256 = live.sha256(DATA)}}, r.parts)
  end)

  it("sends what each operation needs, and nothing else", function()
    local p <close> = provider()
    local job = finished(p, {hyperparameters = {n_epochs = 1, save_steps = 5}})
    local path, n = "/api/fine-tuning/jobs/" .. job.id, #s:requests()
    s:set {task_seconds = 0.5} -- so that it is not done at the first look
    assert(p:list_checkpoints(job))
    assert(p:deploy_model(job.fine_tuned_model, {name = "a", export_format = "gguf", quantization_method = "q8_0"}))
    assert(p:download_file(job))
    assert(p:list_models())
    assert(p:delete_model "a")
    assert(p:delete_job(job))
    local got = {}
    for _, text in ipairs(lines(n)) do
      text = text:gsub("/models/jobs/%x+%-.* ", "/models/jobs/TASK ")
      if got[#got] ~= text then got[#got + 1] = text end -- polls
    end
    assert.same({
      "GET " .. path .. "/checkpoints 200", "GET " .. path .. " 200", "GET " .. path .. "/progress 200",
      "POST " .. path .. "/export 202", "GET " .. path .. " 200", "GET " .. path .. "/download 200",
      "GET /v1/models 200", "POST /models/delete/a 200", "GET /models/jobs/TASK 500", "GET /models/jobs/TASK 200",
      "DELETE " .. path .. " 200"}, got)
    local export = s:requests {path = "/export$"}[1]
    assert.same({name = "a", checkpoint_path = job.fine_tuned_model, export_format = "gguf", model = s.model,
      quantization_method = "q8_0"}, json.decode(export.body))
    for _, r in ipairs(s:requests()) do
      assert.equal("Bearer " .. s.key, r.header.authorization, line(r))
      assert.equal(r.method == "POST" and "application/json" or nil, r.header["content-type"], line(r))
    end
  end)

  describe("settings", function()
    it("come from the environment", function()
      local status, output = shell.run([[lua5.4 -e '
        package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
        local p = require("finetune").get_default_provider()
        print(p.name, #assert(p:list_models()).data)']], {cwd = shell.root, env = {FINE_TUNE_PROVIDER = "localai",
        LOCALAI_BASE_URL = s.url .. "/v1", LOCALAI_API_KEY = s.key .. ",sk-another-key"}})
      assert.same({0, "localai\t2\n"}, {status, output})
      assert.equal("Bearer " .. s.key, s:requests()[1].header.authorization)
    end)

    it("need no key: then none is sent", function()
      local open <close> = service.start {dialect = "localai", auth = "none"}
      local p <close> = assert(finetune.create_provider("localai", {base_url = open.url}))
      assert.equal(2, #assert(p:list_models()).data)
      assert.is_nil(open:requests()[1].header.authorization)
    end)

    it("have the address that LocalAI listens on as their default", function()
      local p <close> = assert(finetune.create_provider("localai", {max_retries = 0,
        transport = function(r) return {json = {object = "list", data = {{id = r.url}}}} end}))
      assert.equal("http://localhost:8080/v1/models", assert(p:list_models()).data[1].id)
    end)

    it("are refused where they make no sense", function()
      for _, wait in ipairs {0, -1} do
        assert.has_error(function() finetune.create_provider("localai", {progress_wait = wait}) end,
          "create_provider: setting 'progress_wait' must be more than 0")
      end
    end)

    it("hf_token goes with a job and an export, and into no error", function()
      local p <close> = provider {hf_token = "hf_secret_0123456789"}
      local job = finished(p)
      assert.equal("hf_secret_0123456789", body().extra_options.hf_token)
      assert(p:deploy_model(job, {name = "x"}))
      local export = json.decode(s:requests {path = "/export$"}[1].body)
      assert.same({hf_token = "hf_secret_0123456789"}, export.extra_options)
      s:set {refuse = {message = "no hf_secret_0123456789"}}
      local err = failed(p:create_job {model = "m", training_file = "f"})
      assert.not_matches("hf_secret", json.encode {tostring(err), err.message})
    end)
  end)

  describe("a job's parameters", function()
    local function sent(params)
      local p <close> = provider()
      started(p, params)
      local doc = body()
      assert.matches("^%x+$", doc.extra_options.finetune_token)
      doc.extra_options.finetune_token = nil
      return doc
    end

    it("are LocalAI's", function()
      assert.same({model = s.model, dataset_source = "yahma/alpaca-cleaned", training_method = "sft", seed = 3,
        num_epochs = 2, batch_size = 4, learning_rate = 0.0002, adapter_rank = 16, adapter_alpha = 32,
        adapter_dropout = 0.1, weight_decay = 0.05, warmup_steps = 9, gradient_accumulation_steps = 2, max_steps = 10,
        save_steps = 5, optimizer = "sgd", mixed_precision = "bf16", gradient_checkpointing = true,
        backend = "trl", training_type = "full", dataset_split = "train", target_modules = {"q_proj"},
        extra_options = {max_seq_length = "512", packing = "true", eval_steps = "4", trust_remote_code = "false",
          eval_dataset_source = "yahma/alpaca-cleaned"}, note = "mine"},
      sent {seed = 3, backend = "trl", training_type = "full", dataset_split = "train", target_modules = {"q_proj"},
        validation_file = "yahma/alpaca-cleaned",
        extra = {note = "mine", extra_options = {trust_remote_code = "false"}},
        hyperparameters = {n_epochs = 2, batch_size = 4, learning_rate = 2e-4, lora_rank = 16, lora_alpha = 32,
          lora_dropout = 0.1, weight_decay = 0.05, warmup_steps = 9, gradient_accumulation_steps = 2, max_steps = 10,
          save_steps = 5, optimizer = "sgd", mixed_precision = "bf16", gradient_checkpointing = true,
          max_seq_length = 512, packing = true, eval_steps = 4}})
    end)

    it("leave out what is automatic", function()
      local doc = sent {hyperparameters = {n_epochs = "auto", learning_rate = "auto"}}
      assert.same({nil, nil}, {doc.num_epochs, doc.learning_rate})
    end)

    local METHODS = {
      dpo = {{beta = 0.2, max_seq_length = 6, loss_type = "ipo"}, {beta = "0.2", max_length = "6", loss_type = "ipo"}},
      kto = {{beta = 0.1}, {beta = "0.1"}}, orpo = {{max_seq_length = 9}, {max_length = "9"}},
      reward = {{max_seq_length = 9}, {max_length = "9"}}, rloo = {{num_generations = 2}, {num_generations = "2"}},
      grpo = {{max_completion_length = 8}, {max_completion_length = "8"}},
      reinforcement = {{num_generations = 3}, {num_generations = "3"}},
    }
    for name, case in pairs(METHODS) do
      it("name the method " .. name, function()
        local scores = name == "grpo" or name == "reinforcement"
        local rewards = scores and {{type = "builtin", name = "length_reward"}} or nil
        local doc = sent {method = name, hyperparameters = case[1], reward_functions = rewards}
        assert.equal(name == "reinforcement" and "grpo" or name, doc.training_method)
        assert.same(case[2], doc.extra_options)
        assert.same(rewards, doc.reward_functions)
      end)
    end

    it("may begin at a checkpoint", function()
      local p <close> = provider()
      local job = finished(p)
      local checkpoint = assert(p:list_checkpoints(job)).data[1]
      assert.equal("succeeded", finished(p, {from_checkpoint = checkpoint}).status)
      assert.equal(checkpoint.id, body().resume_from_checkpoint)
      assert.matches("valid checkpoint", select(2, p:wait(started(p, {from_checkpoint = "/nowhere"}), QUICK)).message)
    end)

    local REFUSED = {
      {{suffix = "mine"}, "suffix", "deploy_model"}, {{metadata = {a = "b"}}, "metadata", "not known to LocalAI"},
      {{integrations = {{type = "wandb"}}}, "integrations", "not known to LocalAI"},
      {{validation_file = "/data/fine-tune/datasets/a.jsonl"}, "validation_file", "Hugging Face Hub"},
      {{training_type = "qlora"}, "training_type", "full, loha, lokr, lora"},
      {{seed = 0}, "seed", "from 1"}, {{seed = 1 << 31}, "seed", "2147483647"},
      {{method = "magic"}, "method", "not offered"}, {{extra = {extra_options = "a"}}, nil, "texts"},
      {{method = "reinforcement", grader = {type = "x"}, hyperparameters = {}}, "grader", "reward_functions"},
      {{hyperparameters = {learning_rate_multiplier = 2}}, "hyperparameters.learning_rate_multiplier", "is a factor"},
      {{hyperparameters = {n_epochs = 0}}, "hyperparameters.n_epochs", "whole number"},
      {{hyperparameters = {n_epochs = 1.5}}, "hyperparameters.n_epochs", "whole number"},
      {{hyperparameters = {learning_rate = 0}}, "hyperparameters.learning_rate", "above 0"},
      {{hyperparameters = {lora_dropout = 2}}, "hyperparameters.lora_dropout", "from 0 to 1"},
      {{hyperparameters = {weight_decay = 0}}, "hyperparameters.weight_decay", "above 0"},
      {{hyperparameters = {warmup_ratio = 0.1}}, "hyperparameters.warmup_ratio", "warmup_steps"},
      {{hyperparameters = {packing = "yes"}}, "hyperparameters.packing", "boolean"},
      {{hyperparameters = {beta = 0.1}}, "hyperparameters.beta", "not known to LocalAI"},
      {{method = "grpo", hyperparameters = {}}, nil, "needs reward_functions"},
    }
    for _, case in ipairs(REFUSED) do
      it("are refused with words: " .. json.encode(case[1]), function()
        local p <close> = provider()
        local params = {model = s.model, training_file = "f"}
        for name, value in pairs(case[1]) do params[name] = value end
        local err = failed(p:create_job(params))
        assert.same({"invalid", case[2]}, {err.kind, err.param})
        assert.matches(case[3], err.message)
        assert.equal(0, #s:requests())
      end)
    end
  end)

  describe("upload_file", function()
    it("wants a name by which the format is known", function()
      local p <close> = provider()
      for _, name in ipairs {"data", "data.txt", "data.jsonl.gz", "jsonl"} do
        assert.matches("must end in", failed(p:upload_file(DATA, {filename = name})).message)
      end
      assert.equal("invalid", failed(p:upload_file(DATA, {purpose = "batch"})).kind)
      assert.equal(0, #s:requests())
    end)

    it("names the server's limit where a file is too large", function()
      s:set {max_file_bytes = 1000}
      local p <close> = provider()
      local err = failed(p:upload_file(DATA))
      assert.same({"invalid", 413}, {err.kind, err.status})
      assert.matches("Request Entity Too Large %(the server's LOCALAI_UPLOAD_LIMIT", err.message)
    end)

    it("tells of a file that is not there", function()
      local p <close> = provider()
      assert.equal("data", failed(p:upload_file "/nowhere/a.jsonl").kind)
    end)
  end)

  describe("models", function()
    it("deploy_model takes a checkpoint, and its own name", function()
      local p <close> = provider()
      local job = finished(p, {hyperparameters = {n_epochs = 1, save_steps = 5}})
      local checkpoint = assert(p:list_checkpoints(job)).data[2]
      local made = assert(p:deploy_model(checkpoint.model))
      assert.equal("tiny-org-tiny-chat-1-ft-" .. job.id:sub(1, 8), made.id)
      assert.equal(checkpoint.id, json.decode(s:requests {path = "/export$"}[1].body).checkpoint_path)
    end)

    it("deploy_model need not wait", function()
      local p <close> = provider()
      local made = assert(p:deploy_model(finished(p), {wait = false, name = "soon"}))
      assert.same({"soon", "exporting"}, {made.id, made.status})
    end)

    it("deploy_model tells why not, in LocalAI's words", function()
      local p <close> = provider()
      assert.equal("not_found", failed(p:deploy_model "nobody").kind)
      assert.equal("invalid", failed(p:deploy_model("x", {export_format = "zip"})).kind)
      local job = finished(p)
      local err = failed(p:deploy_model(job, {name = "llama-served"}))
      assert.same({"server", 'model "llama-served" already exists, choose a different name'}, {err.kind, err.message})
      err = failed(p:deploy_model(job.fine_tuned_model .. "/checkpoint-9999"))
      assert.equal("job", err.kind)
      assert.matches("Checkpoint not found", err.message)
      assert.equal("conflict", failed(p:deploy_model(started(p))).kind)
    end)

    it("deploy_model waits for the weights, which come after LocalAI's `completed`", function()
      s:set {job_seconds = 40} -- the weights come 2.8 s after that jump
      local p <close> = provider()
      local job = started(p)
      s:jump(job.id, 0.93)
      assert.equal("succeeded", assert(p:wait(job, QUICK)).status)
      local took = live.timed(function() assert(p:deploy_model(job, {name = "late"})) end)
      assert.is_true(took > 0.1, "it did not wait")
    end)

    it("download_file gives the archive of an exported model", function()
      local p <close> = provider()
      local job = finished(p)
      assert.matches("export not completed", failed(p:download_file(job)).message)
      assert(p:deploy_model(job, {name = "mine"}))
      local text = assert(p:download_file(job))
      assert.matches("part 4 of mine$", text)
      local out = live.path()
      assert.same({path = out, bytes = #text}, assert(p:download_file(job, {output = out})))
      assert.equal(text, live.read(out))
      assert.is_nil((p:download_file(job, {max_bytes = 10})))
    end)

    it("delete_model says what it cannot delete", function()
      local p <close> = provider()
      assert.equal("not_found", failed(p:delete_model "nobody").kind)
      assert.matches("permission denied", failed(p:delete_model "stuck-model").message)
      assert.matches("delete_job removes it", failed(p:delete_model "/data/fine-tune/x").message)
      s:set {admin = false}
      assert.equal("permission", failed(p:delete_model "llama-served").kind)
      assert.equal("timeout", (function()
        s:set {admin = true, task_seconds = 60}
        return failed(p:delete_model("llama-served", {wait_timeout = 0.1})).kind
      end)())
    end)
  end)
end)
