#include "dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- outputs ---- */

int ft_dataset_output(ft_dataset *d, int side, const char *path) {
  if (d->kind != NULL)
    return 0;
  int e = ft_sink_open(&d->sinks[side], path);
  return e == 0 ? 1 : ft_dataset_fail_output(d, &d->sinks[side], e);
}

enum ft_format ft_dataset_format(const ft_dataset *d) {
  return d->options.to != FT_FORMAT_NONE ? d->options.to : d->rules.format;
}

/* ---- examples of a Lua program ---- */

static void next_record(ft_dataset *d, const char *s, size_t n) {
  long long line = d->record.line + 1;
  memset(&d->record, 0, sizeof d->record);
  d->record.at = -1;
  d->source = 0; /* also where a file was read before */
  d->record.s = s;
  d->record.n = n;
  d->record.line = line;
  d->errors_before = d->rules.findings.errors;
  d->before += (long long)n; /* for those who ask how far it is: nobody knows how far it goes */
  d->size = -1;
}

static int too_long(ft_dataset *d, const char *words) {
  d->examples++;
  ft_rules_found(&d->rules, FT_RULE_TOO_LONG, NULL, 0, 0, words);
  return ft_dataset_invalid(d);
}

int ft_dataset_add(ft_dataset *d, const char *s, size_t n) {
  char words[80];
  if (d->kind != NULL || d->full)
    return 0;
  next_record(d, s, n);
  if (n <= FT_LINE_MAX)
    return ft_dataset_example(d, s, n, 1);
  snprintf(words, sizeof words, "longer than %d MiB", FT_LINE_MAX >> 20);
  return too_long(d, words);
}

int ft_dataset_reject(ft_dataset *d, const char *words) {
  if (d->kind != NULL || d->full)
    return 0;
  next_record(d, NULL, 0);
  d->examples++;
  ft_rules_found(&d->rules, FT_RULE_EXAMPLE, NULL, 0, 0, words);
  return ft_dataset_invalid(d);
}

/* ---- sources ---- */

/* The size of a file, for those who ask how far it is; -1: nobody knows */
static void add_size(ft_dataset *d, const char *path) {
  struct stat st;
  int known = strcmp(path, "-") != 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
  d->size = known && d->size >= 0 ? d->size + (long long)st.st_size : -1;
}

int ft_dataset_feed(ft_dataset *d, const char *path) {
  if (d->kind != NULL)
    return 0;
  if (!ft_buf_add(&d->sources, path, strlen(path) + 1))
    return ft_dataset_fail_memory(d);
  add_size(d, path);
  return 1;
}

int ft_dataset_compare(ft_dataset *d, const char *path) {
  d->comparing = 1;
  return ft_dataset_feed(d, path);
}

static int fail_reader(ft_dataset *d) {
  return ft_dataset_fail(d, d->reader.kind, "%s", d->reader.words);
}

/* 1: the next source is open; 0: there is none, or a fault */
static int open_next(ft_dataset *d) {
  if (d->next >= d->sources.len || d->full)
    return 0;
  const char *path = d->sources.data + d->next;
  d->comparing = d->comparing && d->opened == 0; /* that file is the first */
  d->next += strlen(path) + 1;
  d->source = ++d->opened;
  memset(&d->record, 0, sizeof d->record);
  d->reader.options.shape = d->comparing ? FT_SHAPE_LOOK : d->options.shape;
  d->reading = ft_reader_open(&d->reader, path);
  return d->reading ? 1 : fail_reader(d);
}

static void tell_changed(ft_dataset *d, size_t source) {
  d->source = source;
  d->record.line = 0;
  d->changed = 1;
  ft_rules_found(&d->rules, FT_RULE_CHANGED, NULL, 0, 0,
                 "somebody wrote to the file while it was read");
}

/* What the file as a whole is like, once it has been read. Its errors keep the set from being
   written, as those of the set do. */
static void check_file(ft_dataset *d) {
  size_t errors = d->rules.findings.errors;
  if (d->rules.limits.bom == FT_BOM_REQUIRE && !d->reader.mark)
    ft_rules_found(&d->rules, FT_RULE_BOM, NULL, 0, 0,
                   "this service wants a byte order mark (EF BB BF) at the beginning of a file");
  if (d->reader.changed)
    tell_changed(d, d->source);
  if (d->rules.findings.errors > errors)
    ft_dataset_doom(d);
}

