-- finetune.unsupported(reason): `{name}` in the reason is a parameter or a setting of the
-- caller, as one word for a shell, whatever is in it; and never a secret.

local finetune = require "finetune"
local live = require "spec.support.live"
local shell = require "spec.support.shell"

local KEY = "sk-unsupported-0123456789"

-- A provider that cannot deploy, for that reason
local function provider(reason, config, more)
  local P = {name = "cannot", config = {"resource_group", "account", "token_name"}, secrets = {"client_secret"}}
  for _, op in ipairs {"upload_file", "create_job", "get_job", "cancel_job", "list_models"} do
    P[op] = function() return {id = "x", data = {}} end
  end
  P.deploy_model = finetune.unsupported(reason)
  P.delete_model = finetune.unsupported "models are deleted with their job"
  for key, value in pairs(more or {}) do P[key] = value end
  finetune.register(P, {replace = true})
  local settings = {api_key = KEY, base_url = "https://cannot.example/v1"}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("cannot", settings))
end

-- What deploy_model answers
local function answer(reason, params, config, more)
  local p <close> = provider(reason, config, more)
  local err = live.failed(p:deploy_model(params))
  assert.equal("unsupported", err.kind)
  assert.equal(err.reason, err.message:sub(1, #err.reason))
  assert.matches("^ %(supported: .*upload_file", err.message:sub(#err.reason + 1))
  return err.reason, err
end

-- The word that a value becomes
local function word(value)
  return (answer("{name}", {model = "m", name = value}))
end

after_each(function() finetune.unregister "cannot" end)

describe("a reason without placeholders", function()
  it("is the answer", function()
    local p <close> = provider "another service does that"
    assert.equal("models are deleted with their job", live.failed(p:delete_model "m").reason)
    assert.same({false, "another service does that"}, {p:supports "deploy_model"})
  end)

  it("keeps its braces", function()
    for _, text in ipairs {"{}", "{", "a {", "{model", "{mo del}", "{mo-del}", "${model", "{\"model\":1}", "{{}}",
      "{" .. ("x"):rep(64) .. "}"} do
      assert.equal(text, (answer(text, {model = "m"})))
    end
  end)
end)

describe("a placeholder", function()
  it("is the parameter of that name, a string, a number or an object's id", function()
    local given = {model = {id = "ft:gpt-4o:x/1"}, name = "my_name"}
    assert.equal("run: az deploy --model-name ft:gpt-4o:x/1 --name my_name now",
      (answer("run: az deploy --model-name {model} --name {name} now", given)))
    local params = {deploy_model = "units:integer share:number"}
    assert.equal("-n 3 0.25 m{m",
      (answer("-n {units} {share} {model}{m", {model = "m", units = 3, share = 0.25}, nil, {params = params})))
    assert.equal("x {share}", (answer("x {share}", {model = "m", share = 1 / 0}, nil, {params = params})))
  end)

  it("is else the setting of that name, where that is a string", function()
    local config = {resource_group = "rg-1", account = "my account", timeout = 5}
    assert.equal("az -g rg-1 -n 'my account' https://cannot.example/v1 {timeout} {headers}",
      (answer("az -g {resource_group} -n {account} {base_url} {timeout} {headers}", {model = "m"}, config)))
    assert.equal("mine", (answer("{name}", {model = "m", name = "mine"}, {})))
    assert.equal("5", (answer("{timeout}", {model = "m", timeout = 5}, {timeout = 6})))
  end)

  it("stays where there is no such thing", function()
    assert.equal("{name} {nothing} {account} {extra}",
      (answer("{name} {nothing} {account} {extra}", {model = "m", extra = {a = 1}})))
  end)

  it("is not looked for in what was put in", function()
    assert.equal("'{name}' n", (answer("{model} {name}", {model = "{name}", name = "n"})))
  end)

  it("leaves the reason as it is for `supports`, and for the next call", function()
    local p <close> = provider "deploy {model}"
    assert.equal("deploy a", live.failed(p:deploy_model "a").reason)
    assert.equal("deploy b", live.failed(p:deploy_model "b").reason)
    assert.same({false, "deploy {model}"}, {p:supports "deploy_model"})
  end)

  it("works for a variant, with the variant's settings", function()
    provider "-g {resource_group} {model}":close()
    finetune.register({name = "cannot2", base = "cannot"}, {replace = true})
    local p <close> = assert(finetune.create_provider("cannot2", {api_key = KEY, resource_group = "rg-2"}))
    assert.equal("-g rg-2 m", live.failed(p:deploy_model "m").reason)
    finetune.unregister "cannot2"
  end)
end)

describe("a value", function()
  it("is quoted where a shell could take it for more than a word", function()
    for value, text in pairs {
      ["abc.DEF:1/2@3%4+5=6,7-8_9"] = "abc.DEF:1/2@3%4+5=6,7-8_9", ["a b"] = "'a b'", [""] = "''", ["~"] = "'~'",
      ["'; rm -rf /"] = "''\\''; rm -rf /'", ["$(id)"] = "'$(id)'", ["`id`"] = "'`id`'", ["a\\b"] = "'a\\b'",
      ["a\"b"] = "'a\"b'", ["*"] = "'*'", ["a&b|c>d<e;f"] = "'a&b|c>d<e;f'", ["!!"] = "'!!'", ["#x"] = "'#x'",
      ["ü"] = "'ü'", ["''"] = "''\\'''\\'''", ["[a]"] = "'[a]'", ["a^b"] = "'a^b'",
    } do
      assert.equal(text, word(value), value)
    end
  end)

  it("has no control characters, nor what becomes one when they are gone", function()
    assert.equal("'a; rm -rf /'", word "a\n; rm -rf /")
    assert.equal("ab", word "a\r\nb\0")
    assert.equal("'[31mred[0m'", word "\27[31mred\27[0m")
    assert.equal("'[2J'", word "\xC2\x9B[2J")
    assert.equal("'[2J'", word "\xC2\n\x9B[2J")
    assert.equal("'[2J'", word "\xC2\xC2\x9B\x9B[2J")
    assert.equal("''", word "\1\2\127")
    assert.equal("'Âé'", word "Âé")
  end)

  it("reaches a program as it is, when the command is pasted", function()
    for _, value in ipairs {"m", "'; rm -rf /", "$(echo no) `echo no` $HOME", "a'b'c''", "-n", "\\'", "*", "a  b",
      "{name}", "'\\''", "\"\"", "ft:m:org::x", ""} do
      local command = answer("printf '<%s>' {name} end", {model = "m", name = value})
      assert.equal("<" .. value .. "><end>", shell.must(command))
    end
  end)
end)

describe("a secret", function()
  it("is never put in by its name", function()
    local config = {client_secret = "very-secret", token_name = "t-1", proxy = "http://u:p@127.0.0.1:1"}
    assert.equal("{api_key} {client_secret} {token_name} {proxy}",
      (answer("{api_key} {client_secret} {token_name} {proxy}", {model = "m"}, config)))
    local params = {deploy_model = "client_secret:string api_key:string"}
    assert.equal("{client_secret} {api_key}", (answer("{client_secret} {api_key}",
      {model = "m", client_secret = "abc", api_key = "def"}, nil, {params = params})))
  end)

  it("is never put in as something else's value", function()
    local quoted = "sk-it's-a-key-0123"
    for _, value in ipairs {KEY, "x" .. KEY .. "y", "sk-unsup\nported-0123456789"} do
      assert.equal("{name}", word(value))
    end
    local reason, err = answer("{model} {account}", {model = quoted}, {api_key = quoted, account = "a" .. quoted})
    assert.equal("{model} {account}", reason)
    assert.is_nil(tostring(err):find("a-key-0123", 1, true))
  end)

  it("is redacted where a reason itself holds it", function()
    assert.is_nil((answer("use " .. KEY, {model = "m"})):find(KEY, 1, true))
  end)
end)
