/*
** harness_reader.c: the readers. Without arguments: every allocation fails in turn, the sizes of
** blocks change nothing, standard input keeps its flags, and the faults that only a program of
** its own can cause. With arguments, `[option=value]... file`, it prints what the reader finds, a
** line each, for spec/reader_spec.lua:
**   record|blank|bad LINE COLUMN TEXT [HINT] | end SHAPE ... | fault KIND WORDS
** with tabs between, bytes below 32 and backslashes as \xx.
*/
#include "harness.h"
#include "reader.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <zlib.h>

static void put_bytes(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] < 32 || s[i] == '\\')
      printf("\\%02x", (unsigned char)s[i]);
    else
      putchar(s[i]);
}

static const char *hint_of(const ft_record *e) {
  const char *hint = ft_record_hint(e);
  return hint != NULL ? hint : "";
}

static void put_record(const ft_record *e) {
  if (e->bad != NULL)
    printf("bad\t%lld\t%zu\t%s\t", e->bad_line, e->bad_column, e->bad);
  else
    printf("%s\t%lld\t%zu\t", e->blank ? "blank" : e->made ? "made" : "record", e->line, e->column);
  put_bytes(e->s, e->n);
  printf("\t%s\n", hint_of(e));
}

/* ---- printing ---- */

typedef struct Options {
  ft_reader_options o;
  ft_column columns[16];
  size_t show;           /* bytes of a text that are printed */
  const char *meanwhile; /* a command for sh, run after the first record */
} Options;

static int set_option(Options *p, char *word) {
  char *value = strchr(word, '=');
  if (value == NULL)
    return 0;
  *value++ = '\0';
  if (strcmp(word, "shape") == 0)
    p->o.shape = ft_shape_find(value);
  else if (strcmp(word, "block") == 0)
    p->o.block = (size_t)atol(value);
  else if (strcmp(word, "longest") == 0)
    p->o.longest = (size_t)atol(value);
  else if (strcmp(word, "show") == 0)
    p->show = (size_t)atol(value);
  else if (strcmp(word, "meanwhile") == 0)
    p->meanwhile = value;
  else { /* map:COLUMN=KEY */
    ft_column *c = &p->columns[p->o.column_count++];
    c->column = word + strlen("map:");
    c->key = value;
  }
  return 1;
}

static void print_end(const ft_reader *r) {
  printf("end\t%s\t%s%s%s\t%lld of %lld\n",
         r->shape == FT_SHAPE_LOOK ? "?" : ft_shape_name(r->shape), r->gzip ? "gzip " : "",
         r->mark ? "mark " : "", r->changed ? "changed " : "", r->position, r->size);
}

static int run_command(const char *line) {
  fflush(stdout);
  return line == NULL || system(line) == 0;
}

static int print_records(ft_reader *r, Options *p) {
  ft_record e;
  for (;;) {
    enum ft_reading got = ft_reader_next(r, &e);
    if (got == FT_READ_FAULT)
      return printf("fault\t%s\t%s\n", r->kind, r->words), 0;
    if (got == FT_READ_END)
      return print_end(r), 0;
    if (got == FT_READ_IDLE)
      poll(NULL, 0, 1);
    if (got != FT_READ_RECORD)
      continue;
    e.n = e.n < p->show ? e.n : p->show;
    put_record(&e);
    if (!run_command(p->meanwhile))
      return 1;
    p->meanwhile = NULL;
  }
}

static int print_main(int argc, char **argv) {
  Options p = {{FT_SHAPE_LOOK, NULL, 0, 0, 0}, {{NULL, NULL}}, (size_t)-1, NULL};
  Memory m = {0};
  ft_reader r;
  p.o.columns = p.columns;
  for (int i = 1; i < argc - 1; i++)
    if (!set_option(&p, argv[i]))
      return EXIT_FAILURE;
  ft_reader_init(&r, memory_alloc, &m, &p.o);
  ft_reader_open(&r, argv[argc - 1]);
  int status = print_records(&r, &p);
  ft_reader_close(&r);
  if (m.blocks != 0)
    return fprintf(stderr, "%zu blocks are left\n", m.blocks), EXIT_FAILURE;
  return status;
}

/* ---- the texts of the tests ---- */

static char folder[] = "/tmp/harness_reader.XXXXXX";
static char path[64];

static const char *const texts[] = {
    "{\"a\":1}\n\n  \r\n{\"b\":\"x\"}\r\n{\"c\":2},\n{\n\"long line beyond all that is allowed "
    "here\"\nlast",
    "\xEF\xBB\xBF[{\"a\":\"]}\\\"\"},\n [1,{}] , \"s\", tru, 3 ,{\"long\":\"beyond what is "
    "allowed!\"},\n{\"x\":[1},4}]",
    "a,b,\"c \"\"q\"\"\"\r\n1,\"two\nlines\",3\n\n4,5\n\"x\"y,1,2\n1,2,\"beyond all that is "
    "allowed here\"\n7,8,\"never",
    "\xEF\xBB\xBFname\tkey\nx\t\\\x01\"\n1\t2\n",
};

