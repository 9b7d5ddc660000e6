/*
** reader_line.c: JSONL. A record is a line, without its end; a slice of what was read.
*/
#include "reader_parts.h"

#include <string.h>

static int blank(const char *s, size_t n) {
  while (n > 0 && (*s == ' ' || *s == '\t' || *s == '\r'))
    s++, n--;
  return n == 0;
}

/* Most of what is no JSONL is JSON written in another way: it shows at the ends of its lines. */
const char *ft_record_hint(const ft_record *record) {
  const char *s = record->s;
  size_t n = record->n;
  if (!record->is_line || n == 0)
    return NULL;
  char first = *s, last = s[n - 1];
  if (first == '{' && n > 1 && last == ',' && s[n - 2] == '}')
    return "there is no comma behind a line of JSONL; is this the inside of a JSON array?";
  if (memchr("{[:,", last, 4) != NULL || memchr("}]", first, 2) != NULL)
    return "a line of JSONL is one whole value; is this one written over several lines?";
  return NULL;
}

/* The line at `at` of `in`, of n bytes without its "\n". Every "\r" before that is part of its end:
   a line that is written as it came is the same when it is read again. */
static enum ft_reading line(ft_reader *r, ft_record *out, size_t at, size_t n) {
  const char *s = r->in.data + at;
  size_t all = n; /* whether it is too long hangs on what is known of it at the limit */
  while (n > 0 && s[n - 1] == '\r')
    n--;
  if (n > r->options.longest || all > r->options.longest + FT_SLACK)
    ft_reader_too_long(r, out, at, all);
  else if (blank(s, n))
    out->blank = 1;
  else
    out->is_line = 1;
  if (out->bad == NULL) {
    out->s = s;
    out->n = out->blank ? 0 : n;
  }
  if (r->is_file && !r->is_stdin && r->zip == NULL)
    out->at = r->base + (long long)at;
  out->line = r->begin_line;
  r->begin_line = ++r->line;
  return FT_READ_RECORD;
}

static enum ft_reading last_line(ft_reader *r, ft_record *out) {
  size_t at = r->taken, n = r->in.len - at;
  if (n == 0 || r->dropping)
    return ft_reader_over(r);
  r->taken = r->in.len;
  return line(r, out, at, n);
}

enum ft_reading ft_reader_cut_line(ft_reader *r, ft_record *out) {
  while (r->seen < r->in.len) {
    size_t at = r->taken;
    const char *end = memchr(r->in.data + r->seen, '\n', r->in.len - r->seen);
    if (end == NULL) {
      r->seen = r->in.len;
      break;
    }
    r->taken = r->seen = (size_t)(end - r->in.data) + 1;
    if (!r->dropping)
      return line(r, out, at, r->seen - 1 - at);
    r->dropping = 0;
    r->begin_line = ++r->line;
  }
  return r->ended ? last_line(r, out) : FT_READ_MORE;
}
