-- `make demo`: examples/quickstart.lua twice, the same file: on this machine, with a store that is removed afterwards,
-- and as `openai`, against a loopback service that speaks OpenAI's API.

local root = dofile((arg[0]:match "^.*/" or "") .. "paths.lua")
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local quote = shell.quote
local lua = arg[-1] or "lua5.4"

local store = shell.folder()
local loopback <close> = service.start {job_seconds = 1}
local _ <close> = setmetatable({}, {__close = function() shell.remove(store) end})

-- The same environment for both: each provider takes what is its own.
local env = {FINE_TUNE_HOME = store, OPENAI_API_KEY = loopback.key, OPENAI_BASE_URL = loopback.url,
  FINE_TUNE_MODEL = loopback.model}

local function run(provider)
  print(("$ lua5.4 examples/quickstart.lua %s"):format(provider))
  io.stdout:flush()
  local words = {"env -u FINE_TUNE_PROVIDER -u FINE_TUNE_PROVIDER_PATH -u OPENAI_ORG_ID -u OPENAI_PROJECT_ID"}
  for key, value in pairs(env) do words[#words + 1] = key .. "=" .. quote(value) end
  words[#words + 1] = ("%s %s %s"):format(quote(lua), quote(root .. "examples/quickstart.lua"), provider)
  return (os.execute(table.concat(words, " ")))
end

local good = run "local"
if good then
  print "\n---- the same file, one word changed: local -> openai -------------------------------------------\n"
  print(("This talks to a loopback service on this machine, %s: the requests are real,"):format(loopback.url))
  print "the training is only acted out (it answers as the training example that is nearest by its words).\n"
  good = run "openai"
end
if good then
  print "\nBoth were examples/quickstart.lua, unchanged. What differed is the last word of the command:"
  print "   local    trained a text classifier here, in a folder that is gone now (FINE_TUNE_HOME)"
  print "   openai   sent the same calls to the address in OPENAI_BASE_URL, here the loopback service"
end
os.exit(good and true or 1, true)
