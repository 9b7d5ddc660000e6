-- finetune.chat: `sample` of services with a shape of their own.

local finetune = require "finetune"

local CASES = {
  together = {"https://api.together.ai/v1/chat/completions", {}},
  fireworks = {"https://api.fireworks.ai/inference/v1/chat/completions", {account = "acme"}},
  localai = {"http://localhost:8080/v1/chat/completions", {}},
}

local function instance(name, answer)
  local sent = {}
  local config = {api_key = "k-12345678", max_retries = 0, transport = function(request)
    sent[#sent + 1] = request
    return answer
  end}
  for key, value in pairs(CASES[name][2]) do config[key] = value end
  return assert(finetune.create_provider(name, config)), sent
end

for name, case in pairs(CASES) do
  describe("sample of " .. name, function()
    it("asks the service's own chat completions", function()
      local provider <close>, sent = instance(name, {status = 200, json = {choices = {{message = {content = "four"},
        finish_reason = "stop"}}, usage = {total_tokens = 3}}})
      local said = assert(provider:sample("m", {prompt = "2+2?", max_tokens = 5, temperature = 0, extra = {top_p = 1}}))
      assert.equal("four", said.text)
      assert.equal("stop", said.finish_reason)
      assert.same({total_tokens = 3}, said.usage)
      assert.equal(case[1], sent[1].url)
      assert.equal("Bearer k-12345678", sent[1].headers.authorization)
      assert.equal('{"max_tokens":5,"messages":[{"content":"2+2?","role":"user"}],"model":"m",'
        .. '"temperature":0,"top_p":1}', sent[1].body)
    end)

    it("wants messages or a prompt, and an answer that is one", function()
      local provider <close>, sent = instance(name, {status = 200, json = {}})
      assert.equal("invalid", select(2, provider:sample "m").kind)
      assert.equal("invalid", select(2, provider:sample("m", {prompt = "a", messages = {{}}})).kind)
      assert.same({}, sent)
      assert.equal("decode", select(2, provider:sample("m", {prompt = "a"})).kind)
    end)
  end)
end
