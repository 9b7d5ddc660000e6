-- Every command that asks a service, against the loopback service: what it writes for people, what it writes for
-- programs, and how it ends.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local EVIL = clis.EVIL

describe("the command", function()
  local server, tmp, cli, provider, job, file

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.2}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    provider = live.provider(server)
    local out <close> = assert(io.open(tmp .. "/train.jsonl", "wb"))
    out:write(live.lines(12))
    out:close()
    file = assert(provider:upload_file(tmp .. "/train.jsonl"))
    local made = assert(provider:create_job {model = server.model, training_file = file, suffix = "support", seed = 7})
    job = assert(provider:wait(made, {interval = 0.05}))
  end)

  after_each(function() server:clear() end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  local function failed(status, line, env)
    local got, out, err = cli.run(line, env)
    assert.equal(status, got, out .. err)
    return err, out
  end

  -- The document of a command, which is as the schema says
  local function json(kind, line, env)
    local doc = cli.json(line, env)
    assert.is_nil(schema.wrong(kind, doc))
    return doc
  end

  -- Nothing that a terminal would obey, but newlines and our own colours
  -- A fault that lays these fields over the answer
  local function patch(path, set) server:fault {kind = "patch", path = path, set = set, times = "always"} end

  describe("jobs", function()
    it("lists them in columns", function()
      local lines = {}
      for line in cli.must("finetune jobs"):gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.matches("^JOB +STATUS +CREATED +MODEL +TUNED MODEL$", lines[1])
      assert.matches(("^%s  succeeded  %%d%%d%%d%%d%%-%%d%%d%%-%%d%%d %%d%%d:%%d%%d  tiny%%-chat%%-1  ft:%%S+$"):format(
        job.id:gsub("%p", "%%%0")), lines[2])
    end)

    it("as JSON", function()
      local doc = json("jobs", "finetune jobs")
      assert.equal(job.id, doc.jobs[1].id)
      assert.equal("openai", doc.jobs[1].provider)
      assert.equal(7, doc.jobs[1].seed)
      assert.equal(1, json("jobs", "finetune jobs --status succeeded").jobs[1] and 1)
      assert.same({jobs = {}}, json("jobs", "finetune jobs --status paused"))
    end)

    it("says that there are none", function()
      local out, err = cli.must "finetune jobs --status paused"
      assert.equal("", out)
      assert.equal("There are no jobs with the status paused.\n", err)
      assert.equal("", (select(2, cli.must "finetune jobs --status paused --quiet")))
      assert.equal(1, json("jobs", "finetune jobs --status SUCCEEDED").jobs[1] and 1)
      assert.matches("status suceeded %(there are: pending, .*, cancelled, and the service's own words%)%.\n",
        (select(2, cli.must "finetune jobs --status suceeded")))
    end)

    it("shows 20, and all of them with --all", function()
      server:seed {jobs = 150}
      local out, err = cli.must "finetune jobs"
      assert.equal(21, select(2, out:gsub("\n", "")))
      assert.equal("The 20 newest; --all lists all of them.\n", err)
      assert.equal(152, select(2, cli.must "finetune jobs --all":gsub("\n", "")))
    end)

    it("of several providers at once", function()
      local doc = json("jobs", "finetune jobs --provider openai --provider local")
      assert.equal("openai", doc.jobs[1].provider)
      assert.matches("^PROVIDER  JOB", cli.must "finetune jobs --provider openai --provider local")
    end)

    it("lets no hostile name reach a terminal", function()
      patch("/jobs$", {user_provided_suffix = EVIL, model = EVIL, fine_tuned_model = EVIL, status = EVIL})
      local out = cli.must "finetune jobs"
      clis.assert_harmless(out)
      assert.equal(select(2, cli.must "finetune jobs":gsub("\n", "")), 21)
      local raw = cli.must "finetune jobs --json"
      clis.assert_harmless(raw)
      assert.equal(EVIL, core.decode(raw).jobs[1].model)
    end)
  end)

  describe("status", function()
    it("says everything that is known", function()
      local out = cli.must("finetune status " .. job.id)
      for _, words in ipairs {"status +succeeded", "tuned model +ft:tiny", "suffix +support", "seed +7", "n_epochs +%d",
          "training +file%-", "took +%ds", "provider +openai"} do
        assert.matches("\n  " .. words, out)
      end
      assert.equal(out, cli.must("finetune status openai/" .. job.id))
    end)

    it("as JSON", function()
      local doc = json("job", "finetune status " .. job.id)
      assert.equal(job.fine_tuned_model, doc.fine_tuned_model)
      assert.equal("table", type(doc.hyperparameters))
    end)

    it("says why a job failed, harmlessly", function()
      patch("/jobs/", {status = "failed", error = {message = "bad " .. EVIL, code = "x"}})
      local out = cli.must("finetune status " .. job.id)
      assert.matches("status +failed\n  why +bad red second2J evil", out)
      clis.assert_harmless(out)
    end)
  end)

  it("cancel, pause and resume say what the job is now", function()
    server:set {job_seconds = 30}
    local id = assert(provider:create_job {model = server.model, training_file = file}).id
    server:jump(id, 0.5)
    assert.equal("paused", json("job", "finetune pause " .. id).status)
    local out, err = cli.must("finetune resume " .. id)
    assert.matches("^" .. id:gsub("%p", "%%%0") .. " is asked to go on: ", out)
    assert.matches("To watch it: finetune watch " .. id:gsub("%p", "%%%0"), err)
    assert.equal("cancelled", json("job", "finetune cancel " .. id).status)
    assert.matches("HTTP 400", failed(4, "finetune cancel " .. id))
    server:set {job_seconds = 0.2}
  end)

  it("says what a provider cannot do, and where it says more", function()
    local err = failed(2, "finetune pause j-1 --provider together", {TOGETHER_API_KEY = "k-0123456789"})
    assert.matches("together cannot do that: Together has no pause", err)
  end)

  describe("events", function()
    it("are shown oldest first, the last ones with --last", function()
      local out = cli.must("finetune events " .. job.id)
      assert.matches("^%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d  info   Created fine%-tuning job", out)
      assert.matches("info   The job has successfully completed\n$", out)
      local last = cli.must("finetune events --last 2 " .. job.id)
      assert.equal(out:match "[^\n]+\n[^\n]+\n$", last)
    end)

    it("as JSON", function()
      local doc = json("events", "finetune events " .. job.id)
      assert.equal(job.id, doc.job)
      assert.is_true(#doc.events > 10)
    end)

    it("are harmless, whatever they say", function()
      patch("/events$", {message = EVIL, level = EVIL})
      local out = cli.must("finetune events " .. job.id)
      clis.assert_harmless(out)
      assert.not_matches("\nsecond", out)
    end)
  end)

  describe("metrics", function()
    it("draws the curve, 72 columns wide in a pipe", function()
      local lines = {}
      for line in cli.must("finetune metrics " .. job.id):gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.matches("⠤ training loss 0%.45  ·  step 36$", lines[1])
      assert.matches("^ +2%.%d+ ┤⠑", lines[2])
      assert.matches("^ +└──", lines[#lines - 1])
      assert.matches("^ +1 +36$", lines[#lines])
      for _, line in ipairs(lines) do assert.is_true(utf8.len(line) <= 72, line) end
    end)

    it("draws it without UTF-8", function()
      local out = cli.must("finetune metrics " .. job.id, {LANG = "C"})
      assert.is_nil(out:find "[\128-\255]", out)
      assert.matches("%.%.", out)
    end)

    it("as JSON", function()
      local doc = json("metrics", "finetune metrics " .. job.id)
      assert.equal(36, #doc.metrics)
      assert.equal("number", type(doc.metrics[1].train_loss))
    end)

    it("writes a picture and a report that need nothing else", function()
      patch("/jobs/[^/]+$", {user_provided_suffix = "<script>alert(1)</script>" .. EVIL})
      local doc = json("metrics", ("finetune metrics %s --svg a.svg --html a.html"):format(job.id))
      assert.same({"a.svg", "a.html"}, {doc.svg, doc.html})
      local svg, html = live.read(tmp .. "/a.svg"), live.read(tmp .. "/a.html")
      for _, page in ipairs {svg, html} do
        assert.matches('<polyline class="training" points="[%d., ]+"', page)
        assert.matches("prefers-color-scheme:dark", page, 1, true)
        assert.is_nil(page:find("<script", 1, true))
        for url in page:gmatch "%a+://[^\"' ]+" do assert.equal("http://www.w3.org/2000/svg", url) end
        clis.assert_harmless(page)
      end
      for _, words in ipairs {"&lt;script&gt;", "n epochs", "n_epochs", "successfully completed", "Hyperparameters",
          "train loss", "default-src 'none'"} do
        assert.is_true(words == "n epochs" or html:find(words, 1, true) ~= nil, words)
      end
      if shell.has "python3" then
        shell.must("python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' a.svg", {cwd = tmp})
      end
    end)

    it("says that a file cannot be written", function()
      local err = failed(1, ("finetune metrics %s --svg nowhere/a.svg"):format(job.id))
      assert.matches("nowhere/a.svg: No such file", err)
    end)
  end)

  it("checkpoints", function()
    local out = cli.must("finetune checkpoints " .. job.id)
    assert.matches("^CHECKPOINT +STEP +CREATED +MODEL +METRICS\nftckpt_%w+ +36 ", out)
    assert.equal(3, #json("checkpoints", "finetune checkpoints " .. job.id).checkpoints)
  end)

  describe("files", function()
    it("are listed", function()
      assert.matches("\n" .. file.id:gsub("%p", "%%%0") .. "  train%.jsonl +1%.%d KiB  fine%-tune +processed  %d",
        cli.must "finetune files --purpose fine-tune")
      local doc = json("files", "finetune files")
      assert.equal("openai", doc.files[1].provider)
    end)

    it("are uploaded, downloaded and deleted", function()
      local doc = json("files", "finetune upload train.jsonl train.jsonl --wait")
      assert.equal(2, #doc.files)
      local id = doc.files[1].id
      assert.same({provider = "openai", id = id, path = "copy", bytes = #live.lines(12)},
        json("download", ("finetune download %s -o copy"):format(id)))
      assert.equal(live.lines(12), live.read(tmp .. "/copy"))
      assert.equal(live.lines(12), cli.must(("finetune download %s -o -"):format(id)))
      assert.equal(2, #json("rm", ("finetune rm %s %s"):format(id, doc.files[2].id)).deleted)
      assert.matches("HTTP 404.*next: finetune files", failed(4, "finetune rm " .. id))
    end)

    it("that were done before one failed are told in JSON, too", function()
      clis.write(tmp .. "/broken.bin", "abc")
      local status, out, err = cli.run "finetune upload train.jsonl broken.bin --json"
      assert.equal(4, status)
      local id = assert(core.decode(out)).files[1].id
      assert.equal("broken.bin", core.decode(err).error.thing)
      status, out = cli.run(("finetune rm %s %s --json"):format(id, id))
      assert.equal(4, status)
      assert.same({id}, {core.decode(out).deleted[1].id})
      assert.equal("", (select(2, cli.run(("finetune rm %s --json"):format(id)))))
    end)

    it("write over nothing unasked", function()
      local err = failed(2, ("finetune download %s -o train.jsonl"):format(file.id))
      assert.matches("train.jsonl is there already\n  next: .*%-%-force", err)
      cli.must(("finetune download %s -o train.jsonl --force --quiet"):format(file.id))
    end)

    it("are written into this folder, whatever the service calls them", function()
      patch("/files/[^/]+$", {filename = "../../" .. EVIL .. "/.profile"})
      assert.equal("profile", json("download", "finetune download " .. file.id).path)
      shell.must(("test -f %s/profile"):format(tmp))
    end)

    local NONE = {["nobody.jsonl"] = "No such file", ["empty.jsonl"] = "is empty", ["."] = "is a directory"}
    for name, words in pairs(NONE) do
      it(("that are none are not sent: %s"):format(name), function()
        shell.must(("touch %s/empty.jsonl"):format(tmp))
        assert.matches(words, failed(1, "finetune upload " .. name))
        assert.same({}, server:requests())
      end)
    end

    it("show their progress in lines where there is no terminal", function()
      server:fault {kind = "stall", at = "upload", bytes = 1000, seconds = 0.1}
      local _, err = cli.must "finetune upload train.jsonl"
      assert.equal("", err)
    end)
  end)

  describe("models", function()
    it("are listed with the day on which they go", function()
      assert.matches("\nold%-chat%-1 +system +%d+%-%d+%-%d+  20%d%d%-%d%d%-%d%d", cli.must "finetune models")
      local mine = json("models", "finetune models --mine").models
      for _, model in ipairs(mine) do assert.matches("^ft:", model.id) end
      assert.is_true(#mine < #json("models", "finetune models").models)
    end)

    it("are asked", function()
      assert.matches("^%S[^\n]*\n$", cli.must(("finetune sample %s 'number 3'"):format(job.fine_tuned_model)))
      local line = ("echo 'number 3' | finetune sample %s - --system short"):format(job.fine_tuned_model)
      local doc = json("sample", line)
      assert.equal(job.fine_tuned_model, doc.model)
      assert.matches("standard input is empty", failed(2, "finetune sample x - </dev/null"))
    end)

    it("are evaluated", function()
      local line = ("finetune evaluate %s train.jsonl --against small-chat-1 --limit 3"):format(job.fine_tuned_model)
      assert.matches(": accuracy [%d.]+ %%, %d of 3 held%-out", cli.must(line))
      local doc = json("evaluation", line)
      assert.equal(3, doc.examples)
      assert.equal("small-chat-1", doc.base.model)
      assert.matches("^finetune evaluate: nobody.jsonl: ", failed(1, "finetune evaluate m nobody.jsonl"))
    end)

    it("are named where they cannot be asked, each by its own name", function()
      local line = "finetune evaluate %s train.jsonl --against %s --limit 3"
      assert.matches("^finetune evaluate ft:nobody: ", failed(4, line:format("ft:nobody", "small-chat-1")))
      assert.matches("^finetune evaluate ft:nothing: ", failed(4, line:format(job.fine_tuned_model, "ft:nothing")))
    end)
  end)

  describe("whatever the service says,", function()
    -- fields of all objects, and of the providers' own kind
    local VALUES = {a_number = -1e300, a_text = EVIL, an_array = {1, {2}}, an_object = {message = {}}, a_truth = true}
    local NAMES = {"status", "model", "fine_tuned_model", "created_at", "finished_at", "hyperparameters", "error",
      "metadata", "result_files", "filename", "bytes", "purpose", "owned_by", "message", "level", "data", "metrics",
      "step_number", "fine_tuned_model_checkpoint", "estimated_finish", "seed", "trained_tokens", "shutdown_date"}

    for kind, value in pairs(VALUES) do
      it(("no command breaks: %s"):format(kind), function()
        local set = {}
        for _, name in ipairs(NAMES) do set[name] = value end
        patch("", set)
        for _, line in ipairs {"jobs", "status " .. job.id, "events " .. job.id, "checkpoints " .. job.id, "files",
            "metrics " .. job.id, "models --mine", "inventory", "watch --timeout 0.2 " .. job.id,
            ("metrics %s --html b.html"):format(job.id)} do
          local _, out, err = cli.run("finetune " .. line)
          assert.not_matches("a mistake in the command itself", err, 1, true)
          clis.assert_harmless(out)
          clis.assert_harmless(err)
        end
      end)
    end

    it("no command breaks: null everywhere", function()
      server:fault {kind = "nulls", all = true, times = "always"}
      for _, line in ipairs {"jobs", "status " .. job.id, "events " .. job.id, "files", "models", "inventory"} do
        assert.not_matches("a mistake in the command itself", select(3, cli.run("finetune " .. line)), 1, true)
      end
    end)
  end)

  describe("providers", function()
    it("says which variable is missing, and never a value", function()
      local out = cli.must "finetune providers"
      assert.matches("\ntogether +Together AI +needs TOGETHER_API_KEY ", out)
      assert.matches("\nopenai %* +[%w, ]+ready ", out)
      assert.matches("\nlocal +this machine +ready ", out)
      assert.not_matches(server.key, out, 1, true)
      for _, row in ipairs(json("providers", "finetune providers").providers) do
        assert.is_true(#row.operations > 6, row.name)
        assert.is_nil(row.error, row.name)
      end
    end)

    it("says of one what it cannot do, and why", function()
      local out = cli.must "finetune providers together"
      assert.matches("\n  get it +https://api%.together%.ai", out)
      assert.matches("\n  cannot +pause_job: Together has no pause", out)
      assert.matches("did you mean 'together'", failed(3, "finetune providers togther"))
    end)

    it("shows a broken one beside the others", function()
      shell.must(("mkdir -p %s/own && echo 'error \"\27[31mno\"' >%s/own/odd.lua"):format(tmp, tmp))
      local out = cli.must("finetune providers", {FINE_TUNE_PROVIDER_PATH = tmp .. "/own"})
      assert.matches("\nodd +%- +broken", out)
      clis.assert_harmless(out)
    end)
  end)

  describe("doctor", function()
    it("finds nothing wrong here, and asks the service", function()
      local out = cli.must "finetune doctor"
      assert.matches("\nok +service openai +answers in %d+ ms, and takes the key\n", out)
      assert.not_matches(server.key, out, 1, true)
      for what in ("finetune Lua curl finetune%-run settings clock store vocabularies"):gmatch "%S+" do
        assert.matches("%f[%w]" .. what .. "  ", out)
      end
      json("findings", "finetune doctor")
    end)

    it("asks nobody with --offline", function()
      cli.must "finetune doctor --offline"
      assert.same({}, server:requests())
    end)

    it("says what to do about a missing key, a wrong one, and no network", function()
      local _, out = failed(3, "unset OPENAI_API_KEY; finetune doctor")
      assert.matches("error +provider openai +not set: OPENAI_API_KEY\n +%-> get it: https://platform.openai.com", out)
      _, out = failed(3, "finetune doctor", {OPENAI_API_KEY = "sk-wrong-0123456789"})
      assert.matches("error +service openai", out)
      _, out = failed(3, "finetune doctor", {OPENAI_BASE_URL = service.refused_url()})
      assert.matches("error +service openai +127", out)
    end)

    it("notices a clock that is wrong, by the service's", function()
      local line = "date: Sun, 22 Nov 2020 10:00:00 GMT\r\n"
      server:fault {kind = "header", path = "^/$", raw = line, times = "always"}
      assert.matches("warning +clock +.* ahead of the service's\n", cli.must "finetune doctor")
      local doctor = require "finetune.cli.cmd.doctor"
      assert.equal(1606039200, doctor.http_date "Sun, 22 Nov 2020 10:00:00 GMT")
      assert.equal(951782400, doctor.http_date "Tue, 29 Feb 2000 00:00:00 GMT")
      assert.is_nil(doctor.http_date "yesterday")
    end)
  end)

  it("speaks with a service that is not OpenAI's", function()
    local s <close> = service.start {dialect = "together", job_seconds = 0.2}
    local env = {FINE_TUNE_PROVIDER = "together", TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url}
    local id = json("files", "finetune upload train.jsonl", env).files[1].id
    assert.equal("together", json("files", "finetune files", env).files[1].provider)
    local there = assert(require("finetune").create_provider("together", {api_key = s.key, base_url = s.url}))
    local made = assert(there:create_job {model = s.model, training_file = id, hyperparameters = {n_epochs = 1}})
    assert.equal(made.id, json("jobs", "finetune jobs", env).jobs[1].id)
    cli.must("finetune watch --quiet --interval 0.05 " .. made.id, env)
    json("events", "finetune events " .. made.id, env)
    json("metrics", "finetune metrics " .. made.id, env)
    json("models", "finetune models", env)
    assert.matches("status +succeeded", cli.must("finetune status " .. made.id, env))
  end)

  it("works on this machine, without a key", function()
    if not shell.has "fasttext" then return pending "there is no fasttext" end
    local env = {FINE_TUNE_PROVIDER = "local", FINE_TUNE_HOME = tmp .. "/store"}
    local support = shell.quote(shell.root .. "/examples/data/support.jsonl")
    local id = json("files", "finetune upload " .. support, env).files[1].id
    local finetune = require "finetune"
    local here = assert(finetune.create_provider("local", {home = tmp .. "/store"}))
    local made = assert(here:create_job {model = "fasttext", training_file = id, seed = 1})
    local out, err = cli.must("finetune watch --interval 0.05 " .. made.id, env)
    assert.matches("succeeded", out)
    local model = err:match "The model is (%S+)%."
    assert.matches("^%S+\n", cli.must(("finetune sample %s 'It crashes whenever I open a report.'"):format(model), env))
    json("metrics", "finetune metrics " .. made.id, env)
    json("models", "finetune models", env)
    assert.equal(model, json("deleted", "finetune model rm " .. model, env).id)
  end)
end)
