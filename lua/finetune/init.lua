-- finetune: one interface over fine-tuning services. This is the public module;
-- what each name does, with units and errors, is in meta.lua.

local chat = require "finetune.chat"
local core = require "finetune.core"
local cost = require "finetune.cost"
local evaluate = require "finetune.evaluate"
local http = require "finetune.http"
local mapping = require "finetune.mapping"
local reader = require "finetune.reader"
local registry = require "finetune.registry"
local rehearse = require "finetune.rehearse"
local route = require "finetune.route"
local run = require "finetune.run"
local tokens = require "finetune.tokens"
local variant = require "finetune.variant"
local wait = require "finetune.wait"
require "finetune.provider" -- these three fill the core's tables of methods
require "finetune.job"
require "finetune.metrics"

local finetune = {
  _VERSION = "0.1.0",

  register = registry.register,
  unregister = registry.unregister,
  get_provider = registry.get_provider,
  create_provider = registry.create_provider,
  get_default_provider = registry.get_default_provider,
  list_providers = registry.list_providers,
  check_job = rehearse.check_job,
  unsupported = core.unsupported,
  variant = variant.variant,
  mapping = mapping.mapping,
  hyperparameters = mapping.hyperparameters,
  chat = chat.chat,
  reader = reader.reader,
  pick = reader.pick,
  route = route.route,

  run = run.run,
  map = run.map,
  evaluate = evaluate.evaluate,
  rules = core.rules,
  vocabulary = tokens.vocabulary,
  count_tokens = tokens.count_tokens,
  estimate_cost = cost.estimate_cost,
  step = core.step,
  pollfd = core.pollfd,
  pending = core.pending,

  null = core.null,
  array = core.array,
  is_error = core.is_error,
  error = core.error,
  fail = core.context.fail,
  http = http,
}

local MOST = 1e9 -- seconds

-- Waits: in finetune.run the others go on meanwhile.
function finetune.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds <= MOST) then
    error("finetune.sleep: takes seconds, a number between 0 and 1e9", 2)
  end
  wait.ready()
  local _, err = wait.complete(core.sleep(seconds))
  if err then return nil, err end
  return true
end

-- finetune.testing is for tests only, and loaded when asked for.
return setmetatable(finetune, {
  __index = function(self, key)
    if key ~= "testing" then return nil end
    local testing = require "finetune.testing"
    rawset(self, key, testing)
    return testing
  end,
})
