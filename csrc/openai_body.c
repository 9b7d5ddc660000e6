/*
** openai_body.c: the body of create_job, checked before anything is sent.
**
** A mistake found here costs nothing; the same mistake found by the service costs
** an upload and minutes. Limits: openai-openapi 2.3.0 (2026-08-21),
** CreateFineTuningJobRequest and Metadata. What a user insists on goes under `extra`,
** which is laid over the finished body unchecked.
*/
#include "openai.h"

#include <stdio.h>
#include <string.h>

#define SEED_MAX 2147483647
enum { SUFFIX_LIMIT = 64, MAX_PAIRS = 16, KEY_LIMIT = 64, VALUE_LIMIT = 512, MAX_INTEGRATIONS = 5 };

/* ---- the token ---- */

/* [0, +1] 32 random hexadecimal digits, or nil where the system gives no randomness:
   then there is no token, and a lost answer is a conflict, which is always safe.
   "e" is O_CLOEXEC. */
static void push_random(lua_State *L) {
  static const char hex[] = "0123456789abcdef";
  unsigned char bytes[16];
  char digits[2 * sizeof bytes];
  FILE *f = fopen("/dev/urandom", "rbe");
  size_t n = f != NULL ? fread(bytes, 1, sizeof bytes, f) : 0;
  if (f != NULL)
    fclose(f);
  for (size_t i = 0; i < n; i++) {
    digits[2 * i] = hex[bytes[i] >> 4];
    digits[2 * i + 1] = hex[bytes[i] & 15u];
  }
  if (n == sizeof bytes)
    lua_pushlstring(L, digits, sizeof digits);
  else
    lua_pushnil(L);
}

/* [0, +1] the caller's token, or one of our own */
static int push_token(lua_State *L) {
  if (lua_getfield(L, FT_PARAMS, "token") == LUA_TNIL) {
    lua_pop(L, 1);
    push_random(L);
    return FT_DONE;
  }
  size_t n = ft_oa_characters(L, -1);
  if (n < 1 || n > VALUE_LIMIT)
    return ft_oa_invalid(L, "token", "must have 1 to 512 characters");
  return FT_DONE;
}

/* ---- metadata ---- */

static int check_pair(lua_State *L) {
  if (lua_type(L, -2) != LUA_TSTRING || ft_oa_characters(L, -2) > KEY_LIMIT)
    return ft_oa_invalid(L, "metadata", "must have keys that are strings of at most 64 characters");
  if (lua_type(L, -1) != LUA_TSTRING || ft_oa_characters(L, -1) > VALUE_LIMIT) {
    lua_pushfstring(L, "must have values that are strings of at most 512 characters (see %s)",
                    lua_tostring(L, -2));
    return ft_oa_invalid(L, "metadata", lua_tostring(L, -1));
  }
  return FT_DONE;
}

/* [0, +1] a copy of params.metadata. An old token in it is dropped: the metadata of
   another job, used again, must not make this one look like that one. */
static int push_pairs(lua_State *L, int *pairs) {
  lua_newtable(L);
  int copy = lua_gettop(L);
  *pairs = 0;
  if (lua_getfield(L, FT_PARAMS, "metadata") == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, copy + 1);) {
      if (check_pair(L) == FT_FAIL)
        return FT_FAIL;
      lua_setfield(L, copy, lua_tostring(L, -2));
      ++*pairs;
    }
  lua_pushnil(L);
  *pairs -= lua_getfield(L, copy, FT_OA_TOKEN) != LUA_TNIL;
  lua_pop(L, 1);
  lua_setfield(L, copy, FT_OA_TOKEN);
  lua_settop(L, copy);
  if (*pairs > MAX_PAIRS)
    return ft_oa_invalid(L, "metadata", "must have at most 16 pairs");
  return FT_DONE;
}

/* A service that keeps no metadata cannot keep the promise of a token either */
static int refuse_metadata(lua_State *L) {
  int given = lua_getfield(L, FT_PARAMS, "metadata") == LUA_TTABLE && !ft_oa_is_empty(L, -1);
  if (given)
    return ft_oa_invalid(L, "metadata", "is not kept by this service");
  if (lua_getfield(L, FT_PARAMS, "token") != LUA_TNIL)
    return ft_oa_invalid(L, "token", "needs metadata, which this service does not keep");
  lua_pop(L, 2);
  return FT_DONE;
}

/* metadata with the token, by which a job whose answer was lost is known again */
static int put_metadata(lua_State *L, int body) {
  int pairs, has_own = lua_getfield(L, FT_PARAMS, "token") != LUA_TNIL;
  lua_pop(L, 1);
  if (ft_oa_quirk_off(L, "metadata"))
    return refuse_metadata(L);
  if (push_pairs(L, &pairs) == FT_FAIL)
    return FT_FAIL;
  if (pairs == MAX_PAIRS && has_own)
    return ft_oa_invalid(L, "token", "needs a pair of metadata, and all 16 are taken");
  if (pairs < MAX_PAIRS) {
    if (push_token(L) == FT_FAIL)
      return FT_FAIL;
    lua_pushvalue(L, -1);
    lua_setfield(L, FT_SCRATCH, "token");
    lua_setfield(L, -2, FT_OA_TOKEN);
  }
  if (ft_oa_is_empty(L, -1))
    lua_pop(L, 1);
  else
    lua_setfield(L, body, "metadata");
  return FT_DONE;
}

