-- findings.lua: what the dataset engine has found, for people: findings like a compiler's
-- (file:line:column), together by rule and of each rule only the first ones; then figures.

local progress = require "finetune.cli.progress"
local text = require "finetune.cli.text"

local M = {}

local COLORS = {error = "red", warning = "yellow"}
local BARS, BAR = 10, 30 -- rows of the histogram at most, columns of its longest bar
local MEASURES = {"messages", "characters", "tokens"}

-- ---- findings ----

local function place(f)
  local name = f.file == "-" and "(stdin)" or text.clean(f.file or "")
  if f.line == 0 then return name ~= "" and name or "(all)" end
  local words = name ~= "" and ("%s:%d"):format(name, f.line) or ("example %d"):format(f.line)
  return f.column and ("%s:%d"):format(words, f.column) or words
end

-- "train.jsonl:2:53: error: messages[1].role: unknown role (role)"
function M.line(ui, f)
  local path = text.clean(f.path or "")
  return ("%s: %s %s%s %s"):format(ui:paint("bold", place(f)), ui:paint(COLORS[f.severity], f.severity .. ":"),
    path ~= "" and path .. ": " or "", text.clean(f.message), ui:paint("dim", ("(%s)"):format(text.clean(f.rule))))
end

-- -> array of arrays: findings of one rule, in the order in which the rules were first broken
local function by_rule(list)
  local groups, of = {}, {}
  for _, f in ipairs(list) do
    if not of[f.rule] then
      of[f.rule] = {}
      groups[#groups + 1] = of[f.rule]
    end
    table.insert(of[f.rule], f)
  end
  return groups
end

local function write_group(ui, group, most, all)
  for i = 1, math.min(#group, most) do
    ui:line("%s", M.line(ui, group[i]))
    if group[i].excerpt then ui:line("    %s", ui:paint("dim", text.clean(group[i].excerpt))) end
  end
  local more = math.max(all, #group) - math.min(#group, most)
  if more > 0 then ui:line("  %s", ui:paint("dim", ("… and %s more of this rule"):format(text.count(more)))) end
  if group[1].hint then ui:line("  %s %s", ui:paint("cyan", "hint:"), text.clean(group[1].hint)) end
end

-- All findings of a report, of each rule at most `most`
function M.write(ui, report, most)
  for _, list in ipairs {report.errors, report.warnings} do
    for _, group in ipairs(by_rule(list)) do
      write_group(ui, group, most, report.rules[group[1].rule] or #group)
    end
  end
end

-- ---- figures ----

-- {chat = 3, text = 2} -> "chat 3, text 2", the largest first; nil where there is none
local function counts(t)
  local names, parts = {}, {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names, function(a, b)
    if t[a] ~= t[b] then return t[a] > t[b] end
    return a < b
  end)
  for i, name in ipairs(names) do parts[i] = ("%s %s"):format(text.clean(name), text.count(t[name])) end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

M.counts = counts

-- "607 examples: 604 valid, 3 invalid, 1 duplicate"
function M.examples(report)
  local parts = {("%s valid"):format(text.count(report.examples - report.invalid))}
  if report.invalid > 0 then parts[#parts + 1] = text.count(report.invalid) .. " invalid" end
  if report.duplicates > 0 then parts[#parts + 1] = text.plural(report.duplicates, "duplicate") end
  if report.leaked > 0 then parts[#parts + 1] = text.count(report.leaked) .. " also for validation" end
  if report.shortened > 0 then parts[#parts + 1] = text.count(report.shortened) .. " shortened" end
  return ("%s: %s"):format(text.plural(report.examples, "example"), table.concat(parts, ", "))
end

local function unpainted(_, words) return words end

-- "2 errors, 3 warnings"
local function verdict(report, paint)
  local errors, warnings = text.plural(report.error_count, "error"), text.plural(report.warning_count, "warning")
  return ("%s, %s"):format(report.error_count > 0 and paint("red", errors) or errors,
    report.warning_count > 0 and paint("yellow", warnings) or warnings)
end

-- What a report says of all examples together -> array of {name, words}
function M.facts(report, paint)
  local rows = {{"findings", verdict(report, paint or unpainted)}}
  for _, row in ipairs {{"by rule", "rules"}, {"format", "formats"}, {"roles", "roles"}} do
    local words = counts(report[row[2]])
    if words then rows[#rows + 1] = {row[1], words} end
  end
  return rows
end

local function number(n) return n < 100 and n % 1 ~= 0 and ("%.1f"):format(n) or text.count(math.floor(n + 0.5)) end

M.MEASURED = {"per example", ">least", ">median", ">mean", ">95 %", ">most"}

-- -> array of rows under that head
function M.measures(report)
  local rows = {}
  for _, name in ipairs(MEASURES) do
    local m = report.stats[name]
    local title = name == "tokens" and report.tokens_estimated and "tokens (estimated)" or name
    if m then
      rows[#rows + 1] = {title, number(m.min), number(m.median), number(m.mean), number(m.p95), number(m.max)}
    end
  end
  return rows
end

local function range(bar) return bar.from == bar.to and text.count(bar.from)
  or ("%s to %s"):format(text.count(bar.from), text.count(bar.to)) end

-- At most BARS bars: neighbours are joined. -> what is counted, array of {words, count, share of the longest}
function M.histogram(report)
  local name = report.stats.tokens and "tokens" or "characters"
  local bars = report.stats[name] and report.stats[name].histogram or {}
  local each, joined, list, most = math.ceil(#bars / BARS), {}, {}, 0
  for i, bar in ipairs(bars) do
    if (i - 1) % each == 0 then joined[#joined + 1] = {from = bar.from, count = 0} end
    local last = joined[#joined]
    last.to, last.count = bar.to, last.count + bar.count
    most = math.max(most, last.count)
  end
  for i, bar in ipairs(joined) do list[i] = {range(bar), bar.count, bar.count / most} end
  return name, list
end

local function write_histogram(ui, report)
  local name, bars = M.histogram(report)
  if #bars < 2 then return end
  local wide = 0
  for _, bar in ipairs(bars) do wide = math.max(wide, #bar[1]) end
  ui:line ""
  ui:line("%s", ui:paint("dim", ("EXAMPLES BY %s"):format(name:upper())))
  for _, bar in ipairs(bars) do
    local columns = bar[2] > 0 and math.max(1, math.floor(bar[3] * BAR + 0.5)) or 0
    ui:line("%s%s", text.pad(bar[1], wide, true), columns > 0 and ("  %s %s"):format(
      ui:paint("cyan", progress.bar(1, columns)), text.count(bar[2])) or "")
  end
end

-- Counts, statistics, a histogram
function M.summary(ui, report)
  if report.error_count + report.warning_count > 0 then ui:line "" end
  ui:line("%s", ui:paint("bold", M.examples(report)))
  for _, row in ipairs(M.facts(report, function(color, words) return ui:paint(color, words) end)) do
    ui:line("  %s  %s", ui:paint("dim", text.pad(row[1], 10)), row[2])
  end
  local rows = M.measures(report)
  if #rows > 0 then
    ui:line ""
    ui:columns(M.MEASURED, rows)
  end
  write_histogram(ui, report)
end

return M
