-- providers/together.lua over the loopback service: what jobs say and make. Events, checkpoints, metrics; models,
-- weights, endpoints; and answers that are rubbish.

local finetune = require "finetune"
local json = require "dkjson"
local service = require "spec.support.service"
local whole = require "spec.support.whole"

describe("together's results", function()
  local s, p, file

  lazy_setup(function() s = whole.watch(service.start {dialect = "together", job_seconds = 0.2}, "together") end)
  lazy_teardown(function() s:stop() end)

  before_each(function()
    s:reset()
    p = assert(finetune.create_provider("together", {api_key = s.key, base_url = s.url, max_retries = 0, timeout = 5}))
    file = s:seed {files = 1}.files[1]
  end)
  after_each(function() s:check() end)

  local function job_with(params)
    local all = {model = s.model, training_file = file}
    for name, value in pairs(params or {}) do all[name] = value end
    return p:create_job(all)
  end

  local function done_job(params)
    local job = assert(job_with(params))
    s:jump(job.id, 1)
    return assert(p:get_job(job))
  end

  -- "METHOD target" of each request since the last clear
  local function lines()
    local list = {}
    for i, r in ipairs(s:requests()) do
      list[i] = ("%s %s"):format(r.method, r.target)
      assert.equal(r.site == "api" and "Bearer " .. s.key or nil, r.header.authorization)
    end
    return list
  end

  it("gives events, checkpoints and metrics", function()
    local job = done_job {validation_file = file, hyperparameters = {n_checkpoints = 3, n_evals = 2}}
    local events = assert(p:list_events(job)).data
    assert.same({"job_complete", "info", "Job finished"}, {events[1].type, events[1].level, events[1].message})
    assert.same({"job_pending", nil}, {events[#events].type, events[#events].id})
    local ids = {}
    for checkpoint in p:checkpoints(job) do ids[#ids + 1] = checkpoint.id .. "@" .. checkpoint.step end
    assert.same({job.id .. ":3@3", job.id .. ":6@6", job.id .. ":9@9", job.id .. "@10"}, ids)
    local rows = assert(p:list_metrics(job)).data
    assert.equal(10, #rows)
    assert.same({step = 5, epoch = 0.5, train_loss = 0.4, valid_loss = 0.5, learning_rate = 1e-05,
      train_grad_norm = 0.5}, rows[5])
    assert(p:create_job {model = s.model, training_file = file, from_checkpoint = ids[1]:match "^[^@]*"})
    assert.equal("invalid", select(2, job_with {from_checkpoint = "ft-none:1"}).kind)
  end)

  it("reads every level of an event", function()
    local job = done_job()
    for level, ours in pairs {info = "info", warning = "warn", error = "error", legacy_info = "info",
      legacy_iwarning = "warn", legacy_ierror = "error", Error = "error"} do
      s:fault {kind = "patch", path = "/events$", set = {level = level, created_at = "rubbish"}}
      local event = assert(p:list_events(job)).data[1]
      assert.same({ours, nil}, {event.level, event.created_at})
    end
  end)

  it("knows models that can be tuned and that were", function()
    local job, running = done_job(), assert(job_with {})
    local ids = {}
    for model in p:models() do ids[model.id] = model end
    assert.is_table(ids[s.model] and ids[job.fine_tuned_model])
    assert.is_nil(ids["loop/embed-1"] or ids[running.raw.model_output_name])
    assert.equal(20, assert(p:get_model(s.model)).raw.max_num_epochs)
    assert.equal(job.finished_at, assert(p:get_model(job.fine_tuned_model)).created_at)
    for _, name in ipairs {"loop/none", running.raw.model_output_name, job.id} do
      assert.equal("not_found", select(2, p:get_model(name)).kind)
      assert.equal("not_found", select(2, p:delete_model(name)).kind)
    end
    s:clear()
    local _, err = p:delete_model(s.model)
    assert.equal("not_found", err.kind)
    assert.matches("a base model cannot be deleted", err.message)
    assert.same({"GET /v1/fine-tunes"}, lines())
    assert(p:delete_model(job.fine_tuned_model))
    assert.equal("DELETE /v1/fine-tunes/" .. job.id, lines()[3])
  end)

  it("downloads weights: the whole, an adapter, a step, to a file", function()
    local job, full = done_job {hyperparameters = {n_checkpoints = 2}}, done_job {training_type = "full"}
    for _, direct in ipairs {true, false} do
      s:set {direct_download = direct}
      assert.equal("weights of /weights/" .. job.id .. ".merged", assert(p:download_file(job)))
      assert.equal("weights of /weights/" .. full.id .. ".model_output_path", assert(p:download_file(full)))
      assert.equal("weights of /weights/" .. job.id .. ".adapter",
        assert(p:download_file(job, {checkpoint = "adapter"})))
      assert.equal("weights of /weights/" .. job.id .. ".5", assert(p:download_file(job.id .. ":5")))
    end
    s:clear()
    local path = os.tmpname()
    local written = assert(p:download_file(job, {checkpoint = "merged", output = path}))
    assert.same({path = path, bytes = 54}, written)
    assert.equal("GET /v1/finetune/download?checkpoint=merged&ft_id=" .. job.id, lines()[1])
    os.remove(path)
    assert.equal("not_found", select(2, p:download_file(job.id .. ":7")).kind)
    assert.equal("invalid", select(2, p:download_file(file, {checkpoint = "merged"})).kind)
  end)

  it("deploys a model and takes it down again", function()
    local job = done_job()
    local name = job.fine_tuned_model
    s:clear()
    local d = assert(p:deploy_model(name, {hardware = "1x_nvidia_a100_80gb_sxm", name = "mine", max_replicas = 2,
      inactive_minutes = 60, availability_zone = "z-1"}))
    assert.same({"PENDING", name}, {d.status, d.model})
    assert.matches("^loop/endpoint", d.name)
    local body = json.decode(s:requests()[1].body)
    assert.same({model = name, hardware = "1x_nvidia_a100_80gb_sxm", display_name = "mine", inactive_timeout = 60,
      availability_zone = "z-1", autoscaling = {min_replicas = 1, max_replicas = 2}}, body)
    local second = assert(p:deploy_model(name, {hardware = "2x_nvidia_h100_80gb_sxm", min_replicas = 3}))
    assert.same({min_replicas = 3, max_replicas = 3}, second.raw.autoscaling)
    s:clear()
    assert.equal(second.id, assert(p:undeploy_model(name)).id)
    assert.same({"GET /v1/endpoints?mine=true&type=dedicated", "DELETE /v1/endpoints/" .. d.id,
      "DELETE /v1/endpoints/" .. second.id}, lines())
    assert.equal("not_found", select(2, p:undeploy_model(name)).kind)
    assert.equal("invalid", select(2, p:deploy_model(name, {hardware = "abacus"})).kind)
    assert.has_error(function() p:deploy_model(name) end)
    s:clear()
    s:fault {kind = "status", status = 503, path = "/endpoints$"}
    local keen <close> = assert(finetune.create_provider("together", {api_key = s.key, base_url = s.url,
      max_retries = 3, retry_delay = 0.001}))
    assert.equal("conflict", select(2, keen:deploy_model(name, {hardware = "1x_nvidia_a100_80gb_sxm"})).kind)
    assert.equal(1, #s:requests {method = "POST"}) -- it costs money: never twice
    local third = assert(p:deploy_model(name, {hardware = "1x_nvidia_a100_80gb_sxm"}))
    assert.equal(third.id, assert(p:undeploy_model(third.id)).id)
  end)

  it("survives every field being of another type", function()
    local job = done_job()
    local ops = {get_job = job, cancel_job = job, list_jobs = {}, list_events = job, list_checkpoints = job,
      list_metrics = job, list_files = {}, get_file = file, list_models = {}, get_model = job.fine_tuned_model,
      delete_model = job.fine_tuned_model, undeploy_model = job.fine_tuned_model, download_file = job.id}
    local null = json.null
    for _, rubbish in ipairs {7, "x", true, {a = {1}}, null} do
      local item = {id = "ft-1"}
      for _, name in ipairs {"status", "created_at", "updated_at", "events", "progress", "training_type", "level",
        "step", "training_method", "lr_scheduler", "model_output_name", "n_epochs", "epochs_completed", "random_seed",
        "object", "filename", "bytes", "Processed", "processing_status", "validation_report", "type", "message",
        "state", "checkpoint_type", "token_count", "train/loss", "train/global_step", "model_name", "deleted"} do
        item[name] = rubbish
      end
      for _, body in ipairs {item, {data = {item, rubbish}, models = {rubbish}, metrics = {item, rubbish}},
        {data = rubbish, models = rubbish, metrics = rubbish}, {item}} do
        for op, main in pairs(ops) do
          s:clear()
          s:fault {kind = "status", status = 200, times = "always", body = body}
          local params = next(type(main) == "table" and main or {1}) and main or nil
          local value, err = p[op](p, params)
          assert.is_true(value ~= nil or err.kind ~= "provider", ("%s: %s"):format(op, tostring(err)))
        end
      end
    end
    s:clear()
  end)
end)
