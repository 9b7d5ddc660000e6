/*
** scan_odd.h: the parts of a text that are rare or wrong, byte by byte; every sentence about a
** fault inside a value is here. A part of scan_body.h. Each function takes what begins at p and
** answers the place behind it, or NULL: a fault is set.
*/

static const char ENDS[] = "the text ends in the middle of a value";
static const char ENDS_STRING[] = "the text ends inside a string; a closing quote is missing";

static FT_SCAN_APART const uint8_t *fault(ft_scan_state *S, const uint8_t *p, const char *why) {
  S->at = p;
  S->why = why;
  return NULL;
}

/* the byte at p, or -1 at the end */
static int peek(const ft_scan_state *S, const uint8_t *p) {
  return p < S->end ? *p : -1;
}

/* ---- characters in strings ---- */

/* One character beyond ASCII (Unicode, table 3-7): the lead byte tells how many
   bytes follow, and which range the first of those may be in. */
static const uint8_t *utf8(ft_scan_state *S, const uint8_t *p) {
  uint8_t c = *p, low = 0x80, high = 0xBF;
  int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
  if (c < 0xC2 || c > 0xF4)
    return fault(S, p, ft_scan_utf8);
  if (c == 0xE0)
    low = 0xA0; /* shorter forms exist */
  else if (c == 0xF0)
    low = 0x90;
  else if (c == 0xED)
    high = 0x9F; /* surrogates */
  else if (c == 0xF4)
    high = 0x8F; /* beyond U+10FFFF */
  if (S->end - p <= more || p[1] < low || p[1] > high)
    return fault(S, p, ft_scan_utf8);
  for (int i = 2; i <= more; i++)
    if ((p[i] & 0xC0) != 0x80)
      return fault(S, p, ft_scan_utf8);
  return p + more + 1;
}

/* the value of the \u escape with its four digits at p, or -1 */
static long hex_escape(const uint8_t *p, const uint8_t *end) {
  long value = 0;
  if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
    return -1;
  for (int i = 2; i < 6; i++) {
    if ((ft_scan_bytes[p[i]] & FT_BYTE_HEX) == 0)
      return -1;
    value = value * 16 + (p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
  }
  return value;
}

static const uint8_t *unicode_escape(ft_scan_state *S, const uint8_t *p) {
  long c = hex_escape(p, S->end);
  if (c < 0)
    return fault(S, p, "\\u must be followed by four hexadecimal digits");
  if (c < 0xD800 || c > 0xDFFF)
    return p + 6;
  long low = hex_escape(p + 6, S->end);
  if (c >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
    return fault(S, p,
                 "a lone surrogate escape: \\uD800 to \\uDFFF come in pairs, a high one "
                 "(\\uD800-\\uDBFF) and then a low one (\\uDC00-\\uDFFF)");
  return p + 12;
}

static const uint8_t *escape(ft_scan_state *S, const uint8_t *p) {
  if (S->end - p < 2)
    return fault(S, S->end, ENDS_STRING);
  if (p[1] == 'u')
    return unicode_escape(S, p);
  if ((ft_scan_bytes[p[1]] & FT_BYTE_SIMPLE) == 0)
    return fault(S, p, "unknown escape in a string; a backslash itself is written \\\\");
  return p + 2;
}

static FT_SCAN_APART const uint8_t *odd(ft_scan_state *S, const uint8_t *p) {
  int c = peek(S, p);
  if (c < 0)
    return fault(S, p, ENDS_STRING);
  if (c < 0x20)
    return fault(S, p, "a control character in a string; write it as an escape such as \\n or \\t");
  if (c >= 0x80)
    return utf8(S, p);
  return c == '\\' ? escape(S, p) : p + 1;
}

/* ---- numbers ---- */

static int is_digit(int c) {
  return c >= '0' && c <= '9';
}

static const uint8_t *digits(ft_scan_state *S, const uint8_t *p) {
  if (!is_digit(peek(S, p)))
    return fault(S, p, peek(S, p) < 0 ? ENDS : "a digit is missing in a number");
  while (is_digit(peek(S, p)))
    p++;
  return p;
}

static const uint8_t *whole(ft_scan_state *S, const uint8_t *p) {
  if (peek(S, p) != '0')
    return digits(S, p);
  if (is_digit(peek(S, p + 1)))
    return fault(S, p + 1, "a number must not begin with 0");
  return p + 1;
}

static const uint8_t *exponent(ft_scan_state *S, const uint8_t *p) {
  if (peek(S, p) == '+' || peek(S, p) == '-')
    p++;
  return digits(S, p);
}

static FT_SCAN_APART const uint8_t *number(ft_scan_state *S, const uint8_t *p) {
  if (*p == '-' && peek(S, ++p) == 'I')
    return fault(S, p, "NaN and Infinity are no JSON values");
  p = whole(S, p);
  if (p != NULL && peek(S, p) == '.')
    p = digits(S, p + 1);
  if (p != NULL && (peek(S, p) | 0x20) == 'e')
    p = exponent(S, p + 1);
  return p;
}

/* ---- true, false, null, and what is none ---- */

/* the mistakes that people make where a value should begin */
static const uint8_t *not_a_value(ft_scan_state *S, const uint8_t *p) {
  switch (peek(S, p)) {
  case -1:
    return fault(S, p, ENDS);
  case '\'':
    return fault(S, p, "a string is written in double quotes");
  case 'T':
  case 'F':
  case 'N':
  case 'I':
    return fault(S, p,
                 "expected a value; true, false and null are written in small letters, "
                 "and NaN and Infinity are no JSON values");
  case ']':
  case '}':
  case ',':
    return fault(S, p, "expected a value; is there a comma too many?");
  default:
    return fault(S, p, "expected a value");
  }
}

static FT_SCAN_APART const uint8_t *literal(ft_scan_state *S, const uint8_t *p) {
  int c = peek(S, p);
  const char *word = c == 't' ? "true" : c == 'f' ? "false" : c == 'n' ? "null" : "";
  size_t n = strlen(word), left = (size_t)(S->end - p), have = left < n ? left : n;
  if (n == 0)
    return not_a_value(S, p);
  if (memcmp(p, word, have) != 0)
    return fault(S, p, "expected a value; is this text without quotes?");
  return have < n ? fault(S, S->end, ENDS) : p + n;
}
