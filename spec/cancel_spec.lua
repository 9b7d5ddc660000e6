-- Cancelling, at any moment: it returns at once, the connection goes, nothing is sent
-- afterwards, and the next call works.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local JOB = "ftjob%-"

local s, id

setup(function()
  s = service.start()
  id = s:seed {jobs = 1}.jobs[1]
end)

teardown(function()
  live.clean()
  s:stop()
end)

before_each(function()
  s:clear()
  s:set {latency = 0}
end)

-- Cancels at once, and looks at everything that is promised of it
local function cancel(call)
  local others = finetune.pending() - 1
  assert.is_false(call:done())
  local heard
  call:on_done(function(value, err) heard = {value, err} end)
  local took, was_running = live.timed(function() return call:cancel() end)
  assert.is_true(was_running)
  assert.is_true(took < 2, took)
  assert.is_true(call:done())
  local err = live.failed(call:result())
  assert.equal("cancelled", err.kind)
  assert.equal("the call was cancelled", err.message)
  assert.is_false(call:cancel())
  assert.is_nil(heard) -- callbacks come from the next step
  finetune.step(0)
  assert.is_nil(heard[1])
  assert.equal("cancelled", heard[2].kind)
  assert.equal(others, finetune.pending())
end

local function works(provider)
  s:clear()
  assert.equal(id, assert(provider:get_job(id)).id)
end

local function steps(seconds)
  local deadline = core.now() + seconds
  repeat finetune.step(0.01) until core.now() >= deadline
end

-- Connections that are open beyond those that were; they close when the peer has seen it
local function connections_go(before)
  live.until_true(function() return s:stats().open <= before end)
end

