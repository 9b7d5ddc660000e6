/*
** openai_sample.c: running a model once, so that "did it help?" needs no other library:
** POST /chat/completions {model, messages, max_completion_tokens, temperature}, as every
** service of the dialect has it. The answer is {text, finish_reason, usage, raw}.
**
** OpenAI deprecated `max_tokens` (its reasoning models refuse it); other services may know
** nothing else: quirk max_tokens, the name of that field.
*/
#include "openai.h"

/* [0, +1] params.messages, or params.prompt as what a user said */
static int push_messages(lua_State *L) {
  int has_prompt = lua_getfield(L, FT_PARAMS, "prompt") == LUA_TSTRING;
  if (lua_getfield(L, FT_PARAMS, "messages") == LUA_TTABLE)
    return has_prompt ? ft_oa_invalid(L, "prompt", "and messages were both given: give one")
                      : FT_DONE;
  lua_pop(L, 1);
  if (!has_prompt)
    return ft_oa_invalid(L, "messages", "are missing: give an array of them, or a prompt");
  lua_createtable(L, 1, 0);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "user");
  lua_setfield(L, -2, "role");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "content");
  lua_rawseti(L, -2, 1);
  return FT_DONE;
}

static void copy(lua_State *L, int body, const char *param, const char *field) {
  lua_getfield(L, FT_PARAMS, param);
  lua_setfield(L, body, field);
}

static int ask(lua_State *L, ft_call *c) {
  ft_oa_request(L, "POST", "/chat/completions", NULL, NULL, 0);
  int request = lua_gettop(L);
  lua_createtable(L, 0, 4);
  if (push_messages(L) == FT_FAIL)
    return FT_FAIL;
  lua_setfield(L, request + 1, "messages"); /* what push_messages left below stays there */
  const char *limit =
      ft_oa_quirk(L, "max_tokens") == LUA_TSTRING ? lua_tostring(L, -1) : "max_completion_tokens";
  copy(L, request + 1, "model", "model");
  copy(L, request + 1, "temperature", "temperature");
  copy(L, request + 1, "max_tokens", limit);
  ft_oa_merge_extra(L, request + 1);
  lua_settop(L, request + 1);
  lua_setfield(L, request, "json");
  lua_pushliteral(L, "idempotent"); /* nothing is made by it */
  lua_setfield(L, request, "retry");
  return ft_oa_send(L, c, 1);
}

/* choices[1].message.content: text, or parts of it. A refusal is in the same place. */
static int push_text(lua_State *L, int message) {
  if (lua_getfield(L, message, "content") == LUA_TSTRING)
    return 1;
  if (lua_getfield(L, message, "refusal") == LUA_TSTRING)
    return 1;
  return 0;
}

static int answer(lua_State *L) {
  ft_oa_document(L);
  int doc = lua_gettop(L), message = doc + 3;
  if (!lua_istable(L, doc) || lua_getfield(L, doc, "choices") != LUA_TTABLE ||
      lua_rawgeti(L, -1, 1) != LUA_TTABLE || lua_getfield(L, -1, "message") != LUA_TTABLE)
    return ft_getapi(L)->fail(L, "decode", "the service's answer is not a completion");
  lua_createtable(L, 0, 4);
  int value = message + 1;
  if (push_text(L, message))
    lua_setfield(L, value, "text");
  lua_settop(L, value);
  if (lua_getfield(L, message - 1, "finish_reason") == LUA_TSTRING)
    lua_setfield(L, value, "finish_reason");
  lua_settop(L, value);
  if (lua_getfield(L, doc, "usage") == LUA_TTABLE)
    lua_setfield(L, value, "usage");
  lua_settop(L, value);
  lua_pushvalue(L, doc);
  lua_setfield(L, value, "raw");
  return FT_DONE;
}

int ft_oa_sample(lua_State *L, ft_call *c) {
  if (*ft_getapi(L)->state(c) == 0)
    return ask(L, c);
  return lua_isnil(L, FT_ERROR) ? answer(L) : ft_oa_failed(L);
}
