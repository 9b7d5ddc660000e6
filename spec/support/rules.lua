-- What the specs of the rules share: examples as JSON text, a place marked in them by "§", and the findings of a file
-- of two lines, a good one and one that is to trip a rule.

local assert = require "luassert"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local M = {
  USER = '{"role":"user","content":"hi"}',
  ANSWER = '{"role":"assistant","content":"yes"}',
  SYSTEM = '{"role":"system","content":"be kind"}',
  -- nothing that a service says: the severities of the table, no limits
  NEUTRAL = {min_examples = 1, rules = {}, limits = {}, formats = false, bom = false},
}

M.CALL = '{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}'
M.CALLS = '{"role":"assistant","tool_calls":[' .. M.CALL .. "]}"
M.RESULT = '{"role":"tool","tool_call_id":"c1","content":"x"}'
M.TOOL = '{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}'

local function list(...) return "[" .. table.concat({...}, ",") .. "]" end

function M.chat(...) return '{"messages":' .. list(...) .. "}" end

-- a chat with more keys, such as '"tools":[...]'
function M.chat_with(more, ...) return '{"messages":' .. list(...) .. "," .. more .. "}" end

function M.calling(...) return '{"role":"assistant","tool_calls":' .. list(...) .. "}" end

function M.user(content) return '{"role":"user","content":' .. content .. "}" end

function M.image(url) return '{"type":"image_url","image_url":{"url":"' .. url .. '"}}' end

-- a preference of these messages: the input's, preferred, not preferred
function M.preference(input, preferred, other)
  return ('{"input":{"messages":%s},"preferred_output":%s,"non_preferred_output":%s}'):format(input, preferred, other)
end

M.GOOD = M.chat(M.USER, M.ANSWER)

-- -> the text without its mark, the column where that was
function M.marked(text)
  local at = text:find("§", 1, true)
  assert(at == nil or not text:find("§", at + 2, true), "two marks")
  return (text:gsub("§", "")), at
end

local folder, providers = nil, {}

function M.open() folder = shell.folder() end

function M.close()
  for _, provider in pairs(providers) do provider:close() end
  providers = {}
  shell.remove(folder)
end

local function instance(name, dataset)
  local key = dataset or name
  if not providers[key] then
    local config = {dataset = dataset}
    if name ~= "local" then config.api_key, config.base_url = "k-123456", "https://rules.example/v1" end
    if name == "local" then config.home = folder .. "/home" end
    if name == "fireworks" then config.account = "acme" end
    providers[key] = assert(finetune.create_provider(name, config))
  end
  return providers[key]
end

-- The report of this text as a file, whether the examples are good or not. provider: a name; dataset: its profile,
-- where it is not the provider's own
function M.report(text, provider, dataset, options)
  local params = {path = folder .. "/raw.jsonl"}
  local file = assert(io.open(params.path, "wb"))
  assert(file:write(text))
  assert(file:close())
  for key, value in pairs(options or {}) do params[key] = value end
  local report, err = instance(provider or "openai", dataset):prepare_data(params)
  if report then return report end
  assert.equal("data", err.kind, err.message)
  return err.report
end

-- The findings of this line, errors first
function M.findings(report, line)
  local found = {}
  for _, entries in ipairs {report.errors, report.warnings} do
    for _, entry in ipairs(entries) do
      if entry.line == line then found[#found + 1] = entry end
    end
  end
  return found
end

-- rule -> severity of what is found in this one example
function M.verdicts(text, provider, dataset, options)
  local verdicts = {}
  for _, entry in ipairs(M.findings(M.report(text .. "\n", provider, dataset, options), 1)) do
    verdicts[entry.rule] = entry.severity
  end
  return verdicts
end

-- The rows of rules_table.h: {id, severity}
function M.table()
  local rows, file = {}, assert(io.open "csrc/rules_table.h")
  for row in file:read "a":gmatch 'RULE(%b())' do
    local id, severity = row:match '^%([%w_]+, "([%w_]+)", (%u+),'
    if id then rows[#rows + 1] = {id = id, severity = severity:lower()} end
  end
  file:close()
  return rows
end

return M
