-- The scripts of `finetune completion`, loaded in the real shells.

local clis = require "spec.support.cli"
local schema = require "spec.cli.schema"
local shell = require "spec.support.shell"

describe("finetune completion", function()
  local tmp, cli

  lazy_setup(function()
    tmp = shell.folder()
    cli = clis.new(tmp, {})
    shell.must(("mkdir -p %s/fpath"):format(tmp))
    cli.must "finetune completion bash >finetune.bash"
    cli.must "finetune completion zsh >fpath/_finetune"
    cli.must "finetune completion fish >finetune.fish"
  end)

  lazy_teardown(function() shell.remove(tmp) end)

  it("gives its script to programs, too", function()
    for _, name in ipairs {"bash", "zsh", "fish"} do
      local doc = cli.json("finetune completion " .. name)
      assert.is_nil(schema.wrong("completion", doc))
      assert.equal(cli.must("finetune completion " .. name), doc.script)
    end
  end)

  local function has(name) return shell.has(name) or pending("there is no " .. name) end

  -- What bash would offer for these words
  local function bash(...)
    local words = {}
    for i, word in ipairs {...} do words[i] = shell.quote(word) end
    return shell.must("bash --norc -c " .. shell.quote((". %s/finetune.bash; COMP_WORDS=(%s); COMP_CWORD=%d; "
      .. "COMPREPLY=(); _finetune finetune; printf '%%s\\n' \"${COMPREPLY[@]}\""):format(tmp, table.concat(words, " "),
      #words - 1)))
  end

  it("in bash", function()
    if has "bash" ~= true then return end
    assert.equal("checkpoints\n", bash("finetune", "checkp"))
    assert.matches("%-%-html\n", bash("finetune", "metrics", "--h"))
    assert.matches("%-%-provider\n", bash("finetune", "--pro"))
    assert.equal("together\n", bash("finetune", "jobs", "--provider", "tog"))
    assert.equal("sharegpt\n", bash("finetune", "check", "--format", "sh"))
    assert.equal("sharegpt\n", bash("finetune", "check", "--format", "=", "sh"))
    assert.matches("^chat\n", bash("finetune", "check", "--format", "="))
    assert.equal("bash\nzsh\nfish\n", bash("finetune", "completion", ""))
    assert.equal("zsh\n", bash("finetune", "--timeout", "5", "completion", "--json", "z"))
    assert.equal("\n", bash("finetune", "completion", "zsh", ""))
    assert.equal("rm\n", bash("finetune", "model", ""))
    assert.equal("\n", bash("finetune", "model", "rm", "r"))
    assert.equal("together\n", bash("finetune", "providers", "tog"))
    shell.must(("mkdir -p %s/data/sub && touch %s/data/one.jsonl '%s/data/two words.jsonl'"):format(tmp, tmp, tmp))
    local data = tmp .. "/data/"
    assert.equal(data .. "one.jsonl\n", bash("finetune", "check", data .. "o"))
    assert.equal(data .. "two words.jsonl\n", bash("finetune", "prepare", data .. "one.jsonl", "--to", "chat",
      data .. "t"))
    assert.equal(data .. "one.jsonl\n", bash("finetune", "tune", "--model", "m", data .. "o"))
    assert.equal(data .. "one.jsonl\n", bash("finetune", "evaluate", "MODEL", "--limit", "=", "5", data .. "o"))
    assert.equal("\n", bash("finetune", "evaluate", data .. "o"))
    assert.equal(data .. "sub\n", bash("finetune", "inventory", data))
    assert.equal("\n", bash("finetune", "status", data .. "o"))
  end)

  it("in zsh", function()
    if has "zsh" ~= true then return end
    local script = ("fpath=(%s/fpath $fpath); autoload -Uz compinit && compinit -D -u; print -r -- $_comps[finetune]; "
      .. "autoload +X _finetune && print loaded"):format(tmp)
    assert.equal("_finetune\nloaded\n", shell.must("zsh -f -c " .. shell.quote(script), {env = {HOME = tmp}}))
    if not clis.has_pty() then return end
    local rc <close> = assert(io.open(tmp .. "/.zshrc", "wb"))
    rc:write(("fpath=(%s/fpath $fpath); autoload -Uz compinit && compinit -D -u; PS1='> '\n"):format(tmp))
    rc:close()
    local steps = [=[[["expect","> "],["send","finetune checkp\t"],["expect","checkpoints"],["send","\u0015exit\n"]]]=]
    local out = shell.must(("TERM=dumb HOME=%s ZDOTDIR=%s python3 spec/support/cli_pty.py 80 24 %s zsh -d -i"):format(
      tmp, tmp, shell.quote(steps)))
    assert.matches('"seen": true', out)
  end)

  it("in fish", function()
    if has "fish" ~= true then return end
    local function fish(line)
      return shell.must("fish --no-config -c " .. shell.quote((". %s/finetune.fish; complete -C %s"):format(tmp,
        shell.quote(line))), {env = {HOME = tmp}})
    end
    assert.matches("^checkpoints\t", fish "finetune checkp")
    assert.matches("%-%-html\t", fish "finetune metrics --h")
    assert.matches("%-%-provider\t", fish "finetune --pro")
    assert.matches("^together\t", fish "finetune --provider tog")
    assert.equal("zsh\n", fish "finetune completion z")
    assert.equal("together\n", fish "finetune providers tog")
  end)
end)
