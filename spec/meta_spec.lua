-- meta.lua and its companions name everything that is public: an export, operation, parameter or method
-- without an entry fails here.

local core = require "finetune.core"
local finetune = require "finetune"

local function read(name)
  local file <close> = assert(io.open("lua/finetune/" .. name, "rb"))
  return file:read "a"
end

local module, kit, values, data = read "meta.lua", read "meta_kit.lua", read "meta_values.lua", read "meta_data.lua"
local meta = module .. kit .. data
values = values .. data

-- Is there `function owner:name(` or `function owner.name(`, or a field of the class?
local function has(class, owner, name)
  if meta:find(("\nfunction %s[.:]%s%%("):format(owner, name)) then return true end
  local body = meta:match(("\n%%-%%-%%-@class %s[^\n]*\n(.-)\nlocal %s"):format(class:gsub("%.", "%%."), owner))
  return body ~= nil and ("\n" .. body):find(("\n%%-%%-%%-@field %s%%??%%s"):format(name)) ~= nil
end

local function all(class, owner, names)
  local missing = {}
  for name in pairs(names) do
    if not name:find "^__" and not has(class, owner, name) then missing[#missing + 1] = name end
  end
  table.sort(missing)
  assert.same({}, missing)
end

local function set(list)
  local names = {}
  for _, name in ipairs(list) do names[name] = true end
  return names
end

describe("meta.lua", function()
  it("has every name of the module", function()
    all("finetune", "finetune", finetune)
    assert.is_true(has("finetune", "finetune", "testing"))
  end)

  it("has every method of an instance", function()
    all("finetune.provider", "provider", core.methods)
    for _, op in ipairs(core.ops) do assert.is_true(has("finetune.provider", "provider", op.name), op.name) end
  end)

  it("has every method of a call", function() all("finetune.call", "call", core.call_methods) end)

  it("has every method of ctx", function()
    all("finetune.ctx", "ctx", core.context)
    all("finetune.ctx", "ctx", set {"config", "provider", "op"})
  end)

  it("has the kit's modules", function()
    all("finetune.testing", "testing", finetune.testing)
    all("finetune.sse", "sse", finetune.http.sse)
    all("finetune.loop", "loop", set {"start", "stop"})
  end)

  -- class -> {parent, fields}
  local classes, class = {}, nil
  for line in values:gmatch "[^\n]+" do
    local name, parent = line:match "^%-%-%-@class ([%w_.]+):? ?([%w_.]*)"
    if name then
      class = name
      classes[class] = {parent = parent, fields = {}}
    end
    local field = line:match "^%-%-%-@field ([%w_]+)"
    if field then classes[class].fields[field] = true end
  end

  local function documented(name, field)
    local entry = classes[name]
    return entry ~= nil and (entry.fields[field] or documented(entry.parent, field))
  end

  it("has every parameter of every operation", function()
    local missing = {}
    for _, op in ipairs(core.ops) do
      for name in (op.params .. " timeout: extra:"):gmatch "([%w_]+):" do
        if not documented("finetune.params." .. op.name, name) then missing[#missing + 1] = op.name .. "." .. name end
      end
    end
    assert.same({}, missing)
  end)

  it("names no operation that there is not", function()
    local ops = {}
    for _, op in ipairs(core.ops) do ops[op.name] = true end
    for name in values:gmatch "@class finetune%.params%.([%w_]+)" do
      assert.is_true(ops[name] or name == "list" or name == "wait" or name == "follow", name)
    end
    for name in meta:gmatch "\nfunction provider:([%w_]+)" do
      assert.is_function(core.methods[name], name)
    end
    for name in meta:gmatch "\nfunction ctx[.:]([%w_]+)" do
      assert.is_function(core.context[name], name)
    end
  end)

  it("is Lua, and its lines of code are only declarations", function()
    assert.is_function(load(module))
    assert.is_function(load(kit))
    assert.is_function(load(values))
  end)

  it("gives the version of the core", function()
    assert.equal("0.1.0", finetune._VERSION)
    assert.equal(finetune._VERSION, core.version)
  end)
end)
