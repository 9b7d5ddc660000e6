/*
** openai_values.c: the service's documents -> our values.
**
** A service may send anything: each field is taken only where it has the type
** that our users rely on, and is absent otherwise; `raw` always has all of it.
** A document without an id is an error, because nothing could be done with it, in
** a list as well: what is missing from one in silence is money that nobody watches.
*/
#include "openai.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct field {
  const char *ours, *theirs;
  int type;
} field;

/* openai-openapi 2.3.0 (2026-08-21), FineTuningJob; user_provided_suffix is in
   the service's answers though not in its description */
static const field job_fields[] = {{"model", "model", LUA_TSTRING},
                                   {"fine_tuned_model", "fine_tuned_model", LUA_TSTRING},
                                   {"created_at", "created_at", LUA_TNUMBER},
                                   {"finished_at", "finished_at", LUA_TNUMBER},
                                   {"estimated_finish", "estimated_finish", LUA_TNUMBER},
                                   {"trained_tokens", "trained_tokens", LUA_TNUMBER},
                                   {"training_file", "training_file", LUA_TSTRING},
                                   {"validation_file", "validation_file", LUA_TSTRING},
                                   {"hyperparameters", "hyperparameters", LUA_TTABLE},
                                   {"method", "method", LUA_TTABLE},
                                   {"seed", "seed", LUA_TNUMBER},
                                   {"suffix", "user_provided_suffix", LUA_TSTRING},
                                   {"suffix", "suffix", LUA_TSTRING},
                                   {"metadata", "metadata", LUA_TTABLE},
                                   {"integrations", "integrations", LUA_TTABLE},
                                   {"result_files", "result_files", LUA_TTABLE}};
static const field file_fields[] = {
    {"filename", "filename", LUA_TSTRING},     {"bytes", "bytes", LUA_TNUMBER},
    {"purpose", "purpose", LUA_TSTRING},       {"status", "status", LUA_TSTRING},
    {"created_at", "created_at", LUA_TNUMBER}, {"expires_at", "expires_at", LUA_TNUMBER}};
static const field event_fields[] = {
    {"id", "id", LUA_TSTRING},       {"created_at", "created_at", LUA_TNUMBER},
    {"level", "level", LUA_TSTRING}, {"message", "message", LUA_TSTRING},
    {"type", "type", LUA_TSTRING},   {"data", "data", LUA_TTABLE}};
static const field checkpoint_fields[] = {{"created_at", "created_at", LUA_TNUMBER},
                                          {"step", "step_number", LUA_TNUMBER},
                                          {"model", "fine_tuned_model_checkpoint", LUA_TSTRING},
                                          {"metrics", "metrics", LUA_TTABLE},
                                          {"result_files", "result_files", LUA_TTABLE},
                                          {"job_id", "fine_tuning_job_id", LUA_TSTRING}};
static const field model_fields[] = {{"created_at", "created_at", LUA_TNUMBER}, /* Azure's word */
                                     {"created_at", "created", LUA_TNUMBER},
                                     {"owned_by", "owned_by", LUA_TSTRING},
                                     {"shutdown_date", "shutdown_date", LUA_TSTRING}};
static const field graded_fields[] = {{"grader", "grader", LUA_TTABLE},
                                      {"reward", "reward", LUA_TNUMBER},
                                      {"metadata", "metadata", LUA_TTABLE},
                                      {"sub_rewards", "sub_rewards", LUA_TTABLE}};

static void copy_field(lua_State *L, int doc, int value, const field *f) {
  if (lua_getfield(L, doc, f->theirs) == f->type)
    lua_setfield(L, value, f->ours);
  else
    lua_pop(L, 1);
}

/* [0, +1] a value with the fields that are as they should be, and `raw` */
static int value_new(lua_State *L, int doc, const field *f, size_t n) {
  lua_createtable(L, 0, (int)n + 4);
  int value = lua_gettop(L);
  for (size_t i = 0; i < n; i++)
    copy_field(L, doc, value, &f[i]);
  lua_pushvalue(L, doc);
  lua_setfield(L, value, "raw");
  return value;
}

