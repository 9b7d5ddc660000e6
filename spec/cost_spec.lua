-- What a job will cost: tokens, epochs, price, and what each rests on.
local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local path
setup(function() path = os.tmpname() end)
teardown(function() os.remove(path) end)

local function write(text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local function near(wanted, got) assert.is_true(math.abs(wanted - got) < 1e-9, ("%s, not %s"):format(got, wanted)) end

describe("estimate_cost", function()
  it("is billable tokens x epochs x the price of a million", function()
    local got = assert(finetune.estimate_cost {tokens = 1500000, examples = 100, epochs = 2, price = 4})
    near(12, got.total)
    assert.same({3000000, 2, "given", "USD", false},
      {got.billable_tokens, got.epochs, got.epochs_source, got.currency, got.estimated})
    assert.same({per_million = 4, currency = "USD", source = "given"}, got.price)
    assert.equal("EUR", finetune.estimate_cost({tokens = 1, epochs = 1, price = 4, currency = "EUR"}).currency)
  end)

  it("bills evaluations where they are given", function()
    local got = finetune.estimate_cost {tokens = 1000, epochs = 2, price = 1, validation_tokens = 50, evaluations = 3}
    assert.equal(2150, got.billable_tokens)
  end)

  for examples, epochs in pairs {[1] = 25, [3] = 25, [4] = 25, [5] = 20, [10] = 10, [33] = 3, [34] = 3, [8333] = 3,
    [8334] = 2, [12500] = 2, [12501] = 1, [100000] = 1} do
    it(("trains on %d examples for %d epochs, as OpenAI's cookbook has it"):format(examples, epochs), function()
      local got = assert(finetune.estimate_cost {tokens = 1, examples = examples})
      assert.equal(epochs, got.epochs)
      assert.matches("cookbook", got.epochs_source)
    end)
  end

  it("has each service's own default epochs, or asks for them", function()
    assert.equal(1, finetune.estimate_cost({provider = "together", tokens = 1, examples = 10}).epochs)
    assert.equal(10, finetune.estimate_cost({provider = "azure", tokens = 1, examples = 10}).epochs)
    local nothing, err = finetune.estimate_cost {provider = "fireworks", tokens = 1, examples = 10}
    assert.is_nil(nothing)
    assert.matches("give epochs", err.message)
    assert.matches("examples", select(2, finetune.estimate_cost {tokens = 1}).message)
  end)

  for model, price in pairs {["gpt-4.1-2025-04-14"] = 25, ["gpt-4.1-mini-2025-04-14"] = 5,
    ["gpt-4.1-nano-2025-04-14"] = 1.5, ["gpt-4o-2024-08-06"] = 25, ["gpt-4o-mini-2024-07-18"] = 3,
    ["ft:gpt-4o-mini-2024-07-18:acme::id"] = 3,
    ["gpt-3.5-turbo-0125"] = 8} do
    it("has a dated price for " .. model, function()
      local got = assert(finetune.estimate_cost {model = model, tokens = 1000000, epochs = 1})
      near(price, got.total)
      assert.matches("^%d%d%d%d%-%d%d%-%d%d$", got.price.date)
      assert.matches("^https://", got.price.source)
    end)
  end

  it("has no price where it knows none", function()
    for _, p in ipairs {{model = "o4-mini-2025-04-16"}, {model = "llama"}, {},
      {provider = "azure", model = "gpt-4o"}} do
      p.tokens, p.epochs = 10, 1
      local got = assert(finetune.estimate_cost(p))
      assert.same({10}, {got.billable_tokens, got.total, got.price})
    end
  end)

  it("counts a file, and says that it is an estimate where there is no vocabulary", function()
    local got = assert(finetune.estimate_cost {path = "examples/data/support.jsonl", price = 1, epochs = 1})
    assert.is_true(got.estimated)
    assert.is_true(got.tokens > 1000 and got.learned > 0 and got.examples > 100)
    local sum = 0
    for line in io.lines "examples/data/support.jsonl" do sum = sum + core.tokens.example(line) end
    assert.equal(sum, got.tokens)
  end)

  it("cuts examples at max_example_tokens, passes over empty lines, and needs no end of the last", function()
    local line = '{"text": "' .. ("one "):rep(100) .. '"}'
    local one = core.tokens.example(line)
    write(line .. "\n\n  \r\n" .. line)
    local got = assert(finetune.estimate_cost {path = path, epochs = 1})
    assert.same({2 * one, 2}, {got.tokens, got.examples})
    assert.equal(20, finetune.estimate_cost({path = path, epochs = 1, max_example_tokens = 10}).tokens)
  end)

  it("takes lines that are longer than what is read at a time", function()
    local line = '{"text": "' .. ("word "):rep(200000) .. '"}'
    write((line .. "\n"):rep(3))
    assert.equal(3 * core.tokens.example(line), finetune.estimate_cost({path = path, epochs = 1}).tokens)
  end)

  it("names the line that is none", function()
    write '{"text": "a"}\n{"text": \n'
    local nothing, err = finetune.estimate_cost {path = path, epochs = 1}
    assert.is_nil(nothing)
    assert.equal("data", err.kind)
    assert.matches("line 2", err.message)
  end)

  it("reads only regular files", function()
    os.remove(path)
    shell.run("mkfifo " .. shell.quote(path))
    for _, where in ipairs {path, "/", "/nowhere/x"} do
      assert.equal("data", select(2, finetune.estimate_cost {path = where, epochs = 1}).kind)
    end
  end)

  it("lets others go on while it counts", function()
    os.remove(path)
    write(('{"text": "%s"}\n'):format(("some words "):rep(1000)):rep(300))
    local others, done = 0, false
    finetune.run(function()
      assert(finetune.estimate_cost {path = path, epochs = 1})
      done = true
    end, function()
      while not done do
        finetune.sleep(0)
        others = others + 1
      end
    end)
    assert.is_true(others >= 5)
  end)

  it("takes a report whose tokens were counted", function()
    local report = {examples = 12, written = 10, tokens = {total = 500, learned = 20, estimated = true}}
    local got = assert(finetune.estimate_cost {report = report, price = 1000000})
    assert.same({500, 20, 10, 10, true, 5000.0},
      {got.tokens, got.learned, got.examples, got.epochs, got.estimated, got.total})
    assert.equal("invalid", select(2, finetune.estimate_cost {report = {examples = 1}}).kind)
  end)

  it("raises for parameters that are wrong", function()
    for _, p in ipairs {{}, {tokens = 1, path = "x"}, {tokens = -1}, {tokens = 1, price = -1},
      {tokens = 1, price = 1 / 0}, {tokens = 1, epochs = 0}, {tokens = 1, epoch = 1}, {tokens = "1"}} do
      assert.error_matches(function() finetune.estimate_cost(p) end, "estimate_cost")
    end
    assert.error(function() finetune.estimate_cost() end)
  end)
end)
