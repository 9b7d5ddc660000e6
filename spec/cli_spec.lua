-- The frame of the command `finetune`: its words, its help, its exit codes, its settings; each test runs it as a
-- process of its own.

local clis = require "spec.support.cli"
local commands = require "finetune.cli.commands"
local core = require "finetune.core"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local write = clis.write

describe("the command", function()
  local server, tmp, cli, job, file_id, model

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.2}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    write(tmp .. "/train.jsonl", live.lines(12))
    write(tmp .. "/valid.jsonl", live.lines(18):sub(#live.lines(12) + 1)) -- none that is in the other
    local provider = live.provider(server)
    file_id = assert(provider:upload_file(tmp .. "/train.jsonl")).id
    local function tune()
      local made = assert(provider:create_job {model = server.model, training_file = file_id})
      return assert(provider:wait(made, {interval = 0.05}))
    end
    job, model = tune(), {kept = tune().fine_tuned_model, goes = tune().fine_tuned_model}
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  -- stderr of a command that has to fail like this
  local function failed(status, line, env)
    local got, out, err = cli.run(line, env)
    assert.equal(status, got, out .. err)
    assert.not_matches("stack traceback", err, 1, true)
    assert.not_matches(server.key, out .. err, 1, true)
    return err, out
  end

  describe("--help", function()
    it("lists all commands and the exit codes", function()
      local out = cli.must "finetune --help"
      for _, command in ipairs(commands.list) do assert.matches("\n   " .. command.name .. " +%u", out) end
      assert.matches("130 interrupted %(143 by SIGTERM", out)
    end)

    it("is what `finetune help` says, too", function()
      assert.equal(cli.must "finetune --help", cli.must "finetune help")
      assert.equal(cli.must "finetune tune --help", cli.must "finetune help tune")
      assert.matches("unknown command 'tunes'\n  next: did you mean 'tune'?", failed(2, "finetune help tunes"), 1, true)
    end)

    it("comes with exit code 2 where there is no command", function()
      local _, out = failed(2, "finetune")
      assert.equal(cli.must "finetune --help", out)
    end)

    for _, command in ipairs(commands.list) do
      it(("of %s has two examples, which run"):format(command.name), function()
        local out = cli.must(("finetune %s --help"):format(command.name))
        assert.equal(2, #command.examples)
        for i, example in ipairs(command.examples) do
          assert.truthy(out:find("\n   " .. example .. "\n", 1, true), example)
          local named = command.name == "model" and model.goes or model.kept
          local line = example:gsub("ftjob%-42", job.id):gsub("file%-42", file_id):gsub("MODEL%-42", named)
          local status, output, err = cli.run(line)
          -- what has ended cannot be cancelled, paused or resumed; the rm of the first example is final
          local may_fail = ({cancel = 4, pause = 4, resume = 4, rm = i == 2 and 4, model = i == 2 and 4})[command.name]
          assert.is_true(status == 0 or status == may_fail, line .. "\n" .. output .. err)
          if command.name == "rm" and i == 1 then
            file_id = assert(live.provider(server):upload_file(tmp .. "/train.jsonl")).id
          end
        end
      end)
    end

    it("says of each field of --json what it is called", function()
      local out = cli.must "finetune jobs --help"
      for name in pairs(schema.kinds.job) do assert.truthy(out:find(name, 1, true), name) end
    end)

    it("is given for `help` with whatever else", function()
      local general, own = cli.must "finetune --help", cli.must "finetune jobs --help"
      assert.equal(general, cli.must "finetune help")
      assert.equal(general, cli.must "finetune help --provider x")
      assert.equal(own, cli.must "finetune help jobs")
      assert.equal(own, cli.must "finetune help --provider local jobs")
    end)

    it("has a version, for programs too", function()
      local version = cli.must("finetune --version"):match "^finetune ([%d.]+)\n$"
      local doc = cli.json "finetune --version"
      assert.is_nil(schema.wrong("version", doc))
      assert.equal(version, doc.version)
    end)

    it("takes at most 25 ms of CPU", function()
      if not shell.has "bash" then return pending "there is no bash" end
      -- the best of five: other work on this machine counts, too
      local line = ("TIMEFORMAT='%%U %%S'; for i in 1 2 3 4 5; do time %s --help >/dev/null; done"):format(
        shell.quote(clis.path))
      local least = math.huge
      for user, system in shell.must("bash -c " .. shell.quote(line)):gmatch "([%d.]+) ([%d.]+)" do
        least = math.min(least, tonumber(user) + tonumber(system))
      end
      assert.is_true(least <= 0.025, least)
    end)
  end)

  describe("misused", function()
    for line, words in pairs {
      ["finetune job"] = "unknown command 'job'\n  next: did you mean 'jobs'?",
      ["finetune jobs --al"] = "finetune jobs: unknown option '--al'\n  next: did you mean '--all'?",
      ["finetune jobs --timeout soon"] = "'soon' is no time",
      ["finetune jobs --timeout 0"] = "'0' is no time: seconds, from 0.001 to 1000000\n  next: finetune jobs --help",
      ["finetune jobs --timeout -1"] = "'-1' is no time: seconds, from 0.001 to 1000000\n  next: finetune jobs --help",
      ["finetune events ftjob-42 --last -3"] = "'-3' is no whole number of at least 1",
      ["finetune sample m hello --temperature -1"] = "'-1' is no number of at least 0",
      ["finetune metrics ftjob-42 --svg x --html x"] = "would both write x\n  next: another name for one of them",
      ["finetune watch ftjob-42 --interval 0"] = "'0' is no time",
      ["finetune events ftjob-42 --last 1.5"] = "'1.5' is no whole number of at least 1",
      ["finetune evaluate tiny-chat-1 valid.jsonl --concurrency 0"] = "'0' is no whole number of at least 1",
      ["finetune check valid.jsonl --show 0.5"] = "'0.5' is no whole number",
      ["finetune watch ''"] = "ID is empty\n  next: finetune watch --help",
      ["finetune rm ' '"] = "ID is empty",
      ["finetune inventory ''"] = "DIR is empty",
      ["finetune prepare valid.jsonl -o ''"] = "--output is empty",
      ["finetune status"] = "finetune status: missing argument 'ID'\n  next: finetune status --help",
      ["finetune completion tcsh"] = "must be one of 'bash', 'zsh', 'fish'",
      ["finetune status --provider a --provider b x"] = "works with one provider",
      ["finetune jobs --provider openai --provider local --base-url http://x"] = "belongs to one provider",
    } do
      it(("says what is wrong with `%s`"):format(line), function()
        assert.truthy(failed(2, line):find(words, 1, true))
      end)
    end

    for _, words in ipairs {"--api-key sk-test-123", "--key=abc", "--token abc", "--openai-api-key=x",
        "--base-url https://user:pass@example.com/v1", "status sk-0123456789abcdefghij",
        "--set extra.wandb_api_key=abc", "--set=hub-token=abc"} do
      it(("takes no key: `%s`"):format(words), function()
        local err = failed(2, "finetune jobs " .. words)
        assert.matches("a key on the command line is not accepted", err, 1, true)
        for _, secret in ipairs {"sk-test", "abc", "pass@", "sk-0123"} do assert.not_matches(secret, err, 1, true) end
      end)
    end

    it("tells mistakes in JSON with --json", function()
      local err = failed(2, "finetune status --json")
      local doc = assert(core.decode(err))
      assert.is_nil(schema.wrong("failed", doc))
      assert.equal(2, doc.exit)
      assert.equal("usage", doc.error.kind)
    end)
  end)

  describe("without", function()
    it("a key says which variable is missing, and what to type", function()
      local err = failed(3, "unset OPENAI_API_KEY; finetune jobs")
      assert.matches("OPENAI_API_KEY", err)
      assert.matches("\n  next: finetune providers openai", err)
      assert.not_matches("create_provider", err)
    end)

    it("the right key does not say which one it was", function()
      local err = failed(3, "finetune jobs", {OPENAI_API_KEY = "sk-wrong-key-0123456789"})
      assert.matches("HTTP 401", err)
      assert.not_matches("sk-wrong", err, 1, true)
      assert.not_matches("6789", err, 1, true)
      for _, line in ipairs {"finetune doctor", "finetune doctor --json", "FINE_TUNE_DEBUG=1 finetune jobs"} do
        local status, out, told = cli.run(line, {OPENAI_API_KEY = "sk-wrong-key-0123456789"})
        assert.equal(3, status, line)
        assert.matches("Incorrect API key provided: [redacted]", out .. told, 1, true)
        assert.not_matches("6789", out .. told, 1, true)
        assert.not_matches("sk-wrong", out .. told, 1, true)
      end
    end)

    it("a network ends with 4", function()
      local err = failed(4, "finetune jobs --timeout 2", {OPENAI_BASE_URL = service.refused_url()})
      assert.matches("127.0.0.1", err)
      assert.matches("next: finetune doctor", err)
    end)

    it("a provider of that name lists those that there are", function()
      local err = failed(3, "finetune jobs --provider opnai")
      assert.matches("there is no provider 'opnai' %(did you mean 'openai'%?%)", err)
    end)

    it("the job says where all of them are", function()
      local err = failed(4, "finetune status ftjob-nobody")
      assert.matches("HTTP 404", err)
      assert.matches("\n  next: finetune jobs %-%-all\n", err)
      local doc = assert(core.decode((failed(4, "finetune status ftjob-nobody --json"))))
      assert.is_nil(schema.wrong("failed", doc))
      assert.equal(4, doc.exit)
      assert.equal(404, doc.error.status)
    end)

    it("a disk that has room says so", function()
      if not core.fs.stat "/dev/full" then return pending "there is no /dev/full" end
      for _, line in ipairs {"finetune --help", "finetune jobs", "finetune jobs --json"} do
        assert.matches("could not be written: No space left", failed(1, line .. " >/dev/full"))
      end
    end)

    it("a reader ends quietly", function()
      for _, line in ipairs {"finetune --help", "finetune completion bash", "finetune events " .. job.id} do
        local status, out, err = cli.run(line .. " | head -n 1")
        assert.equal(0, status)
        assert.matches("^[^\n]+\n$", out)
        assert.equal("", err)
      end
      local err = failed(0, "trap '' PIPE; (sleep 0.2; finetune events " .. job.id .. "; echo $? >&2) | true")
      assert.equal("0\n", err)
    end)
  end)

  it("shows a mistake of its own without a traceback, unless FINE_TUNE_DEBUG=1", function()
    local lua = tmp .. "/broken"
    shell.must(("mkdir -p %s && cp -r %s/lua/finetune %s/"):format(lua, shell.root, lua))
    write(lua .. "/finetune/cli/cmd/jobs.lua", "return {run = function() local x = nil; return x.y end}")
    local path = shell.quote(lua .. "/finetune/cli/finetune")
    local status, _, err = cli.run(path .. " jobs")
    assert.equal(1, status)
    assert.matches("a mistake in the command itself", err)
    assert.not_matches("traceback", err)
    assert.matches("stack traceback", (select(3, cli.run("FINE_TUNE_DEBUG=1 " .. path .. " jobs"))))
  end)

  describe("is found", function()
    it("behind symbolic links, from any folder", function()
      shell.must(("mkdir -p %s/bin && ln -s %s %s/bin/ft && ln -s ft %s/bin/ft2"):format(tmp, clis.path, tmp, tmp))
      assert.matches("^finetune %d", cli.must "bin/ft2 --version")
      assert.matches("together", cli.must "cd bin && PATH=.:$PATH ft2 providers")
      assert.matches("^finetune %d", cli.must("cd lua 2>/dev/null; bin/ft --version", {CDPATH = "/usr:/"}))
    end)

    it("as `make install` puts it: bin beside share and lib", function()
      local prefix = tmp .. "/prefix"
      shell.must(("mkdir -p %s/bin %s/share/lua/5.4 %s/lib/lua/5.4/finetune && cp -r %s/lua/finetune %s/share/lua/5.4/ "
        .. "&& mv %s/share/lua/5.4/finetune/core.so %s/lib/lua/5.4/finetune/ && cp %s %s/bin/finetune"):format(prefix,
        prefix, prefix, shell.root, prefix, prefix, prefix, clis.path, prefix))
      assert.equal(cli.must "finetune models", cli.must "cd / && ~/prefix/bin/finetune models")
    end)

    it("in a folder that nobody may write to", function()
      shell.must(("mkdir -p %s/ro && chmod 555 %s/ro"):format(tmp, tmp))
      assert.matches(job.id, cli.must "cd ro && finetune jobs", 1, true)
    end)
  end)

  describe("a profile", function()
    local path

    local function profile(text, mode)
      shell.must(("mkdir -p %s/.config/finetune"):format(tmp))
      path = tmp .. "/.config/finetune/config.lua"
      write(path, text)
      shell.must(("chmod %s %s"):format(mode or "600", path))
    end

    after_each(function() os.remove(path) end)

    it("gives a provider its settings", function()
      profile(("return {work = {provider = 'openai', api_key = %q, base_url = %q}}"):format(server.key, server.url))
      local out = cli.must "unset OPENAI_API_KEY OPENAI_BASE_URL; finetune jobs --profile work"
      assert.matches(job.id, out, 1, true)
    end)

    it("is `default` where none is named, and FINE_TUNE_PROVIDER goes before it", function()
      profile "return {default = {provider = 'local'}}"
      assert.matches("local %*", cli.must "finetune providers")
      assert.matches("openai %*", cli.must("finetune providers", {FINE_TUNE_PROVIDER = "openai"}))
    end)

    it("gives its key to no other provider", function()
      for _, own in ipairs {"provider = 'openai', ", ""} do -- openai is what is meant where none is named
        profile(("return {default = {%sapi_key = 'sk-of-openai-0123456789'}}"):format(own))
        server:clear()
        local err = failed(3, "finetune jobs --provider together", {TOGETHER_BASE_URL = server.url})
        assert.matches("TOGETHER_API_KEY", err)
        assert.same({}, server:requests())
      end
    end)

    it("with a key that everybody may read is refused, with the chmod to type", function()
      profile("return {default = {provider = 'openai', api_key = 'sk-secret-0123456789'}}", "644")
      local err = failed(3, "finetune jobs")
      assert.truthy(err:find("next: chmod 600 " .. path, 1, true), err)
      assert.not_matches("sk-secret", err, 1, true)
    end)

    it("that everybody may read is fine without a key, and refused where everybody may write", function()
      profile("return {default = {provider = 'openai'}}", "644")
      cli.must "finetune jobs"
      profile("return {default = {provider = 'openai'}}", "666")
      assert.matches("can be written by everybody", failed(3, "finetune jobs"))
    end)

    for text, words in pairs {
      ["return {default = os.getenv 'HOME'}"] = "config.lua:1: attempt to index a nil value",
      ["return {"] = "is no Lua",
      ["\27Lua"] = "is no Lua",
      ["return 1"] = "returns no table",
      ["while true do end"] = "it does not end",
      ["return {default = 'openai'}"] = "is no profile",
      ["return {default = {provider = 'openai', colour = 'red'}}"] = "unknown setting of openai 'colour'",
    } do
      it(("says what is wrong with %q"):format(text), function()
        profile(text)
        local err = failed(3, "finetune jobs")
        assert.truthy(err:find(words, 1, true))
        assert.truthy(err:find("next: edit " .. path, 1, true), err)
        local status, out = cli.run "finetune doctor --offline"
        assert.equal(3, status)
        if words:find "unknown setting" then
          return assert.matches("error    settings            openai: " .. words .. ".*\n *%-> edit ", out)
        end
        assert.matches("error    settings .*\n *%-> edit .*provider together", out)
      end)
    end

    it("is looked at by doctor as commands do: where a key comes from, and which provider it names", function()
      profile "return {default = {provider = 'together', api_key = 'key-0123456789'}}"
      local out = cli.must("finetune doctor --offline", {FINE_TUNE_PROVIDER = ""})
      assert.matches("ok       provider together   api_key in the profile\n", out)
      assert.not_matches("key-0123456789", out, 1, true)
      profile "return {default = {provider = 'nobody'}}"
      local status, told = cli.run("finetune doctor --offline", {FINE_TUNE_PROVIDER = ""})
      assert.equal(3, status)
      assert.matches("error    settings            there is no provider 'nobody'", told)
      profile "return {default = {provider = 'openai', timeout = 'long'}}"
      status, told = cli.run("finetune doctor --offline", {FINE_TUNE_PROVIDER = ""})
      assert.equal(3, status)
      assert.matches("error    settings            openai: setting 'timeout' must be a number", told)
    end)

    for what, make in pairs {["a directory"] = "mkdir", ["a FIFO"] = "mkfifo", ["a link to nothing"] = "ln -s nowhere",
        ["what gives an error"] = "ln -s /proc/self/mem"} do
      it("file that is " .. what .. " is an error, at once", function()
        profile ""
        os.remove(path)
        shell.must(("%s %s"):format(make, path))
        for _, words in ipairs {"jobs", "providers", "doctor --offline"} do
          local status, out, err = cli.run(("timeout 20 '%s' %s"):format(clis.path, words))
          assert.equal(3, status, out .. err)
          assert.matches("the settings cannot be read: .*config.lua", out .. err)
          assert.matches("ls %-l .*config.lua", out .. err)
        end
      end)
    end

    it("that there is not names those that there are", function()
      profile "return {work = {}, home = {}}"
      assert.matches("there is no profile 'wrok' %(there are: home, work%)", failed(3, "finetune jobs --profile wrok"))
    end)
  end)

  it("has the fields that the schema has", function()
    local fields = require "finetune.cli.fields"
    local SHORT = {table = "table", array = "%[%w+%]"}
    for _, kind in ipairs(fields.kinds()) do
      local names = {}
      for _, field in ipairs(fields.of(kind)) do
        names[field.name] = true
        local wanted = "^" .. (SHORT[field.type] or field.type) .. (field.required and "$" or "%?$")
        assert.matches(wanted, schema.kinds[kind][field.name] or "nothing", kind .. "." .. field.name)
      end
      for name in pairs(schema.kinds[kind]) do assert.is_true(names[name], kind .. "." .. name) end
    end
  end)
end)
