-- paginate.lua: ctx:paginate, one call for the four ways in which services page
-- their lists: a cursor (the id of the last item), a page token, a page number,
-- a Link header. One page a call, in the form that list_* operations return.

local core = require "finetune.core"

local M = {}

local ROUTE = {path = true, url = true, headers = true, timeout = true, extra = true, retry = true}

-- A field by its dotted name: "meta.next_token"
local function dig(doc, name)
  for key in name:gmatch("[^.]+") do
    if type(doc) ~= "table" then return nil end
    doc = doc[key]
  end
  return doc
end

local function list_of(spec, doc)
  local items = spec.items or "data"
  if type(items) == "function" then return items(doc) end
  return dig(doc, items)
end

local function text_or_nil(value)
  if value == nil or value == "" or value == core.null then return nil end
  return tostring(value)
end

-- "https://host:1/v1/x" -> "https://host:1", "/v1/x"
local function split_url(url)
  return url:match("^(%a[%w+.-]*://[^/?#]*)(.*)$")
end

-- The rel="next" address of a Link header
local function next_link(headers)
  local link = headers and headers.link
  if type(link) == "table" then link = table.concat(link, ", ") end
  for address, attributes in (link or ""):gmatch("<([^>]*)>([^<]*)") do
    if attributes:lower():find('rel%s*=%s*"?next"?') then return address end
  end
end

-- A link of the service -> its path behind base_url, so that it carries the credentials and
-- can go to no other host; nil for a foreign one
local function own_path(base_url, link)
  local origin, base_path = split_url(base_url)
  local host, rest = split_url(link)
  if host and host:lower() ~= (origin or ""):lower() then return nil end
  rest = host and rest or link
  base_path = (base_path or ""):gsub("/+$", "")
  if base_path ~= "" and rest:sub(1, #base_path) == base_path then rest = rest:sub(#base_path + 1) end
  return rest:sub(1, 1) == "/" and rest or "/" .. rest
end

-- ---- the four ways: begin(request, spec) puts the position in, next(...) reads the next one ----

local ways = {}

ways.cursor = {
  begin = function(query, spec) query[spec.cursor] = spec.after end,
  next = function(spec, doc, items)
    local more = dig(doc, spec.more or "has_more")
    local last = items[#items]
    if more == false or not last then return nil end
    if more == nil and not (spec.limit and #items >= spec.limit) then return nil end
    return text_or_nil(type(last) == "table" and last[spec.id or "id"])
  end,
}

ways.token = {
  begin = function(query, spec) query[spec.token] = spec.after end,
  next = function(spec, doc) return text_or_nil(dig(doc, spec.next or "next_page_token")) end,
}

ways.page = {
  begin = function(query, spec) query[spec.page] = spec.after or spec.first or 1 end,
  next = function(spec, doc, items)
    local number = math.tointeger(tonumber(spec.after or spec.first or 1)) or 1
    local pages = tonumber(spec.pages and dig(doc, spec.pages))
    local more = #items > 0
    if pages then
      more = number - (spec.first or 1) + 1 < pages
    elseif spec.limit then
      more = #items >= spec.limit
    end
    return more and tostring(number + 1) or nil
  end,
}

ways.link = {
  begin = function(_, spec, request)
    if not spec.after then return end
    request.path, request.url, request.query = own_path(spec.base_url, spec.after), nil, nil
  end,
  next = function(_, _, _, response) return next_link(response.headers) end,
}

local function way_of(spec)
  for _, name in ipairs {"cursor", "token", "page", "link"} do
    if spec[name] then return ways[name] end
  end
end

local function request_of(spec, way)
  local request, query = {method = "GET", query = {}}, {}
  for key in pairs(ROUTE) do request[key] = spec[key] end
  for key, value in pairs(spec.query or {}) do query[key] = value end
  if spec.limit then query[spec.limit_name or "limit"] = spec.limit end
  request.query = query
  if way then way.begin(query, spec, request) end
  return request
end

local function bad(message)
  return nil, core.error {kind = "decode", message = message}
end

local function page_of(spec, way, response)
  local doc = response.json
  local items = list_of(spec, doc)
  if items == nil and spec.optional then items = {} end
  if type(items) ~= "table" then return bad("the answer has no list where one was expected") end
  local data = core.array {}
  for _, item in ipairs(items) do
    if spec.map then item = spec.map(item) end
    if item ~= nil then data[#data + 1] = item end
  end
  local after = way and way.next(spec, doc, items, response)
  return {data = data, has_more = after ~= nil, next = after, raw = doc}
end

-- ctx:paginate(spec) -> page | nil, err
function M.page(ctx, spec)
  local way = way_of(spec)
  local full = setmetatable({base_url = ctx.config.base_url or ""}, {__index = spec})
  if spec.link and spec.after and not own_path(full.base_url, spec.after) then
    return bad("the service's link to the next page goes to another host")
  end
  local response, err = ctx:request(request_of(full, way))
  if not response then return nil, err end
  return page_of(full, way, response)
end

return M
