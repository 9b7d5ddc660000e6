-- /v1/accounts/{a}/datasets, and the storage behind the signed addresses.
local blob = require "service.blob"
local check = require "service.dialect.fireworks.check"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local FIELDS = {displayName = "string", exampleCount = "int64", userUploaded = "object", format = "format",
  externalUrl = "string", sourceJobName = "string", evaluationResult = "object", transformed = "object",
  splitted = "object", evalProtocol = "object"}

M.signed = {} -- path at the storage -> {signature, dataset, size (of an upload), method}

function M.find(account, id)
  check.account(account)
  return store.files:get(check.name("datasets", id)) or check.refuse(check.NOT_FOUND, "Dataset \"%s\" not found",
    check.name("datasets", id))
end

local function arrived(dataset) return dataset.ready_at ~= nil and store.now() >= dataset.ready_at end

function M.ready(dataset) return arrived(dataset) and dataset.fate == "processed" end

function M.render(dataset)
  local failed = arrived(dataset) and dataset.fate == "error"
  return json.object {
    name = dataset.id, displayName = dataset.fields.displayName, createTime = check.time(dataset.created_at),
    updateTime = check.time(dataset.created_at), exampleCount = dataset.fields.exampleCount,
    userUploaded = dataset.fields.userUploaded, format = dataset.fields.format or "FORMAT_UNSPECIFIED",
    createdBy = "user@example.com", state = M.ready(dataset) and "READY" or "UPLOADING",
    status = failed and {code = "INVALID_ARGUMENT", message = "line 1 of the dataset is not valid JSON"}
      or {code = "OK", message = ""},
  }
end

function M.create(req, account)
  check.account(account)
  local body = check.fields(req.json, {datasetId = "string", dataset = FIELDS}, "body")
  if not body.dataset then check.refuse(check.INVALID, "dataset is required") end
  local name = check.name("datasets", check.id(body.datasetId, "Dataset"))
  if store.files:get(name) then check.refuse(check.EXISTS, "Dataset \"%s\" already exists", name) end
  return M.render(store.files:add(name, {fields = body.dataset, created_at = store.now()}))
end

-- The file is there: the dataset is processed from now on
local function begin(dataset, content, filename)
  local settings = store.settings
  dataset.blob, dataset.filename = content, filename
  dataset.ready_at, dataset.fate = store.now() + settings.file_seconds, settings.file_fate
end

local function of_uploading(account, id)
  local dataset = M.find(account, id)
  if dataset.ready_at then check.refuse(check.PRECONDITION, "the dataset has been uploaded already") end
  return dataset
end

function M.upload(req, account, id)
  local dataset = of_uploading(account, id)
  local part = req.form and req.form:finished() and req.form:get "file"
  if not part or not part.filename then check.refuse(check.INVALID, "the form has no file \"file\"") end
  if (part.type or "") == "" then check.refuse(check.INVALID, "the file has no content type") end
  if #req.form.parts ~= 1 then check.refuse(check.INVALID, "the form has other fields than \"file\"") end
  if part.blob.bytes > store.settings.form_limit then
    reply.reject(413, "the file is larger than 150 MB", nil, check.INVALID)
  end
  begin(dataset, part.blob, part.filename)
  return {id = id, object = "file", bytes = part.blob.bytes, created_at = store.now() // 1 | 0,
    filename = part.filename, purpose = "fine-tune"}
end

-- ---- signed addresses ----

local function sign(dataset, filename, method, size)
  local escaped = filename:gsub("[^%w._-]", function(c) return ("%%%02X"):format(c:byte()) end)
  local path = ("/%s/%s"):format(dataset.id, escaped)
  local signature = store.id("", 40)
  M.signed[method .. " " .. path] = {signature = signature, dataset = dataset, size = size, filename = filename}
  local headers = size and "content-type%3Bhost%3Bx-goog-content-length-range" or "host"
  if size and not store.settings.signed_range then headers = "content-type%3Bhost" end
  return ("%s%s?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Expires=3600&X-Goog-SignedHeaders=%s&X-Goog-Signature=%s")
    :format(require("service.dialect").storage_url(), path, headers, signature)
end

function M.upload_endpoint(req, account, id)
  local dataset = of_uploading(account, id)
  local body = check.fields(req.json, {filenameToSize = "object", readMask = "string"}, "body")
  local urls = json.object()
  for filename, size in pairs(body.filenameToSize or {}) do
    if type(size) ~= "string" or not size:find "^%d+$" then check.refuse(check.INVALID, "invalid size of a file") end
    urls[filename] = sign(dataset, filename, "PUT", size)
  end
  if next(urls) == nil then check.refuse(check.INVALID, "filename_to_size is required") end
  return {filenameToSignedUrls = urls}
end

function M.validate_upload(req, account, id)
  local dataset = M.find(account, id)
  check.empty(req)
  if not dataset.landed or store.now() < dataset.landed + store.settings.landing_seconds then
    check.refuse(check.PRECONDITION, "not all files have been uploaded")
  end
  if not dataset.ready_at then begin(dataset, dataset.blob, dataset.filename) end
  return json.object()
end

function M.download_endpoint(_, account, id)
  local dataset = M.find(account, id)
  if not M.ready(dataset) then check.refuse(check.PRECONDITION, "the dataset is not ready") end
  return {filenameToSignedUrls = json.object {[dataset.filename] = sign(dataset, dataset.filename, "GET")}}
end

local function forbid(status, code)
  local answer = reply.text(("<?xml version='1.0'?><Error><Code>%s</Code></Error>"):format(code), "application/xml")
  answer.status = status
  return answer
end

-- What was signed for this request; or nil and a refusal. The storage knows no keys, and takes none
local function signed_for(req)
  local entry = M.signed[req.method .. " " .. req.path]
  if req.header.authorization then return nil, forbid(400, "InvalidArgument") end
  if not entry or req.params["X-Goog-Signature"] ~= entry.signature then
    return nil, forbid(403, "SignatureDoesNotMatch")
  end
  if not entry.size then return entry end
  local range = store.settings.signed_range and entry.size .. "," .. entry.size or nil
  if req.header["content-type"] ~= "application/octet-stream" or req.header["x-goog-content-length-range"] ~= range then
    return nil, forbid(403, "SignatureDoesNotMatch")
  end
  return entry
end

function M.put(req)
  local entry, refusal = signed_for(req)
  if not entry then return refusal end
  if ("%d"):format(req.blob.bytes) ~= entry.size then return forbid(400, "EntityTooLarge") end
  entry.dataset.blob, entry.dataset.filename, entry.dataset.landed = req.blob, entry.filename, store.now()
  return reply.answer(200)
end

function M.read(req)
  local entry, refusal = signed_for(req)
  if not entry then return refusal end
  return reply.blocks(entry.dataset.blob:blocks(), entry.dataset.blob.bytes, "application/octet-stream")
end

-- ---- the rest ----

function M.get(req, account, id)
  check.query(req, "readMask")
  return M.render(M.find(account, id))
end

function M.list(req, account)
  check.account(account)
  return check.page(req, "datasets", store.files, M.render)
end

function M.delete(_, account, id)
  store.files:remove(M.find(account, id).id)
  return json.object()
end

-- One that is ready, for seeds
function M.add(id, text)
  local dataset = store.files:add(check.name("datasets", id), {created_at = store.now(),
    fields = {displayName = id .. ".jsonl", exampleCount = "20", userUploaded = json.object()}})
  local content = blob.new()
  content:write(text)
  begin(dataset, content, id .. ".jsonl")
  dataset.ready_at, dataset.fate = 0, "processed"
  return dataset
end

return M
