/*
** example.h: one training example on its way: its text, accepted by ft_scan_nodes(), and
** the nodes of that text. Everything behind the scanner works on these. No Lua.
*/
#ifndef FT_EXAMPLE_H
#define FT_EXAMPLE_H

#include "buf.h"
#include "scan.h"

#include <string.h>

typedef struct ft_example {
  const char *s;
  size_t n;
  const ft_node *nodes; /* nodes[0] is the whole value */
  size_t count;
} ft_example;

/* Scans the text and notes its nodes in `nodes`, which grows. strings: NULL, or nodes of those that
   are not to be scanned again, as of ft_scan_made(). 1: e is made, until `nodes` changes;
   0: it is no JSON, and *at and *why are as of ft_scan(); -1: no memory, or (nodes->full) more
   nodes than may be. */
int ft_example_read(ft_example *e, const char *s, size_t n, int depth, const ft_buf *strings,
                    ft_buf *nodes, ptrdiff_t *at, const char **why);

/* The bytes of node i: of a string without its quotes, of a container with its brackets */
static inline ft_slice ft_example_slice(const ft_example *e, size_t i) {
  ft_slice a = {e->s + e->nodes[i].at, e->nodes[i].n};
  return a;
}

/* Does the key, or string, at this node read so (ASCII)? */
static inline int ft_example_is(const ft_example *e, size_t i, const char *word) {
  ft_slice s = ft_example_slice(e, i);
  if (e->nodes[i].flags & FT_NODE_ESCAPED)
    return ft_json_is(s, word);
  return *s.s == *word && strncmp(s.s, word, s.n) == 0 && word[s.n] == '\0';
}

/* The value of the member `key` (ASCII) of the object i: its node, or 0: there is none. Of
   duplicates the first. */
size_t ft_example_member(const ft_example *e, size_t i, const char *key);

#endif
