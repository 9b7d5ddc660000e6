/*
** scan_check.h: one text through every variant of the scanner, as the fuzzer and harness_scan
** do it: all must say the same, and what they note must be true. Aborts with words where not.
*/
#ifndef SCAN_CHECK_H
#define SCAN_CHECK_H

#include "scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCAN_VARIANTS = 3, SCAN_NODES = 1 << 16 };

typedef struct Verdict {
  ptrdiff_t at; /* -1: accepted */
  const char *why;
  size_t count; /* of nodes */
} Verdict;

static const char *const scan_names[SCAN_VARIANTS] = {"portable", "sse2", "avx2"};
static ft_node scan_nodes[SCAN_VARIANTS][SCAN_NODES];

static void claim(int condition, const char *words) {
  if (condition)
    return;
  fprintf(stderr, "scan_check: %s\n", words);
  abort();
}

/* ---- what the nodes of an accepted text must be ---- */

/* Bytes of a good string that are no characters of their own */
static size_t extra_by_hand(const char *s, size_t n) {
  size_t extra = 0;
  for (size_t i = 0; i < n;) {
    int pair = s[i] == '\\' && s[i + 1] == 'u' && (s[i + 2] | 0x20) == 'd' && s[i + 3] >= '8';
    size_t bytes = s[i] != '\\' ? 1 : s[i + 1] != 'u' ? 2 : pair ? 12 : 6;
    extra += bytes - 1 + (((unsigned char)s[i] & 0xC0) == 0x80);
    i += bytes;
  }
  return extra;
}

static int flags_by_hand(const char *s, size_t n) {
  int flags = 0;
  for (size_t i = 0; i < n; i += s[i] == '\\' ? 2 : 1) {
    if (s[i] != '\\')
      continue;
    flags |= FT_NODE_ESCAPED | (s[i + 1] == 'u' || s[i + 1] == '/' ? FT_NODE_VARIED : 0);
    if (n - i >= 6 && (memcmp(s + i, "\\u007c", 6) == 0 || memcmp(s + i, "\\u007C", 6) == 0))
      flags |= FT_NODE_BAR;
  }
  return flags;
}

static void check_leaf(const char *s, size_t n, const ft_node *node) {
  const char *p = s + node->at;
  ft_json j = {p, p + node->n};
  size_t end = (size_t)node->at + node->n;
  claim(end <= n, "a node out of the text");
  if (node->type == '"') {
    claim(node->at > 0 && p[-1] == '"' && end < n && p[node->n] == '"',
          "no quotes around a string");
    claim(flags_by_hand(p, node->n) == (node->flags & ~FT_NODE_KEY),
          "an escape that is not flagged, or none that is");
    size_t extra = extra_by_hand(p, node->n);
    claim(node->extra == (extra < FT_NODE_MANY ? extra : FT_NODE_MANY), "miscounted bytes");
    claim(ft_scan_characters(s, node) == node->n - extra, "miscounted characters");
  } else {
    claim(node->n > 0 && ft_json_type(&j) == node->type, "a node of another type");
    claim((node->flags & ~FT_NODE_KEY) == 0 && node->extra == 0, "escaped, but no string");
  }
}

/* The children of node i: in order, within it, keys and values in turn */
static void check_children(const ft_node *nodes, size_t i) {
  size_t at = nodes[i].at, end = at + nodes[i].n, child = i + 1, k = 0;
  int object = nodes[i].type == '{';
  if (!object && nodes[i].type != '[') {
    claim(nodes[i].next == i + 1, "a scalar with children");
    return;
  }
  for (; child < nodes[i].next; child = nodes[child].next, k++) {
    claim(nodes[child].at > at, "nodes out of order");
    at = nodes[child].at;
    claim(at + nodes[child].n < end, "a child that is not within its parent");
    claim(nodes[child].next > child, "a node before itself");
    claim(((nodes[child].flags & FT_NODE_KEY) != 0) == (object && k % 2 == 0),
          "keys and values are not in turn");
    claim((nodes[child].flags & FT_NODE_KEY) == 0 || nodes[child].type == '"',
          "a key is no string");
  }
  claim(child == nodes[i].next, "a child reaches behind its parent");
  claim(!object || k % 2 == 0, "a key without a value");
}

