-- What others check, and where finetune says otherwise. Three sets of verdicts:
--   cookbook   the checks of OpenAI's cookbook, Chat_finetuning_data_prep (against the profile of openai)
--   together   together-python, utils/files.py as of 2025-12, its last full check (the profile of together)
--   schema     the schemas of training data that OpenAI's API description had: FineTuneChatRequestInput,
--              FineTunePreferenceRequestInput (against the profile of openai)
-- Each row: what, the example, is it accepted there. Where finetune differs, the row says why.

local rules = require "spec.support.rules"

local USER, ANSWER, SYSTEM, chat, chat_with = rules.USER, rules.ANSWER, rules.SYSTEM, rules.chat, rules.chat_with
local CALLS, RESULT, TOOL, user, preference = rules.CALLS, rules.RESULT, rules.TOOL, rules.user, rules.preference

local yes, no = true, false
local PNG = rules.image "data:image/png;base64,iVBORw0KGgo="
local TOOLS = '"tools":[' .. TOOL .. "]"
local NO = '{"role":"assistant","content":"no"}'
local FUNCTION_CALL = '"function_call":{"name":"f","arguments":"{}"}'
local function weighted(role, weight) return ('{"role":"%s","content":"x","weight":%s}'):format(role, weight) end
local function pref(input, preferred, other)
  return preference("[" .. input .. "]", "[" .. preferred .. "]", "[" .. other .. "]")
end