static int not_a(lua_State *L, const char *what, const char *why) {
  return ft_getapi(L)->fail(L, "decode", "the service's answer is not %s: %s", what, why);
}

/* Checks that the document is an object with an id: FT_DONE, or the error */
static int check_document(lua_State *L, int doc, const char *what) {
  if (!lua_istable(L, doc))
    return not_a(L, what, "it is not a JSON object");
  int is_string = lua_getfield(L, doc, "id") == LUA_TSTRING && lua_rawlen(L, -1) > 0;
  lua_pop(L, 1);
  return is_string ? FT_DONE : not_a(L, what, "it has no id");
}

/* [0, +1] a value of a document that must have an id */
static int identified(lua_State *L, int doc, const char *what, const field *f, size_t n) {
  if (check_document(L, doc, what) == FT_FAIL)
    return FT_FAIL;
  int value = value_new(L, doc, f, n);
  lua_getfield(L, doc, "id");
  lua_setfield(L, value, "id");
  return FT_DONE;
}

int ft_oa_file(lua_State *L, int idx) {
  return identified(L, idx, "a file", file_fields, COUNT(file_fields));
}

int ft_oa_checkpoint(lua_State *L, int idx) {
  return identified(L, idx, "a checkpoint", checkpoint_fields, COUNT(checkpoint_fields));
}

int ft_oa_model(lua_State *L, int idx) {
  return identified(L, idx, "a model", model_fields, COUNT(model_fields));
}

/* Some gateways leave ids out of events: an event without one is still news */
int ft_oa_event(lua_State *L, int idx) {
  if (!lua_istable(L, idx))
    return not_a(L, "an event", "it is not a JSON object");
  value_new(L, idx, event_fields, COUNT(event_fields));
  return FT_DONE;
}

int ft_oa_graded(lua_State *L, int idx) {
  if (!lua_istable(L, idx))
    return not_a(L, "a grader's", "it is not a JSON object");
  value_new(L, idx, graded_fields, COUNT(graded_fields));
  return FT_DONE;
}

/* ---- jobs ---- */

/* [0, +1] our word for theirs: config.statuses begins as the dialect's own (see
   provider_describe); a word that nobody knows passes as it is */
static void push_status(lua_State *L, const char *word) {
  int top = lua_gettop(L);
  if (lua_getfield(L, FT_CONFIG, "statuses") == LUA_TTABLE &&
      lua_getfield(L, -1, word) == LUA_TSTRING) {
    lua_remove(L, -2);
    return;
  }
  lua_settop(L, top);
  lua_pushstring(L, word);
}

/* status and raw_status. A job whose state is not told is not finished, and has
   a status all the same, because people print it. */
static void put_status(lua_State *L, int doc, int job) {
  if (lua_getfield(L, doc, "status") != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "unknown");
    lua_setfield(L, job, "status");
    return;
  }
  push_status(L, lua_tostring(L, -1));
  lua_setfield(L, job, "status");
  lua_setfield(L, job, "raw_status");
}

/* error = {code, message, param}: absent where there is none. The live service
   sends {} for jobs that have not failed; a gateway may send just words. */
static void put_error(lua_State *L, int doc, int job) {
  int type = lua_getfield(L, doc, "error");
  if (type == LUA_TSTRING) {
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "message");
    lua_setfield(L, job, "error");
    return;
  }
  if (type != LUA_TTABLE || ft_oa_is_empty(L, -1))
    lua_pop(L, 1);
  else
    lua_setfield(L, job, "error");
}

/* [0, +1] the table t[a][b] of the table at idx, or nil */
static void push_inner(lua_State *L, int idx, const char *a, const char *b) {
  lua_getfield(L, idx, a);
  if (lua_istable(L, -1))
    lua_getfield(L, -1, b);
  else
    lua_pushnil(L);
  lua_remove(L, -2);
}

