-- curve.lua: the loss of a job as curves: which points there are, and the ranges and
-- ticks that the chart in the terminal (chart.lua) and the picture (svg.lua) share.

local M = {}

local SERIES = {
  {name = "training", columns = {"train_loss"}, color = "cyan", mark = "."},
  {name = "validation", columns = {"valid_loss", "full_valid_loss"}, color = "magenta", mark = "x"},
}

local function finite(n) return type(n) == "number" and n - n == 0 end

local function value_of(row, columns)
  for _, name in ipairs(columns) do
    if finite(row[name]) then return row[name] end
  end
end

-- Rows of list_metrics -> array of {name, color, mark, points = {{step, loss}…}}; those without points are left out
function M.series(rows)
  local list = {}
  for _, kind in ipairs(SERIES) do
    local points = {}
    for _, row in ipairs(rows) do
      local y = value_of(row, kind.columns)
      if y and finite(row.step) then points[#points + 1] = {row.step, y} end
    end
    if #points > 0 then
      list[#list + 1] = {name = kind.name, color = kind.color, mark = kind.mark, points = points}
    end
  end
  return list
end

-- -> {x0, x1, y0, y1} of all points, never empty
function M.range(series)
  local r = {x0 = math.huge, x1 = -math.huge, y0 = math.huge, y1 = -math.huge}
  for _, s in ipairs(series) do
    for _, p in ipairs(s.points) do
      r.x0, r.x1 = math.min(r.x0, p[1]), math.max(r.x1, p[1])
      r.y0, r.y1 = math.min(r.y0, p[2]), math.max(r.y1, p[2])
    end
  end
  if r.x1 == r.x0 then r.x0, r.x1 = r.x0 - 1, r.x1 + 1 end
  if r.y1 == r.y0 then
    local room = math.max(math.abs(r.y0) * 0.1, 1e-6)
    r.y0, r.y1 = r.y0 - room, r.y1 + room
  end
  return r
end

-- Round numbers between a and b, about n of them
function M.ticks(a, b, n)
  local rough = (b - a) / math.max(n, 1)
  local power = 10.0 ^ math.floor(math.log(rough, 10))
  local step = power
  for _, factor in ipairs {1, 2, 5, 10} do
    step = factor * power
    if step >= rough then break end
  end
  local list, first = {}, math.ceil(a / step - 1e-9)
  for i = first, math.floor(b / step + 1e-9) do list[#list + 1] = i * step end
  return list
end

-- Points in at most n bins along x: of each the mean, so that what is drawn is no denser than what is seen
function M.thin(points, n, r)
  if #points <= n then return points end
  local bins, order = {}, {}
  for _, p in ipairs(points) do
    local at = math.floor((p[1] - r.x0) / (r.x1 - r.x0) * (n - 1) + 0.5)
    local bin = bins[at]
    if not bin then
      bin = {0, 0, 0}
      bins[at], order[#order + 1] = bin, bin
    end
    bin[1], bin[2], bin[3] = bin[1] + p[1], bin[2] + p[2], bin[3] + 1
  end
  local list = {}
  for i, bin in ipairs(order) do list[i] = {bin[1] / bin[3], bin[2] / bin[3]} end
  return list
end

return M
