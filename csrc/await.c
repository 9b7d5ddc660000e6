/*
** await.c: what a step may ask for, and how it gets the answer: one request, a
** batch of them, a sleep, another call; and the progress of what is under way.
*/
#include "ft.h"

ft_call *ft_call_check(lua_State *L, int idx) {
  return luaL_checkudata(L, idx, FT_CALL_META);
}

int ft_call_result(lua_State *L, int idx) {
  ft_call *c = ft_call_check(L, idx);
  idx = lua_absindex(L, idx);
  if (c->state != FT_CS_DONE) {
    lua_pushnil(L);
    lua_pushnil(L);
    return 0;
  }
  lua_getiuservalue(L, idx, FT_CU_VALUE);
  lua_getiuservalue(L, idx, FT_CU_ERROR);
  return 1;
}

static void push_instance(lua_State *L, int call) {
  lua_getiuservalue(L, call, FT_CU_INSTANCE);
}

static void clear_wait(lua_State *L) {
  lua_pushnil(L);
  lua_setiuservalue(L, FT_CALL, FT_CU_WAIT);
}

void ft_call_drop_transfers(lua_State *L, ft_call *c) {
  while (c->first != NULL) {
    ft_transfer *t = c->first;
    ft_engine *E = c->E;
    c->first = t->sibling;
    t->call = NULL;
    ft_transfer_release(t);
    ft_engine_drop(L, E, t);
  }
  c->batch = 0;
}

/* [0, +2] the answer of the one request: response, nil or nil, error */
static void take_answer(lua_State *L, ft_call *c) {
  ft_call_report(L, c, 1);
  push_instance(L, FT_CALL);
  if (ft_response_push(L, c->first, lua_gettop(L)))
    lua_pushnil(L);
  else {
    lua_pushnil(L);
    lua_insert(L, -2);
  }
  lua_remove(L, -3);
  ft_call_drop_transfers(L, c);
}

/* [0, 0] [raise] begins the request on top as a transfer of this call */
static void look_for_progress(lua_State *L, ft_call *c) { /* on an op's stack */
  lua_getiuservalue(L, FT_CALL, FT_CU_PARAMS);
  c->has_progress = lua_istable(L, -1) && lua_getfield(L, -1, "on_progress") == LUA_TFUNCTION;
}

static void begin_transfer(lua_State *L, ft_call *c, int index) {
  push_instance(L, FT_CALL);
  lua_insert(L, -2);
  int top = lua_gettop(L);
  ft_transfer *t = ft_request_prepare(L, c->inst, top - 1, c->timeout);
  ft_engine_anchor(L, c->E, t, -1);
  t->call = c;
  t->index = index;
  t->sibling = c->first;
  c->first = t;
  if (t->file_transfer && !c->has_progress)
    look_for_progress(L, c);
  lua_settop(L, top - 2);
  ft_transfer_begin(L, t);
}

static int running_transfers(const ft_call *c) {
  int n = 0;
  for (const ft_transfer *t = c->first; t != NULL; t = t->sibling)
    n += t->state != FT_TS_DONE;
  return n;
}

static void batch_fill(lua_State *L, ft_call *c) {
  for (int n = running_transfers(c); n < c->concurrency && c->next_request <= c->batch; n++) {
    int i = c->next_request++;
    lua_getiuservalue(L, FT_CALL, FT_CU_WAIT);
    lua_rawgeti(L, -1, i);
    lua_remove(L, -2);
    begin_transfer(L, c, i);
  }
}

/* takes one ended transfer out of the batch: 1 and nothing, or 0 and its error on top */
static int batch_take(lua_State *L, ft_call *c, ft_transfer **place) {
  ft_transfer *t = *place;
  ft_engine *E = c->E;
  int index = t->index;
  ft_call_report(L, c, 1);
  push_instance(L, FT_CALL);
  int ok = ft_response_push(L, t, lua_gettop(L));
  lua_remove(L, -2);
  c->progress_done += (double)t->up;
  *place = t->sibling;
  t->call = NULL;
  ft_transfer_release(t);
  ft_engine_drop(L, E, t);
  if (!ok)
    return 0;
  lua_getiuservalue(L, FT_CALL, FT_CU_VALUE);
  lua_insert(L, -2);
  lua_rawseti(L, -2, index);
  lua_pop(L, 1);
  return 1;
}

/* [0, +2 | 0] 1 and the answer of the whole batch, or 0: it goes on */
static int batch_collect(lua_State *L, ft_call *c) {
  for (ft_transfer **p = &c->first; *p != NULL;) {
    if ((*p)->state != FT_TS_DONE)
      p = &(*p)->sibling;
    else if (!batch_take(L, c, p)) {
      ft_call_drop_transfers(L, c);
      clear_wait(L);
      lua_pushnil(L);
      lua_insert(L, -2);
      return 1;
    }
  }
  batch_fill(L, c);
  if (c->first != NULL)
    return 0;
  c->batch = 0;
  clear_wait(L);
  lua_getiuservalue(L, FT_CALL, FT_CU_VALUE);
  lua_pushnil(L);
  return 1;
}

