-- completion: a script for the shell, made by argparse.

local options = require "finetune.cli.options"
local output = require "finetune.cli.output"

local M = {}

function M.run(_, args)
  local parser = options.parser()
  output.write(parser["get_" .. args.shell .. "_complete"](parser))
end

return M
