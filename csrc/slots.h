/*
** slots.h: a queue without a daemon. A folder holds one lock for each job that may run at a
** time; who waits for one holds the lock of a ticket there, a file named by the time it was
** drawn, and the oldest ticket whose holder lives may try the slots. No Lua.
*/
#ifndef FT_SLOTS_H
#define FT_SLOTS_H

enum { FT_SLOTS_PATH = 4096, FT_TICKET_NAME = 64 };

typedef struct ft_ticket {
  const char *folder;
  char name[FT_TICKET_NAME];
  int fd;
} ft_ticket;

/* Draws a ticket in `folder`, which is made where it is missing: 1, or 0 and errno */
int ft_ticket_draw(ft_ticket *t, const char *folder);
/* The descriptor of one of `count` slots, held as long as it is open; -1 and errno: EAGAIN,
   where another's turn comes first or all are taken */
int ft_ticket_try(const ft_ticket *t, int count);
void ft_ticket_drop(ft_ticket *t);

#endif
