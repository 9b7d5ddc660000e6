/*
** request_field.c: the fields of a request table, and what is kept of them.
*/
#include "request.h"

#include <string.h>

int ft_rq_wrong(Request *r, const char *what) {
  return luaL_error(r->L, "request: %s", what);
}

void ft_rq_no_memory(Request *r, int ok) {
  if (!ok && r->t->url.full)
    ft_rq_wrong(r, "the URL is too long");
  if (!ok)
    luaL_error(r->L, "not enough memory");
}

/* keeps the value on top alive as long as the transfer [-1, 0] */
void ft_rq_anchor(Request *r) {
  if (r->anchors == 0) { /* most requests have nothing to keep */
    lua_newtable(r->L);
    lua_copy(r->L, -1, R_ANCHOR);
    lua_setiuservalue(r->L, R_TRANSFER, FT_TU_ANCHOR);
  }
  lua_rawseti(r->L, R_ANCHOR, ++r->anchors);
}

const char *ft_rq_string(Request *r, int table, const char *key) {
  int type = lua_getfield(r->L, table, key);
  if (type != LUA_TNIL && type != LUA_TSTRING)
    luaL_error(r->L, "request: %s must be a string, not a %s", key, lua_typename(r->L, type));
  return lua_tostring(r->L, -1); /* stays on the stack */
}

/* the same for what libcurl takes as a C string: nothing may be cut off in silence */
const char *ft_rq_text(Request *r, int table, const char *key) {
  const char *s = ft_rq_string(r, table, key);
  if (s != NULL && strlen(s) != lua_rawlen(r->L, -1))
    luaL_error(r->L, "request: %s holds a NUL", key);
  return s;
}

double ft_rq_number(Request *r, int table, const char *key, double otherwise) {
  int type = lua_getfield(r->L, table, key);
  if (type != LUA_TNIL && type != LUA_TNUMBER)
    luaL_error(r->L, "request: %s must be a number, not a %s", key, lua_typename(r->L, type));
  double v = type == LUA_TNIL ? otherwise : lua_tonumber(r->L, -1);
  lua_pop(r->L, 1);
  return v;
}
