/*
** dataset_lua.c: the dataset as a userdata, and the rules that a Lua program adds.
*/
#include "dataset.h"
#include "finetune.h"

#include <lauxlib.h>
#include <string.h>

#define DATASET_META "finetune.dataset"

static ft_dataset *check_dataset(lua_State *L) {
  ft_dataset *d = luaL_checkudata(L, 1, DATASET_META);
  if (d->closed)
    luaL_argerror(L, 1, "the dataset was finished or aborted");
  if (d->judging)
    luaL_argerror(L, 1, "a rule of this dataset is at work");
  d->judge_ud = L;
  return d;
}

ft_dataset *ft_dataset_test(lua_State *L, int idx) {
  ft_dataset *d = luaL_testudata(L, idx, DATASET_META);
  if (d == NULL || d->closed || d->judging)
    return NULL;
  d->judge_ud = L;
  return d;
}

/* ---- judging by the user's own rules ---- */

enum { JUDGE_FIELDS = 4 };

typedef struct Judged {
  ft_dataset *d;
  const ft_example *e;
  int good;
  const char *id; /* of the rule at work */
} Judged;

/* What the rule at `at` of the array answered: words, and perhaps a path; on top */
static void tell(lua_State *L, Judged *j, lua_Integer at, int warning) {
  ft_findings *to = &j->d->rules.findings;
  size_t *count = warning ? &to->warnings : &to->errors;
  const char *words = lua_tostring(L, -2), *path = lua_tostring(L, -1);
  ft_finding f = {-1, lua_tostring(L, 4), warning, 0, path != NULL ? path : "", words, ""};
  if (++*count <= to->keep)
    ft_dataset_keep(j->d, &f);
  j->good &= warning;
  lua_rawgeti(L, 2, at + 3);
  lua_pushinteger(L, lua_tointeger(L, -1) + 1);
  lua_rawseti(L, 2, at + 3);
}

static int judge_protected(lua_State *L) { /* Judged -- */
  Judged *j = lua_touserdata(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, j->d);
  if (!ft_getapi(L)->decode(L, j->e->s, j->e->n))
    return 0; /* it is valid JSON, but for limits of the decoder */
  for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TSTRING; i += JUDGE_FIELDS) {
    j->id = lua_tostring(L, -1);
    lua_rawgeti(L, 2, i + 1);
    lua_pushvalue(L, 3);
    lua_rawgeti(L, 2, i + 2);
    int warning = lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_call(L, 1, 2);
    if (lua_type(L, -2) == LUA_TSTRING)
      tell(L, j, i, warning);
    lua_settop(L, 3);
  }
  return 0;
}

