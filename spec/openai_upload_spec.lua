-- upload_file of the OpenAI dialect: one form, or parts; what is checked before; what
-- happens to an upload that fails or is given up.

local finetune = require "finetune"
local testing = require "finetune.testing"

local FILE = {id = "file-1", object = "file", bytes = 3, filename = "x.jsonl", purpose = "fine-tune",
  status = "uploaded"}

local function file_with(changes)
  local doc = {}
  for key, value in pairs(FILE) do doc[key] = value end
  for key, value in pairs(changes) do doc[key] = value end
  return doc
end

local function provider(transport, config)
  local settings = {api_key = "sk-test", retry_delay = 0.001, poll_interval = 0.01, transport = transport}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("openai", settings))
end

-- A service of uploads; `fail[path]` is what it answers instead
local function service(config, fail, file)
  fail = fail or {}
  local function or_fail(request, answer) return fail[request.path] or answer end
  local transport, log = testing.routes {
    ["POST /v1/files"] = function(request) return or_fail(request, {json = file or FILE}) end,
    ["GET /v1/files/{id}"] = function(request) return or_fail(request, {json = file or FILE}) end,
    ["POST /v1/uploads"] = function(request) return or_fail(request, {json = {id = "upload_1"}}) end,
    ["POST /v1/uploads/{id}/parts"] = function(request)
      return or_fail(request, {json = {id = "part_" .. request.multipart[1].offset}})
    end,
    ["POST /v1/uploads/{id}/complete"] = function(request)
      return or_fail(request, {json = {id = "upload_1", status = "completed", file = file or FILE}})
    end,
    ["POST /v1/uploads/{id}/cancel"] = function() return {json = {id = "upload_1", status = "cancelled"}} end,
  }
  return provider(transport, config), log.requests
end

local function lines(requests)
  local list = {}
  for i, request in ipairs(requests) do list[i] = request.method .. " " .. request.path end
  return list
end

