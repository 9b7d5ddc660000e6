-- completion: a script for the shell, made by argparse.

local finetune = require "finetune"
local options = require "finetune.cli.options"
local output = require "finetune.cli.output"

local M = {}

function M.run(ui, args)
  local names = {}
  for i, provider in ipairs(finetune.list_providers()) do names[i] = provider.name end
  local parser = options.parser(names)
  local script = parser["get_" .. args.shell .. "_complete"](parser)
  ui:document {script = script}
  if not ui.json then output.write(script) end
end

return M
