-- setup.lua: what the benches need beside us: three C programs, certificates, nginx
-- with one static job, a sink for uploads, the official Node client. All of it lies
-- in build/bench and dies with this process. What is absent is said, and its rows
-- are skipped.

local M = {}

local DIR = "build/bench"
local SYSTEM_CA = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"}
local NODE_CLIENT = "openai@7.57.0" -- the official one; raised by hand, so that ratios stay comparable

-- An answer of the size that services send: 680 bytes
local JOB = [[{"object":"fine_tuning.job","id":"ftjob-abc123","model":"gpt-4.1-mini-2025-04-14",]]
  .. [["created_at":1790000000,"finished_at":null,"fine_tuned_model":null,"organization_id":"org-123",]]
  .. [["result_files":[],"status":"running","validation_file":null,"training_file":"file-abc123",]]
  .. [["hyperparameters":{"n_epochs":3,"batch_size":"auto","learning_rate_multiplier":1.8},]]
  .. [["trained_tokens":null,"error":{},"user_provided_suffix":"support","seed":683058546,]]
  .. [["estimated_finish":1790003600,"integrations":[],"metadata":{"team":"a"},"method":{"type":"supervised",]]
  .. [["supervised":{"hyperparameters":{"n_epochs":3,"batch_size":"auto","learning_rate_multiplier":1.8}}},]]
  .. [["note":"%s"}]]

local NGINX = [[
%s
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log crit;
events { worker_connections 2048; }
http {
  access_log off;
  default_type application/json;
  client_max_body_size 0;
  keepalive_requests 100000000;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  ssl_certificate server.pem;
  ssl_certificate_key server.key;
  ssl_session_cache shared:s:1m;
  root www;
  @SERVERS@
}
]]

local SERVER = [[
  server {
    listen 127.0.0.1:%d %s;
    location / { try_files /job.json =404; }
    location /upload/ {
      proxy_pass http://127.0.0.1:%d/;
      proxy_http_version 1.1;
      proxy_request_buffering off;
    }
  }
]]

local function sh(line)
  local ok, _, status = os.execute(line)
  return ok == true, status
end
M.sh = sh

local function has(command) return sh("command -v " .. command .. " >/dev/null 2>&1") end

local function must(line)
  if not sh(line) then error("failed: " .. line, 0) end
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function first_line(path)
  local file = io.open(path)
  local line = file and file:read "L"
  if file then file:close() end
  return line and line:match "^(.*)\n$"
end

