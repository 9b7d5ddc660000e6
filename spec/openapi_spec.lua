-- Every exchange between the library and the loopback services is checked against the
-- services' published descriptions by a real OpenAPI validator. Needs node, npm and the
-- descriptions (see spec/support/openapi/validate.mjs); skipped, with words, where one
-- of them is not there.
local drive = require "spec.support.openapi.drive"
local finetune = require "finetune"
local json = require "dkjson"
local library = require "spec.support.openapi.library"
local mutants = require "spec.support.openapi.mutants"
local plans = require "spec.support.openapi.plans"
local service = require "spec.support.service"

local FOLDER = "spec/support/openapi"
local FILES = {openai = "openai.ft.json", together = "together.ft.json", fireworks = "fireworks.ft.json",
               azure = "azure-2024-10-21.ft.json", ["azure-v1"] = "openai.ft.json"}

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(command)
  local pipe = assert(io.popen(command .. " 2>&1 </dev/null"))
  local text = pipe:read("a")
  local ok = pipe:close()
  return ok == true, text
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

-- node_modules is what the lock file says: a copy of that is kept in it.
local function install()
  local lock, stamp = read(FOLDER .. "/package-lock.json"), FOLDER .. "/node_modules/.lock-copy"
  if read(stamp) == lock then return true end
  local ok, text = run(("cd %s && npm ci --ignore-scripts --no-audit --no-fund"):format(FOLDER))
  if not ok then return nil, "npm ci did not work: " .. (text:match("npm error [^\n]*") or text:sub(1, 200)) end
  local file = assert(io.open(stamp, "wb"))
  file:write(lock)
  file:close()
  return true
end

-- Why node cannot check anything; nil when it can.
local function no_node()
  local _, version = run("node --version")
  local major = tonumber(version:match("^v(%d+)"))
  if not major or major < 20 then return "node 20 or newer is not installed" end
  if not run("npm --version") then return "npm is not installed" end
  local ok, why = install()
  return not ok and why or nil
end

local node_checked, node_obstacle

-- Why the check against this description cannot run (api = nil: against none); nil when it can.
local function obstacle(api)
  if not node_checked then node_checked, node_obstacle = true, no_node() end
  if node_obstacle or not api then return node_obstacle end
  local folder = os.getenv("FINE_TUNE_API_DIR") or "../shared/api"
  if read(folder .. "/" .. FILES[api]) then return nil end
  return ("no %s in %s (FINE_TUNE_API_DIR names its folder)"):format(FILES[api], folder)
end

local log

-- -> whether the log is clean, what the validator says
local function validate(api, flags)
  return run(("node %s/validate.mjs %s --api %s %s"):format(FOLDER, quote(log), api, flags or ""))
end

