-- Vocabularies and token counts: with a small vocabulary written here, so that all of this runs anywhere. That counts
-- equal those of npm tiktoken, with OpenAI's own files, is in tokens_npm_spec.lua.
local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"
local tokens = require "finetune.tokens"

local small = require "spec.support.tokens.small"

local folder
setup(function()
  folder = os.tmpname()
  os.remove(folder)
  assert(core.fs.mkdir(folder))
end)
teardown(function() shell.run("rm -rf " .. shell.quote(folder)) end)

local made = 0
local function file(text)
  made = made + 1
  local path = ("%s/%d.tiktoken"):format(folder, made)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  return path
end

local function load(text, like)
  return finetune.vocabulary {path = file(text), like = like or "o200k_base"}
end

local function refused(text)
  local vocabulary, err = load(text)
  assert.is_nil(vocabulary)
  assert.equal("data", err.kind)
  return err.message
end

describe("a vocabulary", function()
  it("is read from a file of lines of base64 and rank", function()
    local vocabulary = assert(load(small.text()))
    local like, known, count = vocabulary:facts()
    assert.same({"o200k_base", false, 256 + #small.words}, {like, known, count})
  end)

  it("may have CRs, empty lines and no end of the last line", function()
    assert(load((small.text():gsub("\n", "\r\n\r\n"))))
    assert(load((small.text():gsub("\n$", ""))))
  end)

  for name, case in pairs {
    ["a line without a rank"] = {"YQ==\n", "line 257 .*base64 rank"},
    ["a rank that is no number"] = {"YWI= x1\n", "line 257 .*rank"},
    ["a negative rank"] = {"YWI= -1\n", "line 257 .*rank"},
    ["a rank that is too great"] = {"YWI= 2097151\n", "line 257 .*rank"},
    ["a token that is not base64"] = {"Y%I= 300\n", "line 257 .*base64"},
    ["base64 of a wrong length"] = {"YWI 300\n", "line 257 .*base64"},
    ["an empty token"] = {" 300\n", "line 257 .*base64"},
    ["padding in the middle"] = {"Y=I= 300\n", "line 257 .*base64"},
    ["a token twice"] = {"YQ== 300\n", "line 257 .*token was there"},
    ["a token of two bytes twice"] = {"YWI= 300\nYWI= 301\n", "line 258 .*token was there"},
    ["a longer token twice"] = {"YWJj 300\nYWJj 301\n", "line 258 .*token was there"},
    ["a token of nine bytes twice"] = {"YWJjYWJjYWJj 300\nYWJjYWJjYWJj 301\n", "line 258 .*token was there"},
    ["a rank twice"] = {"YWI= 5\n", "line 257 .*rank was there"},
    ["a token that is too long"] = {small.encode(("x"):rep(256)) .. " 300\n", "line 257 .*255 bytes"},
    ["a line that is too long"] = {("A"):rep(100000) .. "\n", "line 257 .*too long"},
    ["a line that never ends"] = {("A"):rep(100000), "line 257 .*too long"},
  } do
    it("is refused for " .. name, function()
      assert.matches(case[2], refused(small.bytes() .. case[1]))
    end)
  end

  it("is refused without each single byte", function()
    assert.matches("single byte 0x07", refused((small.bytes():gsub("Bw== 7\n", ""))))
    assert.matches("single byte 0x00", refused "")
  end)

  it("is refused where it is no regular file", function()
    local fifo = folder .. "/fifo"
    assert(os.execute("mkfifo '" .. fifo .. "'"))
    for _, path in ipairs {fifo, folder, folder .. "/none"} do
      local vocabulary, err = finetune.vocabulary {path = path, like = "o200k_base"}
      assert.is_nil(vocabulary)
      assert.matches(path, err.message, 1, true)
    end
  end)

  it("must be OpenAI's own where an encoding is named", function()
    local vocabulary, err = finetune.vocabulary {path = file(small.text()), encoding = "cl100k_base"}
    assert.is_nil(vocabulary)
    assert.matches("SHA%-256.*223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7", err.message)
  end)

  it("raises where it is not said whose it is", function()
    for _, p in ipairs {{}, {path = "x"}, {encoding = "p50k_base"}, {enkoding = "o200k_base"}} do
      assert.error(function() finetune.vocabulary(p) end)
    end
  end)

  it("cannot be used when it is closed, nor before it is read", function()
    local vocabulary = assert(load(small.text()))
    vocabulary:close()
    vocabulary:close()
    assert.error_matches(function() vocabulary:count "x" end, "closed")
    vocabulary = assert(core.vocabulary(file(small.text()), "o200k_base", false))
    assert.error_matches(function() vocabulary:count "x" end, "not read to its end")
  end)

  it("lets others go on while it is read", function()
    local others, done = 0, false
    local path = file(small.text() .. small.filler(400000))
    finetune.run(function()
      assert(finetune.vocabulary {path = path, like = "o200k_base"})
      done = true
    end, function()
      while not done do
        finetune.sleep(0)
        others = others + 1
      end
    end)
    assert.is_true(others >= 2)
  end)
end)

describe("merging", function()
  local vocabulary
  setup(function() vocabulary = assert(load(small.text())) end)

  -- what tiktoken does, in a few lines: of all pairs that are tokens the one of least rank, of equals the leftmost
  local function merged(piece)
    local parts = {}
    for i = 1, #piece do parts[i] = piece:sub(i, i) end
    while true do
      local least, where = math.huge, nil
      for i = 1, #parts - 1 do
        local rank = small.ranks[parts[i] .. parts[i + 1]]
        if rank and rank < least then least, where = rank, i end
      end
      if not where then return #parts end
      parts[where] = parts[where] .. table.remove(parts, where + 1)
    end
  end

  it("takes the pair of least rank first, and the leftmost of equals", function()
    math.randomseed(11)
    for _, most in ipairs {4, 15, 16, 40, 128, 129, 200, 1000, 4096} do
      for _ = 1, most > 300 and 3 or 200 do
        local letters = {}
        for i = 1, math.random(1, most) do letters[i] = ("abcd"):sub(math.random(1, 4)):sub(1, 1) end
        local piece = table.concat(letters)
        assert.equal(merged(piece), vocabulary:count(piece), piece)
      end
    end
  end)

  it("counts a piece again as it did before", function()
    for _ = 1, 3 do
      assert.equal(merged "abcabd", vocabulary:count "abcabd")
      assert.equal(0, vocabulary:count "")
    end
    assert.equal(2, vocabulary:count "a\0")
    assert.equal(3, vocabulary:count "a\0\0")
  end)

  it("counts special tokens as the text that they are, and bytes that are no UTF-8 one by one", function()
    assert.equal(#"<|endoftext|>", vocabulary:count "<|endoftext|>")
    assert.equal(3, vocabulary:count "\xff\xc0\xed")
    assert.equal(2, vocabulary:count "\xe4\xb8")
  end)

  it("takes no longer for a longer run than its length", function()
    local function seconds(n)
      local text = ("abdc"):rep(n)
      local began = os.clock()
      for _ = 1, 4 do vocabulary:count(text) end
      return os.clock() - began
    end
    seconds(1000)
    assert.is_true(seconds(400000) < 40 * (seconds(40000) + 0.005))
  end)
end)

describe("count_tokens", function()
  local vocabulary
  setup(function() vocabulary = assert(load(small.text())) end)
  local said = "abc"

  it("counts a text", function()
    assert.same({tokens = 1, estimated = false, encoding = "o200k_base"},
      finetune.count_tokens {text = said, vocabulary = vocabulary})
  end)

  it("adds 3 a message, 1 a name, 3 for the reply", function()
    local messages = {{role = "user", content = said}, {role = "assistant", content = said, name = "d"}}
    local got = finetune.count_tokens {messages = messages, vocabulary = vocabulary}
    assert.equal((3 + 4 + 1) + (3 + 9 + 1 + 1 + 1) + 3, got.tokens)
    assert.equal(1, got.learned)
  end)

  local function learned(message)
    message.role = "assistant"
    local messages = {{role = "user", content = said}, message}
    return finetune.count_tokens({messages = messages, vocabulary = vocabulary}).learned
  end

  it("learns from assistants, but not where the weight is 0", function()
    assert.equal(1, learned {content = said})
    assert.equal(1, learned {content = said, weight = 1})
    assert.equal(0, learned {content = said, weight = 0})
    assert.equal(2, learned {content = {{type = "text", text = said}, {type = "refusal", refusal = said}}})
    assert.equal(3 + 2, learned {tool_calls = {{id = "x", type = "function",
      ["function"] = {name = said, arguments = said}}}})
  end)

  it("takes examples of every format", function()
    local function both(example)
      local got = finetune.count_tokens {example = example, vocabulary = vocabulary}
      return {got.tokens, got.learned}
    end
    local input = {messages = {{role = "user", content = said}}}
    local answer = {{role = "assistant", content = said}}
    assert.same({2, 1}, both {prompt = said, completion = said})
    assert.same({1, 1}, both {text = said})
    assert.same({3, 1}, both {instruction = said, input = said, output = said})
    assert.same({(3 + 5 + 1) + (3 + 3 + 1) + 3, 1},
      both {conversations = {{from = "human", value = said}, {from = "gpt", value = said}}})
    assert.same({(3 + 4 + 1) + 2 * (3 + 9 + 1) + 3, 2},
      both {input = input, preferred_output = answer, non_preferred_output = answer})
    assert.same({1, 1}, both '{"text": "\\u0061b\\u0063"}')
  end)

  it("says what is wrong with the text or the example", function()
    assert.matches("UTF%-8", select(2, finetune.count_tokens {text = "\xff"}).message)
    assert.equal("data", select(2, finetune.count_tokens {example = "{"}).kind)
    assert.equal("data", select(2, finetune.count_tokens {example = "{", vocabulary = vocabulary}).kind)
    assert.error(function() finetune.count_tokens {} end)
    assert.error(function() finetune.count_tokens {text = "a", messages = {}} end)
  end)

  it("estimates, and says so, without a vocabulary", function()
    local got = finetune.count_tokens {text = "You sort incoming mail for a small team."}
    assert.is_true(got.estimated)
    assert.is_nil(got.encoding)
    assert.is_true(got.tokens >= 8 and got.tokens <= 11, got.tokens)
  end)

  it("estimates the example data 5 % too high", function()
    local sum = 0
    for _, name in ipairs {"support", "support_valid"} do
      for line in io.lines("examples/data/" .. name .. ".jsonl") do
        sum = sum + finetune.count_tokens({example = line}).tokens
      end
    end
    assert.is_true(math.abs(sum / 52708 - 1) < 0.06, sum) -- 52708: tokens_npm_spec.lua
  end)
end)

describe("the encoding of a model", function()
  for model, encoding in pairs {["gpt-4o-mini-2024-07-18"] = "o200k_base", ["gpt-4.1-nano-2025-04-14"] = "o200k_base",
    ["o4-mini-2025-04-16"] = "o200k_base", ["gpt-5"] = "o200k_base", ["gpt-3.5-turbo-0125"] = "cl100k_base",
    ["gpt-4-0613"] = "cl100k_base", ["ft:gpt-4o-2024-08-06:acme::id"] = "o200k_base",
    ["ft:gpt-4.1-mini-2025-04-14:acme::id"] = "o200k_base", ["ft:gpt-3.5-turbo:acme::id"] = "cl100k_base"} do
    it("is known for " .. model, function() assert.equal(encoding, tokens.encoding_of(model)) end)
  end
  it("is not made up", function() assert.is_nil(tokens.encoding_of "meta-llama/Llama-3.1-8B") end)
end)

describe("tiktoken's cache", function()
  -- In a child process, since it hangs on the environment
  local function child(environment, lua)
    local path = file("package.path, package.cpath = " .. ("%q, %q"):format(package.path, package.cpath)
      .. "\nlocal finetune = require 'finetune'\n" .. lua)
    return (select(2, shell.run(("env %s lua5.4 %s"):format(environment, path))))
  end

  local CACHE = "io.write(tostring((require('finetune.tokens').cache_path 'o200k_base')))"
  local NAME = "fb374d419588a4632f3f557e76b4b70aebbca790"

  it("is where the variables say, in tiktoken's order; set and empty there is none", function()
    assert.equal("/a/" .. NAME, child("TIKTOKEN_CACHE_DIR=/a DATA_GYM_CACHE_DIR=/b", CACHE))
    assert.equal("/b/" .. NAME, child("-u TIKTOKEN_CACHE_DIR DATA_GYM_CACHE_DIR=/b", CACHE))
    assert.equal("nil", child("TIKTOKEN_CACHE_DIR= DATA_GYM_CACHE_DIR=/b", CACHE))
    assert.equal("/c/data-gym-cache/" .. NAME,
      child("-u TIKTOKEN_CACHE_DIR -u DATA_GYM_CACHE_DIR TMPDIR=/c", CACHE))
  end)

  it("is not written to, nor the network asked, until that is wanted", function()
    local text = child("TIKTOKEN_CACHE_DIR=" .. folder .. "/empty",
      "local v, err = finetune.vocabulary {model = 'gpt-4o'} print(v, err.kind, err)")
    assert.matches("^nil%s+config.*download = true", text)
    assert.is_nil(core.fs.stat(folder .. "/empty"))
  end)

  it("gives nothing that is not OpenAI's file", function()
    local cache = folder .. "/bad"
    core.fs.mkdir(cache)
    os.rename(file(small.text()), cache .. "/" .. NAME)
    local text = child("TIKTOKEN_CACHE_DIR=" .. cache,
      "local v, err = finetune.vocabulary {encoding = 'o200k_base'} print(v, err.kind, err)")
    assert.matches("^nil%s+data.*SHA%-256", text)
  end)

  it("keeps nothing of a download that is not OpenAI's file", function()
    local cache = folder .. "/fetched"
    local text = child("TIKTOKEN_CACHE_DIR=" .. cache, [[
      local testing = require "finetune.testing"
      local transport, log = testing.transport {{"GET /encodings/o200k_base.tiktoken",
        status = 200, body = "YQ== 0\n"}}
      local v, err = finetune.vocabulary {encoding = "o200k_base", download = true, settings = {transport = transport}}
      print(v, err.kind, err)]])
    assert.matches("^nil%s+data.*its SHA%-256 is 5cf7e7c1be6c", text)
    assert.is_nil(core.fs.stat(cache .. "/" .. NAME))
    assert.equal("", (select(2, shell.run("ls " .. shell.quote(cache)))))
  end)
end)
