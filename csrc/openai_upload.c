/*
** openai_upload.c: upload_file. A file goes up in one form, or in parts where it is
** too large for that. Numbers: openai-openapi 2.3.0 (2026-08-21), in MB and GB.
** Where we choose what to send, MB is read as 10^6, which is right under either
** meaning; where we would only refuse, as 2^20, because the service knows best.
*/
#include "openai.h"

#include <string.h>

#define UPLOAD_LIMIT 512e6                      /* POST /files */
#define UPLOAD_TOTAL (8.0 * 1024 * 1024 * 1024) /* POST /uploads */
#define PART_LIMIT (64.0 * 1024 * 1024)         /* what openai-python 3.3.1 sends as "64MB" */
#define MAX_PARTS 10000                         /* ours: the service names none */
#define EXPIRES_MIN 3600                        /* seconds: expires_after */
#define EXPIRES_MAX 2592000
enum { PARTS_AT_ONCE = 4, ABORT_TIMEOUT = 15 /* seconds */ };

/* ---- what is asked for ---- */

enum { UP_START, UP_SENT, UP_CREATED, UP_PARTS, UP_COMPLETED, UP_ABORTED, UP_POLL };

static int bad_file(lua_State *L, const char *words) {
  lua_getfield(L, FT_PARAMS, "path");
  const char *path = lua_tostring(L, -1);
  return ft_getapi(L)->fail(L, "data", "cannot upload %s: %s", path, words);
}

/* scratch.size and scratch.mtime: what the file is now. Every part is checked
   against them when it is sent, so that no mixture of two versions arrives. */
static int upload_stat(lua_State *L) {
  size_t len;
  lua_getfield(L, FT_PARAMS, "path");
  const char *path = lua_tolstring(L, -1, &len);
  if (strlen(path) != len)
    return bad_file(L, "its name contains a zero byte");
  if (!ft_getapi(L)->file_info(L, path)) /* its words name the file */
    return ft_getapi(L)->fail(L, "data", "cannot upload %s", lua_tostring(L, -1));
  lua_getfield(L, -1, "size");
  lua_setfield(L, FT_SCRATCH, "size");
  lua_getfield(L, -1, "mtime");
  lua_setfield(L, FT_SCRATCH, "mtime");
  return ft_oa_number(L, FT_SCRATCH, "size", 0) > 0 ? FT_DONE : bad_file(L, "it is empty");
}

/* expires_after = {seconds =, anchor =}: the only anchor there is need not be said */
static int upload_expiry(lua_State *L) {
  if (lua_getfield(L, FT_PARAMS, "expires_after") == LUA_TNIL)
    return FT_DONE;
  lua_createtable(L, 0, 2);
  int is_integer;
  lua_getfield(L, -2, "seconds");
  lua_Integer seconds = lua_tointegerx(L, -1, &is_integer);
  if (lua_type(L, -1) != LUA_TNUMBER || !is_integer || seconds < EXPIRES_MIN ||
      seconds > EXPIRES_MAX)
    return ft_oa_invalid(L, "expires_after",
                         "must have `seconds`, an integer from 3600 to 2592000");
  lua_pushinteger(L, seconds);
  lua_setfield(L, -3, "seconds");
  lua_pop(L, 1);
  if (lua_getfield(L, -2, "anchor") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushliteral(L, "created_at");
  }
  lua_setfield(L, -2, "anchor");
  lua_setfield(L, FT_SCRATCH, "expires_after");
  return FT_DONE;
}

/* [0, +1] the name that the service is told */
static void push_filename(lua_State *L) {
  if (lua_getfield(L, FT_PARAMS, "filename") == LUA_TSTRING && lua_rawlen(L, -1) > 0)
    return;
  lua_pop(L, 1);
  lua_getfield(L, FT_PARAMS, "path");
  const char *path = lua_tostring(L, -1), *slash = strrchr(path, '/');
  lua_pushstring(L, slash != NULL ? slash + 1 : path);
  lua_remove(L, -2);
}

static void push_purpose(lua_State *L) {
  if (lua_getfield(L, FT_PARAMS, "purpose") == LUA_TSTRING)
    return;
  lua_pop(L, 1);
  lua_pushliteral(L, "fine-tune");
}

/* [0, +1] a string quirk or its default */
static void push_type(lua_State *L, const char *quirk, const char *otherwise) {
  if (ft_oa_quirk(L, quirk) == LUA_TSTRING)
    return;
  lua_pop(L, 1);
  lua_pushstring(L, otherwise);
}

/* ---- one form ---- */

