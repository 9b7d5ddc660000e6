-- What the fields of a new job may be: a table of small checks, each of which
-- returns nothing, or the words and the code of a refusal.
local json = require "service.json"

local M = {}

local function integer(min, max)
  return function(v)
    if math.type(v) ~= "integer" then return "expected an integer", "invalid_type" end
    if v < min then return ("below the minimum of %d"):format(min), "integer_below_min_value" end
    if max and v > max then return ("above the maximum of %d"):format(max), "integer_above_max_value" end
  end
end

local function number(above, max)
  return function(v)
    if type(v) ~= "number" then return "expected a number", "invalid_type" end
    if v <= above then return ("not above %g"):format(above), "decimal_below_min_value" end
    if max and v > max then return ("above the maximum of %g"):format(max), "decimal_above_max_value" end
  end
end

local function or_auto(check)
  return function(v)
    if v == "auto" then return nil end
    return check(v)
  end
end

local function one_of(...)
  local set = {}
  for _, word in ipairs {...} do set[word] = true end
  return function(v)
    if not set[v] then return "not one of the known values", "invalid_value" end
  end
end

function M.text(min, max)
  return function(v)
    if type(v) ~= "string" then return "expected a string", "invalid_type" end
    local n = utf8.len(v) or #v
    if n < min then return ("expected at least %d characters"):format(min), "string_below_min_length" end
    if n > max then return ("expected at most %d characters"):format(max), "string_above_max_length" end
  end
end

M.seed = integer(0, 2147483647)

local supervised = {
  batch_size = or_auto(integer(1, 256)),
  learning_rate_multiplier = or_auto(number(0)),
  n_epochs = or_auto(integer(1, 50)),
}

local function with(base, more)
  for name, check in pairs(base) do more[name] = more[name] or check end
  return more
end

-- method type -> hyperparameter -> check
M.hyperparameters = {
  supervised = supervised,
  dpo = with(supervised, {beta = or_auto(number(0, 2))}),
  reinforcement = with(supervised, {
    reasoning_effort = one_of("default", "low", "medium", "high"),
    compute_multiplier = or_auto(number(1e-5, 10)),
    eval_interval = or_auto(integer(1)),
    eval_samples = or_auto(integer(1)),
  }),
}

-- At most 16 pairs of strings.
function M.metadata(v)
  if not json.is_object(v) then return "expected an object", "invalid_type" end
  local n, key_check, value_check = 0, M.text(1, 64), M.text(0, 512)
  for key, value in pairs(v) do
    n = n + 1
    local words, code = key_check(key)
    if not words then words, code = value_check(value) end
    if words then return ("'%s': %s"):format(key, words), code end
  end
  if n > 16 then return "expected at most 16 pairs", "object_above_max_properties" end
end

local function wandb(item)
  local settings = json.is_object(item) and item.wandb
  if not json.is_object(settings) or item.type ~= "wandb" then return "expected {type, wandb}", "invalid_value" end
  return M.text(1, 1024)(settings.project)
end

function M.integrations(v)
  if not json.is_array(v) then return "expected an array", "invalid_type" end
  if #v > 5 then return "expected at most 5", "array_above_max_length" end
  for _, item in ipairs(v) do
    local words, code = wandb(item)
    if words then return words, code end
  end
end

return M