/* `hyperparameters` is returned for supervised jobs only (spec 2.3.0): those of
   other methods are inside `method`, and belong in the same place of ours. */
static void put_hyperparameters(lua_State *L, int job) {
  int top = lua_gettop(L);
  if (lua_getfield(L, job, "hyperparameters") == LUA_TNIL) {
    push_inner(L, job, "method", "type");
    if (lua_type(L, -1) == LUA_TSTRING && lua_getfield(L, job, "method") == LUA_TTABLE) {
      push_inner(L, -1, lua_tostring(L, -2), "hyperparameters");
      if (lua_istable(L, -1))
        lua_setfield(L, job, "hyperparameters");
    }
  }
  lua_settop(L, top);
}

/* progress, 0 to 1, where the service counts its steps (Nebius) */
static void put_progress(lua_State *L, int doc, int job) {
  lua_Number done = ft_oa_number(L, doc, "trained_steps", 0);
  lua_Number total = ft_oa_number(L, doc, "total_steps", 0);
  if (!(total > 0) || !(done >= 0))
    return;
  lua_pushnumber(L, done < total ? done / total : 1);
  lua_setfield(L, job, "progress");
}

int ft_oa_job(lua_State *L, int idx) {
  if (identified(L, idx, "a job", job_fields, COUNT(job_fields)) == FT_FAIL)
    return FT_FAIL;
  int job = lua_gettop(L);
  put_status(L, idx, job);
  put_error(L, idx, job);
  put_hyperparameters(L, job);
  put_progress(L, idx, job);
  if (lua_getfield(L, job, "result_files") == LUA_TNIL) { /* job.result_files[1] is safe to say */
    lua_newtable(L);
    ft_getapi(L)->mark_array(L, -1);
    lua_setfield(L, job, "result_files");
  }
  lua_settop(L, job);
  return FT_DONE;
}

/* ---- pages ---- */

/* [0, +1] FT_DONE and the items of `list`, or FT_FAIL and an error: an item that is
   not what it should be cannot be left out in silence, somebody counts on it */
static int push_items(lua_State *L, int list, ft_oa_convert item) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  lua_createtable(L, (int)n, 0);
  int data = lua_gettop(L);
  ft_getapi(L)->mark_array(L, data);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, list, i);
    if (item(L, lua_gettop(L)) != FT_DONE)
      return FT_FAIL;
    lua_rawseti(L, data, i);
    lua_settop(L, data);
  }
  return FT_DONE;
}

/* [0, +1] where the next page begins: the id of the last item (as the official
   clients do), else the last_id that some lists have, else nil */
static void push_cursor(lua_State *L, int doc, int data) {
  int top = lua_gettop(L);
  lua_rawgeti(L, data, (lua_Integer)lua_rawlen(L, data));
  if (!lua_istable(L, -1) ||
      (lua_getfield(L, -1, "id") != LUA_TSTRING && lua_getfield(L, doc, "last_id") != LUA_TSTRING))
    lua_pushnil(L);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* has_more and next of the page; 0: there is more, and no place to go on from, which
   would be the same page for ever */
static int put_more(lua_State *L, int more, int doc, int page, int data) {
  int placed = 1;
  if (more) {
    push_cursor(L, doc, data);
    placed = lua_type(L, -1) == LUA_TSTRING;
    lua_setfield(L, page, "next");
  }
  lua_pushboolean(L, more);
  lua_setfield(L, page, "has_more");
  return placed;
}

static int says_more(lua_State *L, int doc) {
  lua_getfield(L, doc, "has_more");
  int more = lua_isboolean(L, -1) && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return more;
}

/* Is the document without `data` a list all the same? null is Azure's empty list, but
   null members have vanished: what else the document says must tell. */
static int is_empty_list(lua_State *L, int idx) {
  lua_getfield(L, idx, "object");
  lua_getfield(L, idx, "has_more");
  int is = lua_isboolean(L, -1) ||
           (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "list") == 0);
  lua_pop(L, 2);
  return is;
}

