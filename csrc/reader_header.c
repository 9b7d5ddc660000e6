/*
** reader_header.c: the header row of CSV: each column gets the key that its values stand under.
** Without a map that is its name. A header with a fault is one of the whole file: no row of
** it could be understood.
*/
#include "reader_parts.h"

#include "scan.h"

#include <string.h>

typedef struct Header {
  ft_reader *r;
  ft_buf names, ends; /* what the columns are called; where each name ends */
  ft_buf text;        /* for words: a name, or all, as JSON */
  size_t columns;
} Header;

static size_t end_of(const ft_buf *ends, size_t i) {
  size_t end;
  memcpy(&end, ends->data + i * sizeof end, sizeof end);
  return end;
}

static ft_field_text name_of(const Header *h, size_t i) {
  size_t from = i > 0 ? end_of(&h->ends, i - 1) : 0;
  ft_field_text name = {h->names.data + from, end_of(&h->ends, i) - from, 0};
  return name;
}

static int no_memory(Header *h) {
  ft_reader_no_memory(h->r);
  return 0;
}

enum { CLIP = 200 }; /* bytes of names in a fault's words */

/* how much of `text` goes into words: whole characters */
static int clip(const ft_buf *text) {
  size_t n = text->len;
  if (n > CLIP)
    for (n = CLIP; n > 0 && ((unsigned char)text->data[n] & 0xC0) == 0x80;)
      n--;
  return (int)n;
}

/* ---- names ---- */

static int take_name(Header *h, const ft_field_text *field) {
  if (h->columns == FT_COLUMNS_MAX) {
    ft_reader_fail(h->r, "the header row has more than %d columns", FT_COLUMNS_MAX);
    return 0;
  }
  if (!ft_row_plain(&h->names, field) || !ft_buf_add(&h->ends, &h->names.len, sizeof h->names.len))
    return no_memory(h);
  h->columns++;
  return 1;
}

static int take_names(Header *h, const char *s, size_t n) {
  ft_row row = ft_row_begin(s, n, h->r->csv.delimiter);
  ft_field_text field;
  while (ft_row_next(&row, &field))
    if (!take_name(h, &field))
      return 0;
  if (row.why != NULL)
    ft_reader_fail(h->r, "the header row, byte %zu: %s", (size_t)(row.p - s) + 1, row.why);
  return row.why == NULL;
}

/* the name as JSON, to `text` */
static int spell(Header *h, const ft_field_text *name) {
  ft_buf_clear(&h->text);
  return ft_row_json(&h->text, name) ? 1 : no_memory(h);
}

static int is_utf8(const ft_buf *text) {
  const char *why;
  return ft_scan(text->data, text->len, 1, &why) < 0;
}

static int same(const ft_field_text *a, const ft_field_text *b) {
  return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static int check_name(Header *h, size_t i) {
  ft_field_text name = name_of(h, i);
  if (name.n == 0) {
    ft_reader_fail(h->r, "the header row has no name for column %zu", i + 1);
    return 0;
  }
  if (!spell(h, &name))
    return 0;
  if (!is_utf8(&h->text)) {
    ft_reader_fail(h->r, "the name of column %zu is no UTF-8; save the file as UTF-8", i + 1);
    return 0;
  }
  for (size_t k = 0; k < i; k++) {
    ft_field_text other = name_of(h, k);
    if (same(&name, &other)) {
      ft_reader_fail(h->r, "the header row names columns %zu and %zu both %.*s", k + 1, i + 1,
                     clip(&h->text), h->text.data);
      return 0;
    }
  }
  return 1;
}

/* ---- the map ---- */

static ft_field_text literal(const char *s) {
  ft_field_text a = {s, strlen(s), 0};
  return a;
}

/* 1: the map gives column and key once, and there is such a column */
static int check_pair(Header *h, size_t p) {
  const ft_column *map = h->r->options.columns;
  ft_field_text wanted = literal(map[p].column);
  for (size_t k = 0; k < p; k++)
    if (strcmp(map[k].column, map[p].column) == 0 || strcmp(map[k].key, map[p].key) == 0) {
      ft_reader_fail(h->r,
                     "the map of columns has \"%.80s\" = \"%.80s\" beside \"%.80s\" = \"%.80s\"",
                     map[p].column, map[p].key, map[k].column, map[k].key);
      return 0;
    }
  for (size_t i = 0; i < h->columns; i++) {
    ft_field_text name = name_of(h, i);
    if (same(&name, &wanted))
      return 1;
  }
  ft_buf_clear(&h->text);
  for (size_t i = 0; i < h->columns && h->text.len <= CLIP; i++) {
    ft_field_text name = name_of(h, i);
    if ((i > 0 && !ft_buf_addstr(&h->text, ", ")) || !ft_row_json(&h->text, &name))
      return no_memory(h);
  }
  ft_reader_fail(h->r, "there is no column \"%.80s\"; its columns are %.*s", map[p].column,
                 clip(&h->text), h->text.data);
  return 0;
}

static int check_map(Header *h) {
  if (h->r->options.column_count > FT_COLUMNS_MAX) {
    ft_reader_fail(h->r, "the map of columns has more than %d", FT_COLUMNS_MAX);
    return 0;
  }
  for (size_t p = 0; p < h->r->options.column_count; p++)
    if (!check_pair(h, p))
      return 0;
  return 1;
}

/* the key of column i; 0: it is dropped */
static int find_key(const Header *h, size_t i, ft_field_text *key) {
  const ft_reader_options *o = &h->r->options;
  *key = name_of(h, i);
  for (size_t p = 0; p < o->column_count; p++) {
    ft_field_text column = literal(o->columns[p].column);
    if (same(key, &column))
      return *key = literal(o->columns[p].key), 1;
  }
  return o->column_count == 0;
}

static int make_keys(Header *h) {
  ft_buf *keys = &h->r->csv.keys;
  for (size_t i = 0; i < h->columns; i++) {
    ft_field_text key;
    if (find_key(h, i, &key) &&
        (!ft_buf_addchar(keys, ',') || !ft_row_json(keys, &key) || !ft_buf_addchar(keys, ':')))
      return no_memory(h);
    if (!ft_buf_add(&h->r->csv.ends, &keys->len, sizeof keys->len))
      return no_memory(h);
  }
  h->r->csv.columns = h->columns;
  return 1;
}

static int header(Header *h, const char *s, size_t n) {
  if (!ft_buf_reserve(&h->names, n)) /* no more is needed; and never NULL */
    return no_memory(h);
  if (!take_names(h, s, n))
    return 0;
  for (size_t i = 0; i < h->columns; i++)
    if (!check_name(h, i))
      return 0;
  return check_map(h) && make_keys(h);
}

int ft_reader_header(ft_reader *r, const char *s, size_t n) {
  Header h = {r, {0}, {0}, {0}, 0};
  ft_buf_init(&h.names, r->alloc, r->ud, FT_LINE_MAX);
  ft_buf_init(&h.ends, r->alloc, r->ud, FT_LINE_MAX);
  ft_buf_init(&h.text, r->alloc, r->ud, 6 * (size_t)FT_LINE_MAX);
  int good = header(&h, s, n);
  ft_buf_free(&h.names);
  ft_buf_free(&h.ends);
  ft_buf_free(&h.text);
  return good;
}
