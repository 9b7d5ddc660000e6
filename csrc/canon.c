/*
** canon.c: strings are hashed from the text as it stands, 32 bytes a step. The shortest spelling
** counts, so only those with an escape that need not be written so (FT_NODE_VARIED) are spelled
** anew, into a small buffer. What a container holds is folded into its frame as the nodes come, so
** one pass over them does; a value begins with the hash of its key, and members are added up, so
** that their order does not show.
*/
#include "canon.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Odd numbers without a pattern: the fractional parts of the square roots of 2, 3, 5, 7, 11, 13 */
#define K0 UINT64_C(0x6A09E667F3BCC909)
#define K1 UINT64_C(0xBB67AE8584CAA73B)
#define K2 UINT64_C(0x3C6EF372FE94F82B)
#define K3 UINT64_C(0xA54FF53A5F1D36F1)
#define K4 UINT64_C(0x510E527FADE682D1)
#define K5 UINT64_C(0x9B05688C2B3E6C1F)

/* ---- 128 bits of state ---- */

/* Both halves of the product, one over the other */
static inline uint64_t fold(uint64_t u, uint64_t v) {
#ifdef __SIZEOF_INT128__
  __extension__ typedef unsigned __int128 wide;
  wide p = (wide)u * v;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
#else
  uint64_t ul = u & 0xFFFFFFFF, uh = u >> 32, vl = v & 0xFFFFFFFF, vh = v >> 32;
  uint64_t low = ul * vl, m1 = uh * vl, m2 = ul * vh;
  uint64_t carry = ((low >> 32) + (m1 & 0xFFFFFFFF) + (m2 & 0xFFFFFFFF)) >> 32;
  uint64_t high = uh * vh + (m1 >> 32) + (m2 >> 32) + carry;
  return (low + (m1 << 32) + (m2 << 32)) ^ high;
#endif
}

/* Both products see all of the state and all of the input: a pair of inputs that meets in one
   of them by chance does not meet in the other. */
static inline ft_hash absorb(ft_hash h, uint64_t x, uint64_t y) {
  ft_hash next = {fold(h.a ^ x, h.b ^ y ^ K0), fold(h.b ^ x ^ K1, h.a ^ y ^ K2)};
  return next;
}

static inline ft_hash join(ft_hash h, ft_hash more) {
  return absorb(h, more.a, more.b);
}

/* ---- strings and words ---- */

/* The same number on every machine */
static inline uint64_t load(const char *p) {
  uint64_t w;
  memcpy(&w, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap64(w);
#endif
  return w;
}

static inline uint64_t turned(uint64_t x) {
  return x << 32 | x >> 32;
}

enum { BLOCK = 32 };

/* Each product sees half of the input, and what it makes is laid over the other half: so two
   blocks meet only where a product meets by chance, and the words of the other half agree, too. */
static inline ft_hash absorb_block(ft_hash h, const char *p) {
  uint64_t x = load(p), y = load(p + 8), z = load(p + 16), w = load(p + 24);
  ft_hash next = {fold(h.a ^ x, h.b ^ y ^ K0) ^ (z + turned(w)),
                  fold(h.b ^ z ^ K1, h.a ^ w ^ K2) ^ (x + turned(y))};
  return next;
}

/* The whole blocks of n bytes. A function of its own has all registers for its loop. */
static __attribute__((noinline)) ft_hash blocks(ft_hash h, const char *p, size_t n) {
  for (const char *end = p + n / BLOCK * BLOCK; p != end; p += BLOCK)
    h = absorb_block(h, p);
  return h;
}

typedef struct Words {
  uint64_t x, y;
} Words;

/* The n < 16 bytes at p, zeros behind them. Up to `readable` more may be read, and are cut off. */
static inline Words words(const char *p, size_t n, const char *readable) {
  static const char keep[32] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"
                               "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
  const char *window = keep + 16 - n; /* its first n are of all bits */
  char copy[16] = {0};
  if (readable - p < 16)
    p = memcpy(copy, p, n);
  Words w = {load(p) & load(window), load(p + 8) & load(window + 8)};
  return w;
}

/* The end of a value of n bytes or of none, with its last ones */
static inline ft_hash ended(ft_hash h, Words last, uint64_t n, int type) {
  ft_hash all = {h.a ^ n * K3, h.b ^ (uint64_t)type * K4};
  return absorb(all, last.x, last.y);
}

/* The end of a string or word of n bytes, of which those at p are left behind its blocks */
static inline ft_hash closed(ft_hash h, const char *p, uint64_t n, int type, const char *readable) {
  size_t left = n % BLOCK;
  Words last = {0, 0};
  if (left >= 16) {
    h = absorb(h, load(p), load(p + 8));
    p += 16, left -= 16;
  }
  if (left > 0)
    last = words(p, left, readable);
  return ended(h, last, n, type);
}

/* Of four hexadecimal digits, all at once: a letter's low bits are 9 short of what it means */
static inline unsigned hex4(const char *p) {
  uint32_t x;
  memcpy(&x, p, 4);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap32(x);
#endif
  x = (x & 0x0F0F0F0F) + 9 * (x >> 6 & 0x01010101);
  x = (x << 4 | x >> 8) & 0x00FF00FF;
  return (x & 0xFF) << 8 | x >> 16;
}

/* beyond ASCII */
static inline char *put_utf8(char *out, unsigned c) {
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return out + 2;
  }
  if (c >= 0x10000) {
    *out++ = (char)(0xF0 | c >> 18);
    out[0] = (char)(0x80 | (c >> 12 & 0x3F));
  } else
    out[0] = (char)(0xE0 | c >> 12);
  out[1] = (char)(0x80 | (c >> 6 & 0x3F));
  out[2] = (char)(0x80 | (c & 0x3F));
  return out + 3;
}

