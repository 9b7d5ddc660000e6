-- testing.lua: for tests of providers, without a network. `transport` plays a
-- script, `routes` a small service, each as the setting `transport` of
-- create_provider: only the socket is replaced, so retries, redirects, decoding
-- and errors are the real ones. `contract` is the suite that every provider
-- passes (contract.lua).
--
--   local transport, log = testing.transport {
--     {"POST /v1/files", status = 200, json = {id = "file-1"}},
--     {"GET /v1/files/file-1", expect = {headers = {authorization = "Bearer k"}}, json = {…}},
--     {"GET /v1/files", fail = "timeout"},
--   }
--   … log.requests[1].body …   log.done()  -- raises unless the script was played as it is

local core = require "finetune.core"

local M = {}

-- "https://host/v1/x?y=1" -> "/v1/x", "y=1"
function M.split(url)
  local path = url:gsub("^%a[%w+.-]*://[^/?#]*", "")
  local before, query = path:match("^([^?]*)%??(.*)$")
  return before, query
end

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- "a=1&b=%20" -> {a = "1", b = " "}
function M.query(url)
  local _, text = M.split(url)
  local query = {}
  for name, value in text:gmatch("([^&=]+)=?([^&]*)") do query[unescape(name)] = unescape(value) end
  return query
end

-- Does `value` have all that `wanted` has? -> true, or false and where it has not
local function covers(wanted, value, where)
  if type(wanted) ~= "table" then
    if wanted == value then return true end
    return false, ("%s is %s, expected %s"):format(where, tostring(value), tostring(wanted))
  end
  if type(value) ~= "table" then return false, ("%s is missing"):format(where) end
  for key, inner in pairs(wanted) do
    local ok, why = covers(inner, value[key], where .. "." .. tostring(key))
    if not ok then return false, why end
  end
  return true
end

M.covers = covers

-- What of a script's entry is the answer
local function answer_of(entry, request)
  local reply = entry.reply
  if type(reply) == "function" then return reply(request) end
  reply = reply or entry
  if reply == "pending" or reply.fail == "pending" then return "pending" end
  if reply.fail then return nil, reply.fail end
  return {status = reply.status, headers = reply.headers, body = reply.body, json = reply.json, delay = reply.delay,
    partial = reply.partial}
end

-- Is it the request that the entry expects?
local function matches(entry, request)
  local line = request.method .. " " .. request.path
  local wanted = entry[1]
  if wanted and line ~= wanted then return false, ("got '%s', the script expects '%s'"):format(line, wanted) end
  return covers(entry.expect or {}, request, "request")
end

-- The request as tests see it: with `path` as sent, and the decoded query
local function seen(request)
  request.query, request.path = M.query(request.url), M.split(request.url)
  return request
end

-- A script: array of entries, played in order; entry.times = n plays one n times.
-- -> function for the setting `transport`, log {requests, failures, done}
function M.transport(script)
  local log, at, played = {requests = {}, failures = {}}, 1, 0
  local function fail(message)
    log.failures[#log.failures + 1] = message
    error("scripted transport: " .. message, 0)
  end
  function log.done()
    if log.failures[1] then error("scripted transport: " .. log.failures[1], 2) end
    local entry = script[at]
    if entry and entry.times ~= math.huge then
      error(("scripted transport: request %d of the script (%s) never came"):format(at, entry[1] or "any"), 2)
    end
  end
  return function(request)
    request = seen(request)
    log.requests[#log.requests + 1] = request
    local entry = script[at]
    if not entry then fail(("the script has ended, but '%s %s' came"):format(request.method, request.path)) end
    local ok, why = matches(entry, request)
    if not ok then fail(why) end
    played = played + 1
    if played >= (entry.times or 1) then at, played = at + 1, 0 end
    return answer_of(entry, request)
  end, log
end

-- "GET /jobs/{id}" -> "GET", "^/jobs/([^/]+)$"
local function pattern_of(route)
  local method, path = route:match("^(%u+) (.*)$")
  local pattern = path:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("{[^}]*}", "([^/]+)")
  return method, "^" .. pattern .. "$"
end

-- A service: "METHOD /path/{part}" -> function(request, part, …) -> answer, as a script's
-- entry has it ({status, json, …}, or {fail = …}). What fits no route is answered with 404.
-- Routes without {parts} go first, then those with more text behind them ("/jobs/{id}:stop" before "/jobs/{id}").
function M.routes(table_of_routes)
  local list = {}
  for route, handler in pairs(table_of_routes) do
    local method, pattern = pattern_of(route)
    list[#list + 1] = {method = method, pattern = pattern, handler = handler, route = route}
  end
  table.sort(list, function(a, b)
    local pa, pb = a.route:find("{", 1, true) or math.huge, b.route:find("{", 1, true) or math.huge
    if pa ~= pb then return pa > pb end
    if #a.route ~= #b.route then return #a.route > #b.route end
    return a.route < b.route
  end)
  local log = {requests = {}}
  return function(request)
    request = seen(request)
    log.requests[#log.requests + 1] = request
    for _, entry in ipairs(list) do
      local parts = entry.method == request.method and table.pack(request.path:match(entry.pattern))
      if parts and parts[1] then
        for i = 1, parts.n do parts[i] = unescape(parts[i]) end
        return answer_of({reply = entry.handler(request, table.unpack(parts, 1, parts.n))}, request)
      end
    end
    return {status = 404, json = {error = {message = "no route for " .. request.method .. " " .. request.path}}}
  end, log
end

-- Two values, the same as JSON? (Keys are sorted, so order does not matter.)
function M.same(a, b)
  return core.encode(a == nil and core.null or a) == core.encode(b == nil and core.null or b)
end

function M.contract(P, options)
  return require("finetune.contract").run(P, options or {})
end

return M
