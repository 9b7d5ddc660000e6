-- cost.lua: what a training job will cost, before any money is spent: billable tokens x epochs x a price. Every answer
-- says what it rests on: whether tokens were counted or estimated, which rule gave the epochs, and of when and where
-- the price is.

local check = require "finetune.check"
local core = require "finetune.core"
local tokens = require "finetune.tokens"
local wait = require "finetune.wait"

local M = {}

local MILLION = 1000000
local SLICE = 0.002 -- seconds of counting between two looks at others
local BLOCK = 256 * 1024 -- bytes read at a time
local LINE_MOST = 64 * 1024 * 1024 -- bytes, as of the dataset engine

-- Dollars for a million tokens of training, by the beginning of the model's name, the longest first.
-- o4-mini is charged by the hour (100 dollars), so it is not here.
local PRICES = {
  openai = {date = "2026-08-05", source = "https://platform.openai.com/docs/pricing", currency = "USD",
    {"gpt-4.1-mini", 5}, {"gpt-4.1-nano", 1.5}, {"gpt-4.1", 25}, {"gpt-4o-mini", 3}, {"gpt-4o", 25},
    {"gpt-3.5-turbo", 8}, {"davinci-002", 6}},
}

-- The cookbook's rule (Chat_finetuning_data_prep.ipynb): 3, more for few examples, so that 100 are seen (but 25 at
-- most), fewer for more than 25,000 in three epochs
local function openai_epochs(examples)
  if examples * 3 < 100 then return math.min(25, 100 // examples) end
  if examples * 3 > 25000 then return math.max(1, 25000 // examples) end
  return 3
end

local EPOCHS = {
  openai = {openai_epochs, "OpenAI's cookbook, Chat_finetuning_data_prep.ipynb"},
  azure = {openai_epochs, "OpenAI's cookbook, Chat_finetuning_data_prep.ipynb; the service documents no rule"},
  together = {function() return 1 end, "the service's API description: n_epochs is 1 by default"},
}

local PARAMS = check.parse("-report:table path:string tokens:integer examples:integer model:string provider:string "
  .. "epochs:integer price:number currency:string validation_tokens:integer evaluations:integer "
  .. "max_example_tokens:integer vocabulary:userdata encoding:string")

-- ---- tokens ----

local function count_line(vocabulary, line)
  if vocabulary then return vocabulary:example(line) end
  return core.tokens.example(line)
end

local function failed(kind, message) return nil, core.error {kind = kind, message = message} end

-- -> a function that gives the next line of a file; nil at its end; nil, words where it cannot
local function reader(file)
  local held, at, ended = "", 1, false
  return function()
    while true do
      local stop = held:find("\n", at, true)
      if stop or (ended and at <= #held) then
        local line = held:sub(at, (stop or #held + 1) - 1)
        at = (stop or #held) + 1
        return line
      end
      if ended then return nil end
      held, at = held:sub(at), 1
      if #held > LINE_MOST then return nil, "a line is longer than 64 MiB" end
      local more, words = file:read(math.max(BLOCK, #held)) -- as much again: a long line is not copied often
      if words then return nil, words end
      held, ended = held .. (more or ""), more == nil
    end
  end
end

-- Adds an example; a longer one counts as `most` tokens: the service cuts it. -> true | nil, words
local function add(sum, vocabulary, line, most)
  local all, learned = count_line(vocabulary, line)
  if not all then return nil, learned end
  sum.tokens = sum.tokens + math.min(all, most or all)
  sum.learned = sum.learned + math.min(learned, most or learned)
  sum.examples = sum.examples + 1
  return true
end

-- All lines of a JSONL file -> {tokens, learned, examples} | nil, err
local function count_file(path, vocabulary, most)
  wait.ready()
  local file <close>, words = core.fs.open(path)
  if not file then return failed("data", words) end
  local sum, number, late = {tokens = 0, learned = 0, examples = 0}, 0, core.now() + SLICE
  local next_line, ok = reader(file), true
  while true do
    local line
    line, words = next_line()
    number = number + 1
    if line and line:find "%S" then ok, words = add(sum, vocabulary, line, most) end
    if words and not (line and ok) then return failed("data", ("%s: line %d: %s"):format(path, number, words)) end
    if not line then return sum end
    if core.now() > late then
      wait.await(core.sleep(0))
      late = core.now() + SLICE
    end
  end
end

-- A vocabulary for the model, where there is one on this machine; else nil: an estimate
local function vocabulary_of(p)
  if p.vocabulary then return p.vocabulary end
  local encoding = p.encoding or p.model and tokens.encoding_of(p.model)
  return encoding and tokens.vocabulary {encoding = encoding} or nil
end

-- Of prepare_data's report: {tokens = {total, learned, estimated}, examples or written}
local function of_report(report)
  local counted = report.tokens
  if type(counted) == "number" then counted = {total = counted, learned = report.learned_tokens} end
  if type(counted) ~= "table" or not counted.total then
    return failed("invalid", "the report has no tokens: let prepare_data count them, or give `path` or `tokens`")
  end
  local estimated = counted.estimated
  if estimated == nil then estimated = report.tokens_estimated end
  return {tokens = counted.total, learned = counted.learned, examples = report.written or report.examples,
    estimated = estimated and true or false}
end

local function count(p)
  if p.tokens then return {tokens = p.tokens, examples = p.examples, estimated = false} end
  if p.report then return of_report(p.report) end
  local vocabulary = vocabulary_of(p)
  local sum, err = count_file(p.path, vocabulary, p.max_example_tokens)
  if not sum then return nil, err end
  sum.estimated = vocabulary == nil
  sum.encoding = vocabulary and vocabulary:facts() or nil
  return sum
end

-- ---- epochs and price ----

-- -> epochs, where they come from | nil, err
local function epochs_of(p, examples)
  if p.epochs then return p.epochs, "given" end
  local rule = EPOCHS[p.provider or "openai"]
  if not rule then
    return failed("invalid",
      ("how many epochs '%s' trains by default is not documented: give epochs"):format(p.provider))
  end
  if not examples or examples < 1 then return failed("invalid", "the default epochs hang on the number of examples: "
    .. "give epochs, or examples") end
  return rule[1](examples), rule[2]
end

-- -> {per_million, currency, date, source}, nil where nobody knows
local function price_of(p)
  if p.price then return {per_million = p.price, currency = p.currency or "USD", source = "given"} end
  local list = PRICES[p.provider or "openai"]
  local name = list and p.model and (p.model:match "^ft:([^:]+)" or p.model)
  for _, row in ipairs(name and list or {}) do
    if name:sub(1, #row[1]) == row[1] then
      return {per_million = row[2], currency = list.currency, date = list.date, source = list.source}
    end
  end
  return nil
end

-- ---- public ----

local function wrong(p)
  local given = (p.report and 1 or 0) + (p.path and 1 or 0) + (p.tokens and 1 or 0)
  if given ~= 1 then return "takes one of report, path and tokens" end
  for _, name in ipairs {"tokens", "price", "validation_tokens", "evaluations"} do
    if p[name] and not (p[name] >= 0 and p[name] < math.huge) then return name .. " must not be negative" end
  end
  for _, name in ipairs {"epochs", "max_example_tokens"} do
    if p[name] and p[name] < 1 then return name .. " must be at least 1" end
  end
end

-- finetune.estimate_cost{report | path | tokens, examples, model, provider = "openai", epochs, price, ...}
-- -> {total, currency, tokens, learned, examples, epochs, epochs_source, billable_tokens, price, estimated, encoding}
-- | nil, err. price: {per_million, currency, date, source}; without a known price it and `total` are nil. estimated:
-- the tokens were not counted with the model's own vocabulary. evaluations x validation_tokens are billed too, by
-- services that do (Together AI: docs.together.ai/docs/fine-tuning/pricing).
function M.estimate_cost(params)
  if type(params) ~= "table" then error("estimate_cost: takes a table of parameters", 2) end
  local p, why = check.params("estimate_cost", PARAMS, params)
  why = why or wrong(p)
  if why then error(why:find "^estimate_cost" and why or "estimate_cost: " .. why, 2) end
  local sum, err = count(p)
  if not sum then return nil, err end
  local epochs, source = epochs_of(p, sum.examples)
  if not epochs then return nil, source end
  local price = price_of(p)
  local billable = sum.tokens * epochs + (p.validation_tokens or 0) * (p.evaluations or 0)
  return {total = price and billable * price.per_million / MILLION, currency = price and price.currency, price = price,
    tokens = sum.tokens, learned = sum.learned, examples = sum.examples, epochs = epochs, epochs_source = source,
    billable_tokens = billable, estimated = sum.estimated, encoding = sum.encoding}
end

return M
