/*
** openai_request.c: what every operation of the dialect is made of: quirks, errors,
** and requests with an id in their path.
*/
#include "openai.h"

#include <lauxlib.h>
#include <string.h>

/* ---- settings ---- */

int ft_oa_quirk(lua_State *L, const char *name) {
  if (lua_getfield(L, FT_CONFIG, "quirks") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_pushnil(L);
    return LUA_TNIL;
  }
  int type = lua_getfield(L, -1, name);
  lua_remove(L, -2);
  return type;
}

int ft_oa_quirk_off(lua_State *L, const char *name) {
  int off = ft_oa_quirk(L, name) == LUA_TBOOLEAN && !lua_toboolean(L, -1);
  lua_pop(L, 1);
  return off;
}

lua_Number ft_oa_quirk_number(lua_State *L, const char *name, lua_Number otherwise) {
  lua_Number n = ft_oa_quirk(L, name) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
  lua_pop(L, 1);
  return n < 9e15 ? n : 9e15; /* it will be cast to an integer: math.huge means "no limit" */
}

lua_Number ft_oa_number(lua_State *L, int idx, const char *field, lua_Number otherwise) {
  lua_Number n = lua_getfield(L, idx, field) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
  lua_pop(L, 1);
  return n;
}

int ft_oa_is_empty(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_pushnil(L);
  if (lua_next(L, idx) == 0)
    return 1;
  lua_pop(L, 2);
  return 0;
}

/* ---- errors ---- */

int ft_oa_invalid(lua_State *L, const char *param, const char *words) {
  ft_getapi(L)->fail(L, "invalid", "%s %s", param, words);
  lua_pushstring(L, param);
  lua_setfield(L, -2, "param");
  return FT_FAIL;
}

int ft_oa_failed(lua_State *L) {
  lua_pushvalue(L, FT_ERROR);
  return FT_FAIL;
}

/* ---- fields over fields ---- */

enum { MERGE_DEPTH = 32 }; /* deeper tables, such as one that holds itself, are replaced */

/* a table with fields that are no array's */
static int is_object(lua_State *L, int idx) {
  return lua_istable(L, idx) && lua_rawlen(L, idx) == 0 && !ft_oa_is_empty(L, idx);
}

/* Lays the fields of the table `from` over those of `into`, objects into objects. What
   is changed inside `into` is copied first: it may be the caller's own. */
static void merge(lua_State *L, int from, int into, int depth) {
  luaL_checkstack(L, 8, "extra");
  for (lua_pushnil(L); lua_next(L, from);) {
    int key = lua_gettop(L) - 1;
    lua_pushvalue(L, key);
    lua_rawget(L, into);
    if (depth > 0 && is_object(L, key + 1) && is_object(L, key + 2)) {
      lua_newtable(L);
      merge(L, key + 2, key + 3, 0);
      merge(L, key + 1, key + 3, depth - 1);
      lua_replace(L, key + 1);
    }
    lua_settop(L, key + 1);
    lua_pushvalue(L, key);
    lua_insert(L, key + 1);
    lua_rawset(L, into);
  }
}

/* ---- requests ---- */

/* What a path segment may hold as it is (RFC 3986 pchar, without the sub-delims
   that some servers give a meaning to). The colon of `ft:gpt-…` stays, as it does
   in the official clients. */
static int is_plain(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && strchr("-._~:", c) != NULL);
}

static void add_escaped(luaL_Buffer *b, const char *s, size_t len) {
  static const char hex[] = "0123456789ABCDEF";
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    if (is_plain(c)) {
      luaL_addchar(b, s[i]);
    } else {
      luaL_addchar(b, '%');
      luaL_addchar(b, hex[c >> 4]);
      luaL_addchar(b, hex[c & 15u]);
    }
  }
}

/* Nothing, "." and ".." cannot be escaped: they would be another path */
static int is_segment(const char *id, size_t len) {
  return len > 0 && !(len == 1 && id[0] == '.') && !(len == 2 && memcmp(id, "..", 2) == 0);
}

/* [0, +1] the prefix and the path, with the id in place of `{}` */
static void push_path(lua_State *L, const char *path, const char *id, size_t len) {
  const char *hole = strstr(path, "{}");
  const char *prefix = ft_oa_quirk(L, "path_prefix") == LUA_TSTRING ? lua_tostring(L, -1) : "";
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, prefix);
  if (hole != NULL) {
    luaL_addlstring(&b, path, (size_t)(hole - path));
    add_escaped(&b, id, len);
    path = hole + 2;
  }
  luaL_addstring(&b, path);
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

int ft_oa_request(lua_State *L, const char *method, const char *path, const char *param,
                  const char *id, size_t len) {
  if (param != NULL && !is_segment(id, len))
    return ft_oa_invalid(L, param, "is not an id");
  lua_createtable(L, 0, 6);
  lua_pushstring(L, method);
  lua_setfield(L, -2, "method");
  push_path(L, path, id, len);
  lua_setfield(L, -2, "path");
  return FT_DONE;
}

/* quirks.extra into the request on top, where the call did not name the fields. A form
   has them already. */
static void add_own_fields(lua_State *L) {
  int request = lua_gettop(L);
  int own = ft_oa_quirk(L, "extra") == LUA_TTABLE;
  lua_getfield(L, request, "method");
  int is_post = strcmp(lua_tostring(L, -1), "POST") == 0;
  int is_form = lua_getfield(L, request, "multipart") != LUA_TNIL;
  const char *place = is_post ? "json" : "query";
  lua_settop(L, request + 1);
  if (own && !is_form) {
    lua_newtable(L);
    merge(L, request + 1, request + 2, MERGE_DEPTH);
    if (lua_getfield(L, request, place) == LUA_TTABLE)
      merge(L, request + 3, request + 2, MERGE_DEPTH);
    lua_pushvalue(L, request + 2);
    lua_setfield(L, request, place);
  }
  lua_settop(L, request);
}

int ft_oa_send(lua_State *L, ft_call *c, int state) {
  const ft_api *api = ft_getapi(L);
  add_own_fields(L);
  *api->state(c) = state;
  return api->request(L, c);
}

void ft_oa_merge_extra(lua_State *L, int into) {
  if (lua_getfield(L, FT_PARAMS, "extra") == LUA_TTABLE)
    merge(L, lua_gettop(L), into, MERGE_DEPTH);
  lua_pop(L, 1);
}
