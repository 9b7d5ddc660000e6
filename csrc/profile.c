/*
** profile.c: what a service asks of a whole training file, as its provider's fact
** `dataset` says: {formats = {"chat", ...}, min_examples, max_examples, max_bytes}.
** A file that does not fit is still good data, perhaps for another service: so these
** are warnings of the report, with line 0.
*/
#include "dataset.h"
#include "finetune.h"

#include <lauxlib.h>

/* [-1, 0] words -> a warning of the report at `report` */
static void warn(lua_State *L, int report, const char *rule) {
  lua_getfield(L, report, "warning_count");
  lua_pushinteger(L, lua_tointeger(L, -1) + 1);
  lua_setfield(L, report, "warning_count");
  lua_getfield(L, report, "warnings");
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "line");
  lua_pushliteral(L, "");
  lua_setfield(L, -2, "path");
  lua_pushstring(L, rule);
  lua_setfield(L, -2, "rule");
  lua_pushvalue(L, -4);
  lua_setfield(L, -2, "message");
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_settop(L, -4); /* the words, the count, the warnings */
}

/* The number profile[key], or -1 */
static lua_Integer limit(lua_State *L, int profile, const char *key) {
  int is;
  lua_getfield(L, profile, key);
  lua_Integer n = lua_tointegerx(L, -1, &is);
  lua_pop(L, 1);
  return is ? n : -1;
}

static void check_numbers(lua_State *L, int report, int profile) {
  lua_Integer least = limit(L, profile, "min_examples"), most = limit(L, profile, "max_examples");
  lua_Integer room = limit(L, profile, "max_bytes");
  lua_Integer n = limit(L, report, "written"), bytes = limit(L, report, "bytes");
  if (n < least) {
    lua_pushfstring(L, "this service wants at least %I examples, and there are %I",
                    (LUAI_UACINT)least, (LUAI_UACINT)n);
    warn(L, report, "min_examples");
  }
  if (most >= 0 && n > most) {
    lua_pushfstring(L, "this service takes at most %I examples, and there are %I",
                    (LUAI_UACINT)most, (LUAI_UACINT)n);
    warn(L, report, "max_examples");
  }
  if (room >= 0 && bytes > room) {
    lua_pushfstring(L, "this service takes files of at most %I bytes, and this one has %I",
                    (LUAI_UACINT)room, (LUAI_UACINT)bytes);
    warn(L, report, "max_bytes");
  }
}

/* [0, +1] the formats with commas; 1 where the report's is among them, or none are named */
static int push_formats(lua_State *L, int report, int profile) {
  int is_known = 0, list = lua_gettop(L) + 1;
  luaL_Buffer b;
  lua_getfield(L, report, "format");
  if (lua_getfield(L, profile, "formats") != LUA_TTABLE)
    return 1;
  luaL_buffinit(L, &b);
  for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, list + 1); i <= n; i++) {
    lua_rawgeti(L, list + 1, i);
    is_known |= lua_compare(L, -1, list, LUA_OPEQ);
    luaL_addvalue(&b);
    if (i < n)
      luaL_addstring(&b, ", ");
  }
  luaL_pushresult(&b);
  return is_known;
}

static void check_format(lua_State *L, int report, int profile) {
  int top = lua_gettop(L);
  if (!push_formats(L, report, profile)) {
    lua_pushfstring(L, "this service takes examples of the formats %s, not %s", lua_tostring(L, -1),
                    lua_tostring(L, top + 1));
    warn(L, report, "format");
  }
  lua_settop(L, top);
}

void ft_profile_check(lua_State *L, int report) {
  int top = lua_gettop(L);
  report = lua_absindex(L, report);
  if (lua_getfield(L, FT_CONFIG, "dataset") == LUA_TTABLE) {
    check_numbers(L, report, top + 1);
    check_format(L, report, top + 1);
  }
  lua_settop(L, top);
}
