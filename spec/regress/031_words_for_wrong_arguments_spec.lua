-- Mistakes in a call: each raises words that say what is wanted, at the caller's line.

local finetune = require "finetune"
local sleeper = require "spec.support.sleeper"

local HERE = "031_words_for_wrong_arguments_spec.lua:%d+: "

-- f raises these words, at a line of this file
local function raises(words, f)
  local ok, message = pcall(f)
  assert.is_false(ok, "it did not raise: " .. words)
  assert.matches("^[^\n]*" .. HERE, tostring(message))
  assert.is_truthy(tostring(message):find(words, 1, true), tostring(message))
end

describe("a wrong argument", function()
  local provider

  before_each(function() provider = sleeper.open() end)
  after_each(function() sleeper.close(provider) end)

  it("of an operation: a time or a size that makes no sense", function()
    raises("parameter 'wait_timeout' must be more than 0 seconds", function()
      provider:upload_file("x", {wait_timeout = 0})
    end)
    raises("parameter 'file_timeout' must be more than 0 seconds", function()
      provider:create_job {model = "m", training_file = "f", file_timeout = -1}
    end)
    raises("parameter 'part_size' must be at least 1", function() provider:upload_file("x", {part_size = 0}) end)
    raises("parameter 'max_bytes' must be at least 1", function() provider:download_file("x", {max_bytes = 0}) end)
    raises("parameter 'max_errors' must be at least 0", function() provider:prepare_data({}, {max_errors = -1}) end)
  end)

  it("of prepare_data: no examples, or two sources", function()
    raises("prepare_data: parameter 'examples' is missing", function() provider:prepare_data() end)
    raises("prepare_data: parameter 'examples' is missing", function() provider:prepare_data {format = "chat"} end)
    raises("'examples' and 'path' are both given", function() provider:prepare_data({{}}, {path = "x"}) end)
    raises("'examples' and 'path' are both given", function() provider:async("prepare_data", {{}}, {path = "x"}) end)
  end)

  local function setting(words, config)
    raises(words, function() finetune.create_provider("openai", config) end)
  end

  it("of create_provider: inside a setting", function()
    setting("unknown field of the setting 'auth' 'headr'; did you mean 'header'?", {auth = {headr = "x"}})
    setting("setting 'auth.prefix' must be a string, not a boolean", {auth = {prefix = true}})
    setting("every field of the setting 'headers' has a name; there is a value at [1]", {headers = {"x"}})
    setting("'a' in the setting 'query' must be a string, a number, true or false, not a table", {query = {a = {}}})
    setting("unknown status in the setting 'statuses' 'runing'; did you mean 'running'?", {statuses = {x = "runing"}})
    setting("'x' in the setting 'statuses' must be one of", {statuses = {x = 7}})
    setting("setting 'connect_timeout' must be more than 0 seconds", {connect_timeout = -1})
    assert(finetune.create_provider("openai", {auth = {header = "api-key", prefix = ""}, statuses = {x = "running"},
      query = {a = 1, b = true, c = "d"}, headers = {["x-n"] = 5}})):close()
  end)

  it("names each thing once", function()
    local _, message = pcall(finetune.create_provider, "openai", {zzzzzzzzz = 1})
    local seen = {}
    for name in message:match("there are: (.*)"):gmatch "[%w_]+" do
      assert.is_nil(seen[name], name)
      seen[name] = true
    end
  end)

  it("that should be a provider", function()
    local call <close> = provider:async("get_job", "0")
    for _, other in ipairs {call, {}, "x", io.stdout} do
      for _, method in ipairs {"get_job", "jobs", "events", "wait", "follow", "async", "supports", "close"} do
        raises(("%s: call it with a colon on a provider, provider:%s(...)"):format(method, method), function()
          provider[method](other, "x")
        end)
      end
    end
    raises("jobs: call it with a colon", function() provider.jobs() end)
  end)

  it("that should be an operation's name, or a provider's table", function()
    raises("supports: takes the name of an operation, such as 'create_job', not nothing", function()
      provider:supports()
    end)
    raises("async: takes the name of an operation, such as 'create_job', not a number", function()
      provider:async(7)
    end)
    raises("register: takes a provider's table", function() finetune.register(nil) end)
    raises("not a string", function() finetune.register "x" end)
  end)

  it("that cannot be a provider's name says which there are", function()
    local _, err = finetune.create_provider "openai "
    assert.matches("did you mean 'openai'%?", err.message)
    _, err = finetune.get_provider "../x"
    assert.equal("config", err.kind)
    assert.matches("there are: .*openai", err.message)
  end)

  it("where nothing is known says so", function()
    assert.equal("there are: none", require("finetune.check").there_are {})
  end)
end)

describe("a wrong argument of ctx", function()
  after_each(function() finetune.unregister "sleeper" end)

  local function words(f)
    sleeper.open():close()
    local P = finetune.get_provider "sleeper"
    finetune.unregister "sleeper"
    P.get_job = f
    finetune.register(P)
    local other <close> = assert(finetune.create_provider("sleeper", {base_url = "http://x.test"}))
    local _, err = other:get_job "j"
    assert.equal("provider", err.kind)
    assert.matches(HERE, err.message)
    return err.message
  end

  it("is told in words", function()
    assert.matches("ctx:get: takes a path or a URL, a string, not nothing", words(function(ctx) ctx:get() end))
    assert.matches("call it with a colon", words(function(ctx) ctx.get "/x" end))
    assert.matches("ctx:post: takes a path", words(function(ctx) ctx:post({}, {}) end))
    assert.matches("ctx:get: takes further fields", words(function(ctx) ctx:get("/x", "y") end))
    assert.matches("ctx:sleep: takes seconds, a number, not a string", words(function(ctx) ctx:sleep "x" end))
    assert.matches("ctx:all: takes an array", words(function(ctx) ctx:all() end))
    assert.matches("ctx:poll: takes a function", words(function(ctx) ctx:poll() end))
    assert.matches("ctx:upload: takes a table", words(function(ctx) ctx:upload() end))
    assert.matches("ctx:events: takes a path", words(function(ctx) ctx:events() end))
    assert.matches("ctx:paginate: takes a table", words(function(ctx) ctx:paginate() end))
  end)
end)
