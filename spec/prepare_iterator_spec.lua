-- prepare_data of an iterator's examples: compared with a validation file as an array's are; pulled in turns with
-- others, however many come without waiting; and progress is told meanwhile.

local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local function answer(words) return data.chat(data.USER, ('{"role":"assistant","content":"%s"}'):format(words)) end

-- An iterator over these, and a counter of what it was asked for
local function over(list)
  local asked = {n = 0}
  return function()
    asked.n = asked.n + 1
    return list[asked.n]
  end, asked
end

local function many(n)
  local list = {}
  for i = 1, n do list[i] = answer("a" .. i) end
  return list
end

describe("prepare_data of an iterator", function()
  local box, prepare

  before_each(function()
    box = data.box()
    prepare = function(...) return box.provider:prepare_data(...) end
  end)
  after_each(function() box.close() end)

  describe("with a validation file", function()
    local function validation(...) return box.write("v.jsonl", table.concat({...}, "\n") .. "\n") end

    it("finds what is in both, and says which one of the iterator's it is", function()
      local path = validation(answer "x", answer "y", answer "b")
      for _, examples in ipairs {{answer "a", answer "b", 7}, (over {answer "a", answer "b", 7})} do
        local report, err = prepare(examples, {validation_path = path})
        assert.is_nil(report)
        assert.equal("data", err.kind)
        assert.equal(1, err.report.leaked)
        local leaked, wrong = table.unpack(err.report.errors)
        assert.same({"leaked_validation", 2}, {leaked.rule, leaked.line})
        assert.same({"example", 3}, {wrong.rule, wrong.line})
        assert.is_nil(leaked.file)
        assert.is_nil(wrong.file)
      end
    end)

    it("takes the others", function()
      local report = assert(prepare((over {answer "a", answer "b"}),
        {validation_path = validation(answer "b"), skip_invalid = true, output = box.path "o.jsonl"}))
      assert.same({1, 1, 2}, {report.leaked, report.written, report.examples})
      assert.equal(answer "a" .. "\n", box.read "o.jsonl")
    end)

    it("pulls nothing where that cannot be read, or more is asked than goes together", function()
      local cases = {
        {{validation_path = box.path "nope.jsonl"}, "data", "cannot read .*nope.jsonl: No such file"},
        {{validation_path = box.dir}, "data", "Is a directory"},
        {{validation_path = validation(answer "b"), validation = 0.5}, "usage", "give one of them"},
        {{validation_path = ""}, "usage", "validation_path must be a file's name"},
        {{validation_path = 5}, nil, "validation_path"},
      }
      for _, case in ipairs(cases) do
        local examples, asked = over {answer "a"}
        case[1].output = box.path "out.jsonl"
        local ok, report, err = pcall(prepare, examples, case[1])
        assert.is_true(not ok or report == nil)
        assert.matches(case[3], tostring(ok and err or report))
        assert.equal(case[2], ok and err.kind or nil)
        assert.equal(0, asked.n)
        assert.is_nil(box.read "out.jsonl")
      end
    end)

    it("waits for it, a pipe say, while others go on", function()
      shell.must("mkfifo " .. shell.quote(box.path "pipe"))
      local slow = "{ until [ -e %s ]; do sleep 0.01; done; cat %s; } > %s"
      local writer = io.popen(slow:format(shell.quote(box.path "go"), shell.quote(validation(answer "b")),
        shell.quote(box.path "pipe")))
      local ticks, done = 0, false
      local results, errors = finetune.run(function()
        local report, err = prepare((over {answer "b"}), {validation_path = box.path "pipe"})
        done = true
        return report, err
      end, function()
        while not done do
          finetune.sleep(0.005)
          ticks = ticks + 1
          if ticks == 5 then box.write("go", "") end
        end
      end)
      writer:close()
      assert.is_nil(results[1])
      assert.equal(1, errors[1].report.leaked)
      assert.is_true(ticks >= 5, ticks)
    end)

    it("is compared with it where nobody can wait: in a callback", function()
      local path, call = validation(answer "b"), nil
      local first = box.provider:async("prepare_data", {answer "x"})
      first:on_done(function()
        call = box.provider:async("prepare_data", (over {answer "a", answer "b"}), {validation_path = path})
      end)
      first:await()
      finetune.step(0)
      local report, err = call:await()
      assert.is_nil(report)
      assert.equal(1, err.report.leaked)
    end)
  end)

  it("lets others go on, though it never waits", function()
    local worst, ticks, k, done = 0, 0, 0, false
    local function each()
      k = k + 1
      return k <= 200000 and answer("a" .. k) or nil
    end
    local _, errors = finetune.run(function()
      local last = 0
      while not done do
        finetune.sleep(0.001)
        worst, last, ticks = math.max(worst, k - last), k, ticks + 1
      end
    end, function()
      assert(prepare(each, {output = box.path "out.jsonl"}))
      done = true
    end)
    assert.same({}, errors)
    assert.is_true(worst < 20000, worst .. " examples without a turn")
    assert.is_true(ticks >= 200000 // 20000, ticks)
  end)

  it("lets the calls of a plain script go on", function()
    local ended
    local call = box.provider:async("prepare_data", {answer "x"})
    call:on_done(function() ended = true end)
    local seen
    local each = over(many(50000))
    assert(prepare(function()
      seen = seen or ended
      return each()
    end, {output = false}))
    assert.is_true(seen)
  end)

  it("takes them all at once where nobody can wait", function()
    local call
    local first = box.provider:async("prepare_data", {answer "x"})
    first:on_done(function() call = box.provider:async("prepare_data", (over(many(5000)))) end)
    first:await()
    finetune.step(0)
    assert.equal(5000, assert(call:await()).examples)
  end)

  it("tells progress while it is pulled, and the whole at the end", function()
    local list, told = many(200000), {}
    list[1000] = 5
    local report, err = prepare((over(list)), {output = false, on_progress = function(bytes, all, counts)
      told[#told + 1] = {bytes = bytes, all = all, counts = counts}
    end})
    assert.is_nil(report)
    assert.is_true(#told >= 3, #told)
    for i, now in ipairs(told) do
      local before, last = told[i - 1], i == #told
      assert.equal(last and now.bytes or 0, now.all)
      assert.is_true(not before or now.bytes >= before.bytes and now.counts.examples >= before.counts.examples)
      assert.equal(now.counts.examples >= 1000 and 1 or 0, now.counts.errors)
    end
    assert.equal(err.report.examples, told[#told].counts.examples)
  end)

  it("ends where its progress raises: that call, and no other", function()
    local function raising()
      return prepare((over(many(50000))), {output = box.path "out.jsonl", on_progress = function() error "mine" end})
    end
    assert.matches("mine", select(2, pcall(raising)), 1, true)
    assert.same({}, box.names())
    local results, errors = finetune.run(raising, function() return finetune.sleep(0.001) end)
    assert.matches("mine", errors[1], 1, true)
    assert.is_true(results[2])
    assert.same({}, box.names())
    assert.equal(0, finetune.pending())
  end)
end)
