-- prepare_data finds what says the same: whichever way the examples come, as many as there are. Each example here is a
-- number and a spelling of it, so that it is known what says the same.

local data = require "spec.support.dataset"
local shell = require "spec.support.shell"

local N = 600

-- Alike in length and in how they begin, as answers to one prompt are
local function spelled(number, way)
  local question, answer = ("the same question \u{e9} %03d"):format(number), ("a/b %03d"):format(number)
  if way == 1 then question = question:gsub("\u{e9}", "\\u00E9") end
  if way == 2 then answer = answer:gsub("/", "\\/"):gsub("^a", "\\u0061") end
  local role, content = '"role":"user"', '"content":"' .. question .. '"'
  local user = way == 3 and ("{ %s , %s }"):format(content, role) or ("{%s,%s}"):format(role, content)
  return data.chat(user, '{"role":"assistant","content":"' .. answer .. '"}')
end

describe("prepare_data, of examples that say the same,", function()
  local box
  before_each(function() box = data.box() end)
  after_each(function() box.close() end)

  -- texts, and how many of them were there before; one in `share` is a new one
  local function examples(share)
    local list, seen, twice = {}, {}, 0
    math.randomseed(share)
    for i = 1, N do
      local number = math.random(share) == 1 and i or math.random(i)
      twice = twice + (seen[number] and 1 or 0)
      seen[number] = true
      list[i] = spelled(number, math.random(0, 3))
    end
    return list, twice
  end

  local function lines(list, from, to) return table.concat(list, "\n", from or 1, to or #list) .. "\n" end

  local function packed(name, text)
    shell.must("gzip -kf " .. shell.quote(box.write(name, text)))
    return box.path(name .. ".gz")
  end

  local WAYS = {
    {"of a file", function(list) return box.write("a.jsonl", lines(list)) end},
    {"behind a byte order mark, in lines of another system, some blank", function(list)
      return box.write("a.jsonl", "\u{feff}" .. lines(list):gsub("\n", "\r\n\r\n"))
    end},
    {"of an array", function(list) return box.write("a.json", "[" .. table.concat(list, " ,\n ") .. "]") end},
    {"of a packed file", function(list) return packed("a.jsonl", lines(list)) end},
    {"of three files, one of them packed", function(list)
      return {box.write("a.jsonl", lines(list, 1, N // 3)), packed("b.jsonl", lines(list, N // 3 + 1, N // 2)),
        box.write("c.jsonl", lines(list, N // 2 + 1))}
    end},
    {"of three files, the first of them packed", function(list)
      return {packed("b.jsonl", lines(list, 1, N // 3)), box.write("a.jsonl", lines(list, N // 3 + 1, N // 2)),
        box.write("c.jsonl", lines(list, N // 2 + 1))}
    end},
  }

  for _, way in ipairs(WAYS) do
    it("counts and leaves out those " .. way[1], function()
      for _, share in ipairs {1, 2, 20} do
        local list, twice = examples(share)
        local path = way[2](list)
        local report = assert(box.provider:prepare_data {path = path, output = false})
        assert.equal(N, report.examples)
        assert.equal(twice, report.duplicates)
        assert.equal(twice > 0 and twice or nil, report.rules.duplicate_example)
        report = assert(box.provider:prepare_data {path = path, dedupe = true})
        assert.equal(N - twice, report.written)
        report = assert(box.provider:prepare_data {path = path, dedupe = true, to = "sharegpt"})
        assert.equal(N - twice, report.written)
      end
    end)
  end

  it("finds those of the validation file, however that one is written", function()
    local list = {}
    for i = 1, 300 do list[i] = spelled(i, i % 4) end
    local held = {}
    for i = 1, 40 do held[i] = spelled(7 * i, (i + 1) % 4) end -- all of them among the 300
    local plain = box.write("held.jsonl", lines(held))
    for _, path in ipairs {plain, packed("held.jsonl", lines(held))} do
      local report, err = box.provider:prepare_data {path = box.write("a.jsonl", lines(list)), validation_path = path,
        output = false}
      assert.is_nil(report)
      assert.equal(40, err.report.leaked)
      assert.equal(40, err.report.rules.leaked_validation)
    end
  end)

  it("finds them among what a script gives", function()
    local list, twice = examples(3)
    local values, i = {}, 0
    for k, text in ipairs(list) do values[k] = assert(require "dkjson".decode(text)) end
    local report = assert(box.provider:prepare_data {examples = values, output = false})
    assert.equal(twice, report.duplicates)
    report = assert(box.provider:prepare_data {output = false, examples = function()
      i = i + 1
      return values[i]
    end})
    assert.equal(twice, report.duplicates)
  end)

  -- Answers that are short, or begin with the same words, look alike, and would be told at once
  local function example(answer)
    return data.chat(data.USER, ('{"role":"assistant","content":"%s is the answer"}'):format(answer))
  end

  -- Writes `text` to the file, where it stands, when progress is told first: behind the first slice, which ends a file
  -- so small however little time it has
  local function meanwhile(path, text)
    local written = false
    return function()
      if written then return end
      written = true
      local file = assert(io.open(path, "r+b"))
      assert(file:write(text))
      assert(file:close())
    end
  end

  it("says so where a file is written to that has to be read again", function()
    local many = {}
    for i = 1, 60000 do many[i] = example("pad " .. i) end -- more than a slice
    local first = box.path "a.jsonl"
    local second = box.write("b.jsonl", lines(many) .. lines {example "aaaa", example "bbbb", example "cccc"})
    local function prepare(change, params)
      box.write("a.jsonl", lines {example "aaaa", example "bbbb"})
      shell.must("touch -t 202001010000 " .. shell.quote(first)) -- the clock of files may stand still for 10 ms
      params.on_progress = meanwhile(first, lines(change))
      params.rules = {min_examples = "off"}
      return box.provider:prepare_data(params)
    end
    for _, params in ipairs {
      {path = {first, second}, dedupe = true, output = box.path "out.jsonl"},
      {path = second, validation_path = first, skip_invalid = true, output = box.path "out.jsonl"},
    } do
      local report, err = prepare({example "cccc", example "dddd"}, params)
      assert.is_nil(report)
      assert.equal("data", err.kind)
      assert.matches("a%.jsonl: somebody wrote to it while it was read", tostring(err))
      assert.is_nil(box.read "out.jsonl")
      -- where nobody is misled it is a word of warning
      params.path = box.write("c.jsonl", lines(many))
      if not params.validation_path then params.path = {first, params.path} end
      report = assert(prepare({example "cccc", example "dddd"}, params))
      assert.equal(1, report.rules.changed)
      assert.equal(first, report.warnings[1].file)
      os.remove(box.path "out.jsonl")
    end
  end)

  it("warns of a validation file of which not all can be read", function()
    for text, words in pairs {[""] = "there is no example in the validation file",
      ["{\n" .. lines {example "a"}] = "1 of its 2 examples cannot be read, and were not looked for"} do
      local held = box.write("held.jsonl", text)
      local report = assert(box.provider:prepare_data {path = box.write("a.jsonl", lines {example "b"}),
        validation_path = held, output = false})
      assert.equal(1, report.rules.validation_file)
      local told = data.find(report.warnings, "validation_file")
      assert.same({held, words}, {told.file, told.message})
    end
  end)

  it("names no file in what it finds in a script's examples, also with a validation file", function()
    local held = box.write("held.jsonl", lines {example "a"})
    local _, err = box.provider:prepare_data({example "b", '{"messages": ['}, {validation_path = held})
    local told = err.report.errors[1]
    assert.same({nil, 2}, {told.file, told.line})
    assert.matches("example 2", tostring(err), 1, true)
  end)

  it("knows one answer in two spellings", function()
    local report = assert(box.provider:prepare_data {path = box.write("a.jsonl",
      lines {data.chat('{"role":"user","content":"1"}', '{"role":"assistant","content":"x"}'),
        data.chat('{"role":"user","content":"2"}', '{"role":"assistant","content":"\\u0078"}')}), output = false})
    assert.equal(1, report.rules.one_answer)
  end)
end)
