/*
** tokens_small.c: byte pair encoding of up to FT_SMALL bytes.
**
** Merging takes one pair at a time, the one of least rank. But most pairs can be merged at once:
** of all tokens that reach over a border between two parts, the bytes around it tell the least
** rank there may be. A pair whose rank is less than that at both of its ends is merged before
** anything reaches over those, whatever else is; and what it then makes with others has a greater
** rank, so nothing comes too early. So rounds over all pairs go first, without a search for the
** least. What then is left has one.
*/
#include "tokens.h"

/* What two tokens make together hangs on nothing else, so where that takes long it is remembered,
   in a direct-mapped table of both ranks and theirs. */
enum { RANK_BITS = 21, NO_TOKEN = (1 << RANK_BITS) - 1 };

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

/* The rank of [s, s + n), the tokens of ranks a and b, n > 2. White space has few tokens, and most
   pairs of them have been seen. */
static inline uint32_t joined(const ft_vocab *v, uint32_t a, uint32_t b, const unsigned char *s,
                              size_t n, const unsigned char *end) {
  if (n > 8 || s[n - 1] <= ' ')
    return remembered(v, a, b, s, n);
  return ft_vocab_short(v, ft_vocab_first(ft_vocab_word(s, end), n), n);
}

enum { GROUP = 16, GROUPS = FT_SMALL / GROUP, NEVER = 0x7FFFFF00 /* or more: no key of a token */ };

typedef struct Parts {
  const unsigned char *s, *end; /* up to `end` it may be read */
  size_t n, count;
  int32_t key[FT_SMALL + 1];   /* rank << 8 | part, of a part with the next one */
  int32_t least[GROUPS];       /* of each group of keys */
  uint32_t rank[FT_SMALL + 1]; /* of the part itself */
  uint8_t from[FT_SMALL + 2];  /* where it begins; that of the one behind the last is n */
  uint8_t next[FT_SMALL + GROUP], before[FT_SMALL + GROUP];
} Parts;

static inline int32_t make_key(uint32_t rank, size_t part) {
  return (int32_t)((rank << 8 | (uint32_t)part) & INT32_MAX);
}

/* ---- what can be merged at once ---- */

/* 1: x < y. Arithmetic, since the compiler would take a branch, which nothing foresees. */
static inline uint32_t is_less(uint32_t x, uint32_t y) {
  return (uint32_t)(((uint64_t)x - y) >> 63);
}

/* Pairs that nothing comes before, of equal ranks the leftmost. No two of them share a byte: each
   would have a lesser rank than the other. */
static void merge_bytes(const ft_vocab *v, Parts *P) {
  static const ft_pair none = {FT_NO_RANK, FT_NO_RANK};
  const unsigned char *s = P->s;
  uint32_t left = FT_NO_RANK, was_sure = 0;
  ft_pair at = v->hints->pairs[s[0] << 8 | s[1]], next;
  size_t k = 0;
  for (size_t i = 0; i < P->n; i++, left = at.least, at = next) {
    next = i + 2 < P->n ? v->hints->pairs[s[i + 1] << 8 | s[i + 2]] : none;
    uint32_t sure = is_less(at.rank, left) & ~is_less(next.least, at.rank);
    uint32_t one = v->single[s[i]];
    P->from[k] = (uint8_t)i;
    P->rank[k] = one ^ ((one ^ at.rank) & (0 - sure));
    P->key[k] = make_key(at.rank, k);
    k += 1 - was_sure;
    was_sure = sure;
  }
  P->from[k] = P->from[k + 1] = (uint8_t)P->n;
  P->count = k;
}

/* The pairs of more than two bytes that may be tokens, for most are none -> how many. Here too
   nothing hangs on what is found. */