/* [-1, 0] a value field of the form, which is the array at `form` */
static void form_value(lua_State *L, int form, const char *name) {
  if (lua_isboolean(L, -1)) { /* forms are text */
    lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
    lua_replace(L, -2);
  } else if (lua_type(L, -1) == LUA_TNUMBER)
    lua_tostring(L, -1); /* in place */
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "value");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_rawseti(L, form, (lua_Integer)lua_rawlen(L, form) + 1);
}

static void copy_scratch(lua_State *L, const char *key) {
  lua_getfield(L, FT_SCRATCH, key);
  lua_setfield(L, -2, key);
}

/* [0, +1] the part of a form that is the file, or a slice of it */
static void push_file_part(lua_State *L, const char *name, double offset, double length) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_getfield(L, FT_PARAMS, "path");
  lua_setfield(L, -2, "path");
  push_filename(L);
  lua_setfield(L, -2, "filename");
  push_type(L, "part_type", "application/octet-stream"); /* Azure refuses a part without */
  lua_setfield(L, -2, "type");
  lua_pushinteger(L, (lua_Integer)offset);
  lua_setfield(L, -2, "offset");
  lua_pushinteger(L, (lua_Integer)length);
  lua_setfield(L, -2, "length");
  copy_scratch(L, "size");
  copy_scratch(L, "mtime");
}

/* The fields of the table on top that the form does not have yet, by the set `seen`
   [-1, 0] */
