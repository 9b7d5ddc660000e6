/*
** reader_row.c: the fields of one row of CSV (RFC 4180), strictly: a quote stands around a
** field or twice inside one that has them, and nothing stands between a field's last
** quote and what ends the field.
*/
#include "reader_bytes.h"
#include "reader_parts.h"

#include <string.h>

ft_row ft_row_begin(const char *s, size_t n, char delimiter) {
  ft_row row = {s, s, s + n, delimiter, 1, NULL};
  return row;
}

static int fault(ft_row *row, const char *at, const char *why) {
  row->p = at;
  row->why = why;
  return 0;
}

/* behind a field: at the delimiter or the end of the row */
static int field_end(ft_row *row, const char *p) {
  row->more = p < row->end;
  row->p = p + row->more;
  return 1;
}

static int quoted(ft_row *row, ft_field_text *field) {
  const char *from = row->p + 1, *p = from;
  for (;;) {
    p = p < row->end ? memchr(p, '"', (size_t)(row->end - p)) : NULL;
    if (p == NULL)
      return fault(row, row->p, "the quote that begins this field is never closed");
    if (row->end - p < 2 || p[1] != '"')
      break;
    p += 2;
  }
  field->s = from;
  field->n = (size_t)(p - from);
  field->quoted = 1;
  if (++p < row->end && *p != row->delimiter)
    return fault(row, p,
                 "text behind the closing quote of a field; a quote inside one is "
                 "written twice (\"\")");
  return field_end(row, p);
}

static int bare(ft_row *row, ft_field_text *field) {
  const char *p = row->p;
  for (; p < row->end && *p != row->delimiter; p++)
    if (*p == '"')
      return fault(row, p,
                   "a quote inside a field without quotes; put the field in quotes and "
                   "write this one twice (\"\")");
    else if (*p == '\r')
      return fault(row, p,
                   "a carriage return inside a field without quotes; lines end with LF or "
                   "CR LF");
  field->s = row->p;
  field->n = (size_t)(p - row->p);
  field->quoted = 0;
  return field_end(row, p);
}

int ft_row_next(ft_row *row, ft_field_text *field) {
  if (!row->more)
    return 0;
  return row->p < row->end && *row->p == '"' ? quoted(row, field) : bare(row, field);
}

/* ---- what a field means ---- */

int ft_row_plain(ft_buf *to, const ft_field_text *field) {
  for (size_t i = 0; i < field->n; i++) {
    if (!ft_buf_addchar(to, field->s[i]))
      return 0;
    i += field->quoted && field->s[i] == '"';
  }
  return 1;
}

static const char escaped[] = "\"\\\n\r\t\b\f";

static int escape(ft_buf *to, char c) {
  static const char letters[] = "\"\\nrtbf", hex[] = "0123456789abcdef";
  const char *found = memchr(escaped, c, sizeof escaped - 1);
  char text[] = "\\u0000";
  if (found != NULL) {
    text[1] = letters[found - escaped];
    return ft_buf_add(to, text, 2);
  }
  text[4] = hex[(unsigned char)c >> 4];
  text[5] = hex[c & 15];
  return ft_buf_add(to, text, 6);
}

int ft_row_json(ft_buf *to, const ft_field_text *field) {
  const char *p = field->s, *end = p + field->n;
  if (!ft_buf_addchar(to, '"'))
    return 0;
  while (p < end) {
    const char *plain = p;
    p = ft_skip_plain(p, end);
    if (!ft_buf_add(to, plain, (size_t)(p - plain)))
      return 0;
    if (p == end)
      break;
    if (!escape(to, *p))
      return 0;
    p += field->quoted && *p == '"' ? 2 : 1;
  }
  return ft_buf_addchar(to, '"');
}

const char *ft_row_json_place(const ft_field_text *field, size_t offset, size_t *length) {
  const char *p = field->s, *end = p + field->n;
  size_t at = 1; /* behind the quote */
  if (offset < at)
    return field->s - field->quoted;
  while (p < end) {
    at += !ft_byte_special(*p) ? 1 : memchr(escaped, *p, sizeof escaped - 1) != NULL ? 2 : 6;
    if (offset < at)
      return p;
    p += field->quoted && *p == '"' ? 2 : 1;
  }
  *length = at + 1;
  return offset == at ? end : NULL; /* the closing quote */
}
