---@meta finetune
-- luacheck: no max line length
--- The public interface of finetune, for people and for lua-language-server; never run. Values and parameters are in
--- meta_values.lua, the kit for authors of providers in meta_kit.lua. What the world does wrong is returned as `nil, err`; a mistake in a call raises at the caller's line.

---@class finetune
---@field _VERSION string
---@field null userdata  JSON's null, in arrays; null members of objects are absent
---@field http {sse: finetune.sse}  for authors of providers
---@field testing finetune.testing  for tests of providers
local finetune = {}

-- ---- providers by name ----

---Registers a provider: a table {name, one function(ctx, params) an operation or finetune.unsupported(reason), facts}.
---A bad table raises, with everything that is wrong in one message; so does another table under a taken name,
---unless options.replace. The same table again is harmless. Instances that exist keep what they were made of.
---Its own settings are in P.config: "account", "account:string" (types as of parameters); or with a default, which gives
---the type: part_size = 250 (more than 0), strict = false, route = {"form", "raw"} (one of these, the first unasked).
---@param P table
---@param options? {replace: boolean}
---@return table P
function finetune.register(P, options) end

---@param name string
---@return boolean  there was one
function finetune.unregister(name) end

---The registered table (for one in C: its registration). A name that is not registered is looked for: NAME.lua in the
---folders of FINE_TUNE_PROVIDER_PATH (separated by ':'), the module finetune.providers.NAME, a clone's providers/.
---@param name string  letters, digits, '-', '_'
---@return table|userdata|nil P, finetune.error? err  kind "config": there is none; kind "provider": its file is wrong
function finetune.get_provider(name) end

---Settings left out come from the environment. A missing key is an error of the first operation that needs the network.
---@param name string
---@param config? finetune.config  an unknown setting raises
---@return finetune.provider? provider, finetune.error? err
function finetune.create_provider(name, config) end

---create_job's parameters as the provider itself checks them, before an upload is paid for: nothing is sent, and nothing
---begun. Of a provider that speaks no HTTP and is not one of finetune's own it is not known, and true.
---@param name string
---@param config? finetune.config  as of create_provider
---@param params finetune.params.create_job  the files may be missing
---@return true? ok, finetune.error? err
function finetune.check_job(name, config, params) end

---create_provider with the name in FINE_TUNE_PROVIDER, or "openai".
---@param config? finetune.config
---@return finetune.provider? provider, finetune.error? err
function finetune.get_default_provider(config) end

---All that are registered or can be found, by name. No file is run: `needs` (environment variables) comes from the line
---"-- needs: A, B" in the first 4 KB of a file; of a registered one from its `needs`, its file, or the key's variable.
---@return {name: string, loaded: boolean, needs: string[]}[]
function finetune.list_providers() end

---In a provider's table, in place of an operation that the service does not have. `{name}` in the reason is, when the
---operation is called, the parameter of that name (a string or a number), else the instance's setting (a string), else
---`{name}`; so err.reason can be a command to paste: what a shell could take for more than a word comes in single quotes
---(write none around `{name}`), control characters are left out. Secrets, and settings whose name sounds like one
---("token"), are never put in. provider:supports(op) gives the reason as it is here.
---@param reason string  a sentence
---@return userdata
function finetune.unsupported(reason) end

---"Like `base`, but …": a provider's table, still to be registered, and `super`: super.create_job(ctx, params) is the
---base's operation, for use in a function of the variant.
---@param base string  name of a provider
---@param changes table  name, base_url, env, headers, statuses, operations, …
---@return table P, table super
function finetune.variant(base, changes) end

---@class finetune.config  what every provider knows; each adds its own
---@field api_key? string|false  false: none is sent
---@field base_url? string
---@field timeout? number  seconds for a request (600)
---@field connect_timeout? number  seconds (5)
---@field max_retries? integer  (2)
---@field retry_delay? number  seconds before the first retry (0.5); doubles
---@field proxy? string
---@field ca_file? string
---@field unix_socket? string  path: requests go there, whatever host base_url names
---@field headers? table<string, string>
---@field query? table<string, string>
---@field user_agent? string
---@field on_trace? fun(trace: {provider: string, op: string, method: string, url: string, status: integer?, attempt: integer, elapsed: number, bytes_up: integer, bytes_down: integer, error: string?, request_id: string?})
---@field transport? function  for tests: finetune.testing.transport
---@field auth? {header: string?, prefix: string?}  how the key is sent ("Authorization", "Bearer ")
---@field statuses? table<string, string>
---@field quirks? table
---@field dataset? {formats: string[]?, min_examples: integer?, max_examples: integer?, max_bytes: integer?}  what the service asks of a training file; the report of prepare_data warns by it

