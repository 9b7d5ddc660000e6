/*
** scan_block.h: run() of scan_body.h for the variants that look at 32 bytes at a time. The
** includer defines before:
**   Block block(p): what there is in the 32 bytes at p.
**   uint32_t near_odd(p): as b.odd, for the NEAR bytes at p.
**   uint32_t escapes(p, b): by ft_scan_escapes(), of the block at p.
**   int checked(p): are the characters good that begin or end in the 32 bytes at p? It looks at
**     the three bytes before p, too.
*/
enum { BLOCK = 32, ESCAPE = 6 /* bytes of the longest that is taken here */ };

/* The last bytes of the text: the block that ends there is looked at, so none is read behind */
static const uint8_t *tail(const ft_scan_state *S, const uint8_t *p) {
  while (S->end - S->begin >= BLOCK && p < S->end) {
    size_t left = (size_t)(S->end - p), over = left < BLOCK ? BLOCK - left : 0;
    Block b = block(p - over);
    uint32_t odd = b.odd >> over;
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
  return p[-1] >= 0xC0 ? 1 : p[-2] >= 0xE0 ? 2 : p[-3] >= 0xF0 ? 3 : 0;
}

/* Over the escape at p, of which ESCAPE bytes are there; p where it is none, or not good */
static inline const uint8_t *over(const uint8_t *p) {
  if (*p != '\\')
    return p;
  if (ft_scan_bytes[p[1]] & FT_BYTE_SIMPLE)
    return p + 2;
  return p[1] == 'u' && ft_scan_hex(p + 2) ? p + ESCAPE : p;
}

static inline const uint8_t *quick(const ft_scan_state *S, const uint8_t *p) {
  if (S->end - p < NEAR)
    return NULL;
  const uint8_t *at = p + __builtin_ctz(near_odd(p) | UINT32_C(1) << (NEAR - 1));
  return *at == '"' ? at : NULL;
}

/* Over the block at p as far as it is good: to its end or a little behind it, or to what is left
   to others. The character that the block's end cuts apart is left for the next one. */
static inline const uint8_t *over_block(const ft_scan_state *S, const uint8_t *p, Block b,
                                        int *flags) {
  uint32_t stop = b.odd ^ b.high, high = b.high;
  const uint8_t *q = p;
  if (b.backslash != 0)
    stop &= ~escapes(p, b);
  while (q - p < BLOCK) {
    uint32_t before = stop ^ (stop - 1); /* and the next stop itself */
    if (b.backslash & before)
      *flags |= FT_NODE_ESCAPED;
    if (high & before) {
      if (p - S->begin < 3 || !checked(p))
        return p + __builtin_ctz(high);
      high = 0;
    }
    if (stop == 0)
      return p + BLOCK - (b.high != 0 ? cut(p + BLOCK) : 0);
    const uint8_t *at = p + __builtin_ctz(stop);
    if (*at == '"' || (q = over(at)) == at)
      return at;
    stop &= (uint32_t)(UINT64_MAX << ((q - p) & 63));
  }
  return q;
}

static inline const uint8_t *run(const ft_scan_state *S, const uint8_t *p, int *flags) {
  const uint8_t *end = S->end - (BLOCK + ESCAPE);
  while (p <= end) {
    Block b = block(p);
    const uint8_t *q = p + BLOCK;
    if (b.odd != 0) {
      q = over_block(S, p, b, flags);
      if (q - p < BLOCK - 3)
        return q;
    }
    p = q;
  }
  return tail(S, p);
}
