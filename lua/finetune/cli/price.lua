-- price.lua: tokens and cost of a training job, before anything is sent: what is known, and
-- where not, why.

local finetune = require "finetune"
local errors = require "finetune.cli.errors"
local text = require "finetune.cli.text"

local M = {}

-- "1.25 USD", "0.0003 USD": never a zero that is none
function M.money(total, currency)
  if total == 0 then return "nothing" end
  local words = total >= 0.01 and ("%.2f"):format(total) or ("%.2g"):format(total)
  return ("%s %s"):format(words, text.clean(currency or "USD"))
end

-- "26 tokens (estimated), 2 of them learned"
function M.tokens(cost)
  local words = text.plural(cost.tokens, "token") .. (cost.estimated and " (estimated)" or "")
  return cost.learned and ("%s, %s learned"):format(words, text.count(cost.learned)) or words
end

-- Of a provider that knows the cost of a file here: this machine, say. -> total, currency, seconds | nil, why
local function asked(provider, params)
  local said, err = provider:estimate_cost(params)
  if said and type(said.total) == "number" then return said.total, said.currency, tonumber(said.seconds) end
  return nil, err and err.message or "it says no total"
end

local ASSUMED = "assumed: the service documents no default"

-- Of one epoch, where nobody knows how many there will be
local function estimate(params)
  local cost, err = finetune.estimate_cost(params)
  if cost or params.epochs or err.kind ~= "invalid" then return cost, err end
  params.epochs = 1
  cost, err = finetune.estimate_cost(params)
  if cost then cost.epochs_source = ASSUMED end
  return cost, err
end

-- Does the number of epochs come from nowhere?
function M.is_assumed(cost) return cost.epochs_source == ASSUMED end

-- A report of prepare_data with tokens -> {tokens, learned, estimated, epochs, epochs_source, billable_tokens, total,
-- currency, price, reason}. reason: why there is no total, or no number of epochs
function M.of(report, provider, model, epochs)
  local cost, err = estimate {report = report, model = model, provider = provider.name, epochs = epochs}
  if not cost then
    return {tokens = report.tokens, learned = report.learned_tokens, estimated = report.tokens_estimated or false,
      examples = report.written, reason = text.clean(err.message)}
  end
  if not cost.total then
    cost.reason = ("no price of %s at %s is known here"):format(text.clean(model), provider.name)
  end
  return cost
end

-- The same for a file that is about to be sent. cost.ask: the service says it once it has the file
function M.of_file(report, provider, p)
  local cost = M.of(report, provider, p.model, p.epochs)
  local has, reason = provider:supports "estimate_cost"
  if cost.total or not has then
    local for_people = reason and not reason:find("finetune.", 1, true) -- a service's reason, and no advice to programs
    if not cost.total and for_people then cost.reason = text.clean(reason) end
    return cost
  end
  local total, currency, seconds = asked(provider, {model = p.model, path = p.path, method = p.method,
    hyperparameters = p.hyperparameters})
  if total then
    cost.total, cost.currency, cost.seconds, cost.reason = total, currency, seconds, nil
  else
    cost.ask, cost.reason = true, "the service says it once it has the file"
  end
  return cost
end

-- -> {total, currency, allowed} as the service says of a file that it has | nil, words
function M.ask(provider, params)
  local said, err = provider:estimate_cost(params)
  if said and type(said.total) == "number" then return said end
  return nil, err and errors.words(err) or "it says no total"
end

-- "about 1.25 USD (250,000 tokens at 5 USD a million, of 2026-08-05)"
function M.words(cost)
  if not cost.total then return "unknown: " .. (cost.reason or "nobody says") end
  local money = M.money(cost.total, cost.currency)
  local price = cost.price
  if not price then return money end
  if M.is_assumed(cost) then money = money .. " for each epoch" end
  return ("about %s (%s at %s %s a million%s)"):format(money, text.plural(cost.billable_tokens, "token"),
    text.number(price.per_million), price.currency, price.date and ", as of " .. price.date or "")
end

return M
