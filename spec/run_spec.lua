-- finetune.run and finetune.map: overlapping, order, failures, nesting, and 250 coroutines that wait in every
-- place where one can. Sleeps of a provider written here stand for requests.

local core = require "finetune.core"
local finetune = require "finetune"

local provider, running, most

local function sleeper()
  local P = {name = "sleeper"}
  -- job_id: seconds to sleep
  function P.get_job(ctx, p)
    running = running + 1
    most = math.max(most, running)
    ctx:sleep(tonumber(p.job_id))
    running = running - 1
    return {id = p.job_id, status = "queued"}
  end
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "delete_model"} do
    P[op] = function() return nil, {kind = "invalid", message = op .. " failed"} end
  end
  function P.list_models(ctx)
    ctx:sleep(0.01)
    return {data = {{id = "a"}, {id = "b"}}, has_more = false}
  end
  return P
end

before_each(function()
  running, most = 0, 0
  finetune.register(sleeper(), {replace = true})
  provider = assert(finetune.create_provider "sleeper")
end)

after_each(function()
  provider:close()
  finetune.step(0)
  finetune.unregister "sleeper"
  assert.equal(0, finetune.pending())
end)

local function nap(seconds) return assert(provider:get_job(tostring(seconds))) end

describe("finetune.run", function()
  it("lets the waits of functions overlap", function()
    finetune.run(function() nap(0.05) end, function() nap(0.05) end, function() nap(0.05) end)
    assert.equal(3, most)
  end)

  it("gives results and errors by index", function()
    local results, errors, first = finetune.run(
      function() return nap(0.02).id end,
      function() return provider:create_job {model = "m", training_file = "f"} end,
      function() return nil end,
      function() error({reason = "mine"}) end,
      function() return false, "no" end)
    assert.equal(5, results.n)
    assert.equal("0.02", results[1])
    assert.is_nil(results[2])
    assert.equal("invalid", errors[2].kind)
    assert.is_nil(results[3])
    assert.is_nil(errors[3])
    assert.same({reason = "mine"}, errors[4])
    assert.is_false(results[5])
    assert.equal("no", errors[5])
    assert.is_true(first == 2 or first == 4 or first == 5)
  end)

  it("has an empty table of errors when nothing failed", function()
    local results, errors, first = finetune.run(function() return 1 end)
    assert.same({1, n = 1}, results)
    assert.same({}, errors)
    assert.is_nil(first)
  end)

  it("gives what was raised, with a traceback for words, and stops nothing", function()
    local results, errors, first = finetune.run(
      function() error "broken" end,
      function() return nap(0.01).id end,
      function() error() end)
    assert.matches("run_spec.lua:%d+: broken\nstack traceback:", errors[1])
    assert.equal("0.01", results[2])
    assert.matches("nil", errors[3])
    assert.equal(1, first)
  end)

  it("takes no function at all, and nothing but functions", function()
    assert.same({n = 0}, (finetune.run()))
    assert.has_error(function() finetune.run(function() end, 7) end, "finetune.run: argument 2 must be a function")
  end)

  it("waits inside a run for a run inside it, and others go on meanwhile", function()
    local order, naps = {}, 0
    local function until_other()
      while not order[1] and naps < 2000 do
        nap(0.001)
        naps = naps + 1
      end
      return "waited"
    end
    finetune.run(
      function()
        local results = finetune.run(until_other, function() return nap(0.002).id end)
        order[#order + 1] = results[1] .. "+" .. results[2]
      end,
      function()
        nap(0.01)
        order[#order + 1] = "other"
      end)
    assert.same({"other", "waited+0.002"}, order)
  end)

  it("works in a provider's own function", function()
    finetune.register((function()
      local P = sleeper()
      P.list_jobs = function(ctx)
        local results = finetune.run(
          function() return ctx.provider:get_job "0.02" end,
          function() return ctx.provider:get_job "0.02" end)
        return {data = {results[1], results[2]}, has_more = false}
      end
      return P
    end)(), {replace = true})
    local other <close> = assert(finetune.create_provider "sleeper")
    assert.equal(2, #assert(other:list_jobs()).data)
    assert.equal(2, most)
  end)

  it("takes a bare yield for a turn given to the others", function()
    local order = {}
    finetune.run(
      function()
        order[#order + 1] = "a1"
        coroutine.yield()
        order[#order + 1] = "a2"
      end,
      function() order[#order + 1] = "b" end)
    assert.same({"a1", "b", "a2"}, order)
  end)

  it("cannot be started in a callback, and says so", function()
    local seen
    local call = provider:async("get_job", "0.001")
    call:on_done(function()
      local ok, err = pcall(finetune.run, function() return 1 end)
      seen = {ok, err}
    end)
    call:await()
    finetune.step(0)
    assert.is_false(seen[1])
    assert.equal("usage", seen[2].kind)
    assert.matches("callback", seen[2].message)
  end)

  it("lets several wait for one call", function()
    local call = provider:async("get_job", "0.02")
    local results = finetune.run(
      function() return call:await().id end,
      function() return call:await().id end,
      function() return call:await().id end)
    assert.same({"0.02", "0.02", "0.02", n = 3}, results)
    assert.equal(1, most)
  end)

  it("has a sleep", function()
    local asleep, together = 0, 0
    local function sleep()
      asleep = asleep + 1
      finetune.sleep(0.03)
      together = math.max(together, asleep)
      asleep = asleep - 1
    end
    local from = core.now()
    finetune.run(sleep, sleep)
    assert.is_true(core.now() - from >= 0.03)
    assert.equal(2, together)
    assert.has_error(function() finetune.sleep(-1) end)
    assert.has_error(function() finetune.sleep "1" end)
    for _, seconds in ipairs {1 / 0, 0 / 0, 2e9} do
      assert.matches("run_spec.lua:%d+: finetune.sleep: takes seconds, a number between 0 and 1e9",
        select(2, pcall(function() finetune.sleep(seconds) end)))
    end
  end)

  it("ends the wait of a coroutine whose call another one cancels", function()
    local call = provider:async("get_job", "60")
    local results, errors = finetune.run(
      function() return call:await() end,
      function()
        finetune.sleep(0.005)
        return call:cancel()
      end)
    assert.is_nil(results[1])
    assert.equal("cancelled", errors[1].kind)
    assert.is_true(results[2])
  end)
end)

describe("finetune.map", function()
  it("keeps order, whatever ends first", function()
    local results = finetune.map({0.03, 0.01, 0.02}, function(s) return nap(s).id end)
    assert.same({"0.03", "0.01", "0.02", n = 3}, results)
  end)

  it("is bounded", function()
    local list = {}
    for i = 1, 30 do list[i] = 0.002 end
    finetune.map(list, nap, {concurrency = 4})
    assert.equal(4, most)
    most = 0
    finetune.map(list, nap)
    assert.equal(20, most)
  end)

  it("gives the index, and takes holes and nil results", function()
    local results, errors = finetune.map({n = 3, [1] = "a", [3] = "c"}, function(item, i)
      if item then return item .. i end
    end)
    assert.same({"a1", nil, "c3", n = 3}, results)
    assert.same({}, errors)
  end)

  it("goes on after a failure", function()
    local results, errors, first = finetune.map({1, 2, 3}, function(i)
      if i == 2 then return nil, "two" end
      if i == 3 then error "three" end
      return i
    end, {concurrency = 1})
    assert.equal(1, results[1])
    assert.equal("two", errors[2])
    assert.matches("three", errors[3])
    assert.equal(2, first)
  end)

  it("takes an empty list", function()
    assert.same({n = 0}, (finetune.map({}, print)))
  end)

  it("raises for wrong arguments", function()
    assert.has_error(function() finetune.map("x", print) end)
    assert.has_error(function() finetune.map({}, "x") end)
    assert.has_error(function() finetune.map({}, print, {concurrency = 0}) end)
    assert.matches("run_spec.lua:%d+: finetune.map: the third argument must be a table",
      select(2, pcall(function() finetune.map({}, print, 5) end)))
    local ok, message = pcall(finetune.map, {}, print, {concurency = 3})
    assert.is_false(ok)
    assert.matches("did you mean 'concurrency'", message)
  end)
end)

describe("250 coroutines at once", function()
  local N = 250

  local function tasks(f)
    local list = {}
    for i = 1, N do list[i] = f end
    return list
  end

  local function run_all(f)
    local results, errors = finetune.run(table.unpack(tasks(f)))
    return results, errors
  end

  it("overlap where they wait plainly", function()
    local results, errors = run_all(function() return nap(0.05).id end)
    assert.same({}, errors)
    assert.equal("0.05", results[N])
    assert.equal(N, most)
  end)

  it("overlap inside finetune's own iterators", function()
    local inside = 0
    local results, errors = run_all(function()
      local n, naps = 0, 0
      inside = inside + 1
      for _ in provider:models() do
        while inside < N and naps < 2000 do -- each waits for all the others
          nap(0.001)
          naps = naps + 1
        end
        n = n + 1
      end
      assert(naps < 2000, "the others did not come")
      return n
    end)
    assert.same({}, errors)
    assert.equal(2, results[1])
  end)

  it("are refused with words inside a coroutine.wrap of their own", function()
    local _, errors = run_all(function()
      local iterator = coroutine.wrap(function() coroutine.yield(nap(0.001)) end)
      iterator()
    end)
    for i = 1, N do
      assert.equal("usage", errors[i].kind)
      assert.matches("cannot wait here", errors[i].message)
    end
    while finetune.pending() > 0 do finetune.step() end
  end)

  it("are refused with words inside on_done", function()
    local refused = 0
    run_all(function()
      local call = provider:async("get_job", "0.001")
      call:on_done(function()
        local ok, err = pcall(nap, 0.001)
        if not ok and err.kind == "usage" then refused = refused + 1 end
      end)
      call:await()
    end)
    finetune.step(0)
    assert.equal(N, refused)
    while finetune.pending() > 0 do finetune.step() end
  end)

  it("are refused with words inside a C function that cannot be yielded across", function()
    local _, errors = run_all(function()
      table.sort({3, 2, 1}, function(a, b)
        nap(0.001)
        return a < b
      end)
    end)
    for i = 1, N do
      assert.equal("usage", errors[i].kind)
      assert.matches("table.sort", errors[i].message)
    end
    while finetune.pending() > 0 do finetune.step() end
  end)

  it("have no deep C stack: a chain of calls that each start the next", function()
    local left = 1000
    local function chain()
      left = left - 1
      if left > 0 then provider:async("get_job", "0"):on_done(chain) end
    end
    chain()
    while left > 0 do finetune.step(0) end
    assert.equal(0, left)
  end)
end)
