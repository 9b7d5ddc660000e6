-- The kit's tables: what a mapping can say beyond names and ranges, W&B, fields of a document, lists that come whole,
-- and what a provider's function raises.

local core = require "finetune.core"
local finetune = require "finetune"

local function ctx_with(config) return setmetatable({config = config or {}}, core.context) end

local function spec_of(more)
  local spec = {service = "Acme", fields = {"model", seed = "random_seed"}}
  for key, value in pairs(more) do spec[key] = value end
  return spec
end

local function map(more, params, config) return (finetune.mapping(spec_of(more)))(ctx_with(config), params) end

local function refusal(param, words, more, params, config)
  local body, err = map(more, params, config)
  assert.is_nil(body)
  assert.same({"invalid", param}, {err.kind, err.param})
  assert.matches(words, err.message, 1, true)
end

describe("a mapping", function()
  it("takes the name as the path in the array part", function()
    assert.same({model = "m", random_seed = 7, packing = true}, map({hyperparameters = {"packing"}},
      {model = "m", seed = 7, hyperparameters = {packing = true}}))
    refusal("x", "which takes: model, seed", {}, {x = 1})
  end)

  it("has an upper end that is not taken", function()
    local more = {hyperparameters = {dropout = {"d", least = 0, below = 1}}}
    assert.same({d = 0.99}, map(more, {hyperparameters = {dropout = 0.99}}))
    for _, value in ipairs {1, 1.5, -0.1, 0 / 0, "0.5"} do
      refusal("hyperparameters.dropout", "a number below 1 from 0", more, {hyperparameters = {dropout = value}})
    end
  end)

  it("takes the length of a text from a setting", function()
    local more = {fields = {suffix = {"suffix", most = "suffix_limit"}}}
    assert.same({suffix = "abc"}, map(more, {suffix = "abc"}, {suffix_limit = 3}))
    refusal("suffix", "1 to 3 characters", more, {suffix = "abcd"}, {suffix_limit = 3})
    refusal("suffix", "1 to 4 characters", more, {suffix = "\xff"}, {suffix_limit = 4})
  end)

  it("wants what a hyperparameter cannot do without", function()
    local more = {hyperparameters = {"rank", alpha = {"alpha", needs = "rank"}, "kind",
      cycles = {"cycles", needs = {kind = "cosine"}}}}
    local function h(t) return {hyperparameters = t} end
    assert.same({rank = 8, alpha = 16}, map(more, h {rank = 8, alpha = 16}))
    assert.same({kind = "cosine", cycles = 2}, map(more, h {kind = "cosine", cycles = 2}))
    assert.same({}, map(more, h {alpha = "auto"}))
    refusal("hyperparameters.rank", "is needed with alpha", more, h {alpha = 16})
    refusal("hyperparameters.rank", "is needed with alpha", more, h {alpha = 16, rank = "auto"})
    refusal("hyperparameters.kind", "is needed with cycles", more, h {cycles = 2})
    refusal("hyperparameters.cycles", "belongs to kind cosine", more, h {kind = "linear", cycles = 2})
  end)

  it("is finished by a function, before `extra`", function()
    local more = {finish = function(body, params, ctx)
      if params.model == "bad" then return ctx.invalid("model", "is %s", "bad") end
      body.twice, body.setting = body.random_seed * 2, ctx.config.setting
      return body
    end}
    assert.same({model = "m", random_seed = 7, twice = 14, setting = "s"}, map(more, {model = "m", seed = 7},
      {setting = "s"}))
    assert.same({model = "m", random_seed = 7, twice = 0}, map(more, {model = "m", seed = 7, extra = {twice = 0}}))
    refusal("model", "model is bad", more, {model = "bad", seed = 7})
  end)

  it("finds the hyperparameters in a document, where they have their type", function()
    local _, back = finetune.mapping(spec_of {hyperparameters = {n_epochs = {"settings.epochs", integer = true},
      batch_size = {"batch", least = 1, values = {max = true}}, packing = {"packing", type = "boolean"},
      steps = {"steps", to = tostring}}, methods = {supervised = {}, dpo = {hyperparameters = {
        beta = {"b.eta", above = 0}}}}})
    assert.same({n_epochs = 3, batch_size = "max", packing = false, beta = 0.1}, back {settings = {epochs = 3},
      batch = "max", packing = false, b = {eta = 0.1}, steps = "9"})
    assert.same({}, back {settings = 7, batch = {}, packing = 1, b = {eta = {}}, n_epochs = 3})
  end)
end)

