/*
** host_poll.c: a C program with a poll(2) loop of its own and Lua inside. All
** that finetune wants of the loop is one descriptor: when it is readable, a step
** that does not wait has work. In a clone:
**   cc -iquote csrc examples/host_poll.c -o build/host_poll $(pkg-config --cflags --libs lua5.4)
**   export OPENAI_API_KEY=...
**   LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='lua/?.so;;' build/host_poll
*/
#include "finetune.h"

#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROVIDER = 1, FIRST_CALL }; /* the stack of `host` */

static const char *const operations[] = {"list_models", "list_files", "list_jobs"};
enum { CALLS = sizeof operations / sizeof *operations };

/* Starts one operation: [0, +1] its call. It runs on in the steps of the loop. */
static void start(lua_State *L, const ft_api *api, const char *operation) {
  lua_pushvalue(L, PROVIDER);
  lua_pushstring(L, operation);
  lua_newtable(L); /* no parameters */
  api->start(L);
}

/* The loop: the host's own descriptors would stand beside ours in the array. */
static void loop(lua_State *L, const ft_api *api) {
  struct pollfd fds[1] = {{.fd = api->pollfd(L), .events = POLLIN}};
  int ticks = 0;
  while (api->step(L, 0) > 0)
    if (poll(fds, 1, 100) == 0)
      ticks++; /* nothing for 100 ms: time for the host's own work */
  printf("the host had %d idle moments\n", ticks);
}

static void report(lua_State *L, const ft_api *api, int i) {
  if (!api->result(L, FIRST_CALL + i))
    luaL_error(L, "%s is not done", operations[i]);
  if (lua_isnil(L, -2)) { /* nil and the error */
    printf("%s: %s\n", operations[i], luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
  } else {
    lua_getfield(L, -2, "data");
    printf("%s: %d\n", operations[i], (int)luaL_len(L, -1));
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

/* Everything that may raise, under one pcall. */
static int host(lua_State *L) {
  const ft_api *api;
  if (luaL_dostring(L, "return (assert(require('finetune').get_default_provider()))"))
    lua_error(L);
  api = ft_getapi(L);
  for (int i = 0; i < CALLS; i++)
    start(L, api, operations[i]);
  loop(L, api);
  for (int i = 0; i < CALLS; i++)
    report(L, api, i);
  return 0;
}

int main(void) {
  lua_State *L = luaL_newstate();
  int failed;
  if (L == NULL)
    return EXIT_FAILURE;
  luaL_openlibs(L);
  lua_pushcfunction(L, host);
  failed = lua_pcall(L, 0, 0, 0) != LUA_OK;
  if (failed)
    fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
