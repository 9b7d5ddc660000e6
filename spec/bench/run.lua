-- run.lua: `make bench`. Ratios of CPU (user + system, the client's process alone) and
-- peak memory, ours over others', from one run: contenders take turns within a
-- round, so that a change of the machine's mood meets them all; medians over the
-- rounds. Nothing here is a test: it always ends with success.
--   lua spec/bench/run.lua [section...]      sections: poll node start upload asleep many local
--                                              data command dispatch

local setup = require "spec.bench.setup"

local LUA = arg[-1] or "lua5.4"
local CLIENT = LUA .. " spec/bench/client.lua"
local ROUNDS, NODE_ROUNDS = 9, 3
local CONNECTIONS = {http = 16, tls = 16, h2 = 2} -- what our engine allows itself
local MIB = 1024 * 1024

local b -- what setup.start made
local wanted = {}
for _, name in ipairs(arg) do wanted[name] = true end
local function wants(section) return not next(wanted) or wanted[section] end

-- ---- measuring ----

-- Runs a command -> {cpu = s, user = s, rss = MiB, switches = n, out = what it printed}
local function measure(command)
  local pipe = assert(io.popen(("%s/measure %s"):format(b.dir, command)))
  local text = pipe:read "a"
  pipe:close()
  local out, cpu, rss, status, switches, user = text:match "^(.*)\n@ (%S+) (%d+) (%d+) (%d+) (%S+)\n$"
  if status ~= "0" then error(("failed (%s): %s\n%s"):format(status or "?", command, text), 0) end
  return {cpu = tonumber(cpu), user = tonumber(user), rss = tonumber(rss) / 1024, switches = tonumber(switches),
    out = out}
end

local function median(list)
  table.sort(list)
  local n = #list
  return n % 2 == 1 and list[n // 2 + 1] or (list[n // 2] + list[n // 2 + 1]) / 2
end

-- {name = command} -> {name = {cpu, user, rss}} of medians; `names` is the order of a round
local function contest(rounds, names, commands)
  local all = {}
  for _, name in ipairs(names) do all[name] = {cpu = {}, user = {}, rss = {}} end
  for round = 1, rounds do
    for i = 1, #names do
      local name = names[(i + round) % #names + 1]
      local got = measure(commands[name])
      for key, list in pairs(all[name]) do table.insert(list, got[key]) end
    end
  end
  for _, name in ipairs(names) do
    for key, list in pairs(all[name]) do all[name][key] = median(list) end
  end
  return all
end

-- ---- the table ----

local missed = 0

-- A line: what, ours and theirs as words, the value to judge, the goal
local function row(what, ours, theirs, value, goal, unit)
  local met = goal == nil and "" or value <= goal and "met" or "MISSED"
  if met == "MISSED" then missed = missed + 1 end
  print(("%-46s %14s %14s %9s %9s  %s"):format(what, ours, theirs,
    ("%.3g%s"):format(value, unit or "x"), goal and ("%.3g%s"):format(goal, unit or "x") or "", met))
  io.stdout:flush()
end

local function head(words, theirs)
  print(("\n%-46s %14s %14s %9s %9s"):format(words, "ours", theirs, "value", "goal"))
end

local function micro(cpu, n) return ("%.1f us"):format(cpu / n * 1e6) end
local function milli(cpu) return ("%.1f ms"):format(cpu * 1e3) end
local function mebi(rss) return ("%.1f MiB"):format(rss) end

-- ---- polling ----

local KINDS = {"http", "tls", "h2"}
local WORDS = {http = "HTTP/1.1", tls = "TLS", h2 = "HTTP/2 over TLS"}
local POLL_GOAL = {http = 1.15, tls = 1.3, h2 = 1.15}
local SIZES = {{jobs = 100, polls = 60}, {jobs = 500, polls = 20}}

local function ca_of(kind) return kind == "http" and "" or b.ca end

local function ours_polling(kind, size, polls)
  return ("%s poll %s/v1 %d %d %s"):format(CLIENT, b.nginx[kind], size.jobs, polls, ca_of(kind))
end

local function minimal_polling(kind, size)
  return ("%s/minimal %s/v1/fine_tuning/jobs/x %d %d %d %s"):format(b.dir, b.nginx[kind], size.jobs, size.polls,
    CONNECTIONS[kind], ca_of(kind))
end

local function poll()
  head("CPU a poll, JSON decoded, whole process", "bare libcurl")
  for _, size in ipairs(SIZES) do
    for _, kind in ipairs(KINDS) do
      local got = contest(ROUNDS, {"ours", "bare"},
        {ours = ours_polling(kind, size, size.polls), bare = minimal_polling(kind, size)})
      local n = size.jobs * size.polls
      row(("%d jobs at once, %s"):format(size.jobs, WORDS[kind]), micro(got.ours.cpu, n), micro(got.bare.cpu, n),
        got.ours.cpu / got.bare.cpu, POLL_GOAL[kind])
    end
  end
end

-- The Node client does not speak HTTP/2: there, it is compared over TLS.
local function node_url(kind) return b.nginx[kind == "h2" and "tls" or kind] end

local function node()
  if not b.node then return end
  head("the same, against the official Node client", "openai (npm)")
  local with_ca = ("env NODE_EXTRA_CA_CERTS=%s node %s"):format(b.ca, b.node)
  for _, size in ipairs(SIZES) do
    local polls = size.jobs == 100 and 20 or 6
    for _, kind in ipairs(KINDS) do
      local got = contest(NODE_ROUNDS, {"ours", "node"}, {ours = ours_polling(kind, size, polls),
        node = ("%s poll %s/v1 %d %d"):format(with_ca, node_url(kind), size.jobs, polls)})
      local n = size.jobs * polls
      row(("%d jobs at once, %s"):format(size.jobs, WORDS[kind]), micro(got.ours.cpu, n), micro(got.node.cpu, n),
        got.ours.cpu / got.node.cpu, 1 / 12)
    end
  end
end

local function start()
  if not b.node then return end
  head("start of the process to its first answer", "openai (npm)")
  local got = contest(ROUNDS, {"ours", "node"}, {ours = ("%s first %s/v1"):format(CLIENT, b.nginx.http),
    node = ("node %s first %s/v1"):format(b.node, b.nginx.http)})
  row("CPU", milli(got.ours.cpu), milli(got.node.cpu), got.ours.cpu / got.node.cpu, 1 / 20)
  row("peak memory", mebi(got.ours.rss), mebi(got.node.rss), got.ours.rss / got.node.rss, 1 / 6)
end

-- ---- uploads ----

local function file_of(mib)
  local path = ("%s/upload-%d.jsonl"):format(b.dir, mib)
  local fill = [[test -s %s || yes '{"messages":[]}' 2>/dev/null | head -c %d >%s]]
  if not setup.sh(fill:format(path, mib * MIB, path)) then error("cannot write " .. path, 0) end
  return path
end

local function upload()
  head("upload of 200 MiB", "curl")
  local small, large = file_of(200), file_of(1024)
  local urls = {http = b.sink .. "/v1", tls = b.nginx and b.nginx.tls .. "/upload"}
  for _, kind in ipairs {"http", "tls"} do
    local url, ca = urls[kind], ca_of(kind)
    local function ours(path) return ("%s upload %s %s %s"):format(CLIENT, url, path, ca) end
    if url then
      local got = contest(ROUNDS, {"ours", "curl"}, {ours = ours(small),
        curl = ("curl -sS %s -o /dev/null -F purpose=fine-tune -F file=@%s %s/files"):format(
          kind == "tls" and "--cacert " .. ca or "", small, url)})
      row("CPU, " .. WORDS[kind], milli(got.ours.cpu), milli(got.curl.cpu), got.ours.cpu / got.curl.cpu,
        kind == "http" and 0.75 or 1.05)
      local big = measure(ours(large))
      row("peak memory, " .. WORDS[kind], mebi(got.ours.rss), mebi(got.curl.rss), got.ours.rss, 16, " MiB")
      row("peak memory for 1 GiB (in parts), " .. WORDS[kind], mebi(big.rss), "", big.rss, 16, " MiB")
    end
  end
  os.remove(large)
end

-- ---- asleep ----

local function asleep()
  head("500 jobs asleep between polls", "")
  local function switches(seconds) return measure(("%s asleep none 500 %g"):format(CLIENT, seconds)).switches end
  local short, long = {}, {}
  for i = 1, 3 do short[i], long[i] = switches(1), switches(3) end
  row("wake-ups in two seconds of sleep", "", "", math.max(0, median(long) - median(short)), 0, "")
  local base = b.nginx and b.nginx.http .. "/v1" or "none"
  local got = measure(("%s asleep %s 500 1"):format(CLIENT, base))
  row("peak memory, each polled once before", "", "", got.rss, 22, " MiB")
end

-- ---- many jobs ----

local MANY_ROUNDS, MANY_RUNS = 6, 3

-- One run of a way -> CPU seconds and requests of each kind, a round
local function watched(base, way, n, count)
  local got = measure(("%s many %s %s %d %g %s"):format(CLIENT, base, way, MANY_ROUNDS, 0.2 + n / 1000,
    count and "count" or ""))
  local cpu, list, get, events, rounds = got.out:match "(%S+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)"
  local asked = {list = list / rounds, get = get / rounds, events = events / rounds}
  return cpu / rounds, asked
end

local function median_cpu(base, ways, n)
  local cpu = {{}, {}}
  for run = 1, MANY_RUNS do
    for i, way in ipairs(ways) do cpu[i][run] = watched(base, way, n) end
  end
  return median(cpu[1]), median(cpu[2])
end

local function many_rows(base, words, ways, n, goal)
  local _, ours = watched(base, ways[1], n, true)
  local _, theirs = watched(base, ways[2], n, true)
  local function told(r) return ("%.0f+%.1f+%.0f"):format(r.list, r.get, r.events) end
  local function sum(r) return r.list + r.get + r.events end
  local what = ("%d jobs %s, "):format(n, words)
  local least = math.ceil(n / 100) + (ours.events > 0 and math.max(10, n / 20) or 0)
  row(what .. "requests", told(ours), told(theirs), sum(ours) / sum(theirs), 3 * least / sum(theirs))
  local a, b_cpu = median_cpu(base, ways, n)
  row(what .. "CPU", milli(a), milli(b_cpu), a / b_cpu, goal)
  row(what .. "CPU a job", micro(a, n), micro(b_cpu, n), a / b_cpu)
end

local function many()
  local ok, service = pcall(require, "spec.support.service")
  if not ok then
    setup.skip "no luasocket or no dkjson here: many jobs are not followed"
    return
  end
  head("a round, requests as list_jobs+get_job+list_events", "each by itself")
  local path = b.dir .. "/many.jsonl"
  local file = assert(io.open(path, "w"))
  file:write(('{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}\n'):rep(20))
  file:close()
  for _, n in ipairs {10, 100, 1000} do
    local s <close> = service.start {job_seconds = 36000, api_key = "sk-bench"}
    measure(("%s create %s %d %s"):format(CLIENT, s.url, n, path))
    many_rows(s.url, "waited for", {"wait", "gets"}, n, n > 10 and 0.5 or 0.9)
    many_rows(s.url, "followed", {"follow", "gets+events"}, n, n > 10 and 0.5 or 1.2) -- 10: all their events, as ever
  end
end

-- ---- dispatch ----

local function instructions(command)
  local pipe = assert(io.popen("valgrind --tool=callgrind --callgrind-out-file=/dev/null " .. command .. " 2>&1"))
  local text = pipe:read "a"
  pipe:close()
  return tonumber(text:match "Collected : (%d+)")
end

local function dispatch()
  head("dispatch: start a call that needs no I/O, take its result", "instructions")
  local has_valgrind = setup.sh "command -v valgrind >/dev/null 2>&1"
  if not has_valgrind then setup.skip "no valgrind here: instructions are not counted" end
  for _, kind in ipairs {"c", "lua"} do
    local program = ("%s spec/bench/dispatch.lua %s/?.so %s "):format(LUA, b.dir, kind)
    local ns, count = {}, "-"
    for i = 1, ROUNDS do ns[i] = tonumber(measure(program .. 300000).out) end
    if has_valgrind then
      count = ("%.0f"):format((instructions(program .. 12000) - instructions(program .. 2000)) / 10000)
    end
    row(kind == "c" and "provider in C" or "provider in Lua", ("%.0f ns"):format(median(ns)), count, median(ns),
      kind == "c" and 1000 or 2000, " ns")
  end
end

-- ---- jobs on this machine ----

local function on_this_machine()
  require "spec.bench.local" {head = head, row = row, measure = measure, folder = b.dir, lua = LUA}
end

-- ---- training data ----

local function data()
  require "spec.bench.data" {head = head, row = row, measure = measure, contest = contest, median = median,
    instructions = instructions, folder = b.dir, lua = LUA}
end

-- ---- the command ----

local function command()
  require "spec.bench.command" {head = head, row = row, contest = contest, folder = b.dir, lua = LUA}
end

-- ---- all of it ----

local SECTIONS = {{"poll", poll, true}, {"node", node, true}, {"start", start, true}, {"upload", upload},
  {"asleep", asleep}, {"many", many}, {"local", on_this_machine}, {"data", data}, {"command", command},
  {"dispatch", dispatch}}

b = setup.start()
for _, section in ipairs(SECTIONS) do
  local name, run, needs_nginx = table.unpack(section)
  if wants(name) and (b.nginx or not needs_nginx) then run() end
end
print ""
for _, words in ipairs(setup.skipped()) do print("skipped: " .. words) end
print(missed == 0 and "every goal was met" or ("%d goals were missed"):format(missed))
setup.stop()
