/*
** seen.h: which hashes there have been. 16 bytes a slot, a quarter to five eighths of them free,
** so 21 to 43 bytes a hash. The slots are divided into 256 tables by the hash's first bits: each
** grows alone, so no step takes long (with 10 million hashes a table is of 1 MiB), and at no time
** the whole set is held twice. No Lua.
*/
#ifndef FT_SEEN_H
#define FT_SEEN_H

#include "canon.h"

#include <lua.h>

enum { FT_SEEN_TABLES = 256 };

typedef struct ft_seen {
  struct {
    ft_hash *slots; /* NULL: none yet */
    size_t room, count;
  } tables[FT_SEEN_TABLES];
  size_t count, bytes;
  lua_Alloc alloc;
  void *ud;
} ft_seen;

void ft_seen_init(ft_seen *s, lua_Alloc alloc, void *ud);
int ft_seen_add(ft_seen *s, ft_hash h); /* 1: new; 0: it was there; -1: no memory */
int ft_seen_has(const ft_seen *s, ft_hash h);
void ft_seen_free(ft_seen *s); /* idempotent; the set is empty then */

#endif
