-- What becomes of training on this machine (providers/local.lua) when the script, the runner or the trainer is killed,
-- the disk is full, the clock goes back, or a trainer does what no trainer should. Every process is real.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local shell = require "spec.support.shell"

local POINTS = 20
local EXAMPLE = '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'
local STATES = {queued = true, running = true, succeeded = true, failed = true, cancelled = true, finalizing = true}

-- Uploads, creates and follows until it is killed. arg: home
local SCRIPT = [[
package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
local finetune = require "finetune"
local provider = assert(finetune.create_provider("local", {home = arg[1], slot_count = 4}))
local command = {"sh", "-c", 'echo 1 >"$1/a"; sleep 0.02; cp "$2" "$1/b"; echo "{\"step\":1}" >>"$3"', "sh", "{output}",
  "{training}", "{events}"}
for _ = 1, tonumber(arg[3] or 1000000) do
  local file = assert(provider:upload_file(arg[2]))
  local job = assert(provider:create_job {model = "command", training_file = file, command = command})
  if arg[3] == nil then assert(provider:wait(job, {interval = 0.01, max_interval = 0.01})) end
end
]]

describe("training on this machine", function()
  local folder, home, provider, data

  local function open() return assert(finetune.create_provider("local", {home = home, grace = 0.3, slot_count = 4})) end

  local function write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
    return folder .. "/" .. name
  end

  before_each(function()
    folder = shell.folder()
    home = folder .. "/home"
    data = write("data.jsonl", EXAMPLE:rep(3))
    provider = open()
  end)

  local function holders()
    local list = {}
    for _, id in ipairs(core.list_dir(home .. "/jobs") or {}) do
      list[#list + 1] = core.lock_holder(("%s/jobs/%s/lock"):format(home, id)) or nil
    end
    return list
  end

  local function eventually(f, what)
    local limit = core.now() + 60
    repeat
      local value = f()
      if value then return value end
      finetune.sleep(0.01)
    until core.now() > limit
    error(what or "it did not happen", 2)
  end

  after_each(function()
    provider:close()
    for _, pid in ipairs(holders()) do core.kill(pid, "TERM") end
    eventually(function() return #holders() == 0 end)
    shell.remove(folder)
  end)

  local function create(script)
    local file = assert(provider:upload_file(data))
    return assert(provider:create_job {model = "command", training_file = file,
      command = {"sh", "-c", script, "sh", "{training}", "{output}", "{events}"}})
  end

  local function dir_of(job) return home .. "/jobs/" .. job.id end
  local function ended(job) return provider:wait(job, {interval = 0.01, max_interval = 0.05, timeout = 60}) end

  local function lives(command)
    return shell.must("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; true"):find(command, 1, true) ~= nil
  end

  -- All that can be seen is whole, whatever was killed
  local function check_whole()
    for file in provider:files() do assert.equal("processed", file.status) end
    for job in provider:jobs() do
      assert.is_true(STATES[job.status], job.status)
      assert.is_true(job.status ~= "failed" or #job.error.message > 0)
      assert.is_true(job.created_at > 0 and job.raw.recipe == "command")
    end
    for model in provider:models() do
      if model.owned_by == "local" then
        assert.equal("a\nb\n", shell.must("ls " .. shell.quote(model.raw.dir)))
        shell.must(("cmp %s %s"):format(data, shell.quote(model.raw.dir .. "/b")))
      end
    end
  end

  it("goes on whole when the script is killed, at " .. POINTS .. " points", function()
    local path = write("script.lua", SCRIPT)
    local jobs, orphans = 0, 0
    local whole = live.timed(function() -- how long it takes here until there is a job
      local child <close> = assert(core.spawn {argv = {"lua5.4", path, home, data, "1"}, stderr = folder .. "/err"})
      assert.equal(0, eventually(function() return child:poll() end))
    end)
    for point = 1, POINTS do
      do
        local _ <close> = assert(core.spawn {argv = {"lua5.4", path, home, data}, stderr = folder .. "/err"})
        shell.run(("sleep %g"):format(0.01 + math.max(0.0071, 3 * whole / POINTS) * point))
      end -- closing kills it
      check_whole()
    end
    for job in provider:jobs() do
      jobs = jobs + 1
      local done, err = ended(job)
      assert.equal("succeeded", done and done.status or tostring(err))
      assert.is_table(provider:get_model(done.fine_tuned_model))
    end
    check_whole()
    assert.is_true(jobs >= POINTS / 4, jobs .. " jobs were made")
    for _, id in ipairs(core.list_dir(home .. "/jobs")) do
      orphans = orphans + (core.fs.stat(("%s/jobs/%s/lock"):format(home, id)) and 0 or 1)
    end
    assert.is_true(orphans <= POINTS)
  end)

  local TRAIN = [[echo 1 >"$2/a"; sleep 0.03; cp "$1" "$2/b"; exec sleep 0.01]]

  it("says so when the runner is killed, at " .. POINTS .. " points", function()
    local told = {}
    for point = 1, POINTS do
      local job = create(TRAIN)
      shell.run(("sleep %g"):format(0.004 * (point - 1)))
      local pid = core.lock_holder(dir_of(job) .. "/lock")
      if pid then shell.run("kill -9 " .. pid) end
      eventually(function() return not core.lock_holder(dir_of(job) .. "/lock") end)
      local seen = assert(provider:get_job(job))
      told[seen.status] = (told[seen.status] or 0) + 1
      if seen.status == "failed" then assert.equal("runner_killed", seen.error.code) end
      assert.equal(seen.status, assert(open():get_job(job)).status)
      assert.is_true(seen.status == "failed" or seen.status == "succeeded", seen.status)
    end
    assert.is_true((told.failed or 0) > 0)
    check_whole()
  end)

  it("says so when the trainer is killed, at " .. POINTS .. " points", function()
    local killed = 0
    for point = 1, POINTS do
      local job = create(TRAIN)
      local started = eventually(function()
        return core.decode((shell.must("cat " .. shell.quote(dir_of(job) .. "/started.json") .. " 2>/dev/null; true")))
      end)
      shell.run(("sleep %g"):format(0.003 * (point - 1)))
      local is_there = core.lock_holder(dir_of(job) .. "/lock")
      if is_there then shell.run("kill -9 -" .. started.pid) end
      local done, err, last = ended(job)
      if not done then
        killed = killed + 1
        assert.equal("signal", last.error.code)
        assert.matches("signal 9", err.message)
      end
    end
    assert.is_true(killed > 0)
    check_whole()
  end)

  it("ends with a reason where the disk is full, and stores the model when there is room again", function()
    shell.must("mkdir " .. home)
    if (shell.run("mount -t tmpfs -o size=400k,nr_inodes=200 none " .. home)) ~= 0 then
      return pending "no tmpfs can be mounted here"
    end
    finally(function() shell.must("umount " .. home) end)
    local job = create [[cat /dev/zero >"$2/a"; exit 5]]
    local _, err, last = ended(job)
    assert.equal("exit_status", last.error.code)
    assert.matches("status 5", err.message)
    assert(provider:delete_job(job))

    job = create [[cp "$1" "$2/b"; echo 1 >"$2/a"; cat /dev/zero >"$2/../fill" 2>/dev/null
      i=0; while [ $i -lt 300 ] && true >"$2/../fill$i"; do i=$((i+1)); done 2>/dev/null; exit 0]]
    local state = eventually(function()
      local now = assert(provider:get_job(job))
      return now.status ~= "running" and now.status ~= "queued" and now
    end)
    assert.equal("finalizing", state.status, core.encode(state))
    assert.matches("No space left", state.error.message)
    assert.equal("finalizing", provider:list_jobs().data[1].status)
    shell.must(("rm -f %s/fill*"):format(shell.quote(dir_of(job))))
    assert.equal("succeeded", assert(ended(job)).status)
    check_whole()
    shell.must(("cat /dev/zero >%s/fill 2>/dev/null; true"):format(home))
    local made, why = provider:upload_file(data)
    assert.is_nil(made)
    assert.matches("No space left", why.message)
    check_whole()
    core.fs.remove(home .. "/fill")
    check_whole()
  end)

  it("lets two processes create fifty jobs each in one store", function()
    local path = write("script.lua", SCRIPT)
    local a <close> = assert(core.spawn {argv = {"lua5.4", path, home, data, "50"}, stderr = folder .. "/err1"})
    local b <close> = assert(core.spawn {argv = {"lua5.4", path, home, data, "50"}, stderr = folder .. "/err2"})
    for i, child in ipairs {a, b} do
      assert.equal(0, eventually(function() return child:poll() end), shell.must("cat " .. folder .. "/err" .. i))
    end
    local seen, n = {}, 0
    for job in provider:jobs {limit = 7} do
      assert.is_nil(seen[job.id])
      seen[job.id], n = true, n + 1
    end
    assert.equal(100, n)
    for id in pairs(seen) do assert.equal("succeeded", assert(ended(id)).status) end
    assert.equal(100, #core.list_dir(home .. "/models"))
    check_whole()
  end)

  it("lets several processes work up the end of the same jobs at the same time", function()
    local looker = write("looker.lua", SCRIPT:match "^.-\n" .. [[
      local finetune = require "finetune"
      local provider = assert(finetune.create_provider("local", {home = arg[1]}))
      for _, id in ipairs {table.unpack(arg, 2)} do
        local job = assert(provider:wait(id, {interval = 0.01, max_interval = 0.01}))
        assert(provider:get_model(job.fine_tuned_model))
        assert(#provider:list_events(job).data == 4)
      end]])
    local jobs = {}
    for i = 1, 20 do jobs[i] = create [[echo '{"step":1}' >"$3"; echo 1 >"$2/a"; cp "$1" "$2/b"]].id end
    for _, id in ipairs(jobs) do
      eventually(function() return core.fs.stat(dir_of {id = id} .. "/exit.json") end)
    end
    local children = {}
    for i = 1, 4 do
      children[i] = assert(core.spawn {argv = {"lua5.4", looker, home, table.unpack(jobs)},
        stderr = folder .. "/e" .. i})
    end
    for i, child in ipairs(children) do
      assert.equal(0, eventually(function() return child:poll() end), shell.must("cat " .. folder .. "/e" .. i))
    end
    assert.equal(20, #core.list_dir(home .. "/models"))
    check_whole()
  end)

  it("does not mind a clock that was set back", function()
    local first = create(TRAIN)
    local wall = core.wall
    finally(function() core.wall = wall end)
    core.wall = function() return wall() - 86400 end
    local second = create(TRAIN)
    core.wall = function() return wall() - 86400 * 2 end
    for _, job in ipairs {first, second} do
      for _ in provider:follow(job, {interval = 0.01}) do shell.run "true" end
      assert.equal("succeeded", assert(ended(job)).status)
    end
    local ids = {}
    for job in provider:jobs {limit = 1} do ids[#ids + 1] = job.id end
    assert.same({second.id, first.id}, ids) -- the newest first, all the same
    check_whole()
  end)

  it("is not impressed by a trainer that prints a gigabyte", function()
    local job = create [[cp "$1" "$2/b"; echo 1 >"$2/a"; yes 'no event at all' | head -c 1000000000
      echo '{"step":1}' >>"$3"]]
    local memory, most = collectgarbage "count", 0
    while true do
      local before = live.bytes_read()
      local now = assert(provider:get_job(job))
      assert(provider:list_events(job))
      most = math.max(most, live.bytes_read() - before)
      if now.finished_at then break end
      finetune.sleep(0.02)
    end
    assert.equal("succeeded", provider:get_job(job).status)
    assert.equal("step 1", provider:list_events(job).data[2].message)
    assert.is_true(collectgarbage "count" - memory < 8 * 1024)
    assert.is_true(most < 16 << 20, ("a look read %d bytes"):format(most))
    assert(provider:delete_job(job))
  end)

  it("is not impressed by gigabytes of events", function()
    local job = create [[cp "$1" "$2/b"; echo 1 >"$2/a"; yes '{"step":1,"loss":0.5}' | head -c 200000000 >"$3"]]
    assert(ended(job))
    local before = live.bytes_read()
    assert.equal(100, #assert(provider:list_events(job)).data)
    assert.is_true(live.bytes_read() - before < 16 << 20)
  end)

  it("ends one that never exits, ignores SIGTERM, forks, or leaves its group", function()
    local job = create [[trap '' TERM; sleep 8761 & setsid sleep 8762 & (setsid sh -c 'trap "" TERM; sleep 8763' &)
      while :; do sleep 0.05; done]]
    eventually(function() return lives "sleep 8761" and lives "sleep 8762" and lives "sleep 8763" end)
    local began = core.now()
    assert(provider:cancel_job(job))
    local _, err, last = ended(job)
    assert.equal("cancelled", last.status)
    assert.equal("job", err.kind)
    assert.is_true(core.now() - began < 60)
    for _, command in ipairs {"sleep 8761", "sleep 8762", "sleep 8763"} do assert.is_false(lives(command)) end
  end)
end)
