-- Every exchange between the library and the loopback service is checked against
-- OpenAI's published description by a real OpenAPI validator. Needs node, npm and
-- the description (see spec/support/openapi/validate.mjs); skipped, with words,
-- where one of them is not there.
local drive = require "spec.support.openapi.drive"
local service = require "spec.support.service"

local FOLDER = "spec/support/openapi"

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

-- Why the check cannot run; nil when it can.
local function obstacle()
  local _, version = run("node --version")
  local major = tonumber(version:match("^v(%d+)"))
  if not major or major < 20 then return "node 20 or newer is not installed" end
  if not run("npm --version") then return "npm is not installed" end
  local folder = os.getenv("FINE_TUNE_API_DIR") or "../shared/api"
  if not read(folder .. "/openai.ft.json") then
    return ("no openai.ft.json in %s (FINE_TUNE_API_DIR names its folder)"):format(folder)
  end
  local ok, why = install()
  return not ok and why or nil
end

describe("OpenAI's description of its API", function()
  local reason, log

  lazy_setup(function() reason = obstacle() end)

  before_each(function() log = os.tmpname() end)

  after_each(function() os.remove(log) end)

  local function validate(flags)
    return run(("node %s/validate.mjs %s %s"):format(FOLDER, quote(log), flags or ""))
  end

  it("is kept by the service's answers", function()
    if reason then return pending(reason) end
    local s <close> = service.start {log = log}
    drive.by_hand(s)
    local ok, text = validate("--all")
    assert.is_true(ok, text)
    assert.matches("22 operations, 0 violations", text)
  end)

  it("is kept by every request of the library", function()
    if reason then return pending(reason) end
    local s <close> = service.start {log = log}
    local path = os.tmpname()
    local training = path .. ".jsonl"
    local ok, err = pcall(drive.by_library, require "finetune", s, training)
    os.remove(path)
    os.remove(training)
    assert.is_true(ok, tostring(err))
    local valid, text = validate("--all")
    assert.is_true(valid, text)
    assert.matches("22 operations, 0 violations", text)
  end)

  it("is broken by a wrong request and a wrong answer", function()
    if reason then return pending(reason) end
    local s <close> = service.start {log = log}
    local call = drive.caller(s)
    call("POST", "/uploads", {filename = "a", purpose = "none", bytes = 10, mime_type = "x"})
    call("POST", "/uploads", {filename = "a", purpose = "batch", bytes = "10", mime_type = "x"})
    call("GET", "/models?colour=red")
    s:set {patch = {["tiny-chat-1"] = {created = "yesterday"}}}
    call("GET", "/models/tiny-chat-1")
    local ok, text = validate()
    assert.is_false(ok)
    assert.matches("request: .*purpose", text)
    assert.matches("request: .*bytes", text)
    assert.matches("request: .*colour", text)
    assert.matches("answer: /created must be integer", text)
  end)
end)
