/*
** tokens_small.c: byte pair encoding of up to FT_SMALL bytes.
**
** Merging takes one pair at a time, the one of least rank. But many pairs of bytes can be merged at
** once, without a search for that: before a pair is merged, what is merged over its left end is a
** token that ends with the byte before the pair and its first one, and what is merged over its
** right end is one that begins with its last byte and the one behind. Where all such tokens have a
** greater rank, nothing comes before the pair. Nor do the tokens come too early that it then is a
** part of: one that is made of its own bytes by merging, of tokens of lesser rank, has either the
** pair within it or one of those. So it is in OpenAI's vocabularies (spec/c/tokens_pieces.c tries
** every token); in others the ranks are of all tokens that have both bytes in a row, and nothing
** is asked of how they are made.
*/
#include "tokens.h"

enum {
  GROUP = 16,
  GROUPS = FT_SMALL / GROUP,
  NEVER = (int)(FT_NO_RANK << 8 & INT32_MAX), /* or more: no key of a token */
  LONG = 32,                                  /* bytes, from which it is asked what text it is */
  RANK_BITS = 21,
  NO_TOKEN = (1 << RANK_BITS) - 1
};

typedef struct Parts {
  const unsigned char *s; /* 8 bytes more may be read */
  size_t n, count;
  int dense;                   /* many pairs are tokens */
  int32_t key[FT_SMALL + 1];   /* rank << 8 | part, of a part with the next one */
  int32_t least[GROUPS];       /* of each group of keys */
  uint32_t rank[FT_SMALL + 1]; /* of the part itself */
  uint8_t from[FT_SMALL + 2];  /* where it begins; that of the one behind the last is n */
  uint8_t next[FT_SMALL + GROUP], before[FT_SMALL + GROUP];
  unsigned char copy[FT_SMALL + 8];
} Parts;

static void parts_begin(Parts *P, const unsigned char *s, size_t n, const unsigned char *end,
                        int dense) {
  P->s = s;
  P->n = n;
  P->dense = dense;
  if ((size_t)(end - s) < n + 8)
    P->s = memcpy(P->copy, s, n);
}

static inline uint64_t word_at(const Parts *P, size_t from, size_t n) {
  uint64_t word;
  memcpy(&word, P->s + from, 8);
  return ft_vocab_first(word, n);
}

static inline int32_t make_key(uint32_t rank, size_t part) {
  return (int32_t)(rank << 8 | (uint32_t)part);
}

/* ---- what can be merged at once ---- */

/* Puts the byte at i and its pair: unless they go with the pair before, as part k. Of two signed
   numbers the difference tells which is less without a branch: none could be foreseen. */
static inline uint32_t put_byte(Parts *P, size_t k, size_t i, uint32_t rank, uint32_t left,
                                uint32_t right) {
  P->from[k] = (uint8_t)i;
  P->key[k] = make_key(rank, k);
  return ((rank - left) & ~(right - rank)) >> 31;
}

/* Pairs that nothing comes before, of equal ranks the leftmost. No two of them share a byte: each
   would have a lesser rank than the other. */
static void merge_bytes(const ft_vocab *v, Parts *P) {
  const unsigned char *s = P->s;
  const ft_pair *pairs = v->hints->pairs;
  ft_pair at = pairs[s[0] << 8 | s[P->n > 1]];
  uint32_t left = FT_NO_RANK, sure = 0, was_sure;
  size_t k = 0, i = 0;
  for (; i + 2 < P->n; i++) {
    ft_pair next = pairs[s[i + 1] << 8 | s[i + 2]];
    was_sure = sure;
    sure = put_byte(P, k, i, at.rank, left, next.begins);
    k += 1 - was_sure;
    left = at.ends;
    at = next;
  }
  if (P->n > 1) {
    was_sure = sure;
    sure = put_byte(P, k, i++, at.rank, left, FT_NO_RANK);
    k += 1 - was_sure;
  }
  put_byte(P, k, i, FT_NO_RANK, 0, 0);
  k += 1 - sure;
  P->from[k] = P->from[k + 1] = (uint8_t)P->n;
  P->count = k;
}

/* The pairs of three bytes or four that may be tokens, for most are none -> how many. Here too
   nothing hangs on what is found. */
static size_t may_be_tokens(const ft_vocab *v, Parts *P, uint8_t *may) {
  size_t count = 0;
  for (size_t k = 0; k + 1 < P->count; k++) {
    size_t from = P->from[k], n = P->from[k + 2] - from, more = (n + 1) >> 2;
    uint64_t h = ft_vocab_hash_short(word_at(P, from, n), n);
    P->key[k] |= NEVER & (0 - (int32_t)more);
    may[count] = (uint8_t)k;
    count += more & (size_t)ft_vocab_has_bits(*ft_vocab_filter(v, h, n + 1 - more), h);
  }
  return count;
}

/* Where many pairs are tokens, as in text of few characters, the same ones come again and again,
   and a filter that says that most are none is of no use */
