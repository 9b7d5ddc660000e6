-- jobs.lua: the jobs of a store (store.lua): jobs/ID/, the folder in which a runner works (supervise.lua). spec.json
-- says what was asked for; state.json, once it is there, is the job's end and all that is read from then on. The end
-- is worked up by whoever looks first: the model is stored, the log of a trainer becomes events.jsonl.
-- What fails is raised as an error value, for the operations of a provider.

local core = require "finetune.core"
local files = require "finetune.store.files"
local heard = require "finetune.heard"
local models = require "finetune.store.models"
require "finetune.names" -- which makes core.context.slug
local recipes = require "finetune.recipe"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"
local tail = require "finetune.tail"

local M = {}
local text, number, object, seconds = stores.text, stores.number, stores.object, stores.seconds

local EVENTS, EVENTS_MOST = 100, 1000 -- events of a page
local LOOK_BACK = 1000 -- jobs among which a token is looked for, the newest
local PAST = 200 -- jobs that an estimate looks at
local CLAIM_PAUSE = 0.05 -- seconds between two looks at what another call does

M.FINAL = {succeeded = true, failed = true, cancelled = true}
local FINAL = M.FINAL
local LIVE = {queued = true, running = true, paused = true, cancelling = true, finalizing = true} -- never in state.json

-- ---- the end ----

-- What the recipe works with
function M.of_recipe(ctx, dir, spec, base)
  return {dir = dir, out = dir .. "/out", training = dir .. "/training.jsonl",
    validation = spec.validation_file and dir .. "/validation.jsonl" or nil, settings = object(spec.settings),
    base = base, model = text(spec.model), seed = spec.seed, suffix = text(spec.suffix), pause = stores.pauser(ctx)}
end

-- The events of a trainer that writes none itself, as if it had
local function store_events(recipe, job)
  if not recipe.events or core.fs.stat(job.dir .. "/events.jsonl") then return end
  local lines = tail.as_file(job, recipe, job.pause)
  if lines ~= "" then core.fs.write(job.dir .. "/events.jsonl", lines) end
end

-- What passes (a full disk, a recipe that this process does not find) is no state; what the recipe says is the end
local function take_failure(doc, err, passing)
  doc.error = {code = passing and "store" or "no_result", message = err.message}
  doc.status = passing and "finalizing" or "failed"
end

-- What another process made of the job meanwhile, and then cleared away what we were looking for
local function concluded(dir) return stores.read_json(dir .. "/state.json") end

-- The last state of a job, written to state.json, from which it is read from then on
local function conclude(ctx, store, dir, doc)
  local recipe, err = recipes.get(ctx.config, doc.recipe)
  local job = M.of_recipe(ctx, dir, doc)
  if recipe then store_events(recipe, job) end
  if doc.status == "succeeded" then
    local result
    if recipe then result, err = models.keep(store, recipe, job, doc) end
    if result then
      doc.result, doc.fine_tuned_model = result, models.PREFIX .. doc.name
    else
      local other = concluded(dir)
      if other then return other end
      take_failure(doc, err, not recipe or err.kind == "server")
    end
  end
  doc.logged = recipe and recipe.events and true or nil
  if doc.status == "finalizing" then return doc end
  local ok, why = stores.write_json(dir .. "/state.json", doc)
  if not ok then -- what is not written is not so: a later look may come to another end
    doc.fine_tuned_model, doc.status, doc.error = nil, "finalizing", {code = "store", message = why.message}
    return doc
  end
  if recipe and recipe.events then heard.of(ctx, doc.id).log = nil end
  if doc.fine_tuned_model then
    stores.remove_tree(job.out, models.is_checkpoint)
    for _, name in ipairs {"/training.jsonl", "/validation.jsonl"} do core.fs.remove(dir .. name) end
  end
  return doc
end

-- ---- looking ----

-- One whose papers cannot be read; state: what its runner's lock tells. While that is held, it can be cancelled.
local function damaged(id, dir, words, state)
  local doc = {id = id, dir = dir, status = "failed", error = {code = "damaged", message = words}}
  if state and not FINAL[state.status] then doc.status, doc.started_at = state.status, state.started_at end
  return doc
end

-- A job that never got its runner, because its script was killed, goes when it is old
local function drop_stale(store, id)
  if id:find "^job%-%d+%-%d+%-%d+%-%x+$" and stores.is_stale(store:path("jobs", id)) then store:remove("jobs", id) end
end

