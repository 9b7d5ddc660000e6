#include "check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- findings ---- */

static int wanted(ft_findings *to, int warning) {
  size_t *count = warning ? &to->warnings : &to->errors;
  return ++*count <= to->keep;
}

void ft_found(ft_findings *to, int warning, const char *rule, size_t column, const char *message) {
  ft_finding f = {rule, warning, column, "", message};
  if (wanted(to, warning))
    to->found(to->ud, &f);
}

/* the longest head of s, at most `most` bytes, that does not cut a character */
static size_t clip(const char *s, size_t n, size_t most) {
  if (n <= most)
    return n;
  while (most > 0 && ((unsigned char)s[most] & 0xC0) == 0x80)
    most--;
  return most;
}

int ft_check_clip(ft_slice s) {
  return (int)clip(s.s, s.n, 40);
}

/* What came from the data may be printed on a terminal: no DEL, no C1 controls
   (C0 ones cannot be in a JSON string as it is written). */
static void tame(char *s) {
  for (; *s != '\0'; s++) {
    if (*s == 0x7F)
      *s = '?';
    else if ((unsigned char)s[0] == 0xC2 && (unsigned char)s[1] < 0xA0)
      s[0] = s[1] = '?';
  }
}

static int bare_word(ft_slice key) {
  for (size_t i = 0; i < key.n; i++) {
    char ch = key.s[i];
    if (ch != '_' && !(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z') &&
        !(i > 0 && ch >= '0' && ch <= '9'))
      return 0;
  }
  return key.n > 0;
}

/* one step of the path, written at p: .key ["odd key"] [3] */
static int path_step(char *p, size_t room, ft_slice key, long index, int first) {
  if (key.s == NULL)
    return snprintf(p, room, "[%ld]", index);
  const char *format = bare_word(key) ? (first ? "%.*s" : ".%.*s") : "[\"%.*s\"]";
  return snprintf(p, room, format, ft_check_clip(key), key.s);
}

static void path_write(const ft_check *c, const char *key, char *p, size_t room) {
  char *end = p + room;
  *p = '\0';
  for (int i = 0; i < c->level && end - p > 64; i++)
    p += path_step(p, (size_t)(end - p), c->path[i].key, c->path[i].index, i == 0);
  if (key != NULL && end - p > 64) {
    ft_slice last = {key, strlen(key)};
    path_step(p, (size_t)(end - p), last, 0, c->level == 0);
  }
}

static void report(ft_check *c, int warning, const char *rule, const char *key, const char *at,
                   const char *format, va_list args) {
  char path[FT_MESSAGE_MAX], message[FT_MESSAGE_MAX];
  ft_finding f = {rule, warning, at != NULL ? (size_t)(at - c->text) + 1 : 0, path, message};
  if (!wanted(c->to, warning))
    return;
  path_write(c, key, path, sizeof path);
  vsnprintf(message, sizeof message, format, args);
  tame(path);
  tame(message);
  c->to->found(c->to->ud, &f);
}

void ft_check_error(ft_check *c, const char *rule, const char *key, const char *at,
                    const char *format, ...) {
  va_list args;
  va_start(args, format);
  report(c, 0, rule, key, at, format, args);
  va_end(args);
}

void ft_check_warning(ft_check *c, const char *rule, const char *key, const char *at,
                      const char *format, ...) {
  va_list args;
  va_start(args, format);
  report(c, 1, rule, key, at, format, args);
  va_end(args);
}

static const char *type_name(const ft_json *j) {
  switch (ft_json_type(j)) {
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

void ft_check_type_error(ft_check *c, const ft_json *j, const char *wanted_type) {
  ft_check_error(c, "type", NULL, j->p, "must be %s, not %s", wanted_type, type_name(j));
}

/* ---- keys: those of the open objects lie behind each other in c->keys ---- */

typedef struct Key {
  const char *s;
  uint32_t n, escaped;
} Key;

enum { FEW_KEYS = 32 }; /* up to here each is compared with all before it, beyond they are sorted */

void ft_check_keys(ft_buf *keys, lua_Alloc alloc, void *ud) {
  ft_buf_init(keys, alloc, ud, FT_KEYS_MAX * sizeof(Key));
}

static Key *key_at(const ft_check *c, size_t i) {
  return (Key *)(void *)c->keys->data + i;
}

static ft_slice key_slice(const Key *k) {
  ft_slice s = {k->s, k->n};
  return s;
}

static int key_same(const Key *a, const Key *b) {
  if (a->escaped || b->escaped)
    return ft_json_compare(key_slice(a), key_slice(b)) == 0;
  return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static void key_duplicate(ft_check *c, const Key *k) {
  ft_check_error(c, "duplicate_key", NULL, k->s - 1,
                 "the key \"%.*s\" is there twice; keep one of them", ft_check_clip(key_slice(k)),
                 k->s);
}

static void key_add(ft_check *c, size_t first, ft_slice s) {
  Key k = {s.s, (uint32_t)s.n, memchr(s.s, '\\', s.n) != NULL};
  size_t n = c->keys->len / sizeof k;
  for (size_t i = first; i < n && n - first <= FEW_KEYS; i++)
    if (key_same(key_at(c, i), &k)) {
      key_duplicate(c, &k);
      return;
    }
  if (ft_buf_add(c->keys, &k, sizeof k))
    return;
  if (!c->keys->full)
    c->nomem = 1;
  else if (c->nomem == 0)
    ft_check_error(c, "too_many_keys", NULL, s.s - 1,
                   "more than %d keys in objects within each other", FT_KEYS_MAX);
  c->nomem |= 2; /* said once */
}

/* by text, then by place: so the second of two is the later one */
static int key_order(const void *x, const void *y) {
  const Key *a = x, *b = y;
  int order = ft_json_compare(key_slice(a), key_slice(b));
  return order != 0 ? order : (a->s > b->s) - (a->s < b->s);
}

/* at the end of an object: those that key_add() did not compare */
static void keys_close(ft_check *c, size_t first) {
  size_t n = c->keys->len / sizeof(Key) - first;
  if (n > FEW_KEYS) {
    Key *keys = key_at(c, first);
    qsort(keys, n, sizeof *keys, key_order);
    for (size_t i = 1; i < n; i++)
      if (key_same(&keys[i - 1], &keys[i])) {
        key_duplicate(c, &keys[i]);
        break; /* one says enough: there may be millions */
      }
  }
  c->keys->len = first * sizeof(Key);
}

/* ---- containers ---- */

static size_t container_open(ft_check *c, ft_json *j) {
  ft_json_enter(j);
  c->path[c->level].key.s = NULL;
  c->path[c->level].index = -1;
  c->level++;
  return c->keys->len / sizeof(Key);
}

static int object_next(ft_check *c, ft_json *j, size_t first, ft_slice *key) {
  if (!ft_json_member(j, key)) {
    c->level--;
    keys_close(c, first);
    return 0;
  }
  c->level--; /* a duplicate is the object's fault, not the member's */
  key_add(c, first, *key);
  c->path[c->level++].key = *key;
  return 1;
}

static int array_next(ft_check *c, ft_json *j) {
  if (ft_json_item(j)) {
    c->path[c->level - 1].index++;
    return 1;
  }
  c->level--;
  return 0;
}

void ft_check_any(ft_check *c, ft_json *j) {
  ft_slice key;
  int type = ft_json_type(j);
  if (type != '{' && type != '[') {
    ft_json_skip(j);
    return;
  }
  size_t first = container_open(c, j);
  while (type == '{' ? object_next(c, j, first, &key) : array_next(c, j))
    ft_check_any(c, j);
}

static int field_is(const ft_field *f, ft_slice key) {
  return f->len == key.n ? memcmp(f->name, key.s, key.n) == 0
                         : key.n > f->len && ft_json_is(key, f->name);
}

static void member(ft_check *c, ft_json *j, const ft_field *fields, ft_slice key, const char **at) {
  for (int i = 0; fields[i].name != NULL; i++)
    if (field_is(&fields[i], key)) {
      at[i] = j->p;
      fields[i].check(c, j);
      return;
    }
  ft_check_warning(c, "unknown_key", NULL, key.s - 1,
                   "the key \"%.*s\" is not known here; a service may refuse it",
                   ft_check_clip(key), key.s);
  ft_check_any(c, j);
}

int ft_check_object(ft_check *c, ft_json *j, const ft_field *fields, const char **at) {
  ft_slice key;
  const char *begin = j->p;
  memset(at, 0, FT_FIELDS_MAX * sizeof *at);
  if (ft_json_type(j) != '{') {
    ft_check_type_error(c, j, "an object");
    ft_check_any(c, j);
    return 0;
  }
  size_t first = container_open(c, j);
  while (object_next(c, j, first, &key))
    member(c, j, fields, key, at);
  for (int i = 0; fields[i].name != NULL; i++)
    if (fields[i].required && at[i] == NULL)
      ft_check_error(c, "missing", fields[i].name, begin, "\"%s\" is missing; add it",
                     fields[i].name);
  return 1;
}

long ft_check_array(ft_check *c, ft_json *j, ft_checker *item, int filled) {
  const char *begin = j->p;
  long n = 0;
  if (ft_json_type(j) != '[') {
    ft_check_type_error(c, j, "an array");
    ft_check_any(c, j);
    return -1;
  }
  container_open(c, j);
  for (; array_next(c, j); n++)
    item(c, j);
  if (n == 0 && filled)
    ft_check_error(c, "empty", NULL, begin, "must not be empty");
  return n;
}

/* ---- plain values ---- */

void ft_check_string(ft_check *c, ft_json *j) {
  if (ft_json_type(j) != '"')
    ft_check_type_error(c, j, "a string");
  ft_check_any(c, j);
}

void ft_check_name(ft_check *c, ft_json *j) {
  if (ft_json_type(j) == '"' && j->p[1] == '"')
    ft_check_error(c, "empty", NULL, j->p, "must not be empty");
  ft_check_string(c, j);
}

void ft_check_nullable(ft_check *c, ft_json *j) {
  int type = ft_json_type(j);
  if (type != '"' && type != 'n')
    ft_check_type_error(c, j, "a string or null");
  ft_check_any(c, j);
}

void ft_check_boolean(ft_check *c, ft_json *j) {
  int type = ft_json_type(j);
  if (type != 't' && type != 'f')
    ft_check_type_error(c, j, "true or false");
  ft_check_any(c, j);
}