enum { TEXTS = sizeof texts / sizeof *texts, PACKED = TEXTS /* one more: packed */, ALL };

static const enum ft_shape shapes[ALL] = {FT_SHAPE_LOOK, FT_SHAPE_LOOK, FT_SHAPE_CSV, FT_SHAPE_TSV,
                                          FT_SHAPE_LOOK};

static int write_text(int which) {
  if (which == PACKED) {
    gzFile z = gzopen(path, "wb");
    int good = z != NULL && gzputs(z, texts[0]) > 0;
    return z != NULL && gzclose(z) == Z_OK && good;
  }
  FILE *f = fopen(path, "wb");
  int good = f != NULL && fputs(texts[which], f) >= 0;
  return f != NULL && fclose(f) == 0 && good;
}

/* all that the reader says of the file, as bytes */
typedef struct Said {
  char bytes[8192];
  size_t n;
  enum ft_reading last;
} Said;

static void say(Said *said, const ft_record *e) {
  size_t left = sizeof said->bytes - said->n;
  int n = snprintf(said->bytes + said->n, left, "%lld %zu %d %d <%.*s> %s %s %lld %zu\n", e->line,
                   e->column, e->blank, e->made, (int)e->n, e->n > 0 ? e->s : "", hint_of(e),
                   e->bad ? e->bad : "", e->bad_line, e->bad_column);
  if (n > 0 && (size_t)n < left)
    said->n += (size_t)n;
}

static const char *const kinds[] = {"data", "memory"};

static Said read_all(Memory *m, int which, size_t block, const char **kind) {
  ft_reader_options o = {shapes[which], NULL, 0, block, 24};
  ft_reader r;
  ft_record e;
  Said said = {{0}, 0, FT_READ_MORE};
  ft_reader_init(&r, memory_alloc, m, &o);
  ft_reader_open(&r, path);
  do
    if ((said.last = ft_reader_next(&r, &e)) == FT_READ_RECORD)
      say(&said, &e);
  while (said.last != FT_READ_END && said.last != FT_READ_FAULT);
  *kind = r.kind == NULL ? NULL : kinds[strcmp(r.kind, "memory") == 0];
  ft_reader_close(&r);
  ft_reader_close(&r);
  return said;
}

/* ---- the tests ---- */

static void test_blocks(Tally *t, int which) {
  Memory m = {0};
  const char *kind;
  Said whole = read_all(&m, which, 4096, &kind);
  check(t, whole.last == FT_READ_END && whole.n > 60, "a text is read to its end");
  for (size_t block = 1; block < 80; block++) {
    Said parts = read_all(&m, which, block, &kind);
    if (!check(t, parts.n == whole.n && memcmp(parts.bytes, whole.bytes, whole.n) == 0,
               "the size of blocks changes nothing"))
      fprintf(stderr, "text %d, block %zu:\n%s\nbut whole:\n%s\n", which, block, parts.bytes,
              whole.bytes);
  }
  check(t, m.blocks == 0 && m.live == 0, "every byte is given back");
}

static void test_memory(Tally *t, int which) {
  for (long i = 1, fired = 1; fired; i++) {
    Memory m = {0};
    const char *kind;
    m.on = 1;
    m.fail_at = i;
    m.fails = 1;
    Said said = read_all(&m, which, 16, &kind);
    fired = m.fired;
    if (fired)
      check(t, said.last == FT_READ_FAULT && kind == kinds[1], "an allocation that fails is told");
    else
      check(t, said.last == FT_READ_END && i > 2, "with enough memory all is read");
    check(t, m.blocks == 0 && m.live == 0, "every byte is given back");
  }
}

/* what unpacks to 80 MiB takes no more memory than its blocks */
static void test_bomb(Tally *t) {
  static char zeros[1 << 20];
  Memory m = {0};
  ft_reader r;
  ft_record e;
  ft_reader_options o = {0};
  gzFile z = gzopen(path, "wb9");
  memset(zeros, 'x', sizeof zeros);
  for (int i = 0; i < 80; i++)
    check(t, gzwrite(z, zeros, sizeof zeros) == sizeof zeros, "the bomb is written");
  check(t, gzclose(z) == Z_OK, "the bomb is written");
  ft_reader_init(&r, memory_alloc, &m, &o);
  check(t, ft_reader_open(&r, path), "the bomb is opened");
  size_t most = 0, bad = 0, other = 0;
  enum ft_reading got;
  while ((got = ft_reader_next(&r, &e)) == FT_READ_MORE || got == FT_READ_RECORD) {
    most = m.live > most ? m.live : most;
    bad += got == FT_READ_RECORD && e.bad != NULL;
    other += got == FT_READ_RECORD && e.bad == NULL;
  }
  check(t, got == FT_READ_END && bad == 1 && other == 0, "a line of 80 MiB is one bad record");
  check(t, most < 3 * (size_t)FT_LINE_MAX, "of a line of 80 MiB little is kept");
  ft_reader_close(&r);
  check(t, m.blocks == 0, "every byte is given back");
}

