-- prepare_data: what it makes of good examples: another format, no duplicates, two sides, an order of chance, fewer
-- messages. What the pieces do by themselves is in convert_spec.lua.

local data = require "spec.support.dataset"

local chat = data.chat

local function talk(question, answer)
  return chat(('{"role":"user","content":"%s"}'):format(question),
    ('{"role":"assistant","content":"%s"}'):format(answer))
end

local function numbered(n)
  local lines = {}
  for i = 1, n do lines[i] = talk("question " .. i, "answer " .. i) end
  return lines
end

local function text_of(lines)
  return table.concat(lines, "\n") .. "\n"
end

local function split(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

local function sorted(lines)
  local copy = table.move(lines, 1, #lines, 1, {})
  table.sort(copy)
  return copy
end

describe("prepare_data", function()
  local box, path, read, names, prepare, refused

  before_each(function()
    box = data.box()
    path, read, names, prepare, refused = box.path, box.read, box.names, box.prepare, box.refused
  end)
  after_each(function() box.close() end)

  describe("to another format", function()
    it("writes what says the same", function()
      local report = assert(prepare(text_of {talk("q\\u00e9", "a/"), talk("", "\\n")}, {to = "completion"}))
      assert.equal('{"prompt":"q\\u00e9","completion":"a/"}\n{"prompt":"","completion":"\\n"}\n', report.text)
      assert.equal("chat", report.source_format)
      assert.equal("completion", report.format)
    end)

    it("and back gives the same examples", function()
      local text = text_of(numbered(20))
      for _, to in ipairs {"completion", "sharegpt", "instruction"} do
        local there = assert(prepare(text, {to = to})).text
        assert.not_equal(text, there)
        assert.equal(text, assert(prepare(there, {to = "chat"})).text)
      end
    end)

    it("copies what is in it already byte for byte", function()
      local odd = ' {"messages" : [{"content":"\\u0071\\/","role":"user"},' .. data.ANSWER .. "] } "
      assert.equal(odd .. "\n", assert(prepare(odd, {to = "chat"})).text)
    end)

    it("refuses to lose anything, and says where it is", function()
      local named = chat('{"role":"user","content":"q","name":"n"}', data.ANSWER)
      local report = refused(text_of {data.GOOD, named}, {to = "completion", output = path "out.jsonl"})
      assert.equal(1, report.error_count)
      local e = report.errors[1]
      assert.equal(2, e.line)
      assert.equal(named:find('"n"}', 1, true) + 1, e.column)
      assert.equal('"name" of messages[0] has no place in prompt/completion', e.message)
      assert.same({"raw.jsonl"}, names())
    end)

    it("loses what it is told to, or leaves the example out", function()
      local named = chat('{"role":"user","content":"q","name":"n"}', data.ANSWER)
      local report = assert(prepare(named, {to = "completion", drop = {"name"}}))
      assert.equal('{"prompt":"q","completion":"yes"}\n', report.text)
      report = assert(prepare(text_of {named, data.GOOD}, {to = "completion", skip_invalid = true}))
      assert.equal('{"prompt":"hi","completion":"yes"}\n', report.text)
      assert.equal(1, report.invalid)
    end)
  end)

  describe("without duplicates", function()
    it("keeps the first of those that say the same", function()
      local same = {'{"messages":[{"role":"user","content":"\\u00e9/"},' .. data.ANSWER .. "]}",
        '{ "messages" : [ {"content":"é\\/", "role":"us\\u0065r"} ,' .. data.ANSWER .. " ] }",
        '{"messages":[{"role":"user","content":"e/"},' .. data.ANSWER .. "]}"}
      local report = assert(prepare(text_of {same[1], same[2], same[3], same[1], same[2]}, {dedupe = true}))
      assert.equal(text_of {same[1], same[3]}, report.text)
      assert.equal(3, report.duplicates)
      assert.equal(2, report.written)
    end)

    it("keeps all of them unasked", function()
      local text = text_of {data.GOOD, data.GOOD}
      assert.equal(text, assert(prepare(text, {rules = {duplicate_example = "warning"}})).text)
    end)

    it("does so for many", function()
      local lines = numbered(3000)
      local twice = table.move(lines, 1, #lines, #lines + 1, table.move(lines, 1, #lines, 1, {}))
      local report = assert(prepare(text_of(twice), {dedupe = true}))
      assert.equal(3000, report.duplicates)
      assert.is_true(report.text == text_of(lines))
    end)
  end)

  describe("in two sides", function()
    local function sides(lines, options)
      options.output = path "out.jsonl"
      assert(prepare(text_of(lines), options))
      return split(read "out.jsonl"), split(read "out.validation.jsonl")
    end

    it("divides by what the example says, not by where it stands", function()
      local lines = numbered(2000)
      local training, validation = sides(lines, {validation = 0.1, seed = 5})
      assert.near(200, #validation, 70) -- 5 standard deviations
      assert.equal(2000, #training + #validation)
      local there = {}
      for _, line in ipairs(validation) do there[line] = true end
      local reversed = {}
      for i, line in ipairs(lines) do reversed[#lines + 1 - i] = line:gsub('{"role"', '{ "role"') end
      local _, again = sides(reversed, {validation = 0.1, seed = 5})
      assert.equal(#validation, #again)
      for _, line in ipairs(again) do assert.is_true(there[(line:gsub('{ "role"', '{"role"'))]) end
    end)

    it("divides otherwise for another seed, and keeps what was chosen for a greater share", function()
      local lines = numbered(1000)
      local _, first = sides(lines, {validation = 0.1, seed = 1})
      local _, other = sides(lines, {validation = 0.1, seed = 2})
      assert.not_same(first, other)
      local _, more = sides(lines, {validation = 0.3, seed = 1})
      local there = {}
      for _, line in ipairs(more) do there[line] = true end
      for _, line in ipairs(first) do assert.is_true(there[line]) end
    end)

    it("never has a duplicate on both", function()
      local lines = numbered(300)
      local twice = table.move(lines, 1, #lines, #lines + 1, table.move(lines, 1, #lines, 1, {}))
      local training, validation = sides(twice, {validation = 0.5, rules = {duplicate_example = "off"}})
      local there = {}
      for _, line in ipairs(training) do there[line] = true end
      for _, line in ipairs(validation) do assert.is_nil(there[line]) end
      assert.equal(600, #training + #validation)
    end)
  end)

  describe("in an order of chance", function()
    it("writes every line once, as it is, in the same order for a seed", function()
      local lines = numbered(500)
      local function order(options)
        return split(assert(prepare(text_of(lines), options)).text)
      end
      local first = order {shuffle = true, seed = 3}
      assert.not_same(lines, first)
      assert.same(sorted(lines), sorted(first))
      assert.same(first, order {shuffle = true, seed = 3})
      assert.same(first, order {shuffle = 3})
      assert.not_same(first, order {shuffle = true, seed = 4})
    end)

    it("gives a file the order of a text, and leaves nothing else behind", function()
      local lines = numbered(3000)
      local text = assert(prepare(text_of(lines), {shuffle = 9})).text
      local report = assert(prepare(text_of(lines), {shuffle = 9, output = path "out.jsonl"}))
      assert.is_true(text == read "out.jsonl")
      assert.equal(#text, report.bytes)
      assert.equal(3000, report.written)
      assert.same({"out.jsonl", "raw.jsonl"}, names())
    end)
  end)

  describe("with max_examples", function()
    it("writes the first ones", function()
      local lines = numbered(50)
      local report = assert(prepare(text_of(lines), {max_examples = 7}))
      assert.equal(text_of(table.move(lines, 1, 7, 1, {})), report.text)
      assert.equal(7, report.written)
      assert.equal(50, assert(prepare(text_of(lines), {max_examples = 70})).written)
    end)

    it("writes some of all where they are shuffled", function()
      local lines = numbered(500)
      for _, output in ipairs {false, path "out.jsonl"} do
        local report = assert(prepare(text_of(lines), {max_examples = 20, shuffle = 1, output = output or nil}))
        local some = split(report.text or read "out.jsonl")
        assert.equal(20, #some)
        assert.equal(20, report.written)
        local there, late = {}, 0
        for i, line in ipairs(lines) do there[line] = i end
        for _, line in ipairs(some) do
          late = late + (there[line] > 250 and 1 or 0)
          there[line] = nil -- none comes twice
        end
        assert.is_true(late > 1 and late < 19)
      end
    end)
  end)

  describe("with too many messages", function()
    local function message(role, content) return ('{"role":"%s","content":"%s"}'):format(role, content) end
    local long = chat(message("system", "s"), message("user", "one"), message("assistant", "1"),
      message("user", "two"), message("assistant", "22"))
    local short = chat(message("system", "s"), message("user", "two"), message("assistant", "22"))

    it("leaves out the oldest, whole", function()
      for _, options in ipairs {{max_messages = 3}, {max_messages = 4}, {max_characters = 9}, {max_characters = 6}} do
        local report = assert(prepare(text_of {long, short}, options))
        assert.equal(text_of {short, short}, report.text)
        assert.equal(1, report.shortened)
      end
      assert.equal(long .. "\n", assert(prepare(long, {max_messages = 5})).text)
      assert.equal(long .. "\n", assert(prepare(long)).text)
    end)

    it("refuses where that is not enough, and never cuts text", function()
      local report = refused(long, {max_characters = 5})
      assert.equal(1, report.error_count)
      assert.matches("too long", report.errors[1].message)
    end)
  end)
end)
