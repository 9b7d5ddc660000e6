/*
** tokens_greedy.c: the tokens of a piece by going over it once. Merging makes one list of tokens
** and no other; a list is that one if, and only if, merging leaves any two neighbours of it as
** they are (the README of the crate bpe, github.com/github/rust-gems, has the argument). So the
** longest token is taken that goes with the one before; where none does, that one is given back
** for a shorter one. There is one list for the bytes up to any place, so no place is come to
** twice. For vocabularies that come of training, as OpenAI's do.
*/
#include "tokens.h"

enum {
  KEPT = 64,
  LONGEST = 256,
  REPEATS = 24,
  LOOK = 8 /* bytes from one look for a run to the next */
};

typedef struct Token {
  uint32_t rank;
  uint32_t n; /* bytes; 0: there is none */
} Token;

static const Token NONE = {FT_NO_RANK, 0};

static unsigned top_bit(unsigned x) {
  return 31u - (unsigned)__builtin_clz(x);
}

/* ---- the longest token ---- */

/* Of those too long for a bit of their own: from `most` bytes down. The hashes of all lengths
   begin alike. */
static Token longest_of_all(const ft_vocab *v, const unsigned char *s, size_t most) {
  uint64_t begun[LONGEST / 8 + 1] = {0}, word;
  most = most < v->longest ? most : v->longest;
  for (size_t i = 0; 8 * i + 8 < most; i++) {
    memcpy(&word, s + 8 * i, 8);
    begun[i + 1] = ft_vocab_mix(begun[i], word);
  }
  for (size_t n = most; n > FT_LONG + FT_LONG_TOP; n--) {
    memcpy(&word, s + n - 8, 8);
    uint32_t rank = ft_vocab_long(v, ft_vocab_last(begun[(n - 1) / 8], word, n), s, n);
    if (rank != FT_NO_RANK)
      return (Token){rank, (uint32_t)n};
  }
  return NONE;
}

/* Of more than FT_LONG bytes, and of at most `most` */
static Token longest_long(const ft_vocab *v, const unsigned char *s, uint64_t word, size_t most) {
  unsigned lengths = *ft_vocab_longs(v, word);
  if (most > FT_LONG + FT_LONG_TOP && lengths >> FT_LONG_TOP) {
    Token t = longest_of_all(v, s, most);
    if (t.n > 0)
      return t;
  }
  lengths &= (1u << (most < FT_LONG + FT_LONG_TOP ? most - FT_LONG : FT_LONG_TOP)) - 1;
  for (; lengths != 0; lengths ^= 1u << top_bit(lengths)) {
    size_t n = FT_LONG + 1 + top_bit(lengths);
    uint32_t rank = ft_vocab_long(v, ft_vocab_hash_long(s, n), s, n);
    if (rank != FT_NO_RANK)
      return (Token){rank, (uint32_t)n};
  }
  return NONE;
}

/* Of FT_SHORT bytes or more */
static Token longest_short(const ft_vocab *v, const unsigned char *s, uint64_t word, size_t most) {
  unsigned lengths = *ft_vocab_shorts(v, word);
  if (most > FT_LONG && lengths >> FT_SHORT_TOP) {
    Token t = longest_long(v, s, word, most);
    if (t.n > 0)
      return t;
  }
  lengths &= (1u << (most < FT_LONG ? most - FT_SHORT + 1 : FT_SHORT_TOP)) - 1;
  for (; lengths != 0; lengths ^= 1u << top_bit(lengths)) {
    size_t n = FT_SHORT + top_bit(lengths);
    uint32_t rank = ft_vocab_short(v, ft_vocab_first(word, n), n);
    if (rank != FT_NO_RANK)
      return (Token){rank, (uint32_t)n};
  }
  return NONE;
}

/* The longest token at s, of at most `most` bytes, of which there is at least one */
static Token longest(const ft_vocab *v, const unsigned char *s, size_t most,
                     const unsigned char *end) {
  uint64_t word = ft_vocab_word(s, end);
  uint32_t rank;
  if (most >= FT_SHORT) {
    Token t = longest_short(v, s, word, most);
    if (t.n > 0)
      return t;
  }
  if (most >= 3 && (rank = ft_vocab_short(v, ft_vocab_first(word, 3), 3)) != FT_NO_RANK)
    return (Token){rank, 3};
  if (most >= 2 && (rank = v->hints->pairs[s[0] << 8 | s[1]].rank) != FT_NO_RANK)
    return (Token){rank, 2};
  return (Token){v->single[*s], 1};
}

/* ---- neighbours ---- */

static uint64_t halves_of(const ft_vocab *v, Token t, const unsigned char *s) {
  if (v->halves[t.rank] == 0)
    v->halves[t.rank] = ft_merge_halves(v, s, t.n);
  return v->halves[t.rank];
}

/* Does merging the bytes of both, of which b begin at s, leave them as they are? The merges within
   each are undone, the last one first: before any of them two parts that meet at s could have been
   merged, if that came first. Of equal ranks the leftmost comes first. */
static int are_apart(const ft_vocab *v, Token a, Token b, const unsigned char *s,
                     const unsigned char *end) {
  uint32_t before = FT_NO_RANK;
  for (;;) {
    if (ft_vocab_rank(v, s - a.n, a.n + b.n, end) < before)
      return 0;
    if (a.n + b.n == 2)
      return 1;
    int left = a.rank > b.rank;
    uint64_t halves = left ? halves_of(v, a, s - a.n) : halves_of(v, b, s);
    if (halves == 0)
      return 0;
    if (left) {
      before = a.rank;
      a = (Token){ft_half_right(halves), a.n - ft_half_bytes(halves)};
    } else {
      before = b.rank + 1;
      b = (Token){ft_half_left(halves), ft_half_bytes(halves)};
    }
  }
}

/* The longest at s that goes with the one before, if there is one; NONE: none does */
static Token fitting(const ft_vocab *v, const Token *before, const unsigned char *s, size_t most,
                     const unsigned char *end) {
  while (most > 0) {
    Token t = longest(v, s, most, end);
    if (before == NULL || are_apart(v, *before, t, s, end))
      return t;
    most = t.n - 1;
  }
  return NONE;
}

/* A run of one character, or of two by turns: there tokens are long, most do not fit, and windows
   that are merged alike are merged once */
static int repeats(const unsigned char *s) {
  return memcmp(s, s + 2, 16) == 0 || memcmp(s, s + 3, 16) == 0 || memcmp(s, s + 4, 16) == 0 ||
         memcmp(s, s + 6, 16) == 0;
}

size_t ft_greedy_count(const ft_vocab *v, const unsigned char *s, size_t n,
                       const unsigned char *end) {
  Token kept[KEPT];
  size_t count = 0, deepest = 0, at = 0, most = n, look = 0;
  while (at < n) {
    if (at >= look && n - at >= REPEATS) {
      if (repeats(s + at))
        break;
      look = at + LOOK;
    }
    Token t = fitting(v, count > 0 ? &kept[(count - 1) % KEPT] : NULL, s + at, most, end);
    if (t.n > 0) {
      kept[count++ % KEPT] = t;
      deepest = count > deepest ? count : deepest;
      at += t.n;
      most = n - at;
    } else if (count > 0 && deepest - count <= KEPT - 2) {
      t = kept[--count % KEPT];
      at -= t.n;
      most = t.n - 1;
    } else
      break;
  }
  return at < n ? ft_merge_count(v, s, n, end) : count;
}
