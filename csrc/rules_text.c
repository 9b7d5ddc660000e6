/*
** rules_text.c: special tokens, <|word|>, in what a text means.
*/
#include "check.h"

#include <string.h>

/* Escapes of < and > end in these letters, those of others too: it is only asked whether a closer
   look is worth it. A token whose bars are both written as escapes is not among them. */
int ft_text_may_be_special(const char *s, size_t n) {
  const char *end = s + n;
  for (const char *p = s; (p = memchr(p, '|', (size_t)(end - p))) != NULL; p++) {
    if (p > s && (p[-1] == '<' || (p[-1] | 0x20) == 'c'))
      return 1;
    if (end - p > 1 && (p[1] == '>' || p[1] == '\\'))
      return 1;
  }
  return 0;
}

static int token_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

enum { TOKEN_MAX = 64 };

/* How many bytes the token at s has; 0: there is none */
static size_t token_bytes(const char *s, size_t n) {
  size_t i = 2;
  if (n < 5 || s[1] != '|')
    return 0;
  while (i < n && i < TOKEN_MAX && token_letter(s[i]))
    i++;
  return i > 2 && n - i >= 2 && s[i] == '|' && s[i + 1] == '>' ? i + 2 : 0;
}

int ft_text_special(const char *s, size_t n, size_t *at, size_t *len) {
  const char *end = s + n;
  for (const char *p = s; (p = memchr(p, '<', (size_t)(end - p))) != NULL; p++) {
    *len = token_bytes(p, (size_t)(end - p));
    *at = (size_t)(p - s);
    if (*len > 0)
      return 1;
  }
  return 0;
}
