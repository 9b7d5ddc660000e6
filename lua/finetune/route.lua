-- route.lua: operations that are one request and one conversion, as rows: a provider's get_job, cancel_job,
-- list_files and their like need no function of their own.
--
--   P.get_job = finetune.route {"GET /jobs/{job_id}", value = to_job}
--   P.cancel_job = finetune.route {"POST /jobs/{job_id}/cancel", value = to_job}
--   P.delete_file = finetune.route {"DELETE /files/{file_id}", deleted = "file_id"}
--   P.list_jobs = finetune.route {"GET /jobs", value = to_job, query = {"metadata"}, page = {cursor = "after"}}

local core = require "finetune.core"

local M = {}

local ALWAYS = {timeout = true, extra = true}
local PAGED, WHOLE = {after = true, limit = true}, {limit = true}

-- "/jobs/{job_id}/cancel" with its names filled in and escaped, from the parameters or the settings. What `to` gave may
-- be several segments: its slashes stay.
local function fill(row, ctx, params)
  return (row.path:gsub("{([%w_]+)}", function(name)
    local text = tostring(params[name] or ctx.config[name])
    return row.to and row.to[name] and text:gsub("[^/]+", core.escape) or core.escape(text)
  end))
end

local function names_in(path)
  local names = {}
  for name in path:gmatch "{([%w_]+)}" do names[name] = true end
  return names
end

-- {"limit", order = "sort"}: ours -> theirs
local function pairs_of(list)
  local all = {}
  for ours, theirs in pairs(list or {}) do all[type(ours) == "number" and theirs or ours] = theirs end
  return all
end

local function copy_over(into, from)
  for key, value in pairs(from or {}) do into[key] = value end
  return into
end

-- What was given, under the service's names, and `extra` over it
local function taken(names, params)
  local all = {}
  for ours, theirs in pairs(names) do all[theirs] = params[ours] end
  return copy_over(all, params.extra)
end

-- A parameter that this service would never see is refused, not dropped
local function refuse(row, ctx, params)
  for name in pairs(params) do
    if not row.known[name] then
      return nil, core.error {kind = "invalid", param = name,
        message = ("%s of %s takes no '%s' (anything the service knows: `extra`)"):format(ctx.op, ctx.name, name)}
    end
  end
  return true
end

-- The parameters as `to` makes them -> new ones | nil, err
local function made(row, ctx, params)
  if not row.to then return params end
  local all = copy_over({}, params)
  for name, to in pairs(row.to) do
    local value, why = params[name], nil
    if value ~= nil then value, why = to(value, params, ctx) end
    if why then return nil, core.error {kind = "invalid", param = name, message = name .. " " .. why} end
    all[name] = value
  end
  return all
end

local function page_of(row, ctx, params, request)
  local spec = copy_over({path = request.path, query = request.query}, row.page)
  spec.after = params.after
  if row.paged then spec.limit = params.limit or spec.limit end
  spec.map = function(item)
    if row.keep and not row.keep(item, ctx, params) then return nil end
    return (row.value(item, ctx, params)) -- one bad item does not hide the others
  end
  return ctx:paginate(spec)
end

local function deleted(row, params, doc)
  if type(doc) == "table" and doc.deleted == false then
    return nil, core.error {kind = "conflict", message = "the service answered that it did not delete it"}
  end
  return {id = params[row.deleted], deleted = true, raw = type(doc) == "table" and doc or {}}
end

local function run(row, ctx, params)
  local ok, err = refuse(row, ctx, params)
  if ok then params, err = made(row, ctx, params) end
  if not ok or not params then return nil, err end
  local request = {method = row.method, retry = row.retry or "idempotent", auth = row.base and true or nil}
  local path = fill(row, ctx, params)
  if row.base then request.url = row.base(ctx) .. path else request.path = path end
  if not row.has_body then
    request.query = copy_over(taken(row.query, params), row.set)
    if row.page then return page_of(row, ctx, params, request) end
  else
    local body = copy_over(taken(row.body, params), row.set)
    request.json = (next(body) or row.empty) and body or nil
  end
  local response
  response, err = ctx:request(request)
  if not response then return nil, err end
  if row.deleted then return deleted(row, params, response.json) end
  return row.value(response.json, ctx, params)
end

-- {"METHOD /path/{param}", …}:
--   value     function(doc, ctx, params) -> value | nil, err: of the answer, or of each item of a page
--   deleted   in its place: the parameter that is the id; the result is {id, deleted = true}
--   page      the fields of ctx:paginate: the answer is a list; {} where it comes whole, which is then all that `limit`
--             and no `after` can have
--   to        parameter -> function(value, params, ctx): what stands for it, in the path with its slashes (a short id's
--             whole name: "projects/p/jobs/j"); or nil and words, with which it is refused
--   base      function(ctx) -> another address in the place of base_url, of the same service: it gets the credentials
--             (not of a page)
--   query     of a GET or DELETE, body of any other (and of a GET that has one): parameters that are sent, {"name"} or
--             {ours = "theirs"}
--   set       constants beside them
--   keep      function(item, ctx, params) -> is this item of the page wanted?
--   uses      array of further parameters that `value` or `keep` look at
--   empty     true: a POST without anything sends {}
--   retry     as of ctx:request, "idempotent" where it is not said: it may be repeated
-- Any other parameter is refused (kind "invalid"). A job is created by ctx:create_once.
-- -> function(ctx, params)
function M.route(t)
  local method, path = (t[1] or ""):match "^(%u+) (/.*)$"
  if not method then error("route: begins with 'METHOD /path'", 2) end
  if not (t.value or t.deleted) then error("route: has `value`, or `deleted`", 2) end
  local row = copy_over({}, t)
  row.method, row.path, row.query, row.body = method, path, pairs_of(t.query), pairs_of(t.body)
  row.has_body = t.body ~= nil or (method ~= "GET" and method ~= "DELETE")
  row.paged = t.page and (t.page.cursor or t.page.token or t.page.page or t.page.link or t.page.whole)
  row.known = copy_over(copy_over(names_in(path), ALWAYS), t.page and (row.paged and PAGED or WHOLE))
  for _, list in ipairs {row.query, row.body, pairs_of(t.uses)} do
    for name in pairs(list) do row.known[name] = true end
  end
  return function(ctx, params) return run(row, ctx, params) end
end

return M
