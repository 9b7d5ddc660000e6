-- errors.lua: what went wrong, for people: what happened, to which thing, why, what to
-- type next; and the exit code that it means.

local text = require "finetune.cli.text"

local M = {}

M.DONE, M.FAILED, M.USAGE, M.CONFIG, M.SERVICE, M.CANCELLED = 0, 1, 2, 3, 4, 5

-- kind of an error -> exit code; what is not here is the service's or the network's
local CODES = {job = 1, data = 1, output = 1, usage = 2, unsupported = 2, config = 3, auth = 3, permission = 3,
  cancelled = 5, interrupted = 130}

function M.code(err) return err.exit or CODES[err.kind] or M.SERVICE end

-- An error of the command itself: {kind, message, next (what to type), thing, exit}
local Failure = {__name = "finetune.cli.error", __tostring = function(self) return self.message end}

function M.new(fields) return setmetatable(fields, Failure) end

function M.fail(kind, format, ...) error(M.new {kind = kind, message = format:format(...)}, 0) end

-- As fail, with what to type next
function M.advise(kind, next_step, format, ...)
  error(M.new {kind = kind, next = next_step, message = format:format(...)}, 0)
end

-- Raises where the provider has not that operation; `words`: what it does not do
function M.need(provider, op, words)
  local has, reason = provider:supports(op)
  if has then return end
  error(M.new {kind = "unsupported", provider = provider.name, op = op,
    message = ("%s %s%s"):format(provider.name, words, reason and ": " .. reason or "")}, 0)
end

function M.is_failure(value) return getmetatable(value) == Failure end

-- value, or raises the error, which is about `thing`
function M.check(value, err, thing)
  if value ~= nil and value ~= false then return value end
  if type(err) == "table" and thing then
    local about = {thing = thing}
    for name, field in pairs(err) do about[name] = field end
    err = M.new(about)
  end
  error(err or M.new {kind = "decode", message = "the service answered nothing", thing = thing}, 0)
end

-- ---- words ----

local LISTS = {get_job = "jobs --all", cancel_job = "jobs --all", pause_job = "jobs --all", resume_job = "jobs --all",
  list_events = "jobs --all", list_checkpoints = "jobs --all", list_metrics = "jobs --all", get_file = "files",
  download_file = "files", delete_file = "files", delete_model = "models", sample = "models", get_model = "models"}

local function retry_words(err)
  return err.retry_after and ("try again in %s"):format(text.duration(err.retry_after)) or "try again in a minute"
end

-- The words of the system, and of the dataset engine, for files that give no examples
local function file_words(err)
  local message = tostring(err.message)
  local path = message:match "^cannot read (.-): No such file" or message:match "^([^\n]-): No such file"
  if path then
    return ("ls %s   (what is there)"):format(text.shell_word(path:match "^(.*/)[^/]*$" or "."))
  end
  path = message:match "^cannot read (.-): [Ii]s a directory" or message:match "^([^\n]-): [Ii]s a directory"
  if path then return ("ls %s   (and name the files that are meant)"):format(text.shell_word(path)) end
  if message:find "is empty$" or message:find "^there is no example in" or message:find "has no examples$" then
    return "write examples into it, one a line, as JSON; then: finetune check FILE"
  end
end

-- kind -> what to type next
local NEXT = {
  data = file_words,
  invalid = function(err)
    if not err.status then return nil end
    return ("mend %s, then the same command again"):format(err.param and ("'%s'"):format(err.param) or "what it says")
  end,
  config = function(err)
    if err.message:find("environment variable", 1, true) then
      return ("finetune providers %s   (what it needs, and where to get it)"):format(err.provider or "")
    end
    return "finetune providers   (all that there are)"
  end,
  auth = function(err) return ("finetune providers %s   (where its key comes from), then set it anew"):format(
    err.provider or "") end,
  permission = function() return "ask the account's owner for this right, or use a key that has it" end,
  not_found = function(err) return LISTS[err.op] and "finetune " .. LISTS[err.op] end,
  unsupported = function(err) return ("finetune providers %s   (what it can do)"):format(err.provider) end,
  rate_limit = retry_words,
  quota = function() return "look at the account's limits and balance with the service" end,
  server = retry_words,
  transport = function() return "finetune doctor   (looks at the settings and asks the service)" end,
  timeout = function() return "the same command with a larger --timeout SECONDS" end,
}

function M.next_step(err)
  if err.next then return err.next end
  local words = NEXT[err.kind]
  words = words and words(err)
  local default = os.getenv "FINE_TUNE_PROVIDER" or "openai"
  if words and LISTS[err.op] and err.kind == "not_found" and err.provider and err.provider ~= default then
    words = ("%s --provider %s"):format(words, err.provider)
  end
  return words
end

-- "HTTP 404 model_not_found, request req_1, 3 attempts"
local function why(err)
  local list = {}
  local function add(format, value)
    if value ~= nil then list[#list + 1] = format:format(text.clean(value)) end
  end
  if err.status then add("HTTP %s", ("%s%s"):format(err.status, err.code and " " .. tostring(err.code) or "")) end
  add("parameter '%s'", err.param)
  add("request %s", err.request_id)
  if err.attempts and err.attempts > 1 then add("%s attempts", err.attempts) end
  return #list > 0 and table.concat(list, ", ") or nil
end

-- The library speaks to programs; and services quote the ends of a key that they do not take
function M.words(err)
  local message = text.clean(err.message or err)
  return (message:gsub(", or give api_key to create_provider", ""):gsub("[%w_-]*%*%*%*+[%w_-]*", "[redacted]"))
end

-- An error value or what was raised -> {kind, message, …}
local function as_table(err)
  if type(err) == "table" then return err end
  return {kind = "provider", exit = M.FAILED, message = "a mistake in the command itself: " .. tostring(err),
    next = "FINE_TUNE_DEBUG=1 before the same command shows where"}
end

-- Lines for people
function M.lines(command, err)
  err = as_table(err)
  local head = {"finetune"}
  if command then head[#head + 1] = command end
  if err.thing then head[#head + 1] = text.clean(err.thing) end
  local lines = {("%s: %s"):format(table.concat(head, " "), M.words(err))}
  local because, next_step = why(err), M.next_step(err)
  if because then
    lines[#lines + 1] = ("  why:  %s%s"):format(err.provider and text.clean(err.provider) .. ", " or "", because)
  end
  if next_step then lines[#lines + 1] = "  next: " .. text.clean(next_step) end
  return lines
end

-- The same for programs
function M.document(command, err)
  err = as_table(err)
  return {error = {command = command, kind = err.kind, message = M.words(err), provider = err.provider, op = err.op,
    status = err.status, code = err.code and tostring(err.code), param = err.param, request_id = err.request_id,
    thing = err.thing, next = M.next_step(err)}, exit = M.code(err)}
end

M.as_table = as_table

return M
