/*
** call.c: THE dispatch. One running operation, for providers in C and in Lua
** alike: start, step, end. What a step may ask for is in await.c, what Lua sees
** of a call in call_lua.c.
*/
#include "ft.h"

#include <string.h>
#include <unistd.h>

/* ---- anchors ---- */

/* [raise] the call at idx stays alive while it waits */
static void call_anchor(lua_State *L, ft_call *c, int idx) {
  if (c->anchored)
    return;
  ft_engine *E = c->E;
  ft_engine_anchor(L, E, c, idx);
  c->anchored = 1;
  c->prev = NULL;
  c->next = E->calls;
  if (c->next != NULL)
    c->next->prev = c;
  E->calls = c;
  E->ncalls++;
}

/* an ended call leaves the list of those that wait */
static void call_unlink(ft_call *c) {
  if (c->prev != NULL)
    c->prev->next = c->next;
  else if (c->E->calls == c)
    c->E->calls = c->next;
  if (c->next != NULL)
    c->next->prev = c->prev;
  c->prev = c->next = NULL;
  c->E->ncalls--;
}

/* lets go of an ended call once it owes nobody a callback */
void ft_call_let_go(lua_State *L, ft_call *c) {
  if (!c->anchored || c->state != FT_CS_DONE || c->owed)
    return;
  c->anchored = 0;
  ft_engine_drop(L, c->E, c);
}

/* ---- letting go ---- */

static void leave_child(ft_call *c) {
  if (c->child == NULL)
    return;
  ft_call **p = &c->child->parents;
  while (*p != NULL && *p != c)
    p = &(*p)->sibling;
  if (*p == c)
    *p = c->sibling;
  c->child = c->sibling = NULL;
}

static void clear_uv(lua_State *L, int call, int uv) {
  lua_pushnil(L);
  lua_setiuservalue(L, call, uv);
}

/* ---- the end ---- */

static void wake_parents(ft_call *c) {
  while (c->parents != NULL) {
    ft_call *parent = c->parents;
    c->parents = parent->sibling;
    parent->sibling = NULL;
    parent->child = NULL;
    ft_engine_ready(c->E, parent);
  }
}

static void owe_callbacks(lua_State *L, ft_call *c, int call) {
  int has = lua_getiuservalue(L, call, FT_CU_ON_DONE) != LUA_TNIL;
  lua_pop(L, 1);
  if (!has || c->owed)
    return;
  c->owed = 1;
  c->owed_next = NULL;
  if (c->E->owed_last != NULL)
    c->E->owed_last->owed_next = c;
  else
    c->E->owed_first = c;
  c->E->owed_last = c;
}

/* The call at index `call` has ended; its value or error is in place. Nothing
   here allocates, so nothing can fail. */
static void call_end(lua_State *L, ft_call *c, int call, int ok) {
  c->ok = ok;
  c->state = FT_CS_DONE;
  ft_timer_clear(c->E, &c->timer);
  ft_engine_unready(c->E, c);
  leave_child(c);
  ft_call_drop_transfers(L, c);
  clear_uv(L, call, FT_CU_SCRATCH);
  clear_uv(L, call, FT_CU_ABORT);
  clear_uv(L, call, FT_CU_WAIT);
  c->hook = NULL;
  wake_parents(c);
  if (c->anchored) {
    call_unlink(c);
    owe_callbacks(L, c, call);
    ft_call_let_go(L, c);
  }
}

/* call, anything -- ; the error value goes in place; protected by call_fail */
static int store_error(lua_State *L) {
  ft_call *c = lua_touserdata(L, 1);
  if (lua_isnil(L, 2) && c->cancelled) {
    ft_error(L, "cancelled", "the call was cancelled");
    lua_replace(L, 2);
  }
  const char *words = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  ft_error_coerce(L, strcmp(words, "not enough memory") == 0 ? "memory" : "provider");
  lua_getiuservalue(L, 1, FT_CU_INSTANCE);
  ft_error_complete(L, 2, c->inst, 3, ft_op_name(c->op));
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, FT_CU_ERROR);
  return 0;
}

