-- store.lua: a folder of objects on this machine: files/, jobs/ and models/, one
-- directory an object, JSON inside that a person can read. Several processes may use it
-- at once, and any of them may be killed at any moment: a directory that is made in
-- another (KIND/.new-…) appears whole by a rename, one that goes is renamed first
-- (KIND/.old-…), and a JSON file is written beside its place and renamed into it.
--
-- A store's names sort by time, so that a page of a list needs no object but its own; one
-- that is made later comes later, also when the clock was set back in between. What makes a
-- name unique is its random end, and mkdir and rename, which fail where there is something.

local core = require "finetune.core"
require "finetune.http" -- which makes core.context.time

local M = {}
local fs = core.fs

local EEXIST, ENOTEMPTY, ENOENT = 17, 39, 2 -- Linux; ENOTEMPTY is 66 on BSD and macOS
local TAKEN = {[EEXIST] = true, [ENOTEMPTY] = true, [66] = true}
local STALE = 86400 -- seconds after which what is half made or half removed is somebody's who was killed
local CLAIM = 600 -- seconds after which a claim is nobody's any more
local BLOCK = 1024 * 1024 -- bytes copied at a time
local PAGE, PAGE_MOST = 20, 1000 -- items of a page
local JSON_MAX = 16 * 1024 * 1024 -- bytes of one of our files: more is not ours
local LAST_TIME = 253370764800 -- the year 9999: names that pretend to be of later are not believed

local Store = {}
Store.__index = Store

-- A failing disk is to the caller what a failing service is elsewhere
local function failed(words) return nil, core.error {kind = "server", message = words or "the store cannot be used"} end

M.failed = failed

-- ---- values: what is in a file may be anything ----

function M.text(value) return type(value) == "string" and value or nil end
function M.number(value) return type(value) == "number" and value or nil end
function M.object(value) return type(value) == "table" and value or {} end
function M.seconds(value) return M.number(value) and math.abs(value) < 1e15 and math.floor(value) or nil end

-- Long work is done in slices: ctx:sleep(0) lets the host's loop turn
function M.pauser(ctx) return function() ctx:sleep(0) end end

-- nil, err
function M.missing(what, id)
  return nil, core.error {kind = "not_found", message = ("there is no %s '%s'"):format(what, id)}
end

-- ---- names ----

-- A name that is one of ours, and no path
function M.valid(name)
  return type(name) == "string" and #name <= 128 and name:find("^%w[%w._-]*$") ~= nil
end

local STAMP = "(%d%d%d%d)(%d%d)(%d%d)%-(%d%d)(%d%d)(%d%d)%-(%d%d%d)%-%x+$"

-- The time in a name, in milliseconds; 0: there is none in it
local function time_in(name)
  local year, month, day, hour, minute, second, milli = name:match(STAMP)
  local time = year and core.context.time(("%s-%s-%sT%s:%s:%sZ"):format(year, month, day, hour, minute, second))
  return time and time < LAST_TIME and time * 1000 + math.tointeger(milli) or 0
end