static void form_fields(lua_State *L, int form, int seen) {
  if (!lua_istable(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  for (lua_pushnil(L); lua_next(L, -2); lua_settop(L, seen + 2)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      continue;
    lua_pushvalue(L, -2);
    int is_new = lua_rawget(L, seen) == LUA_TNIL;
    lua_pop(L, 1);
    lua_pushvalue(L, -2);
    lua_pushboolean(L, 1);
    lua_rawset(L, seen);
    if (is_new)
      form_value(L, form, lua_tostring(L, -2));
  }
  lua_pop(L, 1);
}

/* [0, +1] the form: small fields first, for services that read as it comes */
static void push_form(lua_State *L) {
  lua_createtable(L, 4, 0);
  int form = lua_gettop(L);
  push_purpose(L);
  form_value(L, form, "purpose");
  if (lua_getfield(L, FT_SCRATCH, "expires_after") == LUA_TTABLE) {
    lua_getfield(L, -1, "anchor");
    form_value(L, form, "expires_after[anchor]");
    lua_getfield(L, -1, "seconds");
    form_value(L, form, "expires_after[seconds]");
  }
  lua_settop(L, form);
  lua_newtable(L);
  lua_getfield(L, FT_PARAMS, "extra");
  form_fields(L, form, form + 1);
  ft_oa_quirk(L, "extra");
  form_fields(L, form, form + 1);
  lua_settop(L, form);
  push_file_part(L, "file", 0, ft_oa_number(L, FT_SCRATCH, "size", 0));
  lua_rawseti(L, form, (lua_Integer)lua_rawlen(L, form) + 1);
}

/* "idempotent": an upload whose answer was lost leaves, at worst, a file nobody uses */
static int upload_whole(lua_State *L, ft_call *c) {
  ft_oa_request(L, "POST", "/files", NULL, NULL, 0);
  push_form(L);
  lua_setfield(L, -2, "multipart");
  lua_pushliteral(L, "idempotent");
  lua_setfield(L, -2, "retry");
  return ft_oa_send(L, c, UP_SENT);
}

/* ---- parts: create, send the parts, complete; or cancel ---- */

static int upload_create(lua_State *L, ft_call *c) {
  ft_oa_request(L, "POST", "/uploads", NULL, NULL, 0);
  lua_createtable(L, 0, 5);
  push_filename(L);
  lua_setfield(L, -2, "filename");
  push_purpose(L);
  lua_setfield(L, -2, "purpose");
  lua_getfield(L, FT_SCRATCH, "size");
  lua_setfield(L, -2, "bytes");
  push_type(L, "mime_type", "text/jsonl"); /* as in the API reference's own example */
  lua_setfield(L, -2, "mime_type");
  copy_scratch(L, "expires_after");
  ft_oa_merge_extra(L, lua_gettop(L));
  lua_setfield(L, -2, "json");
  lua_pushliteral(L, "idempotent"); /* an upload that is not used expires within the hour */
  lua_setfield(L, -2, "retry");
  return ft_oa_send(L, c, UP_CREATED);
}

/* [0, +1] a request to the upload */
static int upload_request(lua_State *L, const char *path, const char *retry) {
  size_t len;
  lua_getfield(L, FT_SCRATCH, "upload_id");
  const char *id = lua_tolstring(L, -1, &len);
  if (ft_oa_request(L, "POST", path, "upload_id", id, len) == FT_FAIL)
    return FT_FAIL;
  lua_pushstring(L, retry);
  lua_setfield(L, -2, "retry");
  return FT_DONE;
}

/* Sent at most once and not waited for long: an upload that is not cancelled expires
   by itself, and the caller is waiting for the real error */
static int push_abort(lua_State *L) {
  if (upload_request(L, "/uploads/{}/cancel", "never") == FT_FAIL)
    return FT_FAIL;
  lua_pushinteger(L, ABORT_TIMEOUT);
  lua_setfield(L, -2, "timeout");
  return FT_DONE;
}

/* [-1, ...] an error -> the upload is cancelled, then that error is the answer */
static int upload_abort(lua_State *L, ft_call *c) {
  lua_setfield(L, FT_SCRATCH, "error");
  lua_pushnil(L);
  ft_getapi(L)->on_cancel(L, c);
  if (push_abort(L) == FT_FAIL)
    return FT_FAIL;
  return ft_oa_send(L, c, UP_ABORTED);
}

/* Every part is repeated by itself: a part that arrived twice is used once, because
   `complete` names the parts */
static int push_parts(lua_State *L) {
  double size = ft_oa_number(L, FT_SCRATCH, "size", 0);
  double step = ft_oa_number(L, FT_SCRATCH, "part_size", PART_LIMIT);
  lua_newtable(L);
  int list = lua_gettop(L);
  for (double at = 0; at < size; at += step) {
    if (upload_request(L, "/uploads/{}/parts", "idempotent") == FT_FAIL)
      return FT_FAIL;
    lua_createtable(L, 1, 0);
    push_file_part(L, "data", at, size - at < step ? size - at : step);
    lua_rawseti(L, -2, 1);
    lua_setfield(L, -2, "multipart");
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
    lua_settop(L, list);
  }
  return FT_DONE;
}

/* [0, +1] the id of the document at idx, or the error */
static int push_id(lua_State *L, int idx, const char *what) {
  if (lua_istable(L, idx) && lua_getfield(L, idx, "id") == LUA_TSTRING)
    return FT_DONE;
  return ft_getapi(L)->fail(L, "decode", "the service's answer is not %s: it has no id", what);
}

static int upload_created(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  if (!lua_isnil(L, FT_ERROR))
    return ft_oa_failed(L);
  ft_oa_document(L);
  if (push_id(L, lua_gettop(L), "an upload") == FT_FAIL)
    return FT_FAIL;
  lua_setfield(L, FT_SCRATCH, "upload_id");
  if (push_abort(L) == FT_FAIL)
    return FT_FAIL;
  api->on_cancel(L, c);
  if (push_parts(L) == FT_FAIL)
    return FT_FAIL;
  *api->state(c) = UP_PARTS;
  return api->request_all(L, c, PARTS_AT_ONCE);
}

/* [0, +1] the ids of the parts, in the order of the file */
static int push_part_ids(lua_State *L) {
  lua_newtable(L);
  int ids = lua_gettop(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, FT_RESPONSE);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, FT_RESPONSE, i);
    lua_getfield(L, -1, "json");
    if (push_id(L, lua_gettop(L), "a part") == FT_FAIL)
      return FT_FAIL;
    lua_rawseti(L, ids, i);
    lua_settop(L, ids);
  }
  return FT_DONE;
}

static int upload_complete(lua_State *L, ft_call *c) {
  if (!lua_isnil(L, FT_ERROR)) {
    ft_oa_failed(L);
    return upload_abort(L, c);
  }
  if (push_part_ids(L) == FT_FAIL)
    return upload_abort(L, c);
  int ids = lua_gettop(L);
  if (upload_request(L, "/uploads/{}/complete", "idempotent") == FT_FAIL)
    return FT_FAIL;
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, ids);
  lua_setfield(L, -2, "part_ids");
  lua_setfield(L, -2, "json");
  return ft_oa_send(L, c, UP_COMPLETED);
}

/* ---- the whole ---- */

