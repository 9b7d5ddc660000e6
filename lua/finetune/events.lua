-- events.lua: which events of a listing are new, and in what order they happened.
-- Services list the newest first (some the oldest), repeat events, reorder them,
-- and some give them no id. An event with an id is taken once; one without is
-- known by (created_at, type, message), and taken as often as one whole listing
-- has had it. Remembers ids, not events.

local core = require "finetune.core"
local pages = require "finetune.pages"
local polls = require "finetune.poll"

local M = {}
local FINISHED = polls.FINISHED

-- What has been seen of one job's events
function M.new() return {ids = {}, counts = {}, newest_first = true} end

local function key_of(event)
  return ("%s|%s|%s"):format(event.created_at, event.type, event.message)
end

-- Is it new? `counts`: of this listing
local function is_new(seen, counts, event)
  if event.id ~= nil then
    local new = not seen.ids[event.id]
    seen.ids[event.id] = true
    return new
  end
  local key = key_of(event)
  counts[key] = (counts[key] or 0) + 1
  if counts[key] <= (seen.counts[key] or 0) then return false end
  seen.counts[key] = counts[key]
  return true
end

-- Learns from a listing's first and last event which way it goes
local function learn_order(seen, first, last)
  local a, b = first and tonumber(first.created_at), last and tonumber(last.created_at)
  if a and b and a ~= b then seen.newest_first = a > b end
end

-- Oldest first; events of one second stay in the service's order
local function in_order(seen, list)
  local order, n, time = {}, #list, -math.huge
  for i = 1, n do
    local event = list[seen.newest_first and n + 1 - i or i]
    time = tonumber(event.created_at) or time
    order[i] = {event = event, time = time, place = i}
  end
  table.sort(order, function(a, b)
    if a.time ~= b.time then return a.time < b.time end
    return a.place < b.place
  end)
  for i = 1, n do list[i] = order[i].event end
  return list
end

-- The new events of a job -> array | nil, err. fetch(after) gives a page; unless
-- `whole`, a page of the newest without news ends the listing.
function M.collect(seen, fetch, whole)
  local next_page, new, counts = pages.pages("list_events", fetch), {}, {}
  local first, last
  while true do
    local page, err = next_page()
    if err and err.code ~= pages.ENDLESS then return nil, err end
    if not page then break end -- a list that does not end has nothing more to say
    local before = #new
    for _, event in ipairs(page) do
      if is_new(seen, counts, event) then new[#new + 1] = event end
    end
    first, last = first or page[1], page[#page] or last
    learn_order(seen, first, last)
    if not whole and seen.newest_first and #new == before then break end
  end
  return in_order(seen, new)
end

local function made(level, kind, message, data)
  return {created_at = math.floor(core.wall()), level = level, type = kind, message = message, data = data}
end

local function told_status(job, previous)
  local reason = type(job.error) == "table" and job.error.message
  return made(job.status == "failed" and "error" or "info", "status",
    ("job is %s%s"):format(job.status, reason and ": " .. reason or ""), {status = job.status, previous = previous})
end

-- For a service without events: what has changed in the job, as events. The end of a job is the last of them
function M.of_status(seen, job)
  local list = {}
  local status = job.status ~= seen.status and told_status(job, seen.status)
  if status and not FINISHED[job.status] then list[1] = status end
  if type(job.progress) == "number" and job.progress ~= seen.progress then
    list[#list + 1] = made("info", "progress", ("%.0f %% done"):format(job.progress * 100), {progress = job.progress})
  end
  if job.trained_tokens and job.trained_tokens ~= seen.trained_tokens then
    list[#list + 1] = made("info", "progress", ("%s tokens trained"):format(job.trained_tokens),
      {trained_tokens = job.trained_tokens})
  end
  if status and FINISHED[job.status] then list[#list + 1] = status end
  seen.status, seen.progress, seen.trained_tokens = job.status, job.progress, job.trained_tokens
  return list
end

return M
