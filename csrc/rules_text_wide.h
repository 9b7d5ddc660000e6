/*
** rules_text_wide.h: the body of rules_text_x86.c for vectors of WIDE bytes, included once for
** each kind, with NAME() and the operations defined.
*/

/* What the escapes of a block are too much, by lane; `starts`: their backslashes, `next`: the
   bytes behind them. Behind \u are hexadecimal digits, so one beyond 'b' is one of c to f. */
static inline VECTOR NAME(escapes)(const char *p, VECTOR starts, VECTOR next) {
  VECTOR u = AND(starts, EQUAL(next, 'u'));
  VECTOR d = EQUAL(OR(LOAD(p + 2), ALL(0x20)), 'd');
  VECTOR c_f = GREATER(OR(LOAD(p + 3), ALL(0x20)), ALL('b'));
  VECTOR low = AND(AND(u, d), c_f);
  return SUB(SUB(AND(u, ALL(4)), starts), low);
}

/* By whole blocks: the last bytes are left, *from is at them. Behind `until` AHEAD bytes may be
   read. An escape adds at most 6 to a lane, so 40 blocks fit into one. */
static inline size_t NAME(blocks)(const char **from, const char *until, const int escaped,
                                  int *bar) {
  const char *p = *from;
  size_t excess = 0;
  VECTOR bars = ALL(0);
  while (until - p >= WIDE) {
    const char *last = (until - p > 40 * WIDE ? p + 40 * WIDE : until) - WIDE;
    VECTOR lanes = ALL(0);
    for (; p <= last; p += WIDE) {
      VECTOR a = LOAD(p);
      if (escaped) {
        VECTOR starts = EQUAL(a, '\\');
        if (MASK(starts) != 0) {
          VECTOR next = LOAD(p + 1);
          if (MASK(AND(starts, EQUAL(next, '\\'))) != 0) {
            excess += ft_text_each(&p, p + WIDE, bar);
            p -= WIDE;
            continue;
          }
          lanes = ADD(lanes, NAME(escapes)(p, starts, next));
        }
      }
      lanes = SUB(lanes, GREATER(ALL(-64), a)); /* 0x80 to 0xBF, as signed bytes */
      bars = OR(bars, EQUAL(a, '|'));
    }
    excess += SUM(lanes);
  }
  *bar |= MASK(bars) != 0;
  *from = p;
  return excess;
}

/* The last bytes go into a block of their own: zeros are nothing of all this */
static inline size_t NAME(all)(const char *p, const char *end, const int escaped, int *bar) {
  char rest[3 * WIDE];
  size_t excess = end - p > AHEAD ? NAME(blocks)(&p, end - AHEAD, escaped, bar) : 0;
  size_t left = p < end ? (size_t)(end - p) : 0;
  memset(rest, 0, sizeof rest);
  memcpy(rest, p, left);
  const char *q = rest;
  excess += NAME(blocks)(&q, rest + (left > WIDE ? 2 * WIDE : WIDE), escaped, bar);
  return excess + (q < rest + left ? ft_text_each(&q, rest + left, bar) : 0);
}

static size_t NAME(excess)(const char *p, const char *end, int escaped, int *bar) {
  return escaped ? NAME(all)(p, end, 1, bar) : NAME(all)(p, end, 0, bar);
}
