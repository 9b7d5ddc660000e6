/*
** oom.h: what the two programs share that have allocations fail in turn. Each
** section of the scripts runs in a fresh state with its Nth allocation failing,
** N = 1, 2, ..., until it ends with none. After each run the error must be the
** lack of memory, the engine must be empty and still work. Whose allocations fail
** is the program's business: its run_once().
**   PROGRAM                        everything
**   PROGRAM SECTION [N [FAILS]]    one section, one allocation, so many in a row
*/
#ifndef OOM_H
#define OOM_H

#include "ft.h"
#include "harness.h"

#include <sys/wait.h>

enum { WORKERS = 2, HANG = 30, MANY = 40, SPARSE = 5, DENSE = 3000 };

typedef struct Run { /* one run of one section */
  const char *script, *name;
  int section; /* 0: loading the library is what runs */
  long fail_at, fails;
  long count;       /* allocations that it made */
  int fired;        /* the failing one was reached */
  int words_matter; /* the error must be the lack of memory, not just any */
  char words[1024]; /* what went wrong; "" nothing */
} Run;

static char folder[] = "/tmp/finetune-oom-XXXXXX";
static char service_url[64]; /* where there is a service */

/* ---- one run ---- */

static void fail(Run *r, const char *what, const char *more) {
  if (r->words[0] == '\0')
    snprintf(r->words, sizeof r->words, "%s: %s", what, more);
}

/* script, section -- its function and its argument */
static int push_section(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_geti(L, -1, lua_tointeger(L, 2));
  lua_getfield(L, -1, "run");
  lua_createtable(L, 0, 3);
  lua_pushstring(L, service_url);
  lua_setfield(L, -2, "url");
  lua_pushstring(L, folder);
  lua_setfield(L, -2, "tmp");
  lua_pushfstring(L, "%s/train.jsonl", folder);
  lua_setfield(L, -2, "file");
  return 2;
}

static int load_library(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "finetune");
  lua_call(L, 1, 0);
  return 0;
}

/* the thing under test, with memory still there: [0, +n] a function and its arguments */
static int prepare(lua_State *L, Run *r) {
  if (r->section == 0) {
    lua_pushcfunction(L, load_library);
    return 0;
  }
  lua_pushcfunction(L, push_section);
  lua_pushstring(L, r->script);
  lua_pushinteger(L, r->section);
  if (lua_pcall(L, 2, 2, 0) != LUA_OK) {
    fprintf(stderr, "%s cannot be loaded: %s\n", r->script, lua_tostring(L, -1));
    exit(1);
  }
  return 1;
}

