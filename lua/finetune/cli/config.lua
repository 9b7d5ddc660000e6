-- config.lua: which provider, with which settings: from the command line, from a profile
-- of $XDG_CONFIG_HOME/finetune/config.lua, from the environment, in this order.
--
-- The file is a Lua table of profiles, each with `provider` and that provider's settings
-- (those of create_provider); "default" is used where no --profile is given:
--   return {
--     default = {provider = "together"},
--     work = {provider = "openai", api_key = "...", organization = "org-1"},
--   }
-- It runs in an empty environment. A profile's settings go to its own provider and to no
-- other: a key is never sent to another service.

local errors = require "finetune.cli.errors"
local text = require "finetune.cli.text"

local M = {}

local MOST = 1024 * 1024 -- bytes of the file
local STEPS = 10000000 -- instructions that it may take: a table takes few, and a loop without end is no table
local EINVAL = 22 -- of fs.open: neither a file nor a directory
local SECRET = {"key", "token", "secret", "password", "authorization", "credential"}

-- ---- the file ----

function M.path()
  local config, home = os.getenv "XDG_CONFIG_HOME", os.getenv "HOME"
  if config and config:sub(1, 1) == "/" then return config .. "/finetune/config.lua" end
  return home and home ~= "" and home .. "/.config/finetune/config.lua" or nil
end

local function has_secret(value, depth)
  for name, item in pairs(value) do
    local word = type(name) == "string" and name:lower() or ""
    for _, secret in ipairs(SECRET) do
      if word:find(secret, 1, true) and not word:find "_file$" and type(item) == "string" then return true end
    end
    if type(item) == "table" and depth < 10 and has_secret(item, depth + 1) then return true end
  end
  return false
end

-- "-rw-r--r--", or nil where nobody says it
local function mode_of(path)
  local quoted = "'" .. path:gsub("'", "'\\''") .. "'"
  local pipe = io.popen("ls -lLd -- " .. quoted .. " 2>/dev/null", "r")
  local line = pipe and pipe:read "l" or ""
  if pipe then pipe:close() end
  return line:match "^%-[rwxsStT-]+"
end

local function check_mode(path, doc)
  local mode = mode_of(path)
  if not mode then return end
  local advice = "chmod 600 " .. text.shell_word(path)
  if mode:sub(9, 9) == "w" then
    errors.advise("config", advice, "%s can be written by everybody on this machine", path)
  end
  if mode:sub(8, 8) == "r" and has_secret(doc, 1) then
    errors.advise("config", advice, "%s has a key in it, and can be read by everybody on this machine", path)
  end
end

local function run_file(path, source)
  local chunk, why = load(source, "=config.lua", "t", {})
  local advice = "edit " .. text.shell_word(path)
  if not chunk then errors.advise("config", advice, "%s is no Lua: %s", path, text.clean(why)) end
  local thread = coroutine.create(chunk)
  debug.sethook(thread, function() error("it does not end", 0) end, "", STEPS)
  local ok, doc = coroutine.resume(thread)
  if not ok then
    errors.advise("config", advice, "%s: %s (it is a table; there are no functions to call)", path, text.clean(doc))
  end
  if type(doc) ~= "table" then
    errors.advise("config", advice, "%s returns no table: it is `return {default = {...}}`", path)
  end
  return doc
end

-- -> what is in it; nil where there is none, or nothing in it; raises where there is one that cannot be read
local function read_file(path)
  local fs = require("finetune.core").fs
  local found = fs.stat(path)
  if not found then return nil end
  local file <close>, words, code = fs.open(path) -- which waits for nobody: a FIFO would be waited for
  local source
  if file then source, words = file:read(MOST) end
  if source or not words then return source end
  if code == EINVAL then words = path .. ": it is no file" end
  return errors.advise("config", "ls -l " .. text.shell_word(path), "the settings cannot be read: %s",
    text.clean(words))
end

-- -> the profiles, an empty table where there is no file; raises what is wrong with it
function M.read()
  local path = M.path()
  local source = path and read_file(path)
  if not source then return {} end
  local doc = run_file(path, source)
  check_mode(path, doc)
  for name, profile in pairs(doc) do
    if type(name) ~= "string" or type(profile) ~= "table" then
      errors.advise("config", "edit " .. text.shell_word(path),
        "%s: '%s' is no profile, a table such as {provider = \"openai\"}", path, tostring(name))
    end
  end
  return doc
end

local function names_of(profiles)
  local list = {}
  for name in pairs(profiles) do list[#list + 1] = name end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or "none"
end

-- The profile that counts, {} where there is none
function M.profile(name)
  local profiles = M.read()
  if name and not profiles[name] then
    errors.advise("config", "edit " .. (M.path() or "config.lua"), "there is no profile '%s' (there are: %s)", name,
      names_of(profiles))
  end
  return profiles[name or "default"] or {}
end

-- ---- the provider ----

local USUAL = "openai" -- where nothing is said

-- args: the command line's, read -> array of names. With {}: what is chosen where nothing is said.
function M.names(args)
  if args.provider and #args.provider > 0 then return args.provider end
  local env, profile = os.getenv "FINE_TUNE_PROVIDER", M.profile(args.profile)
  if profile.provider ~= nil and type(profile.provider) ~= "string" then
    errors.advise("config", "edit " .. text.shell_word(M.path()), "%s: provider must be a name", M.path())
  end
  if args.profile and profile.provider then return {profile.provider} end
  if env and env ~= "" then return {env} end
  return {profile.provider or USUAL}
end

-- The settings for that provider: those of create_provider
function M.settings(args, name)
  local config, profile = {}, M.profile(args.profile)
  if (profile.provider or USUAL) == name then -- to no other: there may be a key among them
    for key, value in pairs(profile) do config[key] = value end
    config.provider = nil
  end
  if args.base_url then config.base_url = args.base_url end
  if args.timeout then config.timeout = args.timeout end
  return config
end

-- An instance; on_trace hears of its requests. Raises.
function M.create(args, name, on_trace)
  local finetune = require "finetune"
  local config = M.settings(args, name)
  config.on_trace = on_trace
  local ok, provider, err = pcall(finetune.create_provider, name, config)
  if ok then return errors.check(provider, err) end
  if type(provider) == "table" then error(provider, 0) end
  local words = text.clean(provider):gsub("^.-create_provider: ", "")
  local advice = M.path() and "edit " .. M.path() or nil
  return errors.advise("config", advice, "%s: %s", name, words)
end

return M
