-- deploy_model answered a lost answer with an error that looked as if it could be repeated: the second call made a
-- second deployment, which is paid for. Cancelling and undeploying at Fireworks deleted too much, or never ended.

local finetune = require "finetune"
local testing = require "finetune.testing"

local function provider(name, settings)
  settings.api_key, settings.retry_delay = "key-0123456789abcdef", 0.001
  return assert(finetune.create_provider(name, settings))
end

local DEPLOYMENTS = "/v1/accounts/acme/deployments"
local MODEL = "accounts/acme/models/m"

local SERVICES = {
  fireworks = {post = DEPLOYMENTS, settings = {account = "acme"}, model = MODEL},
  together = {post = "/v1/endpoints", model = "me/m", more = {hardware = "gpu"}},
  nebius = {post = "/v0/models", model = "https://files.example/adapter", more = {base_model = "base", name = "mine"}},
}

-- deploy_model where the POST is answered with that, and other requests as `others` say -> value, err, number of POSTs
local function deploy(name, answer, others)
  local service, posts = SERVICES[name], 0
  local routes = {["POST " .. service.post] = function()
    posts = posts + 1
    return answer
  end}
  for route, reply in pairs(others or {}) do routes[route] = function() return reply end end
  local settings = {transport = (testing.routes(routes)), max_retries = 3}
  for key, value in pairs(service.settings or {}) do settings[key] = value end
  local p <close> = provider(name, settings)
  local value, err = p:deploy_model(service.model, service.more)
  return value, err, posts
end

