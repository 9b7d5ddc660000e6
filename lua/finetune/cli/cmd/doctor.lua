-- doctor: looks at the installation, the settings and the chosen service, and says what
-- to do about each finding. Keys are looked for, never shown.

local config = require "finetune.cli.config"
local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local finetune = require "finetune"
local needs = require "finetune.cli.needs"
local store = require "finetune.store"
local text = require "finetune.cli.text"

local M = {}

local SKEW = 60 -- seconds that this clock may be off
local BORN = 1795000000 -- no clock is right that says an earlier time than this file's own (November 2026)
local COLORS = {ok = "green", note = "dim", warning = "yellow", error = "red"}

local function finding(list, what, level, value, advice)
  list[#list + 1] = {what = what, level = level, value = value and text.clean(value), advice = advice}
end

-- ---- this machine ----

local function look_at_versions(list)
  local path = package.searchpath("finetune.core", package.cpath) or "?"
  finding(list, "finetune", "ok", ("%s, %s"):format(finetune._VERSION, path))
  finding(list, "Lua", "ok", _VERSION)
  local versions = core.versions and core.versions() or {}
  if versions.curl then
    finding(list, "curl", "ok", ("%s, TLS by %s"):format(versions.curl, versions.ssl or "nothing"))
  else
    finding(list, "curl", "note", "this build does not say its version")
  end
  local runner = path:gsub("core%.so$", "finetune-run")
  if core.file_info(runner) then return finding(list, "finetune-run", "ok", runner) end
  finding(list, "finetune-run", "warning", "not beside core.so: `local` and `slurm` need it", "make, or make install")
end

-- What any command would say of the settings. A key that is missing is looked at with the providers.
local function settings_trouble(args)
  local ok, err = pcall(function()
    local name = config.names(args)[1]
    errors.check(finetune.get_provider(name))
    local made, provider = pcall(config.create, args, name)
    if made then return provider:close() end
    if errors.is_failure(provider) or type(provider) ~= "table" then error(provider, 0) end
  end)
  if ok then return nil end
  if type(err) ~= "table" then error(err, 0) end
  return err
end

local function look_at_config(list, args)
  local path, ok, err = config.path(), pcall(config.profile, args.profile)
  if not ok then
    if not errors.is_failure(err) then error(err, 0) end
    config.profile = function() return {} end -- the rest is looked at as if there were none
  else
    err = settings_trouble(args)
  end
  if err then return finding(list, "settings", "error", errors.words(err), errors.next_step(err)) end
  if path and core.fs.stat(path) then return finding(list, "settings", "ok", path) end
  finding(list, "settings", "note", ("no %s: the environment alone counts"):format(path or "HOME"))
end

-- tiktoken's own convention
local function look_at_vocabularies(list)
  local folder = os.getenv "TIKTOKEN_CACHE_DIR" or os.getenv "DATA_GYM_CACHE_DIR"
    or (os.getenv "TMPDIR" or "/tmp") .. "/data-gym-cache"
  local names = core.list_dir(folder)
  if names and #names > 0 then
    return finding(list, "vocabularies", "ok", ("%s in %s"):format(text.plural(#names, "file"), folder))
  end
  finding(list, "vocabularies", "note", ("none in %s: tokens are estimated"):format(folder),
    "TIKTOKEN_CACHE_DIR names a folder that has them")
end

local function look_at_store(list)
  local home, words = store.home(os.getenv "FINE_TUNE_HOME")
  if not home then return finding(list, "store", "warning", words, "export FINE_TUNE_HOME=/a/folder") end
  if not core.fs.stat(home) then return finding(list, "store", "note", home .. ": not there yet; `local` makes it") end
  local probe = home .. "/.doctor-" .. core.random_token()
  local ok, why = core.fs.write(probe, "x")
  os.remove(probe)
  if not ok then return finding(list, "store", "error", why, "chmod u+w " .. text.shell_word(home)) end
  local jobs = core.list_dir(home .. "/jobs") or {}
  finding(list, "store", "ok", ("%s, %s"):format(home, text.plural(#jobs, "job")))
end

-- ---- providers ----

local function look_at_providers(list, args)
  for _, row in ipairs(needs.all(args)) do
    local what = "provider " .. row.name
    if row.error then
      finding(list, what, row.default and "error" or "warning", row.error)
    elseif row.ready then
      finding(list, what, "ok", #row.met > 0 and table.concat(row.met, ", ") or "needs nothing")
    else
      finding(list, what, row.default and "error" or "note", "not set: " .. table.concat(row.missing, ", "),
        row.get and ("get it: %s"):format(row.get))
    end
    if row.default then list.chosen = row end
  end
end

-- ---- the service and its clock ----

local ANSWERS = {301, 302, 307, 308, 400, 401, 403, 404, 405, 421, 429} -- whatever it says has its time

-- A provider with one operation: a request without credentials, for the answer's date
local function register_clock()
  if core.provider "finetune-clock" then return end
  local P = {name = "finetune-clock", base_url = "https://localhost"}
  for _, op in ipairs(core.ops) do
    if op.required and op.name ~= "prepare_data" then P[op.name] = finetune.unsupported "it only tells the time" end
  end
  function P.get_model(ctx, p)
    local answer, err = ctx:request {url = p.model, decode = "none", accept = ANSWERS, timeout = 10}
    if not answer then return nil, err end
    return {id = "clock", raw = {date = answer.headers.date, received = core.wall()}}
  end
  finetune.register(P)
end

local MONTHS = {Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
  Dec = 12}

-- "Sun, 22 Nov 2026 23:41:00 GMT" -> Unix time
function M.http_date(words)
  local day, month, year, hour, minute, second =
    (words or ""):match "(%d%d?) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT"
  if not day or not MONTHS[month] then return nil end
  local y, m = tonumber(year), MONTHS[month]
  if m <= 2 then y, m = y - 1, m + 12 end
  local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * (m - 3) + 2) // 5 + tonumber(day) - 719469
  return days * 86400 + hour * 3600 + minute * 60 + second
end

local function look_at_clock(list, url)
  local value = os.date "%Y-%m-%d %H:%M:%S %Z"
  local advice = "set the clock: certificates and deadlines depend on it"
  if os.time() < BORN then return finding(list, "clock", "error", value, advice) end
  if not url then return finding(list, "clock", "ok", value) end
  register_clock()
  local clock <close> = finetune.create_provider("finetune-clock", {api_key = false, max_retries = 0})
  local answer = clock:get_model(url)
  local there = answer and M.http_date(answer.raw.date)
  if not there then return finding(list, "clock", "ok", value .. " (the service does not tell the time)") end
  local skew = answer.raw.received - there
  if math.abs(skew) <= SKEW then return finding(list, "clock", "ok", value) end
  finding(list, "clock", "warning", ("%s: %s %s the service's"):format(value, text.duration(math.abs(skew)),
    skew > 0 and "ahead of" or "behind"), advice)
end

-- One question to the chosen service -> the address that was asked
local function look_at_service(list, ui)
  local chosen, url = list.chosen, nil
  if not chosen or not chosen.ready or chosen.name == "local" then return nil end
  local began = core.now()
  local ok, err = pcall(function()
    local provider <close> = config.create(ui.args, chosen.name, function(trace) url = trace.url end)
    errors.check(provider:list_models {limit = 1})
  end)
  local what = "service " .. chosen.name
  if ok then
    finding(list, what, "ok", ("answers in %.0f ms, and takes the key"):format((core.now() - began) * 1000))
  elseif type(err) == "table" then
    finding(list, what, "error", errors.words(err), errors.next_step(err))
  else
    error(err, 0)
  end
  return url
end

function M.run(ui, args)
  local list = {}
  look_at_versions(list)
  look_at_config(list, args)
  look_at_providers(list, args)
  local url = not args.offline and look_at_service(list, ui) or nil
  look_at_clock(list, url and url:match "^%a+://[^/]+" and url:match "^%a+://[^/]+" .. "/" or nil)
  look_at_store(list)
  look_at_vocabularies(list)
  ui:document {findings = fields.array("finding", list)}
  local bad = false
  for _, f in ipairs(list) do
    bad = bad or f.level == "error"
    ui:line("%s  %s  %s", ui:paint(COLORS[f.level], text.pad(f.level, 7)), text.pad(f.what, 18), f.value or "")
    if f.advice then ui:line("%s%s", (" "):rep(29), ui:paint("dim", "-> " .. text.clean(f.advice))) end
  end
  return bad and errors.CONFIG or errors.DONE
end

return M
