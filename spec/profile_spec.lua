-- csrc/dataset_options.c, dataset.c: what a provider says its service asks of a training file.

local finetune = require "finetune"

local function examples(n)
  local list = {}
  for i = 1, n do
    list[i] = {messages = {{role = "user", content = "2+" .. i}, {role = "assistant", content = tostring(2 + i)}}}
  end
  return list
end

-- The rules and the words of what the report warns of
local function warned(dataset, n)
  local provider <close> = assert(finetune.create_provider("openai", {dataset = dataset}))
  local report = assert(provider:prepare_data(examples(n)))
  local rules = {}
  assert.equal(#report.warnings, report.warning_count)
  for i, warning in ipairs(report.warnings) do
    assert.equal(0, warning.line)
    rules[i] = warning.rule
  end
  return rules, report
end

describe("a provider's dataset profile", function()
  it("says nothing of a file that fits", function()
    assert.same({}, (warned({formats = {"chat"}, min_examples = 3, max_examples = 3, max_bytes = 1000}, 3)))
  end)

  it("warns of too few, too many, too large, and of a format that is not taken", function()
    local rules, report = warned({formats = {"completion", "text"}, min_examples = 4, max_examples = 2,
      max_bytes = 10}, 3)
    assert.same({"min_examples", "max_examples", "max_bytes", "service_format"}, rules)
    assert.equal("this service wants at least 4 examples, and there are 3", report.warnings[1].message)
    assert.equal("this service takes examples of the formats completion, text, not chat", report.warnings[4].message)
    assert.equal(3, report.written)
  end)

  it("is the provider's, unless a setting changes it", function()
    assert.same({"min_examples"}, (warned(nil, 9)))
    assert.same({}, (warned(nil, 10)))
    assert.same({}, (warned({min_examples = 1}, 9)))
  end)

  it("takes values of the wrong type for none", function()
    assert.same({}, (warned({min_examples = 0, max_examples = "few", max_bytes = {}, formats = "text"}, 3)))
    assert.same({}, (warned({min_examples = 0, formats = {1, true, "odd"}}, 3)))
  end)
end)
