-- evaluate.lua: how well a model answers a held-out file of chat examples. Each example's
-- messages up to its last assistant message are given to provider:sample, and the answer
-- is compared, exactly, with what that message says. For answers that are labels that is
-- accuracy, with precision, recall and confusions; for free text it is "word for word".
--
-- score() does the counting; recipes of trainers use it too.

local check = require "finetune.check"
local core = require "finetune.core"
local provider = require "finetune.provider"
local run = require "finetune.run"
local wait = require "finetune.wait"

local M = {}

local CONCURRENCY = 4 -- services limit how much may be asked at once; a local trainer is a process each
local BLOCK, LONGEST = 64 * 1024, 64 * 1024 * 1024 -- bytes: read at a time, of a line (as prepare_data has it)
local SHOWN_LABELS, SHOWN_PAIRS = 30, 10 -- lines of the text
local WIDTH = 24 -- characters of a label in the text

local OPTIONS = check.parse("-model:id! path:string! base:id limit:integer concurrency:integer max_tokens:integer "
  .. "temperature:number on_progress:function")

local function trim(text) return text:match "^%s*(.-)%s*$" end

local function failed(kind, format, ...) return nil, core.error {kind = kind, op = "evaluate",
  message = format:format(...)} end

-- ---- counting ----

local function bump(t, key) t[key] = (t[key] or 0) + 1 end

