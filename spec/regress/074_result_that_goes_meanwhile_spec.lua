-- A file of a job's result that another process had taken away between two calls was a failure without an error, on
-- which the look at the job then broke ("attempt to index a nil value").

local core = require "finetune.core"
local shell = require "spec.support.shell"
local stores = require "finetune.store"

describe("a result that another process takes away meanwhile", function()
  it("is an error with words", function()
    local folder, link = shell.folder(), core.fs.link
    finally(function()
      core.fs.link = link
      shell.remove(folder)
    end)
    shell.must(("mkdir %s/from %s/to && touch %s/from/model"):format(folder, folder, folder))
    core.fs.link = function(from)
      os.remove(from)
      return nil, "it has gone", 2
    end
    local ok, err = stores.link_tree(folder .. "/from", folder .. "/to")
    assert.is_nil(ok)
    assert.equal("server", err.kind)
    assert.matches("model: No such file", err.message)
  end)
end)
