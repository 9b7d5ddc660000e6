-- Trains on this machine: no account, no key, no network. Trainers are recipes (recipe.lua): a job is a folder with a
-- runner, finetune-run, which goes on when this script has ended; files, jobs and models are folders that you can read.
--
-- Settings: home (FINE_TUNE_HOME; else $XDG_DATA_HOME/finetune, ~/.local/share/finetune), slot_count (1: jobs that run
-- at the same time; the others wait in the order in which they came), grace (10: seconds between SIGTERM and SIGKILL of
-- a cancelled trainer), recipe_path (FINE_TUNE_RECIPE_PATH: folders of recipes), command, sample_command (of the recipe
-- `command`).
--
-- What its users must know:
-- * `model` of create_job is a recipe's base ("fasttext", "command"), a model of the store to go on from ("local:…"),
--   or, with the parameter `recipe`, whatever that recipe takes.
-- * upload_file checks the examples and stores a copy: a link would change with your file. check = false stores any
--   bytes, for a trainer that reads something else. A job has links to its files, so delete_file does not disturb it.
-- * A job's end is worked up (its model stored) by the first look at it: get_job, list_jobs, wait, follow. The last two
--   look every second, or more seldom where there are more than 20 of them (poll.lua).
-- * Killing the runner ends its trainer and its process group; what left that group lives on.

local finetune = require "finetune"
local core = require "finetune.core"
local files = require "finetune.store.files"
local jobs = require "finetune.store.jobs"
local models = require "finetune.store.models"
local polls = require "finetune.poll"
local recipes = require "finetune.recipe"
local stores = require "finetune.store"
local supervise = require "finetune.supervise"

polls.near["local"] = true -- an event is seen within a second, not ten

local SETTLE = 0.5 -- seconds that cancel_job waits for the end

local P = {
  name = "local",
  description = "this machine",
  env = {home = "FINE_TUNE_HOME", recipe_path = "FINE_TUNE_RECIPE_PATH"},
  needs = {},
  config = {"slot_count:integer", "grace:number", "home:string", "recipe_path:string", "command:table",
    "sample_command:table"},
  -- supervise.lua's words, and "finalizing": its result could not be stored yet
  statuses = {queued = "queued", running = "running", paused = "paused", cancelling = "cancelling",
    finalizing = "finalizing", succeeded = "succeeded", failed = "failed", cancelled = "cancelled"},
  -- Chat templates of open models take a call's arguments as an object, and many refuse what is here a warning; a
  -- trainer may read columns of its own. The recipes know more, and are asked when a job is made.
  dataset = {rules = {arguments = "warning", arguments_json = "warning", weight_role = "warning",
    no_weight = "warning", tool_undeclared = "warning", call_unanswered = "warning", extra_key = "off",
    unknown_key = "off", reasoning = "off", sample_weight = "off"},
    source = "huggingface/transformers docs chat_extras (templates and tool calls)", checked = "2026-11-22"},
  params = {
    upload_file = "check:boolean",
    create_job = "recipe:string command:table sample_command:table",
    sample = "sample_command:table",
    estimate_cost = "recipe:string",
  },
}

-- `assert` raises the error value that it is given, and what an operation raises is its error.

local function wrong_config(words) return nil, finetune.error {kind = "config", message = words} end

function P.open(config)
  config.api_key = false
  local home, words = stores.home(config.home)
  if not home then return wrong_config(words) end
  config.home = home
  local slots, grace = config.slot_count or 1, config.grace or 10
  if slots < 1 or slots > 10000 then return wrong_config "slot_count must be from 1 to 10000" end
  if not (grace >= 0 and grace <= 86400) then return wrong_config "grace must be seconds, from 0 to 86400" end
  config.slot_count, config.grace = slots, grace
end

local opened = setmetatable({}, {__mode = "k"}) -- instance -> its store

local function store_of(ctx)
  local store = opened[ctx.provider] or stores.new(ctx.config.home)
  opened[ctx.provider] = store
  return store
end

local function need_job(ctx, p) return jobs.need(ctx, store_of(ctx), p.job_id) end
local function job_now(ctx, p) return jobs.value(ctx, need_job(ctx, p)) end

-- ---- files and models ----

function P.upload_file(ctx, p) return files.upload(ctx, store_of(ctx), p) end
function P.list_files(ctx, p) return files.list(ctx, store_of(ctx), p) end
function P.get_file(ctx, p) return files.need(store_of(ctx), p.file_id) end
function P.delete_file(ctx, p) return files.remove(store_of(ctx), p) end
function P.download_file(ctx, p) return files.download(ctx, store_of(ctx), p) end

