-- slurm.lua: what the provider `slurm` asks of a Slurm controller: submit, look, find by name, cancel. Over HTTP
-- (slurmrestd), or by its programs (sbatch, squeue, scancel) where there is no address.
--
-- Seen with slurmrestd 22.05.8, v0.0.38. From v0.0.39 on the environment is an array "NAME=value" and numbers may be
-- {set, infinite, number}; from v0.0.40 on the script is a field of the job, and job_state an array: the state, then
-- flags such as COMPLETING. slurmrestd(8) has an example for v0.0.42.
-- A job that the controller does not know (any more) is HTTP 500 with error 2017, in words "Invalid job id specified";
-- so is it with squeue.

local core = require "finetune.core"
local reader = require "finetune.reader"
local supervise = require "finetune.supervise"

local M = {}
local pick = reader.pick

local ANSWER_MOST = 64 * 1024 * 1024 -- bytes: all jobs of a large cluster, a few KB each
local NO_JOB = "[Ii]nvalid job id"
local GONE = "already completing or completed" -- error 2021
local NOT_REACHED = "connect failure" -- slurmrestd, and sbatch, of a controller that is down
local LIFESPAN = 3600 -- seconds that a token of `scontrol token` is asked for; it is used for half as long

-- A program of Slurm's, for the cluster of the setting slurm_conf
local function program(ctx, argv)
  if not ctx.config.slurm_conf then return argv end
  return {"env", "SLURM_CONF=" .. ctx.config.slurm_conf, table.unpack(argv)}
end

-- ---- credentials ----

local tokens = setmetatable({}, {__mode = "k"}) -- instance -> {text, until = core.now() time}

local function new_token(ctx)
  local ended = assert(ctx:exec {argv = program(ctx, {"scontrol", "token", "lifespan=" .. LIFESPAN}), timeout = 60})
  local text = ended.stdout:match "SLURM_JWT=(%S+)"
  if text then return text end
  return ctx.fail("auth", "there is no token (SLURM_JWT, token_file), and scontrol token gave none: %s",
    supervise.plain(ended.stderr, 300))
end

local function file_token(ctx, path)
  local file <close>, words = core.fs.open(path)
  local text = file and (file:read(65536) or "")
  text = text and (text:match "SLURM_JWT=(%S+)" or text:match "^%s*(%S+)%s*$")
  if text then return text end
  return ctx.fail("config", "token_file: %s", words or path .. " holds no token")
end

-- A file's is read each time: whoever renews it tells nobody
local function token_of(ctx)
  if ctx.config.token_file then return file_token(ctx, ctx.config.token_file) end
  local known = tokens[ctx.provider]
  if known and core.now() < known.limit then return known.text end
  local text, err = new_token(ctx)
  if text then tokens[ctx.provider] = {text = text, limit = core.now() + LIFESPAN / 2} end
  return text, err
end

-- The headers of every request; the token of the setting api_key is the core's to send
local function headers(ctx)
  local config = ctx.config -- over a Unix socket slurmrestd may know who asks by itself (rest_auth/local)
  if config.unix_socket and not config.api_key and not config.token_file then return {} end
  local list = {["X-SLURM-USER-NAME"] = ctx.config.user}
  if not ctx.config.api_key then
    local token = assert(token_of(ctx))
    ctx:secret(token)
    list["X-SLURM-USER-TOKEN"] = token
  end
  return list
end

-- ---- over HTTP ----

local rest = {}
local versions = setmetatable({}, {__mode = "k"}) -- instance -> its API's version, a number

