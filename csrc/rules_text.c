/*
** rules_text.c: what is asked of the bytes of a text: its characters, eight bytes at a time where
** the machine has no vectors (rules_text_x86.c), and special tokens.
*/
#include "rules_text.h"

/* ---- characters ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* not 0 where a byte of w is `byte` */
static inline uint64_t has(uint64_t w, int byte) {
  w ^= EACH((uint64_t)byte);
  return (w - EACH(1)) & ~w & EACH(0x80);
}

/* Over the next escape, which is near */
static inline const char *over_escape(const char *p, size_t *excess) {
  for (; *p != '\\'; p++)
    *excess += ((unsigned char)*p & 0xC0) == 0x80;
  if (p[1] != 'u')
    return ++*excess, p + 2;
  *excess += 5 + ft_text_is_low(p + 2);
  return p + 6;
}

static size_t portable(const char *p, const char *end, int escaped, int *bar) {
  size_t excess = 0;
  *bar |= memchr(p, '|', (size_t)(end - p)) != NULL;
  for (uint64_t w; end - p >= (ptrdiff_t)sizeof w;) {
    memcpy(&w, p, sizeof w);
    if (escaped && has(w, '\\')) {
      p = over_escape(p, &excess);
      continue;
    }
    if (w & EACH(0x80)) {
      w = (w >> 7) & ~(w >> 6) & EACH(1);
      excess += (size_t)((w * EACH(1)) >> 56);
    }
    p += sizeof w;
  }
  return excess + ft_text_each(&p, end, bar);
}

static ft_text_excess *chosen; /* NULL until the first use */

static ft_text_excess *variant_of(int variant) {
  return variant == FT_SCAN_AVX2   ? ft_text_avx2()
         : variant == FT_SCAN_SSE2 ? ft_text_sse2()
                                   : portable;
}

static ft_text_excess *best(void) {
  ft_text_excess *excess = ft_text_avx2();
  if (excess == NULL)
    excess = ft_text_sse2();
  return excess != NULL ? excess : portable;
}

int ft_text_use(int variant) {
  ft_text_excess *excess = variant == FT_SCAN_BEST ? best() : variant_of(variant);
  if (excess != NULL)
    __atomic_store_n(&chosen, excess, __ATOMIC_RELAXED);
  return excess != NULL;
}

size_t ft_text_measure(const char *s, size_t n, int escaped, int *bar) {
  ft_text_excess *excess = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (excess == NULL) {
    excess = best();
    __atomic_store_n(&chosen, excess, __ATOMIC_RELAXED);
  }
  *bar = 0;
  return n - excess(s, s + n, escaped, bar);
}

/* ---- special tokens: <|word|>, where < and > may be written \u003c and \u003e ---- */

static int token_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

/* is [s, s + n) `\u003c` (last: 'c') or `\u003e` ('e')? */
static int is_escape(const char *s, char last) {
  return memcmp(s, "\\u003", 5) == 0 && (s[5] | 0x20) == last;
}

enum { TOKEN_MAX = 64, ESCAPE = 6 };

/* The token whose first bar is at s + i: how many bytes it has behind that bar, 0: none */
static size_t token_end(const char *s, size_t n, size_t i) {
  size_t j = i + 1;
  while (j < n && j - i <= TOKEN_MAX && token_letter(s[j]))
    j++;
  if (j == i + 1 || j >= n || s[j] != '|')
    return 0;
  if (j + 1 < n && s[j + 1] == '>')
    return j + 2;
  return n - j > ESCAPE && is_escape(s + j + 1, 'e') ? j + 1 + ESCAPE : 0;
}

int ft_text_special(const char *s, size_t n, size_t *at, size_t *len) {
  for (size_t i = 0; i < n; i++) {
    const char *p = memchr(s + i, '|', n - i);
    if (p == NULL)
      return 0;
    i = (size_t)(p - s);
    size_t before = i >= 1 && s[i - 1] == '<'                       ? 1
                    : i >= ESCAPE && is_escape(s + i - ESCAPE, 'c') ? ESCAPE
                                                                    : 0;
    size_t end = before > 0 ? token_end(s, n, i) : 0;
    if (end > 0) {
      *at = i - before;
      *len = end - *at;
      return 1;
    }
  }
  return 0;
}
