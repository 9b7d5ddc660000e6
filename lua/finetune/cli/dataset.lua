-- dataset.lua: the dataset report of a job, for its page: of the files that are named, else of
-- those that it was trained on, as far as the service gives them back.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local inspect = require "finetune.cli.inspect"
local text = require "finetune.cli.text"

local M = {}

local MOST = 16 * 1024 * 1024 -- bytes that are fetched unasked

local function look(ui, provider, job, path, name)
  local report = inspect.look(ui, provider, {path = {path}, tokens = true,
    vocabulary = inspect.vocabulary(ui, job.model)}, "checking " .. text.clean(name))
  return {name = name, report = report}
end

local function kept(path, content, f)
  local _ <close> = setmetatable({}, {__close = function() os.remove(path) end})
  local ok, words = core.fs.write(path, content)
  if not ok then errors.fail("output", "%s", text.clean(words)) end
  return f(path)
end

-- A file of the service, checked; raises
local function of_service(ui, provider, job, id)
  for _, op in ipairs {"get_file", "download_file"} do errors.need(provider, op, "gives no files back") end
  local file = errors.check(provider:get_file(id))
  if (tonumber(file.bytes) or 0) > MOST then errors.fail("data", "%s has %s", id, text.bytes(tonumber(file.bytes))) end
  local content = errors.check(provider:download_file(id))
  return kept(os.tmpname(), content, function(path)
    return look(ui, provider, job, path, type(file.filename) == "string" and file.filename or id)
  end)
end

-- paths: those that are named -> array of {name, report}
function M.of_job(ui, provider, job, paths)
  local list = {}
  for i, path in ipairs(paths or {}) do list[i] = look(ui, provider, job, path, path) end
  if #list > 0 then return list end
  for _, id in ipairs {job.training_file or false, job.validation_file or false} do
    local ok, found = pcall(function() return id and of_service(ui, provider, job, id) end)
    if not ok and type(found) ~= "table" then error(found, 0) end
    if ok and found then
      list[#list + 1] = found
    elseif not ok then
      ui:note("No dataset in the report: %s. Name it with --data FILE.", text.clean(found.message))
    end
  end
  return list
end

return M