-- What it says of a request that it could not read is in all of its errors, the reason first
local function unreadable(doc)
  local said = {}
  for _, item in ipairs(type(doc) == "table" and type(doc.errors) == "table" and doc.errors or {}) do
    local words, other = pick(item, "description", "error")
    said[#said + 1] = words or other
  end
  return nil, core.error {kind = "invalid", status = 400, message = #said > 0 and table.concat(said, "; ")
    or "slurmrestd could not read the request, and did not say why"}
end

local function request(ctx, method, path, body)
  local response, err = ctx:request {method = method, path = path, json = body, headers = headers(ctx),
    retry = "never", max_bytes = ANSWER_MOST, accept = {400}}
  if not response then
    if err.message == "Unspecified error" then
      err.message = "Slurm gave no reason: so it answers where it does not take the token, or is being restarted"
    end
    return nil, err
  end
  local doc = response.json
  if response.status == 400 then return unreadable(doc) end
  if type(doc) == "table" then return doc end
  return ctx.fail("decode", "the answer to %s %s is no object", method, path)
end

-- The newest version that the service has -> 38 for v0.0.38
local function discover(ctx)
  local doc, err = request(ctx, "GET", "/openapi/v3")
  if not doc and (err.kind == "decode" or err.kind == "not_found") then
    err.message = ("%s is no slurmrestd: its /openapi/v3 gives no description (%s). FINE_TUNE_SLURM_URL (base_url) "
      .. "must be slurmrestd's own address"):format(ctx.config.base_url, err.message)
  end
  if not doc then return nil, err end
  local newest
  for path in pairs(type(doc.paths) == "table" and doc.paths or {}) do
    local n = tonumber(type(path) == "string" and path:match "^/slurm/v0%.0%.(%d+)/job/submit/?$")
    if n and n > (newest or 0) then newest = n end
  end
  if newest then return newest end
  return ctx.fail("decode", "/openapi/v3 names no version of the API: give api_version, such as \"v0.0.38\"")
end

local function version_of(ctx)
  if ctx.config.api_version then return tonumber(ctx.config.api_version:match "(%d+)$") end
  local known, err = versions[ctx.provider], nil
  if not known then known, err = discover(ctx) end
  versions[ctx.provider] = known
  return known, err
end

local function call(ctx, method, format, body)
  local version, err = version_of(ctx)
  if not version then return nil, err end
  return request(ctx, method, ("/slurm/v0.0.%d/"):format(version) .. format, body)
end

local function number_of(n, version)
  if n and version >= 39 then return {set = true, infinite = false, number = n} end
  return n
end

local function environment_of(env, version)
  if version < 39 then return env end
  local list = core.array {}
  for name, value in pairs(env) do list[#list + 1] = name .. "=" .. value end
  table.sort(list)
  return list
end

-- The job's description; t: of M.submit
local function described(t, version)
  local r = t.resources
  local job = {name = t.name, current_working_directory = t.dir, standard_output = t.output, tasks = 1,
    environment = environment_of(t.env, version), partition = r.partition, account = r.account, qos = r.qos,
    time_limit = number_of(r.time, version), memory_per_node = number_of(r.memory, version), cpus_per_task = r.cpus,
    nodes = r.nodes and ("%d"):format(r.nodes)}
  if r.gpus and version < 39 then
    job.gpus = ("%d"):format(r.gpus)
  elseif r.gpus then
    job.tres_per_job = (version < 40 and "gres:gpu:%d" or "gres/gpu:%d"):format(r.gpus)
  end
  for key, value in pairs(r.extra or {}) do job[key] = value end
  if version >= 40 then job.script = t.script end
  return {job = job, script = version < 40 and t.script or nil}
end

-- Did the controller say no? Any other answer leaves it open.
local function is_refusal(err)
  if err.sent == false or not err.status then return err.sent == false end
  if err.status >= 500 then return err.message:find(NOT_REACHED, 1, true) ~= nil end
  return err.status >= 400 and err.status ~= 408 and err.status ~= 409
end

-- What was asked for, where Slurm does not say what it could not read: most often gpus, on a cluster without any
local function asked_for(resources)
  local names = {}
  for name in pairs(resources) do names[#names + 1] = name end
  table.sort(names)
  if #names == 0 then return "" end
  return ("; it was given: %s (does this cluster have them all?)"):format(table.concat(names, ", "))
end

function rest.submit(ctx, t)
  local version, err = version_of(ctx)
  if not version then return nil, err, true end
  local doc
  doc, err = call(ctx, "POST", "job/submit", described(t, version))
  if not doc then
    if err.status == 400 then err.message = err.message .. asked_for(t.resources) end
    return nil, err, is_refusal(err)
  end
  local id = pick(doc, "job_id:positive")
  if id then return id end
  local said = type(doc.errors) == "table" and pick(doc.errors[1], "error") or "its answer has no job_id"
  return ctx.fail("decode", "Slurm took no job: %s", said)
end

-- "RUNNING", or an array: its first, but COMPLETING where that is in it
local function state_of(value)
  if type(value) == "string" then return value end
  if type(value) ~= "table" or type(value[1]) ~= "string" then return nil end
  for _, word in ipairs(value) do
    if word == "COMPLETING" then return word end
  end
  return value[1]
end

local function time_of(value)
  if type(value) == "table" then value = value.number end
  return type(value) == "number" and value > 0 and value < 1e15 and value or nil
end

local function to_job(doc)
  local id, name, reason = pick(doc, "job_id:positive", "name", "state_reason")
  local state = type(doc) == "table" and state_of(doc.job_state)
  if not id or not state then return nil end
  return {id = id, name = name, state = state, reason = reason, started_at = time_of(doc.start_time),
    finished_at = time_of(doc.end_time)}
end

function rest.job(ctx, id)
  local doc, err = call(ctx, "GET", ("job/%d"):format(id))
  if not doc then
    if err.status and err.message:find(NO_JOB) then return false end
    return nil, err
  end
  local list = type(doc.jobs) == "table" and doc.jobs or {}
  if doc.jobs and not list[1] then return false end
  local job = to_job(list[1])
  if job then return job end
  return ctx.fail("decode", "the answer has no job with a state")
end

function rest.find(ctx, name)
  local doc, err = call(ctx, "GET", "jobs")
  if not doc then return nil, err end
  if type(doc.jobs) ~= "table" then return ctx.fail("decode", "the answer has no jobs") end
  for _, item in ipairs(doc.jobs) do
    local job = to_job(item)
    if job and job.name == name then return job.id end
  end
  return false
end

function rest.cancel(ctx, id)
  local done, err = call(ctx, "DELETE", ("job/%d"):format(id))
  if done or (err.status and (err.message:find(NO_JOB) or err.message:find(GONE, 1, true))) then return true end
  if err.kind == "decode" and err.status == nil then return true end -- an answer without a body
  return nil, err
end

-- ---- by its programs ----

local programs = {}
local FIELDS = "%i|%T|%r|%S|%e|%j" -- id, state, reason, start, end, name

-- Slurm's "no" has no kind of its own, whatever the reason; in these words it is the request's
local NO = {"invalid", "requested", "violates", "exceed", "unrecognized", "unknown", "can not be satisfied",
  "not supported", "required"}

-- -> "permission", "invalid" or nil
function M.kind_of(words)
  words = words:lower()
  if words:find("denied", 1, true) then return "permission" end
  for _, word in ipairs(NO) do
    if words:find(word, 1, true) then return "invalid" end
  end
end

-- `env` gives 127, too, where it does not find the program
local function not_found(argv)
  return core.error {kind = "config", message = ("there is no %s in PATH: install Slurm's programs, or set "
    .. "FINE_TUNE_SLURM_URL (base_url) to the address of slurmrestd"):format(argv[1])}
end

-- -> its output | nil, err; what it says where it fails is in err.said
local function run(ctx, argv, stdin)
  local ended, err = ctx:exec {argv = program(ctx, argv), stdin = stdin, timeout = 120}
  if ended and ended.code == 127 or err and err.message:find "No such file" then return nil, not_found(argv) end
  if not ended then return nil, err end
  if ended.code == 0 then return ended.stdout end
  local said = supervise.plain(ended.stderr, 400)
  local kind = M.kind_of(said) or "server"
  return nil, core.error {kind = kind, said = said, message = ("%s: %s"):format(argv[1], said)}
end

local function add_options(argv, t)
  local r = t.resources
  local all = {["job-name"] = t.name, output = t.output, chdir = t.dir, partition = r.partition, account = r.account,
    qos = r.qos, time = r.time, mem = r.memory, ["cpus-per-task"] = r.cpus, nodes = r.nodes, gpus = r.gpus, ntasks = 1}
  for key, value in pairs(r.extra or {}) do all[key] = value end
  local names = {}
  for key in pairs(all) do names[#names + 1] = key end
  table.sort(names)
  for _, key in ipairs(names) do
    if all[key] == true then argv[#argv + 1] = "--" .. key end
    if type(all[key]) ~= "boolean" then argv[#argv + 1] = ("--%s=%s"):format(key, all[key]) end
  end
  return argv
end

function programs.submit(ctx, t)
  local text, err = run(ctx, add_options({"sbatch", "--parsable"}, t), t.script)
  if not text then
    local open = not err.said or err.said:find "timed out" or err.said:find "receive" or err.said == ""
    return nil, err, err.kind == "config" or not open
  end
  local id = math.tointeger(tonumber(text:match "^%s*(%d+)"))
  if id then return id end
  return ctx.fail("decode", "sbatch answered '%s'", supervise.plain(text, 200))
end

local function time_in(text)
  local year, month, day, hour, min, sec = text:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)$"
  return year and os.time {year = year, month = month, day = day, hour = hour, min = min, sec = sec} or nil
end

local function in_queue(ctx, option)
  local text, err = run(ctx, {"squeue", "-h", "-t", "all", option, "-o", FIELDS})
  if not text then
    if err.said and err.said:find(NO_JOB) then return false end
    return nil, err
  end
  local id, state, reason, began, ended, name = text:match "^%s*(%d+)|([%w_]+)|([^|\n]*)|([^|\n]*)|([^|\n]*)|([^\n]*)"
  if not id then
    if text:find "%S" then return ctx.fail("decode", "squeue answered '%s'", supervise.plain(text, 200)) end
    return false
  end
  return {id = math.tointeger(tonumber(id)), state = state, reason = reason, started_at = time_in(began),
    finished_at = time_in(ended), name = name}
end

function programs.job(ctx, id) return in_queue(ctx, ("--jobs=%d"):format(id)) end

function programs.find(ctx, name)
  local job, err = in_queue(ctx, "--name=" .. name)
  return job and job.id or job, err
end

function programs.cancel(ctx, id)
  local done, err = run(ctx, {"scancel", ("%d"):format(id)})
  if done or (err.said and (err.said:find(NO_JOB) or err.said:find(GONE, 1, true))) then return true end
  return nil, err
end

-- ---- either ----

local function of(ctx) return ctx.config.base_url and rest or programs end

-- t: name, dir, output (path), script (text), env (name -> value), resources {partition, account, qos, gpus, nodes,
-- cpus, memory (MB a node), time (minutes), extra} -> the job's number | nil, err, is it certain that there is none?
function M.submit(ctx, t) return of(ctx).submit(ctx, t) end

-- -> {id, name, state, reason, started_at, finished_at} | false: Slurm does not know it | nil, err
function M.job(ctx, id) return of(ctx).job(ctx, id) end

-- -> the number of a job of that name | false: there is none | nil, err
function M.find(ctx, name) return of(ctx).find(ctx, name) end

-- -> true, also of one that has ended | nil, err
function M.cancel(ctx, id) return of(ctx).cancel(ctx, id) end

return M
