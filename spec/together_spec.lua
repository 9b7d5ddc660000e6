-- providers/together.lua over the loopback service: a whole life, every request as it goes out, hyperparameters and
-- refusals, errors. Uploads are in together_upload_spec.lua, what jobs make in together_results_spec.lua.

local finetune = require "finetune"
local json = require "dkjson"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local whole = require "spec.support.whole"

describe("together", function()
  local s, p, file

  lazy_setup(function() s = whole.watch(service.start {dialect = "together", job_seconds = 0.2}, "together") end)
  lazy_teardown(function() s:stop() end)

  local function provider(config)
    local settings = {api_key = s.key, base_url = s.url, retry_delay = 0.001, max_retries = 0, poll_interval = 0.01,
      timeout = 5}
    for name, value in pairs(config or {}) do settings[name] = value end
    return assert(finetune.create_provider("together", settings))
  end

  before_each(function()
    s:reset()
    p, file = provider(), s:seed {files = 1}.files[1]
  end)
  after_each(function() s:check() end)

  local function job_with(params, config)
    local all = {model = s.model, training_file = file}
    for name, value in pairs(params or {}) do all[name] = value end
    return (config and provider(config) or p):create_job(all)
  end

  -- What create_job sent beyond what it always sends
  local function sent(params, config)
    s:clear()
    local job, err = job_with(params, config)
    if not job then return nil, err end
    local body = json.decode(s:requests {method = "POST"}[1].body)
    assert.same({s.model, file}, {body.model, body.training_file})
    body.model, body.training_file = nil, nil
    return body
  end

  local function done_job(params)
    local job = assert(job_with(params))
    s:jump(job.id, 1)
    return assert(p:get_job(job))
  end

  -- Each request since the last clear: "METHOD target body"
  local function lines()
    local list = {}
    for i, r in ipairs(s:requests()) do
      list[i] = ("%s %s%s"):format(r.method, r.target, r.body and r.body ~= "" and " " .. r.body or "")
      if r.site == "api" then
        assert.equal("Bearer " .. s.key, r.header.authorization)
        local wanted = r.method == "POST" and "application/json" or r.body ~= "" and "application/json" or nil
        assert.equal(wanted, r.header["content-type"])
      else
        assert.is_nil(r.header.authorization)
      end
    end
    return list
  end

  local SFT = {method = "sft", train_on_inputs = "auto"}

  -- ---- the whole life ----

  it("goes from data to a model and to its end", function()
    local path = os.tmpname() .. ".jsonl"
    local report = assert(p:prepare_data({{messages = {{role = "user", content = "q"}, {role = "assistant",
      content = "a"}}}}, {output = path}))
    assert.same({}, report.warnings) -- one example is enough for Together
    local up = assert(p:upload_file(path, {wait = true}))
    os.remove(path)
    local job = assert(p:create_job {model = s.model, training_file = up, suffix = "life",
      hyperparameters = {n_checkpoints = 2}})
    local messages = {}
    for event in p:follow(job, {interval = 0.01, max_interval = 0.02}) do messages[#messages + 1] = event.type end
    assert.same({"job_pending", "training_start", "checkpoint_save", "training_complete", "model_compressing",
      "model_uploading", "job_complete"}, messages)
    job = assert(p:wait(job))
    assert.matches("^loop/tiny%-chat%-1%-life%-", job.fine_tuned_model)
    assert.equal(job.fine_tuned_model, assert(p:get_model(job.fine_tuned_model)).id)
    assert.is_true(assert(p:delete_model(job.fine_tuned_model)).deleted)
    assert.equal("not_found", select(2, p:get_job(job)).kind)
    assert.is_true(assert(p:delete_file(up)).deleted)
    assert.equal("not_found", select(2, p:get_file(up)).kind)
  end)

  it("is configured by the environment alone", function()
    local output = shell.must("exec lua5.4 examples/same_script.lua", {cwd = shell.root, env = {
      FINE_TUNE_PROVIDER = "together", TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url, FINE_TUNE_MODEL = s.model,
    }})
    assert.matches("provider  together\n", output)
    assert.matches("event     Job finished\n", output)
    assert.matches("model     loop/", output)
  end)

  it("has Together's own address, and says which key is missing", function()
    local found = finetune.get_provider "together"
    assert.equal("https://api.together.ai/v1", found.base_url)
    local other <close> = assert(finetune.create_provider("together", {base_url = s.url}))
    local _, err = other:list_jobs()
    assert.equal("config", err.kind)
    assert.matches("TOGETHER_API_KEY", err.message)
  end)

  -- ---- requests and values ----

  it("sends each request as it should be", function()
    local job = done_job()
    local id = job.id
    s:clear()
    assert(p:get_job(job))
    assert(p:list_jobs {limit = 1})
    assert(p:list_events(job))
    assert(p:list_checkpoints(job))
    assert(p:list_metrics(job))
    assert(p:list_metrics(job, {global_step_from = 2, global_step_to = 3}))
    assert(p:list_files {purpose = "fine-tune"})
    assert(p:get_file(file))
    assert(p:download_file(file))
    assert(p:list_models())
    assert(p:get_model(s.model))
    assert(p:delete_job(job))
    assert(p:delete_file(file))
    assert.same({"GET /v1/fine-tunes/" .. id, "GET /v1/fine-tunes", "GET /v1/fine-tunes/" .. id .. "/events",
      "GET /v1/fine-tunes/" .. id .. "/checkpoints", "GET /v1/fine-tunes/" .. id .. "/metrics",
      "GET /v1/fine-tunes/" .. id .. "/metrics {\"global_step_from\":2,\"global_step_to\":3}",
      "GET /v1/files", "GET /v1/files/" .. file, "GET /v1/files/" .. file .. "/content", "GET /v1/fine-tunes",
      "GET /v1/fine-tunes/models/supported", "GET /v1/fine-tunes",
      "GET /v1/fine-tunes/models/limits?model_name=loop%2Ftiny-chat-1", "DELETE /v1/fine-tunes/" .. id,
      "DELETE /v1/files/" .. file}, lines())
  end)

  it("gives a job in the common form", function()
    local job = done_job {suffix = "sx", seed = 5, hyperparameters = {lora_rank = 8, n_epochs = 2, n_evals = 0}}
    assert.same({s.model, file, "sx", 5, "completed", "succeeded", 1, 1200}, {job.model, job.training_file, job.suffix,
      job.seed, job.raw_status, job.status, job.progress, job.trained_tokens})
    assert.same({type = "supervised"}, job.method)
    local h = job.hyperparameters
    assert.same({2, 32, 8, 16, "auto", true}, {h.n_epochs, h.batch_size, h.lora_rank, h.lora_alpha, h.train_on_inputs,
      h.packing})
    assert.equal("integer", math.type(job.created_at))
    assert.is_true(job.finished_at >= job.created_at and math.abs(job.created_at - os.time()) < 60)
    local running = assert(job_with {})
    assert.is_nil(running.fine_tuned_model) -- though the service names it from the start
    assert.is_nil(running.finished_at)
    s:jump(running.id, 0.5)
    assert.equal(0, assert(p:get_job(running)).progress)
  end)

  it("passes through the documented states, and others, to the end", function()
    s:set {unannounced = true, job_seconds = 100}
    local job, seen = assert(job_with {}), {}
    for _, at in ipairs {0, 0.1, 0.2, 0.3, 0.8, 0.9, 1} do
      s:jump(job.id, at)
      seen[#seen + 1] = assert(p:get_job(job)).status
    end
    assert.same({"pending", "queued", "model_downloading", "running", "finalizing", "finalizing", "succeeded"}, seen)
    assert.equal("uploading", (function() s:set {patch = {[job.id] = {status = "uploading"}}}
      return assert(p:get_job(job)).raw_status end)())
    s:set {patch = {[job.id] = {status = "brand_new"}}}
    local done, err = p:wait(job, {timeout = 0.05, interval = 0.01})
    assert.is_nil(done)
    assert.equal("timeout", err.kind)
  end)

  it("cancels a job", function()
    s:set {job_seconds = 1}
    local job = assert(job_with {})
    s:clear()
    assert.equal("cancelling", assert(p:cancel_job(job)).status)
    assert.same({"POST /v1/fine-tunes/" .. job.id .. "/cancel"}, lines())
    local done, err = p:wait(job, {interval = 0.02, max_interval = 0.05})
    assert.is_nil(done)
    assert.equal("job", err.kind)
    assert.equal("cancelled", assert(p:get_job(job)).status)
  end)

  it("says why a job failed, whichever way the service tells it", function()
    for _, word in ipairs {"error", "user_error"} do
      for _, inside in ipairs {true, false} do
        s:set {events_in_job = inside, fail = {status = word, message = "Line 3 has no messages"}}
        local job = assert(job_with {})
        s:jump(job.id, 1)
        local done, err = p:wait(job)
        assert.is_nil(done)
        assert.equal("job", err.kind)
        assert.matches("Line 3 has no messages", err.message)
        local reason = inside and {code = "job_error", message = "Line 3 has no messages"} or nil
        assert.same(reason, assert(p:get_job(job)).error)
      end
    end
    s:set {fail = false}
  end)

  -- ---- hyperparameters ----

  local MAPPED = {
    {{n_epochs = 3}, {n_epochs = 3}}, {{n_epochs = 20.0}, {n_epochs = 20}}, {{n_epochs = "auto"}, {}},
    {{batch_size = 8}, {batch_size = 8}}, {{batch_size = "max"}, {batch_size = "max"}},
    {{learning_rate = 2e-5}, {learning_rate = 2e-5}}, {{warmup_ratio = 0.1}, {warmup_ratio = 0.1}},
    {{max_grad_norm = 0}, {max_grad_norm = 0}}, {{weight_decay = 0.01}, {weight_decay = 0.01}},
    {{n_checkpoints = 2}, {n_checkpoints = 2}}, {{packing = false}, {packing = false}},
    {{max_seq_length = 4096}, {max_seq_length = 4096}},
    {{lora_rank = 8}, {training_type = {type = "Lora", lora_r = 8, lora_alpha = 16}}},
    {{lora_rank = 8, lora_alpha = 8, lora_dropout = 0.1, lora_trainable_modules = "q_proj"}, {training_type =
      {type = "Lora", lora_r = 8, lora_alpha = 8, lora_dropout = 0.1, lora_trainable_modules = "q_proj"}}},
    {{lr_scheduler_type = "linear"}, {lr_scheduler = {lr_scheduler_type = "linear"}}},
    {{lr_scheduler_type = "linear", min_lr_ratio = 0.1}, {lr_scheduler =
      {lr_scheduler_type = "linear", lr_scheduler_args = {min_lr_ratio = 0.1}}}},
    {{lr_scheduler_type = "cosine", num_cycles = 2}, {lr_scheduler =
      {lr_scheduler_type = "cosine", lr_scheduler_args = {min_lr_ratio = 0, num_cycles = 2}}}},
    {{train_on_inputs = false}, {training_method = {method = "sft", train_on_inputs = false}}},
    {{train_on_inputs = "auto"}, {}},
  }

  it("maps each hyperparameter, and the service takes it", function()
    for _, case in ipairs(MAPPED) do
      local wanted = {training_method = SFT}
      for name, value in pairs(case[2]) do wanted[name] = value end
      assert.same(wanted, assert(sent {hyperparameters = case[1]}))
    end
  end)

  it("maps the other parameters", function()
    local job = done_job()
    assert.same({training_method = SFT, suffix = "mine", random_seed = 42, validation_file = file, n_evals = 1,
      from_checkpoint = job.id, multimodal_params = {train_vision = true}}, assert(sent {suffix = "mine", seed = 42,
      validation_file = file, from_checkpoint = job.id, train_vision = true, hyperparameters = {n_evals = 1}}))
    assert.same({training_method = SFT, training_type = {type = "Full"}}, assert(sent {training_type = "full"}))
    assert.same({training_method = SFT}, assert(sent {training_type = "lora"})) -- is what the service does unasked
    assert.same({training_method = SFT, from_hf_model = "me/x", hf_model_revision = "main",
      hf_api_token = "hf-token-1"},
      assert(sent({from_hf_model = "me/x", hf_model_revision = "main"}, {hf_api_token = "hf-token-1"})))
    assert.same({training_method = SFT, hf_output_repo_name = "me/y"}, assert(sent {hf_output_repo_name = "me/y"}))
    assert.same({training_method = SFT}, assert(sent({}, {hf_api_token = "hf-token-1", wandb_api_key = "wb-token-1"})))
    assert.same({training_method = {method = "sft", train_on_inputs = true}, n_epochs = 2}, assert(sent {extra =
      {n_epochs = 2, training_method = {train_on_inputs = true}}}))
  end)

  it("maps preference tuning", function()
    assert.same({training_method = {method = "dpo"}}, assert(sent {method = "dpo"}))
    assert.same({training_method = {method = "dpo", dpo_beta = 0.2, rpo_alpha = 0.5}, n_epochs = 2}, assert(sent {
      method = {type = "dpo", dpo = {hyperparameters = {beta = 0.2, rpo_alpha = 0.5, n_epochs = 2}}}}))
    assert.same({training_method = {method = "dpo", simpo_gamma = 1, dpo_reference_free = true,
      dpo_normalize_logratios_by_length = false}}, assert(sent {method = "dpo", hyperparameters = {simpo_gamma = 1,
      dpo_normalize_logratios_by_length = false}}))
  end)

  it("turns W&B's integration into its fields, with the key of the settings", function()
    local wandb = {{type = "wandb", wandb = {project = "p", name = "n", entity = "e", base_url = "https://w"}}}
    assert.same({training_method = SFT, wandb_project_name = "p", wandb_name = "n", wandb_entity = "e",
      wandb_base_url = "https://w", wandb_api_key = "wb-token-1"},
      assert(sent({integrations = wandb}, {wandb_api_key = "wb-token-1"})))
    assert.equal("config", select(2, job_with {integrations = wandb}).kind)
    s:fault {kind = "status", status = 400, path = "/fine%-tunes$", message = "bad key wb-token-1"}
    local _, echoed = job_with({integrations = wandb}, {wandb_api_key = "wb-token-1"})
    assert.matches("bad key", echoed.message)
    assert.is_nil(tostring(echoed):find("wb-token-1", 1, true))
    for _, bad in ipairs {{}, {{type = "mlflow"}}, {wandb[1], wandb[1]}, {{type = "wandb"}},
      {{type = "wandb", wandb = {api_key = "x"}}}, {{type = "wandb", wandb = {project = 7}}}} do
      local _, err = job_with({integrations = bad}, {wandb_api_key = "wb-token-1"})
      assert.same({"invalid", "integrations"}, {err.kind, err.param})
    end
  end)

  it("refuses, with words, what Together does not take", function()
    s:clear()
    local function h(t) return {hyperparameters = t} end
    for _, case in ipairs {
      {h {learning_rate_multiplier = 2}, "hyperparameters.learning_rate_multiplier", "only learning_rate"},
      {h {epochs = 2}, "hyperparameters.epochs", "extra"}, {h {n_epochs = 21}, "hyperparameters.n_epochs", "1 to 20"},
      {h {n_epochs = 0}, "hyperparameters.n_epochs", "1 to 20"}, {h {n_epochs = 1.5}, nil, "whole"},
      {h {batch_size = "min"}, "hyperparameters.batch_size", "max"}, {h {learning_rate = 0}, nil, "above 0"},
      {h {warmup_ratio = 2}, nil, "0 to 1"}, {h {weight_decay = -1}, nil, "from 0"},
      {h {packing = "yes"}, nil, "boolean"},
      {h {train_on_inputs = "yes"}, nil, "auto"}, {h {lora_dropout = 1, lora_rank = 4}, nil, "below 1"},
      {h {lora_alpha = 4}, "hyperparameters.lora_rank", "needed"},
      {h {lr_scheduler_type = "step"}, nil, "cosine, linear"},
      {h {min_lr_ratio = 0.1}, "hyperparameters.lr_scheduler_type", "needed"}, {h {beta = 0.1}, nil, "not known"},
      {h {lr_scheduler_type = "linear", num_cycles = 1}, "hyperparameters.num_cycles", "cosine"},
      {{method = "dpo", hyperparameters = {train_on_inputs = true}}, nil, "not known"},
      {{method = "reinforcement"}, "method", "dpo, supervised"}, {{grader = {}}, "grader", ""},
      {{training_type = "full", hyperparameters = {lora_rank = 8}}, "training_type", "no lora_"},
      {{training_type = "qlora"}, "training_type", "full, lora"}, {{metadata = {a = "b"}}, "metadata", "suffix"},
      {{token = "t"}, "token", "no field"}, {{seed = -1}, "seed", "whole number from 0"},
      {{suffix = ("s"):rep(41)}, "suffix", "1 to 40"}, {{suffix = "\xff"}, "suffix", "1 to 40"},
    } do
      local job, err = job_with(case[1])
      assert.is_nil(job)
      assert.equal("invalid", err.kind, case[3])
      if case[2] then assert.equal(case[2], err.param) end
      assert.matches(case[3], err.message, 1, true)
    end
    assert.equal(0, #s:requests())
    assert(job_with {suffix = ("ü"):rep(40)})
    s:set {max_suffix = 64}
    assert(job_with({suffix = ("s"):rep(64)}, {suffix_limit = 64}))
    s:set {max_suffix = 40}
  end)

  it("waits until the files are ready", function()
    s:set {file_seconds = 0.1}
    local path = os.tmpname() .. ".jsonl"
    local out <close> = assert(io.open(path, "wb"))
    out:write "{}\n"
    out:close()
    local up = assert(p:upload_file(path))
    assert.equal("invalid", select(2, p:create_job {model = s.model, training_file = up, wait_for_files = false}).kind)
    assert(p:create_job {model = s.model, training_file = up})
    os.remove(path)
  end)

  it("creates at most one job, and names what may be it", function()
    s:fault {kind = "reset", method = "POST", path = "/fine%-tunes$", apply = true}
    local job, err = job_with({}, {max_retries = 3})
    assert.is_nil(job)
    assert.equal("conflict", err.kind)
    assert.equal(1, #err.candidates)
    assert.equal(1, #assert(p:list_jobs()).data)
  end)

  it("estimates a price before anything starts", function()
    s:clear()
    local price = assert(p:estimate_cost {model = s.model, training_file = file, training_type = "full",
      hyperparameters = {n_epochs = 3, learning_rate = 1e-5}})
    assert.same({"POST /v1/fine-tunes/estimate-price {\"model\":\"loop/tiny-chat-1\",\"n_epochs\":3,"
      .. "\"training_file\":\"" .. file .. "\",\"training_method\":{\"method\":\"sft\",\"train_on_inputs\":\"auto\"},"
      .. "\"training_type\":{\"type\":\"Full\"}}"}, lines())
    assert.same({0.018, "USD", true, 25.5, 0, 0}, {price.total, price.currency, price.allowed, price.limit,
      price.tokens, price.eval_tokens})
    assert.equal("invalid", select(2, p:estimate_cost {model = s.model}).kind)
    local _, err = p:estimate_cost {model = s.model, path = "x.jsonl"}
    assert.matches("upload it", err.message)
  end)

  -- ---- errors ----

  it("tells the service's own words, and never the key", function()
    local wrong = provider {api_key = "sk-wrong-0123456789"}
    local _, err = wrong:list_jobs()
    assert.same({"auth", 401, "invalid_api_key", "invalid_request_error"}, {err.kind, err.status, err.code, err.type})
    assert.is_nil(tostring(err):find("sk-wrong", 1, true))
    _, err = job_with {model = "loop/embed-1"}
    assert.same({"invalid", "model", "invalid_request_error"}, {err.kind, err.param, err.type})
    s:fault {kind = "status", status = 400, path = "/fine%-tunes$", message = "x", code = "model_not_available"}
    assert.equal("not_found", select(2, job_with {}).kind)
    s:set {refuse = {status = 402, message = "Credit limit exceeded"}}
    _, err = job_with {}
    assert.same({"quota", "credit_limit", "Credit limit exceeded"}, {err.kind, err.type, err.message})
    s:set {refuse = false}
    s:fault {kind = "status", status = 404, path = "/limits", body = {message = "Model is not available"}}
    _, err = p:get_model "loop/x"
    assert.same({"not_found", "Model is not available"}, {err.kind, err.message})
    s:fault {kind = "status", status = 429, body = {error = {message = "slow down", type = "credit_limit"}}}
    assert.equal("rate_limit", select(2, p:list_jobs()).kind)
    s:fault {kind = "html", status = 502}
    assert.equal("server", select(2, p:list_jobs()).kind)
    for _, list in ipairs {"list_jobs", "list_files"} do
      for name, value in pairs {after = "x"} do
        _, err = p[list](p, {[name] = value})
        assert.same({"invalid", name}, {err.kind, err.param})
      end
    end
    assert.equal("conflict", (function()
      s:fault {kind = "status", status = 200, method = "DELETE", body = {id = file, deleted = false}}
      return select(2, p:delete_file(file)).kind
    end)())
  end)
end)
