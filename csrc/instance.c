/*
** instance.c: a provider with a configuration. The configuration is a copy of
** the caller's, completed from the environment and the provider's facts, and
** never changes afterwards.
*/
#include "ft.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* the stack of create; "config" is the completed copy */
enum { I_NAME = 1, I_USER, I_REG, I_FACTS, I_CONFIG, I_SECRETS, I_INSTANCE, I_TOP = I_INSTANCE };

static int bad_config(lua_State *L, const char *words) {
  ft_error(L, "config", "%s", words);
  return 0;
}

/* ---- completing ---- */

/* config[key] = the first of the variables named by the array or string on top */
static void from_environment(lua_State *L, const char *key, int names) {
  lua_Integer n = lua_istable(L, names) ? (lua_Integer)lua_rawlen(L, names) : 1;
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_istable(L, names))
      lua_rawgeti(L, names, i);
    else
      lua_pushvalue(L, names);
    const char *variable = lua_tostring(L, -1);
    const char *value = variable != NULL ? getenv(variable) : NULL;
    if (value != NULL && *value != '\0') { /* set but empty is not set */
      lua_pushstring(L, value);
      lua_setfield(L, I_CONFIG, key);
      return;
    }
    lua_pop(L, 1);
  }
}

static void complete_environment(lua_State *L) {
  if (lua_getfield(L, I_FACTS, "env") == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, I_TOP + 1); lua_settop(L, I_TOP + 2)) {
      if (lua_type(L, -2) != LUA_TSTRING)
        continue;
      const char *key = lua_tostring(L, -2);
      int set = lua_getfield(L, I_CONFIG, key) != LUA_TNIL;
      lua_pop(L, 1);
      if (!set)
        from_environment(L, key, lua_gettop(L));
    }
  lua_settop(L, I_TOP);
}

/* config[name] = default for the settings that have one in facts.config; of an array, which lists
   all that it may be, the first */
static void complete_defaults(lua_State *L) {
  if (lua_getfield(L, I_FACTS, "config") == LUA_TTABLE)
    for (lua_pushnil(L); lua_next(L, I_TOP + 1); lua_settop(L, I_TOP + 2)) {
      if (lua_type(L, -2) != LUA_TSTRING)
        continue;
      lua_pushvalue(L, -2);
      if (lua_gettable(L, I_CONFIG) != LUA_TNIL)
        continue;
      lua_pushvalue(L, I_TOP + 2);
      if (lua_istable(L, I_TOP + 3))
        lua_rawgeti(L, I_TOP + 3, 1);
      else
        lua_pushvalue(L, I_TOP + 3);
      lua_settable(L, I_CONFIG);
    }
  lua_settop(L, I_TOP);
}

/* the provider's own values where the caller gave none; pairs are merged */
static void complete_facts(lua_State *L) {
  static const char *const merged[] = {"headers", "query",  "auth",    "statuses",
                                       "errors",  "quirks", "dataset", NULL};
  for (int i = 0; merged[i] != NULL; i++) {
    lua_newtable(L);
    lua_getfield(L, I_FACTS, merged[i]);
    lua_getfield(L, I_CONFIG, merged[i]);
    ft_copy_pairs(L, I_TOP + 2, I_TOP + 1);
    ft_copy_pairs(L, I_TOP + 3, I_TOP + 1);
    lua_settop(L, I_TOP + 1);
    lua_setfield(L, I_CONFIG, merged[i]);
  }
  if (lua_getfield(L, I_CONFIG, "base_url") == LUA_TNIL) {
    lua_getfield(L, I_FACTS, "base_url");
    lua_setfield(L, I_CONFIG, "base_url");
  }
  if (lua_getfield(L, I_CONFIG, "user_agent") == LUA_TNIL) {
    lua_pushliteral(L, "finetune/" FT_VERSION);
    lua_setfield(L, I_CONFIG, "user_agent");
  }
  lua_settop(L, I_TOP);
}

/* ---- checking ---- */

static int is_clean(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] < ' ' || s[i] == 0x7F)
      return 0;
  return 1;
}

static int check_base_url(lua_State *L) {
  size_t n;
  if (lua_getfield(L, I_CONFIG, "base_url") == LUA_TNIL) {
    lua_pop(L, 1);
    return 1;
  }
  const char *s = lua_tolstring(L, -1, &n);
  if (s == NULL || !is_clean(s, n) || memchr(s, ' ', n) != NULL ||
      (strncasecmp(s, "http://", 7) != 0 && strncasecmp(s, "https://", 8) != 0))
    return bad_config(L, "base_url must be an http:// or https:// URL without blanks");
  const char *host = strstr(s, "://") + 3;
  size_t authority = strcspn(host, "/?#");
  if (authority == 0 || memchr(host, '@', authority) != NULL)
    return bad_config(L, "base_url must name a host and no user: credentials go into api_key "
                         "or headers");
  if (strpbrk(s, "?#") != NULL)
    return bad_config(L, "base_url must not hold a query or fragment: use `query`");
  while (n > 0 && s[n - 1] == '/')
    n--;
  lua_pushlstring(L, s, n);
  lua_setfield(L, I_CONFIG, "base_url");
  lua_pop(L, 1);
  return 1;
}