-- -> the job's document, all of it checked where it is used; nil: there is none
-- state(dir): in place of supervise.state, for runners on other machines
function M.load(ctx, store, id, state_of)
  if not stores.valid(id) then return nil end
  local dir = store:path("jobs", id)
  local doc, words = stores.read_json(dir .. "/state.json")
  if doc and LIVE[doc.status] then doc, words = nil, "state.json: its status is no end" end
  if words then return damaged(id, dir, words, core.lock_holder(dir .. "/lock") and supervise.alive(dir)) end
  if not doc then
    local state, why = (state_of or supervise.state)(dir)
    if not state and why then return damaged(id, dir, why) end
    if not state then return drop_stale(store, id) end
    doc, words = stores.read_json(dir .. "/spec.json")
    if not doc then return damaged(id, dir, words or "spec.json is missing", state) end
    doc.id, doc.dir = id, dir
    for key, value in pairs(state) do doc[key] = value end
    return FINAL[doc.status] and conclude(ctx, store, dir, doc) or doc
  end
  doc.id, doc.dir = id, dir
  return doc
end

-- The newest events of what the trainer says, before that place, at most n; and whether they were searched no further
local function trainer_events(ctx, doc, before, n)
  local recipe = not FINAL[doc.status] and recipes.get(ctx.config, doc.recipe)
  if not recipe or not recipe.events then
    local list, cut = tail.file(doc.dir .. "/events.jsonl", before, n)
    for _, event in ipairs(doc.logged and list or {}) do -- a log has no times, but the end was not before
      event.created_at = event.created_at or seconds(doc.finished_at)
    end
    return list, cut
  end
  local memory = heard.of(ctx, doc.id)
  memory.log = memory.log or tail.new_log()
  tail.read_log(memory.log, M.of_recipe(ctx, doc.dir, doc), recipe, stores.pauser(ctx))
  return tail.of_log(memory.log, before, n)
end

-- 0 to 1, from the last event; nil where it does not say
local function progress_of(ctx, doc)
  if doc.status == "succeeded" then return 1 end
  if doc.status ~= "running" and doc.status ~= "paused" then return nil end
  local last = trainer_events(ctx, doc, nil, 1)[1]
  local data = object(last and last.data)
  local total = number(data.total_steps)
  return total and total > 0 and data.step and math.min(math.max(data.step / total, 0), 1) or nil
end

-- As the operations give it
function M.value(ctx, doc)
  local err = object(doc.error)
  return {id = doc.id, status = text(doc.status) or "failed", model = text(doc.model),
    fine_tuned_model = text(doc.fine_tuned_model), created_at = seconds(doc.created_at),
    finished_at = seconds(doc.finished_at), training_file = text(doc.training_file),
    validation_file = text(doc.validation_file), hyperparameters = type(doc.hyperparameters) == "table"
      and doc.hyperparameters or nil, method = type(doc.method) == "table" and doc.method or nil,
    seed = math.type(doc.seed) == "integer" and doc.seed or nil, suffix = text(doc.suffix),
    metadata = type(doc.metadata) == "table" and doc.metadata or nil, progress = progress_of(ctx, doc),
    error = doc.error and {code = text(err.code), message = text(err.message)} or nil, raw = doc}
end

function M.need(ctx, store, id, state_of)
  return M.load(ctx, store, id, state_of) or assert(stores.missing("job", id))
end

