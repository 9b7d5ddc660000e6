-- inventory: everything of an account; with DIR, a copy of it. What fails is told at the
-- end; the rest goes on.

local archives = require "finetune.cli.archive"
local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local finetune = require "finetune"
local listing = require "finetune.cli.listing"
local progress = require "finetune.cli.progress"
local show = require "finetune.cli.show"
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

-- A part of a job (its events, say), once: all that f gives. What a job of that kind never has is no failure.
local function put_part(archive, provider, job, noun, f)
  local kind = "job-" .. noun
  if not provider:supports("list_" .. noun) or archive:has(kind, job.id, job.status) then return end
  local ok, list_of = pcall(f)
  if ok then return archive:put(kind, job.id, list_of, job.status) end
  if type(list_of) ~= "table" or list_of.kind ~= "unsupported" then error(list_of, 0) end
end

local function all_of(provider, job, noun)
  return function()
    local list_of = core.array {}
    for item in provider[noun](provider, {job_id = job.id}) do list_of[#list_of + 1] = item.raw or item end
    return list_of
  end
end

local function metrics_of(provider, job)
  return function()
    local page, err = provider:list_metrics(job.id)
    return fields.array("metric", errors.check(page, err).data)
  end
end

-- What has ended changes no more; what has not is fetched again by the next run
local function put_job(archive, provider, job)
  local mark = show.FINISHED[job.status] and job.status or "going"
  if mark == "going" or not archive:has("job", job.id, mark) then archive:put("job", job.id, job.raw or job, mark) end
  if mark == "going" then return end
  for _, noun in ipairs {"events", "checkpoints"} do
    put_part(archive, provider, job, noun, all_of(provider, job, noun))
  end
  put_part(archive, provider, job, "metrics", metrics_of(provider, job))
end

local function put_file(archive, provider, file)
  if not archive:has("file", file.id) then archive:put("file", file.id, file.raw or file) end
  if not provider:supports "download_file" or archive:has("content", file.id) then return end
  local path = archive:path("content", file.id, text.clean(file.filename or ""):match "%.%w+$" or "")
  local got, err = provider:download_file(file.id, {output = archive.folder .. "/" .. path})
  errors.check(got, err)
  archive:add("content", file.id, path)
end

local function put_model(archive, _, model)
  local mark = model.shutdown_date or "none"
  if not archive:has("model", model.id, mark) then archive:put("model", model.id, model.raw or model, mark) end
end

local PUT = {file = put_file, job = put_job, model = put_model}

local function failure(failed, task, err)
  if type(err) ~= "table" or err.kind == "output" then error(err, 0) end
  failed[#failed + 1] = {kind = task[1], id = task[2].id, op = err.op, message = errors.words(err)}
end

-- -> array of failures
local function export(ui, provider, all, archive)
  local tasks, failed, done = {}, {}, 0
  for _, kind in ipairs {"file", "job", "model"} do
    for _, item in ipairs(all[kind .. "s"]) do tasks[#tasks + 1] = {kind, item} end
  end
  local bar <close> = progress.new(ui, "copying", text.count)
  local _, failures = finetune.map(tasks, function(task)
    local ok, err = pcall(PUT[task[1]], archive, provider, task[2])
    done = done + 1
    bar:set(done, #tasks)
    if not ok then failure(failed, task, err) end
    return true
  end, {concurrency = CONCURRENCY})
  for _, err in pairs(failures) do error(err, 0) end
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
