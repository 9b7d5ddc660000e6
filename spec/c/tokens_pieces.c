/*
** tokens_pieces.c: ways to count the tokens of a piece, which must agree: going over it once
** (tokens_greedy.c), merging (tokens_merge.c, tokens_small.c), and, where it is short enough to
*wait
** for that, merging as it is defined, one pair after the other.
**   tokens_pieces VOCABULARY ENCODING PIECES [SEED]
** Every token of the vocabulary must be what merging makes of its bytes, by tokens of lesser rank:
** the first two ways are right for such vocabularies alone. Then PIECES made by chance are counted:
*tokens strung together,
** characters of one script or of all, runs, bytes. Prints how many pieces there were.
*/
#include "tokens.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLAIN = 200 /* bytes merged plainly, which takes their square */ };

static uint64_t chance = 1;

static uint64_t draw(void) { /* xorshift64* */
  chance ^= chance >> 12;
  chance ^= chance << 25;
  chance ^= chance >> 27;
  return chance * UINT64_C(0x2545F4914F6CDD1D);
}

static size_t below(size_t n) {
  return (size_t)(draw() >> 16) % n;
}

static void *allocate(void *ud, void *p, size_t old, size_t n) {
  (void)ud, (void)old;
  if (n > 0)
    return realloc(p, n);
  free(p);
  return NULL;
}

/* Of all pairs that are tokens the one of least rank, of equals the leftmost; and again */
static size_t merge_plainly(const ft_vocab *v, const unsigned char *s, size_t n) {
  size_t at[PLAIN + 1], count = n;
  for (size_t i = 0; i <= n; i++)
    at[i] = i;
  for (;;) {
    uint32_t least = FT_NO_RANK;
    size_t where = 0;
    for (size_t i = 0; i + 1 < count; i++) {
      uint32_t rank = ft_vocab_rank(v, s + at[i], at[i + 2] - at[i], s + n);
      if (rank < least)
        least = rank, where = i;
    }
    if (least == FT_NO_RANK)
      return count;
    memmove(at + where + 1, at + where + 2, (count - where - 1) * sizeof *at);
    count--;
  }
}

static void differ(const char *what, size_t a, size_t b, const unsigned char *s, size_t n) {
  fprintf(stderr, "tokens_pieces: %s: %zu and %zu tokens:", what, a, b);
  for (size_t i = 0; i < n; i++)
    fprintf(stderr, " %02x", s[i]);
  fprintf(stderr, "\n");
  exit(1);
}

/* Each is read where it stands alone: a byte too far is seen by a sanitizer */
static void compare(const ft_vocab *v, const unsigned char *s, size_t n) {
  unsigned char *piece = malloc(n);
  if (piece == NULL)
    exit(2);
  memcpy(piece, s, n);
  size_t greedy = ft_greedy_count(v, piece, n, piece + n);
  size_t merged = ft_merge_count(v, piece, n, piece + n);
  if (greedy != merged)
    differ("greedy", greedy, merged, piece, n);
  if (n <= PLAIN && merge_plainly(v, piece, n) != merged)
    differ("plain", merge_plainly(v, piece, n), merged, piece, n);
  if (n > 1 && n <= 4 && merged > 1 && ft_few_count(v, piece, n, piece + n) != merged)
    differ("few", ft_few_count(v, piece, n, piece + n), merged, piece, n);
  free(piece);
}

/* ---- every token ---- */

static uint64_t *slot(const ft_vocab *v, size_t i) {
  return v->slots[i] != 0 ? &v->slots[i] : NULL;
}

static int is_merged(const ft_vocab *v, const unsigned char *s, size_t n, uint32_t rank) {
  uint64_t halves = ft_merge_halves(v, s, n);
  return merge_plainly(v, s, n) == 1 && ft_half_left(halves) < rank && ft_half_right(halves) < rank;
}

