-- contract.lua: what every provider must do, as a suite that anybody can run on
-- his own: finetune.testing.contract(P, options). Without `options.service` it
-- proves what needs no knowledge of the service (each operation under each
-- fault, cancelling, unsupported operations); with a service that answers, also
-- the values, the statuses, every step of every operation, and the ways to wait.
--
-- options (all optional):
--   service(state)  a new, working service: the setting `transport` (see testing.routes). It knows the
--                   file "file-1", the model "model-1", the job "job-1", which has succeeded;
--                   with state.status set, job-1 has that status, in the service's own word
--   statuses        {["the service's word"] = "our status", ...}: every status that the service documents. Each must be
--                   mapped to exactly that; ours are in STATUSES below. Or an array of words: each must be mapped to
--                   some status of ours, which proves less (EXPIRED -> succeeded would pass)
--   unsupported     operation -> the source of that: those it may declare unsupported; any other fails. This is held
--                   against finetune.unsupported(reason) only. An optional operation that P leaves out, with no reason,
--                   passes: the core answers it with `unsupported`. A required one cannot be left out:
--                   finetune.register refuses P
--   config          settings for create_provider
--   params          operation -> parameters, in place of those below
--   kinds           operation -> fault -> the kind of error, where it differs from FAULTS
--   describe, it    busted's; without them the suite runs at once, and the failures are returned

local core = require "finetune.core"
local provider = require "finetune.provider"
local registry = require "finetune.registry"
local run = require "finetune.run"

local M = {}

local KEY = "contract-key-0123456789abcdef"
local NO_REASON = "this provider does not offer it" -- the core's words where nothing was declared
local LIMIT = 20 -- seconds that an operation may take here

local STATUSES = {pending = true, validating = true, queued = true, running = true, paused = true,
  finalizing = true, cancelling = true, succeeded = true, failed = true, cancelled = true}

-- fault -> what the transport answers, and the kinds of error that may become of it
local FAULTS = {
  ["401"] = {{status = 401, json = {error = {message = "no"}}}, auth = true},
  ["403"] = {{status = 403, json = {error = {message = "no"}}}, permission = true},
  ["404"] = {{status = 404, json = {error = {message = "no"}}}, not_found = true, permission = true},
  ["422"] = {{status = 422, json = {error = {message = "no"}}}, invalid = true},
  ["429"] = {{status = 429, json = {error = {message = "no"}}}, rate_limit = true, quota = true},
  ["500"] = {{status = 500, body = "oops"}, server = true},
  timeout = {"timeout", timeout = true},
  connect = {"connect", transport = true},
  reset = {"reset", transport = true},
  garbage = {{status = 200, headers = {["content-type"] = "application/json"}, body = "<html>{"}, decode = true},
  empty = {{status = 200, json = {}}, decode = true},
  list = {{status = 200, body = "[]"}, decode = true},
}

-- Whether it happened is unknown after these: what begins to cost money may then say "conflict"
local COSTLY = {create_job = true, deploy_model = true}
local AMBIGUOUS = {timeout = true, reset = true, ["500"] = true, garbage = true, empty = true, list = true}
-- These may be answered with a value: a delete may have no body, a download any
local HARMLESS = {garbage = true, empty = true, list = true}

local CHAT = {messages = {{role = "user", content = "2+2?"}, {role = "assistant", content = "4"}}}
local GRADER = {type = "string_check", name = "g", operation = "eq", input = "{{sample.output_text}}", reference = "4"}

local function sample_params(path)
  local job, file, model = {job_id = "job-1"}, {file_id = "file-1"}, {model = "model-1"}
  return {
    prepare_data = {examples = {CHAT}}, upload_file = {path = path, purpose = "fine-tune"},
    create_job = {model = "model-1", training_file = "file-1"},
    get_job = job, cancel_job = job, pause_job = job, resume_job = job, delete_job = job, list_events = job,
    list_checkpoints = job, list_metrics = job, list_models = {}, list_jobs = {}, list_files = {},
    get_model = model, delete_model = model, deploy_model = model, undeploy_model = model,
    get_file = file, delete_file = file, download_file = file,
    sample = {model = "model-1", messages = CHAT.messages},
    estimate_cost = {model = "model-1", training_file = "file-1"},
    validate_grader = {grader = GRADER}, run_grader = {grader = GRADER, model_sample = "4"},
  }
end

-- ---- the bench: instances, calls, checks ----

