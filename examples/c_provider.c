/*
** c_provider.c: a provider in C, in a shared object of its own. Built as
** finetune/providers/acme.so somewhere on package.cpath, it is found by its name:
**   cc -shared -fPIC -iquote csrc $(pkg-config --cflags lua5.4) examples/c_provider.c \
**     -o build/finetune/providers/acme.so
**   finetune.create_provider("acme", {api_key = "..."})
** It links to nothing: the functions of the core come from ft_getapi(). Retries,
** deadlines, credentials, redaction and decoding are the core's business.
*/
#include "finetune.h"

#include <ctype.h>
#include <lauxlib.h>

/* One operation of a plain REST service: one request, one answer. */
typedef struct route {
  const char *method, *head, *id, *tail; /* the path: head, the parameter `id`, tail */
  void (*body)(lua_State *L);            /* [0, 0] what the request on top carries; may be NULL */
  void (*answer)(lua_State *L, int doc); /* [0, +1] our value, made from the service's document */
} route;

/* A byte of an id that stands for itself in a path */
static int plain(unsigned char ch) {
  return isalnum(ch) || ch == '-' || ch == '_' || ch == '.' || ch == '~';
}

/* [0, +1] An id comes from outside: percent-encoded, it cannot leave its place in the path. */
static void push_path(lua_State *L, const route *r) {
  static const char hex[] = "0123456789ABCDEF";
  size_t len = 0;
  const char *id = NULL;
  luaL_Buffer b;
  if (r->id != NULL) {
    lua_getfield(L, FT_PARAMS, r->id);
    id = lua_tolstring(L, -1, &len);
  }
  luaL_buffinit(L, &b);
  luaL_addstring(&b, r->head);
  for (size_t i = 0; i < len; i++) {
    unsigned char ch = (unsigned char)id[i];
    if (plain(ch))
      luaL_addchar(&b, id[i]);
    else {
      luaL_addchar(&b, '%');
      luaL_addchar(&b, hex[ch >> 4]);
      luaL_addchar(&b, hex[ch & 15]);
    }
  }
  luaL_addstring(&b, r->tail);
  luaL_pushresult(&b);
  if (r->id != NULL)
    lua_remove(L, -2);
}

static void push_request(lua_State *L, const route *r) {
  lua_newtable(L);
  lua_pushstring(L, r->method);
  lua_setfield(L, -2, "method");
  push_path(L, r);
  lua_setfield(L, -2, "path");
  if (r->body != NULL)
    r->body(L);
}

/* Every operation: the first step asks, the second one makes the answer ours. */
static int run(lua_State *L, ft_call *c, const route *r) {
  const ft_api *api = ft_getapi(L);
  if ((*api->state(c))++ == 0) {
    push_request(L, r);
    return api->request(L, c);
  }
  if (lua_isnil(L, FT_RESPONSE)) { /* it failed: the error is made already */
    lua_pushvalue(L, FT_ERROR);
    return FT_FAIL;
  }
  if (lua_getfield(L, FT_RESPONSE, "json") != LUA_TTABLE)
    return api->fail(L, "decode", "%s: the answer is not an object", api->op_name(c));
  r->answer(L, lua_gettop(L));
  return FT_DONE;
}

/* ---- bodies and answers ---- */

static void copy(lua_State *L, int from, const char *field, const char *as) {
  lua_getfield(L, from, field);
  lua_setfield(L, -2, as);
}

static void job_body(lua_State *L) {
  lua_newtable(L);
  copy(L, FT_PARAMS, "model", "model");
  copy(L, FT_PARAMS, "training_file", "training_file");
  copy(L, FT_PARAMS, "suffix", "suffix");
  lua_setfield(L, -2, "json");
  lua_pushliteral(L, "never"); /* a second attempt could create, and bill, a second job */
  lua_setfield(L, -2, "retry");
}

static void file_body(lua_State *L) {
  lua_newtable(L);
  lua_newtable(L);
  lua_pushliteral(L, "purpose");
  lua_setfield(L, -2, "name");
  copy(L, FT_PARAMS, "purpose", "value");
  lua_seti(L, -2, 1);
  lua_newtable(L);
  lua_pushliteral(L, "file");
  lua_setfield(L, -2, "name");
  lua_pushliteral(L, "train.jsonl");
  lua_setfield(L, -2, "filename");
  copy(L, FT_PARAMS, "path", "path"); /* streamed from the disk, whatever its size */
  lua_seti(L, -2, 2);
  lua_setfield(L, -2, "multipart");
}

static void value_answer(lua_State *L, int doc) { /* the names are ours already */
  static const char *const fields[] = {"id",         "status",   "model", "fine_tuned_model",
                                       "created_at", "filename", "bytes", "deleted",
                                       NULL};
  lua_newtable(L);
  for (int i = 0; fields[i] != NULL; i++)
    copy(L, doc, fields[i], fields[i]);
  lua_pushvalue(L, doc);
  lua_setfield(L, -2, "raw");
}

static void models_answer(lua_State *L, int doc) {
  lua_newtable(L);
  copy(L, doc, "data", "data");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "has_more");
  lua_pushvalue(L, doc);
  lua_setfield(L, -2, "raw");
}

/* ---- operations ---- */

#define ROUTE(name, ...)                                                                           \
  static int name(lua_State *L, ft_call *c) {                                                      \
    static const route r = {__VA_ARGS__};                                                          \
    return run(L, c, &r);                                                                          \
  }
ROUTE(upload_file, "POST", "/files", NULL, "", file_body, value_answer)
ROUTE(create_job, "POST", "/fine_tuning/jobs", NULL, "", job_body, value_answer)
ROUTE(get_job, "GET", "/fine_tuning/jobs/", "job_id", "", NULL, value_answer)
ROUTE(cancel_job, "POST", "/fine_tuning/jobs/", "job_id", "/cancel", NULL, value_answer)
ROUTE(list_models, "GET", "/models", NULL, "", NULL, models_answer)
ROUTE(delete_model, "DELETE", "/models/", "model", "", NULL, value_answer)

/* What the core should know: written as Lua, because it is a table. */
static int describe(lua_State *L, void *ud) {
  (void)ud;
  return luaL_dostring(L, "return {base_url = 'https://api.acme.example/v1',"
                          "  env = {api_key = 'ACME_API_KEY', base_url = 'ACME_BASE_URL'},"
                          "  statuses = {validating_files = 'validating'}}") == LUA_OK
             ? FT_DONE
             : FT_FAIL;
}

int luaopen_finetune_providers_acme(lua_State *L);
int luaopen_finetune_providers_acme(lua_State *L) {
  static const ft_slot slots[FT_NOPS] = {
      [FT_OP_upload_file] = {.op = upload_file}, /* prepare_data: the core's own serves */
      [FT_OP_create_job] = {.op = create_job},
      [FT_OP_get_job] = {.op = get_job},
      [FT_OP_cancel_job] = {.op = cancel_job},
      [FT_OP_list_models] = {.op = list_models},
      [FT_OP_delete_model] = {.op = delete_model},
      [FT_OP_pause_job] = {.reason = "a job of Acme's cannot be paused"},
  };
  static const ft_provider provider = {.version = FT_ABI_VERSION,
                                       .nops = FT_NOPS,
                                       .name = "acme",
                                       .slots = slots,
                                       .describe = describe};
  const ft_api *api = ft_getapi(L);
  if (api == NULL)
    return luaL_error(L, "require 'finetune' first");
  api->add_provider(L, &provider, NULL, NULL);
  return 0;
}
