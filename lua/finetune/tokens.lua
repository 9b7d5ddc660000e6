-- tokens.lua: vocabularies and token counts. A vocabulary is a .tiktoken file; which one a model
-- has, where tiktoken keeps it, and how it is fetched is said here; counting is the core's.

local check = require "finetune.check"
local core = require "finetune.core"
local wait = require "finetune.wait"

local M = {}

local BASE = "https://openaipublic.blob.core.windows.net"
local SLICE = 0.002 -- seconds of reading between two looks at others
local MOST = 16 * 1024 * 1024 -- bytes of a download; the larger file has 3,613,922

-- `cache`: its name in tiktoken's cache, the SHA-1 of its URL (tiktoken 0.14.0, tiktoken/load.py)
local FILES = {
  o200k_base = {path = "/encodings/o200k_base.tiktoken", cache = "fb374d419588a4632f3f557e76b4b70aebbca790"},
  cl100k_base = {path = "/encodings/cl100k_base.tiktoken", cache = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"},
}

-- Beginnings of models' names, the longest first (tiktoken 0.14.0, tiktoken/model.py, but for gpt-4.1 among those
-- that were fine-tuned, which it gives the encoding of gpt-4, and gpt-oss, whose o200k_harmony differs from
-- o200k_base in special tokens only)
local MODELS = {
  {"text-embedding-3-", "cl100k_base"}, {"text-embedding-ada-002", "cl100k_base"},
  {"gpt-3.5", "cl100k_base"}, {"gpt-35-turbo", "cl100k_base"}, {"davinci-002", "cl100k_base"},
  {"babbage-002", "cl100k_base"}, {"chatgpt-4o", "o200k_base"}, {"gpt-4o", "o200k_base"}, {"gpt-4.", "o200k_base"},
  {"gpt-4", "cl100k_base"}, {"gpt-5", "o200k_base"}, {"gpt-oss-", "o200k_base"}, {"o1", "o200k_base"},
  {"o3", "o200k_base"}, {"o4-mini", "o200k_base"},
}