/* A character of ASCII, as its shortest spelling in a string of JSON */
static char *put_ascii(char *out, unsigned c) {
  static const char digits[] = "0123456789abcdef";
  static const char letters[] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                 ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
  char letter = c < sizeof letters ? letters[c] : '\0';
  if (letter == '\0' && c >= 0x20)
    return *out = (char)c, out + 1;
  *out++ = '\\';
  *out++ = letter != '\0' ? letter : 'u';
  if (letter != '\0')
    return out;
  memcpy(out, "00", 2);
  out[2] = digits[c >> 4];
  out[3] = digits[c & 15];
  return out + 4;
}

/* The escape at *p, which ft_scan() has accepted: at most 6 bytes */
static inline char *put_escape(char *out, const char **p) {
  const char *s = *p;
  if (s[1] == 'u') {
    unsigned u = hex4(s + 2);
    int pair = (u & 0xFC00) == 0xD800;
    if (pair)
      u = 0x10000 + ((u - 0xD800) << 10) + (hex4(s + 8) - 0xDC00);
    *p += pair ? 12 : 6;
    return u >= 0x80 ? put_utf8(out, u) : put_ascii(out, u);
  }
  *p += 2;
  if (s[1] != '/')
    *out++ = '\\';
  *out++ = s[1];
  return out;
}

enum {
  STEP = 32,   /* bytes copied at a time */
  SPELL = 512, /* bytes of a string that are spelled out at a time */
  SLACK = STEP /* may be written behind them: a last escape, or more of a run than counts */
};

/* Copies STEP bytes; how many of them stand before a backslash */
static inline size_t copy_step(char *out, const char *s) {
#ifdef __SSE2__
  const __m128i backslash = _mm_set1_epi8('\\');
  __m128i v = _mm_loadu_si128((const __m128i *)(const void *)s);
  __m128i w = _mm_loadu_si128((const __m128i *)(const void *)(s + 16));
  _mm_storeu_si128((__m128i *)(void *)out, v);
  _mm_storeu_si128((__m128i *)(void *)(out + 16), w);
  unsigned low = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, backslash));
  unsigned found = low | (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(w, backslash)) << 16;
  return found == 0 ? STEP : (size_t)__builtin_ctz(found);
#else
  const char *escape = memchr(s, '\\', STEP);
  memcpy(out, s, STEP);
  return escape == NULL ? STEP : (size_t)(escape - s);
#endif
}

