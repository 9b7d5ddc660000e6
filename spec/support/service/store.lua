-- The state of the service: settings, collections of objects, ids.
local rand = require "openssl.rand"
local socket = require "socket"

local M = {
  settings = {
    api_key = "sk-loopback-0123456789abcdef",
    auth = "bearer", -- or "api-key", "none"
    prefix = "/v1",
    job_seconds = 0.3, -- from created to succeeded
  job_waits = false, -- ... from the first request for the job
    file_seconds = 0, -- from uploaded to processed
    file_fate = "processed", -- or "error"
    upload_seconds = 3600, -- until an upload expires
    latency = 0, -- before each answer
    max_file_bytes = 512 * 1024 * 1024,
    max_part_bytes = 64 * 1024 * 1024,
    max_upload_bytes = 8 << 30,
    min_examples = 10,
    hash = true, -- SHA-256 of what is uploaded
    results_base64 = false,
    refuse = false, -- {status=, message=, code=}: no new jobs
    fail = false, -- {code=, message=, param=}: new jobs fail while they run
  },
  patches = {}, -- id -> fields laid over every answer about it
}

-- The wall clock, in seconds with a fraction: everything that moves by itself moves by it.
M.now = socket.gettime

local LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"

-- An id like the real ones: a prefix and 24 letters and digits.
function M.id(prefix, length)
  local out = {rand.bytes(length or 24):byte(1, -1)}
  for i, byte in ipairs(out) do
    local at = byte % #LETTERS + 1
    out[i] = LETTERS:sub(at, at)
  end
  return prefix .. table.concat(out)
end

-- Objects by id, and in the order of their creation.
local Collection = {__index = {}}
local methods = Collection.__index

function M.collection() return setmetatable({list = {}, by_id = {}}, Collection) end

function methods:add(id, object)
  self.list[#self.list + 1] = object
  self.by_id[id] = object
  object.id = id
  return object
end

function methods:get(id) return self.by_id[id] end

function methods:remove(id)
  local object = self.by_id[id]
  self.by_id[id] = nil
  for i = #self.list, 1, -1 do
    if self.list[i] == object then table.remove(self.list, i) end
  end
end

-- The objects that `keep` keeps, newest first unless order is "asc".
local function ordered(self, keep, order)
  local out, n = {}, #self.list
  for i = 1, n do
    local object = self.list[order == "asc" and i or n - i + 1]
    if not keep or keep(object) then out[#out + 1] = object end
  end
  return out
end

-- A page: an array and whether there is more; nil when `after` is not there.
function methods:page(limit, after, keep, order)
  local all, from = ordered(self, keep, order), after == nil and 1 or nil
  for i = 1, after and #all or 0 do
    if all[i].id == after then from = i + 1 break end
  end
  if not from then return nil end
  return table.move(all, from, math.min(#all, from + limit - 1), 1, {}), #all > from + limit - 1
end

-- A run without a service's past in it.
function M.reset()
  M.files, M.uploads, M.jobs, M.models = M.collection(), M.collection(), M.collection(), M.collection()
  M.patches = {}
end

M.reset()

return M
