-- show.lua: the library's values for people: a status in its colour, a job in lines.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local text = require "finetune.cli.text"

local M = {}

M.FINISHED = {succeeded = true, failed = true, cancelled = true}

local COLORS = {succeeded = "green", failed = "red", cancelled = "yellow", running = "cyan", finalizing = "cyan",
  paused = "yellow", cancelling = "yellow"}
local LEVELS = {error = "red", warn = "yellow", warning = "yellow"}

function M.status(status) return {text.clean(status or "unknown"), COLORS[status]} end

function M.status_words(ui, status)
  local cell = M.status(status)
  return cell[2] and ui:paint(cell[2], cell[1]) or cell[1]
end

-- The exit code that a job's end means
function M.exit_code(status)
  return status == "failed" and errors.FAILED or status == "cancelled" and errors.CANCELLED or errors.DONE
end

-- "12:30:05 warn   words" of an event
function M.event_line(ui, event, form)
  local level = text.clean(event.level or "info")
  local words = text.clean(event.message or event.type or "")
  return ("%s  %s  %s"):format(ui:paint("dim", text.time(event.created_at, form or "%Y-%m-%d %H:%M:%S")),
    ui:paint(LEVELS[level], text.pad(level, 5)), words)
end

local function scalar(value)
  if type(value) == "table" then
    local ok, words = pcall(core.encode, value)
    return ok and words or "(a table)"
  end
  return math.type(value) == "float" and text.number(value) or tostring(value)
end

M.scalar = scalar

-- name = value, sorted -> array of {name, words}
function M.settings(t)
  local list = {}
  for name, value in pairs(type(t) == "table" and t or {}) do
    list[#list + 1] = {text.clean(name), text.clean(scalar(value))}
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

-- Seconds from its creation to its end, or until now; nil where it does not say
function M.lasted(job)
  local from, to = job.created_at, job.finished_at or core.wall()
  return type(from) == "number" and type(to) == "number" and to - from or nil
end

-- A job -> array of {name, words}, what is known of it
function M.job_rows(job, provider)
  local rows = {}
  local function add(name, value)
    if value ~= nil and value ~= "" and value ~= "-" then rows[#rows + 1] = {name, text.clean(value)} end
  end
  add("provider", provider)
  add("status", job.raw_status and job.raw_status ~= job.status and ("%s (%s)"):format(job.status, job.raw_status)
    or job.status)
  add("why", type(job.error) == "table" and (job.error.message or job.error.code) or nil)
  add("model", job.model)
  add("tuned model", job.fine_tuned_model)
  add("progress", job.progress and text.percent(job.progress))
  add("created", job.created_at and text.time(job.created_at, "%Y-%m-%d %H:%M:%S"))
  add("finished", job.finished_at and text.time(job.finished_at, "%Y-%m-%d %H:%M:%S"))
  add(job.finished_at and "took" or "for", M.lasted(job) and text.duration(M.lasted(job)))
  add("ready about", job.estimated_finish and text.time(job.estimated_finish))
  add("tokens", job.trained_tokens and text.count(job.trained_tokens))
  add("training", job.training_file)
  add("validation", job.validation_file)
  add("suffix", job.suffix)
  add("seed", job.seed and scalar(job.seed))
  for _, row in ipairs(M.settings(job.hyperparameters)) do add(row[1], row[2]) end
  for _, row in ipairs(M.settings(job.metadata)) do
    if row[1] ~= "finetune_token" then add("+" .. row[1], row[2]) end -- that one is create_job's own
  end
  return rows
end

function M.job(ui, job, provider)
  local rows, wide = M.job_rows(job, provider), 12
  for _, row in ipairs(rows) do wide = math.min(math.max(wide, text.width(row[1])), 30) end
  ui:line("%s", ui:paint("bold", text.clean(job.id)))
  for _, row in ipairs(rows) do
    local words = row[1] == "status" and M.status_words(ui, job.status) .. row[2]:sub(#text.clean(job.status) + 1)
      or row[2]
    ui:line("  %s  %s", ui:paint("dim", text.pad(row[1], wide)), words)
  end
end

return M
