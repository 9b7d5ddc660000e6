-- pages.lua: all pages of a list operation, one after the other. Finite whatever
-- the service does: a cursor that comes a second time, a page that has only what
-- the two pages before it had, and a long row of empty pages are errors.

local core = require "finetune.core"

local M = {}

M.ENDLESS = "endless_list" -- err.code
local EMPTY_PAGES = 100 -- in a row; some services do send a few

local function endless(what, why)
  return nil, core.error {kind = "decode", op = what, code = M.ENDLESS,
    message = ("the service's list does not end: %s"):format(why)}
end

-- Takes those items of a page that the last two pages did not have: while a list
-- is read, new items push old ones over to the next page. Items without an id
-- are all taken.
local function fresh(state, items)
  local taken, ids = {}, {}
  for _, item in ipairs(items) do
    local id = item.id
    if id == nil or not (ids[id] or state.last[id] or state.before[id]) then taken[#taken + 1] = item end
    if id ~= nil then ids[id] = true end
  end
  state.before, state.last = state.last, ids
  return taken
end

-- Says what is wrong with a page that is not the last, or nil
local function suspicious(state, page, taken)
  if state.cursors[page.next] then return ("the cursor '%s' came twice"):format(tostring(page.next)) end
  if #page.data > 0 and #taken == 0 then return "a page repeats the one before it" end
  state.empty = #page.data == 0 and state.empty + 1 or 0
  if state.empty >= EMPTY_PAGES then return ("%d empty pages in a row"):format(EMPTY_PAGES) end
end

-- fetch(after) -> page | nil, err. The answer is a function that gives the new
-- items of the next page (an array), nothing at the end, or nil, err.
function M.pages(what, fetch, after)
  local state = {last = {}, before = {}, cursors = {}, empty = 0, done = false}
  return function()
    if state.done then return nil end
    local page, err = fetch(after)
    if not page then
      state.done = true
      return nil, err
    end
    local taken = fresh(state, page.data)
    after = page.next
    state.done = not page.has_more or after == nil
    if state.done then return taken end
    local why = suspicious(state, page, taken)
    if why then fetch = function() return endless(what, why) end end -- after what is new
    state.cursors[after] = true
    return taken
  end
end

-- An iterator over items: a closure, not a coroutine, so that a wait inside it
-- goes straight through. It raises the error value, as io.lines does.
function M.items(what, fetch, after)
  local next_page, items, i = M.pages(what, fetch, after), {}, 0
  return function()
    while i >= #items do
      local page, err = next_page()
      if err then error(err, 0) end
      if not page then return nil end
      items, i = page, 0
    end
    i = i + 1
    return items[i]
  end
end

return M
