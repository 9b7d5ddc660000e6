-- live.lua: followed jobs on a terminal (a frame that is drawn again) and in a pipe (lines
-- now and then).

local core = require "finetune.core"
local chart = require "finetune.cli.chart"
local curve = require "finetune.cli.curve"
local output = require "finetune.cli.output"
local progress = require "finetune.cli.progress"
local show = require "finetune.cli.show"
local table_of = require "finetune.cli.table"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local BAR, CHART = 20, 16 -- columns of a bar, rows of the chart
local ROOMY, NARROW = 100, 40 -- columns of a window that has room for a bar, and of one that has not even for words
local OLD = 8 -- events from before that are shown
local PLAIN_PACE = 10 -- seconds between two lines about progress in a pipe

local function last_losses(track)
  local train, valid
  for _, s in ipairs(curve.series(track:metrics())) do
    local value = s.points[#s.points][2]
    if s.name == "training" then train = value else valid = value end
  end
  return train, valid
end

local function step_words(track)
  if not track.step then return nil end
  return track.total and ("step %s of %s"):format(text.number(track.step), text.number(track.total))
    or "step " .. text.number(track.step)
end

-- "running  ████░░░░  45%  step 135 of 300  loss 0.4312  2m10s  3m left"
local function progress_words(ui, track, bar)
  local parts = {show.status_words(ui, track:status())}
  local function add(words) parts[#parts + 1] = words end
  local finished = track.job and show.FINISHED[track.job.status]
  if track.share and not finished then
    if bar then add(progress.bar(track.share, BAR)) end
    add(text.percent(track.share))
  end
  add(step_words(track))
  local train, valid = last_losses(track)
  if train then add("loss " .. text.number(train)) end
  if valid then add("validation " .. text.number(valid)) end
  add(text.duration(track:elapsed()))
  local left = not finished and track:left()
  if left then add(text.duration(left) .. " left") end
  return table.concat(parts, "  ")
end

M.progress_words = progress_words

-- The same where there is no room for it: "45% 135/300 0.4312"
local function few_words(ui, track)
  local share = track.share and not (track.job and show.FINISHED[track.job.status])
  local parts = {share and text.percent(track.share) or show.status_words(ui, track:status())}
  if track.step then
    parts[2] = text.number(track.step) .. (share and track.total and "/" .. text.number(track.total) or "")
  end
  local train = last_losses(track)
  if train then parts[#parts + 1] = text.number(train) end
  return table.concat(parts, " ")
end

local function trouble_lines(ui, tracks)
  local lines, told = {}, {}
  for _, track in ipairs(tracks) do
    local name = track.provider.name
    local words = not track.done and ui.trouble[name]
    if words and not told[name] then
      told[name] = true
      lines[#lines + 1] = ui:paint("yellow", ("%s cannot be reached (%s); it is tried again"):format(name, words))
    end
  end
  return lines
end

-- The events that came, for above the frame; of those from before only the last ones
local function new_events(ui, track)
  local list, lines = track:take_events(), {}
  if not track.drawn and #list > OLD then
    lines[1] = ui:paint("dim", ("(%d events before: finetune%s events %s)"):format(#list - OLD,
      ui:again(track.provider), text.shell_word(track.id)))
    list = table.move(list, #list - OLD + 1, #list, 1, {})
  end
  for _, event in ipairs(list) do lines[#lines + 1] = show.event_line(ui, event, "%H:%M:%S") end
  track.drawn = track.drawn or #list > 0
  return lines
end

-- ---- frames ----

-- Cuts a line that may have colours in it: the colours go where it is too wide
local function fit(line, columns)
  local bare = line:gsub("\27%[[%d;]*m", "")
  return text.width(bare) <= columns and line or text.cut(bare, columns)
end

local function one_frame(ui, track, columns, rows)
  local lines = {}
  for _, line in ipairs(chart.lines(ui:term(), curve.series(track:metrics()), columns, math.min(rows - 4, CHART))) do
    lines[#lines + 1] = line
  end
  local words, id = progress_words(ui, track, columns >= ROOMY), text.clean(track.id)
  if columns < NARROW then words = few_words(ui, track) end
  if text.width(id) + text.width((words:gsub("\27%[[%d;]*m", ""))) + 2 <= columns then
    lines[#lines + 1] = ("%s  %s"):format(ui:paint("bold", id), words)
  else
    lines[#lines + 1], lines[#lines + 2] = ui:paint("bold", id), words
  end
  return lines
end

local BARS = 90 -- columns of a window that has room for bars in the table

local function row_of(track, several, columns)
  local train, valid = last_losses(track)
  local left = not track.done and track:left()
  local share = track.job and track.job.status == "succeeded" and 1 or track.share
  local bar = columns >= BARS and share and progress.bar(share, 10) .. " " or ""
  return {several and track.provider.name .. "/" .. track.id or track.id,
    track.err and {"error", "red"} or show.status(track:status()), share and bar .. text.percent(share) or "",
    track.step and text.number(track.step) or "", train and text.number(train) or "",
    valid and text.number(valid) or "", text.duration(track:elapsed()), left and text.duration(left) or ""}
end

local HEAD = {"job", "status", "done", ">step", ">loss", ">validation", ">time", ">left"}

-- Columns in which nothing is are left out -> head, rows
local function used_columns(rows)
  local head, list = {}, {}
  for i in ipairs(rows) do list[i] = {} end
  for column, name in ipairs(HEAD) do
    local used = false
    for _, row in ipairs(rows) do used = used or row[column] ~= "" end
    if used then
      head[#head + 1] = name
      for i, row in ipairs(rows) do list[i][#head] = row[column] end
    end
  end
  return head, list
end

local function is_several(tracks)
  for _, track in ipairs(tracks) do
    if track.provider ~= tracks[1].provider then return true end
  end
  return false
end

-- Those that do not fit into the window are counted; what has ended goes first
local function table_frame(ui, tracks, columns, rows)
  local shown, several = {}, is_several(tracks)
  local room = math.max(rows - 4, 1)
  for pass = 1, 2 do
    for _, track in ipairs(tracks) do
      if (pass == 1) == not track.done and #shown < room then shown[#shown + 1] = track end
    end
  end
  local list = {}
  for i, track in ipairs(#tracks <= room and tracks or shown) do list[i] = row_of(track, several, columns) end
  local head, cells = used_columns(list)
  local lines = table_of.lines(ui, head, cells, 1, columns)
  if #tracks > room then lines[#lines + 1] = ui:paint("dim", ("… and %d more"):format(#tracks - room)) end
  return lines
end

-- ---- a view: on a terminal ----

local Live = {}
Live.__index = Live

function Live:draw(last)
  local ui, tracks, above = self.ui, self.tracks, {}
  local columns, rows = term.size()
  columns = columns - 1
  local lines = #tracks == 1 and one_frame(ui, tracks[1], columns, rows) or table_frame(ui, tracks, columns, rows)
  for _, line in ipairs(trouble_lines(ui, tracks)) do lines[#lines + 1] = line end
  if #tracks == 1 then above = new_events(ui, tracks[1]) end
  for _, list in ipairs {lines, above} do
    for i, line in ipairs(list) do list[i] = fit(ui:term().utf8 and line or term.plain(line), columns) end
  end
  local picture = ("%d %d\n"):format(columns, rows) .. table.concat(lines, "\n")
  if #above == 0 and picture == self.picture and not last then return end
  self.picture = picture
  self.frame:draw(lines, above)
end

-- ---- in a pipe ----

local Plain = {}
Plain.__index = Plain

local function plain_line(ui, track, words)
  ui:line("%s  %s  %s", os.date "%H:%M:%S", text.clean(track.id), words)
end

local function plain_track(ui, track, alone)
  local status = track:status()
  if alone then
    for _, line in ipairs(new_events(ui, track)) do ui:line("%s", line) end
  end
  local due = track.step ~= track.told_step and core.now() - (track.told or 0) >= PLAIN_PACE
  if status ~= track.told_status or due then
    if status ~= "asking" and status ~= "error" then plain_line(ui, track, progress_words(ui, track, false)) end
    track.told, track.told_status, track.told_step = core.now(), status, track.step
  end
end

function Plain:draw()
  local ui = self.ui
  for _, track in ipairs(self.tracks) do plain_track(ui, track, #self.tracks == 1) end
  local words = table.concat(trouble_lines(ui, self.tracks), "\n")
  if words ~= (self.trouble or "") then ui:line("%s", words ~= "" and words or "The connection is back.") end
  self.trouble = words
  output.flush()
end

-- The view that fits: draw() now and then, draw(true) at the end
function M.new(ui, tracks)
  if not ui:term().live then return setmetatable({ui = ui, tracks = tracks}, Plain) end
  local frame = term.frame(function(bytes)
    output.write(bytes)
    output.flush()
  end)
  return setmetatable({ui = ui, tracks = tracks, frame = frame}, Live)
end

return M
