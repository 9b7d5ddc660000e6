/*
** fuzz_vocab.c: a vocabulary from arbitrary bytes, and a text counted with it, for libFuzzer (`make
** fuzz`). The first byte is the length of the text behind it; the rest, behind lines of all single
** bytes, is the file. It comes whole and in slices, which must end alike; allocations fail in turn.
*/
#include "tokens.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void check(int condition, const char *words) {
  if (condition)
    return;
  fprintf(stderr, "fuzz_vocab: %s\n", words);
  abort();
}

/* A lua_Alloc that checks sizes, and fails when the count in ud comes to nothing */
static void *allocate(void *ud, void *p, size_t old, size_t n) {
  long *left = ud;
  if (n == 0) {
    free(p);
    return NULL;
  }
  if (*left > 0 && --*left == 0)
    return NULL;
  check(n < (size_t)256 * 1024 * 1024, "too much memory is asked for");
  check((p == NULL) == (old == 0), "an old size without memory");
  return realloc(p, n);
}

static void single_bytes(ft_vocab *v) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char line[32];
  for (unsigned c = 0; c < 256; c++) {
    int n = snprintf(line, sizeof line, "%c%c== %u\n", digits[c >> 2], digits[(c & 3) << 4], c);
    ft_vocab_add(v, line, (size_t)n);
  }
}

/* slice: bytes at a time, 0: all */
static enum ft_vocab_state load(ft_vocab *v, long *left, const char *s, size_t n, size_t slice) {
  ft_vocab_init(v, n % 2 ? FT_O200K_BASE : FT_CL100K_BASE, 0, allocate, left);
  single_bytes(v);
  for (size_t at = 0, step; at < n; at += step) {
    step = slice == 0 || n - at < slice ? n - at : slice;
    char *exact = malloc(step); /* a byte read too far is seen */
    if (exact == NULL)
      break;
    memcpy(exact, s + at, step);
    ft_vocab_add(v, exact, step);
    free(exact);
  }
  enum ft_vocab_state state = ft_vocab_end(v);
  check((state == FT_VOCAB_FAILED) == (*v->words != '\0'), "a failure without its words");
  check(state != FT_VOCAB_MORE, "neither ready nor failed");
  return state;
}

static size_t count(const ft_vocab *v, const char *s, size_t n) {
  char *exact = malloc(n > 0 ? n : 1);
  if (exact == NULL)
    return 0;
  if (n > 0)
    memcpy(exact, s, n);
  size_t tokens = ft_tokens_count(v, exact, n);
  check(tokens <= n && (tokens > 0) == (n > 0), "more tokens than bytes, or none");
  check(ft_tokens_count(v, exact, n) == tokens, "counted again it is another number");
  ft_tokens_estimate(exact, n);
  free(exact);
  return tokens;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  const char *s = (const char *)data + 1;
  ft_vocab whole, sliced;
  long never = 0, some = n > 1 ? data[n - 1] % 24 + 1 : 1;
  if (n < 1)
    return 0;
  size_t text = data[0] < n - 1 ? data[0] : n - 1;
  enum ft_vocab_state state = load(&whole, &never, s + text, n - 1 - text, 0);
  check(state == load(&sliced, &never, s + text, n - 1 - text, 3), "slices end otherwise");
  check(strcmp(whole.words, sliced.words) == 0, "slices give other words");
  if (state == FT_VOCAB_READY)
    check(count(&whole, s, text) == count(&sliced, s, text), "slices count otherwise");
  ft_vocab_free(&whole);
  ft_vocab_free(&sliced);
  load(&sliced, &some, s + text, n - 1 - text, 0);
  ft_vocab_free(&sliced);
  return 0;
}
