/*
** scan_each.c: the constants of scan_each.h. UTF-8 is checked in blocks by three look-ups of
** nibbles: the method of J. Keiser and D. Lemire, "Validating UTF-8 in less than one
** instruction per byte" (2021).
*/
#include "scan_each.h"

#ifdef FT_SCAN_X86

/* What can be wrong with two bytes that stand together: the first one's high nibble, its low
   one and the second one's high nibble each say what they allow; wrong is what all three say. */
enum {
  SHORT = 1,      /* a lead byte, and no continuation behind it */
  LONG = 2,       /* a continuation behind ASCII */
  OVER2 = 4,      /* C0, C1: a longer form than needed */
  OVER3 = 8,      /* E0 80..9F: as well */
  SURROGATE = 16, /* ED A0..BF */
  LARGE = 32,     /* F4 90..BF, F5..FF 90..BF: beyond U+10FFFF */
  OVER4 = 64,     /* F0 80..8F; and F5..FF 80..8F, which are beyond as well */
  TWO = 128,      /* two continuations: right only where a lead byte stands before them */
  ANY = SHORT | LONG | TWO,
  FAR = ANY | LARGE | OVER4, /* F5..FF */
  AFTER = LONG | TWO | OVER2 /* of every continuation as the second */
};

enum {
  DIGIT = FT_SET_DIGIT,
  LETTER = FT_SET_LETTER,
  HEX = DIGIT | LETTER,
  D = FT_SET_D,
  MARK = FT_SET_MARK,
  BFN = FT_SET_BFN,
  RT = FT_SET_RT,
  U = FT_SET_U,
  NONE = 0xFF /* equal to no byte whose nibble it stands for, but itself: which is beyond ASCII */
};

#define EIGHT(c) c, c, c, c, c, c, c, c
#define EACH(c)                                                                                    \
  { EIGHT(c), EIGHT(c), EIGHT(c), EIGHT(c) }
#define TWICE(...)                                                                                 \
  { __VA_ARGS__, __VA_ARGS__ }

__attribute__((aligned(32))) const uint8_t ft_scan_each[FT_EACH_ROWS][32] = {
    [FT_EACH_TWO] = EACH(0x02),
    [FT_EACH_ABOVE] = EACH(0x21),
    [FT_EACH_BACKSLASH] = EACH('\\'),
    [FT_EACH_LEAD] = EACH(0xC0),
    [FT_EACH_NIBBLE] = EACH(0x0F),
    [FT_EACH_HEX] = EACH(HEX),
    [FT_EACH_SIMPLE] = EACH(MARK | BFN | RT),
    [FT_EACH_TOP] = EACH(0x80),
    [FT_EACH_THIRD] = EACH(0xE0 - 0x80),
    [FT_EACH_FOURTH] = EACH(0xF0 - 0x80),
    [FT_EACH_ZERO] = EACH('0'),
    [FT_EACH_SEVEN] = EACH('7'),
    [FT_EACH_C] = EACH('c'),
    [FT_EACH_CASE] = EACH(0x20),
    [FT_EACH_SECOND] = TWICE(NONE, NONE, '"', NONE, 't', NONE, 'f', NONE, NONE, NONE, NONE, NONE,
                             NONE, NONE, 'n', NONE),
    [FT_SET_BY_HIGH] =
        TWICE(0, 0, MARK, DIGIT, LETTER | D, 0, LETTER | D | BFN, RT | U, 0, 0, 0, 0, 0, 0, 0, 0),
    [FT_SET_BY_LOW] = TWICE(DIGIT, HEX, HEX | MARK | BFN | RT, HEX, HEX | D | RT, HEX | U,
                            HEX | BFN, DIGIT, DIGIT, DIGIT, 0, 0, 0, 0, BFN, 0),
    /* ASCII, a continuation, C0..CF, D0..DF, E0..EF, F0..FF */
    [FT_UTF8_FIRST_HIGH] = TWICE(EIGHT(LONG), TWO, TWO, TWO, TWO, SHORT | OVER2, SHORT,
                                 SHORT | OVER3 | SURROGATE, SHORT | LARGE | OVER4),
    [FT_UTF8_FIRST_LOW] = TWICE(ANY | OVER2 | OVER3 | OVER4, ANY | OVER2, ANY, ANY, ANY | LARGE,
                                EIGHT(FAR), FAR | SURROGATE, FAR, FAR),
    /* ASCII, 80..8F, 90..9F, A0..AF, B0..BF, a lead byte */
    [FT_UTF8_SECOND_HIGH] =
        TWICE(EIGHT(SHORT), AFTER | OVER3 | OVER4, AFTER | OVER3 | LARGE, AFTER | SURROGATE | LARGE,
              AFTER | SURROGATE | LARGE, SHORT, SHORT, SHORT, SHORT),
};
#else
const uint8_t ft_scan_each[FT_EACH_ROWS][32] = {{0}};
#endif
