-- The side door: plain HTTP on a port of its own, so that a spec can look and
-- steer while the service itself is stalled, or speaks TLS that nobody trusts.
local conn = require "service.conn"
local dialect = require "service.dialect"
local faults = require "service.faults"
local http = require "service.http"
local json = require "service.json"
local record = require "service.record"
local router = require "service.router"
local store = require "service.store"

local M = {}

local ROUTES = {}

function ROUTES.requests() return {requests = json.array(record.list)} end

function ROUTES.fault(body)
  local id, words = faults.add(body)
  return {id = id, error = words}
end

function ROUTES.faults()
  local out = json.array()
  for i, fault in ipairs(faults.list) do
    out[i] = {kind = fault.kind, hits = fault.hits, at = fault.at, path = fault.path, method = fault.method}
  end
  return {faults = out}
end

-- Forgets requests and faults and lets go whatever is held; the objects stay.
function ROUTES.clear()
  record.clear()
  faults.clear()
  conn.release()
  return {}
end

-- As after the start.
function ROUTES.reset()
  store.reset()
  dialect.current.reset(M.models)
  for name, value in pairs(M.defaults) do store.settings[name] = value end
  return ROUTES.clear()
end

function ROUTES.set(body)
  for name, value in pairs(body) do
    if name == "patch" then
      for id, laid in pairs(value) do store.patches[id] = laid end
    elseif name == "models" then
      for _, id in ipairs(value) do dialect.current.add_model(id) end
    elseif store.settings[name] == nil then
      return {error = ("unknown setting '%s'"):format(name)}
    else
      store.settings[name] = value
    end
  end
  return {}
end

function ROUTES.jump(body) return {job = dialect.current.jump(body.id, body.fraction)} end

function ROUTES.state()
  local state = dialect.current.state()
  state.settings = store.settings
  return state
end

-- The hash of a file, that of one in parts included.
function ROUTES.sha256(body)
  local file = store.files:get(body.id)
  return {sha256 = file and file.blob:sha256()}
end

-- Linux tells the peak of the memory; elsewhere it is left out.
local function peak_memory()
  local status = io.open("/proc/self/status")
  if not status then return nil end
  local text = status:read("a")
  status:close()
  return tonumber(text:match("VmHWM:%s*(%d+)")) * 1024
end

function ROUTES.stats()
  return {
    requests = record.counts.requests, complete = record.counts.complete,
    complete_posts = record.counts.complete_posts, dropped = record.counts.dropped,
    connections = conn.opened, open = conn.open, peak = conn.peak, memory = peak_memory(),
    crashes = json.array(router.crashes),
  }
end

function ROUTES.seed(body) return dialect.current.seed(body) end

local function read_body(req)
  local pieces = {}
  for chunk in http.body_reader(req) do pieces[#pieces + 1] = chunk end
  return json.decode(table.concat(pieces)) or {}
end

local function answer(name, body)
  local route = ROUTES[name]
  if not route then return {error = ("no such control: '%s'"):format(name)} end
  local ok, doc = pcall(route, body)
  if ok then return doc end
  local refusal = type(doc) == "table" and doc.answer
  return {error = refusal and json.encode(refusal.doc) or tostring(doc)}
end

-- One request a connection.
function M.serve(peer)
  local req = http.read_head(peer)
  if req then
    local name = req.path:match("^/__control/([%w_]+)$") or ""
    local text = json.encode(answer(name, read_body(req)))
    peer:write(http.head(200, {{"content-type", "application/json"}, {"content-length", tostring(#text)},
                               {"connection", "close"}}) .. text)
  end
  peer:close()
end

return M
