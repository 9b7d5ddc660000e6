-- A provider that hands every operation to recorder.serve[op](params, ctx), and notes it in recorder.calls.

local finetune = require "finetune"

local M = {calls = {}, serve = {}}

local OPS = {"upload_file", "create_job", "get_job", "cancel_job", "list_models", "delete_model", "list_jobs",
  "list_events", "list_checkpoints", "list_files", "sample", "validate_grader", "run_grader", "download_file"}

-- Forgets everything -> an instance; `unsupported`: operations that it does not have
function M.open(unsupported)
  local P = {name = "recorder", params = {create_job = "training_type:string tier:string|integer"}}
  M.calls, M.serve = {}, {}
  for _, op in ipairs(OPS) do
    P[op] = function(ctx, p)
      M.calls[#M.calls + 1] = {op = op, p = p}
      if M.serve[op] then return M.serve[op](p, ctx) end
      return {id = op}
    end
  end
  for _, op in ipairs(unsupported or {}) do P[op] = finetune.unsupported("this service has no " .. op) end
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider "recorder")
end

function M.close(provider)
  provider:close()
  finetune.unregister "recorder"
end

-- get_job goes through these states, one a poll, and stays at the last: a status, a job, or {fail = error}
function M.states(list)
  local n = 0
  M.serve.get_job = function(p)
    n = math.min(n + 1, #list)
    local state = list[n]
    if type(state) == "string" then state = {status = state} end
    if state.fail then return nil, state.fail end
    state.id = p.job_id
    return state
  end
end

return M
