/*
** timer.c: a binary heap of timers that live in calls and transfers.
*/
#include "ft.h"

static void heap_put(ft_engine *E, int i, ft_timer *t) {
  E->heap[i] = t;
  t->index = i;
}

static void heap_up(ft_engine *E, int i, ft_timer *t) {
  for (; i > 0 && E->heap[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
    heap_put(E, i, E->heap[(i - 1) / 2]);
  heap_put(E, i, t);
}

static void heap_down(ft_engine *E, int i, ft_timer *t) {
  for (int child; (child = 2 * i + 1) < E->nheap; i = child) {
    if (child + 1 < E->nheap && E->heap[child + 1]->at < E->heap[child]->at)
      child++;
    if (E->heap[child]->at >= t->at)
      break;
    heap_put(E, i, E->heap[child]);
  }
  heap_put(E, i, t);
}

/* Each call and each transfer owns one place from its birth, so that setting a
   timer later can never lack memory. */
int ft_engine_reserve(ft_engine *E) {
  if (E->reserved == E->heapcap) {
    int cap = E->heapcap == 0 ? 16 : 2 * E->heapcap;
    ft_timer **heap = E->alloc(E->alloc_ud, E->heap, (size_t)E->heapcap * sizeof *heap,
                               (size_t)cap * sizeof *heap);
    if (heap == NULL)
      return 0;
    E->heap = heap;
    E->heapcap = cap;
  }
  E->reserved++;
  return 1;
}

void ft_engine_unreserve(ft_engine *E) {
  E->reserved--;
}

void ft_timer_clear(ft_engine *E, ft_timer *t) {
  int i = t->index;
  if (i < 0)
    return;
  t->index = -1;
  ft_timer *last = E->heap[--E->nheap];
  if (last == t)
    return;
  if (i > 0 && E->heap[(i - 1) / 2]->at > last->at)
    heap_up(E, i, last);
  else
    heap_down(E, i, last);
}

void ft_timer_set(ft_engine *E, ft_timer *t, double at) {
  ft_timer_clear(E, t);
  t->at = at;
  heap_up(E, E->nheap++, t);
}
