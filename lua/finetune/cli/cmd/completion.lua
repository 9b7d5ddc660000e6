-- completion: a script for the shell, made by argparse, and what its scripts for bash and fish lack: the words of a
-- command that are no options.

local commands = require "finetune.cli.commands"
local finetune = require "finetune"
local options = require "finetune.cli.options"
local output = require "finetune.cli.output"

local M = {}

local FILES = {FILE = "-f", IN = "-f", DIR = "-d"} -- an argument's name -> what `compgen` is asked for

-- What may stand in the place of an argument: array of words, or nil
local function words_of(spec, providers)
  return spec.choices or spec.one_of == "providers" and providers or nil
end

-- ---- bash ----

-- bash takes `--format=chat` apart at the sign
local EQUAL = [=[
    if [[ "$cur" = "=" ]]; then cur=
    elif [[ "$prev" = "=" && $COMP_CWORD -gt 2 ]]; then prev="${COMP_WORDS[COMP_CWORD-2]}"; fi
]=]
local PREV = '    prev="${COMP_WORDS[COMP_CWORD-1]}"\n'

local HEAD = [=[
    # How many words before this one are no options, nor values of options?
    local word place=0 skip=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ "$word" = "=" ]]; then skip=1; continue; fi
        if [[ -n "$skip" ]]; then skip=; continue; fi
        case "$word" in
            %s) skip=1 ;;
            -*) ;;
            *) place=$((place + 1)) ;;
        esac
    done
]=]

local TAIL = [=[
    if [[ "$cur" != -* ]]; then
        case "$cmd:$place" in
%s
        esac
    fi

]=]

-- All options of all commands that take a value, as a pattern of `case`
local function valued()
  local list, seen = {}, {}
  local function add(specs)
    for _, spec in ipairs(specs or {}) do
      for name in (spec.value and spec[1] or ""):gmatch "%S+" do
        if not seen[name] then list[#list + 1] = name end
        seen[name] = true
      end
    end
  end
  add(options.GLOBAL)
  for _, command in ipairs(commands.list) do add(command.options) end
  return table.concat(list, "|")
end

-- The patterns of the places at which an argument stands: check:1, or check:* where there may be many
local function bash_cases(providers)
  local lines = {}
  for _, command in ipairs(commands.list) do
    for i, spec in ipairs(command.args or {}) do
      local many = spec.many == "*" or spec.many == "+"
      local at = ("%s:%s"):format(command.name, many and "*" or i)
      local words, kind = words_of(spec, providers), FILES[spec[1]]
      if words then
        lines[#lines + 1] = ('            %s) COMPREPLY=($(compgen -W "%s" -- "$cur")) ;;'):format(at,
          table.concat(words, " "))
      elseif kind then -- names may have blanks
        lines[#lines + 1] = ("            %s) IFS=$'\\n'; COMPREPLY=($(compgen %s -- \"$cur\")); "
          .. "compopt -o filenames 2>/dev/null ;;"):format(at, kind)
      end
    end
  end
  return table.concat(lines, "\n")
end

local function bash(script, providers)
  local at = script:find('    if [[ "$cur" = -* ]]; then\n', 1, true)
  if not at then return script end -- another argparse
  local head, first = script:sub(1, at - 1), select(2, script:find(PREV, 1, true))
  if first then head = head:sub(1, first) .. EQUAL .. head:sub(first + 1) end
  return table.concat {head, HEAD:format(valued()), TAIL:format(bash_cases(providers)), script:sub(at)}
end

-- ---- fish, which completes the names of files by itself ----

local function fish(script, providers)
  local lines = {}
  for _, command in ipairs(commands.list) do
    local spec = (command.args or {})[1]
    local words = spec and words_of(spec, providers)
    if words then
      lines[#lines + 1] = ("complete -c finetune -n '__fish_finetune_seen_command %s' -xa '%s'\n"):format(command.name,
        table.concat(words, " "))
    end
  end
  return script .. table.concat(lines)
end

local MORE = {bash = bash, fish = fish}

function M.run(ui, args)
  local names = {}
  for i, provider in ipairs(finetune.list_providers()) do names[i] = provider.name end
  local parser = options.parser(names)
  local script = parser["get_" .. args.shell .. "_complete"](parser)
  if MORE[args.shell] then script = MORE[args.shell](script, names) end
  ui:document {script = script}
  if not ui.json then output.write(script) end
end

return M