static void check_compared(ft_dataset *d) {
  char words[120];
  if (d->reader.changed)
    tell_changed(d, d->source);
  if (d->compared > 0 && d->unread == 0)
    return;
  snprintf(words, sizeof words, "%lld of its %lld examples cannot be read, and were not looked for",
           d->unread, d->compared);
  ft_rules_found(&d->rules, FT_RULE_VALIDATION_FILE, NULL, 0, 0,
                 d->compared == 0 ? "there is no example in the validation file" : words);
}

static void close_source(ft_dataset *d) {
  d->record.line = 0;
  if (d->comparing)
    check_compared(d);
  else
    check_file(d);
  d->before += d->reader.position;
  d->comparing = 0;
  d->reading = 0;
  ft_reader_close(&d->reader);
}

static void bad_record(ft_dataset *d, const ft_record *record) {
  d->examples++;
  d->record.line = record->bad_line;
  d->record.column = 0;
  ft_rules_found(&d->rules, record->too_long ? FT_RULE_TOO_LONG : FT_RULE_RECORD, NULL, 0,
                 record->bad_column, record->bad);
  ft_dataset_invalid(d);
}

static void take(ft_dataset *d) {
  const ft_record *record = &d->record;
  d->errors_before = d->rules.findings.errors;
  if (d->comparing) {
    if (record->blank)
      return;
    d->compared++;
    if (record->bad != NULL)
      d->unread++;
    else
      ft_dataset_look_out(d, record->s, record->n);
  } else if (record->bad != NULL)
    bad_record(d, record);
  else if (!record->blank)
    ft_dataset_example(d, record->s, record->n, d->reader.shape == FT_SHAPE_ARRAY);
  else {
    d->blank++;
    ft_rules_found(&d->rules, FT_RULE_BLANK_LINE, NULL, 0, 0, "a blank line; it was skipped");
    if (!d->options.skip_invalid && d->rules.findings.errors > d->errors_before)
      ft_dataset_doom(d);
  }
}

/* ---- slices ---- */

enum { LOOK = 32 * 1024 }; /* bytes between two looks at the clock */

enum ft_progress ft_dataset_advance(ft_dataset *d, double seconds) {
  double until = ft_sink_clock() + seconds;
  size_t bytes = 0;
  while (d->kind == NULL && (d->reading || open_next(d))) {
    enum ft_reading got = ft_reader_next(&d->reader, &d->record);
    if (got == FT_READ_RECORD) {
      take(d);
      bytes += d->record.n + 1;
    } else if (got == FT_READ_FAULT)
      fail_reader(d);
    else if (got == FT_READ_IDLE)
      return FT_DATASET_IDLE;
    if (got == FT_READ_END || d->full)
      close_source(d);
    if ((got != FT_READ_RECORD || bytes >= LOOK) && (bytes = 0, ft_sink_clock() >= until))
      return d->kind == NULL ? FT_DATASET_MORE : FT_DATASET_END;
  }
  return FT_DATASET_END;
}

/* ---- the end ---- */

static void too_many(ft_dataset *d, enum ft_rule rule, const char *format, size_t limit,
                     long long n) {
  char words[160];
  snprintf(words, sizeof words, format, limit, n);
  ft_rules_found(&d->rules, rule, NULL, 0, 0, words);
}

static long long training_count(const ft_dataset *d) {
  long long n = d->sinks[FT_TRAINING].written, most = d->options.max_examples;
  return most > 0 && n > most ? most : n;
}

/* What a service asks of a file; a file that does not fit may still be good for another */
static void check_set(ft_dataset *d) {
  const ft_limits *l = &d->rules.limits;
  long long n = training_count(d), bytes = d->sinks[FT_TRAINING].bytes;
  enum ft_format format = ft_dataset_format(d);
  d->source = 0;
  d->record.line = 0;
  if (n < (long long)l->min_examples)
    too_many(d, FT_RULE_MIN_EXAMPLES,
             "this service wants at least %zu examples, and there are %lld", l->min_examples, n);
  if (l->max_examples > 0 && n > (long long)l->max_examples)
    too_many(d, FT_RULE_MAX_EXAMPLES, "this service takes at most %zu examples, and there are %lld",
             l->max_examples, n);
  if (l->max_bytes > 0 && bytes > (long long)l->max_bytes)
    too_many(d, FT_RULE_MAX_BYTES,
             "this service takes files of at most %zu bytes, and this one has %lld", l->max_bytes,
             bytes);
  if (l->formats != 0 && !(l->formats >> format & 1))
    ft_dataset_wrong_format(d, format);
  if (d->answers == 1 && n > 1)
    ft_rules_found(&d->rules, FT_RULE_ONE_ANSWER, NULL, 0, 0,
                   "all examples have one and the same answer");
}

