-- From a request to an answer: authentication, the route, the handler. What there
-- is to route to is the dialect's.
local dialect = require "service.dialect"
local http = require "service.http"
local json = require "service.json"
local reply = require "service.reply"
local store = require "service.store"

local M = {crashes = {}}

-- The id in a segment: all of it for "*", what is before the verb for "*:verb"
local function id_in(wanted, segment)
  local verb = wanted:match("^%*(.*)$")
  if not verb or #segment <= #verb or segment:sub(#segment - #verb + 1) ~= verb then return nil end
  return http.unescape(segment:sub(1, #segment - #verb))
end

-- The captured ids, decoded one by one, so that an id may hold a slash.
local function captures(route, segments)
  if #route.segments ~= #segments then return nil end
  local ids = {}
  for i, wanted in ipairs(route.segments) do
    local id = id_in(wanted, segments[i])
    if not id and wanted ~= segments[i] then return nil end
    ids[#ids + 1] = id
  end
  return ids
end

-- Where the paths of a host begin
local function prefix_of(req) return (req.site == "api" and store.settings.prefix or "") .. "/" end

-- The route and the ids; nil and whether the path is known at all.
local function find(req)
  local prefix, known = prefix_of(req), false
  if req.path:sub(1, #prefix) ~= prefix then return nil, false end
  local segments = dialect.split(req.path:sub(#prefix + 1))
  for _, route in ipairs(dialect.sites[req.site].routes) do
    local ids = captures(route, segments)
    if ids and route[1] == req.method then return route, ids end
    known = known or ids ~= nil
  end
  return nil, known
end

-- A request that was meant for another host, or for the other one of the dialect's two
local function check_host(req)
  local port = req.site == "storage" and dialect.storage_port or dialect.port
  local name, given = (req.header.host or ""):match("^([^:]*):(%d+)$")
  if (name == "127.0.0.1" or name == "localhost") and tonumber(given) == port then return end
  reply.reject(421, ("The host '%s' is not served here."):format(req.header.host or ""), nil, "misdirected_request")
end

local function masked(key) return #key < 12 and "****" or key:sub(1, 8) .. "****" .. key:sub(-4) end

local function refuse_key(given)
  if not given then
    reply.reject(401, "You didn't provide an API key. You need to provide your API key in an Authorization header "
      .. "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).", nil, nil)
  end
  reply.reject(401, ("Incorrect API key provided: %s. You can find your API key at "
    .. "https://platform.openai.com/account/api-keys."):format(masked(given)), nil, "invalid_api_key")
end

local function authenticate(req)
  if store.settings.auth == "none" or req.site ~= "api" then return end
  local given = dialect.current.key(req)
  if given == store.settings.api_key then return end
  if dialect.current.refuse_key then dialect.current.refuse_key(req, given) end
  refuse_key(given)
end

local function read_json(req)
  local doc, words = json.decode(req.body or "")
  if not json.is_object(doc) then
    reply.reject(400, "We could not parse the JSON body of your request. (" .. (words or "not an object") .. ")", nil,
      "invalid_json")
  end
  req.json = doc
end

local function dispatch(req)
  check_host(req)
  authenticate(req)
  local route, ids = find(req)
  if not route and ids then
    reply.reject(405, ("Not allowed to %s on %s."):format(req.method, req.path), nil, "method_not_supported")
  elseif not route then
    reply.reject(404, ("Invalid URL (%s %s)"):format(req.method, req.path), nil, "unknown_url")
  end
  if route[3] == "json" then read_json(req) end
  return reply.wrap(route[4](req, table.unpack(ids)))
end

-- What the spec laid over the object with this id, and over those in its lists.
local function patch(doc)
  local laid = type(doc) == "table" and store.patches[doc.id or false]
  for name, value in pairs(laid or {}) do doc[name] = value end
  for _, item in ipairs(type(doc) == "table" and type(doc.data) == "table" and doc.data or {}) do patch(item) end
end

local function crash(words)
  M.crashes[#M.crashes + 1] = words
  io.stderr:write("service: ", words, "\n")
  return {status = 500, doc = reply.error_doc(500, "The loopback service has a bug: " .. words)}
end

-- Always an answer; a bug in here becomes a 500 that is also counted.
function M.handle(req)
  local ok, answer = xpcall(dispatch, function(err)
    if type(err) == "table" and err.answer then return err.answer end
    return crash(debug.traceback(tostring(err)))
  end, req)
  if ok and answer.doc then patch(answer.doc) end
  return answer
end

return M
