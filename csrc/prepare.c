/*
** prepare.c: the default of the operation prepare_data, written like any
** provider's operation: against finetune.h, in steps that never take long. The
** scratch table holds {dataset, next, began, progress}; `next` counts the examples of an array.
*/
#include "prepare.h"

#include "dataset.h"

#include <lauxlib.h>
#include <string.h>

static const double SLICE = 0.001;                           /* seconds of work in one step */
static const double PAUSE_FIRST = 0.0005, PAUSE_LAST = 0.01; /* seconds until an empty pipe is
                                                                looked at again */

enum { STATE_NEW, STATE_FILE, STATE_FIRST, STATE_ARRAY, STATE_SETTLE };

/* ---- examples of a Lua array ---- */

static int encode_protected(lua_State *L) { /* value -- JSON */
  ft_getapi(L)->encode(L, 1);
  return 1;
}

/* [-1, +1] what was raised, as words: the message of an error value */
static const char *raised_words(lua_State *L) {
  if (lua_istable(L, -1)) {
    if (lua_getfield(L, -1, "message") == LUA_TSTRING)
      lua_remove(L, -2);
    else
      lua_pop(L, 1);
  }
  const char *words = luaL_tolstring(L, -1, NULL);
  lua_remove(L, -2);
  return words;
}

/* [-1, +1] the value on top as JSON, 1; or words, 0. A string is JSON already. */
static int encode(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING)
    return 1;
  if (!lua_istable(L, -1)) {
    lua_pushfstring(L, "an example must be a table, not a %s", luaL_typename(L, -1));
    lua_remove(L, -2);
    return 0;
  }
  lua_pushcfunction(L, encode_protected);
  lua_insert(L, -2);
  int status = lua_pcall(L, 1, 1, 0);
  if (status == LUA_ERRMEM)
    lua_error(L);
  if (status != LUA_OK && strcmp(raised_words(L), "not enough memory") == 0)
    lua_error(L); /* a buffer's: the example may be good */
  return status == LUA_OK;
}

static int add_example(lua_State *L, ft_dataset *d) { /* example -- */
  size_t n;
  int good = encode(L);
  const char *s = lua_tolstring(L, -1, &n);
  int going = good ? ft_dataset_add(d, s, n) : ft_dataset_reject(d, s);
  lua_pop(L, 1);
  return going;
}

/* 1: all were added, or it makes no sense to go on */
static int add_slice(lua_State *L, const ft_api *api, ft_dataset *d) {
  double until = api->now() + SLICE;
  lua_getfield(L, FT_PARAMS, "examples");
  lua_getfield(L, FT_SCRATCH, "next");
  lua_Integer next = lua_tointeger(L, -1), n = (lua_Integer)lua_rawlen(L, -2);
  int going = 1;
  lua_pop(L, 1);
  while (going && next <= n && api->now() < until) {
    lua_rawgeti(L, -1, next++);
    going = add_example(L, d);
  }
  lua_pop(L, 1);
  lua_pushinteger(L, next);
  lua_setfield(L, FT_SCRATCH, "next");
  return !going || next > n;
}

/* ---- beginning ---- */

static void cancelled(lua_State *L, ft_call *c) {
  (void)c;
  lua_getfield(L, FT_SCRATCH, "dataset");
  ft_dataset *d = ft_dataset_test(L, -1);
  if (d != NULL)
    ft_dataset_close(d); /* the temporary file goes now, not with the garbage */
  lua_pop(L, 1);
}

/* The name of a file on top, or NULL and an error value */
static const char *path_on_top(lua_State *L, const ft_api *api, const char *what) {
  size_t n;
  const char *path = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  if (path != NULL && n > 0 && strlen(path) == n)
    return path;
  api->fail(L, "usage", "%s must be a file's name%s", what,
            strcmp(what, "path") == 0 ? ", or an array of them" : "");
  return NULL;
}

/* 1, or 0 and an error value: the validation file is read before anything else */
static int compare(lua_State *L, const ft_api *api, ft_dataset *d) {
  if (lua_getfield(L, FT_PARAMS, "validation_path") != LUA_TNIL) {
    const char *path = path_on_top(L, api, "validation_path");
    if (path == NULL)
      return 0;
    if (d->options.validation > 0) {
      api->fail(L, "usage", "validation and validation_path were both given; give one of them");
      return 0;
    }
    ft_dataset_compare(d, path);
  }
  lua_pop(L, 1);
  return 1;
}

/* [0, +1] the dataset, kept in the scratch table; 0 and an error value */
static int make_dataset(lua_State *L, ft_call *c, const ft_api *api) {
  lua_pushcfunction(L, ft_dataset_new);
  lua_pushvalue(L, FT_PARAMS);
  lua_getfield(L, FT_CONFIG, "dataset");
  int status = lua_pcall(L, 2, 1, 0);
  if (status == LUA_ERRMEM)
    lua_error(L);
  if (status != LUA_OK) {
    api->fail(L, "usage", "%s", raised_words(L));
    return 0;
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, FT_SCRATCH, "dataset");
  api->cancel_hook(c, cancelled);
  return compare(L, api, ft_dataset_test(L, -1));
}

