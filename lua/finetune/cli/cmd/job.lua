-- status, cancel, pause, resume: one job.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local show = require "finetune.cli.show"
local text = require "finetune.cli.text"

local M = {}

local function tell(ui, job, provider)
  ui:document(fields.document("job", job, {provider = provider.name}))
end

function M.status(ui, args)
  local provider, id = ui:split(args.id)
  local job, err = provider:get_job(id)
  job = errors.check(job, err, id)
  tell(ui, job, provider)
  if not ui.json then show.job(ui, job, provider.name) end
end

local STATE = {invalid = true, conflict = true} -- what a service says where a job's state is in the way

-- What to do where that cannot be done to the job, as it is
local function advised(ui, provider, id, err)
  if type(err) ~= "table" or not STATE[err.kind] then return err end
  local told = {next = ("finetune%s status %s   (how it stands)"):format(ui:again(provider), text.shell_word(id))}
  for name, value in pairs(err) do told[name] = value end
  return errors.new(told)
end

local function change(op, done)
  return function(ui, args)
    local provider, id = ui:split(args.id)
    errors.need(provider, op, "cannot do that")
    local job, err = provider[op](provider, id)
    job = errors.check(job, job == nil and advised(ui, provider, id, err), id)
    tell(ui, job, provider)
    ui:line("%s %s: %s", text.clean(job.id), done, show.status_words(ui, job.status))
    if not show.FINISHED[job.status] then
      ui:note("To watch it: finetune%s watch %s", ui:again(provider), text.shell_word(id))
    end
  end
end

M.cancel = change("cancel_job", "is asked to stop")
M.pause = change("pause_job", "is asked to pause")
M.resume = change("resume_job", "is asked to go on")

return M
