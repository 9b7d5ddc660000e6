#include "sha256.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(FT_PORTABLE)
#define HAVE_SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

static uint32_t big_endian(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void schedule(uint32_t w[64], const unsigned char *p) {
  for (int i = 0; i < 16; i++)
    w[i] = big_endian(p + 4 * i);
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    uint32_t s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
    uint32_t s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
}

/* `in` is of the message and K. Of the eight words two change; the caller turns their names round,
   so that none is moved. */
static inline void one_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                             uint32_t f, uint32_t g, uint32_t *h, uint32_t in) {
  uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
  uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
  uint32_t t = *h + s1 + (g ^ (e & (f ^ g))) + in;
  *d += t;
  *h = t + s0 + ((a & b) | (c & (a | b)));
}

static void add_block(uint32_t v[8], const uint32_t w[64]) {
  uint32_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
  for (int i = 0; i < 64; i += 8) {
    one_round(a, b, c, &d, e, f, g, &h, K[i] + w[i]);
    one_round(h, a, b, &c, d, e, f, &g, K[i + 1] + w[i + 1]);
    one_round(g, h, a, &b, c, d, e, &f, K[i + 2] + w[i + 2]);
    one_round(f, g, h, &a, b, c, d, &e, K[i + 3] + w[i + 3]);
    one_round(e, f, g, &h, a, b, c, &d, K[i + 4] + w[i + 4]);
    one_round(d, e, f, &g, h, a, b, &c, K[i + 5] + w[i + 5]);
    one_round(c, d, e, &f, g, h, a, &b, K[i + 6] + w[i + 6]);
    one_round(b, c, d, &e, f, g, h, &a, K[i + 7] + w[i + 7]);
  }
  v[0] += a, v[1] += b, v[2] += c, v[3] += d;
  v[4] += e, v[5] += f, v[6] += g, v[7] += h;
}

static void blocks_portable(uint32_t h[8], const unsigned char *p, size_t count) {
  uint32_t w[64];
  for (; count > 0; count--, p += 64) {
    schedule(w, p);
    add_block(h, w);
  }
}

#ifdef HAVE_SHA_NI
/* The instructions take the state as the words ABEF and CDGH, and do two rounds each. */
__attribute__((target("sha,sse4.1,ssse3"))) static void
blocks_sha_ni(uint32_t h[8], const unsigned char *p, size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef = _mm_set_epi32((int)h[0], (int)h[1], (int)h[4], (int)h[5]);
  __m128i cdgh = _mm_set_epi32((int)h[2], (int)h[3], (int)h[6], (int)h[7]);
  for (; count > 0; count--, p += 64) {
    __m128i old_abef = abef, old_cdgh = cdgh, w[4];
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)), swap);
    for (int i = 0; i < 16; i++) {
      const __m128i *k = (const __m128i *)(const void *)&K[4 * i];
      __m128i wk = _mm_add_epi32(w[i & 3], _mm_loadu_si128(k));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0E));
      if (i < 12) { /* the words four steps on */
        __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
        next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
        w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
      }
    }
    abef = _mm_add_epi32(abef, old_abef);
    cdgh = _mm_add_epi32(cdgh, old_cdgh);
  }
  uint32_t out[8];
  _mm_storeu_si128((__m128i *)(void *)out, abef);
  _mm_storeu_si128((__m128i *)(void *)(out + 4), cdgh);
  h[0] = out[3], h[1] = out[2], h[4] = out[1], h[5] = out[0];
  h[2] = out[7], h[3] = out[6], h[6] = out[5], h[7] = out[4];
}

static int has_sha_ni(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 19) || !(c & 1u << 9)) /* SSE4.1, SSSE3 */
    return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) != 0;
}
#endif

static void add_blocks(ft_sha256 *s, const unsigned char *p, size_t count) {
#ifdef HAVE_SHA_NI
  if (s->fast) {
    blocks_sha_ni(s->h, p, count);
    return;
  }
#endif
  blocks_portable(s->h, p, count);
}

void ft_sha256_begin(ft_sha256 *s) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->h, start, sizeof start);
  s->n = 0;
#ifdef HAVE_SHA_NI
  s->fast = has_sha_ni();
#else
  s->fast = 0;
#endif
}

void ft_sha256_add(ft_sha256 *s, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  size_t held = (size_t)(s->n % 64), take = 64 - held < n ? 64 - held : n;
  if (n == 0)
    return;
  s->n += n;
  if (held > 0) {
    memcpy(s->rest + held, p, take);
    if (held + take < 64)
      return;
    add_blocks(s, s->rest, 1);
    p += take;
    n -= take;
  }
  add_blocks(s, p, n / 64);
  memcpy(s->rest, p + n / 64 * 64, n % 64);
}

void ft_sha256_end(ft_sha256 *s, char hex[65]) {
  static const unsigned char pad[64] = {0x80};
  unsigned char length[8];
  uint64_t bits = s->n * 8;
  for (int i = 0; i < 8; i++)
    length[i] = (unsigned char)(bits >> (56 - 8 * i));
  ft_sha256_add(s, pad, 64 - (size_t)((s->n + 8) % 64));
  ft_sha256_add(s, length, 8);
  for (int i = 0; i < 64; i++) {
    uint32_t digit = s->h[i / 8] >> (28 - 4 * (i % 8)) & 15;
    hex[i] = "0123456789abcdef"[digit];
  }
  hex[64] = '\0';
}
