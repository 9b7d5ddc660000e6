#include "example.h"

int ft_example_read(ft_example *e, const char *s, size_t n, int depth, const ft_buf *strings,
                    ft_buf *nodes, ptrdiff_t *at, const char **why) {
  const ft_node *known = strings != NULL ? (const ft_node *)(const void *)strings->data : NULL;
  size_t many = strings != NULL ? strings->len / sizeof *known : 0;
  ft_buf_clear(nodes);
  for (;;) {
    size_t room = nodes->cap / sizeof(ft_node);
    ft_node *list = (ft_node *)(void *)nodes->data;
    *at = ft_scan_made(s, n, depth, known, many, list, room, &e->count, why);
    if (*at >= 0)
      return 0;
    if (e->count <= room) {
      e->s = s;
      e->n = n;
      e->nodes = list;
      return 1;
    }
    if (!ft_buf_reserve(nodes, e->count * sizeof *list))
      return -1;
  }
}

size_t ft_example_member(const ft_example *e, size_t i, const char *key) {
  size_t end = e->nodes[i].next;
  if (e->nodes[i].type != '{')
    return 0;
  for (size_t k = i + 1; k < end; k = e->nodes[k + 1].next)
    if (ft_example_is(e, k, key))
      return k + 1;
  return 0;
}
