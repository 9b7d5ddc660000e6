/*
** error.c: the error value, a table {kind, op, provider, message, ...} with a
** __tostring, and the redaction of secrets by value.
*/
#include "ft.h"

#include <string.h>

int ft_error(lua_State *L, const char *kind, const char *fmt, ...) {
  va_list args;
  lua_createtable(L, 0, 6);
  lua_pushstring(L, kind);
  lua_setfield(L, -2, "kind");
  va_start(args, fmt);
  lua_pushvfstring(L, fmt, args);
  va_end(args);
  lua_setfield(L, -2, "message");
  luaL_setmetatable(L, FT_ERROR_META);
  return FT_FAIL;
}

int ft_raise_usage(lua_State *L, const char *fmt, ...) {
  va_list args;
  ft_error(L, "usage", "%s", "");
  va_start(args, fmt);
  lua_pushvfstring(L, fmt, args);
  va_end(args);
  lua_setfield(L, -2, "message");
  return lua_error(L);
}

int ft_error_is(lua_State *L, int idx) {
  if (!lua_istable(L, idx) || !lua_getmetatable(L, idx))
    return 0;
  luaL_getmetatable(L, FT_ERROR_META);
  int same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

static int is_kind(const char *s) {
  static const char *const kinds[] = {
      "usage",       "config",     "job",   "auth",     "permission", "not_found", "conflict",
      "invalid",     "rate_limit", "quota", "server",   "transport",  "timeout",   "cancelled",
      "unsupported", "decode",     "data",  "provider", "memory",     NULL};
  for (int i = 0; kinds[i] != NULL; i++)
    if (s != NULL && strcmp(kinds[i], s) == 0)
      return 1;
  return 0;
}

/* error.kind is one of ours and error.message words, whoever made the error on top */
static void error_normalize(lua_State *L, const char *kind) {
  int err = lua_gettop(L);
  lua_getfield(L, err, "kind");
  if (!is_kind(lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL)) {
    lua_pushstring(L, kind);
    lua_setfield(L, err, "kind");
  }
  if (lua_getfield(L, err, "message") != LUA_TSTRING) {
    if (lua_isnil(L, -1) || lua_istable(L, -1))
      lua_pushliteral(L, "it failed, and gave no message");
    else
      luaL_tolstring(L, -1, NULL);
    lua_setfield(L, err, "message");
  }
  lua_settop(L, err);
}

/* the fields of the table on top, without its metatable, which may say anything; its
   own words, where it has any, become the message */
static void error_from_table(lua_State *L) { /* [-1, +1] */
  int from = lua_gettop(L);
  lua_newtable(L);
  ft_copy_pairs(L, from, from + 1);
  lua_pushliteral(L, "message");
  if (lua_rawget(L, from + 1) == LUA_TNIL && luaL_getmetafield(L, from, "__tostring") != LUA_TNIL) {
    luaL_tolstring(L, from, NULL);
    lua_setfield(L, from + 1, "message");
  }
  lua_settop(L, from + 1);
  luaL_setmetatable(L, FT_ERROR_META);
  lua_replace(L, from);
}

/* What a raise or a provider's `nil, err` left on top becomes an error value: a table
   keeps its fields, anything else becomes the message. */
void ft_error_coerce(lua_State *L, const char *kind) {
  luaL_checkstack(L, 8, "error value");
  if (!lua_istable(L, -1)) {
    const char *words = luaL_tolstring(L, -1, NULL);
    ft_error(L, kind, "%s", words);
    lua_replace(L, -3);
    lua_pop(L, 1);
    return;
  }
  if (!ft_error_is(L, -1))
    error_from_table(L);
  error_normalize(L, kind);
}

/* ---- redaction ---- */

#define REDACTED "[redacted]"

static const char *find_bytes(const char *s, size_t n, const char *what, size_t m) {
  for (; n >= m; s++, n--) {
    const char *p = memchr(s, what[0], n - m + 1);
    if (p == NULL)
      return NULL;
    n -= (size_t)(p - s);
    s = p;
    if (memcmp(s, what, m) == 0)
      return s;
  }
  return NULL;
}

/* [-1, +1] the string on top without `secret` */
static void redact_one(lua_State *L, const char *secret, size_t m) {
  size_t n;
  const char *s = lua_tolstring(L, -1, &n), *end = s + n, *hit;
  if (m == 0 || (hit = find_bytes(s, n, secret, m)) == NULL)
    return;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (; hit != NULL; hit = find_bytes(s, (size_t)(end - s), secret, m)) {
    luaL_addlstring(&b, s, (size_t)(hit - s));
    luaL_addstring(&b, REDACTED);
    s = hit + m;
  }
  luaL_addlstring(&b, s, (size_t)(end - s));
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

void ft_redact(lua_State *L, int secrets) {
  if (lua_type(L, -1) != LUA_TSTRING || !lua_istable(L, secrets))
    return;
  secrets = lua_absindex(L, secrets);
  lua_Integer n = (lua_Integer)lua_rawlen(L, secrets);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t m;
    lua_rawgeti(L, secrets, i);
    const char *secret = lua_tolstring(L, -1, &m);
    lua_insert(L, -2); /* secret below the string */
    redact_one(L, secret, m);
    lua_remove(L, -2);
  }
}

/* [-1, 0] into the array, unless it is there: the longest first, so that a secret
   which begins another one does not leave that one's end behind */
static void insert_secret(lua_State *L, int secrets) {
  int value = lua_gettop(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, secrets), at = n + 1;
  for (lua_Integer i = n; i >= 1; i--) {
    lua_rawgeti(L, secrets, i);
    if (lua_rawequal(L, -1, value)) {
      lua_pop(L, 2);
      return;
    }
    at = lua_rawlen(L, -1) < lua_rawlen(L, value) ? i : at;
    lua_pop(L, 1);
  }
  for (lua_Integer i = n; i >= at; i--) {
    lua_rawgeti(L, secrets, i);
    lua_rawseti(L, secrets, i + 1);
  }
  lua_rawseti(L, secrets, at);
}

enum {
  SECRET_LEAST = 4, /* shorter values would redact half of every sentence */
  WORD_LEAST = 8    /* the same of letters alone */
};

/* "none", "test", "local", "ollama": what people give for a key where a service wants none. A few
   letters are a word, and redacting it would take that word out of our own sentences ("none of 1
   examples is left"), while no service gives out keys that are so short and without a digit. What
   is as short and no word (sk-1234) stays a secret. */
static int is_word(const char *s, size_t n) {
  size_t i = 0;
  while (i < n && ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z')))
    i++;
  return i == n && n < WORD_LEAST;
}

/* The value on top is a secret from now on, also as it stands in a URL; what is
   no string, or too short, is none. */
void ft_secret_add(lua_State *L, int secrets) {
  size_t n;
  const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
  secrets = lua_absindex(L, secrets);
  if (s == NULL || n < SECRET_LEAST || is_word(s, n)) {
    lua_pop(L, 1);
    return;
  }
  ft_buf *b = ft_box(L, (size_t)-1 / 2);
  ft_escape(b, s, n);
  lua_pushlstring(L, b->data != NULL ? b->data : "", b->len);
  lua_insert(L, -2);
  ft_box_close(L);
  insert_secret(L, secrets);
  insert_secret(L, secrets);
}

/* [0, 0] the tables in `seen` were redacted already: what a service or a caller sends may
   be deep, and hold itself */
static void redact_tables(lua_State *L, int idx, int secrets, int seen, int depth) {
  luaL_checkstack(L, 8, "error value");
  lua_pushvalue(L, idx);
  lua_pushboolean(L, 1);
  lua_rawset(L, seen);
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    if (lua_type(L, -1) == LUA_TSTRING) {
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      ft_redact(L, secrets);
      if (lua_rawequal(L, -1, -3))
        lua_pop(L, 2);
      else
        lua_rawset(L, idx); /* an existing field: allowed in a traversal */
    } else if (lua_istable(L, -1) && depth > 0) {
      lua_pushvalue(L, -1);
      int known = lua_rawget(L, seen) != LUA_TNIL;
      lua_pop(L, 1);
      if (!known)
        redact_tables(L, lua_gettop(L), secrets, seen, depth - 1);
    }
  }
}

/* Redacts every string of the table at idx, and of tables in it to `depth`
   levels. Keys stay: a secret is a value. */
void ft_redact_table(lua_State *L, int idx, int secrets, int depth) {
  idx = lua_absindex(L, idx);
  secrets = lua_absindex(L, secrets);
  lua_newtable(L);
  redact_tables(L, idx, secrets, lua_gettop(L), depth);
  lua_pop(L, 1);
}

enum { QUERY_LEAST = 8 }; /* bytes of a value that may be a signature */

/* A URL that is not the service's own is often presigned: whoever has its query
   has the file. The strings of the table at idx lose the values of that query. */
void ft_redact_query(lua_State *L, int idx, const char *url) {
  const char *p = url != NULL ? strchr(url, '?') : NULL;
  idx = lua_absindex(L, idx);
  lua_newtable(L);
  while (p != NULL && *p != '\0') {
    const char *value = p + 1 + strcspn(p + 1, "=&#");
    value += *value == '=';
    size_t n = strcspn(value, "&#");
    if (n >= QUERY_LEAST) {
      lua_pushlstring(L, value, n);
      ft_secret_add(L, -2);
    }
    p = value[n] == '&' ? value + n : NULL;
  }
  ft_redact_table(L, idx, lua_gettop(L), 1);
  lua_pop(L, 1);
}

/* The error at idx gets op and provider, where absent, and loses every secret.
   `report` and `candidates` are the caller's own data: they are redacted too. */
void ft_error_complete(lua_State *L, int idx, ft_instance *inst, int instance_idx, const char *op) {
  idx = lua_absindex(L, idx);
  if (!lua_istable(L, idx))
    return;
  if (lua_getfield(L, idx, "op") == LUA_TNIL) {
    lua_pushstring(L, op);
    lua_setfield(L, idx, "op");
  }
  if (lua_getfield(L, idx, "provider") == LUA_TNIL) {
    lua_pushstring(L, inst->reg->name);
    lua_setfield(L, idx, "provider");
  }
  lua_pop(L, 2);
  lua_getiuservalue(L, instance_idx, FT_IU_SECRETS);
  if (lua_rawlen(L, -1) > 0)
    ft_redact_table(L, idx, lua_gettop(L), 2 * FT_JSON_DEPTH);
  lua_pop(L, 1);
}

/* ---- tostring ---- */

static void add_field(lua_State *L, luaL_Buffer *b, const char *before, const char *key,
                      const char *after) {
  if (lua_getfield(L, 1, key) == LUA_TNIL || lua_istable(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  lua_pushstring(L, before);
  luaL_tolstring(L, -2, NULL); /* concatenated, not formatted: it may hold a NUL */
  lua_pushstring(L, after);
  lua_concat(L, 3);
  lua_remove(L, -2);
  luaL_addvalue(b);
}

/* 1 where the service's code is HTTP's status once more */
static int code_is_status(lua_State *L) {
  lua_getfield(L, 1, "status");
  lua_getfield(L, 1, "code");
  int same =
      lua_isnumber(L, -2) && lua_isnumber(L, -1) && lua_tonumber(L, -2) == lua_tonumber(L, -1);
  lua_pop(L, 2);
  return same;
}

/* 1 where the error knows how often it was tried, and that was more than once */
static int tried_again(lua_State *L) {
  lua_getfield(L, 1, "attempts");
  int again = lua_isinteger(L, -1) && lua_tointeger(L, -1) > 1;
  lua_pop(L, 1);
  return again;
}

/* finetune: openai create_job: 429 rate_limit_exceeded: words (request req_1, 3 attempts) */
static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  int request = lua_getfield(L, 1, "request_id") == LUA_TSTRING, again = tried_again(L);
  int twice = code_is_status(L);
  lua_settop(L, 1);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "finetune:");
  add_field(L, &b, " ", "provider", "");
  add_field(L, &b, " ", "op", "");
  luaL_addstring(&b, b.n > 9 ? ":" : "");
  add_field(L, &b, " ", "status", twice ? ":" : "");
  if (!twice)
    add_field(L, &b, " ", "code", ":");
  add_field(L, &b, " ", "message", "");
  if (request)
    add_field(L, &b, " (request ", "request_id", again ? ", " : ")");
  if (again)
    add_field(L, &b, request ? "" : " (", "attempts", " attempts)");
  luaL_pushresult(&b);
  return 1;
}

int ft_error_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_newtable(L);
  ft_copy_pairs(L, 1, 2);
  luaL_setmetatable(L, FT_ERROR_META);
  return 1;
}

int ft_error_is_lua(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, ft_error_is(L, 1));
  return 1;
}

/* error values pass unchanged; words get the traceback that a script's author needs */
int ft_traceback(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING)
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
  return 1;
}

void ft_error_open(lua_State *L) {
  luaL_newmetatable(L, FT_ERROR_META);
  lua_pushcfunction(L, error_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  ft_error(L, "memory", "not enough memory");
}
