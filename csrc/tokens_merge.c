/*
** tokens_merge.c: byte pair encoding of one piece of any length. Up to FT_SMALL bytes are merged by
** tokens_small.c; more have a heap; a long piece is merged by windows.
*/
#include "tokens.h"

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
    L->rank[i] = i + 1 < n ? v->hints->pairs[s[i] << 8 | s[i + 1]].rank : FT_NO_RANK;
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
                    uint16_t *ends, int *dense) {
  return n > FT_SMALL ? merge_heap(v, s, n, ends) : ft_small_ends(v, s, n, end, ends, dense);
}

/* ---- longer: windows ----
**
** A list of tokens is what its bytes are merged to if, and only if, any two neighbours are what
** theirs are merged to: so for vocabularies that come of training, as OpenAI's do (the README of
** the crate bpe, github.com/github/rust-gems, has the argument). So a window is merged, and what
** is not near its end is kept. The next window begins with the last token kept: where that comes
** out as another one, a cut was wrong, and the window before is cut again: earlier, and if that is
** wrong too, it is twice as wide. */

enum { WINDOW = FT_SMALL, MARGIN = 8, WIDE_MARGIN = 40, DIFFERENT = 3, BACK = 8 };

typedef struct Window {
  const unsigned char *s; /* where it begins */
  size_t n;               /* bytes from there to the end of the piece */
  size_t first;           /* bytes of the token that it begins with, 0: it is the first window */
  size_t total;           /* tokens before it */
  size_t width, margin;
  int different; /* windows of this width, one after the other */
} Window;

typedef struct Merged {
  const unsigned char *s;
  size_t n, count;
  int dense;
  uint16_t ends[FT_MERGE_MAX];
} Merged;

/* How many of the tokens of a window are kept: those that end well before it does */
static size_t kept(const Window *w, const uint16_t *ends, size_t count, size_t width) {
  while (count > 0 && ends[count - 1] > width - w->width / WINDOW * w->margin)
    count--;
  return count;
}

/* Merges a window, unless it is of the same bytes as the one merged before: a long run is. Was it?
 */
static int merge_window(const ft_vocab *v, Merged *m, const unsigned char *s, size_t n,
                        const unsigned char *end) {
  int alike = n == m->n && memcmp(m->s, s, n) == 0;
  if (!alike)
    m->count = merge(v, s, n, end, m->ends, &m->dense);
  m->s = s;
  m->n = n;
  return alike;
}

/* On to the window that begins with the last of the tokens kept */
static void next_window(Window *w, const uint16_t *ends, size_t keep) {
  size_t from = ends[keep - 2];
  w->total += keep - 1;
  w->first = ends[keep - 1] - from;
  w->s += from;
  w->n -= from;
}

static void widen(Window *w) {
  if (w->width < FT_MERGE_MAX)
    w->width *= 2;
}

/* Its last cut was wrong. An earlier one mostly is not, and that is found sooner than in a window
   twice as wide. */
static void cut_earlier(Window *w) {
  if (w->margin < WIDE_MARGIN)
    w->margin = WIDE_MARGIN;
  else
    widen(w);
}

/* Behind a window that was cut well, unless it is one of many alike, which cost nothing however
   wide they are */
static void narrow(Window *w, int alike) {
  w->margin = MARGIN;
  w->different = alike ? 0 : w->different + 1;
  if (w->different < DIFFERENT || w->width == WINDOW)
    return;
  w->width /= 2;
  w->different = 0;
}

static size_t merge_windows(const ft_vocab *v, const unsigned char *s, size_t n,
                            const unsigned char *end) {
  Window before[BACK], w = {s, n, 0, 0, WINDOW, MARGIN, 0};
  Merged m;
  size_t depth = 0; /* how many of `before` there are to go back to */
  m.s = s;
  m.n = m.count = 0;
  m.dense = 0;
  for (;;) {
    size_t width = w.n < w.width ? w.n : w.width;
    int alike = merge_window(v, &m, w.s, width, end);
    if (w.first > 0 && m.ends[0] != w.first && depth > 0 && w.width < FT_MERGE_MAX) {
      w = before[--depth % BACK];
      cut_earlier(&w);
      continue;
    }
    if (width == w.n)
      return w.total + m.count;
    size_t keep = kept(&w, m.ends, m.count, width);
    if (keep >= 2) {
      before[depth++ % BACK] = w;
      next_window(&w, m.ends, keep);
      narrow(&w, alike);
    } else
      widen(&w);
  }
}

size_t ft_merge_count(const ft_vocab *v, const unsigned char *s, size_t n,
                      const unsigned char *end) {
  uint16_t ends[FT_MERGE_MAX];
  size_t total = 0;
  int dense = 0;
  if (n <= FT_SMALL)
    return ft_small_count(v, s, n, end);
  if (v->known)
    return merge_windows(v, s, n, end);
  for (; n > FT_MERGE_MAX; s += FT_MERGE_MAX, n -= FT_MERGE_MAX)
    total += merge(v, s, FT_MERGE_MAX, end, ends, &dense);
  return total + merge(v, s, n, end, ends, &dense);
}
