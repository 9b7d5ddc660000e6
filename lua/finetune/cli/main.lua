-- main.lua: from the words of the command line to an exit code. The only place that
-- catches: what a command raises becomes a message, Ctrl-C too.

local commands = require "finetune.cli.commands"
local errors = require "finetune.cli.errors"
local output = require "finetune.cli.output"

local M = {}

local DEBUG = os.getenv "FINE_TUNE_DEBUG" == "1"

-- The stand-alone Lua makes an error of Ctrl-C; one in a callback of a call is that call's error value
local function is_interrupt(err)
  local words = type(err) == "table" and err.message or err
  return type(words) == "string" and words:match "^[^\n]*":find "interrupted!$" ~= nil -- a traceback may follow
end

local function with_traceback(err)
  if not DEBUG then return err end
  local text = require "finetune.cli.text"
  io.stderr:write(text.clean(debug.traceback(errors.words {message = tostring(err)}, 2), true), "\n")
  return err
end

-- Words for Ctrl-C: what a command noted in ui.interrupted, or none
local function interrupted(ui)
  local words = ui and ui.interrupted
  io.stderr:write("\n")
  if type(words) == "function" then words = words() end
  if words then io.stderr:write(words, "\n") end
  return require("finetune.cli.interrupt").code()
end

local function report(ui, command, err)
  if is_interrupt(err) or errors.as_table(err).kind == "interrupted" then return interrupted(ui) end
  err = errors.as_table(err)
  if err.closed then return errors.DONE end -- nobody reads any more
  if ui and ui.json then
    local text = require "finetune.cli.text"
    io.stderr:write(text.clean_json(require("finetune.core").encode(errors.document(command, err))), "\n")
  else
    io.stderr:write(table.concat(errors.lines(command, err), "\n"), "\n")
  end
  return errors.code(err)
end

local function run(ui, command)
  local module = require("finetune.cli.cmd." .. command.module)
  local code = module[command.run or "run"](ui, ui.args)
  output.flush()
  return code
end

-- Text that is the whole result
local function print_text(s, code)
  output.write(s .. "\n")
  output.flush()
  return code
end

local function print_version(json)
  local version = require("finetune")._VERSION
  return print_text(json and require("finetune.core").encode {version = version} or "finetune " .. version, errors.DONE)
end

-- --json before the words are parsed: their mistakes are told in JSON too
local function early_ui(args)
  for _, word in ipairs(args) do
    if word == "--json" then return {json = true} end
  end
end

local function start(args)
  local options = require "finetune.cli.options"
  local ok, parsed = pcall(options.parse, args)
  if not ok and errors.is_failure(parsed) and parsed.kind == "help" then
    return print_text(parsed.message, errors.DONE)
  elseif not ok then
    return nil, parsed
  end
  if parsed.version then return print_version(parsed.json) end
  if not parsed.command then return print_text(options.parser():get_help(), errors.USAGE) end
  return nil, nil, parsed
end

-- args: the words -> exit code
function M.main(args)
  local ok, code, err, parsed = xpcall(start, with_traceback, args)
  if not ok then code, err = nil, code end
  if code then return code end
  if err ~= nil then return report(early_ui(args), type(err) == "table" and err.command or nil, err) end
  local command = commands.by_name[parsed.command]
  local ui = require("finetune.cli.ui").new(command.name, parsed)
  local called, done, result = pcall(require("finetune.cli.interrupt").call, run, with_traceback, ui, command)
  if called and done then return result or errors.DONE end
  pcall(io.stdout.flush, io.stdout)
  return report(ui, command.name, called and result or done)
end

return M
