/*
** seen.c: open addressing, the next slot where one is taken. A slot of zeros is free.
*/
#include "seen.h"

#include <string.h>

enum { FIRST = 16 }; /* slots of a new table */

void ft_seen_init(ft_seen *s, lua_Alloc alloc, void *ud) {
  memset(s, 0, sizeof *s);
  s->alloc = alloc;
  s->ud = ud;
}

static int is_free(const ft_hash *slot) {
  return (slot->a | slot->b) == 0;
}

/* The slot of h, or the free one where it belongs. The table is told by a's first bits, the place
   in it by its last. */
static ft_hash *find(ft_hash *slots, size_t room, ft_hash h) {
  size_t i = (size_t)h.a & (room - 1);
  while (!is_free(&slots[i]) && (slots[i].a != h.a || slots[i].b != h.b))
    i = (i + 1) & (room - 1);
  return &slots[i];
}

static int grow(ft_seen *s, size_t t) {
  ft_hash *old = s->tables[t].slots;
  size_t had = s->tables[t].room, room = had > 0 ? 2 * had : FIRST;
  if (room > SIZE_MAX / sizeof *old)
    return 0;
  ft_hash *slots = s->alloc(s->ud, NULL, 0, room * sizeof *slots);
  if (slots == NULL)
    return 0;
  memset(slots, 0, room * sizeof *slots);
  for (size_t i = 0; i < had; i++)
    if (!is_free(&old[i]))
      *find(slots, room, old[i]) = old[i];
  if (old != NULL)
    s->alloc(s->ud, old, had * sizeof *old, 0);
  s->tables[t].slots = slots;
  s->tables[t].room = room;
  s->bytes += (room - had) * sizeof *slots;
  return 1;
}

int ft_seen_add(ft_seen *s, ft_hash h) {
  size_t t = (size_t)(h.a >> 56);
  ft_hash *slot = NULL;
  if ((h.a | h.b) == 0)
    h.b = 1; /* zeros mark what is free */
  if (s->tables[t].room > 0 && !is_free(slot = find(s->tables[t].slots, s->tables[t].room, h)))
    return 0;
  if (s->tables[t].count >= s->tables[t].room / 4 * 3) {
    if (!grow(s, t))
      return -1;
    slot = find(s->tables[t].slots, s->tables[t].room, h);
  }
  *slot = h;
  s->tables[t].count++;
  s->count++;
  return 1;
}

int ft_seen_has(const ft_seen *s, ft_hash h) {
  size_t t = (size_t)(h.a >> 56);
  if ((h.a | h.b) == 0)
    h.b = 1;
  return s->tables[t].room > 0 && !is_free(find(s->tables[t].slots, s->tables[t].room, h));
}

void ft_seen_free(ft_seen *s) {
  for (size_t t = 0; t < FT_SEEN_TABLES; t++)
    if (s->tables[t].slots != NULL)
      s->alloc(s->ud, s->tables[t].slots, s->tables[t].room * sizeof(ft_hash), 0);
  ft_seen_init(s, s->alloc, s->ud);
}
