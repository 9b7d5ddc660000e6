/*
** rules_shape.c: objects by tables of fields, arrays, plain values, and keys that come twice.
*/
#include "rules.h"

#include <string.h>

/* ---- strings ---- */

ft_slice ft_check_slice(const ft_check *c, size_t node) {
  return ft_example_slice(c->e, node);
}

static int is_escaped(const ft_check *c, size_t node) {
  return c->nodes[node].flags & FT_NODE_ESCAPED;
}

int ft_check_is(const ft_check *c, size_t node, const char *word, size_t n) {
  const ft_node *k = &c->nodes[node];
  if (is_escaped(c, node))
    return ft_json_is(ft_check_slice(c, node), word);
  return k->n == n && memcmp(c->e->s + k->at, word, n) == 0;
}

ft_slice ft_check_plain(ft_check *c, size_t node) {
  ft_slice a = ft_check_slice(c, node), none = {NULL, 0};
  if (!is_escaped(c, node))
    return a;
  ft_buf_clear(&c->rules->plain);
  if (!ft_buf_reserve(&c->rules->plain, a.n)) {
    c->nomem = 1;
    return none;
  }
  ft_slice plain = {c->rules->plain.data, ft_json_unescape(a, c->rules->plain.data)};
  return plain;
}

/* ---- keys that come twice ---- */

/* The key of an object that repeats an earlier one, 0: there is none, or no memory */
static size_t repeated(ft_check *c, size_t object) {
  size_t key = ft_scan_duplicate(c->e->s, c->nodes, object, NULL, 0);
  if (key != FT_SCAN_ROOM)
    return key;
  size_t keys = ft_scan_keys(c->nodes, object);
  ft_buf_clear(&c->rules->plain);
  if (!ft_buf_reserve(&c->rules->plain, keys * sizeof(uint32_t))) {
    c->nomem = 1;
    return 0;
  }
  uint32_t *index = (uint32_t *)(void *)c->rules->plain.data;
  return ft_scan_duplicate(c->e->s, c->nodes, object, index, keys);
}

static void check_twice(ft_check *c, size_t object) {
  size_t key = repeated(c, object);
  if (key == 0)
    return;
  ft_slice text = ft_check_slice(c, key);
  ft_check_found_in(c, FT_RULE_DUPLICATE_KEY, key, object,
                    "the key \"%.*s\" is there twice; keep one of them", ft_check_clip(text),
                    text.s);
}

void ft_check_any(ft_check *c, size_t node) {
  const ft_node *nodes = c->nodes;
  for (size_t i = node, end = nodes[node].next; i < end; i++)
    if (nodes[i].type == '{' && nodes[i].next > i + 1 && nodes[i + 2].next < nodes[i].next)
      check_twice(c, i);
}

/* ---- containers ---- */

/* The field of the key k, -1: none */
static int field_of(const ft_check *c, const ft_field *fields, size_t k) {
  const ft_node *key = &c->nodes[k];
  const char *s = c->e->s + key->at;
  int i = 0;
  if (is_escaped(c, k))
    for (ft_slice text = ft_check_slice(c, k); fields[i].name != NULL; i++)
      if (ft_json_is(text, fields[i].name))
        return i;
  for (i = 0; fields[i].name != NULL; i++)
    if (fields[i].len == key->n && fields[i].name[0] == *s &&
        memcmp(fields[i].name, s, key->n) == 0)
      return i;
  return -1;
}

static void unknown_key(ft_check *c, enum ft_rule rule, size_t k) {
  ft_slice key = ft_check_slice(c, k);
  if (rule != FT_RULE_COUNT)
    ft_check_found(c, rule, k, NULL, "the key \"%.*s\" is not known here; a service may refuse it",
                   ft_check_clip(key), key.s);
  ft_check_any(c, k + 1);
}

int ft_check_object(ft_check *c, size_t node, const ft_field *fields, enum ft_rule unknown,
                    uint32_t *at) {
  const ft_node *nodes = c->nodes;
  int strange = 0; /* something that may be there twice */
  memset(at, 0, FT_FIELDS_MAX * sizeof *at);
  if (nodes[node].type != '{') {
    ft_check_type_error(c, node, "an object");
    ft_check_any(c, node);
    return 0;
  }
  for (size_t k = node + 1, end = nodes[node].next; k < end; k = nodes[k + 1].next) {
    int f = field_of(c, fields, k);
    if (f < 0) {
      strange = 1;
      unknown_key(c, unknown, k);
    } else if (at[f] != 0)
      strange = 1;
    else {
      at[f] = (uint32_t)k + 1;
      fields[f].check(c, k + 1);
    }
  }
  if (strange)
    check_twice(c, node);
  for (int i = 0; fields[i].required; i++)
    if (at[i] == 0)
      ft_check_found(c, FT_RULE_MISSING, node, fields[i].name, "\"%s\" is missing; add it",
                     fields[i].name);
  return 1;
}

long ft_check_array(ft_check *c, size_t node, ft_checker *item, int filled) {
  const ft_node *nodes = c->nodes;
  long n = 0;
  if (nodes[node].type != '[') {
    ft_check_type_error(c, node, "an array");
    ft_check_any(c, node);
    return -1;
  }
  for (size_t i = node + 1, end = nodes[node].next; i < end; i = nodes[i].next, n++)
    item(c, i);
  if (n == 0 && filled)
    ft_check_found(c, FT_RULE_EMPTY, node, NULL, "must not be empty");
  return n;
}

/* ---- plain values ---- */

void ft_check_string(ft_check *c, size_t node) {
  if (c->nodes[node].type != '"') {
    ft_check_type_error(c, node, "a string");
    ft_check_any(c, node);
  }
}

void ft_check_name(ft_check *c, size_t node) {
  if (c->nodes[node].type == '"' && c->nodes[node].n == 0)
    ft_check_found(c, FT_RULE_EMPTY, node, NULL, "must not be empty");
  ft_check_string(c, node);
}

void ft_check_nullable(ft_check *c, size_t node) {
  int type = c->nodes[node].type;
  if (type != '"' && type != 'n') {
    ft_check_type_error(c, node, "a string or null");
    ft_check_any(c, node);
  }
}

void ft_check_boolean(ft_check *c, size_t node) {
  int type = c->nodes[node].type;
  if (type != 't' && type != 'f') {
    ft_check_type_error(c, node, "true or false");
    ft_check_any(c, node);
  }
}

FT_RARE static void special_token(ft_check *c, size_t node) {
  size_t at, len;
  ft_slice text = ft_check_plain(c, node);
  if (text.s != NULL && ft_text_special(text.s, text.n, &at, &len))
    ft_check_found(c, FT_RULE_SPECIAL_TOKEN, node, NULL,
                   "holds the special token %.*s at byte %zu of it", (int)(len < 40 ? len : 40),
                   text.s + at, at + 1);
}

void ft_check_special(ft_check *c, size_t node) {
  if (c->special || c->nodes[node].flags & FT_NODE_BAR)
    special_token(c, node);
}

void ft_check_text(ft_check *c, size_t node) {
  if (c->nodes[node].type != '"') {
    ft_check_string(c, node);
    return;
  }
  if (c->facts != NULL)
    c->facts->characters += ft_scan_characters(c->e->s, &c->nodes[node]);
  ft_check_special(c, node);
}
