-- command.lua: the section `command` of run.lua: what the command costs above the library: its start, and a check of
-- BENCH_MIB MiB (256) of examples. CPU (user + system); medians of rounds in which both take turns.

local setup = require "spec.bench.setup"

local MIB = tonumber(os.getenv "BENCH_MIB" or 256)
local ROUNDS = tonumber(os.getenv "BENCH_ROUNDS" or 9)
local START, CHECK = 25, 1.1 -- goals: ms, the library's own time

local function examples(folder)
  local program, path = folder .. "/generate", ("%s/mixed-%d.jsonl"):format(folder, MIB)
  local cc = os.getenv "CC" or "cc"
  local made = setup.sh(("test -x %s || %s -std=c99 -D_GNU_SOURCE -O2 spec/bench/generate.c -o %s -lm"):format(program,
    cc, program)) and setup.sh(("test -s %s || %s %d 7 mixed >%s"):format(path, program, MIB << 20, path))
  return made and path or error("cannot write " .. path, 0)
end

return function(kit)
  local words = "env -u FINE_TUNE_PROVIDER -u FINE_TUNE_DEBUG OPENAI_API_KEY=none lua/finetune/cli/finetune "
  kit.head("the command", "the library")
  local path = examples(kit.folder)
  local got = kit.contest(ROUNDS, {"command", "library"}, {command = words .. "--help",
    library = kit.lua .. " spec/bench/data_client.lua require"})
  local function milli(name) return ("%.1f ms"):format(got[name].cpu * 1e3) end
  kit.row("finetune --help, CPU (theirs: loading it)", milli "command", milli "library", got.command.cpu * 1e3, START,
    " ms")
  got = kit.contest(ROUNDS, {"command", "library"}, {command = words .. "check " .. path,
    library = kit.lua .. " spec/bench/data_client.lua check " .. path})
  kit.row(("finetune check of %d MiB, CPU"):format(MIB), milli "command", milli "library",
    got.command.cpu / got.library.cpu, CHECK)
  kit.row("the same, peak memory", ("%.1f MiB"):format(got.command.rss), ("%.1f MiB"):format(got.library.rss),
    got.command.rss / got.library.rss)
end
