-- The edge cases of JSON: {what, text} is accepted; {what, text, offset, words} is refused at the byte
-- offset (from 0), with a sentence that holds these words. Written from RFC 8259 and Unicode's table 3-7.

local rep = string.rep

local UTF8, LONE, CONTROL = "invalid UTF-8", "lone surrogate", "control character"
local ENDS, OPEN = "ends in the middle", "ends inside a string"
local VALUE, COMMA, KEY, COLON = "expected a value", "comma too many", "expected a key", "expected ':'"
local ITEM, MEMBER, BEHIND = "expected ',' or ']'", "expected ',' or '}'", "text behind the end"
local DIGIT, ZERO, HEX, ESCAPE = "digit is missing", "must not begin with 0", "four hexadecimal", "unknown escape"

local cases = {
  -- whole texts
  {"nothing", "", 0, "no value"},
  {"only white space", " \t\r\n", 4, "no value"},
  {"white space everywhere", " \t\r\n{ \"a\" : [ 1 ,\t2\n] ,\r\"b\" : { } } \n"},
  {"no-break space is none", "\xc2\xa0[]", 0, VALUE},
  {"form feed is none", "\f[]", 0, VALUE},
  {"vertical tab is none", "[\v]", 1, VALUE},
  {"CR alone", "[1,\r2]"},
  {"U+2028 outside a string", "[1,\xe2\x80\xa82]", 3, VALUE},
  {"a byte order mark", "\xef\xbb\xbf{}", 0, VALUE},
  {"UTF-16", "\xff\xfe{\0}\0", 0, VALUE},
  {"NUL alone", "\0", 0, VALUE},
  {"NUL behind", "[]\0", 2, BEHIND},
  {"NUL within", "[\0]", 1, VALUE},
  {"two values", "1 2", 2, BEHIND},
  {"two objects", "{}{}", 2, BEHIND},
  {"a comma behind", "[],", 2, BEHIND},
  {"a bracket behind", "[]]", 2, BEHIND},
  {"a comment", "[1/*x*/]", 2, ITEM},
  {"a comment before", "//x\n1", 0, VALUE},
  -- scalars at the top
  {"a string", '""'}, {"a number", "0"}, {"true", "true"}, {"false", "false"}, {"null", "null"},
  -- words
  {"a cut word", "tru", 3, ENDS},
  {"a cut word in an array", "[fals", 5, ENDS},
  {"a wrong word", "nul1", 0, VALUE},
  {"a longer word", "nulls", 4, BEHIND},
  {"capitals", "[True]", 1, "small letters"},
  {"None", "None", 0, "small letters"},
  {"NaN", "[NaN]", 1, "NaN and Infinity"},
  {"Infinity", "Infinity", 0, "NaN and Infinity"},
  {"-Infinity", "[-Infinity]", 2, "NaN and Infinity"},
  {"-NaN", "[-NaN]", 2, DIGIT},
  {"nan", "nan", 0, "without quotes"},
  {"undefined", "undefined", 0, VALUE},
  {"single quotes", "['a']", 1, "double quotes"},
  -- numbers
  {"all of a number", "[-0,0.0,-1.5e+10,1E-400,1e400,123456789012345678901234567890,0e0,1.0E+0]"},
  {"a leading zero", "[01]", 2, ZERO},
  {"minus and a leading zero", "-012", 2, ZERO},
  {"two zeros", "00", 1, ZERO},
  {"hexadecimal", "[0x10]", 2, ITEM},
  {"a plus", "+1", 0, VALUE},
  {"a minus alone", "-", 1, ENDS},
  {"a minus and a space", "[- 1]", 2, DIGIT},
  {"two minus", "--1", 1, DIGIT},
  {"a point at the beginning", "[.5]", 1, VALUE},
  {"a point at the end", "[1.]", 3, DIGIT},
  {"a point at the end of all", "1.", 2, ENDS},
  {"two points", "1.2.3", 3, BEHIND},
  {"an exponent without digits", "[1e]", 3, DIGIT},
  {"an exponent with a sign alone", "1e+", 3, ENDS},
  {"an exponent with two signs", "1e+-1", 3, DIGIT},
  {"a broken exponent", "1e1.5", 3, BEHIND},
  {"an exponent behind a point", "1.e1", 2, DIGIT},
  {"letters behind", "12a", 2, BEHIND},
  {"digits of another script", "[\xd9\xa1]", 1, VALUE},
  {"a full-width digit behind", "[1\xef\xbc\x91]", 2, ITEM},
  {"an underline", "1_000", 1, BEHIND},
  -- arrays
  {"an empty array", "[]"}, {"nested", "[[],[[]]]"},
  {"a comma at the end", "[1,]", 3, COMMA},
  {"a comma at the beginning", "[,1]", 1, COMMA},
  {"only a comma", "[,]", 1, COMMA},
  {"two commas", "[1,,2]", 3, COMMA},
  {"no comma", "[1 2]", 3, ITEM},
  {"no comma between strings", '["a""b"]', 4, ITEM},
  {"an open array", "[1", 2, ENDS},
  {"an open empty array", "[", 1, ENDS},
  {"open behind a comma", "[1,", 3, ENDS},
  {"the wrong bracket", "[1}", 2, ITEM},
  {"the wrong empty bracket", "[}", 1, VALUE},
  {"a colon", "[1:2]", 2, ITEM},
  {"closed at once", "]", 0, VALUE},
  -- objects
  {"an empty object", "{}"}, {"an empty key", '{"":0}'}, {"the same key twice", '{"a":1,"a":2}'},
  {"a comma at the end of an object", '{"a":1,}', 7, KEY},
  {"a comma at the beginning of an object", "{,}", 1, KEY},
  {"two commas in an object", '{"a":1,,"b":2}', 7, KEY},
  {"no comma in an object", '{"a":1 "b":2}', 7, MEMBER},
  {"a key without quotes", "{a:1}", 1, KEY},
  {"a key in single quotes", "{'a':1}", 1, KEY},
  {"a number as a key", "{1:1}", 1, KEY},
  {"no colon", '{"a" 1}', 5, COLON},
  {"a comma for a colon", '{"a",1}', 4, COLON},
  {"two colons", '{"a"::1}', 5, VALUE},
  {"no value", '{"a":}', 5, COMMA},
  {"only a key", '{"a"}', 4, COLON},
  {"an open object", "{", 1, ENDS},
  {"open behind a key", '{"a"', 4, ENDS},
  {"open behind a colon", '{"a":', 5, ENDS},
  {"open behind a value", '{"a":1', 6, ENDS},
  {"open behind a comma in an object", '{"a":1,', 7, ENDS},
  {"the wrong brace", '{"a":1]', 6, MEMBER},
  -- strings
  {"every simple escape", [["\"\\\/\b\f\n\r\t"]]},
  {"DEL and U+0080", '"\x7f\xc2\x80"'},
  {"U+2028 and U+2029 in a string", '"\xe2\x80\xa8\xe2\x80\xa9"'},
  {"noncharacters", '"\xef\xbf\xbe\xef\xbf\xbf\xef\xb7\x90"'},
  {"a byte order mark in a string", '"\xef\xbb\xbf"'},
  {"an open string", '"a', 2, OPEN},
  {"only a quote", '"', 1, OPEN},
  {"open behind an escaped quote", [["\"]], 3, OPEN},
  {"open behind a backslash", '"\\', 2, OPEN},
  {"an escaped backslash closes", [["\\"]]},
  {"three backslashes do not", [["\\\"]], 5, OPEN},
  {"an unknown escape", [["\a"]], 1, ESCAPE},
  {"an escape of hexadecimal digits", [["\x41"]], 1, ESCAPE},
  {"an escaped line feed", '"\\\n"', 1, ESCAPE},
  {"an escape beyond ASCII", '"\\\xc3\xa9"', 1, ESCAPE},
  {"a capital U", [["\U0041"]], 1, ESCAPE},
  {"an escaped NUL byte", '"\\\0"', 1, ESCAPE},
  {"NUL in a string", '"a\0b"', 2, CONTROL},
  {"a line feed in a string", '"a\nb"', 2, CONTROL},
  {"a tab in a string", '"\t"', 1, CONTROL},
  {"CR in a string", '"\r\n"', 1, CONTROL},
  {"the last control character", '"\x1f"', 1, CONTROL},
  {"a control character in a key", '{"\x01":1}', 2, CONTROL},
  -- \u
  {"\\u of all kinds", [["\u0000\u007f\uABCD\uabcd\ud7ff\uE000\uffff"]]},
  {"a surrogate pair", [["\ud83d\ude00\uDBFF\uDFFF\uD800\uDC00"]]},
  {"\\u with three digits", [["\u004"]], 1, HEX},
  {"\\u at the end", [["\u"]], 1, HEX},
  {"\\u cut by the end of the text", [["\u00]], 1, HEX},
  {"\\u with a letter too far", [["\u00g0"]], 1, HEX},
  {"\\u with a sign", [["\u+041"]], 1, HEX},
  {"\\u with a space", [["\u 041"]], 1, HEX},
  {"\\u with beyond ASCII", '"\\u00\xc3\xa9"', 1, HEX},
  {"a high surrogate alone", [["\ud800"]], 1, LONE},
  {"a high surrogate and text", [["\uD83Dabcdef"]], 1, LONE},
  {"a high surrogate and another escape", [["\uD83D\n"]], 1, LONE},
  {"two high surrogates", [["\uD83D\uD83D"]], 1, LONE},
  {"a high surrogate and U+0041", [["\uD83D\u0041"]], 1, LONE},
  {"a high surrogate and a cut escape", [["\uD83D\uDE0"]], 1, LONE},
  {"a high surrogate at the end of the text", [["\uDBFF]], 1, LONE},
  {"a low surrogate alone", [["a\udc00"]], 2, LONE},
  {"low and high", [["\uDE00\uD83D"]], 1, LONE},
  {"a pair and a low one", [["\uD83D\uDE00\uDE00"]], 13, LONE},
  {"lone in a key", [[{"\udfff":1}]], 2, LONE},
  -- UTF-8
  {"the first and last of each length", '"\x01\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf'
    .. '\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"', 1, CONTROL},
  {"the first and last of each length but one", '" \x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80'
    .. '\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"'},
  {"a continuation alone", '"\x80"', 1, UTF8},
  {"the last continuation alone", '"a\xbf"', 2, UTF8},
  {"one continuation too many", '"\xc3\xa9\xa9"', 3, UTF8},
  {"a lead byte alone", '"\xc3"', 1, UTF8},
  {"a lead byte and ASCII", '"\xc3a"', 1, UTF8},
  {"two lead bytes", '"\xc3\xc3\xa9"', 1, UTF8},
  {"two of three bytes", '"\xe2\x82"', 1, UTF8},
  {"two of three bytes and the end", '"\xe2\x82', 1, UTF8},
  {"three of four bytes", '"\xf0\x9f\x98"', 1, UTF8},
  {"overlong slash in two bytes", '"\xc0\xaf"', 1, UTF8},
  {"overlong NUL", '"\xc0\x80"', 1, UTF8},
  {"overlong U+007F", '"\xc1\xbf"', 1, UTF8},
  {"overlong slash in three bytes", '"\xe0\x80\xaf"', 1, UTF8},
  {"overlong U+07FF", '"\xe0\x9f\xbf"', 1, UTF8},
  {"overlong slash in four bytes", '"\xf0\x80\x80\xaf"', 1, UTF8},
  {"overlong U+FFFF", '"\xf0\x8f\xbf\xbf"', 1, UTF8},
  {"U+D800", '"\xed\xa0\x80"', 1, UTF8},
  {"U+DFFF", '"\xed\xbf\xbf"', 1, UTF8},
  {"a pair as CESU-8", '"\xed\xa0\xbd\xed\xb8\x80"', 1, UTF8},
  {"U+110000", '"\xf4\x90\x80\x80"', 1, UTF8},
  {"F5", '"\xf5\x80\x80\x80"', 1, UTF8},
  {"five bytes", '"\xf8\x88\x80\x80\x80"', 1, UTF8},
  {"six bytes", '"\xfc\x84\x80\x80\x80\x80"', 1, UTF8},
  {"FE", '"\xfe"', 1, UTF8},
  {"FF", '"\xff"', 1, UTF8},
  {"Latin-1", '"caf\xe9 au lait"', 4, UTF8},
  {"invalid in a key", '{"\xff":1}', 2, UTF8},
  {"invalid outside a string", "[\xff]", 1, VALUE},
  -- depth: 128 levels are asked for
  {"as deep as allowed", rep("[", 128) .. rep("]", 128)},
  {"one level too deep", rep("[", 129) .. rep("]", 129), 128, "too deep"},
  {"objects one level too deep", rep('{"a":', 129) .. "1" .. rep("}", 129), 640, "too deep"},
  {"100,000 levels", rep("[", 100000), 128, "too deep"},
  {"many side by side", "[" .. rep("[],", 500) .. "{}]"},
}

-- What is odd in a long string must be seen in each place of a block: behind 0 to 40 plain bytes
local function within(what, odd, words)
  for i = 0, 40, 3 do
    local head = '"' .. rep("x", i)
    cases[#cases + 1] = {("%s behind %d bytes"):format(what, i), head .. odd .. rep("y", 70) .. '"',
      words and #head, words}
  end
end

within("an escape", "\\n")
within("an escaped quote", '\\"')
within("escaped backslashes", "\\\\\\\\")
within("a \\u escape", "\\u00e9")
within("a surrogate pair", "\\ud83d\\ude00")
within("two bytes", "\xc3\xa9")
within("three bytes", "\xe2\x82\xac")
within("four bytes", "\xf0\x9f\x98\x80")
within("a control character", "\x0b", CONTROL)
within("an unknown escape", "\\ ", ESCAPE)
within("a broken \\u escape", "\\u12 4", HEX)
within("a lone surrogate", "\\udead", LONE)
within("a cut character", "\xf0\x9f\x98", UTF8)
within("an overlong form", "\xe0\x9f\xbf", UTF8)
within("a surrogate in UTF-8", "\xed\xb0\x80", UTF8)

return cases
