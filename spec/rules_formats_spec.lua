-- The formats: how each is found, what it asks for, and that its texts are looked through. "§" marks the column.

local rules = require "spec.support.rules"

local USER, ANSWER, GOOD, chat = rules.USER, rules.ANSWER, rules.GOOD, rules.chat

local examples = {
  chat = GOOD,
  completion = '{"prompt":"a","completion":"b"}',
  preference = rules.preference("[" .. USER .. "]", "[" .. ANSWER .. "]", '[{"role":"assistant","content":"no"}]'),
  reinforcement = '{"messages":[' .. USER .. '],"answer":"4"}',
  text = '{"text":"once upon a time"}',
  instruction = '{"instruction":"add","input":"2+2","output":"4"}',
  sharegpt = '{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"yes"}]}',
}

local NAMES = {
  chat = {"chat", "messages", "conversational"},
  completion = {"completion", "prompt", "prompt_completion", "prompt/completion"},
  preference = {"preference", "dpo"},
  reinforcement = {"reinforcement", "rft"},
  text = {"text", "plain"},
  instruction = {"instruction", "alpaca"},
  sharegpt = {"sharegpt", "conversations"},
}

describe("the format", function()
  setup(rules.open)
  teardown(rules.close)

  local function check(text, options) return rules.report(text, "openai", rules.NEUTRAL, options) end

  for format, text in pairs(examples) do
    it(format .. " is found by looking", function()
      local report = check(text)
      assert.equal(format, report.format)
      assert.same({}, report.errors)
      assert.same({}, report.warnings)
    end)

    for _, name in ipairs(NAMES[format]) do
      it(("%s can be asked for as %s"):format(format, name), function()
        local report = check(text, {format = name})
        assert.equal(format, report.format)
        assert.same({}, report.errors)
      end)
    end

    it(format .. " is one for a file", function()
      for other, line in pairs(examples) do
        local alike = format == "reinforcement" and other == "chat" or format == "chat" and other == "reinforcement"
        if other ~= format and not alike then
          local found = rules.findings(check(text .. "\n" .. line), 2)
          assert.equal(1, #found)
          assert.equal("format", found[1].rule)
          assert.equal(("a %s example among %s examples; keep one format in a file"):format(other, format),
            found[1].message)
        end
      end
    end)
  end

  it("of messages is chat, but for a prompt with a field for a grader", function()
    assert.equal("chat", check(chat(USER)).format)
    assert.equal("chat", check('{"messages":[' .. USER .. "," .. ANSWER .. '],"answer":"4"}').format)
    assert.equal("reinforcement", check('{"answer":{"x":1},"messages":[' .. USER .. "]}").format)
  end)

  it("that is known elsewhere is told how to mend", function()
    local words = {['{"chosen":"x","rejected":"y"}'] = "non_preferred_output", ['{"contents":[]}'] = "Gemini",
      ['{"token_ids":[1]}'] = "tokenized before", ['{"a":1}'] = "chat has"}
    for text, expected in pairs(words) do
      local entry = check(text).errors[1]
      assert.equal("format", entry.rule)
      assert.matches(expected, entry.message, 1, true)
    end
  end)

  -- {format, rule, path, bad}
  local cases = {
    {"completion", "missing", "completion", '§{"prompt":"a"}'},
    {"completion", "type", "prompt", '{"prompt":§["a"],"completion":"b"}'},
    {"completion", "type", "completion", '{"prompt":"a","completion":§null}'},
    {"completion", "empty_completion", "completion", '{"prompt":"a","completion":§""}'},
    {"completion", "extra_key", "id", '{"prompt":"a","completion":"b",§"id":7}'},
    {"completion", "special_token", "prompt", '{"prompt":§"<|endoftext|>","completion":"b"}'},
    {"completion", "duplicate_key", "", '{"prompt":"a","completion":"b",§"prompt":"c"}'},
    {"text", "type", "text", '{"text":§["a"]}'},
    {"text", "empty_completion", "text", '{"text":§""}'},
    {"text", "extra_key", "meta", '{"text":"a",§"meta":{}}'},
    {"text", "special_token", "text", '{"text":§"a<|im_end|>"}'},
    {"instruction", "missing", "output", '§{"instruction":"a"}'},
    {"instruction", "type", "input", '{"instruction":"a","input":§1,"output":"b"}'},
    {"instruction", "empty_completion", "output", '{"instruction":"a","output":§""}'},
    {"instruction", "extra_key", "category", '{"instruction":"a","output":"b",§"category":"c"}'},
    {"instruction", "special_token", "input", '{"instruction":"a","input":§"<|x|>","output":"b"}'},
    {"reinforcement", "last_user", "messages[1]", '{"messages":[' .. USER .. ",§" .. ANSWER .. '],"answer":1}'},
    {"reinforcement", "type", "messages", '{"messages":§"hi","answer":1}'},
    {"reinforcement", "role", "messages[0].role", '{"messages":[{"role":§"usr","content":"x"}],"answer":1}'},
    {"reinforcement", "duplicate_key", "answer", '{"messages":[' .. USER .. '],"answer":{"a":1,§"a":2}}'},
    {"sharegpt", "empty", "conversations", '{"conversations":§[]}'},
    {"sharegpt", "missing", "conversations[1].value",
      '{"conversations":[{"from":"human","value":"hi"},§{"from":"gpt"}]}'},
    {"sharegpt", "role", "conversations[0].from",
      '{"conversations":[{"from":§"narrator","value":"hi"},{"from":"gpt","value":"yes"}]}'},
    {"sharegpt", "no_assistant", "conversations", '{"conversations":§[{"from":"human","value":"hi"}]}'},
    {"sharegpt", "alternation", "conversations[1].from",
      '{"conversations":[{"from":"human","value":"a"},{"from":§"human","value":"b"},{"from":"gpt","value":"c"}]}'},
    {"sharegpt", "empty_content", "conversations[1].value",
      '{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":§""}]}'},
    {"sharegpt", "special_token", "conversations[1].value",
      '{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":§"<|eot|>"}]}'},
    {"sharegpt", "unknown_key", "conversations[0].id",
      '{"conversations":[{"from":"human","value":"hi",§"id":1},{"from":"gpt","value":"yes"}]}'},
    {"sharegpt", "extra_key", "id",
      '{§"id":1,"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}'},
    {"preference", "extra_key", "id", examples.preference:gsub("^{", '{§"id":1,')},
    {"preference", "type", "input", examples.preference:gsub('"input":%b{}', '"input":§"hi"')},
    {"preference", "empty", "preferred_output", examples.preference:gsub('"preferred_output":%b[]',
      '"preferred_output":§[]')},
  }
  for _, case in ipairs(cases) do
    local format, id, where, bad = table.unpack(case)
    local text, column = rules.marked(bad)
    it(("%s: %s at %s"):format(format, id, where), function()
      local report = check(examples[format] .. "\n" .. text .. "\n")
      assert.equal(format, report.format)
      assert.same({}, rules.findings(report, 1))
      local found = rules.findings(report, 2)
      assert.equal(1, #found)
      assert.same({id, where, column}, {found[1].rule, found[1].path, found[1].column})
    end)
  end

  it("does not matter to the count of characters: they are what the text means", function()
    local pieces = {{"a", 1}, {"é", 1}, {"😀", 1}, {"\\n", 1}, {'\\"', 1}, {"\\\\", 1}, {"\\u00e9", 1},
      {"\\ud83d\\ude00", 1}, {"\\uD7A3", 1}, {"\\uFFFD", 1}, {"u", 1}, {"日本語", 3},
      {("x"):rep(37), 37}, {"\\\\\\\\n", 3}, {"|", 1}}
    local state = 7
    for round = 1, 150 do
      local text, expected = {}, 0
      for i = 1, round do
        state = (state * 1103515245 + 12345) & 0x7fffffff
        local piece = pieces[(state >> 16) % #pieces + 1]
        text[i], expected = piece[1], expected + piece[2]
      end
      local report = check('{"text":"' .. table.concat(text) .. '"}')
      assert.equal(expected, report.stats.characters.max, table.concat(text))
    end
    for format, count in pairs {chat = 5, preference = 7, instruction = 7, completion = 2, sharegpt = 5} do
      assert.equal(count, check(examples[format]).stats.characters.max, format)
    end
  end)

  it("of a set is one that the service takes", function()
    local taken = {together = "text", nebius = "text", fireworks = "completion", azure = "preference"}
    for provider, format in pairs(taken) do
      assert.is_nil(rules.report(examples[format], provider).rules.service_format, provider)
      local report = rules.report(examples.sharegpt, provider)
      assert.equal(1, report.rules.service_format, provider)
    end
    assert.is_nil(rules.report(examples.sharegpt, "local").rules.service_format)
  end)
end)
