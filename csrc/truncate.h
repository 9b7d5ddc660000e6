/*
** truncate.h: a conversation made to fit by leaving out whole messages; no text is ever cut.
** What goes, oldest first, only as much as it takes:
**   1. turns before the last message of the user: one of the user with all that answers it;
**   2. rounds between that one and the last answer: an assistant's message with the answers of
**      the tools that it called.
** So what is left still begins with the user, a tool's answer stays with its call (where it stands
** behind it), and messages of system and developer, the last of the user and the last answer are
** always there. What is left must be checked again: the one message of weight 1 may have gone.
** No Lua.
*/
#ifndef FT_TRUNCATE_H
#define FT_TRUNCATE_H

#include "example.h"
#include "rules.h"

/* What the message at this node weighs; of node 0: the example without its messages. < 0: no
   memory. May be asked twice for a message. */
typedef int64_t ft_weigh(void *ud, const ft_example *e, size_t node);

ft_weigh ft_weigh_message;    /* 1 */
ft_weigh ft_weigh_characters; /* those of its content: text, and the text of its parts */

typedef struct ft_truncation {
  int64_t before, after; /* weight of the whole */
  size_t dropped;        /* messages */
} ft_truncation;

enum {
  FT_TRUNCATE_NOMEM = -1, /* or the buffer is full */
  FT_TRUNCATE_FITS,       /* nothing was to do, or written */
  FT_TRUNCATE_DONE,       /* what is left was appended to `out` */
  FT_TRUNCATE_CANNOT      /* it is too heavy without all that may go (t->after) */
};

int ft_truncate(const ft_example *e, enum ft_format format, int64_t most, ft_weigh *weigh, void *ud,
                ft_buf *out, ft_truncation *t);

#endif