local Bench = {}
Bench.__index = Bench

local function new_bench(name, options)
  local path = os.tmpname()
  os.remove(path)
  path = path .. ".jsonl"
  local file <close> = assert(io.open(path, "wb"))
  for _ = 1, 10 do file:write(core.encode(CHAT), "\n") end
  local params = sample_params(path)
  for op, p in pairs(options.params or {}) do params[op] = p end
  return setmetatable({name = name, options = options, params = params, path = path}, Bench)
end

-- An instance over this transport, without retries
function Bench:instance(transport)
  local config = {api_key = KEY, base_url = "https://contract.example/v1", max_retries = 0, timeout = 5}
  for key, value in pairs(self.options.config or {}) do config[key] = value end
  config.transport = transport
  return assert(registry.create_provider(self.name, config))
end

local function copy(t)
  local new = {}
  for key, value in pairs(t) do new[key] = value end
  return new
end

local function finish(call, what)
  local limit = core.now() + LIMIT
  while not call:done() do
    core.step(0.05)
    if core.now() > limit then
      call:cancel()
      error(("%s did not end within %d s"):format(what, LIMIT), 0)
    end
  end
  return call:result()
end

local function check(ok, format, ...)
  if not ok then error(format:format(...), 0) end
  return ok
end

local function show(err)
  return type(err) == "table" and ("%s (%s)"):format(tostring(err.kind), tostring(err)) or tostring(err)
end

-- The key is in no string of an error
local function no_secret(value, depth)
  if type(value) == "string" then check(not value:find(KEY, 1, true), "the key is in an error: %s", value) end
  if type(value) ~= "table" or depth == 0 then return end
  for _, inner in pairs(value) do no_secret(inner, depth - 1) end
end

-- An error as it must be: a value with a known kind, and never the provider's own crash
local function check_error(err, what)
  check(core.is_error(err), "%s: the error is no error value: %s", what, tostring(err))
  check(err.kind ~= "provider", "%s: the provider itself failed: %s", what, tostring(err))
  no_secret(err, 4)
  no_secret(tostring(err), 1)
end

function Bench:call(instance, op)
  return provider.start(instance, op, copy(self.params[op]))
end

