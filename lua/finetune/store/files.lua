-- files.lua: the training files of a store (store.lua): files/ID/{file.json, data.jsonl}.
-- What fails is raised as an error value, for the operations of a provider.

local core = require "finetune.core"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"

local M = {}
local text, number, seconds = stores.text, stores.number, stores.seconds

local function to_file(id, doc, size)
  local whole = size ~= nil and size == doc.bytes
  return {id = id, filename = text(doc.filename), bytes = number(doc.bytes), purpose = text(doc.purpose),
    created_at = seconds(doc.created_at), status = whole and "processed" or "error",
    error = not whole and "its data is not what was stored" or nil, raw = doc}
end

-- -> the file, or nil (there is none), or nil, err
function M.load(store, id)
  if not stores.valid(id) then return nil end
  local dir = store:path("files", id)
  local doc, words = stores.read_json(dir .. "/file.json")
  if not doc then
    if words then return stores.failed(words) end
    return nil
  end
  local found = core.fs.stat(dir .. "/data.jsonl")
  return to_file(id, doc, found and found.size)
end

function M.need(store, id)
  local file, err = M.load(store, id)
  if file then return file end
  if err then error(err, 0) end
  local _, missing = stores.missing("file", id)
  if core.file_info(id) then missing.message = missing.message .. ", but one on this disk: upload_file takes it, and "
    .. "what it returns is the file that is meant" end
  error(missing, 0)
end

-- Where its bytes are
function M.path(store, id) return store:path("files", id) .. "/data.jsonl" end

-- The examples, checked and copied in one pass; or any bytes -> what the report says
local function take_data(ctx, p, path)
  local checked = p.check ~= false and (p.purpose or "fine-tune") == "fine-tune"
  if not checked then
    assert(ctx.file_info(p.path))
    assert(stores.copy(p.path, path, stores.pauser(ctx)))
    return {}
  end
  local report, err = ctx.provider:prepare_data {path = p.path, output = path}
  if not report then
    err.op = "upload_file" -- which is what was called
    error(err, 0)
  end
  return {format = report.format, examples = report.written}
end

function M.upload(ctx, store, p)
  if p.expires_after then return ctx.fail("invalid", "expires_after: files of this machine stay until delete_file") end
  local stage <close> = assert(store:stage "files")
  local path = stage.dir .. "/data.jsonl"
  local found = take_data(ctx, p, path)
  local size = assert(ctx.file_info(path)).size
  local id = store:new_name("files", "file-")
  local doc = {id = id, filename = p.filename or p.path:match "[^/]*$", purpose = p.purpose or "fine-tune",
    bytes = size, created_at = seconds(core.wall()), format = found.format, examples = found.examples}
  if not utf8.len(doc.filename) then doc.filename = supervise.plain(doc.filename, 255) end
  assert(stores.write_json(stage.dir .. "/file.json", doc))
  assert(store:publish(stage, id))
  if p.on_progress then p.on_progress(size, size) end
  return to_file(id, doc, size)
end

function M.list(ctx, store, p)
  return store:page(ctx, p, "files", function(id) return M.load(store, id) end,
    p.purpose and function(file) return file.purpose == p.purpose end)
end

function M.remove(store, p)
  M.need(store, p.file_id)
  assert(store:remove("files", p.file_id))
  return {id = p.file_id, deleted = true}
end

function M.download(ctx, store, p)
  local file = M.need(store, p.file_id)
  local path, most = M.path(store, p.file_id), p.max_bytes or math.huge
  if file.status ~= "processed" then return ctx.fail("data", "%s: %s", file.id, file.error) end
  if file.bytes > most then return ctx.fail("decode", "the file has %d bytes, more than %d", file.bytes, most) end
  if not p.output then
    local source <close> = core.fs.open(path)
    return source and source:read "a" or stores.missing("file", p.file_id)
  end
  local part = ("%s.%s.part"):format(p.output, core.random_token():sub(1, 8))
  local _ <close> = setmetatable({}, {__close = function() os.remove(part) end})
  assert(stores.copy(path, part, stores.pauser(ctx)))
  local ok, words = core.fs.rename(part, p.output)
  if not ok then return ctx.fail("data", "%s", words) end
  if p.on_progress then p.on_progress(file.bytes, file.bytes) end
  return {path = p.output, bytes = file.bytes}
end

return M
