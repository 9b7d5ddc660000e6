-- Every example runs, as its own head says, against the loopback service.

local service = require "spec.support.service"
local shell = require "spec.support.shell"

local root, quote = shell.root, shell.quote

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- No setting of whoever runs the suite may reach an example.
local UNSET = "env -u FINE_TUNE_HOME -u FINE_TUNE_MODEL -u FINE_TUNE_PROVIDER -u FINE_TUNE_PROVIDER_PATH "
  .. "-u OPENAI_API_KEY -u OPENAI_BASE_URL -u OPENAI_ORG_ID -u OPENAI_PROJECT_ID "

describe("examples", function()
  local server, tmp, env

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.5}, shell.folder()
    env = {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url, FINE_TUNE_MODEL = "tiny-chat-1"}
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  -- What an example prints; it has to end with status 0.
  local function run(name, more)
    return shell.must(("exec lua5.4 %s/examples/%s"):format(quote(root), name), {env = more or env, cwd = tmp})
  end

  describe("the data", function()
    local finetune = require "finetune"

    for name, least in pairs {["support.jsonl"] = 600, ["support_valid.jsonl"] = 130} do
      it(name .. " is valid, and goes through byte for byte", function()
        local provider <close> = assert(finetune.create_provider "openai")
        local path = root .. "/examples/data/" .. name
        local report = assert(provider:prepare_data {path = path, format = "chat"})
        assert.is_true(report.examples >= least)
        assert.equal(report.examples, report.written)
        assert.same({}, report.errors)
        assert.same({}, report.warnings)
        assert.is_true(report.text == read(path), "the text was changed")
      end)
    end

    -- f(label, what the user says, in lower case) for every example
    local function each(name, f)
      for line in io.lines(root .. "/examples/data/" .. name) do
        local messages, said = require("finetune.core").decode(line).messages, {}
        for _, message in ipairs(messages) do
          if message.role == "user" then said[#said + 1] = message.content:lower() end
        end
        f(messages[#messages].content, table.concat(said, " "))
      end
    end

    it("says nothing twice, and nothing held out is in the training data", function()
      local seen = {}
      for _, name in ipairs {"support.jsonl", "support_valid.jsonl"} do
        each(name, function(_, said)
          local plain = said:gsub("[%p%s]+", " ")
          assert.is_nil(seen[plain], plain)
          seen[plain] = true
        end)
      end
    end)

    it("has seven labels, about as many examples of each, and seldom the label's own word in the text", function()
      for name, least in pairs {["support.jsonl"] = 80, ["support_valid.jsonl"] = 15} do
        local counts, n, told = {}, 0, 0
        each(name, function(label, said)
          counts[label], n = (counts[label] or 0) + 1, n + 1
          if said:gsub("-", " "):find(label:gsub("-", " "), 1, true) then told = told + 1 end
        end)
        local labels = 0
        for label, count in pairs(counts) do
          labels = labels + 1
          assert.is_true(count >= least and count < n / 5, label)
        end
        assert.equal(7, labels)
        assert.is_true(told < n / 10, told)
      end
    end)
  end)

  describe("demo.lua", function()
    local output

    lazy_setup(function()
      output = shell.must(UNSET .. ("lua5.4 %s/examples/demo.lua"):format(quote(root)),
        {cwd = tmp, env = {HOME = tmp .. "/home", TMPDIR = tmp}})
    end)

    it("trains a real classifier here, and says that it is one", function()
      local here = output:match "^(.-)%-%-%-%- the same file, one word changed"
      assert.matches("^%$ lua5%.4 examples/quickstart%.lua local\nprovider: local\n", here)
      assert.matches("text classifier, not a language model", here)
      assert.matches("support%.jsonl +607 chat examples to train on: 0 errors", here)
      assert.matches("support_valid%.jsonl +136 chat examples .-held out: 0 errors", here)
      assert.matches("info +step %d+ of %d+, loss 0%.%d+", here)
      assert.matches("info +job succeeded", here)
      assert.matches("wrong most often:\n +%d+ x ", here)
      local _, sure = here:gsub("%-> [%w-]+ %(%d+ %% sure%)", "")
      assert.equal(3, sure)
      assert.matches("-> billing %(", here)
      assert.matches("one word differs, the provider's name", here)
      assert.matches("quickstart%.lua together MODEL", here)
      assert.matches("2027%-01%-06", here)
    end)

    it("is right far more often than the majority class", function()
      local accuracy, majority = output:match
        "local:fasttext%S+: accuracy (%S+) %%, %d+ of 136.-\n +majority class: accuracy (%S+) %%"
      assert.is_true(tonumber(accuracy) > 70 and tonumber(accuracy) < 95, accuracy)
      assert.is_true(tonumber(majority) < 20, majority)
    end)

    it("runs the same file as openai, and shows what differs", function()
      local there = output:match "one word changed: local %-> openai.*"
      assert.matches("loopback service on this machine, http://127%.0%.0%.1:%d+/v1", there)
      assert.matches("only acted out", there)
      assert.matches("%$ lua5%.4 examples/quickstart%.lua openai\nprovider: openai\n", there)
      assert.matches("3%. Tuning tiny%-chat%-1\n", there)
      assert.matches("\n +ft:tiny%-chat%-1:%S+: accuracy %d", there)
      assert.matches("What differed is the last word of the command", there)
    end)

    it("leaves nothing behind", function()
      assert.equal("", shell.must(("ls -A %s"):format(quote(tmp))))
    end)
  end)

  describe("quickstart.lua", function()
    it("runs on the service that its word and the environment name", function()
      local output = run "quickstart.lua openai"
      assert.matches("^provider: openai\n", output)
      assert.matches("Tuning tiny%-chat%-1", output)
      assert.matches("\n +ft:%S+, in %l+ %l* ?%d+ s\n", output)
      assert.not_matches(server.key, output, 1, true)
      assert.not_matches("not a language model", output)
    end)

    it("takes the provider from the environment, and the model as an argument", function()
      local more = {FINE_TUNE_PROVIDER = "openai"}
      for name, value in pairs(env) do more[name] = value end
      assert.matches("^provider: openai\n", run("quickstart.lua", more))
      assert.matches("Tuning small%-chat%-1", run "quickstart.lua openai small-chat-1")
    end)

    it("asks for a model rather than guess one on a real service", function()
      local status, output = shell.run(
        ("env -u FINE_TUNE_MODEL lua5.4 %s/examples/quickstart.lua openai"):format(quote(root)),
        {cwd = tmp, env = {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url}})
      assert.equal(2, status)
      assert.matches("Which model%?.*tiny%-chat%-1", output)
    end)

    it("says what is missing, and ends with status 1, where there is no key", function()
      local status, output = shell.run(
        UNSET .. ("lua5.4 %s/examples/quickstart.lua openai m"):format(quote(root)), {cwd = tmp})
      assert.equal(1, status)
      assert.matches("OPENAI_API_KEY", output)
    end)
  end)

  it("provider_example.lua shows the registry and the whole workflow", function()
    local output = run "provider_example.lua"
    assert.matches("provider openai", output)
    assert.matches("default: openai", output)
    assert.matches("did you mean 'openai'", output)
    assert.matches("can it pause_job%? yes", output)
    assert.matches("prepared 12 examples", output)
    assert.matches("the model is ft:tiny%-chat%-1", output)
  end)

  it("many_jobs.lua runs a sweep", function()
    local output = run "many_jobs.lua"
    local _, jobs = output:gsub("epochs %d, rate [%d.]+ +ft:tiny%-chat%-1", "")
    assert.equal(12, jobs)
    assert.matches("best: ft:tiny%-chat%-1", output)
  end)

  for _, loop in ipairs {"luv", "cqueues", "copas"} do
    it(("with_%s.lua shares the loop"):format(loop), function()
      -- Asked in another process: busted unloads modules, and luv does not outlive being loaded twice.
      if shell.run(("lua5.4 -e 'require %q'"):format(loop)) ~= 0 then return pending("there is no " .. loop) end
      local output = run(("with_%s.lua"):format(loop))
      assert.matches("tick", output)
      assert.matches("ft:tiny%-chat%-1", output)
    end)
  end

  describe("in C", function()
    local CFLAGS = "-std=c99 -D_GNU_SOURCE -Wall -Wextra -Werror -fPIC -iquote csrc $(pkg-config --cflags lua5.4)"

    it("host_poll.c drives three operations from its own poll loop", function()
      shell.must(("cc %s examples/host_poll.c -o %s/host_poll $(pkg-config --libs lua5.4)"):format(CFLAGS, tmp),
        {cwd = root})
      local output = shell.must(tmp .. "/host_poll", {env = {
        OPENAI_API_KEY = server.key,
        OPENAI_BASE_URL = server.url,
        LUA_PATH_5_4 = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(root, root),
        LUA_CPATH_5_4 = root .. "/lua/?.so;;",
      }})
      assert.matches("list_models: %d", output)
      assert.matches("list_files: %d", output)
      assert.matches("list_jobs: %d", output)
    end)

    it("c_provider.c is found by its name and does the whole workflow", function()
      local folder = tmp .. "/finetune/providers"
      shell.must(("mkdir -p %s && cc %s -shared examples/c_provider.c -o %s/acme.so")
        :format(folder, CFLAGS, folder), {cwd = root})
      local output = shell.must("lua5.4 spec/support/acme.lua", {cwd = root, env = {
        ACME_API_KEY = server.key,
        ACME_BASE_URL = server.url,
        LUA_PATH_5_4 = "lua/?.lua;lua/?/init.lua;;",
        LUA_CPATH_5_4 = ("lua/?.so;%s/?.so;;"):format(tmp),
      }})
      assert.matches("acme tuned ft:tiny%-chat%-1", output)
    end)
  end)

  it("are all run here or by a spec that names them", function()
    local specs = shell.must "cat spec/*_spec.lua"
    for _, name in ipairs(shell.lines "ls examples | grep -E '\\.(lua|c)$'") do
      local stem = name:gsub("^with_%w+", "with_%%s")
      assert.is_truthy(name == "paths.lua" or specs:find(stem, 1, true), name .. " is run by no spec")
    end
  end)

  it("name no model that is retired", function()
    assert.equal("", (select(2, shell.run "grep -rnE 'gpt-(3|4)|babbage|davinci' examples")))
  end)
end)
