-- discover.lua: finds the file of a provider that is not registered yet, in this
-- order: the folders of FINE_TUNE_PROVIDER_PATH (separated by ':'; the file is
-- NAME.lua), the module finetune.providers.NAME (package.preload, package.path,
-- package.cpath), the folder providers/ of a clone. A name is letters, digits,
-- '-' and '_', so it is never a path. Listing reads at most the first 4 KB of a
-- file (for the line `-- needs: VARIABLE, VARIABLE`) and never runs it.

local core = require "finetune.core"

local M = {}

local PREFIX = "finetune.providers."
local FOLDER = "finetune/providers/"
local HEADER = 4096 -- bytes in which the `needs` line must be

-- Where this clone is, if it is one: <root>/lua/finetune/discover.lua
local function clone_root()
  local source = debug.getinfo(1, "S").source
  return source:match("^@(.*)lua/finetune/[^/]*$")
end

local CLONE = clone_root()

function M.valid(name)
  return type(name) == "string" and #name < 64 and name:match("^[%w_-]+$") ~= nil
end

-- Opens a regular file, or gives nil: to open a FIFO would wait for its other end
local function open(path)
  return core.file_info(path) and io.open(path, "rb") or nil
end

local function file_exists(path)
  local file <close> = open(path)
  return file ~= nil
end

-- Folders of the environment: array of {head, tail}; head .. NAME .. tail is a file
local function environment_places()
  local places = {}
  for folder in (os.getenv("FINE_TUNE_PROVIDER_PATH") or ""):gmatch("[^:]+") do
    places[#places + 1] = {(folder:gsub("/*$", "")) .. "/", ".lua"}
  end
  return places
end

-- Folders in which `require` would find providers
local function module_places()
  local places = {}
  for template in (package.path .. ";" .. package.cpath):gmatch("[^;]+") do
    local head, tail = template:match("^(.-)%?(.*)$")
    if head and not tail:find("?", 1, true) then places[#places + 1] = {head .. FOLDER, tail} end
  end
  return places
end

local function clone_places()
  return CLONE and {{CLONE .. "providers/", ".lua"}} or {}
end

-- The variables that a file says it needs
function M.needs(path)
  local file <close> = open(path)
  local text = "\n" .. (file and file:read(HEADER) or "")
  local list = {}
  for name in (text:match("\n%-%-+%s*needs:([^\n]*)") or ""):gmatch("[%w_]+") do list[#list + 1] = name end
  return list
end

-- Adds NAME -> path for every file of a place, unless the name is there already
local function scan(found, head, tail)
  local in_folder = tail:find("/", 1, true) -- such as ?/init.lua
  for _, entry in ipairs(core.list_dir(head) or {}) do
    local name = in_folder and entry or (entry:sub(-#tail) == tail and entry:sub(1, -#tail - 1))
    if name and M.valid(name) and not found[name] and file_exists(head .. name .. tail) then
      found[name] = head .. name .. tail
    end
  end
end

-- All that could be loaded: name -> path, or false where there is no file (package.preload)
function M.list()
  local found = {}
  for _, places in ipairs {environment_places(), module_places(), clone_places()} do
    for _, place in ipairs(places) do scan(found, place[1], place[2]) end
  end
  for module in pairs(package.preload) do
    local name = type(module) == "string" and module:sub(1, #PREFIX) == PREFIX and module:sub(#PREFIX + 1)
    if name and M.valid(name) and not found[name] then found[name] = false end
  end
  return found
end

local function first_file(places, name)
  for _, place in ipairs(places) do
    local path = place[1] .. name .. place[2]
    if file_exists(path) then return path end
  end
end

-- What `require` would load, without loading it -> where it is, or nil
local function module_file(module)
  if package.loaded[module] ~= nil then return module end
  for _, search in ipairs(package.searchers or {}) do
    local loader, where = search(module)
    if type(loader) == "function" then return type(where) == "string" and where or module end
  end
end

local function run_file(path, name)
  local chunk, why = loadfile(path, "t")
  if not chunk then return false, why end
  return pcall(chunk, name, path)
end

-- Runs the provider's file -> where it was, whether it ran, its value or the reason;
-- nil when there is no such file
function M.run(name)
  local path = first_file(environment_places(), name)
  if path then return path, run_file(path, name) end
  local module = PREFIX .. name
  local where = module_file(module)
  if where then return where, pcall(require, module) end
  path = first_file(clone_places(), name)
  if path then return path, run_file(path, name) end
end

return M
