/*
** registry.c: providers by name. A registration is a userdata that owns the
** slots; whoever runs on it holds it, so replacing or unregistering a provider
** never pulls code from under a call.
*/
#include "ft.h"
#include "prepare.h"

#include <ctype.h>
#include <string.h>

/* ---- the operations ---- */

static const char *const op_names[] = {
#define OP_NAME(name, required, params) #name,
    FT_OPERATIONS(OP_NAME)
#undef OP_NAME
};

const char *ft_op_name(int op) {
  return op < 0 ? "sleep" : op_names[op];
}

int ft_op_find(const char *name) {
  for (int i = 0; i < FT_NOPS; i++)
    if (strcmp(op_names[i], name) == 0)
      return i;
  return -1;
}

static const char required_ops[] = {
#define OP_REQUIRED(name, required, params) required,
    FT_OPERATIONS(OP_REQUIRED)
#undef OP_REQUIRED
};

int ft_op_required(int op) {
  return required_ops[op];
}

/* ---- names ---- */

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
  ft_new_metatable(L, FT_REGISTRATION_META);
  luaL_setfuncs(L, meta, 0);
  luaL_newmetatable(L, FT_UNSUPPORTED_META);
  lua_pop(L, 2);
}

ft_registration *ft_registration_new(lua_State *L, const char *name) {
  ft_registration *reg = lua_newuserdatauv(L, sizeof *reg, FT_RU_LAST);
  memset(reg, 0, sizeof *reg);
  strcpy(reg->name, name); /* ft_name_valid checked the length */
  luaL_setmetatable(L, FT_REGISTRATION_META);
  return reg;
}

void ft_registry_put(lua_State *L, const char *name) { /* [-1, 0] */
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
  ft_registration *reg = ft_registration_new(L, p->name);
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
  ft_registry_put(L, reg->name);
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

int ft_registry_unregister(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_pushboolean(L, ft_registration_find(L, name) != NULL);
  if (lua_toboolean(L, -1)) {
    lua_pushnil(L);
    ft_registry_put(L, name);
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
  lua_settop(L, 0);
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
