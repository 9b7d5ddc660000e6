-- A real Slurm on loopback, for specs: up.sh and down.sh of this folder, on ports that are free.

local shell = require "spec.support.shell"
local socket = require "socket"

local M = {}
local HERE = shell.root .. "/spec/support/slurm/"

-- Words why it cannot be started here, or nil
function M.missing()
  for _, program in ipairs {"slurmctld", "slurmd", "slurmrestd", "sbatch", "scontrol"} do
    if not shell.has(program) then return program .. " is not installed" end
  end
  if shell.must "id -u" ~= "0\n" then return "slurmd wants to be root" end
  if not shell.must("ls /usr/lib/*/slurm*/auth_jwt.so /usr/lib*/slurm/auth_jwt.so 2>/dev/null; true"):find "%S" then
    return "Slurm's JWT plugin is not installed"
  end
end

local function ports(n)
  local held, list = {}, {}
  for i = 1, n do
    held[i] = assert(socket.bind("127.0.0.1", 0))
    list[i] = select(2, held[i]:getsockname())
  end
  for _, one in ipairs(held) do one:close() end
  return table.concat(list, " "), list
end

-- The number of this process
local function own_pid()
  local file <close> = assert(io.open "/proc/self/stat")
  return file:read "n"
end

local Slurm = {}
Slurm.__index = Slurm

-- age: seconds that it remembers a job that has ended
function M.start(age)
  local dir = shell.folder()
  local list, of = ports(3)
  local self = setmetatable({dir = dir, conf = dir .. "/slurm.conf", node = "ft" .. of[2],
    url = "http://127.0.0.1:" .. of[3], socket = dir .. "/socket/rest"}, Slurm)
  local status, output = shell.run(("%sup.sh %s %s %d"):format(HERE, dir, list, age), {env = {OWNER = own_pid()}})
  if status ~= 0 then
    self:stop()
    error(output, 2)
  end
  return self
end

-- A line of sh, with its SLURM_CONF
function Slurm:run(line) return shell.run(line, {env = {SLURM_CONF = self.conf}}) end
function Slurm:must(line) return shell.must(line, {env = {SLURM_CONF = self.conf}}) end

-- Does it end a job that takes more memory than it was given? That needs version 1 of the kernel's cgroups.
function Slurm:limits_memory() return (shell.run("test -e " .. self.dir .. "/cgroup.conf")) == 0 end

function Slurm:token() return self:must("scontrol token lifespan=600"):match "SLURM_JWT=(%S+)" end

-- Ends slurmctld, and starts another one. It is given the time to write its state: one that is killed before starts
-- again what runs already, and closes the node when it notices.
function Slurm:lose()
  self:must(("pid=$(cat %s/run/slurmctld); kill $pid; until scontrol ping | grep -q DOWN; do sleep 0.1; done; "
    .. "sleep 0.5; kill -9 $pid 2>/dev/null; true"):format(self.dir))
end
function Slurm:again() self:must(("%sup.sh %s"):format(HERE, self.dir)) end

function Slurm:stop()
  shell.run(("%sdown.sh %s; sleep 0.1; rm -rf %s"):format(HERE, self.dir, self.dir))
end

return M
