-- In a host whose locale writes 1,5 a number in `query` was sent as 1%2C5, and a Retry-After of 0.25 s
-- was not understood.

local shell = require "spec.support.shell"

local LOCALE = [[
comment_char %
escape_char /
LC_CTYPE
copy "POSIX"
END LC_CTYPE
LC_NUMERIC
decimal_point "<U002C>"
thousands_sep ""
grouping -1
END LC_NUMERIC
]]

local SCRIPT = [[
assert(os.setlocale("comma", "numeric") and tostring(1.5) == "1,5", "no such locale")
local core, finetune = require "finetune.core", require "finetune"
assert(core.encode {1.5, 1e300} == "[1.5,1e+300]", core.encode {1.5, 1e300})
assert(core.decode("[2.5e-1]")[1] == 0.25)
local urls, delays = {}, {}
local p = finetune.create_provider("openai", {api_key = "k", retry_delay = 100, query = {v = 1.5},
  transport = function(request)
    urls[#urls + 1] = request.url
    if #urls == 1 then return {status = 429, headers = {["retry-after"] = "0.02"}} end
    if #urls == 2 then return {status = 429, headers = {["retry-after-ms"] = "20.5"}} end
    return {body = '{"id": "j", "status": "running", "seed": 1.5}'}
  end})
local began = core.now()
local job = assert(p:get_job "j")
assert(job.raw.seed == 1.5 and core.now() - began < 5)
assert(urls[1]:find("v=1.5", 1, true), urls[1])
io.write "fine"]]

describe("a locale with a decimal comma", function()
  local tmp

  lazy_setup(function() tmp = shell.folder() end)
  lazy_teardown(function() shell.remove(tmp) end)

  it("changes nothing on the wire", function()
    if not shell.has "localedef" then return pending "there is no localedef here" end
    local file = assert(io.open(tmp .. "/source", "w"))
    file:write(LOCALE)
    file:close()
    shell.run(("localedef -c -i %s/source -f ANSI_X3.4-1968 %s/comma"):format(tmp, tmp))
    local status, output = shell.run("exec lua5.4 -e " .. shell.quote(SCRIPT), {cwd = shell.root, env = {
      LOCPATH = tmp, LUA_PATH_5_4 = "lua/?.lua;lua/?/init.lua;;", LUA_CPATH_5_4 = "lua/?.so;;"}})
    if output:find("no such locale", 1, true) then return pending "localedef makes no locale here" end
    assert.same({0, "fine"}, {status, output})
  end)
end)
