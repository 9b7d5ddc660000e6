/*
** request.c: a request table (finetune.h) to a transfer that is ready to begin.
** Everything here runs inside a protected call: a wrong request raises.
*/
#include "request.h"

#include <string.h>
#include <strings.h>

/* ---- URL ---- */

/* no blank, control character or byte that would end a request line early */
static int url_clean(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] <= ' ' || s[i] == 0x7F)
      return 0;
  return 1;
}

/* 1 where a segment of the path is "." or "..", also as %2e: it would be another path */
static int has_dots(const char *s, size_t n) {
  const char *end = s + n, *p = s;
  for (; p < end && *p != '?' && *p != '#'; p++) {
    int dots = 0;
    if (*p != '/')
      continue;
    for (const char *q = p + 1; dots < 3; dots++)
      if (q < end && *q == '.')
        q++;
      else if (end - q >= 3 && strncasecmp(q, "%2e", 3) == 0)
        q += 3;
      else {
        if (dots > 0 && (q == end || *q == '/' || *q == '?' || *q == '#'))
          return 1;
        break;
      }
  }
  return 0;
}

/* Of what carries credentials: an id in it must not make another path */
static void refuse_dots(Request *r, const char *s, size_t n) {
  if (!has_dots(s, n))
    return;
  ft_error(r->L, "invalid", "'.' and '..' are no ids, and no parts of a path");
  lua_error(r->L);
}

/* What is put behind base_url must not make another host of it */
static void check_path(Request *r, const char *s, size_t n) {
  if (n == 0 || s[0] != '/')
    ft_rq_wrong(r, "its path must begin with '/'");
  refuse_dots(r, s, n);
}

static void url_base(Request *r) {
  size_t n, m = 0;
  lua_State *L = r->L;
  ft_buf *url = &r->t->url;
  const char *path = ft_rq_string(r, R_REQUEST, "path");
  const char *s = path != NULL ? path : ft_rq_string(r, R_REQUEST, "url");
  if (s == NULL)
    ft_rq_wrong(r, "needs a path or a url");
  s = lua_tolstring(L, -1, &n);
  if (!url_clean(s, n))
    ft_rq_wrong(r, "its path or url holds a blank or a control character: percent-encode it");
  if (path != NULL) {
    check_path(r, s, n);
    lua_getfield(L, R_CONFIG, "base_url");
    const char *base = lua_tolstring(L, -1, &m);
    if (base == NULL) {
      ft_error(L, "config", "there is no base_url: give one to create_provider");
      lua_error(L);
    }
    ft_rq_no_memory(r, ft_buf_add(url, base, m));
  } else if (strncasecmp(s, "http://", 7) != 0 && strncasecmp(s, "https://", 8) != 0)
    ft_rq_wrong(r, "its url must begin with http:// or https://");
  else {
    lua_getfield(L, R_REQUEST, "auth");
    if (lua_toboolean(L, -1))
      refuse_dots(r, s, n);
  }
  ft_rq_no_memory(r, ft_buf_add(url, s, n));
  lua_settop(L, R_TOP);
}

static void add_pair(Request *r, const char *key, size_t n, int value) {
  size_t m;
  ft_buf *url = &r->t->url;
  if (lua_type(r->L, value) == LUA_TNUMBER)
    ft_json_encode(r->L, value); /* not in the host's locale, as Lua would write it */
  else
    luaL_tolstring(r->L, value, NULL);
  const char *v = lua_tolstring(r->L, -1, &m);
  int query = url->len > 0 && memchr(url->data, '?', url->len) != NULL;
  ft_rq_no_memory(r, ft_buf_addchar(url, query ? '&' : '?'));
  ft_escape(url, key, n);
  ft_rq_no_memory(r, ft_buf_addchar(url, '='));
  ft_escape(url, v, m);
  lua_pop(r->L, 1);
}

/* the pairs of the table at `table` that `over` (0: none) does not override,
   sorted, so that a request is the same bytes each time */