/* ---- the rest ---- */

static int put_id(lua_State *L, int body, const char *param) {
  if (lua_getfield(L, FT_PARAMS, param) == LUA_TSTRING && lua_rawlen(L, -1) == 0)
    return ft_oa_invalid(L, param, "must not be empty");
  lua_setfield(L, body, param);
  return FT_DONE;
}

/* 1 where the string on top has nothing but letters, digits, '-' and '_' */
static int is_plain(lua_State *L) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  return strspn(lua_tostring(L, -1), plain) == lua_rawlen(L, -1);
}

static int wants_plain_suffix(lua_State *L) {
  int plain = ft_oa_quirk(L, "suffix_plain") == LUA_TBOOLEAN && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return plain;
}

static int put_suffix(lua_State *L, int body) {
  if (lua_getfield(L, FT_PARAMS, "suffix") == LUA_TSTRING) {
    size_t n = ft_oa_characters(L, -1);
    lua_Number limit = ft_oa_quirk_number(L, "suffix_limit", SUFFIX_LIMIT);
    if (n < 1 || (lua_Number)n > limit) {
      lua_pushfstring(L, "must have 1 to %I characters", (LUAI_UACINT)limit);
      return ft_oa_invalid(L, "suffix", lua_tostring(L, -1));
    }
    if (wants_plain_suffix(L) && !is_plain(L))
      return ft_oa_invalid(L, "suffix", "must have only letters, digits, '-' and '_'");
  }
  lua_setfield(L, body, "suffix");
  return FT_DONE;
}

static int put_seed(lua_State *L, int body) {
  double seed = ft_oa_number(L, FT_PARAMS, "seed", 0);
  if (!(seed >= 0 && seed <= SEED_MAX))
    return ft_oa_invalid(L, "seed", "must be an integer from 0 to 2147483647");
  lua_getfield(L, FT_PARAMS, "seed");
  lua_setfield(L, body, "seed");
  return FT_DONE;
}

/* The integration on top: {type = "wandb", wandb = {project = ...}}, or a type that
   came after this was written, which only has to say what it is */
static int integration_ok(lua_State *L) {
  if (!lua_istable(L, -1) || lua_getfield(L, -1, "type") != LUA_TSTRING)
    return 0;
  if (strcmp(lua_tostring(L, -1), "wandb") != 0)
    return 1;
  return lua_getfield(L, -2, "wandb") == LUA_TTABLE &&
         lua_getfield(L, -1, "project") == LUA_TSTRING;
}

static int put_integrations(lua_State *L, int body) {
  int top = lua_gettop(L);
  if (lua_getfield(L, FT_PARAMS, "integrations") == LUA_TNIL || ft_oa_is_empty(L, -1)) {
    lua_settop(L, top);
    return FT_DONE;
  }
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (n < 1 || n > MAX_INTEGRATIONS)
    return ft_oa_invalid(L, "integrations", "must be an array of at most 5");
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, top + 1, i);
    if (!integration_ok(L))
      return ft_oa_invalid(L, "integrations",
                           "must be tables like {type = \"wandb\", wandb = {project = name}}");
    lua_settop(L, top + 1);
  }
  lua_setfield(L, body, "integrations");
  return FT_DONE;
}

/* quirks.fields: parameters of a variant's own that are fields of the body */
static void put_fields(lua_State *L, int body) {
  int top = lua_gettop(L);
  if (ft_oa_quirk(L, "fields") == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1))
      if (lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TSTRING) {
        if (lua_getfield(L, FT_PARAMS, lua_tostring(L, -2)) == LUA_TNIL)
          lua_pop(L, 1);
        else
          lua_setfield(L, body, lua_tostring(L, -2));
      }
  lua_settop(L, top);
}

int ft_oa_body(lua_State *L) {
  lua_createtable(L, 0, 8);
  int body = lua_gettop(L);
  if (put_id(L, body, "model") == FT_FAIL || put_id(L, body, "training_file") == FT_FAIL ||
      put_id(L, body, "validation_file") == FT_FAIL || put_suffix(L, body) == FT_FAIL ||
      put_seed(L, body) == FT_FAIL || put_integrations(L, body) == FT_FAIL ||
      put_metadata(L, body) == FT_FAIL || ft_oa_method(L, body) == FT_FAIL)
    return FT_FAIL;
  put_fields(L, body);
  ft_oa_merge_extra(L, body);
  return FT_DONE;
}
