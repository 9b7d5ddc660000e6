-- Two hundred jobs on five services of different kinds, created and followed by one thread: each provider is the real
-- one, over the fake of its own service. What many jobs of one kind cost in detail is in spec/many_spec.lua.

local core = require "finetune.core"
local finetune = require "finetune"
local service = require "spec.support.service"

local JOBS = 40 -- on each service; a page of its list has room for them all
local JOB_SECONDS, INTERVAL = 6, 0.4 -- on a slow machine a job takes longer: see set_pace
local EXAMPLE = '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'

-- jobs: the path of the list of jobs; each job's own is below it. Where it lists events: the last one's text
local ROWS = {
  {name = "openai", jobs = "/v1/fine_tuning/jobs", last = "The job has successfully completed", events = true},
  {name = "azure", jobs = "/openai/v1/fine_tuning/jobs", last = "The job has successfully completed", events = true},
  {name = "together", jobs = "/v1/fine-tunes", last = "Job finished", events = true},
  {name = "fireworks", jobs = "/v1/accounts/acme/supervisedFineTuningJobs", last = "job is succeeded",
    config = {account = "acme"}},
  -- A job's status moves only while somebody listens to that job, so its list cannot stand in for the others. Each
  -- update is told to one listener alone; one that listened beside the follower may bring an update after the end.
  {name = "localai", jobs = "/api/fine-tuning/jobs", last = "Training completed", events = true, alone = true},
}

local function write_examples()
  local path = os.tmpname()
  os.remove(path)
  path = path .. ".jsonl"
  local file <close> = assert(io.open(path, "w"))
  file:write(EXAMPLE:rep(20))
  return path
end

-- Starts the row's service; its provider, and one uploaded file
local function open(row, path)
  row.service = service.start {dialect = row.name, job_seconds = JOB_SECONDS}
  local config = {base_url = row.service.url, api_key = row.service.key}
  for key, value in pairs(row.config or {}) do config[key] = value end
  row.provider = assert(finetune.create_provider(row.name, config))
  row.path, row.training = path, assert(row.provider:upload_file(path))
end

-- Jobs take several times as long as it takes to create all of them here
local function set_pace()
  local began = core.now()
  for _, row in ipairs(ROWS) do
    assert(row.provider:create_job {model = row.service.model, training_file = row.training})
  end
  local seconds = math.max(JOB_SECONDS, 3 * JOBS * (core.now() - began))
  for _, row in ipairs(ROWS) do
    row.service:reset()
    row.service:set {job_seconds = seconds}
    row.training = assert(row.provider:upload_file(row.path))
    row.service:clear() -- what follows is counted alone
  end
end

local function close(row)
  if row.provider then row.provider:close() end
  if row.service then row.service:stop() end
  row.provider, row.service = nil, nil
end

