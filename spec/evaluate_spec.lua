-- finetune.evaluate, over a provider whose `sample` the spec says.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"

describe("finetune.evaluate", function()
  local tmp, number, provider, seen, answer

  lazy_setup(function()
    tmp, number = shell.folder(), 0
    local stub = {name = "evaluated", description = "answers as the spec says"}
    for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model"} do
      stub[op] = finetune.unsupported "this is a stub"
    end
    function stub.sample(ctx, p)
      seen.running = seen.running + 1
      seen.most = math.max(seen.most, seen.running)
      seen[#seen + 1] = p
      ctx:sleep(0.001)
      seen.running = seen.running - 1
      return answer(p, ctx)
    end
    finetune.register(stub)
    provider = assert(finetune.create_provider "evaluated")
  end)

  lazy_teardown(function()
    provider:close()
    finetune.unregister "evaluated"
    shell.remove(tmp)
  end)

  before_each(function()
    seen = {running = 0, most = 0}
    answer = function(p) return {text = p.messages[#p.messages].content} end
  end)

  local function write(text)
    number = number + 1
    local path = ("%s/held-%d.jsonl"):format(tmp, number)
    assert(core.fs.write(path, text))
    return path
  end

  -- {what the user says, what is expected} …
  local function held_out(pairs_of)
    local lines = {}
    for i, pair in ipairs(pairs_of) do
      lines[i] = core.encode {messages = {{role = "system", content = "label it"}, {role = "user", content = pair[1]},
        {role = "assistant", content = pair[2]}}}
    end
    return write(table.concat(lines, "\n") .. "\n")
  end

  local SIX = {{"a", "a"}, {"a", "a"}, {"b", "a"}, {"b", "b"}, {"c", "b"}, {"a", "c"}}

  it("counts what is right, and what is taken for what", function()
    local report = assert(finetune.evaluate(provider, {model = "m-1", path = held_out(SIX)}))
    assert.equal("m-1", report.model)
    assert.equal(6, report.examples)
    assert.equal(3, report.correct)
    assert.equal(0.5, report.accuracy)
    assert.equal(0, report.failed)
    assert.is_nil(report.error)
    assert.same({label = "a", examples = 3, accuracy = 0.5}, report.majority)
    assert.same({
      {label = "a", examples = 3, predicted = 3, correct = 2, precision = 2 / 3, recall = 2 / 3},
      {label = "b", examples = 2, predicted = 2, correct = 1, precision = 0.5, recall = 0.5},
      {label = "c", examples = 1, predicted = 1, correct = 0, precision = 0.0, recall = 0.0},
    }, report.labels)
    assert.same({{expected = "a", predicted = "b", count = 1}, {expected = "b", predicted = "c", count = 1},
      {expected = "c", predicted = "a", count = 1}}, report.confusion)
    assert.equal([[
m-1: accuracy 50.0 %, 3 of 6 held-out examples answered exactly
majority class: accuracy 50.0 %, by always answering 'a'
  answer                    examples precision    recall
  a                                3    66.7 %    66.7 %
  b                                2    50.0 %    50.0 %
  c                                1     0.0 %     0.0 %
  wrong most often:
     1 x  a, and the model says b
     1 x  b, and the model says c
     1 x  c, and the model says a
]], report.text)
  end)

  it("asks with the messages before the last assistant message, and the options", function()
    local path = write(core.encode {messages = {{role = "user", content = "one"}, {role = "assistant", content = "two"},
      {role = "user", content = "three"}, {role = "assistant", content = " four\n"}, {role = "user", content = "five"}},
      tools = core.array {}} .. "\n\n")
    answer = function() return {text = "\tfour "} end
    local report = assert(finetune.evaluate(provider, {model = {id = "m-2"}, path = path, max_tokens = 5,
      temperature = 0, timeout = 9}))
    assert.equal(1, report.correct)
    assert.same({model = "m-2", max_tokens = 5, temperature = 0, timeout = 9, messages = {
      {role = "user", content = "one"}, {role = "assistant", content = "two"}, {role = "user", content = "three"}}},
      {model = seen[1].model, max_tokens = seen[1].max_tokens, temperature = seen[1].temperature,
        timeout = seen[1].timeout, messages = seen[1].messages})
  end)

  it("asks for several at once, and no more than it may", function()
    local many = {}
    for i = 1, 40 do many[i] = {"x" .. i, "x" .. i} end
    local path = held_out(many)
    assert.equal(1, assert(finetune.evaluate(provider, {model = "m", path = path})).accuracy)
    assert.equal(4, seen.most)
    seen = {running = 0, most = 0}
    assert(finetune.evaluate(provider, {model = "m", path = path, concurrency = 9}))
    assert.equal(9, seen.most)
    seen = {running = 0, most = 0}
    local report = assert(finetune.evaluate(provider, {model = "m", path = path, limit = 7, concurrency = 1}))
    assert.equal(7, report.examples)
    assert.equal(7, #seen)
    assert.equal(1, seen.most)
  end)

  it("sets a tuned model beside its base", function()
    answer = function(p)
      local said = p.messages[#p.messages].content
      return {text = p.model == "base" and "a" or said}
    end
    local told = {}
    local report = assert(finetune.evaluate(provider, {model = "tuned", base = {id = "base"}, path = held_out(SIX),
      on_progress = function(done, total) told[#told + 1] = ("%d/%d"):format(done, total) end}))
    assert.equal("base", report.base.model)
    assert.equal(0.5, report.base.accuracy)
    assert.equal(1, report.gained) -- b
    assert.equal(1, report.lost) -- the third a
    assert.equal(12, #told)
    assert.equal("12/12", told[12])
    assert.matches("^tuned: accuracy 50%.0 %%, 3 of 6.-\nbase: accuracy 50.-\n"
      .. "  1 examples are right now that were wrong before, "
      .. "1 the other way\n", report.text)
  end)

  it("tells what could not be asked from what was answered wrongly", function()
    answer = function(p, ctx)
      local said = p.messages[#p.messages].content
      if said == "b" then return ctx.fail("server", "503 for %s", said) end
      if said == "c" then return {words = "none"} end
      return {text = said}
    end
    local report = assert(finetune.evaluate(provider, {model = "m", path = held_out(SIX)}))
    assert.equal(3, report.examples)
    assert.equal(3, report.failed)
    assert.equal("server", report.error.kind)
    assert.equal(2, report.correct)
    assert.matches("\n  3 more could not be asked: finetune: evaluated sample: 503 for b\n", report.text)
    answer = function(_, ctx) return ctx.fail("auth", "no key") end
    local none, err = finetune.evaluate(provider, {model = "m", path = held_out(SIX)})
    assert.is_nil(none)
    assert.equal("auth", err.kind)
  end)

  it("takes an expected answer that is written as parts", function()
    local parts = core.array {{type = "text", text = "a"}, {type = "text", text = "b"}}
    local path = write(core.encode {messages = {{role = "user", content = "ab"},
      {role = "assistant", content = parts}}} .. "\n")
    assert.equal(1, assert(finetune.evaluate(provider, {model = "m", path = path})).correct)
    parts[2] = {type = "refusal", refusal = "no"}
    path = write(core.encode {messages = {{role = "user", content = "ab"}, {role = "assistant", content = parts}}})
    assert.matches("has no text", select(2, finetune.evaluate(provider, {model = "m", path = path})).message)
  end)

  it("keeps the text short, whatever the answers are", function()
    local many = {}
    for i = 1, 31 do many[i] = {("long ü\n"):rep(40) .. i, ("\1 answer %d "):format(i) .. ("é"):rep(99)} end
    many[32] = {"\240\159\152\128", "ok"}
    answer = function(p) return {text = "\255\254 " .. p.messages[2].content:sub(1, 3)} end
    local report = assert(finetune.evaluate(provider, {model = "m", path = held_out(many)}))
    assert.equal(0, report.correct)
    answer = function() return {text = ("\xC3"):rep(40)} end -- no UTF-8, at its 25th byte either
    assert.matches("says %?+\n", assert(finetune.evaluate(provider, {model = "m", path = held_out {{"a", "b"}}})).text)
    assert.is_truthy(utf8.len(report.text))
    assert.is_true(#report.text < 2000)
    assert.matches("32 different answers are expected: no figures for each", report.text)
    assert.not_matches("%c", (report.text:gsub("\n", "")))
  end)

  it("says which line of the file is no example", function()
    local good = core.encode {messages = {{role = "user", content = "x"}, {role = "assistant", content = "y"}}} .. "\n"
    for text, words in pairs {
      [good .. "garbage\n"] = ":2: ", ["[]\n"] = ":1: .*no `messages`", ["7\n"] = ":1: .*no `messages`",
      [good .. "\n" .. '{"messages": [{"role": "user"}]}'] = ":3: has no assistant message",
      ['{"messages": [{"role": "assistant", "content": "x"}]}'] = ":1: has no assistant message",
      ['{"messages": ["x", {"role": "assistant"}]}'] = ":1: messages%[0%] is no object",
      ['{"messages": [{}, {"role": "assistant", "content": null}]}'] = ":1: its last assistant message has no text",
      [""] = "has no examples", ["\n \n"] = "has no examples",
    } do
      local report, err = finetune.evaluate(provider, {model = "m", path = write(text)})
      assert.is_nil(report)
      assert.equal("data", err.kind)
      assert.matches(words, err.message)
    end
    assert.equal("data", select(2, finetune.evaluate(provider, {model = "m", path = tmp .. "/none"})).kind)
    assert.equal("data", select(2, finetune.evaluate(provider, {model = "m", path = tmp})).kind)
    assert.equal(0, #seen)
  end)

  it("says when the provider cannot sample", function()
    finetune.register(finetune.variant("evaluated", {name = "mute",
      sample = finetune.unsupported "it has no tongue"}))
    local mute <close> = assert(finetune.create_provider "mute")
    local report, err = finetune.evaluate(mute, {model = "m", path = "/nothing"})
    finetune.unregister "mute"
    assert.is_nil(report)
    assert.equal("unsupported", err.kind)
    assert.matches("it has no tongue", err.message)
  end)

  it("raises at the caller's line for a wrong call", function()
    local function raises(words, ...)
      local ok, err = pcall(finetune.evaluate, ...)
      assert.is_false(ok)
      assert.truthy(tostring(err):find(words, 1, true), tostring(err))
    end
    raises("must be a provider", "openai", {model = "m", path = "p"})
    raises("such as {model", provider)
    raises("'model' is missing", provider, {path = "p"})
    raises("'path' is missing", provider, {model = "m"})
    raises("did you mean 'limit'", provider, {model = "m", path = "p", limits = 1})
    raises("'limit' must be at least 1", provider, {model = "m", path = "p", limit = 0})
    raises("'concurrency' must be at least 1", provider, {model = "m", path = "p", concurrency = -1})
    local ok, err = pcall(function() finetune.evaluate(provider, {}) end)
    assert.is_false(ok)
    assert.matches("evaluate_spec%.lua:%d+: ", err)
    local path = held_out(SIX)
    ok, err = pcall(finetune.evaluate, provider, {model = "m", path = path, on_progress = function() error "mine" end})
    assert.is_false(ok)
    assert.matches("mine", tostring(err))
  end)

  it("works under finetune.run beside other things", function()
    local path = held_out(SIX)
    local function one() return finetune.evaluate(provider, {model = "m", path = path}) end
    local results, errors = finetune.run(one, one)
    assert.same({}, errors)
    assert.equal(0.5, results[1].accuracy)
    assert.equal(0.5, results[2].accuracy)
  end)
end)
