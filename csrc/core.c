/*
** core.c: the module `finetune.core`: the table of functions that Lua sees, the
** table that providers in C see, and luaopen, which ties both to the state.
*/
#include "dataset.h"
#include "dataset_tokens.h"
#include "ft.h"
#include "prepare.h"

#include <lualib.h>
#include <string.h>
#include <time.h>

/* ---- ft_api: thin, typed wrappers ---- */

static int *api_state(ft_call *c) {
  return &c->user_state;
}

static void *api_ud(ft_call *c) {
  return c->slot->ud;
}

static const char *api_op_name(ft_call *c) {
  return ft_op_name(c->op);
}

static void api_cancel_hook(ft_call *c, void (*hook)(lua_State *, ft_call *)) {
  c->hook = hook;
}

static void api_push_instance(lua_State *L, ft_call *c) {
  (void)c;
  lua_getiuservalue(L, FT_CALL, FT_CU_INSTANCE);
}

static void api_push_provider(lua_State *L, ft_call *c) {
  (void)c;
  lua_getiuservalue(L, FT_CALL, FT_CU_INSTANCE);
  lua_getiuservalue(L, -1, FT_IU_REG);
  if (lua_getiuservalue(L, -1, FT_RU_VALUE) == LUA_TNIL)
    lua_pop(L, 1);
  else
    lua_remove(L, -2);
  lua_remove(L, -2);
}

static void api_push_context(lua_State *L) {
  ft_engine_push(L, FT_EU_CONTEXT);
}

static void api_own_coroutine(lua_State *L) { /* [-1, +1] */
  ft_engine_push(L, FT_EU_WAITERS);
  lua_pushvalue(L, -2);
  ft_engine_push(L, FT_EU_YIELDER);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void api_secret(lua_State *L, ft_call *c, const char *value) {
  (void)c;
  lua_getiuservalue(L, FT_CALL, FT_CU_INSTANCE);
  lua_getiuservalue(L, -1, FT_IU_SECRETS);
  lua_pushstring(L, value);
  ft_secret_add(L, -2);
  lua_pop(L, 2);
}

static void api_push_null(lua_State *L) {
  lua_pushlightuserdata(L, NULL);
}

static const ft_api the_api = {
    FT_ABI_VERSION,
    sizeof(ft_api),
    ft_add_provider,
    ft_call_request,
    ft_call_request_all,
    ft_call_sleep,
    ft_call_await,
    ft_call_on_cancel,
    api_cancel_hook,
    api_state,
    api_ud,
    api_op_name,
    api_push_instance,
    api_push_provider,
    ft_push_function,
    api_own_coroutine,
    api_push_context,
    ft_call_progress,
    ft_error,
    api_secret,
    ft_json_encode,
    ft_json_decode,
    api_push_null,
    ft_json_mark_array,
    ft_file_info,
    ft_now,
    ft_call_start,
    ft_engine_step,
    ft_engine_pollfd,
    ft_call_result,
};

/* ---- finetune.core ---- */

static int core_start(lua_State *L) {
  lua_settop(L, 3);
  ft_call_start(L);
  return 1;
}

/* step([seconds]) -> calls still running */
static int core_step(lua_State *L) {
  lua_pushinteger(L, ft_engine_step(L, luaL_optnumber(L, 1, -1)));
  return 1;
}

static int core_pollfd(lua_State *L) {
  lua_pushinteger(L, ft_engine_pollfd(L));
  return 1;
}

static int core_pending(lua_State *L) {
  lua_pushinteger(L, ft_engine_pending(ft_engine_check(L)));
  return 1;
}

/* redact(instance, text) -> text without the instance's secrets */
static int core_redact(lua_State *L) {
  luaL_checkudata(L, 1, FT_INSTANCE_META);
  luaL_checkstring(L, 2);
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, FT_IU_SECRETS);
  lua_insert(L, 2);
  ft_redact(L, 2);
  return 1;
}

static int core_inside(lua_State *L) {
  lua_pushboolean(L, ft_engine_inside(ft_engine_check(L)));
  return 1;
}

