/*
** harness.h: what the programs of spec/c share. A lua_State on a counted allocator
** that can fail on demand, the library in it from the objects that are linked in
** (csrc) and the sources in lua/, and a summary as the suite's: N passed, N failed.
** Run from the root of the repo.
*/
#ifndef HARNESS_H
#define HARNESS_H

#include "finetune.h"

#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int luaopen_finetune_core(lua_State *L);

/* ---- memory that counts, moves and fails ---- */

/* Allocations number fail_at .. fail_at + fails - 1 (from 1 on, counted while `on`) get NULL.
   One failure makes Lua collect everything and try again; two in a row are lack of memory. */
typedef struct Memory {
  size_t live, blocks;
  long count, fail_at, fails;
  int on, fired;
} Memory;

typedef union Block { /* the size stands before the bytes: a wrong osize is a bug of ours */
  size_t size;
  long double align;
} Block;

static inline int memory_fails(Memory *m) {
  if (!m->on)
    return 0;
  m->count++;
  if (m->fail_at == 0 || m->count < m->fail_at || m->count >= m->fail_at + m->fails)
    return 0;
  m->fired = 1;
  return 1;
}

static inline void memory_free(Memory *m, void *p, size_t osize) {
  Block *b = (Block *)p - 1;
  if (b->size != osize) {
    fprintf(stderr, "the allocator is told %zu bytes of a block of %zu\n", osize, b->size);
    abort();
  }
  m->live -= osize;
  m->blocks--;
  free(b);
}

/* every block that grows or shrinks moves: an old pointer into it is found out */
static void *memory_alloc(void *ud, void *p, size_t osize, size_t nsize) {
  Memory *m = ud;
  if (nsize == 0) {
    if (p != NULL)
      memory_free(m, p, osize);
    return NULL;
  }
  if ((p == NULL || nsize > osize) && memory_fails(m)) /* Lua: shrinking never fails */
    return NULL;
  Block *b = malloc(sizeof *b + nsize);
  if (b == NULL)
    return NULL;
  b->size = nsize;
  m->live += nsize;
  m->blocks++;
  if (p != NULL) {
    memcpy(b + 1, p, nsize < osize ? nsize : osize);
    memory_free(m, p, osize);
  }
  return b + 1;
}

/* ---- states ---- */

/* The library in a state with the standard ones: finetune.core is the linked one. */
static inline int state_setup(lua_State *L) {
  luaL_openlibs(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_finetune_core);
  lua_setfield(L, -2, "finetune.core");
  lua_getglobal(L, "package");
  lua_pushliteral(L, "./lua/?.lua;./lua/?/init.lua;./?.lua;");
  lua_getfield(L, -2, "path");
  lua_concat(L, 2);
  lua_setfield(L, -2, "path");
  return 0;
}

static inline lua_State *state_new(Memory *m) {
  lua_State *L = lua_newstate(memory_alloc, m);
  if (L == NULL)
    return NULL;
  lua_pushcfunction(L, state_setup);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    fprintf(stderr, "the state cannot be set up: %s\n", lua_tostring(L, -1));
    exit(1);
  }
  return L;
}

static inline int words_traceback(lua_State *L) {
  const char *words = luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, words, 1);
  return 1;
}

/* [-n, 0] a protected call that prints what went wrong; 1 where nothing did */
static inline int state_call(lua_State *L, int n) {
  int handler = lua_gettop(L) - n;
  lua_pushcfunction(L, words_traceback);
  lua_insert(L, handler);
  int ok = lua_pcall(L, n, 0, handler) == LUA_OK;
  if (!ok)
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_settop(L, handler - 1);
  return ok;
}

/* runs a chunk of Lua, given as text; 1 where it worked */
static inline int state_run(lua_State *L, const char *chunk) {
  if (luaL_loadbuffer(L, chunk, strlen(chunk), "=chunk") == LUA_OK)
    return state_call(L, 0);
  fprintf(stderr, "%s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
  return 0;
}

/* ---- checks ---- */

typedef struct Tally {
  long passed, failed;
} Tally;

static inline int check(Tally *t, int ok, const char *what) {
  if (ok)
    t->passed++;
  else {
    t->failed++;
    fprintf(stderr, "FAILED: %s\n", what);
  }
  return ok;
}

static inline int summary(const Tally *t) {
  printf("%ld passed, %ld failed\n", t->passed, t->failed);
  return t->failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* a hang is a failure: the process dies of SIGALRM and says of what */
static char hang_words[256] = "it hangs";

static inline void hang(int sig) {
  ssize_t r = write(STDERR_FILENO, hang_words, strlen(hang_words));
  r = write(STDERR_FILENO, ": still running, given up\n", 26);
  (void)r;
  signal(sig, SIG_DFL);
  raise(sig);
}

static inline void hang_guard(unsigned seconds) {
  signal(SIGALRM, hang);
  alarm(seconds);
}

/* the file that the scripts upload */
static inline void write_dataset(const char *folder) {
  char path[64];
  snprintf(path, sizeof path, "%s/train.jsonl", folder);
  FILE *f = fopen(path, "w");
  for (int i = 0; f != NULL && i < 3; i++)
    fprintf(f,
            "{\"messages\":[{\"role\":\"user\",\"content\":\"question %d\"},"
            "{\"role\":\"assistant\",\"content\":\"answer\"}]}\n",
            i);
  if (f != NULL)
    fclose(f);
}

#endif
