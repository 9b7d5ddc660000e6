-- The dialect "together": files, and the ways in which they come. POST /files gives an address in the storage and the
-- file's id with a 302; POST /files/multipart/initiate gives one for each part; POST /files/upload takes a form.
local blob = require "service.blob"
local dialect = require "service.dialect"
local http = require "service.http"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local PURPOSES = {["fine-tune"] = true, eval = true, ["eval-sample"] = true, ["eval-output"] = true,
  ["eval-summary"] = true, ["batch-generated"] = true, ["batch-api"] = true}
local TYPES = {csv = true, jsonl = true, parquet = true}

local function is_processed(file) return file.ready_at ~= nil and store.now() >= file.ready_at end

function M.ready(file) return is_processed(file) and file.fate == "processed" end

-- The newer fields, where the setting has them
local function add_status(file, doc)
  if not store.settings.processing_status then return doc end
  local bad = file.fate == "error"
  doc.processing_status = not is_processed(file) and "PROCESSING" or bad and "INVALID_FORMAT" or "COMPLETED"
  if is_processed(file) then
    doc.validation_report = {valid = not bad, error = bad and "Line 7: `messages[1]` must have a `role`" or nil}
  end
  return doc
end

function M.render(file)
  return add_status(file, {
    id = file.id, object = "file", created_at = file.created_at // 1 | 0, filename = file.filename,
    bytes = file.blob and file.blob.bytes or 0, purpose = file.purpose, FileType = file.kind, Processed = M.ready(file),
  })
end

function M.find(id)
  return store.files:get(id) or reply.reject(404, ("No file with the id %s"):format(id), "id", nil)
end

local function need(value, set, name)
  if value == nil or value == "" then reply.reject(400, name .. " is required", name, nil) end
  if set and not set[value] then reply.reject(400, ("%s is no valid %s"):format(tostring(value), name), name, nil) end
  return value
end

-- An entry for a file whose bytes are still to come
local function add(facts)
  need(facts.file_name, nil, "file_name")
  need(facts.purpose, PURPOSES, "purpose")
  need(facts.file_type or "jsonl", TYPES, "file_type")
  return store.files:add(store.id("file-"), {filename = facts.file_name, purpose = facts.purpose,
    kind = facts.file_type or "jsonl", created_at = store.now(), fate = store.settings.file_fate})
end

local function process(file)
  file.fate = store.settings.file_fate
  file.ready_at = store.now() + store.settings.file_seconds
  return file
end

-- A whole file, at once ready: for the control port
function M.seed(name, text)
  local file = add {file_name = name, purpose = "fine-tune"}
  file.blob = blob.new()
  file.blob:write(text)
  file.ready_at = 0
  return file
end

-- ---- by redirect ----

local function signed(path)
  local signature = store.id("sig-")
  store.signatures[path] = signature
  return ("%s%s?X-Signature=%s"):format(dialect.storage_url(), path, signature)
end

M.signed = signed

function M.create(req)
  local kind = (req.header["content-type"] or ""):match "^[^;]*"
  if kind ~= "application/x-www-form-urlencoded" then reply.reject(415, "a form is wanted, not " .. kind) end
  local file = add(http.parse_query(req.body or ""))
  return reply.answer(302, nil, {{"location", signed("/uploads/" .. file.id)}, {"x-together-file-id", file.id}})
end

function M.preprocess(_, id)
  local file = M.find(id)
  if not file.blob then reply.reject(400, "The file was not uploaded to its address", nil, nil) end
  return M.render(process(file))
end

-- ---- by form ----

function M.upload(req)
  local form = req.form
  if not form or not form:finished() then reply.reject(400, "The body is not whole multipart/form-data") end
  local part = form:get "file"
  if not part or not part.filename or part.blob.bytes == 0 then reply.reject(400, "file is required", "file") end
  local file = add {file_name = form:field "file_name", purpose = form:field "purpose",
    file_type = form:field "file_type"}
  file.blob = part.blob
  return M.render(process(file))
end

-- ---- in parts ----

local function integer(body, name, least, most)
  local value = json.value(body[name])
  if math.type(value) ~= "integer" or value < least or value > most then
    reply.reject(400, ("%s must be an integer from %d to %d"):format(name, least, most), name)
  end
  return value
end

