-- The command `finetune`, run by specs as a process: in a pipe, and in a pseudo-terminal.

local assert = require "luassert"
local core = require "finetune.core"
local shell = require "spec.support.shell"

local M = {path = shell.root .. "/lua/finetune/cli/finetune"}

-- No setting of whoever runs the suite may reach the command
local UNSET = {"FINE_TUNE_HOME", "FINE_TUNE_MODEL", "FINE_TUNE_PROVIDER", "FINE_TUNE_PROVIDER_PATH", "FINE_TUNE_DEBUG",
  "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "TOGETHER_API_KEY", "TOGETHER_BASE_URL",
  "XDG_CONFIG_HOME", "XDG_DATA_HOME", "NO_COLOR", "COLUMNS", "LINES", "LC_ALL", "LC_CTYPE", "http_proxy",
  "https_proxy", "LUA_PATH", "LUA_CPATH", "LUA_PATH_5_4", "LUA_CPATH_5_4", "LUA_INIT", "LUA_INIT_5_4"}
local CLEAN = "env -u " .. table.concat(UNSET, " -u ") .. " "

-- A name that would colour a terminal, set its title, break the line, clear the screen and turn the direction
M.EVIL = "\27[31mred\27]0;title\7\n\rsecond\u{9b}2J \u{202e}evil"

-- Nothing but colours of our own and line ends is in it that a terminal acts on
function M.assert_harmless(s)
  local rest = s:gsub("\27%[[%d;]*m", "")
  assert.is_nil(rest:find "[\0-\9\11-\31\127]", rest)
  assert.is_nil(rest:find("\u{9b}", 1, true))
  assert.is_nil(rest:find("\u{202e}", 1, true))
end

function M.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end

-- The words before the command: its environment
local function environment(tmp, env)
  local words = {CLEAN, "LANG=C.UTF-8 TERM=xterm-256color TZ=UTC HOME=" .. shell.quote(tmp)}
  for name, value in pairs(env or {}) do words[#words + 1] = name .. "=" .. shell.quote(value) end
  return table.concat(words, " ") .. " "
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- tmp: its folder and HOME; env: its variables -> {run, json, pty, ...}
function M.new(tmp, env)
  local self = {tmp = tmp, env = env}

  -- A line of sh in which `finetune` is the command -> exit status, standard output, standard error
  function self.run(line, more)
    local all = {}
    for name, value in pairs(self.env) do all[name] = value end
    for name, value in pairs(more or {}) do all[name] = value end
    local script = ("finetune() { %s \"$@\"; }\n%s\n"):format(shell.quote(M.path), line)
    local status, out = shell.run(("%ssh -c %s 2>%s"):format(environment(tmp, all), shell.quote(script),
      shell.quote(tmp .. "/stderr")), {cwd = tmp})
    return status, out, read(tmp .. "/stderr")
  end

  -- The same for one that has to work -> its output
  function self.must(line, more)
    local status, out, err = self.run(line, more)
    if status ~= 0 then error(("%s\nexited with %d:\n%s%s"):format(line, status, out, err), 2) end
    return out, err
  end

  -- ... and writes one JSON document -> that
  function self.json(line, more)
    local out = self.must(line .. " --json", more)
    local doc, why = core.decode(out)
    return doc or error(("%s\nwrote no JSON: %s\n%s"):format(line, why, out), 2)
  end

  -- In a terminal of that size, with steps for cli_pty.py -> {status, signal, output, seen}. options: columns, rows,
  -- env; program: words of sh in place of the command
  function self.pty(words, steps, options)
    options = options or {}
    local all = {}
    for name, value in pairs(self.env) do all[name] = value end
    for name, value in pairs(options.env or {}) do all[name] = value end
    local line = ("%spython3 %s/spec/support/cli_pty.py %d %d %s %s %s"):format(environment(tmp, all),
      shell.quote(shell.root), options.columns or 80, options.rows or 24, shell.quote(core.encode(core.array(steps))),
      options.program or shell.quote(M.path), words)
    return assert(core.decode((shell.must(line, {cwd = tmp}))))
  end

  return self
end

function M.has_pty() return shell.has "python3" end

return M
