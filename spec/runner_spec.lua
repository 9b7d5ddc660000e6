-- csrc/run.c: finetune-run, which runs one training job and says how it ended. Every process here is real, and
-- killed for real.

local core = require "finetune.core"
local preload = require "spec.support.preload"
local shell = require "spec.support.shell"

-- A process of this run alone: others may run this file at the same time
local LONG = ("sleep %d.%d"):format(4321, tonumber(core.random_token():sub(1, 7), 16))

local RUN = shell.root .. "/lua/finetune/finetune-run"

describe("finetune-run", function()
  local folder

  before_each(function() folder = shell.folder() end)
  after_each(function()
    for _, path in ipairs(shell.lines(("find %s -name lock"):format(shell.quote(folder)))) do
      local pid = core.lock_holder(path)
      if pid then shell.run("kill -9 " .. pid) end
    end
    shell.remove(folder)
  end)

  local function read(path)
    local file = io.open(path, "rb")
    if not file then return nil end
    local text = file:read "a"
    file:close()
    return text
  end

  -- A new job directory with this job.json
  local function job(doc, name)
    local path = folder .. "/" .. (name or "a job's \"dir\"")
    shell.must("mkdir -p " .. shell.quote(path))
    local file <close> = assert(io.open(path .. "/job.json", "wb"))
    file:write(type(doc) == "string" and doc or core.encode(doc))
    return path
  end

  local function script(text, more)
    local doc = {steps = {{argv = {"sh", "-c", text}}}}
    for key, value in pairs(more or {}) do doc[key] = value end
    return doc
  end

  local function run(path, flags, before)
    return shell.run(("%s %s %s %s"):format(before or "", shell.quote(RUN), flags or "", shell.quote(path)))
  end

  local function ending(path)
    local text = read(path .. "/exit.json")
    return text and assert(core.decode(text))
  end

  local function eventually(f, what)
    local limit = core.now() + 60
    repeat
      local value = f()
      if value then return value end
      shell.run "sleep 0.02"
    until core.now() > limit
    error(what or "it did not happen", 2)
  end

  local function ended(path)
    return eventually(function() return ending(path) end, "exit.json never came")
  end

  local function children_of(pid)
    return shell.lines(("cat /proc/%d/task/%d/children | tr ' ' '\\n'"):format(pid, pid))
  end

  local function runner_of(path) return core.lock_holder(path .. "/lock") or nil end

  -- Does a process with this command line live?
  local function lives(command)
    local all = shell.must "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"
    return all:find(command, 1, true) ~= nil
  end

  it("runs argv as it is, with the environment, in the directory, output to the log", function()
    local path = job {steps = {{argv = {"printf", "%s|", "a b", "$(id)", "'q'", "tä\n"}}}, env = {A = "x=1"}}
    assert.equal(0, (run(path)))
    assert.equal("a b|$(id)|'q'|tä\n|", read(path .. "/log"))
    path = job(script("echo \"$A\"; pwd; echo wrong >&2", {env = {A = "x=1 'y'"}, cwd = "/tmp"}), "b")
    assert.equal(0, (run(path)))
    assert.equal("x=1 'y'\n/tmp\nwrong\n", read(path .. "/log"))
  end)

  it("writes how it ended, and what it used", function()
    local path = job(script "exit 3")
    run(path)
    local e = ending(path)
    assert.equal("exited", e.reason)
    assert.equal(3, e.code)
    assert.is_true(e.wall >= 0 and e.finished_at >= e.started_at and e.max_rss > 100000)
    path = job(script "kill -SEGV $$", "b")
    run(path)
    e = ending(path)
    assert.equal("signal", e.reason)
    assert.equal(11, e.signal)
    path = job(script("x=0; while [ $x -lt 200000 ]; do x=$((x+1)); done"), "c")
    run(path)
    assert.is_true(ending(path).cpu > 0.02)
    assert.is_nil(read(path .. "/reserve"))
  end)

  it("runs steps one after another, until one fails, each with its own files", function()
    local path = job {steps = {
      {argv = {"sh", "-c", "echo one; echo err >&2"}, stdout = "first"},
      {argv = {"tr", "a-z", "A-Z"}, stdin = "first", stdout = "second"},
      {argv = {"sh", "-c", "echo log; exit 4"}},
      {argv = {"touch", "never"}},
    }}
    assert.equal(0, (run(path)))
    assert.equal("one\n", read(path .. "/first"))
    assert.equal("ONE\n", read(path .. "/second"))
    assert.equal("err\nlog\n", read(path .. "/log"))
    assert.is_nil(read(path .. "/never"))
    local e = ending(path)
    assert.equal(3, e.step)
    assert.equal(4, e.code)
    path = job({steps = {{argv = {"cat"}, stdin = "no such file"}}}, "b")
    assert.equal(1, (run(path)))
    assert.equal("not_started", ending(path).reason)
  end)

  it("says why nothing could be started", function()
    local path = job {steps = {{argv = {"/no/such/program"}}}}
    assert.equal(1, (run(path)))
    assert.equal("not_started", ending(path).reason)
    assert.matches("/no/such/program: No such file", ending(path).message)
    local good = '"steps":[{"argv":["true"]}]'
    for i, bad in ipairs {"", "{", "[]", "{}", '{"steps":[]}', '{"steps":{}}', '{"steps":["true"]}', '{"steps":[{}]}',
      '{"steps":[{"argv":[]}]}', '{"steps":[{"argv":["a",1]}]}', '{"steps":[{"argv":["a\\u0000b"]}]}',
      '{"steps":[{"argv":["a"],"stdout":1}]}', '{"steps":[{"argv":["a"],"argv":["b"]}]}', "{" .. good .. ',"env":[]}',
      "{" .. good .. ',"env":{"A=B":"c"}}', "{" .. good .. ',"env":{"":"c"}}',
      "{" .. good .. ',"env":{"N\\u0000":"c"}}',
      "{" .. good .. "," .. good .. "}", "{" .. good .. ',"env":{"A":1}}', "{" .. good .. ',"slot_count":0}',
      "{" .. good .. ',"grace":-1}', "{" .. good .. ',"cwd":7}', ("["):rep(100)} do
      path = job(bad, "bad" .. i)
      assert.equal(1, (run(path)), bad)
      assert.equal("not_started", ending(path).reason, bad)
      assert.matches("job.json: ", ending(path).message)
    end
    path = job(script("true", {cwd = "/no/such/folder"}), "cwd")
    assert.equal(1, (run(path)))
  end)

  it("says what is wrong with the call", function()
    assert.equal(2, (shell.run(shell.quote(RUN))))
    local status, words = run(folder .. "/nobody")
    assert.equal(1, status)
    assert.matches("No such file", words)
    local path = job(script "true")
    run(path)
    status, words = run(path)
    assert.equal(1, status)
    assert.matches("has ended already", words)
  end)

  it("goes on in the background, and holds the lock until the end", function()
    local path = job(script "while [ ! -e stop ]; do sleep 0.02; done")
    assert.equal(0, (run(path, "-d")))
    assert.is_number(runner_of(path))
    assert.is_number(eventually(function() return core.decode(read(path .. "/started.json") or "") end).pid)
    local status, words = run(path, "-d")
    assert.equal(1, status)
    assert.matches("has a runner already", words)
    shell.must("touch " .. shell.quote(path .. "/stop"))
    assert.equal(0, ended(path).code)
    eventually(function() return not runner_of(path) end)
  end)

  it("cancels: SIGTERM first, SIGKILL after the time of grace, also one that is paused", function()
    local path = job(script "trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done")
    run(path, "-d")
    eventually(function() return read(path .. "/started.json") end)
    shell.must("kill " .. runner_of(path))
    local e = ended(path)
    assert.equal("cancelled", e.reason)
    assert.equal(0, e.code)
    assert.matches("bye\n", read(path .. "/log"))

    path = job(script("trap '' TERM; while :; do sleep 0.02; done", {grace = 0.2}), "b")
    run(path, "-d")
    local pid = eventually(function() return core.decode(read(path .. "/started.json") or "") end).pid
    shell.must("kill -STOP -" .. pid)
    shell.must("kill " .. runner_of(path))
    e = ended(path)
    assert.equal("cancelled", e.reason)
    assert.equal(9, e.signal)
    assert.is_true(e.wall >= 0.2)
  end)

  it("leaves nothing running that the trainer left", function()
    local path = job(script(("(setsid %s &); %s & sleep 0.1"):format(LONG, LONG)))
    run(path)
    assert.equal("exited", ending(path).reason)
    assert.is_false(lives(LONG))
  end)

  it("takes its trainer along when it is killed, and then the lock is free", function()
    for i = 1, 20 do
      local path = job({steps = {{argv = {"sleep", LONG:match "%S+$"}}}}, "k" .. i)
      run(path, "-d")
      if i > 1 then shell.run(("sleep %g"):format((i - 1) * 0.002)) end
      shell.must("kill -9 " .. assert(runner_of(path)))
      eventually(function() return not runner_of(path) end)
      assert.is_nil(ending(path))
    end
    eventually(function() return not lives(LONG) end, "a trainer lives on")
  end)

  it("takes what its trainer started along, too", function()
    local path = job(script(LONG .. " & wait"))
    run(path, "-d")
    eventually(function() return lives(LONG) end)
    shell.must("kill -9 " .. assert(runner_of(path)))
    eventually(function() return not lives(LONG) end, "a trainer's child lives on")
  end)

  it("gives its trainer a new watchdog where somebody killed the first", function()
    local path = job(script(LONG .. " & wait"))
    run(path, "-d")
    local runner = runner_of(path)
    local trainer = eventually(function() return core.decode(read(path .. "/started.json") or "") end).pid
    local function watchdog()
      for _, pid in ipairs(children_of(runner)) do
        if tonumber(pid) ~= trainer then return pid end
      end
    end
    local first = eventually(watchdog)
    shell.must("kill -9 " .. first)
    eventually(function() return (watchdog() or first) ~= first end, "there is no new watchdog")
    assert.equal(runner, runner_of(path))
    shell.must("kill -9 " .. runner)
    eventually(function() return not lives(LONG) end, "a trainer's child lives on")
  end)

  -- A job that waits for its slot, and says in ../order that it had one
  local function queued(name, before)
    local path = job(script("while [ ! -e ../go ]; do sleep 0.02; done; echo " .. name .. " >>../order",
      {slots = folder .. "/slots"}), name)
    assert.equal(0, (run(path, "-d", before)))
    return path
  end

  local function go(paths)
    shell.must("touch " .. shell.quote(folder .. "/go"))
    for _, path in ipairs(paths) do assert.equal(0, ended(path).code) end
    return read(folder .. "/order")
  end

  it("keeps the order of arrival when the clock is set back, or was ahead", function()
    local why = preload.missing()
    if why then return pending(why) end
    local a = queued "a"
    eventually(function() return read(a .. "/started.json") end)
    local ticket = folder .. "/slots/ticket-00099999999999000000-1"
    assert(core.fs.write(ticket, "")) -- of a runner that was killed when the clock was far ahead
    local b = queued "b"
    local c, d = queued("c", preload.env {shift = -86400}), queued("d", preload.env {shift = -3600})
    assert.equal("a\nb\nc\nd\n", go {a, b, c, d})
    assert.is_nil(core.fs.stat(ticket))
  end)

  it("costs nothing while it waits behind others", function()
    local paths = {}
    for i = 1, 12 do paths[i] = queued("w" .. i) end
    eventually(function() return read(paths[1] .. "/started.json") end)
    local function switches()
      local sum = 0
      for i = 3, 12 do -- the first runs, the second looks for a slot
        local text = read(("/proc/%d/status"):format(runner_of(paths[i])))
        sum = sum + tonumber(text:match "\nvoluntary_ctxt_switches:%s*(%d+)")
      end
      return sum
    end
    shell.run "sleep 0.3"
    local before = switches()
    shell.run "sleep 1"
    assert.is_true(switches() - before <= 5, switches() - before)
    shell.must("kill " .. runner_of(paths[12]))
    assert.equal("cancelled", ended(paths[12]).reason)
    paths[12] = nil
    assert.equal("w1\nw2\nw3\nw4\nw5\nw6\nw7\nw8\nw9\nw10\nw11\n", go(paths))
  end)

  it("shows its lock only when it holds it", function()
    local why = preload.missing()
    if why then return pending(why) end
    local path = job(script("true", {slots = folder .. "/slots"}))
    shell.must(("%s %s %s >/dev/null 2>&1 &"):format(preload.env {delay = 150}, shell.quote(RUN), shell.quote(path)))
    local seen = {}
    local limit = core.now() + 60
    repeat
      local locks = shell.lines(("ls -d %s/slots/ticket-* 2>/dev/null || true"):format(shell.quote(folder)))
      for _, name in ipairs {path .. "/lock", table.unpack(locks)} do
        local holder = core.lock_holder(name)
        if holder == false and not ending(path) then seen[#seen + 1] = name end
      end
    until ending(path) or core.now() > limit
    assert.same({}, seen)
    assert.equal(0, ended(path).code)
  end)

  it("waits for a slot, in the order of arrival, whatever dies in the queue", function()
    local slots = folder .. "/slots"
    local a = queued "a"
    eventually(function() return read(a .. "/started.json") end)
    local b, c, d = queued "b", queued "c", queued "d"
    shell.run "sleep 0.3"
    assert.is_nil(read(b .. "/started.json"))
    assert.is_number(runner_of(b))
    shell.must("kill -9 " .. runner_of(b))
    shell.must("kill " .. runner_of(c))
    assert.equal("cancelled", ended(c).reason)
    assert.equal("cancelled before it began", ending(c).message)
    assert.equal("a\nd\n", go {a, d})
    assert.is_nil(ending(b))
    assert.equal("", shell.must(("ls %s | grep ticket || true"):format(shell.quote(slots))))
  end)

  it("runs a job again with -r: when its earlier runner is gone, whose end is forgotten", function()
    local slow = "[ -e once ] && exit 3; touch once; trap 'sleep 0.3; exit 1' TERM; sleep 9 & wait"
    local path = job(script(slow, {grace = 5}))
    run(path, "-d")
    eventually(function() return read(path .. "/once") end)
    shell.must("kill " .. runner_of(path))
    assert.is_nil(ending(path))
    assert.equal(0, (run(path, "-r"))) -- it waited, or it would have said 1
    local e = ending(path)
    assert.same({"exited", 3}, {e.reason, e.code})
    assert.equal(1, (run(path)))
  end)

  it("runs as many at once as there are slots", function()
    local paths = {}
    for i = 1, 4 do
      paths[i] = job(script("while [ ! -e ../go ]; do sleep 0.02; done",
        {slots = folder .. "/slots", slot_count = 2}), "s" .. i)
      run(paths[i], "-d")
    end
    eventually(function() return read(paths[1] .. "/started.json") and read(paths[2] .. "/started.json") end)
    shell.run "sleep 0.3"
    assert.is_nil(read(paths[3] .. "/started.json") or read(paths[4] .. "/started.json"))
    shell.must("touch " .. shell.quote(folder .. "/go"))
    for i = 1, 4 do assert.equal(0, ended(paths[i]).code) end
  end)

  it("gives the trainer none of its descriptors, nor those of whoever started it", function()
    local path = job(script "ls /proc/self/fd | wc -l")
    shell.must(("exec 7</dev/null 9>/dev/null; exec %s %s"):format(shell.quote(RUN), shell.quote(path)))
    assert.equal("4\n", read(path .. "/log")) -- three, and the one of ls itself
  end)

  it("writes the end also when the disk is full", function()
    local disk = folder .. "/disk"
    shell.must("mkdir " .. shell.quote(disk))
    if (shell.run(("mount -t tmpfs -o size=64k none %s"):format(shell.quote(disk)))) ~= 0 then
      return pending "no tmpfs can be mounted here"
    end
    local path = disk .. "/j"
    shell.must("mkdir " .. shell.quote(path))
    local file = assert(io.open(path .. "/job.json", "wb"))
    file:write(core.encode(script "cat /dev/zero >big; exit 5"))
    file:close()
    run(path)
    local e = ending(path)
    shell.must("umount " .. shell.quote(disk))
    assert.equal(5, e.code)
  end)
end)
