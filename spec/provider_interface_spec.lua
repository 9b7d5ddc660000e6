-- The provider interface as an author and a user see it. Fake providers, no network.

local finetune = require "finetune"

-- The smallest provider: every required operation, in Lua
local function minimal(name, changes)
  local P = {name = name}
  function P.upload_file(_, p) return {id = "file-" .. p.path, raw = {}} end
  function P.create_job(_, p) return {id = "job-1", status = "queued", model = p.model, raw = {}} end
  function P.get_job(_, p) return {id = p.job_id, status = "succeeded", raw = {}} end
  function P.cancel_job(_, p) return {id = p.job_id, status = "cancelled", raw = {}} end
  function P.list_models() return {data = {{id = "m", raw = {}}}, has_more = false} end
  function P.delete_model(_, p) return {id = p.model, deleted = true} end
  for key, value in pairs(changes or {}) do P[key] = value end
  return P
end

local function message_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "it did not raise")
  return tostring(err)
end

describe("provider registration", function()
  after_each(function()
    for _, name in ipairs {"fake", "other"} do finetune.unregister(name) end
  end)

  it("takes a table and finds it by its name", function()
    local P = minimal "fake"
    finetune.register(P)
    assert.equal(P, finetune.get_provider "fake")
  end)

  it("is harmless when it is repeated with the same table", function()
    local P = minimal "fake"
    finetune.register(P)
    assert.equal(P, finetune.register(P))
  end)

  it("refuses another table under a taken name, and leaves the first", function()
    local P = finetune.register(minimal "fake")
    assert.matches("fake", message_of(finetune.register, minimal "fake"))
    assert.equal(P, finetune.get_provider "fake")
  end)

  it("replaces when it is told to", function()
    finetune.register(minimal "fake")
    local Q = minimal "fake"
    assert.equal(Q, finetune.register(Q, {replace = true}))
    assert.equal(Q, finetune.get_provider "fake")
  end)

  it("leaves an instance as it was when its provider is replaced", function()
    local function giving(id)
      return minimal("fake", {get_job = function() return {id = id, status = "queued"} end})
    end
    finetune.register(giving "old")
    local provider <close> = assert(finetune.create_provider "fake")
    finetune.register(giving "new", {replace = true})
    assert.equal("old", provider:get_job("x").id)
    local newer <close> = assert(finetune.create_provider "fake")
    assert.equal("new", newer:get_job("x").id)
  end)

  it("can be undone, and unknown names are no error there", function()
    finetune.register(minimal "fake")
    assert.is_true(finetune.unregister "fake")
    assert.is_false(finetune.unregister "fake")
    assert.is_nil((finetune.get_provider "fake"))
  end)

  it("lists all that is wrong with a table at once", function()
    local P = minimal("fake", {creat_job = function() end, get_job = 7, delete_model = false})
    P.cancel_job, P.delete_model = nil, nil
    local message = message_of(finetune.register, P)
    assert.matches("creat_job", message)
    assert.matches("create_job", message) -- the nearest name
    assert.matches("get_job", message)
    assert.matches("cancel_job", message)
    assert.matches("delete_model", message)
  end)

  it("says where the mistake is: at the caller's line", function()
    local HERE = "^spec/provider_interface_spec%.lua:%d+: "
    assert.matches(HERE, message_of(function() finetune.register(minimal "bad name") end))
    assert.matches(HERE, message_of(function() finetune.register({}, {replac = true}) end))
  end)

  for _, name in ipairs {"", "a/b", "../x", "a b", "a.b", ("x"):rep(200)} do
    it(("refuses the name '%s'"):format(name:sub(1, 10)), function()
      assert.matches("name", message_of(finetune.register, minimal(name)))
    end)
  end

  it("refuses what is no table", function()
    for _, value in ipairs {"fake", 1, true, print} do message_of(finetune.register, value) end
    message_of(finetune.register)
  end)

  it("takes a reason in place of an operation, which is then unsupported", function()
    finetune.register(minimal("fake", {delete_model = finetune.unsupported "models stay for ever"}))
    local provider <close> = assert(finetune.create_provider "fake")
    local has, reason = provider:supports "delete_model"
    assert.is_false(has)
    assert.matches("models stay for ever", reason)
    local value, err = provider:delete_model "m"
    assert.is_nil(value)
    assert.equal("unsupported", err.kind)
    assert.matches("models stay for ever", err.message)
  end)
end)

