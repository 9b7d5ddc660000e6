-- options.lua: the command line: argparse's parser, made of commands.lua.

local argparse = require "argparse"
local commands = require "finetune.cli.commands"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"

local M = {}

local WIDTH, MARGIN = 100, 26

M.EXIT_CODES = "Exit codes: 0 done, 1 the job or the check failed, 2 usage, 3 configuration or key, 4 service or "
  .. "network, 5 cancelled, 130 interrupted (143 by SIGTERM, 129 by SIGHUP)."

M.GLOBAL = {
  {"--provider", "the service ($FINE_TUNE_PROVIDER, else the profile's, else openai)", value = "NAME", many = true},
  {"--base-url", "another address of it", value = "URL"},
  {"--profile", "settings by this name, from $XDG_CONFIG_HOME/finetune/config.lua", value = "NAME"},
  {"--json", "write JSON, for programs"},
  {"--quiet", "no progress and no notes"},
  {"--no-color", "no colours ($NO_COLOR does the same)"},
  {"--timeout", "seconds for each request; of watch: for all of it", value = "SECONDS", number = "seconds"},
}

local function number(value)
  local n = tonumber(value)
  if n and n >= 0 and n - n == 0 then return math.tointeger(n) or n end
  return nil, ("'%s' is no number of at least 0"):format(value)
end

-- What spec.number says that it must be -> converter
local NUMBERS = {[true] = number}

function NUMBERS.whole(value)
  local n = number(value)
  if math.type(n) == "integer" then return n end
  return nil, ("'%s' is no whole number"):format(value)
end

function NUMBERS.count(value)
  local n = number(value)
  if math.type(n) == "integer" and n > 0 then return n end
  return nil, ("'%s' is no whole number of at least 1"):format(value)
end

function NUMBERS.seconds(value)
  local n = number(value)
  if n and n >= 0.001 and n <= 1e6 then return n end
  return nil, ("'%s' is no time: seconds, from 0.001 to 1000000"):format(value)
end

-- A variable of a script that is not set: a name of nothing, which no command means
local function named(what)
  return function(value)
    if value:find "%S" then return value end
    return nil, ("%s is empty"):format(what)
  end
end

local function add_option(parser, spec)
  local element
  if spec.value then
    element = parser:option(spec[1]):argname(spec.value)
    local name = spec[1]:match "%-%-%S+"
    if spec.number then
      element:convert(NUMBERS[spec.number])
    elseif not spec.choices and not spec.empty then
      element:convert(named(name))
    end
    if spec.choices then element:choices(spec.choices) end
    if spec.many then element:count "*" end
    if spec.required then element:count(1) end
  else
    element = parser:flag(spec[1])
  end
  return element:description(spec[2])
end

local function add_argument(parser, spec, providers)
  local element = parser:argument(spec[1]):target(spec[1]:lower()):argname(spec[1]):description(spec[2])
  if spec.many then element:args(spec.many) end
  local choices = spec.choices or spec.one_of == "providers" and providers
  if choices then element:choices(choices) elseif not spec.empty then element:convert(named(spec[1])) end
end

