/*
** reader.h: files of training data, as records of text. JSONL, a JSON array, CSV and TSV (RFC
** 4180, with a header row), gzip of any of them; from a file, a pipe or standard input. Which of
** them it is is found by looking. A record of JSONL or of an array is a slice of what was
** read; a row of CSV becomes the text of a JSON object, all its values strings.
**
**   ft_reader_init(&r, alloc, ud, &options);
**   if (ft_reader_open(&r, path))
**     while ((got = ft_reader_next(&r, &record)) != FT_READ_END && got != FT_READ_FAULT)
**       ... a record, or MORE: call again, or IDLE: call again later
**   ft_reader_close(&r);
**
** No call blocks or raises, and each does a bounded bit of work. Memory is that of a block and
** of the longest record, whatever the size of the file and whatever it unpacks to. No Lua.
*/
#ifndef FT_READER_H
#define FT_READER_H

#include "buf.h"

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum {
  FT_LINE_MAX = 64 * 1024 * 1024, /* bytes of a record */
  FT_BLOCK = 256 * 1024,          /* bytes read at a time */
  FT_COLUMNS_MAX = 1024,          /* of CSV */
  FT_ARRAY_DEPTH = 1024           /* levels of an item whose brackets are told apart */
};

/* What a file holds. Found so: it begins (white space and the mark of UTF-8 aside) with '[': an
   array; with '{': JSONL; else its name tells: .csv, .tsv or .tab, with or without .gz; else
   JSONL. gzip is always found by its first bytes. */
enum ft_shape { FT_SHAPE_LOOK, FT_SHAPE_JSONL, FT_SHAPE_ARRAY, FT_SHAPE_CSV, FT_SHAPE_TSV };

#define FT_SHAPE_NAMES "\"jsonl\", \"array\", \"csv\" or \"tsv\""

/* The shape of this name, FT_SHAPE_LOOK where there is none */
enum ft_shape ft_shape_find(const char *name);
const char *ft_shape_name(enum ft_shape shape); /* NULL for FT_SHAPE_LOOK */

typedef struct ft_column {
  const char *column; /* its name in the header row */
  const char *key;    /* of the object that is made of a row */
} ft_column;

/* What it points to must live as long as the reader. */
typedef struct ft_reader_options {
  enum ft_shape shape;
  const ft_column *columns; /* of CSV and TSV: those that are taken; none: all, by their names */
  size_t column_count;
  size_t block, longest; /* for tests: in place of FT_BLOCK and FT_LINE_MAX; 0: those */
} ft_reader_options;

enum ft_made {
  FT_MADE_OF_ROW = 1, /* ft_reader_row_place() tells them */
  FT_MADE_HERE        /* they are none of the source */
};

typedef struct ft_record {
  const char *s; /* the text; of a bad record its beginning. Valid until the next call */
  size_t n;
  long long at;    /* byte of the file where the text begins; -1: it is not there as it is */
  long long line;  /* of the source, from 1, where the record begins */
  size_t column;   /* bytes of that line before it (the mark of UTF-8 is none of them) */
  int blank;       /* nothing but white space: n is 0 */
  int made;        /* 0: places in the text are places of the source; or ft_made */
  const char *row; /* FT_MADE_OF_ROW: that row, */
  size_t row_n;    /* of so many bytes */
  int is_line;     /* the text is a line of JSONL */
  const char *bad; /* not NULL: no record can be made of it, because */
  int too_long;    /* ... and that is why: it is longer than is taken */
  long long bad_line;
  size_t bad_column; /* byte of bad_line where that is, from 1; 0: the record as a whole */
} ft_record;

enum ft_reading {
  FT_READ_RECORD,
  FT_READ_MORE,  /* a bit of work was done: call again */
  FT_READ_IDLE,  /* the pipe has nothing just now */
  FT_READ_END,   /* there is no more, now and later */
  FT_READ_FAULT, /* of the world, or of the file as a whole: reader.kind and .words; it stays */
};

/* ---- the reader: what is for others to read stands first ---- */

struct ft_reader;
typedef enum ft_reading ft_cutter(struct ft_reader *r, ft_record *out);

typedef struct ft_reader {
  const char *kind;    /* of a fault: "data" or "memory"; NULL: none */
  char words[512];     /* what it was, with the name of the file */
  enum ft_shape shape; /* what it was found to be; FT_SHAPE_LOOK: not known yet */
  int gzip, mark;      /* it is packed; it begins with the mark of UTF-8 */
  int changed;         /* at the end: others wrote to the file while it was read */
  long long size;      /* bytes of the file when it was opened; -1: not known (a pipe) */
  long long position;  /* bytes of it that were read so far: packed ones, of gzip */

  ft_reader_options options;
  lua_Alloc alloc;
  void *ud;
  ft_buf path; /* with '\0' */

  int fd; /* -1: none */
  int is_stdin, is_file, is_fifo;
  long long whole;          /* bytes of the file when it was opened, also those before our first */
  struct timespec modified; /* its time then */

  ft_buf in;            /* what was read, unpacked */
  size_t taken, seen;   /* of `in`: behind the last record; looked at for the next one's end */
  long long base;       /* bytes that were before those in `in` */
  int ended;            /* `in` will get no more */
  int over;             /* END was decided on: what is left is not read */
  int dropping;         /* a record grew too long: the rest of it is dropped */
  ft_cutter *cut;       /* finds the next record; NULL: the shape is not known yet */
  long long line;       /* what `seen` stands in, from 1 */
  long long begin_line; /* where the record that is looked at begins */
  size_t begin_column;  /* bytes of that line before it */
  char why[192];        /* words of a bad record */

  struct z_stream_s *zip; /* of gzip: the inflater; NULL: none */
  ft_buf packed;
  size_t unpacked; /* of `packed`: consumed */
  int member;      /* inside one of the file's members */
  int pending;     /* the inflater may have more without new bytes */

  struct { /* of an array: where its machine stands */
    int state, in_string, escaped;
    size_t depth, braces, deeper; /* open containers; the objects of them; those too deep to tell */
    uint64_t brace[FT_ARRAY_DEPTH / 64]; /* bit i: level i is an object */
    long long line_start;                /* `base` and offset where the line begins */
  } array;

  struct { /* of CSV */
    int state, headed;
    char delimiter; /* 0: it is no CSV */
    size_t columns;
    ft_buf keys; /* ,"key": of each column, one behind the other */
    ft_buf ends; /* a size_t for each: where its key ends; a column without one is dropped */
    ft_buf text; /* the object made of a row */
  } csv;
} ft_reader;

void ft_reader_init(ft_reader *r, lua_Alloc alloc, void *ud, const ft_reader_options *options);
/* Opens a file, "-": standard input, which is never closed and whose flags are left alone. 0:
   a fault. A reader may open one file after another; options stay. */
int ft_reader_open(ft_reader *r, const char *path);
enum ft_reading ft_reader_next(ft_reader *r, ft_record *out);
void ft_reader_close(ft_reader *r); /* gives everything back but the words; idempotent */

/* If the text is no JSON: what may be the cause, or NULL */
const char *ft_record_hint(const ft_record *record);
/* Where byte `offset` of a record's text stands in the source; the column from 1. The second is for
   a text that was made of a row, and has to come before the next record. */
void ft_record_place(const ft_record *record, size_t offset, long long *line, size_t *column);
void ft_reader_row_place(const ft_reader *r, const ft_record *record, size_t offset,
                         long long *line, size_t *column);

#endif
