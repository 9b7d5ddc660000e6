/*
** tokens_merge.c: byte pair encoding of one piece. Up to SMALL bytes the least rank is searched
** for in an array each time; more have a heap; a long piece is merged by windows.
*/
#include "tokens.h"

enum { SMALL = 128, NEVER = INT32_MAX };

/* ---- two tokens ----
**
** What two tokens make together hangs on nothing else, so where that takes long it is remembered,
** in a direct-mapped table of both ranks and theirs. */

enum { RANK_BITS = 21, NO_TOKEN = (1 << RANK_BITS) - 1 };

static uint32_t remembered(const ft_vocab *v, uint32_t a, uint32_t b, const unsigned char *s,
                           size_t n) {
  uint64_t key = ((uint64_t)a << RANK_BITS | b) + 1;
  uint64_t *entry = &v->joined[key * FT_HASH_A >> (64 - FT_PAIR_BITS)];
  if (*entry >> RANK_BITS != key) {
    uint32_t rank = ft_vocab_rank(v, s, n, s + n);
    *entry = key << RANK_BITS | (rank == FT_NO_RANK ? NO_TOKEN : rank);
  }
  return (uint32_t)(*entry & NO_TOKEN);
}

/* The rank of [s, s + n), the tokens of ranks a and b, n > 2; NO_TOKEN or more: it is none. White
   space has few tokens, and most pairs of them have been seen. */
static inline uint32_t joined(const ft_vocab *v, uint32_t a, uint32_t b, const unsigned char *s,
                              size_t n, const unsigned char *end) {
  if (n > 8 || s[n - 1] <= ' ')
    return remembered(v, a, b, s, n);
  return ft_vocab_short(v, ft_vocab_first(ft_vocab_word(s, end), n), n);
}

/* ---- up to SMALL bytes ----
**
** A part is named by its first byte. key: rank << 8 | where, of a part with the next one, so that
** the least key is the leftmost pair of least rank. */

enum { GROUP = 8, GROUPS = SMALL / GROUP };

typedef struct Parts {
  int32_t key[SMALL];
  int32_t least[GROUPS]; /* of each group of keys */
  uint32_t rank[SMALL];  /* of the part itself */
  uint8_t next[SMALL + 2], before[SMALL + 2];
} Parts;

static inline int32_t lesser(int32_t a, int32_t b) {
  return b < a ? b : a;
}

/* The least of 8 keys. Not in a vector: it would have to wait for the one just stored. */
static inline int32_t least_of(const int32_t *key) {
  int32_t a = lesser(lesser(key[0], key[1]), lesser(key[2], key[3]));
  return lesser(a, lesser(lesser(key[4], key[5]), lesser(key[6], key[7])));
}

static inline void group_changed(Parts *P, size_t i) {
  P->least[i / GROUP] = least_of(P->key + i / GROUP * GROUP);
}

static inline int32_t least_pair(const Parts *P, size_t n) {
  if (n <= GROUP)
    return P->least[0];
  int32_t a = least_of(P->least);
  if (n <= SMALL / 2)
    return a;
  return lesser(a, least_of(P->least + GROUP));
}

static int32_t make_key(uint32_t rank, size_t where) {
  return rank >= NO_TOKEN ? NEVER : (int32_t)(rank << 8 | (uint32_t)where);
}

static void small_begin(const ft_vocab *v, const unsigned char *s, size_t n, Parts *P) {
  size_t i;
  for (i = 0; i < n; i++) {
    P->key[i] = i + 1 < n ? make_key(v->hints->pairs[s[i] << 8 | s[i + 1]], i) : NEVER;
    P->rank[i] = v->single[s[i]];
    P->next[i] = (uint8_t)(i + 1);
    P->before[i] = (uint8_t)(i - 1);
  }
  P->next[n] = (uint8_t)(n + 1);
  for (; i % GROUP != 0; i++)
    P->key[i] = NEVER;
  for (i = 0; i < n; i += GROUP)
    group_changed(P, i);
  for (i = (n + GROUP - 1) / GROUP; i < (n <= SMALL / 2 ? GROUPS / 2 : GROUPS); i++)
    P->least[i] = NEVER;
}