/* [0, +1] FT_DONE and the array of items, as the service sent it; or FT_FAIL and an error */
static int push_data(lua_State *L, int idx) {
  int type = lua_getfield(L, idx, "data");
  if (type == LUA_TNIL && is_empty_list(L, idx)) {
    lua_pop(L, 1);
    lua_newtable(L);
  } else if (type == LUA_TNIL)
    return not_a(L, "a list", "it has no data");
  else if (type != LUA_TTABLE || (lua_rawlen(L, -1) == 0 && !ft_oa_is_empty(L, -1)))
    return not_a(L, "a list", "its data is not an array");
  return FT_DONE;
}

int ft_oa_page(lua_State *L, int idx, ft_oa_convert item) {
  if (!lua_istable(L, idx))
    return not_a(L, "a list", "it is not a JSON object");
  int page = value_new(L, idx, NULL, 0);
  if (push_data(L, idx) == FT_FAIL || push_items(L, page + 1, item) == FT_FAIL)
    return FT_FAIL;
  lua_remove(L, page + 1);
  if (!put_more(L, says_more(L, idx), idx, page, page + 1))
    return not_a(L, "a list", "it has_more, and no id to go on from");
  lua_setfield(L, page, "data");
  return FT_DONE;
}

/* How many of n items come up to and with params.after: none without it; all where
   it is gone, so that an iterator over a shrinking list ends. */
static lua_Integer slice_from(lua_State *L, int data, lua_Integer n) {
  lua_Integer i = 0;
  if (lua_getfield(L, FT_PARAMS, "after") == LUA_TSTRING)
    for (int same = 0; i < n && !same; lua_pop(L, 2)) {
      lua_rawgeti(L, data, ++i);
      lua_getfield(L, -1, "id");
      same = lua_rawequal(L, -1, -3);
    }
  lua_pop(L, 1);
  return i;
}

/* GET /models has no pages: `after` and `limit` are honoured here, so that every
   list_* can be used in the same way. */
int ft_oa_slice(lua_State *L) {
  int page = lua_gettop(L), data = page + 1;
  lua_getfield(L, page, "data");
  lua_Integer n = (lua_Integer)lua_rawlen(L, data), from = slice_from(L, data, n);
  lua_Number limit = ft_oa_number(L, FT_PARAMS, "limit", (lua_Number)n);
  lua_Integer kept = limit < (lua_Number)(n - from) ? (lua_Integer)limit : n - from;
  lua_newtable(L);
  ft_getapi(L)->mark_array(L, -1);
  for (lua_Integer i = 1; i <= kept; i++) {
    lua_rawgeti(L, data, from + i);
    lua_rawseti(L, data + 1, i);
  }
  put_more(L, kept > 0 && from + kept < n, page, page, data + 1);
  lua_setfield(L, page, "data");
  lua_settop(L, page);
  return FT_DONE;
}

/* A 204 has no document: that the service agreed is all there is to say */
int ft_oa_deleted(lua_State *L, int idx, const char *param) {
  lua_createtable(L, 0, 3);
  lua_getfield(L, FT_PARAMS, param);
  lua_setfield(L, -2, "id");
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "deleted");
  if (!lua_istable(L, idx))
    return FT_DONE;
  lua_pushvalue(L, idx);
  lua_setfield(L, -2, "raw");
  lua_getfield(L, idx, "deleted");
  int refused = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (refused)
    return ft_getapi(L)->fail(L, "conflict", "the service answered that it did not delete it");
  return FT_DONE;
}

void ft_oa_document(lua_State *L) {
  if (lua_istable(L, FT_RESPONSE))
    lua_getfield(L, FT_RESPONSE, "json");
  else
    lua_pushnil(L);
}

/* Limits are in characters: every byte counts that does not continue one */
size_t ft_oa_characters(lua_State *L, int idx) {
  size_t len, n = 0;
  const char *s = lua_tolstring(L, idx, &len);
  for (size_t i = 0; i < len; i++)
    n += ((unsigned char)s[i] & 0xC0u) != 0x80u;
  return n;
}
