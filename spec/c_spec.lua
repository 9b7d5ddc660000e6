-- What is proved in C: the harness programs of spec/c (those that are fast; `make asan oom tsan
-- valgrind` run all of them), a provider in a shared object of its own, the resolver, the locale.

local shell = require "spec.support.shell"

local root, quote = shell.root, shell.quote
local CFLAGS = "-std=c99 -D_GNU_SOURCE -O1 -g -Wall -Wextra -fPIC -shared -iquote csrc $(pkg-config --cflags lua5.4)"

-- The tree's own modules; $T stands for the folder of what is compiled here
local function environment(tmp)
  return {
    LUA_PATH_5_4 = ("%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;;"):format(root, root, root),
    LUA_CPATH_5_4 = ("%s/lua/?.so;%s/?.so;;"):format(root, tmp),
  }
end

describe("in C", function()
  local tmp

  lazy_setup(function() tmp = shell.folder() end)
  lazy_teardown(function() shell.remove(tmp) end)

  local function compile(name, libs)
    shell.must(("cc %s spec/c/%s.c -o %s/%s.so %s"):format(CFLAGS, name, quote(tmp), name, libs or ""), {cwd = root})
  end

  local function lua(arguments, more)
    local env = environment(tmp)
    for name, value in pairs(more or {}) do env[name] = value end
    return shell.must("exec lua5.4 " .. arguments, {cwd = root, env = env})
  end

  describe("the harness", function()
    local static = (shell.run("test -f $(pkg-config --variable=libdir lua5.4)/liblua5.4.a")) == 0

    for name, what in pairs {
      script = "every section of the scripts, and no byte is left",
      fork = "children that touch their parent's engine harm nobody",
      depth = "a hundred providers on one another, and one that calls itself without end",
      host = "the host's signals, descriptors, output, globals and lua-cjson stay as they are",
      threads = "four threads with states of their own",
    } do
      it(("%s: %s"):format(name, what), function()
        if not static then return pending("there is no static Lua to link here") end
        local program = "build/c/harness_" .. name
        shell.must(("make -s -j2 %s BUILD=build/c CFLAGS='-O1 -g'"):format(program), {cwd = root})
        local status, output = shell.run("exec timeout 60 ./" .. program, {cwd = root})
        assert.matches("%d+ passed, 0 failed\n$", output)
        assert.equal(0, status, output)
      end)
    end

    it("oom: each allocation of two sections fails in turn", function()
      if not static then return pending("there is no static Lua to link here") end
      shell.must("make -s -j2 build/c/harness_oom BUILD=build/c CFLAGS='-O1 -g'", {cwd = root})
      for _, section in ipairs {"create_job", "run and map"} do
        local output = shell.must("./build/c/harness_oom " .. quote(section), {cwd = root})
        assert.matches("%d+ passed, 0 failed\n$", output)
      end
    end)
  end)

  describe("a provider in a shared object", function()
    local finetune, cprov = require "finetune", nil

    lazy_setup(function()
      compile "cprov"
      cprov = assert(package.loadlib(tmp .. "/cprov.so", "luaopen_cprov"))()
    end)

    local function collect()
      collectgarbage()
      collectgarbage()
    end

    after_each(function()
      finetune.unregister "cprov"
      finetune.step(0) -- the request of a cancelled call holds its provider until it ends
      collect()
    end)

    local function create(transport)
      cprov.register "good"
      return assert(finetune.create_provider("cprov", {api_key = "k", token = "tok-secret", max_retries = 0,
        transport = transport or function() return {json = {id = "j"}} end}))
    end

    it("does an operation in steps, with its slot's data", function()
      local p <close> = create()
      local before = cprov.steps()
      local job = assert(p:get_job "j")
      assert.same({"j", "the slot's data"}, {job.id, job.ud})
      assert.equal(2, cprov.steps() - before)
      assert.same({false, "nothing can be paused"}, {p:supports "pause_job"})
    end)

    it("asks for several requests, a sleep, another call", function()
      local p <close> = create()
      local pages = assert(p:list_models())
      assert.same({1, 2, 3}, {pages[1].tag, pages[2].tag, pages[3].tag})
      assert.equal(finetune.null, assert(p:upload_file "x").null)
      assert.equal("the slot's data", assert(p:delete_model "m").ud)
    end)

    it("has its errors completed, and its secrets kept", function()
      local p <close> = create()
      local function err_of(model) return select(2, p:create_job {model = model, training_file = "f"}) end
      assert.matches("it raised 42", err_of("raises").message)
      assert.equal("provider", err_of("raises").kind)
      assert.matches("asked for nothing", err_of("waits for nothing").message)
      assert.same({"quota", "no more than 3", "cprov", "create_job"},
        {err_of("fails").kind, err_of("fails").message, err_of("fails").provider, err_of("fails").op})
      assert.equal("the words alone", err_of("the words alone").message)
      assert.not_matches("hush", tostring(err_of "secret"), 1, true)
      assert.not_matches("tok-secret", tostring(err_of "tok-secret"), 1, true)
    end)

    it("sends the request of on_cancel and runs its hook when the call is cancelled", function()
      local seen = {}
      local p <close> = create(function(request)
        seen[#seen + 1] = request.method .. " " .. request.url:match("[^/]*$")
        return request.url:find "pending" and "pending" or {json = {}}
      end)
      local call = p:async("cancel_job", "j")
      finetune.step(0)
      assert.is_true(call:cancel())
      assert.equal("cancelled", select(2, call:result()).kind)
      assert.same({"GET pending", "POST abort"}, seen)
      assert.equal("the scratch table lives as long as the call", _G.cprov_hook)
      _G.cprov_hook = nil
    end)

    it("completes the configuration", function()
      cprov.register "good"
      local p, err = finetune.create_provider("cprov", {api_key = "k"})
      assert.is_nil(p)
      assert.same({"config", "token is missing"}, {err.kind, err.message})
    end)

    it("is destroyed once, when nothing runs on it any more", function()
      local before = cprov.destroyed()
      local p = create(function() return "pending" end)
      local call = p:async("get_job", "j")
      finetune.unregister "cprov"
      collect()
      assert.equal(before, cprov.destroyed())
      p:close()
      finetune.step(0)
      assert.equal("cancelled", select(2, call:result()).kind)
      p, call = nil, nil
      collect()
      assert.is_nil(p or call)
      assert.equal(before + 1, cprov.destroyed())
      cprov.register "good"
      cprov.register "good" -- in the place of the first
      finetune.unregister "cprov"
      collect()
      assert.equal(before + 3, cprov.destroyed())
    end)

    for what, words in pairs {version = "version 2", name = "letters, digits", missing = "get_job",
      describe = "describe raised"} do
      it("is destroyed once also when its registration fails: " .. what, function()
        local before = cprov.destroyed()
        local ok, err = pcall(cprov.register, what)
        assert.is_false(ok)
        assert.matches(words, tostring(err))
        collect()
        assert.equal(before + 1, cprov.destroyed())
        assert.is_nil((finetune.get_provider "cprov"))
      end)
    end

    it("may know fewer operations than the core", function()
      cprov.register "older"
      local p <close> = assert(finetune.create_provider("cprov", {api_key = "k", token = "t",
        transport = function() return {json = {id = "j"}} end}))
      assert(p:get_job "j")
      assert.equal("unsupported", select(2, p:list_jobs()).kind)
    end)

    it("needs the library to be loaded first", function()
      local output = lua("-e " .. quote "print(pcall(require('cprov').register, 'good'))")
      assert.matches("require 'finetune' first", output)
    end)
  end)

  describe("a look-up of half a minute", function()
    lazy_setup(function() compile("slow_dns", "-ldl") end)

    for _, what in ipairs {"cancel", "close", "timeout", "exit"} do
      it("holds up nothing: " .. what, function()
        local core = require "finetune.core"
        local began = core.now()
        local output = lua("spec/c/script_dns.lua " .. what, {LD_PRELOAD = tmp .. "/slow_dns.so"})
        local whole = core.now() - began
        assert.is_true(tonumber(output) < 15, output)
        assert.is_true(whole < 25, ("the process took %.2f s"):format(whole))
      end)
    end
  end)
end)
