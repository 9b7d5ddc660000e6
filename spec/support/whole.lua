--[[
Every request that a service has seen, whole: nothing in it that is not accounted for. Specs say what the requests
that they are about hold; this says that no request, of whichever spec, holds anything else.

  s = whole.watch(service.start {...}, dialect, more)  from now on s:clear() and s:reset() look before they forget,
  after_each(function() s:check() end)                 and so does this. It also tells the service's own crashes.
      The rules are those of the dialect (whole.rules), and `more` are this spec's further `query`, `more` and
      `bodied`.
  whole.check(requests, rules)                         the same for a list of s:requests(); raises what is wrong

rules; a pattern is one (or an array of them) on "METHOD path", and `true` fits every request:
  credential   the header that carries it, or an array of those of which one must be there. At the site "api" each
               request has exactly one, at the site "storage" none has any
  query        {name = pattern}: names that a query may hold, and where. No others
  more         {name = pattern}: headers beside those that every request has, and where they may (not must) be
  empty        pattern: the POSTs and PUTs that have no body; all others have one. GET, HEAD and DELETE have none
  bodied       pattern: but for these, of any method, which may have one

The headers of every request: host, user-agent, accept, accept-encoding, the credential; of a POST and a PUT the
content-length and, at the site "api", the content-type. Requests by s:request() are the spec's own, and not looked at.
]]
local service = require "spec.support.service"

local M = {rules = {}}

local JOB = "/fine_tuning/jobs/[^/]+"
local LISTS = {"^GET .*/fine_tuning/jobs$", "^GET .*" .. JOB .. "/events$", "^GET .*" .. JOB .. "/checkpoints$",
  "^GET .*/files$"}
local STEPS = {"^POST .*/uploads/[^/]+/cancel$", "^POST .*" .. JOB .. "/cancel$", "^POST .*" .. JOB .. "/pause$",
  "^POST .*" .. JOB .. "/resume$"}

M.rules.openai = {credential = "authorization", empty = STEPS,
  query = {limit = LISTS, after = LISTS, purpose = "^GET .*/files$"}}

M.rules.azure = {credential = {"api-key", "authorization"}, empty = STEPS,
  query = {limit = LISTS, after = LISTS, purpose = "^GET .*/files$", ["api-version"] = "^%u+ /openai/"}}

M.rules.nebius = {credential = "authorization", empty = STEPS, query = {limit = LISTS, after = LISTS}}

local WEIGHTS = "^GET /v1/finetune/download$"

M.rules.together = {credential = "authorization", empty = {"^POST .*/fine%-tunes/[^/]+/cancel$",
  "^POST .*/files/[^/]+/preprocess$"},
  query = {["X-Signature"] = {"^PUT /uploads/", "^PUT /parts/", "^GET /weights/"}, type = "^GET /v1/endpoints$",
    mine = "^GET /v1/endpoints$", ft_id = WEIGHTS, checkpoint = WEIGHTS, checkpoint_step = WEIGHTS,
    model_name = "^GET /v1/fine%-tunes/models/limits$"},
  bodied = "^GET /v1/fine%-tunes/[^/]+/metrics$", -- a range of steps goes there, as the service has it
  more = {["x-part-token"] = "^PUT /parts/"}}

local PAGES = {"^GET /v1/accounts/[^/]+/%a+Jobs$", "^GET /v1/accounts/[^/]+/datasets$",
  "^GET /v1/accounts/[^/]+/models$", "^GET /v1/accounts/[^/]+/deployments$"}
local SIGNED = {"^PUT /accounts/[^/]+/datasets/", "^GET /accounts/[^/]+/datasets/"} -- at the storage

M.rules.fireworks = {credential = "authorization",
  query = {pageSize = PAGES, pageToken = PAGES, filter = PAGES, orderBy = PAGES, ["X-Goog-Algorithm"] = SIGNED,
    ["X-Goog-Expires"] = SIGNED, ["X-Goog-SignedHeaders"] = SIGNED, ["X-Goog-Signature"] = SIGNED,
    supervisedFineTuningJobId = "^POST .*/supervisedFineTuningJobs$", dpoJobId = "^POST .*/dpoJobs$",
    reinforcementFineTuningJobId = "^POST .*/reinforcementFineTuningJobs$", deploymentId = "^POST .*/deployments$"},
  more = {["content-type"] = SIGNED[1], ["x-goog-content-length-range"] = SIGNED[1]}}

M.rules.localai = {credential = "authorization", empty = {"^POST /models/delete/", "^POST .*/jobs/[^/]+/stop$"},
  query = {save_checkpoint = "^POST .*/jobs/[^/]+/stop$"}}

local SECRET = {"authorization", "api-key", "x-api-key", "cookie", "proxy-authorization"}
local TYPES = {["application/json"] = true, ["application/x-www-form-urlencoded"] = true,
  ["application/octet-stream"] = true}
local BODILESS = {GET = true, HEAD = true, DELETE = true}

local VALUES = { -- of the fixed headers: patterns, one of which must fit
  host = {"^127%.0%.0%.1:%d+$", "^localhost:%d+$"}, ["user-agent"] = {"^finetune/%d"},
  accept = {"^application/json$", "^%*/%*$", "^text/event%-stream$"}, ["accept-encoding"] = {"gzip"},
  authorization = {"^Bearer %S+$"}, ["content-length"] = {"^%d+$"},
}

local function list(value) return type(value) == "table" and value or {value} end

-- Whether the pattern, one of an array, or `true` fits
local function fits(patterns, text)
  for _, pattern in ipairs(list(patterns)) do
    if pattern == true or text:find(pattern) then return true end
  end
  return false
