-- /files: upload, list, get, delete, content.
local query = require "service.api.query"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

M.purposes = {assistants = true, batch = true, ["fine-tune"] = true, vision = true, user_data = true, evals = true}

-- A file's state follows the clock.
local function status(file)
  if store.now() < file.ready_at then return "uploaded" end
  return file.fate
end

function M.ready(file) return status(file) == "processed" end

function M.render(file)
  local now = status(file)
  return {
    id = file.id, object = "file", bytes = file.blob.bytes, created_at = file.created_at // 1 | 0,
    expires_at = file.expires_at, filename = file.filename, purpose = file.purpose, status = now,
    status_details = now == "error" and "The file is not valid JSONL." or nil,
  }
end

-- Makes a file of bytes that are already here.
function M.add(filename, purpose, blob, lifetime)
  local settings, now = store.settings, store.now()
  local id = store.id("file-")
  return store.files:add(id, {
    filename = filename, purpose = purpose, blob = blob, created_at = now,
    ready_at = now + settings.file_seconds, fate = settings.file_fate,
    expires_at = lifetime and (now // 1 | 0) + lifetime or nil,
  })
end

function M.find(id)
  return store.files:get(id)
    or reply.reject(404, ("No such File object: %s"):format(id), "id", nil)
end

function M.check_purpose(purpose, purposes)
  if not purpose then
    reply.reject(400, "Missing required parameter: 'purpose'.", "purpose", "missing_required_parameter")
  elseif not purposes[purpose] then
    reply.reject(400, ("'%s' is not one of the purposes of a file."):format(purpose), "purpose", "invalid_value")
  end
end

-- Seconds, or nil where no expiry is asked for.
function M.check_expiry(anchor, seconds)
  if anchor == nil and seconds == nil then return nil end
  local n = math.tointeger(tonumber(seconds))
  if anchor ~= "created_at" then
    reply.reject(400, "Invalid 'expires_after.anchor': only 'created_at' is supported.", "expires_after.anchor",
      "invalid_value")
  elseif not n or n < 3600 or n > 2592000 then
    reply.reject(400, "Invalid 'expires_after.seconds': an integer from 3600 to 2592000.", "expires_after.seconds",
      "invalid_value")
  end
  return n
end

local function check_content(part, purpose)
  if part.blob.bytes > store.settings.max_file_bytes then
    reply.reject(413, ("The file is larger than %d bytes."):format(store.settings.max_file_bytes), "file",
      "file_too_large")
  elseif part.blob.bytes == 0 then
    reply.reject(400, "The file is empty.", "file", "empty_file")
  elseif purpose == "fine-tune" and not part.filename:find("%.jsonl$") then
    reply.reject(400, "Invalid file format for Fine-Tuning API. Must be .jsonl", "file", "invalid_file_format")
  end
end

function M.create(req)
  local form = req.form
  if not form or not form:finished() then
    reply.reject(400, "The body is not whole multipart/form-data.", nil, "invalid_body")
  end
  local part, purpose = form:get("file"), form:field("purpose")
  M.check_purpose(purpose, M.purposes)
  if not part or not part.filename then
    reply.reject(400, "Missing required parameter: 'file'.", "file", "missing_required_parameter")
  end
  check_content(part, purpose)
  local lifetime = M.check_expiry(form:field("expires_after[anchor]"), form:field("expires_after[seconds]"))
  return M.render(M.add(part.filename, purpose, part.blob, lifetime))
end

local function render_all(files)
  local out = {}
  for i, file in ipairs(files) do out[i] = M.render(file) end
  return out
end

function M.list(req)
  local limit, order = query.limit(req, 10000, 10000), req.params.order or "desc"
  if order ~= "asc" and order ~= "desc" then
    reply.reject(400, "Invalid 'order': 'asc' or 'desc'.", "order", "invalid_value")
  end
  local purpose = req.params.purpose
  local page, more = query.page(req, store.files, limit, function(file)
    return purpose == nil or file.purpose == purpose
  end, order)
  return reply.list(render_all(page), more, "")
end

function M.get(_, id) return M.render(M.find(id)) end

function M.delete(_, id)
  M.find(id).blob:drop()
  store.files:remove(id)
  return {id = id, object = "file", deleted = true}
end

function M.content(_, id)
  local file = M.find(id)
  local blocks = file.blob:blocks()
  if not blocks then
    reply.reject(400, "This service does not keep the bytes of files as big as that.", nil, "not_kept")
  end
  return reply.blocks(blocks, file.blob.bytes, "application/octet-stream")
end

return M
