/*
** transfer.c: one request on its way: its attempts, redirects, retries, and its end.
*/
#include "ft.h"

#include <string.h>
#include <unistd.h>

#define TRANSFER_META "finetune.transfer"

/* ---- attempts ---- */

static void attempt_reset(ft_transfer *t) {
  ft_buf_clear(&t->head);
  ft_buf_clear(&t->body);
  ft_outfile_abort(&t->out);
  t->fault = NULL;
  t->fault_data = t->status = 0;
  t->retry_after = -1;
  t->up = t->down = 0;
  t->flowing = t->partial = 0;
  t->heard = 0;
  t->errbuf[0] = '\0';
  t->began = ft_now();
}

static void transfer_done(lua_State *L, ft_transfer *t) {
  t->state = FT_TS_DONE;
  ft_sources_close(t);
  if (t->call != NULL)
    ft_engine_ready(t->E, t->call);
  else { /* detached: nobody waits for it */
    ft_engine *E = t->E;
    ft_transfer_release(t);
    ft_engine_drop(L, E, t);
  }
}

static void transfer_stop(ft_transfer *t) {
  if (t->in_multi) {
    t->in_multi = 0;
    t->E->nactive--;
    t->E->nfiles -= t->file_transfer;
    curl_multi_remove_handle(t->E->multi, t->easy.easy);
  }
  ft_timer_clear(t->E, &t->timer);
  ft_admit_leave(t);
  ft_http_give(t);
}

enum { OVERDUE = 1 }; /* s: libcurl's own timeout is given so much to be the first */

/* libcurl 7.88 does not apply its timeout to a transfer that waits for a connection,
   and may forget one when memory ran out */
static void overdue(lua_State *L, ft_timer *timer) {
  ft_transfer_ended(L, (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer)),
                    CURLE_OPERATION_TIMEDOUT);
}

/* at a stream: is it over? */
static void look(lua_State *L, ft_timer *timer) {
  ft_transfer *t = (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer));
  int over = ft_stream_over(t, ft_now());
  ft_http_learn(t); /* others wait for that, and this one may not end for long */
  if (over == 0)
    ft_timer_set(t->E, timer, ft_stream_next(t));
  else {
    t->partial = over > 0;
    ft_transfer_ended(L, t, over > 0 ? CURLE_OK : CURLE_OPERATION_TIMEDOUT);
  }
}

void ft_transfer_go(lua_State *L, ft_transfer *t) {
  t->read_until = ft_now() + t->read_for;
  if (!ft_sources_open(t)) {
    ft_transfer_ended(L, t, CURLE_READ_ERROR);
    return;
  }
  if (!ft_http_take(t) || curl_multi_add_handle(t->E->multi, t->easy.easy) != CURLM_OK) {
    ft_transfer_ended(L, t, CURLE_OUT_OF_MEMORY);
    return;
  }
  t->in_multi = 1;
  t->E->nactive++;
  t->E->nfiles += t->file_transfer;
}

static void scripted_over(lua_State *L, ft_timer *timer) {
  ft_transfer *t = (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer));
  ft_transfer_ended(L, t, t->code);
}

static void begin_scripted(lua_State *L, ft_transfer *t) {
  if (!ft_sources_open(t)) {
    ft_transfer_ended(L, t, CURLE_READ_ERROR);
    return;
  }
  double delay = ft_scripted_answer(L, t);
  t->timer.fire = scripted_over;
  if (delay >= 0)
    ft_timer_set(t->E, &t->timer, ft_now() + delay);
}

void ft_transfer_begin(lua_State *L, ft_transfer *t) {
  t->attempt++;
  attempt_reset(t);
  t->state = FT_TS_ACTIVE;
  if (t->inst->scripted) {
    begin_scripted(L, t);
    return;
  }
  t->timer.fire = overdue; /* for one that waits for a place, too */
  t->look = look;
  if (ft_stream_is(t))
    ft_timer_set(t->E, &t->timer, t->began + t->timeout); /* libcurl was told of none */
  else if (!t->file_transfer)
    ft_timer_set(t->E, &t->timer, t->began + t->timeout + OVERDUE);
  int place = ft_admit_enter(t);
  if (place > 0)
    ft_transfer_go(L, t);
  else if (place < 0)
    ft_transfer_ended(L, t, CURLE_OUT_OF_MEMORY);
}

static void backoff_over(lua_State *L, ft_timer *timer) {
  ft_transfer_begin(L, (ft_transfer *)((char *)timer - offsetof(ft_transfer, timer)));
}

