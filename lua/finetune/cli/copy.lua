-- copy.lua: things of an account into an archive, each fetched once: what is noted down there
-- is not asked for again, and a job's metrics are made of the copies of what they are in.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local finetune = require "finetune"
local metrics = require "finetune.metrics"
local pages = require "finetune.pages"
local show = require "finetune.cli.show"
local text = require "finetune.cli.text"

local M = {}

local RESULTS_MAX = 64 * 1024 * 1024 -- bytes of a results file that metrics are read from
-- What a job of that kind never has is no failure, nor are results that the service keeps no longer
local NEVER, GONE = {unsupported = true}, {unsupported = true, not_found = true}

-- ---- files and models ----

-- -> the path of its content in the archive. Raises.
local function put_content(archive, provider, file)
  local path = archive:path("content", file.id, text.clean(file.filename or ""):match "%.%w+$" or "")
  local whole = archive.folder .. "/" .. path
  local there = not archive:knows("content", file.id) and core.file_info(whole)
  -- a download appears whole or not at all: one that is there was only not noted down
  if not (there and there.size == file.bytes) then errors.check(provider:download_file(file.id, {output = whole})) end
  archive:add("content", file.id, path)
  return path
end

function M.file(archive, provider, file)
  if not archive:has("file", file.id) then archive:put("file", file.id, file.raw or file) end
  if not provider:supports "download_file" or archive:has("content", file.id) then return end
  put_content(archive, provider, file)
end

function M.model(archive, _, model)
  local mark = model.shutdown_date or "none"
  if not archive:has("model", model.id, mark) then archive:put("model", model.id, model.raw or model, mark) end
end

-- ---- a job's metrics ----

-- Has the provider a way of its own to list metrics? Else the library puts them together, from the results file,
-- the events and the checkpoints: all of that is copied anyway.
local function lists_metrics(name)
  local P = finetune.get_provider(name)
  while type(P) == "table" do
    if P.list_metrics ~= nil then return true end
    P = type(P.base) == "string" and finetune.get_provider(P.base)
  end
  return false
end

-- f(...), or nil where it raises one of those kinds
local function unless(kinds, f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if type(value) ~= "table" or not kinds[value.kind] then error(value, 0) end
end

local function results_text(archive, provider, job)
  local id = type(job.result_files) == "table" and job.result_files[1]
  if type(id) == "table" then id = id.id end
  if type(id) ~= "string" or not provider:supports "download_file" then return nil end
  local path = archive:find("content", id) or unless(GONE, put_content, archive, provider, {id = id})
  local file <close> = path and io.open(archive.folder .. "/" .. path, "rb")
  return file and file:read(RESULTS_MAX)
end

-- The same rows as list_metrics gives, of what was fetched: the results file counts before the events, they before
-- the checkpoints
local function rows_of(items)
  local steps, list = {}, {}
  if items.csv then metrics.add_csv(steps, items.csv) end
  for _, row in pairs(steps) do list[#list + 1] = row end
  for _, event in ipairs(items.events or {}) do
    if event.type == "metrics" then list[#list + 1] = event.data end
  end
  for _, checkpoint in ipairs(items.checkpoints or {}) do
    if type(checkpoint.metrics) == "table" then
      list[#list + 1] = {step = checkpoint.step}
      for name, value in pairs(checkpoint.metrics) do list[#list][name] = value end
    end
  end
  return core.context.metric_rows(list)
end

local function asked_rows(provider, job) return errors.check(provider:list_metrics(job.id)).data end

-- ---- jobs ----

local STALE = {invalid = true, not_found = true} -- what a service may say of a cursor of long ago

-- A whole list; each of its pages is noted down as it comes, and the next run goes on behind the last one
local function all_of(archive, provider, job, noun)
  local kind, operation = "job-" .. noun, "list_" .. noun
  local list, after, whole = archive:pages(kind, job.id)
  if whole then return list end
  local cursor
  local next_page = pages.pages(operation, function(at)
    local page, err = provider[operation](provider, {job_id = job.id, after = at})
    cursor = page and page.has_more and page.next or nil
    return page, err
  end, after)
  local items, err = next_page()
  if err and after and STALE[err.kind] then
    archive:forget_pages(kind, job.id)
    return all_of(archive, provider, job, noun)
  end
  while items do
    archive:keep_page(kind, job.id, items, cursor)
    table.move(items, 1, #items, #list + 1, list)
    items, err = next_page()
  end
  if err then error(err, 0) end
  return list
end

local function raw_of(items)
  local list = core.array {}
  for i, item in ipairs(items) do list[i] = item.raw or item end
  return list
end

-- Events, checkpoints and metrics, in one go: metrics are made of the others. Where the results file cannot be had
-- now, the next run makes them.
local function put_parts(archive, provider, job)
  local lacks, items, parts = {}, {}, {}
  for _, noun in ipairs {"events", "checkpoints", "metrics"} do
    lacks[noun] = provider:supports("list_" .. noun) and not archive:has("job-" .. noun, job.id, job.status)
  end
  local function add(noun, doc)
    if lacks[noun] and doc then parts[#parts + 1] = {"job-" .. noun, job.id, doc, job.status} end
  end
  local together, got, failed = lacks.metrics and not lists_metrics(provider.name), true, nil
  if together then got, failed = pcall(results_text, archive, provider, job) end
  items.csv = got and failed
  for _, noun in ipairs {"events", "checkpoints"} do
    if lacks[noun] or together and got and provider:supports("list_" .. noun) then
      items[noun] = unless(NEVER, all_of, archive, provider, job, noun)
      add(noun, items[noun] and raw_of(items[noun]))
    end
  end
  local rows = lacks.metrics and got and (together and rows_of(items) or unless(NEVER, asked_rows, provider, job))
  add("metrics", rows and fields.array("metric", rows))
  archive:put_all(parts)
  for _, noun in ipairs {"events", "checkpoints"} do
    if got or not together then archive:forget_pages("job-" .. noun, job.id) end -- metrics may be made of them yet
  end
  if not got then error(failed, 0) end
end

-- What has ended changes no more; what has not is fetched again by the next run
function M.job(archive, provider, job)
  local mark = show.FINISHED[job.status] and job.status or "going"
  if mark == "going" or not archive:has("job", job.id, mark) then archive:put("job", job.id, job.raw or job, mark) end
  if mark ~= "going" then put_parts(archive, provider, job) end
end

return M
