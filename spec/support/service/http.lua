-- HTTP/1.1 by hand: heads, bodies by length and by chunks, answers. By hand
-- because half of what the suite needs is HTTP that no library would write.
local M = {}

local MAX_HEAD = 64 * 1024
local BLOCK = 64 * 1024

M.reasons = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [204] = "No Content",
  [301] = "Moved Permanently", [302] = "Found", [303] = "See Other", [307] = "Temporary Redirect",
  [308] = "Permanent Redirect", [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden",
  [404] = "Not Found", [405] = "Method Not Allowed", [408] = "Request Timeout", [409] = "Conflict",
  [410] = "Gone", [413] = "Content Too Large", [421] = "Misdirected Request", [422] = "Unprocessable Content",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large", [500] = "Internal Server Error",
  [502] = "Bad Gateway", [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

function M.unescape(s, plus)
  if plus then s = s:gsub("%+", " ") end
  return (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

-- "a=1&b=2" as a table; of a repeated name the last one counts.
function M.parse_query(text)
  local query = {}
  for pair in text:gmatch("[^&]+") do
    local name, value = pair:match("^([^=]*)=?(.*)$")
    query[M.unescape(name, true)] = M.unescape(value, true)
  end
  return query
end

local function read_fields(conn)
  local list, map, size = {}, {}, 0
  while true do
    local line, err = conn:line(MAX_HEAD)
    if not line then return nil, err end
    if line == "" then return list, map end
    size = size + #line
    local name, value = line:match("^([^%s:]+):%s*(.-)%s*$")
    if not name then return nil, "bad" end
    if size > MAX_HEAD then return nil, "long" end
    list[#list + 1] = {name, value}
    local key = name:lower()
    map[key] = map[key] and map[key] .. ", " .. value or value
  end
end

-- The request line and the fields; nil and "eof", "long" or "bad".
function M.read_head(conn)
  local line, err = conn:line(MAX_HEAD)
  if line == "" then line, err = conn:line(MAX_HEAD) end
  if not line then return nil, err end
  local method, target, minor = line:match("^(%u+) (%S+) HTTP/1%.([01])$")
  if not method then return nil, "bad" end
  local list, map = read_fields(conn)
  if not list then return nil, map end
  local length = map["content-length"]
  if length and not (length:find("^%d+$") and math.tointeger(tonumber(length))) then return nil, "bad" end
  local path, query = target:match("^([^?]*)%??(.*)$")
  return {
    method = method, target = target, path = path, query = query, params = M.parse_query(query),
    headers = list, header = map, minor = tonumber(minor), conn = conn,
  }
end

function M.keeps_alive(req)
  local word = (req.header.connection or ""):lower()
  if req.minor == 0 then return word:find("keep-alive", 1, true) ~= nil end
  return not word:find("close", 1, true)
end

local function by_length(conn, left)
  return function()
    if left <= 0 then return nil end
    local chunk = conn:some(math.min(left, BLOCK))
    if not chunk then return nil, "eof" end
    left = left - #chunk
    return chunk
  end
end

-- Trailers are read and forgotten.
local function last_chunk(conn)
  repeat
    local line = conn:line(MAX_HEAD)
    if not line then return nil, "eof" end
  until line == ""
  return nil
end

local function by_chunks(conn)
  local left, over = 0, false
  return function()
    if over then return nil end
    if left == 0 then
      left = tonumber((conn:line(1024) or ""):match("^%x+") or "", 16)
      if not left then return nil, "bad" end
      if left == 0 then over = true return last_chunk(conn) end
    end
    local chunk = conn:some(math.min(left, BLOCK))
    if not chunk then return nil, "eof" end
    left = left - #chunk
    if left == 0 and not conn:line(2) then return nil, "eof" end
    return chunk
  end
end

-- A function that gives the body piece by piece: a string, nil at the end, or
-- nil and a word. A client that waits for "100 Continue" gets it first.
function M.body_reader(req)
  local conn = req.conn
  local chunked = (req.header["transfer-encoding"] or ""):lower():find("chunked", 1, true) ~= nil
  local next_chunk = chunked and by_chunks(conn) or by_length(conn, math.tointeger(req.header["content-length"] or 0))
  local waits = (req.header.expect or ""):lower() == "100-continue"
  return function()
    if waits then
      waits = false
      conn:write("HTTP/1.1 100 Continue\r\n\r\n")
    end
    return next_chunk()
  end
end

-- The head of an answer as bytes: {{name, value}...} in the given order.
function M.head(status, headers)
  local out = {("HTTP/1.1 %d %s\r\n"):format(status, M.reasons[status] or "Whatever")}
  for _, field in ipairs(headers) do out[#out + 1] = field[1] .. ": " .. field[2] .. "\r\n" end
  out[#out + 1] = "\r\n"
  return table.concat(out)
end

return M
