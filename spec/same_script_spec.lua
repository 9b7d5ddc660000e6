-- examples/same_script.lua, byte for byte the same file, run as a process of its own on every provider: against the
-- fake of its service, chosen by nothing but the environment.

local json = require "dkjson"
local service = require "spec.support.service"
local shell = require "spec.support.shell"
local whole = require "spec.support.whole"

local SCRIPT = "examples/same_script.lua"
local BAD_SUFFIX = ("Way too long, and blank! "):rep(12) -- no service takes this one, and some take none

-- The service's own list of checkpoints -> the newest
local function newest_checkpoint(s, job)
  local _, _, body = s:request("GET", ("/v1/fine_tuning/jobs/%s/checkpoints"):format(job.id))
  return json.decode(body).data[1].id
end

-- provider, dialect of the fake, env(service): the provider's own variables, made: the field of the service's job
-- with the model's name, or function(service, job) -> that; storage: files go to another host
local ROWS = {
  {provider = "openai", dialect = "openai", made = "fine_tuned_model",
    env = function(s) return {OPENAI_API_KEY = s.key, OPENAI_BASE_URL = s.url} end},
  {provider = "gateway", dialect = "openai", made = "fine_tuned_model",
    env = function(s) return {FINE_TUNE_GATEWAY_KEY = s.key, FINE_TUNE_GATEWAY_URL = s.url} end},
  {provider = "azure", dialect = "azure", made = "fine_tuned_model",
    env = function(s) return {AZURE_OPENAI_API_KEY = s.key, AZURE_OPENAI_ENDPOINT = s.url} end},
  {provider = "nebius", dialect = "nebius", made = newest_checkpoint, -- it names no model before deploy_model
    env = function(s) return {NEBIUS_API_KEY = s.key, NEBIUS_BASE_URL = s.url .. "/v1"} end},
  {provider = "together", dialect = "together", made = "model_output_name", storage = true,
    env = function(s) return {TOGETHER_API_KEY = s.key, TOGETHER_BASE_URL = s.url} end},
  {provider = "fireworks", dialect = "fireworks", made = "outputModel",
    env = function(s)
      return {FIREWORKS_API_KEY = s.key, FIREWORKS_ACCOUNT_ID = "acme", FIREWORKS_BASE_URL = s.url}
    end},
  {provider = "localai", dialect = "localai", made = "output_dir",
    env = function(s) return {LOCALAI_API_KEY = s.key, LOCALAI_BASE_URL = s.url} end},
}

