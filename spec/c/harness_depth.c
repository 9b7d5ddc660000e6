/*
** harness_depth.c: the depth of the C stack. A hundred providers on one another,
** waiting, cancelled, closed; one that calls itself without end; callbacks that
** begin calls with callbacks. Each runs in a thread whose stack is small, as a
** host's may be, and says how much of it was used.
*/
#include "harness.h"

#include <pthread.h>

enum { STACK = 1024 * 1024, LIMIT = 512 * 1024 };

typedef struct Depth {
  const char *name;
  size_t deepest;
  int ok;
} Depth;

/* upvalue: light address of the stack's beginning, then the Depth */
static int mark(lua_State *L) {
  char here;
  const char *base = lua_touserdata(L, lua_upvalueindex(1));
  Depth *d = lua_touserdata(L, lua_upvalueindex(2));
  size_t depth = (size_t)(base - &here);
  if (depth > d->deepest)
    d->deepest = depth;
  return 0;
}

static void *run(void *arg) {
  Depth *d = arg;
  char base;
  Memory m = {0};
  lua_State *L = state_new(&m);
  if (luaL_loadfile(L, "spec/c/script_depth.lua") != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    return NULL;
  }
  lua_pushlightuserdata(L, &base);
  lua_pushlightuserdata(L, d);
  lua_pushcclosure(L, mark, 2);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, d->name);
  d->ok = state_call(L, 0);
  lua_close(L);
  d->ok = d->ok && m.live == 0;
  return NULL;
}

static void measure(const char *name, Tally *t) {
  Depth d = {name, 0, 0};
  pthread_attr_t attr;
  pthread_t thread;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK);
  if (pthread_create(&thread, &attr, run, &d) != 0)
    exit(1);
  pthread_join(thread, NULL);
  printf("%8zu bytes of stack  %s\n", d.deepest, name);
  check(t, d.ok, name);
  check(t, d.deepest < LIMIT, "it uses less than half of the stack");
}

int main(void) {
  static const char *const names[] = {"by_method",      "by_yield",          "cancelled",
                                      "closed",         "endless_by_method", "endless_by_yield",
                                      "endless_starts", "callbacks",         "callbacks_at_once",
                                      "chain"};
  Tally t = {0, 0};
  hang_guard(100);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    measure(names[i], &t);
  return summary(&t);
}
