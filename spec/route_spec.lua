-- finetune.reader and finetune.route: documents and operations as data; and what a path may not hold.

local core = require "finetune.core"
local finetune = require "finetune"

local function instance(ops, answer, config)
  local P = {name = "route_spec", base_url = "https://api.example/v1", config = {"account"}}
  for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model", "get_job"} do
    P[op] = finetune.unsupported "not here"
  end
  for op, f in pairs(ops) do P[op] = f end
  finetune.register(P, {replace = true})
  local sent = {}
  local settings = {api_key = "k-12345678", max_retries = 0, transport = function(request)
    sent[#sent + 1] = request
    return type(answer) == "function" and answer(request) or {status = 200, json = answer}
  end}
  for key, value in pairs(config or {}) do settings[key] = value end
  return assert(finetune.create_provider("route_spec", settings)), sent
end

local to_job = finetune.reader("a job", {id = "id", status = "state", created_at = "times.start:time",
  trained_tokens = "tokens:integer", hyperparameters = "h:table", progress = "p:number", flag = "f:boolean",
  note = function(doc, ctx) return ctx and ctx.op or doc.note end})

describe("finetune.reader", function()
  it("takes each field where it has its type, and keeps the document", function()
    local doc = {id = "j", state = "DONE", times = {start = "1970-01-01T00:01:00Z"}, tokens = "12", h = {a = 1},
      p = 0.5, f = false, note = "n"}
    assert.same({id = "j", status = "DONE", created_at = 60, trained_tokens = 12, hyperparameters = {a = 1},
      progress = 0.5, flag = false, note = "n", raw = doc}, to_job(doc))
  end)

  it("leaves out what has another type", function()
    for _, odd in ipairs {{}, {1}, true, 7.5, "", "x y", "0x10", "1e3"} do
      local job = assert(to_job {id = "j", times = odd, tokens = odd, created_at = odd})
      assert.is_nil(job.created_at)
      assert.is_nil(job.trained_tokens)
    end
    assert.is_nil(to_job({id = "j", p = 0 / 0}).progress)
    assert.is_nil(to_job({id = "j", h = "text"}).hyperparameters)
  end)

  it("wants an object with an id", function()
    for _, doc in ipairs {"text", 7, true, {}, {id = ""}, {id = 7}, {id = {}}} do
      local value, err = to_job(doc)
      assert.is_nil(value)
      assert.equal("decode", err.kind)
      assert.matches("the service's answer is not a job: it", err.message)
    end
    assert.equal("decode", select(2, to_job(nil)).kind)
    assert.same({raw = {}}, finetune.reader("an event", {message = "m"}) {})
  end)

  it("raises for a field that is none", function()
    assert.has_error(function() finetune.reader("a job", {id = "id:word"}) end, "reader: 'id:word' is no field "
      .. "(path or path:type)")
    assert.has_error(function() finetune.reader {} end)
  end)
end)

describe("finetune.route", function()
  after_each(function() finetune.unregister "route_spec" end)

  it("fills the path from parameters and settings, escaped", function()
    local provider <close>, sent = instance({get_job = finetune.route {"GET /{account}/jobs/{job_id}", value = to_job}},
      {id = "j"}, {account = "a b"})
    assert(provider:get_job "x/y?z")
    assert.equal("https://api.example/v1/a%20b/jobs/x%2Fy%3Fz", sent[1].url)
    assert.equal("get_job", provider:get_job("x").note)
  end)

  it("has parameters that `to` makes: a path with its slashes, the body, the id of what is deleted", function()
    local function whole(id, params, ctx)
      if id == "bad" then return nil, "is bad" end
      return id:find "/" and id or ("projects/%s/%s/%s"):format(ctx.config.account, params.sort or "jobs", id)
    end
    local provider <close>, sent = instance({
      get_job = finetune.route {"GET /{job_id}:look", to = {job_id = whole}, value = to_job},
      cancel_job = finetune.route {"POST /stop", to = {job_id = whole}, body = {job_id = "name"}, value = to_job,
        retry = "never"},
      delete_job = finetune.route {"DELETE /{job_id}", to = {job_id = whole}, deleted = "job_id"},
      list_models = finetune.route {"GET /{account}/models", to = {account = whole}, value = to_job, page = {}},
    }, function(request) return {status = 200, json = request.url:find "models" and {data = {}} or {id = "j"}} end,
      {account = "a"})
    local params = {job_id = "x y"}
    assert(provider:get_job(params))
    assert.same({job_id = "x y"}, params)
    assert(provider:get_job "projects/b/jobs/j?:1")
    assert(provider:cancel_job "j")
    assert.equal("projects/a/jobs/j", assert(provider:delete_job "j").id)
    assert(provider:list_models()) -- `to` is for what is given
    local urls = {}
    for i, request in ipairs(sent) do urls[i] = request.url:match "/v1(.*)" end
    assert.same({"/projects/a/jobs/x%20y:look", "/projects/b/jobs/j%3F%3A1:look", "/stop", "/projects/a/jobs/j",
      "/a/models"}, urls)
    assert.equal('{"name":"projects/a/jobs/j"}', sent[3].body)
    local _, err = provider:get_job "bad"
    assert.same({"invalid", "job_id"}, {err.kind, err.param})
    assert.matches("job_id is bad", err.message, 1, true)
    assert.equal("invalid", select(2, provider:get_job "projects/../jobs/j").kind) -- as any '..' in a path
    assert.equal(5, #sent)
  end)

  it("sends what it knows, constants and `extra`; refuses the rest", function()
    local provider <close>, sent = instance({
      list_files = finetune.route {"GET /files", value = to_job, query = {"purpose", order = "sort"},
        set = {all = true}, page = {}},
      cancel_job = finetune.route {"POST /jobs/{job_id}/stop", value = to_job, set = {why = "user"}},
      pause_job = finetune.route {"POST /jobs/{job_id}/pause", value = to_job},
      resume_job = finetune.route {"POST /jobs/{job_id}/resume", value = to_job, empty = true},
    }, function(request)
      return {status = 200, json = request.method == "GET" and {data = {{id = "f"}, {}, "x"}} or {id = "j"}}
    end)
    local page = assert(provider:list_files {purpose = "p", order = "asc", extra = {mine = 1}})
    assert.equal("https://api.example/v1/files?all=true&mine=1&purpose=p&sort=asc", sent[1].url)
    assert.equal(1, #page.data)
    assert(provider:cancel_job("j", {extra = {now = true}}))
    assert.equal('{"now":true,"why":"user"}', sent[2].body)
    assert(provider:pause_job "j")
    assert.equal("", sent[3].body or "")
    assert(provider:resume_job "j")
    assert.equal("{}", sent[4].body)
    local list_jobs = finetune.route {"GET /jobs", value = to_job, page = {}}
    local provider2 <close> = instance({list_jobs = list_jobs}, {data = {}})
    local _, err = provider2:list_jobs {metadata = {a = "b"}}
    assert.equal("invalid", err.kind)
    assert.equal("metadata", err.param)
    assert.matches("list_jobs of route_spec takes no 'metadata'", err.message)
  end)

  it("goes to another address of the service, with its credentials", function()
    local provider <close>, sent = instance({get_job = finetune.route {"GET /v0/{job_id}", value = to_job,
      base = function(ctx) return (ctx.config.base_url:gsub("/v1$", "")) end}}, {id = "j"})
    assert(provider:get_job "x/y")
    assert.equal("https://api.example/v0/x%2Fy", sent[1].url)
    assert.equal("Bearer k-12345678", sent[1].headers.authorization)
  end)

  it("keeps the items that are wanted", function()
    local provider <close> = instance({list_files = finetune.route {"GET /files", value = to_job, page = {items = "l"},
      uses = {"purpose"}, keep = function(item, _, p) return item.purpose == p.purpose end}},
      {l = {{id = "a", purpose = "x"}, {id = "b", purpose = "y"}}})
    local page = assert(provider:list_files {purpose = "y"})
    assert.equal("b", page.data[1].id)
    assert.is_nil(page.data[2])
  end)

  it("deletes, unless the service says that it did not", function()
    local answer = {}
    local provider <close> = instance({delete_file = finetune.route {"DELETE /files/{file_id}", deleted = "file_id"}},
      function() return answer end)
    answer = {status = 204}
    assert.same({id = "f", deleted = true, raw = {}}, (provider:delete_file "f"))
    answer = {status = 200, json = {deleted = false}}
    assert.equal("conflict", select(2, provider:delete_file "f").kind)
  end)

  it("raises for a row that is none", function()
    for _, row in ipairs {{}, {"get /x", value = to_job}, {"GET x", value = to_job}, {"GET /x"}} do
      assert.has_error(function() finetune.route(row) end)
    end
  end)
end)

describe("a path", function()
  after_each(function() finetune.unregister "route_spec" end)

  local function get(path)
    local provider <close>, sent = instance({get_job = function(ctx) return ctx:get(path) end}, {id = "j"})
    local job, err = provider:get_job "x"
    return job, err, sent
  end

  it("holds no '.' and no '..', however they are written", function()
    for _, path in ipairs {"/jobs/..", "/jobs/../files", "/jobs/.", "/./x", "/jobs/%2e%2E", "/jobs/.%2e/x",
      "/..?a=b"} do
      local job, err, sent = get(path)
      assert.is_nil(job, path)
      assert.equal("invalid", err.kind)
      assert.same({}, sent)
    end
    for _, path in ipairs {"/jobs/...", "/jobs/.x", "/jobs/x.", "/jobs/..x", "/jobs?x=/../", "/a%2e"} do
      assert(get(path))
    end
  end)

  it("begins with a slash: else it could make another host of base_url", function()
    for _, path in ipairs {"@evil.example/x", "x", ".evil.example/x", ":1/x"} do
      local job, err, sent = get(path)
      assert.is_nil(job)
      assert.matches("its path must begin with '/'", err.message)
      assert.same({}, sent)
    end
  end)
end)

describe("ctx:secret", function()
  after_each(function() finetune.unregister "route_spec" end)

  it("redacts a value that came with a parameter", function()
    local provider <close> = instance({get_job = function(ctx, p)
      ctx:secret(p.job_id)
      return ctx:get "/x"
    end}, function() return {status = 400, json = {error = {message = "bad token tok-987654"}}} end)
    local _, err = provider:get_job "tok-987654"
    assert.is_nil(core.encode({err.message, tostring(err)}):find("987654", 1, true))
  end)
end)
