-- What a second pair of eyes found in the core when the providers came: parts of keys in errors that were cut, settings
-- in `method` that were dropped, kinds that blamed the provider, headers of a service that broke an upload.

local core = require "finetune.core"
local finetune = require "finetune"

local KEY = "sk-VERYSECRETKEY0123456789"

local function instance(answer, name)
  local sent = {}
  local function transport(request)
    sent[#sent + 1] = request
    return type(answer) == "function" and answer(request) or answer
  end
  return assert(finetune.create_provider(name or "openai",
    {api_key = KEY, max_retries = 0, base_url = "https://h.example/v1", transport = transport})), sent
end

local function create(p, more)
  local params = {model = "m", training_file = "f", wait_for_files = false}
  for key, value in pairs(more) do params[key] = value end
  return p:create_job(params)
end

it("a message is redacted before it is cut", function()
  for padding = 4060, 4100 do
    local p = instance {status = 400, json = {error = {message = ("x"):rep(padding) .. KEY .. " tail"}}}
    local _, err = p:get_job "j"
    assert.is_nil(err.message:find("sk-V", 1, true), padding)
  end
end)

it("secrets are redacted however deep they are, and a table that holds itself is no trap", function()
  local deep = {KEY}
  for _ = 1, 100 do deep = {deep, deep} end
  local P = {name = "deep_spec", base_url = "https://h.example"}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
    P[op] = finetune.unsupported "no"
  end
  local loop = {key = KEY}
  loop.loop = loop
  P.get_job = function() return nil, finetune.error {kind = "invalid", message = "m", raw = deep, loop = loop} end
  finetune.register(P, {replace = true})
  local p = assert(finetune.create_provider("deep_spec", {api_key = KEY}))
  local _, err = p:get_job "j"
  local at = err.raw
  while type(at[1]) == "table" do at = at[1] end
  assert.not_equal(KEY, at[1])
  assert.not_equal(KEY, err.loop.loop.key)
  finetune.unregister "deep_spec"
end)

it("what `method` holds and nobody reads is refused", function()
  for _, method in ipairs {
    {type = "supervised", n_epochs = 3}, {type = "supervised", learning_rate = 1e-5},
    {type = "supervised", dpo = {hyperparameters = {beta = 1}}}, {type = "supervised", supervised = "x"},
    {type = "supervised", supervised = {hyperparameters = "x"}}, {type = "supervised", hyperparameters = 7},
    {type = "supervised", supervised = {learning_rate = 1e-5}}, {type = "dpo", dpo = {learning_rate = 1e-5}},
    {type = "dpo", [1] = "x"},
  } do
    local p, sent = instance {status = 200, json = {id = "j"}}
    local job, err = create(p, {method = method})
    assert.is_nil(job)
    assert.equal("invalid", err.kind)
    assert.same({}, sent)
  end
  local p, sent = instance {status = 200, json = {id = "j"}}
  assert(create(p, {method = {type = "dpo", dpo = {hyperparameters = {beta = 0.1}}, hyperparameters = {n_epochs = 2}}}))
  assert.equal(1, #sent)
end)

it("a parameter that is no JSON is the caller's mistake", function()
  local loop = {}
  loop.loop = loop
  for _, value in ipairs {0 / 0, print, "\xff", loop, {1, a = 2}} do
    local p, sent = instance {status = 200, json = {id = "j"}}
    local job, err = create(p, {extra = {x = value}})
    assert.is_nil(job)
    assert.equal("invalid", err.kind, tostring(value))
    assert.same({}, sent)
  end
end)

it("extra that is nested a hundred thousand times is refused in words", function()
  local deep = {}
  for _ = 1, 100000 do deep = {x = deep} end
  local p = instance({status = 200, json = {id = "j"}}, "together")
  local _, err = create(p, {extra = {x = deep}})
  assert.equal("invalid", err.kind)
  assert.is_nil(err.message:find "traceback")
end)

it("an answer of `false` is an answer that cannot be used", function()
  local p = instance({status = 200, body = "false"}, "together")
  local _, err = p:deploy_model("m", {hardware = "h"})
  assert.is_true(err.kind == "decode" or err.kind == "conflict", err.kind)
  assert.is_nil(err.raw_headers)
end)

it("a 303 after a creation is not a no", function()
  local p = instance(function(request)
    if request.method == "POST" then return {status = 303, headers = {Location = "/v1/fine-tunes/ft-1"}} end
    return {status = 200, json = {data = finetune.array {}}}
  end, "together")
  local _, err = create(p, {})
  assert.equal("conflict", err.kind)
end)

it("a service's headers for a part cannot frame it, nor send it elsewhere", function()
  local context = core.context
  for _, name in ipairs {"Content-Length", "transfer-encoding", "Host", "Authorization", "Cookie", "Expect"} do
    local ctx = setmetatable({config = {base_url = "https://h.example"}}, context)
    local etags, err = ctx:upload_parts {path = "x", info = {size = 1}, count = 1, size = 1,
      places = {{number = 1, url = "https://s.example/1", headers = {[name] = "3"}}}}
    assert.is_nil(etags, name)
    assert.equal("decode", err.kind)
  end
end)

it("a service elsewhere cannot have a file sent to this machine", function()
  local far = setmetatable({config = {base_url = "https://api.example/v1"}}, core.context)
  for _, host in ipairs {"127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "169.254.169.254", "[fe80::1]", "2130706433",
    "0.0.0.0", "x.localhost", "[::ffff:127.0.0.1]"} do
    assert.is_nil((far:storage_url("https://" .. host .. "/x")), host)
    assert.is_nil((far:storage_url("http://" .. host .. ":80/x")), host)
  end
  assert(far:storage_url "https://bucket.s3.example/x?sig=1")
  local near = setmetatable({config = {base_url = "http://127.0.0.1:1"}}, core.context)
  assert(near:storage_url "http://127.0.0.1:2/x")
end)
