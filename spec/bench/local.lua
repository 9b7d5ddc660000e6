-- local.lua: the section `local` of run.lua: what looking at jobs of this machine costs (providers/local.lua).
-- As a program of its own it is the client that is measured:
--   lua spec/bench/local.lua make HOME N        a store with N finished jobs
--   lua spec/bench/local.lua look HOME          -> ms of the first page, ms of it again, us of one status
--   lua spec/bench/local.lua follow HOME N S    N running jobs, followed for S seconds -> CPU seconds, events, and how
--                                               late they came (s): the median, the latest

local JOBS, FOLLOWED, SECONDS = 10000, 100, 40
local FIRST_PAGE, STATUS, SHARE = 5, 100, 1 -- goals: ms, us, % of a core

local function load()
  package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
  return require "finetune", require "finetune.core"
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- ---- the client ----

local client = {}

local function finished(core, id, i)
  return core.encode {id = id, status = "succeeded", recipe = "command", model = "command", training_file = "file-1",
    created_at = 1790000000 + i, started_at = 1790000001 + i, finished_at = 1790000002 + i, training_bytes = 1000,
    fine_tuned_model = "local:command-" .. i, hyperparameters = {n_epochs = 3}, result = {metrics = {train_loss = 0.1}},
    settings = {command = {"python3", "/home/me/train.py", "{training}"}},
    exit = {reason = "exited", code = 0, signal = -1, step = 1, wall = 1.5, cpu = 1.2, max_rss = 1e8}}
end

function client.make(home, n)
  local _, core = load()
  os.execute(("mkdir -p '%s/jobs'"):format(home))
  for i = 1, tonumber(n) do
    local id = ("job-20261122-%06d-%03d-%s"):format(i // 1000, i % 1000, core.random_token():sub(1, 6))
    assert(core.fs.mkdir(("%s/jobs/%s"):format(home, id)))
    local file <close> = assert(io.open(("%s/jobs/%s/state.json"):format(home, id), "wb"))
    file:write(finished(core, id, i))
  end
end

-- Milliseconds of f()
local function timed(core, f)
  local began = core.now()
  local value = assert(f())
  return (core.now() - began) * 1e3, value
end

function client.look(home)
  local finetune, core = load()
  local provider = assert(finetune.create_provider("local", {home = home}))
  local first, page = timed(core, function() return provider:list_jobs() end)
  local again, status = {}, {}
  for i = 1, 100 do again[i] = timed(core, function() return provider:list_jobs() end) end
  for i = 1, 1000 do
    status[i] = timed(core, function() return provider:get_job(page.data[i % #page.data + 1].id) end)
  end
  print(first, median(again), median(status) * 1e3)
end

local TRAINER = 'while :; do echo "{\\"time\\":$(date +%s.%N),\\"loss\\":0.5}" >>"$2"; sleep 1; done'

local function start(finetune, provider, home, n)
  local path = home .. "/data.jsonl"
  local file <close> = assert(io.open(path, "wb"))
  file:write(('{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'):rep(20))
  file:close()
  local uploaded = assert(provider:upload_file(path))
  local numbers = {}
  for i = 1, n do numbers[i] = i end
  return (finetune.map(numbers, function()
    return assert(provider:create_job {model = "command", training_file = uploaded,
      command = {"sh", "-c", TRAINER, "sh", "{training}", "{events}"}})
  end))
end

function client.follow(home, n, seconds)
  local finetune, core = load()
  os.execute(("mkdir -p '%s'"):format(home))
  local provider = assert(finetune.create_provider("local", {home = home, slot_count = 1000, grace = 1}))
  local jobs, late = start(finetune, provider, home, tonumber(n)), {}
  local began = os.clock()
  finetune.map(jobs, function(job)
    for event in provider:follow(job, {timeout = tonumber(seconds)}) do
      if event.type == "metrics" then late[#late + 1] = core.wall() - event.raw.time end
    end
  end, {concurrency = #jobs})
  local used = os.clock() - began
  for _, job in ipairs(jobs) do
    local pid = core.lock_holder(("%s/jobs/%s/lock"):format(home, job.id))
    if pid then core.kill(pid, "TERM") end
  end
  print(used, #late, median(late), late[#late])
end

-- ---- the section ----

-- kit: run.lua's head, row, measure (a command -> {out}), folder, lua (the interpreter)
local function section(kit)
  local pipe <close> = assert(io.popen("cd '" .. kit.folder .. "' && pwd"))
  local home = pipe:read "l" .. "/store"
  local function run(...) return kit.measure(table.concat({kit.lua, "spec/bench/local.lua", ...}, " ")).out end
  os.execute(("rm -rf '%s' '%s-2'"):format(home, home))
  kit.head(("jobs on this machine, %d of them finished"):format(JOBS), "")
  run("make", home, JOBS)
  local first, again, status = {}, {}, {}
  for i = 1, 5 do
    local a, b, c = run("look", home):match "(%S+)%s+(%S+)%s+(%S+)"
    first[i], again[i], status[i] = tonumber(a), tonumber(b), tonumber(c)
  end
  kit.row("list_jobs, first page of a new process", "", "", median(first), FIRST_PAGE, " ms")
  kit.row("list_jobs, first page again", "", "", median(again), FIRST_PAGE, " ms")
  kit.row("get_job", "", "", median(status), STATUS, " us")
  for i, n in ipairs {1, FOLLOWED} do
    local used, events, late, latest = run("follow", ("%s-2/%d"):format(home, i), n, SECONDS)
      :match "(%S+)%s+(%S+)%s+(%S+)%s+(%S+)"
    kit.row(("following %d running job%s with an event a second: %s events, %.1f s late, at most %.1f s"):format(n,
      n > 1 and "s" or "", events, late, latest), "", "", tonumber(used) / SECONDS * 100, SHARE, " %")
  end
  os.execute(("rm -rf '%s' '%s-2'"):format(home, home))
end

if ... == "spec.bench.local" then return section end
client[arg[1]](table.unpack(arg, 2))