---For providers: a function that makes create_job's body from its parameters, by a table of names, places and ranges;
---what is not known is refused with words. And one that finds the hyperparameters in the service's document, by the same
---table. The table is described in mapping.lua; what `integrations` become (`wandb`) in wandb.lua.
---@param spec {service: string, fields: table, hyperparameters: table, methods: table?, refuse: table?, wandb: table?, finish: function?}
---@return fun(ctx: finetune.ctx, params: table): table?, finetune.error? body
---@return fun(doc: table): table hyperparameters_of
function finetune.mapping(spec) end

---For providers: a function from the service's document to our value, by a table ours -> "path", "path:type" (text,
---number, integer, boolean, table, time) or function(doc, ctx, params); `raw` is the document. Described in reader.lua.
---@param what string  "a job", for the words of its errors (kind "decode")
---@param fields table<string|integer, string|function>  in the array part "bytes:integer": the name is the path
---@return fun(doc: any, ctx: finetune.ctx?, params: table?): table?, finetune.error? value
function finetune.reader(what, fields) end

---For providers: fields of a document that may be anything, each nil where it is not there or not of its type.
---@param doc any
---@param ... string  "path" or "path:type", as of finetune.reader
---@return any ...
function finetune.pick(doc, ...) end

---For providers: the operation `sample` of a service that has OpenAI's /chat/completions at this path.
---@param path string|fun(ctx: finetune.ctx, params: table): string
---@return fun(ctx: finetune.ctx, params: table): table?, finetune.error? sample
function finetune.chat(path) end

---For providers: an operation that is one request and one conversion, from a row such as
---{"GET /jobs/{job_id}", value = to_job}. What the service would not see is refused. Described in route.lua.
---@param row table
---@return fun(ctx: finetune.ctx, params: table): any, finetune.error? operation
function finetune.route(row) end

---For variants: the same for hyperparameters alone; gives new parameters for the base's create_job, whose quirk
---hyperparameters = true takes them as they are.
---@param spec {service: string, hyperparameters: table, methods: table?, refuse: table?}
---@return fun(ctx: finetune.ctx, params: table): table?, finetune.error? params
function finetune.hyperparameters(spec) end

-- ---- waiting ----

---Runs functions at the same time, on this thread: where one waits, the others go on. It returns when all have ended.
---A failure (`nil, err` returned, or something raised) stops nothing and is not raised again.
---Called by a coroutine of run or map, or by a provider's function, it waits as a call does; in a callback it raises.
---@param ... fun(): any, any
---@return table results  results[i]: what function i returned first; results.n: how many there are
---@return table errors  errors[i]: its second value, where the first was nil or false; or what it raised (a string with its traceback); without failures the table is empty
---@return integer? first  the function that failed first
function finetune.run(...) end

---f(item, index) for every item of an array, at most `concurrency` (20) at a time, begun in order.
---@generic T
---@param list T[]  list.n items, or #list
---@param f fun(item: T, index: integer): any, any
---@param options? {concurrency: integer}
---@return table results, table errors, integer? first  as of finetune.run
function finetune.map(list, f, options) end

---How well a model answers a held-out file: each example's messages up to its last assistant message go to
---provider:sample, and the answer is compared with that message, exactly (white space around both aside). What could
---not be asked (report.failed, report.error) is no wrong answer; only when nothing could be asked it is an error.
---@param provider finetune.provider
---@param options {model: finetune.id, path: string, base: finetune.id?, limit: integer?, concurrency: integer?, max_tokens: integer?, temperature: number?, on_progress: fun(done: integer, total: integer)?, timeout: number?, extra: table?}  path: JSONL of chat examples; base: a model to compare with; limit: the first so many examples; concurrency (4)
---@return finetune.evaluation? report, finetune.error? err  kind "data": the file; "unsupported": no `sample`; else sample's
function finetune.evaluate(provider, options) end

---@class finetune.evaluation  shares are 0 to 1
---@field model string
---@field examples integer  that were answered
---@field correct integer
---@field accuracy number
---@field failed integer  examples that could not be asked
---@field error? finetune.error  the first reason
---@field majority {label: string, examples: integer, accuracy: number}  always giving the most frequent answer
---@field labels {label: string, examples: integer, predicted: integer, correct: integer, precision: number?, recall: number}[]  of the answers expected, the most frequent first
---@field confusion {expected: string, predicted: string, count: integer}[]  what is wrong, the most frequent first
---@field base? finetune.evaluation  the same of the base model
---@field gained? integer  right now, wrong with the base model
---@field lost? integer  the other way
---@field text string  all of it for people

