-- What a debugging hook raises is heard of, wherever it comes: the lua program has Ctrl-C so, and two places of the
-- core took it for a lack of memory, which they bear.

local finetune = require "finetune"

local JOB = '{"id":"ftjob-1","object":"fine_tuning.job","status":"running","model":"m"}'

-- Asks for a job, and raises at event k of all calls and returns on the way -> what came of it
local function ask(k)
  local transport = finetune.testing.transport {{"GET /v1/fine_tuning/jobs/ftjob-1", status = 200, body = JOB}}
  local provider <close> = assert(finetune.create_provider("openai", {api_key = "k", transport = transport,
    base_url = "https://api.openai.com/v1", on_trace = function() end}))
  local events, hit = 0, false
  local ok, job, err = pcall(function()
    debug.sethook(function()
      events = events + 1
      if events < k then return end
      debug.sethook()
      hit = true
      error "interrupted!"
    end, "cr")
    local job, err = provider:get_job {job_id = "ftjob-1"}
    debug.sethook()
    return job, err
  end)
  debug.sethook()
  if not hit then return "all events were before", ok and job.id end
  return "hit", ok and tostring(err) or tostring(job)
end

describe("a hook that raises", function()
  it("is heard of, wherever it comes", function()
    local k, was, words = 0, "hit", nil
    while was == "hit" do
      k = k + 1
      was, words = ask(k)
      if was == "hit" then assert.matches("interrupted!", words, 1, true) end
    end
    assert.equal("ftjob-1", words)
    assert.is_true(k > 100)
  end)
end)
