-- Providers by name: files dropped into folders, the environment, the list. What depends on the
-- environment runs in a child process with an environment of its own.

local finetune = require "finetune"
local shell = require "spec.support.shell"

local PROVIDER = [[
-- needs: DROPPED_KEY, DROPPED_ACCOUNT
local finetune = require "finetune"
local P = {name = "%s", env = "DROPPED_KEY"}
function P.upload_file() return {id = "file-1"} end
function P.create_job() return {id = "job-1", status = "queued"} end
function P.get_job(_, p) return {id = p.job_id, status = "dropped"} end
function P.cancel_job() return {id = "job-1", status = "cancelled"} end
function P.list_models() return {data = {}, has_more = false} end
function P.delete_model(_, p) return {id = p.model, deleted = true} end
return finetune.register(P)
]]

local tmp

-- Runs Lua text in a child, with nothing but these variables of ours -> what it prints
local function child(text, env)
  local file = assert(io.open(tmp .. "/main.lua", "wb"))
  file:write(('package.path = "%s/lua/?.lua;%s/lua/?/init.lua;" .. package.path\n'):format(shell.root, shell.root))
  file:write(("package.cpath = %q .. package.cpath\n"):format(package.cpath:match("^[^;]*") .. ";"))
  file:write(text)
  file:close()
  env = env or {}
  for _, name in ipairs {"FINE_TUNE_PROVIDER", "FINE_TUNE_PROVIDER_PATH"} do env[name] = env[name] or "" end
  return (shell.must("lua5.4 " .. tmp .. "/main.lua", {env = env, cwd = shell.root}):gsub("%s+$", ""))
end

local function drop(name, text)
  local file = assert(io.open(("%s/%s.lua"):format(tmp, name), "wb"))
  file:write(text or PROVIDER:format(name))
  file:close()
end

