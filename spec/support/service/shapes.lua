-- Faults of an answer's content: each takes the fault, the request and the
-- normal answer (nil when the request was not carried out) and gives an answer.
local gzip = require "service.gzip"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {}

local PAGE = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>\n"

local function http_date(time) return os.date("!%a, %d %b %Y %H:%M:%S GMT", time) end

local function body_text(body) return type(body) == "table" and json.encode(body) or body end

function M.status(fault)
  local status = fault.status or 500
  local answer = {status = status, headers = {}}
  for name, value in pairs(fault.headers or {}) do table.insert(answer.headers, {name, tostring(value)}) end
  local function add(name, value) if value then table.insert(answer.headers, {name, tostring(value)}) end end
  add("retry-after-ms", fault.retry_after_ms)
  add("retry-after", fault.retry_after)
  add("retry-after", fault.retry_after_date and http_date(os.time() + fault.retry_after_date))
  answer.text = body_text(fault.body)
    or json.encode(reply.error_doc(status, fault.message, fault.param, fault.code))
  answer.type = type(fault.body) == "string" and not fault.body:find("^%s*[{[]") and "text/plain" or nil
  return answer
end

function M.html(fault) return {status = fault.status or 200, text = fault.body or PAGE, type = "text/html"} end

function M.empty(fault) return {status = fault.status or 204, text = ""} end

function M.redirect(fault, req)
  return {status = fault.status or 307, text = "", headers = {{"location", fault.location or req.target}}}
end

function M.deep(fault)
  local depth = fault.depth or 100000
  return {status = 200, text = ("["):rep(depth) .. ("]"):rep(depth)}
end

function M.bad_utf8()
  local text = "{\"id\":\"ftjob-\xff\xfe\",\"object\":\"fine_tuning.job\",\"status\":\"\xc3\x28\",\"data\":[]}"
  return {status = 200, text = text}
end

-- The normal answer as text.
local function flatten(answer)
  if answer.doc then
    answer.text, answer.doc = json.encode(answer.doc), nil
  elseif answer.blocks then
    local all = {}
    for block in answer.blocks do all[#all + 1] = block end
    answer.text, answer.blocks = table.concat(all), nil
  end
  return answer
end

M.flatten = flatten

function M.truncate(fault, _, answer)
  flatten(answer)
  answer.text = answer.text:sub(1, fault.bytes or #answer.text // 2)
  return answer
end

function M.gzip(_, _, answer)
  flatten(answer)
  answer.text = gzip.stored(answer.text)
  answer.headers = {{"content-encoding", "gzip"}}
  return answer
end

local function copy(t)
  local out = setmetatable({}, getmetatable(t))
  for k, v in pairs(t) do out[k] = v end
  return out
end

-- The objects of an answer: itself, or those of its list.
local function each(answer, f)
  local doc = answer.doc
  if not doc then return answer end
  if doc.data then
    local data = json.array()
    for i, item in ipairs(doc.data) do data[i] = f(copy(item)) end
    answer.doc = copy(doc)
    answer.doc.data = data
  else
    answer.doc = f(copy(doc))
  end
  return answer
end

function M.patch(fault, _, answer)
  return each(answer, function(item)
    for name, value in pairs(fault.set or {}) do item[name] = value end
    return item
  end)
end

-- What may be null by the API's description, or is left out by it.
local NULLABLE = {
  ["fine_tuning.job"] = {"error", "fine_tuned_model", "finished_at", "trained_tokens", "validation_file",
                         "integrations", "estimated_finish", "metadata", "user_provided_suffix", "method"},
  ["fine_tuning.job.event"] = {"data", "type"},
  ["fine_tuning.job.checkpoint"] = {"metrics"},
  file = {"expires_at", "status_details", "status"},
  upload = {"file"},
  model = {"shutdown_date"},
}

local KEPT = {id = true, object = true, status = true}

-- `all`: every field but id, object and status.
function M.nulls(fault, _, answer)
  each(answer, function(item)
    for _, name in ipairs(NULLABLE[item.object] or {}) do item[name] = json.null end
    for name in pairs(fault.all and item or {}) do
      if not KEPT[name] then item[name] = json.null end
    end
    return item
  end)
  local doc = answer.doc
  if doc and doc.first_id then doc.first_id, doc.last_id = json.null, json.null end
  return answer
end

-- Repeats and reorders a list; the last item stays last, since it is the cursor.
function M.shuffle(fault, _, answer)
  local data = answer.doc and answer.doc.data
  if not data or #data == 0 then return answer end
  fault.seen = fault.seen or data[1]
  local out, n = json.array(), #data
  for i = n - 1, 1, -1 do table.insert(out, data[i]) end
  table.insert(out, data[n])
  table.insert(out, 1, fault.seen)
  for i = 1, n, 2 do table.insert(out, #out, data[i]) end
  answer.doc = copy(answer.doc)
  answer.doc.data = out
  return answer
end

-- A cursor that never ends: always the same page, or ids nobody has seen.
function M.endless(fault, _, answer)
  each(answer, function(item)
    if fault.ids == "new" then item.id = store.id("endless-") end
    return item
  end)
  local doc = answer.doc
  if doc then
    doc.has_more = true
    if doc.last_id and doc.data[1] then doc.first_id, doc.last_id = doc.data[1].id, doc.data[#doc.data].id end
  end
  return answer
end

-- What has to be changed in the request before it is carried out.
function M.prepare(fault, req)
  if fault.kind == "endless" then req.params.after = nil end
end

return M
