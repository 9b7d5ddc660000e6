---@meta
-- luacheck: no max line length, ignore 211 212 241
--- The kit for authors of providers, for people and for lua-language-server; see meta.lua. Never run.

-- ---- ctx: what a provider's function gets; everything waits without blocking anybody ----

---@class finetune.request
---@field method? string  GET, or POST where there is a body
---@field path? string  behind base_url, with credentials; or
---@field url? string  absolute, without credentials unless auth = true
---@field query? table
---@field headers? table<string, string>
---@field json? any  the body, encoded; or
---@field body? string  as it is; or
---@field multipart? table[]  {name, value | path, filename, type, offset, length}; or
---@field file? {path: string, offset: integer?, length: integer?, size: integer?, mtime: integer?}
---@field retry? "safe"|"idempotent"|"never"  idempotent: a POST that may be repeated; never: sent at most once
---@field accept? integer[]  statuses that count as success beside 200 to 299
---@field decode? "json"|"text"|"none"
---@field output? string  path: the body goes to this file
---@field read_for? number  seconds: then an answer that goes on ends as a success with what has come
---@field read_idle? number  seconds of silence after the body's first byte: the same
---@field timeout? number  seconds; with read_for only until an accepted answer begins
---@field max_bytes? integer
---@field auth? boolean
---@field tag? any  comes back in the response

---@class finetune.response
---@field status integer
---@field headers table<string, string>  lower-case names
---@field json? any
---@field body? string
---@field url string
---@field tag? any
---@field bytes? integer  of the body, in memory or written to `output`
---@field partial? boolean  true: read_for or read_idle ended it

---@class finetune.ctx
---@field config table  the instance's settings, complete; read only
---@field provider finetune.provider  the instance: its methods work here too
---@field op string
---@field name string  of the provider
local ctx = {}

---The primitive: all others are made of it.
---@param request finetune.request
---@return finetune.response? response, finetune.error? err
function ctx:request(request) end

---@param requests finetune.request[]
---@param concurrency? integer  (4)
---@return finetune.response[]? responses, finetune.error? err  the first hard error; the others are aborted
function ctx:all(requests, concurrency) end

---@param seconds number
function ctx:sleep(seconds) end

---The verbs take a path (or a URL), a body (a table: JSON; a string: as it is) and further fields of the request.
---They give the decoded answer, its text, or true where there is none; and the response.
---@param where string
---@param options? finetune.request
---@return any value, finetune.response|finetune.error
function ctx:get(where, options) end

---@param where string
---@param options? finetune.request
---@return any value, finetune.response|finetune.error
function ctx:delete(where, options) end

---@param where string
---@param body? table|string
---@param options? finetune.request
---@return any value, finetune.response|finetune.error
function ctx:post(where, body, options) end

---@param where string
---@param body? table|string
---@param options? finetune.request
---@return any value, finetune.response|finetune.error
function ctx:put(where, body, options) end

---@param where string
---@param body? table|string
---@param options? finetune.request
---@return any value, finetune.response|finetune.error
function ctx:patch(where, body, options) end

---An answer in text/event-stream, read to its end; `json` where the data is JSON. Of one that does not end (a job that
---runs) read_for and read_idle take what comes in that time: response.partial is true, and an event without its end is
---left out; with read_for, an answer that has not begun after `timeout` is one without events.
---@param where string
---@param options? finetune.request
---@return {event: string, data: string, id: string?, json: any}[]? events, finetune.response|finetune.error
function ctx:events(where, options) end

---One page of a list, in one of four ways: cursor = "after" (a query parameter; the id of the last item),
---token = "page_token" with next = "next_page_token", page = "page_no" (numbers from `first` = 1; pages = field with
---their number), link = true (a Link header; only to the same host). `items`: the list's field ("data"; dots reach into
---tables) or a function(answer); map(item): our form, nil leaves it out; after, limit: from the caller;
---limit_name ("limit"); more: the field of cursor lists ("has_more"); id: the field with the cursor ("id");
---optional = true: an answer without the list is an empty one; path, query, headers, …: of the request.
---whole = true: the service gives all of it, and after and limit cut a page out of it here; by = "step": the highest of
---that field of ours first; items = "": the answer itself is the list. newest = "created_at": the list comes whole, and
---is turned where, by that field of theirs, its oldest item is the first.
---@param spec table
---@return finetune.page? page, finetune.error? err
function ctx:paginate(spec) end

---Calls f() until it gives a value or an error; nil alone, or nil, nil and words that say why (they are in the error
---when time is up): again, after a pause, of at most max_interval (unless said:
---the setting poll_interval, if there is one).
---@param f fun(): any, any
---@param options? {interval: number, max_interval: number, timeout: number, what: string}  seconds: 1, 10, 1800
---@return any value, finetune.error? err
function ctx:poll(f, options) end

