-- heard.lua: for services that tell the progress of a job once, to whoever listens then
-- (a stream without replay): what an instance has heard of its jobs is kept, as long as
-- the instance, so that list_events can give it again.

local core = require "finetune.core"
local paginate = require "finetune.paginate"

local M = {}

local MOST = 10000 -- events kept of a job: between that many and twice as many

local memories = setmetatable({}, {__mode = "k"}) -- instance -> job id -> what was heard of it

-- What this instance has heard of the job: {events = array, oldest first; seen = id -> how often; step, total_steps =
-- the highest in the events' data; progress = 0 to 1; listened = when (os.time()), or 0; ends = how often the stream
-- ended by itself}, and whatever else the provider notes in it
function M.of(ctx, job_id)
  local mine = memories[ctx.provider] or {}
  memories[ctx.provider] = mine
  mine[job_id] = mine[job_id] or {events = {}, seen = {}, listened = 0, ends = 0}
  return mine[job_id]
end

local function note_steps(memory, data)
  for _, name in ipairs {"step", "total_steps"} do
    if math.type(data[name]) == "integer" then memory[name] = math.max(memory[name] or 0, data[name]) end
  end
  local all = memory.total_steps or 0
  if memory.step and all > 0 then memory.progress = math.min(memory.step / all, 1) end
end

-- Listens to the stream at `path` for so many seconds at most, less where it falls silent
-- -> array of the documents that were told | nil, err
function M.listen(ctx, memory, path, seconds)
  local list, answer = ctx:events(path, {timeout = seconds, read_for = seconds, read_idle = seconds / 4,
    retry = "never"})
  memory.listened = os.time()
  if not list then return nil, answer end
  if not answer.partial then memory.ends = memory.ends + 1 end
  local told = {}
  for _, event in ipairs(list) do
    if type(event.json) == "table" then told[#told + 1] = event.json end
  end
  return told
end

-- Keeps an event under that id, which becomes id.2, id.3, ... where it comes again; with `once` it is not kept again.
-- The time is that of the hearing, where the event has none.
function M.add(memory, id, event, once)
  note_steps(memory, event.data or {})
  local n = (memory.seen[id] or 0) + 1
  memory.seen[id] = n
  if n > 1 and once then return end
  event.id, event.created_at = n > 1 and ("%s.%d"):format(id, n) or id, event.created_at or math.floor(core.wall())
  local events = memory.events
  if #events >= 2 * MOST then events = table.move(events, MOST + 1, 2 * MOST, 1, {}) end
  events[#events + 1], memory.events = event, events
end

M.page = paginate.slice -- (list, p, raw, newest) -> page | nil, err

return M
