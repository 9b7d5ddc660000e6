-- What the services say of the same examples: each provider's fact `dataset`, by its verdicts.

local core = require "finetune.core"
local finetune = require "finetune"
local rules = require "spec.support.rules"

local USER, ANSWER, SYSTEM, chat, chat_with = rules.USER, rules.ANSWER, rules.SYSTEM, rules.chat, rules.chat_with
local CALL, CALLS, RESULT, TOOL = rules.CALL, rules.CALLS, rules.RESULT, rules.TOOL
local user, image = rules.user, rules.image

local NEUTRAL = "neutral"
local PROVIDERS = {NEUTRAL, "openai", "azure", "together", "fireworks", "nebius", "local"}
local E, W, off = "error", "warning", "none"

local LEGACY = chat(USER, '{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}}',
  '{"role":"function","name":"f","content":"x"}', ANSWER)
local WEIGHTED_USER = chat('{"role":"user","content":"x","weight":0}', ANSWER)
local NO_WEIGHT = chat(USER, '{"role":"assistant","content":"x","weight":0}')
local OBJECT = chat_with('"tools":[' .. TOOL .. "]", USER,
  rules.calling '{"id":"c1","type":"function","function":{"name":"f","arguments":{}}}')
local BROKEN = chat_with('"tools":[' .. TOOL .. "]", USER,
  rules.calling '{"id":"c1","type":"function","function":{"name":"f","arguments":"{"}}')
local PNG = image "data:image/png;base64,iVBORw0KGgo="

local function images(n) return chat(user("[" .. PNG .. ("," .. PNG):rep(n - 1) .. "]"), ANSWER) end

-- {what, rule, the example, neutral, openai, azure, together, fireworks, nebius, local}
local cases = {
  {"two users in a row", "alternation", chat(USER, USER, ANSWER), W, off, W, E, off, W, W},
  {"two answers in a row", "alternation", chat(USER, ANSWER, ANSWER), W, off, W, E, off, W, W},
  {"an answer first", "first_message", chat(ANSWER, USER, ANSWER), W, off, off, E, off, W, W},
  {"a system message later", "system_place", chat(USER, SYSTEM, ANSWER), W, off, off, E, E, W, W},
  {"a user last", "last_message", chat(USER, ANSWER, USER), W, W, W, W, W, E, W},
  {"a call last", "last_call", chat_with('"tools":[' .. TOOL .. "]", USER, CALLS), off, off, off, off, off, E, off},
  {"no user", "no_user", chat(SYSTEM, ANSWER), W, W, W, W, W, W, W},
  {"no answer", "no_assistant", chat(USER), E, E, E, E, E, E, E},
  {"an empty question", "empty_content", chat(user '""', ANSWER), W, W, W, off, W, W, W},
  {"another key", "extra_key", chat_with('"id":7', USER, ANSWER), W, W, W, E, W, W, off},
  {"another key of a message", "unknown_key", chat('{"role":"user","content":"x","mood":1}', ANSWER),
    W, W, W, W, W, W, off},
  {"tools", "tools", chat_with('"tools":[' .. TOOL .. "]", USER, CALLS, RESULT, ANSWER),
    off, off, off, off, off, off, off},
  {"parallel_tool_calls", "parallel_tool_calls", chat_with('"parallel_tool_calls":true', USER, ANSWER),
    off, off, off, E, off, off, off},
  {"a developer", "developer_role", chat('{"role":"developer","content":"x"}', USER, ANSWER),
    off, off, off, E, W, W, off},
  {"a function's answer", "function_role", LEGACY, off, off, off, E, W, W, off},
  {"a function_call", "legacy", LEGACY, off, off, off, E, W, W, off},
  {"a weight of a user", "weight_role", WEIGHTED_USER, E, E, E, off, E, E, W},
  {"nothing that is learned", "no_weight", NO_WEIGHT, E, E, E, W, E, E, W},
  {"a weight of 2", "weight", chat(USER, '{"role":"assistant","content":"x","weight":2}'), E, E, E, E, E, E, E},
  {"a weight of the example", "sample_weight", chat_with('"weight":0.5', USER, ANSWER), W, W, W, off, W, W, off},
  {"reasoning", "reasoning", chat(USER, '{"role":"assistant","content":"x","reasoning_content":"y"}'),
    W, W, W, off, off, W, off},
  {"content in parts", "content_parts", chat(user '[{"type":"text","text":"x"}]', ANSWER),
    off, off, off, off, off, W, off},
  {"an image elsewhere", "image_link", chat(user("[" .. image "https://x.example/a.png" .. "]"), ANSWER),
    off, off, off, E, E, off, off},
  {"eleven images", "too_many_images", images(11), off, off, off, E, off, off, off},
  {"65 images", "too_many_images", images(65), off, E, E, E, off, off, off},
  {"a GIF", "image_type", chat(user("[" .. image "data:image/gif;base64,R0lG" .. "]"), ANSWER), E, E, E, E, E, E, E},
  {"arguments as an object", "arguments", OBJECT, E, E, E, E, E, E, W},
  {"arguments that are no JSON", "arguments_json", BROKEN, E, E, E, E, E, E, W},
  {"a call of another tool", "tool_undeclared", chat_with('"tools":[' .. TOOL .. "]", USER,
    rules.calling '{"id":"c1","type":"function","function":{"name":"g","arguments":"{}"}}'), E, E, E, E, E, E, W},
  {"a call without an answer", "call_unanswered", chat(USER, CALLS, USER, ANSWER), E, E, E, E, E, E, W},
  {"two calls of one id", "call_twice", chat(USER, rules.calling(CALL, CALL)), E, E, E, E, E, E, E},
  {"a tool's name with a blank", "tool_name", chat(USER,
    rules.calling '{"id":"c1","type":"function","function":{"name":"get weather","arguments":"{}"}}'),
    W, E, E, W, W, W, W},
  {"a special token", "special_token", chat(user '"<|im_start|>"', ANSWER), W, W, W, W, W, W, W},
}

