-- finetune.rehearse: create_job's parameters checked by every provider itself, with nothing sent.

local rehearse = require "finetune.rehearse"
local shell = require "spec.support.shell"

local SETTINGS = {
  openai = {api_key = "k"}, together = {api_key = "k"}, nebius = {api_key = "k"},
  azure = {api_key = "k", base_url = "https://x.openai.azure.com"},
  fireworks = {api_key = "k", account = "acc"}, localai = {base_url = "http://127.0.0.1:9"},
  gateway = {api_key = "k", base_url = "http://127.0.0.1:9"},
  ["local"] = {home = "/nowhere/home"}, slurm = {root = "/nowhere/root"},
}
local HERE = {["local"] = "fasttext", slurm = "fasttext"}

describe("check_job", function()
  for name, config in pairs(SETTINGS) do
    local function try(more)
      local params = {model = HERE[name] or "base-1"}
      for key, value in pairs(more or {}) do params[key] = value end
      return rehearse.check_job(name, config, params)
    end

    it(("of %s takes what is right, and sends nothing"):format(name), function()
      if name == "local" and not shell.has "fasttext" then return pending "there is no fasttext" end
      assert.is_true(try())
      assert.is_true(try {validation_file = "v.jsonl", hyperparameters = {n_epochs = 2}})
    end)

    it(("of %s says what is wrong"):format(name), function()
      if name == "local" and not shell.has "fasttext" then return pending "there is no fasttext" end
      for part, params in pairs {method = {method = "dop"}, n_epochs = {hyperparameters = {n_epochs = -1}},
          learning_rte = {hyperparameters = {learning_rte = 1}}} do
        local ok, err = try(params)
        assert.is_nil(ok)
        assert.equal("invalid", err.kind)
        assert.matches(part, err.message, 1, true)
      end
    end)
  end

  it("asks nobody's function to begin what nobody knows", function()
    local finetune = require "finetune"
    local called = false
    local P = {name = "rehearse-own", needs = {}, create_job = function() called = true end}
    for _, op in ipairs(require("finetune.core").ops) do
      if op.required and op.name ~= "create_job" and op.name ~= "prepare_data" then
        P[op.name] = finetune.unsupported "a stand-in"
      end
    end
    finetune.register(P)
    finally(function() finetune.unregister "rehearse-own" end)
    assert.is_true(rehearse.check_job("rehearse-own", {api_key = false}, {model = "m"}))
    assert.is_false(called)
  end)

  it("says that there is no such provider", function()
    assert.equal("config", select(2, rehearse.check_job("nobody", {}, {model = "m"})).kind)
  end)
end)
