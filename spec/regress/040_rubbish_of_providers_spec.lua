-- What a provider in Lua returned or raised went to the caller as it was: a number as a
-- job, a bare table (or one with a __tostring that says the key) as an error.

local finetune = require "finetune"

local KEY = "sk-rubbish-secret"

-- get_job (or the operation given) of a provider that is f -> its value, err
local function run(f, op, ...)
  local P = {name = "rubbish", get_job = f, list_jobs = f}
  for _, name in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do P[name] = f end
  finetune.register(P, {replace = true})
  local provider <close> = assert(finetune.create_provider("rubbish", {api_key = KEY}))
  return provider[op or "get_job"](provider, ...)
end

describe("rubbish of a provider", function()
  after_each(function() finetune.unregister "rubbish" end)

  it("is no job, no page, no file", function()
    local cycle = {}
    cycle.me = cycle
    for _, value in ipairs {false, 5, "x", {}, cycle, {id = 7}, print} do
      for _, op in ipairs {"get_job", "list_jobs", "upload_file"} do
        local got, err = run(function() return value end, op, op ~= "list_jobs" and "x" or nil)
        assert.is_nil(got)
        assert.equal("provider", err.kind)
        assert.matches(op .. " returned a", err.message)
      end
    end
    local _, err = run(function() return {data = {{id = "a"}, 5}} end, "list_jobs")
    assert.equal("provider", err.kind)
  end)

  it("is a job whose state nobody knows, where it says none", function()
    assert.equal("unknown", run(function() return {id = "a"} end, "get_job", "a").status)
  end)

  it("is an error value all the same", function()
    local cycle = {message = "round"}
    cycle.cause = cycle
    local teller = setmetatable({}, {__tostring = function() return "the key is " .. KEY end})
    local thrown_things = {{}, cycle, teller, {kind = "nonsense", message = {}}, {message = false}, 5, "words", true}
    for _, thrown in ipairs(thrown_things) do
      for _, f in ipairs {function() return nil, thrown end, function() error(thrown) end} do
        local value, err = run(f, "get_job", "x")
        assert.is_nil(value)
        assert.is_true(finetune.is_error(err))
        assert.equal("provider", err.kind)
        assert.equal("string", type(err.message))
        assert.matches("^finetune: rubbish get_job: %S", tostring(err))
        assert.is_nil(tostring(err):find(KEY, 1, true))
      end
    end
  end)

  it("cannot be made of our own userdata", function()
    local provider <close> = assert(finetune.create_provider("openai", {api_key = KEY}))
    local call = provider:async("list_models")
    assert.is_false(getmetatable(call))
    assert.is_false(getmetatable(provider))
    call:cancel()
    assert.is_table(require("finetune.core").providers(5))
  end)
end)
