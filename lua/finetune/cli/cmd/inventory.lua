-- inventory: everything of an account; with DIR, a copy of it. What fails is told at the
-- end; the rest goes on.

local archives = require "finetune.cli.archive"
local copy = require "finetune.cli.copy"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local finetune = require "finetune"
local listing = require "finetune.cli.listing"
local progress = require "finetune.cli.progress"
local text = require "finetune.cli.text"

local M = {}

local CONCURRENCY = 4

-- ---- what there is ----

local function list(provider, noun, lacks)
  if not provider:supports("list_" .. noun) then
    lacks[#lacks + 1] = noun
    return {}
  end
  return listing.all(provider, noun, {})
end

local function collect(provider)
  local lacks = {}
  return {files = list(provider, "files", lacks), jobs = list(provider, "jobs", lacks),
    models = list(provider, "models", lacks), lacks = lacks}
end

local function counts(jobs)
  local by, parts = {}, {}
  for _, job in ipairs(jobs) do
    local status = text.clean(job.status or "unknown")
    by[status] = (by[status] or 0) + 1
  end
  for status, n in pairs(by) do parts[#parts + 1] = ("%d %s"):format(n, status) end
  table.sort(parts)
  return #parts > 0 and ": " .. table.concat(parts, ", ") or ""
end

local function summary(ui, provider, all)
  local bytes, rows = 0, {}
  for _, file in ipairs(all.files) do bytes = bytes + (tonumber(file.bytes) or 0) end
  ui:line("%s", ui:paint("bold", provider.name))
  ui:line("  %s, %s", text.plural(#all.files, "file"), text.bytes(bytes))
  ui:line("  %s%s", text.plural(#all.jobs, "job"), counts(all.jobs))
  ui:line("  %s", text.plural(#all.models, "model"))
  for _, model in ipairs(all.models) do
    if model.shutdown_date then rows[#rows + 1] = {model.id, {model.shutdown_date, "yellow"}} end
  end
  if #rows > 0 then
    ui:line()
    ui:columns({"model", "until"}, rows, 1)
  end
  if #all.lacks > 0 then ui:note("%s lists no %s.", provider.name, table.concat(all.lacks, ", ")) end
end

-- ---- the copy ----

-- What is fetched by one thing is there for the next: a job's results file is a file
local ORDER = {{"file", "model"}, {"job"}}

local function failure(failed, task, err)
  if type(err) ~= "table" or err.kind == "output" then error(err, 0) end
  failed[#failed + 1] = {kind = task[1], id = task[2].id, op = err.op, message = errors.words(err)}
end

-- Runs copy[kind](archive, provider, item) for each task, {kind, item}
local function copy_all(provider, archive, tasks, failed, told)
  local _, failures = finetune.map(tasks, function(task)
    local ok, err = pcall(copy[task[1]], archive, provider, task[2])
    told()
    if not ok then failure(failed, task, err) end
    return true
  end, {concurrency = CONCURRENCY})
  for _, err in pairs(failures) do error(err, 0) end
end

-- -> array of failures
local function export(ui, provider, all, archive)
  local failed, done, total = {}, 0, #all.files + #all.jobs + #all.models
  local bar <close> = progress.new(ui, "copying", text.count)
  for _, kinds in ipairs(ORDER) do
    local tasks = {}
    for _, kind in ipairs(kinds) do
      for _, item in ipairs(all[kind .. "s"]) do tasks[#tasks + 1] = {kind, item} end
    end
    copy_all(provider, archive, tasks, failed, function()
      done = done + 1
      bar:set(done, total)
    end)
  end
  bar:finish()
  archive:finish()
  return failed
end

local function tell_copy(ui, archive, failed)
  ui:line("  %s copied to %s, %s there already", text.plural(#archive.added, "thing"), text.clean(archive.folder),
    text.count(archive.kept))
  for _, f in ipairs(failed) do
    ui:note("%s %s could not be copied: %s", f.kind, text.clean(f.id), f.message)
  end
end

function M.run(ui, args)
  local provider = ui:provider()
  local all = collect(provider)
  local doc = {}
  for _, kind in ipairs {"file", "job", "model"} do
    doc[kind .. "s"] = fields.array(kind, all[kind .. "s"], {provider = provider.name})
  end
  summary(ui, provider, all)
  if not args.dir then return ui:document(doc) end
  ui.interrupted = "What is copied is kept; the same command goes on from there."
  local archive <close> = archives.open(args.dir)
  local failed = export(ui, provider, all, archive)
  doc.exported, doc.failed = fields.array("export", archive.added), fields.array("failure", failed)
  doc.kept, doc.manifest = archive.kept, archive.manifest
  ui:document(doc)
  tell_copy(ui, archive, failed)
  return #failed > 0 and errors.SERVICE or errors.DONE
end

return M
