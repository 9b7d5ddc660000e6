/*
** rules_text.c: special tokens, <|word|>, where < and > may be written \u003c and \u003e.
*/
#include "check.h"

#include <string.h>

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
