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
local dig = require "finetune.reader".dig
local wandb = require "finetune.wandb"

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

local function shown(number) return (math.type(number) == "integer" and "%d" or "%g"):format(number) end

local function number_words(t)
  local words = {t.integer and "a whole number" or "a number"}
  if t.above then words[#words + 1] = ("above %g"):format(t.above) end
  if t.below then words[#words + 1] = ("below %g"):format(t.below) end
  if t.least and t.most then
    words[#words + 1] = ("from %s to %s"):format(shown(t.least), shown(t.most))
  elseif t.least then
    words[#words + 1] = ("from %s"):format(shown(t.least))
  elseif t.most then
    words[#words + 1] = ("of at most %s"):format(shown(t.most))
  end
  return table.concat(words, " ")
end

local function is_number_target(t) return t.integer or t.least or t.above or t.below or t.number end

-- -> the number, 3.0 as 3; nil where it does not fit
local function fit_number(t, value)
  local number = type(value) == "number" and value == value and value or nil
  if number and t.integer then number = math.tointeger(number) end
  if not number or number == math.huge or number == -math.huge then return nil end
  if (t.above and number <= t.above) or (t.least and number < t.least) or (t.most and number > t.most)
    or (t.below and number >= t.below) then
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

local DEPTH = 120 -- levels of tables; the encoder has 128

-- The caller's tables, and those of the provider's table, are never written to: the body has copies
local function copy(value, known, depth)
  if type(value) ~= "table" then return value end
  if known[value] then return known[value] end
  depth = (depth or 0) + 1
  if depth > DEPTH then error(core.error {kind = "invalid", message = "a parameter is nested too deeply"}, 0) end
  local new = setmetatable({}, getmetatable(value)) -- finetune.array's, say
  known[value] = new
  for key, inner in pairs(value) do new[key] = copy(inner, known, depth) end
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
local function merge(body, over, depth)
  depth = (depth or 0) + 1
  for key, value in pairs(over) do
    if depth < DEPTH and is_object(value) and is_object(body[key]) then
      merge(body[key], value, depth)
    else
      body[key] = copy(value, {})
    end
  end
end

-- The target as a table; one whose `most` is the name of a setting gets that setting's number
local function target_of(target, ctx)
  local t = type(target) == "table" and target or {target}
  if type(t.most) ~= "string" then return t end
  return setmetatable({most = ctx.config[t.most]}, {__index = t})
end

-- Checks the value and puts it where the target says. A target is a path, or {path, checks…};
-- target.to(value, params, ctx) gives another value, or nil and words.
local function apply(body, name, target, value, read)
  local t = target_of(target, read.ctx)
  local good, err = check_value(name, t, value)
  if good == nil then return nil, err end
  if t.to then
    local why
    good, why = t.to(good, read.params, read.ctx)
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

-- params.method, in whichever of its forms -> {name, hyperparameters, grader, params, ctx} | nil, err.
-- Hyperparameters may be in three places; the flat ones win.
local function read_method(ctx, params)
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
  return {name = name or "supervised", hyperparameters = all, grader = params.grader or outer.grader or part.grader,
    params = params, ctx = ctx}
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

-- part: "fields" or "hyperparameters"
local function known_of(part, spec, method)
  local known = {}
  for _, list in ipairs {spec[part] or {}, method[part] or {}} do
    for name, target in pairs(list) do known[type(name) == "number" and target or name] = target end
  end
  return known
end

-- "auto" is the service's own choice, which is made where nothing is sent
local function is_sent(target, value)
  return value ~= nil and (value ~= "auto" or type(target) == "table" and target.values and target.values.auto)
end

-- What a hyperparameter cannot do without: needs = "lora_rank", or {lr_scheduler_type = "cosine"}
local function check_needs(name, target, known, given)
  local needs = type(target) == "table" and target.needs
  for other, word in pairs(type(needs) == "string" and {[needs] = true} or needs or {}) do
    if not is_sent(known[other], given[other]) then
      return invalid("hyperparameters." .. other, "is needed with %s", name)
    elseif word ~= true and given[other] ~= word then
      return invalid("hyperparameters." .. name, "belongs to %s %s", other, tostring(word))
    end
  end
  return true
end

-- What a hyperparameter says without words: implies = {lora = true}
local function put_implied(known, given)
  for _, name in ipairs(sorted(given)) do
    local target = known[name]
    for other, word in pairs(type(target) == "table" and is_sent(target, given[name]) and target.implies or {}) do
      if not is_sent(known[other], given[other]) then given[other] = word end
      if given[other] ~= word then
        return invalid("hyperparameters." .. name, "belongs to %s = %s", other, tostring(word))
      end
    end
  end
  return true
end

-- Two names may have one place (lora_rank, and the service's own lora_r): then one of them is given
local function check_place(name, target, places)
  local place = type(target) == "table" and target[1] or target
  local other = place and places[place]
  places[place or 0] = name
  if not place or not other then return true end
  return invalid("hyperparameters." .. name, "and hyperparameters.%s are the same; give one of them", other)
end

local function put_hyperparameters(spec, body, method, read)
  local known, given, places = known_of("hyperparameters", spec, method), read.hyperparameters, {}
  local ok, err = put_implied(known, given)
  if not ok then return nil, err end
  for _, name in ipairs(sorted(given)) do
    local target, value = known[name], given[name]
    if not target then return refused(spec, name, known, "hyperparameters.") end
    if is_sent(target, value) then
      ok, err = check_place(name, target, places)
      if ok then ok, err = apply(body, "hyperparameters." .. name, target, value, read) end
      if ok then ok, err = check_needs(name, target, known, given) end
      if not ok then return nil, err end
    end
  end
  return true
end

-- What is in the object `key` goes to the top
local function move_up(body, key)
  local inner = body[key]
  body[key] = nil
  for name, value in pairs(inner or {}) do body[name] = value end
end

local function put_method(spec, body, read)
  local methods = spec.methods or {supervised = {}}
  local method = methods[read.name]
  if not method then
    return invalid("method", "'%s' is not offered by %s, which has: %s", tostring(read.name):sub(1, 60), spec.service,
      table.concat(sorted(methods), ", "))
  end
  for path, value in pairs(method.set or {}) do put(body, path, value) end
  local ok, err = put_hyperparameters(spec, body, method, read)
  if not ok then return nil, err end
  if method.top then move_up(body, method.top) end
  return true
end

local function put_fields(spec, body, read)
  local given, known = {}, known_of("fields", spec, (spec.methods or {})[read.name] or {})
  for name, value in pairs(read.params) do given[name] = value end
  given.grader = read.grader
  if spec.wandb then given.integrations = nil end
  for _, name in ipairs(sorted(known)) do
    if type(known[name]) == "table" and known[name].required and given[name] == nil then
      return invalid(name, "is needed")
    end
  end
  for _, name in ipairs(sorted(given)) do
    if not OWN[name] then
      if known[name] == nil then return refused(spec, name, known, "") end
      local ok, err = apply(body, name, known[name], given[name], read)
      if not ok then return nil, err end
    end
  end
  return true
end

-- integrations = {{type = "wandb", …}}
local function put_wandb(spec, body, read)
  if not spec.wandb or read.params.integrations == nil then return true end
  local settings, err = wandb.read(read.ctx, spec, read.params.integrations)
  if not settings then return nil, err end
  for path, value in pairs(settings) do put(body, path, value) end
  return true
end

-- ---- the other way: the service's document -> hyperparameters ----

local PLAIN = {string = true, number = true, boolean = true}

local function has_type(t, value)
  if is_number_target(t) and not (t.values and t.values[value]) then return type(value) == "number" end
  if t.type then return type(value) == t.type end
  return PLAIN[type(value)] or false
end

local function read_back(all, targets, doc)
  for name, target in pairs(targets) do
    local t = type(target) == "table" and target or {target}
    local value
    if t[1] and not t.to then value = dig(doc, t[1]) end
    if value ~= nil and has_type(t, value) then all[name] = value end
  end
end

-- ---- public ----

local function body_of(spec, ctx, params)
  local read, err = read_method(ctx, params)
  if not read then return nil, err end
  if params.extra ~= nil and type(params.extra) ~= "table" then return invalid("extra", "must be a table") end
  local body = {}
  local ok, why = put_fields(spec, body, read)
  if ok then ok, why = put_method(spec, body, read) end
  if ok then ok, why = put_wandb(spec, body, read) end
  if ok and spec.finish then ok, why = spec.finish(body, params, ctx) end
  if not ok then return nil, why end
  merge(body, params.extra or {})
  return body
end

-- mapping(spec) -> function(ctx, params) -> body | nil, err (kind "invalid", with `param`)
--   service           its name, for words
--   fields            parameter -> target: what create_job's other parameters become; {} (no path) takes one in
--                     silence; of those in the array part ({"model", seed = "random_seed"}) the path is the name
--   hyperparameters   name -> target, in the same way
--   methods           name -> {set = {path = value}, fields, hyperparameters = more of them} ({supervised = {}});
--                     top = "settings": with this method, what is put into that object is at the top of the body
--   refuse            name -> words, where "is not known" is not enough
--   wandb             what `integrations` become: see wandb.lua
--   finish            function(body, params, ctx) -> body | nil, err: what no table can say; before `extra`
-- A target is a path ("a.b" is b in the object a), or {path, integer = true, number = true, least, most, above, below
-- (of numbers), most (characters), pattern, words (of texts), values = {word = true}, type, to = function(value,
-- params, ctx)}. `most` may be the name of a setting. A field also has required = true; a hyperparameter needs =
-- "another", or {another = its value}, or implies = {another = the value that it gets}; two may have one place.
-- And a second function(document) -> the hyperparameters that are in it, by the same table; not those with `to`.
function M.mapping(spec)
  if type(spec) ~= "table" or type(spec.service) ~= "string" then
    error("mapping: takes a table with the service's name in `service`", 2)
  end
  return function(ctx, params) return body_of(spec, ctx, params) end, function(doc)
    local all = {}
    read_back(all, known_of("hyperparameters", spec, {}), doc)
    for _, method in pairs(spec.methods or {}) do read_back(all, known_of("hyperparameters", {}, method), doc) end
    return all
  end
end

-- The same for the hyperparameters alone: a variant's base makes the rest of the body, with the
-- quirk hyperparameters = true, which takes them as they are. -> function(ctx, params) -> new params | nil, err
function M.hyperparameters(spec)
  return function(ctx, params)
    local read, err = read_method(ctx, params)
    if not read then return nil, err end
    local mapped = {}
    local ok, why = put_method(spec, mapped, read)
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
