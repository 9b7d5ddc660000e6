/*
** fuzz_dataset.c: the rules and the writer over arbitrary JSONL, for libFuzzer
** (`make fuzz`). The first byte of an input chooses the format, whether
** invalid examples are skipped, and the way in, the second which allocation fails (0: none).
** What was accepted must be accepted again, and stay the same bytes. With
** -DFUZZ_MAIN a program of its own, which runs the files it is given.
*/
#include "dataset.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(int condition, const char *words) {
  if (condition)
    return;
  fprintf(stderr, "fuzz_dataset: %s\n", words);
  abort();
}

typedef struct Memory {
  int until_failure; /* allocations; < 0: never */
  size_t bytes;
} Memory;

static void *allocate(void *ud, void *block, size_t old, size_t size) {
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

static char path[64];

static void remove_source(void) {
  remove(path);
}

static const char *source_file(const uint8_t *data, size_t n) {
  if (path[0] == '\0') {
    snprintf(path, sizeof path, "/tmp/fuzz_dataset.XXXXXX");
    int fd = mkstemp(path);
    check(fd >= 0, "no temporary file");
    close(fd);
    atexit(remove_source);
  }
  FILE *f = fopen(path, "wb");
  check(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0, "no temporary file");
  return path;
}

static void check_findings(const ft_dataset *d) {
  const ft_findings *f = &d->rules.findings;
  ft_record r;
  size_t at = 0, count[2] = {0, 0};
  while (ft_dataset_found(d, &at, &r)) {
    count[r.finding.warning]++;
    check(r.line > 0 && r.line <= d->line, "a finding out of the source");
    check(*r.finding.rule != '\0' && *r.finding.message != '\0', "a finding without words");
  }
  if (d->kind == NULL) {
    check(count[0] == (f->errors < f->keep ? f->errors : f->keep), "errors were lost");
    check(count[1] == (f->warnings < f->keep ? f->warnings : f->keep), "warnings were lost");
    check((f->errors > 0) == (d->invalid > 0), "invalid examples and errors disagree");
  }
}

static void add_lines(ft_dataset *d, const char *s, size_t n) {
  while (n > 0) {
    const char *end = memchr(s, '\n', n);
    size_t length = end != NULL ? (size_t)(end - s) : n;
    ft_dataset_add(d, s, length);
    length += end != NULL;
    s += length, n -= length;
  }
}

/* as a file, which is slower by far, or line by line */
static void run(ft_dataset *d, const uint8_t *data, size_t n, int by_file) {
  if (!by_file)
    add_lines(d, (const char *)data, n);
  else if (ft_dataset_feed(d, source_file(data, n)))
    while (ft_dataset_advance(d, 0) == FT_DATASET_MORE)
      ;
  check(d->source < 0, "the source was left open");
  check_findings(d);
  if (d->kind == NULL && !d->doomed)
    check(d->examples == d->written + d->invalid, "examples were lost");
}

/* The output as a source gives itself, without an error. */
static void check_again(const ft_dataset *first) {
  Memory m = {-1, 0};
  ft_dataset d;
  ft_dataset_init(&d, allocate, &m);
  d.rules.format = first->rules.format;
  run(&d, (const uint8_t *)first->out.data, first->out.len, 0);
  check(d.rules.findings.errors == 0 && d.written == first->written, "accepted, then refused");
  check(d.out.len == first->out.len && memcmp(d.out.data, first->out.data, d.out.len) == 0,
        "bytes were changed");
  ft_dataset_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (n < 2)
    return 0;
  Memory m = {(int)data[1] - 1, 0};
  ft_dataset d;
  ft_dataset_init(&d, allocate, &m);
  d.rules.format = (enum ft_format)(data[0] % 4);
  d.skip_invalid = data[0] & 4;
  d.rules.findings.keep = data[0] & 8 ? 2 : 100;
  run(&d, data + 2, n - 2, data[0] & 16);
  ft_dataset_add(&d, (const char *)data + 2, n - 2); /* the whole as one example */
  if (d.kind == NULL && d.written > 0)
    check_again(&d);
  ft_dataset_close(&d);
  check(m.bytes == 0, "memory was kept");
  return 0;
}

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
