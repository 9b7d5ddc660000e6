#include "scan.h"

#include <stdint.h>
#include <string.h>

const char ft_scan_utf8[] = "invalid UTF-8; save the text as UTF-8";
const char ft_scan_deep[] = "arrays and objects are nested too deep";

static const char ENDS[] = "the text ends in the middle of a value";
static const char ENDS_STRING[] = "the text ends inside a string; a closing quote is missing";

typedef struct Scan {
  const unsigned char *p, *end, *begin;
  const char *why; /* set with p at the fault */
  ft_node *nodes;
  size_t room, count; /* of nodes: there, and needed so far */
} Scan;

static int fault(Scan *S, const char *why) {
  S->why = why;
  return 0;
}

/* the byte at p, or -1 at the end */
static int peek(const Scan *S) {
  return S->p < S->end ? *S->p : -1;
}

static int space(Scan *S) {
  while (S->p < S->end && (*S->p == ' ' || *S->p == '\n' || *S->p == '\t' || *S->p == '\r'))
    S->p++;
  return peek(S);
}

/* ---- nodes ---- */

/* A node for what lies in [from, p): its index */
static size_t note(Scan *S, int type, int flags, const unsigned char *from, size_t n) {
  size_t i = S->count++;
  if (i < S->room) {
    ft_node *node = &S->nodes[i];
    node->at = (uint32_t)(from - S->begin);
    node->n = (uint32_t)n;
    node->next = (uint32_t)i + 1;
    node->type = (uint8_t)type;
    node->flags = (uint8_t)flags;
  }
  return i;
}

static void note_end(Scan *S, size_t i) { /* behind the bracket that closes it */
  if (i < S->room) {
    S->nodes[i].n = (uint32_t)(S->p - S->begin) - S->nodes[i].at;
    S->nodes[i].next = (uint32_t)S->count;
  }
}

/* ---- strings ---- */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGH EACH(0x80)
#define HAS_ZERO(w) (((w)-EACH(1)) & ~(w)&HIGH)

/* Do these eight bytes hold a quote, a backslash, a control character or a byte beyond ASCII? */
static int eight_special(uint64_t w) {
  uint64_t control = (w - EACH(0x20)) & ~w & HIGH;
  uint64_t quote = w ^ EACH('"'), backslash = w ^ EACH('\\');
  return (control | HAS_ZERO(quote) | HAS_ZERO(backslash) | (w & HIGH)) != 0;
}