end

local function fail(request, words, ...)
  error(("%s %s (request %s at the %s): "):format(request.method, request.target, request.n or "?", request.site)
    .. words:format(...), 0)
end

-- The lower-case names of the headers, each as often as it came
local function count(request)
  local names = {}
  for _, field in ipairs(request.headers) do
    local name = field[1]:lower()
    names[name] = (names[name] or 0) + 1
  end
  return names
end

-- Takes exactly one of the credentials out of `names` at the API, and finds none anywhere else
local function check_credential(request, names, rules)
  local found = {}
  for _, name in ipairs(SECRET) do
    if names[name] then found[#found + 1] = name end
  end
  if request.site ~= "api" then
    if found[1] then fail(request, "has the credential '%s'", found[1]) end
    return
  end
  if #found ~= 1 then fail(request, "has %d credentials: %s", #found, table.concat(found, ", ")) end
  for _, name in ipairs(list(rules.credential)) do
    if name == found[1] then return name end
  end
  fail(request, "has the credential '%s'", found[1])
end

-- Whether a request of this kind must ("yes"), may ("maybe") or must not ("no") have a body
local function wants_body(request, rules, line)
  if fits(rules.bodied or {}, line) then return "maybe" end
  return (BODILESS[request.method] or fits(rules.empty or {}, line)) and "no" or "yes"
end

-- One that did not arrive whole may be shorter than announced.
local function check_body(request, rules, line)
  local wanted, announced = wants_body(request, rules, line), tonumber(request.header["content-length"] or 0)
  if request.header["transfer-encoding"] then fail(request, "has a body of no known length") end
  if wanted == "no" and (announced > 0 or request.length > 0) then fail(request, "has a body: %s", request.body) end
  if wanted == "yes" and announced == 0 then fail(request, "has no body") end
  if request.complete and announced ~= request.length then
    fail(request, "announces %d bytes and has %d", announced, request.length)
  end
  return not BODILESS[request.method] or announced > 0
end

local function check_type(request)
  local kind = request.header["content-type"]
  if kind and not TYPES[kind] and not kind:find "^multipart/form%-data; boundary=[%w%-]+$" then
    fail(request, "has the content-type '%s'", kind)
  end
end

-- What must be there is there once, with a value that it may have
local function check_fixed(request, names, expected)
  for _, name in ipairs(expected) do
    if names[name] ~= 1 then fail(request, "has %d headers '%s'", names[name] or 0, name) end
    local value = request.header[name]
    if VALUES[name] and not fits(VALUES[name], value) then fail(request, "has %s: %s", name, value) end
    names[name] = nil
  end
end

-- What is left over is allowed here, and there once
local function check_rest(request, names, rules, line)
  for name, n in pairs(names) do
    local allowed = (rules.more or {})[name]
    if allowed == nil or not fits(allowed, line) then fail(request, "has the header '%s'", name) end
    if n ~= 1 then fail(request, "has %d headers '%s'", n, name) end
  end
end

local function check_query(request, rules, line)
  for name in pairs(request.params) do
    local allowed = (rules.query or {})[name]
    if allowed == nil or not fits(allowed, line) then fail(request, "has '%s' in its query", name) end
  end
end

local function check_one(request, rules)
  local line, names = request.method .. " " .. request.path, count(request)
  local expected = {"host", "user-agent", "accept", "accept-encoding"}
  local function expect(name) expected[#expected + 1] = name end
  expect(check_credential(request, names, rules))
  if check_body(request, rules, line) then -- a body of 0 bytes is announced too: there are servers that want to be told
    expect "content-length"
    if request.site == "api" then expect "content-type" end
  end
  check_type(request)
  check_fixed(request, names, expected)
  check_rest(request, names, rules, line)
  check_query(request, rules, line)
end

-- Raises, at the caller, what is wrong with the first request that is not as the rules say.
function M.check(requests, rules)
  for _, request in ipairs(requests) do
    if request.header["user-agent"] ~= service.USER_AGENT then
      local ok, words = pcall(check_one, request, rules)
      if not ok then error(words, 2) end
    end
  end
end

-- The hosts of the service: to no other name or port has a request gone that came to it, but by a redirect
local function check_hosts(s, requests)
  for _, request in ipairs(requests) do
    local url = request.site == "storage" and s.storage or s.url
    local port = url:match ":(%d+)"
    if (request.header.host or ""):match ":(%d+)$" ~= port then fail(request, "has host: %s", request.header.host) end
  end
end

local function joined(rules, more)
  local all = {}
  for name, value in pairs(rules) do all[name] = value end
  for _, name in ipairs {"query", "more"} do
    all[name] = {}
    for key, pattern in pairs(rules[name] or {}) do all[name][key] = pattern end
    for key, pattern in pairs(more and more[name] or {}) do all[name][key] = pattern end
  end
  all.bodied = more and more.bodied or rules.bodied
  return all
end

-- Looks at every request of `s` before it is forgotten -> s
function M.watch(s, dialect, more)
  local methods, seen, rules = getmetatable(s).__index, 0, joined(M.rules[dialect], more)
  function s:check()
    local all = self:requests()
    local new = table.move(all, seen + 1, #all, 1, {})
    seen = #all -- what was told once is not told again
    M.check(new, rules)
    check_hosts(self, new)
    local crash = self:stats().crashes[1]
    if crash then error(crash, 2) end
  end
  for _, name in ipairs {"clear", "reset"} do
    s[name] = function(self)
      self:check()
      seen = 0
      return methods[name](self)
    end
  end
  return s
end

return M