local function entries_of(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = assert(json.decode(line, 1, json.null)) end
  return list
end

-- The log's exchanges once more, each with a mistake in it -> how many exchanges there were, the mistakes
local function add_mutants(plan)
  local entries = entries_of(log)
  local list = mutants.make(entries, plan.file_field or "training_file", plan.time_field or "created_at")
  if plan.storage then table.move(mutants.of_storage(entries), 1, 3, #list + 1, list) end
  local file <close> = assert(io.open(log, "a"))
  for _, mutant in ipairs(list) do file:write(json.encode(mutant[2]), "\n") end
  return #entries, list
end

-- What the validator says of the first n exchanges, and of the whole; and the exchanges it says anything of
local function read_verdict(text, n)
  local real, found = {}, {}
  for line in text:gmatch "[^\n]+" do
    local number = math.tointeger(tonumber(line:match "^#(%d+) "))
    if number then found[number] = true end
    if not number or number <= n then real[#real + 1] = line end
  end
  return table.concat(real, "\n"), found
end

local function sorted_names(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

describe("the published description", function()
  local folder

  before_each(function()
    log = os.tmpname()
    folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. quote(folder)))
  end)

  after_each(function()
    os.remove(log)
    os.execute("rm -rf " .. quote(folder))
  end)

  for _, name in ipairs(sorted_names(plans)) do
    local plan = plans[name]
    it(("of %s is kept by every request of the provider and every answer of its service"):format(name), function()
      local reason = obstacle(plan.api)
      if reason then return pending(reason) end
      local options = {dialect = plan.dialect, log = log}
      for key, value in pairs(plan.settings or {}) do options[key] = value end
      local s <close> = service.start(options)
      local ok, err = pcall(library.run, finetune, s, plan, folder)
      assert.is_true(ok, tostring(err))
      local n, mistakes = add_mutants(plan)
      local _, text = validate(plan.api, "--all")
      local real, found = read_verdict(text, n)
      assert.matches("^%d+ exchanges, %d+ of them with storage, " .. plan.operations .. " operations, %d+ violations$",
        real)
      assert.equal(plan.storage or false, tonumber(real:match "(%d+) of them with storage") > 0, real)
      for i, mistake in ipairs(mistakes) do assert.is_true(found[n + i], mistake[1] .. " was not found") end
      assert.same({}, s:stats().crashes)
    end)
  end

  it("of openai is kept by the service when it is called by hand", function()
    local reason = obstacle "openai"
    if reason then return pending(reason) end
    local s <close> = service.start {log = log}
    drive.by_hand(s)
    local ok, text = validate("openai", "--all")
    assert.is_true(ok, text)
    assert.matches("22 operations, 0 violations", text)
  end)

  it("is broken by a wrong request and a wrong answer", function()
    local reason = obstacle "openai"
    if reason then return pending(reason) end
    local s <close> = service.start {log = log}
    local call = drive.caller(s)
    call("POST", "/uploads", {filename = "a", purpose = "none", bytes = 10, mime_type = "x"})
    call("POST", "/uploads", {filename = "a", purpose = "batch", bytes = "10", mime_type = "x"})
    call("POST", "/uploads", {filename = "a", purpose = "batch", bytes = 10, mime_type = "x", sise = 1})
    call("GET", "/models?colour=red")
    s:set {patch = {["tiny-chat-1"] = {created = "yesterday"}}}
    call("GET", "/models/tiny-chat-1")
    local ok, text = validate("openai", "--require listFiles,createUpload")
    assert.is_false(ok)
    assert.matches("request: .*purpose", text)
    assert.matches("request: .*bytes", text)
    assert.matches("request: .*sise", text)
    assert.matches("request: .*colour", text)
    assert.matches("answer: /created must be integer", text)
    assert.matches("never called: listFiles\n", text)
    assert.is_nil(text:find("never called: createUpload", 1, true))
  end)
end)

describe("the validator", function()
  it("finds what is wrong in exchanges made up for it, and nothing else", function()
    local reason = obstacle()
    if reason then return pending(reason) end
    local ok, text = run(("node %s/selftest.mjs"):format(FOLDER))
    assert.is_true(ok, text)
    assert.matches("%d+ parts, 0 failed", text)
  end)

  it("says what it lacks", function()
    local reason = obstacle()
    if reason then return pending(reason) end
    log = os.tmpname()
    finally(function() os.remove(log) end)
    local ok, text = validate "acme"
    assert.is_false(ok)
    assert.matches("%-%-api is one of: openai, ", text)
    ok, text = run(("FINE_TUNE_API_DIR=/nowhere node %s/validate.mjs %s"):format(FOLDER, quote(log)))
    assert.is_false(ok)
    assert.matches("no /nowhere/openai.ft.json; set FINE_TUNE_API_DIR", text)
    ok, text = validate("openai", "--sometimes")
    assert.is_false(ok)
    assert.matches("usage: node validate.mjs", text)
    if obstacle "openai" then return end
    ok, text = validate "openai" -- an empty log proves nothing
    assert.is_false(ok)
    assert.matches("0 exchanges", text)
  end)
end)