/* a header line that ended early would let its value write the next one */
static int check_text(lua_State *L, const char *key) {
  size_t n = 0;
  int type = lua_getfield(L, I_CONFIG, key);
  const char *s = type == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  if (type != LUA_TNIL && (s == NULL || !is_clean(s, n))) {
    ft_error(L, "config", "%s must be a string without newlines and other control characters", key);
    return 0;
  }
  lua_pop(L, 1);
  return 1;
}

static int is_header_name(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] <= ' ' || s[i] == ':' || s[i] == 0x7F)
      return 0;
  return n > 0;
}

static int bad_header(lua_State *L, const char *name, const char *words) {
  ft_error(L, "config", "the header '%s' of headers %s", name, words);
  return 0;
}

static int check_headers(lua_State *L) {
  size_t n;
  int top = lua_gettop(L);
  if (lua_getfield(L, I_CONFIG, "headers") != LUA_TTABLE) /* made by complete_facts */
    return bad_config(L, "headers must be a table of names and strings");
  for (lua_pushnil(L); lua_next(L, top + 1); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      return bad_config(L, "headers must be a table of names and strings");
    const char *name = lua_tolstring(L, -2, &n), *value;
    if (!is_header_name(name, n))
      return bad_config(L, "a name in headers is empty or holds a blank, a colon or a control "
                           "character");
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
      return bad_header(L, name, "must be a string");
    lua_pushvalue(L, -1);
    value = lua_tolstring(L, -1, &n);
    if (strlen(value) != n || strpbrk(value, "\r\n") != NULL)
      return bad_header(L, name, "holds a newline or a NUL");
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return 1;
}

static int check_key(lua_State *L) {
  size_t n;
  int type = lua_getfield(L, I_CONFIG, "api_key");
  const char *s = type == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  if (s != NULL && n == 0) { /* empty is absent, as in the environment */
    lua_pushnil(L);
    lua_setfield(L, I_CONFIG, "api_key");
  } else if (s != NULL && (!is_clean(s, n) || s[0] == ' ' || s[n - 1] == ' '))
    return bad_config(L, "api_key holds a blank at its end, a newline or another control "
                         "character: was it read from a file with its newline?");
  lua_pop(L, 1);
  return 1;
}

/* a number of the configuration in [least, most]; 0 and an error otherwise */
static int check_number(lua_State *L, const char *key, double otherwise, double least, double most,
                        double *value) {
  *value = otherwise;
  if (lua_getfield(L, I_CONFIG, key) != LUA_TNIL) {
    int is = lua_type(L, -1) == LUA_TNUMBER;
    *value = lua_tonumber(L, -1);
    if (!is || !(*value >= least && *value <= most)) {
      ft_error(L, "config", "%s must be a number between %f and %f", key, least, most);
      return 0;
    }
  }
  lua_pop(L, 1);
  return 1;
}

static int has_function(lua_State *L, const char *key) {
  int is = lua_getfield(L, I_CONFIG, key) == LUA_TFUNCTION;
  lua_pop(L, 1);
  return is;
}

static int check_settings(lua_State *L, ft_instance *inst) {
  double retries;
  if (!check_number(L, "timeout", 600, 0.001, 1e6, &inst->timeout) ||
      !check_number(L, "connect_timeout", 5, 0.001, 1e6, &inst->connect_timeout) ||
      !check_number(L, "retry_delay", 0.5, 0, 1000, &inst->retry_delay) ||
      !check_number(L, "max_retries", 2, 0, 100, &retries))
    return 0;
  inst->max_retries = (int)retries;
  inst->traced = has_function(L, "on_trace");
  inst->scripted = has_function(L, "transport");
  return 1;
}

/* ---- secrets ---- */

static void add_secret(lua_State *L) { /* [-1, 0] */
  ft_secret_add(L, I_SECRETS);
}

static void secrets_of_pairs(lua_State *L, const char *field) {
  lua_getfield(L, I_CONFIG, field); /* a table: complete_facts made it */
  for (lua_pushnil(L); lua_next(L, I_TOP + 1); lua_settop(L, I_TOP + 2)) {
    if (lua_type(L, -2) != LUA_TSTRING || !ft_sounds_secret(lua_tostring(L, -2)))
      continue;
    const char *value = lua_tostring(L, -1), *blank = value != NULL ? strrchr(value, ' ') : NULL;
    lua_pushstring(L, blank != NULL ? blank + 1 : NULL); /* "Bearer xyz": the xyz alone too */
    add_secret(L);
    add_secret(L);
  }
  lua_settop(L, I_TOP);
}

static void secret_of_proxy(lua_State *L) { /* http://user:password@host */
  lua_getfield(L, I_CONFIG, "proxy");
  const char *s = lua_tostring(L, -1), *at = s != NULL ? strrchr(s, '@') : NULL;
  const char *from = at != NULL ? strstr(s, "://") : NULL;
  from = from != NULL ? from + 3 : s;
  if (at != NULL && at > from) {
    lua_pushlstring(L, from, (size_t)(at - from));
    add_secret(L);
    const char *colon = memchr(from, ':', (size_t)(at - from));
    if (colon != NULL) {
      lua_pushlstring(L, colon + 1, (size_t)(at - colon - 1));
      add_secret(L);
    }
  }
  lua_settop(L, I_TOP);
}

static void collect_secrets(lua_State *L) {
  lua_getfield(L, I_CONFIG, "api_key");
  add_secret(L);
  secrets_of_pairs(L, "headers");
  secrets_of_pairs(L, "query");
  secret_of_proxy(L);
  if (lua_getfield(L, I_FACTS, "secrets") == LUA_TTABLE)
    for (lua_Integer i = 1; lua_rawgeti(L, I_TOP + 1, i) == LUA_TSTRING; i++) {
      lua_getfield(L, I_CONFIG, lua_tostring(L, -1));
      add_secret(L);
      lua_settop(L, I_TOP + 1);
    }
  lua_settop(L, I_TOP);
}

/* ---- open ---- */

/* the C provider's open, with the configuration at index 1 of its own stack */
static int open_in_c(lua_State *L) { /* config, registration -- ok, error */
  ft_registration *reg = lua_touserdata(L, 2);
  lua_settop(L, 1);
  int status = reg->open(L, reg->ud);
  lua_pushboolean(L, status == FT_DONE);
  lua_insert(L, -2);
  return 2;
}

/* 1, or 0 and an error value on top */
static int run_open(lua_State *L, const ft_registration *reg) {
  if (reg->open != NULL) {
    lua_pushcfunction(L, open_in_c);
    lua_pushvalue(L, I_CONFIG);
    lua_pushvalue(L, I_REG);
    lua_call(L, 2, 2);
    if (!lua_toboolean(L, -2))
      return 0;
    lua_settop(L, I_TOP);
  }
  if (lua_getiuservalue(L, I_REG, FT_RU_FUNCS) == LUA_TTABLE &&
      lua_getfield(L, -1, "open") == LUA_TFUNCTION) {
    lua_pushvalue(L, I_CONFIG);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2) && !lua_isnil(L, -1))
      return 0;
  }
  lua_settop(L, I_TOP);
  return 1;
}

