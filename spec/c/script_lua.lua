-- Sections for the harness: providers in Lua, the registry, waiting, datasets. See script_openai.lua.

local answers = require "spec.c.answers"
local finetune = require "finetune"

local provider = answers.provider
local S = {}

local function section(name, f) S[#S + 1] = {name = name, run = function(env) return f(env, finetune) end} end

-- ---- a provider in Lua that uses all of what ctx has ----

local P = {name = "harness", base_url = "https://harness.example/v1", env = "HARNESS_API_KEY",
  statuses = {DONE = "succeeded"}, headers = {["X-Harness"] = "1"}, query = {version = "2"},
  pause_job = finetune.unsupported "jobs cannot be paused: {job_id} {base_url} {api_key} {nothing}",
  params = {create_job = "training_type:string"}}

function P.upload_file(ctx, p) return ctx:upload {path = p.path, to = "/files", fields = {purpose = "x"}} end

function P.create_job(ctx, p)
  local doc <close> = setmetatable({}, {__close = function() end})
  assert(doc and ctx.config.base_url)
  return ctx:post("/fine_tuning/jobs", {model = p.model, training_type = p.training_type})
end

function P.get_job(ctx, p)
  local doc, err = ctx:get("/fine_tuning/jobs/" .. ctx.escape(p.job_id))
  if not doc then return nil, err end
  return {id = doc.id, status = "DONE", raw = doc}
end

function P.cancel_job(ctx, p) -- built on another of its own operations
  ctx:sleep(0)
  return ctx.provider:get_job(p.job_id)
end

function P.list_models(ctx)
  local pages, err = ctx:all({{path = "/models"}, {path = "/models"}, {path = "/models"}}, 2)
  if not pages then return nil, err end
  return {data = pages[1].json.data, has_more = false}
end

local closed
function P.list_files(ctx)
  local guard <close> = setmetatable({}, {__close = function() closed = true end})
  assert(guard)
  return ctx:get "/files"
end

function P.delete_model(ctx) return ctx.fail("invalid", "not %s", "today") end
function P.get_model() error "it raises" end
function P.get_file() coroutine.yield(true) end
function P.delete_file() return nil end

local function harness(first)
  finetune.register(P, {replace = true})
  return assert(finetune.create_provider("harness", {api_key = "sk-harness-key", retry_delay = 0,
    transport = function(request)
      return first and first(request) or answers.answer(request)
    end}))
end

section("a provider in Lua", function(env)
  local p <close> = harness()
  assert(p:upload_file(env.file))
  assert(p:create_job {model = "m", training_file = "f", training_type = "lora"})
  assert(assert(p:get_job "j").status == "succeeded")
  assert(p:cancel_job "j")
  assert(#assert(p:list_models()).data == 2)
end)

section("a provider in Lua that fails", function()
  local p <close> = harness()
  local kinds = {delete_model = "invalid", get_model = "provider", get_file = "provider", delete_file = "provider",
    pause_job = "unsupported"}
  for op, kind in pairs(kinds) do
    local value, err = p[op](p, "x\n'")
    assert(value == nil and (err.kind == kind or err.kind == "memory"), tostring(err))
  end
end)

section("a call that is cancelled while it waits", function()
  closed = false
  local p <close> = harness(function() return "pending" end)
  local call = p:async "list_files"
  local other <close> = p:async("cancel_job", "j")
  finetune.step(0)
  call:cancel()
  local _, err = call:result()
  assert(err.kind == "cancelled" or err.kind == "memory", tostring(err))
  assert(closed or err.kind == "memory")
  assert(not other:done() or select(2, other:result()))
end)

section("the registry", function()
  finetune.register(P, {replace = true})
  local V = finetune.variant and {name = "variant", base = "openai", base_url = "https://v.example/v1",
    env = {api_key = {"A", "B"}}, statuses = {x = "running"}, get_job = P.get_job}
  finetune.register(V, {replace = true})
  assert(finetune.get_provider "variant" == V)
  assert(#finetune.list_providers() >= 3)
  assert(finetune.get_default_provider {api_key = "sk-harness-key"}:supports "get_job")
  local ok, words = pcall(finetune.register, {name = "bad name", creat_job = 1, env = 2})
  assert(not ok and tostring(words))
  local p, err = finetune.create_provider("opena1", {})
  assert(not p and tostring(err))
  assert(finetune.unregister "variant")
  assert(tostring(finetune.create_provider("harness", {})))
end)

-- ---- waiting ----

section("run and map", function()
  local p <close> = provider(finetune)
  local results, errors = finetune.run(
    function() return p:get_job "a" end,
    function() finetune.sleep(0.001) return p:list_models() end,
    function() coroutine.yield() error "one fails" end)
  assert(results[1], errors[1])
  assert(results[2], errors[2])
  assert(errors[3])
  results, errors = finetune.map({"a", "b", "c", "d"}, function(id) return p:get_job(id) end, {concurrency = 2})
  for i = 1, 4 do assert(results[i], errors[i]) end
end)

section("async, on_done, close", function()
  local p = provider(finetune, function(request)
    if request.url:find("stuck") then return "pending" end
  end)
  local told = {}
  local a, b = p:async("get_job", "a"), p:async("get_job", "stuck")
  a:on_done(function(job, err) told.a = job or err end)
  b:on_done(function(_, err) told.b = err end)
  assert(a:await())
  assert(tostring(a))
  if b:done() then assert(b:await()) end
  do
    local c <close> = p:async("get_job", "stuck")
    if c:done() then assert(c:await()) end
  end
  p:close()
  while not b:done() do finetune.step(0) end
  finetune.step(0)
  assert(told.a and told.b)
  local _, err = p:get_job "a"
  assert(err.kind == "usage" or err.kind == "memory", tostring(err))
end)

section("wait and follow", function()
  local n = 0
  local p <close> = provider(finetune, function(request)
    if not request.url:find("/jobs/[^/]*$") then return end
    n = n + 1
    local job = {}
    for key, value in pairs(answers.JOB) do job[key] = value end
    job.status = n % 2 == 1 and "running" or "succeeded"
    return {json = job}
  end)
  local seen = 0
  assert(p:wait("ftjob-1", {interval = 0.001, timeout = 20, on_progress = function() seen = seen + 1 end}))
  for event in p:follow("ftjob-1", {interval = 0.001, timeout = 20}) do seen = seen + #event.message end
  assert(seen > 2)
end)

section("a job that fails, and a deadline", function()
  local status = "failed"
  local p <close> = provider(finetune, function(request)
    if request.url:find("/jobs/[^/]*$") then
      return {json = {id = "ftjob-1", status = status, model = "m", error = {code = "x", message = "too bad"}}}
    end
  end)
  local job, err, last = p:wait("ftjob-1", {interval = 0.001})
  assert(not job and (err.kind == "job" and last or err.kind == "memory"), tostring(err))
  status = "running"
  job, err = p:wait("ftjob-1", {interval = 0.001, timeout = 0.002})
  assert(not job and (err.kind == "timeout" or err.kind == "memory"), tostring(err))
end)

-- ---- datasets ----

local function example(n)
  return {messages = {{role = "user", content = "question " .. n}, {role = "assistant", content = "answer"}}}
end

section("prepare_data", function(env)
  local p <close> = provider(finetune)
  local output = env.tmp .. "/out.jsonl"
  assert(assert(p:prepare_data({example(1), example(2)}, {format = "chat"})).text)
  assert(p:prepare_data {path = env.file, output = output, format_type = "chat"})
  local n = 0
  assert(p:prepare_data {output = output, examples = function()
    n = n + 1
    if n < 4 then return example(n) end
  end})
end)

section("prepare_data of bad data", function(env)
  local p <close> = provider(finetune)
  local bad = {{messages = {{role = "user", content = "alone"}}}, {prompt = 1}, example(1)}
  local report, err = p:prepare_data({table.unpack(bad)}, {format = "chat", max_errors = 1})
  assert(not report and (err.kind == "data" and err.report or err.kind == "memory"), tostring(err))
  assert(p:prepare_data(bad, {format = "chat", skip_invalid = true, output = env.tmp .. "/out.jsonl"}))
  assert(not p:prepare_data {path = env.tmp .. "/absent.jsonl"})
end)

-- two lines of prompt and completion, as gzip packed them
local PACKED = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x2a\x28\xca\xcf\x2d\x28\x51\xb2\x52\x4a\x56\xd2" ..
  "\x51\x4a\x06\xb2\x73\x52\x4b\x32\xf3\xf3\x80\x02\x29\x4a\xb5\x5c\xd5\x08\xf9\x54\x74\xf9\x34\xa0" ..
  "\x3c\x00\x41\xfb\x75\x09\x40\x00\x00\x00"

-- The file is there from the first run on: the harness runs two at once.
local function save(path, text)
  local there <close> = io.open(path, "rb")
  if there then return path end
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- Of good data: only lack of memory may keep it from being written
local function written(report, err)
  if not report then error(err, 0) end
  return report
end

section("prepare_data with rules of one's own, two sides, an order of chance", function(env)
  local p <close> = provider(finetune)
  local list, seen = {}, 0
  for i = 1, 12 do list[i] = example(i % 8) end
  local params = {examples = list, dedupe = true, validation = 0.4, seed = 3, shuffle = true, max_examples = 4,
    rules = {duplicate_example = "off", mine = {severity = "warning", check = function(e)
      seen = seen + 1
      return "message " .. seen .. " of " .. #e.messages, "messages[0]"
    end}}}
  local report = written(p:prepare_data(params))
  assert(report.rules.mine == 12 and report.duplicates == 4 and #report.validation.text > 0)
  params.examples, params.output = list, env.tmp .. "/out.jsonl"
  report = written(p:prepare_data(params))
  assert(report.written <= 4 and report.validation.output == env.tmp .. "/out.validation.jsonl")
end)

section("prepare_data with rules that refuse and raise", function(env)
  local p <close> = provider(finetune)
  local function refused(kind, rule)
    local report, err = p:prepare_data {path = env.file, rules = {mine = rule}, output = env.tmp .. "/out.jsonl"}
    assert(not report and (err.kind == kind or err.kind == "memory"), tostring(err))
  end
  refused("data", function() return ("words "):rep(100) end)
  refused("usage", function() error(setmetatable({}, {__tostring = function() return "broken" end})) end)
end)

section("prepare_data of CSV and gzip, converted and compared", function(env)
  local p <close> = provider(finetune)
  local csv = save(env.tmp .. "/raw.csv", "id,Question,Answer\n1,a,b\n2,\"x\"\"y\n\",z\n")
  local gz = save(env.tmp .. "/raw.gz", PACKED)
  local report = written(p:prepare_data {path = csv, input = "csv", to = "chat",
    columns = {Question = "prompt", Answer = "completion"}, max_messages = 4, max_characters = 100})
  assert(report.written == 2 and report.format == "chat")
  report = written(p:prepare_data {path = {gz, gz}, to = "instruction", rules = {duplicate_example = "off"},
    validation_path = csv, drop = {"id"}, on_progress = function(n) assert(n > 0) end})
  assert(report.written == 4 and report.text:find '"instruction":"c"')
end)

section("prepare_data of too many messages", function()
  local p <close> = provider(finetune)
  local long = example(1)
  for i = 2, 9 do table.move(example(i).messages, 1, 2, #long.messages + 1, long.messages) end
  local report = written(p:prepare_data({long, long}, {max_messages = 4, to = "sharegpt"}))
  assert(report.shortened == 2 and report.stats.messages.max == 4)
end)

section("JSON", function()
  local core = require "finetune.core"
  local text = core.encode {a = {1, 2.5, true}, b = core.array {}, c = "\"\n\u{e4}", d = core.null}
  assert(core.encode(assert(core.decode(text))):find("2.5", 1, true))
  assert(not core.decode("{\"a\": 01}") and not pcall(core.encode, {1, x = 2}))
  assert(core.nearest("creat_job", {"create_job"}) and core.escape("a/b c") and core.random_token())
end)

return S