/* fd becomes standard input for as long as it is read */
static enum ft_reading read_stdin(int fd, ft_reader *r, ft_record *e) {
  ft_reader_options o = {0};
  static Memory m;
  dup2(fd, STDIN_FILENO);
  ft_reader_init(r, memory_alloc, &m, &o);
  return ft_reader_open(r, "-") ? ft_reader_next(r, e) : FT_READ_FAULT;
}

static void test_stdin(Tally *t) {
  int fd[2], saved = dup(STDIN_FILENO);
  ft_reader r;
  ft_record e;
  check(t, pipe(fd) == 0, "there is a pipe");
  check(t, read_stdin(fd[0], &r, &e) == FT_READ_IDLE, "an empty standard input is idle");
  check(t, (fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) == 0, "standard input keeps its flags");
  check(t, write(fd[1], "{}", 2) == 2, "the pipe takes bytes");
  check(t, ft_reader_next(&r, &e) == FT_READ_MORE, "a line without its end is none yet");
  check(t, ft_reader_next(&r, &e) == FT_READ_IDLE, "and then the pipe is empty");
  check(t, write(fd[1], "\n", 1) == 1, "the pipe takes bytes");
  check(t, ft_reader_next(&r, &e) == FT_READ_RECORD && e.n == 2, "its end makes it a record");
  close(fd[1]);
  check(t, ft_reader_next(&r, &e) == FT_READ_END, "the end is told");
  ft_reader_close(&r);
  check(t, fcntl(STDIN_FILENO, F_GETFD) >= 0, "standard input stays open");
  close(STDIN_FILENO);
  check(t, fcntl(fd[0], F_GETFD) >= 0, "the pipe is still there");
  ft_reader_open(&r, "-");
  check(t, r.kind != NULL && strstr(r.words, "standard input: Bad file descriptor") != NULL,
        "a standard input that is closed is a fault");
  ft_reader_close(&r);
  dup2(saved, STDIN_FILENO);
  close(saved), close(fd[0]);
}

static void test_fifo(Tally *t) {
  Memory m = {0};
  ft_reader_options o = {0};
  ft_reader r;
  ft_record e;
  remove(path);
  check(t, mkfifo(path, 0600) == 0, "there is a FIFO");
  ft_reader_init(&r, memory_alloc, &m, &o);
  check(t, ft_reader_open(&r, path), "a FIFO without a writer can be opened");
  for (int i = 0; i < 3; i++)
    check(t, ft_reader_next(&r, &e) == FT_READ_IDLE, "it is idle until there is one");
  int fd = open(path, O_WRONLY);
  check(t, ft_reader_next(&r, &e) == FT_READ_IDLE, "and until that one writes");
  check(t, write(fd, "{}\n1", 4) == 4, "the FIFO takes bytes");
  check(t, ft_reader_next(&r, &e) == FT_READ_RECORD && e.n == 2, "a record comes through");
  close(fd);
  enum ft_reading got;
  while ((got = ft_reader_next(&r, &e)) == FT_READ_MORE)
    ;
  check(t, got == FT_READ_RECORD && e.n == 1, "the last one too, without a line end");
  check(t, ft_reader_next(&r, &e) == FT_READ_END, "the writer's end is the end");
  ft_reader_close(&r);
  check(t, m.blocks == 0, "every byte is given back");
}

/* one reader, file after file */
static void test_again(Tally *t) {
  Memory m = {0};
  ft_reader_options o = {0};
  ft_reader r;
  ft_record e;
  ft_reader_init(&r, memory_alloc, &m, &o);
  check(t, ft_reader_next(&r, &e) == FT_READ_END, "before a file is opened there is nothing");
  for (int i = 0; i < 3; i++) {
    check(t, !ft_reader_open(&r, folder) && ft_reader_next(&r, &e) == FT_READ_FAULT, "a folder");
    check(t, strstr(r.words, "Is a directory") != NULL && strcmp(r.kind, "data") == 0, r.words);
    check(t, write_text(0) && ft_reader_open(&r, path), "a file after a fault");
    check(t, ft_reader_next(&r, &e) == FT_READ_RECORD && e.line == 1, "is read from its beginning");
  }
  ft_reader_close(&r);
  check(t, ft_reader_next(&r, &e) == FT_READ_END && m.blocks == 0, "a closed reader is at its end");
}

int main(int argc, char **argv) {
  Tally t = {0, 0};
  hang_guard(120);
  if (argc > 1)
    return print_main(argc, argv);
  if (mkdtemp(folder) == NULL)
    return EXIT_FAILURE;
  snprintf(path, sizeof path, "%s/data", folder);
  for (int i = 0; i < ALL; i++) {
    check(&t, write_text(i), "a text is written");
    test_blocks(&t, i);
    test_memory(&t, i);
  }
  test_bomb(&t);
  test_stdin(&t);
  test_again(&t);
  test_fifo(&t);
  remove(path);
  rmdir(folder);
  return summary(&t);
}
