/*
** reader_array.c: a JSON array. A record is an item of it, cut out by counting brackets outside
** strings; whether it is JSON is for the scanner to say. What is wrong inside an item should
** not cost those behind it: a closing bracket closes what was left open inside its own pair, and
** a string ends with its line (JSON has no line ends in strings).
*/
#include "reader_bytes.h"
#include "reader_parts.h"

#include <string.h>

enum { BEFORE, FIRST, ITEM, CONTAINER, STRING, SCALAR, BEHIND, AFTER_END };
/* of the machine: before '['; behind it; behind ','; in an item of three sorts; behind an
   item; behind the ']' that ends it all */

/* ---- the brackets that are open ---- */

static int top_is_brace(const ft_reader *r, size_t level) {
  return (int)(r->array.brace[level / 64] >> (level % 64) & 1);
}

static void open_bracket(ft_reader *r, int brace) {
  size_t d = r->array.depth;
  uint64_t bit = UINT64_C(1) << (d % 64);
  if (d >= FT_ARRAY_DEPTH) {
    r->array.deeper++;
    return;
  }
  if (brace)
    r->array.brace[d / 64] |= bit;
  else
    r->array.brace[d / 64] &= ~bit;
  r->array.braces += (size_t)brace;
  r->array.depth++;
}

/* Closes the innermost container of this sort and what is open in it. 0: there is none */
static int close_bracket(ft_reader *r, int brace) {
  size_t same = brace ? r->array.braces : r->array.depth - r->array.braces;
  if (r->array.deeper > 0)
    return r->array.deeper--, 1;
  if (same == 0)
    return 0;
  int top;
  do {
    top = top_is_brace(r, --r->array.depth);
    r->array.braces -= (size_t)top;
  } while (top != brace);
  return 1;
}

/* ---- inside an item: each takes the place `i` of `in` and gives back the one it came to ---- */

static size_t pass_string(ft_reader *r, size_t i) {
  const char *s = r->in.data, *p = s + i, *end = s + r->in.len;
  if (r->array.escaped && p < end && *p != '\n')
    p++;
  r->array.escaped = 0;
  while ((p = ft_skip_plain(p, end)) < end) {
    if (*p == '"' || *p == '\n') {
      r->array.in_string = 0;
      return (size_t)(p - s) + (*p == '"'); /* the end of the line is for the caller */
    }
    if (*p == '\\' && end - p == 1)
      r->array.escaped = 1;
    p += *p == '\\' && end - p > 1 && p[1] != '\n' ? 2 : 1;
  }
  return r->in.len;
}

static void end_line(ft_reader *r, size_t next) { /* `next`: where the new one begins */
  r->line++;
  r->array.line_start = r->base + (long long)next;
}

static int structural(char c) {
  return c == '"' || c == '{' || c == '}' || c == '[' || c == ']' || c == '\n';
}

/* At a byte outside strings that may change what is open; `i` is behind it. 1: the item ended */
static int pass_structural(ft_reader *r, char c, size_t i) {
  if (c == '"')
    r->array.in_string = 1;
  else if (c == '\n')
    end_line(r, i);
  else if (c == '{' || c == '[')
    open_bracket(r, c == '{');
  else if (!close_bracket(r, c == '}') && c == ']')
    return r->seen = i - 1, 1; /* it ends the whole array: the item lacks a bracket */
  return r->seen = i, r->array.depth == 0;
}

/* 1: the item ended */
static int pass_container(ft_reader *r) {
  const char *s = r->in.data;
  size_t i = r->seen, n = r->in.len;
  while (i < n) {
    if (r->array.in_string) {
      i = pass_string(r, i);
      continue;
    }
    while (i < n && !structural(s[i]))
      i++;
    if (i < n && pass_structural(r, s[i], i + 1))
      return 1;
    i += i < n;
  }
  r->seen = n;
  return 0;
}

static int pass_lone_string(ft_reader *r) {
  r->seen = pass_string(r, r->seen);
  return !r->array.in_string;
}

static int pass_scalar(ft_reader *r) {
  const char *s = r->in.data;
  while (r->seen < r->in.len) {
    char c = s[r->seen];
    if (c == ',' || c == ']' || c == '\n')
      return 1;
    r->seen++;
  }
  return 0;
}

static int pass_item(ft_reader *r) {
  return r->array.state == CONTAINER ? pass_container(r)
         : r->array.state == STRING  ? pass_lone_string(r)
                                     : pass_scalar(r);
}

/* ---- between items ---- */

static void begin_here(ft_reader *r) {
  r->taken = r->seen;
  r->begin_line = r->line;
  r->begin_column = (size_t)(r->base + (long long)r->seen - r->array.line_start);
}

