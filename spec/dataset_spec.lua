-- prepare_data: every rule, with a line that trips it and one that does not; the
-- formats; text that is no JSON. Through the public interface.

local data = require "spec.support.dataset"

local USER, ANSWER, GOOD, chat, find = data.USER, data.ANSWER, data.GOOD, data.chat, data.find

describe("prepare_data", function()
  local box

  local function prepare(text, options) return box.prepare(text, options) end
  local function refused(text, options) return box.refused(text, options) end

  before_each(function() box = data.box() end)
  after_each(function() box.close() end)

  describe("rules of chat", function()
    local tool = '{"type":"function","function":{"name":"f","parameters":{"type":"object","required":[]}}}'
    local call = '{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}'
    local calls = '{"role":"assistant","tool_calls":[' .. call .. "]}"
    local function calling(text) return chat(USER, '{"role":"assistant","tool_calls":' .. text .. "}") end
    local function content(text) return chat('{"role":"user","content":' .. text .. "}", ANSWER) end
    local function tools(text) return '{"messages":[' .. USER .. "," .. ANSWER .. '],"tools":' .. text .. "}" end

    -- {what, rule, path, a line that trips it, one that does not}
    local cases = {
      {"an example is an object", "type", "", "[1]", GOOD},
      {"messages is there", "missing", "messages", '{"tools":[]}', GOOD, format = "chat"},
      {"messages is an array", "type", "messages", '{"messages":{}}', GOOD},
      {"messages is not empty", "empty", "messages", '{"messages":[]}', GOOD},
      {"a message is an object", "type", "messages[1]", chat(USER, "5", ANSWER), GOOD},
      {"a role is there", "missing", "messages[0].role", chat('{"content":"x"}', ANSWER), GOOD},
      {"a role is a string", "type", "messages[0].role", chat('{"role":1,"content":"x"}', ANSWER), GOOD},
      {"a role is known", "role", "messages[0].role", chat('{"role":"narrator","content":"x"}', ANSWER),
        chat('{"role":"developer","content":"x"}', USER, ANSWER)},
      {"content is there", "content", "messages[0].content", chat('{"role":"user"}', ANSWER), GOOD},
      {"content is not null for a user", "content", "messages[0].content", content "null", GOOD},
      {"content is a string or parts", "type", "messages[0].content", content "7", content '"7"'},
      {"an assistant says something", "content", "messages[1].content", chat(USER, '{"role":"assistant"}'),
        chat(USER, calls)},
      {"null content needs a call or a refusal", "content", "messages[1].content",
        chat(USER, '{"role":"assistant","content":null}'),
        chat(USER, '{"role":"assistant","content":null,"refusal":"no"}')},
      {"a null call says nothing", "content", "messages[1].content",
        chat(USER, '{"role":"assistant","content":null,"function_call":null}'),
        chat(USER, '{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}')},
      {"parts are not empty", "empty", "messages[0].content", content "[]", content '[{"type":"text","text":""}]'},
      {"a part is an object", "type", "messages[0].content[0]", content '["x"]',
        content '[{"type":"text","text":"x"}]'},
      {"a part has a type", "missing", "messages[0].content[0].type", content '[{"text":"x"}]',
        content '[{"type":"text","text":"x"}]'},
      {"a part's type is a string", "type", "messages[0].content[0].type", content '[{"type":1}]',
        content '[{"type":"text","text":"x"}]'},
      {"a text part has text", "missing", "messages[0].content[1].text",
        content '[{"type":"text","text":"x"},{"type":"text"}]', content '[{"type":"text","text":"x"}]'},
      {"text is a string", "type", "messages[0].content[0].text", content '[{"type":"text","text":[]}]',
        content '[{"type":"text","text":"x"}]'},
      {"an image has a url", "missing", "messages[0].content[0].image_url.url",
        content '[{"type":"image_url","image_url":{"detail":"low"}}]',
        content '[{"type":"image_url","image_url":{"url":"https://x.example/a.png","detail":"low"}}]'},
      {"an image part has an image", "missing", "messages[0].content[0].image_url", content '[{"type":"image_url"}]',
        content '[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]'},
      {"a weight is 0 or 1", "weight", "messages[1].weight",
        chat(USER, '{"role":"assistant","content":"x","weight":2}'),
        chat(USER, '{"role":"assistant","content":"x","weight":1}')},
      {"a weight is no string", "weight", "messages[1].weight",
        chat(USER, '{"role":"assistant","content":"x","weight":"1"}'),
        chat(USER, '{"role":"assistant","content":"x","weight":0}', USER, ANSWER)},
      {"a weight is an assistant's", "weight_role", "messages[0].weight",
        chat('{"role":"user","content":"x","weight":1}', ANSWER), GOOD},
      {"a name is a string", "type", "messages[0].name", chat('{"role":"user","content":"x","name":5}', ANSWER),
        chat('{"role":"user","content":"x","name":"Ann"}', ANSWER)},
      {"a tool message names its call", "tool_call_id", "messages[2].tool_call_id",
        chat(USER, calls, '{"role":"tool","content":"x"}'),
        chat(USER, calls, '{"role":"tool","content":"x","tool_call_id":"c1"}', ANSWER)},
      {"a function message has a name", "function_name", "messages[1].name",
        chat(USER, '{"role":"function","content":"x"}', ANSWER),
        chat(USER, '{"role":"function","content":"x","name":"f"}', ANSWER)},
      {"tool calls are an assistant's", "assistant_only", "messages[0].tool_calls",
        chat('{"role":"user","content":"x","tool_calls":[' .. call .. "]}", ANSWER), chat(USER, calls)},
      {"tool_calls is an array", "type", "messages[1].tool_calls", calling(call), calling("[" .. call .. "]")},
      {"tool_calls is not empty", "empty", "messages[1].tool_calls", calling "[]", chat(USER, calls)},
      {"a call has an id", "missing", "messages[1].tool_calls[0].id",
        calling '[{"type":"function","function":{"name":"f","arguments":"{}"}}]', chat(USER, calls)},
      {"a call has a type", "missing", "messages[1].tool_calls[0].type",
        calling '[{"id":"c","function":{"name":"f","arguments":"{}"}}]', chat(USER, calls)},
      {"a call's type is function", "tool_type", "messages[1].tool_calls[0].type",
        calling '[{"id":"c","type":"custom","function":{"name":"f","arguments":"{}"}}]', chat(USER, calls)},
      {"a call has a function", "missing", "messages[1].tool_calls[0].function",
        calling '[{"id":"c","type":"function"}]', chat(USER, calls)},
      {"a function has a name", "missing", "messages[1].tool_calls[0].function.name",
        calling '[{"id":"c","type":"function","function":{"arguments":"{}"}}]', chat(USER, calls)},
      {"arguments are a string", "arguments", "messages[1].tool_calls[0].function.arguments",
        calling '[{"id":"c","type":"function","function":{"name":"f","arguments":{}}}]', chat(USER, calls)},
      {"arguments are there", "missing", "messages[1].function_call.arguments",
        chat(USER, '{"role":"assistant","function_call":{"name":"f"}}'),
        chat(USER, '{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}')},
      {"a refusal is a string", "type", "messages[1].refusal", chat(USER, '{"role":"assistant","refusal":1}'),
        chat(USER, '{"role":"assistant","refusal":"no"}')},
      {"there is an assistant message", "no_assistant", "messages", chat(USER), GOOD},
      {"an assistant message counts", "no_weight", "messages",
        chat(USER, '{"role":"assistant","content":"x","weight":0}'),
        chat(USER, '{"role":"assistant","content":"x","weight":0}', USER, ANSWER)},
      {"tools is an array", "type", "tools", tools "{}", tools("[" .. tool .. "]")},
      {"a tool has a function", "missing", "tools[0].function", tools '[{"type":"function"}]',
        tools("[" .. tool .. "]")},
      {"a tool's type is function", "tool_type", "tools[0].type",
        tools '[{"type":"retrieval","function":{"name":"f"}}]', tools("[" .. tool .. "]")},
      {"a tool's function has a name", "empty", "tools[0].function.name",
        tools '[{"type":"function","function":{"name":""}}]', tools("[" .. tool .. "]")},
      {"parameters are a schema", "type", "tools[0].function.parameters",
        tools '[{"type":"function","function":{"name":"f","parameters":[]}}]', tools("[" .. tool .. "]")},
      {"parallel_tool_calls is a boolean", "type", "parallel_tool_calls",
        '{"parallel_tool_calls":"yes","messages":[' .. USER .. "," .. ANSWER .. "]}",
        '{"parallel_tool_calls":false,"messages":[' .. USER .. "," .. ANSWER .. "]}"},
      {"functions have names", "missing", "functions[0].name",
        '{"functions":[{"parameters":{}}],"messages":[' .. USER .. "," .. ANSWER .. "]}",
        '{"functions":[{"name":"f"}],"messages":[' .. USER .. "," .. ANSWER .. "]}"},
      {"keys are there once", "duplicate_key", "messages[0]",
        chat('{"role":"user","role":"user","content":"x"}', ANSWER), GOOD},
      {"keys are there once, also deep in a tool", "duplicate_key", "tools[0].function.parameters.properties",
        tools '[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":1,"b":2,"a":3}}}}]',
        tools '[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":1,"b":2}}}}]'},
      {"keys are compared as what they mean", "duplicate_key", "messages[0]",
        chat('{"role":"user","content":"x","r\\u006fle":"user"}', ANSWER),
        chat('{"r\\u006fle":"us\\u0065r","content":"x"}', ANSWER)},
    }

    for _, case in ipairs(cases) do
      local what, rule, where, bad, good = table.unpack(case)
      it(what, function()
        local report = refused(GOOD .. "\n" .. bad .. "\n", {format = case.format})
        local entry = find(report.errors, rule)
        assert.is_table(entry, "rule " .. rule .. " was not tripped")
        assert.equal(where, entry.path)
        assert.equal(2, entry.line)
        assert.is_string(entry.message)
        assert.equal(1, report.error_count, "one mistake, one error")

        local written = assert(prepare(good .. "\n"))
        assert.same({}, written.errors)
        assert.same({}, written.warnings)
        assert.equal(good .. "\n", written.text)
      end)
    end

    local mends = {asistant = "assistant", User = "user", SYSTEM = "system", tools = "tool", human = "user",
      model = "assistant", fuction = "function", devloper = "developer"}
    for wrong, right in pairs(mends) do
      it("names the nearest role: " .. wrong, function()
        local report = refused(chat('{"role":"' .. wrong .. '","content":"x"}', ANSWER))
        assert.equal(('unknown role "%s"; did you mean "%s"?'):format(wrong, right), report.errors[1].message)
      end)
    end

    it("lists the roles where none is near", function()
      local report = refused(chat('{"role":"narrator","content":"x"}', ANSWER))
      assert.matches("use system, developer, user, assistant, tool or function", report.errors[1].message, 1, true)
    end)

    it("accepts every role and every kind of content", function()
      local report = assert(prepare(chat('{"role":"system","content":"s"}', '{"role":"developer","content":"d"}',
        '{"role":"user","name":"Ann","content":[{"type":"text","text":"x"},' ..
        '{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}',
        '{"role":"assistant","content":[{"type":"refusal","refusal":"no"}],"audio":null}', USER, calls,
        '{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"x"}]}', ANSWER) .. "\n"))
      assert.same({}, report.warnings)
    end)
  end)

  describe("rules of completion", function()
    local good = '{"prompt":"a","completion":" b"}'
    local cases = {
      {"missing", "completion", '{"prompt":"a"}'},
      {"missing", "prompt", '{"completion":"a"}'},
      {"type", "prompt", '{"prompt":["a"],"completion":"b"}'},
      {"type", "completion", '{"prompt":"a","completion":null}'},
    }
    for _, case in ipairs(cases) do
      it(case[2] .. ": " .. case[1], function()
        local report = refused(good .. "\n" .. case[3])
        assert.equal(case[1], report.errors[1].rule)
        assert.equal(case[2], report.errors[1].path)
        assert.equal(2, report.errors[1].line)
      end)
    end

    it("takes good ones", function()
      local report = assert(prepare(good))
      assert.equal("completion", report.format)
      assert.equal(good .. "\n", report.text)
    end)

    it("warns of an empty completion", function()
      local report = assert(prepare '{"prompt":"a","completion":""}')
      assert.equal("empty_completion", report.warnings[1].rule)
    end)
  end)

  describe("rules of preference", function()
    local good = '{"input":{"messages":[' .. USER .. '],"tools":[],"parallel_tool_calls":true},"preferred_output":[' ..
      ANSWER .. '],"non_preferred_output":[{"role":"assistant","content":"no"}]}'
    local function with(pattern, replacement) return (good:gsub(pattern, replacement, 1)) end
    local cases = {
      {"missing", "input", '{"preferred_output":[' .. ANSWER .. '],"non_preferred_output":[' .. ANSWER .. "]}"},
      {"missing", "input.messages", with('"messages":%b[],', "")},
      {"type", "input", with('"input":%b{}', '"input":"hi"')},
      {"empty", "input.messages", with('"messages":%b[]', '"messages":[]')},
      {"role", "input.messages[0].role", with("user", "usr")},
      {"empty", "preferred_output", with('"preferred_output":%b[]', '"preferred_output":[]')},
      {"type", "preferred_output", with('"preferred_output":%b[]', '"preferred_output":' .. ANSWER)},
      {"output_role", "preferred_output[0].role", with("assistant", "user")},
      {"missing", "non_preferred_output", with(',"non_preferred_output":%b[]', "")},
      {"content", "non_preferred_output[0].content",
        with('"non_preferred_output":%b[]', '"non_preferred_output":[{"role":"assistant"}]')},
    }
    for _, case in ipairs(cases) do
      it(case[2] .. ": " .. case[1], function()
        local report = refused(good .. "\n" .. case[3])
        assert.equal(case[1], report.errors[1].rule)
        assert.equal(case[2], report.errors[1].path)
        assert.equal(1, report.error_count)
      end)
    end

    it("takes good ones, and needs no assistant in the input", function()
      local report = assert(prepare(good))
      assert.equal("preference", report.format)
      assert.same({}, report.warnings)
      assert.equal(good .. "\n", report.text)
    end)
  end)

  describe("the format", function()
    local completion = '{"prompt":"a","completion":"b"}'
    local preference = '{"input":{"messages":[' .. USER .. ']},"preferred_output":[' .. ANSWER ..
      '],"non_preferred_output":[' .. ANSWER .. "]}"

    it("is that of the first example that can be told", function()
      assert.equal("chat", assert(prepare(GOOD)).format)
      assert.equal("completion", assert(prepare(completion)).format)
      assert.equal("preference", assert(prepare(preference)).format)
      assert.equal("completion", refused("{\n" .. completion).format)
    end)

    local accepted = {chat = "chat", completion = "completion", prompt = "completion",
      prompt_completion = "completion", ["prompt/completion"] = "completion", preference = "preference",
      dpo = "preference"}
    for name, format in pairs(accepted) do
      it("can be called " .. name, function()
        local text = ({chat = GOOD, completion = completion, preference = preference})[format]
        assert.equal(format, assert(prepare(text, {format = name})).format)
        assert.equal(format, assert(prepare(text, {format_type = name})).format)
      end)
    end

    it("must be a known one", function()
      local ok, report, err = pcall(prepare, GOOD, {format = "chatt"})
      local words = ok and tostring(err) or tostring(report)
      assert.is_true(not ok or report == nil)
      assert.matches("unknown format 'chatt'", words, 1, true)
    end)

    it("is one for a file: each line of another is an error", function()
      local report = refused(table.concat({GOOD, completion, GOOD, preference}, "\n"))
      assert.equal(2, report.error_count)
      assert.equal("format", report.errors[1].rule)
      assert.equal(2, report.errors[1].line)
      assert.matches("a completion example among chat examples", report.errors[1].message, 1, true)
      assert.equal(4, report.errors[2].line)
    end)

    it("that was asked for must be the examples'", function()
      local report = refused(GOOD, {format = "dpo"})
      assert.equal("format", report.errors[1].rule)
      assert.matches("the format asked for is preference", report.errors[1].message, 1, true)
    end)

    it("of other tools is recognised and told how to mend", function()
      assert.matches("Gemini", refused('{"contents":[]}').errors[1].message)
      assert.matches("non_preferred_output", refused('{"chosen":"x","rejected":"y"}').errors[1].message)
      assert.matches("chat has", refused('{"foo":1}').errors[1].message)
    end)
  end)

  describe("warnings", function()
    it("tell of keys that are not known, at every place", function()
      local report = assert(prepare('{"id":7,"messages":[' .. USER ..
        ',{"role":"assistant","content":"x","mood":"good"}]}'))
      assert.equal(2, report.warning_count)
      assert.equal(0, report.error_count)
      assert.equal("extra_key", report.warnings[1].rule)
      assert.equal("id", report.warnings[1].path)
      assert.matches('"id"', report.warnings[1].message, 1, true)
      assert.equal("unknown_key", report.warnings[2].rule)
      assert.equal("messages[1].mood", report.warnings[2].path)
      assert.matches('"mood"', report.warnings[2].message, 1, true)
    end)

    it("tell of part types that are not known", function()
      local report = assert(prepare(chat('{"role":"user","content":[{"type":"video"}]}', ANSWER)))
      assert.equal("part_type", report.warnings[1].rule)
      assert.equal("messages[0].content[0].type", report.warnings[1].path)
    end)

    it("tell of a tool_call_id that belongs to no tool", function()
      local report = assert(prepare(chat('{"role":"user","content":"x","tool_call_id":"c"}', ANSWER)))
      assert.equal("tool_only", report.warnings[1].rule)
    end)

    it("tell of blank lines, which are skipped", function()
      local report = assert(prepare(GOOD .. "\n\n  \t\n" .. GOOD .. "\n"))
      assert.equal(2, report.examples)
      assert.equal(2, report.rules.blank_line)
      assert.equal("blank_line", report.warnings[1].rule)
      assert.equal(2, report.warnings[1].line)
      assert.equal(3, report.warnings[2].line)
      assert.equal(GOOD .. "\n" .. GOOD .. "\n", report.text)
    end)
  end)

  describe("text that is no JSON", function()
    local cases = {
      {"syntax", 2, "{"},
      {"syntax", 16, '{"messages":[1,]}'},
      {"syntax", 2, "{'messages':[]}"},
      {"syntax", 13, '{"messages":None}'},
      {"syntax", 13, '{"messages":NaN}'},
      {"syntax", 14, '{"messages":-Infinity}'},
      {"syntax", 14, '{"messages":01}'},
      {"syntax", 15, '{"messages":1.}'},
      {"syntax", 14, '{"messages":"\1"}'},
      {"syntax", 14, '{"messages":"\\x"}'},
      {"syntax", 14, '{"messages":"\\uD800"}'},
      {"syntax", 14, '{"messages":"\\uDC00\\uD800"}'},
      {"syntax", 14, '{"messages":"\0"}'},
      {"syntax", 17, '{"messages":[]} x'},
      {"syntax", 2, '{messages:[]}'},
      {"utf8", 14, '{"messages":"\xff"}'},
      {"utf8", 14, '{"messages":"\xc0\x80"}'},
      {"utf8", 14, '{"messages":"\xed\xa0\x80"}'},
      {"utf8", 14, '{"messages":"\xf4\x90\x80\x80"}'},
      {"utf8", 15, '{"messages":"a\xe2\x82"}'},
    }
    for _, case in ipairs(cases) do
      it(("%q"):format(case[3]), function()
        local report = refused(GOOD .. "\n" .. case[3] .. "\n")
        local entry = report.errors[1]
        assert.equal(case[1], entry.rule)
        assert.equal(case[2], entry.column)
        assert.equal(2, entry.line)
        assert.matches("^byte " .. case[2] .. ": ", entry.message)
        assert.equal("", entry.path)
        assert.equal(1, report.error_count)
      end)
    end

    it("has its own words for a lone surrogate", function()
      assert.matches("lone surrogate", refused('{"messages":"\\uD800"}').errors[1].message)
    end)

    it("has its own words for UTF-16 and a mark in the middle", function()
      assert.matches("UTF%-16", refused("\xff\xfe{\0").errors[1].message)
      assert.matches("byte order mark", refused(GOOD .. "\n\xef\xbb\xbf" .. GOOD).errors[1].message)
    end)

    it("is refused where it is nested too deep, however deep", function()
      for _, depth in ipairs {129, 1000, 100000} do
        local report = refused('{"messages":' .. ("["):rep(depth) .. ("]"):rep(depth) .. "}")
        assert.equal("depth", report.errors[1].rule)
      end
      local report = refused('{"messages":' .. ("["):rep(100) .. ("]"):rep(100) .. "}")
      assert.equal("type", report.errors[1].rule)
    end)

    it("may be arbitrary bytes", function()
      local bytes, state = {}, 42
      for i = 1, 20000 do
        state = (state * 1103515245 + 12345) & 0x7fffffff
        bytes[i] = string.char((state >> 16) & 255)
      end
      local report = refused(table.concat(bytes))
      assert.equal(report.examples, report.error_count)
    end)
  end)

  describe("many keys", function()
    local function object(n, last)
      local keys = {}
      for i = 1, n do keys[i] = ('"k%d":%d'):format((i * 7919) % 1000003, i) end
      keys[#keys + 1] = last
      return "{" .. table.concat(keys, ",") .. "}"
    end
    local function with(parameters)
      return '{"messages":[' .. USER .. "," .. ANSWER .. '],"tools":[{"type":"function","function":{"name":"f",' ..
        '"parameters":' .. parameters .. "}}]}"
    end

    it("are compared too", function()
      for _, n in ipairs {5, 31, 32, 33, 34, 200, 20000} do
        assert(prepare(with(object(n))))
        local report = refused(with(object(n, '"k7919":0')))
        assert.equal("duplicate_key", report.errors[1].rule)
        assert.equal(1, report.error_count)
      end
    end)
  end)
end)
