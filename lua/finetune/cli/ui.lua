-- ui.lua: what a command has to speak with: its arguments, its providers, standard
-- output for results, standard error for everything else.

local config = require "finetune.cli.config"
local errors = require "finetune.cli.errors"
local output = require "finetune.cli.output"
local term = require "finetune.cli.term"
local text = require "finetune.cli.text"

local M = {}

local UI = {}
UI.__index = UI

function M.new(command, args)
  local self = setmetatable({command = command, args = args, providers = {}, trouble = {}, noted = false}, UI)
  self.json, self.quiet = args.json or false, args.quiet or false
  return self
end

-- What is known of the terminal, looked at when it is needed
function UI:term()
  self.terminal = self.terminal or term.new {no_color = self.args.no_color, json = self.json}
  return self.terminal
end

function UI:paint(name, s) return self:term().paint(name, s) end

-- ---- writing ----

-- Lines for people
function UI:line(format, ...)
  if self.json then return end
  local s = select("#", ...) > 0 and format:format(...) or format or ""
  output.write((self:term().utf8 and s or term.plain(s)) .. "\n")
end

-- The document for programs, in one line
function UI:document(doc)
  if not self.json then return end
  output.write(text.clean_json(require("finetune.core").encode(doc)) .. "\n")
end

-- Beside the result: what is being done; not with --quiet, and for programs standard error has errors alone
function UI:note(format, ...)
  if self.quiet or self.json then return end
  local s = select("#", ...) > 0 and format:format(...) or format
  io.stderr:write((self:term().utf8 and s or term.plain(s)) .. "\n")
end

-- Rows of cells under a head, in columns. head: array of names, ">name" is set to the right; a cell is a text, or
-- {text, color}. What is too wide is cut in the column `flexible` (its number).
function UI:columns(head, rows, flexible)
  if self.json then return end
  local table_of = require "finetune.cli.table"
  for _, line in ipairs(table_of.lines(self, head, rows, flexible)) do self:line("%s", line) end
end

-- ---- providers ----

-- Hears of requests: lost connections are said in the live views
local function listen(self, name)
  return function(trace)
    local bad = trace.error or (trace.status and (trace.status >= 500 or trace.status == 429)
      and ("HTTP %d"):format(trace.status))
    self.trouble[name] = bad and text.clean(bad) or nil
  end
end

-- The instance of that name, or of the one that is chosen
function UI:provider(name)
  name = name or self:provider_names(true)[1]
  if not self.providers[name] then
    self.providers[name] = config.create(self.args, name, listen(self, name))
  end
  return self.providers[name]
end

-- The names that are chosen; `one`: there must be one
function UI:provider_names(one)
  local names = config.names(self.args)
  if one and #names > 1 then
    errors.fail("usage", "%s works with one provider, and %d are given", self.command, #names)
  end
  if #names > 1 and self.args.base_url then
    errors.fail("usage", "--base-url belongs to one provider, and %d are given", #names)
  end
  return names
end

local function is_provider(name)
  for _, known in ipairs(require("finetune").list_providers()) do
    if known.name == name then return true end
  end
  return false
end

-- "together/ft-1" or "ft-1" -> provider, id
function UI:split(word)
  local name, id = word:match "^([%w_-]+)/(.+)$"
  if name and is_provider(name) then return self:provider(name), id end
  return self:provider(), word
end

-- The words after `finetune` that name this provider again, for what to type next
function UI:again(provider)
  local words = ""
  if self.args.profile then words = words .. " --profile " .. text.shell_word(self.args.profile) end
  if self.args.base_url then words = words .. " --base-url " .. text.shell_word(self.args.base_url) end
  local chosen = config.names({profile = self.args.profile})[1]
  if provider.name ~= chosen then words = words .. " --provider " .. provider.name end
  return words
end

return M
