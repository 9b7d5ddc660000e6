-- prepare: files of examples, of any format, to the JSONL that a service trains on.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local findings = require "finetune.cli.findings"
local inspect = require "finetune.cli.inspect"
local price = require "finetune.cli.price"
local text = require "finetune.cli.text"

local M = {}

local SHOWN = 3 -- findings of each rule
local LIMITS = {"max_examples", "max_messages", "max_characters", "max_tokens"}

-- ---- what is asked for ----

-- The whole number of an option; raises
local function whole(args, name)
  local n = args[name]
  if n == nil or math.type(n) == "integer" then return n end
  return errors.fail("usage", "--%s takes a whole number, not %s", name:gsub("_", "-"), tostring(n))
end

-- "a/train.jsonl" -> "a/train.validation.jsonl", as prepare_data names it
local function validation_path(path)
  local stem, ending = path:match "^(.*[^/])(%.[^./]*)$"
  return stem and stem .. ".validation" .. ending or path .. ".validation"
end

local function refuse_existing(args)
  if args.output == "-" then errors.fail("usage", "prepare writes a file, whole or not at all, and so not to -") end
  if args.force then return end
  for _, path in ipairs {args.output, args.validation and validation_path(args.output) or nil} do
    if core.fs.stat(path) then
      errors.advise("usage", "the same command with --force, or another -o FILE", "%s is there already",
        text.clean(path))
    end
  end
end

local function parameters(ui, args)
  if args.validation and args.validation >= 1 then
    errors.fail("usage", "--validation is a share of the examples, such as 0.1, not %s", text.number(args.validation))
  end
  local p = {path = args["in"], output = args.output, to = args.to, format = args.format, validation = args.validation,
    dedupe = args.dedupe, shuffle = whole(args, "shuffle"), skip_invalid = args.skip_invalid, tokens = true,
    drop = args.drop and #args.drop > 0 and args.drop or nil,
    vocabulary = inspect.vocabulary(ui, args.model, args.exact)}
  for _, name in ipairs(LIMITS) do p[name] = whole(args, name) end
  return p
end

-- ---- what comes of it ----

local function written(ui, side, estimated)
  ui:line("%s  %s, %s, %s", ui:paint("bold", text.clean(side.output)), text.plural(side.written, "example"),
    text.bytes(side.bytes), price.tokens {tokens = side.tokens, learned = side.learned_tokens, estimated = estimated})
end

local function write_cost(ui, cost)
  if not cost then return end
  if cost.epochs and not price.is_assumed(cost) then
    ui:line("  epochs  %d (%s)", cost.epochs, text.clean(cost.epochs_source))
  end
  ui:line("  cost    %s", price.words(cost))
end

local function document(ui, provider, report, cost)
  ui:document {provider = provider.name, ok = report.written > 0, report = fields.document("report", report),
    cost = cost and fields.document("cost", cost)}
end

-- Nothing was written: findings, then why
local function fail(report, err)
  local invalid = report.invalid > 0 and report.invalid < report.examples
  errors.advise(err.kind, invalid and "mend them, or leave them out: the same command with --skip-invalid"
    or "mend what is said above", "%s; nothing was written", text.clean(err.message))
end

function M.run(ui, args)
  refuse_existing(args)
  local params, provider = parameters(ui, args), inspect.provider(ui)
  ui.interrupted = "Stopped; nothing was written."
  local report, err = inspect.pass(ui, provider, params, "preparing " .. inspect.names(args["in"]))
  local cost = not err and args.model and price.of(report, provider, args.model) or nil
  document(ui, provider, report, cost)
  if not ui.json then
    findings.write(ui, report, args.show or SHOWN)
    findings.summary(ui, report)
  end
  if err then fail(report, err) end
  ui:line ""
  written(ui, report, report.tokens_estimated)
  if report.validation then written(ui, report.validation, report.tokens_estimated) end
  write_cost(ui, cost)
end

return M
