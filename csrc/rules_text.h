/*
** rules_text.h: what the files of rules_text*.c share: how many bytes of a string, as it is
** written, are no characters of their own. Those are the continuation bytes of UTF-8 (1 each) and
** escapes: 1 each; a \u escape 4 more; a low surrogate, the second half of a character, 1 more. The
** bytes behind a backslash need no skipping, but for another backslash.
*/
#ifndef FT_RULES_TEXT_H
#define FT_RULES_TEXT_H

#include "check.h"

#include <string.h>

/* Of [p, end); sets *bar where there is a '|' */
typedef size_t ft_text_excess(const char *p, const char *end, int escaped, int *bar);

/* rules_text_x86.c: NULL where the machine has no such thing */
ft_text_excess *ft_text_sse2(void), *ft_text_avx2(void);

static inline size_t ft_text_is_low(const char *hex) { /* the second half of a surrogate pair? */
  return (hex[0] | 0x20) == 'd' && (hex[1] | 0x20) >= 'c';
}

/* Byte by byte; *from: where it stopped, at or behind `until`, for an escape is not cut */
static inline size_t ft_text_each(const char **from, const char *until, int *bar) {
  const char *p = *from;
  size_t excess = 0;
  for (; p < until; p++) {
    excess += ((unsigned char)*p & 0xC0) == 0x80;
    *bar |= *p == '|';
    if (*p != '\\')
      continue;
    excess++;
    if (*++p == 'u')
      excess += 4 + ft_text_is_low(p + 1);
  }
  *from = p;
  return excess;
}

#endif
