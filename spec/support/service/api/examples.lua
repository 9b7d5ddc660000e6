-- A look into a training file, as the service's validation takes one: how many
-- examples, and the first line that is not one.
local cjson = require("cjson.safe").new()

local LOOK = 16 * 1024 * 1024 -- bytes looked into; what is beyond is only counted

local M = {}

local SHAPES = {
  supervised = {{"messages"}, {"prompt", "completion"}},
  dpo = {{"input", "preferred_output", "non_preferred_output"}},
  reinforcement = {{"messages"}},
}

local function has_all(example, keys)
  for _, key in ipairs(keys) do
    if example[key] == nil then return false end
  end
  return true
end

local function is_example(line, shapes)
  local example = cjson.decode(line)
  if type(example) ~= "table" then return false end
  for _, keys in ipairs(shapes) do
    if has_all(example, keys) then return true end
  end
  return false
end

-- An iterator over lines, whatever the blocks' borders.
local function lines_of(blocks)
  local buf, from, at_end = "", 1, false
  return function()
    while true do
      local at = buf:find("\n", from, true)
      if at then
        local line = buf:sub(from, at - 1)
        from = at + 1
        return line
      elseif at_end then
        return nil
      end
      local block = blocks()
      at_end = block == nil
      buf, from = buf:sub(from) .. (block or "\n"), 1
    end
  end
end

-- An iterator over the lines of a file; over none where it is gone, or was not kept
function M.lines(blob)
  return lines_of(blob and not blob.lost and blob:blocks() or function() end)
end

local function look(blob, shapes)
  local n, number = 0, 0
  for line in lines_of(blob:blocks()) do
    number = number + 1
    if line:find("%S") then
      n = n + 1
      if not is_example(line, shapes) then return n, number end
    end
  end
  return n
end

-- The number of examples, and the number of the first bad line, if any.
function M.inspect(blob, method)
  if blob.lost or blob.bytes > LOOK then return blob:lines() end
  return look(blob, SHAPES[method])
end

return M
