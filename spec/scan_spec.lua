-- The scanner (csrc/scan.h): every variant of it, on the edge cases of JSON, wherever they lie and
-- wherever they are cut; and against lua-cjson and Python's json, each difference argued.

local cjson = require "cjson"
local shell = require "spec.support.shell"
local texts = require "spec.support.scan_texts"

local root, quote = shell.root, shell.quote
local CFLAGS = "-std=c99 -D_GNU_SOURCE -O1 -g -Wall -Wextra -iquote csrc"
local SOURCES = "spec/c/harness_scan.c csrc/scan*.c csrc/walk.c"

-- Where another parser takes what the scanner refuses: the scanner's sentence, in what texts (a pattern),
-- and why the scanner is right. There is nothing that another one refuses and the scanner takes.
local NUMBERS = "it reads numbers with strtod(); RFC 8259, 6: "
local DIFFERENCES = {
  cjson = {
    {"a number must not begin with 0", "0%d", NUMBERS .. "no leading zeros"},
    {"the text ends in the middle of a value", "%d%.%s*$", NUMBERS .. "a digit follows the point"},
    {"a digit is missing in a number", "%d%.", NUMBERS .. "a digit follows the point"},
    {"a digit is missing in a number", "%-%.%d", NUMBERS .. "a digit stands before the point"},
    {"expected a value", "%+%d", NUMBERS .. "no plus"},
    {"expected a value", "inf", NUMBERS .. "no infinity"},
    {"is this text without quotes?", "nan", NUMBERS .. "not-a-number is none"},
    {"NaN and Infinity are no JSON values", "NaN", NUMBERS .. "not-a-number is none"},
    {"NaN and Infinity are no JSON values", "Infinity", NUMBERS .. "no infinity"},
    {"expected ',' or ']'", "0x", NUMBERS .. "decimal alone"},
    {"text behind the end of the value", "0x", NUMBERS .. "decimal alone"},
    {"text behind the end of the value", "\0", "it takes NUL for the end of the text; RFC 8259, 2: NUL is no space"},
    {"a control character in a string", "%c", "it lets them pass; RFC 8259, 7: they must be escaped"},
    {"invalid UTF-8", "[\x80-\xff]", "it never looks; RFC 8259, 8.1: a text is UTF-8"},
  },
  python = {
    {"a lone surrogate escape", "\\u[dD]", "RFC 8259, 8.2: what others make of it is unpredictable; it has no UTF-8"},
    {"NaN and Infinity are no JSON values", "NaN", "by default it extends JSON; RFC 8259, 6: not permitted"},
    {"NaN and Infinity are no JSON values", "Infinity", "by default it extends JSON; RFC 8259, 6: not permitted"},
  },
}

-- The difference that this verdict (a line of the harness) on a text is, or nil
local function argued(parser, verdict, text)
  for _, difference in ipairs(DIFFERENCES[parser]) do
    if verdict:find(difference[1], 1, true) and text:find(difference[2]) then return difference end
  end
end

describe("scan", function()
  local tmp, program

  lazy_setup(function()
    tmp = shell.folder()
    program = tmp .. "/harness_scan"
    shell.must(("${CC:-cc} %s -o %s %s"):format(CFLAGS, quote(program), SOURCES), {cwd = root})
  end)
  lazy_teardown(function() shell.remove(tmp) end)

  local function harness(arguments)
    return shell.must(("exec timeout 240 %s %s"):format(quote(program), arguments))
  end

  -- A file of texts, as the harness reads it
  local function write(list)
    local path = tmp .. "/texts"
    local file <close> = assert(io.open(path, "wb"))
    for _, text in ipairs(list) do assert(file:write(#text, "\n", text)) end
    return path
  end

  local function verdicts(mode, list)
    local lines = {}
    for line in harness(mode .. " " .. quote(write(list))):gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(#list, #lines)
    return lines
  end

  it("has all variants on x86-64, where the processor has AVX2", function()
    local _, cpu = shell.run "cat /proc/cpuinfo"
    assert.matches("^portable\n", harness "variants")
    if cpu:find "avx2" then assert.equal("portable\nsse2\navx2\n", harness "variants") end
  end)

  describe("the edge cases of JSON", function()
    local cases = require "spec.support.scan_cases"
    local small, list = {}, {}

    lazy_setup(function()
      for i, case in ipairs(cases) do
        list[i] = case[2]
        if #case[2] <= 700 then small[#small + 1] = case[2] end
      end
      local lines = verdicts("verdicts", list)
      for i, case in ipairs(cases) do case.verdict = lines[i] end
    end)

    for _, case in ipairs(cases) do
      it(case[1], function()
        if not case[3] then return assert.equal("ok", case.verdict) end
        local at, words = case.verdict:match "^(%d+) (.*)$"
        assert.equal(case[3], tonumber(at), case.verdict)
        assert.truthy(words:find(case[4], 1, true), case.verdict)
      end)
    end

    it("at every alignment, between fences, and cut at every length", function()
      local lines, n = verdicts("everywhere", small), 0
      for _, case in ipairs(cases) do
        if #case[2] <= 700 then
          n = n + 1
          assert.equal(case.verdict, lines[n], case[1])
        end
      end
      assert.is_true(n > 300)
    end)
  end)

  it("100 MB in one line, 100,000 levels, a million keys", function()
    assert.matches("%d+ passed, 0 failed\n$", harness "big")
  end)

  it("agrees with itself on texts made by chance, with nodes and walker and duplicates", function()
    assert.matches("%d+ passed, 0 failed\n$", harness "")
  end)

  describe("against", function()
    local list, lines

    lazy_setup(function()
      list = texts.make(24000, 20251)
      lines = verdicts("verdicts", list)
    end)

    -- accepted(i): does the other parser take text i? Every difference must be one that is argued,
    -- and each that is argued must be seen.
    local function compare(parser, accepted)
      local both, neither = 0, 0
      local seen = {}
      for i, text in ipairs(list) do
        local ours, theirs = lines[i] == "ok", accepted(i)
        if ours and theirs then both = both + 1 end
        if not ours and not theirs then neither = neither + 1 end
        if ours ~= theirs then
          local difference = argued(parser, lines[i], text)
          assert.truthy(difference, ("%q: %s, and %s says otherwise"):format(text, lines[i], parser))
          seen[difference] = true
        end
      end
      for _, difference in ipairs(DIFFERENCES[parser]) do
        assert.is_true(seen[difference], ("never seen: %s, %s"):format(difference[1], difference[2]))
      end
      assert.is_true(both > 8000 and neither > 5000, ("%d and %d"):format(both, neither))
    end

    it("lua-cjson", function()
      compare("cjson", function(i) return (pcall(cjson.decode, list[i])) end)
    end)

    it("Python's json", function()
      if not shell.has "python3" then return pending "there is no python3 here" end
      local answers = shell.lines(("python3 spec/support/scan_python.py %s"):format(quote(write(list))), {cwd = root})
      assert.equal(#list, #answers)
      compare("python", function(i) return answers[i] == "ok" end)
    end)
  end)
end)
