-- evaluate: how many held-out examples a model answers exactly.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local progress = require "finetune.cli.progress"
local text = require "finetune.cli.text"

local M = {}

local function score(figures) return fields.document("score", figures) end

local function document(report)
  local doc = score(report)
  for _, name in ipairs {"gained", "lost", "majority", "labels", "confusion"} do doc[name] = report[name] end
  doc.base = report.base and score(report.base)
  return doc
end

-- Which of the two an error is about: first the model is asked everything, then the base. nil: nobody was asked.
local function thing_of(args, done, total)
  if done == 0 then return nil end
  return args.against and done * 2 > total and args.against or args.model
end

function M.run(ui, args)
  local asked, all = 0, 0
  local finetune, provider = require "finetune", ui:provider()
  local bar <close> = progress.new(ui, "asking", text.count)
  local report, err = finetune.evaluate(provider, {model = args.model, path = args.file, base = args.against,
    limit = args.limit, concurrency = args.concurrency, max_tokens = args.max_tokens,
    on_progress = function(done, total)
      asked, all = done, total
      bar:set(done, total)
    end})
  bar:finish()
  report = errors.check(report, err, thing_of(args, asked, all))
  ui:document(document(report))
  ui:line("%s", (text.clean(report.text, true):gsub("\n$", "")))
end

return M
