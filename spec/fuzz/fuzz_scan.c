/*
** fuzz_scan.c: the scanner, the walker and the search for duplicate keys over arbitrary bytes, for
** libFuzzer (`make fuzz`): all variants of the scanner must agree, and the nodes be true. With
** -DFUZZ_MAIN a program of its own: it runs the files it is given and prints a verdict for each;
** with -n COUNT [SEED], mutants of built-in texts.
*/
#include "../c/scan_check.h"

enum { DEPTH = 64 };

static Verdict one(const uint8_t *data, size_t n) {
  Verdict v = {0, "no memory", 0};
  char *exact = malloc(n > 0 ? n : 1); /* exactly n: a byte read too far is seen */
  if (exact == NULL)
    return v;
  if (n > 0)
    memcpy(exact, data, n);
  v = check_text(exact, n, DEPTH);
  free(exact);
  return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  one(data, n);
  return 0;
}

#ifdef FUZZ_MAIN
static void mutants(unsigned long count, uint32_t seed) {
  uint32_t state = seed != 0 ? seed : 1;
  char text[SCAN_TEXT_MAX];
  for (unsigned long i = 0; i < count; i++) {
    size_t n = scan_mutant(&state, text);
    one((const uint8_t *)text, n);
  }
}

static void file(const char *path) {
  static uint8_t data[1 << 20];
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    perror(path);
    return;
  }
  size_t n = fread(data, 1, sizeof data, f);
  fclose(f);
  Verdict v = one(data, n);
  if (v.at < 0)
    printf("%s: valid\n", path);
  else
    printf("%s: %s at byte %td\n", path, v.why, v.at + 1);
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
