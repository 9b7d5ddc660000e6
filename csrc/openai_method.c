/*
** openai_method.c: the part of create_job's body that says how to train: `method`,
** its hyperparameters and its grader, in the order in which a user may have given
** them, in the place where the service wants them, with the ranges that it allows
** (openai-openapi 2.3.0, 2026-08-21, FineTune*Hyperparameters).
*/
#include "openai.h"

#include <lauxlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- hyperparameters ---- */

enum { SUPERVISED = 1, DPO = 2, REINFORCEMENT = 4, ANY = 7 };
enum kind { INTEGER, NUMBER, WORD };

static const struct {
  const char *name;
  int bit;
} methods[] = {{"supervised", SUPERVISED}, {"dpo", DPO}, {"reinforcement", REINFORCEMENT}};

static const char *const efforts[] = {"default", "low", "medium", "high"};

typedef struct hyperparameter {
  const char *name;
  int methods;
  enum kind kind;
  double above, most; /* INTEGER and NUMBER: above < value <= most; 0: no most */
  const char *words;
} hyperparameter;

static const hyperparameter hyperparameters[] = {
    {"n_epochs", ANY, INTEGER, 0, 50, "must be \"auto\" or an integer from 1 to 50"},
    {"batch_size", ANY, INTEGER, 0, 256, "must be \"auto\" or an integer from 1 to 256"},
    {"learning_rate_multiplier", ANY, NUMBER, 0, 0, "must be \"auto\" or a number above 0"},
    {"beta", DPO, NUMBER, 0, 2, "must be \"auto\" or a number above 0, at most 2"},
    {"reasoning_effort", REINFORCEMENT, WORD, 0, 0,
     "must be \"default\", \"low\", \"medium\" or \"high\""},
    {"compute_multiplier", REINFORCEMENT, NUMBER, 1e-5, 10,
     "must be \"auto\" or a number above 0.00001, at most 10"},
    {"eval_interval", REINFORCEMENT, INTEGER, 0, 0, "must be \"auto\" or an integer from 1"},
    {"eval_samples", REINFORCEMENT, INTEGER, 0, 0, "must be \"auto\" or an integer from 1"},
};

/* 1 where the value on top is allowed */
static int word_ok(lua_State *L) {
  for (size_t i = 0; i < COUNT(efforts); i++)
    if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), efforts[i]) == 0)
      return 1;
  return 0;
}

/* The same; an integer given as 3.0 becomes 3 */
static int number_ok(lua_State *L, const hyperparameter *h) {
  if (lua_type(L, -1) == LUA_TSTRING)
    return strcmp(lua_tostring(L, -1), "auto") == 0;
  lua_Number n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(n > h->above) || (h->most > 0 && n > h->most) || n - n != 0) /* NaN and inf too */
    return 0;
  if (h->kind == INTEGER) {
    int is_integer;
    lua_Integer whole = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer)
      return 0;
    lua_pushinteger(L, whole);
    lua_replace(L, -2);
  }
  return 1;
}

static const hyperparameter *hyperparameter_find(const char *name) {
  for (size_t i = 0; i < COUNT(hyperparameters); i++)
    if (strcmp(name, hyperparameters[i].name) == 0)
      return &hyperparameters[i];
  return NULL;
}

static const char *method_name(int bit) {
  for (size_t i = 0; i < COUNT(methods); i++)
    if (methods[i].bit == bit)
      return methods[i].name;
  return "";
}

/* [0, +1] the names that the method takes, with commas */
static void push_allowed(lua_State *L, int method) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0, n = 0; i < COUNT(hyperparameters); i++)
    if (hyperparameters[i].methods & method) {
      luaL_addstring(&b, n++ > 0 ? ", " : "");
      luaL_addstring(&b, hyperparameters[i].name);
    }
  luaL_pushresult(&b);
}

/* The error for `hyperparameters.name`; the strings are copied */
static int bad_hyperparameter(lua_State *L, const char *name, const char *words) {
  return ft_oa_invalid(L, lua_pushfstring(L, "hyperparameters.%s", name), words);
}

/* An absolute rate is not a multiplier of the service's own: passing one for the
   other would train with nonsense, and cost money (seen on gateways) */
static int unknown_hyperparameter(lua_State *L, const char *name, int method) {
  push_allowed(L, method);
  if (strcmp(name, "learning_rate") == 0)
    return bad_hyperparameter(L, name,
                              "is an absolute rate, and this service takes only "
                              "learning_rate_multiplier, a factor on a rate of its own; give "
                              "that, or put the field under `extra`");
  return bad_hyperparameter(
      L, name,
      lua_pushfstring(L, "is not known to method %s, which takes: %s (anything else: `extra`)",
                      method_name(method), lua_tostring(L, -1)));
}

