-- check: examples as the chosen service would take them: what is wrong, where, and how to
-- mend it. Nothing is written, and nothing is sent.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local findings = require "finetune.cli.findings"
local inspect = require "finetune.cli.inspect"

local M = {}

local SHOWN = 3 -- findings of each rule

local function document(ui, provider, args, report)
  ui:document {provider = provider.name, files = require("finetune.core").array(args.file),
    ok = report.error_count == 0, report = fields.document("report", report)}
end

function M.run(ui, args)
  local provider = inspect.provider(ui)
  local report, err = inspect.look(ui, provider, {path = args.file, format = args.format},
    "checking " .. inspect.names(args.file))
  document(ui, provider, args, report)
  if not ui.json then
    findings.write(ui, report, args.show or SHOWN)
    findings.summary(ui, report)
  end
  if err and not inspect.is_verdict(report, err) then errors.check(nil, err) end
  return report.error_count > 0 and errors.FAILED or errors.DONE
end

return M
