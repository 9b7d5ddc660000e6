-- prepare_data: the output appears whole or not at all, whatever stands in its place and whatever the disk does.

local data = require "spec.support.dataset"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local quote = shell.quote

local function talk(i)
  return data.chat(('{"role":"user","content":"question %d"}'):format(i),
    ('{"role":"assistant","content":"answer %d"}'):format(i))
end

local function text_of(n, from)
  local lines = {}
  for i = 1, n do lines[i] = talk(i + (from or 0)) end
  return table.concat(lines, "\n") .. "\n"
end

local is_root = shell.must "id -u" == "0\n"

describe("prepare_data writes", function()
  local box, path, read, write, names

  before_each(function()
    box = data.box()
    path, read, write, names = box.path, box.read, box.write, box.names
  end)
  after_each(function() box.close() end)

  local function prepare(params) return box.provider:prepare_data(params) end

  -- the words of a failure that leaves the folder as it was
  local function fails(params)
    local before = names()
    local report, err = prepare(params)
    assert.is_nil(report)
    assert.equal("data", err.kind)
    assert.same(before, names())
    return err.message
  end

  describe("over its own input", function()
    it("the only one", function()
      local raw = write("raw.jsonl", text_of(2000) .. "{}\n")
      local report = assert(prepare {path = raw, output = raw, skip_invalid = true, shuffle = true})
      assert.equal(2000, report.written)
      assert.equal(#text_of(2000), #read "raw.jsonl")
      assert.same({"raw.jsonl"}, names())
    end)

    it("one of several, the last or the first", function()
      local a, b = write("a.jsonl", text_of(1000)), write("b.jsonl", text_of(1000, 1000))
      assert(prepare {path = {a, b}, output = b})
      assert.is_true(text_of(2000) == read "b.jsonl")
      assert(prepare {path = {b, a}, output = b, dedupe = true})
      assert.is_true(text_of(2000) == read "b.jsonl")
    end)

    it("as the second output, and over the validation file", function()
      local raw = write("raw.jsonl", text_of(500))
      local report = assert(prepare {path = raw, output = path "t.jsonl", validation = 0.5, validation_output = raw})
      assert.equal(500, report.written + report.validation.written)
      assert.equal(#text_of(500), #read "t.jsonl" + #read "raw.jsonl")
      assert(prepare {path = path "t.jsonl", validation_path = raw, output = raw})
      assert.equal(read "t.jsonl", read "raw.jsonl")
    end)

    it("but leaves it as it is where anything is wrong", function()
      local text = text_of(1000) .. "{}\n"
      local raw = write("raw.jsonl", text)
      fails {path = raw, output = raw}
      assert.is_true(text == read "raw.jsonl")
    end)
  end)

  describe("never into", function()
    local raw
    before_each(function() raw = write("raw.jsonl", text_of(3)) end)

    it("what a link points to: the link is replaced", function()
      write("target", "old")
      for _, target in ipairs {"target", "nothing", "link"} do
        shell.must(("ln -sfn %s %s"):format(target, quote(path "link")))
        assert(prepare {path = raw, output = path "link"})
        assert.equal("regular file\n", shell.must("stat -c %F " .. quote(path "link")))
        assert.equal(text_of(3), read "link")
        assert.equal("old", read "target")
        assert.is_nil(read "nothing")
      end
    end)

    it("a folder, or a link to one", function()
      shell.must(("mkdir %s; ln -s folder %s"):format(quote(path "folder"), quote(path "link")))
      for _, name in ipairs {"folder", "link", "folder/"} do
        assert.matches("directory", fails {path = raw, output = path(name)}, 1, true)
      end
      assert.same({}, shell.lines("ls -A " .. quote(path "folder")))
    end)

    it("a pipe, or a link to a device", function()
      shell.must(("mkfifo %s; ln -s /dev/null %s; ln -s /dev/full %s"):format(quote(path "pipe"), quote(path "null"),
        quote(path "full")))
      for _, name in ipairs {"pipe", "null", "full"} do
        assert.matches("it is no regular file", fails {path = raw, output = path(name)}, 1, true)
        assert.matches("it is no regular file", fails {path = raw, output = path "out", validation = 0.5,
          validation_output = path(name)}, 1, true)
      end
      assert.equal("fifo\n", shell.must("stat -c %F " .. quote(path "pipe")))
    end)

    it("a device", function()
      if not is_root or shell.run("mknod " .. quote(path "null") .. " c 1 3") ~= 0 then
        return pending "only root can make one"
      end
      assert.matches("it is no regular file", fails {path = raw, output = path "null"}, 1, true)
      assert.equal("character special file\n", shell.must("stat -c %F " .. quote(path "null")))
    end)

    it("two outputs of one name, however they are written", function()
      shell.must("ln -s . " .. quote(path "here"))
      for _, other in ipairs {"out", "./out", "here/out", "../" .. box.dir:match "[^/]+$" .. "/out", ".//out"} do
        local report, err = prepare {path = raw, output = path "out", validation = 0.5,
          validation_output = path(other)}
        assert.is_nil(report)
        assert.equal("usage", err.kind)
        assert.matches("are one file", err.message, 1, true)
        assert.same({"here", "raw.jsonl"}, names())
      end
      assert(prepare {path = write("many.jsonl", text_of(100)), output = path "out", validation = 0.5,
        validation_output = path "out2"})
    end)
  end)

  -- ---- children ----

  local function child_script(code)
    return write("child.lua", ([[
      package.path, package.cpath = %q, %q
      local finetune = require "finetune"
      local p = finetune.create_provider("openai", {api_key = "sk-test", dataset = {min_examples = 1}})
      local function say(report, err)
        print(report and "written " .. report.written or err.kind .. ": " .. err.message)
      end
      %s
    ]]):format(package.path, package.cpath, code))
  end

  -- what a child says that runs `code`, started by `before`; and its status
  local function child(code, before)
    local script = quote(child_script(code))
    local status, said = shell.run(("%s %s %s"):format(before or "", quote(data.interpreter()), script),
      {cwd = shell.root})
    return said, status
  end

  it("nothing into a folder that is read-only, and reads nothing that is forbidden", function()
    write("raw.jsonl", text_of(3))
    write("secret.jsonl", text_of(3))
    shell.must(("chmod 000 %s; mkdir -m 555 %s"):format(quote(path "secret.jsonl"), quote(path "locked")))
    local before = is_root and "setpriv --reuid=65534 --regid=65534 --clear-groups" or ""
    local code = [[say(p:prepare_data{path = %q, output = %q})]]
    local said, status = child(code:format(path "raw.jsonl", path "locked/out.jsonl"), "chmod 755 " .. quote(box.dir) ..
      "; exec " .. before)
    if status ~= 0 then return pending("no other user can run it: " .. said) end
    assert.matches("data: cannot write", said, 1, true)
    assert.matches("Permission denied", said, 1, true)
    assert.same({}, shell.lines("ls -A " .. quote(path "locked")))
    said = child(("say(p:prepare_data(%q))"):format(path "secret.jsonl"), "exec " .. before)
    assert.matches("data: cannot read", said, 1, true)
    assert.matches("Permission denied", said, 1, true)
  end)

  it("no more than the limit on the size of files allows, and lives on", function()
    write("raw.jsonl", text_of(20000))
    write("out.jsonl", "old")
    local said, status = child(([[
      for _, more in ipairs {{}, {shuffle = true}, {validation = 0.5}} do
        more.path, more.output = %q, %q
        say(p:prepare_data(more))
      end
      say(p:prepare_data{path = %q, output = %q, max_examples = 100})
    ]]):format(path "raw.jsonl", path "out.jsonl", path "raw.jsonl", path "small.jsonl"), "ulimit -f 500; exec")
    assert.equal(0, status, said)
    local _, refused = said:gsub("data: cannot write[^\n]*File too large", "")
    assert.equal(3, refused, said)
    assert.matches("written 100\n", said, 1, true)
    assert.equal("old", read "out.jsonl")
    assert.same({"child.lua", "out.jsonl", "raw.jsonl", "small.jsonl"}, names())
  end)

  it("all or nothing onto a disk that is full sooner or later", function()
    local raw, disk = write("raw.jsonl", text_of(10000)), path "disk"
    local new = read "raw.jsonl"
    shell.must("mkdir " .. quote(disk))
    local whole, refused = 0, 0
    for _, kilobytes in ipairs {40, 300, 700, 1000, 1048, 1100, 1600, 2100, 3000} do
      if not is_root or shell.run(("mount -t tmpfs -o size=%dk none %s"):format(kilobytes, quote(disk))) ~= 0 then
        return pending "only root can mount a disk"
      end
      for _, more in ipairs {{}, {shuffle = 1}, {validation = 0.4}} do
        more.path, more.output = raw, disk .. "/out.jsonl"
        shell.must("rm -f * && printf old > out.jsonl && printf old > out.validation.jsonl", {cwd = disk})
        local report, err = prepare(more)
        local t, v = read "disk/out.jsonl", read "disk/out.validation.jsonl"
        local left = shell.must("ls -A " .. quote(disk))
        if report then
          whole = whole + 1
          assert.equal(#new, #t + (more.validation and #v or 0))
        else
          refused = refused + 1
          assert.matches("No space left on device", err.message, 1, true)
          assert.same({"old", "old"}, {t, v})
        end
        assert.equal("out.jsonl\nout.validation.jsonl\n", left)
      end
      shell.must("umount " .. quote(disk))
    end
    assert.is_true(whole >= 5 and refused >= 10, ("%d whole, %d refused"):format(whole, refused))
  end)

  it("the old file or the new one, whole, whenever it is killed", function()
    local raw = write("raw.jsonl", text_of(60000))
    local new = read "raw.jsonl"
    local code = ([[
      for i = 1, 1000 do assert(p:prepare_data{path = %q, output = %q, shuffle = i %% 2 == 0}) end
    ]]):format(raw, path "out.jsonl")
    local script, temporary = child_script(code), 0
    local sorted = #new
    for i = 1, 20 do
      write("out.jsonl", "old")
      shell.run(("timeout -s KILL %.3f %s %s"):format(0.02 + i * 0.011, quote(data.interpreter()), quote(script)),
        {cwd = shell.root})
      local now = read "out.jsonl"
      assert.is_true(now == "old" or #now == sorted, "a part of it was there")
      for _, name in ipairs(names()) do
        if name ~= "raw.jsonl" and name ~= "out.jsonl" and name ~= "child.lua" then
          assert.matches("^out%.jsonl%.%d+%-[01]%.tmp$", name) -- what is left tells what and whose it is
          temporary = temporary + 1
          os.remove(path(name))
        end
      end
    end
    assert.is_true(temporary > 0, "it was never killed at work")
    assert(prepare {path = raw, output = path "out.jsonl"})
    assert.is_true(new == read "out.jsonl")
  end)

  it("one whole file where two write it at once", function()
    local a, b = write("a.jsonl", text_of(30000)), write("b.jsonl", text_of(20000, 50000))
    local output = path "out.jsonl"
    local results, errors = finetune.run(
      function() return assert(prepare {path = a, output = output}) end,
      function() return assert(prepare {path = b, output = output}) end)
    assert.is_nil(errors[1] or errors[2])
    assert.same({30000, 20000}, {results[1].written, results[2].written})
    local now = read "out.jsonl"
    assert.is_true(now == read "a.jsonl" or now == read "b.jsonl")
    local code = ([[say(p:prepare_data{path = arg[1], output = %q})]]):format(output)
    local run = quote(data.interpreter()) .. " " .. quote(child_script(code)) .. " "
    shell.must(run .. quote(a) .. " & " .. run .. quote(b) .. " ; wait", {cwd = shell.root})
    now = read "out.jsonl"
    assert.is_true(now == read "a.jsonl" or now == read "b.jsonl")
    assert.same({"a.jsonl", "b.jsonl", "child.lua", "out.jsonl"}, names())
  end)
end)
