/*
** briefs.h: where in a file the first example of each brief stands (twice.h says what for). 8 bytes
** a slot, a quarter to five eighths of them free, so 11 to 21 bytes an example. Divided into 256
** tables, as seen.h is and for the same reasons. No Lua.
*/
#ifndef FT_BRIEFS_H
#define FT_BRIEFS_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

enum { FT_BRIEFS_TABLES = 256, FT_PLACE_BITS = 36 };

/* Of a brief the first 36 bits count. The others of a slot are a place, below 2^36 - 1 */
#define FT_PLACE_NONE ((UINT64_C(1) << FT_PLACE_BITS) - 2)

typedef struct ft_briefs {
  struct {
    uint64_t *slots; /* NULL: none yet */
    size_t room, count;
  } tables[FT_BRIEFS_TABLES];
  size_t count, bytes;
  lua_Alloc alloc;
  void *ud;
} ft_briefs;

void ft_briefs_init(ft_briefs *b, lua_Alloc alloc, void *ud);
/* Tells the memory that this brief will be asked for soon */
void ft_briefs_look(const ft_briefs *b, uint64_t brief);
/* Its slot, until the next is added; NULL: there is none */
uint64_t *ft_briefs_find(const ft_briefs *b, uint64_t brief);
/* One that is not there: 1; 0: no memory. place: at most FT_PLACE_NONE */
int ft_briefs_add(ft_briefs *b, uint64_t brief, uint64_t place);
void ft_briefs_free(ft_briefs *b); /* idempotent; there are none then */

int ft_briefs_same(uint64_t brief, uint64_t other); /* are they one, by the bits that count? */
uint64_t ft_briefs_place(const uint64_t *slot);
void ft_briefs_move(uint64_t *slot, uint64_t place);

#endif
