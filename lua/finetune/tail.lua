-- tail.lua: the neutral events of a trainer, one JSON object a line (events.jsonl), read
-- from the end: a page costs what is on it, however long the file is, and a last line
-- that is still being written is left alone. A line's place in the file is its event's id,
-- the same for every reader, now and later.
--
-- {time, step, total_steps, epoch, loss, valid_loss, learning_rate, accuracy, message}: all optional, all numbers but
-- `message`; time in Unix seconds. Other fields are kept in `raw`; a line that is no object is left out.
--
-- A trainer that cannot write that file has its log read instead, by its recipe: `log`.

local core = require "finetune.core"
local supervise = require "finetune.supervise"

local M = {}

local CHUNK = 65536 -- bytes read at a time
local LINE = 65536 -- bytes: a longer line is no event
local REACH = 8 * 1024 * 1024 -- bytes that one page looks through at most
local LOG_MOST = 32 * 1024 * 1024 -- bytes of a log that are looked through for events: the first ones
local COUNT_MOST = 200000 -- events of a log: more are not read, for they cost some 10 us each
local KEPT = 10000 -- events of a log that are kept in memory: between that many and twice as many
local MESSAGE = 2000 -- bytes of a message

-- ---- events ----

local NUMBERS = {step = "step", total_steps = "total_steps", epoch = "epoch", loss = "train_loss",
  valid_loss = "valid_loss", learning_rate = "learning_rate", accuracy = "train_accuracy",
  valid_accuracy = "valid_accuracy"}

local function finite(value)
  local good = type(value) == "number" and value == value and value > -math.huge and value < math.huge
  return good and value or nil
end

local function whole(value) return finite(value) and (math.tointeger(value) or value) or nil end