local paths = {}
-- A sparse file of that size
local function file_of(size)
  local path = os.tmpname()
  paths[#paths + 1] = path
  local file <close> = assert(io.open(path, "wb"))
  if size > 0 then
    file:seek("set", size - 1)
    file:write "\n"
  end
  return path
end

after_each(function()
  for _, path in ipairs(paths) do os.remove(path) end
  paths = {}
end)

describe("openai upload_file in one form", function()
  it("sends the purpose, then the file as it is now", function()
    local p, requests = service()
    local path = file_of(3)
    local file = assert(p:upload_file(path))
    assert.equal("file-1", file.id)
    assert.same({"POST /v1/files"}, lines(requests))
    local purpose, part = table.unpack(requests[1].multipart)
    assert.same({name = "purpose", value = "fine-tune"}, purpose)
    assert.equal("file", part.name)
    assert.equal(path, part.path)
    assert.equal(path:match("[^/]+$"), part.filename)
    assert.equal("application/octet-stream", part.type)
    assert.same({0, 3, 3, "integer"}, {part.offset, part.length, part.size, math.type(part.mtime)})
  end)

  it("sends what else it was given", function()
    local p, requests = service {quirks = {part_type = "application/jsonl"}}
    assert(p:upload_file {path = file_of(3), purpose = "batch", filename = "my file.jsonl",
      expires_after = {seconds = 3600}, extra = {flag = true, n = 5}})
    local form = {}
    for _, part in ipairs(requests[1].multipart) do form[part.name] = part.value or part.filename end
    assert.same({purpose = "batch", file = "my file.jsonl", ["expires_after[anchor]"] = "created_at",
      ["expires_after[seconds]"] = "3600", flag = "true", n = "5"}, form)
    assert.equal("application/jsonl", requests[1].multipart[#requests[1].multipart].type)
  end)

  it("is repeated when its answer is lost", function()
    local transport, log = testing.transport {
      {"POST /v1/files", fail = "reset"}, {"POST /v1/files", status = 503}, {"POST /v1/files", json = FILE},
    }
    assert(provider(transport):upload_file(file_of(3)))
    log.done()
  end)

  it("needs a file that has something in it", function()
    local p, requests = service()
    for path, words in pairs {
      [file_of(0)] = "empty", ["/nonexistent/x.jsonl"] = "No such file", ["/tmp"] = "directory",
      ["spec\0x"] = "zero byte",
    } do
      local file, err = p:upload_file(path)
      assert.is_nil(file)
      assert.equal("data", err.kind)
      assert.matches(words, err.message)
    end
    assert.equal(0, #requests)
  end)

  it("checks expires_after", function()
    local p = service()
    for _, expires in ipairs {{}, {seconds = 1}, {seconds = 2592001}, {seconds = "3600"}, {seconds = 3600.5}} do
      local _, err = p:upload_file(file_of(3), {expires_after = expires})
      assert.equal("invalid", err.kind)
      assert.equal("expires_after", err.param)
    end
  end)

  it("is a decode error where the answer is not a file", function()
    for _, answer in ipairs {{json = {}}, {json = "x"}, {json = {id = 5}}, {}, {body = "<html>"}} do
      local p = service(nil, {["/v1/files"] = answer})
      assert.equal("decode", select(2, p:upload_file(file_of(3))).kind)
    end
  end)
end)

describe("openai upload_file in parts", function()
  it("creates, sends slices, and completes in the order of the file", function()
    local p, requests = service()
    local path = file_of(10)
    local file = assert(p:upload_file(path, {part_size = 4, expires_after = {seconds = 7200}}))
    assert.equal("file-1", file.id)
    assert.same({"POST /v1/uploads", "POST /v1/uploads/upload_1/parts", "POST /v1/uploads/upload_1/parts",
      "POST /v1/uploads/upload_1/parts", "POST /v1/uploads/upload_1/complete"}, lines(requests))
    assert.same({filename = path:match("[^/]+$"), purpose = "fine-tune", bytes = 10, mime_type = "text/jsonl",
      expires_after = {anchor = "created_at", seconds = 7200}}, requests[1].json)
    local slices = {}
    for i = 2, 4 do
      local part = requests[i].multipart[1]
      assert.equal("data", part.name)
      assert.equal(10, part.size)
      slices[#slices + 1] = {part.offset, part.length}
    end
    assert.same({{0, 4}, {4, 4}, {8, 2}}, slices)
    assert.same({part_ids = {"part_0", "part_4", "part_8"}}, requests[5].json)
  end)

  it("is what a file over the limit gets, 64 MiB at a time", function()
    local p, requests = service()
    assert(p:upload_file(file_of(512000001)))
    assert.equal("POST /v1/uploads", lines(requests)[1])
    assert.equal(8 + 2, #requests)
    assert.equal(67108864, requests[2].multipart[1].length)
    p, requests = service()
    assert(p:upload_file(file_of(512000000)))
    assert.same({"POST /v1/files"}, lines(requests))
    p, requests = service {quirks = {upload_limit = 5, part_limit = 6}}
    assert(p:upload_file(file_of(11)))
    assert.equal(2 + 2, #requests)
  end)

  it("has limits of its own", function()
    local p, requests = service {quirks = {upload_total = 100}}
    local _, err = p:upload_file(file_of(101))
    assert.equal("data", err.kind)
    assert.matches("101 bytes.*100 at most", err.message)
    for _, size in ipairs {67108865, math.maxinteger} do
      _, err = p:upload_file(file_of(10), {part_size = size})
      assert.equal("invalid", err.kind)
      assert.equal("part_size", err.param)
    end
    p = service()
    _, err = p:upload_file(file_of(10001), {part_size = 1})
    assert.equal("part_size", err.param)
    p = service {quirks = {uploads = false, upload_limit = 5}}
    assert.equal("data", select(2, p:upload_file(file_of(6))).kind)
    assert.equal("part_size", select(2, p:upload_file(file_of(4), {part_size = 2})).param)
    assert.equal(0, #requests)
    p = service()
    assert.matches("8589934592 at most", select(2, p:upload_file(file_of(8589934593))).message)
  end)

  it("repeats a part by itself", function()
    local tries = {}
    local transport = testing.routes {
      ["POST /v1/uploads"] = function() return {json = {id = "u"}} end,
      ["POST /v1/uploads/{id}/parts"] = function(request)
        local offset = request.multipart[1].offset
        tries[offset] = (tries[offset] or 0) + 1
        if offset == 4 and tries[offset] < 3 then return {fail = "reset"} end
        return {json = {id = "p" .. offset}}
      end,
      ["POST /v1/uploads/{id}/complete"] = function(request)
        assert(testing.same(request.json.part_ids, {"p0", "p4", "p8"}))
        return {json = {file = FILE}}
      end,
    }
    assert(provider(transport):upload_file(file_of(10), {part_size = 4}))
    assert.same({[0] = 1, [4] = 3, [8] = 1}, tries)
  end)

  for what, case in pairs {
    ["a part fails"] = {"/v1/uploads/upload_1/parts", {status = 400, json = {error = {message = "bad"}}}, "invalid"},
    ["a part has no id"] = {"/v1/uploads/upload_1/parts", {json = {}}, "decode"},
    ["it cannot be completed"] = {"/v1/uploads/upload_1/complete", {status = 500}, "server"},
  } do
    it("is cancelled on the server when " .. what, function()
      local path, answer, kind = table.unpack(case)
      local p, requests = service(nil, {[path] = answer})
      local file, err = p:upload_file(file_of(10), {part_size = 4})
      assert.is_nil(file)
      assert.equal(kind, err.kind)
      assert.equal("POST /v1/uploads/upload_1/cancel", lines(requests)[#requests])
    end)
  end

  it("keeps the first error where the cancel fails too", function()
    local transport = testing.routes {
      ["POST /v1/uploads"] = function() return {json = {id = "u"}} end,
      ["POST /v1/uploads/{id}/parts"] = function() return {status = 401, json = {error = {message = "first"}}} end,
      ["POST /v1/uploads/{id}/cancel"] = function() return {fail = "reset"} end,
    }
    local _, err = provider(transport):upload_file(file_of(10), {part_size = 4})
    assert.equal("auth", err.kind)
    assert.equal("first", err.message)
  end)

  it("is cancelled on the server when the call is cancelled, but not before or after", function()
    local p, requests = service(nil, {["/v1/uploads/upload_1/parts"] = "pending"})
    local call = p:async("upload_file", {path = file_of(10), part_size = 4})
    while #requests < 2 do finetune.step(0.01) end
    call:cancel()
    while #requests < 5 and finetune.pending() > 0 do finetune.step(0.01) end
    for _ = 1, 5 do finetune.step(0) end
    assert.equal("POST /v1/uploads/upload_1/cancel", lines(requests)[#requests])
    assert.equal("cancelled", select(2, call:result()).kind)
  end)

  it("is a decode error where the answers are not uploads and files", function()
    for path, answers in pairs {
      ["/v1/uploads"] = {{json = {}}, {json = {id = 5}}, {}, {json = "x"}},
      ["/v1/uploads/upload_1/complete"] = {{json = {id = "u"}}, {json = {file = "x"}}, {}, {json = {file = {}}}},
    } do
      for _, answer in ipairs(answers) do
        local p = service(nil, {[path] = answer})
        assert.equal("decode", select(2, p:upload_file(file_of(10), {part_size = 4})).kind)
      end
    end
  end)

  it("refuses an upload id that would be another path", function()
    local p = service(nil, {["/v1/uploads"] = {json = {id = ".."}}})
    assert.equal("invalid", select(2, p:upload_file(file_of(10), {part_size = 4})).kind)
  end)
end)

describe("openai upload_file with wait", function()
  -- The states that the file has, look by look
  local function going_through(states)
    local looks = 0
    local function look()
      looks = looks + 1
      return {json = file_with {status = states[math.min(looks, #states)], status_details = "line 3 is bad"}}
    end
    local transport, log = testing.routes {["POST /v1/files"] = look, ["GET /v1/files/file-1"] = look}
    return provider(transport), log.requests
  end

  it("looks until the file is processed", function()
    local p, requests = going_through {"uploaded", "uploaded", "running", "processed"}
    assert.equal("processed", assert(p:upload_file(file_of(3), {wait = true})).status)
    assert.equal(4, #requests)
  end)

  it("is content with the first answer where that is enough", function()
    local p, requests = going_through {"processed"}
    assert(p:upload_file(file_of(3), {wait = true}))
    assert.equal(1, #requests)
    p, requests = going_through {"uploaded"}
    assert.equal("uploaded", assert(p:upload_file(file_of(3))).status)
    assert.equal(1, #requests)
  end)

  it("tells why a file was refused", function()
    for _, status in ipairs {"error", "deleted"} do
      local p = going_through {"uploaded", status}
      local _, err = p:upload_file(file_of(3), {wait = true})
      assert.equal("data", err.kind)
      assert.matches("line 3 is bad", err.message)
      assert.equal("file-1", err.file.id)
    end
  end)

  it("ends at its deadline, and says which file it was", function()
    local p = going_through {"uploaded"}
    local _, err = p:upload_file(file_of(3), {wait = true, wait_timeout = 0.03})
    assert.equal("timeout", err.kind)
    assert.equal("file-1", err.file.id)
    assert.matches("file%-1", err.message)
  end)
end)
