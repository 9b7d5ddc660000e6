-- What `busted` prints here: a mark for each test, what failed and why, what was skipped, and as
-- the very last line `N passed, N failed` (with `, N skipped` where some were). The exit status is
-- 0 or 1: busted's own, the number of failures, is 0 again at 256 of them.

local pretty = require "pl.pretty"

local MARKS = {success = "+", failure = "-", error = "*", pending = "."}
local WIDTH = 100 -- marks a line

local function words(message)
  if type(message) == "string" then return (message:gsub("^%S*busted:%d+: ", "")) end -- where pending() stands
  if message == nil then return "" end
  local meta = getmetatable(message)
  return meta and meta.__tostring and tostring(message) or pretty.write(message)
end

local function place(entry)
  local trace = entry.element.trace or entry.trace
  if not (trace and trace.short_src) then return "?" end
  return trace.short_src .. ":" .. trace.currentline
end

local function describe(title, entry, with_traceback)
  local lines = {("%s: %s\n  %s"):format(place(entry), title, entry.name)}
  for line in words(entry.message):gmatch "[^\n]+" do lines[#lines + 1] = "  " .. line end
  local traceback = entry.trace and entry.trace.traceback
  if with_traceback and traceback then lines[#lines + 1] = traceback end
  return table.concat(lines, "\n") .. "\n"
end

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local printed = 0

  local function mark(status)
    printed = printed + 1
    io.write(MARKS[status] or "?", printed % WIDTH == 0 and "\n" or "")
    io.flush()
    return nil, true
  end

  local function report()
    io.write("\n")
    for _, entry in ipairs(handler.pendings) do io.write("\n", describe("skipped", entry)) end
    for _, entry in ipairs(handler.failures) do io.write("\n", describe("failed", entry, options.verbose)) end
    for _, entry in ipairs(handler.errors) do io.write("\n", describe("error", entry, true)) end
    io.write(("\n%.1f s\n"):format(handler.getDuration()))
    return nil, true
  end

  local function count()
    local failed = handler.failuresCount + handler.errorsCount
    local skipped = handler.pendingsCount > 0 and (", %d skipped"):format(handler.pendingsCount) or ""
    io.write(("%d passed, %d failed%s\n"):format(handler.successesCount, failed, skipped))
    io.flush()
    if failed > 0 then os.exit(1, true) end
    return nil, true
  end

  local function broken() return mark("error") end

  busted.subscribe({"test", "end"}, function(_, _, status) return mark(status) end,
    {predicate = handler.cancelOnPending})
  for _, what in ipairs {"file", "describe"} do
    busted.subscribe({"error", what}, broken)
    busted.subscribe({"failure", what}, broken)
  end
  busted.subscribe({"suite", "end"}, report)
  busted.subscribe({"exit"}, count)
  return handler
end