local sets = {
  cookbook = {
    {"a chat", chat(SYSTEM, USER, ANSWER), yes},
    {"data_type: an array", "[" .. USER .. "]", no},
    {"data_type: a string", '"x"', no},
    {"missing_messages_list", '{"tools":[]}', no},
    {"missing_messages_list: empty", '{"messages":[]}', no},
    {"message_missing_key: role", chat('{"content":"x"}', ANSWER), no},
    {"message_missing_key: content", chat('{"role":"user"}', ANSWER), no},
    {"name and weight are known keys", chat('{"role":"user","name":"n","content":"x"}', weighted("assistant", 1)), yes},
    {"unrecognized_role", chat('{"role":"narrator","content":"x"}', ANSWER), no},
    {"function is a role", chat(USER, '{"role":"assistant","content":"x",' .. FUNCTION_CALL .. "}",
      '{"role":"function","name":"f","content":"x"}', ANSWER), yes},
    {"missing_content: null", chat('{"role":"user","content":null}', ANSWER), no},
    {"missing_content: a number", chat(user "7", ANSWER), no},
    {"example_missing_assistant_message", chat(SYSTEM, USER), no},
    {"two users in a row", chat(USER, USER, ANSWER), yes},
    {"missing user: a warning of both", chat(SYSTEM, ANSWER), yes},
    {"missing system: a warning there", chat(USER, ANSWER), yes},
    {"message_unrecognized_key: mood", chat('{"role":"user","content":"x","mood":1}', ANSWER), no,
      why = "a key too many hurts no training, and no page says that it is refused: a warning"},
    {"missing_content: empty", chat(user '""', ANSWER), no,
      why = "the schema sets no least length, and Together's check takes it: a warning"},
    {"tool calls", chat(USER, CALLS, RESULT, ANSWER), no,
      why = "tool_calls and the role tool are later than the notebook; the guide has them"},
    {"developer", chat('{"role":"developer","content":"x"}', USER, ANSWER), no,
      why = "the role is later than the notebook; the guide has it"},
    {"content in parts", chat(user '[{"type":"text","text":"x"}]', ANSWER), no,
      why = "vision fine-tuning is later than the notebook; its guide has parts"},
    {"a call with content null", chat(USER, '{"role":"assistant","content":null,' .. FUNCTION_CALL .. "}"), no,
      why = "the notebook wants a string beside function_call; the API describes null there"},
    {"a refusal", chat(USER, '{"role":"assistant","content":null,"refusal":"no"}'), no,
      why = "refusal is later than the notebook; the API description has it"},
    {"a weight of 2", chat(USER, weighted("assistant", 2)), yes,
      why = "the notebook looks at no values of weight; the guide has 0 and 1"},
    {"every weight 0", chat(USER, weighted("assistant", 0)), yes, why = "nothing would be learned from it"},
    {"a weight of a user", chat(weighted("user", 1), ANSWER), yes, why = "the guide gives weights to assistants only"},
    {"arguments that are no JSON", chat(USER, '{"role":"assistant","content":"x","function_call":{"name":"f",' ..
      '"arguments":"{"}}'), yes, why = "the notebook does not read them; the model would learn to write such calls"},
    {"a function without a name", chat(USER, '{"role":"function","content":"x"}', ANSWER), yes,
      why = "the notebook does not look; the API requires the name"},
    {"a key that is there twice", chat('{"role":"user","role":"user","content":"x"}', ANSWER), yes,
      why = "Python's json takes the last one in silence, other readers the first"},
  },

  together = {
    {"a chat", chat(SYSTEM, USER, ANSWER), yes},
    {"two turns", chat(USER, ANSWER, USER, ANSWER), yes},
    {"not an object", "7", no},
    {"an extra column", chat_with('"id":1', USER, ANSWER), no},
    {"no known format", '{"x":1}', no},
    {"two formats in a line", '{"text":"x","messages":[' .. USER .. "," .. ANSWER .. "]}", no},
    {"messages that are no list", '{"messages":{}}', no},
    {"no messages", '{"messages":[]}', no},
    {"a message that is no object", '{"messages":["x"]}', no},
    {"no role", chat('{"content":"x"}', ANSWER), no},
    {"no content", chat('{"role":"user"}', ANSWER), no},
    {"content that is no string", chat(user "1", ANSWER), no},
    {"empty content", chat(user '""', ANSWER), yes},
    {"a weight of 1 and of 0", chat(USER, weighted("assistant", 0), USER, weighted("assistant", 1)), yes},
    {"a weight of 2", chat(USER, weighted("assistant", 2)), no},
    {"a weight that is a string", chat(USER, weighted("assistant", '"1"')), no},
    {"a weight of a user", chat(weighted("user", 0), ANSWER), yes},
    {"every weight 0", chat(USER, weighted("assistant", 0)), yes},
    {"an unknown role", chat('{"role":"narrator","content":"x"}', ANSWER), no},
    {"a developer", chat('{"role":"developer","content":"x"}', USER, ANSWER), no},
    {"a function", chat(USER, '{"role":"function","name":"f","content":"x"}', ANSWER), no},
    {"two users in a row", chat(USER, USER, ANSWER), no},
    {"two answers in a row", chat(USER, ANSWER, ANSWER), no},
    {"prompt and completion", '{"prompt":"a","completion":"b"}', yes},
    {"prompt that is no string", '{"prompt":1,"completion":"b"}', no},
    {"text", '{"text":"a"}', yes},
    {"text that is no string", '{"text":["a"]}', no},
    {"a preference", pref(USER, ANSWER, NO), yes},
    {"a preference without input", '{"preferred_output":[' .. ANSWER .. '],"non_preferred_output":[' .. NO .. "]}", no},
    {"an input without messages", '{"input":{},"preferred_output":[' .. ANSWER .. '],"non_preferred_output":[' .. NO ..
      "]}", no},
    {"two messages in an output", pref(USER, ANSWER .. "," .. USER, NO), no},
    {"an output of a user", pref(USER, USER, NO), no},
    {"a user last", chat(USER, ANSWER, USER), yes},
    {"another key of a message", chat('{"role":"user","content":"x","mood":1}', ANSWER), yes},
    {"no JSON", "{", no},
    {"no UTF-8", '{"text":"\xff"}', no},
    {"no answer", chat(USER), no},
    {"an assistant last in the input", pref(USER .. "," .. ANSWER, ANSWER, NO), no},
    {"an image in base64", chat(user("[" .. PNG .. "]"), ANSWER), yes},
    {"an image elsewhere", chat(user("[" .. rules.image "https://x.example/a.png" .. "]"), ANSWER), no},
    {"a GIF", chat(user("[" .. rules.image "data:image/gif;base64,R0lG" .. "]"), ANSWER), no},
    {"ten images", chat(user("[" .. PNG .. ("," .. PNG):rep(9) .. "]"), ANSWER), yes},
    {"eleven images", chat(user("[" .. PNG .. ("," .. PNG):rep(10) .. "]"), ANSWER), no},
    {"an image of an assistant", chat(USER, '{"role":"assistant","content":[' .. PNG .. "]}"), no},
    {"a system message in the middle", chat(USER, SYSTEM, ANSWER), yes,
      why = "the check only compares neighbours; the page wants it first, and user and assistant in turn"},
    {"an answer first", chat(ANSWER, USER, ANSWER), yes, why = "the page: a conversation starts with system or user"},
    {"tools", chat_with(TOOLS, USER, CALLS, RESULT, ANSWER), no, why = "the service learns tool calls since then"},
    {"reasoning", chat(USER, '{"role":"assistant","content":"x","reasoning":"y"}'), yes},
    {"a weight of the example", chat_with('"weight":0.5', USER, ANSWER), no,
      why = "the service takes a weight of an example since then"},
    {"a lone surrogate", '{"text":"\\ud800"}', yes,
      why = "Python's json reads it; it is no text, and cannot be UTF-8"},
    {"a key that is there twice", '{"text":"a","text":"b"}', yes, why = "Python's json takes the last one in silence"},
  },

  schema = {
    {"a chat", chat(SYSTEM, USER, ANSWER), yes},
    {"every role", chat('{"role":"developer","content":"d"}', USER, CALLS, RESULT, ANSWER), yes},
    {"empty content", chat(user '""', ANSWER), yes},
    {"parts", chat(user '[{"type":"text","text":"x"}]', ANSWER), yes},
    {"tools and parallel_tool_calls", chat_with(TOOLS .. ',"parallel_tool_calls":true', USER, CALLS, RESULT, ANSWER),
      yes},
    {"functions", chat_with('"functions":[{"name":"f"}]', USER,
      '{"role":"assistant","content":null,' .. FUNCTION_CALL .. "}"), yes},
    {"messages: at least 1", '{"messages":[]}', no},
    {"messages: an array", '{"messages":{}}', no},
    {"a role of the five", chat('{"role":"narrator","content":"x"}', ANSWER), no},
    {"a user without content", chat('{"role":"user"}', ANSWER), no},
    {"weight: 0 or 1", chat(USER, weighted("assistant", 2)), no},
    {"tool_call_id of a tool", chat(USER, CALLS, '{"role":"tool","content":"x"}', ANSWER), no},
    {"id, type and function of a call", chat(USER, rules.calling '{"type":"function","function":{"name":"f",' ..
      '"arguments":"{}"}}'), no},
    {"arguments: a string", chat(USER, rules.calling '{"id":"c1","type":"function","function":{"name":"f",' ..
      '"arguments":{}}}'), no},
    {"a function's name: letters, digits, _ and -", chat_with(
      '"tools":[{"type":"function","function":{"name":"get weather"}}]', USER, ANSWER), no},
    {"a preference", pref(USER, ANSWER, NO), yes},
    {"a preference of strings", '{"input":"x","preferred_output":"y","non_preferred_output":"z"}', no},
    {"an output of a user", pref(USER, USER, NO), no},
    {"other keys", chat_with('"id":1', USER, ANSWER), yes},
    {"no answer at all", chat(USER), yes, why = "the schema cannot say it; the cookbook's check does"},
    {"every weight 0", chat(USER, weighted("assistant", 0)), yes, why = "the schema cannot say it; nothing is learned"},
    {"arguments that are no JSON", chat(USER, rules.calling('{"id":"c1","type":"function","function":{"name":"f",' ..
      '"arguments":"x"}}')), yes, why = "the schema says that a model may write such; it is not to learn it"},
    {"a call without an answer", chat(USER, CALLS, USER, ANSWER), yes,
      why = "the schema cannot say it; the API refuses such a conversation when the model is asked"},
    {"an answer to no call", chat(USER, RESULT, ANSWER), yes, why = "the same"},
    {"two messages in an output", pref(USER, ANSWER .. "," .. NO, NO), yes,
      why = "the schema has at most two; the guide, and Together, have one"},
    {"no messages at all", '{"tools":[]}', yes, why = "nothing is required there; the guide cannot do without"},
    {"a weight of a user", chat(weighted("user", 1), ANSWER), yes,
      why = "the schema has weight for assistants, and does not close the others"},
  },
}

local PROFILE = {cookbook = "openai", together = "together", schema = "openai"}

for set, rows in pairs(sets) do
  describe("the checks of " .. set, function()
    setup(rules.open)
    teardown(rules.close)

    for _, row in ipairs(rows) do
      local what, text, accepted = table.unpack(row)
      it((row.why and "differ: " or "agree: ") .. what, function()
        local report = rules.report(text, PROFILE[set])
        local ours = #rules.findings({errors = report.errors, warnings = {}}, 1) == 0
        if row.why then
          assert.equal(not accepted, ours, "they agree: there is nothing to argue")
          assert.is_true(#row.why > 0)
        else
          assert.equal(accepted, ours, report.errors[1] and report.errors[1].message)
        end
      end)
    end
  end)
end