static int words_of(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

static void check_error(lua_State *L, Run *r) { /* [-1, 0] */
  lua_pushcfunction(L, words_of);
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK)
    fail(r, "the error has no words", luaL_typename(L, -1));
  else if (!r->fired)
    fail(r, "it failed although no allocation did", lua_tostring(L, -1));
  else if (r->words_matter && strstr(lua_tostring(L, -1), "memory") == NULL &&
           strstr(lua_tostring(L, -1), "stack overflow (") == NULL) /* luaL_checkstack's words */
    fail(r, "another error than lack of memory", lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* With memory again, the same state must do ordinary work. */
static const char probe[] =
    "local finetune = require 'finetune'\n"
    "local answers = require 'spec.c.answers'\n"
    "assert(not require 'finetune.core'.inside(), 'the engine believes that it is running')\n"
    "do\n"
    "  local p <close> = answers.provider(finetune)\n"
    "  assert(p:get_job 'ftjob-1')\n"
    "  finetune.sleep(0.0001)\n"
    "end\n"
    "finetune.step(0)\n"
    "collectgarbage() collectgarbage()";

static void check_usable(lua_State *L, Run *r) {
  if (luaL_loadstring(L, probe) != LUA_OK || lua_pcall(L, 0, 0, 0) != LUA_OK) {
    fail(r, "the state is not usable", luaL_tolstring(L, -1, NULL));
    lua_settop(L, 0);
  }
}

/* Nothing waits any more: nothing may be anchored, in a list or have a timer. */
static void check_empty(lua_State *L, Run *r) {
  const ft_engine *E = ft_engine_of(L);
  if (E == NULL || E->ncalls > 0)
    return; /* the error came before the section could cancel what it had begun */
  ft_engine_push(L, FT_EU_LIVE);
  lua_pushnil(L);
  if (lua_next(L, -2))
    fail(r, "still anchored", luaL_tolstring(L, -1, NULL));
  lua_settop(L, 0);
  if (E->transfers != NULL || E->nactive != 0)
    fail(r, "the engine", "has transfers that nobody owns");
  if (E->nheap != 0 || E->calls != NULL || E->ready_first != NULL || E->owed_first != NULL)
    fail(r, "the engine", "has timers or queued calls that nobody owns");
  if (E->qhead != E->qtail)
    fail(r, "the engine", "has completions that were not delivered");
}

/* runs the section once, from a new state to its end: the program's own */
static void run_once(Run *r);

/* ---- all of them ---- */

static void run_checked(Run *r, long n, long fails, Tally *t) {
  r->fail_at = n;
  r->fails = fails;
  r->fired = 0;
  r->words[0] = '\0';
  run_once(r);
  if (r->words[0] == '\0')
    t->passed++;
  else {
    t->failed++;
    if (t->failed <= 12)
      fprintf(stderr, "FAILED '%s', allocation %ld x %ld: %s\n", r->name, n, fails, r->words);
  }
}

/* What one of the workers does of a section that makes `total` allocations: all of the
   first DENSE, then one in SPARSE (only loading, which is Lua's own parser, has so many) */
static Tally run_share(Run *r, long total, int worker) {
  Tally t = {0, 0};
  for (long n = 1 + worker; n <= total; n += n < DENSE ? WORKERS : WORKERS * SPARSE)
    run_checked(r, n, 2, &t);
  for (long n = 1 + worker * SPARSE; n <= total; n += WORKERS * SPARSE) {
    run_checked(r, n, 1, &t);
    run_checked(r, n + SPARSE / 2, MANY, &t);
  }
  return t;
}

static void in_child(Run *r, long total, int worker, int fd) {
  Tally t = run_share(r, total, worker);
  ssize_t done = write(fd, &t, sizeof t);
  lua_State *L = luaL_newstate(); /* the leak check of the sanitizer runs at exit */
  lua_close(L);
  exit(done == (ssize_t)sizeof t ? 0 : 1);
}

static void collect(pid_t child, int fd, const char *name, Tally *t) {
  Tally part;
  int status = 0;
  ssize_t got = read(fd, &part, sizeof part);
  close(fd);
  waitpid(child, &status, 0);
  if (got == (ssize_t)sizeof part) {
    t->passed += part.passed;
    t->failed += part.failed;
  }
  if (got != (ssize_t)sizeof part || status != 0) {
    t->failed++;
    fprintf(stderr, "FAILED '%s': a worker crashed, hung or leaked (wait status %d)\n", name,
            status);
  }
}

/* counts the section's allocations, then has them fail, in WORKERS processes */
static void run_section(Run *r, Tally *t) {
  pid_t child[WORKERS];
  int fd[WORKERS][2];
  r->fail_at = r->fails = r->fired = 0;
  r->words[0] = '\0';
  run_once(r);
  alarm(0);
  if (!check(t, r->words[0] == '\0', r->words[0] ? r->words : r->name))
    return;
  long total = r->count;
  for (int w = 0; w < WORKERS; w++) {
    if (pipe(fd[w]) != 0)
      exit(1);
    fflush(stdout);
    child[w] = fork();
    if (child[w] == 0)
      in_child(r, total + 8, w, fd[w][1]); /* a few more: not every run makes the same */
    close(fd[w][1]);
  }
  for (int w = 0; w < WORKERS; w++)
    collect(child[w], fd[w][0], r->name, t);
  printf("%6ld allocations  %s\n", total, r->name);
  fflush(stdout);
}

/* ---- the list of sections ---- */

typedef struct Section {
  char script[64], name[96];
} Section;

enum { SECTIONS = 64 };

/* reads names into `list`; the number of them. Section 0 is the loading. */
static int list_sections(Section *list, const char *const *scripts) {
  Memory m = {0};
  int n = 0;
  snprintf(list[n++].name, sizeof list->name, "loading the library");
  lua_State *L = state_new(&m);
  for (int i = 0; scripts[i] != NULL; i++) {
    lua_getglobal(L, "require");
    lua_pushstring(L, scripts[i]);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
      fprintf(stderr, "%s\n", lua_tostring(L, -1));
      exit(1);
    }
    lua_Integer count = luaL_len(L, -1);
    for (lua_Integer k = 1; k <= count && n < SECTIONS; k++, lua_pop(L, 2), n++) {
      lua_geti(L, -1, k);
      lua_getfield(L, -1, "name");
      snprintf(list[n].script, sizeof list->script, "%s", scripts[i]);
      snprintf(list[n].name, sizeof list->name, "%s", lua_tostring(L, -1));
    }
  }
  lua_close(L);
  return n;
}

/* its number in its script: sections of one script stand together */
static int number_of(const Section *list, int i) {
  int n = 0;
  for (int k = i; k > 0 && strcmp(list[k].script, list[i].script) == 0; k--)
    n++;
  return n;
}

static void remove_folder(void) {
  static const char *const names[] = {"train.jsonl", "out.jsonl", "out.validation.jsonl",
                                      "raw.csv",     "raw.gz",    "results.csv"};
  char path[64];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    remove(path);
  }
  if (rmdir(folder) != 0) /* a temporary file was left behind */
    fprintf(stderr, "%s is not empty\n", folder);
}

static int oom_main(int argc, char **argv, const char *const *scripts) {
  static Section list[SECTIONS];
  static Run r;
  Tally t = {0, 0};
  if (mkdtemp(folder) == NULL)
    return EXIT_FAILURE;
  write_dataset(folder);
  hang_guard(HANG);
  int n = list_sections(list, scripts);
  for (int i = 0; i < n; i++) {
    if (argc > 1 && strcmp(argv[1], list[i].name) != 0)
      continue;
    r.script = list[i].script;
    r.name = list[i].name;
    r.section = number_of(list, i);
    if (argc > 2)
      run_checked(&r, atol(argv[2]), argc > 3 ? atol(argv[3]) : 2, &t);
    else
      run_section(&r, &t);
  }
  remove_folder();
  return summary(&t);
}

#endif
