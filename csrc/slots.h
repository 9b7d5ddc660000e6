/*
** slots.h: a queue without a daemon. A folder holds one lock for each job that may run at a
** time; who waits for one holds the lock of a ticket there, a file that is named by a number
** greater than those of all others, and waits until the ticket before his is nobody's any
** more. Only the first looks for a free slot. No Lua.
*/
#ifndef FT_SLOTS_H
#define FT_SLOTS_H

/* Takes this process's place in the queue of `folder`, which is made where it is missing; the
   string must stay. 1, or 0 and errno. Once a process. */
int ft_slot_queue(const char *folder);
/* Waits there for one of `count` slots. SIGTERM and SIGINT, which the caller must have blocked,
   end that. -> its descriptor, held as long as it is open; -1 and errno (EINTR: such a signal
   came); the place is given up in any case */
int ft_slot_take(int count);

#endif