static void check_nodes(const char *s, size_t n, const ft_node *nodes, size_t count) {
  claim(count > 0 && nodes[0].next == count, "the first node is not the whole");
  claim((nodes[0].flags & FT_NODE_KEY) == 0, "the whole is a key");
  for (size_t i = 0; i < count; i++) {
    claim(nodes[i].next <= count, "a node ends behind the last one");
    check_leaf(s, n, &nodes[i]);
    check_children(nodes, i);
  }
}

/* The walker must see what the nodes tell: node i is where j is; -> the node behind it */
static size_t check_walk(ft_json *j, const char *s, const ft_node *nodes, size_t i) {
  ft_slice key, whole;
  ft_json skipped = *j;
  int type = ft_json_type(j);
  size_t next = i + 1;
  claim(type == nodes[i].type, "walker and node differ in type");
  whole = ft_json_skip(&skipped);
  claim((size_t)(whole.s - s) + (type == '"') == nodes[i].at &&
            whole.n == nodes[i].n + (type == '"' ? 2 : 0),
        "walker and node differ in place");
  if (type == '{' || type == '[') {
    ft_json_enter(j);
    while (type == '{' ? ft_json_member(j, &key) : ft_json_item(j)) {
      if (type == '{') {
        claim(key.s == s + nodes[next].at && key.n == nodes[next].n, "walker and key differ");
        claim(ft_json_compare(key, key) == 0, "a key differs from itself");
        next++;
      }
      next = check_walk(j, s, nodes, next);
    }
    claim(skipped.p == j->p, "skipping and walking end at different places");
  } else
    *j = skipped;
  claim(next == nodes[i].next, "walker and node differ in what follows");
  return next;
}

/* ---- duplicate keys ---- */

/* The duplicate key of ft_scan_duplicate(), found slowly, and so that nobody can doubt it */
static size_t duplicate_by_hand(const char *s, const ft_node *nodes, size_t i) {
  for (size_t b = i + 1; b < nodes[i].next; b = nodes[b + 1].next)
    for (size_t a = i + 1; a < b; a = nodes[a + 1].next) {
      ft_slice x = {s + nodes[a].at, nodes[a].n}, y = {s + nodes[b].at, nodes[b].n};
      if (ft_json_compare(x, y) == 0)
        return b;
    }
  return 0;
}

/* every object of an accepted text whose nodes are in scan_nodes[0] */
static void check_duplicates(const char *s, size_t count) {
  static uint32_t room[SCAN_NODES];
  for (size_t i = 0; i < count; i++) {
    const ft_node *nodes = scan_nodes[0];
    if (nodes[i].type == '{' && nodes[i].next - i < 1000)
      claim(ft_scan_duplicate(s, nodes, i, room, SCAN_NODES) == duplicate_by_hand(s, nodes, i),
            "another duplicate");
  }
}

/* ---- one text ---- */

static Verdict scan_with(int variant, const char *s, size_t n, int depth) {
  Verdict v;
  claim(ft_scan_use(variant), "a variant has gone");
  v.at = ft_scan_nodes(s, n, depth, scan_nodes[variant], SCAN_NODES, &v.count, &v.why);
  claim(v.at >= -1 && v.at <= (ptrdiff_t)n, "offset out of the text");
  claim((v.at < 0) == (v.why == NULL), "a verdict without its sentence");
  return v;
}

static void check_same(const Verdict *a, const Verdict *b, int variant) {
  size_t noted = a->count < SCAN_NODES ? a->count : SCAN_NODES;
  claim(a->at == b->at, "the variants differ in the offset");
  claim(a->why == b->why || strcmp(a->why, b->why) == 0, "the variants differ in the sentence");
  claim(a->count == b->count, "the variants differ in the number of nodes");
  for (size_t i = 0; i < noted; i++) {
    const ft_node *x = &scan_nodes[0][i], *y = &scan_nodes[variant][i];
    claim(x->at == y->at && x->n == y->n && x->next == y->next && x->type == y->type &&
              x->flags == y->flags && x->extra == y->extra,
          "the variants differ in a node");
  }
}

/* [s, s + n) through every variant that this machine has: what all of them say */
static Verdict check_variants(const char *s, size_t n, int depth) {
  Verdict first = scan_with(FT_SCAN_PORTABLE, s, n, depth);
  for (int variant = 1; variant < SCAN_VARIANTS; variant++)
    if (ft_scan_use(variant)) {
      Verdict v = scan_with(variant, s, n, depth);
      check_same(&first, &v, variant);
    }
  return first;
}

