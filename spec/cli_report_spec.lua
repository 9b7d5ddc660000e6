-- `finetune metrics --html`: the page, and above all its part about the dataset: of the service's copy, of a file that
-- is named, of this machine's store.

local clis = require "spec.support.cli"
local core = require "finetune.core"
local live = require "spec.support.live"
local service = require "spec.support.service"
local shell = require "spec.support.shell"

local EVIL = "<script>alert(1)</script>\27[31m\u{202e}"
local MARK = "mark-of-" .. core.random_token()
local VOID = {meta = true}

local function plain(id) return (id:gsub("%p", "%%%0")) end

-- Is every element closed, in order? -> nil, or words
local function unbalanced(page)
  local open = {}
  for slash, name, rest in page:gmatch "<(/?)(%a[%w]*)([^>]*)>" do
    if slash == "" and not VOID[name] and rest:sub(-1) ~= "/" then
      open[#open + 1] = name
    elseif slash == "/" and table.remove(open) ~= name then
      return "</" .. name .. "> closes something else"
    end
  end
  return open[1]
end

-- The rows of the table under that heading -> array of arrays of texts
local function rows_under(page, heading)
  local at = assert(select(2, page:find("<h2>" .. heading .. "</h2>", 1, true)), heading)
  local rows = {}
  for row in page:sub(at, (page:find("<h2>", at, true) or #page) - 1):gmatch "<tr>(.-)</tr>" do
    local cells = {}
    for cell in row:gmatch "<t[hd][^>]*>(.-)</t[hd]>" do cells[#cells + 1] = (cell:gsub("<i.-</i>", "")) end
    rows[#rows + 1] = table.concat(cells, "|")
  end
  return "\n" .. table.concat(rows, "\n") .. "\n"
end

describe("the report of a job", function()
  local server, tmp, cli, provider, job

  lazy_setup(function()
    server, tmp = service.start {job_seconds = 0.2}, shell.folder()
    cli = clis.new(tmp, {OPENAI_API_KEY = server.key, OPENAI_BASE_URL = server.url})
    provider = live.provider(server)
    clis.write(tmp .. "/train.jsonl", (live.lines(12):gsub('number 1"', MARK .. '"')))
    clis.write(tmp .. "/valid.jsonl", live.lines(5))
    job = assert(provider:create_job {model = server.model, seed = 7,
      training_file = assert(provider:upload_file(tmp .. "/train.jsonl")),
      validation_file = assert(provider:upload_file(tmp .. "/valid.jsonl"))})
    assert(provider:wait(job, {interval = 0.05}))
  end)

  after_each(function() server:clear() end)

  lazy_teardown(function()
    server:stop()
    shell.remove(tmp)
  end)

  -- -> the page, and what was noted
  local function page(words, env)
    local _, err = cli.must(("finetune metrics %s --html r.html %s"):format(job.id, words or ""), env)
    local html = live.read(tmp .. "/r.html")
    assert.is_nil(unbalanced(html))
    assert.is_nil(html:find("<script", 1, true))
    assert.is_nil(html:find("[\0-\9\11-\31\127]", 1))
    return html, err
  end

  it("has tables of the settings, the job, the metrics, the events", function()
    local html = page()
    assert.matches("\nn_epochs|3\n", rows_under(html, "Hyperparameters"), 1, true)
    local rows = rows_under(html, "Job")
    for _, words in ipairs {"provider|openai", "status|succeeded", "seed|7", "model|" .. server.model} do
      assert.matches("\n" .. words .. "\n", rows, 1, true)
    end
    assert.matches("^\nstep|train loss|valid loss", rows_under(html, "Metrics"))
    assert.matches("|The job has successfully completed\n", rows_under(html, "Events"))
  end)

  it("has tables of the datasets, which the service gives back", function()
    local html, err = page()
    assert.equal("", err)
    assert.equal("", (select(2, shell.run("grep -ls " .. MARK .. " /tmp/lua_*")))) -- nothing is left behind
    local rows = rows_under(html, "Dataset: train.jsonl")
    for _, words in ipairs {"examples|12 valid", "findings|0 errors, 1 warning", "format|chat 12",
        "roles|assistant 12, user 12", "per example|least|median|mean|95 %|most", "messages|2|2|2|2|2"} do
      assert.matches("\n" .. words .. "\n", rows, 1, true)
    end
    assert.matches("\ntokens %(estimated%)|%d+|", rows)
    assert.matches("\nexamples|5 valid\n", rows_under(html, "Dataset: valid.jsonl"))
  end)

  it("is of the file that is named: bars, and what was found, of each rule the first three", function()
    local lines = {live.lines(30)}
    for i = 1, 5 do lines[#lines + 1] = ('{"messages":[{"role":"asistant","content":"%d"}]}\n'):format(i) end
    lines[#lines + 1] = ('{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"a"}]}\n'):format(
      ("long "):rep(300))
    clis.write(tmp .. "/<b>.jsonl", table.concat(lines))
    local html = page "--data '<b>.jsonl'"
    assert.is_nil(html:find("<b>", 1, true))
    local rows = rows_under(html, "Dataset: &lt;b&gt;.jsonl")
    assert.matches("\nexamples|31 valid, 5 invalid\n", rows, 1, true)
    assert.matches("\n31|error|role|messages[0].role: unknown role &quot;asistant&quot;; did you mean", rows, 1, true)
    assert.equal(3, select(2, rows:gsub("|error|role|", "")))
    assert.matches("\ntokens|examples\n.*|30\n.*|1\n", rows)
    assert.matches('<i style="width:80%%"></i>30</td>', html)
    assert.same({}, server:requests {path = plain(job.training_file)})
  end)

  it("says why it has no dataset, and what to type", function()
    local function without(words)
      local html, err = page()
      assert.is_nil(html:find("Dataset: train", 1, true))
      assert.matches("No dataset in the report: [^\n]*" .. words .. "[^\n]*%. Name it with %-%-data FILE%.\n", err)
    end
    server:fault {kind = "status", status = 403, message = "not yours " .. EVIL,
      path = plain(job.training_file) .. "/content$", times = "always"}
    without "not yours"
    server:clear()
    server:fault {kind = "patch", path = "/files/[^/]+$", set = {bytes = 17 << 20}, times = "always"}
    without "has 17.0 MiB"
    assert.same({}, server:requests {path = plain(job.training_file) .. "/content$"})
  end)

  it("refuses what it cannot read, before it writes", function()
    local status, _, err = cli.run(("finetune metrics %s --html no.html --data nobody.jsonl"):format(job.id))
    assert.equal(1, status)
    assert.matches("nobody.jsonl: No such file", err)
    assert.is_nil(core.fs.stat(tmp .. "/no.html"))
    assert.equal(2, (cli.run(("finetune metrics %s --data train.jsonl"):format(job.id))))
  end)

  it("lets nothing that the service says be markup", function()
    server:fault {kind = "patch", path = "", times = "always", set = {user_provided_suffix = EVIL, filename = EVIL,
      message = EVIL, model = EVIL, error = {message = EVIL, code = EVIL}, status = EVIL}}
    assert.matches("&lt;script&gt;", page(), 1, true)
  end)

  it("of this machine has the dataset from its store", function()
    if not shell.has "fasttext" then return pending "there is no fasttext" end
    local env = {FINE_TUNE_HOME = tmp .. "/store", FINE_TUNE_PROVIDER = "local"}
    local out = cli.must(("finetune tune %s --model fasttext --yes --follow"):format(
      shell.quote(shell.root .. "/examples/data/support.jsonl")), env)
    cli.must(("finetune metrics %s --html l.html"):format(out:match "\n(job%-%S+) is created"), env)
    local html = live.read(tmp .. "/l.html")
    assert.is_nil(unbalanced(html))
    assert.matches("\nexamples|607 valid\n", rows_under(html, "Dataset: support.jsonl"), 1, true)
  end)
end)
