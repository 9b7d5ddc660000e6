-- A small service of OpenAI's dialect behind the setting `transport`, that counts what it is asked:
-- for specs that watch many jobs. Lists the newest job first, as the real one does.
--
--   local board = require "spec.support.board"
--   local provider, b = board.open {jobs = 200}
--   b.rounds   listings begun     b.count {list, get, events}     b.ids     b.jobs[id] {status, ends, events}
--   b.answer.list = function(request, page) return an answer in place of the normal one, or nil end; also get, events

local finetune = require "finetune"

local M = {}

local function doc_of(b, job, whole)
  local status = job.status or (b.rounds >= job.ends and job.fate or "running")
  local succeeded = whole and status == "succeeded"
  return {id = job.id, object = "fine_tuning.job", status = status, model = "m", training_file = "file-1",
    created_at = job.number, fine_tuned_model = succeeded and "ft:" .. job.id or nil,
    result_files = finetune.array(succeeded and {"file-of-" .. job.id} or {}),
    error = whole and status == "failed" and {code = "bad", message = job.id .. " broke"} or nil}
end

local function place_of(b, id)
  for i = #b.ids, 1, -1 do
    if b.ids[i] == id then return i - 1 end
  end
  return #b.ids
end

local function list(b, request)
  local q, data = request.query, {}
  b.count.list = b.count.list + 1
  if not q.after then b.rounds = b.rounds + 1 end
  local limit, from = math.min(tonumber(q.limit) or 20, b.most or 100), place_of(b, q.after)
  for i = from, math.max(1, from - limit + 1), -1 do data[#data + 1] = doc_of(b, b.jobs[b.ids[i]]) end
  return {object = "list", data = finetune.array(data), has_more = from - limit > 0}
end

local function get(b, id)
  b.count.get = b.count.get + 1
  b.jobs[id].gets = (b.jobs[id].gets or 0) + 1
  return doc_of(b, b.jobs[id], true)
end

-- Newest first; a job that has ended has a last event that says so
local function events(b, id)
  local job, data = b.jobs[id], {}
  b.count.events = b.count.events + 1
  local ended = doc_of(b, job).status ~= "running"
  local n = math.min(b.rounds, job.ends)
  for i = n + (ended and 1 or 0), 1, -1 do
    data[#data + 1] = {id = id .. "-" .. i, created_at = i, level = "info", type = "message",
      message = i > n and "end" or "m" .. i, object = "fine_tuning.job.event"}
  end
  return {object = "list", data = finetune.array(data), has_more = false}
end

local function answer(b, kind, make)
  return function(request, id)
    local doc = make(request, id)
    local other = b.answer[kind] and b.answer[kind](request, doc)
    return other or {status = 200, json = doc, delay = b.delay}
  end
end

-- options: jobs = how many; ends = function(i) -> the round after which job i has ended; fate, most (jobs a page),
-- delay (seconds before an answer), name (of a variant of openai)
function M.open(options)
  local b = {rounds = 0, count = {list = 0, get = 0, events = 0}, ids = {}, jobs = {}, answer = {},
    most = options.most, delay = options.delay or 0.001}
  for i = 1, options.jobs do
    local id = "ftjob-" .. i
    b.ids[i] = id
    b.jobs[id] = {id = id, number = i, ends = options.ends and options.ends(i) or math.huge,
      fate = options.fate and options.fate(i) or "succeeded"}
  end
  local transport, log = finetune.testing.routes {
    ["GET /v1/fine_tuning/jobs"] = answer(b, "list", function(request) return list(b, request) end),
    ["GET /v1/fine_tuning/jobs/{id}"] = answer(b, "get", function(_, id)
      return get(b, b.jobs[id] and id or "ftjob-" .. id) -- a short name will do
    end),
    ["GET /v1/fine_tuning/jobs/{id}/events"] = answer(b, "events", function(_, id) return events(b, id) end),
  }
  b.log = log
  return assert(finetune.create_provider(options.name or "openai", {api_key = "k", base_url = "http://board.test/v1",
    transport = transport, max_retries = 0})), b
end

-- ---- what the specs do with it ----

M.PAUSE = 0.03 -- seconds between two polls

function M.options(more)
  local t = {interval = M.PAUSE, max_interval = M.PAUSE, timeout = 120}
  for key, value in pairs(more or {}) do t[key] = value end
  return t
end

-- Waits for them all at once -> jobs, errors, and the last states of those that failed
function M.wait_all(provider, ids, more)
  local last = {}
  local jobs, errors = finetune.map(ids, function(id, i)
    local job, err, state = provider:wait(id, M.options(more))
    last[i] = state
    return job, err
  end, {concurrency = #ids})
  return jobs, errors, last
end

-- Has each got the whole document of its own job? The list does not have all of it.
function M.all_succeeded(b, jobs, errors)
  local i, err = next(errors)
  assert(not i, ("job %s: %s"):format(i, err))
  for k, id in ipairs(b.ids) do
    assert(jobs[k].id == id and jobs[k].status == "succeeded" and jobs[k].fine_tuned_model == "ft:" .. id
      and jobs[k].result_files[1] == "file-of-" .. id, id)
  end
end

-- Requests beyond the first get_job of each job and the one that confirms its end
function M.more_gets(b) return b.count.get - 2 * #b.ids end

return M
