/*
** engine.c: what one lua_State has of the core: the Lua values, the curl multi handle
** with its poll set, and the queues of calls and completions. It knows nothing of
** what calls and transfers do; step.c moves them.
*/
#include "fd.h"
#include "ft.h"

#include <string.h>
#include <unistd.h>

#define ENGINE_META "finetune.engine"

static const char engine_key = 0; /* its address: the engine's place in the registry */

/* ---- the engine's Lua values ---- */

ft_engine *ft_engine_of(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &engine_key);
  ft_engine *E = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return E;
}

void ft_engine_push(lua_State *L, int uv) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &engine_key);
  lua_getiuservalue(L, -1, uv);
  lua_remove(L, -2);
}

void ft_engine_set(lua_State *L, int uv) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &engine_key);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, uv);
  lua_pop(L, 1);
}

void ft_engine_quietly(lua_State *L, ft_engine *E, int nargs) {
  int status = lua_pcall(L, nargs, 0, 0);
  if (status == LUA_OK)
    return;
  if (status == LUA_ERRMEM) {
    lua_pop(L, 1);
    return;
  }
  ft_engine_set(L, FT_EU_RAISED);
  E->raised = 1;
}

void ft_engine_raise(lua_State *L, ft_engine *E) {
  if (!E->raised)
    return;
  E->raised = 0;
  ft_engine_push(L, FT_EU_RAISED);
  lua_pushnil(L);
  ft_engine_set(L, FT_EU_RAISED);
  lua_error(L);
}

void ft_engine_anchor(lua_State *L, ft_engine *E, const void *p, int idx) {
  (void)E;
  idx = lua_absindex(L, idx);
  ft_engine_push(L, FT_EU_LIVE);
  lua_pushvalue(L, idx);
  lua_rawsetp(L, -2, p);
  lua_pop(L, 1);
}

