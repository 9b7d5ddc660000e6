#include "buf.h"

#include <string.h>

enum { BUF_FIRST = 512 }; /* first allocation: fits most answers' headers */

void ft_buf_init(ft_buf *b, lua_Alloc alloc, void *ud, size_t max) {
  memset(b, 0, sizeof *b);
  b->alloc = alloc;
  b->ud = ud;
  b->max = max;
}

/* Capacity for `need` bytes: doubled, so that appending is linear over all; but what
   comes in one piece, as most answers do, gets what it needs. */
static size_t buf_capacity(const ft_buf *b, size_t need) {
  if (b->cap == 0 && need > BUF_FIRST / 2)
    return need;
  size_t cap = b->cap > BUF_FIRST / 2 ? b->cap : BUF_FIRST / 2;
  while (cap < need)
    cap = cap > b->max / 2 ? b->max : cap * 2;
  return cap;
}

int ft_buf_reserve(ft_buf *b, size_t more) {
  if (more <= b->cap - b->len)
    return 1;
  if (more > b->max - b->len) {
    b->full = 1;
    return 0;
  }
  size_t cap = buf_capacity(b, b->len + more);
  char *data = b->alloc(b->ud, b->data, b->cap, cap);
  if (data == NULL)
    return 0;
  b->data = data;
  b->cap = cap;
  return 1;
}

int ft_buf_add(ft_buf *b, const void *bytes, size_t n) {
  if (!ft_buf_reserve(b, n))
    return 0;
  if (n > 0)
    memcpy(b->data + b->len, bytes, n);
  b->len += n;
  return 1;
}

int ft_buf_addstr(ft_buf *b, const char *s) {
  return ft_buf_add(b, s, strlen(s));
}

int ft_buf_addchar(ft_buf *b, char c) {
  return ft_buf_add(b, &c, 1);
}

void ft_buf_clear(ft_buf *b) {
  b->len = 0;
  b->full = 0;
}

void ft_buf_free(ft_buf *b) {
  char *data = b->data;
  b->data = NULL;
  if (data != NULL)
    b->alloc(b->ud, data, b->cap, 0);
  b->len = b->cap = 0;
}
