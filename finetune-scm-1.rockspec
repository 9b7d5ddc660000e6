-- luarocks --lua-version 5.4 make: builds and installs the tree that it stands in
rockspec_format = "3.0"
package = "finetune"
version = "scm-1"
source = {url = "git+file://."}
description = {
  summary = "One interface over every fine-tuning service",
  detailed = [[
Prepare, upload, tune, follow and use: the same ten lines for OpenAI, for whatever speaks its
dialect, and for any service that has a provider, in C or Lua. Never blocks the host's loop.]],
  license = "MIT",
  labels = {"machine-learning", "http", "async"},
}
supported_platforms = {"linux", "macosx"}
dependencies = {"lua >= 5.4, < 5.5", "argparse >= 0.7.1"} -- argparse: for the command alone
-- No headers: Debian's curl.h is in a folder that LuaRocks does not search
external_dependencies = {CURL = {library = "curl"}, ZLIB = {library = "z"}}
build = {
  type = "make",
  variables = { -- the same in both passes, so that `make install` builds nothing again
    CFLAGS = "$(CFLAGS)",
    LUA = "$(LUA)",
    LUA_CFLAGS = "-I$(LUA_INCDIR)",
    CURL_CFLAGS = "-I$(CURL_INCDIR)",
    CURL_LIBS = "-L$(CURL_LIBDIR) -lcurl",
    ZLIB_LIBS = "-L$(ZLIB_LIBDIR) -lz",
    BINDIR = "$(BINDIR)",
    PREFIX = "$(PREFIX)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