local function summary(data)
  local words = {}
  if data.step then
    words[1] = data.total_steps and ("step %s of %s"):format(data.step, data.total_steps) or "step " .. data.step
  elseif data.epoch then
    words[1] = ("epoch %g"):format(data.epoch)
  end
  for _, name in ipairs {"train_loss", "valid_loss", "train_accuracy", "valid_accuracy"} do
    if data[name] then words[#words + 1] = ("%s %.4g"):format(name:gsub("_", " "):gsub("^train ", ""), data[name]) end
  end
  return words[1] and table.concat(words, ", ") or "progress"
end

-- A neutral event -> an event as list_events gives them
function M.event(id, raw)
  local data = {}
  for theirs, ours in pairs(NUMBERS) do data[ours] = finite(raw[theirs]) end
  data.step, data.total_steps = whole(raw.step), whole(raw.total_steps)
  local words = type(raw.message) == "string" and supervise.plain(raw.message, MESSAGE)
  local time, has_numbers = finite(raw.time), next(data) ~= nil
  return {id = id, created_at = time and math.abs(time) < 1e15 and math.floor(time) or nil,
    level = raw.level == "error" and "error" or raw.level == "warn" and "warn" or "info",
    type = has_numbers and "metrics" or "message", message = words and words ~= "" and words or summary(data),
    data = has_numbers and data or nil, raw = raw}
end

-- What is no number in JSON, but in the files of many trainers: "loss": NaN
local function without_nan(line)
  for _, word in ipairs {"NaN", "Infinity"} do
    line = line:gsub("([:%[,]%s*)%-?" .. word .. "%f[%s,}%]]", "%1null")
  end
  return line
end

local function decoded(line)
  if #line > LINE or line:byte() ~= 123 then return nil end -- "{"
  local raw = core.decode(line)
  if raw == nil then raw = core.decode(without_nan(line)) end
  return type(raw) == "table" and raw or nil
end

-- ---- events.jsonl ----

-- The whole lines of `text`, which begins at that place of the file, from its end: into `list`
local function take_lines(list, n, text, first, start)
  local stop = #text
  while stop >= first and #list < n do
    local from = stop
    while from > first and text:byte(from - 1) ~= 10 do from = from - 1 end
    local line = text:sub(from, stop):gsub("[\r\n]+$", "")
    local raw = decoded(line)
    if raw then list[#list + 1] = M.event(("e-%d"):format(start + from - 1), raw) end
    stop = from - 1
  end
end

-- Where the first whole line of a chunk begins, and what is before it, for the chunk before
local function split(text, start)
  if start == 0 then return 1, "" end
  local newline = text:find("\n", 1, true)
  local first = newline and newline + 1 or #text + 1
  return first, first <= LINE and text:sub(1, first - 1) or "\n" -- too long: as if it were empty
end

-- Where the search was given up, as an event, behind which it goes on: a page must not cost the whole file
local function given_up(place)
  return {id = ("e-%d"):format(place), level = "warn", type = "message", raw = {},
    message = ("%d MB without an event: a trainer writes one a line, each less than %d KB"):format(REACH >> 20,
      LINE >> 10)}
end

-- The events of the file that begin before that place (nil: its end), the newest first, at most n; and whether the last
-- one only says that the search was given up there
function M.file(path, before, n)
  local list, file <close> = {}, core.fs.open(path)
  local size = file and file:seek "end"
  if not size then return list end
  local place = math.min(before or size, size)
  local lowest, carry = place - REACH, ""
  while place > 0 and #list < n and place > lowest do
    local start = math.max(0, place - CHUNK)
    if not file:seek("set", start) then break end
    local text = (file:read(place - start) or "") .. carry
    local first
    first, carry = split(text, start)
    take_lines(list, n, text, first, start)
    place = start
  end
  if #list > 0 or place == 0 or n == 0 then return list end
  list[1] = given_up(place)
  return list, true
end

-- ---- a log that a recipe reads ----

-- What was read so far: offset (of the log), size (of the events as lines), list, last
function M.new_log() return {offset = 0, size = 0, count = 0, list = {}, lines = nil, rest = ""} end

local function keep(log, raw)
  if log.count >= COUNT_MOST then return end
  raw.time = nil -- a log has none, and an event's place, its id, must be the same for two readers
  local ok, line = pcall(core.encode, raw)
  if not ok then return end
  if #log.list >= 2 * KEPT then log.list = table.move(log.list, KEPT + 1, 2 * KEPT, 1, {}) end
  log.list[#log.list + 1] = {at = log.size, raw = raw, heard = math.floor(core.wall())}
  log.size, log.count, log.last = log.size + #line + 1, log.count + 1, raw
  if log.lines then log.lines[#log.lines + 1] = line end
end

-- One chunk: what ends in a line's end (\r counts, as progress bars are written) is for the recipe
local function digest(log, job, recipe, text)
  text = log.rest .. text
  local whole_lines = text:match "^.*[\r\n]()" or 1
  log.rest = text:sub(whole_lines)
  if #log.rest > LINE then log.rest = "" end
  if whole_lines == 1 then return end
  for _, raw in ipairs(recipe.events(job, text:sub(1, whole_lines - 1), log.last) or {}) do
    if type(raw) == "table" then keep(log, raw) end
  end
end

-- Reads what is new in job.dir/log, in slices: pause() is called between them
function M.read_log(log, job, recipe, pause)
  local file <close> = core.fs.open(job.dir .. "/log")
  if not file or not file:seek("set", log.offset) then return log end
  while log.offset < LOG_MOST and log.count < COUNT_MOST do
    local text = file:read(CHUNK)
    if not text then break end
    log.offset = log.offset + #text
    digest(log, job, recipe, text)
    pause()
  end
  return log
end

-- As M.file
function M.of_log(log, before, n)
  local list = {}
  for i = #log.list, 1, -1 do
    local item = log.list[i]
    if #list >= n then break end
    if not before or item.at < before then
      local event = M.event(("e-%d"):format(item.at), item.raw)
      event.created_at = item.heard -- so long ago, at least
      list[#list + 1] = event
    end
  end
  return list
end

-- All of it as the text of events.jsonl, whose places are the ids that M.of_log gave
function M.as_file(job, recipe, pause)
  local log = M.new_log()
  log.lines = {}
  M.read_log(log, job, recipe, pause)
  if log.rest ~= "" then digest(log, job, recipe, "\n") end
  return #log.lines > 0 and table.concat(log.lines, "\n") .. "\n" or ""
end

return M
