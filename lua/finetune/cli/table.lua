-- table.lua: rows in columns, as wide as the window.

local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local GAP = 2
local LEAST = 8 -- columns of the flexible column

local function cell_of(value)
  if type(value) == "table" then return text.clean(value[1] == nil and "-" or value[1]), value[2] end
  if value == nil or value == "" then return "-" end
  return text.clean(value)
end

local function measure(head, rows)
  local widths = {}
  for i, name in ipairs(head) do widths[i] = text.width((name:gsub("^>", ""))) end
  for _, row in ipairs(rows) do
    for i = 1, #head do widths[i] = math.max(widths[i], text.width((cell_of(row[i])))) end
  end
  return widths
end

-- What is too much goes from the flexible column, then from the widest ones
local function shrink(widths, flexible, room)
  local total = GAP * (#widths - 1)
  for _, n in ipairs(widths) do total = total + n end
  local function take(i)
    local less = math.min(total - room, math.max(widths[i] - LEAST, 0))
    widths[i], total = widths[i] - less, total - less
  end
  if total > room and flexible then take(flexible) end
  while total > room do
    local widest = 1
    for i, n in ipairs(widths) do if n > widths[widest] then widest = i end end
    if widths[widest] <= LEAST then break end
    widths[widest], total = widths[widest] - 1, total - 1
  end
end

-- What has no room any more on the right is left out: a line is never broken
local function line_of(ui, head, widths, values, room, color_all)
  local parts, left = {}, room
  for i, name in ipairs(head) do
    if left < 1 then break end
    local s, color = cell_of(values[i])
    local width = math.min(widths[i], left)
    s = text.cut(s, width)
    local right = name:sub(1, 1) == ">"
    local padded = (i < #head or right) and text.pad(s, width, right) or s
    color = color_all or color
    parts[i] = color and ui:paint(color, padded) or padded
    left = left - width - GAP
  end
  return (table.concat(parts, (" "):rep(GAP)):gsub("%s+$", ""))
end

-- See ui.lua. In a pipe nothing is cut.
function M.lines(ui, head, rows, flexible, columns)
  local widths, room = measure(head, rows), math.huge
  if columns or ui:term().live then
    room = columns or (term.size())
    shrink(widths, flexible, room)
  end
  local names, lines = {}, {}
  for i, name in ipairs(head) do names[i] = name:gsub("^>", ""):upper() end
  lines[1] = line_of(ui, head, widths, names, room, "dim")
  for _, row in ipairs(rows) do lines[#lines + 1] = line_of(ui, head, widths, row, room) end
  return lines
end

return M
