/*
** cprov.c: a provider in C in a shared object of its own, made to be wrong on
** demand. c_spec.lua registers it and calls its operations. Links to nothing: the
** functions come from the registry of the state.
**   cprov.register(what)  "good", or what is wrong with it; cprov.destroyed() counts
*/
#include "finetune.h"

#include <lauxlib.h>
#include <string.h>

static int destroyed, steps; /* of this test alone: one state, one thread */

static int fail_through(lua_State *L) {
  lua_pushvalue(L, FT_ERROR);
  return FT_FAIL;
}

static void push_request(lua_State *L, const char *path) {
  lua_createtable(L, 0, 1);
  lua_pushstring(L, path);
  lua_setfield(L, -2, "path");
}

/* one request: its decoded answer */
static int get_job(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  steps++;
  if ((*api->state(c))++ == 0) {
    push_request(L, "/job");
    return api->request(L, c);
  }
  if (lua_isnil(L, FT_RESPONSE))
    return fail_through(L);
  lua_getfield(L, FT_RESPONSE, "json");
  lua_pushstring(L, api->ud(c)); /* the slot's own data */
  lua_setfield(L, -2, "ud");
  return FT_DONE;
}

/* a request that is sent if the call is cancelled, and a hook that runs then */
static void hook(lua_State *L, ft_call *c) {
  (void)c;
  lua_getfield(L, FT_SCRATCH, "note");
  lua_setglobal(L, "cprov_hook");
}

static int cancel_job(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  if ((*api->state(c))++ > 0)
    return fail_through(L);
  lua_pushliteral(L, "the scratch table lives as long as the call");
  lua_setfield(L, FT_SCRATCH, "note");
  api->cancel_hook(c, hook);
  push_request(L, "/abort");
  lua_pushliteral(L, "POST");
  lua_setfield(L, -2, "method");
  api->on_cancel(L, c);
  push_request(L, "/pending");
  return api->request(L, c);
}

/* three requests, two at once */
static int list_models(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  if ((*api->state(c))++ > 0) {
    lua_pushvalue(L, lua_isnil(L, FT_RESPONSE) ? FT_ERROR : FT_RESPONSE);
    return lua_isnil(L, FT_RESPONSE) ? FT_FAIL : FT_DONE;
  }
  lua_createtable(L, 3, 0);
  for (int i = 1; i <= 3; i++) {
    push_request(L, "/models");
    lua_pushinteger(L, i);
    lua_setfield(L, -2, "tag");
    lua_rawseti(L, -2, i);
  }
  return api->request_all(L, c, 2);
}

/* waits for another call of the same instance */
static int delete_model(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  if ((*api->state(c))++ == 0) {
    api->push_instance(L, c);
    lua_pushliteral(L, "get_job");
    lua_newtable(L);
    api->start(L);
    return api->await(L, c);
  }
  if (lua_isnil(L, FT_RESPONSE))
    return fail_through(L);
  lua_pushvalue(L, FT_RESPONSE);
  return FT_DONE;
}

static int upload_file(lua_State *L, ft_call *c) { /* sleeps, tells progress, is done */
  const ft_api *api = ft_getapi(L);
  if ((*api->state(c))++ == 0)
    return api->sleep(L, c, 0.001);
  lua_createtable(L, 0, 1);
  api->push_null(L);
  lua_setfield(L, -2, "null");
  return FT_DONE;
}

static int create_job(lua_State *L, ft_call *c) { /* what the model is named decides */
  const ft_api *api = ft_getapi(L);
  lua_getfield(L, FT_PARAMS, "model");
  const char *how = lua_tostring(L, -1);
  if (strcmp(how, "raises") == 0)
    return luaL_error(L, "it raised %d", 42);
  if (strcmp(how, "waits for nothing") == 0)
    return FT_WAIT;
  if (strcmp(how, "fails") == 0)
    return api->fail(L, "quota", "no more than %d", 3);
  if (strcmp(how, "secret") == 0) {
    api->secret(L, c, "hush-hush");
    return api->fail(L, "server", "the token was %s", "hush-hush");
  }
  lua_pushstring(L, how); /* a string as the error */
  return FT_FAIL;
}

/* ---- registration ---- */

static void destroy(void *ud) {
  (void)ud;
  destroyed++;
}

static int open_instance(lua_State *L, void *ud) {
  (void)ud;
  if (lua_getfield(L, 1, "token") != LUA_TSTRING)
    return ft_getapi(L)->fail(L, "config", "token is missing");
  return FT_DONE;
}

static int describe(lua_State *L, void *ud) {
  if (ud != NULL)
    return luaL_error(L, "describe raised");
  return luaL_dostring(L, "return {base_url = 'https://cprov.example', config = {'token'},"
                          "  secrets = {'token'}, env = {api_key = 'CPROV_KEY'}}") == LUA_OK
             ? FT_DONE
             : FT_FAIL;
}

static int cprov_register(lua_State *L) {
  static char data[] = "the slot's data";
  const char *what = luaL_checkstring(L, 1);
  const ft_api *api = ft_getapi(L);
  ft_slot slots[FT_NOPS] = {{0}};
  ft_provider p = {FT_ABI_VERSION, FT_NOPS, "cprov", slots, open_instance, describe};
  if (api == NULL)
    return luaL_error(L, "require 'finetune' first");
  slots[FT_OP_get_job] = (ft_slot){get_job, data, NULL};
  slots[FT_OP_cancel_job].op = cancel_job;
  slots[FT_OP_list_models].op = list_models;
  slots[FT_OP_delete_model].op = delete_model;
  slots[FT_OP_upload_file].op = upload_file;
  slots[FT_OP_create_job].op = create_job;
  slots[FT_OP_pause_job].reason = "nothing can be paused";
  if (strcmp(what, "version") == 0)
    p.version = FT_ABI_VERSION + 1;
  if (strcmp(what, "name") == 0)
    p.name = "not a name";
  if (strcmp(what, "missing") == 0)
    memset(&slots[FT_OP_get_job], 0, sizeof slots[0]);
  if (strcmp(what, "older") == 0) /* a header that ended before the optional operations */
    p.nops = FT_OP_delete_model + 1;
  api->add_provider(L, &p, strcmp(what, "describe") == 0 ? data : NULL, destroy);
  memset(slots, 0xA5, sizeof slots); /* everything was copied */
  return 0;
}

static int cprov_destroyed(lua_State *L) {
  lua_pushinteger(L, destroyed);
  return 1;
}

static int cprov_steps(lua_State *L) {
  lua_pushinteger(L, steps);
  return 1;
}

int luaopen_cprov(lua_State *L);
int luaopen_cprov(lua_State *L) {
  static const luaL_Reg functions[] = {{"register", cprov_register},
                                       {"destroyed", cprov_destroyed},
                                       {"steps", cprov_steps},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