/* The same, and its nodes against the text and the walker. `depth` is small: this recurses. */
static inline Verdict check_text(const char *s, size_t n, int depth) {
  Verdict v = check_variants(s, n, depth);
  if (v.at < 0 && v.count <= SCAN_NODES) {
    ft_json j = ft_json_begin(s, n);
    check_nodes(s, n, scan_nodes[0], v.count);
    check_walk(&j, s, scan_nodes[0], 0);
    check_duplicates(s, v.count);
  }
  return v;
}

/* ---- texts made by chance: the same for a seed ---- */

static inline uint32_t scan_random(uint32_t *state) { /* xorshift */
  *state ^= *state << 13;
  *state ^= *state >> 17;
  return *state ^= *state << 5;
}

enum { SCAN_TEXT_MAX = 512 };

/* What strings are made of, so that everything comes to lie across the edge of a block: the
   first ones are good, the others are not, or end the string */
static const char *const scan_pieces[] = {
    "a", "word ", "0123456789abcdef", "~\x7f", "\\n", "\\t", "\\/", "\\\"", "\\\\", "\\\\\\\"",
    "\\u00e9", "\\uABCD\\ud7ff", "\\ud83d\\ude00", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
    "\xed\x9f\xbf", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf3\xa0\x80\x81", "\xf4\x8f\xbf\xbf",
    "\xe2\x80\xa8", "\\u007c", "\\u007C\\u107c", "\\\\u007c",
    /* the bad ones */
    "\\x", "\\u12g4", "\\ud83d", "\\ude00", "\\ud83d\\u0041", "\n", "\x1f", "\x80", "\xbf\xbf",
    "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\"", "\\"};
enum { SCAN_PIECES = sizeof scan_pieces / sizeof *scan_pieces, SCAN_GOOD = 25 };

/* A text of strings, every fourth one with something bad in it: its length */
static inline size_t scan_random_text(uint32_t *state, char *text) {
  size_t n = 0, strings = 1 + scan_random(state) % 4;
  uint32_t bad = scan_random(state) % 4 == 0 ? scan_random(state) % 16 : UINT32_MAX;
  text[n++] = '[';
  for (size_t i = 0; i < strings; i++) {
    if (i > 0)
      text[n++] = ',';
    text[n++] = '"';
    for (uint32_t k = scan_random(state) % 24; k > 0 && n < SCAN_TEXT_MAX - 32; k--, bad--) {
      uint32_t which = bad == 0 ? SCAN_GOOD + scan_random(state) % (SCAN_PIECES - SCAN_GOOD)
                                : scan_random(state) % SCAN_GOOD;
      size_t len = strlen(scan_pieces[which]);
      memcpy(text + n, scan_pieces[which], len);
      n += len;
    }
    text[n++] = '"';
  }
  text[n++] = ']';
  return n;
}

static const char *const scan_texts[] = {
    "{\"a\":[1,-0.5e+3,true,false,null],\"b\":{\"\":\"\\u0041\\ud83d\\ude00\"}}",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    " { \"messages\" : [ { \"role\" : \"user\" , \"content\" : \"hi\" } ] } ",
    "\"0123456789abcdef0123456789abcdef\"",
    "[[[[[[[[1E400]]]]]]]]",
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Ol\\u00e1, \\\"world\\\"\\n\"}, "
    "{\"role\": "
    "\"assistant\", \"content\": \"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82\", \"weight\": "
    "1}]}",
};

/* A mutant of one of those texts, or a text of pieces: its length */
static inline size_t scan_mutant(uint32_t *state, char *text) {
  static const char bytes[] = "{}[]\",:\\u0123dDeE+-.tfn \n\x01\x7f\x80\xc0\xed\xa0\xf4\xff";
  if (scan_random(state) % 2 == 0)
    return scan_random_text(state, text);
  const char *from = scan_texts[scan_random(state) % (sizeof scan_texts / sizeof *scan_texts)];
  size_t n = strlen(from);
  memcpy(text, from, n);
  for (uint32_t k = scan_random(state) % 4; k > 0; k--)
    text[scan_random(state) % n] = bytes[scan_random(state) % (sizeof bytes - 1)];
  return scan_random(state) % 4 == 0 ? scan_random(state) % n : n;
}

#endif
