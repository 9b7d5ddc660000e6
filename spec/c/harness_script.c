/*
** harness_script.c: every section of the scripts, once, in one state and then each
** in a state of its own: for the sanitizers and valgrind, which look for what no
** assertion sees. Over real sockets, too.
*/
#include "harness.h"
#include "server.h"

static const char run_all[] =
    "local script, tmp, url = ...\n"
    "local function run(name)\n"
    "  local n = 0\n"
    "  for _, section in ipairs(require(name)) do\n"
    "    local ok, err = pcall(section.run, {tmp = tmp, file = tmp .. '/train.jsonl', url = url})\n"
    "    if not ok then error(section.name .. ': ' .. tostring(err), 0) end\n"
    "    n = n + 1\n"
    "  end\n"
    "  return n\n"
    "end\n"
    "assert(run(script) > 0)\n"
    "collectgarbage() collectgarbage()\n"
    "assert(require('finetune').step(0) == 0, 'calls still run')\n";

static char folder[] = "/tmp/finetune-script-XXXXXX";
static char url[64];

static int run_script(lua_State *L, const char *script) {
  if (luaL_loadstring(L, run_all) != LUA_OK)
    return 0;
  lua_pushstring(L, script);
  lua_pushstring(L, folder);
  lua_pushstring(L, url);
  return state_call(L, 3);
}

static void remove_folder(Tally *t) {
  static const char *const names[] = {"train.jsonl", "out.jsonl", "out.validation.jsonl",
                                      "raw.csv",     "raw.gz",    "results.csv"};
  char path[64];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    remove(path);
  }
  check(t, rmdir(folder) == 0, "no temporary file is left");
}

int main(void) {
  static const char *const scripts[] = {"spec.c.script_openai", "spec.c.script_lua",
                                        "spec.c.script_curl"};
  enum { SCRIPTS = sizeof scripts / sizeof *scripts };
  Tally t = {0, 0};
  Memory m = {0};
  Server server = server_start();
  snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", server.port);
  if (mkdtemp(folder) == NULL)
    return EXIT_FAILURE;
  write_dataset(folder);
  hang_guard(300);
  lua_State *all = state_new(&m);
  for (int i = 0; i < SCRIPTS; i++)
    check(&t, run_script(all, scripts[i]), scripts[i]);
  for (int i = 0; i < SCRIPTS; i++) {
    lua_State *L = state_new(&m);
    check(&t, run_script(L, scripts[i]), scripts[i]);
    lua_close(L);
  }
  lua_close(all);
  check(&t, m.live == 0 && m.blocks == 0, "lua_close gives back every byte");
  remove_folder(&t);
  return summary(&t);
}
