-- prepare_data is never in the way: others go on, progress is told, it can be cancelled at any moment, memory stays
-- flat; and files that change while they are read.

local core = require "finetune.core"
local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local quote = shell.quote
local MIB = 1024 * 1024

local function text_of(n)
  local lines = {}
  for i = 1, n do
    lines[i] = data.chat(('{"role":"user","content":"question %d"}'):format(i),
      ('{"role":"assistant","content":"%s"}'):format(("answer "):rep(i % 20)))
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("prepare_data", function()
  local box, path, write, names
  local tools, generator -- compiled once

  lazy_setup(function()
    tools = shell.folder()
    generator = tools .. "/generate"
    shell.must("${CC:-cc} -O2 -D_GNU_SOURCE -o " .. quote(generator) .. " spec/bench/generate.c -lm",
      {cwd = shell.root})
  end)
  lazy_teardown(function() shell.remove(tools) end)

  before_each(function()
    box = data.box()
    path, write, names = box.path, box.write, box.names
  end)
  after_each(function() box.close() end)

  local function generate(name, bytes)
    shell.must(("%s %d > %s"):format(quote(generator), bytes, quote(path(name))))
    return path(name)
  end

  it("lets others go on beside small sets, which are done at once, in a row", function()
    local ticks, sets, done = 0, 0, false
    finetune.run(
      function()
        while sets < 1000 do
          assert(box.provider:prepare_data {examples = {'{"prompt":"a","completion":"b"}'}, format = "completion"})
          sets = sets + 1
        end
        done = true
      end,
      function()
        while not done do
          finetune.sleep(0)
          ticks = ticks + 1
        end
      end)
    assert.is_true(ticks > sets / 4, ("woken %d times beside %d sets"):format(ticks, sets))
  end)

  it("lets the timers of others go on while 64 MiB are scanned", function()
    local raw = generate("raw.jsonl", 64 * MIB)
    local ticks, done, at_begin = 0, false, nil
    local results, errors = finetune.run(
      function()
        local report = assert(box.provider:prepare_data {path = raw, output = path "out.jsonl", shuffle = true})
        done = true
        return report
      end,
      function()
        while not done do
          finetune.sleep(0.001)
          ticks = ticks + 1
          at_begin = at_begin or names()
        end
        return true
      end)
    assert.is_nil(errors[1] or errors[2])
    assert.is_true(results[1].bytes >= 64 * MIB - 65536)
    -- a slice is of 1 ms: at a gigabyte a second there are sixty
    assert.is_true(ticks >= 3, "the other coroutine was woken " .. ticks .. " times")
    assert.equal(2, #at_begin)
    assert.matches("^out%.jsonl%.%d+%-0%.tmp$", at_begin[1]) -- it was at work then, and nothing had appeared
    assert.same({"out.jsonl", "raw.jsonl"}, names())
  end)

  describe("tells progress", function()
    local function progress_of(params)
      local told = {}
      params.on_progress = function(bytes, all, counts)
        told[#told + 1] = {bytes = bytes, all = all, examples = counts.examples, errors = counts.errors,
          warnings = counts.warnings, eta = counts.eta, at = core.now()}
      end
      local report, err = box.provider:prepare_data(params)
      return told, report or err.report
    end

    local function check(told, report, all)
      assert.is_true(#told >= 1, "nothing was told")
      for i = 2, #told do
        assert.is_true(told[i].bytes > told[i - 1].bytes)
        for _, key in ipairs {"examples", "errors", "warnings"} do assert.is_true(told[i][key] >= told[i - 1][key]) end
      end
      for i = 1, #told - 1 do assert.is_true(all == 0 or told[i].bytes < told[i].all) end
      local last = told[#told]
      assert.equal(last.bytes, last.all)
      assert.equal(0, last.eta)
      assert.equal(report.examples, last.examples)
      assert.equal(report.error_count, last.errors)
      return last
    end

    it("of a file, to its end, with all counts in the last call", function()
      local raw = generate("raw.jsonl", 32 * MIB)
      local told, report = progress_of {path = raw, output = path "out.jsonl"}
      local last = check(told, report, 1)
      assert.equal(tonumber((shell.must("stat -c %s " .. quote(raw)))), last.bytes)
    end)

    it("of a file, with the seconds that are left", function()
      local began = core.now()
      local told = progress_of {path = generate("raw.jsonl", 32 * MIB), output = false}
      for i = 1, #told - 1 do
        local spent = told[i].at - began -- the generator's time is in it
        assert.is_true(told[i].eta > 0)
        assert.is_true(told[i].eta <= spent * (told[i].all / told[i].bytes - 1) + 0.001)
      end
    end)

    it("of a small file and of several", function()
      local a, b = write("a.jsonl", text_of(3)), write("b.jsonl", text_of(20) .. "{}\n")
      local told, report = progress_of {path = a}
      assert.equal(#text_of(3), check(told, report, 1).bytes)
      told, report = progress_of {path = {a, b}}
      assert.equal(#text_of(3) + #text_of(20) + 3, check(told, report, 1).bytes)
      assert.equal(1, report.error_count)
    end)

    it("of a packed file, in packed bytes", function()
      local raw = write("a.jsonl", text_of(20000))
      shell.must("gzip -nf " .. quote(raw))
      local told, report = progress_of {path = raw .. ".gz"}
      assert.equal(tonumber((shell.must("stat -c %s " .. quote(raw .. ".gz")))), check(told, report, 1).bytes)
    end)

    it("of examples from Lua, whose whole nobody knows before the end", function()
      local list = {}
      for i = 1, 20000 do list[i] = '{"prompt":"p' .. i .. '","completion":"c"}' end
      local told, report = progress_of {examples = list}
      local last = check(told, report, 0)
      assert.equal(#table.concat(list), last.bytes)
      for i = 1, #told - 1 do
        assert.equal(0, told[i].all)
        assert.is_nil(told[i].eta)
      end
    end)

    it("of a pipe", function()
      shell.must("mkfifo " .. quote(path "pipe"))
      local writer = io.popen(("cat %s > %s"):format(quote(write("a.jsonl", text_of(5000))), quote(path "pipe")))
      local told, report = progress_of {path = path "pipe"}
      writer:close()
      assert.equal(#text_of(5000), check(told, report, 0).bytes)
    end)

    it("as done where max_examples ends it early", function()
      local told, report = progress_of {path = write("a.jsonl", text_of(50000)), max_examples = 10}
      check(told, report, 1)
      assert.equal(10, report.written)
    end)
  end)

  describe("that is cancelled", function()
    local raw
    before_each(function() raw = write("raw.jsonl", text_of(20000)) end)

    -- begins, takes so many steps, ends it; -> was it under way?
    local function after(steps, params, stop)
      params.path, params.output = raw, path "out.jsonl"
      local call = box.provider:async("prepare_data", params)
      for _ = 1, steps do
        if not call:done() then finetune.step(0) end
      end
      if call:done() then return false end
      stop(call)
      local report, err = call:result()
      assert.is_nil(report)
      assert.equal("cancelled", err.kind)
      assert.same({"raw.jsonl"}, names())
      return true
    end

    it("leaves nothing behind, at any moment", function()
      for _, options in ipairs {{}, {shuffle = true}, {validation = 0.3},
        {shuffle = true, validation = 0.3, dedupe = true}} do
        local moments = 0
        while true do
          local params = {}
          for key, value in pairs(options) do params[key] = value end
          if not after(moments, params, function(call) assert.is_true(call:cancel()) end) then break end
          moments = moments + 1
        end
        assert.is_true(moments > 3, "it was cancelled at " .. moments .. " moments")
        shell.must("rm -f " .. quote(path "out.jsonl") .. " " .. quote(path "out.validation.jsonl"))
      end
    end)

    it("by its own end of scope, or by the provider's", function()
      assert.is_true(after(2, {}, function(call)
        local c <close> = call
        assert(c)
      end))
      local other = assert(finetune.create_provider("openai", {api_key = "sk-test"}))
      local call = other:async("prepare_data", {path = raw, output = path "out.jsonl"})
      finetune.step(0)
      other:close()
      while not call:done() do finetune.step(0) end
      assert.equal("cancelled", select(2, call:result()).kind)
      assert.same({"raw.jsonl"}, names())
    end)

    it("from its own progress", function()
      local call
      call = box.provider:async("prepare_data", {path = raw, output = path "out.jsonl",
        on_progress = function() call:cancel() end})
      local report, err = call:await()
      assert.is_true(report ~= nil or err.kind == "cancelled") -- the last one may come when it is done
      if not report then assert.same({"raw.jsonl"}, names()) end
    end)

    it("while it waits for a pipe", function()
      shell.must("mkfifo " .. quote(path "pipe"))
      local call = box.provider:async("prepare_data", {path = path "pipe", output = path "out.jsonl"})
      for _ = 1, 3 do finetune.step(0.02) end
      assert.is_false(call:done())
      assert.is_true(call:cancel())
      assert.same({"pipe", "raw.jsonl"}, names())
    end)
  end)

  describe("of a file that changes while it is read", function()
    local function reading(change)
      local raw = write("raw.jsonl", text_of(40000))
      local call = box.provider:async("prepare_data", {path = raw, output = path "out.jsonl"})
      finetune.step(0)
      assert.is_false(call:done())
      change(raw)
      return call:await()
    end

    it("takes what was appended, and says so", function()
      local report = assert(reading(function(raw)
        local file = assert(io.open(raw, "ab"))
        file:write(data.GOOD, "\n")
        file:close()
      end))
      assert.equal(40001, report.written)
      assert.equal(1, report.rules.changed)
    end)

    it("refuses one that was cut short", function()
      local report, err = reading(function(raw) shell.must("truncate -s 1000 " .. quote(raw)) end)
      assert.is_nil(report)
      assert.equal("data", err.kind)
      assert.matches("it became shorter while it was read", err.message, 1, true)
      assert.same({"raw.jsonl"}, names())
    end)

    it("reads the one it opened where another takes its name, or none", function()
      local report = assert(reading(function(raw)
        os.remove(raw)
        write("raw.jsonl", "{}\n")
      end))
      assert.equal(40000, report.written)
      assert.equal(40000, assert(reading(os.remove)).written)
    end)
  end)

  it("takes the same memory for 64 MiB and for 256 MiB", function()
    if not io.open "/proc/self/status" then return pending "no /proc/self/status here" end
    local script = write("memory.lua", ([[
      package.path, package.cpath = %q, %q
      local p = require "finetune".create_provider("openai", {api_key = "sk-test"})
      local report = assert(p:prepare_data{path = "-", output = %q, validation = 0.1,
        rules = {duplicate_example = "off"}})
      for line in io.lines "/proc/self/status" do
        local kib = line:match "^VmHWM:%%s*(%%d+)"
        if kib then print(kib, report.examples) end
      end
    ]]):format(package.path, package.cpath, path "out.jsonl"))
    local function peak(bytes)
      local said = shell.must(("%s %d | %s %s"):format(quote(generator), bytes, quote(data.interpreter()),
        quote(script)))
      local kib, examples = said:match "^(%d+)%s+(%d+)"
      assert.is_true(tonumber(examples) * 4096 > bytes / 2)
      return tonumber(kib)
    end
    local small, large = peak(64 * MIB), peak(256 * MIB)
    assert.is_true(math.abs(large - small) < 2048, ("%d KiB and %d KiB"):format(small, large))
  end)
end)
