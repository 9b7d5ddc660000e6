-- Where the host had closed its standard input, descriptor 0 was one of ours (a poll set, an output): path = "-" read
-- that, and waited for ever. Ours are never 0 to 2.

local data = require "spec.support.dataset"
local shell = require "spec.support.shell"

local quote = shell.quote

-- Runs this with those descriptors closed -> what it wrote to the file in its first argument
local function run(box, code, closed)
  local script, said = box.write("script.lua", code), box.path "said"
  shell.run(("timeout 20 %s %s %s %s"):format(quote(data.interpreter()), quote(script), quote(said), closed))
  return box.read "said"
end

local BEGIN = ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath) .. [[
  local finetune = require "finetune"
  local provider = finetune.create_provider("openai", {api_key = "sk-test"})
]]

describe("descriptors that the host has closed", function()
  local box
  before_each(function() box = data.box() end)
  after_each(function() box.close() end)

  it("are no input: reading it says so", function()
    box.write("a.jsonl", (data.GOOD .. "\n"):rep(1000))
    local said = run(box, BEGIN .. ([[
      local out = assert(io.open(arg[1], "w"))
      local report, err = provider:prepare_data {path = "-", output = %q}
      out:write(tostring(report), " ", err.kind, " ", err.message, "\n")
      report, err = provider:prepare_data {path = {%q, "-"}, output = %q}
      out:write(tostring(report), " ", err.kind, " ", err.message, "\n")
    ]]):format(box.path "out.jsonl", box.path "a.jsonl", box.path "out.jsonl"), "<&-")
    local line = "nil data cannot read standard input: Bad file descriptor\n"
    assert.equal(line .. line, said)
    assert.same({"a.jsonl", "said", "script.lua"}, box.names())
  end)

  it("stay free, all three", function()
    if not io.open "/proc/self/fd/0" then return pending "no /proc/self/fd here" end
    local said = run(box, BEGIN .. [[
      local function free()
        for fd = 0, 2 do
          if io.open("/proc/self/fdinfo/" .. fd) then return false end
        end
        return true
      end
      local before = free()
      local call = provider:async("prepare_data", {path = "/dev/zero", output = arg[1] .. ".out"})
      finetune.step(0)
      local during = not call:done() and free()
      call:cancel()
      local out = assert(io.open(arg[1], "w"))
      out:write(tostring(before), " ", tostring(during))
    ]], "<&- >&- 2>&-")
    assert.equal("true true", said)
  end)
end)
