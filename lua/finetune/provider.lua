-- provider.lua: the methods of a provider instance, made from the core's list of
-- operations. Each takes its parameters as one table, or its main parameter
-- first and the others in a table; starts the call; waits for it.

local check = require "finetune.check"
local core = require "finetune.core"
local pages = require "finetune.pages"
local wait = require "finetune.wait"

local M = {}
local methods = core.methods

local specs, op_names = {}, {} -- operation -> its parsed parameters; all operations
for i, op in ipairs(core.ops) do
  specs[op.name] = check.parse(op.params)
  op_names[i] = op.name
end

local NO_MEMORY = "not enough memory" -- Lua's own words
local SLICE, TELL = 0.001, 0.05 -- seconds: of work until others go on; between two reports of progress

-- ---- parameters ----

-- The parameters that a provider adds to its operations, parsed once a registration
local added = setmetatable({}, {__mode = "k"})

local function more_params(self, op)
  local name = self.name
  local registered = core.provider(name)
  if not registered then return nil end
  local cache = added[registered]
  if not cache then
    cache = {}
    for key, text in pairs((core.facts(name) or {}).params or {}) do cache[key] = check.parse("-" .. text) end
    added[registered] = cache
  end
  return cache[op]
end

-- `format_type` is another name of `format`
local function rename_format(params)
  if params.format_type == nil then return params end
  if params.format ~= nil and params.format ~= params.format_type then
    return nil, "prepare_data: 'format' and 'format_type' are one parameter, and differ"
  end
  params.format, params.format_type = params.format_type, nil
  return params
end

-- prepare_data takes its examples from one place
local function one_source(params)
  local given, path = params.examples ~= nil, params.path ~= nil
  if given and path then return nil, "prepare_data: 'examples' and 'path' are both given; give one of them" end
  if given or path then return rename_format(params) end
  return nil, "prepare_data: parameter 'examples' is missing (an array or an iterator), or 'path' (a JSONL file)"
end

-- Words for a method that was called on something else, or nil
function M.no_provider(self, what)
  if core.is_provider(self) then return nil end
  return ("%s: call it with a colon on a provider, provider:%s(...)"):format(what, what)
end

-- A caller's arguments -> a new table that the core may keep, or nil, words. `what`:
-- the method's name, where it is not the operation's
local function read(self, op, first, rest, what)
  what = what or op
  local not_one = M.no_provider(self, what)
  if not_one then return nil, not_one end
  local params, why = check.arguments(what, specs[op], first, rest, more_params(self, op))
  if params and op == "prepare_data" then return one_source(params) end
  return params, why
end

-- ---- examples from a function: pulled here, in the caller's coroutine, so that it may wait ----

-- Does a Lua function serve prepare_data? It is given an array, for it knows no dataset.
local function own_prepare(self)
  local P = core.provider(self.name)
  while type(P) == "table" and P.prepare_data == nil and P.base do P = core.provider(P.base) end
  return type(P) == "table" and type(P.prepare_data) == "function"
end

-- A function that lets others go on, where a wait is possible, and tells progress; -> when it is due again
local function turns(writer, on_progress)
  local possible, told, told_at = wait.possible(), 0, -math.huge
  local function tell(now)
    local bytes, counts = core.dataset_told(writer)
    if bytes <= told then return end
    told, told_at = bytes, now
    on_progress(bytes, 0, counts) -- the whole is not known before the end
  end
  return function(seconds)
    local now = core.now()
    if on_progress and now - told_at >= TELL then tell(now) end
    if possible then wait.complete(core.sleep(seconds or 0)) end
    return core.now() + SLICE
  end
end

-- Reads the file to compare with -> may examples come?
local function look_ahead(writer, turn)
  local pause = core.dataset_slice(writer)
  while pause do
    turn(pause)
    pause = core.dataset_slice(writer)
  end
  return pause == nil
end

local function feed(writer, examples, turn)
  local due = turn()
  for example in examples do
    local going, now = core.dataset_add(writer, example)
    if not going then return end
    if now >= due then due = turn() end
  end
end

local function collect(examples)
  local list = {}
  for example in examples do list[#list + 1] = example end
  return list
end

-- The dataset with those options, or nil where they are wrong
local function make_writer(self, params)
  local options = {}
  for key, value in pairs(params) do
    if key ~= "examples" then options[key] = value end
  end
  local made, writer = pcall(core.dataset, options, self)
  if made then return writer end
  if writer == NO_MEMORY then error(writer, 0) end
end

local function pull(self, params)
  if own_prepare(self) then return collect(params.examples) end
  -- Who cannot wait cannot wait for the file to compare with either: the operation itself will
  if params.validation_path ~= nil and not wait.possible() then return collect(params.examples) end
  local writer, fed = make_writer(self, params), false
  if not writer then return {} end -- the operation itself says why
  local guard <close> = setmetatable({}, {__close = function() -- also where the iterator's wait never ends
    if not fed then writer:abort() end
  end})
  if not core.dataset_compare(writer, params) then return {} end
  local turn = turns(writer, params.on_progress)
  if look_ahead(writer, turn) then feed(writer, params.examples, turn) end
  fed = guard ~= nil
  return writer
end

-- ---- starting ----

-- Starts an operation whose parameters are checked -> call
function M.start(self, op, params)
  if op == "prepare_data" and type(params.examples) == "function" then
    params.examples = pull(self, params)
  end
  local call = core.start(self, op, params)
  wait.started()
  return call
end

local start = M.start

-- Starts it and waits -> its result. Where a wait is impossible nothing is started.
function M.perform(self, op, params)
  wait.ready()
  return wait.complete(start(self, op, params))
end

for _, op in ipairs(op_names) do
  methods[op] = function(self, first, rest)
    local params, why = read(self, op, first, rest)
    if not params then error(why, 2) end
    return M.perform(self, op, params)
  end
end

-- Words for what is wrong with a method's provider or operation, or nil
local function wrong_op(self, what, op)
  local why = M.no_provider(self, what)
  if why or specs[op] then return why end
  if type(op) == "string" then return check.unknown(what, "operation", op, op_names) end
  return ("%s: takes the name of an operation, such as 'create_job', not %s"):format(
    what, op == nil and "nothing" or "a " .. type(op))
end

function methods:async(op, first, rest)
  local wrong = wrong_op(self, "async", op)
  if wrong then error(wrong, 2) end
  local params, why = read(self, op, first, rest)
  if not params then error(why, 2) end
  return start(self, op, params)
end

function methods:supports(op)
  local why = wrong_op(self, "supports", op)
  if why then error(why, 2) end
  return core.supports(self, op)
end

function methods:close()
  local why = M.no_provider(self, "close")
  if why then error(why, 2) end
  core.close(self)
end

-- ---- the plural nouns: all pages of a list ----

-- fetch(after) for pages.lua
function M.fetcher(self, op, params)
  return function(after)
    local p = {}
    for key, value in pairs(params) do p[key] = value end
    p.after = after
    return M.perform(self, op, p)
  end
end

for _, noun in ipairs {"jobs", "files", "events", "checkpoints", "models"} do
  local op = "list_" .. noun
  methods[noun] = function(self, first, rest)
    local params, why = read(self, op, first, rest, noun)
    if not params then error(why, 2) end
    return pages.items(op, M.fetcher(self, op, params), params.after)
  end
end

return M
