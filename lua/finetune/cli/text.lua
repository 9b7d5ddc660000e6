-- text.lua: text for people: what comes from outside is made harmless, columns are
-- counted as a terminal counts them, numbers and times get words.

local M = {}

-- ---- what comes from outside ----

-- Bytes that are no UTF-8 become U+FFFD
local function valid(s)
  if utf8.len(s) then return s end
  local parts, at = {}, 1
  while true do
    local _, bad = utf8.len(s, at)
    if not bad then
      parts[#parts + 1] = s:sub(at)
      return table.concat(parts)
    end
    parts[#parts + 1] = s:sub(at, bad - 1) .. "\u{FFFD}"
    at = bad + 1
  end
end

-- What is not seen but changes what is: marks of direction, of width zero, tags
local INVISIBLE = {"\u{AD}", "\xE2\x80[\x8B-\x8F\xA8-\xAE]", "\xE2\x81[\xA0-\xAF]", "\xEF\xBB\xBF",
  "\xF3\xA0[\x80\x81][\x80-\xBF]"}

-- Without escape sequences, control characters and what hides or turns text. One line, unless `lines`:
-- then its newlines and tabs stay.
function M.clean(value, lines)
  local s = tostring(value)
  if not s:find "[\0-\31\127-\255]" then return s end
  s = valid(s):gsub("\27%[[0-?]*[ -/]*[@-~]", ""):gsub("\27[%]PX^_][^\7\27]*\7?", "")
  s = s:gsub("\xC2[\x80-\x9F]", "")
  for _, pattern in ipairs(INVISIBLE) do s = s:gsub(pattern, "") end
  if lines then return (s:gsub("\r\n", "\n"):gsub("[\0-\8\11-\31\127]", "")) end
  return (s:gsub("[\t\r\n]+", " "):gsub("[\0-\31\127]", ""))
end

-- The text of a JSON document, as safe to show as it is to read: every such character as a \u escape
function M.clean_json(s)
  if not s:find "[\127-\255]" then return s end
  local function escape(c)
    return (c:gsub(utf8.charpattern, function(one)
      local code = utf8.codepoint(one)
      if code < 0x10000 then return ("\\u%04x"):format(code) end
      code = code - 0x10000
      return ("\\u%04x\\u%04x"):format(0xD800 | code >> 10, 0xDC00 | code & 0x3FF)
    end))
  end
  s = s:gsub("\127", "\\u007f"):gsub("\xC2[\x80-\x9F]", escape)
  for _, pattern in ipairs(INVISIBLE) do s = s:gsub(pattern, escape) end
  return s
end

-- For a shell: as it is where that is safe, else in quotes
function M.shell_word(value)
  local s = M.clean(value)
  if s:find "^[%w_./:@%%+=,-]+$" then return s end
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- ---- columns ----

local ZERO = {{0x300, 0x36F}, {0x483, 0x489}, {0x591, 0x5BD}, {0x610, 0x61A}, {0x64B, 0x65F}, {0x1AB0, 0x1AFF},
  {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}
local WIDE = {{0x1100, 0x115F}, {0x2E80, 0x303E}, {0x3041, 0x33FF}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},
  {0xA000, 0xA4CF}, {0xA960, 0xA97F}, {0xAC00, 0xD7A3}, {0xF900, 0xFAFF}, {0xFE30, 0xFE6F}, {0xFF00, 0xFF60},
  {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD}}

local function within(ranges, code)
  for _, range in ipairs(ranges) do
    if code < range[1] then return false end
    if code <= range[2] then return true end
  end
  return false
end

local function columns(code)
  if code < 0x300 then return 1 end
  return within(ZERO, code) and 0 or within(WIDE, code) and 2 or 1
end

-- Columns of a clean text
function M.width(s)
  if not s:find "[\128-\255]" then return #s end
  local n = 0
  for _, code in utf8.codes(s) do n = n + columns(code) end
  return n
end

-- At most n columns of a clean text; what is cut ends with "…"
function M.cut(s, n)
  if M.width(s) <= n then return s end
  if n < 1 then return "" end
  local used = 0
  for at, code in utf8.codes(s) do
    used = used + columns(code)
    if used > n - 1 then return s:sub(1, at - 1) .. "…" end
  end
  return s
end

function M.pad(s, n, right)
  local space = (" "):rep(n - M.width(s))
  return right and space .. s or s .. space
end

-- Lines of at most n columns, broken at blanks
function M.wrap(s, n)
  local lines, line = {}, ""
  for word in s:gmatch "%S+" do
    local longer = line == "" and word or line .. " " .. word
    if line ~= "" and M.width(longer) > n then
      lines[#lines + 1], line = line, word
    else
      line = longer
    end
  end
  if line ~= "" then lines[#lines + 1] = line end
  return lines
end

-- ---- numbers and times ----

local UNITS = {"B", "KiB", "MiB", "GiB", "TiB"}

function M.bytes(n)
  if type(n) ~= "number" then return "-" end
  local unit = 1
  while n >= 1024 and unit < #UNITS do n, unit = n / 1024, unit + 1 end
  return (unit == 1 and "%.0f %s" or "%.1f %s"):format(n, UNITS[unit])
end

-- 12,345
function M.count(n)
  if type(n) ~= "number" then return "-" end
  local s, k = ("%.0f"):format(n), 1
  while k > 0 do s, k = s:gsub("^(-?%d+)(%d%d%d)", "%1,%2") end
  return s
end

-- A number as short as it is still told apart: 0.4312, 12.3, 1e-05
function M.number(n)
  if type(n) ~= "number" then return "-" end
  if math.type(n) == "integer" and n > -1e9 and n < 1e9 then return tostring(n) end
  return ("%.4g"):format(n)
end

function M.duration(seconds)
  if type(seconds) ~= "number" or seconds ~= seconds or math.abs(seconds) > 1e12 then return "-" end
  local s = math.floor(math.max(seconds, 0) + 0.5)
  if s < 60 then return ("%ds"):format(s) end
  if s < 3600 then return ("%dm%02ds"):format(s // 60, s % 60) end
  if s < 86400 then return ("%dh%02dm"):format(s // 3600, s // 60 % 60) end
  return ("%dd%02dh"):format(s // 86400, s // 3600 % 24)
end

-- A Unix time, in this machine's zone
function M.time(at, form)
  if type(at) ~= "number" or at ~= at or at < 0 or at > 253402300799 then return "-" end
  return os.date(form or "%Y-%m-%d %H:%M", math.floor(at))
end

function M.percent(share)
  if type(share) ~= "number" or share ~= share then return "-" end
  return ("%.0f%%"):format(math.min(math.max(share, 0), 1) * 100)
end

-- "1 job", "2 jobs"
function M.plural(n, noun) return ("%s %s%s"):format(M.count(n), noun, n == 1 and "" or "s") end

return M
