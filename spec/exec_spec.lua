-- lua/finetune/exec.lua: ctx:exec, a program that an operation runs. Every process here is real.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"

describe("ctx:exec", function()
  local provider, wanted

  lazy_setup(function()
    local P = {name = "exec_test", estimate_cost = function(ctx) return ctx:exec(wanted) end}
    for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model"} do
      P[op] = finetune.unsupported "not here"
    end
    finetune.register(P)
    provider = assert(finetune.create_provider "exec_test")
  end)
  lazy_teardown(function()
    provider:close()
    finetune.unregister "exec_test"
  end)

  local function exec(t)
    wanted = t
    return provider:estimate_cost()
  end

  local function lives(command)
    return shell.must("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"):find(command, 1, true) ~= nil
  end

  -- Every temporary file that it makes, to see that nothing is left
  local made, tmpname

  before_each(function()
    made, tmpname = {}, os.tmpname
    rawset(os, "tmpname", function()
      made[#made + 1] = tmpname()
      return made[#made]
    end)
  end)
  after_each(function()
    rawset(os, "tmpname", tmpname)
    assert.is_true(#made > 0)
    for _, path in ipairs(made) do assert.is_nil(core.fs.stat(path)) end
  end)

  it("gives what the program printed, and how it ended", function()
    local script = "cat; echo \"$1\"; pwd; echo \"$X\" >&2; exit 3"
    local ended = assert(exec {argv = {"sh", "-c", script, "sh", "a $(id) 'b'"},
      stdin = "in\0put\n", cwd = "/", env = {X = "y z", PATH = os.getenv "PATH"}})
    assert.same({code = 3, stdout = "in\0put\na $(id) 'b'\n/\n", stderr = "y z\n"}, ended)
    ended = assert(exec {argv = {"sh", "-c", "kill -SEGV $$"}})
    assert.equal(11, ended.signal)
    assert.is_nil(ended.code)
  end)

  it("reads nothing from the script's own input", function()
    assert.equal("", assert(exec {argv = {"cat"}}).stdout)
  end)

  it("says what cannot be started, and what it cannot be given", function()
    local _, err = exec {argv = {"/no/such/program"}}
    assert.equal("config", err.kind)
    assert.matches("/no/such/program: No such file", err.message)
    _, err = exec {argv = {"true", "a\0b"}}
    assert.equal("invalid", err.kind)
    _, err = exec {argv = {"true", {}}}
    assert.equal("invalid", err.kind)
    _, err = exec {}
    assert.matches("takes a table with argv", err.message)
  end)

  it("ends a program that takes too long, or prints too much", function()
    local began = core.now()
    local _, err = exec {argv = {"sh", "-c", "sleep 6543 & sleep 6543"}, timeout = 0.1}
    assert.equal("timeout", err.kind)
    assert.is_true(core.now() - began < 60)
    assert.is_false(lives "sleep 6543")
    _, err = exec {argv = {"sh", "-c", "yes 6544"}, max_bytes = 10000}
    assert.equal("decode", err.kind)
    assert.is_false(lives "yes 6544")
    _, err = exec {argv = {"sh", "-c", "head -c 10001 /dev/zero"}, max_bytes = 10000}
    assert.equal("decode", err.kind)
  end)

  it("kills it when the operation is cancelled", function()
    wanted = {argv = {"sleep", "6545"}}
    local call = provider:async "estimate_cost"
    local limit = core.now() + 60
    repeat finetune.sleep(0.01) until lives "sleep 6545" or core.now() > limit
    assert.is_true(lives "sleep 6545")
    call:cancel()
    assert.equal("cancelled", select(2, call:result()).kind)
    assert.is_false(lives "sleep 6545")
  end)

  it("leaves no name of its files while the program runs: whatever is killed, nothing stays", function()
    local folder = shell.folder()
    finally(function() shell.remove(folder) end)
    local go = folder .. "/go"
    wanted = {argv = {"sh", "-c", "echo out; while [ ! -e \"$0\" ]; do sleep 0.01; done; cat", go}, stdin = "secret"}
    local call, looks = provider:async "estimate_cost", 0
    repeat
      finetune.step(0.01)
      for _, path in ipairs(made) do assert.is_nil(core.fs.stat(path)) end
      looks = looks + #made
      if looks >= 3 then assert(core.fs.write(go, "")) end
    until call:done()
    assert.equal("out\nsecret", assert(call:result()).stdout)
    assert.is_true(looks >= 3)
  end)

  it("blocks nobody: two run at the same time", function()
    local folder = shell.folder()
    finally(function() shell.remove(folder) end)
    -- the first waits for what the second makes
    wanted = {argv = {"sh", "-c", "mkdir a 2>/dev/null || mkdir b; while [ ! -e b ]; do sleep 0.01; done"},
      cwd = folder, timeout = 60}
    local results = finetune.run(function() return provider:estimate_cost() end,
      function() return provider:estimate_cost() end)
    for i = 1, 2 do assert.equal(0, assert(results[i]).code) end
  end)
end)
