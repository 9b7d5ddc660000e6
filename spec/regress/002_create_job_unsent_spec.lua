-- create_job answered `conflict` ("it is not known whether the job was created") where no
-- connection, no handshake or no proxy tunnel had come about, and where the service had
-- answered with a redirect that is not followed: err.sent was never set, nor err.status.

local live = require "spec.support.live"
local service = require "spec.support.service"

local PARAMS = {model = "m", training_file = "file-x", wait_for_files = false}

describe("create_job that was certainly not carried out", function()
  it("is a transport error where nothing could be sent", function()
    local refused = live.failed(live.provider(service.refused_url()):create_job(PARAMS))
    assert.same({"transport", false}, {refused.kind, refused.sent})
    local s <close> = service.start {tls = "untrusted"}
    local untrusted = live.failed(live.provider(s):create_job(PARAMS))
    assert.same({"transport", false}, {untrusted.kind, untrusted.sent})
    assert.matches("not trusted", untrusted.message)
  end)

  it("is a transport error where it was redirected", function()
    local s <close> = service.start()
    s:fault {kind = "redirect", location = "http://elsewhere.invalid/", times = "always"}
    local err = live.failed(live.provider(s):create_job(PARAMS))
    assert.same({"transport", 307}, {err.kind, err.status})
    assert.equal(1, #s:requests())
  end)
end)