-- What stands below the options: examples, and what --json writes
local function epilog(command)
  local lines = {"Examples:"}
  for _, example in ipairs(command.examples) do lines[#lines + 1] = "   " .. example end
  if command.json then
    lines[#lines + 1] = "\nWith --json: " .. command.json[1]
    for i = 2, #command.json do lines[#lines + 1] = "   " .. fields.words(command.json[i]) end
  end
  lines[#lines + 1] = "\nFurther options (--provider, --json, ...): finetune --help"
  return table.concat(lines, "\n")
end

-- Raised by --help, and written by main.lua: where nothing can be written that is noticed
local function add_help(parser)
  parser:flag("-h --help", "show this help"):action(function()
    error(errors.new {kind = "help", message = parser:get_help()}, 0)
  end)
end

local function add_command(parser, command, providers)
  local sub = parser:command(command.name):add_help(false):summary(command.summary):epilog(epilog(command))
  add_help(sub)
  sub:description(command.summary .. (command.more and " " .. command.more:gsub("^bash:", "\n%0") or ""))
  for _, spec in ipairs(command.args or {}) do add_argument(sub, spec, providers) end
  for _, spec in ipairs(command.options or {}) do add_option(sub, spec) end
end

-- providers: their names, for a script that completes them (any other may be there, too)
function M.parser(providers)
  local parser = argparse("finetune", "Fine-tune models on any service: one command for all of them.",
    "`finetune COMMAND --help` tells more, with examples. Keys come from the environment (`finetune providers`) or a "
    .. "profile, never from the command line.\n" .. M.EXIT_CODES)
  parser:help_max_width(WIDTH):help_description_margin(MARGIN):usage_max_width(WIDTH):command_target "command"
  parser:require_command(false):add_help(false)
  add_help(parser)
  for _, spec in ipairs(M.GLOBAL) do
    local element = add_option(parser, spec)
    if providers and spec[1] == "--provider" then element:choices(providers) end
  end
  parser:flag("--version", "write the version"):action(function(args) args.version = true end)
  for _, command in ipairs(commands.list) do add_command(parser, command, providers) end
  return parser
end

-- ---- what must not be on a command line ----

local KEYS = {"key", "token", "secret", "password"}

local function names_key(option)
  local name = option:match "^%-%-?([%w_-]+)"
  if not name or name == "max-tokens" then return false end
  for _, word in ipairs(KEYS) do
    if name:lower():gsub("[_-]", ""):find(word .. "$") then return true end
  end
  return false
end

-- Of another service's, say: --set extra.wandb_api_key=…; eos_token is none
local SETTINGS = {"key$", "secret$", "password$", "apitoken$", "authtoken$", "accesstoken$", "hubtoken$", "hftoken$"}

local function sets_key(word, before)
  local name = word:match "^%-%-set=([%w_.-]+)=" or before == "--set" and word:match "^([%w_.-]+)="
  for _, pattern in ipairs(name and SETTINGS or {}) do
    if name:lower():gsub("[_-]", ""):find(pattern) then return true end
  end
  return false
end

-- A key is seen by everybody on the machine (ps), and stays in the shell's history
local function refuse_keys(args)
  for i, word in ipairs(args) do
    local url = word:match "^%a[%w+.-]*://[^/]*@" or word:match "^%-%-[%w-]+=%a[%w+.-]*://[^/]*@"
    if names_key(word) or sets_key(word, args[i - 1]) or word:find "^sk%-[%w_-]+$" and #word >= 20 or url then
      errors.advise("usage", "export the provider's variable instead: finetune providers   (says which one)",
        "a key on the command line is not accepted: everybody on this machine can read it there (ps), and it stays in "
        .. "the shell's history")
    end
    if word == "--" then return end
  end
end

-- The command among the words, for the head of a message
local function command_of(args, from)
  for i = from or 1, #args do
    if commands.by_name[args[i]] then return args[i] end
  end
end

-- "--timeout -1" is "--timeout=-1", not an option -1
local function join_negative(args)
  local list, open = {}, true
  for _, word in ipairs(args) do
    open = open and list[#list] ~= "--"
    if open and word:find "^%-[%d.]" and (list[#list] or ""):find "^%-%-[%w-]+$" then
      list[#list] = list[#list] .. "=" .. word
    else
      list[#list + 1] = word
    end
  end
  return list
end

-- finetune help COMMAND, whatever else is there
local function help_words(args)
  local name = command_of(args, 2) or args[2]
  return name and name:sub(1, 1) ~= "-" and {name, "--help"} or {"--help"}
end

-- The words -> the parsed table {command, ...}; raises kind "usage", and "help" with the text
function M.parse(args)
  refuse_keys(args)
  args = args[1] == "help" and help_words(args) or join_negative(args)
  local parser, command = M.parser(), command_of(args)
  function parser.error(_, message)
    local words, tip = message:match "^(.-)\n(.*)$"
    error(errors.new {kind = "usage", message = words or message, command = command,
      next = tip and tip:gsub("^Did", "did") or ("finetune %s--help"):format(command and command .. " " or "")}, 0)
  end
  return parser:parse(args)
end

return M
