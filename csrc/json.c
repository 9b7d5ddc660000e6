/*
** json.c: JSON text to Lua values and back. Reading: scan.c checks a text, then
** what it means is built in one walk. lua-cjson 2.1.0 would take three times as
** long, gives every number as a float and accepts texts that are no JSON; writing,
** it gives {} for an empty array, 1e+14 for 100000000000000 and keys in any order.
*/
#include "ft.h"
#include "scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- decode: the text was accepted by ft_scan(), so nothing here looks for faults ---- */

enum { PAIRS = 32 }; /* of an object, held on the stack: most objects get their size at once */

static void push_string(lua_State *L, ft_slice s) {
  if (memchr(s.s, '\\', s.n) == NULL) {
    lua_pushlstring(L, s.s, s.n);
    return;
  }
  luaL_Buffer b;
  char *text = luaL_buffinitsize(L, &b, s.n);
  luaL_pushresultsize(&b, ft_json_unescape(s, text));
}

/* 2^53 is where floats stop being exact integers */
static void whole_number(lua_State *L) {
  lua_Number n = lua_tonumber(L, -1);
  lua_Integer i;
  if (n >= -9007199254740992.0 && n <= 9007199254740992.0 && lua_numbertointeger(n, &i) &&
      (lua_Number)i == n) {
    lua_pop(L, 1);
    lua_pushinteger(L, i);
  }
}

/* An integer where the value is one, however it is written; lua_stringtonumber
   knows the host's locale, but needs a zero at the end. */
static void push_number(lua_State *L, ft_slice s) {
  lua_Integer i = 0;
  size_t at = *s.s == '-';
  for (; at < s.n && s.n < 19 && s.s[at] >= '0' && s.s[at] <= '9'; at++)
    i = i * 10 + (s.s[at] - '0');
  if (at == s.n) {
    lua_pushinteger(L, *s.s == '-' ? -i : i);
    return;
  }
  const char *text = lua_pushlstring(L, s.s, s.n);
  if (lua_stringtonumber(L, text) == 0) /* 200 digits in a locale with a comma */
    lua_pushnumber(L, 0);
  lua_remove(L, -2);
  if (!lua_isinteger(L, -1))
    whole_number(L);
}

static void push_value(lua_State *L, ft_json *j);

/* the pairs above `table` go into it, in order: of equal keys the last one counts */
static void take_pairs(lua_State *L, int table, int n) {
  if (lua_isnil(L, table)) {
    lua_createtable(L, 0, n);
    lua_replace(L, table);
  }
  for (int i = 0; i < n; i++) {
    lua_pushvalue(L, table + 1 + 2 * i);
    lua_pushvalue(L, table + 2 + 2 * i);
    lua_rawset(L, table);
  }
  lua_settop(L, table);
}

/* a member that is null is none */
static void push_object(lua_State *L, ft_json *j) {
  ft_slice key;
  int n = 0;
  luaL_checkstack(L, 2 * PAIRS + 6, "JSON");
  lua_pushnil(L); /* the table's place */
  int table = lua_gettop(L);
  for (ft_json_enter(j); ft_json_member(j, &key);) {
    push_string(L, key);
    if (ft_json_type(j) == 'n') {
      ft_json_skip(j);
      lua_pushnil(L);
    } else
      push_value(L, j);
    if (++n == PAIRS) {
      take_pairs(L, table, n);
      n = 0;
    }
  }
  take_pairs(L, table, n);
}

/* null stays: its place means something */
static void push_array(lua_State *L, ft_json *j) {
  lua_Integer n = 0;
  luaL_checkstack(L, 6, "JSON");
  lua_newtable(L);
  for (ft_json_enter(j); ft_json_item(j);) {
    push_value(L, j);
    lua_rawseti(L, -2, ++n);
  }
}

static void push_value(lua_State *L, ft_json *j) {
  switch (ft_json_type(j)) {
  case '{':
    push_object(L, j);
    return;
  case '[':
    push_array(L, j);
    return;
  case '"':
    push_string(L, ft_json_string(j));
    return;
  case '0':
    push_number(L, ft_json_skip(j));
    return;
  case 'n':
    lua_pushlightuserdata(L, NULL);
    break;
  default:
    lua_pushboolean(L, ft_json_type(j) == 't');
  }
  ft_json_skip(j);
}

