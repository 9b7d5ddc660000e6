--[[
A loopback service for specs and examples: the fine-tuning part of the OpenAI
API, or of another one (service/dialect/*.lua), stateful, in a process of its own that dies with this one.

  local service = require "spec.support.service"
  local s <close> = service.start {job_seconds = 0.3}
  s.url "http://127.0.0.1:NNNN/v1"   s.host   s.port   s.key   s.ca_file (with tls)
  s.model   a model that can be tuned (others: small-chat-1, old-chat-1; embed-1 cannot)
  s.storage "http://127.0.0.1:NNNN", where the dialect has a second host for files

start{...}, all optional:
  dialect        "openai" (the default) or another; it may have settings of its own
  tls            "good", "expired", "wronghost" or "untrusted"; s.ca_file is always the good CA
  log            path: every exchange as a line of JSON, for spec/support/openapi/validate.mjs
  models         array of names of further models that can be tuned
  and the settings, which set{...} changes later:
  api_key  auth ("bearer", "api-key", "none")  prefix ("/v1")
  job_seconds    from creation to success (0.3): validating to 0.1 of it, queued to 0.2, then running
  job_waits      true: ... from the first request for the job, however long that takes to come ("openai" only)
  file_seconds   how long an uploaded file is not ready (0)      file_fate  "processed" or "error"
  upload_seconds until an upload expires (3600)                  latency    seconds before each answer
  max_file_bytes, max_part_bytes, max_upload_bytes (512 MiB, 64 MiB, 8 GiB), min_examples (10)
  refuse         {status, message, code}: creating jobs is refused     fail  {code, message, param}: new jobs fail
  results_base64 the results file is served base64-encoded             hash  false: no SHA-256 of uploads

  s:requests{method =, path =, site =}  what came in, oldest first (path: a Lua pattern; site: "api" or "storage"):
        {n, site, conn (its connection's number), time, taken, method, target, path, query, params, headers ({{name,
        value}...} as sent), header (lower-case name -> value), body (up to 64 KiB; else sha256), length, parts ({name,
        filename, type, length, sha256, value}), complete (the body arrived whole), status (answered), fault (its kind)}
  s:stats()     {requests, complete, complete_posts, connections, open, peak, memory, crashes (bugs of the service)}
  s:state()     {files, uploads, jobs (by id), models (names), settings}      s:sha256(file_id)
  s:set{...}    settings; models = {...}; patch = {[id] = {field = value}}: laid over every answer about that object
  s:jump(job_id, fraction)  the job's clock goes (forwards) to that fraction of its time -> the job
  s:seed{files = n, jobs = n}  many small objects -> {files = {ids}, jobs = {ids}}
  s:fault{...}  see below -> its number     s:faults()  -> array of {kind, hits}
  s:clear()     forgets requests and faults, lets go what is stalled; objects stay.    s:reset(): objects too
  s:request(method, path, {headers, body, key = false})  -> status, headers, body: a plain blocking request
  s:stop()      also by <close>, by garbage collection, and when this process ends in any way
  service.refused_url()  a URL at which nobody listens

Faults: fault{kind =, method =, path = (Lua pattern on the path), times = 1 (or "always"), skip = 0, ...}. A request
meets the first fault that matches and has times left. With `apply = true` it is carried out although its
answer is lost.
  status     status (500), headers, body (text or table), or message, code, param; retry_after (s), retry_after_ms,
             retry_after_date (s from now, sent as a date); early = true: answered before the body is read
  reset, close, stall   at = "accept", "request" (head read), "upload" (`bytes` of the body read), "answer" (body
             read; the default), "headers" (sent), "body" (`bytes` of it sent); stall goes on after `seconds`, or never
  drip       `bytes` (1) at a time, `seconds` (0.005) apart          truncate  `bytes` of the body (half), well framed
  html       a page, status (200), body                              redirect  status (307), location (itself: a loop)
  giant      bytes (1 GiB), framing "chunked", "length", "close"     bomb      gzip that expands to bytes (1 GiB)
  deep       depth (100000) of JSON      bad_utf8   JSON that is not UTF-8      gzip   the normal answer, gzipped
  length     how: "same", "differ" (the default), "long", "short", "negative", "words", "huge", "both" (and chunked)
  patch      set = {field = value} in the answer's objects: an unknown status, say
  nulls      null in every nullable field; all = true: in every field but id, object, status
  shuffle    a list that repeats and reorders (the last item stays last: it is the cursor)
  endless    has_more for ever; ids = "same" (the default) or "new"
  header     how: "nul" (the default), "newline", "cr", "fold", "high", "nocolon", "huge", "many" (bytes), in the header
             `name` (x-request-id); or raw = "line\r\n"
  empty      status (204), no body       interim    103 and 100 before the answer       raw   data, then the end
]]
local json = require "dkjson"
local socket = require "socket"

local M = {USER_AGENT = "spec/1"} -- of Service:request(), by which its requests are known
local Service = {}
Service.__index = Service

local HERE = debug.getinfo(1, "S").source:match("^@(.*)/[^/]+$") or "."
local OPTIONS = {tls = true, log = true, dialect = true}
local START_TIMEOUT, CONTROL_TIMEOUT = 60, 60

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The line that the service prints, or nil and why not.
local function wait_for_line(path)
  local deadline = socket.gettime() + START_TIMEOUT
  while socket.gettime() < deadline do
    local file = assert(io.open(path))
    local line = file:read("L")
    file:close()
    local doc = line and line:find("\n$") and json.decode(line)
    if doc then return doc.port and doc, doc.error end
    socket.sleep(0.002)
  end
  return nil, ("it said nothing for %d seconds"):format(START_TIMEOUT)
end

local function command(options, settings, out, ca_file)
  local words = {quote(HERE .. "/service/main.lua"), "--set", quote(json.encode(settings))}
  local function add(name, value)
    if value then words[#words + 1] = name .. " " .. quote(value) end
  end
  add("--tls", options.tls)
  add("--ca-file", ca_file)
  add("--log", options.log)
  add("--dialect", options.dialect)
  return ("exec \"$(command -v lua5.4 || command -v lua)\" %s >%s"):format(table.concat(words, " "), quote(out))
end

local function split_options(options)
  local settings, rest = setmetatable({}, {__jsontype = "object"}), {}
  for name, value in pairs(options or {}) do
    if OPTIONS[name] then rest[name] = value else settings[name] = value end
  end
  return settings, rest
end

-- Starts one; raises when it does not come up.
function M.start(options)
  local settings, rest = split_options(options)
  local out, ca_file = os.tmpname(), rest.tls and os.tmpname() or nil
  local pipe = assert(io.popen(command(rest, settings, out, ca_file), "w"))
  local line, why = wait_for_line(out)
  os.remove(out)
  if not line then
    pipe:close()
    if ca_file then os.remove(ca_file) end
    error("the loopback service did not start: " .. why, 2)
  end
  local scheme = rest.tls and "https" or "http"
  return setmetatable({
    pipe = pipe, host = "127.0.0.1", port = line.port, control = line.control, ca_file = ca_file,
    key = line.key, first_key = line.key, model = line.model,
    url = ("%s://127.0.0.1:%d%s"):format(scheme, line.port, line.prefix),
    storage = line.storage and ("%s://127.0.0.1:%d"):format(scheme, line.storage),
  }, Service)
end

-- The pipe's end is what stops the service; closing waits for it to be gone.
function Service:stop()
  local pipe = self.pipe
  self.pipe = nil
  if not pipe then return end
  pipe:close()
  if self.ca_file then os.remove(self.ca_file) end
end

Service.__close = Service.stop
Service.__gc = Service.stop

local function read_answer(tcp)
  local status = tonumber((assert(tcp:receive("*l"))):match("^HTTP/1%.1 (%d+)"))
  local headers = {}
  for line in function() return tcp:receive("*l") end do
    if line == "" then break end
    local name, value = line:match("^([^:]+):%s*(.*)$")
    headers[name:lower()] = value
  end
  local body = tcp:receive(tonumber(headers["content-length"] or 0))
  return status, headers, body
end

local function exchange(port, method, path, headers, body)
  local tcp = assert(socket.connect("127.0.0.1", port))
  tcp:settimeout(CONTROL_TIMEOUT)
  local head = {("%s %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nuser-agent: %s\r\nconnection: close\r\n")
    :format(method, path, port, M.USER_AGENT)}
  for name, value in pairs(headers) do head[#head + 1] = ("%s: %s\r\n"):format(name, value) end
  if body then head[#head + 1] = ("content-length: %d\r\n"):format(#body) end
  assert(tcp:send(table.concat(head) .. "\r\n" .. (body or "")))
  local status, fields, text = read_answer(tcp)
  tcp:close()
  return status, fields, text
end

-- A plain request to the service itself (not over TLS), with its key.
function Service:request(method, path, options)
  options = options or {}
  local headers = {}
  if options.key ~= false then headers.authorization = "Bearer " .. (options.key or self.key) end
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  return exchange(self.port, method, path, headers, options.body)
end

local function control(self, name, body)
  local _, _, text = exchange(self.control, "POST", "/__control/" .. name, {}, json.encode(body or {}))
  local doc = assert(json.decode(text))
  if doc.error then error(("service %s: %s"):format(name, doc.error), 3) end
  return doc
end

function Service:requests(filter)
  local out = {}
  for _, req in ipairs(control(self, "requests").requests) do
    local kept = not filter or (not filter.method or filter.method == req.method)
      and (not filter.path or req.path:find(filter.path) ~= nil) and (not filter.site or filter.site == req.site)
    if kept then out[#out + 1] = req end
  end
  return out
end

function Service:stats() return control(self, "stats") end

function Service:state() return control(self, "state") end

function Service:sha256(id) return control(self, "sha256", {id = id}).sha256 end

function Service:set(settings)
  control(self, "set", settings)
  self.key = settings.api_key or self.key
end

function Service:jump(id, fraction) return control(self, "jump", {id = id, fraction = fraction}).job end

function Service:seed(counts) return control(self, "seed", counts) end

function Service:fault(fault) return control(self, "fault", fault).id end

function Service:faults() return control(self, "faults").faults end

function Service:clear() control(self, "clear") end

function Service:reset()
  control(self, "reset")
  self.key = self.first_key
end

function M.refused_url()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return ("http://127.0.0.1:%d/v1"):format(port)
end

return M