---@param seconds number  0 to 1e9
---@return true? ok, finetune.error? err
function finetune.sleep(seconds) end

---For hosts: waits at most so long (nil: until something happens), moves the calls, tells the callbacks.
---Raises kind "usage" where it would nest: in a callback, an operation, a coroutine under finetune.run.
---What a callback raises comes out here.
---@param seconds? number
---@return integer running  calls that have not ended, and one more while callbacks are still to be told
function finetune.step(seconds) end

---@return integer fd  readable when step(0) has something to do; the same all the time
function finetune.pollfd() end

---@return integer running  calls that have not ended, and one more while callbacks are still to be told
function finetune.pending() end

-- ---- values ----

---@param t table
---@return table t  encodes as a JSON array, even when it is empty
function finetune.array(t) end

---@param value any
---@return boolean
function finetune.is_error(value) end

---For providers: an error value of these fields; op and provider are filled in.
---@param fields {kind: finetune.kind, message: string}
---@return finetune.error
function finetune.error(fields) end

---For providers: nil and such an error, `return finetune.fail("config", "region '%s' is none", region)`.
---@param kind finetune.kind
---@param format string
---@return nil, finetune.error
function finetune.fail(kind, format, ...) end

-- ---- a provider's instance ----

---@class finetune.provider
---@field name string
local provider = {}

---Checks examples and writes them as JSONL. Invalid ones: nil, err (kind "data", with `report`), and no output.
---@param examples table|function|userdata|string|finetune.params.prepare_data
---@param params? finetune.params.prepare_data
---@return finetune.report? report, finetune.error? err
function provider:prepare_data(examples, params) end

---@param path string|finetune.params.upload_file
---@param params? finetune.params.upload_file
---@return finetune.file? file, finetune.error? err
function provider:upload_file(path, params) end

---Waits until its files are ready, then creates; sent at most once.
---@param params finetune.params.create_job
---@return finetune.job? job, finetune.error? err  kind "conflict": it may have been created, see err.candidates
function provider:create_job(params) end

---@param job_id finetune.id|finetune.params.get_job
---@param params? finetune.params
---@return finetune.job? job, finetune.error? err
function provider:get_job(job_id, params) end

---@param job_id finetune.id|finetune.params.cancel_job
---@param params? finetune.params
---@return finetune.job? job, finetune.error? err
function provider:cancel_job(job_id, params) end

---@param params? finetune.params.list_models
---@return finetune.page<finetune.model>? page, finetune.error? err
function provider:list_models(params) end

---@param model finetune.id|finetune.params.delete_model
---@param params? finetune.params
---@return finetune.deleted? deleted, finetune.error? err
function provider:delete_model(model, params) end

---@param params? finetune.params.list_jobs
---@return finetune.page<finetune.job>? page, finetune.error? err
function provider:list_jobs(params) end

---@param job_id finetune.id|finetune.params.pause_job
---@param params? finetune.params
---@return finetune.job? job, finetune.error? err
function provider:pause_job(job_id, params) end

---@param job_id finetune.id|finetune.params.resume_job
---@param params? finetune.params
---@return finetune.job? job, finetune.error? err
function provider:resume_job(job_id, params) end

---@param job_id finetune.id|finetune.params.delete_job
---@param params? finetune.params
---@return finetune.deleted? deleted, finetune.error? err
function provider:delete_job(job_id, params) end

---@param job_id finetune.id|finetune.params.list_events
---@param params? finetune.params.list_events
---@return finetune.page<finetune.event>? page, finetune.error? err
function provider:list_events(job_id, params) end

---@param job_id finetune.id|finetune.params.list_checkpoints
---@param params? finetune.params.list_checkpoints
---@return finetune.page<finetune.checkpoint>? page, finetune.error? err
function provider:list_checkpoints(job_id, params) end

---One row a step, from whatever the service has: results file, metrics events, checkpoints.
---@param job_id finetune.id|finetune.params.list_metrics
---@param params? finetune.params
---@return finetune.page<finetune.metric>? page, finetune.error? err
function provider:list_metrics(job_id, params) end

---@param params? finetune.params.list_files
---@return finetune.page<finetune.file>? page, finetune.error? err
function provider:list_files(params) end

---@param file_id finetune.id|finetune.params.get_file
---@param params? finetune.params
---@return finetune.file? file, finetune.error? err
function provider:get_file(file_id, params) end

---@param file_id finetune.id|finetune.params.delete_file
---@param params? finetune.params
---@return finetune.deleted? deleted, finetune.error? err
function provider:delete_file(file_id, params) end

