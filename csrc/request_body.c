/*
** request_body.c: what a request sends: JSON, a string, a form, a file.
*/
#include "request.h"

#include <string.h>

/* a slice of a file: {path, offset, length, size, mtime} at `table` */
static ft_source *add_source(Request *r, int table) {
  ft_transfer *t = r->t;
  if (t->nsrc == FT_SOURCES_MAX)
    ft_rq_wrong(r, "too many files");
  if (t->src == NULL) {
    t->src = lua_newuserdatauv(r->L, FT_SOURCES_MAX * sizeof *t->src, 0);
    memset(t->src, 0, FT_SOURCES_MAX * sizeof *t->src);
    ft_rq_anchor(r);
  }
  ft_source *s = &t->src[t->nsrc++];
  s->fd = -1;
  s->owner = t;
  s->path = ft_rq_string(r, table, "path");
  if (s->path == NULL || strlen(s->path) != lua_rawlen(r->L, -1))
    ft_rq_wrong(r, "a file needs a path without NUL");
  ft_rq_anchor(r);
  s->offset = (curl_off_t)ft_rq_number(r, table, "offset", 0);
  s->size = (curl_off_t)ft_rq_number(r, table, "size", -1);
  s->length = (curl_off_t)ft_rq_number(r, table, "length", -1);
  lua_getfield(r->L, table, "mtime");
  s->mtime = (long long)luaL_optinteger(r->L, -1, -1);
  lua_pop(r->L, 1);
  if (s->length < 0 && ft_file_info(r->L, s->path)) {
    s->length = (curl_off_t)ft_rq_number(r, lua_gettop(r->L), "size", 0) - s->offset;
    lua_pop(r->L, 1);
  } else if (s->length < 0) {
    ft_error(r->L, "data", "%s", lua_tostring(r->L, -1));
    lua_error(r->L);
  }
  if (s->offset < 0 || s->length < 0)
    ft_rq_wrong(r, "a file's offset lies outside the file");
  t->file_transfer = 1;
  return s;
}

static void check_mime(Request *r, CURLcode code) {
  if (code != CURLE_OK)
    luaL_error(r->L, "not enough memory");
}

static void add_part(Request *r, int table) {
  lua_State *L = r->L;
  size_t n;
  curl_mimepart *part = curl_mime_addpart(r->t->mime);
  const char *name = ft_rq_text(r, table, "name");
  if (part == NULL)
    luaL_error(L, "not enough memory");
  if (name == NULL)
    ft_rq_wrong(r, "a part of multipart needs a name");
  check_mime(r, curl_mime_name(part, name));
  const char *path = ft_rq_string(r, table, "path"), *value = ft_rq_string(r, table, "value");
  const char *filename = ft_rq_text(r, table, "filename");
  const char *type = ft_rq_text(r, table, "type");
  if ((path == NULL) == (value == NULL))
    ft_rq_wrong(r, "a part of multipart needs either a value or a path");
  if (value != NULL) {
    lua_getfield(L, table, "value");
    value = lua_tolstring(L, -1, &n);
    check_mime(r, curl_mime_data(part, value, n));
  } else if (!ft_http_part(part, add_source(r, table)))
    luaL_error(L, "not enough memory");
  if (filename == NULL && path != NULL) /* without one, services see a field and no file */
    filename = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
  if (filename != NULL)
    check_mime(r, curl_mime_filename(part, filename));
  if (type != NULL && strpbrk(type, "\r\n") != NULL)
    ft_rq_wrong(r, "a part's type holds a newline");
  if (type != NULL)
    check_mime(r, curl_mime_type(part, type));
  lua_settop(L, table);
}

static void multipart(Request *r, int list) {
  lua_State *L = r->L;
  ft_idle blank = {NULL, 0, 0};
  r->t->easy = ft_engine_easy(r->t->E, blank);
  r->t->mime = r->t->easy.easy == NULL ? NULL : curl_mime_init(r->t->easy.easy);
  if (r->t->mime == NULL)
    luaL_error(L, "not enough memory");
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, list, i) != LUA_TTABLE)
      ft_rq_wrong(r, "multipart must be an array of parts");
    add_part(r, lua_gettop(L));
    lua_settop(L, list);
  }
}

static void post_string(Request *r) { /* [-1, 0] */
  r->t->post = lua_tolstring(r->L, -1, &r->t->post_len);
  ft_rq_anchor(r);
}

static int encode(lua_State *L) { /* value -- text */
  ft_json_encode(L, 1);
  return 1;
}

/* [-1, +1] what cannot be JSON is the caller's doing: kind "invalid", with the encoder's words */
static void push_json(lua_State *L) {
  lua_pushcfunction(L, encode);
  lua_insert(L, -2);
  int status = lua_pcall(L, 1, 1, 0);
  if (status == LUA_OK)
    return;
  const char *words = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (status != LUA_ERRMEM && words != NULL && strcmp(words, "not enough memory") != 0)
    ft_error(L, "invalid", "a parameter %s", words);
  lua_error(L);
}

void ft_rq_body(Request *r) {
  lua_State *L = r->L;
  ft_transfer *t = r->t;
  if (lua_getfield(L, R_REQUEST, "json") != LUA_TNIL) {
    push_json(L);
    post_string(r);
  } else if (lua_getfield(L, R_REQUEST, "body") != LUA_TNIL) {
    luaL_checktype(L, -1, LUA_TSTRING);
    post_string(r);
  } else if (lua_getfield(L, R_REQUEST, "multipart") == LUA_TTABLE)
    multipart(r, lua_gettop(L));
  else if (lua_getfield(L, R_REQUEST, "file") == LUA_TTABLE)
    add_source(r, lua_gettop(L));
  t->has_body = t->post != NULL || t->mime != NULL || t->nsrc > 0;
  lua_settop(L, R_TOP);
}
