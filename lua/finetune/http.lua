-- http.lua: what a provider in Lua has in `ctx`, so that it is straight-line
-- code. Everything rests on one primitive, ctx:request, which yields the request
-- to the core and is resumed with the response, or nil and the error. Retries,
-- credentials, limits and redaction are the core's.

local core = require "finetune.core"
local names = require "finetune.names"
local once = require "finetune.once"
local paginate = require "finetune.paginate"
local sse = require "finetune.sse"
local wait = require "finetune.wait"

local M = {sse = sse}
local context = core.context -- the metatable of every ctx
context.__index = context

-- ---- the primitive ----

-- A yield from a coroutine of the provider's own would go to that coroutine's
-- owner, not to the core
local function ask(what)
  if not core.waiters[coroutine.running()] or not coroutine.isyieldable() then
    wait.refuse("ctx works only in the coroutine that runs the operation, not in one made by the provider, "
      .. "nor inside table.sort, string.gsub or require")
  end
  return coroutine.yield(what)
end

-- A request (the fields are those of finetune.h) -> response | nil, err
function context.request(_, request) return ask(request) end

-- Raises at the line of the provider's function, which called a method of ctx, or at `level`
local function wrong(method, wanted, value, level)
  local got = value == nil and "nothing" or "a " .. type(value)
  error(("ctx:%s: takes %s, not %s"):format(method, wanted, got), level or 3)
end

-- Several at once -> array of responses in order | nil, the first error
function context.all(_, requests, concurrency)
  if type(requests) ~= "table" then wrong("all", "an array of requests", requests) end
  if #requests == 0 then return {} end
  local list = table.move(requests, 1, #requests, 1, {})
  list.concurrency = concurrency
  return ask(list)
end

-- Keeps one request (nil: none any more) that is sent, detached, if the operation is cancelled from here on
function context:on_cancel(request)
  if request ~= nil and type(request) ~= "table" then wrong("on_cancel", "a request, a table, or nil", request) end
  core.on_cancel(self.call, request)
end

-- From here on the value is redacted from this instance's errors and traces, as its key is: for
-- secrets that come with a parameter
function context:secret(value)
  if type(value) ~= "string" then wrong("secret", "a string", value) end
  core.add_secret(self.call, value)
end

function context.sleep(_, seconds)
  if type(seconds) ~= "number" then wrong("sleep", "seconds, a number", seconds) end
  return ask(seconds + 0.0)
end

-- ---- verbs ----

local function route(where)
  return where:match("^%a[%w+.-]*://") and "url" or "path"
end

-- The decoded body, the text, or true where there is none (204); and the response
local function value_of(response, err)
  if not response then return nil, err end
  if response.json == false then -- which would look like a failure, and the response like its error
    return nil, core.error {kind = "decode", status = response.status, message = "the service's answer is only 'false'"}
  end
  if response.json ~= nil then return response.json, response end
  return response.body or true, response
end

local function send(self, method, where, body, options)
  local request = {}
  for key, value in pairs(options or {}) do request[key] = value end
  request.method = method
  request[route(where)] = where
  if type(body) == "table" then request.json = body elseif body ~= nil then request.body = body end
  return value_of(self:request(request))
end

-- Words for the arguments of a verb that cannot be sent
local function check_verb(verb, self, where, options)
  if type(where) ~= "string" then
    wrong(verb, "a path or a URL, a string" .. (type(self) == "string" and " (call it with a colon)" or ""), where, 4)
  end
  if options ~= nil and type(options) ~= "table" then
    wrong(verb, "further fields of the request as its last argument, a table", options, 4)
  end
end

for _, verb in ipairs {"get", "delete"} do
  context[verb] = function(self, where, options)
    check_verb(verb, self, where, options)
    return send(self, verb:upper(), where, nil, options)
  end
end

for _, verb in ipairs {"post", "put", "patch"} do
  context[verb] = function(self, where, body, options)
    check_verb(verb, self, where, options)
    return send(self, verb:upper(), where, body, options)
  end
end

-- Is it an answer of another type? One without a type is taken as it is.
local function is_no_stream(response)
  local kind = response.headers and response.headers["content-type"]
  return kind ~= nil and not kind:lower():find("text/event-stream", 1, true)
end

-- An answer in text/event-stream -> array of its events, `json` in those whose data is JSON;
-- and the response. options.read_for, read_idle (seconds): of a stream that does not end, what
-- comes in that time; response.partial tells, and an event that is not complete is left out. With
-- read_for an answer that has not begun after `timeout` is a silent one: no events.
function context:events(where, options)
  check_verb("events", self, where, options)
  local request = {decode = "text", headers = {Accept = "text/event-stream"}}
  for key, value in pairs(options or {}) do request[key] = value end
  local text, response = send(self, "GET", where, nil, request)
  if not text and request.read_for and response.kind == "timeout" then return {}, {headers = {}, partial = true} end
  if not text then return nil, response end
  if is_no_stream(response) then return self.fail("decode", "the service's answer is no stream of events") end
  local ok, events = pcall(sse.parse, type(text) == "string" and text or "", response.partial)
  if not ok then return self.fail("decode", "%s", events) end
  for _, event in ipairs(events) do event.json = core.decode(event.data) end
  return events, response
end

-- ---- helpers ----

context.escape = core.escape
context.random_token = core.random_token -- () -> 32 hexadecimal digits that nobody can guess

local TIME = "^(%d%d%d%d)%-(%d%d)%-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)(%.?%d*)([Zz+-])(.*)$"

-- "+02:00" -> 7200; nil where it is none
local function offset_of(sign, rest)
  if sign == "Z" or sign == "z" then return rest == "" and 0 or nil end
  local hours, minutes = rest:match("^(%d%d):?(%d%d)$")
  if not hours or tonumber(minutes) > 59 then return nil end
  return (hours * 3600 + minutes * 60) * (sign == "-" and -1 or 1)
end

-- Days since 1970-01-01 of the proleptic Gregorian calendar (years begin with March here)
local function days(year, month, day)
  local y = month <= 2 and year - 1 or year
  local of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
  return y * 365 + y // 4 - y // 100 + y // 400 + of_year - 719468
end

local MONTHS = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31} -- days, at most