---download_file's answer: to p.output, or the text; p.max_bytes.
---@param where string
---@param p {output: string?, max_bytes: integer?}
---@param options? finetune.request
---@return {path: string, bytes: integer}|string|nil file, finetune.error? err
function ctx:download(where, p, options) end

---Sends a creation that costs money at most once. t: request (a request), job = function(document, response) -> job or
---nil, err; find = function(ctx) -> the job that is surely this call's own; list = function(ctx) -> a page of recent jobs;
---what = "job", or what else it is, for words; token; not_made = function(err) -> the service's error says that nothing was made. A lost answer: what `find` finds,
---else kind "conflict" with `candidates` from `list`. again = true: the token was given before, so `find` looks first.
---@param params table  create_job's parameters
---@param t {request: finetune.request, job: function, what: string?, find: function?, list: function?, token: string?, not_made: function?}
---@return finetune.job? job, finetune.error? err
function ctx:create_once(params, t) end

---Waits until the files of create_job's parameters have the status "processed", unless wait_for_files is false.
---@param get_file function  (ctx, {file_id}) -> file; its status "error" ends the wait, with its field `error` as words
---@param params table
---@return true? ok, finetune.error? err
function ctx:wait_for_files(get_file, params) end

---@param get_file function
---@param id string
---@param timeout? number  seconds (1800)
---@return finetune.file? file, finetune.error? err
function ctx:wait_for_file(get_file, id, timeout) end

---Sends a file, streamed. {path, to = "/files", field = "file", fields = {purpose = …}, filename, type}: a multipart form
--- -> the decoded answer, the response. {path, url}: a raw PUT without credentials -> the response.
---{path, parts = {{url = …, headers, offset, length, tag}, …}, part_size, concurrency = 4} -> the responses, in order.
---With `info` (of ctx.file_info) the file must still be that one.
---@param t table
---@return any value, finetune.response|finetune.error
function ctx:upload(t) end

