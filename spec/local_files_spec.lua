-- providers/local.lua: the files of a store, and what somebody else may put in their place.

local core = require "finetune.core"
local shell = require "spec.support.shell"
local store = require "spec.support.local"()

local write, read, upload, create, ended = store.write, store.read, store.upload, store.create, store.ended
local EXAMPLE, TRAIN = store.EXAMPLE, store.TRAIN

describe("local keeps files", function()
  local folder, home, provider

  before_each(function() folder, home, provider = store.open() end)
  after_each(store.close)

  it("that it has checked, byte for byte", function()
    local text = '{"messages" : [{"role":"user","content":"\\u00e4"},  {"role":"assistant","content":"a"}] }\n'
    local file = assert(provider:upload_file(write("x.jsonl", text), {filename = "my \"file\".jsonl"}))
    assert.same({#text, "processed", "fine-tune", "my \"file\".jsonl"},
      {file.bytes, file.status, file.purpose, file.filename})
    assert.equal(text, provider:download_file(file))
    local out = folder .. "/out.jsonl"
    assert.same({path = out, bytes = #text}, provider:download_file(file, {output = out}))
    assert.equal(text, read(out))
    assert.equal("decode", select(2, provider:download_file(file, {max_bytes = 5})).kind)
    assert.equal("data", select(2, provider:download_file(file, {output = folder .. "/no/x"})).kind
      == "server" and "data")
    write("x.jsonl", "changed")
    assert.equal(text, provider:download_file(file))
    assert.same({deleted = true, id = file.id}, provider:delete_file(file))
    assert.equal("not_found", select(2, provider:get_file(file)).kind)
    assert.equal("not_found", select(2, provider:delete_file(file)).kind)
  end)

  it("and refuses bad examples with their line, unless told that they are something else", function()
    local path = write("bad.jsonl", EXAMPLE .. '{"messages":[]}\n')
    local file, err = provider:upload_file(path)
    assert.is_nil(file)
    assert.equal("data", err.kind)
    assert.equal(2, err.report.errors[1].line)
    assert.same({}, core.list_dir(home .. "/files"))
    file = assert(provider:upload_file(path, {check = false}))
    assert.equal(EXAMPLE .. '{"messages":[]}\n', provider:download_file(file))
    assert.equal("other", assert(provider:upload_file(path, {purpose = "other"})).purpose)
    assert.is_nil((provider:upload_file(folder .. "/nothing", {check = false})))
    assert.is_nil((provider:upload_file(folder .. "/nothing")))
  end)

  it("in lists of pages, the newest first or last, of one purpose", function()
    local ids = {}
    for i = 1, 5 do
      ids[i] = assert(provider:upload_file(write("x.jsonl", EXAMPLE), {purpose = i % 2 == 0 and "even" or nil,
        check = false})).id
      shell.run "sleep 0.002"
    end
    local page = provider:list_files {limit = 2}
    assert.same({ids[5], ids[4], true}, {page.data[1].id, page.data[2].id, page.has_more})
    local got = {}
    for file in provider:files {limit = 2, order = "asc"} do got[#got + 1] = file.id end
    assert.same(ids, got)
    got = {}
    for file in provider:files {limit = 1, purpose = "even"} do got[#got + 1] = file.id end
    assert.same({ids[4], ids[2]}, got)
  end)

  it("and tells where one is not what it was", function()
    local file = upload()
    local dir = home .. "/files/" .. file.id
    shell.must("truncate -s 5 " .. shell.quote(dir .. "/data.jsonl"))
    assert.equal("error", provider:get_file(file).status)
    assert.equal("data", select(2, provider:download_file(file)).kind)
    assert.equal("data", select(2, create(TRAIN, {training_file = file})).kind)
    for _, text in ipairs {"", "{", "[]", '{"bytes":"x","filename":{},"created_at":1e999}'} do
      assert(core.fs.write(dir .. "/file.json", text))
      local found, err = provider:get_file(file)
      assert.is_true(found and found.status == "error" or err.kind == "server")
      assert(provider:list_files())
    end
  end)

  it("so that a job does not miss one that is deleted", function()
    local blocker = assert(create "sleep 100")
    local job = assert(create(TRAIN))
    assert(provider:delete_file(job.training_file))
    assert(provider:cancel_job(blocker))
    assert.equal("3\n", read(provider:get_model(assert(ended(job)).fine_tuned_model).raw.dir .. "/model"))
  end)

  it("and says what to do with a path where a file's id is wanted, and who refused one", function()
    local path = write("support.jsonl", EXAMPLE)
    local _, err = create(TRAIN, {training_file = path})
    assert.equal("not_found", err.kind)
    assert.matches("upload_file takes it", err.message)
    _, err = create(TRAIN, {training_file = path .. "x"})
    assert.is_nil(err.message:find("upload_file", 1, true))
    _, err = provider:upload_file(folder .. "/nope")
    assert.equal("upload_file", err.op)
    write("bad.jsonl", "{}\n")
    _, err = provider:upload_file(folder .. "/bad.jsonl")
    assert.same({"upload_file", "data", 1}, {err.op, err.kind, #err.report.errors})
  end)

  it("from trainers that write into their data", function()
    local file = upload()
    local job = assert(ended(assert(create("echo no >\"$1\"; echo >\"$2/model\"", {training_file = file}))))
    assert.equal("succeeded", job.status)
    assert.equal(EXAMPLE:rep(3), provider:download_file(file))
    assert.equal("processed", provider:get_file(file).status)
  end)

  it("for nobody but their owner", function()
    upload()
    assert.equal("700\n", shell.must("stat -c %a " .. shell.quote(home)))
  end)

  it("whatever was put in the place of one: a pipe is not waited for", function()
    local job = assert(ended(assert(create(TRAIN))))
    local file, dir = upload(), home .. "/jobs/" .. job.id
    local function pipe(path)
      shell.must(("rm -f %s; mkfifo %s"):format(shell.quote(path), shell.quote(path)))
    end
    pipe(dir .. "/events.jsonl")
    assert.equal("job succeeded", assert(provider:list_events(job)).data[1].message)
    pipe(dir .. "/state.json")
    assert.equal("damaged", assert(provider:get_job(job)).error.code)
    pipe(home .. "/files/" .. file.id .. "/file.json")
    assert.equal("server", select(2, provider:get_file(file)).kind)
    pipe(home .. "/files/" .. file.id .. "/data.jsonl")
    assert.is_nil((provider:download_file(file)))
    local failing = assert(create("rm ../log 2>/dev/null; rm -f log; mkfifo log; exit 3"))
    assert.equal("exit_status", select(2, ended(failing)).code)
  end)
end)
