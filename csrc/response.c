/*
** response.c: what came back: the response table, and the trace. The error value
** is failure.c's.
*/
#include "ft.h"

#include <string.h>

#define RESPONSE_META "finetune.response"

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
  lua_pushnil(L);
  ft_engine_queue(L, t->E);
  return 0;
}

void ft_trace(lua_State *L, ft_transfer *t) {
  int top = lua_gettop(L);
  lua_pushcfunction(L, trace);
  ft_engine_find(L, t->E, t);
  ft_engine_quietly(L, t->E, 1); /* a trace that finds no memory is lost, the request is not */
  lua_settop(L, top);
}
