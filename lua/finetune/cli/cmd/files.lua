-- files, upload, download, rm: files of the service.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local output = require "finetune.cli.output"
local progress = require "finetune.cli.progress"
local text = require "finetune.cli.text"

local M = {}

function M.run(ui, args)
  local provider, rows = ui:provider(), {}
  local list = listing.all(provider, "files", {purpose = args.purpose})
  for i, f in ipairs(list) do
    rows[i] = {f.id, f.filename, text.bytes(f.bytes), f.purpose, f.status, text.time(f.created_at)}
  end
  ui:document {files = fields.array("file", list, {provider = provider.name})}
  if #rows == 0 then return ui:note "There are no files." end
  ui:columns({"file", "name", ">size", "purpose", "status", "created"}, rows, 2)
end

-- ---- upload ----

-- What is no file is said before anything is sent
function M.check_file(path)
  local info, words = core.file_info(path)
  if not info then errors.fail("data", "%s", text.clean(words)) end
  if info.size == 0 then errors.fail("data", "%s is empty", text.clean(path)) end
end

-- -> the file; raises. args: purpose, wait
function M.send(ui, provider, path, args)
  local bar <close> = progress.new(ui, "uploading " .. text.clean(path), text.bytes)
  local file, err = provider:upload_file(path, {purpose = args.purpose, wait = args.wait or nil,
    on_progress = function(done, total) bar:set(done, total) end})
  bar:finish()
  return errors.check(file, err, path)
end

-- Closed, it writes the document {[name] = docs}: also where one of several failed, for what was done before that
local function at_the_end(ui, name, docs)
  return setmetatable({}, {__close = function(self)
    if self.whole or #docs > 0 then ui:document {[name] = docs} end
  end})
end

function M.upload(ui, args)
  local provider, docs = ui:provider(), core.array {}
  for _, path in ipairs(args.file) do M.check_file(path) end
  ui.interrupted = "The upload is stopped; no job was created."
  local told <close> = at_the_end(ui, "files", docs)
  for i, path in ipairs(args.file) do
    local file = M.send(ui, provider, path, args)
    docs[i] = fields.document("file", file, {provider = provider.name})
    ui:line("%s  %s  %s", text.clean(file.id), text.clean(path), text.bytes(file.bytes))
  end
  told.whole = true
end

-- ---- download ----

-- The service's name for a file as one for this folder: its last part, without what could be more than a name
function M.local_name(file, id)
  local name = text.clean(file.filename or ""):match "[^/\\]*$":gsub("^[%s.~-]+", "")
  return name ~= "" and name or (text.clean(id):gsub("[^%w._-]", "_"):gsub("^[.-]", "_"))
end

local function target(provider, args)
  local path = args.output
  if not path then
    local file, err = provider:get_file(args.id)
    path = M.local_name(errors.check(file, err, args.id), args.id)
  end
  if not args.force and core.fs.stat(path) then
    errors.advise("usage", "the same command with --force, or with -o PATH", "%s is there already", text.clean(path))
  end
  return path
end

local function to_stdout(provider, id)
  local content, err = provider:download_file(id)
  output.write(errors.check(content, err, id))
end

function M.download(ui, args)
  local provider = ui:provider()
  if args.output == "-" then
    if ui.json then errors.fail("usage", "--output - and --json both want standard output") end
    return to_stdout(provider, args.id)
  end
  local path = target(provider, args)
  local bar <close> = progress.new(ui, "downloading " .. text.clean(args.id), text.bytes)
  ui.interrupted = "The download is stopped; nothing was written."
  local got, err = provider:download_file(args.id, {output = path,
    on_progress = function(done, total) bar:set(done, total) end})
  bar:finish()
  got = errors.check(got, err, args.id)
  ui:document(fields.document("download", got, {provider = provider.name, id = args.id}))
  ui:line("%s  %s", text.clean(got.path), text.bytes(got.bytes))
end

-- ---- rm ----

function M.rm(ui, args)
  local provider, docs = ui:provider(), core.array {}
  local told <close> = at_the_end(ui, "deleted", docs)
  for i, id in ipairs(args.id) do
    local deleted, err = provider:delete_file(id)
    errors.check(deleted, err, id)
    docs[i] = fields.document("deleted", deleted, {provider = provider.name, id = id, deleted = true})
    ui:line("%s is deleted.", text.clean(id))
  end
  told.whole = true
end

return M
