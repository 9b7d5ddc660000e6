/*
** response.c: what came back: the response table, and the trace. The error value
** is failure.c's.
*/
#include "ft.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RESPONSE_META "finetune.response"

/* the last header `name` of the final answer, trimmed; 0 where there is none */
int ft_transfer_header(const ft_transfer *t, const char *name, const char **value, size_t *len) {
  const char *p = t->head.len > 0 ? t->head.data : "", *end = p + t->head.len;
  size_t n = strlen(name);
  int found = 0;
  for (const char *eol; p < end; p = eol + 1) {
    eol = memchr(p, '\n', (size_t)(end - p));
    if (eol == NULL)
      eol = end;
    if ((size_t)(eol - p) <= n || p[n] != ':' || strncasecmp(p, name, n) != 0)
      continue;
    const char *v = p + n + 1, *e = eol;
    while (v < e && (*v == ' ' || *v == '\t'))
      v++;
    while (e > v && (e[-1] == ' ' || e[-1] == '\r' || e[-1] == '\t'))
      e--;
    *value = v;
    *len = (size_t)(e - v);
    found = 1;
  }
  return found;
}

int ft_response_accepted(const ft_transfer *t) {
  for (int i = 0; i < t->naccept; i++)
    if (t->accept[i] == t->status)
      return 1;
  return t->status >= 200 && t->status < 300;
}

/* ---- retry hints ---- */

/* the header as a C string of at most `room` bytes; 0 where it is absent or longer */
int ft_header_text(const ft_transfer *t, const char *name, char *text, size_t room) {
  const char *v;
  size_t n;
  if (!ft_transfer_header(t, name, &v, &n) || n >= room)
    return 0;
  memcpy(text, v, n);
  text[n] = '\0';
  return 1;
}

/* strtod, but for the host's locale, in which the point may be a comma */
static double decimal(const char *s, char **end) {
  double v = (double)strtoul(s, end, 10), scale = 0.1;
  if (*end != s && **end == '.')
    for (++*end; **end >= '0' && **end <= '9'; ++*end, scale /= 10)
      v += (**end - '0') * scale;
  return *s == '-' ? -1 : v;
}

/* retry-after-ms, then Retry-After in seconds, then as an HTTP date */
double ft_response_retry_after(const ft_transfer *t) {
  char text[64], *end;
  double v;
  if (ft_header_text(t, "retry-after-ms", text, sizeof text)) {
    v = decimal(text, &end);
    if (end != text && v >= 0 && v < 1e12)
      return v / 1000;
  }
  if (!ft_header_text(t, "retry-after", text, sizeof text))
    return -1;
  v = decimal(text, &end);
  if (end != text && *end == '\0')
    return v >= 0 && v < 1e9 ? v : -1;
  time_t when = curl_getdate(text, NULL);
  return when < 0 ? -1 : difftime(when, time(NULL)) > 0 ? difftime(when, time(NULL)) : 0;
}

/* 429 says "slow down" or "nothing is left": waiting mends only the first, and
   only the body tells which it is: OpenAI's word for it, and Azure's */
int ft_response_out_of_quota(const ft_transfer *t) {
  static const char *const codes[] = {"\"insufficient_quota\"", "\"quotaExceeded\"", NULL};
  int is = 0;
  for (int i = 0; t->status == 429 && t->body.len > 0 && codes[i] != NULL; i++)
    is |= memmem(t->body.data, t->body.len, codes[i], strlen(codes[i])) != NULL;
  return is;
}

int ft_response_should_retry(const ft_transfer *t) {
  char text[8];
  if (ft_response_out_of_quota(t))
    return 0;
  if (!ft_header_text(t, "x-should-retry", text, sizeof text))
    return -1;
  return strcmp(text, "true") == 0 ? 1 : strcmp(text, "false") == 0 ? 0 : -1;
}

/* ---- the response ---- */

