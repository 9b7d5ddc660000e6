/*
** step.c: one round of the engine, and its end.
**
** The order inside a step is what makes the rest safe: wait; give libcurl its
** sockets and its timer (callbacks only note things); fire timers; collect
** ended transfers; only then run Lua, one call at a time; last, with nothing
** half-done, deliver completions (the drain).
*/
#include "ft.h"

#include <math.h>

enum {
  EVENTS = 64,     /* descriptors handled in one step */
  ABANDON_TIME = 1 /* s: what aborts of uploads get when the state closes */
};

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

static void collect(lua_State *L, ft_engine *E) {
  CURLMsg *m;
  int left;
  while (E->nactive > 0 && (m = curl_multi_info_read(E->multi, &left)) != NULL) {
    ft_transfer *t;
    CURLcode code = m->data.result;
    if (m->msg != CURLMSG_DONE)
      continue;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
    ft_http_learn(t);
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

/* what is ready now; what becomes ready meanwhile waits for the next step */
static void run_ready(lua_State *L, ft_engine *E) {
  unsigned round = E->round++;
  while (E->ready_first != NULL && E->ready_first->round == round) {
    ft_call *c = E->ready_first;
    ft_engine_unready(E, c);
    ft_call_advance(L, c);
  }
}

static void queue_take(lua_State *L, ft_engine *E, int queue) { /* -- f, a, b, c */
  for (int i = 1; i <= FT_QUEUED; i++) {
    lua_rawgeti(L, queue, E->qhead + i);
    lua_pushnil(L);
    lua_rawseti(L, queue, E->qhead + i);
  }
  E->qhead += FT_QUEUED;
  if (E->qhead == E->qtail)
    E->qhead = E->qtail = 0;
}

/* Runs what is due now; what is queued meanwhile waits for the next step, so
   that completions which beget completions cannot keep a host for ever. A
   callback that raises ends the round; the rest stay queued. */
static int drain(lua_State *L) {
  ft_engine *E = ft_engine_of(L);
  lua_Integer n = (E->qtail - E->qhead) / FT_QUEUED;
  ft_engine_push(L, FT_EU_QUEUE);
  for (; n > 0; n--) {
    queue_take(L, E, 1);
    lua_call(L, FT_QUEUED - 1, 0);
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

/* milliseconds that a step may wait, rounded up: early is a wasted round */
static int wait_time(const ft_engine *E, double timeout) {
  double at = ft_engine_deadline(E), left = at < 0 ? -1 : at - ft_now();
  if (ft_engine_has_work(E) || timeout == 0 || (at >= 0 && left <= 0))
    return 0;
  if (at < 0 && E->nactive == 0 && timeout < 0)
    return 0; /* nothing can ever happen: do not wait for it */
  if (timeout >= 0 && (left < 0 || timeout < left))
    left = timeout;
  return left < 0 ? -1 : left > 86400 ? 86400000 : (int)ceil(left * 1000);
}

/* bytes moved, to the calls that want to know; ended transfers tell by themselves */
static void report_progress(lua_State *L, ft_engine *E) {
  for (ft_transfer *t = E->transfers, *next; t != NULL; t = next) {
    next = t->next;
    if (t->file_transfer && t->call != NULL)
      ft_call_report(L, t->call, 0);
  }
}

/* begins those for whom there is a place now */
static void admit(lua_State *L, ft_engine *E) {
  for (ft_transfer *t; (t = ft_admit_next(E)) != NULL;)
    ft_transfer_go(L, t);
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
  admit(L, E);
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
  ft_engine_raise(L, E);
  return ft_engine_pending(E);
}

/* ---- the end ---- */

/* Aborts of uploads that are under way get a moment; nothing else does. */
static void finish_detached(lua_State *L, ft_engine *E) {
  double until = ft_now() + ABANDON_TIME;
  admit(L, E);
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

/* from the engine's finalizer: everything of libcurl's is given back */
void ft_step_close(lua_State *L, ft_engine *E) {
  CURLM *multi = E->multi;
  drop_transfers(E, 1);
  finish_detached(L, E);
  drop_transfers(E, 0);
  E->multi = NULL;
  while (E->nidle > 0)
    curl_easy_cleanup(E->idle[--E->nidle].easy);
  curl_multi_cleanup(multi); /* calls on_socket: the poll set is still there */
}
