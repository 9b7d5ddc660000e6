/*
** scan_body.h: the scanner itself, compiled once for each variant: scan.c (portable), scan_sse2.c,
** scan_avx2.c. They differ only in how they get over what is plainly good in a string. Each
** defines before:
**   const uint8_t *quick(end, p): from p, at the beginning of a string, to its closing quote if
**     that is near and all before it is plain; else p, or a place on the way to it.
**   const uint8_t *run(S, p, text): from p, at the beginning of a character inside a
**     string, as far as all is surely good: to a quote that closes, to anything else that it
**     leaves to odd(), or to the end. Adds to `text` what it steps over.
*/

#include "scan_odd.h"

/* The byte at *p behind white space, -1 at the end */
static inline int next(const uint8_t *end, const uint8_t **p) {
  while (*p < end) {
    int c = **p;
    if (FT_LIKELY(c > ' ') || (c != ' ' && c != '\n' && c != '\t' && c != '\r'))
      return c;
    ++*p;
  }
  return -1;
}

/* ---- nodes, in a struct that stays in scan(), so that it can lie in registers; so does `end`
   everywhere, since what is written to a node might be anything for all that C knows ---- */

typedef struct Notes {
  const uint8_t *begin;
  ft_node *nodes;
  size_t room, count;
} Notes;

/* A node for [from, from + n): its index */
static inline size_t note(Notes *notes, int type, int flags, const uint8_t *from, size_t n) {
  size_t i = notes->count++;
  if (FT_LIKELY(i < notes->room)) {
    ft_node *node = &notes->nodes[i];
    node->at = (uint32_t)(from - notes->begin);
    node->n = (uint32_t)n;
    node->next = (uint32_t)i + 1;
    node->type = (uint8_t)type;
    node->flags = (uint8_t)flags;
    node->extra = 0;
  }
  return i;
}

static void note_extra(Notes *notes, size_t i, size_t extra) {
  if (i < notes->room)
    notes->nodes[i].extra = (uint16_t)(extra < FT_NODE_MANY ? extra : FT_NODE_MANY);
}

/* p: behind the bracket that closes node i */
static inline void note_end(Notes *notes, size_t i, const uint8_t *p) {
  if (FT_LIKELY(i < notes->room)) {
    ft_node *node = &notes->nodes[i];
    node->n = (uint32_t)(p - notes->begin) - node->at;
    node->next = (uint32_t)notes->count;
  }
}

/* ---- values that hold none ---- */

/* The closing quote of the string that begins at p, if it is known; NULL: it is not */
static const uint8_t *known_string(ft_scan_state *S, const uint8_t *p, ft_scan_text *text) {
  size_t at = (size_t)(p - S->begin), left = (size_t)(S->end - p);
  while (S->known < S->known_end && S->known->at < at)
    S->known++;
  if (S->known == S->known_end || S->known->at != at || S->known->n >= left ||
      p[S->known->n] != '"')
    return NULL;
  text->flags |= S->known->flags & ~FT_NODE_KEY;
  text->extra = S->known->extra;
  return p + S->known->n;
}

/* The closing quote of the string that begins at p */
static FT_SCAN_APART const uint8_t *string_rest(ft_scan_state *S, const uint8_t *p,
                                                ft_scan_text *text) {
  const uint8_t *quote = S->known != NULL ? known_string(S, p, text) : NULL;
  if (quote != NULL)
    return quote;
  for (;;) {
    p = run(S, p, text);
    if (FT_LIKELY(p < S->end && *p == '"'))
      return p;
    const uint8_t *behind = odd(S, p);
    if (behind == NULL)
      return NULL;
    if (*p == '\\')
      text->flags |= ft_scan_flags(p, behind);
    text->extra += (size_t)(behind - p) - 1;
    p = behind;
  }
}

