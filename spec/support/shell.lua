-- Commands run by specs: words quoted, output caught, the outer make's and busted's settings kept out.

local M = {}

-- One word for sh, whatever is in it
function M.quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

local function assignments(env)
  local words = {}
  for name, value in pairs(env or {}) do words[#words + 1] = name .. "=" .. M.quote(value) end
  table.sort(words)
  return table.concat(words, " ")
end

-- What an outer `make test` leaves in the environment would steer an inner one.
local CLEAN = "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u MAKEOVERRIDES "

-- Runs a line of sh (options: env, cwd) -> exit status, stdout and stderr together
function M.run(line, options)
  options = options or {}
  local cd = options.cwd and ("cd %s && "):format(M.quote(options.cwd)) or ""
  local full = ("%sexec %s %s sh -c %s 2>&1 </dev/null"):format(cd, CLEAN, assignments(options.env), M.quote(line))
  local pipe = assert(io.popen(full))
  local output = pipe:read "a"
  local _, _, status = pipe:close()
  return status or 0, output
end

-- The same for a command that has to work -> its output
function M.must(line, options)
  local status, output = M.run(line, options)
  if status ~= 0 then error(("%s\nexited with %d:\n%s"):format(line, status, output), 2) end
  return output
end

function M.has(command)
  return (M.run("command -v " .. M.quote(command))) == 0
end

-- The lines of a command's output, as an array
function M.lines(line, options)
  local list = {}
  for text in M.must(line, options):gmatch "[^\n]+" do list[#list + 1] = text end
  return list
end

-- A new folder; remove it with M.remove
function M.folder()
  return (M.must("mktemp -d"):gsub("%s+$", ""))
end

function M.remove(folder)
  M.must("rm -rf " .. M.quote(folder))
end

M.root = M.must("pwd"):gsub("%s+$", "")

return M
