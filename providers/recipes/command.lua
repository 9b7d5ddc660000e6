-- The recipe `command`: any trainer, by its command line: an array of strings, run as it is, without a shell.
--
--   provider:create_job {model = "command", training_file = file, hyperparameters = {n_epochs = 3},
--     command = {"python3", "/home/me/train.py", "{training}", "--out={output}", "--epochs={n_epochs}"},
--     sample_command = {"python3", "/home/me/run.py", "{model}"}}
--
-- {training}, {validation}  the files, one example a line
-- {output}    the folder for the result: it must not stay empty
-- {events}    the file for progress: one JSON object a line, {time, step, total_steps, epoch, loss, valid_loss,
--             learning_rate, accuracy, message}, all of them optional (tail.lua)
-- {dir}       the job's own folder, in which it runs
-- {model}     the model to go on from: a local one's folder, or the name that `model` has
-- {seed}, {suffix}  of create_job
-- {NAME}      the hyperparameter NAME; {{NAME}} is {NAME}, as it is
-- A placeholder that has no value is an error; so is a hyperparameter, a seed or a validation file that the command
-- does not use, for it would change nothing. Checkpoints are folders {output}/checkpoint-N, and no part of the model.
--
-- sample_command: {model} is the folder with what the trainer left; {prompt}, {max_tokens}, {temperature} are sample's
-- parameters. The prompt is also its standard input, or the messages as one line of JSON. What it prints is the text.

local core = require "finetune.core"
local models = require "finetune.store.models"
local store = require "finetune.store"
local tail = require "finetune.tail"

local function invalid(param, format, ...)
  return nil, core.error {kind = "invalid", param = param, message = format:format(...)}
end

-- ---- placeholders ----

local function as_text(value)
  if math.type(value) == "float" then return ("%.14g"):format(value) end
  return tostring(value)
end

-- One word; used[name] is noted, and the first name without a value in used[1]
local function expand(word, values, used)
  return (word:gsub("({?){(%a[%w_]*)}(}?)", function(before, name, behind)
    if before ~= "" and behind ~= "" then return "{" .. name .. "}" end
    used[name] = true
    if values[name] == nil then used[1] = used[1] or name end
    return before .. as_text(values[name]) .. behind
  end))
end

-- -> the argument vector, the names that are used | nil, err
local function fill(what, command, values)
  local argv, used = {}, {}
  for i, word in ipairs(command) do
    argv[i] = expand(word, values, used)
    if argv[i]:find "%z" then return invalid(what, "%s[%d] has a NUL in a value, which no program can get", what, i) end
  end
  if used[1] then
    return invalid(what, "%s has {%s}, which has no value here: a hyperparameter of that name, a seed, or a "
      .. "validation file was not given", what, used[1])
  end
  return argv, used
end

-- A command as a user gives it -> true | nil, err
local function check_command(what, command)
  if type(command) ~= "table" or #command == 0 then
    return invalid(what, "%s must be an array of strings: the program and its arguments, with placeholders such as "
      .. "{training} and {output}", what)
  end
  for i, word in ipairs(command) do
    if type(word) ~= "string" or word:find "%z" then return invalid(what, "%s[%d] must be a string", what, i) end
  end
  return true
end

-- ---- the recipe ----

local R = {
  name = "command",
  description = "any trainer, by its command line",
  models = {{id = "command", description = "a trainer of your own: `command` is its argument vector"}},
  any_model = true,
  checkpoints = true,
}

local KNOWN = {command = true, sample_command = true, hyperparameters = true, seed = true}
local OWN = {training = true, validation = true, output = true, events = true, dir = true, model = true, seed = true,
  suffix = true} -- names in argv that no hyperparameter can have

function R.settings(ctx, p)
  for name in pairs(p) do
    if not KNOWN[name] then return invalid(name, "%s is not known to the recipe 'command'", name) end
  end
  local command, sample = p.command or ctx.config.command, p.sample_command or ctx.config.sample_command
  local ok, err = check_command("command", command)
  if ok and sample then ok, err = check_command("sample_command", sample) end
  if not ok then return nil, err end
  for name, value in pairs(p.hyperparameters or {}) do
    if type(name) ~= "string" or type(value) == "table" or type(value) == "function" then
      return invalid("hyperparameters", "hyperparameters must be names and plain values")
    elseif OWN[name] then
      return invalid("hyperparameters." .. name, "{%s} has a value of its own: give the hyperparameter another name",
        name)
    end
  end
  return {command = command, sample_command = sample, hyperparameters = p.hyperparameters}
end

-- What was given must be used -> true | nil, err
local function all_used(job, used)
  local given = {seed = job.seed, validation = job.validation, training = job.training, model = job.base}
  for name, value in pairs(job.settings.hyperparameters or {}) do given[name] = value end
  for name in pairs(given) do
    if not used[name] then
      return invalid(name, "the command has no {%s}: it would make no difference (put it in, or leave it out)", name)
    end
  end
  return true
end

function R.steps(job)
  local values = {}
  for name, value in pairs(job.settings.hyperparameters or {}) do values[name] = value end
  values.training, values.validation, values.output, values.dir = job.training, job.validation, job.out, job.dir
  values.events, values.seed, values.suffix = job.dir .. "/events.jsonl", job.seed, job.suffix
  values.model = job.base and job.base.dir or job.model
  local argv, used = fill("command", job.settings.command, values)
  if not argv then return nil, used end
  local ok, err = all_used(job, used)
  if not ok then return nil, err end
  return {{argv = argv}}
end

function R.result(job)
  local left = 0
  for _, name in ipairs(core.list_dir(job.out) or {}) do left = left + (models.is_checkpoint(name) and 0 or 1) end
  if left == 0 then
    return nil, core.error {kind = "job", message = "the command left nothing in {output} (but for checkpoints): "
      .. "there is no model"}
  end
  local last = tail.file(job.dir .. "/events.jsonl", nil, 1)[1]
  return {metrics = last and last.data}
end

local SAMPLE = {"prompt", "max_tokens", "temperature"}

function R.sample(model, p)
  local command = p.sample_command or store.object(model.settings).sample_command
  if not command then
    return invalid("sample_command", "this model has no sample_command: give one to sample, or to create_job")
  end
  local ok, err = check_command("sample_command", command)
  if not ok then return nil, err end
  local values = {model = model.dir}
  for _, name in ipairs(SAMPLE) do values[name] = p[name] end
  local argv, used = fill("sample_command", command, values)
  if not argv then return nil, used end
  for _, name in ipairs {"max_tokens", "temperature"} do
    if p[name] and not used[name] then return invalid(name, "the sample_command has no {%s}", name) end
  end
  if p.prompt then return {argv = argv, stdin = p.prompt} end
  local encoded, text = pcall(core.encode, p.messages)
  if not encoded then return invalid("messages", "messages %s", text) end
  return {argv = argv, stdin = text .. "\n"}
end

function R.parse(output) return {text = (output:gsub("\n$", ""))} end

return R