/* Until there are so many parts. next[0], next[next[0]]... are where they end -> how many */
static size_t merge_small(const ft_vocab *v, const unsigned char *s, size_t n, Parts *P,
                          size_t least_parts, const unsigned char *stop) {
  int32_t least;
  size_t count = n;
  small_begin(v, s, n, P);
  for (; count > least_parts && (least = least_pair(P, n)) != NEVER; count--) {
    size_t i = (size_t)least & 0xFF, gone = P->next[i], end = P->next[gone], b = i;
    P->rank[i] = (uint32_t)least >> 8;
    P->key[gone] = P->key[i] = NEVER;
    P->next[i] = (uint8_t)end;
    P->before[end] = (uint8_t)i;
    if (end < n)
      P->key[i] = make_key(joined(v, P->rank[i], P->rank[end], s + i, P->next[end] - i, stop), i);
    if (i > 0) {
      b = P->before[i];
      P->key[b] = make_key(joined(v, P->rank[b], P->rank[i], s + b, end - b, stop), b);
    }
    group_changed(P, i);
    if (b / GROUP != i / GROUP)
      group_changed(P, b);
    if (gone / GROUP != i / GROUP)
      group_changed(P, gone);
  }
  return count;
}

/* ---- up to FT_MERGE_MAX bytes: the same with a heap ---- */

typedef struct Heap {
  uint64_t *items; /* rank << 16 | where; what no longer holds is passed over */
  size_t count;
} Heap;

static void heap_down(Heap *H, size_t i) {
  uint64_t item = H->items[i];
  size_t child;
  for (; (child = 2 * i + 1) < H->count; i = child) {
    if (child + 1 < H->count && H->items[child + 1] < H->items[child])
      child++;
    if (item <= H->items[child])
      break;
    H->items[i] = H->items[child];
  }
  H->items[i] = item;
}

static void heap_add(Heap *H, uint64_t item) {
  size_t i = H->count++;
  for (; i > 0 && item < H->items[(i - 1) / 2]; i = (i - 1) / 2)
    H->items[i] = H->items[(i - 1) / 2];
  H->items[i] = item;
}

static uint64_t heap_take(Heap *H) {
  uint64_t least = H->items[0], last = H->items[--H->count];
  if (H->count > 0) {
    H->items[0] = last;
    heap_down(H, 0);
  }
  return least;
}

typedef struct List {
  Heap heap;
  uint32_t *rank; /* of the part at i with the next one */
  uint16_t *next, *before;
  size_t n;
} List;

static void list_pair(const ft_vocab *v, const unsigned char *s, List *L, size_t i) {
  size_t next = L->next[i];
  L->rank[i] =
      next < L->n ? ft_vocab_rank(v, s + i, (size_t)L->next[next] - i, s + L->n) : FT_NO_RANK;
  if (L->rank[i] != FT_NO_RANK)
    heap_add(&L->heap, (uint64_t)L->rank[i] << 16 | i);
}

/* In the scratch: at most one item for each byte at first, and two more for each merge */
static void list_begin(const ft_vocab *v, const unsigned char *s, size_t n, List *L) {
  L->heap.items = v->scratch;
  L->heap.count = 0;
  L->rank = (uint32_t *)(L->heap.items + 3 * (size_t)FT_MERGE_MAX);
  L->next = (uint16_t *)(L->rank + FT_MERGE_MAX);
  L->before = L->next + FT_MERGE_MAX + 1;
  L->n = n;
  for (size_t i = 0; i <= n; i++) {
    L->next[i] = (uint16_t)(i + 1);
    L->before[i] = (uint16_t)(i - 1);
  }
  for (size_t i = 0; i < n; i++) {
    L->rank[i] = i + 1 < n ? v->hints->pairs[s[i] << 8 | s[i + 1]] : FT_NO_RANK;
    if (L->rank[i] != FT_NO_RANK)
      L->heap.items[L->heap.count++] = (uint64_t)L->rank[i] << 16 | i;
  }
  for (size_t i = L->heap.count / 2; i-- > 0;)
    heap_down(&L->heap, i);
}

/* Writes where the tokens end, in order -> how many */
static size_t merge_heap(const ft_vocab *v, const unsigned char *s, size_t n, uint16_t *ends) {
  List L;
  size_t count = 0;
  list_begin(v, s, n, &L);
  while (L.heap.count > 0) {
    uint64_t least = heap_take(&L.heap);
    size_t i = (size_t)(least & 0xFFFF), gone;
    if (L.rank[i] != least >> 16)
      continue;
    gone = L.next[i];
    L.rank[gone] = FT_NO_RANK;
    L.next[i] = L.next[gone];
    L.before[L.next[i]] = (uint16_t)i;
    list_pair(v, s, &L, i);
    if (i > 0)
      list_pair(v, s, &L, L.before[i]);
  }
  for (size_t i = 0; i < n; i = L.next[i])
    ends[count++] = L.next[i];
  return count;
}

