-- lua/finetune/supervise.lua: what a job's directory says; lua/finetune/tail.lua: the events in it.

local core = require "finetune.core"
local live = require "spec.support.live"
local shell = require "spec.support.shell"
local supervise = require "finetune.supervise"
local tail = require "finetune.tail"

local RUN = shell.root .. "/lua/finetune/finetune-run"

describe("a job's directory", function()
  local dir

  before_each(function() dir = shell.folder() end)
  after_each(function()
    local pid = core.lock_holder(dir .. "/lock")
    if pid then core.kill(pid, "KILL") end
    shell.remove(dir)
  end)

  local function write(name, text)
    local file = assert(io.open(dir .. "/" .. name, "wb"))
    file:write(type(text) == "string" and text or core.encode(text))
    file:close()
  end

  local function exit(fields)
    local doc = {reason = "exited", message = "", code = 0, signal = -1, step = 1, started_at = 5.5, finished_at = 7.25}
    for key, value in pairs(fields) do doc[key] = value end
    write("exit.json", doc)
    return supervise.state(dir)
  end

  local function eventually(f)
    local limit = core.now() + 60
    repeat
      if f() then return end
      shell.run "sleep 0.01"
    until core.now() > limit
    error("it did not happen", 2)
  end

  local function status() return (supervise.state(dir) or {}).status end

  it("is nobody's where there never was a runner", function()
    assert.is_nil(supervise.state(dir))
    assert.is_nil(supervise.state(dir .. "/nothing"))
    write("spec.json", {})
    assert.is_nil(supervise.state(dir))
  end)

  it("says how it ended", function()
    local state = exit {}
    assert.equal("succeeded", state.status)
    assert.equal(7.25, state.finished_at)
    assert.equal("cancelled", exit {reason = "cancelled", signal = 15}.status)
    write("log", "one\nout of\tmemory \27[31m\xff\n\n")
    assert.equal("a b", supervise.plain("a\xC2\x9B\27b", 9)) -- U+009B begins a command to a terminal, as ESC [ does
    state = exit {code = 3, step = 2}
    assert.equal("failed", state.status)
    assert.same({code = "exit_status", message = "step 2 of the job ended with exit status 3: out of memory [31m?"},
      state.error)
    assert.matches("signal 9 %(SIGKILL: somebody", exit {reason = "signal", code = -1, signal = 9}.error.message)
    state = exit {reason = "not_started", message = "/x: No such file", started_at = 0}
    assert.equal("the trainer could not be started: /x: No such file", state.error.message)
    assert.is_nil(state.started_at)
  end)

  it("survives an exit.json that is anything", function()
    for _, text in ipairs {"", "{", "[]", "{}", '{"reason":7,"code":"x","step":{},"started_at":"y","signal":[]}',
      '{"reason":"signal","signal":1e300}', '{"reason":"exited","code":0.5,"step":1e300}', "\0"} do
      write("exit.json", text)
      local state = supervise.state(dir)
      assert.equal("failed", state.status, text)
      assert.is_string(state.error.message)
    end
  end)

  it("is lost where the lock is free and nothing tells the end", function()
    write("lock", "")
    write("log", "epoch 1")
    local state = supervise.state(dir)
    assert.equal("failed", state.status)
    assert.equal("runner_killed", state.error.code)
    assert.matches("the log ends with: epoch 1", state.error.message)
    for _, text in ipairs {"", "[]", '{"pid":"x","started_at":[]}'} do
      write("started.json", text)
      assert.equal("failed", status())
    end
  end)

  it("runs, pauses, goes on, and ends when it is told", function()
    write("job.json", {steps = {{argv = {"sh", "-c", "while :; do echo . >>ticks; sleep 0.01; done"}}}})
    shell.must(("%s -d %s"):format(shell.quote(RUN), shell.quote(dir)))
    eventually(function() return status() == "running" end)
    local function ticks() return (core.fs.stat(dir .. "/ticks") or {size = 0}).size end
    eventually(function() return ticks() > 2 end)
    assert(supervise.pause(dir))
    assert.equal("paused", status())
    shell.run "sleep 0.05"
    local before = ticks()
    shell.run "sleep 0.1"
    assert.equal(before, ticks())
    assert(supervise.resume(dir))
    assert.equal("running", status())
    eventually(function() return ticks() > before end)
    assert(supervise.pause(dir))
    assert(supervise.cancel(dir)) -- one that is paused, too
    eventually(function() return status() == "cancelled" end)
    assert.is_true(supervise.cancel(dir)) -- nobody is there to be told
    local ok, err = supervise.pause(dir)
    assert.is_nil(ok)
    assert.equal("conflict", err.kind)
  end)

  it("is paused between two of its steps: in the next one", function()
    write("job.json", {steps = {{argv = {"sh", "-c", "while [ ! -e go ]; do sleep 0.01; done"}}}})
    shell.must(("%s -d %s"):format(shell.quote(RUN), shell.quote(dir)))
    eventually(function() return status() == "running" end)
    local started = assert(io.open(dir .. "/started.json")):read "a"
    local dead = tonumber(shell.must "sh -c 'echo $$'")
    write("started.json", {pid = dead, started_at = 5}) -- the step that was
    local looks = 0
    assert(supervise.pause(dir, function()
      looks = looks + 1
      if looks == 3 then write("started.json", started) end
    end))
    assert.equal(3, looks)
    assert.equal("paused", status())
    write("started.json", {pid = dead, started_at = 5})
    local ok, err = supervise.pause(dir, function() shell.run "sleep 0.1" end)
    assert.same({false, "conflict"}, {ok or false, err.kind})
    assert.is_nil(core.fs.stat(dir .. "/paused"))
    assert(supervise.resume(dir, function() shell.run "sleep 0.1" end))
    write("started.json", started)
    write("go", "")
    assert(supervise.resume(dir))
    eventually(function() return status() == "succeeded" end)
  end)

  it("waits for its slot, and cannot be paused while it does", function()
    local other = shell.folder()
    finally(function()
      core.kill(core.lock_holder(other .. "/lock"), "TERM")
      eventually(function() return not core.lock_holder(other .. "/lock") end)
      shell.remove(other)
    end)
    local doc = core.encode {steps = {{argv = {"sleep", "100"}}}, slots = other .. "/slots"}
    assert(core.fs.write(other .. "/job.json", doc))
    write("job.json", doc)
    shell.must(("%s -d %s"):format(RUN, other))
    eventually(function() return core.fs.stat(other .. "/started.json") end)
    shell.must(("%s -d %s"):format(RUN, dir))
    assert.equal("queued", status())
    assert.equal("conflict", select(2, supervise.pause(dir)).kind)
    assert(supervise.cancel(dir))
    eventually(function() return status() == "cancelled" end)
  end)

  describe("and its events", function()
    local path

    before_each(function() path = dir .. "/events.jsonl" end)

    local function ids(list)
      local all = {}
      for i, event in ipairs(list) do all[i] = event.id end
      return table.concat(all, " ")
    end

    it("are read from the end, in pages, each under its place", function()
      local text, places = {}, {}
      local at = 0
      for i = 1, 5000 do
        text[i] = core.encode {step = i, message = ("m"):rep(i % 90)} .. "\n"
        places[i] = at
        at = at + #text[i]
      end
      write("events.jsonl", table.concat(text))
      local before, i = nil, 5000
      repeat
        local page = tail.file(path, before, 37)
        for _, event in ipairs(page) do
          assert.equal("e-" .. places[i], event.id)
          assert.equal(i, event.data.step)
          i = i - 1
        end
        before = page[1] and tonumber(page[#page].id:sub(3))
      until #page == 0
      assert.equal(0, i)
    end)

    it("have no half-written last line, until it is whole", function()
      write("events.jsonl", '{"step":1}\n{"step":2')
      assert.equal("e-0", ids(tail.file(path, nil, 9)))
      write("events.jsonl", '{"step":1}\n{"step":2}')
      assert.equal("e-11 e-0", ids(tail.file(path, nil, 9)))
      assert.same({}, tail.file(dir .. "/nothing", nil, 9))
    end)

    it("leave out what is none, and take no number that is none", function()
      local inf = '{"step":3,"loss":1e999,"epoch":"x","message":"a\\nb\\u0007","time":1e300,"level":"error"}'
      write("events.jsonl", table.concat({"garbage", "", "[]", "{", "7", '{"a":"' .. ("x"):rep(70000) .. '"}', "\0\xff",
        inf, '{"time":5.9,"message":7}'}, "\r\n") .. "\n")
      local list = tail.file(path, nil, 99)
      assert.equal(2, #list)
      assert.equal("progress", list[1].message)
      assert.equal(5, list[1].created_at)
      assert.equal("message", list[1].type)
      assert.equal("a b", list[2].message)
      assert.equal("error", list[2].level)
      assert.same({step = 3}, list[2].data)
      assert.is_nil(list[2].created_at)
    end)

    it("may hold what is no number in JSON", function()
      write("events.jsonl", '{"step":1,"loss":NaN,"epoch":-Infinity,"message":"is NaN"}\n{"step":2,"loss":[NaN]}\n')
      local list = tail.file(path, nil, 9)
      assert.same({{step = 2}, {step = 1}}, {list[1].data, list[2].data})
      assert.equal("is NaN", list[2].message)
    end)

    it("say where they were searched no further, and go on from there", function()
      write("events.jsonl", '{"step":1}\n' .. ("x"):rep(20 << 20) .. "\n")
      local list, cut = tail.file(path, nil, 9)
      local pages = 0
      while cut do
        pages = pages + 1
        assert.same({1, "warn"}, {#list, list[1].level})
        assert.matches("^8 MB without an event", list[1].message)
        list, cut = tail.file(path, tonumber(list[1].id:sub(3)), 9)
      end
      assert.equal(2, pages)
      assert.equal("e-0", ids(list))
    end)

    it("are words where the trainer has only numbers", function()
      local event = tail.event("x", {step = 2.0, total_steps = 10, loss = 0.12345678, valid_loss = 1, accuracy = 0.5})
      assert.equal("step 2 of 10, loss 0.1235, valid loss 1, accuracy 0.5", event.message)
      assert.same({step = 2, total_steps = 10, train_loss = 0.12345678, valid_loss = 1, train_accuracy = 0.5},
        event.data)
      assert.equal("epoch 1.5, loss 2", tail.event("x", {epoch = 1.5, loss = 2}).message)
    end)

    it("cost what is on the page, also where the file has a gigabyte", function()
      shell.must(("truncate -s 1G %s; printf '\\n{\"step\":1}\\n' >>%s"):format(path, path))
      local before, memory = live.bytes_read(), collectgarbage "count"
      assert.equal(1, #tail.file(path, nil, 50))
      assert.is_true(live.bytes_read() - before < 64 << 20)
      assert.is_true(collectgarbage "count" - memory < 32 * 1024)
    end)

    local recipe = {events = function(_, text, last)
      local list, step = {}, last and last.step or 0
      for line in text:gmatch "[^\r\n]+" do
        local loss = line:match "loss ([%d.]+)"
        step = step + (loss and 1 or 0)
        if loss then list[#list + 1] = {time = os.time(), step = step, loss = tonumber(loss)} end
      end
      return list
    end}

    it("come from a log as from a file, under the same ids", function()
      local job, log, paused = {dir = dir}, tail.new_log(), 0
      local function pause() paused = paused + 1 end
      write("log", "begin\nloss 3\rloss 2.5\rlo")
      tail.read_log(log, job, recipe, pause)
      assert.equal(2, #tail.of_log(log, nil, 9))
      assert.near(core.wall(), tail.of_log(log, nil, 9)[1].created_at, 5)
      write("log", "begin\nloss 3\rloss 2.5\rloss 2\nloss 1.5")
      tail.read_log(log, job, recipe, pause)
      assert.equal(3, #tail.of_log(log, nil, 9))
      assert.is_true(paused >= 2)
      write("events.jsonl", tail.as_file(job, recipe, pause))
      local all = tail.file(path, nil, 9)
      assert.equal(4, #all) -- with the last line, now that nothing more will come
      assert.equal(ids(tail.of_log(log, nil, 9)), ids(tail.file(path, tonumber(all[1].id:sub(3)), 9)))
      assert.equal(ids(tail.of_log(log, 42, 1)), ids(tail.file(path, 42, 1)))
    end)

    it("come from a log with very many of them in bounded time, the first ones", function()
      shell.must(("yes 'loss 0.5' | head -n 300000 >%s/log"):format(dir))
      local log = tail.read_log(tail.new_log(), {dir = dir}, recipe, function() end)
      assert.same({200000, 200000}, {log.count, log.last.step})
      local _, lines = tail.as_file({dir = dir}, recipe, function() end):gsub("\n", "")
      assert.equal(200000, lines)
    end)

    it("come from a long log in bounded memory and in slices", function()
      shell.must(("(yes 'loss 0.5' | head -n 50000; seq 1 5000000) >%s/log"):format(dir))
      local log, slices = tail.new_log(), 0
      tail.read_log(log, {dir = dir}, recipe, function() slices = slices + 1 end)
      assert.is_true(slices > 100)
      assert.is_true(#log.list <= 20000)
      assert.is_true(log.offset <= 33 * 1024 * 1024)
    end)
  end)
end)
