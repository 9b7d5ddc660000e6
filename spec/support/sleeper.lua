-- A provider whose get_job sleeps job_id seconds: what loop specs wait for.

local finetune = require "finetune"

local M = {}

function M.open()
  local P = {name = "sleeper"}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = function() return {id = op} end
  end
  function P.get_job(ctx, p)
    ctx:sleep(tonumber(p.job_id))
    return {id = p.job_id, status = "queued"}
  end
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider "sleeper")
end

-- One short call after the other until it is enough, or far too many
function M.calls(provider, enough)
  for _ = 1, 2000 do
    if enough() then return end
    assert(provider:get_job "0.001")
  end
end

function M.close(provider)
  provider:close()
  finetune.step(0)
  finetune.unregister "sleeper"
end

return M