describe("the registry", function()
  before_each(function() tmp = shell.folder() end)
  after_each(function() shell.remove(tmp) end)

  it("uses a provider that was dropped into a folder, by the environment alone", function()
    drop "my-provider"
    local output = child([[
      local finetune = require "finetune"
      local provider = assert(finetune.get_default_provider())
      print(provider, provider.name, assert(provider:get_job "job-7").id)
    ]], {FINE_TUNE_PROVIDER_PATH = tmp, FINE_TUNE_PROVIDER = "my-provider"})
    assert.equal("finetune.provider: my-provider\tmy-provider\tjob-7", output)
  end)

  it("looks through several folders, first come first served, and skips those that are not there", function()
    shell.must(("mkdir %s/a %s/b"):format(tmp, tmp))
    drop("a/twice", PROVIDER:format "twice")
    drop("b/twice", "error 'the second one'")
    local output = child([[
      local finetune = require "finetune"
      print(finetune.get_provider("twice").name)
    ]], {FINE_TUNE_PROVIDER_PATH = ("%s/none:%s/a/:%s/b"):format(tmp, tmp, tmp)})
    assert.equal("twice", output)
  end)

  it("finds finetune.providers.NAME in package.path", function()
    shell.must(("mkdir -p %s/finetune/providers"):format(tmp))
    drop("finetune/providers/pathed", PROVIDER:format "pathed")
    local output = child(([[
      package.path = %q .. package.path
      local finetune = require "finetune"
      print(assert(finetune.create_provider "pathed").name, package.loaded["finetune.providers.pathed"].name)
      for _, p in ipairs(finetune.list_providers()) do if p.name == "pathed" then print(p.loaded) end end
    ]]):format(tmp .. "/?.lua;"))
    assert.equal("pathed\tpathed\ntrue", output)
  end)

  it("finds the folder providers/ of a clone", function()
    shell.must(("mkdir -p %s/clone/lua %s/clone/providers"):format(tmp, tmp))
    shell.must(("cp -r lua/finetune %s/clone/lua/"):format(tmp), {cwd = shell.root})
    drop("clone/providers/cloned", PROVIDER:format "cloned")
    local output = child(([[
      package.path = %q
      local finetune = require "finetune"
      print(assert(finetune.create_provider "cloned").name)
    ]]):format(("%s/clone/lua/?.lua;%s/clone/lua/?/init.lua"):format(tmp, tmp)))
    assert.equal("cloned", output)
  end)

  it("lists what is registered and what could be, without running a file", function()
    drop "listed"
    drop("broken", "-- needs: OTHER_KEY\nio.write 'it ran'")
    drop("not a name", "io.write 'it ran'")
    local output = child([[
      local finetune = require "finetune"
      for _, p in ipairs(finetune.list_providers()) do
        if p.name ~= "openai" or p.loaded then print(p.name, p.loaded, table.concat(p.needs, " ")) end
      end
    ]], {FINE_TUNE_PROVIDER_PATH = tmp})
    assert.matches("broken\tfalse\tOTHER_KEY", output)
    assert.matches("listed\tfalse\tDROPPED_KEY DROPPED_ACCOUNT", output)
    assert.matches("openai\ttrue\tOPENAI_API_KEY", output)
    assert.not_matches("it ran", output)
    assert.not_matches("not a name", output)
    assert.is_true(output:find "broken" < output:find "listed")
  end)

  it("neither opens nor lists what is no regular file", function()
    shell.must(("mkfifo %s/fifo.lua && mkdir %s/folder.lua && ln -s /dev/zero %s/device.lua"):format(tmp, tmp, tmp))
    drop "listed"
    local output = child([[
      local finetune = require "finetune"
      for _, name in ipairs {"fifo", "folder", "device"} do
        local _, err = finetune.get_provider(name)
        print(name, err, (select(2, finetune.create_provider(name))).kind)
      end
      for _, p in ipairs(finetune.list_providers()) do print("listed: " .. p.name) end
    ]], {FINE_TUNE_PROVIDER_PATH = tmp})
    for _, name in ipairs {"fifo", "folder", "device"} do
      assert.matches(name .. "\tfinetune: [^\n]*there is no provider '" .. name .. "'", output)
      assert.matches("\tconfig\n", output)
      assert.not_matches("listed: " .. name, output)
    end
    assert.matches("listed: listed", output)
  end)

  it("goes on saying what a loaded file needs", function()
    drop "listed"
    local output = child([[
      local finetune = require "finetune"
      finetune.create_provider "listed"
      for _, p in ipairs(finetune.list_providers()) do
        if p.name == "listed" then print(p.loaded, table.concat(p.needs, " ")) end
      end
    ]], {FINE_TUNE_PROVIDER_PATH = tmp})
    assert.equal("true\tDROPPED_KEY DROPPED_ACCOUNT", output)
  end)

  it("completes a base that is not registered yet", function()
    drop "listed"
    drop("child", "return require('finetune').register {name = 'child', base = 'listed'}")
    local output = child([[
      local finetune = require "finetune"
      print(assert(finetune.create_provider "child"):get_job("j").status)
    ]], {FINE_TUNE_PROVIDER_PATH = tmp})
    assert.equal("dropped", output)
  end)

  describe("answers with an error that names the file and the reason, for a file", function()
    local function attempt(name, text)
      drop(name, text)
      return child(([[
        local finetune = require "finetune"
        local ok, value, err = pcall(finetune.create_provider, %q)
        print(ok, value, err and err.kind, err and err.message)
      ]]):format(name), {FINE_TUNE_PROVIDER_PATH = tmp})
    end

    for what, case in pairs {
      ["that is not Lua"] = {"bad", "this is not Lua", "bad.lua"},
      ["that is bytecode"] = {"bad", string.dump(function() end), "binary"},
      ["that raises"] = {"bad", "error('no such host')", "no such host"},
      ["that registers nothing"] = {"bad", "return nil", "register"},
      ["with another provider's name"] = {"bad", PROVIDER:format "other", "other"},
      ["with a bad table"] = {"bad", "return {name = 'bad', creat_job = print}", "create_job"},
      ["whose base does not exist"] = {"bad", "return require('finetune').register {name='bad', base='none'}",
        "'base' is 'none'"},
      ["that is its own base"] = {"bad", "return require('finetune').register {name='bad', base='bad'}", "own base"},
    } do
      it(what, function()
        local output = attempt(case[1], case[2])
        assert.matches("^true\tnil\tprovider\t", output)
        assert.matches(tmp .. "/bad.lua", output, 1, true)
        assert.matches(case[3], output, 1, true)
      end)
    end
  end)

  it("says what exists, and the nearest name", function()
    local provider, err = finetune.create_provider "opnai"
    assert.is_nil(provider)
    assert.equal("config", err.kind)
    assert.matches("there is no provider 'opnai' %(did you mean 'openai'%?%); there are: ", err.message)
    assert.matches("openai", tostring(err))
  end)

  it("takes an empty FINE_TUNE_PROVIDER for an unset one", function()
    local output = child([[print(require("finetune").get_default_provider().name)]], {FINE_TUNE_PROVIDER = ""})
    assert.equal("openai", output)
  end)

  it("answers with an error where FINE_TUNE_PROVIDER names nothing", function()
    local output = child([[
      local provider, err = require("finetune").get_default_provider()
      print(provider, err.kind)
    ]], {FINE_TUNE_PROVIDER = "nowhere"})
    assert.equal("nil\tconfig", output)
  end)

  it("changes nothing of its host: globals, package.path, other modules", function()
    local output = child([[
      local before, path, globals = {}, package.path, {}
      for name in pairs(package.loaded) do before[name] = true end
      for name in pairs(_G) do globals[name] = true end
      local finetune = require "finetune"
      finetune.list_providers()
      finetune.create_provider "openai"
      for name in pairs(package.loaded) do
        if not before[name] and not name:find "^finetune" then print("module", name) end
      end
      for name in pairs(_G) do if not globals[name] then print("global", name) end end
      print(path == package.path)
    ]])
    assert.equal("true", output)
  end)
end)

