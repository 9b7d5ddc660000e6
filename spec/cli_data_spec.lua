-- `finetune check` and `finetune prepare`: what is found, how it is told, what is written, and how it ends. No key is
-- there, and no service.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local GOOD = '{"messages":[{"role":"user","content":"number %d"},{"role":"assistant","content":"answer %d"}]}\n'
local BAD = '{"messages":[{"role":"user","content":"hi"},{"role":"asistant","content":"yo"}]}\n'
local SILENT = '{"messages":[{"role":"user","content":"hi"},{"role":"user","content":"there"}]}\n'
local EVIL = "\27[31mred\27]0;title\7\u{9b}2J \u{202e}evil"

local write = clis.write

local function good(from, to)
  local list = {}
  for i = from, to do list[#list + 1] = GOOD:format(i, i) end
  return table.concat(list)
end

describe("the command, for data,", function()
  local tmp, cli

  lazy_setup(function()
    tmp = shell.folder()
    cli = clis.new(tmp, {OPENAI_BASE_URL = service.refused_url()})
    write(tmp .. "/good.jsonl", good(1, 20))
    write(tmp .. "/bad.jsonl", good(1, 9) .. BAD .. SILENT .. BAD .. GOOD:format(1, 1))
    write(tmp .. "/empty.jsonl", "")
    write(tmp .. "/binary", "\127ELF\2\1\1\0\0\0\27[31m\n")
    write(tmp .. "/evil\27[31m.jsonl", BAD)
  end)

  lazy_teardown(function() shell.remove(tmp) end)

  local function failed(status, line, env)
    local got, out, err = cli.run(line, env)
    assert.equal(status, got, out .. err)
    assert.not_matches("a mistake in the command itself", err, 1, true)
    return err, out
  end

  local function exists(name) return core.fs.stat(tmp .. "/" .. name) ~= nil end

  describe("check", function()
    it("says of good examples what they are, and ends with 0", function()
      local out, err = cli.must "finetune check good.jsonl"
      assert.equal("", err)
      assert.equal([[
20 examples: 20 valid
  findings    0 errors, 0 warnings
  format      chat 20
  roles       assistant 20, user 20

PER EXAMPLE  LEAST  MEDIAN  MEAN  95 %  MOST
messages         2       2     2     2     2
characters      16      18  17.1    18    18

EXAMPLES BY CHARACTERS
16  █████████████████████████ 9
17
18  ██████████████████████████████ 11
]], out)
    end)

    it("says where errors are, what they are and how to mend them, and ends with 1", function()
      local err, out = failed(1, "finetune check bad.jsonl")
      assert.equal("", err)
      assert.equal([[
bad.jsonl:10:53: error: messages[1].role: unknown role "asistant"; did you mean "assistant"? (role)
    tent":"hi"},{"role":"asistant","content":"yo"}]}
bad.jsonl:12:53: error: messages[1].role: unknown role "asistant"; did you mean "assistant"? (role)
    tent":"hi"},{"role":"asistant","content":"yo"}]}
  hint: use system, developer, user, assistant, tool or function
bad.jsonl:11:13: error: messages: no assistant message; add the answer that the model shall learn (no_assistant)
    {"messages":[{"role":"user","content":"hi"},{"role":"user","
  hint: add the answer that the model shall learn
bad.jsonl:13: warning: an example before this one says the same (duplicate_example)
    {"messages":[{"role":"user","content":"number 1"},{"role":"a
  hint: remove the later ones with `dedupe`

13 examples: 10 valid, 3 invalid, 1 duplicate
  findings    3 errors, 1 warning
  by rule     role 2, duplicate_example 1, no_assistant 1
  format      chat 10
  roles       assistant 10, user 10
]], out:match "^(.-)\nPER EXAMPLE")
    end)

    it("shows of each rule the first three, or as many as are wanted, and counts the others", function()
      write(tmp .. "/many.jsonl", BAD:rep(40) .. SILENT)
      local _, out = failed(1, "finetune check many.jsonl")
      assert.equal(3, select(2, out:gsub("many.jsonl:%d+:%d+: error: messages%[1%]", "")))
      assert.matches("\n  … and 37 more of this rule\n  hint: use system", out)
      assert.matches("\nmany.jsonl:41:13: error: messages: no assistant", out)
      _, out = failed(1, "finetune check many.jsonl --show 5", {LANG = "C"})
      assert.equal(5, select(2, out:gsub("many.jsonl:%d+:%d+: error: messages%[1%]", "")))
      assert.matches("\n  ~ and 35 more of this rule\n", out)
      assert.is_nil(out:find "[\128-\255]")
    end)

    it("as JSON", function()
      local status, out, err = cli.run "finetune check bad.jsonl good.jsonl --json"
      assert.same({1, ""}, {status, err})
      local doc = assert(core.decode(out))
      assert.is_nil(schema.wrong("check", doc))
      for _, list in ipairs {doc.report.errors, doc.report.warnings} do
        for _, finding in ipairs(list) do assert.is_nil(schema.wrong("verdict", finding)) end
      end
      assert.same({false, 33, 3, "bad.jsonl"}, {doc.ok, doc.report.examples, doc.report.error_count,
        doc.report.errors[1].file})
      doc = cli.json "finetune check good.jsonl"
      assert.is_nil(schema.wrong("check", doc))
      assert.same({true, {}, {}, {"good.jsonl"}}, {doc.ok, doc.report.errors, doc.report.rules, doc.files})
      assert.is_nil(doc.report.text)
    end)

    it("reads standard input, JSON arrays, CSV and gzip", function()
      assert.matches("^20 examples: 20 valid\n", cli.must "finetune check - <good.jsonl")
      local _, out = failed(1, "finetune check - <bad.jsonl")
      assert.matches("^%(stdin%):10:53: error: ", out)
      write(tmp .. "/a.csv", "prompt,completion\nmore,less\nless,more\n")
      assert.matches("  format      completion 2\n", cli.must "finetune check a.csv")
      if shell.has "gzip" then
        assert.matches("^20 examples: 20 valid\n", cli.must "gzip -k good.jsonl; finetune check good.jsonl.gz")
      end
    end)

    it("goes by the provider's rules, without its key or its address", function()
      assert.matches("at least 10 examples, and there are 2", (cli.must "head -n 2 good.jsonl | finetune check -"))
      assert.not_matches("at least", (cli.must "head -n 2 good.jsonl | finetune check - --provider together"))
      assert.equal("azure", cli.json("finetune check good.jsonl --provider azure").provider)
      assert.matches("there is no provider 'azur'", failed(3, "finetune check good.jsonl --provider azur"))
    end)

    it("takes the format that it is told", function()
      local _, out = failed(1, "finetune check good.jsonl --format completion")
      assert.matches("20 invalid", out)
      assert.matches("must be one of 'chat'", failed(2, "finetune check good.jsonl --format chatt"))
    end)

    it("says what is no file of examples", function()
      assert.matches("cannot read nobody.jsonl: No such file", failed(1, "finetune check nobody.jsonl"))
      assert.matches("there is no example in empty.jsonl", failed(1, "finetune check empty.jsonl"))
      assert.matches("cannot read %.: Is a directory", failed(1, "finetune check ."))
      assert.matches("missing argument 'FILE'", failed(2, "finetune check"))
      local err, out = failed(1, "finetune check bad.jsonl nobody.jsonl")
      assert.matches("bad.jsonl:10:53: error", out)
      assert.matches("cannot read nobody.jsonl", err)
      err, out = failed(1, "finetune check binary")
      assert.equal("", err)
      assert.matches("^binary:1:1: error: ", out)
      clis.assert_harmless(out)
    end)

    it("lets nothing from a file reach the terminal as it is", function()
      local line = '{"messages":[{"role":"%s","content":"x"},{"role":"assistant","content":"%s"}],"%s":1}\n'
      write(tmp .. "/hostile.jsonl", line:format(EVIL:gsub("[\7\27]", "\\u001b"), "y", EVIL:gsub("[\7\27]", "\\u001b"))
        .. EVIL)
      local _, out = failed(1, "finetune check hostile.jsonl evil*")
      clis.assert_harmless(out)
      clis.assert_harmless((select(2, failed(1, "finetune check hostile.jsonl evil* --json"))))
    end)

    it("has colours on a terminal only", function()
      local _, plain = failed(1, "finetune check bad.jsonl", {TERM = "xterm-256color"})
      assert.is_nil(plain:find "\27")
      if not clis.has_pty() then return pending "there is no python3" end
      local got = cli.pty("check bad.jsonl", {{"expect", "histogram"}}, {})
      assert.equal(1, got.status)
      assert.truthy(got.output:find("\27[31merror:\27[0m", 1, true))
      got = cli.pty("check bad.jsonl --no-color", {{"expect", "EXAMPLES BY"}}, {})
      assert.is_nil(got.output:find("\27[31m", 1, true))
    end)

    it("shows on a terminal how far it is", function()
      if not clis.has_pty() then return pending "there is no python3" end
      shell.must("for i in 1 2 3 4 5 6 7 8 9 10; do cat good.jsonl; done >block; "
        .. "for i in $(seq 2000); do cat block; done >large.jsonl", {cwd = tmp})
      local got = cli.pty("check large.jsonl", {{"expect", "checking large.jsonl  █"}, {"expect", "% "},
        {"expect", " of 36."}, {"expect", "400,000 examples: 400,000 valid"}})
      assert.same({true, 0}, {got.seen, got.status})
      got = cli.pty("check large.jsonl", {{"expect", "checking large.jsonl"}, {"send", "\3"}})
      assert.equal(130, got.status, got.output)
      os.remove(tmp .. "/large.jsonl")
    end)

    it("ends quietly where nobody reads", function()
      local status, out, err = cli.run "finetune check bad.jsonl | head -n 1"
      assert.same({0, ""}, {status, err})
      assert.matches("^bad.jsonl:10:53: error: [^\n]+\n$", out)
    end)

    it("keeps nothing of what it reads", function()
      -- 100 MB through a process that may have 90
      local line = "yes \"$(head -n 1 good.jsonl)\" | head -c 100000000 | head -n 1000000 | finetune check - --json"
      local doc = core.decode(cli.must("ulimit -v 90000; " .. line))
      assert.is_true(doc.report.examples > 900000)
    end)
  end)

  describe("prepare", function()
    it("writes the examples, and says how many, how large, how many tokens", function()
      local out, err = cli.must "finetune prepare good.jsonl -o out.jsonl"
      assert.equal("", err)
      assert.matches("\nout.jsonl  20 examples, 1.%d KiB, [%d,]+ tokens %(estimated%), [%d,]+ learned\n$", out)
      assert.matches("\ntokens %(estimated%) +%d", out)
      assert.equal(good(1, 20), live.read(tmp .. "/out.jsonl"))
    end)

    it("makes a validation file, the same one each time", function()
      local doc = cli.json "finetune prepare good.jsonl -o v.jsonl --validation 0.3 --shuffle 7"
      assert.is_nil(schema.wrong("prepare", doc))
      assert.equal("v.validation.jsonl", doc.report.validation.output)
      assert.equal(20, doc.report.written + doc.report.validation.written)
      local train, valid = live.read(tmp .. "/v.jsonl"), live.read(tmp .. "/v.validation.jsonl")
      assert.equal(20, select(2, (train .. valid):gsub("\n", "")))
      assert.is_nil(good(1, 20):find(train, 1, true))
      local out = cli.must "finetune prepare good.jsonl -o v.jsonl --validation 0.3 --shuffle 7 --force"
      assert.matches("\nv.validation.jsonl  %d+ example", out)
      assert.same({train, valid}, {live.read(tmp .. "/v.jsonl"), live.read(tmp .. "/v.validation.jsonl")})
    end)

    it("converts, leaves out, removes what comes twice", function()
      local doc = cli.json "finetune prepare bad.jsonl good.jsonl -o c.jsonl --to completion --skip-invalid --dedupe"
      assert.is_nil(schema.wrong("prepare", doc))
      assert.same({true, 20, 3, "chat", "completion"}, {doc.ok, doc.report.written, doc.report.invalid,
        doc.report.source_format, doc.report.format})
      assert.matches('^{"prompt":"number 1","completion":"answer 1"}\n', live.read(tmp .. "/c.jsonl"))
      assert.equal(5, cli.json("finetune prepare good.jsonl -o five.jsonl --max-examples 5").report.written)
    end)

    it("writes nothing where an example is invalid, and says how to go on", function()
      local err, out = failed(1, "finetune prepare bad.jsonl -o no.jsonl --validation 0.5")
      assert.matches("^bad.jsonl:10:53: error: ", out)
      assert.matches("3 of 13 examples are invalid; .*; nothing was written\n  next: .*%-%-skip%-invalid", err)
      assert.same({false, false}, {exists "no.jsonl", exists "no.validation.jsonl"})
      err, out = failed(1, "finetune prepare bad.jsonl -o no.jsonl --json")
      assert.is_nil(schema.wrong("prepare", assert(core.decode(out))))
      assert.is_nil(schema.wrong("failed", assert(core.decode(err))))
    end)

    it("writes over nothing unasked", function()
      write(tmp .. "/there.jsonl", "mine\n")
      write(tmp .. "/w.validation.jsonl", "mine\n")
      assert.matches("there.jsonl is there already\n  next: .*%-%-force", failed(2,
        "finetune prepare good.jsonl -o there.jsonl"))
      assert.matches("w.validation.jsonl is there", failed(2,
        "finetune prepare good.jsonl -o w.jsonl --validation 0.1"))
      assert.same({"mine\n", "mine\n"}, {live.read(tmp .. "/there.jsonl"), live.read(tmp .. "/w.validation.jsonl")})
      cli.must "finetune prepare good.jsonl -o there.jsonl --force --quiet"
      assert.equal(good(1, 20), live.read(tmp .. "/there.jsonl"))
    end)

    it("says what it will cost, or why that is not known", function()
      local doc = cli.json "finetune prepare good.jsonl -o p1.jsonl --model gpt-4.1-mini"
      assert.is_nil(schema.wrong("prepare", doc))
      assert.same({5, doc.report.tokens * 5, "USD"}, {doc.cost.epochs, doc.cost.billable_tokens, doc.cost.currency})
      assert.matches("\n  epochs  5 %(.-%)\n  cost    about [%d.]+ USD %(.- tokens at 5 USD a million, as of %d",
        cli.must "finetune prepare good.jsonl -o p1.jsonl --model gpt-4.1-mini --force")
      assert.matches("\n  cost    unknown: no price of tiny at openai is known here\n",
        cli.must "finetune prepare good.jsonl -o p1.jsonl --model tiny --force")
      doc = cli.json "finetune prepare good.jsonl -o p2.jsonl --model tiny --provider fireworks"
      assert.same({1, "assumed: the service documents no default"}, {doc.cost.epochs, doc.cost.epochs_source})
    end)

    it("counts exactly with a vocabulary: none is fetched unasked", function()
      local env = {TIKTOKEN_CACHE_DIR = tmp .. "/none", https_proxy = service.refused_url():match "^http://[^/]+"}
      cli.must("finetune prepare good.jsonl -o e1.jsonl --model gpt-4o", env)
      local err = failed(4, "finetune prepare good.jsonl -o e2.jsonl --model gpt-4o --exact --timeout 2", env)
      assert.matches("openaipublic", err)
      assert.matches("which vocabulary tiny has", failed(2,
        "finetune prepare good.jsonl -o e2.jsonl --model tiny --exact"))
      assert.matches("name it with %-%-model", failed(2, "finetune prepare good.jsonl -o e2.jsonl --exact"))
      assert.is_false(exists "e2.jsonl")
    end)

    for words, told in pairs {
      ["good.jsonl"] = "%-o",
      ["-o x.jsonl"] = "missing argument 'IN'",
      ["good.jsonl -o -"] = "not to %-",
      ["good.jsonl -o x.jsonl --validation 20"] = "share of the examples, such as 0.1, not 20",
      ["good.jsonl -o x.jsonl --shuffle 1.5"] = "%-%-shuffle takes a whole number, not 1.5",
      ["good.jsonl -o x.jsonl --max-tokens 0"] = "max_tokens must be a whole number of at least 1",
      ["good.jsonl -o x.jsonl --to yaml"] = "must be one of 'chat'",
      ["good.jsonl -o x.jsonl --format text --to preference"] = ".",
    } do
      it(("says what is wrong with `%s`"):format(words), function()
        assert.matches(told, failed(2, "finetune prepare " .. words))
        assert.is_false(exists "x.jsonl")
      end)
    end

    for name, wanted in pairs {INT = 130, TERM = 143, HUP = 129, ["HUP -TERM"] = 143} do
      it("leaves no half file when it is ended by " .. name, function()
        local first, second = name:match "^(%u+) ?%-?(%u*)$"
        local ignored = second ~= "" and "trap '' HUP; " or ""
        local status, out = cli.run(([[ rm -f pipe; mkfifo pipe; exec 3<>pipe; cat good.jsonl >&3; %s
          '%s' prepare pipe -o half.jsonl 3>&- & pid=$!
          until ls half.jsonl.* >/dev/null 2>&1 || ! kill -0 $pid; do sleep 0.02; done
          kill -%s $pid; %s
          wait $pid; code=$?; ls | grep half; exit $code]]):format(ignored, clis.path, first,
          second ~= "" and ("sleep 0.2; kill -%s $pid"):format(second) or ""))
        assert.same({wanted, ""}, {status, out})
      end)
    end

    it("leaves no half file when a terminal that closes says so twice", function()
      local status, out = cli.run(([[ rm -f pipe; mkfifo pipe; exec 3<>pipe; cat good.jsonl >&3
        '%s' prepare pipe -o half.jsonl 3>&- & pid=$!
        until ls half.jsonl.* >/dev/null 2>&1 || ! kill -0 $pid; do sleep 0.02; done
        kill -HUP $pid; kill -HUP $pid; kill -HUP $pid
        wait $pid; code=$?; ls | grep half; exit $code]]):format(clis.path))
      assert.same({129, ""}, {status, out})
    end)

    it("says that there is no room, or no right to write", function()
      assert.matches("cannot write nowhere/x.jsonl: No such file", failed(1,
        "finetune prepare good.jsonl -o nowhere/x.jsonl"))
      if core.fs.stat "/dev/full" then
        assert.matches("No space left", failed(1, "finetune prepare good.jsonl -o full.jsonl >/dev/full"))
      end
    end)
  end)
end)
