-- metrics: a job's loss curve, in the terminal or as a file.

local core = require "finetune.core"
local chart = require "finetune.cli.chart"
local datasets = require "finetune.cli.dataset"
local curve = require "finetune.cli.curve"
local errors = require "finetune.cli.errors"
local events = require "finetune.cli.cmd.events"
local fields = require "finetune.cli.fields"
local report = require "finetune.cli.report"
local svg = require "finetune.cli.svg"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local MOST_ROWS, PIPED = 20, 72 -- rows of the chart; columns in a pipe

local function write(path, bytes)
  local ok, words = core.fs.write(path, bytes)
  if not ok then errors.fail("output", "%s", text.clean(words)) end
end

-- A report without events is better than none
local function events_of(ui, provider, id)
  local ok, list = pcall(events.all, provider, id)
  if ok then return list end
  if type(list) ~= "table" then error(list, 0) end
  ui:note("No events in the report: %s", text.clean(list.message))
  return {}
end

local function write_files(ui, args, provider, id, rows)
  local series = curve.series(rows)
  local job, err = provider:get_job(id)
  job = errors.check(job, err, id)
  if args.svg then write(args.svg, svg.file(series, job.fine_tuned_model or job.id)) end
  if args.html then
    write(args.html, report.page {job = job, provider = provider.name, metrics = rows, series = series,
      events = events_of(ui, provider, id), datasets = datasets.of_job(ui, provider, job, args.data)})
  end
  for _, path in ipairs {args.svg or false, args.html or false} do
    if path then ui:line("%s", text.clean(path)) end
  end
end

local function draw(ui, rows)
  local columns, height = PIPED, MOST_ROWS
  if ui:term().live then
    columns, height = term.size()
    height = math.min(height - 2, MOST_ROWS)
  end
  local lines = chart.lines(ui:term(), curve.series(rows), columns, height)
  for _, line in ipairs(lines) do ui:line("%s", line) end
  if #lines == 0 then ui:note "There is nothing to draw: no loss, or no room." end
end

function M.run(ui, args)
  if #(args.data or {}) > 0 and not args.html then errors.fail("usage", "--data is for the report: --html FILE") end
  if args.svg and args.svg == args.html then
    errors.advise("usage", "another name for one of them", "--svg and --html would both write %s", text.clean(args.svg))
  end
  local provider, id = ui:split(args.id)
  errors.need(provider, "list_metrics", "has no metrics")
  local page, err = provider:list_metrics(id)
  local rows = errors.check(page, err, id).data
  if args.svg or args.html then write_files(ui, args, provider, id, rows) end
  ui:document {job = id, provider = provider.name, metrics = fields.array("metric", rows), svg = args.svg,
    html = args.html}
  if ui.json or args.svg or args.html then return end
  if #rows == 0 then return ui:note "The job has no metrics yet." end
  draw(ui, rows)
end

return M
