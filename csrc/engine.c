/*
** engine.c: one engine per lua_State: the curl multi handle, the poll set, the
** timers, the calls that are ready, and `step`, which moves all of them.
**
** The order inside a step is what makes the rest safe: wait; give libcurl its
** sockets and its timer (callbacks only note things); fire timers; collect
** ended transfers; only then run Lua, one call at a time; last, with nothing
** half-done, deliver completions (the drain).
*/
#include "ft.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define ENGINE_META "finetune.engine"

enum {
  EVENTS = 64,     /* descriptors handled in one step */
  ABANDON_TIME = 1 /* s: what aborts of uploads get when the state closes */
};

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

/* ---- timers ---- */

/* Those that were set while this round fires wait for the next: a sleep(0) loop
   must not keep a host from its own work. */
static void fire_timers(lua_State *L, ft_engine *E) {
  double now = ft_now();
  while (E->nheap > 0 && E->heap[0]->at <= now) {
    ft_timer *t = E->heap[0];
    ft_timer_clear(E, t);
    t->fire(L, t);
  }
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

static void learn_version(ft_engine *E, ft_transfer *t, CURL *easy) {
  long version = 0;
  if (curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version) != CURLE_OK)
    return;
  ft_admit_learn(t, version);
  if (version == CURL_HTTP_VERSION_1_1 || version == CURL_HTTP_VERSION_1_0)
    ft_engine_seen_h1(E);
}

static void collect(lua_State *L, ft_engine *E) {
  CURLMsg *m;
  int left;
  while (E->nactive > 0 && (m = curl_multi_info_read(E->multi, &left)) != NULL) {
    ft_transfer *t;
    CURLcode code = m->data.result;
    CURL *easy = m->easy_handle;
    if (m->msg != CURLMSG_DONE)
      continue;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
    learn_version(E, t, easy);
    ft_transfer_ended(L, t, code); /* m is gone from here on */
  }
}

/* libcurl moves what waits for `fd`; 0 where it found no memory */
static int curl_act(ft_engine *E, int fd, int events) {
  int running;
  CURLMcode code = curl_multi_socket_action(E->multi, (curl_socket_t)fd, events, &running);
  return code == CURLM_OK || code == CURLM_BAD_SOCKET;
}

/* Without memory libcurl may have left a transfer with no socket watched and no
   timer, and does not say which one: such a transfer would hang for ever. */
static void end_transfers(lua_State *L, ft_engine *E) {
  for (ft_transfer *t = E->transfers, *next; t != NULL; t = next) {
    next = t->next;
    if (t->in_multi)
      ft_transfer_ended(L, t, CURLE_OUT_OF_MEMORY);
  }
}

