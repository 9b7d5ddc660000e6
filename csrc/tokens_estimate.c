/*
** tokens_estimate.c: about how many tokens a text is, without a vocabulary. The figures are
** averages of o200k_base over 20 MB of documentation and source.
*/
#include "tokens.h"

#include "unicode.h"

/* Hundredths of a token for a word of ASCII letters, with what stands before it, by bytes */
static const unsigned short words[] = {0,   100, 100, 103, 108, 114, 115, 120, 135,
                                       140, 150, 162, 166, 205, 215, 260, 270};

enum { WORDS = sizeof words / sizeof *words, WORD_BYTE = 21, SIGN_BYTE = 3 };

static size_t of_word(size_t n) {
  return n < WORDS ? words[n] : n * WORD_BYTE;
}

static size_t of_signs(size_t n) {
  return n < 4 ? 100 : 100 + SIGN_BYTE * (n < 20 ? n : 20) + (n > 64 ? n - 64 : 0);
}

/* Hundredths for a character beyond ASCII */
static size_t of_wide(enum ft_unicode class, size_t bytes) {
  if (class == FT_U_LETTER)
    return bytes >= 3 ? 75 : 45; /* CJK; Arabic, Hebrew */
  if (class == FT_U_UPPER || class == FT_U_LOWER)
    return 45;
  return class == FT_U_MARK ? 40 : class == FT_U_SPACE ? 100 : bytes >= 4 ? 180 : 100;
}

static int is_ascii_letter(unsigned char c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static size_t of_piece(const unsigned char *p, const unsigned char *end) {
  size_t sum = 0, ascii = 0, n, length = (size_t)(end - p);
  int letters = 0;
  for (; p < end; p += n) {
    enum ft_unicode class = ft_unicode_at(p, end, &n);
    if (n > 1 || *p >= 0x80)
      sum += of_wide(class, n);
    else
      ascii++, letters |= is_ascii_letter(*p);
  }
  if (ascii == length)
    return letters ? of_word(length) : of_signs(length);
  sum += letters ? ascii * WORD_BYTE : 0;
  return sum < 100 ? 100 : sum;
}

size_t ft_tokens_estimate(const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s, *end = p + n, *q;
  size_t sum = 0;
  for (; p < end; p = q) {
    q = ft_split_o200k(p, end);
    sum += of_piece(p, q);
  }
  return (sum + 50) / 100;
}
