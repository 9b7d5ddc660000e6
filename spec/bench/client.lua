-- client.lua: what is measured of ours, a process a run.
--   lua client.lua poll BASE jobs polls [CA-file] | first BASE | upload BASE path [CA-file] | asleep BASE jobs seconds
--     | create BASE jobs path | many BASE wait|follow|gets|gets+events rounds interval [count]

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./lua/?.so;" .. package.cpath

local finetune = require "finetune"

local function provider(base_url, ca_file, on_trace)
  return assert(finetune.create_provider("openai", {base_url = base_url, api_key = "sk-bench", ca_file = ca_file,
    on_trace = on_trace}))
end

local function ids(n)
  local list = {}
  for i = 1, n do list[i] = "ftjob-" .. i end
  return list
end

local M = {}

-- The public way: a coroutine a job, each waits for its answers.
function M.poll(base, jobs, polls, ca)
  local p = provider(base, ca)
  local function follow(id)
    for _ = 1, tonumber(polls) do
      local job = assert(p:get_job(id))
      assert(job.status == "running")
    end
    return true
  end
  local _, errors, failed = finetune.map(ids(tonumber(jobs)), follow, {concurrency = tonumber(jobs)})
  if failed then error(errors[failed]) end
end

function M.first(base, ca)
  assert(assert(provider(base, ca):get_job "ftjob-1").status == "running")
end

function M.upload(base, path, ca)
  assert(provider(base, ca):upload_file(path, {purpose = "fine-tune"}))
end

-- Each job is polled once, then waits for its next poll, which does not come.
function M.asleep(base, jobs, seconds)
  local p = base ~= "none" and provider(base)
  local function follow(id)
    if p then assert(p:get_job(id)) end
    finetune.sleep(tonumber(seconds))
    return true
  end
  finetune.map(ids(tonumber(jobs)), follow, {concurrency = tonumber(jobs)})
end

-- ---- many jobs that go on, watched for some rounds ----

function M.create(base, jobs, path)
  local p = provider(base)
  local file = assert(p:upload_file(path))
  local _, errors, failed = finetune.map({n = tonumber(jobs)}, function()
    return p:create_job {model = "tiny-chat-1", training_file = file, wait_for_files = false}
  end)
  if failed then error(errors[failed]) end
end

-- How each way watches a job: calls first() after its first state; the naive ones call again() after
-- each further one
local watchers = {}

function watchers.wait(p, id, o, first)
  local told = false
  p:wait(id, {interval = o.interval, max_interval = o.interval, timeout = o.timeout, on_progress = function()
    if not told then first() end
    told = true
  end})
end

function watchers.follow(p, id, o, first)
  local next_event = p:follow(id, {interval = o.interval, max_interval = o.interval, timeout = o.timeout})
  assert(next_event())
  first()
  repeat until not pcall(next_event) -- raises at the end of the time
end

local function naive(with_events)
  return function(p, id, o, first, again)
    for i = 0, o.rounds do
      assert(p:get_job(id))
      if with_events then assert(p:list_events(id)) end
      if i == 0 then first() else again() end
      finetune.sleep(o.interval)
    end
  end
end

watchers.gets, watchers["gets+events"] = naive(false), naive(true)

-- Prints the CPU seconds and the requests of some rounds, and their number: not of the first one, in
-- which every job is asked for by itself. Ours begin with the first page of a listing.
function M.many(base, way, rounds, interval, count)
  local o = {rounds = tonumber(rounds), interval = tonumber(interval)}
  o.timeout = (o.rounds + 1) * o.interval
  local list, asked, marks = {}, {list = 0, get = 0, events = 0}, nil
  local function mark()
    if marks then marks[#marks + 1] = {os.clock(), asked.list, asked.get, asked.events} end
  end
  local function note(t)
    local kind = t.url:find "/events" and "events" or t.url:find "/jobs/" and "get" or "list"
    if kind == "list" and not t.url:find "after=" then mark() end
    asked[kind] = asked[kind] + 1
  end
  local p = provider(base, nil, (count or not way:find "gets") and note or nil)
  for job in p:jobs {limit = 100} do list[#list + 1] = job.id end
  local firsts, further = 0, 0
  local function first()
    firsts = firsts + 1
    if firsts == #list then marks = {} end
    if firsts == #list and way:find "gets" then mark() end
  end
  local function again()
    further = further + 1
    if further % #list == 0 then mark() end
  end
  local _, errors, failed = finetune.map(list, function(id)
    watchers[way](p, id, o, first, again)
    return true
  end, {concurrency = #list})
  if failed then error(errors[failed]) end
  local from, to = marks[1], marks[#marks]
  for i = 1, 4 do print(to[i] - from[i]) end
  print(#marks - 1)
end

M[arg[1]](table.unpack(arg, 2))