/* Examples were compared with what stands in the files now */
static void check_unchanged(ft_dataset *d) {
  const ft_twice *sets[] = {&d->seen, &d->against};
  for (int i = 0; i < 2 && !d->changed; i++)
    if (ft_twice_changed(sets[i]))
      tell_changed(d, sets[i]->source);
}

/* The errors of the set as a whole keep it from being written, as those of an example do */
static void judge_set(ft_dataset *d) {
  size_t errors = d->rules.findings.errors;
  check_unchanged(d);
  if (!d->doomed && training_count(d) > 0)
    check_set(d);
  if (d->rules.findings.errors > errors)
    ft_dataset_doom(d);
}

/* The text in memory in its new order takes the place of the old one */
static void shuffled(ft_dataset *d) {
  ft_sink *sink = &d->sinks[FT_TRAINING];
  sink->written = training_count(d);
  sink->bytes = d->drawn_bytes;
  ft_buf_free(&sink->out);
  sink->out = d->shuffled_text;
  ft_buf_init(&d->shuffled_text, d->alloc, d->ud, FT_TEXT_MAX);
}

static enum ft_progress shuffle_text(ft_dataset *d, double until) {
  const ft_sink *sink = &d->sinks[FT_TRAINING];
  size_t n = (size_t)training_count(d), work = 0;
  enum ft_progress progress = FT_DATASET_END;
  ft_line line;
  while (progress == FT_DATASET_END && d->shuffle.drawn < n &&
         ft_shuffle_draw(&d->shuffle, &line)) {
    if (!sink->nowhere && !ft_buf_add(&d->shuffled_text, sink->out.data + line.at, line.n)) {
      ft_dataset_fail_memory(d);
      return FT_DATASET_END;
    }
    d->drawn_bytes += (long long)line.n;
    work += line.n + 256;
    if (work >= LOOK && (work = 0, ft_sink_clock() >= until))
      progress = FT_DATASET_MORE;
  }
  ft_dataset_measure_drawn(d);
  if (progress == FT_DATASET_END)
    shuffled(d);
  return progress;
}

/* The second file takes the place of the first, which goes */
static int shuffle_done(ft_dataset *d) {
  struct stat st;
  ft_sink *sink = &d->sinks[FT_TRAINING];
  ft_outfile_abort(&sink->file);
  sink->file = d->shuffled;
  static const ft_outfile closed = FT_OUTFILE_CLOSED;
  d->shuffled = closed;
  sink->written = training_count(d);
  if (fstat(sink->file.fd, &st) != 0)
    return ft_dataset_fail_output(d, sink, errno);
  sink->bytes = (long long)st.st_size;
  return 1;
}

static enum ft_progress shuffle(ft_dataset *d, double seconds) {
  ft_sink *sink = &d->sinks[FT_TRAINING];
  if (!ft_sink_is_file(sink))
    return shuffle_text(d, ft_sink_clock() + seconds);
  int e = ft_sink_flush(sink);
  if (e == 0 && d->shuffled.fd < 0)
    e = ft_outfile_open(&d->shuffled, sink->path.data);
  int more = e != 0 ? -e
                    : ft_shuffle_copy(&d->shuffle, sink->file.fd, &d->shuffled,
                                      (size_t)training_count(d), seconds);
  ft_dataset_measure_drawn(d);
  if (more < 0)
    ft_dataset_fail_output(d, sink, -more);
  else if (more == FT_SHUFFLE_DONE)
    shuffle_done(d);
  return more == FT_SHUFFLE_MORE ? FT_DATASET_MORE : FT_DATASET_END;
}

enum { PHASE_SHUFFLE, PHASE_JUDGE, PHASE_SYNC };

enum ft_progress ft_dataset_settle(ft_dataset *d, double seconds) {
  double until = ft_sink_clock() + seconds;
  if (d->kind == NULL && !d->doomed && d->phase == PHASE_SHUFFLE) {
    if (d->options.shuffle && shuffle(d, seconds) == FT_DATASET_MORE)
      return FT_DATASET_MORE;
    d->phase = PHASE_JUDGE; /* of what is left of it: max_examples */
  }
  if (d->kind == NULL && !d->doomed && d->phase == PHASE_JUDGE)
    judge_set(d), d->phase = PHASE_SYNC;
  if (d->kind == NULL && d->doomed && d->shuffle.drawn == 0 && !ft_dataset_measure_all(d, until))
    return FT_DATASET_MORE;
  if (d->kind != NULL || d->doomed)
    return FT_DATASET_END;
  for (int side = 0; side < FT_SIDES && d->kind == NULL; side++) {
    int e = ft_sink_flush(&d->sinks[side]);
    if (e != 0)
      ft_dataset_fail_output(d, &d->sinks[side], e);
    else if (ft_sink_settle(&d->sinks[side], until))
      return FT_DATASET_MORE;
  }
  return FT_DATASET_END;
}

