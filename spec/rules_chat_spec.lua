-- The rules, one by one, as they are where no service says otherwise: for each a line that it takes and one that trips
-- it and nothing else, with severity, column ("§" stands before it) and path.

local rules = require "spec.support.rules"

local USER, ANSWER, SYSTEM, GOOD = rules.USER, rules.ANSWER, rules.SYSTEM, rules.GOOD
local CALL, CALLS, RESULT, TOOL = rules.CALL, rules.CALLS, rules.RESULT, rules.TOOL
local chat, chat_with, calling, user, image = rules.chat, rules.chat_with, rules.calling, rules.user, rules.image
local preference = rules.preference

local PNG = "data:image/png;base64,iVBORw0KGgo="
local NO = '{"role":"assistant","content":"no"}'
local PREFERENCE = preference("[" .. USER .. "]", "[" .. ANSWER .. "]", "[" .. NO .. "]")
local CALL2 = CALL:gsub("c1", "c2")
local TOOLS = '"tools":[' .. TOOL .. "]"

local function called(text) return '{"id":"c1","type":"function","function":' .. text .. "}" end
local function named(name) return called('{"name":' .. name .. ',"arguments":"{}"}') end
local function arguments(text) return called('{"name":"f","arguments":' .. text .. "}") end
local function weighted(role, weight) return '{"role":"' .. role .. '","content":"x","weight":' .. weight .. "}" end
local function call_type(text) return '{"id":"c","type":' .. text .. ',"function":{"name":"f","arguments":"{}"}}' end
local function function_call(text) return '{"role":"assistant","content":null,"function_call":' .. text .. "}" end

