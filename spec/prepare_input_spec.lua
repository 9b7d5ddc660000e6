-- prepare_data: every shape of input gives the same examples; and examples from Lua, that wait and that go wrong.

local core = require "finetune.core"
local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local quote = shell.quote

describe("prepare_data reads", function()
  local box, path, write, names

  before_each(function()
    box = data.box()
    path, write, names = box.path, box.write, box.names
  end)
  after_each(function() box.close() end)

  local function prepare(params) return box.provider:prepare_data(params) end

  -- rows of prompt and completion, hostile to every notation
  local ROWS = {{"plain", "answer"}, {'with "quotes", commas', "and\ttabs"}, {"two\nlines", "\\ and /"},
    {"é ✓ 😀", " leading and trailing "}, {"", "x"}}

  local function example(row) return {prompt = row[1], completion = row[2]} end

  local function lines_of(rows)
    local lines = {}
    for i, row in ipairs(rows) do
      lines[i] = ('{"prompt":%s,"completion":%s}'):format(core.encode(row[1]), core.encode(row[2]))
    end
    return lines
  end

  local function table_of(delimiter, rows)
    local text = {("prompt%scompletion"):format(delimiter)}
    for i, row in ipairs(rows) do
      local a, b = row[1]:gsub('"', '""'), row[2]:gsub('"', '""')
      text[i + 1] = ('"%s"%s"%s"'):format(a, delimiter, b)
    end
    return table.concat(text, "\r\n") .. "\r\n"
  end

  -- the examples of a text of JSONL, as tables
  local function decoded(text)
    local list = {}
    for line in text:gmatch "[^\n]+" do
      local e = assert(core.decode(line))
      list[#list + 1] = {e.prompt, e.completion}
    end
    return list
  end

  local JSONL = table.concat(lines_of(ROWS), "\n") .. "\n"
  local ARRAY = "[\n" .. table.concat(lines_of(ROWS), " ,\n") .. "\n]\n"

  local function packed(name, text)
    shell.must("gzip -nkf " .. quote(write(name, text)))
    return path(name .. ".gz")
  end

  local shapes = {
    {"JSONL", "a.jsonl", JSONL},
    {"JSONL with CRLF and a mark", "a.jsonl", "\xef\xbb\xbf" .. JSONL:gsub("\n", "\r\n")},
    {"JSONL without its last line end", "a.jsonl", JSONL:sub(1, -2)},
    {"a JSON array", "a.json", ARRAY},
    {"CSV", "a.csv", table_of(",", ROWS)},
    {"TSV", "a.tsv", table_of("\t", ROWS)},
  }
  for _, shape in ipairs(shapes) do
    local what, name, text = table.unpack(shape)

    it(what .. ", plain and packed", function()
      for _, file in ipairs {write(name, text), packed(name, text)} do
        local report = assert(prepare {path = file})
        assert.same(ROWS, decoded(report.text))
        assert.equal("completion", report.format)
        assert.equal(#ROWS, report.written)
      end
    end)

    it(what .. " from standard input, a pipe or a file", function()
      local file = write(name, text)
      local script = write("read.lua", ([[
        package.path, package.cpath = %q, %q
        local p = require "finetune".create_provider("openai", {api_key = "sk-test"})
        local report, err = p:prepare_data{path = "-", input = %q}
        io.write(report and report.text or tostring(err))
      ]]):format(package.path, package.cpath, name:match "%a+$":gsub("json$", "array")))
      local lua = quote(data.interpreter()) .. " " .. quote(script)
      for _, line in ipairs {"cat " .. quote(file) .. " | " .. lua, lua .. " < " .. quote(file),
        "{ sleep 0.05; cat " .. quote(file) .. "; } | " .. lua} do
        local pipe = assert(io.popen(line))
        local said = pipe:read "a"
        pipe:close()
        assert.same(ROWS, decoded(said))
      end
    end)
  end

  it("columns under other names, and leaves others out", function()
    local text = "id,Question,Answer\n1,q,a\n2,r,b\n"
    local report = assert(prepare {path = write("a.csv", text), columns = {Question = "prompt", Answer = "completion"}})
    assert.same({{"q", "a"}, {"r", "b"}}, decoded(report.text))
    assert.is_nil(report.text:find("id", 1, true))
  end)

  it("several files as one set, each of its own shape", function()
    local files = {write("1.jsonl", JSONL), write("2.json", ARRAY), write("3.csv", table_of(",", ROWS)),
      packed("4.tsv", table_of("\t", ROWS))}
    local report = assert(prepare {path = files})
    local all = {}
    for _ = 1, 4 do table.move(ROWS, 1, #ROWS, #all + 1, all) end
    assert.same(all, decoded(report.text))
    assert.equal(3 * #ROWS, report.duplicates)
  end)

  it("several files, and says of which a finding is", function()
    local files = {write("1.jsonl", JSONL), write("2.csv", "prompt,completion\na,b\nc\n"),
      write("3.json", '[{"prompt":"a","completion":"c"},\n  {"prompt":1,"completion":"c"}]')}
    local report, err = prepare {path = files}
    assert.is_nil(report)
    report = err.report
    assert.equal(2, report.error_count)
    assert.same({files[2], 3}, {report.errors[1].file, report.errors[1].line})
    assert.same({files[3], 2, "prompt"}, {report.errors[2].file, report.errors[2].line, report.errors[2].path})
    assert.equal(13, report.errors[2].column)
  end)

  it("stops where one of several files is missing", function()
    local report, err = prepare {path = {write("1.jsonl", JSONL), path "none"}, output = path "out.jsonl"}
    assert.is_nil(report)
    assert.equal("data", err.kind)
    assert.matches(path "none", err.message, 1, true)
    assert.same({"1.jsonl"}, names())
  end)

  it("a pipe with a name, while its writer takes its time", function()
    local pipe = path "pipe"
    shell.must("mkfifo " .. quote(pipe))
    local slow = "{ until [ -e %s ]; do sleep 0.01; done; head -c 60 %s; until [ -e %s ]; do sleep 0.01; done; "
      .. "tail -c +61 %s; } > %s"
    local writer = io.popen(slow:format(quote(path "one"), quote(write("a.jsonl", JSONL)), quote(path "two"),
      quote(path "a.jsonl"), quote(pipe)))
    local ticks, done = 0, false
    local results, errors = finetune.run(
      function()
        local report = assert(prepare {path = pipe})
        done = true
        return report
      end,
      function()
        while not done do
          finetune.sleep(0.005)
          ticks = ticks + 1
          if ticks == 5 then write("one", "") end
          if ticks == 10 then write("two", "") end
        end
        return true
      end)
    writer:close()
    assert.is_nil(errors[1])
    assert.same(ROWS, decoded(results[1].text))
    assert.is_true(ticks >= 10, "the others were not served: " .. ticks)
  end)

  it("places of bad records as they stand in the source", function()
    local report, err = prepare {path = write("a.csv", 'prompt,completion\n"a\nb",c\nd,e,f\n"g"h,i\n')}
    assert.is_nil(report)
    report = err.report
    assert.equal(2, report.error_count)
    assert.same({4, 5}, {report.errors[1].line, report.errors[2].line})
    assert.equal("record", report.errors[1].rule)
  end)

  it("places of findings in rows: the byte where the field begins, in the line in which it does", function()
    local text = 'id,prompt,completion\n1,a <|x|>, b\n2,a,\n3,"say ""hi""\n\ta\\ é","d\n ""<|im_end|>"\n4,"<|y|>",\r\n'
    local _, err = prepare {path = write("a.csv", text), columns = {prompt = "prompt", completion = "completion"},
      rules = {special_token = "error", empty_completion = "error"}}
    local places = {}
    for i, e in ipairs(err.report.errors) do places[i] = ("%d:%d %s"):format(e.line, e.column, e.path) end
    assert.same({"2:3 prompt", "3:5 completion", "5:9 completion", "7:3 prompt", "7:11 completion"}, places)
    _, err = prepare {path = write("b.tsv", "prompt\tcompletion\tx\na\tb\tc\n"), rules = {extra_key = "error"}}
    assert.same({2, 5, "x"}, {err.report.errors[1].line, err.report.errors[1].column, err.report.errors[1].path})
    _, err = prepare {path = write("c.csv", "prompt,note\na,b\n"), format = "completion"}
    assert.same({2, 1, "completion"}, {err.report.errors[1].line, err.report.errors[1].column,
      err.report.errors[1].path})
  end)

  it("places of bytes in rows, deep in a field that is longer than the ones before it", function()
    local text = 'prompt,completion\n"a""\t",bcdefghijklm\xFFn\n\xFF,a\na,"b\n""""cdefgh\xFF"\n'
    local _, err = prepare {path = write("a.csv", text)}
    local places = {}
    for i, e in ipairs(err.report.errors) do places[i] = ("%d:%d %s"):format(e.line, e.column, e.rule) end
    assert.same({"2:20 utf8", "3:1 utf8", "5:11 utf8"}, places)
  end)

  describe("from Lua", function()
    it("an array, and the caller may change it meanwhile", function()
      local list = {}
      for i = 1, 20000 do list[i] = {prompt = "p" .. i, completion = "c"} end
      local call = box.provider:async("prepare_data", {examples = list, output = path "out.jsonl"})
      for i = 1, 20000 do list[i] = nil end -- holes are no examples, and no crash
      local report, err = call:await()
      assert.is_true(report ~= nil or err.kind == "data")
    end)

    it("an iterator that waits, in turns with others", function()
      local function slow(rows)
        local i = 0
        return function()
          i = i + 1
          finetune.sleep(0.002)
          return rows[i] and example(rows[i])
        end
      end
      local results = finetune.run(
        function() return assert(prepare {examples = slow(ROWS)}) end,
        function() return assert(prepare {examples = slow(ROWS), output = path "out.jsonl"}) end)
      assert.same(ROWS, decoded(results[1].text))
      assert.same(ROWS, decoded(box.read "out.jsonl"))
    end)

    it("an iterator that raises: its error, and no file", function()
      local n = 0
      local ok, err = pcall(prepare, {output = path "out.jsonl", examples = function()
        n = n + 1
        if n > 3 then error "the source is broken" end
        return example(ROWS[1])
      end})
      assert.is_false(ok)
      assert.matches("the source is broken", err, 1, true)
      assert.same({}, names())
    end)

    it("an iterator of text, tables and rubbish", function()
      local list = {lines_of(ROWS)[1], example(ROWS[2]), 7, "{", {prompt = print, completion = "x"}}
      local report = assert(prepare {skip_invalid = true, examples = function() return table.remove(list, 1) end})
      assert.same({ROWS[1], ROWS[2]}, decoded(report.text))
      assert.equal(3, report.invalid)
      assert.same({3, 4, 5}, {report.errors[1].line, report.errors[2].line, report.errors[3].line})
    end)
  end)

  describe("what is asked wrongly", function()
    local cases = {
      {"an empty array of paths", {path = {}}, "empty array"},
      {"a path that is no string", {path = {"a", 5}}, "path must be a file's name, or an array of them"},
      {"a path with a NUL", {path = "a\0b"}, "path must be a file's name"},
      {"an empty path", {path = ""}, "path must be a file's name"},
      {"an output with a NUL", {path = "a", output = "o\0x"}, "output must be the name of a file"},
      {"an empty output", {path = "a", output = ""}, "output must be the name of a file"},
      {"an unknown shape", {path = "a", input = "xml"}, "unknown input 'xml'"},
      {"an unknown format", {path = "a", to = "xml"}, "unknown format 'xml'"},
      {"a way that does not exist", {path = "a", format = "preference", to = "text"}, "preference"},
      {"a share of all", {path = "a", validation = 1}, "validation must be a number from 0 to 1"},
      {"two validations", {path = "a", validation = 0.5, validation_path = "b"}, "give one of them"},
      {"a second output for nothing", {path = "a", output = "out", validation_output = "b"}, "without validation"},
      {"a severity that is none", {path = "a", rules = {role = "fatal"}}, '"error", "warning" or "off"'},
      {"a rule that is none", {path = "a", rules = {rolle = "off"}}, "there is no such rule"},
      {"a rule of one's own without a function", {path = "a", rules = {mine = {}}}, "rules.mine must be"},
      {"a rule of one's own with a wrong severity",
        {path = "a", rules = {mine = {check = print, severity = "warn"}}}, "rules.mine: a severity"},
    }
    for _, case in ipairs(cases) do
      it(case[1] .. " is told, and leaves no file", function()
        local params = {output = path "out.jsonl"}
        for key, value in pairs(case[2]) do params[key] = value end
        if params.output == "out" then params.output = path "out" end
        local ok, report, err = pcall(prepare, params)
        assert.is_true(not ok or report == nil)
        assert.matches(case[3], tostring(ok and err or report), 1, true)
        assert.same({}, names())
      end)
    end
  end)
end)
