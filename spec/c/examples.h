/*
** examples.h: what the programs share that try the transformations of examples on many: chance
** from a seed, random texts and values, and the same value in another spelling.
*/
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "buf.h"
#include "example.h"
#include "harness.h"

enum { NODES = 1 << 14, TEXT_MAX = 1 << 22, DEPTH = 64 };

/* ---- chance: xorshift64*, the same for a seed ---- */

static uint64_t chance = 1;

static inline uint64_t draw(void) {
  chance ^= chance >> 12;
  chance ^= chance << 25;
  chance ^= chance >> 27;
  return chance * UINT64_C(0x2545F4914F6CDD1D);
}

static inline size_t below(size_t n) {
  return (size_t)(draw() >> 16) % n;
}

/* ---- memory ---- */

static inline void *plain_alloc(void *ud, void *p, size_t osize, size_t nsize) {
  (void)ud, (void)osize;
  if (nsize > 0)
    return realloc(p, nsize);
  free(p);
  return NULL;
}

/* ---- text under way: lack of memory ends the program ---- */

static inline void text_init(ft_buf *b, Memory *m) {
  ft_buf_init(b, memory_alloc, m, TEXT_MAX);
}

static inline void add(ft_buf *b, const char *s, size_t n) {
  if (!ft_buf_add(b, s, n)) {
    fprintf(stderr, "no memory for the test's own text\n");
    exit(1);
  }
}

static inline void adds(ft_buf *b, const char *s) {
  add(b, s, strlen(s));
}

/* ---- examples ---- */

typedef struct Example { /* a text, and its nodes */
  ft_example e;
  ft_node nodes[NODES];
} Example;

static inline int scanned(Example *x, const char *s, size_t n) {
  const char *why;
  size_t count;
  if (ft_scan_nodes(s, n, DEPTH, x->nodes, NODES, &count, &why) >= 0 || count > NODES)
    return 0;
  x->e.s = s;
  x->e.n = n;
  x->e.nodes = x->nodes;
  x->e.count = count;
  return 1;
}

/* Does ft_scan_made() with these strings say the same of the text of x? */
static inline int scanned_alike(const Example *x, const ft_buf *strings) {
  static ft_node made[NODES];
  const char *why;
  size_t count;
  ptrdiff_t at = ft_scan_made(x->e.s, x->e.n, DEPTH, (const ft_node *)(const void *)strings->data,
                              strings->len / sizeof *made, made, NODES, &count, &why);
  if (at >= 0 || count != x->e.count)
    return 0;
  for (size_t i = 0; i < count; i++) {
    const ft_node *a = &made[i], *b = &x->nodes[i];
    if (a->at != b->at || a->n != b->n || a->next != b->next || a->type != b->type ||
        a->flags != b->flags || a->extra != b->extra)
      return 0;
  }
  return 1;
}

static inline int scanned_buf(Example *x, const ft_buf *b) {
  return scanned(x, b->data, b->len);
}

/* ---- strings, without their quotes ---- */

static inline void random_text(ft_buf *b) {
  static const char *const pieces[] = {"a",
                                       "bc ",
                                       "the quick brown fox ",
                                       "\xC3\xA9",
                                       "\xE2\x82\xAC",
                                       "\xF0\x9F\x98\x80",
                                       "\\n",
                                       "\\\"",
                                       "\\\\",
                                       "\\/",
                                       "\\u0041",
                                       "\\u00e9",
                                       "\\u20AC",
                                       "\\ud83d\\ude00",
                                       "\\u0000",
                                       "<|im_start|>",
                                       "0123456789abcdef",
                                       "{\\\"x\\\":[1]}"};
  static const size_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 500, 511, 512, 513, 1100};
  size_t plain = below(3) == 0 ? lengths[below(sizeof lengths / sizeof *lengths)] : 0;
  for (size_t i = 0; i < plain; i++)
    add(b, &"abcdefghijklmnopqrstuvwxyz"[below(26)], 1);
  for (size_t k = below(8); k > 0; k--)
    adds(b, pieces[below(sizeof pieces / sizeof *pieces)]);
}

