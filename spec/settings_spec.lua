-- A provider's own settings in facts.config: named, typed, or with a default.

local finetune = require "finetune"

describe("a provider's settings", function()
  local seen

  local function create(settings, facts)
    local P = {name = "settings_spec", base_url = "https://api.example/v1", env = {mirror = "FINE_TUNE_SPEC_MIRROR"},
      config = {"account:string", part_size = 250, ratio = 0.5, route = {"form", "raw"}, strict = false,
        mirror = "here"}}
    for key, value in pairs(facts or {}) do P[key] = value end
    for _, op in ipairs {"upload_file", "create_job", "cancel_job", "list_models", "delete_model"} do
      P[op] = finetune.unsupported "not here"
    end
    function P.get_job(ctx)
      seen = ctx.config
      return {id = "j"}
    end
    function P.open(config) assert(config.part_size) end -- the defaults are there
    finetune.register(P, {replace = true})
    local provider <close> = assert(finetune.create_provider("settings_spec", settings))
    assert(provider:get_job "j")
    return {seen.account, seen.part_size, seen.ratio, seen.route, seen.strict, seen.mirror, n = 6}
  end

  after_each(function() finetune.unregister "settings_spec" end)

  it("have their defaults where nothing is given", function()
    assert.same({nil, 250, 0.5, "form", false, "here", n = 6}, create {})
    assert.same({"a", 9, 2, "raw", true, "there", n = 6}, create {account = "a", part_size = 9.0, ratio = 2,
      route = "raw", strict = true, mirror = "there"})
    assert.equal("integer", math.type(seen.part_size))
  end)

  it("are of their default's type, and more than 0 where it is", function()
    for setting, words in pairs {[{part_size = "9"}] = "'part_size' must be a whole number",
      [{part_size = 1.5}] = "'part_size' must be a whole number",
      [{part_size = 0}] = "'part_size' must be more than 0", [{ratio = -1}] = "'ratio' must be more than 0",
      [{route = 7}] = "'route' must be a string",
      [{route = "pigeon"}] = "'route' must be one of: form, raw", [{strict = 1}] = "true or false",
      [{rout = "x"}] = "did you mean 'route'"} do
      local ok, err = pcall(create, setting)
      assert.is_false(ok)
      assert.matches(words, err, 1, true)
    end
  end)

  it("are a base's, too", function()
    create {}
    finetune.register(finetune.variant("settings_spec", {name = "settings_spec_2"}), {replace = true})
    local provider <close> = assert(finetune.create_provider("settings_spec_2", {route = "raw"}))
    assert(provider:get_job "j")
    assert.same({250, "raw"}, {seen.part_size, seen.route})
    finetune.unregister "settings_spec_2"
  end)
end)