/* [0, +2 | 0] pushes response and error; 0 where a batch is not complete */
int ft_call_push_awaited(lua_State *L, ft_call *c) {
  if (c->batch > 0)
    return batch_collect(L, c);
  if (c->first != NULL)
    take_answer(L, c);
  else if (lua_getiuservalue(L, FT_CALL, FT_CU_WAIT) == LUA_TUSERDATA) {
    ft_call_result(L, lua_gettop(L));
    lua_remove(L, -3);
    clear_wait(L);
  } else
    lua_pushnil(L); /* a sleep: the nil of FT_CU_WAIT is the response */
  return 1;
}

/* ---- what an op asks for ---- */

int ft_call_request(lua_State *L, ft_call *c) {
  begin_transfer(L, c, 1);
  c->asked = FT_ASK_TRANSFER;
  return FT_WAIT;
}

int ft_call_request_all(lua_State *L, ft_call *c, int concurrency) {
  luaL_checktype(L, -1, LUA_TTABLE);
  c->batch = (int)lua_rawlen(L, -1);
  if (c->batch == 0)
    luaL_error(L, "an empty array of requests");
  c->next_request = 1;
  c->concurrency = concurrency > 0 ? concurrency : 4;
  lua_setiuservalue(L, FT_CALL, FT_CU_WAIT);
  lua_createtable(L, c->batch, 0);
  lua_setiuservalue(L, FT_CALL, FT_CU_VALUE);
  batch_fill(L, c);
  c->asked = FT_ASK_TRANSFER;
  return FT_WAIT;
}

static void sleep_over(lua_State *L, ft_timer *timer) {
  ft_call *c = (ft_call *)((char *)timer - offsetof(ft_call, timer));
  (void)L;
  ft_engine_ready(c->E, c);
}

int ft_call_sleep(lua_State *L, ft_call *c, double seconds) {
  if (!(seconds >= 0) || seconds > 1e9)
    luaL_error(L, "cannot sleep %f seconds", seconds);
  c->timer.fire = sleep_over;
  ft_timer_set(c->E, &c->timer, ft_now() + seconds);
  c->asked = FT_ASK_SLEEP;
  return FT_WAIT;
}

int ft_call_await(lua_State *L, ft_call *c) {
  ft_call *child = ft_call_check(L, -1);
  for (const ft_call *x = child; x != NULL; x = x->child)
    if (x == c)
      luaL_error(L, "calls that wait for one another would wait for ever");
  lua_setiuservalue(L, FT_CALL, FT_CU_WAIT);
  c->asked = FT_ASK_CALL;
  if (child->state == FT_CS_DONE)
    ft_engine_ready(c->E, c);
  else {
    c->child = child;
    c->sibling = child->parents;
    child->parents = c;
  }
  return FT_WAIT;
}

void ft_call_on_cancel(lua_State *L, ft_call *c) {
  (void)c;
  lua_setiuservalue(L, FT_CALL, FT_CU_ABORT);
}

/* ---- progress ---- */

void ft_call_progress(lua_State *L, ft_call *c, double done, double total) {
  int top = lua_gettop(L);
  c->progress_done = done;
  c->progress_total = total;
  if (!c->has_progress)
    look_for_progress(L, c);
  lua_settop(L, top);
  ft_call_report(L, c, total > 0 && done >= total);
}

static int tell_progress(lua_State *L) { /* call -- ; protected by ft_call_report */
  ft_call *c = lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, FT_CU_PARAMS);
  lua_getfield(L, -1, "on_progress");
  lua_pushinteger(L, (lua_Integer)c->progress_told);
  lua_pushinteger(L, (lua_Integer)c->progress_total);
  lua_getiuservalue(L, 1, FT_CU_SCRATCH); /* what the op has to say beside: nil, or a table */
  lua_getfield(L, -1, "progress");
  lua_remove(L, -2);
  ft_engine_queue(L, c->E);
  return 0;
}

enum { PROGRESS_EVERY = 50 }; /* ms between two reports */

void ft_call_report(lua_State *L, ft_call *c, int last) {
  double now = ft_now(), done = c->progress_done, total = 0;
  if (!c->has_progress || (!last && now - c->progress_at < PROGRESS_EVERY / 1000.0))
    return;
  for (const ft_transfer *t = c->first; t != NULL; t = t->sibling) {
    done += (double)(t->output != NULL ? t->down : t->up);
    total += (double)(t->output != NULL ? t->down_total : t->up_total);
  }
  if (c->progress_total <= 0)
    c->progress_total = total;
  if (c->progress_total > 0 && done > c->progress_total)
    done = c->progress_total; /* the envelope of a multipart body is no part of the file */
  if (done <= c->progress_told)
    return;
  c->progress_told = done;
  c->progress_at = now;
  int top = lua_gettop(L);
  lua_pushcfunction(L, tell_progress);
  if (ft_engine_find(L, c->E, c))
    ft_engine_quietly(L, c->E, 1); /* without memory this report is lost, the transfer is not */
  lua_settop(L, top);
}

/* 1 where a waiting call has what it waits for */
int ft_call_is_ready(const ft_call *c) {
  return c->batch > 0 || c->asked != FT_ASK_TRANSFER || running_transfers(c) == 0;
}
