-- Certificates for the TLS modes, made in memory at each start: a CA that the
-- specs trust, and a certificate from it that is good, or bad in one way.
local altname = require "openssl.x509.altname"
local context = require "openssl.ssl.context"
local distinguished = require "openssl.x509.name"
local extension = require "openssl.x509.extension"
local pkey = require "openssl.pkey"
local x509 = require "openssl.x509"

local DAY = 24 * 3600

local M = {}

local function new_key() return pkey.new {type = "EC", curve = "prime256v1"} end

local function named(common_name)
  local name = distinguished.new()
  name:add("CN", common_name)
  return name
end

-- `issuer` is {certificate, key}; none: self-signed.
local function issue(subject, options, issuer)
  local key, crt = new_key(), x509.new()
  local now = os.time()
  crt:setVersion(3)
  crt:setSerial(math.random(1, 1 << 30))
  crt:setSubject(named(subject))
  crt:setIssuer(issuer and issuer.crt:getSubject() or named(subject))
  crt:setLifetime(now - 30 * DAY, options.expired and now - DAY or now + 30 * DAY)
  crt:setPublicKey(key)
  crt:setBasicConstraints {CA = options.ca or false}
  crt:setBasicConstraintsCritical(true)
  if options.ca then crt:addExtension(extension.new("keyUsage", "critical,keyCertSign,cRLSign")) end
  if options.hosts then crt:setSubjectAlt(options.hosts) end
  crt:sign(issuer and issuer.key or key, "sha256")
  return {crt = crt, key = key}
end

local function hosts(dns, ip)
  local names = altname.new()
  names:add("DNS", dns)
  if ip then names:add("IP", ip) end
  return names
end

local function server_context(pair)
  local ctx = context.new("TLS", true)
  ctx:setCertificate(pair.crt)
  ctx:setPrivateKey(pair.key)
  return ctx
end

local HERE = {"localhost", "127.0.0.1"}

-- mode -> options of the certificate; `alone`: not from the CA
local MODES = {
  good = {hosts = HERE},
  expired = {hosts = HERE, expired = true},
  wronghost = {hosts = {"elsewhere.example"}},
  untrusted = {hosts = HERE, alone = true},
}

-- The context of the server and the CA to trust, as PEM text.
function M.make(mode)
  local options = MODES[mode] or error(("unknown TLS mode '%s'"):format(mode), 0)
  local ca = issue("finetune test CA", {ca = true})
  local leaf = {hosts = hosts(table.unpack(options.hosts)), expired = options.expired}
  return server_context(issue("finetune test", leaf, not options.alone and ca or nil)), ca.crt:toPEM()
end

return M
