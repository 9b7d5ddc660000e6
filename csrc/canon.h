/*
** canon.h: what an example says, as 128 bits. Two texts of the same value have the same hash:
** white space, the order of keys and the spelling of strings ("\u00e9" or "é", "\/" or "/") do
** not matter. Numbers count as they are written: 1, 1.0 and 1e0 are three. The hash and the side
** of a split are the same on every machine. No Lua, no allocation, no recursion.
*/
#ifndef FT_CANON_H
#define FT_CANON_H

#include "example.h"

typedef struct ft_hash {
  uint64_t a, b;
} ft_hash;

/* A hash for each seed. It is fast, not cryptographic: whoever knows the seed could write two
   examples of one hash, so where examples of several hands meet the seed should be a secret. */
ft_hash ft_canon(const ft_example *e, uint64_t seed);

/* What is quickly told of it: lengths of its texts, and how they begin. The same for two texts of
   the same value, and seldom for others. */
uint64_t ft_canon_brief(const ft_example *e, uint64_t seed);

/* Is it on the side that gets this fraction of all examples (the validation set)? The same
   example goes to the same side for a seed, and stays there when the fraction grows. */
int ft_canon_side(ft_hash h, uint64_t seed, double fraction);

#endif
