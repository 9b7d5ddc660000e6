/*
** scan_avx2.c: the scanner with AVX2, which is compiled in everywhere and used where the
** processor has it.
*/
#include "scan_each.h"

#ifdef FT_SCAN_X86
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,popcnt"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,popcnt")
#endif
#include <immintrin.h>

static inline __m256i load(const uint8_t *p) {
  return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline __m256i row(int i) {
  return _mm256_load_si256((const __m256i *)(const void *)ft_scan_each[i]);
}

static inline uint32_t bits(__m256i v) {
  return (uint32_t)_mm256_movemask_epi8(v);
}

static inline Block block(const uint8_t *p) {
  __m256i v = load(p), backslash = _mm256_cmpeq_epi8(v, row(FT_EACH_BACKSLASH));
  __m256i other = _mm256_cmpgt_epi8(row(FT_EACH_ABOVE), _mm256_xor_si256(v, row(FT_EACH_TWO)));
  Block b = {bits(other), bits(backslash)};
  return b;
}

static inline uint32_t beyond(const uint8_t *p) {
  return bits(load(p));
}

enum { NEAR = 32 };

static inline uint32_t near_odd(const uint8_t *p) {
  Block b = block(p);
  return b.other | b.backslash;
}

static inline __m256i high_nibbles(__m256i v) {
  return _mm256_and_si256(_mm256_srli_epi16(v, 4), row(FT_EACH_NIBBLE));
}

/* where a byte of v is above 0, signed, with only the bits of a row */
static inline uint32_t have(__m256i v, int i) {
  return bits(_mm256_cmpgt_epi8(_mm256_and_si256(v, row(i)), _mm256_setzero_si256()));
}

static inline size_t ones(uint32_t bits) {
  return (size_t)__builtin_popcount(bits);
}

static inline uint32_t continuations(const uint8_t *p) {
  return bits(_mm256_cmpgt_epi8(row(FT_EACH_LEAD), load(p)));
}

static inline __m256i sets(__m256i v) {
  return _mm256_and_si256(_mm256_shuffle_epi8(row(FT_SET_BY_HIGH), high_nibbles(v)),
                          _mm256_shuffle_epi8(row(FT_SET_BY_LOW), v));
}

static inline uint32_t second(const uint8_t *p) {
  return bits(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(row(FT_EACH_SECOND), load(p)), load(p)));
}

static inline uint32_t equal(__m256i v, int i) {
  return bits(_mm256_cmpeq_epi8(v, row(i)));
}

/* where 007c begins */
static inline uint32_t bar_digits(__m256i v) {
  uint32_t zero = equal(v, FT_EACH_ZERO);
  return zero & zero >> 1 & equal(v, FT_EACH_SEVEN) >> 2 &
         equal(_mm256_or_si256(v, row(FT_EACH_CASE)), FT_EACH_C) >> 3;
}

static inline Escapes escapes(const uint8_t *p, Block b) {
  __m256i v = sets(load(p));
  uint32_t d = bits(_mm256_add_epi8(v, v)); /* FT_SET_D becomes the top bit */
  return ft_scan_escapes(b.backslash, have(v, FT_EACH_SIMPLE), bits(v), have(v, FT_EACH_HEX), d,
                         bar_digits(load(p)));
}

/* The bytes before which a lead byte of three or four tells of them, as TWO of scan_each.c */
static inline __m256i continued(const uint8_t *p) {
  __m256i third = _mm256_subs_epu8(load(p - 2), row(FT_EACH_THIRD));
  __m256i fourth = _mm256_subs_epu8(load(p - 3), row(FT_EACH_FOURTH));
  return _mm256_and_si256(_mm256_or_si256(third, fourth), row(FT_EACH_TOP));
}

static inline int checked(const uint8_t *p) {
  __m256i first = load(p - 1), low = _mm256_and_si256(first, row(FT_EACH_NIBBLE));
  __m256i wrong =
      _mm256_and_si256(_mm256_shuffle_epi8(row(FT_UTF8_FIRST_HIGH), high_nibbles(first)),
                       _mm256_shuffle_epi8(row(FT_UTF8_FIRST_LOW), low));
  wrong =
      _mm256_and_si256(wrong, _mm256_shuffle_epi8(row(FT_UTF8_SECOND_HIGH), high_nibbles(load(p))));
  wrong = _mm256_xor_si256(wrong, continued(p));
  return _mm256_testz_si256(wrong, wrong);
}

#include "scan_block.h"

#include "scan_body.h"

ft_scanner *ft_scan_avx2(void) {
  __builtin_cpu_init();
  int has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
            __builtin_cpu_supports("popcnt");
  return has ? scan : NULL;
}
#ifdef __clang__
#pragma clang attribute pop
#endif
#else
ft_scanner *ft_scan_avx2(void) {
  return NULL;
}
#endif
