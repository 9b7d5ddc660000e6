-- Providers on providers: how deep they can stand on one another, and what becomes of one that calls
-- itself without end. Arguments: mark(), which notes the C stack's address; gives the functions by name.

local core = require "finetune.core"
local finetune = require "finetune"

local mark = ...
local M = {}

local REFUSED = {}
for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
  REFUSED[op] = finetune.unsupported "not here"
end

local function provider(name, get_job, transport)
  local P = {name = name, base_url = "https://deep.example", get_job = get_job}
  for op, reason in pairs(REFUSED) do P[op] = reason end
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider(name, {api_key = false, transport = transport}))
end

local function answer()
  mark()
  return {json = {id = "j", status = "running"}}
end

-- `deep` providers: each asks the one below it, the last one the service
local function tower(deep, ask, transport)
  local below = provider("deep-0", function(ctx) return ctx:get "/jobs" end, transport or answer)
  for i = 1, deep do
    local next_below = below
    below = provider("deep-" .. i, function(_, p) return ask(next_below, p.job_id) end)
  end
  return below
end

local function by_method(below, id) return below:get_job(id) end
local function by_yield(below, id) return coroutine.yield(core.start(below, "get_job", {job_id = id})) end

function M.by_method() assert(assert(tower(100, by_method):get_job "j").id == "j") end

function M.by_yield() assert(assert(tower(100, by_yield):get_job "j").id == "j") end

function M.cancelled()
  local top = tower(100, by_method, function() return "pending" end)
  local call = top:async("get_job", "j")
  for _ = 1, 300 do finetune.step(0) end
  assert(core.pending() == 101, core.pending() .. " calls wait")
  call:cancel()
  assert(core.pending() == 0, core.pending() .. " calls are left")
  local _, err = call:result()
  assert(err.kind == "cancelled", tostring(err))
end

function M.closed()
  local top = tower(100, by_method, function() return "pending" end)
  local call = top:async("get_job", "j")
  for _ = 1, 300 do finetune.step(0) end
  top:close()
  local _, err = call:result()
  assert(err.kind == "cancelled" and core.pending() == 0, tostring(err))
end

local function endless(ask)
  local self
  self = provider("endless", function(_, p)
    mark()
    return ask(self, p.job_id)
  end)
  local before = collectgarbage "count"
  local job, err = self:get_job "j"
  assert(not job and finetune.is_error(err), tostring(err))
  assert(#tostring(err) < 4000, "an error of " .. #tostring(err) .. " bytes")
  assert(core.pending() == 0, core.pending() .. " calls are left")
  assert(collectgarbage "count" - before < 16384, "it took more than 16 MiB")
  return tostring(err)
end

function M.endless_by_method() return endless(by_method) end
function M.endless_by_yield() return endless(by_yield) end

-- Not asked for and waited, only begun: each call begins the next one
function M.endless_starts()
  return endless(function(self, id)
    local call = self:async("get_job", id)
    return call:await()
  end)
end

-- A callback that begins the call whose callback it is
local function callbacks(get_job)
  local p = provider("told", get_job, answer)
  local n = 0
  local function again()
    n = n + 1
    mark()
    if n < 2000 then p:async("get_job", "j"):on_done(again) end
  end
  again()
  while n < 2000 do finetune.step(0) end
end

function M.callbacks() callbacks(function(ctx) return ctx:get "/jobs" end) end

-- The same of a call that is done at once: where on_done calls at once, too, it is a recursion of the caller's
function M.callbacks_at_once()
  local ok, err = pcall(callbacks, function() return {id = "j", status = "running"} end)
  assert(ok or tostring(err):find "stack overflow", tostring(err))
end

-- A long chain of calls, each waiting for the one before it, cancelled at its end
function M.chain()
  local last
  local p = provider("chain", function(_, params)
    local before = params.extra.before
    if before then return before:await() end
    return coroutine.yield(1000)
  end)
  for _ = 1, 3000 do last = p:async("get_job", {job_id = "j", extra = {before = last}}) end
  assert(core.pending() == 3000)
  last:cancel()
  assert(core.pending() == 0, core.pending() .. " calls are left")
end

return M
