-- The faults that a spec asked for, and which of them a request meets. What each
-- kind does is in shapes.lua (the answer's content) and senders.lua (its bytes);
-- the kinds and their fields are described in spec/support/service.lua.
local M = {list = {}}

local POINTS = {accept = true, request = true, upload = true, answer = true, headers = true, body = true}

local function fields(text)
  local set = {}
  for name in (text .. " kind method path times skip apply at"):gmatch("%S+") do set[name] = true end
  return set
end

local KINDS = {
  status = fields "status body headers message code param retry_after retry_after_ms retry_after_date early",
  reset = fields "bytes", close = fields "bytes", stall = fields "bytes seconds",
  drip = fields "bytes seconds", truncate = fields "bytes", html = fields "status body",
  giant = fields "bytes framing type", bomb = fields "bytes", gzip = fields "", deep = fields "depth",
  bad_utf8 = fields "", length = fields "how", redirect = fields "status location",
  patch = fields "set", nulls = fields "all", shuffle = fields "", endless = fields "ids",
  header = fields "how name bytes raw", empty = fields "status", interim = fields "", raw = fields "data",
}

-- Kinds that change the normal answer on its way, so the request is carried out.
local TRANSFORMS = {drip = true, truncate = true, gzip = true, length = true, patch = true, nulls = true,
                    shuffle = true, endless = true, header = true, interim = true}

M.interrupts = {reset = true, close = true, stall = true}

local function problem(fault)
  local known = KINDS[fault.kind or 0]
  if not known then return ("unknown kind '%s'"):format(fault.kind) end
  for name in pairs(fault) do
    if not known[name] then return ("kind '%s' has no field '%s'"):format(fault.kind, name) end
  end
  if fault.at and not (M.interrupts[fault.kind] and POINTS[fault.at]) then
    return ("'at' cannot be '%s' here"):format(fault.at)
  end
end

-- Adds a fault; nil and words for one that makes no sense.
function M.add(fault)
  local words = problem(fault)
  if words then return nil, words end
  if M.interrupts[fault.kind] then fault.at = fault.at or "answer" end
  fault.times = fault.times == "always" and math.huge or fault.times or 1
  fault.skip, fault.hits = fault.skip or 0, 0
  M.list[#M.list + 1] = fault
  return #M.list
end

function M.clear() M.list = {} end

local function matches(fault, req)
  if (fault.at == "accept") ~= (req == nil) then return false end
  if not req then return true end
  if fault.method and fault.method ~= req.method then return false end
  return not fault.path or req.path:find(fault.path) ~= nil
end

-- The fault that this request meets (no request: that this connection meets),
-- counted as met.
function M.take(req)
  for _, fault in ipairs(M.list) do
    if fault.times > 0 and matches(fault, req) then
      if fault.skip > 0 then
        fault.skip = fault.skip - 1
      else
        fault.times, fault.hits = fault.times - 1, fault.hits + 1
        return fault
      end
    end
  end
end

-- Is the request carried out although the client will not see a normal answer?
function M.applies(fault)
  if fault.apply ~= nil then return fault.apply end
  return TRANSFORMS[fault.kind] or M.interrupts[fault.kind] and (fault.at == "body" or fault.at == "headers")
    or false
end

return M
