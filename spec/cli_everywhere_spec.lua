-- Every command against the loopback service, against one that is not OpenAI's, and on this machine: what it writes
-- for people is as spec/cli/SERVICE.txt has it, for programs as the schema says. After a change that is meant:
--   FINE_TUNE_GOLDEN=write busted spec/cli_everywhere_spec.lua, and look at the difference.

local clis = require "spec.support.cli"
local commands = require "finetune.cli.commands"
local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local SUPPORT = shell.root .. "/examples/data/support.jsonl"

-- command -> its words; the kind of its document. JOB: one that has succeeded, GOING: one that has not ended,
-- FILE, MODEL: of the service, new ones each time
local LINES = {
  {"check", "valid.jsonl", "check"},
  {"prepare", "valid.jsonl -o ready.jsonl --validation 0.2 --shuffle 7 --force", "prepare"},
  {"tune", "train.jsonl --model BASE --epochs 1 --yes", "tune"},
  {"jobs", "--status succeeded", "jobs"},
  {"status", "JOB", "job"},
  {"watch", "JOB --interval 0.05", "watched"},
  {"pause", "GOING", "job"},
  {"resume", "PAUSED", "job"},
  {"cancel", "GOING", "job"},
  {"events", "JOB", "events"},
  {"metrics", "JOB", "metrics"},
  {"checkpoints", "JOB", "checkpoints"},
  {"upload", "train.jsonl", "files"},
  {"files", "", "files"},
  {"download", "FILE -o copy --force", "download"},
  {"rm", "FILE", "rm"},
  {"models", "--mine", "models"},
  {"sample", "MODEL 'Where is my invoice?'", "sample"},
  {"evaluate", "MODEL valid.jsonl --limit 3", "evaluation"},
  {"inventory", "copy-of-all", "inventory"},
  {"model", "rm MODEL", "deleted"},
  {"providers", "NAME", "providers"},
  {"doctor", "--offline", "findings"},
  {"completion", "bash | head -n 3"},
}

-- What a list has is told once, however many there are by now
local LISTS = {files = true, models = true, jobs = true}

-- What a service cannot do: command -> exit code
local CANNOT = {together = {pause = 2, resume = 2}, ["local"] = {checkpoints = 2}}

-- ---- the three ----

local function loopback(dialect, name, prefix)
  return function(tmp)
    local s = service.start {dialect = dialect, job_seconds = 0.2}
    local env = {FINE_TUNE_PROVIDER = name, [prefix .. "_API_KEY"] = s.key, [prefix .. "_BASE_URL"] = s.url}
    local provider = assert(finetune.create_provider(name, {api_key = s.key, base_url = s.url}))
    clis.write(tmp .. "/train.jsonl", live.lines(12))
    clis.write(tmp .. "/valid.jsonl", live.lines(10))
    local at = {provider = provider, env = env, base = s.model, stop = function() s:stop() end}
    function at.params(seconds)
      s:set {job_seconds = seconds}
      return {model = s.model, seed = 7, hyperparameters = {n_epochs = 1}}
    end
    return at
  end
end

local function here(tmp)
  if not shell.has "fasttext" then return nil, "there is no fasttext" end
  local home = tmp .. "/store"
  local provider = assert(finetune.create_provider("local", {home = home}))
  shell.must(("cp %s %s/train.jsonl; head -n 20 %s/train.jsonl >%s/valid.jsonl"):format(shell.quote(SUPPORT), tmp, tmp,
    tmp))
  local at = {provider = provider, env = {FINE_TUNE_PROVIDER = "local", FINE_TUNE_HOME = home}, base = "fasttext",
    stop = function() end}
  function at.params(seconds)
    if seconds < 1 then return {model = "fasttext", seed = 7} end
    return {model = "command", command = {"sh", "-c", "sleep 30", "{training}"}}
  end
  return at
end

local WHERE = {openai = loopback("openai", "openai", "OPENAI"), together = loopback("together", "together", "TOGETHER"),
  ["local"] = here}

-- ---- what changes from run to run ----

local CHANGES = {
  {"ftjob%-%w+", "JOB"}, {"job%-%d+%-%d+%-%d+%-%x+", "JOB"}, {"%f[%w]ft%-%w+", "JOB"}, {"ftckpt_%w+", "CHECKPOINT"},
  {"file%-%d+%-%d+%-%d+%-%x+", "FILE"}, {"file%-%w+", "FILE"}, {"loop/tiny%-chat%-1%-%w+", "MODEL"},
  {"ft:[%w:.-]*%w", "MODEL"}, {"local:[%w-]+", "MODEL"}, {"%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d", "DATE"},
  {"%d%d%d%d%-%d%d%-%d%d %d%d:%d%d", "DATE"}, {"%d%d%d%d%-%d%d%-%d%d", "DATE"}, {"%f[%d]%d%d:%d%d:%d%d", "TIME"},
  {"%f[%w]%d+s%f[%W]", "TOOK"}, {"is created: %a+", "is created: STATUS"}, {"(%d+ jobs): [^\n]*", "%1: ..."},
  {"%d+ things", "N things"}, {"%d+ files, [^\n]*", "N files"}, {"%d+ models", "N models"},
}
-- What fastText learns is not the same on every machine
local LEARNED = {{"precision and recall: [^\n]*", "..."}, {"taken for another: [^\n]*", "..."},
  {"held%-out accuracy [^\n]*", "..."}, {"loss %d[%d.]*", "loss N"}, {" +%d[%d.]* ┤", "N ┤"}}

