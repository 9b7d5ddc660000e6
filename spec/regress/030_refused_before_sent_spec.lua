-- A method that cannot wait here was refused after its request had gone out: a job
-- was created (and paid for) by a call that had raised. Nothing may be sent.

local core = require "finetune.core"
local finetune = require "finetune"

local JOB = {id = "job-1", status = "queued"}
local provider, posts

before_each(function()
  posts = 0
  local P = {name = "counted"}
  for _, op in ipairs {"upload_file", "cancel_job", "list_models", "delete_model"} do
    P[op] = function(ctx) return ctx:post("/" .. op, {}) end
  end
  function P.create_job(ctx) return ctx:post("/jobs", {}, {retry = "never"}) end
  function P.get_job(ctx, p) return ctx:get("/jobs/" .. p.job_id) end
  finetune.register(P, {replace = true})
  provider = assert(finetune.create_provider("counted", {base_url = "http://counted.test", api_key = false,
    transport = function(request)
      posts = posts + (request.method == "POST" and 1 or 0)
      return {json = JOB, delay = 0.001}
    end}))
end)

after_each(function()
  provider:close()
  finetune.step(0)
  finetune.unregister "counted"
end)

local function create() return provider:create_job {model = "m", training_file = "f"} end

local BLOCKING = {
  create = create,
  delete = function() return provider:delete_model "m" end,
  models = function() return provider:models()() end,
  wait = function() return provider:wait "job-1" end,
  follow = function() return provider:follow "job-1"() end,
  sleep = function() return finetune.sleep(0) end,
  run = function() return finetune.run(create) end,
  map = function() return finetune.map({1}, create) end,
}

-- Each is refused with words, and neither sends nor starts anything
local function all_refused(seen)
  for name, f in pairs(BLOCKING) do
    local running = core.pending()
    local ok, err = pcall(f)
    seen[#seen + 1] = ok == false and err.kind == "usage" and core.pending() == running or name
  end
end

local function check(seen)
  assert.is_true(#seen >= 8)
  for _, good in ipairs(seen) do assert.is_true(good) end
  while finetune.pending() > 0 do finetune.step() end
  assert.equal(0, posts)
end

describe("a wait that is refused sends nothing", function()
  it("in on_done", function()
    local seen = {}
    local call = provider:async("get_job", "job-1")
    call:on_done(function() all_refused(seen) end)
    call:await()
    while #seen == 0 do finetune.step() end
    check(seen)
  end)

  it("in table.sort under finetune.run", function()
    local seen = {}
    finetune.run(function()
      table.sort({2, 1}, function(a, b)
        if #seen == 0 then all_refused(seen) end
        return a < b
      end)
    end)
    check(seen)
  end)

  it("in a coroutine.wrap under finetune.run", function()
    local seen = {}
    finetune.run(function() coroutine.wrap(function() all_refused(seen) end)() end)
    check(seen)
  end)

  it("in table.sort in a provider's own function", function()
    local seen = {}
    local P = finetune.get_provider "counted"
    P.get_job = function()
      table.sort({2, 1}, function(a, b)
        if #seen == 0 then all_refused(seen) end
        return a < b
      end)
      return JOB
    end
    finetune.unregister "counted"
    finetune.register(P)
    local other <close> = assert(finetune.create_provider("counted", {base_url = "http://counted.test"}))
    assert(other:get_job "job-1")
    check(seen)
  end)

  for _, adapter in ipairs {"luv", "copas"} do
    local found = pcall(require, adapter)
    it("in the main coroutine under " .. adapter, function()
      if not found then return pending(adapter .. " is not here") end
      local seen, loop = {}, require("finetune.loop." .. adapter)
      loop.start(error)
      all_refused(seen)
      loop.stop()
      check(seen)
    end)
  end

  it("in an on_done under cqueues", function()
    local found, cqueues = pcall(require, "cqueues")
    if not found then return pending "cqueues is not here" end
    local seen, loop, cq = {}, require "finetune.loop.cqueues", cqueues.new()
    loop.start(cq)
    provider:async("get_job", "job-1"):on_done(function() all_refused(seen) end)
    assert(cq:loop(5))
    loop.stop()
    check(seen)
  end)

  it("and async works there", function()
    local made
    local call = provider:async("get_job", "job-1")
    call:on_done(function() made = provider:async("create_job", {model = "m", training_file = "f"}) end)
    call:await()
    while not made do finetune.step() end
    assert.equal("job-1", made:await().id)
    assert.equal(1, posts)
  end)
end)
