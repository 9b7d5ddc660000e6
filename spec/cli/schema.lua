-- What --json writes, field by field: a promise to scripts, and so written down a second
-- time, beside lua/finetune/cli/fields.lua. "?": may be absent; "[x]": an array of x.

local M = {}

local KINDS = {
  job = {provider = "string", id = "string", status = "string", raw_status = "string?", model = "string?",
    fine_tuned_model = "string?", created_at = "number?", finished_at = "number?", estimated_finish = "number?",
    trained_tokens = "number?", progress = "number?", training_file = "string?", validation_file = "string?",
    suffix = "string?", seed = "number?", hyperparameters = "table?", method = "table?", metadata = "table?",
    result_files = "[string]?", error = "table?"},
  event = {id = "string?", created_at = "number?", level = "string?", type = "string?", message = "string?",
    data = "table?"},
  metric = {step = "number", epoch = "number?", train_loss = "number?", valid_loss = "number?",
    train_accuracy = "number?", valid_accuracy = "number?", full_valid_loss = "number?",
    full_valid_accuracy = "number?", learning_rate = "number?"},
  checkpoint = {id = "string", step = "number?", created_at = "number?", model = "string?", job_id = "string?",
    metrics = "table?"},
  file = {provider = "string", id = "string", filename = "string?", bytes = "number?", purpose = "string?",
    status = "string?", created_at = "number?", expires_at = "number?"},
  model = {provider = "string", id = "string", owned_by = "string?", created_at = "number?", shutdown_date = "string?"},
  deleted = {provider = "string", id = "string", deleted = "boolean"},
  download = {provider = "string", id = "string", path = "string", bytes = "number"},
  sample = {provider = "string", model = "string", text = "string", finish_reason = "string?", usage = "table?"},
  score = {model = "string", examples = "number", correct = "number", accuracy = "number", failed = "number"},
  provider = {name = "string", description = "string?", default = "boolean", ready = "boolean", needs = "[string]",
    missing = "[string]", operations = "[string]", get = "string?", error = "string?"},
  finding = {what = "string", level = "string", value = "string?", advice = "string?"},
  export = {kind = "string", id = "string", path = "string", bytes = "number", sha256 = "string?"},
  failure = {kind = "string", id = "string", op = "string?", message = "string"},
  report = {examples = "number", invalid = "number", duplicates = "number", leaked = "number", shortened = "number",
    written = "number", bytes = "number", output = "string?", validation = "table?", tokens = "number?",
    learned_tokens = "number?", tokens_estimated = "boolean?", error_count = "number", warning_count = "number",
    errors = "[table]", warnings = "[table]", rules = "table", formats = "table", roles = "table", stats = "table",
    source_format = "string?", format = "string?"},
  cost = {tokens = "number?", learned = "number?", estimated = "boolean", epochs = "number?", epochs_source = "string?",
    billable_tokens = "number?", total = "number?", currency = "string?", price = "table?", seconds = "number?",
    reason = "string?"},
  plan = {provider = "string", url = "string?", model = "string", training = "string", validation = "string?",
    suffix = "string?", seed = "number?", method = "string?", hyperparameters = "table?", extra = "table?",
    examples = "number?", validation_examples = "number?", error_count = "number?", warning_count = "number?",
    cost = "table?"},
  error = {command = "string?", kind = "string", message = "string", provider = "string?", op = "string?",
    status = "number?", code = "string?", param = "string?", request_id = "string?", thing = "string?",
    next = "string?"},

  -- what commands write
  jobs = {jobs = "[job]"},
  events = {job = "string", provider = "string", events = "[event]"},
  told = {job = "string", provider = "string", event = "event"},
  ended = {job = "job"},
  unwatched = {job = "string", provider = "string", error = "error", exit = "number"},
  metrics = {job = "string", provider = "string", metrics = "[metric]", svg = "string?", html = "string?"},
  checkpoints = {job = "string", provider = "string", checkpoints = "[checkpoint]"},
  files = {files = "[file]"},
  rm = {deleted = "[deleted]"},
  models = {models = "[model]"},
  evaluation = {model = "string", examples = "number", correct = "number", accuracy = "number", failed = "number",
    base = "score?", gained = "number?", lost = "number?", majority = "table", labels = "[table]",
    confusion = "[table]"},
  providers = {providers = "[provider]"},
  findings = {findings = "[finding]"},
  inventory = {files = "[file]", jobs = "[job]", models = "[model]", exported = "[export]?", failed = "[failure]?",
    kept = "number?", manifest = "string?"},
  check = {provider = "string", files = "[string]", ok = "boolean", report = "report"},
  prepare = {provider = "string", ok = "boolean", report = "report", cost = "cost?"},
  tune = {plan = "plan", job = "job"},
  verdict = {rule = "string", severity = "string", file = "string?", line = "number", column = "number?",
    path = "string", message = "string", hint = "string?", excerpt = "string?"},
  completion = {script = "string"},
  version = {version = "string"}, -- of finetune --version
  failed = {error = "error", exit = "number"},
}

local check

local function check_fields(kind, value, where)
  if type(value) ~= "table" then return ("%s is no %s"):format(where, kind) end
  local spec = KINDS[kind]
  for name in pairs(value) do
    if not spec[name] then return ("%s has the field '%s'"):format(where, tostring(name)) end
  end
  for name, of in pairs(spec) do
    local bare = of:gsub("%?$", "")
    if value[name] ~= nil or bare == of then
      local wrong = check(bare, value[name], where .. "." .. name)
      if wrong then return wrong end
    end
  end
end

local function check_array(of, value, where)
  if type(value) ~= "table" then return where .. " is no array" end
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 or key > #value then return where .. " is no array" end
  end
  for i, item in ipairs(value) do
    local wrong = check(of, item, ("%s[%d]"):format(where, i))
    if wrong then return wrong end
  end
end

function check(of, value, where)
  local item = of:match "^%[(.*)%]$"
  if item then return check_array(item, value, where) end
  if KINDS[of] then return check_fields(of, value, where) end
  if type(value) ~= of then return ("%s is a %s, not a %s"):format(where, type(value), of) end
end

-- Words for what is wrong with a document of that kind, or nil
function M.wrong(kind, value) return check(kind, value, kind) end

-- kind -> {field = type}, to be compared with what the command says of itself
M.kinds = KINDS

return M
