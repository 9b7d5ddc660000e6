-- finetune under cqueues: a coroutine of the controller polls our descriptor.

local found, cqueues = pcall(require, "cqueues")

describe("finetune.loop.cqueues", function()
  if not found then return pending "cqueues is not here" end

  local finetune = require "finetune"
  local loop = require "finetune.loop.cqueues"
  local service = require "spec.support.service"
  local sleeper = require "spec.support.sleeper"

  local provider, cq

  before_each(function()
    provider, cq = sleeper.open(), cqueues.new()
    loop.start(cq)
  end)

  after_each(function()
    loop.stop()
    sleeper.close(provider)
  end)

  it("suspends coroutines, and lets everything else go on", function()
    local ticks, ended = 0, 0
    for _ = 1, 3 do
      cq:wrap(function()
        sleeper.calls(provider, function() return ticks >= 5 end)
        ended = ended + 1
      end)
    end
    cq:wrap(function()
      while ended < 3 do
        cqueues.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    assert(cq:loop())
    assert.is_true(ticks >= 5, ticks)
  end)

  it("keeps cq:loop going while calls run, and not longer", function()
    local done
    provider:async("get_job", "0.02"):on_done(function() done = true end)
    assert(cq:loop(60))
    assert.is_true(done)
    assert.is_true(cq:empty())
  end)

  it("wakes the coroutine whose call is cancelled by another", function()
    local kind
    local call = provider:async("get_job", "60")
    cq:wrap(function() kind = select(2, call:await()).kind end)
    cq:wrap(function()
      provider:get_job "0.01"
      call:cancel()
    end)
    assert(cq:loop(60))
    assert.equal("cancelled", kind)
  end)

  it("ends when the last call is cancelled by the host", function()
    local told
    local call = provider:async("get_job", "60")
    call:on_done(function(_, err) told = err.kind end)
    cq:wrap(function()
      cqueues.sleep(0.005)
      call:cancel()
    end)
    assert(cq:loop(60))
    assert.equal("cancelled", told)
  end)

  it("runs finetune.run and finetune.map in a coroutine", function()
    local results
    local function nap(s) return provider:get_job(tostring(s)).id end
    cq:wrap(function() results = finetune.map({0.02, 0.01}, nap) end)
    assert(cq:loop(60))
    assert.same({"0.02", "0.01", n = 2}, results)
  end)

  it("talks over sockets", function()
    local server <close> = service.start {}
    local openai <close> = assert(finetune.create_provider("openai", {api_key = server.key, base_url = server.url}))
    local counts = {}
    for i = 1, 5 do cq:wrap(function() counts[i] = #assert(openai:list_models()).data end) end
    assert(cq:loop(60))
    assert.equal(5, #counts)
    assert.is_true(counts[5] > 0)
  end)

  it("refuses to wait outside of the controller, and in a coroutine of somebody else, with words", function()
    local ok, err = pcall(provider.get_job, provider, "0.001")
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("under cqueues", err.message)
    local inner
    cq:wrap(function()
      inner = select(2, pcall(coroutine.wrap(function() return provider:get_job "0.001" end)))
    end)
    assert(cq:loop(60))
    assert.equal("usage", inner.kind)
  end)

  it("gives what callbacks raise to the hook, and goes on", function()
    loop.stop()
    local errors, id = {}, nil
    loop.start(cq, function(err) errors[#errors + 1] = tostring(err) end)
    provider:async("get_job", "0.001"):on_done(function() error "in a callback" end)
    cq:wrap(function() id = provider:get_job("0.02").id end)
    assert(cq:loop(60))
    assert.equal(1, #errors)
    assert.matches("in a callback", errors[1])
    assert.equal("0.02", id)
  end)

  it("gives it to cq:loop where there is no hook, which can go on", function()
    local id
    provider:async("get_job", "0.001"):on_done(function() error "in a callback" end)
    cq:wrap(function() id = provider:get_job("0.02").id end)
    local ok, message = cq:loop(60)
    assert.is_falsy(ok)
    assert.matches("in a callback", tostring(message))
    assert(cq:loop(60))
    assert.equal("0.02", id)
  end)

  it("goes when it is told, and can come back", function()
    loop.stop()
    loop.stop()
    assert.equal("0.001", provider:get_job("0.001").id)
    loop.start(cq)
    assert.is_false((pcall(loop.start, cq)))
    local id
    cq:wrap(function() id = provider:get_job("0.001").id end)
    assert(cq:loop(60))
    assert.equal("0.001", id)
  end)
end)