/* response.headers, made when somebody asks: name in lower case -> value */
static int response_index(lua_State *L) {
  const char *key = lua_tostring(L, 2);
  if (key == NULL || strcmp(key, "headers") != 0)
    return 0;
  lua_pushliteral(L, "raw_headers");
  lua_rawget(L, 1);
  lua_newtable(L);
  const char *p = lua_tostring(L, -2), *eol;
  for (; p != NULL && (eol = strchr(p, '\n')) != NULL; p = eol + 1) {
    const char *colon = memchr(p, ':', (size_t)(eol - p)), *v;
    if (colon == NULL)
      continue;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (v = p; v < colon; v++)
      luaL_addchar(&b, (char)(*v >= 'A' && *v <= 'Z' ? *v + 32 : *v));
    luaL_pushresult(&b);
    for (v = colon + 1; *v == ' ' || *v == '\t'; v++)
      ;
    size_t n = (size_t)(eol - v);
    while (n > 0 && (v[n - 1] == '\r' || v[n - 1] == ' '))
      n--;
    lua_pushlstring(L, v, n);
    lua_rawset(L, -3);
  }
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

void ft_response_open(lua_State *L) {
  luaL_newmetatable(L, RESPONSE_META);
  lua_pushcfunction(L, response_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void ft_set_header(lua_State *L, const ft_transfer *t, const char *name, const char *key) {
  const char *v;
  size_t n;
  if (!ft_transfer_header(t, name, &v, &n) || n > 256)
    return;
  lua_pushlstring(L, v, n);
  lua_setfield(L, -2, key);
}

void ft_push_content_type(lua_State *L, const ft_transfer *t) {
  char text[80];
  if (ft_header_text(t, "content-type", text, sizeof text)) {
    text[strcspn(text, ";")] = '\0';
    lua_pushstring(L, text);
  } else
    lua_pushliteral(L, "no content type");
}

static int decode_body(lua_State *L,
                       ft_transfer *t) { /* response -- response; 0: an error on top */
  if (t->body.len == 0 || t->decode == FT_DECODE_NONE)
    return 1;
  if (t->decode == FT_DECODE_TEXT) {
    lua_pushlstring(L, t->body.data, t->body.len);
    lua_setfield(L, -2, "body");
    return 1;
  }
  if (ft_json_decode(L, t->body.data, t->body.len)) {
    lua_setfield(L, -2, "json");
    return 1;
  }
  ft_push_content_type(L, t);
  ft_error(L, "decode", "the answer (%d, %s) is not JSON: %s", t->status, lua_tostring(L, -1),
           lua_tostring(L, -2));
  return 0;
}

static int commit_output(lua_State *L, ft_transfer *t) {
  int e = 0;
  if (t->output == NULL)
    return 1;
  if (t->out.fd < 0) /* an empty answer is an empty file */
    e = ft_outfile_open(&t->out, t->output);
  if (e == 0)
    e = ft_outfile_commit(&t->out);
  if (e == 0)
    return 1;
  ft_error(L, "data", "%s: %s", t->output, strerror(e));
  return 0;
}

static int push_response(lua_State *L, ft_transfer *t, int request) {
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, t->status);
  lua_setfield(L, -2, "status");
  lua_pushlstring(L, t->head.len > 0 ? t->head.data : "", t->head.len);
  lua_setfield(L, -2, "raw_headers");
  lua_pushstring(L, t->url.data);
  lua_setfield(L, -2, "url");
  lua_pushinteger(L, t->output != NULL ? (lua_Integer)t->down : (lua_Integer)t->body.len);
  lua_setfield(L, -2, "bytes");
  lua_getfield(L, request, "tag");
  lua_setfield(L, -2, "tag");
  if (t->partial) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, "partial");
  }
  luaL_setmetatable(L, RESPONSE_META);
  return commit_output(L, t) && decode_body(L, t);
}

/* ---- the response, or the error ---- */

/* [0, +1] (see ft.h); a function of its own so that the places are fixed */
static int build(lua_State *L) { /* transfer, config, request -- ok, value */
  ft_transfer *t = lua_touserdata(L, 1);
  int ok = 0;
  if (t->net != FT_NET_OK || t->fault != NULL || !ft_response_accepted(t))
    ft_failure_push(L, t, 2);
  else
    ok = push_response(L, t, 3);
  if (!ok)
    ft_failure_facts(L, t);
  lua_pushboolean(L, ok);
  lua_insert(L, -2);
  return 2;
}

int ft_response_push(lua_State *L, ft_transfer *t, int instance_idx) {
  lua_pushvalue(L, instance_idx);
  lua_pushcfunction(L, build);
  ft_engine_find(L, t->E, t);
  lua_getiuservalue(L, -3, FT_IU_CONFIG);
  lua_getiuservalue(L, -2, FT_TU_REQUEST);
  lua_call(L, 3, 2);
  int ok = lua_toboolean(L, -2);
  lua_replace(L, -3);
  lua_pop(L, 1);
  return ok;
}

/* ---- the trace ---- */

static void set_number(lua_State *L, const char *key, double v) {
  lua_pushnumber(L, v);
  lua_setfield(L, -2, key);
}

static void set_url(lua_State *L, const ft_transfer *t) {
  const char *query = t->foreign ? strchr(t->url.data, '?') : NULL;
  if (query != NULL) {
    lua_pushlstring(L, t->url.data, (size_t)(query - t->url.data));
    lua_pushliteral(L, "?[redacted]");
    lua_concat(L, 2);
  } else
    lua_pushstring(L, t->url.data);
  lua_setfield(L, -2, "url");
}

static int trace(lua_State *L) { /* transfer -- ; protected by ft_trace */
  ft_transfer *t = lua_touserdata(L, 1);
  lua_getiuservalue(L, 1, FT_TU_INSTANCE);
  lua_getiuservalue(L, 2, FT_IU_CONFIG);
  lua_getiuservalue(L, 2, FT_IU_SECRETS);
  lua_getfield(L, 3, "on_trace");
  lua_createtable(L, 0, 12);
  ft_set_string(L, "provider", t->inst->reg->name);
  if (t->call != NULL)
    ft_set_string(L, "op", ft_op_name(t->call->op));
  ft_set_string(L, "method", t->method);
  set_url(L, t);
  if (t->net == FT_NET_OK && t->status > 0) {
    lua_pushinteger(L, t->status);
    lua_setfield(L, -2, "status");
  }
  lua_pushinteger(L, t->attempt);
  lua_setfield(L, -2, "attempt");
  set_number(L, "elapsed", ft_now() - t->began);
  set_number(L, "bytes_up", (double)(t->up > 0 ? t->up : (curl_off_t)t->post_len));
  set_number(L, "bytes_down", (double)(t->down > 0 ? t->down : (curl_off_t)t->body.len));
  ft_set_header(L, t, "x-request-id", "request_id");
  if (t->net != FT_NET_OK) {
    lua_pushstring(L, t->fault != NULL ? t->fault : curl_easy_strerror(t->code));
    lua_setfield(L, -2, "error");
  }
  ft_redact_table(L, -1, 4, 0);
  lua_pushnil(L);
  ft_engine_queue(L, t->E);
  return 0;
}

void ft_trace(lua_State *L, ft_transfer *t) {
  int top = lua_gettop(L);
  lua_pushcfunction(L, trace);
  ft_engine_find(L, t->E, t);
  lua_pcall(L, 1, 0, 0); /* a trace that finds no memory is lost, the request is not */
  lua_settop(L, top);
}
