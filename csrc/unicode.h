/*
** unicode.h: UTF-8, a code point at a time, and the few classes that split text into pieces
** for token counting. The tables are made by spec/support/tokens/unicode.py. No Lua.
*/
#ifndef FT_UNICODE_H
#define FT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* By general category; white space is the property of that name */
enum ft_unicode {
  FT_U_OTHER,   /* punctuation, symbols, controls, what is not assigned */
  FT_U_UPPER,   /* Lu Lt */
  FT_U_LOWER,   /* Ll */
  FT_U_LETTER,  /* Lm Lo: letters without case */
  FT_U_MARK,    /* M */
  FT_U_NUMBER,  /* N */
  FT_U_SPACE,   /* white space but for the next */
  FT_U_NEWLINE, /* CR LF */
  FT_U_CLASSES
};

enum { FT_UNICODE_END = 0x20000 }; /* of the table: beyond are only the letters listed, and marks */

extern const uint16_t ft_unicode_index[];
extern const char ft_unicode_blocks[][65];
extern const uint32_t ft_unicode_letters[][2];

/* The class of the character at p < end; *n: its bytes. A byte that begins no whole character
   is one of class OTHER. */
enum ft_unicode ft_unicode_wide(const unsigned char *p, const unsigned char *end, size_t *n);

/* Of ASCII: the first two blocks are its own */
static inline enum ft_unicode ft_unicode_ascii(unsigned char c) {
  return (enum ft_unicode)(ft_unicode_blocks[c >> 6][c & 63] & 7);
}

static inline enum ft_unicode ft_unicode_at(const unsigned char *p, const unsigned char *end,
                                            size_t *n) {
  if (*p >= 0x80)
    return ft_unicode_wide(p, end, n);
  *n = 1;
  return ft_unicode_ascii(*p);
}

#endif