describe("a deployment whose answer is lost", function()
  for name in pairs(SERVICES) do
    for _, answer in ipairs {{fail = "reset"}, {fail = "timeout"}, {status = 408}, {status = 409}, {status = 503},
      {status = 303, headers = {location = "/other"}}, {status = 200, json = {}}, {status = 200, body = "<html>"}} do
      it(("is no error to repeat: %s, %s"):format(name, answer.fail or answer.status), function()
        local value, err, posts = deploy(name, answer)
        assert.is_nil(value)
        assert.equal("conflict", err.kind)
        assert.falsy(err.retryable)
        assert.equal(1, posts)
        assert.matches("it is not known whether the %a+ was created", err.message)
      end)
    end

    it("is an error of its own where the service said no: " .. name, function()
      local _, err, posts = deploy(name, {status = 400, json = {error = {message = "no such model"}}})
      assert.equal("invalid", err.kind)
      assert.equal(1, posts)
    end)
  end

  it("is found by its id at Fireworks, if it serves the model", function()
    local id
    local function transport(request)
      if request.method == "POST" then
        id = testing.query(request.url).deploymentId
        return nil, "reset"
      end
      local found = request.url:find(DEPLOYMENTS .. "/" .. id, 1, true)
      local name = "accounts/acme/deployments/" .. id
      return found and {json = {name = name, baseModel = MODEL, state = "CREATING"}} or {status = 404, json = {}}
    end
    local p <close> = provider("fireworks", {account = "acme", transport = transport})
    assert.equal("CREATING", assert(p:deploy_model(MODEL)).status)
    local _, err = p:deploy_model "accounts/acme/models/another"
    assert.equal("conflict", err.kind)
    assert.matches("if it was made all the same, it is .*" .. id:gsub("%-", "%%-"), err.message)
  end)

  it("is found by its name at Nebius, if it is of the same source", function()
    local model = {name = "mine", status = "active", source = SERVICES.nebius.model}
    local found = assert(deploy("nebius", {fail = "reset"}, {["GET /v0/models/mine"] = {json = model}}))
    assert.equal("active", found.status)
    model.source = "https://files.example/another"
    local _, err = deploy("nebius", {fail = "reset"}, {["GET /v0/models/mine"] = {json = model},
      ["GET /v1/models"] = {json = {object = "list", data = {{id = "acme/base-LoRa:mine-x1"}, {id = "acme/other"}}}}})
    assert.equal("conflict", err.kind)
    assert.equal(1, #err.candidates)
    assert.equal("acme/base-LoRa:mine-x1", err.candidates[1].id)
  end)

  it("is among the endpoints that serve the model at Together", function()
    local _, err = deploy("together", {fail = "reset"}, {["GET /v1/endpoints"] = {json = {data = {
      {id = "e1", model = "me/m", name = "n1", state = "PENDING"},
      {id = "e2", model = "me/m2", name = "n2", state = "PENDING"},
      {id = "e3", model = "me/m", name = "n3", state = "STARTED", created_at = "2020-01-01T00:00:00Z"}}}}})
    assert.equal("conflict", err.kind)
    assert.equal(1, #err.candidates)
    assert.equal("e1", err.candidates[1].id)
  end)
end)

describe("fireworks: cancel_job where there is no :cancel", function()
  -- -> value, err, was it deleted?
  local function cancel(state)
    local deleted, path = false, "/v1/accounts/acme/dpoJobs/j"
    local transport = testing.routes {
      ["POST " .. path .. ":cancel"] = function() return {status = 501, json = {}} end,
      ["GET " .. path] = function() return {json = {name = "accounts/acme/dpoJobs/j", state = state}} end,
      ["DELETE " .. path] = function()
        deleted = true
        return {json = {}}
      end,
    }
    local p <close> = provider("fireworks", {account = "acme", transport = transport})
    local value, err = p:cancel_job "accounts/acme/dpoJobs/j"
    return value, err, deleted
  end

  it("deletes a job that runs, and no other", function()
    local job, _, deleted = cancel "JOB_STATE_RUNNING"
    assert.equal("cancelled", job.status)
    assert.is_true(deleted)
    job, _, deleted = cancel "JOB_STATE_COMPLETED"
    assert.equal("succeeded", job.status)
    assert.is_false(deleted)
    local none, err
    for _, state in ipairs {"JOB_STATE_NEW_WORD", 7} do
      none, err, deleted = cancel(state)
      assert.is_nil(none)
      assert.equal("conflict", err.kind)
      assert.matches("was not deleted", err.message)
      assert.is_false(deleted)
    end
  end)
end)

describe("fireworks: undeploy_model", function()
  it("ends although the list of deployments does not", function()
    local n = 0
    local transport = testing.routes {
      ["GET /v1/" .. MODEL] = function() return {json = {name = MODEL}} end,
      ["GET " .. DEPLOYMENTS] = function()
        n = n + 1
        return {json = {nextPageToken = "t" .. n, deployments = {{name = "accounts/acme/deployments/d" .. n}}}}
      end,
    }
    local p <close> = provider("fireworks", {account = "acme", transport = transport})
    local none, err = p:undeploy_model(MODEL)
    assert.is_nil(none)
    assert.equal("decode", err.kind)
    assert.matches("does not end", err.message)
    assert.equal(50, n)
  end)

  it("says which were taken off before one could not be", function()
    local list = {}
    for i = 1, 3 do list[i] = {name = "accounts/acme/deployments/d" .. i, baseModel = MODEL} end
    local transport = testing.routes {
      ["GET /v1/" .. MODEL] = function() return {json = {name = MODEL}} end,
      ["GET " .. DEPLOYMENTS] = function() return {json = {deployments = list}} end,
      ["DELETE " .. DEPLOYMENTS .. "/{id}"] = function(_, id)
        return id == "d3" and {status = 403, json = {message = "is protected"}} or {json = {}}
      end,
    }
    local p <close> = provider("fireworks", {account = "acme", transport = transport})
    local none, err = p:undeploy_model(MODEL)
    assert.is_nil(none)
    assert.equal("permission", err.kind)
    assert.matches("deployments/d3 could not be taken off: is protected.*%(taken off: .*/d1, .*/d2%)", err.message)
  end)
end)