static int run_curl(ft_engine *E, const ft_event *ev, int n) {
  int ok = 1;
  for (int i = 0; i < n; i++)
    ok &= curl_act(E, ev[i].fd,
                   (ev[i].events & FT_IN ? CURL_CSELECT_IN : 0) |
                       (ev[i].events & FT_OUT ? CURL_CSELECT_OUT : 0) |
                       (ev[i].events & FT_HUP ? CURL_CSELECT_ERR : 0));
  if (E->curl_at >= 0 && E->curl_at <= ft_now()) {
    E->curl_at = -1;
    ok &= curl_act(E, CURL_SOCKET_TIMEOUT, 0);
  }
  return ok;
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

/* what is ready now; what becomes ready meanwhile waits for the next step */
static void run_ready(lua_State *L, ft_engine *E) {
  unsigned round = E->round++;
  while (E->ready_first != NULL && E->ready_first->round == round) {
    ft_call *c = E->ready_first;
    ft_engine_unready(E, c);
    ft_call_advance(L, c);
  }
}

void ft_engine_queue(lua_State *L, ft_engine *E) { /* f, a, b -- */
  ft_engine_push(L, FT_EU_QUEUE);
  lua_insert(L, -4);
  for (int i = 3; i >= 1; i--)
    lua_rawseti(L, -1 - i, E->qtail + i);
  E->qtail += 3;
  lua_pop(L, 1);
}

static void queue_take(lua_State *L, ft_engine *E, int queue) { /* -- f, a, b */
  for (int i = 1; i <= 3; i++) {
    lua_rawgeti(L, queue, E->qhead + i);
    lua_pushnil(L);
    lua_rawseti(L, queue, E->qhead + i);
  }
  E->qhead += 3;
  if (E->qhead == E->qtail)
    E->qhead = E->qtail = 0;
}

/* Runs what is due now; what is queued meanwhile waits for the next step, so
   that completions which beget completions cannot keep a host for ever. A
   callback that raises ends the round; the rest stay queued. */
static int drain(lua_State *L) {
  ft_engine *E = ft_engine_of(L);
  lua_Integer n = (E->qtail - E->qhead) / 3;
  ft_engine_push(L, FT_EU_QUEUE);
  for (; n > 0; n--) {
    queue_take(L, E, 1);
    lua_call(L, 2, 0);
  }
  for (ft_call *last = E->owed_last; E->owed_first != NULL;) {
    int was_last = E->owed_first == last;
    while (ft_call_deliver(L))
      ;
    if (was_last)
      break;
  }
  return 0;
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
static double next_deadline(const ft_engine *E) {
  double at = E->curl_at;
  if (E->nheap > 0 && (at < 0 || E->heap[0]->at < at))
    at = E->heap[0]->at;
  return at;
}

static int has_work(const ft_engine *E) {
  return E->ready_first != NULL || E->owed_first != NULL || E->qhead < E->qtail || E->admits;
}

/* milliseconds that a step may wait, rounded up: early is a wasted round */
static int wait_time(const ft_engine *E, double timeout) {
  double at = next_deadline(E), left = at < 0 ? -1 : at - ft_now();
  if (has_work(E) || timeout == 0 || (at >= 0 && left <= 0))
    return 0;
  if (at < 0 && E->nactive == 0 && timeout < 0)
    return 0; /* nothing can ever happen: do not wait for it */
  if (timeout >= 0 && (left < 0 || timeout < left))
    left = timeout;
  return left < 0 ? -1 : left > 86400 ? 86400000 : (int)ceil(left * 1000);
}

void ft_engine_arm(ft_engine *E) {
  double at = has_work(E) ? 0 : next_deadline(E);
  if (!E->hosted || at == E->armed_at)
    return;
  E->armed_at = at;
  double left = at < 0 ? -1 : at - ft_now();
  ft_poll_arm(&E->poll, at < 0 ? -1 : left > 0 ? left : 0);
}

/* bytes moved, to the calls that want to know; ended transfers tell by themselves */
static void report_progress(lua_State *L, ft_engine *E) {
  for (ft_transfer *t = E->transfers, *next; t != NULL; t = next) {
    next = t->next;
    if (t->file_transfer && t->call != NULL)
      ft_call_report(L, t->call, 0);
  }
}

static void step_io(lua_State *L, ft_engine *E, double timeout) {
  ft_event ev[EVENTS];
  int ms = wait_time(E, timeout);
  int idle = E->nactive == 0 && ms == 0 && !E->hosted; /* no descriptor can matter */
  int n = idle ? 0 : ft_poll_wait(&E->poll, ev, EVENTS, ms);
  int ok = run_curl(E, ev, n);
  collect(L, E);
  if (!ok)
    end_transfers(L, E);
  fire_timers(L, E);
  ft_admit_run(L, E);
  if (E->nfiles > 0)
    report_progress(L, E);
}

int ft_engine_step(lua_State *L, double timeout) {
  ft_engine *E = ft_engine_check(L);
  if (ft_engine_inside(E))
    return ft_raise_usage(
        L, "cannot wait here: this code runs inside the engine (a callback, an operation, or "
           "a coroutine of its own below finetune.run); wait in a function given to "
           "finetune.run itself, or use provider:async and call:on_done");
  luaL_checkstack(L, 20, "finetune");
  E->stepping = 1;
  step_io(L, E, timeout);
  run_ready(L, E);
  E->stepping = 0;
  int status = LUA_OK;
  if (E->qhead < E->qtail || E->owed_first != NULL) {
    E->draining = 1;
    lua_pushcfunction(L, ft_traceback);
    lua_pushcfunction(L, drain);
    status = lua_pcall(L, 0, 0, -2);
    E->draining = 0;
  }
  E->armed_at = -2; /* the timer may have run out: set it again */
  ft_engine_arm(E);
  if (status != LUA_OK)
    return lua_error(L);
  return ft_engine_pending(E);
}

int ft_engine_pollfd(lua_State *L) {
  ft_engine *E = ft_engine_check(L);
  E->hosted = 1;
  E->armed_at = -2;
  ft_engine_arm(E);
  return E->poll.fd;
}

/* ---- lifetime ---- */

/* Aborts of uploads that are under way get a moment; nothing else does. */
static void finish_detached(lua_State *L, ft_engine *E) {
  double until = ft_now() + ABANDON_TIME;
  ft_admit_run(L, E);
  while (E->nactive > 0 && ft_now() < until)
    step_io(L, E, 0.05);
}

static void drop_transfers(ft_engine *E, int detached) {
  for (ft_transfer *t = E->transfers, *next; t != NULL; t = next) {
    next = t->next;
    if (!detached || t->call != NULL)
      ft_transfer_release(t);
  }
}

static void close_curl(lua_State *L, ft_engine *E) {
  CURLM *multi = E->multi;
  drop_transfers(E, 1);
  finish_detached(L, E);
  drop_transfers(E, 0);
  E->multi = NULL;
  while (E->nidle > 0)
    curl_easy_cleanup(E->idle[--E->nidle].easy);
  curl_multi_cleanup(multi); /* calls on_socket: the poll set is still there */
}

static int engine_gc(lua_State *L) {
  ft_engine *E = luaL_checkudata(L, 1, ENGINE_META);
  /* in a forked child the sockets and TLS sessions are the parent's */
  if (E->multi != NULL && E->pid == getpid())
    close_curl(L, E);
  E->multi = NULL;
  ft_admit_close(E);
  ft_poll_close(&E->poll);
  if (E->heap != NULL)
    E->alloc(E->alloc_ud, E->heap, (size_t)E->heapcap * sizeof *E->heap, 0);
  E->heap = NULL;
  E->nheap = E->heapcap = 0;
  return 0;
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
void ft_engine_new(lua_State *L, const ft_api *api) {
  ft_engine *E = lua_newuserdatauv(L, sizeof *E, FT_EU_LAST);
  memset(E, 0, sizeof *E);
  E->poll.fd = E->poll.timer = -1;
  E->curl_at = E->armed_at = -1;
  E->pid = getpid();
  E->api = api;
  E->alloc = lua_getallocf(L, &E->alloc_ud);
  if (luaL_newmetatable(L, ENGINE_META)) {
    lua_pushcfunction(L, engine_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  int e = ft_poll_open(&E->poll);
  if (e != 0)
    luaL_error(L, "finetune: no poll set: %s", strerror(e));
  E->multi = curl_multi_init();
  if (E->multi == NULL)
    luaL_error(L, "finetune: not enough memory for libcurl");
  setup_multi(E);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &engine_key);
  setup_values(L);
}