/* 1 where no connection, or no handshake, came about: nothing can have arrived */
static int never_sent(const ft_transfer *t, CURLcode code) {
  curl_off_t ready = 0;
  if (t->waits)
    return 1;
  if (t->inst->scripted || t->easy.easy == NULL)
    return code == CURLE_COULDNT_CONNECT;
  curl_easy_getinfo(t->easy.easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
  return ready == 0;
}

/* how a transfer ended below HTTP, by libcurl's code */
static enum ft_net net_of(const ft_transfer *t, CURLcode code) {
  switch (code) {
  case CURLE_OK:
    return FT_NET_OK;
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_COULDNT_CONNECT:
    return FT_NET_CONNECT;
  case CURLE_OPERATION_TIMEDOUT:
    return t->unsent ? FT_NET_CONNECT : FT_NET_TIMEOUT;
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_GOT_NOTHING:
  case CURLE_PARTIAL_FILE:
  case CURLE_HTTP2:
  case CURLE_HTTP2_STREAM:
  case CURLE_SSL_CONNECT_ERROR:
    return t->unsent ? FT_NET_CONNECT : FT_NET_BROKEN;
  default:
    return FT_NET_FATAL;
  }
}

static double retry_delay(ft_transfer *t) {
  static const double scale = 1.0 / 4294967296.0;
  ft_outcome o = {t->net,  t->status, t->attempt, t->inst->max_retries,
                  t->once, -1,        -1,         t->inst->retry_delay,
                  0};
  if (t->fault != NULL || t->heard > 0) /* a stream that has begun is not begun again */
    return -1;
  if (t->net == FT_NET_OK) {
    o.should_retry = ft_response_should_retry(t);
    o.retry_after = t->retry_after = ft_response_retry_after(t);
    if (ft_response_accepted(t))
      return -1;
  }
  /* jitter from the clock's low bits: no state shared, no generator to seed */
  double now = ft_now() * 1e6;
  unsigned bits = (unsigned)(unsigned long long)now * 2654435761u;
  o.random = (double)bits * scale;
  return ft_retry_delay(&o);
}

void ft_transfer_ended(lua_State *L, ft_transfer *t, CURLcode code) {
  long status = t->status;
  if (!t->inst->scripted && t->easy.easy != NULL)
    curl_easy_getinfo(t->easy.easy, CURLINFO_RESPONSE_CODE, &status);
  t->status = (int)status;
  t->code = code;
  t->unsent = code != CURLE_OK && never_sent(t, code);
  t->net = net_of(t, code);
  transfer_stop(t);
  if (t->inst->traced)
    ft_trace(L, t);
  if (t->net == FT_NET_OK && ft_redirect(t)) {
    t->attempt--; /* a hop is no retry */
    ft_transfer_begin(L, t);
    return;
  }
  double delay = t->call == NULL ? -1 : retry_delay(t);
  if (delay < 0) {
    transfer_done(L, t);
    return;
  }
  t->state = FT_TS_BACKOFF;
  t->timer.fire = backoff_over;
  ft_timer_set(t->E, &t->timer, ft_now() + delay);
}

/* ---- lifetime ---- */

static void transfer_unlink(ft_transfer *t) {
  if (t->prev != NULL)
    t->prev->next = t->next;
  else if (t->E->transfers == t)
    t->E->transfers = t->next;
  if (t->next != NULL)
    t->next->prev = t->prev;
  t->prev = t->next = NULL;
}

void ft_transfer_release(ft_transfer *t) {
  if (t->E == NULL)
    return;
  transfer_stop(t);
  ft_timer_clear(t->E, &t->timer);
  transfer_unlink(t);
  ft_engine_unreserve(t->E);
  ft_sources_close(t);
  ft_outfile_abort(&t->out);
  curl_mime *mime = t->mime;
  t->mime = NULL;
  ft_http_give(t);
  curl_mime_free(mime);
  struct curl_slist *headers = t->headers;
  t->headers = NULL;
  curl_slist_free_all(headers);
  ft_buf_free(&t->url);
  ft_buf_free(&t->head);
  ft_buf_free(&t->body);
  t->state = FT_TS_DONE;
  t->E = NULL;
}

static int transfer_gc(lua_State *L) {
  ft_transfer *t = luaL_checkudata(L, 1, TRANSFER_META);
  if (t->E == NULL)
    return 0;
  if (t->E->pid != getpid()) { /* a forked child: the connection is the parent's */
    ft_sources_close(t);
    return 0;
  }
  /* a detached transfer that is alive here: the state closes; the engine, which
     is finalized last, gives it a moment */
  if (t->call != NULL || !t->in_multi)
    ft_transfer_release(t);
  return 0;
}

ft_transfer *ft_transfer_new(lua_State *L, ft_engine *E) {
  ft_transfer *t = lua_newuserdatauv(L, sizeof *t, FT_TU_LAST);
  memset(t, 0, sizeof *t);
  t->timer.index = -1;
  t->out.fd = -1;
  luaL_setmetatable(L, TRANSFER_META);
  if (!ft_engine_reserve(E))
    luaL_error(L, "not enough memory");
  t->E = E;
  t->next = E->transfers;
  if (t->next != NULL)
    t->next->prev = t;
  E->transfers = t;
  ft_buf_init(&t->url, E->alloc, E->alloc_ud, 64 * 1024);
  ft_buf_init(&t->head, E->alloc, E->alloc_ud, FT_HEAD_MAX);
  ft_buf_init(&t->body, E->alloc, E->alloc_ud, FT_BODY_MAX);
  return t;
}

void ft_transfer_open(lua_State *L) {
  ft_new_metatable(L, TRANSFER_META);
  lua_pushcfunction(L, transfer_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