-- {rule, path, bad, good}; limits: of the profile; also: what follows from it
local cases = {
  -- shape
  {"type", "", "§5", GOOD},
  {"type", "", "§[" .. GOOD .. "]", GOOD},
  {"type", "messages", '{"messages":§{}}', GOOD},
  {"type", "messages[1]", chat(USER, '§"x"', ANSWER), GOOD},
  {"type", "messages[0].role", chat('{"role":§1,"content":"x"}', ANSWER), GOOD},
  {"type", "messages[0].content", chat(user "§7", ANSWER), chat(user '"7"', ANSWER)},
  {"type", "messages[0].content[1]", chat(user '[{"type":"text","text":"x"},§"x"]', ANSWER), GOOD},
  {"type", "messages[1].refusal", chat(USER, '{"role":"assistant","refusal":§[]}'),
    chat(USER, '{"role":"assistant","content":null,"refusal":"no"}')},
  {"type", "messages[1].tool_calls", chat(USER, '{"role":"assistant","tool_calls":§' .. CALL .. "}"),
    chat(USER, CALLS)},
  {"type", "tools", chat_with('"tools":§{}', USER, ANSWER), chat_with(TOOLS, USER, ANSWER)},
  {"type", "tools[0].function.parameters",
    chat_with('"tools":[{"type":"function","function":{"name":"f","parameters":§[]}}]', USER, ANSWER),
    chat_with(TOOLS, USER, ANSWER)},
  {"type", "parallel_tool_calls", chat_with('"parallel_tool_calls":§1', USER, ANSWER),
    chat_with('"parallel_tool_calls":true', USER, ANSWER)},
  {"missing", "messages[0].role", chat('§{"content":"x"}', ANSWER), GOOD},
  {"missing", "messages[0].content[0].type", chat(user '[§{"text":"x"}]', ANSWER), GOOD},
  {"missing", "messages[0].content[0].text", chat(user '[§{"type":"text"}]', ANSWER),
    chat(user '[{"type":"text","text":""}]', ANSWER)},
  {"missing", "messages[0].content[0].image_url.url", chat(user '[{"type":"image_url","image_url":§{}}]', ANSWER),
    chat(user("[" .. image(PNG) .. "]"), ANSWER)},
  {"missing", "messages[1].tool_calls[0].id",
    chat(USER, calling '§{"type":"function","function":{"name":"f","arguments":"{}"}}'), chat(USER, CALLS)},
  {"missing", "messages[1].tool_calls[0].function.arguments",
    chat(USER, calling '{"id":"c1","type":"function","function":§{"name":"f"}}'), chat(USER, CALLS)},
  {"missing", "tools[0].function.name", chat_with('"tools":[{"type":"function","function":§{}}]', USER, ANSWER),
    chat_with(TOOLS, USER, ANSWER)},
  {"empty", "messages", '{"messages":§[]}', GOOD},
  {"empty", "messages[0].content", chat(user "§[]", ANSWER), GOOD},
  {"empty", "messages[1].tool_calls", chat(USER, '{"role":"assistant","tool_calls":§[]}'), chat(USER, CALLS)},
  {"empty", "messages[0].name", chat('{"role":"user","content":"x","name":§""}', ANSWER),
    chat('{"role":"user","content":"x","name":"Ann-1"}', ANSWER)},
  {"extra_key", "id", chat_with('§"id":{"a":[1]}', USER, ANSWER), GOOD},
  {"unknown_key", "messages[0].mood", chat('{"role":"user","content":"x",§"mood":"good"}', ANSWER), GOOD},
  {"unknown_key", 'messages[0]["a b"]', chat('{"role":"user","content":"x",§"a b":null}', ANSWER), GOOD},
  {"unknown_key", "tools[0].function.returns",
    chat_with('"tools":[{"type":"function","function":{"name":"f",§"returns":1}}]', USER, ANSWER),
    chat_with(TOOLS, USER, ANSWER)},
  {"duplicate_key", "", '{"messages":[' .. USER .. "," .. ANSWER .. '],§"messages":[]}', GOOD},
  {"duplicate_key", "messages[0]", chat('{"role":"user",§"role":"user","content":"x"}', ANSWER), GOOD},
  {"duplicate_key", "messages[0]", chat('{"role":"user","content":"x",§"c\\u006fntent":"y"}', ANSWER),
    chat('{"r\\u006fle":"us\\u0065r","content":"x"}', ANSWER)},
  {"duplicate_key", "tools[0].function.parameters.properties",
    chat_with('"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":1,"b":2,§"a":3}}}}]',
      USER, ANSWER), chat_with(TOOLS, USER, ANSWER)},
  {"duplicate_key", "z.x[0]", chat_with('"z":{"x":[{"a":1,§"a":2}]}', USER, ANSWER), GOOD, also = {"extra_key"}},

  -- roles and their order
  {"role", "messages[0].role", chat('{"role":§"narrator","content":"x"}', ANSWER), GOOD},
  {"role", "messages[1].role", chat(USER, '{"role":§"","content":"x"}'), GOOD},
  {"developer_role", "messages[0].role", chat('{"role":§"developer","content":"x"}', USER, ANSWER),
    chat(SYSTEM, USER, ANSWER), on = true},
  {"tool_role", "messages[2].role", chat(USER, CALLS, '{"role":§"tool","tool_call_id":"c1","content":"x"}', ANSWER),
    GOOD, on = true},
  {"function_role", "messages[1].role", chat(USER, '{"role":§"function","name":"f","content":"x"}', ANSWER), GOOD,
    on = true},
  {"legacy", "messages[1].function_call", chat(USER, function_call '§{"name":"f","arguments":"{}"}'),
    chat(USER, CALLS), on = true},
  {"legacy", "functions", chat_with('"functions":§[{"name":"f"}]', USER, ANSWER), chat_with(TOOLS, USER, ANSWER),
    on = true},
  {"no_assistant", "messages", '{"messages":§[' .. USER .. "]}", GOOD},
  {"no_user", "messages", '{"messages":§[' .. SYSTEM .. "," .. ANSWER .. "]}", chat(SYSTEM, USER, ANSWER),
    also = {"first_message"}},
  {"no_system", "messages", '{"messages":§[' .. USER .. "," .. ANSWER .. "]}", chat(SYSTEM, USER, ANSWER), on = true},
  {"system_place", "messages[1].role", chat(USER, '{"role":§"system","content":"x"}', ANSWER),
    chat(SYSTEM, '{"role":"developer","content":"x"}', USER, ANSWER)},
  {"first_message", "messages[1].role", chat(SYSTEM, '{"role":§"assistant","content":"hello"}', USER, ANSWER),
    chat(SYSTEM, USER, ANSWER)},
  {"last_message", "messages[2]", chat(USER, ANSWER, "§" .. USER), GOOD},
  {"last_message", "messages[2]", chat(USER, CALLS, "§" .. RESULT), chat(USER, CALLS, RESULT, ANSWER)},
  {"last_call", "messages[1].tool_calls", chat(USER, '{"role":"assistant","tool_calls":§[' .. CALL .. "]}"),
    chat(USER, CALLS, RESULT, ANSWER), on = true},
  {"alternation", "messages[1].role", chat(USER, '{"role":§"user","content":"x"}', ANSWER), GOOD},
  {"alternation", "messages[2].role", chat(USER, ANSWER, '{"role":§"assistant","content":"x"}'),
    chat(USER, ANSWER, USER, ANSWER)},
  {"too_many_messages", "messages", '{"messages":§[' .. USER .. "," .. ANSWER .. "," .. USER .. "," .. ANSWER .. "]}",
    GOOD, limits = {messages = 3}},

  -- content
  {"content", "messages[0].content", chat('§{"role":"user"}', ANSWER), GOOD},
  {"content", "messages[0].content", chat('{"role":"user","content":§null}', ANSWER), GOOD},
  {"content", "messages[1].content", chat(USER, '§{"role":"assistant"}'), chat(USER, CALLS)},
  {"content", "messages[1].content", chat(USER, '{"role":"assistant","content":§null,"function_call":null}'),
    chat(USER, function_call '{"name":"f","arguments":"{}"}')},
  {"empty_content", "messages[0].content", chat(user '§""', ANSWER), chat(user '" "', ANSWER)},
  {"empty_content", "messages[1].content", chat(USER, '{"role":"assistant","content":§""}'),
    chat(USER, '{"role":"assistant","content":"","tool_calls":[' .. CALL .. "]}")},
  {"content_parts", "messages[0].content", chat(user '§[{"type":"text","text":"x"}]', ANSWER), GOOD, on = true},
  {"part_type", "messages[0].content[0].type", chat(user '[{"type":§"video"}]', ANSWER),
    chat(user '[{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]', ANSWER)},
  {"special_token", "messages[0].content", chat(user '§"a <|im_start|> b"', ANSWER),
    chat(user '"a | b |> c <| d |> <||> <|x> |x|> <|a b|>"', ANSWER)},
  {"special_token", "messages[1].content", chat(USER, '{"role":"assistant","content":§"| <|endoftext|>"}'), GOOD},
  {"special_token", "messages[0].content", chat(user '§"\\u003c|fim_suffix|\\u003E"', ANSWER), GOOD},
  {"special_token", "messages[0].content", chat(user '§"<|im_\\u0073tart|>"', ANSWER),
    chat(user '"\\\\u003c|im_start|>"', ANSWER)},
  {"special_token", "messages[0].content", chat(user '§"<\\u007cim_start|>"', ANSWER), GOOD},
  {"special_token", "messages[0].content", chat(user '§"\\n<\\u007cim_start\\u007C>"', ANSWER),
    chat(user '"\\n<\\u007cim start\\u007C> \\\\u007c"', ANSWER)},
  {"special_token", "messages[1].refusal", chat(USER, '{"role":"assistant","refusal":§"no<|end|>"}'),
    chat(USER, '{"role":"assistant","refusal":null,"content":"yes"}')},
  {"special_token", "messages[1].tool_calls[0].function.arguments",
    chat(USER, calling '{"id":"c1","type":"function","function":{"name":"f","arguments":§"{\\"a\\":\\"<|end|>\\"}"}}'),
    chat(USER, CALLS)},
  {"special_token", "messages[1].function_call.arguments",
    chat(USER, function_call '{"name":"f","arguments":§"{\\"a\\":\\"<\\u007cend\\u007c>\\"}"}'),
    chat(USER, function_call '{"name":"f","arguments":"{}"}')},
  {"special_token", "messages[0].content[0].text", chat(user '[{"type":"text","text":§"<|end|>"}]', ANSWER), GOOD},
  {"reasoning", "messages[1].reasoning_content",
    chat(USER, '{"role":"assistant","reasoning_content":§"x","content":"y"}'), GOOD},
  {"name", "messages[0].name", chat('{"role":"user","content":"x","name":§"Ann B"}', ANSWER),
    chat('{"role":"user","content":"x","name":"Änn_B"}', ANSWER)},
  {"name", "messages[0].name", chat('{"role":"user","content":"x","name":§"' .. ("n"):rep(65) .. '"}', ANSWER),
    chat('{"role":"user","content":"x","name":"' .. ("n"):rep(64) .. '"}', ANSWER)},

  -- weights
  {"weight", "messages[1].weight", chat(USER, weighted("assistant", "§2")), chat(USER, weighted("assistant", 1))},
  {"weight", "messages[1].weight", chat(USER, weighted("assistant", "§0.0")), chat(USER, weighted("assistant", 1))},
  {"weight", "messages[1].weight", chat(USER, weighted("assistant", "§true")), GOOD},
  {"weight", "messages[1].weight", chat(USER, weighted("assistant", '§"1"')), GOOD},
  {"weight_role", "messages[0].weight", chat(weighted("user", "§0"), ANSWER), GOOD},
  {"no_weight", "messages", '{"messages":§[' .. USER .. "," .. weighted("assistant", 0) .. "]}",
    chat(USER, weighted("assistant", 0), USER, ANSWER)},
  {"sample_weight", "weight", chat_with('"weight":§0.5', USER, ANSWER), GOOD},

  -- tools
  {"tools", "tools", chat_with('"tools":§[' .. TOOL .. "]", USER, ANSWER), chat_with('"tools":[]', USER, ANSWER),
    on = true},
  {"parallel_tool_calls", "parallel_tool_calls", chat_with('"parallel_tool_calls":§false', USER, ANSWER), GOOD,
    on = true},
  {"too_many_tools", "tools", chat_with('"tools":§[' .. TOOL .. "," .. TOOL:gsub('"f"', '"g"') .. "]", USER, ANSWER),
    chat_with(TOOLS, USER, ANSWER), limits = {tools = 1}},
  {"tool_type", "messages[1].tool_calls[0].type", chat(USER, calling(call_type '§"custom"')), chat(USER, CALLS)},
  {"tool_type", "tools[0].type", chat_with('"tools":[{"type":§"retrieval","function":{"name":"f"}}]', USER, ANSWER),
    chat_with(TOOLS, USER, ANSWER)},
  {"tool_name", "messages[1].tool_calls[0].function.name", chat(USER, calling(named '§"get weather"')),
    chat(USER, calling(named '"get-Weather_2"'))},
  {"tool_name", "tools[0].function.name",
    chat_with('"tools":[{"type":"function","function":{"name":§"' .. ("n"):rep(65) .. '"}}]', USER, ANSWER),
    chat_with('"tools":[{"type":"function","function":{"name":"' .. ("n"):rep(64) .. '"}}]', USER, ANSWER)},
  {"tool_twice", "tools[1].function.name",
    chat_with('"tools":[' .. TOOL .. "," .. TOOL:gsub('"f"', '§"f"') .. "]", USER, ANSWER),
    chat_with('"tools":[' .. TOOL .. "," .. TOOL:gsub('"f"', '"g"') .. "]", USER, ANSWER)},
  {"tool_undeclared", "messages[1].tool_calls[0].function.name",
    chat_with(TOOLS, USER, calling(named '§"g"')), chat_with(TOOLS, USER, CALLS)},
  {"tool_undeclared", "messages[1].function_call.name",
    chat_with('"functions":[{"name":"f"}]', USER, function_call '{"name":§"g","arguments":"{}"}'),
    chat_with('"functions":[{"name":"f"}]', USER, function_call '{"name":"\\u0066","arguments":"{}"}')},
  {"no_tools", "tools", "§" .. chat(USER, CALLS), chat_with(TOOLS, USER, CALLS), on = true},
  {"assistant_only", "messages[0].tool_calls",
    chat('{"role":"user","content":"x","tool_calls":§[' .. CALL .. "]}", ANSWER), GOOD},
  {"assistant_only", "messages[0].refusal", chat('{"role":"user","content":"x","refusal":§"no"}', ANSWER), GOOD},
  {"arguments", "messages[1].tool_calls[0].function.arguments", chat(USER, calling(arguments "§{}")),
    chat(USER, CALLS)},
  {"arguments_json", "messages[1].tool_calls[0].function.arguments", chat(USER, calling(arguments '§"{\\"a\\":}"')),
    chat(USER, calling(arguments '"{\\"a\\": \\"\\\\u00e9\\"}"'))},
  {"arguments_json", "messages[1].tool_calls[0].function.arguments", chat(USER, calling(arguments '§"[1]"')),
    chat(USER, CALLS)},
  {"arguments_json", "messages[1].tool_calls[0].function.arguments", chat(USER, calling(arguments '§""')),
    chat(USER, calling(arguments '" {} "'))},
  {"arguments_json", "messages[1].function_call.arguments",
    chat(USER, function_call '{"name":"f","arguments":§"city: Oslo"}'), GOOD},
  {"call_twice", "messages[1].tool_calls[1].id", chat(USER, calling(CALL, (CALL:gsub('"c1"', '§"c1"')))),
    chat(USER, calling(CALL, CALL2))},
  {"call_unanswered", "messages[1].tool_calls", chat(USER, '{"role":"assistant","tool_calls":§[' .. CALL .. "]}", USER,
    ANSWER), chat(USER, CALLS, RESULT, USER, ANSWER)},
  {"call_unanswered", "messages[1].tool_calls",
    chat(USER, '{"role":"assistant","tool_calls":§[' .. CALL .. "," .. CALL2 .. "]}", RESULT, ANSWER),
    chat(USER, calling(CALL, CALL2), (RESULT:gsub("c1", "c2")), RESULT, ANSWER)},
  {"tool_call_id", "messages[2].tool_call_id", chat(USER, CALLS, '§{"role":"tool","content":"x"}', ANSWER),
    chat(USER, CALLS, RESULT, ANSWER)},
  {"unknown_call", "messages[2].tool_call_id",
    chat(USER, CALLS, '{"role":"tool","tool_call_id":§"c9","content":"x"}', ANSWER),
    chat(USER, CALLS, RESULT, ANSWER)},
  {"unknown_call", "messages[4].tool_call_id",
    chat(USER, CALLS, RESULT, ANSWER, '{"role":"tool","tool_call_id":§"c1","content":"x"}', ANSWER), GOOD},
  {"answer_twice", "messages[3].tool_call_id",
    chat(USER, CALLS, RESULT, (RESULT:gsub('"c1"', '§"c1"')), ANSWER), chat(USER, CALLS, RESULT, ANSWER)},
  {"tool_only", "messages[0].tool_call_id", chat('{"role":"user","content":"x","tool_call_id":§"c"}', ANSWER), GOOD},
  {"function_name", "messages[1].name", chat(USER, '§{"role":"function","content":"x"}', ANSWER),
    chat(USER, '{"role":"function","name":"f","content":"x"}', ANSWER)},

  -- images
  {"image_role", "messages[0].content[0].image_url",
    chat('{"role":"system","content":[{"type":"image_url","image_url":§{"url":"' .. PNG .. '"}}]}', USER, ANSWER),
    chat(user("[" .. image(PNG) .. "]"), ANSWER)},
  {"too_many_images", "messages[0].content[2].image_url",
    chat(user("[" .. image(PNG) .. "," .. image(PNG) .. "," .. image(PNG):gsub('{"url', '§{"url') .. "]"), ANSWER),
    chat(user("[" .. image(PNG) .. "," .. image(PNG) .. "]"), ANSWER), limits = {images = 2}},
  {"image_size", "messages[0].content[0].image_url.url",
    chat(user("[" .. image(PNG):gsub('"data', '§"data') .. "]"), ANSWER),
    chat(user("[" .. image "data:image/png;base64,iVBORw0KGg==" .. "]"), ANSWER), limits = {image_bytes = 7}},
  {"image_type", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"data:image/gif;base64,R0lG"}}]'), ANSWER),
    chat(user("[" .. image "data:image/jpeg;base64,R0lG" .. "," .. image "data:image/WEBP;base64,R0lG" .. "]"),
      ANSWER)},
  {"image_url", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"file:///a.png"}}]'), ANSWER),
    chat(user("[" .. image "https://x.example/a.png" .. "," .. image "data:image\\/png;base64,R0l\\/" .. "]"), ANSWER)},
  {"image_url", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"data:image/png,x"}}]'), ANSWER), GOOD},
  {"image_link", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"https://x.example/a.png"}}]'), ANSWER),
    chat(user("[" .. image(PNG) .. "]"), ANSWER), on = true},
  {"image_data", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"data:image/png;base64,ab*d"}}]'), ANSWER), GOOD},
  {"image_data", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"data:image/png;base64,abcde"}}]'), ANSWER), GOOD},
  {"image_data", "messages[0].content[0].image_url.url",
    chat(user('[{"type":"image_url","image_url":{"url":§"data:image/png;base64,"}}]'), ANSWER), GOOD},

  -- preference
  {"output_role", "preferred_output[0].role",
    preference("[" .. USER .. "]", '[{"role":§"user","content":"yes"}]', "[" .. NO .. "]"), PREFERENCE},
  {"output_count", "non_preferred_output",
    preference("[" .. USER .. "]", "[" .. ANSWER .. "]", "§[" .. NO .. "," .. NO .. "]"), PREFERENCE},
  {"input_last", "input.messages[1]",
    preference("[" .. USER .. ",§" .. ANSWER .. "]", "[" .. ANSWER .. "]", "[" .. NO .. "]"), PREFERENCE},
  {"same_outputs", "non_preferred_output", preference("[" .. USER .. "]", "[" .. ANSWER .. "]", "§[" .. ANSWER .. "]"),
    PREFERENCE},
  {"unknown_key", "input.x", '{"input":{"messages":[' .. USER .. '],§"x":1},"preferred_output":[' .. ANSWER ..
    '],"non_preferred_output":[' .. NO .. "]}", PREFERENCE},
  {"missing", "preferred_output", '§{"input":{"messages":[' .. USER .. ']},"non_preferred_output":[' .. NO .. "]}",
    PREFERENCE},
  {"tool_undeclared", "input.messages[1].tool_calls[0].function.name",
    '{"input":{"messages":[' .. USER .. "," .. calling(named '§"g"') .. "," .. RESULT .. '],"tools":[' .. TOOL ..
    ']},"preferred_output":[' .. ANSWER .. '],"non_preferred_output":[' .. NO .. "]}", PREFERENCE},

  -- text that is no example
  {"syntax", "", '{"messages":§None}', GOOD},
  {"utf8", "", '{"messages":"a§\xe2\x82"}', GOOD},
  {"depth", "", '{"messages":' .. ("["):rep(127) .. "§[]" .. ("]"):rep(127) .. "}", GOOD},
  {"format", "", '§{"prompt":"a","completion":"b"}', GOOD},
}

