-- mapping.lua: create_job's parameters -> the body that a service of its own shape
-- wants, from a table that says how. Names, places and ranges are data; what a
-- service does not know is refused with words, never dropped and never guessed;
-- `extra` is laid over the finished body unchecked.
--
--   local body = finetune.mapping {
--     service = "Acme",
--     fields = {model = "base", training_file = "data.file", suffix = {"tag", most = 40, pattern = "^[%w_-]+$"}},
--     hyperparameters = {n_epochs = {"settings.rounds", integer = true, least = 1, most = 20}},
--     methods = {supervised = {set = {kind = "sft"}}, dpo = {set = {kind = "dpo"}, hyperparameters = {beta = "beta"}}},
--     refuse = {metadata = "Acme keeps none"},
--   }
--   local doc, err = body(ctx, params)

local core = require "finetune.core"

local M = {}

-- Parameters that say how the library goes about it, not what the service is to do
local OWN = {hyperparameters = true, method = true, extra = true, timeout = true, wait_for_files = true,
  file_timeout = true}

local LEARNING_RATE = {
  learning_rate = "is an absolute rate, and %s takes only learning_rate_multiplier, a factor on a rate of its own; "
    .. "one cannot be made from the other",
  learning_rate_multiplier = "is a factor on a service's own rate, and %s takes only learning_rate, an absolute rate "
    .. "such as 1e-5; one cannot be made from the other",
}

local function invalid(name, format, ...)
  return nil, core.error {kind = "invalid", param = name, message = ("%s %s"):format(name, format:format(...))}
end

local function sorted(t)
  local names = {}
  for name in pairs(t or {}) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

-- ---- one value ----