-- "20261122-203342-123-a1b2c3": the time (UTC, milliseconds) and a random end. It comes after the name `last`.
function M.stamp(last)
  local now = math.max(math.floor(core.wall() * 1000), last and time_in(last) + 1 or 0)
  return ("%s-%03d-%s"):format(os.date("!%Y%m%d-%H%M%S", now // 1000), now % 1000, core.random_token():sub(1, 6))
end

-- ---- files ----

-- -> the object | nil, words; nil alone where there is no such file
function M.read_json(path)
  local file <close>, words, code = fs.open(path)
  if not file then
    if code == ENOENT then return nil end
    return nil, words
  end
  local text
  text, words = file:read(JSON_MAX)
  if not text then return nil, ("%s: %s"):format(path, words or "is empty") end
  local doc, why = core.decode(text)
  if type(doc) == "table" then return doc end
  return nil, ("%s: %s"):format(path, doc == nil and why or "is no object")
end

-- -> true | nil, err
function M.write_json(path, doc)
  local ok, text = pcall(core.encode, doc)
  if not ok then return nil, core.error {kind = "invalid", message = tostring(text)} end
  if #text >= JSON_MAX then
    return nil, core.error {kind = "invalid", message = ("%d bytes of JSON are too much for a store: the most are %d")
      :format(#text, JSON_MAX)}
  end
  local written, words = fs.write(path, text .. "\n")
  if written then return true end
  return failed(words)
end

-- The folder and those that it is in; private: it is for nobody but this user -> true | nil, err
local function make_folders(path, private)
  local ok, words, code = fs.mkdir(path, private)
  if ok or code == EEXIST then return true end
  local parent = path:match "^(.+)/[^/]+/*$"
  if code ~= ENOENT or not parent then return failed(words) end
  local made, err = make_folders(parent)
  if not made then return nil, err end
  ok, words, code = fs.mkdir(path, private)
  if ok or code == EEXIST then return true end
  return failed(words)
end

local function copy_blocks(from, to, pause)
  while true do
    local block, words = from:read(BLOCK)
    if not block then return words == nil, words end
    local ok, why = to:write(block)
    if not ok then return false, why end
    if pause then pause() end
  end
end

-- A file's bytes, in slices: pause() is called between them -> true | nil, err
function M.copy(from, to, pause)
  local source <close>, words = fs.open(from)
  if not source then return failed(words) end
  local target, why = io.open(to, "wb")
  if not target then return failed(why) end
  local _ <close> = target
  local ok, reason = copy_blocks(source, target, pause)
  local closed, late = target:close()
  if ok and closed then return true end
  os.remove(to)
  return failed(("%s: %s"):format(to, reason or late or "cannot be written"))
end

-- The same file under another name, which costs nothing; a copy where the file system cannot
function M.link(from, to, pause)
  if fs.link(from, to) then return true end
  return M.copy(from, to, pause)
end

local function bad_link(path, words)
  return nil, core.error {kind = "job", message = ("%s is a link that %s"):format(path, words)}
end

-- What a symbolic link leads to is copied, for the link would lead nowhere from there -> true | nil, err
local function take_link(source, target, pause, linked)
  if core.file_info(source) then return M.copy(source, target, pause) end
  if not core.list_dir(source) then return bad_link(source, "leads to no file") end
  if linked then return bad_link(source, "is in a linked folder, and might lead back to it") end
  local ok, words = fs.mkdir(target)
  if not ok then return failed(words) end
  return M.link_tree(source, target, pause, nil, true)
end

local function take_entry(source, target, pause, linked)
  local found = fs.stat(source)
  if not found then return failed(source .. " has gone") end
  if found.type == "link" then return take_link(source, target, pause, linked) end
  if found.type == "directory" then
    local ok, words = fs.mkdir(target)
    if not ok then return failed(words) end
    return M.link_tree(source, target, pause, nil, linked)
  end
  if found.type == "other" then return true end -- a socket or a pipe is no part of a result
  return M.link(source, target, pause)
end

-- What is in one folder, into another: made, and linked. skip(name) leaves out what is on top; linked: the folder is
-- reached by a symbolic link. -> true | nil, err (kind "job": it can never be taken)
function M.link_tree(from, to, pause, skip, linked)
  local names, words = core.list_dir(from)
  if not names then return failed(words) end
  for _, name in ipairs(names) do
    if not skip or not skip(name) then
      local ok, err = take_entry(from .. "/" .. name, to .. "/" .. name, pause, linked)
      if not ok then return nil, err end
    end
  end
  return true
end

-- A file or a folder with all that is in it -> true | nil, words
function M.remove_tree(path, keep)
  local found = fs.stat(path)
  if not found then return true end
  if found.type == "directory" then
    for _, name in ipairs(core.list_dir(path) or {}) do
      if not keep or not keep(name) then M.remove_tree(path .. "/" .. name) end
    end
    if keep then return true end
  end
  return fs.remove(path)
end

-- ---- objects ----

function Store:path(kind, name) return ("%s/%s/%s"):format(self.home, kind, name) end

-- Has nothing been made in that folder for a day? Whoever was at it was killed.
function M.is_stale(path)
  local found = fs.stat(path)
  return found ~= nil and core.wall() - found.mtime > STALE
end

-- What processes that were killed have left. Looked for once an instance and kind.
local function sweep(self, kind)
  if self.swept[kind] then return end
  self.swept[kind] = true
  local folder = self.home .. "/" .. kind
  for _, name in ipairs(core.list_dir(folder) or {}) do
    if name:sub(1, 1) == "." and M.is_stale(folder .. "/" .. name) then M.remove_tree(folder .. "/" .. name) end
  end
end

-- The folder of that kind of objects -> true | nil, err
local function prepare(self, kind)
  local ok, err = make_folders(self.home, true)
  if ok then ok, err = make_folders(self.home .. "/" .. kind) end
  if ok then sweep(self, kind) end
  return ok, err
end

-- A name that comes after all others of its kind. The last ones of the folder may be somebody's own.
function Store:new_name(kind, prefix)
  local last, latest = nil, 0
  for _, name in ipairs((self:names(kind, nil, PAGE))) do
    local time = time_in(name)
    if time > latest then last, latest = name, time end
  end
  return prefix .. M.stamp(last)
end

-- A new, empty directory under its final name: for an object that has its own mark of being whole
-- -> name, directory | nil, err
function Store:reserve(kind, prefix)
  local ok, err = prepare(self, kind)
  if not ok then return nil, err end
  for _ = 1, 100 do
    local name = self:new_name(kind, prefix)
    local made, words, code = fs.mkdir(self:path(kind, name))
    if made then return name, self:path(kind, name) end
    if not TAKEN[code] then return failed(words) end
  end
  return failed(("%s: no name is free"):format(kind))
end

local Stage = {__close = function(stage)
  if not stage.published then M.remove_tree(stage.dir) end
end}

-- A new, empty directory that nobody sees: {dir}; publish it, or it goes with its <close> | nil, err
function Store:stage(kind)
  local ok, err = prepare(self, kind)
  if not ok then return nil, err end
  local dir = self:path(kind, ".new-" .. core.random_token())
  local made, words = fs.mkdir(dir)
  if not made then return failed(words) end
  return setmetatable({dir = dir, kind = kind}, Stage)
end

local Claim = {__close = function(claim) fs.remove(claim.path) end}

-- Something that only one may do at a time: the claim, which goes with its <close>; nil: somebody else is at it | nil,
-- err. One that is so old that its holder must have been killed is taken over.
function Store:claim(kind, name)
  local ok, err = prepare(self, kind)
  if not ok then return nil, err end
  local path = self:path(kind, "." .. name)
  local made, words, code = fs.mkdir(path)
  if made then return setmetatable({path = path}, Claim) end
  if not TAKEN[code] then return failed(words) end
  local found = fs.stat(path)
  if found and math.abs(core.wall() - found.mtime) > CLAIM then -- less than nothing: the clock was set back
    local gone = self:path(kind, ".old-" .. core.random_token())
    if fs.rename(path, gone) then fs.remove(gone) end -- of several who come, one succeeds
  end
end

-- It appears under that name -> true | nil, err (kind "conflict": there is one)
function Store:publish(stage, name)
  local ok, words, code = fs.rename(stage.dir, self:path(stage.kind, name))
  stage.published = ok
  if ok then return true end
  if TAKEN[code] then
    return nil, core.error {kind = "conflict", message = ("%s: there is one already"):format(name)}
  end
  return failed(words)
end

-- -> true | nil, err. It disappears at once; a removal that is interrupted is finished by a later process.
function Store:remove(kind, name)
  local gone = self:path(kind, ".old-" .. core.random_token())
  local ok, words, code = fs.rename(self:path(kind, name), gone)
  if not ok and code == ENOENT then
    return nil, core.error {kind = "not_found", message = ("there is no %s '%s'"):format(kind:gsub("s$", ""), name)}
  elseif not ok then
    return failed(words)
  end
  M.remove_tree(gone)
  return true
end

-- ---- lists ----

-- All names of a kind, sorted
function Store:all(kind)
  local list = {}
  for _, name in ipairs(core.list_dir(self.home .. "/" .. kind) or {}) do
    if M.valid(name) then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- The names of a kind, the newest first (ascending: the other way), behind `after`, at most n (1000)
-- -> array, whether there are more
function Store:names(kind, after, n, ascending)
  local names, more = fs.names(self.home .. "/" .. kind, n, after, ascending)
  return names or {}, names ~= nil and more
end

-- A page of a kind: load(name) gives the item, nil (not to be shown) or nil, err; fits(item) chooses
function Store:page(ctx, p, kind, load, fits)
  local data, after, more = core.array {}, p.after, true
  local limit = math.min(math.max(p.limit or PAGE, 1), PAGE_MOST)
  while more and #data < limit do
    local names
    names, more = self:names(kind, after, fits and PAGE_MOST or limit - #data, p.order == "asc")
    for i, name in ipairs(names) do
      local item = M.valid(name) and load(name)
      if item and (not fits or fits(item)) then data[#data + 1] = item end
      after = name
      if #data == limit then
        more = more or i < #names
        break
      end
    end
    if more and #data < limit then ctx:sleep(0) end
  end
  return {data = data, has_more = more, next = more and after or nil}
end

-- home: an absolute path; made when something is first put there
function M.new(home) return setmetatable({home = home, swept = {}}, Store) end

-- The store that setting and environment name -> path | nil, words
function M.home(setting)
  local data, user = os.getenv "XDG_DATA_HOME", os.getenv "HOME"
  local path = setting
  if not path and data and data:sub(1, 1) == "/" then path = data .. "/finetune" end
  if not path and user and user:sub(1, 1) == "/" then path = user .. "/.local/share/finetune" end
  if not path then return nil, "there is no HOME: set FINE_TUNE_HOME to a folder for files, jobs and models" end
  if path:sub(1, 1) ~= "/" then return nil, "home (FINE_TUNE_HOME) must be an absolute path" end
  if path:find("\0", 1, true) or not utf8.len(path) then return nil, "home (FINE_TUNE_HOME) must be UTF-8" end
  path = path:gsub("/+$", "")
  if path == "" then return nil, "home (FINE_TUNE_HOME) must be a folder of its own, not /" end
  return path
end

return M