int ft_json_decode(lua_State *L, const char *s, size_t len) {
  const char *why;
  ptrdiff_t at = ft_scan(s, len, FT_JSON_DEPTH, &why);
  if (at >= 0) {
    lua_pushfstring(L, "%s at byte %I", why, (lua_Integer)at + 1);
    return 0;
  }
  ft_json j = ft_json_begin(s, len);
  luaL_checkstack(L, 6, "JSON");
  push_value(L, &j);
  return 1;
}

/* ---- encode ---- */

typedef struct Encoder {
  lua_State *L;
  ft_buf *b;
  int array_meta; /* stack index of the metatable of marked arrays */
} Encoder;

static void encode_fail(lua_State *L, const char *what) {
  luaL_error(L, "cannot be written as JSON: %s", what);
}

static void put(Encoder *e, const void *bytes, size_t n) {
  if (!ft_buf_add(e->b, bytes, n))
    luaL_error(e->L, "not enough memory");
}

static void put_char(Encoder *e, char c) {
  put(e, &c, 1);
}

/* length of the UTF-8 sequence at s, 0 where it is none */
static size_t utf8_length(const unsigned char *s, size_t n) {
  static const unsigned least[5] = {0, 0, 0x80, 0x800, 0x10000};
  size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xF8 ? 0 : s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
  if (len <= 1 || len > n || s[0] < 0xC2)
    return len == 1;
  unsigned cp = s[0] & (0x7Fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((s[i] & 0xC0) != 0x80)
      return 0;
    cp = cp << 6 | (s[i] & 0x3Fu);
  }
  return cp < least[len] || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF) ? 0 : len;
}

static void encode_escape(Encoder *e, unsigned char c) {
  static const char pairs[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  const char *p = pairs;
  while (*p != '\0' && (unsigned char)*p != c)
    p += 2;
  char text[8] = {'\\', p[0] != '\0' ? p[1] : 'u'};
  int n = 2;
  if (p[0] == '\0')
    n = snprintf(text, sizeof text, "\\u%04x", c);
  put(e, text, (size_t)n);
}

static void encode_string(Encoder *e, const char *text, size_t n) {
  const unsigned char *s = (const unsigned char *)text, *end = s + n, *run = s;
  put_char(e, '"');
  while (s < end) {
    size_t len = utf8_length(s, (size_t)(end - s));
    if (len == 0)
      encode_fail(e->L, "a string that is not UTF-8");
    if (*s < 0x20 || *s == '"' || *s == '\\') {
      put(e, run, (size_t)(s - run));
      encode_escape(e, *s);
      run = s + 1;
    }
    s += len;
  }
  put(e, run, (size_t)(s - run));
  put_char(e, '"');
}

static void encode_number(Encoder *e, int idx) {
  char text[64];
  int n;
  lua_Number x = lua_tonumber(e->L, idx);
  if (lua_isinteger(e->L, idx))
    n = snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(e->L, idx));
  else if (isnan(x) || isinf(x)) {
    encode_fail(e->L, "a number that is not finite");
    return;
  } else if (x == floor(x) && fabs(x) < 1e15) /* 3.0 is the integer 3 to every service */
    n = snprintf(text, sizeof text, "%.0f", x);
  else { /* the shortest form that reads back as the same number */
    n = snprintf(text, sizeof text, "%.15g", x);
    if (strtod(text, NULL) != x)
      n = snprintf(text, sizeof text, "%.17g", x);
  }
  for (int i = 0; i < n; i++) /* a locale's comma is not JSON's */
    if (text[i] == ',')
      text[i] = '.';
  put(e, text, (size_t)n);
}

static void encode_value(Encoder *e, int idx, int depth);

/* 1 where the table at idx carries the mark of finetune.array */
static int table_is_marked(Encoder *e, int idx) {
  if (!lua_getmetatable(e->L, idx))
    return 0;
  int marked = lua_rawequal(e->L, -1, e->array_meta);
  lua_pop(e->L, 1);
  return marked;
}

/* Counts string keys and array keys 1..n of the table; any other key raises. */
static void table_keys(Encoder *e, int idx, size_t *strings, size_t *places) {
  lua_State *L = e->L;
  lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -2) == LUA_TSTRING)
      ++*strings;
    else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && lua_tointeger(L, -2) <= n)
      ++*places;
    else
      encode_fail(L, "a key that is neither a string nor a place in an array without holes");
  }
}

