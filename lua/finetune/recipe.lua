-- recipe.lua: trainers as data. A recipe NAME is a file NAME.lua that returns a table
-- (providers/recipes/command.lua is the simplest); it is looked for in the folders of the
-- setting `recipe_path` (separated by ':'), as the module finetune.providers.recipes.NAME,
-- and in a clone's providers/recipes/.
--
-- What a recipe has (job = {dir, out (the folder for the result), training, validation (paths), settings, base
-- (model.json and `dir` of the local model to go on from), model (as it was named), seed, suffix, pause()}):
--   name, description   words
--   programs, install   what must be in PATH, and how to get it
--   models              array of {id, description}: what create_job's `model` may name; any_model = true: any other,
--                       too, where `recipe` names the recipe
--   settings            function(ctx, params) -> settings | nil, err (finetune.mapping makes one); of create_job's
--                       parameters it gets those that the provider itself does not keep, and `seed`
--   reads_only          true: its trainer never writes to the data, which is linked then; else the job gets a copy
--   guess(bytes, params)  seconds that training on so many bytes takes, where no job has been done yet; optional
--   layout(job)         lays out the data in job.dir -> true | nil, err; optional
--   steps(job)          array of {argv, stdin?, stdout?}, and a table of the environment | nil, err
--   events(job, text, last)   new text of the log, whole lines -> array of neutral events (tail.lua); without it the
--                       trainer writes job.dir/events.jsonl
--   result(job)         after the last step -> a table for model.json (`metrics`, `events` of the end, …) | nil, err
--   checkpoints         true: out/checkpoint-N are checkpoints; else words why there are none
--   sample(model, params, ctx) -> {argv, stdin, cwd, env} | nil, err; model = model.json with `dir`. Optional.
--   parse(output, params, model) -> {text, probabilities?} | nil, err; without it the output is the text

local core = require "finetune.core"

local M = {}

local PREFIX = "finetune.providers.recipes."
local FOLDER = "finetune/providers/recipes/"
local CLONE = debug.getinfo(1, "S").source:match "^@(.*)lua/finetune/[^/]*$"

local loaded = {} -- path -> recipe

-- Models and jobs are named by it, so it begins as they do (store.lua)
local function valid(name) return type(name) == "string" and #name < 64 and name:find "^%w[%w_-]*$" ~= nil end

-- " (did you mean 'fasttext'?)", or nothing
local function hint(word, list)
  local near = core.nearest(tostring(word), list)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

-- Folders that may hold recipes, the first one first
local function folders(config)
  local list = {}
  for folder in (config.recipe_path or ""):gmatch "[^:]+" do list[#list + 1] = folder:gsub("/*$", "") .. "/" end
  for template in package.path:gmatch "[^;]+" do
    local head = template:match "^([^?]*)%?%.lua$"
    if head then list[#list + 1] = head .. FOLDER end
  end
  if CLONE then list[#list + 1] = CLONE .. "providers/recipes/" end
  return list
end

local function broken(name, why)
  return nil, core.error {kind = "provider", message = ("the recipe '%s' cannot be loaded: %s"):format(name, why)}
end

local function check(name, recipe)
  if type(recipe) ~= "table" then return broken(name, "it returns no table") end
  if recipe.name ~= name then return broken(name, ("its name is '%s'"):format(tostring(recipe.name))) end
  for _, key in ipairs {"settings", "steps"} do
    if type(recipe[key]) ~= "function" then return broken(name, ("it has no function '%s'"):format(key)) end
  end
  return recipe
end

local function load(name, path)
  if loaded[path] then return loaded[path] end
  local chunk, why = loadfile(path, "t")
  if not chunk then return broken(name, why) end
  local ran, value = pcall(chunk, name, path)
  if not ran then return broken(name, tostring(value)) end
  local recipe, err = check(name, value)
  loaded[path] = recipe
  return recipe, err
end

-- name -> path of every recipe there is
local function all(config)
  local found = {}
  for _, folder in ipairs(folders(config)) do
    for _, entry in ipairs(core.list_dir(folder) or {}) do
      local name = entry:match "^(.*)%.lua$"
      if valid(name) and not found[name] then found[name] = folder .. entry end
    end
  end
  return found
end

local function names(config)
  local list = {}
  for name in pairs(all(config)) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- -> recipe | nil, err (kind "invalid": there is none)
function M.get(config, name)
  if valid(name) then
    for _, folder in ipairs(folders(config)) do
      if core.file_info(folder .. name .. ".lua") then return load(name, folder .. name .. ".lua") end
    end
    if package.preload[PREFIX .. name] then return check(name, require(PREFIX .. name)) end
  end
  local list = names(config)
  local words = ("there is no recipe '%s'%s; there are: %s"):format(tostring(name), hint(name, list),
    table.concat(list, ", "))
  return nil, core.error {kind = "invalid", param = "recipe", message = words}
end

-- Those that can be loaded, by name
function M.list(config)
  local list = {}
  for _, name in ipairs(names(config)) do list[#list + 1] = M.get(config, name) end
  return list
end

local function in_path(program)
  if program:find("/", 1, true) then return core.file_info(program) ~= nil end
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    if core.file_info(folder .. "/" .. program) then return true end
  end
  return false
end

-- -> true | nil, err (kind "config": a program is missing, and how to get it)
function M.installed(recipe)
  for _, program in ipairs(recipe.programs or {}) do
    if not in_path(program) then
      return nil, core.error {kind = "config", message = ("the recipe '%s' needs %s, which is not in PATH%s"):format(
        recipe.name, program, recipe.install and ": " .. recipe.install or "")}
    end
  end
  return true
end

-- The recipe that has this base model -> recipe | nil, err (kind "invalid", with the models that there are)
function M.of_model(config, model)
  local known = {}
  for _, recipe in ipairs(M.list(config)) do
    for _, base in ipairs(recipe.models or {}) do
      if base.id == model then return recipe end
      known[#known + 1] = base.id
    end
  end
  return nil, core.error {kind = "invalid", param = "model",
    message = ("no recipe has a model '%s'%s; there are: %s (`recipe` names a trainer for a model of your own)")
      :format(model, hint(model, known), table.concat(known, ", "))}
end

return M
