#include "check.h"

#include "rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what came from the data and may be printed on a terminal ---- */

/* How many bytes the character at p has, 0 where it is none (a lead byte tells, and every byte
   that follows is one that may) */
static size_t character(const unsigned char *p, const unsigned char *end, unsigned *code) {
  size_t n = *p < 0x80 ? 1 : *p < 0xC2 ? 0 : *p < 0xE0 ? 2 : *p < 0xF0 ? 3 : *p < 0xF5 ? 4 : 0;
  if (n == 0 || (size_t)(end - p) < n)
    return 0;
  *code = n == 1 ? *p : *p & (0x7Fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return 0;
    *code = *code << 6 | (p[i] & 0x3F);
  }
  int short_form = (n == 3 && *code < 0x800) || (n == 4 && *code < 0x10000);
  return short_form || *code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF) ? 0 : n;
}

/* Controls, and what turns the direction of a line or is not to be seen */
static int hidden(unsigned code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) ||
         code == 0xFEFF || (code >= 0xE0000 && code <= 0xE007F);
}

/* As much of [p, end) as is printable and fits into `room` bytes, to `out`, which may be p: the
   length. What is not printable becomes '?'. */
static size_t tame(const unsigned char *p, const unsigned char *end, char *out, size_t room) {
  size_t len = 0;
  unsigned code = 0;
  while (p < end) {
    size_t n = character(p, end, &code);
    int shown = n > 0 && !hidden(code);
    size_t wants = shown ? n : 1;
    if (len + wants > room)
      break;
    if (shown)
      memmove(out + len, p, n);
    else
      out[len] = '?';
    len += wants;
    p += n > 0 ? n : 1;
  }
  return len;
}

void ft_tame(char *s) {
  const unsigned char *p = (const unsigned char *)s;
  size_t n = strlen(s);
  s[tame(p, p + n, s, n)] = '\0';
}

enum { EXCERPT_BEFORE = 20 };

void ft_excerpt(const char *s, size_t n, size_t at, char *out) {
  size_t from = at > EXCERPT_BEFORE ? at - EXCERPT_BEFORE : 0;
  if (from > n)
    from = n;
  while (from > 0 && from < n && from < at && ((unsigned char)s[from] & 0xC0) == 0x80)
    from++;
  const unsigned char *p = (const unsigned char *)s;
  size_t most = n - from < 4 * FT_EXCERPT_MAX ? n - from : 4 * FT_EXCERPT_MAX;
  out[tame(p + from, p + from + most, out, FT_EXCERPT_MAX)] = '\0';
}

int ft_check_clip(ft_slice s) {
  size_t n = s.n;
  if (n > 40)
    for (n = 40; n > 0 && ((unsigned char)s.s[n] & 0xC0) == 0x80;)
      n--;
  return (int)n;
}

/* ---- counting, and handing on ---- */

static int wanted(ft_findings *to, int warning, enum ft_rule rule) {
  size_t *count = warning ? &to->warnings : &to->errors;
  to->counts[rule]++;
  return ++*count <= to->keep;
}

void ft_rules_found(ft_rules *r, enum ft_rule rule, const char *s, size_t n, size_t column,
                    const char *message) {
  char excerpt[FT_EXCERPT_MAX + 1] = "";
  enum ft_severity severity = ft_rules_severity(r, rule);
  int warning = severity == FT_GRADE_WARNING;
  if (severity == FT_GRADE_OFF || !wanted(&r->findings, warning, rule))
    return;
  if (s != NULL)
    ft_excerpt(s, n, column > 0 ? column - 1 : 0, excerpt);
  ft_finding f = {(int)rule, ft_rule_table[rule].id, warning, column, "", message, excerpt};
  r->findings.found(r->findings.ud, &f);
}

/* ---- paths: worked out from the root where one is needed ---- */

