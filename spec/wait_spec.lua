-- call:await and its waiters, and what a call promises: on_done, cancel, <close>, result.

local core = require "finetune.core"
local finetune = require "finetune"
local waiting = require "finetune.wait"

local provider

local function sleeper()
  local P = {name = "sleeper"}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = function() return {id = op} end
  end
  function P.get_job(ctx, p)
    ctx:sleep(tonumber(p.job_id))
    return {id = p.job_id, status = "queued"}
  end
  return P
end

before_each(function()
  finetune.register(sleeper(), {replace = true})
  provider = assert(finetune.create_provider "sleeper")
end)

after_each(function()
  core.waiters.default, core.waiters.started = nil, nil
  provider:close()
  finetune.step(0)
  finetune.unregister "sleeper"
end)

local function start(seconds) return provider:async("get_job", tostring(seconds)) end

describe("a call", function()
  it("blocks a plain script in await, and nowhere else", function()
    local call = start(0.01)
    assert.is_false(call:done())
    assert.is_false((pcall(call.result, call)))
    local job, err = call:await()
    assert.equal("0.01", job.id)
    assert.is_nil(err)
    assert.is_true(call:done())
    assert.equal("0.01", call:result().id)
    assert.equal("0.01", call:await().id)
  end)

  it("goes on when it is forgotten", function()
    local ended
    start(0.005):on_done(function() ended = true end)
    collectgarbage()
    collectgarbage()
    while not ended do finetune.step() end
  end)

  it("tells everybody who asked, once, after it has ended", function()
    local seen = {}
    local call = start(0.001)
    for i = 1, 3 do call:on_done(function(job, err) seen[#seen + 1] = ("%d %s %s"):format(i, job.id, err) end) end
    call:await()
    finetune.step(0)
    finetune.step(0)
    assert.same({"1 0.001 nil", "2 0.001 nil", "3 0.001 nil"}, seen)
  end)

  it("tells at once where it is done", function()
    local call = provider:async("delete_model", "m")
    call:await()
    local seen
    call:on_done(function(value) seen = value.id end)
    assert.equal("delete_model", seen)
  end)

  it("can be cancelled, once", function()
    local call, seen = start(60), nil
    call:on_done(function(_, err) seen = err.kind end)
    assert.is_true(call:cancel())
    assert.is_false(call:cancel())
    local value, err = call:await()
    assert.is_nil(value)
    assert.equal("cancelled", err.kind)
    finetune.step(0)
    assert.equal("cancelled", seen)
  end)

  it("is cancelled by <close>", function()
    local kept
    do
      local call <close> = start(60)
      kept = call
    end
    assert.equal("cancelled", (select(2, kept:result())).kind)
  end)

  it("passes what a callback raises out of step, and still tells the others", function()
    local seen = 0
    local call = start(0.001)
    call:on_done(function() error "from a callback" end)
    call:on_done(function() seen = seen + 1 end)
    local ok, message
    repeat ok, message = pcall(finetune.step, 0.05) until not ok
    assert.matches("from a callback", tostring(message))
    for _ = 1, 3 do finetune.step(0) end
    assert.equal(1, seen)
  end)

  it("says its state", function()
    assert.matches("^finetune.call", tostring(start(0)))
  end)
end)

describe("step", function()
  it("is refused inside a callback, with words", function()
    local seen
    local call = start(0.001)
    call:on_done(function() seen = select(2, pcall(finetune.step, 0)) end)
    call:await()
    finetune.step(0)
    assert.equal("usage", seen.kind)
    assert.matches("finetune.run", seen.message)
    assert.matches("on_done", seen.message)
  end)

  it("counts what runs", function()
    assert.equal(0, finetune.step(0))
    local call = start(60)
    assert.equal(1, finetune.step(0))
    assert.equal(1, finetune.pending())
    call:cancel()
    assert.equal(0, finetune.step(0))
  end)

  it("waits no longer than it is told", function()
    local call <close> = start(60)
    local from = core.now()
    finetune.step(0.02)
    local elapsed = core.now() - from
    assert.is_true(elapsed >= 0.015 and elapsed < 30, elapsed)
    assert.is_false(call:done())
  end)

  it("runs deferred functions, also those that the deferred ones defer", function()
    local seen = {}
    core.defer(function(a)
      seen[#seen + 1] = a
      core.defer(function(b) seen[#seen + 1] = b end, "second")
    end, "first")
    finetune.step(0)
    finetune.step(0)
    assert.same({"first", "second"}, seen)
  end)
end)

describe("waiters", function()
  it("of a coroutine are used in it, and only in it", function()
    local suspended
    local co = coroutine.create(function() return start(0.001):await() end)
    core.waiters[co] = function(call)
      suspended = call
      coroutine.yield()
    end
    coroutine.resume(co)
    assert.is_false(suspended:done())
    while not suspended:done() do finetune.step() end
    local _, job = coroutine.resume(co)
    assert.equal("0.001", job.id)
  end)

  it("have a default, and only one", function()
    local n = 0
    local undo = waiting.install("spec", function(call)
      n = n + 1
      while not call:done() do finetune.step() end
    end)
    assert.equal("0.001", start(0.001):await().id)
    assert.equal(1, n)
    local ok, err = pcall(waiting.install, "other", print)
    assert.is_false(ok)
    assert.matches("stop%(%) it first", err.message)
    undo()
    start(0.001):await()
    assert.equal(1, n)
  end)

  it("tell a coroutine that was resumed by somebody else", function()
    local resume
    waiting.install("spec", function(call) waiting.suspend(call, resume) end)
    local iterator = coroutine.wrap(function() return start(0.01):await() end)
    resume = function() error "must not be reached" end
    iterator()
    local ok, err = pcall(iterator)
    assert.is_false(ok)
    assert.equal("usage", err.kind)
    assert.matches("resumed by other code", err.message)
    while finetune.pending() > 0 do finetune.step() end
  end)
end)

describe("a plain script in a coroutine of its own", function()
  it("blocks as everywhere: no yield goes to its owner", function()
    local seen = {}
    for id in coroutine.wrap(function()
      for _, s in ipairs {0.001, 0.002} do coroutine.yield(assert(provider:get_job(tostring(s))).id) end
    end) do
      seen[#seen + 1] = id
    end
    assert.same({"0.001", "0.002"}, seen)
  end)
end)

describe("a host", function()
  it("needs the descriptor alone", function()
    local fd = finetune.pollfd()
    assert.equal(fd, finetune.pollfd())
    assert.equal("integer", math.type(fd))
    local job
    start(0.005):on_done(function(value) job = value end)
    local socket = {getfd = function() return fd end, dirty = function() return false end}
    local ok, luasocket = pcall(require, "socket")
    if not ok then return pending "LuaSocket is not here" end
    for _ = 1, 100 do
      luasocket.select({socket}, nil, 1)
      finetune.step(0)
      if job then break end
    end
    assert.equal("0.005", job.id)
  end)
end)

describe("a wait that an error ends", function()
  local function raise_soon()
    start(0.005):on_done(function() error "from a callback" end)
  end

  -- Runs f, which waits for a minute; what a callback raises ends that. by_itself: f calls raise_soon.
  local function thrown_out(f, by_itself)
    local from = core.now()
    if not by_itself then raise_soon() end
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.matches("from a callback", tostring(err), 1, true)
    assert.is_true(core.now() - from < 30)
    finetune.step(0) -- the rest of the callbacks
  end

  local function long() return provider:get_job "60" end

  it("ends the call with it, where nobody else has the call", function()
    for _, f in ipairs {long, function() finetune.sleep(60) end,
      function() return provider:wait("60", {timeout = 50}) end,
      coroutine.wrap(function() return long() end)} do
      thrown_out(f)
      assert.equal(0, finetune.pending())
    end
  end)

  it("ends all that finetune.run has under way, also in a run inside it", function()
    local closed = 0
    local function task()
      local guard <close> = setmetatable({}, {__close = function() closed = closed + 1 end})
      long()
      return guard
    end
    thrown_out(function()
      finetune.run(task, task, function()
        finetune.run(task, function()
          raise_soon() -- all of them are under way
          finetune.sleep(60)
        end)
      end)
    end, true)
    assert.equal(3, closed)
    assert.equal(0, finetune.pending())
    thrown_out(function() finetune.map({1, 2, 3}, long, {concurrency = 1}) end)
    assert.equal(0, finetune.pending())
  end)

  it("leaves a call that async gave: whoever has it may wait again", function()
    local call = start(0.5)
    thrown_out(function() return call:await() end)
    assert.is_false(call:done())
    thrown_out(function() finetune.run(function() return call:await() end, long) end)
    assert.equal(1, finetune.pending())
    assert.equal("0.5", call:await().id)
  end)

  it("is none where it is over in time: nothing is cancelled", function()
    local call = start(0.05)
    local job, err = provider:wait("60", {timeout = 0.01})
    assert.is_nil(job)
    assert.equal("timeout", err.kind)
    assert.equal("0.05", call:await().id)
  end)

  it("ends the call of a coroutine that is closed", function()
    local co
    local call = start(0.05)
    finetune.run(function()
      co = coroutine.create(function() long() end)
      core.waiters[co] = coroutine.yield
      coroutine.resume(co)
      assert.equal(2, finetune.pending())
      coroutine.close(co)
      assert.equal(1, finetune.pending())
    end)
    call:await()
  end)
end)
