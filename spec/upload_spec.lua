-- Uploads over real sockets: in one form and in parts, byte for byte, with progress;
-- what breaks on the way; what is left on the service when a call is given up.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local CONTENT = live.lines(20000) -- 1.8 MB
local NAME = {filename = "t.jsonl"}

local s

setup(function() s = service.start() end)

teardown(function() s:stop() end)

before_each(function() s:reset() end)

after_each(live.clean)

local function with(more)
  local options = {filename = "t.jsonl"}
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end

local function uploads()
  local list = {}
  for _, upload in pairs(s:state().uploads) do list[#list + 1] = upload end
  return list
end

local function count(path) return #s:requests {method = "POST", path = path} end

-- on_progress, and what it was told
local function recorder()
  local told = {}
  return function(done, total) told[#told + 1] = {done, total} end, told
end

local function rises_to(told, total)
  assert.is_true(#told > 0)
  local last = -1
  for _, pair in ipairs(told) do
    assert.equal(total, pair[2])
    assert.is_true(pair[1] > last and pair[1] <= total)
    assert.equal("integer", math.type(pair[1]))
    last = pair[1]
  end
  assert.equal(total, last)
end

describe("an upload in one form", function()
  it("arrives byte for byte", function()
    local path = live.file(CONTENT)
    local on_progress, told = recorder()
    local file = assert(live.provider(s):upload_file(path, with {on_progress = on_progress}))
    assert.equal(#CONTENT, file.bytes)
    assert.equal(live.sha256(path), s:sha256(file.id))
    local request = s:requests()[1]
    assert.equal(1, count "/files$")
    assert.equal(request.length, tonumber(request.header["content-length"])) -- not chunked
    assert.is_nil(request.header.expect)
    assert.same({"purpose", "fine-tune"}, {request.parts[1].name, request.parts[1].value})
    local part = request.parts[2]
    assert.same({"file", "t.jsonl", #CONTENT}, {part.name, part.filename, part.length})
    rises_to(told, #CONTENT)
  end)

  it("keeps strange names in their place", function()
    local path = live.file(live.lines(20))
    for name, seen in pairs {
      ['a"b.jsonl'] = "a%22b.jsonl", ["a\r\nX-Evil: 1.jsonl"] = "a%0D%0AX-Evil: 1.jsonl", ["ü ö.jsonl"] = "ü ö.jsonl",
    } do
      s:clear()
      assert(live.provider(s):upload_file(path, {filename = name}))
      local request = s:requests()[1]
      assert.equal(2, #request.parts)
      assert.equal(seen, request.parts[2].filename)
    end
  end)

  for what, fields in pairs {
    ["breaks off"] = {kind = "reset", at = "upload", bytes = 100000}, ["is not answered"] = {kind = "reset"},
    ["is refused early"] = {kind = "status", status = 503, early = true},
    ["is too much"] = {kind = "status", status = 429, retry_after_ms = 5},
  } do
    it("that " .. what .. " is repeated, whole", function()
      fields.path = "/files$"
      s:fault(fields)
      local path = live.file(CONTENT)
      local on_progress, told = recorder()
      local file = assert(live.provider(s):upload_file(path, with {on_progress = on_progress}))
      assert.equal(live.sha256(path), s:sha256(file.id))
      assert.equal(2, count "/files$")
      rises_to(told, #CONTENT)
    end)
  end

  it("that always breaks off is a transport error", function()
    s:fault {kind = "reset", at = "upload", bytes = 100000, path = "/files$", times = "always"}
    -- by a name of its own: no used connection, on which libcurl would repeat it by itself
    local provider = live.provider((s.url:gsub("127%.0%.0%.1", "localhost")), {api_key = s.key})
    local err = live.failed(provider:upload_file(live.file(CONTENT), NAME))
    assert.equal("transport", err.kind)
    assert.equal(3, err.attempts)
    assert.is_true(err.retryable)
    assert.equal(3, count "/files$")
    assert.equal(0, s:stats().complete_posts)
    assert.is_nil(next(s:state().files))
  end)

  it("that is refused before it was read says why", function()
    s:fault {kind = "status", status = 413, message = "too big", early = true, times = "always", path = "/files$"}
    local err = live.failed(live.provider(s):upload_file(live.file(CONTENT), NAME))
    assert.equal("invalid", err.kind)
    assert.equal(413, err.status)
    assert.equal("too big", err.message)
    assert.equal(1, err.attempts)
  end)

  it("can wait until the file is processed", function()
    s:set {file_seconds = 0.1}
    local file = assert(live.provider(s):upload_file(live.file(CONTENT), with {wait = true}))
    assert.equal("processed", file.status)
    assert.is_true(#s:requests {method = "GET"} >= 2)
  end)

  it("can wait in vain", function()
    s:set {file_seconds = 3600}
    local err = live.failed(live.provider(s):upload_file(live.file(CONTENT), with {wait = true, wait_timeout = 0.1}))
    assert.equal("timeout", err.kind)
    assert.truthy(s:state().files[err.file.id])
    s:reset()
    s:set {file_fate = "error"}
    err = live.failed(live.provider(s):upload_file(live.file(CONTENT), with {wait = true}))
    assert.equal("data", err.kind)
  end)
end)

describe("a file that cannot be sent", function()
  local function data_error(path, words)
    for _, more in ipairs {{}, {part_size = 100}} do
      local err = live.failed(live.provider(s):upload_file(path, with(more)))
      assert.equal("data", err.kind)
      assert.matches(words, err.message)
      assert.matches(path, err.message, 1, true)
    end
    assert.equal(0, #s:requests())
  end

  it("because it is empty", function() data_error(live.file "", "empty") end)
  it("because it is a directory", function() data_error("/tmp", "directory") end)
  it("because it is missing", function() data_error("/nonexistent/x.jsonl", "No such file") end)

  it("because it is a FIFO, which does not hang", function()
    local path = live.path()
    os.remove(path)
    assert(os.execute("mkfifo " .. path))
    local took = live.timed(function() data_error(path, "regular file") end)
    assert.is_true(took < 60, took)
  end)

  it("because it is a device", function() data_error("/dev/zero", "regular file") end)
end)

describe("an upload in parts", function()
  local PART = 200000

  it("arrives byte for byte, several parts at once", function()
    s:set {latency = 0.03}
    local path = live.file(CONTENT)
    local on_progress, told = recorder()
    local file = assert(live.provider(s):upload_file(path, with {part_size = PART, on_progress = on_progress}))
    assert.equal(live.sha256(path), s:sha256(file.id))
    local parts = s:requests {path = "/parts$"}
    assert.equal((#CONTENT + PART - 1) // PART, #parts)
    assert.equal(1, count "/uploads$")
    assert.equal(1, count "/complete$")
    local overlap, most = 0, 0
    for _, a in ipairs(parts) do
      local at_once = 0
      for _, b in ipairs(parts) do
        if b.time <= a.time and a.time < b.time + b.taken then at_once = at_once + 1 end
      end
      overlap, most = overlap + (at_once > 1 and 1 or 0), math.max(most, at_once)
    end
    assert.is_true(overlap >= 4, overlap)
    assert.is_true(most > 1 and most <= 4, most)
    rises_to(told, #CONTENT)
  end)

  for what, fields in pairs {
    ["breaks off"] = {kind = "reset", at = "upload", bytes = 1000}, ["is not answered"] = {kind = "close"},
    ["meets 500"] = {kind = "status", status = 500},
    ["meets 429"] = {kind = "status", status = 429, retry_after_ms = 5},
  } do
    it("repeats by itself the part that " .. what, function()
      fields.path, fields.skip = "/parts$", 2
      s:fault(fields)
      local path = live.file(CONTENT)
      local on_progress, told = recorder()
      local file = assert(live.provider(s):upload_file(path, with {part_size = PART, on_progress = on_progress}))
      assert.equal(live.sha256(path), s:sha256(file.id))
      assert.equal((#CONTENT + PART - 1) // PART + 1, count "/parts$")
      assert.equal(1, count "/uploads$")
      rises_to(told, #CONTENT)
    end)
  end

  local function is_cancelled()
    assert.equal(1, count "/cancel$")
    local list = uploads()
    assert.equal(1, #list)
    assert.equal("cancelled", list[1].status)
  end

  it("says that the file may be there when the answer to the completion was lost", function()
    s:fault {kind = "reset", path = "/complete$", apply = true}
    local err = live.failed(live.provider(s):upload_file(live.file(CONTENT), with {part_size = PART}))
    assert.equal("invalid", err.kind) -- the repetition is refused
    assert.matches("may have completed the upload: list_files tells", err.message)
  end)

  it("is cancelled on the service when a part fails for good", function()
    s:fault {kind = "status", status = 400, message = "bad part", path = "/parts$", skip = 2, times = "always"}
    local err = live.failed(live.provider(s):upload_file(live.file(CONTENT), with {part_size = PART}))
    assert.equal("invalid", err.kind)
    assert.equal("bad part", err.message)
    assert.equal(0, count "/complete$")
    is_cancelled()
  end)

  it("is cancelled on the service when a part breaks off always", function()
    s:fault {kind = "reset", at = "upload", bytes = 100, path = "/parts$", skip = 3, times = "always"}
    local err = live.failed(live.provider(s):upload_file(live.file(CONTENT), with {part_size = PART}))
    assert.equal("transport", err.kind)
    assert.equal(3, err.attempts)
    is_cancelled()
  end)

  it("is a data error when the file changes meanwhile, and cancelled", function()
    for _, change in ipairs {
      function(path) assert(os.execute("touch -d '2001-01-01' " .. path)) end,
      function(path) assert(os.execute("truncate -s +1 " .. path)) end,
      function(path) assert(os.execute("truncate -s 1000 " .. path)) end,
      function(path) os.remove(path) end,
    } do
      s:reset()
      s:set {latency = 0.05}
      local path = live.file(CONTENT)
      local provider = live.provider(s)
      local call = provider:async("upload_file", path, with {part_size = PART})
      live.until_true(function() return #s:requests {path = "/parts$"} >= 2 end)
      change(path)
      local err = live.failed(call:await())
      assert.equal("data", err.kind)
      assert.matches(path, err.message, 1, true)
      assert.equal(0, count "/complete$")
      s:set {latency = 0}
      is_cancelled()
    end
  end)

  -- A call that is given up while its parts are under way
  local function under_way(config)
    s:fault {kind = "stall", path = "/parts$", skip = 1, times = "always"}
    local provider = live.provider(s, config)
    local call = provider:async("upload_file", live.file(CONTENT), with {part_size = PART})
    live.until_true(function() return #s:requests {path = "/parts$"} >= 4 end)
    return call, provider
  end

  local function is_dropped(call)
    assert.is_true(call:done())
    assert.equal("cancelled", live.failed(call:result()).kind)
    live.until_true(function() return count "/cancel$" > 0 and uploads()[1].status == "cancelled" end)
    is_cancelled()
    assert.equal(0, finetune.pending())
  end

  it("is cancelled on the service when the call is", function()
    local call = under_way()
    local took, was_running = live.timed(function() return call:cancel() end)
    assert.is_true(was_running)
    assert.is_true(took < 2, took)
    is_dropped(call)
    assert.is_false(call:cancel())
  end)

  it("is cancelled on the service when the call goes out of scope", function()
    local kept
    do
      local call <close> = under_way()
      kept = call
    end
    is_dropped(kept)
  end)

  it("is cancelled on the service when its provider closes", function()
    local call, provider = under_way()
    provider:close()
    is_dropped(call)
    assert.equal("usage", live.failed(provider:get_job("x")).kind)
  end)

  for what, last in pairs {
    ["ends"] = "", ["ends by os.exit(true, true)"] = "os.exit(true, true)", ["ends with an error"] = "error 'enough'",
  } do
    it("is cancelled on the service when the process " .. what, function()
      s:fault {kind = "stall", path = "/parts$", skip = 1, times = "always"}
      local path = live.file(CONTENT)
      local status, output = live.child([[
        local url, key, path = ...
        local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key}))
        local call = provider:async("upload_file", path, {filename = "t.jsonl", part_size = 200000})
        for _ = 1, 20 do finetune.step(0.01) end
      ]] .. last, s.url, s.key, path)
      assert.equal(last:find "^error" and 1 or 0, status, output)
      is_cancelled()
    end)
  end
end)

describe("a file of 1 GiB", function()
  local CODE = [[
    local url, key, path, part_size = ...
    local provider = assert(finetune.create_provider("openai", {base_url = url, api_key = key,
      quirks = {upload_limit = 1 << 31}}))
    local last = 0
    local file = assert(provider:upload_file(path, {filename = "t.jsonl", purpose = "batch",
      part_size = tonumber(part_size), on_progress = function(done) last = done end}))
    assert(last == 1 << 30, last)
    print(file.bytes, live.peak())
  ]]

  local function run(part_size)
    s:set {max_file_bytes = 1 << 31, hash = false}
    local path = live.sparse(1 << 30)
    local status, output = live.child(CODE, s.url, s.key, path, part_size or "one form")
    assert.equal(0, status, output)
    local bytes, peak = output:match "^(%d+)\t(%d+)"
    assert.equal(1 << 30, tonumber(bytes))
    assert.is_true(tonumber(peak) <= 16 * 1024, ("peak RSS: %s KiB"):format(peak))
  end

  it("goes up in parts in 16 MiB of memory", function() run(64 << 20) end)
  it("goes up in one form in 16 MiB of memory", function() run() end)
end)

describe("a transfer of a file that stalls", function()
  it("ends some seconds after its limit, which is one of slowness", function()
    local provider = live.provider(s, {max_retries = 0})
    local stored = assert(provider:upload_file(live.file(CONTENT), NAME))
    s:fault {kind = "stall", at = "upload", bytes = 100000, path = "/files$", times = "always"}
    s:fault {kind = "stall", at = "body", bytes = 1000, path = "/content$", times = "always"}
    local path, output = live.sparse(64 << 20), live.path()
    os.remove(output)
    local took, errors = live.timed(function()
      local up = provider:async("upload_file", path, {filename = "t.jsonl", timeout = 1})
      local down = provider:async("download_file", stored, {output = output, timeout = 1})
      return {live.failed(up:await()), live.failed(down:await())}
    end)
    assert.is_true(took >= 1 and took < 60, took)
    for _, err in ipairs(errors) do
      assert.equal("timeout", err.kind)
      assert.equal(1, err.attempts)
    end
    assert.is_nil(io.open(output))
  end)
end)
