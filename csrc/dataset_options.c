/*
** dataset_options.c: what prepare_data is asked for, and what the service asks of its data, as
** the fields of a dataset. Wrong options raise, with words.
*/
#include "dataset.h"
#include "dataset_tokens.h"

#include <lauxlib.h>
#include <string.h>

/* ---- one field of the table at `t` ---- */

static int flag(lua_State *L, int t, const char *key) {
  lua_getfield(L, t, key);
  int set = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return set;
}

/* A whole number of at least `least`; `usual` where it is absent */
static lua_Integer whole(lua_State *L, int t, const char *key, lua_Integer least,
                         lua_Integer usual) {
  int is;
  if (lua_getfield(L, t, key) == LUA_TNIL) {
    lua_pop(L, 1);
    return usual;
  }
  lua_Integer n = lua_tointegerx(L, -1, &is);
  if (!is || n < least)
    luaL_error(L, "%s must be a whole number of at least %I", key, (LUAI_UACINT)least);
  lua_pop(L, 1);
  return n;
}

static enum ft_format format(lua_State *L, const char *key, const char *other) {
  if (lua_getfield(L, 1, key) == LUA_TNIL && other != NULL) {
    lua_pop(L, 1);
    lua_getfield(L, 1, other);
  }
  const char *name = lua_isnil(L, -1) ? NULL : luaL_checkstring(L, -1);
  enum ft_format f = name != NULL ? ft_format_find(name) : FT_FORMAT_NONE;
  if (name != NULL && f == FT_FORMAT_NONE)
    luaL_error(L, "unknown format '%s'; use " FT_FORMAT_NAMES, name);
  lua_pop(L, 1);
  return f;
}

static double share(lua_State *L) {
  int is;
  if (lua_getfield(L, 1, "validation") == LUA_TNIL)
    return lua_pop(L, 1), 0;
  double n = lua_tonumberx(L, -1, &is);
  if (!is || !(n >= 0 && n < 1))
    luaL_error(L, "validation must be a number from 0 to 1, the share of the examples that goes to "
                  "validation_output");
  lua_pop(L, 1);
  return n;
}

/* shuffle = true, or the seed itself */
static void order(lua_State *L, ft_dataset *d) {
  int type = lua_getfield(L, 1, "shuffle"), is = 1;
  d->options.seed = (uint64_t)whole(L, 1, "seed", LUA_MININTEGER, 0);
  d->options.shuffle = lua_toboolean(L, -1);
  if (type == LUA_TNUMBER)
    d->options.seed = (uint64_t)lua_tointegerx(L, -1, &is);
  else if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    is = 0;
  if (!is)
    luaL_error(L, "shuffle must be true, or a whole number, the seed");
  lua_pop(L, 1);
  ft_shuffle_free(&d->shuffle);
  ft_shuffle_init(&d->shuffle, d->alloc, d->ud, d->options.seed);
}

/* ---- lists of names: copied, for the caller may change his table ---- */

/* Appends the string on top with its '\0': where it begins in d->texts */
static size_t copy(lua_State *L, ft_dataset *d, const char *what) {
  size_t n = 0, at = d->texts.len;
  const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  if (s == NULL || strlen(s) != n || n == 0)
    luaL_error(L, "%s must hold strings that are not empty", what);
  if (!ft_buf_add(&d->texts, s, n + 1))
    luaL_error(L, "not enough memory");
  return at;
}

static void add(lua_State *L, ft_buf *b, const void *item, size_t n) {
  if (!ft_buf_add(b, item, n))
    luaL_error(L, "not enough memory");
}

/* Offsets into d->texts become pointers once nothing is added any more */
static void point(ft_dataset *d, ft_buf *offsets) {
  for (size_t i = 0; i < offsets->len / sizeof(size_t); i++) {
    size_t at;
    char *slot = offsets->data + i * sizeof at;
    memcpy(&at, slot, sizeof at);
    const char *s = at == SIZE_MAX ? NULL : d->texts.data + at;
    memcpy(slot, &s, sizeof s);
  }
}