local CREDENTIALS = {"authorization", "api-key", "x-api-key", "cookie"}

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- No setting of whoever runs the suite may reach the script
local function unset()
  local words = {"env -u FINE_TUNE_SUFFIX -u FINE_TUNE_PROVIDER_PATH -u OPENAI_ORG_ID -u OPENAI_PROJECT_ID"}
  for _, name in ipairs {"OPENAI_API_VERSION", "AZURE_OPENAI_AD_TOKEN", "WANDB_API_KEY", "http_proxy", "https_proxy"} do
    words[#words + 1] = "-u " .. name
  end
  return table.concat(words, " ") .. " lua5.4 " .. SCRIPT
end

-- Runs the script with the row's variables, some of them changed -> exit status, output
local function run(row, s, changes)
  local env = row.env(s)
  env.FINE_TUNE_PROVIDER, env.FINE_TUNE_MODEL = row.provider, s.model
  for name, value in pairs(changes or {}) do env[name] = value end
  local words = unset()
  if env.FINE_TUNE_SUFFIX then words = words:gsub("%-u FINE_TUNE_SUFFIX ", "", 1) end
  return shell.run(words, {cwd = shell.root, env = env})
end

local function lines_of(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

-- The first words of the lines, each once
local function steps_of(output)
  local list = {}
  for _, line in ipairs(lines_of(output)) do
    local word = line:match "^%w+"
    if list[#list] ~= word then list[#list + 1] = word end
  end
  return list
end

-- All that was recorded of a request, as one text
local function text_of(request)
  local words = {request.target, request.body or ""}
  for _, field in ipairs(request.headers) do words[#words + 1] = field[1] .. ": " .. field[2] end
  for _, part in ipairs(request.parts or {}) do words[#words + 1] = part.value or "" end
  return table.concat(words, "\n")
end

local function check_credentials(row, s)
  local stored = s:requests {site = "storage"}
  for _, request in ipairs(stored) do
    for _, name in ipairs(CREDENTIALS) do assert.is_nil(request.header[name], request.target) end
    assert.is_nil(text_of(request):find(s.key, 1, true), request.target)
  end
  assert.equal(row.storage or false, #stored > 0)
  for _, request in ipairs(s:requests {site = "api"}) do
    local _, n = text_of(request):gsub((s.key:gsub("%p", "%%%0")), "")
    assert.equal(1, n, "keys in " .. request.target)
    local given = 0
    for _, name in ipairs(CREDENTIALS) do given = given + (request.header[name] and 1 or 0) end
    assert.equal(1, given, "credentials of " .. request.target)
  end
end

-- It ended in one line that says why, and shows neither its own inside nor a key
local function check_refusal(row, status, output, ...)
  local list, told = lines_of(output), 0
  for _, line in ipairs(list) do
    if line:find "^finetune: " then told = told + 1 end
  end
  assert.equal(1, status, output)
  assert.equal(1, told, output)
  assert.matches("^finetune: " .. row.provider .. " ", list[#list])
  assert.is_true(#list[#list] > 40, output)
  for _, bad in ipairs {"stack traceback", "%.lua:%d", "\nmodel "} do assert.not_matches(bad, output) end
  for _, key in ipairs {...} do assert.is_nil(output:find(key, 1, true), output) end
end

local function exists(row)
  local path = ("%s/spec/support/service/dialect/%s.lua"):format(shell.root, row.dialect)
  local file <close> = io.open(path)
  return file ~= nil
end

it("the script names no provider and no service", function()
  local text = read(SCRIPT):lower()
  for _, row in ipairs(ROWS) do assert.is_nil(text:find(row.provider, 1, true), row.provider) end
end)

it("every provider of this tree has a row", function()
  local has = {["local"] = true, slurm = true} -- below; slurm_spec.lua: they have no fake of a service
  for _, row in ipairs(ROWS) do has[row.provider] = true end
  for _, known in ipairs(require "finetune".list_providers()) do assert.is_true(has[known.name], known.name) end
end)

it("the same script on local trains on this machine", function()
  if not shell.has "fasttext" then return pending "fasttext is not installed" end
  local home = shell.folder()
  local status, output = shell.run(unset(), {cwd = shell.root,
    env = {FINE_TUNE_PROVIDER = "local", FINE_TUNE_MODEL = "fasttext", FINE_TUNE_HOME = home}})
  shell.remove(home)
  assert.equal(0, status, output)
  assert.matches("\nstatus    succeeded\nmodel     local:", output)
end)

for _, row in ipairs(ROWS) do
  describe("the same script on " .. row.provider, function()
    if not exists(row) then return pending("there is no fake of " .. row.dialect) end
    local s, before

    lazy_setup(function()
      before = read(SCRIPT)
      s = whole.watch(service.start {dialect = row.dialect, job_seconds = 0.3}, row.dialect)
    end)
    lazy_teardown(function()
      s:stop()
      assert.equal(before, read(SCRIPT))
    end)
    before_each(function() s:reset() end)
    after_each(function() s:check() end)

    it("prepares, uploads, creates, follows, and has the model", function()
      local status, output = run(row, s)
      assert.equal(0, status, output)
      check_credentials(row, s)
      local steps = steps_of(output)
      local last = steps[#steps] == "next" and table.remove(steps)
      assert.same({"provider", "prepared", "uploaded", "created", "event", "status", "model"}, steps, output)
      assert.matches("^provider  " .. row.provider .. "\n", output)
      assert.matches("\nprepared  607 chat examples, %d+ bytes\n", output)
      assert.matches("\nstatus    succeeded\n", output)
      local job = s:state().jobs[output:match "\ncreated   (%S+)\n"]
      assert.is_table(job, output)
      local made = type(row.made) == "string" and job[row.made] or row.made(s, job)
      assert.is_true(type(made) == "string" and #made > 0)
      assert.equal(made, output:match "\nmodel     (%S+)\n")
      assert.is_nil(output:find(s.key, 1, true))
      assert.is_true(last == "next" or last == false)
      assert.same({}, s:stats().crashes)
    end)

    it("says in one line that the model cannot be tuned", function()
      local status, output = run(row, s, {FINE_TUNE_MODEL = "nobody/no-such-model"})
      check_refusal(row, status, output, s.key)
      check_credentials(row, s)
    end)

    it("says in one line that the key is wrong, and does not show it", function()
      local wrong, changes = "sk-wrong-0123456789abcdef", {}
      for name, value in pairs(row.env(s)) do
        if value == s.key then changes[name] = wrong end
      end
      local status, output = run(row, s, changes)
      check_refusal(row, status, output, s.key, wrong)
      assert.matches("401", output)
      for _, request in ipairs(s:requests {site = "storage"}) do assert.is_nil(request.header.authorization) end
      assert.same({}, s:state().jobs)
    end)

    it("says in one line that the suffix cannot be taken", function()
      local status, output = run(row, s, {FINE_TUNE_SUFFIX = BAD_SUFFIX})
      check_refusal(row, status, output, s.key)
      assert.matches("suffix", output)
      assert.same({}, s:state().jobs)
    end)
  end)
end
