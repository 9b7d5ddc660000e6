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
  FT_VOCAB_POOL = 1 << 24,          /* bytes of all tokens, and 5 more for each */
  FT_VOCAB_WORDS = 512,
  FT_VOCAB_SLICE = 32 * 1024, /* bytes read at a time: about 0.4 ms */
  /* for counting: pieces whose number of tokens is known, and space to merge in */
  FT_CACHE_BITS = 17,
  FT_CACHE_KEY = 16, /* bytes: a piece of at most 15, zeros, its length */
  FT_CACHE_BYTES = (1 << FT_CACHE_BITS) * (FT_CACHE_KEY + 1), /* keys, then a count for each */
  FT_FILTER_BYTES = 128 * 1024,
  FT_PAIR_BITS = 16,
  FT_PAIR_BYTES = 8 << FT_PAIR_BITS,
  FT_MERGE_MAX = 4096, /* bytes merged in one go */
  FT_SCRATCH_BYTES = FT_MERGE_MAX * 40
};

#define FT_NO_RANK UINT32_MAX

enum ft_vocab_state { FT_VOCAB_MORE, FT_VOCAB_READY, FT_VOCAB_FAILED };

/* A table from the bytes of tokens to ranks: open addressing, behind a filter that fits into a
   near cache and knows most of what is no token. */
typedef struct ft_vocab {
  enum ft_encoding encoding; /* how text is cut: tokens_split.c */
  int known;                 /* it is OpenAI's own file, by its SHA-256 */
  enum ft_vocab_state state;
  uint32_t count, longest; /* tokens; bytes of the longest */
  uint32_t mask;           /* slots - 1 */
  uint8_t *filter;         /* bits: a token may have this hash */
  uint32_t *slots;      /* 0: free, or 128 and 7 bits of the hash, and where in `pool` (24 bits) */
  uint32_t *pairs;      /* of two bytes -> rank */
  uint32_t single[256]; /* of one byte -> rank */
  ft_buf pool;          /* of each token: rank (4 bytes), length (1), bytes */
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
  uint64_t *joined;     /* tokens_merge.c: of two tokens, which one they make */
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

static inline uint64_t ft_vocab_hash(const unsigned char *s, size_t n) {
  uint64_t h = (uint64_t)n * FT_HASH_B, w;
  for (; n >= 8; s += 8, n -= 8) {
    memcpy(&w, s, 8);
    h = (h ^ w) * FT_HASH_A;
    h ^= h >> 29;
  }
  if (n >= 4) { /* 4 to 7 bytes: two words that overlap */
    uint32_t a, b;
    memcpy(&a, s, 4);
    memcpy(&b, s + n - 4, 4);
    w = (uint64_t)b << 32 | a;
  } else /* 0 to 3 */
    w = n == 0 ? 0 : (uint64_t)s[0] << 16 | (uint64_t)s[n / 2] << 8 | s[n - 1];
  h = (h ^ w) * FT_HASH_A;
  h = (h ^ h >> 32) * FT_HASH_B;
  return h ^ h >> 31;
}

static inline uint32_t ft_vocab_bit(uint64_t h) { /* in the filter */
  return (uint32_t)(h >> 32) & (FT_FILTER_BYTES * 8 - 1);
}

static inline uint32_t ft_vocab_tag(uint64_t h) { /* in a slot */
  return (uint32_t)(h >> 57 | 0x80) << 24;
}

/* FT_NO_RANK: it is no token. n >= 1 */
static inline uint32_t ft_vocab_rank(const ft_vocab *v, const unsigned char *s, size_t n) {
  if (n == 2)
    return v->pairs[s[0] << 8 | s[1]];
  if (n > v->longest)
    return FT_NO_RANK;
  uint64_t h = ft_vocab_hash(s, n);
  if (!(v->filter[ft_vocab_bit(h) / 8] & 1 << ft_vocab_bit(h) % 8))
    return FT_NO_RANK;
  uint32_t tag = ft_vocab_tag(h), slot;
  for (uint32_t i = (uint32_t)h & v->mask; (slot = v->slots[i]) != 0; i = (i + 1) & v->mask)
    if ((slot & 0xFF000000) == tag) {
      const unsigned char *token = (const unsigned char *)v->pool.data + (slot & 0xFFFFFF);
      if (token[4] == n && memcmp(token + 5, s, n) == 0) {
        uint32_t rank;
        memcpy(&rank, token, 4);
        return rank;
      }
    }
  return FT_NO_RANK;
}

#endif