describe("finetune.variant", function()
  local seen

  local function parent(name)
    return {
      name = name, base_url = "https://parent.example/v1", headers = {["x-a"] = "1"}, statuses = {GOING = "running"},
      upload_file = function() return {id = "f"} end,
      create_job = function(_, p) return {id = "made-" .. p.model, status = "GOING"} end,
      get_job = function(ctx)
        seen = ctx.config
        return {id = "j", status = "GOING"}
      end,
      cancel_job = function() return {id = "j", status = "cancelled"} end,
      list_models = function() return {data = {}, has_more = false} end,
      delete_model = function(_, p) return {id = p.model, deleted = true} end,
    }
  end

  before_each(function() finetune.register(parent "parent") end)
  after_each(function()
    finetune.unregister "parent"
    finetune.unregister "child"
  end)

  it("takes what it does not say from its base", function()
    local P = finetune.variant("parent", {
      name = "child", base_url = "https://child.example/v1", headers = {["x-b"] = "2"},
    })
    finetune.register(P)
    local provider <close> = assert(finetune.create_provider "child")
    local job = assert(provider:get_job "j")
    assert.equal("running", job.status)
    assert.equal("GOING", job.raw_status)
    assert.equal("https://child.example/v1", seen.base_url)
    assert.same({["x-a"] = "1", ["x-b"] = "2"}, seen.headers)
  end)

  it("can call the operation that it replaces, in Lua and in C", function()
    local P, super = finetune.variant("parent", {name = "child"})
    function P.create_job(ctx, p)
      local job = super.create_job(ctx, {model = p.model .. "!", training_file = p.training_file})
      job.suffix = "seen"
      return job
    end
    finetune.register(P)
    local provider <close> = assert(finetune.create_provider "child")
    local job = assert(provider:create_job {model = "m", training_file = "f"})
    assert.equal("made-m!", job.id)
    assert.equal("seen", job.suffix)
  end)

  it("can call an operation of openai, which is in C", function()
    local P, super = finetune.variant("openai", {name = "child", base_url = "https://child.example/v1"})
    function P.get_job(ctx, p)
      local job, err = super.get_job(ctx, p)
      if not job then return nil, err end
      job.suffix = "seen"
      return job
    end
    finetune.register(P)
    local transport, log = finetune.testing.transport {
      {"GET /v1/fine_tuning/jobs/j", json = {id = "j", status = "queued"}},
    }
    local provider <close> = assert(finetune.create_provider("child", {api_key = "k-123456", transport = transport}))
    local job = assert(provider:get_job "j")
    assert.equal("seen", job.suffix)
    assert.equal("https://child.example/v1/fine_tuning/jobs/j", log.requests[1].url)
    assert.equal("Bearer k-123456", log.requests[1].headers.authorization)
  end)

  it("raises for a base that there is not, and for itself", function()
    assert.has_error(function() finetune.variant("nowhere", {name = "child"}) end)
    assert.has_error(function() finetune.variant("child", {name = "child"}) end)
    assert.has_error(function() finetune.variant("parent", {}) end)
  end)
end)