/* 1 where quirks.hyperparameters lists the name */
static int is_extra_name(lua_State *L, const char *name) {
  int top = lua_gettop(L), found = 0;
  if (ft_oa_quirk(L, "hyperparameters") == LUA_TTABLE)
    for (lua_Integer i = 1, n = (lua_Integer)lua_rawlen(L, top + 1); i <= n && !found; i++) {
      found = lua_rawgeti(L, top + 1, i) == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) == 0;
      lua_pop(L, 1);
    }
  lua_settop(L, top);
  return found;
}

/* [-1, +1] checks the value on top */
static int check_hyperparameter(lua_State *L, const char *name, int method) {
  const hyperparameter *h = hyperparameter_find(name);
  if (h == NULL || !(h->methods & method))
    return is_extra_name(L, name) ? FT_DONE : unknown_hyperparameter(L, name, method);
  if (!(h->kind == WORD ? word_ok(L) : number_ok(L, h)))
    return bad_hyperparameter(L, name, h->words);
  return FT_DONE;
}

/* [-1, 0] the fields of the table on top, checked, into the table `into`. method 0:
   unchecked, because the quirk says that they are the service's business. */
static int add_hyperparameters(lua_State *L, int into, int method) {
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return FT_DONE;
  }
  if (!lua_istable(L, -1))
    return ft_oa_invalid(L, "hyperparameters", "must be a table of names and values");
  for (lua_pushnil(L); lua_next(L, -2);) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return ft_oa_invalid(L, "hyperparameters", "must be a table of names and values");
    const char *name = lua_tostring(L, -2);
    if (method != 0 && check_hyperparameter(L, name, method) == FT_FAIL)
      return FT_FAIL;
    lua_setfield(L, into, name);
  }
  lua_pop(L, 1);
  return FT_DONE;
}

/* ---- method ---- */

/* [0, +1] copies the table at idx, one level; where it is none, an empty table */
static void push_copy(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_newtable(L);
  if (!lua_istable(L, idx))
    return;
  for (lua_pushnil(L); lua_next(L, idx);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

static int method_bit(const char *name) {
  for (size_t i = 0; i < COUNT(methods); i++)
    if (strcmp(name, methods[i].name) == 0)
      return methods[i].bit;
  return 0;
}

/* [0, +1] the name of the method: params.method, or its type, or "supervised" */
static int push_method_name(lua_State *L) {
  int type = lua_getfield(L, FT_PARAMS, "method");
  if (type == LUA_TTABLE) {
    type = lua_getfield(L, -1, "type");
    lua_remove(L, -2);
    if (type == LUA_TNIL)
      return ft_oa_invalid(L, "method", "needs a `type`: supervised, dpo or reinforcement");
  }
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushliteral(L, "supervised");
    return FT_DONE;
  }
  return type == LUA_TSTRING ? FT_DONE : ft_oa_invalid(L, "method", "must be named by a string");
}

/* FT_DONE where every key of the table on top is `first`, `second` or one that both of a
   method's tables may have; `place`: what the table is called */
static int check_keys(lua_State *L, const char *place, const char *first, const char *second) {
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (strcmp(key, first) == 0 || strcmp(key, second) == 0 ||
        strcmp(key, "hyperparameters") == 0 || strcmp(key, "grader") == 0)
      continue;
    return ft_oa_invalid(L, lua_pushfstring(L, "%s.%s", place, key),
                         "is not known here: settings of the training go into `hyperparameters`, "
                         "anything else under `extra`");
  }
  return FT_DONE;
}

/* A hyperparameter beside `hyperparameters` would be sent unchecked, or mean nothing */
static int check_part(lua_State *L, const char *place) {
  int part = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, part); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (hyperparameter_find(key) != NULL || strcmp(key, "learning_rate") == 0)
      return ft_oa_invalid(L, lua_pushfstring(L, "%s.%s", place, key),
                           "belongs into `hyperparameters`");
  }
  return FT_DONE;
}

/* What is in the method's table and is not read would be dropped in silence */
static int check_method(lua_State *L, const char *name) {
  int top = lua_gettop(L);
  if (lua_getfield(L, FT_PARAMS, "method") == LUA_TTABLE) {
    if (check_keys(L, "method", "type", name) == FT_FAIL)
      return FT_FAIL;
    int type = lua_getfield(L, -1, name);
    const char *place = lua_pushfstring(L, "method.%s", name);
    if (type != LUA_TNIL && type != LUA_TTABLE)
      return ft_oa_invalid(L, place, "must be a table");
    lua_pushvalue(L, -2);
    if (type == LUA_TTABLE && check_part(L, place) == FT_FAIL)
      return FT_FAIL;
  }
  lua_settop(L, top);
  return FT_DONE;
}

/* [0, +1] the method's own part: method[name] of a table, with everything in it */
static void push_inner(lua_State *L, const char *name) {
  if (lua_getfield(L, FT_PARAMS, "method") == LUA_TTABLE) {
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
  }
  push_copy(L, -1);
  lua_remove(L, -2);
}

