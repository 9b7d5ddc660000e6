/*
** harness_fork.c: a forked child that touches the parent's engine harms nobody.
** While transfers of the parent are under way, children step, start, cancel,
** collect and close the state that they inherited: each gets a usage error or
** nothing, and the parent's transfers end as if nothing had happened.
*/
#include "harness.h"
#include "server.h"

#include <sys/wait.h>

static char url[64];

/* what a child does with the inherited state -> "ok", or what went wrong */
typedef struct Deed {
  const char *name, *chunk;
  int closes; /* then the child closes the state as well */
} Deed;

#define REFUSED(name, expression)                                                                  \
  {                                                                                                \
    name,                                                                                          \
        "local ok, err = pcall(function() return " expression " end)\n"                            \
        "if ok then return 'it was allowed' end\n"                                                 \
        "if type(err) ~= 'table' or err.kind ~= 'usage' then return tostring(err) end\n"           \
        "return tostring(err):find('fork') and 'ok' or 'unclear: ' .. tostring(err)",              \
        0                                                                                          \
  }

static const Deed deeds[] = {
    REFUSED("steps", "finetune.step(0.01)"),
    REFUSED("starts an operation", "provider:async('get_job', 'ftjob-1')"),
    REFUSED("waits", "calls[1]:await()"),
    REFUSED("cancels a call", "calls[1]:cancel()"),
    REFUSED("closes the provider", "provider:close()"),
    REFUSED("asks for the descriptor", "finetune.pollfd()"),
    REFUSED("creates a provider", "finetune.create_provider('openai', {api_key = 'k'})"),
    {"collects everything",
     "calls, provider = nil, nil collectgarbage() collectgarbage() return 'ok'", 0},
    {"closes the state", "return 'ok'", 1},
    {"collects and closes the state", "calls = nil collectgarbage() return 'ok'", 1},
};
enum { DEEDS = sizeof deeds / sizeof *deeds };

/* a state of the child's own works as ever */
static const char own_state[] =
    "local finetune = require 'finetune'\n"
    "local p <close> = finetune.create_provider('openai', {api_key = 'key-own', base_url = ...})\n"
    "assert(p:get_job 'ftjob-1')\n";

static const char begin[] =
    "finetune = require 'finetune'\n"
    "provider = assert(finetune.create_provider('openai', {api_key = 'key-parent', base_url = "
    "...}))\n"
    "assert(provider:get_job 'ftjob-1')\n" /* a connection that is idle when they fork */
    "calls = {}\n"
    "for i = 1, 4 do calls[i] = provider:async('get_job', 'slow') end\n"
    "for i = 1, 5 do finetune.step(0.02) end\n"
    "for i = 1, 4 do assert(not calls[i]:done(), 'too fast') end\n";

static const char end[] = "for i = 1, #calls do assert(calls[i]:await()) end\n"
                          "for i = 1, 3 do assert(provider:get_job 'ftjob-1') end\n"
                          "provider:close()\n";

static int run_with_url(lua_State *L, const char *chunk) {
  if (luaL_loadbuffer(L, chunk, strlen(chunk), "=chunk") != LUA_OK)
    return 0;
  lua_pushstring(L, url);
  return state_call(L, 1);
}

/* In the child: never exit(), whose leak checks would find the parent's connections
   left alone, as they should be. */
static void child_main(lua_State *L, const Deed *d, int fd) {
  char words[256] = "it raised";
  alarm(10);
  if (luaL_dostring(L, d->chunk) == LUA_OK)
    snprintf(words, sizeof words, "%s", lua_tostring(L, -1));
  else
    snprintf(words, sizeof words, "%s", luaL_tolstring(L, -1, NULL));
  if (d->closes)
    lua_close(L);
  Memory m = {0};
  lua_State *own = state_new(&m);
  if (own == NULL || !run_with_url(own, own_state))
    snprintf(words, sizeof words, "a state of its own does not work");
  lua_close(own);
  ssize_t r = write(fd, words, strlen(words) + 1);
  (void)r;
  _exit(0);
}

static void run_deed(lua_State *L, const Deed *d, Tally *t) {
  char words[256] = "it said nothing", text[512];
  int fd[2];
  if (pipe(fd) != 0)
    exit(1);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0)
    child_main(L, d, fd[1]);
  close(fd[1]);
  ssize_t n = read(fd[0], words, sizeof words - 1);
  close(fd[0]);
  waitpid(pid, NULL, 0);
  snprintf(text, sizeof text, "a child that %s: %s", d->name, n > 0 ? words : "died");
  check(t, strcmp(words, "ok") == 0, text);
}

int main(void) {
  Tally t = {0, 0};
  Memory m = {0};
  Server server = server_start();
  snprintf(url, sizeof url, "http://127.0.0.1:%d/v1", server.port);
  hang_guard(60);
  lua_State *L = state_new(&m);
  if (check(&t, run_with_url(L, begin), "transfers under way")) {
    for (int i = 0; i < DEEDS; i++)
      run_deed(L, &deeds[i], &t);
    check(&t, run_with_url(L, end), "the parent's transfers after ten children");
  }
  lua_close(L);
  check(&t, m.live == 0, "lua_close gives back every byte");
  return summary(&t);
}
