#include "dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- faults of the world: the first one stays ---- */

static int fail(ft_dataset *d, const char *kind, const char *format, ...) {
  va_list args;
  if (d->kind != NULL)
    return 0;
  d->kind = kind;
  va_start(args, format);
  vsnprintf(d->words, sizeof d->words, format, args);
  va_end(args);
  ft_outfile_abort(&d->file);
  return 0;
}

static int fail_memory(ft_dataset *d) {
  return fail(d, "memory", "not enough memory");
}

static int fail_output(ft_dataset *d, int error) {
  return fail(d, "data", "cannot write %s: %s", d->output_path.data, strerror(error));
}

/* ---- findings, kept as bytes: Lua values are made of them at the end ---- */

typedef struct Kept {
  lua_Integer line;
  size_t column, path, message; /* lengths with '\0' */
  const char *rule;
  int warning;
} Kept;

static void keep(void *ud, const ft_finding *f) {
  ft_dataset *d = ud;
  Kept k;
  memset(&k, 0, sizeof k); /* the padding too is written */
  k.line = d->line;
  k.column = f->column;
  k.path = strlen(f->path) + 1;
  k.message = strlen(f->message) + 1;
  k.rule = f->rule;
  k.warning = f->warning;
  if (!ft_buf_reserve(&d->found, sizeof k + k.path + k.message)) {
    if (!d->found.full) /* more than anybody reads: they stay counted */
      fail_memory(d);
    return;
  }
  ft_buf_add(&d->found, &k, sizeof k);
  ft_buf_add(&d->found, f->path, k.path);
  ft_buf_add(&d->found, f->message, k.message);
}

int ft_dataset_found(const ft_dataset *d, size_t *at, ft_record *record) {
  Kept k;
  if (*at >= d->found.len)
    return 0;
  memcpy(&k, d->found.data + *at, sizeof k);
  record->line = k.line;
  record->finding.rule = k.rule;
  record->finding.warning = k.warning;
  record->finding.column = k.column;
  record->finding.path = d->found.data + *at + sizeof k;
  record->finding.message = record->finding.path + k.path;
  *at += sizeof k + k.path + k.message;
  return 1;
}

/* ---- output ---- */

static int set_path(ft_dataset *d, ft_buf *b, const char *path) {
  ft_buf_clear(b);
  return ft_buf_add(b, path, strlen(path) + 1) ? 1 : fail_memory(d);
}

int ft_dataset_output(ft_dataset *d, const char *path) {
  if (!set_path(d, &d->output_path, path))
    return 0;
  d->is_file = 1;
  int e = ft_outfile_open(&d->file, path);
  return e == 0 ? 1 : fail_output(d, e);
}

static int flush(ft_dataset *d) {
  int e = ft_outfile_write(&d->file, d->out.data, d->out.len);
  ft_buf_clear(&d->out);
  return e == 0 ? 1 : fail_output(d, e);
}

static int put(ft_dataset *d, const char *s, size_t n) {
  if (d->is_file && d->out.len > 0 && d->out.len + n > FT_BLOCK && !flush(d))
    return 0;
  if (d->is_file && n > FT_BLOCK) {
    int e = ft_outfile_write(&d->file, s, n);
    return e == 0 ? 1 : fail_output(d, e);
  }
  if (ft_buf_add(&d->out, s, n))
    return 1;
  if (d->out.full)
    return fail(d, "data", "more than %d MiB of examples; give an output, a file",
                FT_TEXT_MAX >> 20);
  return fail_memory(d);
}

/* Text that did not come as a line may have line ends between its values: they
   become spaces, the only bytes of an example that are ever changed. */
static int put_joined(ft_dataset *d, const char *s, size_t n) {
  while (n > 0) {
    size_t plain = 0;
    while (plain < n && s[plain] != '\n' && s[plain] != '\r')
      plain++;
    if (!put(d, s, plain))
      return 0;
    if (plain < n && !put(d, " ", 1))
      return 0;
    plain += plain < n;
    s += plain, n -= plain;
  }
  return 1;
}

static int write_example(ft_dataset *d, const char *s, size_t n, int joined) {
  if (d->doomed)
    return 1;
  if (!(joined ? put_joined(d, s, n) : put(d, s, n)) || !put(d, "\n", 1))
    return 0;
  d->written++;
  d->bytes += (lua_Integer)n + 1;
  return 1;
}

/* Without skip_invalid one invalid example decides: what was written goes at
   once, the rest is only checked. */
