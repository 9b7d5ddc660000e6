/*
** scan_each.h: what the variants that look at 32 bytes at a time compare them with, and what
** they find in them.
*/
#ifndef FT_SCAN_EACH_H
#define FT_SCAN_EACH_H

#include "scan_part.h"

typedef struct Block { /* a bit for each byte */
  uint32_t other;      /* quotes, controls, and all beyond ASCII */
  uint32_t backslash;
} Block;

/* Rows of 32 bytes. They are in memory, since compilers make constants anew for each block, with
   two instructions or more each. */
enum {
  /* 32 times the same byte */
  FT_EACH_TWO,   /* with this bit turned the quote is 20, and what was 20 is above: so ... */
  FT_EACH_ABOVE, /* what is then below 21, signed, is a quote, a control or beyond ASCII */
  FT_EACH_BACKSLASH,
  FT_EACH_LEAD,   /* C0: what is below, signed, is a continuation */
  FT_EACH_NIBBLE, /* 0F */
  FT_EACH_HEX,    /* FT_SET_DIGIT | FT_SET_LETTER */
  FT_EACH_SIMPLE, /* FT_SET_MARK | FT_SET_BFN | FT_SET_RT */
  FT_EACH_TOP,    /* 80 */
  FT_EACH_THIRD,  /* E0 - 80: what is above by 80 or more is a lead byte of three or four */
  FT_EACH_FOURTH, /* F0 - 80 */
  FT_EACH_ZERO,   /* these make \u007c, and with the bit 20 set \u007C */
  FT_EACH_SEVEN,
  FT_EACH_C,
  FT_EACH_CASE,
  /* twice 16 bytes: the simple escape, if any, that ends in this nibble (the most frequent) */
  FT_EACH_SECOND,
  /* twice 16 bytes: what a nibble means */
  FT_SET_BY_HIGH,
  FT_SET_BY_LOW,
  FT_UTF8_FIRST_HIGH,
  FT_UTF8_FIRST_LOW,
  FT_UTF8_SECOND_HIGH,
  FT_EACH_ROWS
};
FT_SCAN_HIDDEN extern const uint8_t ft_scan_each[FT_EACH_ROWS][32];

/* Sets of ASCII, each made of some high nibbles and some low ones */
enum {
  FT_SET_DIGIT = 1,
  FT_SET_LETTER = 2, /* a to f, A to F */
  FT_SET_MARK =
      4,          /* the quote: a simple escape, as are the next two. The slash is not among them */
  FT_SET_BFN = 8, /* b, f, n */
  FT_SET_RT = 16, /* r, t */
  FT_SET_D = 64,  /* d, D */
  FT_SET_U = 128  /* u */
};

/* The good escapes of a block, as they are taken from its odd ones: where they begin */
typedef struct Escapes {
  uint32_t simple;  /* of two bytes */
  uint32_t unicode; /* of six, and one character */
  uint32_t bars;    /* of those, the ones that mean | */
} Escapes;

/* Out of: where the second byte of a simple escape may be, a `u`, a hexadecimal digit, a D among
   these, "007c". Left to others: where backslashes stand together, so that none is taken that is
   itself escaped; what is cut by the block's end; \uD escapes, half of which are surrogates. */
static inline Escapes ft_scan_escapes(uint32_t backslash, uint32_t second, uint32_t u, uint32_t hex,
                                      uint32_t d, uint32_t bar) {
  uint32_t two = hex & hex >> 1, four = two & two >> 2;
  uint32_t unicode = backslash & u >> 1 & (four & ~d) >> 2;
  Escapes e = {backslash & second >> 1, unicode, unicode & bar >> 2};
  return e;
}

#endif
