-- events: what a job has said.

local errors = require "finetune.cli.errors"
local fields = require "finetune.cli.fields"
local listing = require "finetune.cli.listing"
local show = require "finetune.cli.show"

local M = {}

local PAGE = 100

-- Services list the newest first, some the oldest; people read from the top
local function oldest_first(list)
  local first, last = list[1], list[#list]
  local function at(event) return event and tonumber(event.created_at) or 0 end
  if at(first) <= at(last) and at(first) ~= at(last) then return list end
  local turned = {}
  for i, event in ipairs(list) do turned[#list + 1 - i] = event end
  return turned
end

-- All of a job's events, oldest first
function M.all(provider, id)
  return oldest_first(listing.all(provider, "events", {job_id = id, limit = PAGE}))
end

function M.run(ui, args)
  local provider, id = ui:split(args.id)
  local ok, list = pcall(M.all, provider, id)
  if not ok then errors.check(nil, list, id) end
  if args.last and #list > args.last then list = table.move(list, #list - args.last + 1, #list, 1, {}) end
  ui:document {job = id, provider = provider.name, events = fields.array("event", list)}
  if #list == 0 then return ui:note "The job has said nothing yet." end
  for _, event in ipairs(list) do ui:line("%s", show.event_line(ui, event)) end
end

return M
