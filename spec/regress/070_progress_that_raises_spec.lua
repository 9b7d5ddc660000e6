-- A raising on_progress got out of prepare_data and of uploads, but the call went on: its temporary file stayed and
-- grew, and the next operation, of whomever, raised the same again.

local data = require "spec.support.dataset"
local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

describe("an on_progress that raises", function()
  local box, s

  before_each(function()
    box, s = data.box(), service.start()
    box.write("raw.jsonl", (data.GOOD .. "\n"):rep(200000))
  end)
  after_each(function()
    box.close()
    s:stop()
    live.clean()
  end)

  local function raise() error "from my progress" end

  -- f() raises that, once, and leaves nothing: no call, no file
  local function ends(f)
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.matches("from my progress", tostring(err), 1, true)
    finetune.step(0)
    assert.equal(0, finetune.pending())
    assert.same({"raw.jsonl"}, box.names())
    assert(box.provider:prepare_data {data.GOOD})
  end

  local function prepare()
    return box.provider:prepare_data {path = box.path "raw.jsonl", output = box.path "out.jsonl", on_progress = raise}
  end

  it("ends prepare_data of a file", function() ends(prepare) end)

  it("ends prepare_data in finetune.run, and what runs beside it", function()
    local slept
    ends(function()
      finetune.run(prepare, function()
        finetune.sleep(60)
        slept = true
      end)
    end)
    assert.is_nil(slept)
  end)

  it("ends an upload, and takes back what was sent of it", function()
    local provider = live.provider(s)
    local path = live.file(live.lines(20000))
    ends(function() provider:upload_file(path, {filename = "t.jsonl", on_progress = raise}) end)
    ends(function() provider:upload_file(path, {filename = "t.jsonl", part_size = 10000, on_progress = raise}) end)
    live.until_true(function()
      for _, upload in pairs(s:state().uploads) do
        if upload.status ~= "cancelled" then return false end
      end
      return true
    end)
    assert.equal(1, #s:requests {method = "POST", path = "/cancel$"})
  end)
end)
