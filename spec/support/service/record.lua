-- What came in, for specs to look at, and the log of exchanges for the validator.
local cqueues = require "cqueues"
local digest = require "openssl.digest"
local json = require "service.json"

local MAX_BODY = 64 * 1024 -- of a recorded body; of a longer one the hash is kept
local MAX_LOGGED = 1024 * 1024
local MAX_RECORDS = 5000

local M = {list = {}, counts = {}}

function M.clear() M.list, M.counts = {}, {requests = 0, complete = 0, complete_posts = 0, dropped = 0} end

M.clear()

function M.open_log(path)
  M.log = assert(io.open(path, "a"))
  M.log:setvbuf("line")
end

-- A record of a request whose head has been read.
function M.begin(req, fault)
  local counts = M.counts
  counts.requests = counts.requests + 1
  local entry = {
    n = counts.requests, site = req.site, conn = req.conn.number, time = cqueues.monotime(), method = req.method,
    target = req.target,
    path = req.path, query = req.query, params = json.object(req.params), headers = req.headers, header = req.header,
    complete = false, length = 0, fault = fault and fault.kind,
  }
  if #M.list < MAX_RECORDS then
    M.list[#M.list + 1] = entry
  else
    counts.dropped = counts.dropped + 1
  end
  return entry
end

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function describe_parts(form)
  local out = json.array()
  for i, part in ipairs(form.parts) do
    out[i] = {
      name = part.name, filename = part.filename, type = part.type, length = part.blob.bytes,
      sha256 = part.blob:sha256(), value = not part.filename and part.blob:text():sub(1, MAX_BODY) or nil,
    }
  end
  return out
end

-- The body has been read to its end.
function M.complete(entry, req)
  entry.complete = true
  M.counts.complete = M.counts.complete + 1
  if req.method == "POST" then M.counts.complete_posts = M.counts.complete_posts + 1 end
  if req.form then
    entry.parts = describe_parts(req.form)
  elseif req.blob then
    entry.sha256 = req.blob:sha256()
  elseif #req.body <= MAX_BODY then
    entry.body = req.body
  else
    entry.sha256 = hex(digest.new("sha256"):final(req.body))
  end
end

-- The exchange is over.
function M.finish(entry, req)
  local answer = req.answer
  entry.status = answer and answer.status
  entry.taken = cqueues.monotime() - entry.time
  if not M.log or not entry.complete then return end
  local body = answer and answer.body
  M.log:write(json.encode {
    site = entry.site, method = entry.method, path = entry.path, query = entry.query, headers = entry.headers,
    body = req.text,
    parts = entry.parts, fault = entry.fault, status = entry.status,
    answer_headers = answer and answer.headers, answer = body and #body <= MAX_LOGGED and body or nil,
  }, "\n")
end

return M
