#include "unicode.h"

static inline enum ft_unicode class_in_table(uint32_t c) {
  return (enum ft_unicode)(ft_unicode_blocks[ft_unicode_index[c >> 6]][c & 63] & 7);
}

static enum ft_unicode class_of(uint32_t c) {
  if (c < FT_UNICODE_END)
    return class_in_table(c);
  if (c >= 0xE0100 && c <= 0xE01EF) /* variation selectors */
    return FT_U_MARK;
  for (int i = 0; ft_unicode_letters[i][1] != 0; i++)
    if (c <= ft_unicode_letters[i][1])
      return c >= ft_unicode_letters[i][0] ? FT_U_LETTER : FT_U_OTHER;
  return FT_U_OTHER;
}

/* The bytes that follow a lead byte, its own bits, and the least code point of that length */
static int lead(unsigned char c, uint32_t *bits, uint32_t *least) {
  if (c >= 0xC2 && c <= 0xDF)
    return *bits = c & 0x1F, *least = 0x80, 1;
  if (c >= 0xE0 && c <= 0xEF)
    return *bits = c & 0x0F, *least = 0x800, 2;
  if (c >= 0xF0 && c <= 0xF4)
    return *bits = c & 0x07, *least = 0x10000, 3;
  return 0;
}

static enum ft_unicode any(const unsigned char *p, const unsigned char *end, size_t *n) {
  uint32_t c, least;
  int more = lead(*p, &c, &least);
  *n = 1;
  if (more == 0 || end - p <= more)
    return FT_U_OTHER;
  for (int i = 1; i <= more; i++) {
    if ((p[i] & 0xC0) != 0x80)
      return FT_U_OTHER;
    c = c << 6 | (p[i] & 0x3F);
  }
  if (c < least || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    return FT_U_OTHER;
  *n = (size_t)more + 1;
  return class_of(c);
}

/* What most of it is, of two bytes or of three, goes first */
enum ft_unicode ft_unicode_wide(const unsigned char *p, const unsigned char *end, size_t *n) {
  if (end - p < 3 || (p[1] & 0xC0) != 0x80)
    return any(p, end, n);
  if (*p >= 0xC2 && *p <= 0xDF)
    return *n = 2, class_in_table((*p & 0x1Fu) << 6 | (p[1] & 0x3Fu));
  if (*p >= 0xE1 && *p <= 0xEC && (p[2] & 0xC0) == 0x80)
    return *n = 3, class_in_table((*p & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu));
  return any(p, end, n);
}