/* ---- create ---- */

static int create_failed(lua_State *L) { /* error on top -- nil, error */
  ft_error_coerce(L, "config");
  if (lua_getfield(L, -1, "provider") == LUA_TNIL) {
    lua_pushvalue(L, I_NAME);
    lua_setfield(L, -3, "provider");
  }
  lua_pop(L, 1);
  if (lua_istable(L, I_SECRETS))
    ft_redact_table(L, -1, I_SECRETS, 2);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* What libcurl is told at each request. The strings are kept apart from the
   configuration, because a provider in Lua could change that. */
static void keep_strings(lua_State *L, ft_instance *inst) {
  const char **const place[] = {&inst->proxy, &inst->ca_file, &inst->user_agent,
                                &inst->unix_socket};
  static const char *const keys[] = {"proxy", "ca_file", "user_agent", "unix_socket"};
  lua_createtable(L, 4, 0);
  for (int i = 0; i < 4; i++) {
    lua_getfield(L, I_CONFIG, keys[i]);
    *place[i] = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_rawseti(L, -2, i + 1);
  }
  lua_setiuservalue(L, I_INSTANCE, FT_IU_STRINGS);
}

/* [0, +1] an instance on the values at their places */
static ft_instance *instance_new(lua_State *L, ft_engine *E, const ft_registration *reg) {
  ft_instance *inst = lua_newuserdatauv(L, sizeof *inst, FT_IU_LAST);
  memset(inst, 0, sizeof *inst);
  inst->E = E;
  inst->serial = ++E->instances;
  inst->reg = reg;
  lua_pushvalue(L, I_REG);
  lua_setiuservalue(L, -2, FT_IU_REG);
  lua_pushvalue(L, I_CONFIG);
  lua_setiuservalue(L, -2, FT_IU_CONFIG);
  lua_pushvalue(L, I_SECRETS);
  lua_setiuservalue(L, -2, FT_IU_SECRETS);
  luaL_setmetatable(L, FT_INSTANCE_META);
  return inst;
}

static int complete(lua_State *L, ft_instance *inst) { /* 1, or 0 and an error on top */
  ft_copy_pairs(L, I_USER, I_CONFIG);
  complete_environment(L);
  complete_facts(L);
  complete_defaults(L);
  if (!check_key(L))
    return 0;
  collect_secrets(L);
  if (!check_base_url(L) || !check_settings(L, inst) || !check_text(L, "user_agent") ||
      !check_text(L, "proxy") || !check_text(L, "ca_file") || !check_text(L, "unix_socket") ||
      !run_open(L, inst->reg))
    return 0;
  collect_secrets(L); /* open may have read a credential from elsewhere */
  keep_strings(L, inst);
  return check_base_url(L) && check_key(L) && check_headers(L);
}

/* core.create(name, config) -> instance, or nil and an error value */
int ft_instance_create(lua_State *L) {
  ft_engine *E = ft_engine_check(L);
  const char *name = luaL_checkstring(L, I_NAME);
  if (!lua_isnoneornil(L, I_USER))
    luaL_checktype(L, I_USER, LUA_TTABLE);
  lua_settop(L, I_USER);
  ft_registration *reg = ft_registration_find(L, name);
  if (reg == NULL) {
    ft_error(L, "config", "no provider named '%s' is registered", name);
    return create_failed(L);
  }
  lua_getiuservalue(L, I_REG, FT_RU_FACTS);
  lua_newtable(L);
  lua_newtable(L);
  if (!complete(L, instance_new(L, E, reg)))
    return create_failed(L);
  lua_settop(L, I_INSTANCE);
  return 1;
}

/* ---- the instance ---- */

static ft_instance *instance_check(lua_State *L) {
  return luaL_checkudata(L, 1, FT_INSTANCE_META);
}

/* core.supports(instance, op) -> true, or false and the reason */
int ft_instance_supports(lua_State *L) {
  ft_instance *inst = instance_check(L);
  const char *name = luaL_checkstring(L, 2);
  int op = ft_op_find(name);
  if (op < 0)
    return luaL_error(L, "unknown operation '%s'", name);
  const ft_slot *slot = ft_slot_of(L, inst->reg, op);
  lua_pushboolean(L, slot->op != NULL);
  if (slot->op != NULL)
    return 1;
  lua_pushstring(L, slot->reason != NULL ? slot->reason : "this provider does not offer it");
  return 2;
}

/* core.close(instance): running calls are cancelled, later ones refused; again is harmless */
int ft_instance_close(lua_State *L) {
  ft_instance *inst = instance_check(L);
  if (inst->closed)
    return 0;
  ft_engine_check(L);
  inst->closed = 1;
  ft_call_close_all(L, inst);
  return 0;
}

static int instance_index(lua_State *L) { /* name, or a method of upvalue 1 */
  ft_instance *inst = instance_check(L);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "name") == 0)
    lua_pushstring(L, inst->reg->name);
  else {
    lua_settop(L, 2);
    lua_gettable(L, lua_upvalueindex(1));
  }
  return 1;
}

