-- The loopback service: a stateful implementation of the part of the OpenAI API
-- that fine-tuning uses, for specs and examples. A process of its own:
--   lua5.4 spec/support/service/main.lua [--port N] [--control-port N] [--tls MODE]
--     [--ca-file PATH] [--log PATH] [--set JSON] [--dialect NAME]
-- It prints one JSON line, {port, control, storage, prefix, key, model} or {error}, and lives until its standard input
-- closes, so it never outlives whoever started it.
local here = arg[0]:match("^(.*)/[^/]+$") or "."
package.path = here .. "/../?.lua;" .. package.path

-- Before anything of ours is open: closes what the starting process had open and
-- did not mark, else its sockets would live on here after it has closed them.
-- luasocket can close any descriptor.
local luasocket = require "socket"
for fd = 3, 255 do
  local borrowed = luasocket.tcp()
  borrowed:setfd(fd)
  borrowed:close()
end

local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local certs = require "service.certs"
local conn = require "service.conn"
local control = require "service.control"
local dialect = require "service.dialect"
local exchange = require "service.exchange"
local json = require "service.json"
local record = require "service.record"
local store = require "service.store"

local OPTIONS = {port = true, ["control-port"] = true, tls = true, ["ca-file"] = true, log = true, set = true,
                 dialect = true}

local function parse(args)
  local options = {}
  for i = 1, #args, 2 do
    local name = args[i]:match("^%-%-(.+)$")
    if not OPTIONS[name or 0] or not args[i + 1] then error("service: bad option " .. args[i], 0) end
    options[name] = args[i + 1]
  end
  return options
end

-- Settings from the command line; they also are what a reset goes back to.
local function configure(options)
  dialect.use(options.dialect or "openai")
  local given = assert(json.decode(options.set or "{}"))
  control.models, given.models = given.models, nil
  for name, value in pairs(given) do
    if store.settings[name] == nil then error(("service: unknown setting '%s'"):format(name), 0) end
    store.settings[name] = value
  end
  control.defaults = {}
  for name, value in pairs(store.settings) do control.defaults[name] = value end
  dialect.current.reset(control.models)
  if options.log then record.open_log(options.log) end
end

local function secure(options)
  if not options.tls then return nil end
  local ctx, ca = certs.make(options.tls)
  if options["ca-file"] then
    local file = assert(io.open(options["ca-file"], "w"))
    file:write(ca)
    file:close()
  end
  return ctx
end

local loop = cqueues.new()

-- Accepts for ever; out of descriptors it waits for some to come back.
local function listen(port, serve)
  local server = assert(socket.listen {host = "127.0.0.1", port = tonumber(port or 0), reuseaddr = true})
  server:onerror(function(_, _, code) return code end)
  assert(server:listen())
  loop:wrap(function()
    while true do
      local peer = server:accept {nodelay = true}
      if peer then loop:wrap(serve, peer) else cqueues.sleep(0.05) end
    end
  end)
  return select(3, server:localname())
end

-- Serves a host of the dialect, over TLS where there is a context
local function server(site, ctx)
  return function(peer)
    peer:onerror(function(_, _, code) return code end)
    if not ctx or peer:starttls(ctx, 10) then return exchange.serve(conn.wrap(peer), site) end
    peer:close()
  end
end

-- A hang-up on standard input is the end, in the middle of whatever is going on.
local function die_with_parent(ca_file)
  loop:wrap(function()
    repeat cqueues.poll {pollfd = 0, events = "r"} until not io.stdin:read(1)
    if ca_file then os.remove(ca_file) end
    os.exit(0)
  end)
end

local function start()
  local options = parse(arg)
  configure(options)
  local ctx = secure(options)
  dialect.scheme, dialect.port = ctx and "https" or "http", listen(options.port, server("api", ctx))
  if dialect.sites.storage then dialect.storage_port = listen(nil, server("storage", ctx)) end
  local control_port = listen(options["control-port"], function(peer) control.serve(conn.wrap_control(peer)) end)
  die_with_parent(options["ca-file"])
  return {port = dialect.port, control = control_port, storage = dialect.storage_port,
          prefix = store.settings.prefix, key = store.settings.api_key, model = dialect.current.model}
end

local ok, line = pcall(start)
io.stdout:write(json.encode(ok and line or {error = tostring(line)}), "\n")
io.stdout:flush()
if not ok then os.exit(1) end
-- An error of one coroutine is told; one of the loop itself is the end.
repeat
  local _, words, _, thread = loop:loop()
  io.stderr:write("service: ", tostring(words), "\n")
until not thread
os.exit(1)