-- Operations that this provider has
function Bench:operations()
  local instance <close> = self:instance(function() return nil, "connect" end)
  local list = {}
  for _, op in ipairs(core.ops) do
    if core.supports(instance, op.name) then list[#list + 1] = op.name end
  end
  return list
end

-- A transport that counts, and answers the k-th request (every one: k = nil) with `answer`
local function faulty(service, answer, k)
  local count = {n = 0}
  return function(request)
    count.n = count.n + 1
    if k and count.n ~= k then return service(request) end
    if type(answer) == "table" or answer == "pending" then return answer end
    return nil, answer
  end, count
end

-- ---- the cases without a service ----

local cases, served = {}, {}

cases[#cases + 1] = {"has every required operation, or says why not", function(self)
  local instance <close> = self:instance(function() return nil, "connect" end)
  local allowed = self.options.unsupported
  for _, op in ipairs(core.ops) do
    local has, reason = core.supports(instance, op.name)
    local declared = type(reason) == "string" and reason ~= "" and reason ~= NO_REASON
    if not has and op.required then
      check(declared, "%s is required, and there is no reason why it is not offered", op.name)
    end
    if not has and declared then
      check(not allowed or allowed[op.name], "%s is declared unsupported, which is not agreed", op.name)
    end
  end
end}

cases[#cases + 1] = {"answers what it does not offer with `unsupported`", function(self)
  local instance <close> = self:instance(function() error("a request was sent", 0) end)
  for _, op in ipairs(core.ops) do
    if not core.supports(instance, op.name) then
      local value, err = finish(self:call(instance, op.name), op.name)
      check(value == nil and core.is_error(err) and err.kind == "unsupported", "%s: %s", op.name, show(err))
      check(err.message and #err.message > 0, "%s: the error has no words", op.name)
    end
  end
end}

local function fault_kind(self, op, fault, err)
  local special = ((self.options.kinds or {})[op] or {})[fault]
  if special then return err.kind == special end
  if COSTLY[op] and AMBIGUOUS[fault] and err.kind == "conflict" then return true end
  return FAULTS[fault][err.kind]
end

local function try_fault(self, op, fault)
  local what = ("%s with %s"):format(op, fault)
  local transport, count = faulty(nil, FAULTS[fault][1])
  local instance <close> = self:instance(transport)
  local value, err = finish(self:call(instance, op), what)
  if count.n == 0 then return end -- it needs no network
  if err == nil then
    check(value ~= nil and HARMLESS[fault], "%s: no error came of it", what)
    return
  end
  check_error(err, what)
  check(fault_kind(self, op, fault, err), "%s: the kind of the error is %s", what, show(err))
  check(err.op == op or err.op ~= nil, "%s: the error does not name the operation", what)
end

for fault in pairs(FAULTS) do
  cases[#cases + 1] = {("turns '%s' into the right kind of error, in every operation"):format(fault), function(self)
    for _, op in ipairs(self:operations()) do try_fault(self, op, fault) end
  end}
end
table.sort(cases, function(a, b) return a[1] < b[1] end)

local function cancelled(instance, call, what)
  local told = 0
  call:on_done(function() told = told + 1 end)
  check(call:cancel(), "%s: cancel found it ended", what)
  local value, err = call:result()
  check(value == nil and err and err.kind == "cancelled", "%s: after cancel: %s", what, show(err))
  core.step(0)
  core.step(0)
  check(told == 1, "%s: on_done ran %d times", what, told)
  check(not call:cancel(), "%s: it was cancelled twice", what)
  return instance
end

cases[#cases + 1] = {"can be cancelled while it waits, in every operation", function(self)
  for _, op in ipairs(self:operations()) do
    local instance <close> = self:instance(faulty(nil, "pending"))
    local call = self:call(instance, op)
    if not call:done() and op ~= "prepare_data" then cancelled(instance, call, op) end
  end
end}

cases[#cases + 1] = {"ends its running calls when it is closed", function(self)
  local instance = self:instance(faulty(nil, "pending"))
  local call = self:call(instance, "get_job")
  instance:close()
  local _, err = finish(call, "get_job")
  check(err and err.kind == "cancelled", "after close: %s", show(err))
end}

-- ---- the cases with a service ----

function Bench:service(state)
  return self.options.service(state or {})
end

served[#served + 1] = {"gives a job in the common form", function(self)
  local instance <close> = self:instance(self:service())
  for _, op in ipairs {"create_job", "get_job"} do
    local job, err = finish(self:call(instance, op), op)
    check(job, "%s: %s", op, show(err))
    check(type(job.id) == "string" and job.id ~= "", "%s: the job has no id", op)
    check(type(job.status) == "string", "%s: the job has no status", op)
    check(type(job.raw_status) == "string", "%s: the job has no raw_status", op)
    check(type(job.raw) == "table", "%s: the job has no raw", op)
    check(STATUSES[job.status], "%s: the status '%s' is not one of ours", op, job.status)
    for _, field in ipairs {"created_at", "finished_at", "trained_tokens"} do
      check(job[field] == nil or type(job[field]) == "number", "%s: %s is not a number", op, field)
    end
  end
end}

served[#served + 1] = {"passes a status that nobody knows, and does not take it for the end", function(self)
  local instance <close> = self:instance(self:service {status = "brand_new_status"})
  local job, err = finish(self:call(instance, "get_job"), "get_job")
  check(job, "get_job: %s", show(err))
  check(job.status == "brand_new_status", "the status became '%s'", tostring(job.status))
  local done
  done, err = instance:wait("job-1", {timeout = 0.05, interval = 0.01})
  check(not done and err.kind == "timeout", "wait took it for the end: %s", show(err))
end}

-- options.statuses as an array of {the service's word, ours or nil where any will do}, sorted by the words
local function documented(statuses)
  local list = {}
  for key, value in pairs(statuses or {}) do
    local pinned = type(key) == "string"
    list[#list + 1] = {pinned and key or value, pinned and value or nil}
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

served[#served + 1] = {"knows every status that the service documents", function(self)
  for _, pair in ipairs(documented(self.options.statuses)) do
    local word, wanted = pair[1], pair[2]
    check(not wanted or STATUSES[wanted], "options.statuses: '%s' for '%s' is not one of ours", tostring(wanted), word)
    local instance <close> = self:instance(self:service {status = word})
    local job, err = finish(self:call(instance, "get_job"), "get_job")
    check(job, "status %s: %s", word, show(err))
    check(STATUSES[job.status], "the status '%s' is not mapped", word)
    check(not wanted or job.status == wanted, "the status '%s' became '%s', and not '%s'", word, job.status, wanted)
    check(job.raw_status == word, "raw_status of '%s' is '%s'", word, tostring(job.raw_status))
  end
end}

local function check_page(op, page)
  check(type(page.data) == "table" and type(page.has_more) == "boolean", "%s: not a page {data, has_more}", op)
  check(not page.has_more or type(page.next) == "string", "%s: has_more without next", op)
end

served[#served + 1] = {"does every operation that it offers", function(self)
  for _, op in ipairs(self:operations()) do
    local instance <close> = self:instance(self:service())
    local value, err = finish(self:call(instance, op), op)
    check(value ~= nil, "%s: %s", op, show(err))
    if op:find "^list_" then check_page(op, value) end
    if op:find "^delete_" then check(value.deleted == true, "%s: the answer has no deleted = true", op) end
  end
end}

-- f(op, k) for every request k of every operation
local function each_request(self, f)
  for _, op in ipairs(self:operations()) do
    local transport, count = faulty(self:service(), nil, -1)
    local instance <close> = self:instance(transport)
    finish(self:call(instance, op), op)
    for k = 1, math.min(count.n, 12) do f(op, k) end
  end
end

served[#served + 1] = {"ends in an error value, whichever of its requests fails", function(self)
  each_request(self, function(op, k)
    for _, fault in ipairs {"401", "500", "garbage", "timeout"} do
      local what = ("%s, request %d with %s"):format(op, k, fault)
      local instance <close> = self:instance(faulty(self:service(), FAULTS[fault][1], k))
      local _, err = finish(self:call(instance, op), what)
      if err ~= nil then check_error(err, what) end
    end
  end)
end}

served[#served + 1] = {"can be cancelled at each of its requests", function(self)
  each_request(self, function(op, k)
    local transport, count = faulty(self:service(), "pending", k)
    local instance <close> = self:instance(transport)
    local call = self:call(instance, op)
    local limit = core.now() + LIMIT
    while not call:done() and count.n < k and core.now() < limit do core.step(0.05) end
    if not call:done() then cancelled(instance, call, ("%s at request %d"):format(op, k)) end
  end)
end}

-- The same operation in the three ways to wait
local function three_ways(instance, op, params)
  local blocking = table.pack(instance[op](instance, copy(params)))
  local results, errors = run.run(function() return instance[op](instance, copy(params)) end)
  local hosted
  provider.start(instance, op, copy(params)):on_done(function(...) hosted = table.pack(...) end)
  local limit = core.now() + LIMIT
  while not hosted and core.now() < limit do core.step(0.05) end
  check(hosted, "%s: on_done never ran", op)
  return blocking[1] or tostring(blocking[2]), results[1] or tostring(errors[1]), hosted[1] or tostring(hosted[2])
end

served[#served + 1] = {"answers the same in every way to wait", function(self)
  for _, op in ipairs {"get_job", "list_models"} do
    local instance <close> = self:instance(self:service())
    if core.supports(instance, op) then
      local a, b, c = three_ways(instance, op, self.params[op])
      check(core.encode(a) == core.encode(b), "%s: finetune.run gives another value", op)
      check(core.encode(a) == core.encode(c), "%s: on_done gives another value", op)
    end
  end
end}

-- ---- running ----

local function select_cases(options)
  local list = table.move(cases, 1, #cases, 1, {})
  return options.service and table.move(served, 1, #served, #list + 1, list) or list
end

local function with_busted(bench, list)
  bench.options.describe(("the contract of the provider '%s'"):format(bench.name), function()
    for _, case in ipairs(list) do
      bench.options.it(case[1], function() case[2](bench) end)
    end
  end)
end

local function at_once(bench, list)
  local failures = {}
  for _, case in ipairs(list) do
    local ok, why = pcall(case[2], bench)
    if not ok then failures[#failures + 1] = {name = case[1], message = tostring(why)} end
  end
  os.remove(bench.path)
  return failures
end

-- P: a provider's table, or the name of one. -> array of failures {name, message}; empty: all is well
function M.run(P, options)
  if type(P) == "table" then registry.register(P) end
  local name = type(P) == "table" and P.name or P
  local found, err = registry.get_provider(name)
  if not found then error(tostring(err), 0) end
  local bench, list = new_bench(name, options), select_cases(options)
  if options.describe then return with_busted(bench, list) end
  return at_once(bench, list)
end

return M
