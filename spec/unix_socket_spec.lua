-- The setting unix_socket: requests go to a socket in the file system, whatever host base_url names.

local core = require "finetune.core"
local finetune = require "finetune"
local shell = require "spec.support.shell"

-- A server in a process of its own: answers each request with {"id": "<its first line>"}, for a few seconds
local SERVER = [[
local cqueues, socket = require "cqueues", require "cqueues.socket"
local server = socket.listen {path = arg[1], unlink = true}
assert(server:listen())
local loop = cqueues.new()
loop:wrap(function()
  for peer in server:clients() do
    loop:wrap(function()
      for first in peer:lines "*l" do
        local seen = {first:gsub("\r", "")}
        for line in peer:lines "*l" do
          line = line:gsub("\r", "")
          if line == "" then break end
          seen[#seen + 1] = line:lower()
        end
        local body = ('{"id":"%s"}'):format(table.concat(seen, "|"):gsub('"', "'"))
        peer:write(("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"):format(#body, body))
        peer:flush()
      end
    end)
  end
end)
loop:loop(20)
]]

describe("unix_socket", function()
  local folder, child

  lazy_setup(function()
    folder = shell.folder()
    local file = assert(io.open(folder .. "/server.lua", "wb"))
    file:write(SERVER)
    file:close()
    child = assert(core.spawn {argv = {"lua5.4", folder .. "/server.lua", folder .. "/s"}, stderr = folder .. "/err"})
    local limit = core.now() + 60
    while not core.fs.stat(folder .. "/s") and core.now() < limit do shell.run "sleep 0.02" end
  end)
  lazy_teardown(function()
    local _ <close> = child
    shell.remove(folder)
  end)

  it("carries the requests of an instance", function()
    local p <close> = assert(finetune.create_provider("openai", {api_key = "k-12345678", max_retries = 0,
      base_url = "http://nowhere.invalid/v1", unix_socket = folder .. "/s"}))
    for _ = 1, 2 do
      local job = assert(p:get_job "j")
      assert.matches("^GET /v1/fine_tuning/jobs/j HTTP/1%.1|.*host: nowhere%.invalid", job.id)
      assert.matches("authorization: bearer k%-12345678", job.id)
    end
  end)

  it("is of that instance only", function()
    local p <close> = assert(finetune.create_provider("openai", {api_key = "k-12345678", max_retries = 0,
      base_url = "http://127.0.0.1:1/v1"}))
    local _, err = p:get_job "j"
    assert.equal("transport", err.kind)
  end)

  it("that is not there is a transport error", function()
    local p <close> = assert(finetune.create_provider("openai", {api_key = "k-12345678", max_retries = 0,
      unix_socket = folder .. "/nobody", base_url = "http://localhost/v1"}))
    local _, err = p:get_job "j"
    assert.equal("transport", err.kind)
    assert.is_false(err.sent)
  end)
end)