static int invalid_example(ft_dataset *d) {
  d->invalid++;
  if (d->skip_invalid || d->doomed)
    return d->kind == NULL;
  d->doomed = 1;
  d->written = d->bytes = 0;
  ft_outfile_abort(&d->file);
  ft_buf_free(&d->out);
  return d->kind == NULL;
}

/* ---- examples ---- */

static int too_long(ft_dataset *d) {
  char words[80];
  snprintf(words, sizeof words, "longer than %d MiB; is the end of a line missing?",
           FT_LINE_MAX >> 20);
  d->examples++;
  ft_found(&d->rules.findings, 0, "too_long", 0, words);
  return invalid_example(d);
}

static int example(ft_dataset *d, const char *s, size_t n, int joined) {
  if (n > FT_LINE_MAX)
    return too_long(d);
  d->examples++;
  int verdict = ft_rules_check(&d->rules, s, n);
  if (verdict < 0)
    return fail_memory(d);
  return verdict ? write_example(d, s, n, joined) : invalid_example(d);
}

int ft_dataset_add(ft_dataset *d, const char *s, size_t n) {
  if (d->kind != NULL)
    return 0;
  d->line++;
  int joined = memchr(s, '\n', n) != NULL || memchr(s, '\r', n) != NULL;
  return example(d, s, n, joined);
}

int ft_dataset_reject(ft_dataset *d, const char *words) {
  if (d->kind != NULL)
    return 0;
  d->line++;
  d->examples++;
  ft_found(&d->rules.findings, 0, "example", 0, words);
  return invalid_example(d);
}

static int blank(const char *s, size_t n) {
  while (n > 0 && (*s == ' ' || *s == '\t' || *s == '\r'))
    s++, n--;
  return n == 0;
}

/* a line of the source, without its "\n" */
static int line(ft_dataset *d, const char *s, size_t n) {
  d->line++;
  if (d->at_start && n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0)
    s += 3, n -= 3; /* the mark is the file's, not the example's */
  d->at_start = 0;
  if (n > 0 && s[n - 1] == '\r')
    n--;
  if (!blank(s, n))
    return example(d, s, n, 0);
  ft_found(&d->rules.findings, 1, "blank_line", 0, "a blank line; it was skipped");
  return d->kind == NULL;
}

/* ---- source ---- */

static void source_close(ft_dataset *d) {
  int fd = d->source;
  d->source = -1;
  if (fd >= 0)
    close(fd);
}

static int fail_source(ft_dataset *d, int error) {
  source_close(d);
  return fail(d, "data", "cannot read %s: %s", d->source_path.data, strerror(error));
}

/* Not blocking: a pipe without data must not hold up the host. */
int ft_dataset_feed(ft_dataset *d, const char *path) {
  struct stat st;
  source_close(d);
  if (d->kind != NULL || !set_path(d, &d->source_path, path))
    return 0;
  d->source = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (d->source < 0)
    return fail_source(d, errno);
  if (fstat(d->source, &st) == 0 && S_ISDIR(st.st_mode))
    return fail_source(d, EISDIR);
  ft_buf_clear(&d->in);
  d->taken = d->seen = 0;
  d->line = 0;
  d->at_start = 1;
  d->dropping = 0;
  return 1;
}

/* what is left of `in` moves to its front; a big buffer is not kept */
static int make_room(ft_dataset *d) {
  size_t left = d->in.len - d->taken;
  if (d->in.cap > 16 * FT_BLOCK && left < FT_BLOCK) {
    ft_buf small;
    ft_buf_init(&small, d->alloc, d->ud, d->in.max);
    if (!ft_buf_reserve(&small, 2 * FT_BLOCK))
      return fail_memory(d);
    ft_buf_add(&small, d->in.data + d->taken, left);
    ft_buf_free(&d->in);
    d->in = small;
  } else if (d->taken > 0) {
    memmove(d->in.data, d->in.data + d->taken, left);
    d->in.len = left;
  }
  d->seen -= d->taken;
  d->taken = 0;
  return ft_buf_reserve(&d->in, FT_BLOCK) ? 1 : fail_memory(d);
}

/* The line in `in` that is known to have no end grew too long: the rest of it,
   up to its end, is dropped as it comes. */
static int drop_line(ft_dataset *d) {
  if (!d->dropping)
    d->line++;
  int ok = d->dropping || too_long(d);
  d->at_start = 0;
  d->dropping = 1;
  ft_buf_clear(&d->in);
  d->taken = d->seen = 0;
  return ok;
}

/* the last line, where its end is missing */
static int last_line(ft_dataset *d) {
  size_t left = d->in.len - d->taken;
  const char *s = d->in.data + d->taken;
  source_close(d);
  if (left == 0 || d->dropping)
    return 1;
  d->taken = d->in.len;
  return line(d, s, left);
}