describe("the profiles", function()
  setup(rules.open)
  teardown(rules.close)

  for _, case in ipairs(cases) do
    it("judge " .. case[1], function()
      for i, provider in ipairs(PROVIDERS) do
        local name, dataset = provider, nil
        if provider == NEUTRAL then name, dataset = "openai", rules.NEUTRAL end
        assert.equal(case[3 + i], rules.verdicts(case[3], name, dataset)[case[2]] or "none", provider)
      end
    end)
  end

  it("differ: no two services have the same", function()
    local seen = {}
    for i, provider in ipairs(PROVIDERS) do
      local all = {}
      for n, case in ipairs(cases) do all[n] = case[3 + i] end
      local text = table.concat(all, " ")
      assert.is_nil(seen[text], provider .. " judges as " .. tostring(seen[text]))
      seen[text] = provider
    end
  end)

  it("name rules that exist, where it is said, and when that was read", function()
    local known = {}
    for _, row in ipairs(rules.table()) do known[row.id] = true end
    for _, provider in ipairs {"openai", "azure", "together", "fireworks", "nebius", "local", "localai", "slurm"} do
      finetune.get_provider(provider) -- loads it
      local fact = core.facts(provider).dataset
      assert.matches("^%d%d%d%d%-%d%d%-%d%d$", fact.checked, provider)
      assert.is_true(#fact.source > 10, provider)
      for id, severity in pairs(fact.rules) do
        assert.is_true(known[id] ~= nil, provider .. ": " .. id)
        assert.is_true(severity == E or severity == W or severity == "off", provider .. ": " .. id)
      end
    end
    assert.same(core.facts("local").dataset, core.facts("slurm").dataset)
  end)

  it("are changed by whoever asks: silenced, graded down, graded up", function()
    local text = chat(USER, USER, ANSWER)
    local function verdict(severity)
      return rules.verdicts(text, "together", nil, {rules = {alternation = severity}})
    end
    assert.equal(E, rules.verdicts(text, "together").alternation)
    assert.is_nil(verdict "off".alternation)
    assert.equal(W, verdict "warning".alternation)
    assert.equal(E, rules.verdicts(text, "openai", nil, {rules = {alternation = "error"}}).alternation)
  end)

  it("know no other rules and severities", function()
    for id, severity in pairs {alternatoin = "error", alternation = "fatal"} do
      local ok, err = pcall(rules.report, rules.GOOD, "together", nil, {rules = {[id] = severity}})
      assert.is_false(ok)
      assert.matches(id, tostring(err), 1, true)
    end
  end)
end)
