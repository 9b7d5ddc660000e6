-- README.md as its reader meets it: every block of code is run, or, for shell
-- commands, is one that exists; and what the sentences around promise is there.

local service = require "spec.support.service"
local shell = require "spec.support.shell"

local root, quote = shell.root, shell.quote

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
end

local README = read "README.md"

-- the fenced blocks of README.md -> array of {language, code, line}
local function blocks()
  local list, line, block = {}, 0, nil
  for text in README:gmatch "([^\n]*)\n" do
    line = line + 1
    local fence = text:match "^```(%w*)$"
    if fence and not block then
      block = {language = fence, line = line, code = {}}
    elseif fence then
      block.code = table.concat(block.code, "\n") .. "\n"
      list[#list + 1], block = block, nil
    elseif block then
      table.insert(block.code, text)
    end
  end
  assert(not block, "README.md ends inside a block of code")
  return list
end

local all = blocks()

local function of(language)
  local list = {}
  for _, b in ipairs(all) do if b.language == language then list[#list + 1] = b end end
  return list
end

describe("README.md", function()
  local server, tmp, env

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.2}, shell.folder()
    shell.must(("cp %s/examples/data/support*.jsonl %s"):format(quote(root), quote(tmp)))
    write(tmp .. "/tickets.csv", 'Question,Answer,Agent\r\n"Where is it?",here,7\r\n"Who, me?",you,8\r\n')
    write(tmp .. "/more.jsonl", ('{"prompt":"a","completion":"b"}\n'):rep(2) .. "broken\n")
    shell.must("gzip more.jsonl", {cwd = tmp})
    env = {
      FINE_TUNE_HOME = tmp .. "/home",
      OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url, FINE_TUNE_MODEL = server.model,
      FINE_TUNE_PROVIDER_PATH = root .. "/examples",
      LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(root, root),
      LUA_CPATH = ("%s/lua/?.so;;"):format(root),
    }
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  it("has only blocks that this spec knows how to run", function()
    local known = {lua = true, sh = true, c = true, console = true} -- console: see readme_command_spec
    for _, b in ipairs(all) do assert.is_true(known[b.language], "line " .. b.line .. ": " .. b.language) end
    assert.is_true(#of "lua" >= 9)
  end)

  -- what must be seen in the output of the block with this text in it
  local EXPECTED = {
    ["print(job.fine_tuned_model)"] = "\nft:%S+:support:%S+\n$",
    ["{max_retries = 4}"] = "^openai\n",
    ["opneai"] = "nil\tconfig\tfinetune: .-'openai'.*\ntrue\n$",
    ["asistant"] = "^nil\tdata\n2\t77\tmessages%[1%]%.role\trole\t.*assistant",
    ["tickets.csv"] = "^3\t1\t1\t0\n%d+\t%d+%.%d\t%d+%.%d\n[%d.]+\tUSD\t25\t%S+\ttrue\n$",
    ["wait = true"] = "succeeded\n.*%d+\t[%d.]+",
    ["ftjob-nobody"] = "^nil\tnot_found\t404\nfinetune: openai get_job: 404 ",
    ["finetune.map(ids"] = "^%d+\t%d+\tnil\nftjob%-1\tnot_found.*done\tnil\tnot_found\nnil\tfinetune: ",
    ["testing.contract(P)"] = "^tuned%-1\n$",
    ["{events}"] = "\nstep 3 of 3, loss 0%.6\n.*job succeeded\n$",
    ["finetune.evaluate"] = "^[%w-]+\n.*accuracy [%d.]+ %%, %d+ of 50",
    ["my-gateway"] = "^finetune.provider: my%-gateway",
  }

  for i, b in ipairs(of "lua") do
    it(("runs block %d, at line %d"):format(i, b.line), function()
      local path = tmp .. "/block.lua"
      write(path, b.code)
      local output = shell.must("exec lua5.4 block.lua", {env = env, cwd = tmp})
      for text, pattern in pairs(EXPECTED) do
        if b.code:find(text, 1, true) then assert.truthy(output:find(pattern), text .. "\n" .. output) end
      end
    end)
  end

  it("shows examples/my_provider.lua whole", function()
    local code = read "examples/my_provider.lua"
    local found = false
    for _, b in ipairs(of "lua") do found = found or b.code == code end
    assert.is_true(found, "the block in README.md is not examples/my_provider.lua")
  end)

  it("compiles the block in C", function()
    for _, b in ipairs(of "c") do
      write(tmp .. "/block.c", b.code .. "int used (lua_State *L) { return start_models(L); }\n")
      local flags = ("-std=c99 -Wall -Wextra -Werror -iquote %s/csrc"):format(quote(root))
      shell.must(("cc %s -fsyntax-only $(pkg-config --cflags lua5.4) block.c"):format(flags), {cwd = tmp})
    end
  end)

  it("names commands that exist", function()
    local makefile = read "Makefile"
    local function is_target(name) assert.truthy(makefile:find("\n" .. name .. ":", 1, true), name) end
    for _, b in ipairs(of "sh") do
      for target in b.code:gmatch "make (%S+)" do is_target(target) end
      for path in b.code:gmatch "%S+%.lua" do read(path) end
    end
    for target in README:gmatch "`make (%w+)`" do is_target(target) end
  end)

  it("names files that exist", function()
    for path in README:gmatch "`([%w_]+/[%w_/]+%.[%w]+)`" do read(path) end
  end)

  it("names every operation", function()
    for _, op in ipairs(require("finetune.core").ops) do
      assert.truthy(README:find("`" .. op.name .. "`", 1, true), op.name)
    end
  end)

  it("runs the one spec that it shows", function()
    local status, output = shell.run "busted spec/provider_interface_spec.lua"
    assert.equal(0, status, output)
    assert.truthy(output:find "%d+ passed, 0 failed")
  end)
end)
