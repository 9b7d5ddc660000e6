-- tune: from a file to a job: it is checked, what will happen is shown, and only what was
-- agreed to is done.

local beforehand = require "finetune.cli.beforehand"
local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local files = require "finetune.cli.cmd.files"
local findings = require "finetune.cli.findings"
local inspect = require "finetune.cli.inspect"
local interrupt = require "finetune.cli.interrupt"
local output = require "finetune.cli.output"
local plans = require "finetune.cli.plan"
local price = require "finetune.cli.price"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local GZIP = "\x1f\x8b"
local SHOWN = 3 -- findings of each rule
local NOTHING = "Nothing was sent."

-- ---- the data ----

-- Bad data are not sent
local function refuse(ui, provider, path, report, err)
  findings.write(ui, report, SHOWN)
  findings.summary(ui, report)
  if err and not inspect.is_verdict(report, err) then errors.check(nil, err) end
  local first = report.errors[1]
  errors.advise("data", ("finetune%s check %s   (all of it)"):format(ui:again(provider), text.shell_word(path)),
    "%s of %s has %s%s; nothing was sent", "the data", text.clean(path), text.plural(report.error_count, "error"),
    ui.json and first and (", the first in line %d: %s"):format(first.line, text.clean(first.message)) or "")
end

-- What is sent is the file as it is: it has to be JSONL, and no archive
local function check_plain(path)
  local file <close>, words = core.fs.open(path)
  if not file then errors.fail("data", "%s", text.clean(words)) end
  if file:read(#GZIP) == GZIP then
    errors.advise("data", ("finetune prepare %s -o train.jsonl"):format(text.shell_word(path)), "%s is compressed, and "
      .. "would be sent as it is", text.clean(path))
  end
end

local function look(ui, provider, params)
  local path = params.path[1]
  check_plain(path)
  params.input = "jsonl"
  local report, err = inspect.look(ui, provider, params, "checking " .. text.clean(path))
  if err or report.error_count > 0 then refuse(ui, provider, path, report, err) end
  return report
end

-- What is known of files here
local function of_files(ui, provider, args, params, plan)
  for _, path in ipairs {args.file, args.validation} do files.check_file(path) end
  if args.validation then
    plan.validation_examples = look(ui, provider, {path = {args.validation}}).examples
  end
  local report = look(ui, provider, {path = {args.file}, validation_path = args.validation, tokens = true,
    vocabulary = inspect.vocabulary(ui, params.model, args.exact)})
  plan.examples, plan.bytes, plan.format = report.examples, core.file_info(args.file).size, report.format
  plan.rules = report.rules
  plan.error_count, plan.warning_count = report.error_count, report.warning_count
  plan.cost = price.of_file(report, provider, {model = params.model, path = args.file, epochs = plans.epochs(params),
    method = params.method, hyperparameters = params.hyperparameters})
end

-- What is known of files that the service has
local function of_ids(provider, args, plan)
  for _, id in ipairs {args.file, args.validation} do
    local file, err = provider:get_file(id)
    file = errors.check(file, err, id)
    if id == args.file then plan.bytes = tonumber(file.bytes) end
  end
end

local function make_plan(ui, provider, args, params)
  local plan = {provider = provider.name, instance = provider, url = plans.url(ui, provider), training = args.file,
    validation = args.validation}
  for _, name in ipairs {"model", "suffix", "seed", "method", "hyperparameters", "extra"} do
    plan[name] = params[name]
  end
  if args.uploaded then of_ids(provider, args, plan) else of_files(ui, provider, args, params, plan) end
  return plan
end

-- ---- asking ----

-- Can anybody answer?
local function is_talking(ui) return not ui.json and term.is_terminal(0) and term.is_terminal(2) end

-- A line from the terminal, asked for and read by a shell: Ctrl-C ends that, while it would only be noted in a read of
-- our own. Once the question is there, the shell is, too
local function read_line(question)
  interrupt.check()
  local pipe <close> = io.popen(([[printf %%s %s >&2; IFS= read -r line && printf '%%s\n' "$line"]]):format(
    text.shell_word(question)), "r")
  local line = pipe and pipe:read "l"
  interrupt.check()
  return line
end

-- true, or false for anything but yes
local function ask(ui, question)
  output.flush()
  local answer = read_line((ui:term().utf8 and question or term.plain(question)) .. " [y/N] ")
  if not answer then io.stderr:write "\n" end
  answer = (answer or ""):lower():match "^%s*(.-)%s*$"
  return answer == "y" or answer == "yes"
end

local function cancelled(words, ...)
  error(errors.new {kind = "cancelled", message = words:format(...)}, 0)
end

local function refuse_silence(why)
  errors.advise("usage", "the same command with --yes", "this uploads files and creates a job, and there is nobody to "
    .. "ask: %s; nothing was sent", why)
end

-- What was shown has to have arrived, before anything is done: a full disk, or a reader who has gone
local function must_show()
  local ok, err = pcall(output.flush)
  if not ok then errors.fail("output", "%s; nothing was sent", errors.as_table(err).message) end
end

local function agree(ui, args, plan)
  if args.yes then return end
  if not is_talking(ui) then refuse_silence "this is no terminal" end
  ui:line ""
  local where = args.uploaded and "Create the job" or "Upload, and create the job"
  if not ask(ui, ("%s at %s?"):format(where, plan.provider)) then cancelled("%s", "not agreed to: nothing was sent") end
end

-- For what ends after the upload: how to go on without another one
local function again(ui, provider, args, params)
  if args.uploaded then return nil end
  local validation = params.validation_file and " --validation " .. text.shell_word(params.validation_file) or ""
  return ("finetune%s tune --uploaded %s%s --model %s …   (the files stay there)"):format(ui:again(provider),
    text.shell_word(params.training_file), validation, text.shell_word(params.model))
end

local function rm_words(ui, provider, params)
  local words = ("finetune%s rm %s"):format(ui:again(provider), text.shell_word(params.training_file))
  return params.validation_file and words .. " " .. text.shell_word(params.validation_file) or words
end

-- Nobody agrees to what the account may not pay: the service would only refuse it later, or bill it
local function refuse_price(ui, provider, params, said)
  errors.advise("quota", ("%s   (or raise the account's limit, then tune --uploaded)"):format(
    rm_words(ui, provider, params)), "%s estimates %s, which is more than the account may spend; no job was created, "
    .. "and %s stays there", provider.name, price.money(said.total, said.currency), text.clean(params.training_file))
end

-- A price that the service says only now is agreed to on its own
local function agree_price(ui, args, provider, params)
  local said, words = price.ask(provider, {model = params.model, training_file = params.training_file,
    method = params.method, hyperparameters = params.hyperparameters})
  if not said then return ui:note("%s does not say what it costs: %s", provider.name, words) end
  if said.allowed == false then refuse_price(ui, provider, params, said) end
  ui:note("%s estimates %s.", provider.name, price.money(said.total, said.currency))
  if args.yes or said.total == 0 then return end
  if not ask(ui, "Create the job for that?") then
    cancelled("not agreed to: no job was created; the file stays: %s", rm_words(ui, provider, params))
  end
end

-- Is the price known only by the service, once it has the file?
local function asks_price(provider, args, plan)
  if args.uploaded then return provider.name ~= "local" and provider:supports "estimate_cost" end
  return plan.cost and plan.cost.ask
end

-- ---- doing it ----

-- An error value with more fields laid over
local function told_more(err, more)
  local told = {}
  for name, value in pairs(err) do told[name] = value end
  for name, value in pairs(more) do told[name] = value end
  return error(errors.new(told), 0)
end

-- The validation file: where it does not arrive, the first one is there all the same
local function upload_second(ui, provider, args, params)
  local ok, file = pcall(files.send, ui, provider, args.validation, {})
  if ok then return file.id end
  if type(file) ~= "table" then error(file, 0) end
  local id = text.shell_word(params.training_file)
  return told_more(file, {message = ("%s; no job was created, and %s is uploaded: %s"):format(errors.words(file),
    text.clean(args.file), text.clean(params.training_file)),
    next = ("finetune%s upload %s, then tune --uploaded %s --validation ITS-ID --model %s …   (or %s)"):format(
      ui:again(provider), text.shell_word(args.validation), id, text.shell_word(params.model),
      rm_words(ui, provider, params))})
end

local function upload(ui, provider, args, params)
  if args.uploaded then
    params.training_file, params.validation_file = args.file, args.validation
    return
  end
  ui.interrupted = "The upload is stopped; no job was created."
  params.training_file = files.send(ui, provider, args.file, {}).id
  ui:note("%s is uploaded: %s", text.clean(args.file), text.clean(params.training_file))
  if not args.validation then return end
  ui.interrupted = ("%s; %s stays there: %s"):format(ui.interrupted:gsub("%.$", ""), text.clean(params.training_file),
    rm_words(ui, provider, params))
  params.validation_file = upload_second(ui, provider, args, params)
  ui:note("%s is uploaded: %s", text.clean(args.validation), text.clean(params.validation_file))
end

local function create(ui, provider, args, params)
  ui.interrupted = ("It is not known whether the job was created. To see: finetune%s jobs"):format(ui:again(provider))
  local job, err = provider:create_job(params)
  if job then return job end
  if err.kind == "conflict" then
    errors.advise("conflict", ("finetune%s jobs   (is it there?)"):format(ui:again(provider)), "%s",
      text.clean(err.message))
  end
  local keeps = err.kind ~= "auth" and err.kind ~= "config" and err.kind ~= "permission"
  return told_more(err, {next = keeps and again(ui, provider, args, params) or nil})
end

local function tell(ui, provider, plan, job)
  ui:document {plan = fields.document("plan", plan, {cost = plan.cost and fields.document("cost", plan.cost)}),
    job = fields.document("job", job, {provider = provider.name})}
  local words, id = "finetune" .. ui:again(provider), text.shell_word(job.id)
  ui:line("%s is created: %s", ui:paint("bold", text.clean(job.id)), text.clean(job.status))
  return function()
    ui:note("To watch it:  %s watch %s\nTo cancel it: %s cancel %s", words, id, words, id)
  end
end

function M.run(ui, args)
  local params = plans.params(args)
  if ui.json and not args.yes then refuse_silence "--json is for programs" end
  ui.interrupted = NOTHING
  local provider = ui:provider()
  beforehand.parameters(ui, provider, params, args.validation)
  local plan = make_plan(ui, provider, args, params)
  if not (ui.quiet and args.yes) then plans.write(ui, plan) end
  plans.check_format(ui, plan)
  must_show()
  agree(ui, args, plan)
  if not args.uploaded then beforehand.model(ui, provider, params.model) end
  upload(ui, provider, args, params)
  if asks_price(provider, args, plan) then agree_price(ui, args, provider, params) end
  local job = create(ui, provider, args, params)
  local how = tell(ui, provider, plan, job)
  ui.interrupted = nil
  if not args.follow then return how() end
  output.flush()
  return require("finetune.cli.cmd.watch").follow(ui, {{provider, job.id}}, {})
end

return M
