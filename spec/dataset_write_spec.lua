-- prepare_data: what is written and when, examples from Lua, and what the world does wrong.

local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local USER, ANSWER, GOOD, chat = data.USER, data.ANSWER, data.GOOD, data.chat

-- the program that runs us: the first of its arguments
local function interpreter()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return i < 0 and arg[i] or "lua5.4"
end

describe("prepare_data", function()
  local box, provider, path, write, read, names, prepare, refused

  before_each(function()
    box = data.box()
    provider, path, write, read, names = box.provider, box.path, box.write, box.read, box.names
    prepare, refused = box.prepare, box.refused
  end)
  after_each(function() box.close() end)

  describe("what is written", function()
    local odd = '{"tools" : [ {"type":"function","function":{"parameters":{"required":[],"z":1,"a":' ..
      '9223372036854775807,"n":-0,"f":1.0,"e":1E+2,"x":100000000000000000001},"name":"f"}} ],\t"messages":[' ..
      '{"content":"\\u00e9\\/ \xc3\xa9 \xe2\x80\xa8","role":"user"},' .. ANSWER .. "]} "

    it("is each example byte for byte", function()
      local text = odd .. "\n" .. GOOD .. "\n"
      local report = assert(prepare(text, {output = path "out.jsonl"}))
      assert.equal(text, read "out.jsonl")
      assert.equal(path "out.jsonl", report.output)
      assert.is_nil(report.text)
      assert.equal(#text, report.bytes)
      assert.equal(2, report.examples)
      assert.equal(2, report.written)
      assert.same({"out.jsonl", "raw.jsonl"}, names())
    end)

    it("is the text, without an output", function()
      local report = assert(prepare(odd))
      assert.equal(odd .. "\n", report.text)
      assert.is_nil(report.output)
      assert.same({"raw.jsonl"}, names())
    end)

    it("has no CR, no mark and always a last newline", function()
      local report = assert(prepare("\xef\xbb\xbf" .. GOOD .. "\r\n" .. GOOD .. "\r\n\r\n" .. GOOD))
      assert.equal((GOOD .. "\n"):rep(3), report.text)
      assert.equal(3, report.examples)
      assert.equal(1, report.rules.blank_line)
    end)

    it("is the same for lines of every length about a block", function()
      local lines = {}
      for _, n in ipairs {262142, 262143, 262144, 262145, 600000, 1, 131072, 131071} do
        lines[#lines + 1] = chat(USER, '{"role":"assistant","content":"' .. ("x"):rep(n - 80) .. '"}')
      end
      local text = table.concat(lines, "\n") .. "\n"
      assert(prepare(text, {output = path "out.jsonl"}))
      assert.is_true(text == read "out.jsonl")
    end)

    it("is many lines", function()
      local lines = {}
      for i = 1, 20000 do lines[i] = chat(USER, '{"role":"assistant","content":"' .. i .. '"}') end
      local text = table.concat(lines, "\n") .. "\n"
      local report = assert(prepare(text, {output = path "out.jsonl"}))
      assert.equal(20000, report.written)
      assert.is_true(text == read "out.jsonl")
      lines[12345] = "{}"
      assert.equal(12345, refused(table.concat(lines, "\n")).errors[1].line)
    end)

    it("may replace its own source", function()
      local raw = write("raw.jsonl", "\xef\xbb\xbf" .. GOOD .. "\r\n")
      local report = assert(provider:prepare_data{path = raw, output = raw})
      assert.equal(GOOD .. "\n", read "raw.jsonl")
      assert.equal(1, report.written)
      assert.same({"raw.jsonl"}, names())
    end)

    it("has the permissions of any new file", function()
      assert(prepare(GOOD, {output = path "out.jsonl"}))
      local pipe = io.popen("cd " .. shell.quote(box.dir) .. " && : > other && stat -c %a out.jsonl other 2>/dev/null")
      local mine, other = pipe:read "l", pipe:read "l"
      pipe:close()
      assert.equal(other, mine)
    end)
  end)

  describe("invalid examples", function()
    it("leave the old output as it was, and nothing else behind", function()
      write("out.jsonl", "old")
      local report, err = refused(GOOD .. "\n{}\n" .. GOOD, {output = path "out.jsonl"})
      assert.equal("old", read "out.jsonl")
      assert.same({"out.jsonl", "raw.jsonl"}, names())
      assert.equal(3, report.examples)
      assert.equal(0, report.written)
      assert.equal(0, report.bytes)
      assert.is_nil(report.output)
      assert.is_nil(report.text)
      assert.equal("chat", report.format)
      assert.equal("prepare_data", err.op)
      assert.matches("1 of 3 examples is invalid; line 2, messages: ", tostring(err), 1, true)
    end)

    it("are left out with skip_invalid", function()
      local report = assert(prepare(GOOD .. "\n{}\n" .. GOOD .. "\n{\n",
        {output = path "out.jsonl", skip_invalid = true}))
      assert.equal(4, report.examples)
      assert.equal(2, report.written)
      assert.equal(2, report.error_count)
      assert.equal(2, report.errors[1].line)
      assert.equal(4, report.errors[2].line)
      assert.equal((GOOD .. "\n"):rep(2), read "out.jsonl")
      assert.equal(#GOOD * 2 + 2, report.bytes)
    end)

    it("are an error where no valid one is left", function()
      write("out.jsonl", "old")
      local report, err = refused("{}\n{}\n", {output = path "out.jsonl", skip_invalid = true})
      assert.equal(2, report.error_count)
      assert.matches("2 of 2 examples are invalid", err.message, 1, true)
      assert.equal("old", read "out.jsonl")
    end)

    it("are all counted, the first max_errors are told", function()
      local text = ("0\n"):rep(250)
      assert.equal(100, #refused(text).errors)
      local report = refused(text, {max_errors = 7})
      assert.equal(7, #report.errors)
      assert.equal(250, report.error_count)
      assert.equal(7, report.errors[7].line)
      report = refused(text, {max_errors = 0})
      assert.equal(0, #report.errors)
      assert.equal(250, report.error_count)
    end)

    it("are shown without control characters", function()
      local report = refused(chat('{"role":"\x7f\xc2\x9b31m","content":"x"}', ANSWER))
      assert.is_nil(report.errors[1].message:find "[\x7f]")
      assert.is_nil(report.errors[1].message:find("\xc2\x9b", 1, true))
    end)

    it("with endless keys and paths stay short in the report", function()
      local long = ("k"):rep(100000)
      local deep = ('{"' .. long .. '":'):rep(60) .. '{"a":1,"a":2}' .. ("}"):rep(60)
      local report = refused('{"messages":[' .. USER .. "," .. ANSWER .. '],"x":' .. deep .. "}")
      assert.equal("duplicate_key", report.errors[1].rule)
      assert.is_true(#report.errors[1].path < 600)
      assert.is_true(#report.warnings[1].message < 600)
    end)
  end)

  describe("no examples", function()
    for what, text in pairs {["an empty file"] = "", ["a mark alone"] = "\xef\xbb\xbf", ["blank lines"] = "\n \n"} do
      it("in " .. what .. " is an error", function()
        write("out.jsonl", "old")
        local report, err = refused(text, {output = path "out.jsonl"})
        assert.equal(0, report.examples)
        assert.matches("there is no example", err.message, 1, true)
        assert.equal("old", read "out.jsonl")
      end)
    end

    it("in an empty array is an error", function()
      local report, err = provider:prepare_data({})
      assert.is_nil(report)
      assert.equal("data", err.kind)
    end)
  end)

  describe("a very long line", function()
    it("is taken up to 64 MiB, and is an error beyond", function()
      local block = ("x"):rep(1 << 20)
      local file = assert(io.open(path "raw.jsonl", "wb"))
      file:write(GOOD, "\n", '{"messages":[', USER, ',{"role":"assistant","content":"')
      for _ = 1, 70 do file:write(block) end
      file:write('"}]}\n', GOOD, "\n")
      file:close()
      local report = assert(provider:prepare_data{path = path "raw.jsonl", output = path "out.jsonl",
        skip_invalid = true})
      assert.equal(3, report.examples)
      assert.equal(2, report.written)
      assert.equal("too_long", report.errors[1].rule)
      assert.equal(2, report.errors[1].line)
      assert.equal((GOOD .. "\n"):rep(2), read "out.jsonl")
    end)
  end)

  describe("examples from Lua", function()
    local function example(text)
      return {messages = {{role = "user", content = "hi"}, {role = "assistant", content = text}}}
    end

    it("may be an array", function()
      local report = assert(provider:prepare_data({example "a", example "b"}, {output = path "out.jsonl"}))
      assert.equal(2, report.written)
      assert.equal("chat", report.format)
      local first, second = read("out.jsonl"):match "^([^\n]*)\n([^\n]*)\n$"
      assert.matches('"content":"a"', first, 1, true)
      assert.matches('"content":"b"', second, 1, true)
    end)

    it("may be an array in the table of parameters", function()
      assert.equal(1, assert(provider:prepare_data{examples = {example "a"}}).written)
    end)

    it("keep their integers and empty arrays", function()
      local e = example "a"
      e.tools = {{type = "function", ["function"] = {name = "f",
        parameters = {required = finetune.array {}, maximum = 9223372036854775807}}}}
      local report = assert(provider:prepare_data {e})
      assert.matches('"required":[]', report.text, 1, true)
      assert.matches("9223372036854775807", report.text, 1, true)
    end)

    it("may be null where that is allowed", function()
      local e = example "a"
      e.messages[2] = {role = "assistant", content = finetune.null, refusal = "no"}
      assert(provider:prepare_data {e})
    end)

    it("may be an iterator, with the state and control of a for loop", function()
      local n = 0
      local report = assert(provider:prepare_data(function()
        n = n + 1
        return n <= 500 and example("answer " .. n) or nil
      end, {output = path "out.jsonl"}))
      assert.equal(500, report.examples)
      assert.equal(500, report.written)
      local _, lines = read("out.jsonl"):gsub("\n", "")
      assert.equal(500, lines)
    end)

    it("from an iterator are checked like any", function()
      local list = {example "a", {messages = finetune.array {}}}
      local report, err = provider:prepare_data(function() return table.remove(list, 1) end)
      assert.is_nil(report)
      assert.equal("data", err.kind)
      assert.equal(2, err.report.errors[1].line)
      assert.equal("empty", err.report.errors[1].rule)
    end)

    it("may be a path", function()
      assert.equal(1, assert(provider:prepare_data(write("raw.jsonl", GOOD))).written)
    end)

    it("may be JSON text, which becomes one line each", function()
      local pretty = '{\n  "messages": [\r\n\t' .. USER .. ",\n" .. ANSWER .. "\n]}"
      local report = assert(provider:prepare_data {GOOD, pretty})
      assert.equal(GOOD .. "\n" .. pretty:gsub("[\r\n]", " ") .. "\n", report.text)
      assert.equal(#report.text, report.bytes)
    end)

    it("that are no tables are errors of their own", function()
      local report, err = provider:prepare_data {example "a", 5, true, example "b"}
      assert.is_nil(report)
      assert.equal("data", err.kind)
      assert.equal(2, err.report.error_count)
      assert.equal("example", err.report.errors[1].rule)
      assert.equal(2, err.report.errors[1].line)
      assert.matches("must be a table, not a number", err.report.errors[1].message, 1, true)
      assert.equal(3, err.report.errors[2].line)
    end)

    it("that cannot be encoded are errors of their own", function()
      local cycle, strange = example "a", example "b"
      cycle.messages[3] = cycle
      strange.messages[1].content = print
      local report = assert(provider:prepare_data({example "a", cycle, strange, example "c"}, {skip_invalid = true}))
      assert.equal(2, report.written)
      assert.equal(2, report.error_count)
      assert.equal(2, report.errors[1].line)
      assert.equal(3, report.errors[2].line)
      assert.matches("function", report.errors[2].message)
    end)

    it("that are a single example are told to be put in an array", function()
      local ok, report, err = pcall(provider.prepare_data, provider, {examples = example "a"})
      assert.is_true(not ok or report == nil)
      assert.matches("{example}", tostring(ok and err or report), 1, true)
    end)

    it("are many, and worked on in slices", function()
      local list = {}
      for i = 1, 30000 do list[i] = example("answer " .. i) end
      assert.equal(30000, assert(provider:prepare_data(list)).written)
    end)
  end)

  describe("the world", function()
    local function fails(params, ...)
      local report, err = provider:prepare_data(params)
      assert.is_nil(report)
      assert.equal("data", err.kind)
      for _, words in ipairs {...} do assert.matches(words, err.message, 1, true) end
      return err
    end

    it("may lack the file", function()
      fails({path = path "none.jsonl"}, path "none.jsonl", "No such file or directory")
    end)

    it("may have a folder in its place", function()
      fails({path = box.dir}, box.dir, "Is a directory")
    end)

    it("may lack the folder of the output", function()
      fails({path = write("raw.jsonl", GOOD), output = path "none/out.jsonl"}, path "none/out.jsonl",
        "No such file or directory")
      assert.same({"raw.jsonl"}, names())
    end)

    it("may have a folder where the output should be", function()
      assert(os.execute("mkdir " .. shell.quote(path "out")))
      fails({path = write("raw.jsonl", GOOD), output = path "out"}, path "out", "Is a directory")
      assert.same({"out", "raw.jsonl"}, names())
    end)

    it("may have no room", function()
      if not io.open("/dev/full", "rb") then return pending "no /dev/full here" end
      -- a limit on the size of files stands for a full disk: a child of our own has it
      local raw = write("raw.jsonl", (GOOD .. "\n"):rep(40000))
      local script = write("full.lua", ([[
        package.path, package.cpath = %q, %q
        local p = require "finetune".create_provider("openai", {api_key = "sk-test"})
        local report, err = p:prepare_data{path = %q, output = %q}
        io.write(report and "written" or err.kind .. ": " .. err.message)
      ]]):format(package.path, package.cpath, raw, path "out.jsonl"))
      local pipe = assert(io.popen("trap '' XFSZ; ulimit -f 1000; " .. shell.quote(interpreter()) .. " " ..
        shell.quote(script) .. " 2>&1"))
      local said = pipe:read "a"
      pipe:close()
      assert.matches("data: cannot write", said, 1, true)
      assert.matches("File too large", said, 1, true)
      assert.same({"full.lua", "raw.jsonl"}, names())
    end)

    it("may give the examples through a pipe", function()
      assert(os.execute("mkfifo " .. shell.quote(path "pipe")))
      local writer = io.popen(("exec 3<>%s; cat > %s <<'END'\n%s\n%s\nEND\nsleep 0.2"):format(
        shell.quote(path "pipe"), shell.quote(path "pipe"), GOOD, GOOD), "w")
      os.execute "sleep 0.05"
      local report = assert(provider:prepare_data{path = path "pipe"})
      writer:close()
      assert.equal(2, report.written)
    end)

    it("may cancel", function()
      local list = {}
      for i = 1, 50000 do
        list[i] = {messages = {{role = "user", content = "hi"}, {role = "assistant", content = "a" .. i}}}
      end
      local call = provider:async("prepare_data", {examples = list, output = path "out.jsonl"})
      assert.is_false(call:done())
      assert.is_true(call:cancel())
      local report, err = call:result()
      assert.is_nil(report)
      assert.equal("cancelled", err.kind)
      assert.same({}, names())
    end)
  end)

  describe("the writer behind it", function()
    local core = require "finetune.core"

    it("leaves nothing when it is closed, aborted or forgotten", function()
      do
        local writer <close> = core.dataset {output = path "out.jsonl"}
        writer:add(GOOD)
        assert.equal(1, #names())
      end
      assert.same({}, names())
      local writer = core.dataset {output = path "out.jsonl"}
      writer:abort()
      writer:abort()
      assert.same({}, names())
      core.dataset {output = path "out.jsonl"}
      assert.equal(1, #names())
      collectgarbage()
      collectgarbage()
      assert.same({}, names())
    end)

    it("is of no use afterwards", function()
      local writer = core.dataset()
      writer:add(GOOD)
      assert.equal(GOOD .. "\n", writer:finish().text)
      assert.has_error(function() writer:add(GOOD) end)
      assert.has_error(function() writer:finish() end)
      local report, err = provider:prepare_data {examples = writer}
      assert.is_nil(report)
      assert.equal("usage", err.kind)
    end)

    it("answers nil, kind, message and the report", function()
      local writer = core.dataset {output = path "none/out.jsonl"}
      assert.is_false(writer:add(GOOD))
      local report, kind, message, full = writer:finish()
      assert.is_nil(report)
      assert.equal("data", kind)
      assert.matches("No such file", message)
      assert.equal(0, full.written)
    end)

    it("reads files in slices", function()
      local writer = core.dataset()
      assert.is_true(writer:feed(write("raw.jsonl", (GOOD .. "\n"):rep(20000))))
      assert.has_error(function() writer:finish() end)
      local slices = 0
      while not writer:advance(0) do slices = slices + 1 end
      assert.is_true(slices > 5)
      assert.equal(20000, writer:finish().written)
    end)

    it("refuses options that are none", function()
      for _, options in ipairs {{format = "chatt"}, {max_errors = -1}, {output = true}} do
        assert.has_error(function() core.dataset(options) end)
      end
    end)
  end)

  it("wants one source", function()
    for _, params in ipairs {{path = "x", examples = {1}}, {format = "chat"}} do
      local ok, report, err = pcall(provider.prepare_data, provider, params)
      assert.is_true(not ok or report == nil)
      assert.is_truthy(tostring(ok and err or report):find "path")
    end
  end)

  it("needs no key", function()
    local keyless = assert(finetune.create_provider("openai", {api_key = false}))
    assert.equal(1, assert(keyless:prepare_data(write("raw.jsonl", GOOD))).written)
  end)
end)