---@param file_id finetune.id|finetune.params.download_file
---@param params? finetune.params.download_file
---@return string|{path: string, bytes: integer}|nil content  the text; with `output` what was written
---@return finetune.error? err
function provider:download_file(file_id, params) end

---@param model finetune.id|finetune.params.get_model
---@param params? finetune.params
---@return finetune.model? model, finetune.error? err
function provider:get_model(model, params) end

---@param model finetune.id|finetune.params.deploy_model
---@param params? finetune.params.deploy_model
---@return table? deployment, finetune.error? err
function provider:deploy_model(model, params) end

---@param model finetune.id|finetune.params.undeploy_model
---@param params? finetune.params
---@return table? deployment, finetune.error? err
function provider:undeploy_model(model, params) end

---@param model finetune.id|finetune.params.sample
---@param params? finetune.params.sample
---@return {text: string?, finish_reason: string?, usage: table?, raw: table?}? answer, finetune.error? err
function provider:sample(model, params) end

---@param params? finetune.params.estimate_cost
---@return table? estimate, finetune.error? err
function provider:estimate_cost(params) end

---@param grader table|finetune.params.validate_grader
---@param params? finetune.params
---@return table? answer, finetune.error? err
function provider:validate_grader(grader, params) end

---@param grader table|finetune.params.run_grader
---@param params? finetune.params.run_grader
---@return {reward: number}? graded, finetune.error? err
function provider:run_grader(grader, params) end

---Waits for the end of a job. Trouble that will pass (transport, 429, 5xx) is waited out until the deadline.
---Many at once on one instance (waits and follows, in run, map or a host's loop) poll together: from three on, their
---polls fall on the same moments and pages of list_jobs answer them, so that N jobs cost about N/100 requests a round.
---The first state and the last, which is what comes back, are always from get_job; on_progress may see list_jobs' form.
---@param job finetune.id
---@param params? finetune.params.wait
---@return finetune.job? job  it has succeeded
---@return finetune.error? err  kind "job": failed or cancelled, with the service's reason; kind "timeout": it goes on
---@return finetune.job? last  with an error: the job as it was last seen
function provider:wait(job, params) end

---An iterator over a job's events to its end, each once, oldest first; with the job as it was then.
---Raises the error value. Ids of events are remembered, not events. Without events: changes of the job, as events.
---With more than ten followers of one instance they take turns: ten of them, or one in twenty, list events in a round,
---and those whose job has a new status. At a job's end all of its events are read.
---@param job finetune.id
---@param params? finetune.params.follow
---@return fun(): finetune.event?, finetune.job?
function provider:follow(job, params) end

---Iterators over all pages; they end, and raise the error value. An item that the last two pages had is skipped;
---a list that does not end (a cursor comes twice, pages repeat) raises kind "decode", code "endless_list".
---@param params? finetune.params.list_jobs
---@return fun(): finetune.job?
function provider:jobs(params) end

---@param params? finetune.params.list_files
---@return fun(): finetune.file?
function provider:files(params) end

---@param job_id finetune.id|finetune.params.list_events
---@param params? finetune.params.list_events
---@return fun(): finetune.event?
function provider:events(job_id, params) end

---@param job_id finetune.id|finetune.params.list_checkpoints
---@param params? finetune.params.list_checkpoints
---@return fun(): finetune.checkpoint?
function provider:checkpoints(job_id, params) end

---@param params? finetune.params.list_models
---@return fun(): finetune.model?
function provider:models(params) end

---Starts an operation and does not wait. It goes on when the call is forgotten; `local c <close> = …` cancels it.
---@param op string
---@param main? any  as in the method
---@param params? table
---@return finetune.call
function provider:async(op, main, params) end

---@param op string
---@return boolean has, string? reason
function provider:supports(op) end

---Cancels its running calls (their error: kind "cancelled"); later ones fail with kind "usage". Also by <close>.
function provider:close() end

---@class finetune.call
local call = {}

---@return boolean
function call:done() end

---Waits until it is done. Several coroutines may. Where an error ends the wait, what a callback raised say, the call goes
---on: wait again, or cancel it. (The call of provider:upload_file{…} and the like, which nobody has, is cancelled there.)
---@return any value, finetune.error? err
function call:await() end

---What await gives; raises while the call runs.
---@return any value, finetune.error? err
function call:result() end

---@return boolean  it was running; its result is an error of kind "cancelled"
function call:cancel() end

---f(value, err) is called once: by finetune.step after everything else; where the call is done already, at once, or, from
---inside another callback or an operation, in the next step.
---It must not wait. What it raises comes out of that step (or goes to the loop adapter's hook); other callbacks
---are told in the next step.
---@param f fun(value: any, err: finetune.error?)
function call:on_done(f) end

return finetune
