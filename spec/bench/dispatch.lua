-- dispatch.lua: lua dispatch.lua CPATH c|lua count -> ns of CPU a call, on standard output

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = ("./lua/?.so;%s;%s"):format(arg[1], package.cpath)

local core = require "finetune.core"

local name, count = "noop_" .. arg[2], math.tointeger(tonumber(arg[3]))
if arg[2] == "c" then
  require "noop"
else
  local P = {name = name}
  local job = {id = "ftjob-1", status = "running"}
  local function answer() return job end
  for _, op in ipairs(core.ops) do
    if op.required then P[op.name] = answer end
  end
  core.register(P)
end

local instance = assert(core.create(name, {}))
local start, params = core.start, {job_id = "ftjob-1"}
local begun = os.clock()
for _ = 1, count do
  assert(start(instance, "get_job", params):result())
end
print((os.clock() - begun) / count * 1e9)
