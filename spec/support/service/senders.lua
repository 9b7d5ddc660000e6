-- Answers as bytes: the right ones, and the wrong ones of the faults. Each
-- sender says whether the connection may be used again.
local cqueues = require "cqueues"
local dialect = require "service.dialect"
local gzip = require "service.gzip"
local http = require "service.http"
local json = require "service.json"
local store = require "service.store"

local M = {}

local BLOCK = 64 * 1024

local function standard_headers(req)
  local milliseconds = (cqueues.monotime() - req.started) * 1000 // 1
  local headers = dialect.current.headers and dialect.current.headers(req, milliseconds) or {}
  table.insert(headers, 1, {"date", os.date("!%a, %d %b %Y %H:%M:%S GMT")})
  return headers
end

local function without(headers, name)
  local out = {}
  for _, field in ipairs(headers) do
    if field[1] ~= name then out[#out + 1] = field end
  end
  return out
end

-- Headers and body: the content length is the last header, where a fault finds it.
local function compose(req, answer)
  local headers = standard_headers(req)
  for _, field in ipairs(answer.headers or {}) do headers[#headers + 1] = field end
  local body = answer.text or answer.doc and json.encode(answer.doc) or not answer.blocks and "" or nil
  if answer.status ~= 204 then headers[#headers + 1] = {"content-type", answer.type or "application/json"} end
  headers[#headers + 1] = {"connection", req.keep and "keep-alive" or "close"}
  if answer.status ~= 204 then
    headers[#headers + 1] = {"content-length", ("%d"):format(body and #body or answer.bytes)}
  end
  return headers, body
end

-- Several fields of one exchange's record come from here.
local function note(req, answer, headers, body)
  req.answer = {status = answer.status, headers = headers, body = body}
end

-- A stream goes out in chunks as they come; the peer's leaving ends it
local function stream(conn, req, answer)
  local headers = standard_headers(req)
  headers[#headers + 1] = {"content-type", answer.type}
  headers[#headers + 1] = {"transfer-encoding", "chunked"}
  note(req, answer, headers)
  local alive = conn:write(http.head(answer.status, headers))
  answer.stream(function(text)
    alive = alive and conn:write(("%x\r\n%s\r\n"):format(#text, text))
    return alive
  end)
  return alive and conn:write("0\r\n\r\n")
end

function M.normal(conn, req, answer)
  if answer.stream then return stream(conn, req, answer) end
  local headers, body = compose(req, answer)
  note(req, answer, headers, body)
  if body then return conn:write(http.head(answer.status, headers) .. body) end
  if not conn:write(http.head(answer.status, headers)) then return false end
  for block in answer.blocks do
    if not conn:write(block) then return false end
  end
  return true
end

function M.drip(conn, req, answer, fault)
  local headers, body = compose(req, answer)
  local wire, step = http.head(answer.status, headers) .. (body or ""), fault.bytes or 1
  note(req, answer, headers, body)
  for from = 1, #wire, step do
    if not conn:write(wire:sub(from, from + step - 1)) then return false end
    cqueues.sleep(fault.seconds or 0.005)
  end
  return true
end

-- reset, close, stall: after the head, or after `bytes` bytes of the body.
function M.interrupted(conn, req, answer, fault)
  local headers, body = compose(req, answer)
  local sent = fault.at == "headers" and 0 or math.min(fault.bytes or #body // 2, #body)
  note(req, answer, headers, body)
  conn:write(http.head(answer.status, headers) .. body:sub(1, sent))
  if fault.kind == "reset" then conn:reset() return false end
  if fault.kind == "close" then conn:finish() return false end
  return conn:hold(fault.seconds) and conn:write(body:sub(sent + 1))
end

-- A JSON object with one huge string; how its end is marked is up to `framing`.
local function giant_head(fault, framing, size)
  local headers = {{"content-type", fault.type or "application/json"}}
  if framing == "chunked" then headers[2] = {"transfer-encoding", "chunked"} end
  if framing == "length" then headers[2] = {"content-length", ("%d"):format(size)} end
  headers[#headers + 1] = {"connection", framing == "close" and "close" or "keep-alive"}
  return http.head(200, headers)
end

function M.giant(conn, _, _, fault)
  local framing, size = fault.framing or "chunked", fault.bytes or 1 << 30
  local filler, left = ("x"):rep(BLOCK), size - 12
  local function send(text)
    if framing == "chunked" then text = ("%x\r\n%s\r\n"):format(#text, text) end
    return conn:write(text)
  end
  local alive = conn:write(giant_head(fault, framing, size)) and send("{\"giant\":\"")
  while alive and left > 0 do
    alive = send(left >= BLOCK and filler or filler:sub(1, left))
    left = left - BLOCK
  end
  if not alive then return false end
  alive = send("\"}") and (framing ~= "chunked" or conn:write("0\r\n\r\n"))
  return alive and framing ~= "close"
end

function M.bomb(conn, req, _, fault)
  local headers = standard_headers(req)
  table.insert(headers, {"content-type", "application/json"})
  table.insert(headers, {"content-encoding", "gzip"})
  table.insert(headers, {"transfer-encoding", "chunked"})
  if not conn:write(http.head(200, headers)) then return false end
  for block in gzip.bomb(fault.bytes or 1 << 30) do
    if not conn:write(("%x\r\n%s\r\n"):format(#block, block)) then return false end
  end
  return conn:write("0\r\n\r\n")
end

local LENGTHS = {
  same = function(n) return {n, n} end, -- twice, alike
  differ = function(n) return {n, n + 7} end, -- twice, not alike
  long = function(n) return {n + 100} end, -- more than is sent; then the end
  short = function(n) return {n // 2} end, -- less than is sent
  negative = function(n) return {-n} end,
  words = function() return {"many"} end,
  huge = function() return {"18446744073709551617"} end,
  both = function(n) return {n} end, -- beside a chunked body
}

function M.length(conn, req, answer, fault)
  local headers, body = compose(req, answer)
  note(req, answer, headers, body)
  headers = without(headers, "content-length")
  for _, value in ipairs(LENGTHS[fault.how or "differ"](#body)) do
    headers[#headers + 1] = {"content-length", tostring(value)}
  end
  if fault.how == "both" then
    headers[#headers + 1] = {"transfer-encoding", "chunked"}
    body = ("%x\r\n%s\r\n0\r\n\r\n"):format(#body, body)
  end
  conn:write(http.head(answer.status, headers) .. body)
  if fault.how == "same" or fault.how == "both" then return true end
  conn:finish()
  return false
end

local HEADERS = {
  nul = function(name) return name .. ": req_a\0b\r\n" end,
  newline = function(name) return name .. ": req_a\nx-injected: yes\r\n" end,
  cr = function(name) return name .. ": req_a\rx-injected: yes\r\n" end,
  fold = function(name) return name .. ": req_a\r\n b\r\n" end,
  high = function(name) return name .. ": req_\xff\xfe\r\n" end,
  nocolon = function() return "this line has no colon\r\n" end,
  huge = function(name, bytes) return name .. ": " .. ("h"):rep(bytes or 1 << 20) .. "\r\n" end,
  many = function(_, bytes) return ("x-many: " .. ("m"):rep(92) .. "\r\n"):rep((bytes or 1 << 20) // 102) end,
}

-- One raw header line (or many) in place of the good one of that name.
function M.header(conn, req, answer, fault)
  local headers, body = compose(req, answer)
  note(req, answer, headers, body)
  local name = fault.name or "x-request-id"
  local raw = fault.raw or HEADERS[fault.how or "nul"](name, fault.bytes)
  local head = http.head(answer.status, without(headers, name))
  return conn:write(head:sub(1, -3) .. raw .. "\r\n" .. body)
end

function M.interim(conn, req, answer)
  return conn:write("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    and M.normal(conn, req, answer)
end

function M.raw(conn, _, _, fault)
  conn:write(fault.data or "220 this is not HTTP\r\n")
  conn:finish()
  return false
end

-- Sends the answer, or what the fault makes of it.
function M.send(conn, req, answer, fault)
  if store.settings.latency > 0 then cqueues.sleep(store.settings.latency) end
  local sender = fault and (M[fault.kind] or (fault.at == "body" or fault.at == "headers") and M.interrupted)
  return (sender or M.normal)(conn, req, answer, fault)
end

return M
