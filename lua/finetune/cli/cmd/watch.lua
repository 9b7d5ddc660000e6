-- watch: jobs to their end. Ctrl-C stops the watching, never a job.

local finetune = require "finetune"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local follow = require "finetune.cli.follow"
local listing = require "finetune.cli.listing"
local live = require "finetune.cli.live"
local output = require "finetune.cli.output"
local show = require "finetune.cli.show"
local text = require "finetune.cli.text"

local M = {}

local TICK = 0.25 -- seconds between two drawings at most
local PAGE = 100

-- ---- which jobs ----

local function running(ui, name)
  local provider, list = ui:provider(name), {}
  for _, job in ipairs(listing.all(provider, "jobs", {limit = PAGE}, PAGE)) do
    if not show.FINISHED[job.status] then list[#list + 1] = {provider, job.id} end
  end
  return list
end

-- -> array of {provider, id}
local function chosen(ui, ids)
  local list = {}
  if #ids == 0 then
    for _, name in ipairs(ui:provider_names()) do
      for _, pair in ipairs(running(ui, name)) do list[#list + 1] = pair end
    end
  end
  for _, word in ipairs(ids) do list[#list + 1] = {ui:split(word)} end
  return list
end

-- ---- JSON: as it comes ----

local function tell_event(ui)
  return function(track, event)
    ui:document {job = track.id, provider = track.provider.name, event = fields.document("event", event)}
    output.flush()
  end
end

local function tell_end(ui, track)
  if track.err then
    local doc = errors.document("watch", track.err)
    doc.job, doc.provider = track.id, track.provider.name
    return ui:document(doc)
  end
  ui:document {job = fields.document("job", track.job, {provider = track.provider.name})}
end

-- ---- the end ----

-- A line for each provider whose jobs go on
local function again_all(ui, tracks)
  local lines, told = {}, {}
  for _, track in ipairs(tracks) do
    if not track.done and not told[track.provider] then
      told[track.provider] = true
      lines[#lines + 1] = ("  finetune%s watch"):format(ui:again(track.provider))
    end
  end
  return lines
end

-- For Ctrl-C: what goes on, and how to come back to it
local function goes_on(ui, tracks)
  return function()
    local lines = {}
    for _, track in ipairs(tracks) do
      if not track.done then
        local again, id = "finetune" .. ui:again(track.provider), text.shell_word(track.id)
        lines[#lines + 1] = ("%s goes on at %s."):format(text.clean(track.id), track.provider.name)
        lines[#lines + 1] = ("  to watch it again: %s watch %s"):format(again, id)
        lines[#lines + 1] = ("  to cancel it:      %s cancel %s"):format(again, id)
      end
    end
    if #lines > 15 then
      lines = {("%d jobs go on. To watch them again:"):format(#lines // 3), table.unpack(again_all(ui, tracks))}
    end
    return #lines > 0 and table.concat(lines, "\n") or nil
  end
end

-- The worst of all: failed before the service's trouble before cancelled
local RANK = {[errors.FAILED] = 3, [errors.CANCELLED] = 1, [errors.DONE] = 0}

local function finish(ui, tracks)
  local code = errors.DONE
  for _, track in ipairs(tracks) do
    local own = track:exit_code()
    if (RANK[own] or 2) > (RANK[code] or 2) then code = own end
    if ui.json then
      tell_end(ui, track)
    elseif track.err then
      track.err.thing = nil
      io.stderr:write(table.concat(errors.lines("watch " .. text.clean(track.id), track.err), "\n"), "\n")
    elseif track.job.status == "failed" then
      local reason = type(track.job.error) == "table" and track.job.error.message
      ui:note("%s failed%s", text.clean(track.id), reason and ": " .. text.clean(reason) or "")
    end
  end
  return code
end

local function success_words(ui, tracks)
  local job = #tracks == 1 and tracks[1].job
  if not job or job.status ~= "succeeded" or not job.fine_tuned_model then return end
  ui:note("The model is %s. To ask it: finetune%s sample %s 'text'", text.clean(job.fine_tuned_model),
    ui:again(tracks[1].provider), text.shell_word(job.fine_tuned_model))
end

-- Runs all until they have ended, drawing meanwhile
local function run_all(ui, tracks, options, view)
  local functions, left = {}, #tracks
  for i, track in ipairs(tracks) do
    functions[i] = function()
      local _ <close> = setmetatable({}, {__close = function() left = left - 1 end}) -- also where it raises
      track:follow(options, #tracks == 1)
    end
  end
  if #tracks == 1 and not ui.json then
    functions[#functions + 1] = function() tracks[1]:watch_metrics(finetune.sleep) end
  end
  if view then
    functions[#functions + 1] = function()
      while left > 0 do
        view:draw()
        finetune.sleep(TICK)
      end
    end
  end
  local _, failures, first = finetune.run(table.unpack(functions))
  if first then error(failures[first], 0) end
end

-- Follows jobs, an array of {provider, id}, to their end -> exit code. options: those of provider:follow
function M.follow(ui, pairs_of, options)
  local tracks = {}
  for i, pair in ipairs(pairs_of) do
    tracks[i] = follow.new(ui, pair[1], pair[2], ui.json and tell_event(ui) or nil)
  end
  ui.interrupted = goes_on(ui, tracks)
  local view = not ui.json and not ui.quiet and live.new(ui, tracks) or nil
  run_all(ui, tracks, options, view)
  if view then view:draw(true) end
  local code = finish(ui, tracks)
  success_words(ui, tracks)
  return code
end

function M.run(ui, args)
  local options = {timeout = args.timeout, interval = args.interval, max_interval = args.interval}
  args.timeout = nil -- of all of it, not of one request
  local list = chosen(ui, args.id)
  if #list == 0 then return ui:note "No job is under way." end
  return M.follow(ui, list, options)
end

return M
