/*
** harness_oom.c: every allocation of Lua's fails in turn (oom.h), twice in a row:
** after the first Lua collects everything and tries again. Then the same with one
** failure only (an object that nothing anchors is gone after the collection), and
** with forty (the handling of the error finds no memory either). lua_close must
** give back every byte.
*/
#include "oom.h"

static void run_once(Run *r) {
  Memory m = {0};
  snprintf(hang_words, sizeof hang_words, "'%s', allocation %ld x %ld", r->name, r->fail_at,
           r->fails);
  r->words_matter = 1;
  alarm(HANG);
  lua_State *L = state_new(&m);
  int n = prepare(L, r);
  m.fail_at = r->fail_at;
  m.fails = r->fails;
  m.on = 1;
  int status = lua_pcall(L, n, 0, 0);
  m.on = 0;
  r->count = m.count;
  r->fired = m.fired;
  if (status != LUA_OK)
    check_error(L, r);
  check_usable(L, r);
  check_empty(L, r);
  lua_close(L);
  if (m.live != 0 || m.blocks != 0) {
    char text[64];
    snprintf(text, sizeof text, "%zu bytes in %zu blocks", m.live, m.blocks);
    fail(r, "lua_close leaves", text);
  }
}

int main(int argc, char **argv) {
  static const char *const scripts[] = {"spec.c.script_openai", "spec.c.script_lua", NULL};
  return oom_main(argc, argv, scripts);
}
