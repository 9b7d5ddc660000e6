-- Many jobs watched at once: what they cost, that each ends as it did, that none is in another's way.

local board = require "spec.support.board"
local core = require "finetune.core"
local finetune = require "finetune"
local service = require "spec.support.service"

local PAUSE, options = board.PAUSE, board.options

local provider, b

local function open(what) provider, b = board.open(what) end

local function wait_all(ids, more) return board.wait_all(provider, ids, more) end

local function all_succeeded(jobs, errors) board.all_succeeded(b, jobs, errors) end

local function more_gets() return board.more_gets(b) end

after_each(function()
  if provider then provider:close() end
  provider, b = nil, nil
  local limit = core.now() + 60 -- what was cancelled is told in the next steps
  repeat finetune.step(0.01) until finetune.pending() == 0 or core.now() > limit
  assert.equal(0, finetune.pending())
end)

-- KB that are in use, without what the board has noted
local function used()
  b.log.requests = {}
  collectgarbage()
  collectgarbage()
  return collectgarbage "count"
end

local function after(n) return function() return n end end

describe("what a round costs", function()
  it("is a page for a hundred jobs, and a few that are controlled", function()
    open {jobs = 250, ends = after(10)}
    all_succeeded(wait_all(b.ids))
    assert.is_true(b.rounds >= 10 and b.rounds <= 40, b.rounds)
    assert.is_true(b.count.list <= 3 * b.rounds, b.count.list)
    assert.is_true(more_gets() <= 800, b.count.get) -- 25 on a quiet machine, against 2500
  end)

  it("is a smaller page for fewer jobs", function()
    open {jobs = 60, ends = after(5)}
    local ids, limits = {table.unpack(b.ids, 51)}, {}
    b.answer.list = function(request) limits[request.query.limit] = true end
    assert.same({}, select(2, wait_all(ids)))
    assert.same({["20"] = true}, limits)
    assert.equal(b.rounds, b.count.list)
  end)

  it("is a page too where the caller's names are shorter than the list's", function()
    open {jobs = 50, ends = after(5)}
    local short = {}
    for i, id in ipairs(b.ids) do short[i] = id:match "%d+" end
    all_succeeded(wait_all(short))
    assert.is_true(more_gets() <= 120, b.count.get)
  end)

  it("is as ever for one job and for two", function()
    open {jobs = 2}
    local most = 10
    b.answer.get = function(request)
      if b.count.get < most then return end
      return {status = 200, json = {id = request.path:match "[^/]+$", status = "succeeded"}}
    end
    assert.same({}, select(2, wait_all {b.ids[1]}))
    most = 30
    assert.same({}, select(2, wait_all(b.ids)))
    assert.equal(0, b.count.list)
  end)

  it("falls together for those who began at different times", function()
    open {jobs = 40}
    finetune.map(b.ids, function(id, i)
      finetune.sleep(i * 0.37 * PAUSE)
      return provider:wait(id, options {timeout = 30 * PAUSE - i * 0.37 * PAUSE})
    end, {concurrency = 40})
    assert.is_true(b.rounds <= 60, b.rounds)
    assert.is_true(b.count.get <= 40 * 2 + 200, b.count.get)
  end)

  it("is nothing while they sleep", function()
    open {jobs = 100}
    local slow = options {interval = 60, max_interval = 60, timeout = 2}
    finetune.map(b.ids, function(id) return provider:wait(id, slow) end, {concurrency = 100})
    assert.same({list = 0, get = 100, events = 0}, b.count)
  end)

  it("does not grow with the rounds in memory", function()
    open {jobs = 20}
    local function rounds(n)
      wait_all(b.ids, {timeout = n * 0.002, interval = 0.002, max_interval = 0.002})
      return used()
    end
    rounds(50)
    local few = rounds(20)
    local growth = rounds(300) - few
    assert.is_true(growth < 100, growth) -- a moment that is kept takes 2 KB and more
  end)
end)

-- Begins to wait in a coroutine that is never gone on with once it has taken `steps` waits
local function abandon(id, steps, more)
  local co = coroutine.create(function()
    for event in provider:follow(id, options(more)) do assert(event) end
  end)
  core.waiters[co] = function(call) coroutine.yield(call) end
  for _ = 1, steps do
    local _, call = coroutine.resume(co)
    if call:done() then error "nothing to wait for" end
    call:await()
  end
  coroutine.resume(co)
end

