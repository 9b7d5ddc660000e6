-- completion: a script for the shell, made by argparse.

local finetune = require "finetune"
local options = require "finetune.cli.options"
local output = require "finetune.cli.output"

local M = {}

function M.run(_, args)
  local names = {}
  for i, provider in ipairs(finetune.list_providers()) do names[i] = provider.name end
  local parser = options.parser(names)
  output.write(parser["get_" .. args.shell .. "_complete"](parser))
end

return M
