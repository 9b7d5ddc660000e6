/*
** vocab.h: the vocabulary of a tokenizer, from a .tiktoken file: a line "base64 rank" for each
** token. Every byte of such a file is taken to be hostile. It is read in slices, so that a host
** stays alive, and a file that is not taken whole is not taken at all. No Lua.
**
** The rank of a token is how early it is merged: see tokens.h.
*/
#ifndef FT_VOCAB_H
#define FT_VOCAB_H

#include "buf.h"
#include "sha256.h"

#include <stdint.h>
#include <string.h>

enum ft_encoding { FT_ENCODING_NONE, FT_CL100K_BASE, FT_O200K_BASE };

enum ft_encoding ft_encoding_find(const char *name);
const char *ft_encoding_name(enum ft_encoding e);   /* NULL for NONE */
const char *ft_encoding_sha256(enum ft_encoding e); /* of its file, as OpenAI publishes it */

enum {
  FT_TOKEN_MAX = 255,               /* bytes of a token; the longest of OpenAI's has 128 */
  FT_VOCAB_TOKENS = 1 << 20,        /* in a vocabulary */
  FT_VOCAB_RANK = (1 << 21) - 2,    /* the greatest rank */
  FT_VOCAB_FILE = 64 * 1024 * 1024, /* bytes of a file */
  FT_VOCAB_POOL = 1 << 24,          /* bytes of all tokens, and 1 more for each */
  FT_VOCAB_WORDS = 512,
  FT_VOCAB_SLICE = 32 * 1024, /* bytes read at a time: about 0.4 ms */
  /* for counting: pieces whose number of tokens is known, and space to merge in */
  FT_CACHE_BITS = 17,
  FT_CACHE_KEY = 16, /* bytes: a piece of at most 15, zeros, its length and its tokens */
  FT_CACHE_BYTES = FT_CACHE_KEY << FT_CACHE_BITS,
  FT_MERGE_MAX = 4096, /* bytes merged in one go */
  FT_SCRATCH_BYTES = FT_MERGE_MAX * 40,
  /* of the hints */
  FT_FILTER_BITS = 19, /* for each length from 3 to 8 bytes, and twice for all others */
  FT_FILTERS = 8,
  FT_PAIR_BITS = 16,
  FT_PAIR_BYTES = 8 << FT_PAIR_BITS,
  FT_RANKED_BITS = 13,
  FT_RANKED_BYTES = 16 << FT_RANKED_BITS,
  FT_NEAR_BITS = 16,
  FT_NEAR_BYTES = 8 << FT_NEAR_BITS,
  FT_SHORT_BITS = 18,
  FT_LONG_BITS = 16,
  FT_SHORT = 4, /* bytes that tokens begin with: of those at least as long, ... */
  FT_LONG = 8,  /* ... and of those that are longer */
  FT_SHORT_TOP = FT_LONG - FT_SHORT + 1,
  FT_LONG_TOP = 15
};

/* Greater than any rank, as a signed number too; and of equal bytes, for memset() */
#define FT_NO_RANK UINT32_C(0x7F7F7F7F)

enum ft_vocab_state { FT_VOCAB_MORE, FT_VOCAB_READY, FT_VOCAB_FAILED };

/* Of two bytes: their rank, if they are a token, and the least rank of all tokens that begin with
   them, and that end with them. Of a vocabulary that is not known: of all that have them anywhere.
 */
typedef struct ft_pair {
  uint32_t rank, begins, ends;
} ft_pair;

/* What is small enough for a near cache and spares most of the look-ups in a far one. Of the tokens
   that begin with these FT_SHORT or FT_LONG bytes, which lengths there may be, a bit for each: in
   `shorts` FT_SHORT to FT_LONG bytes and then all that are longer, in `longs` FT_LONG + 1 and so
   on; its last bit is for all that are longer still. */
typedef struct ft_hints {
  ft_pair pairs[1 << 16];                             /* of two bytes */
  uint64_t filter[FT_FILTERS << FT_FILTER_BITS >> 6]; /* bits: a token may have this hash */
  uint8_t shorts[1 << FT_SHORT_BITS];
  uint16_t longs[1 << FT_LONG_BITS];
} ft_hints;

/* Of 2 to 8 bytes that two tokens of text of few characters made: their rank, or FT_NO_RANK */
typedef struct ft_ranked {
  uint64_t word;
  uint32_t n, rank;
} ft_ranked;