/* path: one, or an array of them */
static int begin_file(lua_State *L, ft_call *c, const ft_api *api) { /* path -- */
  int at = lua_gettop(L), many = lua_istable(L, at);
  if (!make_dataset(L, c, api))
    return FT_FAIL;
  ft_dataset *d = ft_dataset_test(L, -1);
  lua_Integer n = many ? (lua_Integer)lua_rawlen(L, at) : 1;
  if (n == 0)
    return api->fail(L, "usage", "path is an empty array: name at least one file");
  for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1)) {
    if (many)
      lua_rawgeti(L, at, i);
    else
      lua_pushvalue(L, at);
    const char *path = path_on_top(L, api, "path");
    if (path == NULL)
      return FT_FAIL;
    ft_dataset_feed(d, path);
  }
  *api->state(c) = STATE_FILE;
  return FT_WAIT;
}

static int begin_array(lua_State *L, ft_call *c, const ft_api *api) { /* array -- */
  lua_pushnil(L);
  if (lua_rawlen(L, -2) == 0 && lua_next(L, -2) != 0)
    return api->fail(L, "usage",
                     "examples must be an array of examples; for a single one write {example}");
  if (!make_dataset(L, c, api))
    return FT_FAIL;
  lua_pushinteger(L, 1);
  lua_setfield(L, FT_SCRATCH, "next");
  *api->state(c) = STATE_FIRST; /* the file to compare with, if any */
  return FT_WAIT;
}

/* a dataset that Lua has filled, from an iterator: see the end of this file */
static int begin_dataset(lua_State *L, ft_call *c, const ft_api *api) {
  if (ft_dataset_test(L, -1) == NULL)
    return api->fail(L, "usage", "examples is no dataset, or one that was finished before");
  lua_setfield(L, FT_SCRATCH, "dataset");
  api->cancel_hook(c, cancelled);
  *api->state(c) = STATE_FILE;
  return FT_WAIT;
}

/* FT_WAIT: begun, *state says how; FT_FAIL: an error value is on top */
static int begin(lua_State *L, ft_call *c, const ft_api *api) {
  int path = lua_getfield(L, FT_PARAMS, "path") != LUA_TNIL;
  int type = lua_getfield(L, FT_PARAMS, "examples");
  if (path == (type != LUA_TNIL))
    return api->fail(L, "usage",
                     path ? "examples and path were both given; give one of them"
                          : "give examples (an array, an iterator) or path (a file)");
  if (type == LUA_TNIL)
    lua_pop(L, 1); /* the path is on top */
  switch (type) {
  case LUA_TNIL:
  case LUA_TSTRING:
    return begin_file(L, c, api);
  case LUA_TTABLE:
    return begin_array(L, c, api);
  case LUA_TUSERDATA:
    return begin_dataset(L, c, api);
  default:
    return api->fail(L, "usage", "examples must be an array, an iterator or a path, not a %s",
                     lua_typename(L, type));
  }
}

/* ---- the operation ---- */

static int finish(lua_State *L, const ft_api *api, ft_dataset *d) {
  const char *kind = ft_dataset_finish(L, d);
  if (kind == NULL) {
    lua_pop(L, 1);
    return FT_DONE;
  }
  api->fail(L, kind, "%s", lua_tostring(L, -1)); /* report message -- report message error */
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "report");
  return FT_FAIL;
}

/* Bytes that were worked on. What was only read does not count, nor are all told before the end:
   the last ones come with the last counts. */
static double bytes_done(const ft_dataset *d, int end) {
  const ft_reader *r = &d->reader;
  long long done = d->before;
  if (d->reading)
    done += r->position - (r->zip == NULL ? (long long)(r->in.len - r->taken) : 0);
  if (end && d->kind == NULL && d->size > done)
    done = d->size; /* max_examples: the rest is not wanted */
  if (!end && d->size > 0 && done >= d->size)
    done = d->size - 1;
  return (double)done;
}

static void push_counts(lua_State *L, const ft_dataset *d) {
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)d->examples);
  lua_setfield(L, -2, "examples");
  lua_pushinteger(L, (lua_Integer)d->rules.findings.errors);
  lua_setfield(L, -2, "errors");
  lua_pushinteger(L, (lua_Integer)d->rules.findings.warnings);
  lua_setfield(L, -2, "warnings");
}

/* Into the table on top: in how many seconds all is read, if it goes on as it went so far */
static void set_eta(lua_State *L, double now, double done, double all) {
  if (all <= 0 || done <= 0)
    return;
  lua_getfield(L, FT_SCRATCH, "began");
  double spent = now - lua_tonumber(L, -1);
  lua_pushnumber(L, spent * (all - done) / done);
  lua_setfield(L, -3, "eta");
  lua_pop(L, 1);
}

