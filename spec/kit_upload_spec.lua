-- ctx:upload over real sockets: forms and slices, streamed, whole, and sent again alone
-- where one is lost.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

describe("ctx:upload over a socket", function()
  local s, path
  local SIZE = 3 * 1024 * 1024 + 17

  setup(function()
    s = service.start()
    path = live.path()
    local file <close> = assert(io.open(path, "wb"))
    for i = 1, SIZE // 16 + 1 do file:write(("%015d\n"):format(i)) end
    file:close()
    os.execute(("truncate -s %d '%s'"):format(SIZE, path))
  end)

  teardown(function()
    s:stop()
    live.clean()
  end)

  before_each(function() s:reset() end)

  after_each(function() finetune.unregister "kit" end)

  -- Runs f(ctx) as an operation -> its value, or nil, err
  local function on_socket(f, config)
    local P = {name = "kit", base_url = s.url}
    for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model", "get_job"} do
      P[op] = function() return {id = op} end
    end
    function P.sample(ctx) return f(ctx) end -- the result of `sample` may be anything
    finetune.register(P, {replace = true})
    local settings = {api_key = s.key, retry_delay = 0.001}
    for key, value in pairs(config or {}) do settings[key] = value end
    local provider <close> = assert(finetune.create_provider("kit", settings))
    local value, err = provider:sample "m"
    return value, err
  end

  local function puts(filter) return s:requests {method = "PUT", path = filter or "^/slice"} end

  local function parts(n, more)
    local list = {}
    for i = 1, n do
      list[i] = {url = ("http://127.0.0.1:%d/slice/%d?sig=%d"):format(s.port, i, i), tag = i}
      for key, value in pairs(more or {}) do list[i][key] = value end
    end
    return list
  end

  -- Whoever answers a PUT here: the service has no route for it
  local function answer_puts()
    s:fault {kind = "status", status = 200, body = "ok", method = "PUT", times = "always"}
  end

  it("sends a form, whole", function()
    local doc = assert(on_socket(function(ctx)
      return ctx:upload {path = path, to = "/files", fields = {purpose = "fine-tune"}, filename = "ä \"b\".jsonl",
        type = "application/jsonl"}
    end))
    assert.equal(SIZE, doc.bytes)
    assert.equal(live.sha256(path), s:sha256(doc.id))
    local sent = s:requests({method = "POST"})[1]
    assert.same({"purpose", "file"}, {sent.parts[1].name, sent.parts[2].name})
    assert.equal("application/jsonl", sent.parts[2].type)
    assert.equal("fine-tune", sent.parts[1].value)
  end)

  it("puts slices that make the file again, without credentials", function()
    answer_puts()
    local slice = 1024 * 1024
    local tags = assert(on_socket(function(ctx)
      local responses, err = ctx:upload {path = path, parts = parts(4), part_size = slice, concurrency = 3}
      if not responses then return nil, err end
      local list = {}
      for i, response in ipairs(responses) do list[i] = response.tag end
      return list
    end))
    assert.same({1, 2, 3, 4}, tags)
    assert.equal(4, #puts())
    for _, request in ipairs(puts()) do
      local i = math.tointeger(tonumber(request.path:match "%d+$"))
      local length = i < 4 and slice or SIZE - 3 * slice
      assert.equal(length, request.length)
      local expected = live.read(path):sub((i - 1) * slice + 1, i * slice)
      assert.equal(live.sha256(live.file(expected)), request.sha256)
      assert.equal(tostring(length), request.header["content-length"])
      assert.is_nil(request.header.authorization)
      assert.equal("sig=" .. i, request.query)
    end
  end)

  it("puts slices where they are told to be, each with headers of its own", function()
    answer_puts()
    local list = parts(2)
    list[1].offset, list[1].length, list[1].headers = 10, 5, {["x-part"] = "one"}
    list[2].length, list[2].method = 3, "PUT"
    assert(on_socket(function(ctx) return ctx:upload {path = path, parts = list} end))
    local bodies = {}
    for i, request in ipairs(puts()) do bodies[i] = ("%d %s"):format(request.length, request.header["x-part"]) end
    table.sort(bodies)
    assert.same({"3 nil", "5 one"}, bodies)
  end)

  it("sends a slice again that was lost on the way, and not the others", function()
    s:fault {kind = "reset", at = "upload", bytes = 1000, method = "PUT", path = "/slice/2$", times = 2}
    answer_puts()
    assert(on_socket(function(ctx) return ctx:upload {path = path, parts = parts(3), part_size = 1200000} end,
      {max_retries = 3}))
    local count = {}
    for _, request in ipairs(puts()) do
      local i = request.path:match "%d+$"
      count[i] = (count[i] or 0) + 1
    end
    assert.same({["1"] = 1, ["2"] = 3, ["3"] = 1}, count)
  end)

  it("gives the error of the slice that fails, with no signature of its address in it", function()
    s:fault {kind = "status", status = 403, method = "PUT", path = "/slice/2$", times = "always"}
    answer_puts()
    local _, err = on_socket(function(ctx)
      return ctx:upload {path = path, parts = parts(3), part_size = 1200000, concurrency = 1}
    end)
    assert.equal("permission", err.kind)
    assert.equal(403, err.status)
    assert.equal(0, #puts "/slice/3")
    assert.is_nil(tostring(err):find("sig=2", 1, true))
  end)

  it("does not grow with the file", function()
    answer_puts()
    local big = live.sparse(256 * 1024 * 1024)
    s:set {hash = false}
    local before = live.peak()
    assert(on_socket(function(ctx)
      return ctx:upload {path = big, parts = parts(4), part_size = 64 * 1024 * 1024, concurrency = 4}
    end))
    assert.is_true(live.peak() - before < 8 * 1024, ("%d KiB more"):format(live.peak() - before))
  end)
end)
