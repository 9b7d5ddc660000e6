-- providers/recipes/fasttext.lua with the real fastText: what it takes and refuses, what it
-- writes, what comes out. The provider `local` around it has specs of its own.

local core = require "finetune.core"
local shell = require "spec.support.shell"

local R = dofile "providers/recipes/fasttext.lua"
local root, quote = shell.root, shell.quote
local TRAINING = root .. "/examples/data/support.jsonl"
local HELD_OUT = root .. "/examples/data/support_valid.jsonl"

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function lines(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = line end
  return list
end

describe("the recipe fasttext", function()
  local tmp, number

  lazy_setup(function() tmp, number = shell.folder(), 0 end)
  lazy_teardown(function() shell.remove(tmp) end)

  -- A file of {user, label} pairs, or of whole examples
  local function data(examples)
    number = number + 1
    local path, list = ("%s/data-%d.jsonl"):format(tmp, number), {}
    for i, e in ipairs(examples) do
      local doc = e.messages and e
        or {messages = {{role = "user", content = e[1]}, {role = "assistant", content = e[2]}}}
      list[i] = core.encode(doc) .. "\n"
    end
    assert(core.fs.write(path, table.concat(list)))
    return path
  end

  -- n examples of each label
  local function of_labels(labels, n)
    local list = {}
    for i = 1, n do
      for _, label in ipairs(labels) do
        list[#list + 1] = {("message %d about %s things"):format(i, core.escape(label):gsub("%%", "x")), label}
      end
    end
    return list
  end

  local function new_job(fields)
    number = number + 1
    local dir = ("%s/job '%d"):format(tmp, number)
    assert(core.fs.mkdir(dir))
    assert(core.fs.mkdir(dir .. "/out"))
    local job = {dir = dir, out = dir .. "/out", settings = {}, seed = 7, pauses = 0}
    job.pause = function() job.pauses = job.pauses + 1 end
    for key, value in pairs(fields) do job[key] = value end
    return job
  end

  -- As finetune-run would: one step after another, in the job's directory
  local function run(job)
    for i, step in ipairs(assert(R.steps(job))) do
      local words = {}
      for n, word in ipairs(step.argv) do words[n] = quote(word) end
      shell.must(("exec %s >%s 2>>log"):format(table.concat(words, " "), quote(step.stdout or "stdout-" .. i)),
        {cwd = job.dir})
    end
    return job
  end

  local function train(fields)
    local job = new_job(fields)
    assert(R.layout(job))
    return run(job)
  end

  local function refuses(fields, ...)
    local ok, err = R.layout(new_job(fields))
    assert.is_nil(ok)
    assert.equal("data", err.kind)
    for _, words in ipairs {...} do assert.truthy(err.message:find(words, 1, true), err.message) end
  end

  local function ask(dir, params)
    local command = assert(R.sample({dir = dir}, params))
    local words = {}
    for n, word in ipairs(command.argv) do words[n] = quote(word) end
    assert(core.fs.write(tmp .. "/question", command.stdin))
    return assert(R.parse(shell.must(("exec %s <%s/question"):format(table.concat(words, " "), tmp))))
  end

  describe("trained on the demo's data", function()
    local job, result

    lazy_setup(function()
      job = train {training = TRAINING, validation = HELD_OUT}
      result = assert(R.result(job))
    end)

    it("is right far more often than the most frequent label", function()
      assert.equal(136, result.metrics.held_out)
      assert.equal(607, result.metrics.examples)
      assert.is_true(result.metrics.accuracy > 0.7 and result.metrics.accuracy < 0.95, result.metrics.accuracy)
      assert.is_true(result.metrics.majority_accuracy < 0.2)
      assert.equal("billing", result.majority.label)
    end)

    it("tells precision and recall of each label, and confusions, that add up", function()
      assert.equal(7, #result.labels)
      local examples, right, wrong = 0, 0, 0
      for _, row in ipairs(result.labels) do
        assert.is_true(row.precision > 0.4 and row.precision <= 1 and row.recall > 0.4 and row.recall <= 1, row.label)
        examples, right = examples + row.examples, right + row.correct
      end
      for _, pair in ipairs(result.confusion) do wrong = wrong + pair.count end
      assert.equal(136, examples)
      assert.equal(136, right + wrong)
      assert.near(right / 136, result.metrics.accuracy, 1e-12)
    end)

    it("has events of the training and of the end", function()
      local text = read(job.dir .. "/log")
      local events = R.events(job, text, nil)
      assert.is_true(#events >= 1)
      local last = events[#events]
      assert.equal(607 * 50, last.step)
      assert.equal(607 * 50, last.total_steps)
      assert.equal(50, last.epoch)
      assert.is_true(last.loss > 0 and last.loss < 1.5)
      assert.same({}, R.events(job, text, last)) -- nothing twice
      assert.near(result.metrics.accuracy, result.events[1].valid_accuracy, 1e-12)
      assert.matches("held%-out accuracy %d+%.%d %% %(%d+ of 136%); majority class 15.4 %% %(always 'billing'%)",
        result.events[1].message)
      assert.equal(3, #result.events)
      assert.matches("^precision and recall: billing %d+%.%d %% and %d+%.%d %%, ", result.events[2].message)
      assert.matches("^taken for another: [%w-]+ for [%w-]+ %d x, .* and %d+ more$", result.events[3].message)
    end)

    it("asks for the result again without harm", function()
      assert.same(result.metrics, assert(R.result(job)).metrics)
    end)

    it("answers with a label and the probabilities of all", function()
      local answer = ask(job.out, {messages = {{role = "system", content = "Answer with one label."},
        {role = "user", content = "We were charged twice,\nplease send the money back"}}})
      assert.equal("billing", answer.text)
      local sum, n = 0, 0
      for _, p in pairs(answer.probabilities) do sum, n = sum + p, n + 1 end
      assert.equal(7, n)
      assert.near(1, sum, 0.01)
      assert.is_true(answer.probabilities.billing > 0.5)
      assert.equal("privacy", ask(job.out, {prompt = "Where do you store our data?"}).text)
      local two = ask(job.out, {prompt = "Where do you store our data?", top_k = 2}).probabilities
      assert.is_number(two.privacy)
      assert.is_number(next(two, next(two)) and two[next(two, next(two))])
      assert.is_nil(next(two, next(two, next(two))))
    end)

    it("gives the same model file, byte for byte, from the same data and seed", function()
      local again = train {training = TRAINING, validation = HELD_OUT}
      assert.is_true(read(job.out .. "/model.bin") == read(again.out .. "/model.bin"))
      local other = train {training = TRAINING, validation = HELD_OUT, seed = 8}
      assert.is_false(read(job.out .. "/model.bin") == read(other.out .. "/model.bin"))
    end)

    it("goes on from its word vectors", function()
      local more = train {training = TRAINING, validation = HELD_OUT, settings = {n_epochs = 5},
        base = {dir = job.out}}
      assert.matches("%-dim 30 .*%-pretrainedVectors base%.vec", table.concat(R.steps(more)[1].argv, " "))
      local fresh = train {training = TRAINING, validation = HELD_OUT, settings = {n_epochs = 5}}
      assert.is_true(R.result(more).metrics.accuracy > R.result(fresh).metrics.accuracy)
      local ok, err = R.layout(new_job {training = TRAINING, base = {dir = job.out}, settings = {dim = 40}})
      assert.is_nil(ok)
      assert.matches("dim must be 30", err.message)
      ok, err = R.layout(new_job {training = TRAINING, base = {dir = tmp}})
      assert.is_nil(ok)
      assert.matches("no word vectors", err.message)
    end)

    it("can be quantized, to a tenth of the size and less", function()
      local small = train {training = TRAINING, validation = HELD_OUT, settings = {quantize = true}}
      local figures = assert(R.result(small)).metrics
      assert.is_true(figures.accuracy > 0.7, figures.accuracy)
      assert.is_nil(core.fs.stat(small.out .. "/model.bin"))
      assert.is_true(core.fs.stat(small.out .. "/model.ftz").size * 10 < core.fs.stat(job.out .. "/model.bin").size)
      assert.equal("billing", ask(small.out, {prompt = "we were charged twice, please refund"}).text)
    end)
  end)

  describe("laying out", function()
    it("writes one line an example, whatever is in it", function()
      local list = of_labels({"a b", "ü/%"}, 3)
      list[#list + 1] = {messages = {{role = "system", content = "SYSTEM"},
        {role = "user", content = "Two\nlines\0 __label__evil </s> Ünï"}, {role = "assistant", content = "skip me"},
        {role = "user", content = {{type = "text", text = "It's"}, {type = "text", text = "MINE\127\t!"}}},
        {role = "assistant", content = " a b\n"}}}
      local job = new_job {training = data(list), settings = {held_out = 0}}
      assert(R.layout(job))
      local laid = lines(job.dir .. "/train.txt")
      assert.equal(7, #laid)
      assert.equal("__label__a%20b two lines _ _ label _ _ evil < / s > Ünï it ' s mine !", laid[7])
      assert.matches("^__label__%%C3%%BC%%2F%%25 message 1", laid[2])
      assert.equal("", read(job.dir .. "/held_out.txt"))
      run(job)
      assert.equal(1, #R.steps(job)) -- there is nothing to predict
      assert.is_nil(R.result(job).metrics.accuracy)
      local answer = ask(job.out, {prompt = "message 1 about ax20b things"})
      assert.is_number(answer.probabilities["ü/%"])
      assert.equal("a b", answer.text)
    end)

    it("takes answers that are written as parts of text", function()
      local examples = of_labels({"a", "b"}, 5)
      examples[1] = {messages = {{role = "user", content = "hello"},
        {role = "assistant", content = core.array {{type = "text", text = "a"}}}}}
      local job = new_job {training = data(examples), settings = {held_out = 0}}
      assert(R.layout(job))
      assert.equal("__label__a hello", lines(job.dir .. "/train.txt")[1])
    end)

    it("holds back a tenth, by the seed and the text, and some of every label stay", function()
      local function held(seed, share)
        local job = new_job {training = TRAINING, seed = seed, settings = {held_out = share}}
        assert(R.layout(job))
        assert.equal(607, #lines(job.dir .. "/train.txt") + #lines(job.dir .. "/held_out.txt"))
        return read(job.dir .. "/held_out.txt"), #lines(job.dir .. "/held_out.txt"), job
      end
      local text, n = held(1)
      assert.is_true(n > 35 and n < 90, n)
      assert.is_true(text == held(1))
      assert.is_false(text == held(2))
      local _, half, job = held(1, 0.5)
      assert.is_true(half > 250 and half < 350, half)
      local seen = {}
      for _, line in ipairs(lines(job.dir .. "/train.txt")) do seen[line:match "^%S+"] = true end
      assert.is_true(seen.__label__privacy and seen.__label__bug)
    end)

    it("keeps equal texts on one side", function()
      local list = of_labels({"x", "y"}, 3)
      for i = 1, 200 do list[#list + 1] = {"the same text " .. i % 20, "x"} end
      local job = new_job {training = data(list), settings = {held_out = 0.5}}
      assert(R.layout(job))
      local trained = {}
      for _, line in ipairs(lines(job.dir .. "/train.txt")) do trained[line] = true end
      local held = lines(job.dir .. "/held_out.txt")
      assert.is_true(#held > 20)
      for _, line in ipairs(held) do assert.is_nil(trained[line], line) end
    end)

    it("pauses now and then", function()
      local job = new_job {training = TRAINING}
      assert(R.layout(job))
      assert.equal(3, job.pauses)
    end)

    it("needs fewer epochs for more examples", function()
      local job = new_job {training = data(of_labels({"x", "y"}, 2500)), settings = {held_out = 0}}
      assert(R.layout(job))
      assert.equal("20", R.steps(job)[1].argv[8])
      assert.equal("-epoch", R.steps(job)[1].argv[7])
    end)

    it("says what the disk said", function()
      local job = new_job {training = TRAINING}
      shell.must(("rm -rf %s"):format(quote(job.dir)))
      local ok, err = R.layout(job)
      assert.is_nil(ok)
      assert.equal("server", err.kind)
      assert.matches("No such file", err.message)
      shell.must(("mkdir -p %s/out && ln -s /dev/full %s/train.txt"):format(quote(job.dir), quote(job.dir)))
      ok, err = R.layout(job)
      assert.is_nil(ok)
      assert.matches("No space left", err.message)
    end)
  end)

  describe("refuses", function()
    it("free answers, and names the recipes for them", function()
      local list = {}
      for i = 1, 40 do list[i] = {"question " .. i, "a long answer number " .. i} end
      refuses({training = data(list)}, "40 different answers in 40 examples", "'trl'", "'command'")
      for i = 1, 201 do list[i] = {"question " .. i, "answer " .. i} end
      refuses({training = data(list)}, "line 201", "more than 200 different answers", "'trl'")
      refuses({training = data {{"q", ("x"):rep(201)}}}, "line 1", "201 bytes", "'trl'")
    end)

    it("what cannot be learnt from", function()
      refuses({training = data(of_labels({"only"}, 9))}, "all 9 examples have the same one, 'only'")
      local list = of_labels({"a", "b"}, 5)
      list[#list + 1] = {"rare", "c"}
      refuses({training = data(list)}, "the label 'c' has 1 of 11 examples", "at least 3")
      refuses({training = data(of_labels({"a", "  "}, 5))}, "line 2", "the answer is empty")
      refuses({training = data {}}, "0 different answers in 0 examples")
    end)

    it("what is no chat example, with its line", function()
      local good = of_labels({"a", "b"}, 1)
      local function bad(doc, words) refuses({training = data {good[1], good[2], doc}}, "line 3", words) end
      bad({messages = {{role = "user", content = "x"}}}, "no assistant message")
      bad({messages = {{role = "system", content = "x"}, {role = "assistant", content = "a"}}}, "no user message")
      bad({messages = {{role = "user", content = {{type = "image_url", image_url = "x"}}},
        {role = "assistant", content = "a"}}}, "no text")
      bad({messages = {{role = "user", content = 4}, {role = "assistant", content = "a"}}}, "no text")
      bad({messages = {{role = "user", content = "x"}, {role = "assistant", content = core.array {1}}}}, "no text")
      bad({messages = {"x", {role = "assistant", content = "a"}}}, "messages[0] is no object")
      bad({messages = "x"}, "no `messages`")
      local path = tmp .. "/broken.jsonl"
      assert(core.fs.write(path, '{"messages": [\n'))
      refuses({training = path}, "line 1")
      refuses({training = tmp .. "/none.jsonl"}, "No such file")
    end)

    it("hyperparameters that fastText does not have, or that are out of range", function()
      local function settings(h) return R.settings({}, {hyperparameters = h}) end
      assert.same({n_epochs = 3, learning_rate = 0.2, quantize = true}, settings {n_epochs = 3, learning_rate = 0.2,
        quantize = true})
      for h, words in pairs {
        [{batch_size = 4}] = "one example at a time", [{learning_rate_multiplier = 2}] = "learning_rate",
        [{n_epochs = 0}] = "whole number from 1", [{lora_r = 8}] = "is not known", [{held_out = 0.6}] = "at most|0.5",
        [{loss = "x"}] = "one of: hs, ova, softmax", [{quantize = 1}] = "boolean",
        [{minn = 6, maxn = 2}] = "they are 6 and 2", [{minn = 6}] = "they are 6 and 5",
        [{maxn = 2}] = "they are 3 and 2", [{minn = 1, maxn = 0}] = "they are 1 and 0",
        [{n_epochs = "x"}] = "whole number", [{held_out = "x"}] = "a number",
      } do
        local ok, err = settings(h)
        assert.is_nil(ok)
        assert.equal("invalid", err.kind)
        assert.truthy(err.message:find(words:match "[^|]*$", 1, true), err.message)
      end
      assert.same({maxn = 0}, settings {maxn = 0}) -- no subwords at all
      local ok, err = R.settings({}, {method = "dpo"})
      assert.is_nil(ok)
      assert.matches("supervised", err.message)
    end)

    it("what it would not honour: anything under `extra`, a seed that fastText cannot take", function()
      for _, extra in ipairs {{foo = 1}, {0.1}, {}, {learning_rate = "abc"}, {n_epochs = "x"}, {held_out = "x"}} do
        local ok, err = R.settings({}, {extra = extra})
        assert.is_nil(ok)
        assert.same({"invalid", "extra"}, {err.kind, err.param})
      end
      local _, err = R.settings({}, {hyperparameters = {foo = 1}})
      assert.is_nil(err.message:find("extra", 1, true))
      for seed, good in pairs {[0] = true, [2147483647] = true, [-1] = false, [3000000000] = false} do
        assert.equal(good, R.settings({}, {seed = seed}) ~= nil)
      end
    end)

    it("to sample what a classifier cannot honour", function()
      for params, words in pairs {[{prompt = "x", max_tokens = 4}] = "max_tokens", [{}] = "missing",
        [{prompt = "x", temperature = 1}] = "temperature", [{prompt = "x", top_k = 0}] = "top_k",
        [{messages = {}}] = "no user message",
        [{messages = {{role = "user", content = 7}}}] = "no text"} do
        local ok, err = R.sample({dir = tmp}, params)
        assert.is_nil(ok)
        assert.truthy(err.message:find(words, 1, true), err.message)
      end
      assert.equal("decode", select(2, R.parse "garbage\n").kind)
    end)
  end)

  it("reads progress lines whole, and only new ones", function()
    local job = new_job {laid = {examples = 1000, held_out = 0, epochs = 4}}
    local function line(percent, rate, loss)
      return ("\rProgress: %5.1f%% words/sec/thread: 100 lr:  %f avg.loss:  %f ETA:   0h 0m 1s"):format(percent, rate,
        loss)
    end
    local events = R.events(job, "Read 0M words\n" .. line(25, 0.375, 1.5) .. line(25, 0.375, 1.4)
      .. line(50, 0.25, 0.5) .. "\rProgress:  75.0% words/sec/thread: 100 lr:  0.1", nil)
    assert.same({{step = 1000, total_steps = 4000, epoch = 1.0, loss = 1.5, learning_rate = 0.375},
      {step = 2000, total_steps = 4000, epoch = 2.0, loss = 0.5, learning_rate = 0.25}}, events)
    assert.same({}, R.events(job, line(25, 0.375, 1.5), events[2]))
    assert.same({}, R.events(job, "Progress: 1e9% lr: x avg.loss: nan ETA:\n\255\0\rProgress", nil))
  end)

  it("bears a damaged laid.json", function()
    for _, text in ipairs {"", "garbage", "{}", '{"examples": "5", "held_out": [], "epochs": 1}'} do
      local job = new_job {}
      assert(core.fs.write(job.dir .. "/laid.json", text))
      assert.equal("server", select(2, R.steps(job)).kind)
      assert.equal("server", select(2, R.result(job)).kind)
      assert.same({}, R.events(job, "Progress: 50.0% lr: 0.1 loss: 0.2 ETA:", nil))
    end
  end)

  it("says when predictions are missing", function()
    local job = new_job {laid = {examples = 5, epochs = 1, held_out = 2}}
    local ok, err = R.result(job)
    assert.is_nil(ok)
    assert.equal("server", err.kind)
    assert(core.fs.write(job.dir .. "/held_out.txt", "__label__a x\n__label__b y\n"))
    assert(core.fs.write(job.dir .. "/predictions.txt", "__label__a 0.9\n"))
    ok, err = R.result(job)
    assert.is_nil(ok)
    assert.matches("1 of 2", err.message)
    assert(core.fs.write(job.dir .. "/predictions.txt", "__label__a 0.9\n\n"))
    assert.equal(0.5, R.result(job).metrics.accuracy)
  end)
end)