static inline uint32_t seen_rank(const ft_vocab *v, uint64_t word, size_t n) {
  uint64_t h = ft_vocab_hash_short(word, n);
  ft_ranked *seen = &v->ranked[h >> (64 - FT_RANKED_BITS)];
  if (seen->word != word || seen->n != n)
    *seen = (ft_ranked){word, (uint32_t)n, ft_vocab_short(v, word, n)};
  return seen->rank;
}

/* -> how many pairs of more than two bytes are tokens; so look_up() */
static size_t look_up_seen(const ft_vocab *v, Parts *P) {
  size_t count = 0;
  for (size_t k = 0; k + 1 < P->count; k++) {
    size_t from = P->from[k], n = P->from[k + 2] - from;
    P->key[k] = make_key(seen_rank(v, word_at(P, from, n), n), k);
    count += (n + 1) >> 2 & (size_t)(P->key[k] < NEVER);
  }
  return count;
}

static size_t look_up(const ft_vocab *v, Parts *P) {
  uint8_t may[FT_SMALL];
  size_t count = may_be_tokens(v, P, may);
  for (size_t i = 0; i < count; i++) {
    size_t k = may[i], from = P->from[k], n = P->from[k + 2] - from;
    uint64_t word = word_at(P, from, n);
    P->key[k] = make_key(ft_vocab_find_short(v, ft_vocab_hash_short(word, n), word, n), k);
  }
  return count;
}

static void merge_sure(const ft_vocab *v, Parts *P) {
  merge_bytes(v, P);
  size_t count = P->dense ? look_up_seen(v, P) : look_up(v, P);
  P->key[P->count - 1] = NEVER;
  P->dense = P->n >= LONG && 3 * count > P->count;
}

/* ---- two tokens ---- */

/* What two tokens make together hangs on nothing else: it is kept in a direct-mapped table of both
   ranks and theirs */
static uint32_t remembered(const ft_vocab *v, uint32_t a, uint32_t b, const unsigned char *s,
                           size_t n) {
  uint64_t key = ((uint64_t)a << RANK_BITS | b) + 1;
  uint64_t *entry = &v->joined[key * FT_HASH_A >> (64 - FT_PAIR_BITS)];
  if (*entry >> RANK_BITS != key) {
    uint32_t rank = ft_vocab_rank(v, s, n, s + n);
    *entry = key << RANK_BITS | (rank == FT_NO_RANK ? NO_TOKEN : rank);
  }
  uint32_t rank = (uint32_t)(*entry & NO_TOKEN);
  return rank == NO_TOKEN ? FT_NO_RANK : rank;
}

static uint32_t part_rank(const ft_vocab *v, const Parts *P, size_t k) {
  const unsigned char *s = P->s + P->from[k];
  size_t n = (size_t)P->from[P->next[k]] - P->from[k];
  return n == 1 ? v->single[*s] : n == 2 ? v->hints->pairs[s[0] << 8 | s[1]].rank : P->rank[k];
}

/* Inline by force, since it is most of what merging takes */
static inline __attribute__((always_inline)) int32_t key_of(const ft_vocab *v, const Parts *P,
                                                            size_t a) {
  size_t b = P->next[a], from = P->from[a], n = P->from[P->next[b]] - from;
  if (n > 8)
    return make_key(remembered(v, part_rank(v, P, a), part_rank(v, P, b), P->s + from, n), a);
  uint64_t word = word_at(P, from, n);
  return make_key(P->dense ? seen_rank(v, word, n) : ft_vocab_short(v, word, n), a);
}

/* ---- the rest: always the pair of least rank ----
**
** The least key is the leftmost pair of least rank. */

static inline int32_t lesser(int32_t a, int32_t b) {
  return b < a ? b : a;
}

/* The least of 8 keys. Not in a vector: it would have to wait for the one just stored. */
static inline int32_t least_of_8(const int32_t *key) {
  int32_t a = lesser(lesser(key[0], key[1]), lesser(key[2], key[3]));
  return lesser(a, lesser(lesser(key[4], key[5]), lesser(key[6], key[7])));
}

static inline void group_changed(Parts *P, size_t i) {
  const int32_t *keys = P->key + i / GROUP * GROUP;
  P->least[i / GROUP] = lesser(least_of_8(keys), least_of_8(keys + 8));
}

static void groups_begin(Parts *P) {
  size_t i, n = P->count;
  for (i = n; i % GROUP != 0; i++)
    P->key[i] = NEVER;
  for (i = 0; i < n; i += GROUP)
    group_changed(P, i);
  for (i = (n + GROUP - 1) / GROUP; i < GROUPS; i++)
    P->least[i] = NEVER;
}

static void link_parts(Parts *P) {
  for (size_t i = 0; i <= P->count; i++) {
    P->next[i] = (uint8_t)(i + 1);
    P->before[i] = (uint8_t)(i - (i > 0)); /* nothing is before the first */
  }
}