describe("a rule", function()
  setup(rules.open)
  teardown(rules.close)

  for _, case in ipairs(cases) do
    local id, where, bad, good = table.unpack(case)
    local text, column = rules.marked(bad)
    it(("%s: %s"):format(id, text:sub(1, 100)), function()
      local severity = "error"
      for _, row in ipairs(rules.table()) do
        if row.id == id and row.severity ~= "off" then severity = row.severity end
      end
      local dataset = {min_examples = 1, formats = false, bom = false, limits = case.limits or {},
        rules = case.on and {[id] = "error"} or {}}
      local report = rules.report(good .. "\n" .. text .. "\n", "openai", dataset)
      assert.same({}, rules.findings(report, 1), "the good line")

      local found, expected = {}, {[id] = 1}
      for _, other in ipairs(case.also or {}) do expected[other] = 1 end
      for _, entry in ipairs(rules.findings(report, 2)) do
        found[entry.rule] = (found[entry.rule] or 0) + 1
        if entry.rule == id then
          assert.equal(where, entry.path)
          assert.equal(column, entry.column)
          assert.equal(severity, entry.severity)
          assert.is_true(#entry.message > 0 and #entry.hint > 0)
          assert.is_true(#entry.excerpt <= 60)
        end
      end
      assert.same(expected, found)
    end)
  end

  it("has a case here, or is of a file or a set", function()
    local elsewhere = {too_many_values = 1, too_long = 1, blank_line = 1, example = 1, record = 1, lost = 1,
      too_heavy = 1, bom = 1, changed = 1, service_format = 1, min_examples = 1, max_examples = 1, max_bytes = 1,
      duplicate_example = 1, leaked_validation = 1, validation_file = 1, one_answer = 1}
    local other_formats = {last_user = 1, empty_completion = 1} -- rules_formats_spec.lua
    local covered = {}
    for _, case in ipairs(cases) do covered[case[1]] = true end
    assert.is_true(#rules.table() > 70)
    for _, row in ipairs(rules.table()) do
      assert.is_true((covered[row.id] or elsewhere[row.id] or other_formats[row.id]) ~= nil, row.id .. " has no case")
    end
  end)
end)
