#include "reader.h"

#include "reader_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const shape_names[] = {NULL, "jsonl", "array", "csv", "tsv"};

enum ft_shape ft_shape_find(const char *name) {
  for (int i = FT_SHAPE_JSONL; i <= FT_SHAPE_TSV; i++)
    if (strcmp(name, shape_names[i]) == 0)
      return (enum ft_shape)i;
  return FT_SHAPE_LOOK;
}

const char *ft_shape_name(enum ft_shape shape) {
  return shape_names[shape];
}

/* ---- faults: the first one stays ---- */

enum ft_reading ft_reader_fail(ft_reader *r, const char *format, ...) {
  va_list args;
  if (r->kind != NULL)
    return FT_READ_FAULT;
  r->kind = "data";
  int n = snprintf(r->words, sizeof r->words,
                   "cannot read %s: ", r->is_stdin ? "standard input" : r->path.data);
  if (n < 0 || (size_t)n >= sizeof r->words)
    return FT_READ_FAULT; /* the name filled it all */
  va_start(args, format);
  vsnprintf(r->words + n, sizeof r->words - (size_t)n, format, args);
  va_end(args);
  return FT_READ_FAULT;
}

enum ft_reading ft_reader_no_memory(ft_reader *r) {
  if (r->kind == NULL) {
    r->kind = "memory";
    snprintf(r->words, sizeof r->words, "not enough memory");
  }
  return FT_READ_FAULT;
}

/* ---- records that are none ---- */

enum ft_reading ft_reader_bad(const ft_reader *r, ft_record *out, const char *why) {
  out->line = out->bad_line = r->begin_line;
  out->column = r->begin_column;
  out->bad = why;
  if (out->s == NULL)
    out->s = "";
  return FT_READ_RECORD;
}

enum { EXCERPT = 256 }; /* bytes of a record that is too long */

enum ft_reading ft_reader_too_long(ft_reader *r, ft_record *out, size_t at, size_t n) {
  size_t most = r->options.longest;
  const char *missing = r->shape == FT_SHAPE_JSONL   ? "the end of a line"
                        : r->shape == FT_SHAPE_ARRAY ? "a bracket or a quote"
                                                     : "a closing quote";
  if (most >> 20 > 0)
    snprintf(r->why, sizeof r->why, "longer than %zu MiB; is %s missing?", most >> 20, missing);
  else
    snprintf(r->why, sizeof r->why, "longer than %zu bytes; is %s missing?", most, missing);
  if (r->csv.delimiter != 0 && !r->csv.headed)
    return ft_reader_fail(r, "the header row is %s", r->why);
  size_t most_told = most < EXCERPT ? most : EXCERPT;
  out->s = r->in.data + at;
  out->n = n < most_told ? n : most_told;
  out->too_long = 1;
  return ft_reader_bad(r, out, r->why);
}

enum ft_reading ft_reader_over(ft_reader *r) {
  r->over = 1;
  ft_reader_detach(r);
  return FT_READ_END;
}

long long ft_reader_lines(const char *s, size_t n) {
  const char *end = s + n;
  long long count = 0;
  while (n > 0 && (s = memchr(s, '\n', (size_t)(end - s))) != NULL) {
    count++;
    n = (size_t)(end - ++s);
  }
  return count;
}

void ft_record_place(const ft_record *record, size_t offset, long long *line, size_t *column) {
  size_t from = offset;
  while (from > 0 && record->s[from - 1] != '\n')
    from--;
  *line = record->line + ft_reader_lines(record->s, from);
  *column = offset - from + 1 + (from == 0 ? record->column : 0);
}

/* ---- more bytes ---- */

/* what is left of `in` moves to its front; a big buffer is not kept */
static int make_room(ft_reader *r) {
  size_t left = r->in.len - r->taken, block = r->options.block;
  if (r->in.cap > 16 * block && left < block) {
    ft_buf small;
    ft_buf_init(&small, r->alloc, r->ud, r->in.max);
    if (!ft_buf_reserve(&small, 2 * block))
      return 0;
    ft_buf_add(&small, r->in.data + r->taken, left);
    ft_buf_free(&r->in);
    r->in = small;
  } else if (r->taken > 0) {
    memmove(r->in.data, r->in.data + r->taken, left);
    r->in.len = left;
  }
  r->base += (long long)r->taken;
  r->seen -= r->taken;
  r->taken = 0;
  return ft_buf_reserve(&r->in, block);
}