/* scratch.part_size; FT_DONE, or what is wrong with the one that was given */
static int choose_part_size(lua_State *L) {
  double size = ft_oa_number(L, FT_SCRATCH, "size", 0);
  double limit = (double)(lua_Integer)ft_oa_quirk_number(L, "part_limit", PART_LIMIT);
  double part = ft_oa_number(L, FT_PARAMS, "part_size", limit);
  if (!(part >= 1 && part <= limit)) {
    lua_pushfstring(L, "must be from 1 to %I bytes", (LUAI_UACINT)limit);
    return ft_oa_invalid(L, "part_size", lua_tostring(L, -1));
  }
  if (size / part > MAX_PARTS)
    return ft_oa_invalid(L, "part_size", "makes more than 10000 parts of this file");
  lua_pushnumber(L, part);
  lua_setfield(L, FT_SCRATCH, "part_size");
  return FT_DONE;
}

static int too_large(lua_State *L, double limit) {
  lua_pushfstring(L, "it has %I bytes and the service takes %I at most",
                  (LUAI_UACINT)ft_oa_number(L, FT_SCRATCH, "size", 0), (LUAI_UACINT)limit);
  return bad_file(L, lua_tostring(L, -1));
}

static int upload_start(lua_State *L, ft_call *c) {
  if (upload_stat(L) == FT_FAIL || upload_expiry(L) == FT_FAIL)
    return FT_FAIL;
  double size = ft_oa_number(L, FT_SCRATCH, "size", 0);
  double limit = ft_oa_quirk_number(L, "upload_limit", UPLOAD_LIMIT);
  double total = ft_oa_quirk_number(L, "upload_total", UPLOAD_TOTAL);
  int wants_parts = lua_getfield(L, FT_PARAMS, "part_size") != LUA_TNIL;
  int has_parts = !ft_oa_quirk_off(L, "uploads");
  if (wants_parts && !has_parts)
    return ft_oa_invalid(L, "part_size", "has no use: this service takes files in one piece");
  if (size > (has_parts ? total : limit))
    return too_large(L, has_parts ? total : limit);
  int in_parts = wants_parts || size > limit;
  if (in_parts && choose_part_size(L) == FT_FAIL)
    return FT_FAIL;
  ft_getapi(L)->progress(L, c, 0, size);
  return in_parts ? upload_create(L, c) : upload_whole(L, c);
}

/* The document at idx is the file: that is all, or, with `wait`, the first look */
static int upload_finish(lua_State *L, ft_call *c, int idx) {
  if (ft_oa_file(L, idx) == FT_FAIL)
    return FT_FAIL;
  lua_getfield(L, FT_PARAMS, "wait");
  int wait = lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (!wait)
    return FT_DONE;
  lua_getfield(L, -1, "id");
  ft_oa_poll_begin(L, "wait_timeout");
  *ft_getapi(L)->state(c) = UP_POLL;
  return ft_oa_poll_look(L, c);
}

static int upload_sent(lua_State *L, ft_call *c) {
  if (!lua_isnil(L, FT_ERROR))
    return ft_oa_failed(L);
  ft_oa_document(L);
  return upload_finish(L, c, lua_gettop(L));
}

/* The answer to a completion can be lost after it was carried out; repeated (by
   libcurl alone, even), it is refused. The caller must know that the file may be there. */
static void maybe_completed(lua_State *L) { /* error on top */
  lua_Number status = ft_oa_number(L, lua_gettop(L), "status", 0);
  if (status != 0 && status != 400 && status != 409 && status < 500)
    return;
  lua_getfield(L, -1, "message");
  lua_pushliteral(L, " (an earlier attempt may have completed the upload: list_files tells)");
  lua_concat(L, 2);
  lua_setfield(L, -2, "message");
}

static int upload_completed(lua_State *L, ft_call *c) {
  if (!lua_isnil(L, FT_ERROR)) {
    ft_oa_failed(L);
    maybe_completed(L);
    return upload_abort(L, c);
  }
  lua_pushnil(L);
  ft_getapi(L)->on_cancel(L, c); /* it is a file now */
  ft_oa_document(L);
  if (lua_istable(L, -1))
    lua_getfield(L, -1, "file");
  return upload_finish(L, c, lua_gettop(L));
}

int ft_oa_upload_file(lua_State *L, ft_call *c) {
  switch (*ft_getapi(L)->state(c)) {
  case UP_START:
    return upload_start(L, c);
  case UP_SENT:
    return upload_sent(L, c);
  case UP_CREATED:
    return upload_created(L, c);
  case UP_PARTS:
    return upload_complete(L, c);
  case UP_COMPLETED:
    return upload_completed(L, c);
  case UP_ABORTED: /* whatever came of it */
    lua_getfield(L, FT_SCRATCH, "error");
    return FT_FAIL;
  default:
    return ft_oa_poll(L, c);
  }
}
