/*
** fuzz_dataset.c: the whole way of a set of examples, from bytes to bytes, for libFuzzer (`make
** fuzz`). The first five bytes of an input choose the options (see set_up() and run()), the rest is
** the source: a file of any shape, or text line by line. Checked: findings are in bounds and
** counted, no example is lost, a second run writes the same bytes, what was written is accepted
** again and stays the same bytes, and memory is given back, also where an allocation fails. With
** -DFUZZ_MAIN a program of its own, which runs the files it is given.
*/
#define FUZZER "fuzz_dataset"

#include "dataset.h"
#include "fuzz.h"

#include <unistd.h>

enum { CHOICES = 5 };

/* ---- sources ---- */

enum { SOURCE, COMPARED, FILES };

static char paths[FILES][64];

static void remove_files(void) {
  for (int i = 0; i < FILES; i++)
    if (paths[i][0] != '\0')
      remove(paths[i]);
}

static const char *file_of(int which, const uint8_t *data, size_t n) {
  char *path = paths[which];
  if (path[0] == '\0') {
    if (paths[0][0] == '\0' && paths[1][0] == '\0')
      atexit(remove_files);
    snprintf(path, sizeof paths[which], "/tmp/fuzz_dataset.XXXXXX");
    int fd = mkstemp(path);
    check(fd >= 0, "no temporary file");
    close(fd);
  }
  FILE *f = fopen(path, "wb");
  check(f != NULL && fwrite(data, 1, n, f) == n && fclose(f) == 0, "no temporary file");
  return path;
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

/* ---- options ---- */

static int judge(void *ud, ft_dataset *d, const ft_example *e) {
  (void)ud, (void)d;
  return e->n % 5 != 0;
}

/* Severities and limits by chance: what a user or a service may ask for */
static void set_rules(ft_rules *r, unsigned seed) {
  for (int i = 0; i < FT_RULE_COUNT && seed != 0; i++) {
    seed = seed * 1103515245u + 12345u;
    r->grade[i] = (unsigned char)(seed >> 16 & 3);
  }
  r->limits.images = seed >> 8 & 3;
  r->limits.messages = seed >> 10 & 3;
  r->limits.tools = seed >> 12 & 3;
  r->limits.image_bytes = seed >> 14 & 7;
}

static void set_up(ft_dataset *d, Memory *m, const uint8_t *choice) {
  ft_reader_options reading;
  memset(&reading, 0, sizeof reading);
  ft_dataset_init(d, allocate, m);
  d->rules.format = (enum ft_format)(choice[0] & 7);
  d->judge = choice[0] & 32 ? judge : NULL;
  d->options.to = (enum ft_format)(choice[1] & 7);
  d->options.dedupe = choice[1] & 8;
  d->options.skip_invalid = choice[1] & 16;
  d->options.shuffle = choice[1] & 32;
  d->options.validation = choice[1] & 64 ? 0.5 : 0;
  d->rules.findings.keep = choice[1] & 128 ? 2 : 100;
  reading.shape = (enum ft_shape)(choice[2] % 5);
  d->options.max_examples = choice[2] >> 3 & 3;
  d->options.max_messages = choice[2] >> 5 & 3;
  d->options.max_characters = choice[2] & 128 ? 40 : 0;
  set_rules(&d->rules, choice[4]);
  ft_reader_close(&d->reader);
  ft_reader_init(&d->reader, allocate, m, &reading);
}

/* ---- a run ---- */

static void check_findings(const ft_dataset *d, long long lines) {
  const ft_findings *f = &d->rules.findings;
  ft_told told;
  size_t at = 0, count[2] = {0, 0};
  while (ft_dataset_found(d, &at, &told)) {
    count[told.finding.warning]++;
    check(told.line >= 0 && (told.source == 0 || told.line <= lines), "a line out of the source");
    check(*told.finding.rule != '\0' && *told.finding.message != '\0', "a finding without words");
    check(strlen(told.finding.excerpt) <= FT_EXCERPT_MAX, "an excerpt too long");
  }
  if (d->kind != NULL)
    return;
  check(count[0] == (f->errors < f->keep ? f->errors : f->keep), "errors were lost");
  check(count[1] == (f->warnings < f->keep ? f->warnings : f->keep), "warnings were lost");
}

static void check_counts(const ft_dataset *d) {
  const ft_dataset_options *o = &d->options;
  long long written = d->sinks[FT_TRAINING].written, other = d->sinks[FT_VALIDATION].written;
  if (d->kind != NULL)
    return;
  check(!d->doomed || written + other == 0, "doomed, and something is written");
  check(!d->doomed || d->rules.findings.errors > 0, "doomed by no error");
  check(o->max_examples == 0 || written <= o->max_examples, "more than max_examples");
  if (!d->doomed && o->max_examples == 0)
    check(d->examples == written + other + d->invalid + (o->dedupe ? d->duplicates : 0),
          "examples were lost");
}

/* By a file or line by line; the first half may be what the second is compared with */
static void run(ft_dataset *d, const uint8_t *choice, const uint8_t *data, size_t n) {
  size_t first = choice[0] & 16 ? n / 2 : 0;
  if (first > 0)
    ft_dataset_compare(d, file_of(COMPARED, data, first));
  if (choice[0] & 8) {
    while (ft_dataset_advance(d, 0) == FT_DATASET_MORE)
      ;
    add_lines(d, (const char *)data + first, n - first);
  } else
    ft_dataset_feed(d, file_of(SOURCE, data + first, n - first));
  while (ft_dataset_advance(d, 0) == FT_DATASET_MORE)
    ;
  while (ft_dataset_settle(d, 0) == FT_DATASET_MORE)
    ;
  check(!d->reading || d->kind != NULL, "the source was left open");
  check_counts(d);
}

/* ---- what comes of it ---- */

static void check_same(const ft_sink *a, const ft_sink *b, const char *words) {
  check(a->written == b->written && a->out.len == b->out.len &&
            (a->out.len == 0 || memcmp(a->out.data, b->out.data, a->out.len) == 0),
        words);
  check(a->bytes == (long long)a->out.len, "the bytes were miscounted");
}

/* The output as a source gives itself, without an error */
static void check_again(const ft_dataset *first, const uint8_t *choice, int side) {
  const uint8_t plain[CHOICES] = {8, 0, 0, 0, choice[4]};
  const ft_buf *out = &first->sinks[side].out;
  Memory m = {-1, 0};
  ft_dataset d;
  set_up(&d, &m, plain);
  d.rules.format = ft_dataset_format(first);
  d.options.shape = FT_SHAPE_JSONL;
  ft_dataset_feed(&d, file_of(SOURCE, (const uint8_t *)out->data, out->len));
  while (ft_dataset_advance(&d, 0) == FT_DATASET_MORE)
    ;
  check(d.rules.findings.errors == 0 && d.invalid == 0, "accepted, then refused");
  check_same(&d.sinks[FT_TRAINING], &first->sinks[side], "bytes were changed");
  ft_dataset_close(&d);
}

static void check_twice(const ft_dataset *first, const uint8_t *choice, const uint8_t *data,
                        size_t n) {
  Memory m = {-1, 0};
  ft_dataset d;
  set_up(&d, &m, choice);
  run(&d, choice, data, n);
  for (int side = 0; side < FT_SIDES; side++)
    check_same(&d.sinks[side], &first->sinks[side], "another run wrote something else");
  ft_dataset_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (n < CHOICES)
    return 0;
  Memory m = {(int)data[3] - 1, 0};
  ft_dataset d;
  set_up(&d, &m, data);
  run(&d, data, data + CHOICES, n - CHOICES);
  check_findings(&d, 1100 * (long long)n); /* gzip packs by 1032 at most */
  if (d.kind == NULL) {
    check_twice(&d, data, data + CHOICES, n - CHOICES);
    for (int side = 0; side < FT_SIDES; side++)
      check_again(&d, data, side);
  }
  ft_dataset_close(&d);
  check(m.bytes == 0, "memory was kept");
  return 0;
}
