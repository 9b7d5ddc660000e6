-- What the command makes of text and numbers: harmless, as wide as a terminal shows it, in its place.

local chart = require "finetune.cli.chart"
local curve = require "finetune.cli.curve"
local core = require "finetune.core"
local svg = require "finetune.cli.svg"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

describe("text.clean", function()
  local cases = {
    {"plain", "plain"},
    {"\27[31mred\27[0m", "red"},
    {"\27]0;title\7x\27]8;;http://evil\27\\y", "x\\y"}, -- what ends the sequence otherwise is only text
    {"\27Pq#0\27\\z", "\\z"},
    {"a\nb\r\n\tc\0d\127e", "a b cde"},
    {"\u{9b}31m\u{85}x", "31mx"},
    {"\u{202e}gpj.exe\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}", "gpj.exe"},
    {"\xff\xfe ok \xc3", "\u{FFFD}\u{FFFD} ok \u{FFFD}"},
    {"\xed\xa0\x80", "\u{FFFD}\u{FFFD}\u{FFFD}"}, -- half a surrogate
    {"æ日本🙂", "æ日本🙂"},
    {42, "42"},
  }
  for _, case in ipairs(cases) do
    it(("makes %q harmless"):format(case[1]), function() assert.equal(case[2], text.clean(case[1])) end)
  end

  it("keeps newlines and tabs where lines are wanted", function()
    assert.equal("a\n\tb\nc", text.clean("a\n\tb\r\nc\27[2J\0", true))
  end)

  it("takes every byte, alone and between others, and gives UTF-8 without controls", function()
    for a = 0, 255 do
      local c = string.char(a)
      for _, s in ipairs {c, "x" .. c .. "y", c .. "\x9b", "\27" .. c} do
        local clean = text.clean(s)
        assert.is_truthy(utf8.len(clean))
        assert.is_nil(clean:find "[\0-\31\127]")
        assert.is_nil(clean:find("\u{9b}", 1, true))
      end
    end
  end)

  it("leaves JSON the same document", function()
    local doc = {a = "\27[31m\127\u{9b}\u{202e}\u{e0041}\u{feff}plain æ日🙂\n"}
    local clean = text.clean_json(core.encode(doc))
    assert.is_nil(clean:find "[\0-\31\127]")
    assert.is_nil(clean:find("\u{9b}", 1, true))
    assert.is_nil(clean:find("\u{202e}", 1, true))
    assert.same(doc, core.decode(clean))
  end)

  it("makes one word for a shell", function()
    assert.equal("ft:a/b-c.d", text.shell_word "ft:a/b-c.d")
    assert.equal("'a b'", text.shell_word "a b")
    assert.equal("'it'\\''s $(rm)'", text.shell_word "it's $(rm)")
  end)
end)

describe("columns", function()
  it("are counted as a terminal counts them", function()
    for s, n in pairs {abc = 3, ["æøå"] = 3, ["日本"] = 4, ["🙂"] = 2, ["e\u{301}"] = 1, ["한"] = 2, ["⠤─█"] = 3} do
      assert.equal(n, text.width(s), s)
    end
  end)

  it("are cut and filled", function()
    assert.equal("abc…", text.cut("abcdef", 4))
    assert.equal("日…", text.cut("日本語", 4))
    assert.equal("日本語", text.cut("日本語", 6))
    assert.equal("", text.cut("abc", 0))
    assert.equal("日 |", text.pad("日", 3) .. "|")
    assert.equal("  1", text.pad("1", 3, true))
  end)
end)

describe("numbers", function()
  it("are short", function()
    assert.same({"0 B", "1023 B", "1.0 KiB", "3.0 GiB", "-"},
      {text.bytes(0), text.bytes(1023), text.bytes(1024), text.bytes(3 << 30), text.bytes(nil)})
    assert.same({"1", "12,345", "1,234,567", "-1,000"},
      {text.count(1), text.count(12345), text.count(1234567), text.count(-1000)})
    for seconds, words in pairs {[0] = "0s", [59.4] = "59s", [60] = "1m00s", [7500] = "2h05m", [273600] = "3d04h"} do
      assert.equal(words, text.duration(seconds))
    end
    for share, words in pairs {[-1] = "0%", [0.449] = "45%", [7] = "100%"} do
      assert.equal(words, text.percent(share))
    end
    assert.same({"-", "-"}, {text.duration(0 / 0), text.percent(0 / 0)})
    assert.same({"-", "-", "-"}, {text.time(nil), text.time(1e300), text.time(-5)})
  end)
end)

-- Rows like those of list_metrics
local function falling(n, valid_every)
  local rows = {}
  for i = 1, n do
    rows[i] = {step = i, train_loss = 2 / i, valid_loss = valid_every and i % valid_every == 0 and 2.2 / i or nil}
  end
  return rows
end

