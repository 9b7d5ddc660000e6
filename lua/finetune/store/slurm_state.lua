-- slurm_state.lua: what a job of the provider `slurm` is: what Slurm says of it and what its directory says, together.
-- A success is told by the directory alone. Anything else waits for Slurm's word, which has the reason; when Slurm has
-- forgotten the job, exit.json and the mark `cancel` tell, what Slurm wrote into the job's output (slurm.out) when it
-- ended it, and what was seen of it before (seen.json: {state, reason, waits}). The runner's lock proves that it lives
-- where it is held; one that is free proves nothing, for locks over NFS may not be seen from here.

local core = require "finetune.core"
local slurm = require "finetune.store.slurm"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"

local M = {}

local FINALIZING = 60 -- seconds after its end that exit.json may need to be seen: NFS keeps what it knew of a folder
local BRIEF = 5 -- the same where the runner most likely wrote none

-- Slurm's state -> ours
M.STATES = {PENDING = "queued", REQUEUED = "queued", REQUEUE_HOLD = "queued", REQUEUE_FED = "queued",
  RESV_DEL_HOLD = "queued", SPECIAL_EXIT = "queued", CONFIGURING = "queued", POWER_UP_NODE = "queued",
  RUNNING = "running", RESIZING = "running", SIGNALING = "running", STAGE_OUT = "finalizing",
  COMPLETING = "finalizing", SUSPENDED = "paused", STOPPED = "paused", COMPLETED = "succeeded", FAILED = "failed",
  CANCELLED = "cancelled", TIMEOUT = "failed", NODE_FAIL = "failed", PREEMPTED = "failed", BOOT_FAIL = "failed",
  DEADLINE = "failed", OUT_OF_MEMORY = "failed", LAUNCH_FAILED = "failed", RECONFIG_FAIL = "failed",
  REVOKED = "cancelled"}

-- Ours -> Slurm's word for it
M.WORD = {queued = "PENDING", running = "RUNNING", finalizing = "COMPLETING", paused = "SUSPENDED",
  succeeded = "COMPLETED", failed = "FAILED", cancelled = "CANCELLED"}

local FINAL = {succeeded = true, failed = true, cancelled = true}
local WORDS = {TIMEOUT = "it reached its time limit", NODE_FAIL = "its node failed", DEADLINE = "its deadline passed",
  PREEMPTED = "it was preempted by another job", BOOT_FAIL = "its node did not boot",
  OUT_OF_MEMORY = "it used more memory than it was given", FAILED = "its runner did not run",
  LAUNCH = "its runner did not run: may its user write to the job's folder there, and has the node that folder under "
    .. "the same path?", COMPLETED = "its runner left no exit.json",
  CANCELLED = "it was cancelled in Slurm, and not from here"}

local TERMINATED = "it was ended by Slurm or by somebody else, who gave no reason"

local function failure(code, words, dir)
  local last = supervise.last_words(dir) or supervise.last_words(dir, "slurm.out")
  return {code = code, message = words .. (last and "; the log ends with: " .. last or "")}
end

-- Lines that Slurm writes into a job's output when it ends it -> the state that is the reason
local SAID = {{"exceeded memory limit", "OUT_OF_MEMORY"}, {"oom%-kill", "OUT_OF_MEMORY"}, {"oom_kill", "OUT_OF_MEMORY"},
  {"DUE TO TIME LIMIT", "TIMEOUT"}, {"DUE TO PREEMPTION", "PREEMPTED"}, {"DUE TO NODE FAILURE", "NODE_FAIL"}}
local SAID_MOST = 16384 -- bytes at the end of slurm.out
local REASONS = {TimeLimit = "TIMEOUT", OutOfMemory = "OUT_OF_MEMORY", NodeDown = "NODE_FAIL"}

-- The state that tells why Slurm ended the job, from what is in its folder, or nil
local function told(dir, seen)
  local file <close> = core.fs.open(dir .. "/slurm.out")
  local size = file and file:seek "end" or 0
  local text = size > 0 and file:seek("set", math.max(0, size - SAID_MOST)) and file:read(SAID_MOST) or ""
  for line in text:gmatch "[^\n]+" do
    for _, pair in ipairs(line:find "^slurmstepd" and SAID or {}) do
      if line:find(pair[1]) then return pair[2] end
    end
  end
  local state = REASONS[seen.reason] or seen.state
  return WORDS[state] and M.STATES[state] == "failed" and state ~= "FAILED" and state or nil
end

local function is_said(reason) return reason ~= nil and reason ~= "None" and reason ~= "" end

local function of_slurm(dir, job, status)
  local words = WORDS[job.state] or "Slurm's state is " .. job.state
  if job.state == "FAILED" and job.reason == "JobLaunchFailure" then words = WORDS.LAUNCH end
  if is_said(job.reason) then words = ("%s (%s)"):format(words, job.reason) end
  local started = stores.object(stores.read_json(dir .. "/started.json")) -- Slurm says when, also of one that did not
  return {status = status, started_at = stores.number(started.started_at), finished_at = job.finished_at, exit = {},
    error = failure(job.state:lower(), words, dir)}
end

-- A reason that was found in the folder
local function of_told(dir, state, ended)
  local found = of_slurm(dir, {state = state}, M.STATES[state])
  found.slurm, found.exit = state, ended and ended.exit or found.exit
  found.started_at, found.finished_at = ended and ended.started_at, ended and ended.finished_at
  return found