/* on_progress(bytes, all bytes or 0, {examples, errors, warnings, eta}) */
static void tell(lua_State *L, ft_call *c, const ft_api *api, const ft_dataset *d, int end) {
  if (lua_getfield(L, FT_PARAMS, "on_progress") == LUA_TFUNCTION) {
    int known = d->size > 0 && *api->state(c) != STATE_FIRST; /* an array's is not that file's */
    double done = bytes_done(d, end), all = known ? (double)d->size : 0;
    if (end && all < done)
      all = done;
    push_counts(L, d);
    set_eta(L, api->now(), done, all);
    lua_setfield(L, FT_SCRATCH, "progress");
    api->progress(L, c, done, all);
  }
  lua_pop(L, 1);
}

/* a slice of what the state says; the last thing is to bring the output to the disk */
static enum ft_progress work(lua_State *L, const ft_api *api, ft_dataset *d, int *state) {
  enum ft_progress p = FT_DATASET_END;
  if (*state == STATE_FILE || *state == STATE_FIRST)
    p = ft_dataset_advance(d, SLICE);
  if (*state == STATE_FIRST && p == FT_DATASET_END && d->kind == NULL) {
    *state = STATE_ARRAY;
    p = FT_DATASET_MORE;
  } else if (*state == STATE_ARRAY && !add_slice(L, api, d))
    p = FT_DATASET_MORE;
  if (p != FT_DATASET_END)
    return p;
  *state = STATE_SETTLE;
  return ft_dataset_settle(d, SLICE);
}

/* A pipe that gives little by little is looked at soon again (it holds no more than 64 KiB), one
   that is silent less and less often. */
static double pause_of(ft_dataset *d) {
  long long at = d->before + d->reader.position;
  d->pause = at != d->paused_at || d->pause <= 0 ? PAUSE_FIRST : 2 * d->pause;
  if (d->pause > PAUSE_LAST)
    d->pause = PAUSE_LAST;
  d->paused_at = at;
  return d->pause;
}

int ft_prepare_data(lua_State *L, ft_call *c) {
  const ft_api *api = ft_getapi(L);
  int *state = api->state(c);
  if (*state == STATE_NEW) {
    lua_pushnumber(L, api->now());
    lua_setfield(L, FT_SCRATCH, "began");
    if (begin(L, c, api) != FT_FAIL)
      return api->sleep(L, c,
                        0); /* never done at once: many small files in a row would starve others */
    cancelled(L, c);
    return FT_FAIL;
  }
  lua_settop(L, FT_FIRSTFREE - 1);
  lua_getfield(L, FT_SCRATCH, "dataset");
  ft_dataset *d = ft_dataset_test(L, -1);
  if (d == NULL)
    return api->fail(L, "usage", "the dataset was finished by somebody else");
  enum ft_progress p = work(L, api, d, state);
  if (*state != STATE_SETTLE || p == FT_DATASET_END) /* the last bytes go with the last counts */
    tell(L, c, api, d, p == FT_DATASET_END);
  if (p == FT_DATASET_END)
    return finish(L, api, d);
  return api->sleep(L, c, p == FT_DATASET_IDLE ? pause_of(d) : 0);
}

/* ---- for an iterator: see prepare.h ---- */

static ft_dataset *dataset_at_1(lua_State *L) {
  ft_dataset *d = ft_dataset_test(L, 1);
  luaL_argcheck(L, d != NULL, 1, "a dataset that is not finished, and has no rule at work");
  return d;
}

int ft_prepare_compare(lua_State *L) {
  lua_settop(L, FT_PARAMS); /* where compare looks for them */
  ft_dataset *d = dataset_at_1(L);
  lua_pushboolean(L, compare(L, ft_getapi(L), d));
  return 1;
}

int ft_prepare_slice(lua_State *L) {
  ft_dataset *d = dataset_at_1(L);
  enum ft_progress p = ft_dataset_advance(d, SLICE);
  if (d->kind != NULL)
    lua_pushboolean(L, 0);
  else if (p == FT_DATASET_END)
    lua_pushnil(L);
  else
    lua_pushnumber(L, p == FT_DATASET_IDLE ? pause_of(d) : 0);
  return 1;
}

int ft_prepare_add(lua_State *L) {
  lua_settop(L, 2);
  lua_pushboolean(L, add_example(L, dataset_at_1(L)));
  lua_pushnumber(L, ft_getapi(L)->now());
  return 2;
}

int ft_prepare_told(lua_State *L) {
  const ft_dataset *d = dataset_at_1(L);
  lua_pushinteger(L, (lua_Integer)bytes_done(d, 0));
  push_counts(L, d);
  return 2;
}