-- Keys in the order of their counts, the most frequent first
local function by_count(counts)
  local list = {}
  for key in pairs(counts) do list[#list + 1] = key end
  table.sort(list, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  return list
end

-- One row a label that was expected: of those given the label so many were right (precision), of those
-- that have it so many were found (recall)
local function label_rows(count)
  local rows = {}
  for i, label in ipairs(by_count(count.expected)) do
    local right, given = count.right[label] or 0, count.predicted[label] or 0
    rows[i] = {label = label, examples = count.expected[label], predicted = given, correct = right,
      precision = given > 0 and right / given or nil, recall = right / count.expected[label]}
  end
  return rows
end

local function pair_rows(pairs_of)
  local counts, rows = {}, {}
  for key, pair in pairs(pairs_of) do counts[key] = pair.count end
  for i, key in ipairs(by_count(counts)) do rows[i] = pairs_of[key] end
  return rows
end

-- next() -> expected, predicted (texts), or nil at the end
-- -> {examples, correct, accuracy, majority = {label, examples, accuracy}, labels, confusion}; shares are 0 to 1.
-- majority: what always giving the most frequent answer would be right in
function M.score(next_pair)
  local count, total, right, confused = {expected = {}, predicted = {}, right = {}}, 0, 0, {}
  for expected, predicted in next_pair do
    total = total + 1
    bump(count.expected, expected)
    bump(count.predicted, predicted)
    if expected == predicted then
      right = right + 1
      bump(count.right, expected)
    else
      local key = ("%d %s %s"):format(#expected, expected, predicted)
      confused[key] = confused[key] or {expected = expected, predicted = predicted, count = 0}
      confused[key].count = confused[key].count + 1
    end
  end
  local labels = label_rows(count)
  local most = labels[1]
  return {examples = total, correct = right, accuracy = total > 0 and right / total or nil,
    majority = most and {label = most.label, examples = most.examples, accuracy = most.examples / total},
    labels = labels, confusion = pair_rows(confused)}
end

-- ---- the held-out file ----

-- A message's content, a text or an array of parts of text -> text, or nil
local function text_of(content)
  if type(content) ~= "table" then return type(content) == "string" and content or nil end
  local texts = {}
  for i, part in ipairs(content) do
    if type(part) ~= "table" or type(part.text) ~= "string" then return nil end
    texts[i] = part.text
  end
  return texts[1] and table.concat(texts)
end

-- A decoded line -> {messages, expected} | nil, words
local function example_of(doc)
  local messages = type(doc) == "table" and doc.messages
  if type(messages) ~= "table" then return nil, "is no chat example: it has no `messages`" end
  local last
  for i, message in ipairs(messages) do
    if type(message) ~= "table" then return nil, ("messages[%d] is no object"):format(i - 1) end
    if message.role == "assistant" then last = i end
  end
  if not last or last == 1 then return nil, "has no assistant message that answers another one" end
  local expected = text_of(messages[last].content)
  if not expected then return nil, "its last assistant message has no text" end
  return {messages = table.move(messages, 1, last - 1, 1, {}), expected = trim(expected)}
end

M.example_of = example_of

-- function() -> the next line | nil, and words where it was not the end
local function lines_of(file)
  local rest, at = "", 1 -- what was read, nil at the end; where the next line begins
  return function()
    local parts, size = {}, 0
    while rest and size <= LONGEST do
      local stop = rest:find("\n", at, true)
      parts[#parts + 1] = rest:sub(at, (stop or 0) - 1)
      size = size + #parts[#parts]
      if stop then
        at = stop + 1
        return table.concat(parts)
      end
      local why
      rest, why = file:read(BLOCK)
      at = 1
      if why then return nil, why end
    end
    if size > LONGEST then return nil, "a line is longer than 64 MiB; is the end of a line missing?" end
    return size > 0 and table.concat(parts) or nil
  end
end

-- -> array of examples | nil, err (kind "data", with the line)
local function read(path, limit)
  local file <close>, words = io.open(path, "rb")
  if not file then return failed("data", "%s", words) end
  local list, number, next_line = {}, 0, lines_of(file)
  while #list < (limit or math.huge) do
    local line, why = next_line()
    if why then return failed("data", "%s: %s", path, why) end
    if not line then break end
    number = number + 1
    if line:find "%S" then
      local doc, wrong = core.decode(line)
      local example
      if doc ~= nil then example, wrong = example_of(doc) end
      if not example then return failed("data", "%s:%d: %s", path, number, wrong) end
      list[#list + 1] = example
    end
  end
  if #list == 0 then return failed("data", "%s has no examples", path) end
  return list
end

-- ---- asking ----

-- One example, asked -> the answer's text | nil, err
local function ask(self, model, p, example)
  local answer, err = provider.perform(self, "sample", {model = model, messages = example.messages,
    max_tokens = p.max_tokens, temperature = p.temperature, timeout = p.timeout, extra = p.extra})
  if not answer then return nil, err end
  if type(answer) ~= "table" or type(answer.text) ~= "string" then
    return failed("decode", "the answer of sample has no text")
  end
  return trim(answer.text)
end

-- Asks for all, several at a time; what could not be asked is told apart from what was answered wrongly
local function ask_all(self, model, p, examples, told)
  local answers, errors, first = run.map(examples, function(example)
    local text, err = ask(self, model, p, example)
    told()
    return text, err
  end, {concurrency = p.concurrency or CONCURRENCY})
  for _, err in pairs(errors) do
    if not core.is_error(err) then error(err, 0) end -- a bug, or what on_progress raised
  end
  return answers, errors, first
end

-- -> the figures of one model, its answers | nil, err: nothing could be asked
local function measure(self, model, p, examples, told)
  local answers, errors, first = ask_all(self, model, p, examples, told)
  local i, missing = 0, 0
  for _ in pairs(errors) do missing = missing + 1 end
  if missing == #examples then return nil, errors[first] end
  local figures = M.score(function()
    repeat i = i + 1 until answers[i] or i > #examples
    if i <= #examples then return examples[i].expected, answers[i] end
  end)
  figures.model, figures.failed, figures.error = model, missing, errors[first]
  return figures, answers
end

-- ---- words for people ----

local function percent(share) return share and ("%5.1f %%"):format(share * 100) or "    -" end

-- At most WIDTH characters of a text, in one line
local function short(text)
  text = text:gsub("%c+", " ")
  if not utf8.len(text) then return (text:sub(1, WIDTH):gsub("[^\32-\126]", "?")) end
  local stop = utf8.offset(text, WIDTH + 1)
  return stop and stop <= #text and text:sub(1, stop - 1) .. "..." or text
end

local function label_lines(add, figures)
  if #figures.labels > SHOWN_LABELS then
    return add("  %d different answers are expected: no figures for each", #figures.labels)
  end
  add("  %-" .. WIDTH .. "s %9s %9s %9s", "answer", "examples", "precision", "recall")
  for _, row in ipairs(figures.labels) do
    add("  %-" .. WIDTH .. "s %9d %9s %9s", short(row.label), row.examples, percent(row.precision), percent(row.recall))
  end
end

local function pair_lines(add, figures)
  if #figures.confusion == 0 then return end
  add("  wrong most often:")
  for i = 1, math.min(SHOWN_PAIRS, #figures.confusion) do
    local pair = figures.confusion[i]
    add("  %4d x  %s, and the model says %s", pair.count, short(pair.expected), short(pair.predicted))
  end
end

local function head(add, figures)
  add("%s: accuracy %s, %d of %d held-out examples answered exactly", figures.model,
    percent(figures.accuracy):match "%S.*", figures.correct, figures.examples)
  if figures.failed > 0 then
    add("  %d more could not be asked: %s", figures.failed, tostring(figures.error))
  end
end

local function words_of(report)
  local lines = {}
  local function add(format, ...) lines[#lines + 1] = format:format(...) end
  head(add, report)
  if report.base then
    head(add, report.base)
    add("  %d examples are right now that were wrong before, %d the other way", report.gained, report.lost)
  end
  add("majority class: accuracy %s, by always answering '%s'", percent(report.majority.accuracy):match "%S.*",
    short(report.majority.label))
  label_lines(add, report)
  pair_lines(add, report)
  return table.concat(lines, "\n") .. "\n"
end

-- ---- public ----

-- What tuning has changed, over the examples that both models answered
local function compare(report, base, examples, after, before)
  report.base, report.gained, report.lost = base, 0, 0
  for i, example in ipairs(examples) do
    local now, then_ = after[i] == example.expected, before[i] == example.expected
    if after[i] and before[i] and now ~= then_ then
      if now then report.gained = report.gained + 1 else report.lost = report.lost + 1 end
    end
  end
end

local function evaluate(self, p)
  local has, reason = core.supports(self, "sample")
  if not has then return failed("unsupported", "%s has no `sample`: %s", self.name, reason or "") end
  local examples, err = read(p.path, p.limit)
  if not examples then return nil, err end
  local done, total = 0, #examples * (p.base and 2 or 1)
  local function told()
    done = done + 1
    if p.on_progress then p.on_progress(done, total) end
  end
  local report, after = measure(self, p.model, p, examples, told)
  if not report then return nil, after end
  if p.base then
    local base, before = measure(self, p.base, p, examples, told)
    if not base then return nil, before end
    compare(report, base, examples, after, before)
  end
  report.text = words_of(report)
  return report
end

-- finetune.evaluate(provider, {model =, path =, base =, limit =, …}): see meta.lua
function M.evaluate(self, options)
  if not core.is_provider(self) then error("finetune.evaluate: the first argument must be a provider", 2) end
  if type(options) ~= "table" then
    error("finetune.evaluate: the second argument must be a table such as {model = …, path = …}", 2)
  end
  local p, why = check.params("finetune.evaluate", OPTIONS, options)
  for _, name in ipairs {"limit", "concurrency"} do
    if p and p[name] and p[name] < 1 then
      p, why = nil, ("finetune.evaluate: parameter '%s' must be at least 1"):format(name)
    end
  end
  if not p then error(why, 2) end
  wait.ready()
  return evaluate(self, p)
end

return M
