/*
** fuzz.h: what most of the fuzzers share. A check that ends the program, an allocator that counts
** and can fail on demand, and with -DFUZZ_MAIN a program that runs the files it is given. Included
** once by each, which defines FUZZER before: its name.
*/
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void check(int condition, const char *words) {
  if (condition)
    return;
  fprintf(stderr, FUZZER ": %s\n", words);
  abort();
}

/* ---- memory ---- */

typedef struct Memory {
  int until_failure; /* allocations; < 0: never */
  size_t bytes;
} Memory;

static inline void *allocate(void *ud, void *block, size_t old, size_t size) {
  Memory *m = ud;
  if (size == 0) {
    m->bytes -= block != NULL ? old : 0;
    free(block);
    return NULL;
  }
  if (m->until_failure == 0)
    return NULL;
  m->until_failure -= m->until_failure > 0;
  void *again = realloc(block, size);
  if (again != NULL)
    m->bytes += size - (block != NULL ? old : 0);
  return again;
}

/* ---- a program of its own ---- */

#ifdef FUZZ_MAIN
int main(int argc, char **argv) {
  static uint8_t data[1 << 20];
  for (int i = 1; i < argc; i++) {
    FILE *f = fopen(argv[i], "rb");
    if (f == NULL) {
      perror(argv[i]);
      continue;
    }
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
  }
  return 0;
}
#endif

#endif
