/*
** header.c: what an answer's status and headers say: whether it counts as one, when to
** try again, and single headers for responses and errors.
*/
#include "ft.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

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

/* ---- for Lua ---- */

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
