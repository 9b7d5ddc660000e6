-- The recipe fasttext: a text classifier, not a language model. It learns which of a few
-- labels answers a message, from chat examples whose assistant answer is one of them, in
-- about a second for some hundreds of examples, on one core. What is told about it was
-- tried with fastText 0.9.2, as Debian has it.
--
-- A model is trained on what the user says: the texts of all user messages before the
-- answer. What the system, the assistant and tools say is left out: it is much the same in
-- every example and would drown the rest. Same data, settings and seed, and one thread (as
-- it is by default), give the same model, byte for byte.

local core = require "finetune.core"
local evaluate = require "finetune.evaluate"
local labels = require "finetune.store.labels"
local mapping = require "finetune.mapping"
local store = require "finetune.store"

local MOST_LABELS, LEAST_EXAMPLES = 200, 3 -- a closed set of labels has at most so many, each so often
local LABEL_BYTES = 200
local KEPT = 2 -- of each label, the first so many examples are trained on and never held out
local HELD_OUT = 0.1 -- share of the training file that is kept back where there is no validation file
local CUTOFF = 10000 -- words and subwords in a quantized model
local SHOWN = 12 -- labels, and confusions, that an event tells

-- Chosen by cross-validation on examples/data/support.jsonl alone: 66 % in five folds, where fastText's own (rate 0.1,
-- 5 epochs, whole words) give 36 %. Few buckets make a model of 6 MB, not 800. More examples need fewer epochs.
local DEFAULTS = {learning_rate = 0.5, word_ngrams = 2, minn = 3, maxn = 5, dim = 30, bucket = 50000, min_count = 1,
  threads = 1, loss = "softmax"}
local MOST_EPOCHS, LEAST_EPOCHS, VISITS = 50, 5, 100000 -- epochs; examples that all epochs together look at

local START, BYTE, EXAMPLE = 0.2, 6e-8, 350 -- seconds at all, and a byte and epoch; bytes of an example

local NOT_CLOSED = "fasttext trains a classifier for a closed set of labels, and %s; for free answers take a recipe "
  .. "that trains a language model: 'trl', or 'command' with a trainer of your own"

local R = {
  name = "fasttext",
  description = "fastText: a text classifier for chat examples whose answer is one of a few labels",
  programs = {"fasttext"},
  install = "apt install fasttext (Debian, Ubuntu), brew install fasttext",
  models = {{id = "fasttext", description = "a new text classifier (no language model)"}},
  checkpoints = "fastText keeps none: its trainings are short",
  reads_only = true,
}

local HYPERPARAMETERS = {
  n_epochs = {"n_epochs", integer = true, least = 1, most = 10000},
  learning_rate = {"learning_rate", above = 0, most = 10},
  word_ngrams = {"word_ngrams", integer = true, least = 1, most = 5},
  minn = {"minn", integer = true, least = 0, most = 10},
  maxn = {"maxn", integer = true, least = 0, most = 10},
  dim = {"dim", integer = true, least = 1, most = 1000},
  bucket = {"bucket", integer = true, least = 1, most = 10000000},
  min_count = {"min_count", integer = true, least = 1, most = 1000000},
  threads = {"threads", integer = true, least = 1, most = 256},
  loss = {"loss", values = {softmax = true, hs = true, ova = true}},
  quantize = {"quantize", type = "boolean"},
  held_out = {"held_out", number = true, least = 0, most = 0.5},
}