describe("integrations of a mapping", function()
  local W = {wandb = {api_key = "w.key", project = "w.project", name = "w.name", set = {["w.on"] = true}}}
  local function with(list, config) return map(W, {model = "m", integrations = list}, config) end
  local KEY = {wandb_api_key = "wk-12345678"}

  it("become the service's fields, with the key of the settings", function()
    assert.same({model = "m", w = {key = "wk-12345678", project = "p", on = true}},
      with({{type = "wandb", wandb = {project = "p"}}}, KEY))
    assert.same({model = "m"}, with(nil))
  end)

  it("need the key", function()
    local body, err = with {{type = "wandb", wandb = {project = "p"}}}
    assert.is_nil(body)
    assert.equal("config", err.kind)
    assert.matches("WANDB_API_KEY", err.message)
  end)

  it("are refused where they are something else", function()
    local good = {type = "wandb", wandb = {project = "p"}}
    for _, bad in ipairs {{}, {{type = "mlflow"}}, {good, good}, {{type = "wandb"}}, {7},
      {{type = "wandb", wandb = 7}}} do
      refusal("integrations", "Acme has one integration", W, {model = "m", integrations = bad}, KEY)
    end
    for _, wandb in ipairs {{api_key = "x"}, {set = "x"}, {tags = "x"}, {project = 7}, {project = ""}, {"x"}} do
      refusal("integrations", "takes the texts name, project", W,
        {model = "m", integrations = {{type = "wandb", wandb = wandb}}}, KEY)
    end
  end)
end)

describe("fields of a document", function()
  it("are picked, each where it has its type", function()
    local doc = {id = "x", n = 7, deep = {flag = false, t = {}}}
    assert.same({"x", 7, false, nil, n = 4}, {n = 4, finetune.pick(doc, "id", "n:integer", "deep.flag:boolean", "n")})
    assert.equal(doc.deep.t, (finetune.pick(doc, "deep.t:table")))
    for _, odd in ipairs {7, "x", true, core.null} do
      assert.equal(2, select("#", finetune.pick(odd, "id", "n")))
      assert.is_nil((finetune.pick(odd, "id")))
    end
    assert.has_error(function() finetune.pick(doc, "id:word") end)
  end)

  it("may have to be there, and may have the name of their path", function()
    local read = finetune.reader("a price", {"id", "meta.n:integer", total = "sum:number!"})
    assert.same({id = "i", ["meta.n"] = 3, total = 2, raw = {id = "i", sum = 2, meta = {n = 3}}},
      read {id = "i", sum = 2, meta = {n = 3}})
    for _, doc in ipairs {{id = "i"}, {id = "i", sum = "2"}, {id = "i", sum = {}}} do
      local value, err = read(doc)
      assert.is_nil(value)
      assert.matches("not a price: it has no total", err.message, 1, true)
    end
  end)
end)