describe("a chart", function()
  local plain = {utf8 = true, color = false, paint = function(_, s) return s end}
  local ascii = {utf8 = false, color = false, paint = function(_, s) return s end}

  it("in braille", function()
    local lines = chart.lines(plain, curve.series(falling(20)), 40, 8)
    assert.same({
      "          ⠤ training loss 0.1  ·  step 20",
      "       2 ┤⢣                             ",
    }, {lines[1], lines[2]})
    assert.equal("     0.1 ┤", lines[6]:match "^.-┤")
    assert.equal("         └" .. ("─"):rep(30), lines[7])
    assert.equal("          1" .. (" "):rep(27) .. "20", lines[8])
  end)

  it("in plain characters, with both curves", function()
    local lines = chart.lines(ascii, curve.series(falling(40, 10)), 50, 12)
    local all = table.concat(lines, "\n")
    assert.matches("%. training loss 0%.05", all)
    assert.matches("x validation loss 0%.055", all)
    assert.matches("%.", lines[2])
    assert.is_truthy(lines[#lines - 4]:find "x" or lines[#lines - 3]:find "x" or lines[#lines - 2]:find "x")
  end)

  it("takes any numbers", function()
    for _, rows in ipairs {
      {{step = 1, train_loss = 1}},
      {{step = 1, train_loss = 0 / 0}, {step = 2, train_loss = math.huge}, {step = 3, train_loss = 1}},
      {{step = 1, train_loss = 1}, {step = 1, train_loss = 1}},
      {{step = -5, train_loss = -1e300}, {step = 1 << 60, train_loss = 1e300}},
      {{step = 0.5, train_loss = 0}, {step = 0.25, train_loss = 1e-300}},
    } do
      local lines = chart.lines(plain, curve.series(rows), 60, 10)
      assert.equal(10, #lines)
      for _, line in ipairs(lines) do assert.is_true(utf8.len(line) <= 60, line) end
      svg.file(curve.series(rows), "t")
    end
  end)

  it("is left out where there is no room, or nothing to draw", function()
    assert.same({}, chart.lines(plain, curve.series(falling(5)), 20, 10))
    assert.same({}, chart.lines(plain, curve.series(falling(5)), 80, 4))
    assert.same({}, chart.lines(plain, curve.series {}, 80, 20))
  end)

  it("of 100,000 steps is drawn at once, and is a small picture", function()
    local series = curve.series(falling(100000, 7))
    local began = os.clock()
    chart.lines(plain, series, 120, 20)
    assert.is_true(os.clock() - began < 1)
    assert.is_true(#svg.file(series, "t") < 100000)
  end)

  it("has round ticks", function()
    assert.same({0, 0.5, 1, 1.5, 2}, curve.ticks(0, 2.2, 5))
    assert.same({10, 20, 30}, curve.ticks(7, 36, 4))
  end)
end)

describe("how long it takes", function()
  local follow = require "finetune.cli.follow"

  -- A track that has heard these {step, Unix time}s of 100
  local function track_of(list)
    local provider = {follow = function()
      local i = 0
      return function()
        i = i + 1
        local item = list[i]
        return item and {type = "metrics", created_at = item[2], data = {step = item[1], total_steps = 100}},
          {id = "j", status = "running", created_at = list[1][2]}
      end
    end, get_job = function() return {id = "j", status = "running"} end, supports = function() return false end}
    local track = follow.new({}, provider, "j")
    track:follow {}
    return track
  end

  it("is told by when things were, not by when they were heard", function()
    local now = core.wall()
    local left = track_of {{10, now - 40}, {20, now - 30}, {50, now}}:left()
    assert.is_true(left > 45 and left < 55, left)
    assert.is_nil(track_of {{1, now - 1}, {90, now}}:left())
    assert.is_nil(track_of {{1, now}}:left())
    assert.is_nil(track_of {{1, "soon"}, {2, 0 / 0}}:left())
  end)

  it("keeps no more than it draws", function()
    local list = {}
    for i = 1, 50000 do list[i] = {i, i} end
    local track = track_of(list)
    assert.is_true(#track.data <= 20000)
    local rows = track:metrics()
    assert.equal(50000, rows[#rows].step)
  end)
end)

describe("a frame", function()
  it("goes back as many lines as the window shows of the last one", function()
    local written = {}
    local size = term.size
    term.size = function() return 10, 24 end
    local frame = term.frame(function(s) written[#written + 1] = s end)
    frame:draw {"12345", "\27[31m1234567890\27[0m"}
    frame:draw({"x"}, {"above"})
    term.size = function() return 4, 24 end -- what fitted is broken now
    frame:draw {"abcd", "abc"}
    frame:draw {"z"}
    term.size = function() return 2, 24 end
    frame:draw {"z"}
    term.size = size
    assert.equal("\r\27[J12345\n\27[31m1234567890\27[0m\n", written[1])
    assert.equal("\27[2A\r\27[Jabove\nx\n", written[2])
    assert.equal("\27[1A\r\27[Jabcd\nabc\n", written[3])
    assert.equal("\27[2A\r\27[Jz\n", written[4])
    assert.equal("\27[1A\r\27[Jz\n", written[5])
  end)
end)
