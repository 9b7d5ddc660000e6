-- `finetune inventory DIR`: everything is copied, once, whole, with its hash; an export that was interrupted goes on.

local archive = require "finetune.cli.archive"
local clis = require "spec.support.cli"
local core = require "finetune.core"
local files = require "finetune.cli.cmd.files"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

describe("finetune inventory", function()
  local server, tmp, cli, job, file

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.1}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    local provider = live.provider(server)
    file = assert(provider:upload_file(live.file(live.lines(12)), {filename = "train.jsonl"}))
    local made = assert(provider:create_job {model = server.model, training_file = file})
    job = assert(provider:wait(made, {interval = 0.05}))
  end)

  after_each(function() server:clear() end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
    live.clean()
  end)

  local function manifest(folder)
    local list = {}
    for line in live.read(tmp .. "/" .. folder .. "/manifest.jsonl"):gmatch "[^\n]+" do
      list[#list + 1] = assert(core.decode(line))
    end
    return list
  end

  local function contents()
    return server:requests {method = "GET", path = "/content$"}
  end

  it("counts what there is, and says which models go", function()
    local out = cli.must "finetune inventory"
    assert.matches("^openai\n  2 files, %d+", out)
    assert.matches("\n  1 job: 1 succeeded\n", out)
    assert.matches("\nold%-chat%-1  20%d%d%-%d%d%-%d%d\n", out)
    local doc = cli.json "finetune inventory"
    assert.is_nil(schema.wrong("inventory", doc))
    assert.equal(job.id, doc.jobs[1].id)
  end)

  it("copies everything, with the hash of each", function()
    local doc = cli.json "finetune inventory copy"
    assert.is_nil(schema.wrong("inventory", doc))
    assert.same({}, doc.failed)
    assert.equal(0, doc.kept)
    local kinds = {}
    for _, entry in ipairs(manifest "copy") do
      kinds[entry.kind] = (kinds[entry.kind] or 0) + 1
      local path = tmp .. "/copy/" .. entry.path
      assert.equal(live.sha256(path), entry.sha256)
      assert.equal(#live.read(path), entry.bytes)
      if entry.id == file.id and entry.kind == "content" then assert.equal(live.lines(12), live.read(path)) end
    end
    assert.same({2, 2, 1, 1, 1, 1}, {kinds.file, kinds.content, kinds.job, kinds["job-events"],
      kinds["job-checkpoints"], kinds["job-metrics"]})
    assert.equal(#doc.exported, #manifest "copy")
  end)

  it("fetches nothing twice", function()
    server:clear()
    local doc = cli.json "finetune inventory copy"
    assert.same({}, doc.exported)
    assert.equal(#manifest "copy", doc.kept)
    assert.same({}, contents())
    for _, request in ipairs(server:requests()) do
      assert.is_nil(request.path:find "events" or request.path:find "checkpoints", request.path)
    end
  end)

  -- How often each thing was asked for that is no list: {["GET /path"] = n}; `counts` goes on with an earlier one
  local function asked(counts)
    counts = counts or {}
    for _, request in ipairs(server:requests()) do
      local line = ("%s %s"):format(request.method, request.target)
      if not request.path:find "/files$" and not request.path:find "/jobs$" and not request.path:find "/models$" then
        counts[line] = (counts[line] or 0) + 1
      end
    end
    return counts
  end

  it("asks for each thing once, the results of jobs too", function()
    server:clear()
    cli.must "finetune inventory clean"
    local counts, n = asked(), {}
    for line, times in pairs(counts) do
      assert.equal(1, times, line)
      local noun = line:match "/(%a+)%f[?\0][^/]*$"
      n[noun] = (n[noun] or 0) + 1
    end
    assert.same({2, 1}, {n.content, n.checkpoints})
    assert.is_true(n.events > 1) -- pages
    assert.same(cli.json("finetune metrics " .. job.id).metrics, assert(core.decode(
      live.read(("%s/clean/job-metrics/%s.json"):format(tmp, job.id)))))
  end)

  for what, fault in pairs {["at the second content"] = {path = "/content$", skip = 1},
      ["at the events of a job"] = {path = "/events$"}, ["in their middle"] = {path = "/events$", skip = 1},
      ["at its checkpoints"] = {path = "/checkpoints$"}} do
    it("asks for nothing twice that it had before it was stopped, " .. what, function()
      local folder = "stopped-" .. what:gsub(" ", "-")
      server:clear()
      fault.kind = "stall"
      server:fault(fault)
      cli.must(("'%s' inventory %s >told 2>&1 </dev/null & echo $! >pid"):format(clis.path, folder))
      live.until_true(function() return server:faults()[1].hits > 0 end)
      shell.must("kill -9 $(cat pid); while kill -0 $(cat pid) 2>/dev/null; do sleep 0.01; done", {cwd = tmp})
      local counts, again = asked(), 0
      server:clear()
      local doc = cli.json("finetune inventory " .. folder)
      assert.same({}, doc.failed)
      for line, times in pairs(asked(counts)) do
        -- what the service was about to answer
        local lost = line:find((fault.path:gsub("%$$", "")))
        assert.is_true(times == 1 or times == 2 and lost ~= nil, line .. " " .. times)
        if times == 2 then again = again + 1 end
      end
      assert.equal(1, again)
      assert.is_nil(core.fs.stat(("%s/%s/part"):format(tmp, folder)))
      for _, noun in ipairs {"events", "checkpoints", "metrics"} do
        local name = ("job-%s/%s.json"):format(noun, job.id)
        assert.equal(live.read(("%s/copy/%s"):format(tmp, name)), live.read(("%s/%s/%s"):format(tmp, folder, name)))
      end
      local contents_of = 0
      for line, times in pairs(counts) do contents_of = contents_of + (line:find "/content" and times or 0) end
      assert.equal(fault.path:find "content" and 3 or 2, contents_of)
      assert.same({}, cli.json("finetune inventory " .. folder).exported)
    end)
  end

  it("takes a content that is there, and was only not noted down", function()
    shell.must(("mkdir -p found/content && cp copy/content/%s.jsonl found/content"):format(file.id), {cwd = tmp})
    server:clear()
    cli.must "finetune inventory found"
    assert.equal(1, #contents())
    assert.matches(live.sha256(("%s/found/content/%s.jsonl"):format(tmp, file.id)),
      live.read(tmp .. "/found/manifest.jsonl"), 1, true)
  end)

  it("copies the events of a job whose results cannot be had now, and its metrics later", function()
    server:fault {kind = "status", status = 500, path = "/content$", times = "always", headers = {["x-should-retry"] =
      "false"}}
    local status, _, err = cli.run "finetune inventory later --timeout 20"
    assert.equal(4, status)
    assert.matches("job ftjob%S+ could not be copied", err)
    assert.is_table(core.fs.stat(("%s/later/job-events/%s.json"):format(tmp, job.id)))
    assert.is_nil(core.fs.stat(("%s/later/job-metrics/%s.json"):format(tmp, job.id)))
    server:clear()
    cli.must "finetune inventory later"
    assert.equal(live.read(("%s/copy/job-metrics/%s.json"):format(tmp, job.id)),
      live.read(("%s/later/job-metrics/%s.json"):format(tmp, job.id)))
  end)

  it("is alone in its folder: a second one is told who fills it", function()
    server:fault {kind = "stall", path = "/events$", seconds = 6}
    local line = ("{ '%s' inventory both >told 2>&1; echo $? >ended; } & "):format(clis.path)
    local status, _, err = cli.run(line .. [[
      while ! test -e both/.lock/holder; do sleep 0.1; done
      finetune inventory both; code=$?; wait; exit $code]])
    assert.equal(1, status, err)
    local told = "finetune inventory: both is being filled by another process, %d+\n  next: wait for it, or take"
    assert.matches(told, err)
    assert.equal("0\n", live.read(tmp .. "/ended"))
    assert.is_nil(core.fs.stat(tmp .. "/both/.lock"))
  end)

  it("takes the place of one that was killed, and of a process that has its number now", function()
    for _, holder in ipairs {"999999 - $(uname -n)", "$$ 1 $(uname -n)", ""} do
      shell.must(("mkdir -p copy/.lock; printf '%%s\\n' \"%s\" >copy/.lock/holder"):format(holder), {cwd = tmp})
      assert.same({}, cli.json("finetune inventory copy").exported)
      assert.is_nil(core.fs.stat(tmp .. "/copy/.lock"))
    end
    shell.must("mkdir -p copy/.lock; echo '1 - elsewhere' >copy/.lock/holder", {cwd = tmp})
    local status, _, err = cli.run "finetune inventory copy"
    assert.equal(1, status)
    assert.matches("another process, 1 on elsewhere\n  next: wait for it; if it is gone: rm %-r copy/.lock", err)
    shell.must("rm -r copy/.lock", {cwd = tmp})
  end)

  it("fetches again what is gone, or is not whole any more", function()
    server:clear()
    shell.must(("rm %s/copy/content/%s.jsonl && echo >>%s/copy/job/%s.json"):format(tmp, file.id, tmp, job.id))
    local doc = cli.json "finetune inventory copy"
    assert.equal(2, #doc.exported)
    assert.equal(1, #contents())
  end)

  it("goes on where it was killed, even in the middle of a line", function()
    cli.must "finetune inventory torn"
    local path = tmp .. "/torn/manifest.jsonl"
    local whole = live.read(path)
    local out <close> = assert(io.open(path, "wb"))
    out:write(whole:sub(1, #whole // 2))
    out:close()
    server:clear()
    local doc = cli.json "finetune inventory torn"
    assert.is_true(doc.kept > 0 and #doc.exported > 0)
    assert.equal(whole, live.read(path))
  end)

  it("takes away what one that was killed was writing, and nothing else", function()
    cli.must "finetune inventory swept"
    local left = {"content/file-1.jsonl.12-0.tmp", "job-events/x.json.12-3.tmp", "manifest.jsonl.7-1.tmp"}
    local others = {"notes.12-0.tmp", "content/12-0.tmp.txt"}
    for _, list in ipairs {left, others} do
      for _, path in ipairs(list) do assert(core.fs.write(("%s/swept/%s"):format(tmp, path), "x")) end
    end
    cli.must "finetune inventory swept"
    for _, path in ipairs(left) do assert.is_nil(core.fs.stat(("%s/swept/%s"):format(tmp, path)), path) end
    for _, path in ipairs(others) do assert.is_truthy(core.fs.stat(("%s/swept/%s"):format(tmp, path)), path) end
  end)

  it("tells what could not be copied, copies the rest, and ends with 4", function()
    server:fault {kind = "status", status = 404, path = "/content$", times = "always"}
    local status, out, err = cli.run "finetune inventory part"
    assert.equal(4, status)
    assert.matches("things copied to part", out)
    assert.matches("file " .. file.id:gsub("%p", "%%%0") .. " could not be copied: ", err)
    server:clear()
    local doc = cli.json "finetune inventory part"
    assert.equal(2, #doc.exported)
    assert.equal("content", doc.exported[1].kind)
  end)

  it("says what it cannot do with a folder that is a file, or that it may not write to", function()
    shell.must(("echo >%s/taken"):format(tmp))
    local status, _, err = cli.run "finetune inventory taken"
    assert.equal(1, status)
    assert.matches("finetune inventory: taken", err)
    assert.equal(1, (cli.run "finetune inventory /proc/none"))
  end)

  it("makes no paths of hostile ids", function()
    for _, id in ipairs {"../../etc/passwd", "a/b", ".hidden", "..", "x\0y", "nul\n", ("l"):rep(500)} do
      local name = archive.name(id)
      assert.matches("^[%w_][%w._-]*$", name)
      assert.is_true(#name <= 120)
    end
    assert.not_equal(archive.name "a/b", archive.name "a_b")
    assert.not_equal(archive.name "a/b", archive.name "a:b")
    assert.equal("ftjob-1", archive.name "ftjob-1")
  end)

  it("makes one name of what a service calls a file", function()
    for theirs, ours in pairs {["a.jsonl"] = "a.jsonl", ["../../x"] = "x", ["/etc/passwd"] = "passwd",
        [".profile"] = "profile", ["-rf"] = "rf", ["C:\\x\\y.txt"] = "y.txt", ["a\n\27[2Jb"] = "a b",
        [""] = "file-1", ["dir/"] = "file-1"} do
      assert.equal(ours, files.local_name({filename = theirs}, "file-1"))
    end
  end)
end)
