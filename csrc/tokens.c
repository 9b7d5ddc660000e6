#include "tokens.h"

#if defined(__SSE2__) && !defined(FT_PORTABLE)
#include <emmintrin.h>
#endif

enum { KEY_MAX = FT_CACHE_KEY - 1 };

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { LAST_BYTE = 0 };
#else
enum { LAST_BYTE = 56 };
#endif

#define COUNT (UINT64_C(0xF0) << LAST_BYTE)

/* A piece of at most KEY_MAX bytes, then zeros, then its length and, in the cache, its tokens */
typedef struct Key {
  uint64_t a, b;
} Key;

static Key make_key(const unsigned char *p, const unsigned char *end, size_t n) {
  Key k = {0, 0}, mask;
  if (end - p >= FT_CACHE_KEY)
    memcpy(&k, p, sizeof k);
  else
    memcpy(&k, p, n);
  memcpy(&mask, ft_vocab_ones + FT_CACHE_KEY - n, sizeof mask);
  k.a &= mask.a;
  k.b = (k.b & mask.b) | (uint64_t)n << LAST_BYTE;
  return k;
}

/* Does it end with a character of three bytes or four? There tokens have many bytes and few
   characters: it is merging that takes long. */
static int is_wide(const unsigned char *p, size_t n) {
  return p[n - 1] >= 0x80 && p[n - 2] < 0xC0;
}

static size_t piece_tokens(const ft_vocab *v, const unsigned char *p, size_t n,
                           const unsigned char *end) {
  if (ft_vocab_rank(v, p, n, end) != FT_NO_RANK)
    return 1;
  if (n <= 4)
    return ft_few_count(v, p, n, end);
  if (v->halves != NULL && is_wide(p, n))
    return ft_greedy_count(v, p, n, end);
  return ft_merge_count(v, p, n, end);
}

/* Where pieces of so many bytes are kept. There are few words of two, three or four bytes, and many
   of what else is so short: those have a small part of the cache, that they may push each other out
   of what is near, and not all else. */
static const struct {
  uint32_t from;
  uint8_t shift;
} kept[FT_CACHE_KEY] = {[2] = {0, 64 - 10},      [3] = {1024, 64 - 11},   [4] = {4096, 64 - 12},
                        [5] = {8192, 64 - 13},   [6] = {16384, 64 - 14},  [7] = {32768, 64 - 15},
                        [8] = {65536, 64 - 16},  [9] = {65536, 64 - 16},  [10] = {65536, 64 - 16},
                        [11] = {65536, 64 - 16}, [12] = {65536, 64 - 16}, [13] = {65536, 64 - 16},
                        [14] = {65536, 64 - 16}, [15] = {65536, 64 - 16}};

/* A short piece has at most as many tokens as bytes, so the count fits beside its length */
static size_t cached_tokens(const ft_vocab *v, const unsigned char *p, const unsigned char *end,
                            size_t n) {
  Key k = make_key(p, end, n), there;
  size_t i = kept[n].from + (size_t)(((k.a ^ k.b * FT_HASH_B) * FT_HASH_A) >> kept[n].shift);
  unsigned char *key = v->cache + i * FT_CACHE_KEY;
  memcpy(&there, key, sizeof there);
  uint64_t count = there.b ^ k.b;
  if ((there.a ^ k.a) != 0 || (count & ~COUNT) != 0) {
    count = (uint64_t)piece_tokens(v, p, n, end) << (LAST_BYTE + 4);
    k.b |= count;
    memcpy(key, &k, sizeof k);
  }
  return (size_t)(count >> (LAST_BYTE + 4) & 15);
}

#if defined(__SSE2__) && !defined(FT_PORTABLE)
static unsigned low_zeros(unsigned x) {
  return (unsigned)__builtin_ctz(x);
}

/* The length of the word of ASCII letters at p, with one character before it, if 16 bytes tell;
   0: they do not, or it is none. cased: a capital behind a small letter begins a new one. */
static size_t ascii_word(const unsigned char *p, int cased) {
  __m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
  __m128i small = _mm_or_si128(x, _mm_set1_epi8(0x20));
  __m128i from_a = _mm_add_epi8(small, _mm_set1_epi8((char)(-128 - 'a')));
  __m128i is_letter = _mm_cmplt_epi8(from_a, _mm_set1_epi8(-128 + 26));
  unsigned letter = (unsigned)_mm_movemask_epi8(is_letter);
  unsigned lower = letter & (unsigned)_mm_movemask_epi8(_mm_slli_epi16(x, 2));
  unsigned wide = (unsigned)_mm_movemask_epi8(x), n = !(letter & 1);
  if (n == 1 &&
      (!(letter & 2) || *p == '\n' || *p == '\r' || *p >= 0x80 || (unsigned)*p - '0' < 10))
    return 0;
  if (cased) {
    n += low_zeros(~((letter & ~lower) >> n));
    n += low_zeros(~(lower >> n));
  } else
    n += low_zeros(~(letter >> n));
  return n > KEY_MAX || wide >> n & 1 || p[n] == '\'' ? 0 : n;
}
#endif

static size_t next_piece(const unsigned char *p, const unsigned char *end, int cased) {
#if defined(__SSE2__) && !defined(FT_PORTABLE)
  if (end - p >= FT_CACHE_KEY && (cased || *p != '\'')) {
    size_t n = ascii_word(p, cased);
    if (n > 0)
      return n;
  }
#endif
  return (size_t)((cased ? ft_split_o200k(p, end) : ft_split_cl100k(p, end)) - p);
}

size_t ft_tokens_count(const ft_vocab *v, const char *s, size_t n) {
  const unsigned char *p = (const unsigned char *)s, *end = p + n;
  int cased = v->encoding == FT_O200K_BASE;
  size_t total = 0, piece;
  for (; p < end; p += piece) {
    piece = next_piece(p, end, cased);
    if (piece == 1)
      total++;
    else if (piece <= KEY_MAX)
      total += cached_tokens(v, p, end, piece);
    else
      total += piece_tokens(v, p, piece, end);
  }
  return total;
}