static int instance_tostring(lua_State *L) { /* never the configuration: it holds keys */
  ft_instance *inst = instance_check(L);
  lua_pushfstring(L, "finetune.provider: %s%s", inst->reg->name, inst->closed ? " (closed)" : "");
  return 1;
}

/* the registration and instance that core.sleep runs on; nobody else sees them */
static void internal_instance(lua_State *L) {
  int base = lua_gettop(L);
  ft_registration *reg = lua_newuserdatauv(L, sizeof *reg, FT_RU_LAST);
  memset(reg, 0, sizeof *reg);
  strcpy(reg->name, "finetune");
  ft_instance *inst = lua_newuserdatauv(L, sizeof *inst, FT_IU_LAST);
  memset(inst, 0, sizeof *inst);
  inst->E = ft_engine_of(L);
  inst->reg = reg;
  lua_pushvalue(L, base + 1);
  lua_setiuservalue(L, base + 2, FT_IU_REG);
  for (int uv = FT_IU_CONFIG; uv <= FT_IU_LAST; uv++)
    if (uv != FT_IU_REG) {
      lua_newtable(L);
      lua_setiuservalue(L, base + 2, uv);
    }
  luaL_setmetatable(L, FT_INSTANCE_META);
  ft_engine_set(L, FT_EU_INTERNAL);
  lua_settop(L, base);
}

void ft_instance_open(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__close", ft_instance_close}, {"__tostring", instance_tostring}, {NULL, NULL}};
  ft_new_metatable(L, FT_INSTANCE_META);
  luaL_setfuncs(L, meta, 0);
  ft_engine_push(L, FT_EU_METHODS);
  lua_pushcclosure(L, instance_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  internal_instance(L);
}
