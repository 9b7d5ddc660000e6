/*
** failure.c: why a request has no response: the error value, from what the service said
** or from what happened on the way.
*/
#include "ft.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 4096 }; /* bytes of a service's words in an error */

static const char *kind_of(int status) {
  switch (status) {
  case 401:
    return "auth";
  case 402:
    return "quota"; /* "payment required" */
  case 403:
    return "permission";
  case 404:
  case 410:
    return "not_found";
  case 408:
    return "timeout";
  case 409:
    return "conflict";
  case 429:
    return "rate_limit";
  default:
    return status >= 500 ? "server" : status >= 400 ? "invalid" : "transport";
  }
}

/* copies `from`.key, a string or number, to error.key; the error is at `err` */
static int take(lua_State *L, int err, int from, const char *key, const char *as) {
  if (lua_getfield(L, from, key) == LUA_TNUMBER || lua_type(L, -1) == LUA_TSTRING) {
    lua_setfield(L, err, as);
    return 1;
  }
  lua_pop(L, 1);
  return 0;
}

/* The service's words are shown to people, in terminals and logs: of a length that
   can be read, and without control characters. */
static void clean_message(lua_State *L, int err, int secrets) {
  size_t n;
  lua_getfield(L, err, "message");
  luaL_tolstring(L, -1, NULL);
  ft_redact(L, secrets); /* before the cut, which would leave half of a secret unknown */
  const char *s = lua_tolstring(L, -1, &n);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < n && i < MESSAGE_MAX; i++)
    luaL_addchar(&b, (char)((unsigned char)s[i] < ' ' || s[i] == 0x7F ? ' ' : s[i]));
  if (n > MESSAGE_MAX)
    luaL_addstring(&b, "...");
  luaL_pushresult(&b);
  lua_setfield(L, err, "message");
  lua_settop(L, err);
}

/* [-1, 0] adds the words on top, where they are text and say something new */
static void add_words(lua_State *L, int err) {
  int top = lua_gettop(L);
  const char *more = lua_type(L, top) == LUA_TSTRING ? lua_tostring(L, top) : "";
  lua_getfield(L, err, "message");
  const char *said = lua_tostring(L, -1);
  if (*more != '\0' && said != NULL && strstr(said, more) == NULL) {
    lua_pushfstring(L, "%s (%s)", said, more);
    lua_setfield(L, err, "message");
  }
  lua_settop(L, top - 1);
}

/* Azure's {details: [{message}...]}: the reason is in the first of them */
static void take_details(lua_State *L, int err, int from) {
  int top = lua_gettop(L);
  if (lua_getfield(L, from, "details") == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TTABLE) {
    lua_getfield(L, -1, "message");
    add_words(L, err);
  }
  lua_settop(L, top);
}

/* FastAPI's {detail: [{loc: ["body", "model"], msg}...]} */
static void take_located(lua_State *L, int err, int doc) {
  int top = lua_gettop(L);
  if (lua_getfield(L, doc, "detail") == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TTABLE) {
    take(L, err, top + 2, "msg", "message");
    if (lua_getfield(L, top + 2, "loc") == LUA_TTABLE) {
      lua_rawgeti(L, -1, (lua_Integer)lua_rawlen(L, -1));
      if (lua_type(L, -1) == LUA_TSTRING)
        lua_setfield(L, err, "param");
    }
  }
  lua_settop(L, top);
}

/* The shapes that services use: {error: {message, code, param | target, type, details}},
   {error: "words"}, {message | detail | error_description, code}, {errors: [{message}]},
   {detail: [{loc, msg}]}. */
static void take_words(lua_State *L, int err, int doc, int secrets) {
  static const char *const words[] = {"message", "detail", "error_description", "error", NULL};
  int from = doc;
  if (lua_getfield(L, doc, "error") == LUA_TTABLE)
    from = lua_gettop(L);
  else if (lua_getfield(L, doc, "errors") == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TTABLE)
    from = lua_gettop(L);
  take_located(L, err, doc);
  for (int i = 0; words[i] != NULL && !take(L, err, from, words[i], "message"); i++)
    ;
  if (!take(L, err, from, "code", "code"))
    take(L, err, doc, "code", "code");
  if (!take(L, err, from, "param", "param"))
    take(L, err, from, "target", "param");
  if (!take(L, err, from, "type", "type"))
    take(L, err, doc, "type", "type");
  take_details(L, err, from);
  lua_settop(L, err);
  clean_message(L, err, secrets);
}

