/*
** example.h: one training example on its way: its text, accepted by ft_scan_nodes(), and
** the nodes of that text. Everything behind the scanner works on these. No Lua.
*/
#ifndef FT_EXAMPLE_H
#define FT_EXAMPLE_H

#include "scan.h"

typedef struct ft_example {
  const char *s;
  size_t n;
  const ft_node *nodes; /* nodes[0] is the whole value */
  size_t count;
} ft_example;

/* The bytes of node i: of a string without its quotes, of a container with its brackets */
static inline ft_slice ft_example_slice(const ft_example *e, size_t i) {
  ft_slice a = {e->s + e->nodes[i].at, e->nodes[i].n};
  return a;
}

/* The value of the member `key` (ASCII) of the object i: its node, or 0: there is none. Of
   duplicates the first. */
size_t ft_example_member(const ft_example *e, size_t i, const char *key);

#endif