end

-- What the runner says of an end that Slurm calls by no other name
local function by_runner(dir, ended, state)
  state.status, state.error = ended.status, ended.error
  if ended.status == "cancelled" then state.status, state.error = "failed", failure("terminated", TERMINATED, dir) end
end

-- What Slurm says is over; ended: what exit.json says, or nil
local function final(dir, job, ended, cancelled)
  local status = M.STATES[job.state]
  local plain = job.state == "COMPLETED" or job.state == "FAILED" -- then the runner knows better
  local why = plain and not cancelled and (not ended or ended.status ~= "succeeded") and told(dir, {})
  if why then return of_told(dir, why, ended) end
  local state = of_slurm(dir, job, status == "succeeded" and "failed" or status)
  if ended then
    state.exit, state.finished_at = ended.exit, ended.finished_at or state.finished_at
    state.started_at = ended.started_at or state.started_at
    if plain then by_runner(dir, ended, state) end
  elseif plain and not cancelled then
    local limit = job.state == "COMPLETED" and FINALIZING or BRIEF
    local since = core.wall() - (job.finished_at or 0) -- by two clocks, so it may be less than nothing
    if math.abs(since) < limit then return {status = "finalizing"} end
  end
  if cancelled then state.status, state.error = "cancelled", nil end
  return state
end

-- The controller has no such job any more: nobody but the directory knows
local function forgotten(dir, ended, cancelled, seen)
  local why = not cancelled and (not ended or ended.status ~= "succeeded") and told(dir, seen)
  if why then return of_told(dir, why, ended) end
  local state = ended or {status = "failed", exit = {},
    error = failure("forgotten", "Slurm has forgotten the job, and its runner left no exit.json", dir)}
  if cancelled then
    state.status, state.error = "cancelled", nil
  elseif state.status == "cancelled" then
    state.error = failure("terminated", TERMINATED, dir)
  elseif not ended and core.lock_holder(dir .. "/lock") then
    return {status = "running"} -- a lock that is held is a proof, one that is free is none
  end
  return state
end

local function live(dir, job, ended, cancelled)
  local status = M.STATES[job.state] or job.state
  if cancelled and M.STATES[job.state] then
    status = "cancelling"
  elseif ended and status == "running" then
    status = "finalizing" -- its reason is Slurm's to say
  end
  local started = stores.object(stores.read_json(dir .. "/started.json"))
  return {status = status, started_at = status ~= "queued" and (stores.number(started.started_at)
    or job.started_at) or nil}
end

-- Reasons to wait that pass by themselves
local PASSES = {Priority = true, Resources = true, Dependency = true, BeginTime = true, Licenses = true,
  Reservation = true, Prolog = true, Cleaning = true}
local WAITS_MOST = 50 -- of them are kept

-- What is new in what Slurm says of the job goes into its folder, for the controller forgets
local function note(dir, seen, job)
  if job.state == seen.state and job.reason == seen.reason then return end
  local waits = stores.object(seen.waits)
  if job.state == "PENDING" and is_said(job.reason) and job.reason ~= seen.reason and #waits < WAITS_MOST then
    waits[#waits + 1] = {reason = job.reason, time = math.floor(core.wall()), passes = PASSES[job.reason]}
  end
  seen.state, seen.reason, seen.waits = job.state, job.reason, core.array(waits)
  stores.write_json(dir .. "/seen.json", seen) -- without it the job's end is told a little less well
end

-- The number of a job whose submission was interrupted -> number | nil: there is none
local function adopt(ctx, dir, record)
  if not stores.valid(record.name) then return nil end
  local found, err = slurm.find(ctx, record.name)
  if err then error(err, 0) end
  if not found then return nil end
  record.job_id = found
  assert(stores.write_json(dir .. "/slurm.json", record))
  return found
end

-- dir/slurm.json = {name, job_id}: written without job_id before the submission, and with it behind
-- -> as of supervise.state, with `slurm`, Slurm's own word; nil: it was never submitted. Raises the error of a
-- controller that does not answer, where the directory alone does not say how the job ended.
function M.state(ctx, dir)
  local record, words = stores.read_json(dir .. "/slurm.json")
  if not record then return nil, words end
  local ended = supervise.ending(dir)
  if ended and ended.status == "succeeded" then
    ended.slurm = "COMPLETED"
    return ended
  end
  local id, job, err = math.tointeger(stores.number(record.job_id)) or adopt(ctx, dir, record), nil, nil
  if id then
    job, err = slurm.job(ctx, id)
  elseif not core.fs.stat(dir .. "/lock") then -- else it ran, and is forgotten
    return nil
  end
  if err then error(err, 0) end
  if job and job.name and job.name ~= record.name then job = nil end -- another's: numbers begin again some day
  ended = supervise.ending(dir) -- it may have ended since
  local cancelled = core.fs.stat(dir .. "/cancel") ~= nil
  local seen = stores.object(stores.read_json(dir .. "/seen.json"))
  if job then note(dir, seen, job) end
  local state
  if ended and ended.status == "succeeded" then
    state = ended
  elseif job then
    state = (FINAL[M.STATES[job.state]] and final or live)(dir, job, ended, cancelled)
  else
    state = forgotten(dir, ended, cancelled, seen)
  end
  state.slurm = state.slurm or job and job.state
  state.reason, state.waits = is_said(seen.reason) and seen.reason or nil, seen.waits
  return state
end

return M
