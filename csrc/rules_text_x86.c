/*
** rules_text_x86.c: rules_text.h with vectors. Both are compiled in; which one is used is the
** machine's matter.
*/
#include "rules_text.h"

#if defined __SSE2__ && defined __GNUC__

#include <immintrin.h>

enum { AHEAD = 3 }; /* bytes behind a block that are looked at, too */

#define WIDE 16
#define NAME(name) name##_sse2
#define VECTOR __m128i
#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define ALL(c) _mm_set1_epi8(c)
#define EQUAL(a, c) _mm_cmpeq_epi8(a, _mm_set1_epi8(c))
#define GREATER(a, b) _mm_cmpgt_epi8(a, b)
#define AND(a, b) _mm_and_si128(a, b)
#define OR(a, b) _mm_or_si128(a, b)
#define ADD(a, b) _mm_add_epi8(a, b)
#define SUB(a, b) _mm_sub_epi8(a, b)
#define MASK(a) _mm_movemask_epi8(a)
#define SUM(a) sum_sse2(a)

static size_t sum_sse2(__m128i lanes) {
  __m128i two = _mm_sad_epu8(lanes, _mm_setzero_si128());
  return (size_t)_mm_cvtsi128_si32(two) + (size_t)_mm_cvtsi128_si32(_mm_srli_si128(two, 8));
}

#include "rules_text_wide.h"

#undef WIDE
#undef NAME
#undef VECTOR
#undef LOAD
#undef ALL
#undef EQUAL
#undef GREATER
#undef AND
#undef OR
#undef ADD
#undef SUB
#undef MASK
#undef SUM

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define WIDE 32
#define NAME(name) name##_avx2
#define VECTOR __m256i
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ALL(c) _mm256_set1_epi8(c)
#define EQUAL(a, c) _mm256_cmpeq_epi8(a, _mm256_set1_epi8(c))
#define GREATER(a, b) _mm256_cmpgt_epi8(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define ADD(a, b) _mm256_add_epi8(a, b)
#define SUB(a, b) _mm256_sub_epi8(a, b)
#define MASK(a) _mm256_movemask_epi8(a)
#define SUM(a) sum_avx2(a)

static size_t sum_avx2(__m256i lanes) {
  __m256i four = _mm256_sad_epu8(lanes, _mm256_setzero_si256());
  __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
  return (size_t)_mm_cvtsi128_si32(two) + (size_t)_mm_cvtsi128_si32(_mm_srli_si128(two, 8));
}

#include "rules_text_wide.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

ft_text_excess *ft_text_sse2(void) {
  return excess_sse2;
}

ft_text_excess *ft_text_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") ? excess_avx2 : NULL;
}

#else

ft_text_excess *ft_text_sse2(void) {
  return NULL;
}

ft_text_excess *ft_text_avx2(void) {
  return NULL;
}

#endif
