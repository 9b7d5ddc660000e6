/*
** register.c: core.register, which makes a registration of a provider that is a
** Lua table: everything that is wrong with it is found and raised at once.
*/
#include "ft.h"

#include <string.h>

static const char *const data_keys[] = {"name",    "base",    "description", "base_url", "env",
                                        "auth",    "headers", "query",       "statuses", "errors",
                                        "config",  "secrets", "open",        "needs",    "params",
                                        "dataset", "quirks",  NULL};

static int is_data_key(const char *key) {
  for (int i = 0; data_keys[i] != NULL; i++)
    if (strcmp(data_keys[i], key) == 0)
      return 1;
  return 0;
}

enum { T_PROVIDER = 1, T_REPLACE, T_PROBLEMS, T_BASE }; /* the stack of register */

static void problem(lua_State *L) { /* [-1, 0] one more sentence */
  lua_rawseti(L, T_PROBLEMS, (lua_Integer)lua_rawlen(L, T_PROBLEMS) + 1);
}

static void push_all_keys(lua_State *L) { /* [0, +1] every key that a provider may have */
  lua_Integer n = 0;
  lua_newtable(L);
  for (int i = 0; i < FT_NOPS; i++) {
    lua_pushstring(L, ft_op_name(i));
    lua_rawseti(L, -2, ++n);
  }
  for (int i = 0; data_keys[i] != NULL; i++) {
    lua_pushstring(L, data_keys[i]);
    lua_rawseti(L, -2, ++n);
  }
}

static int is_unsupported(lua_State *L, int idx) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx))
    return 0;
  luaL_getmetatable(L, FT_UNSUPPORTED_META);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

static void unknown_key(lua_State *L, const char *key) {
  push_all_keys(L);
  ft_push_nearest(L, key, -1);
  int near = !lua_isnil(L, -1);
  lua_pushfstring(L, "unknown operation '%s'%s%s%s", key, near ? "; did you mean '" : "",
                  near ? lua_tostring(L, -1) : "", near ? "'?" : "");
  problem(L);
  lua_pop(L, 2);
}

static void check_pairs(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, T_PROVIDER); lua_pop(L, 1)) {
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
    if (key == NULL) {
      lua_pushfstring(L, "a key that is a %s: keys are names", luaL_typename(L, -2));
      problem(L);
    } else if (ft_op_find(key) >= 0) {
      if (!lua_isfunction(L, -1) && !is_unsupported(L, lua_gettop(L))) {
        lua_pushfstring(L,
                        "'%s' is a %s: an operation is a function, or "
                        "finetune.unsupported(reason)",
                        key, luaL_typename(L, -1));
        problem(L);
      }
    } else if (!is_data_key(key))
      unknown_key(L, key);
  }
}

static void check_data(lua_State *L) {
  static const struct {
    const char *key, *types;
  } rules[] = {{"base", "string"},
               {"base_url", "string"},
               {"description", "string"},
               {"env", "string table"},
               {"auth", "table"},
               {"headers", "table"},
               {"query", "table"},
               {"statuses", "table"},
               {"errors", "table"},
               {"config", "table"},
               {"secrets", "table"},
               {"open", "function"},
               {"needs", "table"},
               {"params", "table"},
               {"dataset", "table"},
               {"quirks", "table"},
               {NULL, NULL}};
  for (int i = 0; rules[i].key != NULL; i++) {
    int type = lua_getfield(L, T_PROVIDER, rules[i].key);
    if (type != LUA_TNIL && strstr(rules[i].types, lua_typename(L, type)) == NULL) {
      lua_pushfstring(L, "'%s' is a %s: it must be a %s", rules[i].key, lua_typename(L, type),
                      strcmp(rules[i].types, "string table") == 0 ? "string or table"
                                                                  : rules[i].types);
      problem(L);
    }
    lua_pop(L, 1);
  }
}

static const char *check_name(lua_State *L) {
  size_t n = 0;
  int type = lua_getfield(L, T_PROVIDER, "name");
  const char *name = type == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  int valid = name != NULL && ft_name_valid(name, n);
  if (name == NULL)
    lua_pushliteral(L, "'name' is missing: a string of letters, digits, '-' and '_'");
  else if (!valid)
    lua_pushfstring(L, "'name' is '%s': only letters, digits, '-' and '_' (at most 63)", name);
  if (!valid)
    problem(L);
  lua_pop(L, 1); /* the provider's table holds the name */
  return valid ? name : NULL;
}

static const ft_registration *check_base(lua_State *L) { /* fills T_BASE */
  const ft_registration *base = NULL;
  if (lua_getfield(L, T_PROVIDER, "base") == LUA_TSTRING) {
    base = ft_registration_find(L, lua_tostring(L, -1));
    if (base == NULL) {
      lua_pushfstring(L, "'base' is '%s', and no such provider is registered", lua_tostring(L, -1));
      problem(L);
    } else
      lua_replace(L, T_BASE);
  }
  lua_settop(L, T_BASE);
  return base;
}

static void check_required(lua_State *L, const ft_registration *base) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  int missing = 0;
  for (int i = 0; base == NULL && i < FT_NOPS; i++) {
    if (!ft_op_required(i) || i == FT_OP_prepare_data)
      continue;
    lua_getfield(L, T_PROVIDER, ft_op_name(i));
    int absent = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (absent) {
      luaL_addstring(&b, missing++ > 0 ? ", " : "");
      luaL_addstring(&b, ft_op_name(i));
    }
  }
  luaL_pushresult(&b);
  lua_pushfstring(L,
                  "required operations are missing: %s (where the service has no such thing: "
                  "finetune.unsupported(reason))",
                  lua_tostring(L, -1));
  lua_remove(L, -2);
  if (missing > 0)
    problem(L);
  else
    lua_pop(L, 1);
}