/* Both are on the disk before one appears: a full disk leaves both old files */
int ft_dataset_commit(ft_dataset *d) {
  int (*const steps[])(ft_sink *) = {ft_sink_sync, ft_sink_commit};
  for (int i = 0; i < 2; i++)
    for (int side = FT_SIDES - 1; side >= 0 && d->kind == NULL; side--) {
      int e = steps[i](&d->sinks[side]);
      if (e != 0)
        ft_dataset_fail_output(d, &d->sinks[side], e);
    }
  return d->kind == NULL;
}

/* ---- life ---- */

/* Nobody who writes examples shall know it: see canon.h */
static uint64_t secret(const void *address) {
  struct timespec t;
  uint64_t seed = 0;
  int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, &seed, sizeof seed) != (ssize_t)sizeof seed) {
    clock_gettime(CLOCK_REALTIME, &t);
    seed ^= (uint64_t)t.tv_nsec << 20 ^ (uint64_t)t.tv_sec ^ (uint64_t)(uintptr_t)address;
  }
  if (fd >= 0)
    close(fd);
  return seed;
}

void ft_dataset_init(ft_dataset *d, lua_Alloc alloc, void *ud) {
  static const ft_outfile closed = FT_OUTFILE_CLOSED;
  static const ft_reader_options any;
  uint64_t seed = secret(d);
  memset(d, 0, sizeof *d);
  d->alloc = alloc;
  d->ud = ud;
  d->shuffled = closed;
  ft_rules_init(&d->rules, alloc, ud);
  d->rules.findings.keep = 100;
  d->rules.findings.found = ft_dataset_keep;
  d->rules.findings.ud = d;
  ft_reader_init(&d->reader, alloc, ud, &any);
  ft_twice_init(&d->seen, seed, alloc, ud);
  ft_twice_init(&d->against, seed, alloc, ud);
  ft_shuffle_init(&d->shuffle, alloc, ud, 0);
  ft_tokens_init(&d->tokenizer, NULL, alloc, ud);
  for (int side = 0; side < FT_SIDES; side++)
    ft_sink_init(&d->sinks[side], alloc, ud);
  for (int i = 0; i < FT_MEASURES; i++)
    ft_stats_init(&d->measures[i]);
  ft_buf *bufs[] = {&d->sources, &d->made,  &d->shorter, &d->answer,
                    &d->found,   &d->texts, &d->drop,    &d->columns};
  for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
    ft_buf_init(bufs[i], alloc, ud, 2 * (size_t)FT_LINE_MAX);
  ft_buf_init(&d->shuffled_text, alloc, ud, FT_TEXT_MAX);
  ft_buf_init(&d->candidates, alloc, ud, SIZE_MAX / 2);
  ft_buf_init(&d->nodes, alloc, ud, FT_NODES_MAX * sizeof(ft_node));
  ft_buf_init(&d->nodes_made, alloc, ud, FT_NODES_MAX * sizeof(ft_node));
  ft_buf_init(&d->strings, alloc, ud, FT_NODES_MAX * sizeof(ft_node));
}

void ft_dataset_close(ft_dataset *d) {
  ft_buf *bufs[] = {&d->sources, &d->made,          &d->shorter, &d->answer,
                    &d->found,   &d->shuffled_text, &d->nodes,   &d->nodes_made,
                    &d->strings, &d->texts,         &d->drop,    &d->columns};
  d->closed = 1;
  ft_reader_close(&d->reader);
  ft_outfile_abort(&d->shuffled);
  for (int side = 0; side < FT_SIDES; side++)
    ft_sink_free(&d->sinks[side]);
  ft_shuffle_free(&d->shuffle);
  ft_dataset_forget_candidates(d);
  ft_tokens_free(&d->tokenizer);
  ft_twice_free(&d->seen);
  ft_twice_free(&d->against);
  ft_rules_free(&d->rules);
  for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
    ft_buf_free(bufs[i]);
}
