---@meta
-- luacheck: no max line length, ignore 211 212 241
--- Training data: what prepare_data takes and reports, tokens and cost; for people and for lua-language-server. See
--- meta.lua. Never run.

---@class finetune.finding  what prepare_data has against an example, or against the whole set
---@field rule string  its id; what there is: `finetune.rules()`
---@field severity "error"|"warning"
---@field file? string
---@field line integer  of the file, from 1; without a file the number of the example; 0: the whole set
---@field column? integer  byte of the line, from 1
---@field path string  messages[2].role
---@field message string
---@field hint? string  how to mend it
---@field excerpt? string  at most 60 bytes around the place, safe for a terminal

---@class finetune.measure  of a number per example
---@field min integer
---@field mean number
---@field median number
---@field p95 number  at most 0.2 % off
---@field max integer
---@field histogram {from: integer, to: integer, count: integer}[]  at most 20 bars; both ends belong to a bar

---@class finetune.report  of prepare_data
---@field examples integer  how many there were
---@field invalid integer
---@field duplicates integer  examples that say what one before them said
---@field leaked integer  examples that are in validation_path too
---@field shortened integer  examples that lost messages to a limit
---@field written integer  of them, to output or text
---@field bytes integer
---@field output? string
---@field text? string  the JSONL, where no output was given
---@field tokens? integer  of what was written, where tokens were counted
---@field tokens_estimated? boolean  without a vocabulary
---@field learned_tokens? integer  of them, those of assistant messages with weight
---@field validation? {written: integer, bytes: integer, output: string?, text: string?, tokens: integer?, learned_tokens: integer?}
---@field errors finetune.finding[]  the first ones (max_errors)
---@field warnings finetune.finding[]
---@field error_count integer  all of them
---@field warning_count integer
---@field rules table<string, integer>  id of a rule -> how often it was broken
---@field source_format? string  what the examples were
---@field format? string  what they are now
---@field formats table<string, integer>  format -> valid examples
---@field roles table<string, integer>  role -> messages
---@field stats {messages: finetune.measure?, characters: finetune.measure?, tokens: finetune.measure?}  of what was written

---@class finetune.params.prepare_data: finetune.params
---@field examples? table|function|userdata|string  array, iterator function (each example a table, or a string of JSON), or a path
---@field path? string|string[]  files, in place of examples: one of the two is given. "-": standard input
---@field input? string  what the files hold: jsonl, array, csv, tsv; found by looking where absent. gzip always is
---@field columns? table<string, string>  of CSV and TSV: name of a column -> key of the example; others are left out
---@field format? string  chat, completion, preference, reinforcement, text, instruction, sharegpt; found out where absent
---@field format_type? string  another name of format
---@field to? string  the format to write; an example that would lose something is an error, which says what
---@field drop? string[]  keys that may be lost on the way there
---@field output? string|false  the JSONL file to write; it appears whole, or not at all. false: nothing is written or kept
---@field validation? number  share of the examples that goes to a second output; the same example always goes to the same side
---@field validation_output? string  where absent, output with ".validation" before its ending
---@field validation_path? string  an existing validation file: training examples that are in it are errors
---@field seed? integer  of that division, and of the shuffle (0)
---@field shuffle? boolean|integer  true, or the seed: training examples in an order of chance
---@field dedupe? boolean  of examples that say the same only the first is written
---@field skip_invalid? boolean  leave invalid examples out, and write the others
---@field max_examples? integer  for training: the first ones, or with shuffle any
---@field max_messages? integer  whole messages are left out, oldest first, where an example has more
---@field max_characters? integer  the same by characters
---@field max_tokens? integer  the same by tokens; needs a vocabulary
---@field rules? table<string, string|function|table>  id -> "error", "warning", "off"; or rules of your own, for examples as they would be written: function(example) -> words?, path? (all get the same table), or {check = function, severity = "warning"}
---@field max_errors? integer  how many findings of each severity the report lists (100)
---@field vocabulary? userdata  what finetune.vocabulary gave: tokens are counted
---@field tokens? boolean  they are estimated, where there is no vocabulary
---@field on_progress? fun(bytes: integer, all: integer, counts: {examples: integer, errors: integer, warnings: integer, eta: number?})  20 times a second at most; all: 0 where it is not known (an iterator, a pipe); eta: seconds until all is read, by the rate so far, where it is known

-- ---- rules, tokens, cost ----

local finetune = {}

---Every rule of prepare_data. `severity` is the neutral one; a provider's profile and the parameter `rules` change it.
---@return {id: string, severity: "error"|"warning"|"off", means: string, hint: string, source: string}[] rules
function finetune.rules() end

---A vocabulary that is read: at `path`, else in tiktoken's cache ($TIKTOKEN_CACHE_DIR, $DATA_GYM_CACHE_DIR, a folder
---data-gym-cache among the temporary files), else, if `download` is true, from OpenAI. A file must be the encoding's
---own, by its SHA-256; with `like` in place of `encoding` it may be any, and text is cut by the rules of that encoding.
---@param params {encoding: "o200k_base"|"cl100k_base"|nil, model: string?, path: string?, like: string?, download: boolean?, settings: table?}  settings: of the connection, as of create_provider (proxy, ca_file)
---@return userdata? vocabulary, finetune.error? err
function finetune.vocabulary(params) end

---Tokens of a text, of messages (with 3 for each message and for the reply, as OpenAI documents it), or of an example.
---@param params {text: string?, messages: table[]?, tools: table[]?, example: table|string|nil, vocabulary: userdata?, encoding: string?, model: string?, path: string?, like: string?}  one of text, messages and example; which vocabulary as of finetune.vocabulary
---@return {tokens: integer, learned: integer?, estimated: boolean, encoding: string?}? count, finetune.error? err
function finetune.count_tokens(params) end

---What a training job will cost: billable tokens x epochs x price. Without a known price `price` and `total` are nil.
---@param params {report: finetune.report?, path: string?, tokens: integer?, examples: integer?, model: string?, provider: string?, epochs: integer?, price: number?, currency: string?, validation_tokens: integer?, evaluations: integer?, max_example_tokens: integer?, vocabulary: userdata?, encoding: string?}  one of report, path and tokens; price: of a million tokens
---@return {total: number?, currency: string?, tokens: integer, learned: integer?, examples: integer?, epochs: integer, epochs_source: string, billable_tokens: integer, price: {per_million: number, currency: string, date: string?, source: string}?, estimated: boolean, encoding: string?}? cost, finetune.error? err
function finetune.estimate_cost(params) end

return finetune
