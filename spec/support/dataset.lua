-- What the specs of prepare_data share: a provider, a folder of the test's own, examples as JSON text.

local assert = require "luassert"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local M = {
  USER = '{"role":"user","content":"hi"}',
  ANSWER = '{"role":"assistant","content":"yes"}',
}

-- a chat example of these messages, as JSON text
function M.chat(...)
  return '{"messages":[' .. table.concat({...}, ",") .. "]}"
end

M.GOOD = M.chat(M.USER, M.ANSWER)

-- The program that runs us: the first of its arguments
function M.interpreter()
  local i = 0
  while arg and arg[i - 1] do i = i - 1 end
  return i < 0 and arg[i] or "lua5.4"
end

-- The first entry of a report's list that is of this rule
function M.find(list, rule)
  for _, entry in ipairs(list) do
    if entry.rule == rule then return entry end
  end
end

-- A folder with the functions below; box.close() removes it
function M.box()
  local box = {dir = shell.folder()}
  box.provider = assert(finetune.create_provider("openai", {api_key = "sk-test", dataset = {min_examples = 1}}))

  function box.path(name)
    return box.dir .. "/" .. name
  end

  function box.write(name, text)
    local file = assert(io.open(box.path(name), "wb"))
    assert(file:write(text))
    assert(file:close())
    return box.path(name)
  end

  function box.read(name)
    local file = io.open(box.path(name), "rb")
    if not file then return nil end
    local text = file:read "a"
    file:close()
    return text
  end

  -- the names in the folder, hidden ones too
  function box.names()
    return shell.lines("ls -A " .. shell.quote(box.dir))
  end

  -- prepares this text as a file
  function box.prepare(text, options)
    local params = {path = box.write("raw.jsonl", text)}
    for key, value in pairs(options or {}) do params[key] = value end
    return box.provider:prepare_data(params)
  end

  -- the report of data that must be refused, and the error
  function box.refused(text, options)
    local report, err = box.prepare(text, options)
    assert.is_nil(report)
    assert.equal("data", err.kind)
    return err.report, err
  end

  function box.close()
    box.provider:close()
    shell.remove(box.dir)
  end

  return box
end

return M
