-- fields.lua: what --json says: the one place where its fields are named. They are
-- stable: a field keeps its name and its type; new ones may come. Times are Unix
-- seconds, sizes bytes, shares 0 to 1; a field that is not known is absent.

local M = {}

-- kind -> its fields in order, "name:type" ("name:type!": always there)
local KINDS = {
  job = "provider:string! id:string! status:string! raw_status:string model:string fine_tuned_model:string "
    .. "created_at:number finished_at:number estimated_finish:number trained_tokens:number progress:number "
    .. "training_file:string validation_file:string suffix:string seed:number hyperparameters:table method:table "
    .. "metadata:table result_files:array error:table",
  event = "id:string created_at:number level:string type:string message:string data:table",
  metric = "step:number! epoch:number train_loss:number valid_loss:number train_accuracy:number "
    .. "valid_accuracy:number full_valid_loss:number full_valid_accuracy:number learning_rate:number",
  checkpoint = "id:string! step:number created_at:number model:string job_id:string metrics:table",
  file = "provider:string! id:string! filename:string bytes:number purpose:string status:string created_at:number "
    .. "expires_at:number",
  model = "provider:string! id:string! owned_by:string created_at:number shutdown_date:string",
  deleted = "provider:string! id:string! deleted:boolean!",
  download = "provider:string! id:string! path:string! bytes:number!",
  sample = "provider:string! model:string! text:string! finish_reason:string usage:table",
  score = "model:string! examples:number! correct:number! accuracy:number! failed:number!",
  provider = "name:string! description:string default:boolean! ready:boolean! needs:array! missing:array! "
    .. "operations:array! get:string error:string",
  finding = "what:string! level:string! value:string advice:string",
  export = "kind:string! id:string! path:string! bytes:number! sha256:string",
  failure = "kind:string! id:string! op:string message:string!",
  report = "examples:number! invalid:number! duplicates:number! leaked:number! shortened:number! written:number! "
    .. "bytes:number! output:string validation:table tokens:number learned_tokens:number tokens_estimated:boolean "
    .. "error_count:number! warning_count:number! errors:array! warnings:array! rules:table! formats:table! "
    .. "roles:table! stats:table! source_format:string format:string",
  cost = "tokens:number learned:number estimated:boolean! epochs:number epochs_source:string billable_tokens:number "
    .. "total:number currency:string price:table seconds:number reason:string",
  plan = "provider:string! url:string model:string! training:string! validation:string suffix:string seed:number "
    .. "method:string hyperparameters:table extra:table examples:number validation_examples:number "
    .. "error_count:number warning_count:number cost:table",
}

local parsed = {}

local function parse(kind)
  local list = {}
  for name, of, mark in assert(KINDS[kind], kind):gmatch "([%w_]+):(%a+)(!?)" do
    list[#list + 1] = {name = name, type = of, required = mark == "!"}
  end
  return list
end

-- -> array of {name, type, required}
function M.of(kind)
  parsed[kind] = parsed[kind] or parse(kind)
  return parsed[kind]
end

function M.kinds()
  local list = {}
  for kind in pairs(KINDS) do list[#list + 1] = kind end
  table.sort(list)
  return list
end

local SIMPLE = {string = true, boolean = true}
local DEEPEST = 20

-- Only what JSON has: no functions, no infinite numbers, nothing that goes round in circles
local function plain(value, depth)
  if SIMPLE[type(value)] then return value end
  if type(value) == "number" then return value - value == 0 and value or nil end
  if type(value) ~= "table" or depth > DEEPEST then return nil end
  local copy = {}
  for key, item in pairs(value) do copy[key] = plain(item, depth + 1) end
  return copy
end

-- A value of the library -> the document of that kind: its fields alone, of their types. `more`: fields laid over
function M.document(kind, value, more)
  local doc = {}
  for _, field in ipairs(M.of(kind)) do
    local item = more and more[field.name]
    if item == nil then item = value[field.name] end
    if type(item) == (field.type == "array" and "table" or field.type) then
      item = plain(item, 1)
      if field.type == "array" then item = require("finetune.core").array(item) end
      doc[field.name] = item
    end
  end
  return doc
end

-- An array of them
function M.array(kind, list, more)
  local docs = require("finetune.core").array {}
  for i, value in ipairs(list) do docs[i] = M.document(kind, value, more) end
  return docs
end

-- For --help: "job: provider, id, status, …"
function M.words(kind)
  local names = {}
  for i, field in ipairs(M.of(kind)) do names[i] = field.name end
  return ("%s: %s"):format(kind, table.concat(names, ", "))
end

return M
