/*
** reader_bytes.h: over the bytes of a string that need no look: sixteen at a time where the
** processor can (SSE2, which every x86-64 has), else eight. FT_PORTABLE: eight everywhere.
*/
#ifndef FT_READER_BYTES_H
#define FT_READER_BYTES_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(FT_PORTABLE)
#include <emmintrin.h>
#endif

/* a quote, a backslash or a control character */
static inline int ft_byte_special(char c) {
  return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

/* The first of those in [p, end), or end */
static inline const char *ft_skip_plain(const char *p, const char *end) {
#if defined(__SSE2__) && !defined(FT_PORTABLE)
  const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
  const __m128i control = _mm_set1_epi8(0x1F);
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
    int mask = _mm_movemask_epi8(hit);
    if (mask != 0)
      return p + __builtin_ctz((unsigned)mask);
  }
#else
  const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
  for (uint64_t w; end - p >= 8; p += 8) {
    memcpy(&w, p, 8);
    uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
    if ((((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) &
        high)
      break;
  }
#endif
  while (p < end && !ft_byte_special(*p))
    p++;
  return p;
}

#endif
