/*
** registry.c: providers by name. A registration is a userdata that owns the
** slots; whoever runs on it holds it, so replacing or unregistering a provider
** never pulls code from under a call.
*/
#include "ft.h"

#include <ctype.h>
#include <string.h>

static const char required_ops[] = {
#define OP_REQUIRED(name, required, params) required,
    FT_OPERATIONS(OP_REQUIRED)
#undef OP_REQUIRED
};

int ft_op_required(int op) {
  return required_ops[op];
}

int ft_name_valid(const char *name, size_t len) {
  if (len == 0 || len >= sizeof((ft_registration *)0)->name)
    return 0;
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
      return 0;
  return 1;
}

/* [0, +1] and the registration, or NULL and nothing */
ft_registration *ft_registration_find(lua_State *L, const char *name) {
  ft_engine_push(L, FT_EU_PROVIDERS);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  ft_registration *reg = lua_touserdata(L, -1);
  if (reg == NULL)
    lua_pop(L, 1);
  return reg;
}

/* ---- slots ---- */

/* prepare_data has a default in C; others are Lua functions (core.set_default) */
const ft_slot *ft_slot_of(lua_State *L, const ft_registration *reg, int op) {
  static const ft_slot prepare = {ft_prepare_data, NULL, NULL};
  static const ft_slot in_lua = {ft_luaprov_run, NULL, NULL};
  const ft_slot *slot = &reg->slots[op];
  if (slot->op != NULL || slot->reason != NULL)
    return slot;
  if (op == FT_OP_prepare_data)
    return &prepare;
  ft_engine_push(L, FT_EU_DEFAULTS);
  int has = lua_getfield(L, -1, ft_op_name(op)) == LUA_TFUNCTION;
  lua_pop(L, 2);
  return has ? &in_lua : slot;
}

