/*
** rules_names.c: a set of strings of one example, compared as what they mean. While there are
** few, each is compared; more are sorted when they are asked for, so no input takes long.
*/
#include "check.h"

#include <stdlib.h>
#include <string.h>

typedef struct Key {
  const char *s;
  uint32_t n, node;
  unsigned char escaped, marked;
} Key;

enum { FEW = 32 };

void ft_names_init(ft_names *names, lua_Alloc alloc, void *ud) {
  ft_buf_init(&names->list, alloc, ud, FT_NODES_MAX * sizeof(Key));
  names->sorted = 0;
}

void ft_names_clear(ft_names *names) {
  ft_buf_clear(&names->list);
  names->sorted = 0;
}

void ft_names_free(ft_names *names) {
  ft_buf_free(&names->list);
}

size_t ft_names_count(const ft_names *names) {
  return names->list.len / sizeof(Key);
}

size_t ft_names_at(const ft_names *names, size_t i) {
  return ((const Key *)(const void *)names->list.data)[i].node;
}

static Key key_of(const ft_example *e, size_t node) {
  const ft_node *n = &e->nodes[node];
  Key k = {e->s + n->at, n->n, (uint32_t)node, (n->flags & FT_NODE_ESCAPED) != 0, 0};
  return k;
}

int ft_names_add(ft_names *names, const ft_example *e, size_t node) {
  Key k;
  memset(&k, 0, sizeof k);
  k = key_of(e, node);
  names->sorted = 0;
  return ft_buf_add(&names->list, &k, sizeof k);
}

static int order(const Key *a, const Key *b) {
  ft_slice x = {a->s, a->n}, y = {b->s, b->n};
  if (a->escaped || b->escaped)
    return ft_json_compare(x, y);
  int by = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
  return by != 0 ? by : (a->n > b->n) - (a->n < b->n);
}

/* by text, then by place: of two that read the same the later one is behind */
static int order_all(const void *x, const void *y) {
  const Key *a = x, *b = y;
  int by = order(a, b);
  return by != 0 ? by : (a->node > b->node) - (a->node < b->node);
}

static int same(const Key *a, const Key *b) {
  return a->escaped || b->escaped ? order(a, b) == 0
                                  : a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static Key *keys(ft_names *names) {
  return (Key *)(void *)names->list.data;
}

static void sort(ft_names *names) {
  if (!names->sorted)
    qsort(keys(names), ft_names_count(names), sizeof(Key), order_all);
  names->sorted = 1;
}

static Key *find(ft_names *names, const Key *k) {
  Key *list = keys(names);
  size_t low = 0, high = ft_names_count(names);
  if (high <= FEW) {
    for (size_t i = 0; i < high; i++)
      if (same(&list[i], k))
        return &list[i];
    return NULL;
  }
  sort(names);
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int by = order(&list[middle], k);
    if (by == 0)
      return &list[middle];
    if (by < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

int ft_names_mark(ft_names *names, const ft_example *e, size_t node) {
  Key k = key_of(e, node);
  Key *found = find(names, &k);
  if (found == NULL)
    return 0;
  if (found->marked)
    return -1;
  found->marked = 1;
  return 1;
}

size_t ft_names_twice(ft_names *names, const ft_example *e) {
  size_t n = ft_names_count(names);
  Key *list = keys(names);
  (void)e;
  if (n > FEW)
    sort(names);
  for (size_t i = 1; i < n; i++)
    for (size_t j = n > FEW ? i - 1 : 0; j < i; j++)
      if (same(&list[j], &list[i]))
        return list[i].node;
  return 0;
}
