-- follow.lua: what is known of a job while it is followed: its state, its new events, its
-- metrics, how long it will take.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local show = require "finetune.cli.show"
require "finetune.metrics" -- it makes core.context.metric_rows

local M = {}

local MOST_ROWS = 20000 -- rows of metrics kept: of more every second one goes
local ASK_METRICS = 15 -- seconds: so often list_metrics is asked where the events have no numbers

local SURE = 2 -- seconds that must have been seen before it is guessed how long it takes
local NUMBERS = {metrics = true, progress = true} -- events that the line of progress tells already

local Track = {}
Track.__index = Track

-- on_event(track, event): at once, as each comes
function M.new(ui, provider, id, on_event)
  return setmetatable({ui = ui, provider = provider, id = id, events = {}, data = {}, on_event = on_event,
    began = core.wall()}, Track)
end

-- at: when that was, a Unix time. Events come in bundles: when they are heard says nothing of how fast it goes.
local function note_progress(self, share, at)
  if type(share) ~= "number" or share ~= share or share <= 0 or share > 1 then return end
  at = type(at) == "number" and at - at == 0 and at or core.wall()
  if not self.first or share < self.first.share then self.first = {share = share, at = at} end
  self.share, self.share_at = share, at
end

local function note_metrics(self, event)
  local data = event.data
  if type(data) ~= "table" then return end
  if math.type(data.total_steps) == "integer" then self.total = data.total_steps end
  local total = type(event.message) == "string" and event.message:match "[Ss]tep%s+%d+%s*/%s*(%d+)"
  self.total = tonumber(total) or self.total
  local step = tonumber(data.step) or tonumber(data.step_number)
  if step then
    self.step = step
    if self.total and self.total > 0 then note_progress(self, step / self.total, event.created_at) end
  end
  if event.type ~= "metrics" then return end
  if #self.data >= MOST_ROWS then
    for i = 1, MOST_ROWS // 2 do self.data[i] = self.data[2 * i] end
    for i = #self.data, MOST_ROWS // 2 + 1, -1 do self.data[i] = nil end
  end
  self.data[#self.data + 1], self.rows = data, nil
end

local function note(self, event, job)
  self.job = job or self.job
  if job and job.progress then note_progress(self, job.progress) end
  note_metrics(self, event)
  if not NUMBERS[event.type] then self.events[#self.events + 1] = event end
  if self.on_event then self.on_event(self, event) end
end

-- Rows of metrics, one a step
function Track:metrics()
  self.rows = self.rows or self.asked_rows or core.context.metric_rows(self.data)
  return self.rows
end

-- Seconds that are left, as far as anybody knows
function Track:left()
  local job = self.job
  if job and type(job.estimated_finish) == "number" then return math.max(job.estimated_finish - core.wall(), 0) end
  local first = self.first
  if not first or self.share <= first.share or self.share_at - first.at < SURE then return nil end
  local rate = (self.share - first.share) / (self.share_at - first.at)
  return math.max((1 - self.share) / rate - (core.wall() - self.share_at), 0)
end

function Track:elapsed() return self.job and show.lasted(self.job) or core.wall() - self.began end

function Track:status() return self.err and "error" or self.job and self.job.status or "asking" end

function Track:ended() return self.done or false end

-- Takes the events that nobody has shown
function Track:take_events()
  local list = self.events
  self.events = {}
  return list
end

-- ---- following ----

local function ask_metrics(self)
  if #self.data > 0 or not self.provider:supports "list_metrics" then return end
  local page = self.provider:list_metrics(self.id)
  if page and #page.data > 0 then self.asked_rows, self.rows = page.data, nil end
end

-- A job of a service without events of metrics: its numbers are asked for now and then
function Track:watch_metrics(sleep)
  while not self.done do
    for _ = 1, ASK_METRICS * 2 do
      if not self.done then sleep(0.5) end
    end
    if not self.done then ask_metrics(self) end
  end
end

local function follow(self, options)
  for event, job in self.provider:follow(self.id, options) do note(self, event, job) end
  local job, err = self.provider:get_job(self.id)
  self.job = errors.check(job, err)
end

-- A job of which nothing was ever heard may not be there at all: then the connection is what there is to say
local function unheard(self, err)
  local trouble = err.kind == "timeout" and not self.job and self.ui.trouble[self.provider.name]
  return trouble and errors.new {kind = "transport", provider = self.provider.name, op = err.op,
    message = "nothing was heard of the job: " .. trouble}
end

-- To the job's end; what goes wrong is kept in `err`. In a coroutine of finetune.run.
function Track:follow(options, with_metrics)
  local ok, err = pcall(follow, self, options)
  if not ok then
    if type(err) ~= "table" then
      self.done = true
      error(err, 0)
    end
    self.err = unheard(self, err) or err
  end
  if with_metrics and ok then pcall(ask_metrics, self) end
  self.done = true
end

-- What this job's end means for the exit code
function Track:exit_code()
  if self.err then return errors.code(self.err) end
  return show.exit_code(self.job and self.job.status)
end

return M
