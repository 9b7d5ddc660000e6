-- once.lua: creating something that costs money, sent at most once. When the answer is
-- lost nobody knows whether it was made: what can be found out is found out, and
-- the rest is kind "conflict", told with what might be it.

local core = require "finetune.core"

local M = {}

local CLOCK_SKEW = 300 -- seconds that the service's clock and ours may differ
local BEFORE = {usage = true, config = true, data = true, invalid = true, unsupported = true}

-- Can the service not have made it? It was not reached, or it said no. 408 and 409 say
-- nothing, nor does a 2xx whose body cannot be read; 303 is "done, look there".
local UNSURE = {[303] = true, [408] = true, [409] = true}

local function surely_not_made(err)
  if err.status then return err.status >= 300 and err.status < 500 and not UNSURE[err.status] end
  return err.sent == false or BEFORE[err.kind] or false
end

-- A service may say more than it was asked for: gpt-4o-mini-2024-07-18 for gpt-4o-mini, accounts/a/models/m for m
local function says_another(ours, theirs)
  if type(ours) ~= "string" or type(theirs) ~= "string" then return false end
  return theirs:sub(1, #ours) ~= ours and theirs:sub(-#ours - 1) ~= "/" .. ours
end

-- Might that job be it? Same model and file where it says them, and not from before
local function is_candidate(job, params, began)
  if says_another(params.model, job.model) or says_another(params.training_file, job.training_file) then
    return false
  end
  return type(job.created_at) ~= "number" or job.created_at >= began - CLOCK_SKEW
end

local function candidates_of(ctx, t, params, began)
  local list = core.array {}
  if not t.list then return list end
  local page, err = t.list(ctx, {})
  if not page then return list, err end
  for _, job in ipairs(page.data) do
    if is_candidate(job, params, began) then list[#list + 1] = job end
  end
  return list
end

local function conflict(ctx, t, cause, list, list_error)
  local what = t.what or "job"
  local found = list_error and ("the %ss could not be listed either (%s)"):format(what, list_error.message)
    or ("%d recent %s%s may be it, see err.candidates"):format(#list, what, #list == 1 and "" or "s")
  local advice = t.token and ("Call %s again with token = err.token: it takes the %s that was made, if one was, and "
    .. "makes one otherwise."):format(ctx.op, what) or ("Look before you call %s again: it costs money."):format(ctx.op)
  return nil, core.error {kind = "conflict", candidates = list, cause = cause, list_error = list_error, token = t.token,
    message = ("it is not known whether the %s was created: its answer was lost (%s) and %s. %s"):format(what,
      cause.message or cause.kind, found, advice)}
end

-- Neither nil nor an error of the search hides that the answer was lost
local function lost(ctx, t, params, began, cause)
  local job = t.find and t.find(ctx)
  if job then return job end
  local list, err = candidates_of(ctx, t, params, began)
  return conflict(ctx, t, cause, list, err)
end

-- ctx:create_once(params, t) -> job | nil, err. t:
--   request   of the creation (ctx:request's table)
--   job       function(document, response) -> job | nil, err
--   what      "job", or what else it is: "deployment"
--   find      optional, function(ctx) -> the job that is surely this call's own, or nil
--   list      optional, function(ctx, {}) -> a page of recent jobs, for err.candidates
--   token     optional, for err.token: the same call with it finds what was made
--   again     optional, true: the token was given, so `find` (-> job, nil or nil, err) looks before anything is sent
--   not_made  optional, function(err) -> does the service's own error say that nothing was made?
function M.create(ctx, params, t)
  if t.again then
    local made, why = t.find(ctx)
    if made or why then return made, why end
  end
  local request, began = {}, core.wall()
  for key, value in pairs(t.request) do request[key] = value end
  request.method, request.retry = request.method or "POST", "never"
  local response, err = ctx:request(request)
  local job
  if response then
    job, err = t.job(response.json, response)
    if job then return job end
    err = err or core.error {kind = "decode", message = ("there is no %s in it"):format(t.what or "job")}
  elseif surely_not_made(err) or (t.not_made and t.not_made(err)) then
    return nil, err
  end
  return lost(ctx, t, params, began, err)
end

return M