/* A character of an accepted string, in one of its spellings; answers the bytes taken */
static inline size_t respell_character(ft_buf *b, const char *p) {
  static const char escapes[] = "bfnrt\"\\/", meant[] = "\b\f\n\r\t\"\\/";
  char copy[16], plain[4];
  size_t taken = 1;
  if (*p == '\\' && p[1] == 'u')
    taken = (p[2] | 0x20) == 'd' && strchr("89abAB", p[3]) != NULL ? 12 : 6;
  else if (*p == '\\')
    taken = 2;
  else
    while (((unsigned char)p[taken] & 0xC0) == 0x80)
      taken++;
  ft_slice a = {p, taken};
  size_t n = ft_json_unescape(a, plain);
  const char *escape = n == 1 ? memchr(meant, plain[0], 8) : NULL;
  if (n == 1 && below(6) == 0) { /* \u0041 */
    snprintf(copy, sizeof copy, below(2) ? "\\u%04x" : "\\u%04X", (unsigned char)plain[0]);
    adds(b, copy);
  } else if (escape != NULL && (below(2) || *escape != '/')) {
    copy[0] = '\\', copy[1] = escapes[escape - meant];
    add(b, copy, 2);
  } else if (n == 1 && (unsigned char)plain[0] < 0x20) {
    snprintf(copy, sizeof copy, "\\u%04x", (unsigned char)plain[0]);
    adds(b, copy);
  } else if (n == 2 && below(2)) {
    unsigned c = ((unsigned)plain[0] & 0x1Fu) << 6 | ((unsigned)plain[1] & 0x3Fu);
    snprintf(copy, sizeof copy, "\\u%04x", c);
    adds(b, copy);
  } else if (n == 4 && below(2)) {
    unsigned c = ((unsigned)plain[0] & 7u) << 18 | ((unsigned)plain[1] & 0x3Fu) << 12 |
                 ((unsigned)plain[2] & 0x3Fu) << 6 | ((unsigned)plain[3] & 0x3Fu);
    snprintf(copy, sizeof copy, "\\u%04X\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
             0xDC00 + (c & 0x3FF));
    adds(b, copy);
  } else
    add(b, plain, n);
  return taken;
}

/* ---- values ---- */

static inline void spaces(ft_buf *b) {
  for (size_t k = below(8); k > 5; k--)
    add(b, &" \n\t\r"[below(4)], 1);
}

static inline void random_value(ft_buf *b, int depth);

static inline void random_container(ft_buf *b, int depth, int brace) {
  char key[16];
  adds(b, brace ? "{" : "[");
  size_t n = below(5);
  for (size_t i = 0; i < n; i++) {
    if (i > 0)
      adds(b, ",");
    if (brace) { /* numbered: no key is there twice */
      snprintf(key, sizeof key, "\"%zu", i);
      adds(b, key);
      random_text(b);
      adds(b, "\":");
    }
    random_value(b, depth + 1);
  }
  adds(b, brace ? "}" : "]");
}

static inline void random_value(ft_buf *b, int depth) {
  static const char *const others[] = {"0",    "1",     "-1.50e+3", "1.0",
                                       "true", "false", "null",     "12345678901234567"};
  size_t what = below(depth < 6 ? 8 : 4);
  if (what >= 4) {
    random_container(b, depth, what >= 6);
  } else if (what == 0) {
    adds(b, others[below(sizeof others / sizeof *others)]);
  } else {
    adds(b, "\"");
    random_text(b);
    adds(b, "\"");
  }
}

/* ---- the same value, spelled anew ---- */

static inline void respell(ft_buf *b, const ft_example *e, size_t i);

static inline void respell_container(ft_buf *b, const ft_example *e, size_t i) {
  size_t brace = e->nodes[i].type == '{', n = 0, children[256];
  for (size_t k = i + 1; k < e->nodes[i].next && n < 256; k = e->nodes[k + brace].next)
    children[n++] = k;
  for (size_t k = n; brace && k > 1; k--) { /* another order */
    size_t other = below(k), c = children[other];
    children[other] = children[k - 1];
    children[k - 1] = c;
  }
  adds(b, brace ? "{" : "[");
  for (size_t k = 0; k < n; k++) {
    if (k > 0)
      adds(b, ",");
    respell(b, e, children[k]);
    if (brace) {
      adds(b, ":");
      respell(b, e, children[k] + 1);
    }
  }
  adds(b, brace ? "}" : "]");
}

static inline void respell(ft_buf *b, const ft_example *e, size_t i) {
  ft_slice s = ft_example_slice(e, i);
  spaces(b);
  if (e->nodes[i].type == '{' || e->nodes[i].type == '[')
    respell_container(b, e, i);
  else if (e->nodes[i].type == '"') {
    adds(b, "\"");
    for (size_t k = 0; k < s.n;)
      k += respell_character(b, s.s + k);
    adds(b, "\"");
  } else
    add(b, s.s, s.n);
  spaces(b);
}

#endif
