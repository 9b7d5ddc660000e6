/*
** unsupported.c: the answer of an operation that a provider does not offer. Its reason
** may hold `{name}`, for the parameter of that name (a string or a number), else for
** the instance's setting (a string); where there is neither it stays as it is. So a
** reason can be a command to paste into a shell: what a shell could take for more than
** a word is quoted, control characters are left out, and a secret is never put in.
*/
#include "ft.h"

#include <string.h>

enum { U_CALL = 1, U_PARAMS, U_CONFIG, U_SECRETS, U_FACTS, U_NAMES, U_TOP = U_NAMES };
enum { NAME_MAX_LEN = 63 };

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/* ---- one value ---- */

/* is the setting or parameter of that name one that nobody may see? */
static int is_secret(lua_State *L, const char *name) {
  if (strcmp(name, "api_key") == 0 || strcmp(name, "proxy") == 0)
    return 1;
  int found = 0;
  for (lua_Integer i = 1; !found && lua_istable(L, U_NAMES); i++) {
    int type = lua_rawgeti(L, U_NAMES, i);
    found = type == LUA_TSTRING && strcmp(lua_tostring(L, -1), name) == 0;
    lua_pop(L, 1);
    if (type == LUA_TNIL)
      break;
  }
  return found;
}

/* [-1, +1] a number as JSON writes it, not the host's locale; 0: no value to show */
static int as_text(lua_State *L, int type) {
  if (type == LUA_TNUMBER && lua_tonumber(L, -1) - lua_tonumber(L, -1) == 0) { /* finite */
    ft_json_encode(L, -1);
    lua_remove(L, -2);
    return 1;
  }
  return type == LUA_TSTRING;
}

/* [0, +1] the text behind a name, as it came; 0 and nothing where there is none */
static int push_value(lua_State *L, const char *name) {
  if (is_secret(L, name))
    return 0;
  if (as_text(L, lua_getfield(L, U_PARAMS, name)))
    return 1;
  lua_pop(L, 1);
  if (ft_sounds_secret(name))
    return 0;
  if (lua_getfield(L, U_CONFIG, name) == LUA_TSTRING)
    return 1;
  lua_pop(L, 1);
  return 0;
}

/* [-1, +1] without control characters, those of a terminal beyond ASCII (U+0080 to
   U+009F, bytes C2 80 to C2 9F) among them, also where leaving one out makes another */
static void clean(lua_State *L) {
  size_t n;
  const char *s = lua_tolstring(L, -1, &n);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    size_t len = luaL_bufflen(&b);
    if (c >= 0x80 && c <= 0x9F && len > 0 && luaL_buffaddr(&b)[len - 1] == '\xC2')
      luaL_buffsub(&b, 1);
    else if (c >= ' ' && c != 0x7F)
      luaL_addchar(&b, s[i]);
  }
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

/* what every shell takes as it stands; NUL is none of it: clean has left it out */
static int is_word(const char *s) {
  return *s != '\0' && s[strspn(s, NAME_CHARS ".:/@%+=,-")] == '\0';
}

/* [-1, +1] one word for a POSIX shell, whatever is in it */
static void quote(lua_State *L) {
  size_t n;
  const char *s = lua_tolstring(L, -1, &n);
  if (is_word(s))
    return;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  luaL_addchar(&b, '\'');
  for (size_t i = 0; i < n; i++)
    if (s[i] == '\'')
      luaL_addstring(&b, "'\\''");
    else
      luaL_addchar(&b, s[i]);
  luaL_addchar(&b, '\'');
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

/* [0, +1] what stands for {name}; 0 and nothing. A secret is looked for before the
   quotes, which could hide it. */
static int push_word(lua_State *L, const char *name) {
  if (!push_value(L, name))
    return 0;
  clean(L);
  lua_pushvalue(L, -1);
  ft_redact(L, U_SECRETS);
  int harmless = lua_rawequal(L, -1, -2);
  lua_pop(L, harmless ? 1 : 2);
  if (harmless)
    quote(L);
  return harmless;
}

/* ---- the reason ---- */

/* the name in "{name}" at s, and how many bytes all of it has; 0: it is none */
static size_t placeholder(const char *s, char *name) {
  size_t n = strspn(s + 1, NAME_CHARS);
  if (n == 0 || n > NAME_MAX_LEN || s[1 + n] != '}')
    return 0;
  memcpy(name, s + 1, n);
  name[n] = '\0';
  return n + 2;
}

static void push_filled(lua_State *L, const char *s) { /* [0, +1] */
  char name[NAME_MAX_LEN + 1];
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  while (*s != '\0') {
    size_t n = *s == '{' ? placeholder(s, name) : 0;
    if (n > 0 && push_word(L, name))
      luaL_addvalue(&b);
    else {
      n = n > 0 ? n : 1 + strcspn(s + 1, "{");
      luaL_addlstring(&b, s, n);
    }
    s += n;
  }
  luaL_pushresult(&b);
}

static void push_supported(lua_State *L, const ft_registration *reg) { /* [0, +1] */
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 0; i < FT_NOPS; i++)
    if (ft_slot_of(L, reg, i)->op != NULL) {
      if (luaL_bufflen(&b) > 0)
        luaL_addstring(&b, ", ");
      luaL_addstring(&b, ft_op_name(i));
    }
  luaL_pushresult(&b);
}

static int unsupported(lua_State *L) { /* call -- error */
  const ft_call *c = lua_touserdata(L, U_CALL);
  const char *reason = c->slot->reason;
  lua_getiuservalue(L, U_CALL, FT_CU_PARAMS);
  lua_getiuservalue(L, U_CALL, FT_CU_INSTANCE);
  lua_getiuservalue(L, -1, FT_IU_SECRETS);
  lua_getiuservalue(L, -2, FT_IU_REG);
  lua_getiuservalue(L, -1, FT_RU_FACTS);
  lua_replace(L, U_FACTS);
  lua_getiuservalue(L, U_CONFIG, FT_IU_CONFIG);
  lua_replace(L, U_CONFIG);
  lua_getfield(L, U_FACTS, "secrets");
  push_supported(L, c->inst->reg);
  if (reason != NULL)
    push_filled(L, reason);
  else
    lua_pushliteral(L, "this provider does not offer it");
  ft_error(L, "unsupported", "%s (supported: %s)", lua_tostring(L, U_TOP + 2),
           lua_tostring(L, U_TOP + 1));
  if (reason != NULL) {
    lua_pushvalue(L, U_TOP + 2);
    lua_setfield(L, -2, "reason");
  }
  return 1;
}

void ft_unsupported(lua_State *L) {
  lua_pushcfunction(L, unsupported);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 1);
}
