-- report.lua: a job as one HTML page: no scripts, nothing from elsewhere, light and dark;
-- every text in it comes from outside and is escaped.

local findings = require "finetune.cli.findings"
local show = require "finetune.cli.show"
local svg = require "finetune.cli.svg"
local text = require "finetune.cli.text"

local M = {}

local METRICS, EVENTS = 400, 2000 -- rows of the tables at most
local FINDINGS = 3 -- of each rule
local COLUMNS = {"step", "epoch", "train_loss", "valid_loss", "full_valid_loss", "train_accuracy", "valid_accuracy",
  "full_valid_accuracy", "learning_rate"}

local STYLE = [[
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2330;--soft:#5b6472;--line:#e3e7ee;--good:#14703c;--bad:#b42318;
--bar:#0b72b9}
@media (prefers-color-scheme:dark){:root{--paper:#12161d;--ink:#e8ecf3;--soft:#9aa4b2;--line:#2b3240;--good:#57c98a;
--bad:#ff8a80;--bar:#5cb8f5}}
body{background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
max-width:900px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0;overflow-wrap:anywhere}h2{font-size:1.05rem;margin:2rem 0 .5rem}
.status{color:var(--soft)}.succeeded{color:var(--good)}.failed,.error{color:var(--bad)}
svg{width:100%;height:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem 1.2rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td:last-child{overflow-wrap:anywhere}th{color:var(--soft);font-weight:500;white-space:nowrap}td.n,th.n{text-align:right}
.wide{overflow-x:auto}table+table,.wide+table,table+.wide,.wide+.wide{margin-top:1rem}
.bars{width:100%;max-width:34rem}.bars td{white-space:nowrap}.bars td:last-child{width:100%}
.bars i{display:inline-block;height:.7em;margin-right:.4em;background:var(--bar);border-radius:2px}
.bars i[style="width:0%"]{margin:0}footer{color:var(--soft);font-size:.85rem;margin-top:2.5rem}
]]

local HEAD = [[<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>%s</style></head><body>]]

local function section(add, title) add("<h2>%s</h2>", title) end

local function facts(add, title, rows)
  if #rows == 0 then return end
  section(add, title)
  add "<table>"
  for _, row in ipairs(rows) do add("<tr><th>%s</th><td>%s</td></tr>", svg.escape(row[1]), svg.escape(row[2])) end
  add "</table>"
end

-- At most n rows, the first and the last among them
local function sampled(rows, n)
  if #rows <= n then return rows end
  local list = {}
  for i = 1, n do list[i] = rows[1 + math.floor((i - 1) * (#rows - 1) / (n - 1) + 0.5)] end
  return list
end

local function used_columns(rows)
  local list = {}
  for _, name in ipairs(COLUMNS) do
    for _, row in ipairs(rows) do
      if row[name] ~= nil then
        list[#list + 1] = name
        break
      end
    end
  end
  return list
end

local function metrics_table(add, rows)
  if #rows == 0 then return end
  section(add, #rows > METRICS and ("Metrics (%d of %s steps)"):format(METRICS, text.count(#rows)) or "Metrics")
  local columns = used_columns(rows)
  add '<div class="wide"><table><tr>'
  for _, name in ipairs(columns) do add('<th class="n">%s</th>', (name:gsub("_", " "))) end
  add "</tr>"
  for _, row in ipairs(sampled(rows, METRICS)) do
    local cells = {}
    for i, name in ipairs(columns) do cells[i] = ('<td class="n">%s</td>'):format(text.number(row[name])) end
    add("<tr>%s</tr>", table.concat(cells))
  end
  add "</table></div>"
end

local function events_table(add, events)
  if #events == 0 then return end
  section(add, #events > EVENTS and ("Events (the last %d of %s)"):format(EVENTS, text.count(#events)) or "Events")
  add '<div class="wide"><table>'
  for i = math.max(1, #events - EVENTS + 1), #events do
    local e = events[i]
    add('<tr><th>%s</th><td class="%s">%s</td></tr>', text.time(e.created_at, "%Y-%m-%d %H:%M:%S"),
      e.level == "error" and "error" or "info", svg.escape(e.message or e.type or ""))
  end
  add "</table></div>"
end

-- A table under a head of findings.lua, ">name" set to the right
local function columns_table(add, head, rows)
  local function line(cells, tag)
    for i, cell in ipairs(cells) do
      local right = head[i]:find "^>" and ' class="n"' or ""
      cells[i] = ("<%s%s>%s</%s>"):format(tag, right, svg.escape((cell:gsub("^>", ""))), tag)
    end
    add("<tr>%s</tr>", table.concat(cells))
  end
  add '<div class="wide"><table>'
  line(table.move(head, 1, #head, 1, {}), "th")
  for _, row in ipairs(rows) do line(row, "td") end
  add "</table></div>"
end

local function bars_table(add, report)
  local name, bars = findings.histogram(report)
  if #bars < 2 then return end
  add('<table class="bars"><tr><th class="n">%s</th><th>examples</th></tr>', name)
  for _, bar in ipairs(bars) do
    add('<tr><td class="n">%s</td><td><i style="width:%.0f%%"></i>%s</td></tr>', bar[1], bar[3] * 80,
      text.count(bar[2]))
  end
  add "</table>"
end

-- What was found, of each rule the first ones
local function findings_table(add, report)
  local rows, seen = {}, {}
  for _, list in ipairs {report.errors, report.warnings} do
    for _, f in ipairs(list) do
      seen[f.rule] = (seen[f.rule] or 0) + 1
      if seen[f.rule] <= FINDINGS then
        rows[#rows + 1] = {f.line > 0 and text.count(f.line) or "", f.severity, f.rule,
          ((f.path or "") ~= "" and f.path .. ": " or "") .. f.message}
      end
    end
  end
  if #rows > 0 then columns_table(add, {">line", "", "rule", "finding"}, rows) end
end

local function dataset(add, name, report)
  local rows = findings.facts(report)
  table.insert(rows, 1, {"examples", findings.examples(report):gsub("^[^:]*: ", "")})
  facts(add, "Dataset: " .. svg.escape(name), rows)
  columns_table(add, findings.MEASURED, findings.measures(report))
  bars_table(add, report)
  findings_table(add, report)
end

-- {job, provider, metrics (rows), series (of curve.lua), events, datasets = {{name, report}…}} -> the page
function M.page(t)
  local parts, job = {}, t.job
  local function add(format, ...) parts[#parts + 1] = select("#", ...) > 0 and format:format(...) or format end
  local status = text.clean(job.status or "unknown")
  add(HEAD, svg.escape(job.id .. " - finetune"), (STYLE .. svg.STYLE))
  add('<h1>%s</h1><p class="status"><span class="%s">%s</span> · %s</p>', svg.escape(job.suffix or job.id),
    show.FINISHED[job.status] and status or "going", svg.escape(status), svg.escape(t.provider))
  add("%s", svg.element(t.series, job.fine_tuned_model or job.model or job.id, true))
  facts(add, "Hyperparameters", show.settings(job.hyperparameters))
  facts(add, "Job", show.job_rows({id = job.id, status = job.status, raw_status = job.raw_status, error = job.error,
    model = job.model, fine_tuned_model = job.fine_tuned_model, created_at = job.created_at,
    finished_at = job.finished_at, trained_tokens = job.trained_tokens, training_file = job.training_file,
    validation_file = job.validation_file, seed = job.seed, metadata = job.metadata}, t.provider))
  for _, d in ipairs(t.datasets) do dataset(add, d.name, d.report) end
  metrics_table(add, t.metrics)
  events_table(add, t.events)
  add("<footer>%s, written by finetune on %s</footer></body></html>\n", svg.escape(job.id), os.date "%Y-%m-%d %H:%M")
  return table.concat(parts, "\n")
end

return M
