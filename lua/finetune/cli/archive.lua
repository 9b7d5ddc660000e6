-- archive.lua: the folder that `inventory DIR` fills: what is in it is in manifest.jsonl, a
-- line of JSON each ({kind, id, path, bytes, sha256}), written as soon as it is there, so
-- that an export that was interrupted goes on where it stopped.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local hash = require "finetune.cli.hash"
local locks = require "finetune.cli.lock"
local text = require "finetune.cli.text"

local M = {}

local MANIFEST, PART = "manifest.jsonl", "part"
local EEXIST = 17

local Archive = {}
Archive.__index = Archive

local function check(ok, words)
  return ok or errors.fail("output", "%s", text.clean(words))
end

local function make_folder(path)
  local ok, words, code = core.fs.mkdir(path)
  check(ok or code == EEXIST, words)
end

-- An id as one name of a file: what a path could be made of is gone, and two ids stay two
function M.name(id)
  local plain = id:gsub("[^%w._-]", "_"):gsub("^%.", "_")
  if plain == id and #id <= 120 then return id end
  local h = 0xcbf29ce484222325
  for i = 1, #id do h = (h ~ id:byte(i)) * 0x100000001b3 end
  return ("%s-%016x"):format(plain:sub(1, 80), h)
end

-- A line that was cut off by a crash is no entry
local function read(path)
  local entries, file <close> = {}, io.open(path, "rb")
  for line in file and file:lines() or function() end do
    local doc = core.decode(line)
    local fit = type(doc) == "table"
    for _, name in ipairs {"kind", "id", "path"} do fit = fit and type(doc[name]) == "string" end
    if fit then entries[doc.kind .. " " .. doc.id] = doc end
  end
  return entries
end

function M.open(folder)
  make_folder(folder)
  local lock = locks.take(folder)
  local path = folder .. "/" .. MANIFEST
  local entries = read(path)
  local journal, words = io.open(path, "ab")
  if not journal then getmetatable(lock).__close(lock) end
  check(journal, words)
  return setmetatable({folder = folder, manifest = path, entries = entries, journal = journal, lock = lock, kept = 0,
    added = {}}, Archive)
end

Archive.__close = function(self)
  local _ <close> = self.lock
  self.journal:close()
end

local function note(self, entry)
  check(self.journal:write(core.encode(entry), "\n"))
  check(self.journal:flush())
end

-- Its hash, which takes a while; meanwhile others go on
local function seal(self, entry)
  entry.sha256 = hash.sha256(self.folder .. "/" .. entry.path)
  if entry.sha256 then note(self, entry) end
end

-- The path of what is there, whole, or nil
function Archive:find(kind, id)
  local entry = self.entries[kind .. " " .. id]
  local found = entry and core.file_info(self.folder .. "/" .. entry.path)
  return found and found.size == entry.bytes and entry.path or nil
end

-- Was it ever noted down?
function Archive:knows(kind, id) return self.entries[kind .. " " .. id] ~= nil end

-- Is it there, whole? `mark`: what it must have been made of
function Archive:has(kind, id, mark)
  local entry = self.entries[kind .. " " .. id]
  if not entry or entry.mark ~= mark or not self:find(kind, id) then return false end
  if not entry.sha256 then seal(self, entry) end
  self.kept = self.kept + 1
  return true
end

-- The path for it: kind/NAME.ext; the folder is made
function Archive:path(kind, id, extension)
  make_folder(self.folder .. "/" .. kind)
  return ("%s/%s%s"):format(kind, M.name(id), extension)
end

-- It is noted down at once, and again with its hash: whoever is stopped in between has it nevertheless
local function add(self, kind, id, path, mark)
  local info, words = core.file_info(self.folder .. "/" .. path)
  check(info, words)
  local entry = {kind = kind, id = id, path = path, bytes = info.size, mark = mark}
  self.entries[kind .. " " .. id] = entry
  self.added[#self.added + 1] = entry
  note(self, entry)
  return entry
end

-- Notes down what stands at that path
function Archive:add(kind, id, path, mark) seal(self, add(self, kind, id, path, mark)) end

-- Writes documents there, an array of {kind, id, doc, mark}, and notes them down, all of them before anything waits
function Archive:put_all(list)
  local entries = {}
  for i, part in ipairs(list) do
    local kind, id, doc, mark = table.unpack(part, 1, 4)
    local path = self:path(kind, id, ".json")
    check(core.fs.write(self.folder .. "/" .. path, core.encode(doc) .. "\n"))
    entries[i] = add(self, kind, id, path, mark)
  end
  for _, entry in ipairs(entries) do seal(self, entry) end
end

function Archive:put(kind, id, doc, mark) self:put_all {{kind, id, doc, mark}} end

-- ---- lists of which some pages are there: a line each, {items, next}, in part/KIND-NAME.jsonl ----

local function part_path(self, kind, id) return ("%s/%s/%s-%s.jsonl"):format(self.folder, PART, kind, M.name(id)) end

-- -> the items of its pages so far, the cursor of the next page, whether there is none. A line that was cut off by a
-- crash is no page
function Archive:pages(kind, id)
  local path, items, cursor, whole, lines, torn = part_path(self, kind, id), {}, nil, false, {}, false
  local file <close> = io.open(path, "rb")
  for line in file and file:lines "L" or function() end do
    local doc = not torn and line:sub(-1) == "\n" and core.decode(line)
    if type(doc) == "table" and type(doc.items) == "table" then
      lines[#lines + 1] = line
      table.move(doc.items, 1, #doc.items, #items + 1, items)
      cursor = doc.next
      whole = cursor == nil
    else
      torn = true
    end
  end
  if torn then check(core.fs.write(path, table.concat(lines))) end
  return items, cursor, whole
end

-- A page that has come; cursor: of the next one, nil: it was the last
function Archive:keep_page(kind, id, items, cursor)
  make_folder(self.folder .. "/" .. PART)
  local file <close> = check(io.open(part_path(self, kind, id), "ab"))
  check(file:write(core.encode {items = core.array(items), next = cursor}, "\n"))
  check(file:flush())
end

-- The list is noted down as a whole, or is to begin anew
function Archive:forget_pages(kind, id)
  local path = part_path(self, kind, id)
  if core.fs.stat(path) then check(core.fs.remove(path)) end
end

-- What was being written when a process was killed: nobody else writes here, the lock is ours. kept: path -> true
local function sweep(self, kind, pattern, kept)
  local names, more = {}, true
  while more do
    names, more = core.fs.names(self.folder .. "/" .. kind, 1000, names[#names], true)
    for _, name in ipairs(names or {}) do
      local path = kind .. "/" .. name
      if name:find(pattern) and not kept[path] then core.fs.remove(self.folder .. "/" .. path) end
    end
  end
end

-- The manifest anew: each thing once, in order
function Archive:finish()
  local kinds, kept = {}, {}
  for _, entry in pairs(self.entries) do kinds[entry.kind], kept[entry.path] = true, true end
  for kind in pairs(kinds) do sweep(self, kind, "%.%d+%-%d+%.tmp$", kept) end
  sweep(self, ".", "^manifest%.jsonl%.%d+%-%d+%.tmp$", kept)
  os.remove(self.folder .. "/" .. PART) -- unless there is something in it
  local list, lines = {}, {}
  for key in pairs(self.entries) do list[#list + 1] = key end
  table.sort(list)
  for i, key in ipairs(list) do lines[i] = core.encode(self.entries[key]) .. "\n" end
  check(core.fs.write(self.manifest, table.concat(lines)))
end

return M