static inline const uint8_t *string(ft_scan_state *S, const uint8_t *end, const uint8_t *p,
                                    int flags, Notes *notes) {
  const uint8_t *from = p + 1, *quote = quick(end, from);
  if (FT_LIKELY(quote != NULL)) {
    note(notes, '"', flags, from, (size_t)(quote - from));
    return quote + 1;
  }
  ft_scan_text text = {0, flags};
  quote = string_rest(S, from, &text);
  if (quote == NULL)
    return NULL;
  note_extra(notes, note(notes, '"', text.flags, from, (size_t)(quote - from)), text.extra);
  return quote + 1;
}

static inline const uint8_t *word(ft_scan_state *S, const uint8_t *p, int c, Notes *notes) {
  const uint8_t *from = p;
  int numeric = c == '-' || (c >= '0' && c <= '9');
  p = numeric ? number(S, p) : literal(S, p);
  if (p != NULL)
    note(notes, numeric ? '0' : c, 0, from, (size_t)(p - from));
  return p;
}

/* ---- structure: `open` holds the containers that are open, so nothing recurses ---- */

typedef struct Open {
  size_t node;
  int close; /* the byte that ends it */
} Open;

typedef struct Levels {
  Open open[FT_SCAN_DEPTH + 1]; /* the first is the text: -1 closes it */
  Open *top, *last;             /* the innermost, and the last that may be used */
} Levels;

static FT_SCAN_APART const uint8_t *expected(ft_scan_state *S, const uint8_t *p, int wanted) {
  const char *why = ENDS;
  if (wanted < 0)
    why = "text behind the end of the value";
  else if (p < S->end)
    why = wanted == '"'   ? "expected a key in double quotes; is there a comma too many?"
          : wanted == ':' ? "expected ':' behind a key"
          : wanted == '}' ? "expected ',' or '}'"
                          : "expected ',' or ']'";
  return fault(S, p, why);
}

/* "key": -> the place behind the colon */
static inline const uint8_t *key(ft_scan_state *S, const uint8_t *end, const uint8_t *p,
                                 Notes *notes) {
  if (next(end, &p) != '"')
    return expected(S, p, '"');
  p = string(S, end, p, FT_NODE_KEY, notes);
  if (p == NULL)
    return NULL;
  return next(end, &p) == ':' ? p + 1 : expected(S, p, ':');
}

/* Over the bracket c */
static inline const uint8_t *enter(ft_scan_state *S, const uint8_t *p, int c, Levels *l,
                                   Notes *notes) {
  if (l->top == l->last)
    return fault(S, p, ft_scan_deep);
  l->top++;
  l->top->node = note(notes, c, 0, p, 0);
  l->top->close = c + 2; /* ASCII has it so: [ ] and { } */
  return p + 1;
}

/* Behind a value: over closing brackets and a comma. NULL: the end, or a fault */
static inline const uint8_t *after_value(ft_scan_state *S, const uint8_t *end, const uint8_t *p,
                                         Levels *l, Notes *notes) {
  for (;;) {
    int c = next(end, &p);
    if (c == ',' && l->top != l->open)
      return p + 1;
    if (c != l->top->close)
      return expected(S, p, l->top->close);
    if (c < 0)
      return NULL;
    note_end(notes, (l->top--)->node, ++p);
  }
}

static void scan(ft_scan_state *S, int depth) {
  Notes notes = {S->begin, S->nodes, S->room, 0};
  Levels l;
  const uint8_t *p = S->begin, *const end = S->end;
  l.top = l.open, l.last = l.open + depth;
  l.open[0].node = 0, l.open[0].close = -1;
  if (next(end, &p) < 0)
    p = fault(S, p, "there is no value");
  while (p != NULL) {
    if (l.top->close == '}' && (p = key(S, end, p, &notes)) == NULL)
      break;
    int c = next(end, &p);
    if (FT_LIKELY(c == '"'))
      p = string(S, end, p, 0, &notes);
    else if (c == '{' || c == '[') {
      p = enter(S, p, c, &l, &notes);
      if (p != NULL && next(end, &p) != c + 2)
        continue;
    } else
      p = word(S, p, c, &notes);
    if (p != NULL)
      p = after_value(S, end, p, &l, &notes);
  }
  S->count = notes.count;
}
