-- An output that only its owner could read (0600) became one that everybody could (0644) when it was replaced.

local data = require "spec.support.dataset"
local shell = require "spec.support.shell"

local quote = shell.quote

describe("a file that is replaced", function()
  local box, raw
  before_each(function()
    box = data.box()
    local lines = {}
    for i = 1, 20 do lines[i] = data.chat(('{"role":"user","content":"%d"}'):format(i), data.ANSWER) end
    raw = box.write("raw.jsonl", table.concat(lines, "\n") .. "\n")
  end)
  after_each(function() box.close() end)

  local function mode(name) return (shell.must("stat -c %a " .. quote(box.path(name))):match "%d+") end

  local function prepare(options)
    options.path, options.output = raw, box.path "out.jsonl"
    return assert(box.provider:prepare_data(options))
  end

  it("keeps its permission bits, whatever the umask", function()
    for _, bits in ipairs {"600", "640", "664", "444"} do
      for _, options in ipairs {{}, {shuffle = true}, {validation = 0.5}} do
        box.write("out.jsonl", "old")
        shell.must(("chmod %s %s"):format(bits, quote(box.path "out.jsonl")))
        prepare(options)
        assert.not_equal("old", box.read "out.jsonl")
        assert.equal(bits, mode "out.jsonl")
        shell.must("rm " .. quote(box.path "out.jsonl"))
      end
    end
  end)

  it("is at no time more open than it was", function()
    box.write("out.jsonl", "old")
    shell.must("chmod 600 " .. quote(box.path "out.jsonl"))
    local call <close> = box.provider:async("prepare_data", {path = raw, output = box.path "out.jsonl"})
    for _, name in ipairs(box.names()) do
      if name:find "%.tmp$" then assert.equal("600", mode(name)) end
    end
    assert(call:await())
  end)

  it("has those of any new file where there was none", function()
    prepare {}
    local file = shell.must("umask"):match "%d+"
    assert.equal(("%o"):format(tonumber("666", 8) & ~tonumber(file, 8)), mode "out.jsonl")
  end)

  it("has nothing of the sort from what a link points to but its bits", function()
    box.write("target", "old")
    shell.must(("chmod 600 %s; ln -s target %s"):format(quote(box.path "target"), quote(box.path "out.jsonl")))
    prepare {}
    assert.equal("old", box.read "target")
    assert.equal("600", mode "out.jsonl")
  end)
end)
