-- JSON both ways: strict when it is read, exact when it is written, and nobody else's
-- settings are used or changed.

local core = require "finetune.core"
local finetune = require "finetune"

local null = finetune.null
local DEPTH = 128

local function nested(open, close, levels, inner)
  return open:rep(levels) .. (inner or "") .. close:rep(levels)
end

describe("decode", function()
  it("gives integers as integers", function()
    for text, value in pairs {
      ["0"] = 0, ["-1"] = -1, ["1700000000"] = 1700000000, ["100000000000000"] = 100000000000000,
      ["9007199254740991"] = 9007199254740991, ["-9007199254740991"] = -9007199254740991,
      ["1.0"] = 1, ["1e3"] = 1000, ["-0"] = 0,
    } do
      local got = core.decode(text)
      assert.equal(value, got, text)
      assert.equal("integer", math.type(got), text)
      assert.equal("integer", math.type(core.decode('{"a":[' .. text .. "]}").a[1]))
    end
    for text, value in pairs {["1.5"] = 1.5, ["1e100"] = 1e100, ["-2.5e-3"] = -0.0025} do
      assert.equal(value, core.decode(text))
      assert.equal("float", math.type(core.decode(text)))
    end
  end)

  it("drops null members of objects, and keeps null in arrays", function()
    local doc = core.decode '{"a":null,"b":{"c":null},"d":[null,1,null],"e":{"f":[{"g":null}]}}'
    assert.is_nil(doc.a)
    assert.same({}, doc.b)
    assert.equal(3, #doc.d)
    assert.equal(null, doc.d[1])
    assert.equal(null, doc.d[3])
    assert.same({}, doc.e.f[1])
    assert.equal(null, core.decode "null")
  end)

  it("gives strings as they are", function()
    for text, value in pairs {
      ['"\\u00fc\\n\\"\\\\\\/"'] = 'ü\n"\\/', ['"\\ud83d\\ude00"'] = "😀", ['"ü"'] = "ü", ['""'] = "",
      ['"\\u0000"'] = "\0",
      ['"\\u007f"'] = "\x7f",
    } do
      assert.equal(value, core.decode(text))
    end
  end)

  it("refuses what is not JSON, and says where", function()
    for text, at in pairs {
      ["[01]"] = 3, ["[0x10]"] = 3, ["[+1]"] = 2, ["[.5]"] = 2, ["[1.]"] = 4, ["[1e]"] = 4, ["[NaN]"] = 2,
      ["[Infinity]"] = 2,
      ["[1,]"] = 4, ["{\"a\":1,}"] = 8, ["{a:1}"] = 2, ["{'a':1}"] = 2, ["[1 2]"] = 4, ["\"a\nb\""] = 3,
      ["\"\\x\""] = 2,
      ["\"\\ud800\""] = 2, ["\"\xff\""] = 2, ["\"\xc0\x80\""] = 2, ["\"\xed\xa0\x80\""] = 2, ["tru"] = 1, ["nul"] = 1,
      ["[1]x"] = 4, ["[1][2]"] = 4, ["\"a"] = 3, ["["] = 2, ["{"] = 2, ["{\"a\""] = 5, ["{\"a\":"] = 6,
      ["// c\n1"] = 1, ["1 /* c */"] = 3,
    } do
      local value, why = core.decode(text)
      assert.is_nil(value, text)
      local place = tonumber(why:match "at byte (%d+)$")
      assert.truthy(place, why)
      assert.is_true(math.abs(place - at) <= 3, ("%s: %s"):format(text, why))
    end
    for _, text in ipairs {"", " ", "\n", "\0", "\xef\xbb\xbf"} do assert.is_nil((core.decode(text))) end
  end)

  it("has a limit of depth, which costs no stack", function()
    assert.truthy(core.decode(nested("[", "]", DEPTH)))
    assert.truthy(core.decode(nested('{"a":', "}", DEPTH, "1")))
    for _, levels in ipairs {DEPTH + 1, 1000, 100000, 1000000} do
      local value, why = core.decode(nested("[", "]", levels))
      assert.is_nil(value)
      assert.matches("too deep at byte 129", why)
      assert.is_nil((core.decode(nested('{"a":', "}", levels, "1"))))
      assert.is_nil((core.decode(("["):rep(levels))))
    end
  end)

  it("takes blanks where they may be", function()
    assert.same({a = {1, 2}}, core.decode " \t\r\n{ \"a\" : [ 1 , 2 ] } \n")
  end)

  it("takes the last of two members of one name", function()
    assert.equal(2, core.decode '{"a":1,"a":2}'.a)
  end)
end)

describe("encode", function()
  it("writes numbers exactly", function()
    for text, value in pairs {
      ["0"] = 0, ["-5"] = -5, ["3"] = 3.0, ["100000000000001"] = 100000000000001,
      ["9223372036854775807"] = math.maxinteger,
      ["-9223372036854775808"] = math.mininteger, ["0.1"] = 0.1, ["1e+100"] = 1e100, ["1.5"] = 1.5,
      ["100000000000000"] = 1e14,
      ["0.30000000000000004"] = 0.1 + 0.2,
    } do
      assert.equal(text, core.encode(value))
    end
  end)

  it("writes [] for an array and {} for an object", function()
    assert.equal("[]", core.encode(finetune.array {}))
    assert.equal("{}", core.encode {})
    assert.equal('{"required":[]}', core.encode {required = finetune.array {}})
    assert.equal("[1,[2],{}]", core.encode {1, {2}, {}})
    assert.equal('[null,{"a":null}]', core.encode {null, {a = null}})
    assert.equal("[true,false]", core.encode {true, false})
  end)

  it("sorts the keys, by their bytes", function()
    assert.equal('{"":0,"A":1,"a":2,"a\\u0000":3,"b":4,"ü":5}',
      core.encode {a = 2, b = 4, A = 1, ["ü"] = 5, [""] = 0, ["a\0"] = 3})
  end)

  it("escapes what must be, and no more", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. "\x7fü😀\"", core.encode '"\\/\b\f\n\r\t\0\x1f\x7fü😀')
  end)

  it("raises, in words, for what has no JSON", function()
    local loop = {}
    loop.a = loop
    for _, case in ipairs {
      {0 / 0, "not finite"}, {math.huge, "not finite"}, {-math.huge, "not finite"}, {print, "function"},
      {coroutine.create(print), "thread"}, {io.stdout, "userdata"}, {"\xff", "UTF%-8"}, {{"\xc0\x80"}, "UTF%-8"},
      {"\xed\xa0\x80", "UTF%-8"}, {{[{}] = 1}, "key"}, {{[true] = 1}, "key"}, {{[1.5] = 1}, "key"},
      {{1, a = 2}, "array and object"},
      {{[1] = 1, [3] = 3}, "key"}, {{[0] = 1}, "key"}, {{["\xff"] = 1}, "UTF%-8"}, {loop, "deep"},
      {finetune.array {a = 1}, "array and object"},
    } do
      local ok, why = pcall(core.encode, case[1])
      assert.is_false(ok)
      assert.matches("cannot be written as JSON", why)
      assert.matches(case[2], why)
    end
  end)

  it("has the depth of decode", function()
    local value = finetune.array {}
    for _ = 2, DEPTH do value = {value} end
    assert.equal(nested("[", "]", DEPTH), core.encode(value))
    assert.is_false(pcall(core.encode, {value}))
  end)

  it("gives back what decode took", function()
    for _, text in ipairs {
      '{"a":[1,2.5,"x",true,false,null],"b":{"c":{}}}', "[]", "{}", '"\\u0000"', "[[[1]]]", '{"n":100000000000001}',
    } do
      local value = core.decode(text)
      if text ~= "[]" then assert.equal(text, core.encode(value)) end
    end
  end)
end)

describe("somebody else's cjson", function()
  it("has no say, and is left alone", function()
    local cjson = require "cjson"
    local before = {cjson.decode_max_depth(), cjson.encode_sparse_array(), cjson.encode_number_precision()}
    cjson.decode_max_depth(2)
    cjson.encode_number_precision(3)
    assert.truthy(core.decode(nested("[", "]", 10)))
    assert.equal("1.23456789", core.encode(1.23456789))
    assert.equal(2, cjson.decode_max_depth())
    assert.equal(3, cjson.encode_number_precision())
    cjson.decode_max_depth(before[1])
    cjson.encode_number_precision(before[#before])
  end)
end)
