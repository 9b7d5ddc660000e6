-- jobs: the list of jobs, of one provider or of several.

local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local show = require "finetune.cli.show"
local text = require "finetune.cli.text"

local M = {}

local SHOWN, PAGE = 20, 100
local STATUSES = "pending validating queued running paused finalizing cancelling succeeded failed cancelled"

local function is(word, wanted) return type(word) == "string" and word:lower() == wanted end

-- Those with the status, at most `most`
local function collect(provider, status, most)
  if not status then return listing.all(provider, "jobs", {limit = most or PAGE}, most) end
  local list, wanted = {}, status:lower()
  for _, job in ipairs(listing.all(provider, "jobs", {limit = PAGE})) do
    if is(job.status, wanted) or is(job.raw_status, wanted) then list[#list + 1] = job end
    if #list == most then break end
  end
  return list
end

local function row_of(job, provider, several)
  local row = {job.id, show.status(job.status), text.time(job.created_at), job.model,
    job.fine_tuned_model or job.suffix}
  if several then table.insert(row, 1, provider) end
  return row
end

-- One that is none of ours may be the service's own, or a slip
local function status_words(status)
  local word = text.clean(status)
  if (" " .. STATUSES .. " "):find(" " .. word:lower() .. " ", 1, true) then return word end
  return ("%s (there are: %s, and the service's own words)"):format(word, STATUSES:gsub(" ", ", "))
end

function M.run(ui, args)
  local names, rows = ui:provider_names(), {}
  local docs, most = require("finetune.core").array {}, not args.all and SHOWN or nil
  for _, name in ipairs(names) do
    for _, job in ipairs(collect(ui:provider(name), args.status, most)) do
      docs[#docs + 1] = fields.document("job", job, {provider = name})
      rows[#rows + 1] = row_of(job, name, #names > 1)
    end
  end
  ui:document {jobs = docs}
  if #rows == 0 then
    return ui:note("There are no jobs%s.", args.status and " with the status " .. status_words(args.status) or "")
  end
  local head = {"job", "status", "created", "model", "tuned model"}
  if #names > 1 then table.insert(head, 1, "provider") end
  ui:columns(head, rows, #head)
  if most and #rows == most then ui:note("The %d newest; --all lists all of them.", most) end
end

return M
