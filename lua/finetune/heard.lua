-- heard.lua: for services that tell the progress of a job once, to whoever listens then
-- (a stream without replay): what an instance has heard of its jobs is kept, as long as
-- the instance, so that list_events can give it again. And for lists that services give
-- whole: one page of them.

local core = require "finetune.core"

local M = {}

local MOST = 10000 -- events kept of a job: between that many and twice as many

local memories = setmetatable({}, {__mode = "k"}) -- instance -> job id -> what was heard of it

-- What this instance has heard of the job: {events = array, oldest first; seen = id -> how often}, and whatever else
-- the provider notes in it
function M.of(ctx, job_id)
  local mine = memories[ctx.provider] or {}
  memories[ctx.provider] = mine
  mine[job_id] = mine[job_id] or {events = {}, seen = {}}
  return mine[job_id]
end

-- Keeps an event under that id, which becomes id.2, id.3, ... where it comes again; with `once` it is not kept again.
-- The time is that of the hearing, where the event has none.
function M.add(memory, id, event, once)
  local n = (memory.seen[id] or 0) + 1
  memory.seen[id] = n
  if n > 1 and once then return end
  event.id, event.created_at = n > 1 and ("%s.%d"):format(id, n) or id, event.created_at or math.floor(core.wall())
  local events = memory.events
  if #events >= 2 * MOST then events = table.move(events, MOST + 1, 2 * MOST, 1, {}) end
  events[#events + 1], memory.events = event, events
end

-- The page of a whole list that p.after and p.limit ask for; newest: the list's end comes first
-- -> page | nil, err (kind "invalid": there is no item p.after)
function M.page(list, p, raw, newest)
  local data, n = core.array {}, #list
  local on, last = p.after == nil, nil
  for i = 1, n do
    local item = list[newest and n + 1 - i or i]
    if on and #data >= math.max(p.limit or n, 1) then return {data = data, has_more = true, next = last, raw = raw} end
    if on then data[#data + 1], last = item, item.id end
    on = on or item.id == p.after
  end
  if on then return {data = data, has_more = false, raw = raw} end
  return nil, core.error {kind = "invalid", param = "after", message = ("after: there is no item '%s'"):format(p.after)}
end

return M