static size_t all_tokens(const ft_vocab *v) {
  size_t seen = 0;
  for (size_t i = 0; i <= v->mask; i++) {
    if (slot(v, i) == NULL)
      continue;
    const unsigned char *token = ft_vocab_token(v, v->slots[i]);
    uint32_t rank = ft_vocab_entry_rank(v->slots[i]);
    if (token[0] > 1 && (!is_merged(v, token + 1, token[0], rank) ||
                         ft_merge_count(v, token + 1, token[0], token + 1 + token[0]) != 1)) {
      fprintf(stderr, "tokens_pieces: merging does not come to the token of rank %u\n",
              (unsigned)rank);
      exit(1);
    }
    seen++;
  }
  return seen;
}

/* ---- pieces ---- */

enum { PIECE = 2048 };

static size_t put_character(unsigned char *s, unsigned c) {
  if (c < 0x80)
    return s[0] = (unsigned char)c, 1;
  if (c < 0x800)
    return s[0] = (unsigned char)(0xC0 | c >> 6), s[1] = (unsigned char)(0x80 | (c & 63)), 2;
  s[0] = (unsigned char)(0xE0 | c >> 12);
  s[1] = (unsigned char)(0x80 | (c >> 6 & 63));
  s[2] = (unsigned char)(0x80 | (c & 63));
  return 3;
}

static size_t put_token(const ft_vocab *v, unsigned char *s) {
  uint64_t *entry;
  while ((entry = slot(v, below((size_t)v->mask + 1))) == NULL)
    ;
  const unsigned char *token = ft_vocab_token(v, *entry);
  memcpy(s, token + 1, token[0]);
  return token[0];
}

static size_t make_piece(const ft_vocab *v, unsigned char *s) {
  static const unsigned scripts[][2] = {
      {'a', 26},   {0x430, 32},  {0x4E00, 20000}, {0xE00, 80}, {0x3041, 180},  {0xAC00, 11000},
      {0x600, 90}, {0x900, 110}, {0x3000, 20},    {0x20, 95},  {0x80, 0xD700}, {0x2500, 128}};
  const unsigned *script = scripts[below(sizeof scripts / sizeof *scripts)];
  size_t kind = below(9), most = 1 + below(below(20) == 0 ? PIECE : 40), n = 0;
  unsigned one = script[0] + (unsigned)below(script[1]),
           other = script[0] + (unsigned)below(script[1]);
  while (n < most) {
    if (kind < 3)
      n += put_token(v, s + n);
    else if (kind < 6)
      n += put_character(s + n, script[0] + (unsigned)below(script[1]));
    else if (kind == 8)
      n += put_character(s + n, below(2) == 0 ? other : one);
    else if (kind == 6)
      n += put_character(s + n, below(24) == 0 ? other : one);
    else
      s[n++] = (unsigned char)draw();
  }
  return n;
}

int main(int argc, char **argv) {
  static unsigned char s[PIECE + 256];
  enum ft_encoding encoding = argc > 3 ? ft_encoding_find(argv[2]) : FT_ENCODING_NONE;
  ft_vocab v;
  if (encoding == FT_ENCODING_NONE) {
    fprintf(stderr, "usage: tokens_pieces VOCABULARY ENCODING PIECES [SEED]\n");
    return 2;
  }
  chance = argc > 4 ? strtoull(argv[4], NULL, 10) | 1 : 1;
  ft_vocab_init(&v, encoding, 1, allocate, NULL);
  enum ft_vocab_state state = ft_vocab_open(&v, argv[1]);
  while (state == FT_VOCAB_MORE)
    state = ft_vocab_advance(&v, 1);
  if (state != FT_VOCAB_READY || v.halves == NULL) {
    fprintf(stderr, "tokens_pieces: %s\n", v.words);
    return 2;
  }
  size_t tokens = all_tokens(&v);
  long pieces = strtol(argv[3], NULL, 10);
  for (long i = 0; i < pieces; i++)
    compare(&v, s, make_piece(&v, s));
  printf("%zu tokens, %ld pieces\n", tokens, pieces);
  ft_vocab_free(&v);
  return 0;
}
