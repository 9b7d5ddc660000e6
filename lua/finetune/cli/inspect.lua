-- inspect.lua: files of examples through the dataset engine (prepare_data), with progress,
-- for check, prepare and tune. Nothing here needs a key, and nothing is sent.

local errors = require "finetune.cli.errors"
local finetune = require "finetune"
local needs = require "finetune.cli.needs"
local progress = require "finetune.cli.progress"
local text = require "finetune.cli.text"

local M = {}

local FINDINGS = 1000 -- of each severity that are kept, so that rare ones come through beside frequent ones

-- The chosen provider, for its profile of data: one that cannot be made for want of a setting (an endpoint, say)
-- does, too
function M.provider(ui)
  local ok, provider = pcall(ui.provider, ui)
  if ok then return provider end
  local err, name = provider, ui:provider_names(true)[1]
  local instance = type(err) == "table" and err.kind == "config" and needs.unready(name)
  return instance or error(err, 0)
end

-- What the files are called, for people
function M.names(paths)
  if #paths == 1 then return paths[1] == "-" and "standard input" or text.clean(paths[1]) end
  return ("%d files"):format(#paths)
end

-- params: those of prepare_data; `what`: "checking train.jsonl" -> report, and an error where nothing came of it.
-- Raises what has no report worth showing.
function M.pass(ui, provider, params, what)
  local bar <close> = progress.new(ui, what, text.bytes)
  params.max_errors = params.max_errors or FINDINGS
  params.on_progress = function(bytes, all) bar:set(bytes, all > 0 and all or nil) end
  local report, err = provider:prepare_data(params)
  bar:finish()
  report = report or type(err.report) == "table" and err.report
  if not report or (err and report.error_count == 0) then errors.check(nil, err) end
  if params.tokens then report.tokens_estimated = params.vocabulary == nil end
  return report, err
end

-- All that is wrong with the files, as they are: an invalid example hides nothing behind it. Nothing is kept.
function M.look(ui, provider, params, what)
  params.output, params.skip_invalid = false, true
  return M.pass(ui, provider, params, what)
end

-- Was it a verdict on the data, and not a file that cannot be read in the middle? A verdict has been told in full.
function M.is_verdict(report, err)
  return err.kind == "data" and report.invalid == report.examples and report.examples > 0
    and not err.message:find "^cannot "
end

-- The vocabulary of the model that the data are for. Without `exact` only one that is on this machine.
-- -> vocabulary | nil: tokens are estimated
function M.vocabulary(ui, model, exact)
  if not model then
    if exact then errors.fail("usage", "--exact counts with the vocabulary of a model: name it with --model") end
    return nil
  end
  local vocabulary, err = finetune.vocabulary {model = model, download = exact or nil,
    settings = exact and ui.args.timeout and {timeout = ui.args.timeout} or nil}
  if vocabulary or not exact then return vocabulary end
  if err.kind == "config" then
    errors.advise("usage", "the same command without --exact: tokens are estimated", "which vocabulary %s has is not "
      .. "known here", text.clean(model))
  end
  return errors.check(nil, err, model)
end

return M
