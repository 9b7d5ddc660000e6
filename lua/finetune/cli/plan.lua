-- plan.lua: what `tune` is about to do: the parameters of create_job from the command line,
-- and the same for people.

local config = require "finetune.cli.config"
local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local findings = require "finetune.cli.findings"
local price = require "finetune.cli.price"
local show = require "finetune.cli.show"
local text = require "finetune.cli.text"

local M = {}

-- ---- --set name=value ----

local WORDS = {["true"] = true, ["false"] = false}

-- "8" -> 8, "true" -> true, "[1, 2]" -> a table, "auto" -> "auto", '"8"' -> "8"
function M.typed(s)
  if WORDS[s] ~= nil then return WORDS[s] end
  if s:find "^[+-]?[%d.]" and not s:find "[xXpP]" and tonumber(s) then return tonumber(s) end
  if s:find '^[%[{"]' then
    local value = core.decode(s)
    if value ~= nil then return value end
  end
  return s
end

-- t.a.b = value for the path "a.b"; raises where a value is in the way
local function put(t, path, value, word)
  local rest = path
  for name in path:gmatch "([^.]*)%." do
    rest = rest:sub(#name + 2)
    if t[name] == nil then t[name] = {} end
    t = t[name]
    if type(t) ~= "table" then errors.fail("usage", "--set %s: '%s' is a value already", text.clean(word), name) end
  end
  if t[rest] ~= nil then errors.fail("usage", "--set %s: it is set twice", text.clean(word)) end
  t[rest] = value
end

-- -> hyperparameters, extra; each nil where it is empty
local function settings(args)
  local hyperparameters, extra = {}, {}
  for _, word in ipairs(args.set or {}) do
    local name, value = word:match "^([%w_][%w_.-]*)=(.*)$"
    if not name then
      errors.fail("usage", "--set takes NAME=VALUE, such as batch_size=8, not '%s'", text.clean(word))
    end
    local path = name:match "^extra%.(.+)$"
    put(path and extra or hyperparameters, path or name, M.typed(value), word)
  end
  if args.epochs then put(hyperparameters, "n_epochs", args.epochs, "n_epochs, and --epochs") end
  return next(hyperparameters) and hyperparameters or nil, next(extra) and extra or nil
end

local function whole(args, name)
  if args[name] and math.type(args[name]) ~= "integer" then
    errors.fail("usage", "--%s takes a whole number, not %s", name, tostring(args[name]))
  end
  return args[name]
end

-- The command line -> create_job's parameters, without files
function M.params(args)
  local model = args.model or os.getenv "FINE_TUNE_MODEL"
  if not model or model == "" then
    errors.advise("usage", "finetune models   (those that there are)", "which model is to be tuned? Name it with "
      .. "--model, or in $FINE_TUNE_MODEL")
  end
  whole(args, "epochs")
  local hyperparameters, extra = settings(args)
  return {model = model, suffix = args.suffix, seed = whole(args, "seed"), method = args.method,
    hyperparameters = hyperparameters, extra = extra}
end

-- The epochs as the user gave them; "auto" is none
function M.epochs(params) return math.tointeger((params.hyperparameters or {}).n_epochs) end

-- ---- where it goes ----

-- The address that is in effect, as far as anybody says; nil for this machine
function M.url(ui, provider)
  local facts, profile = core.facts(provider.name) or {}, config.profile(ui.args.profile)
  local own = (profile.provider == nil or profile.provider == provider.name) and profile.base_url
  local names = type(facts.env) == "table" and facts.env.base_url or {}
  local url = ui.args.base_url or own or nil
  for _, name in ipairs(type(names) == "table" and names or {names}) do
    local value = os.getenv(name)
    url = url or value ~= "" and value or nil
  end
  url = url or facts.base_url
  return type(url) == "string" and text.clean(url):gsub("//[^/@]*@", "//") or nil
end

-- ---- for people ----

local FORMATS = {dpo = "preference", reinforcement = "reinforcement"} -- what a method trains on, everywhere

-- Raises where the examples are of a format that the method does not train on: the job could only fail
function M.check_format(ui, plan)
  local wanted = FORMATS[plan.method] -- of a method that is not named the service decides
  if not wanted or not plan.format or plan.format == wanted then return end
  errors.advise("usage", ("finetune%s prepare %s -o %s.jsonl --to %s   (where they say as much), or another --method")
    :format(ui:again(plan.instance), text.shell_word(plan.training), wanted, wanted),
    "the examples of %s are %s, and %s trains on %s; nothing was sent", text.clean(plan.training), plan.format,
    text.clean(plan.method), wanted)
end

local function setting_words(t)
  local parts = {}
  for i, row in ipairs(show.settings(t)) do parts[i] = ("%s = %s"):format(row[1], row[2]) end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

local function file_words(name, examples, bytes)
  local parts = {text.clean(name)}
  if examples then parts[#parts + 1] = text.plural(examples, "example") end
  if bytes then parts[#parts + 1] = text.bytes(bytes) end
  return table.concat(parts, ", ")
end

local function epoch_words(plan)
  local cost = plan.cost
  if not cost then return nil end
  if not cost.epochs or price.is_assumed(cost) then return "as the service decides" end
  local given = cost.epochs_source == "given"
  return given and tostring(cost.epochs) or ("%d, unless the service decides otherwise (%s)"):format(cost.epochs,
    text.clean(cost.epochs_source))
end

local function warning_words(ui, plan)
  if (plan.warning_count or 0) == 0 then return nil end
  return ui:paint("yellow", ("%s (%s): finetune%s check %s"):format(text.plural(plan.warning_count, "warning"),
    findings.counts(plan.rules), ui:again(plan.instance), text.shell_word(plan.training)))
end

-- plan: what tune.lua has put together. Its lines
function M.write(ui, plan)
  local function row(name, words)
    if words and words ~= "" then ui:line("  %s  %s", ui:paint("dim", text.pad(name, 10)), words) end
  end
  local cost = plan.cost
  ui:line("%s", ui:paint("bold", "Fine-tuning " .. text.clean(plan.model)))
  row("at", plan.url and ("%s, %s"):format(plan.provider, plan.url) or plan.provider)
  row("training", file_words(plan.training, plan.examples, plan.bytes))
  row("validation", plan.validation and file_words(plan.validation, plan.validation_examples))
  row("tokens", cost and cost.tokens and price.tokens(cost))
  row("method", plan.method and text.clean(plan.method))
  row("epochs", epoch_words(plan))
  row("cost", cost and price.words(cost) or "unknown: the files are not on this machine")
  row("takes", cost and cost.seconds and "about " .. text.duration(cost.seconds))
  row("suffix", plan.suffix and text.clean(plan.suffix))
  row("settings", setting_words(plan.hyperparameters))
  row("extra", setting_words(plan.extra))
  row("warnings", warning_words(ui, plan))
end

return M
