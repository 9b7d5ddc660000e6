/*
** briefs.c: open addressing, as seen.c. A slot is the brief's bits behind those that tell its
** table, and the place plus one, so that no slot in use is 0.
*/
#include "briefs.h"

#include <string.h>

enum {
  FIRST = 16, /* slots of a new table */
  TABLE_BITS = 8,
  TAG_BITS = 64 - FT_PLACE_BITS
};

static const uint64_t PLACE = (UINT64_C(1) << FT_PLACE_BITS) - 1;

static size_t table_of(uint64_t brief) {
  return (size_t)(brief >> (64 - TABLE_BITS));
}

static uint64_t tag_of(uint64_t brief) {
  return brief << TABLE_BITS >> FT_PLACE_BITS;
}

void ft_briefs_init(ft_briefs *b, lua_Alloc alloc, void *ud) {
  memset(b, 0, sizeof *b);
  b->alloc = alloc;
  b->ud = ud;
}

/* The slot of the tag, or the free one where it belongs */
static uint64_t *slot_of(uint64_t *slots, size_t room, uint64_t tag) {
  size_t i = (size_t)tag & (room - 1);
  while (slots[i] != 0 && slots[i] >> FT_PLACE_BITS != tag)
    i = (i + 1) & (room - 1);
  return &slots[i];
}

static int grow(ft_briefs *b, size_t t) {
  uint64_t *old = b->tables[t].slots;
  size_t had = b->tables[t].room, room = had > 0 ? 2 * had : FIRST;
  uint64_t *slots =
      room <= (size_t)1 << TAG_BITS ? b->alloc(b->ud, NULL, 0, room * sizeof *slots) : NULL;
  if (slots == NULL)
    return 0;
  memset(slots, 0, room * sizeof *slots);
  for (size_t i = 0; i < had; i++)
    if (old[i] != 0)
      *slot_of(slots, room, old[i] >> FT_PLACE_BITS) = old[i];
  if (old != NULL)
    b->alloc(b->ud, old, had * sizeof *old, 0);
  b->tables[t].slots = slots;
  b->tables[t].room = room;
  b->bytes += (room - had) * sizeof *slots;
  return 1;
}

void ft_briefs_look(const ft_briefs *b, uint64_t brief) {
  size_t t = table_of(brief), room = b->tables[t].room;
  if (room > 0)
    __builtin_prefetch(&b->tables[t].slots[tag_of(brief) & (room - 1)]);
}

uint64_t *ft_briefs_find(const ft_briefs *b, uint64_t brief) {
  size_t t = table_of(brief);
  if (b->tables[t].room == 0)
    return NULL;
  uint64_t *slot = slot_of(b->tables[t].slots, b->tables[t].room, tag_of(brief));
  return *slot != 0 ? slot : NULL;
}

int ft_briefs_add(ft_briefs *b, uint64_t brief, uint64_t place) {
  size_t t = table_of(brief);
  uint64_t tag = tag_of(brief);
  if (b->tables[t].count >= b->tables[t].room / 4 * 3 && !grow(b, t))
    return 0;
  *slot_of(b->tables[t].slots, b->tables[t].room, tag) = tag << FT_PLACE_BITS | (place + 1);
  b->tables[t].count++;
  b->count++;
  return 1;
}

void ft_briefs_free(ft_briefs *b) {
  for (size_t t = 0; t < FT_BRIEFS_TABLES; t++)
    if (b->tables[t].slots != NULL)
      b->alloc(b->ud, b->tables[t].slots, b->tables[t].room * sizeof(uint64_t), 0);
  ft_briefs_init(b, b->alloc, b->ud);
}

int ft_briefs_same(uint64_t brief, uint64_t other) {
  return (brief ^ other) >> (64 - TABLE_BITS - TAG_BITS) == 0;
}

uint64_t ft_briefs_place(const uint64_t *slot) {
  return (*slot & PLACE) - 1;
}

void ft_briefs_move(uint64_t *slot, uint64_t place) {
  *slot = (*slot & ~PLACE) | (place + 1);
}
