-- finetune under cqueues: a coroutine of the controller that polls the core's
-- descriptor while calls run, and ends with them, so that cq:loop() ends too.
--
--   local cq = cqueues.new()
--   require("finetune.loop.cqueues").start(cq)
--   cq:wrap(function() local job = provider:get_job(id) … end)
--   assert(cq:loop())
--
-- What a callback raises goes to the hook, or without one out of cq:loop().

local condition = require "cqueues.condition"
local core = require "finetune.core"
local cqueues = require "cqueues"
local wait = require "finetune.wait"

local M = {}

local controller, restore, on_error, running, active

local function step()
  local ok, err = pcall(core.step, 0)
  if ok then return end
  if not on_error then error(err, 0) end
  on_error(err)
end

local function serve(mine)
  local pollable = {pollfd = core.pollfd(), events = "r"}
  while active == mine and core.pending() > 0 do
    cqueues.poll(pollable)
    if active == mine then step() end
  end
end

-- Runs `serve` once, when there is something to wait for.
local started

function started()
  if running or not active then return end
  running = true
  local mine = active
  controller:wrap(function()
    local ok, err = pcall(serve, mine)
    if active == mine then running = false end
    if not ok then
      if core.pending() > 0 then started() end -- the other calls are still to be served
      error(err, 0)
    end
  end)
end

local function check()
  local _, direct = cqueues.running()
  if not (direct and coroutine.isyieldable()) then
    wait.refuse("under cqueues a call cannot be waited for outside of a coroutine of the controller; "
      .. "use cq:wrap(function() … end), or provider:async and call:on_done")
  end
end

local function suspend(call)
  started()
  local done = condition.new()
  call:on_done(function() done:signal() end)
  while not call:done() do done:wait() end
end

-- cq: the controller; on_error(err): given what callbacks raise (optional)
function M.start(cq, on_error_hook)
  restore = wait.install("cqueues", suspend, started, check)
  active, controller, on_error, running = {}, cq, on_error_hook, false
  if core.pending() > 0 then started() end
end

function M.stop()
  if not active then return end
  restore()
  active, controller = nil, nil
end

return M
