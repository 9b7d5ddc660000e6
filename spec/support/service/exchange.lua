-- One connection's life: requests one after another, each met by at most one
-- fault. A fault strikes at a point: accept, request (the head is read), upload
-- (in the body), answer (before it), headers and body (in it).
local blob = require "service.blob"
local cqueues = require "cqueues"
local faults = require "service.faults"
local http = require "service.http"
local multipart = require "service.multipart"
local record = require "service.record"
local reply = require "service.reply"
local router = require "service.router"
local senders = require "service.senders"
local shapes = require "service.shapes"
local store = require "service.store"

local MAX_JSON = 8 * 1024 * 1024

local M = {}

-- True when the connection goes on.
local function interrupt(conn, fault)
  if fault.kind == "stall" then return conn:hold(fault.seconds, fault.at == "request" or fault.at == "upload") end
  if fault.kind == "reset" then conn:reset() else conn:finish() end
  return false
end

local function strikes(fault, point) return fault and fault.at == point and faults.interrupts[fault.kind] end

-- The body with the fault in it that strikes once so many bytes of it are read.
local function troubled(conn, next_chunk, fault)
  local left = fault.bytes or 0
  return function()
    if left and left <= 0 then
      left = nil
      if not interrupt(conn, fault) then return nil, "interrupted" end
    end
    local chunk, err = next_chunk()
    if left and chunk then left = left - #chunk end
    return chunk, err
  end
end

-- Where the body goes: the parts of a form, the bytes of a PUT, or text while it is of a sane size.
local function sink(req)
  local form = multipart.new(req.header["content-type"] or "", {hash = store.settings.hash})
  if form then
    req.form = form
    return function(chunk) form:write(chunk) end
  end
  if req.method == "PUT" then
    req.blob = blob.new {hash = store.settings.hash}
    return function(chunk) req.blob:write(chunk) end
  end
  local pieces, size = {}, 0
  req.pieces = pieces
  return function(chunk)
    size = size + #chunk
    if size <= MAX_JSON then pieces[#pieces + 1] = chunk end
  end
end

-- False when the body did not arrive whole.
local function read_body(conn, req, entry, fault)
  local next_chunk, write = http.body_reader(req), sink(req)
  if strikes(fault, "upload") then next_chunk = troubled(conn, next_chunk, fault) end
  while true do
    local chunk, err = next_chunk()
    if not chunk then
      if err then return false end
      break
    end
    entry.length = entry.length + #chunk
    write(chunk)
  end
  req.body = req.pieces and table.concat(req.pieces) or ""
  req.text = req.pieces and req.body or nil
  record.complete(entry, req)
  return true
end

-- Answers while the client is still sending, then hangs up.
local function answer_early(conn, req, fault)
  req.keep = false
  senders.normal(conn, req, shapes.status(fault))
  conn:finish()
  return false
end

-- The answer, as the fault will have it; nil when there will be none.
local function answer_of(conn, req, fault)
  if not fault then return router.handle(req) end
  shapes.prepare(fault, req)
  local answer = faults.applies(fault) and router.handle(req) or nil
  if strikes(fault, "answer") then
    if not interrupt(conn, fault) then return nil end
    return answer or router.handle(req)
  end
  local shape = shapes[fault.kind]
  if shape then return shape(fault, req, answer) end
  return answer or {status = 200, text = ""}
end

-- True when the connection may be used again.
local function run(conn, req, entry, fault)
  if strikes(fault, "request") then
    if not interrupt(conn, fault) then return false end
    fault = nil
  end
  if fault and fault.early then return answer_early(conn, req, fault) end
  if not read_body(conn, req, entry, fault) then return false end
  if strikes(fault, "upload") then fault = nil end
  local answer = answer_of(conn, req, fault)
  if not answer then return false end
  if fault and answer.blocks then shapes.flatten(answer) end
  return senders.send(conn, req, answer, fault) and req.keep
end

local function refuse_head(conn, why)
  if why == "eof" then return end
  local status = why == "long" and 431 or 400
  local req = {id = "req_none", started = cqueues.monotime(), keep = false}
  senders.normal(conn, req, {status = status, doc = reply.error_doc(status)})
  conn:finish()
end

local function serve(conn, site)
  local fault = faults.take(nil)
  if fault and not interrupt(conn, fault) then return end
  while not conn.closed do
    local req, why = http.read_head(conn)
    if not req then return refuse_head(conn, why) end
    req.site = site
    req.id, req.started = "req_" .. store.id("", 32):lower(), cqueues.monotime()
    req.keep = http.keeps_alive(req)
    fault = faults.take(req)
    local entry = record.begin(req, fault)
    local go_on = run(conn, req, entry, fault)
    record.finish(entry, req)
    if not go_on then return end
  end
end

-- Serves a connection to the host `site` ("api" or "storage"). A bug in here costs one connection, and is counted.
function M.serve(conn, site)
  local ok, words = xpcall(serve, debug.traceback, conn, site)
  if not ok then
    router.crashes[#router.crashes + 1] = words
    io.stderr:write("service: ", words, "\n")
  end
  conn:close()
end

return M
