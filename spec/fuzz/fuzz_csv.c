/*
** fuzz_csv.c: the readers over arbitrary bytes, for libFuzzer (`make fuzz`). An input's first
** bytes choose the shape, the size of blocks, the longest record, how the rest is written to a
** pipe, and which allocation fails (0: none). The same bytes as one block of memory must
** give the same records; and each must be what stands where it says. With -DFUZZ_MAIN a
** program of its own, which runs the files it is given.
*/
#define FUZZER "fuzz_csv"

#include "fuzz.h"
#include "reader.h"
#include "scan.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what a reader says, as one number ---- */

typedef struct Said {
  uint64_t sum;
  long records;
  enum ft_reading last;
  int gzip;
  const char *kind;
} Said;

static void add(Said *said, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < n; i++)
    said->sum = (said->sum ^ p[i]) * UINT64_C(0x100000001B3); /* FNV-1a */
}

static void add_record(Said *said, const ft_record *e) {
  long long numbers[] = {e->line,     (long long)e->column,     e->blank,       e->made,
                         e->bad_line, (long long)e->bad_column, (long long)e->n};
  add(said, numbers, sizeof numbers);
  if (e->n > 0)
    add(said, e->s, e->n);
  const char *hint = ft_record_hint(e);
  if (hint != NULL)
    add(said, hint, strlen(hint));
  if (e->bad != NULL)
    add(said, e->bad, strlen(e->bad));
  said->records++;
}

/* ---- is it where it says? ---- */

typedef struct Source {
  const char *s;
  size_t n;
} Source;

/* the place of a line and a column, or NULL */
static const char *find_place(Source in, long long line, size_t column) {
  const char *p = in.s, *end = in.s + in.n;
  for (; line > 1; line--) {
    p = memchr(p, '\n', (size_t)(end - p));
    if (p++ == NULL)
      return NULL;
  }
  return column <= (size_t)(end - p) ? p + column : NULL;
}

static void check_made(const ft_record *e) {
  const char *why;
  ptrdiff_t at = ft_scan(e->s, e->n, 1, &why);
  check(at < 0 || why == ft_scan_utf8, "a row became what is no JSON");
}

static void check_record(const ft_reader *r, const ft_record *e, Source in, long long last_line) {
  check(e->line >= last_line, "lines go back");
  check(e->bad != NULL || e->blank || e->n > 0, "a record of nothing");
  check(e->n <= r->options.longest, "a record is too long");
  check(e->bad == NULL || e->bad_line >= e->line, "a fault before its record");
  if (r->gzip)
    return;
  if (r->mark)
    in.s += 3, in.n -= 3;
  const char *at = find_place(in, e->line, e->column);
  check(at != NULL, "a record beyond the source");
  if (e->made)
    check_made(e);
  else
    check((size_t)(in.s + in.n - at) >= e->n && memcmp(at, e->s, e->n) == 0,
          "a record is not what stands there");
  check(e->bad == NULL || find_place(in, e->bad_line, e->bad_column - (e->bad_column > 0)) != NULL,
        "a fault beyond the source");
}

/* ---- two ways to read the same ---- */

typedef struct Input {
  ft_reader_options options;
  Source in;
  size_t piece; /* bytes written to the pipe at a time */
} Input;

static Said read_all(ft_reader *r, const Input *input, int writer) {
  Said said = {0, 0, FT_READ_MORE, 0, NULL};
  ft_record e;
  size_t written = 0;
  long long line = 0;
  for (;;) {
    said.last = ft_reader_next(r, &e);
    if (said.last == FT_READ_END || said.last == FT_READ_FAULT)
      break;
    if (said.last == FT_READ_RECORD) {
      check_record(r, &e, input->in, line);
      add_record(&said, &e);
      line = e.line;
    } else if (said.last == FT_READ_IDLE) {
      size_t left = input->in.n - written, n = left < input->piece ? left : input->piece;
      check(writer >= 0, "a file is never idle");
      if (n == 0)
        close(writer), writer = -1;
      else
        check(write(writer, input->in.s + written, n) == (ssize_t)n, "the pipe takes no bytes");
      written += n;
    }
  }
  if (writer >= 0)
    close(writer);
  said.gzip = r->gzip;
  said.kind = r->kind;
  check((said.last == FT_READ_FAULT) == (r->kind != NULL), "a fault without its kind");
  return said;
}

static Said run(const Input *input, int failing, int fd, int writer) {
  Memory m = {failing - 1, 0};
  ft_reader r;
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ft_reader_init(&r, allocate, &m, &input->options);
  int opened = ft_reader_open(&r, path);
  close(fd);
  check(opened || r.kind != NULL, "a fault without its kind");
  Said said = read_all(&r, input, writer);
  check(failing != 0 || r.kind == NULL || strcmp(r.kind, "memory") != 0, "memory fell short");
  ft_reader_close(&r);
  check(m.bytes == 0, "memory was kept");
  return said;
}

static Said from_memory(const Input *input) {
  int fd = memfd_create("fuzz_csv", MFD_CLOEXEC);
  check(fd >= 0, "no file in memory");
  check(write(fd, input->in.s, input->in.n) == (ssize_t)input->in.n, "the file takes no bytes");
  return run(input, 0, fd, -1);
}

static Said from_pipe(const Input *input, int failing) {
  int fd[2];
  check(pipe2(fd, O_CLOEXEC) == 0, "no pipe");
  return run(input, failing, fd[0], fd[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static const ft_column map[] = {{"a", "prompt"}, {"b", "completion"}};
  enum { HEAD = 5 };
  if (n < HEAD)
    return 0;
  Input input = {{(enum ft_shape)(data[0] % 5), NULL, 0, 1 << 16, 512}, {0}, (size_t)data[1] + 1};
  if (data[0] & 64)
    input.options.columns = map, input.options.column_count = 2;
  if (data[2] & 1) /* most records are too long */
    input.options.longest = 300;
  input.in.s = (const char *)data + HEAD;
  input.in.n = n - HEAD;
  Said whole = from_memory(&input);
  input.options.block = (size_t)data[3] + 1;
  Said parts = from_pipe(&input, 0);
  check(parts.last == whole.last, "the size of blocks decides how it ends");
  check(whole.gzip == parts.gzip, "the size of blocks decides whether it is packed");
  int corrupt =
      whole.gzip && whole.last == FT_READ_FAULT; /* what is read before it shows depends */
  check(corrupt || (parts.records == whole.records && parts.sum == whole.sum),
        "the size of blocks changes records");
  if (data[4] > 0)
    from_pipe(&input, data[4]);
  return 0;
}