static enum ft_progress read_block(ft_dataset *d) {
  ssize_t n;
  if ((d->dropping || d->in.len - d->taken > FT_LINE_MAX) && !drop_line(d))
    return FT_DATASET_END;
  if (!make_room(d))
    return FT_DATASET_END;
  do
    n = read(d->source, d->in.data + d->in.len, FT_BLOCK);
  while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return FT_DATASET_IDLE;
  if (n < 0)
    return fail_source(d, errno), FT_DATASET_END;
  if (n == 0)
    return last_line(d), FT_DATASET_END;
  d->in.len += (size_t)n;
  return FT_DATASET_MORE;
}

/* 1: a line was taken from `in`; 0: there is no whole one */
static int take_line(ft_dataset *d) {
  if (d->seen >= d->in.len)
    return 0;
  const char *from = d->in.data + d->taken;
  const char *end = memchr(d->in.data + d->seen, '\n', d->in.len - d->seen);
  if (end == NULL) {
    d->seen = d->in.len;
    return 0;
  }
  d->taken = d->seen = (size_t)(end - d->in.data) + 1;
  if (d->dropping)
    d->dropping = 0;
  else
    line(d, from, (size_t)(end - from));
  return 1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { LOOK = 32 * 1024 }; /* bytes between two looks at the clock */

enum ft_progress ft_dataset_advance(ft_dataset *d, double seconds) {
  double until = now() + seconds;
  while (d->source >= 0 && d->kind == NULL) {
    size_t from = d->taken;
    while (d->kind == NULL && d->taken - from < LOOK && take_line(d))
      ;
    if (d->kind == NULL && d->taken - from < LOOK) {
      enum ft_progress p = read_block(d);
      if (p == FT_DATASET_IDLE)
        return p;
    }
    if (d->source >= 0 && now() >= until)
      return FT_DATASET_MORE;
  }
  source_close(d);
  return FT_DATASET_END;
}

/* ---- life ---- */

void ft_dataset_init(ft_dataset *d, lua_Alloc alloc, void *ud) {
  static const ft_outfile closed = FT_OUTFILE_CLOSED;
  memset(d, 0, sizeof *d);
  d->source = -1;
  d->file = closed;
  d->alloc = alloc;
  d->ud = ud;
  d->rules.findings.keep = 100;
  d->rules.findings.found = keep;
  d->rules.findings.ud = d;
  ft_check_keys(&d->rules.keys, alloc, ud);
  ft_buf_init(&d->in, alloc, ud, FT_LINE_MAX + 4 * FT_BLOCK);
  ft_buf_init(&d->out, alloc, ud, FT_TEXT_MAX);
  ft_buf_init(&d->found, alloc, ud, FT_LINE_MAX);
  ft_buf_init(&d->source_path, alloc, ud, FT_LINE_MAX);
  ft_buf_init(&d->output_path, alloc, ud, FT_LINE_MAX);
}

enum { SYNC_CHUNK = 1024 * 1024 };

/* fsync() of gigabytes would hold up the host for seconds: where the system can
   write out a part of a file, that is done before, chunk by chunk. */
enum ft_progress ft_dataset_settle(ft_dataset *d, double seconds) {
#ifdef SYNC_FILE_RANGE_WRITE
  double until = now() + seconds;
  if (d->kind != NULL || d->file.fd < 0 || (d->out.len > 0 && !flush(d)))
    return FT_DATASET_END;
  while (d->synced < d->bytes) {
    if (sync_file_range(d->file.fd, (off_t)d->synced, SYNC_CHUNK,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) != 0)
      return FT_DATASET_END; /* fsync() will say what is wrong, or do it all */
    d->synced += SYNC_CHUNK;
    if (now() >= until)
      return FT_DATASET_MORE;
  }
#else
  (void)d, (void)seconds;
#endif
  return FT_DATASET_END;
}

int ft_dataset_commit(ft_dataset *d) {
  if (d->kind != NULL)
    return 0;
  if (!d->is_file)
    return 1;
  if (d->out.len > 0 && !flush(d))
    return 0;
  int e = ft_outfile_commit(&d->file);
  return e == 0 ? 1 : fail_output(d, e);
}

void ft_dataset_close(ft_dataset *d) {
  d->closed = 1;
  source_close(d);
  ft_outfile_abort(&d->file);
  ft_buf_free(&d->in);
  ft_buf_free(&d->out);
  ft_buf_free(&d->found);
  ft_buf_free(&d->source_path);
  ft_buf_free(&d->output_path);
  ft_buf_free(&d->rules.keys);
}
