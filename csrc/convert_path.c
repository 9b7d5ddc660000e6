/*
** convert_path.c: where a node is, in words. Worked out from the root once somebody asks.
*/
#include "convert.h"

#include <stdarg.h>
#include <stdio.h>

int ft_convert_clip(ft_slice s) {
  size_t n = s.n < 40 ? s.n : 40;
  while (n < s.n && n > 0 && ((unsigned char)s.s[n] & 0xC0) == 0x80)
    n--;
  return (int)n;
}

/* Appends to a path of n bytes; what does not fit is left out. */
static size_t add_step(char *path, size_t n, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int more = vsnprintf(path + n, FT_LOST_PATH - n, format, args);
  va_end(args);
  if (more >= 0 && (size_t)more < FT_LOST_PATH - n)
    return n + (size_t)more;
  path[n] = '\0';
  return FT_LOST_PATH - 1; /* nothing more */
}

/* The child of the container i that is the node or holds it; its step is added to the path */
static size_t step(const ft_example *e, size_t i, size_t node, char *path, size_t *n) {
  int brace = e->nodes[i].type == '{';
  size_t child = i + 1 + (size_t)brace, index = 0;
  for (; e->nodes[child].next <= node; index++)
    child = e->nodes[child].next + (size_t)brace;
  if (brace) {
    ft_slice key = ft_example_slice(e, child - 1);
    *n = add_step(path, *n, "%s%.*s", *n > 0 ? "." : "", ft_convert_clip(key), key.s);
  } else
    *n = add_step(path, *n, "[%zu]", index);
  return child;
}

void ft_convert_path(const ft_example *e, size_t node, char path[FT_LOST_PATH]) {
  size_t n = 0;
  path[0] = '\0';
  for (size_t i = 0; i < node;)
    i = step(e, i, node, path, &n);
}
