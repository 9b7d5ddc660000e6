-- providers/local.lua when several processes look at one store and write to it, and when what they find is damaged.

local core = require "finetune.core"
local finetune = require "finetune"
local preload = require "spec.support.preload"
local shell = require "spec.support.shell"
local store = require "spec.support.local"()
local supervise = require "finetune.supervise"

local upload, create, ended, TRAIN = store.upload, store.create, store.ended, store.TRAIN

describe("local, where several look and write at once:", function()
  local folder, home, provider

  before_each(function() folder, home, provider = store.open() end)
  after_each(store.close)

  it("makes one job of a token that two processes have at once", function()
    assert(core.fs.write(folder .. "/same.lua", [[
      package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
      local p = assert(require("finetune").create_provider("local", {home = arg[1]}))
      local job = assert(p:create_job {model = "command", training_file = arg[2], token = arg[3],
        command = {"cp", "{training}", "{output}"}})
      print(job.id)]]))
    local file = upload()
    for i = 1, 5 do
      local one = ("lua5.4 %s/same.lua %s %s t-%d"):format(folder, shell.quote(home), file.id, i)
      local ids = shell.lines(("%s & %s & %s & %s & wait"):format(one, one, one, one))
      assert.same({ids[1], ids[1], ids[1], ids[1]}, ids)
      assert.equal(i, #assert(provider:list_jobs()).data)
    end
    for job in provider:jobs() do assert(ended(job)) end
    assert.same({}, shell.lines("find " .. shell.quote(home .. "/jobs") .. " -name '.token*'"))
  end)

  it("gives the newest job the first place, though the clock was set back", function()
    local wall, before = core.wall, assert(create(TRAIN))
    finally(function() core.wall = wall end)
    core.wall = function() return wall() - 86400 end
    local after = assert(create(TRAIN))
    assert.is_true(after.id > before.id)
    local list = assert(provider:list_jobs()).data
    assert.same({after.id, before.id}, {list[1].id, list[2].id})
    core.wall = wall
    assert(ended(after))
  end)

  it("never takes a job that is being started for one whose runner was killed", function()
    local why = preload.missing()
    if why then return pending(why) end
    local runner, slow = supervise.runner(), folder .. "/slow-run"
    assert(core.fs.write(slow, ("#!/bin/sh\nexec %s %s/%s \"$@\"\n"):format(preload.env {delay = 200}, shell.root,
      runner)))
    shell.must("chmod +x " .. slow)
    finally(function() supervise.runner = function() return runner end end)
    supervise.runner = function() return slow end
    local call = provider:async("create_job", {model = "command", training_file = upload(),
      command = {"cp", "{training}", "{output}"}})
    local other, looks = assert(finetune.create_provider("local", {home = home})), 0
    repeat
      finetune.step(0.005)
      for _, job in ipairs(assert(other:list_jobs()).data) do
        looks = looks + 1
        assert.is_nil(job.error)
      end
    until call:done()
    other:close()
    assert.equal("succeeded", assert(ended(assert(call:result()))).status)
    assert.is_true(looks > 0)
  end)

  it("lets a job be cancelled whose papers are damaged, and deletes none that runs", function()
    local job = assert(create "echo >\"$2/model\"; sleep 100")
    repeat finetune.sleep(0.01) until assert(provider:get_job(job)).status == "running"
    local dir = home .. "/jobs/" .. job.id
    for _, name in ipairs {"spec.json", "state.json"} do
      assert(core.fs.write(dir .. "/" .. name, "garbage"))
      local now = assert(provider:get_job(job))
      assert.same({"running", "damaged"}, {now.status, now.error.code})
      assert.equal("conflict", select(2, provider:delete_job(job)).kind)
    end
    assert(core.fs.write(dir .. "/state.json", core.encode {status = "succeeded"})) -- believed, but for its deletion
    assert.equal("conflict", select(2, provider:delete_job(job)).kind)
    core.fs.remove(dir .. "/state.json")
    assert(provider:cancel_job(job))
    local now
    repeat
      finetune.sleep(0.01)
      now = assert(provider:get_job(job))
    until now.status ~= "cancelling"
    assert.same({"failed", "damaged"}, {now.status, now.error.code})
    repeat finetune.sleep(0.01) until not core.lock_holder(dir .. "/lock")
    assert.is_true(assert(provider:delete_job(job)).deleted)
  end)

  it("is followed without a long delay, and by many with no more looks than a few a second", function()
    local job = assert(create([[for i in 1 2 3 4 5 6 7; do echo "{\"time\":$(date +%s.%N),\"step\":$i}" >>"$3"
      sleep 1; done; echo >"$2/model"]]))
    local latest = 0
    for event in provider:follow(job) do
      if event.type == "metrics" then latest = math.max(latest, core.wall() - event.raw.time) end
    end
    assert.is_true(latest > 0 and latest < 6, latest)
    local polls = require "finetune.poll"
    local poll = polls.new(provider, "follow", {job_id = job.id})
    for n, most in pairs {[0] = 1, [20] = 1, [21] = 2, [80] = 4, [10000] = 8} do
      for _ = 1, 20 do polls.grow(poll, n) end
      assert.same({most, most}, {poll.most, poll.delay})
    end
    poll = polls.new(provider, "follow", {job_id = job.id, max_interval = 3}) -- as the caller wants it
    for _ = 1, 20 do polls.grow(poll, 10000) end
    assert.equal(3, poll.delay)
  end)

  it("believes no end that is none", function()
    local job = assert(ended(assert(create(TRAIN))))
    assert(core.fs.write(home .. "/jobs/" .. job.id .. "/state.json", '{"status":"running"}'))
    local now = assert(provider:get_job(job))
    assert.same({"failed", "damaged"}, {now.status, now.error.code})
  end)

  it("calls nothing finished that could not be written down, and makes the model once", function()
    local job = assert(create(TRAIN))
    local write_file = core.fs.write
    finally(function() core.fs.write = write_file end)
    core.fs.write = function(path, text)
      if path:find "state.json$" then return nil, path .. ": No space left on device", 28 end
      return write_file(path, text)
    end
    local now
    repeat
      finetune.sleep(0.01)
      now = assert(provider:get_job(job))
    until now.status ~= "queued" and now.status ~= "running"
    assert.same({"finalizing", "store"}, {now.status, now.error.code})
    assert.is_nil(now.fine_tuned_model)
    local models = core.list_dir(home .. "/models")
    assert.equal(1, #models)
    local made = assert(core.fs.open(home .. "/models/" .. models[1] .. "/model.json")):read "a"
    finetune.sleep(1.1)
    core.fs.write = write_file
    now = assert(provider:get_job(job))
    assert.same({"succeeded", "local:" .. models[1]}, {now.status, now.fine_tuned_model})
    assert.equal(made, assert(core.fs.open(home .. "/models/" .. models[1] .. "/model.json")):read "a")
  end)

  it("pauses none that is being cancelled", function()
    local job = assert(create "trap '' TERM; sleep 100 & wait; sleep 100")
    repeat finetune.sleep(0.01) until assert(provider:get_job(job)).status == "running"
    assert(supervise.cancel(home .. "/jobs/" .. job.id))
    local _, err = provider:pause_job(job)
    assert.same({"conflict", "the job is being cancelled"}, {err.kind, err.message})
    assert.is_nil((ended(job)))
  end)

  it("runs a model whose papers are damaged, by a command that is given", function()
    local job = assert(ended(assert(create(TRAIN))))
    local path = home .. "/models/" .. job.fine_tuned_model:match ":(.*)" .. "/model.json"
    assert(core.fs.write(path, '{"recipe":"command","settings":5}'))
    assert.equal("invalid", select(2, provider:sample(job.fine_tuned_model, {prompt = "x"})).kind)
    assert.equal("x", assert(provider:sample(job.fine_tuned_model, {prompt = "x", sample_command = {"cat"}})).text)
  end)

  it("says why a model cannot be run where SIGCHLD is ignored", function()
    local job = assert(ended(assert(create(TRAIN, {sample_command = {"cat"}}))))
    assert(core.fs.write(folder .. "/deaf.lua", [[
      package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
      local p = assert(require("finetune").create_provider("local", {home = arg[1]}))
      local answer, err = p:sample(arg[2], {prompt = "x"})
      print(err.kind, err)]]))
    local said = shell.must(("env --ignore-signal=CHLD lua5.4 %s/deaf.lua %s %s"):format(folder, shell.quote(home),
      job.fine_tuned_model))
    assert.matches("^config\t.*this process ignores SIGCHLD", said)
  end)
end)
