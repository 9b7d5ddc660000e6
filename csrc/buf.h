/*
** buf.h: growable bytes on a lua_Alloc, with a hard maximum. Never raises: every
** growing call answers 1, or 0 when memory or the maximum is exhausted, so it
** may be used inside foreign callbacks.
*/
#ifndef FT_BUF_H
#define FT_BUF_H

#include <lua.h>
#include <stddef.h>

typedef struct ft_buf {
  char *data;
  size_t len, cap, max; /* max: bytes this buffer may ever hold */
  lua_Alloc alloc;
  void *ud;
  int full; /* 1 once `max` refused something, to tell it from lack of memory */
} ft_buf;

void ft_buf_init(ft_buf *b, lua_Alloc alloc, void *ud, size_t max);
int ft_buf_reserve(ft_buf *b, size_t more);
int ft_buf_add(ft_buf *b, const void *bytes, size_t n);
int ft_buf_addstr(ft_buf *b, const char *s);
int ft_buf_addchar(ft_buf *b, char c);
void ft_buf_clear(ft_buf *b); /* keeps the memory */
void ft_buf_free(ft_buf *b);  /* idempotent */

#endif
