-- sse.lua: an incremental parser of text/event-stream, as the HTML standard has
-- it: lines end with CR, LF or CRLF (also when a chunk ends between the two), a
-- field is `name: value`, a blank line ends an event, a line that begins with a
-- colon is a comment. Only memory for the current event is kept, at most LIMIT.

local M = {}
local Parser = {}
Parser.__index = Parser
Parser.__name = "finetune.sse"

local LIMIT = 8 * 1024 * 1024 -- bytes of one event

function M.new()
  return setmetatable({line = {}, length = 0, data = {}, size = 0, started = false, skip_lf = false}, Parser)
end

-- Ends the current event; one without data is none
local function dispatch(self, out)
  if #self.data > 0 then
    out[#out + 1] = {event = self.event or "message", data = table.concat(self.data, "\n"), id = self.id,
      retry = self.retry}
  end
  self.data, self.size, self.event = {}, 0, nil
end

local field = {}

function field.data(self, value)
  self.size = self.size + #value + 1
  if self.size > LIMIT then error("an event of the stream is larger than 8 MiB", 0) end
  self.data[#self.data + 1] = value
end

function field.event(self, value) self.event = value ~= "" and value or nil end

function field.id(self, value)
  if not value:find("\0", 1, true) then self.id = value end
end

function field.retry(self, value)
  if value:match("^%d+$") then self.retry = tonumber(value) / 1000 end
end

-- The line whose last piece is `text`
local function take_line(self, text, out)
  self.line[#self.line + 1] = text
  local line = table.concat(self.line)
  self.line, self.length = {}, 0
  if not self.started then line = line:gsub("^\239\187\191", "") end
  self.started = true
  if line == "" then return dispatch(self, out) end
  local name, value = line:match("^([^:]*):? ?(.*)$")
  if field[name] then field[name](self, value) end
end

-- A piece of a line that has not ended
local function keep(self, text)
  if text == "" then return end
  self.line[#self.line + 1] = text
  self.length = self.length + #text
  if self.length > LIMIT then error("a line of the stream is larger than 8 MiB", 0) end
end

-- Takes a chunk of the stream -> array of the events that it completes:
-- {event, data, id, retry (seconds)}. Raises when one event is too large.
function Parser:feed(chunk)
  local out, at = {}, 1
  if chunk == "" then return out end
  if self.skip_lf and chunk:byte(1) == 10 then at = 2 end
  self.skip_lf = false
  while true do
    local stop = chunk:find("[\r\n]", at)
    if not stop then break end
    take_line(self, chunk:sub(at, stop - 1), out)
    at = stop + 1
    if chunk:byte(stop) == 13 then
      if chunk:byte(at) == 10 then at = at + 1 end
      self.skip_lf = stop == #chunk
    end
  end
  keep(self, chunk:sub(at))
  return out
end

-- The stream is over -> its last event, where the blank line is missing; else an empty array.
-- (The standard drops it; services that close early mean it.)
function Parser:finish()
  local out = {}
  if self.length > 0 then take_line(self, "", out) end
  dispatch(self, out)
  return out
end

-- A whole stream at once -> array of its events. `partial`: it goes on, so that an event
-- without its blank line may lack its end and is left out.
function M.parse(text, partial)
  local parser = M.new()
  local events = parser:feed(text)
  if partial then return events end
  return table.move(parser:finish(), 1, 1, #events + 1, events)
end

return M
