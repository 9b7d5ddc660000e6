/*
** call_lua.c: a call as Lua sees it: done, result, cancel, on_done, and the
** telling of callbacks.
*/
#include "ft.h"

/* Tells one callback of the first call that owes any. The state is right before
   the callback runs: it may raise. */
int ft_call_deliver(lua_State *L) {
  ft_engine *E = ft_engine_of(L);
  ft_call *c = E->owed_first;
  if (c == NULL)
    return 0;
  ft_engine_find(L, E, c);
  int call = lua_gettop(L);
  lua_getiuservalue(L, call, FT_CU_ON_DONE);
  int more = lua_rawgeti(L, -1, ++c->next_callback) != LUA_TNIL;
  if (!more) {
    E->owed_first = c->owed_next;
    if (E->owed_first == NULL)
      E->owed_last = NULL;
    c->owed = 0;
    lua_pushnil(L);
    lua_setiuservalue(L, call, FT_CU_ON_DONE);
    ft_call_let_go(L, c);
  } else {
    ft_call_result(L, call);
    lua_call(L, 2, 0);
  }
  lua_settop(L, call - 1);
  return more;
}

/* ---- methods ---- */

static int call_done(lua_State *L) {
  lua_pushboolean(L, ft_call_check(L, 1)->state == FT_CS_DONE);
  return 1;
}

static int call_result(lua_State *L) {
  if (!ft_call_result(L, 1))
    ft_raise_usage(L, "the call is not done yet: use call:await(), or wait for call:done()");
  ft_call *c = ft_call_check(L, 1);
  if (c->ok) {
    lua_pop(L, 1);
    return 1;
  }
  return 2;
}

static int call_cancel(lua_State *L) {
  ft_call *c = ft_call_check(L, 1);
  int running = 0;
  if (c->state != FT_CS_DONE) {
    ft_engine_check(L);
    running = ft_call_cancel(L, c);
  }
  lua_pushboolean(L, running);
  return 1;
}

/* call, f -- ; f(value, err) of a call that is done. At once, but never inside
   another callback or operation: a chain of calls that end at once would grow the
   stack without end. There it waits for the drain of the next step. */
static int tell_now(lua_State *L, ft_engine *E) {
  ft_call_result(L, 1);
  if (ft_engine_inside(E)) {
    lua_pushnil(L);
    ft_engine_queue(L, E);
    ft_engine_arm(E);
    return 0;
  }
  E->draining = 1; /* f must not wait, whoever calls it */
  int status = lua_pcall(L, 2, 0, 0);
  E->draining = 0;
  return status == LUA_OK ? 0 : lua_error(L);
}

static int call_on_done(lua_State *L) {
  ft_call *c = ft_call_check(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (c->state == FT_CS_DONE && !c->owed)
    return tell_now(L, ft_engine_check(L));
  if (lua_getiuservalue(L, 1, FT_CU_ON_DONE) != LUA_TTABLE) {
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, FT_CU_ON_DONE);
    lua_replace(L, 3);
  }
  lua_pushvalue(L, 2);
  lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
  return 0;
}

static int call_tostring(lua_State *L) {
  static const char *const words[] = {"new", "running", "waiting", "done"};
  ft_call *c = ft_call_check(L, 1);
  lua_pushfstring(L, "finetune.call: %s %s (%s)", c->inst != NULL ? c->inst->reg->name : "?",
                  ft_op_name(c->op), words[c->state]);
  return 1;
}

static int call_gc(lua_State *L) {
  ft_call *c = ft_call_check(L, 1);
  ft_engine *E = c->E;
  if (E == NULL || E->multi == NULL)
    return 0; /* half made, or the engine is gone and took everything with it */
  ft_call_abandon(L, 1);
  c->E = NULL;
  ft_timer_clear(E, &c->timer);
  ft_engine_unreserve(E);
  return 0;
}

static const luaL_Reg call_methods[] = {{"done", call_done},
                                        {"result", call_result},
                                        {"cancel", call_cancel},
                                        {"on_done", call_on_done},
                                        {NULL, NULL}};

static const luaL_Reg call_meta[] = {
    {"__gc", call_gc}, {"__close", call_cancel}, {"__tostring", call_tostring}, {NULL, NULL}};

/* [0, +1] the table of methods, which wait.lua completes */
void ft_call_open(lua_State *L) {
  ft_new_metatable(L, FT_CALL_META);
  luaL_setfuncs(L, call_meta, 0);
  luaL_newlib(L, call_methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
  lua_remove(L, -2);
}