function P.list_models(ctx, p) return models.list(ctx, store_of(ctx), p) end
function P.get_model(ctx, p) return models.get(ctx, store_of(ctx), p) end
function P.delete_model(ctx, p) return models.remove(ctx, store_of(ctx), p) end
function P.sample(ctx, p) return models.sample(ctx, store_of(ctx), p) end

-- ---- jobs ----

-- The directory of a job that never had a runner is nobody's
local function unless_begun(dir)
  return setmetatable({}, {__close = function()
    if not core.fs.stat(dir .. "/lock") then stores.remove_tree(dir) end
  end})
end

function P.create_job(ctx, p)
  if not p.model then return ctx.fail("invalid", "model is missing: a recipe's base such as \"fasttext\"") end
  local store = store_of(ctx)
  local _ <close> = p.token and jobs.claim(ctx, store, p.token) or nil
  local made = p.token and jobs.find(ctx, store, p.token)
  if made then return made end
  local recipe, base = jobs.choose(ctx, store, p)
  local spec = jobs.spec(store, p, recipe, jobs.check(ctx, store, p, recipe))
  local id, dir = store:reserve("jobs", "job-")
  assert(id, dir)
  local _ <close> = unless_begun(dir)
  spec.id, spec.name = id, (p.suffix or recipe.name) .. id:sub(#"job" + 1)
  local job = jobs.lay_out(store, recipe, jobs.of_recipe(ctx, dir, spec, base), spec)
  job.grace, job.slot_count, job.slots = ctx.config.grace, ctx.config.slot_count, store.home .. "/slots"
  assert(supervise.start(ctx, dir, job))
  return jobs.value(ctx, jobs.need(ctx, store, id))
end

-- One turn of the host's loop first: a closed instance's calls can be cancelled, and who polls starves nobody
function P.get_job(ctx, p)
  ctx:sleep(0)
  return job_now(ctx, p)
end

function P.list_jobs(ctx, p)
  local store = store_of(ctx)
  return store:page(ctx, p, "jobs", function(id)
    local doc = jobs.load(ctx, store, id)
    return doc and jobs.value(ctx, doc)
  end, jobs.with_metadata(p.metadata))
end

-- What it is a moment later: a queued job ends at once, a trainer may take its time
function P.cancel_job(ctx, p)
  local doc = need_job(ctx, p)
  jobs.refuse_ended(ctx, doc)
  assert(supervise.cancel(doc.dir))
  local limit = core.now() + SETTLE
  repeat
    ctx:sleep(0.01)
    doc = need_job(ctx, p)
  until jobs.FINAL[doc.status] or core.now() > limit
  return jobs.value(ctx, doc)
end

function P.pause_job(ctx, p)
  local doc = need_job(ctx, p)
  jobs.refuse_ended(ctx, doc)
  assert(supervise.pause(doc.dir, function(seconds) ctx:sleep(seconds) end))
  return job_now(ctx, p)
end

function P.resume_job(ctx, p)
  local doc = need_job(ctx, p)
  jobs.refuse_ended(ctx, doc)
  assert(supervise.resume(doc.dir, function(seconds) ctx:sleep(seconds) end))
  return job_now(ctx, p)
end

function P.delete_job(ctx, p) return jobs.delete(ctx, store_of(ctx), need_job(ctx, p)) end
function P.list_events(ctx, p) return jobs.events(ctx, p, need_job(ctx, p)) end
function P.list_checkpoints(ctx, p) return jobs.checkpoints(ctx, p, need_job(ctx, p)) end

-- It costs nothing; the time is that of past jobs, by the file's size, with the same number of epochs, or a guess of
-- the recipe's (jobs = 0)
function P.estimate_cost(ctx, p)
  local recipe = p.recipe and assert(recipes.get(ctx.config, p.recipe))
  if not recipe and p.model then recipe = jobs.choose(ctx, store_of(ctx), p) end
  local bytes = p.training_file and files.need(store_of(ctx), p.training_file).bytes
    or p.path and assert(ctx.file_info(p.path)).size or nil
  local time, count
  if recipe and bytes then time, count = jobs.estimate(store_of(ctx), recipe, bytes, p) end
  return {total = 0, seconds = time, jobs = count or 0, raw = {bytes = bytes, recipe = recipe and recipe.name}}
end

for op, why in pairs {
  deploy_model = "a model of this machine is run when it is asked: sample, or a program of your own in its folder",
  undeploy_model = "nothing is deployed here: sample runs a model once",
  validate_grader = "no recipe trains with a grader",
  run_grader = "no recipe trains with a grader",
} do P[op] = finetune.unsupported(why) end

return finetune.register(P)
