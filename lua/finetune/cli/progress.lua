-- progress.lua: how far something is, on standard error: one line that is drawn again on
-- a terminal, a line now and then where there is none.

local core = require "finetune.core"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local REDRAW, PLAIN = 0.1, 5 -- seconds between two drawings
local BAR = 24 -- columns at most

local Progress = {}
Progress.__index = Progress

function M.bar(share, columns)
  local full = math.floor(math.min(math.max(share, 0), 1) * columns + 0.5)
  return ("█"):rep(full) .. ("░"):rep(columns - full)
end

-- what: the words before it; unit(n): a number with its unit
function M.new(ui, what, unit)
  local now = core.now()
  return setmetatable({ui = ui, what = what, unit = unit, began = now, drawn = now, live = ui:term().err_live,
    silent = ui.quiet or ui.json}, Progress)
end

-- "uploading train.jsonl  ████░░░  45%  1.2 MiB of 3.4 MiB  800 KiB/s  3s left"
function Progress:words(done, total)
  local seconds = math.max(core.now() - self.began, 1e-3)
  local rate = done / seconds
  local parts = {self.what}
  if total and total > 0 then
    parts[#parts + 1] = self.live and M.bar(done / total, BAR) or nil
    parts[#parts + 1] = text.percent(done / total)
    parts[#parts + 1] = ("%s of %s"):format(self.unit(done), self.unit(total))
  else
    parts[#parts + 1] = self.unit(done)
  end
  if seconds > 0.5 then
    parts[#parts + 1] = self.unit(rate) .. "/s"
    if total and done > 0 and done < total then
      parts[#parts + 1] = text.duration((total - done) / rate) .. " left"
    end
  end
  return table.concat(parts, "  ")
end

function Progress:put(words)
  if not self.ui:term().utf8 then words = term.plain(words) end
  io.stderr:write(self.live and "\r" .. text.cut(words, term.size() - 1) .. "\27[K" or words .. "\n")
end

function Progress:set(done, total)
  if self.silent then return end
  local now = core.now()
  if now - self.drawn < (self.live and REDRAW or PLAIN) then return end
  self.drawn, self.shown = now, true
  self:put(self:words(done, total))
end

-- The line goes away: what comes next begins in its place
function Progress:finish()
  if self.shown and self.live then io.stderr:write "\r\27[K" end
  self.shown = false
end

Progress.__close = Progress.finish

return M
