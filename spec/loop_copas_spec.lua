-- finetune under copas: a thread of copas waits for our descriptor. Run where copas is installed.

local found, copas = pcall(require, "copas")

describe("finetune.loop.copas", function()
  if not found then return pending "copas is not here" end

  local finetune = require "finetune"
  local loop = require "finetune.loop.copas"
  local service = require "spec.support.service"
  local sleeper = require "spec.support.sleeper"

  local provider

  before_each(function()
    provider = sleeper.open()
    loop.start()
  end)

  after_each(function()
    loop.stop()
    sleeper.close(provider)
  end)

  it("suspends coroutines, and lets everything else go on", function()
    local ticks, ended = 0, 0
    for _ = 1, 3 do
      copas.addthread(function()
        sleeper.calls(provider, function() return ticks >= 5 end)
        ended = ended + 1
      end)
    end
    copas.addthread(function()
      while ended < 3 do
        copas.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    copas.loop()
    assert.is_true(ticks >= 5, ticks)
  end)

  it("keeps copas.loop going while calls run, and not longer", function()
    local done
    provider:async("get_job", "0.02"):on_done(function() done = true end)
    copas.loop()
    assert.is_true(done)
  end)

  it("wakes the coroutine whose call is cancelled by another", function()
    local kind
    local call = provider:async("get_job", "60")
    copas.addthread(function() kind = select(2, call:await()).kind end)
    copas.addthread(function()
      provider:get_job "0.01"
      call:cancel()
    end)
    copas.loop()
    assert.equal("cancelled", kind)
  end)

  it("ends when the last call is cancelled by the host", function()
    local told
    local call = provider:async("get_job", "60")
    call:on_done(function(_, err) told = err.kind end)
    copas.addthread(function()
      copas.sleep(0.005)
      call:cancel()
    end)
    copas.loop()
    assert.equal("cancelled", told)
  end)

  it("runs finetune.run and finetune.map in a coroutine", function()
    local results
    local function nap(s) return provider:get_job(tostring(s)).id end
    copas.addthread(function() results = finetune.map({0.02, 0.01}, nap) end)
    copas.loop()
    assert.same({"0.02", "0.01", n = 2}, results)
  end)

  it("talks over sockets", function()
    local server <close> = service.start {}
    local openai <close> = assert(finetune.create_provider("openai", {api_key = server.key, base_url = server.url}))
    local counts = {}
    for i = 1, 5 do copas.addthread(function() counts[i] = #assert(openai:list_models()).data end) end
    copas.loop()
    assert.equal(5, #counts)
    assert.is_true(counts[5] > 0)
  end)

  it("refuses to wait outside of copas' threads, with words", function()
    local ok, err = pcall(provider.get_job, provider, "0.001")
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("under copas", err.message)
  end)

  it("gives what callbacks raise to the hook, and goes on", function()
    loop.stop()
    local errors, id = {}, nil
    loop.start(function(err) errors[#errors + 1] = tostring(err) end)
    provider:async("get_job", "0.001"):on_done(function() error "in a callback" end)
    copas.addthread(function() id = provider:get_job("0.02").id end)
    copas.loop()
    assert.equal(1, #errors)
    assert.matches("in a callback", errors[1])
    assert.equal("0.02", id)
  end)

  it("goes when it is told, and can come back", function()
    loop.stop()
    loop.stop()
    assert.equal("0.001", provider:get_job("0.001").id)
    loop.start()
    assert.is_false((pcall(loop.start)))
    local id
    copas.addthread(function() id = provider:get_job("0.001").id end)
    copas.loop()
    assert.equal("0.001", id)
  end)
end)