/* A table from the bytes of tokens to ranks: open addressing, behind hints. */
typedef struct ft_vocab {
  enum ft_encoding encoding; /* how text is cut: tokens_split.c */
  int known;                 /* it is OpenAI's own file, by its SHA-256 */
  enum ft_vocab_state state;
  uint32_t count, longest; /* tokens; bytes of the longest */
  uint32_t mask;           /* slots - 1 */
  ft_hints *hints;
  uint64_t *slots;      /* 0: free, or rank (21 bits), 19 of the hash, where in `pool` and 1 (24) */
  uint32_t single[256]; /* of one byte -> rank */
  ft_buf pool;          /* of each token: length (1), bytes */
  /* what only loading needs */
  ft_buf line, ranks; /* a line that is cut in two; a bit for each rank that is taken */
  ft_sha256 sha;
  enum ft_encoding wanted;
  int fd;
  uint64_t read, size;
  uint32_t lines;
  char words[FT_VOCAB_WORDS]; /* why it failed */
  /* what only counting needs */
  unsigned char *cache; /* tokens.c */
  uint64_t *halves;     /* tokens_greedy.c: of a token, which two make it; NULL where not known */
  ft_ranked *ranked;    /* tokens_small.c */
  uint64_t *joined;     /* tokens_small.c: of two tokens, which one they make */
  uint64_t *near;       /* of tokens of 3 to 5 bytes, which were looked for: bytes, n, rank */
  void *scratch;
  lua_Alloc alloc;
  void *ud;
} ft_vocab;

/* To be filled by ft_vocab_open() and _advance(), or _add() and _end(). `like`: whose rules cut
   text into pieces. checked: the file must be OpenAI's own of that encoding. */
void ft_vocab_init(ft_vocab *v, enum ft_encoding like, int checked, lua_Alloc alloc, void *ud);
void ft_vocab_free(ft_vocab *v); /* idempotent */

enum ft_vocab_state ft_vocab_open(ft_vocab *v, const char *path);
enum ft_vocab_state ft_vocab_advance(ft_vocab *v, double seconds); /* about so long */
enum ft_vocab_state ft_vocab_add(ft_vocab *v, const char *bytes, size_t n);
enum ft_vocab_state ft_vocab_end(ft_vocab *v);

/* ---- look-up, for tokens*.c ---- */

#define FT_HASH_A UINT64_C(0x9E3779B97F4A7C15)
#define FT_HASH_B UINT64_C(0xC2B2AE3D27D4EB4F)

extern const unsigned char ft_vocab_ones[32]; /* 16 bytes 255, then 16 bytes 0 */

/* The first n bytes of 8, then zeros. n <= 8 */
static inline uint64_t ft_vocab_first(uint64_t word, size_t n) {
  uint64_t mask;
  memcpy(&mask, ft_vocab_ones + 16 - n, 8);
  return word & mask;
}

uint64_t ft_vocab_word_end(const unsigned char *s, const unsigned char *end); /* of 0 to 7 bytes */

/* The 8 bytes at s, with zeros for what lies behind `end` */
static inline uint64_t ft_vocab_word(const unsigned char *s, const unsigned char *end) {
  uint64_t word;
  if (end - s < 8)
    return ft_vocab_word_end(s, end);
  memcpy(&word, s, 8);
  return word;
}

static inline uint64_t ft_vocab_mix(uint64_t h, uint64_t word) {
  h ^= word;
  return (h ^ h >> 29) * FT_HASH_A;
}

/* The hash of n bytes is of their words; the last, of 1 to 8 bytes, goes with the length */
static inline uint64_t ft_vocab_last(uint64_t h, uint64_t word, size_t n) {
  return ft_vocab_mix(h ^ (uint64_t)n * FT_HASH_B, word);
}

/* Of 8 bytes or less, which are a word */
static inline uint64_t ft_vocab_hash_short(uint64_t word, size_t n) {
  return ft_vocab_last(0, word, n);
}

/* Of more. The last word is the last 8 bytes, so that nothing is read behind them. */
static inline uint64_t ft_vocab_hash_long(const unsigned char *s, size_t n) {
  const unsigned char *last = s + n - 8;
  uint64_t h = 0, word;
  for (; s < last; s += 8) {
    memcpy(&word, s, 8);
    h = ft_vocab_mix(h, word);
  }
  memcpy(&word, last, 8);
  return ft_vocab_last(h, word, n);
}

/* Of either; 8 bytes may be read */
static inline uint64_t ft_vocab_hash(const unsigned char *s, size_t n) {
  if (n > 8)
    return ft_vocab_hash_long(s, n);
  return ft_vocab_hash_short(ft_vocab_first(ft_vocab_word(s, s + 8), n), n);
}