-- Creates one job and follows it to its end: item.id, item.heard (its events), item.job
local function do_job(item)
  local row = item.row
  item.id = assert(row.provider:create_job {model = row.service.model, training_file = row.training}).id
  for event in row.provider:follow(item.id, {interval = INTERVAL, max_interval = INTERVAL, timeout = 600}) do
    item.heard[#item.heard + 1] = event
  end
  return true
end

-- All jobs of all services in one finetune.run, in turns -> items, seconds of CPU
local function do_all()
  local items, tasks = {}, {}
  for _ = 1, JOBS do
    for _, row in ipairs(ROWS) do
      local item = {row = row, heard = {}}
      items[#items + 1] = item
      tasks[#tasks + 1] = function() return do_job(item) end
    end
  end
  local cpu = os.clock()
  local _, errors, first = finetune.run(table.unpack(tasks))
  if first then error(("%s: %s"):format(items[first].row.name, tostring(errors[first]))) end
  return items, os.clock() - cpu
end

-- What an event is known by: its id, or else all that tells it from others
local function key_of(event)
  return event.id or ("%s %s %s"):format(event.type, event.created_at, event.message)
end

local function keys_of(events)
  local list = {}
  for i, event in ipairs(events) do list[i] = key_of(event) end
  return list
end

-- All events that the service itself lists now
local function listed(item)
  local list = {}
  for event in item.row.provider:events(item.id, {limit = 100}) do list[#list + 1] = event end
  return list
end

-- LocalAI: what is told is in the list, and the end is told. The list may have got more since, see ROWS.
local function told_of_list(item, seen, wanted)
  local ended = false
  for _, event in ipairs(item.heard) do ended = ended or event.message == item.row.last end
  assert.is_true(ended, table.concat(keys_of(item.heard), " "))
  for _, key in ipairs(wanted) do seen[key] = nil end
  assert.is_nil(next(seen), item.row.name)
end

local function each_once(item)
  local seen = {}
  for _, key in ipairs(keys_of(item.heard)) do
    assert.is_nil(seen[key], ("%s: told twice: %s"):format(item.row.name, key))
    seen[key] = true
  end
  if item.row.alone then return told_of_list(item, seen, keys_of(listed(item))) end
  assert.equal(item.row.last, item.heard[#item.heard].message)
  if item.row.events then
    local heard, wanted = keys_of(item.heard), keys_of(listed(item))
    table.sort(heard)
    table.sort(wanted)
    assert.same(wanted, heard, item.row.name)
  end
end

-- Requests by what they ask for: {list, get (of one job), more (events and the like of one job), all}
local function count(row)
  local n = {list = 0, get = 0, more = 0, all = 0}
  for _, request in ipairs(row.service:requests {method = "GET"}) do
    local path, kind = request.path, nil
    if path == row.jobs then
      kind = "list"
    elseif path:sub(1, #row.jobs + 1) == row.jobs .. "/" then
      kind = path:find("/", #row.jobs + 2, true) and "more" or "get"
    end
    n.all = n.all + 1
    if kind then n[kind] = n[kind] + 1 end
  end
  return n
end

-- One page a round for all forty, beside the first and the last look at each job: seen are 15 pages and 86 jobs, where
-- fifteen rounds of forty jobs asked for alone would be 600. Rounds grow fewer on a slow machine, never dearer.
local function costs_pages(row, n)
  local told = ("%s: list %d, get %d, more %d"):format(row.name, n.list, n.get, n.more)
  assert.is_true(n.list >= 6, told)
  assert.is_true(n.list <= 4 * row.seconds / INTERVAL, told)
  assert.is_true(n.get <= 4 * JOBS + 2 * n.list, told) -- 190 at 15 rounds
  -- events: at the start, at each of the few changes of status, at the end; else ten jobs a round
  assert.is_true(n.more <= (row.events and 8 * JOBS + 10 * n.list or 0), told)
end

describe("two hundred jobs on five services", function()
  local path

  lazy_setup(function()
    path = write_examples()
    for _, row in ipairs(ROWS) do open(row, path) end
    set_pace()
  end)

  lazy_teardown(function()
    os.remove(path)
    for _, row in ipairs(ROWS) do close(row) end
  end)

  it("are created and followed by one thread: all succeed, each event is told once, a round costs a page", function()
    local began = core.now()
    local items, cpu = do_all()
    local seconds = core.now() - began
    assert.equal(5 * JOBS, #items)
    assert.is_true(cpu < 0.5 * seconds, cpu) -- it sleeps in between
    for _, row in ipairs(ROWS) do
      row.seconds, row.count = seconds, count(row)
    end
    for _, item in ipairs(items) do
      assert.equal("succeeded", assert(item.row.provider:get_job(item.id)).status)
      each_once(item)
    end
    for _, row in ipairs(ROWS) do
      if row.alone then
        assert.is_true(row.count.all <= 4 * JOBS * (seconds / INTERVAL + 4), row.count.all)
      else
        costs_pages(row, row.count)
      end
    end
  end)
end)