/* [-1, 0] ends the call with what is on top as its error */
static void call_fail(lua_State *L, ft_call *c, int call) {
  lua_pushcfunction(L, store_error);
  lua_insert(L, -2);
  lua_pushvalue(L, call);
  lua_insert(L, -2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
    lua_pop(L, 1);
    ft_engine_push(L, FT_EU_MEMERR);
    lua_setiuservalue(L, call, FT_CU_ERROR);
  }
  clear_uv(L, call, FT_CU_VALUE);
  call_end(L, c, call, 0);
}

/* ---- one step ---- */

static void push_instance(lua_State *L, int call) {
  lua_getiuservalue(L, call, FT_CU_INSTANCE);
}

/* stores what the op left, by its status; answers the status */
static int take_status(lua_State *L, ft_call *c, int status) {
  switch (status) {
  case FT_DONE:
    lua_setiuservalue(L, FT_CALL, FT_CU_VALUE);
    break;
  case FT_WAIT:
    if (c->asked == FT_ASK_NOTHING)
      luaL_error(L, "the operation waits, but has asked for nothing");
    call_anchor(L, c, FT_CALL);
    break;
  default:
    status = FT_FAIL;
    lua_setiuservalue(L, FT_CALL, FT_CU_ERROR);
  }
  return status;
}

static int step(lua_State *L) { /* call -- status */
  ft_call *c = lua_touserdata(L, FT_CALL);
  lua_getiuservalue(L, FT_CALL, FT_CU_PARAMS);
  lua_getiuservalue(L, FT_CALL, FT_CU_SCRATCH);
  push_instance(L, FT_CALL);
  lua_getiuservalue(L, -1, FT_IU_CONFIG);
  lua_replace(L, FT_CONFIG);
  c->asked = FT_ASK_TRANSFER; /* for a batch that goes on */
  int status = FT_WAIT;
  if (ft_call_push_awaited(L, c)) {
    c->asked = FT_ASK_NOTHING;
    luaL_checkstack(L, LUA_MINSTACK, "operation");
    status = c->slot->op(L, c);
  }
  lua_pushinteger(L, take_status(L, c, status));
  return 1;
}

static void run_hook(lua_State *L, ft_call *c, int call);

static void step_failed(lua_State *L, ft_call *c, int call) {
  run_hook(L, c, call);
  call_fail(L, c, call);
}

/* the error that the op returned is in place as it came: complete it */
static void step_returned_error(lua_State *L, ft_call *c, int call) {
  lua_getiuservalue(L, call, FT_CU_ERROR);
  call_fail(L, c, call);
}

/* the call's userdata on top [0, 0] */
static void call_step(lua_State *L, ft_call *c) {
  int call = lua_gettop(L);
  ft_call *outer = c->E->running;
  c->state = FT_CS_RUNNING;
  c->E->running = c;
  c->E->depth++;
  lua_pushcfunction(L, step);
  lua_pushvalue(L, call);
  int failed = lua_pcall(L, 1, 1, 0) != LUA_OK;
  c->E->depth--;
  c->E->running = outer;
  int status = failed ? FT_FAIL : (int)lua_tointeger(L, -1);
  c->state = FT_CS_WAITING;
  if (failed)
    step_failed(L, c, call);
  else if (status == FT_FAIL)
    step_returned_error(L, c, call);
  else if (status == FT_DONE)
    call_end(L, c, call, 1);
  else if (c->cancelled) /* it was cancelled from inside its own step */
    ft_call_cancel(L, c);
  lua_settop(L, call);
}

void ft_call_advance(lua_State *L, ft_call *c) {
  ft_engine_find(L, c->E, c);
  if (c->state == FT_CS_WAITING && ft_call_is_ready(c))
    call_step(L, c);
  ft_call_let_go(L, c);
  lua_pop(L, 1);
}

/* ---- cancel ---- */

