-- README.md's section on the command, from its first block to its last, as its reader would type it: in a terminal that
-- answers its questions with yes, against the loopback service and this machine.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local TYPO = [[
{"messages": [{"role": "user", "content": "Where is my invoice?"}, {"role": "assistant", "content": "billing"}]}
{"messages": [{"role": "user", "content": "It crashes"}, {"role": "asistant", "content": "bug"}]}
]]

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- The blocks of the section, in order -> array of {language, code}
local function blocks()
  local section = read(shell.root .. "/README.md"):match "\n### The command\n(.-)\n### "
  local list = {}
  for language, code in section:gmatch "```(%a+)\n(.-)```\n" do list[#list + 1] = {language = language, code = code} end
  return list
end

describe("README.md's section on the command", function()
  local server, tmp, cli, env

  lazy_setup(function()
    server = service.start {job_seconds = 0.3, models = {"gpt-4.1-mini"}}
    tmp = shell.folder()
    env = {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url, FINE_TUNE_HOME = tmp .. "/store"}
    cli = clis.new(tmp, env)
    shell.must(("mkdir %s/bin && ln -s %s %s/bin/finetune && cp %s/examples/data/support.jsonl %s"):format(tmp,
      shell.quote(clis.path), tmp, shell.quote(shell.root), tmp))
    clis.write(tmp .. "/typo.jsonl", TYPO)
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  -- A block for sh, with real ids and the key in it
  local function prepared(code)
    local job = cli.json("finetune jobs --status succeeded").jobs[1] or {}
    return (code:gsub("OPENAI_API_KEY=%.%.%.", "OPENAI_API_KEY=" .. server.key):gsub("ftjob%-42", job.id or "%0")
      :gsub("MODEL%-42", job.fine_tuned_model or "%0"))
  end

  -- `yes`: how many questions it asks
  local function run(code, yes)
    clis.write(tmp .. "/block.sh", "set -e\nPATH=$HOME/bin:$PATH\n" .. prepared(code))
    local steps = {}
    for _ = 1, yes do
      steps[#steps + 1] = {"expect", "[y/N] "}
      steps[#steps + 1] = {"send", "y\n"}
    end
    return cli.pty("block.sh", steps, {program = "sh", columns = 110, rows = 40})
  end

  -- The first lines that a block shows of a command are the first that it writes. The service is the real one: without
  -- a terminal nothing is sent to it.
  local function shows(code)
    local line, shown = code:match "^%$ ([^\n]*)\n(.*)$"
    local _, out = cli.run("unset OPENAI_BASE_URL; " .. line)
    assert.equal(shown, out:sub(1, #shown))
  end

  it("is run from its first block to its last", function()
    if not clis.has_pty() then return pending "there is no python3" end
    if not shell.has "fasttext" then return pending "there is no fasttext" end
    local ran = {console = 0, sh = 0, lua = 0}
    for _, block in ipairs(blocks()) do
      ran[block.language] = ran[block.language] + 1
      if block.language == "console" then
        shows(block.code)
      elseif block.language == "sh" then
        local asks = 0
        for line in block.code:gmatch "finetune tune [^\n]*" do
          asks = asks + (line:find("--yes", 1, true) and 0 or 1)
        end
        local got = run(block.code, asks)
        assert.equal(0, got.status, block.code .. got.output)
        assert.is_true(got.seen)
        assert.not_matches("no job:", got.output, 1, true)
      else
        shell.must(("mkdir -p %s/.config/finetune"):format(tmp))
        clis.write(tmp .. "/.config/finetune/config.lua", block.code)
        assert.matches("together %*", cli.must "finetune providers")
        assert.matches("openai %*", cli.must "finetune providers --profile work")
        os.remove(tmp .. "/.config/finetune/config.lua")
      end
    end
    assert.same({console = 2, sh = 6, lua = 1}, ran)
    assert.is_nil(schema.wrong("check", core.decode(read(tmp .. "/report.json"))))
    assert.is_nil(schema.wrong("tune", core.decode(read(tmp .. "/job.json"))))
    assert.matches("Dataset: train.jsonl", read(tmp .. "/report.html"), 1, true)
    assert.matches("^%{", read(tmp .. "/backup/manifest.jsonl"))
  end)
end)