describe("provider creation", function()
  before_each(function() finetune.register(minimal("fake", {config = {"account"}, env = {api_key = "FAKE_KEY"}})) end)
  after_each(function() finetune.unregister "fake" end)

  it("gives an instance that says its name", function()
    local provider <close> = assert(finetune.create_provider "fake")
    assert.equal("fake", provider.name)
    assert.equal("finetune.provider: fake", tostring(provider))
  end)

  it("needs no key", function()
    local provider <close> = assert(finetune.create_provider "fake")
    assert.equal("succeeded", provider:get_job("job-1").status)
  end)

  it("hands the settings to the operations", function()
    finetune.register(minimal("fake", {config = {"account"}, get_job = function(ctx)
      return {id = ctx.config.account, status = "queued", model = ctx.name .. "." .. ctx.op}
    end}), {replace = true})
    local provider <close> = assert(finetune.create_provider("fake", {account = "acme", api_key = "k-12345"}))
    local job = provider:get_job "x"
    assert.equal("acme", job.id)
    assert.equal("fake.get_job", job.model)
  end)

  it("leaves the caller's table alone", function()
    local config = {account = "acme"}
    assert(finetune.create_provider("fake", config)):close()
    assert.same({account = "acme"}, config)
  end)

  it("raises for an unknown setting, with the nearest one, at the caller's line", function()
    local message = message_of(function() finetune.create_provider("fake", {api_keey = "x"}) end)
    assert.matches("provider_interface_spec%.lua:%d+: create_provider: unknown setting of fake 'api_keey'", message)
    assert.matches("did you mean 'api_key'", message)
    assert.matches("did you mean 'account'", message_of(finetune.create_provider, "fake", {acount = "x"}))
  end)

  it("raises for a setting of the wrong type", function()
    local create = finetune.create_provider
    assert.matches("setting 'timeout' must be a number, not a string", message_of(create, "fake", {timeout = "5"}))
    assert.matches("setting 'timeout' must be more than 0", message_of(create, "fake", {timeout = 0}))
    assert.matches("'api_key'", message_of(create, "fake", {api_key = true}))
    assert.matches("must be a table", message_of(create, "fake", "key"))
    assert.matches("must be a string", message_of(create, 7))
  end)

  it("answers an unknown name with what there is, and the nearest", function()
    local provider, err = finetune.create_provider "fakee"
    assert.is_nil(provider)
    assert.equal("config", err.kind)
    assert.matches("did you mean 'fake'", err.message)
    assert.matches("openai", err.message)
  end)

  it("answers a name that cannot be one", function()
    for _, name in ipairs {"../secret", "a/b", ""} do
      local provider, err = finetune.create_provider(name)
      assert.is_nil(provider)
      assert.equal("config", err.kind)
      assert.matches("letters, digits", err.message)
    end
  end)

  it("gives openai where nothing else is said", function()
    if os.getenv "FINE_TUNE_PROVIDER" then return pending "FINE_TUNE_PROVIDER is set" end
    local provider <close> = assert(finetune.get_default_provider())
    assert.equal("openai", provider.name)
  end)

  it("names the operations that a provider does not have", function()
    local provider <close> = assert(finetune.create_provider "fake")
    assert.is_true(provider:supports "get_job")
    assert.is_true(provider:supports "prepare_data")
    assert.is_false((provider:supports "pause_job"))
    assert.matches("did you mean 'pause_job'", message_of(provider.supports, provider, "pause_jb"))
    local _, err = provider:pause_job "x"
    assert.equal("unsupported", err.kind)
  end)
end)

describe("registration by return value", function()
  local function load_file(text)
    return assert(load(text, "=provider file"))()
  end

  after_each(function()
    finetune.unregister "returned"
    package.loaded["finetune.providers.returned"] = nil
    package.preload["finetune.providers.returned"] = nil
  end)

  it("register returns its argument", function()
    local P = minimal "returned"
    assert.equal(P, finetune.register(P))
  end)

  it("so a provider's file can end with it", function()
    local P = load_file [[
      local finetune = require "finetune"
      local P = {name = "returned", base = "openai", base_url = "https://returned.example/v1"}
      return finetune.register(P)
    ]]
    assert.equal(P, finetune.get_provider "returned")
  end)

  it("a module that only returns its table is registered by the look-up", function()
    package.preload["finetune.providers.returned"] = function() return minimal "returned" end
    local provider <close> = assert(finetune.create_provider "returned")
    assert.equal("returned", provider.name)
  end)

  it("a module that returns another provider's table is an error that says so", function()
    package.preload["finetune.providers.returned"] = function() return minimal "somebody_else" end
    local provider, err = finetune.create_provider "returned"
    assert.is_nil(provider)
    assert.equal("provider", err.kind)
    assert.matches("somebody_else", err.message)
  end)

  it("a module that returns a bad table is an error that says what is wrong", function()
    package.preload["finetune.providers.returned"] = function() return {name = "returned"} end
    local provider, err = finetune.create_provider "returned"
    assert.is_nil(provider)
    assert.equal("provider", err.kind)
    assert.matches("create_job", err.message)
  end)

  it("a module that raises is an error with its words", function()
    package.preload["finetune.providers.returned"] = function() error "broken on purpose" end
    local provider, err = finetune.create_provider "returned"
    assert.is_nil(provider)
    assert.equal("provider", err.kind)
    assert.matches("broken on purpose", err.message)
  end)
end)
