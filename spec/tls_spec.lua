-- TLS: verified always. A certificate that does not hold costs the request, and the key
-- does not leave.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local function with(mode, f)
  local s <close> = service.start {tls = mode}
  f(s, s:seed {jobs = 1, files = 1})
end

teardown(live.clean)

-- What a bad certificate does to reads, to uploads, and to what is sent once
local function refused(s, config, words)
  local file = live.file(live.lines(20))
  local provider = live.provider(s, config)
  for what, f in pairs {
    get_job = function() return provider:get_job("ftjob-x") end,
    upload_file = function() return provider:upload_file(file, {filename = "t.jsonl"}) end,
    create_job = function()
      return provider:create_job {model = s.model, training_file = "file-x", wait_for_files = false}
    end,
  } do
    local err = live.failed(f())
    assert.equal("transport", err.kind, what)
    assert.equal(1, err.attempts, what)
    assert.is_false(err.retryable)
    assert.is_false(err.sent)
    assert.is_nil(err.status)
    assert.matches("^the TLS certificate of [%w.]+ is not trusted: ", err.message)
    assert.matches(words, err.message)
    assert.matches("ca_file", err.message)
    assert.is_nil(tostring(err):find(s.key, 1, true))
  end
  assert.equal(0, #s:requests())
  assert.equal(0, s:stats().requests)
end

describe("TLS", function()
  it("with a good certificate and its authority works, and the connection is used again", function()
    with("good", function(s, seeded)
      local provider = live.provider(s)
      for _ = 1, 3 do assert.equal(seeded.jobs[1], assert(provider:get_job(seeded.jobs[1])).id) end
      local requests = s:requests()
      assert.equal(3, #requests)
      assert.equal(requests[1].conn, requests[3].conn)
      local content = live.lines(3000)
      local file = assert(provider:upload_file(live.file(content), {filename = "t.jsonl", part_size = 50000}))
      assert.equal(content, (assert(provider:download_file(file))))
    end)
  end)

  it("without its authority is not trusted", function()
    with("good", function(s) refused(s, {ca_file = "/etc/ssl/certs/ca-certificates.crt"}, "certificate") end)
  end)

  it("of an expired certificate is not trusted", function()
    with("expired", function(s) refused(s, nil, "expired") end)
  end)

  it("of another host's certificate is not trusted", function()
    with("wronghost", function(s) refused(s, nil, "127%.0%.0%.1") end)
  end)

  it("of an unknown authority is not trusted", function()
    with("untrusted", function(s) refused(s, nil, "self%-signed certificate") end)
  end)

  it("has an authority that can be read, or no connection", function()
    with("good", function(s)
      for _, path in ipairs {"/nonexistent/ca.pem", live.file("not a certificate")} do
        local err = live.failed(live.provider(s, {ca_file = path}):get_job("ftjob-x"))
        assert.equal("transport", err.kind)
        assert.equal(1, err.attempts)
        assert.matches("TLS certificate", err.message)
        assert.matches(path, err.message, 1, true)
      end
      assert.equal(0, #s:requests())
    end)
  end)

  it("cannot be turned off", function()
    for _, setting in ipairs {"verify", "insecure", "ssl_verify", "verify_tls"} do
      local ok = pcall(finetune.create_provider, "openai", {api_key = "sk-1234", [setting] = false})
      assert.is_false(ok)
    end
    assert.equal(1, (shell.run "grep -lE 'SSL_VERIFY(PEER|HOST)' csrc/*.c")) -- nobody sets it
  end)

  it("spoken to a plain port is a transport error", function()
    local s <close> = service.start()
    local provider = live.provider((s.url:gsub("^http", "https")), {max_retries = 1})
    local err = live.failed(provider:get_job("ftjob-x"))
    assert.equal("transport", err.kind)
    assert.is_false(err.sent)
    local _, why = provider:create_job {model = "m", training_file = "f", wait_for_files = false}
    assert.equal("transport", why.kind)
    assert.equal(0, #s:requests {path = "jobs"})
  end)

  it("that a plain request meets is a transport error", function()
    with("good", function(s)
      local provider = live.provider((s.url:gsub("^https", "http")), {max_retries = 1})
      local err = live.failed(provider:get_job("ftjob-x"))
      assert.equal("transport", err.kind)
      assert.equal(2, err.attempts)
      assert.equal(0, #s:requests())
    end)
  end)
end)
