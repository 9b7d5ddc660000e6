/*
** reader_csv.c: CSV and TSV. The end of a row is found first, by following its quotes; then
** the row, which is whole in `in`, becomes the text of a JSON object.
*/
#include "reader_parts.h"

#include <stdio.h>
#include <string.h>

enum { FIELD_BEGINS, BARE, QUOTED, BEHIND_QUOTE }; /* where in a row */

static size_t pass_quoted(ft_reader *r, size_t i) {
  const char *s = r->in.data;
  const char *quote = memchr(s + i, '"', r->in.len - i);
  size_t end = quote != NULL ? (size_t)(quote - s) : r->in.len;
  r->line += ft_reader_lines(s + i, end - i);
  if (quote == NULL)
    return end;
  r->csv.state = BEHIND_QUOTE;
  return end + 1;
}

static size_t pass_bare(const ft_reader *r, size_t i) {
  const char *s = r->in.data;
  while (i < r->in.len && s[i] != '\n' && s[i] != r->csv.delimiter)
    i++;
  return i;
}

/* 1: a row ended: `seen` is behind its line end */
static int find_row(ft_reader *r) {
  size_t i = r->seen;
  int ended = 0;
  while (i < r->in.len && !ended) {
    if (r->csv.state == QUOTED)
      i = pass_quoted(r, i);
    else if (r->csv.state == BARE && (i = pass_bare(r, i)) == r->in.len)
      break;
    else {
      char c = r->in.data[i++];
      ended = c == '\n';
      r->csv.state = c == '"' && r->csv.state != BARE ? QUOTED
                     : ended || c == r->csv.delimiter ? FIELD_BEGINS
                                                      : BARE;
    }
  }
  r->seen = i;
  r->line += ended;
  return ended;
}

/* ---- a row becomes an object ---- */

/* ,"key": of column i; n is 0 where the column is dropped */
static const char *key_of(const ft_reader *r, size_t i, size_t *n) {
  const char *ends = r->csv.ends.data;
  size_t from = 0, end;
  if (i > 0)
    memcpy(&from, ends + (i - 1) * sizeof from, sizeof from);
  memcpy(&end, ends + i * sizeof end, sizeof end);
  *n = end - from;
  return r->csv.keys.data + from;
}

static int put_field(ft_reader *r, size_t i, const ft_field_text *field) {
  ft_buf *text = &r->csv.text;
  size_t n, first = text->len == 1;
  if (i >= r->csv.columns)
    return 1; /* counted only */
  const char *key = key_of(r, i, &n);
  return n == 0 || (ft_buf_add(text, key + first, n - first) && ft_row_json(text, field));
}

/* Byte `offset` of the object that the row became: in the row. What the row has not (a key, say) is
   where the field begins that it belongs to. */
static const char *place_in_row(const ft_reader *r, const ft_record *record, size_t offset) {
  ft_row row = ft_row_begin(record->row, record->row_n, r->csv.delimiter);
  ft_field_text field;
  size_t at = 1, length;
  for (size_t i = 0; i < r->csv.columns; i++) {
    const char *begin = row.p;
    size_t n;
    key_of(r, i, &n);
    if (!ft_row_next(&row, &field))
      break;
    if (n == 0)
      continue;
    at += n - (at == 1); /* the first key has no comma */
    if (offset < at)
      return offset == 0 ? record->row : begin;
    const char *place = ft_row_json_place(&field, offset - at, &length);
    if (place != NULL)
      return place;
    at += length;
  }
  return record->row + record->row_n;
}

void ft_reader_row_place(const ft_reader *r, const ft_record *record, size_t offset,
                         long long *line, size_t *column) {
  ft_record row = {0};
  row.s = record->row;
  row.line = record->line;
  ft_record_place(&row, (size_t)(place_in_row(r, record, offset) - row.s), line, column);
}

/* an object that cannot grow */
static enum ft_reading no_room(ft_reader *r, ft_record *out, size_t at, size_t n) {
  return r->csv.text.full ? ft_reader_too_long(r, out, at, n) : ft_reader_no_memory(r);
}

static enum ft_reading bad_field(ft_reader *r, ft_record *out, const ft_row *row) {
  ft_record place = {0};
  place.s = row->begin;
  place.line = r->begin_line;
  ft_reader_bad(r, out, row->why);
  ft_record_place(&place, (size_t)(row->p - row->begin), &out->bad_line, &out->bad_column);
  return FT_READ_RECORD;
}

static enum ft_reading bad_count(ft_reader *r, ft_record *out, size_t count) {
  snprintf(r->why, sizeof r->why, "%zu field%s where the header row has %zu", count,
           count == 1 ? "" : "s", r->csv.columns);
  return ft_reader_bad(r, out, r->why);
}

/* the row [at, at + n) of `in` */
static enum ft_reading object(ft_reader *r, ft_record *out, size_t at, size_t n) {
  ft_buf *text = &r->csv.text;
  ft_row row = ft_row_begin(r->in.data + at, n, r->csv.delimiter);
  ft_field_text field;
  size_t count = 0;
  if (text->cap > 16 * r->options.block)
    ft_buf_free(text);
  ft_buf_clear(text);
  if (!ft_buf_addchar(text, '{'))
    return no_room(r, out, at, n);
  for (; ft_row_next(&row, &field); count++)
    if (!put_field(r, count, &field))
      return no_room(r, out, at, n);
  out->s = row.begin;
  out->n = n;
  if (row.why != NULL)
    return bad_field(r, out, &row);
  if (count != r->csv.columns)
    return bad_count(r, out, count);
  if (!ft_buf_addchar(text, '}'))
    return no_room(r, out, at, n);
  out->s = text->data;
  out->n = text->len;
  out->made = FT_MADE_OF_ROW;
  out->row = row.begin;
  out->row_n = n;
  out->line = r->begin_line;
  return FT_READ_RECORD;
}

/* MORE: it was the header */
static enum ft_reading row(ft_reader *r, ft_record *out, size_t at, size_t n) {
  if (n > 0 && r->in.data[at + n - 1] == '\r')
    n--;
  if (n > r->options.longest)
    return ft_reader_too_long(r, out, at, n);
  if (n == 0) {
    out->blank = 1;
    out->s = r->in.data + at;
    out->line = r->begin_line;
    return FT_READ_RECORD;
  }
  if (r->csv.headed)
    return object(r, out, at, n);
  r->csv.headed = 1;
  return ft_reader_header(r, r->in.data + at, n) ? FT_READ_MORE : FT_READ_FAULT;
}

static enum ft_reading last_row(ft_reader *r, ft_record *out) {
  size_t at = r->taken, n = r->in.len - at;
  if (n == 0 || r->dropping)
    return ft_reader_over(r);
  r->taken = r->in.len;
  enum ft_reading got = row(r, out, at, n);
  return got == FT_READ_MORE ? ft_reader_over(r) : got;
}

enum ft_reading ft_reader_cut_row(ft_reader *r, ft_record *out) {
  while (find_row(r)) {
    size_t at = r->taken;
    enum ft_reading got = FT_READ_MORE;
    r->taken = r->seen;
    if (!r->dropping)
      got = row(r, out, at, r->seen - 1 - at);
    r->dropping = 0;
    r->begin_line = r->line;
    if (got != FT_READ_MORE)
      return got;
  }
  return r->ended ? last_row(r, out) : FT_READ_MORE;
}