static void encode_array(Encoder *e, int idx, int depth) {
  lua_Integer n = (lua_Integer)lua_rawlen(e->L, idx);
  put_char(e, '[');
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1)
      put_char(e, ',');
    lua_rawgeti(e->L, idx, i);
    encode_value(e, lua_gettop(e->L), depth);
    lua_pop(e->L, 1);
  }
  put_char(e, ']');
}

static int key_order(const void *a, const void *b) {
  const ft_key *x = a, *y = b;
  int d = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
  return d != 0 ? d : x->len < y->len ? -1 : x->len > y->len;
}

/* the string keys of the table at idx, sorted; the table keeps them alive */
ft_key *ft_sorted_keys(lua_State *L, int idx, size_t *n) {
  *n = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
    *n += lua_type(L, -2) == LUA_TSTRING;
  ft_key *keys = lua_newuserdatauv(L, (*n > 0 ? *n : 1) * sizeof *keys, 0), *k = keys;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) {
      k->s = lua_tolstring(L, -2, &k->len);
      k++;
    }
  qsort(keys, *n, sizeof *keys, key_order);
  return keys;
}

static void encode_object(Encoder *e, int idx, int depth) {
  size_t n;
  ft_key *keys = ft_sorted_keys(e->L, idx, &n);
  put_char(e, '{');
  for (size_t i = 0; i < n; i++) {
    if (i > 0)
      put_char(e, ',');
    encode_string(e, keys[i].s, keys[i].len);
    put_char(e, ':');
    lua_pushlstring(e->L, keys[i].s, keys[i].len);
    lua_rawget(e->L, idx);
    encode_value(e, lua_gettop(e->L), depth);
    lua_pop(e->L, 1);
  }
  put_char(e, '}');
  lua_pop(e->L, 1);
}

static void encode_table(Encoder *e, int idx, int depth) {
  size_t strings = 0, places = 0;
  if (depth >= FT_JSON_DEPTH) /* also what ends a cycle */
    encode_fail(e->L, "tables nested too deep, or in a cycle");
  luaL_checkstack(e->L, 8, "JSON");
  int marked = table_is_marked(e, idx);
  table_keys(e, idx, &strings, &places);
  if (strings > 0 && (places > 0 || marked))
    encode_fail(e->L, "a table that is both array and object");
  if (marked || places > 0)
    encode_array(e, idx, depth + 1);
  else
    encode_object(e, idx, depth + 1);
}

static void encode_value(Encoder *e, int idx, int depth) {
  size_t n;
  const char *s;
  switch (lua_type(e->L, idx)) {
  case LUA_TSTRING:
    s = lua_tolstring(e->L, idx, &n);
    encode_string(e, s, n);
    return;
  case LUA_TNUMBER:
    encode_number(e, idx);
    return;
  case LUA_TBOOLEAN:
    s = lua_toboolean(e->L, idx) ? "true" : "false";
    put(e, s, strlen(s));
    return;
  case LUA_TTABLE:
    encode_table(e, idx, depth);
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(e->L, idx) == NULL) {
      put(e, "null", 4);
      return;
    } /* FALLTHROUGH */
  default:
    luaL_error(e->L, "cannot be written as JSON: a %s", luaL_typename(e->L, idx));
  }
}

void ft_json_encode(lua_State *L, int idx) {
  Encoder e = {L, NULL, 0};
  idx = lua_absindex(L, idx);
  luaL_checkstack(L, 8, "JSON");
  luaL_getmetatable(L, FT_ARRAY_META);
  e.array_meta = lua_gettop(L);
  e.b = ft_box(L, (size_t)-1 / 2);
  encode_value(&e, idx, 0);
  lua_pushlstring(L, e.b->len > 0 ? e.b->data : "", e.b->len);
  lua_replace(L, e.array_meta);
  ft_box_close(L); /* the box is on top again */
}

/* [0, 0] the table at idx is an array even when it is empty */
void ft_json_mark_array(lua_State *L, int idx) {
  idx = lua_absindex(L, idx);
  luaL_getmetatable(L, FT_ARRAY_META);
  lua_setmetatable(L, idx);
}