/* an existing field is set to nil: nothing is allocated, nothing raises */
void ft_engine_drop(lua_State *L, ft_engine *E, const void *p) {
  if (ft_engine_find(L, E, p)) {
    ft_engine_push(L, FT_EU_LIVE);
    lua_pushnil(L);
    lua_rawsetp(L, -2, p);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

int ft_engine_find(lua_State *L, ft_engine *E, const void *p) {
  (void)E;
  luaL_checkstack(L, 8, "finetune");
  ft_engine_push(L, FT_EU_LIVE);
  int type = lua_rawgetp(L, -1, p);
  lua_remove(L, -2);
  return type != LUA_TNIL;
}

/* ---- libcurl ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *per_socket) {
  ft_engine *E = ud;
  (void)easy;
  (void)per_socket;
  if (E->poll.fd >= 0)
    ft_poll_watch(&E->poll, (int)fd,
                  what == CURL_POLL_REMOVE
                      ? 0
                      : (what & CURL_POLL_IN ? FT_IN : 0) | (what & CURL_POLL_OUT ? FT_OUT : 0));
  return 0;
}

static int on_timer(CURLM *multi, long ms, void *ud) {
  ft_engine *E = ud;
  (void)multi;
  E->curl_at = ms < 0 ? -1 : ft_now() + (double)ms / 1000;
  return 0;
}

/* the newest that is what we want, because it is still in the caches */
ft_idle ft_engine_easy(ft_engine *E, ft_idle want) {
  ft_idle idle = {NULL, 0, 0};
  if (E->nidle == 0) {
    idle.easy = curl_easy_init();
    return idle;
  }
  int last = E->nidle - 1, i = last;
  while (i >= 0 && (E->idle[i].serial != want.serial || E->idle[i].timeout != want.timeout))
    i--;
  int fits = i >= 0 && want.serial != 0;
  idle = E->idle[fits ? i : last];
  E->idle[fits ? i : last] = E->idle[last];
  E->nidle--;
  if (!fits) {
    curl_easy_reset(idle.easy);
    idle.serial = 0;
  }
  return idle;
}

void ft_engine_easy_done(ft_engine *E, ft_idle idle) {
  if (E->multi == NULL || E->nidle == FT_IDLE_MAX)
    curl_easy_cleanup(idle.easy);
  else
    E->idle[E->nidle++] = idle;
}

/* HTTP/2 carries everything over one connection, but while libcurl waits to
   learn what a host speaks it would open one for each transfer: two are allowed
   until a host turns out to speak HTTP/1.1. */
void ft_engine_seen_h1(ft_engine *E) {
  if (!E->seen_h1)
    curl_multi_setopt(E->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)FT_HOST_CONNECTIONS);
  E->seen_h1 = 1;
}

/* ---- ready calls and completions ---- */

void ft_engine_ready(ft_engine *E, ft_call *c) {
  if (c->queued)
    return;
  c->queued = 1;
  c->round = E->round;
  c->ready_next = NULL;
  if (E->ready_last != NULL)
    E->ready_last->ready_next = c;
  else
    E->ready_first = c;
  E->ready_last = c;
}

/* takes a call out of the ready queue, wherever it stands in it */
void ft_engine_unready(ft_engine *E, ft_call *c) {
  if (!c->queued)
    return;
  ft_call **p = &E->ready_first, *before = NULL;
  for (; *p != c; p = &(*p)->ready_next)
    before = *p;
  *p = c->ready_next;
  if (E->ready_last == c)
    E->ready_last = before;
  c->queued = 0;
}

void ft_engine_queue(lua_State *L, ft_engine *E) { /* f, a, b, c -- */
  ft_engine_push(L, FT_EU_QUEUE);
  lua_insert(L, -1 - FT_QUEUED);
  for (int i = FT_QUEUED; i >= 1; i--)
    lua_rawseti(L, -1 - i, E->qtail + i);
  E->qtail += FT_QUEUED;
  lua_pop(L, 1);
}

/* ---- step ---- */

int ft_engine_inside(const ft_engine *E) {
  return E->stepping || E->draining || E->depth > 0;
}

ft_engine *ft_engine_check(lua_State *L) {
  ft_engine *E = ft_engine_of(L);
  if (E == NULL || E->multi == NULL)
    luaL_error(L, "finetune is not loaded in this state");
  if (E->pid != getpid())
    ft_raise_usage(L,
                   "this engine belongs to process %d, which forked this one: a child must "
                   "make a state of its own",
                   (int)E->pid);
  return E;
}

/* calls that run, and one more while completions are still to be told: a host
   that loops until 0 must not leave before its callbacks */
int ft_engine_pending(const ft_engine *E) {
  return E->ncalls + (E->owed_first != NULL || E->qhead < E->qtail);
}

/* when something is due by itself: a timer or libcurl; < 0 never */
double ft_engine_deadline(const ft_engine *E) {
  double at = E->curl_at;
  if (E->nheap > 0 && (at < 0 || E->heap[0]->at < at))
    at = E->heap[0]->at;
  return at;
}

int ft_engine_has_work(const ft_engine *E) {
  return E->ready_first != NULL || E->owed_first != NULL || E->qhead < E->qtail || E->admits;
}

void ft_engine_arm(ft_engine *E) {
  double at = ft_engine_has_work(E) ? 0 : ft_engine_deadline(E);
  if (!E->hosted || at == E->armed_at)
    return;
  E->armed_at = at;
  double left = at < 0 ? -1 : at - ft_now();
  ft_poll_arm(&E->poll, at < 0 ? -1 : left > 0 ? left : 0);
}

int ft_engine_pollfd(lua_State *L) {
  ft_engine *E = ft_engine_check(L);
  E->hosted = 1;
  E->armed_at = -2;
  ft_engine_arm(E);
  return E->poll.fd;
}

/* ---- lifetime ---- */

static int engine_gc(lua_State *L) {
  ft_engine *E = luaL_checkudata(L, 1, ENGINE_META);
  /* in a forked child the sockets and TLS sessions are the parent's */
  if (E->multi != NULL && E->pid == getpid())
    E->close(L, E);
  E->multi = NULL;
  ft_admit_close(E);
  ft_poll_close(&E->poll);
  if (E->heap != NULL)
    E->alloc(E->alloc_ud, E->heap, (size_t)E->heapcap * sizeof *E->heap, 0);
  E->heap = NULL;
  E->nheap = E->heapcap = 0;
  return 0;
}

/* libcurl opens descriptors of its own, which cannot be moved: the host's places are held
   meanwhile, as far as they are free */
static CURLM *multi_new(void) {
  int held[FT_FD_OURS], n = 0, fd;
  while (n < FT_FD_OURS && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
    held[n++] = fd;
    if (fd >= FT_FD_OURS)
      break;
  }
  CURLM *multi = curl_multi_init();
  while (n > 0)
    close(held[--n]);
  return multi;
}

static void setup_multi(ft_engine *E) {
  curl_multi_setopt(E->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(E->multi, CURLMOPT_SOCKETDATA, E);
  curl_multi_setopt(E->multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(E->multi, CURLMOPT_TIMERDATA, E);
  curl_multi_setopt(E->multi, CURLMOPT_MAX_HOST_CONNECTIONS, 2L);
}

static void setup_values(lua_State *L) {
  static const int tables[] = {FT_EU_LIVE,    FT_EU_QUEUE,     FT_EU_WAITERS, FT_EU_METHODS,
                               FT_EU_CONTEXT, FT_EU_PROVIDERS, FT_EU_DEFAULTS};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    lua_newtable(L);
    ft_engine_set(L, tables[i]);
  }
  ft_engine_push(L, FT_EU_WAITERS);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

/* [0, +1] the engine, already in the registry under both of its keys */
void ft_engine_new(lua_State *L, const ft_api *api, void (*close)(lua_State *, ft_engine *)) {
  ft_engine *E = lua_newuserdatauv(L, sizeof *E, FT_EU_LAST);
  memset(E, 0, sizeof *E);
  E->poll.fd = E->poll.timer = -1;
  E->curl_at = E->armed_at = -1;
  E->pid = getpid();
  E->api = api;
  E->close = close;
  E->alloc = lua_getallocf(L, &E->alloc_ud);
  ft_new_metatable(L, ENGINE_META); /* again after a failed try, which may have left half of it */
  lua_pushcfunction(L, engine_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  int e = ft_poll_open(&E->poll);
  if (e != 0)
    luaL_error(L, "finetune: no poll set: %s", strerror(e));
  E->multi = multi_new();
  if (E->multi == NULL)
    luaL_error(L, "finetune: not enough memory for libcurl");
  setup_multi(E);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &engine_key);
  setup_values(L);
}
