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

-- Adds one example, a table or a line of JSON -> is there any sense in going on?
local function add(writer, example)
  if type(example) == "string" then return writer:add(example) end
  if type(example) ~= "table" then
    return writer:reject(("an example must be a table, not a %s"):format(type(example)))
  end
  local ok, text = pcall(core.encode, example)
  if ok then return writer:add(text) end
  if text == NO_MEMORY then error(text, 0) end -- of ours: the example may be good
  return writer:reject(tostring(text))
end

local function feed(writer, examples)
  for example in examples do
    if not add(writer, example) then return end
  end
end

local function collect(examples)
  local list = {}
  for example in examples do list[#list + 1] = example end
  return list
end

local function pull(self, params)
  if own_prepare(self) then return collect(params.examples) end
  local options = {}
  for key, value in pairs(params) do
    if key ~= "examples" then options[key] = value end
  end
  local made, writer = pcall(core.dataset, options, self)
  if not made and writer == NO_MEMORY then error(writer, 0) end
  if not made then return {} end -- wrong options: the operation itself says so
  local fed = false
  local guard <close> = setmetatable({}, {__close = function() -- also where the iterator's wait never ends
    if not fed then writer:abort() end
  end})
  feed(writer, params.examples)
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