/* defer(f, a): f(a) in the drain of the next step */
static int core_defer(lua_State *L) {
  ft_engine *E = ft_engine_check(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, FT_QUEUED);
  ft_engine_queue(L, E);
  ft_engine_arm(E);
  return 0;
}

static int core_encode(lua_State *L) {
  luaL_checkany(L, 1);
  ft_json_encode(L, 1);
  return 1;
}

static int core_decode(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  if (ft_json_decode(L, s, n))
    return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int core_array(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  ft_json_mark_array(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int core_unsupported(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "reason");
  luaL_setmetatable(L, FT_UNSUPPORTED_META);
  return 1;
}

static int core_escape(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  ft_buf *b = ft_box(L, (size_t)-1 / 2);
  if (!ft_buf_reserve(b, 3 * n + 1))
    return luaL_error(L, "not enough memory");
  ft_escape(b, s, n);
  lua_pushlstring(L, b->len > 0 ? b->data : "", b->len);
  lua_insert(L, -2);
  ft_box_close(L);
  return 1;
}

static int core_now(lua_State *L) {
  lua_pushnumber(L, ft_now());
  return 1;
}

static int core_on_cancel(lua_State *L) { /* call, request or nil; for ctx:on_cancel */
  ft_call *c = ft_call_check(L, FT_CALL);
  lua_settop(L, 2);
  ft_call_on_cancel(L, c);
  return 0;
}

static int core_add_secret(lua_State *L) { /* call, value; for ctx:secret */
  api_secret(L, ft_call_check(L, FT_CALL), luaL_checkstring(L, 2));
  return 0;
}

static int core_wall(lua_State *L) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec * 1e-9);
  return 1;
}

/* file_info(path) -> {size, mtime}, or nil and words */
static int core_file_info(lua_State *L) {
  if (ft_file_info(L, luaL_checkstring(L, 1)))
    return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int core_is_provider(lua_State *L) {
  lua_pushboolean(L, luaL_testudata(L, 1, FT_INSTANCE_META) != NULL);
  return 1;
}

/* core.versions() -> {curl = "7.88.1", ssl = "OpenSSL/3.0.15"}: of what is loaded */
static int core_versions(lua_State *L) {
  const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
  lua_createtable(L, 0, 2);
  lua_pushstring(L, v->version);
  lua_setfield(L, -2, "curl");
  lua_pushstring(L, v->ssl_version); /* NULL: nil, it has no TLS */
  lua_setfield(L, -2, "ssl");
  return 1;
}

/* core.dataset(options, instance or nil) -> dataset: see dataset.h */
static int core_dataset(lua_State *L) {
  lua_settop(L, 2);
  if (luaL_testudata(L, 2, FT_INSTANCE_META) != NULL) {
    lua_getiuservalue(L, 2, FT_IU_CONFIG);
    lua_getfield(L, -1, "dataset");
    lua_replace(L, 2);
    lua_settop(L, 2);
  }
  return ft_dataset_new(L);
}

static const luaL_Reg core_functions[] = {{"register", ft_registry_register},
                                          {"unregister", ft_registry_unregister},
                                          {"provider", ft_registry_provider},
                                          {"providers", ft_registry_providers},
                                          {"facts", ft_registry_facts},
                                          {"set_default", ft_registry_default},
                                          {"create", ft_instance_create},
                                          {"supports", ft_instance_supports},
                                          {"is_provider", core_is_provider},
                                          {"close", ft_instance_close},
                                          {"start", core_start},
                                          {"sleep", ft_call_sleeper},
                                          {"step", core_step},
                                          {"pollfd", core_pollfd},
                                          {"pending", core_pending},
                                          {"redact", core_redact},
                                          {"inside", core_inside},
                                          {"defer", core_defer},
                                          {"error", ft_error_new},
                                          {"is_error", ft_error_is_lua},
                                          {"encode", core_encode},
                                          {"decode", core_decode},
                                          {"array", core_array},
                                          {"unsupported", core_unsupported},
                                          {"nearest", ft_nearest},
                                          {"escape", core_escape},
                                          {"list_dir", ft_list_dir},
                                          {"file_info", core_file_info},
                                          {"random_token", ft_random_token},
                                          {"on_cancel", core_on_cancel},
                                          {"add_secret", core_add_secret},
                                          {"now", core_now},
                                          {"wall", core_wall},
                                          {"versions", core_versions},
                                          {"dataset", core_dataset},
                                          {"dataset_compare", ft_prepare_compare},
                                          {"dataset_slice", ft_prepare_slice},
                                          {"dataset_add", ft_prepare_add},
                                          {"dataset_told", ft_prepare_told},
                                          {"rules", ft_dataset_rules},
                                          {NULL, NULL}};

/* ---- luaopen ---- */

static void push_ops(lua_State *L) { /* array of {name, required, params} */
  static const char *const params[] = {
#define OP_PARAMS(name, required, params) params,
      FT_OPERATIONS(OP_PARAMS)
#undef OP_PARAMS
  };
  lua_createtable(L, FT_NOPS, 0);
  for (int i = 0; i < FT_NOPS; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, ft_op_name(i));
    lua_setfield(L, -2, "name");
    lua_pushboolean(L, ft_op_required(i));
    lua_setfield(L, -2, "required");
    lua_pushstring(L, params[i]);
    lua_setfield(L, -2, "params");
    lua_rawseti(L, -2, i + 1);
  }
}