/* Copies from *p up to a backslash, or as far as there is room */
static inline char *put_run(char *out, const char *room, const char **p, const char *end) {
  const char *s = *p;
  while (out < room && end - s >= STEP) {
    size_t n = copy_step(out, s);
    out += n, s += n;
    if (n < STEP)
      return *p = s, out;
  }
  while (out < room && s < end && *s != '\\')
    *out++ = *s++;
  return *p = s, out;
}

static ft_hash spelled(ft_hash h, const char *p, const char *end) {
  char buf[SPELL + SLACK], *out = buf;
  uint64_t n = 0; /* bytes before buf */
  for (;;) {
    while (p < end && out < buf + SPELL) {
      if (*p == '\\')
        out = put_escape(out, &p);
      else
        out = put_run(out, buf + SPELL, &p, end);
    }
    size_t have = (size_t)(out - buf), whole = have / BLOCK * BLOCK;
    h = blocks(h, buf, whole);
    if (p == end)
      return closed(h, buf + whole, n + have, '"', buf + sizeof buf);
    memcpy(buf, buf + whole, BLOCK);
    out = buf + have - whole;
    n += whole;
  }
}

/* A string or a word, behind what `h` is of */
static inline ft_hash scalar(ft_hash h, const ft_example *e, const ft_node *node) {
  const char *p = e->s + node->at;
  if (node->flags & FT_NODE_VARIED)
    return spelled(h, p, p + node->n);
  if (node->n >= BLOCK)
    h = blocks(h, p, node->n);
  return closed(h, p + node->n / BLOCK * BLOCK, node->n, node->type, e->s + e->n);
}

/* ---- containers ---- */

typedef struct Frame {
  ft_hash all;  /* of what it holds so far */
  ft_hash from; /* what the next value begins with: its key, if it has one */
  uint32_t end;
  int type; /* { or [ */
} Frame;

static inline void give(Frame *f, ft_hash h) {
  if (f->type == '[')
    f->all = join(f->all, h);
  else {
    f->all.a += h.a;
    f->all.b += h.b;
  }
}

ft_hash ft_canon(const ft_example *e, uint64_t seed) {
  Frame frames[FT_SCAN_DEPTH + 1], *f = frames; /* the first holds the whole value */
  const ft_hash start = {seed ^ K0, fold(seed ^ K1, K5)};
  const Words none = {0, 0};
  *f = (Frame){start, start, UINT32_MAX, '['};
  for (uint32_t i = 0; i < e->count; i++) {
    const ft_node *node = &e->nodes[i];
    if (node->flags & FT_NODE_KEY) {
      f->from = scalar(start, e, node);
      continue;
    }
    if (node->type == '{' || node->type == '[') {
      f++;
      *f = (Frame){f[-1].from, start, node->next, node->type};
    } else
      give(f, scalar(f->from, e, node));
    for (; f->end == i + 1; f--)
      give(f - 1, ended(f->all, none, 0, f->type));
  }
  return frames->all;
}

/* ---- in brief ---- */

enum { BRIEF_LEAST = 16 }; /* characters: roles, names and the like tell little apart */

/* The first eight bytes of a string of at least so many characters */
static uint64_t begin(const char *p, int varied) {
  char buf[8 + 6], *out = buf;
  if (!varied)
    return load(p);
  while (out < buf + 8) {
    if (*p == '\\')
      out = put_escape(out, &p);
    else
      *out++ = *p++;
  }
  return load(buf);
}

uint64_t ft_canon_brief(const ft_example *e, uint64_t seed) {
  uint64_t sum = seed; /* of its strings, so the order of keys does not show */
  const ft_node *end = e->nodes + e->count;
  for (const ft_node *node = e->nodes; node < end; node++) {
    if (node->n < BRIEF_LEAST || node->type != '"')
      continue;
    size_t characters = ft_scan_characters(e->s, node);
    if (characters < BRIEF_LEAST)
      continue;
    uint64_t first = begin(e->s + node->at, node->flags & FT_NODE_VARIED);
    sum += fold(first ^ seed ^ K0, characters * K1 + K2);
  }
  return sum;
}

int ft_canon_side(ft_hash h, uint64_t seed, double fraction) {
  ft_hash drawn = {seed ^ K5, seed ^ K4};
  drawn = join(join(drawn, h), h);
  return (double)(drawn.a >> 11) * 0x1p-53 < fraction; /* 53 bits: what a double can tell apart */
}
