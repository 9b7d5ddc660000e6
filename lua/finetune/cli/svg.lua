-- svg.lua: the loss curve as a picture: one file, no scripts, nothing from elsewhere,
-- dark where its reader's screen is.

local curve = require "finetune.cli.curve"
local text = require "finetune.cli.text"

local M = {}

local WIDTH, HEIGHT = 860, 380
local LEFT, RIGHT, TOP, BOTTOM = 64, 20, 40, 46
local MOST = 2000 -- points of a curve

M.STYLE = [[
.ft-curve{--ink:#1c2330;--soft:#5b6472;--grid:#e3e7ee;--training:#0b72b9;--validation:#b0307f;
font:13px system-ui,-apple-system,"Segoe UI",sans-serif}
.ft-curve text{fill:var(--soft)}.ft-curve .title{fill:var(--ink);font-weight:600;font-size:14px}
.ft-curve .grid{stroke:var(--grid)}.ft-curve .axis{stroke:var(--soft)}
.ft-curve polyline{fill:none;stroke-width:2;stroke-linejoin:round}
.ft-curve .training{stroke:var(--training)}.ft-curve .validation{stroke:var(--validation)}
.ft-curve circle.training{fill:var(--training)}.ft-curve circle.validation{fill:var(--validation)}
@media (prefers-color-scheme:dark){.ft-curve{--ink:#e8ecf3;--soft:#9aa4b2;--grid:#2b3240;--training:#5cb8f5;
--validation:#f07cc0}}
]]

-- For XML and HTML: no control characters, nothing that is markup
local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;"}
function M.escape(value)
  return (text.clean(value):gsub("[&<>\"']", ENTITIES))
end

local function scale(r)
  local wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
  return function(x) return LEFT + (x - r.x0) / (r.x1 - r.x0) * wide end,
    function(y) return TOP + (r.y1 - y) / (r.y1 - r.y0) * high end
end

local function draw_grid(add, r, X, Y)
  for _, y in ipairs(curve.ticks(r.y0, r.y1, 5)) do
    add('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>', LEFT, WIDTH - RIGHT, Y(y), Y(y))
    add('<text x="%d" y="%.1f" text-anchor="end">%s</text>', LEFT - 8, Y(y) + 4, text.number(y))
  end
  for _, x in ipairs(curve.ticks(r.x0, r.x1, 8)) do
    if math.tointeger(x) or r.x1 - r.x0 < 2 then
      add('<text x="%.1f" y="%d" text-anchor="middle">%s</text>', X(x), HEIGHT - BOTTOM + 18,
        text.number(math.tointeger(x) or x))
    end
  end
  add('<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>', LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM)
  add('<text x="%.1f" y="%d" text-anchor="middle">step</text>', (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8)
end

local function draw_series(add, s, r, X, Y)
  local points = curve.thin(s.points, MOST, r)
  if #points == 1 then
    return add('<circle class="%s" cx="%.1f" cy="%.1f" r="4"/>', s.name, X(points[1][1]), Y(points[1][2]))
  end
  local list = {}
  for i, p in ipairs(points) do list[i] = ("%.1f,%.1f"):format(X(p[1]), Y(p[2])) end
  add('<polyline class="%s" points="%s"/>', s.name, table.concat(list, " "))
end

local function draw_legend(add, series)
  local x = WIDTH - RIGHT
  for i = #series, 1, -1 do
    local s = series[i]
    local words = ("%s loss %s"):format(s.name, text.number(s.points[#s.points][2] + 0.0))
    add('<text x="%d" y="20" text-anchor="end">%s</text>', x, words)
    x = x - 7 * #words - 8
    add('<line class="%s" x1="%d" x2="%d" y1="16" y2="16" stroke-width="3"/>', s.name, x - 18, x)
    x = x - 36
  end
end

-- series: of curve.lua -> the <svg> element; `inline`: in a page that has M.STYLE
function M.element(series, title, inline)
  local parts = {}
  local function add(format, ...) parts[#parts + 1] = format:format(...) end
  add('<svg class="ft-curve" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">',
    WIDTH, HEIGHT, M.escape(title))
  if not inline then add("<style>%s</style>", (M.STYLE:gsub("%%", "%%%%"))) end
  add('<text class="title" x="12" y="20">%s</text>', M.escape(text.cut(text.clean(title), 48)))
  if #series == 0 then
    add('<text x="%d" y="%d" text-anchor="middle">no metrics yet</text>', WIDTH // 2, HEIGHT // 2)
  else
    local r = curve.range(series)
    local X, Y = scale(r)
    draw_grid(add, r, X, Y)
    for _, s in ipairs(series) do draw_series(add, s, r, X, Y) end
    draw_legend(add, series)
  end
  add "</svg>"
  return table.concat(parts, "\n")
end

-- The whole file; behind the curves the paper has a colour of its own
function M.file(series, title)
  local paper = '<rect width="100%%" height="100%%" class="paper"/><style>.paper{fill:#fff}'
    .. '@media (prefers-color-scheme:dark){:root{background:#12161d}.paper{fill:#12161d}}</style>'
  local svg = M.element(series, title):gsub("</style>", "</style>\n" .. paper, 1)
  return '<?xml version="1.0" encoding="UTF-8"?>\n' .. svg .. "\n"
end

return M