describe("an operation", function()
  local sent

  local function run(op, f, answer, params)
    local P = {name = "kit_data_spec", base_url = "https://api.example/v1", params = {list_metrics = "from:integer"}}
    for _, name in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model", "get_job"} do
      P[name] = finetune.unsupported "not here"
    end
    P[op] = f
    finetune.register(P, {replace = true})
    sent = {}
    local provider <close> = assert(finetune.create_provider("kit_data_spec", {api_key = "k-12345678", max_retries = 3,
      retry_delay = 0.001, transport = function(request)
        sent[#sent + 1] = request
        return type(answer) == "function" and answer(request) or {status = 200, json = answer}
      end}))
    return provider[op](provider, params)
  end

  after_each(function() finetune.unregister "kit_data_spec" end)

  local to_item = finetune.reader("an item", {"id"})

  it("of a list that comes whole sends no limit, and has no `after`", function()
    local list = finetune.route {"GET /jobs", value = to_item, page = {}}
    assert.equal(2, #assert(run("list_jobs", list, {data = {{id = "a"}, {id = "b"}}}, {limit = 1})).data)
    assert.equal("https://api.example/v1/jobs", sent[1].url)
    local _, err = run("list_jobs", list, {data = {}}, {after = "a"})
    assert.same({"invalid", "after"}, {err.kind, err.param})
    local cut = finetune.route {"GET /jobs", value = to_item, page = {whole = true}}
    local page = assert(run("list_jobs", cut, {data = {{id = "a"}, {id = "b"}}}, {limit = 1}))
    assert.same({1, true, "a"}, {#page.data, page.has_more, page.next})
  end)

  it("turns a whole list so that the newest is first", function()
    local list = finetune.route {"GET /jobs", page = {newest = "at"}, value = function(doc) return doc end}
    local function order(...)
      local data, ids = {}, {}
      for i, at in ipairs {...} do data[i] = {id = "j" .. i, at = at} end
      for i, item in ipairs(assert(run("list_jobs", list, {data = data})).data) do ids[i] = item.id end
      return table.concat(ids, " ")
    end
    assert.equal("j3 j2 j1", order(1, 2, 3))
    assert.equal("j1 j2 j3", order(3, 2, 1))
    assert.equal("j2 j1", order("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.2Z"))
    assert.equal("j1 j2", order("b", "a"))
    assert.equal("j1 j2", order("a", 1))
    assert.equal("j1 j2", order({}, {}))
    assert.equal("", order())
  end)

  it("sends a body with a GET, and is not repeated where it must not be", function()
    local metrics = finetune.route {"GET /m/{job_id}", body = {"from"}, value = function(doc) return {data = doc} end}
    assert(run("list_metrics", metrics, {}, {job_id = "j", from = 2, extra = {to = 3}}))
    assert.same({"GET", "https://api.example/v1/m/j", '{"from":2,"to":3}'}, {sent[1].method, sent[1].url, sent[1].body})
    assert(run("list_metrics", metrics, {}, {job_id = "j"}))
    assert.equal("", sent[1].body or "")
    local once = finetune.route {"POST /jobs/{job_id}/stop", value = to_item, retry = "never"}
    local _, err = run("cancel_job", once, function() return {status = 503} end, {job_id = "j"})
    assert.same({"server", 1}, {err.kind, #sent})
    local often = finetune.route {"POST /jobs/{job_id}/stop", value = to_item}
    run("cancel_job", often, function() return {status = 503} end, {job_id = "j"})
    assert.equal(4, #sent)
  end)

  it("takes back what it began where the rest raises", function()
    local function op(raised)
      return function(ctx) return ctx:or_undo({method = "DELETE", path = "/x"}, function() error(raised, 0) end) end
    end
    local _, err = run("get_job", op(core.error {kind = "data", message = "no"}), {}, {job_id = "j"})
    assert.same({"data", "DELETE", 1}, {err.kind, sent[1].method, #sent})
    _, err = run("get_job", op "a mistake", {}, {job_id = "j"})
    assert.equal("provider", err.kind)
    assert.equal(1, #sent)
  end)

  it("refuses a file that is too large", function()
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "wb"))
    file:write "1234"
    file:close()
    assert.equal(4, core.context.file_info(path, 4).size)
    local info, err = core.context.file_info(path, 3)
    os.remove(path)
    assert.is_nil(info)
    assert.equal("data", err.kind)
    assert.matches("has 4 bytes, and the service takes 3 at most", err.message)
  end)
end)