static size_t may_be_tokens(const ft_vocab *v, Parts *P, uint8_t *may) {
  size_t count = 0;
  for (size_t k = 0; k + 1 < P->count; k++) {
    size_t from = P->from[k], n = P->from[k + 2] - from;
    uint64_t h = ft_vocab_hash_short(ft_vocab_first(ft_vocab_word(P->s + from, P->end), n), n);
    uint32_t more = is_less(2, (uint32_t)n);
    P->key[k] |= NEVER & (0 - (int32_t)more);
    may[count] = (uint8_t)k;
    count += (size_t)ft_vocab_may(v, h, n) & more;
  }
  return count;
}

static void merge_sure(const ft_vocab *v, Parts *P) {
  uint8_t may[FT_SMALL];
  merge_bytes(v, P);
  size_t count = may_be_tokens(v, P, may);
  for (size_t i = 0; i < count; i++) {
    size_t k = may[i], from = P->from[k], n = P->from[k + 2] - from;
    P->key[k] = make_key(joined(v, P->rank[k], P->rank[k + 1], P->s + from, n, P->end), k);
  }
  P->key[P->count - 1] = NEVER;
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
  int32_t least = least_of_8(keys);
  P->least[i / GROUP] = P->count <= GROUP / 2 ? least : lesser(least, least_of_8(keys + 8));
}

static inline int32_t least_pair(const Parts *P) {
  return P->count <= GROUP ? P->least[0] : least_of_8(P->least);
}

static void link_parts(Parts *P) {
  size_t i, n = P->count;
  for (i = 0; i < n; i++) {
    P->next[i] = (uint8_t)(i + 1);
    P->before[i] = (uint8_t)(i - 1);
  }
  P->next[n] = (uint8_t)(n + 1);
  for (; i % (GROUP / 2) != 0 || (n > GROUP / 2 && i % GROUP != 0); i++)
    P->key[i] = NEVER;
  for (i = 0; i < n; i += GROUP)
    group_changed(P, i);
  for (i = n <= GROUP ? GROUPS : (n + GROUP - 1) / GROUP; i < GROUPS; i++)
    P->least[i] = NEVER;
}

static inline int32_t key_of(const ft_vocab *v, const Parts *P, size_t a) {
  size_t b = P->next[a], from = P->from[a], n = P->from[P->next[b]] - from;
  return make_key(joined(v, P->rank[a], P->rank[b], P->s + from, n, P->end), a);
}

/* Until there are so many parts. next[0], next[next[0]]... are where they end -> how many */
static size_t merge_least(const ft_vocab *v, Parts *P, size_t least_parts) {
  size_t count = P->count;
  int32_t least;
  link_parts(P);
  for (; count > least_parts && (least = least_pair(P)) < NEVER; count--) {
    size_t i = (size_t)least & 0xFF, gone = P->next[i], end = P->next[gone], b = i;
    P->rank[i] = (uint32_t)least >> 8;
    P->key[gone] = P->key[i] = NEVER;
    P->next[i] = (uint8_t)end;
    P->before[end] = (uint8_t)i;
    if (end < P->count)
      P->key[i] = key_of(v, P, i);
    if (i > 0) {
      b = P->before[i];
      P->key[b] = key_of(v, P, b);
    }
    group_changed(P, i);
    if (b / GROUP != i / GROUP)
      group_changed(P, b);
    if (gone / GROUP != i / GROUP)
      group_changed(P, gone);
  }
  return count;
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
  P.s = s, P.end = end, P.n = n;
  merge_sure(v, &P);
  return merge_least(v, &P, 1);
}

size_t ft_small_ends(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end,
                     uint16_t *ends) {
  Parts P;
  size_t count = 0;
  P.s = s, P.end = end, P.n = n;
  merge_sure(v, &P);
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
  P.s = s, P.end = s + n, P.n = n;
  one_by_one(v, &P);
  if (merge_least(v, &P, 2) != 2)
    return 0;
  size_t right = P.next[0];
  return ft_halves(P.rank[0], P.rank[right], P.from[right]);
}
