-- providers/together.lua, upload_file over the loopback service: the three ways in which a file goes up, which host
-- sees what, what is checked before, and what is left behind when a step fails or is given up.

local finetune = require "finetune"
local json = require "dkjson"
local service = require "spec.support.service"
local whole = require "spec.support.whole"

local CUSTOM = "x-team-secret"

describe("together upload_file", function()
  local s, paths

  lazy_setup(function()
    s = service.start {dialect = "together", job_seconds = 0.1, min_part_bytes = 1}
    whole.watch(s, "together", {more = {[CUSTOM] = "^%u+ /v1/"}}) -- never to the storage
  end)
  lazy_teardown(function() s:stop() end)
  before_each(function()
    s:reset()
    paths = {}
  end)
  after_each(function()
    s:check()
    for _, path in ipairs(paths) do os.remove(path) end
  end)

  local function provider(config)
    local settings = {api_key = s.key, base_url = s.url, retry_delay = 0.001, max_retries = 0, poll_interval = 0.01,
      timeout = 5, headers = {[CUSTOM] = "hush-hush"}}
    for name, value in pairs(config or {}) do settings[name] = value end
    return assert(finetune.create_provider("together", settings))
  end

  local function file_of(text, extension)
    local path = os.tmpname()
    os.remove(path)
    path = path .. (extension or ".jsonl")
    paths[#paths + 1] = path
    local file <close> = assert(io.open(path, "wb"))
    file:write(text)
    return path
  end

  local function lines(filter)
    local list = {}
    for i, r in ipairs(s:requests(filter)) do list[i] = r.method .. " " .. r.path:gsub("%-%w%w%w%w+", "-ID") end
    return list
  end

  -- The headers of a request, but for those that every request has
  local function headers(request)
    local rest = {}
    for name, value in pairs(request.header) do
      if name ~= "host" and name ~= "user-agent" and name ~= "accept-encoding" then rest[name] = value end
    end
    return rest
  end

  local function no_files() return next(s:state().files) == nil end

  -- ---- the way that Together's own libraries go ----

  it("asks for a place, sends the bytes there, and has them processed", function()
    local p = provider()
    local path = file_of "{\"text\":\"a\"}\n"
    local file = assert(p:upload_file(path, {filename = "my data+.jsonl"}))
    assert.same({"my data+.jsonl", 13, "fine-tune", "processed"},
      {file.filename, file.bytes, file.purpose, file.status})
    assert.equal("integer", math.type(file.created_at))
    assert.equal(file.id, file.raw.id)
    local ask, put, process, more = table.unpack(s:requests())
    assert.is_nil(more)
    assert.same({"api", "POST", "/v1/files", 302}, {ask.site, ask.method, ask.target, ask.status})
    assert.equal("file_name=my%20data%2B.jsonl&file_type=jsonl&purpose=fine-tune", ask.body)
    assert.same({accept = "*/*", authorization = "Bearer " .. s.key, [CUSTOM] = "hush-hush",
      ["content-type"] = "application/x-www-form-urlencoded", ["content-length"] = "62"}, headers(ask))
    assert.same({"storage", "PUT", "/uploads/" .. file.id}, {put.site, put.method, put.path})
    assert.same({accept = "*/*", ["content-length"] = "13"}, headers(put))
    assert.equal(s:sha256(file.id), put.sha256)
    assert.same({"api", "POST", "/v1/files/" .. file.id .. "/preprocess", ""},
      {process.site, process.method, process.target, process.body})
    assert.same({accept = "application/json", authorization = "Bearer " .. s.key, [CUSTOM] = "hush-hush",
      ["content-type"] = "application/json", ["content-length"] = "0"}, headers(process))
  end)

  it("tells the purpose, the type by the extension, and what is extra", function()
    local p = provider()
    for extension, kind in pairs {[".jsonl"] = "jsonl", [".parquet"] = "parquet", [".CSV"] = "csv"} do
      local file = assert(p:upload_file(file_of("x", extension), {purpose = "eval"}))
      assert.same({kind, "eval"}, {file.raw.FileType, file.purpose})
    end
    s:clear()
    assert(p:upload_file(file_of "x", {filename = "a.csv", extra = {checksum = "f00"}}))
    assert.equal("checksum=f00&file_name=a.csv&file_type=csv&purpose=fine-tune", s:requests()[1].body)
  end)

  it("waits until the file is processed, in the older words and the newer", function()
    for _, newer in ipairs {false, true} do
      s:set {file_seconds = 0.1, processing_status = newer, file_fate = "processed"}
      local p = provider()
      assert.equal("uploaded", assert(p:upload_file(file_of "x")).status)
      assert.equal("processed", assert(p:upload_file(file_of "x", {wait = true})).status)
    end
    s:set {file_fate = "error"}
    local file, err = provider():upload_file(file_of "x", {wait = true})
    assert.is_nil(file)
    assert.equal("data", err.kind)
    assert.matches("Line 7: `messages%[1%]` must have a `role`", err.message)
    s:set {processing_status = false}
    file, err = provider():upload_file(file_of "x", {wait = true, wait_timeout = 0.05})
    assert.is_nil(file)
    assert.equal("timeout", err.kind)
  end)

  it("reports progress", function()
    local last, total
    assert(provider():upload_file(file_of(("x"):rep(200000)), {on_progress = function(a, b) last, total = a, b end}))
    assert.same({200000, 200000}, {last, total})
  end)

  -- ---- what is refused before anything is sent ----

  it("refuses what Together would not take", function()
    local p = provider {upload_total = 10}
    local cases = {
      {file_of("x", ".txt"), "data", "takes %.jsonl, %.parquet and %.csv"},
      {file_of("x", ""), "data", "takes %.jsonl"},
      {file_of "", "data", "is empty"},
      {"/nonexistent/x.jsonl", "data", "No such file"},
      {file_of "12345678901", "data", "has 11 bytes, and the service takes 10 at most"},
      {file_of "x", "invalid", "do not expire", {expires_after = {seconds = 3600}}},
    }
    for _, case in ipairs(cases) do
      local file, err = p:upload_file(case[1], case[4])
      assert.is_nil(file)
      assert.equal(case[2], err.kind)
      assert.matches(case[3], err.message)
    end
    assert.equal(0, #s:requests())
    assert(p:upload_file(file_of "1234567890"))
  end)

  it("has Together's own limits", function()
    local config = finetune.get_provider "together".config
    assert.same({5 << 30, 53794465382, 250 << 20, 250, 40, "redirect"}, {config.upload_limit, config.upload_total,
      config.part_size, config.max_parts, config.suffix_limit, config.upload_route[1]})
    for _, bad in ipairs {{"upload_route", "pigeon"}, {"upload_limit", 0}, {"max_parts", -1}, {"part_size", 1.5}} do
      local ok, err = pcall(finetune.create_provider, "together", {[bad[1]] = bad[2]})
      assert.is_false(ok)
      assert.matches("setting '" .. bad[1] .. "' must be", err)
    end
  end)

  -- ---- where the file may go ----

  local function redirect_to(location, id)
    local headers_sent = {location = location}
    if id ~= false then headers_sent["x-together-file-id"] = id or "file-1" end
    s:fault {kind = "status", status = 302, method = "POST", path = "/files$", headers = headers_sent, body = ""}
  end

  it("never sends it to an address that is not safe", function()
    local other = s.storage:match "://(.*)"
    for _, location in ipairs {"http://storage.example/x", "ftp://127.0.0.1/x", "/relative", "//" .. other .. "/x",
      "http://127.0.0.1@" .. other .. "/x", "http://localhost.evil.example/x", "http://127.0.0.1.evil.example/x",
      "https://user@" .. other .. "/x", "file:///etc/passwd", "http:///x", "https:// /x", "http://[::2]/x"} do
      s:clear()
      redirect_to(location)
      local file, err = provider():upload_file(file_of "x")
      assert.is_nil(file, location)
      assert.equal("decode", err.kind, location)
      assert.same({"POST /v1/files", "DELETE /v1/files/file-1"}, lines(), location)
    end
  end)

  it("sends nothing over http from an API elsewhere to this machine", function()
    local asked = {}
    local p = provider {base_url = "https://api.together.example/v1", transport = function(request)
      asked[#asked + 1] = request.method .. " " .. request.url
      return {status = 302, headers = {location = s.storage .. "/x", ["x-together-file-id"] = "f"}}
    end}
    local file, err = p:upload_file(file_of "x")
    assert.is_nil(file)
    assert.equal("decode", err.kind)
    assert.equal("POST https://api.together.example/v1/files", asked[1])
    for _, line in ipairs(asked) do assert.is_nil(line:find("PUT", 1, true)) end
  end)

  it("takes any host over https, and gives it no credentials", function()
    local sent
    local p = provider {base_url = "https://api.together.example/v1", transport = function(request)
      if request.method == "PUT" then
        sent = request
        return {status = 200}
      elseif request.url:find "preprocess" then
        return {status = 200, json = {id = "file-1", Processed = true}}
      end
      return {status = 302, body = "<a href=\"elsewhere\">Found</a>",
        headers = {Location = "https://any.storage.example:9/b?sig=1", ["X-Together-File-Id"] = "f"}}
    end}
    assert(p:upload_file(file_of "x"))
    assert.equal("https://any.storage.example:9/b?sig=1", sent.url)
    assert.is_nil(sent.headers.authorization or sent.headers.Authorization)
    assert.is_nil(sent.headers[CUSTOM])
  end)

  it("needs the address and the id", function()
    redirect_to(nil)
    local _, err = provider():upload_file(file_of "x")
    assert.equal("decode", err.kind)
    redirect_to(s.storage .. "/uploads/x", false)
    _, err = provider():upload_file(file_of "x")
    assert.equal("decode", err.kind)
    assert.matches("X%-Together%-File%-Id", err.message)
    for _, id in ipairs {"..", "a/b", "a?b"} do
      redirect_to(s.storage .. "/uploads/x", id)
      _, err = provider():upload_file(file_of "x")
      assert.equal("decode", err.kind)
    end
    assert.same({}, s:requests {method = "DELETE", path = "^/v1/?$"})
    s:fault {kind = "status", status = 200, method = "POST", path = "/files$", body = "{}"}
    _, err = provider():upload_file(file_of "x")
    assert.equal("decode", err.kind)
    assert.same({}, lines {site = "storage"})
  end)

  -- ---- in one form ----

  it("goes as a form to the API's own host where upload_route says so", function()
    local p = provider {upload_route = "form"}
    local file = assert(p:upload_file(file_of "hello", {filename = "h.jsonl"}))
    local request, more = table.unpack(s:requests())
    assert.is_nil(more)
    assert.same({"api", "POST", "/v1/files/upload"}, {request.site, request.method, request.target})
    assert.matches("^multipart/form%-data; boundary=", request.header["content-type"])
    assert.equal("Bearer " .. s.key, request.header.authorization)
    local form = {}
    for _, part in ipairs(request.parts) do form[part.name] = part.value or part.filename end
    assert.same({file = "h.jsonl", file_name = "h.jsonl", file_type = "jsonl", purpose = "fine-tune"}, form)
    assert.same({"file", 5}, {request.parts[4].name, request.parts[4].length})
    assert.equal("processed", file.status)
  end)

  -- ---- in parts ----

  it("goes in parts above the limit, four at a time", function()
    s:set {latency = 0.02}
    local text = ("0123456789"):rep(10) .. "x" -- 101 bytes
    local file = assert(provider {upload_limit = 100, part_size = 10}:upload_file(file_of(text)))
    assert.equal(101, file.bytes)
    local start = s:requests {path = "initiate$"}[1]
    assert.same({file_name = paths[1]:match "[^/]*$", file_size = 101, file_type = "jsonl", num_parts = 11,
      purpose = "fine-tune"}, json.decode(start.body))
    assert.equal("Bearer " .. s.key, start.header.authorization)
    local puts, most = s:requests {method = "PUT"}, 0
    table.sort(puts, function(a, b) return a.time < b.time end)
    for i, put in ipairs(puts) do
      local n = 1
      for j = 1, i - 1 do
        if puts[j].time + puts[j].taken > put.time then n = n + 1 end
      end
      most = math.max(most, n)
      local token = put.header["x-part-token"]
      assert.same({accept = "*/*", ["content-length"] = tostring(put.length), ["x-part-token"] = token}, headers(put))
    end
    assert.same({11, 4}, {#puts, most})
    local done = s:requests {path = "complete$"}[1]
    local sent = json.decode(done.body).parts
    assert.equal(11, #sent)
    for i, part in ipairs(sent) do assert.same({i, 32}, {part.part_number, #part.etag}) end
    assert.equal("completed", select(2, next(s:state().uploads)).status)
    assert.equal(13, #s:requests())
    local plain = assert(provider():upload_file(paths[1]))
    assert.equal(s:sha256(plain.id), s:sha256(file.id))
  end)

  it("cuts a file of every size so that the parts are it again", function()
    local text = ""
    for i = 1, 60 do text = text .. string.char(48 + i % 40) end
    for _, case in ipairs {{1, 1, 250}, {2, 1, 250}, {9, 1, 4}, {10, 1, 4}, {12, 4, 250}, {13, 4, 250}, {12, 5, 250},
      {16, 3, 250}, {59, 7, 250}, {60, 60, 250}, {60, 59, 250}, {60, 1, 7}, {49, 1, 8}} do
      local size, wanted, most = table.unpack(case)
      s:clear()
      local p = provider {part_size = wanted, max_parts = most, upload_limit = 1, upload_total = 60}
      local path = file_of(text:sub(1, size))
      local file = assert(p:upload_file(path, size == 1 and {part_size = 1} or nil))
      assert.equal(size, file.bytes)
      assert.equal(text:sub(1, size), assert(p:download_file(file)))
      local puts = s:requests {method = "PUT"}
      assert.is_true(#puts <= most)
      for _, put in ipairs(puts) do assert.is_true(put.length > 0) end
    end
  end)

  it("plans 50.1 GiB in at most 250 parts, with nothing lost", function()
    local parts = require "finetune.core".context.parts
    for _, bytes in ipairs {5 * (1 << 30) + 1, 53794465382, 250 * (250 << 20), 250 * (250 << 20) + 1, 10 << 30} do
      local n, size = parts(bytes, 250 << 20, 250)
      assert.is_true(n <= 250)
      assert.is_true((n - 1) * size < bytes and n * size >= bytes, tostring(bytes))
      assert.is_true(size >= 5 << 20)
    end
    assert.same({40, 250 << 20}, {parts(40 * (250 << 20), 250 << 20, 250)})
  end)

  it("takes the file in the answer to `complete`, wrapped or not", function()
    s:set {complete_wraps = true}
    assert.equal(6, assert(provider():upload_file(file_of "abcdef", {part_size = 2})).bytes)
  end)

  -- ---- what goes wrong ----

  local function upload_with(fault, config, params)
    s:clear()
    s:fault(fault)
    local file, err = provider(config):upload_file(file_of "abcdefgh", params)
    assert.is_nil(file, json.encode(fault))
    assert.is_true(finetune.is_error(err))
    for _, secret in ipairs {s.key, "hush-hush", "X-Signature=sig-"} do
      assert.is_nil(tostring(err):find(secret, 1, true), tostring(err))
    end
    return err
  end

  local TROUBLE = { -- fault -> the kinds of error that may come of it
    {{kind = "status", status = 500}, server = true},
    {{kind = "status", status = 403, message = "no"}, permission = true},
    {{kind = "reset"}, transport = true},
    {{kind = "close"}, transport = true},
    {{kind = "stall"}, timeout = true},
  }

  local function each_step(steps, params, undo)
    for _, step in ipairs(steps) do
      for i, trouble in ipairs(TROUBLE) do
        if step.quick and i == #TROUBLE then break end -- libcurl takes 7 s to call so small an upload stalled
        local fault = {method = step[1], path = step[2], times = "always"}
        for name, value in pairs(trouble[1]) do fault[name] = value end
        local err = upload_with(fault, {timeout = fault.kind == "stall" and 0.1 or 5}, params)
        assert.is_true(trouble[err.kind], ("%s at %s: %s"):format(fault.kind, step[2], tostring(err)))
        local last = lines()[#lines()]
        if step.begun then assert.equal(undo, last, fault.kind) else assert.not_equal(undo, last) end
        assert.is_true(no_files(), ("%s at %s left a file"):format(fault.kind, step[2]))
      end
    end
  end

  it("takes back what it began when a step of the redirected way fails", function()
    each_step({{"POST", "/files$"}, {"PUT", "^/uploads/", begun = true, quick = true},
      {"POST", "/preprocess$", begun = true}}, nil, "DELETE /v1/files/file-ID")
  end)

  it("aborts when a step of the way in parts fails", function()
    each_step({{"POST", "/initiate$"}, {"PUT", "^/parts/.*/2$", begun = true}, {"POST", "/complete$", begun = true}},
      {part_size = 2}, "POST /v1/files/multipart/abort")
  end)

  it("survives garbage at each step", function()
    for _, step in ipairs {{"/preprocess$"}, {"/initiate$", true}, {"/complete$", true}} do
      for _, fault in ipairs {{kind = "html"}, {kind = "truncate"}, {kind = "bad_utf8"}, {kind = "deep"},
        {kind = "empty"}, {kind = "status", status = 200, body = "[]"}, {kind = "status", status = 200, body = "3"}} do
        fault.path = step[1]
        local err = upload_with(fault, nil, step[2] and {part_size = 4})
        assert.equal("decode", err.kind, fault.kind .. step[1])
      end
    end
  end)

  it("refuses a list of parts that is not the one it asked for", function()
    local good = s.storage .. "/parts/x"
    local function place(n, url, headers_of_it) return {PartNumber = n, URL = url or good, Headers = headers_of_it} end
    for _, parts in ipairs {{}, {place(1)}, {place(1), place(1)}, {place(1), place(3)}, {place(0), place(1)},
      {place(1), place "2"}, {place(1), place(1.5)}, {place(1), place(2), place(3)}, {place(1), 7}, {place(1), {}},
      {place(1), place(2, "http://elsewhere.example/x")}, {place(1), place(2, good, {["a b"] = "c"})},
      {place(1), place(2, good, {a = "b\r\nc: d"})}, {place(1), place(2, good, {a = {}})},
      {place(1), place(2, good, "no")}} do
      s:clear()
      s:fault {kind = "status", status = 200, path = "/initiate$",
        body = {upload_id = "u", file_id = "f", parts = setmetatable(parts, {__jsontype = "array"})}}
      local file, err = provider():upload_file(file_of "abcd", {part_size = 2})
      assert.is_nil(file)
      assert.equal("decode", err.kind)
      assert.same({"POST /v1/files/multipart/initiate", "POST /v1/files/multipart/abort"}, lines())
    end
    for _, body in ipairs {{}, {upload_id = "u"}, {upload_id = 1, file_id = {}}} do
      local err = upload_with({kind = "status", status = 200, path = "/initiate$", body = body}, nil, {part_size = 4})
      assert.equal("decode", err.kind)
    end
  end)

  it("needs the ETag of every part", function()
    s:set {no_etag = true}
    local file, err = provider():upload_file(file_of "abcd", {part_size = 2})
    assert.is_nil(file)
    assert.equal("decode", err.kind)
    assert.matches("no ETag for part 1", err.message)
    assert.equal("aborted", select(2, next(s:state().uploads)).status)
  end)

  it("repeats what may be repeated", function()
    for _, path in ipairs {"/files$", "^/uploads/", "/preprocess$", "/initiate$", "^/parts/", "/complete$"} do
      s:clear()
      s:fault {kind = "status", status = 503, path = path}
      local params = (path:find "part" or path:find "initiate" or path:find "complete") and {part_size = 4} or nil
      assert(provider {max_retries = 2}:upload_file(file_of "abcdefgh", params))
      assert.equal(1, s:faults()[1].hits)
    end
  end)

  it("does not follow the storage elsewhere", function()
    local err = upload_with {kind = "redirect", path = "^/uploads/", location = s.url .. "/files/steal"}
    assert.equal("transport", err.kind)
    assert.same({}, s:requests {path = "steal"})
  end)

  it("leaves nothing when it is cancelled in the middle of a step", function()
    for _, step in ipairs {{"PUT", "^/uploads/"}, {"POST", "/preprocess$"}, {"PUT", "^/parts/", true},
      {"POST", "/complete$", true}} do
      s:reset()
      s:fault {kind = "stall", method = step[1], path = step[2], times = "always"}
      local p = provider()
      local call = p:async("upload_file", file_of "abcdefgh", step[3] and {part_size = 2} or nil)
      local limit = os.time() + 60
      while #s:faults() > 0 and s:faults()[1].hits == 0 and os.time() < limit do finetune.step(0.01) end
      assert.is_true(call:cancel())
      assert.equal("cancelled", select(2, call:result()).kind)
      while not no_files() and os.time() < limit do finetune.step(0.01) end
      assert.is_true(no_files(), step[2])
    end
  end)

  it("says so when a file changes while it goes", function()
    s:fault {kind = "stall", seconds = 0.2, path = "/files$"}
    local path = file_of "abcdefgh"
    local call = provider():async("upload_file", path)
    finetune.step(0.05)
    local file <close> = assert(io.open(path, "ab"))
    file:write "more"
    file:close()
    local done, err = call:await()
    assert.is_nil(done)
    assert.equal("data", err.kind)
    assert.is_true(no_files())
  end)

  it("tells that there is no money as such", function()
    local err = upload_with {kind = "status", status = 402, path = "/files$",
      body = {error = {message = "Credit limit exceeded", type = "credit_limit", param = json.null, code = json.null}}}
    assert.same({"quota", 402, "credit_limit", "Credit limit exceeded"}, {err.kind, err.status, err.type, err.message})
  end)
end)
