/*
** tokens.c: the CPU that counting takes: tokens ENCODING VOCABULARY FILE [TIMES]. FILE holds
** pieces of text, each behind four bytes of length. Prints milliseconds of CPU until the vocabulary
** is ready, the KiB of memory at its peak then, tokens, bytes, and seconds of user CPU for all
** times together.
*/
#include "tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void *allocate(void *ud, void *p, size_t old, size_t n) {
  (void)ud;
  (void)old;
  if (n > 0)
    return realloc(p, n);
  free(p);
  return NULL;
}

static double cpu(int with_system, long *rss) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  double s = (double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec * 1e-6;
  if (rss != NULL)
    *rss = r.ru_maxrss;
  return with_system ? s + (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec * 1e-6 : s;
}

static char *read_all(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (f == NULL || fseek(f, 0, SEEK_END) != 0)
    return NULL;
  *n = (size_t)ftell(f);
  rewind(f);
  char *bytes = malloc(*n + 1);
  if (bytes != NULL && fread(bytes, 1, *n, f) != *n)
    *n = 0;
  fclose(f);
  return bytes;
}

static size_t count(const ft_vocab *v, const char *s, size_t n, size_t *bytes) {
  size_t total = 0;
  *bytes = 0;
  for (size_t at = 0; at + 4 <= n;) {
    uint32_t length;
    memcpy(&length, s + at, 4);
    total += ft_tokens_count(v, s + at + 4, length);
    *bytes += length;
    at += 4 + (size_t)length;
  }
  return total;
}

int main(int argc, char **argv) {
  ft_vocab v;
  long rss;
  size_t n = 0, bytes = 0, tokens = 0;
  if (argc < 3)
    return 2;
  double began = cpu(1, NULL);
  ft_vocab_init(&v, ft_encoding_find(argv[1]), 1, allocate, NULL);
  ft_vocab_open(&v, argv[2]);
  while (ft_vocab_advance(&v, 0.002) == FT_VOCAB_MORE)
    ;
  double ready = cpu(1, &rss);
  if (v.state != FT_VOCAB_READY)
    return fprintf(stderr, "%s\n", v.words), 1;
  char *s = argc > 3 ? read_all(argv[3], &n) : NULL;
  int times = argc > 4 ? atoi(argv[4]) : 1;
  double from = cpu(0, NULL);
  for (int i = 0; s != NULL && i < times; i++)
    tokens = count(&v, s, n, &bytes);
  printf("%.1f %ld %zu %zu %.4f\n", (ready - began) * 1e3, rss, tokens, bytes * (size_t)times,
         cpu(0, NULL) - from);
  free(s);
  ft_vocab_free(&v);
  return 0;
}
