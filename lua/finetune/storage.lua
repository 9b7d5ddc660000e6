-- storage.lua: methods of ctx for services that have a file sent to an address in a storage that is not theirs
-- (presigned URLs): which addresses are safe, how a file is cut into parts, what is taken back when it fails.

local core = require "finetune.core"
local names = require "finetune.names"

local context = core.context -- the metatable of every ctx

local UNDO_TIMEOUT = 15 -- seconds: the caller is waiting for the real error
local BLOCK = 1 << 20 -- bytes that count_lines looks at in one go

-- What a file is now -> {size, mtime} | nil, err: it cannot be read, is empty, or has more than `most` bytes
function context.file_info(path, most)
  local info, why
  if path:find("\0", 1, true) then why = "its name contains a zero byte" else info, why = core.file_info(path) end
  if info and info.size == 0 then info, why = nil, path .. " is empty" end
  if info and most and info.size > most then
    info, why = nil, ("%s has %d bytes, and the service takes %d at most"):format(path, info.size, most)
  end
  if info then return info end
  return nil, core.error {kind = "data", message = "cannot upload: " .. why}
end

-- The lines of a block that are not empty, and whether the last one goes on; `open`: so does the first one
local function lines_in(block, open)
  local n, from = 0, 1
  local at = block:find("\n", 1, true)
  while at do
    local blank = at == from or at == from + 1 and block:byte(from) == 13
    if open or not blank then n = n + 1 end
    open, from = false, at + 1
    at = block:find("\n", from, true)
  end
  return n, open or from <= #block
end

-- How many lines of a file are not empty: of JSONL, its examples -> number | nil, err. Others run between the blocks.
function context:count_lines(path)
  local file <close>, why = io.open(path, "rb")
  local block = file and ""
  local total, open = 0, false
  while block do
    local n
    n, open = lines_in(block, open)
    total = total + n
    self:sleep(0)
    block, why = file:read(BLOCK)
  end
  if why then return self.fail("data", "cannot read the file: %s", why) end
  return total + (open and 1 or 0)
end

local function host_of(url)
  local host = url:match "^%a+://(%[[^%]]*%])" or url:match "^%a+://([^/?#:]*)" or ""
  return (host:lower():gsub("%.$", ""))
end

local function is_loopback(url)
  local host = host_of(url)
  return host == "localhost" or host == "[::1]" or host:find "^127%.%d+%.%d+%.%d+$" ~= nil
end

-- More than that: whatever may mean this machine, or what only it can reach (the metadata of clouds, say)
local NEAR = {"^127%.[%d.]+$", "^169%.254%.[%d.]+$", "^0[%d.x]*$", "^%d+$", "^0x%x+$", "%.localhost$", "^%[::1?%]$",
  "^%[fe[89ab]", "^%[::ffff:", "^%[0*:"}

local function is_near(url)
  local host = host_of(url)
  for _, pattern in ipairs(NEAR) do
    if host:find(pattern) then return true end
  end
  return is_loopback(url)
end

-- An address that the service gave for a file -> the same | nil, err. Over https it may be any host: the storage is
-- whatever the service rents. Over http it may only be on this machine, and only if the API is here too (tests, a
-- local stand-in): plain text would show the training data, and a service elsewhere has no business with what listens
-- on this machine.
function context:storage_url(url)
  local clean = type(url) == "string" and not url:find "[%s%c\\]" and url or ""
  local scheme, host = clean:match "^(%a+)://([^/?#]+)"
  scheme = scheme and not host:find("@", 1, true) and scheme:lower()
  local api_is_here = is_loopback(self.config.base_url or "")
  if scheme == "https" and (api_is_here or not is_near(clean)) then return url end
  if scheme == "http" and api_is_here and is_loopback(clean) then return url end
  return nil, core.error {kind = "decode",
    message = "the service's answer has no address of a storage that the file may be sent to"}
end

-- A file of so many bytes in parts of about `wanted` bytes, at most `most` of them -> how many, bytes of each but the
-- last, which has what is left. The number is counted again after rounding up, or the last could be empty.
function context.parts(bytes, wanted, most)
  local n = math.min(most, (bytes + wanted - 1) // wanted)
  local size = (bytes + n - 1) // n
  return (bytes + size - 1) // size, size
end

-- f() finishes what was begun -> its value. Where it fails (it may raise an error value, too), or the operation is
-- cancelled meanwhile, `request` takes it back, once and whatever comes of it -> nil, f's error
function context:or_undo(request, f)
  request.retry, request.timeout = "never", UNDO_TIMEOUT
  self:on_cancel(request)
  local ran, value, err = pcall(f)
  self:on_cancel(nil)
  if ran and value then return value end
  self:request(request)
  if ran then return nil, err end
  if core.is_error(value) then return nil, value end
  error(value, 0)
end

-- What a service may not say of a part: how it is framed, where it goes, who sends it
local OURS = {["content-length"] = true, ["transfer-encoding"] = true, host = true, connection = true, te = true,
  upgrade = true, expect = true, trailer = true, authorization = true, ["proxy-authorization"] = true, cookie = true,
  ["api-key"] = true, ["x-api-key"] = true}

-- The headers that a storage wants with a part -> they, or nil where they cannot be sent
local function clean_headers(headers)
  if type(headers) ~= "table" then return headers == nil and {} or nil end
  for name, value in pairs(headers) do
    local good = type(name) == "string" and name:find "^[%w_-]+$" and type(value) == "string" and not value:find "%c"
      and not OURS[name:lower()]
    if not good then return nil end
  end
  return headers
end

-- Addresses for n parts -> the parts of ctx:upload, in order; nil where each of 1..n is not there once and good
local function placed(ctx, t)
  local list, count = {}, 0
  for _, place in ipairs(t.places) do
    local at, url, headers = place.number, ctx:storage_url(place.url), clean_headers(place.headers)
    if math.type(at) ~= "integer" or at < 1 or at > t.count or list[at] or not url or not headers then return nil end
    local offset = (at - 1) * t.size
    list[at] = {url = url, headers = headers, offset = offset, length = math.min(t.size, t.info.size - offset)}
    count = count + 1
  end
  return count == t.count and list or nil
end

-- Sends a file in parts to a storage that answers each with an ETag, as S3 and its like do. t: path, info (of
-- ctx.file_info), count and size (of ctx.parts), places = array of {number, url, headers} from the service,
-- concurrency (4) -> the ETags, unquoted, in order | nil, err
function context:upload_parts(t)
  local parts, etags = placed(self, t), {}
  if not parts then return self.fail("decode", "the service's answer has no good addresses for %d parts", t.count) end
  local responses, err = self:upload {path = t.path, info = t.info, parts = parts, concurrency = t.concurrency}
  if not responses then return nil, err end
  for i, response in ipairs(responses) do
    etags[i] = (response.headers.etag or ""):gsub('"', "")
    if etags[i] == "" then return self.fail("decode", "the storage gave no ETag for part %d", i) end
  end
  return etags
end

-- {name = value} -> the body of a form, application/x-www-form-urlencoded, sorted by name; raises an error value of
-- kind "invalid" where a value is no text, number or boolean
function context.form(fields)
  local list = {}
  for i, field in ipairs(names.form_fields(fields)) do
    list[i] = core.escape(field.name) .. "=" .. core.escape(field.value)
  end
  return table.concat(list, "&")
end

return context
