-- `finetune watch`: in a pipe, for programs, and in a real pseudo-terminal: what is drawn, Ctrl-C, resizing, trouble.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local live = require "spec.support.live"
local schema = require "spec.cli.schema"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local CTRL_C = "\3"

describe("finetune watch", function()
  local server, tmp, cli, provider, file

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.4, job_waits = true}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    provider = live.provider(server)
    file = assert(provider:upload_file(live.file(live.lines(12)), {filename = "train.jsonl"})).id
  end)

  after_each(function()
    server:clear()
    server:set {job_seconds = 0.4}
  end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
    live.clean()
  end)

  local function create(seconds, params)
    server:set {job_seconds = seconds or 0.4}
    local p = {model = server.model, training_file = file}
    for name, value in pairs(params or {}) do p[name] = value end
    return assert(provider:create_job(p)).id
  end

  -- A pattern that is just this text
  local function plain(s) return (s:gsub("%p", "%%%0")) end

  local function line_of(ids, more)
    return ("finetune watch --interval 0.05 %s %s"):format(more or "", table.concat(ids, " "))
  end

  describe("in a pipe", function()
    it("writes what one job says, and what to do with its model", function()
      local id = create()
      local out, err = cli.must(line_of {id})
      assert.matches("^%d%d:%d%d:%d%d  info   Created fine%-tuning job: " .. plain(id), out)
      assert.matches("\n%d%d:%d%d:%d%d  " .. plain(id) .. "  succeeded  step 36 of 36  loss 0%.45  %ds\n$", out)
      assert.matches("^The model is (ft:%S+)%. To ask it: finetune sample ft:%S+ 'text'\n$", err)
      assert.is_nil(out:find "\27", out)
    end)

    it("of old events shows the last ones, and says where the others are", function()
      local id = create(0.1)
      provider:wait(id, {interval = 0.05})
      for i = 1, 3 do server:jump(id, i / 3) end
      local out = cli.must(line_of {id})
      assert.matches("^%(%d+ events before: finetune events " .. plain(id) .. "%)\n", out)
    end)

    it("writes a line where something changes, for several jobs", function()
      local one, two = create(), create()
      local out, err = cli.must(line_of {one, two})
      for _, id in ipairs {one, two} do
        assert.matches("  " .. plain(id) .. "  succeeded  ", out)
      end
      assert.not_matches("Created fine%-tuning job", out)
      assert.equal("", err)
    end)

    it("without ids watches all that have not ended, or says that there are none", function()
      local id = create(1)
      assert.matches("  " .. plain(id) .. "  succeeded", cli.must "finetune watch --interval 0.05")
      local out, err = cli.must "finetune watch"
      assert.same({"", "No job is under way.\n"}, {out, err})
    end)

    it("ends with 1 for a job that failed, 5 for one that was cancelled, 4 for one that is not there", function()
      server:set {fail = {code = "bad_data", message = "line 3 \27[31mis bad"}}
      local bad = create(0.1)
      server:set {fail = false}
      local status, out, err = cli.run(line_of {bad})
      assert.equal(1, status)
      assert.matches(bad .. " failed: line 3 is bad\n", err, 1, true)
      assert.is_nil(out:find "\27")

      local stopped = create(30)
      assert(provider:cancel_job(stopped))
      assert.equal(5, (cli.run(line_of {stopped})))

      status, out, err = cli.run(line_of {"ftjob-nobody"})
      assert.same({4, ""}, {status, out})
      assert.matches("finetune watch ftjob%-nobody: .*\n  why:  openai, HTTP 404.*\n  next: finetune jobs", err)
      assert.equal(1, (cli.run(line_of {stopped, bad, "ftjob-nobody"})))
    end)

    it("ends with what went wrong in the command itself, too", function()
      local lua = tmp .. "/broken"
      shell.must(("mkdir -p %s && cp -r %s/lua/finetune %s/"):format(lua, shell.root, lua))
      shell.must("sed -i 's/^local function follow(self, options)/& error [[broken]]/' finetune/cli/follow.lua",
        {cwd = lua})
      local status, _, err = cli.run(("timeout 10 %s watch a b"):format(shell.quote(lua .. "/finetune/cli/finetune")))
      assert.equal(1, status)
      assert.matches("a mistake in the command itself: ", err, 1, true)
    end)

    it("ends with 4 when --timeout comes first: the job goes on", function()
      local id = create(30)
      local status, _, err = cli.run(line_of({id}, "--timeout 0.3"))
      assert.equal(4, status)
      assert.matches("it goes on", err)
      provider:cancel_job(id)
    end)

    it("says that the connection is lost, and goes on when it is back", function()
      local id = create(1.5)
      server:fault {kind = "status", status = 503, times = 8, skip = 4}
      local out = cli.must(line_of {id})
      assert.matches("\nopenai cannot be reached %(.-%); it is tried again\n", out)
      assert.matches("\nThe connection is back%.\n", out)
      assert.matches("succeeded", out)
    end)

    it("ends with 130 at SIGINT, and says that the job goes on", function()
      if not shell.has "timeout" then return pending "there is no timeout" end
      local id = create(30)
      local command = "timeout --foreground --preserve-status --signal=INT 1 " .. shell.quote(clis.path)
      local status, _, err = cli.run(command .. " watch " .. id)
      assert.equal(130, status)
      assert.matches(id .. " goes on at openai.\n  to watch it again: finetune watch " .. id
        .. "\n  to cancel it:      finetune cancel " .. id, err, 1, true)
      assert.not_equal("cancelled", assert(provider:get_job(id)).status)
      provider:cancel_job(id)
    end)

    it("says of many jobs for each provider how to watch them again", function()
      if not shell.has "timeout" then return pending "there is no timeout" end
      local ids = {}
      for i = 1, 6 do ids[i] = create(30) end
      local command = "timeout --foreground --preserve-status --signal=INT 1 " .. shell.quote(clis.path)
      local _, _, err = cli.run(command .. " --provider openai watch", {FINE_TUNE_PROVIDER = "local"})
      assert.matches("%d+ jobs go on. To watch them again:\n  finetune %-%-provider openai watch\n", err)
      for _, id in ipairs(ids) do provider:cancel_job(id) end
    end)
  end)

  it("loses no SIGINT, whenever it comes", function()
    if not shell.has "timeout" then return pending "there is no timeout" end
    local id, told = create(3600), 0
    local start = live.timed(function() cli.must "finetune jobs" end)
    -- so busy that it comes in the middle of something
    for i = 1, 20 do
      -- in the foreground: else it signals its whole group as well, and a second SIGINT leaves at once
      local line = "timeout --foreground --preserve-status --signal=INT -k 60 %.3f %s watch --interval 0.001 %s"
      local status, out, err = cli.run(line:format(1.5 * start + i * 0.017, shell.quote(clis.path), id))
      assert.equal(130, status, out .. err)
      if out ~= "" then -- else it had not begun
        assert.matches(" goes on at openai.", err, 1, true)
        told = told + 1
      end
    end
    assert.is_true(told > 5, told)
    provider:cancel_job(id)
  end)

  it("writes JSON lines, one an event, and the jobs at the end", function()
    local one, two = create(), create()
    local status, out = cli.run(line_of({one, two, "ftjob-nobody"}, "--json"))
    assert.equal(4, status)
    local events, jobs = {}, {}
    for line in out:gmatch "[^\n]+" do
      local doc = assert(core.decode(line))
      if doc.error then
        assert.is_nil(schema.wrong("unwatched", doc))
        assert.same({"ftjob-nobody", 404, 4}, {doc.job, doc.error.status, doc.exit})
      elseif doc.event then
        assert.is_nil(schema.wrong("told", doc))
        events[doc.job] = (events[doc.job] or 0) + 1
      else
        assert.is_nil(schema.wrong("ended", doc))
        jobs[doc.job.id] = doc.job.status
      end
    end
    assert.same({[one] = "succeeded", [two] = "succeeded"}, jobs)
    assert.is_true(events[one] > 30 and events[two] > 30)
  end)

  it("watches jobs of several providers at once", function()
    local other <close> = service.start {dialect = "together", job_seconds = 0.4}
    local there = assert(require("finetune").create_provider("together", {api_key = other.key, base_url = other.url}))
    local up = assert(there:upload_file(live.file(live.lines(12)), {filename = "train.jsonl"}))
    local made = assert(there:create_job {model = other.model, training_file = up, hyperparameters = {n_epochs = 1}})
    local ours = create()
    local env = {TOGETHER_API_KEY = other.key, TOGETHER_BASE_URL = other.url}
    local out = cli.must(line_of({ours, "together/" .. made.id}, "--json"), env)
    local seen = {}
    for line in out:gmatch "[^\n]+" do
      local doc = assert(core.decode(line))
      if not doc.event then seen[doc.job.provider] = doc.job.status end
    end
    assert.same({openai = "succeeded", together = "succeeded"}, seen)
  end)

  describe("in a terminal", function()
    if not clis.has_pty() then return pending "there is no python3" end

    -- What a frame is: up, to the left, away
    local REDRAWN = "\27%[%d+A\r\27%[J"

    it("draws the curve and a line of progress again in their place", function()
      local id = create(1.2)
      local r = cli.pty("watch --interval 0.1 " .. id, {})
      assert.equal(0, r.status)
      assert.matches(REDRAWN, r.output)
      assert.matches("\27%[36mtraining loss\27%[0m %d", r.output)
      assert.matches("[\u{2801}-\u{28FF}]", r.output)
      assert.matches(plain(id) .. "\27%[0m  \27%[32msucceeded\27%[0m  step 36 of 36", r.output)
      -- the terminal's state is never touched: nothing that would have to be restored
      for _, code in ipairs {"\27[?25l", "\27[?1049h", "\27[?7l"} do assert.is_nil(r.output:find(code, 1, true)) end
      local _, created = r.output:gsub("Created fine%-tuning job", "")
      assert.equal(1, created) -- events scroll away above, and are written once
    end)

    it("follows the window: nothing is wider than it is", function()
      local id = create(2)
      local steps = {{"expect", "training loss"}, {"resize", 44, 12}, {"sleep", 0.8}}
      local r = cli.pty("watch --interval 0.1 " .. id, steps, {columns = 100, rows = 30})
      assert.equal(0, r.status)
      local last = r.output:match(".*" .. REDRAWN .. "(.*)$")
      for line in last:gsub("\27%[[%d;]*m", ""):gmatch "[^\r\n]+" do
        if not line:find "^The model" then assert.is_true(utf8.len(line) <= 44, line) end
      end
    end)

    it("tells step and loss in 20 columns, too", function()
      local id = create(2)
      local r = cli.pty("watch --interval 0.1 " .. id, {}, {columns = 20, rows = 12})
      assert.equal(0, r.status)
      local bare = r.output:gsub("\27%[[%d;]*m", "")
      assert.matches("\n%d+%% %d+/36 %d%.%d+\r", bare)
      local last = bare:match(".*" .. REDRAWN .. "(.*)$")
      assert.matches("\nsucceeded 36 %d%.%d+\r", last)
      for line in last:gmatch "[^\r\n]+" do
        if not line:find "^The model" then assert.is_true(utf8.len(line) <= 20, line) end
      end
    end)

    it("and no other table breaks its lines there", function()
      create(0.1)
      for _, words in ipairs {"jobs --quiet", "files --quiet", "providers --quiet", "models --quiet"} do
        local r = cli.pty(words, {}, {columns = 20, rows = 12})
        assert.equal(0, r.status)
        local bare, widest = r.output:gsub("\27%[[%d;]*m", ""), 0
        for line in bare:gmatch "[^\r\n]+" do widest = math.max(widest, utf8.len(line)) end
        assert.is_true(widest > 10 and widest <= 20, bare)
      end
    end)

    it("has no colours with --no-color and NO_COLOR, and tells the curves apart all the same", function()
      local id = create(1, {validation_file = file})
      for _, way in ipairs {{"--no-color ", {}}, {"", {NO_COLOR = "1"}}} do
        local r = cli.pty(("watch %s--interval 0.1 %s"):format(way[1], id), {}, {env = way[2]})
        assert.equal(0, r.status)
        assert.is_nil(r.output:find "\27%[%d*m", r.output)
        assert.matches("× validation loss", r.output)
      end
    end)

    it("is one table for several jobs, as narrow as the window", function()
      local ids = {create(1), create(1), create(1)}
      local r = cli.pty("watch --interval 0.1 " .. table.concat(ids, " "), {}, {columns = 70, rows = 12})
      assert.equal(0, r.status)
      local last = r.output:match(".*" .. REDRAWN .. "(.*)$"):gsub("\27%[[%d;]*m", "")
      assert.matches("^JOB +STATUS +DONE +STEP +LOSS +TIME\r\n", last)
      assert.equal(3, select(2, last:gsub("succeeded  100%%", "")))
      for line in last:gmatch "[^\r\n]+" do assert.is_true(utf8.len(line) <= 70, line) end
    end)

    it("of more jobs than fit shows those that go on, and counts the others", function()
      local ids = {}
      for i = 1, 12 do ids[i] = create(1) end
      local r = cli.pty("watch --interval 0.1 " .. table.concat(ids, " "), {}, {columns = 80, rows = 10})
      assert.equal(0, r.status)
      assert.matches("… and 6 more", r.output)
    end)

    it("says at Ctrl-C that the job goes on, and how to watch and to cancel it", function()
      local id = create(30)
      local r = cli.pty("watch " .. id, {{"expect", "Created"}, {"sleep", 0.3}, {"send", CTRL_C}})
      assert.equal(130, r.status)
      assert.matches(id .. " goes on at openai.", r.output, 1, true)
      assert.matches("finetune watch " .. id, r.output, 1, true)
      assert.matches("finetune cancel " .. id, r.output, 1, true)
      assert.not_matches("traceback", r.output)
      assert.not_equal("cancelled", assert(provider:get_job(id)).status)
      provider:cancel_job(id)
    end)

    it("leaves at once at a second Ctrl-C, wherever it is", function()
      local id = create(30)
      local r = cli.pty("watch " .. id, {{"expect", "Created"}, {"send", CTRL_C}, {"send", CTRL_C}})
      assert.is_true(r.status == 130 or r.signal == 2, core.encode(r))
      provider:cancel_job(id)
    end)

    it("says under the table which service cannot be reached", function()
      local ids = {create(2), create(2)}
      server:fault {kind = "reset", times = 12, skip = 4}
      local r = cli.pty("watch --interval 0.1 " .. table.concat(ids, " "), {})
      assert.equal(0, r.status)
      assert.matches("openai cannot be reached", r.output)
    end)

    it("lets no hostile text move the cursor", function()
      local id = create(1)
      server:fault {kind = "patch", path = "/events$", times = "always",
        set = {message = "\27[2J\27[H\27]0;pwned\7evil\nsecond line\u{202e}", level = "\27[5mx"}}
      local r = cli.pty("watch --interval 0.1 " .. id, {})
      assert.equal(0, r.status)
      for _, bad in ipairs {"\27[2J", "\27[H", "\27]", "\27[5m", "\nsecond", "\u{202e}"} do
        assert.is_nil(r.output:find(bad, 1, true), bad)
      end
    end)
  end)

  it("shows the progress of an upload in one line of a terminal, and takes it away again", function()
    if not clis.has_pty() then return pending "there is no python3" end
    -- more than what the kernel takes before anybody reads it
    shell.must(("head -c 30000000 /dev/zero | tr '\\0' 'x' >%s/big"):format(tmp))
    server:fault {kind = "stall", at = "upload", bytes = 1000000, seconds = 1}
    local r = cli.pty("upload big --purpose assistants", {})
    assert.matches("\ruploading big  [█░]+ +%d+%%  [%d.]+ MiB of 28%.6 MiB", r.output)
    assert.matches("\r\27%[K", r.output)
  end)

  it("at Ctrl-C any other command says what it leaves behind, and ends with 130", function()
    if not clis.has_pty() then return pending "there is no python3" end
    server:fault {kind = "stall", at = "answer", times = "always"}
    local steps = {{"fault", server.control}, {"send", CTRL_C}}
    shell.must(("head -c 3000 /dev/zero >%s/small"):format(tmp))
    local r = cli.pty("upload small --purpose assistants", steps)
    assert.same({130, nil}, {r.status, r.signal})
    assert.matches("The upload is stopped; no job was created.", r.output, 1, true)
    for _, words in ipairs {"jobs", "doctor", "events j", "metrics j", "models --json", "inventory copy"} do
      server:clear()
      server:fault {kind = "stall", at = "answer", times = "always"}
      r = cli.pty(words, steps)
      assert.same({130, nil}, {r.status, r.signal}, words)
      assert.not_matches("interrupted!", r.output, 1, true)
      assert.not_matches("mistake", r.output)
    end
  end)
end)
