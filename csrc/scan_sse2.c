/*
** scan_sse2.c: the scanner with what every x86-64 has.
*/
#include "scan_each.h"

#ifdef FT_SCAN_X86
#include <emmintrin.h>

static inline __m128i load(const uint8_t *p) {
  return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline __m128i row(int i) {
  return _mm_load_si128((const __m128i *)(const void *)ft_scan_each[i]);
}

static inline uint32_t bits(__m128i low, __m128i high) {
  return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}

/* a quote, a control character, beyond ASCII */
static inline __m128i other(__m128i v) {
  return _mm_cmpgt_epi8(row(FT_EACH_ABOVE), _mm_xor_si128(v, row(FT_EACH_TWO)));
}

static inline Block block(const uint8_t *p) {
  __m128i v = load(p), w = load(p + 16);
  __m128i a = _mm_cmpeq_epi8(v, row(FT_EACH_BACKSLASH));
  __m128i b = _mm_cmpeq_epi8(w, row(FT_EACH_BACKSLASH));
  Block found = {bits(other(v), other(w)), bits(a, b)};
  return found;
}

static inline uint32_t beyond(const uint8_t *p) {
  return bits(load(p), load(p + 16));
}

enum { NEAR = 16 };

static inline uint32_t near_odd(const uint8_t *p) {
  __m128i v = load(p), backslash = _mm_cmpeq_epi8(v, row(FT_EACH_BACKSLASH));
  return (uint32_t)_mm_movemask_epi8(_mm_or_si128(backslash, other(v)));
}

static inline __m128i equal(__m128i v, char c) {
  return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline __m128i lower(__m128i v) {
  return _mm_or_si128(v, _mm_set1_epi8(0x20));
}

/* of its 16 numbers, those that are at most n, unsigned */
static inline __m128i at_most(__m128i v, char n) {
  return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(n)), v);
}

static inline __m128i hex(__m128i v) {
  return _mm_or_si128(at_most(_mm_sub_epi8(v, _mm_set1_epi8('0')), 9),
                      at_most(_mm_sub_epi8(lower(v), _mm_set1_epi8('a')), 5));
}

/* Only of the most frequent: line breaks and quotes */
static inline uint32_t second(const uint8_t *p) {
  __m128i v = load(p), w = load(p + 16);
  return bits(_mm_or_si128(equal(v, 'n'), equal(v, '"')),
              _mm_or_si128(equal(w, 'n'), equal(w, '"')));
}

/* where 007c begins */
static inline uint32_t bar_digits(__m128i v, __m128i w) {
  uint32_t zero = bits(equal(v, '0'), equal(w, '0'));
  return zero & zero >> 1 & bits(equal(v, '7'), equal(w, '7')) >> 2 &
         bits(equal(lower(v), 'c'), equal(lower(w), 'c')) >> 3;
}

static inline Escapes escapes(const uint8_t *p, Block b) {
  __m128i v = load(p), w = load(p + 16);
  uint32_t u = bits(equal(v, 'u'), equal(w, 'u'));
  if ((b.backslash & u >> 1) == 0)
    return ft_scan_escapes(b.backslash, second(p), 0, 0, 0, 0);
  return ft_scan_escapes(b.backslash, second(p), u, bits(hex(v), hex(w)),
                         bits(equal(lower(v), 'd'), equal(lower(w), 'd')), bar_digits(v, w));
}

/* There is no instruction for it: by pairs, by nibbles, by bytes */
static inline size_t ones(uint32_t bits) {
  bits -= bits >> 1 & 0x55555555;
  bits = (bits & 0x33333333) + (bits >> 2 & 0x33333333);
  return ((bits + (bits >> 4)) & 0x0F0F0F0F) * UINT32_C(0x01010101) >> 24;
}

/* ---- UTF-8 ---- */

static inline uint32_t continuations(const uint8_t *p) {
  return bits(_mm_cmplt_epi8(load(p), row(FT_EACH_LEAD)),
              _mm_cmplt_epi8(load(p + 16), row(FT_EACH_LEAD)));
}

static inline __m128i below(__m128i v, int c) { /* of continuations: signed as well as unsigned */
  return _mm_cmplt_epi8(v, _mm_set1_epi8((char)c));
}

static inline __m128i above(__m128i v, int c) { /* unsigned: not 0 where it is */
  return _mm_subs_epu8(v, _mm_set1_epi8((char)c));
}

/* Continuations stand where the lead bytes before tell, and nowhere else: all ones */
static inline __m128i in_place(const uint8_t *p, __m128i v) {
  __m128i wanted = _mm_or_si128(_mm_or_si128(above(load(p - 1), 0xBF), above(load(p - 2), 0xDF)),
                                above(load(p - 3), 0xEF));
  return _mm_xor_si128(_mm_cmpeq_epi8(wanted, _mm_setzero_si128()), below(v, 0xC0));
}

/* What stands in place and is wrong for another reason: not 0. `v`: behind the bytes `lead` */
static inline __m128i forbidden(__m128i lead, __m128i v) {
  __m128i a0 = below(v, 0xA0), b90 = below(v, 0x90);
  __m128i over = _mm_or_si128(_mm_and_si128(equal(lead, (char)0xE0), a0),
                              _mm_and_si128(equal(lead, (char)0xF0), b90));
  __m128i surrogate = _mm_andnot_si128(a0, equal(lead, (char)0xED));
  __m128i large = _mm_andnot_si128(b90, equal(lead, (char)0xF4));
  __m128i never = _mm_or_si128(equal(_mm_and_si128(v, _mm_set1_epi8((char)0xFE)), (char)0xC0),
                               above(v, 0xF4)); /* C0, C1, F5..FF */
  return _mm_or_si128(_mm_or_si128(over, never), _mm_or_si128(surrogate, large));
}

static inline int checked_half(const uint8_t *p) {
  __m128i v = load(p);
  __m128i good = _mm_cmpeq_epi8(forbidden(load(p - 1), v), _mm_setzero_si128());
  return _mm_movemask_epi8(_mm_and_si128(good, in_place(p, v))) == 0xFFFF;
}

static inline int checked(const uint8_t *p) {
  return checked_half(p) && checked_half(p + 16);
}

#include "scan_block.h"

#include "scan_body.h"

ft_scanner *ft_scan_sse2(void) {
  return scan;
}
#else
ft_scanner *ft_scan_sse2(void) {
  return NULL;
}
#endif