static enum ft_reading fill(ft_reader *r) {
  if (!make_room(r))
    return ft_reader_no_memory(r);
  enum ft_reading got = r->zip != NULL ? ft_reader_unzip(r) : ft_reader_read(r, &r->in);
  if (got != FT_READ_END)
    return got;
  r->ended = 1;
  ft_reader_detach(r);
  return FT_READ_MORE;
}

/* ---- what kind of file is it? ---- */

typedef struct Sign {
  const char *bytes;
  size_t n;
  const char *words; /* of what cannot be read at all */
} Sign;

/* First bytes: RFC 1952 (gzip), 8878 (Zstandard), 3629 (the mark of UTF-8); the file formats
   of .zip, .xz, .bz2 and Parquet as they describe themselves. */
enum { SIGN_GZIP, SIGN_MARK, SIGN_UTF16LE, SIGN_UTF16BE, SIGN_OTHERS };

static const Sign signs[] = {
    {"\x1F\x8B", 2, "it was packed with gzip twice"},
    {"\xEF\xBB\xBF", 3, NULL},
    {"\xFF\xFE", 2, NULL},
    {"\xFE\xFF", 2, NULL},
    {"PK\3\4", 4, "this is a zip archive or a spreadsheet; save it as CSV or JSONL"},
    {"\x28\xB5\x2F\xFD", 4, "this is packed with zstd; unpack it first (gzip is read as it is)"},
    {"\xFD\x37zXZ\0", 6, "this is packed with xz; unpack it first (gzip is read as it is)"},
    {"BZh91AY&SY", 10, "this is packed with bzip2; unpack it first (gzip is read as it is)"},
    {"PAR1\x15", 5, "this is a Parquet file; save it as JSONL"},
};

enum { SIGNS = sizeof signs / sizeof *signs, UNDECIDED = -2, NONE = -1 };

/* the sign that `in` begins with; UNDECIDED: more bytes must tell */
static int find_sign(const ft_reader *r) {
  size_t have = r->in.len - r->taken;
  for (int i = 0; i < SIGNS; i++) {
    size_t n = have < signs[i].n ? have : signs[i].n;
    if (n > 0 && memcmp(r->in.data + r->taken, signs[i].bytes, n) != 0)
      continue;
    if (n == signs[i].n)
      return i;
    if (!r->ended)
      return UNDECIDED;
  }
  return NONE;
}

static int ends_with(const char *s, size_t n, const char *end) {
  size_t m = strlen(end);
  return n >= m && strncasecmp(s + n - m, end, m) == 0;
}

static enum ft_shape shape_by_name(const char *path) {
  size_t n = strlen(path);
  if (ends_with(path, n, ".gz"))
    n -= 3;
  if (ends_with(path, n, ".csv"))
    return FT_SHAPE_CSV;
  if (ends_with(path, n, ".tsv") || ends_with(path, n, ".tab"))
    return FT_SHAPE_TSV;
  return FT_SHAPE_JSONL;
}

enum { LOOK = 64 * 1024 }; /* bytes of white space after which it is a file of blank lines */

/* FT_SHAPE_LOOK: more bytes must tell */
static enum ft_shape find_shape(const ft_reader *r) {
  size_t i = r->taken, end = r->in.len - i < LOOK ? r->in.len : i + LOOK;
  if (r->options.shape != FT_SHAPE_LOOK)
    return r->options.shape;
  while (i < end && memchr(" \t\r\n", r->in.data[i], 4) != NULL)
    i++;
  if (i < end)
    return r->in.data[i] == '['   ? FT_SHAPE_ARRAY
           : r->in.data[i] == '{' ? FT_SHAPE_JSONL
                                  : shape_by_name(r->path.data);
  if (!r->ended && end - r->taken < LOOK)
    return FT_SHAPE_LOOK;
  return shape_by_name(r->path.data);
}

static void set_shape(ft_reader *r, enum ft_shape shape) {
  static ft_cutter *const cutters[] = {NULL, ft_reader_cut_line, ft_reader_cut_item,
                                       ft_reader_cut_row, ft_reader_cut_row};
  r->shape = shape;
  r->cut = cutters[shape];
  if (shape == FT_SHAPE_CSV || shape == FT_SHAPE_TSV)
    r->csv.delimiter = shape == FT_SHAPE_TSV ? '\t' : ',';
  r->array.line_start = r->base + (long long)r->taken;
}

