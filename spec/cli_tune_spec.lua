-- `finetune tune`: what it shows, what it asks, what it sends, in a pipe and in a pseudo-terminal, against the loopback
-- service, another one, and this machine.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local plan = require "finetune.cli.plan"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local CTRL_C = "\3"
local LINE = '{"messages":[{"role":"user","content":"question %d"},{"role":"assistant","content":"answer %d"}]}\n'
local EVIL = clis.EVIL

local write = clis.write

local function lines(from, to)
  local list = {}
  for i = from, to do list[#list + 1] = LINE:format(i, i) end
  return table.concat(list)
end

describe("finetune tune", function()
  local server, tmp, cli

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.3}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    write(tmp .. "/train.jsonl", lines(1, 12))
    write(tmp .. "/valid.jsonl", lines(13, 24))
    write(tmp .. "/bad.jsonl", lines(1, 11) .. '{"messages":[]}\n')
  end)

  after_each(function()
    server:clear()
    server:set {job_seconds = 0.3}
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  local function failed(status, line, env)
    local got, out, err = cli.run(line, env)
    assert.equal(status, got, out .. err)
    assert.not_matches("a mistake in the command itself", err, 1, true)
    assert.not_matches(server.key, out .. err, 1, true)
    return err, out
  end

  local function sent(method, path) return server:requests {method = method, path = path} end

  local function plain(s) return (s:gsub("%p", "%%%0")) end

  local function job_body() return core.decode(sent("POST", "/jobs$")[1].body) end

  describe("shows", function()
    it("what it is about to do, and does nothing where nobody can agree to it", function()
      local err, out = failed(2, "finetune tune train.jsonl --model gpt-4.1-mini --validation valid.jsonl --epochs 2 "
        .. "--suffix mail --set batch_size=4 --set extra.note=x </dev/null")
      local tokens = out:match "tokens +([%d,]+) tokens %(estimated%)":gsub(",", "")
      assert.equal(([[
Fine-tuning gpt-4.1-mini
  at          openai, %s
  training    train.jsonl, 12 examples, %s
  validation  valid.jsonl, 12 examples
  tokens      %s tokens (estimated), 36 learned
  epochs      2
  cost        about %s USD (%d tokens at 5 USD a million, as of 2026-08-05)
  suffix      mail
  settings    batch_size = 4, n_epochs = 2
  extra       note = x
]]):format(server.url, "1.2 KiB", tokens, ("%.2g"):format(tokens * 10 / 1e6), tokens * 2),
        (out:gsub("%d+ learned", "36 learned"):gsub("training    (.-), %d%.%d KiB", "training    %1, 1.2 KiB")))
      assert.matches("there is nobody to ask: this is no terminal; nothing was sent\n  next: the same command with "
        .. "%-%-yes\n$", err)
      assert.same({}, server:requests())
    end)

    it("why the cost is not known, and which epochs are assumed", function()
      local _, out = failed(2, "finetune tune train.jsonl --model tiny-chat-1")
      assert.matches("\n  cost        unknown: no price of tiny%-chat%-1 at openai is known here\n", out)
      assert.matches("\n  epochs      8, unless the service decides otherwise %(", out)
    end)

    it("warnings", function()
      write(tmp .. "/same.jsonl", lines(1, 3) .. lines(1, 3))
      local _, out = failed(2, "finetune tune same.jsonl --model tiny-chat-1")
      assert.matches("\n  warnings    4 warnings %(duplicate_example 3, min_examples 1%): finetune check same.jsonl\n",
        out)
    end)

    it("nothing that a terminal would obey", function()
      local line = 'finetune tune train.jsonl --model "$EVIL" --suffix "$EVIL" --set extra.a="$EVIL"'
      local err, out = failed(2, line, {EVIL = EVIL})
      assert.matches("\n  suffix      red second2J evil\n", out)
      local all = out .. err .. failed(2, line .. ' --method "$EVIL"', {EVIL = EVIL})
      assert.is_nil(all:find "[\0-\9\11-\31\127]", all)
      assert.is_nil(all:find("\u{9b}", 1, true))
      assert.is_nil(all:find("\u{202e}", 1, true))
    end)
  end)

  describe("with --yes", function()
    it("uploads, creates the job, and says how to watch it", function()
      local out, err = cli.must "finetune tune train.jsonl --model tiny-chat-1 --suffix mail --seed 5 --yes"
      local id = out:match "\n(ftjob%-%w+) is created: %a+\n$"
      assert.equal(("To watch it:  finetune watch %s\nTo cancel it: finetune cancel %s\n"):format(id, id),
        err:match "To watch.*")
      assert.matches("^train.jsonl is uploaded: file%-%w+\n", err)
      local body = job_body()
      assert.same({"tiny-chat-1", "mail", 5}, {body.model, body.suffix, body.seed})
      assert.matches("status", cli.must("finetune status " .. id))
    end)

    it("sends what was set, typed, and a validation file", function()
      local doc = cli.json("finetune tune train.jsonl --model tiny-chat-1 --validation valid.jsonl --method supervised "
        .. "--epochs 3 --set batch_size=8 --set learning_rate_multiplier=0.5 --set extra.metadata.team=blue --yes")
      assert.is_nil(schema.wrong("tune", doc))
      assert.is_nil(schema.wrong("cost", doc.plan.cost))
      local body = job_body()
      assert.same({n_epochs = 3, batch_size = 8, learning_rate_multiplier = 0.5},
        body.method.supervised.hyperparameters)
      assert.equal("blue", body.metadata.team)
      assert.same({body.training_file, body.validation_file}, {doc.job.training_file, doc.job.validation_file})
      assert.same({12, 12, 0}, {doc.plan.examples, doc.plan.validation_examples, doc.plan.error_count})
      assert.equal(36, doc.plan.cost.billable_tokens // (doc.plan.cost.tokens / 12))
    end)

    it("follows the job to its end with --follow", function()
      local out, err = cli.must "finetune tune train.jsonl --model tiny-chat-1 --yes --follow"
      local id = out:match "\n(ftjob%-%w+) is created"
      assert.matches("\n%d%d:%d%d:%d%d  " .. plain(id) .. "  succeeded  step", out)
      assert.matches("The model is ft:tiny%-chat%-1:%S+%. To ask it: finetune sample", err)
    end)

    it("follows in JSON: first the plan and the job, then the lines of watch", function()
      local docs = {}
      for line in cli.must "finetune tune train.jsonl --model tiny-chat-1 --yes --follow --json":gmatch "[^\n]+" do
        docs[#docs + 1] = assert(core.decode(line))
      end
      assert.is_nil(schema.wrong("tune", docs[1]))
      for i = 2, #docs - 1 do assert.is_nil(schema.wrong("told", docs[i])) end
      assert.is_nil(schema.wrong("ended", docs[#docs]))
      assert.equal("succeeded", docs[#docs].job.status)
    end)

    it("ends as the job ends", function()
      server:set {fail = {code = "bad_data", message = "line 3 is bad"}}
      assert.matches("failed: line 3 is bad", failed(1, "finetune tune train.jsonl --model tiny-chat-1 --yes --follow"))
      server:set {fail = false}
    end)

    it("takes files that are uploaded already", function()
      local id = cli.json("finetune upload train.jsonl").files[1].id
      server:clear()
      local doc = cli.json(("finetune tune --uploaded %s --model tiny-chat-1 --yes"):format(id))
      assert.is_nil(schema.wrong("tune", doc))
      assert.equal(id, doc.job.training_file)
      assert.same({}, sent("POST", "/files$"))
      assert.matches("finetune tune file%-nobody: .*next: finetune files",
        failed(4, "finetune tune --uploaded file-nobody --model tiny-chat-1 --yes"))
    end)

    it("is quiet with --quiet", function()
      local out, err = cli.must "finetune tune train.jsonl --model tiny-chat-1 --yes --quiet"
      assert.matches("^ftjob%-%w+ is created: %a+\n$", out)
      assert.equal("", err)
    end)
  end)

  describe("sends nothing", function()
    after_each(function() assert.same({}, sent("POST")) end)

    it("of bad data, and shows what is wrong", function()
      local err, out = failed(1, "finetune tune bad.jsonl --model tiny-chat-1 --yes")
      assert.matches("^bad.jsonl:12:13: error: messages: ", out)
      assert.matches("bad.jsonl has 1 error; nothing was sent\n  next: finetune check bad.jsonl", err)
      err = failed(1, "finetune tune bad.jsonl --model tiny-chat-1 --yes --json")
      local doc = assert(core.decode(err))
      assert.is_nil(schema.wrong("failed", doc))
      assert.matches("the first in line 12: ", doc.error.message)
      assert.matches("valid.jsonl has %d+ error", failed(1,
        "cp bad.jsonl valid2.jsonl; finetune tune train.jsonl --validation valid2.jsonl --model m --yes")
        :gsub("valid2", "valid"))
    end)

    it("where examples are in the validation file too", function()
      write(tmp .. "/leak.jsonl", lines(12, 30))
      local _, out = failed(1, "finetune tune train.jsonl --validation leak.jsonl --model tiny-chat-1 --yes")
      assert.matches("^train.jsonl:12: error: this example is in the validation file too", out)
    end)

    it("of examples that the method does not train on", function()
      local told = "the examples of train.jsonl are chat, and dpo trains on preference; nothing was sent"
      local next_step = "finetune prepare train.jsonl %-o preference.jsonl %-%-to preference .*, or another %-%-method"
      local err = failed(2, "finetune tune train.jsonl --model tiny-chat-1 --method dpo --yes")
      assert.matches("^finetune tune: " .. told .. "\n  next: " .. next_step, err)
      local doc = assert(core.decode((failed(2,
        "finetune tune train.jsonl --model tiny-chat-1 --method dpo --yes --json"))))
      assert.is_nil(schema.wrong("failed", doc))
      assert.matches(told, doc.error.message)
    end)

    for line, told in pairs {
      ["2 train.jsonl"] = "which model is to be tuned%? .*next: finetune models",
      ["2 --model m"] = "missing argument 'FILE'",
      ["2 train.jsonl --model m --json"] = "next\":\"the same command with %-%-yes",
      ["2 train.jsonl --model m --epochs 1.5"] = "%-%-epochs takes a whole number, not 1.5",
      ["2 train.jsonl --model m --epochs 1 --set n_epochs=2"] = "n_epochs, and %-%-epochs: it is set twice",
      ["2 train.jsonl --model m --set batch_size"] = "%-%-set takes NAME=VALUE, such as batch_size=8, not 'batch_size'",
      ["2 train.jsonl --model m --set extra.a=1 --set extra.a.b=2"] = "'a' is a value already",
      ["1 nobody.jsonl --model m --yes"] = "nobody.jsonl: No such file",
      ["1 empty.jsonl --model m --yes"] = "empty.jsonl is empty",
      ["1 . --model m --yes"] = "directory",
      ["1 train.jsonl.gz --model m --yes"] = "is compressed, .*\n  next: finetune prepare train.jsonl.gz %-o",
      ["1 table.csv --model m --yes"] = "table.csv has %d+ error",
    } do
      it(("where it cannot: `%s`"):format(line), function()
        write(tmp .. "/empty.jsonl", "")
        write(tmp .. "/train.jsonl.gz", "\x1f\x8b\8\0\0\0\0\0")
        write(tmp .. "/table.csv", "prompt,completion\na,b\n")
        local status, words = line:match "^(%d) (.*)$"
        assert.matches(told, failed(tonumber(status), "finetune tune " .. words))
      end)
    end

    for line, told in pairs {
      ["--epochs 99"] = 'n_epochs must be "auto" or an integer from 1 to 50; nothing was sent\n  why:  openai, par',
      ["--method dop"] = "method must be supervised, dpo or reinforcement; nothing was sent\n.*%-%-set extra",
      ["--set learning_rte=3"] = "learning_rte is not known to method supervised, which takes: n_epochs",
      ["--method dop --provider together"] = "method 'dop' is not offered by Together, which has: dpo, supervised; no",
      ["--method dpo --provider local --model fasttext"] = "'dpo' is not offered by the recipe fasttext",
      ["--provider local"] = "no recipe has a model 'tiny%-chat%-1'",
    } do
      it(("where the provider would not take the parameters: `%s`"):format(line), function()
        if line:find "fasttext" and not shell.has "fasttext" then return pending "there is no fasttext" end
        local err, out = failed(2, "finetune tune train.jsonl --yes --model tiny-chat-1 " .. line,
          {TOGETHER_API_KEY = "key-0123456789", TOGETHER_BASE_URL = server.url, FINE_TUNE_HOME = tmp .. "/none"})
        assert.matches(told, err)
        assert.equal("", out)
        assert.same({}, server:requests())
        assert.is_nil(core.fs.stat(tmp .. "/none"))
      end)
    end

    it("for a model that the service does not have, and names the nearest", function()
      local err = failed(4, "finetune tune train.jsonl --model tiny-chat-2 --yes")
      assert.matches("openai has no model 'tiny%-chat%-2' %(did you mean 'tiny%-chat%-1'%?%); nothing was sent\n"
        .. "  next: finetune models", err)
    end)

    it("with a key that the service does not take", function()
      assert.matches("HTTP 401", failed(3, "finetune tune train.jsonl --model tiny-chat-1 --yes",
        {OPENAI_API_KEY = "sk-wrong-0123456789"}))
    end)

    it("where the plan cannot be shown", function()
      if core.fs.stat "/dev/full" then
        assert.matches("No space left on device; nothing was sent",
          failed(1, "finetune tune train.jsonl --model tiny-chat-1 --yes >/dev/full"))
      end
    end)

    it("without a key", function()
      assert.matches("OPENAI_API_KEY", failed(3, "unset OPENAI_API_KEY; finetune tune train.jsonl --model m --yes"))
    end)
  end)

  it("says after a refusal that the file stays, and how to go on", function()
    server:set {refuse = {status = 400, message = "no more jobs today"}}
    local err = failed(4, "finetune tune train.jsonl --model tiny-chat-1 --yes")
    server:set {refuse = false}
    local id = err:match "uploaded: (%S+)\n"
    assert.matches("no more jobs today", err)
    assert.matches("\n  next: finetune tune %-%-uploaded " .. plain(id) .. " %-%-model tiny%-chat%-1 …", err)
  end)

  it("says where the validation file does not arrive that the other one did, and how to go on", function()
    local line = "finetune tune train.jsonl --validation valid.jsonl --model tiny-chat-1 --yes"
    local function fails(more)
      server:clear()
      server:fault {kind = "status", status = 413, message = "too much", path = "/files$", skip = 1, times = "always"}
      local err = failed(4, line .. more)
      assert.same({}, sent("POST", "/jobs$"))
      return err, core.decode(err)
    end
    local err = fails ""
    local id = err:match "uploaded: (file%-%w+)\n"
    assert.matches("^finetune tune valid.jsonl: .*; no job was created, and train.jsonl is uploaded: " .. plain(id)
      .. "\n.*\n  next: finetune upload valid.jsonl, then tune %-%-uploaded " .. plain(id)
      .. " %-%-validation ITS%-ID %-%-model tiny%-chat%-1 …   %(or finetune rm " .. plain(id) .. "%)\n$",
      err:match "finetune tune.*")
    local _, doc = fails " --json"
    assert.is_nil(schema.wrong("failed", doc))
    assert.matches("train.jsonl is uploaded: file%-%w+$", doc.error.message)
    assert.matches("finetune rm file%-", doc.error.next)
  end)

  describe("in a terminal", function()
    local function pty(words, steps, options) return cli.pty("tune train.jsonl --model tiny-chat-1 " .. words, steps,
      options) end

    it("asks, and takes yes only for yes", function()
      if not clis.has_pty() then return pending "there is no python3" end
      local question = "Upload, and create the job at openai? [y/N] "
      local got = pty("", {{"expect", "Fine-tuning tiny-chat-1"}, {"expect", question}, {"send", "y\n"},
        {"expect", "is created: "}, {"expect", "To watch it:"}})
      assert.same({true, 0}, {got.seen, got.status})
      for _, answer in ipairs {"\n", "n\n", "maybe\n", "\4"} do
        server:clear()
        got = pty("", {{"expect", question}, {"send", answer}, {"expect", "not agreed to: nothing was sent"}})
        assert.same({true, 5}, {got.seen, got.status})
        assert.same({}, server:requests())
      end
    end)

    it("ends with 130 at Ctrl-C before that", function()
      if not clis.has_pty() then return pending "there is no python3" end
      local got = pty("", {{"expect", "[y/N] "}, {"send", CTRL_C}, {"expect", "Nothing was sent."}})
      assert.same({true, 130}, {got.seen, got.status})
      assert.same({}, server:requests())
    end)

    it("ends with 130 at Ctrl-C while uploading: no job is created", function()
      if not clis.has_pty() then return pending "there is no python3" end
      server:fault {kind = "stall", at = "upload", bytes = 100, path = "/files$"}
      local got = pty("--yes", {{"fault", server.control}, {"send", CTRL_C}, {"expect", "no job was created"}})
      assert.same({true, 130}, {got.seen, got.status})
      assert.same({}, sent("POST", "/jobs$"))
    end)

    it("ends with 130 at Ctrl-C while following: the job goes on", function()
      if not clis.has_pty() then return pending "there is no python3" end
      server:set {job_seconds = 30}
      local got = pty("--yes --follow", {{"expect", "is created"}, {"expect", "Validating"}, {"send", CTRL_C},
        {"expect", " goes on at openai."}, {"expect", "to watch it again: finetune watch ftjob-"},
        {"expect", "to cancel it:"}})
      assert.same({true, 130}, {got.seen, got.status})
      assert.same({}, sent("POST", "/cancel$"))
      local id = got.output:match "finetune watch (ftjob%-%w+)"
      assert.not_equal("cancelled", cli.json("finetune status " .. id).status)
      cli.must("finetune cancel " .. id)
    end)

    it("shows how far the upload is", function()
      if not clis.has_pty() then return pending "there is no python3" end
      local file <close> = assert(io.open(tmp .. "/large.jsonl", "wb"))
      for i = 1, 60000 do file:write(LINE:format(i, i)) end
      file:close()
      server:fault {kind = "stall", at = "upload", bytes = 3000000, seconds = 0.4, path = "/files$"}
      local got = cli.pty("tune large.jsonl --model tiny-chat-1 --yes", {{"expect", "uploading large.jsonl  █"},
        {"expect", " of 5."}, {"expect", "large.jsonl is uploaded"}})
      assert.same({true, 0}, {got.seen, got.status})
    end)
  end)

  describe("elsewhere", function()
    it("asks the service for a price that it says only of a file that it has", function()
      local s <close> = service.start {dialect = "together", job_seconds = 0.2}
      local env = {FINE_TUNE_PROVIDER = "together", TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url}
      local line = ("finetune tune train.jsonl --model %s "):format(s.model)
      local _, out = failed(2, line, env)
      assert.matches("\n  cost        unknown: the service says it once it has the file\n", out)
      local err
      out, err = cli.must(line .. "--yes --epochs 1", env)
      assert.matches("\ntogether estimates [%d.]+ USD", err)
      assert.matches("\nft%-%S+ is created: ", out)
      if not clis.has_pty() then return end
      local got = cli.pty("tune train.jsonl --model " .. s.model, {{"expect", "[y/N] "}, {"send", "y\n"},
        {"expect", "together estimates "}, {"expect", "Create the job for that? [y/N] "}, {"send", "n\n"},
        {"expect", "no job was created; the file stays: finetune rm file-"}}, {env = env})
      assert.same({true, 5}, {got.seen, got.status})
      assert.equal(1, #s:requests {method = "POST", path = "/fine%-tunes$"})
    end)

    it("asks for the price of the method that the job will have", function()
      local s <close> = service.start {dialect = "together", job_seconds = 0.2}
      local env = {FINE_TUNE_PROVIDER = "together", TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url}
      local function said(text) return ('[{"role":"assistant","content":"%s"}]'):format(text) end
      write(tmp .. "/pairs.jsonl", ('{"input":{"messages":[{"role":"user","content":"q"}]},"preferred_output":%s,'
        .. '"non_preferred_output":%s}\n'):format(said "a", said "b"):rep(12))
      cli.must("finetune tune pairs.jsonl --method dpo --yes --model " .. s.model, env)
      local asked = assert(core.decode(s:requests({method = "POST", path = "/estimate%-price$"})[1].body))
      local made = assert(core.decode(s:requests({method = "POST", path = "/fine%-tunes$"})[1].body))
      assert.equal("dpo", asked.training_method.method)
      assert.same(made.training_method, asked.training_method)
    end)

    it("creates no job that the account may not pay, whoever has agreed", function()
      local s <close> = service.start {dialect = "together", job_seconds = 0.2}
      local env = {FINE_TUNE_PROVIDER = "together", TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url}
      write(tmp .. "/dear.jsonl", lines(1, 200))
      local err = failed(4, "finetune tune dear.jsonl --yes --model " .. s.model, env)
      local id = err:match "is uploaded: (%S+)\n"
      local told = "together estimates [%d.]+ USD, which is more than the account may spend; no job was created, and "
        .. plain(id) .. " stays there"
      assert.matches("finetune tune: " .. told .. "\n  next: finetune rm " .. plain(id) .. "   %(or raise", err)
      for _, words in ipairs {"dear.jsonl --yes --json", "--uploaded --yes --json " .. id} do
        local doc = assert(core.decode((failed(4, ("finetune tune %s --model %s"):format(words, s.model), env))))
        assert.is_nil(schema.wrong("failed", doc))
        assert.equal("quota", doc.error.kind)
        assert.matches("more than the account may spend", doc.error.message)
        assert.matches("^finetune rm file%-", doc.error.next)
      end
      assert.same({}, s:requests {method = "POST", path = "/fine%-tunes$"})
    end)

    it("trains on this machine, for nothing", function()
      if not shell.has "fasttext" then return pending "there is no fasttext" end
      local out, err = cli.must(("finetune tune %s --model fasttext --provider local --yes --follow"):format(
        shell.quote(shell.root .. "/examples/data/support.jsonl")), {FINE_TUNE_HOME = tmp .. "/store"})
      assert.matches("\n  at          local\n", out)
      assert.matches("\n  cost        nothing\n  takes       about ", out)
      assert.matches("  succeeded  ", out)
      assert.matches("To ask it: finetune %-%-provider local sample ", err)
    end)
  end)

  it("goes on where a service does not say which models it has", function()
    for _, fault in ipairs {{status = 403, message = "no right"}, {status = 404, message = "no route"}} do
      fault.kind, fault.path, fault.times = "status", "/models", "always"
      server:fault(fault)
      cli.must "finetune tune train.jsonl --model tiny-chat-1 --yes"
      server:clear()
    end
  end)

  it("types what --set sets", function()
    for word, value in pairs {["8"] = 8, ["-1"] = -1, ["0.5"] = 0.5, ["1e-5"] = 1e-5, [".5"] = 0.5, ["true"] = true,
        ["false"] = false, ["auto"] = "auto", ["0x10"] = "0x10", ['"8"'] = "8", ["1.2.3"] = "1.2.3", ["nan"] = "nan",
        ["inf"] = "inf", [""] = "", ["{oops"] = "{oops"} do
      assert.equal(value, plan.typed(word), word)
    end
    assert.equal("integer", math.type(plan.typed "8"))
    assert.same({1, 2}, {table.unpack(plan.typed "[1, 2]")})
    assert.equal(1, plan.typed('{"a":{"b":1}}').a.b)
  end)
end)