-- The ids of what this caller's token made before, the newest first
function M.with_token(store, token)
  local list = {}
  for _, id in ipairs((store:names("jobs", nil, LOOK_BACK))) do
    local spec = stores.read_json(store:path("jobs", id) .. "/spec.json")
    if spec and spec.token == token then list[#list + 1] = id end
  end
  return list
end

-- The job that this caller's token made before, or nil
function M.find(ctx, store, token)
  for _, id in ipairs(M.with_token(store, token)) do
    local doc = M.load(ctx, store, id)
    if doc then return M.value(ctx, doc) end
  end
end

-- ---- events, checkpoints ----

local function own_event(id, time, level, message, data)
  return {id = id, created_at = seconds(time), level = level, type = "message", message = message, data = data}
end

-- What is known without the trainer: of the end, and of the beginning; the newest first
local function own_events(doc)
  local head, foot = {}, {}
  if FINAL[doc.status] then
    local err = object(doc.error)
    local words = ("job %s%s"):format(doc.status, text(err.message) and ": " .. err.message or "")
    head[1] = own_event("ended", doc.finished_at, doc.status == "failed" and "error" or "info", words,
      {status = doc.status, wall = object(doc.exit).wall, cpu = object(doc.exit).cpu})
  end
  local results = object(object(doc.result).events)
  for i = #results, 1, -1 do
    local event = type(results[i]) == "table" and tail.event("result-" .. i, results[i]) or nil
    if event then event.created_at = event.created_at or seconds(doc.finished_at) end
    head[#head + 1] = event
  end
  if number(doc.started_at) then foot[1] = own_event("started", doc.started_at, "info", "job started") end
  local waits = object(doc.waits)
  for i = #waits, 1, -1 do
    local wait = object(waits[i])
    foot[#foot + 1] = own_event("waits-" .. i, number(wait.time), wait.passes and "info" or "warn",
      "the job waits: " .. (text(wait.reason) or "no reason was given"))
  end
  foot[#foot + 1] = own_event("created", doc.created_at, "info", "job created")
  return head, foot
end

-- The place of that id in the list: 0 where it is not there
local function place_of(list, id)
  for i, event in ipairs(list) do
    if event.id == id then return i end
  end
  return 0
end

-- The newest first. Of the trainer's events no more is read than the page holds.
function M.events(ctx, p, doc)
  local limit = math.min(math.max(p.limit or EVENTS, 1), EVENTS_MOST)
  local head, foot = own_events(doc)
  local before = p.after and math.tointeger(tonumber(p.after:match "^e%-(%d+)$"))
  local in_head, in_foot = place_of(head, p.after), place_of(foot, p.after)
  if p.after and not before and in_head + in_foot == 0 then
    return ctx.fail("invalid", "after: there is no event '%s'", p.after)
  end
  local list = core.array {}
  if not before and in_foot == 0 then table.move(head, in_head + 1, #head, 1, list) end
  local cut
  if in_foot == 0 and (number(doc.started_at) or FINAL[doc.status]) then -- what a trainer says before that waits for it
    local more
    more, cut = trainer_events(ctx, doc, before, limit + 1 - math.min(#list, limit))
    table.move(more, 1, #more, #list + 1, list)
  end
  if cut then return {data = list, has_more = true, next = list[#list].id} end
  table.move(foot, in_foot + 1, #foot, #list + 1, list)
  local has_more = #list > limit
  for i = #list, limit + 1, -1 do list[i] = nil end
  return {data = list, has_more = has_more, next = has_more and list[limit].id or nil}
end

function M.checkpoints(ctx, p, doc)
  local recipe = assert(recipes.get(ctx.config, doc.recipe))
  if recipe.checkpoints ~= true then
    return ctx.fail("unsupported", "the recipe '%s' has no checkpoints%s", recipe.name,
      recipe.checkpoints and ": " .. recipe.checkpoints or "")
  end
  local list = {}
  for _, name in ipairs(core.list_dir(doc.dir .. "/out") or {}) do
    local path, step = doc.dir .. "/out/" .. name, math.tointeger(tonumber(name:match "^checkpoint%-(%d+)$"))
    local found = step and core.fs.stat(path)
    list[#list + 1] = found and {id = doc.id .. "/" .. name, step = step, created_at = found.mtime, model = path,
      job_id = doc.id, raw = {path = path}} or nil
  end
  table.sort(list, function(a, b) return a.step > b.step end)
  return heard.page(list, p)
end

-- ---- making one ----

-- What this file itself keeps; the rest of create_job's parameters is the recipe's
local KEPT = {model = true, recipe = true, training_file = true, validation_file = true, suffix = true,
  metadata = true, token = true, wait_for_files = true, file_timeout = true, timeout = true}

-- The recipe, and the model of the store to go on from -> recipe, base or nil
-- elsewhere: the trainer is a program of another machine, and need not be in PATH here
function M.choose(ctx, store, p, elsewhere)
  local recipe
  local base = models.name(p.model) and models.need(store, p.model) or nil
  if p.recipe or base then
    recipe = assert(recipes.get(ctx.config, p.recipe or base.recipe))
  else
    recipe = assert(recipes.of_model(ctx.config, p.model))
  end
  if p.recipe and not base and not recipe.any_model then
    local owner = assert(recipes.of_model(ctx.config, p.model))
    if owner ~= recipe then assert(ctx.fail("invalid", "the recipe '%s' has no model '%s'", p.recipe, p.model)) end
  end
  if base and base.recipe ~= recipe.name then
    assert(ctx.fail("invalid", "%s was made by the recipe '%s'", p.model, tostring(base.recipe)))
  end
  if not elsewhere then assert(recipes.installed(recipe)) end
  return recipe, base
end

-- The settings of the recipe, and the files: what needs no file is looked at first, for a rehearsal has none.
-- own: the set of parameters that are the provider's -> settings
function M.check(ctx, store, p, recipe, own)
  if p.suffix and not (stores.valid(p.suffix) and #p.suffix <= 64) then
    assert(ctx.fail("invalid", "suffix must be 1 to 64 letters, digits, '-', '_' and '.', a letter or digit first"))
  end
  local rest = {}
  for key, value in pairs(p) do
    if not KEPT[key] and not (own and own[key]) then rest[key] = value end
  end
  local settings = assert(recipe.settings(ctx, rest))
  for _, name in ipairs {"training_file", "validation_file"} do
    local file = p[name] and files.need(store, p[name])
    if file and file.status ~= "processed" then
      assert(ctx.fail("data", "%s: %s %s", name, file.id, file.error))
    end
  end
  return settings
end

-- spec.json, but for what the job's name decides
function M.spec(store, p, recipe, settings)
  local method = p.method
  return {recipe = recipe.name, model = p.model, training_file = p.training_file, validation_file = p.validation_file,
    training_bytes = files.need(store, p.training_file).bytes, settings = settings,
    hyperparameters = p.hyperparameters, method = type(method) == "string" and {type = method} or method,
    seed = p.seed, suffix = p.suffix, metadata = p.metadata, token = p.token, created_at = seconds(core.wall())}
end

-- The files, the recipe's data, its steps: all that is there before the runner -> job.json, but for the slots
function M.lay_out(store, recipe, job, spec)
  local ok, words = core.fs.mkdir(job.out)
  if not ok then assert(stores.failed(words)) end
  assert(stores.write_json(job.dir .. "/spec.json", spec))
  local take = recipe.reads_only and stores.link or stores.copy -- who may write would change what was uploaded
  assert(take(files.path(store, spec.training_file), job.training, job.pause))
  if job.validation then assert(take(files.path(store, spec.validation_file), job.validation, job.pause)) end
  if recipe.layout then assert(recipe.layout(job)) end
  local steps, env = recipe.steps(job)
  assert(steps, env)
  return {steps = core.array(steps), env = env}
end

-- Seconds that training on so many bytes takes, or nil; and how many past jobs of this recipe say so: the middle one of
-- those with as many epochs. 0: only the recipe itself does.
function M.estimate(store, recipe, bytes, p)
  local list, epochs = {}, object(p.hyperparameters).n_epochs
  for _, id in ipairs((store:names("jobs", nil, PAST))) do
    local doc = object(stores.read_json(store:path("jobs", id) .. "/state.json"))
    local wall, size = number(object(doc.exit).wall), number(doc.training_bytes)
    local same = object(doc.hyperparameters).n_epochs == epochs
    if doc.recipe == recipe.name and doc.status == "succeeded" and wall and size and size > 0 and same then
      list[#list + 1] = wall / size
    end
  end
  table.sort(list)
  if list[1] then return list[(#list + 1) // 2] * bytes, #list end
  return recipe.guess and recipe.guess(bytes, p), 0
end

-- ---- what every provider with a store does alike ----

-- A filter for store:page: the jobs that have all of these pairs; nil where nothing is asked
function M.with_metadata(wanted)
  return wanted and function(job)
    for key, value in pairs(wanted) do
      if stores.object(job.metadata)[key] ~= value then return false end
    end
    return true
  end
end

-- Raises kind "conflict" where there is nothing left to cancel or to pause
function M.refuse_ended(ctx, doc)
  if M.FINAL[doc.status] or doc.status == "finalizing" then
    assert(ctx.fail("conflict", "job %s is %s already", doc.id, doc.status))
  end
end

-- Of several calls with one token one goes on at a time; the next one finds what it made. -> a claim, for <close>
function M.claim(ctx, store, token)
  while true do
    local claim, err = store:claim("jobs", ctx.slug("token", token))
    if claim then return claim end
    if err then error(err, 0) end
    ctx:sleep(CLAIM_PAUSE)
  end
end

-- Deletes an ended job, with its log and its checkpoints; its model stays
function M.delete(ctx, store, doc)
  if core.lock_holder(doc.dir .. "/lock") then
    return ctx.fail("conflict", "job %s has a runner still: cancel it before it is deleted", doc.id)
  end
  if not M.FINAL[doc.status] and doc.status ~= "finalizing" then
    return ctx.fail("conflict", "job %s is %s: cancel it before it is deleted", doc.id, doc.status)
  end
  assert(store:remove("jobs", doc.id))
  return {id = doc.id, deleted = true}
end

return M
