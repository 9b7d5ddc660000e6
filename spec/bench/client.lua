-- client.lua: what is measured of ours, a process a run.
--   lua client.lua poll BASE jobs polls [CA-file] | first BASE | upload BASE path [CA-file] | asleep BASE jobs seconds

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./lua/?.so;" .. package.cpath

local finetune = require "finetune"

local function provider(base_url, ca_file)
  return assert(finetune.create_provider("openai", {base_url = base_url, api_key = "sk-bench", ca_file = ca_file}))
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

M[arg[1]](table.unpack(arg, 2))
