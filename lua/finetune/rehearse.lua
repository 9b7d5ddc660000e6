-- rehearse.lua: create_job as far as it comes without a file and without a service: the
-- provider itself checks the parameters, so that a wrong one costs no upload.

local core = require "finetune.core"
local registry = require "finetune.registry"
require "finetune.provider" -- it makes the method create_job

local M = {}

local NOBODY = "file-of-a-rehearsal" -- an id that no file has
local FILES_FIRST = {["local"] = true, slurm = true} -- need no HTTP, and begin nothing without their file

local function copy(t)
  local new = {}
  for key, value in pairs(t or {}) do new[key] = value end
  return new
end

-- Is whatever it does done over HTTP?
local function is_remote(name)
  local facts = core.facts(name) or {}
  return facts.base_url ~= nil or type(facts.env) == "table" and facts.env.base_url ~= nil
end

-- name, config: as of create_provider; params: those of create_job, the files may be missing
-- -> true | nil, err: what is wrong with them. Nothing is sent, and nothing begun.
function M.check_job(name, config, params)
  local P, missing = registry.get_provider(name) -- also loads it: its facts are there from then on
  if not P then return nil, missing end
  if not is_remote(name) and not FILES_FIRST[name] then return true end -- nobody knows what it would do
  local settings, p, came = copy(config), copy(params), false
  settings.on_trace, settings.max_retries = nil, 0
  function settings.transport()
    came = true
    return nil, "connect"
  end
  local provider <close>, err = registry.create_provider(name, settings)
  if not provider then return nil, err end
  p.training_file, p.validation_file, p.wait_for_files = NOBODY, p.validation_file and NOBODY, false
  local job, why = provider:create_job(p)
  if job or came or why.message:find(NOBODY, 1, true) then return true end
  return nil, why
end

return M
