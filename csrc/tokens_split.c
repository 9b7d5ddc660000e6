/*
** tokens_split.c: where a text is cut before its bytes are merged. Each encoding has a regular
** expression for that (tiktoken 0.14.0, tiktoken_ext/openai_public.py); the first alternative
** that matches is the piece.
**
** cl100k_base:
**   '(?i:[sdmt]|ll|ve|re)
**   [^\r\n\p{L}\p{N}]?+\p{L}++
**   \p{N}{1,3}+
**    ?[^\s\p{L}\p{N}]++[\r\n]*+
**   \s++$ | \s*[\r\n] | \s+(?!\S) | \s
** npm tiktoken 1.0.22 has the last four as \s*[\r\n]+ | \s+(?!\S) | \s+, so do we: at the end of
** a text it cuts white space behind the last line once more, and since no token has a line's end
** and then white space that ends no line, nothing is merged over that cut.
**
** o200k_base:
**   [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+C?
**   [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*C?
**   \p{N}{1,3}
**    ?[^\s\p{L}\p{N}]+[\r\n/]*
**   \s*[\r\n]+ | \s+(?!\S) | \s+
** where C is (?i:'s|'t|'re|'ve|'m|'ll|'d).
*/
#include "tokens.h"

#include "unicode.h"

typedef const unsigned char *place;

#define SET(class) (1u << (class))

enum {
  CAPITAL = SET(FT_U_UPPER) | SET(FT_U_LETTER) | SET(FT_U_MARK), /* o200k's first class */
  SMALL = SET(FT_U_LOWER) | SET(FT_U_LETTER) | SET(FT_U_MARK),   /* and its second */
  LETTERS = SET(FT_U_UPPER) | SET(FT_U_LOWER) | SET(FT_U_LETTER),
  BEFORE = SET(FT_U_OTHER) | SET(FT_U_MARK) | SET(FT_U_SPACE), /* what may stand before a word */
  SIGNS = SET(FT_U_OTHER) | SET(FT_U_MARK),
  BLANK = SET(FT_U_SPACE) | SET(FT_U_NEWLINE)
};

/* The end of the characters from p on that are of these classes */
static place run(place p, place end, unsigned set) {
  size_t n;
  for (;; p += n) {
    while (p < end && *p < 0x80 && SET(ft_unicode_ascii(*p)) & set)
      p++;
    if (p == end || *p < 0x80 || !(SET(ft_unicode_wide(p, end, &n)) & set))
      return p;
  }
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Past eight small letters of ASCII at a time. Long runs of them are text that is slow to merge. */
static place small_letters(place p, place end) {
  for (uint64_t x; end - p >= 8; p += 8) {
    memcpy(&x, p, 8);
    uint64_t from_a = (x | EACH(0x80)) - EACH('a'), beyond_z = x + EACH(0x7F - 'z');
    if ((from_a & ~beyond_z & ~x & EACH(0x80)) != EACH(0x80))
      break;
  }
  return p;
}

static int is_in(place p, place end, unsigned set) {
  size_t n;
  return p < end && SET(ft_unicode_at(p, end, &n)) & set;
}

/* Behind the contraction that begins at p, or p. U+017F is a small S too. */
static place contraction(place p, place end) {
  if (end - p < 2 || *p != '\'')
    return p;
  int a = p[1] | 0x20, b = end - p > 2 ? p[2] | 0x20 : 0;
  if (p[1] >= 0x80)
    return p[1] == 0xC5 && end - p > 2 && p[2] == 0xBF ? p + 3 : p;
  if (a == 's' || a == 't' || a == 'm' || a == 'd')
    return p + 2;
  if ((a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e'))
    return p + 3;
  return p;
}

static place number(place p, place end) {
  size_t n;
  for (int i = 0; i < 3 && p < end && ft_unicode_at(p, end, &n) == FT_U_NUMBER; i++)
    p += n;
  return p;
}

/* Signs with a space before them and line ends behind; p: there are none */
static place signs(place p, place end, int slash) {
  place from = *p == ' ' ? p + 1 : p, q = run(from, end, SIGNS);
  if (q == from)
    return p;
  while (q < end && (*q == '\r' || *q == '\n' || (slash && *q == '/')))
    q++;
  return q;
}

#define TABS_AND_SPACES (UINT64_C(1) << ' ' | UINT64_C(1) << '\t')

/* White space: to the end of its last line; or all of it, but for one before something else */
static place blanks(place p, place end) {
  place line = NULL, last = p, q = p;
  size_t n;
  for (; q < end; q += n) {
    if (*q <= ' ' && TABS_AND_SPACES >> *q & 1) { /* no branch tells them apart */
      last = q;
      n = 1;
      continue;
    }
    enum ft_unicode class = ft_unicode_at(q, end, &n);
    if (!(SET(class) & BLANK))
      break;
    if (class == FT_U_NEWLINE)
      line = q + n;
    last = q;
  }
  if (line != NULL)
    return line;
  return q < end && last > p ? last : q;
}

/* ---- cl100k_base ---- */

static place letters(place p, place end, enum ft_unicode first, size_t n) {
  if (SET(first) & LETTERS)
    return run(small_letters(p + n, end), end, LETTERS);
  return SET(first) & BEFORE && is_in(p + n, end, LETTERS) ? run(p + n, end, LETTERS) : p;
}

place ft_split_cl100k(place p, place end) {
  size_t n;
  place q = contraction(p, end);
  if (q > p)
    return q;
  enum ft_unicode first = ft_unicode_at(p, end, &n);
  if ((q = letters(p, end, first, n)) > p)
    return q;
  if (first == FT_U_NUMBER)
    return number(p, end);
  q = signs(p, end, 0);
  return q > p ? q : blanks(p, end);
}

/* ---- o200k_base ---- */

/* The word at p without anything before it; p: there is none. Capitals, then small letters, of
   which there must be one: letters without case and marks are both, so that where no small
   letter follows the capitals give back the last of those. *second: there was none to give
   back, so that only the second alternative matches. */
static place word(place p, place end, int *second) {
  place both = p, q = p;
  size_t n;
  *second = 0;
  for (; q < end; q += n) {
    enum ft_unicode class = ft_unicode_at(q, end, &n);
    if (class == FT_U_LOWER)
      return run(small_letters(q, end), end, SMALL);
    if (!(SET(class) & CAPITAL))
      break;
    if (class != FT_U_UPPER)
      both = q + n;
  }
  if (both > p)
    return both;
  *second = q > p;
  return q;
}

/* Both alternatives, with what may stand before the word and without it */
static place cased(place p, place end, enum ft_unicode first, size_t n) {
  int second;
  if (!(SET(first) & BEFORE))
    return SET(first) & LETTERS ? word(p, end, &second) : p;
  place q = word(p + n, end, &second);
  if (first == FT_U_MARK && (q == p + n || second))
    return word(p, end, &second); /* the mark is the word: the first alternative goes before */
  return q > p + n ? q : p;
}

place ft_split_o200k(place p, place end) {
  size_t n;
  enum ft_unicode first = ft_unicode_at(p, end, &n);
  place q = cased(p, end, first, n);
  if (q > p)
    return contraction(q, end);
  if (first == FT_U_NUMBER)
    return number(p, end);
  q = signs(p, end, 1);
  return q > p ? q : blanks(p, end);
}