-- What is not known is refused in these words: there is no `extra` that could take it
local function known()
  local names = {}
  for name in pairs(HYPERPARAMETERS) do names[#names + 1] = name end
  table.sort(names)
  return "is not known to the recipe fasttext, whose hyperparameters are: " .. table.concat(names, ", ")
end

local read = mapping.mapping {
  service = "the recipe fasttext",
  fields = {model = {}, recipe = {}, training_file = {}, validation_file = {}, suffix = {}, metadata = {}, token = {},
    seed = {"seed", integer = true, least = 0, most = 2147483647}},
  hyperparameters = HYPERPARAMETERS,
  refuse = setmetatable({batch_size = "is not fastText's: it learns from one example at a time"}, {__index = known}),
}

local function invalid(param, format, ...)
  return nil, core.error {kind = "invalid", param = param, message = param .. " " .. format:format(...)}
end

-- Lengths of subwords that cannot be; maxn = 0 alone is fastText's way to say that there are none
local function wrong_subwords(settings)
  local minn, maxn = settings.minn or DEFAULTS.minn, settings.maxn or DEFAULTS.maxn
  return minn > maxn and not (maxn == 0 and (settings.minn or 0) == 0)
end

function R.settings(ctx, params)
  if params.extra ~= nil then
    return invalid("extra", "is not for the recipe fasttext: everything that it can be told is a hyperparameter")
  end
  local settings, err = read(ctx, params)
  if not settings then return nil, err end
  if wrong_subwords(settings) then
    return invalid("hyperparameters.minn", "must not be more than maxn: they are %d and %d, given or by default",
      settings.minn or DEFAULTS.minn, settings.maxn or DEFAULTS.maxn)
  end
  return settings
end

local function failed(kind, format, ...) return nil, core.error {kind = kind, message = format:format(...)} end

-- ---- layout ----

-- What layout() counts; `labels` holds label -> examples, of the training file
local function new_count() return {examples = 0, held_out = 0, n = 0, labels = {}} end

-- Counts one example of the training file -> true | nil, words
local function count_label(count, label)
  if #label == 0 then return nil, "the answer is empty" end
  if #label > LABEL_BYTES then return nil, NOT_CLOSED:format(("this answer has %d bytes"):format(#label)) end
  if not count.labels[label] then
    count.n, count.labels[label] = count.n + 1, 0
    if count.n > MOST_LABELS then
      return nil, NOT_CLOSED:format(("there are more than %d different answers"):format(MOST_LABELS))
    end
  end
  count.labels[label] = count.labels[label] + 1
  return true
end

local function check_labels(count)
  local total, rarest = 0, nil
  for label, n in pairs(count.labels) do
    total = total + n
    local fewest = rarest and count.labels[rarest]
    if not rarest or n < fewest or (n == fewest and label < rarest) then rarest = label end
  end
  if total < LEAST_EXAMPLES * count.n or total == 0 then
    return failed("data", NOT_CLOSED, ("there are %d different answers in %d examples"):format(count.n, total))
  elseif count.n < 2 then
    return failed("data", "fasttext learns to tell labels apart, and all %d examples have the same one, '%s'", total,
      rarest)
  elseif count.labels[rarest] < LEAST_EXAMPLES then
    return failed("data", "the label '%s' has %d of %d examples; every label needs at least %d", rarest,
      count.labels[rarest], total, LEAST_EXAMPLES)
  end
  return true
end

-- The training file: into train.txt, and by chance into held_out.txt
local function split(job, count, train, held)
  local share = job.validation and 0 or job.settings.held_out or HELD_OUT
  return labels.each_example(job, job.training, function(text, label)
    local ok, words = count_label(count, label)
    if not ok then return nil, words end
    local keep = share == 0 or count.labels[label] <= KEPT or labels.chance(job.seed or 0, text) >= share
    local key = keep and "examples" or "held_out"
    count[key] = count[key] + 1
    return (keep and train or held).add(label, text)
  end)
end

local function validate(job, count, held)
  if not job.validation then return true end
  return labels.each_example(job, job.validation, function(text, label)
    if #label == 0 or #label > LABEL_BYTES then return nil, "the answer is no label" end
    count.held_out = count.held_out + 1
    return held.add(label, text)
  end)
end

local function epochs_for(examples)
  return math.max(LEAST_EPOCHS, math.min(MOST_EPOCHS, VISITS // math.max(examples, 1)))
end

-- Seconds that one core needs, where nothing has been trained yet: seen with the demo's data
function R.guess(bytes, params)
  local epochs = math.tointeger(store.number(store.object(params.hyperparameters).n_epochs))
  return START + BYTE * bytes * (epochs or epochs_for(bytes // EXAMPLE))
end

local function write_files(job, count)
  local train <close>, words = labels.writer(job.dir .. "/train.txt")
  if not train then return failed("server", "%s", words) end
  local held <close>, why = labels.writer(job.dir .. "/held_out.txt")
  if not held then return failed("server", "%s", why) end
  local ok, err = split(job, count, train, held)
  if ok then ok, err = validate(job, count, held) end
  if not ok then return nil, err end
  local closed, late = train.close()
  if closed then closed, late = held.close() end
  if not closed then return failed("server", "%s", late) end
  return true
end

-- The word vectors of the model to go on from, and how long they are | nil, err
local function link_base(job)
  local path = job.base.dir .. "/model.vec"
  local file <close> = io.open(path, "rb")
  local dim = file and math.tointeger(tonumber((file:read(64) or ""):match "^%d+ (%d+)\n"))
  if not dim then return failed("invalid", "the model to go on from has no word vectors (model.vec) of fastText's") end
  if job.settings.dim and job.settings.dim ~= dim then
    return failed("invalid", "hyperparameters.dim must be %d, as in the model to go on from", dim)
  end
  local ok, err = store.link(path, job.dir .. "/base.vec", job.pause)
  if not ok then return nil, err end
  return dim
end

-- train.txt, held_out.txt, and in laid.json what steps, events and result want to know
function R.layout(job)
  local count = new_count()
  local ok, err = write_files(job, count)
  if ok then ok, err = check_labels(count) end
  if not ok then return nil, err end
  local laid = {examples = count.examples, held_out = count.held_out, labels = count.n,
    epochs = job.settings.n_epochs or epochs_for(count.examples)}
  if job.base then
    laid.dim, err = link_base(job)
    if not laid.dim then return nil, err end
  end
  return store.write_json(job.dir .. "/laid.json", laid)
end

-- What layout counted; fields are missing where the file is damaged
local function laid_of(job)
  if not job.laid then
    local doc = store.read_json(job.dir .. "/laid.json") or {}
    job.laid = {}
    for _, name in ipairs {"examples", "held_out", "labels", "epochs", "dim"} do
      job.laid[name] = math.type(doc[name]) == "integer" and doc[name] or nil
    end
  end
  return job.laid
end

local function whole(laid) return laid.examples and laid.held_out and laid.epochs end
local function damaged() return failed("server", "laid.json, which the layout wrote, is gone or damaged") end

-- ---- steps ----

local function text_of_number(value)
  return math.type(value) == "integer" and tostring(value) or ("%.10g"):format(value)
end

local FLAGS = {{"lr", "learning_rate"}, {"wordNgrams", "word_ngrams"}, {"minn", "minn"}, {"maxn", "maxn"},
  {"dim", "dim"}, {"bucket", "bucket"}, {"minCount", "min_count"}, {"loss", "loss"}, {"thread", "threads"}}

local function train_argv(job, laid)
  local argv, s = {"fasttext", "supervised", "-input", "train.txt", "-output", "out/model"}, job.settings
  local function add(flag, value)
    argv[#argv + 1] = "-" .. flag
    argv[#argv + 1] = type(value) == "number" and text_of_number(value) or value
  end
  add("epoch", laid.epochs)
  for _, flag in ipairs(FLAGS) do
    local value = s[flag[2]]
    if value == nil then value = flag[2] == "dim" and laid.dim or DEFAULTS[flag[2]] end
    add(flag[1], value)
  end
  add("seed", job.seed or s.seed or 0)
  if job.base then add("pretrainedVectors", "base.vec") end
  return argv
end

-- Only the words and subwords that matter most are kept, and trained a little more: quantizing all takes minutes
local function quantize_argv(job)
  return {"fasttext", "quantize", "-input", "train.txt", "-output", "out/model", "-qnorm", "-cutoff",
    tostring(CUTOFF), "-retrain", "-epoch", tostring(LEAST_EPOCHS), "-lr",
    text_of_number(job.settings.learning_rate or DEFAULTS.learning_rate), "-thread", "1", "-seed",
    tostring(job.seed or job.settings.seed or 0)}
end

-- Paths are relative to the job's directory, which may move before it begins
function R.steps(job)
  local laid = laid_of(job)
  if not whole(laid) then return damaged() end
  local steps, model = {{argv = train_argv(job, laid)}}, "out/model.bin"
  if job.settings.quantize then
    model = "out/model.ftz"
    steps[2] = {argv = quantize_argv(job)}
  end
  if laid.held_out > 0 then
    steps[#steps + 1] = {argv = {"fasttext", "predict-prob", model, "held_out.txt", "1"}, stdout = "predictions.txt"}
  end
  return steps
end

-- ---- progress ----

local PROGRESS = "Progress:%s*([%d.]+)%%.-lr:%s*([%d.]+).-loss:%s*([%d.]+)[^\r\n]*ETA:"

-- fastText rewrites one line: "Progress: 37.5% words/sec/thread: 1429752 lr:  0.31 avg.loss:  0.51 ETA: …".
-- What it calls progress is the share of all epochs; a step is one example. With one thread it says that once, at the
-- end; with more of them ten times a second.
function R.events(job, text, last)
  local list, step = {}, last and last.step or -1
  local laid = laid_of(job)
  if not whole(laid) then return list end
  local total = laid.examples * laid.epochs
  for line in text:gmatch "[^\r\n]+" do
    local percent, rate, loss = line:match(PROGRESS)
    local share = math.min((tonumber(percent) or 0) / 100, 1)
    local now = percent and math.floor(share * total) or step
    if now > step then
      step = now
      list[#list + 1] = {step = step, total_steps = total, epoch = share * laid.epochs, loss = tonumber(loss),
        learning_rate = tonumber(rate)}
    end
  end
  return list
end

-- ---- the result ----

-- "__label__x 0.98" -> label, probability
local function prediction(line)
  local word, number = line:match "^__label__(%S+) (%S+)"
  if word then return labels.unescape(word), tonumber(number) end
end

local function score(job)
  local held <close>, words = io.open(job.dir .. "/held_out.txt", "rb")
  if not held then return failed("server", "%s", words) end
  local predictions <close>, why = io.open(job.dir .. "/predictions.txt", "rb")
  if not predictions then return failed("server", "%s", why) end
  return evaluate.score(function()
    local line, predicted = held:read "l", predictions:read "l"
    if not line or not predicted then return nil end
    return labels.unescape(line:match "^__label__(%S*)" or ""), prediction(predicted) or ""
  end)
end

local function percent(share) return share and ("%.1f %%"):format(share * 100) or "none" end

-- The first SHOWN rows, as words
local function listed(rows, words_of)
  local words = {}
  for i = 1, math.min(SHOWN, #rows) do words[i] = words_of(rows[i]) end
  if #rows > SHOWN then words[#words + 1] = ("and %d more"):format(#rows - SHOWN) end
  return table.concat(words, ", ")
end

-- What the events at the end say
local function tell(laid, figures)
  local total = laid.examples * laid.epochs
  local list = {{step = total, total_steps = total, epoch = laid.epochs, valid_accuracy = figures.accuracy,
    message = ("held-out accuracy %s (%d of %d); majority class %s (always '%s')"):format(percent(figures.accuracy),
      figures.correct, figures.examples, percent(figures.majority.accuracy), figures.majority.label)},
    {message = "precision and recall: " .. listed(figures.labels, function(row)
      return ("%s %s and %s"):format(row.label, percent(row.precision), percent(row.recall))
    end)}}
  if #figures.confusion > 0 then
    list[3] = {message = "taken for another: " .. listed(figures.confusion, function(pair)
      return ("%s for %s %d x"):format(pair.expected, pair.predicted, pair.count)
    end)}
  end
  return list
end

-- May be asked for more than once: what it removes it does not need
function R.result(job)
  local laid = laid_of(job)
  if not whole(laid) then return damaged() end
  core.fs.remove(job.dir .. "/train.txt") -- it is in the store already, as the training file
  if job.settings.quantize then core.fs.remove(job.out .. "/model.bin") end
  local result = {metrics = {examples = laid.examples, held_out = laid.held_out}, events = {}}
  if laid.held_out == 0 then return result end
  local figures, err = score(job)
  if not figures then return nil, err end
  if figures.examples ~= laid.held_out then
    return failed("server", "there are predictions for %d of %d held-out examples", figures.examples, laid.held_out)
  end
  result.metrics.accuracy, result.metrics.majority_accuracy = figures.accuracy, figures.majority.accuracy
  result.majority, result.labels, result.confusion = figures.majority, figures.labels, figures.confusion
  result.events = tell(laid, figures)
  return result
end

-- ---- the model at work ----

-- top_k: of how many labels the probabilities are told (all)
function R.sample(model, params)
  for _, name in ipairs {"max_tokens", "temperature", "sample_command"} do
    if params[name] then return failed("invalid", "%s is not for a classifier: its answer is a label", name) end
  end
  local top = params.top_k or -1
  if params.top_k and top < 1 then return failed("invalid", "top_k must be at least 1") end
  local text, words
  if params.messages then
    text, words = labels.text_of(params.messages)
  else
    text = params.prompt and labels.clean(params.prompt)
  end
  if not text then return failed("invalid", "%s", words or "messages or prompt is missing") end
  local path = model.dir .. "/model.bin"
  if not core.fs.stat(path) then path = model.dir .. "/model.ftz" end
  return {argv = {"fasttext", "predict-prob", path, "-", tostring(top)}, stdin = text .. "\n"}
end

-- "__label__a 0.9 __label__b 0.1" -> {text = "a", probabilities = {a = 0.9, b = 0.1}}
function R.parse(output)
  local best, probabilities = nil, {}
  for word, number in output:gmatch "__label__(%S+) (%S+)" do
    local label = labels.unescape(word)
    best = best or label
    probabilities[label] = tonumber(number)
  end
  if not best then return failed("decode", "fasttext predicted nothing") end
  return {text = best, probabilities = probabilities}
end

return R
