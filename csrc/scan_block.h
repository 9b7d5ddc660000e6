/*
** scan_block.h: run() of scan_body.h for the variants that look at 32 bytes at a time. The
** includer defines before:
**   Block block(p): what there is in the 32 bytes at p.
**   uint32_t beyond(p): its bytes beyond ASCII.
**   uint32_t near_odd(p): what is no plain ASCII of a string, in the NEAR bytes at p.
**   uint32_t second(p): the bytes of its 32 that make a good escape of two bytes behind a
*backslash,
**     but for the slash; what is seldom may be left out.
**   Escapes escapes(p, b): by ft_scan_escapes(), of the block at p.
**   uint32_t continuations(p): the bytes of its 32 that continue a character of UTF-8.
**   size_t ones(uint32_t): how many bits are set.
**   int checked(p): are the characters good that begin or end in the 32 bytes at p? It looks at
**     the three bytes before p, too.
*/
enum { BLOCK = 32, ESCAPE = 6 /* bytes of the longest that is taken here */ };

/* The last bytes of the text: the block that ends there is looked at, so none is read behind */
static const uint8_t *tail(const ft_scan_state *S, const uint8_t *p) {
  while (S->end - S->begin >= BLOCK && p < S->end) {
    size_t left = (size_t)(S->end - p), over = left < BLOCK ? BLOCK - left : 0;
    Block b = block(p - over);
    uint32_t odd = (b.other | b.backslash) >> over;
    if (odd != 0)
      return p + __builtin_ctz(odd);
    p += BLOCK - over;
  }
  while (p < S->end && (ft_scan_bytes[*p] & FT_BYTE_PLAIN))
    p++;
  return p;
}

/* how many bytes of a character stand before p that has others behind it */
static inline int cut(const uint8_t *p) {
  return (p[-1] >= 0xC0) + 2 * (p[-2] >= 0xE0) + 3 * (p[-3] >= 0xF0); /* at most one of them */
}

/* Over the escape at p, of which ESCAPE bytes are there; p where it is none, or not good */
static inline const uint8_t *over(const uint8_t *p) {
  if (*p != '\\')
    return p;
  if (ft_scan_bytes[p[1]] & FT_BYTE_SIMPLE)
    return p + 2;
  return p[1] == 'u' && ft_scan_hex(p + 2) ? p + ESCAPE : p;
}

static inline const uint8_t *quick(const uint8_t *end, const uint8_t *p) {
  if (end - p < NEAR)
    return NULL;
  const uint8_t *at = p + __builtin_ctz(near_odd(p) | UINT32_C(1) << (NEAR - 1));
  return *at == '"' ? at : NULL;
}

static inline uint32_t first_bits(size_t n) {
  return n < BLOCK ? (UINT32_C(1) << n) - 1 : UINT32_MAX;
}

/* Adds what stands in the first n bytes of the block at p. */
static inline void count(ft_scan_text *text, const uint8_t *p, size_t n, Block b, Escapes e) {
  uint32_t done = first_bits(n);
  if (b.backslash & done) {
    text->flags |= FT_NODE_ESCAPED | (e.unicode & done ? FT_NODE_VARIED : 0) |
                   (e.bars & done ? FT_NODE_BAR : 0);
    text->extra += ones(e.simple & done) + 5 * ones(e.unicode & done);
  }
  if (beyond(p) & done)
    text->extra += ones(continuations(p) & done);
}

/* Over the block at p as far as it is good: to its end or a little behind it, or to what is left
   to others. The character that the block's end cuts apart is left for the next one. */
static inline const uint8_t *over_block(const ft_scan_state *S, const uint8_t *p, Block b,
                                        ft_scan_text *text) {
  const uint32_t all = beyond(p);
  uint32_t stop = (b.other | b.backslash) & ~all, high = all;
  const uint8_t *q = p + BLOCK;
  Escapes e = {0, 0, 0};
  if (b.backslash != 0 && (b.backslash & b.backslash >> 1) == 0) {
    e = escapes(p, b);
    stop &= ~(e.simple | e.simple << 1 | e.unicode);
  }
  for (;;) {
    if (high & (stop ^ (stop - 1))) { /* one before the next stop */
      if (p - S->begin < 3 || !checked(p)) {
        q = p + __builtin_ctz(high);
        break;
      }
      high = 0;
    }
    if (stop == 0) {
      q = p + BLOCK - (all != 0 ? cut(p + BLOCK) : 0);
      break;
    }
    const uint8_t *at = p + __builtin_ctz(stop);
    q = *at == '"' ? at : over(at);
    if (q == at)
      break;
    text->extra += (size_t)(q - at) - 1;
    text->flags |= ft_scan_flags(at, q);
    if (q - p >= BLOCK)
      break;
    stop &= UINT32_MAX << (q - p);
  }
  count(text, p, (size_t)(q - p), b, e);
  return q;
}

/* The block at p where it has no escapes but simple ones, and something else: to its end, where a
   character may be cut, or to that. NULL: a character is not good, or is not looked at here. */
static inline const uint8_t *to_stop(const ft_scan_state *S, const uint8_t *p, uint32_t stop,
                                     size_t *extra) {
  uint32_t high = beyond(p);
  const uint8_t *q = p + BLOCK;
  stop &= ~high;
  if (high != 0 && (p - S->begin < 3 || !checked(p)))
    return NULL;
  if (stop != 0)
    q = p + __builtin_ctz(stop);
  else
    q -= cut(q);
  if (high != 0)
    *extra += ones(continuations(p) & first_bits((size_t)(q - p)));
  return q;
}

/* Most blocks are plain or hold a simple escape, by chance: so both go one way, without a branch
   that would be guessed wrong. */
static inline const uint8_t *run(const ft_scan_state *S, const uint8_t *p, ft_scan_text *text) {
  const uint8_t *end = S->end - (BLOCK + ESCAPE), *from;
  uint32_t escaped = 0;
  size_t extra = 0;
  while (p <= end) {
    Block b = block(p);
    uint64_t next = (uint64_t)b.backslash << 1; /* one more bit, for an escape that is cut */
    uint32_t stop = b.other & ~(uint32_t)next;
    int simple = (next & ~(uint64_t)second(p)) == 0;
    if (FT_LIKELY(simple && stop == 0)) {
      escaped |= b.backslash;
      extra += ones(b.backslash);
      p += BLOCK;
      continue;
    }
    from = p;
    p = simple ? to_stop(S, from, stop, &extra) : NULL;
    if (p != NULL) {
      b.backslash &= first_bits((size_t)(p - from));
      escaped |= b.backslash;
      extra += ones(b.backslash);
    } else
      p = over_block(S, from, b, text);
    if (p - from < BLOCK - 3)
      break;
  }
  text->extra += extra;
  text->flags |= escaped != 0 ? FT_NODE_ESCAPED : 0;
  return p > end ? tail(S, p) : p;
}
