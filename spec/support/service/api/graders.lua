-- Graders: validated by type; run where that needs no model.
local json = require "service.json"
local reply = require "service.reply"

local M = {}

local TEXT = {string = true}

-- type -> field -> set of allowed values, or TEXT, or a Lua type
local TYPES = {
  string_check = {input = TEXT, reference = TEXT, operation = {eq = true, ne = true, like = true, ilike = true}},
  text_similarity = {input = TEXT, reference = TEXT, evaluation_metric = {
    cosine = true, fuzzy_match = true, bleu = true, gleu = true, meteor = true, rouge_1 = true, rouge_2 = true,
    rouge_3 = true, rouge_4 = true, rouge_5 = true, rouge_l = true,
  }},
  python = {source = TEXT},
  score_model = {model = TEXT, input = "table"},
  label_model = {model = TEXT, input = "table", labels = "table", passing_labels = "table"},
  multi = {graders = "table", calculate_output = TEXT},
}

local function field_ok(rule, value)
  if rule == TEXT then return type(value) == "string" end
  if type(rule) == "string" then return type(value) == rule end
  return rule[value] ~= nil
end

-- `multi` has a dictionary of graders; the published description says one grader.
local function check_inner(grader, path)
  local inner = grader.graders
  if inner.type then return M.check(inner, path .. ".graders") end
  for name, one in pairs(inner) do M.check(one, ("%s.graders.%s"):format(path, name)) end
end

function M.check(grader, path)
  local rules = json.is_object(grader) and TYPES[json.value(grader.type) or 0]
  if not rules then reply.reject(400, ("Invalid '%s.type'."):format(path), path .. ".type", "invalid_value") end
  if type(grader.name) ~= "string" then
    reply.reject(400, ("Missing required parameter: '%s.name'."):format(path), path .. ".name",
      "missing_required_parameter")
  end
  for name, rule in pairs(rules) do
    local value = json.value(grader[name])
    if value == nil or not field_ok(rule, value) then
      reply.reject(400, ("Invalid '%s.%s'."):format(path, name), path .. "." .. name, "invalid_value")
    end
  end
  if grader.type == "multi" then check_inner(grader, path) end
  return grader
end

-- "{{item.answer}}" and "{{sample.output_text}}", filled in.
local function fill(template, body)
  return (template:gsub("{{%s*([%w_.]+)%s*}}", function(path)
    if path == "sample.output_text" then return body.model_sample end
    local value = body.item
    for key in (path:match("^item%.(.+)") or ""):gmatch("[^.]+") do
      value = type(value) == "table" and value[key] or nil
    end
    return type(value) ~= "table" and value and tostring(value) or ""
  end))
end

local compare = {
  eq = function(a, b) return a == b end,
  ne = function(a, b) return a ~= b end,
  like = function(a, b) return a:find(b, 1, true) ~= nil end,
  ilike = function(a, b) return a:lower():find(b:lower(), 1, true) ~= nil end,
}

-- The share of the reference's words that the input has.
local function similarity(input, reference)
  local have, hit, all = {}, 0, 0
  for word in input:gmatch("%S+") do have[word:lower()] = true end
  for word in reference:gmatch("%S+") do
    all, hit = all + 1, hit + (have[word:lower()] and 1 or 0)
  end
  return all == 0 and 0.0 or hit / all
end

local score = {}

function score.string_check(grader, body)
  return compare[grader.operation](fill(grader.input, body), fill(grader.reference, body)) and 1.0 or 0.0
end

function score.text_similarity(grader, body)
  return similarity(fill(grader.input, body), fill(grader.reference, body))
end

-- The mean of the inner ones: `calculate_output` is not evaluated here.
function score.multi(grader, body, scores)
  local inner = grader.graders
  if inner.type then inner = {[inner.name] = inner} end
  local sum, n = 0.0, 0
  for name, one in pairs(inner) do
    scores[name] = (score[one.type] or score.python)(one, body, {})
    sum, n = sum + scores[name], n + 1
  end
  return n == 0 and 0.0 or sum / n
end

-- Nothing here runs Python or a model: a fixed, unremarkable reward.
function score.python() return 0.5 end

local function no_errors()
  local errors = {}
  for name in ([[formula_parse_error sample_parse_error truncated_observation_error unresponsive_reward_error
      invalid_variable_error other_error python_grader_server_error python_grader_runtime_error
      model_grader_server_error model_grader_refusal_error model_grader_parse_error]]):gmatch("%S+") do
    errors[name] = false
  end
  errors.python_grader_server_error_type = json.null
  errors.python_grader_runtime_error_details = json.null
  errors.model_grader_server_error_details = json.null
  return errors
end

local function grader_of(req)
  local grader = json.value(req.json.grader)
  if not grader then
    reply.reject(400, "Missing required parameter: 'grader'.", "grader", "missing_required_parameter")
  end
  return M.check(grader, "grader")
end

function M.validate(req) return {grader = grader_of(req)} end

function M.run(req)
  local grader, body, scores = grader_of(req), req.json, {}
  if type(body.model_sample) ~= "string" then
    reply.reject(400, "Missing required parameter: 'model_sample'.", "model_sample", "missing_required_parameter")
  end
  local reward = (score[grader.type] or score.python)(grader, body, scores)
  return {
    reward = reward,
    metadata = {
      name = grader.name, type = grader.type, errors = no_errors(), execution_time = 0.001,
      scores = json.object(scores), token_usage = json.null, sampled_model_name = json.null,
    },
    sub_rewards = json.object(scores), model_grader_token_usage_per_model = json.object(),
  }
end

return M