static void add_query(Request *r, int table, int over) {
  lua_State *L = r->L;
  size_t n;
  ft_key *keys = ft_sorted_keys(L, table, &n);
  int top = lua_gettop(L);
  for (size_t i = 0; i < n; i++) {
    lua_pushlstring(L, keys[i].s, keys[i].len);
    if (over != 0)
      lua_pushvalue(L, -1);
    int mine = over == 0 || lua_rawget(L, over) == LUA_TNIL;
    lua_settop(L, top + 1);
    if (mine && lua_rawget(L, table) == LUA_TTABLE)
      ft_rq_wrong(r, "query must be a table of names and plain values");
    if (mine)
      add_pair(r, keys[i].s, keys[i].len, top + 1);
    lua_settop(L, top);
  }
  lua_pop(L, 1);
}

static void url_query(Request *r, int own) {
  lua_State *L = r->L;
  int mine = lua_getfield(L, R_REQUEST, "query") == LUA_TTABLE ? lua_gettop(L) : 0;
  int theirs = own && lua_getfield(L, R_CONFIG, "query") == LUA_TTABLE ? lua_gettop(L) : 0;
  if (theirs != 0)
    add_query(r, theirs, mine);
  if (mine != 0)
    add_query(r, mine, 0);
  ft_rq_no_memory(r, ft_buf_addchar(&r->t->url, '\0'));
  lua_settop(L, R_TOP);
}

/* ---- headers ---- */

static void add_header(Request *r, const char *name, const char *value, size_t n) {
  lua_State *L = r->L;
  if (*name == '\0' || strpbrk(name, "\r\n: ") != NULL)
    luaL_error(L, "request: '%s' is not a header's name", name);
  if (strlen(value) != n || strpbrk(value, "\r\n") != NULL)
    luaL_error(L, "request: the header '%s' holds a newline or a NUL", name);
  /* libcurl sends "Name;" as an empty header, and takes "Name:" as a removal */
  const char *line = lua_pushfstring(L, n > 0 ? "%s: %s" : "%s;", name, value);
  struct curl_slist *list = curl_slist_append(r->t->headers, line);
  if (list == NULL)
    luaL_error(L, "not enough memory");
  r->t->headers = list;
  lua_pop(L, 1);
}

static int has_header(const ft_transfer *t, const char *name) {
  size_t n = strlen(name);
  for (struct curl_slist *h = t->headers; h != NULL; h = h->next)
    if (strncasecmp(h->data, name, n) == 0 && (h->data[n] == ':' || h->data[n] == ';'))
      return 1;
  return 0;
}

