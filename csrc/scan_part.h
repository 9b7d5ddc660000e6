/*
** scan_part.h: what the variants of the scanner share (scan.h is for its users).
*/
#ifndef FT_SCAN_PART_H
#define FT_SCAN_PART_H

#include "scan.h"

#include <string.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define FT_SCAN_X86 1
#endif

#define FT_SCAN_HIDDEN __attribute__((visibility("hidden"))) /* so it is found without a table */
#define FT_SCAN_APART __attribute__((noinline)) /* what is seldom needed stays out of the way */

#define FT_LIKELY(x) __builtin_expect((x) != 0, 1)

typedef struct ft_scan_state {
  const uint8_t *begin, *end;
  const uint8_t *at; /* the fault, and its sentence; NULL: none */
  const char *why;
  ft_node *nodes;
  size_t room, count;               /* of nodes: there, and needed so far */
  const ft_node *known, *known_end; /* strings that are good: those still to come */
} ft_scan_state;

/* What there is to say of a string once it was gone over */
typedef struct ft_scan_text {
  size_t extra; /* as of a node, but without an end */
  int flags;
} ft_scan_text;

/* Scans all of S->begin .. S->end; leaves the fault or NULL in S->why. */
typedef void ft_scanner(ft_scan_state *S, int depth);

/* NULL where this machine has no such thing */
ft_scanner *ft_scan_sse2(void);
ft_scanner *ft_scan_avx2(void);

/* What a byte is inside a string */
enum {
  FT_BYTE_PLAIN = 1, /* ASCII that stands for itself */
  FT_BYTE_SIMPLE = 2 /* it may follow a backslash, and is an escape of two bytes then */
};
enum { FT_BYTE_HEX = 4, FT_BYTE_D = 8 /* d, D: the surrogates begin so */ };
FT_SCAN_HIDDEN extern const uint8_t ft_scan_bytes[256];

/* Of the good escape [p, end): the flags of a string with it */
static inline int ft_scan_flags(const uint8_t *p, const uint8_t *end) {
  if (end - p == 2)
    return p[1] == '/' ? FT_NODE_ESCAPED | FT_NODE_VARIED : FT_NODE_ESCAPED;
  int bar = memcmp(p + 2, "007", 3) == 0 && (p[5] | 0x20) == 'c';
  return FT_NODE_ESCAPED | FT_NODE_VARIED | (bar ? FT_NODE_BAR : 0);
}

/* Are the four bytes at p hexadecimal digits of something that is no surrogate? */
static inline int ft_scan_hex(const uint8_t *p) {
  const uint8_t *t = ft_scan_bytes;
  return (t[p[0]] & t[p[1]] & t[p[2]] & t[p[3]] & FT_BYTE_HEX) != 0 &&
         ((t[p[0]] & FT_BYTE_D) == 0 || p[1] < '8');
}

#endif
