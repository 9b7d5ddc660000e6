/*
** tokens_find.c: the rank of a token by its bytes, behind the filter: see vocab.h. What is short is
** looked for most, and its place in the table is seldom in a near cache; so the last answers, of
** tokens or not, are kept where both bytes and rank fit into one word.
*/
#include "tokens.h"

enum { NEAR_MAX = 5 /* bytes */, RANK_BITS = 21, NO_RANK = (1 << RANK_BITS) - 1 };

const unsigned char ft_vocab_ones[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                         255, 255, 255, 255, 255, 255, 255, 255};

uint64_t ft_vocab_word_end(const unsigned char *s, const unsigned char *end) {
  uint64_t word = 0;
  memcpy(&word, s, (size_t)(end - s));
  return word;
}

static uint32_t find_short(const ft_vocab *v, uint64_t h, uint64_t word, size_t n) {
  uint64_t entry, there;
  for (uint32_t i = ft_vocab_slot(h) & v->mask; (entry = v->slots[i]) != 0; i = (i + 1) & v->mask)
    if (ft_vocab_alike(entry, h)) {
      const unsigned char *token = ft_vocab_token(v, entry);
      memcpy(&there, token + 1, 8); /* `pool` has room behind the last */
      if (*token == n && ft_vocab_first(there, n) == word)
        return ft_vocab_entry_rank(entry);
    }
  return FT_NO_RANK;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { NEAR_SHIFT = 8 * (8 - NEAR_MAX) };
#else
enum { NEAR_SHIFT = 0 };
#endif

uint32_t ft_vocab_find_short(const ft_vocab *v, uint64_t h, uint64_t word, size_t n) {
  if (n > NEAR_MAX || v->near == NULL)
    return find_short(v, h, word, n);
  uint64_t key = word >> NEAR_SHIFT << 3 | n;
  uint64_t *entry = &v->near[(h >> 20) & ((1 << FT_NEAR_BITS) - 1)];
  if (*entry >> RANK_BITS != key) {
    uint32_t found = find_short(v, h, word, n);
    *entry = key << RANK_BITS | (found == FT_NO_RANK ? NO_RANK : found);
  }
  uint32_t rank = (uint32_t)(*entry & NO_RANK);
  return rank == NO_RANK ? FT_NO_RANK : rank;
}

/* Of n > 8 bytes; quicker than memcmp(), for most are less than 16 */
static int are_same(const unsigned char *a, const unsigned char *b, size_t n) {
  uint64_t x, y;
  memcpy(&x, a + n - 8, 8);
  memcpy(&y, b + n - 8, 8);
  for (; x == y && n > 8; a += 8, b += 8, n -= n > 16 ? 8 : n - 8) {
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
  }
  return x == y;
}

uint32_t ft_vocab_find_long(const ft_vocab *v, uint64_t h, const unsigned char *s, size_t n) {
  uint64_t entry;
  for (uint32_t i = ft_vocab_slot(h) & v->mask; (entry = v->slots[i]) != 0; i = (i + 1) & v->mask)
    if (ft_vocab_alike(entry, h)) {
      const unsigned char *token = ft_vocab_token(v, entry);
      if (*token == n && are_same(token + 1, s, n))
        return ft_vocab_entry_rank(entry);
    }
  return FT_NO_RANK;
}

uint32_t ft_vocab_rank_long(const ft_vocab *v, const unsigned char *s, size_t n) {
  return n > v->longest ? FT_NO_RANK : ft_vocab_long(v, ft_vocab_hash_long(s, n), s, n);
}

static void lower(uint32_t *least, uint32_t rank) {
  if (rank < *least)
    *least = rank;
}

static ft_pair *pair_of(const ft_vocab *v, const unsigned char *s) {
  return &v->hints->pairs[s[0] << 8 | s[1]];
}

static void hint_pairs(const ft_vocab *v, const unsigned char *s, size_t n, uint32_t rank) {
  for (size_t i = 0; i + 1 < n; i++) {
    lower(&pair_of(v, s + i)->begins, rank);
    lower(&pair_of(v, s + i)->ends, rank);
  }
}

void ft_vocab_hint_all(const ft_vocab *v) {
  for (size_t i = 0; i <= v->mask; i++)
    if (v->slots[i] != 0) {
      const unsigned char *token = ft_vocab_token(v, v->slots[i]);
      hint_pairs(v, token + 1, *token, ft_vocab_entry_rank(v->slots[i]));
    }
}

void ft_vocab_hint(ft_vocab *v, const unsigned char *s, size_t n, uint32_t rank) {
  if (n == 2)
    pair_of(v, s)->rank = rank;
  if (n >= 2) {
    lower(&pair_of(v, s)->begins, rank);
    lower(&pair_of(v, s + n - 2)->ends, rank);
  }
  if (n < FT_SHORT)
    return;
  uint64_t word = ft_vocab_word(s, s + 8);
  int bit = (int)n - FT_SHORT;
  *ft_vocab_shorts(v, word) |= (uint8_t)(1 << (bit < FT_SHORT_TOP ? bit : FT_SHORT_TOP));
  bit = (int)n - FT_LONG - 1;
  if (bit >= 0)
    *ft_vocab_longs(v, word) |= (uint16_t)(1 << (bit < FT_LONG_TOP ? bit : FT_LONG_TOP));
}
