-- Who may include and call what in csrc. A file that is in no layer fails the check: give it one.
-- Run from the root of the repo; prints each breach, exits 1 where there is one.

local LAYERS = {
  {
    name = "bytes and clocks: no Lua but lua_Alloc, no libcurl",
    files = {"buf", "poll", "retry", "scan[%w_]*", "walk", "outfile", "sha256", "slots", "jobdir", "proc", "trainer",
      "run"},
    headers = {"buf.h", "fd.h", "poll.h", "retry.h", "scan.h", "scan_[%w_]*.h", "outfile.h", "sha256.h", "slots.h",
      "trainer.h", "jobdir.h",
      "proc.h", "trainer.h"},
    system = {["lua.h"] = true}, -- buf.h: the type lua_Alloc
    calls = {lua_Alloc = true},
  },
  {
    name = "training examples: no Lua but lua_Alloc, no libcurl",
    files = {"example", "reader[%w_]*", "check", "rules[%w_]*", "message[%w_]*", "convert[%w_]*", "canon", "seen",
      "briefs", "twice", "shuffle", "sink", "truncate", "stats", "tokens[%w_]*", "vocab[%w_]*", "unicode[%w_]*"},
    headers = {"example.h", "scan.h", "buf.h", "fd.h", "outfile.h", "sha256.h", "reader.h", "reader_[%w_]*.h",
      "check.h", "rules.h", "rules_[%w_]*.h", "message.h", "convert.h", "canon.h", "seen.h", "briefs.h", "twice.h",
      "shuffle.h", "sink.h", "truncate.h", "stats.h", "tokens.h", "vocab.h", "unicode.h"},
    system = {["lua.h"] = true},
    calls = {lua_Alloc = true},
  },
  {
    name = "providers: the public header and nothing of the core",
    files = {"openai[%w_]*", "luaprov"},
    headers = {"finetune.h", "openai.h"},
    system = {["lua.h"] = true, ["lauxlib.h"] = true},
    lua = true,
  },
  {
    name = "the dataset engine: the public header and bytes",
    files = {"prepare", "dataset[%w_]*"},
    headers = {"finetune.h", "prepare.h", "dataset.h", "rules.h", "check.h", "scan.h", "buf.h", "outfile.h",
      "example.h", "reader.h",
      "convert.h", "canon.h", "twice.h", "sink.h", "truncate.h", "shuffle.h", "stats.h", "tokens.h", "vocab.h",
      "dataset_tokens.h"},
    system = {["lua.h"] = true, ["lauxlib.h"] = true},
    lua = true,
  },
  {
    name = "values and dispatch: Lua, no libcurl",
    files = {"error", "json", "util", "call", "call_lua", "unsupported", "await", "registry", "register", "instance",
      "system"},
    headers = {"ft.h", "prepare.h", "buf.h", "scan.h", "proc.h", "jobdir.h"},
    system = {["lua.h"] = true, ["lauxlib.h"] = true},
    lua = true,
  },
  {
    name = "the transport and the module itself",
    files = {"request[%w_]*", "source", "http", "transfer", "header", "response", "failure", "redirect", "scripted",
      "engine", "step", "admit", "stream", "timer", "core"},
    headers = {"ft.h", "prepare.h", "request.h", "buf.h", "fd.h", "poll.h", "retry.h", "scan.h", "outfile.h",
      "dataset.h", "dataset_tokens.h"},
    system = {["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["curl/curl.h"] = true},
    lua = true,
    curl = true,
  },
}

local FOREIGN = {["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true} -- and everything of curl's

local breaches = 0
local function breach(...)
  breaches = breaches + 1
  io.stderr:write("layers: ", string.format(...), "\n")
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- The code alone: comments and strings may speak of anything.
local function strip(text)
  text = text:gsub("\\.", ""):gsub("/%*.-%*/", ""):gsub("//[^\n]*", "")
  return (text:gsub("#include[^\n]*", ""):gsub('"[^"\n]*"', '""'))
end

local function matches(name, patterns)
  for _, pattern in ipairs(patterns) do
    if name:find("^" .. pattern .. "$") then return true end
  end
end

local function layer_of(name)
  for _, layer in ipairs(LAYERS) do
    if matches(name, layer.files) then return layer end
  end
end

local function check_includes(path, text, layer)
  for header in text:gmatch '#include%s+"([^"]+)"' do
    if not matches(header, layer.headers) then breach('%s includes "%s" (%s)', path, header, layer.name) end
  end
  for header in text:gmatch "#include%s+<([^>]+)>" do
    local foreign = FOREIGN[header] or header:find "^curl/"
    if foreign and not layer.system[header] then breach("%s includes <%s> (%s)", path, header, layer.name) end
  end
end

local function check_calls(path, text, layer)
  local seen, code = {}, strip(text)
  local function used(pattern, what)
    for word in code:gmatch(pattern) do
      if not seen[word] and not (layer.calls or {})[word] then
        seen[word] = true
        breach("%s uses %s: no %s here (%s)", path, word, what, layer.name)
      end
    end
  end
  if not layer.lua then used("%f[%w_]luaL?_%w+", "Lua") end
  if not layer.curl then used("%f[%w_]curl_%w+", "libcurl") end
end

local list = assert(io.popen "ls csrc/*.[ch]")
for path in list:lines() do
  local name, kind = path:match "([^/]+)%.([ch])$"
  local text = read(path)
  if kind == "h" then
    if name == "finetune" and text:find '#include%s+"' then breach("%s includes a private header", path) end
  else
    local layer = layer_of(name)
    if layer then
      check_includes(path, text, layer)
      check_calls(path, text, layer)
    else
      breach("%s is in no layer: name it in .ci/layers.lua", path)
    end
  end
end
list:close()

if breaches > 0 then os.exit(1) end
print "layers: every file of csrc keeps to its layer"
