-- download_file over real sockets: into memory or a file, which appears whole or not at all.

local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local CONTENT = live.lines(5000)

local s, file, folder

setup(function()
  s = service.start()
  folder = shell.folder()
end)

teardown(function()
  s:stop()
  shell.remove(folder)
end)

before_each(function()
  s:reset()
  file = assert(live.provider(s):upload_file(live.file(CONTENT), {filename = "t.jsonl"}))
  s:clear()
  shell.must(("rm -rf %s/* "):format(shell.quote(folder)))
end)

after_each(live.clean)

local function listing() return shell.must("ls -A " .. shell.quote(folder)) end

local function recorder()
  local told = {}
  return function(done, total) told[#told + 1] = {done, total} end, told
end

describe("a download", function()
  it("into memory is the content", function()
    assert.equal(CONTENT, (assert(live.provider(s):download_file(file))))
    assert.equal("GET", s:requests()[1].method)
    assert.equal(("/v1/files/%s/content"):format(file.id), s:requests()[1].path)
  end)

  it("into a file is that file", function()
    local output = folder .. "/out.csv"
    local on_progress, told = recorder()
    local got = assert(live.provider(s):download_file(file, {output = output, on_progress = on_progress}))
    assert.same({path = output, bytes = #CONTENT}, {path = got.path, bytes = got.bytes})
    assert.equal(CONTENT, live.read(output))
    assert.equal("out.csv\n", listing())
    local last = told[#told]
    assert.same({#CONTENT, #CONTENT}, last)
    for i = 2, #told do assert.is_true(told[i][1] > told[i - 1][1]) end
  end)

  it("takes the place of an older file", function()
    local output = folder .. "/out.csv"
    shell.must(("echo old > %s"):format(output))
    assert(live.provider(s):download_file(file, {output = output}))
    assert.equal(CONTENT, live.read(output))
    assert.equal("out.csv\n", listing())
  end)

  it("of gzip is the text, and its bytes are counted", function()
    s:fault {kind = "gzip", path = "/content$", times = 2}
    local output = folder .. "/out.csv"
    assert.equal(CONTENT, (assert(live.provider(s):download_file(file))))
    assert.equal(#CONTENT, assert(live.provider(s):download_file(file, {output = output})).bytes)
    assert.equal(CONTENT, live.read(output))
  end)

  for what, fields in pairs {
    ["reset"] = {kind = "reset", at = "body", bytes = 1000}, ["closed"] = {kind = "close", at = "body", bytes = 1000},
    ["refused"] = {kind = "status", status = 503, body = "not now"},
  } do
    it("that is " .. what .. " in the middle begins again, from an empty file", function()
      for _, output in ipairs {false, folder .. "/out.csv"} do
        s:clear()
        fields.path = "/content$"
        s:fault(fields)
        local got = assert(live.provider(s):download_file(file, {output = output or nil}))
        assert.equal(CONTENT, output and live.read(output) or got)
        assert.equal(2, #s:requests())
      end
      assert.equal("out.csv\n", listing())
    end)
  end

  it("that fails leaves the older file as it was, and nothing beside it", function()
    local output = folder .. "/out.csv"
    shell.must(("echo old > %s"):format(output))
    for kind, fault in pairs {
      transport = {kind = "close", at = "body", bytes = 1000}, timeout = {kind = "status", status = 408},
      not_found = {kind = "status", status = 404, body = {error = {message = "gone"}}},
      decode = {kind = "giant", type = "text/csv"},
    } do
      s:clear()
      fault.path, fault.times = "/content$", "always"
      s:fault(fault)
      local err = live.failed(live.provider(s):download_file(file, {output = output, max_bytes = 1 << 20}))
      assert.equal(kind, err.kind)
      assert.equal("old\n", live.read(output))
      assert.equal("out.csv\n", listing())
    end
  end)

  it("of nothing is an empty file", function()
    s:fault {kind = "empty", status = 200, path = "/content$", times = 2}
    assert.equal("", (assert(live.provider(s):download_file(file))))
    local output = folder .. "/out.csv"
    assert.equal(0, assert(live.provider(s):download_file(file, {output = output})).bytes)
    assert.equal("", live.read(output))
  end)

  it("to where no file can be is a data error, before anything else is lost", function()
    shell.must(("mkdir %s/folder"):format(folder))
    for output, words in pairs {
      [folder .. "/none/out.csv"] = "No such file", [folder .. "/folder"] = "directory",
    } do
      local err = live.failed(live.provider(s):download_file(file, {output = output}))
      assert.equal("data", err.kind)
      assert.equal(1, err.attempts)
      assert.is_false(err.retryable)
      assert.matches(words, err.message)
      assert.matches(output, err.message, 1, true)
    end
    assert.equal("folder\n", listing())
  end)

  it("is bounded in memory by max_bytes", function()
    local provider = live.provider(s)
    local err = live.failed(provider:download_file(file, {max_bytes = #CONTENT - 1}))
    assert.equal("decode", err.kind)
    assert.equal("127.0.0.1: the answer is larger than max_bytes", err.message)
    assert.equal(CONTENT, (assert(provider:download_file(file, {max_bytes = #CONTENT}))))
  end)

  it("takes any bytes as they are", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local content = table.concat(bytes):rep(10)
    local stored = assert(live.provider(s):upload_file(live.file(content), {filename = "t.jsonl", purpose = "batch"}))
    assert.equal(content, (assert(live.provider(s):download_file(stored))))
  end)

  it("that stalls ends by the limit of slowness, not by the total", function()
    s:fault {kind = "drip", bytes = 100000, seconds = 0.15, path = "/content$"}
    local output = folder .. "/out.csv"
    assert(live.provider(s):download_file(file, {output = output, timeout = 0.2})) -- it takes longer, and moves
    assert.equal(CONTENT, live.read(output))
  end)
end)
