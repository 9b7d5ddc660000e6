-- prepare_data: conversions there and back through files, identity of bytes, duplicates and leaks, sides, orders,
-- limits; and rules that are silenced, graded anew or of one's own. See transform_spec.lua for the first steps.

local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local quote = shell.quote

local function talk(question, answer)
  return data.chat(('{"role":"user","content":"%s"}'):format(question),
    ('{"role":"assistant","content":"%s"}'):format(answer))
end

local function numbered(n, from)
  local lines = {}
  for i = 1, n do lines[i] = talk("question " .. i + (from or 0), "answer " .. i) end
  return lines
end

local function text_of(lines) return table.concat(lines, "\n") .. "\n" end

local function set_of(text)
  local set, n = {}, 0
  for line in text:gmatch "[^\n]+" do
    set[line] = (set[line] or 0) + 1
    n = n + 1
  end
  return set, n
end

describe("prepare_data", function()
  local box, path, read, write, names, prepare, refused

  before_each(function()
    box = data.box()
    path, read, write, names, prepare, refused = box.path, box.read, box.write, box.names, box.prepare, box.refused
  end)
  after_each(function() box.close() end)

  local function digest(name)
    return shell.must("sha256sum < " .. quote(path(name)))
  end

  describe("there and back", function()
    -- what each format says without loss in all of the second list
    local SAMPLES = {
      chat = {text_of {talk("q\\u00e9 \\\"x\\\"", "a\\/\\n"), talk("", " y ")},
        "completion", "instruction", "sharegpt"},
      completion = {'{"prompt":"p\\t","completion":" c"}\n{"prompt":"\\ud83d\\ude00","completion":"😀"}\n',
        "chat", "instruction", "sharegpt"},
      instruction = {'{"instruction":"i","input":"","output":"o"}\n{"instruction":"\\u0041","input":"","output":""}\n',
        "chat", "completion", "sharegpt"},
      sharegpt = {'{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}\n',
        "chat", "completion", "instruction"},
      text = {'{"text":"once upon\\u0020a time"}\n', "completion"},
    }
    for from, sample in pairs(SAMPLES) do
      for i = 2, #sample do
        it(("%s -> %s -> %s gives the same bytes"):format(from, sample[i], from), function()
          local source = write("source.jsonl", sample[1])
          local there = assert(box.provider:prepare_data {path = source, to = sample[i], output = path "there.jsonl"})
          assert.equal(sample[i], there.format)
          assert.equal(from, there.source_format)
          local back = assert(box.provider:prepare_data {path = path "there.jsonl", to = from,
            output = path "back.jsonl"})
          assert.equal(from, back.format)
          assert.equal(sample[1], read "back.jsonl")
          assert.equal(there.examples, back.written)
        end)
      end
    end

    it("a conversation of many turns, by ShareGPT", function()
      local long = data.chat('{"role":"system","content":"s"}', data.USER, data.ANSWER, data.USER,
        '{"role":"assistant","content":"no","weight":0}', data.USER, data.ANSWER)
      write("source.jsonl", text_of {long})
      assert(box.provider:prepare_data {path = path "source.jsonl", to = "sharegpt", output = path "there.jsonl"})
      assert(box.provider:prepare_data {path = path "there.jsonl", to = "chat", output = path "back.jsonl"})
      assert.equal(digest "source.jsonl", digest "back.jsonl")
    end)

    it("says of a conversation in the other file where the source has it", function()
      local long = "  " .. data.chat(data.USER, data.ANSWER, data.USER, data.ANSWER)
      local report = refused(text_of {talk("a", "b"), long}, {to = "completion"})
      assert.equal(1, report.error_count)
      assert.equal("lost", report.errors[1].rule)
      assert.equal(2, report.errors[1].line)
      assert.is_truthy(report.errors[1].hint)
    end)
  end)

  describe("untouched examples", function()
    it("are the same file by hash, whatever their spelling", function()
      local odd = {}
      for i = 1, 3000 do
        odd[i] = (i % 3 == 0 and ' {"messages" :\t[%s , %s] } ' or i % 3 == 1 and '{"tools":[],"messages":[%s,%s]}'
          or '{"messages":[%s,%s],"parallel_tool_calls" : false}'):format(
          ('{"content":"%s","role":"us\\u0065r"}'):format(("\\u00e9/\\/é"):rep(i % 40)),
          ('{"weight":1,"role":"assistant" ,"content":"%d\\ud83d\\ude00"}'):format(i))
      end
      write("source.jsonl", text_of(odd))
      local report = assert(box.provider:prepare_data {path = path "source.jsonl", output = path "out.jsonl",
        rules = {empty = "off", empty_content = "off"}})
      assert.equal(3000, report.written)
      assert.equal(digest "source.jsonl", digest "out.jsonl")
    end)

    it("stay so with every option that does not touch them", function()
      write("source.jsonl", text_of(numbered(500)))
      assert(box.provider:prepare_data {path = path "source.jsonl", output = path "out.jsonl", dedupe = true,
        to = "chat", skip_invalid = true, max_examples = 1000, max_messages = 10, max_characters = 1000,
        rules = {no_system = "warning"}})
      assert.equal(digest "source.jsonl", digest "out.jsonl")
    end)
  end)

  describe("a validation file", function()
    it("is looked for in the training examples, whatever the spelling", function()
      local valid = write("valid.jsonl", text_of {talk("question 2", "answer \\u0032")})
      local report = refused(text_of(numbered(3)), {validation_path = valid})
      assert.equal(1, report.leaked)
      assert.equal("leaked_validation", report.errors[1].rule)
      assert.equal(2, report.errors[1].line)
      assert.equal(path "raw.jsonl", report.errors[1].file)
      assert.equal(3, report.examples)
    end)

    it("is looked for in examples from Lua too", function()
      local valid = write("valid.jsonl", text_of {talk("question 2", "answer 2")})
      local report, err = box.provider:prepare_data {examples = numbered(3), validation_path = valid}
      assert.is_nil(report)
      assert.equal(1, err.report.leaked)
      assert.equal(2, err.report.errors[1].line)
    end)

    it("costs only those examples with skip_invalid, and is a warning where asked", function()
      local lines = numbered(3)
      local valid = write("valid.jsonl", text_of {lines[1], lines[3]})
      local report = assert(prepare(text_of(lines), {validation_path = valid, skip_invalid = true}))
      assert.equal(text_of {lines[2]}, report.text)
      report = assert(prepare(text_of(lines), {validation_path = valid, rules = {leaked_validation = "warning"}}))
      assert.equal(text_of(lines), report.text)
      assert.equal(2, report.leaked)
      report = assert(prepare(text_of(lines), {validation_path = valid, rules = {leaked_validation = "off"}}))
      assert.equal(0, report.leaked)
    end)

    it("is found as it came and as it goes out", function()
      local chat_form = write("chat.jsonl", text_of {talk("question 2", "answer 2")})
      local made = write("made.jsonl", '{"prompt":"question 2","completion":"answer 2"}\n')
      for _, valid in ipairs {chat_form, made} do
        local report = refused(text_of(numbered(3)), {to = "completion", validation_path = valid})
        assert.equal(1, report.leaked)
      end
    end)

    it("that cannot be read is an error", function()
      local report, err = prepare(data.GOOD, {validation_path = path "none.jsonl", output = path "out.jsonl"})
      assert.is_nil(report)
      assert.matches(path "none.jsonl", err.message, 1, true)
      assert.same({"raw.jsonl"}, names())
    end)
  end)

  it("tells of one constant answer, and only then", function()
    local same = text_of {talk("a", "yes"), talk("b", "yes"), talk("c", "yes")}
    assert.equal(1, assert(prepare(same)).rules.one_answer)
    assert.is_nil(assert(prepare(same .. text_of {talk("d", "no")})).rules.one_answer)
    assert.is_nil(assert(prepare(text_of {talk("a", "yes")})).rules.one_answer)
    assert.is_nil(assert(prepare(same, {rules = {one_answer = "off"}})).rules.one_answer)
    assert.equal(1, refused(same, {rules = {one_answer = "error"}}).error_count)
  end)

  describe("two sides", function()
    local function validation_of(paths, options)
      options.path, options.output = paths, path "out.jsonl"
      assert(box.provider:prepare_data(options))
      local _, n = set_of(read "out.jsonl")
      local set, m = set_of(read "out.validation.jsonl")
      return set, m, n
    end

    it("are the same from one file, from several, and in any order", function()
      local lines = numbered(1500)
      local one = write("one.jsonl", text_of(lines))
      local a = write("a.jsonl", text_of {table.unpack(lines, 701)})
      local b = write("b.jsonl", text_of {table.unpack(lines, 1, 700)})
      local first, m, n = validation_of(one, {validation = 0.2, seed = 7})
      assert.equal(1500, m + n)
      assert.same(first, (validation_of({a, b}, {validation = 0.2, seed = 7})))
      assert.same(first, (validation_of({b, a}, {validation = 0.2, seed = 7, shuffle = true})))
      assert.same(first, (validation_of(one, {validation = 0.2, seed = 7, dedupe = true})))
    end)

    it("go to the files that are named, and say what each has", function()
      local report = assert(prepare(text_of(numbered(400)), {output = path "t", validation = 0.5,
        validation_output = path "v"}))
      assert.equal(path "t", report.output)
      assert.equal(path "v", report.validation.output)
      assert.equal(400, report.written + report.validation.written)
      assert.equal(#read "t", report.bytes)
      assert.equal(#read "v", report.validation.bytes)
    end)

    it("are texts without an output", function()
      local report = assert(prepare(text_of(numbered(400)), {validation = 0.5}))
      local training, validation = set_of(report.text), set_of(report.validation.text)
      for line in pairs(training) do assert.is_nil(validation[line]) end
      assert.equal(#report.validation.text, report.validation.bytes)
    end)
  end)

  describe("an order of chance", function()
    it("is the same in two processes", function()
      local raw = write("raw.jsonl", text_of(numbered(2000)))
      local script = write("shuffle.lua", ([[
        package.path, package.cpath = %q, %q
        local p = require "finetune".create_provider("openai", {api_key = "sk-test"})
        assert(p:prepare_data{path = %q, output = arg[1], shuffle = 11, validation = 0.1, seed = 5})
      ]]):format(package.path, package.cpath, raw))
      local run = quote(data.interpreter()) .. " " .. quote(script) .. " "
      shell.must(run .. quote(path "a.jsonl") .. " && " .. run .. quote(path "b.jsonl"))
      assert.equal(digest "a.jsonl", digest "b.jsonl")
      assert.equal(digest "a.validation.jsonl", digest "b.validation.jsonl")
      local set, n = set_of(read "a.jsonl" .. read "a.validation.jsonl")
      assert.same(set_of(text_of(numbered(2000))), set)
      assert.equal(2000, n)
    end)

    it("judges and counts what is left of it by max_examples", function()
      local text = text_of(numbered(300))
      for _, output in ipairs {path "out.jsonl", false} do
        local report = assert(prepare(text, {shuffle = 2, max_examples = 10, output = output}))
        assert.equal(10, report.written)
        if output then
          assert.equal(#read "out.jsonl", report.bytes)
          assert.same({"out.jsonl", "raw.jsonl"}, names())
        else
          assert.is_nil(report.text)
        end
      end
      local bytes = #talk("question 299", "answer 299") + 1
      local small = assert(finetune.create_provider("openai", {api_key = "sk-test",
        dataset = {min_examples = 1, max_bytes = 10 * bytes}}))
      local report = assert(small:prepare_data {path = path "raw.jsonl", shuffle = 2, max_examples = 10})
      assert.is_nil(report.rules.max_bytes)
      report = assert(small:prepare_data {path = path "raw.jsonl"})
      assert.equal(1, report.rules.max_bytes)
      small:close()
    end)

    it("tells figures of those that max_examples leaves, not of all", function()
      local lines = {}
      for i = 1, 400 do lines[i] = talk(("question %d "):format(i):rep(i % 7 + 1), ("answer "):rep(i % 23 + 1)) end
      for _, more in ipairs {{}, {validation = 0.2}, {max_examples = 1000}} do
        local options = {shuffle = 3, seed = 3, max_examples = 25, tokens = true}
        for key, value in pairs(more) do options[key] = value end
        local report = assert(prepare(text_of(lines), options))
        local written = report.text .. (report.validation and report.validation.text or "")
        local again = assert(prepare(written, {tokens = true}))
        assert.same(again.stats, report.stats)
        assert.same(again.roles, report.roles)
        assert.equal(again.tokens, report.tokens + (report.validation and report.validation.tokens or 0))
        assert.is_true(report.learned_tokens > 0)
      end
      lines[200] = "{"
      local report = refused(text_of(lines), {shuffle = 3, max_examples = 25})
      assert.equal(2 * 399, report.roles.user + report.roles.assistant)
    end)
  end)

  it("tells once what is wrong before and after a conversion", function()
    local text = data.chat(data.USER, '{"role":"assistant","content":"a","weight":2}') .. "\n"
    for _, to in ipairs {"chat", "sharegpt"} do
      local report = assert(prepare(text, {to = to, rules = {weight = "warning", service_format = "off"}}))
      assert.equal(1, report.rules.weight)
      assert.equal(1, report.warning_count)
    end
  end)

  it("drops a prompt for plain text where that is asked for", function()
    local text = '{"prompt":"p","completion":"c"}\n'
    assert.matches("prompt", refused(text, {to = "text"}).errors[1].message)
    assert.equal('{"text":"c"}\n', assert(prepare(text, {to = "text", drop = {"prompt"}})).text)
  end)

  describe("rules of the table", function()
    local SPECIAL = talk("<|im_start|>", "x")

    it("are silenced and graded anew", function()
      assert.equal(1, assert(prepare(SPECIAL)).rules.special_token)
      local report = assert(prepare(SPECIAL, {rules = {special_token = "off"}}))
      assert.is_nil(report.rules.special_token)
      assert.equal(0, report.warning_count)
      report = refused(SPECIAL, {rules = {special_token = "error"}})
      assert.equal("error", report.errors[1].severity)
      assert.equal("special_token", report.errors[1].rule)
    end)

    it("that say an example is none leave it out where they are no errors", function()
      for _, severity in ipairs {"off", "warning"} do
        local report = assert(prepare("{\n" .. data.GOOD .. "\n", {rules = {syntax = severity}}))
        assert.equal(data.GOOD .. "\n", report.text)
        assert.equal(1, report.invalid)
        assert.equal(0, report.error_count)
        assert.equal(severity == "warning" and 1 or 0, report.warning_count)
      end
      local report, err = prepare("{\n", {rules = {syntax = "off"}})
      assert.is_nil(report)
      assert.equal("data", err.kind)
    end)

    it("of blank lines and of the whole file keep the set from being written where they are errors", function()
      local text = data.GOOD .. "\n\n" .. data.GOOD .. "\n"
      local report = refused(text, {rules = {blank_line = "error"}, output = path "out.jsonl"})
      assert.equal(1, report.error_count)
      assert.same({"raw.jsonl"}, names())
      assert(prepare(text, {rules = {blank_line = "error"}, skip_invalid = true}))
      local azure = assert(finetune.create_provider("openai", {api_key = "sk-test",
        dataset = {min_examples = 1, bom = "require"}}))
      local none, err = azure:prepare_data {path = path "raw.jsonl", rules = {bom = "error"}, output = path "out.jsonl"}
      azure:close()
      assert.is_nil(none)
      assert.equal(1, err.report.rules.bom)
      assert.same({"raw.jsonl"}, names())
    end)

    it("are told in full: place, words, hint, excerpt", function()
      local report = refused(data.GOOD .. "\n" .. data.chat(data.USER, '{"role":"assistent","content":"x"}'))
      local e = report.errors[1]
      assert.same({"role", "error", 2, "messages[1].role", path "raw.jsonl"},
        {e.rule, e.severity, e.line, e.path, e.file})
      assert.equal((#data.chat(data.USER, "x") - 2) + #'{"role":' - 1 + 1, e.column)
      assert.is_string(e.hint)
      assert.matches("assistent", e.excerpt, 1, true)
      assert.equal(1, report.rules.role)
    end)
  end)

  describe("rules of one's own", function()
    local TWO = text_of {talk("short", "yes"), talk("a much longer question", "no")}

    it("see each example as a table, and say words and a path", function()
      local seen = {}
      local report = refused(TWO, {rules = {length = function(example)
        seen[#seen + 1] = example.messages[1].content
        if #example.messages[1].content > 10 then return "too long for us", "messages[0].content" end
      end}})
      assert.same({"short", "a much longer question"}, seen)
      local e = report.errors[1]
      assert.same({"length", "error", 2, "messages[0].content", "too long for us"},
        {e.rule, e.severity, e.line, e.path, e.message})
      assert.equal(1, report.rules.length)
      assert.equal(1, report.error_count)
    end)

    it("may warn, and may cost only their examples", function()
      local function long(example)
        return #example.messages[1].content > 10 and "too long" or nil
      end
      local report = assert(prepare(TWO, {rules = {length = {check = long, severity = "warning"}}}))
      assert.equal(2, report.written)
      assert.equal("warning", report.warnings[1].severity)
      assert.equal(1, report.rules.length)
      report = assert(prepare(TWO, {rules = {length = long}, skip_invalid = true}))
      assert.equal(talk("short", "yes") .. "\n", report.text)
      assert.equal(1, report.invalid)
    end)

    it("cannot change what is written", function()
      local report = assert(prepare(TWO, {rules = {mine = function(example)
        example.messages[1].content, example.messages[2], example.more = "changed", nil, true
      end}}))
      assert.equal(TWO, report.text)
    end)

    it("are counted beyond max_errors, and stay short and printable", function()
      local report = refused(text_of(numbered(50)), {max_errors = 3, rules = {mine = function()
        return "\27[31m" .. ("x"):rep(1e5), "\7" .. ("y"):rep(1e5)
      end}})
      assert.equal(3, #report.errors)
      assert.equal(50, report.error_count)
      assert.equal(50, report.rules.mine)
      for _, e in ipairs(report.errors) do
        assert.is_nil((e.message .. e.path):find "%c")
        assert.is_true(#e.message < 1000 and #e.path < 1000)
      end
    end)

    local function raises(rule, words)
      for _, error_of in ipairs {box.provider:async("prepare_data", {path = write("raw.jsonl", TWO),
        output = path "out.jsonl", rules = {mine = rule}})} do
        local report, err = error_of:await()
        assert.is_nil(report)
        assert.equal("usage", err.kind)
        assert.matches("the rule mine raised an error", err.message, 1, true)
        assert.matches(words, err.message, 1, true)
        assert.same({"raw.jsonl"}, names())
      end
    end

    it("that raise end it with their words, and no file is left", function()
      raises(function() error "it is broken" end, "it is broken")
      raises(function() error(setmetatable({}, {__tostring = function() return "as a table" end})) end, "as a table")
      raises(function() error(setmetatable({}, {__tostring = function() error "twice" end})) end, "without words")
      raises(function() error(nil) end, "nil")
      raises(function(example) return example.nothing.at_all end, "nil value")
    end)

    it("cannot wait", function()
      raises(function() coroutine.yield() end, "yield")
      raises(function() finetune.sleep(0.001) end, "cannot wait here")
    end)

    it("may cancel the call, and start others", function()
      local call, other
      call = box.provider:async("prepare_data", {path = write("raw.jsonl", text_of(numbered(5000))),
        output = path "out.jsonl", on_progress = function() end, rules = {mine = function()
          call:cancel()
          other = other or box.provider:async("prepare_data", {examples = {data.GOOD}})
        end}})
      local report, err = call:await()
      assert.is_nil(report)
      assert.equal("cancelled", err.kind)
      assert.same({"raw.jsonl"}, names())
      assert.equal(1, assert(other:await()).written)
    end)

    it("cannot pull the dataset from under itself", function()
      local core = require "finetune.core"
      local writer, said
      writer = core.dataset {rules = {mine = function()
        said = {pcall(writer.abort, writer)}
        assert(not pcall(writer.add, writer, data.GOOD) and not pcall(writer.finish, writer))
        assert(not box.provider:async("prepare_data", {examples = writer}):result())
      end}}
      assert.is_true(writer:add(data.GOOD))
      assert.is_false(said[1])
      assert.matches("a rule of this dataset is at work", said[2], 1, true)
      assert.equal(1, writer:finish().written)
    end)
  end)

  it("shows words of the data without control characters, in every rule", function()
    local report = refused(data.chat('{"role":"user","content":"x","a\x7f\xc2\x9b31m\xe2\x80\xae":1}', data.ANSWER),
      {to = "completion"})
    for _, list in ipairs {report.errors, report.warnings} do
      for _, e in ipairs(list) do
        local all = e.message .. e.path .. (e.excerpt or "")
        assert.is_nil(all:find "[%c\x7f]")
        assert.is_nil(all:find("\xc2\x9b", 1, true))
        assert.is_nil(all:find("\xe2\x80\xae", 1, true))
      end
    end
    assert.equal("lost", report.errors[1].rule)
  end)

  it("counts what is valid of a set that is refused", function()
    local report = refused(data.GOOD .. "\n{}\n" .. text_of(numbered(10)))
    assert.equal(11, report.roles.user)
    assert.equal(11, report.formats.chat)
    assert.equal(2, report.stats.messages.max)
  end)
end)