void ft_push_function(lua_State *L, ft_call *c) {
  int top = lua_gettop(L);
  lua_getiuservalue(L, FT_CALL, FT_CU_INSTANCE);
  lua_getiuservalue(L, -1, FT_IU_REG);
  if (lua_getiuservalue(L, -1, FT_RU_FUNCS) != LUA_TTABLE ||
      lua_getfield(L, -1, ft_op_name(c->op)) != LUA_TFUNCTION) {
    ft_engine_push(L, FT_EU_DEFAULTS);
    lua_getfield(L, -1, ft_op_name(c->op));
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* core.set_default(op, f) */
int ft_registry_default(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  luaL_argcheck(L, ft_op_find(name) >= 0, 1, "unknown operation");
  luaL_checktype(L, 2, LUA_TFUNCTION);
  ft_engine_push(L, FT_EU_DEFAULTS);
  lua_pushvalue(L, 2);
  lua_setfield(L, -2, name);
  return 0;
}

/* ---- registration of a vtable ---- */

static int registration_gc(lua_State *L) {
  ft_registration *reg = lua_touserdata(L, 1);
  void (*destroy)(void *) = reg->destroy;
  reg->destroy = NULL;
  if (destroy != NULL)
    destroy(reg->ud);
  return 0;
}

static int registration_index(lua_State *L) { /* provider.name of a provider in C */
  ft_registration *reg = luaL_checkudata(L, 1, FT_REGISTRATION_META);
  const char *key = lua_tostring(L, 2);
  if (key == NULL || strcmp(key, "name") != 0)
    return 0;
  lua_pushstring(L, reg->name);
  return 1;
}

static int registration_tostring(lua_State *L) {
  ft_registration *reg = luaL_checkudata(L, 1, FT_REGISTRATION_META);
  lua_pushfstring(L, "finetune.registration: %s", reg->name);
  return 1;
}

void ft_registry_open(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", registration_gc},
                                  {"__index", registration_index},
                                  {"__tostring", registration_tostring},
                                  {NULL, NULL}};
  luaL_newmetatable(L, FT_REGISTRATION_META);
  luaL_setfuncs(L, meta, 0);
  luaL_newmetatable(L, FT_UNSUPPORTED_META);
  lua_pop(L, 2);
}

static ft_registration *registration_new(lua_State *L, const char *name) {
  ft_registration *reg = lua_newuserdatauv(L, sizeof *reg, FT_RU_LAST);
  memset(reg, 0, sizeof *reg);
  strcpy(reg->name, name); /* ft_name_valid checked the length */
  luaL_setmetatable(L, FT_REGISTRATION_META);
  return reg;
}

static void registry_put(lua_State *L, const char *name) { /* [-1, 0] */
  ft_engine_push(L, FT_EU_PROVIDERS);
  lua_insert(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* The reasons of a provider in C may live in a module that is unloaded: a copy,
   kept alive by the facts. */
static const char *keep_string(lua_State *L, int table, const char *s) {
  if (s == NULL)
    return NULL;
  lua_pushstring(L, s);
  s = lua_tostring(L, -1);
  lua_pushvalue(L, -1);
  lua_rawset(L, table); /* string -> itself */
  return s;
}

static void check_vtable(lua_State *L, const ft_provider *p) {
  if (p->version != FT_ABI_VERSION)
    luaL_error(L, "this provider was built for version %d of finetune.h, this is %d",
               (int)p->version, (int)FT_ABI_VERSION);
  if (p->name == NULL || !ft_name_valid(p->name, strlen(p->name)))
    luaL_error(L, "a provider's name is made of letters, digits, '-' and '_'");
  for (int i = 0; i < FT_NOPS; i++) {
    int there = (unsigned)i < p->nops && (p->slots[i].op != NULL || p->slots[i].reason != NULL);
    if (ft_op_required(i) && !there && i != FT_OP_prepare_data)
      luaL_error(L, "provider '%s' lacks the operation '%s' and gives no reason", p->name,
                 ft_op_name(i));
  }
}

typedef struct Registering {
  const ft_provider *p;
  void *ud;
  void (*destroy)(void *);
  int taken; /* the registration owns ud from here on */
} Registering;

static int add_provider(lua_State *L) { /* light Registering -- */
  Registering *r = lua_touserdata(L, 1);
  const ft_provider *p = r->p;
  check_vtable(L, p);
  ft_registration *reg = registration_new(L, p->name);
  reg->ud = r->ud;
  reg->destroy = r->destroy;
  r->taken = 1;
  reg->open = p->open;
  reg->describe = p->describe;
  if (p->describe == NULL || p->describe(L, r->ud) < 0 || !lua_istable(L, -1))
    lua_newtable(L);
  lua_replace(L, 1);
  lua_settop(L, 2);
  lua_newtable(L);
  for (int i = 0; i < FT_NOPS && (unsigned)i < p->nops; i++) {
    reg->slots[i] = p->slots[i];
    reg->slots[i].reason = keep_string(L, 3, p->slots[i].reason);
  }
  lua_setfield(L, 1, "reasons");
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, 2, FT_RU_FACTS);
  registry_put(L, reg->name);
  return 0;
}

void ft_add_provider(lua_State *L, const ft_provider *p, void *ud, void (*destroy)(void *)) {
  Registering r = {p, ud, destroy, 0};
  ft_engine_check(L);
  lua_pushcfunction(L, add_provider);
  lua_pushlightuserdata(L, &r);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK)
    return;
  if (!r.taken && destroy != NULL)
    destroy(ud);
  lua_error(L);
}

/* ---- registration of a table ---- */

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
  size_t n;
  if (lua_getfield(L, T_PROVIDER, "name") != LUA_TSTRING)
    lua_pushliteral(L, "'name' is missing: a string of letters, digits, '-' and '_'");
  else if (!ft_name_valid(lua_tolstring(L, -1, &n), n))
    lua_pushfstring(L, "'name' is '%s': only letters, digits, '-' and '_' (at most 63)",
                    lua_tostring(L, -1));
  else {
    const char *name = lua_tostring(L, -1);
    lua_pop(L, 1); /* the provider's table holds it */
    return name;
  }
  problem(L);
  lua_pop(L, 1);
  return NULL;
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
  if (!lua_istable(L, idx))
    return;
  for (lua_pushnil(L); lua_next(L, idx);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* facts: the base's, overridden by the table's own data; pairs tables (env,
   headers, ...) are merged, arrays and plain values replaced */
static void push_facts(lua_State *L) {
  static const char *const merged[] = {"env",  "headers", "query",  "statuses", "errors",
                                       "auth", "quirks",  "params", NULL};
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
      for (lua_pushnil(L); lua_next(L, facts + 1);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, facts + 3);
      }
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
  ft_registration *reg = registration_new(L, name);
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
  registry_put(L, name);
  lua_settop(L, T_PROVIDER);
  return 1;
}

int ft_registry_unregister(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_pushboolean(L, ft_registration_find(L, name) != NULL);
  if (lua_toboolean(L, -1)) {
    lua_pushnil(L);
    registry_put(L, name);
  }
  return 1;
}

/* core.provider(name) -> what was registered under it, or nil */
int ft_registry_provider(lua_State *L) {
  if (ft_registration_find(L, luaL_checkstring(L, 1)) == NULL)
    return 0;
  if (lua_getiuservalue(L, -1, FT_RU_VALUE) == LUA_TNIL)
    lua_pop(L, 1);
  return 1;
}

/* core.providers() -> names, sorted */
int ft_registry_providers(lua_State *L) {
  size_t n;
  ft_engine_push(L, FT_EU_PROVIDERS);
  ft_key *keys = ft_sorted_keys(L, 1, &n);
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushlstring(L, keys[i].s, keys[i].len);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* core.facts(name) -> the table of facts, or nil */
int ft_registry_facts(lua_State *L) {
  if (ft_registration_find(L, luaL_checkstring(L, 1)) == NULL)
    return 0;
  lua_getiuservalue(L, -1, FT_RU_FACTS);
  return 1;
}
