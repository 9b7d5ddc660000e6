/*
** luaprov.c: providers that are Lua tables. Every slot of such a provider is
** ft_luaprov_run, which runs the table's function in a coroutine and turns what
** it yields into what the core understands. Written against finetune.h alone.
*/
#include "finetune.h"

#include <lauxlib.h>
#include <string.h>

int ft_luaprov_run(lua_State *L, ft_call *c);

enum { CO = 1 }; /* the coroutine's place in FT_SCRATCH */

static lua_State *coroutine_of(lua_State *L) { /* [0, +1] */
  lua_rawgeti(L, FT_SCRATCH, CO);
  return lua_tothread(L, -1);
}

/* runs the <close> variables of an unfinished coroutine; they cannot wait */
static void close_coroutine(lua_State *L, lua_State *co) {
#if LUA_VERSION_RELEASE_NUM >= 50406
  lua_closethread(co, L);
#else
  (void)L;
  lua_resetthread(co);
#endif
}

static void cancelled(lua_State *L, ft_call *c) {
  (void)c;
  lua_State *co = coroutine_of(L);
  if (co != NULL)
    close_coroutine(L, co);
}

/* ctx: what a provider's function gets first; its methods are http.lua's */
static void push_ctx(lua_State *L, ft_call *c, const ft_api *api) {
  lua_createtable(L, 0, 5);
  lua_pushvalue(L, FT_CALL);
  lua_setfield(L, -2, "call");
  lua_pushvalue(L, FT_CONFIG);
  lua_setfield(L, -2, "config");
  api->push_instance(L, c);
  lua_getfield(L, -1, "name");
  lua_setfield(L, -3, "name");
  lua_setfield(L, -2, "provider");
  lua_pushstring(L, api->op_name(c));
  lua_setfield(L, -2, "op");
  api->push_context(L);
  lua_setmetatable(L, -2);
}

/* -- co: the coroutine, with function, ctx and params on its stack */
static lua_State *first(lua_State *L, ft_call *c, const ft_api *api) {
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, -1);
  lua_rawseti(L, FT_SCRATCH, CO);
  api->own_coroutine(L);
  api->cancel_hook(c, cancelled);
  if (!lua_checkstack(co, 4))
    luaL_error(L, "not enough memory");
  api->push_function(L, c);
  push_ctx(L, c, api);
  lua_pushvalue(L, FT_PARAMS);
  lua_xmove(L, co, 3);
  return co;
}

static lua_State *next(lua_State *L) {
  lua_State *co = coroutine_of(L);
  if (!lua_checkstack(co, 4))
    luaL_error(L, "not enough memory");
  lua_pushvalue(L, FT_RESPONSE);
  lua_pushvalue(L, FT_ERROR);
  lua_xmove(L, co, 2);
  return co;
}

/* ---- what the coroutine did ---- */

static int bad_yield(lua_State *L, lua_State *co, const ft_api *api) {
  luaL_traceback(L, co, NULL, 0);
  api->fail(L, "provider", "provider yielded a value that is not a request (a %s)\n%s",
            luaL_typename(L, -2), lua_tostring(L, -1));
  close_coroutine(L, co);
  return FT_FAIL;
}

