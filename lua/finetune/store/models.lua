-- models.lua: the tuned models of a store (store.lua): models/NAME/model.json, and in out/ what the trainer left.
-- Their ids are "local:NAME". What fails is raised as an error value, for the operations of a provider.

local core = require "finetune.core"
local heard = require "finetune.heard"
local recipes = require "finetune.recipe"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"

local M = {}
local seconds = stores.seconds

local PREFIX = "local:"

M.PREFIX = PREFIX

-- "local:x" -> "x"; nil: the id is no model of a store
function M.name(model) return model:sub(1, #PREFIX) == PREFIX and model:sub(#PREFIX + 1) or nil end

-- -> model.json with `dir`, nil (there is none), or nil, err
function M.load(store, name)
  if not stores.valid(name) then return nil end
  local dir = store:path("models", name)
  local doc, words = stores.read_json(dir .. "/model.json")
  if not doc then
    if words then return stores.failed(words) end
    return nil
  end
  doc.id, doc.dir = PREFIX .. name, dir .. "/out"
  return doc
end

function M.need(store, id)
  local name, doc, err = M.name(id), nil, nil
  if name then doc, err = M.load(store, name) end
  if doc then return doc end
  if err then error(err, 0) end
  return assert(stores.missing("model", id))
end

local function to_model(doc)
  return {id = doc.id, created_at = seconds(doc.created_at), owned_by = "local", raw = doc}
end

-- The base models of the recipes that can run here
local function bases(ctx)
  local list = {}
  for _, recipe in ipairs(recipes.list(ctx.config)) do
    for _, base in ipairs(recipes.installed(recipe) and recipe.models or {}) do
      list[#list + 1] = {id = base.id, owned_by = "recipe " .. recipe.name, raw = base}
    end
  end
  return list
end

function M.list(ctx, store, p)
  local list = bases(ctx)
  for _, name in ipairs(store:all "models") do list[#list + 1] = {id = PREFIX .. name, name = name} end
  local page = assert(heard.page(list, p))
  local data = core.array {}
  for _, item in ipairs(page.data) do
    local doc = item.name and M.load(store, item.name)
    if doc or not item.name then data[#data + 1] = doc and to_model(doc) or item end
  end
  page.data = data
  return page
end

function M.get(ctx, store, p)
  for _, base in ipairs(bases(ctx)) do
    if base.id == p.model then return base end
  end
  return to_model(M.need(store, p.model))
end

function M.remove(ctx, store, p)
  local name = M.name(p.model)
  if not name or not stores.valid(name) then
    return ctx.fail("not_found", "there is no model '%s' of yours: their names begin with %s", p.model, PREFIX)
  end
  assert(store:remove("models", name))
  return {id = p.model, deleted = true}
end

-- ---- a job's result ----

function M.is_checkpoint(name) return name:find "^checkpoint%-%d+$" ~= nil end

-- The job's model, from what its trainer left. Another process may be at it, too: then one of the two is kept.
-- -> the recipe's result | nil, err
function M.keep(store, recipe, job, spec)
  local made = M.load(store, spec.name) -- by a look that could not write the job's end
  if made and made.job_id == spec.id then return stores.object(made.result) end
  local result, err = {}, nil
  if recipe.result then result, err = recipe.result(job) end
  if not result then return nil, err end
  if not stores.valid(spec.name) then return stores.failed "spec.json has no name for the model" end
  local stage <close>, why = store:stage "models"
  if not stage then return nil, why end
  local ok, words = core.fs.mkdir(stage.dir .. "/out")
  if not ok then return stores.failed(words) end
  ok, err = stores.link_tree(job.out, stage.dir .. "/out", job.pause, M.is_checkpoint)
  if ok then
    ok, err = stores.write_json(stage.dir .. "/model.json", {recipe = spec.recipe, base = spec.model, job_id = spec.id,
      created_at = seconds(core.wall()), settings = spec.settings, result = result, training_file = spec.training_file,
      seed = spec.seed, suffix = spec.suffix})
  end
  if ok then ok, err = store:publish(stage, spec.name) end
  if ok or err.kind == "conflict" then return result end
  return nil, err
end

-- ---- running one ----

local function sample_error(ctx, ended)
  local words = supervise.plain(ended.stderr, 400)
  return ctx.fail("server", "the program ended with %s%s", ended.code and "exit status " .. ended.code
    or "signal " .. ended.signal, words ~= "" and ": " .. words or "")
end

function M.sample(ctx, store, p)
  if not M.name(p.model) then
    return ctx.fail("invalid", "'%s' is no tuned model: its name would begin with %s", p.model, PREFIX)
  end
  if (p.prompt == nil) == (p.messages == nil) then return ctx.fail("invalid", "give either prompt or messages") end
  local model = M.need(store, p.model)
  local recipe = assert(recipes.get(ctx.config, model.recipe))
  if not recipe.sample then
    return ctx.fail("unsupported", "models of the recipe '%s' are run by a program of your own: they are in %s",
      recipe.name, model.dir)
  end
  assert(recipes.installed(recipe))
  local run = assert(recipe.sample(model, p, ctx))
  run.timeout = p.timeout
  local ended = assert(ctx:exec(run))
  if ended.code ~= 0 then return sample_error(ctx, ended) end
  local answer = {text = ended.stdout}
  if recipe.parse then answer = assert(recipe.parse(ended.stdout, p, model)) end
  answer.model = p.model
  return answer
end

return M
