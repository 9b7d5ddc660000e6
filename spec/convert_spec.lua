-- Examples in other formats, hashed, truncated and counted: convert.h, canon.h, seen.h, shuffle.h, truncate.h
-- and stats.h without the engine around them. Properties on random examples are in C (spec/c/harness_convert.c,
-- harness_transform.c, harness_twice.c); here are the cases one by one, through spec/c/transform.c.

local shell = require "spec.support.shell"

local FORMATS = {chat = 1, completion = 2, preference = 3, reinforcement = 4, text = 5, instruction = 6, sharegpt = 7}

local SOURCES = "csrc/canon.c csrc/convert*.c csrc/truncate.c csrc/stats.c csrc/seen.c csrc/twice.c csrc/shuffle.c " ..
  "csrc/scan*.c csrc/walk.c csrc/buf.c csrc/outfile.c csrc/example.c"

describe("transformations in C", function()
  local tmp

  local function compile(name, flags)
    shell.must(("${CC:-cc} -std=c99 -D_GNU_SOURCE -O1 -Wall -Wextra %s -iquote csrc $(pkg-config --cflags lua5.4) " ..
      "-o %s spec/c/%s.c %s"):format(flags or "", shell.quote(tmp .. "/" .. name), name, SOURCES), {cwd = shell.root})
    return tmp .. "/" .. name
  end

  setup(function()
    tmp = shell.folder()
    compile "transform"
  end)
  teardown(function() shell.remove(tmp) end)

  -- What transform prints for these lines
  local function run(arguments, lines)
    local file = assert(io.open(tmp .. "/lines", "wb"))
    assert(file:write(type(lines) == "table" and table.concat(lines, "\n") or lines, "\n"))
    assert(file:close())
    return shell.lines(("%s/transform %s <%s/lines"):format(tmp, arguments, tmp))
  end

  local function convert(from, to, text, drop)
    return run(("convert %d %d %s"):format(FORMATS[from], FORMATS[to], drop or ""), text)[1]
  end

  for _, name in ipairs {"harness_convert", "harness_transform", "harness_twice"} do
    it("hold for random examples: " .. name, function()
      local status, output = shell.run("exec timeout 120 " .. compile(name))
      assert.matches("%d+ passed, 0 failed\n$", output)
      assert.equal(0, status, output)
    end)
  end

  it("hash alike on a machine that has no numbers of 128 bits, and no SSE2", function()
    local program = compile("harness_convert", "-U__SIZEOF_INT128__ -U__SSE2__")
    local status, output = shell.run("exec timeout 120 " .. program)
    assert.equal(0, status, output)
  end)

  describe("a conversion", function()
    -- {what, from, text, to, text}: there, and back again to the same bytes
    local PAIRS = {
      {"chat and ShareGPT", "chat",
        '{"messages":[{"role":"system","content":"s\\u00e9"},{"role":"user","content":"a/\\/"},' ..
        '{"role":"assistant","content":"é","weight":0},{"role":"user","content":""},' ..
        '{"role":"assistant","content":"\\n"}]}',
        "sharegpt",
        '{"conversations":[{"from":"system","value":"s\\u00e9"},{"from":"human","value":"a/\\/"},' ..
        '{"from":"gpt","value":"é","weight":0},{"from":"human","value":""},{"from":"gpt","value":"\\n"}]}'},
      {"chat and prompt/completion", "chat",
        '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"weight":0.5}', "completion",
        '{"prompt":"q","completion":"a","weight":0.5}'},
      {"chat and instruction", "chat",
        '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}', "instruction",
        '{"instruction":"q","input":"","output":"a"}'},
      {"chat with a system message and instruction", "chat",
        '{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},' ..
        '{"role":"assistant","content":"a"}]}', "instruction", '{"instruction":"s","input":"q","output":"a"}'},
      {"ShareGPT and prompt/completion", "sharegpt",
        '{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}', "completion",
        '{"prompt":"q","completion":"a"}'},
      {"ShareGPT and instruction", "sharegpt",
        '{"conversations":[{"from":"system","value":"s"},{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}',
        "instruction", '{"instruction":"s","input":"q","output":"a"}'},
      {"prompt/completion and instruction", "completion", '{"prompt":"","completion":"a"}', "instruction",
        '{"instruction":"","input":"","output":"a"}'},
      {"text and prompt/completion", "text", '{"text":"\\ud83d\\ude00","weight":2}', "completion",
        '{"prompt":"","completion":"\\ud83d\\ude00","weight":2}'},
    }
    for _, p in ipairs(PAIRS) do
      it("goes between " .. p[1], function()
        assert.equal(p[5], convert(p[2], p[4], p[3]))
        assert.equal(p[3], convert(p[4], p[2], p[5]))
      end)
    end

    it("takes what says nothing for what is not there", function()
      for _, more in ipairs {"", ',"input":""', ',"input":null', ',"system":""', ',"input":"","system":null'} do
        assert.equal('{"prompt":"q","completion":"a"}',
          convert("instruction", "completion", '{"output":"a","instruction":"q"' .. more .. "}"))
      end
      assert.equal('{"prompt":"q","completion":"a"}', convert("sharegpt", "completion",
        '{"conversations":[{"from":"human","value":"q"},{"value":"a","from":"gpt"}],"system":"","tools":null}'))
    end)

    local Q, A = '{"role":"user","content":"q"}', '{"role":"assistant","content":"a"}'
    local function chat(...) return '{"messages":[' .. table.concat({...}, ",") .. "]}" end

    -- {from, to, text, path, words}
    local LOST = {
      {"chat", "completion", chat(Q, '{"role":"assistant","content":null,"tool_calls":[]}'), "messages[1].tool_calls",
        '"tool_calls" of messages[1] has no place in prompt/completion'},
      {"chat", "sharegpt", chat(Q, '{"role":"assistant","name":"n","content":"a"}'), "messages[1].name",
        '"name" of messages[1] has no place in ShareGPT'},
      {"chat", "sharegpt", '{"tools":[],"messages":[]}', "tools", '"tools" has no place in ShareGPT'},
      {"chat", "sharegpt", '{"messages":[' .. Q .. "," .. A .. '],"weight":1}', "weight",
        '"weight" has no place in ShareGPT'},
      {"chat", "completion", chat(Q, '{"role":"assistant","content":"a","weight":1}'), "messages[1].weight",
        '"weight" of messages[1] has no place in prompt/completion'},
      {"chat", "sharegpt", chat('{"role":"developer","content":"d"}', Q, A), "messages[0].role",
        'the role "developer" has no place in ShareGPT'},
      {"chat", "sharegpt", chat('{"role":"user","content":[{"type":"text","text":"q"}]}', A), "messages[0].content",
        '"content" of messages[0] is no string, and ShareGPT has only text'},
      {"chat", "sharegpt", chat(Q, '{"role":"assistant"}'), "messages[1]",
        '"content" of messages[1] is missing, and ShareGPT has only text'},
      {"chat", "sharegpt", chat(Q, '{"role":"assistant","content":"a","content":"b"}'), "messages[1].content",
        '"content" of messages[1] has no place in ShareGPT'},
      {"chat", "completion", chat('{"role":"system","content":"s"}', Q, A), "messages[0]",
        "messages[0] has no place in prompt/completion: there is room for one message of the user and one of the " ..
        "assistant"},
      {"chat", "completion", chat(Q, A, Q, A), "messages[2]", "messages[2] has no place in prompt/completion: there"},
      {"chat", "completion", chat(Q, A, Q, A, Q), "messages[2]", "messages[2] has no place"},
      {"chat", "completion", chat(Q), "", "prompt/completion needs a message of the user and one of the assistant"},
      {"chat", "instruction", chat('{"role":"system","content":"s"}', '{"role":"user","content":""}', A), "messages[1]",
        "messages[1] has no place in instruction/input/output: there is room for one message of the user, which is " ..
        "not empty behind one of the system, and one of the assistant"},
      {"chat", "sharegpt", chat(), "", "there is no message: ShareGPT needs one"},
      {"chat", "sharegpt", '{"messages":{}}', "messages", "there is no array of messages"},
      {"chat", "sharegpt", '{"messages":["q"]}', "messages[0]", "this is no object, as a chat example has it"},
      {"sharegpt", "chat", '{"conversations":[{"from":"observation","value":"x"}]}', "conversations[0].from",
        'the from "observation" has no place in chat'},
      {"sharegpt", "chat", '{"id":"x","conversations":[]}', "id", '"id" has no place in chat'},
      {"sharegpt", "chat", '{"conversations":[],"system":"s"}', "system", '"system" has no place in chat'},
      {"instruction", "completion", '{"instruction":"i","input":"x","output":"o"}', "input",
        '"input" has no place in prompt/completion, unless it is empty'},
      {"instruction", "chat", '{"instruction":"i","output":"o","system":"s"}', "system",
        '"system" has no place in chat'},
      {"completion", "text", '{"prompt":"p","completion":"c"}', "prompt",
        '"prompt" has no place in plain text, unless it is empty'},
      {"completion", "chat", '{"prompt":["p"],"completion":"c"}', "prompt",
        '"prompt" is no string, and chat has only text'},
      {"preference", "chat", "{}", "", "of the two answers of a preference example only one would have a place"},
      {"chat", "preference", "{}", "", "a preference example needs a second answer, the one that is not preferred"},
      {"reinforcement", "chat", "{}", "", "a reinforcement example has no answer to learn from"},
      {"chat", "reinforcement", "{}", "", "a reinforcement example has no place for an answer to learn from"},
      {"text", "chat", '{"text":"t"}', "", "plain text does not tell who speaks"},
    }
    for _, c in ipairs(LOST) do
      it(("from %s to %s is refused: %s"):format(c[1], c[2], c[5]), function()
        local path, words = convert(c[1], c[2], c[3]):match "^lost %d+ (.-): (.*)$"
        assert.equal(c[4], path)
        assert.equal(c[5], words:sub(1, #c[5]))
      end)
    end

    it("tells the byte", function()
      assert.equal('lost 14 id: "id" has no place in chat', convert("sharegpt", "chat", '{"x":"", "id":17}', "x"))
    end)

    it("loses what it is told to lose, and nothing else", function()
      local text = '{"id":7,"messages":[{"role":"user","content":"q","name":"n"},{"role":"assistant","content":"a"}]}'
      assert.matches('^lost %d+ id: "id"', convert("chat", "completion", text))
      assert.matches('^lost %d+ messages%[0%].name: "name"', convert("chat", "completion", text, "id"))
      assert.equal('{"prompt":"q","completion":"a"}', convert("chat", "completion", text, "id name"))
      assert.matches("^lost", convert("chat", "completion", chat(Q, A, Q, A), "messages content role"))
    end)

    it("does not touch what is in the format already", function()
      local odd = ' {"x" : [1e2,"\\/é"] ,\t"messages":[ ]}  '
      for name in pairs(FORMATS) do assert.equal(odd, convert(name, name, odd)) end
    end)
  end)

  describe("a truncation", function()
    local function talk(roles) -- "s u a t": messages whose content is their number
      local list = {}
      for word in roles:gmatch "%S" do
        local role = ({s = "system", d = "developer", u = "user", a = "assistant", t = "tool"})[word]
        list[#list + 1] = ('{"role":"%s","content":"%d"}'):format(role, #list)
      end
      return '{"x":1, "messages":[' .. table.concat(list, ", ") .. "] }"
    end

    local function left(roles, most)
      local line = run("truncate 1 messages " .. most, talk(roles))[1]
      return (line:gsub('^{"x":1, "messages":%[', ""):gsub("%] }$", ""):gsub('{"role":"%a+","content":"(%d+)"}', "%1"))
    end

    it("leaves out the oldest turns first, whole", function()
      assert.equal("fits 5", left("suaua", 5))
      assert.equal("0, 3, 4", left("suaua", 4))
      assert.equal("0, 3, 4", left("suaua", 3))
      assert.equal("cannot 3", left("suaua", 2))
      assert.equal("3, 4, 5, 6", left("uaauaua", 5))
      assert.equal("1, 2", left("aua", 2))
    end)

    it("keeps system and developer messages wherever they stand", function()
      assert.equal("0, 3, 4, 5", left("suadua", 4))
      assert.equal("cannot 5", left("sdsua", 4))
    end)

    it("then leaves out rounds before the last answer, calls with their answers", function()
      assert.equal("0, 4, 5, 6", left("uattata", 4))
      assert.equal("0, 6", left("uattata", 3))
      assert.equal("2, 5, 6", left("uauatat", 3))
      assert.equal("cannot 2", left("uattata", 1))
    end)

    it("keeps the last question where there is no answer", function()
      assert.equal("2", left("uau", 1))
      assert.equal("cannot 1", left("u", 0))
    end)

    it("counts characters", function()
      local text = '{"messages":[{"role":"user","content":"\\ud83d\\ude00\\n\\u00e9é"},{"role":"user","content":[' ..
        '{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"x"}}]},' ..
        '{"role":"assistant","content":null}]}'
      assert.equal("fits 7", run("truncate 1 characters 7", text)[1])
      assert.equal("cannot 3", run("truncate 1 characters 2", text)[1])
      assert.equal((text:gsub('{"role":"user","content":"[^"]*"},', "")), run("truncate 1 characters 6", text)[1])
    end)

    it("knows the other conversations", function()
      assert.equal('{"conversations":[{"from":"human","value":"b"},{"from":"gpt","value":"c"}]}', run(
        "truncate 7 messages 2", '{"conversations":[{"from":"human","value":"a"},{"from":"human","value":"b"},' ..
        '{"from":"gpt","value":"c"}]}')[1])
      assert.equal('{"input":{"messages":[{"role":"user"}]},"preferred_output":[]}', run("truncate 3 messages 1",
        '{"input":{"messages":[{"role":"user"},{"role":"user"}]},"preferred_output":[]}')[1])
      assert.equal("cannot 1", run("truncate 3 messages 0", '{"input":{"messages":[{"role":"user"}]}}')[1])
      assert.equal("fits 0", run("truncate 5 messages 0", '{"text":"x"}')[1])
    end)
  end)

  describe("the hash", function()
    local function hashes(lines)
      local list = run("hash 7 0.5", lines)
      for i, line in ipairs(list) do list[i] = line:match "^%x+" end
      return list
    end

    it("is of what the example says", function()
      local h = hashes {'{"b":[1,"\\u00e9\\/"],"a":{"x":null}}', '{ "a" : {"x":null}, "\\u0062" : [ 1 , "é/" ] }',
        '{"b":[1.0,"é/"],"a":{"x":null}}', '{"b":["é/",1],"a":{"x":null}}', '{"b":[1,"e/"],"a":{"x":null}}'}
      assert.equal(h[1], h[2])
      for i = 3, 5 do assert.not_equal(h[1], h[i]) end
    end)
  end)

  describe("statistics", function()
    it("are exact for small numbers", function()
      local numbers = {}
      for i = 1, 100 do numbers[i] = i end
      local lines = run("stats", numbers)
      assert.equal("1 100 50.5 50.5 95", lines[1])
      assert.equal("0-9 9", lines[2])
      assert.equal("10-19 10", lines[3])
      assert.equal("7 7 7 7 7", run("stats", {7})[1])
    end)

    it("put what is far away into one bar", function()
      local numbers = {1000000}
      for i = 2, 1000 do numbers[i] = 10 + i % 10 end
      local lines = run("stats", numbers)
      assert.equal("20-1000000 1", lines[#lines])
      assert.equal(12, #lines)
    end)
  end)
end)
