-- data_client.lua: our side of the section `data` of run.lua, a process of its own.
--   lua spec/bench/data_client.lua require                 only loads the library
--   lua spec/bench/data_client.lua severities              of openai's rules: id=severity ...
--   lua spec/bench/data_client.lua check [nodup] FILE...   all rules of openai's profile; nothing is written
--   lua spec/bench/data_client.lua dedupe FILE OUT
--   lua spec/bench/data_client.lua convert FILE OUT        to ShareGPT, a tenth to OUT.validation
--   lua spec/bench/data_client.lua vocabulary VOCAB        only reads it: seconds of CPU
--   lua spec/bench/data_client.lua tokens VOCAB FILE...    a NUL behind each text -> per file: seconds, bytes, tokens
--   lua spec/bench/data_client.lua latency FILE|none SECONDS   -> ms that a 1 ms timer came too late:
--                                                        p99, most; the same by CPU time

package.path, package.cpath = "./lua/?.lua;./lua/?/init.lua;" .. package.path, "./lua/?.so;" .. package.cpath
local finetune = require "finetune"

local NO_DUPLICATES = {duplicate_example = "off"}
local client = {}

client["require"] = function() end

function client.severities()
  local list = {}
  for id, severity in pairs(require "finetune.core".facts "openai".dataset.rules) do
    list[#list + 1] = id .. "=" .. severity
  end
  table.sort(list)
  print(table.concat(list, " "))
end

local function prepare(params)
  local provider = assert(finetune.create_provider("openai", {api_key = "none"}))
  local report = assert(provider:prepare_data(params))
  print(report.examples, report.invalid, report.duplicates, report.error_count, report.warning_count)
end

function client.check(...)
  local paths, rules = {...}, nil
  if paths[1] == "nodup" then
    rules = NO_DUPLICATES
    table.remove(paths, 1)
  end
  prepare {path = paths, output = false, rules = rules}
end

function client.dedupe(path, out) prepare {path = path, output = out, dedupe = true} end

function client.convert(path, out)
  prepare {path = path, output = out, to = "sharegpt", validation = 0.1, rules = NO_DUPLICATES}
end

-- ---- tokens ----

local function vocabulary(path)
  local began = os.clock()
  local v = assert(finetune.vocabulary {path = path, encoding = "o200k_base"})
  return v, os.clock() - began
end

function client.vocabulary(path) print(select(2, vocabulary(path))) end

local function texts_of(path)
  local file <close> = assert(io.open(path, "rb"))
  local texts, bytes = {}, 0
  for text in file:read("a"):gmatch "(%Z*)\0" do
    texts[#texts + 1] = text
    bytes = bytes + #text
  end
  return texts, bytes
end

function client.tokens(path, ...)
  local v = vocabulary(path)
  for _, name in ipairs {...} do
    local texts, bytes = texts_of(name)
    local tokens, began = 0, os.clock()
    for _, text in ipairs(texts) do tokens = tokens + v:count(text) end
    print(os.clock() - began, bytes, tokens)
  end
end

-- ---- latency ----

-- What a share of the numbers does not exceed
local function upto(list, share)
  table.sort(list)
  return list[math.ceil(#list * share)]
end

-- By the clock, and by the CPU time of this process, which is the same however busy the machine is
function client.latency(path, seconds)
  local core, late, used, done = require "finetune.core", {}, {}, false
  local stop = core.now() + tonumber(seconds)
  local function tick()
    while not done do
      local began, cpu = core.now(), os.clock()
      finetune.sleep(0.001)
      late[#late + 1] = (core.now() - began - 0.001) * 1e3
      used[#used + 1] = (os.clock() - cpu - 0.001) * 1e3
    end
  end
  local function scan()
    while core.now() < stop do
      if path == "none" then finetune.sleep(0.1) else prepare {path = path, output = false} end
    end
    done = true
  end
  finetune.run(tick, scan)
  print("late", upto(late, 0.99), upto(late, 1), upto(used, 0.99), upto(used, 1))
end

client[arg[1]](table.unpack(arg, 2))