/* coroutine.yield, whatever the host made of its globals */
static void push_yield(lua_State *L) {
  lua_pushcfunction(L, luaopen_coroutine);
  lua_call(L, 0, 1);
  lua_getfield(L, -1, "yield");
  lua_remove(L, -2);
}

static void share(lua_State *L, const char *name, int uv) { /* module on top */
  ft_engine_push(L, uv);
  lua_setfield(L, -2, name);
}

static void push_module(lua_State *L) {
  luaL_newlib(L, core_functions);
  push_ops(L);
  lua_setfield(L, -2, "ops");
  share(L, "methods", FT_EU_METHODS);
  share(L, "context", FT_EU_CONTEXT);
  share(L, "waiters", FT_EU_WAITERS);
  ft_call_open(L);
  lua_setfield(L, -2, "call_methods");
  ft_system_open(L);
  ft_tokens_open(L);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "null");
  lua_pushliteral(L, FT_VERSION);
  lua_setfield(L, -2, "version");
}

/* The module table that is in this state already, made by this very copy of the
   core: a cleared package.loaded (test runners do that) is no second copy. */
static int already_open(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, FT_API_KEY) == LUA_TNIL)
    return 0;
  if (*(const ft_api **)lua_touserdata(L, -1) != &the_api)
    luaL_error(L, "another copy of finetune.core is loaded in this state: look for two "
                  "finetune/core.so in package.cpath");
  ft_engine_push(L, FT_EU_MODULE);
  return !lua_isnil(L, -1);
}

static void open_parts(lua_State *L) {
  ft_util_open(L);
  luaL_newmetatable(L, FT_ARRAY_META);
  lua_pop(L, 1);
  ft_error_open(L);
  ft_engine_set(L, FT_EU_MEMERR);
  push_yield(L);
  ft_engine_set(L, FT_EU_YIELDER);
  ft_transfer_open(L);
  ft_response_open(L);
  ft_registry_open(L);
  ft_instance_open(L);
}

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int luaopen_finetune_core(lua_State *L);

int luaopen_finetune_core(lua_State *L) {
  luaL_checkversion(L);
  lua_settop(L, 0);
  if (already_open(L))
    return 1;
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return luaL_error(L, "finetune: libcurl cannot be initialized");
  ft_engine_new(L, &the_api, ft_step_close);
  lua_setfield(L, LUA_REGISTRYINDEX, FT_API_KEY);
  open_parts(L);
  push_module(L);
  lua_pushvalue(L, -1);
  ft_openai_register(L);
  ft_engine_set(L, FT_EU_MODULE);
  return 1;
}