static int concurrency_of(lua_State *L) {
  lua_getfield(L, -1, "concurrency");
  int n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

/* a request, an array of requests, a number of seconds, or a call */
static int yielded(lua_State *L, ft_call *c, lua_State *co, const ft_api *api) {
  lua_xmove(co, L, 1);
  switch (lua_type(L, -1)) {
  case LUA_TTABLE: {
    int batch = lua_rawgeti(L, -1, 1) == LUA_TTABLE;
    lua_pop(L, 1);
    return batch ? api->request_all(L, c, concurrency_of(L)) : api->request(L, c);
  }
  case LUA_TNUMBER:
    return api->sleep(L, c, lua_tonumber(L, -1));
  case LUA_TUSERDATA:
    return api->await(L, c); /* raises where it is no call */
  default:
    return bad_yield(L, co, api);
  }
}

/* The job on top gets our word for its state, by `statuses`; what nobody knows
   stays as it came. */
static void map_status(lua_State *L) {
  int job = lua_gettop(L);
  if (lua_getfield(L, job, "status") != LUA_TSTRING) {
    lua_pushliteral(L, "unknown"); /* and so not the end of it */
    lua_setfield(L, job, "status");
    lua_settop(L, job);
    return;
  }
  if (lua_getfield(L, job, "raw_status") == LUA_TNIL) {
    lua_pushvalue(L, job + 1);
    lua_setfield(L, job, "raw_status");
  }
  if (lua_getfield(L, FT_CONFIG, "statuses") == LUA_TTABLE) {
    lua_pushvalue(L, job + 1);
    if (lua_gettable(L, -2) == LUA_TSTRING)
      lua_setfield(L, job, "status");
  }
  lua_settop(L, job);
}

/* what an operation's result must be */
enum shape { ANYTHING, TABLE, OBJECT, JOB, PAGE };

static enum shape shape_of(const char *op) {
  static const struct {
    const char *op;
    enum shape shape;
  } shapes[] = {{"create_job", JOB},     {"get_job", JOB},      {"cancel_job", JOB},
                {"pause_job", JOB},      {"resume_job", JOB},   {"upload_file", OBJECT},
                {"get_file", OBJECT},    {"get_model", OBJECT}, {"prepare_data", TABLE},
                {"delete_model", TABLE}, {"delete_job", TABLE}, {"delete_file", TABLE},
                {NULL, ANYTHING}};
  int i = 0;
  if (strncmp(op, "list_", 5) == 0)
    return PAGE;
  while (shapes[i].op != NULL && strcmp(shapes[i].op, op) != 0)
    i++;
  return shapes[i].shape;
}

/* NULL, or what the value on top should have been */
static const char *wrong_object(lua_State *L) {
  if (!lua_istable(L, -1))
    return "a table with a string `id`";
  int is = lua_getfield(L, -1, "id") == LUA_TSTRING;
  lua_pop(L, 1);
  return is ? NULL : "a table with a string `id`";
}

static const char *wrong_page(lua_State *L) {
  static const char *const page = "a page {data = array of tables, has_more, next}";
  int top = lua_gettop(L), ok = lua_istable(L, -1) && lua_getfield(L, -1, "data") == LUA_TTABLE;
  for (lua_Integer i = 1; ok && i <= (lua_Integer)lua_rawlen(L, top + 1); i++) {
    ok = lua_rawgeti(L, top + 1, i) == LUA_TTABLE;
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
  return ok ? NULL : page;
}

static const char *wrong_shape(lua_State *L, enum shape shape) {
  switch (shape) {
  case JOB:
  case OBJECT:
    return wrong_object(L);
  case PAGE:
    return wrong_page(L);
  case TABLE:
    return lua_istable(L, -1) ? NULL : "a table";
  default:
    return NULL;
  }
}

static void map_page(lua_State *L) { /* page on top */
  int page = lua_gettop(L);
  if (lua_istable(L, page) && lua_getfield(L, page, "data") == LUA_TTABLE) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
      lua_rawgeti(L, page + 1, i);
      map_status(L);
      lua_settop(L, page + 1);
    }
  }
  lua_settop(L, page);
}

/* a value that is none of ours: 1 and the call's error, 0 where all is well */
static int bad_result(lua_State *L, ft_call *c, enum shape shape, const ft_api *api) {
  const char *wanted = wrong_shape(L, shape);
  if (wanted == NULL)
    return 0;
  api->fail(L, "provider", "%s returned a %s: its result is %s, or nil and an error",
            api->op_name(c), luaL_typename(L, -1), wanted);
  return 1;
}

/* value, or nil and an error */
static int returned(lua_State *L, ft_call *c, lua_State *co, int n, const ft_api *api) {
  enum shape shape = shape_of(api->op_name(c));
  lua_settop(co, lua_gettop(co) - n + (n > 2 ? 2 : n));
  while (n++ < 2)
    lua_pushnil(co);
  lua_xmove(co, L, 2);
  if (lua_isnil(L, -2) && lua_isnil(L, -1))
    return api->fail(L, "provider", "%s returned nothing: a value, or nil and an error",
                     api->op_name(c));
  if (lua_isnil(L, -2))
    return FT_FAIL;
  lua_pop(L, 1);
  if (bad_result(L, c, shape, api))
    return FT_FAIL;
  if (shape == JOB)
    map_status(L);
  else if (strcmp(api->op_name(c), "list_jobs") == 0)
    map_page(L);
  return FT_DONE;
}

/* how the coroutine died: words with its traceback, an error value as it is */
static int raised(lua_State *L, lua_State *co, int status) {
  if (lua_type(co, -1) == LUA_TSTRING && status != LUA_ERRMEM)
    luaL_traceback(L, co, lua_tostring(co, -1), 0);
  else
    lua_xmove(co, L, 1);
  close_coroutine(L, co);
  return FT_FAIL;
}

int ft_luaprov_run(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  int n = 0;
  lua_State *co = (*api->state(c))++ == 0 ? first(L, c, api) : next(L);
  int status = lua_resume(co, L, 2, &n);
  if (status == LUA_OK)
    return returned(L, c, co, n, api);
  if (status != LUA_YIELD)
    return raised(L, co, status);
  lua_settop(co, lua_gettop(co) - n + (n > 0)); /* only the first value counts */
  if (n == 0)
    lua_pushnil(co);
  return yielded(L, c, co, api);
}
