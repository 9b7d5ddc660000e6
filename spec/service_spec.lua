-- The loopback service itself, with plain luasocket: is the thing that the other
-- specs believe in as it should be?
local drive = require "spec.support.openapi.drive"
local json = require "dkjson"
local service = require "spec.support.service"
local socket = require "socket"

local LINES = drive.line:rep(20)

describe("the loopback service", function()
  local s, call

  setup(function()
    s = service.start()
    call = drive.caller(s)
  end)

  teardown(function() s:stop() end)

  before_each(function() s:reset() end)

  local function upload(text, purpose, name)
    return call("POST", "/files", drive.form {{"purpose", purpose or "fine-tune"}, {"file", text, name or "t.jsonl"}})
  end

  local function create(body)
    body.model = body.model or s.model
    return call("POST", "/fine_tuning/jobs", body)
  end

  -- A raw connection that has sent `text`.
  local function connect(text)
    local tcp = assert(socket.connect("127.0.0.1", s.port))
    tcp:settimeout(5)
    assert(tcp:send(text))
    return tcp
  end

  local function get(path)
    return ("GET %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n\r\n"):format(path, s.port, s.key)
  end

  -- Everything until the end of a raw connection, and what ended it.
  local function raw(text)
    local tcp <close> = setmetatable({tcp = connect(text)}, {__close = function(c) c.tcp:close() end})
    local all, err, part = tcp.tcp:receive("*a")
    return all or part, err
  end

  describe("files", function()
    it("come, are listed in pages, are read back and go", function()
      local ids = {}
      for i = 1, 3 do ids[i] = upload(LINES, nil, ("f%d.jsonl"):format(i)).id end
      local page = call("GET", "/files?limit=2")
      assert.same({ids[3], ids[2]}, {page.data[1].id, page.data[2].id})
      assert.is_true(page.has_more)
      page = call("GET", "/files?limit=2&after=" .. ids[2])
      assert.same({ids[1]}, {page.data[1].id})
      assert.is_false(page.has_more)
      assert.equal(LINES, call("GET", ("/files/%s/content"):format(ids[1])))
      assert.is_true(call("DELETE", "/files/" .. ids[1]).deleted)
      assert.equal(404, select(2, call("GET", "/files/" .. ids[1])))
    end)

    it("are refused for what is wrong with them", function()
      assert.equal("purpose", upload(LINES, "fun").error.param)
      assert.equal("invalid_file_format", upload(LINES, nil, "t.txt").error.code)
      assert.equal("empty_file", upload("").error.code)
      s:set {max_file_bytes = 10}
      assert.equal(413, select(2, upload(LINES)))
    end)

    it("are not ready at once where that is wanted", function()
      s:set {file_seconds = 0.6}
      local file = upload(LINES)
      assert.equal("uploaded", file.status)
      assert.equal("file_not_ready", create({training_file = file.id}).error.code)
      socket.sleep(0.65)
      assert.equal("processed", call("GET", "/files/" .. file.id).status)
    end)

    it("go up in parts that arrive in any order", function()
      local up = call("POST", "/uploads",
        {filename = "b.jsonl", purpose = "fine-tune", bytes = #LINES, mime_type = "text/plain"})
      local path, ids = "/uploads/" .. up.id, {}
      for _, piece in ipairs {LINES:sub(101), LINES:sub(1, 100)} do
        table.insert(ids, 1, call("POST", path .. "/parts", drive.form {{"data", piece, "p"}}).id)
      end
      assert.equal("bytes_mismatch", call("POST", path .. "/complete", {part_ids = {ids[1]}}).error.code)
      assert.equal("checksum_mismatch",
        call("POST", path .. "/complete", {part_ids = ids, md5 = ("0"):rep(32)}).error.code)
      local md5 = require("openssl.digest").new("md5"):final(LINES):gsub(".", function(c)
        return ("%02x"):format(c:byte())
      end)
      local done = call("POST", path .. "/complete", {part_ids = ids, md5 = md5})
      assert.equal("completed", done.status)
      assert.equal(LINES, call("GET", ("/files/%s/content"):format(done.file.id)))
      assert.equal(400, select(2, call("POST", path .. "/cancel")))
    end)

    it("in parts expire and are cancelled", function()
      s:set {upload_seconds = 0}
      local body = {filename = "b.jsonl", purpose = "fine-tune", bytes = 10, mime_type = "text/plain"}
      local up = call("POST", "/uploads", body)
      local answer = call("POST", ("/uploads/%s/parts"):format(up.id), drive.form {{"data", "x", "p"}})
      assert.matches("expired", answer.error.message)
      s:set {upload_seconds = 60}
      assert.equal("cancelled", call("POST", ("/uploads/%s/cancel"):format(call("POST", "/uploads", body).id)).status)
    end)
  end)

  describe("jobs", function()
    local file

    before_each(function() file = upload(LINES).id end)

    it("live by the clock and leave a model, results, events and checkpoints", function()
      s:set {job_seconds = 20}
      local job = create {training_file = file, validation_file = file, suffix = "abc", seed = 5}
      assert.equal("validating_files", job.status)
      assert.equal("queued", s:jump(job.id, 0.1).status)
      assert.equal("running", s:jump(job.id, 0.2).status)
      s:jump(job.id, 0.99)
      repeat
        job = call("GET", "/fine_tuning/jobs/" .. job.id)
        socket.sleep(0.004)
      until job.status == "succeeded"
      assert.matches("^ft:tiny%-chat%-1:loopback:abc:", job.fine_tuned_model)
      assert.equal(job.fine_tuned_model, call("GET", "/models/" .. job.fine_tuned_model).id)
      local csv = call("GET", ("/files/%s/content"):format(job.result_files[1]))
      assert.matches("^step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n", csv)
      local events = call("GET", ("/fine_tuning/jobs/%s/events?limit=100"):format(job.id))
      assert.equal("The job has successfully completed", events.data[1].message)
      assert.equal("Created fine-tuning job: " .. job.id, events.data[#events.data].message)
      local checkpoints = call("GET", ("/fine_tuning/jobs/%s/checkpoints"):format(job.id))
      assert.equal(3, #checkpoints.data)
      assert.is_number(checkpoints.data[1].metrics.full_valid_loss)
    end)

    it("pause, resume, cancel, and refuse what their state does not allow", function()
      s:set {job_seconds = 3600}
      local job = create {training_file = file}
      local path = "/fine_tuning/jobs/" .. job.id
      assert.equal("running", s:jump(job.id, 0.5).status)
      assert.equal("paused", call("POST", path .. "/pause").status)
      assert.equal(400, select(2, call("POST", path .. "/pause")))
      assert.equal("running", call("POST", path .. "/resume").status)
      assert.equal("cancelled", call("POST", path .. "/cancel").status)
      assert.equal("invalid_job_state", call("POST", path .. "/resume").error.code)
    end)

    it("fail for too few examples, for lines that are none, and by order", function()
      s:set {job_seconds = 0}
      local job = create {training_file = upload(drive.line:rep(5)).id}
      assert.equal("failed", job.status)
      assert.equal("Training file has 5 example(s), but must have at least 10 examples", job.error.message)
      local events = call("GET", ("/fine_tuning/jobs/%s/events"):format(job.id))
      assert.equal("invalid_n_examples", events.data[1].data.error_code)
      assert.matches("line 21 ", create({training_file = upload(LINES .. "{}\n").id}).error.message)
      s:set {fail = {code = "boom", message = "It broke."}}
      assert.equal("It broke.", create({training_file = file}).error.message)
    end)

    it("are listed in pages and by metadata", function()
      local ids = s:seed({jobs = 5}).jobs
      local page = call("GET", "/fine_tuning/jobs?limit=2&after=" .. ids[4])
      assert.same({ids[3], ids[2]}, {page.data[1].id, page.data[2].id})
      assert.equal(ids[3], call("GET", "/fine_tuning/jobs?metadata[n]=3").data[1].id)
      assert.equal(0, #call("GET", "/fine_tuning/jobs?metadata[n]=9").data)
      assert.equal("after", call("GET", "/fine_tuning/jobs?after=nobody").error.param)
    end)

    it("are refused where the service takes none", function()
      s:set {refuse = {status = 403, message = "Closed.", code = "closed"}}
      local answer, status = create {training_file = file}
      assert.same({403, "Closed.", "closed"}, {status, answer.error.message, answer.error.code})
    end)

    -- what is wrong with a job -> the parameter that the refusal names
    local long = ("x"):rep(65)
    local wrong = {
      {{model = "nobody"}, "model"}, {{model = "embed-1"}, "model"}, {{training_file = "file-0"}, "training_file"},
      {{suffix = long}, "suffix"}, {{suffix = ""}, "suffix"}, {{seed = -1}, "seed"}, {{seed = 2147483648}, "seed"},
      {{seed = 1.5}, "seed"}, {{metadata = {[long] = "a"}}, "metadata"},
      {{metadata = {a = ("x"):rep(513)}}, "metadata"},
      {{metadata = {a = 1}}, "metadata"}, {{hyperparameters = {n_epochs = 0}}, "hyperparameters.n_epochs"},
      {{hyperparameters = {n_epochs = 51}}, "hyperparameters.n_epochs"}, {{colour = "red"}, "colour"},
      {{method = {type = "magic"}}, "method.type"},
      {{method = {type = "dpo", dpo = {hyperparameters = {beta = 3}}}}, "method.dpo.hyperparameters.beta"},
      {{method = {type = "reinforcement"}}, "method.reinforcement.grader"},
      {{integrations = {{type = "x"}}}, "integrations"}, {{validation_file = "file-0"}, "validation_file"},
    }
    for i, case in ipairs(wrong) do
      it(("name what is wrong: %s (%d)"):format(case[2], i), function()
        local body = {training_file = file}
        for name, value in pairs(case[1]) do body[name] = value end
        local answer, status = create(body)
        assert.equal(400, status)
        assert.equal(case[2], answer.error.param)
      end)
    end
  end)

  it("checks the key", function()
    local status, headers, body = s:request("GET", "/v1/models", {key = "sk-0123456789-not-it"})
    assert.equal(401, status)
    assert.equal("invalid_api_key", json.decode(body).error.code)
    assert.matches("^req_", headers["x-request-id"])
    assert.equal(401, (s:request("GET", "/v1/models", {key = false})))
  end)

  it("answers to its own name and port only, and so does its storage", function()
    local two <close> = service.start {dialect = "together"}
    local stored = tonumber(two.storage:match "%d+$")
    local function status(port, host)
      local tcp = assert(socket.connect("127.0.0.1", port))
      tcp:settimeout(5)
      assert(tcp:send(("GET /v1/fine-tunes HTTP/1.1\r\n%sauthorization: Bearer %s\r\nconnection: close\r\n\r\n")
        :format(host and ("host: %s\r\n"):format(host) or "", two.key)))
      local text = tcp:receive "*a"
      tcp:close()
      return tonumber(text:match "^HTTP/1.1 (%d+)"), json.decode(text:match "\r\n\r\n(.*)$")
    end
    for port, right in pairs {[two.port] = 200, [stored] = 404} do
      for _, name in ipairs {"127.0.0.1", "localhost"} do
        assert.equal(right, (status(port, ("%s:%d"):format(name, port))))
        assert.equal(421, (status(port, ("%s:%d"):format(name, port == stored and two.port or stored))))
      end
      for _, host in ipairs {"api.together.ai", "127.0.0.1", "localhost", ("evil.example:%d"):format(port),
        ("127.0.0.1:%dx"):format(port), ("x@127.0.0.1:%d"):format(port), ""} do
        assert.equal(421, (status(port, host)), host)
      end
      local code, doc = status(port)
      assert.same({421, "The host '' is not served here."}, {code, doc.error.message})
    end
  end)

  it("runs and validates graders", function()
    local path = "/fine_tuning/alpha/graders/"
    local body = {grader = drive.grader, model_sample = "x", item = {answer = "x"}}
    assert.equal(1, call("POST", path .. "run", body).reward)
    body.item.answer = "y"
    assert.equal(0, call("POST", path .. "run", body).reward)
    assert.equal("grader.operation", call("POST", path .. "validate", {grader = {
      type = "string_check", name = "n", input = "", reference = "", operation = "almost",
    }}).error.param)
  end)

  it("records what came", function()
    upload(LINES)
    local req = s:requests({method = "POST", path = "/files$"})[1]
    assert.same({"/v1/files", true, 200}, {req.path, req.complete, req.status})
    assert.same({"file", "t.jsonl", #LINES}, {req.parts[2].name, req.parts[2].filename, req.parts[2].length})
    assert.equal("Bearer " .. s.key, req.header.authorization)
    assert.equal(1, s:stats().complete_posts)
    s:clear()
    assert.same({}, s:requests())
  end)

  it("keeps a connection, and decodes ids segment by segment", function()
    local tcp = connect(get("/v1/models") .. get("/v1/files/a%2Fb"))
    local text = ""
    repeat text = text .. (tcp:receive(1) or "!") until text:find("No such File object: a/b", 1, true)
    tcp:close()
    assert.equal(s:requests()[1].conn, s:requests()[2].conn)
  end)

  it("takes 200 connections at once, and control beside them", function()
    s:fault {kind = "stall", times = "always"}
    local all = {}
    for i = 1, 200 do all[i] = connect(get("/v1/models")) end
    repeat socket.sleep(0.005) until s:stats().open >= 200
    s:clear()
    for _, tcp in ipairs(all) do
      assert.equal("closed", (select(2, tcp:receive("*l"))))
      tcp:close()
    end
    assert.equal(200, (select(2, call("GET", "/models"))))
  end)

  it("survives garbage", function()
    for _, text in ipairs {
      "\r\n\r\n\r\n", "HELO there\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", ("x"):rep(100000),
      "POST /v1/files HTTP/1.1\r\ncontent-length: -1\r\n\r\n", "\22\3\1\0\200\1",
      "POST /v1/files HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
      ("POST /v1/uploads HTTP/1.1\r\nhost: localhost:%d\r\nauthorization: Bearer %s\r\ncontent-length: 9000\r\n"
        .. "connection: close\r\n\r\n%s"):format(s.port, s.key, ("["):rep(9000)),
    } do
      local tcp = connect(text)
      tcp:shutdown("send")
      tcp:receive("*a")
      tcp:close()
    end
    assert.equal(200, (select(2, call("GET", "/models"))))
    assert.same({}, s:stats().crashes)
  end)

  describe("faults", function()
    -- fault -> what the peer's bytes look like, and how they end ("closed" by a reset is the kernel's word)
    local function wire(fault, path)
      fault.path = fault.path or "^/v1/"
      s:fault(fault)
      local text, err = raw(get(path or "/v1/models/tiny-chat-1"):gsub("\r\n\r\n$", "\r\nconnection: close\r\n\r\n"))
      return text, err
    end

    it("of status, with Retry-After in three forms", function()
      local text = wire {kind = "status", status = 429, retry_after = 2, message = "slow", code = "rate"}
      assert.matches("^HTTP/1.1 429 .*\r\nretry%-after: 2\r\n.*\"message\":\"slow\"", text)
      assert.matches("retry%-after%-ms: 1500\r\n", (wire {kind = "status", status = 503, retry_after_ms = 1500}))
      assert.matches("retry%-after: %a%a%a, %d%d %a%a%a %d%d%d%d [%d:]+ GMT\r\n",
        (wire {kind = "status", status = 503, retry_after_date = 9}))
      assert.matches("HTTP/1.1 200", (wire {kind = "patch", set = {}}))
    end)

    it("are met after `skip`, `times` times, and counted", function()
      s:fault {kind = "status", status = 500, skip = 1, times = 2}
      local seen = {}
      for i = 1, 4 do seen[i] = select(2, call("GET", "/models")) end
      assert.same({200, 500, 500, 200}, seen)
      assert.equal(2, s:faults()[1].hits)
      assert.has_error(function() s:fault {kind = "nonsense"} end)
      assert.has_error(function() s:fault {kind = "html", depth = 1} end)
    end)

    it("that lose the answer of a request, carried out or not", function()
      local body = json.encode {filename = "b.jsonl", purpose = "fine-tune", bytes = 10, mime_type = "text/plain"}
      local post = ("POST /v1/uploads HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n"
        .. "content-length: %d\r\n\r\n%s"):format(s.port, s.key, #body, body)
      for i, apply in ipairs {false, true} do
        s:fault {kind = "close", apply = apply}
        assert.equal("", (raw(post)))
        local n = 0
        for _ in pairs(s:state().uploads) do n = n + 1 end
        assert.equal(i - 1, n)
      end
      assert.equal(2, s:stats().complete_posts)
    end)

    it("that reset: before, in the body, in the upload, at once", function()
      local text, err = wire {kind = "reset"}
      assert.same({"", "closed"}, {text, err})
      assert.matches("\r\n\r\n..........$", (wire {kind = "reset", at = "body", bytes = 10}))
      s:fault {kind = "reset", at = "accept"}
      assert.is_false(pcall(call, "GET", "/models"))
      s:fault {kind = "reset", at = "upload", bytes = 1000}
      local tcp = connect("POST /v1/files HTTP/1.1\r\ncontent-length: 100000000\r\n\r\n")
      local sent, why = 0, nil
      while not why and sent < 100000000 do
        local n
        n, why = tcp:send(("x"):rep(65536))
        sent = sent + (n or 0)
      end
      assert.equal("closed", why)
    end)

    it("that stall and go on", function()
      for _, at in ipairs {"accept", "request", "answer", "headers", "body"} do
        local t = socket.gettime()
        assert.matches("\"id\":\"tiny%-chat%-1\"", (wire {kind = "stall", at = at, seconds = 0.05}))
        assert.is_true(socket.gettime() - t >= 0.05)
      end
    end)

    -- kind and fields -> a pattern of the bytes
    local id = "\"id\":\"tiny%-chat%-1\""
    local patterns = {
      {{kind = "drip", bytes = 40, seconds = 0.001}, id}, {{kind = "truncate", bytes = 5}, "length: 5\r\n\r\n.....$"},
      {{kind = "html"}, "text/html.*<html>"}, {{kind = "giant", bytes = 1000, framing = "length"}, "length: 1000\r\n"},
      {{kind = "giant", bytes = 1000}, "chunked.*\r\n0\r\n\r\n$"}, {{kind = "bomb", bytes = 1 << 20}, "encoding: gzip"},
      {{kind = "gzip"}, "encoding: gzip.*\31\139\8"}, {{kind = "deep", depth = 50}, ("%["):rep(50)},
      {{kind = "bad_utf8"}, "\xff\xfe"},
      {{kind = "length", how = "same"}, "length: (%d+)\r\ncontent%-length: %1\r\n"},
      {{kind = "length"}, "length: %d+\r\ncontent%-length: %d+\r\n"},
      {{kind = "length", how = "words"}, "length: many"},
      {{kind = "redirect"}, "^HTTP/1.1 307.*location: /v1/models/tiny%-chat%-1\r\n"},
      {{kind = "patch", set = {owned_by = "martians"}}, "martians"}, {{kind = "nulls"}, "\"shutdown_date\":null"},
      {{kind = "nulls", all = true}, "\"created\":null"}, {{kind = "header"}, "request%-id: req_a%zb\r\n"},
      {{kind = "header", how = "huge", bytes = 1000}, ("h"):rep(1000)},
      {{kind = "empty"}, "^HTTP/1.1 204.*\r\n\r\n$"},
      {{kind = "interim"}, "^HTTP/1.1 103.*HTTP/1.1 200"}, {{kind = "raw", data = "moo"}, "^moo$"},
    }
    for _, case in ipairs(patterns) do
      it("of content: " .. json.encode(case[1]), function() assert.matches(case[2], (wire(case[1]))) end)
    end

    it("of lists: repeated and reordered, and without an end", function()
      s:seed {jobs = 4}
      local function ids(query)
        local page = call("GET", "/fine_tuning/jobs?limit=3" .. (query or ""))
        local out = {}
        for i, job in ipairs(page.data) do out[i] = job.id end
        return out, page.has_more
      end
      local good = ids()
      s:fault {kind = "shuffle"}
      local mixed = ids()
      assert.is_true(#mixed > 3)
      assert.equal(good[3], mixed[#mixed])
      s:fault {kind = "endless", times = 2}
      local _, more = ids("&after=" .. good[3])
      assert.is_true(more)
      assert.same(good, (ids("&after=nobody")))
      s:fault {kind = "endless", ids = "new"}
      assert.not_equal(good[1], ids("&after=nobody")[1])
    end)
  end)

  it("speaks TLS, well and badly", function()
    local has, ssl = pcall(require, "ssl")
    if not has then return pending("luasec is not installed") end
    for mode, expected in pairs {good = true, wronghost = true, expired = false, untrusted = false} do
      local tls <close> = service.start {tls = mode}
      local tcp = assert(socket.connect(tls.host, tls.port))
      local conn = assert(ssl.wrap(tcp, {mode = "client", protocol = "any", verify = "peer", cafile = tls.ca_file}))
      assert.equal(expected, conn:dohandshake() == true, mode)
      conn:close()
    end
  end)

  it("ends with the process that started it, even one that is killed", function()
    local script = [[package.path = "./?.lua;" .. package.path
      local s = require("spec.support.service").start()
      print(s.port) io.stdout:flush()
      os.execute("kill -9 $PPID")]]
    local pipe = io.popen("exec lua5.4 -e '" .. script .. "' 2>&1")
    local port = tonumber(pipe:read("l"))
    pipe:close()
    local deadline = socket.gettime() + 2
    repeat
      local tcp = socket.connect("127.0.0.1", port)
      if tcp then tcp:close() end
    until not tcp or socket.gettime() > deadline
    assert.is_nil((socket.connect("127.0.0.1", port)))
  end)
end)
