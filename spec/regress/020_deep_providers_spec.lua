-- Providers built on providers ran their first steps inside one another, so that Lua's limit of C calls
-- (200) was met at about 65 of them, and the error that came back was "not enough memory".

local finetune = require "finetune"

local function provider(name, get_job)
  local P = {name = name, base_url = "https://deep.example", get_job = get_job}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = finetune.unsupported "not here"
  end
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider(name, {api_key = false}))
end

describe("providers on providers", function()
  after_each(function()
    for i = 0, 150 do finetune.unregister("deep-" .. i) end
    finetune.unregister "endless"
  end)

  it("may stand 150 deep", function()
    local below = provider("deep-0", function() return {id = "j", status = "running"} end)
    for i = 1, 150 do
      local last = below
      below = provider("deep-" .. i, function(_, p) return last:get_job(p.job_id) end)
    end
    local job, err = below:get_job "j"
    assert.equal("j", job and job.id, tostring(err))
  end)

  it("that never end get an error", function()
    local self
    self = provider("endless", function(_, p) return self:get_job(p.job_id) end)
    local job, err = self:get_job "j"
    assert.is_nil(job)
    assert.equal("provider", err.kind)
    assert.matches("does one call itself", err.message)
    assert.equal(0, finetune.pending())
  end)
end)