/* In the filter: what is short is looked for most, and stays in the nearest cache. A hash has two
   bits of a word. */
static inline uint64_t *ft_vocab_filter(const ft_vocab *v, uint64_t h, size_t n) {
  size_t part = n >= 3 && n <= 8 ? n - 3 : FT_FILTERS - 2 + (h & 1);
  return &v->hints->filter[part << (FT_FILTER_BITS - 6) | h >> (64 - FT_FILTER_BITS + 6)];
}

static inline uint64_t ft_vocab_bits(uint64_t h) {
  return UINT64_C(1) << (h >> 45 & 63) | UINT64_C(1) << (h >> 39 & 63);
}

static inline int ft_vocab_has_bits(uint64_t word, uint64_t h) {
  return (int)(word >> (h >> 45 & 63) & word >> (h >> 39 & 63) & 1);
}

static inline uint32_t ft_vocab_slot(uint64_t h) { /* where in `slots` it is looked for first */
  return (uint32_t)(h >> 22);
}

/* A slot: the rank comes first, so that it is at hand while the bytes are still compared. */
static inline uint64_t ft_vocab_tag(uint64_t h) {
  return (h & 0x7FFFF) << 24;
}

static inline uint64_t ft_vocab_entry(uint64_t h, uint32_t rank, size_t at) {
  return (uint64_t)rank << 43 | ft_vocab_tag(h) | (at + 1);
}

static inline uint32_t ft_vocab_entry_rank(uint64_t entry) {
  return (uint32_t)(entry >> 43);
}

static inline int ft_vocab_alike(uint64_t entry, uint64_t h) {
  return (entry & UINT64_C(0x7FFFF) << 24) == ft_vocab_tag(h);
}

/* Is there a token that may have this hash? */
static inline int ft_vocab_may(const ft_vocab *v, uint64_t h, size_t n) {
  return ft_vocab_has_bits(*ft_vocab_filter(v, h, n), h);
}

/* Its length, and its bytes */
static inline const unsigned char *ft_vocab_token(const ft_vocab *v, uint64_t entry) {
  return (const unsigned char *)v->pool.data + (entry & 0xFFFFFF) - 1;
}

/* The rank of the token of this hash: of 3 to 8 bytes, which are a word, or of more; FT_NO_RANK:
   there is none */
uint32_t ft_vocab_find_short(const ft_vocab *v, uint64_t h, uint64_t word, size_t n);
uint32_t ft_vocab_find_long(const ft_vocab *v, uint64_t h, const unsigned char *s, size_t n);

/* The same, where most are none: then the filter says so */
static inline uint32_t ft_vocab_short(const ft_vocab *v, uint64_t word, size_t n) {
  uint64_t h = ft_vocab_hash_short(word, n);
  return ft_vocab_may(v, h, n) ? ft_vocab_find_short(v, h, word, n) : FT_NO_RANK;
}

static inline uint32_t ft_vocab_long(const ft_vocab *v, uint64_t h, const unsigned char *s,
                                     size_t n) {
  return ft_vocab_may(v, h, n) ? ft_vocab_find_long(v, h, s, n) : FT_NO_RANK;
}

uint32_t ft_vocab_rank_long(const ft_vocab *v, const unsigned char *s, size_t n); /* n > 8 */

/* FT_NO_RANK: it is no token. n >= 2; up to `end` it may be read */
static inline uint32_t ft_vocab_rank(const ft_vocab *v, const unsigned char *s, size_t n,
                                     const unsigned char *end) {
  if (n == 2)
    return v->hints->pairs[s[0] << 8 | s[1]].rank;
  if (n <= 8)
    return ft_vocab_short(v, ft_vocab_first(ft_vocab_word(s, end), n), n);
  return ft_vocab_rank_long(v, s, n);
}

/* ---- the hints that tell which lengths to try ---- */

/* That there is a token of these bytes. 8 may be read, if it has fewer */
void ft_vocab_hint(ft_vocab *v, const unsigned char *s, size_t n, uint32_t rank);

/* That every pair of bytes within a token may come first: how tokens are made is not known */
void ft_vocab_hint_all(const ft_vocab *v);

static inline uint8_t *ft_vocab_shorts(const ft_vocab *v, uint64_t word) {
  uint64_t h = ft_vocab_mix(0, ft_vocab_first(word, FT_SHORT));
  return &v->hints->shorts[h >> (64 - FT_SHORT_BITS)];
}

static inline uint16_t *ft_vocab_longs(const ft_vocab *v, uint64_t word) {
  return &v->hints->longs[ft_vocab_mix(0, word) >> (64 - FT_LONG_BITS)];
}

#endif