-- A time of RFC 3339 ("2026-11-22T10:20:30.5+01:00"), or a number -> Unix seconds, whole; nil where it is none
function context.time(value)
  if math.type(value) == "integer" then return value end
  if type(value) == "number" then return math.tointeger(value // 1) end
  if type(value) ~= "string" then return nil end
  local year, month, day, hour, minute, second, fraction, sign, rest = value:match(TIME)
  local offset = year and offset_of(sign, rest)
  if not offset or fraction == "." or (fraction ~= "" and fraction:sub(1, 1) ~= ".") then return nil end
  year, month, day = math.tointeger(year), math.tointeger(month), math.tointeger(day)
  local fits = month >= 1 and month <= 12 and day >= 1 and day <= MONTHS[month] and tonumber(hour) < 24
    and tonumber(minute) < 60 and tonumber(second) <= 60
  if not fits then return nil end
  return days(year, month, day) * 86400 + math.tointeger(hour * 3600 + minute * 60 + second - offset)
end

-- `return ctx.fail("invalid", "suffix %s is too long", s)`: nil, err
function context.fail(kind, format, ...)
  return nil, core.error {kind = kind, message = format:format(...)}
end

-- `return ctx.invalid("suffix", "is too long: %d", n)`: nil, err of kind "invalid", with that parameter's name
function context.invalid(param, format, ...)
  return nil, core.error {kind = "invalid", param = param, message = param .. " " .. format:format(...)}
end

function context:paginate(spec)
  if type(spec) ~= "table" then wrong("paginate", "a table", spec) end
  return paginate.page(self, spec)
end

-- A file of the service, for download_file: to p.output -> {path, bytes}, or the text of it | nil, err
function context:download(where, p, options)
  check_verb("download", self, where, options)
  local request = {[route(where)] = where, output = p.output, max_bytes = p.max_bytes,
    decode = p.output and "none" or "text"}
  for key, value in pairs(options or {}) do request[key] = value end
  local response, err = self:request(request)
  if not response then return nil, err end
  return p.output and {path = p.output, bytes = response.bytes} or response.body or ""
end

-- A creation that costs money, sent at most once: see once.lua
function context:create_once(params, t)
  if type(t) ~= "table" or type(t.request) ~= "table" then
    wrong("create_once", "the parameters, and a table with `request`", t)
  end
  return once.create(self, params, t)
end

local function poll_interval(self)
  local seconds = self.config.poll_interval
  return type(seconds) == "number" and seconds or nil
end

-- Calls f() until it gives a value (-> that value) or an error (-> nil, err); nil alone, or nil, nil and
-- words that say why: ask again later. The setting poll_interval, where a provider has one, is the longest pause.
function context:poll(f, options)
  if type(f) ~= "function" then wrong("poll", "a function", f) end
  options = options or {}
  local most = options.max_interval or poll_interval(self) or 10
  local delay = math.min(options.interval or 1, most)
  local limit = core.now() + (options.timeout or 1800)
  while true do
    local value, err, why = f()
    if value ~= nil or err ~= nil then return value, err end
    local left = limit - core.now()
    if left <= 0 then
      return self.fail("timeout", "%s was not ready after %g s%s", options.what or "it", options.timeout or 1800,
        why and ": " .. tostring(why) or "")
    end
    self:sleep(math.min(delay, left))
    delay = math.min(delay * 1.5, most)
  end
end

local READY, POLL_FIRST, POLL_MOST = 1800, 0.5, 5 -- seconds; as of the provider openai

-- Waits until the files that create_job names are ready, unless wait_for_files is false: get_file(ctx, {file_id})
-- gives the file; status "processed" is ready, "error" will never be -> true | nil, err
function context:wait_for_files(get_file, params)
  if params.wait_for_files == false then return true end
  for _, name in ipairs {"training_file", "validation_file"} do
    local id = params[name]
    local file, err = id, nil
    if id then file, err = self:wait_for_file(get_file, id, params.file_timeout) end
    if id and not file then return nil, err end
  end
  return true
end

-- -> the file, once its status is "processed" | nil, err: kind "data" where it is "error", "timeout" after `timeout` s
function context:wait_for_file(get_file, id, timeout)
  return self:poll(function()
    local file, err = get_file(self, {file_id = id})
    if not file then return nil, err end
    if file.status == "processed" then return file end
    if file.status ~= "error" then return nil end
    return nil, core.error {kind = "data", file = file,
      message = ("the service could not process file %s: %s"):format(id, file.error or "it gave no details")}
  end, {interval = POLL_FIRST, max_interval = poll_interval(self) or POLL_MOST, timeout = timeout or READY,
    what = "file " .. id})
end

-- ---- uploads: the file is streamed, whatever its size ----

-- A multipart form with one file: {to, path, field = "file", fields, filename, type, ...}
local function form(self, t, info)
  local parts = names.form_fields(t.fields or {})
  parts[#parts + 1] = {name = t.field or "file", path = t.path, filename = t.filename or t.path:match("[^/]*$"),
    type = t.type or "application/octet-stream", size = info.size, mtime = info.mtime}
  return send(self, t.method or "POST", t.to, nil,
    {multipart = parts, headers = t.headers, query = t.query, timeout = t.timeout, retry = t.retry, auth = t.auth})
end

-- The file, or a slice of it, as the whole body of a request to a given (presigned) address
local function raw(t, info, part, offset)
  local length = part.length or math.min(t.part_size or info.size, info.size - offset)
  return {method = part.method or t.method or "PUT", url = part.url, headers = part.headers or t.headers,
    auth = t.auth or false, retry = t.retry or "idempotent", decode = t.decode or "none", tag = part.tag,
    file = {path = t.path, offset = offset, length = length, size = info.size, mtime = info.mtime}}
end

local function slices(t, info)
  local list, offset = {}, 0
  for i, part in ipairs(t.parts) do
    list[i] = raw(t, info, part, part.offset or offset)
    offset = (part.offset or offset) + list[i].file.length
  end
  return list
end

-- ctx:upload{path = file, to = "/files"}: multipart form -> decoded answer, response
-- ctx:upload{path = file, url = address}: raw PUT without credentials -> response
-- ctx:upload{path = file, parts = {{url = …}, …}, part_size = n, concurrency = 4} -> array of responses
-- info = what ctx.file_info gave: the file must still be that one
function context:upload(t)
  if type(t) ~= "table" or type(t.path) ~= "string" then wrong("upload", "a table with the file's path", t) end
  local info, why = t.info, nil
  if not info then info, why = core.file_info(t.path) end
  if not info then return self.fail("usage", "upload: %s", why) end
  if t.parts then return self:all(slices(t, info), t.concurrency or 4) end
  if t.url then return self:request(raw(t, info, t, 0)) end
  return form(self, t, info)
end

require "finetune.exec" -- more methods of ctx
require "finetune.storage"

return M
