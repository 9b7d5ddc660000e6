/*
** twice.h: was there an example before that says the same? The answer is exact, by the 128-bit
** hash of canon.h; but of most examples that hash is never made. Their lengths and first words
** (ft_canon_brief()) are like nobody's, which shows that they are new. Only where an earlier one
** looks alike both are hashed, and the earlier one is read again from its file. 11 to 21 bytes an
** example (briefs.h), and those of seen.h for the ones that are hashed. No Lua.
*/
#ifndef FT_TWICE_H
#define FT_TWICE_H

#include "briefs.h"
#include "buf.h"
#include "seen.h"

#include <sys/stat.h>

enum { FT_TWICE_MEMORY = -1, FT_TWICE_CHANGED = -2 };

typedef struct ft_twice {
  ft_briefs briefs; /* brief of an example -> where the first such is, or TOLD */
  ft_seen hashes;   /* of all that are not only in there */
  uint64_t seed;    /* see ft_canon() */
  size_t source;    /* whose examples have places, SIZE_MAX: nobody's; 0: not settled yet */
  int fd;           /* of it; -1: none */
  struct stat was;  /* what it was like at the beginning */
  size_t examples;  /* so far */
  size_t again;     /* of them, those that were read again */
  ft_buf text, nodes;
  struct { /* by ft_twice_look(); s NULL: nothing */
    const char *s;
    uint64_t brief;
  } next;
} ft_twice;

void ft_twice_init(ft_twice *t, uint64_t seed, lua_Alloc alloc, void *ud);
/* May examples of this source (a number, not 0) be given with places? Only those of the first one,
   so it is asked before anything is added. fd: of its file, which must keep what it holds. */
int ft_twice_places(ft_twice *t, size_t source, int fd);
/* This example will be asked for or added next, if at all, once other work on it is done: so long
   it takes to get at memory that was not used for a while. */
void ft_twice_look(ft_twice *t, const ft_example *e);
/* 1: it is new; 0: it was there; MEMORY; CHANGED: the file of places does not hold any more what it
   held, so that nobody knows. at: byte of the file where its text begins, which is a line; -1: in
   no file, or in none of places */
int ft_twice_add(ft_twice *t, const ft_example *e, long long at);
int ft_twice_has(ft_twice *t, const ft_example *e); /* 1: it was added; 0: not; as above */
int ft_twice_changed(const ft_twice *t); /* 1: somebody wrote to the file of places since */
void ft_twice_free(ft_twice *t);         /* idempotent */

#endif