/* Merges part i with the next one -> that one. The pairs of both sides are looked up anew. */
static inline size_t merge_part(const ft_vocab *v, Parts *P, size_t i) {
  size_t gone = P->next[i], end = P->next[gone], b = P->before[i];
  P->rank[i] = (uint32_t)P->key[i] >> 8;
  P->key[gone] = P->key[i] = NEVER;
  P->next[i] = (uint8_t)end;
  P->before[end] = (uint8_t)i;
  if (end < P->count)
    P->key[i] = key_of(v, P, i);
  if (b != i)
    P->key[b] = key_of(v, P, b);
  return gone;
}

/* Until there are so many parts. next[0], next[next[0]]... are where they end -> how many */
static size_t merge_many(const ft_vocab *v, Parts *P, size_t least_parts) {
  size_t count = P->count;
  int32_t least;
  groups_begin(P);
  for (; count > least_parts && (least = least_of_8(P->least)) < NEVER; count--) {
    size_t i = (size_t)least & 0xFF, b = P->before[i], gone = merge_part(v, P, i);
    group_changed(P, i);
    if (b / GROUP != i / GROUP)
      group_changed(P, b);
    if (gone / GROUP != i / GROUP)
      group_changed(P, gone);
  }
  return count;
}

/* One group, and only half of it */
static size_t merge_few(const ft_vocab *v, Parts *P, size_t least_parts) {
  size_t count = P->count;
  int32_t least;
  for (size_t i = count; i < GROUP / 2; i++)
    P->key[i] = NEVER;
  for (; count > least_parts && (least = least_of_8(P->key)) < NEVER; count--)
    merge_part(v, P, (size_t)least & 0xFF);
  return count;
}

static size_t merge_least(const ft_vocab *v, Parts *P, size_t least_parts) {
  link_parts(P);
  return P->count <= GROUP / 2 ? merge_few(v, P, least_parts) : merge_many(v, P, least_parts);
}

/* ---- few bytes: no need of parts ---- */

static inline uint32_t pair_at(const ft_vocab *v, const unsigned char *s) {
  return v->hints->pairs[s[0] << 8 | s[1]].rank;
}

/* Of three bytes, or of four after their first merge, one more merge at most makes it all but a
   token, which it is not */
static size_t three_bytes(const ft_vocab *v, const unsigned char *s) {
  return 3 - (size_t)((pair_at(v, s) & pair_at(v, s + 1)) != FT_NO_RANK);
}

static size_t four_bytes(const ft_vocab *v, const unsigned char *s, const unsigned char *end) {
  uint32_t a = pair_at(v, s), b = pair_at(v, s + 1), c = pair_at(v, s + 2);
  if ((a & b & c) == FT_NO_RANK)
    return 4;
  if (a <= b && a <= c)
    return 3 - (size_t)(c != FT_NO_RANK || ft_vocab_rank(v, s, 3, end) != FT_NO_RANK);
  if (c < b)
    return 3 - (size_t)(a != FT_NO_RANK || ft_vocab_rank(v, s + 1, 3, end) != FT_NO_RANK);
  return 3 - (size_t)(ft_vocab_rank(v, s, 3, end) != FT_NO_RANK ||
                      ft_vocab_rank(v, s + 1, 3, end) != FT_NO_RANK);
}

size_t ft_few_count(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end) {
  return n < 3 ? 2 : n == 3 ? three_bytes(v, s) : four_bytes(v, s, end);
}

size_t ft_small_count(const ft_vocab *v, const unsigned char *s, size_t n,
                      const unsigned char *end) {
  Parts P;
  parts_begin(&P, s, n, end, 0);
  merge_sure(v, &P);
  return merge_least(v, &P, 1);
}

size_t ft_small_ends(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end,
                     uint16_t *ends, int *dense) {
  Parts P;
  size_t count = 0;
  parts_begin(&P, s, n, end, *dense);
  merge_sure(v, &P);
  *dense = P.dense;
  merge_least(v, &P, 1);
  for (size_t i = 0; i < P.count; i = P.next[i])
    ends[count++] = P.from[P.next[i]];
  return count;
}

/* As bytes, since of the last two all depends on the order */
static void one_by_one(const ft_vocab *v, Parts *P) {
  size_t i, n = P->n;
  for (i = 0; i < n; i++) {
    P->from[i] = (uint8_t)i;
    P->rank[i] = v->single[P->s[i]];
    P->key[i] = i + 1 < n ? make_key(v->hints->pairs[P->s[i] << 8 | P->s[i + 1]].rank, i) : NEVER;
  }
  P->from[n] = P->from[n + 1] = (uint8_t)n;
  P->count = n;
}

uint64_t ft_merge_halves(const ft_vocab *v, const unsigned char *s, size_t n) {
  Parts P;
  if (n < 2 || n > FT_SMALL)
    return 0;
  parts_begin(&P, s, n, s + n, 0);
  one_by_one(v, &P);
  if (merge_least(v, &P, 2) != 2)
    return 0;
  size_t right = P.next[0];
  return ft_halves(P.rank[0], P.rank[right], P.from[right]);
}
