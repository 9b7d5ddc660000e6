-- What providers in Lua have for services of Google's style: ids and names, the lines of a file, what a method has of
-- its own in a mapping, types and places of fields; and the words of a poll that waits in vain.

local core = require "finetune.core"
local finetune = require "finetune"
local live = require "spec.support.live"
local names = require "finetune.names"

local context = core.context
local function ctx_with(config) return setmetatable({config = config or {}}, context) end

describe("ctx.slug", function()
  it("makes an id of any words", function()
    for words, start in pairs {["Mails 2026 (v2)"] = "mails-2026-v2-", ["7a"] = "d-7a-", [""] = "d-", ["数据"] = "d-",
      ["-_x--y_"] = "x-y-", [("ab "):rep(50)] = ("ab-"):rep(13) .. "a-", ["\0\n'"] = "d-"} do
      local id = context.slug(words, "key")
      assert.equal(start, id:match "^(.-)%x+$", words)
      assert.matches("^%l[%l%d-]*%x+$", id)
      assert.is_true(#id <= 57)
    end
  end)

  it("ends as the key says", function()
    assert.equal("x-af63dc4c8601ec8c", context.slug("x", "a")) -- FNV-1a of "a", as its authors publish it
    assert.equal(context.slug("x", "one"), context.slug("x", "one"))
    assert.not_equal(context.slug("x", "one"), context.slug("x", "two"))
  end)
end)

describe("names.kind", function()
  local ctx = ctx_with {account = "acme"}
  local JOB = names.kind("accounts/{account}", "jobs", "old-jobs")

  it("makes whole names", function()
    assert.equal("accounts/acme/jobs/j", JOB.name(ctx, "j"))
    assert.equal("accounts/acme/old-jobs/j", JOB.name(ctx, "j", "old-jobs"))
    assert.equal("accounts/acme/jobs", JOB.name(ctx))
    for id, whole in pairs {j = "accounts/acme/jobs/j", ["accounts/b/old-jobs/x"] = "accounts/b/old-jobs/x"} do
      assert.equal(whole, JOB.whole(id, {}, ctx))
    end
  end)

  it("knows its own", function()
    assert.is_true(JOB.has "accounts/b/jobs/j")
    assert.equal("accounts/b/old-jobs/j", JOB.id {name = "accounts/b/old-jobs/j"})
    for _, odd in ipairs {"accounts/acme/files/j", "accounts/acme/jobs", "accounts/acme/jobs/",
      "accounts/acme/jobs/a/b", "x/accounts/acme/jobs/j", "jobs/j", "/", "", "accounts//jobs/j"} do
      assert.is_false(JOB.has(odd), odd)
      assert.is_nil(JOB.id {name = odd})
      if odd:find "/" then
        local id, why = JOB.whole(odd, {}, ctx)
        assert.is_nil(id)
        assert.equal(("'%s' is no id in jobs: it is accounts/ACCOUNT/jobs/ID or ID alone"):format(odd), why)
      end
    end
    for _, odd in ipairs {5, true, {}, core.null} do assert.is_nil(JOB.id {name = odd}) end
    assert.is_nil(JOB.id {})
  end)
end)

describe("ctx inside an operation", function()
  after_each(function()
    finetune.unregister "kit_names"
    live.clean()
  end)

  -- f(ctx) as an operation -> its value, or nil, err
  local function run(f)
    local P = {name = "kit_names", base_url = "https://kit.example"}
    for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model", "get_job"} do
      P[op] = finetune.unsupported "not here"
    end
    P.sample = f -- its result may be anything
    finetune.register(P, {replace = true})
    local provider <close> = assert(finetune.create_provider("kit_names", {api_key = "k-12345678"}))
    local value, err = provider:sample "m"
    return value, err
  end

  it("counts the lines of a file that are not empty", function()
    local block = 1 << 20
    for text, n in pairs {["{}\n{}\n"] = 2, ["{}\n{}"] = 2, ["\n\r\n{}\r\n\n\r\n{}\r\n"] = 2, ["\n"] = 0, [""] = 0,
      [("x"):rep(block) .. "\n"] = 1, [("x"):rep(block - 1) .. "\n\n{}"] = 2, [("x"):rep(block * 3)] = 1,
      [("{}\n"):rep(block)] = block} do
      local path = live.file(text)
      assert.equal(n, (run(function(ctx) return ctx:count_lines(path) end)))
    end
  end)

  it("says why a file's lines cannot be counted", function()
    for path, words in pairs {["/nonexistent/x"] = "No such file", ["/tmp"] = "directory"} do
      local n, err = run(function(ctx) return ctx:count_lines(path) end)
      assert.is_nil(n)
      assert.equal("data", err.kind)
      assert.matches(words, err.message, 1, true)
    end
  end)

  it("says why a poll waited in vain", function()
    local _, err = run(function(ctx)
      return ctx:poll(function() return nil, nil, "the file has not arrived" end,
        {interval = 0.001, timeout = 0.01, what = "file f"})
    end)
    assert.equal("timeout", err.kind)
    assert.matches("file f was not ready after 0.01 s: the file has not arrived", err.message, 1, true)
  end)
end)

describe("a mapping's method", function()
  local map = finetune.mapping {service = "Acme",
    fields = {model = {required = true}, tag = {"settings.tag", to = function(value, params, ctx)
      return ctx.config.account .. "/" .. params.model .. "/" .. value
    end}},
    hyperparameters = {n_epochs = {"settings.epochs", integer = true}},
    methods = {supervised = {top = "settings"}, rl = {fields = {judge = {"judge", required = true}}}},
    refuse = {judge = "belongs to the method rl"}}
  local ctx = ctx_with {account = "acme"}

  it("has fields of its own, which may be needed", function()
    assert.same({judge = "j", settings = {epochs = 2}}, map(ctx, {model = "m", method = "rl", judge = "j",
      hyperparameters = {n_epochs = 2}}))
    for param, params in pairs {judge = {model = "m", method = "rl"}, model = {method = "rl", judge = "j"}} do
      local body, err = map(ctx, params)
      assert.is_nil(body)
      assert.same({"invalid", param, param .. " is needed"}, {err.kind, err.param, err.message})
    end
    assert.matches("judge belongs to the method rl", select(2, map(ctx, {model = "m", judge = "j"})).message, 1, true)
  end)

  it("may have at the top what others have in an object", function()
    assert.same({epochs = 2, tag = "acme/m/t"}, map(ctx, {model = "m", tag = "t", hyperparameters = {n_epochs = 2}}))
    assert.same({}, map(ctx, {model = "m"}))
    assert.same({epochs = 3, settings = {x = 1}}, map(ctx, {model = "m", hyperparameters = {n_epochs = 2},
      extra = {epochs = 3, settings = {x = 1}}}))
  end)
end)

describe("a reader's field", function()
  local pick = finetune.pick

  it("is in the first of several places that has it", function()
    local source = "new.model|model|old:text"
    assert.equal("a", pick({new = {model = "a"}, model = "b"}, source))
    assert.equal("b", pick({new = {model = 5}, model = "b", old = "c"}, source))
    assert.equal("c", pick({new = "x", model = "", old = "c"}, source))
    assert.is_nil(pick({}, source))
    assert.is_false(pick({b = false, c = true}, "a|b|c:boolean"))
  end)

  -- type -> {given, wanted}; nil is wanted where there is nothing
  local CASES = {
    percent = {{50, 0.5}, {"25", 0.25}, {250, 1}, {-3, 0}, {"x"}, {{}}, {true}},
    positive = {{7, 7}, {"7", 7}, {7.0, 7}, {0}, {"0"}, {-1}, {1.5}, {{}}, {"1e3"}},
    money = {{{units = "12", nanos = 500000000}, 12.5}, {{units = 3}, 3.0}, {{nanos = 250000000}, 0.25},
      {{currencyCode = "USD"}, 0.0}, {{}}, {{units = "x"}}, {{units = 1, nanos = {}}}, {"12"}, {12}},
  }
  for kind, cases in pairs(CASES) do
    it("has the type " .. kind, function()
      for _, case in ipairs(cases) do assert.equal(case[2], (pick({v = case[1]}, "v:" .. kind))) end
    end)
  end
end)