static enum ft_reading bad_here(ft_reader *r, ft_record *out, const char *why) {
  begin_here(r);
  out->bad_column = r->begin_column + 1;
  return ft_reader_bad(r, out, why);
}

static void begin_item(ft_reader *r, char c) {
  begin_here(r);
  r->array.depth = r->array.braces = r->array.deeper = 0;
  r->array.in_string = r->array.escaped = 0;
  if (c == '{' || c == '[') {
    r->array.state = CONTAINER;
    open_bracket(r, c == '{');
    r->seen++;
  } else if (c == '"') {
    r->array.state = STRING;
    r->array.in_string = 1;
    r->seen++;
  } else
    r->array.state = SCALAR;
}

/* At ']' or ',' */
static enum ft_reading end_or_comma(ft_reader *r, ft_record *out, char c) {
  int state = r->array.state, lacks = c == ']' ? state == ITEM : state != BEHIND;
  if (lacks)
    bad_here(r, out, "an item is missing; is there a comma too many?");
  r->array.state = c == ']' ? AFTER_END : ITEM;
  r->seen++;
  return lacks ? FT_READ_RECORD : FT_READ_MORE;
}

/* Behind an item stands neither of them. What does is taken for the next item. */
static enum ft_reading no_comma(ft_reader *r, ft_record *out, char c) {
  if (c == '}') {
    bad_here(r, out, "a '}' too many behind an item");
    r->seen++;
  } else {
    bad_here(r, out, "expected ',' or ']' behind an item");
    r->array.state = ITEM;
  }
  return FT_READ_RECORD;
}

/* Nothing of what follows can be told. */
static enum ft_reading give_up(ft_reader *r, ft_record *out, const char *why) {
  bad_here(r, out, why);
  ft_reader_over(r);
  return FT_READ_RECORD;
}

/* At the byte c, no white space, outside items. RECORD: a fault is told; MORE: go on */
static enum ft_reading between(ft_reader *r, ft_record *out, char c) {
  int state = r->array.state;
  if (state == AFTER_END)
    return give_up(r, out, "text behind the end of the array; one file holds one array");
  if (state == BEFORE && c != '[')
    return give_up(r, out, "a JSON array begins with '['");
  if (state == BEFORE)
    return r->seen++, r->array.state = FIRST, FT_READ_MORE;
  if (c == ']' || c == ',')
    return end_or_comma(r, out, c);
  if (state == BEHIND)
    return no_comma(r, out, c);
  return begin_item(r, c), FT_READ_MORE;
}

/* ---- the cutter ---- */

static int in_item(const ft_reader *r) {
  return r->array.state >= CONTAINER && r->array.state <= SCALAR;
}

/* [taken, seen) is an item, or the last part of one that was dropped */
static enum ft_reading item(ft_reader *r, ft_record *out) {
  size_t at = r->taken, end = r->seen;
  size_t all = end - at; /* as in reader_line.c */
  int dropped = r->dropping;
  if (r->array.state == SCALAR)
    while (end > at && memchr(" \t\r", r->in.data[end - 1], 3) != NULL)
      end--;
  r->array.state = BEHIND;
  r->taken = r->seen;
  r->dropping = 0;
  if (dropped)
    return FT_READ_MORE;
  if (end - at > r->options.longest || all > r->options.longest + FT_SLACK)
    return ft_reader_too_long(r, out, at, all);
  out->s = r->in.data + at;
  out->n = end - at;
  out->line = r->begin_line;
  out->column = r->begin_column;
  return FT_READ_RECORD;
}

static enum ft_reading at_end(ft_reader *r, ft_record *out) {
  int state = r->array.state;
  if (state == AFTER_END || state == BEFORE)
    return ft_reader_over(r);
  if (state == SCALAR && !r->dropping)
    return item(r, out);
  if (in_item(r) && !r->dropping)
    ft_reader_bad(r, out, "the file ends inside this item; is a bracket or a quote missing?");
  else
    bad_here(r, out, "the file ends before the array does: ']' is missing");
  r->dropping = 0;
  ft_reader_over(r);
  return FT_READ_RECORD;
}

enum ft_reading ft_reader_cut_item(ft_reader *r, ft_record *out) {
  enum ft_reading got = FT_READ_MORE;
  while (r->seen < r->in.len && got == FT_READ_MORE) {
    char c = r->in.data[r->seen];
    if (in_item(r)) {
      if (pass_item(r))
        got = item(r, out);
    } else if (c == '\n')
      end_line(r, ++r->seen);
    else if (c == ' ' || c == '\t' || c == '\r')
      r->seen++;
    else
      got = between(r, out, c);
    if (!in_item(r))
      r->taken = r->seen;
  }
  return got == FT_READ_MORE && r->ended ? at_end(r, out) : got;
}
