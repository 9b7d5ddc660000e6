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
