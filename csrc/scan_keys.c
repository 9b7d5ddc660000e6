/*
** scan_keys.c: duplicate keys. Few keys are compared each with each; many are sorted by what
** they mean, so that a million of them take a moment and not a day.
*/
#include "scan.h"

#include <string.h>

typedef struct Keys {
  const char *s;
  const ft_node *nodes;
} Keys;

/* <0, 0, >0: UTF-8 as bytes is in the order of its code points, as ft_json_compare() is */
static int compare(const Keys *k, uint32_t a, uint32_t b) {
  const ft_node *x = &k->nodes[a], *y = &k->nodes[b];
  if ((x->flags | y->flags) & FT_NODE_ESCAPED) {
    ft_slice left = {k->s + x->at, x->n}, right = {k->s + y->at, y->n};
    return ft_json_compare(left, right);
  }
  int order = memcmp(k->s + x->at, k->s + y->at, x->n < y->n ? x->n : y->n);
  return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

static int same(const Keys *k, uint32_t a, uint32_t b) {
  const ft_node *x = &k->nodes[a], *y = &k->nodes[b];
  if (((x->flags | y->flags) & FT_NODE_ESCAPED) == 0 && x->n != y->n)
    return 0;
  return compare(k, a, b) == 0;
}

/* the node behind the value of a key */
static uint32_t next_key(const ft_node *nodes, uint32_t key) {
  return nodes[key + 1].next;
}

size_t ft_scan_keys(const ft_node *nodes, size_t i) {
  size_t count = 0;
  for (uint32_t key = (uint32_t)i + 1; key < nodes[i].next; key = next_key(nodes, key))
    count++;
  return count;
}

/* ---- a few ---- */

static size_t among_few(const Keys *k, const uint32_t *keys, size_t n) {
  for (size_t later = 1; later < n; later++)
    for (size_t i = 0; i < later; i++)
      if (same(k, keys[i], keys[later]))
        return keys[later];
  return 0;
}

/* ---- many: sorted where they are, by quick sort, and by heap sort what that is bad at ---- */

static int before(const Keys *k, uint32_t a, uint32_t b) {
  int order = compare(k, a, b);
  return order != 0 ? order < 0 : a < b; /* of equal keys the earlier first */
}

static void sift(const Keys *k, uint32_t *heap, size_t i, size_t n) {
  uint32_t key = heap[i];
  for (size_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && before(k, heap[child], heap[child + 1]))
      child++;
    if (!before(k, key, heap[child]))
      break;
    heap[i] = heap[child];
  }
  heap[i] = key;
}

static void heap_sort(const Keys *k, uint32_t *keys, size_t n) {
  for (size_t i = n / 2; i-- > 0;)
    sift(k, keys, i, n);
  while (n-- > 1) {
    uint32_t last = keys[n];
    keys[n] = keys[0];
    keys[0] = last;
    sift(k, keys, 0, n);
  }
}

static uint32_t middle(const Keys *k, uint32_t a, uint32_t b, uint32_t c) {
  if (before(k, b, a)) {
    uint32_t swap = a;
    a = b, b = swap;
  }
  return before(k, c, a) ? a : before(k, b, c) ? b : c;
}

/* Into two parts, each key of the first before each of the second: how many the first has.
   No two are equal in before(), so neither is empty. */
static size_t split(const Keys *k, uint32_t *keys, size_t n) {
  uint32_t pivot = middle(k, keys[0], keys[n / 2], keys[n - 1]);
  for (size_t i = 0, j = n - 1;; i++, j--) {
    while (before(k, keys[i], pivot))
      i++;
    while (before(k, pivot, keys[j]))
      j--;
    if (i >= j)
      return j + 1;
    uint32_t swap = keys[i];
    keys[i] = keys[j], keys[j] = swap;
  }
}

/* The smaller part is sorted first: so this calls itself log n times at most. */
static void sort(const Keys *k, uint32_t *keys, size_t n, int patience) {
  while (n > FT_SCAN_FEW && patience-- > 0) {
    size_t first = split(k, keys, n);
    if (first < n - first) {
      sort(k, keys, first, patience);
      keys += first, n -= first;
    } else {
      sort(k, keys + first, n - first, patience);
      n = first;
    }
  }
  heap_sort(k, keys, n);
}

static size_t among_many(const Keys *k, uint32_t *keys, size_t n) {
  size_t first = 0;
  int patience = 0;
  for (size_t i = n; i > 0; i /= 2)
    patience += 2;
  sort(k, keys, n, patience);
  for (size_t i = 1; i < n; i++)
    if ((first == 0 || keys[i] < first) && same(k, keys[i - 1], keys[i]))
      first = keys[i];
  return first;
}

size_t ft_scan_duplicate(const char *s, const ft_node *nodes, size_t i, uint32_t *index,
                         size_t room) {
  Keys k = {s, nodes};
  uint32_t few[FT_SCAN_FEW], *keys = few;
  size_t n = 0, most = FT_SCAN_FEW;
  uint32_t key = (uint32_t)i + 1;
  for (; key < nodes[i].next; key = next_key(nodes, key)) {
    if (n == FT_SCAN_FEW && keys == few) {
      if (room <= n)
        return FT_SCAN_ROOM;
      memcpy(index, few, sizeof few);
      keys = index, most = room;
    }
    if (n == most)
      return FT_SCAN_ROOM;
    keys[n++] = key;
  }
  return keys == few ? among_few(&k, keys, n) : among_many(&k, keys, n);
}
