-- paginate.lua: ctx:paginate, one call for the four ways in which services page
-- their lists: a cursor (the id of the last item), a page token, a page number,
-- a Link header; and for those who give them whole. One page a call, in the form that
-- list_* operations return.

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

-- What leads to the next page -> it as text; nil: there is none; nil, words: it is something else
local function position(value)
  if value == nil or value == false or value == "" or value == core.null then return nil end
  if type(value) == "string" then return value end
  if math.type(value) == "integer" then return tostring(value) end
  return nil, ("the answer says where the next page begins, in a %s"):format(type(value))
end

-- "https://host:1/v1/x" -> "https://host:1", "/v1/x"
local function split_url(url)
  return url:match("^(%a[%w+.-]*://[^/?#]*)(.*)$")
end

-- The rel="next" address of a Link header; rel may have several words
local function next_link(headers)
  local link = headers and headers.link
  if type(link) == "table" then link = table.concat(link, ", ") end
  for address, attributes in (link or ""):gmatch("<([^>]*)>([^<]*)") do
    attributes = attributes:lower()
    local rel = attributes:match('[;%s]rel%s*=%s*"([^"]*)"') or attributes:match("[;%s]rel%s*=%s*([^;,%s]*)")
    if rel and (" " .. rel .. " "):find(" next ", 1, true) then return address end
  end
end

-- As hosts are compared: without the port that the scheme has anyway
local function origin_of(url)
  local origin = (split_url(url) or ""):lower()
  return (origin:gsub("^(https://.*):443$", "%1"):gsub("^(http://.*):80$", "%1"))
end

-- A link of the service, seen from the page that has it -> its address; nil for another host,
-- which is to get neither the credentials nor the request
local function own_url(here, link)
  local origin, path = split_url(here)
  if link:sub(1, 2) == "//" then link = origin:match("^[^/]*") .. link end
  if split_url(link) then return origin_of(link) == origin_of(here) and link or nil end
  path = path:gsub("[?#].*$", "")
  if link:sub(1, 1) == "/" then return origin .. link end
  if link:sub(1, 1) == "?" then return origin .. path .. link end
  return origin .. path:gsub("[^/]*$", "") .. link
end

-- The address of the list itself
local function here_of(spec)
  return spec.url or spec.base_url:gsub("/+$", "") .. (spec.path or "")
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
    local after, why = position(type(last) == "table" and last[spec.id or "id"])
    if more and not after then return nil, why or "there are more pages, but the last item has no id to go on from" end
    return after, why
  end,
}

ways.token = {
  begin = function(query, spec) query[spec.token] = spec.after end,
  next = function(spec, doc) return position(dig(doc, spec.next or "next_page_token")) end,
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
    request.path, request.url, request.query = nil, own_url(here_of(spec), spec.after), nil
    request.auth = spec.url == nil -- with a path the list itself had the credentials
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
  if spec.limit and not spec.whole then query[spec.limit_name or "limit"] = spec.limit end
  request.query = query
  if way then way.begin(query, spec, request) end
  return request
end

-- A list that comes whole, the newest first: which way it goes is told by the times, or time stamps of one form, that
-- its first and its last item have in that field
local function newest_first(data, items, field)
  local first, last = dig(items[1], field), dig(items[#items], field)
  if type(first) ~= type(last) or (type(first) ~= "string" and type(first) ~= "number") or first >= last then return end
  for i = 1, #data // 2 do data[i], data[#data + 1 - i] = data[#data + 1 - i], data[i] end
end

local function bad(message)
  return nil, core.error {kind = "decode", message = message}
end

-- The page of a whole list that p.after and p.limit ask for; newest: the list's end comes first
-- -> page | nil, err (kind "invalid": there is no item p.after)
function M.slice(list, p, raw, newest)
  local data, n = core.array {}, #list
  local on, last = p.after == nil, nil
  for i = 1, n do
    local item = list[newest and n + 1 - i or i]
    if on and last and #data >= math.max(p.limit or n, 1) then -- without an id nothing could go on from there
      return {data = data, has_more = true, next = last, raw = raw}
    end
    if on then data[#data + 1], last = item, item.id end
    on = on or item.id == p.after
  end
  if on then return {data = data, has_more = false, raw = raw} end
  return nil, core.error {kind = "invalid", param = "after", message = ("after: there is no item '%s'"):format(p.after)}
end

local function highest_first(list, field)
  if field then table.sort(list, function(a, b) return (a[field] or 0) > (b[field] or 0) end) end
  return list
end

local function page_of(spec, way, response)
  local doc = response.json
  local items = list_of(spec, doc)
  if spec.optional and (items == nil or items == core.null) then items = {} end
  if type(items) ~= "table" or type(next(items)) == "string" then
    return bad("the answer has no list where one was expected")
  end
  local data = core.array {}
  for _, item in ipairs(items) do
    if item == core.null then item = nil elseif spec.map then item = spec.map(item) end
    if item ~= nil then data[#data + 1] = item end
  end
  if spec.newest then newest_first(data, items, spec.newest) end
  if spec.whole then return M.slice(highest_first(data, spec.by), spec, doc) end
  local after, why
  if way then after, why = way.next(spec, doc, items, response) end
  if why then return bad(why) end
  return {data = data, has_more = after ~= nil, next = after, raw = doc}
end

-- ctx:paginate(spec) -> page | nil, err
function M.page(ctx, spec)
  local way = way_of(spec)
  local full = setmetatable({base_url = ctx.config.base_url or ""}, {__index = spec})
  if spec.link and spec.after and not own_url(here_of(full), spec.after) then
    return bad("the service's link to the next page goes to another host")
  end
  local response, err = ctx:request(request_of(full, way))
  if not response then return nil, err end
  return page_of(full, way, response)
end

return M
