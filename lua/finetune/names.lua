-- names.lua: ids that the caller chooses, and names of things in the style of Google's APIs (AIP-122), such as
-- "accounts/acme/jobs/j1", of which users may give the last part alone.

local core = require "finetune.core"

local M = {}
local context = core.context -- the metatable of every ctx

local MOST = 40 -- characters of the words: with the ending 57, and services with such ids take 63 (a DNS label)

-- FNV-1a, 64 bits: different texts give different endings
local function digest(text)
  local h = 0xcbf29ce484222325
  for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001b3 end
  return ("%016x"):format(h)
end

-- Words as an id: lower-case letters, digits and "-", a letter first, with an ending made of `key`: the same key
-- gives the same id again, ctx.random_token() one that nothing else has.
--   ctx.slug("Mails 2026", key) -> "mails-2026-af63dc4c8601ec8c"
function context.slug(words, key)
  local id = words:lower():gsub("[^a-z0-9]+", "-"):gsub("^%-", "")
  if not id:find "^[a-z]" then id = "d-" .. id end
  return id:sub(1, MOST):gsub("%-$", "") .. "-" .. digest(key)
end

local FORM = {string = true, number = true, boolean = true}

-- {name = value} of a form -> array of {name, value} as texts, sorted by name. A table has no place in a form: it is
-- refused (raises an error value of kind "invalid"), not sent as "table: 0x...".
function M.form_fields(fields)
  local list = {}
  for name, value in pairs(fields) do
    if type(name) ~= "string" or not FORM[type(value)] then
      error(core.error {kind = "invalid", param = tostring(name),
        message = ("%s is sent in a form, and must be a text, a number or a boolean, not a %s"):format(tostring(name),
          type(value))}, 0)
    end
    list[#list + 1] = {name = name, value = tostring(value)}
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- names.kind("accounts/{account}", "jobs", "oldJobs") -> functions for things in these collections:
--   name(ctx, id, collection)  "accounts/acme/jobs/ID", {account} being the setting; in the first collection where none
--                              is said; without an id the name of the collection itself
--   has(name)                  is that the whole name of such a thing?
--   whole(id, params, ctx)     for `to` of routes and mappings: an id, whole or short, -> its whole name | nil, words
--   id(document)               for `id` of a reader: the document's `name`, if that is one of such a thing, or nil
function M.kind(parent, first, ...)
  local collections, kind = {[first] = true}, {}
  for _, collection in ipairs {...} do collections[collection] = true end
  local pattern = "^" .. parent:gsub("{%w+}", "[^/]+") .. "/([^/]+)/[^/]+$"

  function kind.name(ctx, id, collection)
    local name = parent:gsub("{(%w+)}", ctx.config) .. "/" .. (collection or first)
    return id and name .. "/" .. id or name
  end

  function kind.has(name) return collections[name:match(pattern) or false] or false end

  function kind.whole(id, _, ctx)
    if kind.has(id) then return id end
    if not id:find("/", 1, true) then return kind.name(ctx, id) end
    return nil, ("'%s' is no id in %s: it is %s/%s/ID or ID alone"):format(id, first,
      parent:gsub("{(%w+)}", string.upper), first)
  end

  function kind.id(doc) return type(doc.name) == "string" and kind.has(doc.name) and doc.name or nil end

  return kind
end

return M
