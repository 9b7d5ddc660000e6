-- finetune under luv: the host's loop owns the thread, and nothing of ours blocks it.

local found, uv = pcall(require, "luv")

describe("finetune.loop.luv", function()
  if not found then return pending "luv is not here" end

  local core = require "finetune.core"
  local finetune = require "finetune"
  local loop = require "finetune.loop.luv"
  local service = require "spec.support.service"
  local sleeper = require "spec.support.sleeper"

  local provider, errors

  before_each(function()
    provider, errors = sleeper.open(), {}
    loop.start(function(err) errors[#errors + 1] = err end)
  end)

  after_each(function()
    loop.stop()
    sleeper.close(provider)
  end)

  local function task(f) coroutine.wrap(f)() end

  it("suspends coroutines, and lets everything else go on", function()
    local ticks, ended, timer = 0, 0, uv.new_timer()
    timer:start(0, 1, function() ticks = ticks + 1 end)
    for _ = 1, 3 do
      task(function()
        sleeper.calls(provider, function() return ticks >= 5 end)
        ended = ended + 1
        if ended == 3 then timer:close() end
      end)
    end
    assert.equal(0, ended)
    uv.run()
    assert.equal(3, ended)
    assert.is_true(ticks >= 5, ticks)
    assert.same({}, errors)
  end)

  it("keeps uv.run going while calls run, and not longer", function()
    local done
    provider:async("get_job", "0.02"):on_done(function() done = true end)
    uv.run()
    assert.is_true(done)
    assert.is_falsy(uv.loop_alive())
  end)

  it("wakes the coroutine whose call is cancelled by another", function()
    local kind
    local call = provider:async("get_job", "60")
    task(function() kind = select(2, call:await()).kind end)
    task(function()
      provider:get_job "0.01"
      call:cancel()
    end)
    uv.run()
    assert.equal("cancelled", kind)
  end)

  it("ends when the last call is cancelled by the host", function()
    local told
    local call = provider:async("get_job", "60")
    call:on_done(function(_, err) told = err.kind end)
    local timer = uv.new_timer()
    timer:start(5, 0, function()
      timer:close()
      call:cancel()
    end)
    uv.run()
    assert.equal("cancelled", told)
  end)

  it("runs finetune.run and finetune.map in a coroutine", function()
    local results
    local function nap(s) return provider:get_job(tostring(s)).id end
    task(function() results = finetune.map({0.02, 0.01}, nap) end)
    uv.run()
    assert.same({"0.02", "0.01", n = 2}, results)
  end)

  it("talks over sockets", function()
    local server <close> = service.start {}
    local openai <close> = assert(finetune.create_provider("openai", {api_key = server.key, base_url = server.url}))
    local counts = {}
    for i = 1, 5 do task(function() counts[i] = #assert(openai:list_models()).data end) end
    uv.run()
    assert.equal(5, #counts)
    assert.is_true(counts[5] > 0)
    assert.same({}, errors)
  end)

  it("refuses to wait in the main coroutine and in callbacks, with words", function()
    local ok, err = pcall(provider.get_job, provider, "0.001")
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("under luv", err.message)
    local inside
    local timer = uv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      inside = select(2, pcall(provider.get_job, provider, "0.001"))
    end)
    uv.run()
    assert.equal("usage", inside.kind)
    ok, err = pcall(finetune.run, function() error "must not begin" end)
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    uv.run()
    assert.same({}, errors)
  end)

  it("gives what callbacks and coroutines raise to the hook, and goes on", function()
    local id
    task(function()
      provider:get_job "0.001"
      error "in a coroutine"
    end)
    provider:async("get_job", "0.002"):on_done(function() error "in a callback" end)
    task(function() id = provider:get_job("0.02").id end)
    uv.run()
    assert.equal("0.02", id)
    assert.equal(2, #errors)
    assert.matches("in a coroutine.*stack traceback", tostring(errors[1]))
    assert.matches("in a callback", tostring(errors[2]))
  end)

  it("wakes up for nothing while calls sleep", function()
    local steps, step = 0, core.step
    core.step = function(...)
      steps = steps + 1
      return step(...)
    end
    for _ = 1, 50 do task(function() provider:get_job "0.05" end) end
    uv.run()
    core.step = step
    assert.is_true(steps <= 60, steps)
  end)

  it("goes when it is told, and can come back", function()
    loop.stop()
    loop.stop()
    assert.equal("0.001", provider:get_job("0.001").id) -- a plain script again
    loop.start(error)
    assert.is_false((pcall(loop.start, error)))
    local id
    task(function() id = provider:get_job("0.001").id end)
    uv.run()
    assert.equal("0.001", id)
  end)

  it("wants a hook for errors", function()
    loop.stop()
    assert.has_error(function() loop.start() end, "finetune.loop.luv: start takes a function that is given errors")
  end)
end)