/* [0, +1] hyperparameters from the three places where they may be given: inside the
   method's part, beside it, and flat. The flat ones win: they are the shorter way. */
static int push_hyperparameters(lua_State *L, int inner, int method) {
  lua_newtable(L);
  int into = lua_gettop(L);
  lua_getfield(L, inner, "hyperparameters");
  if (add_hyperparameters(L, into, method) == FT_FAIL)
    return FT_FAIL;
  if (lua_getfield(L, FT_PARAMS, "method") == LUA_TTABLE)
    lua_getfield(L, -1, "hyperparameters");
  else
    lua_pushnil(L);
  lua_remove(L, -2);
  if (add_hyperparameters(L, into, method) == FT_FAIL)
    return FT_FAIL;
  lua_getfield(L, FT_PARAMS, "hyperparameters");
  return add_hyperparameters(L, into, method);
}

/* The grader: params.grader, or that of the method's table; reinforcement alone has one */
static int put_grader(lua_State *L, int inner, const char *name, int method) {
  int type = lua_getfield(L, FT_PARAMS, "grader");
  if (type == LUA_TNIL && lua_getfield(L, FT_PARAMS, "method") == LUA_TTABLE)
    type = lua_getfield(L, -1, "grader");
  if (type == LUA_TNIL)
    type = lua_getfield(L, inner, "grader");
  if (method == REINFORCEMENT && type != LUA_TTABLE)
    return ft_oa_invalid(L, "grader", "is required by method reinforcement: a table");
  if (type != LUA_TNIL && (method & (SUPERVISED | DPO))) {
    lua_pushfstring(L, "has no use with method %s: say method = \"reinforcement\"", name);
    return ft_oa_invalid(L, "grader", lua_tostring(L, -1));
  }
  lua_setfield(L, inner, "grader");
  return FT_DONE;
}

enum flat { NOT_FLAT, FLAT, FLAT_UNNAMED };

/* quirks.flat_hyperparameters for the method of that name */
static enum flat is_flat(lua_State *L, const char *name) {
  int type = ft_oa_quirk(L, "flat_hyperparameters");
  enum flat flat = type == LUA_TBOOLEAN && lua_toboolean(L, -1) ? FLAT : NOT_FLAT;
  if (type == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) == 0)
    flat = FLAT_UNNAMED;
  lua_pop(L, 1);
  return flat;
}

/* body.method = {type = name, [name] = inner}; nothing where nothing was said, since
   that is what every service of this dialect understands */
static void put_method(lua_State *L, int body, const char *name, int inner) {
  lua_getfield(L, FT_PARAMS, "method");
  int said = !lua_isnil(L, -1) && is_flat(L, name) != FLAT_UNNAMED;
  lua_pop(L, 1);
  if (!said && ft_oa_is_empty(L, inner))
    return;
  lua_createtable(L, 0, 2);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "type");
  if (!ft_oa_is_empty(L, inner)) {
    lua_pushvalue(L, inner);
    lua_setfield(L, -2, name);
  }
  lua_setfield(L, body, "method");
}

/* "auto" is the service's own choice, made where nothing is sent; the flat fields of
   Azure are numbers only. Whether any of the table on top is left. */
static int drop_auto(lua_State *L) {
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_settop(L, table + 1))
    if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "auto") == 0) {
      lua_pushvalue(L, -2);
      lua_pushnil(L);
      lua_rawset(L, table); /* an existing field: allowed in a traversal */
    }
  return !ft_oa_is_empty(L, table);
}

/* Moves the hyperparameters on top to where this service reads them */
static void put_hyperparameters(lua_State *L, int body, const char *name, int inner) {
  int flat = is_flat(L, name) != NOT_FLAT;
  int some = flat ? drop_auto(L) : !ft_oa_is_empty(L, -1);
  if (!some) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  if (flat) {
    lua_setfield(L, body, "hyperparameters");
    lua_pushnil(L);
  }
  lua_setfield(L, inner, "hyperparameters");
}

int ft_oa_method(lua_State *L, int body) {
  int unchecked = ft_oa_quirk(L, "hyperparameters") == LUA_TBOOLEAN && lua_toboolean(L, -1);
  if (push_method_name(L) == FT_FAIL)
    return FT_FAIL;
  const char *name = lua_tostring(L, -1);
  int method = method_bit(name);
  if (method == 0 && !unchecked)
    return ft_oa_invalid(L, "method", "must be supervised, dpo or reinforcement");
  if (!unchecked && check_method(L, name) == FT_FAIL)
    return FT_FAIL;
  push_inner(L, name);
  int inner = lua_gettop(L);
  if (push_hyperparameters(L, inner, unchecked ? 0 : method) == FT_FAIL)
    return FT_FAIL;
  put_hyperparameters(L, body, name, inner);
  if (put_grader(L, inner, name, method) == FT_FAIL)
    return FT_FAIL;
  put_method(L, body, name, inner);
  lua_settop(L, body);
  return FT_DONE;
}