/* the kind by the service's own code, a word or a number: quota is not a rate limit */
static void take_kind(lua_State *L, int err, int config) {
  int type = lua_getfield(L, err, "code");
  if (type == LUA_TSTRING && strcmp(lua_tostring(L, -1), "insufficient_quota") == 0) {
    lua_pushliteral(L, "quota");
    lua_setfield(L, err, "kind");
  }
  if (type != LUA_TNIL && lua_getfield(L, config, "errors") == LUA_TTABLE) {
    lua_pushvalue(L, -2);
    if (lua_gettable(L, -2) == LUA_TSTRING)
      lua_setfield(L, err, "kind");
  }
  lua_settop(L, err);
}

/* [0, +1] the transfer is at index 1 */
static void push_status_error(lua_State *L, ft_transfer *t, int config) {
  lua_getiuservalue(L, 1, FT_TU_INSTANCE);
  lua_getiuservalue(L, -1, FT_IU_SECRETS);
  lua_remove(L, -2);
  int secrets = lua_gettop(L);
  ft_push_content_type(L, t);
  ft_error(L, kind_of(t->status), "the service answered %d (%s)", t->status, lua_tostring(L, -1));
  lua_remove(L, -2);
  int err = lua_gettop(L);
  lua_pushinteger(L, t->status);
  lua_setfield(L, err, "status");
  if (t->body.len > 0 && ft_json_decode(L, t->body.data, t->body.len) && lua_istable(L, -1))
    take_words(L, err, lua_gettop(L), secrets);
  lua_settop(L, err);
  take_kind(L, err, config);
  lua_remove(L, secrets);
}

static const char *host_of(lua_State *L, const ft_transfer *t) { /* [0, +1] */
  CURLU *u = curl_url();
  char *host = NULL;
  if (u != NULL && curl_url_set(u, CURLUPART_URL, t->url.data, 0) == CURLUE_OK)
    curl_url_get(u, CURLUPART_HOST, &host, 0);
  char text[256] = "the service";
  if (host != NULL)
    snprintf(text, sizeof text, "%s", host);
  curl_free(host);
  curl_url_cleanup(u);
  return lua_pushstring(L, text);
}

static const char *fault_kind(const ft_transfer *t) {
  if (strcmp(t->fault, "not enough memory") == 0)
    return "memory";
  return t->code == CURLE_OK ? "transport" : "decode";
}

static void push_transport_error(lua_State *L, ft_transfer *t) {
  const char *host = host_of(L, t);
  const char *words = t->errbuf[0] != '\0' ? t->errbuf : curl_easy_strerror(t->code);
  if (t->fault != NULL && t->fault_data)
    ft_error(L, "data", "%s: %s", t->nsrc > 0 ? t->src[0].path : t->output, t->fault);
  else if (t->fault != NULL)
    ft_error(L, fault_kind(t), "%s: %s", host, t->fault);
  else if (t->code == CURLE_OPERATION_TIMEDOUT)
    ft_error(L, "timeout", "%s did not answer in time: %s", host, words);
  else if (t->code == CURLE_PEER_FAILED_VERIFICATION || t->code == CURLE_SSL_CACERT_BADFILE)
    ft_error(L, "transport",
             "the TLS certificate of %s is not trusted: %s (give ca_file for a private "
             "authority)",
             host, words);
  else if (t->code == CURLE_OUT_OF_MEMORY && t->head.len > 0) /* libcurl's word for both */
    ft_error(L, "transport", "%s: a header of the answer is too long, or memory ran out", host);
  else
    ft_error(L, t->code == CURLE_OUT_OF_MEMORY ? "memory" : "transport", "%s: %s", host, words);
  lua_remove(L, -2);
}

/* what every error of a transfer carries; error on top */
void ft_failure_facts(lua_State *L, const ft_transfer *t) {
  lua_pushinteger(L, t->attempt);
  lua_setfield(L, -2, "attempts");
  lua_pushboolean(L, t->fault == NULL && ft_retryable(t->net, t->status) &&
                         !ft_response_out_of_quota(t));
  lua_setfield(L, -2, "retryable");
  ft_set_header(L, t, "x-request-id", "request_id");
  if (t->retry_after >= 0) {
    lua_pushnumber(L, t->retry_after);
    lua_setfield(L, -2, "retry_after");
  }
  if (t->net == FT_NET_OK && t->fault != NULL) { /* a redirect that was refused */
    lua_pushinteger(L, t->status);
    lua_setfield(L, -2, "status");
  }
  if (t->unsent) {
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "sent");
  }
  if (t->foreign)
    ft_redact_query(L, -1, t->url.data);
}

void ft_failure_push(lua_State *L, ft_transfer *t, int config) {
  if (t->net != FT_NET_OK || t->fault != NULL)
    push_transport_error(L, t);
  else
    push_status_error(L, t, config);
}