static int words_protected(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* [-1, 0] what a rule raised; its __tostring may raise as well */
static int fail_raised(lua_State *L, ft_dataset *d, const char *id) {
  lua_pushcfunction(L, words_protected);
  lua_insert(L, -2);
  int good = lua_pcall(L, 1, 1, 0) == LUA_OK;
  ft_dataset_fail(d, "usage", "the rule %s raised an error: %s", id,
                  good ? lua_tostring(L, -1) : "one without words");
  lua_pop(L, 1);
  return 0;
}

/* An ft_judge: ud is the lua_State that drives the dataset just now */
static int judge(void *ud, ft_dataset *d, const ft_example *e) {
  lua_State *L = ud;
  Judged j = {d, e, 1, "?"};
  if (!lua_checkstack(L, 4))
    return ft_dataset_fail_memory(d);
  lua_pushcfunction(L, judge_protected);
  lua_pushlightuserdata(L, &j);
  d->judging = 1;
  int status = lua_pcall(L, 1, 0, 0);
  d->judging = 0;
  if (status == LUA_OK)
    return j.good;
  if (status != LUA_ERRMEM)
    return fail_raised(L, d, j.id);
  lua_pop(L, 1);
  return ft_dataset_fail_memory(d);
}

/* ---- the user's own rules: registry[d] = an array: id, function, is it a warning?, how often ----
 */

static void set_judges(lua_State *L, const ft_dataset *d) { /* array or nil -- */
  lua_rawsetp(L, LUA_REGISTRYINDEX, d);
}

/* [0, +1] the word of a table's severity: is it a warning? */
static int push_severity(lua_State *L, int id) {
  if (lua_getfield(L, -1, "severity") == LUA_TNIL)
    return 0;
  const char *word = lua_tostring(L, -1);
  int warning = word != NULL && strcmp(word, "warning") == 0;
  if (!warning && (word == NULL || strcmp(word, "error") != 0))
    luaL_error(L, "rules.%s: a severity of your own rule is \"error\" or \"warning\"",
               lua_tostring(L, id));
  return warning;
}

/* [-1, +3] id, function, is it a warning? of rules[id] = function or {check, severity} */
static void push_judge(lua_State *L, int id) {
  int warning = 0;
  if (lua_istable(L, -1)) {
    warning = push_severity(L, id);
    lua_pop(L, 1);
    lua_getfield(L, -1, "check");
    lua_remove(L, -2);
  }
  if (!lua_isfunction(L, -1))
    luaL_error(L, "rules.%s must be a severity, a function, or {check = function, severity = ...}",
               lua_tostring(L, id));
  lua_pushvalue(L, id);
  lua_insert(L, -2);
  lua_pushboolean(L, warning);
}

static void collect_judges(lua_State *L, ft_dataset *d) {
  lua_Integer n = 0;
  if (lua_getfield(L, 1, "rules") != LUA_TTABLE) {
    if (!lua_isnil(L, -1))
      luaL_error(L, "rules must be a table");
    lua_pop(L, 1);
    return;
  }
  int rules = lua_gettop(L);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, rules) != 0; lua_settop(L, rules + 2)) {
    int id = lua_gettop(L) - 1;
    if (lua_type(L, -1) == LUA_TSTRING)
      continue;
    push_judge(L, id);
    lua_pushinteger(L, 0);
    for (int i = JUDGE_FIELDS; i >= 1; i--)
      lua_rawseti(L, rules + 1, JUDGE_FIELDS * n + i);
    n++;
  }
  if (n > 0) {
    d->judge = judge;
    set_judges(L, d);
  } else
    lua_pop(L, 1);
  lua_pop(L, 1);
}

/* ---- methods ---- */

/* "train.jsonl" -> "train.validation.jsonl" */
static void push_validation_output(lua_State *L, const char *output) {
  const char *slash = strrchr(output, '/'), *dot = strrchr(output, '.');
  if (dot == NULL || (slash != NULL && dot < slash) || dot == output)
    dot = output + strlen(output);
  lua_pushlstring(L, output, (size_t)(dot - output));
  lua_pushliteral(L, ".validation");
  lua_pushstring(L, dot);
  lua_concat(L, 3);
}

static const char *path_at(lua_State *L, int idx, const char *what) {
  size_t n;
  const char *path = lua_type(L, idx) == LUA_TSTRING ? lua_tolstring(L, idx, &n) : NULL;
  if (path == NULL || n == 0 || strlen(path) != n)
    luaL_error(L, "%s must be the name of a file", what);
  return path;
}

/* Nothing raises any more once one is open: its temporary file would stay until the garbage goes */
static void open_outputs(lua_State *L, ft_dataset *d) {
  int given = lua_getfield(L, 1, "validation_output") != LUA_TNIL, two = d->options.validation > 0;
  if (given && !two)
    luaL_error(L,
               "validation_output without validation, the share of the examples that goes there");
  int type = lua_getfield(L, 1, "output");
  d->sinks[FT_TRAINING].nowhere = d->sinks[FT_VALIDATION].nowhere = type == LUA_TBOOLEAN;
  if (type == LUA_TBOOLEAN && lua_toboolean(L, -1))
    luaL_error(L, "output must be a file's name, or false: nothing is written or kept");
  if (type != LUA_TNIL && type != LUA_TBOOLEAN) {
    const char *output = path_at(L, -1, "output");
    if (!given) {
      push_validation_output(L, output);
      lua_replace(L, -3);
    }
    const char *other = path_at(L, -2, "validation_output");
    if (two && ft_outfile_same(output, other))
      luaL_error(L, "output and validation_output are one file");
    ft_dataset_output(d, FT_TRAINING, output);
    if (two)
      ft_dataset_output(d, FT_VALIDATION, other);
  } else if (given)
    luaL_error(L, "validation_output without output");
  lua_pop(L, 2);
}