/* the mark is the file's, not the first record's */
static void take_mark(ft_reader *r) {
  r->mark = 1;
  r->taken += signs[SIGN_MARK].n;
}

/* The cutter of a file that is not known yet */
static enum ft_reading look(ft_reader *r, ft_record *out) {
  if (!r->mark) {
    int sign = find_sign(r);
    if (sign == SIGN_GZIP && r->zip == NULL)
      return ft_reader_zip_begin(r) ? FT_READ_MORE : FT_READ_FAULT;
    if (sign == UNDECIDED)
      return r->seen = r->in.len, FT_READ_MORE;
    if (sign == SIGN_UTF16LE || sign == SIGN_UTF16BE) {
      ft_reader_over(r);
      out->bad_column = 1;
      return ft_reader_bad(r, out, "this is UTF-16; save it as UTF-8");
    }
    if (sign == SIGN_MARK)
      take_mark(r);
    else if (sign != NONE)
      return ft_reader_fail(r, "%s", signs[sign].words);
  }
  enum ft_shape shape = find_shape(r);
  r->seen = shape == FT_SHAPE_LOOK ? r->in.len : r->taken;
  if (shape == FT_SHAPE_LOOK)
    return FT_READ_MORE;
  set_shape(r, shape);
  return r->cut(r, out);
}

/* ---- records ---- */

static enum ft_reading cut(ft_reader *r, ft_record *out) {
  return r->cut != NULL ? r->cut(r, out) : look(r, out);
}

enum ft_reading ft_reader_next(ft_reader *r, ft_record *out) {
  memset(out, 0, sizeof *out);
  out->at = -1;
  if (r->kind != NULL)
    return FT_READ_FAULT;
  if (r->over)
    return FT_READ_END;
  enum ft_reading got = cut(r, out);
  if (got != FT_READ_MORE)
    return got;
  if (r->dropping)
    r->taken = r->seen;
  else if (r->cut != NULL && r->in.len - r->taken > r->options.longest + FT_SLACK) {
    r->dropping = 1;
    return ft_reader_too_long(r, out, r->taken, r->in.len - r->taken);
  }
  got = r->ended ? FT_READ_MORE : fill(r);
  return got == FT_READ_MORE ? cut(r, out) : got;
}

/* ---- life ---- */

void ft_reader_init(ft_reader *r, lua_Alloc alloc, void *ud, const ft_reader_options *options) {
  memset(r, 0, sizeof *r);
  r->fd = -1;
  r->over = 1;
  r->alloc = alloc;
  r->ud = ud;
  r->options = *options;
  if (r->options.block == 0)
    r->options.block = FT_BLOCK;
  if (r->options.longest == 0)
    r->options.longest = FT_LINE_MAX;
  size_t most = r->options.longest, room = 4 * r->options.block + 2 * LOOK;
  ft_buf_init(&r->path, alloc, ud, FT_LINE_MAX);
  ft_buf_init(&r->in, alloc, ud, most + room);
  ft_buf_init(&r->packed, alloc, ud, most + room);
  ft_buf_init(&r->csv.keys, alloc, ud, FT_LINE_MAX);
  ft_buf_init(&r->csv.ends, alloc, ud, FT_LINE_MAX);
  ft_buf_init(&r->csv.text, alloc, ud, most);
}

int ft_reader_open(ft_reader *r, const char *path) {
  ft_reader_options options = r->options;
  ft_reader_close(r);
  ft_reader_init(r, r->alloc, r->ud, &options);
  if (!ft_buf_add(&r->path, path, strlen(path) + 1))
    return ft_reader_no_memory(r), 0;
  r->over = 0;
  r->line = r->begin_line = 1;
  r->size = -1;
  return ft_reader_attach(r, path);
}

void ft_reader_close(ft_reader *r) {
  r->over = 1;
  ft_reader_detach(r);
  ft_reader_zip_end(r);
  ft_buf_free(&r->path);
  ft_buf_free(&r->in);
  ft_buf_free(&r->packed);
  ft_buf_free(&r->csv.keys);
  ft_buf_free(&r->csv.ends);
  ft_buf_free(&r->csv.text);
}