describe("jobs that end", function()
  it("at different times, in all ways, are told as get_job tells it", function()
    open {jobs = 120, ends = function(i) return i % 7 end, fate = function(i)
      return ({"succeeded", "failed", "cancelled"})[i % 3 + 1]
    end}
    local jobs, errors, last = wait_all(b.ids)
    for i, id in ipairs(b.ids) do
      local truth = assert(provider:get_job(id))
      assert.same(truth, jobs[i] or last[i])
      if truth.status ~= "succeeded" then assert.equal("job", errors[i].kind) end
      if truth.status == "failed" then assert.matches(id .. " broke", errors[i].message, 1, true) end
    end
  end)

  it("on five services, followed by one thread", function()
    local services, providers, work = {}, {}, {}
    local path = os.tmpname() .. ".jsonl"
    local file = assert(io.open(path, "w"))
    file:write(('{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'):rep(20))
    file:close()
    for k = 1, 5 do
      services[k] = service.start {job_seconds = 3600}
      providers[k] = assert(finetune.create_provider("openai", {base_url = services[k].url, api_key = services[k].key}))
      local training = assert(providers[k]:upload_file(path))
      local function create(n)
        for _ = 1, n do
          work[#work + 1] = {k, assert(providers[k]:create_job {model = services[k].model, training_file = training,
            wait_for_files = false}).id}
        end
      end
      create(30)
      services[k]:set {fail = {code = "oom", message = "no memory"}}
      create(10)
      services[k]:clear()
    end
    os.remove(path)
    local function listings(k) return #services[k]:requests {path = "/jobs$"} end
    local function finish() -- all the jobs, once each service has been asked for eight lists
      for k = 1, 5 do
        repeat finetune.sleep(PAUSE) until listings(k) >= 8
      end
      for _, item in ipairs(work) do services[item[1]]:jump(item[2], 1) end
    end
    local ends
    local function watch()
      ends = finetune.map(work, function(item, i)
        local p, id = providers[item[1]], item[2]
        if i % 2 == 0 then
          local job, _, state = p:wait(id, options())
          return (job or state).status
        end
        for event in p:follow(id, options()) do assert(event.message) end
        return assert(p:get_job(id)).status
      end, {concurrency = #work})
    end
    assert.same({}, select(2, finetune.run(watch, finish)))
    assert.equal(200, #work)
    for k = 1, 5 do
      local gets = #services[k]:requests {path = "/jobs/[^/]+$"} - 20 -- those of this spec
      assert.is_true(gets <= 40 * 2 + 160, gets) -- against 40 for each of `lists` rounds
    end
    for i, item in ipairs(work) do
      assert.equal(assert(providers[item[1]]:get_job(item[2])).status, ends[i])
      assert.equal((i - 1) % 40 < 30 and "succeeded" or "failed", ends[i])
    end
    for k = 1, 5 do
      providers[k]:close()
      services[k]:stop()
    end
  end)
end)

describe("one of many", function()
  -- Twenty waits, and what another one does among them
  local function among(other, ends)
    open {jobs = 21, ends = after(ends or 8), delay = 0.4 * PAUSE}
    local ids = {table.unpack(b.ids, 1, 20)}
    local jobs, errors
    local seen
    finetune.run(function() jobs, errors = wait_all(ids) end, function() seen = other(b.ids[21]) end)
    assert.same({}, errors)
    for i, id in ipairs(ids) do assert.equal("ft:" .. id, jobs[i].fine_tuned_model) end
    return seen
  end

  it("that is out of time leaves the others alone, in the middle of a listing too", function()
    for _, rounds in ipairs {1.2, 2.2, 3.5} do
      local err = among(function(id)
        local _, why = provider:wait(id, options {timeout = rounds * PAUSE})
        return why
      end)
      assert.equal("timeout", err.kind)
      provider:close()
    end
  end)

  it("that is cancelled leaves the others alone", function()
    local P = {name = "outer"}
    for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
      P[op] = finetune.unsupported "not here"
    end
    function P.get_job(_, p) return provider:wait(p.job_id, options()) end
    finetune.register(P, {replace = true})
    local outer = assert(finetune.create_provider "outer")
    for _, rounds in ipairs {1.2, 1.5, 2.2, 3} do
      local err = among(function(id)
        local call = outer:async("get_job", id)
        finetune.sleep(rounds * PAUSE)
        assert.is_true(call:cancel())
        return (select(2, call:result()))
      end)
      assert.equal("cancelled", err.kind)
      provider:close()
    end
    outer:close()
    finetune.unregister "outer"
  end)

  it("that is abandoned leaves the others alone, and no trace", function()
    for steps = 0, 4 do
      among(function(id)
        abandon(id, steps, {timeout = 0.5})
        collectgarbage()
        return true
      end)
      provider:close()
      while finetune.pending() > 0 do finetune.step() end
    end
  end)

  it("that is abandoned in its sleep is swept out", function()
    open {jobs = 10}
    local before
    for i = 1, 600 do
      local pause = 0.001 + i * 1e-5 -- a moment of its own
      abandon(b.ids[i % 10 + 1], 2, {interval = pause, max_interval = pause, timeout = 2})
      if i == 100 then before = used() end
    end
    finetune.sleep(2)
    local growth = used() - before
    assert.is_true(growth < 100, growth)
  end)

  it("that raises in its own on_progress leaves the others alone", function()
    among(function(id)
      local ok = pcall(function()
        provider:wait(id, options {on_progress = function(job) if b.rounds > 2 then error(job.id) end end})
      end)
      assert.is_false(ok)
    end)
  end)

  it("and another that wait for the same job have a table each", function()
    open {jobs = 4, ends = after(4)}
    local seen = {{}, {}}
    local function keep(k)
      return function(job)
        assert.is_nil(job.mine)
        job.mine = k
        seen[k][#seen[k] + 1] = job.status
      end
    end
    finetune.run(function() wait_all(b.ids) end,
      function() return provider:wait(b.ids[1], options {on_progress = keep(1)}) end,
      function() return provider:wait(b.ids[1], options {on_progress = keep(2)}) end)
    assert.is_true(#seen[1] >= 4 and #seen[2] >= 4)
    assert.equal("succeeded", seen[2][#seen[2]])
  end)

  it("stays free when the instance is closed: all of them end", function()
    for _, rounds in ipairs {0.2, 1.2, 1.6, 2.5, 3.3} do
      open {jobs = 50, delay = 0.4 * PAUSE}
      local errors
      finetune.run(function() errors = select(2, wait_all(b.ids)) end, function()
        finetune.sleep(rounds * PAUSE)
        provider:close()
      end)
      for i = 1, 50 do assert.is_true(errors[i].kind == "cancelled" or errors[i].kind == "usage", errors[i].kind) end
    end
  end)

  it("is forgotten with the instance", function()
    open {jobs = 5, ends = after(3)}
    all_succeeded(wait_all(b.ids))
    local weak = setmetatable({provider}, {__mode = "v"})
    provider:close()
    provider, b = nil, nil
    finetune.step(0)
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("followers", function()
  local function follow_all(ids)
    return finetune.map(ids, function(id)
      local list = {}
      for event in provider:follow(id, options()) do list[#list + 1] = event.message end
      return table.concat(list, " ")
    end, {concurrency = #ids})
  end

  local function expected(n)
    local list = {}
    for i = 1, n do list[i] = "m" .. i end
    list[n + 1] = "end"
    return table.concat(list, " ")
  end

  it("get every event once and in order, for ten listings of events a round", function()
    open {jobs = 50, ends = function(i) return 12 + i % 9 end}
    local texts, errors = follow_all(b.ids)
    assert.same({}, errors)
    for i, id in ipairs(b.ids) do assert.equal(expected(b.jobs[id].ends), texts[i]) end
    local first_and_last = 2 * 50
    assert.is_true(b.count.events <= first_and_last + 10 * b.rounds + 200, b.count.events)
    assert.is_true(b.count.events >= first_and_last + 5 * 10, b.count.events)
  end)

  it("take turns", function()
    open {jobs = 30, ends = after(14)}
    local listed, turns = {}, {}
    b.answer.events = function(request)
      local id = request.path:match "jobs/([^/]+)"
      if listed[id] and b.rounds < 14 then turns[id] = math.max(turns[id] or 0, b.rounds - listed[id]) end
      listed[id] = b.rounds
    end
    follow_all(b.ids)
    for _, id in ipairs(b.ids) do assert.is_true(turns[id] >= 1 and turns[id] <= 15, turns[id]) end
  end)

  it("list events in every round where they are few", function()
    open {jobs = 10, ends = after(10)}
    follow_all(b.ids)
    assert.is_true(b.count.events >= 10 * 10, b.count.events)
  end)

  it("list events at once where a job has a new status", function()
    open {jobs = 30, ends = after(8)}
    local asked
    local id = b.ids[17]
    b.answer.list = function(_, doc)
      if b.rounds < 4 then return end
      b.jobs[id].status = b.rounds < 8 and "queued" or nil
      return {status = 200, json = doc}
    end
    b.answer.events = function(request)
      if request.path:find(id .. "/", 1, true) and (b.rounds == 4 or b.rounds == 5) then asked = true end
    end
    follow_all(b.ids)
    assert.is_true(asked)
  end)

  it("of a service without events get the changes that the list tells", function()
    finetune.register((finetune.variant("openai", {name = "eventless",
      list_events = finetune.unsupported "it has none"})), {replace = true})
    open {jobs = 12, ends = after(6), name = "eventless"}
    local texts, errors = follow_all(b.ids)
    finetune.unregister "eventless"
    assert.same({}, errors)
    for i = 1, 12 do assert.equal("job is running job is succeeded", texts[i]) end
    assert.equal(0, b.count.events)
    assert.is_true(b.count.list >= 5, b.count.list)
  end)
end)

describe("a host's loop", function()
  local has_luv, uv = pcall(require, "luv")

  it("has them fall together as well", function()
    if not has_luv then return pending "no luv here" end
    local loop = require "finetune.loop.luv"
    open {jobs = 40, ends = after(8)}
    local jobs, trouble = {}, {}
    loop.start(function(err) trouble[#trouble + 1] = err end)
    for i, id in ipairs(b.ids) do
      coroutine.wrap(function() jobs[i] = assert(provider:wait(id, options())) end)()
    end
    uv.run()
    loop.stop()
    all_succeeded(jobs, trouble)
    assert.is_true(b.count.list <= 40 and more_gets() <= 100, b.count.list .. " " .. more_gets())
  end)
end)
