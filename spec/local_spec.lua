-- providers/local.lua with providers/recipes/command.lua: training on this machine, with trainers that are a line of
-- shell. How it bears being killed is in local_kill_spec.lua.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"
local store = require "spec.support.local"()

local write, read, upload, create, ended = store.write, store.read, store.upload, store.create, store.ended
local EXAMPLE, TRAIN = store.EXAMPLE, store.TRAIN

describe("local", function()
  local folder, home, provider

  before_each(function() folder, home, provider = store.open() end)
  after_each(store.close)

  local function eventually(f)
    local limit = core.now() + 60
    repeat
      local value = f()
      if value then return value end
      finetune.sleep(0.01)
    until core.now() > limit
    error("it did not happen", 2)
  end

  local function status(job) return assert(provider:get_job(job)).status end

  it("does the whole way, on a store with any path", function()
    local file = upload(12)
    local job = assert(create(TRAIN .. "; echo $4 $5 >>\"$2/model\"", {training_file = file, suffix = "s.1", seed = 7,
      words = {"{seed}", "{n_epochs}{{n_epochs}}"}, hyperparameters = {n_epochs = 3}, metadata = {a = "b"},
      sample_command = {"sh", "-c", 'cat "$1/model" -; echo "$2"', "sh", "{model}", "{prompt}"}}))
    assert.matches("^job%-%d+%-%d+%-%d+%-%x+$", job.id)
    local told = {}
    for event in provider:follow(job, {interval = 0.01}) do told[#told + 1] = event.message end
    assert.same({"job created", "job started", "step 1 of 3, loss 0.1", "step 2 of 3, loss 0.2",
      "step 3 of 3, loss 0.3", "job succeeded"}, told)
    job = assert(ended(job))
    assert.matches("^local:s%.1%-", job.fine_tuned_model)
    assert.same({"succeeded", file.id, 7, "s.1", 3, "b", 1}, {job.status, job.training_file, job.seed, job.suffix,
      job.hyperparameters.n_epochs, job.metadata.a, job.progress})
    assert.same({{step = 1, total_steps = 3, train_loss = 0.1}, {step = 2, total_steps = 3, train_loss = 0.2},
      {step = 3, total_steps = 3, train_loss = 0.3}}, provider:list_metrics(job).data)
    local answer = assert(provider:sample(job.fine_tuned_model, {prompt = "$(id)"}))
    assert.equal("12\n7 3{n_epochs}\n$(id)$(id)", answer.text)
    assert.equal(job.fine_tuned_model, answer.model)
    local model = assert(provider:get_model(job.fine_tuned_model))
    assert.equal("12\n7 3{n_epochs}\n", read(model.raw.dir .. "/model"))
    assert.equal(job.id, model.raw.job_id)
  end)

  describe("refuses", function()
    local function refused(p, kind, words)
      p.model, p.training_file = p.model or "command", p.training_file or upload().id
      local job, err = provider:create_job(p)
      assert.is_nil(job)
      assert.equal(kind, err.kind)
      assert.matches(words, err.message)
      assert.same({}, core.list_dir(home .. "/jobs") or {})
    end

    it("what is no command, or has no meaning in it", function()
      refused({}, "invalid", "command must be an array of strings")
      refused({command = {"x", 7}}, "invalid", "command%[2%] must be a string")
      refused({command = {"x", "a\0"}}, "invalid", "command%[2%] must be a string")
      refused({command = {"x", "{training}", "{foo}"}}, "invalid", "{foo}, which has no value")
      refused({command = {"x", "{validation}", "{training}"}}, "invalid", "{validation}")
      refused({command = {"x"}}, "invalid", "the command has no {training}")
      refused({command = {"x", "{training}"}, seed = 1}, "invalid", "the command has no {seed}")
      refused({command = {"x", "{training}"}, hyperparameters = {n_epochs = 1}}, "invalid", "no {n_epochs}")
      refused({command = {"x", "{training}"}, hyperparameters = {n_epochs = {}}}, "invalid", "plain values")
      refused({command = {"x", "{training}"}, method = "dpo"}, "invalid", "method is not known")
      refused({command = {"x", "{training}", "\xff"}}, "invalid", "UTF%-8")
      for _, name in ipairs {"output", "seed", "training"} do
        refused({command = {"x", "{training}", "{" .. name .. "}"}, hyperparameters = {[name] = "/x"}}, "invalid",
          "{" .. name .. "} has a value of its own")
      end
      refused({command = {"x", "{training}", "{a}"}, hyperparameters = {a = "x\0y"}}, "invalid", "NUL in a value")
      refused({command = {"x", "{training}"}, metadata = {a = ("x"):rep(17 << 20)}}, "invalid", "too much for a store")
    end)

    it("what is not there", function()
      refused({model = "nothing"}, "invalid", "no recipe has a model 'nothing'; there are: command")
      refused({model = "fastext"}, "invalid", "no recipe has a model 'fastext' %(did you mean 'fasttext'%?%)")
      refused({recipe = "comand"}, "invalid", "no recipe 'comand' %(did you mean 'command'%?%)")
      refused({recipe = "../x"}, "invalid", "no recipe '../x'")
      refused({recipe = "_x"}, "invalid", "no recipe '_x'")
      refused({model = "local:none"}, "not_found", "no model 'local:none'")
      refused({model = "local:../../x"}, "not_found", "no model")
      refused({training_file = "file-x", command = {"x", "{training}"}}, "not_found", "no file 'file%-x'")
      refused({training_file = "../jobs", command = {"x", "{training}"}}, "not_found", "no file")
      refused({suffix = "a/b", command = {"x", "{training}"}}, "invalid", "suffix must be")
      refused({suffix = "..", command = {"x", "{training}"}}, "invalid", "suffix must be")
      for _, id in ipairs {"job-x", "..", "../files", "a/b", "job\nx"} do
        for _, op in ipairs {"get_job", "cancel_job", "pause_job", "resume_job", "delete_job", "list_events",
          "list_checkpoints"} do
          assert.equal("not_found", select(2, provider[op](provider, id)).kind, op .. id)
        end
      end
    end)

    it("a seed that the trainer cannot take", function()
      for _, case in ipairs {{"fasttext", -1}, {"fasttext", 3000000000}, {"trl", -5}} do
        local recipe, seed = table.unpack(case)
        local missing = not shell.has(recipe)
        refused({recipe = recipe, model = recipe == "trl" and "org/base" or recipe, seed = seed},
          missing and "config" or "invalid", missing and "is not in PATH" or "seed must be a whole number from 0")
      end
    end)

    it("settings that cannot be", function()
      for _, config in ipairs {{home = "x"}, {home = "/"}, {home = "/a\xff"}, {home = home, slot_count = 0},
        {home = home, grace = -1}, {home = home, grace = 0 / 0}} do
        local ok, made, err = pcall(finetune.create_provider, "local", config)
        assert.is_true(not ok or (made == nil and err.kind == "config"))
      end
    end)
  end)

  it("says why a job failed, with the last words of its log", function()
    local _, err, job = ended(assert(create "echo CUDA out of memory >&2; exit 3"))
    assert.equal("job", err.kind)
    assert.equal("exit_status", job.error.code)
    assert.equal("the trainer ended with exit status 3: CUDA out of memory", job.error.message)
    _, err = ended(assert(create "kill -ABRT $$"))
    assert.matches("signal 6 %(SIGABRT%)", err.message)
    _, err = ended(assert(create "true"))
    assert.matches("left nothing in {output}", err.message)
    _, err = ended(assert(create 'mkdir "$2/checkpoint-1"'))
    assert.matches("left nothing in {output} %(but for checkpoints%)", err.message)
    _, err = ended(assert(create 'ln -s /no/such/file "$2/model"'))
    assert.same({"job", "no_result"}, {err.kind, err.code})
    assert.matches("model is a link that leads to no file", err.message)
    local missing = assert(provider:create_job {model = "command", training_file = upload(),
      command = {"/no/such/program", "{training}"}})
    _, err = ended(missing)
    assert.matches("could not be started: /no/such/program: No such file", err.message)
  end)

  it("runs one job at a time, the others in their order, and cancels what waits", function()
    local a, b, c = assert(create "sleep 100"), assert(create "sleep 100"), assert(create(TRAIN))
    eventually(function() return status(a) == "running" end)
    assert.same({"queued", "queued"}, {status(b), status(c)})
    assert.equal("conflict", select(2, provider:pause_job(b)).kind)
    assert.equal("conflict", select(2, provider:delete_job(b)).kind)
    assert.equal("cancelled", assert(provider:cancel_job(b)).status)
    assert.equal("cancelled", assert(provider:cancel_job(a)).status)
    assert.equal("succeeded", assert(ended(c)).status)
    for _, op in ipairs {"cancel_job", "pause_job", "resume_job"} do
      assert.equal("conflict", select(2, provider[op](provider, c)).kind)
    end
  end)

  it("pauses and resumes, and says how far a job is", function()
    local job = assert(create [[i=0; while [ ! -e "$2/../go" ]; do i=$((i+1))
      printf '{"step":%s,"total_steps":1000000}\n' $i >>"$3"; sleep 0.01; done
      echo '{"step":1000000,"total_steps":1000000}' >>"$3"; echo >"$2/model"]])
    eventually(function() return (provider:get_job(job).progress or 0) > 0 end)
    assert.equal("paused", assert(provider:pause_job(job)).status)
    local before = provider:get_job(job).progress
    finetune.sleep(0.1)
    assert.equal(before, provider:get_job(job).progress)
    assert.equal("running", assert(provider:resume_job(job)).status)
    eventually(function() return provider:get_job(job).progress > before end)
    shell.must("touch " .. shell.quote(("%s/jobs/%s/go"):format(home, job.id)))
    assert.equal(1, assert(ended(job)).progress)
  end)

  it("gives events in pages, the newest first, while it runs and when it has ended", function()
    local job = assert(create [[for i in 1 2 3 4 5; do echo '{"step":'$i'}' >>"$3"; done
      while [ ! -e "$2/go" ]; do sleep 0.01; done]])
    local function all(limit)
      local list = {}
      for event in provider:events(job, {limit = limit}) do list[#list + 1] = event.message end
      return table.concat(list, " ")
    end
    eventually(function() return all(100):find "step 5" end)
    for _, limit in ipairs {1, 2, 3, 7, 100} do
      assert.equal("step 5 step 4 step 3 step 2 step 1 job started job created", all(limit))
    end
    shell.must("touch " .. shell.quote(("%s/jobs/%s/out/go"):format(home, job.id)))
    assert(ended(job))
    for _, limit in ipairs {1, 2, 8, 100} do
      assert.equal("job succeeded step 5 step 4 step 3 step 2 step 1 job started job created", all(limit))
    end
    assert.equal("invalid", select(2, provider:list_events(job, {after = "x"})).kind)
  end)

  it("lists checkpoints while a job runs, and leaves them out of the model", function()
    local job = assert(create [[mkdir "$2/checkpoint-5" "$2/checkpoint-10" "$2/checkpoint-x"; echo >"$2/model"
      while [ ! -e "$2/../go" ]; do sleep 0.01; done]])
    local list = eventually(function()
      local data = provider:list_checkpoints(job).data
      return data[2] and data
    end)
    assert.same({10, 5}, {list[1].step, list[2].step})
    assert.equal(job.id, list[1].job_id)
    shell.must("touch " .. shell.quote(("%s/jobs/%s/go"):format(home, job.id)))
    job = assert(ended(job))
    assert.equal("checkpoint-x\nmodel\n", shell.must("ls " ..
      shell.quote(provider:get_model(job.fine_tuned_model).raw.dir)))
    assert.equal(2, #provider:list_checkpoints(job).data)
  end)

  it("goes on from a model of its own", function()
    local first = assert(ended(assert(create(TRAIN))))
    local job = assert(create('cat "$4/model" "$4/model" >"$2/model"', {model = first.fine_tuned_model,
      words = {"{model}"}}))
    local model = provider:get_model(assert(ended(job)).fine_tuned_model)
    assert.equal("3\n3\n", read(model.raw.dir .. "/model"))
    assert.equal(first.fine_tuned_model, model.raw.base)
    local named = assert(create('echo "$4" >"$2/model"', {model = "org/base", recipe = "command", words = {"{model}"}}))
    assert.equal("org/base\n", read(provider:get_model(assert(ended(named)).fine_tuned_model).raw.dir .. "/model"))
  end)

  it("creates once for a token, and finds jobs by metadata", function()
    local a = assert(create(TRAIN, {token = "t-1", metadata = {run = "1"}}))
    assert.equal(a.id, assert(create(TRAIN, {token = "t-1"})).id)
    local b = assert(create(TRAIN, {token = "t-2", metadata = {run = "2"}}))
    assert.not_equal(a.id, b.id)
    local page = provider:list_jobs {metadata = {run = "1"}}
    assert.same({1, a.id, false}, {#page.data, page.data[1].id, page.has_more})
    page = provider:list_jobs {limit = 1}
    assert.same({b.id, true, b.id}, {page.data[1].id, page.has_more, page.next})
    assert.equal(a.id, provider:list_jobs {limit = 1, after = page.next}.data[1].id)
  end)

  it("deletes jobs and models, each without the other", function()
    local job = assert(ended(assert(create(TRAIN))))
    local model = job.fine_tuned_model
    assert.same({id = job.id, deleted = true}, provider:delete_job(job))
    assert.same({}, core.list_dir(home .. "/jobs"))
    assert.equal(model, provider:get_model(model).id)
    local ids = {}
    for known in provider:models {limit = 1} do ids[known.id] = true end
    assert.is_true(ids.command and ids[model])
    assert.equal(true, provider:delete_model(model).deleted)
    assert.equal("not_found", select(2, provider:delete_model(model)).kind)
    assert.equal("not_found", select(2, provider:delete_model "command").kind)
    assert.equal("not_found", select(2, provider:delete_model "local:../jobs").kind)
    assert.equal("not_found", select(2, provider:sample(model, {prompt = "x"})).kind)
  end)

  it("runs a model by the command that was given, and says what went wrong", function()
    local job = assert(ended(assert(create(TRAIN))))
    local model = job.fine_tuned_model
    local function sample(p) return provider:sample(model, p) end
    assert.matches("no sample_command", select(2, sample {prompt = "x"}).message)
    local cat = {"cat"}
    assert.equal("x", assert(sample {prompt = "x\n", sample_command = cat}).text)
    local messages = {{role = "user", content = "hi"}}
    assert.equal('[{"content":"hi","role":"user"}]', assert(sample {messages = messages, sample_command = cat}).text)
    assert.equal("5 0.5", assert(sample {prompt = "x", max_tokens = 5, temperature = 0.5,
      sample_command = {"echo", "{max_tokens}", "{temperature}"}}).text)
    assert.equal("invalid", select(2, sample {prompt = "x", max_tokens = 5, sample_command = cat}).kind)
    assert.equal("invalid", select(2, sample {sample_command = cat}).kind)
    assert.equal("invalid", select(2, sample {prompt = "x", messages = messages, sample_command = cat}).kind)
    local _, err = sample {prompt = "x", sample_command = {"sh", "-c", "echo no GPU >&2; exit 4"}}
    assert.same({"server", "the program ended with exit status 4: no GPU"}, {err.kind, err.message})
    _, err = sample {prompt = "x", timeout = 0.05, sample_command = {"sleep", "100"}}
    assert.equal("timeout", err.kind)
    assert.equal("invalid", select(2, provider:sample("command", {prompt = "x"})).kind)
  end)

  it("costs nothing, and tells the time by what was done before", function()
    local file = upload(10)
    local first = assert(provider:estimate_cost {model = "command", training_file = file})
    assert.same({0, 0}, {first.total, first.jobs})
    assert.is_nil(first.seconds)
    assert(ended(assert(create("sleep 0.1; " .. TRAIN, {training_file = file}))))
    local path = write("twice.jsonl", EXAMPLE:rep(20))
    local estimate = assert(provider:estimate_cost {recipe = "command", path = path})
    assert.equal(1, estimate.jobs)
    assert.is_true(estimate.seconds >= 0.2 and estimate.seconds < 60)
    local guess = assert(provider:estimate_cost {recipe = "fasttext", path = "examples/data/support.jsonl"})
    assert.equal(0, guess.jobs)
    assert.is_true(guess.seconds > 0.2 and guess.seconds < 10, guess.seconds)
    assert.is_true(assert(provider:estimate_cost {recipe = "fasttext", path = "examples/data/support.jsonl",
      hyperparameters = {n_epochs = 1}}).seconds < guess.seconds)
  end)

  it("takes recipes from folders of yours, with a log that tells the progress", function()
    write("mine.lua", [[
      local core = require "finetune.core"
      local R = {name = "mine", models = {{id = "mine-1"}}, checkpoints = "it keeps none"}
      function R.settings(_, p) return {rounds = p.hyperparameters.rounds} end
      function R.layout(job) return core.fs.write(job.dir .. "/plan", tostring(job.settings.rounds)) end
      function R.steps(job)
        return {{argv = {"sh", "-c", "for i in $(seq $(cat plan)); do printf 'round %s\\r' $i; sleep 0.02; done"}},
          {argv = {"cp", "training.jsonl", "out/model"}}, {argv = {"wc", "-l"}, stdin = job.training, stdout = "count"},
          {argv = {"sh", "-c", "echo $WORD"}}}, {WORD = "said"}
      end
      function R.events(_, text)
        local list = {}
        for round in text:gmatch "round (%d+)" do list[#list + 1] = {step = tonumber(round), total_steps = 9} end
        return list
      end
      function R.result(job)
        local file <close> = assert(io.open(job.dir .. "/count"))
        return {lines = file:read "n", events = {{message = "accuracy 50 %", accuracy = 0.5}, {message = "bye"}}}
      end
      return R]])
    write("broken.lua", "return {name = 'broken'}")
    write("worse.lua", "error 'x'")
    local mine <close> = assert(finetune.create_provider("local", {home = home, recipe_path = "/nothing:" .. folder}))
    local job = assert(mine:create_job {model = "mine-1", training_file = upload(4), hyperparameters = {rounds = 9}})
    local told, seen = {}, {}
    for event in mine:follow(job, {interval = 0.02}) do
      told[#told + 1] = event.message
      assert.is_nil(seen[event.id])
      assert.is_number(event.created_at)
      seen[event.id] = true
    end
    assert.equal("job created job started step 1 of 9 step 2 of 9 step 3 of 9 step 4 of 9 step 5 of 9 step 6 of 9 "
      .. "step 7 of 9 step 8 of 9 step 9 of 9 accuracy 50 % bye job succeeded", table.concat(told, " "))
    assert.equal(4, mine:get_job(job).raw.result.lines)
    for event in mine:events(job) do assert.is_number(event.created_at) end
    assert.matches("said\n", read(home .. "/jobs/" .. job.id .. "/log"))
    assert.same({"unsupported", "the recipe 'mine' has no checkpoints: it keeps none"}, {
      select(2, mine:list_checkpoints(job)).kind, select(2, mine:list_checkpoints(job)).message})
    assert.equal("unsupported", select(2, mine:sample(mine:get_job(job).fine_tuned_model, {prompt = "x"})).kind)
    for name, words in pairs {broken = "no function 'settings'", worse = "worse.lua:1: x"} do
      local _, err = mine:create_job {model = "x", recipe = name, training_file = job.training_file}
      assert.equal("provider", err.kind)
      assert.matches(words, err.message)
    end
    assert.equal("the recipe 'mine' has no model 'command'", select(2, mine:create_job {model = "command",
      recipe = "mine", training_file = job.training_file}).message)
  end)

  it("says which program a recipe lacks, and how to get it", function()
    write("lacking.lua", [[return {name = "lacking", programs = {"no-such-trainer"}, install = "apt install it",
      models = {{id = "lacking"}}, settings = function() return {} end, steps = function() return {} end}]])
    local mine <close> = assert(finetune.create_provider("local", {home = home, recipe_path = folder}))
    local _, err = mine:create_job {model = "lacking", training_file = upload()}
    assert.equal("config", err.kind)
    assert.equal("the recipe 'lacking' needs no-such-trainer, which is not in PATH: apt install it", err.message)
    for model in mine:models() do assert.not_equal("lacking", model.id) end
  end)

  it("leaves nothing of what is cancelled", function()
    write("big.jsonl", EXAMPLE:rep(100000))
    for _, check in ipairs {true, false} do
      local call = provider:async("upload_file", folder .. "/big.jsonl", {check = check})
      finetune.step(0.01)
      assert.is_true(call:cancel())
      assert.same({}, core.list_dir(home .. "/files"))
    end
    local file = upload()
    local call = provider:async("create_job", {model = "command", training_file = file,
      command = {"sleep", "{training}"}})
    assert.is_true(call:cancel())
    for job in provider:jobs() do ended(job) end -- it may have begun already: then it is a job
  end)

  it("says what is wrong with the place of its store, and where there is no runner", function()
    local other <close> = assert(finetune.create_provider("local", {home = write("file", "x") .. "/store"}))
    assert.equal("server", select(2, other:upload_file(write("x.jsonl", EXAMPLE))).kind)
    assert.same({}, other:list_jobs().data)
    local file, cpath = upload(), package.cpath
    finally(function() package.cpath = cpath end)
    package.cpath = "/nothing/?.so"
    local job, err = provider:create_job {model = "command", training_file = file, command = {"true", "{training}"}}
    package.cpath = cpath
    if job then return end -- it is in PATH
    assert.equal("config", err.kind)
    assert.matches("finetune%-run cannot be started", err.message)
    assert.same({}, core.list_dir(home .. "/jobs"))
  end)

  it("clears away, in time, a job whose script was killed before it had a runner", function()
    local dir = home .. "/jobs/"
    for _, name in ipairs {"job-20261122-000000-000-abcdef", "job-20261122-000001-000-abcdef", "mine"} do
      shell.must("mkdir -p " .. shell.quote(dir .. name .. "/out"))
    end
    shell.must(("touch -d '2 days ago' %s %s"):format(shell.quote(dir .. "job-20261122-000000-000-abcdef"),
      shell.quote(dir .. "mine")))
    assert.same({}, provider:list_jobs().data)
    assert.equal("job-20261122-000001-000-abcdef\nmine\n", shell.must("ls " .. shell.quote(dir)))
  end)

  it("shows a job whose files are anything, and fails for none", function()
    local job = assert(ended(assert(create(TRAIN))))
    local dir = home .. "/jobs/" .. job.id
    for _, text in ipairs {"", "{", "[]", "{}", '{"status":7,"error":7,"created_at":"x","result":7,"exit":7}',
      '{"status":"failed","error":{"message":{}},"result":{"events":[7,{"step":{}}]},"method":7,"metadata":7}'} do
      assert(core.fs.write(dir .. "/state.json", text))
      for _, op in ipairs {"get_job", "list_jobs", "list_events", "list_checkpoints", "cancel_job", "pause_job",
        "resume_job", "list_metrics", "estimate_cost"} do
        local _, err = provider[op](provider, not op:find "jobs" and not op:find "estimate" and job.id or nil)
        assert.is_true(err == nil or err.kind ~= "provider", op .. text .. tostring(err))
      end
    end
    core.fs.remove(dir .. "/state.json")
    for _, text in ipairs {"", "[]", "{}", '{"recipe":7,"settings":7,"name":"../x"}'} do
      assert(core.fs.write(dir .. "/spec.json", text))
      local found, err = provider:get_job(job)
      assert.is_true(found ~= nil or err.kind ~= "provider", tostring(err))
    end
  end)
end)
