-- The readers: files of every shape as records of text, each with its place in the source. A C program
-- (spec/c/harness_reader.c) prints what they find; what it proves by itself runs too.

local shell = require "spec.support.shell"

local quote = shell.quote
local SOURCES = "spec/c/harness_reader.c csrc/reader*.c csrc/scan*.c csrc/walk.c csrc/buf.c"
local MARK = "\xef\xbb\xbf"

describe("the readers", function()
  local folder, program

  local function compile(name, flags)
    local path = folder .. "/" .. name
    shell.must(("${CC:-cc} -std=c99 -D_GNU_SOURCE -O1 -g -Wall -Wextra %s -iquote csrc " ..
      "$(pkg-config --cflags lua5.4) -o %s %s $(pkg-config --libs zlib)"):format(flags, path, SOURCES),
      {cwd = shell.root})
    return path
  end

  lazy_setup(function()
    folder = shell.folder()
    program = compile("reader", "")
  end)
  lazy_teardown(function() shell.remove(folder) end)

  local function write(name, text)
    local path = folder .. "/" .. name
    local file = assert(io.open(path, "wb"))
    assert(file:write(text))
    file:close()
    return path
  end

  -- What the reader says of a file, line by line, each an array of its words
  local function lines_of(path, options, input)
    local words = {"exec", quote(program)}
    for _, option in ipairs(options or {}) do words[#words + 1] = quote(option) end
    words[#words + 1] = quote(path)
    local lines = {}
    for line in shell.must(table.concat(words, " ") .. (input or "")):gmatch "[^\n]+" do
      local fields = {}
      for field in (line .. "\t"):gmatch "(.-)\t" do fields[#fields + 1] = field end
      lines[#lines + 1] = fields
    end
    return lines
  end

  local function read(name, text, options) return lines_of(write(name, text), options) end

  -- The same as strings: "record 1:0 TEXT", "bad 1:2 WORDS", "blank 3:0"
  local function told(name, text, options)
    local out = {}
    for i, f in ipairs(read(name, text, options)) do
      out[i] = f[1] == "end" and "end " .. f[2] or f[1] == "fault" and "fault " .. f[3]
        or ("%s %s:%s %s"):format(table.unpack(f, 1, 4))
    end
    return out
  end

  -- The words of a fault, without the name of the file
  local function fault(name, text, options)
    local list = read(name, text, options)
    local last = list[#list]
    assert.equal("fault", last[1])
    assert.equal("data", last[2])
    return (last[3]:gsub("^cannot read " .. folder:gsub("%p", "%%%0") .. "/[^:]*: ", ""))
  end

  describe("find out what a file is", function()
    local cases = { -- {what, name, text, shape, options}
      {"an object: JSONL", "a", '{"x":1}\n', "jsonl"},
      {"an object in a file of another name", "a.csv", '{"x":1}\n', "jsonl"},
      {"a bracket: an array", "a.jsonl", "[]", "array"},
      {"behind white space and the mark", "a", MARK .. " \r\n\t[]", "array"},
      {"a name: CSV", "a.CSV", "x\n", "csv"},
      {"a name: TSV", "a.tsv", "x\n", "tsv"},
      {"a name: TSV, by its other one", "a.tab", "x\n", "tsv"},
      {"anything else", "a.txt", "x\n", "jsonl"},
      {"nothing", "a", "", "jsonl"},
      {"what was said", "a", "{\n", "csv", {"shape=csv"}},
      {"more blank lines than anybody looks at", "a", ("\n"):rep(70000) .. "[]", "jsonl"},
    }
    for _, c in ipairs(cases) do
      it("by " .. c[1], function()
        local list = read(c[2], c[3], c[5])
        assert.same({"end", c[4]}, {list[#list][1], list[#list][2]})
      end)
    end

    it("and say what they cannot read", function()
      for text, words in pairs {
        ["PK\3\4rest"] = "spreadsheet", ["\x28\xb5\x2f\xfd"] = "zstd", ["\xfd7zXZ\0"] = "xz", ["BZh91AY&SYx"] = "bzip2",
        ["PAR1\x15\0"] = "Parquet",
      } do
        assert.matches(words, fault("a.jsonl", text), 1, true)
      end
      assert.same({"record 1:0 PAR1", "end jsonl"}, told("a", "PAR1\n"))
      assert.same({"bad 1:1 this is UTF-16; save it as UTF-8", "end ?"}, told("a", "\xff\xfe{\0\n\0"))
      assert.same({"bad 1:1 this is UTF-16; save it as UTF-8", "end ?"}, told("a.csv", "\xfe\xff\0a"))
    end)
  end)

  describe("of JSONL", function()
    it("give each line, its number, and blank ones as such", function()
      assert.same({"record 1:0 {}", "blank 2:0 ", "blank 3:0 ", 'record 4:0 {"a": 1} ', "record 5:0 x", "end jsonl"},
        told("a", '{}\n\n \t\r\n{"a": 1} \r\nx'))
      assert.same({"record 1:0 {}", "record 2:0 " .. MARK .. "{}", "end jsonl"},
        told("a", MARK .. "{}\n" .. MARK .. "{}\n"))
    end)

    it("take all returns before a line's end as part of it", function()
      assert.same({"record 1:0 {}", "record 2:0 1 2", "blank 3:0 ", "record 4:0 3", "end jsonl"},
        told("a", "{}\r\r\n1 2\r\n\r\r\n3\r\r"))
    end)

    it("tell of lines that are too long, once, and read on behind them", function()
      local long = '{"x":"' .. ("y"):rep(300) .. '"}'
      local words = "longer than 100 bytes; is the end of a line missing?"
      for _, block in ipairs {"7", "64", "4096"} do
        assert.same({"record 1:0 {}", "bad 2:0 " .. words, "record 3:0 {}", "bad 4:0 " .. words, "end jsonl"},
          told("a", "{}\n" .. long .. "\r\n{}\n" .. long, {"longest=100", "block=" .. block}))
      end
      local exact = '{"' .. ("z"):rep(98)
      assert.same({"record 1:0 " .. exact, "end jsonl"}, told("a", exact .. "\r\n", {"longest=100", "block=101"}))
      assert.same({"bad 1:0 " .. words, "end jsonl"}, told("a", exact .. "z\r\n", {"longest=100", "block=101"}))
    end)

    it("take 64 MiB in a line, and no more", function()
      local path = folder .. "/long"
      local made = shell.run(("{ printf '{' && head -c %d /dev/zero | tr '\\0' x && printf '\\n' && " ..
        "head -c %d /dev/zero | tr '\\0' x && printf '\\n{}'; } >%s"):format((64 << 20) - 1, (64 << 20) + 1, path))
      assert.equal(0, made)
      local list = lines_of(path, {"show=2"})
      assert.same({"record", "1", "0", "{x", ""}, list[1])
      assert.same({"bad", "2", "0", "longer than 64 MiB; is the end of a line missing?", "xx", ""}, list[2])
      assert.same({"record", "3", "0", "{}", ""}, list[3])
      assert.equal("end", list[4][1])
      os.remove(path)
    end)

    it("guess what another notation was meant", function()
      local function hint(line, n) return read("a.jsonl", line)[n or 1][5] end
      assert.matches("no comma behind a line", hint '{"a":1},\n', 1, true)
      for _, line in ipairs {"{", '{"messages": [', '{"a":', '{"a": "b",'} do
        assert.matches("over several lines", hint(line .. "\n"), 1, true)
      end
      assert.matches("over several lines", hint("{\n}\n", 2), 1, true)
      for _, line in ipairs {'{"a":1}', "x", "{}\r"} do assert.equal("", hint(line .. "\n")) end
    end)
  end)

  describe("of an array", function()
    it("give its items, with line and column", function()
      assert.same({'record 1:1 {"a":[1,{}]}', "record 2:1 {}", 'record 2:5 {\\0a"b":"]}\\5c""\\0a}', "record 4:4 [2]",
        "record 6:0 {}", "end array"},
        told("a", '[{"a":[1,{}]},\n {}, {\n"b":"]}\\""\n} , [2]\r\n,\n{}\n]\n'))
    end)

    it("count columns behind the mark", function()
      assert.same({"record 1:1 {}", "end array"}, told("a", MARK .. "[{}]"))
    end)

    it("leave to others whether an item is one", function()
      assert.same({'record 1:1 "a,]\\5c"}"', "record 1:11 nul l", "record 1:18 1", "record 1:22 [1}]", "end array"},
        told("a", '["a,]\\"}", nul l, 1 , [1}]]'))
    end)

    local faults = { -- {what, text, what is told}
      {"a comma is missing", '[{}\n {} {}]', "record 1:1 {}", "bad 2:2 expected ',' or ']' behind an item",
        "record 2:1 {}", "bad 2:5 expected ',' or ']' behind an item", "record 2:4 {}"},
      {"there is one too many", "[,{},,{},]", "bad 1:2 an item is missing; is there a comma too many?",
        "record 1:2 {}", "bad 1:6 an item is missing; is there a comma too many?", "record 1:6 {}",
        "bad 1:10 an item is missing; is there a comma too many?"},
      {"a brace is there twice", '[{"a":1}},{}]', 'record 1:1 {"a":1}', "bad 1:9 a '}' too many behind an item",
        "record 1:10 {}"},
      {"a bracket is missing inside an item",
        '[{"a":[{"b":1}},{"c":[{"d":1]},{}]', 'record 1:1 {"a":[{"b":1}}',
        'record 1:16 {"c":[{"d":1]}', "record 1:31 {}"},
      {"the last item lacks its end", '[{},{"a":1]', "record 1:1 {}", 'record 1:4 {"a":1'},
      {"a string lacks its end", '[{"a":"b},\n"c":1},{}]', 'record 1:1 {"a":"b},\\0a"c":1}', "record 2:7 {}"},
      {"the file ends too early", "[{},\n", "record 1:1 {}",
        "bad 2:1 the file ends before the array does: ']' is missing"},
      {"the file ends behind an item", "[1", "record 1:1 1",
        "bad 1:3 the file ends before the array does: ']' is missing"},
      {"the file ends inside an item", '[{},\n{"a":"', "record 1:1 {}",
        "bad 2:0 the file ends inside this item; is a bracket or a quote missing?"},
      {"something follows", "[{}]\n [{}]", "record 1:1 {}",
        "bad 2:2 text behind the end of the array; one file holds one array"},
    }
    for _, c in ipairs(faults) do
      it("tell where " .. c[1], function()
        local wanted = {table.unpack(c, 3)}
        wanted[#wanted + 1] = "end array"
        for _, block in ipairs {"1", "4096"} do assert.same(wanted, told("a", c[2], {"block=" .. block})) end
      end)
    end

    it("say so where there is none", function()
      assert.same({"bad 2:2 a JSON array begins with '['", "end array"}, told("a", "\n {}", {"shape=array"}))
    end)

    it("bear any depth and items that are too long", function()
      local deep = ("["):rep(100000) .. ("]"):rep(100000)
      assert.equal("record 1:200002 {}", told("a", "[" .. deep .. ",{}]", {"show=9"})[2])
      local words = "longer than 20 bytes; is a bracket or a quote missing?"
      for _, block in ipairs {"3", "4096"} do
        assert.same({"record 1:1 {}", "bad 2:0 " .. words, "record 3:1 {}", "end array"},
          told("a", '[{},\n{"a":"' .. ("x"):rep(50) .. '"}\n,{}]', {"longest=20", "block=" .. block}))
      end
    end)
  end)

  describe("of CSV and TSV", function()
    it("make an object of each row", function()
      assert.same({'made 2:0 {"a":"1","b c":"x"}', 'made 3:0 {"a":"","b c":"2,\\5c"3\\5c"\\5c\\5c\\5cr\\5cn4"}',
        'made 5:0 {"a":"\\5cu0001","b c":"\\5ct\\5cu0000é"}', "end csv"},
        told("a.csv", 'a,"b c"\n1,x\r\n,"2,""3""\\\r\n4"\n\1,\t\0é'))
      assert.same({'made 2:0 {"a":"1,2","b":"x y"}', "end tsv"}, told("a.tsv", MARK .. "a\tb\r\n1,2\t\"x y\"\r\n"))
    end)

    it("give blank lines as such, but not the only field of a row", function()
      assert.same({"blank 1:0 ", 'made 3:0 {"a":"1"}', "blank 4:0 ", 'made 5:0 {"a":""}', "end csv"},
        told("a.csv", '\na\n1\n\r\n""\n'))
    end)

    it("take the columns of a map, under its keys", function()
      assert.same({'made 2:0 {"completion":"3","prompt \\5c"x\\5c"":"1"}', "end csv"},
        told("a.csv", "z,y,x\n3,2,1\n", {'map:x=prompt "x"', "map:z=completion"}))
      assert.equal('there is no column "w"; its columns are "z", "y\\"\\n"',
        fault("a.csv", 'z,"y""\n"\n', {"map:w=prompt"}))
      assert.matches('"z" = "k" beside "y" = "k"', fault("a.csv", "z,y\n", {"map:y=k", "map:z=k"}), 1, true)
    end)

    it("refuse a header that names no columns, or one twice", function()
      assert.equal("the header row has no name for column 2", fault("a.csv", "a,,b\n1,2,3\n"))
      assert.equal('the header row names columns 1 and 3 both "a"', fault("a.csv", 'a,b,"a"\n1,2,3\n'))
      assert.matches("no UTF-8", fault("a.csv", "a,\xff\n"), 1, true)
      assert.matches("byte 3: a quote inside a field without quotes", fault("a.csv", 'ab"c\n'), 1, true)
      assert.matches("byte 2: a carriage return", fault("a.csv", "a\rb\rc"), 1, true)
      assert.matches("more than 1024 columns", fault("a.csv", ("a,"):rep(1024) .. "\n"), 1, true)
      assert.matches("the header row is longer than 10 bytes", fault("a.csv", ("a"):rep(20), {"longest=10", "block=3"}))
      assert.matches("the header row is longer than 10 bytes", fault("a.csv", ("a"):rep(20) .. "\n", {"longest=10"}))
    end)

    it("tell of rows with a fault, where it is, and read on", function()
      local quotes = 'text behind the closing quote of a field; a quote inside one is written twice ("")'
      assert.same({"bad 2:0 1 field where the header row has 2", "bad 3:0 3 fields where the header row has 2",
        'made 4:0 {"a":"1","b":"2"}', "bad 6:3 " .. quotes, 'made 7:0 {"a":"1","b":"2"}',
        'bad 8:4 a quote inside a field without quotes; put the field in quotes and write this one twice ("")',
        "bad 9:2 a carriage return inside a field without quotes; lines end with LF or CR LF", "end csv"},
        told("a.csv", 'a,b\n1\n1,2,3\n1,2\n1,"x\ny"z"\n1,2\n1,5"\n1\r,2\n'))
      assert.same({"bad 2:3 the quote that begins this field is never closed", "end csv"},
        told("a.csv", 'a,b\n1,"x\n2,3\n'))
    end)

    it("tell of rows that are too long, once", function()
      local words = "longer than 600 bytes; is a closing quote missing?"
      local rows = '1,"' .. ("x\n"):rep(2) .. ("y"):rep(600) .. '"\n1,2\n2,' .. ("\1"):rep(597) .. "\n3,4\n"
      for _, block in ipairs {"3", "4096"} do
        assert.same({"bad 2:0 " .. words, 'made 5:0 {"a":"1","b":"2"}', "bad 6:0 " .. words,
          'made 7:0 {"a":"3","b":"4"}', "end csv"}, told("a.csv", "a,b\n" .. rows, {"longest=600", "block=" .. block}))
      end
    end)
  end)

  describe("of gzip", function()
    local function packed(text)
      local path = write("plain", text)
      shell.must(("gzip -c <%s >%s/packed"):format(path, folder))
      local file = assert(io.open(folder .. "/packed", "rb"))
      local bytes = file:read "a"
      file:close()
      return bytes
    end

    it("unpack what is in it, of any shape", function()
      assert.same({"record 1:0 {}", "record 2:0 {}", "end jsonl"}, told("a", packed "{}\n{}"))
      assert.same({"record 1:1 {}", "end array"}, told("a.gz", packed "[{}]"))
      assert.same({'made 2:0 {"a":"1"}', "end csv"}, told("a.csv.gz", packed(MARK .. "a\n1\n")))
      assert.same({'made 2:0 {"a":"1"}', "end tsv"}, told("a.tsv.GZ", packed "a\n1\n"))
      assert.matches("packed with gzip twice", fault("a.gz", packed(packed "{}")), 1, true)
    end)

    it("read all members, and the zeros behind them", function()
      local text = packed "{" .. packed "" .. packed "}\n{}\n" .. ("\0"):rep(700)
      for _, block in ipairs {"1", "9", "4096"} do
        assert.same({"record 1:0 {}", "record 2:0 {}", "end jsonl"}, told("a", text, {"block=" .. block}))
      end
      assert.matches("behind the end of the gzip data, at byte %d+, is something else", fault("a", text .. "x"))
    end)

    it("give what came before a fault, whatever the blocks", function()
      local text = packed(("x\n"):rep(5000))
      for cut = 9, 16 do
        local part = text:sub(1, -cut)
        local all = #read("a", part, {"block=65536"})
        assert.is_true(all > 10)
        assert.equal(all, #read("a", part, {"block=1"}))
      end
    end)

    it("say where it is cut off or corrupt", function()
      local lines = {}
      for i = 1, 2000 do lines[i] = ('{"n":%d}'):format(i * i) end
      local text = packed(table.concat(lines, "\n"))
      assert.equal(("the gzip data is cut off: it ends at byte %d, inside a member"):format(#text // 2),
        fault("a", text:sub(1, #text // 2)))
      assert.matches("cut off", fault("a", text:sub(1, 2)), 1, true)
      assert.matches("corrupt near byte %d+: incorrect data check",
        fault("a", text:sub(1, -9) .. "\0\0\0\0" .. text:sub(-4)))
      assert.matches("corrupt near byte", fault("a", text:sub(1, 4000) .. ("\xaa"):rep(50) .. text:sub(4051)), 1, true)
      assert.matches("cut off", fault("a", text .. "\x1f"), 1, true)
    end)
  end)

  describe("of the world", function()
    it("say what cannot be opened", function()
      assert.same({{"fault", "data", "cannot read /nowhere/at all: No such file or directory"}},
        lines_of "/nowhere/at all")
      assert.same({{"fault", "data", "cannot read " .. folder .. ": Is a directory"}}, lines_of(folder))
    end)

    it("say what cannot be read", function()
      if not io.open "/proc/self/mem" then return pending "no /proc here" end
      assert.same({{"fault", "data", "cannot read /proc/self/mem: Input/output error"}}, lines_of "/proc/self/mem")
    end)

    it("read standard input, a file or a pipe", function()
      local path = write("a", "{}\n[]\n")
      local wanted = {"record 1:0 {}", "record 2:0 []"}
      local list = lines_of("-", nil, "<" .. path)
      for i = 1, 2 do assert.equal(wanted[i], ("%s %s:%s %s"):format(table.unpack(list[i], 1, 4))) end
      assert.same({"end", "jsonl", "", "6 of 6"}, list[3])
      local out = shell.must(("{ printf '{}'; sleep 0.05; printf '\\n[]'; } | %s -"):format(quote(program)))
      assert.equal("record\t1\t0\t{}\t\nrecord\t2\t0\t[]\t\nend\tjsonl\t\t5 of -1\n", out)
      -- from where it stands
      out = shell.must(("{ head -c 3 >/dev/null; exec %s -; } <%s"):format(quote(program), path))
      assert.equal("end\tarray\t\t3 of 3\n", out)
    end)

    it("read from a pipe with a name, also what is packed", function()
      local pipe = folder .. "/pipe"
      shell.must("mkfifo " .. pipe)
      local out = shell.must(("{ sleep 0.05; printf '{}\\n{}' | gzip; } >%s & exec %s %s"):format(pipe, quote(program),
        pipe))
      assert.matches("^record\t1\t0\t{}\t\nrecord\t2\t0\t{}\t\nend\tjsonl\tgzip", out)
    end)

    it("follow a file that grows, and say that it changed", function()
      local path = write("a", "{}\n{}\n")
      local list = lines_of(path, {"block=4", "meanwhile=printf '[]\\n' >>" .. path})
      assert.same({"record", "3", "0", "[]", ""}, list[3])
      assert.same({"end", "jsonl", "changed ", "9 of 6"}, list[4])
    end)

    it("refuse a file that shrinks", function()
      local path = write("a", ("{}\n"):rep(9))
      local list = lines_of(path, {"block=4", "meanwhile=: >" .. path})
      assert.same({"fault", "data", "cannot read " .. path .. ": it became shorter while it was read"}, list[#list])
    end)

    it("read the file that was opened, whatever takes its place", function()
      local path = write("a", "{}\n{}\n")
      local list = lines_of(path, {"block=4", ("meanwhile=printf x >%s.new && mv %s.new %s"):format(path, path, path)})
      assert.same({"record", "2", "0", "{}", ""}, list[2])
      assert.equal("end", list[3][1])
    end)
  end)

  it("say the same without SSE2", function()
    local portable = compile("portable", "-DFT_PORTABLE")
    local fields = {}
    for c = 0, 255 do -- each byte at each place of sixteen
      fields[#fields + 1] = '"' .. ("x"):rep(c % 16) .. string.char(c):gsub('"', '""') .. ("y"):rep(31) .. '"'
    end
    local text = "a\n" .. table.concat(fields, "\n") .. "\n"
    local array = "[" .. text:sub(3):gsub('""y', '\\"y'):gsub('"\n"', '",\n"') .. "]"
    for name, content in pairs {["a.csv"] = text, ["a.json"] = array} do
      local path = write(name, content)
      local output = shell.must(program .. " " .. path)
      assert.is_true(output == shell.must(portable .. " " .. path))
      assert.is_true(select(2, output:gsub("\n", "")) >= 257)
    end
  end)

  it("survive every failing allocation, whatever the blocks; standard input keeps its flags", function()
    local status, output = shell.run("exec timeout 100 " .. quote(program))
    assert.matches("%d+ passed, 0 failed\n$", output)
    assert.equal(0, status, output)
  end)
end)