-- "gpt-4.1-mini", "ft:gpt-4o-2024-08-06:org::id" -> the name of its encoding, or nil
function M.encoding_of(model)
  local name = model:match "^ft:([^:]+)" or model
  for _, row in ipairs(MODELS) do
    if name:sub(1, #row[1]) == row[1] then return row[2] end
  end
  return nil
end

-- ---- parameters ----

local VOCABULARY = check.parse "-encoding:string model:string path:string like:string download:boolean settings:table"
local COUNT = check.parse("-text:string messages:table tools:table example:table|string encoding:string model:string "
  .. "path:string like:string vocabulary:userdata")

local function read(what, spec, params, level)
  if type(params) ~= "table" then error(what .. ": takes a table of parameters", level) end
  local given, why = check.params(what, spec, params)
  if not given then error(why, level) end
  return given
end

-- -> the encoding asked for, by its name or the model's; nil where neither was | raises
local function encoding_asked(what, p, level)
  local name = p.encoding or p.like
  if name and not FILES[name] then
    error(("%s: the encodings are cl100k_base and o200k_base; there is no '%s' here"):format(what, name), level)
  end
  if name or not p.model then return name end
  return M.encoding_of(p.model)
end

-- ---- where the file is ----

-- The folders in which tiktoken looks, of which the first that is named counts; nil: there is no cache
local function cache_folder()
  for _, name in ipairs {"TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"} do
    local folder = os.getenv(name)
    if folder then return folder ~= "" and folder or nil end
  end
  for _, name in ipairs {"TMPDIR", "TEMP", "TMP"} do -- the order of Python's tempfile
    local folder = os.getenv(name)
    if folder and folder ~= "" then return folder .. "/data-gym-cache" end
  end
  return "/tmp/data-gym-cache"
end

-- -> the file of an encoding in the cache, there or not, and its folder; nil: there is no cache
function M.cache_path(encoding)
  local folder = cache_folder()
  if not folder then return nil end
  return folder .. "/" .. FILES[encoding].cache, folder
end

-- ---- reading ----

local function failed(kind, message) return nil, core.error {kind = kind, message = message} end

-- Reads in slices: others go on meanwhile
local function load(path, encoding, checked)
  wait.ready()
  local vocabulary, words = core.vocabulary(path, encoding, checked)
  if not vocabulary then return failed("data", words) end
  while true do
    local ready
    ready, words = vocabulary:advance(SLICE)
    if ready then return vocabulary end
    if ready == nil then return failed("data", path .. ": " .. words) end
    wait.await(core.sleep(0))
  end
end

-- ---- downloading ----

local NAME = "finetune-vocabulary"
local unused = core.unsupported "it only downloads vocabularies"

-- A provider of its own for one request: it is registered no longer than it takes to make an instance
local function downloader(settings)
  local P = {name = NAME, base_url = BASE}
  for _, op in ipairs(core.ops) do
    if op.required then P[op.name] = unused end
  end
  function P.download_file(ctx, p)
    return ctx:request {path = p.file_id, output = p.output, max_bytes = MOST, decode = "none", auth = false}
  end
  core.register(P)
  local made, instance, err = pcall(core.create, NAME, settings or {})
  core.unregister(NAME)
  if not made then error(instance, 0) end
  return instance, err
end

-- Fetched under another name, checked, and only then renamed to its own
local function download(encoding, settings)
  local path, folder = M.cache_path(encoding)
  if not path then
    return failed("config", "there is no cache to keep it in: TIKTOKEN_CACHE_DIR or DATA_GYM_CACHE_DIR is empty")
  end
  local instance, err = downloader(settings)
  if not instance then return nil, err end
  core.fs.mkdir(folder) -- where it cannot be made, or is there, the next step tells
  local part = ("%s.%s.part"):format(path, core.random_token())
  local answer
  answer, err = wait.complete(core.start(instance, "download_file", {file_id = FILES[encoding].path, output = part}))
  core.close(instance)
  if not answer then return nil, err end
  local vocabulary
  vocabulary, err = load(part, encoding, true)
  if not vocabulary then
    core.fs.remove(part)
    return nil, err
  end
  local renamed, words = core.fs.rename(part, path)
  if renamed then return vocabulary end
  core.fs.remove(part)
  return failed("data", words)
end

-- ---- public ----

-- One that is read stays for as long as somebody has it
local loaded = setmetatable({}, {__mode = "v"})

local function find(encoding, p)
  local path = M.cache_path(encoding)
  if path and core.fs.stat(path) then
    local vocabulary, err = load(path, encoding, true)
    if vocabulary or not p.download then return vocabulary, err end
  end
  if p.download then return download(encoding, p.settings) end
  return failed("config", ("there is no vocabulary of %s%s; give its path, or let it be downloaded: "
    .. "finetune.vocabulary{encoding = '%s', download = true}"):format(
      encoding, path and " at " .. path or "", encoding))
end

local function obtain(what, p, level)
  local encoding = encoding_asked(what, p, level + 1)
  if p.path then
    if not encoding then
      error(what .. ": whose vocabulary is it? Give its encoding, or `like` for one of your own", level)
    end
    return load(p.path, encoding, p.like == nil)
  end
  if not encoding then
    if not p.model then error(what .. ": takes an encoding, a model, or a path", level) end
    return failed("config",
      ("the encoding of '%s' is not known here; give a path, and `like` or an encoding"):format(p.model))
  end
  local there = loaded[encoding]
  if there and there:advance(0) then return there end -- unless somebody closed it
  local vocabulary, err = find(encoding, p)
  loaded[encoding] = vocabulary
  return vocabulary, err
end

-- finetune.vocabulary{encoding | model, path, download, settings}: a vocabulary that is read: at `path`, else in
-- tiktoken's cache, else, if `download` is true, from OpenAI. `settings` are those of the connection (proxy, ca_file).
-- A file must be the encoding's own, by its SHA-256; with `like` in place of `encoding` it may be any, and text is cut
-- by the rules of that encoding. -> vocabulary | nil, err
function M.vocabulary(params)
  local p = read("vocabulary", VOCABULARY, params, 3)
  local vocabulary, err = obtain("vocabulary", p, 3)
  return vocabulary, err
end

local function example_text(p)
  if type(p.example) == "string" then return p.example end
  return core.encode(p.example or {messages = core.array(p.messages), tools = p.tools})
end

-- Which vocabulary counts: nil is none, and an estimate; false is an error
local function counter(p)
  if p.vocabulary then return p.vocabulary end
  if not (p.path or p.encoding or p.model or p.like) then return nil end
  local vocabulary, err = obtain("count_tokens", p, 4)
  if vocabulary or p.path or p.encoding then return vocabulary or false, err end
  return nil -- by a model's name whose vocabulary is not here
end

-- finetune.count_tokens{text | messages, tools | example, ...}: what tells the vocabulary is as for
-- finetune.vocabulary, or `vocabulary`. -> {tokens, learned, estimated, encoding} | nil, err. Estimated where nothing
-- but a model is given whose vocabulary is not on this machine, or not even that.
function M.count_tokens(params)
  local p = read("count_tokens", COUNT, params, 3)
  if (p.text and 1 or 0) + (p.messages and 1 or 0) + (p.example and 1 or 0) ~= 1 then
    error("count_tokens: takes one of text, messages and example", 2)
  end
  if p.text and not utf8.len(p.text) then return failed("data", "the text is not UTF-8") end
  local vocabulary, err = counter(p)
  if vocabulary == false then return nil, err end
  local answer = {estimated = vocabulary == nil, encoding = vocabulary and vocabulary:facts() or nil}
  if p.text then
    answer.tokens = vocabulary and vocabulary:count(p.text) or core.tokens.text(p.text)
    return answer
  end
  local text = example_text(p)
  local tokens, learned -- or nil and words
  if vocabulary then tokens, learned = vocabulary:example(text) else tokens, learned = core.tokens.example(text) end
  if not tokens then return failed("data", learned) end
  answer.tokens, answer.learned = tokens, learned
  return answer
end

return M
