-- Many jobs watched at once, and whatever their list may do wrong: each still ends as it did.

local board = require "spec.support.board"
local core = require "finetune.core"
local finetune = require "finetune"
local watch = require "finetune.watch"

local PAUSE = board.PAUSE

local provider, b

local function open(what) provider, b = board.open(what) end

local function wait_all(ids, more) return board.wait_all(provider, ids, more) end

local function all_succeeded(jobs, errors) board.all_succeeded(b, jobs, errors) end

local function more_gets() return board.more_gets(b) end

after_each(function()
  if provider then provider:close() end
  provider, b = nil, nil
  finetune.step(0)
  assert.equal(0, finetune.pending())
end)

local function after(n) return function() return n end end

describe("a list", function()
  -- 30 jobs that end after so many rounds of the clock, or as soon as `ends` says so, with a list that `lie` makes
  local function with_list(lie, n, ends)
    open {jobs = n or 30}
    b.answer.list = lie
    local from = core.now()
    local function is_over() return core.now() - from > (ends or 8) * PAUSE end
    if type(ends) == "function" then is_over = ends end
    for _, job in pairs(b.jobs) do
      setmetatable(job, {__index = function(_, key)
        if key == "status" then return is_over() and "succeeded" or "running" end
      end})
    end
  end

  -- Whether each job was asked for so often, with two listings at least. Ends a test whose list is of no use
  local function asked(times)
    return function() return b.count.get > times * #b.ids and b.count.list >= 2 end
  end

  local function page(data, more) return {status = 200, json = {object = "list", data = finetune.array(data),
    has_more = more or false}} end

  it("that has none of the jobs is not asked again for them every time", function()
    with_list(function() return page {} end, 30, 20)
    all_succeeded(wait_all(b.ids))
    assert.is_true(b.count.list <= 10, b.count.list)
  end)

  it("that has some of the jobs answers those", function()
    open {jobs = 100, ends = after(10)}
    b.answer.list = function(_, doc)
      local data = {}
      for _, job in ipairs(doc.data) do
        if job.created_at % 2 == 0 then data[#data + 1] = job end
      end
      return page(data, doc.has_more)
    end
    all_succeeded(wait_all(b.ids))
    local listed, alone = b.jobs["ftjob-50"].gets, b.jobs["ftjob-51"].gets
    assert.is_true(listed <= 6 and alone >= 4, listed .. " " .. alone)
  end)

  it("that is out of date for ever is found out", function()
    with_list(function(_, doc)
      for _, job in ipairs(doc.data) do job.status = "running" end
      return page(doc.data, doc.has_more)
    end, 200)
    all_succeeded(wait_all(b.ids))
    assert.is_true(b.count.list < 60, b.count.list)
  end)

  it("that ends jobs too early is not believed", function()
    with_list(function(_, doc)
      for _, job in ipairs(doc.data) do job.status = "succeeded" end
      return page(doc.data)
    end)
    all_succeeded(wait_all(b.ids))
  end)

  it("with other ids and with doubles does no harm", function()
    with_list(function(_, doc)
      local data = {{id = "ftjob-other", status = "succeeded"}}
      for _, job in ipairs(doc.data) do
        data[#data + 1] = job
        data[#data + 1] = job
      end
      return page(data)
    end, 30, function() return b.rounds >= 8 end)
    all_succeeded(wait_all(b.ids))
  end)

  it("with a status that nobody knows leaves the job to its own request", function()
    with_list(function(_, doc)
      for _, job in ipairs(doc.data) do job.status = "meditating" end
      return page(doc.data)
    end)
    all_succeeded(wait_all(b.ids))
    assert.is_true(b.count.list <= 10, b.count.list)
  end)

  it("that does not end is left", function()
    local n = 0
    with_list(function()
      n = n + 1
      return page({{id = "ftjob-new-" .. n, status = "running"}}, true)
    end)
    all_succeeded(wait_all(b.ids))
    assert.is_true(n <= 40, n)
  end)

  it("that fails for good is not asked again", function()
    for _, status in ipairs {400, 401, 403, 404, 410} do
      with_list(function() return {status = status, json = {error = {message = "no lists here"}}} end)
      all_succeeded(wait_all(b.ids))
      assert.equal(1, b.count.list)
      provider:close()
    end
  end)

  it("that is strange now and then is tried again, ever more seldom", function()
    for _, body in ipairs {"<html>", "[]", '{"object":"list","data":7}', '{"object":"list","data":[{}]}'} do
      with_list(function() return {status = 200, body = body} end, 30, asked(12))
      all_succeeded(wait_all(b.ids))
      assert.is_true(b.count.list <= 10, b.count.list)
      provider:close()
    end
  end)

  it("that the provider has not is never asked", function()
    finetune.register({name = "listless", get_job = function(_, p) return {id = p.job_id, status = "running"} end,
      list_jobs = finetune.unsupported "there is no list", upload_file = finetune.unsupported "x",
      create_job = finetune.unsupported "x", cancel_job = finetune.unsupported "x",
      list_models = finetune.unsupported "x", delete_model = finetune.unsupported "x"}, {replace = true})
    provider = assert(finetune.create_provider "listless")
    local _, errors, last = wait_all({"a", "b", "c", "d"}, {timeout = 5 * PAUSE})
    for i = 1, 4 do
      assert.equal("timeout", errors[i].kind)
      assert.equal("running", last[i].status)
    end
    finetune.unregister "listless"
  end)

  it("that fails for a while is waited out by all of them, as long as the service asks", function()
    local times = {}
    with_list(function()
      times[#times + 1] = core.now()
      if #times == 1 then
        return {status = 429, headers = {["retry-after-ms"] = "200"}, json = {error = {message = "slowly"}}}
      end
    end, 30, 12)
    all_succeeded(wait_all(b.ids))
    local soon = 0 -- those who were not yet waiting for that list may have asked before they knew
    for _, time in ipairs(times) do soon = soon + (time - times[1] < 0.2 and 1 or 0) end
    assert.is_true(soon <= 3, soon)
    assert.is_true(more_gets() <= 150, b.count.get)
  end)

  it("that keeps failing, though it should pass, does not hold the jobs up", function()
    with_list(function() return {status = 500, json = {error = {message = "broken"}}} end, 30, asked(20))
    all_succeeded(wait_all(b.ids))
    assert.is_true(b.count.list <= 20, b.count.list)
  end)

  it("that does not answer does not hold them up either", function()
    local late = watch.LATE
    watch.LATE = 2 * PAUSE
    with_list(function() return "pending" end)
    local jobs, errors = wait_all(b.ids)
    watch.LATE = late
    all_succeeded(jobs, errors)
  end)
end)