static int dataset_add(lua_State *L) { /* text -> going on? */
  ft_dataset *d = check_dataset(L);
  size_t n;
  const char *s = luaL_checklstring(L, 2, &n);
  lua_pushboolean(L, ft_dataset_add(d, s, n));
  return 1;
}

static int dataset_reject(lua_State *L) { /* words -> going on? */
  ft_dataset *d = check_dataset(L);
  lua_pushboolean(L, ft_dataset_reject(d, luaL_checkstring(L, 2)));
  return 1;
}

static int dataset_feed(lua_State *L) { /* path -> going on? */
  ft_dataset *d = check_dataset(L);
  lua_pushboolean(L, ft_dataset_feed(d, luaL_checkstring(L, 2)));
  return 1;
}

static int dataset_advance(lua_State *L) { /* seconds -> at the end?, nothing there just now? */
  ft_dataset *d = check_dataset(L);
  enum ft_progress p = ft_dataset_advance(d, luaL_checknumber(L, 2));
  lua_pushboolean(L, p == FT_DATASET_END);
  lua_pushboolean(L, p == FT_DATASET_IDLE);
  return 2;
}

static int dataset_finish(lua_State *L) { /* -> report | nil, kind, message, report */
  ft_dataset *d = check_dataset(L);
  if (d->kind == NULL && (d->reading || (d->next < d->sources.len && !d->full)))
    return luaL_error(L, "finish: the source is not at its end; call advance until it is");
  while (ft_dataset_settle(d, 1) == FT_DATASET_MORE)
    ;
  const char *kind = ft_dataset_finish(L, d);
  if (kind == NULL)
    return lua_pop(L, 1), 1;
  lua_pushnil(L);
  lua_pushstring(L, kind);
  lua_rotate(L, -4, 2); /* report message nil kind -- nil kind report message */
  lua_insert(L, -2);
  return 4;
}

static int dataset_abort(lua_State *L) { /* also __gc and __close */
  ft_dataset *d = luaL_checkudata(L, 1, DATASET_META);
  if (d->judging)
    luaL_argerror(L, 1, "a rule of this dataset is at work");
  ft_dataset_close(d);
  if (d->judge != NULL)
    lua_pushnil(L), set_judges(L, d);
  d->judge = NULL;
  return 0;
}

static const luaL_Reg dataset_methods[] = {{"add", dataset_add},
                                           {"reject", dataset_reject},
                                           {"feed", dataset_feed},
                                           {"advance", dataset_advance},
                                           {"finish", dataset_finish},
                                           {"abort", dataset_abort},
                                           {NULL, NULL}};

static const luaL_Reg dataset_meta[] = {
    {"__gc", dataset_abort}, {"__close", dataset_abort}, {NULL, NULL}};

static void push_metatable(lua_State *L) {
  luaL_newmetatable(L, DATASET_META);
  int whole = lua_getfield(L, -1, "__index") == LUA_TTABLE; /* what is set last */
  lua_pop(L, 1);
  if (whole)
    return;
  luaL_setfuncs(L, dataset_meta, 0);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable"); /* a __gc called by hand would take it apart in use */
  luaL_newlib(L, dataset_methods);
  lua_setfield(L, -2, "__index");
}

/* core.dataset(options, what the service asks for) -> dataset. Wrong options raise; an output that
   cannot be written is told by finish(). */
int ft_dataset_new(lua_State *L) {
  void *ud;
  lua_settop(L, 2);
  if (lua_isnil(L, 1)) {
    lua_newtable(L);
    lua_replace(L, 1);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  ft_dataset *d = lua_newuserdatauv(L, sizeof *d, 1); /* user value: the vocabulary */
  lua_Alloc alloc = lua_getallocf(L, &ud);
  ft_dataset_init(d, alloc, ud);
  push_metatable(L);
  lua_setmetatable(L, -2);
  lua_getfield(L, 1, "vocabulary");
  lua_setiuservalue(L, -2, 1);
  ft_dataset_configure(L, d);
  collect_judges(L, d);
  open_outputs(L, d);
  return 1;
}