describe("a call is cancelled", function()
  it("before anything was done", function()
    local provider = live.provider(s)
    cancel(provider:async("get_job", id))
    steps(0.05)
    assert.equal(0, #s:requests())
    works(provider)
  end)

  it("while it connects", function()
    local url, release = live.deaf_url()
    local call = live.provider(url):async("get_job", id)
    steps(0.05)
    cancel(call)
    release()
    works(live.provider(s))
  end)

  it("while it looks up its host", function()
    local call = live.provider("http://no-such-host.invalid/v1", {retry_delay = 60}):async("get_job", id)
    finetune.step(0)
    cancel(call)
    works(live.provider(s))
  end)

  it("while it sends", function()
    s:fault {kind = "stall", at = "upload", bytes = 1000, path = "/files$"}
    local provider, open = live.provider(s), s:stats().open
    local call = provider:async("upload_file", live.sparse(64 << 20), {filename = "t.jsonl"})
    live.until_true(function() return #s:requests() == 1 end)
    cancel(call)
    s:clear() -- the service reads on, and finds that nobody is there
    connections_go(open)
    works(provider)
  end)

  it("while it waits for the answer", function()
    s:fault {kind = "stall", path = JOB}
    local provider, open = live.provider(s), s:stats().open
    local call = provider:async("get_job", id)
    live.until_true(function() return #s:requests() == 1 end)
    cancel(call)
    connections_go(open)
    assert.equal(1, #s:requests())
    works(provider)
  end)

  it("in the middle of the answer", function()
    s:fault {kind = "stall", at = "body", path = JOB}
    local provider, open = live.provider(s), s:stats().open
    local call = provider:async("get_job", id)
    live.until_true(function() return #s:requests() == 1 end)
    steps(0.05)
    cancel(call)
    connections_go(open)
    works(provider)
  end)

  it("before another attempt", function()
    s:fault {kind = "status", status = 503, path = JOB, times = "always", retry_after = 60}
    local provider = live.provider(s)
    local call = provider:async("get_job", id)
    live.until_true(function() return #s:requests() == 1 end)
    steps(0.05)
    cancel(call)
    steps(0.05)
    assert.equal(1, #s:requests())
    works(provider)
  end)

  it("between two looks", function()
    s:set {file_seconds = 3600}
    local provider = live.provider(s, {poll_interval = 30})
    local call = provider:async("upload_file", live.file(live.lines(20)), {filename = "t.jsonl", wait = true})
    live.until_true(function() return #s:requests() >= 1 end)
    steps(0.05)
    cancel(call)
    s:set {file_seconds = 0}
    works(provider)
  end)

  it("while a download comes, and leaves no file", function()
    s:fault {kind = "giant", path = "/content$", type = "text/csv"}
    local output = live.path()
    os.remove(output)
    local open, told = s:stats().open, 0
    local call = live.provider(s):async("download_file", "file-1", {output = output,
      on_progress = function(done) told = done end})
    live.until_true(function() return told > 0 end)
    cancel(call)
    assert.is_nil(io.open(output))
    local pipe = io.popen("ls " .. output .. "* 2>/dev/null")
    assert.equal("", pipe:read "a")
    pipe:close()
    connections_go(open)
    works(live.provider(s))
  end)

  it("while it waits for its turn behind others", function()
    s:fault {kind = "stall", path = JOB, times = "always"}
    local provider, calls = live.provider(s), {}
    for i = 1, 40 do calls[i] = provider:async("get_job", id) end
    live.until_true(function() return #s:requests() >= 2 end)
    cancel(calls[40])
    for i = 1, 39 do calls[i]:cancel() end
    finetune.step(0)
    assert.equal(0, finetune.pending())
    works(provider)
  end)

  it("from its own progress", function()
    local provider = live.provider(s)
    local call
    call = provider:async("upload_file", live.sparse(4 << 20), {filename = "t.jsonl",
      on_progress = function() call:cancel() end})
    live.until_true(function() return call:done() end)
    local _, err = call:result()
    assert.truthy(err == nil or err.kind == "cancelled")
    works(provider)
  end)

  it("from another one's on_done", function()
    s:fault {kind = "stall", path = "/models$"}
    local provider = live.provider(s)
    local slow = provider:async("list_models", {})
    provider:async("get_job", id):on_done(function() slow:cancel() end)
    live.until_true(function() return slow:done() end)
    assert.equal("cancelled", live.failed(slow:result()).kind)
    works(provider)
  end)

  it("while a coroutine waits for it", function()
    s:fault {kind = "stall", path = "/models$"}
    local provider = live.provider(s)
    local call, result
    finetune.run(function()
      call = provider:async("list_models", {})
      result = table.pack(call:await())
    end, function()
      assert(provider:get_job(id))
      call:cancel()
    end)
    assert.is_nil(result[1])
    assert.equal("cancelled", result[2].kind)
  end)

  it("a thousand times, and no connection or descriptor stays", function()
    local function descriptors()
      local pipe = io.popen "ls /proc/$PPID/fd | wc -l"
      local n = tonumber((pipe:read "a"))
      pipe:close()
      return n
    end
    local provider = live.provider(s)
    works(provider)
    s:set {latency = 0.002}
    local before = descriptors()
    for i = 1, 1000 do
      local call = provider:async("get_job", id)
      for _ = 1, i % 4 do finetune.step(0.001) end
      call:cancel()
    end
    finetune.step(0)
    assert.equal(0, finetune.pending())
    s:set {latency = 0}
    works(provider)
    assert.is_true(descriptors() <= before + 4)
    live.until_true(function() return s:stats().open <= 8 end)
  end)
end)

describe("provider:close", function()
  it("cancels what runs, refuses what comes, and leaves other providers alone", function()
    s:fault {kind = "stall", path = JOB, times = "always"}
    local provider, other = live.provider(s), live.provider(s)
    local calls = {}
    for i = 1, 10 do calls[i] = provider:async("get_job", id) end
    local theirs = other:async("list_models", {})
    live.until_true(function() return #s:requests() >= 2 end)
    local took = live.timed(function() provider:close() end)
    assert.is_true(took < 2, took)
    for i = 1, 10 do assert.equal("cancelled", live.failed(calls[i]:result()).kind) end
    assert(theirs:await())
    local err = live.failed(provider:get_job(id))
    assert.equal("usage", err.kind)
    assert.equal("this provider was closed: create another one", err.message)
    provider:close()
    assert.matches("closed", tostring(provider))
    works(other)
  end)

  it("is what the end of a scope does", function()
    s:fault {kind = "stall", path = JOB, times = "always"}
    local call
    do
      local provider <close> = live.provider(s)
      call = provider:async("get_job", id)
      finetune.step(0.01)
    end
    assert.equal("cancelled", live.failed(call:result()).kind)
    assert.equal(0, finetune.pending())
  end)

  it("may come from an on_done of its own", function()
    s:fault {kind = "stall", path = JOB, times = "always"}
    local provider = live.provider(s)
    local call = provider:async("get_job", id)
    provider:async("list_models", {}):on_done(function() provider:close() end)
    live.until_true(function() return call:done() end)
    assert.equal("cancelled", live.failed(call:result()).kind)
  end)
end)
