/*
** walk.c: the walker of scan.h. The text was accepted by ft_scan(), so what is
** here has to find ends, not faults; it stops at the end of the text all the same.
*/
#include "scan.h"

#include <string.h>

static void space(ft_json *j) {
  while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\t' || *j->p == '\r'))
    j->p++;
}

ft_json ft_json_begin(const char *s, size_t n) {
  ft_json j = {s, s + n};
  space(&j);
  return j;
}

int ft_json_type(const ft_json *j) {
  if (j->p >= j->end)
    return 0;
  return *j->p == '-' || (*j->p >= '0' && *j->p <= '9') ? '0' : (unsigned char)*j->p;
}

void ft_json_enter(ft_json *j) {
  j->p++;
  space(j);
}

/* Inside a container, behind its bracket or a value: the byte there tells all.
   1: at a key or an item; 0: behind the closing bracket */
static int next(ft_json *j) {
  space(j);
  if (j->p >= j->end)
    return 0;
  if (*j->p == ']' || *j->p == '}') {
    j->p++;
    return 0;
  }
  if (*j->p == ',') {
    j->p++;
    space(j);
  }
  return 1;
}

int ft_json_member(ft_json *j, ft_slice *key) {
  if (!next(j))
    return 0;
  *key = ft_json_string(j);
  space(j);
  if (j->p < j->end)
    j->p++; /* the colon */
  space(j);
  return 1;
}

int ft_json_item(ft_json *j) {
  return next(j);
}

/* is the quote at q escaped, in a string that begins at s? */
static int escaped(const char *s, const char *q) {
  const char *p = q;
  while (p > s && p[-1] == '\\')
    p--;
  return (q - p) & 1;
}

ft_slice ft_json_string(ft_json *j) {
  const char *s = j->p + 1, *q = s;
  for (;; q++) {
    q = s <= j->end ? memchr(q, '"', (size_t)(j->end - q)) : NULL;
    if (q == NULL || !escaped(s, q))
      break;
  }
  ft_slice slice = {s, q == NULL ? 0 : (size_t)(q - s)};
  j->p = q == NULL ? j->end : q + 1;
  return slice;
}

static void skip_word(ft_json *j) {
  while (j->p < j->end && memchr(",]} \t\r\n", *j->p, 7) == NULL)
    j->p++;
}

/* a container: its brackets are counted, its strings stepped over */
static void skip_nested(ft_json *j) {
  int level = 0;
  while (j->p < j->end) {
    char c = *j->p;
    if (c == '"') {
      ft_json_string(j);
      continue;
    }
    j->p++;
    if (c == '{' || c == '[')
      level++;
    else if ((c == '}' || c == ']') && --level == 0)
      return;
  }
}

ft_slice ft_json_skip(ft_json *j) {
  ft_slice slice = {j->p, 0};
  switch (ft_json_type(j)) {
  case '"':
    ft_json_string(j);
    break;
  case '{':
  case '[':
    skip_nested(j);
    break;
  default:
    skip_word(j);
  }
  slice.n = (size_t)(j->p - slice.s);
  return slice;
}

/* ---- strings as what they mean ---- */

static unsigned hex4(const char *p) {
  unsigned value = 0;
  for (int i = 0; i < 4; i++) {
    unsigned c = (unsigned char)p[i];
    value = value * 16 + (c <= '9' ? c - '0' : (c | 0x20u) - 'a' + 10);
  }
  return value;
}

/* takes a \u escape from the slice, or the pair of a surrogate */
static unsigned long take_unicode(ft_slice *a) {
  unsigned long c = hex4(a->s + 2);
  size_t n = 6;
  if (c >= 0xD800 && c < 0xDC00 && a->n >= 12) {
    c = 0x10000 + ((c - 0xD800) << 10) + (hex4(a->s + 8) - 0xDC00);
    n = 12;
  }
  a->s += n, a->n -= n;
  return c;
}

static unsigned long take_escape(ft_slice *a) {
  static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
  if (a->n >= 6 && a->s[1] == 'u')
    return take_unicode(a);
  char c = a->n > 1 ? a->s[1] : '\\';
  const char *name = memchr(names, c, 5);
  size_t n = a->n > 1 ? 2 : 1;
  a->s += n, a->n -= n;
  return (unsigned char)(name != NULL ? values[name - names] : c);
}

static unsigned long take_utf8(ft_slice *a) {
  unsigned long c = (unsigned char)*a->s;
  size_t more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
  if (more > 0)
    c &= 0x3Fu >> more;
  if (more >= a->n)
    more = a->n - 1;
  for (size_t i = 1; i <= more; i++)
    c = c << 6 | ((unsigned char)a->s[i] & 0x3Fu);
  a->s += more + 1, a->n -= more + 1;
  return c;
}

/* the next code point of a string that is not at its end */
static unsigned long take(ft_slice *a) {
  return *a->s == '\\' ? take_escape(a) : take_utf8(a);
}

static size_t put_utf8(unsigned long c, char *out) {
  if (c < 0x80)
    return out[0] = (char)c, 1;
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  for (int i = more; i > 0; i--, c >>= 6)
    out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)(0xFF00u >> (more + 1) | c);
  return (size_t)more + 1;
}

size_t ft_json_unescape(ft_slice a, char *out) {
  char *p = out;
  while (a.n > 0) {
    const char *escape = memchr(a.s, '\\', a.n);
    size_t run = escape == NULL ? a.n : (size_t)(escape - a.s);
    memmove(p, a.s, run); /* `out` may be where the text is: it never gets longer */
    p += run, a.s += run, a.n -= run;
    if (a.n > 0)
      p += put_utf8(take_escape(&a), p);
  }
  return (size_t)(p - out);
}

/* Bytes of [s, s + n) that continue a character, eight at a time */
static size_t continuations(const char *s, size_t n) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  size_t count = 0;
  uint64_t w;
  for (; n >= sizeof w; s += sizeof w, n -= sizeof w) {
    memcpy(&w, s, sizeof w);
    count += (size_t)(((w >> 7 & ~(w >> 6) & ones) * ones) >> 56);
  }
  for (; n > 0; s++, n--)
    count += ((unsigned char)*s & 0xC0) == 0x80;
  return count;
}

size_t ft_scan_count(const char *s, const ft_node *string) {
  ft_slice a = {s + string->at, string->n};
  size_t count = 0;
  for (; a.n > 0; count++) {
    const char *escape = memchr(a.s, '\\', a.n);
    size_t run = escape == NULL ? a.n : (size_t)(escape - a.s);
    count += run - continuations(a.s, run);
    a.s += run, a.n -= run;
    if (a.n == 0)
      break;
    take_escape(&a);
  }
  return count;
}

int ft_json_compare(ft_slice a, ft_slice b) {
  while (a.n > 0 && b.n > 0) {
    unsigned long x = take(&a), y = take(&b);
    if (x != y)
      return x < y ? -1 : 1;
  }
  return a.n > 0 ? 1 : b.n > 0 ? -1 : 0;
}

int ft_json_is(ft_slice a, const char *b) {
  size_t n = strlen(b);
  if (a.n == n && memcmp(a.s, b, n) == 0)
    return 1;
  ft_slice word = {b, n};
  return memchr(a.s, '\\', a.n) != NULL && ft_json_compare(a, word) == 0;
}
