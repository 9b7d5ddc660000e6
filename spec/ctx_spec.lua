-- ctx: the parts of it that are neither requests nor pages: times, and what is sent when an operation is cancelled.

local core = require "finetune.core"
local finetune = require "finetune"

local time = core.context.time

-- A provider whose get_job is f, and an instance of it over the transport
local function instance(f, transport)
  local P = {name = "ctx_spec", base_url = "https://api.example/v1"}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = finetune.unsupported "not here"
  end
  P.get_job = f
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider("ctx_spec", {api_key = "k-12345678", transport = transport, max_retries = 0}))
end

describe("ctx.time", function()
  it("reads RFC 3339", function()
    assert.equal(0, time "1970-01-01T00:00:00Z")
    assert.equal(-1, time "1969-12-31T23:59:59Z")
    assert.equal(1795342830, time "2026-11-22T10:20:30Z")
    assert.equal(1795342830, time "2026-11-22t11:20:30.999+01:00")
    assert.equal(1795342830, time "2026-11-22 04:50:30-0530")
    assert.equal(1709208000, time "2024-02-29T12:00:00.123456789Z")
    assert.equal(951782400, time "2000-02-29T00:00:00Z")
  end)

  it("agrees with the system's calendar on every day of 40 years", function()
    for day = 0, 40 * 365 do
      local text = os.date("!%Y-%m-%dT%H:%M:%SZ", day * 86400 + 3661)
      assert.equal(day * 86400 + 3661, time(text), text)
    end
  end)

  it("passes numbers on, whole", function()
    assert.equal(12, time(12))
    assert.equal(12, time(12.9))
  end)

  it("is nil for what is no time", function()
    for _, value in ipairs {"", "now", "2026-11-22", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
      "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
      "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+1:00",
      "2026-01-01T00:00:00123Z", {}, true, 0 / 0, math.huge} do
      assert.is_nil(time(value), tostring(value))
    end
  end)
end)

describe("ctx:on_cancel", function()
  local sent

  local function transport(request)
    sent[#sent + 1] = request
    return {status = 200, json = {}}
  end

  before_each(function() sent = {} end)
  after_each(function() finetune.unregister "ctx_spec" end)

  local function cancelled(f)
    local provider <close> = instance(f, transport)
    local call = provider:async("get_job", "j")
    finetune.step(0)
    assert.is_true(call:cancel())
    for _ = 1, 3 do finetune.step(0.01) end
    assert.equal("cancelled", select(2, call:result()).kind)
  end

  it("sends its request when the operation is cancelled", function()
    cancelled(function(ctx)
      ctx:on_cancel {method = "DELETE", path = "/uploads/1"}
      ctx:sleep(60)
    end)
    assert.equal(1, #sent)
    assert.equal("DELETE", sent[1].method)
    assert.equal("https://api.example/v1/uploads/1", sent[1].url)
    assert.equal("Bearer k-12345678", sent[1].headers.authorization)
  end)

  it("sends the last one, and none after nil", function()
    cancelled(function(ctx)
      ctx:on_cancel {method = "DELETE", path = "/uploads/1"}
      ctx:on_cancel {method = "DELETE", path = "/uploads/2"}
      ctx:sleep(60)
    end)
    assert.matches("/uploads/2$", sent[1].url)
    sent = {}
    cancelled(function(ctx)
      ctx:on_cancel {method = "DELETE", path = "/uploads/1"}
      ctx:on_cancel(nil)
      ctx:sleep(60)
    end)
    assert.same({}, sent)
  end)

  it("sends nothing when the operation ends by itself, well or not", function()
    for _, answer in ipairs {{id = "j", status = "x"}, false} do
      local provider <close> = instance(function(ctx)
        ctx:on_cancel {method = "DELETE", path = "/uploads/1"}
        if answer then return answer end
        return ctx.fail("invalid", "no")
      end, transport)
      provider:get_job "j"
      finetune.step(0)
    end
    assert.same({}, sent)
  end)

  it("takes a request or nil", function()
    local provider <close> = instance(function(ctx) ctx:on_cancel "DELETE /x" end, transport)
    local _, err = provider:get_job "j"
    assert.matches("ctx:on_cancel: takes a request, a table, or nil, not a string", err.message)
  end)
end)
