/*
** dataset_tokens.c: a vocabulary as a userdata, and token counts, for Lua.
*/
#include "dataset_tokens.h"

#include <lauxlib.h>

#define VOCABULARY_META "finetune.vocabulary"

enum { JSON_DEPTH = 128 };

typedef struct Vocabulary {
  ft_vocab v;
  ft_tokens tokens;
  ft_buf nodes;
} Vocabulary;

const ft_vocab *ft_vocabulary_test(lua_State *L, int idx) {
  const Vocabulary *V = luaL_testudata(L, idx, VOCABULARY_META);
  return V != NULL && V->v.state == FT_VOCAB_READY ? &V->v : NULL;
}

/* ---- an example as text ---- */

/* [0, +2] of the JSON text at idx: tokens, and those that are learned; or nil and words */
static int push_example(lua_State *L, ft_tokens *tokens, ft_buf *nodes, int idx) {
  ft_example e;
  size_t all, learned, n;
  const char *why = NULL, *s = luaL_checklstring(L, idx, &n);
  ptrdiff_t at;
  luaL_argcheck(L, n < UINT32_MAX, idx, "too long");
  if (ft_example_read(&e, s, n, JSON_DEPTH, NULL, nodes, &at, &why) != 1 ||
      !ft_tokens_example(tokens->v, &e, &tokens->space, &all, &learned)) {
    lua_pushnil(L);
    lua_pushstring(L, why != NULL ? why : "not enough memory");
    return 2;
  }
  lua_pushinteger(L, (lua_Integer)all);
  lua_pushinteger(L, (lua_Integer)learned);
  return 2;
}

/* ---- methods ---- */

static Vocabulary *check_ready(lua_State *L) {
  Vocabulary *V = luaL_checkudata(L, 1, VOCABULARY_META);
  if (V->v.state == FT_VOCAB_FAILED)
    luaL_error(L, "%s", V->v.words);
  luaL_argcheck(L, V->v.state == FT_VOCAB_READY, 1, "the vocabulary is not read to its end");
  return V;
}

/* seconds -> true: it is ready; false: there is more to read; nil, words */
static int vocabulary_advance(lua_State *L) {
  Vocabulary *V = luaL_checkudata(L, 1, VOCABULARY_META);
  double seconds = luaL_checknumber(L, 2);
  enum ft_vocab_state state = V->v.state;
  if (state == FT_VOCAB_MORE)
    state = ft_vocab_advance(&V->v, seconds);
  if (state == FT_VOCAB_FAILED) {
    lua_pushnil(L);
    lua_pushstring(L, V->v.words);
    return 2;
  }
  lua_pushboolean(L, state == FT_VOCAB_READY);
  return 1;
}

static int vocabulary_count(lua_State *L) { /* text -> tokens */
  Vocabulary *V = check_ready(L);
  size_t n;
  const char *s = luaL_checklstring(L, 2, &n);
  lua_pushinteger(L, (lua_Integer)ft_tokens_count(&V->v, s, n));
  return 1;
}

static int vocabulary_example(lua_State *L) { /* JSON -> tokens, learned | nil, words */
  Vocabulary *V = check_ready(L);
  return push_example(L, &V->tokens, &V->nodes, 2);
}

/* -> whose rules it is used with, is it OpenAI's own file, how many tokens */
static int vocabulary_facts(lua_State *L) {
  Vocabulary *V = check_ready(L);
  lua_pushstring(L, ft_encoding_name(V->v.encoding));
  lua_pushboolean(L, V->v.known);
  lua_pushinteger(L, (lua_Integer)V->v.count);
  return 3;
}

static int vocabulary_close(lua_State *L) { /* also __gc and __close */
  Vocabulary *V = luaL_checkudata(L, 1, VOCABULARY_META);
  ft_vocab_free(&V->v);
  ft_tokens_free(&V->tokens);
  ft_buf_free(&V->nodes);
  return 0;
}

static const luaL_Reg methods[] = {{"advance", vocabulary_advance}, {"count", vocabulary_count},
                                   {"example", vocabulary_example}, {"facts", vocabulary_facts},
                                   {"close", vocabulary_close},     {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", vocabulary_close}, {"__close", vocabulary_close}, {NULL, NULL}};

/* ---- functions ---- */

static Vocabulary *push_vocabulary(lua_State *L, enum ft_encoding like, int checked) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  Vocabulary *V = lua_newuserdatauv(L, sizeof *V, 0);
  ft_vocab_init(&V->v, like, checked, alloc, ud);
  ft_tokens_init(&V->tokens, &V->v, alloc, ud);
  ft_buf_init(&V->nodes, alloc, ud, (size_t)1 << 32);
  luaL_setmetatable(L, VOCABULARY_META);
  return V;
}

/* vocabulary(path, encoding, checked) -> a vocabulary to be advanced | nil, words. checked: the
   file must be that encoding's own; else text is cut by its rules. */
static int core_vocabulary(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  enum ft_encoding like = ft_encoding_find(luaL_checkstring(L, 2));
  luaL_argcheck(L, like != FT_ENCODING_NONE, 2, "o200k_base or cl100k_base expected");
  Vocabulary *V = push_vocabulary(L, like, lua_toboolean(L, 3));
  if (ft_vocab_open(&V->v, path) != FT_VOCAB_FAILED)
    return 1;
  lua_pushnil(L);
  lua_pushstring(L, V->v.words);
  return 2;
}

/* tokens.text(text) -> about how many, without a vocabulary */
static int estimate_text(lua_State *L) {
  size_t n;
  const char *s = luaL_checklstring(L, 1, &n);
  lua_pushinteger(L, (lua_Integer)ft_tokens_estimate(s, n));
  return 1;
}

/* tokens.example(JSON) -> about how many, and learned | nil, words. The memory is in a
   userdata, so that nothing is lost where a push raises. */
static int estimate_example(lua_State *L) {
  luaL_checkstring(L, 1);
  Vocabulary *V = push_vocabulary(L, FT_O200K_BASE, 0);
  V->tokens.v = NULL;
  int n = push_example(L, &V->tokens, &V->nodes, 1);
  ft_tokens_free(&V->tokens);
  ft_buf_free(&V->nodes);
  return n;
}

static const luaL_Reg estimates[] = {
    {"text", estimate_text}, {"example", estimate_example}, {NULL, NULL}};

void ft_tokens_open(lua_State *L) {
  luaL_newmetatable(L, VOCABULARY_META);
  luaL_setfuncs(L, meta, 0);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable"); /* a __gc called by hand would take it apart in use */
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, core_vocabulary);
  lua_setfield(L, -2, "vocabulary");
  luaL_newlib(L, estimates);
  lua_setfield(L, -2, "tokens");
}
