/*
** util.c: small things that several parts need: a buffer that a raise cannot
** leak, the nearest name, percent-encoding, directories, random tokens.
*/
#include "ft.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A metatable of userdata that scripts cannot get at: a __gc called by hand would
   take a thing apart while it is in use. */
int ft_new_metatable(lua_State *L, const char *name) {
  int made = luaL_newmetatable(L, name);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  return made;
}

/* ---- the box ---- */

#define BOX_META "finetune.box"

static int box_gc(lua_State *L) {
  ft_buf_free(luaL_checkudata(L, 1, BOX_META));
  return 0;
}

ft_buf *ft_box(lua_State *L, size_t max) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  ft_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  ft_buf_init(b, alloc, ud, max);
  luaL_setmetatable(L, BOX_META);
  return b;
}

void ft_box_close(lua_State *L) {
  ft_buf_free(lua_touserdata(L, -1));
  lua_pop(L, 1);
}

void ft_util_open(lua_State *L) {
  ft_new_metatable(L, BOX_META);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* ---- tables ---- */

/* [0, 0] every pair of the table at `from` into the one at `to`; no table: none */
void ft_copy_pairs(lua_State *L, int from, int to) {
  if (!lua_istable(L, from))
    return;
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
}

/* [0, 0] a field of the table on top */
void ft_set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

/* ---- percent-encoding, RFC 3986: all but the unreserved ---- */

void ft_escape(ft_buf *b, const char *s, size_t len) {
  static const char hex[] = "0123456789ABCDEF";
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (; len > 0; s++, len--) {
    unsigned char c = (unsigned char)*s;
    char text[3] = {'%', hex[c >> 4], hex[c & 15]};
    if (c != '\0' && strchr(plain, c) != NULL)
      ft_buf_addchar(b, *s);
    else
      ft_buf_add(b, text, sizeof text);
  }
}

/* ---- the nearest name ---- */

enum { NEAREST_MAX = 64 }; /* longer words are not looked at */

static int least(int a, int b, int c) {
  int m = a < b ? a : b;
  return m < c ? m : c;
}

/* Damerau-Levenshtein (optimal string alignment): swapped letters count once */
static int distance(const char *a, size_t n, const char *b, size_t m) {
  int rows[3][NEAREST_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++)
    last[j] = (int)j;
  for (size_t i = 1; i <= n; i++) {
    row[0] = (int)i;
    for (size_t j = 1; j <= m; j++) {
      row[j] = least(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] < row[j])
        row[j] = before[j - 2] + 1;
    }
    int *spare = before;
    before = last;
    last = row;
    row = spare;
  }
  return last[m];
}

void ft_push_nearest(lua_State *L, const char *word, int list) {
  size_t n = strlen(word), m;
  int limit = n < 6 ? 1 : (int)(n / 3), best = limit + 1;
  list = lua_absindex(L, list);
  lua_pushnil(L);
  for (lua_Integer i = 1; n <= NEAREST_MAX && i <= (lua_Integer)lua_rawlen(L, list); i++) {
    lua_rawgeti(L, list, i);
    const char *s = lua_tolstring(L, -1, &m);
    int d = s != NULL && m <= NEAREST_MAX ? distance(word, n, s, m) : best;
    if (d < best) {
      best = d;
      lua_replace(L, -2);
    } else
      lua_pop(L, 1);
  }
}

int ft_nearest(lua_State *L) {
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  ft_push_nearest(L, word, 2);
  return 1;
}

/* ---- files ---- */

static int list_dir_read(lua_State *L) { /* dir (light) -- names */
  DIR *dir = lua_touserdata(L, 1);
  struct dirent *e;
  lua_Integer n = 0;
  lua_newtable(L);
  while ((e = readdir(dir)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
      continue;
    lua_pushstring(L, e->d_name);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* core.list_dir(path) -> names, or nil and words */
int ft_list_dir(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_pushcfunction(L, list_dir_read); /* made before the directory is open */
  DIR *dir = opendir(path);
  if (dir == NULL) {
    int e = errno;
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(e));
    return 2;
  }
  lua_pushlightuserdata(L, dir);
  int status = lua_pcall(L, 1, 1, 0);
  closedir(dir);
  return status == LUA_OK ? 1 : lua_error(L);
}

int ft_file_info(lua_State *L, const char *path) {
  struct stat st;
  if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
    const char *why = errno != 0 ? strerror(errno) : "unknown";
    if (stat(path, &st) == 0)
      why = S_ISDIR(st.st_mode) ? "is a directory, not a file" : "is not a regular file";
    lua_pushfstring(L, "%s: %s", path, why);
    return 0;
  }
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)st.st_size);
  lua_setfield(L, -2, "size");
#ifdef __APPLE__
  lua_pushinteger(L, (lua_Integer)st.st_mtimespec.tv_sec * 1000000000 + st.st_mtimespec.tv_nsec);
#else
  lua_pushinteger(L, (lua_Integer)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
#endif
  lua_setfield(L, -2, "mtime");
  return 1;
}

/* core.random_token() -> 32 hexadecimal digits that nobody can guess or repeat */
int ft_random_token(lua_State *L) {
  unsigned char bytes[16];
  char text[2 * sizeof bytes + 1];
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
  if (fd >= 0)
    close(fd);
  if (got != (ssize_t)sizeof bytes)
    return luaL_error(L, "cannot read /dev/urandom");
  for (size_t i = 0; i < sizeof bytes; i++)
    snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  lua_pushstring(L, text);
  return 1;
}

/* ---- names of secrets ---- */

int ft_sounds_secret(const char *name) {
  static const char *const words[] = {"auth",       "key",       "token", "secret", "cookie",
                                      "credential", "signature", "pass",  NULL};
  for (int i = 0; words[i] != NULL; i++)
    if (strcasestr(name, words[i]) != NULL)
      return 1;
  return 0;
}