static int call_hook(lua_State *L) { /* call -- */
  ft_call *c = lua_touserdata(L, FT_CALL);
  void (*hook)(lua_State *, ft_call *) = c->hook;
  c->hook = NULL;
  lua_getiuservalue(L, FT_CALL, FT_CU_PARAMS);
  lua_getiuservalue(L, FT_CALL, FT_CU_SCRATCH);
  hook(L, c);
  return 0;
}

static void run_hook(lua_State *L, ft_call *c, int call) {
  if (c->hook == NULL)
    return;
  c->E->depth++;
  lua_pushcfunction(L, call_hook);
  lua_pushvalue(L, call);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    lua_pop(L, 1); /* a close handler that raises has nobody to tell */
  c->E->depth--;
}

/* call -- ; sends the request of on_cancel, which belongs to nobody from now on */
static int send_abort(lua_State *L) {
  ft_call *c = lua_touserdata(L, 1);
  push_instance(L, 1);
  if (lua_getiuservalue(L, 1, FT_CU_ABORT) == LUA_TNIL)
    return 0;
  ft_transfer *t = ft_request_prepare(L, c->inst, 2, 10);
  ft_engine_anchor(L, c->E, t, -1);
  ft_transfer_begin(L, t);
  return 0;
}

/* The state closes while the call waits: nobody will have its answer, but what it
   left on the service (an upload half done) is taken back. */
void ft_call_abandon(lua_State *L, int idx) {
  const ft_call *c = lua_touserdata(L, idx);
  if (!c->anchored || c->state != FT_CS_WAITING || c->E->pid != getpid())
    return;
  idx = lua_absindex(L, idx);
  lua_pushcfunction(L, send_abort);
  lua_pushvalue(L, idx);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    lua_pop(L, 1);
}

/* -- child | nothing: the call that c waited for, which is to be cancelled next */
static int cancel_one(lua_State *L, ft_call *c) {
  if (c->state == FT_CS_DONE)
    return 0;
  c->cancelled = 1;
  if (c->state == FT_CS_RUNNING)
    return 1; /* honoured when its op returns */
  luaL_checkstack(L, 12, "cancel");
  if (!ft_engine_find(L, c->E, c)) { /* never began to wait */
    lua_pop(L, 1);
    return 0;
  }
  int call = lua_gettop(L);
  if (c->child != NULL) { /* kept alive here: the hook may end it */
    ft_engine_find(L, c->E, c->child);
    lua_insert(L, call++);
  }
  leave_child(c);
  ft_call_drop_transfers(L, c);
  run_hook(L, c, call);
  lua_pushcfunction(L, send_abort);
  lua_pushvalue(L, call);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK)
    lua_pop(L, 1);
  lua_pushnil(L);
  call_fail(L, c, call);
  lua_settop(L, call - 1);
  return 1;
}

/* A chain of calls that wait for one another is as long as somebody made it: a loop,
   and no recursion, goes down it. */
int ft_call_cancel(lua_State *L, ft_call *c) {
  int base = lua_gettop(L), cancelled = cancel_one(L, c);
  while (lua_gettop(L) > base) {
    ft_call *child = lua_touserdata(L, -1);
    lua_insert(L, base + 1);
    lua_settop(L, base + 1); /* the one before it may go now */
    if (child != NULL)
      cancel_one(L, child);
    lua_remove(L, base + 1);
  }
  ft_engine_arm(c->E);
  return cancelled;
}

void ft_call_close_all(lua_State *L, ft_instance *inst) {
  for (ft_call *c = inst->E->calls, *next; c != NULL; c = next) {
    next = c->next;
    if (c->inst == inst && c->state == FT_CS_WAITING && !c->cancelled && ft_call_cancel(L, c))
      next = inst->E->calls; /* cancelling may have ended others */
  }
}

/* ---- start ---- */

enum {
  RUN_AT_ONCE =
      12, /* operations within operations on the C stack, of which Lua allows 200 levels */
  MOST_NESTED = 200 /* beyond that it is no depth but a mistake */
};

