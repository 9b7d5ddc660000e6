-- needs: FINE_TUNE_SLURM_ROOT
-- Trains on a cluster of yours, through Slurm: the trainers and the store of `local`, in a folder that this machine and
-- the nodes see under the same path; a job is a batch job that runs finetune-run there.
--
-- Settings: root (FINE_TUNE_SLURM_ROOT; that folder), base_url (FINE_TUNE_SLURM_URL: slurmrestd's address) or
-- unix_socket (FINE_TUNE_SLURM_SOCKET: the path of its Unix socket; without a token it is asked without one, as
-- rest_auth/local wants it); without either sbatch, squeue and scancel are run. api_key (SLURM_JWT) or token_file
-- (FINE_TUNE_SLURM_TOKEN_FILE), else `scontrol token` is asked; user (the token's; USER), api_version ("v0.0.38"; else
-- the newest that slurmrestd has), runner (the path of finetune-run on the nodes, where it is not the one here),
-- slurm_conf (SLURM_CONF for Slurm's programs, where it is not this process's), environment (a table, for the jobs),
-- grace (10: seconds between SIGTERM and SIGKILL; Slurm's own KillWait may be shorter); command, sample_command,
-- recipe_path as of `local`. Resources, as settings and as parameters of create_job: partition, account, qos, gpus,
-- nodes, cpus, memory (MB a node), time (minutes).
--
-- What its users must know:
-- * create_job's `extra` goes into Slurm's job: fields of its API over HTTP, options of sbatch (without "--") else.
-- * With nodes > 1 the trainer is started on the first one: it starts the others itself (srun, torchrun).
-- * cancel_job leaves a mark, and Slurm is told; what ends after that, but for a success, is cancelled.
-- * When Slurm starts a job again, after its node failed or it was preempted, it begins from the start.
-- * A submission whose answer was lost is looked for by the job's name. Where that does not tell, the error is of kind
--   "conflict", and create_job with token = err.token finds the job or sends it, in the same folder: two runners cannot
--   work in it.
-- * v0.0.38 was tried; newer ones only as they are documented.

local finetune = require "finetune"
local core = require "finetune.core"
local jobs = require "finetune.store.jobs"
local slurm = require "finetune.store.slurm"
local states = require "finetune.store.slurm_state"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"

local base = assert(finetune.get_provider "local")

local SETTLE = 2 -- seconds that cancel_job waits for the end
local LONGEST = 1e7 -- of a resource: more is a mistake
local RESOURCES = "partition:string account:string qos:string gpus:integer nodes:integer cpus:integer "
  .. "memory:integer|string time:integer|string"
local COUNTED = {gpus = 0, nodes = 1, cpus = 1, memory = 1, time = 1} -- and the least of each
local UNITS = {memory = "MB a node", time = "minutes"} -- Slurm's own ways to write them (4G, 1:00:00) differ by version
local OWN = {extra = true} -- parameters of create_job that are not the recipe's

local P = {
  name = "slurm",
  description = "a cluster with Slurm",
  auth = {header = "X-SLURM-USER-TOKEN", prefix = ""},
  env = {api_key = "SLURM_JWT", base_url = "FINE_TUNE_SLURM_URL", unix_socket = "FINE_TUNE_SLURM_SOCKET",
    root = "FINE_TUNE_SLURM_ROOT", user = {"USER", "LOGNAME"},
    token_file = "FINE_TUNE_SLURM_TOKEN_FILE", recipe_path = "FINE_TUNE_RECIPE_PATH"},
  needs = {"FINE_TUNE_SLURM_ROOT"},
  config = {"root:string", "user:string", "token_file:string", "api_version:string",
    "runner:string", "slurm_conf:string", "grace:number", "environment:table", "recipe_path:string", "command:table",
    "sample_command:table"},
  statuses = {queued = "queued", running = "running", paused = "paused", cancelling = "cancelling",
    finalizing = "finalizing", succeeded = "succeeded", failed = "failed", cancelled = "cancelled"},
  dataset = base.dataset, -- the same recipes
  params = {
    upload_file = "check:boolean",
    create_job = "recipe:string command:table sample_command:table " .. RESOURCES,
    sample = "sample_command:table",
  },
}

for word in RESOURCES:gmatch "%S+" do
  P.config[#P.config + 1] = word
  OWN[word:match "^%w+"] = true
end
for word, status in pairs(states.STATES) do P.statuses[word] = status end

-- `assert` raises the error value that it is given, and what an operation raises is its error.

-- ---- settings ----

local function wrong(format, ...) return finetune.fail("config", format, ...) end

-- Words for a resource that cannot be, or nil
local function wrong_resource(given)
  for name, least in pairs(COUNTED) do
    local value, unit = given[name], UNITS[name] and (" (%s)"):format(UNITS[name]) or ""
    if value and (type(value) == "string" or value < least or value > LONGEST) then
      return ("%s must be a whole number%s from %d to %d"):format(name, unit, least, math.tointeger(LONGEST))
    end
  end
  for _, name in ipairs {"partition", "account", "qos"} do
    if given[name] and not given[name]:find "^[%w._,@-]+$" then return name .. " is no name of Slurm's" end
  end
end

-- "" and "/" are no folders of their own; a line break cannot be in a path that Slurm is given
local function wrong_root(root)
  if not root then return "there is no root: set FINE_TUNE_SLURM_ROOT to a folder that the nodes see, too" end
  if root:sub(1, 1) ~= "/" or root:find "[%c]" or not utf8.len(root) then
    return "root (FINE_TUNE_SLURM_ROOT) must be an absolute path, in UTF-8 and of one line"
  end
  if root:find "^/+$" then return "root (FINE_TUNE_SLURM_ROOT) must be a folder of its own, not /" end
end

-- An option of sbatch is one word
local function wrong_extra(extra, over_http)
  for name, given in pairs(extra or {}) do
    if type(name) ~= "string" or not name:find "^%a[%w_-]*$" then return "extra has a key that is no name" end
    local kind = type(given)
    local plain = kind == "string" and not given:find "%z" or kind == "number" or kind == "boolean"
    if not (plain or over_http) then return ("extra.%s must be a word, a number or true"):format(name) end
  end
end

local function wrong_environment(env)
  for name, value in pairs(env or {}) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or type(value) ~= "string" or value:find "%z" then
      return "environment must be names and strings"
    end
  end
end

function P.open(config)
  local words = wrong_root(config.root) or wrong_resource(config) or wrong_environment(config.environment)
  if words then return wrong("%s", words) end
  local grace = config.grace or 10
  if not (grace >= 0 and grace <= 86400) then return wrong "grace must be seconds, from 0 to 86400" end
  if config.api_version and not config.api_version:find "^v0%.0%.%d+$" then
    return wrong "api_version must be as slurmrestd has it: \"v0.0.38\""
  end
  if config.unix_socket then config.base_url = config.base_url or "http://localhost" end
  if config.base_url and not config.user then return wrong "there is no user: give the one that the token is for" end
  if config.base_url then config.base_url = config.base_url:gsub("/+$", "") end
  config.api_key = config.api_key or false
  config.home, config.grace = config.root:gsub("/+$", ""), grace
end

local opened = setmetatable({}, {__mode = "k"}) -- instance -> its store

local function store_of(ctx)
  local store = opened[ctx.provider] or stores.new(ctx.config.home)
  opened[ctx.provider] = store
  return store
end

-- The store is the same, so these are `local`'s: files and models, and running a model once, which happens here
for _, op in ipairs {"upload_file", "list_files", "get_file", "delete_file", "download_file", "list_models",
  "get_model", "delete_model", "sample"} do
  P[op] = base[op]
end

-- ---- looking at jobs ----

local function looking(ctx) return function(dir) return states.state(ctx, dir) end end

local function need_job(ctx, p) return jobs.need(ctx, store_of(ctx), p.job_id, looking(ctx)) end

-- Its status is Slurm's own word, where that means the same; else the word that would
local function value(ctx, doc)
  local job = jobs.value(ctx, doc)
  local word = stores.text(doc.slurm)
  job.status = word and (states.STATES[word] or job.status) == job.status and word or states.WORD[job.status]
    or job.status
  return job
end

function P.get_job(ctx, p)
  ctx:sleep(0)
  return value(ctx, need_job(ctx, p))
end

function P.list_jobs(ctx, p)
  local store, look = store_of(ctx), looking(ctx)
  return store:page(ctx, p, "jobs", function(id)
    local doc = jobs.load(ctx, store, id, look)
    return doc and value(ctx, doc)
  end, jobs.with_metadata(p.metadata))
end

function P.list_events(ctx, p) return jobs.events(ctx, p, need_job(ctx, p)) end
function P.list_checkpoints(ctx, p) return jobs.checkpoints(ctx, p, need_job(ctx, p)) end

-- ---- making one ----

-- One word for sh, whatever is in it
local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

-- A job that Slurm starts again (-r) has an end from before, or a runner that is about to write one
local SCRIPT = [[
#!/bin/sh
cd %s || exit 1
[ "${SLURM_RESTART_COUNT:-0}" = 0 ] && again= || again=-r
exec %s $again .
]]

-- finetune-run as the nodes find it: one that is found by a relative path here is told by a whole one
local function runner(ctx)
  local path = ctx.config.runner or supervise.runner()
  if path:sub(1, 1) == "/" or not path:find("/", 1, true) then return path end
  return assert(ctx:exec {argv = {"pwd"}}).stdout:gsub("\n$", "") .. "/" .. path
end

-- Slurm replaces %j and the like in the names of outputs
local function output_of(dir) return (dir .. "/slurm.out"):gsub("%%", "%%%%") end

-- Without a variable of its own a job of slurmrestd is refused
local function environment(ctx)
  local env = {PATH = os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin", HOME = os.getenv "HOME",
    USER = ctx.config.user}
  for name, text in pairs(ctx.config.environment or {}) do env[name] = text end
  return env
end

local function resources(ctx, p)
  local all = {extra = p.extra}
  for name in pairs(OWN) do
    if all[name] == nil then all[name] = p[name] ~= nil and p[name] or ctx.config[name] or nil end
  end
  local words = wrong_resource(all) or wrong_extra(p.extra, ctx.config.base_url)
  if words then return ctx.fail("invalid", "%s", words) end
  if all.gpus == 0 then all.gpus = nil end
  return all
end

local function conflict(cause, why, token)
  return nil, core.error {kind = "conflict", cause = cause, list_error = why, token = token,
    message = ("it is not known whether Slurm has the job: its answer was lost (%s)%s. Call create_job again with "
      .. "token = err.token: it takes the job that was made, and sends it otherwise."):format(cause.message,
      why and (", and it could not be looked for (%s)"):format(why.message) or "")}
end

-- Slurm's "no" is HTTP 500, whatever the reason
local function refused(err)
  local kind = slurm.kind_of(err.message)
  if kind then err.kind, err.retryable = kind, false end
  return nil, err, true
end

-- Is it slurmrestd's own answer (a proxy's are 502 to 504), from a controller that was not lost meanwhile?
local function is_answer(err)
  return err.status == 500 and not err.message:find "timed out" and not err.message:find "receive"
end

-- The folder `dir` is ready: hands it to Slurm. -> true | nil, err, is it certain that Slurm has no job of it?
local function submit(ctx, dir, spec)
  local record = {name = spec.name}
  assert(stores.write_json(dir .. "/slurm.json", record)) -- before: it is found by its name, whatever happens now
  local id, err, certain = slurm.submit(ctx, {name = spec.name, dir = dir, output = output_of(dir),
    script = SCRIPT:format(quote(dir), quote(runner(ctx))), env = environment(ctx),
    resources = stores.object(spec.resources)})
  if not id then
    if certain then return nil, err, true end
    local found, why = slurm.find(ctx, spec.name)
    if found == false and is_answer(err) then return refused(err) end
    if not found then return conflict(err, why, spec.token) end
    id = found
  end
  record.job_id = id
  local ok, why = stores.write_json(dir .. "/slurm.json", record)
  if not ok then return conflict(why, nil, spec.token) end
  return true
end

-- A folder that Slurm surely knows nothing of is nobody's
local function unless_sent(dir)
  return setmetatable({sent = false}, {__close = function(self)
    if not self.sent then stores.remove_tree(dir) end
  end})
end

local function hand_over(ctx, guard, dir, spec)
  guard.sent = true -- an operation that is cancelled from here on leaves it to be found
  local ok, err, certain = submit(ctx, dir, spec)
  if ok then -- it is there, so nothing that could fail comes now
    spec.dir, spec.status = dir, "queued"
    return value(ctx, spec)
  end
  guard.sent = not certain
  return nil, err
end

-- What the token made before: the job, where Slurm has it; else it is sent now. -> job or nil | nil, err
local function again(ctx, token)
  local store = store_of(ctx)
  for _, id in ipairs(jobs.with_token(store, token)) do
    local dir = store:path("jobs", id)
    local doc = jobs.load(ctx, store, id, looking(ctx))
    if doc then return value(ctx, doc) end
    local spec = stores.read_json(dir .. "/spec.json")
    if spec and stores.valid(spec.name) and core.fs.stat(dir .. "/slurm.json") then
      spec.id = id
      local guard <close> = unless_sent(dir)
      return hand_over(ctx, guard, dir, spec)
    end
  end
end

function P.create_job(ctx, p)
  if not p.model then return ctx.fail("invalid", "model is missing: a recipe's base such as \"fasttext\"") end
  local store = store_of(ctx)
  local _ <close> = p.token and jobs.claim(ctx, store, p.token) or nil
  if p.token then
    local made, err = again(ctx, p.token)
    if made or err then return made, err end
  end
  local recipe, model = jobs.choose(ctx, store, p, true)
  local resources_of_it = assert(resources(ctx, p))
  local spec = jobs.spec(store, p, recipe, jobs.check(ctx, store, p, recipe, OWN))
  spec.resources, spec.token = resources_of_it, p.token or ctx.random_token()
  local id, dir = store:reserve("jobs", "job-")
  assert(id, dir)
  local guard <close> = unless_sent(dir)
  spec.id, spec.name = id, (p.suffix or recipe.name) .. id:sub(#"job" + 1)
  local job = jobs.lay_out(store, recipe, jobs.of_recipe(ctx, dir, spec, model), spec)
  job.grace = ctx.config.grace
  assert(stores.write_json(dir .. "/job.json", job))
  return hand_over(ctx, guard, dir, spec)
end

-- ---- ending one ----

-- Was a cancellation refused, so that nothing will come of it?
local function is_no(err)
  return err.kind == "auth" or err.kind == "permission" or err.kind == "config" or err.message:find "denied" ~= nil
end

-- The mark comes first: whoever looks later knows who wanted that
function P.cancel_job(ctx, p)
  local doc = need_job(ctx, p)
  jobs.refuse_ended(ctx, doc)
  local ok, words = core.fs.write(doc.dir .. "/cancel", "")
  if not ok then return stores.failed(words) end
  local record = stores.object(stores.read_json(doc.dir .. "/slurm.json"))
  local told, err = slurm.cancel(ctx, assert(math.tointeger(record.job_id), "a job has a number"))
  if not told then
    if is_no(err) then core.fs.remove(doc.dir .. "/cancel") end
    return nil, err
  end
  local limit = core.now() + SETTLE
  repeat
    ctx:sleep(0.1)
    doc = need_job(ctx, p)
  until jobs.FINAL[doc.status] or core.now() > limit
  return value(ctx, doc)
end

function P.delete_job(ctx, p) return jobs.delete(ctx, store_of(ctx), need_job(ctx, p)) end

for op, why in pairs {
  pause_job = "suspending a job is for Slurm's operators: scontrol suspend",
  resume_job = "resuming a job is for Slurm's operators: scontrol resume",
  deploy_model = "a model is a folder of the store: sample runs it, or a program of your own",
  undeploy_model = "nothing is deployed: sample runs a model once",
  estimate_cost = "what a cluster's hours cost is its owner's to say",
  validate_grader = "no recipe trains with a grader",
  run_grader = "no recipe trains with a grader",
} do P[op] = finetune.unsupported(why) end

return finetune.register(P)
