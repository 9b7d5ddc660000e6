/*
** harness_host.c: the library leaves its host alone. What a process has is compared
** before and after loading it, using it and closing it: signal dispositions, open
** descriptors, standard output and error, the environment, the locale; in the state
** the globals, package.loaded and another user's settings of lua-cjson.
*/
#include "harness.h"
#include "server.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>

extern char **environ;

/* ---- descriptors ---- */

enum { FDS = 256 };

static int is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

static int count_open(void) {
  int n = 0;
  for (int fd = 0; fd < FDS; fd++)
    n += is_open(fd);
  return n;
}

/* libcurl's multi handle has a pair of sockets to wake itself, connected to nothing
   else, and gives nobody their numbers */
static int is_pair(int fd) {
  struct sockaddr_storage a;
  socklen_t n = sizeof a;
  return getsockname(fd, (struct sockaddr *)&a, &n) == 0 && a.ss_family == AF_UNIX;
}

/* those that a child of the host would inherit, beside `before` that were there */
static int count_inherited(const char *before) {
  int n = 0;
  for (int fd = 3; fd < FDS; fd++)
    n += is_open(fd) && !before[fd] && !(fcntl(fd, F_GETFD) & FD_CLOEXEC) && !is_pair(fd);
  return n;
}

/* ---- signals ---- */

enum { SIGNALS = 65 };

static void signals_read(struct sigaction *list) {
  memset(list, 0, SIGNALS * sizeof *list);
  for (int i = 1; i < SIGNALS; i++)
    sigaction(i, NULL, &list[i]);
}

static int signals_same(const struct sigaction *a, const struct sigaction *b) {
  for (int i = 1; i < SIGNALS; i++)
    if (a[i].sa_handler != b[i].sa_handler || a[i].sa_flags != b[i].sa_flags)
      return 0;
  return 1;
}

/* ---- the environment ---- */

static unsigned long environment_sum(void) {
  unsigned long sum = 5381;
  for (char **e = environ; *e != NULL; e++)
    for (const char *p = *e; *p != '\0'; p++)
      sum = sum * 33 + (unsigned char)*p;
  return sum;
}

/* ---- what the state holds ---- */

static const char remember[] =
    "local loaded, globals = {}, {}\n"
    "has_cjson, cjson = pcall(require, 'cjson')\n"
    "if has_cjson then\n"
    "  cjson.encode_number_precision(3)\n"
    "  cjson.encode_sparse_array(true, 7, 9)\n"
    "  cjson.decode_max_depth(11)\n"
    "end\n"
    "compare = function()\n"
    "  for name in pairs(package.loaded) do\n"
    "    assert(loaded[name] or name:find '^finetune' or name:find '^spec%.', 'loaded: ' .. name)\n"
    "  end\n"
    "  for name in pairs(_G) do assert(globals[name], 'a new global: ' .. name) end\n"
    "  if not has_cjson then return end\n"
    "  assert(cjson.encode_number_precision() == 3 and cjson.decode_max_depth() == 11)\n"
    "  local convert, ratio, safe = cjson.encode_sparse_array()\n"
    "  assert(convert == true and ratio == 7 and safe == 9)\n"
    "  assert(cjson.encode(1.23456) == '1.23' and cjson == require 'cjson')\n"
    "end\n"
    "for name in pairs(package.loaded) do loaded[name] = true end\n"
    "for name in pairs(_G) do globals[name] = true end\n";

static const char use[] =
    "local url, folder = ...\n"
    "local finetune = require 'finetune'\n"
    "local p <close> = finetune.create_provider('openai', {api_key = 'key', base_url = url})\n"
    "assert(p:get_job 'ftjob-1')\n"
    "assert(#p:list_models().data == 1)\n"
    "assert(p:get_job 'cut' == nil)\n"
    "assert(p:get_job 'missing' == nil)\n"
    "assert(p:download_file('f', {output = folder .. '/results.csv'}))\n"
    "local calls = {p:async('get_job', 'slow'), p:async('get_job', 'slow')}\n"
    "finetune.run(function() finetune.sleep(0.01) end, function() error 'it raises' end)\n"
    "calls[1]:cancel()\n"
    "finetune.register({name = 'bad'})\n";

/* the last line of `use` raises, and that must not be printed either */
static void use_library(lua_State *L, const char *url, const char *folder, Tally *t) {
  int loaded = luaL_loadstring(L, use) == LUA_OK;
  lua_pushstring(L, url);
  lua_pushstring(L, folder);
  int raised = loaded && lua_pcall(L, 2, 0, 0) != LUA_OK;
  const char *words = raised ? luaL_tolstring(L, -1, NULL) : "nothing was raised";
  check(t, strstr(words, "cannot be registered") != NULL, words);
  lua_settop(L, 0);
}

/* ---- standard output and error ---- */

typedef struct Output {
  int out, err; /* the real ones, put aside */
  char path[64];
} Output;

static void output_catch(Output *o, const char *folder) {
  fflush(NULL);
  snprintf(o->path, sizeof o->path, "%s/output", folder);
  int fd = open(o->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  o->out = dup(1);
  o->err = dup(2);
  dup2(fd, 1);
  dup2(fd, 2);
  close(fd);
}

/* the number of bytes that were written meanwhile */
static long output_release(Output *o) {
  fflush(NULL);
  long n = (long)lseek(1, 0, SEEK_END);
  dup2(o->out, 1);
  dup2(o->err, 2);
  close(o->out);
  close(o->err);
  remove(o->path);
  return n;
}

int main(void) {
  struct sigaction before[SIGNALS], after[SIGNALS];
  char folder[] = "/tmp/finetune-host-XXXXXX", url[64], path[64], inherited[FDS] = {0};
  Tally t = {0, 0};
  Tally quiet = {0, 0}; /* its failures are told when there is an output again */
  Memory m = {0};
  Output o;
  Server server = server_start();
  snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", server.port);
  if (mkdtemp(folder) == NULL)
    return EXIT_FAILURE;
  hang_guard(60);
  signals_read(before);
  unsigned long environment = environment_sum();
  int open_before = count_open();
  for (int fd = 0; fd < FDS; fd++)
    inherited[fd] = (char)is_open(fd);
  const char *locale = setlocale(LC_ALL, NULL);

  lua_State *L = state_new(&m);
  check(&t, state_run(L, remember), "the state before");
  output_catch(&o, folder);
  use_library(L, url, folder, &quiet);
  int leaked = count_inherited(inherited) - 2; /* o.out and o.err */
  long written = output_release(&o);
  check(&t, quiet.failed == 0, "the library in use");
  check(&t, written == 0, "nothing is written to standard output or error");
  check(&t, leaked == 0, "no descriptor is inherited by children");
  check(&t, state_run(L, "compare()"), "package.loaded, globals and lua-cjson as before");
  lua_close(L);

  signals_read(after);
  check(&t, signals_same(before, after), "signal dispositions as before");
  check(&t, environment_sum() == environment, "the environment as before");
  check(&t, count_open() == open_before, "descriptors as before");
  check(&t, strcmp(setlocale(LC_ALL, NULL), locale) == 0, "the locale as before");
  check(&t, m.live == 0, "lua_close gives back every byte");
  snprintf(path, sizeof path, "%s/results.csv", folder);
  check(&t, remove(path) == 0 && rmdir(folder) == 0, "no temporary file is left");
  return summary(&t);
}