---Runs a program to its end, without a shell and without blocking anybody. argv; stdin (a text); cwd; env (name ->
---value: the whole environment; nil: this process's own); timeout (600 s); max_bytes (16 MiB) of stdout and of stderr.
---A cancelled operation, and one that is too late, kills it with its process group.
---@param t {argv: string[], stdin: string?, cwd: string?, env: table<string, string>?, timeout: number?, max_bytes: integer?}
---@return {code: integer?, signal: integer?, stdout: string, stderr: string}? ended, finetune.error? err  kind "config": it cannot be started; "timeout"; "decode": it printed too much
function ctx:exec(t) end

---Percent-encodes all but letters, digits and -._~ (a function, no method)
---@param text string
---@return string
function ctx.escape(text) end

---What a file is now (a function, no method)
---@param path string
---@param most? integer  bytes
---@return {size: integer, mtime: integer}? info, finetune.error? err  kind "data": it cannot be read, is empty, or has more
function ctx.file_info(path, most) end

---An address that the service gave for a file, if a file may be sent there: https, or http on this machine where the
---API is on it too.
---@param url any
---@return string? url, finetune.error? err  kind "decode"
function ctx:storage_url(url) end

---A file in parts of about `wanted` bytes, at most `most` of them (a function, no method)
---@param bytes integer
---@param wanted integer
---@param most integer
---@return integer count, integer size  bytes of each but the last
function ctx.parts(bytes, wanted, most) end

---Sends a file in parts to a storage that answers each with an ETag: path, info (of ctx.file_info), count and size (of
---ctx.parts), places = {{number, url, headers}, …} from the service, concurrency (4).
---@param t table
---@return string[]? etags, finetune.error? err  unquoted, in order
function ctx:upload_parts(t) end

---f() finishes what was begun; where it fails (or raises an error value), or the operation is cancelled meanwhile,
---`request` takes it back.
---@param request finetune.request
---@param f fun(): any, any
---@return any value, finetune.error? err  f's
function ctx:or_undo(request, f) end

---Tables of numbers, whatever the service calls them, as list_metrics gives them: one row a step (a function, no method)
---@param list table
---@return finetune.metric[] rows
function ctx.metric_rows(list) end

---The body of a form, application/x-www-form-urlencoded (a function, no method). Raises an error value of kind "invalid"
---where a value is no text, number or boolean.
---@param fields table
---@return string
function ctx.form(fields) end

---Words as an id: lower-case letters, digits and "-", a letter first, at most 57 characters; the ending is made of
---`key`: the same for the same key, another for another (a function, no method)
---@param words string
---@param key string  a token, or ctx.random_token()
---@return string id  "mails-2026-af63dc4c8601ec8c"
function ctx.slug(words, key) end

---How many lines of a file are not empty: of JSONL, its examples. Others run meanwhile.
---@param path string
---@return integer? lines, finetune.error? err  kind "data": it cannot be read
function ctx:count_lines(path) end

---32 hexadecimal digits that nobody can guess (a function, no method)
---@return string
function ctx.random_token() end

---A time of RFC 3339 ("2026-11-22T10:20:30.5+01:00"), or a number (a function, no method)
---@param value any
---@return integer? seconds  since 1970; nil where it is no time
function ctx.time(value) end

---From here on the value is redacted from this instance's errors and traces, as its key is.
---@param value string
function ctx:secret(value) end

---Keeps one request (nil: none any more) that is sent, detached and with a deadline, if the operation is cancelled from
---here on: to abort an upload, say.
---@param request? finetune.request
function ctx:on_cancel(request) end

---`return ctx.fail("invalid", "suffix %s is too long", suffix)` (a function, no method)
---@param kind finetune.kind
---@param format string
---@return nil, finetune.error
function ctx.fail(kind, format, ...) end

---`return ctx.invalid("suffix", "is too long: %d", n)`: kind "invalid", about that parameter (a function, no method)
---@param param string
---@param format string
---@return nil, finetune.error
function ctx.invalid(param, format, ...) end

-- ---- require "finetune.heard": for services that tell the progress of a job once, to whoever listens ----

---@class finetune.heard
local heard = {}

---What this instance has heard of the job; a provider may note more in it.
---@param context finetune.ctx
---@param job_id string
---@return table memory  events: the oldest first; step, total_steps: the highest in the events' data, as long as there
---were any; progress: 0 to 1; listened: when, as os.time(), or 0; ends: how often the stream ended by itself
function heard.of(context, job_id) end

---Keeps an event under that id, which becomes id.2, id.3, ... where it comes again; with `once` it is not kept again.
---@param memory table
---@param id string
---@param event finetune.event
---@param once? boolean
function heard.add(memory, id, event, once) end

---Listens to the stream of events at `path` for so many seconds at most, less where it falls silent.
---@param context finetune.ctx
---@param memory table  `listened` becomes now, `ends` one more where the stream ended by itself
---@param path string
---@param seconds number
---@return table[]? documents, finetune.error? err
function heard.listen(context, memory, path, seconds) end

---The page of a whole list that p.after and p.limit ask for; newest: the list's end comes first.
---@param list {id: string}[]
---@param p {after: string?, limit: integer?}
---@param raw? table
---@param newest? boolean
---@return finetune.page? page, finetune.error? err  kind "invalid": there is no item p.after
function heard.page(list, p, raw, newest) end

-- ---- require "finetune.names": names in the style of Google's APIs, "accounts/acme/jobs/j1" ----

---@class finetune.names
local names = {}

---Things in these collections below `parent`, in which {account} is a setting. name(ctx, id, collection): the whole
---name of an id (of the collection itself without one; in the first where none is said); has(name): is it one of
---theirs? whole(id, params, ctx): for `to` of routes and mappings, an id, whole or short -> its whole name, or nil and
---words; id(document): for `id` of a reader, the document's `name`, if it is one of theirs.
---@param parent string  "accounts/{account}"
---@param ... string  collections
---@return {name: function, has: function, whole: function, id: function} kind
function names.kind(parent, ...) end

-- ---- finetune.http.sse ----

---@class finetune.sse
local sse = {}

---@return {feed: fun(self, chunk: string): table[], finish: fun(self): table[]}  a parser: feed it chunks
function sse.new() end

---@param text string
---@param partial? boolean  the stream goes on: an event without its blank line is left out
---@return {event: string, data: string, id: string?, retry: number?}[] events  retry: seconds
function sse.parse(text, partial) end

-- ---- finetune.testing ----

---@class finetune.testing
local testing = {}

---A script: array of {"METHOD /path", expect = {query, headers, json, body, …}, status, headers, json | body, delay | fail =
---"timeout"|"connect"|"reset"|"pending" | reply = function(request), times = n}.
---@param script table[]
---@return function transport, {requests: table[], failures: string[], done: fun()} log
function testing.transport(script) end

---A small service: {["GET /jobs/{id}"] = function(request, id) return {status, headers, json | body} end, …}.
---@param routes table<string, function>
---@return function transport, {requests: table[]} log
function testing.routes(routes) end

---The suite that every provider passes; options are in contract.lua.
---@param P table|string  a provider's table, or its name
---@param options? table
---@return {name: string, message: string}[]? failures  nothing when options.describe and options.it are given
function testing.contract(P, options) end

---@param url string
---@return string path, string query
function testing.split(url) end

---@param url string
---@return table<string, string>
function testing.query(url) end

---@param wanted any
---@param value any
---@param where string  for the words
---@return boolean ok, string? why
function testing.covers(wanted, value, where) end

---@param a any
---@param b any
---@return boolean  the same as JSON
function testing.same(a, b) end

-- ---- finetune.loop.luv, .cqueues, .copas ----

---@class finetune.loop
local loop = {}

---From here on, coroutines of that loop wait by suspending; its main coroutine cannot, and is told so.
---luv: start(on_error); cqueues: start(controller, on_error?); copas: start(on_error?)
function loop.start(...) end

---Takes it out again; calls that run go on when something else steps the engine.
function loop.stop() end
