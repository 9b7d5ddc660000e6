-- How the library is built, what the shared object shows, and that it can be installed.
-- Everything is built in a copy of the tree, so that the tree's own build stays as it is.

local shell = require "spec.support.shell"

local FAST = "CFLAGS='-O0 -g'" -- what these builds are checked for is not their speed

-- Runs a chunk far from the tree, with a path of its own; LUA_INIT and the rest do not count.
local function lua(prefix, chunk)
  return shell.must("lua5.4 -e " .. shell.quote(chunk), {
    cwd = "/",
    env = {
      LUA_PATH_5_4 = ("%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua;;"):format(prefix, prefix),
      LUA_CPATH_5_4 = ("%s/lib/lua/5.4/?.so;;"):format(prefix),
    },
  })
end

local WRITABLE = {[".data"] = true, [".bss"] = true, [".tdata"] = true, [".tbss"] = true, ["*COM*"] = true}

local CHUNK = [[
local finetune = require "finetune"
local provider = assert(finetune.create_provider "openai")
io.write(provider.name, " ", assert(package.searchpath("finetune.core", package.cpath)))]]

local function module_files(folder)
  return shell.lines("find . -name '*.lua' | sort", {cwd = folder})
end

describe("the build", function()
  local tree, dest

  lazy_setup(function()
    tree, dest = shell.folder(), shell.folder()
    shell.must(("cp -R Makefile *.rockspec .ci csrc lua providers LICENSE %s && rm -f %s/lua/finetune/core.so")
      :format(tree, tree))
    shell.must("make -j2 " .. FAST, {cwd = tree})
  end)

  lazy_teardown(function()
    shell.remove(tree)
    shell.remove(dest)
  end)

  it("builds nothing twice, and everything again when a flag changes", function()
    assert.not_matches("buf%.c", shell.must("make build/obj/buf.o " .. FAST, {cwd = tree}))
    assert.matches("buf%.c", shell.must("make build/obj/buf.o CFLAGS=-O1", {cwd = tree}))
    assert.not_matches("buf%.c", shell.must("make build/obj/buf.o CFLAGS=-O1", {cwd = tree}))
    shell.must("make -j2 " .. FAST, {cwd = tree})
  end)

  it("builds what includes a header again when the header changes", function()
    shell.must("sleep 0.01; touch csrc/buf.h", {cwd = tree})
    assert.matches("buf%.c", shell.must("make build/obj/buf.o " .. FAST, {cwd = tree}))
    shell.must("make -j2 " .. FAST, {cwd = tree})
  end)

  it("says what to do where Lua's headers are missing", function()
    local status, output = shell.run("make PKG_CONFIG=false", {cwd = tree})
    assert.not_equal(0, status)
    assert.matches("make deps", output)
  end)

  it("lists its targets", function()
    local help = shell.must("make help", {cwd = tree})
    for _, target in ipairs {"all", "demo", "test", "lint", "asan", "oom", "install", "help"} do
      assert.matches("make " .. target .. " +%w", help)
    end
  end)

  it("exports one function", function()
    local symbols = shell.lines("nm -D --defined-only lua/finetune/core.so", {cwd = tree})
    assert.equal(1, #symbols)
    assert.matches(" T luaopen_finetune_core$", symbols[1])
  end)

  it("has no writable globals", function()
    -- What is written once, by the loader, lies in .data.rel.ro; .data and .bss stay writable.
    -- (run.o, trainer.o and slots.o are a program of its own. `chosen` is which variant of a function this
    -- processor can run: stored at once, and the same for every state and thread.)
    local objects = "ls build/obj/*.o | grep -v -e /run.o -e /trainer.o -e /slots.o"
    for _, line in ipairs(shell.lines(("nm --format=sysv $(%s)"):format(objects), {cwd = tree})) do
      local section = line:match "|([^|]*)$"
      if not line:find "^chosen%s" then assert.is_nil(WRITABLE[section], line) end
    end
  end)

  it("keeps to its layers", function()
    shell.must("make layers", {cwd = tree})
  end)

  it("installs into PREFIX under DESTDIR", function()
    shell.must(("make install PREFIX=/opt/ft DESTDIR=%s %s"):format(dest, FAST), {cwd = tree})
    local prefix = dest .. "/opt/ft"
    assert.same(module_files(tree .. "/lua/finetune"), shell.lines(
      "find . -path ./providers -prune -o -name '*.lua' -print | sort", {cwd = prefix .. "/share/lua/5.4/finetune"}))
    shell.must(("test -f %s/include/finetune.h"):format(prefix))
    assert.equal(("openai %s/lib/lua/5.4/finetune/core.so"):format(prefix), lua(prefix, CHUNK))
  end)

  it("installs the providers as modules", function()
    for _, path in ipairs(shell.lines "ls providers | grep '\\.lua$' || true") do
      shell.must(("test -f %s/opt/ft/share/lua/5.4/finetune/providers/%s"):format(dest, path))
    end
  end)

  it("is built and installed by LuaRocks", function()
    if not shell.has "luarocks" then return pending "there is no luarocks here" end
    local rocks = dest .. "/rocks"
    shell.must(("luarocks --lua-version 5.4 --tree %s make --deps-mode=none CFLAGS='-O0 -fPIC'"):format(rocks),
      {cwd = tree})
    assert.equal(("openai %s/lib/lua/5.4/finetune/core.so"):format(rocks), lua(rocks, CHUNK))
  end)
end)
