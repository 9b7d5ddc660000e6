-- chart.lua: curves in a terminal, in braille (two by four dots a character), or in plain
-- characters where there is no UTF-8.

local curve = require "finetune.cli.curve"
local text = require "finetune.cli.text"

local M = {}

local LABEL = 8 -- columns of the numbers at the left
local DOTS = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}} -- by column and row in a character
local LEAST_COLUMNS, LEAST_ROWS = 24, 3

-- A grid of dots, wide × high dots in cells of `cw` × `ch`
local function new_grid(columns, rows, cw, ch)
  return {columns = columns, rows = rows, wide = columns * cw, high = rows * ch, cw = cw, ch = ch, cells = {}}
end

local function set(grid, x, y, series)
  local cx, cy = x // grid.cw, y // grid.ch
  local at = cy * grid.columns + cx
  local cell = grid.cells[at] or {bits = 0}
  cell.bits, cell.series = cell.bits | DOTS[x % grid.cw + 1][y % grid.ch + 1], series
  grid.cells[at] = cell
end

-- A line from the last point to this one, dot by dot
local function join(grid, x0, y0, x1, y1, series)
  local n = math.max(math.abs(x1 - x0), math.abs(y1 - y0), 1)
  for i = 0, n do
    set(grid, math.floor(x0 + (x1 - x0) * i / n + 0.5), math.floor(y0 + (y1 - y0) * i / n + 0.5), series)
  end
end

local function plot(grid, series, r)
  local px, py
  for _, p in ipairs(curve.thin(series.points, grid.wide, r)) do
    local x = math.floor((p[1] - r.x0) / (r.x1 - r.x0) * (grid.wide - 1) + 0.5)
    local y = math.floor((r.y1 - p[2]) / (r.y1 - r.y0) * (grid.high - 1) + 0.5)
    join(grid, px or x, py or y, x, y, series)
    px, py = x, y
  end
end

local function cell_text(cell, term)
  if not cell then return " " end
  if not term.utf8 then return cell.series.mark end
  if not term.color and cell.series.mark == "x" then return "×" end -- else the two curves look the same
  return term.paint(cell.series.color, utf8.char(0x2800 + cell.bits))
end

local function row_text(grid, term, row)
  local parts = {}
  for column = 0, grid.columns - 1 do
    parts[#parts + 1] = cell_text(grid.cells[row * grid.columns + column], term)
  end
  return table.concat(parts)
end

-- Numbers at the top, in the middle and at the foot
local function label_of(r, row, rows)
  if row == 0 then return text.number(r.y1 + 0.0) end
  if row == rows - 1 then return text.number(r.y0 + 0.0) end
  if row == rows // 2 and rows >= 6 then return text.number(r.y1 - (r.y1 - r.y0) * row / (rows - 1)) end
  return ""
end

-- "training 0.4312 · validation 0.5021 · step 300"
function M.legend(term, series)
  local parts, last = {}, 0
  for _, s in ipairs(series) do
    local p = s.points[#s.points]
    local mark = not term.color and (term.utf8 and (s.mark == "x" and "× " or "⠤ ") or s.mark .. " ") or ""
    parts[#parts + 1] = ("%s%s %s"):format(mark, term.paint(s.color, s.name .. " loss"), text.number(p[2] + 0.0))
    last = math.max(last, p[1])
  end
  parts[#parts + 1] = "step " .. text.number(last)
  return table.concat(parts, "  ·  ")
end

local function axis(term, r, columns)
  local left, right = text.number(math.tointeger(r.x0) or r.x0), text.number(math.tointeger(r.x1) or r.x1)
  local gap = (" "):rep(math.max(columns - #left - #right, 1))
  return {(" "):rep(LABEL) .. " └" .. ("─"):rep(columns),
    (" "):rep(LABEL + 2) .. term.paint("dim", left .. gap .. right)}
end

-- series: of curve.lua; columns and rows: what it may take -> lines; none where there is no room or nothing to draw
function M.lines(term, series, columns, rows)
  local wide, high = columns - LABEL - 2, rows - 3
  if #series == 0 or wide < LEAST_COLUMNS - LABEL or high < LEAST_ROWS then return {} end
  local r = curve.range(series)
  local grid = term.utf8 and new_grid(wide, high, 2, 4) or new_grid(wide, high, 1, 1)
  for _, s in ipairs(series) do plot(grid, s, r) end
  local lines = {text.pad("", LABEL + 2) .. M.legend(term, series)}
  for row = 0, high - 1 do
    local label = text.pad(label_of(r, row, high), LABEL, true)
    lines[#lines + 1] = term.paint("dim", label) .. " " .. (label:find "%S" and "┤" or "│") .. row_text(grid, term, row)
  end
  for _, line in ipairs(axis(term, r, wide)) do lines[#lines + 1] = line end
  return lines
end

return M