function M.initiate(req)
  local body, settings = req.json, store.settings
  local size, count = integer(body, "file_size", 1, settings.max_upload_bytes), integer(body, "num_parts", 1, 250)
  local file = add {file_name = json.value(body.file_name), purpose = json.value(body.purpose),
    file_type = json.value(body.file_type)}
  local upload = store.uploads:add(store.id("upload-"), {file = file, size = size, count = count, parts = {},
    token = store.id("t"), status = "pending"})
  local parts = json.array()
  for i = 1, count do
    parts[i] = {PartNumber = i, URL = signed(("/parts/%s/%d"):format(upload.id, i)),
      Headers = {["x-part-token"] = upload.token}}
  end
  return {upload_id = upload.id, file_id = file.id, parts = parts}
end

local function pending(body)
  local upload = store.uploads:get(json.value(body.upload_id) or "")
  if not upload or upload.file.id ~= json.value(body.file_id) then reply.reject(404, "There is no such upload") end
  if upload.status ~= "pending" then reply.reject(400, "The upload is " .. upload.status) end
  return upload
end

-- The blobs in order, each named once by its ETag; all but the last are of the least size or more
local function gather(upload, list)
  local blobs = {}
  for i, part in ipairs(json.is_array(list) and list or {}) do
    local got = upload.parts[i]
    if not json.is_object(part) or part.part_number ~= i or not got or part.etag ~= got.etag then
      reply.reject(400, ("InvalidPart: part %d"):format(i), "parts")
    elseif i < upload.count and got.blob.bytes < store.settings.min_part_bytes then
      reply.reject(400, ("EntityTooSmall: part %d"):format(i), "parts")
    end
    blobs[i] = got.blob
  end
  if #blobs ~= upload.count then reply.reject(400, "parts are missing", "parts") end
  return blob.join(blobs)
end

function M.complete(req)
  local upload = pending(req.json)
  local whole = gather(upload, json.value(req.json.parts))
  if whole.bytes ~= upload.size then reply.reject(400, "the parts are not the file's size", "parts") end
  upload.status, upload.file.blob = "completed", whole
  local doc = M.render(process(upload.file))
  return store.settings.complete_wraps and {file = doc} or doc
end

function M.abort(req)
  local upload = pending(req.json)
  upload.status = "aborted"
  store.files:remove(upload.file.id)
  return {message = "aborted"}
end

-- ---- the storage: another host, which knows no keys ----

local function refuse(status, code)
  error({answer = {status = status, type = "application/xml",
    text = ("<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>"):format(code)}}, 0)
end

-- The request is as it was signed: with this query and nothing else, and without credentials
local function check_signature(req)
  if req.header.authorization or req.header["api-key"] or req.header.cookie then refuse(400, "InvalidArgument") end
  local signature = store.signatures[req.path]
  if not signature or req.query ~= "X-Signature=" .. signature then refuse(403, "SignatureDoesNotMatch") end
end

M.check_signature = check_signature

function M.put(req, id)
  check_signature(req)
  if not req.blob or not req.header["content-length"] then refuse(411, "MissingContentLength") end
  local file = store.files:get(id)
  if file then file.blob = req.blob end
  return reply.answer(200, nil, {{"etag", '"' .. req.blob:sha256():sub(1, 32) .. '"'}})
end

function M.put_part(req, id, number)
  check_signature(req)
  local upload = store.uploads:get(id)
  if req.header["x-part-token"] ~= (upload and upload.token) then refuse(403, "AccessDenied") end
  local etag = req.blob:sha256():sub(1, 32)
  upload.parts[math.tointeger(tonumber(number))] = {blob = req.blob, etag = etag}
  if store.settings.no_etag then return reply.answer(200, nil, {}) end
  return reply.answer(200, nil, {{"etag", '"' .. etag .. '"'}})
end

-- ---- the rest ----

function M.list()
  local data = json.array()
  for i, file in ipairs(store.files.list) do data[i] = M.render(file) end
  return {data = data}
end

function M.get(_, id) return M.render(M.find(id)) end

function M.delete(_, id)
  M.find(id)
  store.files:remove(id)
  return {id = id, deleted = true}
end

function M.content(_, id)
  local file = M.find(id)
  local blocks = file.blob and file.blob:blocks()
  if not blocks then reply.reject(500, "the content is not there") end
  return reply.blocks(blocks, file.blob.bytes, "text/plain")
end

return M
