-- heard.lua: what an instance has heard of its jobs, and pages of whole lists.

local heard = require "finetune.heard"

local function ids(page)
  local list = {}
  for i, item in ipairs(page.data) do list[i] = item.id end
  return table.concat(list, " ")
end

describe("heard", function()
  it("keeps a memory for each job of each instance, as long as the instance", function()
    local a, b = {provider = {}}, {provider = {}}
    heard.add(heard.of(a, "1"), "x", {})
    assert.equal(1, #heard.of(a, "1").events)
    assert.same({0, 0}, {#heard.of(a, "2").events, #heard.of(b, "1").events})
    local kept = setmetatable({heard.of(a, "1")}, {__mode = "v"})
    a = nil -- luacheck: ignore 311
    collectgarbage()
    assert.is_nil(kept[1])
  end)

  it("gives each event an id of its own, and the time of the hearing where it has none", function()
    local memory = heard.of({provider = {}}, "1")
    heard.add(memory, "step-1", {})
    heard.add(memory, "step-1", {created_at = 5})
    heard.add(memory, "trouble", {}, true)
    heard.add(memory, "trouble", {}, true)
    assert.equal("step-1 step-1.2 trouble", ids {data = memory.events})
    assert.equal(5, memory.events[2].created_at)
    local at = memory.events[1].created_at
    assert.is_true(math.type(at) == "integer" and at >= os.time() - 60)
  end)

  it("knows how far the job is", function()
    local memory = heard.of({provider = {}}, "1")
    heard.add(memory, "a", {data = {step = 3}})
    assert.is_nil(memory.progress)
    heard.add(memory, "b", {data = {step = 1, total_steps = 4}})
    assert.same({3, 4, 0.75}, {memory.step, memory.total_steps, memory.progress})
    heard.add(memory, "c", {data = {step = "9", total_steps = 2.5}})
    assert.equal(0.75, memory.progress)
    heard.add(memory, "d", {data = {step = 9}})
    assert.equal(1, memory.progress)
  end)

  it("listens for a while, and counts the streams that end by themselves", function()
    local asked
    local ctx = {provider = {}, events = function(_, path, options)
      asked = {path, options.read_for, options.timeout}
      return {{json = {n = 1}}, {json = 5}, {data = "x"}}, {partial = path == "/on"}
    end}
    local memory = heard.of(ctx, "1")
    assert.same({0, 0}, {memory.listened, memory.ends})
    assert.same({{n = 1}}, (heard.listen(ctx, memory, "/on", 4)))
    assert.same({"/on", 4, 4}, asked)
    assert.is_true(memory.listened > 0)
    assert.equal(0, memory.ends)
    heard.listen(ctx, memory, "/over", 4)
    assert.equal(1, memory.ends)
    function ctx.events() return nil, "why" end
    assert.same({n = 2, nil, "why"}, table.pack(heard.listen(ctx, memory, "/x", 4)))
    assert.equal(1, memory.ends)
  end)

  it("forgets the oldest events of many", function()
    local memory = heard.of({provider = {}}, "1")
    for i = 1, 20001 do heard.add(memory, "e" .. i, {}) end
    assert.same({10001, "e10001", "e20001"}, {#memory.events, memory.events[1].id, memory.events[10001].id})
  end)

  local LIST = {{id = "a"}, {id = "b"}, {id = "c"}, {id = "d"}, {id = "e"}}

  it("gives pages of a list", function()
    local seen, after = {}, nil
    repeat
      local page = assert(heard.page(LIST, {limit = 2, after = after}, "raw"))
      seen[#seen + 1], after = ids(page), page.next
      assert.same({after ~= nil, "raw"}, {page.has_more, page.raw})
    until not after
    assert.same({"a b", "c d", "e"}, seen)
  end)

  it("gives them from the end of the list, too", function()
    local page = assert(heard.page(LIST, {limit = 3}, nil, true))
    assert.same({"e d c", "c"}, {ids(page), page.next})
    assert.equal("b a", ids(assert(heard.page(LIST, {after = "c"}, nil, true))))
  end)

  it("gives all of it where nobody asks for less", function()
    local page = assert(heard.page(LIST, {}))
    assert.same({"a b c d e", false, nil}, {ids(page), page.has_more, page.next})
    assert.same({0, false}, {#assert(heard.page({}, {})).data, false})
    assert.equal("", ids(assert(heard.page(LIST, {after = "e"}))))
    assert.equal("a", ids(assert(heard.page(LIST, {limit = 0}))))
  end)

  it("refuses to begin after what is not there", function()
    local page, err = heard.page(LIST, {after = "z"})
    assert.is_nil(page)
    assert.same({"invalid", "after", "after: there is no item 'z'"}, {err.kind, err.param, err.message})
  end)
end)
