-- finetune.mapping and finetune.hyperparameters: create_job's parameters -> a service's body.

local core = require "finetune.core"
local finetune = require "finetune"
local testing = finetune.testing

-- A value with everything in it, as text: what "it was not changed" is compared by
local function dump(value, seen)
  seen = seen or {}
  if type(value) ~= "table" or seen[value] then return tostring(value) end
  seen[value] = true
  local list = {}
  for key, inner in pairs(value) do list[#list + 1] = tostring(key) .. "=" .. dump(inner, seen) end
  table.sort(list)
  return ("%s{%s}"):format(tostring(getmetatable(value)), table.concat(list, ","))
end

-- body | nil, err of a mapping with these fields and hyperparameters. Neither what the caller gave nor the
-- provider's table may be changed by it
local function map(spec, params)
  spec.service = spec.service or "Acme"
  local f = finetune.mapping(spec)
  local before = dump(params) .. dump(spec)
  local body, err = f(nil, params)
  assert.equal(before, dump(params) .. dump(spec))
  assert.is_true((body == nil) == (err ~= nil))
  return body, err
end

local function refusal(param, words, spec, params)
  local body, err = map(spec, params)
  assert.is_nil(body)
  assert.equal("invalid", err.kind)
  assert.equal(param, err.param)
  assert.matches(words, err.message)
  assert.equal(1, (err.message:find(param, 1, true))) -- the words begin with the name
end

describe("fields", function()
  it("go where the table says, as deep as it says", function()
    local spec = {fields = {model = "base", training_file = "data.files.train", validation_file = "data.files.check",
      suffix = "name", seed = {}}}
    assert.same({base = "m", data = {files = {train = "a", check = "b"}}, name = "s"},
      map(spec, {model = "m", training_file = "a", validation_file = "b", suffix = "s", seed = 7}))
  end)

  it("share an object with a field that is a table, which stays the caller's own", function()
    local metadata = {team = "a"}
    local spec = {fields = {metadata = "labels", suffix = "labels.name"}}
    assert.same({labels = {team = "a", name = "s"}}, map(spec, {metadata = metadata, suffix = "s"}))
    assert.same({team = "a"}, metadata)
  end)

  it("are refused where the service has no such thing, with what it has", function()
    local spec = {fields = {model = "m", seed = "s"}, refuse = {metadata = "Acme keeps 100% none"}}
    refusal("suffix", "is not known to Acme, which takes: model, seed %(anything else: `extra`%)", spec,
      {model = "a", suffix = "x"})
    refusal("metadata", "Acme keeps 100%% none", spec, {model = "a", metadata = {a = "b"}})
    refusal("token", "is not known", spec, {token = "t"})
    refusal("grader", "is not known", spec, {grader = {type = "x"}})
  end)

  it("do not have what tells the library how to go about it", function()
    assert.same({m = "a"}, map({fields = {model = "m"}},
      {model = "a", timeout = 5, wait_for_files = false, file_timeout = 3, extra = {}, method = "supervised"}))
  end)

  it("are nothing where nothing is given", function() assert.same({}, map({}, {})) end)
end)

describe("a check", function()
  local NAN, INF = 0 / 0, math.huge
  local LONG = ("x"):rep(1024 * 1024)

  -- target -> what fits ({value, what is sent}, or a value that is sent as it is), what does not, the words
  local CHECKS = {
    {t = {"x", integer = true, least = 1, most = 20}, good = {1, {20.0, 20}, {3.0, 3}},
     bad = {0, 21, 1.5, "3", true, {}, {1}, NAN, INF, -INF, 2^63, -1e308, ""}, words = "a whole number from 1 to 20"},
    {t = {"x", integer = true}, good = {-5, {2.0^53, 1 << 53}, math.mininteger},
     bad = {0.1, 1e300, NAN, INF, "1", false},
     words = "a whole number$"},
    {t = {"x", number = true}, good = {0.5, -1e308, 7, 7.0}, bad = {"0.5", NAN, INF, -INF, {}, false},
     words = "must be a number$"},
    {t = {"x", above = 0, most = 1}, good = {1, 1e-300}, bad = {0, -1, 1.0001, NAN, INF, "1"},
     words = "a number above 0 of at most 1"},
    {t = {"x", least = 0}, good = {0, 1e10}, bad = {-0.1, NAN, INF}, words = "a number from 0$"},
    {t = {"x", integer = true, least = 8, values = {max = true}}, good = {"max", 8},
     bad = {7, "min", "MAX", NAN, {}, true}, words = "a whole number from 8 or max$"},
    {t = {"x", values = {linear = true, cosine = true}}, good = {"linear"},
     bad = {"Linear", "", 1, true, {}, NAN, LONG}, words = "must be one of: cosine, linear$"},
    {t = {"x", type = "boolean"}, good = {true, false}, bad = {"true", 1, 0, {}, NAN},
     words = "must be a boolean"},
    {t = {"x", type = "table"}, good = {}, bad = {"x", 1, true}, words = "must be a table"},
    {t = {"x", most = 5, pattern = "^[%w_-]+$", words = "letters, digits, - and _"}, good = {"a-b_c"},
     bad = {"", "abcdef", "a b", "\xff", LONG, 5.5, {}, true, "a\0b", NAN},
     words = "a number of at most 5$|a text of 1 to 5 characters: letters, digits, %- and _$"},
    {t = {"x", most = 3}, good = {"a", "abc"}, bad = {"", "abcd", {}},
     words = "a text of 1 to 3 characters$"},
    {t = {"x", pattern = "^%l+$", words = "small letters"}, good = {"abc"}, bad = {"A", "", 1, {}, "\xff"},
     words = "must be a text: small letters$"},
  }

  local function holds(words, message)
    for one in (words .. "|"):gmatch("([^|]*)|") do
      if message:find(one) then return true end
    end
    return false
  end

  for i, check in ipairs(CHECKS) do
    it(("lets through what fits, and words what does not (%d: %s)"):format(i, check.words), function()
      local spec = {hyperparameters = {p = check.t}}
      for _, pair in ipairs(check.good) do
        local value, sent = pair, pair
        if type(pair) == "table" then value, sent = pair[1], pair[2] end
        local body = assert(map(spec, {hyperparameters = {p = value}}))
        assert.equal(sent, body.x)
        assert.equal(math.type(sent), math.type(body.x))
      end
      for _, value in ipairs(check.bad) do
        local body, err = map(spec, {hyperparameters = {p = value}})
        assert.is_nil(body, ("%s was let through"):format(tostring(value):sub(1, 40)))
        assert.equal("invalid", err.kind)
        assert.equal("hyperparameters.p", err.param)
        assert.is_true(holds(check.words, err.message), err.message)
        assert.is_true(#err.message < 200) -- the value itself is not repeated
      end
    end)
  end

  it("counts characters, not bytes", function()
    local spec = {fields = {suffix = {"s", pattern = "^[^%s]+$", most = 4}}}
    assert.same({s = "äöüß"}, map(spec, {suffix = "äöüß"}))
    refusal("suffix", "1 to 4 characters", spec, {suffix = "äöüßx"})
  end)

  it("gives another value, or words", function()
    local spec = {fields = {suffix = {"s", to = function(value, params)
      if value == params.model then return nil, "is the model's name" end
      if value == "none" then return nil end
      return value:upper()
    end}}}
    spec.fields.model = "m"
    assert.same({m = "a", s = "B"}, map(spec, {model = "a", suffix = "b"}))
    refusal("suffix", "is the model's name", spec, {model = "a", suffix = "a"})
    refusal("suffix", "does not fit", spec, {model = "a", suffix = "none"})
  end)

  it("gives a table of the provider's own, which stays as it is", function()
    local constant = {type = "Lora"}
    local spec = {hyperparameters = {lora = {"training", to = function() return constant end},
      lora_rank = {"training.r", integer = true}}}
    assert.same({training = {type = "Lora", r = 8, alpha = 1}},
      map(spec, {hyperparameters = {lora = true, lora_rank = 8}, extra = {training = {alpha = 1}}}))
    assert.same({type = "Lora"}, constant)
  end)
end)

describe("hyperparameters", function()
  local SPEC = {hyperparameters = {n_epochs = {"epochs", integer = true}, learning_rate = "lr", packing = "packing",
    batch_size = {"batch", integer = true, values = {auto = true}}}}

  it("are left out where they are auto, unless auto is the service's own word", function()
    assert.same({batch = "auto"}, map(SPEC, {hyperparameters = {n_epochs = "auto", learning_rate = "auto",
      batch_size = "auto"}}))
  end)

  it("may be false", function() assert.same({packing = false}, map(SPEC, {hyperparameters = {packing = false}})) end)

  it("are refused by name, in the order of the names", function()
    refusal("hyperparameters.a", "is not known to Acme, which takes: batch_size, learning_rate, n_epochs, packing",
      SPEC, {hyperparameters = {z = 1, a = 1, n_epochs = 2}})
    refusal("hyperparameters.z", "is not known", SPEC, {hyperparameters = {z = "auto"}})
  end)

  it("make no multiplier of a rate, nor the reverse", function()
    refusal("hyperparameters.learning_rate_multiplier",
      "is a factor .* Acme takes only learning_rate, .*cannot be made from the other.*`extra`", SPEC,
      {hyperparameters = {learning_rate_multiplier = 2}})
    local other = {hyperparameters = {learning_rate_multiplier = "lrm"}}
    refusal("hyperparameters.learning_rate", "is an absolute rate, and Acme takes only learning_rate_multiplier",
      other, {hyperparameters = {learning_rate = 1e-5}})
    assert.same({lrm = 2}, map(other, {hyperparameters = {learning_rate_multiplier = 2}}))
    assert.same({lrm = 2, learning_rate = 1e-5}, map(other, {hyperparameters = {learning_rate_multiplier = 2},
      extra = {learning_rate = 1e-5}}))
    refusal("hyperparameters.learning_rate", "is not known to Acme", {}, {hyperparameters = {learning_rate = 1}})
  end)

  local LORA = {lora = true}
  local RANKS = {hyperparameters = {lora = {"lora", type = "boolean"}, lora_r = {"lora_r", least = 1, implies = LORA},
    lora_rank = {"lora_r", least = 1, implies = LORA}}}

  it("may say another without words", function()
    assert.same({lora = true, lora_r = 8}, map(RANKS, {hyperparameters = {lora_rank = 8}}))
    assert.same({lora = true, lora_r = 8}, map(RANKS, {hyperparameters = {lora_rank = 8, lora = "auto"}}))
    assert.same({lora = false}, map(RANKS, {hyperparameters = {lora = false, lora_rank = "auto"}}))
    refusal("hyperparameters.lora_r", "belongs to lora = true", RANKS, {hyperparameters = {lora = false, lora_r = 8}})
  end)

  it("may have two names, of which one is given", function()
    refusal("hyperparameters.lora_rank", "and hyperparameters.lora_r are the same", RANKS,
      {hyperparameters = {lora_r = 8, lora_rank = 8}})
  end)

  it("are a table of names and values", function()
    for _, wrong in ipairs {5, "n_epochs=3", true, {1, 2}, {[1.5] = 2}, {[true] = 1}, finetune.null} do
      refusal("hyperparameters", "must be a table of names and values", SPEC, {hyperparameters = wrong})
    end
    assert.same({}, map(SPEC, {hyperparameters = {}}))
    assert.same({}, map(SPEC, {hyperparameters = finetune.array {}}))
  end)

  it("may be as many as there are", function()
    local many = {}
    for i = 1, 20000 do many["p" .. i] = i end
    refusal("hyperparameters.p1", "is not known", SPEC, {hyperparameters = many})
  end)
end)

describe("method", function()
  local SPEC = {fields = {grader = "grader"}, hyperparameters = {n_epochs = "epochs"}, methods = {
    supervised = {set = {kind = "sft"}},
    dpo = {set = {["train.kind"] = "dpo", ["train.of"] = {"a", "b"}},
           hyperparameters = {beta = {"train.beta", above = 0}}},
    reinforcement = {set = {kind = "rft"}},
  }}

  it("is supervised where nothing is said", function()
    for _, method in ipairs {false, "supervised", {type = "supervised"}, {type = "supervised", supervised = {}}} do
      assert.same({kind = "sft"}, map(SPEC, {method = method or nil}))
    end
  end)

  it("has hyperparameters of its own, in any of three places; the flat ones win", function()
    local expected = {epochs = 3, train = {kind = "dpo", of = {"a", "b"}, beta = 0.5}}
    assert.same(expected, map(SPEC, {method = "dpo", hyperparameters = {beta = 0.5, n_epochs = 3}}))
    assert.same(expected, map(SPEC, {method = {type = "dpo", hyperparameters = {beta = 0.5, n_epochs = 3}}}))
    assert.same(expected, map(SPEC, {method = {type = "dpo", dpo = {hyperparameters = {beta = 0.5, n_epochs = 3}}}}))
    assert.same(expected, map(SPEC, {hyperparameters = {beta = 0.5},
      method = {type = "dpo", hyperparameters = {beta = 9, n_epochs = 3}, dpo = {hyperparameters = {n_epochs = 8}}}}))
    refusal("hyperparameters.beta", "is not known to Acme, which takes: n_epochs ", SPEC,
      {hyperparameters = {beta = 0.5}})
    refusal("hyperparameters.beta", "must be a number above 0", SPEC, {method = "dpo", hyperparameters = {beta = 0}})
  end)

  it("has a grader, in any of three places", function()
    local grader = {type = "string_check"}
    for _, params in ipairs {
      {method = "reinforcement", grader = grader},
      {method = {type = "reinforcement", grader = grader}},
      {method = {type = "reinforcement", reinforcement = {grader = grader}}},
    } do
      assert.same({kind = "rft", grader = grader}, map(SPEC, params))
    end
  end)

  it("is refused where the service has none of it, or where it is none", function()
    refusal("method", "'ppo' is not offered by Acme, which has: dpo, reinforcement, supervised", SPEC, {method = "ppo"})
    refusal("method", "'dpo' is not offered by Acme, which has: supervised", {}, {method = "dpo"})
    refusal("method", ("x"):rep(60) .. "' is not offered", SPEC, {method = ("x"):rep(1000000)})
    for _, method in ipairs {{}, {type = 5}, {type = {}}, {type = true}, {type = 0 / 0}, {"dpo"},
      finetune.array {}} do
      refusal("method", "needs a `type`", SPEC, {method = method})
    end
    refusal("method.dpo", "must be a table", SPEC, {method = {type = "dpo", dpo = "x"}})
    refusal("method", "'5' is not offered", SPEC, {method = 5})
  end)

  it("drops nothing that stands in it", function()
    refusal("method.beta", "is not known", SPEC, {method = {type = "dpo", beta = 1}})
    refusal("method.supervised", "is not known", SPEC, {method = {type = "dpo", supervised = {}}})
    refusal("method.dpo.beta", "is not known", SPEC, {method = {type = "dpo", dpo = {beta = 1}}})
    refusal("method.1", "is not known", SPEC, {method = {type = "dpo", "x"}})
    refusal("hyperparameters", "must be a table", SPEC, {method = {type = "dpo", dpo = {hyperparameters = 5}}})
  end)
end)

describe("extra", function()
  local SPEC = {fields = {model = "m", metadata = "labels"}, hyperparameters = {n_epochs = "settings.epochs"},
    methods = {supervised = {set = {training = {type = "Lora", modules = {"all"}}}}}}

  it("is laid over the body, objects into objects, the rest in place of what was there", function()
    assert.same({m = "b", settings = {epochs = 1, deep = {a = 1}}, more = {1, 2}, flag = false,
      training = {type = "Lora", modules = {"q", "v"}, r = 8}},
      map(SPEC, {model = "a", hyperparameters = {n_epochs = 1}, extra = {m = "b", settings = {deep = {a = 1}},
        training = {modules = {"q", "v"}, r = 8}, more = {1, 2}, flag = false}}))
  end)

  it("never reaches the next call", function()
    local f = finetune.mapping {service = "Acme", methods = SPEC.methods}
    local first = assert(f(nil, {extra = {training = {r = 8, modules = {"q"}}}}))
    assert.same({training = {type = "Lora", modules = {"q"}, r = 8}}, first)
    first.training.type, first.training.modules[1] = "Full", "none"
    assert.same({training = {type = "Lora", modules = {"all"}}}, f(nil, {}))
  end)

  it("shares no table with the body", function()
    local extra = {settings = {list = {1}}, whole = {a = {b = 1}}}
    local body = assert(map(SPEC, {extra = extra, metadata = extra.whole}))
    body.settings.list[1], body.whole.a.b, body.labels.a.b = 9, 9, 9
    assert.same({settings = {list = {1}}, whole = {a = {b = 1}}}, extra)
  end)

  it("keeps arrays that are empty, and takes an empty table for an object", function()
    local body = assert(map(SPEC, {extra = {list = finetune.array {}, training = {}, new = {}}}))
    assert.equal('{"list":[],"new":{},"training":{"modules":["all"],"type":"Lora"}}', core.encode(body))
    body = assert(map(SPEC, {extra = {training = finetune.array {}}}))
    assert.equal('{"training":[]}', core.encode(body))
    body = assert(map(SPEC, {metadata = finetune.array {}, extra = {labels = {a = 1}}}))
    assert.equal('{"a":1}', core.encode(body.labels))
  end)

  it("may have null, where something is to be cleared", function()
    assert.equal('{"training":null}', core.encode(map(SPEC, {extra = {training = finetune.null}})))
  end)

  it("may be deep, wide, in a cycle; what cannot be sent is found when it is sent", function()
    local deep = {}
    local at = deep
    for _ = 1, 5000 do
      at.a = {}
      at = at.a
    end
    local ok, err = pcall(map, {}, {extra = deep})
    assert.is_false(ok)
    assert.equal("invalid", err.kind)
    assert.matches("nested too deeply", err.message)
    local circle = {a = {}, b = {}}
    circle.a.up, circle.b.up, circle.a.next = circle, circle, circle.b
    assert.matches("in a cycle", select(2, pcall(core.encode, map({}, {extra = {c = circle}}))))
  end)

  it("is a table", function()
    for _, wrong in ipairs {5, "x", true} do refusal("extra", "must be a table", {}, {extra = wrong}) end
  end)
end)

describe("mapping", function()
  it("raises at the provider's line where its table is none", function()
    for _, wrong in ipairs {false, 5, {}, {service = 1}} do
      local ok, message = pcall(function() finetune.mapping(wrong or nil) end)
      assert.is_false(ok)
      assert.matches("mapping_spec.lua:%d+: mapping: takes a table with the service's name", message)
    end
  end)
end)

describe("finetune.hyperparameters", function()
  local SPEC = {service = "Acme", hyperparameters = {n_epochs = {"n_epochs", integer = true}, lora_rank = "lora_r",
    learning_rate = "learning_rate"}, methods = {supervised = {}, dpo = {hyperparameters = {beta = "dpo_beta"}}}}
  local change = finetune.hyperparameters(SPEC)

  local function changed(params)
    local before = dump(params) .. dump(SPEC)
    local new, err = change(nil, params)
    assert.equal(before, dump(params) .. dump(SPEC))
    assert.are_not.equal(params, new)
    return new, err
  end

  it("gives new parameters with the service's own names, and all others as they are", function()
    local extra, grader = {a = 1}, {type = "g"}
    local new = assert(changed {model = "m", seed = 1, extra = extra,
      hyperparameters = {n_epochs = 3.0, lora_rank = 8}})
    assert.same({model = "m", seed = 1, hyperparameters = {n_epochs = 3, lora_r = 8}, extra = {a = 1}}, new)
    assert.same({method = {type = "dpo"}, hyperparameters = {dpo_beta = 0.1}, grader = grader},
      changed {method = {type = "dpo", grader = grader, dpo = {hyperparameters = {beta = 0.1}}}})
    assert.same({}, changed {hyperparameters = {n_epochs = "auto"}})
  end)

  it("refuses as the mapping does", function()
    for param, params in pairs {
      ["hyperparameters.n_epochs"] = {hyperparameters = {n_epochs = 1.5}},
      ["hyperparameters.beta"] = {hyperparameters = {beta = 1}},
      ["hyperparameters.learning_rate_multiplier"] = {hyperparameters = {learning_rate_multiplier = 2}},
      ["method"] = {method = "ppo"},
      ["hyperparameters"] = {hyperparameters = 5},
    } do
      local new, err = changed(params)
      assert.is_nil(new)
      assert.equal("invalid", err.kind)
      assert.equal(param, err.param)
    end
  end)

  it("makes the body of a variant's base", function()
    local P, super = finetune.variant("openai", {name = "mapped", base_url = "https://acme.example/v1",
      quirks = {hyperparameters = true}})
    function P.create_job(ctx, params)
      local new, err = change(ctx, params)
      if not new then return nil, err end
      return super.create_job(ctx, new)
    end
    finetune.register(P)
    local transport, log = testing.transport {{"POST /v1/fine_tuning/jobs", json = {id = "j", status = "queued"}}}
    local provider <close> = assert(finetune.create_provider("mapped", {api_key = "key-123456", transport = transport}))
    local params = {model = "m", training_file = "f", wait_for_files = false, hyperparameters = {lora_rank = 8}}
    local before = dump(params)
    assert(provider:create_job(params))
    local _, err = provider:create_job {model = "m", training_file = "f", hyperparameters = {rank = 8}}
    log.done()
    finetune.unregister "mapped"
    assert.equal(before, dump(params))
    local body = core.decode(log.requests[1].body)
    assert.same({lora_r = 8}, body.method.supervised.hyperparameters)
    assert.same({"m", "f"}, {body.model, body.training_file})
    assert.equal("invalid", err.kind)
    assert.equal("mapped", err.provider)
    assert.equal("create_job", err.op)
  end)
end)