local function settled(out, tmp, here_learned)
  out = out:gsub(tmp:gsub("%p", "%%%0"), "TMP"):gsub(shell.root:gsub("%p", "%%%0"), "ROOT")
    :gsub("http://127%.0%.0%.1:%d+", "URL"):gsub("curl  +%d[^\n]*", "curl VERSION")
  out = out:gsub("finetune  +%d[%d.]*", "finetune VERSION")
  for _, list in ipairs {CHANGES, here_learned and LEARNED or {}} do
    for _, change in ipairs(list) do out = out:gsub(change[1], change[2]) end
  end
  return out
end

-- Each line once: how many there are depends on which job was quicker
local function distinct(out)
  local seen, lines = {}, {}
  for line in out:gmatch "[^\n]*\n" do
    if not seen[line] then lines[#lines + 1] = line end
    seen[line] = true
  end
  return table.concat(lines)
end

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a" or ""
end

describe("every command", function()
  for name, begin in pairs(WHERE) do
    describe("at " .. name, function()
      local tmp, at, why, cli, job, file, going

      local function create(seconds)
        local params = at.params(seconds)
        params.training_file = file
        return assert(at.provider:create_job(params))
      end

      lazy_setup(function()
        tmp = shell.folder()
        at, why = begin(tmp)
        if not at then return end
        at.env.TIKTOKEN_CACHE_DIR = tmp .. "/vocabularies"
        cli = clis.new(tmp, at.env)
        file = assert(at.provider:upload_file(tmp .. "/train.jsonl", {wait = true}))
        job = assert(at.provider:wait(create(0.2), {interval = 0.05}))
      end)

      lazy_teardown(function()
        if going and name == "local" then at.provider:cancel_job(going) end
        if at then at.stop() end
        shell.remove(tmp)
      end)

      local PUT = {BASE = function() return at.base end, NAME = function() return name end,
        JOB = function() return job.id end,
        FILE = function() return assert(at.provider:upload_file(tmp .. "/valid.jsonl")).id end,
        MODEL = function(command)
          if command ~= "model" then return job.fine_tuned_model end
          return assert(at.provider:wait(create(0.2), {interval = 0.05})).fine_tuned_model
        end,
        GOING = function()
          if going and name == "local" then at.provider:cancel_job(going) end -- it has one place for a job
          local made = create(60)
          going = made
          live.until_true(function() return name ~= "local" or at.provider:get_job(made).status == "running" end, 10)
          return made.id
        end}

      function PUT.PAUSED()
        local id = PUT.GOING()
        at.provider:pause_job(id)
        return id
      end

      -- -> exit code, output, stderr
      local function run(line, more)
        local words = line[2]:gsub("%u%u%u+", function(word) return PUT[word] and PUT[word](line[1]) end)
        return cli.run(("finetune %s %s%s"):format(line[1], words, more or ""))
      end

      local function is_right(line, code, err)
        local wanted = (CANNOT[name] or {})[line[1]] or 0
        assert.equal(wanted, code, line[1] .. "\n" .. err)
        return wanted == 0
      end

      it("writes for people what it always writes", function()
        if not at then return pending(why) end
        local parts = {}
        for _, line in ipairs(LINES) do
          local code, out, err = run(line)
          is_right(line, code, err)
          local learned = name == "local" and (line[1] == "sample" or line[1] == "evaluate")
          if learned then
            assert.matches("^%S", out)
            out = "...\n"
          end
          out = settled(out, tmp, name == "local")
          if LISTS[line[1]] then out = distinct(out) end
          parts[#parts + 1] = ("$ finetune %s %s\n%s%s"):format(line[1], line[2], out,
            settled(err, tmp):gsub("[^\n]+", "! %0"))
        end
        local path, now = ("%s/spec/cli/%s.txt"):format(shell.root, name), table.concat(parts, "\n")
        if os.getenv "FINE_TUNE_GOLDEN" == "write" then clis.write(path, now) end
        assert.equal(read(path), now)
      end)

      it("writes for programs what the schema says", function()
        if not at then return pending(why) end
        for _, line in ipairs(LINES) do
          if line[3] then
            local code, out, err = run(line, " --json")
            if is_right(line, code, err) then
              assert.equal("", err)
              local docs = {}
              for text in out:gmatch "[^\n]+" do docs[#docs + 1] = assert(core.decode(text), text) end
              if line[3] == "watched" then
                for i = 1, #docs - 1 do assert.is_nil(schema.wrong("told", docs[i])) end
                assert.is_nil(schema.wrong("ended", docs[#docs]))
              else
                assert.equal(1, #docs)
                assert.is_nil(schema.wrong(line[3], docs[1]), line[1])
              end
            else
              assert.is_nil(schema.wrong("failed", assert(core.decode(err))))
            end
          end
        end
      end)
    end)
  end

  it("is among them", function()
    local seen = {}
    for _, line in ipairs(LINES) do seen[line[1]] = true end
    for _, command in ipairs(commands.list) do assert.is_true(seen[command.name], command.name) end
  end)
end)