local function number_words(t)
  local words = {t.integer and "a whole number" or "a number"}
  if t.above then words[#words + 1] = ("above %g"):format(t.above) end
  if t.least and t.most then
    words[#words + 1] = ("from %g to %g"):format(t.least, t.most)
  elseif t.least then
    words[#words + 1] = ("from %g"):format(t.least)
  elseif t.most then
    words[#words + 1] = ("of at most %g"):format(t.most)
  end
  return table.concat(words, " ")
end

local function is_number_target(t) return t.integer or t.least or t.above or t.number end

-- -> the number, 3.0 as 3; nil where it does not fit
local function fit_number(t, value)
  local number = type(value) == "number" and value == value and value or nil
  if number and t.integer then number = math.tointeger(number) end
  if not number or number == math.huge or number == -math.huge then return nil end
  if (t.above and number <= t.above) or (t.least and number < t.least) or (t.most and number > t.most) then
    return nil
  end
  return number
end

-- A text of 1 to t.most characters that fits the pattern -> whether it does
local function fit_text(t, value)
  local length = type(value) == "string" and utf8.len(value)
  return length and length > 0 and (not t.most or length <= t.most) and (not t.pattern or value:find(t.pattern) ~= nil)
end

-- A value that is listed as such (`values = {max = true}`) needs no check
local function check_value(name, t, value)
  if t.values and t.values[value] then return value end
  if is_number_target(t) then
    local number = fit_number(t, value)
    if number ~= nil then return number end
    local others = t.values and (" or %s"):format(table.concat(sorted(t.values), ", ")) or ""
    return invalid(name, "must be %s%s", number_words(t), others)
  elseif t.values then
    return invalid(name, "must be one of: %s", table.concat(sorted(t.values), ", "))
  elseif t.type and type(value) ~= t.type then
    return invalid(name, "must be a %s", t.type)
  elseif (t.most or t.pattern) and not fit_text(t, value) then
    return invalid(name, "must be a text%s%s", t.most and (" of 1 to %g characters"):format(t.most) or "",
      t.words and ": " .. t.words or "")
  end
  return value
end

-- ---- the body ----

-- The caller's tables, and those of the provider's table, are never written to: the body has copies
local function copy(value, known)
  if type(value) ~= "table" then return value end
  if known[value] then return known[value] end
  local new = setmetatable({}, getmetatable(value)) -- finetune.array's, say
  known[value] = new
  for key, inner in pairs(value) do new[key] = copy(inner, known) end
  return new
end

local function put(body, path, value)
  local key, rest = path:match("^([^.]+)%.(.+)$")
  if not key then
    body[path] = copy(value, {})
    return
  end
  if type(body[key]) ~= "table" then body[key] = {} end
  put(body[key], rest, value)
end

local ARRAY = getmetatable(core.array {})

-- As the encoder has it: a table without places is an object, unless it is marked as an array
local function is_object(value)
  return type(value) == "table" and value[1] == nil and getmetatable(value) ~= ARRAY
end

-- `over` laid over `body`, objects into objects
local function merge(body, over)
  for key, value in pairs(over) do
    if is_object(value) and is_object(body[key]) then merge(body[key], value) else body[key] = copy(value, {}) end
  end
end

-- Checks the value and puts it where the target says. A target is a path, or {path, checks…};
-- target.to(value, params) gives another value, or nil and words.
local function apply(body, name, target, value, params)
  local t = type(target) == "table" and target or {target}
  local good, err = check_value(name, t, value)
  if good == nil then return nil, err end
  if t.to then
    local why
    good, why = t.to(good, params)
    if good == nil then return invalid(name, "%s", why or "does not fit") end
  end
  if t[1] then put(body, t[1], good) end
  return true
end

-- ---- method and hyperparameters ----

-- Into `all`: the hyperparameters of that table; words where it is none
local function collect(all, list)
  if type(list) ~= "table" then return "must be a table of names and values" end
  for name, value in pairs(list) do
    if type(name) ~= "string" then return "must be a table of names and values" end
    all[name] = value
  end
end

-- The first name in the table that is none of these
local function stranger(t, ...)
  for _, name in ipairs(sorted(t)) do
    local known = false
    for i = 1, select("#", ...) do known = known or name == (select(i, ...)) end
    if not known then return name end
  end
end

-- params.method, in whichever of its forms -> {name, hyperparameters, grader} | nil, err.
-- Hyperparameters may be in three places; the flat ones win.
local function read_method(params)
  local method, part, name = params.method, {}, params.method
  if type(method) == "table" then
    name, part = method.type, method[method.type or 0] or {}
    if type(name) ~= "string" then return invalid("method", "needs a `type`") end
    if type(part) ~= "table" then return invalid("method." .. name, "must be a table") end
    local odd = stranger(method, "type", name, "hyperparameters", "grader")
    if odd then return invalid("method." .. odd, "is not known") end
    odd = stranger(part, "hyperparameters", "grader")
    if odd then return invalid(("method.%s.%s"):format(name, odd), "is not known") end
  end
  local all, outer = {}, type(method) == "table" and method or {}
  for _, list in ipairs {part.hyperparameters or {}, outer.hyperparameters or {}, params.hyperparameters or {}} do
    local why = collect(all, list)
    if why then return invalid("hyperparameters", "%s", why) end
  end
  return {name = name or "supervised", hyperparameters = all, grader = params.grader or outer.grader or part.grader}
end

local function refused(spec, name, known, place)
  local words = spec.refuse and spec.refuse[name]
  if words then return invalid(place .. name, "%s", words) end
  local other = name == "learning_rate" and "learning_rate_multiplier" or "learning_rate"
  if LEARNING_RATE[name] and known[other] then
    return invalid(place .. name, LEARNING_RATE[name] .. "; the field may be put under `extra`", spec.service)
  end
  return invalid(place .. name, "is not known to %s, which takes: %s (anything else: `extra`)", spec.service,
    table.concat(sorted(known), ", "))
end

local function known_hyperparameters(spec, method)
  local known = {}
  for name, target in pairs(spec.hyperparameters or {}) do known[name] = target end
  for name, target in pairs(method.hyperparameters or {}) do known[name] = target end
  return known
end

-- "auto" is the service's own choice, which is made where nothing is sent
local function put_hyperparameters(spec, body, method, given, params)
  local known = known_hyperparameters(spec, method)
  for _, name in ipairs(sorted(given)) do
    local target, value = known[name], given[name]
    if not target then return refused(spec, name, known, "hyperparameters.") end
    if value ~= "auto" or (type(target) == "table" and target.values and target.values.auto) then
      local ok, err = apply(body, "hyperparameters." .. name, target, value, params)
      if not ok then return nil, err end
    end
  end
  return true
end

local function put_method(spec, body, read, params)
  local methods = spec.methods or {supervised = {}}
  local method = methods[read.name]
  if not method then
    return invalid("method", "'%s' is not offered by %s, which has: %s", tostring(read.name):sub(1, 60), spec.service,
      table.concat(sorted(methods), ", "))
  end
  for path, value in pairs(method.set or {}) do put(body, path, value) end
  return put_hyperparameters(spec, body, method, read.hyperparameters, params)
end

local function put_fields(spec, body, read, params)
  local given, known = {}, spec.fields or {}
  for name, value in pairs(params) do given[name] = value end
  given.grader = read.grader
  for _, name in ipairs(sorted(given)) do
    if not OWN[name] then
      if known[name] == nil then return refused(spec, name, known, "") end
      local ok, err = apply(body, name, known[name], given[name], params)
      if not ok then return nil, err end
    end
  end
  return true
end

-- ---- public ----

-- mapping(spec) -> function(ctx, params) -> body | nil, err (kind "invalid", with `param`)
--   service           its name, for words
--   fields            parameter -> target: what create_job's other parameters become; {} (no path) takes one in silence
--   hyperparameters   name -> target
--   methods           name -> {set = {path = value}, hyperparameters = more of them} ({supervised = {}})
--   refuse            name -> words, where "is not known" is not enough
-- A target is a path ("a.b" is b in the object a), or {path, integer = true, number = true, least, most, above (of
-- numbers), most (characters), pattern, words (of texts), values = {word = true}, type, to = function(value, params)}.
function M.mapping(spec)
  if type(spec) ~= "table" or type(spec.service) ~= "string" then
    error("mapping: takes a table with the service's name in `service`", 2)
  end
  return function(_, params)
    local read, err = read_method(params)
    if not read then return nil, err end
    if params.extra ~= nil and type(params.extra) ~= "table" then return invalid("extra", "must be a table") end
    local body = {}
    local ok, why = put_fields(spec, body, read, params)
    if ok then ok, why = put_method(spec, body, read, params) end
    if not ok then return nil, why end
    merge(body, params.extra or {})
    return body
  end
end

-- The same for the hyperparameters alone: a variant's base makes the rest of the body, with the
-- quirk hyperparameters = true, which takes them as they are. -> function(ctx, params) -> new params | nil, err
function M.hyperparameters(spec)
  return function(_, params)
    local read, err = read_method(params)
    if not read then return nil, err end
    local mapped = {}
    local ok, why = put_method(spec, mapped, read, params)
    if not ok then return nil, why end
    local new = {}
    for name, value in pairs(params) do new[name] = value end
    new.hyperparameters = next(mapped) and mapped or nil
    new.method = params.method and {type = read.name}
    new.grader = read.grader
    return new
  end
end

return M