/* what keeps the call on top from running: 1 and an error on top of it */
static int cannot_run(lua_State *L, ft_call *c) {
  if (c->level > MOST_NESTED)
    ft_error(L, "provider", "operations began one another %d deep: does one call itself?",
             c->level);
  else if (c->inst->closed)
    ft_error(L, "usage", "this provider was closed: create another one");
  else if (c->slot->op == NULL)
    ft_unsupported(L);
  else
    return 0;
  return 1;
}

static ft_call *call_new(lua_State *L, ft_engine *E, ft_instance *inst, int op) {
  ft_call *c = lua_newuserdatauv(L, sizeof *c, FT_CU_LAST);
  memset(c, 0, sizeof *c);
  c->timer.index = -1;
  luaL_setmetatable(L, FT_CALL_META);
  if (!ft_engine_reserve(E))
    luaL_error(L, "not enough memory");
  c->E = E;
  c->inst = inst;
  c->op = op;
  return c;
}

/* [raise] the first step is the next round's: the C stack is deep enough */
static void begin_later(lua_State *L, ft_call *c, int call) {
  call_anchor(L, c, call);
  c->state = FT_CS_WAITING;
  c->asked = FT_ASK_SLEEP; /* and it is over */
  ft_engine_ready(c->E, c);
}

/* instance, params -- call; op < 0: not an operation but a slot of the core's own */
static void start_slot(lua_State *L, ft_engine *E, int op, const ft_slot *slot) {
  int base = lua_gettop(L) - 1;
  ft_instance *inst = lua_touserdata(L, base);
  ft_call *c = call_new(L, E, inst, op);
  c->slot = slot;
  c->level = E->running != NULL ? E->running->level + 1 : 0;
  lua_pushvalue(L, base);
  lua_setiuservalue(L, -2, FT_CU_INSTANCE);
  if (lua_getfield(L, base + 1, "timeout") == LUA_TNUMBER)
    c->timeout = lua_tonumber(L, -1);
  lua_pop(L, 1);
  lua_pushvalue(L, base + 1);
  lua_setiuservalue(L, -2, FT_CU_PARAMS);
  lua_newtable(L);
  lua_setiuservalue(L, -2, FT_CU_SCRATCH);
  lua_replace(L, base);
  lua_settop(L, base);
  if (cannot_run(L, c))
    call_fail(L, c, base);
  else if (E->depth < RUN_AT_ONCE)
    call_step(L, c);
  else
    begin_later(L, c, base);
  ft_engine_arm(E);
}

void ft_call_start(lua_State *L) { /* instance, op, params -- call */
  int base = lua_gettop(L) - 2;
  ft_engine *E = ft_engine_check(L);
  ft_instance *inst = luaL_checkudata(L, base, FT_INSTANCE_META);
  const char *name = luaL_checkstring(L, base + 1);
  int op = ft_op_find(name);
  if (op < 0)
    luaL_error(L, "unknown operation '%s'", name);
  luaL_checktype(L, base + 2, LUA_TTABLE);
  luaL_checkstack(L, 20, "finetune");
  lua_remove(L, base + 1);
  start_slot(L, E, op, ft_slot_of(L, inst->reg, op));
}

static int sleep_op(lua_State *L, ft_call *c) {
  if (c->user_state++ > 0) {
    lua_pushboolean(L, 1);
    return FT_DONE;
  }
  lua_rawgeti(L, FT_PARAMS, 1);
  return ft_call_sleep(L, c, lua_tonumber(L, -1));
}

/* core.sleep(seconds) -> a call that is done after that time */
int ft_call_sleeper(lua_State *L) {
  static const ft_slot slot = {sleep_op, NULL, NULL};
  ft_engine *E = ft_engine_check(L);
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_argcheck(L, seconds >= 0 && seconds <= 1e9, 1, "seconds must be between 0 and 1e9");
  ft_engine_push(L, FT_EU_INTERNAL);
  lua_createtable(L, 1, 0);
  lua_pushnumber(L, seconds);
  lua_rawseti(L, -2, 1);
  start_slot(L, E, -1, &slot);
  return 1;
}
