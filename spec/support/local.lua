-- What the specs of providers/local.lua share: a function -> a table with the functions and texts below, for one
-- describe; open() and close() belong into its before_each and after_each.

local assert = require "luassert"
local finetune = require "finetune"
local shell = require "spec.support.shell"

local EXAMPLE = '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'
local TRAIN = [[for i in 1 2 3; do printf '{"step":%s,"total_steps":3,"loss":0.%s}\n' $i $i >>"$3"; done
    wc -l <"$1" >"$2/model"]]

return function()
  local M = {EXAMPLE = EXAMPLE, TRAIN = TRAIN}
  local folder, provider

  -- -> a folder of the test's own, the store in it, the provider on that
  function M.open()
    folder = shell.folder()
    local home = folder .. "/a \"store\"\nwith 'quotes' $(id)"
    provider = assert(finetune.create_provider("local", {home = home, grace = 0.5}))
    return folder, home, provider
  end

  function M.close()
    for job in provider:jobs() do
      if not job.error and not job.finished_at then provider:cancel_job(job) end
    end
    provider:close()
    shell.remove(folder)
  end

  function M.write(name, text)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(text)
    file:close()
    return folder .. "/" .. name
  end

  function M.read(path)
    local file <close> = io.open(path, "rb")
    return file and file:read "a"
  end

  function M.upload(n) return assert(provider:upload_file(M.write("data.jsonl", EXAMPLE:rep(n or 3)))) end

  -- create_job with a line of shell: $1 the training file, $2 the result's folder, $3 the events
  function M.create(script, more)
    local p = {model = "command", training_file = more and more.training_file or M.upload(),
      command = {"sh", "-c", script, "sh", "{training}", "{output}", "{events}"}}
    for key, value in pairs(more or {}) do p[key] = value end
    for _, word in ipairs(more and more.words or {}) do p.command[#p.command + 1] = word end
    p.words = nil
    return provider:create_job(p)
  end

  function M.ended(job) return provider:wait(job, {interval = 0.01, max_interval = 0.05, timeout = 20}) end

  return M
end