static int plain(unsigned char c) {
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void skip_plain(Scan *S) {
  const unsigned char *p = S->p;
  uint64_t w;
  while (S->end - p >= 8) {
    memcpy(&w, p, 8);
    if (eight_special(w))
      break;
    p += 8;
  }
  while (p < S->end && plain(*p))
    p++;
  S->p = p;
}

/* One character beyond ASCII (Unicode, table 3-7): the lead byte tells how many
   bytes follow, and which range the first of those may be in. */
static int utf8(Scan *S) {
  unsigned char c = *S->p, low = 0x80, high = 0xBF;
  int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
  if (c < 0xC2 || c > 0xF4)
    return fault(S, ft_scan_utf8);
  if (c == 0xE0)
    low = 0xA0; /* shorter forms exist */
  else if (c == 0xF0)
    low = 0x90;
  else if (c == 0xED)
    high = 0x9F; /* surrogates */
  else if (c == 0xF4)
    high = 0x8F; /* beyond U+10FFFF */
  if (S->end - S->p <= more || S->p[1] < low || S->p[1] > high)
    return fault(S, ft_scan_utf8);
  for (int i = 2; i <= more; i++)
    if ((S->p[i] & 0xC0) != 0x80)
      return fault(S, ft_scan_utf8);
  S->p += more + 1;
  return 1;
}

static int hex_digit(int c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* the value of \uXXXX at p, or -1 */
static long hex_escape(const unsigned char *p, const unsigned char *end) {
  long value = 0;
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
    return -1;
  for (int i = 2; i < 6; i++) {
    int digit = hex_digit(p[i]);
    if (digit < 0)
      return -1;
    value = value * 16 + digit;
  }
  return value;
}

static int unicode_escape(Scan *S) {
  long c = hex_escape(S->p, S->end);
  if (c < 0)
    return fault(S, "\\u must be followed by four hexadecimal digits");
  if (c >= 0xD800 && c <= 0xDFFF) {
    long low = hex_escape(S->p + 6, S->end);
    if (c >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
      return fault(S, "a lone surrogate escape: \\uD800 to \\uDFFF come in pairs, a high one "
                      "(\\uD800-\\uDBFF) and then a low one (\\uDC00-\\uDFFF)");
    S->p += 6;
  }
  S->p += 6;
  return 1;
}

static int escape(Scan *S) {
  if (S->end - S->p < 2)
    return S->p = S->end, fault(S, ENDS_STRING);
  switch (S->p[1]) {
  case 'u':
    return unicode_escape(S);
  case '"':
  case '\\':
  case '/':
  case 'b':
  case 'f':
  case 'n':
  case 'r':
  case 't':
    S->p += 2;
    return 1;
  default:
    return fault(S, "unknown escape in a string; a backslash itself is written \\\\");
  }
}

static int string(Scan *S, int flags) {
  const unsigned char *from = ++S->p;
  for (;;) {
    skip_plain(S);
    int c = peek(S);
    if (c == '"') {
      note(S, '"', flags, from, (size_t)(S->p - from));
      return S->p++, 1;
    }
    if (c == '\\')
      flags |= FT_NODE_ESCAPED;
    if (c < 0)
      return fault(S, ENDS_STRING);
    if (c < 0x20)
      return fault(S, "a control character in a string; write it as an escape such as \\n or \\t");
    if (!(c == '\\' ? escape(S) : utf8(S)))
      return 0;
  }
}

/* ---- other values ---- */

static int is_digit(int c) {
  return c >= '0' && c <= '9';
}

static int digits(Scan *S) {
  if (!is_digit(peek(S)))
    return fault(S, peek(S) < 0 ? ENDS : "a digit is missing in a number");
  while (is_digit(peek(S)))
    S->p++;
  return 1;
}

static int number(Scan *S) {
  if (*S->p == '-') {
    S->p++;
    if (peek(S) == 'I')
      return fault(S, "NaN and Infinity are no JSON values");
  }
  if (peek(S) == '0') {
    S->p++;
    if (is_digit(peek(S)))
      return fault(S, "a number must not begin with 0");
  } else if (!digits(S))
    return 0;
  if (peek(S) == '.') {
    S->p++;
    if (!digits(S))
      return 0;
  }
  if (peek(S) == 'e' || peek(S) == 'E') {
    S->p++;
    if (peek(S) == '+' || peek(S) == '-')
      S->p++;
    return digits(S);
  }
  return 1;
}

static int literal(Scan *S, const char *word, size_t n) {
  size_t left = (size_t)(S->end - S->p), have = left < n ? left : n;
  if (memcmp(S->p, word, have) != 0)
    return fault(S, "expected a value; is this text without quotes?");
  if (have < n)
    return S->p = S->end, fault(S, ENDS);
  S->p += n;
  return 1;
}

/* the mistakes that people make where a value should begin */
static int not_a_value(Scan *S) {
  switch (peek(S)) {
  case -1:
    return fault(S, ENDS);
  case '\'':
    return fault(S, "a string is written in double quotes");
  case 'T':
  case 'F':
  case 'N':
  case 'I':
    return fault(S, "expected a value; true, false and null are written in small letters, and "
                    "NaN and Infinity are no JSON values");
  case ']':
  case '}':
  case ',':
    return fault(S, "expected a value; is there a comma too many?");
  default:
    return fault(S, "expected a value");
  }
}

static int scalar(Scan *S) {
  const unsigned char *from = S->p;
  int c = peek(S), good;
  switch (c) {
  case '"':
    return string(S, 0);
  case '-':
  case '0':
  case '1':
  case '2':
  case '3':
  case '4':
  case '5':
  case '6':
  case '7':
  case '8':
  case '9':
    good = number(S);
    c = '0';
    break;
  case 't':
    good = literal(S, "true", 4);
    break;
  case 'f':
    good = literal(S, "false", 5);
    break;
  case 'n':
    good = literal(S, "null", 4);
    break;
  default:
    return not_a_value(S);
  }
  if (good)
    note(S, c, 0, from, (size_t)(S->p - from));
  return good;
}

/* "key": */
static int key(Scan *S) {
  int c = space(S);
  if (c != '"')
    return fault(S, c < 0 ? ENDS : "expected a key in double quotes; is there a comma too many?");
  if (!string(S, FT_NODE_KEY))
    return 0;
  c = space(S);
  if (c != ':')
    return fault(S, c < 0 ? ENDS : "expected ':' behind a key");
  S->p++;
  return 1;
}

/* ---- structure: `open` holds the containers that are open, so nothing recurses ---- */

typedef struct Open {
  size_t node;
  int brace;
} Open;

/* Behind a value: steps over closing brackets and at most one comma.
   1: a value follows; 0: the end, or a fault. */
static int after_value(Scan *S, const Open *open, int *level) {
  for (;;) {
    int c = space(S);
    if (*level == 0)
      return c < 0 ? 0 : fault(S, "text behind the end of the value");
    int brace = open[*level - 1].brace;
    if (c == ',') {
      S->p++;
      return brace ? key(S) : 1;
    }
    if (c != (brace ? '}' : ']'))
      return fault(S, c < 0 ? ENDS : brace ? "expected ',' or '}'" : "expected ',' or ']'");
    S->p++;
    note_end(S, open[--*level].node);
  }
}

/* At the bracket c. 1: a value follows; 0: it was empty, or a fault */
static int enter(Scan *S, int c, Open *open, int *level, int depth) {
  if (*level >= depth)
    return fault(S, ft_scan_deep);
  size_t node = note(S, c, 0, S->p++, 0);
  if (space(S) == (c == '{' ? '}' : ']')) {
    S->p++;
    note_end(S, node);
    return 0;
  }
  open[*level].node = node;
  open[(*level)++].brace = c == '{';
  return c == '{' ? key(S) : 1;
}

static ptrdiff_t scan(Scan *S, int depth) {
  Open open[FT_SCAN_DEPTH];
  int level = 0, more = 1;
  if (depth > FT_SCAN_DEPTH)
    depth = FT_SCAN_DEPTH;
  if (space(S) < 0)
    S->why = "there is no value", more = 0;
  while (more) {
    int c = space(S);
    if (c == '{' || c == '[')
      more = enter(S, c, open, &level, depth);
    else
      scalar(S), more = 0;
    if (!more && S->why == NULL)
      more = after_value(S, open, &level);
    if (S->why != NULL)
      more = 0;
  }
  return S->why == NULL ? -1 : S->p - S->begin;
}

ptrdiff_t ft_scan(const char *s, size_t n, int depth, const char **why) {
  size_t count;
  return ft_scan_nodes(s, n, depth, NULL, 0, &count, why);
}

ptrdiff_t ft_scan_nodes(const char *s, size_t n, int depth, ft_node *nodes, size_t room,
                        size_t *count, const char **why) {
  const unsigned char *begin = (const unsigned char *)s;
  Scan S = {begin, begin + n, begin, NULL, nodes, room, 0};
  ptrdiff_t at = scan(&S, depth);
  *count = S.count;
  *why = S.why;
  return at;
}
