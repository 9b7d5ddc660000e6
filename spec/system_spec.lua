-- csrc/system.c, csrc/proc.c: core.fs and core.spawn, for the providers on this machine.

local core = require "finetune.core"
local shell = require "spec.support.shell"

local fs = core.fs

describe("core.fs", function()
  local folder

  before_each(function() folder = shell.folder() end)
  after_each(function() shell.remove(folder) end)

  local function read(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
  end

  it("opens files, and nothing that somebody put in the place of one", function()
    shell.must(("echo text >%s/a; mkfifo %s/p; ln -s a %s/l"):format(folder, folder, folder))
    for _, name in ipairs {"/a", "/l"} do
      local file <close> = assert(fs.open(folder .. name))
      assert.same({"file", "text\n"}, {io.type(file), file:read "a"})
    end
    for _, path in ipairs {folder .. "/p", folder, folder .. "/nothing", "/dev/zero"} do
      local file, words, code = fs.open(path)
      assert.is_nil(file)
      assert.truthy(words:find(path, 1, true))
      assert.equal("integer", math.type(code))
    end
    assert.is_true(fs.mkdir(folder .. "/mine", true))
    assert.equal("700\n", shell.must("stat -c %a " .. folder .. "/mine"))
  end)

  it("makes, tells, renames, links and removes", function()
    assert.is_true(fs.mkdir(folder .. "/d"))
    local ok, words, code = fs.mkdir(folder .. "/d")
    assert.is_nil(ok)
    assert.matches("/d: File exists", words)
    assert.equal(17, code)
    assert.is_true(fs.write(folder .. "/a", "one\0two"))
    assert.equal("one\0two", read(folder .. "/a"))
    assert.is_true(fs.write(folder .. "/a", ""))
    assert.is_true(fs.link(folder .. "/a", folder .. "/d/b"))
    assert.is_true(fs.rename(folder .. "/a", folder .. "/c"))
    assert.equal("file", fs.stat(folder .. "/c").type)
    assert.equal(0, fs.stat(folder .. "/d/b").size)
    assert.equal("directory", fs.stat(folder .. "/d").type)
    shell.must(("ln -s nowhere %s/l"):format(folder))
    assert.equal("link", fs.stat(folder .. "/l").type)
    assert.is_nil(fs.remove(folder .. "/d"))
    assert.is_true(fs.remove(folder .. "/d/b"))
    assert.is_true(fs.remove(folder .. "/d"))
    assert.is_nil(fs.stat(folder .. "/d"))
  end)

  it("leaves the old file where the new one cannot be written", function()
    assert.is_nil(fs.write(folder .. "/no/a", "x"))
    assert.is_nil(fs.write(folder, "x"))
    assert.same({}, core.list_dir(folder))
  end)

  it("gives the first names of a directory, from either end, behind a name, without hidden ones", function()
    for i = 1, 300 do assert(fs.write(("%s/n%03d"):format(folder, i * 7 % 300), "")) end
    assert(fs.write(folder .. "/.hidden", ""))
    assert.same({{"n000", "n001"}, true}, {fs.names(folder, 2, nil, true)})
    assert.same({{"n299", "n298", "n297"}, true}, {fs.names(folder, 3)})
    assert.same({{"n151", "n152"}, true}, {fs.names(folder, 2, "n150", true)})
    assert.same({{"n001", "n000"}, false}, {fs.names(folder, 2, "n002")})
    assert.same({{}, false}, {fs.names(folder, 2, "a")})
    local all, more = fs.names(folder, 300)
    assert.same({300, "n299", "n000", false}, {#all, all[1], all[300], more})
    assert.is_true(select(2, fs.names(folder, 299)))
    local none, words, code = fs.names(folder .. "/no", 1)
    assert.is_nil(none)
    assert.matches("/no: No such file", words)
    assert.equal(2, code)
    for _, n in ipairs {0, -1, 1001} do assert.has_error(function() fs.names(folder, n) end) end
  end)

  it("takes no path with a NUL, and no empty one", function()
    for _, f in pairs {fs.mkdir, fs.remove, fs.stat} do
      assert.has_error(function() f "a\0b" end)
      assert.has_error(function() f "" end)
    end
  end)
end)

describe("core.spawn", function()
  local folder

  before_each(function() folder = shell.folder() end)
  after_each(function() shell.remove(folder) end)

  local function read(name)
    local file <close> = assert(io.open(folder .. "/" .. name, "rb"))
    return file:read "a"
  end

  -- What poll gives in the end
  local function finish(child)
    local limit = core.now() + 60
    repeat
      local result = table.pack(child:poll())
      if result.n > 0 then return table.unpack(result, 1, result.n) end
      shell.run "sleep 0.01"
    until core.now() > limit
    error("it never ended", 2)
  end

  it("runs argv as it is, with its files and its environment", function()
    assert(fs.write(folder .. "/in", "hello\n"))
    local child = assert(core.spawn {argv = {"sh", "-c", "cat; echo \"$1\" \"$X\"; pwd; echo err >&2; exit 7", "sh",
      "a 'b' $(id)"}, env = {X = "y z", PATH = os.getenv "PATH"}, cwd = folder, stdin = folder .. "/in",
      stdout = folder .. "/out", stderr = folder .. "/err"})
    assert.same({7}, {finish(child)})
    assert.same({7}, {child:poll()})
    assert.equal(("hello\na 'b' $(id) y z\n%s\n"):format(folder), read "out")
    assert.equal("err\n", read "err")
  end)

  it("says why a program cannot be started", function()
    local child, words = core.spawn {argv = {"/no/such/program"}}
    assert.is_nil(child)
    assert.matches("/no/such/program: No such file", words)
    assert.is_nil(core.spawn {argv = {"true"}, cwd = "/no/such/folder"})
    assert.is_nil(core.spawn {argv = {"true"}, stdin = "/no/such/file"})
  end)

  it("tells the signal that ended it", function()
    assert.same({false, 11}, {finish(assert(core.spawn {argv = {"sh", "-c", "kill -SEGV $$"}}))})
  end)

  local function lives(command)
    return shell.must("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"):find(command, 1, true) ~= nil
  end

  it("kills the child and its group when it is closed", function()
    do
      local child <close> = assert(core.spawn {argv = {"sh", "-c", "sleep 5432 & sleep 5432"}})
      assert.equal(0, select("#", child:poll()))
      shell.run "sleep 0.1"
      assert.is_true(lives "sleep 5432")
    end
    shell.run "sleep 0.1"
    assert.is_false(lives "sleep 5432")
  end)

  it("hands on no descriptor", function()
    local open = assert(io.open("/dev/null"))
    assert.equal(0, (finish(assert(core.spawn {argv = {"sh", "-c", "ls /proc/self/fd | wc -l"},
      stdout = folder .. "/out"}))))
    open:close()
    assert.equal("4\n", read "out") -- three, and the one of ls itself
  end)

  it("raises for what is no argv and no environment", function()
    for _, spec in ipairs {{}, {argv = {}}, {argv = {1 > 2}}, {argv = {"a\0b"}}, {argv = {"true"}, env = {"x"}},
      {argv = {"true"}, cwd = "a\0b"}} do
      assert.has_error(function() core.spawn(spec) end)
    end
  end)
end)
