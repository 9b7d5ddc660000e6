-- The rules on data that means harm, or is only odd: what is shown of it, how long it takes.

local rules = require "spec.support.rules"

local USER, ANSWER, GOOD, chat, chat_with = rules.USER, rules.ANSWER, rules.GOOD, rules.chat, rules.chat_with
local MOST = 20 -- seconds of CPU: with quadratic work each of the big ones takes minutes

describe("the rules", function()
  setup(rules.open)
  teardown(rules.close)

  local function check(text) return rules.report(text, "openai", rules.NEUTRAL) end

  local function first(text) return rules.findings(check(GOOD .. "\n" .. text .. "\n"), 2)[1] end

  local function quickly(text)
    local began = os.clock()
    local report = check(text)
    assert.is_true(os.clock() - began < MOST)
    return report
  end

  local function repeated(n, item)
    local list = {}
    for i = 1, n do list[i] = item(i) end
    return table.concat(list, ",")
  end

  describe("show", function()
    it("what is around the place", function()
      assert.equal('tent":"hi"},{"role":"narrator","content":"x"}]}',
        first(chat(USER, '{"role":"narrator","content":"x"}')).excerpt)
      assert.equal('{"prompt":1,"completion":"b"}',
        rules.findings(check '{"prompt":1,"completion":"b"}', 1)[1].excerpt)
    end)

    it("no more than 60 bytes, and no half characters", function()
      for shift = 0, 5 do
        local entry = first(chat('{"role":"' .. ("x"):rep(shift) .. ("é€😀"):rep(20) .. '","content":"x"}'))
        assert.is_true(#entry.excerpt <= 60 and #entry.excerpt > 50)
        assert.is_truthy(utf8.len(entry.excerpt))
        assert.is_truthy(utf8.len(entry.message))
      end
    end)

    it("nothing that a terminal obeys", function()
      local odd = {"\x7f", "\xc2\x9b31m", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x80\x8b", "\xef\xbb\xbf",
        "\xf3\xa0\x81\x81"}
      for _, bytes in ipairs(odd) do
        local entry = first(chat('{"role":"a' .. bytes .. 'b","content":"x"}', ANSWER))
        for _, text in ipairs {entry.excerpt, entry.message} do
          assert.is_nil(text:find(bytes, 1, true))
          assert.matches("a%?", text)
        end
        entry = first(chat('{"role":"user","content":"x","' .. bytes .. '":1}', ANSWER))
        assert.is_nil(entry.path:find(bytes, 1, true))
      end
    end)

    it("nothing of what is no text", function()
      local odd = {"\x1b[2J", "\0", "\xff\xfe", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80", "\xe2\x82"}
      for _, bytes in ipairs(odd) do
        local entry = first('{"messages":"' .. bytes .. '"}')
        assert.is_truthy(utf8.len(entry.excerpt))
        assert.is_nil(entry.excerpt:find "%c")
        assert.is_nil(entry.excerpt:find "[\xc0\xf5-\xff]")
      end
    end)

    it("the path, whatever the keys", function()
      local function path(key) return first(chat('{"role":"user","content":"x","' .. key .. '":1}', ANSWER)).path end
      assert.equal("messages[0].a_1", path "a_1")
      assert.equal('messages[0]["1a"]', path "1a")
      assert.equal('messages[0][""]', path "")
      assert.equal('messages[0]["a.b"]', path "a.b")
      assert.equal("messages[0]." .. ("k"):rep(40), path(("k"):rep(1000)))
    end)

    it("a path of any depth, in bounds", function()
      local deep = ('{"a":['):rep(60) .. '{"b":1,"b":2}' .. ("]}"):rep(60)
      local entry = first(chat_with('"x":' .. deep, USER, ANSWER))
      local twice
      for _, found in ipairs(rules.findings(check(chat_with('"x":' .. deep, USER, ANSWER)), 1)) do
        if found.rule == "duplicate_key" then twice = found end
      end
      assert.is_table(entry)
      assert.equal("x" .. (".a[0]"):rep(60), twice.path)
    end)
  end)

  describe("take no long time for", function()
    it("a million faults", function()
      local report = quickly('{"messages":[' .. ("1,"):rep(1000000) .. "1]}")
      assert.equal(1000001, report.error_count)
      assert.equal("messages[99]", report.errors[100].path)
    end)

    it("faults behind a million messages", function()
      local report = quickly('{"messages":[' .. (USER .. "," .. ANSWER .. ","):rep(100000) .. ("1,"):rep(500) .. "1]}")
      assert.equal("messages[200099]", report.errors[100].path)
    end)

    it("a hundred thousand calls and answers", function()
      local n = 100000
      local calls = repeated(n, function(i)
        return ('{"id":"c%d","type":"function","function":{"name":"f","arguments":"{}"}}'):format(i * 7919 % 1000003)
      end)
      local answers = repeated(n, function(i)
        return ('{"role":"tool","tool_call_id":"c%d","content":"x"}'):format((n + 1 - i) * 7919 % 1000003)
      end)
      local text = chat(USER, rules.calling(calls), answers, ANSWER)
      assert.equal(0, quickly(text).error_count)
      local report = quickly((text:gsub('"tool_call_id":"c7919"', '"tool_call_id":"c0"')))
      assert.equal(1, report.error_count)
      assert.equal("unknown_call", report.errors[1].rule)
      report = quickly((text:gsub('"id":"c7919"', '"id":"c15838"', 1)))
      assert.equal("call_twice", report.errors[1].rule)
    end)

    it("a hundred thousand tools, all of them called", function()
      local n = 100000
      local tools = repeated(n, function(i) return ('{"type":"function","function":{"name":"f%d"}}'):format(i) end)
      local calls = repeated(n, function(i)
        return ('{"id":"c%d","type":"function","function":{"name":"f%d","arguments":"{}"}}'):format(i, n + 1 - i)
      end)
      local text = chat_with('"tools":[' .. tools .. "]", USER, rules.calling(calls))
      assert.equal(0, quickly(text).error_count)
      assert.equal("tool_undeclared", quickly((text:gsub('"name":"f77","', '"name":"g77","'))).errors[1].rule)
      assert.equal("tool_twice", quickly((text:gsub('"name":"f77"}', '"name":"f78"}'))).errors[1].rule)
    end)

    it("two hundred thousand keys", function()
      local keys = repeated(200000, function(i) return ('"k%d":0'):format(i * 7919 % 1000003) end)
      local report = quickly(chat_with('"x":{' .. keys .. "}", USER, ANSWER))
      assert.equal(0, report.error_count)
      report = quickly(chat_with('"x":{' .. keys .. ',"k7919":1}', USER, ANSWER))
      assert.equal("duplicate_key", report.errors[1].rule)
    end)

    it("bars without end", function()
      local report = quickly(chat(rules.user('"' .. ("<|"):rep(2000000) .. '"'), ANSWER))
      assert.is_nil(report.rules.special_token)
    end)

    it("a large image", function()
      local image = rules.image("data:image/png;base64," .. ("AAAA"):rep(2000000))
      assert.equal(0, quickly(chat(rules.user("[" .. image .. "]"), ANSWER)).error_count)
    end)

    it("arguments nested too deep", function()
      local arguments = '"' .. ("["):rep(100000) .. ("]"):rep(100000) .. '"'
      local call = '{"id":"c1","type":"function","function":{"name":"f","arguments":' .. arguments .. "}}"
      local report = quickly(chat(USER, rules.calling(call)))
      assert.equal("arguments_json", report.errors[1].rule)
      assert.matches("too deep", report.errors[1].message, 1, true)
    end)
  end)

  it("refuse a line of more values than anybody means", function()
    local report = check('{"messages":[' .. ("0,"):rep(4200000) .. "0]}")
    assert.equal(1, report.error_count)
    assert.equal("too_many_values", report.errors[1].rule)
  end)
end)
