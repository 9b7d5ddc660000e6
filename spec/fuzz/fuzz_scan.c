/*
** fuzz_scan.c: ft_scan() and the walker over arbitrary bytes, for libFuzzer
** (`make fuzz`). With -DFUZZ_MAIN a program of its own: it runs the files it is
** given and prints a verdict for each, so that another parser can be compared;
** with -n COUNT [SEED], mutants of built-in texts.
*/
#include "scan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64 };

static void check(int condition, const char *words) {
  if (condition)
    return;
  fprintf(stderr, "fuzz_scan: %s\n", words);
  abort();
}

/* Walks the value at j to its end; every slice must lie inside the text. */
static void walk(ft_json *j, int depth) {
  ft_slice key;
  int type = ft_json_type(j);
  check(type != 0 && strchr("{[\"0tfn", type) != NULL, "no value where one should be");
  check(depth <= DEPTH, "deeper than the limit");
  if (type != '{' && type != '[') {
    ft_slice s = ft_json_skip(j);
    check(s.n > 0 && s.s + s.n <= j->end, "slice out of the text");
    return;
  }
  ft_json skipped = *j;
  ft_json_skip(&skipped);
  ft_json_enter(j);
  if (type == '{')
    while (ft_json_member(j, &key)) {
      check(ft_json_compare(key, key) == 0, "a key differs from itself");
      walk(j, depth + 1);
    }
  else
    while (ft_json_item(j))
      walk(j, depth + 1);
  check(skipped.p == j->p, "skipping and walking end at different places");
}

static ptrdiff_t one(const uint8_t *data, size_t n, const char **why) {
  char *exact = malloc(n > 0 ? n : 1); /* exactly n: a byte read too far is seen */
  if (exact == NULL)
    return 0;
  if (n > 0)
    memcpy(exact, data, n);
  ptrdiff_t at = ft_scan(exact, n, DEPTH, why);
  check(at >= -1 && at <= (ptrdiff_t)n, "offset out of the text");
  check((at < 0) == (*why == NULL), "a verdict without its sentence");
  if (at < 0) {
    ft_json j = ft_json_begin(exact, n);
    walk(&j, 0);
  }
  free(exact);
  return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  const char *why;
  one(data, n, &why);
  return 0;
}

#ifdef FUZZ_MAIN
static const char *const texts[] = {
    "{\"a\":[1,-0.5e+3,true,false,null],\"b\":{\"\":\"\\u0041\\ud83d\\ude00\"}}",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    " { \"messages\" : [ { \"role\" : \"user\" , \"content\" : \"hi\" } ] } ",
    "\"0123456789abcdef0123456789abcdef\"",
    "[[[[[[[[1E400]]]]]]]]",
};

static uint32_t rnd(uint32_t *state) { /* xorshift: the same mutants for a seed */
  *state ^= *state << 13;
  *state ^= *state >> 17;
  return *state ^= *state << 5;
}

static void mutants(unsigned long count, uint32_t seed) {
  static const char bytes[] = "{}[]\",:\\u0123dDeE+-.tfn \n\x01\x7f\x80\xc0\xed\xa0\xf4\xff";
  uint32_t state = seed != 0 ? seed : 1;
  uint8_t text[256];
  for (unsigned long i = 0; i < count; i++) {
    const char *from = texts[rnd(&state) % (sizeof texts / sizeof *texts)];
    size_t n = strlen(from);
    memcpy(text, from, n);
    for (uint32_t k = rnd(&state) % 4; k > 0; k--)
      text[rnd(&state) % n] = (uint8_t)bytes[rnd(&state) % (sizeof bytes - 1)];
    LLVMFuzzerTestOneInput(text, rnd(&state) % 4 == 0 ? rnd(&state) % n : n);
  }
}

static void file(const char *path) {
  static uint8_t data[1 << 20];
  const char *why = NULL;
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    perror(path);
    return;
  }
  size_t n = fread(data, 1, sizeof data, f);
  fclose(f);
  ptrdiff_t at = one(data, n, &why);
  if (at < 0)
    printf("%s: valid\n", path);
  else
    printf("%s: %s at byte %td\n", path, why, at + 1);
}

int main(int argc, char **argv) {
  if (argc > 2 && strcmp(argv[1], "-n") == 0)
    mutants(strtoul(argv[2], NULL, 10), argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1);
  else
    for (int i = 1; i < argc; i++)
      file(argv[i]);
  return 0;
}
#endif
