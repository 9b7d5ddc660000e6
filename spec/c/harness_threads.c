/*
** harness_threads.c: four threads, each with lua_States of its own, use the library
** at the same time: states that only open and close, states that run the scripted
** sections, and the whole workflow against the loopback service. For the thread
** sanitizer: nothing of ours is shared between states.
*/
#include "harness.h"

#include <pthread.h>
#include <sys/stat.h>

enum { THREADS = 4, ROUNDS = 3, OPENINGS = 10 };

typedef struct Worker {
  pthread_t thread;
  int number;
  Tally tally;
} Worker;

static char url[128], key[128];
static char folder[] = "/tmp/finetune-threads-XXXXXX";

/* ---- what a thread does ---- */

static void open_and_close(Worker *w) {
  for (int i = 0; i < OPENINGS; i++) {
    Memory m = {0};
    lua_State *L = state_new(&m);
    check(&w->tally, state_run(L, "assert(require('finetune').create_provider('openai', {}))"),
          "opening the library");
    lua_close(L);
    check(&w->tally, m.live == 0, "closing gives back every byte");
  }
}

static const char sections[] =
    "local folder, number = ...\n"
    "local file = ('%s/data-%d.jsonl'):format(folder, number)\n"
    "local f <close> = assert(io.open(file, 'w'))\n"
    "f:write('{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},'\n"
    "  .. '{\"role\":\"assistant\",\"content\":\"a\"}]}\\n')\n"
    "f:close()\n"
    "local tmp = ('%s/%d'):format(folder, number)\n"
    "for _, name in ipairs {'spec.c.script_openai', 'spec.c.script_lua'} do\n"
    "  for _, section in ipairs(require(name)) do section.run {tmp = tmp, file = file} end\n"
    "end\n";

static void run_sections(Worker *w) {
  Memory m = {0};
  lua_State *L = state_new(&m);
  int loaded = luaL_loadstring(L, sections) == LUA_OK;
  lua_pushstring(L, folder);
  lua_pushinteger(L, w->number);
  check(&w->tally, loaded && state_call(L, 2), "the scripted sections");
  lua_close(L);
}

static void run_workflow(Worker *w) {
  Memory m = {0};
  lua_State *L = state_new(&m);
  int loaded = luaL_loadfile(L, "spec/c/script_threads.lua") == LUA_OK;
  lua_pushstring(L, url);
  lua_pushstring(L, key);
  lua_pushstring(L, folder);
  lua_pushinteger(L, w->number);
  check(&w->tally, loaded && state_call(L, 4), "the workflow");
  lua_close(L);
  check(&w->tally, m.live == 0, "closing gives back every byte");
}

static void *worker(void *arg) {
  Worker *w = arg;
  for (int i = 0; i < ROUNDS; i++) {
    open_and_close(w);
    run_workflow(w);
    run_sections(w);
  }
  return NULL;
}

/* ---- the service, and all of it ---- */

static const char start_service[] =
    "service = require('spec.support.service').start {job_seconds = 0.2}\n"
    "return service.url, service.key\n";

static lua_State *service(void) {
  lua_State *L = luaL_newstate();
  state_setup(L);
  if (luaL_dostring(L, start_service) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    exit(1);
  }
  snprintf(url, sizeof url, "%s", lua_tostring(L, -2));
  snprintf(key, sizeof key, "%s", lua_tostring(L, -1));
  return L;
}

static void folders(void) {
  char path[64];
  if (mkdtemp(folder) == NULL)
    exit(1);
  for (int i = 0; i < THREADS; i++) {
    snprintf(path, sizeof path, "%s/%d", folder, i);
    mkdir(path, 0700);
  }
}

int main(void) {
  static Worker workers[THREADS];
  Tally t = {0, 0};
  hang_guard(280);
  lua_State *L = service();
  folders();
  for (int i = 0; i < THREADS; i++) {
    workers[i].number = i;
    if (pthread_create(&workers[i].thread, NULL, worker, &workers[i]) != 0)
      exit(1);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    t.passed += workers[i].tally.passed;
    t.failed += workers[i].tally.failed;
  }
  lua_pushfstring(L, "service:stop() os.execute('rm -r %s')", folder);
  check(&t, luaL_dostring(L, lua_tostring(L, -1)) == LUA_OK, "the service stops");
  lua_close(L);
  return summary(&t);
}
