-- csrc/openai_sample.c: a model run once, over a script and over the loopback service.

local finetune = require "finetune"
local live = require "spec.support.live"
local service = require "spec.support.service"

local function answering(answer, config)
  local requests = {}
  local settings = {api_key = "sk-1234567", max_retries = 0, transport = function(request)
    requests[#requests + 1] = request
    return answer
  end}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("openai", settings)), requests
end

local function completion(message, more)
  local doc = {id = "c", object = "chat.completion", choices = {{index = 0, finish_reason = "stop", message = message}},
    usage = {total_tokens = 5}}
  for key, value in pairs(more or {}) do doc[key] = value end
  return {status = 200, json = doc}
end

describe("openai's sample", function()
  it("sends messages, and the limits that are given", function()
    local p, requests = answering(completion {role = "assistant", content = "4"})
    local messages = {{role = "system", content = "s"}, {role = "user", content = "2+2?"}}
    local said = assert(p:sample("ft:m", {messages = messages, max_tokens = 8, temperature = 0, extra = {seed = 1}}))
    assert.equal("POST", requests[1].method)
    assert.equal("https://api.openai.com/v1/chat/completions", requests[1].url)
    assert.equal('{"max_completion_tokens":8,"messages":[{"content":"s","role":"system"},{"content":"2+2?",'
      .. '"role":"user"}],"model":"ft:m","seed":1,"temperature":0}', requests[1].body)
    assert.equal("4", said.text)
    assert.equal("stop", said.finish_reason)
    assert.same({total_tokens = 5}, said.usage)
    assert.equal("c", said.raw.id)
  end)

  it("takes a prompt, an object with the model's id, and another name of the limit", function()
    local p, requests = answering(completion {content = "x"}, {quirks = {max_tokens = "max_tokens"}})
    assert(p:sample({id = "m"}, {prompt = "hello", max_tokens = 3}))
    assert.equal('{"max_tokens":3,"messages":[{"content":"hello","role":"user"}],"model":"m"}', requests[1].body)
  end)

  it("wants messages or a prompt", function()
    local p, requests = answering(completion {content = "x"})
    local _, err = p:sample "m"
    assert.equal("invalid", err.kind)
    assert.matches("messages are missing", err.message)
    _, err = p:sample("m", {prompt = "a", messages = {{role = "user", content = "b"}}})
    assert.matches("prompt and messages were both given", err.message)
    assert.same({}, requests)
  end)

  it("gives a refusal as its text, and no text where there is none", function()
    assert.equal("I cannot", assert(answering(completion {refusal = "I cannot"}):sample("m", {prompt = "x"})).text)
    for _, message in ipairs {{content = {1}}, {content = 7}, {tool_calls = {}}} do
      local said = assert(answering(completion(message, {usage = "odd"})):sample("m", {prompt = "x"}))
      assert.is_nil(said.text)
      assert.is_nil(said.usage)
    end
  end)

  it("says so where the answer is no completion", function()
    for _, doc in ipairs {{}, {choices = {}}, {choices = "x"}, {choices = {7}}, {choices = {{}}},
      {choices = {{message = "x"}}}} do
      local err = live.failed(answering({status = 200, json = doc}):sample("m", {prompt = "x"}))
      assert.equal("decode", err.kind)
    end
  end)

  it("runs what was tuned on the loopback service, and its base", function()
    local s <close> = service.start {job_seconds = 0.05}
    local p <close> = live.provider(s)
    local path = live.file(live.lines(12))
    local file = assert(p:upload_file(path, {filename = "a.jsonl"}))
    local job = assert(p:create_job {model = s.model, training_file = file})
    job = assert(p:wait(job, {interval = 0.02}))
    assert.equal("yes", assert(p:sample(job.fine_tuned_model, {prompt = "number 3", max_tokens = 5})).text)
    assert.equal("I have not been tuned.", assert(p:sample(s.model, {prompt = "number 3"})).text)
    assert.equal("not_found", live.failed(p:sample("nobody", {prompt = "x"})).kind)
    live.clean()
  end)
end)
