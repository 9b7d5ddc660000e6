/*
** shuffle.h: lines in an order of chance. They are written first, to a file of one's own; here
** stands where each is, 16 bytes a line; then they are copied from there to their end, in slices
** of time. Every order is as likely as any other (Fisher and Yates), and an order for a seed: the
** same on every machine for the same lines. Nothing else grows with the file. No Lua.
*/
#ifndef FT_SHUFFLE_H
#define FT_SHUFFLE_H

#include "buf.h"
#include "outfile.h"

#include <stdint.h>

typedef struct ft_line {
  uint64_t at;
  uint32_t n;      /* with its "\n" */
  uint32_t number; /* in the order they were noted, from 0 */
} ft_line;

typedef struct ft_shuffle {
  uint64_t random; /* the generator's state */
  size_t count;    /* lines noted */
  size_t drawn;    /* the first so many places have their line */
  uint64_t bytes;  /* where the next line begins */
  ft_buf chunks;   /* of pointers to chunks of lines: nothing is moved when there are more */
  ft_buf block;    /* lines on their way out */
} ft_shuffle;

void ft_shuffle_init(ft_shuffle *s, lua_Alloc alloc, void *ud, uint64_t seed);
/* Notes the next line of the file, of so many bytes. 0: no memory, or too many */
int ft_shuffle_add(ft_shuffle *s, size_t n);
/* The line for the next place; 0: all have been drawn. Whoever wants only some stops. */
int ft_shuffle_draw(ft_shuffle *s, ft_line *line);
/* The number of the line that was drawn for place i < drawn */
uint32_t ft_shuffle_number(const ft_shuffle *s, size_t i);
void ft_shuffle_free(ft_shuffle *s); /* idempotent */

enum { FT_SHUFFLE_MORE = 1, FT_SHUFFLE_DONE = 0 };

/* For about so many seconds: copies drawn lines from the file `from` to `out`, until `most` were
   drawn in all. DONE, MORE, or a negative errno; a file that is shorter than was noted is -EIO.
   Nothing is added any more once this has begun. */
int ft_shuffle_copy(ft_shuffle *s, int from, ft_outfile *out, size_t most, double seconds);

#endif