static void list_drop(lua_State *L, ft_dataset *d) {
  if (lua_getfield(L, 1, "drop") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  luaL_argcheck(L, lua_istable(L, -1), 1, "drop must be an array of keys");
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) {
    size_t at = copy(L, d, "drop");
    add(L, &d->drop, &at, sizeof at);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
  size_t end = SIZE_MAX;
  add(L, &d->drop, &end, sizeof end);
}

/* columns = {["Question"] = "prompt"}: pairs of offsets, laid out as ft_column */
static void list_columns(lua_State *L, ft_dataset *d) {
  if (lua_getfield(L, 1, "columns") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  luaL_argcheck(L, lua_istable(L, -1), 1, "columns must be a table: column = key");
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    size_t key = copy(L, d, "columns");
    lua_pushvalue(L, -2);
    size_t column = copy(L, d, "columns");
    lua_pop(L, 1);
    add(L, &d->columns, &column, sizeof column);
    add(L, &d->columns, &key, sizeof key);
  }
  lua_pop(L, 1);
}

static void reading(lua_State *L, ft_dataset *d) {
  ft_reader_options o;
  memset(&o, 0, sizeof o);
  if (lua_getfield(L, 1, "input") != LUA_TNIL) {
    const char *name = luaL_checkstring(L, -1);
    o.shape = ft_shape_find(name);
    if (o.shape == FT_SHAPE_LOOK)
      luaL_error(L, "unknown input '%s'; use " FT_SHAPE_NAMES, name);
  }
  lua_pop(L, 1);
  list_drop(L, d);
  list_columns(L, d);
  point(d, &d->drop);
  point(d, &d->columns);
  if (d->drop.len > 0)
    d->options.drop = (const char *const *)(const void *)d->drop.data;
  o.columns = (const ft_column *)(const void *)d->columns.data;
  o.column_count = d->columns.len / sizeof(ft_column);
  ft_reader_close(&d->reader);
  d->options.shape = o.shape;
  ft_reader_init(&d->reader, d->alloc, d->ud, &o);
}

/* ---- tokens ---- */

/* vocabulary: what finetune.vocabulary gave; tokens = true: without one, estimated */
static void counting(lua_State *L, ft_dataset *d) {
  const ft_vocab *v = NULL;
  if (lua_getfield(L, 1, "vocabulary") != LUA_TNIL && (v = ft_vocabulary_test(L, -1)) == NULL)
    luaL_error(L, "vocabulary must be what finetune.vocabulary gave");
  lua_pop(L, 1);
  if (v == NULL && !flag(L, 1, "tokens")) {
    if (d->options.max_tokens > 0)
      luaL_error(L, "max_tokens needs a vocabulary, or tokens = true for an estimate");
    return;
  }
  ft_tokens_free(&d->tokenizer);
  ft_tokens_init(&d->tokenizer, v, d->alloc, d->ud);
  d->count = ft_tokens_counter;
  d->weigh = ft_tokens_weigh;
  d->count_ud = &d->tokenizer;
}

/* ---- severities ---- */

/* {id = "error" | "warning" | "off"} of the table on top; functions are the user's own rules */
static void grades(lua_State *L, ft_dataset *d) {
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "rules must be a table: id = \"error\", \"warning\", \"off\" or a function");
    if (lua_type(L, -1) != LUA_TSTRING)
      continue;
    const char *id = lua_tostring(L, -2);
    const char *why = ft_rules_apply(&d->rules, id, lua_tostring(L, -1));
    if (why != NULL)
      luaL_error(L, "rules.%s: %s", id, why);
  }
}

/* ---- what a service asks for: the fact `dataset` of its provider ---- */

/* What is no number is none: a setting of the user's may be anything */
static size_t limit(lua_State *L, int t, const char *key) {
  int is;
  lua_getfield(L, t, key);
  lua_Integer n = lua_tointegerx(L, -1, &is);
  lua_pop(L, 1);
  return is && n > 0 ? (size_t)n : 0;
}

static void profile_formats(lua_State *L, ft_dataset *d, int t) {
  int top = lua_gettop(L);
  if (lua_getfield(L, t, "formats") == LUA_TTABLE)
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++, lua_pop(L, 1))
      d->rules.limits.formats |= 1u << ft_format_find(lua_tostring(L, -1)) & ~1u;
  lua_settop(L, top);
}

static void profile_mark(lua_State *L, ft_dataset *d, int t) {
  lua_getfield(L, t, "bom");
  const char *word = lua_tostring(L, -1);
  if (word != NULL && strcmp(word, "require") == 0)
    d->rules.limits.bom = FT_BOM_REQUIRE;
  else if (word != NULL && strcmp(word, "strip") == 0)
    d->rules.limits.bom = FT_BOM_STRIP;
  lua_pop(L, 1);
}

static void profile(lua_State *L, ft_dataset *d, int t) {
  ft_limits *l = &d->rules.limits;
  l->min_examples = limit(L, t, "min_examples");
  l->max_examples = limit(L, t, "max_examples");
  l->max_bytes = limit(L, t, "max_bytes");
  profile_formats(L, d, t);
  profile_mark(L, d, t);
  if (lua_getfield(L, t, "limits") == LUA_TTABLE) {
    l->images = limit(L, lua_gettop(L), "images");
    l->image_bytes = limit(L, lua_gettop(L), "image_bytes");
    l->messages = limit(L, lua_gettop(L), "messages");
    l->tools = limit(L, lua_gettop(L), "tools");
  }
  lua_pop(L, 1);
  if (lua_getfield(L, t, "rules") == LUA_TTABLE)
    grades(L, d);
  lua_pop(L, 1);
}

void ft_dataset_configure(lua_State *L, ft_dataset *d) {
  ft_dataset_options *o = &d->options;
  if (lua_istable(L, 2))
    profile(L, d, 2);
  d->rules.format = format(L, "format", "format_type");
  o->to = format(L, "to", NULL);
  o->skip_invalid = flag(L, 1, "skip_invalid");
  o->dedupe = flag(L, 1, "dedupe");
  o->validation = share(L);
  o->max_examples = whole(L, 1, "max_examples", 1, 0);
  o->max_messages = (size_t)whole(L, 1, "max_messages", 1, 0);
  o->max_characters = (size_t)whole(L, 1, "max_characters", 1, 0);
  o->max_tokens = (size_t)whole(L, 1, "max_tokens", 1, 0);
  d->rules.findings.keep = (size_t)whole(L, 1, "max_errors", 0, 100);
  order(L, d);
  counting(L, d);
  reading(L, d);
  const char *never = o->to != FT_FORMAT_NONE && d->rules.format != FT_FORMAT_NONE
                          ? ft_convert_never(d->rules.format, o->to)
                          : NULL;
  if (never != NULL)
    luaL_error(L, "%s", never);
  if (lua_getfield(L, 1, "rules") == LUA_TTABLE)
    grades(L, d);
  lua_pop(L, 1);
}
