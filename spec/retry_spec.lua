-- retry.c as a table: what is tried again, and after how long. A C program
-- (spec/c/retry_table.c) reads the cases and prints what the function says.

local shell = require "spec.support.shell"

local NET = {ok = 0, connect = 1, timeout = 2, broken = 3, fatal = 4}
local NEVER = -1

local CASES = {} -- {what, fields, delay, retryable}

local function case(what, fields, delay, retryable)
  CASES[#CASES + 1] = {what = what, fields = fields, delay = delay, retryable = retryable}
end

-- ---- which answers ----

for _, status in ipairs {408, 409, 429, 500, 501, 502, 503, 504, 520, 529, 599} do
  case("tries " .. status .. " again", {status = status}, 0.5, true)
end
for _, status in ipairs {200, 204, 300, 304, 400, 401, 402, 403, 404, 405, 410, 411, 413, 415, 418, 422, 423, 451} do
  case("does not try " .. status .. " again", {status = status}, NEVER, false)
end

-- ---- what happens below HTTP ----

for _, net in ipairs {"connect", "timeout", "broken"} do
  case("tries again: " .. net, {net = net, status = 0}, 0.5, true)
end
case("gives up at once: fatal", {net = "fatal", status = 0}, NEVER, false)

-- ---- once: the create_job rule ----

case("may connect again for what is sent once", {net = "connect", status = 0, once = 1}, 0.5, true)
for _, net in ipairs {"timeout", "broken", "fatal"} do
  case("never repeats what is sent once: " .. net, {net = net, status = 0, once = 1}, NEVER)
end
for _, status in ipairs {408, 409, 429, 500, 503} do
  case("never repeats what is sent once: " .. status, {status = status, once = 1}, NEVER)
end
case("not even when it is told to", {status = 503, once = 1, should_retry = 1}, NEVER)
case("not even when it is told when", {status = 429, once = 1, retry_after = 1}, NEVER)

-- ---- the service's own word ----

case("tries again what the service says, whatever the status", {status = 400, should_retry = 1}, 0.5, false)
case("does not where the service says no", {status = 503, should_retry = 0}, NEVER, true)
case("has nobody to ask below HTTP", {net = "broken", status = 0, should_retry = 0}, 0.5, true)

-- ---- how often ----

case("counts: the second of three", {status = 500, attempt = 2}, 1, true)
case("counts: after the third no more", {status = 500, attempt = 3}, NEVER, true)
case("counts: none are allowed", {status = 500, max = 0}, NEVER, true)
case("counts: one is allowed", {status = 500, max = 1}, 0.5)
case("counts: the service's word does not allow more", {status = 500, attempt = 3, should_retry = 1}, NEVER)

-- ---- how long: its own delays ----

for attempt, delay in ipairs {0.5, 1, 2, 4, 8, 8, 8, 8} do
  case(("waits %g s before attempt %d"):format(delay, attempt + 1), {status = 503, attempt = attempt, max = 99}, delay)
end
case("does not overflow", {status = 503, attempt = 2000000, max = 2000001}, 8)
case("begins where it is told", {status = 503, base = 0.001, attempt = 3, max = 9}, 0.004)
case("never waits longer than 8 s, however it begins", {status = 503, base = 100, max = 9}, 8)
case("can begin at nothing", {status = 503, base = 0, attempt = 5, max = 9}, 0)
case("takes up to a quarter off", {status = 503, random = 0.9999}, 0.5 * (1 - 0.25 * 0.9999))
case("takes a quarter of the longest off too", {status = 503, attempt = 50, max = 99, random = 0.5}, 7)

-- ---- how long: the service's ----

case("waits as long as it is asked to", {status = 429, retry_after = 20}, 20)
case("waits a part of a second", {status = 429, retry_after = 0.05}, 0.05)
case("adds no jitter to it", {status = 429, retry_after = 20, random = 0.9}, 20)
case("waits longer than its own longest, where asked", {status = 503, retry_after = 119.5}, 119.5)
case("waits exactly two minutes", {status = 503, retry_after = 120}, 120)
case("does not wait longer", {status = 503, retry_after = 120.001}, NEVER, true)
case("does not wait a day", {status = 429, retry_after = 86400}, NEVER, true)
case("takes 0 for no answer", {status = 429, retry_after = 0}, 0.5)
case("takes a time without a date for none", {status = 429, retry_after = -1}, 0.5)
case("takes it only from an answer", {net = "broken", status = 0, retry_after = 20}, 0.5)
case("is not made to try again by it", {status = 400, retry_after = 1}, NEVER, false)

-- ---- running them ----

local function line(f)
  return ("%d %d %d %d %d %d %.9g %.9g %.9g"):format(NET[f.net or "ok"], f.status, f.attempt or 1, f.max or 2,
    f.once or 0, f.should_retry or -1, f.retry_after or -1, f.base or 0.5, f.random or 0)
end

local function run_all()
  local folder = shell.folder()
  local program, input = folder .. "/retry_table", folder .. "/cases"
  shell.must(("${CC:-cc} -std=c99 -Wall -Wextra -Werror -iquote csrc -o %s spec/c/retry_table.c csrc/retry.c")
    :format(program))
  local file = assert(io.open(input, "w"))
  for _, c in ipairs(CASES) do file:write(line(c.fields), "\n") end
  file:close()
  local results = shell.lines(("%s <%s"):format(program, input))
  shell.remove(folder)
  return results
end

describe("the retry policy", function()
  local results

  setup(function()
    results = run_all()
    assert.equal(#CASES, #results)
  end)

  for i, c in ipairs(CASES) do
    it(c.what, function()
      local delay, retryable = results[i]:match "^(%S+) (%d)$"
      assert.near(c.delay, tonumber(delay), 1e-6)
      if c.retryable ~= nil then assert.equal(c.retryable and "1" or "0", retryable) end
    end)
  end
end)
