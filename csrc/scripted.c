/*
** scripted.c: a function in place of the socket, for tests without a network:
** `transport` of the configuration gets the request as a table and answers
** {status, headers, body | json, delay}, or nil and "connect", "timeout" or
** "reset", or "pending" (no answer ever comes). What comes before and after --
** retries, redirects, decoding, errors -- is the real thing. A body comes whole,
** with its headers, after `delay`: read_for and read_idle never end it; where the
** request has one of them, `partial = true` in the answer is what they would do.
*/
#include "ft.h"

#include <string.h>

/* [0, 0] table on top gets `headers`, lower-case names */
static void describe_headers(lua_State *L, const ft_transfer *t) {
  lua_newtable(L);
  for (const struct curl_slist *h = t->headers; h != NULL; h = h->next) {
    const char *colon = strpbrk(h->data, ":;");
    if (colon == NULL || strcmp(h->data, "Expect:") == 0)
      continue;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (const char *p = h->data; p < colon; p++)
      luaL_addchar(&b, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
    luaL_pushresult(&b);
    lua_pushstring(L, *colon == ';' ? "" : colon + 2);
    lua_rawset(L, -3);
  }
  lua_setfield(L, -2, "headers");
}

static void describe_body(lua_State *L, const ft_transfer *t, int request) {
  static const char *const copied[] = {"json", "multipart", "file", "query", "path", NULL};
  for (int i = 0; copied[i] != NULL; i++) {
    lua_getfield(L, request, copied[i]);
    lua_setfield(L, -2, copied[i]);
  }
  if (t->post != NULL) {
    lua_pushlstring(L, t->post, t->post_len);
    lua_setfield(L, -2, "body");
  }
  lua_pushinteger(L, t->attempt);
  lua_setfield(L, -2, "attempt");
}

static void answer_head(lua_State *L, ft_transfer *t, int answer) {
  luaL_Buffer b;
  if (lua_getfield(L, answer, "headers") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  int headers = lua_gettop(L);
  lua_pushfstring(L, "HTTP/1.1 %d\r\n", t->status);
  for (lua_pushnil(L); lua_next(L, headers);) {
    const char *value = luaL_tolstring(L, -1, NULL);
    lua_pushfstring(L, "%s%s: %s\r\n", lua_tostring(L, headers + 1), lua_tostring(L, -3), value);
    lua_replace(L, headers + 1);
    lua_pop(L, 2);
  }
  luaL_buffinit(L, &b);
  lua_pushvalue(L, headers + 1);
  luaL_addvalue(&b);
  luaL_pushresult(&b);
  ft_buf_add(&t->head, lua_tostring(L, -1), lua_rawlen(L, -1));
  lua_settop(L, headers - 1);
}

static void answer_body(lua_State *L, ft_transfer *t, int answer) {
  if (lua_getfield(L, answer, "json") != LUA_TNIL)
    ft_json_encode(L, -1);
  else
    lua_getfield(L, answer, "body");
  if (!lua_isstring(L, -1))
    return;
  size_t n;
  const char *s = lua_tolstring(L, -1, &n);
  if (t->output != NULL && t->status >= 200 && t->status < 300) {
    int e = ft_outfile_open(&t->out, t->output);
    if (e == 0)
      e = ft_outfile_write(&t->out, s, n);
    t->fault = e == 0 ? NULL : strerror(e);
    t->fault_data = e != 0;
    t->down = (curl_off_t)n;
  } else if (!ft_buf_add(&t->body, s, n))
    t->fault = t->body.full ? "the answer is larger than max_bytes" : "not enough memory";
}

static CURLcode code_of(const char *word) {
  if (strcmp(word, "timeout") == 0)
    return CURLE_OPERATION_TIMEDOUT;
  return strcmp(word, "connect") == 0 ? CURLE_COULDNT_CONNECT : CURLE_RECV_ERROR;
}

/* transfer -- delay; protected by ft_scripted_answer */
static int scripted(lua_State *L) {
  ft_transfer *t = lua_touserdata(L, 1);
  double delay = 0;
  lua_getiuservalue(L, 1, FT_TU_REQUEST);
  lua_getiuservalue(L, 1, FT_TU_INSTANCE);
  lua_getiuservalue(L, 3, FT_IU_CONFIG);
  lua_getfield(L, 4, "transport");
  lua_newtable(L);
  ft_set_string(L, "method", t->method);
  ft_set_string(L, "url", t->url.data);
  describe_headers(L, t);
  describe_body(L, t, 2);
  lua_call(L, 1, 2);
  if (lua_istable(L, 5)) {
    lua_getfield(L, 5, "status");
    t->status = (int)luaL_optinteger(L, -1, 200);
    lua_getfield(L, 5, "delay");
    delay = luaL_optnumber(L, -1, 0);
    lua_getfield(L, 5, "partial");
    t->partial = lua_toboolean(L, -1) && ft_stream_is(t) && ft_response_accepted(t);
    answer_head(L, t, 5);
    answer_body(L, t, 5);
    t->code = t->fault != NULL ? CURLE_WRITE_ERROR : CURLE_OK;
  } else if (lua_type(L, 5) == LUA_TSTRING && strcmp(lua_tostring(L, 5), "pending") == 0)
    delay = -1;
  else
    t->code = code_of(luaL_optstring(L, 6, "reset"));
  lua_pushnumber(L, delay);
  return 1;
}

/* seconds until the answer, which is in the transfer already; < 0: it never comes */
double ft_scripted_answer(lua_State *L, ft_transfer *t) {
  int top = lua_gettop(L);
  double delay = 0;
  lua_pushcfunction(L, scripted);
  ft_engine_find(L, t->E, t);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK)
    delay = lua_tonumber(L, -1);
  else { /* a script that raises fails the request, in its words */
    size_t n;
    const char *words = luaL_tolstring(L, -1, &n);
    strncpy(t->errbuf, words, sizeof t->errbuf - 1);
    t->code = CURLE_FAILED_INIT;
  }
  lua_settop(L, top);
  return delay;
}
