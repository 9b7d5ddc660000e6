-- slurm_state.lua: what a job of the provider `slurm` is: what Slurm says of it and what its directory says, together.
-- A success is told by the directory alone. Anything else waits for Slurm's word, which has the reason; when Slurm has
-- forgotten the job, exit.json and the mark `cancel` tell. The runner's lock proves that it lives where it is held; one
-- that is free proves nothing, for locks over NFS may not be seen from here.

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

local FINAL = {succeeded = true, failed = true, cancelled = true}
local WORDS = {TIMEOUT = "it reached its time limit", NODE_FAIL = "its node failed", DEADLINE = "its deadline passed",
  PREEMPTED = "it was preempted by another job", BOOT_FAIL = "its node did not boot",
  OUT_OF_MEMORY = "it used more memory than it was given", FAILED = "its runner did not run",
  COMPLETED = "its runner left no exit.json", CANCELLED = "it was cancelled in Slurm, and not from here"}

local TERMINATED = "it was ended by Slurm or by somebody else, who gave no reason"

local function failure(code, words, dir)
  local last = supervise.last_words(dir) or supervise.last_words(dir, "slurm.out")
  return {code = code, message = words .. (last and "; the log ends with: " .. last or "")}
end

local function of_slurm(dir, job, status)
  local words = WORDS[job.state] or "Slurm's state is " .. job.state
  if job.reason and job.reason ~= "None" and job.reason ~= "" then words = ("%s (%s)"):format(words, job.reason) end
  return {status = status, started_at = job.started_at, finished_at = job.finished_at, exit = {},
    error = failure(job.state:lower(), words, dir)}
end

-- What Slurm says is over; ended: what exit.json says, or nil
local function final(dir, job, ended, cancelled)
  local status = M.STATES[job.state]
  local plain = job.state == "COMPLETED" or job.state == "FAILED" -- then the runner knows better
  local state = of_slurm(dir, job, status == "succeeded" and "failed" or status)
  if ended then
    state.exit, state.finished_at = ended.exit, ended.finished_at or state.finished_at
    state.started_at = ended.started_at or state.started_at
    if plain and ended.status == "cancelled" and not cancelled then
      state.status, state.error = "failed", failure("terminated", TERMINATED, dir)
    elseif plain then
      state.status, state.error = ended.status, ended.error
    end
  elseif plain and not cancelled then
    local limit = job.state == "COMPLETED" and FINALIZING or BRIEF
    if core.wall() - (job.finished_at or 0) < limit then return {status = "finalizing"} end
  end
  if cancelled then state.status, state.error = "cancelled", nil end
  return state
end

-- The controller has no such job any more: nobody but the directory knows
local function forgotten(dir, ended, cancelled)
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
  local state
  if ended and ended.status == "succeeded" then
    state = ended
  elseif not job then
    return forgotten(dir, ended, cancelled)
  else
    state = (FINAL[M.STATES[job.state]] and final or live)(dir, job, ended, cancelled)
  end
  state.slurm = job and job.state or "COMPLETED"
  return state
end

return M
