-- Which service this process is: one of the modules in dialect/. A dialect is a table:
--   routes     array of {METHOD, path, body ("json", "form", "raw", "none"), handler(req, ids...)}. The path is behind
--              settings.prefix; a segment "*" is an id, "*:verb" an id with a verb behind it (to be listed before
--              "*"). A handler returns a document, an answer of reply.lua, or ends with reply.reject
--   settings   its own settings, and other defaults of the common ones (store.lua)
--   model      the name of a model that can be tuned
--   key(req)   the credential that came with the request, or nil
--   refuse_key(req, given)  optional: rejects a missing (nil) or wrong one in its own way
--   error_doc(status, message, param, code)  the body of an error
--   headers(req, milliseconds)  its own headers of every answer: {{name, value}...}
--   reset(models), add_model(id), state(), jump(id, fraction), seed(counts): for the control port
--   storage    optional, {routes, error_doc?}: a second host without keys, on a port of its own (presigned
--              addresses); M.storage_url() is where it is
local reply = require "service.reply"
local store = require "service.store"

local M = {sites = {}}

local function split(path)
  local out = {}
  for segment in (path .. "/"):gmatch("([^/]*)/") do out[#out + 1] = segment end
  return out
end

M.split = split

local function prepare(site)
  for _, route in ipairs(site.routes) do route.segments = split(route[2]) end
  return site
end

function M.use(name)
  local dialect = require("service.dialect." .. name)
  M.current, M.name = dialect, name
  M.sites = {api = prepare(dialect), storage = dialect.storage and prepare(dialect.storage)}
  for key, value in pairs(dialect.settings) do store.settings[key] = value end
  reply.shape = dialect.error_doc
  return dialect
end

function M.storage_url() return ("%s://127.0.0.1:%d"):format(M.scheme, M.storage_port) end

function M.api_url() return ("%s://127.0.0.1:%d%s"):format(M.scheme, M.port, store.settings.prefix) end

return M
