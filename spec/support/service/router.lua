-- From a request to an answer: authentication, the route, the handler.
local files = require "service.api.files"
local graders = require "service.api.graders"
local http = require "service.http"
local jobs = require "service.api.jobs"
local json = require "service.json"
local models = require "service.api.models"
local reply = require "service.reply"
local store = require "service.store"
local uploads = require "service.api.uploads"

local M = {crashes = {}}

-- Segments of the path, "*" for an id; which body it takes; the handler.
local ROUTES = {
  {"POST", "files", "form", files.create},
  {"GET", "files", "none", files.list},
  {"GET", "files/*", "none", files.get},
  {"DELETE", "files/*", "none", files.delete},
  {"GET", "files/*/content", "none", files.content},
  {"POST", "uploads", "json", uploads.create},
  {"POST", "uploads/*/parts", "form", uploads.add_part},
  {"POST", "uploads/*/complete", "json", uploads.complete},
  {"POST", "uploads/*/cancel", "none", uploads.cancel},
  {"POST", "fine_tuning/jobs", "json", jobs.create},
  {"GET", "fine_tuning/jobs", "none", jobs.list},
  {"GET", "fine_tuning/jobs/*", "none", jobs.get},
  {"POST", "fine_tuning/jobs/*/cancel", "none", jobs.cancel},
  {"POST", "fine_tuning/jobs/*/pause", "none", jobs.pause},
  {"POST", "fine_tuning/jobs/*/resume", "none", jobs.resume},
  {"GET", "fine_tuning/jobs/*/events", "none", jobs.events},
  {"GET", "fine_tuning/jobs/*/checkpoints", "none", jobs.list_checkpoints},
  {"POST", "fine_tuning/alpha/graders/validate", "json", graders.validate},
  {"POST", "fine_tuning/alpha/graders/run", "json", graders.run},
  {"GET", "models", "none", models.list},
  {"GET", "models/*", "none", models.get},
  {"DELETE", "models/*", "none", models.delete},
}

local function split(path)
  local out = {}
  for segment in (path .. "/"):gmatch("([^/]*)/") do out[#out + 1] = segment end
  return out
end

for _, route in ipairs(ROUTES) do route.segments = split(route[2]) end

-- The captured ids, decoded one by one, so that an id may hold a slash.
local function captures(route, segments)
  if #route.segments ~= #segments then return nil end
  local ids = {}
  for i, wanted in ipairs(route.segments) do
    if wanted == "*" and segments[i] ~= "" then
      ids[#ids + 1] = http.unescape(segments[i])
    elseif wanted ~= segments[i] then
      return nil
    end
  end
  return ids
end

-- The route and the ids; nil and whether the path is known at all.
local function find(req)
  local prefix, known = store.settings.prefix .. "/", false
  if req.path:sub(1, #prefix) ~= prefix then return nil, false end
  local segments = split(req.path:sub(#prefix + 1))
  for _, route in ipairs(ROUTES) do
    local ids = captures(route, segments)
    if ids and route[1] == req.method then return route, ids end
    known = known or ids ~= nil
  end
  return nil, known
end

local function masked(key) return #key < 12 and "****" or key:sub(1, 8) .. "****" .. key:sub(-4) end

local function given_key(req)
  if store.settings.auth == "api-key" then return req.header["api-key"] end
  return (req.header.authorization or ""):match("^Bearer (.+)$")
end

local function authenticate(req)
  if store.settings.auth == "none" then return end
  local key = given_key(req)
  if not key then
    reply.reject(401, "You didn't provide an API key. You need to provide your API key in an Authorization header "
      .. "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).", nil, nil)
  elseif key ~= store.settings.api_key then
    reply.reject(401, ("Incorrect API key provided: %s. You can find your API key at "
      .. "https://platform.openai.com/account/api-keys."):format(masked(key)), nil, "invalid_api_key")
  end
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
