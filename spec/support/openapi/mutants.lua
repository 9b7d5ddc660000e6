-- Exchanges of a log, each with one mistake in it that the validator has to find: what
-- proves that a log without violations means something.
local json = require "dkjson"

local M = {}

local function copy(entry) return json.decode(json.encode(entry), 1, json.null) end

local function first(entries, fits)
  for _, entry in ipairs(entries) do
    if fits(entry) then return copy(entry) end
  end
  error "the log has no such exchange"
end

local function is_api(entry) return entry.site ~= "storage" and entry.fault == nil end

-- The creation of a job: what it must name is a file of training data
local function creation(entries, field)
  return first(entries, function(entry)
    return is_api(entry) and entry.method == "POST" and entry.status < 300
      and (entry.body or ""):find('"' .. field .. '"', 1, true)
  end)
end

local function change_body(entry, f)
  local doc = json.decode(entry.body, 1, json.null)
  f(doc)
  entry.body = json.encode(doc)
  return entry
end

local function change_answer(entry, name)
  local doc = json.decode(entry.answer, 1, json.null)
  assert(doc[name], "the answer has no " .. name)
  doc[name] = true
  entry.answer = json.encode(doc)
  return entry
end

local function add_to_answer(entry)
  local doc = json.decode(entry.answer, 1, json.null)
  doc.colour = "red"
  entry.answer = json.encode(doc)
  return entry
end

local function without(entry, pattern)
  local kept = {}
  for _, header in ipairs(entry.headers) do
    if not header[1]:lower():find(pattern) then kept[#kept + 1] = header end
  end
  entry.headers = kept
  return entry
end

local function with(entry, name, value)
  entry.headers[#entry.headers + 1] = {name, value}
  return entry
end

local function any(entries) return first(entries, function(e) return is_api(e) and e.status == 200 end) end

-- entries -> array of {name, entry}. file: create_job's field with the training data; time: the answer's field with
-- the time of its creation
function M.make(entries, file, time)
  local list = {
    {"a field that nobody knows", change_body(creation(entries, file), function(doc) doc.colour = "red" end)},
    {"a field of a wrong type", change_body(creation(entries, file), function(doc) doc[file] = 5 end)},
    {"a field that is missing", change_body(creation(entries, file), function(doc) doc[file] = nil end)},
    {"an answer of a wrong type", change_answer(creation(entries, file), time)},
    {"an answer with a field that nobody knows", add_to_answer(creation(entries, file))},
    {"no credentials", without(without(any(entries), "^authorization$"), "^api%-key$")},
    {"credentials twice", with(with(any(entries), "api-key", "k"), "authorization", "Bearer k")},
  }
  local function add(name, change)
    local entry = any(entries)
    change(entry)
    list[#list + 1] = {name, entry}
  end
  add("a query that nobody knows", function(entry) entry.query = (entry.query or "") .. "&colour=red" end)
  add("a path that nobody knows", function(entry) entry.path = entry.path .. "/of/nothing" end)
  add("a status that nobody knows", function(entry) entry.status = 299 end)
  add("an answer that is no JSON", function(entry) entry.answer = "<html>" end)
  return list
end

-- The same for what went to a storage host
function M.of_storage(entries)
  local function put() return first(entries, function(entry) return entry.site == "storage" end) end
  local secret = first(entries, is_api)
  for _, header in ipairs(secret.headers) do
    if header[1]:lower() == "authorization" then secret = header[2]:match "%S+$" end
  end
  local query = put()
  query.query = "token=" .. secret
  return {
    {"credentials for a storage host", with(put(), "Authorization", "Bearer other")},
    {"the key in an address of a storage host", query},
    {"the key in a header for a storage host", with(put(), "x-token", secret)},
  }
end

return M
