-- /uploads: a big file in parts.
local blob = require "service.blob"
local files = require "service.api.files"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local PURPOSES = {assistants = true, batch = true, ["fine-tune"] = true, vision = true}

local function status(upload)
  if upload.status == "pending" and store.now() >= upload.expires_at then upload.status = "expired" end
  return upload.status
end

local function render(upload)
  return {
    id = upload.id, object = "upload", bytes = upload.bytes, created_at = upload.created_at // 1 | 0,
    filename = upload.filename, purpose = upload.purpose, status = status(upload),
    expires_at = upload.expires_at // 1 | 0, file = upload.file and files.render(upload.file),
  }
end

M.render = render

local function find(id)
  return store.uploads:get(id) or reply.reject(404, ("No such Upload object: %s"):format(id), "upload_id", nil)
end

local function find_pending(id)
  local upload = find(id)
  if status(upload) ~= "pending" then
    reply.reject(400, ("Upload %s is %s, not pending."):format(id, upload.status), nil, "invalid_upload_state")
  end
  return upload
end

local function need(body, name, kind)
  local value = json.value(body[name])
  if value == nil then
    reply.reject(400, ("Missing required parameter: '%s'."):format(name), name, "missing_required_parameter")
  elseif math.type(value) ~= kind and type(value) ~= kind then
    reply.reject(400, ("Invalid type for '%s': expected %s."):format(name, kind), name, "invalid_type")
  end
  return value
end

function M.create(req)
  local body, now = req.json, store.now()
  local bytes, purpose = need(body, "bytes", "integer"), need(body, "purpose", "string")
  local filename, mime = need(body, "filename", "string"), need(body, "mime_type", "string")
  local expiry = json.value(body.expires_after) or {}
  files.check_purpose(purpose, PURPOSES)
  if bytes < 1 or bytes > store.settings.max_upload_bytes then
    reply.reject(400, ("Invalid 'bytes': from 1 to %d."):format(store.settings.max_upload_bytes), "bytes",
      "invalid_value")
  end
  return render(store.uploads:add(store.id("upload_", 32), {
    bytes = bytes, purpose = purpose, filename = filename, mime = mime, status = "pending", created_at = now,
    lifetime = files.check_expiry(expiry.anchor, expiry.seconds),
    expires_at = now + store.settings.upload_seconds, parts = {}, received = 0,
  }))
end

function M.add_part(req, id)
  local upload = find_pending(id)
  local part = req.form and req.form:finished() and req.form:get("data")
  if not part then reply.reject(400, "Missing required parameter: 'data'.", "data", "missing_required_parameter") end
  if part.blob.bytes > store.settings.max_part_bytes then
    reply.reject(413, ("A part is at most %d bytes."):format(store.settings.max_part_bytes), "data", "part_too_large")
  end
  local part_id = store.id("part_", 32)
  upload.parts[part_id] = part.blob
  upload.received = upload.received + part.blob.bytes
  return {id = part_id, object = "upload.part", created_at = os.time(), upload_id = id}
end

-- The blobs of the named parts in that order.
local function gather(upload, part_ids)
  local blobs, seen = {}, {}
  for i, part_id in ipairs(part_ids) do
    blobs[i] = upload.parts[part_id]
    if not blobs[i] or seen[part_id] then
      reply.reject(400, ("Invalid 'part_ids[%d]': %s"):format(i - 1, tostring(part_id)), "part_ids", "invalid_value")
    end
    seen[part_id] = true
  end
  return blob.join(blobs)
end

function M.complete(req, id)
  local upload = find_pending(id)
  local whole = gather(upload, need(req.json, "part_ids", "table"))
  if whole.bytes ~= upload.bytes then
    reply.reject(400, ("The parts have %d bytes, the upload was created with %d."):format(whole.bytes, upload.bytes),
      "part_ids", "bytes_mismatch")
  end
  local md5 = json.value(req.json.md5)
  if md5 and md5 ~= whole:md5() then
    reply.reject(400, "The MD5 of the parts is not the given one.", "md5", "checksum_mismatch")
  end
  upload.status = "completed"
  upload.file = files.add(upload.filename, upload.purpose, whole, upload.lifetime)
  return render(upload)
end

function M.cancel(_, id)
  local upload = find_pending(id)
  upload.status = "cancelled"
  for _, part in pairs(upload.parts) do part:drop() end
  return render(upload)
end

return M