local skipped = {}
function M.skip(what) skipped[#skipped + 1] = what end
function M.skipped() return skipped end

-- ---- programs ----

local function programs()
  local cc = (os.getenv "CC" or "cc") .. " -std=c99 -D_GNU_SOURCE -O2 "
  local from = "spec/bench/"
  must(("%s %smeasure.c -o %s/measure"):format(cc, from, DIR))
  must(("%s $(pkg-config --cflags libcurl) %sminimal.c -o %s/minimal $(pkg-config --libs libcurl)"):format(
    cc, from, DIR))
  must(("%s %ssink.c -o %s/sink"):format(cc, from, DIR))
  must(("%s -fPIC -shared -iquote csrc $(pkg-config --cflags lua5.4) %snoop.c -o %s/noop.so"):format(cc, from, DIR))
end

-- ---- TLS: the system's own bundle of authorities, with ours behind it ----

local function certificates()
  local key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/%s.key -days 30 -subj /CN=%s"
  write(DIR .. "/ext", "subjectAltName=IP:127.0.0.1\n")
  must(("cd %s && { openssl req -x509 %s -out ca.pem && openssl req %s -out server.csr && "
    .. "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext "
    .. "-out server.pem; } 2>openssl.log"):format(
      DIR, key:format(".", "ca", "bench-ca"), key:format(".", "server", "bench")))
  for _, path in ipairs(SYSTEM_CA) do
    if sh(("cat %s %s/ca.pem >%s/bundle.pem 2>/dev/null"):format(path, DIR, DIR)) then return DIR .. "/bundle.pem" end
  end
  M.skip "the system's bundle of authorities is not where it was looked for: TLS is measured with a bundle of one"
  return DIR .. "/ca.pem"
end

-- ---- servers: each reads from a pipe that breaks when this process ends ----

local pipes = {}

local function serve(line)
  pipes[#pipes + 1] = assert(io.popen(line, "w"))
end

local function wait_for(test)
  for _ = 1, 100 do
    if test() then return true end
    sh "sleep 0.05"
  end
  return false
end

local function sink()
  os.remove(DIR .. "/sink.port")
  serve(("exec %s/sink >%s/sink.port"):format(DIR, DIR))
  assert(wait_for(function() return first_line(DIR .. "/sink.port") end), "the sink did not start")
  return tonumber(first_line(DIR .. "/sink.port"))
end

-- Ports that were free a moment ago, as many as asked for
local function free_ports(n)
  local socket, held, ports = require "socket", {}, {}
  for i = 1, n do
    held[i] = assert(socket.bind("127.0.0.1", 0))
    ports[i] = select(2, held[i]:getsockname())
  end
  for i = 1, n do held[i]:close() end
  return table.unpack(ports)
end

local function nginx(sink_port)
  local http, tls, h2 = free_ports(3)
  local servers = SERVER:format(http, "", sink_port) .. SERVER:format(tls, "ssl", sink_port)
    .. SERVER:format(h2, "ssl http2", sink_port)
  local user = io.popen("id -u"):read "n" == 0 and "user root;" or ""
  write(DIR .. "/nginx.conf", (NGINX:format(user):gsub("@SERVERS@", function() return servers end)))
  must(("mkdir -p %s/www %s/tmp"):format(DIR, DIR))
  write(DIR .. "/www/job.json", JOB:format(("x"):rep(680 - (#JOB - #"%s"))))
  -- nginx does not watch its standard input: a shell does, and ends it
  serve(("cd %s && { nginx -p . -c nginx.conf -e error.log & cat >/dev/null; kill $!; }"):format(DIR))
  local probe = ("curl -s -o /dev/null http://127.0.0.1:%d/"):format(http)
  if not wait_for(function() return sh(probe) end) then error("nginx did not start: see " .. DIR .. "/error.log", 0) end
  return {http = "http://127.0.0.1:" .. http, tls = "https://127.0.0.1:" .. tls, h2 = "https://127.0.0.1:" .. h2}
end

-- ---- the Node client, in a folder that git does not know ----

local function node()
  if not (has "node" and has "npm") then
    M.skip "no node or npm here: nothing is compared with the Node client"
    return nil
  end
  local dir = DIR .. "/node"
  if not sh(("grep -qs '\"%s\"' %s/installed"):format(NODE_CLIENT, dir)) then
    must("mkdir -p " .. dir)
    write(dir .. "/package.json", '{"private": true}\n')
    if not sh(("cd %s && npm install --silent --no-audit --no-fund %s >npm.log 2>&1"):format(dir, NODE_CLIENT)) then
      M.skip(("npm could not install %s: nothing is compared with the Node client"):format(NODE_CLIENT))
      return nil
    end
    write(dir .. "/installed", ('"%s"\n'):format(NODE_CLIENT))
  end
  must(("cp spec/bench/client.mjs %s/client.mjs"):format(dir))
  return dir .. "/client.mjs"
end

-- Everything -> {dir, ca, sink (URL), nginx = {http, tls, h2} or nil, node (program) or nil}
function M.start()
  must("mkdir -p " .. DIR)
  programs()
  local port = sink()
  local b = {dir = DIR, sink = "http://127.0.0.1:" .. port}
  if has "nginx" and has "openssl" then
    b.ca = certificates()
    b.nginx = nginx(port)
  else
    M.skip "no nginx or no openssl here (Debian: nginx-light): polling, start and TLS are skipped"
  end
  b.node = b.nginx and node()
  return b
end

function M.stop()
  for _, pipe in ipairs(pipes) do pipe:close() end
end

return M
