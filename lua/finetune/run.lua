-- run.lua: many things at once on one thread. `map` runs a function over a list
-- with a bounded number of coroutines, `run` runs several functions. The
-- coroutines are resumed by the drain of core.step and by nothing else, so a
-- wait in one of them never nests an event loop in another.

local check = require "finetune.check"
local core = require "finetune.core"
local wait = require "finetune.wait"

local M = {}

local CONCURRENCY = 20
local LONG = 365 * 86400 -- a gate is opened by cancelling it; this is only its upper limit

local OPTIONS = check.parse("-concurrency:integer")

local function traceback(err)
  if err == nil then err = "error(nil) was raised" end
  return type(err) == "string" and debug.traceback(err, 2) or err
end

local function record(job, i, ok, value, err)
  if ok then job.results[i] = value end
  if ok and (value or err == nil) then return end
  if ok then job.errors[i] = err else job.errors[i] = value end
  job.first = job.first or i
end

-- One coroutine: takes the next item until there is none.
local function work(job)
  while job.next <= job.n do
    local i = job.next
    job.next = i + 1
    record(job, i, xpcall(job.f, traceback, job.list[i], i))
  end
end

local function finish(job)
  job.left = job.left - 1
  if job.left == 0 and job.gate then job.gate:cancel() end
end

-- In the drain: goes on with a task until it waits, yields or ends.
local function resume(task)
  if task.job.ended then return end
  task.waiting = nil
  local ok, yielded = coroutine.resume(task.co, task.job)
  if not ok then task.job.broken = yielded end -- not the function's error but ours: no memory
  if coroutine.status(task.co) == "dead" then
    finish(task.job)
  elseif yielded == nil or yielded ~= task.waiting then
    core.defer(resume, task) -- a yield of its own: the others go first
  end
end

local function spawn(job)
  local task = {co = coroutine.create(work), job = job}
  job.tasks[#job.tasks + 1] = task
  local function continue() resume(task) end
  core.waiters[task.co] = function(call)
    task.waiting = call
    wait.suspend(call, continue)
  end
  core.defer(resume, task)
end

-- Waits for all tasks in a coroutine that others resume.
local function join_by_waiter(job, waiter)
  while job.left > 0 do
    job.gate = core.sleep(LONG)
    waiter(job.gate)
  end
end

local function join(job)
  local waiter = wait.waiter()
  if waiter then return join_by_waiter(job, waiter) end
  while job.left > 0 do core.step() end
end

-- Ends the tasks that wait, and with them the calls that only they have. There are some where an error ends the wait
-- for them (what a callback raised, say) or its coroutine is closed: they would go on unheard.
local function end_tasks(job)
  job.ended = true
  for _, task in ipairs(job.tasks) do
    if coroutine.status(task.co) == "suspended" then coroutine.close(task.co) end
  end
  if job.gate then job.gate:cancel() end
end

local JOB = {__close = end_tasks}

local function run_all(list, n, f, concurrency)
  if not wait.waiter() and core.inside() then
    wait.refuse("finetune.run and finetune.map cannot start inside a callback or a foreign coroutine: "
      .. "there is nobody to wait for them; use call:on_done")
  end
  wait.ready()
  local job <close> = setmetatable({list = list, n = n, f = f, next = 1, tasks = {}}, JOB)
  job.results, job.errors = {n = n}, {}
  job.left = math.min(n, concurrency)
  for _ = 1, job.left do spawn(job) end
  join(job)
  if job.broken then error(job.broken, 0) end
  return job.results, job.errors, job.first
end

-- Results and errors by index; a failure (`nil, err`, or a raise) stops nothing.
function M.map(list, f, options)
  if type(list) ~= "table" then error("finetune.map: the first argument must be an array", 2) end
  if type(f) ~= "function" then error("finetune.map: the second argument must be a function", 2) end
  if options ~= nil and type(options) ~= "table" then
    error("finetune.map: the third argument must be a table such as {concurrency = 10}", 2)
  end
  local given, why = check.params("finetune.map", OPTIONS, options or {})
  if not given then error(why, 2) end
  local concurrency = given.concurrency or CONCURRENCY
  if concurrency < 1 then error("finetune.map: parameter 'concurrency' must be at least 1", 2) end
  return run_all(list, math.tointeger(list.n) or #list, f, concurrency)
end

local function call(f) return f() end

function M.run(...)
  local n = select("#", ...)
  for i = 1, n do
    if type((select(i, ...))) ~= "function" then
      error(("finetune.run: argument %d must be a function"):format(i), 2)
    end
  end
  return run_all({...}, n, call, n)
end

return M