static void add_headers(Request *r, int table, const char *where) {
  lua_State *L = r->L;
  size_t n;
  if (lua_getfield(L, table, where) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (!lua_istable(L, -1))
    ft_rq_wrong(r, "headers must be a table of names and strings");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
      ft_rq_wrong(r, "headers must be a table of names and strings");
    lua_pushvalue(L, -1);
    const char *v = lua_tolstring(L, -1, &n);
    if (!has_header(r->t, lua_tostring(L, -3)))
      add_header(r, lua_tostring(L, -3), v, n);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* "set OPENAI_API_KEY" : the variables that would have given the key */
static void missing_key(Request *r) {
  lua_State *L = r->L;
  lua_getiuservalue(L, R_INSTANCE, FT_IU_REG);
  lua_getiuservalue(L, -1, FT_RU_FACTS);
  const char *variable = NULL;
  if (lua_getfield(L, -1, "env") == LUA_TTABLE && lua_getfield(L, -1, "api_key") != LUA_TNIL) {
    if (lua_istable(L, -1))
      lua_rawgeti(L, -1, 1);
    variable = lua_tostring(L, -1);
  }
  if (variable != NULL)
    ft_error(L, "config",
             "there is no API key: set the environment variable %s, or give api_key to "
             "create_provider",
             variable);
  else
    ft_error(L, "config", "there is no API key: give api_key to create_provider");
  lua_error(L);
}

/* the credentials: `auth = {header, prefix}` of the configuration, with api_key */
static void add_auth(Request *r) {
  lua_State *L = r->L;
  if (lua_getfield(L, R_CONFIG, "api_key") == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
    lua_pop(L, 1); /* false: this service wants none */
    return;
  }
  size_t n;
  const char *key = lua_tostring(L, -1);
  if (key == NULL)
    missing_key(r);
  lua_getfield(L, R_CONFIG, "auth"); /* a table: instance.c made it */
  lua_getfield(L, -1, "header");
  lua_getfield(L, -2, "prefix"); /* "Bearer " belongs to Authorization only */
  const char *header = luaL_optstring(L, -2, "Authorization");
  const char *prefix = luaL_optstring(L, -1, lua_isnil(L, -2) ? "Bearer " : "");
  if (!has_header(r->t, header)) {
    lua_pushfstring(L, "%s%s", prefix, key);
    const char *value = lua_tolstring(L, -1, &n);
    add_header(r, header, value, n);
  }
  lua_settop(L, R_TOP);
}

/* request.headers win over the configuration's, and both over the defaults */
static void headers(Request *r, int own) {
  ft_transfer *t = r->t;
  add_headers(r, R_REQUEST, "headers");
  if (own) {
    add_headers(r, R_CONFIG, "headers");
    add_auth(r);
  }
  if (t->decode == FT_DECODE_JSON && !has_header(t, "Accept"))
    add_header(r, "Accept", "application/json", 16);
  if (t->post != NULL && !has_header(t, "Content-Type"))
    add_header(r, "Content-Type", "application/json", 16);
  /* an empty Expect: nobody waits a second for a 100 that never comes; libcurl
     takes "Expect:" as "do not send it" */
  if (t->has_body) {
    struct curl_slist *list = curl_slist_append(t->headers, "Expect:");
    if (list == NULL)
      luaL_error(r->L, "not enough memory");
    t->headers = list;
  }
}

/* ---- the rest ---- */

static void method(Request *r) {
  ft_transfer *t = r->t;
  const char *m = ft_rq_string(r, R_REQUEST, "method");
  if (m == NULL)
    m = t->has_body ? "POST" : "GET";
  if (strlen(m) >= sizeof t->method || strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(m) ||
      *m == '\0')
    ft_rq_wrong(r, "method must be a word in capitals");
  strcpy(t->method, m);
  lua_pop(r->L, 1);
  t->is_get = strcmp(t->method, "GET") == 0 || strcmp(t->method, "HEAD") == 0;
  /* a POST without a body must still say so: an empty one */
  if (!t->is_get && !t->has_body && strcmp(t->method, "DELETE") != 0) {
    t->post = "";
    t->post_len = 0;
    t->has_body = 1;
  }
}

static void retry(Request *r) {
  ft_transfer *t = r->t;
  const char *policy = ft_rq_string(r, R_REQUEST, "retry");
  int post = strcmp(t->method, "POST") == 0 || strcmp(t->method, "PATCH") == 0;
  if (policy == NULL)
    t->once = post;
  else if (strcmp(policy, "never") == 0)
    t->once = 1;
  else if (strcmp(policy, "safe") != 0 && strcmp(policy, "idempotent") != 0)
    ft_rq_wrong(r, "retry must be \"safe\", \"idempotent\" or \"never\"");
  lua_pop(r->L, 1);
}

static void decode(Request *r) {
  const char *how = ft_rq_string(r, R_REQUEST, "decode");
  if (how == NULL || strcmp(how, "json") == 0)
    r->t->decode = FT_DECODE_JSON;
  else if (strcmp(how, "text") == 0)
    r->t->decode = FT_DECODE_TEXT;
  else if (strcmp(how, "none") == 0)
    r->t->decode = FT_DECODE_NONE;
  else
    ft_rq_wrong(r, "decode must be \"json\", \"text\" or \"none\"");
  lua_pop(r->L, 1);
}

static void accept_list(Request *r) {
  ft_transfer *t = r->t;
  if (lua_getfield(r->L, R_REQUEST, "accept") == LUA_TTABLE)
    for (lua_Integer i = 1; t->naccept < 8 && lua_rawgeti(r->L, -1, i) == LUA_TNUMBER; i++) {
      t->accept[t->naccept++] = (int)lua_tointeger(r->L, -1);
      lua_pop(r->L, 1);
    }
  lua_settop(r->L, R_TOP);
}

static void limits(Request *r, double timeout) {
  ft_transfer *t = r->t;
  t->timeout = ft_rq_number(r, R_REQUEST, "timeout", timeout > 0 ? timeout : t->inst->timeout);
  if (!(t->timeout > 0) || t->timeout > 1e6)
    ft_rq_wrong(r, "timeout must be between 0 and 1000000 seconds");
  t->output = ft_rq_string(r, R_REQUEST, "output");
  if (t->output != NULL) {
    ft_rq_anchor(r);
    t->file_transfer = 1;
    t->body.max = (size_t)-1 / 2;
  } else
    lua_pop(r->L, 1);
  double max = ft_rq_number(r, R_REQUEST, "max_bytes", 0);
  if (max >= 1 && max < 9e15)
    t->body.max = (size_t)max;
}

static int has_field(Request *r, const char *key) {
  int has = lua_getfield(r->L, R_REQUEST, key) != LUA_TNIL;
  lua_pop(r->L, 1);
  return has;
}

static double read_field(Request *r, const char *key) {
  double v = ft_rq_number(r, R_REQUEST, key, 0);
  if (has_field(r, key) && (!(v > 0) || v > 1e6))
    luaL_error(r->L, "request: %s must be between 0 and 1000000 seconds", key);
  return v;
}

/* how long an answer is read that may not end; after the body, whose files count */
static void reading(Request *r) {
  ft_transfer *t = r->t;
  t->read_for = read_field(r, "read_for");
  t->read_idle = read_field(r, "read_idle");
  if (ft_stream_is(t) && t->file_transfer)
    ft_raise_usage(r->L, "request: read_for and read_idle take what has come of an answer in "
                         "memory: they do not go with `output`, `file` or a file in `multipart`");
}

/* credentials go where a path goes; to an absolute url only when auth says so */
static int wants_auth(Request *r) {
  int own = has_field(r, "path");
  if (has_field(r, "auth")) {
    lua_getfield(r->L, R_REQUEST, "auth");
    own = lua_toboolean(r->L, -1);
    lua_pop(r->L, 1);
  }
  return own;
}

static void prepare(Request *r, double timeout) {
  int own = wants_auth(r);
  r->t->foreign = !own;
  limits(r, timeout);
  decode(r);
  ft_rq_body(r);
  reading(r);
  method(r);
  retry(r);
  accept_list(r);
  url_base(r);
  url_query(r, own);
  headers(r, own);
}

/* a C function of its own, so that the places R_* are fixed: request, transfer,
   instance, nil, timeout */
static int prepare_function(lua_State *L) {
  Request r = {L, lua_touserdata(L, R_TRANSFER), 0};
  const double timeout = lua_tonumber(L, R_ANCHOR);
  lua_settop(L, R_INSTANCE);
  lua_getiuservalue(L, R_INSTANCE, FT_IU_CONFIG);
  lua_pushnil(L); /* R_ANCHOR */
  prepare(&r, timeout);
  return 0;
}

ft_transfer *ft_request_prepare(lua_State *L, ft_instance *inst, int instance_idx, double timeout) {
  instance_idx = lua_absindex(L, instance_idx);
  if (!lua_istable(L, -1))
    luaL_error(L, "a request must be a table, not a %s", luaL_typename(L, -1));
  int request = lua_gettop(L);
  ft_transfer *t = ft_transfer_new(L, inst->E);
  t->inst = inst;
  lua_pushvalue(L, request);
  lua_setiuservalue(L, -2, FT_TU_REQUEST);
  lua_pushvalue(L, instance_idx);
  lua_setiuservalue(L, -2, FT_TU_INSTANCE);
  lua_pushcfunction(L, prepare_function);
  lua_pushvalue(L, request);
  lua_pushvalue(L, request + 1);
  lua_pushvalue(L, instance_idx);
  lua_pushnil(L);
  lua_pushnumber(L, timeout);
  lua_call(L, R_ANCHOR, 0);
  lua_replace(L, request);
  return t;
}
