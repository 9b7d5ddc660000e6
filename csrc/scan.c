/*
** scan.c: the scanner in plain C, eight bytes at a time, and which variant of it is used.
*/
#include "scan_part.h"

const char ft_scan_utf8[] = "invalid UTF-8; save the text as UTF-8";
const char ft_scan_deep[] = "arrays and objects are nested too deep";

/* P: plain; S: plain, and an escape's second byte; E: such a byte alone; H: plain, a
   hexadecimal digit; X: that and an escape; D: d and D, digits that begin surrogates */
#define P FT_BYTE_PLAIN
#define S (FT_BYTE_PLAIN | FT_BYTE_SIMPLE)
#define E FT_BYTE_SIMPLE
#define H (FT_BYTE_PLAIN | FT_BYTE_HEX)
#define X (FT_BYTE_PLAIN | FT_BYTE_HEX | FT_BYTE_SIMPLE)
#define D (FT_BYTE_PLAIN | FT_BYTE_HEX | FT_BYTE_D)
const uint8_t ft_scan_bytes[256] = {
    /* clang-format off */
    0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0, /* control characters */
    0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,
    P, P, E, P, P, P, P, P,  P, P, P, P, P, P, P, S, /* the quote, the slash */
    H, H, H, H, H, H, H, H,  H, H, P, P, P, P, P, P,
    P, H, H, H, D, H, H, P,  P, P, P, P, P, P, P, P,
    P, P, P, P, P, P, P, P,  P, P, P, P, E, P, P, P, /* the backslash */
    P, H, X, H, D, H, X, P,  P, P, P, P, P, P, S, P, /* b, f, n */
    P, P, S, P, S, P, P, P,  P, P, P, P, P, P, P, P, /* r, t */
    /* clang-format on */
};
#undef P
#undef S
#undef E
#undef H
#undef X
#undef D

/* ---- the portable variant ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Do these eight bytes hold a quote, a backslash, a control character or a byte beyond ASCII?
   With the bit 2 turned the quote is 20, what was 20 is above, and controls stay below. (A borrow
   may mark more bytes than that, but only where one is marked rightly.) */
static inline uint64_t special(uint64_t w) {
  uint64_t low = (w ^ EACH(0x02)) - EACH(0x21), backslash = (w ^ EACH('\\')) - EACH(1);
  return (low | backslash | w) & EACH(0x80);
}

/* the first byte that is marked; 0 also where bytes do not lie in this order */
static inline int first(uint64_t marks) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return __builtin_ctzll(marks) >> 3;
#else
  return marks == 0;
#endif
}

static inline const uint8_t *plain(const uint8_t *p, const uint8_t *end) {
  uint64_t a, b;
  for (; end - p >= 16; p += 16) {
    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    a = special(a), b = special(b);
    if ((a | b) != 0) {
      p += a != 0 ? first(a) : 8 + first(b);
      break;
    }
  }
  while (p < end && (ft_scan_bytes[*p] & FT_BYTE_PLAIN))
    p++;
  return p;
}

static inline const uint8_t *quick(const uint8_t *end, const uint8_t *p) {
  uint64_t w;
  for (int i = 0; i < 3 && end - p >= 8; i++, p += 8) {
    memcpy(&w, p, 8);
    w = special(w);
    if (w != 0)
      return p[first(w)] == '"' ? p + first(w) : NULL;
  }
  return NULL;
}

/* From p over good characters of two and three bytes, and those of four bytes that are not at
   the edges of their range: to anything else, or to the last three bytes before the end. */
static inline const uint8_t *beyond(const uint8_t *p, const uint8_t *end, ft_scan_text *text) {
  while (end - p >= 4) {
    uint32_t w = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if ((w & 0xC0C0F0) == 0x8080E0) { /* not below U+0800, no surrogate */
      if ((w & 0x200F) == 0 || (w & 0x200F) == 0x200D)
        break;
      p += 3, text->extra += 2;
    } else if ((w & 0xC0E0) == 0x80C0) { /* not below U+0080 */
      if ((w & 0x1E) == 0)
        break;
      p += 2, text->extra += 1;
    } else if ((w & 0xC0C0C0FC) == 0x808080F0 && (w & 0x3003) != 0)
      p += 4, text->extra += 3; /* U+10000 to U+FFFFF */
    else
      break;
  }
  return p;
}

/* Over good escapes, of which many may stand together; not over one that ends the text */
static inline const uint8_t *escapes(const uint8_t *p, const uint8_t *end, ft_scan_text *text) {
  while (end - p > 6 && *p == '\\') {
    int n = ft_scan_bytes[p[1]] & FT_BYTE_SIMPLE ? 2 : p[1] == 'u' && ft_scan_hex(p + 2) ? 6 : 0;
    if (n == 0)
      break;
    text->flags |= ft_scan_flags(p, p + n);
    text->extra += (size_t)n - 1;
    p += n;
  }
  return p;
}

static const uint8_t *run(const ft_scan_state *S, const uint8_t *p, ft_scan_text *text) {
  for (;;) {
    const uint8_t *from = p = plain(p, S->end);
    if (p == S->end)
      return p;
    if (*p == '\\')
      p = escapes(p, S->end, text);
    else if (*p >= 0x80)
      p = beyond(p, S->end, text);
    if (p == from)
      return p;
  }
}

#include "scan_body.h"

/* ---- the choice ---- */

/* Threads may all find out at once: they find the same. */
static ft_scanner *chosen;

/* NULL: there is none such */
static ft_scanner *variant_of(int variant) {
  switch (variant) {
  case FT_SCAN_PORTABLE:
    return scan;
  case FT_SCAN_SSE2:
    return ft_scan_sse2();
  case FT_SCAN_AVX2:
    return ft_scan_avx2();
  default:
    return NULL;
  }
}

static ft_scanner *best(void) {
  ft_scanner *scanner = NULL;
  for (int i = FT_SCAN_AVX2; scanner == NULL; i--)
    scanner = variant_of(i);
  return scanner;
}

int ft_scan_use(int variant) {
  ft_scanner *scanner = variant == FT_SCAN_BEST ? best() : variant_of(variant);
  if (scanner != NULL)
    __atomic_store_n(&chosen, scanner, __ATOMIC_RELAXED);
  return scanner != NULL;
}

ptrdiff_t ft_scan(const char *s, size_t n, int depth, const char **why) {
  size_t count;
  return ft_scan_nodes(s, n, depth, NULL, 0, &count, why);
}

ptrdiff_t ft_scan_nodes(const char *s, size_t n, int depth, ft_node *nodes, size_t room,
                        size_t *count, const char **why) {
  return ft_scan_made(s, n, depth, NULL, 0, nodes, room, count, why);
}

ptrdiff_t ft_scan_made(const char *s, size_t n, int depth, const ft_node *strings, size_t known,
                       ft_node *nodes, size_t room, size_t *count, const char **why) {
  const uint8_t *begin = (const uint8_t *)s;
  ft_scan_state S = {begin, begin + n, NULL, NULL, nodes, room, 0, strings, strings};
  if (known > 0)
    S.known_end += known;
  ft_scanner *scanner = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (scanner == NULL) {
    scanner = best();
    __atomic_store_n(&chosen, scanner, __ATOMIC_RELAXED);
  }
  scanner(&S, depth > FT_SCAN_DEPTH ? FT_SCAN_DEPTH : depth > 0 ? depth : 0);
  *count = S.count;
  *why = S.why;
  return S.why == NULL ? -1 : S.at - S.begin;
}
