-- lua/finetune/store.lua: objects in folders, for several processes at once.

local core = require "finetune.core"
local shell = require "spec.support.shell"
local stores = require "finetune.store"

describe("the store", function()
  local folder, store

  before_each(function()
    folder = shell.folder()
    store = stores.new(folder .. "/a b's\n\"home\"")
  end)
  after_each(function() shell.remove(folder) end)

  local function read(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
  end

  local function put(name)
    local stage <close> = assert(store:stage "models")
    assert(stores.write_json(stage.dir .. "/model.json", {name = name}))
    return store:publish(stage, name)
  end

  it("is where setting, XDG_DATA_HOME or HOME say, an absolute path in UTF-8", function()
    local script = [[
      package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
      print(require("finetune.store").home(arg[1]))]]
    assert(core.fs.write(folder .. "/s.lua", script))
    local function home(env, setting)
      return (shell.must(("env %s lua5.4 %s/s.lua %s"):format(env, folder, setting or "")):gsub("\n$", ""))
    end
    assert.equal("/x/y", home("HOME=/h", "/x/y//"))
    assert.equal("/d/finetune", home "HOME=/h XDG_DATA_HOME=/d")
    assert.equal("/h/.local/share/finetune", home "HOME=/h XDG_DATA_HOME=relative")
    assert.matches("no HOME", home "-u HOME -u XDG_DATA_HOME")
    assert.matches("absolute", home("HOME=/h", "x"))
    assert.matches("folder of its own", home("HOME=/h", "/"))
    assert.matches("UTF%-8", select(2, stores.home "/a\xff"))
    assert.matches("UTF%-8", select(2, stores.home "/a\0b"))
  end)

  it("shows an object when it is whole, and takes it away whole", function()
    local stage = assert(store:stage "models")
    assert(core.fs.write(stage.dir .. "/x", "1"))
    assert.same({}, store:all "models")
    assert(store:publish(stage, "m-1"))
    assert.same({"m-1"}, store:all "models")
    assert.equal("1", read(store:path("models", "m-1") .. "/x"))
    assert(store:remove("models", "m-1"))
    assert.same({}, core.list_dir(store.home .. "/models"))
    local _, err = store:remove("models", "m-1")
    assert.equal("not_found", err.kind)
  end)

  it("drops what is not published, and refuses a name that is taken", function()
    do local _ <close> = assert(store:stage "models") end
    assert.same({}, core.list_dir(store.home .. "/models"))
    assert.is_true(put "m-1")
    local ok, err = put "m-1"
    assert.is_nil(ok)
    assert.equal("conflict", err.kind)
    assert.same({"m-1"}, core.list_dir(store.home .. "/models"))
  end)

  it("removes in time what processes that were killed have left", function()
    local old = assert(store:stage "models").dir
    local young = assert(store:stage "models").dir
    assert(core.fs.write(old .. "/x", "1"))
    shell.must("touch -d '2 days ago' " .. shell.quote(old))
    stores.new(store.home):stage("models")
    assert.is_nil(core.fs.stat(old))
    assert.is_table(core.fs.stat(young))
  end)

  it("gives names that sort by time and are never the same, whatever the clock says", function()
    local wall, seen = core.wall, {}
    finally(function() core.wall = wall end)
    local now = 1790000000.25
    core.wall = function() return now end -- a clock that stands, then goes back
    local before = ""
    for i = 1, 500 do
      if i == 250 then now = now - 3600 end
      local name = assert(store:reserve("jobs", "job-"))
      assert.is_true(name > before)
      before = name
      assert.is_nil(seen[name])
      assert.is_true(stores.valid(name))
      seen[name] = true
    end
    assert.equal(500, #core.list_dir(store.home .. "/jobs"))
    now = 1790000001
    local a = stores.stamp()
    now = 1790000001.5
    assert.is_true(a < stores.stamp())
    assert.matches("^20260921%-141321%-500%-%x+$", stores.stamp())
    assert.matches("^20281231%-235959%-999%-%x+$", stores.stamp "job-20281231-235959-998-abcdef")
    assert.matches("^20290101%-000000%-000%-%x+$", stores.stamp "job-20281231-235959-999-abcdef")
    for _, odd in ipairs {"mine", "job-99991231-235959-999-abcdef", "job-20289931-235959-998-abcdef"} do
      assert.matches("^20260921%-141321%-500%-%x+$", stores.stamp(odd))
    end
  end)

  it("reads a page of names without sorting all, in both directions", function()
    local list = {}
    for i = 1, 200 do list[i] = ("job-%03d"):format(i * 7919 % 1000) end
    for _, name in ipairs(list) do shell.must("mkdir -p " .. shell.quote(store:path("jobs", name))) end
    shell.must("mkdir " .. shell.quote(store.home .. "/jobs/.new-x"))
    table.sort(list)
    for _, ascending in ipairs {true, false} do
      local after, got, more = nil, {}, true
      while more do
        local page
        page, more = store:names("jobs", after, 7, ascending)
        table.move(page, 1, #page, #got + 1, got)
        after = page[#page]
      end
      for i = 1, 200 do assert.equal(list[ascending and i or 201 - i], got[i]) end
    end
    assert.same({{}, false}, {store:names("files", nil, 7)})
  end)

  it("sees at once what another process adds and removes, though it keeps the names", function()
    assert(put "m-1")
    shell.must("touch -d '1 hour ago' " .. shell.quote(store.home .. "/models"))
    assert.same({"m-1"}, store:all "models")
    shell.must("mkdir " .. shell.quote(store:path("models", "m-2")))
    assert.same({"m-1", "m-2"}, store:all "models")
    shell.must("rmdir " .. shell.quote(store:path("models", "m-2")))
    assert.same({"m-1"}, store:all "models")
  end)

  it("lets one at a time do a thing, and the next when that one is killed", function()
    local claim = assert(store:claim("jobs", "x"))
    assert.same({}, {store:claim("jobs", "x")})
    do local _ <close> = assert(store:claim("jobs", "y")) end
    assert(store:claim("jobs", "y"))
    assert.same({}, (store:names("jobs", nil, 9)))
    shell.must("touch -d '1 hour ago' " .. shell.quote(claim.path))
    assert.is_nil((store:claim("jobs", "x"))) -- it is taken away
    assert(store:claim("jobs", "x"))
  end)

  it("takes no name for a path", function()
    for _, bad in ipairs {"", ".", "..", "../x", "a/b", ".new-x", "a\nb", "a b", ("x"):rep(200), "ä"} do
      assert.is_false(stores.valid(bad))
    end
    for _, good in ipairs {"a", "job-1", "x.y_z-1"} do assert.is_true(stores.valid(good)) end
  end)

  it("says what is wrong with a file of JSON, and nothing where there is none", function()
    local path = folder .. "/x.json"
    assert.same({}, {stores.read_json(path)})
    for _, text in ipairs {"", "{", "[1", "7", "null", '"x"', "\0\xff"} do
      local file = assert(io.open(path, "wb"))
      file:write(text)
      file:close()
      local doc, words = stores.read_json(path)
      assert.is_nil(doc)
      assert.matches("x.json: ", words)
    end
    local _, words = stores.read_json(folder)
    assert.matches("directory", words)
    local _, err = stores.write_json(path, {x = "\xff"})
    assert.equal("invalid", err.kind)
    _, err = stores.write_json(folder .. "/no/x.json", {})
    assert.equal("server", err.kind)
  end)

  it("links and copies trees, without sockets and pipes", function()
    shell.must(([[mkdir -p %s/t/in; cd %s/t; echo 1 >a; echo 2 >in/b; mkfifo p;
      mkdir checkpoint-1; echo 3 >checkpoint-1/w; ln -s checkpoint-1/w l; ln -s in/b abs; ln -s checkpoint-1 last]])
      :format(folder, folder))
    assert(core.fs.mkdir(folder .. "/u"))
    assert(stores.link_tree(folder .. "/t", folder .. "/u", nil, function(name) return name == "checkpoint-1" end))
    assert.equal("a\nabs\nin\nl\nlast\n", shell.must("ls " .. folder .. "/u"))
    assert.same({"3\n", "2\n", "3\n"}, {read(folder .. "/u/l"), read(folder .. "/u/abs"), read(folder .. "/u/last/w")})
    assert.equal("", shell.must(("find %s/u -type l"):format(folder)))
    assert.equal("2\n", read(folder .. "/u/in/b"))
    local paused = 0
    local file = assert(io.open(folder .. "/big", "wb"))
    file:write(("x"):rep(3 * 1024 * 1024))
    file:close()
    assert(stores.copy(folder .. "/big", folder .. "/copy", function() paused = paused + 1 end))
    shell.must(("cmp %s/big %s/copy"):format(folder, folder))
    assert.equal(3, paused)
    local _, err = stores.copy(folder .. "/nothing", folder .. "/c")
    assert.equal("server", err.kind)
    for words, target in pairs {["leads to no file"] = "nowhere", ["might lead back"] = ".."} do
      shell.must(("rm -rf t/in/x v; ln -s %s t/in/x; mkdir v"):format(target), {cwd = folder})
      _, err = stores.link_tree(folder .. "/t", folder .. "/v")
      assert.equal("job", err.kind)
      assert.matches(words, err.message)
    end
    stores.remove_tree(folder .. "/t")
    assert.is_nil(core.fs.stat(folder .. "/t"))
  end)
end)
