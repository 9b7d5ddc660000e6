/*
** dataset_lua.c: the dataset as a userdata, and its report as a table.
*/
#include "dataset.h"

#include <lauxlib.h>
#include <string.h>

#define DATASET_META "finetune.dataset"

static ft_dataset *check_dataset(lua_State *L) {
  ft_dataset *d = luaL_checkudata(L, 1, DATASET_META);
  if (d->closed)
    luaL_argerror(L, 1, "the dataset was finished or aborted");
  return d;
}

ft_dataset *ft_dataset_test(lua_State *L, int idx) {
  ft_dataset *d = luaL_testudata(L, idx, DATASET_META);
  return d != NULL && !d->closed ? d : NULL;
}

/* ---- the report ---- */

static void set_integer(lua_State *L, const char *key, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static void push_record(lua_State *L, const ft_record *r) {
  lua_createtable(L, 0, 5);
  set_integer(L, "line", r->line);
  set_string(L, "rule", r->finding.rule);
  set_string(L, "path", r->finding.path);
  set_string(L, "message", r->finding.message);
  if (r->finding.column > 0)
    set_integer(L, "column", (lua_Integer)r->finding.column);
}

/* [0, +1] array of the errors, or of the warnings */
static void push_records(lua_State *L, const ft_dataset *d, int warning) {
  ft_record r;
  size_t at = 0;
  lua_Integer n = 0;
  lua_newtable(L);
  while (ft_dataset_found(d, &at, &r))
    if (r.finding.warning == warning) {
      push_record(L, &r);
      lua_rawseti(L, -2, ++n);
    }
}

static void push_report(lua_State *L, const ft_dataset *d, int good) {
  lua_createtable(L, 0, 10);
  set_integer(L, "examples", d->examples);
  set_integer(L, "written", good ? d->written : 0);
  set_integer(L, "bytes", good ? d->bytes : 0);
  set_integer(L, "error_count", (lua_Integer)d->rules.findings.errors);
  set_integer(L, "warning_count", (lua_Integer)d->rules.findings.warnings);
  push_records(L, d, 0);
  lua_setfield(L, -2, "errors");
  push_records(L, d, 1);
  lua_setfield(L, -2, "warnings");
  set_string(L, "format", ft_format_name(d->rules.format));
  if (good && d->is_file)
    set_string(L, "output", d->output_path.data);
  else if (good) {
    lua_pushlstring(L, d->out.data, d->out.len);
    lua_setfield(L, -2, "text");
  }
}

/* [0, +1] "; line 3, messages[1].role: ..." of the first error that was kept */
static void push_first_error(lua_State *L, const ft_dataset *d) {
  ft_record r;
  size_t at = 0;
  const char *unit = d->source_path.len > 0 ? "line" : "example";
  while (ft_dataset_found(d, &at, &r))
    if (!r.finding.warning) {
      lua_pushfstring(L, "; %s %I%s%s: %s", unit, (LUAI_UACINT)r.line,
                      *r.finding.path != '\0' ? ", " : "", r.finding.path, r.finding.message);
      return;
    }
  lua_pushliteral(L, "");
}

/* [0, +1] why nothing comes of it, though the world did nothing wrong */
static void push_refusal(lua_State *L, const ft_dataset *d) {
  const char *path = d->source_path.len > 0 ? d->source_path.data : NULL;
  if (d->examples == 0) {
    lua_pushfstring(L, "there is no example%s%s", path != NULL ? " in " : "",
                    path != NULL ? path : "");
    return;
  }
  lua_pushfstring(L, "%I of %I examples %s invalid", (LUAI_UACINT)d->invalid,
                  (LUAI_UACINT)d->examples, d->invalid == 1 ? "is" : "are");
  push_first_error(L, d);
  lua_concat(L, 2);
}

/* The report is made before the output appears, so that lack of memory for it
   leaves nothing behind; if the output then fails, the report must not boast. */
const char *ft_dataset_finish(lua_State *L, ft_dataset *d) {
  int refused = d->kind == NULL && (d->doomed || d->written == 0);
  push_report(L, d, d->kind == NULL && !refused);
  if (refused)
    push_refusal(L, d);
  else if (ft_dataset_commit(d))
    lua_pushnil(L);
  else {
    lua_pop(L, 1);
    push_report(L, d, 0);
    lua_pushstring(L, d->words);
  }
  const char *kind = refused ? "data" : d->kind;
  ft_dataset_close(d);
  return kind;
}

/* ---- methods ---- */

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
  if (d->source >= 0 && d->kind == NULL)
    return luaL_error(L, "finish: the source is not at its end; call advance until it is");
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
  ft_dataset_close(luaL_checkudata(L, 1, DATASET_META));
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

/* ---- options ---- */

static enum ft_format option_format(lua_State *L) {
  if (lua_getfield(L, 1, "format") == LUA_TNIL) {
    lua_pop(L, 1);
    lua_getfield(L, 1, "format_type");
  }
  const char *name = luaL_optstring(L, -1, NULL);
  enum ft_format format = name != NULL ? ft_format_find(name) : FT_FORMAT_NONE;
  if (name != NULL && format == FT_FORMAT_NONE)
    luaL_error(L, "unknown format '%s'; use " FT_FORMAT_NAMES, name);
  lua_pop(L, 1);
  return format;
}

static size_t option_keep(lua_State *L) {
  lua_getfield(L, 1, "max_errors");
  lua_Integer keep = luaL_optinteger(L, -1, 100);
  if (keep < 0)
    luaL_error(L, "max_errors must not be negative");
  lua_pop(L, 1);
  return (size_t)keep;
}

/* Wrong options raise; an output that cannot be written is told by finish(). */
int ft_dataset_new(lua_State *L) {
  void *ud;
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  enum ft_format format = option_format(L);
  size_t keep = option_keep(L);
  lua_getfield(L, 1, "output"); /* index 2: an anchor */
  lua_settop(L, 2);
  const char *output = luaL_optstring(L, 2, NULL);
  ft_dataset *d = lua_newuserdatauv(L, sizeof *d, 0);
  lua_Alloc alloc = lua_getallocf(L, &ud);
  ft_dataset_init(d, alloc, ud);
  push_metatable(L);
  lua_setmetatable(L, -2);
  d->rules.format = format;
  d->rules.findings.keep = keep;
  lua_getfield(L, 1, "skip_invalid");
  d->skip_invalid = lua_toboolean(L, -1);
  lua_pop(L, 1);
  if (output != NULL)
    ft_dataset_output(d, output);
  return 1;
}
