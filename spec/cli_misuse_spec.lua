-- The command misused, every command in every way: the words are wrong, the key is, the network, the files, the folder,
-- the reader of the output.

local clis = require "spec.support.cli"
local commands = require "finetune.cli.commands"
local core = require "finetune.core"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local EVIL = clis.EVIL

-- command -> words with which it would work
local WORDS = {check = "train.jsonl", prepare = "train.jsonl -o new.jsonl --force",
  tune = "train.jsonl --model tiny-chat-1 --yes", jobs = "", status = "JOB", watch = "JOB", cancel = "JOB",
  pause = "JOB", resume = "JOB", events = "JOB", metrics = "JOB", checkpoints = "JOB", files = "",
  upload = "train.jsonl",
  download = "FILE -o copy --force", rm = "FILE", models = "", model = "rm ft:nobody", sample = "tiny-chat-1 hello",
  evaluate = "tiny-chat-1 train.jsonl --limit 1", providers = "", inventory = "", doctor = "", completion = "bash"}
local OFFLINE = {check = true, prepare = true, providers = true, doctor = true, completion = true}

describe("misused,", function()
  local server, tmp, cli, provider, job, file

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.2}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    clis.write(tmp .. "/train.jsonl", live.lines(12))
    provider = live.provider(server)
    file = assert(provider:upload_file(tmp .. "/train.jsonl")).id
    job = assert(provider:wait(assert(provider:create_job {model = server.model, training_file = file}),
      {interval = 0.05})).id
    shell.must("mkdir folder; touch empty; truncate -s 3G large; head -c 100000 /dev/urandom >binary; "
      .. "printf '\\177ELF\\0\\0' | cat - binary >program", {cwd = tmp})
  end)

  after_each(function() server:clear() end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  local function line_of(name)
    local own = name == "rm" and assert(provider:upload_file(tmp .. "/train.jsonl")).id or file -- it goes
    return ("finetune %s %s"):format(name, (WORDS[name]:gsub("JOB", job):gsub("FILE", own)))
  end

  -- It ends with that, and says so as it should -> stderr, stdout
  local function ends(wanted, line, env)
    local status, out, err = cli.run(line, env)
    assert.equal(wanted, status, line .. "\n" .. out .. err)
    for _, words in ipairs {"traceback", "a mistake in the command itself", server.key} do
      assert.is_nil(err:find(words, 1, true), err)
    end
    clis.assert_harmless(err)
    return err, out
  end

  for _, command in ipairs(commands.list) do
    local name = command.name
    describe(name, function()
      it("names the nearest option", function()
        assert.equal(("finetune %s: unknown option '--jsn'\n  next: did you mean '--json'?\n"):format(name),
          (ends(2, line_of(name) .. " --jsn")))
        local near = name:sub(1, -2) .. (name:sub(-1) == "x" and "y" or "x")
        assert.matches(("unknown command '%s'"):format(near), (ends(2, "finetune " .. near)), 1, true)
      end)

      it("survives a reader who has gone, and one who was never there", function()
        local err = ends(0, ("trap '' PIPE; { %s; echo $? >&2; } 2>told | true; cat told >&2"):format(line_of(name)))
        assert.is_nil(err:find("traceback", 1, true))
        local status, _, said = cli.run(line_of(name) .. " >&-")
        assert.equal(status ~= 0, said:find("finetune " .. name .. "[^\n]*: ") ~= nil, said)
      end)

      if not OFFLINE[name] then
        it("without a key, with a wrong one, without a network", function()
          local line = line_of(name)
          assert.matches("OPENAI_API_KEY", (ends(3, "unset OPENAI_API_KEY; " .. line)))
          server:clear()
          local err, out = ends(3, line, {OPENAI_API_KEY = "sk-wrong-0123456789abcdef"})
          assert.matches("HTTP 401", err)
          assert.not_matches("sk-wrong", err .. out, 1, true)
          local nobody = {OPENAI_BASE_URL = service.refused_url()}
          err, out = ends(4, line .. " --json --timeout 3", nobody)
          local doc = assert(core.decode(name == "watch" and out or err))
          assert.matches("^finetune doctor", doc.error.next)
          assert.is_nil(schema.wrong(name == "watch" and "unwatched" or "failed", doc))
        end)
      end

      if name ~= "completion" and name ~= "providers" then
        it("says that the disk is full", function()
          if not core.fs.stat "/dev/full" then return pending "there is no /dev/full" end
          local status, _, err = cli.run(line_of(name) .. " >/dev/full")
          if status ~= 4 then assert.equal(1, status, err) end
          assert.is_nil(err:find("traceback", 1, true))
          if status == 1 then assert.matches("could not be written: No space left", err, 1, true) end
        end)
      end
    end)
  end

  describe("with a file that is none,", function()
    local TAKES = {check = "%s", prepare = "%s -o none.jsonl --force", tune = "%s --model tiny-chat-1 --yes",
      evaluate = "tiny-chat-1 %s", ["tune --validation"] = "train.jsonl --model tiny-chat-1 --yes --validation %s",
      ["metrics --data"] = "JOB --html page.html --data %s"}

    -- What to type next
    local NEXT = {nobody = "\n  next: ls %.  ", empty = "\n  next: write examples into it",
      folder = "\n  next: ls folder  "}

    for what, words in pairs(TAKES) do
      it(what .. " says so, quickly, in little memory, and leaves nothing", function()
        if what == "metrics --data" then words = words:gsub("JOB", job) end
        for _, path in ipairs {"nobody", "empty", "folder", "binary", "program", "large"} do
          local line = ("finetune %s %s"):format(what:match "%S+", words:format(path))
          local began = core.now()
          -- the page of a job shows what is wrong with its data
          local shown = path == "binary" or path == "program" or path == "large"
          local wanted = what == "metrics --data" and shown and 0 or 1
          local err, out = ends(wanted, "ulimit -v 400000; " .. line)
          clis.assert_harmless(out)
          assert.is_true(core.now() - began < 60)
          if wanted == 1 then assert.matches(path, err .. out, 1, true) end
          if NEXT[path] then assert.matches(NEXT[path], err) end
          assert.same({}, server:requests {method = "POST"})
          assert.is_nil(core.fs.stat(tmp .. "/none.jsonl"))
        end
      end)
    end

    it("upload says so", function()
      for _, path in ipairs {"nobody", "empty", "folder"} do
        local err = ends(1, "finetune upload train.jsonl " .. path)
        assert.matches(path, err, 1, true)
        assert.matches(NEXT[path], err)
        assert.same({}, server:requests())
      end
    end)

    it("in another folder, says where to look", function()
      assert.matches("next: ls folder/  ", (ends(1, "finetune check folder/nobody")), 1, true)
    end)

    it("sample takes no question of 3 GB", function()
      assert.matches("longer than 16.0 MiB", (ends(2, "ulimit -v 400000; finetune sample m - <large")), 1, true)
      assert.same({}, server:requests())
    end)
  end)

  it("with a job that is not there, or has ended, names it and says what to type next", function()
    for _, name in ipairs {"status", "checkpoints", "events", "metrics", "cancel", "pause", "resume"} do
      assert.matches(("^finetune %s nope: .*\n  next: finetune jobs %%-%%-all\n$"):format(name),
        (ends(4, ("finetune %s nope"):format(name))))
    end
    for _, name in ipairs {"cancel", "pause", "resume"} do
      local err = ends(4, ("finetune %s openai/%s"):format(name, job))
      assert.matches("\n  next: finetune status " .. job .. "   (how it stands)\n", err, 1, true)
    end
  end)

  it("with what the service does not take says which word it is", function()
    assert.matches("\n  next: mend 'purpose', then the same command again\n$",
      (ends(4, "finetune upload train.jsonl --purpose nonsense")))
  end)

  it("in a folder in which nothing can be written says so, and leaves nothing", function()
    -- root may write anywhere but there
    local there = core.fs.stat "/proc/self" and "/proc/self" or pending "there is no /proc"
    if not there then return end
    for _, words in ipairs {"prepare ~/train.jsonl -o new.jsonl", "metrics " .. job .. " --html r.html",
        "metrics " .. job .. " --svg r.svg", "download " .. file, "inventory copy"} do
      local err = ends(1, ("cd %s; finetune %s"):format(there, words))
      assert.matches("No such file or directory", err)
    end
    for _, words in ipairs {"jobs", "check ~/train.jsonl", "metrics " .. job, "doctor --offline"} do
      ends(0, ("cd %s; finetune %s"):format(there, words))
    end
  end)

  it("on a full disk leaves no half of a file", function()
    shell.must("mkdir full", {cwd = tmp})
    if (shell.run("mount -t tmpfs -o size=64k none full", {cwd = tmp})) ~= 0 then
      return pending "no disk can be mounted here"
    end
    finally(function() shell.run("umount full", {cwd = tmp}) end)
    shell.run("head -c 65536 /dev/zero >full/filler", {cwd = tmp})
    for _, words in ipairs {"prepare train.jsonl -o full/new.jsonl", "metrics " .. job .. " --html full/r.html",
        "download " .. file .. " -o full/copy", "inventory full/copy"} do
      assert.matches("No space left on device", (ends(1, "finetune " .. words)), 1, true)
    end
    assert.equal("filler\n", (shell.must("find full -type f -size +0 -printf '%f\\n'", {cwd = tmp})))
  end)

  it("a name with escape sequences and newlines reaches no terminal", function()
    server:fault {kind = "patch", path = "", times = "always", set = {message = EVIL, user_provided_suffix = EVIL}}
    for _, words in ipairs {'status "$EVIL"', 'watch "$EVIL"', 'rm "$EVIL"', 'sample "$EVIL" hello', 'check "$EVIL"',
        'jobs --status "$EVIL"', 'upload "$EVIL"', '"$EVIL"', '--provider "$EVIL" jobs', '--profile "$EVIL" jobs',
        'jobs "--$EVIL"', 'metrics "$EVIL" --html x', 'tune train.jsonl --model "$EVIL" --yes'} do
      local _, out, err = cli.run("finetune " .. words, {EVIL = EVIL})
      clis.assert_harmless(out)
      clis.assert_harmless(err)
      assert.is_nil(err:find("traceback", 1, true), err)
      assert.is_nil(err:find("\nsecond", 1, true), err)
    end
  end)

  it("nothing is written into what takes the number of a closed stream", function()
    for _, closed in ipairs {">&-", "2>&-", "<&-", ">&- 2>&- <&-"} do
      cli.must("finetune prepare train.jsonl -o closed.jsonl --force " .. closed)
      assert.equal(live.lines(12), live.read(tmp .. "/closed.jsonl"))
    end
  end)
end)