/* n <= FT_MERGE_MAX; ends: of as many places */
static size_t merge(const ft_vocab *v, const unsigned char *s, size_t n, const unsigned char *end,
                    uint16_t *ends) {
  Parts P;
  size_t count = 0;
  if (n > SMALL)
    return merge_heap(v, s, n, ends);
  merge_small(v, s, n, &P, 1, end);
  for (size_t i = 0; i < n; i = P.next[i])
    ends[count++] = P.next[i];
  return count;
}

/* ---- longer: windows ----
**
** A list of tokens is what its bytes are merged to if, and only if, any two neighbours are what
** theirs are merged to: so for vocabularies that come of training, as OpenAI's do (the README of
** the crate bpe, github.com/github/rust-gems, has the argument). So a window is merged, and what
** is not near its end is kept. The next window begins with the last token kept: where that comes
** out as another one, a cut was wrong, and the window before is merged again, twice as wide. */

enum { WINDOW = 64, WIDE = 128, MARGIN = 8, BACK = 8 };

typedef struct Window {
  const unsigned char *s; /* where it begins */
  size_t n;               /* bytes from there to the end of the piece */
  size_t first;           /* bytes of the token that it begins with, 0: it is the first window */
  size_t total;           /* tokens before it */
  size_t width;
} Window;

typedef struct Merged {
  const unsigned char *s;
  size_t n, count;
  uint16_t ends[FT_MERGE_MAX];
} Merged;

/* How many of the tokens of a window are kept: those that end well before it does */
static size_t kept(const uint16_t *ends, size_t count, size_t width) {
  size_t margin = width <= WIDE ? MARGIN : width / WIDE * MARGIN;
  while (count > 0 && ends[count - 1] > width - margin)
    count--;
  return count;
}

/* Merges a window, unless it is of the same bytes as the one merged before: a long run is */
static void merge_window(const ft_vocab *v, Merged *m, const unsigned char *s, size_t n,
                         const unsigned char *end) {
  if (n != m->n || memcmp(m->s, s, n) != 0)
    m->count = merge(v, s, n, end, m->ends);
  m->s = s;
  m->n = n;
}

/* On to the window that begins with the last of the tokens kept */
static void next_window(Window *w, const uint16_t *ends, size_t keep) {
  size_t from = ends[keep - 2];
  w->total += keep - 1;
  w->first = ends[keep - 1] - from;
  w->s += from;
  w->n -= from;
}

/* For letters twice as wide: their tokens are short, and few windows are merged again */
static size_t first_width(unsigned char c) {
  return c >= 'A' && c < 0x80 ? WIDE : WINDOW;
}

static size_t wider(size_t width) {
  return width < FT_MERGE_MAX ? 2 * width : width;
}

static size_t merge_windows(const ft_vocab *v, const unsigned char *s, size_t n,
                            const unsigned char *end) {
  Window before[BACK], w = {s, n, 0, 0, first_width(s[n - 1])};
  Merged m = {NULL, 0, 0, {0}};
  size_t depth = 0; /* how many of `before` there are to go back to */
  for (;;) {
    size_t width = w.n < w.width ? w.n : w.width;
    merge_window(v, &m, w.s, width, end);
    if (w.first > 0 && m.ends[0] != w.first && depth > 0 && w.width < FT_MERGE_MAX) {
      w = before[--depth % BACK];
      w.width = wider(w.width);
      continue;
    }
    if (width == w.n)
      return w.total + m.count;
    size_t keep = kept(m.ends, m.count, width);
    if (keep >= 2) {
      before[depth++ % BACK] = w;
      next_window(&w, m.ends, keep);
    } else
      w.width = wider(w.width);
  }
}

size_t ft_merge_count(const ft_vocab *v, const unsigned char *s, size_t n,
                      const unsigned char *end) {
  uint16_t ends[FT_MERGE_MAX];
  Parts P;
  size_t total = 0;
  if (n <= SMALL)
    return merge_small(v, s, n, &P, 1, end);
  if (v->known)
    return merge_windows(v, s, n, end);
  for (; n > FT_MERGE_MAX; s += FT_MERGE_MAX, n -= FT_MERGE_MAX)
    total += merge(v, s, FT_MERGE_MAX, end, ends);
  return total + merge(v, s, n, end, ends);
}

uint64_t ft_merge_halves(const ft_vocab *v, const unsigned char *s, size_t n) {
  Parts P;
  if (n < 2 || n > SMALL || merge_small(v, s, n, &P, 2, s + n) != 2)
    return 0;
  return ft_halves(P.rank[0], P.rank[P.next[0]], P.next[0]);
}