/* raises with everything that is wrong, at once */
static void raise_problems(lua_State *L, const char *name) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, T_PROBLEMS);
  luaL_Buffer b;
  if (n == 0)
    return;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "provider '");
  luaL_addstring(&b, name != NULL ? name : "?");
  luaL_addstring(&b, "' cannot be registered:");
  for (lua_Integer i = 1; i <= n; i++) {
    luaL_addstring(&b, "\n  ");
    lua_rawgeti(L, T_PROBLEMS, i);
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
  luaL_where(L, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  lua_error(L);
}

/* 1 where the name is free, or the caller may have it; 0: the same table again */
static int check_taken(lua_State *L, const char *name) {
  if (ft_registration_find(L, name) == NULL)
    return 1;
  lua_getiuservalue(L, -1, FT_RU_VALUE);
  int same = lua_rawequal(L, -1, T_PROVIDER);
  lua_pop(L, 2);
  if (!same && !lua_toboolean(L, T_REPLACE))
    luaL_error(L,
               "a provider named '%s' is registered already: pass {replace = true} to replace it",
               name);
  return !same;
}

/* [0, +1] a copy of the table at idx (nil: an empty one), one level */
static void push_copy(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  lua_newtable(L);
  ft_copy_pairs(L, idx, lua_gettop(L));
}

/* facts: the base's, overridden by the table's own data; pairs tables (env,
   headers, ...) are merged, arrays and plain values replaced */
static void push_facts(lua_State *L) {
  static const char *const merged[] = {"env",  "headers", "query",  "statuses", "errors",
                                       "auth", "quirks",  "params", "dataset",  NULL};
  lua_pushnil(L);
  if (!lua_isnil(L, T_BASE))
    lua_getiuservalue(L, T_BASE, FT_RU_FACTS);
  push_copy(L, -1);
  int facts = lua_gettop(L);
  for (int i = 1; data_keys[i] != NULL; i++) {
    const char *key = data_keys[i];
    int pairs = 0;
    for (int j = 0; merged[j] != NULL; j++)
      pairs |= strcmp(merged[j], key) == 0;
    int type = lua_getfield(L, T_PROVIDER, key);
    if (type == LUA_TSTRING && strcmp(key, "env") == 0) { /* "X" is {api_key = "X"} */
      lua_newtable(L);
      lua_insert(L, -2);
      lua_setfield(L, -2, "api_key");
      type = LUA_TTABLE;
    }
    if (type == LUA_TTABLE && pairs) {
      lua_getfield(L, facts, key);
      push_copy(L, -1);
      ft_copy_pairs(L, facts + 1, facts + 3);
      lua_setfield(L, facts, key);
    } else if (type != LUA_TNIL && type != LUA_TFUNCTION)
      lua_setfield(L, facts, key);
    lua_settop(L, facts);
  }
}

/* fills the slots: the table's functions and reasons, then what the base has */
static void fill_slots(lua_State *L, ft_registration *reg, const ft_registration *base, int funcs) {
  for (int i = 0; i < FT_NOPS; i++) {
    if (lua_getfield(L, T_PROVIDER, ft_op_name(i)) == LUA_TFUNCTION) {
      reg->slots[i].op = ft_luaprov_run;
      lua_setfield(L, funcs, ft_op_name(i));
      continue;
    }
    if (lua_istable(L, -1)) {
      lua_getfield(L, -1, "reason"); /* the marker keeps it: it cannot be changed */
      reg->slots[i].reason = lua_tostring(L, -1);
      lua_pushvalue(L, -1);
      lua_rawset(L, funcs);
      continue;
    }
    lua_pop(L, 1);
    if (base != NULL)
      reg->slots[i] = base->slots[i];
  }
  lua_getfield(L, T_PROVIDER, "open");
  if (lua_isfunction(L, -1))
    lua_setfield(L, funcs, "open");
}

int ft_registry_register(lua_State *L) {
  ft_engine_check(L);
  luaL_checktype(L, T_PROVIDER, LUA_TTABLE);
  lua_settop(L, T_REPLACE);
  lua_newtable(L);
  lua_pushnil(L);
  const char *name = check_name(L);
  const ft_registration *base = check_base(L);
  check_pairs(L);
  check_data(L);
  check_required(L, base);
  raise_problems(L, name);
  if (!check_taken(L, name)) {
    lua_settop(L, T_PROVIDER);
    return 1;
  }
  ft_registration *reg = ft_registration_new(L, name);
  int at = lua_gettop(L), funcs = at + 1;
  lua_pushnil(L);
  if (base != NULL) {
    lua_getiuservalue(L, T_BASE, FT_RU_FUNCS);
    reg->open = base->open;
    reg->ud = base->ud;
  }
  push_copy(L, -1);
  lua_replace(L, funcs);
  lua_settop(L, funcs);
  fill_slots(L, reg, base, funcs);
  lua_settop(L, funcs);
  lua_setiuservalue(L, at, FT_RU_FUNCS);
  push_facts(L);
  lua_setiuservalue(L, at, FT_RU_FACTS);
  lua_settop(L, at);
  lua_pushvalue(L, T_BASE);
  lua_setiuservalue(L, at, FT_RU_BASE);
  lua_pushvalue(L, T_PROVIDER);
  lua_setiuservalue(L, at, FT_RU_VALUE);
  ft_registry_put(L, name);
  lua_settop(L, T_PROVIDER);
  return 1;
}
