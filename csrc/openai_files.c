/*
** openai_files.c: waiting until a file is processed, and downloads.
*/
#include "openai.h"

#include <string.h>

/* ---- waiting until a file is processed ---- */

#define POLL_FIRST 0.5    /* seconds between looks, doubled each time up to ... */
#define POLL_INTERVAL 5.0 /* ... config.poll_interval; openai-python's is 5 */
#define POLL_LIMIT 1800.0 /* openai-python's wait_for_processing: 30 minutes */

void ft_oa_poll_begin(lua_State *L, const char *limit_param) {
  double limit = ft_oa_number(L, FT_PARAMS, limit_param, POLL_LIMIT);
  lua_setfield(L, FT_SCRATCH, "poll_id");
  lua_pushnumber(L, ft_getapi(L)->now() + limit);
  lua_setfield(L, FT_SCRATCH, "poll_deadline");
  lua_pushnumber(L, POLL_FIRST);
  lua_setfield(L, FT_SCRATCH, "poll_pause");
}

int ft_oa_poll_ask(lua_State *L, ft_call *c) {
  size_t len;
  lua_getfield(L, FT_SCRATCH, "poll_id");
  const char *id = lua_tolstring(L, -1, &len);
  if (ft_oa_request(L, "GET", "/files/{}", "file_id", id, len) == FT_FAIL)
    return FT_FAIL;
  return ft_oa_send(L, c, *ft_getapi(L)->state(c));
}

/* [0, +1] the error with the file that it is about as err.file */
static int fail_with_file(lua_State *L, int file) {
  lua_pushvalue(L, file);
  lua_setfield(L, -2, "file");
  return FT_FAIL;
}

static int file_broken(lua_State *L, int file, const char *status) {
  lua_getfield(L, file, "id");
  lua_getfield(L, file, "raw");
  const char *why = lua_getfield(L, -1, "status_details") == LUA_TSTRING
                        ? lua_tostring(L, -1)
                        : "the service gave no details";
  ft_getapi(L)->fail(L, "data", "the service could not process file %s (%s): %s",
                     lua_tostring(L, file + 1), status, why);
  return fail_with_file(L, file);
}

static int file_late(lua_State *L, int file, const char *status) {
  lua_getfield(L, file, "id");
  ft_getapi(L)->fail(L, "timeout", "file %s is not processed yet (its status is still %s)",
                     lua_tostring(L, file + 1), status);
  return fail_with_file(L, file);
}

/* Sleeps until the next look, or FT_FAIL, with nothing pushed, at the deadline */
static int poll_sleep(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  double left = ft_oa_number(L, FT_SCRATCH, "poll_deadline", 0) - api->now();
  double pause = ft_oa_number(L, FT_SCRATCH, "poll_pause", POLL_FIRST);
  double longest = ft_oa_number(L, FT_CONFIG, "poll_interval", POLL_INTERVAL);
  if (!(left > 0))
    return FT_FAIL;
  lua_pushnumber(L, pause * 2);
  lua_setfield(L, FT_SCRATCH, "poll_pause");
  pause = pause < longest ? pause : longest;
  return api->sleep(L, c, pause < left ? pause : left);
}

static int is_word(const char *word, const char *const *list) {
  while (*list != NULL)
    if (strcmp(word, *list++) == 0)
      return 1;
  return 0;
}

/* `status` is deprecated (openai-openapi 2.3.0): a file that has none, or one that
   nobody knows, is taken to be ready; create_job will say if it is not. Azure's
   words are here too. */
int ft_oa_poll_look(lua_State *L, ft_call *c) {
  static const char *const waiting[] = {"uploaded", "pending", "running", "processing", NULL};
  static const char *const broken[] = {"error", "failed", "deleting", "deleted", NULL};
  int file = lua_gettop(L);
  const char *status = lua_getfield(L, file, "status") == LUA_TSTRING ? lua_tostring(L, -1) : "";
  lua_settop(L, file); /* the file still has the string */
  if (is_word(status, broken))
    return file_broken(L, file, status);
  if (!is_word(status, waiting))
    return FT_DONE;
  return poll_sleep(L, c) == FT_WAIT ? FT_WAIT : file_late(L, file, status);
}

/* Comes back with an answer after a request, with none after a sleep */
int ft_oa_poll(lua_State *L, ft_call *c) {
  if (!lua_isnil(L, FT_ERROR))
    return ft_oa_failed(L);
  if (!lua_istable(L, FT_RESPONSE))
    return ft_oa_poll_ask(L, c);
  ft_oa_document(L);
  if (ft_oa_file(L, lua_gettop(L)) == FT_FAIL)
    return FT_FAIL;
  return ft_oa_poll_look(L, c);
}

/* ---- download_file ---- */

static void copy_param(lua_State *L, const char *key) {
  lua_getfield(L, FT_PARAMS, key);
  lua_setfield(L, -2, key);
}

static int download_ask(lua_State *L, ft_call *c) {
  size_t len;
  lua_getfield(L, FT_PARAMS, "file_id");
  const char *id = lua_tolstring(L, -1, &len);
  if (ft_oa_request(L, "GET", "/files/{}/content", "file_id", id, len) == FT_FAIL)
    return FT_FAIL;
  lua_newtable(L);
  ft_oa_merge_extra(L, lua_gettop(L));
  lua_setfield(L, -2, "query");
  copy_param(L, "output");
  copy_param(L, "max_bytes");
  lua_getfield(L, -1, "output");
  int has_output = !lua_isnil(L, -1);
  lua_pop(L, 1);
  lua_pushstring(L, has_output ? "none" : "text");
  lua_setfield(L, -2, "decode");
  return ft_oa_send(L, c, 1);
}

/* The content, or, where it went to a file, that file and its length */
static int download_answer(lua_State *L) {
  if (lua_getfield(L, FT_PARAMS, "output") == LUA_TNIL) {
    if (lua_getfield(L, FT_RESPONSE, "body") != LUA_TSTRING)
      lua_pushliteral(L, "");
    return FT_DONE;
  }
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "path");
  lua_getfield(L, FT_RESPONSE, "bytes");
  lua_setfield(L, -2, "bytes");
  return FT_DONE;
}

int ft_oa_download_file(lua_State *L, ft_call *c) {
  if (*ft_getapi(L)->state(c) == 0)
    return download_ask(L, c);
  return lua_isnil(L, FT_ERROR) ? download_answer(L) : ft_oa_failed(L);
}
