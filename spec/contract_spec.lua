-- The contract, for every provider there is; and that it fails for providers that break it.

local core = require "finetune.core"
local finetune = require "finetune"
local settings = require "spec.provider_contract"

local API = os.getenv "FINE_TUNE_API_DIR" or "../shared/api" -- the services' own descriptions, where somebody has them

local function copy(t)
  local new = {}
  for key, value in pairs(t or {}) do new[key] = value end
  return new
end

for _, known in ipairs(finetune.list_providers()) do
  local options = copy(settings[known.name])
  options.describe, options.it = describe, it
  finetune.testing.contract(known.name, options)
end

describe("a provider of this tree", function()
  for _, known in ipairs(finetune.list_providers()) do
    it(("(%s) offers each operation or says why not, as it is pinned"):format(known.name), function()
      local config = copy(settings[known.name].config)
      config.api_key, config.base_url = config.api_key or "k-123456", config.base_url or "https://contract.example/v1"
      local provider <close> = assert(finetune.create_provider(known.name, config))
      local open, pinned = {}, {}
      for op in pairs(settings[known.name].unsupported) do pinned[#pinned + 1] = op end
      for _, op in ipairs(core.ops) do
        local has, reason = provider:supports(op.name)
        if not has then
          open[#open + 1] = op.name
          assert.not_equal("this provider does not offer it", reason, op.name)
        end
      end
      table.sort(open)
      table.sort(pinned)
      assert.same(pinned, open)
    end)

    it(("(%s) has the dataset profile that is pinned"):format(known.name), function()
      finetune.get_provider(known.name) -- loads it
      -- rules_profile_spec.lua has the rules
      local pinned, fact = settings[known.name].dataset or {}, core.facts(known.name).dataset or {}
      for _, key in ipairs {"formats", "min_examples", "max_examples", "max_bytes"} do
        assert.same(pinned[key], fact[key], key)
      end
    end)
  end
end)

-- The enum at these keys of the description -> set of words, or nil and why there is none
local function described_words(described)
  local path = API .. "/" .. described.file
  local file <close> = io.open(path)
  if not file then return nil, ("no %s in %s (FINE_TUNE_API_DIR names its folder)"):format(described.file, API) end
  local node = assert(core.decode(file:read "a"))
  for key in described.at:gmatch "%S+" do node = assert(node[key], path .. " has no " .. described.at) end
  local words = {}
  for _, word in ipairs(node.enum) do words[word] = true end
  return words
end

describe("the pinned statuses", function()
  for _, known in ipairs(finetune.list_providers()) do
    local pinned, described = settings[known.name].statuses, settings[known.name].described
    if described then
      it(("(%s) are those of the service's own description"):format(known.name), function()
        local wanted, why = described_words(described)
        if not wanted then return pending(why) end
        assert.is_truthy(next(wanted))
        for word, reason in pairs(described.beyond) do
          assert.is_nil(wanted[word], word .. " is described by now, and need not be excused: " .. reason)
          wanted[word] = true
        end
        local words = {}
        for word in pairs(pinned) do words[word] = true end
        assert.same(wanted, words)
      end)
    end
  end
end)

describe("the example provider", function()
  local P

  lazy_setup(function() P = dofile "examples/my_provider.lua" end)
  lazy_teardown(function() finetune.unregister "my_provider" end)

  it("keeps the contract", function()
    assert.same({}, finetune.testing.contract(P, settings.my_provider))
  end)

  it("sends what its service wants", function()
    local transport, log = finetune.testing.transport {
      {"POST /v1/datasets", json = {dataset = "d-1", size = 3}},
      {"POST /v1/tunings", expect = {json = {base = "m", dataset = "d-1", tag = "s", note = "mine",
        settings = {rounds = 2, rate = 0.1}}}, json = {job = "j/1", state = "WAITING"}},
      {"GET /v1/tunings/j%2F1", json = {job = "j/1", state = "COMPLETED", result = "tuned"}},
      {"GET /v1/tunings", expect = {query = {page_token = "t", limit = "5"}}, json = {tunings = {}}},
    }
    local provider <close> = assert(finetune.create_provider("my_provider",
      {api_key = "k-123456", transport = transport}))
    local file = assert(provider:upload_file "examples/my_provider.lua")
    local job = assert(provider:create_job {model = "m", training_file = file, suffix = "s", extra = {note = "mine"},
      hyperparameters = {n_epochs = 2, learning_rate = 0.1}})
    assert.equal("queued", job.status)
    assert.equal("WAITING", job.raw_status)
    assert.equal("tuned", assert(provider:wait(job)).fine_tuned_model)
    assert(provider:list_jobs {after = "t", limit = 5})
    log.done()
    for _, request in ipairs(log.requests) do assert.equal("Bearer k-123456", request.headers.authorization) end
    local _, err = provider:create_job {model = "m", training_file = "f",
      hyperparameters = {learning_rate_multiplier = 2}}
    assert.equal("invalid", err.kind)
    _, err = provider:create_job {model = "m", training_file = "f", seed = 1}
    assert.matches("seed is not known to Acme", err.message)
  end)
end)

describe("the contract", function()
  local function failing(changes, options)
    local P = {name = "broken", statuses = {DONE = "succeeded"}}
    local function job(ctx)
      local doc, err = ctx:get "/job"
      if not doc then return nil, err end
      return {id = "job-1", status = doc.state, raw = doc}
    end
    for _, op in ipairs {"create_job", "get_job", "cancel_job"} do P[op] = job end
    for _, op in ipairs {"upload_file", "list_models", "delete_model"} do P[op] = finetune.unsupported "not here" end
    for key, value in pairs(changes) do P[key] = value end
    finetune.register(P, {replace = true})
    local list = finetune.testing.contract("broken", options or {})
    finetune.unregister "broken"
    local text = {}
    for i, failure in ipairs(list) do text[i] = failure.name .. ": " .. failure.message end
    return table.concat(text, "\n")
  end

  local function service(state)
    return (finetune.testing.routes {["GET /v1/job"] = function() return {json = {state = state.status or "DONE"}} end})
  end

  it("notices an operation that swallows errors", function()
    local text = failing {list_models = function(ctx)
      ctx:get "/models"
      return {data = {}, has_more = false}
    end}
    assert.matches("'401'.*list_models with 401: no error came of it", text)
  end)

  it("notices an operation that crashes on an unexpected answer", function()
    local text = failing {list_models = function(ctx)
      local doc, err = ctx:get "/models"
      if not doc then return nil, err end
      return {data = doc.models.list, has_more = false}
    end}
    assert.matches("list_models with empty: the provider itself failed", text)
  end)

  it("notices a status that is not mapped, and one that is invented", function()
    assert.matches("the status 'ODD' is not mapped", failing({}, {service = service, statuses = {"DONE", "ODD"}}))
    local text = failing({get_job = function(ctx)
      local doc, err = ctx:get "/job"
      if not doc then return nil, err end
      return {id = "job-1", status = doc.state == "DONE" and "succeeded" or "failed", raw = doc}
    end}, {service = service})
    assert.matches("the status became 'failed'", text)
  end)

  it("notices a status that is mapped to another one than is pinned", function()
    local changes = {statuses = {DONE = "succeeded", EXPIRED = "succeeded"}}
    local function try(pinned) return failing(changes, {service = service, statuses = pinned}) end
    local wrong = try {DONE = "succeeded", EXPIRED = "failed"}
    assert.matches("the status 'EXPIRED' became 'succeeded', and not 'failed'", wrong, 1, true)
    local right = try {DONE = "succeeded", EXPIRED = "succeeded"}
    assert.not_matches("knows every status", right, 1, true)
    assert.matches("the status 'ODD' is not mapped", try {DONE = "succeeded", ODD = "failed"}, 1, true)
    assert.matches("'done' for 'DONE' is not one of ours", try {DONE = "done"}, 1, true)
  end)

  it("notices what is unsupported without agreement, and lets what is merely absent pass", function()
    assert.matches("upload_file is declared unsupported, which is not agreed",
      failing({}, {unsupported = {list_models = true, delete_model = true}}))
    local text = failing({}, {unsupported = {upload_file = true, list_models = true, delete_model = true}})
    assert.not_matches("pause_job", text, 1, true)
  end)
end)
