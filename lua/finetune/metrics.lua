-- metrics.lua: the default list_metrics. Puts together what a service has: the
-- results file (CSV), the metrics events, the checkpoints; one row a step, the
-- columns under one name whatever the service calls them. Where two sources
-- have the same number, the results file's counts, then the events'.

local core = require "finetune.core"
local pages = require "finetune.pages"
local provider = require "finetune.provider"

local M = {}

local FILE_MAX = 64 * 1024 * 1024 -- bytes of a results file

-- ours -> the names that services use for it
local COLUMNS = {
  step = {"step", "step_number", "global_step", "steps", "train_global_step", "eval_global_step"},
  epoch = {"epoch", "epochs", "train_epoch", "eval_epoch"},
  learning_rate = {"learning_rate", "lr", "train_learning_rate"},
  train_loss = {"train_loss", "training_loss", "loss"},
  train_accuracy = {"train_accuracy", "train_mean_token_accuracy", "training_accuracy",
    "train_token_accuracy", "training_token_accuracy", "mean_token_accuracy"},
  valid_loss = {"valid_loss", "validation_loss", "eval_loss", "val_loss"},
  valid_accuracy = {"valid_accuracy", "valid_mean_token_accuracy", "validation_accuracy",
    "validation_mean_token_accuracy", "validation_token_accuracy", "eval_mean_token_accuracy"},
  full_valid_loss = {"full_valid_loss", "full_validation_loss"},
  full_valid_accuracy = {"full_valid_accuracy", "full_valid_mean_token_accuracy",
    "full_validation_mean_token_accuracy", "full_validation_accuracy"},
}

local OURS = {}
for ours, list in pairs(COLUMNS) do
  for _, theirs in ipairs(list) do OURS[theirs] = ours end
end

-- "Validation Loss" and "validation-loss" are validation_loss
function M.column(name)
  local plain = name:lower():gsub("^%s+", ""):gsub("%s+$", ""):gsub("[%s%-/.]+", "_")
  return OURS[plain] or plain
end

-- Adds the numbers of one table of metrics to its step's row; what is there stays
local function add(rows, values, step)
  local numbers = {}
  for name, value in pairs(values) do
    if type(name) == "string" then numbers[M.column(name)] = tonumber(value) end
  end
  step = numbers.step or tonumber(step)
  if not step then return end
  step = math.tointeger(step) or step
  local row = rows[step] or {step = step}
  rows[step] = row
  for name, value in pairs(numbers) do
    if row[name] == nil then row[name] = value end
  end
end

-- ---- the results file ----

-- One line of CSV -> its cells
local function cells(line)
  local list, at = {}, 1
  while at <= #line + 1 do
    if line:sub(at, at) == '"' then
      local text, stop = line:match('^"(.-)"()%f[,\0]', at)
      list[#list + 1] = (text or line:sub(at + 1)):gsub('""', '"')
      at = (stop or #line + 1) + 1
    else
      local text, stop = line:match("^([^,]*)()", at)
      list[#list + 1] = text
      at = stop + 1
    end
  end
  return list
end

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64_decode(text)
  local out, bits, n = {}, 0, 0
  for c in text:gmatch("[%w+/]") do
    bits = bits << 6 | ALPHABET:find(c, 1, true) - 1
    n = n + 6
    if n >= 8 then
      n = n - 8
      out[#out + 1] = string.char(bits >> n & 255)
      bits = bits & (1 << n) - 1
    end
  end
  return table.concat(out)
end

-- OpenAI has served the CSV in base64 at times
local function plain_text(text)
  text = text:gsub("^\239\187\191", "")
  if text:find(",", 1, true) or not text:match("^[%w+/=%s]+$") then return text end
  local decoded = base64_decode(text)
  return decoded:find(",", 1, true) and decoded or text
end

-- Adds the rows of a CSV text with a header line
function M.add_csv(rows, text)
  local header
  for line in plain_text(text):gmatch("[^\r\n]+") do
    local row = cells(line)
    if not header then
      header = row
    else
      local values = {}
      for i, name in ipairs(header) do values[name] = row[i] end
      add(rows, values)
    end
  end
end

-- ---- the sources ----

-- A source that a service does not have is no error
local function missing(err)
  return err.kind == "unsupported" or err.kind == "not_found"
end

local function from_file(rows, self, job)
  local id = type(job.result_files) == "table" and job.result_files[1]
  if type(id) == "table" then id = id.id end
  if type(id) ~= "string" or not self:supports "download_file" then return end
  local text, err = self:download_file(id, {max_bytes = FILE_MAX})
  if text then M.add_csv(rows, text) else return err end
end

local function from_list(rows, self, op, id, take)
  if not self:supports(op) then return end
  local next_page = pages.pages(op, provider.fetcher(self, op, {job_id = id}))
  while true do
    local page, err = next_page()
    if not page then return err end
    for _, item in ipairs(page) do take(rows, item) end
  end
end

local function take_event(rows, event)
  if event.type == "metrics" and type(event.data) == "table" then add(rows, event.data) end
end

local function take_checkpoint(rows, checkpoint)
  if type(checkpoint.metrics) == "table" then add(rows, checkpoint.metrics, checkpoint.step) end
end

local function sorted(rows)
  local list = {}
  for _, row in pairs(rows) do list[#list + 1] = row end
  table.sort(list, function(a, b) return a.step < b.step end)
  return list
end

-- Tables of numbers, each with its step -> one row a step, in order; what is no such table is left out
function core.context.metric_rows(list)
  local rows = {}
  for _, values in ipairs(list) do
    if type(values) == "table" then add(rows, values) end
  end
  return core.array(sorted(rows))
end

-- The operation. It runs in a provider's coroutine, in which every wait is allowed.
function M.list_metrics(ctx, params)
  local self, rows = ctx.provider, {}
  if params.extra and next(params.extra) then
    return ctx.invalid("extra", "has no meaning for list_metrics here: it is put together from several requests")
  end
  local job, err = self:get_job(params.job_id)
  if not job then return nil, err end
  local errors = {}
  errors[1] = from_file(rows, self, job)
  errors[#errors + 1] = from_list(rows, self, "list_events", job.id, take_event)
  errors[#errors + 1] = from_list(rows, self, "list_checkpoints", job.id, take_checkpoint)
  for _, failed in ipairs(errors) do
    if not missing(failed) then return nil, failed end
  end
  return {data = core.array(sorted(rows)), has_more = false}
end

core.set_default("list_metrics", M.list_metrics)

return M
