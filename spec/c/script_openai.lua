-- Sections for the harness: every operation of the OpenAI provider, over scripted answers. Each is
-- run with one allocation failing, then with the next one, and so on: they must be short.
-- A section gets {tmp = a folder, file = a small JSONL file in it}.

local answers = require "spec.c.answers"
local finetune = require "finetune"

local provider = answers.provider
local S = {}

local function section(name, f) S[#S + 1] = {name = name, run = function(env) return f(env, finetune) end} end

local READS = {
  {"get_job", "ftjob-1"}, {"list_jobs", {limit = 5}}, {"list_events", "ftjob-1"}, {"list_checkpoints", "ftjob-1"},
  {"list_files", {purpose = "fine-tune"}}, {"get_file", "file-1"}, {"list_models"}, {"get_model", "base-model"},
}

local WRITES = {
  {"cancel_job", "ftjob-1"}, {"pause_job", "ftjob-1"}, {"resume_job", "ftjob-1"}, {"delete_model", "ft:base:org::1"},
  {"delete_file", {id = "file-1"}}, {"validate_grader", {grader = {type = "string_check"}}},
  {"run_grader", {grader = {type = "string_check"}, model_sample = "x", item = {a = {1, 2}}}},
}

local function each(list)
  return function()
    local p <close> = provider(finetune)
    for _, case in ipairs(list) do assert(p[case[1]](p, case[2])) end
  end
end

section("reads", each(READS))
section("writes", each(WRITES))

section("iterators", function()
  local p <close> = provider(finetune)
  for _ in p:jobs() do end
  for _ in p:events "ftjob-1" do end
end)

section("metrics", function()
  local p <close> = provider(finetune)
  assert(#assert(p:list_metrics "ftjob-1").data == 2)
end)

section("create_job", function()
  local p <close> = provider(finetune)
  local job = assert(p:create_job {model = "base-model", training_file = {id = "file-1"}, validation_file = "file-2",
    suffix = "harness", seed = 7, metadata = {team = "a"}, hyperparameters = {n_epochs = 3, batch_size = "auto"},
    integrations = {{type = "wandb", wandb = {project = "p"}}}})
  assert(job.id == "ftjob-1")
  assert(p:create_job {model = "base-model", training_file = "file-1", method = "dpo", wait_for_files = false,
    hyperparameters = {beta = 0.1}})
end)

section("a lost answer, and the job that has the token", function()
  local sent
  local p <close> = provider(finetune, function(request)
    if not request.url:find("/fine_tuning/jobs") then return end
    if request.method == "POST" then
      sent = request.json
      return nil, "reset"
    end
    local job = {metadata = sent and sent.metadata}
    for key, value in pairs(answers.JOB) do job[key] = job[key] or value end
    return {json = {data = {job}, has_more = false}}
  end)
  assert(p:create_job {model = "base-model", training_file = "file-1"})
end)

section("a lost answer, and a conflict", function()
  local p <close> = provider(finetune, function(request)
    if request.method == "POST" then return nil, "timeout" end
  end)
  local job, err = p:create_job {model = "base-model", training_file = "file-1", token = "my-own-token"}
  assert(not job and err.kind == "conflict" and err.candidates, tostring(err))
end)

section("a refusal", function()
  local p <close> = provider(finetune, function(request)
    if request.method == "POST" then return {status = 403, json = {error = {message = "no more jobs"}}} end
  end)
  local _, err = p:create_job {model = "base-model", training_file = "file-1"}
  assert(err.kind == "permission", tostring(err))
end)

section("upload", function(env)
  local p <close> = provider(finetune)
  local told = 0
  assert(p:upload_file(env.file, {wait = true, expires_after = {seconds = 3600},
    on_progress = function() told = told + 1 end}))
end)

section("upload in parts", function(env)
  local p <close> = provider(finetune)
  assert(p:upload_file(env.file, {part_size = 64, filename = "other.jsonl"}))
end)

section("an upload whose part fails", function(env)
  local p <close> = provider(finetune, function(request)
    if request.url:find("/parts$") then return {status = 400, json = {error = {message = "bad part"}}} end
  end)
  local _, err = p:upload_file(env.file, {part_size = 64})
  assert(err.kind == "invalid", tostring(err))
end)

section("a cancelled upload", function(env)
  local aborted
  local p <close> = provider(finetune, function(request)
    if request.url:find("/parts$") then return "pending" end
    aborted = aborted or request.url:find("/cancel$")
  end)
  local call = p:async("upload_file", env.file, {part_size = 64})
  finetune.sleep(0)
  call:cancel()
  finetune.step(0)
  local _, err = call:result()
  assert(err.kind == "cancelled" or err.kind == "memory", tostring(err))
end)

section("download", function(env)
  local p <close> = provider(finetune)
  assert(#assert(p:download_file "file-3") > 10)
  local got = assert(p:download_file("file-3", {output = env.tmp .. "/results.csv", on_progress = function() end}))
  assert(got.bytes > 10)
end)

-- What a service can do wrong, and the kind of error that it becomes
local WRONG = {
  {{status = 401, json = {error = {message = "bad key sk-harness-key", code = "invalid_api_key"}}}, "auth"},
  {{status = 404, body = "<html>", headers = {["content-type"] = "text/html"}}, "not_found"},
  {{status = 429, json = {error = {code = "insufficient_quota", message = "pay"}},
    headers = {["retry-after-ms"] = "1", ["x-request-id"] = "req_1"}}, "quota"},
  {{status = 200, body = "{\"id\": "}, "decode"},
  {{status = 200, json = {1, 2}}, "decode"},
}

section("wrong answers", function()
  local answer
  local p <close> = provider(finetune, function() return answer[1], answer[2] end,
    {max_retries = 1, on_trace = function(t) assert(not t.url:find("sk%-harness")) end})
  for _, case in ipairs(WRONG) do
    answer = {case[1]}
    local _, err = p:get_job "ftjob-1"
    assert(err.kind == case[2], tostring(err))
    assert(not tostring(err):find("sk-harness-key", 1, true))
  end
  for _, word in ipairs {"timeout", "connect", "reset"} do
    answer = {nil, word}
    assert(not p:get_job "ftjob-1")
  end
end)

section("redirects and retries", function()
  local n = 0
  local p <close> = provider(finetune, function(request)
    n = n + 1
    if n == 1 then return {status = 500, body = "oops"} end
    if n == 2 then return {status = 307, headers = {location = "/v1/elsewhere"}} end
    if request.url:find("elsewhere") then return {json = answers.JOB} end
  end)
  assert(p:get_job "ftjob-1")
end)

return S
