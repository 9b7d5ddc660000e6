-- term.lua: what is known of the terminal: whether there is one, its size, its colours.
-- Its state is never changed (no raw mode, no hidden cursor, no second screen), so there
-- is nothing to restore, however this process ends; a frame is redrawn by moving up.

local text = require "finetune.cli.text"

local M = {}

local WIDTH, HEIGHT = 80, 24
local SIZE_AGE = 0.5 -- seconds: the size is asked for again after that, so that a live view follows the window
local COLORS = {red = "31", green = "32", yellow = "33", magenta = "35", cyan = "36", dim = "2", bold = "1"}

local function first_line(command)
  local pipe = io.popen(command .. " 2>/dev/null", "r")
  local line = pipe and pipe:read "l"
  if pipe then pipe:close() end
  return line
end

local terminals = {}

-- Is this descriptor (0, 1, 2) a terminal?
function M.is_terminal(fd)
  if terminals[fd] == nil then
    local window = require("finetune.core").window
    if window then
      terminals[fd] = window(fd) ~= nil
    else
      terminals[fd] = os.execute(("test -t %d"):format(fd)) == true
    end
  end
  return terminals[fd]
end

local function ask_size()
  local window = require("finetune.core").window
  if window then return window(1) end
  local rows, columns = (first_line "stty size </dev/tty" or ""):match "^(%d+) (%d+)$"
  return tonumber(columns), tonumber(rows)
end

local asked = {at = -math.huge}

-- -> columns, rows; 80 and 24 where nobody knows
function M.size()
  local now = require("finetune.core").now()
  if now - asked.at >= SIZE_AGE then
    asked.columns, asked.rows = ask_size()
    asked.at = now
  end
  local columns = asked.columns or tonumber(os.getenv "COLUMNS")
  local rows = asked.rows or tonumber(os.getenv "LINES")
  return columns and columns > 0 and columns or WIDTH, rows and rows > 0 and rows or HEIGHT
end

-- Does this terminal, or whoever reads, take UTF-8?
function M.is_utf8()
  for _, name in ipairs {"LC_ALL", "LC_CTYPE", "LANG"} do
    local value = os.getenv(name)
    if value and value ~= "" then return value:upper():gsub("-", ""):find("UTF8", 1, true) ~= nil end
  end
  return false
end

local function wants_color(options)
  if options.no_color or options.json then return false end
  local never, kind = os.getenv "NO_COLOR", os.getenv "TERM"
  return not (never and never ~= "") and kind ~= nil and kind ~= "dumb"
end

-- options: no_color, json -> {live (stdout is a terminal that can redraw), err_live, utf8, paint}
function M.new(options)
  local can = (os.getenv "TERM" or "dumb") ~= "dumb"
  local color = wants_color(options) and M.is_terminal(1)
  local self = {color = color, utf8 = M.is_utf8(), live = can and not options.json and M.is_terminal(1),
    err_live = can and not options.json and M.is_terminal(2)}
  function self.paint(name, s)
    local code = color and COLORS[name]
    return code and ("\27[%sm%s\27[0m"):format(code, s) or s
  end
  return self
end

-- ASCII for terminals without UTF-8
local PLAIN = {["…"] = "~", ["─"] = "-", ["│"] = "|", ["┤"] = "|", ["└"] = "+", ["█"] = "#", ["░"] = ".",
  ["·"] = "-", ["→"] = "->", ["×"] = "x"}

-- Our own colours stay; what comes from outside has been cleaned
function M.plain(s)
  return (s:gsub("[\xC2-\xFD][\x80-\xBF]*", function(c) return PLAIN[c] or "?" end))
end

-- ---- a frame that is drawn again in its place ----

local Frame = {}
Frame.__index = Frame

-- write(bytes): where it goes
function M.frame(write) return setmetatable({write = write, shown = {}}, Frame) end

-- Rows that the lines take now: a window that became narrower has broken them
local function rows_of(lines, columns)
  local n = 0
  for _, line in ipairs(lines) do
    n = n + math.max(1, math.ceil(text.width((line:gsub("\27%[[%d;]*m", ""))) / columns))
  end
  return n
end

-- Lines of at most the window's width; `above`: lines that stay, and scroll away above it
function Frame:draw(lines, above)
  local columns, parts = M.size(), {}
  if #self.shown > 0 then parts[1] = ("\27[%dA"):format(rows_of(self.shown, columns)) end
  parts[#parts + 1] = "\r\27[J"
  for _, list in ipairs {above or {}, lines} do
    for _, line in ipairs(list) do parts[#parts + 1] = line .. "\n" end
  end
  self.shown = lines
  self.write(table.concat(parts))
end

return M
