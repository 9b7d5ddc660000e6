-- archive.lua: the folder that `inventory DIR` fills: what is in it is in manifest.jsonl, a
-- line of JSON each ({kind, id, path, bytes, sha256}), written as soon as it is there, so
-- that an export that was interrupted goes on where it stopped.

local core = require "finetune.core"
local errors = require "finetune.cli.errors"
local hash = require "finetune.cli.hash"
local text = require "finetune.cli.text"

local M = {}

local MANIFEST = "manifest.jsonl"
local EEXIST = 17

local Archive = {}
Archive.__index = Archive

local function check(ok, words)
  if not ok then errors.fail("output", "%s", text.clean(words)) end
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
  local path = folder .. "/" .. MANIFEST
  local entries = read(path)
  local journal, words = io.open(path, "ab")
  check(journal, words)
  return setmetatable({folder = folder, manifest = path, entries = entries, journal = journal, kept = 0, added = {}},
    Archive)
end

Archive.__close = function(self) self.journal:close() end

-- Is it there, whole? `mark`: what it must have been made of
function Archive:has(kind, id, mark)
  local entry = self.entries[kind .. " " .. id]
  local found = entry and entry.mark == mark and core.file_info(self.folder .. "/" .. entry.path)
  if not found or found.size ~= entry.bytes then return false end
  self.kept = self.kept + 1
  return true
end

-- The path for it: kind/NAME.ext; the folder is made
function Archive:path(kind, id, extension)
  make_folder(self.folder .. "/" .. kind)
  return ("%s/%s%s"):format(kind, M.name(id), extension)
end

-- Notes down what stands at that path
function Archive:add(kind, id, path, mark)
  local whole = self.folder .. "/" .. path
  local info, words = core.file_info(whole)
  check(info, words)
  local entry = {kind = kind, id = id, path = path, bytes = info.size, sha256 = hash.sha256(whole), mark = mark}
  self.entries[kind .. " " .. id] = entry
  self.added[#self.added + 1] = entry
  check(self.journal:write(core.encode(entry), "\n"))
  check(self.journal:flush())
end

-- Writes a document there, and notes it down
function Archive:put(kind, id, doc, mark)
  local path = self:path(kind, id, ".json")
  check(core.fs.write(self.folder .. "/" .. path, core.encode(doc) .. "\n"))
  self:add(kind, id, path, mark)
end

-- The manifest anew: each thing once, in order
function Archive:finish()
  local list, lines = {}, {}
  for key in pairs(self.entries) do list[#list + 1] = key end
  table.sort(list)
  for i, key in ipairs(list) do lines[i] = core.encode(self.entries[key]) .. "\n" end
  check(core.fs.write(self.manifest, table.concat(lines)))
end

return M