static int bare_word(ft_slice key) {
  for (size_t i = 0; i < key.n; i++) {
    char ch = key.s[i];
    if (ch != '_' && !(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') &&
        !(i > 0 && ch >= '0' && ch <= '9'))
      return 0;
  }
  return key.n > 0;
}

/* .key ["odd key"] at p: its end */
static char *step_key(char *p, const char *end, ft_slice key, int first) {
  const char *format = bare_word(key) ? (first ? "%.*s" : ".%.*s") : "[\"%.*s\"]";
  return p + snprintf(p, (size_t)(end - p), format, ft_check_clip(key), key.s);
}

/* The item of the array that is, or holds, the target; its number in *index. Of the outermost
   array the place is kept: the next finding is behind it. */
static size_t item_of(ft_check *c, size_t array, size_t target, int outer, long *index) {
  size_t child = array + 1;
  *index = 0;
  if (outer && c->seen.array == array && c->seen.child != 0 && c->seen.child <= target) {
    child = c->seen.child;
    *index = c->seen.index;
  }
  for (; c->nodes[child].next <= target; child = c->nodes[child].next)
    ++*index;
  if (outer) {
    c->seen.array = array;
    c->seen.child = child;
    c->seen.index = *index;
  }
  return child;
}

enum { STEP_MAX = 64 }; /* bytes of a step: a key is clipped */

static void path_write(ft_check *c, size_t target, const char *key, char *p, size_t room) {
  const char *begin = p, *end = p + room;
  int outer = 1;
  *p = '\0';
  for (size_t i = 0; i != target && end - p > STEP_MAX;) {
    if (c->nodes[i].type == '{') {
      size_t k = i + 1;
      while (c->nodes[k + 1].next <= target)
        k = c->nodes[k + 1].next;
      p = step_key(p, end, ft_check_slice(c, k), p == begin);
      i = k == target ? target : k + 1;
    } else {
      long index;
      i = item_of(c, i, target, outer, &index);
      outer = 0;
      p += snprintf(p, (size_t)(end - p), "[%ld]", index);
    }
  }
  if (key != NULL && end - p > STEP_MAX) {
    ft_slice last = {key, strlen(key)};
    step_key(p, end, last, p == begin);
  }
}

/* ---- findings of an example ---- */

typedef struct Place {
  size_t at, path; /* nodes */
  const char *key;
} Place;

static void report(ft_check *c, enum ft_rule rule, Place place, const char *format, va_list args) {
  char path[FT_MESSAGE_MAX], message[FT_MESSAGE_MAX], excerpt[FT_EXCERPT_MAX + 1];
  enum ft_severity severity = ft_rules_severity(c->rules, rule);
  int warning = severity == FT_GRADE_WARNING;
  if (severity == FT_GRADE_OFF || !wanted(&c->rules->findings, warning, rule))
    return;
  const ft_node *node = &c->nodes[place.at];
  size_t at = node->at - (node->type == '"'); /* the quote */
  path_write(c, place.path, place.key, path, sizeof path);
  vsnprintf(message, sizeof message, format, args);
  ft_tame(path);
  ft_tame(message);
  ft_excerpt(c->e->s, c->e->n, at, excerpt);
  ft_finding f = {(int)rule, ft_rule_table[rule].id, warning, at + 1, path, message, excerpt};
  c->rules->findings.found(c->rules->findings.ud, &f);
}

void ft_check_found(ft_check *c, enum ft_rule rule, size_t node, const char *key,
                    const char *format, ...) {
  va_list args;
  Place place = {node, node, key};
  va_start(args, format);
  report(c, rule, place, format, args);
  va_end(args);
}

void ft_check_found_in(ft_check *c, enum ft_rule rule, size_t at, size_t path, const char *format,
                       ...) {
  va_list args;
  Place place = {at, path, NULL};
  va_start(args, format);
  report(c, rule, place, format, args);
  va_end(args);
}

int ft_check_on(const ft_check *c, enum ft_rule rule) {
  return ft_rules_severity(c->rules, rule) != FT_GRADE_OFF;
}

static const char *type_name(int type) {
  switch (type) {
  case '{':
    return "an object";
  case '[':
    return "an array";
  case '"':
    return "a string";
  case '0':
    return "a number";
  case 'n':
    return "null";
  default:
    return "a boolean";
  }
}

void ft_check_type_error(ft_check *c, size_t node, const char *wanted_type) {
  ft_check_found(c, FT_RULE_TYPE, node, NULL, "must be %s, not %s", wanted_type,
                 type_name(c->nodes[node].type));
}
