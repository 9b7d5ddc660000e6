/*
** reader_parts.h: what the files of the reader share. A cutter (one for each shape) looks at
** what `in` holds beyond `seen`, and answers RECORD, END, FAULT, or MORE where it has seen
** all of it (seen == in.len) and no record ends there; once `ended` is set, never MORE.
*/
#ifndef FT_READER_PARTS_H
#define FT_READER_PARTS_H

#include "reader.h"

/* reader.c. These set the fault, with "cannot read PATH: " before the words. */
enum ft_reading ft_reader_fail(ft_reader *r, const char *format, ...);
enum ft_reading ft_reader_no_memory(ft_reader *r);
enum { FT_SLACK = 1 }; /* bytes that a record may seem to have more than it has: the CR of a line */

/* A bad record that begins where begin_line and begin_column say. The second is of one that is
   too long: in `in`, n bytes from `at` on, or more. Of a header row it is a fault. */
enum ft_reading ft_reader_bad(const ft_reader *r, ft_record *out, const char *why);
enum ft_reading ft_reader_too_long(ft_reader *r, ft_record *out, size_t at, size_t n);
enum ft_reading ft_reader_over(ft_reader *r);       /* END, from now on */
long long ft_reader_lines(const char *s, size_t n); /* ends of lines in there */

/* reader_file.c: the descriptor */
int ft_reader_attach(ft_reader *r, const char *path);
void ft_reader_detach(ft_reader *r);
/* Appends a block at most. MORE: bytes came; or IDLE, END, FAULT */
enum ft_reading ft_reader_read(ft_reader *r, ft_buf *to);

/* reader_gzip.c */
int ft_reader_zip_begin(ft_reader *r);         /* what `in` holds is packed; 0: a fault */
enum ft_reading ft_reader_unzip(ft_reader *r); /* as ft_reader_read, to `in` */
void ft_reader_zip_end(ft_reader *r);

/* reader_line.c, reader_array.c, reader_csv.c */
ft_cutter ft_reader_cut_line, ft_reader_cut_item, ft_reader_cut_row;

/* reader_row.c: the fields of a row */
typedef struct ft_row {
  const char *begin, *p, *end;
  char delimiter;
  int more;        /* a field follows */
  const char *why; /* a fault, at p */
} ft_row;

typedef struct ft_field_text {
  const char *s; /* what stands between the quotes, if there are any */
  size_t n;
  int quoted; /* a quote in it is there twice */
} ft_field_text;

ft_row ft_row_begin(const char *s, size_t n, char delimiter);
int ft_row_next(ft_row *row, ft_field_text *field); /* 0: there is none, or a fault */
/* Both append; 0: no memory, or the buffer is full */
int ft_row_plain(ft_buf *to, const ft_field_text *field); /* what it means */
int ft_row_json(ft_buf *to, const ft_field_text *field);  /* that as a JSON string */
/* The byte of the field that became byte `offset` of that JSON string; NULL where it has no such
   byte: then `*length` is the string's */
const char *ft_row_json_place(const ft_field_text *field, size_t offset, size_t *length);

/* reader_header.c: the names of the columns to csv.keys; 0: a fault */
int ft_reader_header(ft_reader *r, const char *s, size_t n);

#endif
